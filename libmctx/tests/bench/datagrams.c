/* SPDX-License-Identifier: MIT */
#include "datagrams.h"

#include <stdlib.h>

enum {
  GAP = 640, /* between scattered payloads: more than is fetched ahead */
  LINE = 64
};

static uint32_t count_of(const char *list) {
  uint32_t count = 1;
  for (const char *at = list; *at != '\0'; at++)
    count += *at == ',' || *at == '+';
  return count;
}

uint32_t *datagrams_sizes(const char *list, uint32_t count) {
  uint32_t *sizes = calloc(count, sizeof *sizes);
  const uint32_t period = count_of(list);
  const char *at = list;
  for (uint32_t i = 0; i < count && sizes != NULL; i++) {
    char *end = NULL;
    sizes[i] = i < period ? (uint32_t)strtoul(at, &end, 10) : sizes[i - period];
    if (end != NULL) at = end + 1;
    if (sizes[i] != 0) continue;
    free(sizes);
    sizes = NULL;
  }
  return sizes;
}

static void place(datagrams *own, enum layout layout, unsigned char *memory, uint32_t total) {
  size_t at = 0;
  for (uint32_t i = 0; i < total; i++) {
    own->pieces[layout][i] = (struct iovec){memory + at, own->sizes[i]};
    own->slices[layout][i] = (mctx_slice){.data = memory + at, .length = own->sizes[i]};
    at += layout == CONTIGUOUS ? own->sizes[i] : (own->sizes[i] + GAP + LINE - 1) / LINE * LINE;
  }
}

int datagrams_make(datagrams *own, const char *sizes, uint32_t batch) {
  const uint32_t period = count_of(sizes);
  if (batch == 0) return 1;
  own->batch = batch;
  own->batches = period > batch ? period / batch : 1;
  own->is_equal = period == 1;
  const uint32_t total = own->batch * own->batches;
  size_t bytes = 0;
  own->sizes = datagrams_sizes(sizes, total);
  if (own->sizes == NULL) return 1;
  for (uint32_t i = 0; i < total; i++)
    bytes += own->sizes[i];
  for (int layout = 0; layout < LAYOUTS; layout++) {
    unsigned char *memory = aligned_alloc(LINE, (bytes + (size_t)total * (GAP + LINE)) / LINE * LINE + LINE);
    own->pieces[layout] = calloc(total, sizeof *own->pieces[layout]);
    own->slices[layout] = calloc(total, sizeof *own->slices[layout]);
    if (memory == NULL || own->pieces[layout] == NULL || own->slices[layout] == NULL) return 1;
    for (size_t i = 0; i < bytes + (size_t)total * (GAP + LINE); i++)
      memory[i] = (unsigned char)i;
    place(own, (enum layout)layout, memory, total);
  }
  return 0;
}

superpacket datagrams_join(const uint32_t *sizes, uint32_t count, uint32_t segments) {
  superpacket made = {.count = 1, .size = sizes[0], .bytes = sizes[0]};
  while (made.count < count && made.count < segments && sizes[made.count] <= made.size &&
         made.bytes + sizes[made.count] <= SUPERPACKET_MAX) {
    made.bytes += sizes[made.count];
    if (sizes[made.count++] < made.size) break;
  }
  return made;
}

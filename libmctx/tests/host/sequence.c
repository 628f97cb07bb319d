/* SPDX-License-Identifier: MIT */
/* Datagrams of every length in memory that is laid out in every way. */
#include "host/sequence.h"

#include <stdlib.h>

enum { GAP_MOST = 64 };

void sequence_init(sequence *own, uint64_t seed) {
  own->memory = malloc(SEQUENCE_BYTES);
  assert_non_null(own->memory);
  own->random = seed;
  sequence_clear(own);
}

void sequence_free(sequence *own) {
  free(own->memory);
}

void sequence_clear(sequence *own) {
  own->count = 0;
  own->bytes = 0;
}

bool sequence_takes(const sequence *own, uint32_t length) {
  return own->count < SEQUENCE && own->bytes + length + GAP_MOST <= SEQUENCE_BYTES;
}

static void fill(sequence *own, unsigned char *data, uint32_t length) {
  uint64_t word = own->random;
  for (uint32_t i = 0; i < length; i++) {
    if (i % 8 == 0) word = word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    data[i] = (unsigned char)(word >> (i % 8 * 8));
  }
}

void sequence_add(sequence *own, uint32_t length, layout how) {
  assert_true(sequence_takes(own, length));
  bool is_apart = how == SCATTERED || (how == MIXED && random_below(&own->random, 3) == 0);
  own->bytes += is_apart ? 1 + random_below(&own->random, GAP_MOST) : 0;
  unsigned char *data = own->memory + own->bytes;
  fill(own, data, length);
  own->bytes += length;
  mctx_slice *slice = &own->slices[own->count++];
  *slice = (mctx_slice){.length = length};
  if (length > 0 || random_below(&own->random, 2) == 0) slice->data = data;
}

void sequence_add_equal(sequence *own, uint32_t count, uint32_t length, layout how) {
  for (uint32_t i = 0; i < count; i++)
    sequence_add(own, length, how);
}

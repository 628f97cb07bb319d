/* SPDX-License-Identifier: MIT */
/*
 * Sends over many publications in turns, and over as many plain sockets, which are theirs:
 *
 *   publications GROUP INTERFACE SIZE time MILLISECONDS COUNT...
 *
 * Each of COUNT publications has a group of its own, from GROUP on. `time` measures the ways for all counts in
 * turns: it prints the positions of the counts and the names of the ways, then a line of nanoseconds per
 * datagram for each round. Ends with 1 and a reason if a datagram was not accepted.
 */
#include <mctx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "group.h"
#include "turns.h"

enum { PORT = 5000, DATAGRAMS = 200, PAYLOAD_MAX = 65507, RAW_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

/* Publications of one context. */
typedef struct crowd {
  mctx_context context;
  uint32_t count;
  uint32_t rounds; /* of a turn */
  mctx_publication *publications;
  int *descriptors;
} crowd;

static unsigned char payload[PAYLOAD_MAX];
static size_t size;
static mctx_error error = MCTX_ERROR_INIT;

/* ---- the ways: each sends a datagram by every publication, and returns how many failed ---- */

static uint32_t raw_send(const crowd *own) {
  uint32_t failed = 0;
  for (uint32_t i = 0; i < own->count; i++)
    failed += send(own->descriptors[i], payload, size, RAW_FLAGS) != (ssize_t)size;
  return failed;
}

static uint32_t library_send(const crowd *own) {
  uint32_t failed = 0;
  for (uint32_t i = 0; i < own->count; i++)
    failed += mctx_send(own->publications[i], payload, size, &error) != MCTX_OK;
  return failed;
}

static uint32_t library_send_all(const crowd *own) {
  uint32_t count;
  return mctx_send_all(own->context, payload, size, NULL, 0, 0, &count, &error) != MCTX_OK;
}

typedef struct way {
  const char *name;
  uint32_t (*run)(const crowd *own);
} way;

static const way ways[] = {
    {"raw send", raw_send}, {"mctx_send", library_send}, {"mctx_send_all", library_send_all}};

enum { WAYS = sizeof ways / sizeof ways[0] };

/* ---- opening ---- */

static int open_publication(crowd *own, const mctx_address *first, const char *interface, uint32_t position) {
  mctx_publication_options options;
  mctx_os_handle native;
  mctx_publication_options_init(&options, sizeof options);
  options.group = group_at(first, position);
  options.port = PORT;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = interface;
  if (mctx_publication_open(own->context, &options, &own->publications[position], &error) != MCTX_OK ||
      mctx_pollable(own->publications[position], &native, &error) != MCTX_OK)
    return 1;
  own->descriptors[position] = (int)native.value;
  return 0;
}

static int open_crowd(crowd *own, const mctx_address *first, const char *interface) {
  own->publications = calloc(own->count, sizeof *own->publications);
  own->descriptors = calloc(own->count, sizeof *own->descriptors);
  own->rounds = own->count < DATAGRAMS ? DATAGRAMS / own->count : 1;
  if (own->publications == NULL || own->descriptors == NULL) return 1;
  int status = mctx_context_open(NULL, &own->context, &error) != MCTX_OK;
  for (uint32_t i = 0; i < own->count && status == 0; i++)
    status = open_publication(own, first, interface, i);
  if (status != 0) fprintf(stderr, "cannot open a publication: %s (%s)\n", error.message, error.hint);
  return status;
}

/* ---- time ---- */

static int measure(const column *each, double *ns) {
  const way *chosen = each->way;
  const crowd *own = each->subject;
  uint32_t failed = chosen->run(own); /* brings back what the others have driven out of the caches */
  const double start = turns_now_ns();
  for (uint32_t i = 0; i < own->rounds; i++)
    failed += chosen->run(own);
  *ns = (turns_now_ns() - start) / own->rounds / own->count;
  if (failed != 0) fprintf(stderr, "%s: %u calls failed\n", chosen->name, (unsigned)failed);
  return failed != 0;
}

static int time_ways(crowd *crowds, uint32_t count, uint32_t milliseconds) {
  column *columns = calloc((size_t)count * WAYS, sizeof *columns);
  if (columns == NULL) return 1;
  for (uint32_t i = 0; i < count * WAYS; i++) {
    columns[i] = (column){.measure = measure, .way = &ways[i % WAYS], .subject = &crowds[i / WAYS]};
    snprintf(columns[i].name, sizeof columns[i].name, "%u %s", (unsigned)(i / WAYS), ways[i % WAYS].name);
  }
  const int status = turns_run(columns, count * WAYS, milliseconds);
  free(columns);
  return status;
}

static void raise_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  enum { FIRST = 6 };
  mctx_address group;
  if (argc <= FIRST || strcmp(argv[4], "time") != 0) return 2;
  const uint32_t count = (uint32_t)(argc - FIRST);
  crowd *crowds = calloc(count, sizeof *crowds);
  size = strtoul(argv[3], NULL, 10);
  if (crowds == NULL || size > sizeof payload) return 2;
  if (mctx_address_parse(argv[1], &group, &error) != MCTX_OK) return 2;
  raise_descriptors();
  for (uint32_t i = 0; i < count; i++) {
    crowds[i].count = (uint32_t)strtoul(argv[FIRST + i], NULL, 10);
    if (crowds[i].count == 0 || open_crowd(&crowds[i], &group, argv[2]) != 0) return 1;
  }
  return time_ways(crowds, count, (uint32_t)strtoul(argv[5], NULL, 10));
}

/* SPDX-License-Identifier: MIT */
/*
 * Sends by one thread and by two, each on a processor of its own:
 *
 *   threads GROUP INTERFACE SIZE BATCH time MILLISECONDS
 *
 * Two threads send each by a publication of its own, or both by the same one; the plain calls do it on the same
 * sockets. `time` measures all of that in turns: it prints the names, then a line for each round of nanoseconds
 * that a datagram took of the processors' time. Ends with 1 and a reason if a datagram was not accepted.
 */
#include <mctx.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datagrams.h"
#include "raw_send.h"
#include "turns.h"

enum { PORT = 5000, THREADS = 2, DATAGRAMS = 2048 };

/* What one thread sends with. */
typedef struct sender {
  mctx_error error;
  mctx_publication publication;
  raw_sender raw;
  datagrams sent;
} sender;

/* ---- the ways: each sends one batch, and returns how many calls failed ---- */

static uint32_t raw_send(sender *own) {
  return raw_send_one_by_one(&own->raw, SCATTERED, 0);
}

static uint32_t raw_copied(sender *own) {
  return raw_send_together(&own->raw, SCATTERED, COPIED, 0);
}

static uint32_t library_send(sender *own) {
  const mctx_slice *slices = own->sent.slices[SCATTERED];
  uint32_t failed = 0;
  for (uint32_t i = 0; i < own->sent.batch; i++)
    failed += mctx_send(own->publication, slices[i].data, slices[i].length, &own->error) != MCTX_OK;
  return failed;
}

static uint32_t library_batch(sender *own) {
  uint64_t accepted;
  return mctx_send_batch(own->publication, own->sent.slices[SCATTERED], own->sent.batch, 0, 0, &accepted,
                         &own->error) != MCTX_OK;
}

typedef struct way {
  const char *name;
  uint32_t (*run)(sender *own);
} way;

static const way ways[] = {{"raw send", raw_send},
                           {"mctx_send", library_send},
                           {"raw offload, copied, sendmmsg", raw_copied},
                           {"mctx_send_batch, scattered", library_batch}};

/* Who sends by what. */
typedef struct sharing {
  const char *name;
  int threads;
  sender senders[THREADS];
} sharing;

enum { WAYS = sizeof ways / sizeof ways[0] };

/* ---- a turn of both threads ---- */

typedef struct turn {
  pthread_barrier_t begins;
  pthread_barrier_t ends;
  atomic_int running; /* they begin at once */
  const way *chosen;
  sharing *own;
  uint32_t failed[THREADS];
  double ns[THREADS]; /* of all that a thread sent */
} turn;

static turn now;

static void take_part(int thread) {
  sender *own = &now.own->senders[thread];
  const uint32_t times = DATAGRAMS / own->sent.batch + 1;
  uint32_t failed = now.chosen->run(own); /* brings back what the others have driven out of the caches */
  atomic_fetch_add(&now.running, 1);
  while (atomic_load(&now.running) < now.own->threads)
    ;
  const double start = turns_now_ns();
  for (uint32_t i = 0; i < times; i++)
    failed += now.chosen->run(own);
  now.ns[thread] = (turns_now_ns() - start) / times / own->sent.batch;
  now.failed[thread] = failed;
}

static void *second_thread(void *nothing) {
  for (;;) {
    pthread_barrier_wait(&now.begins);
    take_part(1);
    pthread_barrier_wait(&now.ends);
  }
  return nothing;
}

static int measure(const column *each, double *ns) {
  now.chosen = each->way;
  now.own = each->subject;
  atomic_store(&now.running, 0);
  if (now.own->threads > 1) pthread_barrier_wait(&now.begins);
  take_part(0);
  if (now.own->threads > 1) pthread_barrier_wait(&now.ends);
  *ns = now.own->threads > 1 ? (now.ns[0] + now.ns[1]) / 2 : now.ns[0];
  const uint32_t failed = now.failed[0] + (now.own->threads > 1 ? now.failed[1] : 0);
  if (failed != 0) fprintf(stderr, "%s: %u calls failed\n", now.chosen->name, (unsigned)failed);
  return failed != 0;
}

/* ---- opening ---- */

static int open_sender(sender *own, mctx_context context, char **arguments) {
  mctx_publication_options options;
  own->error = (mctx_error)MCTX_ERROR_INIT;
  mctx_publication_options_init(&options, sizeof options);
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  options.port = PORT;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = arguments[1];
  if (mctx_address_parse(arguments[0], &options.group, &own->error) == MCTX_OK &&
      mctx_publication_open(context, &options, &own->publication, &own->error) == MCTX_OK)
    return 0;
  fprintf(stderr, "cannot open a publication: %s\n", own->error.message);
  return 1;
}

static int prepare(sender *own, char **arguments) {
  mctx_os_handle native;
  if (mctx_pollable(own->publication, &native, &own->error) != MCTX_OK) return 1;
  own->raw.descriptor = (int)native.value;
  own->raw.own = &own->sent;
  return datagrams_make(&own->sent, arguments[2], (uint32_t)strtoul(arguments[3], NULL, 10)) != 0 ||
         raw_sender_make(&own->raw) != 0;
}

static int open_all(sharing *sharings, uint32_t count, char **arguments) {
  mctx_context context;
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) return 1;
  for (uint32_t i = 0; i < count; i++) {
    sender *both = sharings[i].senders;
    if (open_sender(&both[0], context, arguments) != 0 || prepare(&both[0], arguments) != 0) return 1;
    if (sharings[i].threads == 1) continue;
    both[1].error = both[0].error;
    both[1].publication = both[0].publication;
    if (strstr(sharings[i].name, "shared") == NULL && open_sender(&both[1], context, arguments) != 0) return 1;
    if (prepare(&both[1], arguments) != 0) return 1;
  }
  return 0;
}

/* The other thread goes to another processor than this one. */
static int start_second_thread(void) {
  const size_t count = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
  pthread_t second;
  cpu_set_t chosen;
  CPU_ZERO(&chosen);
  CPU_SET(((size_t)sched_getcpu() + 1) % count, &chosen);
  if (count < THREADS) {
    fprintf(stderr, "there is only one processor\n");
    return 1;
  }
  return pthread_barrier_init(&now.begins, NULL, THREADS) != 0 ||
         pthread_barrier_init(&now.ends, NULL, THREADS) != 0 ||
         pthread_create(&second, NULL, second_thread, NULL) != 0 ||
         pthread_setaffinity_np(second, sizeof chosen, &chosen) != 0;
}

int main(int argc, char **argv) {
  static sharing sharings[] = {{.name = "1 thread", .threads = 1},
                               {.name = "2 threads, a publication each", .threads = 2},
                               {.name = "2 threads, one shared publication", .threads = 2}};
  enum { SHARINGS = sizeof sharings / sizeof sharings[0] };
  static column columns[SHARINGS * WAYS];
  if (argc < 7 || strcmp(argv[5], "time") != 0) return 2;
  if (open_all(sharings, SHARINGS, argv + 1) != 0 || start_second_thread() != 0) return 1;
  for (uint32_t i = 0; i < SHARINGS * WAYS; i++) {
    columns[i] = (column){.measure = measure, .way = &ways[i % WAYS], .subject = &sharings[i / WAYS]};
    snprintf(columns[i].name, sizeof columns[i].name, "%u %s", (unsigned)(i / WAYS), ways[i % WAYS].name);
  }
  return turns_run(columns, SHARINGS * WAYS, (uint32_t)strtoul(argv[6], NULL, 10));
}

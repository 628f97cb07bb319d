/* SPDX-License-Identifier: MIT */
/*
 * Sends datagrams in several ways on one and the same socket, to be timed or to be counted by a tool:
 *
 *   send [KEY=VALUE...] time MILLISECONDS
 *   send [KEY=VALUE...] count WAY CALLS
 *
 *   group=ADDRESS  interface=NAME
 *   connected=0|1  by the connection or by address
 *   threads=0|1    a second thread sleeps: that alone changes what the C library and this one do for a send
 *   sizes=LIST     of the payloads, "64" or "94,94,62"; the list repeats
 *   batch=COUNT    datagrams of a call
 *   listener=none|plain|coalescing   who receives what is sent, on
 *   listens=NAME   this interface, in
 *   netns=PATH     this network namespace
 *
 * `time` measures all ways in turns and prints their names, then a line of nanoseconds per datagram for each
 * round. `count` makes the calls of one way and prints nothing. Ends with 1 and a reason if a datagram was not
 * accepted, and says how much of what was sent did not arrive where somebody listens.
 */
#include <mctx.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datagrams.h"
#include "group.h"
#include "listener.h"
#include "peer.h"
#include "raw_send.h"
#include "turns.h"

enum { PORT = 5000, TURN_NS = 100000, DATAGRAMS_A_TURN = 2048 };

typedef struct bench {
  mctx_error error;
  mctx_address group;
  mctx_publication publication;
  mctx_publication without_offload; /* the same socket, by another handle of the library */
  datagrams sent;
  raw_sender raw;
  void *peer;
  int listener; /* or -1 */
  uint64_t expected_bytes;
  uint64_t lost_bytes;
} bench;

/* ---- the ways: each sends one batch and returns how many of its calls failed ---- */

#define RAW_WAY(name, layout, form, call)            \
  static uint32_t name(bench *own, uint32_t batch) { \
    return call(&own->raw, layout, form, batch);     \
  }

RAW_WAY(raw_sendmmsg, SCATTERED, LONE, raw_send_together)
RAW_WAY(raw_contiguous, CONTIGUOUS, DIRECT, raw_send_each)
RAW_WAY(raw_contiguous_together, CONTIGUOUS, DIRECT, raw_send_together)
RAW_WAY(raw_iovecs, SCATTERED, DIRECT, raw_send_each)
RAW_WAY(raw_iovecs_together, SCATTERED, DIRECT, raw_send_together)
RAW_WAY(raw_copied, SCATTERED, COPIED, raw_send_each)
RAW_WAY(raw_copied_together, SCATTERED, COPIED, raw_send_together)

static uint32_t raw_from_neighbours(bench *own, uint32_t batch) {
  return raw_send_from_slices(&own->raw, CONTIGUOUS, batch);
}

static uint32_t raw_from_scattered(bench *own, uint32_t batch) {
  return raw_send_from_slices(&own->raw, SCATTERED, batch);
}

static uint32_t raw_send(bench *own, uint32_t batch) {
  return raw_send_one_by_one(&own->raw, SCATTERED, batch);
}

static uint32_t library_send(bench *own, uint32_t batch) {
  const mctx_slice *slices = own->sent.slices[SCATTERED] + (size_t)batch * own->sent.batch;
  uint32_t failed = 0;
  for (uint32_t i = 0; i < own->sent.batch; i++)
    failed += mctx_send(own->publication, slices[i].data, slices[i].length, &own->error) != MCTX_OK;
  return failed;
}

static uint32_t send_batch(bench *own, mctx_publication publication, enum layout layout, uint32_t batch) {
  uint64_t accepted;
  const mctx_slice *slices = own->sent.slices[layout] + (size_t)batch * own->sent.batch;
  return mctx_send_batch(publication, slices, own->sent.batch, 0, 0, &accepted, &own->error) != MCTX_OK;
}

static uint32_t library_contiguous(bench *own, uint32_t batch) {
  return send_batch(own, own->publication, CONTIGUOUS, batch);
}

static uint32_t library_scattered(bench *own, uint32_t batch) {
  return send_batch(own, own->publication, SCATTERED, batch);
}

static uint32_t library_without_offload(bench *own, uint32_t batch) {
  return send_batch(own, own->without_offload, SCATTERED, batch);
}

static uint32_t library_segments(bench *own, uint32_t batch) {
  uint64_t accepted;
  const uint32_t size = own->sent.sizes[0];
  const void *data = own->sent.pieces[CONTIGUOUS][(size_t)batch * own->sent.batch].iov_base;
  return mctx_send_segments(own->publication, data, (size_t)size * own->sent.batch, size, 0, 0, &accepted,
                            &own->error) != MCTX_OK;
}

static uint32_t peer_way(bench *own, uint32_t batch) {
  const mctx_slice *slices = own->sent.slices[SCATTERED] + (size_t)batch * own->sent.batch;
  uint32_t failed = 0;
  for (uint32_t i = 0; i < own->sent.batch; i++)
    failed += peer_send(own->peer, slices[i].data, slices[i].length) != 0;
  return failed;
}

enum when { ALWAYS, FOR_EQUAL, WITH_PEER };

/* Ways of one kind take equally long turns: a receiver's queue is as long then, and its memory as cold. */
enum kind { ONE_BY_ONE, TOGETHER, KINDS };

typedef struct way {
  const char *name;
  uint32_t (*run)(bench *own, uint32_t batch);
  uint32_t least; /* datagrams of a batch */
  enum when when;
  enum kind kind;
} way;

static const way ways[] = {
    {"raw send", raw_send, 1, ALWAYS, ONE_BY_ONE},
    {"mctx_send", library_send, 1, ALWAYS, ONE_BY_ONE},
    {"mctx-core send", peer_way, 1, WITH_PEER, ONE_BY_ONE},
    {"raw sendmmsg", raw_sendmmsg, 2, ALWAYS, ONE_BY_ONE},
    {"raw offload, contiguous", raw_contiguous, 2, ALWAYS, TOGETHER},
    {"raw offload, contiguous, sendmmsg", raw_contiguous_together, 2, ALWAYS, TOGETHER},
    {"raw offload, iovecs", raw_iovecs, 2, ALWAYS, TOGETHER},
    {"raw offload, iovecs, sendmmsg", raw_iovecs_together, 2, ALWAYS, TOGETHER},
    {"raw offload, copied", raw_copied, 2, ALWAYS, TOGETHER},
    {"raw offload, copied, sendmmsg", raw_copied_together, 2, ALWAYS, TOGETHER},
    {"raw, contiguous, from slices", raw_from_neighbours, 2, ALWAYS, TOGETHER},
    {"raw, copied, from slices", raw_from_scattered, 2, ALWAYS, TOGETHER},
    {"mctx_send_segments", library_segments, 1, FOR_EQUAL, TOGETHER},
    {"mctx_send_batch, contiguous", library_contiguous, 1, ALWAYS, TOGETHER},
    {"mctx_send_batch, scattered", library_scattered, 1, ALWAYS, TOGETHER},
    {"mctx_send_batch, without offload", library_without_offload, 1, ALWAYS, ONE_BY_ONE},
};

enum { WAYS = sizeof ways / sizeof ways[0] };

static bool applies(const way *chosen, const bench *own) {
  if (own->sent.batch < chosen->least) return false;
  return chosen->when == ALWAYS || (chosen->when == FOR_EQUAL && own->sent.is_equal) ||
         (chosen->when == WITH_PEER && own->peer != NULL);
}

/* ---- opening ---- */

typedef struct setting {
  const char *group;
  const char *interface;
  bool is_connected;
  bool has_threads;
  const char *sizes;
  uint32_t batch;
  const char *listener;
  listener_place place;
} setting;

static int fail(const char *what, const mctx_error *error) {
  fprintf(stderr, "%s: %s (%s)\n", what, error->message, error->hint);
  return 1;
}

/* The second publication has a socket of its own: one socket can't be had by two. */
static int open_publication(bench *own, mctx_context context, const setting *how, bool offload,
                            mctx_publication *publication) {
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  options.port = PORT;
  options.connected = how->is_connected;
  options.offload = offload;
  options.group = own->group;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = how->interface;
  return mctx_publication_open(context, &options, publication, &own->error);
}

static int open_publications(bench *own, const setting *how) {
  mctx_context context;
  mctx_os_handle native;
  if (mctx_address_parse(how->group, &own->group, &own->error) != MCTX_OK ||
      mctx_context_open(NULL, &context, &own->error) != MCTX_OK ||
      open_publication(own, context, how, true, &own->publication) != MCTX_OK ||
      open_publication(own, context, how, false, &own->without_offload) != MCTX_OK ||
      mctx_pollable(own->publication, &native, &own->error) != MCTX_OK)
    return fail("cannot open a publication", &own->error);
  own->raw.descriptor = (int)native.value;
  own->raw.own = &own->sent;
  if (!how->is_connected) own->raw.group_length = group_native(&own->group, PORT, &own->raw.group);
  return raw_sender_make(&own->raw);
}

static int open_all(bench *own, const setting *how) {
  if (datagrams_make(&own->sent, how->sizes, how->batch) != 0 || open_publications(own, how) != 0) return 1;
  own->peer = peer_open_sender(how->group, PORT, how->interface);
  own->listener = -1;
  if (strcmp(how->listener, "none") == 0) return 0;
  own->listener = listener_open(&own->group, PORT, &how->place, strcmp(how->listener, "coalescing") == 0);
  return own->listener >= 0 ? 0 : 1;
}

/* ---- time and count ---- */

static int complain(const way *chosen, uint32_t failed) {
  if (failed == 0) return 0;
  fprintf(stderr, "%s: %u calls failed\n", chosen->name, (unsigned)failed);
  return 1;
}

/* All batches, so often; what somebody listens to is taken from him then. */
static int send_all(bench *own, const way *chosen, uint32_t times, double *ns) {
  uint32_t failed = 0;
  const double start = turns_now_ns();
  for (uint32_t i = 0; i < times; i++)
    for (uint32_t batch = 0; batch < own->sent.batches; batch++)
      failed += chosen->run(own, batch);
  const uint32_t count = own->sent.batch * own->sent.batches;
  *ns = (turns_now_ns() - start) / times / count;
  if (own->listener >= 0) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
      bytes += own->sent.sizes[i];
    own->expected_bytes += bytes * times;
    own->lost_bytes += bytes * times - listener_drain(own->listener, bytes * times);
  }
  return complain(chosen, failed);
}

/* The first time brings code and memory back that the others have driven out of the caches. */
static int measure(const column *each, double *ns) {
  bench *own = each->subject;
  double unused;
  return send_all(own, each->way, 1, &unused) != 0 || send_all(own, each->way, each->calls, ns) != 0;
}

/* As often as makes a turn of some length. */
static int calibrate(bench *own, const way *chosen, uint32_t *times) {
  const double count = own->sent.batch * own->sent.batches;
  double ns = 0;
  for (int i = 0; i < 3; i++)
    if (send_all(own, chosen, 1, &ns) != 0) return 1;
  const double wanted = TURN_NS / (ns * count);
  const double most = DATAGRAMS_A_TURN / count;
  *times = (uint32_t)(wanted < most ? wanted : most);
  if (*times == 0) *times = 1;
  return 0;
}

static int add_column(bench *own, const way *chosen, column *each, uint32_t *calls) {
  uint32_t times;
  *each = (column){.measure = measure, .way = chosen, .subject = own};
  snprintf(each->name, sizeof each->name, "%s", chosen->name);
  if (calibrate(own, chosen, &times) != 0) return 1;
  uint32_t *least = &calls[own->sent.batch > 1 ? chosen->kind : ONE_BY_ONE];
  if (*least == 0 || times < *least) *least = times;
  return 0;
}

static int time_ways(bench *own, uint32_t milliseconds) {
  column columns[WAYS];
  uint32_t calls[KINDS] = {0};
  uint32_t count = 0;
  for (uint32_t k = 0; k < WAYS; k++)
    if (applies(&ways[k], own) && add_column(own, &ways[k], &columns[count++], calls) != 0) return 1;
  for (uint32_t i = 0; i < count; i++)
    columns[i].calls = calls[own->sent.batch > 1 ? ((const way *)columns[i].way)->kind : ONE_BY_ONE];
  own->lost_bytes = own->expected_bytes = 0;
  if (turns_run(columns, count, milliseconds) != 0) return 1;
  if (own->lost_bytes > 0)
    fprintf(stderr, "%.3f %% did not arrive\n", 100.0 * (double)own->lost_bytes / (double)own->expected_bytes);
  return 0;
}

static int count_way(bench *own, const char *name, uint32_t calls) {
  for (uint32_t k = 0; k < WAYS; k++) {
    if (strcmp(ways[k].name, name) != 0) continue;
    uint32_t failed = 0;
    for (uint32_t i = 0; i < calls; i++)
      failed += ways[k].run(own, i % own->sent.batches);
    return complain(&ways[k], failed);
  }
  fprintf(stderr, "no such way: %s\n", name);
  return 2;
}

static void *sleep_on(void *nothing) {
  pause();
  return nothing;
}

static uint32_t number(const char *text) {
  return (uint32_t)strtoul(text, NULL, 10);
}

static int read_setting(setting *how, char *text) {
  char *value = strchr(text, '=');
  if (value == NULL) return 0;
  *value++ = '\0';
  if (strcmp(text, "group") == 0) how->group = value;
  if (strcmp(text, "interface") == 0) how->interface = value;
  if (strcmp(text, "connected") == 0) how->is_connected = number(value) != 0;
  if (strcmp(text, "threads") == 0) how->has_threads = number(value) != 0;
  if (strcmp(text, "sizes") == 0) how->sizes = value;
  if (strcmp(text, "batch") == 0) how->batch = number(value);
  if (strcmp(text, "listener") == 0) how->listener = value;
  if (strcmp(text, "listens") == 0) how->place.interface = value;
  if (strcmp(text, "netns") == 0) how->place.netns = value;
  return 1;
}

int main(int argc, char **argv) {
  static bench own = {.error = MCTX_ERROR_INIT};
  setting how = {.group = "239.255.77.67",
                 .interface = "lo",
                 .is_connected = true,
                 .sizes = "64",
                 .batch = 1,
                 .listener = "none",
                 .place = {.interface = "lo"}};
  pthread_t other;
  int at = 1;
  while (at < argc && read_setting(&how, argv[at]))
    at++;
  if (argc < at + 2) return 2;
  if (how.has_threads && pthread_create(&other, NULL, sleep_on, NULL) != 0) return 1;
  if (open_all(&own, &how) != 0) return 1;
  if (strcmp(argv[at], "time") == 0) return time_ways(&own, number(argv[at + 1]));
  return argc > at + 2 ? count_way(&own, argv[at + 1], number(argv[at + 2])) : 2;
}

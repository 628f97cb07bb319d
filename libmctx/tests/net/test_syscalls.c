/* SPDX-License-Identifier: MIT */
/* What sending asks of the kernel: this program runs itself under strace and reads which system calls there
 * were between two marks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/trace.h"

enum { MOST = 1024, LARGEST_PIECE = 2048 };

static const char *const group = "239.7.7.7:5007";

/* ---- under strace ---- */

static mctx_publication_options options;
static mctx_slice slices[MOST];
static char payload[MOST * LARGEST_PIECE];

typedef struct cost cost;

/* What a call may cost: so many system calls of that name, which send so many messages if that is said, and no
 * other calls. */
struct cost {
  const char *what;
  void (*act)(mctx_publication publication, const cost *wanted);
  uint32_t datagrams;
  uint32_t length;
  uint32_t apart; /* how far one is behind the other in memory */
  const char *name;
  uint32_t calls;
  uint32_t messages; /* at most; 0: it is not looked at */
  int32_t connected;
  int32_t error_queue;
  int32_t offload;
  int64_t rate; /* of pacing, in datagrams a second; 0: none */
};

/* Twenty times is twice what makes the publication the thread's own. */
static void send_each(mctx_publication publication, const cost *wanted) {
  for (uint32_t i = 0; i < wanted->datagrams; i++)
    trace_expect(mctx_send(publication, "x", 1, NULL));
}

static void send_slices(mctx_publication publication, size_t count, int64_t timeout_ns) {
  uint64_t accepted;
  trace_expect(mctx_send_batch(publication, slices, count, 0, timeout_ns, &accepted, NULL));
}

/* Each longer than the one before it: none can go with it. */
static void make_growing(uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    slices[i] = (mctx_slice){.data = payload, .length = i % 100};
}

static void send_growing(mctx_publication publication, const cost *wanted) {
  make_growing(wanted->datagrams);
  send_slices(publication, wanted->datagrams, 0);
}

static void send_growing_in_time(mctx_publication publication, const cost *wanted) {
  make_growing(wanted->datagrams);
  send_slices(publication, wanted->datagrams, SECOND);
}

static void send_none(mctx_publication publication, const cost *wanted) {
  (void)wanted;
  send_slices(publication, 0, -1);
}

/* Lengths as they come, a zero among them. */
static void send_mixed(mctx_publication publication, const cost *wanted) {
  static const uint32_t lengths[] = {64, 64, 1200, 33, 0, 900, 901, 1472, 1472, 1472, 12, 7};
  for (uint32_t i = 0; i < wanted->datagrams; i++)
    slices[i] = (mctx_slice){.data = payload + i * LARGEST_PIECE, .length = lengths[i % 12]};
  send_slices(publication, wanted->datagrams, 0);
}

static void send_equal(mctx_publication publication, const cost *wanted) {
  for (uint32_t i = 0; i < wanted->datagrams; i++)
    slices[i] = (mctx_slice){.data = payload + i * wanted->apart, .length = wanted->length};
  send_slices(publication, wanted->datagrams, 0);
}

static void send_segments(mctx_publication publication, const cost *wanted) {
  uint64_t accepted;
  trace_expect(mctx_send_segments(publication, payload, (size_t)wanted->datagrams * wanted->length,
                                  wanted->length, 0, 0, &accepted, NULL));
}

static void wait_ready(mctx_publication publication, const cost *wanted) {
  uint32_t ready;
  (void)wanted;
  trace_expect(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
}

static void counters(mctx_publication publication, const cost *wanted) {
  uint64_t values[64];
  uint32_t count;
  (void)wanted;
  trace_expect(mctx_metrics(publication, values, 64, &count, NULL));
}

static void refused_handle(mctx_publication publication, const cost *wanted) {
  (void)wanted;
  if (mctx_send(publication + 1, "x", 1, NULL) == MCTX_OK) exit(1);
}

#define SENDS(count)              send_each, count, 0, 0
#define GROWING(count)            send_growing, count, 0, 0
#define CONTIGUOUS(count, length) send_equal, count, length, length
#define SCATTERED(count, length)  send_equal, count, length, length + 100
#define SEGMENTS(count, length)   send_segments, count, length, length
#define OTHER(act)                act, 64, 0, 0

#define USUAL       1, MCTX_AUTO, MCTX_AUTO, 0
#define UNCONNECTED 0, MCTX_AUTO, MCTX_AUTO, 0
#define SINGLY      1, 1, MCTX_AUTO, 0
#define WITHOUT     1, MCTX_AUTO, 0, 0
#define PACED       1, MCTX_AUTO, MCTX_AUTO, 1000000

static const cost costs[] = {
    {"a send is one call", SENDS(1), "sendto", 1, 0, USUAL},
    {"becoming a thread's own is no call", SENDS(20), "sendto", 20, 0, USUAL},
    {"an unconnected send is one call", SENDS(1), "sendto", 1, 0, UNCONNECTED},
    {"a send with the error queue is one call", SENDS(1), "sendto", 1, 0, SINGLY},
    {"a batch of one is a plain send", GROWING(1), "sendto", 1, 0, USUAL},
    {"an unconnected batch of one is a plain send", GROWING(1), "sendto", 1, 0, UNCONNECTED},
    {"a segment alone is a plain send", SEGMENTS(1, 1000), "sendto", 1, 0, USUAL},
    {"a batch of 64 is one call", GROWING(64), "sendmmsg", 1, 64, USUAL},
    {"a batch of 64 mixed ones is one call", OTHER(send_mixed), "sendmmsg", 1, 64, USUAL},
    {"time that is not needed costs nothing", OTHER(send_growing_in_time), "sendmmsg", 1, 64, USUAL},
    {"a batch of 130 is three calls", GROWING(130), "sendmmsg", 3, 130, USUAL},
    {"two equal ones are one superpacket", SCATTERED(2, 64), "sendmsg", 1, 0, USUAL},
    {"64 of 64 bytes are one superpacket", CONTIGUOUS(64, 64), "sendmsg", 1, 0, USUAL},
    {"64 of 64 bytes, scattered, are one superpacket", SCATTERED(64, 64), "sendmsg", 1, 0, USUAL},
    {"64 of 64 bytes, unconnected, are one superpacket", SCATTERED(64, 64), "sendmsg", 1, 0, UNCONNECTED},
    {"64 of 200 bytes are one superpacket", CONTIGUOUS(64, 200), "sendmsg", 1, 0, USUAL},
    {"64 of 200 bytes, scattered, are one superpacket", SCATTERED(64, 200), "sendmsg", 1, 0, USUAL},
    {"64 of 1200 bytes are two superpackets in one call", CONTIGUOUS(64, 1200), "sendmmsg", 1, 2, USUAL},
    {"64 of 1200 bytes, scattered, are the same", SCATTERED(64, 1200), "sendmmsg", 1, 2, USUAL},
    {"1024 of 64 bytes share a call", CONTIGUOUS(1024, 64), "sendmmsg", 1, 16, USUAL},
    {"1024 of 64 bytes, scattered, share a call", SCATTERED(1024, 64), "sendmmsg", 1, 16, USUAL},
    {"64 segments of a byte are one superpacket", SEGMENTS(64, 1), "sendmsg", 1, 0, USUAL},
    {"1024 segments of 64 bytes share a call", SEGMENTS(1024, 64), "sendmmsg", 1, 16, USUAL},
    {"64 segments of 1200 bytes are two superpackets", SEGMENTS(64, 1200), "sendmmsg", 1, 2, USUAL},
    {"without offload 64 are one call", CONTIGUOUS(64, 64), "sendmmsg", 1, 64, WITHOUT},
    {"without offload segments are sent together", SEGMENTS(64, 1), "sendmmsg", 1, 64, WITHOUT},
    {"a paced send is one call", SENDS(1), "sendto", 1, 0, PACED},
    {"64 that the pace lets go are one superpacket", CONTIGUOUS(64, 64), "sendmsg", 1, 0, PACED},
    {"nothing to send is no call", OTHER(send_none), "", 0, 0, USUAL},
    {"with loopback and the error queue each datagram is a call", CONTIGUOUS(64, 64), "sendto", 64, 0, SINGLY},
    {"a wait is one call", OTHER(wait_ready), "ppoll", 1, 0, USUAL},
    {"counters are no call", OTHER(counters), "", 0, 0, USUAL},
    {"a handle that is none is no call", OTHER(refused_handle), "", 0, 0, USUAL},
};

enum { COSTS = sizeof costs / sizeof costs[0] };

static int act_traced(const cost *wanted) {
  mctx_context context = 0;
  mctx_publication publication = 0;
  mctx_publication_options_init(&options, sizeof options);
  trace_expect(mctx_address_parse(group, &options.group, NULL));
  options.connected = wanted->connected;
  options.error_queue = wanted->error_queue;
  options.offload = wanted->offload;
  options.pacing_rate = wanted->rate;
  options.pacing_unit = MCTX_PACING_DATAGRAMS;
  options.send_buffer = 1 << 20;
  trace_expect(mctx_context_open(NULL, &context, NULL));
  trace_expect(mctx_publication_open(context, &options, &publication, NULL));
  wanted->act(publication, wanted); /* whatever happens the first time only */
  trace_mark();
  wanted->act(publication, wanted);
  trace_mark();
  return 0;
}

/* ---- the reader ---- */

static void calls_to_the_kernel(void **state) {
  static trace seen;
  const cost *wanted = *state;
  char arguments[32];
  host_alone();
  snprintf(arguments, sizeof arguments, "--traced %d", (int)(wanted - costs));
  trace_self(&seen, arguments);
  for (uint32_t i = 0; i < seen.count; i++)
    if (strcmp(seen.names[i], wanted->name) != 0) fail_msg("there was a call of %s", seen.names[i]);
  assert_int_equal(seen.count, wanted->calls);
  if (wanted->messages > 0) assert_in_range(trace_sum(&seen, wanted->name), 1, wanted->messages);
}

int main(int count, char **arguments) {
  struct CMUnitTest tests[COSTS];
  if (count == 3 && strcmp(arguments[1], "--traced") == 0)
    return act_traced(&costs[strtoul(arguments[2], NULL, 10) % COSTS]);
  for (size_t i = 0; i < COSTS; i++)
    tests[i] =
        (struct CMUnitTest){costs[i].what, calls_to_the_kernel, NULL, NULL, (void *)(uintptr_t)&costs[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

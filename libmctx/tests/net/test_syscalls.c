/* SPDX-License-Identifier: MIT */
/* What sending asks of the kernel: this program runs itself under strace and reads which system calls there
 * were between two marks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/trace.h"

enum { MOST = 256 };

static const char *const group = "239.7.7.7:5007";

/* ---- under strace ---- */

static mctx_publication_options options;
static mctx_slice slices[MOST];
static char payload[MOST];

static void one_send(mctx_publication publication) {
  trace_expect(mctx_send(publication, "x", 1, NULL));
}

static void batch_of(mctx_publication publication, size_t count, int64_t timeout_ns) {
  uint64_t accepted;
  trace_expect(mctx_send_batch(publication, slices, count, 0, timeout_ns, &accepted, NULL));
}

static void batch_of_1(mctx_publication publication) {
  batch_of(publication, 1, 0);
}

static void batch_of_64(mctx_publication publication) {
  batch_of(publication, 64, 0);
}

static void batch_of_64_with_time(mctx_publication publication) {
  batch_of(publication, 64, SECOND);
}

static void batch_of_130(mctx_publication publication) {
  batch_of(publication, 130, 0);
}

static void batch_of_none(mctx_publication publication) {
  batch_of(publication, 0, -1);
}

static void segments_of_64(mctx_publication publication) {
  uint64_t accepted;
  trace_expect(mctx_send_segments(publication, payload, 64, 1, 0, 0, &accepted, NULL));
}

static void wait_ready(mctx_publication publication) {
  uint32_t ready;
  trace_expect(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
}

static void counters(mctx_publication publication) {
  uint64_t values[64];
  uint32_t count;
  trace_expect(mctx_metrics(publication, values, 64, &count, NULL));
}

static void refused_handle(mctx_publication publication) {
  if (mctx_send(publication + 1, "x", 1, NULL) == MCTX_OK) exit(1);
}

/* What a call may cost: `count` system calls of that name, and none besides. */
typedef struct cost {
  const char *what;
  void (*act)(mctx_publication publication);
  const char *name;
  uint32_t count;
  int32_t connected;
  int32_t error_queue;
} cost;

static const cost costs[] = {
    {"a send is one call", one_send, "sendto", 1, 1, MCTX_AUTO},
    {"an unconnected send is one call", one_send, "sendto", 1, 0, MCTX_AUTO},
    {"a send with the error queue is one call", one_send, "sendto", 1, 1, 1},
    {"a batch of one is one call", batch_of_1, "sendmmsg", 1, 1, MCTX_AUTO},
    {"a batch of 64 is one call", batch_of_64, "sendmmsg", 1, 1, MCTX_AUTO},
    {"time that is not needed costs nothing", batch_of_64_with_time, "sendmmsg", 1, 1, MCTX_AUTO},
    {"a batch of 130 is three calls", batch_of_130, "sendmmsg", 3, 1, MCTX_AUTO},
    {"segments are sent together", segments_of_64, "sendmmsg", 1, 1, MCTX_AUTO},
    {"nothing to send is no call", batch_of_none, "", 0, 1, MCTX_AUTO},
    {"with loopback and the error queue each datagram is a call", batch_of_64, "sendmmsg", 64, 1, 1},
    {"a wait is one call", wait_ready, "ppoll", 1, 1, MCTX_AUTO},
    {"counters are no call", counters, "", 0, 1, MCTX_AUTO},
    {"a handle that is none is no call", refused_handle, "", 0, 1, MCTX_AUTO},
};

enum { COSTS = sizeof costs / sizeof costs[0] };

static int act_traced(const cost *wanted) {
  mctx_context context = 0;
  mctx_publication publication = 0;
  for (uint32_t i = 0; i < MOST; i++) {
    slices[i].data = payload;
    slices[i].length = i % 100;
  }
  mctx_publication_options_init(&options, sizeof options);
  trace_expect(mctx_address_parse(group, &options.group, NULL));
  options.connected = wanted->connected;
  options.error_queue = wanted->error_queue;
  options.send_buffer = 1 << 20;
  trace_expect(mctx_context_open(NULL, &context, NULL));
  trace_expect(mctx_publication_open(context, &options, &publication, NULL));
  wanted->act(publication); /* whatever happens the first time only */
  trace_mark();
  wanted->act(publication);
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
  assert_int_equal(seen.count, wanted->count);
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

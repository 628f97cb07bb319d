/* SPDX-License-Identifier: MIT */
/* What sending asks of the kernel: this program runs itself under strace and reads which system calls there
 * were between two marks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

enum { MOST = 256, CALLS = 512 };

static const char *const group = "239.7.7.7:5007";

/* ---- under strace ---- */

/* getppid() is the mark: nobody else calls it. */
static void mark(void) {
  (void)getppid();
}

static mctx_publication_options options;
static mctx_slice slices[MOST];
static char payload[MOST];

static void expect(mctx_status status) {
  if (status == MCTX_OK) return;
  fprintf(stderr, "%s\n", mctx_status_name(status));
  exit(1);
}

static void one_send(mctx_publication publication) {
  expect(mctx_send(publication, "x", 1, NULL));
}

static void batch_of(mctx_publication publication, size_t count, int64_t timeout_ns) {
  uint64_t accepted;
  expect(mctx_send_batch(publication, slices, count, 0, timeout_ns, &accepted, NULL));
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
  expect(mctx_send_segments(publication, payload, 64, 1, 0, 0, &accepted, NULL));
}

static void wait_ready(mctx_publication publication) {
  uint32_t ready;
  expect(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
}

static void counters(mctx_publication publication) {
  uint64_t values[64];
  uint32_t count;
  expect(mctx_metrics(publication, values, 64, &count, NULL));
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
  expect(mctx_address_parse(group, &options.group, NULL));
  options.connected = wanted->connected;
  options.error_queue = wanted->error_queue;
  options.send_buffer = 1 << 20;
  expect(mctx_context_open(NULL, &context, NULL));
  expect(mctx_publication_open(context, &options, &publication, NULL));
  wanted->act(publication); /* whatever happens the first time only */
  mark();
  wanted->act(publication);
  mark();
  return 0;
}

/* ---- the reader ---- */

static char self[4096];

typedef struct trace {
  char names[CALLS][32];
  uint32_t count;
} trace;

/* The names of the calls between the first two marks. */
static void read_trace(const char *path, trace *read) {
  char line[1024];
  int marks = 0;
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  read->count = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    size_t length = strcspn(line, "(");
    if (line[length] != '(' || length >= sizeof read->names[0]) continue;
    line[length] = '\0';
    if (strcmp(line, "getppid") == 0) {
      marks++;
    } else if (marks == 1 && read->count < CALLS) {
      memcpy(read->names[read->count++], line, length + 1);
    }
  }
  fclose(file);
  assert_int_equal(marks, 2);
}

static bool can_trace(void) {
  return host_has("strace") && host_try("strace -qq -o /dev/null true 2>/dev/null");
}

static void calls_to_the_kernel(void **state) {
  static trace seen;
  const cost *wanted = *state;
  char path[] = "/tmp/mctx-trace-XXXXXX";
  host_alone();
  if (!can_trace()) SKIP("strace is not there, or may not trace");
  int file = mkstemp(path);
  assert_true(file >= 0);
  close(file);
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* which does not work under strace */
  bool done = host_try("strace -qq -o %s %s --traced %d", path, self, (int)(wanted - costs));
  if (done) read_trace(path, &seen);
  unlink(path);
  assert_true(done);
  for (uint32_t i = 0; i < seen.count; i++)
    if (strcmp(seen.names[i], wanted->name) != 0) fail_msg("there was a call of %s", seen.names[i]);
  assert_int_equal(seen.count, wanted->count);
}

int main(int count, char **arguments) {
  struct CMUnitTest tests[COSTS];
  if (count == 3 && strcmp(arguments[1], "--traced") == 0)
    return act_traced(&costs[strtoul(arguments[2], NULL, 10) % COSTS]);
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  if (length < 0) return 1;
  for (size_t i = 0; i < COSTS; i++)
    tests[i] =
        (struct CMUnitTest){costs[i].what, calls_to_the_kernel, NULL, NULL, (void *)(uintptr_t)&costs[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A process that starts with one thread, where a send takes no lock, and then has several: the counts stay
 * exact and a closed handle stays closed. A program of its own, because a process has its first thread once. */
#include <pthread.h>
#include <unistd.h>

#include "host/host.h"

enum { THREADS = 4, EACH = 50000 };

static mctx_publication target;

static void *send_each(void *failed) {
  for (int i = 0; i < EACH; i++)
    if (mctx_send(target, "datagram", 8, NULL) != MCTX_OK) ++*(int *)failed;
  return NULL;
}

static void send_from_threads(void) {
  pthread_t threads[THREADS];
  int failed[THREADS] = {0};
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(0, pthread_create(&threads[i], NULL, send_each, &failed[i]));
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(0, pthread_join(threads[i], NULL));
    assert_int_equal(failed[i], 0);
  }
}

static void counts_are_exact_alone_among_threads_and_after_them(void **state) {
  (void)state;
  int failed = 0;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_through("239.7.7.7:5007", "lo");
  target = open_with(context, &options);
  send_each(&failed);
  assert_int_equal(failed, 0);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "packets_sent"), EACH);
  send_from_threads();
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "packets_sent"), EACH * (THREADS + 1));
  send_each(&failed);
  assert_int_equal(failed, 0);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "send_calls"), EACH * (THREADS + 2));
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "bytes_sent"), EACH * (THREADS + 2) * 8);
  assert_ok(mctx_close(context, NULL));
}

static int send_in_child(void *error) {
  return mctx_send(target, "datagram", 8, error) == MCTX_ERR_FORKED ? 0 : 1;
}

static void handles_that_lead_nowhere_are_errors(void **state) {
  (void)state;
  mctx_error error = MCTX_ERROR_INIT;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_through("239.7.7.7:5007", "lo");
  target = open_with(context, &options);
  assert_status(mctx_send(context, "datagram", 8, &error), MCTX_ERR_WRONG_HANDLE);
  assert_status(mctx_send(0, "datagram", 8, &error), MCTX_ERR_INVALID_HANDLE);
  assert_status(mctx_send(target + 1, "datagram", 8, &error), MCTX_ERR_INVALID_HANDLE);
  assert_status(mctx_send(target + ((uint64_t)1 << 20), "datagram", 8, &error), MCTX_ERR_INVALID_HANDLE);
  assert_int_equal(in_child(send_in_child, &error), 0);
  assert_ok(mctx_send(target, "datagram", 8, &error));
  assert_ok(mctx_close(context, NULL)); /* fails if a call that failed had left a pin: it would wait for ever */
  assert_status(mctx_send(target, "datagram", 8, &error), MCTX_ERR_CLOSED);
}

static void refusals_are_described_and_counted(void **state) {
  (void)state;
  static char large[70000];
  mctx_error error = MCTX_ERROR_INIT;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_through("239.7.7.7:5007", "lo");
  target = open_with(context, &options);
  assert_status(mctx_send(target, large, sizeof large, &error), MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_string_equal(error.operation, "mctx_send");
  assert_int_equal(error.value, sizeof large);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "send_errors"), 1);
  assert_ok(mctx_send(target, large, 8, &error));
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(handles_that_lead_nowhere_are_errors),
      cmocka_unit_test(refusals_are_described_and_counted),
      cmocka_unit_test(counts_are_exact_alone_among_threads_and_after_them),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

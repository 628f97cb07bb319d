/* SPDX-License-Identifier: MIT */
/* Counters: what they count, that they are coherent, that sums never fall. */
#include <pthread.h>
#include <stdatomic.h>

#include "sim_fixture.h"

static void every_counter_has_a_name_of_its_own(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_handle handles[] = {open_group(context, "239.1.1.1:5000"), context};
  for (int k = 0; k < 2; k++) {
    uint32_t kind = k == 0 ? MCTX_HANDLE_PUBLICATION : MCTX_HANDLE_CONTEXT;
    uint32_t count;
    assert_ok(mctx_metrics(handles[k], NULL, 0, &count, NULL));
    for (uint32_t i = 0; i < count; i++) {
      assert_non_null(mctx_metric_name(kind, i));
      for (uint32_t j = 0; j < i; j++)
        assert_string_not_equal(mctx_metric_name(kind, i), mctx_metric_name(kind, j));
    }
    assert_null(mctx_metric_name(kind, count));
    assert_null(mctx_metric_name(kind, UINT32_MAX));
  }
  assert_null(mctx_metric_name(MCTX_HANDLE_INTERFACE_LIST, 0));
  assert_null(mctx_metric_name(0, 0));
  assert_closed(context);
}

/* Users of the counters know these positions; new ones go to the end. */
static void names_do_not_move(void **state) {
  (void)state;
  static const char *const own[] = {"publications_added", "publications_removed", "active_publications"};
  static const char *const sums[] = {
      "send_calls",         "packets_sent",       "bytes_sent",       "send_errors",
      "errors_internal",    "errors_usage",       "errors_not_found", "errors_already_exists",
      "errors_would_block", "errors_timeout",     "errors_closed",    "errors_permission",
      "errors_unsupported", "errors_limit",       "errors_network",   "errors_too_large",
      "errors_io",          "errors_interrupted", "drained_errors",   "reconnects"};
  for (uint32_t i = 0; i < 3; i++)
    assert_string_equal(mctx_metric_name(MCTX_HANDLE_CONTEXT, i), own[i]);
  for (uint32_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
    assert_string_equal(mctx_metric_name(MCTX_HANDLE_PUBLICATION, i), sums[i]);
    assert_memory_equal(mctx_metric_name(MCTX_HANDLE_CONTEXT, 3 + i), "total_", 6);
    assert_string_equal(mctx_metric_name(MCTX_HANDLE_CONTEXT, 3 + i) + 6, sums[i]);
  }
}

static void sends_are_counted(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_slice slices[3] = {{.length = 5}, {.length = 0}, {.length = 7}};
  uint32_t count;
  for (int i = 0; i < 3; i++)
    slices[i].data = "payload";
  assert_ok(mctx_send(publication, "abc", 3, NULL));
  assert_ok(mctx_send_batch(publication, slices, 3, 0, 0, NULL, NULL));
  assert_ok(mctx_send_segments(publication, "0123456789", 10, 4, 0, 0, NULL, NULL));
  assert_ok(mctx_send_all(context, "xy", 2, NULL, 0, 0, &count, NULL));
  assert_int_equal(counter(publication, "send_calls"), 4);
  assert_int_equal(counter(publication, "packets_sent"), 8);
  assert_int_equal(counter(publication, "bytes_sent"), 3 + 12 + 10 + 2);
  assert_int_equal(counter(publication, "send_errors"), 0);
  assert_int_equal(counter(context, "total_send_calls"), 4);
  assert_int_equal(counter(context, "total_packets_sent"), 8);
  assert_int_equal(counter(context, "total_bytes_sent"), 27);
  assert_closed(context);
}

static void failures_are_counted_by_kind(void **state) {
  (void)state;
  static const struct {
    mctx_status status;
    const char *name;
  } rows[] = {{MCTX_ERR_WOULD_BLOCK, "errors_would_block"},      {MCTX_ERR_QUEUE_FULL, "errors_limit"},
              {MCTX_ERR_FIREWALL, "errors_permission"},          {MCTX_ERR_IO, "errors_io"},
              {MCTX_ERR_DATAGRAM_TOO_LARGE, "errors_too_large"}, {MCTX_ERR_INTERFACE_DOWN, "errors_network"}};
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_slice slices[4] = {{.length = 0}, {.length = 0}, {.length = 0}, {.length = 0}};
  for (uint64_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    /* a batch of which one is accepted */
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_PARTIAL, 1));
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 2, MCTX_SIM_FAIL, rows[i].status));
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 3, MCTX_SIM_FAIL, rows[i].status));
    assert_status(mctx_send_batch(publication, slices, 4, 0, 0, NULL, NULL), rows[i].status);
    mctx_sim_clear_faults();
    assert_int_equal(counter(publication, rows[i].name), 1);
    assert_int_equal(counter(publication, "send_errors"), i + 1);
    assert_int_equal(counter(publication, "send_calls"), i + 1);
    assert_int_equal(counter(publication, "packets_sent"), i + 1);
  }
  assert_closed(context);
}

static void drained_errors_are_counted(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  for (int i = 0; i < 5; i++) {
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_EARLIER, MCTX_ERR_UNREACHABLE));
    assert_ok(mctx_send(publication, "x", 1, NULL));
  }
  assert_int_equal(counter(publication, "drained_errors"), 5);
  assert_int_equal(counter(publication, "send_errors"), 0);
  assert_int_equal(counter(context, "total_drained_errors"), 5);
  assert_closed(context);
}

static void sums_do_not_fall_when_publications_close(void **state) {
  (void)state;
  mctx_context context = open_context();
  for (uint64_t round = 1; round <= 5; round++) {
    mctx_publication publication = open_group(context, "239.1.1.1:5000");
    assert_ok(mctx_send(publication, "abc", 3, NULL));
    assert_int_equal(counter(context, "active_publications"), 1);
    assert_int_equal(counter(context, "total_packets_sent"), round);
    if (round % 2) {
      assert_closed(publication);
    } else {
      mctx_os_handle native;
      assert_ok(mctx_publication_take(publication, &native, NULL));
      mctx_sim_socket_close(&native);
    }
    assert_int_equal(counter(context, "publications_added"), round);
    assert_int_equal(counter(context, "publications_removed"), round);
    assert_int_equal(counter(context, "active_publications"), 0);
    assert_int_equal(counter(context, "total_packets_sent"), round);
    assert_int_equal(counter(context, "total_bytes_sent"), 3 * round);
  }
  mctx_publication_options options = options_for("239.1.1.1:5000");
  mctx_publication none;
  assert_true(mctx_sim_fault(MCTX_SIM_SOCKET_OPEN, 1, MCTX_SIM_FAIL, MCTX_ERR_TOO_MANY_DESCRIPTORS));
  assert_status(mctx_publication_open(context, &options, &none, NULL), MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_int_equal(counter(context, "publications_added"), 5);
  assert_int_equal(counter(context, "publications_removed"), 5);
  assert_closed(context);
}

static void short_arrays_take_the_first_counters(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  uint64_t values[3] = {77, 77, 77};
  uint32_t count, whole;
  assert_ok(mctx_send(publication, "abc", 3, NULL));
  assert_ok(mctx_metrics(publication, NULL, 0, &whole, NULL));
  assert_ok(mctx_metrics(publication, values, 2, &count, NULL));
  assert_int_equal(count, whole);
  assert_int_equal(values[0], 1);
  assert_int_equal(values[1], 1);
  assert_int_equal(values[2], 77);
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  assert_status(mctx_metrics(list, values, 3, &count, NULL), MCTX_ERR_WRONG_HANDLE);
  assert_int_equal(count, 0);
  assert_closed(list);
  assert_closed(context);
}

/* ---- coherence: each vector is a state between two calls ---- */

static mctx_publication watched;
static _Atomic uint32_t stop;

static void *send_sevens(void *argument) {
  (void)argument;
  while (atomic_load(&stop) == 0)
    assert_true(mctx_send_segments(watched, "0123456", 7, 7, 0, 0, NULL, NULL) == MCTX_OK);
  return NULL;
}

static void vectors_are_coherent(void **state) {
  (void)state;
  pthread_t threads[3];
  mctx_context context = open_context();
  watched = open_group(context, "239.1.1.1:5000");
  atomic_store(&stop, 0);
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, send_sevens, NULL), 0);
  uint64_t last = 0;
  for (int i = 0; i < 20000; i++) {
    uint64_t values[4];
    uint32_t count;
    assert_ok(mctx_metrics(watched, values, 4, &count, NULL));
    assert_int_equal(values[1], values[0]);
    assert_int_equal(values[2], 7 * values[0]);
    assert_true(values[0] >= last);
    last = values[0];
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_closed(context);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(every_counter_has_a_name_of_its_own),
      fixture_test(names_do_not_move),
      fixture_test(sends_are_counted),
      fixture_test(failures_are_counted_by_kind),
      fixture_test(drained_errors_are_counted),
      fixture_test(sums_do_not_fall_when_publications_close),
      fixture_test(short_arrays_take_the_first_counters),
      fixture_test(vectors_are_coherent),
  };
  return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}

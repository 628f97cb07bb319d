/* SPDX-License-Identifier: MIT */
/* Waiting: readiness, deadlines on virtual time, waking, closing. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "sim_fixture.h"

static mctx_context context;
static mctx_publication publication;

/* A publication whose buffer is full and drains every millisecond; with 0 it never drains. */
static void open_full(int64_t drain_ns) {
  mctx_sim_buffer(1, drain_ns);
  context = open_context();
  publication = open_group(context, "239.1.1.1:5000");
  assert_ok(mctx_send(publication, "x", 1, NULL));
}

static void readiness_comes_at_once_or_with_time(void **state) {
  (void)state;
  uint32_t ready = 77;
  open_full(MILLI);
  int64_t start = mctx_sim_now();
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_wait(publication, MCTX_WRITABLE, 0, 0, &ready, &error), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(ready, 0);
  assert_string_equal(error.message, "");
  assert_int_equal(mctx_sim_now(), start);
  assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
  assert_int_equal(ready, MCTX_WRITABLE);
  assert_int_equal(mctx_sim_now(), start + MILLI);
  assert_ok(mctx_wait(publication, MCTX_READABLE | MCTX_WRITABLE, 0, 0, &ready, NULL));
  assert_int_equal(ready, MCTX_WRITABLE);
  /* the longest timeout is for ever */
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, INT64_MAX, &ready, NULL));
  assert_closed(context);
}

static void a_wait_ends_at_its_deadline(void **state) {
  (void)state;
  uint32_t ready = 77;
  open_full(0);
  static const int64_t timeouts[] = {1, MILLI, 3600 * SECOND};
  for (size_t i = 0; i < 3; i++) {
    int64_t start = mctx_sim_now();
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_wait(publication, MCTX_WRITABLE, 0, timeouts[i], &ready, &error), MCTX_ERR_TIMEOUT);
    assert_int_equal(mctx_sim_now() - start, timeouts[i]);
    assert_int_equal(ready, 0);
    assert_int_equal(error.kind, MCTX_KIND_TIMEOUT);
  }
  int64_t start = mctx_sim_now();
  assert_status(mctx_wait(context, 0, 0, 7 * MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  assert_int_equal(mctx_sim_now() - start, 7 * MILLI);
  assert_status(mctx_wait(context, 0, 0, 0, &ready, NULL), MCTX_ERR_WOULD_BLOCK);
  assert_closed(context);
}

static void arguments_are_checked(void **state) {
  (void)state;
  uint32_t ready = 77;
  open_full(0);
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_wait(publication, 4, 0, 0, &ready, &error), MCTX_ERR_INVALID_ARGUMENT);
  assert_string_equal(error.field, "interest");
  assert_int_equal(ready, 0);
  assert_status(mctx_wait(context, MCTX_WRITABLE, 0, 0, &ready, &error), MCTX_ERR_INVALID_ARGUMENT);
  assert_status(mctx_wait(publication, 0, 2, 0, &ready, &error), MCTX_ERR_RESERVED);
  assert_string_equal(error.field, "flags");
  assert_closed(context);
}

/* ---- waking ---- */

static void waking_is_a_token_that_one_waiter_takes(void **state) {
  (void)state;
  uint32_t ready;
  open_full(0);
  for (int target = 0; target < 2; target++) {
    mctx_handle handle = target == 0 ? publication : context;
    uint32_t events = target == 0 ? MCTX_WRITABLE : 0;
    for (int calls = 1; calls < 4; calls++) {
      for (int i = 0; i < calls; i++)
        assert_int_equal(mctx_wake(handle), MCTX_OK);
      mctx_error error = MCTX_ERROR_INIT;
      assert_status(mctx_wait(handle, events, 0, -1, &ready, &error), MCTX_ERR_WOKEN);
      assert_int_equal(error.kind, MCTX_KIND_INTERRUPTED);
      assert_status(mctx_wait(handle, events, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
    }
  }
  /* the other object's token is another's */
  assert_int_equal(mctx_wake(context), MCTX_OK);
  assert_status(mctx_wait(publication, MCTX_WRITABLE, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  assert_status(mctx_wait(context, 0, 0, 0, &ready, NULL), MCTX_ERR_WOKEN);
  assert_closed(context);
}

static void waking_ends_a_batch(void **state) {
  (void)state;
  mctx_slice slices[3] = {{.length = 0}, {.length = 0}, {.length = 0}};
  uint64_t accepted = 77;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_sim_buffer(2, 0);
  context = open_context();
  publication = open_group(context, "239.1.1.1:5000");
  assert_int_equal(mctx_wake(publication), MCTX_OK);
  assert_status(mctx_send_batch(publication, slices, 3, 0, -1, &accepted, &error), MCTX_ERR_WOKEN);
  assert_int_equal(accepted, 2);
  assert_int_equal(error.item, 2);
  /* a batch that need not wait does not take the token */
  mctx_publication other = open_group(context, "239.1.1.2:5000");
  assert_int_equal(mctx_wake(other), MCTX_OK);
  assert_ok(mctx_send_batch(other, slices, 2, 0, -1, &accepted, NULL));
  assert_status(mctx_send_batch(other, slices, 1, 0, -1, &accepted, NULL), MCTX_ERR_WOKEN);
  assert_closed(context);
}

static void only_objects_that_wait_can_be_woken(void **state) {
  (void)state;
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  assert_int_equal(mctx_wake(list), MCTX_ERR_WRONG_HANDLE);
  assert_int_equal(mctx_wake(0), MCTX_ERR_INVALID_HANDLE);
  assert_closed(list);
}

/* ---- signals and errors ---- */

static void a_signal_ends_the_wait_where_asked(void **state) {
  (void)state;
  uint32_t ready;
  open_full(MILLI);
  assert_true(mctx_sim_fault(MCTX_SIM_WAIT, 1, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL));
  assert_true(mctx_sim_fault(MCTX_SIM_WAIT, 2, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL));
  assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_true(mctx_sim_fault(MCTX_SIM_WAIT, 1, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL));
  assert_status(mctx_wait(publication, MCTX_WRITABLE, MCTX_INTERRUPTIBLE, -1, &ready, NULL), MCTX_ERR_SIGNAL);
  assert_int_equal(ready, 0);
  assert_closed(context);
}

/* An undrained queue would report itself for ever. */
static void errors_of_earlier_datagrams_are_drained_while_waiting(void **state) {
  (void)state;
  uint32_t ready;
  uint64_t accepted;
  mctx_slice slice = {.length = 0};
  open_full(MILLI);
  for (int batch = 0; batch < 2; batch++) {
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_EARLIER, MCTX_ERR_WOULD_BLOCK));
    assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_WOULD_BLOCK);
    assert_int_equal(mctx_sim_pending_errors(), 1);
    int64_t start = mctx_sim_now();
    if (batch) {
      assert_ok(mctx_send_batch(publication, &slice, 1, 0, -1, &accepted, NULL));
    } else {
      assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
      assert_int_equal(ready, MCTX_WRITABLE);
      assert_ok(mctx_send(publication, "x", 1, NULL));
    }
    assert_int_equal(mctx_sim_pending_errors(), 0);
    assert_int_equal(mctx_sim_now() - start, MILLI);
  }
  assert_closed(context);
}

static void a_wait_that_the_system_fails_says_so(void **state) {
  (void)state;
  uint32_t ready = 77;
  open_full(0);
  mctx_error error = MCTX_ERROR_INIT;
  assert_true(mctx_sim_fault(MCTX_SIM_WAIT, 1, MCTX_SIM_FAIL, MCTX_ERR_IO));
  assert_status(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, &error), MCTX_ERR_IO);
  assert_int_equal(ready, 0);
  assert_true(error.os_code != 0);
  assert_closed(context);
}

static void the_pollable_handle_is_the_socket(void **state) {
  (void)state;
  mctx_os_handle native;
  open_full(0);
  assert_ok(mctx_pollable(publication, &native, NULL));
  assert_int_equal(native.value, info_of(publication).socket.value);
  assert_int_equal(native.type, MCTX_OS_DESCRIPTOR);
  mctx_error error = MCTX_ERROR_INIT;
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  assert_status(mctx_pollable(list, &native, &error), MCTX_ERR_UNSUPPORTED);
  assert_closed(list);
  assert_int_equal(native.type, MCTX_OS_NONE);
  assert_true(strlen(error.hint) > 0);
  assert_closed(context);
}

/* ---- other threads: these waits sleep for real ---- */

enum { WAITERS = 4 };

static _Atomic uint32_t waiting;
static _Atomic uint32_t ended[4]; /* by closed, woken, OK, anything else */

static void count_end(mctx_status status) {
  atomic_fetch_add(&ended[status == MCTX_ERR_CLOSED  ? 0
                          : status == MCTX_ERR_WOKEN ? 1
                          : status == MCTX_OK        ? 2
                                                     : 3],
                   1);
}

static void *wait_writable(void *argument) {
  uint32_t ready;
  (void)argument;
  atomic_fetch_add(&waiting, 1);
  count_end(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
  return NULL;
}

static void *wait_context(void *argument) {
  uint32_t ready;
  (void)argument;
  atomic_fetch_add(&waiting, 1);
  count_end(mctx_wait(context, 0, 0, -1, &ready, NULL));
  return NULL;
}

static _Atomic uint32_t unnamed; /* batches that did not say which datagram was not taken */

static void *wait_in_batch(void *argument) {
  mctx_slice slice = {.length = 0};
  mctx_error error = MCTX_ERROR_INIT;
  (void)argument;
  atomic_fetch_add(&waiting, 1);
  count_end(mctx_send_batch(publication, &slice, 1, 0, -1, NULL, &error));
  if (error.item != 0 || error.handle != publication) atomic_fetch_add(&unnamed, 1);
  return NULL;
}

static void rest(void) {
  struct timespec pause = {0, 3 * MILLI};
  (void)nanosleep(&pause, NULL);
}

static void start_waiters(pthread_t threads[WAITERS], void *(*run)(void *)) {
  atomic_store(&waiting, 0);
  for (int i = 0; i < 4; i++)
    atomic_store(&ended[i], 0);
  for (int i = 0; i < WAITERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run, NULL), 0);
  while (atomic_load(&waiting) < WAITERS)
    rest();
  rest();
}

static void join_waiters(pthread_t threads[WAITERS]) {
  for (int i = 0; i < WAITERS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void closing_ends_every_wait(void **state) {
  (void)state;
  static void *(*const kinds[])(void *) = {wait_writable, wait_in_batch, wait_context};
  for (int kind = 0; kind < 3; kind++)
    for (int whole = kind == 2; whole < 2; whole++) {
      pthread_t threads[WAITERS];
      open_full(0);
      start_waiters(threads, kinds[kind]);
      assert_int_equal(atomic_load(&ended[0]), 0);
      assert_closed(whole ? context : publication);
      join_waiters(threads);
      assert_int_equal(atomic_load(&ended[0]), WAITERS);
      assert_int_equal(atomic_load(&unnamed), 0);
      if (!whole) assert_closed(context);
    }
}

static uint32_t all_ended(void) {
  return atomic_load(&ended[0]) + atomic_load(&ended[1]) + atomic_load(&ended[2]) + atomic_load(&ended[3]);
}

static void each_token_ends_exactly_one_wait(void **state) {
  (void)state;
  static void *(*const kinds[])(void *) = {wait_writable, wait_in_batch, wait_context};
  for (int kind = 0; kind < 3; kind++) {
    pthread_t threads[WAITERS];
    open_full(0);
    start_waiters(threads, kinds[kind]);
    for (uint32_t tokens = 1; tokens <= WAITERS; tokens++) {
      assert_int_equal(mctx_wake(kind == 2 ? context : publication), MCTX_OK);
      for (int i = 0; i < 2000 && all_ended() < tokens; i++)
        rest();
      rest();
      assert_int_equal(all_ended(), tokens);
    }
    join_waiters(threads);
    assert_int_equal(atomic_load(&ended[1]), WAITERS);
    assert_closed(context);
  }
}

static void room_in_the_buffer_ends_a_wait(void **state) {
  (void)state;
  pthread_t threads[WAITERS];
  open_full(MILLI);
  start_waiters(threads, wait_writable);
  join_waiters(threads);
  assert_int_equal(atomic_load(&ended[2]), WAITERS);
  assert_closed(context);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(readiness_comes_at_once_or_with_time),
      fixture_test(a_wait_ends_at_its_deadline),
      fixture_test(arguments_are_checked),
      fixture_test(waking_is_a_token_that_one_waiter_takes),
      fixture_test(waking_ends_a_batch),
      fixture_test(only_objects_that_wait_can_be_woken),
      fixture_test(a_signal_ends_the_wait_where_asked),
      fixture_test(errors_of_earlier_datagrams_are_drained_while_waiting),
      fixture_test(a_wait_that_the_system_fails_says_so),
      fixture_test(the_pollable_handle_is_the_socket),
      fixture_test(closing_ends_every_wait),
      fixture_test(each_token_ends_exactly_one_wait),
      fixture_test(room_in_the_buffer_ends_a_wait),
  };
  return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}

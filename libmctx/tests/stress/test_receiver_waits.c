/* SPDX-License-Identifier: MIT */
/* Receivers that wait on real threads: closing ends them at once, a wake ends exactly one, a signal only one
 * that asked for it; by every call that can wait for a subscription. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "host/delays.h"
#include "host/subscription.h"
#include "host/waiter.h"

enum { WAITERS = 4, P99_MS = 10 };

/* ---- the calls ---- */

typedef enum place { IN_RECV, IN_BATCH, IN_WAIT, IN_MANY, ON_CONTEXT, PLACES } place;

static const char *const place_names[] = {"recv", "recv_batch", "wait", "wait_many", "wait on the context"};

static mctx_status call(waiter *own) {
  _Alignas(8) unsigned char *arena = malloc(1 << 16);
  mctx_datagram datagrams[128];
  mctx_receive_batch batch = {.size = sizeof batch,
                              .arena = arena,
                              .arena_size = 1 << 16,
                              .datagrams = datagrams,
                              .datagram_capacity = 128};
  mctx_wait_item item = {.handle = own->handle, .interest = MCTX_READABLE};
  mctx_status status = MCTX_ERR_INTERNAL;
  size_t length;
  uint32_t ready;
  switch ((place)own->where) {
    case IN_RECV:
      status = mctx_recv(own->handle, arena, 1 << 16, own->flags, -1, &length, NULL, 0, &own->error);
      break;
    case IN_BATCH:
      status = mctx_recv_batch(own->handle, &batch, own->flags, -1, &own->error);
      break;
    case IN_WAIT:
      status = mctx_wait(own->handle, MCTX_READABLE, own->flags, -1, &ready, &own->error);
      break;
    case IN_MANY:
      status = mctx_wait_many(own->context, &item, sizeof item, 1, own->flags, -1, &ready, &own->error);
      break;
    default:
      status = mctx_wait(own->context, MCTX_READABLE, own->flags, -1, &ready, &own->error);
  }
  free(arena);
  return status;
}

static void start(waiter *own, place where, mctx_context context, mctx_subscription subscription,
                  uint32_t flags) {
  *own =
      (waiter){.call = call, .where = (int)where, .context = context, .handle = subscription, .flags = flags};
  waiter_start(own);
}

static mctx_subscription open_one(mctx_context context) {
  mctx_address group = group_at(4, 1);
  return subscribe(context, &group, "lo");
}

/* ---- closing ---- */

/* Of every kind some, at different moments. */
static void close_under_waiters(delays *set, void *argument) {
  enum { TIMES = 6 };
  (void)argument;
  for (int i = 0; i < TIMES; i++) {
    for (place where = 0; where < PLACES; where++) {
      waiter waiters[WAITERS];
      mctx_context context = open_context();
      mctx_subscription subscription = open_one(context);
      bool by_context = where == ON_CONTEXT || i % 2 == 0;
      for (int k = 0; k < WAITERS; k++)
        start(&waiters[k], where, context, subscription, 0);
      waiters_enter(waiters, WAITERS);
      if (i % 5 != 0) sleep_ms(i % 5);
      int64_t begin = now_ns();
      assert_ok(mctx_close(by_context ? context : subscription, NULL));
      for (int k = 0; k < WAITERS; k++) {
        waiter_join(&waiters[k]);
        assert_status(waiters[k].status, MCTX_ERR_CLOSED);
        assert_string_not_equal(waiters[k].error.hint, "");
        delays_add(set, begin, waiters[k].end_ns);
      }
      if (!by_context) assert_ok(mctx_close(context, NULL));
    }
  }
}

static void closing_ends_every_wait(void **state) {
  (void)state;
  host_alone();
  assert_soon("receives ended by closing", P99_MS * MILLI, close_under_waiters, NULL);
}

/* ---- waking ---- */

/* A wake of the subscription; of the context where the wait is the context's. */
static mctx_handle woken_by(const waiter *own) {
  return own->where == IN_MANY || own->where == ON_CONTEXT ? own->context : own->handle;
}

static void a_wake_ends_exactly_one(void **state) {
  (void)state;
  host_alone();
  for (place where = 0; where < PLACES; where++) {
    waiter waiters[WAITERS];
    mctx_context context = open_context();
    mctx_subscription subscription = open_one(context);
    for (int i = 0; i < WAITERS; i++)
      start(&waiters[i], where, context, subscription, 0);
    const int woken = waiters_wake(waiters, WAITERS, woken_by(&waiters[0]), context);
    if (woken != WAITERS - 1) fail_msg("%d were woken in %s", woken, place_names[where]);
  }
}

/* Before the call: the next wait takes it; what is there goes first or is left, never lost. */
static void a_wake_is_kept_and_takes_nothing_away(void **state) {
  static taken got;
  size_t length;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_address group = group_at(4, 1);
  mctx_subscription subscription = open_one(context);
  for (int i = 0; i < 20; i++) {
    int datagrams = 0;
    int wakes = 0;
    say(NULL, "lo", &group, "kept");
    assert_ok(mctx_wake(subscription));
    assert_ok(mctx_wake(subscription)); /* several count as one */
    for (int k = 0; k < 2; k++) {
      mctx_status status =
          mctx_recv(subscription, got.data, sizeof got.data, 0, SECOND, &length, NULL, 0, NULL);
      datagrams += status == MCTX_OK;
      wakes += status == MCTX_ERR_WOKEN;
    }
    assert_int_equal(datagrams, 1);
    assert_int_equal(wakes, 1);
    assert_takes_nothing(subscription);
  }
  assert_ok(mctx_close(context, NULL));
}

/* ---- signals ---- */

static void a_signal_ends_only_those_that_ask_for_it(void **state) {
  waiter waiters[2];
  (void)state;
  signal_wakes = 0;
  catch_signals();
  host_alone();
  for (place where = 0; where < PLACES; where++) {
    mctx_context context = open_context();
    mctx_subscription subscription = open_one(context);
    start(&waiters[0], where, context, subscription, 0);
    start(&waiters[1], where, context, subscription, MCTX_INTERRUPTIBLE);
    assert_a_signal_ends_the_second(waiters, context);
  }
}

/* In the very thread that waits, or in another, whatever it is doing. */
static void a_wake_may_come_from_a_signal_handler(void **state) {
  (void)state;
  catch_signals();
  host_alone();
  for (place where = 0; where < PLACES; where++) {
    waiter own;
    mctx_context context = open_context();
    mctx_subscription subscription = open_one(context);
    for (int i = 0; i < 20; i++) {
      start(&own, where, context, subscription, 0);
      signal_wakes = woken_by(&own);
      if (i % 2 == 0) waiters_settle(&own, 1);
      waiters_enter(&own, 1);
      signal_until_handled(i % 3 == 0 ? pthread_self() : own.thread);
      waiter_join(&own);
      assert_status(own.status, MCTX_ERR_WOKEN);
    }
    signal_wakes = 0;
    assert_ok(mctx_close(context, NULL));
  }
}

/* A handler that wakes while its thread is inside a call of any kind: nothing locks up. */
static void a_handler_may_wake_in_the_middle_of_a_receive(void **state) {
  enum { TIMES = 3000 };
  static basket memory;
  (void)state;
  catch_signals();
  host_alone();
  mctx_context context = open_context();
  mctx_address group = group_at(4, 1);
  mctx_subscription subscription = open_one(context);
  int sender = sender_open(4, NULL, "lo");
  timer_t timer;
  struct sigevent notify = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  struct itimerspec every = {.it_interval = {0, 70000}, .it_value = {0, 70000}};
  signal_wakes = subscription;
  assert_int_equal(0, timer_create(CLOCK_MONOTONIC, &notify, &timer));
  assert_int_equal(0, timer_settime(timer, 0, &every, NULL));
  int failed = 0;
  for (int i = 0; i < TIMES; i++) {
    int received = 0;
    send_text(sender, &group, "x");
    for (int tries = 0; received == 0 && tries < 1000; tries++) {
      basket_init(&memory);
      mctx_status status = mctx_recv_batch(subscription, &memory.batch, 0, 10 * SECOND, NULL);
      received = (int)memory.batch.datagram_count;
      failed += status != MCTX_OK && status != MCTX_ERR_WOKEN;
    }
    failed += received != 1;
  }
  signal_wakes = 0;
  timer_delete(timer);
  assert_int_equal(failed, 0);
  close(sender);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(closing_ends_every_wait),
      cmocka_unit_test(a_wake_ends_exactly_one),
      cmocka_unit_test(a_wake_is_kept_and_takes_nothing_away),
      cmocka_unit_test(a_signal_ends_only_those_that_ask_for_it),
      cmocka_unit_test(a_wake_may_come_from_a_signal_handler),
      cmocka_unit_test(a_handler_may_wake_in_the_middle_of_a_receive),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

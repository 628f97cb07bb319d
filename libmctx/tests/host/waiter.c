/* SPDX-License-Identifier: MIT */
/* Threads that block in a call of the library. */
#include "host/waiter.h"

static void *keep_waiting(void *argument) {
  waiter *own = argument;
  own->inside = true;
  own->status = own->call(own);
  own->end_ns = now_ns();
  own->returned = true;
  return NULL;
}

void waiter_start(waiter *own) {
  own->inside = own->returned = false;
  own->status = MCTX_ERR_INTERNAL;
  own->accepted = 0;
  own->end_ns = 0;
  mctx_error_init(&own->error, sizeof own->error);
  assert_int_equal(0, pthread_create(&own->thread, NULL, keep_waiting, own));
}

void waiter_join(waiter *own) {
  assert_int_equal(0, pthread_join(own->thread, NULL));
}

void waiters_enter(waiter *waiters, int count) {
  for (int i = 0; i < count; i++)
    while (!waiters[i].inside)
      sleep_ms(1);
}

void waiters_settle(waiter *waiters, int count) {
  waiters_enter(waiters, count);
  sleep_ms(SETTLING_MS);
}

static int returned(const waiter *waiters, int count) {
  int number = 0;
  for (int i = 0; i < count; i++)
    number += waiters[i].returned;
  return number;
}

void assert_returned(const waiter *waiters, int count, int expected) {
  for (int i = 0; i < PATIENCE_MS && returned(waiters, count) < expected; i++)
    sleep_ms(1);
  sleep_ms(SETTLING_MS);
  assert_int_equal(returned(waiters, count), expected);
}

int waiters_wake(waiter *waiters, int count, mctx_handle handle, mctx_context context) {
  int woken = 0;
  waiters_settle(waiters, count);
  for (int i = 1; i < count; i++) {
    assert_ok(mctx_wake(handle));
    assert_returned(waiters, count, i);
  }
  assert_ok(mctx_close(context, NULL));
  for (int i = 0; i < count; i++) {
    waiter_join(&waiters[i]);
    woken += waiters[i].status == MCTX_ERR_WOKEN;
  }
  return woken;
}

/* ---- SIGUSR1 ---- */

_Atomic mctx_handle signal_wakes;
_Atomic int signals_handled;

static void on_signal(int number) {
  (void)number;
  signals_handled++;
  if (signal_wakes != 0) (void)!mctx_wake(signal_wakes);
}

void catch_signals(void) {
  struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
  assert_int_equal(0, sigaction(SIGUSR1, &action, NULL));
}

void signal_until_handled(pthread_t thread) {
  int before = signals_handled;
  for (int k = 0; k < 10 && signals_handled == before; k++) {
    assert_int_equal(0, pthread_kill(thread, SIGUSR1));
    for (int ms = 0; ms < 500 && signals_handled == before; ms++)
      sleep_ms(1);
  }
  assert_int_not_equal(signals_handled, before);
}

void signal_until_returned(waiter *own) {
  for (int i = 0; i < PATIENCE_MS && !own->returned; i++) {
    pthread_kill(own->thread, SIGUSR1);
    sleep_ms(1);
  }
  assert_true(own->returned);
}

void assert_a_signal_ends_the_second(waiter waiters[2], mctx_context context) {
  waiters_settle(waiters, 2);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(0, pthread_kill(waiters[0].thread, SIGUSR1));
    sleep_ms(2);
  }
  assert_false(waiters[0].returned);
  signal_until_returned(&waiters[1]);
  assert_false(waiters[0].returned);
  assert_status(waiters[1].status, MCTX_ERR_SIGNAL);
  assert_int_equal(waiters[1].error.kind, MCTX_KIND_INTERRUPTED);
  assert_ok(mctx_close(context, NULL));
  waiter_join(&waiters[0]);
  waiter_join(&waiters[1]);
  assert_status(waiters[0].status, MCTX_ERR_CLOSED);
}

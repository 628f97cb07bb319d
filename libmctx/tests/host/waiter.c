/* SPDX-License-Identifier: MIT */
/* Threads that block in a call of the library. */
#include "host/waiter.h"

enum { PATIENCE_MS = 10000 };

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

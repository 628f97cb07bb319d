/* SPDX-License-Identifier: MIT */
/* Threads that block in a call of the library, and a signal that disturbs them. */
#ifndef MCTX_TESTS_WAITER_H
#define MCTX_TESTS_WAITER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "host/host.h"

typedef struct waiter waiter;

struct waiter {
  mctx_status (*call)(waiter *own); /* what blocks */
  int where;                        /* which of the test's ways; `call` looks at it, as at the next three */
  mctx_context context;
  mctx_handle handle;
  uint32_t flags;
  pthread_t thread;
  _Atomic bool inside; /* about to call */
  _Atomic bool returned;
  mctx_status status;
  uint64_t accepted; /* by a batch */
  int64_t end_ns;    /* when it came back */
  mctx_error error;
};

enum { SETTLING_MS = 20 };

/* Clears everything from `thread` on. */
void waiter_start(waiter *own);
void waiter_join(waiter *own);
/* Until all are about to call. */
void waiters_enter(waiter *waiters, int count);
/* Until all are most likely blocked. */
void waiters_settle(waiter *waiters, int count);
/* Until so many have returned; not more, a while later. */
void assert_returned(const waiter *waiters, int count, int expected);
/* Each wake of the handle ends one; the last is ended by closing the context. Returns how many say that they
 * were woken. */
int waiters_wake(waiter *waiters, int count, mctx_handle handle, mctx_context context);

/* ---- SIGUSR1 ---- */

extern _Atomic mctx_handle signal_wakes; /* by the handler; 0: nothing */
extern _Atomic int signals_handled;

void catch_signals(void);
/* Signals the thread until a handler has run: ThreadSanitizer may hold one back. */
void signal_until_handled(pthread_t thread);
/* Signals a waiter until it returns: one may come between two waits of a batch. */
void signal_until_returned(waiter *own);
/* A signal ends the second, which asks for it, and never the first, which is ended by closing the context. */
void assert_a_signal_ends_the_second(waiter waiters[2], mctx_context context);

#endif

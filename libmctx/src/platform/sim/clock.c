/* SPDX-License-Identifier: MIT */
/* The one lock, the virtual clock, yielding, and forks as the core sees them. */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "sim.h"

#define START_NS   INT64_C(1000000000)
#define LOOK_AGAIN 5000000 /* ns of real time */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int64_t now_ns = START_NS;
static mctx__fork_hooks hooks;
static _Atomic uint32_t fork_page = 1;

void mctx__sim_lock(void) {
  (void)pthread_mutex_lock(&lock);
}

void mctx__sim_unlock(void) {
  (void)pthread_mutex_unlock(&lock);
}

/* A signal handler can't wait for the lock, so a notice may come between a sleeper's look and its sleep: it
 * looks again after a while. */
void mctx__sim_sleep_locked(void) {
  struct timespec until;
  (void)timespec_get(&until, TIME_UTC);
  until.tv_nsec += LOOK_AGAIN;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    until.tv_sec += 1;
  }
  (void)pthread_cond_timedwait(&changed, &lock, &until);
}

void mctx__sim_notify(void) {
  for (uint32_t attempt = 0; attempt < 100; attempt++) {
    if (pthread_mutex_trylock(&lock) != 0) continue;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&lock);
    return;
  }
}

void mctx__sim_changed(void) {
  (void)pthread_cond_broadcast(&changed);
}

void mctx__sim_clock_move(int64_t to_ns) {
  while (mctx__sim_next_arrival() <= to_ns) {
    now_ns = mctx__sim_next_arrival();
    mctx__sim_deliver_next();
  }
  now_ns = to_ns;
  mctx__sim_changed();
}

int64_t mctx__sim_clock(void) {
  return now_ns;
}

void mctx__sim_clock_reset(void) {
  now_ns = START_NS;
  atomic_store(&fork_page, 1);
}

int64_t mctx__clock_monotonic(void) {
  mctx__sim_lock();
  int64_t now = now_ns;
  mctx__sim_unlock();
  return now;
}

int64_t mctx__clock_coarse(void) {
  return mctx__clock_monotonic();
}

int64_t mctx__clock_utc(void) {
  return MCTX__SIM_UTC_AHEAD_NS + mctx__clock_monotonic();
}

int64_t mctx_sim_now(void) {
  return mctx__clock_monotonic();
}

void mctx_sim_advance(int64_t duration_ns) {
  mctx__sim_lock();
  mctx__sim_clock_move(now_ns + duration_ns);
  mctx__sim_unlock();
}

void mctx__sleep(int64_t duration_ns) {
  if (duration_ns > 0) mctx_sim_advance(duration_ns);
  mctx__yield();
}

void mctx__yield(void) {
  (void)sched_yield();
}

/* ---- forks ---- */

/* The lock is taken last and given back first, so that the hooks may use the whole contract. */
static void before_fork(void) {
  hooks.before();
  mctx__sim_lock();
}

static void parent_after_fork(void) {
  mctx__sim_unlock();
  hooks.parent();
}

static void child_after_fork(void) {
  mctx__sim_unlock();
  hooks.child();
}

mctx__result mctx__fork_watch(const mctx__fork_hooks *wanted) {
  hooks = *wanted;
  if (pthread_atfork(before_fork, parent_after_fork, child_after_fork) != 0) {
    return mctx__sim_error(MCTX_ERR_NO_MEMORY);
  }
  return MCTX__DONE;
}

_Atomic uint32_t *mctx__fork_page(void) {
  return &fork_page;
}

void mctx_sim_become_child(void) {
  atomic_store(&fork_page, 0);
}

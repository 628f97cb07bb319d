/* SPDX-License-Identifier: MIT */
/* Clocks, sleep, and giving way to other threads. */
#include "posix.h"

#include <sched.h>
#include <time.h>

enum { NS_PER_S = 1000000000 };

static int64_t clock_read(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) return 0;
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t mctx__clock_monotonic(void) {
  return clock_read(CLOCK_MONOTONIC);
}

int64_t mctx__clock_coarse(void) {
#if defined(CLOCK_MONOTONIC_COARSE)
  return clock_read(CLOCK_MONOTONIC_COARSE);
#else
  return clock_read(CLOCK_MONOTONIC);
#endif
}

int64_t mctx__clock_utc(void) {
  return clock_read(CLOCK_REALTIME);
}

void mctx__yield(void) {
  (void)sched_yield();
}

void mctx__sleep(int64_t duration_ns) {
  if (duration_ns <= 0) return;
  const struct timespec duration = {(time_t)(duration_ns / NS_PER_S), (long)(duration_ns % NS_PER_S)};
  (void)nanosleep(&duration, NULL);
}

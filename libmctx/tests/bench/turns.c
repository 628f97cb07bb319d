/* SPDX-License-Identifier: MIT */
#include "turns.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS_MIN = 12 };

static double now_ns(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

double turns_now_ns(void) {
  return now_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Another order in each round: what ran before leaves the caches so or so. */
static void shuffle(uint32_t *order, uint32_t count) {
  static uint32_t state = 2463534242u; /* xorshift */
  for (uint32_t i = count; i > 1; i--) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    const uint32_t other = state % i;
    const uint32_t last = order[i - 1];
    order[i - 1] = order[other];
    order[other] = last;
  }
}

/* On a machine that is stopped for a while the clock of a thread may stand still: such a turn tells nothing. */
static bool is_measured(const double *taken, uint32_t count) {
  for (uint32_t k = 0; k < count; k++)
    if (taken[k] <= 0) return false;
  return true;
}

int turns_run(const column *columns, uint32_t count, uint32_t milliseconds) {
  uint32_t *order = calloc(count, sizeof *order);
  double *taken = calloc(count, sizeof *taken);
  const double end = now_ns(CLOCK_MONOTONIC) + 1e6 * milliseconds;
  int status = order == NULL || taken == NULL;
  for (uint32_t k = 0; k < count && status == 0; k++) {
    order[k] = k;
    printf("%s%s", columns[k].name, k + 1 < count ? "\t" : "\n");
  }
  for (uint32_t round = 0; status == 0 && (round < ROUNDS_MIN || now_ns(CLOCK_MONOTONIC) < end); round++) {
    shuffle(order, count);
    for (uint32_t i = 0; i < count && status == 0; i++)
      status = columns[order[i]].measure(&columns[order[i]], &taken[order[i]]);
    for (uint32_t k = 0; k < count && status == 0 && is_measured(taken, count); k++)
      printf("%.2f%s", taken[k], k + 1 < count ? "\t" : "\n");
  }
  free(taken);
  free(order);
  return status;
}

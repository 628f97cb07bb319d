/* SPDX-License-Identifier: MIT */
/* A token bucket: holds the datagrams of a publication to a rate, without waiting itself. */
#ifndef MCTX_PACER_H
#define MCTX_PACER_H

#include "plan.h"

typedef struct mctx__pacer {
  mctx__mutex mutex; /* guards level and filled_ns */
  int64_t rate;      /* units a second */
  int64_t burst;     /* units that the bucket holds */
  uint32_t unit;     /* mctx_pacing_unit */
  int64_t level;     /* billionths of a unit in it: so no rounding adds up. Below 0 after a datagram that is
                        larger than the bucket: such a one goes when the bucket is full */
  int64_t filled_ns; /* when the level was right, on the monotonic clock */
} mctx__pacer;

#define MCTX__RATE_MAX  INT64_C(1000000000000)
#define MCTX__BURST_MAX (INT64_C(1) << 33)

/* What a rate yields in 10 ms, at least 1: a sleeper that a busy host wakes later than that loses some of it.
 */
int64_t mctx__pacer_usual_burst(int64_t rate);

/* A full bucket. `rate` is 1 to MCTX__RATE_MAX, `burst` 1 to MCTX__BURST_MAX. */
void mctx__pacer_init(mctx__pacer *pacer, uint32_t unit, int64_t rate, int64_t burst);
void mctx__pacer_destroy(mctx__pacer *pacer);

/* No datagram is longer than 65,535 bytes.
 * Takes what the datagrams from `position` on cost, as far as the level reaches and not beyond `end`, and
 * returns how many that are. */
uint64_t mctx__pacer_take(mctx__pacer *pacer, const mctx__datagrams *source, uint64_t position, uint64_t end);
/* Gives back what datagrams cost that did not go. */
void mctx__pacer_give_back(mctx__pacer *pacer, const mctx__datagrams *source, uint64_t position, uint64_t end);
/* Nanoseconds until a datagram of `length` bytes may go; 0: now. */
int64_t mctx__pacer_due(mctx__pacer *pacer, uint64_t length);

#endif

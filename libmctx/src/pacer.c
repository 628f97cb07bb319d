/* SPDX-License-Identifier: MIT */
#include "pacer.h"

#define BILLION INT64_C(1000000000)

static int64_t cost_of(const mctx__pacer *pacer, uint64_t length) {
  if (pacer->unit == MCTX_PACING_DATAGRAMS) return BILLION;
  return (int64_t)length * 8 * BILLION;
}

static int64_t full(const mctx__pacer *pacer) {
  return pacer->burst * BILLION;
}

static void fill(mctx__pacer *pacer) {
  const int64_t now = mctx__clock_monotonic();
  const int64_t elapsed = now - pacer->filled_ns;
  if (elapsed <= 0) return;
  if (elapsed > (full(pacer) - pacer->level) / pacer->rate)
    pacer->level = full(pacer);
  else
    pacer->level += elapsed * pacer->rate;
  pacer->filled_ns = now;
}

/* What has to be in the bucket for a datagram of that cost. */
static int64_t needed(const mctx__pacer *pacer, int64_t cost) {
  return cost < full(pacer) ? cost : full(pacer);
}

int64_t mctx__pacer_usual_burst(int64_t rate) {
  const int64_t burst = rate / 100;
  if (burst > MCTX__BURST_MAX) return MCTX__BURST_MAX;
  return burst > 0 ? burst : 1;
}

void mctx__pacer_init(mctx__pacer *pacer, uint32_t unit, int64_t rate, int64_t burst) {
  mctx__mutex_init(&pacer->mutex);
  pacer->unit = unit;
  pacer->rate = rate;
  pacer->burst = burst;
  pacer->level = full(pacer);
  pacer->filled_ns = mctx__clock_monotonic();
}

void mctx__pacer_destroy(mctx__pacer *pacer) {
  mctx__mutex_destroy(&pacer->mutex);
}

uint64_t mctx__pacer_take(mctx__pacer *pacer, const mctx__datagrams *source, uint64_t position, uint64_t end) {
  const uint64_t first = position;
  mctx__mutex_lock(&pacer->mutex);
  fill(pacer);
  for (; position < end; position++) {
    const int64_t cost = cost_of(pacer, mctx__datagram_length(source, position));
    if (pacer->level < needed(pacer, cost)) break;
    pacer->level -= cost;
  }
  mctx__mutex_unlock(&pacer->mutex);
  return position - first;
}

void mctx__pacer_give_back(mctx__pacer *pacer, const mctx__datagrams *source, uint64_t position, uint64_t end) {
  mctx__mutex_lock(&pacer->mutex);
  for (; position < end; position++) {
    const int64_t room = full(pacer) - pacer->level;
    const int64_t cost = cost_of(pacer, mctx__datagram_length(source, position));
    pacer->level += cost < room ? cost : room;
  }
  mctx__mutex_unlock(&pacer->mutex);
}

int64_t mctx__pacer_due(mctx__pacer *pacer, uint64_t length) {
  mctx__mutex_lock(&pacer->mutex);
  fill(pacer);
  const int64_t missing = needed(pacer, cost_of(pacer, length)) - pacer->level;
  mctx__mutex_unlock(&pacer->mutex);
  return missing > 0 ? (missing - 1) / pacer->rate + 1 : 0;
}

/* SPDX-License-Identifier: MIT */
/* Limits of the simulated host: Linux's defaults, until a test sets others. */
#include <string.h>

#include "sim.h"

/* By mctx_sim_limit. Linux counts a queue in bytes, and IPv6 memberships by net.core.optmem_max. */
#define DEFAULTS \
  { 20, 10, 2340, 64, 1024, MCTX__SIM_SLOTS, MCTX__SEGMENTS_MAX, 65535 }

static const uint64_t defaults[MCTX_SIM_LIMITS] = DEFAULTS;
static uint64_t limits[MCTX_SIM_LIMITS] = DEFAULTS;

void mctx__sim_limits_reset(void) {
  memcpy(limits, defaults, sizeof(limits));
}

uint64_t mctx__sim_limit(uint32_t limit) {
  return limits[limit];
}

void mctx__sim_limit_change(uint32_t limit, uint64_t value) {
  limits[limit] = value;
}

int32_t mctx_sim_limit_set(uint32_t limit, uint64_t value) {
  if (limit >= MCTX_SIM_LIMITS) return 0;
  mctx__sim_lock();
  mctx__sim_limit_change(limit, value);
  mctx__sim_unlock();
  return 1;
}

uint64_t mctx__descriptor_limit(void) {
  mctx__sim_lock();
  uint64_t limit = limits[MCTX_SIM_DESCRIPTORS];
  mctx__sim_unlock();
  return limit;
}

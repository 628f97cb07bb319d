/* SPDX-License-Identifier: MIT */
/* The wire: what the network took, in order. */
#include "sim.h"

static mctx_sim_datagram datagrams[MCTX__SIM_WIRE];
static uint64_t count;
static uint64_t superpackets;

mctx_sim_datagram *mctx__sim_wire_next(void) {
  return &datagrams[count++ % MCTX__SIM_WIRE];
}

void mctx__sim_wire_cut(void) {
  superpackets++;
}

const mctx_sim_datagram *mctx__sim_wire_look(uint64_t position) {
  if (position >= count || count - position > MCTX__SIM_WIRE) return NULL;
  return &datagrams[position % MCTX__SIM_WIRE];
}

void mctx__sim_wire_reset(void) {
  count = 0;
  superpackets = 0;
}

uint64_t mctx_sim_wire_count(void) {
  mctx__sim_lock();
  uint64_t total = count;
  mctx__sim_unlock();
  return total;
}

int32_t mctx_sim_wire_at(uint64_t position, mctx_sim_datagram *datagram) {
  mctx__sim_lock();
  const mctx_sim_datagram *kept = mctx__sim_wire_look(position);
  if (kept != NULL) *datagram = *kept;
  mctx__sim_unlock();
  return kept != NULL;
}

void mctx_sim_wire_clear(void) {
  mctx__sim_lock();
  count = 0;
  mctx__sim_unlock();
}

uint64_t mctx_sim_superpackets(void) {
  mctx__sim_lock();
  uint64_t total = superpackets;
  mctx__sim_unlock();
  return total;
}

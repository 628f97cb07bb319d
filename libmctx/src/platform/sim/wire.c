/* SPDX-License-Identifier: MIT */
/* The wire: what the network took, in order. */
#include <string.h>

#include "sim.h"

static mctx_sim_datagram datagrams[MCTX__SIM_WIRE];
static uint64_t hashes[MCTX__SIM_WIRE];
static uint64_t count;
static uint64_t superpackets;

uint64_t mctx__sim_hash(uint64_t hash, const void *data, uint64_t length) {
  const unsigned char *bytes = data;
  for (uint64_t i = 0; i < length; i++)
    hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
  return hash;
}

void mctx__sim_wire_put(const mctx_sim_datagram *letter, const unsigned char *payload, uint64_t length) {
  mctx_sim_datagram *datagram = &datagrams[count % MCTX__SIM_WIRE];
  memcpy(datagram, letter, offsetof(mctx_sim_datagram, payload));
  datagram->length = length;
  datagram->stored = length < sizeof(datagram->payload) ? (uint32_t)length : sizeof(datagram->payload);
  if (datagram->stored > 0) memcpy(datagram->payload, payload, datagram->stored);
  hashes[count % MCTX__SIM_WIRE] = mctx__sim_hash(MCTX__SIM_HASH_START, payload, length);
  count++;
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

uint64_t mctx_sim_wire_hash(uint64_t position) {
  mctx__sim_lock();
  uint64_t hash = mctx__sim_wire_look(position) != NULL ? hashes[position % MCTX__SIM_WIRE] : 0;
  mctx__sim_unlock();
  return hash;
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

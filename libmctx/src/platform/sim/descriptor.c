/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: what can be open, of four kinds in one space of numbers, as a system's are:
 * generation << 16 | kind << 14 | slot. They are below 2^30.
 */
#include "sim.h"

#define GENERATIONS 0x3fff

typedef struct descriptor {
  _Atomic uint32_t state; /* generation << 1 | signalled; 0: not open */
  uint32_t next_free;
  uint32_t watchers; /* pollers that have it */
} descriptor;

static descriptor descriptors[MCTX__SIM_KINDS][MCTX__SIM_SLOTS];
static uint32_t used[MCTX__SIM_KINDS];      /* slots that were open at some time */
static uint32_t free_slot[MCTX__SIM_KINDS]; /* slot + 1 of the first free one below `used`; 0: none */
static uint64_t open_count[MCTX__SIM_KINDS];
static uint32_t generations;

/* Where nothing is open, the first slot is the next, so that the same calls find the same order. */
void mctx__sim_descriptors_reset(void) {
  for (uint32_t i = 0; i < MCTX__SIM_KINDS; i++) {
    if (open_count[i] == 0) used[i] = free_slot[i] = 0;
  }
}

static descriptor *look(int64_t value, uint32_t *state) {
  if (value < 0) return NULL;
  descriptor *found = &descriptors[mctx__sim_kind_of(value)][mctx__sim_slot_of(value)];
  *state = atomic_load(&found->state);
  return *state != 0 && (int64_t)(*state >> 1) == value >> 16 ? found : NULL;
}

mctx__result mctx__sim_descriptor_open(uint32_t kind, int64_t *value) {
  uint64_t all = 0;
  for (uint32_t i = 0; i < MCTX__SIM_KINDS; i++)
    all += open_count[i];
  const bool is_full = free_slot[kind] == 0 && used[kind] == MCTX__SIM_SLOTS;
  if (is_full || all >= mctx__sim_limit(MCTX_SIM_DESCRIPTORS))
    return mctx__sim_error(MCTX_ERR_TOO_MANY_DESCRIPTORS);
  uint32_t slot = free_slot[kind] != 0 ? free_slot[kind] - 1 : used[kind]++;
  descriptor *opened = &descriptors[kind][slot];
  if (free_slot[kind] != 0) free_slot[kind] = opened->next_free;
  generations = generations % GENERATIONS + 1;
  opened->watchers = 0;
  atomic_store(&opened->state, generations << 1);
  open_count[kind]++;
  *value = (int64_t)generations << 16 | kind << 14 | slot;
  return MCTX__DONE;
}

bool mctx__sim_descriptor_is_open(int64_t value) {
  uint32_t state;
  return look(value, &state) != NULL;
}

bool mctx__sim_descriptor_find(uint32_t kind, int64_t value) {
  bool found = mctx__sim_descriptor_is_open(value) && mctx__sim_kind_of(value) == kind;
  if (!found) mctx__sim_misused();
  return found;
}

void mctx__sim_descriptor_close(int64_t value) {
  uint32_t state;
  descriptor *closed = look(value, &state);
  uint32_t kind = mctx__sim_kind_of(value);
  if (closed->watchers > 0) mctx__sim_misused();
  atomic_store(&closed->state, 0);
  closed->next_free = free_slot[kind];
  free_slot[kind] = mctx__sim_slot_of(value) + 1;
  open_count[kind]--;
}

void mctx__sim_descriptor_watched(int64_t value, int32_t change) {
  uint32_t state;
  descriptor *found = look(value, &state);
  if (found != NULL && (change > 0 || found->watchers > 0)) found->watchers += (uint32_t)change;
}

void mctx__sim_descriptor_forget_watchers(int64_t value) {
  uint32_t state;
  descriptor *found = look(value, &state);
  if (found != NULL) found->watchers = 0;
}

void mctx__sim_descriptor_signal(int64_t value, bool signalled) {
  uint32_t state;
  descriptor *found = look(value, &state);
  if (found == NULL) return;
  uint32_t before = (state & ~1u) | !signalled;
  (void)atomic_compare_exchange_strong(&found->state, &before, (state & ~1u) | signalled);
}

bool mctx__sim_descriptor_is_signalled(int64_t value) {
  uint32_t state;
  return look(value, &state) != NULL && (state & 1) != 0;
}

uint32_t mctx__sim_descriptors_used(uint32_t kind) {
  return used[kind];
}

static uint64_t counted(uint32_t kind) {
  mctx__sim_lock();
  uint64_t count = open_count[kind];
  mctx__sim_unlock();
  return count;
}

uint64_t mctx_sim_open_sockets(void) {
  return counted(MCTX__SIM_SOCKET);
}

uint64_t mctx_sim_open_events(void) {
  return counted(MCTX__SIM_EVENT);
}

uint64_t mctx_sim_open_pollers(void) {
  return counted(MCTX__SIM_POLLER);
}

uint64_t mctx_sim_open_watches(void) {
  return counted(MCTX__SIM_WATCH);
}

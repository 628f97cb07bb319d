/* SPDX-License-Identifier: MIT */
/* Watches: changes of the interfaces and their addresses. */
#include "sim.h"

static mctx__changes told[MCTX__SIM_SLOTS];
static bool open[MCTX__SIM_SLOTS];

mctx__result mctx__watch_open(mctx__watch *watch) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_WATCH);
  if (outcome.status == MCTX_OK && !mctx__sim_capable(MCTX_CAPABILITY_INTERFACE_CHANGES))
    outcome = mctx__sim_error(MCTX_ERR_UNSUPPORTED);
  if (outcome.status == MCTX_OK) outcome = mctx__sim_descriptor_open(MCTX__SIM_WATCH, &watch->value);
  if (outcome.status == MCTX_OK) {
    told[mctx__sim_slot_of(watch->value)] = (mctx__changes){0};
    open[mctx__sim_slot_of(watch->value)] = true;
  }
  mctx__sim_unlock();
  return outcome;
}

static void close_locked(mctx__watch watch) {
  if (!mctx__sim_descriptor_find(MCTX__SIM_WATCH, watch.value)) return;
  open[mctx__sim_slot_of(watch.value)] = false;
  mctx__sim_descriptor_close(watch.value);
}

void mctx__watch_close(mctx__watch watch) {
  mctx__sim_lock();
  close_locked(watch);
  mctx__sim_unlock();
}

void mctx__watch_abandon(mctx__watch watch) {
  mctx__sim_lock();
  mctx__sim_descriptor_forget_watchers(watch.value);
  close_locked(watch);
  mctx__sim_unlock();
}

void mctx__watch_take(mctx__watch watch, mctx__changes *changes) {
  *changes = (mctx__changes){0};
  mctx__sim_lock();
  if (mctx__sim_descriptor_find(MCTX__SIM_WATCH, watch.value)) {
    mctx__changes *held = &told[mctx__sim_slot_of(watch.value)];
    *changes = *held;
    *held = (mctx__changes){0};
  }
  mctx__sim_unlock();
}

mctx__socket mctx__watch_member(mctx__watch watch) {
  return (mctx__socket){watch.value};
}

bool mctx__sim_watch_is_readable(int64_t value) {
  return told[mctx__sim_slot_of(value)].any;
}

/* ---- what is told ---- */

static void add(mctx__changes *changes, mctx__removal removed) {
  changes->any = true;
  if (removed.index != 0) mctx__removal_keep(changes, removed);
}

void mctx__sim_watch_tell(uint32_t removed, uint32_t family) {
  for (uint32_t i = 0; i < mctx__sim_descriptors_used(MCTX__SIM_WATCH); i++) {
    if (open[i]) add(&told[i], (mctx__removal){removed, family});
  }
  mctx__sim_changed();
}

void mctx_sim_watch_overflow(void) {
  mctx__sim_lock();
  for (uint32_t i = 0; i < mctx__sim_descriptors_used(MCTX__SIM_WATCH); i++) {
    if (open[i]) told[i] = (mctx__changes){.any = true, .lost = true};
  }
  mctx__sim_changed();
  mctx__sim_unlock();
}

/* SPDX-License-Identifier: MIT */
/* Events: what wakes a waiter. */
#include "sim.h"

mctx__result mctx__event_open(mctx__event *event) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_EVENT_OPEN);
  if (outcome.status == MCTX_OK) outcome = mctx__sim_descriptor_open(MCTX__SIM_EVENT, &event->value);
  mctx__sim_unlock();
  return outcome;
}

void mctx__event_signal(mctx__event event) {
  if (mctx__sim_descriptor_find(MCTX__SIM_EVENT, event.value)) mctx__sim_descriptor_signal(event.value, true);
  mctx__sim_notify();
}

void mctx__event_clear(mctx__event event) {
  if (mctx__sim_descriptor_find(MCTX__SIM_EVENT, event.value)) mctx__sim_descriptor_signal(event.value, false);
}

static void close_locked(mctx__event event) {
  if (mctx__sim_descriptor_find(MCTX__SIM_EVENT, event.value)) mctx__sim_descriptor_close(event.value);
}

void mctx__event_close(mctx__event event) {
  mctx__sim_lock();
  close_locked(event);
  mctx__sim_unlock();
}

void mctx__event_abandon(mctx__event event) {
  mctx__sim_lock();
  mctx__sim_descriptor_forget_watchers(event.value);
  close_locked(event);
  mctx__sim_unlock();
}

mctx__socket mctx__event_member(mctx__event event) {
  return (mctx__socket){event.value};
}

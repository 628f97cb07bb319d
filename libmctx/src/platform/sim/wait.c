/* SPDX-License-Identifier: MIT */
/*
 * Events and waiting. A wait that virtual time will end moves the clock there at once; any other sleeps until
 * another thread signals, closes, sends or moves the clock.
 */
#include "sim.h"

typedef struct event_slot {
  _Atomic uint32_t state; /* generation << 1 | signalled; 0: not open */
  uint32_t next_free;
} event_slot;

static event_slot slots[MCTX__SIM_SLOTS];
static uint32_t used;
static uint32_t free_slot; /* index + 1; 0: none */
static uint32_t generations;
static uint64_t open_count;

/* ---- events ---- */

static event_slot *find(mctx__event event) {
  uint32_t index = (uint32_t)event.value & 0xffff;
  if (event.value >= 0 && index < MCTX__SIM_SLOTS) {
    uint32_t state = atomic_load(&slots[index].state);
    if (state != 0 && (int64_t)(state >> 1) == event.value >> 16) return &slots[index];
  }
  mctx__sim_misused();
  return NULL;
}

mctx__result mctx__event_open(mctx__event *event) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_EVENT_OPEN);
  if (outcome.status == MCTX_OK && free_slot == 0 && used == MCTX__SIM_SLOTS) {
    outcome = mctx__sim_error(MCTX_ERR_TOO_MANY_DESCRIPTORS);
  }
  if (outcome.status == MCTX_OK) {
    uint32_t index = free_slot != 0 ? free_slot - 1 : used++;
    if (free_slot != 0) free_slot = slots[index].next_free;
    generations = generations % 0x3fff + 1;
    atomic_store(&slots[index].state, generations << 1);
    event->value = (int64_t)generations << 16 | index;
    open_count++;
  }
  mctx__sim_unlock();
  return outcome;
}

static void set(mctx__event event, uint32_t signalled) {
  event_slot *slot = find(event);
  if (slot == NULL) return;
  uint32_t state = (uint32_t)(event.value >> 16) << 1 | !signalled;
  (void)atomic_compare_exchange_strong(&slot->state, &state, (state & ~1u) | signalled);
}

void mctx__event_signal(mctx__event event) {
  set(event, 1);
  mctx__sim_notify();
}

void mctx__event_clear(mctx__event event) {
  set(event, 0);
}

void mctx__event_close(mctx__event event) {
  mctx__sim_lock();
  event_slot *slot = find(event);
  if (slot != NULL) {
    atomic_store(&slot->state, 0);
    slot->next_free = free_slot;
    free_slot = (uint32_t)(slot - slots) + 1;
    open_count--;
  }
  mctx__sim_unlock();
}

void mctx__event_abandon(mctx__event event) {
  mctx__event_close(event);
}

uint64_t mctx_sim_open_events(void) {
  mctx__sim_lock();
  uint64_t count = open_count;
  mctx__sim_unlock();
  return count;
}

/* ---- waiting ---- */

static uint32_t readiness(mctx__sim_socket *socket, uint32_t events, const event_slot *event) {
  uint32_t ready = 0;
  if (event != NULL && (atomic_load(&event->state) & 1) != 0) ready |= MCTX__WAIT_EVENT;
  if (socket == NULL) return ready;
  if (socket->errors.local + socket->errors.network > 0) ready |= MCTX__WAIT_FAILED;
  if ((events & MCTX_WRITABLE) != 0 && mctx__sim_socket_room(socket) > 0) ready |= MCTX_WRITABLE;
  return ready;
}

/* When virtual time will end the wait; MCTX__FOREVER: never. */
static int64_t end_of(const mctx__sim_socket *socket, uint32_t events, int64_t deadline_ns) {
  if (socket == NULL || (events & MCTX_WRITABLE) == 0 || socket->drain_ns <= 0) return deadline_ns;
  return socket->next_leave_ns < deadline_ns ? socket->next_leave_ns : deadline_ns;
}

static mctx__result wait_locked(mctx__socket name, uint32_t events, mctx__event event, int64_t deadline_ns,
                                uint32_t *ready) {
  for (;;) {
    mctx__sim_socket *socket = name.value == -1 ? NULL : mctx__sim_socket_find(name);
    const event_slot *slot = event.value == -1 ? NULL : find(event);
    if ((socket == NULL && name.value != -1) || (slot == NULL && event.value != -1)) {
      return mctx__sim_error(MCTX_ERR_IO);
    }
    *ready = readiness(socket, events, slot);
    if (*ready != 0) return MCTX__DONE;
    if (mctx__sim_clock() >= deadline_ns) return mctx__sim_error(MCTX_ERR_TIMEOUT);
    int64_t end_ns = end_of(socket, events, deadline_ns);
    if (end_ns == MCTX__FOREVER) {
      mctx__sim_sleep_locked();
    } else {
      mctx__sim_clock_move(end_ns);
    }
  }
}

mctx__result mctx__wait(mctx__socket name, uint32_t events, mctx__event event, int64_t deadline_ns,
                        uint32_t *ready) {
  *ready = 0;
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_WAIT);
  if (outcome.status == MCTX_OK) outcome = wait_locked(name, events, event, deadline_ns, ready);
  mctx__sim_unlock();
  return outcome;
}

/* SPDX-License-Identifier: MIT */
/*
 * Waiting. A wait that virtual time will end moves the clock there at once; any other sleeps until another
 * thread signals, closes, sends, lets something arrive or moves the clock.
 */
#include "sim.h"

static uint32_t readiness_of_socket(mctx__sim_socket *socket, uint32_t events) {
  uint32_t ready = 0;
  if (socket->errors.local + socket->errors.network > 0) ready |= MCTX__WAIT_FAILED;
  if ((events & MCTX_WRITABLE) != 0 && mctx__sim_socket_room(socket) > 0) ready |= MCTX_WRITABLE;
  if ((events & MCTX_READABLE) != 0 && socket->queued > 0) ready |= MCTX_READABLE;
  return ready;
}

uint32_t mctx__sim_readiness(mctx__socket member, uint32_t events) {
  bool readable = false;
  switch (mctx__sim_kind_of(member.value)) {
    case MCTX__SIM_SOCKET:
      return readiness_of_socket(mctx__sim_socket_find(member), events);
    case MCTX__SIM_EVENT:
      readable = mctx__sim_descriptor_is_signalled(member.value);
      break;
    case MCTX__SIM_POLLER:
      readable = mctx__sim_poller_is_readable(member.value);
      break;
    case MCTX__SIM_WATCH:
      readable = mctx__sim_watch_is_readable(member.value);
      break;
  }
  return readable ? events & MCTX_READABLE : 0;
}

static int64_t sooner(int64_t one, int64_t other) {
  return one < other ? one : other;
}

/* When virtual time may end the wait; MCTX__FOREVER: never. */
static int64_t end_of(const mctx__waited *waited, uint32_t count, int64_t deadline_ns) {
  int64_t end_ns = sooner(deadline_ns, mctx__sim_next_arrival());
  for (uint32_t i = 0; i < count; i++) {
    if ((waited[i].events & MCTX_WRITABLE) == 0) continue;
    if (waited[i].socket.value == MCTX__NO_SOCKET.value) continue;
    if (mctx__sim_kind_of(waited[i].socket.value) != MCTX__SIM_SOCKET) continue;
    const mctx__sim_socket *socket = mctx__sim_socket_find(waited[i].socket);
    if (socket->drain_ns > 0) end_ns = sooner(end_ns, socket->next_leave_ns);
  }
  return end_ns;
}

static mctx__result wait_locked(mctx__waited *waited, uint32_t count, int64_t deadline_ns) {
  for (;;) {
    uint32_t any = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (waited[i].socket.value == MCTX__NO_SOCKET.value) continue;
      if (!mctx__sim_descriptor_is_open(waited[i].socket.value)) {
        mctx__sim_misused();
        return mctx__sim_error(MCTX_ERR_IO);
      }
      waited[i].ready = mctx__sim_readiness(waited[i].socket, waited[i].events);
      any |= waited[i].ready;
    }
    if (any != 0) return MCTX__DONE;
    if (mctx__sim_clock() >= deadline_ns) return mctx__sim_error(MCTX_ERR_TIMEOUT);
    int64_t end_ns = end_of(waited, count, deadline_ns);
    if (end_ns == MCTX__FOREVER) {
      mctx__sim_sleep_locked();
    } else {
      mctx__sim_clock_move(end_ns);
    }
  }
}

mctx__result mctx__wait(mctx__socket socket, uint32_t events, mctx__event event, int64_t deadline_ns,
                        uint32_t *ready) {
  mctx__waited waited[2] = {{.socket = socket, .events = events},
                            {.socket = mctx__event_member(event), .events = MCTX_READABLE}};
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_WAIT);
  if (outcome.status == MCTX_OK) outcome = wait_locked(waited, 2, deadline_ns);
  mctx__sim_unlock();
  *ready = waited[0].ready;
  if (waited[1].ready != 0) *ready |= MCTX__WAIT_EVENT;
  return outcome;
}

mctx__result mctx__wait_many(mctx__waited *waited, uint32_t count, int64_t deadline_ns) {
  for (uint32_t i = 0; i < count; i++)
    waited[i].ready = 0;
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_error(MCTX_ERR_NO_MEMORY);
  void *list = mctx__sim_allocate((count + 1) * sizeof(*waited)); /* as a system's call wants one of its own */
  if (list == NULL) goto done;
  outcome = mctx__sim_call(MCTX_SIM_WAIT);
  if (outcome.status == MCTX_OK) outcome = wait_locked(waited, count, deadline_ns);
done:
  mctx__sim_unlock();
  mctx__release(list);
  return outcome;
}

uint32_t mctx_sim_ready(const mctx_os_handle *native) {
  mctx__sim_lock();
  uint32_t ready = 0;
  if (native->type == MCTX_OS_DESCRIPTOR && mctx__sim_descriptor_is_open(native->value)) {
    ready = mctx__sim_readiness((mctx__socket){native->value}, MCTX_READABLE | MCTX_WRITABLE);
  }
  mctx__sim_unlock();
  return ready & (MCTX_READABLE | MCTX_WRITABLE);
}

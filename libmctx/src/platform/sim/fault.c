/* SPDX-License-Identifier: MIT */
/* The schedule of faults, the counts of calls, and the numbers that a system would give its errors. */
#include <errno.h>

#include "sim.h"

static mctx__sim_fault faults[MCTX__SIM_FAULTS];
static uint32_t fault_count;
static uint64_t calls[MCTX_SIM_CALLS];
static _Atomic uint64_t misuses;

int32_t mctx__sim_os_code(mctx_status status) {
  switch (status) {
    case MCTX_ERR_WOULD_BLOCK:
      return EAGAIN;
    case MCTX_ERR_QUEUE_FULL:
    case MCTX_ERR_TOO_MANY_MEMBERSHIPS:
    case MCTX_ERR_TOO_MANY_SOURCES:
      return ENOBUFS;
    case MCTX_ERR_DATAGRAM_TOO_LARGE:
      return EMSGSIZE;
    case MCTX_ERR_NO_ROUTE:
      return ENETUNREACH;
    case MCTX_ERR_INTERFACE_DOWN:
      return ENETDOWN;
    case MCTX_ERR_INTERFACE_GONE:
    case MCTX_ERR_INTERFACE_NOT_FOUND:
      return ENODEV;
    case MCTX_ERR_MEMBERSHIP_NOT_FOUND:
    case MCTX_ERR_SOURCE_EXISTS:
    case MCTX_ERR_SOURCE_NOT_LOCAL:
    case MCTX_ERR_SOURCE_GONE:
      return EADDRNOTAVAIL;
    case MCTX_ERR_ADDRESS_IN_USE:
      return EADDRINUSE;
    case MCTX_ERR_FIREWALL:
      return EPERM;
    case MCTX_ERR_PERMISSION:
      return EACCES;
    case MCTX_ERR_UNREACHABLE:
      return ECONNREFUSED;
    case MCTX_ERR_SIGNAL:
      return EINTR;
    case MCTX_ERR_NO_MEMORY:
      return ENOMEM;
    case MCTX_ERR_TOO_MANY_DESCRIPTORS:
      return EMFILE;
    case MCTX_ERR_FAMILY_UNSUPPORTED:
      return EAFNOSUPPORT;
    case MCTX_ERR_UNSUPPORTED:
      return ENOPROTOOPT;
    case MCTX_ERR_NOT_A_SOCKET:
      return ENOTSOCK;
    case MCTX_ERR_FILTER_MODE:
    case MCTX_ERR_INVALID_ARGUMENT:
      return EINVAL;
    case MCTX_ERR_TIMEOUT:
      return 0; /* a wait's, no system's */
    default:
      return EIO;
  }
}

bool mctx__sim_strikes(uint32_t call, mctx__sim_fault *fault) {
  uint64_t number = ++calls[call];
  for (uint32_t i = 0; i < fault_count; i++) {
    if (faults[i].call != call || faults[i].at != number) continue;
    *fault = faults[i];
    faults[i] = faults[--fault_count];
    return true;
  }
  return false;
}

mctx__result mctx__sim_call(uint32_t call) {
  mctx__sim_fault fault;
  if (!mctx__sim_strikes(call, &fault)) return MCTX__DONE;
  return mctx__sim_error((mctx_status)fault.value);
}

void mctx__sim_misused(void) {
  atomic_fetch_add(&misuses, 1);
}

void mctx__sim_faults_reset(void) {
  fault_count = 0;
  for (uint32_t i = 0; i < MCTX_SIM_CALLS; i++)
    calls[i] = 0;
}

int32_t mctx_sim_fault_after(uint32_t call, uint64_t nth, uint32_t messages, uint32_t type, int64_t value) {
  int32_t scheduled = 0;
  mctx__sim_lock();
  if (call < MCTX_SIM_CALLS && fault_count < MCTX__SIM_FAULTS) {
    faults[fault_count++] = (mctx__sim_fault){calls[call] + nth, call, type, messages, value};
    scheduled = 1;
  }
  mctx__sim_unlock();
  return scheduled;
}

int32_t mctx_sim_fault(uint32_t call, uint64_t nth, uint32_t type, int64_t value) {
  return mctx_sim_fault_after(call, nth, 0, type, value);
}

void mctx_sim_clear_faults(void) {
  mctx__sim_lock();
  fault_count = 0;
  mctx__sim_unlock();
}

uint64_t mctx_sim_calls(uint32_t call) {
  mctx__sim_lock();
  uint64_t count = call < MCTX_SIM_CALLS ? calls[call] : 0;
  mctx__sim_unlock();
  return count;
}

uint64_t mctx_sim_misuses(void) {
  return atomic_load(&misuses);
}

void mctx_sim_reset(void) {
  mctx__sim_lock();
  mctx__sim_clock_reset();
  mctx__sim_faults_reset();
  mctx__sim_network_reset();
  mctx__sim_sockets_reset();
  mctx__sim_wire_reset();
  mctx__sim_limits_reset();
  mctx__sim_descriptors_reset();
  mctx__sim_deliver_reset();
  mctx__sim_unlock();
}

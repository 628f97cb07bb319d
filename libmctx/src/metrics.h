/* SPDX-License-Identifier: MIT */
/* Counters of sending and receiving. */
#ifndef MCTX_METRICS_H
#define MCTX_METRICS_H

#include <stdatomic.h>

#include "mctx.h"
#include "platform/platform.h"

enum { MCTX__KINDS = MCTX_KIND_INTERRUPTED + 1 };

/* What the calls of one publication came to. A spin lock makes the vector coherent: one locked operation, and
 * nobody holds it for more than a few instructions. */
typedef struct mctx__counters {
  atomic_flag lock;
  uint64_t send_calls;
  uint64_t packets_sent;
  uint64_t bytes_sent;
  uint64_t send_errors;
  uint64_t errors[MCTX__KINDS]; /* of send_errors, by kind */
  uint64_t drained;             /* errors of earlier datagrams taken off the socket */
  uint64_t reconnects;
  uint64_t superpackets;
  uint64_t offload_refusals;
} mctx__counters;

/* What one call sent. */
typedef struct mctx__sent {
  uint64_t packets;
  uint64_t bytes;
  uint64_t superpackets;
} mctx__sent;

/* Why a message was not delivered. */
enum mctx__discard {
  MCTX__DISCARD_UNICAST,   /* it was sent to no group */
  MCTX__DISCARD_GROUP,     /* the socket did not join the group */
  MCTX__DISCARD_INTERFACE, /* it joined, but not where it arrived */
  MCTX__DISCARD_SOURCE,    /* the filter does not let the source through */
  MCTX__DISCARD_COPY,      /* another socket of the subscription delivers it */
  MCTX__DISCARDS
};

/* What the receives of one subscription came to; its lock guards them. */
typedef struct mctx__receive_counters {
  uint64_t receive_calls;
  uint64_t packets_received;
  uint64_t bytes_received;
  uint64_t messages_received;
  uint64_t receive_errors;
  uint64_t errors[MCTX__KINDS]; /* of receive_errors, by kind */
  uint64_t kernel_drops;
  uint64_t truncated;
  uint64_t discarded[MCTX__DISCARDS];
  uint64_t memberships_rebuilt;
} mctx__receive_counters;

/* Waits for the lock. */
MCTX__COLD void mctx__counters_await(mctx__counters *counters);

static inline void mctx__counters_lock(mctx__counters *counters) {
  if (atomic_flag_test_and_set_explicit(&counters->lock, memory_order_acquire)) mctx__counters_await(counters);
}

static inline void mctx__counters_unlock(mctx__counters *counters) {
  atomic_flag_clear_explicit(&counters->lock, memory_order_release);
}

/* One call that succeeded. */
static inline void mctx__counters_sent(mctx__counters *counters, mctx__sent sent) {
  mctx__counters_lock(counters);
  counters->send_calls++;
  counters->packets_sent += sent.packets;
  counters->bytes_sent += sent.bytes;
  if (sent.superpackets != 0) counters->superpackets += sent.superpackets;
  mctx__counters_unlock(counters);
}

/* One call that sent so much and then failed. */
void mctx__counters_failed(mctx__counters *counters, mctx__sent sent, mctx_status status);
/* Adds a coherent copy of `from` to `sum`, which is the caller's alone. */
void mctx__counters_add(mctx__counters *sum, mctx__counters *from);
/* The same for receives; the lock of whom they belong to is held. */
void mctx__receive_counters_add(mctx__receive_counters *sum, const mctx__receive_counters *from);

#endif

/* SPDX-License-Identifier: MIT */
/* Counters of sending and receiving. */
#ifndef MCTX_METRICS_H
#define MCTX_METRICS_H

#include <stdatomic.h>

#include "mctx.h"
#include "platform/platform.h"

enum { MCTX__KINDS = MCTX_KIND_INTERRUPTED + 1 };

/* What the calls of one publication came to; in the order of its metrics. */
enum mctx__send_counter {
  MCTX__SEND_CALLS,
  MCTX__PACKETS_SENT,
  MCTX__BYTES_SENT,
  MCTX__SEND_ERRORS,
  MCTX__ERRORS_SENDING, /* of those, by kind, from MCTX_KIND_INTERNAL on */
  MCTX__DRAINED = MCTX__ERRORS_SENDING + MCTX__KINDS - MCTX_KIND_INTERNAL, /* errors of earlier datagrams */
  MCTX__RECONNECTS,
  MCTX__SUPERPACKETS_SENT,
  MCTX__OFFLOAD_REFUSALS,
  MCTX__SEND_COUNTERS
};

/* One thread at a time changes them; others may read meanwhile, and read again until they are coherent: the
 * version is odd during a change. Every store releases and every load acquires, in place of fences. */
typedef struct mctx__send_counters {
  _Atomic uint64_t version;
  _Atomic uint64_t values[MCTX__SEND_COUNTERS];
} mctx__send_counters;

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

/* Starts a change, and returns the version before it. */
static inline uint64_t mctx__counters_begin(mctx__send_counters *counters) {
  const uint64_t version = atomic_load_explicit(&counters->version, memory_order_relaxed);
  atomic_store_explicit(&counters->version, version + 1, memory_order_relaxed);
  return version;
}

static inline void mctx__counters_end(mctx__send_counters *counters, uint64_t version) {
  atomic_store_explicit(&counters->version, version + 2, memory_order_release);
}

/* Between the two. */
static inline void mctx__count(mctx__send_counters *counters, uint32_t which, uint64_t more) {
  const uint64_t value = atomic_load_explicit(&counters->values[which], memory_order_relaxed);
  atomic_store_explicit(&counters->values[which], value + more, memory_order_release);
}

/* One call that sent so much. */
static inline void mctx__count_sent(mctx__send_counters *counters, mctx__sent sent) {
  const uint64_t version = mctx__counters_begin(counters);
  mctx__count(counters, MCTX__SEND_CALLS, 1);
  mctx__count(counters, MCTX__PACKETS_SENT, sent.packets);
  mctx__count(counters, MCTX__BYTES_SENT, sent.bytes);
  if (sent.superpackets != 0) mctx__count(counters, MCTX__SUPERPACKETS_SENT, sent.superpackets);
  mctx__counters_end(counters, version);
}

/* Adds a coherent copy to `sums`, MCTX__SEND_COUNTERS of them. */
void mctx__counters_add(uint64_t *sums, const mctx__send_counters *from);
/* The same of receives; the lock of whom they belong to is held. */
void mctx__receive_counters_add(mctx__receive_counters *sum, const mctx__receive_counters *from);

#endif

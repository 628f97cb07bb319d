/* SPDX-License-Identifier: MIT */
/* What the system has been found to take of superpackets, for one publication. */
#ifndef MCTX_OFFLOAD_H
#define MCTX_OFFLOAD_H

#include "plan.h"

/* Read by every batch; written with the publication's mutex held. */
typedef struct mctx__offload {
  mctx__limits most;           /* what is tried at first; fixed after opening */
  _Atomic uint32_t count;      /* of superpackets now: datagrams */
  _Atomic uint32_t size;       /* and bytes of each */
  _Atomic mctx_status refusal; /* the last, 0: none */
  int32_t os_code;
  uint64_t alone; /* datagrams that went alone since then */
} mctx__offload;

/* A superpacket that the system refused. */
typedef struct mctx__offload_refusal {
  mctx__result result; /* the system's answer */
  uint32_t count;      /* its datagrams; 0: there is none */
  uint32_t size;       /* of each, in bytes */
} mctx__offload_refusal;

/* `bytes`: of a superpacket, at most. */
void mctx__offload_init(mctx__offload *offload, bool allowed, int64_t bytes);

static inline mctx__limits mctx__offload_limits(const mctx__offload *offload) {
  return (mctx__limits){atomic_load_explicit(&offload->count, memory_order_relaxed),
                        atomic_load_explicit(&offload->size, memory_order_relaxed), offload->most.bytes};
}

/* Whether a failure may be due to offload. After queue_full, firewall, interface_down and would_block parts of
 * the superpacket may have left. */
bool mctx__offload_is_refusal(mctx_status status);
/* Believes a refusal: lowers the limits so that no such superpacket is tried again. */
void mctx__offload_lower(mctx__offload *offload, const mctx__offload_refusal *refused);
/* So many datagrams went alone. After many, the first limits are tried again: routes and MTUs change. */
void mctx__offload_went_alone(mctx__offload *offload, uint64_t datagrams);

static inline bool mctx__offload_is_lowered(const mctx__offload *offload) {
  return atomic_load_explicit(&offload->refusal, memory_order_relaxed) != MCTX_OK;
}

#endif

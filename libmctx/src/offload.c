/* SPDX-License-Identifier: MIT */
#include "offload.h"

/* Every system that cuts superpackets takes so many datagrams; some take more. */
enum { SEGMENTS_EVERYWHERE = 64 };

#define RETRY_AFTER UINT64_C(65536) /* datagrams: what the retries cost is lost among them */

static void restore(mctx__offload *offload) {
  atomic_store_explicit(&offload->count, offload->most.count, memory_order_relaxed);
  atomic_store_explicit(&offload->size, offload->most.size, memory_order_relaxed);
  atomic_store_explicit(&offload->refusal, MCTX_OK, memory_order_relaxed);
  offload->os_code = 0;
  offload->alone = 0;
}

void mctx__offload_init(mctx__offload *offload, bool allowed, uint64_t max_datagram) {
  offload->most.count = allowed ? MCTX__SEGMENTS_MAX : 1;
  offload->most.size = (uint32_t)max_datagram;
  offload->most.bytes = MCTX__SUPERPACKET_MAX;
  restore(offload);
}

void mctx__offload_bound(mctx__offload *offload, int64_t bytes) {
  if (bytes < offload->most.bytes) offload->most.bytes = (uint32_t)bytes;
}

bool mctx__offload_is_refusal(mctx_status status) {
  return status == MCTX_ERR_DATAGRAM_TOO_LARGE || status == MCTX_ERR_INVALID_ARGUMENT ||
         status == MCTX_ERR_UNSUPPORTED;
}

void mctx__offload_lower(mctx__offload *offload, const mctx__offload_refusal *refused) {
  const mctx__limits now = mctx__offload_limits(offload);
  const mctx_status status = refused->result.status;
  if (status == MCTX_ERR_UNSUPPORTED)
    atomic_store_explicit(&offload->count, 1, memory_order_relaxed);
  else if (status == MCTX_ERR_INVALID_ARGUMENT && refused->count > SEGMENTS_EVERYWHERE)
    atomic_store_explicit(&offload->count, now.count < SEGMENTS_EVERYWHERE ? now.count : SEGMENTS_EVERYWHERE,
                          memory_order_relaxed);
  else if (refused->size <= now.size)
    atomic_store_explicit(&offload->size, refused->size - 1, memory_order_relaxed);
  offload->os_code = refused->result.os_code;
  offload->alone = 0;
  atomic_store_explicit(&offload->refusal, status, memory_order_relaxed);
}

void mctx__offload_went_alone(mctx__offload *offload, uint64_t datagrams) {
  offload->alone += datagrams;
  if (offload->alone >= RETRY_AFTER) restore(offload);
}

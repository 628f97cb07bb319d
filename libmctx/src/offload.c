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

void mctx__offload_init(mctx__offload *offload, bool allowed, int64_t bytes) {
  offload->most.bytes = bytes < MCTX__SUPERPACKET_MAX ? (uint32_t)bytes : MCTX__SUPERPACKET_MAX;
  offload->most.size = bytes > 0 ? offload->most.bytes - 1 : 0; /* and a byte of another */
  offload->most.count = allowed && offload->most.size > 0 ? MCTX__SEGMENTS_MAX : 1;
  restore(offload);
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

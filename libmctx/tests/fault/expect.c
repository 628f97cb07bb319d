/* SPDX-License-Identifier: MIT */
/* What a batch is to come to: the promise as a program, calls one after the other. */
#include "batch.h"
#include "mctx_sim.h"
#include "platform.h"

enum { HEADERS = 28, EVERYWHERE = 64, NO_LIMIT = 65407 };

bool batch_goes_singly(batch_mode mode) {
  return mode == BATCH_SINGLY || mode == BATCH_ONE_BY_ONE;
}

bool batch_offloads(const batch_case *batch) {
  return batch->offload && batch->mode != BATCH_SINGLY;
}

uint32_t batch_length(const batch_case *batch, uint32_t position) {
  static const uint32_t runs[] = {8, 8, 8, 8, 5};
  static const uint32_t mixed[] = {4, 8, 8, 0, 6, 6, 6, 2};
  if (batch->shape == BATCH_RUNS) return runs[position % 5];
  if (batch->shape == BATCH_MIXED) return mixed[position % 8];
  return batch->segments && position == batch->count - 1 ? 5 : 8;
}

bool batch_add_fault(batch_case *batch, uint32_t call, uint32_t type, int64_t value) {
  if (batch->fault_count == BATCH_FAULTS) return false;
  batch->faults[batch->fault_count++] = (batch_fault){call, type, value, 0};
  return true;
}

/* ---- messages ---- */

/* Datagrams before the one that is larger than any can be. */
static uint32_t fitting(const batch_case *batch) {
  return batch->too_large < batch->count ? batch->too_large : batch->count;
}

uint32_t batch_message_at(const batch_case *batch, const batch_progress *now, uint32_t position) {
  if (!batch_offloads(batch) || now->doubted.count > 0 || now->limits.count == 1) return 1;
  const uint32_t size = batch_length(batch, position);
  const uint32_t end = fitting(batch);
  uint32_t count = 1;
  if (size == 0 || size > now->limits.size) return 1;
  while (count < now->limits.count && position + count < end) {
    const uint32_t length = batch_length(batch, position + count);
    if (length == 0 || length > size) break;
    count++;
    if (length < size) break;
  }
  return count;
}

/* What the system makes of a message by itself. */
static mctx_status judge(const batch_progress *now, uint32_t count, uint32_t size) {
  if (count == 1) return MCTX_OK;
  if (now->system.count <= 1) return MCTX_ERR_UNSUPPORTED;
  if (size > now->system.size) return MCTX_ERR_DATAGRAM_TOO_LARGE;
  return count > now->system.count ? MCTX_ERR_INVALID_ARGUMENT : MCTX_OK;
}

/* ---- refusals ---- */

static mctx_status after_signal(const batch_case *batch) {
  return batch->flags & MCTX_INTERRUPTIBLE ? MCTX_ERR_SIGNAL : MCTX_OK;
}

/* Something is always ready or over at once, unless the wait itself fails. */
static mctx_status after_wait(const batch_case *batch, batch_progress *now) {
  now->tried = false;
  if (++now->waits != batch->wait.call) return MCTX_OK;
  if (batch->wait.value != MCTX_ERR_SIGNAL) return (mctx_status)batch->wait.value;
  mctx_status status = after_signal(batch);
  return status != MCTX_OK ? status : after_wait(batch, now);
}

static bool may_be_offloads(mctx_status refusal) {
  return refusal == MCTX_ERR_DATAGRAM_TOO_LARGE || refusal == MCTX_ERR_INVALID_ARGUMENT ||
         refusal == MCTX_ERR_UNSUPPORTED;
}

/* A failure may be an earlier datagram's; one that comes twice is this message's. Of a superpacket it is not
 * known yet what it means: its first datagram is to go alone. */
static mctx_status after_failure(const batch_case *batch, batch_progress *now, mctx_status refusal) {
  const uint32_t count = batch_message_at(batch, now, now->accepted);
  now->pending_errors = 0;
  if (!now->tried) {
    now->tried = true;
    return MCTX_OK;
  }
  if (count == 1 || !may_be_offloads(refusal)) return refusal;
  now->doubted = (batch_limits){count, batch_length(batch, now->accepted)};
  now->doubt = refusal;
  now->tried = false;
  return MCTX_OK;
}

/* What a refusal of the next message leads to. MCTX_OK: the batch goes on. */
static mctx_status after_refusal(const batch_case *batch, batch_progress *now, mctx_status refusal) {
  switch (refusal) {
    case MCTX_ERR_WOULD_BLOCK:
      return batch->timeout_ns == 0 ? refusal : after_wait(batch, now);
    case MCTX_ERR_QUEUE_FULL:
      return batch->timeout_ns == 0 || batch->mode == BATCH_SINGLY ? refusal : after_wait(batch, now);
    case MCTX_ERR_FIREWALL:
      return refusal;
    case MCTX_ERR_SIGNAL:
      return after_signal(batch);
    default:
      return after_failure(batch, now, refusal);
  }
}

/* The first datagram of a doubted superpacket went alone. */
static void believe(batch_progress *now) {
  if (now->doubt == MCTX_ERR_UNSUPPORTED)
    now->limits.count = 1;
  else if (now->doubt == MCTX_ERR_INVALID_ARGUMENT && now->doubted.count > EVERYWHERE)
    now->limits.count = EVERYWHERE;
  else
    now->limits.size = now->doubted.size - 1;
  now->told = now->doubt;
  now->refusals++;
  now->doubted.count = 0;
}

/* ---- calls ---- */

/* What the system takes of what it is offered, up to so many messages; the reason why not more. */
static mctx_status take(const batch_case *batch, batch_progress *now, uint32_t most, uint32_t *taken) {
  const uint32_t end = fitting(batch);
  const uint32_t in_one_call =
      batch_goes_singly(batch->mode) || now->doubted.count > 0 ? 1 : MCTX__SEND_MANY_MAX;
  uint32_t position = now->accepted;
  if (most > in_one_call) most = in_one_call;
  if (!batch_offloads(batch)) { /* nothing but datagrams, and the system takes them */
    *taken = most < end - position ? most : end - position;
    now->accepted += *taken;
    return MCTX_OK;
  }
  for (*taken = 0; *taken < most && position < end; ++*taken) {
    const uint32_t count = batch_message_at(batch, now, position);
    const mctx_status refusal = judge(now, count, batch_length(batch, position));
    if (refusal != MCTX_OK) {
      if (*taken == 0) return refusal;
      break;
    }
    now->superpackets += count > 1;
    position += count;
  }
  now->accepted = position;
  return MCTX_OK;
}

/* How many messages the next call offers. */
static uint32_t offered(const batch_case *batch, const batch_progress *now) {
  uint32_t messages = 0;
  if (batch_goes_singly(batch->mode) || now->doubted.count > 0) return 1;
  for (uint32_t at = now->accepted; at < fitting(batch) && messages < MCTX__SEND_MANY_MAX; messages++)
    at += batch_message_at(batch, now, at);
  return messages;
}

static void change_system(batch_progress *now, const batch_fault *fault) {
  if (fault->type == MCTX_SIM_NEW_SEGMENTS) now->system.count = (uint32_t)fault->value;
  if (fault->type == MCTX_SIM_NEW_MTU) now->system.size = (uint32_t)fault->value - HEADERS;
}

static bool changes_system(const batch_fault *fault) {
  return fault->type == MCTX_SIM_NEW_SEGMENTS || fault->type == MCTX_SIM_NEW_MTU;
}

/* One call that meets a fault, which it keeps to itself if it has taken anything. */
static mctx_status call_with(const batch_case *batch, batch_progress *now, const batch_fault *fault,
                             uint32_t *taken) {
  if (fault->type == MCTX_SIM_PARTIAL) return take(batch, now, (uint32_t)fault->value, taken);
  if (fault->messages >= offered(batch, now)) return take(batch, now, UINT32_MAX, taken);
  if (fault->messages > 0) {
    const mctx_status refusal = take(batch, now, fault->messages, taken);
    if (refusal != MCTX_OK || *taken < fault->messages) return refusal;
  }
  if (fault->type == MCTX_SIM_EARLIER) now->pending_errors++;
  return *taken > 0 ? MCTX_OK : (mctx_status)fault->value;
}

void batch_begin(batch_progress *now) {
  *now = (batch_progress){
      .call = 1, .limits = {MCTX__SEGMENTS_MAX, NO_LIMIT}, .system = {MCTX__SEGMENTS_MAX, 1500 - HEADERS}};
}

void batch_step(const batch_case *batch, batch_progress *now) {
  const batch_fault *fault = now->next_fault < batch->fault_count ? &batch->faults[now->next_fault] : NULL;
  uint32_t taken = 0;
  mctx_status refusal;
  if (now->accepted == fitting(batch)) {
    now->over = true;
    now->status = batch->too_large < batch->count ? MCTX_ERR_DATAGRAM_TOO_LARGE : MCTX_OK;
    return;
  }
  if (fault != NULL && fault->call != now->call) fault = NULL;
  if (fault != NULL) now->next_fault++;
  now->call++;
  if (fault != NULL) change_system(now, fault);
  refusal = fault != NULL && !changes_system(fault) ? call_with(batch, now, fault, &taken)
                                                    : take(batch, now, UINT32_MAX, &taken);
  if (taken > 0) {
    now->tried = false;
    if (now->doubted.count > 0) believe(now);
    return;
  }
  now->status = after_refusal(batch, now, refusal);
  now->over = now->status != MCTX_OK;
}

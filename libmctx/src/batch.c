/* SPDX-License-Identifier: MIT */
/*
 * Sending many datagrams: exactly a prefix of them, whatever happens. Each round offers the system the next few
 * datagrams as a plan puts them together; what it took moves the prefix on; why it took no more decides how to
 * go on.
 */
#include <stdio.h>

#include "options.h"
#include "publication.h"
#include "wait.h"

#define BACKOFF_FIRST_NS INT64_C(1000000)
#define BACKOFF_LAST_NS  INT64_C(50000000)
#define BACKOFF_LIMIT_NS INT64_C(1000000000) /* without progress for so long, a full queue is reported */

/* One batch in progress. */
typedef struct sending {
  mctx__publication *publication;
  const mctx__datagrams *source;
  uint64_t fitting; /* datagrams before the first that is larger than any can be */
  uint64_t accepted;
  uint64_t bytes;
  uint64_t superpackets;
  uint64_t alone; /* datagrams that went by themselves */
  uint32_t flags;
  int64_t timeout_ns;
  int64_t deadline_ns; /* of a batch that may wait */
  bool tried;          /* the next datagram failed once: a second failure is its own */
  bool uncounted;      /* and if it succeeds, the first was an earlier datagram's */
  int64_t backoff_ns;  /* 0: the queue was not full at the last try */
  int64_t full_since_ns;
  mctx__offload_refusal offered; /* the first message of the last call, as it would be refused; count 0: no
                                    superpacket */
  mctx__offload_refusal doubted; /* a superpacket was refused: its first datagram goes alone, and tells why */
  mctx__scratch scratch;
} sending;

/* How far the next call may reach. */
static uint64_t reach(const sending *batch, const mctx__limits *limits) {
  uint64_t most = batch->fitting - batch->accepted;
  const uint64_t in_one_call = (uint64_t)MCTX__SEND_MANY_MAX * limits->count;
  if (batch->doubted.count > 0 || batch->publication->singly) most = 1;
  return batch->accepted + (most < in_one_call ? most : in_one_call);
}

/* Those that the doubt was about have gone alone: it was the superpacket that the system did not take. */
static void settle_doubt(sending *batch) {
  mctx__publication *publication = batch->publication;
  mctx__mutex_lock(&publication->mutex);
  mctx__offload_lower(&publication->offload, &batch->doubted);
  mctx__mutex_unlock(&publication->mutex);
  mctx__counters_lock(&publication->counters);
  publication->counters.offload_refusals++;
  mctx__counters_unlock(&publication->counters);
  batch->doubted.count = 0;
}

static void accept(sending *batch, const mctx__plan *plan, uint32_t taken) {
  for (uint32_t i = 0; i < taken; i++) {
    const uint32_t datagrams = plan->datagrams[i];
    batch->accepted += datagrams;
    batch->bytes += plan->bytes[i];
    batch->superpackets += datagrams > 1;
    batch->alone += datagrams == 1;
  }
  if (batch->doubted.count > 0) settle_doubt(batch);
  if (batch->tried && batch->uncounted) mctx__publication_blame_earlier(batch->publication);
  batch->tried = false;
  batch->backoff_ns = 0;
}

/* Offers the system as many datagrams as one call takes. */
static mctx__result offer(sending *batch) {
  mctx__plan plan;
  mctx__publication *publication = batch->publication;
  mctx__limits limits = mctx__offload_limits(&publication->offload);
  const uint64_t first = batch->accepted;
  uint64_t end = reach(batch, &limits);
  uint32_t taken = 0;
  if (publication->paced) {
    end = first + mctx__pacer_take(&publication->pacer, batch->source, first, end);
    if (end == first) return (mctx__result){MCTX_ERR_PACED, 0};
  }
  mctx__plan_make(&plan, batch->source, first, end, &limits, &batch->scratch);
  mctx__result result = mctx__socket_send_many(
      mctx__publication_socket(publication), atomic_load_explicit(&publication->endpoint, memory_order_acquire),
      plan.messages, plan.count, &taken);
  if (taken > 0) accept(batch, &plan, taken);
  if (result.status != MCTX_OK) {
    const uint32_t size = plan.messages[taken].segment_size;
    batch->offered = (mctx__offload_refusal){result, size != 0 ? plan.datagrams[taken] : 0, size};
  }
  if (publication->paced) mctx__pacer_give_back(&publication->pacer, batch->source, batch->accepted, end);
  return result;
}

/* Waits for the socket (events) or for time to pass (none). MCTX_OK: try again. */
static mctx__result wait_until(sending *batch, uint32_t events, int64_t deadline_ns) {
  mctx__publication *publication = batch->publication;
  mctx__socket socket = events != 0 ? mctx__publication_socket(publication) : MCTX__NO_SOCKET;
  for (;;) {
    uint32_t ready;
    mctx__result result =
        mctx__object_wait(&publication->object, socket, events, batch->flags, deadline_ns, &ready);
    if (result.status != MCTX_OK || (ready & MCTX__WAIT_FAILED) == 0 || (ready & events) != 0) return result;
    mctx__publication_drain(publication);
  }
}

static mctx__result wait_writable(sending *batch) {
  if (batch->timeout_ns == 0) return (mctx__result){MCTX_ERR_WOULD_BLOCK, 0};
  return wait_until(batch, MCTX_WRITABLE, batch->deadline_ns);
}

/* The interface's queue is full while the socket stays writable: only time helps. */
static mctx__result back_off(sending *batch, mctx__result full) {
  if (batch->timeout_ns == 0 || batch->publication->singly) return full;
  int64_t deadline = batch->deadline_ns;
  int64_t now = mctx__clock_monotonic();
  if (batch->backoff_ns == 0) {
    batch->full_since_ns = now;
    batch->backoff_ns = BACKOFF_FIRST_NS;
  } else if (batch->backoff_ns < BACKOFF_LAST_NS) {
    batch->backoff_ns = batch->backoff_ns * 2 < BACKOFF_LAST_NS ? batch->backoff_ns * 2 : BACKOFF_LAST_NS;
  }
  if (now - batch->full_since_ns >= BACKOFF_LIMIT_NS) return full;
  if (now >= deadline) return (mctx__result){MCTX_ERR_TIMEOUT, 0};
  int64_t until = now + batch->backoff_ns < deadline ? now + batch->backoff_ns : deadline;
  mctx__result result = wait_until(batch, 0, until);
  return result.status == MCTX_ERR_TIMEOUT ? MCTX__DONE : result;
}

/* Until the rate lets the next datagram go. */
static mctx__result wait_for_pace(sending *batch, mctx__result paced) {
  const uint64_t length = mctx__datagram_length(batch->source, batch->accepted);
  if (batch->timeout_ns == 0) return paced;
  const int64_t due = mctx__clock_monotonic() + mctx__pacer_due(&batch->publication->pacer, length);
  const int64_t until = due < batch->deadline_ns ? due : batch->deadline_ns;
  mctx__result result = wait_until(batch, 0, until);
  return result.status == MCTX_ERR_TIMEOUT && until < batch->deadline_ns ? MCTX__DONE : result;
}

/* After a second failure: of a superpacket it is not known yet whether it or its first datagram is refused. */
static bool doubt(sending *batch) {
  if (batch->offered.count == 0 || !mctx__offload_is_refusal(batch->offered.result.status)) return false;
  batch->doubted = batch->offered;
  batch->tried = false;
  return true;
}

/* What follows from a refusal. MCTX_OK: go on; else the batch ends with it. */
static mctx__result handle_refusal(sending *batch, mctx__result refusal) {
  switch (refusal.status) {
    case MCTX_ERR_WOULD_BLOCK:
      batch->tried = false; /* what comes after the wait may be an earlier error again */
      return wait_writable(batch);
    case MCTX_ERR_QUEUE_FULL:
      batch->tried = false; /* so here */
      return back_off(batch, refusal);
    case MCTX_ERR_PACED:
      return wait_for_pace(batch, refusal);
    case MCTX_ERR_FIREWALL:
      return refusal;
    case MCTX_ERR_SIGNAL:
      return (batch->flags & MCTX_INTERRUPTIBLE) != 0 ? refusal : MCTX__DONE;
    default:
      if (batch->tried) {
        mctx__publication_drain(batch->publication);
        return doubt(batch) ? MCTX__DONE : refusal;
      }
      batch->tried = true;
      batch->uncounted = mctx__publication_recover(batch->publication, refusal.status);
      return MCTX__DONE;
  }
}

static mctx__result run(sending *batch) {
  mctx__result result = MCTX__DONE;
  while (result.status == MCTX_OK && batch->accepted < batch->fitting) {
    uint64_t before = batch->accepted;
    if (mctx__object_closing(&batch->publication->object)) return (mctx__result){MCTX_ERR_CLOSED, 0};
    result = offer(batch);
    if (result.status != MCTX_OK)
      result = handle_refusal(batch, result);
    else if (batch->accepted == before)
      result.status = MCTX_ERR_INTERNAL; /* the platform broke its contract; going on could be for ever */
  }
  if (result.status == MCTX_OK && batch->fitting < batch->source->count)
    result.status = MCTX_ERR_DATAGRAM_TOO_LARGE;
  return result;
}

/* What the batch tells of offload, beside its datagrams. */
MCTX__COLD static void count_alone(mctx__publication *publication, uint64_t datagrams) {
  mctx__mutex_lock(&publication->mutex);
  mctx__offload_went_alone(&publication->offload, datagrams);
  mctx__mutex_unlock(&publication->mutex);
}

static mctx_status send_datagrams(const mctx__call *call, mctx__publication *publication,
                                  const mctx__datagrams *source, uint64_t fitting, uint32_t flags,
                                  int64_t timeout_ns, uint64_t *accepted) {
  sending own;
  own.publication = publication;
  own.source = source;
  own.fitting = fitting;
  own.accepted = own.bytes = own.superpackets = own.alone = 0;
  own.flags = flags;
  own.timeout_ns = timeout_ns;
  own.deadline_ns = timeout_ns != 0 ? mctx__deadline(timeout_ns) : 0;
  own.tried = false;
  own.backoff_ns = 0;
  own.doubted.count = 0;
  own.scratch =
      (mctx__scratch){.pool = &publication->context->scratch, .hint = publication->object.slot->index};
  mctx__result result = run(&own);
  mctx__scratch_release(&own.scratch);
  const mctx__sent sent = {own.accepted, own.bytes, own.superpackets};
  mctx_status status = MCTX_OK;
  if (result.status == MCTX_OK) {
    mctx__counters_sent(&publication->counters, sent);
  } else {
    uint64_t length = mctx__datagram_length(source, own.accepted);
    status = mctx__publication_fail(call, publication, result, own.accepted + 1, length);
    mctx__counters_failed(&publication->counters, sent, status);
  }
  if (mctx__offload_is_lowered(&publication->offload)) count_alone(publication, own.alone);
  if (accepted != NULL) *accepted = own.accepted;
  return status;
}

static mctx_status enter_publication(const mctx__call *call, uint32_t flags, mctx__publication **publication) {
  mctx__object *object;
  if ((flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = flags);
  mctx_status status = mctx__enter(call, MCTX_HANDLE_PUBLICATION, &object);
  if (status == MCTX_OK) *publication = (mctx__publication *)object;
  return status;
}

/* Every slice is looked at before the first datagram leaves. */
static mctx_status check_slices(const mctx__call *call, const mctx_slice *slices, size_t count, uint64_t most,
                                uint64_t *fitting) {
  *fitting = count;
  for (size_t i = 0; i < count; i++) {
    if (slices[i].data == NULL && slices[i].length > 0)
      return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "slices.data", .nth = (uint64_t)i + 1,
                        .value = slices[i].length,
                        .hint = "a slice without data is an empty datagram and has the length 0");
    if (slices[i].length > most && i < *fitting) *fitting = i;
  }
  return MCTX_OK;
}

mctx_status mctx_send_batch(mctx_publication publication, const mctx_slice *slices, size_t count,
                            uint32_t flags, int64_t timeout_ns, uint64_t *accepted, mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__publication *own;
  const mctx__datagrams source = {.slices = slices, .count = count};
  uint64_t fitting;
  if (accepted != NULL) *accepted = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (slices == NULL && count > 0)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "slices", .value = count);
  mctx_status status = enter_publication(&call, flags, &own);
  if (status != MCTX_OK) return status;
  status = check_slices(&call, slices, count, mctx__max_datagram(own->config.destination.family), &fitting);
  if (status == MCTX_OK) status = send_datagrams(&call, own, &source, fitting, flags, timeout_ns, accepted);
  mctx__unpin(&own->object);
  return status;
}

mctx_status mctx_send_segments(mctx_publication publication, const void *data, size_t length,
                               uint32_t segment_size, uint32_t flags, int64_t timeout_ns, uint64_t *accepted,
                               mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__publication *own;
  if (accepted != NULL) *accepted = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (data == NULL && length > 0)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "data", .value = length);
  mctx_status status = enter_publication(&call, flags, &own);
  if (status != MCTX_OK) return status;
  uint64_t most = mctx__max_datagram(own->config.destination.family);
  if (segment_size == 0 || segment_size > most) {
    char hint[96];
    snprintf(hint, sizeof hint, "a segment is the payload of one datagram: 1 to %u bytes", (unsigned)most);
    status = MCTX__FAIL(&call, MCTX_ERR_SEGMENT_SIZE, .field = "segment_size", .value = segment_size,
                        .limit = most, .hint = hint);
  } else {
    uint64_t count = length / segment_size + (length % segment_size != 0);
    const mctx__datagrams source = {
        .data = data, .length = length, .segment_size = segment_size, .count = count};
    status = send_datagrams(&call, own, &source, count, flags, timeout_ns, accepted);
  }
  mctx__unpin(&own->object);
  return status;
}

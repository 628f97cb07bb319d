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
MCTX__COLD static void settle_doubt(sending *batch) {
  mctx__publication *publication = batch->publication;
  mctx__mutex_lock(&publication->mutex);
  mctx__offload_lower(&publication->offload, &batch->doubted);
  mctx__mutex_unlock(&publication->mutex);
  mctx__publication_count(publication, MCTX__OFFLOAD_REFUSALS, 1);
  batch->doubted.count = 0;
}

static MCTX__IN_PLACE void accept(sending *batch, const mctx__plan *plan, uint32_t taken) {
  for (uint32_t i = 0; i < taken; i++) {
    const mctx__outgoing *message = &plan->messages[i];
    batch->accepted += message->datagrams;
    batch->bytes += message->bytes;
    if (message->segment_size != 0)
      batch->superpackets++;
    else
      batch->alone++;
  }
  if (batch->doubted.count > 0) settle_doubt(batch);
  /* What goes in another shape than it failed in tells nothing of earlier datagrams. */
  if (batch->tried && batch->uncounted && plan->messages[0].segment_size == batch->offered.size)
    mctx__publication_blame_earlier(batch->publication);
  batch->tried = false;
  batch->backoff_ns = 0;
}

/* Takes what the planned datagrams cost; if the rate does not let all of them go now, the plan is of those that
 * it does. Returns their end. */
MCTX__COLD static uint64_t pace(sending *batch, mctx__plan *plan, const mctx__limits *limits) {
  mctx__pacer *pacer = &batch->publication->pacer;
  const uint64_t first = batch->accepted;
  uint64_t end = first;
  for (uint32_t i = 0; i < plan->count; i++)
    end += plan->messages[i].datagrams;
  const uint64_t granted = first + mctx__pacer_take(pacer, batch->source, first, end);
  if (first < granted && granted < end)
    mctx__plan_make(plan, batch->source, first, granted, limits, &batch->scratch);
  return granted;
}

/* Offers the system as many datagrams as one call takes. */
static MCTX__IN_PLACE mctx__result offer(sending *batch) {
  mctx__plan plan;
  mctx__publication *publication = batch->publication;
  mctx__limits limits = mctx__offload_limits(&publication->offload);
  const uint64_t first = batch->accepted;
  uint64_t end = reach(batch, &limits);
  uint32_t taken = 0;
  mctx__plan_make(&plan, batch->source, first, end, &limits, &batch->scratch);
  if (publication->paced) {
    end = pace(batch, &plan, &limits);
    if (end == first) return (mctx__result){MCTX_ERR_PACED, 0};
  }
  mctx__result result = mctx__socket_send_many(
      mctx__publication_socket(publication), atomic_load_explicit(&publication->endpoint, memory_order_acquire),
      plan.messages, plan.count, &taken);
  if (taken > 0) accept(batch, &plan, taken);
  if (result.status != MCTX_OK) {
    const mctx__outgoing *refused = &plan.messages[taken];
    const uint32_t size = refused->segment_size;
    batch->offered = (mctx__offload_refusal){result, size != 0 ? refused->datagrams : 0, size};
  }
  if (publication->paced && batch->accepted < end)
    mctx__pacer_give_back(&publication->pacer, batch->source, batch->accepted, end);
  return result;
}

/* The same of one that is alone, which needs no plan. */
static MCTX__IN_PLACE mctx__result offer_lone(sending *batch) {
  mctx__publication *publication = batch->publication;
  const mctx__datagrams *source = batch->source;
  const uint64_t length = mctx__datagram_length(source, 0);
  mctx__result result = mctx__socket_send(
      mctx__publication_socket(publication), atomic_load_explicit(&publication->endpoint, memory_order_acquire),
      source->slices != NULL ? source->slices->data : source->data, (size_t)length);
  if (MCTX__MOSTLY(result.status == MCTX_OK)) {
    batch->accepted = batch->alone = 1;
    batch->bytes = length;
  } else {
    batch->offered = (mctx__offload_refusal){.result = result};
  }
  return result;
}

/* Waits for the socket (events) or for time to pass (none). MCTX_OK: try again. */
static mctx__result wait_until(sending *batch, uint32_t events, int64_t deadline_ns) {
  mctx__publication *publication = batch->publication;
  mctx__socket socket = events != 0 ? mctx__publication_socket(publication) : MCTX__NO_SOCKET;
  mctx__scratch_release(&batch->scratch); /* others send meanwhile */
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

/* The rest of a batch of which the first call did not take all. */
MCTX__COLD static mctx__result go_on(sending *batch, mctx__result result) {
  while (batch->accepted < batch->fitting) {
    if (result.status != MCTX_OK) result = handle_refusal(batch, result);
    if (result.status != MCTX_OK) return result;
    if (mctx__object_closing(&batch->publication->object)) return (mctx__result){MCTX_ERR_CLOSED, 0};
    uint64_t before = batch->accepted;
    result = offer(batch);
    /* The platform broke its contract: going on could be for ever. */
    if (result.status == MCTX_OK && batch->accepted == before) return (mctx__result){MCTX_ERR_INTERNAL, 0};
  }
  if (batch->fitting < batch->source->count) return (mctx__result){MCTX_ERR_DATAGRAM_TOO_LARGE, 0};
  return MCTX__DONE;
}

/* ---- a batch ---- */

/* Datagrams that went alone after a refusal: enough of them, and offload is tried again. */
MCTX__COLD static void count_alone(const sending *batch) {
  mctx__publication *publication = batch->publication;
  mctx__mutex_lock(&publication->mutex);
  mctx__offload_went_alone(&publication->offload, batch->alone);
  mctx__mutex_unlock(&publication->mutex);
}

static mctx__sent sent_by(const sending *batch) {
  return (mctx__sent){batch->accepted, batch->bytes, batch->superpackets};
}

/* The first call did not take all, or offload is not what it was at first. */
MCTX__COLD static mctx_status finish(const mctx__call *call, sending *batch, mctx__result result) {
  mctx__publication *publication = batch->publication;
  mctx_status status = MCTX_OK;
  result = go_on(batch, result);
  mctx__scratch_release(&batch->scratch);
  if (result.status == MCTX_OK) {
    mctx__publication_sent(publication, sent_by(batch));
  } else {
    const uint64_t length = mctx__datagram_length(batch->source, batch->accepted);
    status = mctx__publication_fail(call, publication, result, batch->accepted + 1, length);
    mctx__publication_failed(publication, sent_by(batch), status);
  }
  if (mctx__offload_is_lowered(&publication->offload)) count_alone(batch);
  return status;
}

/* Only what is read before it is written is set here. */
static MCTX__IN_PLACE mctx_status send_datagrams(const mctx__call *call, mctx__inside *in,
                                                 const mctx__datagrams *source, uint64_t fitting,
                                                 uint32_t flags, int64_t timeout_ns, uint64_t *accepted) {
  mctx__publication *publication = in->publication;
  sending batch;
  mctx__result result = MCTX__DONE;
  mctx_status status = MCTX_OK;
  batch.publication = publication;
  batch.source = source;
  batch.fitting = fitting;
  batch.accepted = 0;
  batch.bytes = 0;
  batch.superpackets = 0;
  batch.alone = 0;
  batch.flags = flags;
  batch.timeout_ns = timeout_ns;
  batch.deadline_ns = timeout_ns != 0 ? mctx__deadline(timeout_ns) : 0;
  batch.tried = false;
  batch.backoff_ns = 0;
  batch.doubted.count = 0;
  mctx__scratch_begin(&batch.scratch, &publication->context->scratch, publication->object.slot->index);
  if (fitting == 1 && !publication->paced)
    result = offer_lone(&batch);
  else if (fitting > 0)
    result = offer(&batch);
  if (batch.accepted == source->count && !mctx__offload_is_lowered(&publication->offload)) {
    mctx__scratch_release(&batch.scratch);
    mctx__count_sending(in, sent_by(&batch));
  } else {
    mctx__stay(&publication->object, &in->own);
    status = finish(call, &batch, result);
  }
  if (accepted != NULL) *accepted = batch.accepted;
  return status;
}

/* Why a batch cannot even begin. */
MCTX__COLD static mctx_status unusable(const mctx__call *call, uint32_t flags) {
  if ((flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = flags);
  return mctx__enter_failed(call, MCTX_HANDLE_PUBLICATION);
}

/* False: unusable() says why. */
static MCTX__IN_PLACE bool enter(mctx_publication publication, uint32_t flags, mctx__inside *in) {
  return (flags & ~(uint32_t)MCTX_INTERRUPTIBLE) == 0 && mctx__enter_sending(publication, in);
}

/* ---- slices ---- */

static bool is_without_data(const mctx_slice *slice) {
  return slice->data == NULL && slice->length > 0;
}

MCTX__COLD static mctx_status slice_failed(const mctx__call *call, const mctx_slice *slices) {
  uint64_t at = 0;
  while (!is_without_data(&slices[at]))
    at++;
  return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "slices.data", .nth = at + 1,
                    .value = slices[at].length,
                    .hint = "a slice without data is an empty datagram and has the length 0");
}

MCTX__COLD static uint64_t count_fitting(const mctx_slice *slices, uint64_t most) {
  uint64_t fitting = 0;
  while (slices[fitting].length <= most)
    fitting++;
  return fitting;
}

/* Every slice is looked at before the first datagram leaves. False: one is without data. */
MCTX__COLD static bool check_slices(const mctx__datagrams *source, uint64_t most, uint64_t *fitting) {
  bool is_wrong = false;
  bool is_long = false;
  for (uint64_t i = 0; i < source->count; i++) {
    is_wrong |= is_without_data(&source->slices[i]);
    is_long |= source->slices[i].length > most;
  }
  *fitting = is_long ? count_fitting(source->slices, most) : source->count;
  return !is_wrong;
}

/* The same, quickly done where all slices are alike. */
static MCTX__IN_PLACE bool check(mctx__datagrams *source, uint64_t most, uint64_t *fitting) {
  const uint64_t length = source->count > 0 ? source->slices[0].length : 0;
  uint64_t difference = 0;
  bool is_null = false;
  for (uint64_t i = 0; i < source->count; i++) {
    difference |= source->slices[i].length ^ length;
    is_null |= source->slices[i].data == NULL;
  }
  source->is_uniform = difference == 0;
  if (difference != 0 || is_null || length > most) return check_slices(source, most, fitting);
  *fitting = source->count;
  return true;
}

mctx_status mctx_send_batch(mctx_publication publication, const mctx_slice *slices, size_t count,
                            uint32_t flags, int64_t timeout_ns, uint64_t *accepted, mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__datagrams source = {.slices = slices, .count = count};
  mctx__inside in;
  uint64_t fitting;
  mctx_status status;
  if (accepted != NULL) *accepted = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (slices == NULL && count > 0)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "slices", .value = count);
  if (!enter(publication, flags, &in)) return unusable(&call, flags);
  if (check(&source, mctx__max_datagram(in.publication->config.destination.family), &fitting))
    status = send_datagrams(&call, &in, &source, fitting, flags, timeout_ns, accepted);
  else
    status = slice_failed(&call, slices);
  mctx__leave_sending(&in);
  return status;
}

/* ---- segments ---- */

MCTX__COLD static mctx_status segment_size_failed(const mctx__call *call, uint32_t segment_size,
                                                  uint64_t most) {
  char hint[96];
  snprintf(hint, sizeof hint, "a segment is the payload of one datagram: 1 to %u bytes", (unsigned)most);
  return MCTX__FAIL(call, MCTX_ERR_SEGMENT_SIZE, .field = "segment_size", .value = segment_size, .limit = most,
                    .hint = hint);
}

mctx_status mctx_send_segments(mctx_publication publication, const void *data, size_t length,
                               uint32_t segment_size, uint32_t flags, int64_t timeout_ns, uint64_t *accepted,
                               mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__datagrams source = {.data = data, .length = length, .segment_size = segment_size};
  mctx__inside in;
  mctx_status status;
  if (accepted != NULL) *accepted = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (data == NULL && length > 0)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "data", .value = length);
  if (!enter(publication, flags, &in)) return unusable(&call, flags);
  const uint64_t most = mctx__max_datagram(in.publication->config.destination.family);
  if (segment_size == 0 || segment_size > most) {
    status = segment_size_failed(&call, segment_size, most);
  } else {
    /* A division of 32 bits is several times cheaper. */
    source.count = length <= UINT32_MAX ? (uint32_t)length / segment_size : length / segment_size;
    source.count += source.count * segment_size < length;
    status = send_datagrams(&call, &in, &source, source.count, flags, timeout_ns, accepted);
  }
  mctx__leave_sending(&in);
  return status;
}

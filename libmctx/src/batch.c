/* SPDX-License-Identifier: MIT */
/*
 * Sending many datagrams: exactly a prefix of them, whatever happens. Each round offers the system the next few
 * datagrams; what it took moves the prefix on; why it took no more decides how to go on.
 */
#include <stdio.h>

#include "options.h"
#include "publication.h"
#include "wait.h"

#define BACKOFF_FIRST_NS INT64_C(1000000)
#define BACKOFF_LAST_NS  INT64_C(50000000)
#define BACKOFF_LIMIT_NS INT64_C(1000000000) /* without progress for so long, a full queue is reported */

/* What is to be sent: slices, or equal pieces of one buffer. */
typedef struct datagrams {
  const mctx_slice *slices; /* or NULL */
  const unsigned char *data;
  uint64_t length;
  uint32_t segment_size;
  uint64_t count;
  uint64_t fitting; /* datagrams before the first that is larger than any can be */
} datagrams;

/* One batch in progress. */
typedef struct sending {
  mctx__publication *publication;
  const datagrams *source;
  uint64_t accepted;
  uint64_t bytes;
  uint32_t flags;
  int64_t timeout_ns;
  int64_t deadline_ns; /* of a batch that may wait */
  bool tried;          /* the next datagram failed once: a second failure is its own */
  bool uncounted;      /* and if it succeeds, the first was an earlier datagram's */
  int64_t backoff_ns;  /* 0: the queue was not full at the last try */
  int64_t full_since_ns;
} sending;

static mctx_slice datagram_at(const datagrams *source, uint64_t position) {
  if (source->slices != NULL) return source->slices[position];
  uint64_t offset = position * source->segment_size;
  uint64_t rest = source->length - offset;
  mctx_slice slice = {.length = rest < source->segment_size ? rest : source->segment_size};
  slice.data = source->data + offset;
  return slice;
}

/* The next datagrams as slices: the caller's own, or made here, pieces of one buffer. */
static const mctx_slice *slices_at(const datagrams *source, uint64_t position, uint32_t count,
                                   mctx_slice *made) {
  if (source->slices != NULL) return source->slices + position;
  for (uint32_t i = 0; i < count; i++)
    made[i] = datagram_at(source, position + i);
  return made;
}

/* Offers the system as many datagrams as one round takes. */
static mctx__result offer(sending *batch) {
  mctx_slice made[MCTX__SEND_MANY_MAX];
  mctx__publication *publication = batch->publication;
  uint64_t rest = batch->source->fitting - batch->accepted;
  uint32_t count = rest < MCTX__SEND_MANY_MAX ? (uint32_t)rest : MCTX__SEND_MANY_MAX;
  uint32_t taken = 0;
  if (publication->singly) count = 1;
  const mctx_slice *slices = slices_at(batch->source, batch->accepted, count, made);
  mctx__result result = mctx__socket_send_many(
      mctx__publication_socket(publication), atomic_load_explicit(&publication->endpoint, memory_order_acquire),
      slices, count, &taken);
  for (uint32_t i = 0; i < taken; i++)
    batch->bytes += slices[i].length;
  batch->accepted += taken;
  if (taken > 0) {
    if (batch->tried && batch->uncounted) mctx__publication_blame_earlier(publication);
    batch->tried = false;
    batch->backoff_ns = 0;
  }
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

/* What follows from a refusal. MCTX_OK: go on; else the batch ends with it. */
static mctx__result handle_refusal(sending *batch, mctx__result refusal) {
  switch (refusal.status) {
    case MCTX_ERR_WOULD_BLOCK:
      batch->tried = false; /* what comes after the wait may be an earlier error again */
      return wait_writable(batch);
    case MCTX_ERR_QUEUE_FULL:
      batch->tried = false; /* so here */
      return back_off(batch, refusal);
    case MCTX_ERR_FIREWALL:
      return refusal;
    case MCTX_ERR_SIGNAL:
      return (batch->flags & MCTX_INTERRUPTIBLE) != 0 ? refusal : MCTX__DONE;
    default:
      if (batch->tried) {
        mctx__publication_drain(batch->publication);
        return refusal;
      }
      batch->tried = true;
      batch->uncounted = mctx__publication_recover(batch->publication, refusal.status);
      return MCTX__DONE;
  }
}

static mctx__result run(sending *batch) {
  mctx__result result = MCTX__DONE;
  while (result.status == MCTX_OK && batch->accepted < batch->source->fitting) {
    uint64_t before = batch->accepted;
    if (mctx__object_closing(&batch->publication->object)) return (mctx__result){MCTX_ERR_CLOSED, 0};
    result = offer(batch);
    if (result.status != MCTX_OK)
      result = handle_refusal(batch, result);
    else if (batch->accepted == before)
      result.status = MCTX_ERR_INTERNAL; /* the platform broke its contract; going on could be for ever */
  }
  if (result.status == MCTX_OK && batch->source->fitting < batch->source->count)
    result.status = MCTX_ERR_DATAGRAM_TOO_LARGE;
  return result;
}

static mctx_status send_datagrams(const mctx__call *call, mctx__publication *publication,
                                  const datagrams *source, uint32_t flags, int64_t timeout_ns,
                                  uint64_t *accepted) {
  sending own = {.publication = publication,
                 .source = source,
                 .flags = flags,
                 .timeout_ns = timeout_ns,
                 .deadline_ns = timeout_ns != 0 ? mctx__deadline(timeout_ns) : 0};
  mctx__result result = run(&own);
  mctx_status status = MCTX_OK;
  if (result.status == MCTX_OK) {
    mctx__counters_sent(&publication->counters, own.accepted, own.bytes);
  } else {
    uint64_t length = datagram_at(source, own.accepted).length;
    status = mctx__publication_fail(call, publication, result, own.accepted + 1, length);
    mctx__counters_failed(&publication->counters, own.accepted, own.bytes, status);
  }
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
  datagrams source = {.slices = slices, .count = count};
  if (accepted != NULL) *accepted = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (slices == NULL && count > 0)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "slices", .value = count);
  mctx_status status = enter_publication(&call, flags, &own);
  if (status != MCTX_OK) return status;
  status =
      check_slices(&call, slices, count, mctx__max_datagram(own->config.destination.family), &source.fitting);
  if (status == MCTX_OK) status = send_datagrams(&call, own, &source, flags, timeout_ns, accepted);
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
    datagrams source = {
        .data = data, .length = length, .segment_size = segment_size, .count = count, .fitting = count};
    status = send_datagrams(&call, own, &source, flags, timeout_ns, accepted);
  }
  mctx__unpin(&own->object);
  return status;
}

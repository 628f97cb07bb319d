/* SPDX-License-Identifier: MIT */
/* Receiving one datagram: where it goes, and what comes behind it in its message is kept for later. */
#include "attempt.h"
#include "held.h"
#include "options.h"
#include "tell.h"

/* ---- held datagrams ---- */

/* The datagram at the front of what is held. */
static uint64_t held_length(const mctx__held *held) {
  uint64_t rest = held->end - held->offset;
  return rest < held->arrival.segment_size ? rest : held->arrival.segment_size;
}

/* ---- one datagram ---- */

typedef struct one_datagram {
  void *data;
  size_t capacity;
  size_t length;
  mctx_message *message; /* NULL: nobody asks */
} one_datagram;

static MCTX__IN_PLACE void describe_one(const mctx__subscription *subscription, const mctx__arrival *arrival,
                                        uint64_t length, bool truncated, const one_datagram *one) {
  if (one->message == NULL) return;
  mctx__describe_message(subscription, arrival, one->message);
  one->message->length = length;
  one->message->segment_size = (uint32_t)length;
  one->message->first_datagram = 0;
  one->message->datagram_count = 1;
  if (truncated) one->message->flags |= MCTX_MESSAGE_TRUNCATED;
}

static MCTX__IN_PLACE void count_one(mctx__subscription *subscription, mctx__part *part, uint64_t bytes,
                                     int64_t now_ns) {
  subscription->counters.packets_received++;
  subscription->counters.bytes_received += bytes;
  mctx__tally_up(&part->tally, 1, bytes, now_ns);
}

static void take_held(mctx__subscription *subscription, int64_t now_ns, one_datagram *one) {
  mctx__held *held = &subscription->held;
  const uint64_t length = held_length(held);
  const bool truncated = length > one->capacity;
  one->length = truncated ? one->capacity : (size_t)length;
  if (one->length > 0) memcpy(one->data, held->bytes + held->offset, one->length);
  describe_one(subscription, &held->arrival, length, truncated, one);
  subscription->counters.truncated += truncated;
  count_one(subscription, held->part, one->length, now_ns);
  held->offset += length;
  if (!mctx__holds(subscription)) mctx__held_clear(subscription);
}

/* Keeps what comes behind the first datagram of a message: bytes that went to the caller's buffer are taken
 * from there, so that a lone datagram is copied nowhere. */
static void hold_rest(mctx__subscription *subscription, const one_datagram *one, const mctx__arrival *arrival,
                      const mctx__receiver *receiver, mctx__part *part) {
  mctx__held *held = &subscription->held;
  const uint64_t first = arrival->segment_size;
  const uint64_t in_buffer = arrival->stored < one->capacity ? arrival->stored : one->capacity;
  if (in_buffer > first)
    memcpy(held->bytes + first, (const unsigned char *)one->data + first, (size_t)(in_buffer - first));
  held->arrival = *arrival;
  held->owner = receiver->id;
  held->group = part->entry.group;
  held->interface_index = part->entry.interface_index;
  held->part = part;
  held->offset = first;
  held->end = arrival->stored;
  mctx__held_signal(subscription);
}

/* The first datagram of a message of several. */
static void take_first(mctx__subscription *subscription, int64_t now_ns, one_datagram *one,
                       const mctx__arrival *arrival, const mctx__receiver *receiver, mctx__part *part) {
  const bool truncated = arrival->segment_size > one->capacity;
  one->length = truncated ? one->capacity : arrival->segment_size;
  describe_one(subscription, arrival, arrival->segment_size, truncated, one);
  subscription->counters.truncated += truncated;
  count_one(subscription, part, one->length, now_ns);
  hold_rest(subscription, one, arrival, receiver, part);
}

/* Receives one datagram if there is one. With the lock held. */
static MCTX__IN_PLACE mctx__result try_one(mctx__receiving *call, one_datagram *one) {
  mctx__subscription *subscription = call->subscription;
  mctx__arrival arrival;
  mctx__receiver *receiver;
  mctx__part *part;
  mctx__span spans[2] = {{one->data, one->capacity}, {NULL, 0}};
  if (MCTX__SELDOM(mctx__holds(subscription))) {
    one_datagram own = *one; /* so that the other way keeps it in registers */
    take_held(subscription, call->now_ns, &own);
    one->length = own.length;
    return MCTX__DONE;
  }
  if (subscription->held.bytes != NULL && one->capacity < MCTX__MESSAGE_MAX)
    spans[1] = (mctx__span){subscription->held.bytes + one->capacity, MCTX__MESSAGE_MAX - one->capacity};
  mctx__result result = mctx__take_message(call, spans, &arrival, &receiver, &part);
  if (MCTX__SELDOM(result.status != MCTX_OK)) return result;

  subscription->counters.messages_received++;
  if (MCTX__SELDOM(mctx__is_coalesced(&arrival))) {
    one_datagram own = *one;
    take_first(subscription, call->now_ns, &own, &arrival, receiver, part);
    one->length = own.length;
    return result;
  }
  one->length = arrival.stored < one->capacity ? (size_t)arrival.stored : one->capacity;
  const bool truncated = arrival.truncated || arrival.length > one->capacity;
  describe_one(subscription, &arrival, arrival.length, truncated, one);
  if (MCTX__SELDOM(truncated)) subscription->counters.truncated++;
  count_one(subscription, part, one->length, call->now_ns);
  return result;
}

/* ---- the call ---- */

static MCTX__IN_PLACE mctx__result try_one_of(mctx__receiving *call, void *target) {
  return try_one(call, target);
}

/* Goes on after the first try. */
static MCTX__COLD mctx__result recv_on(mctx__entered *in, uint32_t flags, int64_t timeout_ns, one_datagram *one,
                                       mctx__result result, mctx__outlook left) {
  return mctx__run_on(in, flags, timeout_ns, try_one_of, one, result, left);
}

/* Counts and describes what mctx_recv() failed with. */
static MCTX__COLD mctx_status recv_failed(mctx__entered in, mctx__result result, size_t *length,
                                          mctx_message *message, uint32_t message_size, mctx_error *error) {
  const mctx__call call = {"mctx_recv", in.subscription->object.handle, error};
  *length = 0;
  if (message != NULL) memset(message, 0, message_size);
  return mctx__receive_failed(&call, in, result);
}

/* Why mctx_recv() cannot even try. */
static MCTX__COLD mctx_status recv_unusable(const mctx__call *call, const void *data, size_t capacity,
                                            uint32_t flags, size_t *length, mctx_message *message,
                                            uint32_t message_size) {
  const bool has_message = message != NULL && mctx__struct_size_valid(message_size);
  if (length != NULL) *length = 0;
  if (has_message) memset(message, 0, message_size);
  if (!mctx__error_usable(call->error)) return MCTX_ERR_STRUCT_SIZE;
  if (length == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "length");
  if (data == NULL && capacity > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "data", .value = capacity);
  if (message != NULL && !has_message)
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "message_size", .value = message_size,
                      .hint = "pass sizeof(mctx_message)");
  if ((flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = flags);
  return mctx__enter_failed(call, MCTX_HANDLE_SUBSCRIPTION);
}

/* The way of every datagram: nothing is prepared here that only a failure needs. */
mctx_status mctx_recv(mctx_subscription subscription, void *data, size_t capacity, uint32_t flags,
                      int64_t timeout_ns, size_t *length, mctx_message *message, uint32_t message_size,
                      mctx_error *error) {
  mctx__entered in;
  mctx_message told;
  mctx__outlook left;
  /* No message is longer, and the system refuses absurd lengths. */
  const size_t most = capacity < MCTX__MESSAGE_MAX ? capacity : MCTX__MESSAGE_MAX;
  /* What is no array element of another version is written where it belongs. */
  const bool is_own = message == NULL || (message_size == sizeof told && mctx__is_aligned(message));
  const bool is_usable = mctx__error_usable(error) && length != NULL && (data != NULL || capacity == 0) &&
                         (is_own || mctx__struct_size_valid(message_size)) &&
                         (flags & ~(uint32_t)MCTX_INTERRUPTIBLE) == 0;
  if (MCTX__SELDOM(!is_usable || !mctx__enter_receiving(subscription, &in))) {
    const mctx__call call = {__func__, subscription, error};
    return recv_unusable(&call, data, capacity, flags, length, message, message_size);
  }
  one_datagram one = {.data = data, .capacity = most, .message = MCTX__MOSTLY(is_own) ? message : &told};
  mctx__result result = mctx__attempt(&in, try_one_of, &one, &left);
  if (MCTX__SELDOM(mctx__is_left(&left, result, timeout_ns))) {
    one_datagram again = one;
    result = recv_on(&in, flags, timeout_ns, &again, result, left);
    one.length = again.length;
  }
  if (MCTX__SELDOM(result.status != MCTX_OK))
    return recv_failed(in, result, length, message, message_size, error);
  *length = one.length;
  if (MCTX__SELDOM(!is_own)) mctx__element_write(message, message_size, 0, &told, sizeof told);
  mctx__leave_receiving(&in);
  return MCTX_OK;
}

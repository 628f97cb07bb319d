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

static MCTX__IN_PLACE void describe_one(const mctx__subscription *subscription, mctx__telling *told,
                                        uint64_t length, bool truncated) {
  mctx__describe_message(subscription, told);
  told->message.length = length;
  told->message.segment_size = (uint32_t)length;
  told->message.first_datagram = 0;
  told->message.datagram_count = 1;
  if (MCTX__SELDOM(truncated)) told->message.flags |= MCTX_MESSAGE_TRUNCATED;
}

static MCTX__IN_PLACE void count_one(mctx__subscription *subscription, mctx__part *part, uint64_t bytes,
                                     int64_t now_ns) {
  subscription->counters.packets_received++;
  subscription->counters.bytes_received += bytes;
  mctx__tally_up(&part->tally, 1, bytes, now_ns);
}

static MCTX__APART void take_held(mctx__subscription *subscription, int64_t now_ns, one_datagram *one) {
  mctx__held *held = &subscription->held;
  const uint64_t length = held_length(held);
  const bool truncated = length > one->capacity;
  one->length = truncated ? one->capacity : (size_t)length;
  if (one->length > 0) memcpy(one->data, held->bytes + held->offset, one->length);
  if (one->message != NULL) {
    mctx__telling *told = mctx__telling_in(one->message);
    told->arrival = held->arrival;
    describe_one(subscription, told, length, truncated);
  }
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
static MCTX__APART void take_first(mctx__subscription *subscription, int64_t now_ns, one_datagram *one,
                                   mctx__telling *told, const mctx__receiver *receiver, mctx__part *part) {
  const uint32_t length = told->arrival.segment_size;
  const bool truncated = length > one->capacity;
  one->length = truncated ? one->capacity : length;
  subscription->counters.truncated += truncated;
  count_one(subscription, part, one->length, now_ns);
  hold_rest(subscription, one, &told->arrival, receiver, part);
  if (one->message != NULL) describe_one(subscription, told, length, truncated);
}

/* After a receive that brought nothing: what failed is pending. */
static MCTX__IN_PLACE bool took_none(mctx__receiving *call, mctx__result result) {
  call->subscription->pending = mctx__took_nothing(call, result);
  return false;
}

/* Receives the payload alone; as below. */
static MCTX__IN_PLACE bool take_bare(mctx__receiving *call, const mctx__receiver *receiver, one_datagram *one) {
  mctx__subscription *subscription = call->subscription;
  uint64_t length;
  mctx__result result =
      mctx__socket_receive_bare(receiver->socket, (mctx__span){one->data, one->capacity}, &length);
  if (MCTX__SELDOM(result.status != MCTX_OK)) return took_none(call, result);
  one->length = length < one->capacity ? (size_t)length : one->capacity;
  subscription->counters.messages_received++;
  if (MCTX__SELDOM(length > one->capacity)) subscription->counters.truncated++;
  count_one(subscription, receiver->sole, one->length, call->now_ns);
  return true;
}

/* Takes what is held, or else receives from the socket whose turn it is. False: nothing came of it; what failed
 * is pending. */
static MCTX__IN_PLACE bool take_once(mctx__receiving *call, one_datagram *one) {
  mctx__subscription *subscription = call->subscription;
  if (MCTX__SELDOM(mctx__holds(subscription))) {
    one_datagram same = *one; /* so that the other way keeps it in registers */
    take_held(subscription, call->now_ns, &same);
    one->length = same.length;
    return true;
  }
  mctx__receiver *receiver = mctx__next_receiver(call);
  if (MCTX__SELDOM(receiver == NULL)) {
    call->budget = 0;
    return false;
  }
  call->budget--;
  if (mctx__receiver_is_bare(receiver) && one->message == NULL) return take_bare(call, receiver, one);
  mctx__telling own;
  mctx__telling *told = one->message != NULL ? mctx__telling_in(one->message) : &own;
  const mctx__arrival *arrival = &told->arrival;
  mctx__span spans[2] = {{one->data, one->capacity}, {NULL, 0}};
  if (receiver->coalescing && one->capacity < MCTX__MESSAGE_MAX)
    spans[1] = (mctx__span){subscription->held.bytes + one->capacity, MCTX__MESSAGE_MAX - one->capacity};
  mctx__result result =
      mctx__socket_receive(receiver->socket, receiver->wanted, receiver->coalescing, spans, &told->arrival);
  if (MCTX__SELDOM(result.status != MCTX_OK)) return took_none(call, result);
  mctx__part *part = mctx__took(call, receiver, arrival);
  if (MCTX__SELDOM(part == NULL)) return false;

  subscription->counters.messages_received++;
  if (MCTX__SELDOM(mctx__is_coalesced(arrival))) {
    one_datagram same = *one;
    take_first(subscription, call->now_ns, &same, told, receiver, part);
    one->length = same.length;
    return true;
  }
  one->length = arrival->stored < one->capacity ? (size_t)arrival->stored : one->capacity;
  const bool truncated = arrival->truncated || arrival->length > one->capacity;
  if (one->message != NULL) describe_one(subscription, told, arrival->length, truncated);
  if (MCTX__SELDOM(truncated)) subscription->counters.truncated++;
  count_one(subscription, part, one->length, call->now_ns);
  return true;
}

/* Receives one datagram if there is one. With the lock held. */
static mctx__result try_one(mctx__receiving *call, void *target) {
  mctx__subscription *subscription = call->subscription;
  while (call->budget > 0) {
    if (take_once(call, target)) return MCTX__DONE;
    if (subscription->pending.status == MCTX_OK) continue;
    const mctx__result result = subscription->pending;
    subscription->pending = MCTX__DONE;
    return result;
  }
  return (mctx__result){MCTX_ERR_WOULD_BLOCK, 0};
}

/* ---- the call ---- */

/* What mctx_recv() was given. */
typedef struct request {
  mctx_subscription subscription;
  void *data;
  size_t capacity;
  uint32_t flags;
  int64_t timeout_ns;
  size_t *length;
  mctx_message *message;
  uint32_t message_size;
  mctx_error *error;
} request;

/* Whether the message is one as this version knows it; any other is written where it belongs. */
static MCTX__IN_PLACE bool is_known(const request *asked) {
  return asked->message == NULL ||
         (asked->message_size == sizeof *asked->message && mctx__is_aligned(asked->message));
}

static MCTX__IN_PLACE bool is_usable(const request *asked) {
  return mctx__error_usable(asked->error) && asked->length != NULL &&
         (asked->data != NULL || asked->capacity == 0) &&
         (is_known(asked) || mctx__struct_size_valid(asked->message_size)) &&
         (asked->flags & ~(uint32_t)MCTX_INTERRUPTIBLE) == 0;
}

/* No message is longer, and the system refuses absurd lengths. */
static MCTX__IN_PLACE size_t capacity_of(const request *asked) {
  return asked->capacity < MCTX__MESSAGE_MAX ? asked->capacity : MCTX__MESSAGE_MAX;
}

/* Why mctx_recv() cannot even try. */
static MCTX__COLD mctx_status recv_unusable(const mctx__call *call, const request *asked) {
  const bool has_message = asked->message != NULL && mctx__struct_size_valid(asked->message_size);
  if (asked->length != NULL) *asked->length = 0;
  if (has_message) memset(asked->message, 0, asked->message_size);
  if (!mctx__error_usable(asked->error)) return MCTX_ERR_STRUCT_SIZE;
  if (asked->length == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "length");
  if (asked->data == NULL && asked->capacity > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "data", .value = asked->capacity);
  if (asked->message != NULL && !has_message)
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "message_size", .value = asked->message_size,
                      .hint = "pass sizeof(mctx_message)");
  if ((asked->flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = asked->flags);
  return mctx__enter_failed(call, MCTX_HANDLE_SUBSCRIPTION);
}

/* Whatever is not done in one try from the calling thread's own subscription. `in` is that one with `rest`,
 * what is left of its try; or both are NULL. */
static MCTX__APART mctx_status recv_apart(const request *asked, mctx__entered in, mctx__receiving *rest) {
  const mctx__call call = {"mctx_recv", asked->subscription, asked->error};
  mctx__receiving fresh;
  mctx__outlook left;
  mctx_message told;
  if (in.subscription == NULL) {
    if (!is_usable(asked) || !mctx__enter_receiving(asked->subscription, &in))
      return recv_unusable(&call, asked);
    fresh = mctx__begin(in.subscription);
    rest = &fresh;
  }
  one_datagram one = {
      .data = asked->data, .capacity = capacity_of(asked), .message = is_known(asked) ? asked->message : &told};
  mctx__result result = mctx__attempt(&in, rest, try_one, &one, &left);
  if (mctx__is_left(&left, result, asked->timeout_ns))
    result = mctx__run_on(&in, asked->flags, asked->timeout_ns, try_one, &one, result, left);
  if (result.status != MCTX_OK) {
    *asked->length = 0;
    if (asked->message != NULL) memset(asked->message, 0, asked->message_size);
    return mctx__receive_failed(&call, in, result);
  }
  *asked->length = one.length;
  if (!is_known(asked)) mctx__element_write(asked->message, asked->message_size, 0, &told, sizeof told);
  mctx__leave_receiving(&in);
  return MCTX_OK;
}

/* After a datagram was received: the interfaces changed, and somebody has to look at them. */
static MCTX__COLD mctx_status leave_following(mctx__entered in) {
  const mctx__outlook left = {.has_changes = true, .retry_ns = in.subscription->retry_ns};
  (void)mctx__run_on(&in, 0, 0, try_one, NULL, MCTX__DONE, left);
  mctx__leave_receiving(&in);
  return MCTX_OK;
}

/* The way of every datagram: nothing is prepared here that only others need. */
mctx_status mctx_recv(mctx_subscription subscription, void *data, size_t capacity, uint32_t flags,
                      int64_t timeout_ns, size_t *length, mctx_message *message, uint32_t message_size,
                      mctx_error *error) {
  const request asked = {subscription, data, capacity, flags, timeout_ns, length, message, message_size, error};
  mctx__entered in = {NULL, NULL};
  if (MCTX__SELDOM(!is_usable(&asked) || !is_known(&asked) || !mctx__enter_own_receiving(subscription, &in))) {
    const request same = asked; /* copies are made where they are needed: the rest stays in registers */
    return recv_apart(&same, (mctx__entered){NULL, NULL}, NULL);
  }
  mctx__subscription *own = in.subscription;
  one_datagram one = {.data = data, .capacity = capacity_of(&asked), .message = message};
  mctx__receiving call = mctx__begin(own);
  if (MCTX__SELDOM(own->pending.status != MCTX_OK || !take_once(&call, &one))) {
    const request same = asked;
    mctx__receiving rest = call;
    return recv_apart(&same, in, &rest);
  }
  own->counters.receive_calls++;
  *length = one.length;
  if (MCTX__SELDOM(own->has_changes)) return leave_following(in);
  mctx__leave_receiving(&in);
  return MCTX_OK;
}

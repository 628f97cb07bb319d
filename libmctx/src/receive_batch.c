/* SPDX-License-Identifier: MIT */
/* Receiving many datagrams into a caller's arena: where messages go there, and records of their datagrams. */
#include "attempt.h"
#include "held.h"
#include "options.h"
#include "tell.h"

enum {
  USUAL_STEP = 64,    /* lengths are rounded up to that */
  USUAL_MOST = 9216,  /* longer messages are received one by one */
  USUAL_AGAIN = 256,  /* messages after which lengths are learned anew */
  FEWEST_AT_ONCE = 2, /* fewer are received one by one */
  MOST_AT_ONCE = MCTX__RECEIVE_MANY_MAX
};

#define ARENA_USED UINT64_C(0xffffffff) /* offsets have 32 bits */

/* What is left of the caller's memory. */
typedef struct room {
  unsigned char *arena;
  uint64_t used; /* from its start on */
  uint64_t end;  /* behind which it is used too */
  uint64_t least_datagrams;
} room;

/* Whether there is room for one more message: for the longest, and for all of its datagrams. */
static MCTX__IN_PLACE bool has_room(const mctx_receive_batch *batch, const room *left) {
  return left->end - left->used >= MCTX__MESSAGE_MAX &&
         batch->datagram_capacity - batch->datagram_count >= left->least_datagrams &&
         (batch->messages == NULL || batch->message_capacity != batch->message_count);
}

/* For how many, each with `slot` bytes in front and an overflow behind. */
static uint32_t room_for(const mctx_receive_batch *batch, const room *left, uint64_t slot, uint64_t most) {
  const uint64_t by_bytes = (left->end - left->used) / (slot + MCTX__MESSAGE_MAX);
  const uint64_t by_datagrams = (batch->datagram_capacity - batch->datagram_count) / left->least_datagrams;
  if (by_bytes < most) most = by_bytes;
  if (by_datagrams < most) most = by_datagrams;
  if (batch->messages != NULL && batch->message_capacity - batch->message_count < most)
    most = batch->message_capacity - batch->message_count;
  return (uint32_t)most;
}

/* ---- records ---- */

/* Where the next message is told: in the caller's records, if they are as this version knows them; else in
 * `own`. */
static MCTX__IN_PLACE mctx__telling *next_telling(const mctx_receive_batch *batch, mctx__telling *own) {
  const bool is_known = batch->messages != NULL && batch->message_stride == sizeof *batch->messages;
  return is_known ? mctx__telling_in(&batch->messages[batch->message_count]) : own;
}

/* The message behind those that were told; its datagrams have been recorded. */
static MCTX__IN_PLACE void tell(const mctx__receiving *call, mctx_receive_batch *batch, mctx__telling *told,
                                uint32_t size, uint32_t delivered, uint32_t flags) {
  mctx_message *message = &told->message;
  mctx__describe_message(call->subscription, told);
  message->segment_size = size;
  message->first_datagram = (uint32_t)batch->datagram_count;
  message->datagram_count = delivered;
  if (MCTX__SELDOM(flags != 0)) message->flags |= flags;
  if (MCTX__SELDOM(batch->message_stride != sizeof *message))
    mctx__element_write(batch->messages, batch->message_stride, batch->message_count, message, sizeof *message);
}

/* Records of equal datagrams, one behind the other: two words for each, of which the first has the offset in
 * one half, whichever that is. The offset behind the last one may run over, and is not used. */
static MCTX__IN_PLACE void record_equal(mctx_datagram *datagrams, uint32_t count, uint32_t offset,
                                        uint32_t size, uint32_t message) {
  const mctx_datagram first = {.offset = offset, .length = size, .message = message};
  const mctx_datagram further = {.offset = size};
  uint64_t words[2];
  uint64_t step;
  memcpy(words, &first, sizeof words);
  memcpy(&step, &further, sizeof step);
  for (uint32_t i = 0; i < count; i++, words[0] += step)
    memcpy(&datagrams[i], words, sizeof words);
}
_Static_assert(sizeof(mctx_datagram) == 2 * sizeof(uint64_t), "a record is two words");

/* A message that came as several datagrams; of those that find no record the rest is lost. */
static void record_several(mctx__receiving *call, mctx_receive_batch *batch, uint64_t used, mctx__telling *told,
                           mctx__part *part) {
  const mctx__arrival *arrival = &told->arrival;
  const uint32_t size = arrival->segment_size;
  const uint32_t segments = (uint32_t)((arrival->stored + size - 1) / size);
  const uint64_t slots = batch->datagram_capacity - batch->datagram_count;
  const uint32_t delivered = segments < slots ? segments : (uint32_t)slots;
  mctx_datagram *datagrams = &batch->datagrams[batch->datagram_count];
  const uint64_t before_last = (uint64_t)size * (delivered - 1);
  const uint64_t rest = arrival->stored - before_last;
  const uint64_t bytes = before_last + (rest < size ? rest : size);
  const uint32_t message = (uint32_t)batch->message_count;
  record_equal(datagrams, delivered, (uint32_t)used, size, message);
  if (rest < size) datagrams[delivered - 1].length = (uint32_t)rest;
  if (arrival->truncated) datagrams[delivered - 1].flags |= MCTX_DATAGRAM_TRUNCATED;
  call->subscription->counters.truncated += (segments - delivered) + arrival->truncated;
  if (batch->messages != NULL)
    tell(call, batch, told, size, delivered,
         MCTX_MESSAGE_COALESCED | (arrival->truncated || delivered < segments ? MCTX_MESSAGE_TRUNCATED : 0));
  batch->datagram_count += delivered;
  batch->message_count++;
  call->bytes += bytes;
  mctx__tally_up(&part->tally, delivered, bytes, call->now_ns);
}

/* Makes records of a message whose bytes are in the arena from `used` on. */
static MCTX__IN_PLACE void record(mctx__receiving *call, mctx_receive_batch *batch, uint64_t used,
                                  mctx__telling *told, mctx__part *part) {
  const mctx__arrival *arrival = &told->arrival;
  if (MCTX__SELDOM(mctx__is_coalesced(arrival))) {
    record_several(call, batch, used, told, part);
    return;
  }
  const uint32_t size = (uint32_t)arrival->stored;
  const bool truncated = arrival->truncated;
  batch->datagrams[batch->datagram_count] = (mctx_datagram){.offset = (uint32_t)used,
                                                            .length = size,
                                                            .message = (uint32_t)batch->message_count,
                                                            .flags = truncated ? MCTX_DATAGRAM_TRUNCATED : 0};
  if (MCTX__SELDOM(truncated)) call->subscription->counters.truncated++;
  if (batch->messages != NULL) tell(call, batch, told, size, 1, truncated ? MCTX_MESSAGE_TRUNCATED : 0);
  batch->datagram_count++;
  batch->message_count++;
  call->bytes += size;
  mctx__tally_up(&part->tally, 1, size, call->now_ns);
}

/* What an earlier receive left, one datagram or more, as a message of its own. */
static uint64_t record_held(mctx__receiving *call, mctx_receive_batch *batch) {
  mctx__held *held = &call->subscription->held;
  mctx__telling own;
  mctx__telling *told = next_telling(batch, &own);
  mctx__arrival *rest = &told->arrival;
  *rest = held->arrival;
  rest->stored = held->end - held->offset;
  rest->length = rest->stored;
  if (rest->stored < rest->segment_size) rest->segment_size = (uint32_t)rest->stored;
  if (held->bytes != NULL) memcpy(batch->arena, held->bytes + held->offset, (size_t)rest->stored);
  const uint64_t stored = rest->stored;
  record_several(call, batch, 0, told, held->part);
  mctx__held_clear(call->subscription);
  return stored;
}

/* ---- messages ---- */

/* Learns how long messages are lately: what is too little is known at once, what is too much after a while. */
static MCTX__IN_PLACE void learn_usual(mctx__receiver *receiver, uint64_t stored) {
  const uint32_t rounded = (uint32_t)(stored + USUAL_STEP) / USUAL_STEP * USUAL_STEP;
  if (rounded > receiver->longest) receiver->longest = rounded;
  if (rounded > receiver->usual) receiver->usual = rounded;
  if (MCTX__MOSTLY(++receiver->learned < USUAL_AGAIN)) return;
  receiver->usual = receiver->longest;
  receiver->longest = 0;
  receiver->learned = 0;
}

/* Receives payloads alone, one by one, one behind the other, at most `most`. */
static mctx__result receive_bare(mctx__receiving *call, mctx_receive_batch *batch, room *left,
                                 const mctx__receiver *receiver, uint32_t most) {
  const uint32_t first = (uint32_t)batch->datagram_count;
  const uint64_t records = batch->datagram_capacity - first;
  mctx_datagram *datagrams = &batch->datagrams[first];
  uint64_t used = left->used;
  const uint32_t message = (uint32_t)batch->message_count;
  uint32_t count = 0;
  mctx__result result = MCTX__DONE;
  if (records < most) most = (uint32_t)records;
  while (count < most && left->end - used >= MCTX__MESSAGE_MAX) {
    uint64_t length;
    result = mctx__socket_receive_bare(receiver->socket, (mctx__span){left->arena + used, MCTX__MESSAGE_MAX},
                                       &length);
    if (MCTX__SELDOM(result.status != MCTX_OK)) break;
    datagrams[count] =
        (mctx_datagram){.offset = (uint32_t)used, .length = (uint32_t)length, .message = message + count};
    count++;
    used += length;
  }
  const uint64_t bytes = used - left->used;
  left->used = used;
  batch->datagram_count += count;
  batch->message_count += count;
  call->bytes += bytes;
  if (count > 0) mctx__tally_up(&receiver->sole->tally, count, bytes, call->now_ns);
  call->has_received |= count > 0;
  mctx__took_turns(call, count + (result.status != MCTX_OK));
  return MCTX__MOSTLY(result.status == MCTX_OK) ? result : mctx__took_nothing(call, result);
}

/* Receives messages one by one, one behind the other, at most `most`. MCTX_OK: go on, with this socket or with
 * others. */
static MCTX__IN_PLACE mctx__result receive_each(mctx__receiving *call, mctx_receive_batch *batch, room *left,
                                                mctx__receiver *receiver, uint32_t most) {
  mctx__telling own;
  mctx__span spans[2] = {{NULL, MCTX__MESSAGE_MAX}, {NULL, 0}};
  uint32_t tried = 0;
  mctx__result result;
  do {
    mctx__telling *told = next_telling(batch, &own);
    spans[0].data = left->arena + left->used;
    result =
        mctx__socket_receive(receiver->socket, receiver->wanted, receiver->coalescing, spans, &told->arrival);
    tried++;
    if (MCTX__SELDOM(result.status != MCTX_OK)) break;
    const uint64_t stored = told->arrival.stored;
    learn_usual(receiver, stored);
    mctx__part *part = mctx__took(call, receiver, &told->arrival);
    if (MCTX__SELDOM(part == NULL)) continue;
    record(call, batch, left->used, told, part);
    left->used += stored;
  } while (tried < most && has_room(batch, left));
  mctx__took_turns(call, tried);
  return MCTX__MOSTLY(result.status == MCTX_OK) ? result : mctx__took_nothing(call, result);
}

/* Receives several messages of a usual length at once. Each has a slot of that length, one behind the other,
 * and an overflow at the end of the arena: a message that is longer is put together there. */
static mctx__result receive_several(mctx__receiving *call, mctx_receive_batch *batch, room *left,
                                    mctx__receiver *receiver, uint32_t count) {
  mctx__telling own[MOST_AT_ONCE];
  mctx__telling *all = next_telling(batch, own);
  mctx__span spans[MOST_AT_ONCE][2];
  const uint64_t slot = receiver->usual;
  const uint64_t end = left->end;
  uint64_t at = left->used;
  uint32_t received;
  unsigned char *front = left->arena + left->used;
  unsigned char *overflow = left->arena + end;
  for (uint32_t i = 0; i < count; i++, front += slot) {
    overflow -= MCTX__MESSAGE_MAX;
    spans[i][0] = (mctx__span){front, (size_t)slot};
    spans[i][1] = (mctx__span){overflow + slot, (size_t)(MCTX__MESSAGE_MAX - slot)};
  }
  mctx__result result = mctx__socket_receive_many(receiver->socket, receiver->wanted, receiver->coalescing,
                                                  spans, count, &all->arrival, &received);
  mctx__took_turns(call, received > 0 ? received : 1);
  if (result.status != MCTX_OK) return mctx__took_nothing(call, result);
  for (uint32_t i = 0; i < received; i++, at += slot) {
    const mctx__arrival *arrival = &all[i].arrival;
    learn_usual(receiver, arrival->stored);
    mctx__part *part = mctx__took(call, receiver, arrival);
    if (MCTX__SELDOM(part == NULL)) continue;
    mctx__telling *told = next_telling(batch, &own[i]);
    if (MCTX__SELDOM(told != &all[i])) *told = all[i]; /* those before it were not delivered */
    if (MCTX__MOSTLY(told->arrival.stored <= slot)) {
      record(call, batch, at, told, part);
      continue;
    }
    left->end = end - (uint64_t)(i + 1) * MCTX__MESSAGE_MAX;
    memcpy(left->arena + left->end, left->arena + at, (size_t)slot);
    record(call, batch, left->end, told, part);
  }
  left->used = at;
  if (received < count) return mctx__took_nothing(call, (mctx__result){MCTX_ERR_WOULD_BLOCK, 0});
  return result;
}

/* Receives from the socket whose turn it is. */
static MCTX__IN_PLACE mctx__result receive_some(mctx__receiving *call, mctx_receive_batch *batch, room *left,
                                                mctx__receiver *receiver) {
  mctx__subscription *subscription = call->subscription;
  /* A socket that is not the only one gets its turn. */
  uint32_t most = subscription->only != NULL ? MOST_AT_ONCE : subscription->turn + 1;
  if (most > call->budget) most = call->budget;
  if (mctx__receiver_is_bare(receiver) && batch->messages == NULL)
    return receive_bare(call, batch, left, receiver, most);
  /* Only what comes with more than its source is cheaper to receive together. */
  const bool is_bare = (receiver->wanted & ~(uint32_t)MCTX_META_SOURCE) == 0 && !receiver->coalescing;
  const bool is_usual = receiver->usual - 1 < USUAL_MOST && !is_bare;
  const uint32_t count = is_usual ? room_for(batch, left, receiver->usual, most) : 0;
  if (count >= FEWEST_AT_ONCE) return receive_several(call, batch, left, receiver, count);
  return receive_each(call, batch, left, receiver, most);
}

/* Receives as much as there is and has room. With the lock held. MCTX_OK with at least one datagram. */
static MCTX__IN_PLACE mctx__result try_many(mctx__receiving *call, mctx_receive_batch *batch) {
  mctx__subscription *subscription = call->subscription;
  room left = {.arena = batch->arena,
               .end = batch->arena_size,
               .least_datagrams = subscription->held.bytes != NULL ? MCTX__MESSAGE_SEGMENTS : 1};
  const bool has_held = mctx__holds(subscription);
  if (has_held) left.used = record_held(call, batch);
  mctx__result result = MCTX__DONE;
  while (result.status == MCTX_OK && call->budget > 0 && has_room(batch, &left)) {
    mctx__receiver *receiver = mctx__next_receiver(call);
    if (receiver == NULL) break;
    result = receive_some(call, batch, &left, receiver);
  }
  if (subscription->events.count > 0) batch->flags |= MCTX_RECEIVE_BATCH_EVENTS;
  if (batch->datagram_count == 0)
    return result.status == MCTX_OK ? (mctx__result){MCTX_ERR_WOULD_BLOCK, 0} : result;
  subscription->counters.packets_received += batch->datagram_count;
  subscription->counters.messages_received += batch->message_count - has_held;
  subscription->counters.bytes_received += call->bytes;
  if (result.status != MCTX_OK) subscription->pending = result;
  return MCTX__DONE;
}

/* ---- the call ---- */

#define HINT_ALIGN "memory of malloc() does; declare an array of your own with _Alignas(8)"

static mctx_status check_records(const mctx__call *call, const mctx_receive_batch *batch) {
  if (batch->arena == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "batch.arena");
  if (batch->datagrams == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "batch.datagrams");
  if (batch->messages == NULL && batch->message_capacity > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "batch.messages",
                      .value = batch->message_capacity);
  if (!mctx__is_aligned(batch->datagrams))
    return MCTX__FAIL(call, MCTX_ERR_MISALIGNED, .field = "batch.datagrams", .limit = 8, .hint = HINT_ALIGN);
  if (!mctx__is_aligned(batch->messages))
    return MCTX__FAIL(call, MCTX_ERR_MISALIGNED, .field = "batch.messages", .limit = 8, .hint = HINT_ALIGN);
  if (batch->messages != NULL && !mctx__struct_size_valid(batch->message_stride))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "batch.message_stride",
                      .value = batch->message_stride, .hint = "set it to sizeof(mctx_message)");
  if (batch->messages != NULL && batch->message_capacity == 0)
    return MCTX__FAIL(call, MCTX_ERR_CAPACITY, .field = "batch.message_capacity", .limit = 1,
                      .hint = "give room for at least one message, or no message records at all");
  if (batch->reserved != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "batch.reserved", .value = batch->reserved);
  return MCTX_OK;
}

/* Before anything is read: is there room for a whole message? */
static mctx_status check_room(const mctx__call *call, const mctx__subscription *subscription,
                              const mctx_receive_batch *batch) {
  const uint64_t least = subscription->held.bytes != NULL ? MCTX__MESSAGE_SEGMENTS : 1;
  if (batch->arena_size < MCTX__MESSAGE_MAX)
    return MCTX__FAIL(call, MCTX_ERR_ARENA_TOO_SMALL, .field = "batch.arena_size", .value = batch->arena_size,
                      .limit = MCTX__MESSAGE_MAX,
                      .hint =
                          "the arena holds a whole message at least: `min_arena` of the subscription's info, "
                          "65536 bytes; a megabyte serves well");
  if (batch->datagram_capacity < least)
    return MCTX__FAIL(call, MCTX_ERR_ARENA_TOO_SMALL, .field = "batch.datagram_capacity",
                      .value = batch->datagram_capacity, .limit = least,
                      .hint =
                          "there must be records for a whole message: `min_datagrams` of the subscription's "
                          "info, 128 with coalescing and 1 without");
  return MCTX_OK;
}

static MCTX__IN_PLACE mctx__result try_many_of(mctx__receiving *call, void *target) {
  return try_many(call, target);
}

static mctx_status receive_batch(const mctx__call *call, mctx_receive_batch *batch, uint32_t flags,
                                 int64_t timeout_ns) {
  mctx__entered in;
  mctx_status status = check_records(call, batch);
  if (status != MCTX_OK) return status;
  if (batch->arena_size > ARENA_USED) batch->arena_size = ARENA_USED;
  if (batch->datagram_capacity > UINT32_MAX) batch->datagram_capacity = UINT32_MAX;
  if ((flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = flags);
  if (!mctx__enter_receiving(call->handle, &in)) return mctx__enter_failed(call, MCTX_HANDLE_SUBSCRIPTION);
  mctx__receiving receiving = mctx__begin(in.subscription);
  mctx__outlook left;
  status = check_room(call, in.subscription, batch);
  if (status == MCTX_OK) {
    mctx__result result = mctx__attempt(&in, &receiving, try_many_of, batch, &left);
    if (mctx__is_left(&left, result, timeout_ns))
      result = mctx__run_on(&in, flags, timeout_ns, try_many_of, batch, result, left);
    if (result.status != MCTX_OK) return mctx__receive_failed(call, in, result);
  }
  mctx__leave_receiving(&in);
  return status;
}

/* What an earlier call put there. */
static void forget_counts(mctx_receive_batch *batch) {
  const size_t start = offsetof(mctx_receive_batch, datagram_count);
  const size_t end = offsetof(mctx_receive_batch, reserved);
  if (batch == NULL || !mctx__struct_size_valid(batch->size) || batch->size <= start) return;
  memset((unsigned char *)batch + start, 0, (batch->size < end ? batch->size : end) - start);
}

mctx_status mctx_recv_batch(mctx_subscription subscription, mctx_receive_batch *batch, uint32_t flags,
                            int64_t timeout_ns, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  mctx_receive_batch own = {0};
  forget_counts(batch);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__struct_read(&call, batch, &own, sizeof own, "batch");
  if (status != MCTX_OK) return status;
  const mctx_receive_batch given = own;
  own.datagram_count = 0;
  own.message_count = 0;
  own.flags = 0;
  status = receive_batch(&call, &own, flags, timeout_ns);
  own.arena_size = given.arena_size;
  own.datagram_capacity = given.datagram_capacity;
  mctx__struct_write(batch, &own, sizeof own);
  return status;
}

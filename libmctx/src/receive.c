/* SPDX-License-Identifier: MIT */
/*
 * Receiving one datagram or many: where a message's datagrams go, what is told of them and what is kept for
 * later. All of it under the subscription's lock, which is given up for every wait.
 */
#include "held.h"
#include "options.h"
#include "take.h"
#include "wait.h"

enum {
  USUAL_STEP = 64,   /* lengths are rounded up to that */
  USUAL_MOST = 9216, /* longer messages are received one by one */
  FEWEST_AT_ONCE = 2 /* fewer are received one by one */
};

#define ARENA_USED UINT64_C(0xffffffff) /* offsets have 32 bits */
#define BEHIND_NS  INT64_C(10000000)    /* until interfaces are looked at again after that failed */

static const mctx__result nothing_joined = {MCTX_ERR_NOTHING_JOINED, 0};
static const mctx_address no_address;

/* Whether what was stored is several datagrams. */
static inline bool is_coalesced(const mctx__arrival *arrival) {
  return arrival->segment_size != 0 && arrival->stored > arrival->segment_size;
}

/* ---- what is told and counted ---- */

/* Datagrams of one message that are delivered. */
static MCTX__IN_PLACE void count(const mctx__receiving *call, mctx__part *part, uint64_t datagrams,
                                 uint64_t bytes, bool is_new) {
  mctx__receive_counters *counters = &call->subscription->counters;
  mctx__member *member = part->member;
  counters->packets_received += datagrams;
  counters->bytes_received += bytes;
  counters->messages_received += is_new;
  member->datagrams += datagrams;
  member->bytes += bytes;
  member->last_ns = call->now_ns;
  if (member->first_ns == 0) member->first_ns = member->last_ns;
}

static void count_failure(mctx__subscription *subscription, mctx_status status) {
  uint32_t kind = mctx_status_kind(status);
  subscription->counters.receive_errors++;
  subscription->counters.errors[kind < MCTX__KINDS ? kind : MCTX_KIND_INTERNAL]++;
}

/* What was asked for of what there is; the fields are set one by one, once. */
static MCTX__IN_PLACE void describe_message(const mctx__subscription *subscription,
                                            const mctx__arrival *arrival, mctx_message *message) {
  const uint32_t present = arrival->present & subscription->metadata;
  const bool has_group = (present & MCTX_META_GROUP) != 0;
  message->present = present;
  message->flags =
      arrival->segment_size != 0 && arrival->length > arrival->segment_size ? MCTX_MESSAGE_COALESCED : 0;
  message->source = (present & MCTX_META_SOURCE) != 0 ? arrival->source : no_address;
  message->group = has_group ? arrival->group : no_address;
  if (has_group) message->group.port = subscription->port;
  message->interface_index = has_group ? arrival->interface_index : 0;
  message->hop_limit = (present & MCTX_META_HOP_LIMIT) != 0 ? arrival->hop_limit : 0;
  message->traffic_class = (present & MCTX_META_TRAFFIC_CLASS) != 0 ? arrival->traffic_class : 0;
  message->time_ns = (present & MCTX_META_TIME) != 0 ? arrival->time_ns : 0;
  message->drops = (present & MCTX_META_DROPS) != 0 ? subscription->drops : 0;
}

/* ---- held datagrams ---- */

/* The datagram at the front of what is held. */
static uint64_t held_length(const mctx__held *held) {
  uint64_t rest = held->end - held->offset;
  return rest < held->arrival.segment_size ? rest : held->arrival.segment_size;
}

/* ---- one datagram ---- */

static bool is_aligned(const void *pointer) {
  return ((uintptr_t)pointer & 7) == 0;
}

typedef struct one_datagram {
  void *data;
  size_t capacity;
  size_t length;
  mctx_message *message; /* NULL: nobody asks */
} one_datagram;

static MCTX__IN_PLACE void describe_one(const mctx__subscription *subscription, const mctx__arrival *arrival,
                                        uint64_t length, bool truncated, const one_datagram *one) {
  if (one->message == NULL) return;
  describe_message(subscription, arrival, one->message);
  one->message->length = length;
  one->message->segment_size = (uint32_t)length;
  one->message->first_datagram = 0;
  one->message->datagram_count = 1;
  if (truncated) one->message->flags |= MCTX_MESSAGE_TRUNCATED;
}

static void take_held(mctx__receiving *call, one_datagram *one) {
  mctx__subscription *subscription = call->subscription;
  mctx__held *held = &subscription->held;
  const uint64_t length = held_length(held);
  const bool truncated = length > one->capacity;
  one->length = truncated ? one->capacity : (size_t)length;
  if (one->length > 0) memcpy(one->data, held->bytes + held->offset, one->length);
  describe_one(subscription, &held->arrival, length, truncated, one);
  subscription->counters.truncated += truncated;
  count(call, held->part, 1, one->length, false);
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

/* Receives one datagram if there is one. With the lock held. */
static MCTX__IN_PLACE mctx__result try_one(mctx__receiving *call, one_datagram *one) {
  mctx__subscription *subscription = call->subscription;
  mctx__arrival arrival;
  mctx__receiver *receiver;
  mctx__part *part;
  mctx__span spans[2] = {{one->data, one->capacity}, {NULL, 0}};
  if (mctx__holds(subscription)) {
    take_held(call, one);
    return MCTX__DONE;
  }
  if (subscription->held.bytes != NULL && one->capacity < MCTX__MESSAGE_MAX)
    spans[1] = (mctx__span){subscription->held.bytes + one->capacity, MCTX__MESSAGE_MAX - one->capacity};
  mctx__result result = mctx__take_message(call, spans, &arrival, &receiver, &part);
  if (result.status != MCTX_OK) return result;

  const bool several = is_coalesced(&arrival);
  const uint64_t length = several ? arrival.segment_size : arrival.length;
  const bool truncated = length > one->capacity || (!several && arrival.truncated);
  const uint64_t stored = several ? arrival.segment_size : arrival.stored;
  one->length = stored < one->capacity ? (size_t)stored : one->capacity;
  describe_one(subscription, &arrival, length, truncated, one);
  subscription->counters.truncated += truncated;
  count(call, part, 1, one->length, true);
  if (several) hold_rest(subscription, one, &arrival, receiver, part);
  return result;
}

/* ---- many datagrams ---- */

static uint32_t segments_of(const mctx__arrival *arrival) {
  if (!is_coalesced(arrival)) return 1;
  return (uint32_t)((arrival->stored + arrival->segment_size - 1) / arrival->segment_size);
}

/* What is left of the caller's memory. */
typedef struct room {
  unsigned char *arena;
  uint64_t used; /* from its start on */
  uint64_t end;  /* behind which it is used too */
  uint64_t least_datagrams;
} room;

/* How many messages there is room for: each with `slot` bytes in front and an overflow behind, and all of its
 * datagrams. */
static uint32_t room_for(const mctx_receive_batch *batch, const room *left, uint64_t slot, uint64_t most) {
  const uint64_t by_bytes = (left->end - left->used) / (slot + MCTX__MESSAGE_MAX);
  const uint64_t by_datagrams = (batch->datagram_capacity - batch->datagram_count) / left->least_datagrams;
  if (by_bytes < most) most = by_bytes;
  if (by_datagrams < most) most = by_datagrams;
  if (batch->messages != NULL && batch->message_capacity - batch->message_count < most)
    most = batch->message_capacity - batch->message_count;
  return (uint32_t)most;
}

/* Makes records of a message whose bytes are in the arena from `used` on. */
static MCTX__IN_PLACE void record(mctx__receiving *call, mctx_receive_batch *batch, uint64_t used,
                                  const mctx__arrival *arrival, mctx__part *part, bool is_new) {
  mctx__subscription *subscription = call->subscription;
  const uint32_t segments = segments_of(arrival);
  const uint64_t slots = batch->datagram_capacity - batch->datagram_count;
  const uint32_t delivered = segments < slots ? segments : (uint32_t)slots;
  const uint32_t size = segments > 1 ? arrival->segment_size : (uint32_t)arrival->stored;
  mctx_datagram *datagram = &batch->datagrams[batch->datagram_count];
  const uint64_t before_last = (uint64_t)size * (delivered - 1);
  const uint64_t rest = arrival->stored - before_last;
  const uint64_t bytes = before_last + (rest < size ? rest : size);
  mctx_datagram next = {.offset = (uint32_t)used, .length = size, .message = (uint32_t)batch->message_count};
  for (uint32_t i = 0; i < delivered; i++) {
    datagram[i] = next;
    next.offset += size;
  }
  if (rest < size) datagram[delivered - 1].length = (uint32_t)rest;
  const bool truncated = arrival->truncated || delivered < segments;
  if (arrival->truncated) datagram[delivered - 1].flags |= MCTX_DATAGRAM_TRUNCATED;
  subscription->counters.truncated += (segments - delivered) + arrival->truncated;
  if (batch->messages != NULL) {
    mctx_message told;
    const bool is_own = batch->message_stride == sizeof told;
    mctx_message *message = is_own ? &batch->messages[batch->message_count] : &told;
    describe_message(subscription, arrival, message);
    message->length = arrival->length;
    message->segment_size = size;
    message->first_datagram = (uint32_t)batch->datagram_count;
    message->datagram_count = delivered;
    if (truncated) message->flags |= MCTX_MESSAGE_TRUNCATED;
    if (!is_own)
      mctx__element_write(batch->messages, batch->message_stride, batch->message_count, &told, sizeof told);
  }
  batch->datagram_count += delivered;
  batch->message_count++;
  count(call, part, delivered, bytes, is_new);
}

/* What an earlier receive left, as a message of its own. */
static uint64_t record_held(mctx__receiving *call, mctx_receive_batch *batch) {
  mctx__held *held = &call->subscription->held;
  mctx__arrival rest = held->arrival;
  rest.stored = held->end - held->offset;
  rest.length = rest.stored;
  if (held->bytes != NULL) memcpy(batch->arena, held->bytes + held->offset, (size_t)rest.stored);
  record(call, batch, 0, &rest, held->part, false);
  mctx__held_clear(call->subscription);
  return rest.stored;
}

/* Learns how long messages are lately. */
static void learn_usual(mctx__receiver *receiver, const mctx__arrival *arrival) {
  const uint64_t rounded = (arrival->stored + USUAL_STEP) / USUAL_STEP * USUAL_STEP;
  receiver->usual = !is_coalesced(arrival) && rounded <= USUAL_MOST ? (uint32_t)rounded : 0;
}

/* Receives one message. MCTX_OK: it was, or there was none and others may have one. */
static MCTX__IN_PLACE mctx__result receive_one(mctx__receiving *call, mctx_receive_batch *batch, room *left,
                                               mctx__receiver *receiver) {
  mctx__arrival arrival;
  const mctx__span spans[2] = {{left->arena + left->used, MCTX__MESSAGE_MAX}, {NULL, 0}};
  call->budget--;
  mctx__result result =
      mctx__socket_receive(receiver->socket, receiver->wanted, receiver->coalescing, spans, &arrival);
  if (result.status != MCTX_OK) return mctx__took_nothing(call, result);
  learn_usual(receiver, &arrival);
  mctx__part *part = mctx__took(call, receiver, &arrival);
  if (part == NULL) return result;
  record(call, batch, left->used, &arrival, part, true);
  left->used += arrival.stored;
  return result;
}

/* Receives several messages of a usual length at once. Each has a slot of that length, one behind the other,
 * and an overflow at the end of the arena: a message that is longer is put together there. */
static mctx__result receive_several(mctx__receiving *call, mctx_receive_batch *batch, room *left,
                                    mctx__receiver *receiver, uint32_t count) {
  mctx__arrival arrivals[MCTX__RECEIVE_MANY_MAX];
  mctx__span spans[MCTX__RECEIVE_MANY_MAX][2];
  const uint64_t slot = receiver->usual;
  const uint64_t first = left->used;
  const uint64_t end = left->end;
  uint32_t received;
  for (uint32_t i = 0; i < count; i++) {
    unsigned char *overflow = left->arena + end - (uint64_t)(i + 1) * MCTX__MESSAGE_MAX;
    spans[i][0] = (mctx__span){left->arena + first + i * slot, (size_t)slot};
    spans[i][1] = (mctx__span){overflow + slot, (size_t)(MCTX__MESSAGE_MAX - slot)};
  }
  mctx__result result = mctx__socket_receive_many(receiver->socket, receiver->wanted, receiver->coalescing,
                                                  spans, count, arrivals, &received);
  call->budget -= received > 0 ? received : 1;
  if (result.status != MCTX_OK) return mctx__took_nothing(call, result);
  for (uint32_t i = 0; i < received; i++) {
    uint64_t at = first + i * slot;
    mctx__part *part = mctx__took(call, receiver, &arrivals[i]);
    if (part != NULL && arrivals[i].stored > slot) {
      at = end - (uint64_t)(i + 1) * MCTX__MESSAGE_MAX;
      memcpy(left->arena + at, left->arena + first + i * slot, (size_t)slot);
      left->end = at;
    }
    if (part != NULL) record(call, batch, at, &arrivals[i], part, true);
    learn_usual(receiver, &arrivals[i]);
  }
  left->used = first + received * slot;
  if (received < count) return mctx__took_nothing(call, (mctx__result){MCTX_ERR_WOULD_BLOCK, 0});
  return result;
}

/* Receives as much as there is and has room. With the lock held. MCTX_OK with at least one datagram. */
static MCTX__IN_PLACE mctx__result try_many(mctx__receiving *call, mctx_receive_batch *batch) {
  mctx__subscription *subscription = call->subscription;
  room left = {.arena = batch->arena,
               .end = batch->arena_size,
               .least_datagrams = subscription->held.bytes != NULL ? MCTX__MESSAGE_SEGMENTS : 1};
  if (mctx__holds(subscription)) left.used = record_held(call, batch);
  mctx__result result = MCTX__DONE;
  while (result.status == MCTX_OK && call->budget > 0 && room_for(batch, &left, 0, 1) > 0) {
    mctx__receiver *receiver = mctx__next_receiver(call);
    if (receiver == NULL) break;
    /* A socket that is not the only one gets its turn. */
    uint32_t most = subscription->only != NULL ? MCTX__RECEIVE_MANY_MAX : subscription->turn + 1;
    if (most > call->budget) most = call->budget;
    /* Only what comes with more than its source is cheaper to receive together. */
    const bool is_bare = (receiver->wanted & ~(uint32_t)MCTX_META_SOURCE) == 0 && !receiver->coalescing;
    const bool is_usual = receiver->usual != 0 && !is_bare;
    const uint32_t count = is_usual ? room_for(batch, &left, receiver->usual, most) : 1;
    if (count < FEWEST_AT_ONCE) {
      result = receive_one(call, batch, &left, receiver);
      continue;
    }
    if (subscription->only == NULL) subscription->turn -= count - 1;
    result = receive_several(call, batch, &left, receiver, count);
  }
  if (subscription->events.count > 0) batch->flags |= MCTX_RECEIVE_BATCH_EVENTS;
  if (batch->datagram_count > 0) {
    if (result.status != MCTX_OK) subscription->pending = result;
    return MCTX__DONE;
  }
  return result.status == MCTX_OK ? (mctx__result){MCTX_ERR_WOULD_BLOCK, 0} : result;
}

/* ---- calls ---- */

/* Receives or waits, until something was received or the time has passed. */
typedef mctx__result trying(mctx__receiving *call, void *target);

static mctx__result wait_readable(mctx__subscription *subscription, uint32_t flags, int64_t deadline_ns) {
  uint32_t ready;
  mctx__subscription_lock(subscription);
  subscription->waiters++;
  mctx__held_signal(subscription); /* another thread may have left something meanwhile */
  mctx__subscription_unlock(subscription);
  mctx__result result = mctx__object_wait(&subscription->object, mctx__poller_member(subscription->poller),
                                          MCTX_READABLE, flags, deadline_ns, &ready);
  mctx__subscription_lock(subscription);
  subscription->waiters--;
  mctx__held_signal(subscription);
  mctx__subscription_unlock(subscription);
  return result;
}

/* MCTX_OK: some time has passed. */
static mctx__result pause_behind(mctx__subscription *subscription, uint32_t flags, int64_t deadline_ns) {
  const int64_t until = mctx__clock_monotonic() + BEHIND_NS;
  uint32_t ready;
  mctx__result result = mctx__object_wait(&subscription->object, MCTX__NO_SOCKET, 0, flags,
                                          until < deadline_ns ? until : deadline_ns, &ready);
  return result.status == MCTX_ERR_TIMEOUT && until < deadline_ns ? MCTX__DONE : result;
}

/* What a try leaves to be done about the interfaces. */
typedef struct outlook {
  bool has_changes; /* they are to be looked at now */
  int64_t retry_ns; /* or at that time; 0: there is nothing to do */
} outlook;

/* One try: what failed before comes first. */
static MCTX__IN_PLACE mctx__result attempt(mctx__subscription *subscription, trying *try_it, void *target,
                                           outlook *left) {
  mctx__receiving call = {
      .subscription = subscription, .budget = MCTX__MESSAGES_PER_CALL, .now_ns = mctx__clock_coarse()};
  mctx__subscription_lock(subscription);
  mctx__result result = subscription->pending;
  subscription->pending = MCTX__DONE;
  if (result.status == MCTX_OK) result = try_it(&call, target);
  if (result.status == MCTX_OK) subscription->counters.receive_calls++;
  left->has_changes = subscription->has_changes;
  left->retry_ns = subscription->retry_ns;
  mctx__subscription_unlock(subscription);
  return result;
}

/* Looks at the interfaces if it is time to. False: that failed. */
static bool look_around(mctx__subscription *subscription, outlook *left) {
  const bool is_due = left->has_changes || (left->retry_ns != 0 && mctx__clock_coarse() >= left->retry_ns);
  if (!is_due) return true;
  const bool is_done = mctx__subscription_follow(subscription);
  mctx__subscription_lock(subscription);
  left->retry_ns = subscription->retry_ns;
  mctx__subscription_unlock(subscription);
  return is_done;
}

/* Waits until there is something to receive, or to do about the interfaces. */
static mctx__result wait_more(mctx__subscription *subscription, uint32_t flags, int64_t deadline_ns,
                              const outlook *left, bool is_behind) {
  /* The handle is readable for that alone: try again a little later. */
  if (is_behind) return pause_behind(subscription, flags, deadline_ns);
  const int64_t retry_ns = left->retry_ns != 0 ? left->retry_ns + MCTX__COARSE_NS : deadline_ns;
  const bool is_retry = retry_ns < deadline_ns;
  mctx__result result = wait_readable(subscription, flags, is_retry ? retry_ns : deadline_ns);
  return is_retry && result.status == MCTX_ERR_TIMEOUT ? MCTX__DONE : result;
}

/* Goes on after the first try. */
static MCTX__COLD mctx__result run_on(mctx__subscription *subscription, uint32_t flags, int64_t timeout_ns,
                                      trying *try_it, void *target, mctx__result result, outlook left) {
  int64_t deadline = 0;
  for (;; result = attempt(subscription, try_it, target, &left)) {
    const bool is_behind = !look_around(subscription, &left);
    if (result.status != MCTX_ERR_WOULD_BLOCK || timeout_ns == 0) return result;
    if (deadline == 0) {
      if (timeout_ns < 0 && !mctx__subscription_has_groups(subscription)) return nothing_joined;
      deadline = mctx__deadline(timeout_ns);
    }
    result = wait_more(subscription, flags, deadline, &left, is_behind);
    /* What arrives but is not delivered must not keep a call beyond its time. */
    if (result.status == MCTX_OK && deadline != MCTX__FOREVER && mctx__clock_monotonic() >= deadline) {
      result = attempt(subscription, try_it, target, &left);
      if (result.status == MCTX_ERR_WOULD_BLOCK) result.status = MCTX_ERR_TIMEOUT;
      return result;
    }
    if (result.status != MCTX_OK) return result;
  }
}

static MCTX__IN_PLACE mctx__result run(mctx__subscription *subscription, uint32_t flags, int64_t timeout_ns,
                                       trying *try_it, void *target) {
  outlook left;
  mctx__result result = attempt(subscription, try_it, target, &left);
  const bool has_nothing = result.status == MCTX_ERR_WOULD_BLOCK && (timeout_ns != 0 || left.retry_ns != 0);
  if (!left.has_changes && !has_nothing) return result;
  return run_on(subscription, flags, timeout_ns, try_it, target, result, left);
}

/* Counts and describes what a call that received nothing came to. */
static MCTX__COLD mctx_status failed(const mctx__call *call, mctx__subscription *subscription,
                                     mctx__result result) {
  mctx__subscription_lock(subscription);
  subscription->counters.receive_calls++;
  count_failure(subscription, result.status);
  mctx__subscription_unlock(subscription);
  if (result.status == MCTX_ERR_CLOSED) return mctx__handle_failed(call, MCTX_ERR_CLOSED);
  if (result.status == MCTX_ERR_NOTHING_JOINED) return mctx__nothing_joined(call);
  return MCTX__FAIL(call, result.status, .os_code = result.os_code);
}

static MCTX__IN_PLACE mctx__result try_one_of(mctx__receiving *call, void *target) {
  return try_one(call, target);
}

/* Counts and describes what mctx_recv() failed with. */
static MCTX__COLD mctx_status recv_failed(mctx__subscription *subscription, mctx__result result, size_t *length,
                                          mctx_message *message, uint32_t message_size, mctx_error *error) {
  const mctx__call call = {"mctx_recv", subscription->object.handle, error};
  *length = 0;
  if (message != NULL) memset(message, 0, message_size);
  mctx_status status = failed(&call, subscription, result);
  mctx__unpin(&subscription->object);
  return status;
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
  return mctx__handle_failed(call, mctx__handle_refusal(call->handle, MCTX_HANDLE_SUBSCRIPTION));
}

/* The way of every datagram: nothing is prepared here that only a failure needs. */
mctx_status mctx_recv(mctx_subscription subscription, void *data, size_t capacity, uint32_t flags,
                      int64_t timeout_ns, size_t *length, mctx_message *message, uint32_t message_size,
                      mctx_error *error) {
  mctx__object *object = NULL;
  mctx_message told;
  /* No message is longer, and the system refuses absurd lengths. */
  const size_t most = capacity < MCTX__MESSAGE_MAX ? capacity : MCTX__MESSAGE_MAX;
  one_datagram one = {.data = data, .capacity = most, .message = message};
  /* What is no array element of another version is written where it belongs. */
  const bool is_own = message == NULL || (message_size == sizeof told && is_aligned(message));
  if (!is_own) one.message = &told;
  if (mctx__error_usable(error) && length != NULL && (data != NULL || capacity == 0) &&
      (is_own || mctx__struct_size_valid(message_size)) && (flags & ~(uint32_t)MCTX_INTERRUPTIBLE) == 0 &&
      mctx__handle_kind(subscription) == MCTX_HANDLE_SUBSCRIPTION)
    object = mctx__pin_live(subscription);
  if (object == NULL) {
    const mctx__call call = {__func__, subscription, error};
    return recv_unusable(&call, data, capacity, flags, length, message, message_size);
  }
  mctx__subscription *own = (mctx__subscription *)object;
  mctx__result result = run(own, flags, timeout_ns, try_one_of, &one);
  if (result.status != MCTX_OK) return recv_failed(own, result, length, message, message_size, error);
  *length = one.length;
  if (!is_own) mctx__element_write(message, message_size, 0, &told, sizeof told);
  mctx__unpin(object);
  return MCTX_OK;
}

/* ---- batches ---- */

static mctx_status check_records(const mctx__call *call, const mctx_receive_batch *batch) {
  if (batch->arena == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "batch.arena");
  if (batch->datagrams == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "batch.datagrams");
  if (batch->messages == NULL && batch->message_capacity > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "batch.messages",
                      .value = batch->message_capacity);
  if (!is_aligned(batch->datagrams))
    return MCTX__FAIL(call, MCTX_ERR_MISALIGNED, .field = "batch.datagrams", .limit = 8);
  if (!is_aligned(batch->messages))
    return MCTX__FAIL(call, MCTX_ERR_MISALIGNED, .field = "batch.messages", .limit = 8);
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
  mctx__object *object;
  mctx_status status = check_records(call, batch);
  if (status != MCTX_OK) return status;
  if (batch->arena_size > ARENA_USED) batch->arena_size = ARENA_USED;
  if (batch->datagram_capacity > UINT32_MAX) batch->datagram_capacity = UINT32_MAX;
  if ((flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = flags);
  status = mctx__enter(call, MCTX_HANDLE_SUBSCRIPTION, &object);
  if (status != MCTX_OK) return status;
  mctx__subscription *own = (mctx__subscription *)object;
  status = check_room(call, own, batch);
  if (status == MCTX_OK) {
    mctx__result result = run(own, flags, timeout_ns, try_many_of, batch);
    if (result.status != MCTX_OK) status = failed(call, own, result);
  }
  mctx__unpin(object);
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

/* SPDX-License-Identifier: MIT */
/* Batches of datagrams of every length, alone and in superpackets, into arenas and record arrays of every size:
 * each datagram is whole, in its group's order, apart from the others, and nothing is written elsewhere.
 * MCTX_SEED repeats a run. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/random.h"
#include "host/subscription.h"

enum {
  GROUPS = 3,
  ROUNDS = 150,
  BURST = 24,          /* datagrams or superpackets, */
  BURST_BYTES = 60000, /* and bytes: what a small receive buffer takes */
  CANARY = 64,
  RECORDS = 700
};

static uint64_t random_state;

static uint32_t any_of(uint32_t count) {
  return random_below(&random_state, count);
}

/* ---- payloads that tell what they are ---- */

typedef struct sent {
  uint32_t group;
  uint32_t length;
  uint32_t number; /* among the group's */
} sent;

enum { HEADER = sizeof(sent) };

static void fill(unsigned char *payload, const sent *what) {
  for (uint32_t i = 0; i < what->length; i++)
    payload[i] = (unsigned char)(what->number * 31 + i * 7 + i / 251);
  if (what->length >= HEADER) memcpy(payload, what, HEADER);
}

static void assert_whole(const unsigned char *payload, uint32_t length, sent *what) {
  static unsigned char expected[LARGEST];
  assert_in_range(length, HEADER, LARGEST);
  memcpy(what, payload, HEADER);
  if (what->length != length) fail_msg("%u bytes of %u came", length, what->length);
  fill(expected, what);
  assert_memory_equal(payload, expected, length);
}

/* ---- one subscription, one sender ---- */

typedef struct course {
  mctx_subscription subscription;
  int sender;
  uint32_t family;
  uint32_t sent[GROUPS];    /* datagrams to each group so far */
  uint32_t taken[GROUPS];   /* of them */
  bool took_one_of_several; /* just before */
} course;

/* Mostly alike, which is what a receiver may learn; sometimes another. */
static uint32_t some_length(uint32_t usual) {
  static const uint32_t others[] = {HEADER, 100, 1000, 1472, 2000, 9000};
  return any_of(8) > 0 ? usual : others[any_of(6)];
}

static uint32_t send_one(course *own, uint32_t usual) {
  static unsigned char data[LARGEST];
  sent what = {.group = any_of(GROUPS), .length = some_length(usual)};
  mctx_address group = group_at(own->family, 1 + what.group);
  what.number = own->sent[what.group]++;
  fill(data, &what);
  send_bytes(own->sender, &group, data, what.length);
  return what.length;
}

static uint32_t send_many(course *own) {
  static unsigned char data[LARGEST];
  uint32_t count = 2 + any_of(50);
  sent what = {.group = any_of(GROUPS), .length = HEADER + any_of(300)};
  mctx_address group = group_at(own->family, 1 + what.group);
  for (uint32_t i = 0; i < count; i++) {
    what.number = own->sent[what.group]++;
    fill(data + i * what.length, &what);
  }
  send_superpacket(own->sender, &group, data, count * what.length, (uint16_t)what.length);
  return count * what.length;
}

static void send_burst(course *own) {
  static const uint32_t usuals[] = {HEADER, 64, 200, 1000, 1400};
  uint32_t usual = usuals[any_of(5)];
  uint32_t superpackets = any_of(3) == 0 ? 4 : 0;
  uint32_t bytes = 0;
  for (uint32_t i = any_of(BURST); i < BURST && bytes < BURST_BYTES - 16000; i++)
    bytes += any_of(8) < superpackets ? send_many(own) : send_one(own, usual);
}

static bool has_all(const course *own) {
  return memcmp(own->sent, own->taken, sizeof own->sent) == 0;
}

static void take(course *own, const unsigned char *payload, uint32_t length) {
  sent what;
  assert_whole(payload, length, &what);
  assert_in_range(what.group, 0, GROUPS - 1);
  assert_int_equal(what.number, own->taken[what.group]);
  own->taken[what.group]++;
}

/* ---- receiving, and looking at what was left alone ---- */

static _Alignas(8) unsigned char memory[CANARY + 300000 + CANARY];
static mctx_datagram datagrams[RECORDS + 1];
static mctx_message messages[RECORDS + 1];

static void assert_untouched(const void *start, size_t length) {
  for (size_t i = 0; i < length; i++)
    assert_int_equal(((const unsigned char *)start)[i], 0xa5);
}

/* No two share a byte. */
static void assert_apart(const mctx_receive_batch *batch) {
  for (uint64_t i = 0; i < batch->datagram_count; i++) {
    const mctx_datagram *one = &datagrams[i];
    assert_in_range(one->offset + (uint64_t)one->length, 0, batch->arena_size);
    for (uint64_t k = 0; k < i; k++)
      assert_true(one->offset + one->length <= datagrams[k].offset ||
                  datagrams[k].offset + datagrams[k].length <= one->offset);
  }
}

static void assert_messages(const course *own, const mctx_receive_batch *batch) {
  uint64_t next = 0;
  for (uint64_t i = 0; i < batch->message_count; i++) {
    const mctx_message *message = &messages[i];
    assert_int_equal(message->first_datagram, next);
    uint64_t length = 0;
    for (uint32_t k = 0; k < message->datagram_count; k++, next++) {
      sent what;
      memcpy(&what, memory + CANARY + datagrams[next].offset, HEADER);
      mctx_address group = group_at(own->family, 1 + what.group);
      assert_int_equal(datagrams[next].message, i);
      assert_memory_equal(&message->group, &group, sizeof group);
      length += datagrams[next].length;
    }
    assert_int_equal(message->length, length);
    /* told first: the last of several, whose others were taken one by one before */
    bool is_last_of_several = i == 0 && own->took_one_of_several && message->flags != 0;
    assert_int_equal(message->flags,
                     message->datagram_count > 1 || is_last_of_several ? MCTX_MESSAGE_COALESCED : 0);
  }
  assert_int_equal(next, batch->datagram_count);
}

static void take_a_batch(course *own) {
  uint32_t arena = 65536 + (any_of(3) == 0 ? any_of(1000) : any_of(300000 - 65536));
  uint32_t records = 128 + any_of(RECORDS - 128);
  bool with_messages = any_of(2) == 0;
  uint32_t message_records = 1 + any_of(any_of(2) == 0 ? 5 : RECORDS);
  memset(memory, 0xa5, sizeof memory);
  memset(datagrams, 0xa5, sizeof datagrams);
  memset(messages, 0xa5, sizeof messages);
  mctx_receive_batch batch = {.size = sizeof batch,
                              .message_stride = with_messages ? sizeof messages[0] : 0,
                              .arena = memory + CANARY,
                              .arena_size = arena,
                              .datagrams = datagrams,
                              .datagram_capacity = records,
                              .messages = with_messages ? messages : NULL,
                              .message_capacity = with_messages ? message_records : 0};
  assert_ok(mctx_recv_batch(own->subscription, &batch, 0, PATIENCE_MS * MILLI, NULL));
  assert_in_range(batch.datagram_count, 1, records);
  if (with_messages) assert_in_range(batch.message_count, 1, message_records);
  assert_untouched(memory, CANARY);
  assert_untouched(memory + CANARY + arena, sizeof memory - CANARY - arena);
  assert_untouched(&datagrams[records], sizeof datagrams[0]);
  assert_untouched(&messages[with_messages ? message_records : 0], sizeof messages[0]);
  assert_apart(&batch);
  if (with_messages) assert_messages(own, &batch);
  own->took_one_of_several = false;
  for (uint64_t i = 0; i < batch.datagram_count; i++) {
    assert_int_equal(datagrams[i].flags, 0);
    take(own, memory + CANARY + datagrams[i].offset, datagrams[i].length);
  }
}

static void take_one(course *own) {
  static taken got;
  if (!take_next(own->subscription, &got, PATIENCE_MS)) return;
  take(own, got.data, (uint32_t)got.length);
  own->took_one_of_several = (got.message.flags & MCTX_MESSAGE_COALESCED) != 0;
}

/* On one socket and on several, with and without coalescing and metadata. */
static void every_datagram_is_whole(void **state) {
  uint32_t family = host_family(state);
  random_state = random_seed();
  for (int how = 0; how < 8; how++) {
    host_pair();
    mctx_context context = open_context();
    mctx_subscription_options options = subscription_options();
    options.coalescing = how & 1;
    options.metadata = how & 2 ? MCTX_META_ALL : MCTX_META_GROUP;
    options.binding = how & 4 ? MCTX_BINDING_WILDCARD : MCTX_BINDING_AUTO;
    course own = {.family = family, .subscription = subscribe_with(context, &options)};
    for (uint32_t i = 0; i < GROUPS; i++) {
      mctx_address group = group_at(family, 1 + i);
      join_group(own.subscription, &group, "va");
    }
    own.sender = sender_there(family, NULL, "vb");
    for (int round = 0; round < ROUNDS; round++) {
      send_burst(&own);
      while (!has_all(&own))
        (any_of(4) == 0 ? take_one : take_a_batch)(&own);
    }
    assert_takes_nothing(own.subscription);
    assert_int_equal(counter_of(own.subscription, "truncated"), 0);
    assert_int_equal(counter_of(own.subscription, "kernel_drops"), 0);
    assert_int_equal(counter_of(own.subscription, "packets_received"),
                     own.taken[0] + own.taken[1] + own.taken[2]);
    close(own.sender);
    assert_ok(mctx_close(context, NULL));
  }
}

/* Some are discarded in the middle of others that are not: what comes is packed right all the same. */
static void what_is_discarded_leaves_the_others_whole(void **state) {
  uint32_t family = host_family(state);
  random_state = family;
  host_pair();
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  mctx_address here = unicast_at(family, 9, 1);
  here.port = PORT;
  options.binding = MCTX_BINDING_WILDCARD;
  course own = {.family = family, .subscription = subscribe_with(context, &options)};
  for (uint32_t i = 0; i < GROUPS; i++) {
    mctx_address group = group_at(family, 1 + i);
    join_group(own.subscription, &group, "va");
  }
  own.sender = sender_there(family, NULL, "vb");
  uint64_t unwanted = 0;
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < 20; i++) {
      if (any_of(3) == 0) {
        send_text(own.sender, &here, "unicast, which is not for a subscription and must leave no trace here");
        unwanted++;
      } else {
        send_one(&own, 200);
      }
    }
    while (!has_all(&own))
      take_a_batch(&own);
  }
  assert_discards(own.subscription, "discarded_unicast", unwanted);
  close(own.sender);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(every_datagram_is_whole),
      BOTH_FAMILIES(what_is_discarded_leaves_the_others_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

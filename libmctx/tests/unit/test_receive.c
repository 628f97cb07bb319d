/* SPDX-License-Identifier: MIT */
/* Receiving: what recv and recv_batch deliver, hold back and truncate, and what memory they take. */
#include "chance.h"
#include "sim_subscription.h"

static batch_memory memory;

/* Byte i of what arrive_coalesced() sends. */
static void assert_pattern(const unsigned char *bytes, uint64_t from, uint64_t length) {
  for (uint64_t i = 0; i < length; i++)
    assert_int_equal(bytes[i], (unsigned char)(from + i));
}

/* ---- one datagram ---- */

static void a_datagram_comes_with_all_that_is_known_of_it(void **state) {
  (void)state;
  open_joined();
  char bytes[16];
  size_t length = 77;
  mctx_message message;
  mctx_sim_arrival arrival = arrival_of("10.0.0.9", "239.1.1.1", 2);
  arrival.payload = "hello";
  arrival.length = 5;
  mctx_sim_advance(SECOND);
  assert_int_equal(mctx_sim_deliver(&arrival), 1);
  mctx_sim_advance(SECOND);
  assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, &message, sizeof message, NULL));
  assert_int_equal(length, 5);
  assert_memory_equal(bytes, "hello", 5);
  assert_int_equal(message.present, MCTX_META_ALL);
  assert_int_equal(message.flags, 0);
  assert_address(&message.source, "10.0.0.9:40000");
  assert_address(&message.group, "239.1.1.1:5000");
  assert_int_equal(message.interface_index, 2);
  assert_int_equal(message.hop_limit, 7);
  assert_int_equal(message.traffic_class, 0xb9);
  assert_int_equal(message.segment_size, 5);
  assert_int_equal(message.time_ns, INT64_C(1700000000000000000) + 2 * SECOND);
  assert_int_equal(message.drops, 0);
  assert_int_equal(message.length, 5);
  assert_int_equal(message.first_datagram, 0);
  assert_int_equal(message.datagram_count, 1);
  mctx_error error = MCTX_ERROR_INIT;
  length = 77;
  assert_status(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, &message, sizeof message, &error),
                MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(length, 0);
  assert_int_equal(message.present, 0);
  assert_int_equal(error.retry, MCTX_RETRY_WHEN_READY);
  assert_string_equal(error.message, "");
  assert_closed(context);
}

static void a_scoped_address_comes_with_its_scope(void **state) {
  (void)state;
  open_joined();
  join(subscription, "ff12::1", "eth1");
  join(subscription, "ff15::1", "eth1");
  uint32_t number = 0;
  size_t length;
  mctx_message message;
  assert_true(arrive(5, "fe80::99", "ff12::1", 3) >= 1);
  assert_ok(mctx_recv(subscription, &number, 4, 0, 0, &length, &message, sizeof message, NULL));
  assert_int_equal(number, 5);
  assert_int_equal(message.source.scope_id, 3);
  assert_int_equal(message.group.scope_id, 3);
  assert_int_equal(message.group.port, PORT);
  assert_true(arrive(6, "fd01::99", "ff15::1", 3) >= 1);
  assert_ok(mctx_recv(subscription, &number, 4, 0, 0, &length, &message, sizeof message, NULL));
  assert_int_equal(number, 6);
  assert_int_equal(message.source.scope_id, 0);
  assert_int_equal(message.group.scope_id, 0);
  assert_closed(context);
}

static void empty_datagrams_are_datagrams(void **state) {
  (void)state;
  open_joined();
  mctx_sim_arrival arrival = arrival_of("10.0.0.9", "239.1.1.1", 2);
  for (int i = 0; i < 4; i++)
    assert_int_equal(mctx_sim_deliver(&arrival), 1);
  size_t length = 77;
  mctx_message message;
  assert_ok(mctx_recv(subscription, NULL, 0, 0, 0, &length, &message, sizeof message, NULL));
  assert_int_equal(length, 0);
  assert_int_equal(message.flags, 0);
  assert_int_equal(message.datagram_count, 1);
  assert_ok(mctx_recv(subscription, NULL, 0, 0, 0, &length, NULL, 0, NULL));
  assert_ok(recv_batch(subscription, &memory));
  assert_int_equal(memory.batch.datagram_count, 2);
  assert_int_equal(memory.batch.message_count, 2);
  for (uint32_t i = 0; i < 2; i++) {
    assert_int_equal(memory.datagrams[i].length, 0);
    assert_int_equal(memory.datagrams[i].message, i);
    assert_int_equal(memory.datagrams[i].flags, 0);
    assert_int_equal(memory.messages[i].length, 0);
  }
  assert_int_equal(counter(subscription, "packets_received"), 4);
  assert_int_equal(counter(subscription, "bytes_received"), 0);
  assert_closed(context);
}

static void a_datagram_that_does_not_fit_is_cut_and_says_so(void **state) {
  (void)state;
  for (int32_t coalescing = 0; coalescing < 2; coalescing++) {
    mctx_subscription_options options = subscription_options();
    options.coalescing = coalescing;
    open_joined_with(&options);
    unsigned char bytes[8] = {0};
    size_t length;
    mctx_message message;
    for (size_t capacity = 0; capacity <= 7; capacity++) {
      mctx_sim_arrival arrival = arrival_of("10.0.0.9", "239.1.1.1", 2);
      arrival.length = 6;
      assert_int_equal(mctx_sim_deliver(&arrival), 1);
      assert_ok(mctx_recv(subscription, bytes, capacity, 0, 0, &length, &message, sizeof message, NULL));
      assert_int_equal(length, capacity < 6 ? capacity : 6);
      assert_pattern(bytes, 0, length);
      assert_int_equal(message.length, 6);
      assert_int_equal(message.flags, capacity < 6 ? MCTX_MESSAGE_TRUNCATED : 0);
      assert_nothing(subscription);
    }
    assert_int_equal(counter(subscription, "truncated"), 6);
    assert_int_equal(counter(subscription, "packets_received"), 8);
    assert_closed(context);
  }
}

static void the_largest_datagram_arrives_whole(void **state) {
  (void)state;
  static unsigned char bytes[65536];
  open_joined();
  join(subscription, "ff15::1", "eth0");
  static const char *const groups[] = {"239.1.1.1", "ff15::1"};
  static const char *const sources[] = {"10.0.0.9", "fd00::9"};
  static const uint64_t lengths[] = {65507, 65527};
  for (int i = 0; i < 2; i++) {
    mctx_sim_arrival arrival = arrival_of(sources[i], groups[i], 2);
    arrival.length = lengths[i];
    assert_int_equal(mctx_sim_deliver(&arrival), 1);
    size_t length;
    assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
    assert_int_equal(length, lengths[i]);
    assert_pattern(bytes, 0, length);
    assert_int_equal(mctx_sim_deliver(&arrival), 1);
    assert_ok(recv_batch(subscription, &memory));
    assert_int_equal(memory.datagrams[0].length, lengths[i]);
    assert_pattern(memory.arena, 0, length);
  }
  assert_closed(context);
}

static void an_older_and_a_newer_message_struct_fit(void **state) {
  (void)state;
  open_joined();
  union {
    mctx_message message;
    unsigned char bytes[sizeof(mctx_message) + 16];
  } told;
  uint32_t number;
  size_t length;
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  memset(&told, 0xee, sizeof told);
  assert_ok(mctx_recv(subscription, &number, 4, 0, 0, &length, &told.message, 32, NULL));
  assert_int_equal(told.message.present, MCTX_META_ALL);
  assert_address(&told.message.source, "10.0.0.9:40000");
  assert_int_equal(told.bytes[32], 0xee);
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  memset(&told, 0xee, sizeof told);
  assert_ok(mctx_recv(subscription, &number, 4, 0, 0, &length, &told.message, sizeof told, NULL));
  assert_int_equal(told.message.datagram_count, 1);
  assert_int_equal(told.bytes[sizeof(mctx_message)], 0);
  assert_int_equal(told.bytes[sizeof told - 1], 0);
  assert_closed(context);
}

/* ---- coalesced messages ---- */

static void recv_holds_the_rest_of_a_message_back_and_stays_readable(void **state) {
  (void)state;
  unsigned char bytes[1000];
  /* smaller than a datagram, a datagram, more than one, all of it */
  static const size_t capacities[] = {0, 60, 100, 130, 1000};
  for (size_t i = 0; i < sizeof capacities / sizeof capacities[0]; i++) {
    open_joined();
    mctx_os_handle native;
    assert_ok(mctx_pollable(subscription, &native, NULL));
    assert_int_equal(mctx_sim_ready(&native), 0);
    arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 350, 100);
    const size_t capacity = capacities[i];
    for (uint64_t at = 0; at < 350; at += 100) {
      const size_t whole = at < 300 ? 100 : 50;
      const size_t expected = whole < capacity ? whole : capacity;
      uint32_t ready;
      size_t length;
      mctx_message message;
      assert_int_equal(mctx_sim_ready(&native), MCTX_READABLE);
      assert_ok(mctx_wait(subscription, MCTX_READABLE, 0, 0, &ready, NULL));
      assert_ok(mctx_recv(subscription, bytes, capacity, 0, 0, &length, &message, sizeof message, NULL));
      assert_int_equal(length, expected);
      assert_pattern(bytes, at, length);
      assert_int_equal(message.length, whole);
      assert_int_equal(message.segment_size, whole);
      assert_int_equal(message.datagram_count, 1);
      assert_int_equal(message.first_datagram, 0);
      assert_int_equal(message.flags, MCTX_MESSAGE_COALESCED | (expected < whole ? MCTX_MESSAGE_TRUNCATED : 0));
      assert_address(&message.source, "10.0.0.9:40000");
    }
    assert_int_equal(mctx_sim_ready(&native), 0);
    assert_nothing(subscription);
    assert_int_equal(counter(subscription, "packets_received"), 4);
    assert_int_equal(counter(subscription, "messages_received"), 1);
    assert_closed(context);
  }
}

static void a_batch_takes_what_recv_held_back_first(void **state) {
  (void)state;
  open_joined();
  unsigned char bytes[100];
  size_t length;
  arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 350, 100);
  assert_int_equal(arrive(7, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
  assert_ok(recv_batch(subscription, &memory));
  assert_int_equal(memory.batch.datagram_count, 4);
  assert_int_equal(memory.batch.message_count, 2);
  for (uint32_t i = 0; i < 3; i++) {
    assert_int_equal(memory.datagrams[i].length, i < 2 ? 100 : 50);
    assert_int_equal(memory.datagrams[i].message, 0);
    assert_pattern(memory.arena + memory.datagrams[i].offset, 100 + 100 * i, memory.datagrams[i].length);
  }
  assert_int_equal(memory.messages[0].first_datagram, 0);
  assert_int_equal(memory.messages[0].datagram_count, 3);
  assert_int_equal(memory.messages[0].length, 250);
  assert_int_equal(memory.messages[0].segment_size, 100);
  assert_int_equal(memory.messages[1].first_datagram, 3);
  assert_int_equal(memory.messages[1].datagram_count, 1);
  assert_int_equal(memory.messages[1].flags, 0);
  assert_int_equal(memory.datagrams[3].message, 1);
  assert_int_equal(counter(subscription, "packets_received"), 5);
  assert_int_equal(counter(subscription, "messages_received"), 2);
  assert_int_equal(counter(subscription, "bytes_received"), 354);
  assert_closed(context);
}

static void the_last_of_a_message_says_in_a_batch_too_that_it_came_with_others(void **state) {
  (void)state;
  unsigned char bytes[100];
  size_t length;
  for (uint64_t taken = 1; taken < 4; taken++) {
    open_joined();
    arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 350, 100);
    for (uint64_t i = 0; i < taken; i++)
      assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
    assert_ok(recv_batch(subscription, &memory));
    assert_int_equal(memory.batch.datagram_count, 4 - taken);
    assert_int_equal(memory.batch.message_count, 1);
    assert_int_equal(memory.messages[0].flags, MCTX_MESSAGE_COALESCED);
    assert_int_equal(memory.messages[0].datagram_count, 4 - taken);
    assert_int_equal(memory.messages[0].length, 350 - 100 * taken);
    assert_int_equal(memory.messages[0].segment_size, taken < 3 ? 100 : 50);
    assert_int_equal(memory.datagrams[3 - taken].length, 50);
    assert_pattern(memory.arena, 100 * taken, 350 - 100 * taken);
    assert_int_equal(counter(subscription, "packets_received"), 4);
    assert_int_equal(counter(subscription, "messages_received"), 1);
    assert_int_equal(counter(subscription, "bytes_received"), 350);
    assert_closed(context);
  }
}

static void what_is_held_back_is_not_delivered_after_a_leave_or_a_block(void **state) {
  (void)state;
  unsigned char bytes[100];
  size_t length;
  for (int way = 0; way < 3; way++) {
    open_joined();
    arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 300, 100);
    assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
    const mctx_address other = address_of("10.0.0.8");
    const mctx_membership only_other = filtered("239.1.1.1", NULL, MCTX_INCLUDE, &other, 1);
    if (way == 0) assert_ok(leave(subscription, "239.1.1.1", NULL, NULL));
    if (way == 1) assert_ok(block(subscription, "239.1.1.1", NULL, "10.0.0.9", NULL));
    if (way == 2) assert_ok(set_filter(subscription, &only_other, NULL));
    assert_nothing(subscription);
    assert_int_equal(counter(subscription, "packets_received"), 1);
    assert_int_equal(counter(subscription, "discarded_group") + counter(subscription, "discarded_source"), 1);
    assert_closed(context);
  }
}

static void what_is_held_back_survives_a_change_that_lets_it_through(void **state) {
  (void)state;
  unsigned char bytes[100];
  size_t length;
  open_joined();
  arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 300, 100);
  assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
  assert_ok(block(subscription, "239.1.1.1", NULL, "10.0.0.8", NULL));
  join(subscription, "239.1.1.2", NULL);
  for (uint64_t i = 1; i < 3; i++) {
    assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
    assert_pattern(bytes, 100 * i, length);
  }
  assert_nothing(subscription);
  assert_closed(context);
}

static void what_is_held_back_without_its_source_survives_what_does_not_concern_it(void **state) {
  (void)state;
  unsigned char bytes[100];
  size_t length;
  mctx_subscription_options options = subscription_options();
  options.metadata = 0;
  open_with_options(&options);
  const mctx_address nine = address_of("10.0.0.9");
  const mctx_membership included = filtered("239.1.1.1", "eth0", MCTX_INCLUDE, &nine, 1);
  assert_ok(try_join(subscription, &included, NULL));
  arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 300, 100);
  for (uint64_t i = 0; i < 3; i++) {
    assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
    assert_pattern(bytes, 100 * i, length);
    join(subscription, i == 0 ? "239.1.1.2" : i == 1 ? "ff15::1" : "239.1.1.3", "eth0");
  }
  assert_nothing(subscription);
  assert_closed(context);
}

static void many_segments_of_a_message_are_delivered_as_far_as_there_are_records(void **state) {
  (void)state;
  open_joined();
  arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 300, 2); /* more datagrams than a message should have */
  mctx_receive_batch *batch = batch_in(&memory);
  batch->datagram_capacity = 128;
  assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
  assert_int_equal(batch->datagram_count, 128);
  assert_int_equal(batch->message_count, 1);
  assert_int_equal(memory.messages[0].datagram_count, 128);
  assert_int_equal(memory.messages[0].flags, MCTX_MESSAGE_COALESCED | MCTX_MESSAGE_TRUNCATED);
  assert_int_equal(counter(subscription, "truncated"), 22);
  assert_int_equal(counter(subscription, "packets_received"), 128);
  assert_nothing(subscription);
  assert_closed(context);
}

/* ---- batches ---- */

static void a_batch_packs_datagrams_and_tells_of_their_messages(void **state) {
  (void)state;
  open_joined();
  join(subscription, "239.1.1.2", "eth1");
  for (uint32_t i = 0; i < 3; i++)
    assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
  for (uint32_t i = 3; i < 6; i++)
    assert_int_equal(arrive(i, "10.0.1.9", "239.1.1.2", 3), 1);
  arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 250, 100);
  static unsigned char used[BATCH_ARENA];
  uint64_t datagrams = 0;
  bool seen[6] = {false};
  memset(used, 0, sizeof used);
  assert_ok(recv_batch(subscription, &memory));
  assert_int_equal(memory.batch.datagram_count, 9);
  assert_int_equal(memory.batch.message_count, 7);
  assert_int_equal(memory.batch.flags, 0);
  for (uint64_t i = 0; i < memory.batch.message_count; i++) {
    const mctx_message *message = &memory.messages[i];
    uint32_t number;
    assert_int_equal(message->first_datagram, datagrams);
    const unsigned char *payload = memory.arena + memory.datagrams[datagrams].offset;
    for (uint32_t k = 0; k < message->datagram_count; k++) {
      const mctx_datagram *datagram = &memory.datagrams[datagrams + k];
      assert_int_equal(datagram->message, i);
      assert_int_equal(datagram->offset, memory.datagrams[datagrams].offset + k * message->segment_size);
      for (uint32_t at = datagram->offset; at < datagram->offset + datagram->length; at++)
        assert_int_equal(used[at]++, 0); /* none lies over another */
    }
    if (message->datagram_count == 1) {
      memcpy(&number, payload, sizeof number);
      assert_true(number < 6 && !seen[number]);
      seen[number] = true;
      assert_int_equal(message->interface_index, number < 3 ? 2 : 3);
      assert_address(&message->group, number < 3 ? "239.1.1.1:5000" : "239.1.1.2:5000");
    } else {
      assert_int_equal(message->flags, MCTX_MESSAGE_COALESCED);
      assert_int_equal(message->segment_size, 100);
      assert_pattern(payload, 0, 250);
    }
    datagrams += message->datagram_count;
  }
  assert_closed(context);
}

static void a_batch_stops_where_a_whole_message_has_no_room(void **state) {
  (void)state;
  mctx_subscription_options options = subscription_options();
  options.coalescing = 0;
  open_joined_with(&options);
  for (uint32_t i = 0; i < 10; i++)
    assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
  /* records of datagrams, of messages, the arena */
  mctx_receive_batch *batch = batch_in(&memory);
  batch->datagram_capacity = 3;
  assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
  assert_int_equal(batch->datagram_count, 3);
  batch = batch_in(&memory);
  batch->message_capacity = 2;
  assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
  assert_int_equal(batch->datagram_count, 2);
  assert_int_equal(batch->message_count, 2);
  batch = batch_in(&memory);
  batch->arena_size = 65536 + 7;
  assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
  assert_int_equal(batch->datagram_count, 2);
  batch = batch_in(&memory);
  batch->messages = NULL;
  batch->message_capacity = 0;
  batch->message_stride = 0;
  assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
  assert_int_equal(batch->datagram_count, 3);
  assert_int_equal(batch->message_count, 3);
  assert_int_equal(memory.datagrams[2].message, 2);
  assert_nothing(subscription);
  assert_closed(context);
}

static void records_of_another_stride_are_written_there(void **state) {
  (void)state;
  open_joined();
  static unsigned char records[8 * 200];
  for (uint32_t i = 0; i < 3; i++)
    assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
  memset(records, 0xee, sizeof records);
  mctx_receive_batch *batch = batch_in(&memory);
  batch->messages = (mctx_message *)(void *)records;
  batch->message_stride = 200;
  batch->message_capacity = 8;
  assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
  for (uint32_t i = 0; i < 3; i++) {
    mctx_message message;
    memcpy(&message, records + 200 * i, sizeof message);
    assert_int_equal(message.first_datagram, i);
    assert_int_equal(records[200 * i + 199], 0);
  }
  assert_int_equal(records[600], 0xee);
  assert_closed(context);
}

static void a_small_arena_is_refused_before_anything_is_read(void **state) {
  (void)state;
  static _Alignas(8) unsigned char bytes[4096];
  open_joined();
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  const uint64_t calls = mctx_sim_calls(MCTX_SIM_RECEIVE);
  static const struct {
    const char *field;
    mctx_status status;
    uint64_t limit;
  } expected[] = {
      {"batch.arena", MCTX_ERR_NULL_ARGUMENT, 0},
      {"batch.datagrams", MCTX_ERR_NULL_ARGUMENT, 0},
      {"batch.messages", MCTX_ERR_NULL_ARGUMENT, 0},
      {"batch.datagrams", MCTX_ERR_MISALIGNED, 8},
      {"batch.messages", MCTX_ERR_MISALIGNED, 8},
      {"batch.message_stride", MCTX_ERR_STRUCT_SIZE, 0},
      {"batch.message_capacity", MCTX_ERR_CAPACITY, 1},
      {"batch.reserved", MCTX_ERR_RESERVED, 0},
      {"batch.arena_size", MCTX_ERR_ARENA_TOO_SMALL, 65536},
      {"batch.arena_size", MCTX_ERR_ARENA_TOO_SMALL, 65536},
      {"batch.datagram_capacity", MCTX_ERR_ARENA_TOO_SMALL, 128},
      {"batch.datagram_capacity", MCTX_ERR_ARENA_TOO_SMALL, 128},
  };
  for (uint32_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    mctx_receive_batch *batch = batch_in(&memory);
    mctx_error error = MCTX_ERROR_INIT;
    batch->datagram_count = 77;
    batch->message_count = 77;
    if (i == 0) batch->arena = NULL;
    if (i == 1) batch->datagrams = NULL;
    if (i == 2) batch->messages = NULL;
    if (i == 3) batch->datagrams = (mctx_datagram *)(void *)(bytes + 4);
    if (i == 4) batch->messages = (mctx_message *)(void *)(bytes + 1);
    if (i == 5) batch->message_stride = 12;
    if (i == 6) batch->message_capacity = 0;
    if (i == 7) batch->reserved = 1;
    if (i == 8) batch->arena_size = 65535;
    if (i == 9) batch->arena_size = 0;
    if (i == 10) batch->datagram_capacity = 127;
    if (i == 11) batch->datagram_capacity = 0;
    mctx_status status = mctx_recv_batch(subscription, batch, 0, 0, &error);
    if (status != expected[i].status || strcmp(error.field, expected[i].field) != 0 ||
        error.limit != expected[i].limit)
      fail_msg("%u: %s of %s, limit %d", i, mctx_status_name(status), error.field, (int)error.limit);
    assert_int_equal(error.kind, MCTX_KIND_USAGE);
    if (status == MCTX_ERR_MISALIGNED) assert_non_null(strstr(error.hint, "_Alignas(8)"));
    assert_int_equal(batch->datagram_count, 0);
    assert_int_equal(batch->message_count, 0);
  }
  mctx_receive_batch *batch = batch_in(&memory);
  batch->size = 12;
  assert_status(mctx_recv_batch(subscription, batch, 0, 0, NULL), MCTX_ERR_STRUCT_SIZE);
  assert_status(mctx_recv_batch(subscription, NULL, 0, 0, NULL), MCTX_ERR_NULL_ARGUMENT);
  assert_status(mctx_recv_batch(subscription, batch_in(&memory), 2, 0, NULL), MCTX_ERR_RESERVED);
  assert_int_equal(mctx_sim_calls(MCTX_SIM_RECEIVE), calls);
  /* the least is enough */
  mctx_subscription_info info = subscription_info(subscription);
  assert_int_equal(info.min_arena, 65536);
  assert_int_equal(info.min_datagrams, 128);
  batch = batch_in(&memory);
  batch->arena_size = info.min_arena;
  batch->datagram_capacity = info.min_datagrams;
  batch->message_capacity = 1;
  assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
  assert_int_equal(batch->datagram_count, 1);
  assert_closed(context);
}

static void wrong_arguments_of_recv_are_named(void **state) {
  (void)state;
  open_joined();
  char bytes[8];
  size_t length = 77;
  mctx_message message;
  mctx_error error = MCTX_ERROR_INIT;
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_status(mctx_recv(subscription, NULL, 8, 0, 0, &length, NULL, 0, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(error.field, "data");
  assert_int_equal(length, 0);
  assert_status(mctx_recv(subscription, bytes, 8, 0, 0, NULL, NULL, 0, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(error.field, "length");
  assert_status(mctx_recv(subscription, bytes, 8, 2, 0, &length, NULL, 0, &error), MCTX_ERR_RESERVED);
  assert_string_equal(error.field, "flags");
  assert_status(mctx_recv(subscription, bytes, 8, 0, 0, &length, &message, 3, &error), MCTX_ERR_STRUCT_SIZE);
  assert_string_equal(error.field, "message_size");
  assert_status(mctx_recv(context, bytes, 8, 0, 0, &length, NULL, 0, &error), MCTX_ERR_WRONG_HANDLE);
  assert_string_equal(error.field, "handle");
  assert_status(mctx_recv(0, bytes, 8, 0, 0, &length, NULL, 0, &error), MCTX_ERR_INVALID_HANDLE);
  assert_received(subscription, 1);
  assert_closed(subscription);
  assert_status(mctx_recv(subscription, bytes, 8, 0, 0, &length, NULL, 0, &error), MCTX_ERR_CLOSED);
  assert_status(mctx_recv_batch(subscription, batch_in(&memory), 0, 0, &error), MCTX_ERR_CLOSED);
  assert_closed(context);
}

/* ---- any mixture ---- */

enum { STREAM = 64, LARGEST = 3000 };

/* What was sent and not received yet, oldest first: the length of each datagram, and its number. */
typedef struct stream {
  uint64_t lengths[STREAM];
  uint32_t first;
  uint32_t next;
} stream;

static unsigned char byte_of(uint32_t number, uint64_t position) {
  return (unsigned char)(number * 31 + position);
}

static void send_message(stream *sent) {
  static unsigned char payload[65536];
  mctx_sim_arrival arrival = arrival_of("10.0.0.9", "239.1.1.1", 2);
  const uint32_t count = chance(3) == 0 ? 1 + chance(12) : 1;
  const uint64_t size = chance(4) == 0 ? chance(4) : chance(LARGEST);
  if (size == 0 && count > 1) return;
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t length = i > 0 && i + 1 == count ? 1 + chance((uint32_t)size) : size;
    for (uint64_t k = 0; k < length; k++)
      payload[arrival.length + k] = byte_of(sent->next, k);
    arrival.length += length;
    sent->lengths[sent->next++ % STREAM] = length;
  }
  arrival.segment_size = count > 1 ? (uint32_t)size : 0;
  arrival.payload = payload;
  assert_int_equal(mctx_sim_deliver(&arrival), 1);
}

static void check_datagram(stream *sent, const unsigned char *bytes, uint64_t length, uint64_t room, bool cut) {
  assert_true(sent->first < sent->next);
  const uint64_t whole = sent->lengths[sent->first % STREAM];
  assert_int_equal(length, whole < room ? whole : room);
  assert_int_equal(cut, whole > room);
  for (uint64_t i = 0; i < length; i++)
    assert_int_equal(bytes[i], byte_of(sent->first, i));
  sent->first++;
}

static void receive_one(stream *sent) {
  static unsigned char bytes[100000];
  const size_t room = chance(3) == 0 ? sizeof bytes : chance(LARGEST);
  size_t length;
  mctx_message message;
  mctx_status status = mctx_recv(subscription, bytes, room, 0, 0, &length, &message, sizeof message, NULL);
  if (sent->first == sent->next) {
    assert_status(status, MCTX_ERR_WOULD_BLOCK);
    return;
  }
  assert_ok(status);
  assert_int_equal(message.length, sent->lengths[sent->first % STREAM]);
  check_datagram(sent, bytes, length, room, (message.flags & MCTX_MESSAGE_TRUNCATED) != 0);
}

static void receive_many(stream *sent) {
  mctx_receive_batch *batch = batch_in(&memory);
  batch->arena_size = 65536 + chance(100000);
  batch->datagram_capacity = 128 + chance(20);
  batch->message_capacity = 1 + chance(10);
  mctx_status status = mctx_recv_batch(subscription, batch, 0, 0, NULL);
  assert_true((status == MCTX_ERR_WOULD_BLOCK) == (sent->first == sent->next));
  uint64_t told = 0;
  for (uint64_t i = 0; i < batch->message_count; i++)
    told += memory.messages[i].datagram_count;
  assert_int_equal(told, batch->datagram_count);
  for (uint64_t i = 0; i < batch->datagram_count; i++) {
    const mctx_datagram *one = &memory.datagrams[i];
    assert_true((uint64_t)one->offset + one->length <= batch->arena_size);
    check_datagram(sent, memory.arena + one->offset, one->length, UINT64_MAX, one->flags != 0);
  }
}

static void any_mixture_of_calls_delivers_each_byte_once(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    stream sent = {.first = 0};
    chance_begin(seed);
    mctx_subscription_options options = subscription_options();
    options.coalescing = (int32_t)chance(2);
    if (chance(2) == 0) options.binding = MCTX_BINDING_WILDCARD;
    if (chance(2) == 0) options.metadata = 0;
    open_joined_with(&options);
    if (chance(2) == 0) join(subscription, "239.1.1.2", "eth0"); /* more than one socket */
    for (int step = 0; step < 400; step++) {
      const uint32_t what = chance(3);
      if (chance(4) == 0) { /* fewer than asked for, or cut short */
        const uint64_t nth = 1 + chance(3);
        const int64_t taken = 1 + chance(3);
        const bool is_cut = chance(2) == 0;
        (void)mctx_sim_fault(MCTX_SIM_RECEIVE, nth, is_cut ? MCTX_SIM_FAIL : MCTX_SIM_PARTIAL,
                             is_cut ? MCTX_ERR_SIGNAL : taken);
      }
      if (what == 0 && sent.next - sent.first + 12 <= STREAM) send_message(&sent);
      if (what == 1) receive_one(&sent);
      if (what == 2) receive_many(&sent);
    }
    mctx_sim_clear_faults();
    while (sent.first < sent.next)
      receive_one(&sent);
    assert_nothing(subscription);
    assert_int_equal(counter(subscription, "packets_received"), sent.next);
    assert_closed(context);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(a_datagram_comes_with_all_that_is_known_of_it),
      fixture_test(a_scoped_address_comes_with_its_scope),
      fixture_test(empty_datagrams_are_datagrams),
      fixture_test(a_datagram_that_does_not_fit_is_cut_and_says_so),
      fixture_test(the_largest_datagram_arrives_whole),
      fixture_test(an_older_and_a_newer_message_struct_fit),
      fixture_test(recv_holds_the_rest_of_a_message_back_and_stays_readable),
      fixture_test(a_batch_takes_what_recv_held_back_first),
      fixture_test(the_last_of_a_message_says_in_a_batch_too_that_it_came_with_others),
      fixture_test(what_is_held_back_is_not_delivered_after_a_leave_or_a_block),
      fixture_test(what_is_held_back_survives_a_change_that_lets_it_through),
      fixture_test(what_is_held_back_without_its_source_survives_what_does_not_concern_it),
      fixture_test(many_segments_of_a_message_are_delivered_as_far_as_there_are_records),
      fixture_test(a_batch_packs_datagrams_and_tells_of_their_messages),
      fixture_test(a_batch_stops_where_a_whole_message_has_no_room),
      fixture_test(records_of_another_stride_are_written_there),
      fixture_test(a_small_arena_is_refused_before_anything_is_read),
      fixture_test(wrong_arguments_of_recv_are_named),
      fixture_test(any_mixture_of_calls_delivers_each_byte_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What is told of each datagram is true: where it came from, what it was sent to, where and when it arrived,
 * with which hop limit and traffic class, how long it was, what the kernel dropped; and what was not asked for
 * is absent. */
#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/subscription.h"

static uint32_t family;
static mctx_context context;
static mctx_address group;
static mctx_subscription subscription; /* to the group, here */
static int sender;                     /* there */
static taken got;

static void pair_up_with(void **state, const mctx_subscription_options *options) {
  family = host_family(state);
  host_pair();
  context = open_context();
  group = group_at(family, 1);
  subscription = subscribe_with(context, options);
  join_group(subscription, &group, "va");
  sender = sender_there(family, NULL, "vb");
}

static void pair_up(void **state) {
  const mctx_subscription_options options = subscription_options();
  pair_up_with(state, &options);
}

static void pair_down(void) {
  close(sender);
  assert_ok(mctx_close(context, NULL));
}

static void set(int level, int option, int value) {
  assert_int_equal(0, setsockopt(sender, level, option, &value, sizeof value));
}

static void set_hops(int hops) {
  set(family == 4 ? IPPROTO_IP : IPPROTO_IPV6, family == 4 ? IP_MULTICAST_TTL : IPV6_MULTICAST_HOPS, hops);
}

static void set_class(int traffic_class) {
  set(family == 4 ? IPPROTO_IP : IPPROTO_IPV6, family == 4 ? IP_TOS : IPV6_TCLASS, traffic_class);
}

static int64_t utc_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

/* ---- addresses ---- */

static void source_group_and_interface_are_told(void **state) {
  family = host_family(state);
  host_pair();
  host_cable("wa", "wb", 10);
  context = open_context();
  mctx_address groups[2] = {group_at(family, 1), group_at(family, 2)};
  subscription = subscribe(context, &groups[0], "va");
  join_group(subscription, &groups[1], "va");
  join_group(subscription, &groups[0], "wa");
  static const struct {
    const char *own;
    const char *peer;
    int net;
    int group;
  } ways[] = {{"va", "vb", 9, 0}, {"va", "vb", 9, 1}, {"wa", "wb", 10, 0}};
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    mctx_address source = unicast_at(family, ways[i].net, 2);
    source.port = (uint16_t)(40000 + i);
    say_there(&source, ways[i].peer, &groups[ways[i].group], "x");
    assert_true(take_next(subscription, &got, PATIENCE_MS));
    assert_int_equal(got.message.present, MCTX_META_ALL);
    assert_int_equal(got.message.flags, 0);
    assert_memory_equal(&got.message.source, &source, sizeof source);
    assert_memory_equal(&got.message.group, &groups[ways[i].group], sizeof groups[0]);
    assert_int_equal(got.message.interface_index, host_index(ways[i].own));
    assert_int_equal(got.message.length, 1);
    assert_int_equal(got.message.datagram_count, 1);
    assert_int_equal(got.message.first_datagram, 0);
  }
  assert_ok(mctx_close(context, NULL));
}

/* A link-local source and a link-local group mean nothing without the interface. */
static void link_local_addresses_have_their_scope(void **state) {
  (void)host_family(state);
  host_pair();
  context = open_context();
  group = address_of("[ff12::7:7]:5007");
  subscription = subscribe(context, &group, "va");
  there_run("ip -6 address add fe80::9:2/64 dev vb nodad");
  there_begin();
  mctx_address source = address_of("[fe80::9:2%vb]:40000");
  there_end();
  say_there(&source, "vb", &group, "x");
  assert_true(take_next(subscription, &got, PATIENCE_MS));
  source.scope_id = group.scope_id = host_index("va");
  assert_memory_equal(&got.message.source, &source, sizeof source);
  assert_memory_equal(&got.message.group, &group, sizeof group);
  assert_ok(mctx_close(context, NULL));
}

/* ---- header fields ---- */

static void hop_limit_and_traffic_class_are_told(void **state) {
  static const int hops[] = {1, 2, 64, 255};
  static const int classes[] = {0, 46 << 2, 1, 63 << 2 | 3};
  pair_up(state);
  for (size_t i = 0; i < 4; i++) {
    set_hops(hops[i]);
    for (size_t k = 0; k < 4; k++) {
      set_class(classes[k]);
      send_text(sender, &group, "x");
      assert_true(take_next(subscription, &got, PATIENCE_MS));
      assert_int_equal(got.message.hop_limit, hops[i]);
      assert_int_equal(got.message.traffic_class, classes[k]);
    }
  }
  pair_down();
}

/* ---- time ---- */

/* Later than it was sent, and earlier than it was read, if nothing held it up on its way. */
static bool is_timed_on_arrival(void) {
  int64_t before = utc_ns();
  say_there(NULL, "vb", &group, "x");
  sleep_ms(2);
  int64_t behind = utc_ns();
  sleep_ms(2);
  assert_true(take_next(subscription, &got, PATIENCE_MS));
  assert_true(got.message.present & MCTX_META_TIME);
  assert_true(got.message.time_ns >= before);
  return got.message.time_ns <= behind;
}

static void the_time_of_receipt_is_between_sending_and_reading(void **state) {
  pair_up(state);
  assert_int_equal(subscription_info(subscription).clock, MCTX_CLOCK_SYSTEM);
  int timed = 0; /* the kernel starts to take times a moment after the first socket asks for them */
  for (int i = 0; i < 300 && timed < 10; i++)
    timed += is_timed_on_arrival();
  assert_int_equal(timed, 10);
  pair_down();
}

/* ---- what was not asked for ---- */

static void what_was_not_asked_for_is_absent(void **state) {
  family = host_family(state);
  host_pair();
  group = group_at(family, 1);
  for (uint32_t asked = 0; asked <= MCTX_META_ALL; asked++) {
    context = open_context();
    mctx_subscription_options options = subscription_options();
    mctx_membership member = member_of(&group, "va");
    options.metadata = asked;
    options.memberships = &member;
    options.membership_count = 1;
    subscription = subscribe_with(context, &options);
    assert_int_equal(subscription_info(subscription).metadata, asked);
    say_there(NULL, "vb", &group, "x");
    assert_true(take_next(subscription, &got, PATIENCE_MS));
    assert_int_equal(got.message.present, asked);
    mctx_message absent = {.present = got.message.present,
                           .segment_size = got.message.segment_size,
                           .length = 1,
                           .datagram_count = 1};
    if (asked & MCTX_META_SOURCE) absent.source = got.message.source;
    if (asked & MCTX_META_GROUP) {
      absent.group = got.message.group;
      absent.interface_index = got.message.interface_index;
    }
    if (asked & MCTX_META_HOP_LIMIT) absent.hop_limit = 1;
    if (asked & MCTX_META_TRAFFIC_CLASS) absent.traffic_class = got.message.traffic_class;
    if (asked & MCTX_META_TIME) absent.time_ns = got.message.time_ns;
    assert_memory_equal(&got.message, &absent, sizeof absent);
    assert_ok(mctx_close(context, NULL));
  }
}

/* ---- lengths ---- */

static void every_length_arrives_whole(void **state) {
  static const size_t lengths[] = {0, 1, 7, 1400, 1472, 1473, 9000, 65507, 0, 1};
  static unsigned char data[LARGEST];
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (unsigned char)(i * 31 >> 3);
  for (int32_t coalescing = 0; coalescing <= 1; coalescing++) {
    mctx_subscription_options options = subscription_options();
    options.coalescing = coalescing;
    pair_up_with(state, &options);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
      send_bytes(sender, &group, data, lengths[i]);
      assert_true(take_next(subscription, &got, PATIENCE_MS));
      assert_int_equal(got.length, lengths[i]);
      assert_int_equal(got.message.length, lengths[i]);
      assert_int_equal(got.message.flags, 0);
      assert_memory_equal(got.data, data, lengths[i]);
    }
    assert_int_equal(counter_of(subscription, "truncated"), 0);
    pair_down();
  }
}

static void a_truncated_datagram_says_how_long_it_was(void **state) {
  static unsigned char data[3000];
  pair_up(state);
  static const size_t capacities[] = {0, 1, 100, 2999};
  for (size_t i = 0; i < 4; i++) {
    unsigned char room[3001];
    mctx_message message;
    size_t length;
    memset(room, 0xee, sizeof room);
    memset(data, (int)i, sizeof data);
    send_bytes(sender, &group, data, sizeof data);
    assert_ok(mctx_recv(subscription, room, capacities[i], 0, PATIENCE_MS * MILLI, &length, &message,
                        sizeof message, NULL));
    assert_int_equal(length, capacities[i]);
    assert_int_equal(message.length, sizeof data);
    assert_int_equal(message.flags, MCTX_MESSAGE_TRUNCATED);
    assert_memory_equal(room, data, capacities[i]);
    assert_int_equal(room[capacities[i]], 0xee);
  }
  assert_int_equal(counter_of(subscription, "truncated"), 4);
  send_bytes(sender, &group, data, 3000); /* and one that just fits is whole */
  unsigned char room[3000];
  mctx_message message;
  size_t length;
  assert_ok(mctx_recv(subscription, room, sizeof room, 0, PATIENCE_MS * MILLI, &length, &message,
                      sizeof message, NULL));
  assert_int_equal(message.flags, 0);
  assert_int_equal(counter_of(subscription, "truncated"), 4);
  pair_down();
}

/* ---- drops ---- */

/* Until the socket is full, and then some. Returns how many were sent. */
static uint32_t flood(uint32_t first, uint32_t count) {
  unsigned char payload[1000] = {0};
  for (uint32_t i = 0; i < count; i++) {
    uint32_t number = first + i;
    memcpy(payload, &number, sizeof number);
    send_bytes(sender, &group, payload, sizeof payload);
  }
  return count;
}

/* Takes what is there; the drops that the last one told. */
static uint64_t drain(uint32_t *count) {
  uint64_t drops = 0;
  for (*count = 0; take_next(subscription, &got, QUIET_MS); ++*count) {
    assert_true(got.message.drops >= drops);
    drops = got.message.drops;
  }
  return drops;
}

/* They are told with what comes after them: one more, and another where what was sent before is still on its
 * way and fills the socket. */
static uint64_t drops_told(uint32_t *sent, uint32_t *arrived) {
  for (int tries = 0; tries < 100; tries++) {
    uint32_t count;
    uint32_t number;
    *sent += flood(*sent, 1);
    const uint64_t drops = drain(&count);
    *arrived += count;
    memcpy(&number, got.data, sizeof number);
    if (number == *sent - 1) return drops;
  }
  fail_msg("none of them comes");
  return 0;
}

static void drops_are_told_exactly(void **state) {
  mctx_subscription_options options = subscription_options();
  options.receive_buffer = 20000;
  options.coalescing = 0;
  pair_up_with(state, &options);
  uint32_t sent = 0;
  uint32_t arrived = 0;
  for (int round = 0; round < 3; round++) {
    uint32_t count;
    sent += flood(sent, 200);
    drain(&count);
    assert_in_range(count, 1, 199);
    arrived += count;
    const uint64_t drops = drops_told(&sent, &arrived);
    assert_int_equal(drops, sent - arrived);
    assert_int_equal(counter_of(subscription, "kernel_drops"), drops);
  }
  assert_true(await_event(subscription, MCTX_EVENT_DROPS).value > 0);
  pair_down();
}

/* With coalescing the kernel counts messages: some were dropped, no more than datagrams are missing. */
static void drops_are_told_by_messages_when_coalescing(void **state) {
  mctx_subscription_options options = subscription_options();
  options.receive_buffer = 20000;
  pair_up_with(state, &options);
  uint32_t count;
  uint32_t sent = flood(0, 400);
  drain(&count);
  uint32_t arrived = count;
  const uint64_t drops = drops_told(&sent, &arrived);
  assert_in_range(drops, 1, sent - arrived);
  pair_down();
}

/* ---- counters ---- */

static void each_membership_is_counted_by_itself(void **state) {
  mctx_membership_info infos[2];
  uint32_t count;
  family = host_family(state);
  host_pair();
  context = open_context();
  mctx_address groups[2] = {group_at(family, 1), group_at(family, 2)};
  subscription = subscribe(context, &groups[0], "va");
  join_group(subscription, &groups[1], "va");
  sleep_ms(20);
  for (int i = 0; i < 3; i++) {
    say_there(NULL, "vb", &groups[1], "four");
    assert_takes(subscription, "four");
  }
  sleep_ms(20);
  assert_ok(mctx_memberships(subscription, infos, sizeof infos[0], 2, &count, NULL));
  assert_int_equal(count, 2);
  assert_int_equal(infos[0].datagrams, 0);
  assert_int_equal(infos[0].first_ns, -1);
  assert_int_equal(infos[0].last_ns, -1);
  assert_int_equal(infos[1].datagrams, 3);
  assert_int_equal(infos[1].bytes, 12);
  assert_in_range(infos[1].first_ns, 10 * MILLI, 10 * SECOND); /* of a clock that is good for milliseconds */
  assert_in_range(infos[1].last_ns, 10 * MILLI, 10 * SECOND);
  assert_int_equal(counter_of(subscription, "packets_received"), 3);
  assert_int_equal(counter_of(subscription, "bytes_received"), 12);
  assert_int_equal(counter_of(subscription, "messages_received"), 3);
  assert_int_equal(metric_of(context, MCTX_HANDLE_CONTEXT, "total_packets_received"), 3);
  assert_ok(mctx_close(subscription, NULL));
  assert_int_equal(metric_of(context, MCTX_HANDLE_CONTEXT, "total_packets_received"), 3);
  assert_int_equal(metric_of(context, MCTX_HANDLE_CONTEXT, "active_subscriptions"), 0);
  assert_ok(mctx_close(context, NULL));
}

/* ---- superpackets ---- */

enum { SEGMENT = 1000, SEGMENTS = 60, ODD = 123 };

static size_t length_of_segment(size_t total, size_t number) {
  size_t rest = total - number * SEGMENT;
  return rest < SEGMENT ? rest : SEGMENT;
}

/* By batches and one by one, with room and without. */
static void superpackets_are_taken_apart(void **state) {
  static const size_t totals[] = {SEGMENTS * SEGMENT, SEGMENTS * SEGMENT + ODD, 2 * SEGMENT, SEGMENT + 1};
  static unsigned char data[SEGMENTS * SEGMENT + ODD];
  static basket memory;
  pair_up(state);
  bool coalesced = false;
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (unsigned char)(i * 7 + i / SEGMENT);
  for (size_t t = 0; t < 4; t++) {
    size_t count = (totals[t] + SEGMENT - 1) / SEGMENT;
    send_superpacket(sender, &group, data, totals[t], SEGMENT);
    for (size_t i = 0; i < count;) {
      basket_init(&memory);
      assert_ok(mctx_recv_batch(subscription, &memory.batch, 0, PATIENCE_MS * MILLI, NULL));
      for (uint64_t k = 0; k < memory.batch.datagram_count; k++, i++) {
        const mctx_datagram *each = &memory.datagrams[k];
        assert_int_equal(each->length, length_of_segment(totals[t], i));
        assert_memory_equal(payload_in(&memory, k), data + i * SEGMENT, each->length);
        assert_int_equal(each->flags, 0);
        const mctx_message *message = &memory.messages[each->message];
        assert_in_range(k, message->first_datagram, message->first_datagram + message->datagram_count - 1);
        assert_memory_equal(&message->group, &group, sizeof group);
        if (message->datagram_count > 1) assert_int_equal(message->flags, MCTX_MESSAGE_COALESCED);
        coalesced = coalesced || message->datagram_count > 1;
      }
    }
    send_superpacket(sender, &group, data, totals[t], SEGMENT);
    for (size_t i = 0; i < count; i++) {
      assert_true(take_next(subscription, &got, PATIENCE_MS));
      assert_int_equal(got.length, length_of_segment(totals[t], i));
      assert_int_equal(got.message.length, got.length);
      assert_int_equal(got.message.datagram_count, 1);
      assert_memory_equal(got.data, data + i * SEGMENT, got.length);
    }
    assert_takes_nothing(subscription);
  }
  if (subscription_info(subscription).coalescing == 1) assert_true(coalesced);
  pair_down();
}

/* Truncation is each datagram's own affair, also of those that came together. */
static void each_segment_is_cut_by_itself(void **state) {
  static unsigned char data[5 * SEGMENT + ODD];
  pair_up(state);
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (unsigned char)(i / 3);
  send_superpacket(sender, &group, data, sizeof data, SEGMENT);
  for (size_t i = 0; i < 6; i++) {
    unsigned char room[500];
    mctx_message message;
    size_t length;
    size_t whole = length_of_segment(sizeof data, i);
    assert_ok(mctx_recv(subscription, room, sizeof room, 0, PATIENCE_MS * MILLI, &length, &message,
                        sizeof message, NULL));
    assert_int_equal(length, whole < sizeof room ? whole : sizeof room);
    assert_int_equal(message.length, whole);
    assert_int_equal((message.flags & MCTX_MESSAGE_TRUNCATED) != 0, whole > sizeof room);
    assert_memory_equal(room, data + i * SEGMENT, length);
  }
  assert_takes_nothing(subscription);
  assert_int_equal(counter_of(subscription, "truncated"), 5);
  pair_down();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(source_group_and_interface_are_told),
      {"link_local_addresses_have_their_scope", link_local_addresses_have_their_scope, NULL, NULL,
       (void *)(uintptr_t)&host_families[1]},
      BOTH_FAMILIES(hop_limit_and_traffic_class_are_told),
      BOTH_FAMILIES(the_time_of_receipt_is_between_sending_and_reading),
      BOTH_FAMILIES(what_was_not_asked_for_is_absent),
      BOTH_FAMILIES(every_length_arrives_whole),
      BOTH_FAMILIES(a_truncated_datagram_says_how_long_it_was),
      BOTH_FAMILIES(drops_are_told_exactly),
      BOTH_FAMILIES(drops_are_told_by_messages_when_coalescing),
      BOTH_FAMILIES(each_membership_is_counted_by_itself),
      BOTH_FAMILIES(superpackets_are_taken_apart),
      BOTH_FAMILIES(each_segment_is_cut_by_itself),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Receiving: payload, truncation, metadata and superpackets, as sent by plain sockets. */
#include "lab.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

enum { PORT = 5000, SECOND_NS = 1000000000, LARGEST = 65535 };

static uint32_t family;
static uint32_t va;
static mctx_address group;
static mctx_address local; /* of the sender */
static mctx__socket receiver;
static mctx__socket sender;
static uint8_t payload[LARGEST];
static uint8_t buffer[MCTX__MESSAGE_MAX + 8];

static void cable_up(void **state) {
  family = host_family(state);
  host_namespace();
  lab_cable();
  va = (uint32_t)if_nametoindex("va");
  group = lab_address(family == 6 ? "ff0e::db8:0:1" : "233.252.0.1", PORT, 0);
  local = lab_address(family == 6 ? "fd09::1" : "10.9.0.1", 4321, 0);
  for (size_t i = 0; i < sizeof payload; i++)
    payload[i] = (uint8_t)(i * 7 + i / 256);
}

/* A member on va, bound to the group. */
static mctx__socket receiver_open(void) {
  mctx_address bound = group;
  const uint8_t scope = group.bytes[1] & 0x0f;
  if (family == 6 && (scope == 1 || scope == 2)) bound.scope_id = va;
  mctx__socket own = lab_socket(family);
  assert_done(mctx__socket_set(own, family, MCTX__REUSE_PORT, 1));
  assert_done(mctx__socket_set(own, family, MCTX__ISOLATED, 1));
  assert_done(mctx__socket_bind(own, &bound));
  assert_done(mctx__socket_join(own, &group, va));
  return own;
}

/* On va. */
static mctx__socket sender_open(const mctx_address *source) {
  mctx__socket own = lab_socket(family);
  assert_done(mctx__socket_set_interface(own, family, va));
  assert_done(mctx__socket_bind(own, source));
  return own;
}

static void pair_up(void **state) {
  cable_up(state);
  receiver = receiver_open();
  sender = sender_open(&local);
}

static void pair_down(void) {
  mctx__socket_close(receiver);
  mctx__socket_close(sender);
}

static void send_to(mctx__socket from, const mctx_address *to, const void *data, size_t length) {
  mctx__endpoint endpoint;
  mctx__endpoint_set(&endpoint, to);
  assert_done(mctx__socket_send(from, &endpoint, data, length));
}

static void await_message(void) {
  uint32_t ready;
  (void)mctx__wait(receiver, MCTX_READABLE, MCTX__NO_EVENT, mctx__clock_monotonic() + 10 * (int64_t)SECOND_NS,
                   &ready);
}

/* Waits for a message, and receives it into one span. */
static mctx__result receive(uint32_t wanted, bool coalescing, size_t capacity, mctx__arrival *arrival) {
  const mctx__span spans[2] = {{buffer, capacity}, {NULL, 0}};
  await_message();
  memset(arrival, 0xa5, sizeof *arrival);
  memset(buffer, 0xa5, sizeof buffer);
  return mctx__socket_receive(receiver, wanted, coalescing, spans, arrival);
}

static bool is_untouched(size_t from, size_t to) {
  for (size_t i = from; i < to; i++) {
    if (buffer[i] != 0xa5) return false;
  }
  return true;
}

/* ---- payload ---- */

/* By every way of asking: the cheapest call, the source alone, all there is. */
static const struct {
  uint32_t wanted;
  bool coalescing;
} ways[] = {{0, false}, {MCTX_META_SOURCE, false}, {MCTX_META_ALL, false}, {0, true}, {MCTX_META_ALL, true}};

enum { WAYS = sizeof ways / sizeof ways[0] };

static void collect(size_t way) {
  assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, ways[way].wanted));
  assert_done(mctx__socket_set(receiver, family, MCTX__COALESCING, ways[way].coalescing));
}

static void test_payloads_arrive_whole(void **state) {
  pair_up(state);
  const size_t sizes[] = {0, 1, 1452, 1453, 9000, family == 6 ? 65527 : 65507};
  assert_done(mctx__socket_set(receiver, family, MCTX__RECEIVE_BUFFER, 1 << 20));
  assert_done(mctx__socket_set(sender, family, MCTX__SEND_BUFFER, 1 << 20));
  for (size_t way = 0; way < WAYS; way++) {
    collect(way);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      mctx__arrival arrival;
      send_to(sender, &group, payload, sizes[i]);
      assert_done(receive(ways[way].wanted, ways[way].coalescing, sizeof buffer, &arrival));
      assert_true(arrival.stored == sizes[i]);
      assert_true(arrival.length == sizes[i]);
      assert_false(arrival.truncated);
      assert_int_equal(0, arrival.segment_size);
      assert_int_equal(ways[way].wanted, arrival.present);
      if ((arrival.present & MCTX_META_SOURCE) != 0) assert_true(lab_same(&local, &arrival.source));
      assert_memory_equal(payload, buffer, sizes[i]);
      assert_true(is_untouched(sizes[i], sizeof buffer));
    }
    mctx__arrival none;
    assert_status(MCTX_ERR_WOULD_BLOCK,
                  mctx__socket_receive(receiver, ways[way].wanted, ways[way].coalescing,
                                       (const mctx__span[2]){{buffer, 8}, {NULL, 0}}, &none));
  }
  pair_down();
}

static void test_what_does_not_fit_is_told(void **state) {
  pair_up(state);
  const size_t rooms[] = {0, 1, 99, 100, 101};
  for (size_t way = 0; way < WAYS; way++) {
    collect(way);
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
      mctx__arrival arrival;
      send_to(sender, &group, payload, 100);
      assert_done(receive(ways[way].wanted, ways[way].coalescing, rooms[i], &arrival));
      assert_int_equal(rooms[i] < 100 ? rooms[i] : 100, arrival.stored);
      assert_int_equal(100, arrival.length);
      assert_int_equal(rooms[i] < 100, arrival.truncated);
      assert_memory_equal(payload, buffer, (size_t)arrival.stored);
      assert_true(is_untouched((size_t)arrival.stored, sizeof buffer));
    }
  }
  pair_down();
}

/* Two spans are filled in order, whatever of them is empty. */
static void test_two_spans(void **state) {
  pair_up(state);
  static const size_t rooms[][2] = {{0, 0}, {0, 200}, {200, 0}, {60, 40}, {60, 39}, {60, 41}, {1, 99}, {0, 50}};
  for (size_t way = 0; way < WAYS; way++) {
    collect(way);
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
      const size_t room = rooms[i][0] + rooms[i][1];
      const mctx__span spans[2] = {{buffer, rooms[i][0]}, {buffer + 1000, rooms[i][1]}};
      const size_t stored = room < 100 ? room : 100;
      const size_t first = rooms[i][0] < stored ? rooms[i][0] : stored;
      mctx__arrival arrival;
      memset(buffer, 0xa5, sizeof buffer);
      send_to(sender, &group, payload, 100);
      await_message();
      assert_done(mctx__socket_receive(receiver, ways[way].wanted, ways[way].coalescing, spans, &arrival));
      assert_int_equal(stored, arrival.stored);
      assert_int_equal(100, arrival.length);
      assert_int_equal(room < 100, arrival.truncated);
      assert_memory_equal(payload, buffer, first);
      assert_memory_equal(payload + first, buffer + 1000, stored - first);
      assert_true(is_untouched(first, 1000));
      assert_true(is_untouched(1000 + stored - first, sizeof buffer));
    }
  }
  pair_down();
}

static void test_receiving_from_what_is_no_socket(void **state) {
  const mctx__span spans[2] = {{buffer, 8}, {NULL, 0}};
  mctx__arrival arrival;
  (void)state;
  for (size_t way = 0; way < WAYS; way++) {
    const mctx__result result =
        mctx__socket_receive(MCTX__NO_SOCKET, ways[way].wanted, ways[way].coalescing, spans, &arrival);
    assert_status(MCTX_ERR_NOT_A_SOCKET, result);
  }
}

/* ---- metadata ---- */

static void traffic_class_set(mctx__socket own, int value) {
  assert_int_equal(0, setsockopt(mctx__descriptor(own), family == 6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                 family == 6 ? IPV6_TCLASS : IP_TOS, &value, sizeof value));
}

static int64_t now_utc(void) {
  struct timespec now;
  assert_int_equal(0, clock_gettime(CLOCK_REALTIME, &now));
  return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void test_every_field_tells_the_truth(void **state) {
  pair_up(state);
  static const int hop_limits[] = {0, 1, 64, 255};
  static const int classes[] = {0, 184, 185, 186, 187, 255}; /* all four of ECN */
  mctx_address to = group;
  to.port = 0;
  assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, MCTX_META_ALL));
  for (size_t i = 0; i < 4; i++) {
    for (size_t k = 0; k < 6; k++) {
      mctx__arrival arrival;
      assert_done(mctx__socket_set(sender, family, MCTX__HOP_LIMIT, hop_limits[i]));
      traffic_class_set(sender, classes[k]);
      const int64_t before = now_utc();
      send_to(sender, &group, "truth", 5);
      assert_done(receive(MCTX_META_ALL, false, sizeof buffer, &arrival));
      const int64_t after = now_utc();
      assert_int_equal(MCTX_META_ALL, arrival.present);
      assert_true(lab_same(&local, &arrival.source));
      assert_true(lab_same(&to, &arrival.group));
      assert_int_equal(va, arrival.interface_index);
      assert_int_equal(hop_limits[i], arrival.hop_limit);
      assert_int_equal(classes[k], arrival.traffic_class);
      assert_in_range(arrival.time_ns, before - SECOND_NS, after + SECOND_NS);
      assert_true(arrival.time_ns >= before && arrival.time_ns <= after);
      assert_int_equal(0, arrival.drops);
    }
  }
  pair_down();
}

/* The time is that of the arrival, not that of the receive. */
static void test_the_time_is_that_of_the_arrival(void **state) {
  pair_up(state);
  mctx__arrival arrival;
  assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, MCTX_META_TIME));
  send_to(sender, &group, "x", 1); /* the kernel switches its time stamps on a little later */
  assert_done(receive(MCTX_META_TIME, false, sizeof buffer, &arrival));
  bool is_between = false;
  for (int tries = 0; tries < 300 && !is_between; tries++) { /* a busy host may hold one up on its way */
    const int64_t before = now_utc();
    send_to(sender, &group, "x", 1);
    const int64_t sent = now_utc();
    mctx__sleep(10000000);
    assert_done(receive(MCTX_META_TIME, false, sizeof buffer, &arrival));
    assert_true(arrival.time_ns >= before);
    is_between = arrival.time_ns <= sent;
  }
  assert_true(is_between);
  pair_down();
}

/* Each alone, and each left out: no other is told. */
static void test_only_what_is_asked_is_told(void **state) {
  pair_up(state);
  for (uint32_t collected = 0; collected <= MCTX_META_ALL; collected++) {
    int64_t value = -7;
    assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, collected));
    assert_done(mctx__socket_get(receiver, family, MCTX__METADATA, &value));
    assert_int_equal(collected | MCTX_META_SOURCE, value);
    const uint32_t wanted[] = {collected, collected & 0x2a, 0};
    for (size_t i = 0; i < 3; i++) {
      mctx__arrival arrival;
      send_to(sender, &group, "x", 1);
      assert_done(receive(wanted[i], false, sizeof buffer, &arrival));
      assert_int_equal(wanted[i], arrival.present);
    }
  }
  pair_down();
}

/* What came before the option: IPv4 knows the group, and the interface no more. */
static void test_metadata_of_what_was_queued_before(void **state) {
  pair_up(state);
  mctx_address to = group;
  mctx__arrival arrival;
  to.port = 0;
  send_to(sender, &group, "early", 5);
  await_message();
  assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, MCTX_META_ALL));
  send_to(sender, &group, "late", 4);
  assert_done(receive(MCTX_META_ALL, false, sizeof buffer, &arrival));
  assert_int_equal(5, arrival.stored);
  assert_int_equal(MCTX_META_ALL, arrival.present);
  assert_true(lab_same(&to, &arrival.group));
  assert_int_equal(family == 6 ? va : 0, arrival.interface_index);
  assert_true(lab_same(&local, &arrival.source));
  assert_done(receive(MCTX_META_ALL, false, sizeof buffer, &arrival));
  assert_int_equal(4, arrival.stored);
  assert_int_equal(va, arrival.interface_index);
  pair_down();
}

/* Addresses of the narrow scopes carry the interface; the others do not. */
static void test_scopes(void **state) {
  static const struct {
    const char *group;
    bool is_scoped;
  } rows[] = {{"ff12::db8:0:1", true},  {"ff11::db8:0:1", true},  {"ff14::db8:0:1", false},
              {"ff15::db8:0:1", false}, {"ff18::db8:0:1", false}, {"ff0e::db8:0:1", false}};
  cable_up(state);
  host_run("ip -6 address add fe80::aa/64 dev va nodad");
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int narrow = 0; narrow <= 1; narrow++) {
      group = lab_address(rows[i].group, PORT, 0);
      const mctx_address source =
          lab_address(narrow != 0 ? "fe80::aa" : "fd09::1", (uint16_t)(4000 + i), narrow != 0 ? va : 0);
      mctx__arrival arrival;
      receiver = receiver_open();
      sender = sender_open(&source);
      assert_done(mctx__socket_set(receiver, 6, MCTX__METADATA, MCTX_META_ALL));
      send_to(sender, &group, "x", 1);
      assert_done(receive(MCTX_META_ALL, false, sizeof buffer, &arrival));
      assert_true(lab_same(&source, &arrival.source));
      assert_int_equal(va, arrival.interface_index);
      assert_int_equal(rows[i].is_scoped ? va : 0, arrival.group.scope_id);
      assert_memory_equal(group.bytes, arrival.group.bytes, 16);
      pair_down();
    }
  }
}

/* A wildcard socket gets unicast too, and says so. */
static void test_what_was_sent_to_no_group(void **state) {
  cable_up(state);
  const char *const text = family == 6 ? "fd09::1" : "10.9.0.1";
  const mctx_address any = lab_address(family == 6 ? "::" : "0.0.0.0", PORT, 0);
  const mctx_address unicast = lab_address(text, PORT, 0);
  const mctx_address expected = lab_address(text, 0, 0);
  mctx__arrival arrival;
  receiver = lab_socket(family);
  sender = sender_open(&local);
  assert_done(mctx__socket_bind(receiver, &any));
  assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, MCTX_META_GROUP));
  send_to(sender, &unicast, "x", 1);
  assert_done(receive(MCTX_META_GROUP, false, sizeof buffer, &arrival));
  assert_int_equal(MCTX_META_GROUP, arrival.present);
  assert_true(lab_same(&expected, &arrival.group));
  if (family == 4) {
    const mctx_address broadcast = lab_address("10.9.0.255", PORT, 0);
    const int one = 1;
    assert_int_equal(0, setsockopt(mctx__descriptor(sender), SOL_SOCKET, SO_BROADCAST, &one, sizeof one));
    send_to(sender, &broadcast, "x", 1);
    assert_done(receive(MCTX_META_GROUP, false, sizeof buffer, &arrival));
    assert_int_equal(255, arrival.group.bytes[3]);
    assert_int_equal(va, arrival.interface_index);
  } else {
    host_run("ip -6 address add fe80::aa/64 dev va nodad");
    host_await_link("va");
    const mctx_address narrow = lab_address("fe80::aa", PORT, va);
    send_to(sender, &narrow, "x", 1);
    assert_done(receive(MCTX_META_GROUP, false, sizeof buffer, &arrival));
    assert_int_equal(va, arrival.group.scope_id);
    assert_memory_equal(narrow.bytes, arrival.group.bytes, 16);
  }
  pair_down();
}

/* ---- drops ---- */

/* Sent, received and lost add up. */
static void test_drops_are_counted(void **state) {
  enum { SENT = 2000, LENGTH = 1000 };
  pair_up(state);
  mctx__arrival arrival;
  uint32_t received = 0;
  assert_done(mctx__socket_set(receiver, family, MCTX__RECEIVE_BUFFER, 65536));
  assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, MCTX_META_DROPS));
  for (int i = 0; i < SENT; i++)
    send_to(sender, &group, payload, LENGTH);
  const mctx__span spans[2] = {{buffer, LENGTH}, {NULL, 0}};
  while (mctx__socket_receive(receiver, MCTX_META_DROPS, false, spans, &arrival).status == MCTX_OK) {
    assert_int_equal(MCTX_META_DROPS, arrival.present);
    assert_int_equal(0, arrival.drops); /* these came before the first was lost */
    received++;
    if (received > SENT) break;
  }
  assert_in_range(received, 1, SENT / 2);
  send_to(sender, &group, payload, LENGTH);
  assert_done(receive(MCTX_META_DROPS, false, sizeof buffer, &arrival));
  assert_int_equal(SENT - received, arrival.drops);
  pair_down();
}

/* ---- superpackets ---- */

/* Cut by the kernel, or kept whole where the receiver takes that. */
static void send_segments(size_t length, uint16_t segment) {
  struct sockaddr_storage to;
  _Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof segment)] = {0};
  struct iovec from = {payload, length};
  struct msghdr message = {.msg_name = &to, .msg_iov = &from, .msg_iovlen = 1, .msg_control = control};
  message.msg_namelen = mctx__sockaddr_set(&to, &group);
  message.msg_controllen = sizeof control;
  struct cmsghdr *const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = IPPROTO_UDP;
  header->cmsg_type = UDP_SEGMENT;
  header->cmsg_len = CMSG_LEN(sizeof segment);
  memcpy(CMSG_DATA(header), &segment, sizeof segment);
  assert_int_equal(length, sendmsg(mctx__descriptor(sender), &message, 0));
}

static void test_superpackets(void **state) {
  static const struct {
    size_t length;
    uint16_t segment;
  } rows[] = {{200, 100}, {201, 100},    {6400, 100},   {6399, 100},
              {64, 1},    {64000, 1000}, {63001, 1000}, {101, 100}};
  pair_up(state);
  mctx_address to = group;
  to.port = 0;
  assert_done(mctx__socket_set(receiver, family, MCTX__RECEIVE_BUFFER, 1 << 20));
  for (uint32_t wanted = 0; wanted <= MCTX_META_ALL; wanted += MCTX_META_ALL) {
    assert_done(mctx__socket_set(receiver, family, MCTX__METADATA, wanted));
    assert_done(mctx__socket_set(receiver, family, MCTX__COALESCING, 1));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
      mctx__arrival arrival;
      send_segments(rows[i].length, rows[i].segment);
      assert_done(receive(wanted, true, sizeof buffer, &arrival));
      assert_int_equal(rows[i].segment, arrival.segment_size);
      assert_true(arrival.length == rows[i].length && arrival.stored == rows[i].length);
      assert_false(arrival.truncated);
      assert_int_equal(wanted, arrival.present);
      if (wanted != 0) assert_true(lab_same(&to, &arrival.group) && lab_same(&local, &arrival.source));
      assert_memory_equal(payload, buffer, rows[i].length);

      send_segments(rows[i].length, rows[i].segment); /* too large for the room */
      assert_done(receive(wanted, true, 50, &arrival));
      assert_int_equal(rows[i].segment, arrival.segment_size);
      assert_true(arrival.length == rows[i].length && arrival.stored == 50 && arrival.truncated);
      assert_memory_equal(payload, buffer, 50);
    }
    send_to(sender, &group, payload, 77); /* a single one among them */
    mctx__arrival arrival;
    assert_done(receive(wanted, true, sizeof buffer, &arrival));
    assert_int_equal(0, arrival.segment_size);
    assert_int_equal(77, arrival.stored);

    assert_done(mctx__socket_set(receiver, family, MCTX__COALESCING, 0));
    send_segments(250, 100);
    for (int k = 0; k < 3; k++) {
      assert_done(receive(wanted, false, sizeof buffer, &arrival));
      assert_int_equal(0, arrival.segment_size);
      assert_int_equal(k < 2 ? 100 : 50, arrival.stored);
      assert_memory_equal(payload + 100 * k, buffer, (size_t)arrival.stored);
    }
  }
  pair_down();
}

/* As large as they get: a message and its segments have the room that the contract says. */
static void test_the_largest_superpacket(void **state) {
  pair_up(state);
  mctx__arrival arrival;
  assert_done(mctx__socket_set(receiver, family, MCTX__RECEIVE_BUFFER, 1 << 20));
  assert_done(mctx__socket_set(receiver, family, MCTX__COALESCING, 1));
  const size_t length = family == 6 ? 65527 : 65507;
  send_segments(length, 1400);
  assert_done(receive(0, true, MCTX__MESSAGE_MAX, &arrival));
  assert_int_equal(1400, arrival.segment_size);
  assert_true(arrival.stored == length);
  assert_memory_equal(payload, buffer, length);
  pair_down();
}

/* ---- many in one call ---- */

enum { SLOT = 100, ROOM = 2000, MANY = MCTX__RECEIVE_MANY_MAX };

static uint8_t slots[MANY][SLOT];
static uint8_t rooms_behind[MANY][ROOM];
static mctx__span many_spans[MANY][2];
static mctx__arrival many_arrivals[MANY];

/* They differ. */
static size_t room_behind(size_t i) {
  return ROOM - 7 * (i % 5);
}

static mctx__result receive_many(mctx__socket from, size_t way, uint32_t count, uint32_t *received) {
  for (size_t i = 0; i < MANY; i++) {
    many_spans[i][0] = (mctx__span){slots[i], SLOT};
    many_spans[i][1] = (mctx__span){rooms_behind[i], room_behind(i)};
  }
  memset(slots, 0xa5, sizeof slots);
  memset(rooms_behind, 0xa5, sizeof rooms_behind);
  memset(many_arrivals, 0xa5, sizeof many_arrivals);
  *received = 77;
  return mctx__socket_receive_many(from, ways[way].wanted, ways[way].coalescing,
                                   (const mctx__span(*)[2])many_spans, count, many_arrivals, received);
}

/* Lengths around that of a slot, of both spans, and none at all. */
static size_t length_of(uint32_t number) {
  static const size_t lengths[] = {0, 1, 99, 100, 101, 1000, 2100, 2101};
  return lengths[number % (sizeof lengths / sizeof lengths[0])];
}

static void assert_arrival(uint32_t i, uint32_t number, uint32_t wanted, const mctx_address sources[2]) {
  const mctx__arrival *arrival = &many_arrivals[i];
  const size_t length = length_of(number);
  const size_t room = SLOT + room_behind(i);
  const size_t stored = length < room ? length : room;
  const size_t first = stored < SLOT ? stored : SLOT;
  const uint8_t *sent = payload + number;
  assert_int_equal(length, arrival->length);
  assert_int_equal(stored, arrival->stored);
  assert_int_equal(length > stored, arrival->truncated);
  assert_int_equal(0, arrival->segment_size);
  assert_int_equal(wanted, arrival->present);
  if ((wanted & MCTX_META_SOURCE) != 0) assert_true(lab_same(&sources[number % 2], &arrival->source));
  if ((wanted & MCTX_META_GROUP) != 0) assert_int_equal(va, arrival->interface_index);
  if ((wanted & MCTX_META_TRAFFIC_CLASS) != 0) assert_int_equal(number, arrival->traffic_class);
  assert_memory_equal(sent, slots[i], first);
  assert_memory_equal(sent + first, rooms_behind[i], stored - first);
  if (first < SLOT) assert_int_equal(0xa5, slots[i][first]);
  if (stored < room) assert_int_equal(0xa5, rooms_behind[i][stored - first]);
}

static void test_many_in_one_call(void **state) {
  static const uint32_t counts[] = {1, 2, 7, MANY, MANY + 1, 1000};
  enum { SENT = 40 };
  pair_up(state);
  mctx_address sources[2] = {local, local};
  sources[1].port++;
  const mctx__socket senders[2] = {sender, sender_open(&sources[1])};
  assert_done(mctx__socket_set(receiver, family, MCTX__RECEIVE_BUFFER, 1 << 20));
  for (size_t way = 0; way < WAYS; way++) {
    collect(way);
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
      const uint32_t most = counts[k] < MANY ? counts[k] : MANY;
      uint32_t received = 77;
      for (uint32_t number = 0; number < SENT; number++) {
        traffic_class_set(senders[number % 2], (int)number);
        send_to(senders[number % 2], &group, payload + number, length_of(number));
      }
      for (uint32_t number = 0; number < SENT; number += received) {
        const uint32_t left = SENT - number;
        assert_done(receive_many(receiver, way, counts[k], &received));
        assert_int_equal(left < most ? left : most, received);
        for (uint32_t i = 0; i < received; i++)
          assert_arrival(i, number + i, ways[way].wanted, sources);
        for (size_t i = received; i < MANY; i++)
          assert_int_equal(0xa5, slots[i][0]);
      }
      assert_status(MCTX_ERR_WOULD_BLOCK, receive_many(receiver, way, counts[k], &received));
      assert_int_equal(0, received);
    }
  }
  mctx__socket_close(senders[1]);
  pair_down();
}

static void test_superpackets_among_many(void **state) {
  pair_up(state);
  uint32_t received;
  const size_t way = WAYS - 1;
  collect(way);
  send_segments(1050, 100);
  send_to(sender, &group, payload, 70);
  send_segments(3000, 200); /* more than there is room for */
  assert_done(receive_many(receiver, way, MANY, &received));
  assert_int_equal(3, received);
  static const uint32_t expected[3][4] = {
      {1050, 1050, 100, false}, {70, 70, 0, false}, {3000, SLOT + ROOM - 14, 200, true}};
  for (size_t i = 0; i < 3; i++) {
    const mctx__arrival *arrival = &many_arrivals[i];
    assert_int_equal(expected[i][0], arrival->length);
    assert_int_equal(expected[i][1], arrival->stored);
    assert_int_equal(expected[i][2], arrival->segment_size);
    assert_int_equal(expected[i][3], arrival->truncated);
    assert_int_equal(MCTX_META_ALL, arrival->present);
  }
  pair_down();
}

/* What fails behind the first message is told by the next call, and the messages before it are there. */
static void test_a_failure_among_many(void **state) {
  pair_up(state);
  uint32_t received;
  for (uint32_t i = 0; i < 4; i++)
    send_to(sender, &group, payload + i, 1);
  assert_done(receive_many(receiver, 0, 1, &received)); /* sets the spans */
  void *const nowhere = (void *)(uintptr_t)8;
  many_spans[1][0] = (mctx__span){nowhere, SLOT};
  assert_done(mctx__socket_receive_many(receiver, 0, false, (const mctx__span(*)[2])many_spans, MANY,
                                        many_arrivals, &received));
  assert_int_equal(1, received);
  const mctx__result result = receive_many(receiver, 0, MANY, &received);
  assert_status(MCTX_ERR_IO, result);
  assert_int_equal(EFAULT, result.os_code);
  assert_int_equal(0, received);
  assert_done(receive_many(receiver, 0, MANY, &received));
  assert_int_equal(1, received);
  assert_int_equal(payload[3], slots[0][0]);
  assert_status(MCTX_ERR_NOT_A_SOCKET, receive_many(MCTX__NO_SOCKET, 0, MANY, &received));
  assert_int_equal(0, received);
  pair_down();
}

/* Nothing but one call for many is allowed here. */
static int receive_by_one_call(void) {
  uint32_t received;
  if (!lab_refuse(SYS_recvmsg, LAB_ANY, 0, EIO) || !lab_refuse(SYS_recvfrom, LAB_ANY, 0, EIO)) return 77;
  if (receive_many(receiver, WAYS - 1, MANY, &received).status != MCTX_OK) return 1;
  return received == 5 ? 0 : 2;
}

static void test_many_take_one_system_call(void **state) {
  pair_up(state);
  collect(WAYS - 1);
  for (uint32_t i = 0; i < 5; i++)
    send_to(sender, &group, payload, i);
  const int code = lab_child(receive_by_one_call);
  pair_down();
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(test_payloads_arrive_whole),
      BOTH_FAMILIES(test_what_does_not_fit_is_told),
      BOTH_FAMILIES(test_two_spans),
      cmocka_unit_test(test_receiving_from_what_is_no_socket),
      BOTH_FAMILIES(test_every_field_tells_the_truth),
      BOTH_FAMILIES(test_the_time_is_that_of_the_arrival),
      BOTH_FAMILIES(test_only_what_is_asked_is_told),
      BOTH_FAMILIES(test_metadata_of_what_was_queued_before),
      {"test_scopes", test_scopes, NULL, NULL, (void *)(uintptr_t)&host_families[1]},
      BOTH_FAMILIES(test_what_was_sent_to_no_group),
      BOTH_FAMILIES(test_drops_are_counted),
      BOTH_FAMILIES(test_superpackets),
      BOTH_FAMILIES(test_the_largest_superpacket),
      BOTH_FAMILIES(test_many_in_one_call),
      BOTH_FAMILIES(test_superpackets_among_many),
      BOTH_FAMILIES(test_a_failure_among_many),
      BOTH_FAMILIES(test_many_take_one_system_call),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

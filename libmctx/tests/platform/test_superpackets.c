/* SPDX-License-Identifier: MIT */
/* Sending superpackets, on the loopback interface of a namespace: what arrives, at plain receivers and at those
 * that coalesce, and what the refusals are. */
#include "lab.h"

#include <net/if.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PORT = 5000, MOST_PIECES = MCTX__SEND_PIECES_MAX + 128, MOST_DATAGRAMS = 4096, WHOLE = 65473 };

static const char *const source_text[] = {"127.0.0.1", "fd09::1"};

static uint8_t payload[MCTX__MESSAGE_MAX];

/* A sender, and a receiver of each kind. */
typedef struct flow {
  uint32_t family;
  mctx__socket sender;
  mctx__endpoint endpoint;
  int plain;
  mctx__socket coalescing;
} flow;

static mctx_address group_of(uint32_t family) {
  return lab_address(family == 6 ? "ff0e::db8:0:1" : "233.252.0.1", PORT, 0);
}

static flow flow_up(uint32_t family, bool guarded) {
  flow own = {.family = family, .sender = lab_socket(family)};
  const mctx_address group = group_of(family);
  const mctx_address source = lab_address(source_text[family == 6], 0, 0);
  const uint32_t lo = (uint32_t)if_nametoindex("lo");
  own.plain = lab_receiver(&group, lo);
  own.coalescing = (mctx__socket){lab_receiver(&group, lo)};
  assert_done(mctx__socket_set((mctx__socket){own.plain}, family, MCTX__RECEIVE_BUFFER, 1 << 22));
  assert_done(mctx__socket_set(own.coalescing, family, MCTX__RECEIVE_BUFFER, 1 << 22));
  assert_done(mctx__socket_set(own.coalescing, family, MCTX__COALESCING, 1));
  assert_done(mctx__socket_set(own.sender, family, MCTX__SEND_BUFFER, 1 << 22));
  assert_done(mctx__socket_set_interface(own.sender, family, lo));
  assert_done(mctx__socket_bind(own.sender, &source));
  mctx__endpoint_set(&own.endpoint, &group);
  if (guarded) mctx__endpoint_guard(&own.endpoint, &source);
  return own;
}

static void flow_connect(flow *own, bool guarded) {
  const mctx_address group = group_of(own->family);
  const mctx_address source = lab_address(source_text[own->family == 6], 0, 0);
  assert_done(mctx__socket_connect(own->sender, own->family, &group));
  mctx__endpoint_set(&own->endpoint, NULL);
  if (guarded) mctx__endpoint_guard(&own->endpoint, &source);
}

static void flow_down(flow *own) {
  assert_int_equal(0, lab_get(own->sender, IPPROTO_UDP, UDP_SEGMENT)); /* the option is not used */
  mctx__socket_close(own->sender);
  mctx__socket_close(own->coalescing);
  (void)close(own->plain);
}

static uint32_t alone(void **state) {
  const uint32_t family = host_family(state);
  host_alone();
  if (family == 6) host_run("ip -6 address add fd09::1/128 dev lo nodad");
  for (size_t i = 0; i < sizeof payload; i++)
    payload[i] = (uint8_t)(i * 7 + i / 256);
  return family;
}

/* ---- what arrives ---- */

/* What is to arrive: the payload from its first byte on, cut into these. */
typedef struct expected {
  uint32_t count;
  size_t lengths[MOST_DATAGRAMS];
} expected;

static size_t all_of(const expected *all) {
  size_t length = 0;
  for (uint32_t i = 0; i < all->count; i++)
    length += all->lengths[i];
  return length;
}

static void expect(expected *all, size_t length) {
  assert_true(all->count < MOST_DATAGRAMS);
  all->lengths[all->count++] = length;
}

static void check_plain(int receiver, const expected *all) {
  static uint8_t buffer[MCTX__MESSAGE_MAX];
  size_t offset = 0;
  for (uint32_t i = 0; i < all->count; i++) {
    const ssize_t length = lab_receive(receiver, buffer, sizeof buffer);
    assert_int_equal(all->lengths[i], length);
    assert_memory_equal(payload + offset, buffer, all->lengths[i]);
    offset += all->lengths[i];
  }
  assert_int_equal(-1, recv(receiver, buffer, sizeof buffer, MSG_DONTWAIT));
}

/* Returns how many messages it took. */
static uint32_t check_coalescing(mctx__socket receiver, const expected *all) {
  static uint8_t buffer[MCTX__MESSAGE_MAX];
  const mctx__span spans[2] = {{buffer, sizeof buffer}, {NULL, 0}};
  mctx__arrival arrival;
  uint32_t messages = 0;
  size_t offset = 0;
  uint32_t i = 0;
  for (; i < all->count; messages++) {
    assert_done(mctx__socket_receive(receiver, 0, true, spans, &arrival));
    assert_false(arrival.truncated);
    assert_memory_equal(payload + offset, buffer, (size_t)arrival.length);
    offset += (size_t)arrival.length;
    uint64_t left = arrival.length;
    do {
      const uint64_t size =
          arrival.segment_size != 0 && arrival.segment_size < left ? arrival.segment_size : left;
      assert_true(i < all->count);
      assert_int_equal(all->lengths[i++], size);
      left -= size;
    } while (left > 0);
  }
  assert_status(MCTX_ERR_WOULD_BLOCK, mctx__socket_receive(receiver, 0, true, spans, &arrival));
  return messages;
}

static uint32_t check(const flow *own, const expected *all) {
  check_plain(own->plain, all);
  return check_coalescing(own->coalescing, all);
}

static void check_nothing(const flow *own) {
  const expected none = {.count = 0};
  (void)check(own, &none);
}

/* ---- messages ---- */

/* Messages in the making: each takes the payload on from where the one before ended. */
typedef struct parcel {
  uint32_t count;
  mctx__outgoing messages[MCTX__SEND_MANY_MAX + 1];
  expected datagrams[MCTX__SEND_MANY_MAX + 1];
  uint32_t piece_count;
  mctx_slice pieces[MOST_PIECES];
  size_t offset;
} parcel;

static parcel parcel_under_test;

static parcel *parcel_begin(void) {
  parcel *own = &parcel_under_test;
  own->count = 0;
  own->piece_count = 0;
  own->offset = 0;
  return own;
}

static void add_piece(parcel *own, size_t length) {
  assert_true(own->piece_count < MOST_PIECES && own->offset + length <= sizeof payload);
  own->pieces[own->piece_count++] = (mctx_slice){.data = payload + own->offset, .length = length};
  own->messages[own->count].piece_count++;
  own->offset += length;
}

/* How a superpacket stands in memory. */
typedef enum shape { IN_ONE, EACH, ACROSS, SHAPES } shape;

static void add_superpacket(parcel *own, uint32_t size, uint32_t count, uint32_t last, shape as) {
  const size_t length = (size_t)size * (count - 1) + last;
  own->messages[own->count] = (mctx__outgoing){.pieces = &own->pieces[own->piece_count], .segment_size = size};
  if (as == IN_ONE) add_piece(own, length);
  if (as == ACROSS) { /* pieces that are no datagrams */
    add_piece(own, 1);
    add_piece(own, length / 2);
    add_piece(own, length - length / 2 - 1);
  }
  expected *datagrams = &own->datagrams[own->count];
  datagrams->count = 0;
  for (uint32_t i = 0; i < count; i++) {
    const size_t now = i + 1 < count ? size : last;
    if (as == EACH) add_piece(own, now);
    expect(datagrams, now);
  }
  own->count++;
}

static void add_datagram(parcel *own, size_t length) {
  own->messages[own->count] = (mctx__outgoing){.pieces = &own->pieces[own->piece_count]};
  add_piece(own, length);
  own->datagrams[own->count].count = 0;
  expect(&own->datagrams[own->count], length);
  own->count++;
}

/* What `count` messages from `first` on come to; they are the first bytes of the payload for check(). */
static void expect_messages(expected *all, const parcel *own, uint32_t count) {
  all->count = 0;
  for (uint32_t i = 0; i < count; i++) {
    for (uint32_t k = 0; k < own->datagrams[i].count; k++)
      expect(all, own->datagrams[i].lengths[k]);
  }
}

static mctx__result send_from(const flow *own, const parcel *from, uint32_t first, uint32_t *taken) {
  *taken = 77;
  return mctx__socket_send_many(own->sender, &own->endpoint, from->messages + first, from->count - first,
                                taken);
}

static mctx__result send_superpacket(const flow *own, uint32_t size, uint32_t count, uint32_t last, shape as) {
  parcel *one = parcel_begin();
  uint32_t taken;
  add_superpacket(one, size, count, last, as);
  const mctx__result result = send_from(own, one, 0, &taken);
  assert_int_equal(result.status == MCTX_OK, taken);
  return result;
}

/* 128 on new kernels, 64 on others. */
static uint32_t most_segments(const flow *own) {
  expected all = {.count = 0};
  uint32_t most = MCTX__SEGMENTS_MAX;
  mctx__result result = send_superpacket(own, 1, most, 1, IN_ONE);
  if (result.status == MCTX_ERR_INVALID_ARGUMENT) {
    most = 64;
    result = send_superpacket(own, 1, most, 1, IN_ONE);
  }
  assert_done(result);
  for (uint32_t i = 0; i < most; i++)
    expect(&all, 1);
  (void)check(own, &all);
  return most;
}

/* ---- first: a system that does not know how ---- */

static uint32_t family_under_test;
static uint32_t code_under_test;
static mctx_status status_under_test;

enum { LEVEL = 1, OPTION = 2 };

/* It could overlook the control message and send a superpacket as one datagram. */
static int send_without_segmentation(void) {
  const flow own = flow_up(family_under_test, false);
  parcel *mixed = parcel_begin();
  uint32_t taken;
  add_datagram(mixed, 3);
  add_superpacket(mixed, 10, 5, 4, IN_ONE);
  if (!lab_refuse(SYS_getsockopt, OPTION, UDP_SEGMENT, ENOPROTOOPT)) return 77;
  const mctx__result result = send_from(&own, mixed, 0, &taken);
  if (result.status != MCTX_OK || taken != 1) return 1;
  for (uint32_t first = 1; first <= 2; first++) { /* alone, and with another */
    if (first == 2) {
      mixed->offset = 0;
      add_datagram(mixed, 3);
    }
    const mctx__result refused = send_from(&own, mixed, 1, &taken);
    if (refused.status != MCTX_ERR_UNSUPPORTED || refused.os_code != ENOPROTOOPT || taken != 0) return 2;
  }
  const expected one = {.count = 1, .lengths = {3}};
  (void)check(&own, &one);
  return 0;
}

/* What is wrong with one socket says nothing of the others. */
static int send_with_a_bad_descriptor(void) {
  const flow own = flow_up(family_under_test, false);
  flow bad = own;
  bad.sender = (mctx__socket){(1 << 20) - 1};
  const mctx__result refused = send_superpacket(&bad, 10, 5, 4, IN_ONE);
  if (refused.status == MCTX_OK) return 1;
  if (send_superpacket(&own, 10, 5, 4, IN_ONE).status != MCTX_OK) return 2;
  expected all;
  expect_messages(&all, &parcel_under_test, 1);
  (void)check(&own, &all);
  return 0;
}

static void test_a_bad_descriptor_is_not_the_systems_fault(void **state) {
  family_under_test = alone(state);
  assert_int_equal(0, lab_child(send_with_a_bad_descriptor));
}

static void test_a_system_without_superpackets(void **state) {
  family_under_test = alone(state);
  const int code = lab_child(send_without_segmentation);
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
}

/* ---- boundaries ---- */

static const struct {
  uint32_t size;
  uint32_t count;
  uint32_t last;
} rows[] = {{1, 2, 1},       {1, 128, 1},   {64, 64, 64},    {64, 65, 64},     {64, 127, 64},
            {64, 128, 64},   {64, 128, 1},  {100, 2, 99},    {1000, 64, 1000}, {1000, 66, 507},
            {1000, 66, 473}, {1472, 44, 5}, {30000, 2, 400}, {65000, 2, 507},  {512, 127, 512}};

static void check_boundaries(flow *own, uint32_t most) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (rows[i].count > most) continue;
    for (int as = 0; as < SHAPES; as++) {
      expected all = {.count = 0};
      assert_done(send_superpacket(own, rows[i].size, rows[i].count, rows[i].last, (shape)as));
      expect_messages(&all, &parcel_under_test, 1);
      assert_int_equal(rows[i].count, all.count);
      /* The one receiver gets it as it is, unless it is too large for the device with all its headers. */
      const uint32_t messages = check(own, &all);
      if (all_of(&all) <= WHOLE) assert_int_equal(1, messages);
    }
  }
}

static void test_boundaries(void **state) {
  const uint32_t family = alone(state);
  for (int guarded = 0; guarded <= (family == 6); guarded++) {
    flow own = flow_up(family, guarded != 0);
    const uint32_t most = most_segments(&own);
    check_boundaries(&own, most);
    flow_connect(&own, guarded != 0);
    check_boundaries(&own, most);
    flow_down(&own);
  }
}

/* ---- several messages ---- */

static uint32_t below(uint32_t limit) {
  static uint64_t random_state = 1;
  random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((random_state >> 32) * limit >> 32);
}

static void add_any(parcel *own) {
  static const uint32_t sizes[] = {1, 7, 64, 65, 200};
  const uint32_t size = sizes[below(5)];
  if (below(2) == 0)
    add_datagram(own, below(4) == 0 ? 0 : size);
  else
    add_superpacket(own, size, 2 + below(6), 1 + below(size), (shape)below(SHAPES));
}

static void test_messages_of_all_kinds(void **state) {
  const uint32_t family = alone(state);
  for (int guarded = 0; guarded <= (family == 6); guarded++) {
    flow own = flow_up(family, guarded != 0);
    for (uint32_t turn = 0; turn < 200; turn++) {
      const uint32_t count = 1 + below(MCTX__SEND_MANY_MAX);
      parcel *mixed = parcel_begin();
      expected all;
      uint32_t taken;
      if (turn == 100) flow_connect(&own, guarded != 0);
      while (mixed->count < count)
        add_any(mixed);
      if (mixed->piece_count > MCTX__SEND_PIECES_MAX) continue;
      assert_done(send_from(&own, mixed, 0, &taken));
      assert_int_equal(count, taken);
      expect_messages(&all, mixed, count);
      (void)check(&own, &all);
    }
    flow_down(&own);
  }
}

static void test_more_messages_than_one_call_takes(void **state) {
  flow own = flow_up(alone(state), false);
  parcel *many = parcel_begin();
  expected all;
  uint32_t taken;
  while (many->count < MCTX__SEND_MANY_MAX + 1)
    add_superpacket(many, 4, 3, 2, IN_ONE);
  assert_done(send_from(&own, many, 0, &taken));
  assert_int_equal(MCTX__SEND_MANY_MAX, taken);
  expect_messages(&all, many, MCTX__SEND_MANY_MAX);
  (void)check(&own, &all);
  flow_down(&own);
}

/* The call ends before the message whose pieces would be too many. */
static void test_more_pieces_than_one_call_takes(void **state) {
  flow own = flow_up(alone(state), false);
  parcel *many = parcel_begin();
  expected all;
  uint32_t taken;
  for (uint32_t left = MCTX__SEND_PIECES_MAX - 3; left > 0; left -= left < 60 ? left : 60)
    add_superpacket(many, 2, left < 60 ? left : 60, 1, EACH);
  const uint32_t fitting = many->count;
  add_superpacket(many, 2, 4, 1, EACH);
  assert_done(send_from(&own, many, 0, &taken));
  assert_int_equal(fitting, taken);
  expect_messages(&all, many, fitting);
  (void)check(&own, &all);

  many = parcel_begin();
  for (uint32_t i = 0; i < 4; i++)
    add_superpacket(many, 2, 60, 1, EACH);
  add_superpacket(many, 2, 4, 1, EACH);
  assert_done(send_from(&own, many, 0, &taken));
  assert_int_equal(many->count, taken);
  expect_messages(&all, many, many->count);
  (void)check(&own, &all);
  flow_down(&own);
}

/* ---- refusals ---- */

static void test_too_many_segments(void **state) {
  const uint32_t family = alone(state);
  for (int guarded = 0; guarded <= (family == 6); guarded++) {
    flow own = flow_up(family, guarded != 0);
    const uint32_t most = most_segments(&own);
    for (int as = 0; as < SHAPES; as++) {
      assert_status(MCTX_ERR_INVALID_ARGUMENT, send_superpacket(&own, 64, most + 1, 64, (shape)as));
      assert_status(MCTX_ERR_INVALID_ARGUMENT, send_superpacket(&own, 64, most + 1, 1, (shape)as));
    }
    assert_status(MCTX_ERR_DATAGRAM_TOO_LARGE, send_superpacket(&own, 1000, 66, 536, IN_ONE));
    check_nothing(&own);
    flow_down(&own);
  }
}

/* A lone datagram is cut into fragments; those of a superpacket are not. */
static void test_segments_that_do_not_fit_the_mtu(void **state) {
  const uint32_t family = alone(state);
  const uint32_t room = family == 6 ? 1452 : 1472;
  host_run("ip link set lo mtu 1500");
  for (int guarded = 0; guarded <= (family == 6); guarded++) {
    flow own = flow_up(family, guarded != 0);
    expected all = {.count = 0};
    uint32_t taken;
    for (int as = 0; as < SHAPES; as++) {
      assert_done(send_superpacket(&own, room, 3, 10, (shape)as));
      expect_messages(&all, &parcel_under_test, 1);
      (void)check(&own, &all);
      assert_status(MCTX_ERR_DATAGRAM_TOO_LARGE, send_superpacket(&own, room + 1, 3, 10, (shape)as));
      check_nothing(&own);
    }
    parcel *one = parcel_begin();
    add_datagram(one, room + 1);
    assert_done(send_from(&own, one, 0, &taken));
    assert_int_equal(1, taken);
    expect_messages(&all, one, 1);
    (void)check(&own, &all);
    flow_down(&own);
  }
}

/* Wherever the refused message stands: those before it go, and the next call says why. */
static void check_refused_at(flow *own, uint32_t at, mctx_status reason, uint32_t size, uint32_t segments) {
  enum { MESSAGES = 9 };
  parcel *mixed = parcel_begin();
  expected all;
  uint32_t taken;
  while (mixed->count < at)
    add_any(mixed);
  add_superpacket(mixed, size, segments, 1, IN_ONE);
  while (mixed->count < MESSAGES)
    add_any(mixed);
  const mctx__result result = send_from(own, mixed, 0, &taken);
  assert_status(at == 0 ? reason : MCTX_OK, result);
  assert_int_equal(at, taken);
  expect_messages(&all, mixed, at);
  (void)check(own, &all);
  assert_status(reason, send_from(own, mixed, at, &taken));
  assert_int_equal(0, taken);
  mixed->count = at + 1;
  assert_status(reason, send_from(own, mixed, at, &taken)); /* alone */
  assert_int_equal(0, taken);
  check_nothing(own);
}

static void test_refusals_in_the_midst(void **state) {
  const uint32_t family = alone(state);
  host_run("ip link set lo mtu 1500");
  for (int guarded = 0; guarded <= (family == 6); guarded++) {
    flow own = flow_up(family, guarded != 0);
    const uint32_t most = most_segments(&own);
    for (uint32_t at = 0; at < 9; at++) {
      check_refused_at(&own, at, MCTX_ERR_INVALID_ARGUMENT, 4, most + 1);
      check_refused_at(&own, at, MCTX_ERR_DATAGRAM_TOO_LARGE, 1480, 2);
    }
    flow_down(&own);
  }
}

/* EINVAL of a superpacket says little; that of a lone datagram tells that the source is gone. */
static void test_a_guarded_source_that_is_gone(void **state) {
  (void)alone(state);
  for (int connected = 0; connected <= 1; connected++) {
    flow own = flow_up(6, true);
    uint32_t taken;
    if (connected != 0) flow_connect(&own, true);
    assert_done(send_superpacket(&own, 4, 3, 2, EACH));
    expected all;
    expect_messages(&all, &parcel_under_test, 1);
    (void)check(&own, &all);
    host_run("ip -6 address del fd09::1/128 dev lo");
    assert_status(MCTX_ERR_INVALID_ARGUMENT, send_superpacket(&own, 4, 3, 2, EACH));
    parcel *mixed = parcel_begin();
    add_superpacket(mixed, 4, 3, 2, EACH);
    add_datagram(mixed, 5);
    add_superpacket(mixed, 4, 3, 2, EACH);
    assert_status(MCTX_ERR_INVALID_ARGUMENT, send_from(&own, mixed, 0, &taken));
    assert_int_equal(0, taken);
    assert_status(MCTX_ERR_NO_ROUTE, send_from(&own, mixed, 1, &taken));
    assert_int_equal(0, taken);
    check_nothing(&own);
    host_run("ip -6 address add fd09::1/128 dev lo nodad");
    flow_down(&own);
  }
}

/* What other kernels, devices and queues answer. */
static int send_under_refusal(void) {
  flow own = flow_up(family_under_test, family_under_test == 6);
  uint32_t taken;
  if (!lab_refuse(SYS_sendmsg, LAB_ANY, 0, code_under_test)) return 77;
  if (!lab_refuse(SYS_sendmmsg, LAB_ANY, 0, code_under_test)) return 77;
  for (uint32_t others = 0; others <= 1; others++) {
    parcel *mixed = parcel_begin();
    add_superpacket(mixed, 4, 3, 2, EACH);
    if (others != 0) add_datagram(mixed, 5);
    const mctx__result result = send_from(&own, mixed, 0, &taken);
    if (result.status != status_under_test || result.os_code != (int32_t)code_under_test || taken != 0)
      return 1;
  }
  /* a lone datagram beside the same refusal is another matter */
  const mctx_slice pieces[2] = {{.data = payload, .length = 1}, {.data = payload, .length = 1}};
  const mctx__outgoing gathered = {.pieces = pieces, .piece_count = 2};
  const mctx__result lone = mctx__socket_send_many(own.sender, &own.endpoint, &gathered, 1, &taken);
  if (lone.os_code != (int32_t)code_under_test || taken != 0) return 2;
  return lone.status == MCTX_ERR_UNSUPPORTED && code_under_test == EIO ? 3 : 0;
}

static void test_refusals_have_their_meaning(void **state) {
  static const struct {
    uint32_t code;
    mctx_status status;
  } refusals[] = {{EMSGSIZE, MCTX_ERR_DATAGRAM_TOO_LARGE},
                  {EINVAL, MCTX_ERR_INVALID_ARGUMENT},
                  {EIO, MCTX_ERR_UNSUPPORTED},
                  {EOPNOTSUPP, MCTX_ERR_UNSUPPORTED},
                  {ENOPROTOOPT, MCTX_ERR_UNSUPPORTED},
                  {EAGAIN, MCTX_ERR_WOULD_BLOCK},
                  {ENOBUFS, MCTX_ERR_QUEUE_FULL},
                  {EPERM, MCTX_ERR_FIREWALL},
                  {ENETUNREACH, MCTX_ERR_NO_ROUTE},
                  {ENETDOWN, MCTX_ERR_INTERFACE_DOWN},
                  {EINTR, MCTX_ERR_SIGNAL},
                  {ENOMEM, MCTX_ERR_NO_MEMORY}};
  family_under_test = alone(state);
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    code_under_test = refusals[i].code;
    status_under_test = refusals[i].status;
    const int code = lab_child(send_under_refusal);
    if (code == 77) SKIP("this host allows no seccomp filter");
    if (code != 0) print_error("refusal %zu\n", i);
    assert_int_equal(0, code);
  }
}

/* ---- lone datagrams in several pieces ---- */

static void test_a_datagram_in_pieces(void **state) {
  const uint32_t family = alone(state);
  for (int guarded = 0; guarded <= (family == 6); guarded++) {
    flow own = flow_up(family, guarded != 0);
    mctx_slice pieces[3];
    const mctx__outgoing messages[2] = {{.pieces = pieces, .piece_count = 2},
                                        {.pieces = pieces + 2, .piece_count = 1}};
    const expected all = {.count = 2, .lengths = {30, 5}};
    const expected first = {.count = 1, .lengths = {30}};
    uint32_t taken = 77;
    pieces[0] = (mctx_slice){.data = payload, .length = 10};
    pieces[1] = (mctx_slice){.data = payload + 10, .length = 20};
    pieces[2] = (mctx_slice){.data = payload + 30, .length = 5};
    assert_done(mctx__socket_send_many(own.sender, &own.endpoint, messages, 1, &taken));
    assert_int_equal(1, taken);
    (void)check(&own, &first);
    assert_done(mctx__socket_send_many(own.sender, &own.endpoint, messages, 2, &taken));
    assert_int_equal(2, taken);
    (void)check(&own, &all);
    flow_down(&own);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      /* first: it is asked once in the life of a process */
      BOTH_FAMILIES(test_a_bad_descriptor_is_not_the_systems_fault),
      BOTH_FAMILIES(test_a_system_without_superpackets),
      BOTH_FAMILIES(test_boundaries),
      BOTH_FAMILIES(test_messages_of_all_kinds),
      BOTH_FAMILIES(test_more_messages_than_one_call_takes),
      BOTH_FAMILIES(test_more_pieces_than_one_call_takes),
      BOTH_FAMILIES(test_too_many_segments),
      BOTH_FAMILIES(test_segments_that_do_not_fit_the_mtu),
      BOTH_FAMILIES(test_refusals_in_the_midst),
      {"test_a_guarded_source_that_is_gone", test_a_guarded_source_that_is_gone, NULL, NULL,
       (void *)(uintptr_t)&host_families[1]},
      BOTH_FAMILIES(test_refusals_have_their_meaning),
      BOTH_FAMILIES(test_a_datagram_in_pieces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

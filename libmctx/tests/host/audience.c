/* SPDX-License-Identifier: MIT */
/* Receivers of every kind, that compare what comes with what was sent. */
#include "host/audience.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static const char *const kind_names[] = {"a plain socket", "a socket with UDP_GRO", "a subscription",
                                         "a subscription read one by one", "a subscription without coalescing"};

/* ---- opening ---- */

void audience_init(audience *own) {
  *own = (audience){0};
}

/* What is opened and called there belongs to that host, its look at the interfaces too. */
static void enter(bool there) {
  if (there) there_begin();
}

static void leave(bool there) {
  if (there) there_end();
}

static void subscribe_ear(audience *own, ear *one, const char *group, const char *interface) {
  mctx_context *context = one->there ? &own->there : &own->here;
  mctx_subscription_options options = subscription_options();
  mctx_address address = address_of(group);
  mctx_membership member = member_of(&address, interface);
  if (*context == 0) *context = open_context();
  options.port = address.port;
  options.coalescing = one->kind != SUBSCRIBED_PLAINLY;
  options.receive_buffer = 8 << 20;
  options.memberships = &member;
  options.membership_count = 1;
  one->subscription = subscribe_with(*context, &options);
}

static void open_ear(audience *own, ear *one, const char *group, const char *interface) {
  int on = 1;
  if (one->kind > COALESCING) {
    subscribe_ear(own, one, group, interface);
    return;
  }
  one->socket = receiver_open(group, interface);
  /* an IPv6 socket gets its groups from every interface */
  assert_int_equal(
      0, setsockopt(one->socket, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)));
  if (one->kind == COALESCING)
    assert_int_equal(0, setsockopt(one->socket, IPPROTO_UDP, UDP_GRO, &on, sizeof on));
}

void audience_join(audience *own, const char *group, const char *interface, uint32_t kinds, bool there) {
  for (ear_kind kind = PLAIN; kind < EAR_KINDS; kind++) {
    if ((kinds & 1u << kind) == 0) continue;
    assert_in_range(own->count, 0, EARS - 1);
    ear *one = &own->ears[own->count++];
    *one = (ear){.kind = kind, .there = there, .socket = -1};
    enter(there);
    open_ear(own, one, group, interface);
    leave(there);
  }
}

void audience_leave(audience *own) {
  for (uint32_t i = 0; i < own->count; i++)
    if (own->ears[i].socket >= 0) close(own->ears[i].socket);
  if (own->here != 0) assert_ok(mctx_close(own->here, NULL));
  if (own->there != 0) assert_ok(mctx_close(own->there, NULL));
  audience_init(own);
}

/* ---- comparing ---- */

typedef struct expectation {
  const mctx_slice *slices;
  uint64_t count;
} expectation;

static void compare(ear *one, const expectation *expected, const unsigned char *data, size_t length) {
  const char *where = one->there ? "there" : "here";
  const uint64_t at = one->heard;
  if (at >= expected->count)
    fail_msg("%s %s got %u bytes that nobody sent", kind_names[one->kind], where, (unsigned)length);
  const mctx_slice *slice = &expected->slices[at];
  if (length != slice->length)
    fail_msg("%s %s got %u bytes as datagram %u of %u, not %u", kind_names[one->kind], where, (unsigned)length,
             (unsigned)at, (unsigned)expected->count, (unsigned)slice->length);
  if (length > 0 && memcmp(data, slice->data, length) != 0)
    fail_msg("%s %s got other bytes as datagram %u of %u (%u bytes)", kind_names[one->kind], where,
             (unsigned)at, (unsigned)expected->count, (unsigned)length);
  one->heard++;
}

/* ---- sockets ---- */

static size_t segment_size_of(struct msghdr *message, size_t length) {
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
    int size;
    if (each->cmsg_level != IPPROTO_UDP || each->cmsg_type != UDP_GRO) continue;
    memcpy(&size, CMSG_DATA(each), sizeof size);
    return (size_t)size;
  }
  return length;
}

/* One message; false if none comes in time. */
static bool hear_by_socket(ear *one, const expectation *expected, int timeout_ms) {
  static unsigned char data[1 << 16];
  _Alignas(struct cmsghdr) unsigned char control[512];
  struct pollfd watched = {.fd = one->socket, .events = POLLIN};
  struct iovec payload = {data, sizeof data};
  struct msghdr message = {
      .msg_iov = &payload, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (poll(&watched, 1, timeout_ms) != 1) return false;
  ssize_t length = recvmsg(one->socket, &message, MSG_DONTWAIT);
  if (length < 0) return false;
  assert_int_equal(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC), 0);
  size_t size = segment_size_of(&message, (size_t)length);
  one->coalesced += size < (size_t)length;
  size_t at = 0;
  do {
    size_t rest = (size_t)length - at;
    compare(one, expected, data + at, rest < size ? rest : size);
    at += size;
  } while (at < (size_t)length);
  return true;
}

/* ---- subscriptions ---- */

static bool hear_a_batch(ear *one, const expectation *expected, int timeout_ms) {
  static basket memory;
  basket_init(&memory);
  mctx_status status = mctx_recv_batch(one->subscription, &memory.batch, 0, timeout_ms * MILLI, NULL);
  if (status == MCTX_ERR_TIMEOUT || status == MCTX_ERR_WOULD_BLOCK) return false;
  assert_ok(status);
  for (uint64_t i = 0; i < memory.batch.datagram_count; i++) {
    assert_int_equal(memory.datagrams[i].flags, 0);
    compare(one, expected, payload_in(&memory, i), memory.datagrams[i].length);
  }
  for (uint64_t i = 0; i < memory.batch.message_count; i++)
    one->coalesced += (memory.messages[i].flags & MCTX_MESSAGE_COALESCED) != 0;
  return true;
}

static bool hear_one(ear *one, const expectation *expected, int timeout_ms) {
  static taken got;
  if (!take_next(one->subscription, &got, timeout_ms)) return false;
  assert_int_equal(got.message.flags & MCTX_MESSAGE_TRUNCATED, 0);
  one->coalesced += (got.message.flags & MCTX_MESSAGE_COALESCED) != 0;
  compare(one, expected, got.data, got.length);
  return true;
}

/* ---- all of them ---- */

static bool hear(ear *one, const expectation *expected, int timeout_ms) {
  enter(one->there);
  bool heard = one->socket >= 0                 ? hear_by_socket(one, expected, timeout_ms)
               : one->kind == SUBSCRIBED_SINGLY ? hear_one(one, expected, timeout_ms)
                                                : hear_a_batch(one, expected, timeout_ms);
  leave(one->there);
  return heard;
}

void assert_all_hear(audience *own, const mctx_slice *slices, uint64_t count) {
  const expectation expected = {slices, count};
  for (uint32_t i = 0; i < own->count; i++) {
    ear *one = &own->ears[i];
    one->heard = 0;
    while (one->heard < count)
      if (!hear(one, &expected, PATIENCE_MS))
        fail_msg("%s %s got %u of %u", kind_names[one->kind], one->there ? "there" : "here",
                 (unsigned)one->heard, (unsigned)count);
  }
}

void assert_all_heard(audience *own) {
  const expectation nothing = {NULL, 0};
  for (uint32_t i = 0; i < own->count; i++) {
    own->ears[i].heard = 0;
    while (hear(&own->ears[i], &nothing, i == 0 ? QUIET_MS : 0))
      continue;
  }
}

uint64_t audience_coalesced(const audience *own, ear_kind kind) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < own->count; i++)
    sum += own->ears[i].kind == kind ? own->ears[i].coalesced : 0;
  return sum;
}

/* ---- room ---- */

uint64_t cost_in_buffers(uint64_t length) {
  return 2 * length + 1500;
}

uint64_t audience_room(const audience *own) {
  uint64_t least = 4 << 20;
  for (uint32_t i = 0; i < own->count; i++) {
    int granted = 0;
    socklen_t length = sizeof granted;
    if (own->ears[i].socket >= 0)
      assert_int_equal(0, getsockopt(own->ears[i].socket, SOL_SOCKET, SO_RCVBUF, &granted, &length));
    else
      granted = (int)subscription_info(own->ears[i].subscription).receive_buffer;
    if ((uint64_t)granted < least) least = (uint64_t)granted;
  }
  return least;
}

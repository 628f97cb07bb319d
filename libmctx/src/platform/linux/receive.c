/* SPDX-License-Identifier: MIT */
/* Receiving, and what the system tells of a message in control messages. */
#include "../posix/posix.h"

#include <netinet/udp.h>
#include <string.h>

#include "linux.h"

enum { FLAGS = MSG_DONTWAIT | MSG_TRUNC /* the whole length is told, whatever fits */, NS_PER_S = 1000000000 };

/* The two forms that a time has. */
typedef struct time_old {
  long seconds;
  long nanoseconds;
} time_old;
typedef struct time_new {
  int64_t seconds;
  int64_t nanoseconds;
} time_new;

/* An address of either family. */
typedef union sockaddr_either {
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} sockaddr_either;

/* All that a socket of either family may tell. */
enum {
  CONTROL_SIZE = CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(time_new)) +
                 4 * CMSG_SPACE(sizeof(int)) /* hop limit, traffic class, drops, segment size */
};

/* ---- addresses: written in place, in whole words, which is half the cost of a message ---- */

static inline void ipv4_put(mctx_address *address, uint32_t host, uint16_t port) {
  const uint32_t words[4] = {host};
  *address = (mctx_address){.family = 4, .port = port};
  memcpy(address->bytes, words, sizeof words);
}

static inline void ipv6_put(mctx_address *address, const void *bytes, uint16_t port, uint32_t scope_id) {
  *address = (mctx_address){.family = 6, .port = port, .scope_id = scope_id};
  memcpy(address->bytes, bytes, sizeof address->bytes);
}

/* Interface-local and link-local scope, of groups and of unicast addresses (RFC 4291). */
static inline bool wants_scope(const uint8_t *bytes) {
  if (bytes[0] == 0xff) return (bytes[1] & 0x0f) == 1 || (bytes[1] & 0x0f) == 2;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

/* The system tells a scope id of link-local addresses alone. */
static inline void source_read(const sockaddr_either *source, mctx__arrival *arrival) {
  if (source->v4.sin_family == AF_INET) {
    ipv4_put(&arrival->source, source->v4.sin_addr.s_addr, ntohs(source->v4.sin_port));
  } else {
    ipv6_put(&arrival->source, &source->v6.sin6_addr, ntohs(source->v6.sin6_port), source->v6.sin6_scope_id);
  }
}

/* ---- control messages ---- */

/* Level, type and length of a message in one number. One that was cut is of no kind. */
#define KIND_OF(level, type, length) ((uint64_t)(level) << 48 | (uint64_t)(type) << 32 | (uint64_t)(length))
#define KIND(level, type, data)      KIND_OF(level, type, CMSG_LEN(sizeof(data)))

static inline int number_in(const unsigned char *data) {
  int number;
  memcpy(&number, data, sizeof number);
  return number;
}

static inline int64_t time_in(const unsigned char *data) {
  time_new time;
  memcpy(&time, data, sizeof time);
  return time.seconds * NS_PER_S + time.nanoseconds;
}

static inline int64_t old_time_in(const unsigned char *data) {
  time_old time;
  memcpy(&time, data, sizeof time);
  return (int64_t)time.seconds * NS_PER_S + time.nanoseconds;
}

/* A group, and its interface, as the system tells them. */
static inline void ipv4_group_read(const unsigned char *data, mctx__arrival *arrival) {
  struct in_pktinfo info;
  memcpy(&info, data, sizeof info);
  arrival->interface_index = (uint32_t)info.ipi_ifindex;
  ipv4_put(&arrival->group, info.ipi_addr.s_addr, 0);
}

static inline void ipv6_group_read(const unsigned char *data, mctx__arrival *arrival) {
  struct in6_pktinfo info;
  memcpy(&info, data, sizeof info);
  arrival->interface_index = (uint32_t)info.ipi6_ifindex;
  ipv6_put(&arrival->group, data, 0, wants_scope(data) ? (uint32_t)info.ipi6_ifindex : 0);
}

/* Reads one message: adds to `present` what it told, and returns its length. That is a constant for each kind,
 * so that the processor need not wait for this one's length to look at the next. */
static inline size_t control_read(const struct cmsghdr *control, mctx__arrival *arrival, uint32_t *present) {
  const unsigned char *data = CMSG_DATA(control);
  switch (KIND_OF(control->cmsg_level, control->cmsg_type, control->cmsg_len)) {
    case KIND(SOL_SOCKET, SO_TIMESTAMPNS_OLD, time_old):
      arrival->time_ns = old_time_in(data);
      *present |= MCTX_META_TIME;
      return CMSG_SPACE(sizeof(time_old));
    case KIND(SOL_SOCKET, SO_TIMESTAMPNS_NEW, time_new):
      arrival->time_ns = time_in(data);
      *present |= MCTX_META_TIME;
      return CMSG_SPACE(sizeof(time_new));
    case KIND(SOL_SOCKET, SO_RXQ_OVFL, uint32_t):
      arrival->drops = (uint32_t)number_in(data);
      return CMSG_SPACE(sizeof(uint32_t));
    case KIND(IPPROTO_UDP, UDP_GRO, int):
      arrival->segment_size = (uint32_t)number_in(data);
      return CMSG_SPACE(sizeof(int));
    case KIND(IPPROTO_IP, IP_PKTINFO, struct in_pktinfo):
      ipv4_group_read(data, arrival);
      *present |= MCTX_META_GROUP;
      return CMSG_SPACE(sizeof(struct in_pktinfo));
    case KIND(IPPROTO_IPV6, IPV6_PKTINFO, struct in6_pktinfo):
      ipv6_group_read(data, arrival);
      *present |= MCTX_META_GROUP;
      return CMSG_SPACE(sizeof(struct in6_pktinfo));
    case KIND(IPPROTO_IP, IP_TTL, int):
    case KIND(IPPROTO_IPV6, IPV6_HOPLIMIT, int):
      arrival->hop_limit = number_in(data);
      *present |= MCTX_META_HOP_LIMIT;
      return CMSG_SPACE(sizeof(int));
    case KIND(IPPROTO_IP, IP_TOS, uint8_t):
      arrival->traffic_class = *data;
      *present |= MCTX_META_TRAFFIC_CLASS;
      return CMSG_SPACE(sizeof(uint8_t));
    case KIND(IPPROTO_IPV6, IPV6_TCLASS, int):
      arrival->traffic_class = number_in(data);
      *present |= MCTX_META_TRAFFIC_CLASS;
      return CMSG_SPACE(sizeof(int));
    default:
      return CMSG_ALIGN(control->cmsg_len);
  }
}

/* Where the next control message stands. */
typedef struct cursor {
  const unsigned char *at;
  size_t left;
} cursor;

/* What the next one tells if it is of that kind, which it goes behind; else NULL. */
static MCTX__IN_PLACE const unsigned char *next_told(cursor *next, int level, int type, size_t size) {
  const struct cmsghdr *control = (const struct cmsghdr *)(const void *)next->at;
  if (next->left < CMSG_SPACE(size) || control->cmsg_len != CMSG_LEN(size) || control->cmsg_type != type ||
      control->cmsg_level != level)
    return NULL;
  next->at += CMSG_SPACE(size);
  next->left -= CMSG_SPACE(size);
  return CMSG_DATA(control);
}

/* The same of IPv6. */
static MCTX__IN_PLACE uint32_t usual_ipv6_read(cursor *next, mctx__arrival *arrival) {
  uint32_t present = 0;
  const unsigned char *data = next_told(next, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(struct in6_pktinfo));
  if (MCTX__MOSTLY(data != NULL)) {
    ipv6_group_read(data, arrival);
    present |= MCTX_META_GROUP;
  }
  data = next_told(next, IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof(int));
  if (MCTX__MOSTLY(data != NULL)) {
    arrival->hop_limit = number_in(data);
    present |= MCTX_META_HOP_LIMIT;
  }
  data = next_told(next, IPPROTO_IPV6, IPV6_TCLASS, sizeof(int));
  if (MCTX__MOSTLY(data != NULL)) {
    arrival->traffic_class = number_in(data);
    present |= MCTX_META_TRAFFIC_CLASS;
  }
  return present;
}

/* What stands in front, in the order in which the system tells it: one look for each, and it mostly finds what
 * it found the last time. */
static MCTX__IN_PLACE uint32_t usual_read(cursor *next, mctx__arrival *arrival) {
  uint32_t present = 0;
  const unsigned char *data = next_told(next, SOL_SOCKET, SO_TIMESTAMPNS, sizeof(time_old));
  if (MCTX__MOSTLY(data != NULL)) {
    arrival->time_ns = old_time_in(data);
    present = MCTX_META_TIME;
  }
  data = next_told(next, SOL_SOCKET, SO_RXQ_OVFL, sizeof(uint32_t));
  if (MCTX__SELDOM(data != NULL)) arrival->drops = (uint32_t)number_in(data);
  data = next_told(next, IPPROTO_UDP, UDP_GRO, sizeof(int));
  if (MCTX__SELDOM(data != NULL)) arrival->segment_size = (uint32_t)number_in(data);
  data = next_told(next, IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo));
  if (MCTX__MOSTLY(data != NULL)) {
    ipv4_group_read(data, arrival);
    present |= MCTX_META_GROUP;
  }
  data = next_told(next, IPPROTO_IP, IP_TTL, sizeof(int));
  if (MCTX__MOSTLY(data != NULL)) {
    arrival->hop_limit = number_in(data);
    present |= MCTX_META_HOP_LIMIT;
  }
  data = next_told(next, IPPROTO_IP, IP_TOS, sizeof(uint8_t));
  if (MCTX__MOSTLY(data != NULL)) {
    arrival->traffic_class = *data;
    present |= MCTX_META_TRAFFIC_CLASS;
  }
  return present;
}

/* What stands behind that, whatever it is. */
MCTX__COLD static uint32_t others_read(cursor next, mctx__arrival *arrival) {
  uint32_t present = 0;
  while (next.left >= sizeof(struct cmsghdr)) {
    const size_t whole = control_read((const struct cmsghdr *)(const void *)next.at, arrival, &present);
    if (whole < sizeof(struct cmsghdr) || whole >= next.left) break;
    next.at += whole;
    next.left -= whole;
  }
  return present;
}

/* What the control messages told. */
static MCTX__IN_PLACE uint32_t controls_read(const unsigned char *at, size_t length, mctx__arrival *arrival) {
  cursor next = {at, length};
  uint32_t present = usual_read(&next, arrival);
  if (MCTX__SELDOM(next.left != 0)) present |= usual_ipv6_read(&next, arrival);
  return MCTX__MOSTLY(next.left == 0) ? present : present | others_read(next, arrival);
}

/* The lengths, given what the system said. */
static inline void lengths_set(mctx__arrival *arrival, uint64_t length, uint64_t room) {
  arrival->length = length;
  arrival->truncated = arrival->length > room;
  arrival->stored = arrival->truncated ? room : arrival->length;
}

/* A fifth cheaper than a call that may bring more. */
mctx__result mctx__socket_receive_bare(mctx__socket socket, mctx__span span, uint64_t *length) {
  const ssize_t received = recv(mctx__descriptor(socket), span.data, span.length, FLAGS);
  if (MCTX__SELDOM(received < 0)) return mctx__failure(errno, MCTX__ASKED_OTHER);
  *length = (uint64_t)received;
  return MCTX__DONE;
}

/* The payload alone. */
static mctx__result bare_receive(mctx__socket socket, const mctx__span *span, mctx__arrival *arrival) {
  uint64_t length = 0;
  const mctx__result result = mctx__socket_receive_bare(socket, *span, &length);
  if (result.status != MCTX_OK) return result;
  lengths_set(arrival, length, span->length);
  arrival->segment_size = 0;
  arrival->present = 0;
  return result;
}

/* The payload and its source. */
static MCTX__APART mctx__result sourced_receive(int descriptor, const mctx__span *span,
                                                mctx__arrival *arrival) {
  sockaddr_either source;
  socklen_t length = sizeof source;
  source.v6.sin6_family = AF_UNSPEC;
  const ssize_t received =
      recvfrom(descriptor, span->data, span->length, FLAGS, (struct sockaddr *)&source, &length);
  if (received < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  lengths_set(arrival, (uint64_t)received, span->length);
  arrival->segment_size = 0;
  source_read(&source, arrival);
  arrival->present = MCTX_META_SOURCE;
  return MCTX__DONE;
}

/* What one message needs around it. */
typedef struct envelope {
  sockaddr_either source;
  _Alignas(struct cmsghdr) unsigned char control[CONTROL_SIZE];
} envelope;

/* Spans are what the system calls them; it reads them only. */
_Static_assert(sizeof(mctx__span) == sizeof(struct iovec) &&
                   offsetof(mctx__span, data) == offsetof(struct iovec, iov_base) &&
                   offsetof(mctx__span, length) == offsetof(struct iovec, iov_len),
               "spans are vectors");

static inline struct iovec *vectors_of(const mctx__span *spans) {
  return (struct iovec *)(uintptr_t)spans;
}

static inline bool wants_source(uint32_t wanted) {
  return (wanted & MCTX_META_SOURCE) != 0;
}

static inline bool wants_control(uint32_t wanted, bool coalescing) {
  return (wanted & ~(uint32_t)MCTX_META_SOURCE) != 0 || coalescing;
}

static MCTX__IN_PLACE void prepare(struct msghdr *message, envelope *own, uint32_t wanted, bool coalescing,
                                   const mctx__span spans[2]) {
  *message = (struct msghdr){.msg_iov = vectors_of(spans), .msg_iovlen = spans[1].length != 0 ? 2 : 1};
  if (wants_source(wanted)) {
    own->source.v4.sin_family = AF_UNSPEC;
    message->msg_name = &own->source;
    message->msg_namelen = sizeof own->source;
  }
  if (wants_control(wanted, coalescing)) {
    message->msg_control = own->control;
    message->msg_controllen = sizeof own->control;
  }
}

static MCTX__IN_PLACE void finish(const struct msghdr *message, const envelope *own, uint32_t wanted,
                                  const mctx__span spans[2], uint64_t length, mctx__arrival *arrival) {
  lengths_set(arrival, length, (uint64_t)spans[0].length + spans[1].length);
  arrival->segment_size = 0;
  arrival->drops = 0; /* a socket that lost nothing does not say so */
  const uint32_t told = controls_read(message->msg_control, message->msg_controllen, arrival);
  if (wants_source(wanted)) source_read(&own->source, arrival);
  arrival->present = wanted & (told | MCTX_META_SOURCE | MCTX_META_DROPS);
}

static MCTX__APART mctx__result full_receive(int descriptor, uint32_t wanted, bool coalescing,
                                             const mctx__span spans[2], mctx__arrival *arrival) {
  envelope own;
  struct msghdr message;
  prepare(&message, &own, wanted, coalescing, spans);
  const ssize_t length = recvmsg(descriptor, &message, FLAGS);
  if (length < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  finish(&message, &own, wanted, spans, (uint64_t)length, arrival);
  return MCTX__DONE;
}

mctx__result mctx__socket_receive(mctx__socket socket, uint32_t wanted, bool coalescing,
                                  const mctx__span spans[2], mctx__arrival *arrival) {
  const int descriptor = mctx__descriptor(socket);
  if (wants_control(wanted, coalescing) || spans[1].length != 0)
    return full_receive(descriptor, wanted, coalescing, spans, arrival);
  if (wants_source(wanted)) return sourced_receive(descriptor, spans, arrival);
  return bare_receive(socket, spans, arrival);
}

/* After an error behind the first message, the system keeps it for the next call. */
mctx__result mctx__socket_receive_many(mctx__socket socket, uint32_t wanted, bool coalescing,
                                       const mctx__span (*spans)[2], uint32_t count, mctx__arrival *arrivals,
                                       uint32_t *received) {
  envelope own[MCTX__RECEIVE_MANY_MAX];
  struct mmsghdr messages[MCTX__RECEIVE_MANY_MAX];
  *received = 0;
  if (count > MCTX__RECEIVE_MANY_MAX) count = MCTX__RECEIVE_MANY_MAX;
  for (uint32_t i = 0; i < count; i++)
    prepare(&messages[i].msg_hdr, &own[i], wanted, coalescing, spans[i]);
  const int taken = recvmmsg(mctx__descriptor(socket), messages, count, FLAGS, NULL);
  if (taken < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  for (uint32_t i = 0; i < count && i < (uint32_t)taken; i++)
    finish(&messages[i].msg_hdr, &own[i], wanted, spans[i], messages[i].msg_len, &arrivals[i]);
  *received = (uint32_t)taken;
  return MCTX__DONE;
}

uint32_t mctx__receive_clock(void) {
  return MCTX_CLOCK_SYSTEM;
}

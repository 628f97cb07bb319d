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

static inline bool is_of(const struct cmsghdr *control, int level, int type, size_t size) {
  return control->cmsg_level == level && control->cmsg_type == type && control->cmsg_len >= CMSG_LEN(size);
}

static inline int number_in(const struct cmsghdr *control) {
  int number;
  memcpy(&number, CMSG_DATA(control), sizeof number);
  return number;
}

/* ---- addresses: written in place, in whole words, which is half the cost of a message ---- */

static inline void ipv4_put(mctx_address *address, const void *bytes, uint16_t port) {
  uint32_t words[4] = {0};
  memcpy(words, bytes, sizeof words[0]);
  address->family = 4;
  address->prefix = 0;
  address->port = port;
  address->scope_id = 0;
  memcpy(address->bytes, words, sizeof words);
}

static inline void ipv6_put(mctx_address *address, const void *bytes, uint16_t port, uint32_t scope_id) {
  address->family = 6;
  address->prefix = 0;
  address->port = port;
  address->scope_id = scope_id;
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
    ipv4_put(&arrival->source, &source->v4.sin_addr, ntohs(source->v4.sin_port));
  } else {
    ipv6_put(&arrival->source, &source->v6.sin6_addr, ntohs(source->v6.sin6_port), source->v6.sin6_scope_id);
  }
  arrival->present |= MCTX_META_SOURCE;
}

/* ---- control messages ---- */

static inline void ipv4_control(const struct cmsghdr *control, mctx__arrival *arrival) {
  if (is_of(control, IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo))) {
    const struct in_pktinfo *info = (const struct in_pktinfo *)(const void *)CMSG_DATA(control);
    arrival->interface_index = (uint32_t)info->ipi_ifindex;
    ipv4_put(&arrival->group, &info->ipi_addr, 0);
    arrival->present |= MCTX_META_GROUP;
  } else if (is_of(control, IPPROTO_IP, IP_TTL, sizeof(int))) {
    arrival->hop_limit = number_in(control);
    arrival->present |= MCTX_META_HOP_LIMIT;
  } else if (is_of(control, IPPROTO_IP, IP_TOS, 1)) {
    arrival->traffic_class = *CMSG_DATA(control);
    arrival->present |= MCTX_META_TRAFFIC_CLASS;
  }
}

static inline void ipv6_control(const struct cmsghdr *control, mctx__arrival *arrival) {
  if (is_of(control, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(struct in6_pktinfo))) {
    const struct in6_pktinfo *info = (const struct in6_pktinfo *)(const void *)CMSG_DATA(control);
    const uint8_t *bytes = info->ipi6_addr.s6_addr;
    arrival->interface_index = (uint32_t)info->ipi6_ifindex;
    ipv6_put(&arrival->group, bytes, 0, wants_scope(bytes) ? (uint32_t)info->ipi6_ifindex : 0);
    arrival->present |= MCTX_META_GROUP;
  } else if (is_of(control, IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof(int))) {
    arrival->hop_limit = number_in(control);
    arrival->present |= MCTX_META_HOP_LIMIT;
  } else if (is_of(control, IPPROTO_IPV6, IPV6_TCLASS, sizeof(int))) {
    arrival->traffic_class = number_in(control);
    arrival->present |= MCTX_META_TRAFFIC_CLASS;
  }
}

static inline void socket_control(const struct cmsghdr *control, mctx__arrival *arrival) {
  if (is_of(control, SOL_SOCKET, SO_TIMESTAMPNS_OLD, sizeof(time_old))) {
    const time_old *time = (const time_old *)(const void *)CMSG_DATA(control);
    arrival->time_ns = (int64_t)time->seconds * NS_PER_S + time->nanoseconds;
    arrival->present |= MCTX_META_TIME;
  } else if (is_of(control, SOL_SOCKET, SO_TIMESTAMPNS_NEW, sizeof(time_new))) {
    time_new time; /* where a long has 32 bits, at a multiple of four */
    memcpy(&time, CMSG_DATA(control), sizeof time);
    arrival->time_ns = time.seconds * NS_PER_S + time.nanoseconds;
    arrival->present |= MCTX_META_TIME;
  } else if (is_of(control, SOL_SOCKET, SO_RXQ_OVFL, sizeof(uint32_t))) {
    arrival->drops = (uint32_t)number_in(control);
    arrival->present |= MCTX_META_DROPS;
  }
}

static inline void control_read(const struct cmsghdr *control, mctx__arrival *arrival) {
  switch (control->cmsg_level) {
    case SOL_SOCKET:
      socket_control(control, arrival);
      break;
    case IPPROTO_IP:
      ipv4_control(control, arrival);
      break;
    case IPPROTO_IPV6:
      ipv6_control(control, arrival);
      break;
    default:
      if (is_of(control, IPPROTO_UDP, UDP_GRO, sizeof(int))) {
        arrival->segment_size = (uint32_t)number_in(control);
      }
  }
}

/* The system's own bytes: each message is as long as it says, and cut where they end. */
static inline void controls_read(const unsigned char *at, size_t length, mctx__arrival *arrival) {
  while (length >= sizeof(struct cmsghdr)) {
    const struct cmsghdr *control = (const struct cmsghdr *)(const void *)at;
    const size_t whole = CMSG_ALIGN(control->cmsg_len);
    control_read(control, arrival);
    if (whole < sizeof *control || whole >= length) return;
    at += whole;
    length -= whole;
  }
}

/* Nothing but the payload is of interest. */
static mctx__result payload_receive(int descriptor, const mctx__span *span, mctx__arrival *arrival) {
  const ssize_t received = recv(descriptor, span->data, span->length, FLAGS);
  if (received < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  arrival->present = 0;
  arrival->segment_size = 0;
  arrival->length = (uint64_t)received;
  arrival->truncated = arrival->length > span->length;
  arrival->stored = arrival->truncated ? span->length : arrival->length;
  return MCTX__DONE;
}

mctx__result mctx__socket_receive(mctx__socket socket, uint32_t wanted, bool coalescing,
                                  const mctx__span spans[2], mctx__arrival *arrival) {
  if (wanted == 0 && !coalescing && spans[1].length == 0) {
    return payload_receive(mctx__descriptor(socket), spans, arrival);
  }
  _Alignas(struct cmsghdr) unsigned char control[CONTROL_SIZE];
  sockaddr_either source;
  struct iovec into[2] = {{spans[0].data, spans[0].length}, {spans[1].data, spans[1].length}};
  struct msghdr message = {.msg_iov = into, .msg_iovlen = spans[1].length != 0 ? 2 : 1};
  if ((wanted & MCTX_META_SOURCE) != 0) {
    message.msg_name = &source;
    message.msg_namelen = sizeof source;
  }
  if ((wanted & ~(uint32_t)MCTX_META_SOURCE) != 0 || coalescing) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
  const ssize_t received = recvmsg(mctx__descriptor(socket), &message, FLAGS);
  if (received < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  const uint64_t room = (uint64_t)spans[0].length + spans[1].length;
  arrival->length = (uint64_t)received;
  arrival->truncated = arrival->length > room;
  arrival->stored = arrival->truncated ? room : arrival->length;
  arrival->segment_size = 0;
  /* A socket that lost nothing does not say so. */
  arrival->drops = 0;
  arrival->present = MCTX_META_DROPS;
  if ((wanted & MCTX_META_SOURCE) != 0) source_read(&source, arrival);
  controls_read(control, message.msg_controllen, arrival);
  arrival->present &= wanted;
  return MCTX__DONE;
}

uint32_t mctx__receive_clock(void) {
  return MCTX_CLOCK_SYSTEM;
}

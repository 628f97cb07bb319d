/* SPDX-License-Identifier: MIT */
/* Options of sockets. */
#include "../posix/posix.h"

#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>

#include "linux.h"

/* Options that are a number of the system, as they are. */
typedef struct native_option {
  int level;
  int name;
} native_option;

enum { FAMILIES = 2, OPTIONS = MCTX__NONBLOCKING + 1 };

static const native_option natives[OPTIONS][FAMILIES] = {
    [MCTX__HOP_LIMIT] = {{IPPROTO_IP, IP_MULTICAST_TTL}, {IPPROTO_IPV6, IPV6_MULTICAST_HOPS}},
    [MCTX__LOOPBACK] = {{IPPROTO_IP, IP_MULTICAST_LOOP}, {IPPROTO_IPV6, IPV6_MULTICAST_LOOP}},
    [MCTX__DSCP] = {{IPPROTO_IP, IP_TOS}, {IPPROTO_IPV6, IPV6_TCLASS}},
    [MCTX__SEND_BUFFER] = {{SOL_SOCKET, SO_SNDBUF}, {SOL_SOCKET, SO_SNDBUF}},
    /* For multicast, SO_REUSEADDR is what lets several sockets have the port. */
    [MCTX__REUSE_PORT] = {{SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_REUSEADDR}},
    [MCTX__ERROR_QUEUE] = {{IPPROTO_IP, IP_RECVERR}, {IPPROTO_IPV6, IPV6_RECVERR}},
    [MCTX__DONT_FRAGMENT] = {{IPPROTO_IP, IP_MTU_DISCOVER}, {IPPROTO_IPV6, IPV6_MTU_DISCOVER}},
    [MCTX__PRIORITY] = {{SOL_SOCKET, SO_PRIORITY}, {SOL_SOCKET, SO_PRIORITY}},
    [MCTX__MARK] = {{SOL_SOCKET, SO_MARK}, {SOL_SOCKET, SO_MARK}},
    [MCTX__ISOLATED] = {{IPPROTO_IP, IP_MULTICAST_ALL}, {IPPROTO_IPV6, IPV6_MULTICAST_ALL}},
    [MCTX__RECEIVE_BUFFER] = {{SOL_SOCKET, SO_RCVBUF}, {SOL_SOCKET, SO_RCVBUF}},
    [MCTX__COALESCING] = {{IPPROTO_UDP, UDP_GRO}, {IPPROTO_UDP, UDP_GRO}},
    [MCTX__SEGMENT_SIZE] = {{IPPROTO_UDP, UDP_SEGMENT}, {IPPROTO_UDP, UDP_SEGMENT}},
    [MCTX__CORKED] = {{IPPROTO_UDP, UDP_CORK}, {IPPROTO_UDP, UDP_CORK}},
};

static mctx__result number_set(int descriptor, native_option option, int value) {
  if (setsockopt(descriptor, option.level, option.name, &value, sizeof value) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_OTHER);
}

static mctx__result number_get(int descriptor, native_option option, int *value) {
  socklen_t length = sizeof *value;
  if (getsockopt(descriptor, option.level, option.name, value, &length) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_OTHER);
}

static mctx__result nonblocking_set(int descriptor, int64_t value) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  const int wanted = value != 0 ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted == flags || fcntl(descriptor, F_SETFL, wanted) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_OTHER);
}

static mctx__result nonblocking_get(int descriptor, int64_t *value) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  *value = (flags & O_NONBLOCK) != 0;
  return MCTX__DONE;
}

/* The system counts twice what was asked, silently cuts it to its maximum, and doubles in an int. */
static mctx__result buffer_set(int descriptor, mctx__option buffer, int64_t value) {
  const int asked = value < INT_MAX / 2 ? (int)value : INT_MAX / 2;
  const native_option option = natives[buffer][0];
  const native_option force = {SOL_SOCKET, buffer == MCTX__SEND_BUFFER ? SO_SNDBUFFORCE : SO_RCVBUFFORCE};
  int granted = 0;
  mctx__result result = number_set(descriptor, option, asked);
  if (result.status != MCTX_OK) return result;
  result = number_get(descriptor, option, &granted);
  if (result.status != MCTX_OK) return result;
  if (granted / 2 < asked)
    (void)number_set(descriptor, force, asked); /* wants rights: not having them is fine */
  return MCTX__DONE;
}

/* ---- pacing ----
 *
 * The system's rate is a long since Linux 4.20, an unsigned int before; all bits set: none. It tells how much
 * of an answer it filled. For UDP it only ever lowers the rate that its queues keep to. */

#define NO_RATE32      UINT32_MAX
#define LARGEST_RATE32 (UINT32_MAX - 1)

static mctx__result rate_set(int descriptor, const void *rate, socklen_t length) {
  if (setsockopt(descriptor, SOL_SOCKET, SO_MAX_PACING_RATE, rate, length) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_OTHER);
}

static mctx__result pacing_get(int descriptor, int64_t *value) {
  unsigned char answer[sizeof(uint64_t)] = {0};
  uint64_t wide;
  uint32_t narrow;
  socklen_t length = sizeof answer;
  if (getsockopt(descriptor, SOL_SOCKET, SO_MAX_PACING_RATE, answer, &length) != 0)
    return mctx__failure(errno, MCTX__ASKED_OTHER);
  memcpy(&wide, answer, sizeof wide);
  memcpy(&narrow, answer, sizeof narrow);
  if (length < sizeof wide) wide = narrow == NO_RATE32 ? UINT64_MAX : narrow;
  *value = wide > INT64_MAX ? 0 : (int64_t)wide;
  return MCTX__DONE;
}

/* What 32 bits cannot hold is tried with 64; a system that misread that gets the largest of 32. */
static mctx__result pacing_set(int descriptor, int64_t value) {
  const uint64_t wide = (uint64_t)value;
  const uint32_t narrow = value == 0 ? NO_RATE32 : value < LARGEST_RATE32 ? (uint32_t)value : LARGEST_RATE32;
  int64_t in_effect = 0;
  if (value > LARGEST_RATE32) {
    mctx__result result = rate_set(descriptor, &wide, sizeof wide);
    if (result.status == MCTX_OK) result = pacing_get(descriptor, &in_effect);
    if (result.status != MCTX_OK || in_effect == value) return result;
  }
  return rate_set(descriptor, &narrow, sizeof narrow);
}

/* ---- metadata ---- */

/* What makes the system tell each of the metadata; the source it always tells. */
static const struct {
  uint32_t bit;
  native_option options[FAMILIES];
} collectors[] = {
    {MCTX_META_GROUP, {{IPPROTO_IP, IP_PKTINFO}, {IPPROTO_IPV6, IPV6_RECVPKTINFO}}},
    {MCTX_META_HOP_LIMIT, {{IPPROTO_IP, IP_RECVTTL}, {IPPROTO_IPV6, IPV6_RECVHOPLIMIT}}},
    {MCTX_META_TRAFFIC_CLASS, {{IPPROTO_IP, IP_RECVTOS}, {IPPROTO_IPV6, IPV6_RECVTCLASS}}},
/* The first that the system has. Where a long has 64 bits, both say the same, and the older is everywhere. */
#if LONG_MAX <= INT32_MAX
    {MCTX_META_TIME, {{SOL_SOCKET, SO_TIMESTAMPNS_NEW}, {SOL_SOCKET, SO_TIMESTAMPNS_NEW}}},
#endif
    {MCTX_META_TIME, {{SOL_SOCKET, SO_TIMESTAMPNS_OLD}, {SOL_SOCKET, SO_TIMESTAMPNS_OLD}}},
    {MCTX_META_DROPS, {{SOL_SOCKET, SO_RXQ_OVFL}, {SOL_SOCKET, SO_RXQ_OVFL}}},
};

enum { COLLECTORS = sizeof collectors / sizeof collectors[0] };

static mctx__result metadata_set(int descriptor, uint32_t family, int64_t wanted) {
  uint32_t set = 0;
  for (size_t i = 0; i < COLLECTORS; i++) {
    const uint32_t bit = collectors[i].bit;
    if ((set & bit) != 0) continue;
    const mctx__result result =
        number_set(descriptor, collectors[i].options[family == 6], ((uint32_t)wanted & bit) != 0);
    if (result.status == MCTX_OK) set |= bit;
    if (result.status != MCTX_OK && result.status != MCTX_ERR_UNSUPPORTED) return result;
  }
  return MCTX__DONE;
}

static mctx__result metadata_get(int descriptor, uint32_t family, int64_t *collected) {
  uint32_t found = MCTX_META_SOURCE;
  for (size_t i = 0; i < COLLECTORS; i++) {
    int on = 0;
    const mctx__result result = number_get(descriptor, collectors[i].options[family == 6], &on);
    if (result.status != MCTX_OK && result.status != MCTX_ERR_UNSUPPORTED) return result;
    if (on != 0) found |= collectors[i].bit;
  }
  *collected = found;
  return MCTX__DONE;
}

/* 0, 1 and MCTX_AUTO as the contract says; settings beside these as 256 and more, to be restored as they were.
 */
enum { OTHER_DISCOVERY = 256 };

static int discovery_of(int64_t value) {
  if (value == MCTX_AUTO) return IP_PMTUDISC_WANT;
  if (value >= OTHER_DISCOVERY) return (int)(value - OTHER_DISCOVERY);
  return value != 0 ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
}

static int64_t dont_fragment_of(int discovery) {
  switch (discovery) {
    case IP_PMTUDISC_DONT:
      return 0;
    case IP_PMTUDISC_DO:
      return 1;
    case IP_PMTUDISC_WANT:
      return MCTX_AUTO;
    default:
      return OTHER_DISCOVERY + discovery;
  }
}

/* An older system lacks IPV6_MULTICAST_ALL, and has nothing to switch off. */
static bool lacks_isolation(uint32_t family, mctx__option option, mctx__result result) {
  return option == MCTX__ISOLATED && family == 6 && result.os_code == ENOPROTOOPT;
}

/* An option's value in the system's terms. */
static int to_native(mctx__option option, int64_t value) {
  switch (option) {
    case MCTX__DSCP:
      return (int)(value << 2);
    case MCTX__DONT_FRAGMENT:
      return discovery_of(value);
    case MCTX__MARK:
      return (int)(uint32_t)value;
    case MCTX__ISOLATED:
      return value == 0;
    default:
      return (int)value;
  }
}

static int64_t from_native(mctx__option option, int value) {
  switch (option) {
    case MCTX__DSCP:
      return value >> 2;
    case MCTX__DONT_FRAGMENT:
      return dont_fragment_of(value);
    case MCTX__MARK:
      return (uint32_t)value;
    case MCTX__ISOLATED:
      return value == 0;
    default:
      return value;
  }
}

/* The ECN bits share a byte with the DSCP and stay as they are: 0, unless the socket's owner set them. */
static mctx__result dscp_set(int descriptor, uint32_t family, int64_t value) {
  const native_option option = natives[MCTX__DSCP][family == 6];
  int old = 0;
  const mctx__result result = number_get(descriptor, option, &old);
  if (result.status != MCTX_OK) return result;
  return number_set(descriptor, option, to_native(MCTX__DSCP, value) | (old & 3));
}

mctx__result mctx__socket_set(mctx__socket socket, uint32_t family, mctx__option option, int64_t value) {
  const int descriptor = mctx__descriptor(socket);
  if (option == MCTX__NONBLOCKING) return nonblocking_set(descriptor, value);
  if (option == MCTX__METADATA) return metadata_set(descriptor, family, value);
  if (option == MCTX__PACING_RATE) return pacing_set(descriptor, value);
  if (option == MCTX__SEND_BUFFER || option == MCTX__RECEIVE_BUFFER)
    return buffer_set(descriptor, option, value);
  if (option == MCTX__DSCP) return dscp_set(descriptor, family, value);
  const mctx__result result = number_set(descriptor, natives[option][family == 6], to_native(option, value));
  return lacks_isolation(family, option, result) ? MCTX__DONE : result;
}

mctx__result mctx__socket_get(mctx__socket socket, uint32_t family, mctx__option option, int64_t *value) {
  const int descriptor = mctx__descriptor(socket);
  int number = 0;
  if (option == MCTX__NONBLOCKING) return nonblocking_get(descriptor, value);
  if (option == MCTX__METADATA) return metadata_get(descriptor, family, value);
  if (option == MCTX__PACING_RATE) return pacing_get(descriptor, value);
  const mctx__result result = number_get(descriptor, natives[option][family == 6], &number);
  if (result.status != MCTX_OK && !lacks_isolation(family, option, result)) return result;
  *value = from_native(option, number);
  return MCTX__DONE;
}

mctx__result mctx__socket_set_interface(mctx__socket socket, uint32_t family, uint32_t index) {
  const int descriptor = mctx__descriptor(socket);
  const struct ip_mreqn request = {.imr_ifindex = (int)index};
  const int number = (int)index;
  const int failed = family == 6
                         ? setsockopt(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_IF, &number, sizeof number)
                         : setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
  return failed == 0 ? MCTX__DONE : mctx__failure(errno, MCTX__ASKED_INTERFACE);
}

mctx__result mctx__socket_get_interface(mctx__socket socket, uint32_t family, uint32_t *index) {
  int number = 0;
  if (family != 6) { /* the system tells an address, if one was set, and never the index */
    *index = 0;
    return MCTX__DONE;
  }
  const mctx__result result =
      number_get(mctx__descriptor(socket), (native_option){IPPROTO_IPV6, IPV6_MULTICAST_IF}, &number);
  if (result.status == MCTX_OK) *index = (uint32_t)number;
  return result;
}

mctx__result mctx__socket_bind_device(mctx__socket socket, const char *name) {
  char device[IFNAMSIZ] = {0};
  const size_t length = name != NULL ? strlen(name) : 0;
  /* The system would cut a longer name, and take no name as a wish to be unbound. */
  if (name != NULL && (length == 0 || length >= sizeof device)) {
    return mctx__failure(ENODEV, MCTX__ASKED_INTERFACE);
  }
  if (name != NULL) memcpy(device, name, length);
  if (setsockopt(mctx__descriptor(socket), SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)length) == 0) {
    return MCTX__DONE;
  }
  return mctx__failure(errno, MCTX__ASKED_INTERFACE);
}

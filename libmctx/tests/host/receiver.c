/* SPDX-License-Identifier: MIT */
/* Plain receiving sockets. */
#include "host.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void enable(int receiver, int level, int option, int value) {
  assert_int_equal(0, setsockopt(receiver, level, option, &value, sizeof value));
}

socklen_t native_address(struct sockaddr_storage *native, const mctx_address *address) {
  memset(native, 0, sizeof *native);
  if (address->family == 4) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)native;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    memcpy(&v4->sin_addr, address->bytes, 4);
    return sizeof *v4;
  }
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)native;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(address->port);
  v6->sin6_scope_id = address->scope_id;
  memcpy(&v6->sin6_addr, address->bytes, 16);
  return sizeof *v6;
}

static void ask_for_everything(int receiver, uint32_t family) {
  enable(receiver, SOL_SOCKET, SO_REUSEADDR, 1);
  enable(receiver, SOL_SOCKET, SO_RCVBUF, 8 << 20);
  setsockopt(receiver, SOL_SOCKET, SO_RCVBUFFORCE, &(int){8 << 20}, sizeof(int));
  if (family == 4) {
    enable(receiver, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    enable(receiver, IPPROTO_IP, IP_PKTINFO, 1);
    enable(receiver, IPPROTO_IP, IP_RECVTTL, 1);
    enable(receiver, IPPROTO_IP, IP_RECVTOS, 1);
  } else {
    enable(receiver, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    enable(receiver, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    enable(receiver, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    enable(receiver, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    enable(receiver, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  }
}

int receiver_open(const char *group, const char *interface) {
  struct sockaddr_storage native;
  mctx_address address = address_of(group);
  mctx_address wildcard = {.family = address.family, .port = address.port};
  int receiver = socket(address.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(receiver >= 0);
  ask_for_everything(receiver, address.family);
  socklen_t length = native_address(&native, &wildcard);
  assert_int_equal(0, bind(receiver, (struct sockaddr *)&native, length));
  struct group_req join = {.gr_interface = host_index(interface)};
  native_address(&join.gr_group, &address);
  int level = address.family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
  assert_int_equal(0, setsockopt(receiver, level, MCAST_JOIN_GROUP, &join, sizeof join));
  return receiver;
}

int receiver_there(const char *group, const char *interface) {
  there_begin();
  int receiver = receiver_open(group, interface);
  there_end();
  return receiver;
}

/* ---- what a control message says ---- */

static int number_in(const struct cmsghdr *control) {
  int number = 0;
  size_t length = control->cmsg_len - CMSG_LEN(0);
  memcpy(&number, CMSG_DATA(control), length < sizeof number ? length : sizeof number);
  return number;
}

static void note_ipv4(arrival *seen, const struct cmsghdr *control) {
  struct in_pktinfo where;
  if (control->cmsg_type == IP_TTL) seen->hop_limit = number_in(control);
  if (control->cmsg_type == IP_TOS) seen->traffic_class = number_in(control);
  if (control->cmsg_type != IP_PKTINFO) return;
  memcpy(&where, CMSG_DATA(control), sizeof where);
  seen->interface_index = (uint32_t)where.ipi_ifindex;
  seen->group.family = 4;
  memcpy(seen->group.bytes, &where.ipi_addr, 4);
}

static void note_ipv6(arrival *seen, const struct cmsghdr *control) {
  struct in6_pktinfo where;
  if (control->cmsg_type == IPV6_HOPLIMIT) seen->hop_limit = number_in(control);
  if (control->cmsg_type == IPV6_TCLASS) seen->traffic_class = number_in(control);
  if (control->cmsg_type != IPV6_PKTINFO) return;
  memcpy(&where, CMSG_DATA(control), sizeof where);
  seen->interface_index = where.ipi6_ifindex;
  seen->group.family = 6;
  memcpy(seen->group.bytes, &where.ipi6_addr, 16);
}

static mctx_address from_native(const struct sockaddr_storage *native) {
  mctx_address address = {0};
  if (native->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)native;
    address.family = 4;
    address.port = ntohs(v4->sin_port);
    memcpy(address.bytes, &v4->sin_addr, 4);
  } else {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)native;
    address.family = 6;
    address.port = ntohs(v6->sin6_port);
    address.scope_id = v6->sin6_scope_id;
    memcpy(address.bytes, &v6->sin6_addr, 16);
  }
  return address;
}

bool receiver_next(int receiver, arrival *seen, int timeout_ms) {
  struct pollfd watched = {.fd = receiver, .events = POLLIN};
  struct sockaddr_storage source;
  struct iovec payload = {seen->data, sizeof seen->data};
  _Alignas(struct cmsghdr) unsigned char control[512];
  struct msghdr message = {.msg_name = &source,
                           .msg_namelen = sizeof source,
                           .msg_iov = &payload,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
  if (poll(&watched, 1, timeout_ms) != 1) return false;
  ssize_t length = recvmsg(receiver, &message, MSG_DONTWAIT);
  if (length < 0) return false;
  seen->length = (size_t)length;
  seen->source = from_native(&source);
  seen->group = (mctx_address){0};
  seen->hop_limit = seen->traffic_class = -1;
  for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each != NULL; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level == IPPROTO_IP) note_ipv4(seen, each);
    if (each->cmsg_level == IPPROTO_IPV6) note_ipv6(seen, each);
  }
  return true;
}

void assert_silent(int receiver, int timeout_ms) {
  static arrival unwanted;
  if (receiver_next(receiver, &unwanted, timeout_ms))
    fail_msg("%zu bytes came that nobody should have sent", unwanted.length);
}

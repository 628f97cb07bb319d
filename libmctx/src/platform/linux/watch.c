/* SPDX-License-Identifier: MIT */
/* Changes of the interfaces, as the kernel announces them (rtnetlink). */
#include "../posix/posix.h"

#include <linux/if_link.h>
#include <unistd.h>

#include "rtnl.h"

enum {
  RECEIVE_BUFFER = 65536,
  ANNOUNCEMENT = 4096, /* of a longer one, the beginning is enough */
  BOUND = 4096         /* announcements in one go: many more than the buffer holds */
};

mctx__result mctx__watch_open(mctx__watch *watch) {
  const struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
                                     .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
  const int size = RECEIVE_BUFFER;
  const int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (descriptor < 0) {
    const mctx__result result = mctx__failure(errno, MCTX__ASKED_OTHER);
    return result.status == MCTX_ERR_FAMILY_UNSUPPORTED ? (mctx__result){MCTX_ERR_UNSUPPORTED, result.os_code}
                                                        : result;
  }
  (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (bind(descriptor, (const struct sockaddr *)&groups, sizeof groups) != 0) {
    const mctx__result result = mctx__failure(errno, MCTX__ASKED_BIND);
    (void)close(descriptor);
    return result;
  }
  *watch = (mctx__watch){descriptor};
  return MCTX__DONE;
}

void mctx__watch_close(mctx__watch watch) {
  mctx__socket_close(mctx__watch_member(watch));
}

void mctx__watch_abandon(mctx__watch watch) {
  mctx__socket_abandon(mctx__watch_member(watch));
}

mctx__socket mctx__watch_member(mctx__watch watch) {
  return (mctx__socket){watch.value};
}

/* The IP versions that the announced MTU does not carry. It may have grown before anybody looks. */
static void mtu_note(const struct nlmsghdr *message, uint32_t index, mctx__changes *changes) {
  mctx__attributes attributes = mctx__attributes_of(message, sizeof(struct ifinfomsg));
  mctx__attribute attribute;
  while (mctx__attributes_next(&attributes, &attribute)) {
    if (attribute.type != IFLA_MTU) continue;
    const uint32_t mtu = mctx__attribute_number(&attribute);
    if (!mctx__mtu_carries(mtu, 6)) mctx__removal_keep(changes, (mctx__removal){index, 6});
    if (!mctx__mtu_carries(mtu, 4)) mctx__removal_keep(changes, (mctx__removal){index, 4});
    return;
  }
}

/* A bridge announces its ports too, and in the words of a removal that one left it; its family tells. */
static void message_note(const struct nlmsghdr *message, mctx__changes *changes) {
  struct ifinfomsg link;
  changes->any = true;
  const bool is_link = message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK;
  if (!is_link || !mctx__netlink_payload(message, &link, sizeof link) || link.ifi_family != AF_UNSPEC) return;
  const uint32_t index = (uint32_t)link.ifi_index;
  if (message->nlmsg_type == RTM_DELLINK)
    mctx__removal_keep(changes, (mctx__removal){index, 0});
  else
    mtu_note(message, index, changes);
}

static void announcement_note(unsigned char *at, size_t length, mctx__changes *changes) {
  while (length >= NLMSG_LENGTH(sizeof(struct ifinfomsg))) {
    struct nlmsghdr *message = (struct nlmsghdr *)(void *)at;
    const size_t whole = NLMSG_ALIGN((size_t)message->nlmsg_len);
    if (message->nlmsg_len > length) message->nlmsg_len = (uint32_t)length; /* cut */
    message_note(message, changes);
    if (whole < sizeof *message || whole >= length) return;
    at += whole;
    length -= whole;
  }
}

void mctx__watch_take(mctx__watch watch, mctx__changes *changes) {
  _Alignas(struct nlmsghdr) unsigned char announcement[ANNOUNCEMENT];
  struct iovec into = {announcement, sizeof announcement};
  *changes = (mctx__changes){.any = false};
  for (int i = 0; i < BOUND; i++) {
    struct sockaddr_nl sender = {0};
    struct msghdr message = {
        .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &into, .msg_iovlen = 1};
    const ssize_t length = recvmsg((int)watch.value, &message, MSG_DONTWAIT);
    if (length >= 0) {
      if (sender.nl_pid == 0) announcement_note(announcement, (size_t)length, changes);
    } else if (errno == ENOBUFS) {
      changes->any = changes->lost = true;
    } else if (errno != EINTR) {
      return;
    }
  }
}

/* SPDX-License-Identifier: MIT */
/* Changes of the interfaces, as the kernel announces them (rtnetlink). */
#include "../posix/posix.h"

#include <string.h>
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

/* Keeps the last ones. */
static void removed_add(mctx__changes *changes, uint32_t index) {
  if (changes->removed_count == MCTX__REMOVED_MAX) {
    memmove(changes->removed, changes->removed + 1, (MCTX__REMOVED_MAX - 1) * sizeof changes->removed[0]);
    changes->removed_count--;
  }
  changes->removed[changes->removed_count++] = index;
}

/* A bridge announces in the same way that a port left it; its family tells. */
static void message_note(const struct nlmsghdr *message, mctx__changes *changes) {
  struct ifinfomsg link;
  changes->any = true;
  if (message->nlmsg_type != RTM_DELLINK || !mctx__netlink_payload(message, &link, sizeof link)) return;
  if (link.ifi_family == AF_UNSPEC) removed_add(changes, (uint32_t)link.ifi_index);
}

static void announcement_note(const unsigned char *at, size_t length, mctx__changes *changes) {
  while (length >= NLMSG_LENGTH(sizeof(struct ifinfomsg))) {
    const struct nlmsghdr *message = (const struct nlmsghdr *)(const void *)at;
    const size_t whole = NLMSG_ALIGN((size_t)message->nlmsg_len);
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
      changes->any = true; /* some were lost */
    } else if (errno != EINTR) {
      return;
    }
  }
}

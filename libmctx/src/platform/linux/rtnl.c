/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include "rtnl.h"

#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536 /* the kernel makes no message of more than 32 KiB */ };

mctx__result mctx__netlink_open(mctx__netlink *netlink) {
  /* The kernel answers within the call that asks, so this is for kernels that are not quite Linux. */
  const struct timeval patience = {.tv_sec = 2};
  netlink->sequence = 0;
  netlink->buffer = mctx__allocate_buffer(BUFFER_SIZE);
  if (netlink->buffer == NULL) return MCTX__NO_MEMORY;
  netlink->descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink->descriptor < 0) {
    const mctx__result result = mctx__failure(errno, MCTX__ASKED_OTHER);
    mctx__release(netlink->buffer);
    return result.status == MCTX_ERR_FAMILY_UNSUPPORTED ? (mctx__result){MCTX_ERR_UNSUPPORTED, result.os_code}
                                                        : result;
  }
  (void)setsockopt(netlink->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return MCTX__DONE;
}

void mctx__netlink_close(mctx__netlink *netlink) {
  (void)close(netlink->descriptor);
  mctx__release(netlink->buffer);
}

/* ---- messages ---- */

mctx__attributes mctx__attributes_of(const struct nlmsghdr *message, size_t header) {
  const size_t skipped = NLMSG_HDRLEN + NLMSG_ALIGN(header);
  if (message->nlmsg_len <= skipped) return (mctx__attributes){NULL, 0};
  return (mctx__attributes){(const unsigned char *)message + skipped, message->nlmsg_len - skipped};
}

mctx__attributes mctx__attributes_in(const mctx__attribute *nested) {
  return (mctx__attributes){nested->data, nested->length};
}

bool mctx__attributes_next(mctx__attributes *attributes, mctx__attribute *next) {
  struct rtattr head;
  if (attributes->left < sizeof head) return false;
  memcpy(&head, attributes->at, sizeof head);
  if (head.rta_len < RTA_LENGTH(0) || head.rta_len > attributes->left) return false;
  *next = (mctx__attribute){.type = head.rta_type & ~(uint32_t)NLA_F_NESTED,
                            .data = attributes->at + RTA_LENGTH(0),
                            .length = head.rta_len - RTA_LENGTH(0)};
  const size_t whole = RTA_ALIGN(head.rta_len);
  const size_t step = whole < attributes->left ? whole : attributes->left;
  attributes->at += step;
  attributes->left -= step;
  return true;
}

uint32_t mctx__attribute_number(const mctx__attribute *attribute) {
  uint32_t number = 0;
  if (attribute->length >= sizeof number) memcpy(&number, attribute->data, sizeof number);
  return number;
}

bool mctx__netlink_payload(const struct nlmsghdr *message, void *payload, size_t size) {
  if (message->nlmsg_len < NLMSG_LENGTH(size)) return false;
  memcpy(payload, (const unsigned char *)message + NLMSG_HDRLEN, size);
  return true;
}

/* ---- questions and answers ---- */

static mctx__result question_send(mctx__netlink *netlink, struct nlmsghdr *request) {
  const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  request->nlmsg_seq = ++netlink->sequence;
  if (sendto(netlink->descriptor, request, request->nlmsg_len, 0, (const struct sockaddr *)&kernel,
             sizeof kernel) >= 0) {
    return MCTX__DONE;
  }
  return mctx__failure(errno, MCTX__ASKED_OTHER);
}

/* Receives a part of an answer; length 0 for what somebody else sent. */
static mctx__result part_receive(mctx__netlink *netlink, size_t *length) {
  struct sockaddr_nl sender = {0};
  struct iovec into = {netlink->buffer, BUFFER_SIZE};
  struct msghdr message = {
      .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &into, .msg_iovlen = 1};
  ssize_t received;
  do {
    received = recvmsg(netlink->descriptor, &message, 0);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return (mctx__result){MCTX_ERR_IO, errno};
  if ((message.msg_flags & MSG_TRUNC) != 0) return (mctx__result){MCTX_ERR_IO, EMSGSIZE};
  *length = sender.nl_pid == 0 ? (size_t)received : 0;
  return MCTX__DONE;
}

/* The errno in the message that ends an answer; 0 for success. */
static int closing_code(const struct nlmsghdr *message) {
  int32_t code = 0;
  (void)mctx__netlink_payload(message, &code, sizeof code);
  return code < 0 ? -code : 0;
}

/* Shows the messages of a part; `over` tells that the answer is complete. */
static mctx__result part_visit(const mctx__netlink *netlink, size_t length, mctx__netlink_visit visit,
                               void *user, bool *torn, bool *over) {
  const unsigned char *at = netlink->buffer;
  while (length >= sizeof(struct nlmsghdr)) {
    const struct nlmsghdr *message = (const struct nlmsghdr *)(const void *)at;
    const size_t whole = NLMSG_ALIGN(message->nlmsg_len);
    if (message->nlmsg_len < sizeof *message || message->nlmsg_len > length) break;
    if (message->nlmsg_seq == netlink->sequence) {
      if (torn != NULL && (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) *torn = true;
      if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
        const int code = closing_code(message);
        *over = true;
        return code == 0 ? MCTX__DONE : mctx__failure(code, MCTX__ASKED_ROUTE);
      }
      const mctx__result result = visit(message, user);
      if (result.status != MCTX_OK) return result;
      if ((message->nlmsg_flags & NLM_F_MULTI) == 0) *over = true;
    }
    if (whole >= length) break;
    at += whole;
    length -= whole;
  }
  return MCTX__DONE;
}

mctx__result mctx__netlink_ask(mctx__netlink *netlink, struct nlmsghdr *request, mctx__netlink_visit visit,
                               void *user, bool *torn) {
  bool over = false;
  mctx__result result = question_send(netlink, request);
  while (result.status == MCTX_OK && !over) {
    size_t length = 0;
    result = part_receive(netlink, &length);
    if (result.status == MCTX_OK) result = part_visit(netlink, length, visit, user, torn, &over);
  }
  return result;
}

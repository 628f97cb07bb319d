/* SPDX-License-Identifier: MIT */
/* Sending, and the error queue. */
#include "../posix/posix.h"

#include <linux/errqueue.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "linux.h"

enum {
  FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL,
  LARGEST = 65535,         /* more than any datagram, and nothing that the system would cut or misread */
  ERROR_QUEUE_BOUND = 1024 /* it holds 255; others may fill it while it is read */
};

static const unsigned char nothing[1]; /* where an empty datagram is */

static struct sockaddr *destination_of(const mctx__endpoint *endpoint) {
  return endpoint->length == 0 ? NULL : (struct sockaddr *)(uintptr_t)endpoint->bytes;
}

mctx__result mctx__socket_send(mctx__socket socket, const mctx__endpoint *endpoint, const void *data,
                               size_t length) {
  const int descriptor = mctx__descriptor(socket);
  const ssize_t sent = endpoint->length == 0 ? send(descriptor, data, length, FLAGS)
                                             : sendto(descriptor, data, length, FLAGS, destination_of(endpoint),
                                                      (socklen_t)endpoint->length);
  return sent >= 0 ? MCTX__DONE : mctx__failure(errno, MCTX__ASKED_SEND);
}

mctx__result mctx__socket_send_many(mctx__socket socket, const mctx__endpoint *endpoint,
                                    const mctx_slice *slices, uint32_t count, uint32_t *taken) {
  struct mmsghdr messages[MCTX__SEND_MANY_MAX];
  struct iovec payloads[MCTX__SEND_MANY_MAX];
  const struct msghdr header = {
      .msg_name = destination_of(endpoint), .msg_namelen = (socklen_t)endpoint->length, .msg_iovlen = 1};
  uint32_t ready = 0;
  *taken = 0;
  if (count > MCTX__SEND_MANY_MAX) count = MCTX__SEND_MANY_MAX;
  for (; ready < count && slices[ready].length <= LARGEST; ready++) {
    const size_t length = (size_t)slices[ready].length;
    payloads[ready].iov_base = (void *)(uintptr_t)(length != 0 ? slices[ready].data : nothing);
    payloads[ready].iov_len = length;
    messages[ready].msg_hdr = header;
    messages[ready].msg_hdr.msg_iov = &payloads[ready];
  }
  if (ready == 0) return count == 0 ? MCTX__DONE : mctx__failure(EMSGSIZE, MCTX__ASKED_SEND);
  const int sent = sendmmsg(mctx__descriptor(socket), messages, ready, FLAGS);
  if (sent < 0) return mctx__failure(errno, MCTX__ASKED_SEND);
  *taken = (uint32_t)sent;
  return MCTX__DONE;
}

/* ---- the error queue ---- */

static void count_error(struct msghdr *message, mctx__drained *drained) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
       control = CMSG_NXTHDR(message, control)) {
    struct sock_extended_err error;
    const bool is_error = (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR) ||
                          (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR);
    if (!is_error || control->cmsg_len < CMSG_LEN(sizeof error)) continue;
    memcpy(&error, CMSG_DATA(control), sizeof error);
    if (error.ee_origin == SO_EE_ORIGIN_LOCAL) drained->local++;
    if (error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6) drained->network++;
  }
}

void mctx__socket_drain_errors(mctx__socket socket, uint32_t family, mctx__drained *drained) {
  const int descriptor = mctx__descriptor(socket);
  int pending = 0;
  socklen_t length = sizeof pending;
  (void)family; /* the control messages tell */
  *drained = (mctx__drained){0, 0};
  for (int i = 0; i < ERROR_QUEUE_BOUND; i++) {
    _Alignas(struct cmsghdr) unsigned char control[1024];
    struct msghdr message = {.msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(descriptor, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
    count_error(&message, drained);
  }
  if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &pending, &length) != 0 || pending == 0) return;
  /* Without a queue, an error that came in by ICMP is only pending. */
  if (drained->local == 0 && drained->network == 0) drained->network = 1;
}

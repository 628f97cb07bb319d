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

/* ---- where to ----
 *
 * IPv6 goes on sending from an address that was removed, unless each datagram names it: then the system looks.
 * Such an endpoint is guarded: the source stands behind the destination, and the length has a bit more. */

enum { GUARDED = 0x10000, SOURCE_AT = 32 };

_Static_assert(sizeof(struct sockaddr_in6) <= SOURCE_AT &&
                   SOURCE_AT + sizeof(struct in6_addr) <= sizeof((mctx__endpoint){.length = 0}.bytes),
               "destination and source fit");

void mctx__endpoint_guard(mctx__endpoint *endpoint, const mctx_address *source) {
  /* What is bound to a link-local address is held to its interface by other means. */
  if (source->family != 6 || mctx__is_scoped(source)) return;
  memcpy(endpoint->bytes + SOURCE_AT, source->bytes, sizeof source->bytes);
  endpoint->length |= GUARDED;
}

/* What a guarded endpoint says beside each datagram. */
typedef struct guard {
  _Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
} guard;

static void guard_make(guard *own, const mctx__endpoint *endpoint) {
  struct in6_pktinfo info = {.ipi6_ifindex = 0};
  struct cmsghdr *control = (struct cmsghdr *)(void *)own->control;
  memset(own, 0, sizeof *own);
  control->cmsg_level = IPPROTO_IPV6;
  control->cmsg_type = IPV6_PKTINFO;
  control->cmsg_len = CMSG_LEN(sizeof info);
  memcpy(&info.ipi6_addr, endpoint->bytes + SOURCE_AT, sizeof info.ipi6_addr);
  memcpy(CMSG_DATA(control), &info, sizeof info);
}

/* Puts it beside messages; those that are sent to the connection lose the name that they were given. */
MCTX__COLD static void guard_messages(guard *own, const mctx__endpoint *endpoint, struct mmsghdr *messages,
                                      uint32_t count) {
  const socklen_t length = endpoint->length & ~(uint32_t)GUARDED;
  guard_make(own, endpoint);
  for (uint32_t i = 0; i < count; i++) {
    struct msghdr *header = &messages[i].msg_hdr;
    header->msg_name = length != 0 ? (void *)(uintptr_t)endpoint->bytes : NULL;
    header->msg_namelen = length;
    header->msg_control = own->control;
    header->msg_controllen = sizeof own->control;
  }
}

static mctx__result refusal_of(const mctx__endpoint *endpoint, int code) {
  /* That the source is none of this host's any more. */
  if (code == EINVAL && (endpoint->length & GUARDED) != 0) return (mctx__result){MCTX_ERR_NO_ROUTE, code};
  return mctx__failure(code, MCTX__ASKED_SEND);
}

/* ---- sending ---- */

MCTX__COLD static mctx__result send_guarded(int descriptor, const mctx__endpoint *endpoint, const void *data,
                                            size_t length) {
  guard own;
  struct iovec payload = {(void *)(uintptr_t)data, length};
  struct mmsghdr message = {.msg_hdr = {.msg_iov = &payload, .msg_iovlen = 1}};
  guard_messages(&own, endpoint, &message, 1);
  if (sendmsg(descriptor, &message.msg_hdr, FLAGS) >= 0) return MCTX__DONE;
  return refusal_of(endpoint, errno);
}

static struct sockaddr *destination_of(const mctx__endpoint *endpoint) {
  return endpoint->length == 0 ? NULL : (struct sockaddr *)(uintptr_t)endpoint->bytes;
}

mctx__result mctx__socket_send(mctx__socket socket, const mctx__endpoint *endpoint, const void *data,
                               size_t length) {
  const int descriptor = mctx__descriptor(socket);
  ssize_t sent;
  if (endpoint->length == 0)
    sent = send(descriptor, data, length, FLAGS);
  else if ((endpoint->length & GUARDED) != 0)
    return send_guarded(descriptor, endpoint, data, length);
  else
    sent = sendto(descriptor, data, length, FLAGS, destination_of(endpoint), (socklen_t)endpoint->length);
  return sent >= 0 ? MCTX__DONE : mctx__failure(errno, MCTX__ASKED_SEND);
}

mctx__result mctx__socket_send_many(mctx__socket socket, const mctx__endpoint *endpoint,
                                    const mctx_slice *slices, uint32_t count, uint32_t *taken) {
  struct mmsghdr messages[MCTX__SEND_MANY_MAX];
  struct iovec payloads[MCTX__SEND_MANY_MAX];
  guard own;
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
  if ((endpoint->length & GUARDED) != 0) guard_messages(&own, endpoint, messages, ready);
  const int sent = sendmmsg(mctx__descriptor(socket), messages, ready, FLAGS);
  if (sent < 0) return refusal_of(endpoint, errno);
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

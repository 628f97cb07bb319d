/* SPDX-License-Identifier: MIT */
/* Sending, and finding out why it failed. */
#include "../posix/posix.h"

#include <linux/errqueue.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* ---- why there is no way: the system says the same of a missing interface, link, source or route ---- */

/* The interface that a datagram would have left through; 0 where the socket does not tell. */
static uint32_t outgoing_interface(mctx__socket socket, const mctx__endpoint *endpoint) {
  struct sockaddr_storage native = {0};
  uint32_t index = mctx__bound_device(mctx__descriptor(socket));
  if (index != 0) return index;
  memcpy(&native, endpoint->bytes, endpoint->length);
  index = mctx__sockaddr_get(&native, (socklen_t)endpoint->length).scope_id;
  if (index == 0) (void)mctx__socket_get_interface(socket, 6, &index);
  return index;
}

/* MCTX_OK if the interface is there and up. */
static mctx_status interface_status(int descriptor, uint32_t index) {
  struct ifreq request = {.ifr_ifindex = (int)index};
  if (ioctl(descriptor, SIOCGIFNAME, &request) != 0) return MCTX_ERR_INTERFACE_GONE;
  if (ioctl(descriptor, SIOCGIFFLAGS, &request) != 0) return MCTX_ERR_INTERFACE_GONE;
  return (request.ifr_flags & IFF_UP) == 0 ? MCTX_ERR_INTERFACE_DOWN : MCTX_OK;
}

static bool is_unicast(const mctx_address *address) {
  static const uint8_t any[16] = {0};
  if (address->family == 4) return address->bytes[0] < 224 && memcmp(address->bytes, any, 4) != 0;
  return address->family == 6 && address->bytes[0] != 0xff && memcmp(address->bytes, any, 16) != 0;
}

/* Whether the socket's own address went away: one that nobody could bind now. */
static bool source_is_gone(mctx__socket socket) {
  mctx_address local;
  mctx__socket trial;
  if (mctx__socket_local(socket, &local).status != MCTX_OK || !is_unicast(&local)) return false;
  if (mctx__socket_open(local.family, &trial).status != MCTX_OK) return false;
  local.port = 0;
  const mctx__result bound = mctx__socket_bind(trial, &local);
  mctx__socket_close(trial);
  return bound.status == MCTX_ERR_SOURCE_NOT_LOCAL;
}

static mctx__result send_failure(mctx__socket socket, const mctx__endpoint *endpoint, int code) {
  mctx__result result = mctx__failure(code, MCTX__ASKED_SEND);
  if (code != ENETUNREACH && code != EADDRNOTAVAIL) return result;
  const uint32_t index = outgoing_interface(socket, endpoint);
  result.status = index != 0 ? interface_status(mctx__descriptor(socket), index) : MCTX_OK;
  if (result.status == MCTX_OK)
    result.status = source_is_gone(socket) ? MCTX_ERR_SOURCE_GONE : MCTX_ERR_NO_ROUTE;
  return result;
}

/* ---- sending ---- */

mctx__result mctx__socket_send(mctx__socket socket, const mctx__endpoint *endpoint, const void *data,
                               size_t length) {
  if (length > LARGEST) return mctx__failure(EMSGSIZE, MCTX__ASKED_SEND);
  if (sendto(mctx__descriptor(socket), length != 0 ? data : nothing, length, FLAGS, destination_of(endpoint),
             (socklen_t)endpoint->length) >= 0) {
    return MCTX__DONE;
  }
  return send_failure(socket, endpoint, errno);
}

mctx__result mctx__socket_send_many(mctx__socket socket, const mctx__endpoint *endpoint,
                                    const mctx_slice *slices, uint32_t count, uint32_t *taken) {
  struct mmsghdr messages[MCTX__SEND_MANY_MAX];
  struct iovec payloads[MCTX__SEND_MANY_MAX];
  uint32_t ready = 0;
  *taken = 0;
  if (count > MCTX__SEND_MANY_MAX) count = MCTX__SEND_MANY_MAX;
  for (; ready < count && slices[ready].length <= LARGEST; ready++) {
    const size_t length = (size_t)slices[ready].length;
    payloads[ready].iov_base = (void *)(uintptr_t)(length != 0 ? slices[ready].data : nothing);
    payloads[ready].iov_len = length;
    memset(&messages[ready], 0, sizeof messages[ready]);
    messages[ready].msg_hdr.msg_name = destination_of(endpoint);
    messages[ready].msg_hdr.msg_namelen = (socklen_t)endpoint->length;
    messages[ready].msg_hdr.msg_iov = &payloads[ready];
    messages[ready].msg_hdr.msg_iovlen = 1;
  }
  if (ready == 0) return count == 0 ? MCTX__DONE : mctx__failure(EMSGSIZE, MCTX__ASKED_SEND);
  const int sent = sendmmsg(mctx__descriptor(socket), messages, ready, FLAGS);
  if (sent < 0) return send_failure(socket, endpoint, errno);
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

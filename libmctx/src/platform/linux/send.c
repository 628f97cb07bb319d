/* SPDX-License-Identifier: MIT */
/* Sending, and the error queue. */
#include "../posix/posix.h"

#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "linux.h"

enum {
  FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL,
  ERROR_QUEUE_BOUND = 1024 /* it holds 255; others may fill it while it is read */
};

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

/* ---- ancillary data: what stands beside a message ---- */

/* The source of a guarded endpoint, the size of a superpacket's datagrams, or both. */
typedef struct ancillary {
  _Alignas(struct cmsghdr) unsigned char guard[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  _Alignas(struct cmsghdr) unsigned char segment[CMSG_SPACE(sizeof(uint16_t))];
} ancillary;

_Static_assert(offsetof(ancillary, segment) == CMSG_SPACE(sizeof(struct in6_pktinfo)) &&
                   sizeof(ancillary) == offsetof(ancillary, segment) + CMSG_SPACE(sizeof(uint16_t)),
               "one control message follows the other");

static bool is_guarded(const mctx__endpoint *endpoint) {
  return (endpoint->length & GUARDED) != 0;
}

static void guard_make(ancillary *own, const mctx__endpoint *endpoint) {
  struct in6_pktinfo info = {.ipi6_ifindex = 0};
  struct cmsghdr *head = (struct cmsghdr *)(void *)own->guard;
  memset(own->guard, 0, sizeof own->guard);
  head->cmsg_level = IPPROTO_IPV6;
  head->cmsg_type = IPV6_PKTINFO;
  head->cmsg_len = CMSG_LEN(sizeof info);
  memcpy(&info.ipi6_addr, endpoint->bytes + SOURCE_AT, sizeof info.ipi6_addr);
  memcpy(CMSG_DATA(head), &info, sizeof info);
}

static void segment_make(ancillary *own, uint32_t segment_size) {
  const uint16_t size = (uint16_t)segment_size;
  struct cmsghdr *head = (struct cmsghdr *)(void *)own->segment;
  head->cmsg_level = IPPROTO_UDP;
  head->cmsg_type = UDP_SEGMENT;
  head->cmsg_len = CMSG_LEN(sizeof size);
  memset(CMSG_DATA(head), 0, CMSG_ALIGN(sizeof size));
  memcpy(CMSG_DATA(head), &size, sizeof size);
}

/* What stands beside a message: of these, or nothing. */
static void attach(struct msghdr *header, ancillary *own, bool guarded, bool segmented) {
  header->msg_control = guarded ? (void *)own->guard : segmented ? (void *)own->segment : NULL;
  header->msg_controllen = (guarded ? sizeof own->guard : 0) + (segmented ? sizeof own->segment : 0);
}

/* A system that does not know UDP_SEGMENT may overlook it and send a superpacket as one datagram. */
enum { UNKNOWN, NO, YES };
static _Atomic int segments;

MCTX__COLD static bool ask_whether_system_segments(int descriptor) {
  int size = 0;
  socklen_t length = sizeof size;
  const bool known = getsockopt(descriptor, IPPROTO_UDP, UDP_SEGMENT, &size, &length) == 0;
  /* What is wrong with this descriptor says nothing of the system. */
  if (known || errno == ENOPROTOOPT) atomic_store_explicit(&segments, known ? YES : NO, memory_order_relaxed);
  return known;
}

static bool system_segments(int descriptor) {
  const int known = atomic_load_explicit(&segments, memory_order_relaxed);
  return known == UNKNOWN ? ask_whether_system_segments(descriptor) : known == YES;
}

/* ---- one message ---- */

/* Where slices are laid out as the system's vectors, it reads the caller's own. */
#if UINTPTR_MAX == UINT64_MAX && SIZE_MAX == UINT64_MAX
enum { ROOM_FOR_VECTORS = 1 };
_Static_assert(sizeof(mctx_slice) == sizeof(struct iovec) &&
                   offsetof(mctx_slice, data) == offsetof(struct iovec, iov_base) &&
                   offsetof(mctx_slice, length) == offsetof(struct iovec, iov_len),
               "a slice is a vector");

static struct iovec *vectors_of(const mctx__outgoing *message, struct iovec *room, uint32_t used) {
  (void)room;
  (void)used;
  return (struct iovec *)(uintptr_t)message->pieces;
}
#else
enum { ROOM_FOR_VECTORS = MCTX__SEND_PIECES_MAX };

static struct iovec *vectors_of(const mctx__outgoing *message, struct iovec *room, uint32_t used) {
  for (uint32_t i = 0; i < message->piece_count; i++) {
    const mctx_slice *piece = &message->pieces[i];
    room[used + i] = (struct iovec){(void *)(uintptr_t)piece->data, (size_t)piece->length};
  }
  return room + used;
}
#endif

static struct sockaddr *destination_of(const mctx__endpoint *endpoint) {
  return (endpoint->length & ~(uint32_t)GUARDED) == 0 ? NULL : (struct sockaddr *)(uintptr_t)endpoint->bytes;
}

static socklen_t destination_length(const mctx__endpoint *endpoint) {
  return endpoint->length & ~(uint32_t)GUARDED;
}

/* Why a message was not taken. */
MCTX__COLD static mctx__result refusal_of(const mctx__endpoint *endpoint, const mctx__outgoing *message,
                                          int code) {
  if (message->segment_size != 0) {
    if (code == EINVAL) return (mctx__result){MCTX_ERR_INVALID_ARGUMENT, code};
    if (code == EIO || code == EOPNOTSUPP || code == ENOPROTOOPT)
      return (mctx__result){MCTX_ERR_UNSUPPORTED, code};
  } else if (code == EINVAL && is_guarded(endpoint)) {
    return (mctx__result){MCTX_ERR_NO_ROUTE, code}; /* the source is none of this host's any more */
  }
  return mctx__failure(code, MCTX__ASKED_SEND);
}

static MCTX__IN_PLACE mctx__result send_message(int descriptor, const mctx__endpoint *endpoint,
                                                const mctx__outgoing *message) {
  const bool guarded = is_guarded(endpoint);
  const bool segmented = message->segment_size != 0;
  struct iovec room[ROOM_FOR_VECTORS];
  ancillary beside;
  struct msghdr header = {.msg_name = destination_of(endpoint), .msg_namelen = destination_length(endpoint)};
  if (segmented && !system_segments(descriptor)) return refusal_of(endpoint, message, ENOPROTOOPT);
  if (message->piece_count > MCTX__SEND_PIECES_MAX) return refusal_of(endpoint, message, EMSGSIZE);
  header.msg_iov = vectors_of(message, room, 0);
  header.msg_iovlen = message->piece_count;
  if (guarded) guard_make(&beside, endpoint);
  if (segmented) segment_make(&beside, message->segment_size);
  attach(&header, &beside, guarded, segmented);
  return sendmsg(descriptor, &header, FLAGS) >= 0 ? MCTX__DONE : refusal_of(endpoint, message, errno);
}

MCTX__COLD static mctx__result send_guarded(int descriptor, const mctx__endpoint *endpoint, const void *data,
                                            size_t length) {
  const mctx_slice piece = {.data = data, .length = length};
  const mctx__outgoing message = {.pieces = &piece, .piece_count = 1};
  return send_message(descriptor, endpoint, &message);
}

static MCTX__IN_PLACE mctx__result send_datagram(int descriptor, const mctx__endpoint *endpoint,
                                                 const void *data, size_t length) {
  ssize_t sent;
  if (endpoint->length == 0)
    sent = send(descriptor, data, length, FLAGS);
  else if (is_guarded(endpoint))
    return send_guarded(descriptor, endpoint, data, length);
  else
    sent = sendto(descriptor, data, length, FLAGS, destination_of(endpoint), (socklen_t)endpoint->length);
  return sent >= 0 ? MCTX__DONE : mctx__failure(errno, MCTX__ASKED_SEND);
}

mctx__result mctx__socket_send(mctx__socket socket, const mctx__endpoint *endpoint, const void *data,
                               size_t length) {
  return send_datagram(mctx__descriptor(socket), endpoint, data, length);
}

/* ---- many messages ---- */

/* What one call shows to the system. Nothing is cleared, and only what is used is written. */
typedef struct display {
  struct mmsghdr headers[MCTX__SEND_MANY_MAX];
  ancillary beside[MCTX__SEND_MANY_MAX];
  struct iovec room[ROOM_FOR_VECTORS];
  ancillary *segment; /* the last that was made, */
  uint32_t size;      /* for segments of that size */
} display;

/* Neighbours of one segment size share what stands beside them. */
static void attach_segment(display *own, struct msghdr *header, const mctx__endpoint *endpoint, uint32_t size) {
  const bool guarded = is_guarded(endpoint);
  if (size != own->size) {
    if (own->size != 0) own->segment++;
    if (own->size != 0 && guarded) guard_make(own->segment, endpoint);
    segment_make(own->segment, size);
    own->size = size;
  }
  attach(header, own->segment, guarded, true);
}

/* Lays out messages, as far as their pieces fit, and returns how many. */
static uint32_t lay_out(display *own, int descriptor, const mctx__endpoint *endpoint,
                        const mctx__outgoing *messages, uint32_t count) {
  const bool guarded = is_guarded(endpoint);
  struct msghdr usual = {.msg_name = destination_of(endpoint), .msg_namelen = destination_length(endpoint)};
  uint32_t pieces = 0;
  uint32_t ready = 0;
  own->segment = own->beside;
  own->size = 0;
  if (guarded) guard_make(own->segment, endpoint);
  attach(&usual, own->segment, guarded, false);
  for (; ready < count; ready++) {
    const mctx__outgoing *message = &messages[ready];
    struct msghdr *header = &own->headers[ready].msg_hdr;
    if (pieces + message->piece_count > MCTX__SEND_PIECES_MAX) break;
    *header = usual;
    header->msg_iov = vectors_of(message, own->room, pieces);
    header->msg_iovlen = message->piece_count;
    pieces += message->piece_count;
    if (message->segment_size == 0) continue;
    if (own->size == 0 && !system_segments(descriptor)) break;
    attach_segment(own, header, endpoint, message->segment_size);
  }
  return ready;
}

static mctx__result send_messages(int descriptor, const mctx__endpoint *endpoint,
                                  const mctx__outgoing *messages, uint32_t count, uint32_t *taken) {
  display own;
  const uint32_t ready = lay_out(&own, descriptor, endpoint, messages, count);
  if (ready == 0) return refusal_of(endpoint, messages, messages->segment_size != 0 ? ENOPROTOOPT : EMSGSIZE);
  const int sent = sendmmsg(descriptor, own.headers, ready, FLAGS);
  if (sent < 0) return refusal_of(endpoint, messages, errno);
  *taken = (uint32_t)sent;
  return MCTX__DONE;
}

mctx__result mctx__socket_send_many(mctx__socket socket, const mctx__endpoint *endpoint,
                                    const mctx__outgoing *messages, uint32_t count, uint32_t *taken) {
  const int descriptor = mctx__descriptor(socket);
  mctx__result result;
  *taken = 0;
  if (count == 0) return MCTX__DONE;
  if (count > MCTX__SEND_MANY_MAX) count = MCTX__SEND_MANY_MAX;
  if (count > 1) return send_messages(descriptor, endpoint, messages, count, taken);
  if (messages->segment_size == 0 && messages->piece_count == 1)
    result = send_datagram(descriptor, endpoint, messages->pieces->data, (size_t)messages->pieces->length);
  else
    result = send_message(descriptor, endpoint, messages);
  *taken = result.status == MCTX_OK;
  return result;
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

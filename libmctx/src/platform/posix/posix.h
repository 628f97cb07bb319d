/* SPDX-License-Identifier: MIT */
/*
 * What the POSIX backends share: feature macros, addresses in the system's form, the meaning of errno. Include
 * it before everything else.
 */
#ifndef MCTX_POSIX_H
#define MCTX_POSIX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier): sendmmsg, ppoll and struct ip_mreqn need it */
#endif

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "platform.h"

/* What was asked of the system; the same errno means different things. Bits, to stand in sets. */
enum mctx__asked {
  MCTX__ASKED_SEND = 1,
  MCTX__ASKED_BIND = 2,
  MCTX__ASKED_CONNECT = 4,
  MCTX__ASKED_INTERFACE = 8, /* to use an interface or a device by its number or name */
  MCTX__ASKED_ROUTE = 16,
  MCTX__ASKED_OTHER = 32,
  MCTX__ASKED_JOIN = 64,
  MCTX__ASKED_FILTER = 128 /* to change a membership that there is, or to leave it */
};

/* The result of a system call that failed with `code`. */
mctx__result mctx__failure(int code, uint32_t asked);

/* An address in the system's form; returns its length, 0 if the family is neither 4 nor 6. */
socklen_t mctx__sockaddr_set(struct sockaddr_storage *native, const mctx_address *address);
/* `length` bytes of an address in the system's form; family 0 for what is neither IPv4 nor IPv6. */
mctx_address mctx__sockaddr_get(const struct sockaddr_storage *native, socklen_t length);

/* A link-local IPv6 address: it means something on one interface alone. */
static inline bool mctx__is_scoped(const mctx_address *address) {
  return address->family == 6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

/* poll() with the precision of its timeout; each system has its own call for that. */
int mctx__poll(struct pollfd *watched, nfds_t count, const struct timespec *timeout);

/* The descriptor of a socket. */
static inline int mctx__descriptor(mctx__socket socket) {
  return (int)socket.value;
}

#endif

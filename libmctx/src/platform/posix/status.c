/* SPDX-License-Identifier: MIT */
/* What errno means. */
#include "posix.h"

enum {
  SEND = MCTX__ASKED_SEND,
  BIND = MCTX__ASKED_BIND,
  CONNECT = MCTX__ASKED_CONNECT,
  INTERFACE = MCTX__ASKED_INTERFACE,
  ROUTE = MCTX__ASKED_ROUTE,
  JOIN = MCTX__ASKED_JOIN,
  FILTER = MCTX__ASKED_FILTER,
  ANY = SEND | BIND | CONNECT | INTERFACE | ROUTE | MCTX__ASKED_OTHER | JOIN | FILTER
};

/* The first row that fits counts. */
static const struct {
  int code;
  uint32_t asked;
  mctx_status status;
} meanings[] = {
    {EAGAIN, ANY, MCTX_ERR_WOULD_BLOCK},
    {EINTR, ANY, MCTX_ERR_SIGNAL},
    /* The socket stays writable: to wait for writability would spin. */
    {ENOBUFS, SEND, MCTX_ERR_QUEUE_FULL},
    /* Memory for these is counted for each socket, and so are the groups; the lists of their sources too. */
    {ENOBUFS, JOIN, MCTX_ERR_TOO_MANY_MEMBERSHIPS},
    {ENOMEM, JOIN, MCTX_ERR_TOO_MANY_MEMBERSHIPS},
    {ENOBUFS, FILTER, MCTX_ERR_TOO_MANY_SOURCES},
    {ENOMEM, FILTER, MCTX_ERR_TOO_MANY_SOURCES},
    {EADDRINUSE, JOIN, MCTX_ERR_MEMBERSHIP_EXISTS},
    {EADDRNOTAVAIL, JOIN, MCTX_ERR_SOURCE_EXISTS},
    {EINVAL, JOIN, MCTX_ERR_UNSUPPORTED}, /* the interface is none for this family: an MTU below 1280 */
    {EADDRNOTAVAIL, FILTER, MCTX_ERR_MEMBERSHIP_NOT_FOUND},
    {EINVAL, FILTER, MCTX_ERR_MEMBERSHIP_NOT_FOUND},
    {ENOBUFS, ANY, MCTX_ERR_NO_MEMORY},
    {ENOMEM, ANY, MCTX_ERR_NO_MEMORY},
    {ENOSPC, ANY, MCTX_ERR_NO_MEMORY}, /* a user's share of what a system keeps, as the members of pollers */
    {EMFILE, ANY, MCTX_ERR_TOO_MANY_DESCRIPTORS},
    {ENFILE, ANY, MCTX_ERR_TOO_MANY_DESCRIPTORS},
    {EMSGSIZE, ANY, MCTX_ERR_DATAGRAM_TOO_LARGE},
    /* A look-up that fails says that there is no way, whatever the reason. */
    {EHOSTUNREACH, ROUTE, MCTX_ERR_NO_ROUTE},
    {ENODEV, ROUTE, MCTX_ERR_NO_ROUTE},
    {ENETDOWN, ROUTE, MCTX_ERR_NO_ROUTE},
    {EADDRNOTAVAIL, ROUTE, MCTX_ERR_NO_ROUTE},
    {EINVAL, ROUTE, MCTX_ERR_NO_ROUTE}, /* a blackhole */
    {EACCES, ROUTE, MCTX_ERR_NO_ROUTE}, /* a prohibiting route */
    {EOPNOTSUPP, ROUTE, MCTX_ERR_FAMILY_UNSUPPORTED},
    {ENETUNREACH, ANY, MCTX_ERR_NO_ROUTE},
    {EHOSTUNREACH, ANY, MCTX_ERR_UNREACHABLE},
    {ECONNREFUSED, ANY, MCTX_ERR_UNREACHABLE},
    {ENETDOWN, ANY, MCTX_ERR_INTERFACE_DOWN},
    {ENODEV, SEND, MCTX_ERR_INTERFACE_GONE},
    {ENXIO, SEND, MCTX_ERR_INTERFACE_GONE},
    {ENODEV, ANY, MCTX_ERR_INTERFACE_NOT_FOUND},
    {ENXIO, ANY, MCTX_ERR_INTERFACE_NOT_FOUND},
    {EADDRNOTAVAIL, SEND | CONNECT, MCTX_ERR_NO_ROUTE}, /* the interface has no address to send from */
    {EADDRNOTAVAIL, BIND, MCTX_ERR_SOURCE_NOT_LOCAL},
    {EADDRNOTAVAIL, INTERFACE, MCTX_ERR_INTERFACE_NOT_FOUND},
    {EADDRINUSE, ANY, MCTX_ERR_ADDRESS_IN_USE},
    {EPERM, SEND, MCTX_ERR_FIREWALL},
    {EPERM, ANY, MCTX_ERR_PERMISSION},
    {EACCES, ANY, MCTX_ERR_PERMISSION},
    {EAFNOSUPPORT, ANY, MCTX_ERR_FAMILY_UNSUPPORTED},
    {EPFNOSUPPORT, ANY, MCTX_ERR_FAMILY_UNSUPPORTED},
    {ENOPROTOOPT, ANY, MCTX_ERR_UNSUPPORTED},
    {EPROTONOSUPPORT, ANY, MCTX_ERR_UNSUPPORTED},
    {EOPNOTSUPP, ANY, MCTX_ERR_UNSUPPORTED},
    {ENOSYS, ANY, MCTX_ERR_UNSUPPORTED},
    {EBADF, ANY, MCTX_ERR_NOT_A_SOCKET},
    {ENOTSOCK, ANY, MCTX_ERR_NOT_A_SOCKET},
};

mctx__result mctx__failure(int code, uint32_t asked) {
  for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
    if (meanings[i].code == code && (meanings[i].asked & asked) != 0) {
      return (mctx__result){meanings[i].status, code};
    }
  }
  return (mctx__result){MCTX_ERR_IO, code};
}

/* SPDX-License-Identifier: MIT */
/* Sockets: how Linux opens, inspects and connects them. */
#include "../posix/posix.h"

#include <limits.h>

#include "linux.h"

mctx__result mctx__socket_open(uint32_t family, mctx__socket *opened) {
  const int domain = family == 6 ? AF_INET6 : AF_INET;
  const int one = 1;
  const int descriptor = socket(domain, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
  if (descriptor < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  const mctx__socket made = {descriptor};
  if (family == 6 && setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0) {
    const mctx__result result = mctx__failure(errno, MCTX__ASKED_OTHER);
    mctx__socket_close(made);
    return result;
  }
  *opened = made;
  return MCTX__DONE;
}

/* An option of the socket level that is a number; -1 where it cannot be read. */
static int number_of(int descriptor, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  if (getsockopt(descriptor, SOL_SOCKET, name, &value, &length) != 0) return -1;
  return value;
}

mctx__result mctx__socket_adopt(const mctx_os_handle *native, mctx__socket *adopted,
                                mctx__socket_facts *facts) {
  if (native->type != MCTX_OS_DESCRIPTOR || native->value < 0 || native->value > INT_MAX) {
    return mctx__failure(EBADF, MCTX__ASKED_OTHER);
  }
  const int descriptor = (int)native->value;
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  mctx__socket_facts found = {0};
  const mctx__result local = mctx__socket_local((mctx__socket){descriptor}, &found.local);
  if (local.status != MCTX_OK) return local;

  const int domain = number_of(descriptor, SO_DOMAIN);
  found.family = domain == AF_INET ? 4 : domain == AF_INET6 ? 6 : 0;
  found.is_udp = found.family != 0 && number_of(descriptor, SO_TYPE) == SOCK_DGRAM &&
                 number_of(descriptor, SO_PROTOCOL) == IPPROTO_UDP;
  if (getpeername(descriptor, (struct sockaddr *)&address, &length) == 0) {
    found.is_connected = true;
    found.peer = mctx__sockaddr_get(&address, length);
  }
  *facts = found;
  *adopted = (mctx__socket){descriptor};
  return MCTX__DONE;
}

uint32_t mctx__bound_device(int descriptor) {
  const int index = number_of(descriptor, SO_BINDTOIFINDEX);
  return index > 0 ? (uint32_t)index : 0;
}

/* Takes a port that the system has just taken from the socket; if somebody was faster, it chooses another one.
 */
static void keep_port(int descriptor, uint16_t port) {
  struct sockaddr_storage native;
  mctx_address local;
  const mctx__result known = mctx__socket_local((mctx__socket){descriptor}, &local);
  if (port == 0 || known.status != MCTX_OK || local.port != 0) return;
  local.port = port;
  const socklen_t length = mctx__sockaddr_set(&native, &local);
  (void)bind(descriptor, (const struct sockaddr *)&native, length);
}

/* Dissolving a connection also takes the socket off a port that the system chose, and off its device. Both are
 * put back; the device not if the connection had put it there, to a scoped IPv6 peer. */
static mctx__result disconnect(int descriptor) {
  const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
  struct sockaddr_storage native = {0};
  socklen_t length = sizeof native;
  mctx_address local = {0};
  mctx_address peer = {0};
  (void)mctx__socket_local((mctx__socket){descriptor}, &local);
  const int device = (int)mctx__bound_device(descriptor);
  if (getpeername(descriptor, (struct sockaddr *)&native, &length) == 0) {
    peer = mctx__sockaddr_get(&native, length);
  }
  if (connect(descriptor, &nobody, sizeof nobody) != 0) return mctx__failure(errno, MCTX__ASKED_CONNECT);
  keep_port(descriptor, local.port);
  if (device == 0 || peer.scope_id != 0) return MCTX__DONE;
  if (setsockopt(descriptor, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof device) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_INTERFACE);
}

mctx__result mctx__socket_connect(mctx__socket socket, uint32_t family, const mctx_address *peer) {
  struct sockaddr_storage native;
  (void)family; /* the address tells */
  if (peer == NULL) return disconnect(mctx__descriptor(socket));
  const socklen_t length = mctx__sockaddr_set(&native, peer);
  if (connect(mctx__descriptor(socket), (const struct sockaddr *)&native, length) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_CONNECT);
}

/* SPDX-License-Identifier: MIT */
/* Sockets: what is the same on every POSIX system. */
#include "posix.h"

#include <sys/resource.h>
#include <unistd.h>

enum { FEWEST_DESCRIPTORS = 256 /* assumed where the system does not tell */ };

/* A descriptor is gone after close(), whatever close() says: to repeat it could close another thread's. */

void mctx__socket_close(mctx__socket socket) {
  if (socket.value >= 0) (void)close(mctx__descriptor(socket));
}

void mctx__socket_abandon(mctx__socket socket) {
  const int saved = errno;
  mctx__socket_close(socket);
  errno = saved;
}

mctx_os_handle mctx__socket_native(mctx__socket socket) {
  if (socket.value < 0) return (mctx_os_handle){.value = -1, .type = MCTX_OS_NONE};
  return (mctx_os_handle){.value = socket.value, .type = MCTX_OS_DESCRIPTOR};
}

mctx__result mctx__socket_bind(mctx__socket socket, const mctx_address *local) {
  struct sockaddr_storage native;
  const socklen_t length = mctx__sockaddr_set(&native, local);
  if (bind(mctx__descriptor(socket), (const struct sockaddr *)&native, length) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_BIND);
}

mctx__result mctx__socket_local(mctx__socket socket, mctx_address *local) {
  struct sockaddr_storage native = {0};
  socklen_t length = sizeof native;
  if (getsockname(mctx__descriptor(socket), (struct sockaddr *)&native, &length) != 0) {
    return mctx__failure(errno, MCTX__ASKED_OTHER);
  }
  mctx_address found = mctx__sockaddr_get(&native, length);
  /* The system leaves out the scope of a source that it chose itself. */
  if (mctx__is_scoped(&found) && found.scope_id == 0) {
    (void)mctx__socket_get_interface(socket, 6, &found.scope_id);
  }
  *local = found;
  return MCTX__DONE;
}

bool mctx__binds_groups(void) {
  return true;
}

uint64_t mctx__descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return FEWEST_DESCRIPTORS;
  return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

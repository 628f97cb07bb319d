/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <sys/epoll.h>

enum { AT_ONCE = 256 /* tags told by one call; the others are first in the next one */ };

mctx__result mctx__poller_open(mctx__poller *poller) {
  const int descriptor = epoll_create1(EPOLL_CLOEXEC);
  if (descriptor < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  *poller = (mctx__poller){descriptor};
  return MCTX__DONE;
}

void mctx__poller_close(mctx__poller poller) {
  mctx__socket_close(mctx__poller_member(poller));
}

void mctx__poller_abandon(mctx__poller poller) {
  mctx__socket_abandon(mctx__poller_member(poller));
}

mctx__socket mctx__poller_member(mctx__poller poller) {
  return (mctx__socket){poller.value};
}

mctx_os_handle mctx__poller_native(mctx__poller poller) {
  return mctx__socket_native(mctx__poller_member(poller));
}

mctx__result mctx__poller_add(mctx__poller poller, mctx__socket member, uint64_t tag) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
  if (epoll_ctl((int)poller.value, EPOLL_CTL_ADD, mctx__descriptor(member), &event) == 0) return MCTX__DONE;
  return mctx__failure(errno, MCTX__ASKED_OTHER);
}

void mctx__poller_remove(mctx__poller poller, mctx__socket member) {
  struct epoll_event unused; /* kernels before 2.6.9 want one */
  (void)epoll_ctl((int)poller.value, EPOLL_CTL_DEL, mctx__descriptor(member), &unused);
}

/* epoll puts those that it told at the end of its list. */
mctx__result mctx__poller_ready(mctx__poller poller, uint64_t *tags, uint32_t capacity, uint32_t *count) {
  struct epoll_event events[AT_ONCE];
  const int most = capacity < AT_ONCE ? (int)capacity : AT_ONCE;
  int told;
  *count = 0;
  if (capacity == 0) return MCTX__DONE;
  do {
    told = epoll_wait((int)poller.value, events, most, 0);
  } while (told < 0 && errno == EINTR);
  if (told < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  for (int i = 0; i < told; i++)
    tags[i] = events[i].data.u64;
  *count = (uint32_t)told;
  return MCTX__DONE;
}

/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <sys/eventfd.h>
#include <unistd.h>

mctx__result mctx__event_open(mctx__event *event) {
  const int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
  *event = (mctx__event){descriptor};
  return MCTX__DONE;
}

void mctx__event_signal(mctx__event event) {
  const int saved = errno;
  const uint64_t one = 1;
  if (event.value >= 0 && write((int)event.value, &one, sizeof one) < 0) {
    /* Only a counter that is full refuses, and that one is signalled. */
  }
  errno = saved;
}

void mctx__event_clear(mctx__event event) {
  uint64_t count;
  if (event.value >= 0 && read((int)event.value, &count, sizeof count) < 0) {
    /* It was clear. */
  }
}

void mctx__event_close(mctx__event event) {
  mctx__socket_close(mctx__event_member(event));
}

void mctx__event_abandon(mctx__event event) {
  mctx__socket_abandon(mctx__event_member(event));
}

mctx__socket mctx__event_member(mctx__event event) {
  return (mctx__socket){event.value};
}

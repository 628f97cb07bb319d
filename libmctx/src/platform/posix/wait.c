/* SPDX-License-Identifier: MIT */
#include "posix.h"

enum { NS_PER_S = 1000000000, LONGEST_S = 86400, SOCKET = 0, EVENT = 1 };

/* Polls until the deadline, or for a day: the caller asks the clock again. */
static int poll_until(struct pollfd *watched, int64_t deadline_ns) {
  struct timespec left = {LONGEST_S, 0};
  if (deadline_ns != MCTX__FOREVER) {
    const int64_t now = mctx__clock_monotonic();
    const int64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
    if (left_ns / NS_PER_S < LONGEST_S) {
      left.tv_sec = (time_t)(left_ns / NS_PER_S);
      left.tv_nsec = (long)(left_ns % NS_PER_S);
    }
  }
  return mctx__poll(watched, 2, &left);
}

/* What poll said of the socket, as bits. */
static uint32_t socket_bits(short revents, uint32_t events) {
  uint32_t bits = 0;
  if ((revents & POLLIN) != 0) bits |= MCTX_READABLE;
  if ((revents & POLLOUT) != 0) bits |= MCTX_WRITABLE;
  /* Shut down by its owner: the next call tells, and no wait would ever end otherwise. */
  if ((revents & POLLHUP) != 0) bits |= events;
  bits &= events;
  if ((revents & POLLERR) != 0) bits |= MCTX__WAIT_FAILED;
  return bits;
}

mctx__result mctx__wait(mctx__socket socket, uint32_t events, mctx__event event, int64_t deadline_ns,
                        uint32_t *ready) {
  /* poll ignores negative descriptors. */
  struct pollfd watched[2] = {
      [SOCKET] = {.fd = (int)socket.value, .events = 0}, [EVENT] = {.fd = (int)event.value, .events = POLLIN}};
  if ((events & MCTX_READABLE) != 0) watched[SOCKET].events |= POLLIN;
  if ((events & MCTX_WRITABLE) != 0) watched[SOCKET].events |= POLLOUT;
  *ready = 0;
  for (;;) {
    const int count = poll_until(watched, deadline_ns);
    if (count < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
    if (count == 0) {
      if (mctx__clock_monotonic() >= deadline_ns) return (mctx__result){MCTX_ERR_TIMEOUT, 0};
      continue;
    }
    if (((watched[SOCKET].revents | watched[EVENT].revents) & POLLNVAL) != 0) {
      return (mctx__result){MCTX_ERR_IO, EBADF};
    }
    *ready = socket_bits(watched[SOCKET].revents, events);
    if (watched[EVENT].revents != 0) *ready |= MCTX__WAIT_EVENT;
    if (*ready != 0) return MCTX__DONE;
    watched[SOCKET].fd = -1; /* a hang-up that nobody asked for would never go away */
  }
}

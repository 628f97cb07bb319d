/* SPDX-License-Identifier: MIT */
#include "posix.h"

enum { NS_PER_S = 1000000000, LONGEST_S = 86400, SOCKET = 0, EVENT = 1, BOTH = 2 };

/* Polls until the deadline, or for a day: the caller asks the clock again. */
static int poll_until(struct pollfd *watched, uint32_t count, int64_t deadline_ns) {
  struct timespec left = {LONGEST_S, 0};
  if (deadline_ns != MCTX__FOREVER) {
    const int64_t now = mctx__clock_monotonic();
    const int64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
    if (left_ns / NS_PER_S < LONGEST_S) {
      left.tv_sec = (time_t)(left_ns / NS_PER_S);
      left.tv_nsec = (long)(left_ns % NS_PER_S);
    }
  }
  return mctx__poll(watched, count, &left);
}

/* What to ask poll; it ignores negative descriptors. */
static struct pollfd question(const mctx__waited *waited) {
  struct pollfd watched = {.fd = mctx__descriptor(waited->socket)};
  if ((waited->events & MCTX_READABLE) != 0) watched.events |= POLLIN;
  if ((waited->events & MCTX_WRITABLE) != 0) watched.events |= POLLOUT;
  return watched;
}

/* What poll said, as bits. */
static uint32_t answer(short revents, uint32_t events) {
  uint32_t bits = 0;
  if ((revents & POLLIN) != 0) bits |= MCTX_READABLE;
  if ((revents & POLLOUT) != 0) bits |= MCTX_WRITABLE;
  /* Shut down by its owner: the next call tells, and no wait would ever end otherwise. */
  if ((revents & POLLHUP) != 0) bits |= events;
  bits &= events;
  if ((revents & POLLERR) != 0) bits |= MCTX__WAIT_FAILED;
  return bits;
}

/* Reads the answers; tells whether there are any. */
static mctx__result answers(mctx__waited *waited, struct pollfd *watched, uint32_t count, bool *any) {
  for (uint32_t i = 0; i < count; i++) {
    if ((watched[i].revents & POLLNVAL) != 0) return (mctx__result){MCTX_ERR_IO, EBADF};
  }
  *any = false;
  for (uint32_t i = 0; i < count; i++) {
    if (watched[i].revents == 0) continue;
    waited[i].ready = answer(watched[i].revents, waited[i].events);
    if (waited[i].ready != 0) *any = true;
    if (waited[i].ready == 0) watched[i].fd = -1; /* a hang-up that nobody asked for would never go away */
  }
  return MCTX__DONE;
}

/* Waits with as many of poll's records as there are to wait for. */
static mctx__result wait_for(mctx__waited *waited, struct pollfd *watched, uint32_t count,
                             int64_t deadline_ns) {
  for (uint32_t i = 0; i < count; i++) {
    waited[i].ready = 0;
    watched[i] = question(&waited[i]);
  }
  for (;;) {
    bool any;
    const int told = poll_until(watched, count, deadline_ns);
    if (told < 0 && errno == EINVAL) return (mctx__result){MCTX_ERR_TOO_MANY_DESCRIPTORS, EINVAL};
    if (told < 0) return mctx__failure(errno, MCTX__ASKED_OTHER);
    if (told == 0) {
      if (mctx__clock_monotonic() >= deadline_ns) return (mctx__result){MCTX_ERR_TIMEOUT, 0};
      continue;
    }
    const mctx__result result = answers(waited, watched, count, &any);
    if (result.status != MCTX_OK || any) return result;
  }
}

mctx__result mctx__wait(mctx__socket socket, uint32_t events, mctx__event event, int64_t deadline_ns,
                        uint32_t *ready) {
  mctx__waited waited[BOTH] = {[SOCKET] = {.socket = socket, .events = events},
                               [EVENT] = {.socket = mctx__event_member(event), .events = MCTX_READABLE}};
  struct pollfd watched[BOTH];
  const mctx__result result = wait_for(waited, watched, BOTH, deadline_ns);
  *ready = waited[SOCKET].ready;
  if (waited[EVENT].ready != 0) *ready |= MCTX__WAIT_EVENT;
  return result;
}

mctx__result mctx__wait_many(mctx__waited *waited, uint32_t count, int64_t deadline_ns) {
  struct pollfd *watched = mctx__allocate((size_t)count * sizeof *watched);
  if (watched == NULL) {
    for (uint32_t i = 0; i < count; i++)
      waited[i].ready = 0;
    return MCTX__NO_MEMORY;
  }
  const mctx__result result = wait_for(waited, watched, count, deadline_ns);
  mctx__release(watched);
  return result;
}

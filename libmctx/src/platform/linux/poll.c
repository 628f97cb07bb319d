/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

int mctx__poll(struct pollfd *watched, nfds_t count, const struct timespec *timeout) {
  return ppoll(watched, count, timeout, NULL);
}

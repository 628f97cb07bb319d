/* SPDX-License-Identifier: MIT */
/* Waiting for another thread that is about to be done. */
#ifndef MCTX_PAUSE_H
#define MCTX_PAUSE_H

#include <stdatomic.h>

#include "platform/platform.h"

/* Called with 0, 1, 2, ...: gives way, and after a while sleeps: a thread of lower priority, which yielding
 * never lets run, may be the one that is waited for. */
static inline void mctx__pause(uint32_t round) {
  enum { YIELDS = 100, PAUSE_NS = 50 * 1000 };
  if (round < YIELDS)
    mctx__yield();
  else
    mctx__sleep(PAUSE_NS);
}

/* For what is held over a few instructions, or calls that do not block. */
static inline void mctx__spin_lock(atomic_flag *lock) {
  for (uint32_t round = 0; atomic_flag_test_and_set_explicit(lock, memory_order_acquire); round++)
    mctx__pause(round);
}

static inline void mctx__spin_unlock(atomic_flag *lock) {
  atomic_flag_clear_explicit(lock, memory_order_release);
}

#endif

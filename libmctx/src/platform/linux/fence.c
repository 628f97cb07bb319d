/* SPDX-License-Identifier: MIT */
/* Fences that only one side pays for. */
#include "../posix/posix.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

uintptr_t mctx__thread_self(void) {
  return (uintptr_t)pthread_self();
}

static long membarrier(int command) {
  return syscall(SYS_membarrier, command, 0, 0);
}

static _Atomic int state; /* 0: not known yet; 1: registered; -1: there is none */

/* Registering is for the life of the process. */
bool mctx__fence_prepare(void) {
  int known = atomic_load(&state);
  if (known == 0) {
    known = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 ? 1 : -1;
    atomic_store(&state, known);
  }
  return known > 0;
}

/* A sandbox that was closed after registering may forbid it. Then nobody registers any more, and time does
 * it: no processor keeps a store to itself for so long. */
void mctx__fence_threads(void) {
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return;
  atomic_store(&state, -1);
  mctx__sleep(1000000);
}

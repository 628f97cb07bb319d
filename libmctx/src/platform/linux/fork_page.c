/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

#include <pthread.h>
#include <sys/mman.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18 /* Linux 4.14 */
#endif

static _Atomic uint32_t *page;

static void page_make(void) {
  const size_t size = sizeof(uint32_t); /* the system rounds it up */
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  if (madvise(memory, size, MADV_WIPEONFORK) != 0) {
    (void)munmap(memory, size);
    return;
  }
  page = memory;
  atomic_store(page, 1);
}

_Atomic uint32_t *mctx__fork_page(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, page_make);
  return page;
}

/* SPDX-License-Identifier: MIT */
#include "posix.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

void *mctx__allocate(size_t size) {
  void *memory = NULL;
  if (size > PTRDIFF_MAX - ALIGNMENT) return NULL;
  if (posix_memalign(&memory, ALIGNMENT, size == 0 ? 1 : size) != 0) return NULL;
  return memset(memory, 0, size == 0 ? 1 : size);
}

void mctx__release(void *memory) {
  free(memory);
}

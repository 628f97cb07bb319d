/* SPDX-License-Identifier: MIT */
#include "posix.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

void *mctx__allocate_buffer(size_t size) {
  void *memory = NULL;
  if (size > PTRDIFF_MAX - ALIGNMENT) return NULL;
  return posix_memalign(&memory, ALIGNMENT, size == 0 ? 1 : size) == 0 ? memory : NULL;
}

void *mctx__allocate(size_t size) {
  void *memory = mctx__allocate_buffer(size);
  return memory != NULL ? memset(memory, 0, size) : NULL;
}

void mctx__release(void *memory) {
  free(memory);
}

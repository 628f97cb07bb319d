/* SPDX-License-Identifier: MIT */
/* Memory: zeroed, aligned, counted. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define ALIGNMENT 64

static _Atomic uint64_t live_blocks;

/* The block that calloc() gave stands in front of the aligned one. */
void *mctx__sim_allocate(size_t size) {
  if (mctx__sim_call(MCTX_SIM_ALLOCATE).status != MCTX_OK) return NULL;
  if (size > SIZE_MAX - ALIGNMENT - sizeof(void *)) return NULL;
  char *block = calloc(1, size + ALIGNMENT + sizeof(void *));
  if (block == NULL) return NULL;
  size_t past = ((uintptr_t)block + sizeof(void *)) % ALIGNMENT;
  char *memory = block + sizeof(void *) + (past == 0 ? 0 : ALIGNMENT - past);
  ((void **)(void *)memory)[-1] = block;
  atomic_fetch_add(&live_blocks, 1);
  return memory;
}

void *mctx__sim_reserve(size_t size) {
  return malloc(size);
}

void mctx__sim_give_back(void *memory) {
  free(memory);
}

void *mctx__allocate(size_t size) {
  mctx__sim_lock();
  void *memory = mctx__sim_allocate(size);
  mctx__sim_unlock();
  return memory;
}

/* Zeros would hide whoever reads before anything was written. */
void *mctx__allocate_buffer(size_t size) {
  void *memory = mctx__allocate(size);
  return memory != NULL ? memset(memory, 0xa5, size) : NULL;
}

void mctx__release(void *memory) {
  if (memory == NULL) return;
  free(((void **)memory)[-1]);
  atomic_fetch_sub(&live_blocks, 1);
}

uint64_t mctx_sim_live_blocks(void) {
  return atomic_load(&live_blocks);
}

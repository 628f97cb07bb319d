/* SPDX-License-Identifier: MIT */
#include "scratch.h"

bool mctx__scratch_open(mctx__scratch_pool *pool) {
  if (pool->memory == NULL) pool->memory = mctx__allocate((size_t)MCTX__SCRATCH_PLACES * MCTX__SCRATCH_SIZE);
  return pool->memory != NULL;
}

void mctx__scratch_close(mctx__scratch_pool *pool) {
  mctx__release(pool->memory);
}

static void take_place(mctx__scratch *scratch) {
  mctx__scratch_pool *pool = scratch->pool;
  for (uint32_t i = 0; i < MCTX__SCRATCH_PLACES; i++) {
    const uint32_t place = (scratch->hint + i) % MCTX__SCRATCH_PLACES;
    if (atomic_flag_test_and_set_explicit(&pool->places[place].taken, memory_order_acquire)) continue;
    scratch->hint = place;
    scratch->memory = pool->memory + (size_t)place * MCTX__SCRATCH_SIZE;
    return;
  }
  scratch->refused = true;
}

unsigned char *mctx__scratch_reserve(mctx__scratch *scratch, uint32_t bytes) {
  if (scratch->memory == NULL && !scratch->refused) take_place(scratch);
  if (scratch->memory == NULL || bytes > MCTX__SCRATCH_SIZE - scratch->used) return NULL;
  unsigned char *reserved = scratch->memory + scratch->used;
  scratch->used += bytes;
  return reserved;
}

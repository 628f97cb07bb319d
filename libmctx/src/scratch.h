/* SPDX-License-Identifier: MIT */
/* Memory to put scattered datagrams together in: a few places shared by the publications of a context, so that
 * they stay in the caches. Nobody waits for one. */
#ifndef MCTX_SCRATCH_H
#define MCTX_SCRATCH_H

#include "platform/platform.h"

enum { MCTX__SCRATCH_PLACES = 4, MCTX__SCRATCH_SIZE = 65536 };

typedef struct mctx__scratch_place {
  _Alignas(64) atomic_flag taken;
} mctx__scratch_place;

typedef struct mctx__scratch_pool {
  mctx__scratch_place places[MCTX__SCRATCH_PLACES];
  unsigned char *memory;
} mctx__scratch_pool;

/* Opens a zeroed pool, if nobody has. False: there is no memory. */
bool mctx__scratch_open(mctx__scratch_pool *pool);
void mctx__scratch_close(mctx__scratch_pool *pool);

/* What one call has of it: a place, from the first time that it needs one. */
typedef struct mctx__scratch {
  mctx__scratch_pool *pool;
  uint32_t hint;         /* where to look first */
  bool refused;          /* no place was free */
  unsigned char *memory; /* of the place, or NULL */
  uint32_t used;
} mctx__scratch;

static inline void mctx__scratch_begin(mctx__scratch *scratch, mctx__scratch_pool *pool, uint32_t hint) {
  scratch->pool = pool;
  scratch->hint = hint;
  scratch->refused = false;
  scratch->memory = NULL;
}

/* Room for `bytes`; NULL: no place is free, or the place that is held is full. */
unsigned char *mctx__scratch_reserve(mctx__scratch *scratch, uint32_t bytes);

static inline bool mctx__scratch_is_held(const mctx__scratch *scratch) {
  return scratch->memory != NULL;
}

/* What was reserved is not needed any more. */
static inline void mctx__scratch_reuse(mctx__scratch *scratch) {
  scratch->used = 0;
}

/* Lets go of the place, if there is one. The next call may get another. */
static inline void mctx__scratch_release(mctx__scratch *scratch) {
  scratch->refused = false;
  if (scratch->memory == NULL) return;
  scratch->memory = NULL;
  atomic_flag_clear_explicit(&scratch->pool->places[scratch->hint].taken, memory_order_release);
}

#endif

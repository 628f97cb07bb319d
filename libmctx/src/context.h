/* SPDX-License-Identifier: MIT */
/* The owner of publications. */
#ifndef MCTX_CONTEXT_H
#define MCTX_CONTEXT_H

#include "handle.h"
#include "metrics.h"

typedef struct mctx__publication mctx__publication;

typedef struct mctx__child {
  uint64_t key; /* of the configuration: equal ones have equal keys */
  mctx__publication *publication;
} mctx__child;

typedef struct mctx__context {
  mctx__object object;
  mctx__mutex mutex;     /* guards what follows; comes before any publication's mutex */
  mctx__child *children; /* in order of opening */
  uint32_t count;
  uint32_t capacity;
  uint32_t leaving; /* publications that are no children any more and not yet gone */
  uint64_t added;
  uint64_t removed;
  mctx__counters closed; /* sums over the publications that are gone */
} mctx__context;

/* Puts a publication, not yet published, among the children: from here on its configuration is taken. */
mctx_status mctx__context_attach(const mctx__call *call, mctx__context *context,
                                 mctx__publication *publication);
/* Publishes an attached publication. Never fails. */
mctx_handle mctx__context_publish(mctx__context *context, mctx__publication *publication);
/* Removes a child and keeps its counters. The context waits for it until mctx__context_left(). */
void mctx__context_detach(mctx__context *context, mctx__publication *publication);
/* A detached publication is gone, its socket too. The context may be gone afterwards. */
void mctx__context_left(mctx__context *context);

/* Calls `visit` for each published child in order, with the context locked: none can go meanwhile. Visits none
 * and returns false if there are more than `most`. `count` (may be NULL) receives how many there are. */
typedef void mctx__visitor(mctx__publication *publication, void *argument);
bool mctx__context_each(mctx__context *context, uint32_t most, uint32_t *count, mctx__visitor *visit,
                        void *argument);

/* The sums over all publications that there ever were. */
void mctx__context_totals(mctx__context *context, mctx__counters *sum, uint64_t *added, uint64_t *removed);

#endif

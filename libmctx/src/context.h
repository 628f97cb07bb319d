/* SPDX-License-Identifier: MIT */
/* The owner of publications and subscriptions. */
#ifndef MCTX_CONTEXT_H
#define MCTX_CONTEXT_H

#include "handle.h"
#include "metrics.h"
#include "scratch.h"

typedef struct mctx__publication mctx__publication;
typedef struct mctx__subscription mctx__subscription;

typedef struct mctx__child {
  uint64_t key; /* of the configuration: equal ones have equal keys */
  mctx__publication *publication;
} mctx__child;

typedef struct mctx__context {
  mctx__object object;
  mctx__mutex mutex;     /* guards what follows; comes before the mutexes of what it owns */
  mctx__child *children; /* in order of opening */
  uint32_t count;
  uint32_t capacity;
  mctx__subscription *first; /* in order of opening */
  mctx__subscription *last;
  uint32_t leaving; /* publications and subscriptions that are no children any more and not yet gone */
  uint64_t added;
  uint64_t removed;
  uint64_t closed[MCTX__SEND_COUNTERS]; /* sums over the publications that are gone */
  uint64_t subscriptions_added;
  uint64_t subscriptions_removed;
  mctx__receive_counters received; /* sums over the subscriptions that are gone */
  mctx__scratch_pool scratch;      /* of the publications; opened with the first */
  _Atomic int64_t poller;          /* of the subscriptions; opened when somebody asks for it */
} mctx__context;

/* ---- publications ---- */

/* Puts a publication, not yet published, among the children: from here on its configuration is taken. */
mctx_status mctx__context_attach(const mctx__call *call, mctx__context *context,
                                 mctx__publication *publication);
/* Publishes an attached publication. Never fails. */
mctx_handle mctx__context_publish(mctx__context *context, mctx__publication *publication);
/* Removes a child and keeps its counters. The context waits for it until mctx__context_left(). */
void mctx__context_detach(mctx__context *context, mctx__publication *publication);
/* Calls `visit` for each published child in order, with the context locked: none can go meanwhile. Visits none
 * and returns false if there are more than `most`. `count` (may be NULL) receives how many there are. */
typedef void mctx__visitor(mctx__publication *publication, void *argument);
bool mctx__context_each(mctx__context *context, uint32_t most, uint32_t *count, mctx__visitor *visit,
                        void *argument);
/* The sums over all publications that there ever were. */
void mctx__context_totals(mctx__context *context, uint64_t *sums, uint64_t *added, uint64_t *removed);

/* ---- subscriptions ---- */

/* Publishes a subscription among the children. */
mctx_status mctx__context_add(const mctx__call *call, mctx__context *context, mctx__subscription *subscription,
                              mctx_subscription *handle);
/* Removes it, as mctx__context_detach() does. */
void mctx__context_remove(mctx__context *context, mctx__subscription *subscription);
/* Visits each subscription in order, with the context locked. */
typedef void mctx__subscription_visitor(mctx__subscription *subscription, void *argument);
void mctx__context_each_subscription(mctx__context *context, mctx__subscription_visitor *visit, void *argument);
/* Enters the subscription that was opened next after a serial number; NULL: there is none. */
mctx__subscription *mctx__context_pin_after(mctx__context *context, uint64_t serial);
/* The poller that is readable when a subscription is; opened by the first who asks. */
mctx__result mctx__context_poller(mctx__context *context, mctx__poller *poller);
/* The sums over all subscriptions that there ever were. */
void mctx__context_received(mctx__context *context, mctx__receive_counters *sum, uint64_t *added,
                            uint64_t *removed);

/* ---- either ---- */

/* A detached publication or removed subscription is gone, its socket too. The context may be gone afterwards.
 */
void mctx__context_left(mctx__context *context);

#endif

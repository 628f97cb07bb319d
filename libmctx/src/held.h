/* SPDX-License-Identifier: MIT */
/* What a coalesced message left for later receives. All with the subscription's lock held. */
#ifndef MCTX_HELD_H
#define MCTX_HELD_H

#include "subscription.h"

static inline bool mctx__holds(const mctx__subscription *subscription) {
  return subscription->held.bytes != NULL && subscription->held.offset < subscription->held.end;
}

/* Makes the event in the poller say whether there is something. */
void mctx__held_signal(mctx__subscription *subscription);
/* Drops what is held if it may not be delivered any more. */
void mctx__held_review(mctx__subscription *subscription);
/* Nothing is held any more. */
void mctx__held_clear(mctx__subscription *subscription);

#endif

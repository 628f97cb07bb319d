/* SPDX-License-Identifier: MIT */
#include "held.h"

void mctx__held_signal(mctx__subscription *subscription) {
  bool wanted = (mctx__holds(subscription) && (subscription->is_exposed || subscription->waiters > 0)) ||
                subscription->is_behind;
  if (wanted == subscription->is_signalled) return;
  subscription->is_signalled = wanted;
  if (wanted)
    mctx__event_signal(subscription->event);
  else
    mctx__event_clear(subscription->event);
}

void mctx__held_clear(mctx__subscription *subscription) {
  subscription->held.offset = 0;
  subscription->held.end = 0;
  subscription->held.part = NULL;
  if (subscription->is_signalled) mctx__held_signal(subscription);
}

void mctx__held_review(mctx__subscription *subscription) {
  mctx__held *held = &subscription->held;
  if (!mctx__holds(subscription) || held->part != NULL) return; /* nothing changed for it */
  const mctx__arrival *arrival = &held->arrival;
  mctx__part *part =
      (mctx__part *)mctx__table_find(&subscription->parts, held->owner, held->interface_index, &held->group);
  bool passes = part != NULL &&
                (mctx__filter_is_open(&part->filter) || ((arrival->present & MCTX_META_SOURCE) != 0 &&
                                                         mctx__filter_passes(&part->filter, &arrival->source)));
  if (passes) {
    held->part = part;
    return;
  }
  subscription->counters.discarded[part != NULL ? MCTX__DISCARD_SOURCE : MCTX__DISCARD_GROUP]++;
  mctx__held_clear(subscription);
}

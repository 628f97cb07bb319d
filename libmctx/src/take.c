/* SPDX-License-Identifier: MIT */
#include "take.h"

#include "address.h"

enum {
  TURN = 16,      /* receives that the ready sockets share before the poller is asked again */
  LOOK_AFTER = 64 /* receives from the only socket before the poller is asked for changes */
};

#define DROPS_QUIET_NS INT64_C(1000000000)

void mctx__look(mctx__subscription *subscription) {
  subscription->until_look = LOOK_AFTER;
  subscription->ready_at = 0;
  /* A poller that fails has nobody ready; a wait will say why. */
  (void)mctx__poller_ready(subscription->poller, subscription->ready, MCTX__READY_TAGS,
                           &subscription->ready_count);
  for (uint32_t i = 0; i < subscription->ready_count; i++)
    if (subscription->ready[i] == MCTX__TAG_WATCH) subscription->has_changes = true;
}

mctx__receiver *mctx__next_ready(mctx__subscription *subscription) {
  while (subscription->ready_at < subscription->ready_count) {
    uint64_t tag = subscription->ready[subscription->ready_at++];
    if (tag == MCTX__TAG_EVENT || tag == MCTX__TAG_WATCH) continue;
    subscription->turn = subscription->ready_count < TURN ? TURN / subscription->ready_count : 1;
    return (mctx__receiver *)(uintptr_t)tag;
  }
  return NULL;
}

void mctx__receive_forget(mctx__subscription *subscription, const mctx__receiver *receiver) {
  uint64_t tag = (uint64_t)(uintptr_t)receiver;
  if (subscription->current == receiver) {
    subscription->current = NULL;
    subscription->turn = 0;
  }
  for (uint32_t i = subscription->ready_at; i < subscription->ready_count; i++)
    if (subscription->ready[i] == tag) subscription->ready[i] = MCTX__TAG_EVENT;
}

/* Whether the subscription has joined it there by another socket; one that is being joined does not count yet.
 */
static bool has_settled(const mctx__subscription *subscription, uint32_t interface_index,
                        const mctx_address *group) {
  const mctx__member *member =
      (const mctx__member *)mctx__table_find(&subscription->members, 0, interface_index, group);
  return member != NULL && !member->is_fresh && member->refusal == MCTX_OK;
}

void mctx__discard_message(mctx__subscription *subscription, const mctx__receiver *receiver,
                           const mctx_address *group, uint32_t interface_index, bool filtered) {
  uint32_t reason = MCTX__DISCARD_GROUP;
  if (filtered) {
    reason = MCTX__DISCARD_SOURCE;
  } else if (!mctx__is_multicast(group)) {
    reason = MCTX__DISCARD_UNICAST;
  } else if (has_settled(subscription, interface_index, group)) {
    reason = MCTX__DISCARD_COPY;
  } else if (receiver->group.family != 0 || mctx__receiver_has_group(subscription, receiver, group)) {
    reason = MCTX__DISCARD_INTERFACE;
  }
  subscription->counters.discarded[reason]++;
}

void mctx__note_drops(mctx__subscription *subscription, mctx__receiver *receiver, uint32_t drops) {
  uint32_t more = drops - receiver->drops; /* the counter wraps */
  receiver->drops = drops;
  subscription->drops += more;
  subscription->counters.kernel_drops += more;
  int64_t now = mctx__clock_monotonic();
  bool was_quiet = subscription->drops_ns == 0 || now - subscription->drops_ns >= DROPS_QUIET_NS;
  subscription->drops_ns = now;
  if (!was_quiet) return;
  const mctx_event event = {.type = MCTX_EVENT_DROPS,
                            .handle = subscription->object.handle,
                            .time_ns = mctx__clock_utc(),
                            .value = subscription->drops};
  mctx__events_add(&subscription->events, &event);
}

/* SPDX-License-Identifier: MIT */
/* Taking messages off the sockets of a subscription, with its lock held: whose turn it is, and whether a
 * message may be delivered. */
#ifndef MCTX_TAKE_H
#define MCTX_TAKE_H

#include "subscription.h"

enum { MCTX__MESSAGES_PER_CALL = 256 /* looked at, whatever becomes of them */ };

/* One call in progress. */
typedef struct mctx__receiving {
  mctx__subscription *subscription;
  uint32_t budget;   /* messages that may still be looked at */
  bool is_empty;     /* the only socket has nothing */
  bool has_received; /* something that is delivered */
  int64_t now_ns;    /* roughly */
  uint64_t bytes;    /* delivered, of a batch */
} mctx__receiving;

/* Asks the poller who is readable. */
void mctx__look(mctx__subscription *subscription);
/* The next socket that was readable when the poller was asked last; NULL: there is none. */
mctx__receiver *mctx__next_ready(mctx__subscription *subscription);
/* Counts a message that is not delivered, by its reason. */
MCTX__COLD void mctx__discard_message(mctx__subscription *subscription, const mctx__receiver *receiver,
                                      const mctx_address *group, uint32_t interface_index, bool filtered);
/* The system lost messages of a socket. */
MCTX__COLD void mctx__note_drops(mctx__subscription *subscription, mctx__receiver *receiver, uint32_t drops);

/* The socket to receive from now; NULL: none has anything. */
static MCTX__IN_PLACE mctx__receiver *mctx__next_receiver(mctx__receiving *call) {
  mctx__subscription *subscription = call->subscription;
  if (MCTX__MOSTLY(subscription->only != NULL)) {
    /* Changes wait where nothing else does; a call that received something leaves them to the next one. */
    if (MCTX__SELDOM(subscription->until_look-- == 0 || (call->is_empty && !call->has_received)))
      mctx__look(subscription);
    return call->is_empty ? NULL : subscription->only;
  }
  if (subscription->turn == 0) {
    subscription->current = mctx__next_ready(subscription);
    if (subscription->current == NULL) {
      mctx__look(subscription);
      subscription->current = mctx__next_ready(subscription);
    }
    if (subscription->current == NULL) return NULL;
  }
  subscription->turn--;
  return subscription->current;
}

/* The membership that a message was received for; NULL: it is not delivered. */
static MCTX__IN_PLACE mctx__part *mctx__admit(mctx__subscription *subscription, mctx__receiver *receiver,
                                              const mctx__arrival *arrival) {
  if (MCTX__MOSTLY(receiver->sole != NULL)) return receiver->sole;
  /* What does not tell was bound to its group, and had one membership when it came. */
  const bool is_told = (arrival->present & MCTX_META_GROUP) != 0;
  const mctx_address *group = is_told ? &arrival->group : &receiver->group;
  uint32_t index = is_told ? arrival->interface_index : 0;
  if (index == 0) index = receiver->sole_interface;
  mctx__part *part = receiver->last;
  if (part == NULL || !mctx__entry_is(&part->entry, index, group)) {
    part = (mctx__part *)mctx__table_find(&subscription->parts, receiver->id, index, group);
    if (part == NULL) {
      mctx__discard_message(subscription, receiver, group, index, false);
      return NULL;
    }
    receiver->last = part;
  }
  if (mctx__filter_is_open(&part->filter) || mctx__filter_passes(&part->filter, &arrival->source)) return part;
  mctx__discard_message(subscription, receiver, group, index, true);
  return NULL;
}

/* After receives from the socket whose turn it is; the first of them is off its turn already. */
static MCTX__IN_PLACE void mctx__took_turns(mctx__receiving *call, uint32_t receives) {
  call->budget -= receives;
  if (call->subscription->only == NULL) call->subscription->turn -= receives - 1;
}

/* After a receive that brought nothing. MCTX_OK: go on with the others. */
static MCTX__IN_PLACE mctx__result mctx__took_nothing(mctx__receiving *call, mctx__result result) {
  if (result.status == MCTX_ERR_SIGNAL) return MCTX__DONE;
  call->subscription->turn = 0;
  if (result.status != MCTX_ERR_WOULD_BLOCK) return result;
  call->is_empty = true;
  return MCTX__DONE;
}

/* After a message was received: the membership that it is for, or NULL. */
static MCTX__IN_PLACE mctx__part *mctx__took(mctx__receiving *call, mctx__receiver *receiver,
                                             const mctx__arrival *arrival) {
  mctx__subscription *subscription = call->subscription;
  if (MCTX__SELDOM((arrival->present & MCTX_META_DROPS) != 0 && arrival->drops != receiver->drops))
    mctx__note_drops(subscription, receiver, arrival->drops);
  mctx__part *part = mctx__admit(subscription, receiver, arrival);
  call->has_received |= part != NULL;
  return part;
}

#endif

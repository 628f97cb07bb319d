/* SPDX-License-Identifier: MIT */
/* A call that receives: it tries, and if there was nothing it waits and tries again. */
#ifndef MCTX_ATTEMPT_H
#define MCTX_ATTEMPT_H

#include "take.h"

/* A subscription that a call is inside. */
typedef struct mctx__entered {
  mctx__subscription *subscription;
  bool is_own; /* of the calling thread: it is neither pinned nor locked */
} mctx__entered;

/* Receives or tells why not; with the lock held, or what replaces it. */
typedef mctx__result mctx__trying(mctx__receiving *call, void *target);

/* What a try leaves to be done about the interfaces. */
typedef struct mctx__outlook {
  bool has_changes; /* they are to be looked at now */
  int64_t retry_ns; /* or at that time; 0: there is nothing to do */
} mctx__outlook;

/* Whether the handle leads to an open subscription. */
static MCTX__IN_PLACE bool mctx__enter_receiving(mctx_handle handle, mctx__entered *in) {
  mctx__object *object = NULL;
  if (MCTX__MOSTLY(mctx__handle_kind(handle) == MCTX_HANDLE_SUBSCRIPTION)) object = mctx__enter_own(handle);
  in->is_own = object != NULL;
  if (MCTX__SELDOM(object == NULL)) object = mctx__pin_live_of(handle, MCTX_HANDLE_SUBSCRIPTION);
  in->subscription = (mctx__subscription *)object;
  return object != NULL;
}

static MCTX__IN_PLACE void mctx__leave_receiving(const mctx__entered *in) {
  if (MCTX__MOSTLY(in->is_own))
    mctx__leave_own(&in->subscription->object);
  else
    mctx__unpin(&in->subscription->object);
}

/* Takes the lock for a receive. A thread that is the only one to do so for a while becomes the owner. */
MCTX__COLD void mctx__lock_to_receive(mctx__subscription *subscription);

/* One try: what failed before comes first. */
static MCTX__IN_PLACE mctx__result mctx__attempt(const mctx__entered *in, mctx__trying *try_it, void *target,
                                                 mctx__outlook *left) {
  mctx__subscription *subscription = in->subscription;
  mctx__receiving call = {
      .subscription = subscription, .budget = MCTX__MESSAGES_PER_CALL, .now_ns = mctx__clock_coarse()};
  if (MCTX__SELDOM(!in->is_own)) mctx__lock_to_receive(subscription);
  mctx__result result = subscription->pending;
  if (MCTX__MOSTLY(result.status == MCTX_OK))
    result = try_it(&call, target);
  else
    subscription->pending = MCTX__DONE;
  if (MCTX__MOSTLY(result.status == MCTX_OK)) subscription->counters.receive_calls++;
  left->has_changes = subscription->has_changes;
  left->retry_ns = subscription->retry_ns;
  if (MCTX__SELDOM(!in->is_own)) mctx__subscription_unlock(subscription);
  return result;
}

/* Whether a call goes on after its first try. */
static MCTX__IN_PLACE bool mctx__is_left(const mctx__outlook *left, mctx__result result, int64_t timeout_ns) {
  if (MCTX__SELDOM(left->has_changes)) return true;
  return MCTX__SELDOM(result.status == MCTX_ERR_WOULD_BLOCK) && (timeout_ns != 0 || left->retry_ns != 0);
}

/* Goes on. */
MCTX__COLD mctx__result mctx__run_on(mctx__entered *in, uint32_t flags, int64_t timeout_ns,
                                     mctx__trying *try_it, void *target, mctx__result result,
                                     mctx__outlook left);

/* Counts and describes what a call that received nothing came to, and leaves. */
MCTX__COLD mctx_status mctx__receive_failed(const mctx__call *call, mctx__entered in, mctx__result result);

#endif

/* SPDX-License-Identifier: MIT */
/* A call that receives: it tries, and if there was nothing it waits and tries again. */
#ifndef MCTX_ATTEMPT_H
#define MCTX_ATTEMPT_H

#include "take.h"

/* A subscription that a call is inside. */
typedef struct mctx__entered {
  mctx__subscription *subscription;
  mctx__seat *own; /* the calling thread's, whose own it is: it is neither pinned nor locked; or NULL */
} mctx__entered;

/* Receives or tells why not; with the lock held, or what replaces it. */
typedef mctx__result mctx__trying(mctx__receiving *call, void *target);

/* What a try leaves to be done about the interfaces. */
typedef struct mctx__outlook {
  bool has_changes; /* they are to be looked at now */
  int64_t retry_ns; /* or at that time; 0: there is nothing to do */
} mctx__outlook;

/* Whether the handle leads to an open subscription that is the calling thread's own. */
static MCTX__IN_PLACE bool mctx__enter_own_receiving(mctx_handle handle, mctx__entered *in) {
  mctx__object *object;
  if (!mctx__enter_own(handle, MCTX_HANDLE_SUBSCRIPTION, &object, &in->own)) return false;
  in->subscription = (mctx__subscription *)object;
  return true;
}

/* Whether the handle leads to an open subscription. */
static MCTX__IN_PLACE bool mctx__enter_receiving(mctx_handle handle, mctx__entered *in) {
  in->subscription = (mctx__subscription *)mctx__enter_quickly(handle, MCTX_HANDLE_SUBSCRIPTION, &in->own);
  return in->subscription != NULL;
}

static MCTX__IN_PLACE void mctx__leave_receiving(const mctx__entered *in) {
  mctx__leave(&in->subscription->object, in->own);
}

/* A call that is about to try. */
static MCTX__IN_PLACE mctx__receiving mctx__begin(mctx__subscription *subscription) {
  return (mctx__receiving){
      .subscription = subscription, .budget = MCTX__MESSAGES_PER_CALL, .now_ns = mctx__clock_coarse()};
}

/* One try: what failed before comes first. */
static MCTX__IN_PLACE mctx__result mctx__attempt(const mctx__entered *in, mctx__receiving *call,
                                                 mctx__trying *try_it, void *target, mctx__outlook *left) {
  mctx__subscription *subscription = in->subscription;
  if (MCTX__SELDOM(in->own == NULL)) {
    mctx__subscription_lock(subscription);
    mctx__use(&subscription->object, &subscription->usage);
  }
  mctx__result result = subscription->pending;
  if (MCTX__MOSTLY(result.status == MCTX_OK))
    result = try_it(call, target);
  else
    subscription->pending = MCTX__DONE;
  if (MCTX__MOSTLY(result.status == MCTX_OK)) subscription->counters.receive_calls++;
  left->has_changes = subscription->has_changes;
  left->retry_ns = subscription->retry_ns;
  if (MCTX__SELDOM(in->own == NULL)) mctx__subscription_unlock(subscription);
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

/* SPDX-License-Identifier: MIT */
#include "attempt.h"

#include "held.h"
#include "wait.h"

#define BEHIND_NS INT64_C(10000000) /* until interfaces are looked at again after that failed */

static const mctx__result nothing_joined = {MCTX_ERR_NOTHING_JOINED, 0};

static mctx__result wait_readable(mctx__subscription *subscription, uint32_t flags, int64_t deadline_ns) {
  uint32_t ready;
  mctx__subscription_lock(subscription);
  subscription->waiters++;
  mctx__held_signal(subscription); /* another thread may have left something meanwhile */
  mctx__subscription_unlock(subscription);
  mctx__result result = mctx__object_wait(&subscription->object, mctx__poller_member(subscription->poller),
                                          MCTX_READABLE, flags, deadline_ns, &ready);
  mctx__subscription_lock(subscription);
  subscription->waiters--;
  mctx__held_signal(subscription);
  mctx__subscription_unlock(subscription);
  return result;
}

/* MCTX_OK: some time has passed. */
static mctx__result pause_behind(mctx__subscription *subscription, uint32_t flags, int64_t deadline_ns) {
  const int64_t until = mctx__clock_monotonic() + BEHIND_NS;
  uint32_t ready;
  mctx__result result = mctx__object_wait(&subscription->object, MCTX__NO_SOCKET, 0, flags,
                                          until < deadline_ns ? until : deadline_ns, &ready);
  return result.status == MCTX_ERR_TIMEOUT && until < deadline_ns ? MCTX__DONE : result;
}

/* Looks at the interfaces if it is time to. False: that failed. */
static bool look_around(mctx__subscription *subscription, mctx__outlook *left) {
  const bool is_due = left->has_changes || (left->retry_ns != 0 && mctx__clock_coarse() >= left->retry_ns);
  if (!is_due) return true;
  const bool is_done = mctx__subscription_follow(subscription);
  mctx__subscription_lock(subscription);
  left->retry_ns = subscription->retry_ns;
  mctx__subscription_unlock(subscription);
  return is_done;
}

/* Waits until there is something to receive, or to do about the interfaces. */
static mctx__result wait_more(mctx__subscription *subscription, uint32_t flags, int64_t deadline_ns,
                              const mctx__outlook *left, bool is_behind) {
  /* The handle is readable for that alone: try again a little later. */
  if (is_behind) return pause_behind(subscription, flags, deadline_ns);
  const int64_t retry_ns = left->retry_ns != 0 ? left->retry_ns + MCTX__COARSE_NS : deadline_ns;
  const bool is_retry = retry_ns < deadline_ns;
  mctx__result result = wait_readable(subscription, flags, is_retry ? retry_ns : deadline_ns);
  return is_retry && result.status == MCTX_ERR_TIMEOUT ? MCTX__DONE : result;
}

static mctx__result attempt_again(const mctx__entered *in, mctx__trying *try_it, void *target,
                                  mctx__outlook *left) {
  mctx__receiving call = mctx__begin(in->subscription);
  return mctx__attempt(in, &call, try_it, target, left);
}

mctx__result mctx__run_on(mctx__entered *in, uint32_t flags, int64_t timeout_ns, mctx__trying *try_it,
                          void *target, mctx__result result, mctx__outlook left) {
  mctx__subscription *subscription = in->subscription;
  int64_t deadline = 0;
  mctx__stay(&in->subscription->object, &in->own);
  for (;; result = attempt_again(in, try_it, target, &left)) {
    const bool is_behind = !look_around(subscription, &left);
    if (result.status != MCTX_ERR_WOULD_BLOCK || timeout_ns == 0) return result;
    if (deadline == 0) {
      if (timeout_ns < 0 && !mctx__subscription_has_groups(subscription)) return nothing_joined;
      deadline = mctx__deadline(timeout_ns);
    }
    result = wait_more(subscription, flags, deadline, &left, is_behind);
    /* What arrives but is not delivered must not keep a call beyond its time. */
    if (result.status == MCTX_OK && deadline != MCTX__FOREVER && mctx__clock_monotonic() >= deadline) {
      result = attempt_again(in, try_it, target, &left);
      if (result.status == MCTX_ERR_WOULD_BLOCK) result.status = MCTX_ERR_TIMEOUT;
      return result;
    }
    if (result.status != MCTX_OK) return result;
  }
}

static void count_failure(mctx__subscription *subscription, mctx_status status) {
  uint32_t kind = mctx_status_kind(status);
  subscription->counters.receive_errors++;
  subscription->counters.errors[kind < MCTX__KINDS ? kind : MCTX_KIND_INTERNAL]++;
}

/* Counts and describes what a call that received nothing came to. */
mctx_status mctx__receive_failed(const mctx__call *call, mctx__entered in, mctx__result result) {
  mctx__subscription *subscription = in.subscription;
  mctx_status status = result.status;
  mctx__stay(&in.subscription->object, &in.own);
  mctx__subscription_lock(subscription);
  subscription->counters.receive_calls++;
  count_failure(subscription, status);
  mctx__subscription_unlock(subscription);
  if (status == MCTX_ERR_CLOSED)
    status = mctx__handle_failed(call, MCTX_ERR_CLOSED);
  else if (status == MCTX_ERR_NOTHING_JOINED)
    status = mctx__nothing_joined(call);
  else
    status = MCTX__FAIL(call, status, .os_code = result.os_code);
  mctx__unpin(&subscription->object);
  return status;
}

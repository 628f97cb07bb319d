/* SPDX-License-Identifier: MIT */
/* Changing the filters of memberships while they are joined (RFC 3678, section 3). */
#include <stdio.h>

#include "address.h"
#include "interface.h"
#include "join.h"
#include "options.h"
#include "wish.h"

/* What becomes of a filter. */
typedef mctx_status changing(const mctx__call *call, const mctx__wish *asked, const mctx_address *source,
                             const mctx__filter *old, mctx__filter *changed);

static mctx_status memory_for(const mctx__call *call, const mctx__wish *asked, bool made) {
  return made ? MCTX_OK : mctx__wish_no_memory(call, asked);
}

static mctx_status source_failed(const mctx__call *call, mctx_status status, const mctx_address *source,
                                 const char *hint) {
  char text[MCTX__ADDRESS_TEXT];
  char message[160];
  snprintf(message, sizeof message, "%s: %s", mctx__host_text(source, text), mctx_status_text(status));
  return MCTX__FAIL(call, status, .field = "source", .message = message, .hint = hint);
}

static mctx_status allow_source(const mctx__call *call, const mctx__wish *asked, const mctx_address *source,
                                const mctx__filter *old, mctx__filter *changed) {
  const bool is_listed = mctx__filter_lists(old, source);
  if (old->mode == MCTX_INCLUDE && is_listed)
    return source_failed(call, MCTX_ERR_SOURCE_EXISTS, source, "it is let through already");
  if (old->mode == MCTX_EXCLUDE && !is_listed)
    return source_failed(call, MCTX_ERR_SOURCE_NOT_FOUND, source,
                         "the filter excludes, and not this source: it is let through already");
  return memory_for(
      call, asked,
      is_listed ? mctx__filter_without(changed, old, source) : mctx__filter_with(changed, old, source));
}

static mctx_status block_source(const mctx__call *call, const mctx__wish *asked, const mctx_address *source,
                                const mctx__filter *old, mctx__filter *changed) {
  if (old->mode == MCTX_INCLUDE)
    return MCTX__FAIL(
        call, MCTX_ERR_FILTER_MODE, .field = "membership",
        .hint =
            "the filter lists whom it lets through: to take one off, set the list anew, or leave the group");
  if (mctx__filter_lists(old, source))
    return source_failed(call, MCTX_ERR_SOURCE_EXISTS, source, "it is shut out already");
  return memory_for(call, asked, mctx__filter_with(changed, old, source));
}

static mctx_status replace_filter(const mctx__call *call, const mctx__wish *asked, const mctx_address *source,
                                  const mctx__filter *old, mctx__filter *changed) {
  (void)source;
  (void)old;
  return memory_for(call, asked, mctx__filter_copy(changed, &asked->filter));
}

/* Whether the change is right for each membership that it concerns: all of them are looked at before the first
 * is told, so that only a failure of the system needs to be undone. */
static mctx_status check_members(const mctx__call *call, const mctx__subscription *subscription,
                                 const mctx__wish *asked, const mctx_address *source, changing *change_filter,
                                 bool *any) {
  *any = false;
  for (const mctx__member *member = subscription->first; member != NULL; member = member->next) {
    mctx__filter changed;
    if (!mctx__wish_means(asked, member)) continue;
    *any = true;
    mctx_status status = change_filter(call, asked, source, &member->filter, &changed);
    if (status != MCTX_OK) return status;
    mctx__filter_free(&changed);
  }
  return MCTX_OK;
}

static mctx_status tell_members(const mctx__call *call, mctx__subscription *subscription,
                                const mctx__interfaces *interfaces, const mctx__wish *asked,
                                const mctx_address *source, changing *change_filter, mctx__change *change) {
  for (mctx__member *member = subscription->first; member != NULL; member = member->next) {
    mctx__filter changed;
    if (!mctx__wish_means(asked, member)) continue;
    mctx_status status = change_filter(call, asked, source, &member->filter, &changed);
    if (status != MCTX_OK) return status;
    mctx__result result = mctx__member_tell(subscription, change, member, &changed);
    if (result.status != MCTX_OK)
      return mctx__wish_refused(call, asked,
                                mctx__interface_by_index(interfaces, member->entry.interface_index), result);
  }
  return MCTX_OK;
}

/* The filter for interfaces to come. Where memberships have their say, it follows as far as it can: one that
 * has changed by itself may not differ in that. */
static mctx_status change_standing(const mctx__call *call, const mctx__wish *asked, const mctx_address *source,
                                   changing *change_filter, bool has_members, const mctx__standing *standing,
                                   mctx__filter *changed) {
  const mctx__call silent = {call->operation, call->handle, has_members ? NULL : call->error};
  mctx_status status = change_filter(&silent, asked, source, &standing->filter, changed);
  if (status == MCTX_OK || !has_members) return status;
  if (status != MCTX_ERR_NO_MEMORY && mctx__filter_copy(changed, &standing->filter)) return MCTX_OK;
  return mctx__wish_no_memory(call, asked);
}

static mctx_status change_members(const mctx__call *call, mctx__subscription *subscription,
                                  const mctx__interfaces *interfaces, const mctx__wish *asked,
                                  const mctx_address *source, changing *change_filter, mctx__change *change) {
  bool any;
  mctx__filter everywhere = {.mode = MCTX_EXCLUDE};
  mctx__standing *standing =
      asked->ingress.by == MCTX_INTERFACE_ANY ? mctx__standing_find(subscription, &asked->group) : NULL;
  mctx_status status = check_members(call, subscription, asked, source, change_filter, &any);
  if (status == MCTX_OK && standing != NULL)
    status = change_standing(call, asked, source, change_filter, any, standing, &everywhere);
  if (status == MCTX_OK && !any && standing == NULL) return mctx__wish_not_joined(call, interfaces, asked);
  if (status == MCTX_OK)
    status = tell_members(call, subscription, interfaces, asked, source, change_filter, change);
  if (status == MCTX_OK && standing != NULL) {
    mctx__filter before = standing->filter;
    standing->filter = everywhere;
    everywhere = before;
  }
  mctx__filter_free(&everywhere);
  return status;
}

static mctx_status change_filters(const mctx__call *call, mctx__subscription *subscription,
                                  const mctx_membership *membership, uint32_t size,
                                  enum mctx__filtering filtering, const mctx_address *source,
                                  changing *change_filter) {
  mctx__change change = {NULL};
  mctx__interfaces interfaces;
  mctx__wish *asked;
  mctx_status status = mctx__wishes_read(call, subscription, membership, size, 1, filtering, &asked);
  if (status != MCTX_OK) return status;
  if (source != NULL) status = mctx__source_check(call, source, asked->group.family, "source");
  if (status == MCTX_OK) status = mctx__interfaces_list(call, &interfaces, "interface");
  if (status != MCTX_OK) goto free_wish;
  status = mctx__wishes_resolve(call, &interfaces, asked, 1);
  if (status == MCTX_OK)
    status = change_members(call, subscription, &interfaces, asked, source, change_filter, &change);
  if (status == MCTX_OK)
    mctx__change_settle(subscription, &change);
  else
    mctx__change_undo(subscription, &change);
  mctx__interfaces_free(&interfaces);
free_wish:
  mctx__wishes_free(asked, 1);
  return status;
}

/* A call that changes the filter of one group. `source` is NULL where the membership carries the filter. */
static mctx_status change(const mctx__call *call, const mctx_membership *membership, uint32_t size,
                          const mctx_address *source, changing *change_filter) {
  mctx__subscription *own;
  const enum mctx__filtering filtering = source != NULL ? MCTX__WITHOUT_FILTER : MCTX__WITH_FILTER;
  if (membership == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "membership");
  if (!mctx__struct_size_valid(size))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "size", .value = size,
                      .hint = "pass sizeof(mctx_membership)");
  mctx_status status = mctx__subscription_enter_current(call, &own);
  if (status != MCTX_OK) return status;
  status = change_filters(call, own, membership, size, filtering, source, change_filter);
  mctx__subscription_leave(own);
  return status;
}

mctx_status mctx_allow(mctx_subscription subscription, const mctx_membership *membership, uint32_t size,
                       const mctx_address *source, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (source == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "source");
  return change(&call, membership, size, source, allow_source);
}

mctx_status mctx_block(mctx_subscription subscription, const mctx_membership *membership, uint32_t size,
                       const mctx_address *source, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (source == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "source");
  return change(&call, membership, size, source, block_source);
}

mctx_status mctx_filter_set(mctx_subscription subscription, const mctx_membership *membership, uint32_t size,
                            mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  return change(&call, membership, size, NULL, replace_filter);
}

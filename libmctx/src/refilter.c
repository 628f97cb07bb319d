/* SPDX-License-Identifier: MIT */
/* Changing the filters of memberships while they are joined (RFC 3678, section 3). */
#include <stdio.h>

#include "address.h"
#include "interface.h"
#include "join.h"
#include "options.h"
#include "wish.h"

typedef struct refiltering refiltering;

/* What becomes of a filter, or why nothing can. */
typedef mctx_status filter_change(const refiltering *own, const mctx__filter *old, mctx__filter *changed);

/* One call in progress. */
struct refiltering {
  const mctx__call *call;
  mctx__subscription *subscription;
  mctx__wishes wishes;        /* one */
  const mctx_address *source; /* NULL where the membership carries the filter */
  filter_change *change_filter;
  mctx__change change;
};

/* ---- the changes ---- */

static mctx_status memory_for(const refiltering *own, bool made) {
  return made ? MCTX_OK : mctx__wish_no_memory(own->call, own->wishes.items);
}

static mctx_status source_failed(const refiltering *own, mctx_status status, const char *hint) {
  char text[MCTX__ADDRESS_TEXT];
  char message[160];
  snprintf(message, sizeof message, "%s: %s", mctx__host_text(own->source, text), mctx_status_text(status));
  return MCTX__FAIL(own->call, status, .field = "source", .message = message, .hint = hint);
}

static mctx_status allow_source(const refiltering *own, const mctx__filter *old, mctx__filter *changed) {
  const bool is_listed = mctx__filter_lists(old, own->source);
  if (old->mode == MCTX_INCLUDE && is_listed)
    return source_failed(own, MCTX_ERR_SOURCE_EXISTS, "it is let through already");
  if (old->mode == MCTX_EXCLUDE && !is_listed)
    return source_failed(own, MCTX_ERR_SOURCE_NOT_FOUND,
                         "the filter excludes, and not this source: it is let through already");
  return memory_for(own, is_listed ? mctx__filter_without(changed, old, own->source)
                                   : mctx__filter_with(changed, old, own->source));
}

static mctx_status block_source(const refiltering *own, const mctx__filter *old, mctx__filter *changed) {
  if (old->mode == MCTX_INCLUDE)
    return MCTX__FAIL(
        own->call, MCTX_ERR_FILTER_MODE, .field = "membership",
        .hint =
            "the filter lists whom it lets through: to take one off, set the list anew, or leave the group");
  if (mctx__filter_lists(old, own->source))
    return source_failed(own, MCTX_ERR_SOURCE_EXISTS, "it is shut out already");
  return memory_for(own, mctx__filter_with(changed, old, own->source));
}

static mctx_status replace_filter(const refiltering *own, const mctx__filter *old, mctx__filter *changed) {
  (void)old;
  return memory_for(own, mctx__filter_copy(changed, &own->wishes.items->filter));
}

/* ---- to whom ---- */

/* Whether the change is right for each membership that it concerns: all of them are looked at before the first
 * is told, so that only a failure of the system needs to be undone. */
static mctx_status check_members(const refiltering *own, bool *any) {
  *any = false;
  for (const mctx__member *member = own->subscription->first; member != NULL; member = member->next) {
    mctx__filter changed;
    if (!mctx__wish_means(own->wishes.items, member)) continue;
    *any = true;
    mctx_status status = own->change_filter(own, &member->filter, &changed);
    if (status != MCTX_OK) return status;
    mctx__filter_free(&changed);
  }
  return MCTX_OK;
}

static mctx_status tell_members(refiltering *own) {
  const mctx__wish *asked = own->wishes.items;
  for (mctx__member *member = own->subscription->first; member != NULL; member = member->next) {
    mctx__filter changed;
    if (!mctx__wish_means(asked, member)) continue;
    mctx_status status = own->change_filter(own, &member->filter, &changed);
    if (status != MCTX_OK) return status;
    mctx__result result = mctx__member_tell(own->subscription, &own->change, member, &changed);
    if (result.status == MCTX_OK) continue;
    return mctx__wish_refused(own->call, asked,
                              mctx__interface_by_index(&own->wishes.interfaces, member->entry.interface_index),
                              result);
  }
  return MCTX_OK;
}

/* The filter for interfaces to come. Where memberships have their say, it follows as far as it can: one that
 * has changed by itself may not differ in that. */
static mctx_status change_standing(const refiltering *own, bool has_members, const mctx__standing *standing,
                                   mctx__filter *changed) {
  const mctx__call silent = {own->call->operation, own->call->handle, has_members ? NULL : own->call->error};
  refiltering quietly = *own;
  quietly.call = &silent;
  mctx_status status = own->change_filter(&quietly, &standing->filter, changed);
  if (status == MCTX_OK || !has_members) return status;
  if (status != MCTX_ERR_NO_MEMORY && mctx__filter_copy(changed, &standing->filter)) return MCTX_OK;
  return memory_for(own, false);
}

static mctx_status change_members(refiltering *own) {
  bool any;
  const mctx__wish *asked = own->wishes.items;
  mctx__filter everywhere = {.mode = MCTX_EXCLUDE};
  mctx__standing *standing =
      asked->ingress.by == MCTX_INTERFACE_ANY ? mctx__standing_find(own->subscription, &asked->group) : NULL;
  mctx_status status = check_members(own, &any);
  if (status == MCTX_OK && standing != NULL) status = change_standing(own, any, standing, &everywhere);
  if (status == MCTX_OK && !any && standing == NULL)
    return mctx__wish_not_joined(own->call, &own->wishes.interfaces, asked);
  if (status == MCTX_OK) status = tell_members(own);
  if (status == MCTX_OK && standing != NULL) {
    mctx__filter before = standing->filter;
    standing->filter = everywhere;
    everywhere = before;
  }
  mctx__filter_free(&everywhere);
  return status;
}

static mctx_status change_filters(refiltering *own, const mctx_membership *membership, uint32_t size) {
  const enum mctx__filtering filtering = own->source != NULL ? MCTX__WITHOUT_FILTER : MCTX__WITH_FILTER;
  mctx_status status =
      mctx__wishes_read(own->call, own->subscription, membership, size, 1, filtering, &own->wishes);
  if (status != MCTX_OK) return status;
  if (own->source != NULL)
    status = mctx__source_check(own->call, own->source, own->wishes.items->group.family, "source");
  if (status == MCTX_OK) status = mctx__wishes_resolve(own->call, &own->wishes);
  if (status == MCTX_OK) status = change_members(own);
  if (status == MCTX_OK)
    mctx__change_settle(own->subscription, &own->change);
  else
    mctx__change_undo(own->subscription, &own->change);
  mctx__wishes_free(&own->wishes);
  return status;
}

/* ---- the calls ---- */

static mctx_status run(const mctx__call *call, const mctx_membership *membership, uint32_t size,
                       const mctx_address *source, filter_change *change_filter) {
  refiltering own = {.call = call, .source = source, .change_filter = change_filter};
  if (membership == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "membership");
  if (!mctx__struct_size_valid(size))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "size", .value = size,
                      .hint = "pass sizeof(mctx_membership)");
  mctx_status status = mctx__subscription_enter_current(call, &own.subscription);
  if (status != MCTX_OK) return status;
  status = change_filters(&own, membership, size);
  mctx__subscription_exit(own.subscription);
  return status;
}

mctx_status mctx_allow(mctx_subscription subscription, const mctx_membership *membership, uint32_t size,
                       const mctx_address *source, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (source == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "source");
  return run(&call, membership, size, source, allow_source);
}

mctx_status mctx_block(mctx_subscription subscription, const mctx_membership *membership, uint32_t size,
                       const mctx_address *source, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (source == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "source");
  return run(&call, membership, size, source, block_source);
}

mctx_status mctx_filter_set(mctx_subscription subscription, const mctx_membership *membership, uint32_t size,
                            mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  return run(&call, membership, size, NULL, replace_filter);
}

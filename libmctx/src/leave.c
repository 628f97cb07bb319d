/* SPDX-License-Identifier: MIT */
/* Leaving groups: all elements of a call are marked before the first is left. */
#include "interface.h"
#include "join.h"
#include "wish.h"

/* Where a group of the default set is left by hand, it stays left when the interfaces are looked at again. */
static mctx_status except_interface(const mctx__call *call, const mctx__subscription *subscription,
                                    const mctx__interfaces *interfaces, const mctx__wish *asked,
                                    mctx__member *member) {
  const mctx__standing *standing = mctx__standing_find(subscription, &asked->group);
  const mctx__interface *interface = mctx__interface_by_index(interfaces, member->entry.interface_index);
  if (asked->ingress.by == MCTX_INTERFACE_ANY || standing == NULL) return MCTX_OK;
  mctx_interface_ref name = asked->ingress; /* of one that is away */
  if (interface != NULL)
    name = (mctx_interface_ref){
        .by = MCTX_INTERFACE_BY_NAME, .index = interface->info.index, .name = interface->info.name};
  if (mctx__names_have(standing->except, &name)) return MCTX_OK;
  return mctx__name_add(&member->except, &name) ? MCTX_OK : mctx__wish_no_memory(call, asked);
}

static mctx_status mark_leaving(const mctx__call *call, mctx__subscription *subscription,
                                const mctx__interfaces *interfaces, const mctx__wish *asked) {
  mctx__standing *standing =
      asked->ingress.by == MCTX_INTERFACE_ANY ? mctx__standing_find(subscription, &asked->group) : NULL;
  bool any = standing != NULL && !standing->is_leaving;
  if (standing != NULL) standing->is_leaving = true;
  for (mctx__member *member = subscription->first; member != NULL; member = member->next) {
    if (member->is_leaving || !mctx__wish_means(asked, member)) continue;
    mctx_status status = except_interface(call, subscription, interfaces, asked, member);
    if (status != MCTX_OK) return status;
    member->is_leaving = true;
    any = true;
  }
  return any ? MCTX_OK : mctx__wish_not_joined(call, interfaces, asked);
}

static void leave_exception(const mctx__subscription *subscription, mctx__member *member) {
  if (member->except == NULL) return;
  mctx__names_move(&mctx__standing_find(subscription, &member->entry.group)->except, &member->except);
}

static void leave_marked(mctx__subscription *subscription) {
  for (mctx__member *member = subscription->first; member != NULL;) {
    mctx__member *next = member->next;
    if (member->is_leaving) {
      leave_exception(subscription, member);
      mctx__member_remove(subscription, member);
    }
    member = next;
  }
  for (mctx__standing *at = subscription->standing; at != NULL;) {
    mctx__standing *next = at->next;
    if (at->is_leaving) mctx__standing_remove(subscription, at);
    at = next;
  }
}

static void unmark(mctx__subscription *subscription) {
  for (mctx__member *member = subscription->first; member != NULL; member = member->next) {
    member->is_leaving = false;
    mctx__names_free(&member->except);
  }
  for (mctx__standing *at = subscription->standing; at != NULL; at = at->next)
    at->is_leaving = false;
}

static mctx_status leave_array(const mctx__call *call, mctx__subscription *subscription,
                               const mctx_membership *memberships, uint32_t stride, uint64_t count) {
  mctx__wishes wishes;
  mctx_status status =
      mctx__wishes_read(call, subscription, memberships, stride, count, MCTX__WITHOUT_FILTER, &wishes);
  if (status != MCTX_OK) return status;
  status = mctx__wishes_resolve(call, &wishes);
  for (uint64_t i = 0; i < count && status == MCTX_OK; i++)
    status = mark_leaving(call, subscription, &wishes.interfaces, &wishes.items[i]);
  if (status == MCTX_OK)
    leave_marked(subscription);
  else
    unmark(subscription);
  mctx__wishes_free(&wishes);
  return status;
}

mctx_status mctx_leave(mctx_subscription subscription, const mctx_membership *memberships, uint32_t stride,
                       uint32_t count, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  return mctx__array_call(&call, memberships, stride, count, leave_array);
}

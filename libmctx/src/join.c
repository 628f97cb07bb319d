/* SPDX-License-Identifier: MIT */
/*
 * Joining groups: what a call asks for is resolved against the interfaces of this host, then told to the system
 * membership by membership, then settled or undone as a whole.
 */
#include "join.h"

#include "address.h"
#include "interface.h"
#include "wish.h"

/* RFC 4607: 232.0.0.0/8 and ff3x::/32. */
static bool is_source_specific(const mctx_address *group) {
  if (group->family == 4) return group->bytes[0] == 232;
  return (group->bytes[1] & 0xf0) == 0x30 && group->bytes[2] == 0 && group->bytes[3] == 0;
}

bool mctx__is_sourceless(const mctx_address *group, const mctx__filter *filter) {
  return filter->mode == MCTX_EXCLUDE && is_source_specific(group);
}

/* ---- the groups of the default set ---- */

mctx__standing *mctx__standing_find(const mctx__subscription *subscription, const mctx_address *group) {
  mctx__standing *at = subscription->standing;
  while (at != NULL && !mctx__same_host(&at->group, group))
    at = at->next;
  return at;
}

/* Found by the elements that follow; taken off again if one of them fails. NULL if there is no memory. */
static mctx__standing *add_standing(mctx__subscription *subscription, const mctx__wish *asked) {
  mctx__standing *standing = mctx__allocate(sizeof *standing);
  if (standing == NULL) return NULL;
  if (!mctx__filter_copy(&standing->filter, &asked->filter)) {
    mctx__release(standing);
    return NULL;
  }
  standing->group = asked->group;
  standing->is_fresh = true;
  mctx__standing **at = &subscription->standing;
  while (*at != NULL)
    at = &(*at)->next;
  *at = standing;
  return standing;
}

void mctx__standing_remove(mctx__subscription *subscription, mctx__standing *standing) {
  mctx__standing **at = &subscription->standing;
  while (*at != standing)
    at = &(*at)->next;
  *at = standing->next;
  mctx__names_free(&standing->except);
  mctx__filter_free(&standing->filter);
  mctx__release(standing);
}

/* ---- joining ---- */

/* One call in progress. */
typedef struct joining {
  const mctx__call *call;
  mctx__subscription *subscription;
  mctx__wishes wishes;
  mctx__change change;
  bool may_spare; /* descriptors: it is tried again without sockets that are bound to a group */
} joining;

/* A shortage that sparing may help is not described yet. */
static mctx_status refused(const joining *join, const mctx__wish *asked, const mctx__interface *interface,
                           mctx__result result) {
  if (result.status == MCTX_ERR_TOO_MANY_DESCRIPTORS && join->may_spare) return result.status;
  return mctx__wish_refused(join->call, asked, interface, result);
}

#define HINT_EXISTS  "it is joined with this very filter; nothing is to be done"
#define HINT_DIFFERS "allow or block sources there, or set its filter anew"

/* A new membership, told; where `started` is set and it failed, the caller decides what becomes of it. */
static mctx__result start_member(mctx__subscription *subscription, mctx__change *change,
                                 const mctx_address *group, const mctx__filter *filter,
                                 const mctx__interface *interface, const mctx_interface_ref *name,
                                 mctx__member **started) {
  mctx__filter own;
  *started = mctx__member_add(subscription, group, interface->info.index);
  if (*started == NULL) return MCTX__NO_MEMORY;
  if (!mctx__name_add(&(*started)->names, name) || !mctx__filter_copy(&own, filter)) return MCTX__NO_MEMORY;
  return mctx__member_tell(subscription, change, *started, &own);
}

/* A membership of that name whose interface refuses it at present: it is joined as soon as it can be. */
static mctx__member *find_absent(const mctx__subscription *subscription, const mctx__wish *asked,
                                 const mctx_interface_ref *name) {
  if (subscription->member_count == subscription->members.count) return NULL; /* none is absent */
  mctx__member *at = subscription->first;
  while (at != NULL && (at->entry.interface_index != 0 || !mctx__same_host(&at->entry.group, &asked->group) ||
                        !mctx__names_have(at->names, name)))
    at = at->next;
  return at;
}

/* Whether it has that filter, or is about to. */
static bool has_filter(const mctx__member *member, const mctx__filter *filter) {
  return mctx__filter_same(member->is_fresh ? &member->next_filter : &member->filter, filter);
}

/* Joins on one interface. `is_new` tells whether there was anything to do. */
static mctx_status join_named(joining *join, const mctx__wish *asked, const mctx_interface_ref *name,
                              bool *is_new) {
  const mctx__interface *interface = mctx__interface_find(&join->wishes.interfaces, name);
  mctx__member *member;
  if (interface == NULL) {
    mctx_status status = mctx__interface_not_found(join->call, &join->wishes.interfaces, name, NULL);
    mctx__describe_item(join->call, asked->item);
    return status;
  }
  member = mctx__member_find(join->subscription, &asked->group, interface->info.index);
  if (member == NULL) member = find_absent(join->subscription, asked, name);
  if (member != NULL) {
    if (!has_filter(member, &asked->filter))
      return mctx__wish_failed(join->call, asked, MCTX_ERR_FILTER_DIFFERS, HINT_DIFFERS);
    if (member->refusal != MCTX_OK)
      return mctx__wish_refused(join->call, asked, interface, (mctx__result){member->refusal, 0});
    if (!member->is_fresh || mctx__names_have(member->names, name)) return MCTX_OK;
    *is_new = true; /* another name of it */
    return mctx__name_add(&member->names, name) ? MCTX_OK : mctx__wish_no_memory(join->call, asked);
  }
  *is_new = true;
  mctx__result result =
      start_member(join->subscription, &join->change, &asked->group, &asked->filter, interface, name, &member);
  if (result.status == MCTX_OK) return MCTX_OK;
  if (member != NULL) mctx__member_remove(join->subscription, member);
  return refused(join, asked, interface, result);
}

/* A refusal of one interface; other failures are the whole call's. */
bool mctx__is_refusal(mctx_status status) {
  const uint32_t kind = mctx_status_kind(status);
  return kind != MCTX_KIND_LIMIT && kind != MCTX_KIND_ALREADY_EXISTS && kind != MCTX_KIND_INTERNAL &&
         status != MCTX_ERR_FAMILY_UNSUPPORTED;
}

mctx__result mctx__join_default(mctx__subscription *subscription, mctx__change *change,
                                const mctx_address *group, const mctx__filter *filter,
                                const mctx__interface *interface) {
  const mctx_interface_ref name = {.by = MCTX_INTERFACE_BY_NAME, .name = interface->info.name};
  mctx__filter own;
  mctx__member *member;
  mctx__result result = start_member(subscription, change, group, filter, interface, &name, &member);
  if (member != NULL) member->is_default = true;
  if (result.status == MCTX_OK || member == NULL) return result;
  if (!mctx__is_refusal(result.status) || !mctx__filter_copy(&own, filter)) {
    mctx__member_remove(subscription, member);
    return mctx__is_refusal(result.status) ? MCTX__NO_MEMORY : result;
  }
  /* It stays in the list, to be seen and tried again. */
  member->refusal = result.status;
  (void)mctx__member_tell(subscription, change, member, &own); /* has no parts, and cannot fail */
  return result;
}

/* Where a group of the default set was joined. */
typedef struct reach {
  uint32_t interfaces; /* of the set */
  uint32_t accepted;
  uint32_t found; /* joined before */
  mctx__result refusal;
  const mctx__interface *refusing;
} reach;

static mctx_status join_everywhere(joining *join, const mctx__wish *asked, reach *reached) {
  for (uint32_t i = 0; i < join->wishes.interfaces.count; i++) {
    const mctx__interface *interface = &join->wishes.interfaces.items[i];
    if (!mctx__is_default_interface(interface)) continue;
    reached->interfaces++;
    const mctx__member *member = mctx__member_find(join->subscription, &asked->group, interface->info.index);
    if (member != NULL) {
      if (!has_filter(member, &asked->filter))
        return mctx__wish_failed(join->call, asked, MCTX_ERR_FILTER_DIFFERS, HINT_DIFFERS);
      reached->found++;
      continue;
    }
    mctx__result result =
        mctx__join_default(join->subscription, &join->change, &asked->group, &asked->filter, interface);
    if (result.status != MCTX_OK && !mctx__is_refusal(result.status))
      return refused(join, asked, interface, result);
    if (result.status == MCTX_OK) reached->accepted++;
    if (result.status != MCTX_OK && reached->refusing == NULL) {
      reached->refusal = result;
      reached->refusing = interface;
    }
  }
  return MCTX_OK;
}

static mctx_status join_default_set(joining *join, const mctx__wish *asked) {
  reach reached = {0};
  mctx__standing *old = mctx__standing_find(join->subscription, &asked->group);
  if (old != NULL && !mctx__filter_same(&old->filter, &asked->filter))
    return mctx__wish_failed(join->call, asked, MCTX_ERR_FILTER_DIFFERS, HINT_DIFFERS);
  if (old != NULL && (old->except == NULL || old->is_fresh || old->is_rejoined))
    return mctx__wish_failed(join->call, asked, MCTX_ERR_MEMBERSHIP_EXISTS, HINT_EXISTS);
  mctx_status status = join_everywhere(join, asked, &reached);
  if (status != MCTX_OK) return status;
  if (old != NULL) { /* where it was left by hand, it is wanted again */
    old->is_rejoined = true;
    return MCTX_OK;
  }
  if (reached.refusing != NULL && reached.accepted + reached.found == 0)
    return mctx__wish_refused(join->call, asked, reached.refusing, reached.refusal);
  mctx__standing *standing = add_standing(join->subscription, asked);
  if (standing == NULL) return mctx__wish_no_memory(join->call, asked);
  standing->is_nowhere = reached.interfaces == 0;
  return MCTX_OK;
}

static mctx_status join_one(joining *join, const mctx__wish *asked) {
  bool is_new = false;
  mctx_status status = MCTX_OK;
  if (asked->ingress.by == MCTX_INTERFACE_ANY && join->subscription->interfaces == NULL)
    return join_default_set(join, asked);
  if (asked->ingress.by != MCTX_INTERFACE_ANY) {
    status = join_named(join, asked, &asked->ingress, &is_new);
  } else {
    for (const mctx__name *name = join->subscription->interfaces; name != NULL && status == MCTX_OK;
         name = name->next)
      status = join_named(join, asked, &name->ref, &is_new);
  }
  if (status != MCTX_OK || is_new) return status;
  return mctx__wish_failed(join->call, asked, MCTX_ERR_MEMBERSHIP_EXISTS, HINT_EXISTS);
}

static void undo_joining(joining *join) {
  mctx__change_undo(join->subscription, &join->change);
  for (mctx__standing *at = join->subscription->standing; at != NULL;) {
    mctx__standing *next = at->next;
    at->is_rejoined = false;
    if (at->is_fresh) mctx__standing_remove(join->subscription, at);
    at = next;
  }
}

static mctx_status join_each(joining *join) {
  mctx_status status = MCTX_OK;
  for (uint64_t i = 0; i < join->wishes.count && status == MCTX_OK; i++)
    status = join_one(join, &join->wishes.items[i]);
  if (status != MCTX_OK) undo_joining(join);
  return status;
}

/* Where descriptors do not suffice for sockets that are bound to a group, those that are bound to the port
 * alone need fewer. */
static mctx_status join_all(joining *join) {
  mctx__subscription *subscription = join->subscription;
  const uint32_t most = subscription->max_group_sockets;
  join->may_spare = subscription->binding == MCTX_BINDING_AUTO && most > 0;
  mctx_status status = join_each(join);
  if (status != MCTX_ERR_TOO_MANY_DESCRIPTORS || !join->may_spare) return status;
  join->may_spare = false;
  subscription->max_group_sockets = 0;
  status = join_each(join);
  subscription->max_group_sockets = most;
  return status;
}

static void settle_joining(joining *join) {
  mctx__change_settle(join->subscription, &join->change);
  for (mctx__standing *at = join->subscription->standing; at != NULL; at = at->next) {
    if (at->is_rejoined) mctx__names_free(&at->except);
    at->is_rejoined = false;
  }
}

/* ---- what a join tells afterwards ---- */

/* One event for each interface that refuses. */
static void tell_refusals(const joining *join, uint32_t after) {
  for (uint32_t i = 0; i < join->wishes.interfaces.count; i++) {
    mctx_event event = {.type = MCTX_EVENT_REFUSED,
                        .interface_index = join->wishes.interfaces.items[i].info.index};
    for (const mctx__member *member = join->subscription->first; member != NULL; member = member->next) {
      if (member->id <= after || member->refusal == MCTX_OK ||
          member->entry.interface_index != event.interface_index)
        continue;
      if (event.value++ == 0) event.address = member->entry.group;
    }
    if (event.value > 0) mctx__subscription_event(join->subscription, &event);
  }
}

/* One event a family for groups that no interface could be found for. From here on nothing is fresh. */
static void tell_nowhere(mctx__subscription *subscription) {
  bool is_told[2] = {false, false};
  for (mctx__standing *at = subscription->standing; at != NULL; at = at->next) {
    const bool is_new = at->is_fresh;
    at->is_fresh = false;
    if (!is_new || !at->is_nowhere || is_told[at->group.family == 6]) continue;
    is_told[at->group.family == 6] = true;
    const mctx_event event = {.type = MCTX_EVENT_NO_INTERFACE, .address = at->group};
    mctx__subscription_event(subscription, &event);
  }
}

/* One event for all of the call. */
static void tell_sourceless(const joining *join) {
  mctx_event event = {.type = MCTX_EVENT_SOURCELESS};
  for (uint64_t i = 0; i < join->wishes.count; i++) {
    const mctx__wish *asked = &join->wishes.items[i];
    if (!mctx__is_sourceless(&asked->group, &asked->filter)) continue;
    if (event.value++ == 0) event.address = asked->group;
  }
  if (event.value > 0) mctx__subscription_event(join->subscription, &event);
}

mctx_status mctx__join_array(const mctx__call *call, mctx__subscription *subscription,
                             const mctx_membership *memberships, uint32_t stride, uint64_t count) {
  joining join = {.call = call, .subscription = subscription};
  const uint32_t last_id = subscription->last_id;
  mctx_status status =
      mctx__wishes_read(call, subscription, memberships, stride, count, MCTX__WITH_FILTER, &join.wishes);
  if (status != MCTX_OK) return status;
  status = mctx__wishes_resolve(call, &join.wishes);
  if (status == MCTX_OK) status = join_all(&join);
  if (status == MCTX_OK) {
    settle_joining(&join);
    tell_refusals(&join, last_id);
    tell_nowhere(subscription);
    tell_sourceless(&join);
  }
  mctx__wishes_free(&join.wishes);
  return status;
}

mctx_status mctx_join(mctx_subscription subscription, const mctx_membership *memberships, uint32_t stride,
                      uint32_t count, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  return mctx__array_call(&call, memberships, stride, count, mctx__join_array);
}

/* SPDX-License-Identifier: MIT */
/*
 * Joining and leaving groups, and changing filters: what a call asks for is checked and resolved against the
 * interfaces of this host, then told to the system membership by membership, then settled or undone as a whole.
 */
#include <stdio.h>

#include "address.h"
#include "interface.h"
#include "join.h"
#include "options.h"

enum { MAX_SOURCES = 1 << 20 };

/* What one element of a call asks for. */
typedef struct wish {
  uint64_t item;
  mctx_address group;         /* no port, no scope */
  uint32_t scope;             /* that the group was given with, or 0 */
  mctx_interface_ref ingress; /* MCTX_INTERFACE_ANY: everywhere; its name is the caller's */
  mctx__filter filter;
} wish;

/* One call in progress. */
typedef struct joining {
  const mctx__call *call;
  mctx__subscription *subscription;
  mctx__interfaces interfaces;
  mctx__change change;
} joining;

/* ---- checks of what is asked for ---- */

static mctx_status check_group(const mctx__call *call, const mctx__subscription *subscription,
                               const mctx_address *group) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[200];
  if (!mctx__is_wellformed(group) || group->prefix != 0)
    return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "group", .value = group->family,
                      .hint = "an address without a prefix length, as from mctx_address_parse()");
  if (!mctx__is_multicast(group)) {
    snprintf(hint, sizeof hint, "%s%sgroups are 224.0.0.0 to 239.255.255.255 and ff00::/8",
             group->family != 0 ? mctx__host_text(group, text) : "", group->family != 0 ? " is none: " : "");
    return MCTX__FAIL(call, MCTX_ERR_GROUP_NOT_MULTICAST, .field = "group", .hint = hint);
  }
  if (group->port != 0 && group->port != subscription->port)
    return MCTX__FAIL(
        call, MCTX_ERR_OPTION_CONFLICT, .field = "group.port", .value = group->port,
        .limit = subscription->port,
        .hint = "a subscription has one port: leave the group's out, or open another subscription");
  return MCTX_OK;
}

static mctx_status check_source(const mctx__call *call, const mctx_address *source, uint32_t family) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[160];
  if (!mctx__is_wellformed(source) || source->prefix != 0)
    return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "sources", .value = source->family,
                      .hint = "an address without a prefix length, as from mctx_address_parse()");
  if (source->family == 0 || mctx__is_unspecified(source))
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_UNSPECIFIED, .field = "sources",
                      .hint = "name a sender's address; any source is an exclude filter without a list");
  if (source->family != family) {
    snprintf(hint, sizeof hint, "%s is an IPv%u address and the group an IPv%u one: they must be of one family",
             mctx__host_text(source, text), (unsigned)source->family, (unsigned)family);
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_FAMILY, .field = "sources", .hint = hint);
  }
  if (mctx__is_multicast(source)) {
    snprintf(hint, sizeof hint, "%s is a group: a source is a sender's unicast address",
             mctx__host_text(source, text));
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_MULTICAST, .field = "sources", .hint = hint);
  }
  return MCTX_OK;
}

static mctx_status read_filter(const mctx__call *call, const mctx_membership *membership,
                               mctx__filter *filter) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[128];
  const uint64_t count = membership->source_count;
  if (membership->mode > MCTX_INCLUDE)
    return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "mode", .value = membership->mode,
                      .limit = MCTX_INCLUDE, .hint = "use MCTX_EXCLUDE or MCTX_INCLUDE");
  if (membership->sources == NULL && count > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "sources", .value = count);
  if (count > MAX_SOURCES)
    return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "source_count", .value = count,
                      .limit = MAX_SOURCES, .hint = "a filter lists at most 1048576 sources");
  if (membership->mode == MCTX_INCLUDE && count == 0)
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_REQUIRED, .field = "sources",
                      .hint = "name the sources to include; to receive from nobody, leave the group");
  for (uint64_t i = 0; i < count; i++) {
    mctx_status status = check_source(call, &membership->sources[i], membership->group.family);
    if (status != MCTX_OK) return status;
  }
  if (!mctx__filter_make(filter, membership->mode, membership->sources, (uint32_t)count))
    return MCTX__FAIL(call, MCTX_ERR_NO_MEMORY, .field = "sources", .value = count);
  for (uint32_t i = 1; i < filter->count; i++) {
    if (!mctx__same_host(&filter->sources[i - 1], &filter->sources[i])) continue;
    snprintf(hint, sizeof hint, "%s is there more than once", mctx__host_text(&filter->sources[i], text));
    mctx__filter_free(filter);
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_REPEATED, .field = "sources", .hint = hint);
  }
  return MCTX_OK;
}

/* A scope id is another way to name an interface. */
static mctx_status read_ingress(const mctx__call *call, const mctx_membership *membership, wish *own) {
  mctx_status status = mctx__interface_check(call, &membership->ingress, 0);
  if (status != MCTX_OK) return status;
  own->ingress = membership->ingress;
  own->scope = membership->group.scope_id;
  if (own->scope != 0 && own->ingress.by == MCTX_INTERFACE_ANY)
    own->ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX, .index = own->scope};
  return MCTX_OK;
}

/* Where both are given, they must mean the same. */
static mctx_status check_scopes(const mctx__call *call, const mctx__interfaces *interfaces, const wish *wishes,
                                uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    if (wishes[i].scope == 0) continue;
    const mctx__interface *interface = mctx__interface_find(interfaces, &wishes[i].ingress);
    if (interface == NULL || interface->info.index == wishes[i].scope) continue;
    mctx_status status = MCTX__FAIL(
        call, MCTX_ERR_OPTION_CONFLICT, .field = "group.scope_id", .value = wishes[i].scope,
        .limit = interface->info.index,
        .hint = "the group's scope names another interface than the one asked for: give one of them");
    mctx__describe_item(call, wishes[i].item);
    return status;
  }
  return MCTX_OK;
}

/* Whether an element's filter counts. */
enum filtering { WITH_FILTER, WITHOUT_FILTER };

static mctx_status read_wish(const mctx__call *call, const mctx__subscription *subscription,
                             const mctx_membership *membership, enum filtering filtering, wish *own) {
  mctx_status status = check_group(call, subscription, &membership->group);
  if (status != MCTX_OK) return status;
  if (membership->reserved != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "reserved", .value = membership->reserved);
  if (filtering == WITHOUT_FILTER && (membership->mode != MCTX_EXCLUDE || membership->source_count != 0))
    return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "sources", .value = membership->source_count,
                      .hint = "this call takes no filter: leave mode and sources out");
  own->group = membership->group;
  own->group.port = 0;
  own->group.scope_id = 0;
  status = read_ingress(call, membership, own);
  if (status == MCTX_OK && filtering == WITH_FILTER) status = read_filter(call, membership, &own->filter);
  return status;
}

static void free_wishes(wish *wishes, uint64_t count) {
  for (uint64_t i = 0; wishes != NULL && i < count; i++)
    mctx__filter_free(&wishes[i].filter);
  mctx__release(wishes);
}

/* All elements are looked at before anything happens. */
static mctx_status read_wishes(const mctx__call *call, const mctx__subscription *subscription,
                               const mctx_membership *memberships, uint32_t stride, uint64_t count,
                               enum filtering filtering, wish **wishes) {
  wish *own = mctx__allocate(count * sizeof *own);
  if (own == NULL) return MCTX__FAIL(call, MCTX_ERR_NO_MEMORY, .field = "memberships", .value = count);
  for (uint64_t i = 0; i < count; i++) {
    mctx_membership membership;
    own[i].item = i;
    mctx_status status =
        mctx__element_read(call, memberships, stride, i, &membership, sizeof membership, "memberships");
    if (status == MCTX_OK) status = read_wish(call, subscription, &membership, filtering, &own[i]);
    if (status == MCTX_OK) continue;
    mctx__describe_item(call, i);
    free_wishes(own, count);
    return status;
  }
  *wishes = own;
  return MCTX_OK;
}

/* ---- events and reasons ---- */

/* RFC 4607: 232.0.0.0/8 and ff3x::/32. */
static bool is_source_specific(const mctx_address *group) {
  if (group->family == 4) return group->bytes[0] == 232;
  return (group->bytes[1] & 0xf0) == 0x30 && group->bytes[2] == 0 && group->bytes[3] == 0;
}

bool mctx__is_sourceless(const mctx_address *group, const mctx__filter *filter) {
  return filter->mode == MCTX_EXCLUDE && is_source_specific(group);
}

static const char *usual_hint(mctx_status status) {
  switch (status) {
    case MCTX_ERR_TOO_MANY_MEMBERSHIPS:
      return "the system has no memory left for memberships of this socket: raise net.core.optmem_max";
    case MCTX_ERR_TOO_MANY_SOURCES:
      return "the system has no memory left for filters of this socket: raise net.core.optmem_max";
    case MCTX_ERR_TOO_MANY_DESCRIPTORS:
      return "each socket behind the subscription is a descriptor: raise the limit (`ulimit -n`), close some, "
             "or "
             "lower max_group_sockets";
    case MCTX_ERR_ADDRESS_IN_USE:
      return "another program has the port and does not share it, or this subscription asks for it alone "
             "(reuse_port 0): `ss -ulpn` shows who";
    case MCTX_ERR_UNSUPPORTED:
      return "the interface does not carry this IP version: IPv6 wants an MTU of 1280 at least, and not to be "
             "switched off there";
    case MCTX_ERR_FAMILY_UNSUPPORTED:
      return "this host has no support for this IP version: switch it on, or join groups of the other";
    default:
      return NULL;
  }
}

static mctx_status join_failed(const mctx__call *call, const wish *asked, const mctx__interface *interface,
                               mctx__result result) {
  char text[MCTX__ADDRESS_TEXT];
  char message[256];
  snprintf(message, sizeof message, "%s cannot be joined on %s: %s", mctx__host_text(&asked->group, text),
           interface != NULL ? interface->info.name : "any interface", mctx_status_text(result.status));
  const char *field = result.status == MCTX_ERR_ADDRESS_IN_USE ? "port" : "group";
  mctx_status status = MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = field,
                                  .message = message, .hint = usual_hint(result.status));
  mctx__describe_item(call, asked->item);
  return status;
}

static mctx_status fail_item(const mctx__call *call, const wish *asked, mctx_status code, const char *hint) {
  char text[MCTX__ADDRESS_TEXT];
  char message[160];
  snprintf(message, sizeof message, "%s: %s", mctx__host_text(&asked->group, text), mctx_status_text(code));
  mctx_status status = MCTX__FAIL(call, code, .field = "group", .message = message, .hint = hint);
  mctx__describe_item(call, asked->item);
  return status;
}

static mctx_status out_of_memory(const mctx__call *call, const wish *asked) {
  return fail_item(call, asked, MCTX_ERR_NO_MEMORY, NULL);
}

/* ---- joining ---- */

#define HINT_EXISTS  "it is joined with this very filter; nothing is to be done"
#define HINT_DIFFERS "change the filter with mctx_allow(), mctx_block() or mctx_filter_set()"

mctx__standing *mctx__standing_find(const mctx__subscription *subscription, const mctx_address *group) {
  mctx__standing *at = subscription->standing;
  while (at != NULL && (at->group.family != group->family || !mctx__same_host(&at->group, group)))
    at = at->next;
  return at;
}

static mctx__result start_member(joining *join, const wish *asked, const mctx__interface *interface,
                                 const mctx_interface_ref *name, mctx__member **started) {
  const mctx__result no_memory = {MCTX_ERR_NO_MEMORY, 0};
  mctx__filter filter;
  mctx__member *member = mctx__member_add(join->subscription, &asked->group, interface->info.index);
  if (member == NULL) return no_memory;
  *started = member;
  if (!mctx__name_add(&member->names, name) || !mctx__filter_copy(&filter, &asked->filter)) return no_memory;
  return mctx__member_tell(join->subscription, &join->change, member, &filter);
}

/* Joins on one interface. `is_new` tells whether there was anything to do. */
static mctx_status join_named(joining *join, const wish *asked, const mctx_interface_ref *name, bool *is_new) {
  const mctx__interface *interface = mctx__interface_find(&join->interfaces, name);
  mctx__member *member;
  if (interface == NULL) {
    mctx_status status = mctx__interface_not_found(join->call, &join->interfaces, name, NULL);
    mctx__describe_item(join->call, asked->item);
    return status;
  }
  member = mctx__member_find(join->subscription, &asked->group, interface->info.index);
  if (member != NULL) {
    const mctx__filter *filter = member->is_fresh ? &member->next_filter : &member->filter;
    if (!mctx__filter_same(filter, &asked->filter))
      return fail_item(join->call, asked, MCTX_ERR_FILTER_DIFFERS, HINT_DIFFERS);
    if (!member->is_fresh || mctx__names_have(member->names, name)) return MCTX_OK;
    *is_new = true; /* another name of it */
    return mctx__name_add(&member->names, name) ? MCTX_OK : out_of_memory(join->call, asked);
  }
  *is_new = true;
  mctx__result result = start_member(join, asked, interface, name, &member);
  if (result.status == MCTX_OK) return MCTX_OK;
  if (member != NULL) mctx__member_remove(join->subscription, member);
  return join_failed(join->call, asked, interface, result);
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
  const mctx__result no_memory = {MCTX_ERR_NO_MEMORY, 0};
  const mctx_interface_ref name = {.by = MCTX_INTERFACE_BY_NAME, .name = interface->info.name};
  mctx__filter own;
  mctx__member *member = mctx__member_add(subscription, group, interface->info.index);
  if (member == NULL) return no_memory;
  member->is_default = true;
  mctx__result result = no_memory;
  if (mctx__name_add(&member->names, &name) && mctx__filter_copy(&own, filter))
    result = mctx__member_tell(subscription, change, member, &own);
  if (result.status == MCTX_OK) return result;
  if (!mctx__is_refusal(result.status) || !mctx__filter_copy(&own, filter)) {
    mctx__member_remove(subscription, member);
    return mctx__is_refusal(result.status) ? no_memory : result;
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

static mctx_status join_everywhere(joining *join, const wish *asked, reach *reached) {
  for (uint32_t i = 0; i < join->interfaces.count; i++) {
    const mctx__interface *interface = &join->interfaces.items[i];
    if (!mctx__is_default_interface(interface)) continue;
    reached->interfaces++;
    const mctx__member *member = mctx__member_find(join->subscription, &asked->group, interface->info.index);
    if (member != NULL) {
      const mctx__filter *filter = member->is_fresh ? &member->next_filter : &member->filter;
      if (!mctx__filter_same(filter, &asked->filter))
        return fail_item(join->call, asked, MCTX_ERR_FILTER_DIFFERS, HINT_DIFFERS);
      reached->found++;
      continue;
    }
    mctx__result result =
        mctx__join_default(join->subscription, &join->change, &asked->group, &asked->filter, interface);
    if (result.status != MCTX_OK && !mctx__is_refusal(result.status))
      return join_failed(join->call, asked, interface, result);
    if (result.status == MCTX_OK) reached->accepted++;
    if (result.status != MCTX_OK && reached->refusing == NULL) {
      reached->refusal = result;
      reached->refusing = interface;
    }
  }
  return MCTX_OK;
}

static mctx_status join_default_set(joining *join, const wish *asked) {
  reach reached = {0};
  mctx__standing *old = mctx__standing_find(join->subscription, &asked->group);
  if (old != NULL && !mctx__filter_same(&old->filter, &asked->filter))
    return fail_item(join->call, asked, MCTX_ERR_FILTER_DIFFERS, HINT_DIFFERS);
  if (old != NULL && (old->except == NULL || old->is_fresh || old->is_rejoined))
    return fail_item(join->call, asked, MCTX_ERR_MEMBERSHIP_EXISTS, HINT_EXISTS);
  mctx_status status = join_everywhere(join, asked, &reached);
  if (status != MCTX_OK) return status;
  if (old != NULL) { /* where it was left by hand, it is wanted again */
    old->is_rejoined = true;
    return MCTX_OK;
  }
  if (reached.refusing != NULL && reached.accepted + reached.found == 0)
    return join_failed(join->call, asked, reached.refusing, reached.refusal);
  mctx__standing *standing = mctx__allocate(sizeof *standing);
  if (standing == NULL) return out_of_memory(join->call, asked);
  standing->group = asked->group;
  if (!mctx__filter_copy(&standing->filter, &asked->filter)) {
    mctx__release(standing);
    return out_of_memory(join->call, asked);
  }
  /* Found by the elements that follow; taken off again if one of them fails. */
  standing->is_fresh = true;
  standing->is_nowhere = reached.interfaces == 0;
  mctx__standing **at = &join->subscription->standing;
  while (*at != NULL)
    at = &(*at)->next;
  *at = standing;
  return MCTX_OK;
}

static mctx_status join_one(joining *join, const wish *asked) {
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
  return fail_item(join->call, asked, MCTX_ERR_MEMBERSHIP_EXISTS, HINT_EXISTS);
}

static void remove_standing(mctx__subscription *subscription, mctx__standing *standing) {
  mctx__standing **at = &subscription->standing;
  while (*at != standing)
    at = &(*at)->next;
  *at = standing->next;
  mctx__names_free(&standing->except);
  mctx__filter_free(&standing->filter);
  mctx__release(standing);
}

static void undo_joining(joining *join) {
  mctx__change_undo(join->subscription, &join->change);
  for (mctx__standing *at = join->subscription->standing; at != NULL;) {
    mctx__standing *next = at->next;
    at->is_rejoined = false;
    if (at->is_fresh) remove_standing(join->subscription, at);
    at = next;
  }
}

static void settle_joining(joining *join) {
  mctx__change_settle(join->subscription, &join->change);
  for (mctx__standing *at = join->subscription->standing; at != NULL; at = at->next) {
    if (at->is_rejoined) mctx__names_free(&at->except);
    at->is_rejoined = false;
  }
}

/* ---- what a join tells afterwards ---- */

static void tell_refusals(mctx__subscription *subscription, uint32_t after) {
  for (const mctx__member *member = subscription->first; member != NULL; member = member->next) {
    if (member->id <= after || member->refusal == MCTX_OK) continue;
    mctx_event event = {.type = MCTX_EVENT_REFUSED,
                        .interface_index = member->entry.interface_index,
                        .address = member->entry.group};
    bool is_first = true;
    for (const mctx__member *other = subscription->first; other != NULL; other = other->next) {
      if (other->id <= after || other->refusal == MCTX_OK ||
          other->entry.interface_index != event.interface_index)
        continue;
      if (other->id < member->id) is_first = false;
      event.value++;
    }
    if (is_first) mctx__subscription_event(subscription, &event);
  }
}

static void tell_hints(mctx__subscription *subscription, const wish *wishes, uint64_t count) {
  bool is_told[2] = {false, false};
  for (mctx__standing *at = subscription->standing; at != NULL; at = at->next) {
    const bool is_new = at->is_fresh;
    at->is_fresh = false;
    if (!is_new || !at->is_nowhere || is_told[at->group.family == 6]) continue;
    is_told[at->group.family == 6] = true;
    const mctx_event event = {.type = MCTX_EVENT_NO_INTERFACE, .address = at->group};
    mctx__subscription_event(subscription, &event);
  }
  const wish *first = NULL;
  mctx_event event = {.type = MCTX_EVENT_SOURCELESS};
  for (uint64_t i = 0; i < count; i++) {
    if (!mctx__is_sourceless(&wishes[i].group, &wishes[i].filter)) continue;
    if (first == NULL) first = &wishes[i];
    event.value++;
  }
  if (first == NULL) return;
  event.address = first->group;
  mctx__subscription_event(subscription, &event);
}

mctx_status mctx__join_array(const mctx__call *call, mctx__subscription *subscription,
                             const mctx_membership *memberships, uint32_t stride, uint64_t count) {
  joining join = {.call = call, .subscription = subscription};
  const uint32_t last_id = subscription->last_id;
  wish *wishes;
  mctx_status status = read_wishes(call, subscription, memberships, stride, count, WITH_FILTER, &wishes);
  if (status != MCTX_OK) return status;
  status = mctx__interfaces_list(call, &join.interfaces, "interface");
  if (status != MCTX_OK) goto free_wishes;
  status = check_scopes(call, &join.interfaces, wishes, count);
  for (uint64_t i = 0; i < count && status == MCTX_OK; i++)
    status = join_one(&join, &wishes[i]);
  if (status != MCTX_OK) {
    undo_joining(&join);
  } else {
    settle_joining(&join);
    tell_refusals(subscription, last_id);
    tell_hints(subscription, wishes, count);
  }
  mctx__interfaces_free(&join.interfaces);
free_wishes:
  free_wishes(wishes, count);
  return status;
}

/* ---- finding what is joined ---- */

/* Whether an element means a membership: by the interface that its name means now, or by the name itself. */
static bool means(const mctx__interfaces *interfaces, const wish *asked, const mctx__member *member) {
  if (member->entry.group.family != asked->group.family ||
      !mctx__same_host(&member->entry.group, &asked->group))
    return false;
  if (asked->ingress.by == MCTX_INTERFACE_ANY) return true;
  const mctx__interface *interface = mctx__interface_find(interfaces, &asked->ingress);
  if (interface != NULL) return member->entry.interface_index == interface->info.index;
  return mctx__names_have(member->names, &asked->ingress);
}

static mctx_status not_joined(const mctx__call *call, const mctx__interfaces *interfaces, const wish *asked) {
  if (asked->ingress.by != MCTX_INTERFACE_ANY && mctx__interface_find(interfaces, &asked->ingress) == NULL) {
    mctx_status status = mctx__interface_not_found(call, interfaces, &asked->ingress, NULL);
    mctx__describe_item(call, asked->item);
    return status;
  }
  return fail_item(call, asked, MCTX_ERR_MEMBERSHIP_NOT_FOUND,
                   "mctx_memberships() lists what is joined, and where");
}

/* ---- leaving ---- */

/* A default member that is left by hand stays left when the interfaces are looked at again. */
static mctx_status except_interface(const mctx__call *call, const mctx__subscription *subscription,
                                    const wish *asked, mctx__member *member) {
  const mctx__standing *standing = mctx__standing_find(subscription, &asked->group);
  if (asked->ingress.by == MCTX_INTERFACE_ANY || standing == NULL || member->names == NULL) return MCTX_OK;
  if (mctx__names_have(standing->except, &member->names->ref)) return MCTX_OK;
  return mctx__name_add(&member->except, &member->names->ref) ? MCTX_OK : out_of_memory(call, asked);
}

static mctx_status mark_leaving(const mctx__call *call, mctx__subscription *subscription,
                                const mctx__interfaces *interfaces, const wish *asked) {
  mctx__standing *standing =
      asked->ingress.by == MCTX_INTERFACE_ANY ? mctx__standing_find(subscription, &asked->group) : NULL;
  bool any = standing != NULL && !standing->is_leaving;
  if (standing != NULL) standing->is_leaving = true;
  for (mctx__member *member = subscription->first; member != NULL; member = member->next) {
    if (member->is_leaving || !means(interfaces, asked, member)) continue;
    mctx_status status = except_interface(call, subscription, asked, member);
    if (status != MCTX_OK) return status;
    member->is_leaving = true;
    any = true;
  }
  return any ? MCTX_OK : not_joined(call, interfaces, asked);
}

static void leave_exception(const mctx__subscription *subscription, mctx__member *member) {
  if (member->except == NULL) return;
  mctx__standing *standing = mctx__standing_find(subscription, &member->entry.group);
  member->except->next = standing->except;
  standing->except = member->except;
  member->except = NULL;
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
    if (at->is_leaving) remove_standing(subscription, at);
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
  mctx__interfaces interfaces;
  wish *wishes;
  mctx_status status = read_wishes(call, subscription, memberships, stride, count, WITHOUT_FILTER, &wishes);
  if (status != MCTX_OK) return status;
  status = mctx__interfaces_list(call, &interfaces, "interface");
  if (status != MCTX_OK) goto free_wishes;
  status = check_scopes(call, &interfaces, wishes, count);
  for (uint64_t i = 0; i < count && status == MCTX_OK; i++)
    status = mark_leaving(call, subscription, &interfaces, &wishes[i]);
  if (status == MCTX_OK)
    leave_marked(subscription);
  else
    unmark(subscription);
  mctx__interfaces_free(&interfaces);
free_wishes:
  free_wishes(wishes, count);
  return status;
}

/* ---- changing filters ---- */

/* What becomes of a filter. */
typedef mctx_status changing(const mctx__call *call, const wish *asked, const mctx_address *source,
                             const mctx__filter *old, mctx__filter *changed);

static mctx_status memory_for(const mctx__call *call, const wish *asked, bool made) {
  return made ? MCTX_OK : out_of_memory(call, asked);
}

static mctx_status source_failed(const mctx__call *call, mctx_status status, const mctx_address *source,
                                 const char *hint) {
  char text[MCTX__ADDRESS_TEXT];
  char message[160];
  snprintf(message, sizeof message, "%s: %s", mctx__host_text(source, text), mctx_status_text(status));
  return MCTX__FAIL(call, status, .field = "source", .message = message, .hint = hint);
}

static mctx_status allow_source(const mctx__call *call, const wish *asked, const mctx_address *source,
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

static mctx_status block_source(const mctx__call *call, const wish *asked, const mctx_address *source,
                                const mctx__filter *old, mctx__filter *changed) {
  if (old->mode == MCTX_INCLUDE)
    return MCTX__FAIL(call, MCTX_ERR_FILTER_MODE, .field = "membership",
                      .hint =
                          "the filter lists whom it lets through: to take one off, set the list anew with "
                          "mctx_filter_set(), or leave the group");
  if (mctx__filter_lists(old, source))
    return source_failed(call, MCTX_ERR_SOURCE_EXISTS, source, "it is shut out already");
  return memory_for(call, asked, mctx__filter_with(changed, old, source));
}

static mctx_status replace_filter(const mctx__call *call, const wish *asked, const mctx_address *source,
                                  const mctx__filter *old, mctx__filter *changed) {
  (void)source;
  (void)old;
  return memory_for(call, asked, mctx__filter_copy(changed, &asked->filter));
}

/* Whether the change is right for each membership that it concerns: all of them are looked at before the first
 * is told, so that only a failure of the system needs to be undone. */
static mctx_status check_members(const mctx__call *call, const mctx__subscription *subscription,
                                 const mctx__interfaces *interfaces, const wish *asked,
                                 const mctx_address *source, changing *change_filter, bool *any) {
  *any = false;
  for (const mctx__member *member = subscription->first; member != NULL; member = member->next) {
    mctx__filter changed;
    if (!means(interfaces, asked, member)) continue;
    *any = true;
    mctx_status status = change_filter(call, asked, source, &member->filter, &changed);
    if (status != MCTX_OK) return status;
    mctx__filter_free(&changed);
  }
  return MCTX_OK;
}

static mctx_status tell_members(const mctx__call *call, mctx__subscription *subscription,
                                const mctx__interfaces *interfaces, const wish *asked,
                                const mctx_address *source, changing *change_filter, mctx__change *change) {
  for (mctx__member *member = subscription->first; member != NULL; member = member->next) {
    mctx__filter changed;
    if (!means(interfaces, asked, member)) continue;
    mctx_status status = change_filter(call, asked, source, &member->filter, &changed);
    if (status != MCTX_OK) return status;
    mctx__result result = mctx__member_tell(subscription, change, member, &changed);
    if (result.status != MCTX_OK)
      return join_failed(call, asked, mctx__interface_by_index(interfaces, member->entry.interface_index),
                         result);
  }
  return MCTX_OK;
}

static mctx_status change_members(const mctx__call *call, mctx__subscription *subscription,
                                  const mctx__interfaces *interfaces, const wish *asked,
                                  const mctx_address *source, changing *change_filter, mctx__change *change) {
  bool any;
  mctx__filter everywhere = {.mode = MCTX_EXCLUDE};
  mctx__standing *standing =
      asked->ingress.by == MCTX_INTERFACE_ANY ? mctx__standing_find(subscription, &asked->group) : NULL;
  mctx_status status = check_members(call, subscription, interfaces, asked, source, change_filter, &any);
  if (status == MCTX_OK && standing != NULL)
    status = change_filter(call, asked, source, &standing->filter, &everywhere);
  if (status == MCTX_OK && !any && standing == NULL) return not_joined(call, interfaces, asked);
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
                                  const mctx_membership *membership, uint32_t size, enum filtering filtering,
                                  const mctx_address *source, changing *change_filter) {
  mctx__change change = {NULL};
  mctx__interfaces interfaces;
  wish *asked;
  mctx_status status = read_wishes(call, subscription, membership, size, 1, filtering, &asked);
  if (status != MCTX_OK) return status;
  if (source != NULL) status = check_source(call, source, asked->group.family);
  if (status == MCTX_OK) status = mctx__interfaces_list(call, &interfaces, "interface");
  if (status != MCTX_OK) goto free_wish;
  status = check_scopes(call, &interfaces, asked, 1);
  if (status == MCTX_OK)
    status = change_members(call, subscription, &interfaces, asked, source, change_filter, &change);
  if (status == MCTX_OK)
    mctx__change_settle(subscription, &change);
  else
    mctx__change_undo(subscription, &change);
  mctx__interfaces_free(&interfaces);
free_wish:
  free_wishes(asked, 1);
  return status;
}

/* ---- the calls ---- */

static mctx_status enter(const mctx__call *call, mctx__subscription **subscription) {
  mctx__object *object;
  mctx_status status = mctx__enter(call, MCTX_HANDLE_SUBSCRIPTION, &object);
  if (status != MCTX_OK) return status;
  *subscription = (mctx__subscription *)object;
  mctx__mutex_lock(&(*subscription)->mutex);
  return MCTX_OK;
}

static void leave_call(mctx__subscription *subscription) {
  mctx__mutex_unlock(&subscription->mutex);
  mctx__unpin(&subscription->object);
}

mctx_status mctx_join(mctx_subscription subscription, const mctx_membership *memberships, uint32_t stride,
                      uint32_t count, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  mctx__subscription *own;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__array_check(&call, memberships, stride, count, "memberships");
  if (status == MCTX_OK) status = enter(&call, &own);
  if (status != MCTX_OK) return status;
  if (count > 0) status = mctx__join_array(&call, own, memberships, stride, count);
  leave_call(own);
  return status;
}

mctx_status mctx_leave(mctx_subscription subscription, const mctx_membership *memberships, uint32_t stride,
                       uint32_t count, mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  mctx__subscription *own;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__array_check(&call, memberships, stride, count, "memberships");
  if (status == MCTX_OK) status = enter(&call, &own);
  if (status != MCTX_OK) return status;
  if (count > 0) status = leave_array(&call, own, memberships, stride, count);
  leave_call(own);
  return status;
}

/* A call that changes the filter of one group. `source` is NULL where the membership carries the filter. */
static mctx_status change(const mctx__call *call, const mctx_membership *membership, uint32_t size,
                          const mctx_address *source, changing *change_filter) {
  mctx__subscription *own;
  const enum filtering filtering = source != NULL ? WITHOUT_FILTER : WITH_FILTER;
  if (membership == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "membership");
  if (!mctx__struct_size_valid(size))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "size", .value = size,
                      .hint = "pass sizeof(mctx_membership)");
  mctx_status status = enter(call, &own);
  if (status != MCTX_OK) return status;
  status = change_filters(call, own, membership, size, filtering, source, change_filter);
  leave_call(own);
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

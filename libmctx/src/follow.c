/* SPDX-License-Identifier: MIT */
/*
 * Following the interfaces: memberships on one that is gone are left, those whose interface is there again are
 * joined by what the user named, and the default set is joined on those that came. What may be dead because
 * announcements were lost is joined anew where it is. Nothing here ends a receive: what cannot be joined now
 * stays absent, and is tried again with the next change, or a second after a shortage.
 */
#include "held.h"
#include "interface.h"
#include "join.h"

#define RETRY_NS INT64_C(1000000000) /* after a shortage */

/* What became of the memberships on one interface of the snapshot. */
typedef struct outcome {
  uint32_t doubted; /* joined anew because the system may have ended them */
  uint32_t rebuilt;
  uint32_t appeared;
  uint32_t refused;
  bool still_refuses[2];      /* IPv4, IPv6: a second try was in vain */
  mctx_address refused_group; /* the first */
} outcome;

typedef struct following {
  mctx__subscription *subscription;
  const mctx__changes *changes;
  mctx__interfaces interfaces;
  mctx__change change;
  outcome *outcomes; /* one for each interface */
  bool is_short;     /* something failed for want of memory, descriptors or the like: that may pass */
} following;

static void note_shortage(following *follow, mctx_status status) {
  if (mctx_status_kind(status) == MCTX_KIND_LIMIT) follow->is_short = true;
}

/* Of a default set that is followed: it comes and goes with its interface. */
static bool is_live(const mctx__subscription *subscription, const mctx__member *member) {
  return member->is_default && (subscription->flags & MCTX_SUBSCRIPTION_FROZEN) == 0;
}

static outcome *outcome_of(following *follow, const mctx__interface *interface) {
  return &follow->outcomes[interface - follow->interfaces.items];
}

static void emit(mctx__subscription *subscription, uint32_t type, uint32_t interface_index, uint64_t value,
                 const mctx_address *address) {
  mctx_event event = {.type = type, .interface_index = interface_index, .value = value};
  if (value == 0) return;
  if (address != NULL) event.address = *address;
  mctx__subscription_event(subscription, &event);
}

/* ---- what is gone ---- */

/* Whether an interface, or an IP version on it, was away meanwhile. */
static bool was_removed(const following *follow, uint32_t index, uint32_t family) {
  for (uint32_t i = 0; i < follow->changes->removed_count; i++)
    if (follow->changes->removed[i].index == index && follow->changes->removed[i].family == family) return true;
  return false;
}

/* The interface of an index, if it is still the one that it was; else NULL. */
static const mctx__interface *survivor(const following *follow, uint32_t index) {
  return was_removed(follow, index, 0) ? NULL : mctx__interface_by_index(&follow->interfaces, index);
}

/* Whether the interface of a membership went away, if only for the group's IP version, or does not belong to
 * the default set any more. One that is down stays: its memberships live on. */
static bool is_lost(const following *follow, const mctx__member *member) {
  const uint32_t index = member->entry.interface_index;
  const uint32_t family = member->entry.group.family;
  if (index == 0) return false;
  const mctx__interface *interface = survivor(follow, index);
  if (interface == NULL) return true;
  const bool carries = mctx__mtu_carries(interface->info.mtu, family) && !was_removed(follow, index, family);
  if (member->refusal == MCTX_OK && !carries) return true;
  return is_live(follow->subscription, member) && (interface->info.flags & MCTX_INTERFACE_ENSLAVED) != 0;
}

static void lose(mctx__subscription *subscription, mctx__member *member) {
  if (is_live(subscription, member))
    mctx__member_remove(subscription, member);
  else
    mctx__member_lose(subscription, member);
}

/* Leaves what is lost on one interface; returns how many memberships that were. */
static uint32_t lose_interface(const following *follow, uint32_t index) {
  mctx__subscription *subscription = follow->subscription;
  uint32_t count = 0;
  for (mctx__member *member = subscription->first; member != NULL;) {
    mctx__member *next = member->next;
    if (member->entry.interface_index == index && is_lost(follow, member)) {
      count++;
      lose(subscription, member);
    }
    member = next;
  }
  return count;
}

static void lose_all(const following *follow) {
  mctx__member *member = follow->subscription->first;
  while (member != NULL) {
    const uint32_t index = member->entry.interface_index;
    if (!is_lost(follow, member)) {
      member = member->next;
      continue;
    }
    emit(follow->subscription, MCTX_EVENT_INTERFACE_LOST, index, lose_interface(follow, index), NULL);
    member = follow->subscription->first;
  }
}

/* When announcements were lost, the system may have ended any membership. What it lists as joined proves
 * nothing, because it may be another socket that joined; so all are joined anew, where they are and as they
 * are. */
static void rejoin_all(following *follow) {
  mctx__subscription *subscription = follow->subscription;
  if (!follow->changes->lost) return;
  for (mctx__member *member = subscription->first; member != NULL;) {
    mctx__member *next = member->next;
    const mctx__interface *interface =
        mctx__interface_by_index(&follow->interfaces, member->entry.interface_index);
    if (interface != NULL && member->refusal == MCTX_OK) {
      outcome *own = outcome_of(follow, interface);
      own->doubted++;
      if (mctx__member_rejoin(member).status == MCTX_OK)
        own->rebuilt++;
      else
        lose(subscription, member);
    }
    member = next;
  }
}

/* The name of a membership of the default set is its interface's, also when that was renamed. */
static void rename_default(const following *follow) {
  const mctx__subscription *subscription = follow->subscription;
  for (mctx__member *member = subscription->first; member != NULL; member = member->next) {
    const mctx__interface *interface =
        mctx__interface_by_index(&follow->interfaces, member->entry.interface_index);
    if (!is_live(subscription, member) || interface == NULL) continue;
    const mctx_interface_ref name = {.by = MCTX_INTERFACE_BY_NAME, .name = interface->info.name};
    mctx__name *renamed = NULL;
    if (mctx__names_have(member->names, &name) || !mctx__name_add(&renamed, &name)) continue;
    mctx__names_free(&member->names);
    member->names = renamed;
  }
}

/* Exceptions go with their interface: by its index when it is renamed, by its name when it is made anew. */
static void follow_exceptions(const following *follow, mctx__standing *standing) {
  for (mctx__name **at = &standing->except; *at != NULL; at = &(*at)->next) {
    mctx__name *old = *at;
    mctx__name *renamed = NULL;
    if (old->ref.by != MCTX_INTERFACE_BY_NAME && old->ref.by != MCTX_INTERFACE_BY_ADDRESS) continue;
    const mctx__interface *interface = survivor(follow, old->ref.index);
    if (interface == NULL) interface = mctx__interface_find(&follow->interfaces, &old->ref);
    if (interface == NULL) continue;
    const mctx_interface_ref ref = {
        .by = MCTX_INTERFACE_BY_NAME, .index = interface->info.index, .name = interface->info.name};
    if (!mctx__name_add(&renamed, &ref)) continue;
    renamed->next = old->next;
    *at = renamed;
    mctx__release(old);
  }
}

/* ---- what is there again ---- */

/* The interface that a membership's names mean now: the one that it is on, if any of them still means that or
 * none means another. */
static const mctx__interface *meant(const following *follow, const mctx__member *member) {
  const mctx__interface *other = NULL;
  for (const mctx__name *name = member->names; name != NULL; name = name->next) {
    const mctx__interface *found = mctx__interface_find(&follow->interfaces, &name->ref);
    if (found == NULL) continue;
    if (found->info.index == member->entry.interface_index) return found;
    if (other == NULL) other = found;
  }
  return other;
}

static void count_refusal(following *follow, const mctx__interface *interface, const mctx_address *group) {
  outcome *own = outcome_of(follow, interface);
  if (own->refused++ == 0) own->refused_group = *group;
}

/* Joins a membership anew on another interface. */
static void rebuild(following *follow, mctx__member *member, const mctx__interface *interface) {
  mctx__subscription *subscription = follow->subscription;
  mctx__filter filter;
  member->refusal = MCTX_OK;
  if (!mctx__filter_copy(&filter, &member->filter)) {
    note_shortage(follow, MCTX_ERR_NO_MEMORY);
    return;
  }
  if (!mctx__member_place(subscription, member, interface->info.index)) {
    mctx__filter_free(&filter);
    note_shortage(follow, MCTX_ERR_NO_MEMORY);
    return;
  }
  mctx__result result = mctx__member_tell(subscription, &follow->change, member, &filter);
  if (result.status == MCTX_OK) {
    outcome_of(follow, interface)->rebuilt++;
    return;
  }
  mctx__member_lose(subscription, member);
  note_shortage(follow, result.status);
  count_refusal(follow, interface, &member->entry.group);
}

/* Joins an absent membership where its names mean an interface now, and returns the next one. One of the
 * default set gives way to it; with one that the user named it becomes one. */
static mctx__member *rebuild_absent(following *follow, mctx__member *member) {
  mctx__subscription *subscription = follow->subscription;
  if (is_live(subscription, member) || member->entry.interface_index != 0) return member->next;
  const mctx__interface *interface = meant(follow, member);
  if (interface == NULL || !mctx__mtu_carries(interface->info.mtu, member->entry.group.family))
    return member->next;
  mctx__member *other = mctx__member_find(subscription, &member->entry.group, interface->info.index);
  if (other != NULL && !is_live(subscription, other)) {
    mctx__member *next = member->next;
    mctx__names_move(&other->names, &member->names);
    mctx__member_remove(subscription, member);
    return next;
  }
  if (other != NULL) mctx__member_remove(subscription, other);
  rebuild(follow, member, interface);
  return member->next;
}

/* First those leave whose names mean another interface now, so that names may have changed hands. */
static void rebuild_all(following *follow) {
  mctx__subscription *subscription = follow->subscription;
  for (mctx__member *member = subscription->first; member != NULL; member = member->next) {
    if (is_live(subscription, member) || member->entry.interface_index == 0) continue;
    const mctx__interface *interface = meant(follow, member);
    if (interface != NULL && interface->info.index != member->entry.interface_index)
      mctx__member_lose(subscription, member);
  }
  for (mctx__member *member = subscription->first; member != NULL;)
    member = rebuild_absent(follow, member);
}

/* ---- the default set ---- */

/* An interface that refused may have changed its mind. */
static void retry_refused(following *follow, mctx__member *member) {
  mctx__filter filter;
  const mctx_status refusal = member->refusal;
  const mctx__interface *interface =
      mctx__interface_by_index(&follow->interfaces, member->entry.interface_index);
  if (interface == NULL) return;
  outcome *own = outcome_of(follow, interface);
  bool *still_refuses = &own->still_refuses[member->entry.group.family == 6];
  if (*still_refuses || !mctx__filter_copy(&filter, &member->filter)) return;
  member->refusal = MCTX_OK;
  mctx__result result = mctx__member_tell(follow->subscription, &follow->change, member, &filter);
  if (result.status == MCTX_OK) {
    own->appeared++;
  } else {
    member->refusal = refusal;
    *still_refuses = true;
    note_shortage(follow, result.status);
  }
}

static void join_new(following *follow, const mctx__standing *standing, const mctx__interface *interface) {
  const mctx_interface_ref name = {.by = MCTX_INTERFACE_BY_NAME, .name = interface->info.name};
  mctx__subscription *subscription = follow->subscription;
  if (mctx__member_find(subscription, &standing->group, interface->info.index) != NULL ||
      mctx__names_have(standing->except, &name))
    return;
  mctx__result result =
      mctx__join_default(subscription, &follow->change, &standing->group, &standing->filter, interface);
  if (result.status == MCTX_OK)
    outcome_of(follow, interface)->appeared++;
  else if (mctx__is_refusal(result.status))
    count_refusal(follow, interface, &standing->group);
  note_shortage(follow, result.status);
}

static void join_default_set(following *follow) {
  mctx__subscription *subscription = follow->subscription;
  for (mctx__member *member = subscription->first; member != NULL; member = member->next)
    if (member->refusal != MCTX_OK) retry_refused(follow, member);
  if ((subscription->flags & MCTX_SUBSCRIPTION_FROZEN) != 0) return;
  for (mctx__standing *at = subscription->standing; at != NULL; at = at->next)
    follow_exceptions(follow, at);
  for (uint32_t i = 0; i < follow->interfaces.count; i++) {
    if (!mctx__is_default_interface(&follow->interfaces.items[i])) continue;
    for (const mctx__standing *at = subscription->standing; at != NULL; at = at->next)
      join_new(follow, at, &follow->interfaces.items[i]);
  }
}

/* ---- all of it ---- */

static void tell_outcomes(const following *follow) {
  mctx__subscription *subscription = follow->subscription;
  uint64_t rebuilt = 0;
  for (uint32_t i = 0; i < follow->interfaces.count; i++) {
    const outcome *own = &follow->outcomes[i];
    const uint32_t index = follow->interfaces.items[i].info.index;
    emit(subscription, MCTX_EVENT_INTERFACE_LOST, index, own->doubted, NULL);
    emit(subscription, MCTX_EVENT_REBUILT, index, own->rebuilt, NULL);
    emit(subscription, MCTX_EVENT_INTERFACE_APPEARED, index, own->appeared, NULL);
    emit(subscription, MCTX_EVENT_REFUSED, index, own->refused, &own->refused_group);
    rebuilt += own->rebuilt;
  }
  mctx__subscription_lock(subscription);
  subscription->counters.memberships_rebuilt += rebuilt;
  mctx__subscription_unlock(subscription);
}

/* False: the interfaces cannot be looked at now. */
static bool follow_changes(mctx__subscription *subscription, const mctx__changes *changes, bool *is_short) {
  following follow = {.subscription = subscription, .changes = changes};
  if (mctx__interfaces_load(&follow.interfaces).status != MCTX_OK) return false;
  follow.outcomes = mctx__allocate((follow.interfaces.count + 1) * sizeof *follow.outcomes);
  const bool is_able = follow.outcomes != NULL;
  if (is_able) {
    lose_all(&follow);
    rejoin_all(&follow);
    rename_default(&follow);
    rebuild_all(&follow);
    join_default_set(&follow);
    mctx__change_settle(subscription, &follow.change);
    tell_outcomes(&follow);
  }
  *is_short = follow.is_short;
  mctx__release(follow.outcomes);
  mctx__interfaces_free(&follow.interfaces);
  return is_able;
}

/* Remembers what the watch told until it could be followed. */
static void keep_changes(mctx__changes *kept, const mctx__changes *taken) {
  kept->any |= taken->any;
  kept->lost |= taken->lost;
  for (uint32_t i = 0; i < taken->removed_count; i++)
    mctx__removal_keep(kept, taken->removed[i]);
}

bool mctx__subscription_follow(mctx__subscription *subscription) {
  mctx__changes taken = {0};
  bool is_short = false;
  if (subscription->watch.value == MCTX__NO_WATCH.value) return true;
  mctx__mutex_lock(&subscription->mutex);
  mctx__watch_take(subscription->watch, &taken);
  keep_changes(&subscription->changes, &taken);
  const bool is_due = subscription->changes.any ||
                      (subscription->retry_ns != 0 && mctx__clock_coarse() >= subscription->retry_ns);
  const bool is_done = !is_due || follow_changes(subscription, &subscription->changes, &is_short);
  if (is_done) subscription->changes = (mctx__changes){0};
  mctx__subscription_lock(subscription);
  subscription->has_changes = !is_done;
  subscription->is_behind = !is_done;
  if (is_due && is_done) subscription->retry_ns = is_short ? mctx__clock_coarse() + RETRY_NS : 0;
  mctx__held_signal(subscription);
  mctx__subscription_unlock(subscription);
  mctx__mutex_unlock(&subscription->mutex);
  return is_done;
}

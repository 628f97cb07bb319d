/* SPDX-License-Identifier: MIT */
#include "member.h"

#include <string.h>

#include "address.h"
#include "held.h"

/* ---- names ---- */

static bool same_name(const mctx_interface_ref *a, const mctx_interface_ref *b) {
  if (a->by != b->by) return false;
  if (a->by == MCTX_INTERFACE_BY_INDEX) return a->index == b->index;
  if (a->by == MCTX_INTERFACE_BY_NAME) return strcmp(a->name, b->name) == 0;
  return a->address.scope_id == b->address.scope_id && mctx__same_host(&a->address, &b->address);
}

bool mctx__names_have(const mctx__name *names, const mctx_interface_ref *ref) {
  for (; names != NULL; names = names->next)
    if (same_name(&names->ref, ref)) return true;
  return false;
}

void mctx__names_move(mctx__name **names, mctx__name **from) {
  while (*names != NULL)
    names = &(*names)->next;
  *names = *from;
  *from = NULL;
}

bool mctx__name_add(mctx__name **names, const mctx_interface_ref *ref) {
  size_t length = ref->by == MCTX_INTERFACE_BY_NAME ? strlen(ref->name) + 1 : 0;
  mctx__name *added = mctx__allocate(sizeof *added + length);
  if (added == NULL) return false;
  added->ref = *ref;
  if (length > 0) {
    memcpy(added + 1, ref->name, length);
    added->ref.name = (const char *)(added + 1);
  }
  mctx__names_move(names, &added);
  return true;
}

void mctx__names_free(mctx__name **names) {
  while (*names != NULL) {
    mctx__name *first = *names;
    *names = first->next;
    mctx__release(first);
  }
}

/* ---- the list of memberships ---- */

mctx__member *mctx__member_find(const mctx__subscription *subscription, const mctx_address *group,
                                uint32_t interface_index) {
  return (mctx__member *)mctx__table_find(&subscription->members, 0, interface_index, group);
}

bool mctx__member_place(mctx__subscription *subscription, mctx__member *member, uint32_t interface_index) {
  mctx__table larger;
  if (!mctx__table_reserve(&subscription->members, subscription->members.count + 1, &larger)) return false;
  mctx__subscription_lock(subscription);
  mctx__table_grow(&subscription->members, &larger);
  member->entry.interface_index = interface_index;
  mctx__table_add(&subscription->members, &member->entry);
  mctx__subscription_unlock(subscription);
  mctx__release(larger.buckets);
  return true;
}

static void displace(mctx__subscription *subscription, mctx__member *member) {
  if (member->entry.interface_index == 0) return;
  mctx__subscription_lock(subscription);
  mctx__table_remove(&subscription->members, &member->entry);
  member->entry.interface_index = 0;
  mctx__subscription_unlock(subscription);
}

mctx__member *mctx__member_add(mctx__subscription *subscription, const mctx_address *group,
                               uint32_t interface_index) {
  mctx__member *member = mctx__allocate(sizeof *member);
  if (member == NULL) return NULL;
  member->entry.group = *group;
  member->is_fresh = true;
  if (interface_index != 0 && !mctx__member_place(subscription, member, interface_index)) {
    mctx__release(member);
    return NULL;
  }
  mctx__member **at = subscription->last != NULL ? &subscription->last->next : &subscription->first;
  *at = member;
  member->previous = subscription->last;
  subscription->last = member;
  member->id = ++subscription->last_id;
  subscription->member_count++;
  return member;
}

static void forget_member(mctx__subscription *subscription, mctx__member *member) {
  displace(subscription, member);
  *(member->previous != NULL ? &member->previous->next : &subscription->first) = member->next;
  *(member->next != NULL ? &member->next->previous : &subscription->last) = member->previous;
  subscription->member_count--;
  mctx__names_free(&member->names);
  mctx__names_free(&member->except);
  mctx__filter_free(&member->filter);
  mctx__filter_free(&member->next_filter);
  mctx__release(member);
}

/* ---- parts ---- */

static void tally_add(mctx__tally *sum, const mctx__tally *more) {
  sum->datagrams += more->datagrams;
  sum->bytes += more->bytes;
  if (sum->first_ns == 0 || (more->first_ns != 0 && more->first_ns < sum->first_ns))
    sum->first_ns = more->first_ns;
  if (more->last_ns > sum->last_ns) sum->last_ns = more->last_ns;
}

mctx__tally mctx__member_tally(const mctx__member *member) {
  mctx__tally sum = member->tally;
  for (const mctx__part *part = member->parts; part != NULL; part = part->next)
    tally_add(&sum, &part->tally);
  return sum;
}

/* What it counted stays with its membership. */
static void free_part(mctx__part *part) {
  tally_add(&part->member->tally, &part->tally);
  mctx__filter_free(&part->filter);
  mctx__filter_free(&part->next_filter);
  mctx__release(part);
}

static bool has_receiver(const mctx__receiver *receiver, const void *argument) {
  for (const mctx__part *part = ((const mctx__member *)argument)->parts; part != NULL; part = part->next)
    if (part->receiver == receiver) return true;
  return false;
}

static mctx__result leave(const mctx__part *part) {
  return mctx__socket_leave(part->receiver->socket, &part->entry.group, part->entry.interface_index);
}

/* Leaves; the part is in no table any more, or never was. A socket that the system did not let go of the group
 * cannot join it again, and takes nothing more. */
static void leave_part(mctx__subscription *subscription, mctx__part *part) {
  mctx__receiver *receiver = part->receiver;
  mctx__result result = leave(part);
  if (result.status != MCTX_OK && result.status != MCTX_ERR_MEMBERSHIP_NOT_FOUND) receiver->is_stuck = true;
  receiver->is_full = receiver->is_stuck;
  receiver->parts--;
  free_part(part);
  mctx__receiver_close_unused(subscription, receiver);
}

/* With the lock held. */
static void take_out(mctx__subscription *subscription, mctx__part *part) {
  mctx__receiver *receiver = part->receiver;
  mctx__table_remove(&subscription->parts, &part->entry);
  if (part->filter.count > 0) receiver->lists--;
  if (receiver->last == part) receiver->last = NULL;
  if (subscription->held.part == part) subscription->held.part = NULL;
  if (receiver->sole == part) {
    receiver->sole = NULL;
    receiver->sole_interface = part->entry.interface_index;
  }
}

/* The parts behind one that is about to be opened for all sources: from here on each datagram has one way, that
 * part's, once it is settled. */
static void silence_behind(mctx__subscription *subscription, const mctx__part *first) {
  if (first->next == NULL) return;
  mctx__subscription_lock(subscription);
  for (mctx__part *part = first->next; part != NULL; part = part->next) {
    part->was_sole = part->receiver->sole == part;
    part->state = MCTX__PART_SILENCED;
    take_out(subscription, part);
  }
  mctx__held_review(subscription);
  mctx__subscription_unlock(subscription);
}

/* It is as it was before it was silenced. */
static void unsilence(mctx__subscription *subscription, mctx__part *part) {
  mctx__receiver *receiver = part->receiver;
  mctx__subscription_lock(subscription);
  mctx__table_add(&subscription->parts, &part->entry);
  if (part->filter.count > 0) receiver->lists++;
  if (part->was_sole && !receiver->is_checked) receiver->sole = part;
  mctx__subscription_unlock(subscription);
}

static void drop_parts(mctx__subscription *subscription, mctx__member *member) {
  mctx__subscription_lock(subscription);
  for (mctx__part *part = member->parts; part != NULL; part = part->next)
    if (part->state != MCTX__PART_FRESH) take_out(subscription, part);
  mctx__held_review(subscription);
  mctx__subscription_unlock(subscription);
  while (member->parts != NULL) {
    mctx__part *part = member->parts;
    member->parts = part->next;
    leave_part(subscription, part);
  }
}

void mctx__member_remove(mctx__subscription *subscription, mctx__member *member) {
  drop_parts(subscription, member);
  forget_member(subscription, member);
}

void mctx__member_lose(mctx__subscription *subscription, mctx__member *member) {
  drop_parts(subscription, member);
  displace(subscription, member);
}

/* ---- telling ---- */

static mctx__result tell_filter(const mctx__part *part, const mctx__filter *filter, bool is_told) {
  const mctx_address *group = &part->entry.group;
  uint32_t index = part->entry.interface_index;
  if (!is_told) return mctx__socket_filter(part->receiver->socket, group, index, MCTX_EXCLUDE, NULL, 0);
  return mctx__socket_filter(part->receiver->socket, group, index, filter->mode, filter->sources,
                             filter->count);
}

/* Joins on a socket, from any source or from the first of a list. */
static mctx__result join_on(const mctx__receiver *receiver, const mctx__part *part,
                            const mctx__filter *filter) {
  const mctx_address *group = &part->entry.group;
  const uint32_t index = part->entry.interface_index;
  return filter->mode == MCTX_INCLUDE
             ? mctx__socket_join_source(receiver->socket, group, index, &filter->sources[0])
             : mctx__socket_join(receiver->socket, group, index);
}

/* The same on some socket; full ones are passed over. */
static mctx__result join_somewhere(mctx__subscription *subscription, mctx__part *part,
                                   const mctx__filter *filter) {
  const mctx_address *group = &part->entry.group;
  const uint32_t index = part->entry.interface_index;
  for (;;) {
    mctx__receiver *receiver;
    mctx__result result =
        mctx__receiver_choose(subscription, group, index, has_receiver, part->member, &receiver);
    if (result.status != MCTX_OK) return result;
    const bool was_used = receiver->parts > 0;
    /* What the system does not isolate from the first moment on is checked. */
    if (was_used || (filter->mode == MCTX_EXCLUDE && filter->count > 0))
      result = mctx__receiver_check(subscription, receiver);
    if (result.status == MCTX_OK) result = join_on(receiver, part, filter);
    if (result.status == MCTX_OK) {
      receiver->parts++;
      part->receiver = receiver;
      part->entry.owner = receiver->id;
      return result;
    }
    if (result.status != MCTX_ERR_TOO_MANY_MEMBERSHIPS || !was_used) {
      mctx__receiver_close_unused(subscription, receiver);
      return result;
    }
    receiver->is_full = true;
  }
}

/* Adds as much of `rest` to what the part lets through as the system takes, and takes that off `rest`. */
static mctx__result include_more(mctx__part *part, const mctx__filter *kept, mctx__filter *rest) {
  uint32_t count = rest->count;
  for (;;) {
    mctx__filter wanted;
    if (!mctx__filter_joined(&wanted, kept, rest, count)) return MCTX__NO_MEMORY;
    wanted.mode = MCTX_INCLUDE;
    /* A fresh part has been joined with its first source. */
    bool is_known = part->state == MCTX__PART_FRESH && wanted.count == 1;
    mctx__result result = is_known ? MCTX__DONE : tell_filter(part, &wanted, true);
    if (result.status == MCTX_OK) {
      part->next_filter = wanted;
      part->is_told_next = true;
      mctx__filter_skip(rest, count);
      return result;
    }
    mctx__filter_free(&wanted);
    if (result.status != MCTX_ERR_TOO_MANY_SOURCES || count <= 1) return result;
    count /= 2;
  }
}

/* An exclude list can't be spread: what one socket lets out another would let in. If the system has no room for
 * it, it lets everything through, and the library looks. */
static mctx__result exclude_all(mctx__part *part, const mctx__filter *filter) {
  if (!mctx__filter_copy(&part->next_filter, filter)) return MCTX__NO_MEMORY;
  part->is_told_next = true;
  mctx__result result = MCTX__DONE;
  if (part->state != MCTX__PART_FRESH || filter->count > 0) result = tell_filter(part, filter, true);
  if (result.status == MCTX_ERR_TOO_MANY_SOURCES) {
    part->is_told_next = false;
    result = part->state == MCTX__PART_FRESH ? MCTX__DONE : tell_filter(part, filter, false);
  }
  if (result.status != MCTX_OK) mctx__filter_free(&part->next_filter);
  return result;
}

/* Room in the table for one more fresh part, so that settling cannot fail. */
static bool reserve_part(mctx__subscription *subscription) {
  mctx__table larger;
  if (!mctx__table_reserve(&subscription->parts, subscription->parts.count + subscription->fresh_parts + 1,
                           &larger))
    return false;
  mctx__subscription_lock(subscription);
  mctx__table_grow(&subscription->parts, &larger);
  mctx__subscription_unlock(subscription);
  mctx__release(larger.buckets);
  return true;
}

/* One more part, for all of an exclude filter or for a piece of an include list, which is taken off. */
static mctx__result add_part(mctx__subscription *subscription, mctx__member *member, mctx__filter *filter) {
  mctx__part *part = reserve_part(subscription) ? mctx__allocate(sizeof *part) : NULL;
  if (part == NULL) return MCTX__NO_MEMORY;
  part->member = member;
  part->state = MCTX__PART_FRESH;
  part->entry.group = member->entry.group;
  part->entry.interface_index = member->entry.interface_index;
  mctx__result result = join_somewhere(subscription, part, filter);
  if (result.status != MCTX_OK) {
    free_part(part);
    return result;
  }
  const mctx__filter nothing = {.mode = MCTX_INCLUDE};
  result = filter->mode == MCTX_INCLUDE ? include_more(part, &nothing, filter) : exclude_all(part, filter);
  if (result.status != MCTX_OK) {
    leave_part(subscription, part);
    return result;
  }
  mctx__part **at = &member->parts;
  while (*at != NULL)
    at = &(*at)->next;
  *at = part;
  subscription->fresh_parts++;
  return MCTX__DONE;
}

/* Gives a part what it keeps of its list and what it takes of `rest`. */
static mctx__result change_part(mctx__subscription *subscription, mctx__part *part, const mctx__filter *wanted,
                                mctx__filter *rest) {
  mctx__filter kept = {.mode = MCTX_INCLUDE};
  if (part->filter.mode == MCTX_INCLUDE && !mctx__filter_common(&kept, &part->filter, wanted))
    return MCTX__NO_MEMORY;
  mctx__result result = MCTX__DONE;
  if (kept.count == 0 && rest->count == 0) {
    part->state = MCTX__PART_LEAVING;
  } else if (rest->count > 0 || kept.count < part->filter.count) {
    result = mctx__receiver_check(subscription, part->receiver);
    if (result.status == MCTX_OK) result = include_more(part, &kept, rest);
    if (result.status == MCTX_OK) part->state = MCTX__PART_CHANGED;
    /* A part that is full takes nothing, and keeps what it has. */
    if (result.status == MCTX_ERR_TOO_MANY_SOURCES && kept.count == part->filter.count) result = MCTX__DONE;
  }
  mctx__filter_free(&kept);
  return result;
}

static mctx__result tell_include(mctx__subscription *subscription, mctx__member *member,
                                 const mctx__filter *filter) {
  mctx__filter rest;
  const bool was_include = member->parts != NULL && member->filter.mode == MCTX_INCLUDE;
  const mctx__filter none = {.mode = MCTX_INCLUDE};
  if (!mctx__filter_minus(&rest, filter, was_include ? &member->filter : &none)) return MCTX__NO_MEMORY;
  mctx__result result = MCTX__DONE;
  for (mctx__part *part = member->parts; part != NULL && result.status == MCTX_OK; part = part->next)
    result = change_part(subscription, part, filter, &rest);
  while (result.status == MCTX_OK && rest.count > 0)
    result = add_part(subscription, member, &rest);
  mctx__filter_free(&rest);
  return result;
}

static mctx__result tell_exclude(mctx__subscription *subscription, mctx__member *member, mctx__filter *filter) {
  mctx__part *part = member->parts;
  if (part == NULL) return add_part(subscription, member, filter);
  mctx__result result = mctx__receiver_check(subscription, part->receiver);
  if (result.status != MCTX_OK) return result;
  silence_behind(subscription, part);
  result = exclude_all(part, filter);
  if (result.status == MCTX_OK) part->state = MCTX__PART_CHANGED;
  return result;
}

/* Makes the parts what they were. */
static void untell(mctx__subscription *subscription, mctx__member *member) {
  mctx__part **at = &member->parts;
  while (*at != NULL) {
    mctx__part *part = *at;
    if (part->state == MCTX__PART_FRESH) {
      *at = part->next;
      subscription->fresh_parts--;
      leave_part(subscription, part);
      continue;
    }
    if (part->state == MCTX__PART_CHANGED) (void)tell_filter(part, &part->filter, part->is_told);
    if (part->state == MCTX__PART_SILENCED) unsilence(subscription, part);
    mctx__filter_free(&part->next_filter);
    part->state = MCTX__PART_SETTLED;
    at = &part->next;
  }
}

mctx__result mctx__member_tell(mctx__subscription *subscription, mctx__change *change, mctx__member *member,
                               mctx__filter *filter) {
  mctx__result result = MCTX__DONE;
  if (member->entry.interface_index != 0 && member->refusal == MCTX_OK)
    result = filter->mode == MCTX_INCLUDE ? tell_include(subscription, member, filter)
                                          : tell_exclude(subscription, member, filter);
  if (result.status != MCTX_OK) {
    untell(subscription, member);
    mctx__filter_free(filter);
    return result;
  }
  member->next_filter = mctx__filter_take(filter);
  member->next_change = change->first;
  change->first = member;
  return MCTX__DONE;
}

/* ---- joining anew ---- */

static mctx__result rejoin(const mctx__part *part) {
  const uint32_t known = part->filter.mode == MCTX_INCLUDE ? 1 : 0; /* sources, once it is joined */
  mctx__result result = join_on(part->receiver, part, &part->filter);
  if (result.status == MCTX_OK && part->is_told && part->filter.count > known)
    result = tell_filter(part, &part->filter, true);
  return result;
}

mctx__result mctx__member_rejoin(const mctx__member *member) {
  mctx__result result = MCTX__DONE;
  for (const mctx__part *part = member->parts; part != NULL && result.status == MCTX_OK; part = part->next)
    result = leave(part);
  for (const mctx__part *part = member->parts; part != NULL && result.status == MCTX_OK; part = part->next)
    result = rejoin(part);
  return result;
}

/* ---- settling ---- */

/* With the lock held. A socket whose only membership the system isolates needs no check. */
static void settle_part(mctx__subscription *subscription, mctx__part *part) {
  mctx__receiver *receiver = part->receiver;
  const bool was_fresh = part->state == MCTX__PART_FRESH;
  if (!was_fresh && part->filter.count > 0) receiver->lists--;
  if (subscription->held.part == part) subscription->held.part = NULL; /* to be looked at again */
  mctx__filter before = part->filter;
  part->filter = part->next_filter;
  part->next_filter = before; /* freed without the lock */
  part->is_told = part->is_told_next;
  part->state = MCTX__PART_SETTLED;
  if (part->filter.count > 0) receiver->lists++;
  if (was_fresh) {
    mctx__table_add(&subscription->parts, &part->entry);
    subscription->fresh_parts--;
  }
  if (was_fresh && receiver->parts == 1 && !receiver->is_checked && mctx__receiver_isolates(receiver))
    receiver->sole = part;
  receiver->wanted = mctx__receiver_wants(receiver);
}

static void settle_member(mctx__subscription *subscription, mctx__member *member) {
  mctx__filter before = member->filter;
  mctx__subscription_lock(subscription);
  for (mctx__part *part = member->parts; part != NULL; part = part->next) {
    if (part->state == MCTX__PART_FRESH || part->state == MCTX__PART_CHANGED)
      settle_part(subscription, part);
    else if (part->state == MCTX__PART_LEAVING)
      take_out(subscription, part);
  }
  member->filter = mctx__filter_take(&member->next_filter);
  if (member->joined_ns == 0) member->joined_ns = mctx__clock_coarse();
  mctx__held_review(subscription);
  mctx__subscription_unlock(subscription);

  mctx__filter_free(&before);
  member->is_fresh = false;
  mctx__part **at = &member->parts;
  while (*at != NULL) {
    mctx__part *part = *at;
    mctx__filter_free(&part->next_filter);
    if (part->state == MCTX__PART_SETTLED) {
      at = &part->next;
      continue;
    }
    *at = part->next;
    leave_part(subscription, part);
  }
}

void mctx__change_settle(mctx__subscription *subscription, mctx__change *change) {
  while (change->first != NULL) {
    mctx__member *member = change->first;
    change->first = member->next_change;
    settle_member(subscription, member);
  }
}

void mctx__change_undo(mctx__subscription *subscription, mctx__change *change) {
  while (change->first != NULL) {
    mctx__member *member = change->first;
    change->first = member->next_change;
    mctx__filter_free(&member->next_filter);
    untell(subscription, member);
    if (member->is_fresh) forget_member(subscription, member);
  }
}

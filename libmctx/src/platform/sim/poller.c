/* SPDX-License-Identifier: MIT */
/* Pollers: one descriptor to watch for many, level-triggered, as epoll is. */
#include "sim.h"

#define NESTED_MAX 5 /* pollers in pollers, as of epoll's descriptors */

typedef struct member {
  struct member *next;
  int64_t value;
  uint64_t tag;
} member;

/* The members, those that were told before last. */
static member *members[MCTX__SIM_SLOTS];

static member **members_of(mctx__poller poller) {
  if (!mctx__sim_descriptor_find(MCTX__SIM_POLLER, poller.value)) return NULL;
  return &members[mctx__sim_slot_of(poller.value)];
}

static void drop(member **place) {
  member *dropped = *place;
  *place = dropped->next;
  mctx__sim_descriptor_watched(dropped->value, -1);
  mctx__sim_give_back(dropped);
}

/* ---- open, close, add, remove ---- */

mctx__result mctx__poller_open(mctx__poller *poller) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_POLLER);
  if (outcome.status == MCTX_OK) outcome = mctx__sim_descriptor_open(MCTX__SIM_POLLER, &poller->value);
  mctx__sim_unlock();
  return outcome;
}

static void close_locked(mctx__poller poller) {
  member **first = members_of(poller);
  if (first == NULL) return;
  while (*first != NULL)
    drop(first);
  mctx__sim_descriptor_close(poller.value);
}

void mctx__poller_close(mctx__poller poller) {
  mctx__sim_lock();
  close_locked(poller);
  mctx__sim_unlock();
}

void mctx__poller_abandon(mctx__poller poller) {
  mctx__sim_lock();
  mctx__sim_descriptor_forget_watchers(poller.value);
  close_locked(poller);
  mctx__sim_unlock();
}

mctx_os_handle mctx__poller_native(mctx__poller poller) {
  return (mctx_os_handle){.value = poller.value, .type = MCTX_OS_DESCRIPTOR};
}

mctx__socket mctx__poller_member(mctx__poller poller) {
  return (mctx__socket){poller.value};
}

static mctx__result add_locked(mctx__poller poller, mctx__socket added, uint64_t tag) {
  member **place = members_of(poller);
  if (place == NULL) return mctx__sim_error(MCTX_ERR_IO);
  if (!mctx__sim_descriptor_is_open(added.value)) {
    mctx__sim_misused();
    return mctx__sim_error(MCTX_ERR_IO);
  }
  for (; *place != NULL; place = &(*place)->next) {
    if ((*place)->value == added.value) return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  }
  member *fresh = mctx__sim_reserve(sizeof(*fresh));
  if (fresh == NULL) return mctx__sim_error(MCTX_ERR_NO_MEMORY);
  *fresh = (member){NULL, added.value, tag};
  *place = fresh;
  mctx__sim_descriptor_watched(added.value, 1);
  mctx__sim_changed();
  return MCTX__DONE;
}

mctx__result mctx__poller_add(mctx__poller poller, mctx__socket added, uint64_t tag) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_POLLER);
  if (outcome.status == MCTX_OK) outcome = add_locked(poller, added, tag);
  mctx__sim_unlock();
  return outcome;
}

void mctx__poller_remove(mctx__poller poller, mctx__socket removed) {
  mctx__sim_lock();
  member **place = members_of(poller);
  while (place != NULL && *place != NULL && (*place)->value != removed.value)
    place = &(*place)->next;
  if (place != NULL && *place != NULL) {
    drop(place);
  } else {
    mctx__sim_misused();
  }
  mctx__sim_unlock();
}

/* ---- readiness ---- */

static bool is_readable(int64_t value) {
  return (mctx__sim_readiness((mctx__socket){value}, MCTX_READABLE) & MCTX_READABLE) != 0;
}

/* Looks into pollers in pollers, down to a depth. */
bool mctx__sim_poller_is_readable(int64_t value) {
  const member *next[NESTED_MAX] = {members[mctx__sim_slot_of(value)]};
  uint32_t depth = 1;
  while (depth > 0) {
    const member *one = next[depth - 1];
    if (one == NULL) {
      depth--;
      continue;
    }
    next[depth - 1] = one->next;
    if (!mctx__sim_descriptor_is_open(one->value)) continue;
    if (mctx__sim_kind_of(one->value) != MCTX__SIM_POLLER) {
      if (is_readable(one->value)) return true;
    } else if (depth < NESTED_MAX) {
      next[depth++] = members[mctx__sim_slot_of(one->value)];
    }
  }
  return false;
}

mctx__result mctx__poller_ready(mctx__poller poller, uint64_t *tags, uint32_t capacity, uint32_t *count) {
  *count = 0;
  mctx__sim_lock();
  member *told = NULL;
  member **last_told = &told;
  member **place = members_of(poller);
  mctx__result outcome = place != NULL ? MCTX__DONE : mctx__sim_error(MCTX_ERR_IO);
  while (place != NULL && *place != NULL) {
    member *one = *place;
    if (!mctx__sim_descriptor_is_open(one->value)) { /* a parent's, abandoned */
      drop(place);
    } else if (*count < capacity && is_readable(one->value)) {
      tags[(*count)++] = one->tag;
      *place = one->next;
      one->next = NULL;
      *last_told = one;
      last_told = &one->next;
    } else {
      place = &one->next;
    }
  }
  if (place != NULL) *place = told;
  mctx__sim_unlock();
  return outcome;
}

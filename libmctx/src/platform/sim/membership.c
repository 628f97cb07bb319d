/* SPDX-License-Identifier: MIT */
/*
 * Memberships and their filters, as Linux keeps them: a list a socket, the one joined last first. One whose
 * interface went away is dead: it still counts, and a group can't be joined twice under one index, until it is
 * left or the socket is closed.
 */
#include <string.h>

#include "sim.h"

static uint64_t held;

/* ---- looking ---- */

bool mctx__sim_same_address(const mctx_address *one, const mctx_address *other) {
  return one->family == other->family && memcmp(one->bytes, other->bytes, sizeof(one->bytes)) == 0;
}

static mctx__sim_membership **find(mctx__sim_socket *socket, const mctx_address *group, uint32_t index) {
  mctx__sim_membership **place = &socket->memberships;
  while (*place != NULL && ((*place)->index != index || !mctx__sim_same_address(&(*place)->group, group)))
    place = &(*place)->next;
  return place;
}

bool mctx__sim_membership_is_alive(const mctx__sim_membership *membership) {
  return mctx__sim_interface_life(membership->index, membership->group.family) == membership->life;
}

static bool lists(const mctx__sim_membership *membership, const mctx_address *source) {
  for (uint32_t i = 0; i < membership->source_count; i++) {
    if (mctx__sim_same_address(&membership->sources[i], source)) return true;
  }
  return false;
}

bool mctx__sim_membership_allows(const mctx__sim_membership *membership, const mctx_address *source) {
  return lists(membership, source) == (membership->mode == MCTX_INCLUDE);
}

static uint64_t count_of(const mctx__sim_socket *socket) {
  uint64_t count = 0;
  for (const mctx__sim_membership *one = socket->memberships; one != NULL; one = one->next)
    count++;
  return count;
}

/* ---- changing ---- */

static void drop(mctx__sim_membership **place) {
  mctx__sim_membership *dropped = *place;
  *place = dropped->next;
  mctx__sim_give_back(dropped->sources);
  mctx__sim_give_back(dropped);
  held--;
}

void mctx__sim_memberships_drop(mctx__sim_socket *socket) {
  while (socket->memberships != NULL)
    drop(&socket->memberships);
}

static bool set_sources(mctx__sim_membership *membership, const mctx_address *sources, uint32_t count) {
  mctx_address *list = NULL;
  if (count > 0) {
    list = mctx__sim_reserve(count * sizeof(*list));
    if (list == NULL) return false;
    memcpy(list, sources, count * sizeof(*list));
  }
  mctx__sim_give_back(membership->sources);
  membership->sources = list;
  membership->source_count = count;
  return true;
}

/* ip_mc_join_group(), __ipv6_sock_mc_join(). */
static mctx__result join(mctx__sim_socket *socket, const mctx_address *group, uint32_t index, uint32_t mode) {
  bool v6 = group->family == 6;
  if (group->family != socket->family || !mctx__sim_is_multicast(group)) {
    return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  }
  if (*find(socket, group, index) != NULL) return mctx__sim_error(MCTX_ERR_ADDRESS_IN_USE);
  if (count_of(socket) >= mctx__sim_limit(v6 ? MCTX_SIM_MEMBERSHIPS6 : MCTX_SIM_MEMBERSHIPS4)) {
    return mctx__sim_error(MCTX_ERR_TOO_MANY_MEMBERSHIPS);
  }
  mctx_status refusal = mctx__sim_interface_refusal(index, group->family);
  if (refusal != MCTX_OK) return mctx__sim_error(refusal);
  mctx__sim_membership *membership = mctx__sim_reserve(sizeof(*membership));
  if (membership == NULL) return mctx__sim_error(MCTX_ERR_NO_MEMORY);
  *membership = (mctx__sim_membership){.next = socket->memberships,
                                       .group = *group,
                                       .index = index,
                                       .life = mctx__sim_interface_life(index, group->family),
                                       .mode = mode};
  membership->group.port = 0;
  socket->memberships = membership;
  held++;
  return MCTX__DONE;
}

static mctx__result check_source_count(const mctx__sim_socket *socket, uint32_t count) {
  uint32_t limit = socket->family == 6 ? MCTX_SIM_SOURCES6 : MCTX_SIM_SOURCES4;
  return count > mctx__sim_limit(limit) ? mctx__sim_error(MCTX_ERR_TOO_MANY_SOURCES) : MCTX__DONE;
}

/* ip_mc_source(), ip6_mc_source(): an empty filter takes the mode of what is added. */
static mctx__result add_source(const mctx__sim_socket *socket, mctx__sim_membership *membership,
                               const mctx_address *source) {
  if (membership->mode != MCTX_INCLUDE && membership->source_count > 0) {
    return mctx__sim_error(MCTX_ERR_FILTER_MODE);
  }
  if (lists(membership, source)) return mctx__sim_error(MCTX_ERR_SOURCE_EXISTS);
  mctx__result outcome = check_source_count(socket, membership->source_count + 1);
  if (outcome.status != MCTX_OK) return outcome;
  size_t known = membership->source_count * sizeof(*source);
  mctx_address *list = mctx__sim_reserve(known + sizeof(*source));
  if (list == NULL) return mctx__sim_error(MCTX_ERR_NO_MEMORY);
  if (known > 0) memcpy(list, membership->sources, known);
  list[membership->source_count++] = *source;
  mctx__sim_give_back(membership->sources);
  membership->sources = list;
  membership->mode = MCTX_INCLUDE;
  return MCTX__DONE;
}

static mctx__result join_source(mctx__sim_socket *socket, const mctx_address *group, uint32_t index,
                                const mctx_address *source) {
  bool joined = *find(socket, group, index) != NULL;
  if (source->family != group->family) return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  mctx__result outcome = joined ? MCTX__DONE : join(socket, group, index, MCTX_INCLUDE);
  if (outcome.status != MCTX_OK) return outcome;
  mctx__sim_membership **place = find(socket, group, index);
  outcome = add_source(socket, *place, source);
  if (outcome.status != MCTX_OK && !joined) drop(place);
  return outcome;
}

/* ip_mc_msfilter(), ip6_mc_msfilter(): an include list without sources leaves the group. */
static mctx__result set_filter(mctx__sim_socket *socket, const mctx_address *group, uint32_t index,
                               uint32_t mode, const mctx_address *sources, uint32_t count) {
  mctx__result outcome = check_source_count(socket, count);
  if (outcome.status != MCTX_OK) return outcome;
  mctx__sim_membership **place = find(socket, group, index);
  if (mctx__sim_interface_at(index) == NULL) return mctx__sim_error(MCTX_ERR_INTERFACE_NOT_FOUND);
  if (*place == NULL) return mctx__sim_error(MCTX_ERR_MEMBERSHIP_NOT_FOUND);
  if (mode == MCTX_INCLUDE && count == 0) {
    drop(place);
    return MCTX__DONE;
  }
  if (!set_sources(*place, sources, count)) return mctx__sim_error(MCTX_ERR_NO_MEMORY);
  (*place)->mode = mode;
  return MCTX__DONE;
}

/* ---- the contract ---- */

static mctx__result begin(mctx__socket name, uint32_t call, mctx__sim_socket **socket) {
  mctx__result outcome = mctx__sim_call(call);
  if (outcome.status != MCTX_OK) return outcome;
  *socket = mctx__sim_socket_find(name);
  return *socket != NULL ? MCTX__DONE : mctx__sim_error(MCTX_ERR_IO);
}

mctx__result mctx__socket_join(mctx__socket name, const mctx_address *group, uint32_t interface_index) {
  mctx__sim_socket *socket;
  mctx__sim_lock();
  mctx__result outcome = begin(name, MCTX_SIM_JOIN, &socket);
  if (outcome.status == MCTX_OK) outcome = join(socket, group, interface_index, MCTX_EXCLUDE);
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_join_source(mctx__socket name, const mctx_address *group, uint32_t interface_index,
                                      const mctx_address *source) {
  mctx__sim_socket *socket;
  mctx__sim_lock();
  mctx__result outcome = begin(name, MCTX_SIM_JOIN, &socket);
  if (outcome.status == MCTX_OK) outcome = join_source(socket, group, interface_index, source);
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_leave(mctx__socket name, const mctx_address *group, uint32_t interface_index) {
  mctx__sim_socket *socket;
  mctx__sim_lock();
  mctx__result outcome = begin(name, MCTX_SIM_LEAVE, &socket);
  if (outcome.status == MCTX_OK) {
    mctx__sim_membership **place = find(socket, group, interface_index);
    if (*place == NULL) outcome = mctx__sim_error(MCTX_ERR_MEMBERSHIP_NOT_FOUND);
    if (*place != NULL) drop(place);
  }
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_filter(mctx__socket name, const mctx_address *group, uint32_t interface_index,
                                 uint32_t mode, const mctx_address *sources, uint32_t count) {
  mctx__sim_socket *socket;
  mctx__sim_lock();
  mctx__result outcome = begin(name, MCTX_SIM_FILTER, &socket);
  if (outcome.status == MCTX_OK) outcome = set_filter(socket, group, interface_index, mode, sources, count);
  mctx__sim_unlock();
  return outcome;
}

/* ---- controls ---- */

int32_t mctx_sim_socket_join(const mctx_os_handle *native, const mctx_address *group,
                             uint32_t interface_index) {
  mctx__sim_lock();
  mctx__sim_socket *socket = mctx__sim_socket_find((mctx__socket){native->value});
  bool joined = socket != NULL && join(socket, group, interface_index, MCTX_EXCLUDE).status == MCTX_OK;
  mctx__sim_unlock();
  return joined;
}

uint64_t mctx_sim_memberships(void) {
  mctx__sim_lock();
  uint64_t count = held;
  mctx__sim_unlock();
  return count;
}

static void describe(const mctx__sim_socket *socket, const mctx__sim_membership *one,
                     mctx_sim_membership *membership) {
  const uint32_t room = sizeof(membership->sources) / sizeof(membership->sources[0]);
  *membership = (mctx_sim_membership){.socket = socket->name,
                                      .group = one->group,
                                      .interface_index = one->index,
                                      .alive = mctx__sim_membership_is_alive(one),
                                      .mode = one->mode,
                                      .source_count = one->source_count};
  for (uint32_t i = 0; i < one->source_count && i < room; i++)
    membership->sources[i] = one->sources[i];
}

int32_t mctx_sim_membership_at(uint64_t position, mctx_sim_membership *membership) {
  const mctx__sim_membership *found = NULL;
  mctx__sim_lock();
  for (mctx__sim_socket *socket = mctx__sim_socket_next(NULL); socket != NULL && found == NULL;
       socket = mctx__sim_socket_next(socket)) {
    found = socket->memberships;
    while (found != NULL && position > 0) {
      found = found->next;
      position--;
    }
    if (found != NULL) describe(socket, found, membership);
  }
  mctx__sim_unlock();
  return found != NULL;
}

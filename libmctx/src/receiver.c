/* SPDX-License-Identifier: MIT */
#include "receiver.h"

#include "address.h"
#include "subscription.h"

enum { PORT_TRIES = 32 };

static mctx_address wildcard(uint32_t family, uint16_t port) {
  return (mctx_address){.family = (uint8_t)family, .port = port};
}

/* ---- the port ---- */

/* Whether nobody else has the port: a plain bind says so. */
static mctx__result probe_port(uint32_t family, uint16_t port) {
  const mctx_address local = wildcard(family, port);
  mctx__socket socket;
  mctx__result result = mctx__socket_open(family, &socket);
  if (result.status != MCTX_OK) return result;
  result = mctx__socket_bind(socket, &local);
  mctx__socket_close(socket);
  return result;
}

static bool has_family(const mctx__subscription *subscription, uint32_t family) {
  for (const mctx__receiver *at = subscription->receivers; at != NULL; at = at->next)
    if (at->family == family) return true;
  return false;
}

/* Lets our sockets of a family share their port for a moment, or ends that. All are tried; the first failure
 * counts. */
static mctx__result share_port(const mctx__subscription *subscription, uint32_t family, int64_t value) {
  mctx__result result = MCTX__DONE;
  for (const mctx__receiver *at = subscription->receivers; at != NULL; at = at->next) {
    if (at->family != family) continue;
    mctx__result own = mctx__socket_set(at->socket, family, MCTX__REUSE_PORT, value);
    if (result.status == MCTX_OK) result = own;
  }
  return result;
}

/* Binds beside our own sockets. */
static mctx__result bind_beside(const mctx__subscription *subscription, const mctx__receiver *receiver,
                                const mctx_address *local) {
  mctx__result result = share_port(subscription, receiver->family, 1);
  if (result.status == MCTX_OK) result = mctx__socket_bind(receiver->socket, local);
  mctx__result alone = share_port(subscription, receiver->family, 0);
  return result.status == MCTX_OK ? alone : result;
}

/* Whether a socket of ours has the address that another one wants. */
static bool is_in_the_way(const mctx__receiver *at, const mctx__receiver *receiver) {
  if (at->family != receiver->family) return false;
  const bool meets =
      at->group.family == 0 || receiver->group.family == 0 || mctx__same_host(&at->group, &receiver->group);
  const bool is_apart = at->is_held && receiver->is_held && at->interface_index != receiver->interface_index;
  return meets && !is_apart;
}

static bool has_in_the_way(const mctx__subscription *subscription, const mctx__receiver *receiver) {
  for (const mctx__receiver *at = subscription->receivers; at != NULL; at = at->next)
    if (is_in_the_way(at, receiver)) return true;
  return false;
}

/* An exclusive port is ours alone: a socket is bound without sharing, and where one of our own is in the way,
 * both share for that moment. */
static mctx__result bind_exclusively(mctx__subscription *subscription, mctx__receiver *receiver,
                                     const mctx_address *local) {
  const uint32_t family = receiver->family;
  mctx__result result = MCTX__DONE;
  if (!has_family(subscription, family)) result = probe_port(family, subscription->port);
  if (result.status != MCTX_OK) return result;
  if (!has_in_the_way(subscription, receiver)) return mctx__socket_bind(receiver->socket, local);
  result = mctx__socket_set(receiver->socket, family, MCTX__REUSE_PORT, 1);
  if (result.status == MCTX_OK) result = bind_beside(subscription, receiver, local);
  if (result.status != MCTX_OK) return result;
  return mctx__socket_set(receiver->socket, family, MCTX__REUSE_PORT, 0);
}

static mctx__result bind_receiver(mctx__subscription *subscription, mctx__receiver *receiver) {
  mctx_address local = wildcard(receiver->family, subscription->port);
  if (receiver->group.family != 0) {
    local = receiver->group;
    local.port = subscription->port;
    if (mctx__is_scoped_group(&local)) local.scope_id = receiver->interface_index;
  }
  if (subscription->reuse_port == 0) return bind_exclusively(subscription, receiver, &local);
  mctx__result result = mctx__socket_set(receiver->socket, receiver->family, MCTX__REUSE_PORT, 1);
  return result.status == MCTX_OK ? mctx__socket_bind(receiver->socket, &local) : result;
}

/* ---- opening and closing ---- */

/* One with a socket, that nobody finds yet. */
static mctx__result make_receiver(mctx__subscription *subscription, uint32_t family, mctx__receiver **made) {
  mctx__receiver *receiver = mctx__allocate(sizeof *receiver);
  if (receiver == NULL) return MCTX__NO_MEMORY;
  receiver->family = family;
  receiver->id = ++subscription->last_receiver;
  const mctx__result result = mctx__socket_open(family, &receiver->socket);
  if (result.status == MCTX_OK)
    *made = receiver;
  else
    mctx__release(receiver);
  return result;
}

static void discard_receiver(mctx__receiver *receiver) {
  mctx__socket_close(receiver->socket);
  mctx__release(receiver);
}

/* From here on a forked child finds it. */
static void link_in(mctx__subscription *subscription, mctx__receiver *receiver) {
  receiver->next = subscription->receivers;
  subscription->receivers = receiver;
}

static void unlink_from(mctx__subscription *subscription, const mctx__receiver *receiver) {
  mctx__receiver **at = &subscription->receivers;
  while (*at != receiver)
    at = &(*at)->next;
  *at = receiver->next;
}

/* The only socket is asked without asking the poller first. With the lock held. */
static void find_only(mctx__subscription *subscription) {
  subscription->only = NULL;
  if (subscription->receiver_count != 1) return;
  mctx__receiver *at = subscription->receivers;
  while (at->is_anchor)
    at = at->next;
  subscription->only = at;
}

/* What a system cannot do is left out; what it fails at is a failure. */
static mctx__result set_if_possible(const mctx__receiver *receiver, mctx__option option, int64_t value,
                                    bool *done) {
  mctx__result result = mctx__socket_set(receiver->socket, receiver->family, option, value);
  *done = result.status == MCTX_OK;
  return mctx_status_kind(result.status) == MCTX_KIND_UNSUPPORTED ? MCTX__DONE : result;
}

static mctx__result hold_to_interface(mctx__receiver *receiver) {
  if (receiver->interface_index == 0) return MCTX__DONE;
  mctx__result result = mctx__socket_hold_to(receiver->socket, receiver->interface_index);
  receiver->is_held = result.status == MCTX_OK;
  uint32_t kind = mctx_status_kind(result.status);
  return kind == MCTX_KIND_UNSUPPORTED || kind == MCTX_KIND_PERMISSION ? MCTX__DONE : result;
}

static mctx__result configure(mctx__subscription *subscription, mctx__receiver *receiver) {
  bool done;
  mctx__result result = set_if_possible(receiver, MCTX__ISOLATED, 1, &receiver->is_isolated);
  if (result.status == MCTX_OK && subscription->receive_buffer > 0)
    result = mctx__socket_set(receiver->socket, receiver->family, MCTX__RECEIVE_BUFFER,
                              subscription->receive_buffer);
  if (result.status == MCTX_OK && subscription->coalescing != 0)
    result = set_if_possible(receiver, MCTX__COALESCING, 1, &receiver->coalescing);
  if (result.status == MCTX_OK) result = hold_to_interface(receiver);
  receiver->collected = subscription->metadata | (mctx__receiver_isolates(receiver) ? 0 : MCTX_META_GROUP);
  receiver->wanted = mctx__receiver_wants(receiver);
  if (result.status == MCTX_OK && receiver->collected != 0)
    result = set_if_possible(receiver, MCTX__METADATA, receiver->collected, &done);
  return result;
}

/* Bound to a group; NULL: to the port alone. */
static mctx__result open_receiver(mctx__subscription *subscription, const mctx_address *group, uint32_t family,
                                  uint32_t interface_index, mctx__receiver **opened) {
  mctx__receiver *receiver;
  mctx__result result = make_receiver(subscription, family, &receiver);
  if (result.status != MCTX_OK) return result;
  if (group != NULL) receiver->group = *group;
  receiver->interface_index = interface_index;
  result = configure(subscription, receiver);
  if (result.status == MCTX_OK) result = bind_receiver(subscription, receiver);
  if (result.status == MCTX_OK)
    result = mctx__poller_add(subscription->poller, receiver->socket, (uint64_t)(uintptr_t)receiver);
  if (result.status != MCTX_OK) {
    discard_receiver(receiver);
    return result;
  }
  mctx__subscription_lock(subscription);
  link_in(subscription, receiver);
  subscription->receiver_count++;
  if (group != NULL) subscription->group_sockets++;
  find_only(subscription);
  mctx__subscription_unlock(subscription);
  *opened = receiver;
  return result;
}

void mctx__receiver_close(mctx__subscription *subscription, mctx__receiver *receiver) {
  mctx__subscription_lock(subscription);
  unlink_from(subscription, receiver);
  if (!receiver->is_anchor) subscription->receiver_count--;
  if (receiver->group.family != 0) subscription->group_sockets--;
  find_only(subscription);
  /* Within the lock: no receive may meet its tag afterwards. */
  if (!receiver->is_anchor) mctx__poller_remove(subscription->poller, receiver->socket);
  mctx__receive_forget(subscription, receiver);
  mctx__subscription_unlock(subscription);
  discard_receiver(receiver);
}

void mctx__receiver_close_unused(mctx__subscription *subscription, mctx__receiver *receiver) {
  if (receiver->parts == 0 && !receiver->is_anchor) mctx__receiver_close(subscription, receiver);
}

/* ---- a port of the system's choice ---- */

/* Holds a port: 0 lets the system choose. Others may bind it afterwards, we among them. */
static mctx__result open_anchor(mctx__subscription *subscription, uint32_t family, uint16_t *port) {
  mctx_address local = wildcard(family, *port);
  mctx__receiver *anchor;
  mctx__result result = make_receiver(subscription, family, &anchor);
  if (result.status != MCTX_OK) return result;
  anchor->is_anchor = true;
  (void)mctx__socket_set(anchor->socket, family, MCTX__ISOLATED, 1); /* it is never read in any case */
  result = mctx__socket_bind(anchor->socket, &local);
  if (result.status == MCTX_OK) result = mctx__socket_local(anchor->socket, &local);
  if (result.status == MCTX_OK && subscription->reuse_port != 0)
    result = mctx__socket_set(anchor->socket, family, MCTX__REUSE_PORT, 1);
  if (result.status != MCTX_OK) {
    discard_receiver(anchor);
    return result;
  }
  *port = local.port;
  mctx__subscription_lock(subscription);
  link_in(subscription, anchor);
  mctx__subscription_unlock(subscription);
  return result;
}

/* One try: the system's choice for the first family that there is must be free for the other one too. */
static mctx__result try_port(mctx__subscription *subscription) {
  uint16_t port = 0;
  const mctx__result first = open_anchor(subscription, 4, &port);
  if (first.status != MCTX_OK && first.status != MCTX_ERR_FAMILY_UNSUPPORTED) return first;
  const mctx__result second = open_anchor(subscription, 6, &port);
  if (second.status == MCTX_OK || (first.status == MCTX_OK && second.status == MCTX_ERR_FAMILY_UNSUPPORTED)) {
    subscription->port = port;
    return MCTX__DONE;
  }
  if (first.status == MCTX_OK) mctx__receiver_close(subscription, subscription->receivers);
  return second;
}

mctx__result mctx__receiver_choose_port(mctx__subscription *subscription) {
  mctx__result result = MCTX__DONE;
  for (uint32_t i = 0; i < PORT_TRIES; i++) {
    result = try_port(subscription);
    if (result.status != MCTX_ERR_ADDRESS_IN_USE) break;
  }
  return result;
}

/* ---- choosing ---- */

/* Whether one more socket may be bound to a group. */
static bool may_bind_group(const mctx__subscription *subscription) {
  if (subscription->binding == MCTX_BINDING_WILDCARD || !mctx__binds_groups()) return false;
  return subscription->binding == MCTX_BINDING_GROUP ||
         subscription->group_sockets < subscription->max_group_sockets;
}

mctx__result mctx__receiver_choose(mctx__subscription *subscription, const mctx_address *group,
                                   uint32_t interface_index, mctx__receiver_filter *taken, const void *argument,
                                   mctx__receiver **chosen) {
  const uint32_t only_interface = group->family == 6 ? interface_index : 0;
  mctx__receiver *shard = NULL;
  for (mctx__receiver *at = subscription->receivers; at != NULL; at = at->next) {
    if (at->is_anchor || at->is_full || at->family != group->family || at->interface_index != only_interface ||
        taken(at, argument))
      continue;
    if (at->group.family == 0) {
      if (shard == NULL) shard = at;
    } else if (mctx__same_host(&at->group, group)) {
      *chosen = at;
      return MCTX__DONE;
    }
  }
  if (may_bind_group(subscription)) {
    const mctx__result result = open_receiver(subscription, group, group->family, only_interface, chosen);
    const bool is_short = result.status == MCTX_ERR_TOO_MANY_DESCRIPTORS;
    if (!is_short || shard == NULL || subscription->binding == MCTX_BINDING_GROUP) return result;
  }
  if (shard == NULL) return open_receiver(subscription, NULL, group->family, only_interface, chosen);
  *chosen = shard;
  return MCTX__DONE;
}

mctx__result mctx__receiver_check(mctx__subscription *subscription, mctx__receiver *receiver) {
  if ((receiver->collected & MCTX_META_GROUP) == 0) {
    mctx__result result = mctx__socket_set(receiver->socket, receiver->family, MCTX__METADATA,
                                           receiver->collected | MCTX_META_GROUP);
    if (result.status != MCTX_OK) return result;
    receiver->collected |= MCTX_META_GROUP;
  }
  receiver->is_checked = true;
  mctx__subscription_lock(subscription);
  if (receiver->sole != NULL) receiver->sole_interface = receiver->sole->entry.interface_index;
  receiver->sole = NULL;
  /* A filter that is about to change may have a list from then on. */
  receiver->wanted = receiver->collected | MCTX_META_SOURCE;
  mctx__subscription_unlock(subscription);
  return MCTX__DONE;
}

bool mctx__receiver_has_group(const mctx__subscription *subscription, const mctx__receiver *receiver,
                              const mctx_address *group) {
  for (uint32_t i = 0; i < subscription->parts.size; i++)
    for (const mctx__entry *entry = subscription->parts.buckets[i]; entry != NULL; entry = entry->next)
      if (entry->owner == receiver->id && mctx__same_host(&entry->group, group)) return true;
  return false;
}

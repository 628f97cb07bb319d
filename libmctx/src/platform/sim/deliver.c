/* SPDX-License-Identifier: MIT */
/* Delivery: to which sockets of the host a datagram goes. Each rule names the function of Linux that has it. */
#include <string.h>

#include "sim.h"

/* What comes later, the next first. */
static mctx__sim_message *coming;

/* ---- rules ---- */

/* ip_check_mc_rcu(), ip6_mc_input(): whether the host takes a group's datagrams off an interface. IPv4 asks
 * the filters of all its sockets, merged; IPv6 asks whether anybody joined. Every host is in the groups of all
 * hosts. */
static bool host_takes(const mctx__sim_arrival *arrival) {
  static const mctx_address all_hosts[] = {{.family = 4, .bytes = {224, 0, 0, 1}},
                                           {.family = 6, .bytes = {0xff, 1, [15] = 1}},
                                           {.family = 6, .bytes = {0xff, 2, [15] = 1}}};
  for (uint32_t i = 0; i < sizeof(all_hosts) / sizeof(all_hosts[0]); i++) {
    if (mctx__sim_same_address(&arrival->destination, &all_hosts[i])) return true;
  }
  for (mctx__sim_socket *socket = mctx__sim_socket_next(NULL); socket != NULL;
       socket = mctx__sim_socket_next(socket)) {
    for (const mctx__sim_membership *one = socket->memberships; one != NULL; one = one->next) {
      if (one->index != arrival->interface_index || !mctx__sim_membership_is_alive(one)) continue;
      if (!mctx__sim_same_address(&one->group, &arrival->destination)) continue;
      if (arrival->destination.family == 6 || mctx__sim_membership_allows(one, &arrival->source)) return true;
    }
  }
  return false;
}

/* __udp_is_mcast_sock(), __udp_v6_is_mcast_sock(): the port, the peer of a connection, the device that the
 * socket is held to, and the address that it is bound to. */
static bool is_addressed(const mctx__sim_socket *socket, const mctx__sim_arrival *arrival) {
  if (socket->family != arrival->destination.family || socket->stream) return false;
  if (socket->local.port != arrival->destination.port) return false;
  if (socket->connected &&
      (socket->peer.port != arrival->source.port || !mctx__sim_same_address(&socket->peer, &arrival->source))) {
    return false;
  }
  if (socket->device_index != 0 && socket->device_index != arrival->interface_index) return false;
  return mctx__sim_is_unspecified(&socket->local) ||
         mctx__sim_same_address(&socket->local, &arrival->destination);
}

/* ip_mc_sf_allow(): the membership of the group on the interface decides. inet6_mc_check(): the first one of
 * the group does, whatever its interface; the one joined last comes first. Without any: IP_MULTICAST_ALL,
 * IPV6_MULTICAST_ALL. */
static bool filter_passes(const mctx__sim_socket *socket, const mctx__sim_arrival *arrival) {
  for (const mctx__sim_membership *one = socket->memberships; one != NULL; one = one->next) {
    if (!mctx__sim_same_address(&one->group, &arrival->destination)) continue;
    if (socket->family == 6 || one->index == arrival->interface_index) {
      return mctx__sim_membership_allows(one, &arrival->source);
    }
  }
  return socket->options[MCTX__ISOLATED] == 0;
}

/* __udp4_lib_mcast_deliver(), __udp6_lib_mcast_deliver(): a copy for each. */
static int32_t deliver_to_all(const mctx__sim_arrival *arrival, bool multicast) {
  int32_t reached = 0;
  for (mctx__sim_socket *socket = mctx__sim_socket_next(NULL); socket != NULL;
       socket = mctx__sim_socket_next(socket)) {
    if (!is_addressed(socket, arrival) || (multicast && !filter_passes(socket, arrival))) continue;
    mctx__sim_queue_put(socket, arrival);
    reached++;
  }
  return reached;
}

/* __udp4_lib_lookup(), __udp6_lib_lookup(): to one socket, rather one bound to the address, then rather one
 * held to the device, then the newest. */
static int32_t deliver_to_one(const mctx__sim_arrival *arrival) {
  mctx__sim_socket *best = NULL;
  uint32_t best_score = 0;
  for (mctx__sim_socket *socket = mctx__sim_socket_next(NULL); socket != NULL;
       socket = mctx__sim_socket_next(socket)) {
    if (!is_addressed(socket, arrival)) continue;
    uint32_t score = mctx__sim_is_unspecified(&socket->local) ? 0u : 2u;
    if (socket->device_index != 0) score++;
    if (best != NULL && score < best_score) continue;
    if (best != NULL && score == best_score && socket->bound_as < best->bound_as) continue;
    best = socket;
    best_score = score;
  }
  if (best != NULL) mctx__sim_queue_put(best, arrival);
  return best != NULL;
}

int32_t mctx__sim_deliver(const mctx__sim_arrival *arrival) {
  const mctx__sim_interface *interface = mctx__sim_interface_at(arrival->interface_index);
  if (interface == NULL || (interface->flags & MCTX_INTERFACE_UP) == 0) return 0;
  if ((interface->flags & MCTX_INTERFACE_ENSLAVED) != 0) return 0; /* its bridge takes what comes */
  if (!mctx__sim_port_is_used(&arrival->destination)) return 0;
  mctx__sim_arrival now = *arrival;
  now.time_ns = MCTX__SIM_UTC_AHEAD_NS + mctx__sim_clock();
  now.destination.scope_id = mctx__sim_is_scoped(&now.destination) ? now.interface_index : 0;
  now.source.scope_id = mctx__sim_is_scoped(&now.source) ? now.interface_index : 0;
  int32_t reached = 0;
  if (mctx__sim_is_multicast(&now.destination)) {
    reached = host_takes(&now) ? deliver_to_all(&now, true) : 0;
  } else if (mctx__sim_is_broadcast(&now.destination, now.interface_index)) {
    reached = deliver_to_all(&now, false);
  } else if (mctx__sim_address_owner(&now.destination) != 0) {
    reached = deliver_to_one(&now);
  }
  mctx__sim_changed();
  return reached;
}

/* ---- what comes later ---- */

int64_t mctx__sim_next_arrival(void) {
  return coming != NULL ? coming->letter.time_ns : MCTX__FOREVER;
}

void mctx__sim_deliver_next(void) {
  mctx__sim_message *now = coming;
  coming = now->next;
  (void)mctx__sim_deliver(&now->letter);
  mctx__sim_give_back(now);
}

void mctx__sim_deliver_reset(void) {
  while (coming != NULL) {
    mctx__sim_message *dropped = coming;
    coming = dropped->next;
    mctx__sim_give_back(dropped);
  }
}

static void await(mctx__sim_message *message) {
  mctx__sim_message **place = &coming;
  while (*place != NULL && (*place)->letter.time_ns <= message->letter.time_ns)
    place = &(*place)->next;
  message->next = *place;
  *place = message;
  mctx__sim_changed();
}

/* ---- controls ---- */

static mctx__sim_message *message_of(const mctx_sim_arrival *given) {
  mctx__sim_message *message = mctx__sim_reserve(sizeof(*message) + (size_t)given->length);
  if (message == NULL) return NULL;
  *message = (mctx__sim_message){.letter = {.source = given->source,
                                            .destination = given->destination,
                                            .interface_index = given->interface_index,
                                            .hop_limit = given->hop_limit,
                                            .traffic_class = given->traffic_class,
                                            .segment_size = given->segment_size,
                                            .length = given->length,
                                            .payload = message->bytes}};
  const unsigned char *payload = given->payload;
  for (uint64_t i = 0; i < given->length; i++)
    message->bytes[i] = payload != NULL ? payload[i] : (unsigned char)i;
  return message;
}

int32_t mctx_sim_deliver(const mctx_sim_arrival *given) {
  if (given->length > MCTX__MESSAGE_MAX || given->delay_ns < 0) return -1;
  if (given->destination.family != given->source.family) return -1;
  int32_t reached = -1;
  mctx__sim_lock();
  mctx__sim_message *message = message_of(given);
  if (message == NULL) goto done;
  reached = 0;
  if (given->delay_ns > 0) {
    message->letter.time_ns = mctx__sim_clock() + given->delay_ns;
    await(message);
    goto done;
  }
  reached = mctx__sim_deliver(&message->letter);
  mctx__sim_give_back(message);
done:
  mctx__sim_unlock();
  return reached;
}

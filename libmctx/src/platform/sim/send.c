/* SPDX-License-Identifier: MIT */
/* Sending: what Linux's send() and sendmmsg() do with a datagram, and the faults on their way. */
#include <string.h>

#include "sim.h"

_Static_assert(2 * sizeof(mctx_address) <= sizeof(((mctx__endpoint *)0)->bytes),
               "it holds destination and source");

enum { GUARDED = 0x10000 };

void mctx__endpoint_set(mctx__endpoint *endpoint, const mctx_address *destination) {
  memset(endpoint, 0, sizeof(*endpoint));
  memcpy(endpoint->bytes, destination, sizeof(*destination));
  endpoint->length = sizeof(*destination);
}

void mctx__endpoint_guard(mctx__endpoint *endpoint, const mctx_address *source) {
  if (source->family != 6 || mctx__sim_is_scoped(source)) return;
  memcpy(endpoint->bytes + sizeof(*source), source, sizeof(*source));
  endpoint->length |= GUARDED;
}

/* Where the datagrams of one call go, and how: all of the wire's record but length and payload. */
static mctx__result address(mctx__sim_socket *socket, const mctx__endpoint *endpoint,
                            mctx_sim_datagram *letter) {
  letter->destination = socket->peer;
  if ((endpoint->length & ~(uint32_t)GUARDED) != 0)
    memcpy(&letter->destination, endpoint->bytes, sizeof(letter->destination));
  if ((endpoint->length & GUARDED) != 0) {
    mctx_address source;
    memcpy(&source, endpoint->bytes + sizeof(source), sizeof(source));
    if (mctx__sim_address_owner(&source) == 0) return mctx__sim_error(MCTX_ERR_NO_ROUTE);
  }
  if (letter->destination.family != socket->family) return mctx__sim_error(MCTX_ERR_IO);
  mctx__result outcome = mctx__sim_socket_autobind(socket);
  if (outcome.status != MCTX_OK) return outcome;
  uint32_t index = socket->device_index != 0 ? socket->device_index : socket->interface_index;
  outcome =
      mctx__sim_route(&letter->destination, index, &socket->local, &letter->source, &letter->interface_index);
  if (outcome.status != MCTX_OK) return outcome;
  letter->source.port = socket->local.port;
  if (mctx__sim_is_scoped(&letter->destination)) letter->destination.scope_id = letter->interface_index;
  letter->hop_limit = (int32_t)socket->options[MCTX__HOP_LIMIT];
  letter->loopback = (int32_t)socket->options[MCTX__LOOPBACK];
  letter->dscp = (int32_t)socket->options[MCTX__DSCP];
  letter->time_ns = mctx__sim_clock();
  letter->local_only = 0;
  return MCTX__DONE;
}

static uint64_t largest_payload(const mctx__sim_socket *socket, uint32_t interface_index) {
  uint64_t largest = socket->family == 4 ? 65507 : 65527;
  uint64_t headers = socket->family == 4 ? 28 : 48;
  const mctx__sim_interface *interface = mctx__sim_interface_at(interface_index);
  if (socket->options[MCTX__DONT_FRAGMENT] != 1 || interface->mtu - headers > largest) return largest;
  return interface->mtu - headers;
}

/* A copy comes back to this host if the socket wants it, and always through the loopback interface. */
static void loop_back(const mctx_sim_datagram *letter, const mctx_slice *payload) {
  const mctx__sim_interface *interface = mctx__sim_interface_at(letter->interface_index);
  if (letter->loopback == 0 && (interface->flags & MCTX_INTERFACE_LOOPBACK) == 0) return;
  mctx__sim_arrival arrival = {.source = letter->source,
                               .destination = letter->destination,
                               .interface_index = letter->interface_index,
                               .hop_limit = letter->hop_limit,
                               .traffic_class = letter->dscp << 2,
                               .length = payload->length,
                               .payload = payload->data};
  (void)mctx__sim_deliver(&arrival);
}

static void put_on_wire(const mctx_sim_datagram *letter, const mctx_slice *payload) {
  mctx_sim_datagram *datagram = mctx__sim_wire_next();
  memcpy(datagram, letter, offsetof(mctx_sim_datagram, payload));
  datagram->length = payload->length;
  datagram->stored =
      payload->length < sizeof(datagram->payload) ? (uint32_t)payload->length : sizeof(datagram->payload);
  if (datagram->stored > 0) memcpy(datagram->payload, payload->data, datagram->stored);
  loop_back(letter, payload);
}

static void fill_buffer(mctx__sim_socket *socket, uint32_t taken) {
  if (socket->capacity == 0) return;
  if (socket->buffered == 0) socket->next_leave_ns = mctx__sim_clock() + socket->drain_ns;
  socket->buffered += taken;
}

/* Takes datagrams from the first on until one can't be taken; the result is that one's. */
static mctx__result take(mctx__sim_socket *socket, const mctx__endpoint *endpoint, const mctx_slice *slices,
                         uint32_t count, uint32_t *taken) {
  mctx_sim_datagram letter = {0};
  mctx__result outcome = address(socket, endpoint, &letter);
  if (outcome.status != MCTX_OK) return outcome;
  uint64_t largest = largest_payload(socket, letter.interface_index);
  uint32_t room = mctx__sim_socket_room(socket);
  uint32_t done = 0;
  for (; done < count && outcome.status == MCTX_OK; done++) {
    if (slices[done].length > largest) {
      outcome = mctx__sim_error(MCTX_ERR_DATAGRAM_TOO_LARGE);
    } else if (done == room) {
      outcome = mctx__sim_error(MCTX_ERR_WOULD_BLOCK);
    } else {
      put_on_wire(&letter, &slices[done]);
    }
  }
  if (outcome.status != MCTX_OK) done--;
  fill_buffer(socket, done);
  *taken = done;
  return outcome;
}

/* The device queue refused the first datagram after members of this host had got it. */
static void deliver_locally(mctx__sim_socket *socket, const mctx__endpoint *endpoint, const mctx_slice *slice) {
  mctx_sim_datagram letter = {0};
  if (address(socket, endpoint, &letter).status != MCTX_OK || letter.loopback == 0) return;
  letter.local_only = 1;
  put_on_wire(&letter, slice);
}

/* One system call. Like sendmmsg(), it keeps the reason why it stopped to itself if it took anything. */
static mctx__result call(mctx__sim_socket *socket, const mctx__endpoint *endpoint, const mctx_slice *slices,
                         uint32_t count, uint32_t *taken) {
  mctx__sim_fault fault;
  if (mctx__sim_strikes(MCTX_SIM_SEND, &fault)) {
    if (fault.type == MCTX_SIM_PARTIAL) {
      uint32_t limit = fault.value < 1 ? 1 : (uint32_t)fault.value;
      if (limit < count) count = limit;
    } else {
      if (fault.type == MCTX_SIM_EARLIER) mctx__sim_socket_fail_later(socket, (mctx_status)fault.value);
      if (fault.type == MCTX_SIM_DELIVERED) deliver_locally(socket, endpoint, slices);
      return mctx__sim_error((mctx_status)fault.value);
    }
  }
  mctx__result outcome = take(socket, endpoint, slices, count, taken);
  return *taken > 0 ? MCTX__DONE : outcome;
}

mctx__result mctx__socket_send_many(mctx__socket name, const mctx__endpoint *endpoint, const mctx_slice *slices,
                                    uint32_t count, uint32_t *taken) {
  *taken = 0;
  mctx__sim_lock();
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  mctx__result outcome = socket == NULL ? mctx__sim_error(MCTX_ERR_IO) : MCTX__DONE;
  uint32_t at_once = mctx__sim_capable(MCTX_CAPABILITY_BATCH_SEND) ? count : 1;
  while (outcome.status == MCTX_OK && *taken < count) {
    uint32_t now = 0;
    outcome = call(socket, endpoint, slices + *taken, at_once, &now);
    *taken += now;
    if (at_once == count) break;
  }
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_send(mctx__socket name, const mctx__endpoint *endpoint, const void *data,
                               size_t length) {
  uint32_t taken;
  mctx_slice slice = {.length = length};
  slice.data = data;
  return mctx__socket_send_many(name, endpoint, &slice, 1, &taken);
}

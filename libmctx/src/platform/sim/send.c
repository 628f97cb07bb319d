/* SPDX-License-Identifier: MIT */
/* Sending: what Linux's send() and sendmmsg() do with datagrams and superpackets, and the faults on their way.
 */
#include <string.h>

#include "sim.h"

_Static_assert(2 * sizeof(mctx_address) <= sizeof(((mctx__endpoint *)0)->bytes),
               "it holds destination and source");

enum { GUARDED = 0x10000 };

void mctx__endpoint_set(mctx__endpoint *endpoint, const mctx_address *destination) {
  memset(endpoint, 0, sizeof(*endpoint));
  if (destination == NULL) return;
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

/* ---- messages ---- */

/* The bytes of a message behind one another; the caller's, where they are so already. */
static mctx_slice join(const mctx__outgoing *message) {
  static unsigned char joined[MCTX__MESSAGE_MAX];
  mctx_slice whole = {.length = 0};
  for (uint32_t i = 0; i < message->piece_count; i++) {
    const mctx_slice *piece = &message->pieces[i];
    if (piece->length > 0 && whole.length + piece->length <= sizeof(joined))
      memcpy(joined + whole.length, piece->data, (size_t)piece->length);
    whole.length += piece->length;
  }
  whole.data = message->piece_count == 1 ? message->pieces[0].data : joined;
  return whole;
}

/* Linux would do something with these, but the core has no reason to make them. */
static void check(const mctx__outgoing *message, const mctx_slice *whole) {
  if (message->piece_count == 0) mctx__sim_misused();
  if (message->segment_size > 0 && whole->length <= message->segment_size) mctx__sim_misused();
}

static uint64_t room_in_mtu(const mctx__sim_socket *socket, uint32_t interface_index) {
  uint64_t headers = socket->family == 4 ? 28 : 48;
  uint64_t mtu = mctx__sim_interface_at(interface_index)->mtu;
  return mtu > headers ? mtu - headers : 0;
}

/* ip_append_data(), ip6_append_data(): of a datagram, or of a superpacket as a whole. */
static mctx_status size_refusal(const mctx__sim_socket *socket, const mctx_sim_datagram *letter,
                                const mctx__outgoing *message, const mctx_slice *whole) {
  if (whole->length > (socket->family == 4 ? 65507 : 65527)) return MCTX_ERR_DATAGRAM_TOO_LARGE;
  if (message->segment_size > 0 || socket->options[MCTX__DONT_FRAGMENT] != 1) return MCTX_OK;
  return whole->length > room_in_mtu(socket, letter->interface_index) ? MCTX_ERR_DATAGRAM_TOO_LARGE : MCTX_OK;
}

/* udp_send_skb(), udp_v6_send_skb(): superpackets that cannot be cut. */
static mctx_status segments_refusal(const mctx__sim_socket *socket, const mctx_sim_datagram *letter,
                                    const mctx__outgoing *message, const mctx_slice *whole) {
  const uint64_t size = message->segment_size;
  if (size == 0) return MCTX_OK;
  if (!mctx__sim_capable(MCTX_CAPABILITY_SEGMENTATION) || mctx__sim_limit(MCTX_SIM_SEGMENTS) <= 1)
    return MCTX_ERR_UNSUPPORTED;
  if (size > room_in_mtu(socket, letter->interface_index) || size > mctx__sim_limit(MCTX_SIM_SEGMENT_SIZE))
    return MCTX_ERR_DATAGRAM_TOO_LARGE;
  if (whole->length > size * mctx__sim_limit(MCTX_SIM_SEGMENTS)) return MCTX_ERR_INVALID_ARGUMENT;
  return MCTX_OK;
}

static uint32_t datagrams_in(const mctx__outgoing *message, const mctx_slice *whole) {
  if (message->segment_size == 0) return 1;
  return (uint32_t)((whole->length + message->segment_size - 1) / message->segment_size);
}

/* A copy comes back to this host if the socket wants it, and always through the loopback interface. */
static void loop_back(const mctx_sim_datagram *letter, const mctx__outgoing *message, const mctx_slice *whole) {
  const mctx__sim_interface *interface = mctx__sim_interface_at(letter->interface_index);
  if (letter->loopback == 0 && (interface->flags & MCTX_INTERFACE_LOOPBACK) == 0) return;
  mctx__sim_arrival arrival = {.source = letter->source,
                               .destination = letter->destination,
                               .interface_index = letter->interface_index,
                               .hop_limit = letter->hop_limit,
                               .traffic_class = letter->dscp << 2,
                               .segment_size = message->segment_size,
                               .length = whole->length,
                               .payload = whole->data};
  (void)mctx__sim_deliver(&arrival);
}

/* Each datagram by itself on the wire; for this host as one. */
static void put_on_wire(const mctx_sim_datagram *letter, const mctx__outgoing *message,
                        const mctx_slice *whole) {
  const uint64_t size = message->segment_size > 0 ? message->segment_size : whole->length;
  uint64_t offset = 0;
  do {
    const uint64_t left = whole->length - offset;
    mctx__sim_wire_put(letter, (const unsigned char *)whole->data + offset, left < size ? left : size);
    offset += size;
  } while (offset < whole->length);
  if (message->segment_size > 0) mctx__sim_wire_cut();
  loop_back(letter, message, whole);
}

static void fill_buffer(mctx__sim_socket *socket, uint32_t datagrams) {
  if (socket->capacity == 0) return;
  if (socket->buffered == 0) socket->next_leave_ns = mctx__sim_clock() + socket->drain_ns;
  socket->buffered += datagrams;
}

static mctx_status take_one(mctx__sim_socket *socket, const mctx_sim_datagram *letter,
                            const mctx__outgoing *message) {
  const mctx_slice whole = join(message);
  check(message, &whole);
  mctx_status status = size_refusal(socket, letter, message, &whole);
  if (status == MCTX_OK && mctx__sim_socket_room(socket) == 0) status = MCTX_ERR_WOULD_BLOCK;
  if (status == MCTX_OK) status = segments_refusal(socket, letter, message, &whole);
  if (status != MCTX_OK) return status;
  put_on_wire(letter, message, &whole);
  fill_buffer(socket, datagrams_in(message, &whole));
  return MCTX_OK;
}

/* Takes messages from the first on until one can't be taken; the result is that one's. */
static mctx__result take(mctx__sim_socket *socket, const mctx__endpoint *endpoint,
                         const mctx__outgoing *messages, uint32_t count, uint32_t *taken) {
  mctx_sim_datagram letter = {0};
  mctx__result outcome = address(socket, endpoint, &letter);
  uint32_t pieces = 0;
  while (outcome.status == MCTX_OK && *taken < count) {
    const mctx__outgoing *message = &messages[*taken];
    pieces += message->piece_count;
    if (pieces > MCTX__SEND_PIECES_MAX) break;
    mctx_status status = take_one(socket, &letter, message);
    if (status == MCTX_OK) ++*taken;
    if (status != MCTX_OK) outcome = mctx__sim_error(status);
  }
  return outcome;
}

/* ---- faults ---- */

/* The device queue refused a message after members of this host had got it. */
static void deliver_locally(mctx__sim_socket *socket, const mctx__endpoint *endpoint,
                            const mctx__outgoing *message) {
  mctx_sim_datagram letter = {0};
  if (address(socket, endpoint, &letter).status != MCTX_OK || letter.loopback == 0) return;
  const mctx_slice whole = join(message);
  letter.local_only = 1;
  put_on_wire(&letter, message, &whole);
}

/* What changes before a send, and leaves it to itself. False: the fault is another. */
static bool change(mctx__sim_socket *socket, const mctx__endpoint *endpoint, const mctx__sim_fault *fault) {
  mctx_sim_datagram letter = {0};
  if (fault->type == MCTX_SIM_NEW_SEGMENTS) mctx__sim_limit_change(MCTX_SIM_SEGMENTS, (uint64_t)fault->value);
  if (fault->type == MCTX_SIM_NEW_MTU && address(socket, endpoint, &letter).status == MCTX_OK)
    mctx__sim_mtu_change(letter.interface_index, (uint32_t)fault->value);
  return fault->type == MCTX_SIM_NEW_SEGMENTS || fault->type == MCTX_SIM_NEW_MTU;
}

/* A call that meets a fault at `fault->messages`, if it comes so far. */
static mctx__result call_with_fault(mctx__sim_socket *socket, const mctx__endpoint *endpoint,
                                    const mctx__outgoing *messages, uint32_t count,
                                    const mctx__sim_fault *fault, uint32_t *taken) {
  mctx__result outcome = MCTX__DONE;
  if (fault->messages >= count) return take(socket, endpoint, messages, count, taken);
  if (fault->messages > 0) outcome = take(socket, endpoint, messages, fault->messages, taken);
  if (outcome.status != MCTX_OK || *taken < fault->messages) return outcome;
  if (fault->type == MCTX_SIM_EARLIER) mctx__sim_socket_fail_later(socket, (mctx_status)fault->value);
  if (fault->type == MCTX_SIM_DELIVERED) deliver_locally(socket, endpoint, &messages[*taken]);
  return mctx__sim_error((mctx_status)fault->value);
}

/* One system call. Like sendmmsg(), it keeps the reason why it stopped to itself if it took anything. */
static mctx__result call(mctx__sim_socket *socket, const mctx__endpoint *endpoint,
                         const mctx__outgoing *messages, uint32_t count, uint32_t *taken) {
  mctx__sim_fault fault;
  mctx__result outcome;
  if (!mctx__sim_strikes(MCTX_SIM_SEND, &fault) || change(socket, endpoint, &fault)) {
    outcome = take(socket, endpoint, messages, count, taken);
  } else if (fault.type == MCTX_SIM_PARTIAL) {
    const uint32_t most = fault.value < 1 ? 1 : (uint32_t)fault.value;
    outcome = take(socket, endpoint, messages, most < count ? most : count, taken);
  } else {
    outcome = call_with_fault(socket, endpoint, messages, count, &fault, taken);
  }
  return *taken > 0 ? MCTX__DONE : outcome;
}

mctx__result mctx__socket_send_many(mctx__socket name, const mctx__endpoint *endpoint,
                                    const mctx__outgoing *messages, uint32_t count, uint32_t *taken) {
  *taken = 0;
  mctx__sim_lock();
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  mctx__result outcome = socket == NULL ? mctx__sim_error(MCTX_ERR_IO) : MCTX__DONE;
  if (count > MCTX__SEND_MANY_MAX) count = MCTX__SEND_MANY_MAX;
  uint32_t at_once = mctx__sim_capable(MCTX_CAPABILITY_BATCH_SEND) ? count : 1;
  while (outcome.status == MCTX_OK && *taken < count) {
    uint32_t now = 0;
    outcome = call(socket, endpoint, messages + *taken, at_once, &now);
    *taken += now;
    if (at_once == count) break;
  }
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_send(mctx__socket name, const mctx__endpoint *endpoint, const void *data,
                               size_t length) {
  uint32_t taken;
  mctx_slice piece = {.length = length};
  piece.data = data;
  const mctx__outgoing message = {.pieces = &piece, .piece_count = 1};
  return mctx__socket_send_many(name, endpoint, &message, 1, &taken);
}

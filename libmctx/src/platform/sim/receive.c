/* SPDX-License-Identifier: MIT */
/* Receive queues, and taking messages off them. */
#include <string.h>

#include "sim.h"

static uint64_t queued;

/* ---- queues ---- */

static void put(mctx__sim_socket *socket, const mctx__sim_arrival *arrival, const unsigned char *payload,
                uint64_t length, uint32_t segment_size) {
  if (socket->queued >= mctx__sim_limit(MCTX_SIM_QUEUE)) {
    socket->drops++;
    return;
  }
  mctx__sim_message *message = mctx__sim_reserve(sizeof(*message) + (size_t)length);
  if (message == NULL) return;
  message->next = NULL;
  message->letter = *arrival;
  /* Packet information is kept with a message as it comes, if the socket has asked by then. */
  if ((socket->options[MCTX__METADATA] & MCTX_META_GROUP) == 0) message->letter.interface_index = 0;
  message->letter.payload = NULL;
  message->letter.length = length;
  message->letter.segment_size = segment_size;
  message->drops = socket->drops;
  if (length > 0) memcpy(message->bytes, payload, (size_t)length);
  if (socket->last != NULL) socket->last->next = message;
  if (socket->last == NULL) socket->first = message;
  socket->last = message;
  socket->queued++;
  queued++;
}

void mctx__sim_queue_put(mctx__sim_socket *socket, const mctx__sim_arrival *arrival) {
  uint64_t segment = arrival->segment_size;
  bool coalesced = segment > 0 && segment < arrival->length;
  if (!coalesced || socket->options[MCTX__COALESCING] != 0) {
    put(socket, arrival, arrival->payload, arrival->length, coalesced ? arrival->segment_size : 0);
    return;
  }
  for (uint64_t at = 0; at < arrival->length; at += segment) {
    uint64_t left = arrival->length - at;
    put(socket, arrival, arrival->payload + at, left < segment ? left : segment, 0);
  }
}

static void drop_first(mctx__sim_socket *socket) {
  mctx__sim_message *first = socket->first;
  socket->first = first->next;
  if (socket->first == NULL) socket->last = NULL;
  socket->queued--;
  queued--;
  mctx__sim_give_back(first);
}

void mctx__sim_queue_drop(mctx__sim_socket *socket) {
  while (socket->first != NULL)
    drop_first(socket);
}

/* ---- receiving ---- */

static uint64_t fill(const mctx__span spans[2], const mctx__sim_message *message) {
  uint64_t stored = 0;
  for (uint32_t i = 0; i < 2; i++) {
    uint64_t left = message->letter.length - stored;
    size_t now = spans[i].length < left ? spans[i].length : (size_t)left;
    if (now > 0) memcpy(spans[i].data, message->bytes + stored, now);
    stored += now;
  }
  return stored;
}

static void describe(const mctx__sim_message *message, mctx__arrival *arrival) {
  const mctx__sim_arrival *letter = &message->letter;
  if ((arrival->present & MCTX_META_SOURCE) != 0) arrival->source = letter->source;
  if ((arrival->present & MCTX_META_GROUP) != 0) {
    arrival->group = letter->destination;
    arrival->group.port = 0;
    arrival->interface_index = letter->interface_index;
  }
  if ((arrival->present & MCTX_META_HOP_LIMIT) != 0) arrival->hop_limit = letter->hop_limit;
  if ((arrival->present & MCTX_META_TRAFFIC_CLASS) != 0) arrival->traffic_class = letter->traffic_class;
  if ((arrival->present & MCTX_META_TIME) != 0) arrival->time_ns = letter->time_ns;
  if ((arrival->present & MCTX_META_DROPS) != 0) arrival->drops = message->drops;
}

/* Takes the first message; there is one. */
static void take(mctx__sim_socket *socket, uint32_t wanted, bool coalescing, const mctx__span spans[2],
                 mctx__arrival *arrival) {
  const mctx__sim_message *message = socket->first;
  /* Who does not ask for segment sizes on a socket that coalesces takes many datagrams for one. */
  if (!coalescing && socket->options[MCTX__COALESCING] != 0) mctx__sim_misused();
  /* A datagram's source needs no collecting. */
  arrival->present = wanted & ((uint32_t)socket->options[MCTX__METADATA] | MCTX_META_SOURCE);
  arrival->segment_size = coalescing ? message->letter.segment_size : 0;
  arrival->stored = fill(spans, message);
  arrival->length = message->letter.length;
  arrival->truncated = arrival->stored < arrival->length;
  describe(message, arrival);
  drop_first(socket);
}

mctx__result mctx__socket_receive_many(mctx__socket name, uint32_t wanted, bool coalescing,
                                       const mctx__span (*spans)[2], uint32_t count, mctx__arrival *arrivals,
                                       uint32_t *received) {
  mctx__sim_fault fault;
  mctx__result outcome = MCTX__DONE;
  *received = 0;
  mctx__sim_lock();
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  if (socket == NULL) outcome = mctx__sim_error(MCTX_ERR_IO);
  if (mctx__sim_strikes(MCTX_SIM_RECEIVE, &fault)) {
    if (fault.type != MCTX_SIM_PARTIAL) outcome = mctx__sim_error((mctx_status)fault.value);
    if (fault.type == MCTX_SIM_PARTIAL && fault.value < count)
      count = fault.value < 1 ? 1 : (uint32_t)fault.value;
  }
  for (; outcome.status == MCTX_OK && *received < count && socket->first != NULL; ++*received)
    take(socket, wanted, coalescing, spans[*received], &arrivals[*received]);
  if (outcome.status == MCTX_OK && *received == 0) outcome = mctx__sim_error(MCTX_ERR_WOULD_BLOCK);
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_receive(mctx__socket name, uint32_t wanted, bool coalescing,
                                  const mctx__span spans[2], mctx__arrival *arrival) {
  uint32_t received;
  const mctx__span own[1][2] = {{spans[0], spans[1]}};
  return mctx__socket_receive_many(name, wanted, coalescing, own, 1, arrival, &received);
}

mctx__result mctx__socket_receive_bare(mctx__socket name, mctx__span span, uint64_t *length) {
  const mctx__span spans[2] = {span, {NULL, 0}};
  mctx__arrival arrival;
  const mctx__result result = mctx__socket_receive(name, 0, false, spans, &arrival);
  if (result.status == MCTX_OK) *length = arrival.length;
  return result;
}

uint32_t mctx__receive_clock(void) {
  return MCTX_CLOCK_SYSTEM;
}

/* ---- controls ---- */

uint64_t mctx_sim_queued(void) {
  mctx__sim_lock();
  uint64_t count = queued;
  mctx__sim_unlock();
  return count;
}

uint64_t mctx_sim_socket_queued(const mctx_os_handle *native) {
  mctx__sim_lock();
  const mctx__sim_socket *socket = mctx__sim_socket_find((mctx__socket){native->value});
  uint64_t count = socket != NULL ? socket->queued : 0;
  mctx__sim_unlock();
  return count;
}

/* SPDX-License-Identifier: MIT */
/* What the tests of the receive side share: subscriptions, memberships, and datagrams that arrive. */
#ifndef MCTX_TESTS_SIM_RECEIVE_H
#define MCTX_TESTS_SIM_RECEIVE_H

#include <stdbool.h>

#include "sim_fixture.h"

#define PORT 5000

#define UP_FLAGS \
  (MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING | MCTX_INTERFACE_MULTICAST | MCTX_INTERFACE_BROADCAST)

/* ---- subscriptions and memberships ---- */

static inline mctx_subscription_options subscription_options(void) {
  mctx_subscription_options options;
  mctx_subscription_options_init(&options, sizeof options);
  options.port = PORT;
  return options;
}

static inline mctx_subscription subscribe_with(mctx_context context, const mctx_subscription_options *options) {
  mctx_subscription subscription;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = mctx_subscription_open(context, options, &subscription, &error);
  if (status != MCTX_OK) fail_msg("%s (%s): %s", mctx_status_name(status), error.field, error.message);
  return subscription;
}

static inline mctx_subscription subscribe(mctx_context context) {
  const mctx_subscription_options options = subscription_options();
  return subscribe_with(context, &options);
}

/* Any source; on the interface of that name, or on all with NULL. */
static inline mctx_membership membership_of(const char *group, const char *interface) {
  mctx_membership membership = {.group = address_of(group)};
  if (interface != NULL) membership.ingress.by = MCTX_INTERFACE_BY_NAME;
  membership.ingress.name = interface;
  return membership;
}

static inline mctx_membership filtered(const char *group, const char *interface, uint32_t mode,
                                       const mctx_address *sources, uint64_t count) {
  mctx_membership membership = membership_of(group, interface);
  membership.mode = mode;
  membership.sources = sources;
  membership.source_count = count;
  return membership;
}

static inline mctx_status try_join(mctx_subscription subscription, const mctx_membership *membership,
                                   mctx_error *error) {
  return mctx_join(subscription, membership, sizeof *membership, 1, error);
}

static inline void join(mctx_subscription subscription, const char *group, const char *interface) {
  const mctx_membership membership = membership_of(group, interface);
  mctx_error error = MCTX_ERROR_INIT;
  if (try_join(subscription, &membership, &error) != MCTX_OK)
    fail_msg("%s: %s (%s): %s", group, mctx_status_name(error.status), error.field, error.message);
}

static inline mctx_status leave(mctx_subscription subscription, const char *group, const char *interface,
                                mctx_error *error) {
  const mctx_membership membership = membership_of(group, interface);
  return mctx_leave(subscription, &membership, sizeof membership, 1, error);
}

static inline mctx_status allow(mctx_subscription subscription, const char *group, const char *interface,
                                const char *source, mctx_error *error) {
  const mctx_membership membership = membership_of(group, interface);
  const mctx_address from = address_of(source);
  return mctx_allow(subscription, &membership, sizeof membership, &from, error);
}

static inline mctx_status block(mctx_subscription subscription, const char *group, const char *interface,
                                const char *source, mctx_error *error) {
  const mctx_membership membership = membership_of(group, interface);
  const mctx_address from = address_of(source);
  return mctx_block(subscription, &membership, sizeof membership, &from, error);
}

static inline mctx_status set_filter(mctx_subscription subscription, const mctx_membership *membership,
                                     mctx_error *error) {
  return mctx_filter_set(subscription, membership, sizeof *membership, error);
}

static inline uint32_t memberships_of(mctx_subscription subscription, mctx_membership_info *infos,
                                      uint32_t capacity) {
  uint32_t count;
  assert_ok(mctx_memberships(subscription, infos, sizeof *infos, capacity, &count, NULL));
  assert_true(capacity == 0 || count <= capacity);
  return count;
}

/* The membership of a group on an interface (0: absent). */
static inline mctx_membership_info membership_at(mctx_subscription subscription, const char *group,
                                                 uint32_t index) {
  mctx_membership_info infos[64];
  const mctx_address wanted = address_of(group);
  uint32_t count = memberships_of(subscription, infos, 64);
  for (uint32_t i = 0; i < count; i++)
    if (infos[i].interface_index == index && infos[i].group.family == wanted.family &&
        memcmp(infos[i].group.bytes, wanted.bytes, sizeof wanted.bytes) == 0)
      return infos[i];
  fail_msg("%s is not joined on interface %u", group, index);
  return infos[0];
}

static inline mctx_subscription_info subscription_info(mctx_subscription subscription) {
  mctx_subscription_info info = {.size = sizeof info};
  assert_ok(mctx_subscription_get_info(subscription, &info, NULL));
  return info;
}

/* Takes the next event, which must be of that type and interface. */
static inline mctx_event next_event(mctx_handle handle, uint32_t type, uint32_t index) {
  mctx_event event;
  uint32_t count;
  assert_ok(mctx_events(handle, &event, sizeof event, 1, &count, NULL));
  assert_int_equal(count, 1);
  assert_int_equal(event.type, type);
  assert_int_equal(event.interface_index, index);
  return event;
}

static inline void no_event(mctx_handle handle) {
  mctx_event event;
  uint32_t count;
  assert_ok(mctx_events(handle, &event, sizeof event, 1, &count, NULL));
  if (count != 0) fail_msg("there is an event of type %u, interface %u", event.type, event.interface_index);
}

/* ---- the host ---- */

static inline void set_interface(uint32_t index, const char *name, uint32_t flags) {
  assert_true(mctx_sim_interface_set(index, name, flags, 1500));
}

/* That the system has so many memberships, on interfaces that are there. */
static inline void assert_alive(uint64_t expected) {
  mctx_sim_membership one;
  uint64_t count = 0;
  for (; mctx_sim_membership_at(count, &one); count++)
    assert_int_equal(one.alive, 1);
  assert_int_equal(count, expected);
}

/* ---- datagrams that arrive ---- */

static inline mctx_sim_arrival arrival_of(const char *source, const char *group, uint32_t index) {
  mctx_sim_arrival arrival = {.source = address_of(source),
                              .destination = address_of(group),
                              .interface_index = index,
                              .hop_limit = 7,
                              .traffic_class = 0xb9};
  arrival.source.port = 40000;
  arrival.destination.port = PORT;
  return arrival;
}

/* Four bytes that name the datagram; returns how many sockets it reached. */
static inline int32_t arrive(uint32_t number, const char *source, const char *group, uint32_t index) {
  mctx_sim_arrival arrival = arrival_of(source, group, index);
  arrival.payload = &number;
  arrival.length = sizeof number;
  return mctx_sim_deliver(&arrival);
}

/* A coalesced message of `length` bytes, byte i is i modulo 256. */
static inline void arrive_coalesced(const char *source, const char *group, uint32_t index, uint64_t length,
                                    uint32_t segment_size) {
  mctx_sim_arrival arrival = arrival_of(source, group, index);
  arrival.length = length;
  arrival.segment_size = segment_size;
  assert_true(mctx_sim_deliver(&arrival) >= 1);
}

static inline void arrive_later(int64_t delay_ns, uint32_t number, const char *source, const char *group,
                                uint32_t index) {
  mctx_sim_arrival arrival = arrival_of(source, group, index);
  arrival.payload = &number;
  arrival.length = sizeof number;
  arrival.delay_ns = delay_ns;
  assert_int_equal(mctx_sim_deliver(&arrival), 0);
}

/* ---- receiving ---- */

static inline mctx_status try_recv(mctx_subscription subscription, uint32_t *number) {
  size_t length;
  *number = UINT32_MAX;
  mctx_status status = mctx_recv(subscription, number, sizeof *number, 0, 0, &length, NULL, 0, NULL);
  if (status == MCTX_OK) assert_int_equal(length, sizeof *number);
  return status;
}

static inline void assert_received(mctx_subscription subscription, uint32_t expected) {
  uint32_t number;
  assert_ok(try_recv(subscription, &number));
  assert_int_equal(number, expected);
}

/* Receives until there is nothing, also past messages that are discarded. */
static inline void assert_nothing(mctx_subscription subscription) {
  uint32_t number;
  uint32_t ready;
  do {
    mctx_status status = try_recv(subscription, &number);
    if (status == MCTX_OK) fail_msg("datagram %u was delivered", number);
    assert_status(status, MCTX_ERR_WOULD_BLOCK);
  } while (mctx_wait(subscription, MCTX_READABLE, 0, 0, &ready, NULL) == MCTX_OK);
}

#define BATCH_ARENA     (1u << 20)
#define BATCH_DATAGRAMS 1024
#define BATCH_MESSAGES  512

typedef struct batch_memory {
  mctx_receive_batch batch;
  mctx_datagram datagrams[BATCH_DATAGRAMS];
  mctx_message messages[BATCH_MESSAGES];
  unsigned char arena[BATCH_ARENA];
} batch_memory;

static inline mctx_receive_batch *batch_in(batch_memory *memory) {
  memory->batch = (mctx_receive_batch){.size = sizeof memory->batch,
                                       .message_stride = sizeof memory->messages[0],
                                       .arena = memory->arena,
                                       .arena_size = sizeof memory->arena,
                                       .datagrams = memory->datagrams,
                                       .datagram_capacity = BATCH_DATAGRAMS,
                                       .messages = memory->messages,
                                       .message_capacity = BATCH_MESSAGES};
  return &memory->batch;
}

static inline mctx_status recv_batch(mctx_subscription subscription, batch_memory *memory) {
  return mctx_recv_batch(subscription, batch_in(memory), 0, 0, NULL);
}

#endif

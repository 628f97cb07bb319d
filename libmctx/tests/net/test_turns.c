/* SPDX-License-Identifier: MIT */
/* Many sockets behind one handle take turns: a flood on some keeps nothing else waiting, and each one's order
 * is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/subscription.h"

enum { GROUPS = 40, TURN = 4, FLOOD = 60, SMALL_FLOOD = FLOOD * (GROUPS - 1) };

typedef struct course {
  mctx_subscription subscription;
  uint32_t taken;          /* datagrams so far */
  uint32_t calls;          /* that took them */
  uint32_t next[GROUPS];   /* number that must come next of each group */
  uint32_t last_was_taken; /* when the fortieth came: datagrams before it, or 0 */
  uint32_t last_was_called;
} course;

static void note(course *own, const unsigned char *payload) {
  uint32_t which[2];
  memcpy(which, payload, sizeof which);
  assert_in_range(which[0], 0, GROUPS - 1);
  assert_int_equal(which[1], own->next[which[0]]);
  own->next[which[0]]++;
  own->taken++;
  if (which[0] == GROUPS - 1 && own->last_was_taken == 0) {
    own->last_was_taken = own->taken;
    own->last_was_called = own->calls;
  }
}

static void send_numbered(int sender, uint32_t family, uint32_t group_number, uint32_t number) {
  mctx_address group = group_at(family, 1 + group_number);
  uint32_t which[2] = {group_number, number};
  send_bytes(sender, &group, which, sizeof which);
}

static mctx_subscription subscribe_to_all(mctx_context context, uint32_t family, uint32_t binding) {
  mctx_subscription_options options = subscription_options();
  options.binding = binding;
  options.coalescing = 0; /* one datagram a message: they can be counted */
  mctx_subscription subscription = subscribe_with(context, &options);
  for (uint32_t i = 0; i < GROUPS; i++) {
    mctx_address group = group_at(family, 1 + i);
    join_group(subscription, &group, "va");
  }
  return subscription;
}

/* 39 are full when the fortieth gets one datagram. */
static void fill(uint32_t family) {
  int sender = sender_there(family, NULL, "vb");
  for (uint32_t number = 0; number < FLOOD; number++)
    for (uint32_t i = 0; i + 1 < GROUPS; i++)
      send_numbered(sender, family, i, number);
  send_numbered(sender, family, GROUPS - 1, 0);
  close(sender);
}

static void take_one_by_one(course *own) {
  static taken got;
  own->calls++;
  assert_true(take_next(own->subscription, &got, PATIENCE_MS));
  note(own, got.data);
}

static void take_a_batch(course *own) {
  static basket memory;
  basket_init(&memory);
  own->calls++;
  assert_ok(mctx_recv_batch(own->subscription, &memory.batch, 0, PATIENCE_MS * MILLI, NULL));
  for (uint64_t i = 0; i < memory.batch.datagram_count; i++)
    note(own, payload_in(&memory, i));
}

/* Within one rotation: each of the others had one turn at most, and a turn is short. */
static void served_in_turn(uint32_t family, uint32_t binding, void (*take)(course *), const char *how) {
  host_pair();
  mctx_context context = open_context();
  course own = {.subscription = subscribe_to_all(context, family, binding)};
  fill(family);
  while (own.taken < SMALL_FLOOD + 1)
    take(&own);
  assert_takes_nothing(own.subscription);
  print_message("figures: IPv%u, %s: the fortieth came as datagram %u of %u, in call %u of %u\n", family, how,
                own.last_was_taken, own.taken, own.last_was_called, own.calls);
  assert_in_range(own.last_was_taken, GROUPS, GROUPS * TURN);
  assert_ok(mctx_close(context, NULL));
}

static void the_fortieth_is_served_one_by_one(void **state) {
  served_in_turn(host_family(state), MCTX_BINDING_AUTO, take_one_by_one, "one by one");
}

static void the_fortieth_is_served_in_batches(void **state) {
  served_in_turn(host_family(state), MCTX_BINDING_AUTO, take_a_batch, "in batches");
}

/* A flood that goes on: whatever is read, more comes, and the fortieth still gets its turn. */
static void the_fortieth_is_served_in_an_endless_flood(void **state) {
  enum { ROUNDS = 4000 };
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  course own = {.subscription = subscribe_to_all(context, family, MCTX_BINDING_AUTO)};
  uint32_t sent[GROUPS] = {0};
  int sender = sender_there(family, NULL, "vb");
  for (uint32_t i = 0; i + 1 < GROUPS; i++)
    for (int k = 0; k < 20; k++)
      send_numbered(sender, family, i, sent[i]++);
  send_numbered(sender, family, GROUPS - 1, 0);
  for (uint32_t i = 0; i < ROUNDS && own.last_was_taken == 0; i++) {
    uint32_t before[GROUPS];
    memcpy(before, own.next, sizeof before);
    take_one_by_one(&own);
    for (uint32_t g = 0; g + 1 < GROUPS; g++) /* what was taken is there again at once */
      for (; before[g] < own.next[g]; before[g]++)
        send_numbered(sender, family, g, sent[g]++);
  }
  assert_in_range(own.last_was_taken, 1, ROUNDS);
  close(sender);
  assert_ok(mctx_close(context, NULL));
}

/* Order holds for each group, interface and source, also when sockets are shared. */
static void order_is_kept_within_a_group(void **state) {
  enum { NUMBERS = 100 };
  uint32_t family = host_family(state);
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
       binding += MCTX_BINDING_WILDCARD) {
    host_pair();
    mctx_context context = open_context();
    course own = {.subscription = subscribe_to_all(context, family, binding)};
    int sender = sender_there(family, NULL, "vb");
    for (uint32_t number = 0; number < NUMBERS; number++) {
      for (uint32_t i = 0; i < GROUPS; i++)
        send_numbered(sender, family, i, number);
      while (number % 4 == 3 && own.taken < (number + 1) * GROUPS)
        (number % 8 == 3 ? take_one_by_one : take_a_batch)(&own);
    }
    for (uint32_t i = 0; i < GROUPS; i++)
      assert_int_equal(own.next[i], NUMBERS);
    close(sender);
    assert_ok(mctx_close(context, NULL));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(the_fortieth_is_served_one_by_one),
      BOTH_FAMILIES(the_fortieth_is_served_in_batches),
      BOTH_FAMILIES(the_fortieth_is_served_in_an_endless_flood),
      BOTH_FAMILIES(order_is_kept_within_a_group),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

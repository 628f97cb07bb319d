/* SPDX-License-Identifier: MIT */
/* Batches of random sizes into arenas of random sizes: every datagram comes, once, whole and in order, whether
 * it is as long as those before it, shorter or longer, alone or coalesced, and whatever between them is
 * discarded. */
#include "sim_receive.h"

enum {
  ROUNDS = 400,
  MESSAGES = 120,
  LARGEST = 65507,
  GUARD = 64,
  SHUT_OUT = 80 /* more than the system takes: the library filters */
};

static batch_memory memory;

static uint32_t next_random(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

/* A message of the plan. */
typedef struct planned {
  uint32_t length;
  uint32_t segment_size; /* 0: one datagram */
  bool is_wanted;
} planned;

/* Mostly of one size, as traffic is; now and then of any. */
static planned plan_one(uint32_t *state, uint32_t usual, bool coalescing) {
  planned plan = {.length = usual, .is_wanted = next_random(state) % 8 != 0};
  switch (next_random(state) % 16) {
    case 0:
      plan.length = next_random(state) % (LARGEST + 1);
      break;
    case 1:
      plan.length = next_random(state) % (usual + 1);
      break;
    case 2:
      plan.length = usual + next_random(state) % 100;
      break;
    default:
      break;
  }
  if (coalescing && plan.length > 1000 && next_random(state) % 2 == 0)
    plan.segment_size = plan.length / (1 + next_random(state) % 64) + 1;
  return plan;
}

/* Each message begins at another byte of it. */
static unsigned char pattern[LARGEST + 256];

static void send_one(const planned *plan, uint32_t number) {
  mctx_sim_arrival arrival = arrival_of(plan->is_wanted ? "10.0.0.9" : "10.0.0.66", "239.1.1.1", 2);
  arrival.payload = &pattern[number % 256];
  arrival.length = plan->length;
  arrival.segment_size = plan->segment_size;
  assert_int_equal(mctx_sim_deliver(&arrival), 1);
}

static void check_message(const planned *plan, uint32_t number, const mctx_receive_batch *batch,
                          const mctx_message *message) {
  uint32_t offset = 0;
  assert_int_equal(message->length, plan->length);
  for (uint32_t i = 0; i < message->datagram_count; i++) {
    const mctx_datagram *datagram = &batch->datagrams[message->first_datagram + i];
    assert_int_equal(datagram->flags, 0);
    assert_true(datagram->offset + (uint64_t)datagram->length <= batch->arena_size);
    for (uint32_t k = 0; k < datagram->length; k++)
      if (((unsigned char *)batch->arena)[datagram->offset + k] != pattern[number % 256 + offset + k])
        fail_msg("byte %u of %u is another one's", offset + k, plan->length);
    offset += datagram->length;
  }
  assert_int_equal(offset, plan->length);
}

/* Takes all that was sent: what is wanted comes, in order, and nothing else. */
static void check_all(mctx_subscription subscription, const planned *plans, uint32_t count,
                      uint64_t arena_size) {
  uint32_t at = 0;
  for (;;) {
    mctx_receive_batch *batch = batch_in(&memory);
    batch->arena_size = arena_size;
    memset(memory.arena + arena_size, 0x5a, GUARD);
    mctx_status status = mctx_recv_batch(subscription, batch, 0, 0, NULL);
    for (uint32_t i = 0; i < GUARD; i++)
      assert_int_equal(memory.arena[arena_size + i], 0x5a);
    if (status == MCTX_ERR_WOULD_BLOCK) break;
    assert_ok(status);
    for (uint64_t i = 0; i < batch->message_count; i++) {
      while (at < count && !plans[at].is_wanted)
        at++;
      assert_true(at < count);
      check_message(&plans[at], at, batch, &batch->messages[i]);
      at++;
    }
  }
  while (at < count && !plans[at].is_wanted)
    at++;
  assert_int_equal(at, count);
}

static void batches_of_any_sizes_come_whole_and_in_order(void **state) {
  (void)state;
  static planned plans[MESSAGES];
  uint32_t seed = 1234567u;
  for (uint32_t i = 0; i < sizeof pattern; i++)
    pattern[i] = (unsigned char)i;
  mctx_address blocked[SHUT_OUT];
  for (uint32_t i = 0; i < SHUT_OUT; i++) {
    blocked[i] = address_of("10.0.0.66");
    blocked[i].bytes[2] = (uint8_t)i;
  }
  for (uint32_t round = 0; round < ROUNDS; round++) {
    mctx_context context = open_context();
    mctx_subscription_options options = subscription_options();
    const mctx_membership member = filtered("239.1.1.1", "eth0", MCTX_EXCLUDE, blocked, SHUT_OUT);
    options.coalescing = (int32_t)(round % 2);
    options.receive_buffer = 64 << 20;
    options.memberships = &member;
    options.membership_count = 1;
    options.membership_stride = sizeof member;
    mctx_subscription subscription = subscribe_with(context, &options);
    for (uint32_t again = 0; again < 3; again++) {
      const uint32_t usual = next_random(&seed) % 3 == 0 ? next_random(&seed) % 9000 : next_random(&seed) % 300;
      const uint32_t count = 1 + next_random(&seed) % MESSAGES;
      const uint64_t arena_size = 65536 + next_random(&seed) % (BATCH_ARENA - 65536 - GUARD);
      for (uint32_t i = 0; i < count; i++) {
        plans[i] = plan_one(&seed, usual, options.coalescing != 0);
        send_one(&plans[i], i);
      }
      check_all(subscription, plans, count, arena_size);
    }
    assert_ok(mctx_close(context, NULL));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(batches_of_any_sizes_come_whole_and_in_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

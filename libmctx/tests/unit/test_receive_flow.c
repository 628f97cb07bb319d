/* SPDX-License-Identifier: MIT */
/* Receives as a whole: what they tell and count, failures, bounds, turns, order. */
#include <stdio.h>

#include "sim_subscription.h"

static batch_memory memory;

/* ---- metadata ---- */

static void only_what_was_asked_for_is_told(void **state) {
  (void)state;
  for (uint32_t wanted = 0; wanted <= MCTX_META_ALL; wanted++) {
    mctx_subscription_options options = subscription_options();
    options.metadata = wanted;
    open_joined_with(&options);
    assert_ok(block(subscription, "239.1.1.1", NULL, "10.0.0.8", NULL)); /* which wants the source for itself */
    assert_int_equal(arrive(3, "10.0.0.9", "239.1.1.1", 2), 1);
    uint32_t number;
    size_t length;
    mctx_message message;
    assert_ok(mctx_recv(subscription, &number, 4, 0, 0, &length, &message, sizeof message, NULL));
    assert_int_equal(message.present, wanted);
    assert_int_equal(message.source.family, (wanted & MCTX_META_SOURCE) != 0 ? 4 : 0);
    assert_int_equal(message.group.family, (wanted & MCTX_META_GROUP) != 0 ? 4 : 0);
    assert_int_equal(message.interface_index, (wanted & MCTX_META_GROUP) != 0 ? 2 : 0);
    assert_int_equal(message.hop_limit, (wanted & MCTX_META_HOP_LIMIT) != 0 ? 7 : 0);
    assert_int_equal(message.traffic_class, (wanted & MCTX_META_TRAFFIC_CLASS) != 0 ? 0xb9 : 0);
    assert_int_equal(message.time_ns != 0, (wanted & MCTX_META_TIME) != 0);
    assert_int_equal(message.length, 4);
    assert_int_equal(subscription_info(subscription).metadata, wanted);
    assert_closed(context);
  }
}

static void drops_of_all_sockets_are_added_up_and_an_event_says_when_they_begin(void **state) {
  (void)state;
  open_joined();
  join(subscription, "239.1.1.2", "eth0");
  assert_true(mctx_sim_limit_set(MCTX_SIM_QUEUE, 1));
  uint32_t number;
  size_t length;
  mctx_message message;
  for (int round = 0; round < 3; round++) {
    for (uint32_t i = 0; i < 4; i++) {
      assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
      assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.2", 2), 1);
    }
    while (try_recv(subscription, &number) == MCTX_OK) {
    }
    if (round == 1) mctx_sim_advance(2 * SECOND); /* a second of quiet */
  }
  assert_int_equal(arrive(9, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_int_equal(arrive(9, "10.0.0.9", "239.1.1.2", 2), 1);
  for (int i = 0; i < 2; i++)
    assert_ok(mctx_recv(subscription, &number, 4, 0, 0, &length, &message, sizeof message, NULL));
  assert_int_equal(message.drops, 18);
  assert_int_equal(counter(subscription, "kernel_drops"), 18);
  mctx_event event = next_event(subscription, MCTX_EVENT_DROPS, 0);
  assert_int_equal(event.value, 3);
  event = next_event(subscription, MCTX_EVENT_DROPS, 0);
  assert_true(event.value > 3);
  no_event(subscription);
  assert_closed(context);
}

static void a_batch_says_that_events_wait(void **state) {
  (void)state;
  open_joined();
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_ok(recv_batch(subscription, &memory));
  assert_int_equal(memory.batch.flags, 0);
  assert_true(mctx_sim_interface_remove(2));
  for (int i = 0; i < 2; i++) /* the change is followed by the first at the latest */
    assert_status(recv_batch(subscription, &memory), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(memory.batch.flags, MCTX_RECEIVE_BATCH_EVENTS);
  (void)next_event(subscription, MCTX_EVENT_INTERFACE_LOST, 2);
  assert_status(recv_batch(subscription, &memory), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(memory.batch.flags, 0);
  assert_closed(context);
}

/* ---- failures, bounds, fairness ---- */

static void an_error_after_datagrams_comes_with_the_next_call(void **state) {
  (void)state;
  open_joined();
  for (uint32_t i = 0; i < 3; i++)
    assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
  /* one message by each call to the system, or two by the first */
  assert_true(mctx_sim_fault(MCTX_SIM_RECEIVE, 1, MCTX_SIM_PARTIAL, 2));
  assert_true(mctx_sim_fault(MCTX_SIM_RECEIVE, 2, MCTX_SIM_FAIL, MCTX_ERR_IO));
  assert_ok(recv_batch(subscription, &memory));
  const uint64_t before = memory.batch.datagram_count;
  assert_true(before == 1 || before == 2);
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_recv_batch(subscription, batch_in(&memory), 0, 0, &error), MCTX_ERR_IO);
  assert_int_equal(memory.batch.datagram_count, 0);
  assert_true(error.os_code != 0);
  assert_int_equal(error.handle, subscription);
  assert_ok(recv_batch(subscription, &memory));
  assert_int_equal(memory.batch.datagram_count, 3 - before);
  /* without datagrams before it, at once */
  assert_true(mctx_sim_fault(MCTX_SIM_RECEIVE, 1, MCTX_SIM_FAIL, MCTX_ERR_NO_MEMORY));
  assert_int_equal(arrive(9, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_status(mctx_recv_batch(subscription, batch_in(&memory), 0, 0, NULL), MCTX_ERR_NO_MEMORY);
  assert_received(subscription, 9);
  assert_int_equal(counter(subscription, "errors_io"), 1);
  assert_int_equal(counter(subscription, "errors_limit"), 1);
  assert_int_equal(counter(subscription, "receive_errors"), 2);
  assert_closed(context);
}

static void a_signal_is_not_an_error_of_receiving(void **state) {
  (void)state;
  open_joined();
  assert_int_equal(arrive(4, "10.0.0.9", "239.1.1.1", 2), 1);
  for (uint64_t i = 1; i < 4; i++)
    assert_true(mctx_sim_fault(MCTX_SIM_RECEIVE, i, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL));
  assert_received(subscription, 4);
  assert_closed(context);
}

static void an_empty_subscription_costs_a_call_at_most(void **state) {
  (void)state;
  open_joined();
  uint32_t number;
  for (int i = 0; i < 3; i++) {
    const uint64_t before = mctx_sim_calls(MCTX_SIM_RECEIVE);
    assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK);
    assert_status(recv_batch(subscription, &memory), MCTX_ERR_WOULD_BLOCK);
    assert_true(mctx_sim_calls(MCTX_SIM_RECEIVE) - before <= 2);
    if (i == 1) join(subscription, "239.1.1.2", "eth0"); /* a second socket */
  }
  assert_closed(context);
}

static void a_call_looks_at_a_bounded_number_of_messages(void **state) {
  (void)state;
  open_joined();
  mctx_address blocked = address_of("10.0.0.8");
  assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES4, 0)); /* the library filters */
  const mctx_membership filter = filtered("239.1.1.1", NULL, MCTX_EXCLUDE, &blocked, 1);
  assert_ok(set_filter(subscription, &filter, NULL));
  for (uint32_t i = 0; i < 1000; i++)
    assert_int_equal(arrive(i, "10.0.0.8", "239.1.1.1", 2), 1);
  assert_int_equal(arrive(4242, "10.0.0.9", "239.1.1.1", 2), 1);
  uint32_t number;
  uint32_t calls = 0;
  mctx_status status;
  do {
    const uint64_t before = mctx_sim_calls(MCTX_SIM_RECEIVE);
    status = calls % 2 == 0 ? try_recv(subscription, &number) : recv_batch(subscription, &memory);
    assert_true(mctx_sim_calls(MCTX_SIM_RECEIVE) - before <= 256);
    calls++;
  } while (status == MCTX_ERR_WOULD_BLOCK && calls < 100);
  assert_ok(status);
  assert_true(calls >= 4 && calls < 20);
  assert_int_equal(counter(subscription, "discarded_source"), 1000);
  assert_closed(context);
}

static void a_lonely_group_is_served_within_a_rotation_of_flooded_ones(void **state) {
  (void)state;
  enum { FLOODED = 39 };
  context = open_context();
  for (int32_t way = 0; way < 3; way++) { /* recv, small batches, large ones */
    subscription = subscribe(context);
    char group[16];
    for (uint32_t i = 0; i <= FLOODED; i++) {
      (void)snprintf(group, sizeof group, "239.1.2.%u", i);
      join(subscription, group, "eth0");
    }
    uint32_t received = 0;
    bool is_served = false;
    for (uint32_t round = 0; round < 400 && !is_served; round++) {
      for (uint32_t i = 0; i < FLOODED; i++) { /* always more than is taken */
        (void)snprintf(group, sizeof group, "239.1.2.%u", i);
        for (int k = 0; k < (way == 0 ? 2 : 40); k++)
          (void)arrive(i, "10.0.0.9", group, 2);
      }
      (void)snprintf(group, sizeof group, "239.1.2.%u", FLOODED);
      if (round == 3) assert_int_equal(arrive(4242, "10.0.0.9", group, 2), 1);
      uint32_t number;
      if (way == 0) {
        assert_ok(try_recv(subscription, &number));
        is_served = number == 4242;
        received += round >= 3;
      } else {
        mctx_receive_batch *batch = batch_in(&memory);
        if (way == 1) batch->datagram_capacity = 128;
        if (way == 1) batch->message_capacity = 10;
        assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
        for (uint64_t i = 0; i < batch->datagram_count; i++) {
          memcpy(&number, memory.arena + memory.datagrams[i].offset, sizeof number);
          is_served = is_served || number == 4242;
          received += !is_served && round >= 3;
        }
      }
    }
    assert_true(is_served);
    if (received > 16 * (FLOODED + 1)) fail_msg("way %d: %u datagrams of others came first", way, received);
    assert_closed(subscription);
  }
  assert_closed(context);
}

static void order_is_kept_for_each_source_of_a_group(void **state) {
  (void)state;
  enum { DATAGRAMS = 600 };
  open_joined();
  join(subscription, "239.1.1.2", "eth0");
  join(subscription, "239.1.1.1", "eth1");
  for (uint32_t i = 0; i < DATAGRAMS; i++)
    assert_int_equal(arrive(i, i % 2 == 0 ? "10.0.0.8" : "10.0.0.9", i % 3 == 0 ? "239.1.1.2" : "239.1.1.1", 2),
                     1);
  int64_t last[6] = {-1, -1, -1, -1, -1, -1};
  uint32_t received = 0;
  uint32_t number;
  while (received < DATAGRAMS) {
    if (received % 7 == 0) {
      mctx_receive_batch *batch = batch_in(&memory);
      batch->message_capacity = 5;
      assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
      for (uint64_t i = 0; i < batch->datagram_count; i++) {
        memcpy(&number, memory.arena + memory.datagrams[i].offset, sizeof number);
        assert_true(last[number % 6] < (int64_t)number);
        last[number % 6] = number;
        received++;
      }
    } else {
      assert_ok(try_recv(subscription, &number));
      assert_true(last[number % 6] < (int64_t)number);
      last[number % 6] = number;
      received++;
    }
  }
  assert_int_equal(received, DATAGRAMS);
  assert_nothing(subscription);
  assert_closed(context);
}

/* ---- counters ---- */

static void counters_tell_what_calls_came_to(void **state) {
  (void)state;
  open_joined();
  uint32_t number;
  size_t length;
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_int_equal(arrive(2, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_ok(try_recv(subscription, &number));
  assert_ok(recv_batch(subscription, &memory));
  assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK);
  assert_status(mctx_recv(subscription, &number, 4, 0, MILLI, &length, NULL, 0, NULL), MCTX_ERR_TIMEOUT);
  assert_int_equal(mctx_wake(subscription), MCTX_OK);
  assert_status(mctx_recv(subscription, &number, 4, 0, -1, &length, NULL, 0, NULL), MCTX_ERR_WOKEN);
  static const struct {
    const char *name;
    uint64_t value;
  } expected[] = {{"receive_calls", 5},     {"packets_received", 2},    {"bytes_received", 8},
                  {"messages_received", 2}, {"receive_errors", 3},      {"errors_would_block", 1},
                  {"errors_timeout", 1},    {"errors_interrupted", 1},  {"errors_io", 0},
                  {"kernel_drops", 0},      {"truncated", 0},           {"discarded_unicast", 0},
                  {"discarded_group", 0},   {"discarded_interface", 0}, {"discarded_source", 0},
                  {"discarded_copy", 0},    {"memberships_rebuilt", 0}};
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    char total[64];
    const bool is_count = strstr(expected[i].name, "errors_") == NULL || expected[i].name[0] == 'r';
    (void)snprintf(total, sizeof total, is_count ? "total_%s" : "total_receive_%s", expected[i].name);
    if (counter(subscription, expected[i].name) != expected[i].value)
      fail_msg("%s is %d", expected[i].name, (int)counter(subscription, expected[i].name));
    assert_int_equal(counter(context, total), expected[i].value);
  }
  assert_int_equal(counter(context, "active_subscriptions"), 1);
  mctx_membership_info info = membership_at(subscription, "239.1.1.1", 2);
  assert_int_equal(info.datagrams, 2);
  assert_int_equal(info.bytes, 8);
  assert_closed(subscription);
  assert_int_equal(counter(context, "total_packets_received"), 2);
  assert_int_equal(counter(context, "subscriptions_added"), 1);
  assert_int_equal(counter(context, "subscriptions_removed"), 1);
  assert_int_equal(counter(context, "active_subscriptions"), 0);
  assert_closed(context);
}

static void a_membership_tells_when_its_messages_came(void **state) {
  (void)state;
  open_joined();
  mctx_membership_info info = membership_at(subscription, "239.1.1.1", 2);
  assert_int_equal(info.first_ns, -1);
  assert_int_equal(info.last_ns, -1);
  mctx_sim_advance(5 * SECOND);
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_received(subscription, 1);
  mctx_sim_advance(3 * SECOND);
  assert_int_equal(arrive(2, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_received(subscription, 2);
  mctx_sim_advance(2 * SECOND);
  info = membership_at(subscription, "239.1.1.1", 2);
  assert_int_equal(info.first_ns, 5 * SECOND);
  assert_int_equal(info.last_ns, 2 * SECOND);
  assert_int_equal(info.datagrams, 2);
  assert_closed(context);
}

static void receiving_allocates_nothing(void **state) {
  (void)state;
  open_joined();
  join(subscription, "239.1.1.2", NULL);
  uint32_t number;
  (void)try_recv(subscription, &number);
  const uint64_t before = mctx_sim_calls(MCTX_SIM_ALLOCATE);
  for (uint32_t i = 0; i < 50; i++) {
    assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
    arrive_coalesced("10.0.0.9", "239.1.1.2", 2, 1000, 100);
    (void)try_recv(subscription, &number);
    (void)recv_batch(subscription, &memory);
  }
  assert_int_equal(mctx_sim_calls(MCTX_SIM_ALLOCATE), before);
  assert_closed(context);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(only_what_was_asked_for_is_told),
      fixture_test(drops_of_all_sockets_are_added_up_and_an_event_says_when_they_begin),
      fixture_test(a_batch_says_that_events_wait),
      fixture_test(an_error_after_datagrams_comes_with_the_next_call),
      fixture_test(a_signal_is_not_an_error_of_receiving),
      fixture_test(an_empty_subscription_costs_a_call_at_most),
      fixture_test(a_call_looks_at_a_bounded_number_of_messages),
      fixture_test(a_lonely_group_is_served_within_a_rotation_of_flooded_ones),
      fixture_test(order_is_kept_for_each_source_of_a_group),
      fixture_test(counters_tell_what_calls_came_to),
      fixture_test(a_membership_tells_when_its_messages_came),
      fixture_test(receiving_allocates_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

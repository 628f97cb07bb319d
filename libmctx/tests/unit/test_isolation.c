/* SPDX-License-Identifier: MIT */
/*
 * What is delivered was sent to a joined group, arrived where it is joined, from a source that its filter lets
 * through; the rest is discarded and counted by the reason. Each case has traffic that would leak without the
 * check.
 */
#include <stdio.h>

#include "join.h"
#include "sim_subscription.h"

static void open_bound(uint32_t binding) {
  mctx_subscription_options options = subscription_options();
  options.binding = binding;
  open_with_options(&options);
}

static const char *const reasons[] = {"discarded_unicast", "discarded_group", "discarded_interface",
                                      "discarded_source", "discarded_copy"};

enum { UNICAST, GROUP, INTERFACE, SOURCE, COPY, REASONS };

static void assert_discarded(const uint64_t expected[REASONS]) {
  for (int i = 0; i < REASONS; i++)
    if (counter(subscription, reasons[i]) != expected[i])
      fail_msg("%s is %d, not %d", reasons[i], (int)counter(subscription, reasons[i]), (int)expected[i]);
}

static mctx_os_handle other_program(uint32_t family, const char *group, uint32_t index) {
  const mctx_address local = {.family = (uint8_t)family, .port = PORT};
  const mctx_address joined = address_of(group);
  mctx_os_handle native;
  assert_true(mctx_sim_socket(family | MCTX_SIM_REUSE, &local, &native));
  assert_true(mctx_sim_socket_join(&native, &joined, index));
  return native;
}

/* ---- reasons ---- */

static void each_reason_is_counted_on_a_wildcard_socket(void **state) {
  (void)state;
  mctx_sim_capability_set(MCTX_CAPABILITY_ISOLATED_SENDER, MCTX_CAPABILITY_ABSENT);
  open_bound(MCTX_BINDING_WILDCARD);
  uint64_t expected[REASONS] = {0};
  join(subscription, "239.1.1.1", "eth0");
  assert_ok(block(subscription, "239.1.1.1", NULL, "10.0.0.8", NULL));
  mctx_os_handle other = other_program(4, "239.2.2.2", 2);
  const mctx_address ours = address_of("239.1.1.1");
  assert_true(mctx_sim_socket_join(&other, &ours, 3));
  /* another program's group; ours on another interface; a source that is shut out; broadcast */
  assert_int_equal(arrive(1, "10.0.0.9", "239.2.2.2", 2), 2);
  expected[GROUP]++;
  assert_int_equal(arrive(2, "10.0.1.9", "239.1.1.1", 3), 2);
  expected[INTERFACE]++;
  (void)arrive(3, "10.0.0.9", "10.0.0.255", 2);
  expected[UNICAST]++;
  assert_nothing(subscription);
  assert_discarded(expected);
  mctx_sim_socket_close(&other);
  (void)arrive(4, "10.0.0.9", "10.0.0.1", 2);
  expected[UNICAST]++;
  assert_nothing(subscription);
  assert_discarded(expected);
  /* the system filters, but what waited when the filter changed is the library's to discard */
  (void)arrive(5, "10.0.0.7", "239.1.1.1", 2);
  assert_ok(block(subscription, "239.1.1.1", NULL, "10.0.0.7", NULL));
  expected[SOURCE]++;
  assert_nothing(subscription);
  assert_discarded(expected);
  (void)arrive(6, "10.0.0.9", "239.1.1.1", 2);
  assert_received(subscription, 6);
  assert_closed(context);
}

static void a_copy_for_another_socket_is_discarded_once(void **state) {
  (void)state;
  /* IPv6 sockets that cannot be held to an interface hear all of them */
  mctx_sim_capability_set(MCTX_CAPABILITY_BIND_DEVICE, MCTX_CAPABILITY_ABSENT);
  static const uint32_t bindings[] = {MCTX_BINDING_AUTO, MCTX_BINDING_WILDCARD};
  for (int i = 0; i < 2; i++) {
    open_bound(bindings[i]);
    uint64_t expected[REASONS] = {0};
    join(subscription, "ff15::1", "eth0");
    join(subscription, "ff15::1", "eth1");
    assert_int_equal(arrive(1, "fd00::9", "ff15::1", 2), 2);
    assert_received(subscription, 1);
    assert_nothing(subscription);
    expected[COPY]++;
    assert_discarded(expected);
    /* so with filters that differ */
    assert_ok(block(subscription, "ff15::1", "eth0", "fd00::8", NULL));
    (void)arrive(2, "fd00::8", "ff15::1", 2);
    assert_nothing(subscription);
    (void)arrive(3, "fd00::8", "ff15::1", 3);
    assert_received(subscription, 3);
    assert_nothing(subscription);
    assert_closed(context);
  }
}

static void sockets_bound_to_their_groups_leave_the_rest_to_other_programs(void **state) {
  (void)state;
  open_bound(MCTX_BINDING_AUTO);
  const uint64_t none[REASONS] = {0};
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "ff15::1", NULL);
  const mctx_address local = {.family = 4, .port = PORT};
  mctx_os_handle other;
  assert_true(mctx_sim_socket(4 | MCTX_SIM_REUSE, &local, &other));
  assert_int_equal(arrive(1, "10.0.0.9", "10.0.0.1", 2), 1);
  assert_int_equal(arrive(2, "10.0.0.9", "255.255.255.255", 2), 1);
  assert_int_equal(mctx_sim_socket_queued(&other), 2);
  assert_nothing(subscription);
  assert_discarded(none);
  mctx_sim_socket_close(&other);
  assert_closed(context);
}

static void a_bound_socket_hears_no_interface_that_another_program_joined(void **state) {
  (void)state;
  mctx_sim_capability_set(MCTX_CAPABILITY_ISOLATED_SENDER, MCTX_CAPABILITY_ABSENT);
  open_bound(MCTX_BINDING_AUTO);
  join(subscription, "239.1.1.1", "eth0");
  mctx_os_handle other = other_program(4, "239.1.1.1", 3);
  assert_int_equal(arrive(1, "10.0.1.9", "239.1.1.1", 3), 2); /* Linux lets it through to us */
  assert_nothing(subscription);
  assert_int_equal(counter(subscription, "discarded_interface"), 1);
  mctx_sim_socket_close(&other);
  assert_closed(context);
}

/* ---- what waits while something changes ---- */

static void nothing_of_a_left_group_is_delivered(void **state) {
  (void)state;
  static const uint32_t bindings[] = {MCTX_BINDING_AUTO, MCTX_BINDING_WILDCARD};
  for (int i = 0; i < 2; i++) {
    open_bound(bindings[i]);
    join(subscription, "239.1.1.1", NULL);
    join(subscription, "239.1.1.2", NULL);
    for (uint32_t k = 0; k < 5; k++) {
      (void)arrive(k, "10.0.0.9", "239.1.1.1", 2);
      (void)arrive(100 + k, "10.0.0.9", "239.1.1.1", 3);
      (void)arrive(200 + k, "10.0.0.9", "239.1.1.2", 2);
    }
    assert_ok(leave(subscription, "239.1.1.1", "eth0", NULL));
    for (uint32_t k = 0; k < 10; k++) {
      uint32_t number;
      assert_ok(try_recv(subscription, &number));
      assert_true(number >= 100);
    }
    assert_nothing(subscription);
    for (uint32_t k = 0; k < 5; k++)
      (void)arrive(k, "10.0.0.9", "239.1.1.1", 3);
    assert_ok(leave(subscription, "239.1.1.1", NULL, NULL));
    assert_nothing(subscription);
    /* joined again, what came between is not there */
    join(subscription, "239.1.1.1", NULL);
    assert_nothing(subscription);
    assert_closed(context);
  }
}

static void a_socket_that_changes_hands_is_still_checked(void **state) {
  (void)state;
  assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES4, 1));
  open_bound(MCTX_BINDING_AUTO);
  const mctx_address sources[3] = {address_of("10.0.0.7"), address_of("10.0.0.8"), address_of("10.0.0.9")};
  join(subscription, "239.1.1.1", "eth1");
  const mctx_membership spread = filtered("239.1.1.1", "eth0", MCTX_INCLUDE, sources, 3);
  assert_ok(try_join(subscription, &spread, NULL));
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  const mctx_membership fewer = filtered("239.1.1.1", NULL, MCTX_INCLUDE, sources, 2);
  assert_ok(set_filter(subscription, &fewer, NULL));
  assert_nothing(subscription);
  for (uint32_t index = 2; index < 4; index++) {
    (void)arrive(2, "10.0.0.8", "239.1.1.1", index);
    assert_received(subscription, 2);
    (void)arrive(3, "10.0.0.9", "239.1.1.1", index);
    assert_nothing(subscription);
  }
  assert_closed(context);
}

static void what_waits_passes_the_filter_that_is_in_force_when_it_is_received(void **state) {
  (void)state;
  open_bound(MCTX_BINDING_AUTO);
  join(subscription, "239.1.1.1", "eth0");
  (void)arrive(1, "10.0.0.7", "239.1.1.1", 2);
  (void)arrive(2, "10.0.0.8", "239.1.1.1", 2);
  (void)arrive(3, "10.0.0.9", "239.1.1.1", 2);
  const mctx_address eight = address_of("10.0.0.8");
  const mctx_membership only = filtered("239.1.1.1", NULL, MCTX_INCLUDE, &eight, 1);
  assert_ok(set_filter(subscription, &only, NULL));
  assert_received(subscription, 2);
  assert_nothing(subscription);
  assert_int_equal(counter(subscription, "discarded_source"), 2);
  assert_closed(context);
}

/* ---- several subscriptions ---- */

static void two_subscriptions_of_a_port_get_their_own_groups(void **state) {
  (void)state;
  static const uint32_t bindings[] = {MCTX_BINDING_AUTO, MCTX_BINDING_WILDCARD};
  for (int i = 0; i < 2; i++) {
    open_bound(bindings[i]);
    mctx_subscription_options options = subscription_options();
    options.binding = bindings[1 - i];
    mctx_subscription second = subscribe_with(context, &options);
    join(subscription, "239.1.1.1", NULL);
    join(second, "239.1.1.2", NULL);
    join(subscription, "239.1.1.3", "eth0");
    join(second, "239.1.1.3", "eth1");
    (void)arrive(1, "10.0.0.9", "239.1.1.1", 2);
    (void)arrive(2, "10.0.0.9", "239.1.1.2", 2);
    (void)arrive(3, "10.0.0.9", "239.1.1.3", 2);
    (void)arrive(4, "10.0.0.9", "239.1.1.3", 3);
    uint32_t sum[2] = {0, 0};
    uint32_t number;
    while (try_recv(subscription, &number) == MCTX_OK)
      sum[0] = sum[0] * 10 + number;
    while (try_recv(second, &number) == MCTX_OK)
      sum[1] = sum[1] * 10 + number;
    assert_true(sum[0] == 13 || sum[0] == 31);
    assert_true(sum[1] == 24 || sum[1] == 42);
    assert_closed(context);
  }
}

static void publications_and_subscriptions_of_a_context_meet_through_loopback(void **state) {
  (void)state;
  open_bound(MCTX_BINDING_AUTO);
  join(subscription, "239.1.1.1", "eth0");
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.dscp = 46;
  options.hop_limit = 3;
  mctx_publication publication = open_with(context, &options);
  uint32_t number = 17;
  size_t length;
  mctx_message message;
  mctx_address source;
  mctx_address group;
  assert_ok(mctx_send(publication, &number, sizeof number, NULL));
  assert_ok(mctx_recv(subscription, &number, sizeof number, 0, 0, &length, &message, sizeof message, NULL));
  assert_ok(mctx_publication_announce(publication, &source, &group, NULL));
  assert_memory_equal(&message.source, &source, sizeof source);
  assert_memory_equal(&message.group, &group, sizeof group);
  assert_int_equal(message.traffic_class, 46 << 2);
  assert_int_equal(message.hop_limit, 3);
  assert_int_equal(message.interface_index, 2);
  assert_closed(context);
}

/* ---- in the midst of a change ---- */

/* An include list over several sockets becomes an exclude list: what arrives while the system has been told,
 * and nothing is settled, comes once at most, and when the change is taken back nothing of it stays. */
static void what_arrives_while_a_list_is_opened_comes_once(void **state) {
  (void)state;
  static const char *const from[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"};
  for (int way = 0; way < 4; way++) {
    const bool is_settled = way % 2 == 0;
    mctx_sim_reset();
    assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES4, 2));
    open_bound(way < 2 ? MCTX_BINDING_AUTO : MCTX_BINDING_WILDCARD);
    mctx_address sources[4];
    for (uint32_t i = 0; i < 4; i++)
      sources[i] = address_of(from[i]);
    const mctx_membership listed = filtered("239.1.1.1", "eth0", MCTX_INCLUDE, sources, 4);
    assert_ok(try_join(subscription, &listed, NULL));
    assert_int_equal(arrive(1, from[0], "239.1.1.1", 2), 1); /* waits in the first socket */
    const mctx__call call = {.handle = subscription};
    mctx__subscription *own;
    mctx__change change = {NULL};
    mctx__filter open = {.mode = MCTX_EXCLUDE};
    assert_ok(mctx__subscription_enter(&call, &own));
    assert_int_equal(mctx__member_tell(own, &change, own->first, &open).status, MCTX_OK);
    assert_int_equal(arrive(2, from[3], "239.1.1.1", 2), 2); /* on its old way and on the new one */
    uint32_t number;
    assert_received(subscription, 1);
    assert_int_equal(arrive(3, from[3], "239.1.1.1", 2), 2);
    while (!is_settled && try_recv(subscription, &number) == MCTX_OK)
      fail_msg("%u came before anything was settled", number);
    if (is_settled)
      mctx__change_settle(own, &change);
    else
      mctx__change_undo(own, &change);
    mctx__subscription_exit(own);
    if (is_settled) {
      assert_received(subscription, 2);
      assert_received(subscription, 3);
    }
    assert_nothing(subscription);
    for (uint32_t i = 0; i < 4; i++) {
      assert_int_equal(arrive(10 + i, from[i], "239.1.1.1", 2), 1);
      assert_received(subscription, 10 + i);
    }
    assert_int_equal(arrive(20, "10.0.0.9", "239.1.1.1", 2), is_settled);
    if (is_settled) assert_received(subscription, 20);
    assert_nothing(subscription);
    assert_closed(context);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(each_reason_is_counted_on_a_wildcard_socket),
      fixture_test(a_copy_for_another_socket_is_discarded_once),
      fixture_test(sockets_bound_to_their_groups_leave_the_rest_to_other_programs),
      fixture_test(a_bound_socket_hears_no_interface_that_another_program_joined),
      fixture_test(nothing_of_a_left_group_is_delivered),
      fixture_test(a_socket_that_changes_hands_is_still_checked),
      fixture_test(what_waits_passes_the_filter_that_is_in_force_when_it_is_received),
      fixture_test(two_subscriptions_of_a_port_get_their_own_groups),
      fixture_test(publications_and_subscriptions_of_a_context_meet_through_loopback),
      fixture_test(what_arrives_while_a_list_is_opened_comes_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Interfaces that go, come, are renamed, get other addresses, or change hands: what is joined, delivered and
 * told. */
#include <stdio.h>

#include "sim_subscription.h"

static void assert_delivers(const char *source, const char *group, uint32_t index) {
  static uint32_t number;
  number++;
  (void)arrive(number, source, group, index);
  assert_received(subscription, number);
  assert_nothing(subscription);
}

static void assert_silent(const char *source, const char *group, uint32_t index) {
  (void)arrive(4242, source, group, index);
  assert_nothing(subscription);
}

static void add_address(uint32_t index, const char *text) {
  const mctx_address address = address_of(text);
  assert_true(mctx_sim_address_add(index, &address));
}

static void remove_address(uint32_t index, const char *text) {
  const mctx_address address = address_of(text);
  assert_true(mctx_sim_address_remove(index, &address));
}

static void assert_event(uint32_t type, uint32_t index, uint64_t value) {
  const mctx_event event = next_event(subscription, type, index);
  assert_int_equal(event.value, value);
  assert_int_equal(event.handle, subscription);
  assert_true(event.time_ns > 0);
}

/* ---- named interfaces ---- */

static void a_named_interface_that_goes_is_absent_and_rebuilt_when_it_is_there_again(void **state) {
  (void)state;
  static const uint32_t later[] = {2, 9}; /* the same index, another one */
  for (int i = 0; i < 2; i++) {
    open_plain();
    join(subscription, "239.1.1.1", "eth0");
    join(subscription, "ff12::1", "eth0");
    join(subscription, "239.1.1.1", "eth1");
    const uint32_t id = membership_at(subscription, "239.1.1.1", 2).id;
    assert_true(mctx_sim_interface_remove(2));
    assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
    no_event(subscription);
    mctx_membership_info info = membership_at(subscription, "239.1.1.1", 0);
    assert_int_equal(info.id, id);
    assert_int_equal(info.flags, MCTX_MEMBERSHIP_ABSENT);
    assert_int_equal(info.name_count, 1);
    assert_alive(1);
    assert_delivers("10.0.1.9", "239.1.1.1", 3);

    set_interface(later[i], "eth0", UP_FLAGS);
    assert_event(MCTX_EVENT_REBUILT, later[i], 2);
    no_event(subscription);
    info = membership_at(subscription, "239.1.1.1", later[i]);
    assert_int_equal(info.id, id);
    assert_int_equal(info.flags, 0);
    assert_alive(3);
    assert_delivers("10.0.0.9", "239.1.1.1", later[i]);
    assert_delivers("fe80::9", "ff12::1", later[i]);
    assert_int_equal(counter(subscription, "memberships_rebuilt"), 2);
    assert_closed(context);
    mctx_sim_reset();
  }
}

/* The whole change is seen at once: the old index says nothing of the new interface. */
static void an_interface_that_was_made_anew_meanwhile_is_joined_anew(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  join(subscription, "ff15::1", "eth0");
  assert_true(mctx_sim_interface_remove(2));
  set_interface(2, "eth0", UP_FLAGS);
  uint32_t number;
  assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK); /* follows it */
  assert_alive(2);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_delivers("fd00::9", "ff15::1", 2);
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  assert_event(MCTX_EVENT_REBUILT, 2, 2);
  no_event(subscription);
  assert_closed(context);
}

static void a_blocked_receive_follows_and_goes_on(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  uint32_t number;
  size_t length;
  assert_true(mctx_sim_interface_remove(2));
  set_interface(12, "eth0", UP_FLAGS);
  arrive_later(5 * MILLI, 7, "10.0.0.9", "239.1.1.1", 12);
  assert_ok(mctx_recv(subscription, &number, 4, 0, -1, &length, NULL, 0, NULL));
  assert_int_equal(number, 7);
  assert_closed(context);
}

/* Nothing arrives, and nothing changes any more, that would make the receive look again. */
static void a_blocked_receive_makes_up_for_a_shortage(void **state) {
  (void)state;
  static const uint32_t calls[] = {MCTX_SIM_SOCKET_OPEN, MCTX_SIM_INTERFACES, MCTX_SIM_JOIN};
  for (uint32_t i = 0; i < 3; i++) {
    mctx_sim_reset();
    open_plain();
    join(subscription, "239.1.1.1", "eth0");
    uint32_t number;
    size_t length;
    assert_true(mctx_sim_interface_remove(2));
    set_interface(12, "eth0", UP_FLAGS);
    assert_true(mctx_sim_fault(calls[i], 1, MCTX_SIM_FAIL, MCTX_ERR_TOO_MANY_DESCRIPTORS));
    arrive_later(3 * SECOND, i, "10.0.0.9", "239.1.1.1", 12);
    assert_ok(mctx_recv(subscription, &number, 4, 0, 10 * SECOND, &length, NULL, 0, NULL));
    assert_int_equal(number, i);
    assert_closed(context);
  }
}

static void an_index_and_an_address_are_followed_as_they_were_said(void **state) {
  (void)state;
  open_plain();
  mctx_membership by_index = membership_of("239.1.1.1", NULL);
  by_index.ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX, .index = 2};
  mctx_membership by_address = membership_of("239.1.1.2", NULL);
  by_address.ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of("10.0.0.1")};
  assert_ok(try_join(subscription, &by_index, NULL));
  assert_ok(try_join(subscription, &by_address, NULL));
  assert_true(mctx_sim_interface_remove(2));
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  /* another index, another address: neither is meant */
  set_interface(9, "eth0", UP_FLAGS);
  no_event(subscription);
  add_address(9, "10.0.0.1/24");
  assert_event(MCTX_EVENT_REBUILT, 9, 1);
  assert_delivers("10.0.0.9", "239.1.1.2", 9);
  assert_silent("10.0.0.9", "239.1.1.1", 9);
  set_interface(2, "other", UP_FLAGS);
  assert_event(MCTX_EVENT_REBUILT, 2, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  no_event(subscription);
  assert_closed(context);
}

static void an_address_that_moves_takes_its_memberships_along(void **state) {
  (void)state;
  open_plain();
  mctx_membership wish = membership_of("239.1.1.1", NULL);
  wish.ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of("10.0.0.1")};
  assert_ok(try_join(subscription, &wish, NULL));
  remove_address(2, "10.0.0.1");
  no_event(subscription);
  assert_delivers("10.0.0.9", "239.1.1.1", 2); /* nothing else is meant */
  add_address(3, "10.0.0.1/24");
  assert_event(MCTX_EVENT_REBUILT, 3, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 3);
  assert_silent("10.0.0.9", "239.1.1.1", 2);
  assert_alive(1);
  assert_closed(context);
}

static void a_renamed_interface_stays_until_its_old_name_means_another(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  set_interface(2, "lan0", UP_FLAGS);
  no_event(subscription);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  set_interface(8, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_REBUILT, 8, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 8);
  assert_silent("10.0.0.9", "239.1.1.1", 2);
  assert_closed(context);
}

static void two_names_of_an_interface_are_each_enough(void **state) {
  (void)state;
  open_plain();
  mctx_membership both[2] = {membership_of("239.1.1.1", "eth0"), membership_of("239.1.1.1", NULL)};
  both[1].ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of("10.0.0.1")};
  assert_ok(mctx_join(subscription, both, sizeof both[0], 2, NULL));
  mctx_membership_info info = membership_at(subscription, "239.1.1.1", 2);
  assert_int_equal(info.name_count, 2);
  char text[64];
  size_t length;
  assert_ok(mctx_membership_name(subscription, info.id, 1, text, sizeof text, &length, NULL));
  assert_string_equal(text, "10.0.0.1");
  assert_true(mctx_sim_interface_remove(2));
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  set_interface(8, "wan0", UP_FLAGS);
  add_address(8, "10.0.0.1/24");
  assert_event(MCTX_EVENT_REBUILT, 8, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 8);
  assert_closed(context);
}

static void an_absent_membership_can_be_changed_and_left(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  join(subscription, "239.1.1.2", "eth0");
  assert_true(mctx_sim_interface_remove(2));
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  assert_ok(block(subscription, "239.1.1.1", NULL, "10.0.0.8", NULL));
  assert_ok(block(subscription, "239.1.1.1", "eth0", "10.0.0.7", NULL));
  assert_ok(leave(subscription, "239.1.1.2", "eth0", NULL));
  mctx_error error = MCTX_ERROR_INIT;
  const mctx_membership gone = membership_of("239.1.1.3", "eth0");
  assert_status(try_join(subscription, &gone, &error), MCTX_ERR_INTERFACE_NOT_FOUND);
  set_interface(5, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_REBUILT, 5, 1);
  assert_silent("10.0.0.8", "239.1.1.1", 5);
  assert_silent("10.0.0.7", "239.1.1.1", 5);
  assert_delivers("10.0.0.9", "239.1.1.1", 5);
  assert_silent("10.0.0.9", "239.1.1.2", 5);
  assert_alive(1);
  assert_closed(context);
}

static void the_filters_of_what_is_rebuilt_are_as_they_were(void **state) {
  (void)state;
  open_plain();
  mctx_address many[25];
  for (uint8_t i = 0; i < 25; i++) {
    many[i] = address_of("10.0.0.100");
    many[i].bytes[3] = (uint8_t)(100 + i);
  }
  const mctx_membership spread = filtered("239.1.1.1", "eth0", MCTX_INCLUDE, many, 25);
  const mctx_membership excluded = filtered("239.1.1.2", "eth0", MCTX_EXCLUDE, many, 25);
  assert_ok(try_join(subscription, &spread, NULL));
  assert_ok(try_join(subscription, &excluded, NULL));
  assert_true(mctx_sim_interface_remove(2));
  set_interface(2, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  assert_event(MCTX_EVENT_REBUILT, 2, 2);
  for (uint32_t i = 0; i < 25; i++) {
    char text[64];
    size_t length;
    assert_ok(mctx_address_format(&many[i], text, sizeof text, &length, NULL));
    assert_delivers(text, "239.1.1.1", 2);
    assert_silent(text, "239.1.1.2", 2);
  }
  assert_silent("10.0.0.9", "239.1.1.1", 2);
  assert_delivers("10.0.0.9", "239.1.1.2", 2);
  assert_int_equal(membership_at(subscription, "239.1.1.2", 2).flags, MCTX_MEMBERSHIP_FILTERED);
  assert_alive(4);
  assert_closed(context);
}

static void down_and_up_changes_nothing(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "ff15::1", "eth0");
  set_interface(2, "eth0", UP_FLAGS & ~(uint32_t)(MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING));
  no_event(subscription);
  assert_int_equal(memberships_of(subscription, NULL, 0), 3);
  assert_silent("10.0.0.9", "239.1.1.1", 2);
  set_interface(2, "eth0", UP_FLAGS);
  no_event(subscription);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_delivers("fd00::9", "ff15::1", 2);
  assert_closed(context);
}

static void a_group_can_be_joined_before_the_link_comes_up(void **state) {
  (void)state;
  set_interface(2, "eth0", MCTX_INTERFACE_MULTICAST);
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  join(subscription, "ff15::1", "eth0");
  set_interface(2, "eth0", UP_FLAGS);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_delivers("fd00::9", "ff15::1", 2);
  no_event(subscription);
  assert_closed(context);
}

/* ---- the default set ---- */

static void the_default_set_is_followed(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "ff15::1", NULL);
  assert_int_equal(memberships_of(subscription, NULL, 0), 4);
  set_interface(5, "eth5", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 5, 2);
  assert_int_equal(membership_at(subscription, "239.1.1.1", 5).flags, MCTX_MEMBERSHIP_DEFAULT);
  assert_delivers("10.0.0.9", "239.1.1.1", 5);
  assert_delivers("fd00::9", "ff15::1", 5);
  assert_true(mctx_sim_interface_remove(2));
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  assert_int_equal(memberships_of(subscription, NULL, 0), 4);
  set_interface(2, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 2, 2);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  /* one that is down, the loopback, one without multicast: not before they are what the set wants */
  set_interface(6, "eth6", MCTX_INTERFACE_MULTICAST);
  set_interface(7, "lo1", UP_FLAGS | MCTX_INTERFACE_LOOPBACK);
  set_interface(8, "tun0", UP_FLAGS & ~(uint32_t)MCTX_INTERFACE_MULTICAST);
  set_interface(9, "port0", UP_FLAGS | MCTX_INTERFACE_ENSLAVED);
  no_event(subscription);
  set_interface(6, "eth6", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 6, 2);
  assert_delivers("10.0.0.9", "239.1.1.1", 6);
  no_event(subscription);
  assert_closed(context);
}

static void a_port_of_a_bridge_leaves_the_default_set_and_comes_back(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "239.1.1.2", "eth0");
  set_interface(2, "eth0", UP_FLAGS | MCTX_INTERFACE_ENSLAVED);
  set_interface(4, "br0", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 4, 1);
  no_event(subscription);
  assert_int_equal(membership_at(subscription, "239.1.1.2", 2).flags, 0); /* who names it has it */
  assert_delivers("10.0.0.9", "239.1.1.1", 4);
  set_interface(2, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 2, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_delivers("10.0.0.9", "239.1.1.2", 2);
  assert_closed(context);
}

static void a_frozen_set_stays_as_it_is(void **state) {
  (void)state;
  context = open_context();
  mctx_subscription_options options = subscription_options();
  options.flags = MCTX_SUBSCRIPTION_FROZEN;
  subscription = subscribe_with(context, &options);
  join(subscription, "239.1.1.1", NULL);
  set_interface(5, "eth5", UP_FLAGS);
  no_event(subscription);
  assert_silent("10.0.0.9", "239.1.1.1", 5);
  assert_true(mctx_sim_interface_remove(2));
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  assert_int_equal(membership_at(subscription, "239.1.1.1", 0).flags,
                   MCTX_MEMBERSHIP_DEFAULT | MCTX_MEMBERSHIP_ABSENT);
  set_interface(2, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_REBUILT, 2, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_closed(context);
}

static void an_empty_default_set_is_success_with_an_event(void **state) {
  (void)state;
  assert_true(mctx_sim_interface_remove(2));
  assert_true(mctx_sim_interface_remove(3));
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  mctx_event event = next_event(subscription, MCTX_EVENT_NO_INTERFACE, 0);
  assert_address(&event.address, "239.1.1.1");
  assert_int_equal(memberships_of(subscription, NULL, 0), 0);
  uint32_t number;
  size_t length;
  /* a wait for ever has something to wait for */
  set_interface(4, "eth4", UP_FLAGS);
  arrive_later(MILLI, 6, "10.0.0.9", "239.1.1.1", 4);
  assert_ok(mctx_recv(subscription, &number, 4, 0, -1, &length, NULL, 0, NULL));
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 4, 1);
  assert_ok(leave(subscription, "239.1.1.1", NULL, NULL));
  assert_closed(context);
}

static void what_was_left_by_hand_stays_left(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "239.1.1.2", NULL);
  assert_ok(leave(subscription, "239.1.1.1", "eth0", NULL));
  assert_true(mctx_sim_interface_remove(2));
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  set_interface(9, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 9, 1);
  assert_silent("10.0.0.9", "239.1.1.1", 9);
  assert_delivers("10.0.0.9", "239.1.1.2", 9);
  assert_delivers("10.0.0.9", "239.1.1.1", 3);
  /* wanted again, it is joined there too */
  join(subscription, "239.1.1.1", NULL);
  assert_delivers("10.0.0.9", "239.1.1.1", 9);
  assert_ok(leave(subscription, "239.1.1.1", NULL, NULL));
  assert_silent("10.0.0.9", "239.1.1.1", 3);
  assert_closed(context);
}

static void a_leave_that_fails_makes_no_exception(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  const mctx_membership wishes[2] = {membership_of("239.1.1.1", "eth0"), membership_of("239.1.1.9", NULL)};
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_leave(subscription, wishes, sizeof wishes[0], 2, &error), MCTX_ERR_MEMBERSHIP_NOT_FOUND);
  assert_int_equal(error.item, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_true(mctx_sim_interface_remove(2));
  set_interface(2, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 2, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_closed(context);
}

/* ---- refusals ---- */

static void an_interface_that_refuses_is_told_and_seen_and_asked_again(void **state) {
  (void)state;
  assert_true(mctx_sim_interface_set(3, "eth1", UP_FLAGS, 1000));
  open_plain();
  const mctx_membership wishes[3] = {membership_of("ff15::1", NULL), membership_of("ff15::2", NULL),
                                     membership_of("239.1.1.1", NULL)};
  assert_ok(mctx_join(subscription, wishes, sizeof wishes[0], 3, NULL));
  mctx_event event = next_event(subscription, MCTX_EVENT_REFUSED, 3);
  assert_int_equal(event.value, 2);
  assert_address(&event.address, "ff15::1");
  no_event(subscription);
  mctx_membership_info info = membership_at(subscription, "ff15::2", 3);
  assert_int_equal(info.flags, MCTX_MEMBERSHIP_DEFAULT | MCTX_MEMBERSHIP_REFUSED);
  assert_int_equal(info.refusal, MCTX_ERR_UNSUPPORTED);
  assert_delivers("fd00::9", "ff15::2", 2);
  assert_delivers("10.0.1.9", "239.1.1.1", 3);
  /* a filter is changed there too, for when it is accepted */
  assert_ok(block(subscription, "ff15::2", NULL, "fd01::8", NULL));
  set_interface(3, "eth1", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 3, 2);
  assert_delivers("fd01::9", "ff15::2", 3);
  assert_silent("fd01::8", "ff15::2", 3);
  info = membership_at(subscription, "ff15::2", 3);
  assert_int_equal(info.flags, MCTX_MEMBERSHIP_DEFAULT);
  assert_int_equal(info.refusal, MCTX_OK);
  assert_closed(context);
}

static void an_interface_that_goes_on_refusing_stays_refused(void **state) {
  (void)state;
  open_plain();
  assert_true(mctx_sim_refuse(3, 6, MCTX_ERR_PERMISSION));
  join(subscription, "ff15::1", NULL);
  assert_event(MCTX_EVENT_REFUSED, 3, 1);
  for (uint32_t index = 20; index < 24; index++) {
    set_interface(index, "dull", MCTX_INTERFACE_UP); /* a change that concerns nobody */
    no_event(subscription);
    const mctx_membership_info info = membership_at(subscription, "ff15::1", 3);
    assert_int_equal(info.flags, MCTX_MEMBERSHIP_DEFAULT | MCTX_MEMBERSHIP_REFUSED);
    assert_int_equal(info.refusal, MCTX_ERR_PERMISSION);
    assert_silent("fd01::9", "ff15::1", 3);
    assert_true(mctx_sim_interface_remove(index));
  }
  assert_true(mctx_sim_refuse(3, 6, MCTX_OK));
  set_interface(3, "eth1", UP_FLAGS);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 3, 1);
  assert_delivers("fd01::9", "ff15::1", 3);
  assert_closed(context);
}

static void a_join_that_all_refuse_fails(void **state) {
  (void)state;
  open_plain();
  assert_true(mctx_sim_refuse(2, 6, MCTX_ERR_PERMISSION));
  assert_true(mctx_sim_refuse(3, 6, MCTX_ERR_UNSUPPORTED));
  const mctx_membership wish = membership_of("ff15::1", NULL);
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(try_join(subscription, &wish, &error), MCTX_ERR_PERMISSION);
  assert_int_equal(error.item, 0);
  assert_true(error.os_code != 0);
  assert_non_null(strstr(error.message, "eth0"));
  assert_non_null(strstr(error.hint, "reserved"));
  assert_int_equal(memberships_of(subscription, NULL, 0), 0);
  no_event(subscription);
  assert_true(mctx_sim_refuse(2, 6, MCTX_OK));
  assert_ok(try_join(subscription, &wish, &error));
  assert_event(MCTX_EVENT_REFUSED, 3, 1);
  assert_closed(context);
}

static void a_named_interface_that_refuses_fails_the_call(void **state) {
  (void)state;
  open_plain();
  assert_true(mctx_sim_refuse(3, 4, MCTX_ERR_PERMISSION));
  const mctx_membership wishes[3] = {membership_of("239.1.1.1", "eth0"), membership_of("239.1.1.2", NULL),
                                     membership_of("239.1.1.3", "eth1")};
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_join(subscription, wishes, sizeof wishes[0], 3, &error), MCTX_ERR_PERMISSION);
  assert_int_equal(error.item, 2);
  assert_non_null(strstr(error.message, "eth1"));
  assert_int_equal(memberships_of(subscription, NULL, 0), 0);
  assert_int_equal(mctx_sim_memberships(), 0);
  no_event(subscription);
  assert_closed(context);
}

/* An MTU below 1280 ends IPv6 on an interface, and its memberships in the system. */
static void an_mtu_that_shrinks_and_grows_brings_ipv6_back(void **state) {
  (void)state;
  open_plain();
  join(subscription, "ff15::1", NULL);
  join(subscription, "ff15::2", "eth0");
  join(subscription, "239.1.1.1", NULL);
  assert_true(mctx_sim_interface_set(2, "eth0", UP_FLAGS, 1000));
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_silent("fd00::9", "ff15::1", 2);
  set_interface(2, "eth0", UP_FLAGS);
  assert_nothing(subscription);
  assert_delivers("fd00::9", "ff15::1", 2);
  assert_delivers("fd00::9", "ff15::2", 2);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_closed(context);
}

/* Between two looks: a snapshot would not show it. */
static void an_mtu_that_was_too_small_for_a_moment_is_noticed(void **state) {
  (void)state;
  for (int bytes = 1000; bytes > 0; bytes -= 940) {
    const bool both = bytes < 68; /* the end of IPv4 too */
    open_plain();
    join(subscription, "ff15::1", NULL);
    join(subscription, "ff15::2", "eth0");
    join(subscription, "239.1.1.1", NULL);
    join(subscription, "239.1.1.2", "eth0");
    assert_true(mctx_sim_interface_set(2, "eth0", UP_FLAGS, (uint32_t)bytes));
    set_interface(2, "eth0", UP_FLAGS);
    assert_event(MCTX_EVENT_INTERFACE_LOST, 2, both ? 4 : 2);
    assert_event(MCTX_EVENT_REBUILT, 2, both ? 2 : 1);
    assert_event(MCTX_EVENT_INTERFACE_APPEARED, 2, both ? 2 : 1);
    no_event(subscription);
    assert_alive(6);
    assert_delivers("fd00::9", "ff15::1", 2);
    assert_delivers("fd00::9", "ff15::2", 2);
    assert_delivers("10.0.0.9", "239.1.1.1", 2);
    assert_delivers("10.0.0.9", "239.1.1.2", 2);
    assert_closed(context);
  }
}

static void an_mtu_that_is_too_small_for_ipv4_ends_it_until_it_grows(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "239.1.1.2", "eth0");
  assert_true(mctx_sim_interface_set(2, "eth0", UP_FLAGS, 67));
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  assert_event(MCTX_EVENT_REFUSED, 2, 1);
  assert_silent("10.0.0.9", "239.1.1.1", 2);
  set_interface(2, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_REBUILT, 2, 1);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 2, 1);
  no_event(subscription);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_delivers("10.0.0.9", "239.1.1.2", 2);
  assert_closed(context);
}

/* ---- events, and systems that do not tell ---- */

static void events_are_kept_up_to_a_bound_and_counted_beyond(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  for (int i = 0; i < 10; i++) {
    uint32_t number;
    assert_true(mctx_sim_interface_remove(2));
    (void)try_recv(subscription, &number);
    set_interface(2, "eth0", UP_FLAGS);
    (void)try_recv(subscription, &number);
  }
  assert_event(MCTX_EVENT_OVERFLOW, 0, 4);
  for (int i = 2; i < 10; i++) {
    assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
    assert_event(MCTX_EVENT_REBUILT, 2, 1);
  }
  no_event(subscription);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_int_equal(counter(subscription, "memberships_rebuilt"), 10);
  assert_closed(context);
}

static void a_context_hands_out_the_events_of_its_subscriptions(void **state) {
  (void)state;
  open_plain();
  mctx_subscription second = subscribe(context);
  join(subscription, "239.1.1.1", "eth0");
  join(second, "239.1.1.2", "eth0");
  join(second, "239.1.1.3", "eth1");
  assert_true(mctx_sim_interface_remove(2));
  assert_true(mctx_sim_interface_remove(3));
  mctx_event events[8];
  uint32_t count;
  assert_ok(mctx_events(context, events, sizeof events[0], 2, &count, NULL));
  assert_int_equal(count, 2);
  assert_int_equal(events[0].handle, subscription);
  assert_int_equal(events[0].type, MCTX_EVENT_INTERFACE_LOST);
  assert_int_equal(events[1].handle, second);
  assert_ok(mctx_events(context, events, sizeof events[0], 8, &count, NULL));
  assert_int_equal(count, 1);
  assert_int_equal(events[0].handle, second);
  assert_int_equal(events[0].value, 1);
  no_event(context);
  /* those of the opening know their subscription too */
  const mctx_membership sourceless = membership_of("232.1.1.1", NULL);
  mctx_subscription_options options = subscription_options();
  options.memberships = &sourceless;
  options.membership_count = 1;
  options.membership_stride = sizeof sourceless;
  mctx_subscription third = subscribe_with(context, &options);
  assert_ok(mctx_events(context, events, sizeof events[0], 8, &count, NULL));
  assert_int_equal(count, 2);
  for (uint32_t i = 0; i < 2; i++)
    assert_int_equal(events[i].handle, third);
  assert_int_equal(events[0].type, MCTX_EVENT_NO_INTERFACE);
  assert_int_equal(events[1].type, MCTX_EVENT_SOURCELESS);
  assert_closed(context);
}

/* What is where it was is joined anew. */
static void a_watch_that_overflows_still_tells_that_something_changed(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  join(subscription, "239.1.1.2", NULL);
  assert_true(mctx_sim_interface_remove(2));
  set_interface(9, "eth0", UP_FLAGS);
  mctx_sim_watch_overflow();
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  assert_event(MCTX_EVENT_INTERFACE_LOST, 3, 1);
  assert_event(MCTX_EVENT_REBUILT, 3, 1);
  assert_event(MCTX_EVENT_REBUILT, 9, 1);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 9, 1);
  assert_delivers("10.0.0.9", "239.1.1.1", 9);
  assert_delivers("10.0.0.9", "239.1.1.2", 9);
  assert_closed(context);
}

static void a_change_makes_the_handle_readable_until_it_is_followed(void **state) {
  (void)state;
  open_plain();
  mctx_os_handle native;
  uint32_t ready;
  uint32_t number;
  join(subscription, "239.1.1.1", NULL);
  assert_ok(mctx_pollable(subscription, &native, NULL));
  for (int i = 0; i < 3; i++) {
    assert_int_equal(mctx_sim_ready(&native), 0);
    set_interface(20, "eth20", UP_FLAGS);
    assert_int_equal(mctx_sim_ready(&native), MCTX_READABLE);
    if (i == 1) { /* it cannot be followed at once */
      assert_true(mctx_sim_fault(MCTX_SIM_INTERFACES, 1, MCTX_SIM_FAIL, MCTX_ERR_TOO_MANY_DESCRIPTORS));
      (void)try_recv(subscription, &number);
      assert_int_equal(mctx_sim_ready(&native), MCTX_READABLE);
    }
    if (i == 2) assert_ok(mctx_wait(subscription, MCTX_READABLE, 0, -1, &ready, NULL));
    for (int k = 0; k < 2; k++)
      assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK);
    assert_int_equal(mctx_sim_ready(&native), 0);
    assert_delivers("10.0.0.9", "239.1.1.1", 20);
    assert_event(MCTX_EVENT_INTERFACE_APPEARED, 20, 1);
    assert_true(mctx_sim_interface_remove(20));
    assert_event(MCTX_EVENT_INTERFACE_LOST, 20, 1);
    no_event(subscription);
  }
  assert_closed(context);
}

static void without_a_watch_a_subscription_is_blind_and_says_so(void **state) {
  (void)state;
  mctx_sim_capability_set(MCTX_CAPABILITY_INTERFACE_CHANGES, MCTX_CAPABILITY_ABSENT);
  open_plain();
  assert_int_equal(subscription_info(subscription).flags, MCTX_SUBSCRIPTION_BLIND);
  join(subscription, "239.1.1.1", NULL);
  set_interface(5, "eth5", UP_FLAGS);
  no_event(subscription);
  assert_silent("10.0.0.9", "239.1.1.1", 5);
  assert_delivers("10.0.0.9", "239.1.1.1", 2);
  assert_closed(context);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(a_named_interface_that_goes_is_absent_and_rebuilt_when_it_is_there_again),
      fixture_test(an_interface_that_was_made_anew_meanwhile_is_joined_anew),
      fixture_test(a_blocked_receive_follows_and_goes_on),
      fixture_test(a_blocked_receive_makes_up_for_a_shortage),
      fixture_test(an_index_and_an_address_are_followed_as_they_were_said),
      fixture_test(an_address_that_moves_takes_its_memberships_along),
      fixture_test(a_renamed_interface_stays_until_its_old_name_means_another),
      fixture_test(two_names_of_an_interface_are_each_enough),
      fixture_test(an_absent_membership_can_be_changed_and_left),
      fixture_test(the_filters_of_what_is_rebuilt_are_as_they_were),
      fixture_test(down_and_up_changes_nothing),
      fixture_test(a_group_can_be_joined_before_the_link_comes_up),
      fixture_test(the_default_set_is_followed),
      fixture_test(a_port_of_a_bridge_leaves_the_default_set_and_comes_back),
      fixture_test(a_frozen_set_stays_as_it_is),
      fixture_test(an_empty_default_set_is_success_with_an_event),
      fixture_test(what_was_left_by_hand_stays_left),
      fixture_test(a_leave_that_fails_makes_no_exception),
      fixture_test(an_interface_that_refuses_is_told_and_seen_and_asked_again),
      fixture_test(an_interface_that_goes_on_refusing_stays_refused),
      fixture_test(a_join_that_all_refuse_fails),
      fixture_test(a_named_interface_that_refuses_fails_the_call),
      fixture_test(an_mtu_that_shrinks_and_grows_brings_ipv6_back),
      fixture_test(an_mtu_that_was_too_small_for_a_moment_is_noticed),
      fixture_test(an_mtu_that_is_too_small_for_ipv4_ends_it_until_it_grows),
      fixture_test(events_are_kept_up_to_a_bound_and_counted_beyond),
      fixture_test(a_context_hands_out_the_events_of_its_subscriptions),
      fixture_test(a_watch_that_overflows_still_tells_that_something_changed),
      fixture_test(a_change_makes_the_handle_readable_until_it_is_followed),
      fixture_test(without_a_watch_a_subscription_is_blind_and_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

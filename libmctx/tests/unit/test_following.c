/* SPDX-License-Identifier: MIT */
/* Interfaces that go, come, are renamed, get other addresses, or change hands: what is joined, delivered and
 * told. */
#include <stdio.h>
#include <stdlib.h>

#include "sim_receive.h"

static mctx_context context;
static mctx_subscription subscription;

static void open_plain(void) {
  context = open_context();
  subscription = subscribe(context);
}

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

static void set_interface(uint32_t index, const char *name, uint32_t flags) {
  assert_true(mctx_sim_interface_set(index, name, flags, 1500));
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

static void assert_alive(uint64_t expected) {
  mctx_sim_membership one;
  uint64_t count = 0;
  for (; mctx_sim_membership_at(count, &one); count++)
    assert_int_equal(one.alive, 1);
  assert_int_equal(count, expected);
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

static void a_watch_that_overflows_still_tells_that_something_changed(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  join(subscription, "239.1.1.2", NULL);
  assert_true(mctx_sim_interface_remove(2));
  set_interface(9, "eth0", UP_FLAGS);
  mctx_sim_watch_overflow();
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
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

/* ---- every sequence ---- */

enum { CHANGES = 11 };

/* What eth0 is now, and was at first. */
typedef struct card {
  uint32_t index; /* 0: not there */
  uint32_t last_index;
  uint32_t fresh_index; /* that nothing had */
  const char *name;
  uint32_t flags;
  uint32_t mtu;
  bool has_address;
} card;

static void put(const card *one) {
  if (one->index != 0) assert_true(mctx_sim_interface_set(one->index, one->name, one->flags, one->mtu));
}

static void give_address(card *one, bool wanted) {
  const mctx_address address = address_of("10.0.0.1/24");
  if (one->index == 0 || one->has_address == wanted) return;
  one->has_address = wanted;
  assert_true(wanted ? mctx_sim_address_add(one->index, &address)
                     : mctx_sim_address_remove(one->index, &address));
}

static void take_away(card *one) {
  if (one->index == 0) return;
  assert_true(mctx_sim_interface_remove(one->index));
  one->index = 0;
  one->has_address = false;
}

static void change_card(card *one, uint32_t change) {
  switch (change) {
    case 0:
      take_away(one);
      break;
    case 1: /* made anew under another index */
    case 2: /* under the same */
      take_away(one);
      one->index = change == 1 ? one->fresh_index++ : one->last_index;
      one->last_index = one->index;
      break;
    case 3:
      one->name = "lan0";
      break;
    case 4:
      one->name = "eth0";
      break;
    case 5:
      give_address(one, false);
      break;
    case 6:
      give_address(one, true);
      break;
    case 7:
      one->flags ^= MCTX_INTERFACE_UP;
      break;
    case 8:
      one->flags ^= MCTX_INTERFACE_ENSLAVED;
      break;
    case 9:
      one->mtu = 1000;
      break;
    default:
      one->mtu = 1500;
  }
  put(one);
}

static void discard_events(void) {
  mctx_event events[16];
  uint32_t count;
  do {
    assert_ok(mctx_events(subscription, events, sizeof events[0], 16, &count, NULL));
  } while (count > 0);
}

static void join_in_all_ways(void) {
  mctx_membership wishes[6] = {membership_of("239.1.1.1", "eth0"), membership_of("ff15::1", "eth0"),
                               membership_of("239.1.1.2", NULL),   membership_of("ff15::2", NULL),
                               membership_of("239.1.1.3", NULL),   membership_of("ff15::3", NULL)};
  for (int i = 4; i < 6; i++)
    wishes[i].ingress =
        (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of("10.0.0.1")};
  assert_ok(mctx_join(subscription, wishes, sizeof wishes[0], 6, NULL));
}

/* Whatever happened: when the interface is what it was, all of it is received there again, once. */
static void run_sequence(const uint32_t *changes, int count, bool looks_often) {
  static const char *const groups[] = {"239.1.1.1", "ff15::1", "239.1.1.2", "ff15::2", "239.1.1.3", "ff15::3"};
  card one = {2, 2, 10, "eth0", UP_FLAGS, 1500, true};
  mctx_sim_reset();
  mctx_subscription_options options = subscription_options();
  if (changes[0] % 2 == 0) options.binding = MCTX_BINDING_WILDCARD;
  context = open_context();
  subscription = subscribe_with(context, &options);
  join_in_all_ways();
  for (int i = 0; i < count; i++) {
    change_card(&one, changes[i]);
    /* that an MTU was small for a moment shows only while it is */
    if (looks_often || changes[i] == 9) discard_events();
  }
  if (one.index == 0) change_card(&one, 1);
  one.name = "eth0";
  one.flags = UP_FLAGS;
  one.mtu = 1500;
  put(&one);
  give_address(&one, true);
  discard_events();
  for (uint32_t i = 0; i < 6; i++) {
    uint32_t number = UINT32_MAX;
    (void)arrive(i, i % 2 == 0 ? "10.0.0.9" : "fd00::9", groups[i], one.index);
    const mctx_status status = try_recv(subscription, &number);
    if (status != MCTX_OK || number != i)
      fail_msg("%s is %s after %u %u %u %u (%d), looking %s", groups[i], mctx_status_name(status), changes[0],
               changes[1], changes[2], count > 3 ? changes[3] : 0, count, looks_often ? "often" : "at last");
    assert_nothing(subscription);
  }
  assert_alive(8);
  assert_closed(context);
}

static void every_sequence_of_changes_ends_well(void **state) {
  (void)state;
  for (uint32_t i = 0; i < CHANGES * CHANGES * CHANGES; i++) {
    const uint32_t changes[] = {i % CHANGES, i / CHANGES % CHANGES, i / CHANGES / CHANGES};
    run_sequence(changes, 3, true);
    run_sequence(changes, 3, false);
  }
}

/* ---- any order ---- */

enum { HOSTS = 4, NAMED = 3, STEPS = 40 };

static uint64_t chance_state;

static uint32_t chance(uint32_t below) {
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 7;
  chance_state ^= chance_state << 17;
  return (uint32_t)((chance_state >> 20) % below);
}

typedef struct host_interface {
  uint32_t index; /* 0: not there */
  uint32_t flags;
} host_interface;

static const char *const host_names[HOSTS] = {"eth0", "eth1", "eth2", "eth3"};

/* Returns whether an index was used again: then only what a watch tells of the removal says that it is another
 * one. */
static bool change_one(host_interface *hosts, uint32_t *last_index) {
  const uint32_t which = chance(HOSTS);
  host_interface *one = &hosts[which];
  const uint32_t what = chance(4);
  bool is_reused = false;
  if (one->index == 0 || what == 0) {
    if (one->index != 0) assert_true(mctx_sim_interface_remove(one->index));
    const uint32_t before = one->index;
    one->index = 0;
    if (before == 0 || chance(3) == 0) {
      one->index = before != 0 && chance(2) == 0 ? before : ++*last_index;
      one->flags = chance(4) == 0 ? MCTX_INTERFACE_MULTICAST : UP_FLAGS;
      is_reused = one->index == before;
    }
  } else if (what == 1) {
    one->flags ^= MCTX_INTERFACE_UP;
  } else if (what == 2) {
    one->flags ^= MCTX_INTERFACE_ENSLAVED;
  }
  if (one->index != 0) set_interface(one->index, host_names[which], one->flags);
  return is_reused;
}

static int64_t take_events(void) {
  mctx_event events[16];
  uint32_t count;
  int64_t balance = 0;
  do {
    assert_ok(mctx_events(subscription, events, sizeof events[0], 16, &count, NULL));
    for (uint32_t i = 0; i < count; i++) {
      const int64_t value = (int64_t)events[i].value;
      if (events[i].type == MCTX_EVENT_INTERFACE_LOST) balance -= value;
      if (events[i].type == MCTX_EVENT_INTERFACE_APPEARED || events[i].type == MCTX_EVENT_REBUILT)
        balance += value;
      assert_int_not_equal(events[i].type, MCTX_EVENT_OVERFLOW);
    }
  } while (count > 0);
  return balance;
}

/* What is up, and nobody's port, delivers what is joined there; once. */
static void check_all(const host_interface *hosts, uint64_t seed, int step) {
  uint32_t number;
  for (uint32_t i = 0; i < HOSTS; i++) {
    const bool hears = hosts[i].index != 0 && (hosts[i].flags & MCTX_INTERFACE_UP) != 0 &&
                       (hosts[i].flags & MCTX_INTERFACE_ENSLAVED) == 0;
    for (uint32_t group = 0; group < 4; group++) { /* 0, 1: everywhere; 2, 3: named */
      static const char *const groups[] = {"239.1.1.1", "ff15::1", "239.1.1.2", "ff12::2"};
      if (!hears) continue;
      (void)arrive(100 + group, group % 2 == 0 ? "10.0.0.9" : "fd00::9", groups[group], hosts[i].index);
      mctx_status status = try_recv(subscription, &number);
      const bool expected = group < 2 || i < NAMED;
      if ((status == MCTX_OK) != expected)
        fail_msg("SEED=%llu, step %d: %s on %s (%u) is %s", (unsigned long long)seed, step, groups[group],
                 host_names[i], hosts[i].index, mctx_status_name(status));
      assert_nothing(subscription);
    }
  }
}

static void check_balance(int64_t expected, uint64_t seed, int step) {
  mctx_membership_info infos[32];
  int64_t here = 0;
  uint64_t in_system = 0;
  const uint32_t count = memberships_of(subscription, infos, 32);
  for (uint32_t i = 0; i < count; i++)
    here += infos[i].interface_index != 0;
  mctx_sim_membership one;
  for (; mctx_sim_membership_at(in_system, &one); in_system++)
    if (one.alive == 0) fail_msg("SEED=%llu, step %d: a dead membership stays", (unsigned long long)seed, step);
  if (here != expected || in_system != (uint64_t)here)
    fail_msg("SEED=%llu, step %d: %d memberships, %d in the system, %d by the events", (unsigned long long)seed,
             step, (int)here, (int)in_system, (int)expected);
}

static void run_any_order(uint64_t seed) {
  host_interface hosts[HOSTS] = {{2, UP_FLAGS}, {3, UP_FLAGS}, {4, UP_FLAGS}, {0, 0}};
  uint32_t last_index = 10;
  chance_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  mctx_sim_reset();
  set_interface(4, "eth2", UP_FLAGS);
  context = open_context();
  mctx_subscription_options options = subscription_options();
  options.binding = chance(2) == 0 ? MCTX_BINDING_AUTO : MCTX_BINDING_WILDCARD;
  if (chance(4) == 0) mctx_sim_capability_set(MCTX_CAPABILITY_BIND_DEVICE, MCTX_CAPABILITY_ABSENT);
  subscription = subscribe_with(context, &options);
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "ff15::1", NULL);
  for (uint32_t i = 0; i < NAMED; i++) {
    join(subscription, "239.1.1.2", host_names[i]);
    join(subscription, "ff12::2", host_names[i]);
  }
  int64_t balance = 12;
  for (int step = 0; step < STEPS; step++) {
    uint32_t number;
    bool is_reused = false;
    for (uint32_t changes = 1 + chance(4); changes > 0; changes--)
      is_reused = change_one(hosts, &last_index) || is_reused;
    if (!is_reused && chance(3) == 0) mctx_sim_watch_overflow();
    if (chance(2) == 0) (void)try_recv(subscription, &number);
    balance += take_events();
    check_balance(balance, seed, step);
    check_all(hosts, seed, step);
  }
  assert_closed(context);
  assert_holdings(fixture_before);
}

static void long_sequences_of_changes_end_well(void **state) {
  (void)state;
  uint32_t changes[12];
  chance_state = 4711;
  for (int round = 0; round < 2000; round++) {
    for (int i = 0; i < 12; i++)
      changes[i] = chance(CHANGES);
    run_sequence(changes, 12, round % 2 == 0);
  }
}

static void every_order_of_changes_ends_in_what_the_interfaces_are(void **state) {
  (void)state;
  const char *one = getenv("SEED");
  const char *many = getenv("SEEDS");
  const uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
  const uint64_t last = one != NULL ? first : many != NULL ? strtoull(many, NULL, 10) : 200;
  for (uint64_t seed = first; seed <= last; seed++)
    run_any_order(seed);
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
      fixture_test(events_are_kept_up_to_a_bound_and_counted_beyond),
      fixture_test(a_context_hands_out_the_events_of_its_subscriptions),
      fixture_test(a_watch_that_overflows_still_tells_that_something_changed),
      fixture_test(a_change_makes_the_handle_readable_until_it_is_followed),
      fixture_test(without_a_watch_a_subscription_is_blind_and_says_so),
      fixture_test(every_sequence_of_changes_ends_well),
      fixture_test(long_sequences_of_changes_end_well),
      fixture_test(every_order_of_changes_ends_in_what_the_interfaces_are),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

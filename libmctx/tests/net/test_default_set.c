/* SPDX-License-Identifier: MIT */
/* The default set of interfaces, where groups that name none are joined: which interfaces are in it, and how it
 * follows the host: appearing, going away, coming up, getting enslaved; and that a frozen one does not. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/listener.h"
#include "host/subscription.h"

enum { MOST = 160 };

static mctx_membership_info infos[MOST];

static uint32_t memberships(mctx_subscription subscription) {
  uint32_t count;
  assert_ok(mctx_memberships(subscription, infos, sizeof infos[0], MOST, &count, NULL));
  assert_in_range(count, 0, MOST);
  return count;
}

static const mctx_membership_info *membership_on(mctx_subscription subscription, const char *interface) {
  uint32_t count = memberships(subscription);
  uint32_t index = host_index(interface);
  for (uint32_t i = 0; i < count; i++)
    if (infos[i].interface_index == index) return &infos[i];
  return NULL;
}

/* Joined, by the library's word and the kernel's, because it is in the default set. */
static void assert_member(mctx_subscription subscription, const mctx_address *group, const char *interface) {
  static kernel_tables tables;
  const mctx_membership_info *found = membership_on(subscription, interface);
  if (found == NULL) fail_msg("%s is not in the default set", interface);
  assert_int_equal(found->flags, MCTX_MEMBERSHIP_DEFAULT);
  kernel_tables_read(&tables);
  assert_non_null(kernel_group_find(&tables, host_index(interface), group));
}

static void assert_no_member(mctx_subscription subscription, const mctx_address *group, const char *interface) {
  static kernel_tables tables;
  if (membership_on(subscription, interface) != NULL) fail_msg("%s is in the default set", interface);
  kernel_tables_read(&tables);
  assert_null(kernel_group_find(&tables, host_index(interface), group));
}

static mctx_subscription subscribe_to_set(mctx_context context, const mctx_address *group, uint32_t flags) {
  mctx_subscription_options options = subscription_options();
  mctx_membership member = member_of(group, NULL);
  options.flags = flags;
  options.memberships = &member;
  options.membership_count = 1;
  return subscribe_with(context, &options);
}

static void assert_event(mctx_subscription subscription, uint32_t type, uint32_t interface_index,
                         uint64_t value) {
  mctx_event event = await_event(subscription, type);
  assert_int_equal(event.interface_index, interface_index);
  assert_int_equal(event.value, value);
}

/* ---- what is in it ---- */

static void it_has_what_is_up_and_multicast_capable(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  host_cable("wa", "wb", 10);
  host_cable("xa", "xb", 11);
  host_run("ip link set xa down");
  host_run("ip link add ba type bridge && ip link set ba up && ip link set wa master ba");
  host_cable("ya", "yb", 13);
  host_run("ip link set ya multicast off");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, 0);
  assert_member(subscription, &group, "va");
  assert_member(subscription, &group, "ba");
  static const char *const others[] = {"lo", "wa", "xa", "ya"};
  for (size_t i = 0; i < 4; i++)
    assert_no_member(subscription, &group, others[i]);
  assert_int_equal(memberships(subscription), 2);
  assert_ok(mctx_close(context, NULL));
}

/* lo when it is named, and only then. */
static void lo_must_be_named(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  host_run("ip -6 route add local ff00::/8 dev lo table local");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_interface_ref interfaces[] = {interface_named("va"), interface_named("lo")};
  mctx_subscription_options options = subscription_options();
  options.interfaces = interfaces;
  options.interface_count = 2;
  mctx_subscription subscription = subscribe_with(context, &options);
  join_group(subscription, &group, NULL);
  assert_int_equal(memberships(subscription), 2);
  say(NULL, "lo", &group, "by lo");
  assert_takes(subscription, "by lo");
  say_there(NULL, "vb", &group, "by va");
  assert_takes(subscription, "by va");
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
}

static void what_arrives_at_a_port_arrives_at_its_bridge(void **state) {
  static taken got;
  uint32_t family = host_family(state);
  host_pair();
  host_cable("wa", "wb", 10);
  host_run("ip link add ba type bridge mcast_snooping 0 && ip link set ba up && ip link set wa master ba");
  host_await_link("ba");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, 0);
  bool heard = false;
  for (int i = 0; i < 300 && !heard; i++) { /* a port forwards nothing at first */
    say_there(NULL, "wb", &group, "bridged");
    heard = take_next(subscription, &got, 10);
  }
  assert_true(heard);
  assert_int_equal(got.message.interface_index, host_index("ba"));
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
}

static void an_empty_set_is_no_failure(void **state) {
  uint32_t family = host_family(state);
  happenings seen = {0};
  host_pair();
  host_run("ip link set va down");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, 0);
  assert_int_equal(memberships(subscription), 0);
  take_events(subscription, &seen);
  const mctx_event *event = event_of(&seen, MCTX_EVENT_NO_INTERFACE);
  assert_non_null(event);
  assert_true(is_same_host(&event->address, &group));
  assert_takes_nothing(subscription);
  host_run("ip link set va up");
  host_await_link("va");
  assert_event(subscription, MCTX_EVENT_INTERFACE_APPEARED, host_index("va"), 1);
  assert_member(subscription, &group, "va");
  say_there(NULL, "vb", &group, "up");
  assert_takes(subscription, "up");
  assert_ok(mctx_close(context, NULL));
}

/* Its MTU is too small for IPv6 (RFC 8200): the others are joined, and the refusal is told. */
static void an_interface_may_refuse(void **state) {
  happenings seen = {0};
  uint32_t family = host_family(state);
  host_pair();
  host_cable("wa", "wb", 10);
  host_run("ip link set wa mtu 1200");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address second = group_at(family, 2);
  mctx_membership members[2] = {member_of(&group, NULL), member_of(&second, NULL)};
  mctx_subscription_options options = subscription_options();
  options.memberships = members;
  options.membership_count = 2;
  mctx_subscription subscription = subscribe_with(context, &options);
  assert_member(subscription, &group, "va");
  const mctx_membership_info *refused = membership_on(subscription, "wa");
  assert_non_null(refused);
  take_events(subscription, &seen);
  if (family == 4) {
    assert_int_equal(refused->flags, MCTX_MEMBERSHIP_DEFAULT);
    assert_int_equal(seen.count, 0);
  } else {
    assert_int_equal(refused->flags, MCTX_MEMBERSHIP_DEFAULT | MCTX_MEMBERSHIP_REFUSED);
    assert_int_not_equal(refused->refusal, MCTX_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.events[0].type, MCTX_EVENT_REFUSED);
    assert_int_equal(seen.events[0].interface_index, host_index("wa"));
    assert_int_equal(seen.events[0].value, 2);
    assert_true(is_same_host(&seen.events[0].address, &group));
  }
  say_there(NULL, "vb", &group, "accepted");
  assert_takes(subscription, "accepted");
  assert_ok(mctx_close(context, NULL));
}

/* None accepts, one was tried: that is a failure, and nothing is left. */
static void a_set_that_refuses_altogether_is_a_failure(void **state) {
  (void)host_family(state);
  mctx_subscription subscription;
  mctx_error error = MCTX_ERROR_INIT;
  host_pair();
  host_run("ip link set va mtu 1200");
  mctx_context context = open_context();
  mctx_address group = group_at(6, 1);
  mctx_membership member = member_of(&group, NULL);
  mctx_subscription_options options = subscription_options();
  options.memberships = &member;
  options.membership_count = 1;
  uint32_t held = descriptors_held();
  assert_int_not_equal(mctx_subscription_open(context, &options, &subscription, &error), MCTX_OK);
  assert_int_equal(subscription, 0);
  assert_int_equal(error.item, 0);
  assert_string_not_equal(error.hint, "");
  assert_int_equal(descriptors_held(), held);
  assert_ok(mctx_close(context, NULL));
}

static void a_hundred_interfaces(void **state) {
  enum { COUNT = 100 };
  uint32_t family = host_family(state);
  host_pair();
  host_bare_cables(COUNT);
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, 0);
  assert_int_equal(memberships(subscription), COUNT + 1);
  mctx_subscription_info info = subscription_info(subscription);
  print_message("figures: IPv%u on %d interfaces: %u sockets bound to the group, %u wildcard\n", family,
                COUNT + 1, info.group_sockets, info.wildcard_sockets);
  for (int i = 0; i < COUNT; i++) {
    static taken got;
    char own[16];
    char peer[16];
    snprintf(own, sizeof own, "na%d", i);
    snprintf(peer, sizeof peer, "nb%d", i);
    say_there(NULL, peer, &group, own);
    assert_true(take_next(subscription, &got, PATIENCE_MS));
    assert_int_equal(got.message.interface_index, host_index(own));
    assert_memory_equal(got.data, own, got.length);
  }
  assert_takes_nothing(subscription);
  assert_int_equal(counter_of(subscription, "discarded_copy"), 0);
  assert_ok(mctx_close(context, NULL));
}

/* ---- how it follows ---- */

static void it_follows_the_host(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address groups[2] = {group_at(family, 1), group_at(family, 2)};
  mctx_subscription subscription = subscribe_to_set(context, &groups[0], 0);
  join_group(subscription, &groups[1], NULL);
  listener *ears = listener_start(subscription);
  for (int round = 0; round < 2; round++) {
    host_cable("wa", "wb", 10);
    int sender = sender_there(family, NULL, "wb");
    listener_await(ears, sender, &groups[0], "appeared");
    close(sender);
    uint32_t index = host_index("wa");
    assert_event(subscription, MCTX_EVENT_INTERFACE_APPEARED, index, 2);
    assert_member(subscription, &groups[1], "wa");
    host_run("ip link delete wa");
    assert_event(subscription, MCTX_EVENT_INTERFACE_LOST, index, 2);
    assert_int_equal(memberships(subscription), 2);
  }
  int sender = sender_there(family, NULL, "vb");
  listener_await(ears, sender, &groups[1], "the other");
  close(sender);
  listener_stop(ears);
  assert_ok(mctx_close(context, NULL));
}

/* More happens than is looked at one by one, and than one socket may join: what counts is how it ends. */
static void it_follows_a_storm(void **state) {
  enum { COUNT = 40 };
  static kernel_tables tables;
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, 0);
  assert_takes_nothing(subscription);
  uint32_t held = descriptors_held();
  for (int round = 0; round < 2; round++) {
    host_bare_cables(COUNT);
    if (round == 0) assert_takes_nothing(subscription); /* looked at, or not */
    host_run("for i in $(seq 0 %d); do ip link delete na$i || exit; done", COUNT - 1);
  }
  assert_takes_nothing(subscription);
  assert_int_equal(memberships(subscription), 1);
  assert_int_equal(descriptors_held(), held);
  host_bare_cables(COUNT);
  assert_takes_nothing(subscription);
  assert_int_equal(memberships(subscription), COUNT + 1);
  kernel_tables_read(&tables);
  assert_int_equal(tables.group_count, COUNT + 1);
  say_there(NULL, "nb39", &group, "the last");
  assert_takes(subscription, "the last");
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
}

/* More often than a socket may join: what is dead does not count any more. */
static void one_may_be_made_anew_many_times(void **state) {
  enum { TIMES = 30 };
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe(context, &group, "va");
  assert_takes_nothing(subscription);
  uint32_t held = descriptors_held();
  host_cable("wa", "wb", 10);
  join_group(subscription, &group, "wa");
  for (int i = 0; i < TIMES; i++) {
    host_run("ip link delete wa");
    host_cable("wa", "wb", 10);
    assert_event(subscription, MCTX_EVENT_REBUILT, host_index("wa"), 1);
    say_there(NULL, "wb", &group, "anew");
    assert_takes(subscription, "anew");
  }
  say_there(NULL, "vb", &group, "the other");
  assert_takes(subscription, "the other");
  leave_group(subscription, &group, "wa");
  assert_int_equal(descriptors_held(), held);
  assert_ok(mctx_close(context, NULL));
}

/* What cannot be joined now is joined when it can be, and ends nothing. */
static void it_may_be_short_of_descriptors(void **state) {
  static taken got;
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, 0);
  assert_takes_nothing(subscription);
  uint64_t before = limit_descriptors(descriptors_held() - 1); /* the folder itself was one */
  host_cable("wa", "wb", 10);
  bool failed = false;
  for (int i = 0; i < 5; i++) {
    size_t length;
    mctx_status status =
        mctx_recv(subscription, got.data, sizeof got.data, 0, 10 * MILLI, &length, NULL, 0, NULL);
    failed = failed || status != MCTX_ERR_TIMEOUT;
  }
  limit_descriptors(before);
  assert_false(failed);
  say_there(NULL, "vb", &group, "goes on");
  assert_takes(subscription, "goes on");
  host_run("ip link set wa mtu 1400"); /* a change, for those that wait for one */
  bool heard = false;
  for (int i = 0; i < 300 && !heard; i++) {
    say_there(NULL, "wb", &group, "later");
    heard = take_next(subscription, &got, 10);
  }
  assert_true(heard);
  assert_member(subscription, &group, "wa");
  assert_ok(mctx_close(context, NULL));
}

/* It leaves the set as a port, and its bridge is in it; freed, it is back. */
static void it_follows_enslaving(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  host_cable("wa", "wb", 10);
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, 0);
  listener *ears = listener_start(subscription);
  assert_member(subscription, &group, "wa");
  uint32_t index = host_index("wa");
  host_run("ip link add ba type bridge mcast_snooping 0 && ip link set ba up");
  assert_event(subscription, MCTX_EVENT_INTERFACE_APPEARED, host_index("ba"), 1);
  host_run("ip link set wa master ba");
  assert_event(subscription, MCTX_EVENT_INTERFACE_LOST, index, 1);
  assert_no_member(subscription, &group, "wa");
  int sender = sender_there(family, NULL, "wb");
  listener_await(ears, sender, &group, "through the bridge");
  host_run("ip link set wa nomaster");
  assert_event(subscription, MCTX_EVENT_INTERFACE_APPEARED, index, 1);
  listener_await(ears, sender, &group, "freed");
  close(sender);
  listener_stop(ears);
  assert_ok(mctx_close(context, NULL));
}

static void a_frozen_one_stays_as_it_was(void **state) {
  happenings seen = {0};
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe_to_set(context, &group, MCTX_SUBSCRIPTION_FROZEN);
  assert_int_equal(subscription_info(subscription).flags, MCTX_SUBSCRIPTION_FROZEN);
  host_cable("wa", "wb", 10);
  say_there(NULL, "wb", &group, "late");
  assert_takes_nothing(subscription);
  assert_no_member(subscription, &group, "wa");
  take_events(subscription, &seen);
  assert_null(event_of(&seen, MCTX_EVENT_INTERFACE_APPEARED));
  say_there(NULL, "vb", &group, "as before");
  assert_takes(subscription, "as before");
  host_run("ip link delete va && ip link delete wa");
  host_plug();
  bool heard = false;
  for (int i = 0; i < 100 && !heard; i++) { /* one of the set that was made anew is of the set still */
    static taken got;
    say_there(NULL, "vb", &group, "anew");
    heard = take_next(subscription, &got, 10);
  }
  assert_true(heard);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(it_has_what_is_up_and_multicast_capable),
      BOTH_FAMILIES(lo_must_be_named),
      BOTH_FAMILIES(what_arrives_at_a_port_arrives_at_its_bridge),
      BOTH_FAMILIES(an_empty_set_is_no_failure),
      BOTH_FAMILIES(an_interface_may_refuse),
      {"a_set_that_refuses_altogether_is_a_failure", a_set_that_refuses_altogether_is_a_failure, NULL, NULL,
       (void *)(uintptr_t)&host_families[1]},
      BOTH_FAMILIES(a_hundred_interfaces),
      BOTH_FAMILIES(it_follows_the_host),
      BOTH_FAMILIES(it_follows_enslaving),
      BOTH_FAMILIES(it_follows_a_storm),
      BOTH_FAMILIES(one_may_be_made_anew_many_times),
      BOTH_FAMILIES(it_may_be_short_of_descriptors),
      BOTH_FAMILIES(a_frozen_one_stays_as_it_was),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

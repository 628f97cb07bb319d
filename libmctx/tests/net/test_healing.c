/* SPDX-License-Identifier: MIT */
/* Named interfaces that go away and come back under an open subscription: it never ends, events say what
 * happened, and traffic resumes by itself. With nobody inside, with a receiver blocked in another thread, and
 * with that one flooded on another interface meanwhile. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/listener.h"
#include "host/model.h"

typedef enum inside { NOBODY, BLOCKED, FLOODED, INSIDES } inside;

static const char *const inside_names[] = {"nobody inside", "a blocked receiver", "a flooded receiver"};

typedef struct row {
  uint32_t family;
  inside who;
} row;

/* ---- the scene ---- */

typedef struct scene {
  uint32_t family;
  inside who;
  mctx_context context;
  mctx_subscription subscription;
  mctx_address group;
  mctx_address flood;
  listener *ears;
  pthread_t flooder;
} scene;

static _Atomic bool enough;

/* On an interface that stays. */
static void *keep_flooding(void *argument) {
  const scene *own = argument;
  int sender = sender_open(own->family, NULL, "wa"); /* heard here by its loop */
  while (!enough) {
    for (int i = 0; i < 20; i++)
      send_text(sender, &own->flood, "flood");
    usleep(2000);
  }
  close(sender);
  return NULL;
}

/* Two groups on va, by the name or by the address; one on wa for the flood. */
static void set_scene(scene *own, const row *wanted, const mctx_interface_ref *ingress) {
  const uint32_t *family = &wanted->family;
  *own = (scene){.family = host_family((void *)&family), .who = wanted->who};
  host_pair();
  host_cable("wa", "wb", 10);
  own->context = open_context();
  mctx_subscription_options options = subscription_options();
  own->subscription = subscribe_with(own->context, &options);
  own->group = group_at(own->family, 1);
  own->flood = group_at(own->family, 9);
  for (uint32_t i = 1; i <= 2; i++) {
    mctx_address group = group_at(own->family, i);
    mctx_membership member = member_of(&group, "va");
    if (ingress != NULL) member.ingress = *ingress;
    assert_ok(mctx_join(own->subscription, &member, sizeof member, 1, NULL));
  }
  join_group(own->subscription, &own->flood, "wa");
  enough = false;
  if (own->who >= BLOCKED) own->ears = listener_start(own->subscription);
  if (own->who == FLOODED) assert_int_equal(0, pthread_create(&own->flooder, NULL, keep_flooding, own));
}

/* Also when a test failed in between. */
static int stop_flooding(void **state) {
  (void)state;
  enough = true;
  return 0;
}

static void end_scene(scene *own) {
  enough = true;
  if (own->who == FLOODED) {
    assert_int_equal(0, pthread_join(own->flooder, NULL));
    assert_int_not_equal(0, listener_heard(own->ears, "flood"));
  }
  if (own->who >= BLOCKED) listener_stop(own->ears);
  assert_ok(mctx_close(own->context, NULL));
}

/* Takes until the text comes, again and again sent; without a listener by the test itself. */
static void assert_heard_through(scene *own, const char *peer, const char *text) {
  static taken got;
  int sender = sender_there(own->family, NULL, peer);
  if (own->who >= BLOCKED) {
    listener_await(own->ears, sender, &own->group, text);
  } else {
    bool heard = false;
    for (int i = 0; i < 300 && !heard; i++) {
      send_text(sender, &own->group, text);
      while (take_next(own->subscription, &got, 10))
        heard = heard || (got.length == strlen(text) && memcmp(got.data, text, got.length) == 0);
    }
    if (!heard) fail_msg("\"%s\" did not come", text);
  }
  close(sender);
}

/* ---- what the library says ---- */

/* How many memberships are on an interface (0: on none, absent). */
static uint32_t members_on(mctx_subscription subscription, uint32_t interface_index) {
  mctx_membership_info infos[8];
  uint32_t count;
  uint32_t found = 0;
  assert_ok(mctx_memberships(subscription, infos, sizeof infos[0], 8, &count, NULL));
  assert_int_equal(count, 3);
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal((infos[i].flags & MCTX_MEMBERSHIP_ABSENT) != 0, infos[i].interface_index == 0);
    found += infos[i].interface_index == interface_index;
  }
  return found;
}

static void assert_event(mctx_handle handle, uint32_t type, uint32_t interface_index, uint64_t value) {
  mctx_event event = await_event(handle, type);
  assert_int_equal(event.handle, handle);
  assert_int_equal(event.interface_index, interface_index);
  assert_int_equal(event.value, value);
}

static void assert_joined_on(const scene *own, const char *interface) {
  static kernel_tables tables;
  kernel_tables_read(&tables);
  assert_non_null(kernel_group_find(&tables, host_index(interface), &own->group));
}

/* ---- deleted and made anew ---- */

static void lose_and_regain(const row *wanted, const mctx_interface_ref *ingress, bool same_index) {
  static scene own;
  set_scene(&own, wanted, ingress);
  assert_heard_through(&own, "vb", "before");
  for (int round = 0; round < 2; round++) {
    uint32_t old = host_index("va");
    host_run("ip link delete va");
    assert_event(own.subscription, MCTX_EVENT_INTERFACE_LOST, old, 2);
    assert_int_equal(members_on(own.subscription, 0), 2);
    if (same_index)
      host_plug_as(old);
    else
      host_plug();
    assert_heard_through(&own, "vb", "after");
    uint32_t new = host_index("va");
    assert_int_equal(new == old, same_index);
    assert_event(own.subscription, MCTX_EVENT_REBUILT, new, 2);
    assert_int_equal(members_on(own.subscription, new), 2);
    assert_joined_on(&own, "va");
    assert_int_equal(counter_of(own.subscription, "memberships_rebuilt"), 2 * (round + 1));
  }
  end_scene(&own);
}

static void an_interface_is_made_anew(void **state) {
  lose_and_regain(*state, NULL, false);
}

static void an_interface_is_made_anew_under_its_index(void **state) {
  lose_and_regain(*state, NULL, true);
}

static void an_interface_named_by_its_address_is_made_anew(void **state) {
  const row *wanted = *state;
  mctx_interface_ref ingress = {.by = MCTX_INTERFACE_BY_ADDRESS, .address = unicast_at(wanted->family, 9, 1)};
  lose_and_regain(wanted, &ingress, false);
}

/* Between two calls, so that nobody saw it away. */
static void it_is_back_before_anybody_looked(void **state) {
  const row *wanted = *state;
  static scene own;
  set_scene(&own, wanted, NULL);
  uint32_t old = host_index("va");
  host_run("ip link delete va");
  host_plug_as(old);
  assert_heard_through(&own, "vb", "after");
  assert_event(own.subscription, MCTX_EVENT_REBUILT, old, 2);
  assert_joined_on(&own, "va");
  end_scene(&own);
}

/* It was that one index and no other that was named. */
static void an_interface_named_by_its_index_comes_back_under_it(void **state) {
  const row *wanted = *state;
  static scene own;
  host_pair(); /* in which va always has the same index */
  mctx_interface_ref ingress = {.by = MCTX_INTERFACE_BY_INDEX, .index = host_index("va")};
  set_scene(&own, wanted, &ingress);
  assert_int_equal(host_index("va"), ingress.index);
  host_run("ip link delete va");
  assert_event(own.subscription, MCTX_EVENT_INTERFACE_LOST, ingress.index, 2);
  host_plug(); /* another index: not the one that was named */
  assert_int_not_equal(host_index("va"), ingress.index);
  sleep_ms(50);
  assert_int_equal(members_on(own.subscription, 0), 2);
  host_run("ip link delete va");
  host_plug_as(ingress.index);
  assert_heard_through(&own, "vb", "after");
  assert_event(own.subscription, MCTX_EVENT_REBUILT, ingress.index, 2);
  end_scene(&own);
}

/* IPv6 leaves an interface whose MTU is below 1280 (RFC 8200), and the memberships with it. */
static void an_mtu_that_was_too_small_grows(void **state) {
  static scene own;
  set_scene(&own, *state, NULL);
  uint32_t index = host_index("va");
  host_run("ip link set va mtu 1200");
  if (own.family == 6) assert_event(own.subscription, MCTX_EVENT_INTERFACE_LOST, index, 2);
  host_run("ip link set va mtu 1500");
  host_await_link("va");
  assert_heard_through(&own, "vb", "grown");
  if (own.family == 6) assert_event(own.subscription, MCTX_EVENT_REBUILT, index, 2);
  assert_int_equal(members_on(own.subscription, index), 2);
  assert_joined_on(&own, "va");
  end_scene(&own);
}

/* Between two calls, so that nobody saw it small. */
static void an_mtu_that_was_too_small_for_a_moment(void **state) {
  static scene own;
  set_scene(&own, *state, NULL);
  uint32_t index = host_index("va");
  host_run("printf 'link set va mtu 1200\nlink set va mtu 1500\n' | ip -batch -");
  host_await_link("va");
  assert_heard_through(&own, "vb", "grown");
  if (own.family == 6) assert_event(own.subscription, MCTX_EVENT_REBUILT, index, 2);
  assert_int_equal(counter_of(own.subscription, "memberships_rebuilt"), own.family == 6 ? 2 : 0);
  assert_int_equal(members_on(own.subscription, index), 2);
  assert_joined_on(&own, "va");
  end_scene(&own);
}

/* IPv4 leaves below 68, where few interfaces can go. */
static void an_mtu_that_was_too_small_for_ipv4(void **state) {
  static const char *const ways[] = {"mtu 67\nlink set lo mtu 65536", "mtu 68\nlink set lo mtu 65536"};
  static kernel_tables tables;
  (void)state;
  for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
    host_namespace();
    mctx_context context = open_context();
    mctx_subscription_options options = subscription_options();
    mctx_subscription subscription = subscribe_with(context, &options);
    const mctx_address group = group_at(4, 1);
    join_group(subscription, &group, "lo");
    host_run("printf 'link set lo %s\n' | ip -batch -", ways[i]);
    host_run("ip address replace 127.0.0.1/8 dev lo"); /* went with IPv4 */
    if (i == 0) assert_event(subscription, MCTX_EVENT_REBUILT, host_index("lo"), 1);
    kernel_tables_read(&tables);
    assert_non_null(kernel_group_find(&tables, host_index("lo"), &group));
    int sender = sender_open(4, NULL, "lo");
    send_text(sender, &group, "grown");
    assert_takes(subscription, "grown");
    assert_int_equal(counter_of(subscription, "memberships_rebuilt"), i == 0);
    close(sender);
    assert_ok(mctx_close(context, NULL));
  }
}

/* ---- changes that lose nothing ---- */

static void assert_no_event(mctx_handle handle) {
  happenings seen = {0};
  sleep_ms(30);
  take_events(handle, &seen);
  for (uint32_t i = 0; i < seen.count; i++)
    if (seen.events[i].type != MCTX_EVENT_DROPS) fail_msg("event %u came", seen.events[i].type);
}

static void down_and_up_changes_nothing(void **state) {
  static scene own;
  set_scene(&own, *state, NULL);
  uint32_t index = host_index("va");
  for (int i = 0; i < 2; i++) {
    assert_heard_through(&own, "vb", i == 0 ? "first" : "again");
    host_run("ip link set va down");
    sleep_ms(20);
    assert_int_equal(members_on(own.subscription, index), 2);
    host_run("ip link set va up");
  }
  assert_heard_through(&own, "vb", "after");
  assert_no_event(own.subscription);
  end_scene(&own);
}

static void other_addresses_change_nothing(void **state) {
  static scene own;
  set_scene(&own, *state, NULL);
  uint32_t index = host_index("va");
  host_run("ip address flush dev va scope global");
  sleep_ms(20);
  assert_heard_through(&own, "vb", "without");
  host_address("va", 9, 7);
  assert_heard_through(&own, "vb", "another");
  assert_int_equal(members_on(own.subscription, index), 2);
  assert_no_event(own.subscription);
  end_scene(&own);
}

/* Its index lives, so it is the same interface; until another one has the name that the user said. */
static void a_renamed_interface_stays(void **state) {
  static scene own;
  set_scene(&own, *state, NULL);
  uint32_t index = host_index("va");
  host_run("ip link set va down && ip link set va name vz && ip link set vz up");
  assert_heard_through(&own, "vb", "renamed");
  assert_int_equal(members_on(own.subscription, index), 2);
  assert_no_event(own.subscription);
  host_cable("va", "vc", 12); /* now somebody else is va */
  assert_heard_through(&own, "vc", "taken");
  uint32_t new = host_index("va");
  assert_int_equal(members_on(own.subscription, new), 2);
  assert_int_equal(members_on(own.subscription, index), 0);
  assert_joined_on(&own, "va");
  end_scene(&own);
}

/* ---- a group that is left and joined while its interface is away ---- */

static void it_can_be_left_and_joined_while_away(void **state) {
  static scene own;
  set_scene(&own, *state, NULL);
  uint32_t old = host_index("va");
  mctx_address second = group_at(own.family, 2);
  mctx_membership absent = member_of(&second, "va");
  host_run("ip link delete va");
  assert_event(own.subscription, MCTX_EVENT_INTERFACE_LOST, old, 2);
  assert_status(mctx_join(own.subscription, &absent, sizeof absent, 1, NULL), MCTX_ERR_INTERFACE_NOT_FOUND);
  leave_group(own.subscription, &second, NULL);
  host_plug();
  assert_heard_through(&own, "vb", "after");
  assert_event(own.subscription, MCTX_EVENT_REBUILT, host_index("va"), 1);
  join_group(own.subscription, &second, "va");
  assert_int_equal(members_on(own.subscription, host_index("va")), 2);
  end_scene(&own);
}

/* ---- the tests, each for every row ---- */

typedef struct named {
  const char *name;
  CMUnitTestFunction function;
} named;

#define NAMED(function) \
  { #function, function }

static const named all[] = {
    NAMED(an_interface_is_made_anew),
    NAMED(an_interface_is_made_anew_under_its_index),
    NAMED(an_interface_named_by_its_address_is_made_anew),
    NAMED(it_is_back_before_anybody_looked),
    NAMED(an_interface_named_by_its_index_comes_back_under_it),
    NAMED(an_mtu_that_was_too_small_grows),
    NAMED(an_mtu_that_was_too_small_for_a_moment),
    NAMED(down_and_up_changes_nothing),
    NAMED(other_addresses_change_nothing),
    NAMED(a_renamed_interface_stays),
    NAMED(it_can_be_left_and_joined_while_away),
};

int main(void) {
  enum { ALL = sizeof all / sizeof all[0], ROWS = 2 * INSIDES };
  static row rows[ROWS];
  static char names[ALL * ROWS][100];
  struct CMUnitTest tests[ALL * ROWS + 1];
  size_t count = 0;
  for (uint32_t i = 0; i < ROWS; i++)
    rows[i] = (row){i % 2 == 0 ? 4 : 6, i / 2};
  for (size_t i = 0; i < ALL; i++)
    for (size_t r = 0; r < ROWS; r++) {
      snprintf(names[count], sizeof names[0], "%s (IPv%u, %s)", all[i].name, rows[r].family,
               inside_names[rows[r].who]);
      tests[count] = (struct CMUnitTest){names[count], all[i].function, NULL, stop_flooding, &rows[r]};
      count++;
    }
  tests[count] = (struct CMUnitTest)cmocka_unit_test(an_mtu_that_was_too_small_for_ipv4);
  return cmocka_run_group_tests(tests, NULL, NULL);
}

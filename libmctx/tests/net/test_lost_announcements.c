/* SPDX-License-Identifier: MIT */
/* Changes of so many interfaces, while nobody receives, that the kernel does not keep all that it has to
 * announce: what it ended meanwhile is heard again, with the filters that it had. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/listener.h"

enum {
  FIRST_NET = 50,
  FIRST_INDEX = 1000, /* of d0 */
  MANY = 40,
  NOISE = 500 /* announcements: several times what is kept */
};

/* ---- interfaces ---- */

/* Makes d0, d1, ... each with an address of both families, an index that is always the same, and a peer here.
 */
static void lay_pairs(int count) {
  host_run(
      "for i in $(seq 0 %d); do echo link add d$i index $((%d + i)) group 7 type veth peer name e$i; "
      "echo link set e$i up; echo link set d$i up; echo address add 10.$((%d + i)).0.1/24 dev d$i; done | "
      "ip -batch -",
      count - 1, FIRST_INDEX, FIRST_NET);
}

static void begin(int count) {
  host_namespace();
  host_run(
      "cd /proc/sys/net/ipv6/conf/default 2>/dev/null || exit 0; echo 0 > accept_dad; "
      "echo 0 > router_solicitations");
  lay_pairs(count);
}

static void make_anew(int count) {
  host_run("ip link delete group 7");
  lay_pairs(count);
}

/* Below what IPv6 needs, and back. */
static void dip(int count) {
  host_run(
      "for i in $(seq 0 %d); do echo link set d$i mtu 1000; echo link set d$i mtu 1500; done | "
      "ip -batch -",
      count - 1);
}

/* From here on nothing more is kept until somebody looks. */
static void make_noise(void) {
  host_run(
      "(for i in $(seq %d); do echo link set lo mtu $((2000 + i)); done; echo link set lo mtu 65536) | "
      "ip -batch -",
      NOISE);
}

static const char *name_of(int number) {
  static char name[16];
  snprintf(name, sizeof name, "d%d", number);
  return name;
}

/* ---- the subscription ---- */

static mctx_context context;
static mctx_subscription subscription;

static void open_subscription(void) {
  mctx_subscription_options options = subscription_options();
  context = open_context();
  subscription = subscribe_with(context, &options);
}

static void look(void) {
  happenings seen = {0};
  take_events(subscription, &seen);
}

/* What is sent through an interface is heard here. */
static void assert_hears(const mctx_address *group, int number) {
  char text[32];
  const char *name = name_of(number);
  host_await_link(name);
  snprintf(text, sizeof text, "%s through %s", text_of(group), name);
  say(NULL, name, group, text);
  assert_takes(subscription, text);
}

/* ---- many interfaces ---- */

static void change_many(uint32_t family, void (*change)(int)) {
  static kernel_tables tables;
  const mctx_address group = group_at(family, 1);
  begin(MANY);
  open_subscription();
  for (int i = 0; i < MANY; i++)
    join_group(subscription, &group, name_of(i));
  look();
  change(MANY);
  look();
  kernel_groups_read(&tables);
  for (int i = 0; i < MANY; i++) {
    const kernel_group *joined = kernel_group_find(&tables, host_index(name_of(i)), &group);
    assert_non_null(joined);
    assert_int_equal(joined->users, 1);
    assert_hears(&group, i);
  }
  assert_true(counter_of(subscription, "memberships_rebuilt") >= MANY);
  assert_ok(mctx_close(context, NULL));
}

static void many_mtus_are_too_small_for_a_moment(void **state) {
  change_many(host_family(state), dip);
}

static void many_interfaces_are_made_anew_under_their_indices(void **state) {
  change_many(host_family(state), make_anew);
}

/* ---- filters ---- */

enum { FILTERS = 5, MOST_SOURCES = 80 };

/* From anybody, lists of one and of more sources than a socket takes, and from all but some. */
static void join_all_sorts(uint32_t family, const char *interface) {
  static const struct {
    uint32_t mode;
    uint32_t counts[2]; /* IPv4, IPv6 */
  } sorts[FILTERS] = {{MCTX_EXCLUDE, {0, 0}},
                      {MCTX_INCLUDE, {1, 1}},
                      {MCTX_INCLUDE, {3, 3}},
                      {MCTX_INCLUDE, {12, MOST_SOURCES}},
                      {MCTX_EXCLUDE, {2, 2}}};
  mctx_address sources[MOST_SOURCES];
  for (int i = 0; i < MOST_SOURCES; i++)
    sources[i] = unicast_at(family, 90, 1 + i);
  for (uint32_t i = 0; i < FILTERS; i++) {
    const mctx_address group = group_at(family, 1 + i);
    mctx_membership member = member_of(&group, interface);
    member.mode = sorts[i].mode;
    member.source_count = sorts[i].counts[family == 6];
    member.sources = member.source_count > 0 ? sources : NULL;
    assert_ok(mctx_join(subscription, &member, sizeof member, 1, NULL));
  }
}

static void assert_same_tables(const kernel_tables *before, const kernel_tables *after) {
  for (uint32_t i = 0; i < before->group_count; i++) {
    const kernel_group *one = &before->groups[i];
    const kernel_group *now = kernel_group_find(after, one->interface_index, &one->group);
    if (now == NULL || now->users != one->users)
      fail_msg("%s on %u has %u users, and had %u", text_of(&one->group), one->interface_index,
               now == NULL ? 0 : now->users, one->users);
  }
  for (uint32_t i = 0; i < before->source_count; i++) {
    const kernel_source *one = &before->sources[i];
    const kernel_source *now = kernel_source_find(after, one->interface_index, &one->group, &one->source);
    if (now == NULL || now->includes != one->includes || now->excludes != one->excludes)
      fail_msg("%s of %s on %u is not listed as it was", text_of(&one->source), text_of(&one->group),
               one->interface_index);
  }
  assert_int_equal(before->group_count, after->group_count);
  assert_int_equal(before->source_count, after->source_count);
}

static void lose_all_of_it(uint32_t family, void (*change)(int)) {
  static kernel_tables before;
  static kernel_tables after;
  const mctx_address group = group_at(family, 1);
  begin(2);
  host_run("ip link set d1 group 8"); /* it stays */
  open_subscription();
  for (int i = 0; i < 2; i++)
    join_all_sorts(family, name_of(i));
  look();
  kernel_tables_read(&before);
  assert_hears(&group, 0);
  host_await_link("d1");
  say(NULL, "d1", &group, "waiting");
  make_noise();
  change(1);
  look();
  kernel_tables_read(&after);
  assert_same_tables(&before, &after);
  assert_takes(subscription, "waiting"); /* what had arrived is not lost with the announcements */
  for (int i = 0; i < 2; i++)
    assert_hears(&group, i);
  assert_int_equal(counter_of(subscription, "memberships_rebuilt"), 2 * FILTERS);
  assert_ok(mctx_close(context, NULL));
}

static void filters_are_as_they_were_when_an_interface_was_made_anew(void **state) {
  lose_all_of_it(host_family(state), make_anew);
}

static void filters_are_as_they_were_when_an_mtu_was_too_small(void **state) {
  lose_all_of_it(host_family(state), dip);
}

/* Which only loopback has below what IPv4 needs. */
static void an_mtu_that_was_too_small_for_ipv4(void **state) {
  const mctx_address group = group_at(4, 1);
  (void)state;
  host_namespace();
  open_subscription();
  join_group(subscription, &group, "lo");
  make_noise();
  host_run("printf 'link set lo mtu 67\nlink set lo mtu 65536\n' | ip -batch -");
  host_run("ip address replace 127.0.0.1/8 dev lo"); /* went with IPv4 */
  look();
  say(NULL, "lo", &group, "grown");
  assert_takes(subscription, "grown");
  assert_int_equal(counter_of(subscription, "memberships_rebuilt"), 1);
  assert_ok(mctx_close(context, NULL));
}

/* ---- a receiver that follows meanwhile ---- */

static void a_blocked_receiver_hears_again_each_time(void **state) {
  const uint32_t family = host_family(state);
  const mctx_address group = group_at(family, 1);
  begin(1);
  open_subscription();
  join_group(subscription, &group, "d0");
  listener *ears = listener_start(subscription);
  for (int round = 0; round < 4; round++) {
    char text[16];
    snprintf(text, sizeof text, "round %d", round);
    make_noise();
    if (round % 2 == 0 && family == 6)
      dip(1);
    else
      make_anew(1);
    host_await_link("d0");
    const int sender = sender_open(family, NULL, "d0");
    listener_await(ears, sender, &group, text);
    close(sender);
  }
  listener_stop(ears);
  assert_ok(mctx_close(context, NULL));
}

#define IPV6(function) \
  { #function, function, NULL, NULL, (void *)(uintptr_t)&host_families[1] }

int main(void) {
  const struct CMUnitTest tests[] = {
      IPV6(many_mtus_are_too_small_for_a_moment),
      BOTH_FAMILIES(many_interfaces_are_made_anew_under_their_indices),
      IPV6(filters_are_as_they_were_when_an_mtu_was_too_small),
      BOTH_FAMILIES(filters_are_as_they_were_when_an_interface_was_made_anew),
      cmocka_unit_test(an_mtu_that_was_too_small_for_ipv4),
      BOTH_FAMILIES(a_blocked_receiver_hears_again_each_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* No limit of the host is the user's: more groups than a socket takes, more sources than a filter takes, with
 * the system's settings as they come and without any right. Each datagram is delivered once. */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/subscription.h"

/* The settings that a kernel comes with, some of which a namespace inherits. */
static void set_defaults(void) {
  host_run("echo 20 > /proc/sys/net/ipv4/igmp_max_memberships");
  host_run("echo 10 > /proc/sys/net/ipv4/igmp_max_msf");
}

/* Also when a test failed in between. */
static int regain_rights(void **state) {
  (void)state;
  rights_regain();
  return 0;
}

static int note_rights(void **state) {
  (void)state;
  rights_drop();
  rights_regain();
  return 0;
}

/* ---- groups ---- */

/* Each group's number, sent to it, comes once; nothing else. In parts, which small buffers take too. */
static void assert_each_group_once(mctx_subscription subscription, uint32_t family, uint32_t count) {
  enum { PART = 50 };
  static taken got;
  bool *seen = calloc(count + 1, sizeof *seen);
  assert_non_null(seen);
  int sender = sender_there(family, NULL, "vb");
  for (uint32_t first = 1; first <= count; first += PART) {
    uint32_t part = count - first + 1 < PART ? count - first + 1 : PART;
    for (uint32_t i = 0; i < part; i++) {
      mctx_address group = group_at(family, first + i);
      uint32_t number = first + i;
      send_bytes(sender, &group, &number, sizeof number);
    }
    for (uint32_t i = 0; i < part; i++) {
      uint32_t number;
      if (!take_next(subscription, &got, PATIENCE_MS)) fail_msg("%u of %u did not come", part - i, part);
      memcpy(&number, got.data, sizeof number);
      assert_in_range(number, first, first + part - 1);
      assert_false(seen[number]);
      mctx_address group = group_at(family, number);
      assert_memory_equal(&got.message.group, &group, sizeof group);
      seen[number] = true;
    }
  }
  assert_takes_nothing(subscription);
  close(sender);
  free(seen);
}

static void assert_kernel_has_groups(uint32_t family, uint32_t count) {
  static kernel_tables tables;
  kernel_tables_read(&tables);
  assert_int_equal(tables.group_count, count);
  for (uint32_t i = 1; i <= count; i++) {
    mctx_address group = group_at(family, i);
    if (kernel_group_find(&tables, host_index("va"), &group) == NULL)
      fail_msg("%s is not joined", text_of(&group));
  }
}

/* Of so many groups, from the one of that number on. */
static void list_members(mctx_membership *members, uint32_t family, uint32_t first, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    mctx_address group = group_at(family, first + i);
    members[i] = member_of(&group, "va");
  }
}

static void join_many(mctx_context context, uint32_t family, uint32_t count, mctx_subscription *subscription) {
  mctx_membership *members = calloc(count, sizeof *members);
  mctx_subscription_options options = subscription_options();
  assert_non_null(members);
  list_members(members, family, 1, count);
  options.memberships = members;
  options.membership_count = count;
  rights_drop();
  int64_t start = now_ns();
  *subscription = subscribe_with(context, &options);
  int64_t spent = now_ns() - start;
  rights_regain();
  free(members);
  mctx_subscription_info info = subscription_info(*subscription);
  print_message("figures: IPv%u, %u groups: %u sockets bound to their group, %u wildcard, joined in %d ms\n",
                family, count, info.group_sockets, info.wildcard_sockets, (int)(spent / MILLI));
  assert_int_equal(info.membership_count, count);
}

static void many_groups(uint32_t family, uint32_t count) {
  host_pair();
  set_defaults();
  mctx_context context = open_context();
  mctx_subscription subscription;
  uint32_t held = descriptors_held();
  join_many(context, family, count, &subscription);
  mctx_subscription_info info = subscription_info(subscription);
  assert_in_range(info.group_sockets, 1, info.max_group_sockets);
  assert_true(info.wildcard_sockets > 0);
  assert_true(descriptors_held() - held >= info.group_sockets + info.wildcard_sockets);
  assert_kernel_has_groups(family, count);
  assert_each_group_once(subscription, family, count);
  for (uint32_t i = count; i > count / 2; i--) { /* and back */
    mctx_address group = group_at(family, i);
    leave_group(subscription, &group, NULL);
  }
  assert_kernel_has_groups(family, count / 2);
  assert_each_group_once(subscription, family, count / 2);
  mctx_address left = group_at(family, count);
  say_there(NULL, "vb", &left, "left");
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
  assert_kernel_has_groups(family, 0);
  assert_int_equal(descriptors_held(), held);
}

static void five_hundred_groups(void **state) {
  many_groups(host_family(state), 500);
}

static void three_thousand_groups(void **state) {
  many_groups(host_family(state), 3000);
}

/* One socket for a group as long as there may be so many. */
static void sockets_respect_the_limit_of_descriptors(void **state) {
  enum { LIMIT = 256, COUNT = 300 };
  uint32_t family = host_family(state);
  mctx_subscription subscription;
  host_pair();
  set_defaults();
  mctx_context context = open_context();
  uint64_t before = limit_descriptors(LIMIT);
  join_many(context, family, COUNT, &subscription);
  mctx_subscription_info info = subscription_info(subscription);
  limit_descriptors(before);
  assert_in_range(info.max_group_sockets, 1, LIMIT / 4);
  assert_in_range(info.group_sockets, 1, LIMIT / 4);
  assert_each_group_once(subscription, family, COUNT);
  assert_ok(mctx_close(context, NULL));
}

/* Whatever else is open: few sockets take many groups then. */
static void few_descriptors_are_shared(void **state) {
  enum { COUNT = 60 };
  static mctx_membership members[COUNT];
  uint32_t family = host_family(state);
  mctx_error error = MCTX_ERROR_INIT;
  host_pair();
  set_defaults();
  mctx_context context = open_context();
  mctx_address first = group_at(family, 1);
  mctx_subscription subscription = subscribe(context, &first, "va");
  list_members(members, family, 2, COUNT);
  uint64_t before = limit_descriptors(descriptors_held() + 6);
  mctx_status status = mctx_join(subscription, members, sizeof members[0], COUNT, &error);
  limit_descriptors(before);
  if (status != MCTX_OK) fail_msg("%s: %s", mctx_status_name(status), error.message);
  const mctx_subscription_info info = subscription_info(subscription);
  assert_int_equal(info.group_sockets, 1);
  assert_in_range(info.wildcard_sockets, 1, 6);
  assert_kernel_has_groups(family, COUNT + 1);
  assert_each_group_once(subscription, family, COUNT + 1);
  assert_ok(mctx_close(context, NULL));
}

/* Where not even that is possible it fails whole, and what was joined stays. */
static void without_descriptors_nothing_more_is_joined(void **state) {
  enum { COUNT = 500 };
  static mctx_membership members[COUNT];
  uint32_t family = host_family(state);
  mctx_error error = MCTX_ERROR_INIT;
  host_pair();
  set_defaults();
  mctx_context context = open_context();
  mctx_address first = group_at(family, 1);
  mctx_subscription_options options = subscription_options();
  /* What is shared takes all of them for IPv6, and 20 for IPv4. */
  if (family == 6) options.binding = MCTX_BINDING_GROUP;
  mctx_subscription subscription = subscribe_with(context, &options);
  join_group(subscription, &first, "va");
  list_members(members, family, 2, COUNT);
  uint32_t held = descriptors_held();
  uint64_t before = limit_descriptors(held + 4);
  mctx_status status = mctx_join(subscription, members, sizeof members[0], COUNT, &error);
  limit_descriptors(before);
  assert_status(status, MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_string_not_equal(error.hint, "");
  assert_int_equal(descriptors_held(), held);
  assert_kernel_has_groups(family, 1);
  assert_each_group_once(subscription, family, 1);
  assert_ok(mctx_join(subscription, members, sizeof members[0], COUNT, &error));
  assert_kernel_has_groups(family, COUNT + 1);
  assert_ok(mctx_close(context, NULL));
}

/* ---- sources ---- */

enum { SOURCE_NET = 40, FIRST_SOURCE = 10 };

/* Addresses there, from FIRST_SOURCE on, as many as there can be with this prefix. */
static void lay_sources(uint32_t family, int count) {
  there_run("for i in $(seq %d %d); do ip address add %s$i/%d dev vb %s || exit; done", FIRST_SOURCE,
            FIRST_SOURCE + count - 1, family == 4 ? "10.40.0." : "fd40::", family == 4 ? 24 : 64,
            family == 4 ? "" : "nodad");
}

static void filter_many(mctx_membership *member, uint32_t family, uint32_t mode, mctx_address *sources,
                        int count) {
  for (int i = 0; i < count; i++)
    sources[i] = unicast_at(family, SOURCE_NET, FIRST_SOURCE + i);
  member->mode = mode;
  member->sources = sources;
  member->source_count = (uint64_t)count;
}

/* One datagram from each of `count` sources; those from the `first` to before the `last` come, once each. */
static void assert_heard_from(mctx_subscription subscription, uint32_t family, int count, int first, int last) {
  static taken got;
  bool seen[256] = {0};
  mctx_address group = group_at(family, 1);
  for (int i = 0; i < count; i++) {
    unsigned char number = (unsigned char)i;
    mctx_address source = unicast_at(family, SOURCE_NET, FIRST_SOURCE + i);
    int sender = sender_there(family, &source, "vb");
    send_bytes(sender, &group, &number, 1);
    close(sender);
  }
  for (int i = first; i < last; i++) {
    if (!take_next(subscription, &got, PATIENCE_MS)) fail_msg("%d of %d did not come", last - i, last - first);
    assert_in_range(got.data[0], first, last - 1);
    assert_false(seen[got.data[0]]);
    seen[got.data[0]] = true;
    mctx_address source = unicast_at(family, SOURCE_NET, FIRST_SOURCE + got.data[0]);
    assert_true(is_same_host(&got.message.source, &source));
  }
  assert_takes_nothing(subscription);
}

static mctx_membership_info only_membership(mctx_subscription subscription) {
  mctx_membership_info info;
  uint32_t count;
  assert_ok(mctx_memberships(subscription, &info, sizeof info, 1, &count, NULL));
  assert_int_equal(count, 1);
  return info;
}

/* Spread over sockets, each with a list of its own; whatever way they get there. */
static void sixty_sources_of_one_group(void **state) {
  enum { SOURCES = 60 };
  static kernel_tables tables;
  uint32_t family = host_family(state);
  mctx_address sources[SOURCES];
  host_pair();
  set_defaults();
  lay_sources(family, SOURCES + 2);
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_membership member = member_of(&group, "va");
  for (int one_by_one = 0; one_by_one <= 1; one_by_one++) {
    mctx_subscription_options options = subscription_options();
    filter_many(&member, family, MCTX_INCLUDE, sources, one_by_one ? 1 : SOURCES);
    rights_drop();
    mctx_subscription subscription = subscribe_with(context, &options);
    assert_ok(mctx_join(subscription, &member, sizeof member, 1, NULL));
    mctx_membership bare = member_of(&group, "va");
    for (int i = 1; one_by_one && i < SOURCES; i++) {
      mctx_address source = unicast_at(family, SOURCE_NET, FIRST_SOURCE + i);
      assert_ok(mctx_allow(subscription, &bare, sizeof bare, &source, NULL));
    }
    rights_regain();
    mctx_membership_info info = only_membership(subscription);
    assert_int_equal(info.source_count, SOURCES);
    assert_int_equal(info.flags & MCTX_MEMBERSHIP_FILTERED, 0);
    kernel_tables_read(&tables);
    assert_int_equal(tables.source_count, SOURCES);
    for (uint32_t i = 0; i < SOURCES; i++) { /* each is in one list */
      assert_int_equal(tables.sources[i].includes, 1);
      assert_int_equal(tables.sources[i].excludes, 0);
    }
    assert_heard_from(subscription, family, SOURCES + 2, 0, SOURCES);
    filter_many(&member, family, MCTX_INCLUDE, sources, 5);
    assert_ok(mctx_filter_set(subscription, &member, sizeof member, NULL));
    assert_heard_from(subscription, family, SOURCES, 0, 5);
    assert_ok(mctx_close(subscription, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

/* The system has no room for such a list: the library filters, and says so. */
static void two_hundred_exclusions(void **state) {
  enum { SOURCES = 200, HEARD = 5 };
  static kernel_tables tables;
  uint32_t family = host_family(state);
  mctx_address sources[SOURCES];
  host_pair();
  set_defaults();
  lay_sources(family, SOURCES + HEARD);
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_membership member = member_of(&group, "va");
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
       binding += MCTX_BINDING_WILDCARD) {
    mctx_subscription_options options = subscription_options();
    options.binding = binding;
    filter_many(&member, family, MCTX_EXCLUDE, sources, SOURCES);
    rights_drop();
    mctx_subscription subscription = subscribe_with(context, &options);
    assert_ok(mctx_join(subscription, &member, sizeof member, 1, NULL));
    rights_regain();
    mctx_membership_info info = only_membership(subscription);
    assert_int_equal(info.source_count, SOURCES);
    assert_int_equal(info.flags & MCTX_MEMBERSHIP_FILTERED, MCTX_MEMBERSHIP_FILTERED);
    kernel_tables_read(&tables);
    assert_int_equal(tables.source_count, 0);
    assert_heard_from(subscription, family, SOURCES + HEARD, SOURCES, SOURCES + HEARD);
    assert_int_equal(counter_of(subscription, "discarded_source"), SOURCES);
    filter_many(&member, family, MCTX_EXCLUDE, sources, HEARD); /* a short list is the system's again */
    assert_ok(mctx_filter_set(subscription, &member, sizeof member, NULL));
    assert_int_equal(only_membership(subscription).flags & MCTX_MEMBERSHIP_FILTERED, 0);
    assert_heard_from(subscription, family, 2 * HEARD, HEARD, 2 * HEARD);
    assert_int_equal(counter_of(subscription, "discarded_source"), SOURCES);
    assert_ok(mctx_close(subscription, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

#define LIMIT_TEST(function, family_name, family_at)                      \
  {                                                                       \
#function " (" family_name ")", function, note_rights, regain_rights, \
        (void *)(uintptr_t)&host_families[family_at]                      \
  }

int main(void) {
  const struct CMUnitTest tests[] = {
      LIMIT_TEST(five_hundred_groups, "IPv4", 0),
      LIMIT_TEST(three_thousand_groups, "IPv6", 1),
      LIMIT_TEST(sockets_respect_the_limit_of_descriptors, "IPv4", 0),
      LIMIT_TEST(sockets_respect_the_limit_of_descriptors, "IPv6", 1),
      LIMIT_TEST(few_descriptors_are_shared, "IPv4", 0),
      LIMIT_TEST(without_descriptors_nothing_more_is_joined, "IPv4", 0),
      LIMIT_TEST(few_descriptors_are_shared, "IPv6", 1),
      LIMIT_TEST(without_descriptors_nothing_more_is_joined, "IPv6", 1),
      LIMIT_TEST(sixty_sources_of_one_group, "IPv4", 0),
      LIMIT_TEST(sixty_sources_of_one_group, "IPv6", 1),
      LIMIT_TEST(two_hundred_exclusions, "IPv4", 0),
      LIMIT_TEST(two_hundred_exclusions, "IPv6", 1),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What is delivered was sent to a joined group, arrived on a joined interface, from an allowed source. Each
 * test sends what would leak if the check were missing, next to something that must come, and reads the
 * counters of what was discarded. With sockets bound to their groups, and with sockets bound to the port alone.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/model.h"

/* A test for each family and each way of binding. */
typedef struct variant {
  uint32_t family;
  uint32_t binding;
} variant;

static const variant variants[] = {
    {4, MCTX_BINDING_AUTO}, {6, MCTX_BINDING_AUTO}, {4, MCTX_BINDING_WILDCARD}, {6, MCTX_BINDING_WILDCARD}};

static variant begin(void **state) {
  const variant *wanted = *state;
  const uint32_t *family = &wanted->family;
  (void)host_family((void *)&family);
  lay_cables();
  return *wanted;
}

static mctx_subscription open_bound(mctx_context context, const variant *how, uint32_t group_number,
                                    const char *interface) {
  mctx_subscription_options options = subscription_options();
  mctx_address group = group_at(how->family, group_number);
  mctx_membership member = member_of(&group, interface);
  options.binding = how->binding;
  options.memberships = &member;
  options.membership_count = 1;
  mctx_subscription subscription = subscribe_with(context, &options);
  mctx_subscription_info info = subscription_info(subscription);
  bool wild = how->binding == MCTX_BINDING_WILDCARD;
  assert_true(wild ? info.wildcard_sockets > 0 && info.group_sockets == 0
                   : info.wildcard_sockets == 0 && info.group_sockets > 0);
  return subscription;
}

/* All that was discarded, for whatever reason. */
static uint64_t discarded(mctx_subscription subscription) {
  return counter_of(subscription, "discarded_unicast") + counter_of(subscription, "discarded_group") +
         counter_of(subscription, "discarded_interface") + counter_of(subscription, "discarded_source") +
         counter_of(subscription, "discarded_copy");
}

/* The next thing to come is what is sent now, so nothing came before; and nothing comes behind. */
static void assert_only(mctx_subscription subscription, uint32_t family, uint32_t group_number) {
  mctx_address group = group_at(family, group_number);
  say_there(NULL, "vb", &group, "wanted");
  assert_takes(subscription, "wanted");
  assert_takes_nothing(subscription);
}

/* ---- other groups ---- */

static void groups_of_another_process_stay_out(void **state) {
  variant how = begin(state);
  mctx_address other = group_at(how.family, 2);
  int foreign =
      receiver_open(text_with_port(&other), "va"); /* to the kernel every socket is another program's */
  mctx_context context = open_context();
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  static arrival seen;
  say_there(NULL, "vb", &other, "foreign");
  assert_true(receiver_next(foreign, &seen, PATIENCE_MS));
  assert_only(subscription, how.family, 1);
  assert_ok(mctx_close(context, NULL));
  close(foreign);
}

static void groups_of_another_subscription_stay_out(void **state) {
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_subscription subscriptions[2];
  for (uint32_t i = 0; i < 2; i++)
    subscriptions[i] = open_bound(context, &how, 1 + i, "va");
  for (uint32_t i = 0; i < 2; i++) {
    assert_only(subscriptions[i], how.family, 1 + i);
    assert_takes_nothing(subscriptions[1 - i]);
  }
  assert_ok(mctx_close(context, NULL));
}

/* Both groups are this subscription's, each on its own interface. */
static void a_group_counts_where_it_is_joined(void **state) {
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  mctx_address groups[2] = {group_at(how.family, 1), group_at(how.family, 2)};
  model expected = {0};
  join_group(subscription, &groups[1], "wa");
  model_join(&expected, &groups[0], "va");
  model_join(&expected, &groups[1], "wa");
  probe(how.family, 2);
  assert_hears(subscription, how.family, 2, &expected);
  assert_ok(mctx_close(context, NULL));
}

/* ---- no group at all ---- */

static int plain_on_port(uint32_t family) {
  struct sockaddr_storage native;
  mctx_address wildcard = {.family = (uint8_t)family, .port = PORT};
  int on = 1;
  int made = socket(family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(made >= 0);
  assert_int_equal(0, setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  socklen_t length = native_address(&native, &wildcard);
  assert_int_equal(0, bind(made, (struct sockaddr *)&native, length));
  return made;
}

/* Another program's unicast reaches it while our sockets are bound to their groups; sockets bound to the port
 * alone may take it away, which is documented, and never deliver it. */
static void unicast_stays_out(void **state) {
  static arrival seen;
  variant how = begin(state);
  bool wild = how.binding == MCTX_BINDING_WILDCARD;
  int other = plain_on_port(how.family); /* opened before ours: the kernel prefers the later one */
  mctx_context context = open_context();
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  mctx_address here = unicast_at(how.family, 9, 1);
  here.port = PORT;
  uint64_t before = counter_of(subscription, "discarded_unicast");
  say_there(NULL, "vb", &here, "unicast");
  assert_int_equal(receiver_next(other, &seen, wild ? QUIET_MS : PATIENCE_MS), !wild);
  assert_only(subscription, how.family, 1);
  assert_discards(subscription, "discarded_unicast", before + wild);
  assert_ok(mctx_close(context, NULL));
  close(other);
}

static void broadcast_stays_out(void **state) {
  static const char *const broadcasts[] = {"255.255.255.255:5007", "10.9.0.255:5007"};
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  int other = plain_on_port(how.family);
  there_run("ip route add 255.255.255.255 dev vb");
  for (size_t i = 0; i < 2; i++) {
    static arrival seen;
    mctx_address everybody = address_of(broadcasts[i]);
    say_there(NULL, "vb", &everybody, "broadcast");
    assert_true(receiver_next(other, &seen, PATIENCE_MS)); /* it did arrive on this port */
  }
  assert_only(subscription, how.family, 1);
  if (how.binding == MCTX_BINDING_WILDCARD) assert_int_equal(counter_of(subscription, "discarded_unicast"), 2);
  assert_ok(mctx_close(context, NULL));
  close(other);
}

/* ---- other interfaces ---- */

/* Another socket joined the group there, so it does come in, on our port. */
static void the_same_group_on_another_interface_stays_out(void **state) {
  static arrival seen;
  variant how = begin(state);
  mctx_address group = group_at(how.family, 1);
  int foreign = receiver_open(text_with_port(&group), "wa");
  mctx_context context = open_context();
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  say_there(NULL, "wb", &group, "elsewhere");
  assert_true(receiver_next(foreign, &seen, PATIENCE_MS));
  assert_only(subscription, how.family, 1);
  assert_ok(mctx_close(context, NULL));
  close(foreign);
}

/* Link-local groups mean another one on every link. */
static void a_link_local_group_is_its_links_own(void **state) {
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_address group = address_of(how.family == 4 ? "224.0.0.177:5007" : "[ff02::7:7]:5007");
  mctx_subscription_options options = subscription_options();
  options.binding = how.binding;
  mctx_subscription subscription = subscribe_with(context, &options);
  join_group(subscription, &group, "va");
  join_group(subscription, &group, "wa");
  static taken got;
  for (size_t i = 0; i < CABLES; i++) {
    say_there(NULL, cables[i].peer, &group, cables[i].own);
    if (i == 2) break; /* xa is not joined */
    assert_true(take_next(subscription, &got, PATIENCE_MS));
    assert_int_equal(got.message.interface_index, host_index(cables[i].own));
    if (how.family == 6) assert_int_equal(got.message.group.scope_id, host_index(cables[i].own));
    assert_memory_equal(got.data, cables[i].own, 2);
  }
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
}

/* ---- other sources ---- */

/* Another socket listens to all sources, so the kernel lets all of them in. */
static void sources_that_are_not_let_through_stay_out(void **state) {
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_address group = group_at(how.family, 1);
  mctx_address source = unicast_at(how.family, 9, 3);
  model expected = {0};
  mctx_subscription everybody = subscribe(context, &group, "va");
  model all = {0};
  model_join(&all, &group, "va");
  model_join(&expected, &group, "va");
  expected.members[0].source_count = 1;
  expected.members[0].sources[0] = source;
  for (uint32_t mode = MCTX_EXCLUDE; mode <= MCTX_INCLUDE; mode++) {
    mctx_membership member = member_of(&group, "va");
    mctx_subscription_options options = subscription_options();
    member.mode = expected.members[0].mode = mode;
    member.sources = &source;
    member.source_count = 1;
    options.binding = how.binding;
    options.memberships = &member;
    options.membership_count = 1;
    mctx_subscription choosy = subscribe_with(context, &options);
    probe(how.family, 1);
    assert_hears(choosy, how.family, 1, &expected);
    assert_hears(everybody, how.family, 1, &all);
    assert_ok(mctx_close(choosy, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

/* ---- what came too early ---- */

static void await_queued(mctx_subscription subscription) {
  uint32_t ready;
  assert_ok(mctx_wait(subscription, MCTX_READABLE, 0, PATIENCE_MS * MILLI, &ready, NULL));
}

/* Queued while it was joined, read after it was not. */
static void what_was_queued_before_a_leave_stays_out(void **state) {
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_address left = group_at(how.family, 2);
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  for (int i = 0; i < 3; i++) {
    join_group(subscription, &left, "va");
    say_there(NULL, "vb", &left, "before");
    await_queued(subscription);
    leave_group(subscription, &left, "va");
    say_there(NULL, "vb", &left, "after");
    assert_only(subscription, how.family, 1);
  }
  assert_ok(mctx_close(context, NULL));
}

/* The same for one interface of two, and for a source that is blocked. */
static void what_was_queued_before_a_change_stays_out(void **state) {
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_address group = group_at(how.family, 1);
  mctx_address source = unicast_at(how.family, 9, 3);
  mctx_membership member = member_of(&group, "va");
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  join_group(subscription, &group, "wa");
  for (int i = 0; i < 3; i++) {
    say_there(NULL, "wb", &group, "before");
    await_queued(subscription);
    leave_group(subscription, &group, "wa");
    assert_only(subscription, how.family, 1);
    join_group(subscription, &group, "wa");
    say_there(&source, "vb", &group, "before");
    await_queued(subscription);
    assert_ok(mctx_block(subscription, &member, sizeof member, &source, NULL));
    say_there(&source, "vb", &group, "after");
    assert_only(subscription, how.family, 1);
    assert_ok(mctx_allow(subscription, &member, sizeof member, &source, NULL));
  }
  assert_int_not_equal(discarded(subscription), 0); /* these the library itself kept out */
  assert_ok(mctx_close(context, NULL));
}

/* ---- counters ---- */

/* Each reason, where the library is what keeps it out: sockets bound to the port alone, that see all of it. */
static void what_is_kept_out_is_counted_by_reason(void **state) {
  variant how = begin(state);
  mctx_context context = open_context();
  mctx_address one = group_at(how.family, 1);
  mctx_address two = group_at(how.family, 2);
  mctx_address source = unicast_at(how.family, 9, 3);
  mctx_address here = unicast_at(how.family, 9, 1);
  here.port = PORT;
  mctx_membership member = member_of(&one, "va");
  mctx_subscription subscription = open_bound(context, &how, 1, "va");
  join_group(subscription, &two, "va");
  join_group(subscription, &one, "wa");

  say_there(&source, "vb", &one, "from a source that is blocked meanwhile");
  await_queued(subscription);
  assert_ok(mctx_block(subscription, &member, sizeof member, &source, NULL));
  assert_only(subscription, how.family, 1);
  assert_int_equal(counter_of(subscription, "discarded_source"), 1);

  say_there(NULL, "wb", &one, "on an interface that is left meanwhile");
  await_queued(subscription);
  leave_group(subscription, &one, "wa");
  assert_only(subscription, how.family, 1);

  say_there(NULL, "vb", &two, "to a group that is left meanwhile");
  await_queued(subscription);
  leave_group(subscription, &two, "va");
  say_there(NULL, "vb", &here, "to this host");
  assert_only(subscription, how.family, 1);
  bool wild = how.binding == MCTX_BINDING_WILDCARD;
  assert_discards(subscription, "discarded_unicast", wild);

  print_message("figures: IPv%u %s: unicast %u, group %u, interface %u, source %u, copy %u\n", how.family,
                wild ? "wildcard" : "bound", (unsigned)counter_of(subscription, "discarded_unicast"),
                (unsigned)counter_of(subscription, "discarded_group"),
                (unsigned)counter_of(subscription, "discarded_interface"),
                (unsigned)counter_of(subscription, "discarded_source"),
                (unsigned)counter_of(subscription, "discarded_copy"));
  assert_int_equal(counter_of(subscription, "discarded_source"), 1);
  if (wild && how.family == 4) { /* one socket: it sees what it has left; a socket of its own goes unread */
    assert_int_equal(counter_of(subscription, "discarded_interface"), 1);
    assert_int_equal(counter_of(subscription, "discarded_group"), 1);
  }
  assert_int_equal(metric_of(context, MCTX_HANDLE_CONTEXT, "total_discarded_source"), 1);
  assert_int_equal(metric_of(context, MCTX_HANDLE_CONTEXT, "total_discarded_unicast"), wild);
  assert_ok(mctx_close(context, NULL));
}

/* ---- the tests, each for every variant ---- */

typedef struct named {
  const char *name;
  CMUnitTestFunction function;
  bool is_ipv4s; /* IPv6 has no such thing */
} named;

#define NAMED(function) \
  { #function, function, false }

static const named all[] = {
    NAMED(groups_of_another_process_stay_out),          NAMED(groups_of_another_subscription_stay_out),
    NAMED(a_group_counts_where_it_is_joined),           NAMED(unicast_stays_out),
    {"broadcast_stays_out", broadcast_stays_out, true}, NAMED(the_same_group_on_another_interface_stays_out),
    NAMED(a_link_local_group_is_its_links_own),         NAMED(sources_that_are_not_let_through_stay_out),
    NAMED(what_was_queued_before_a_leave_stays_out),    NAMED(what_was_queued_before_a_change_stays_out),
    NAMED(what_is_kept_out_is_counted_by_reason),
};

int main(void) {
  enum { ALL = sizeof all / sizeof all[0], VARIANTS = sizeof variants / sizeof variants[0], IPV4S = 1 };
  enum { TESTS = ALL * VARIANTS - IPV4S * VARIANTS / 2 };
  static char names[TESTS][100];
  struct CMUnitTest tests[TESTS];
  size_t count = 0;
  for (size_t i = 0; i < ALL; i++)
    for (size_t v = 0; v < VARIANTS; v++) {
      if (all[i].is_ipv4s && variants[v].family == 6) continue;
      snprintf(names[count], sizeof names[0], "%s (IPv%u%s)", all[i].name, variants[v].family,
               variants[v].binding == MCTX_BINDING_WILDCARD ? ", wildcard" : "");
      tests[count] =
          (struct CMUnitTest){names[count], all[i].function, NULL, NULL, (void *)(uintptr_t)&variants[v]};
      count++;
    }
  return count == TESTS ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}

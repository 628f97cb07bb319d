/* SPDX-License-Identifier: MIT */
/*
 * Any sequence of changes of the interfaces, with changes of memberships between them: what is read back is
 * what is delivered, what the events tell adds up, and when an interface is what it was, all is received there
 * again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chance.h"
#include "sim_subscription.h"

/* ---- every sequence ---- */

enum { CHANGES = 13 };

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
    case 9: /* the end of IPv6 */
      one->mtu = 1000;
      break;
    case 10: /* and of IPv4 */
      one->mtu = 60;
      break;
    case 11: /* the system lost what it had to tell so far */
      mctx_sim_watch_overflow();
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
  open_with_options(&options);
  join_in_all_ways();
  for (int i = 0; i < count; i++) {
    change_card(&one, changes[i]);
    if (looks_often) discard_events();
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

/* ---- changes of memberships between changes of interfaces ---- */

static const char *const some_groups[] = {"239.1.1.1", "ff15::1", "239.1.1.2", "ff12::2"};
static const char *const some_sources[2][3] = {{"10.0.0.7", "10.0.0.8", "10.0.0.9"},
                                               {"fd00::7", "fd00::8", "fd00::9"}};

/* Whether it succeeds is not asked: what counts is that it can be read back. */
static void change_something(void) {
  static const char *const names[] = {NULL, "eth0", "eth1"};
  const uint32_t which = chance(4);
  const char *group = some_groups[which];
  const char *name = names[chance(3)];
  const uint32_t first = chance(3);
  const mctx_address sources[2] = {address_of(some_sources[which % 2][first]),
                                   address_of(some_sources[which % 2][(first + 1) % 3])};
  mctx_membership membership = membership_of(group, name);
  const uint32_t what = chance(7);
  if (what == 0) (void)leave(subscription, group, name, NULL);
  if (what == 1) (void)block(subscription, group, name, some_sources[which % 2][first], NULL);
  if (what == 2) (void)allow(subscription, group, name, some_sources[which % 2][first], NULL);
  if (what > 2 && chance(2) == 0) {
    membership.mode = chance(2);
    membership.sources = sources;
    membership.source_count = 1 + chance(2);
  }
  if (what == 3) (void)set_filter(subscription, &membership, NULL);
  if (what > 3) (void)try_join(subscription, &membership, NULL);
}

/* By what memberships and their sources read back. */
static bool should_be_delivered(const char *group, uint32_t index, const char *source) {
  mctx_membership_info infos[32];
  mctx_address listed[4];
  const mctx_address wanted = address_of(group);
  const mctx_address from = address_of(source);
  const uint32_t count = memberships_of(subscription, infos, 32);
  for (uint32_t i = 0; i < count; i++) {
    if (infos[i].interface_index != index || memcmp(infos[i].group.bytes, wanted.bytes, 16) != 0) continue;
    if ((infos[i].flags & MCTX_MEMBERSHIP_REFUSED) != 0) return false;
    uint32_t sources;
    bool is_listed = false;
    assert_ok(mctx_membership_sources(subscription, infos[i].id, listed, 4, &sources, NULL));
    for (uint32_t k = 0; k < sources; k++)
      is_listed = is_listed || memcmp(listed[k].bytes, from.bytes, 16) == 0;
    return is_listed == (infos[i].mode == MCTX_INCLUDE);
  }
  return false;
}

static void compare_with_what_is_delivered(const card *one, uint64_t seed, int step) {
  const bool hears =
      one->index != 0 && (one->flags & MCTX_INTERFACE_UP) != 0 && (one->flags & MCTX_INTERFACE_ENSLAVED) == 0;
  for (uint32_t i = 0; i < 4 * 3 * 2; i++) {
    const char *group = some_groups[i % 4];
    const char *source = some_sources[i % 2][i / 4 % 3];
    const uint32_t index = i / 12 == 0 ? one->index : 3;
    uint32_t number;
    if (index != 3 && (!hears || one->mtu < (i % 2 == 0 ? 68 : 1280))) continue;
    (void)arrive(i, source, group, index);
    const mctx_status status = try_recv(subscription, &number);
    if ((status == MCTX_OK) != should_be_delivered(group, index, source))
      fail_msg("SEED=%llu, step %d: %s from %s on %u is %s", (unsigned long long)seed, step, group, source,
               index, mctx_status_name(status));
    assert_nothing(subscription);
  }
}

static void what_is_read_back_is_what_is_delivered(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 150; seed++) {
    card one = {2, 2, 10, "eth0", UP_FLAGS, 1500, true};
    chance_begin(seed);
    mctx_sim_reset();
    assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES4, 1 + chance(3)));
    assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES6, 1 + chance(3)));
    context = open_context();
    mctx_subscription_options options = subscription_options();
    if (chance(2) == 0) options.binding = MCTX_BINDING_WILDCARD;
    if (chance(2) == 0) options.metadata = 0;
    subscription = subscribe_with(context, &options);
    for (int step = 0; step < 40; step++) {
      for (uint32_t some = chance(4); some > 0; some--)
        change_something();
      if (chance(2) == 0) change_card(&one, chance(CHANGES));
      discard_events();
      compare_with_what_is_delivered(&one, seed, step);
    }
    assert_closed(context);
    assert_holdings(fixture_before);
  }
}

/* ---- any order ---- */

enum { HOSTS = 4, NAMED = 3, STEPS = 40 };

typedef struct host_interface {
  uint32_t index; /* 0: not there */
  uint32_t flags;
} host_interface;

static const char *const host_names[HOSTS] = {"eth0", "eth1", "eth2", "eth3"};

static void change_one(host_interface *hosts, uint32_t *last_index) {
  const uint32_t which = chance(HOSTS);
  host_interface *one = &hosts[which];
  const uint32_t what = chance(5);
  if (one->index == 0 || what == 0) {
    if (one->index != 0) assert_true(mctx_sim_interface_remove(one->index));
    const uint32_t before = one->index;
    one->index = 0;
    if (before == 0 || chance(3) == 0) {
      one->index = before != 0 && chance(2) == 0 ? before : ++*last_index;
      one->flags = chance(4) == 0 ? MCTX_INTERFACE_MULTICAST : UP_FLAGS;
    }
  } else if (what == 1) {
    one->flags ^= MCTX_INTERFACE_UP;
  } else if (what == 2) {
    one->flags ^= MCTX_INTERFACE_ENSLAVED;
  } else if (what == 3) {
    assert_true(mctx_sim_interface_set(one->index, host_names[which], one->flags, chance(2) == 0 ? 1000 : 60));
  }
  if (one->index != 0) set_interface(one->index, host_names[which], one->flags);
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
  chance_begin(seed);
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
    for (uint32_t changes = 1 + chance(4); changes > 0; changes--) {
      change_one(hosts, &last_index);
      if (chance(6) == 0) mctx_sim_watch_overflow();
    }
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
  chance_begin(4711);
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
      fixture_test(every_sequence_of_changes_ends_well),
      fixture_test(long_sequences_of_changes_end_well),
      fixture_test(what_is_read_back_is_what_is_delivered),
      fixture_test(every_order_of_changes_ends_in_what_the_interfaces_are),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Announcements of the interfaces that were lost: what the system ended meanwhile is joined anew, and what it
 * did not end loses nothing but what came in between.
 */
#include <stdio.h>

#include "sim_subscription.h"

/* ---- events ---- */

typedef struct told {
  uint64_t lost;
  uint64_t rebuilt;
  uint64_t appeared;
} told;

/* All that wait; asking for them follows what changed. */
static void take_events(told *sum) {
  mctx_event events[16];
  uint32_t count;
  do {
    assert_ok(mctx_events(subscription, events, sizeof events[0], 16, &count, NULL));
    for (uint32_t i = 0; i < count; i++) {
      if (events[i].type == MCTX_EVENT_INTERFACE_LOST) sum->lost += events[i].value;
      if (events[i].type == MCTX_EVENT_REBUILT) sum->rebuilt += events[i].value;
      if (events[i].type == MCTX_EVENT_INTERFACE_APPEARED) sum->appeared += events[i].value;
      assert_int_not_equal(events[i].type, MCTX_EVENT_OVERFLOW);
    }
  } while (count > 0);
}

static void assert_event(uint32_t type, uint32_t index, uint64_t value) {
  assert_int_equal(next_event(subscription, type, index).value, value);
}

/* ---- a subscription with filters of all sorts ---- */

enum { SOURCES = 5, TAKEN = 2, MEMBERSHIPS = 11 };

static mctx_address listed[2][SOURCES]; /* IPv4, IPv6: .101, .102, ... */

static const char *source_text(bool is_v6, uint32_t number) {
  static char text[24];
  (void)snprintf(text, sizeof text, is_v6 ? "fd00::%u" : "10.0.0.%u", (unsigned)number);
  return text;
}

/* Lists are longer than a socket takes. */
static void open_all_sorts(uint32_t binding) {
  static const char *const groups[2][3] = {{"239.1.1.1", "239.1.1.2", "239.1.1.3"},
                                           {"ff15::1", "ff15::2", "ff15::3"}};
  mctx_subscription_options options = subscription_options();
  options.binding = binding;
  mctx_sim_reset();
  assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES4, TAKEN));
  assert_true(mctx_sim_limit_set(MCTX_SIM_SOURCES6, TAKEN));
  open_with_options(&options);
  for (uint32_t v6 = 0; v6 < 2; v6++) {
    for (uint32_t i = 0; i < SOURCES; i++)
      listed[v6][i] = address_of(source_text(v6, 101 + i));
    const mctx_membership wishes[3] = {
        membership_of(groups[v6][0], "eth0"),
        filtered(groups[v6][1], "eth0", MCTX_INCLUDE, listed[v6], SOURCES),
        filtered(groups[v6][2], "eth0", MCTX_EXCLUDE, listed[v6], TAKEN),
    };
    assert_ok(mctx_join(subscription, wishes, sizeof wishes[0], 3, NULL));
    join(subscription, v6 ? "ff15::4" : "239.1.1.4", NULL);
  }
  assert_ok(block(subscription, "ff15::4", "eth1", "fd00::101", NULL)); /* on one interface of the set */
  const mctx_membership beyond = filtered("ff12::1", "eth1", MCTX_EXCLUDE, listed[1], SOURCES);
  assert_ok(try_join(subscription, &beyond, NULL));
  assert_int_equal(memberships_of(subscription, NULL, 0), MEMBERSHIPS);
}

/* One datagram, which comes or does not. */
static void assert_comes(bool expected, const char *group, uint32_t index, uint32_t source, const char *when) {
  static uint32_t sent;
  uint32_t number;
  const char *from = source_text(address_of(group).family == 6, source);
  (void)arrive(++sent, from, group, index);
  const mctx_status status = try_recv(subscription, &number);
  if ((status == MCTX_OK) != expected)
    fail_msg("%s: %s from %s on %u is %s", when, group, from, index, mctx_status_name(status));
  if (expected) assert_int_equal(number, sent);
  assert_nothing(subscription);
}

/* All that was joined, and as it was filtered. */
static void assert_as_joined(const char *when) {
  for (uint32_t v6 = 0; v6 < 2; v6++) {
    assert_comes(true, v6 ? "ff15::1" : "239.1.1.1", 2, 9, when);
    for (uint32_t i = 0; i < SOURCES; i++) {
      assert_comes(true, v6 ? "ff15::2" : "239.1.1.2", 2, 101 + i, when);
      assert_comes(i >= TAKEN, v6 ? "ff15::3" : "239.1.1.3", 2, 101 + i, when);
    }
    assert_comes(false, v6 ? "ff15::2" : "239.1.1.2", 2, 9, when);
    assert_comes(true, v6 ? "ff15::3" : "239.1.1.3", 2, 9, when);
    for (uint32_t index = 2; index < 4; index++)
      assert_comes(true, v6 ? "ff15::4" : "239.1.1.4", index, 9, when);
  }
  assert_comes(true, "ff15::4", 2, 101, when);
  assert_comes(false, "ff12::1", 3, 105, when);
  assert_comes(true, "ff12::1", 3, 9, when);
}

static void assert_blocked_on_one(const char *when) {
  assert_comes(false, "ff15::4", 3, 101, when);
}

/* ---- every order ---- */

static void dip(uint32_t index, const char *name, uint32_t mtu) {
  assert_true(mctx_sim_interface_set(index, name, UP_FLAGS, mtu));
  set_interface(index, name, UP_FLAGS);
}

static void make_anew(uint32_t index, const char *name) {
  assert_true(mctx_sim_interface_remove(index));
  set_interface(index, name, UP_FLAGS);
}

enum step { DIP6, DIP_BOTH, ANEW, LOSE, LOOK, STEPS };

static void take_step(uint32_t step, told *sum) {
  if (step == DIP6) dip(2, "eth0", 1000);
  if (step == DIP_BOTH) dip(2, "eth0", 60);
  if (step == ANEW) make_anew(2, "eth0");
  if (step == LOSE) mctx_sim_watch_overflow();
  if (step == LOOK) take_events(sum);
}

static void run_order(uint32_t order, uint32_t binding) {
  enum { LONG = 4 };
  char when[64];
  uint32_t steps[LONG];
  told sum = {0};
  open_all_sorts(binding);
  const uint64_t in_system = mctx_sim_memberships();
  for (int i = 0; i < LONG; i++) {
    steps[i] = order % STEPS;
    order /= STEPS;
    take_step(steps[i], &sum);
  }
  take_events(&sum);
  (void)snprintf(when, sizeof when, "binding %u, %u %u %u %u", (unsigned)binding, (unsigned)steps[0],
                 (unsigned)steps[1], (unsigned)steps[2], (unsigned)steps[3]);
  assert_as_joined(when);
  assert_blocked_on_one(when);
  assert_alive(in_system);
  assert_int_equal(memberships_of(subscription, NULL, 0), MEMBERSHIPS);
  assert_int_equal(sum.lost, sum.rebuilt + sum.appeared);
  assert_int_equal(counter(subscription, "memberships_rebuilt"), sum.rebuilt);
  no_event(subscription);
  assert_closed(context);
  assert_holdings(fixture_before);
}

static void every_order_of_changes_and_losses_ends_well(void **state) {
  (void)state;
  for (uint32_t order = 0; order < STEPS * STEPS * STEPS * STEPS; order++)
    for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
         binding += MCTX_BINDING_WILDCARD)
      run_order(order, binding);
}

/* ---- what is joined anew, and what is not ---- */

static void all_memberships_are_joined_anew_once(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  join(subscription, "ff15::1", "eth0");
  join(subscription, "239.1.1.2", NULL);
  dip(2, "eth0", 1000);
  mctx_sim_watch_overflow();
  for (uint32_t index = 2; index < 4; index++) {
    const uint64_t count = index == 2 ? 3 : 1;
    assert_event(MCTX_EVENT_INTERFACE_LOST, index, count);
    assert_event(MCTX_EVENT_REBUILT, index, count);
  }
  no_event(subscription);
  const uint64_t left = mctx_sim_calls(MCTX_SIM_LEAVE);
  assert_int_equal(left, 4);
  set_interface(20, "dull", MCTX_INTERFACE_UP); /* nothing was lost of this one */
  no_event(subscription);
  assert_int_equal(mctx_sim_calls(MCTX_SIM_LEAVE), left);
  assert_int_equal(counter(subscription, "memberships_rebuilt"), 4);
  assert_closed(context);
}

static void nothing_is_joined_anew_when_nothing_was_lost(void **state) {
  (void)state;
  const mctx_address address = address_of("10.0.0.7/24");
  open_all_sorts(MCTX_BINDING_AUTO);
  const uint64_t joined = mctx_sim_calls(MCTX_SIM_JOIN);
  const uint64_t left = mctx_sim_calls(MCTX_SIM_LEAVE);
  for (uint32_t index = 20; index < 60; index++) {
    set_interface(index, "dull", MCTX_INTERFACE_UP);
    assert_true(mctx_sim_address_add(2, &address));
    assert_true(mctx_sim_address_remove(2, &address));
    /* More than is kept, but not between two looks. */
    assert_true(mctx_sim_interface_set(index, "dull", MCTX_INTERFACE_UP, 60));
    no_event(subscription);
  }
  assert_int_equal(mctx_sim_calls(MCTX_SIM_JOIN), joined);
  assert_int_equal(mctx_sim_calls(MCTX_SIM_LEAVE), left);
  assert_as_joined("without a loss");
  assert_blocked_on_one("without a loss");
  assert_closed(context);
}

/* On the same sockets, so that what had arrived is still received; with id, names and counts. */
static void what_was_not_ended_stays_as_it_is(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  join(subscription, "ff15::1", NULL);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
    assert_int_equal(arrive(2, "fd00::9", "ff15::1", 3), 1);
    mctx_sim_watch_overflow();
    const uint64_t opened = mctx_sim_calls(MCTX_SIM_SOCKET_OPEN);
    const mctx_membership_info named = membership_at(subscription, "239.1.1.1", 2);
    const mctx_membership_info other = membership_at(subscription, "ff15::1", 3);
    uint32_t seen = 0;
    for (int k = 0; k < 2; k++) {
      uint32_t number;
      assert_ok(try_recv(subscription, &number));
      seen |= number;
    }
    assert_int_equal(seen, 3);
    assert_int_equal(mctx_sim_calls(MCTX_SIM_SOCKET_OPEN), opened);
    assert_int_equal(membership_at(subscription, "239.1.1.1", 2).id, named.id);
    assert_int_equal(membership_at(subscription, "ff15::1", 3).id, other.id);
    assert_int_equal(membership_at(subscription, "239.1.1.1", 2).datagrams, 1 + i);
    assert_int_equal(membership_at(subscription, "ff15::1", 3).datagrams, 1 + i);
  }
  assert_closed(context);
}

/* Nothing is called by their names any more. */
static void memberships_stay_where_they_are(void **state) {
  (void)state;
  const mctx_address address = address_of("10.0.0.1");
  mctx_membership by_address = membership_of("239.1.1.2", NULL);
  by_address.ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address};
  open_plain();
  join(subscription, "ff15::1", "eth0");
  assert_ok(try_join(subscription, &by_address, NULL));
  set_interface(2, "lan0", UP_FLAGS);
  assert_true(mctx_sim_address_remove(2, &address));
  no_event(subscription);
  dip(2, "lan0", 60);
  mctx_sim_watch_overflow();
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 2);
  assert_event(MCTX_EVENT_REBUILT, 2, 2);
  assert_comes(true, "ff15::1", 2, 9, "renamed");
  assert_comes(true, "239.1.1.2", 2, 9, "without the address");
  assert_closed(context);
}

static void an_mtu_that_is_still_too_small_is_waited_for(void **state) {
  (void)state;
  open_plain();
  join(subscription, "ff15::1", "eth0");
  join(subscription, "239.1.1.1", "eth0");
  assert_true(mctx_sim_interface_set(2, "eth0", UP_FLAGS, 1000));
  mctx_sim_watch_overflow();
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  assert_event(MCTX_EVENT_REBUILT, 2, 1);
  no_event(subscription);
  assert_int_equal(membership_at(subscription, "ff15::1", 0).flags, MCTX_MEMBERSHIP_ABSENT);
  set_interface(2, "eth0", UP_FLAGS);
  assert_event(MCTX_EVENT_REBUILT, 2, 1);
  no_event(subscription);
  assert_comes(true, "ff15::1", 2, 9, "grown");
  assert_closed(context);
}

static void what_an_interface_refuses_is_not_joined_anew(void **state) {
  (void)state;
  open_plain();
  assert_true(mctx_sim_refuse(3, 6, MCTX_ERR_PERMISSION));
  join(subscription, "ff15::1", NULL);
  assert_event(MCTX_EVENT_REFUSED, 3, 1);
  mctx_sim_watch_overflow();
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  assert_event(MCTX_EVENT_REBUILT, 2, 1);
  no_event(subscription);
  assert_int_equal(membership_at(subscription, "ff15::1", 3).refusal, MCTX_ERR_PERMISSION);
  assert_true(mctx_sim_refuse(3, 6, MCTX_OK));
  mctx_sim_watch_overflow();
  assert_event(MCTX_EVENT_INTERFACE_LOST, 2, 1);
  assert_event(MCTX_EVENT_REBUILT, 2, 1);
  assert_event(MCTX_EVENT_INTERFACE_APPEARED, 3, 1);
  assert_comes(true, "ff15::1", 3, 9, "accepted");
  assert_closed(context);
}

static void every_subscription_joins_its_own_anew(void **state) {
  (void)state;
  open_plain();
  const mctx_subscription second = subscribe(context);
  const mctx_subscription both[2] = {subscription, second};
  for (int i = 0; i < 2; i++)
    join(both[i], "ff15::1", "eth0");
  dip(2, "eth0", 1000);
  mctx_sim_watch_overflow();
  for (int i = 0; i < 2; i++) {
    uint32_t number;
    assert_status(try_recv(both[i], &number), MCTX_ERR_WOULD_BLOCK); /* follows */
  }
  assert_int_equal(arrive(5, "fd00::9", "ff15::1", 2), 2);
  for (int i = 0; i < 2; i++)
    assert_received(both[i], 5);
  assert_closed(context);
}

/* ---- more than is kept ---- */

enum { CARDS = 40, FIRST_CARD = 100 };

static void open_many_cards(void) {
  open_plain();
  for (uint32_t i = 0; i < CARDS; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "x%u", (unsigned)i);
    set_interface(FIRST_CARD + i, name, UP_FLAGS);
    join(subscription, "239.1.1.1", name);
    join(subscription, "ff15::1", name);
  }
  no_event(subscription);
}

static void dip_cards(uint32_t first, uint32_t end) {
  for (uint32_t i = first; i < end; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "x%u", (unsigned)i);
    dip(FIRST_CARD + i, name, 60);
  }
}

static void assert_cards_hear(const char *when) {
  uint32_t number;
  assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK); /* follows */
  for (uint32_t i = 0; i < CARDS; i++) {
    assert_comes(true, "239.1.1.1", FIRST_CARD + i, 9, when);
    assert_comes(true, "ff15::1", FIRST_CARD + i, 9, when);
  }
  assert_alive(2 * CARDS);
  assert_int_equal(counter(subscription, "memberships_rebuilt"), 2 * CARDS);
  assert_closed(context);
}

static void more_interfaces_change_than_are_kept(void **state) {
  (void)state;
  open_many_cards();
  dip_cards(0, CARDS);
  assert_cards_hear("all at once");
}

static void more_interfaces_change_than_are_kept_while_they_cannot_be_looked_at(void **state) {
  (void)state;
  uint32_t number;
  open_many_cards();
  dip_cards(0, CARDS / 2);
  assert_true(mctx_sim_fault(MCTX_SIM_INTERFACES, 1, MCTX_SIM_FAIL, MCTX_ERR_TOO_MANY_DESCRIPTORS));
  assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK);
  dip_cards(CARDS / 2, CARDS);
  assert_cards_hear("one after the other");
}

static void a_loss_is_remembered_while_interfaces_cannot_be_looked_at(void **state) {
  (void)state;
  uint32_t number;
  open_plain();
  join(subscription, "ff15::1", "eth0");
  dip(2, "eth0", 1000);
  mctx_sim_watch_overflow();
  for (int i = 0; i < 3; i++) {
    assert_true(
        mctx_sim_fault(i == 1 ? MCTX_SIM_ALLOCATE : MCTX_SIM_INTERFACES, 1, MCTX_SIM_FAIL, MCTX_ERR_NO_MEMORY));
    assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK);
    assert_int_equal(mctx_sim_calls(MCTX_SIM_LEAVE), 0);
  }
  assert_status(try_recv(subscription, &number), MCTX_ERR_WOULD_BLOCK); /* follows */
  assert_comes(true, "ff15::1", 2, 9, "at last");
  assert_closed(context);
}

/* ---- failures ---- */

static const uint32_t sorts[] = {
    MCTX_SIM_ALLOCATE, MCTX_SIM_INTERFACES, MCTX_SIM_SOCKET_OPEN, MCTX_SIM_SOCKET_OPTION, MCTX_SIM_BIND,
    MCTX_SIM_JOIN,     MCTX_SIM_LEAVE,      MCTX_SIM_FILTER,      MCTX_SIM_POLLER,        MCTX_SIM_HOLD};
enum { SORTS = sizeof sorts / sizeof sorts[0] };

static void lose_all_sorts(uint32_t binding) {
  open_all_sorts(binding);
  dip(2, "eth0", 60);
  mctx_sim_watch_overflow();
}

/* `count` calls of that sort fail. */
static void fail_and_recover(uint32_t binding, uint32_t call, uint64_t nth, uint64_t count,
                             mctx_status failure) {
  char when[64];
  told sum = {0};
  (void)snprintf(when, sizeof when, "binding %u, %d of call %u from %d is %s", (unsigned)binding, (int)count,
                 (unsigned)call, (int)nth, mctx_status_name(failure));
  lose_all_sorts(binding);
  const uint64_t sockets = mctx_sim_open_sockets();
  for (uint64_t i = 0; i < count; i++)
    assert_true(mctx_sim_fault(call, nth + i, MCTX_SIM_FAIL, failure));
  take_events(&sum);
  mctx_sim_clear_faults();
  /* what failed is tried again with the next change; for lack of something, a second later */
  if (mctx_status_kind(failure) == MCTX_KIND_LIMIT)
    mctx_sim_advance(2 * SECOND);
  else
    set_interface(30, "other", MCTX_INTERFACE_UP);
  take_events(&sum);
  assert_as_joined(when);
  assert_int_equal(memberships_of(subscription, NULL, 0), MEMBERSHIPS);
  if (count == 1) assert_int_equal(sum.lost, sum.rebuilt + sum.appeared);
  if (count == 1) assert_int_equal(mctx_sim_open_sockets(), sockets); /* they can join again */
  mctx_sim_membership one;
  const bool is_let_go = call != MCTX_SIM_LEAVE || count == 1;
  for (uint64_t i = 0; mctx_sim_membership_at(i, &one); i++)
    if (one.alive == 0 && is_let_go) fail_msg("%s: a dead membership stays", when);
  assert_closed(context);
  assert_holdings(fixture_before);
}

static void each_failure_is_made_up_for(void **state) {
  (void)state;
  static const mctx_status failures[] = {MCTX_ERR_NO_MEMORY, MCTX_ERR_TOO_MANY_DESCRIPTORS,
                                         MCTX_ERR_PERMISSION};
  uint64_t done = 0;
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
       binding += MCTX_BINDING_WILDCARD) {
    uint64_t calls[SORTS];
    told sum = {0};
    lose_all_sorts(binding);
    for (int i = 0; i < SORTS; i++)
      calls[i] = mctx_sim_calls(sorts[i]);
    take_events(&sum);
    for (int i = 0; i < SORTS; i++)
      calls[i] = mctx_sim_calls(sorts[i]) - calls[i];
    assert_closed(context);
    for (int i = 0; i < SORTS; i++)
      for (uint64_t nth = 1; nth <= calls[i]; nth++)
        for (uint32_t k = 0; k < sizeof failures / sizeof failures[0]; k++)
          for (uint64_t count = 1; count <= 8; count += 7, done++)
            fail_and_recover(binding, sorts[i], nth, count, failures[k]);
  }
  assert_true(done > 300);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(every_order_of_changes_and_losses_ends_well),
      fixture_test(all_memberships_are_joined_anew_once),
      fixture_test(nothing_is_joined_anew_when_nothing_was_lost),
      fixture_test(what_was_not_ended_stays_as_it_is),
      fixture_test(memberships_stay_where_they_are),
      fixture_test(an_mtu_that_is_still_too_small_is_waited_for),
      fixture_test(what_an_interface_refuses_is_not_joined_anew),
      fixture_test(every_subscription_joins_its_own_anew),
      fixture_test(more_interfaces_change_than_are_kept),
      fixture_test(more_interfaces_change_than_are_kept_while_they_cannot_be_looked_at),
      fixture_test(a_loss_is_remembered_while_interfaces_cannot_be_looked_at),
      fixture_test(each_failure_is_made_up_for),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A subscription's one descriptor: its value never changes, and it is readable exactly as long as something can
 * be received, whoever asks: epoll, poll, select, an epoll around it, or the context's own. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include "host/random.h"
#include "host/subscription.h"

static taken got;

/* ---- asking ---- */

static int epoll_around(int descriptor) {
  struct epoll_event wanted = {.events = EPOLLIN};
  int outer = epoll_create1(EPOLL_CLOEXEC);
  assert_true(outer >= 0);
  assert_int_equal(0, epoll_ctl(outer, EPOLL_CTL_ADD, descriptor, &wanted));
  return outer;
}

static bool poll_says(int descriptor, int timeout_ms) {
  struct pollfd watched = {.fd = descriptor, .events = POLLIN};
  int count = poll(&watched, 1, timeout_ms);
  assert_true(count >= 0);
  if (count > 0) assert_int_equal(watched.revents, POLLIN);
  return count > 0;
}

static bool select_says(int descriptor) {
  fd_set set;
  struct timeval now = {0};
  FD_ZERO(&set);
  FD_SET(descriptor, &set);
  return select(descriptor + 1, &set, NULL, NULL, &now) == 1;
}

static bool epoll_says(int descriptor) {
  struct epoll_event event;
  int outer = epoll_around(descriptor);
  int count = epoll_wait(outer, &event, 1, 0);
  close(outer);
  return count == 1;
}

static bool waits_say(mctx_handle handle) {
  uint32_t ready = 0;
  mctx_status status = mctx_wait(handle, MCTX_READABLE, 0, 0, &ready, NULL);
  assert_status(status, ready == MCTX_READABLE ? MCTX_OK : MCTX_ERR_WOULD_BLOCK);
  return ready == MCTX_READABLE;
}

/* One subscription and all that looks at it, some since the start. */
typedef struct watched {
  mctx_context context;
  mctx_subscription subscription;
  int own;
  int around;
  int around_that;
  int contexts;
} watched;

static watched watch(mctx_context context, mctx_subscription subscription) {
  watched all = {.context = context, .subscription = subscription};
  all.own = pollable_of(subscription);
  all.contexts = pollable_of(context);
  all.around = epoll_around(all.own);
  all.around_that = epoll_around(all.around);
  return all;
}

static void unwatch(watched *all) {
  close(all->around_that);
  close(all->around);
}

/* Everybody says the same. A positive answer may take the moment that a datagram needs to arrive. */
static void assert_readable(const watched *all, bool expected) {
  assert_int_equal(poll_says(all->own, expected ? PATIENCE_MS : 0), expected);
  assert_int_equal(select_says(all->own), expected);
  assert_int_equal(epoll_says(all->own), expected);
  assert_int_equal(poll_says(all->around, 0), expected);
  assert_int_equal(poll_says(all->around_that, 0), expected);
  assert_int_equal(poll_says(all->contexts, 0), expected);
  assert_int_equal(waits_say(all->subscription), expected);
  assert_int_equal(waits_say(all->context), expected);
  assert_int_equal(pollable_of(all->subscription), all->own);
  assert_int_equal(pollable_of(all->context), all->contexts);
}

/* ---- every interleaving of arrival and drain ---- */

enum { GROUPS = 5, STEPS = 400 };

static uint32_t take_batch(mctx_subscription subscription) {
  static basket memory;
  basket_init(&memory);
  mctx_status status = mctx_recv_batch(subscription, &memory.batch, 0, 0, NULL);
  if (status != MCTX_OK) assert_status(status, MCTX_ERR_WOULD_BLOCK);
  return (uint32_t)memory.batch.datagram_count;
}

static void it_is_readable_as_long_as_there_is_something(void **state) {
  uint32_t family = host_family(state);
  uint64_t random = family;
  uint32_t pending = 0;
  host_pair();
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  options.max_group_sockets = 3; /* some groups share a socket */
  mctx_subscription subscription = subscribe_with(context, &options);
  watched all = watch(context, subscription);
  assert_readable(&all, false);
  for (uint32_t i = 1; i <= GROUPS; i++) {
    mctx_address group = group_at(family, i);
    join_group(subscription, &group, "va");
    assert_readable(&all, false);
  }
  int sender = sender_there(family, NULL, "vb");
  for (int i = 0; i < STEPS; i++) {
    mctx_address group = group_at(family, 1 + random_next(&random) % GROUPS);
    switch (random_next(&random) % 4) {
      case 0:
      case 1:
        send_text(sender, &group, "x");
        pending++;
        break;
      case 2:
        if (take_next(subscription, &got, pending > 0 ? PATIENCE_MS : 0)) pending--;
        break;
      default:
        pending -= take_batch(subscription);
    }
    assert_readable(&all, pending > 0);
  }
  close(sender);
  unwatch(&all);
  assert_ok(mctx_close(context, NULL));
}

/* ---- what was held back ---- */

static void what_is_held_back_keeps_it_readable(void **state) {
  enum { SEGMENT = 100, COUNT = 20 };
  unsigned char data[SEGMENT * COUNT] = {0};
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe(context, &group, "va");
  watched all = watch(context, subscription);
  int sender = sender_there(family, NULL, "vb");
  for (int round = 0; round < 3; round++) {
    send_superpacket(sender, &group, data, sizeof data, SEGMENT);
    for (int i = 0; i < COUNT; i++) {
      assert_readable(&all, true);
      if (round == 2 && i == COUNT / 2) break;
      assert_true(take_next(subscription, &got, PATIENCE_MS));
      assert_int_equal(got.length, SEGMENT);
    }
    if (round == 2) assert_int_equal(take_batch(subscription), COUNT - COUNT / 2); /* a batch takes the rest */
    assert_readable(&all, false);
  }
  close(sender);
  unwatch(&all);
  assert_ok(mctx_close(context, NULL));
}

/* Nothing that was sent to a left group is delivered after the call, and so nothing keeps it readable. */
static void what_is_held_back_goes_with_its_group(void **state) {
  enum { SEGMENT = 100, COUNT = 20 };
  unsigned char data[SEGMENT * COUNT] = {0};
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address other = group_at(family, 2);
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD; binding++) {
    mctx_subscription_options options = subscription_options();
    options.binding = binding;
    mctx_subscription subscription = subscribe_with(context, &options);
    join_group(subscription, &group, "va");
    join_group(subscription, &other, "va");
    watched all = watch(context, subscription);
    int sender = sender_there(family, NULL, "vb");
    send_superpacket(sender, &group, data, sizeof data, SEGMENT);
    assert_true(take_next(subscription, &got, PATIENCE_MS));
    leave_group(subscription, &group, "va");
    assert_takes_nothing(subscription);
    assert_readable(&all, false);
    send_text(sender, &other, "other");
    assert_readable(&all, true);
    assert_takes(subscription, "other");
    assert_readable(&all, false);
    close(sender);
    unwatch(&all);
    assert_ok(mctx_close(subscription, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

/* ---- what is no datagram ---- */

static void events_do_not_keep_it_readable(void **state) {
  static basket memory;
  happenings seen = {0};
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_address sourceless = address_of(family == 4 ? "232.1.1.1:5007" : "[ff35::1:1]:5007");
  mctx_subscription subscription = subscribe(context, &sourceless, NULL);
  watched all = watch(context, subscription);
  assert_readable(&all, false);
  host_cable("wa", "wb", 10); /* a change, followed by the next receive: then it is quiet, and events wait */
  assert_takes_nothing(subscription);
  assert_readable(&all, false);
  say_there(NULL, "vb", &sourceless, "x");
  basket_init(&memory);
  assert_ok(mctx_recv_batch(subscription, &memory.batch, 0, PATIENCE_MS * MILLI, NULL));
  assert_int_equal(memory.batch.flags, MCTX_RECEIVE_BATCH_EVENTS);
  assert_readable(&all, false);
  take_events(subscription, &seen);
  assert_non_null(event_of(&seen, MCTX_EVENT_SOURCELESS));
  assert_non_null(event_of(&seen, MCTX_EVENT_INTERFACE_APPEARED));
  say_there(NULL, "vb", &sourceless, "x");
  basket_init(&memory);
  assert_ok(mctx_recv_batch(subscription, &memory.batch, 0, PATIENCE_MS * MILLI, NULL));
  assert_int_equal(memory.batch.flags, 0);
  assert_readable(&all, false);
  unwatch(&all);
  assert_ok(mctx_close(context, NULL));
}

static void what_is_discarded_makes_it_readable_once(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  mctx_address group = group_at(family, 1);
  mctx_address here = unicast_at(family, 9, 1);
  here.port = PORT;
  options.binding = MCTX_BINDING_WILDCARD;
  mctx_subscription subscription = subscribe_with(context, &options);
  join_group(subscription, &group, "va");
  watched all = watch(context, subscription);
  for (int i = 0; i < 3; i++) {
    say_there(NULL, "vb", &here, "unicast");
    assert_readable(&all, true);
    assert_false(take_next(subscription, &got, 0));
    assert_readable(&all, false);
  }
  unwatch(&all);
  assert_ok(mctx_close(context, NULL));
}

/* ---- a context's ---- */

/* Of those that it has now, whenever they were opened. */
static void a_contexts_own_follows_its_subscriptions(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  int descriptor = pollable_of(context);
  mctx_subscription subscriptions[2];
  for (uint32_t i = 0; i < 2; i++) {
    mctx_address group = group_at(family, 1 + i);
    subscriptions[i] = subscribe(context, &group, "va");
    assert_false(poll_says(descriptor, 0));
    say_there(NULL, "vb", &group, "x");
    assert_true(poll_says(descriptor, PATIENCE_MS));
    if (i == 1) break;
    assert_takes(subscriptions[i], "x");
    assert_false(poll_says(descriptor, 0));
  }
  assert_ok(mctx_close(subscriptions[1], NULL)); /* with what it had */
  assert_false(poll_says(descriptor, 0));
  assert_int_equal(pollable_of(context), descriptor);
  assert_ok(mctx_close(context, NULL));
}

/* ---- a consumer that sleeps ---- */

enum { ALL = 20000 };

typedef struct consumer {
  int descriptor;
  mctx_subscription subscription;
  _Atomic uint32_t count;
  _Atomic bool missed; /* slept past something */
} consumer;

static void *sleep_and_drain(void *argument) {
  static basket memory;
  consumer *own = argument;
  uint64_t random = 1;
  while (own->count < ALL) {
    if (!poll_says(own->descriptor, PATIENCE_MS)) {
      own->missed = true;
      break;
    }
    for (uint32_t turns = 1 + random_next(&random) % 3; turns > 0; turns--) { /* it need not drain all */
      basket_init(&memory);
      memory.batch.datagram_capacity = 128;
      if (mctx_recv_batch(own->subscription, &memory.batch, 0, 0, NULL) == MCTX_OK)
        own->count += (uint32_t)memory.batch.datagram_count;
    }
  }
  return NULL;
}

/* Arrival and drain at the same time: nobody sleeps while something is there. */
static void no_arrival_is_slept_past(void **state) {
  uint32_t family = host_family(state);
  pthread_t thread;
  host_pair();
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  mctx_subscription subscription = subscribe_with(context, &options);
  mctx_address groups[GROUPS];
  for (uint32_t i = 0; i < GROUPS; i++) {
    groups[i] = group_at(family, 1 + i);
    join_group(subscription, &groups[i], "va");
  }
  watched all = watch(context, subscription);
  consumer own = {.descriptor = all.around_that, .subscription = subscription};
  assert_int_equal(0, pthread_create(&thread, NULL, sleep_and_drain, &own));
  int sender = sender_there(family, NULL, "vb");
  uint64_t random = 7;
  for (uint32_t i = 0; i < ALL && !own.missed; i++) {
    while (i - own.count > 100 && !own.missed) /* what a small receive buffer takes too */
      usleep(50);
    send_text(sender, &groups[random_next(&random) % GROUPS], "x");
    if (random_next(&random) % 50 == 0) usleep(random_next(&random) % 300);
  }
  assert_int_equal(0, pthread_join(thread, NULL));
  assert_false(own.missed);
  assert_int_equal(own.count, ALL);
  close(sender);
  unwatch(&all);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(it_is_readable_as_long_as_there_is_something),
      BOTH_FAMILIES(what_is_held_back_keeps_it_readable),
      BOTH_FAMILIES(what_is_held_back_goes_with_its_group),
      BOTH_FAMILIES(events_do_not_keep_it_readable),
      BOTH_FAMILIES(what_is_discarded_makes_it_readable_once),
      BOTH_FAMILIES(a_contexts_own_follows_its_subscriptions),
      BOTH_FAMILIES(no_arrival_is_slept_past),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

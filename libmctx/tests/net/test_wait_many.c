/* SPDX-License-Identifier: MIT */
/* Waiting for several subscriptions and publications at once: who is ready is told exactly, and only they. */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "host/subscription.h"

enum { SUBSCRIPTIONS = 4, LENGTH = 1000 };

typedef struct many {
  mctx_context context;
  mctx_subscription subscriptions[SUBSCRIPTIONS];
  mctx_publication publication;
  mctx_wait_item items[SUBSCRIPTIONS + 1];
} many;

/* Subscriptions of both kinds of sockets, and a publication with a small buffer before a slow link. */
static void open_many(many *all, uint32_t family) {
  host_pair();
  if (!host_try("tc qdisc add dev va root tbf rate 1mbit burst 4kb limit 1mb"))
    SKIP("this host has no tbf queue");
  all->context = open_context();
  for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) {
    mctx_subscription_options options = subscription_options();
    mctx_address group = group_at(family, 1 + i);
    options.binding = i % 2 == 0 ? MCTX_BINDING_AUTO : MCTX_BINDING_WILDCARD;
    all->subscriptions[i] = subscribe_with(all->context, &options);
    join_group(all->subscriptions[i], &group, "va");
    all->items[i] = (mctx_wait_item){.handle = all->subscriptions[i], .interest = MCTX_READABLE};
  }
  mctx_address sent = group_at(family, 100);
  mctx_publication_options options = options_through(text_with_port(&sent), "va");
  options.loopback = 0;
  options.send_buffer = 1;
  all->publication = open_with(all->context, &options);
  all->items[SUBSCRIPTIONS] = (mctx_wait_item){.handle = all->publication, .interest = MCTX_WRITABLE};
}

static mctx_status wait_for(many *all, int64_t timeout_ns, uint32_t *ready) {
  return mctx_wait_many(all->context, all->items, sizeof all->items[0], SUBSCRIPTIONS + 1, 0, timeout_ns, ready,
                        NULL);
}

static void fill_the_buffer(const many *all) {
  static const char payload[LENGTH];
  mctx_status status = MCTX_OK;
  for (int i = 0; i < 10000 && status == MCTX_OK; i++)
    status = mctx_send(all->publication, payload, LENGTH, NULL);
  assert_status(status, MCTX_ERR_WOULD_BLOCK);
}

/* The link makes room within milliseconds, in which this test may be held up. */
static void assert_not_ready_when_full(many *all) {
  enum { TRIES = 50 };
  mctx_status status = MCTX_OK;
  uint32_t ready;
  for (int i = 0; i < TRIES && status == MCTX_OK; i++) {
    fill_the_buffer(all);
    status = wait_for(all, 0, &ready);
  }
  assert_status(status, MCTX_ERR_WOULD_BLOCK);
}

static void exactly_the_ready_ones_are_told(void **state) {
  uint32_t family = host_family(state);
  uint32_t ready;
  many all;
  open_many(&all, family);
  all.items[SUBSCRIPTIONS].interest = 0;
  for (uint32_t chosen = 0; chosen < 1 << SUBSCRIPTIONS; chosen++) {
    uint32_t expected = 0;
    for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) {
      if (!(chosen >> i & 1)) continue;
      mctx_address group = group_at(family, 1 + i);
      say_there(NULL, "vb", &group, "x");
      uint32_t bit; /* until it is there */
      assert_ok(mctx_wait(all.subscriptions[i], MCTX_READABLE, 0, PATIENCE_MS * MILLI, &bit, NULL));
      expected++;
    }
    mctx_status status = wait_for(&all, 0, &ready);
    assert_status(status, expected > 0 ? MCTX_OK : MCTX_ERR_WOULD_BLOCK);
    assert_int_equal(ready, expected);
    for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) {
      assert_int_equal(all.items[i].ready, chosen >> i & 1 ? MCTX_READABLE : 0);
      if (chosen >> i & 1) assert_takes(all.subscriptions[i], "x");
    }
  }
  assert_ok(mctx_close(all.context, NULL));
}

static void a_publication_is_ready_when_it_has_room(void **state) {
  uint32_t family = host_family(state);
  uint32_t ready;
  many all;
  open_many(&all, family);
  assert_ok(wait_for(&all, -1, &ready));
  assert_int_equal(ready, 1);
  assert_int_equal(all.items[SUBSCRIPTIONS].ready, MCTX_WRITABLE);
  assert_not_ready_when_full(&all);
  assert_ok(wait_for(&all, PATIENCE_MS * MILLI, &ready)); /* the link makes room */
  assert_int_equal(ready, 1);
  fill_the_buffer(&all);
  mctx_address group = group_at(family, 3);
  say_there(NULL, "vb", &group, "x");
  assert_ok(wait_for(&all, PATIENCE_MS * MILLI, &ready));
  assert_true(all.items[2].ready == MCTX_READABLE || all.items[SUBSCRIPTIONS].ready == MCTX_WRITABLE);
  assert_takes(all.subscriptions[2], "x");
  assert_ok(mctx_close(all.context, NULL));
}

/* ---- a blocked one ---- */

typedef struct sleeper {
  many *all;
  pthread_t thread;
  mctx_status status;
  uint32_t ready;
} sleeper;

static void *sleep_in_wait(void *argument) {
  sleeper *own = argument;
  own->status = wait_for(own->all, PATIENCE_MS * MILLI, &own->ready);
  return NULL;
}

static void start(sleeper *own, many *all) {
  *own = (sleeper){.all = all};
  all->items[SUBSCRIPTIONS].interest = 0;
  assert_int_equal(0, pthread_create(&own->thread, NULL, sleep_in_wait, own));
  sleep_ms(30);
}

static void assert_ended(sleeper *own, mctx_status status) {
  assert_int_equal(0, pthread_join(own->thread, NULL));
  assert_status(own->status, status);
}

static void an_arrival_a_wake_or_a_close_ends_it(void **state) {
  uint32_t family = host_family(state);
  sleeper own;
  many all;
  open_many(&all, family);
  for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) {
    mctx_address group = group_at(family, 1 + i);
    start(&own, &all);
    say_there(NULL, "vb", &group, "x");
    assert_ended(&own, MCTX_OK);
    assert_int_equal(own.ready, 1);
    assert_int_equal(all.items[i].ready, MCTX_READABLE);
    assert_takes(all.subscriptions[i], "x");
  }
  start(&own, &all);
  assert_ok(mctx_wake(all.context));
  assert_ended(&own, MCTX_ERR_WOKEN);
  start(&own, &all);
  assert_ok(mctx_close(all.subscriptions[1], NULL));
  assert_ended(&own, MCTX_ERR_CLOSED);
  assert_status(wait_for(&all, -1, &own.ready), MCTX_ERR_CLOSED);
  assert_ok(mctx_close(all.context, NULL));
}

static void closing_the_context_ends_it(void **state) {
  uint32_t family = host_family(state);
  sleeper own;
  many all;
  open_many(&all, family);
  start(&own, &all);
  assert_ok(mctx_close(all.context, NULL));
  assert_ended(&own, MCTX_ERR_CLOSED);
}

/* Objects may be given again and again; the system counts each time. */
static void more_than_the_limit_of_descriptors_is_named(void **state) {
  enum { REPEATED = 100 };
  static mctx_wait_item items[REPEATED];
  mctx_error error = MCTX_ERROR_INIT;
  uint32_t ready;
  (void)state;
  host_namespace();
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  mctx_subscription subscription = subscribe_with(context, &options);
  for (uint32_t i = 0; i < REPEATED; i++)
    items[i] = (mctx_wait_item){.handle = subscription, .interest = MCTX_READABLE};
  assert_status(mctx_wait_many(context, items, sizeof items[0], REPEATED, 0, 0, &ready, &error),
                MCTX_ERR_WOULD_BLOCK);
  const uint64_t before = limit_descriptors(2 * REPEATED);
  const mctx_status status = mctx_wait_many(context, items, sizeof items[0], REPEATED, 0, 0, &ready, &error);
  const mctx_status fewer = mctx_wait_many(context, items, sizeof items[0], REPEATED - 1, 0, 0, &ready, NULL);
  (void)limit_descriptors(before);
  assert_status(status, MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_string_equal(error.field, "count");
  assert_int_equal(error.value, REPEATED);
  assert_string_not_equal(error.hint, "");
  assert_status(fewer, MCTX_ERR_WOULD_BLOCK);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(exactly_the_ready_ones_are_told),
      BOTH_FAMILIES(a_publication_is_ready_when_it_has_room),
      BOTH_FAMILIES(an_arrival_a_wake_or_a_close_ends_it),
      BOTH_FAMILIES(closing_the_context_ends_it),
      cmocka_unit_test(more_than_the_limit_of_descriptors_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Waiting for what arrives: deadlines in virtual time, several objects at once, waking, closing. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "sim_subscription.h"

static batch_memory memory;

static mctx_status recv_within(int64_t timeout_ns, uint32_t *number) {
  size_t length;
  return mctx_recv(subscription, number, sizeof *number, 0, timeout_ns, &length, NULL, 0, NULL);
}

static mctx_status batch_within(int64_t timeout_ns) {
  return mctx_recv_batch(subscription, batch_in(&memory), 0, timeout_ns, NULL);
}

/* ---- one subscription ---- */

static void a_receive_ends_when_something_arrives_or_at_its_deadline(void **state) {
  (void)state;
  open_joined();
  uint32_t number;
  uint32_t ready;
  for (int way = 0; way < 3; way++) {
    int64_t start = mctx_sim_now();
    arrive_later(7 * MILLI, 5, "10.0.0.9", "239.1.1.1", 2);
    if (way == 0) assert_ok(recv_within(-1, &number));
    if (way == 1) assert_ok(batch_within(SECOND));
    if (way == 2) assert_ok(mctx_wait(subscription, MCTX_READABLE, 0, -1, &ready, NULL));
    assert_int_equal(mctx_sim_now() - start, 7 * MILLI);
    if (way == 2) assert_received(subscription, 5);

    start = mctx_sim_now();
    mctx_status status = way == 0   ? recv_within(3 * MILLI, &number)
                         : way == 1 ? batch_within(3 * MILLI)
                                    : mctx_wait(subscription, MCTX_READABLE, 0, 3 * MILLI, &ready, NULL);
    assert_status(status, MCTX_ERR_TIMEOUT);
    assert_int_equal(mctx_sim_now() - start, 3 * MILLI);
  }
  int64_t start = mctx_sim_now();
  assert_status(recv_within(0, &number), MCTX_ERR_WOULD_BLOCK);
  assert_status(batch_within(0), MCTX_ERR_WOULD_BLOCK);
  assert_status(mctx_wait(subscription, MCTX_READABLE, 0, 0, &ready, NULL), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(mctx_sim_now(), start);
  assert_closed(context);
}

static void the_timeout_of_a_batch_is_for_the_first_datagram(void **state) {
  (void)state;
  open_joined();
  const int64_t start = mctx_sim_now();
  arrive_later(2 * MILLI, 1, "10.0.0.9", "239.1.1.1", 2);
  arrive_later(2 * MILLI, 2, "10.0.0.9", "239.1.1.1", 2);
  arrive_later(4 * MILLI, 3, "10.0.0.9", "239.1.1.1", 2);
  assert_ok(batch_within(SECOND));
  assert_int_equal(memory.batch.datagram_count, 2);
  assert_int_equal(mctx_sim_now() - start, 2 * MILLI);
  assert_closed(context);
}

/* What is discarded ends no receive, and does not prolong it. */
static void what_is_discarded_does_not_count_as_an_arrival(void **state) {
  (void)state;
  context = open_context();
  mctx_subscription_options options = subscription_options();
  options.binding = MCTX_BINDING_WILDCARD;
  subscription = subscribe_with(context, &options);
  join(subscription, "239.1.1.1", "eth0");
  uint32_t number;
  for (int way = 0; way < 2; way++) {
    int64_t start = mctx_sim_now();
    for (int64_t i = 1; i < 10; i++) {
      mctx_sim_arrival unicast = arrival_of("10.0.0.9", "10.0.0.1", 2);
      unicast.delay_ns = i * MILLI;
      assert_int_equal(mctx_sim_deliver(&unicast), 0);
    }
    assert_status(way == 0 ? recv_within(5 * MILLI, &number) : batch_within(5 * MILLI), MCTX_ERR_TIMEOUT);
    assert_int_equal(mctx_sim_now() - start, 5 * MILLI);
    arrive_later(7 * MILLI, 4, "10.0.0.9", "239.1.1.1", 2);
    assert_ok(way == 0 ? recv_within(-1, &number) : batch_within(-1));
    assert_int_equal(mctx_sim_now() - start, 12 * MILLI);
  }
  assert_int_equal(counter(subscription, "discarded_unicast"), 18);
  assert_closed(context);
}

static void a_wait_for_ever_needs_a_group(void **state) {
  (void)state;
  open_plain();
  uint32_t number;
  uint32_t ready;
  size_t length;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_recv(subscription, &number, 4, 0, -1, &length, NULL, 0, &error), MCTX_ERR_NOTHING_JOINED);
  assert_int_equal(error.kind, MCTX_KIND_USAGE);
  assert_string_equal(error.field, "timeout_ns");
  assert_true(strlen(error.hint) > 0);
  assert_status(batch_within(-1), MCTX_ERR_NOTHING_JOINED);
  assert_status(mctx_wait(subscription, MCTX_READABLE, 0, -1, &ready, &error), MCTX_ERR_NOTHING_JOINED);
  /* so for many, unless one of them may become ready */
  mctx_subscription other = subscribe(context);
  mctx_publication publication = open_group(context, "239.7.7.7:7000");
  mctx_wait_item items[3] = {
      {subscription, MCTX_READABLE, 0}, {other, MCTX_READABLE, 0}, {publication, MCTX_WRITABLE, 0}};
  uint32_t count;
  assert_status(mctx_wait_many(context, items, sizeof items[0], 2, 0, -1, &count, &error),
                MCTX_ERR_NOTHING_JOINED);
  assert_ok(mctx_wait_many(context, items, sizeof items[0], 3, 0, -1, &count, &error));
  join(other, "239.1.1.1", "eth0");
  arrive_later(MILLI, 1, "10.0.0.9", "239.1.1.1", 2);
  assert_ok(mctx_wait_many(context, items, sizeof items[0], 2, 0, -1, &count, &error));
  assert_int_equal(items[1].ready, MCTX_READABLE);
  /* with an end it is allowed */
  assert_status(recv_within(0, &number), MCTX_ERR_WOULD_BLOCK);
  assert_status(recv_within(MILLI, &number), MCTX_ERR_TIMEOUT);
  assert_status(batch_within(MILLI), MCTX_ERR_TIMEOUT);
  assert_status(mctx_wait(subscription, MCTX_READABLE, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  /* nothing is lost by it: after a join it works */
  join(subscription, "239.1.1.1", "eth0");
  arrive_later(MILLI, 3, "10.0.0.9", "239.1.1.1", 2);
  assert_ok(recv_within(-1, &number));
  assert_ok(leave(subscription, "239.1.1.1", NULL, NULL));
  assert_status(recv_within(-1, &number), MCTX_ERR_NOTHING_JOINED);
  assert_closed(context);
}

static void a_subscription_is_readable_and_never_writable(void **state) {
  (void)state;
  open_joined();
  uint32_t ready = 77;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_wait(subscription, MCTX_WRITABLE, 0, 0, &ready, &error), MCTX_ERR_INVALID_ARGUMENT);
  assert_string_equal(error.field, "interest");
  assert_int_equal(ready, 0);
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_status(mctx_wait(subscription, 0, 0, 0, &ready, NULL), MCTX_ERR_WOULD_BLOCK);
  assert_ok(mctx_wait(subscription, MCTX_READABLE, 0, 0, &ready, NULL));
  assert_int_equal(ready, MCTX_READABLE);
  assert_closed(context);
}

/* ---- contexts and pollable handles ---- */

static void a_pollable_handle_follows_every_arrival_and_drain(void **state) {
  (void)state;
  open_joined();
  mctx_os_handle native;
  mctx_os_handle of_context;
  mctx_os_handle again;
  uint32_t number;
  assert_ok(mctx_pollable(subscription, &native, NULL));
  assert_ok(mctx_pollable(context, &of_context, NULL));
  for (uint32_t round = 0; round < 4; round++) {
    assert_int_equal(mctx_sim_ready(&native), 0);
    assert_int_equal(mctx_sim_ready(&of_context), 0);
    for (uint32_t i = 0; i < 3; i++)
      assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
    for (uint32_t i = 0; i < 3; i++) {
      assert_int_equal(mctx_sim_ready(&native), MCTX_READABLE);
      assert_int_equal(mctx_sim_ready(&of_context), MCTX_READABLE);
      assert_ok(try_recv(subscription, &number));
    }
    assert_int_equal(mctx_sim_ready(&native), 0);
    char group[16];
    (void)snprintf(group, sizeof group, "239.1.3.%u", round); /* other sockets, the same handle */
    join(subscription, group, "eth0");
    assert_int_equal(arrive(round, "10.0.0.9", group, 2), 1);
    assert_int_equal(mctx_sim_ready(&native), MCTX_READABLE);
    assert_received(subscription, round);
    assert_ok(mctx_pollable(subscription, &again, NULL));
    assert_int_equal(again.value, native.value);
    assert_int_equal(again.type, MCTX_OS_DESCRIPTOR);
  }
  assert_closed(context);
}

static void what_was_held_back_before_keeps_a_handle_readable_that_is_asked_for_later(void **state) {
  (void)state;
  open_joined();
  mctx_os_handle native;
  mctx_os_handle of_context;
  unsigned char bytes[100];
  size_t length;
  arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 300, 100);
  assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
  assert_ok(mctx_pollable(context, &of_context, NULL));
  assert_int_equal(mctx_sim_ready(&of_context), MCTX_READABLE);
  assert_ok(mctx_pollable(subscription, &native, NULL));
  assert_int_equal(mctx_sim_ready(&native), MCTX_READABLE);
  assert_ok(batch_within(0));
  assert_int_equal(memory.batch.datagram_count, 2);
  assert_int_equal(mctx_sim_ready(&native), 0);
  assert_int_equal(mctx_sim_ready(&of_context), 0);
  assert_closed(context);
}

static void a_context_is_readable_when_one_of_its_subscriptions_is(void **state) {
  (void)state;
  uint32_t ready;
  context = open_context();
  assert_status(mctx_wait(context, MCTX_READABLE, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  mctx_subscription several[3];
  for (int i = 0; i < 3; i++) {
    several[i] = subscribe(context);
    join(several[i], i == 0 ? "239.1.1.1" : i == 1 ? "239.1.1.2" : "ff15::1", "eth0");
  }
  assert_status(mctx_wait(context, MCTX_READABLE, 0, 0, &ready, NULL), MCTX_ERR_WOULD_BLOCK);
  const int64_t start = mctx_sim_now();
  arrive_later(MILLI, 1, "10.0.0.9", "239.1.1.2", 2);
  arrive_later(2 * MILLI, 2, "fd00::9", "ff15::1", 2);
  assert_ok(mctx_wait(context, MCTX_READABLE, 0, -1, &ready, NULL));
  assert_int_equal(ready, MCTX_READABLE);
  assert_int_equal(mctx_sim_now() - start, MILLI);
  assert_received(several[1], 1);
  assert_ok(mctx_wait(context, MCTX_READABLE, 0, -1, &ready, NULL));
  assert_closed(several[2]);
  assert_status(mctx_wait(context, MCTX_READABLE, 0, 0, &ready, NULL), MCTX_ERR_WOULD_BLOCK);
  assert_closed(context);
}

/* ---- several objects ---- */

static void waiting_for_many_tells_each_that_is_ready(void **state) {
  (void)state;
  mctx_sim_buffer(1, 10 * MILLI);
  open_joined();
  mctx_subscription other = subscribe(context);
  join(other, "239.1.1.2", "eth1");
  mctx_context foreign = open_context();
  mctx_publication publication = open_group(foreign, "239.7.7.7:7000");
  assert_ok(mctx_send(publication, "x", 1, NULL)); /* its buffer is full now */
  mctx_wait_item items[3] = {
      {subscription, MCTX_READABLE, 77}, {other, MCTX_READABLE, 77}, {publication, MCTX_WRITABLE, 77}};
  uint32_t count = 77;
  assert_status(mctx_wait_many(context, items, sizeof items[0], 3, 0, 0, &count, NULL), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(count, 0);
  for (int i = 0; i < 3; i++)
    assert_int_equal(items[i].ready, 0);
  const int64_t start = mctx_sim_now();
  assert_status(mctx_wait_many(context, items, sizeof items[0], 3, 0, MILLI, &count, NULL), MCTX_ERR_TIMEOUT);
  assert_int_equal(mctx_sim_now() - start, MILLI);
  arrive_later(2 * MILLI, 1, "10.0.1.9", "239.1.1.2", 3);
  assert_ok(mctx_wait_many(context, items, sizeof items[0], 3, 0, -1, &count, NULL));
  assert_int_equal(mctx_sim_now() - start, 3 * MILLI);
  assert_int_equal(count, 1);
  assert_int_equal(items[0].ready, 0);
  assert_int_equal(items[1].ready, MCTX_READABLE);
  assert_int_equal(items[2].ready, 0);
  assert_received(other, 1);
  assert_ok(mctx_wait_many(context, items, sizeof items[0], 3, 0, -1, &count, NULL));
  assert_int_equal(mctx_sim_now() - start, 10 * MILLI);
  assert_int_equal(count, 1);
  assert_int_equal(items[2].ready, MCTX_WRITABLE);
  assert_int_equal(arrive(2, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_ok(mctx_wait_many(context, items, sizeof items[0], 3, 0, 0, &count, NULL));
  assert_int_equal(count, 2);
  assert_closed(foreign);
  assert_closed(context);
}

static void wrong_items_are_named(void **state) {
  (void)state;
  open_joined();
  uint32_t count = 77;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_wait_item items[2] = {{subscription, MCTX_READABLE, 77}, {subscription, MCTX_WRITABLE, 77}};
  assert_status(mctx_wait_many(context, items, sizeof items[0], 2, 0, 0, &count, &error),
                MCTX_ERR_INVALID_ARGUMENT);
  assert_string_equal(error.field, "interest");
  assert_int_equal(error.item, 1);
  assert_int_equal(count, 0);
  items[1] = (mctx_wait_item){context, MCTX_READABLE, 0};
  assert_status(mctx_wait_many(context, items, sizeof items[0], 2, 0, 0, &count, &error),
                MCTX_ERR_WRONG_HANDLE);
  assert_int_equal(error.item, 1);
  items[1] = (mctx_wait_item){12345, MCTX_READABLE, 0};
  assert_status(mctx_wait_many(context, items, sizeof items[0], 2, 0, 0, &count, &error),
                MCTX_ERR_INVALID_HANDLE);
  assert_int_equal(error.item, 1);
  assert_status(mctx_wait_many(subscription, items, sizeof items[0], 1, 0, 0, &count, &error),
                MCTX_ERR_WRONG_HANDLE);
  assert_status(mctx_wait_many(context, items, 8, 1, 0, 0, &count, &error), MCTX_ERR_STRUCT_SIZE);
  assert_status(mctx_wait_many(context, NULL, sizeof items[0], 1, 0, 0, &count, &error),
                MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(error.field, "items");
  assert_status(mctx_wait_many(context, items, sizeof items[0], 1, 0, 0, NULL, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(error.field, "ready_count");
  assert_status(mctx_wait_many(context, items, sizeof items[0], 1, 2, 0, &count, &error), MCTX_ERR_RESERVED);
  assert_status(mctx_wait_many(context, items, sizeof items[0], 4097, 0, 0, &count, &error),
                MCTX_ERR_INVALID_ARGUMENT);
  assert_string_equal(error.field, "count");
  assert_int_equal(error.limit, 4096);
  mctx_subscription closed = subscribe(context);
  assert_closed(closed);
  items[1] = (mctx_wait_item){closed, MCTX_READABLE, 0};
  assert_status(mctx_wait_many(context, items, sizeof items[0], 2, 0, 0, &count, &error), MCTX_ERR_CLOSED);
  assert_int_equal(error.item, 1);
  assert_closed(context);
}

static void many_can_be_as_many_as_4096(void **state) {
  (void)state;
  enum { MOST = 4096 };
  static mctx_wait_item items[MOST];
  open_joined();
  for (uint32_t i = 0; i < MOST; i++)
    items[i] = (mctx_wait_item){subscription, MCTX_READABLE, 0};
  uint32_t count;
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_ok(mctx_wait_many(context, items, sizeof items[0], MOST, 0, 0, &count, NULL));
  assert_int_equal(count, MOST);
  assert_closed(context);
}

/* ---- waking ---- */

static void a_wake_ends_one_wait_of_any_sort(void **state) {
  (void)state;
  open_joined();
  uint32_t number;
  uint32_t ready;
  uint32_t count;
  mctx_wait_item item = {subscription, MCTX_READABLE, 0};
  for (int way = 0; way < 4; way++) {
    for (int i = 0; i < 2; i++)
      assert_int_equal(mctx_wake(way == 3 ? context : subscription), MCTX_OK);
    for (int again = 0; again < 2; again++) {
      mctx_status status = way == 0   ? recv_within(MILLI, &number)
                           : way == 1 ? batch_within(MILLI)
                           : way == 2 ? mctx_wait(subscription, MCTX_READABLE, 0, MILLI, &ready, NULL)
                                      : mctx_wait_many(context, &item, sizeof item, 1, 0, MILLI, &count, NULL);
      assert_status(status, again == 0 ? MCTX_ERR_WOKEN : MCTX_ERR_TIMEOUT);
    }
  }
  /* a call that need not wait takes no token */
  assert_int_equal(mctx_wake(subscription), MCTX_OK);
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_ok(recv_within(-1, &number));
  assert_status(recv_within(0, &number), MCTX_ERR_WOULD_BLOCK);
  assert_status(recv_within(-1, &number), MCTX_ERR_WOKEN);
  assert_closed(context);
}

static void a_wake_of_an_item_ends_a_wait_for_many_and_is_named(void **state) {
  (void)state;
  open_joined();
  mctx_subscription other = subscribe(context);
  uint32_t count;
  uint32_t number;
  mctx_wait_item items[2] = {{subscription, MCTX_READABLE, 0}, {other, 0, 0}};
  mctx_error error = MCTX_ERROR_INIT;
  assert_int_equal(mctx_wake(other), MCTX_OK);
  (void)alarm(10); /* it must not spin */
  assert_status(mctx_wait_many(context, items, sizeof items[0], 2, 0, -1, &count, &error), MCTX_ERR_WOKEN);
  assert_int_equal(error.item, 1);
  assert_status(mctx_wait_many(context, items, sizeof items[0], 2, 0, MILLI, &count, NULL), MCTX_ERR_TIMEOUT);
  (void)alarm(0);
  /* one that ends otherwise leaves the token to the object */
  assert_int_equal(arrive(1, "10.0.0.9", "239.1.1.1", 2), 1);
  assert_ok(mctx_wait_many(context, items, sizeof items[0], 2, 0, -1, &count, NULL));
  assert_int_equal(mctx_wake(subscription), MCTX_OK);
  assert_received(subscription, 1);
  assert_status(recv_within(-1, &number), MCTX_ERR_WOKEN);
  assert_closed(context);
}

/* ---- threads ---- */

typedef struct waiter {
  pthread_t thread;
  int way;
  _Atomic int started;
  _Atomic int ended;
  mctx_status status;
} waiter;

static void *wait_for_ever(void *argument) {
  waiter *own = argument;
  uint32_t number;
  uint32_t ready;
  size_t length;
  static _Thread_local batch_memory own_memory;
  mctx_wait_item item = {subscription, MCTX_READABLE, 0};
  atomic_store(&own->started, 1);
  switch (own->way) {
    case 0:
      own->status = mctx_recv(subscription, &number, 4, 0, -1, &length, NULL, 0, NULL);
      break;
    case 1:
      own->status = mctx_recv_batch(subscription, batch_in(&own_memory), 0, -1, NULL);
      break;
    case 2:
      own->status = mctx_wait(subscription, MCTX_READABLE, 0, -1, &ready, NULL);
      break;
    case 3:
      own->status = mctx_wait_many(context, &item, sizeof item, 1, 0, -1, &ready, NULL);
      break;
    default:
      own->status = mctx_wait(context, MCTX_READABLE, 0, -1, &ready, NULL);
  }
  atomic_store(&own->ended, 1);
  return NULL;
}

static void nap(void) {
  const struct timespec moment = {.tv_nsec = 2000000};
  (void)nanosleep(&moment, NULL);
}

enum { WAYS = 5 };

static void start_waiters(waiter *waiters, int count) {
  for (int i = 0; i < count; i++) {
    waiters[i] = (waiter){.way = i % WAYS};
    assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_ever, &waiters[i]), 0);
  }
  for (int i = 0; i < count; i++)
    while (atomic_load(&waiters[i].started) == 0)
      nap();
  nap();
}

static void closing_ends_every_wait_on_the_subscription(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    waiter waiters[2 * (WAYS - 1)];
    open_joined();
    for (int i = 0; i < 2 * (WAYS - 1); i++) {
      waiters[i] = (waiter){.way = i % (WAYS - 1)};
      assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_ever, &waiters[i]), 0);
    }
    if (round % 2 == 0) nap();
    assert_closed(subscription);
    for (int i = 0; i < 2 * (WAYS - 1); i++) {
      assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
      assert_status(waiters[i].status, MCTX_ERR_CLOSED);
    }
    assert_closed(context);
  }
}

static void closing_the_context_ends_every_wait(void **state) {
  (void)state;
  for (int round = 0; round < 10; round++) {
    waiter waiters[2 * WAYS];
    open_joined();
    start_waiters(waiters, 2 * WAYS);
    assert_closed(context);
    for (int i = 0; i < 2 * WAYS; i++) {
      assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
      assert_status(waiters[i].status, MCTX_ERR_CLOSED);
    }
  }
}

static void one_datagram_goes_to_one_of_several_receivers(void **state) {
  (void)state;
  enum { RECEIVERS = 4 };
  waiter waiters[RECEIVERS];
  open_joined();
  for (int i = 0; i < RECEIVERS; i++) {
    waiters[i] = (waiter){.way = i % 2};
    assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_ever, &waiters[i]), 0);
  }
  nap();
  for (uint32_t i = 0; i < RECEIVERS; i++)
    assert_int_equal(arrive(i, "10.0.0.9", "239.1.1.1", 2), 1);
  nap();
  uint32_t woken = 0;
  for (int i = 0; i < RECEIVERS; i++) {
    while (atomic_load(&waiters[i].ended) == 0) { /* a batch may have taken all: the others are woken */
      assert_int_equal(mctx_wake(subscription), MCTX_OK);
      nap();
    }
    assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
    woken += waiters[i].status == MCTX_ERR_WOKEN;
    assert_true(waiters[i].status == MCTX_OK || waiters[i].status == MCTX_ERR_WOKEN);
  }
  assert_true(woken < RECEIVERS);
  assert_int_equal(counter(subscription, "packets_received"), RECEIVERS);
  assert_closed(context);
}

/* Held datagrams wake a second receiver that waits already. */
static void what_is_held_back_wakes_another_receiver(void **state) {
  (void)state;
  enum { RECEIVERS = 3 };
  waiter waiters[RECEIVERS];
  open_joined();
  for (int i = 0; i < RECEIVERS; i++) {
    waiters[i] = (waiter){.way = 0};
    assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_ever, &waiters[i]), 0);
  }
  nap();
  arrive_coalesced("10.0.0.9", "239.1.1.1", 2, 12, 4);
  for (int i = 0; i < RECEIVERS; i++) {
    assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
    assert_ok(waiters[i].status);
  }
  assert_int_equal(counter(subscription, "packets_received"), RECEIVERS);
  assert_nothing(subscription);
  assert_closed(context);
}

static void a_join_during_a_receive_is_received(void **state) {
  (void)state;
  waiter one = {.way = 0};
  open_joined();
  assert_int_equal(pthread_create(&one.thread, NULL, wait_for_ever, &one), 0);
  nap();
  join(subscription, "ff15::1", "eth1");
  assert_int_equal(arrive(1, "fd01::9", "ff15::1", 3), 1);
  assert_int_equal(pthread_join(one.thread, NULL), 0);
  assert_ok(one.status);
  assert_closed(context);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(a_receive_ends_when_something_arrives_or_at_its_deadline),
      fixture_test(the_timeout_of_a_batch_is_for_the_first_datagram),
      fixture_test(what_is_discarded_does_not_count_as_an_arrival),
      fixture_test(a_wait_for_ever_needs_a_group),
      fixture_test(a_subscription_is_readable_and_never_writable),
      fixture_test(a_pollable_handle_follows_every_arrival_and_drain),
      fixture_test(what_was_held_back_before_keeps_a_handle_readable_that_is_asked_for_later),
      fixture_test(a_context_is_readable_when_one_of_its_subscriptions_is),
      fixture_test(waiting_for_many_tells_each_that_is_ready),
      fixture_test(wrong_items_are_named),
      fixture_test(many_can_be_as_many_as_4096),
      fixture_test(a_wake_ends_one_wait_of_any_sort),
      fixture_test(closing_ends_every_wait_on_the_subscription),
      fixture_test(closing_the_context_ends_every_wait),
      fixture_test(one_datagram_goes_to_one_of_several_receivers),
      fixture_test(what_is_held_back_wakes_another_receiver),
      fixture_test(a_join_during_a_receive_is_received),
      fixture_test(a_wake_of_an_item_ends_a_wait_for_many_and_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

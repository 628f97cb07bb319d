/* SPDX-License-Identifier: MIT */
/* Many threads at one subscription: receives, changes of memberships, of interfaces, and the close, all at
 * once. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "sim_receive.h"

static mctx_context context;
static mctx_subscription subscription;
static _Atomic int is_over;
static _Atomic uint64_t delivered;

static void nap(void) {
  const struct timespec moment = {.tv_nsec = 100000};
  (void)nanosleep(&moment, NULL);
}

/* Until the handle is closed. */
static void *receive_one_by_one(void *argument) {
  (void)argument;
  uint32_t number;
  size_t length;
  mctx_message message;
  for (;;) {
    mctx_status status =
        mctx_recv(subscription, &number, sizeof number, 0, -1, &length, &message, sizeof message, NULL);
    if (status == MCTX_ERR_CLOSED) return NULL;
    if (status == MCTX_OK) atomic_fetch_add(&delivered, 1);
    if (status != MCTX_OK && status != MCTX_ERR_NOTHING_JOINED && status != MCTX_ERR_WOKEN)
      return "a receive failed";
    if (status == MCTX_OK && message.group.family == 0) return "a message without its group";
  }
}

static void *receive_batches(void *argument) {
  batch_memory *memory = argument;
  for (;;) {
    mctx_status status = mctx_recv_batch(subscription, batch_in(memory), 0, -1, NULL);
    if (status == MCTX_ERR_CLOSED) return NULL;
    if (status == MCTX_OK) atomic_fetch_add(&delivered, memory->batch.datagram_count);
    if (status != MCTX_OK && status != MCTX_ERR_NOTHING_JOINED && status != MCTX_ERR_WOKEN)
      return "a batch failed";
  }
}

static void *wait_for_readiness(void *argument) {
  (void)argument;
  uint32_t ready;
  mctx_wait_item item = {subscription, MCTX_READABLE, 0};
  for (;;) {
    mctx_status status = mctx_wait_many(context, &item, sizeof item, 1, 0, -1, &ready, NULL);
    if (status == MCTX_ERR_CLOSED) return NULL;
    if (status != MCTX_OK && status != MCTX_ERR_NOTHING_JOINED && status != MCTX_ERR_WOKEN)
      return "a wait failed";
    nap();
  }
}

static const char *const groups[] = {"239.1.1.1", "239.1.1.2", "ff15::1", "ff12::2"};
static const char *const sources[] = {"10.0.0.9", "10.0.0.8", "fd00::9", "fd00::8"};

static void *change_memberships(void *argument) {
  const uint32_t first = *(uint32_t *)argument;
  mctx_event events[16];
  uint64_t values[128];
  uint32_t count;
  for (uint32_t i = first; atomic_load(&is_over) == 0; i++) {
    const char *group = groups[i % 4];
    const mctx_membership membership = membership_of(group, i % 3 == 0 ? "eth0" : NULL);
    (void)try_join(subscription, &membership, NULL);
    (void)block(subscription, group, NULL, sources[i % 4], NULL);
    (void)allow(subscription, group, NULL, sources[i % 4], NULL);
    const mctx_handle asked = i % 2 == 0 ? subscription : context;
    mctx_status status = mctx_events(asked, events, sizeof events[0], 16, &count, NULL);
    if (status == MCTX_OK) status = mctx_metrics(asked, values, 128, &count, NULL);
    if (status != MCTX_OK && status != MCTX_ERR_CLOSED) return "a look failed";
    if (i % 5 == first) (void)leave(subscription, group, NULL, NULL);
    if (i % 7 == 0) (void)mctx_wake(subscription);
  }
  return NULL;
}

static void *let_things_happen(void *argument) {
  (void)argument;
  for (uint32_t i = 0; atomic_load(&is_over) == 0; i++) {
    (void)arrive(i, sources[i % 4 / 2 * 2], groups[i % 4], 2 + i % 2);
    if (i % 3 == 0) {
      mctx_sim_arrival arrival = arrival_of(sources[i % 4 / 2 * 2], groups[i % 4], 2);
      arrival.length = 16;
      arrival.segment_size = 4;
      (void)mctx_sim_deliver(&arrival);
    }
    if (i % 50 == 0) (void)mctx_sim_interface_remove(2);
    if (i % 50 == 10) (void)mctx_sim_interface_set(i % 100 == 10 ? 2 : 9, "eth0", UP_FLAGS, 1500);
    if (i % 50 == 40) (void)mctx_sim_interface_remove(9);
    if (i % 50 == 45) (void)mctx_sim_interface_set(2, "eth0", UP_FLAGS, 1500);
    nap();
  }
  return NULL;
}

static void everything_at_once_ends_when_the_handle_is_closed(void **state) {
  (void)state;
  enum { ENOUGH = 10 };
  static batch_memory memories[2];
  uint32_t firsts[2] = {0, 1};
  for (int round = 0; round < 12; round++) {
    pthread_t threads[8];
    mctx_sim_reset();
    atomic_store(&is_over, 0);
    context = open_context();
    mctx_subscription_options options = subscription_options();
    options.binding = round % 2 == 0 ? MCTX_BINDING_AUTO : MCTX_BINDING_WILDCARD;
    subscription = subscribe_with(context, &options);
    join(subscription, "239.1.1.1", NULL);
    assert_int_equal(pthread_create(&threads[0], NULL, receive_one_by_one, NULL), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, receive_one_by_one, NULL), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, receive_batches, &memories[0]), 0);
    assert_int_equal(pthread_create(&threads[3], NULL, receive_batches, &memories[1]), 0);
    assert_int_equal(pthread_create(&threads[4], NULL, wait_for_readiness, NULL), 0);
    assert_int_equal(pthread_create(&threads[5], NULL, let_things_happen, NULL), 0);
    for (int i = 0; i < 2; i++)
      assert_int_equal(pthread_create(&threads[6 + i], NULL, change_memberships, &firsts[i]), 0);
    const uint64_t before = atomic_load(&delivered);
    for (int i = 0; i < 300 || (i < 30000 && atomic_load(&delivered) < before + ENOUGH); i++)
      nap();
    assert_closed(round % 3 == 0 ? context : subscription);
    atomic_store(&is_over, 1);
    for (int i = 0; i < 8; i++) {
      void *complaint;
      assert_int_equal(pthread_join(threads[i], &complaint), 0);
      if (complaint != NULL) fail_msg("%s", (const char *)complaint);
    }
    if (round % 3 != 0) assert_closed(context);
    assert_holdings(fixture_before);
    assert_true(atomic_load(&delivered) >= before + ENOUGH);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(everything_at_once_ends_when_the_handle_is_closed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

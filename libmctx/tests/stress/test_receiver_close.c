/* SPDX-License-Identifier: MIT */
/* Closing under receivers, again and again: nobody hangs, nothing leaks, no descriptor is used after it was
 * given back. MCTX_CLOSE_ROUNDS says how many rounds. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/subscription.h"

enum { RECEIVERS = 2, REMEMBERED = 16 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 100000 };
#else
enum { ROUNDS = 20000 };
#endif

static _Atomic mctx_subscription target;
static _Atomic uint32_t inside; /* receivers that are about to call */
static _Atomic uint64_t ended;  /* calls that ended as they should */
static _Atomic int unexpected;
static _Atomic bool enough;

static void *receive_until_closed(void *argument) {
  static _Thread_local unsigned char arena[1 << 16];
  uint32_t turn = *(uint32_t *)argument;
  mctx_datagram datagrams[128];
  mctx_receive_batch batch = {.size = sizeof batch,
                              .arena = arena,
                              .arena_size = sizeof arena,
                              .datagrams = datagrams,
                              .datagram_capacity = 128};
  mctx_subscription done = 0;
  while (!enough) {
    mctx_subscription current = target;
    size_t length;
    uint32_t ready;
    mctx_status status;
    if (current == done) {
      sched_yield();
      continue;
    }
    inside++;
    switch (turn++ % 3) {
      case 0:
        status = mctx_recv(current, arena, sizeof arena, 0, -1, &length, NULL, 0, NULL);
        break;
      case 1:
        status = mctx_recv_batch(current, &batch, 0, -1, NULL);
        break;
      default:
        status = mctx_wait(current, MCTX_READABLE, 0, -1, &ready, NULL);
    }
    if (status != MCTX_ERR_CLOSED) unexpected = status;
    done = current;
    ended++;
  }
  return NULL;
}

static uint64_t rounds_wanted(void) {
  return number_wanted("MCTX_CLOSE_ROUNDS", ROUNDS);
}

/* Sometimes before they are inside, sometimes while they go to sleep, sometimes when they sleep. */
static void linger(uint64_t round) {
  if (round % 4 == 0) return;
  for (int i = 0; i < 1000 && inside < RECEIVERS; i++)
    sched_yield();
  if (round % 4 == 2) usleep((unsigned)(round % 100));
  for (uint64_t i = 0; round % 4 == 3 && i < round % 16; i++)
    sched_yield();
}

static void closing_ends_blocked_receivers_every_time(void **state) {
  static kernel_tables tables;
  pthread_t threads[RECEIVERS];
  uint32_t turns[RECEIVERS] = {0, 1};
  uint64_t rounds = rounds_wanted();
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_address groups[2] = {group_at(4, 1), group_at(6, 1)};
  mctx_address group = groups[0];
  enough = false;
  target = 0;
  /* The kernel rewrites its own code for the first socket that coalesces, and when the last one closes. */
  mctx_context anchors = open_context();
  for (int i = 0; i < 2; i++) {
    mctx_address anchor = group_at(groups[i].family, 100);
    if (i == 0 || access("/proc/sys/net/ipv6", F_OK) == 0) (void)subscribe(anchors, &anchor, "lo");
  }
  uint32_t held = descriptors_held();
  threads_start(threads, RECEIVERS, receive_until_closed, turns, sizeof turns[0]);
  int64_t start = now_ns();
  for (uint64_t round = 0; round < rounds && unexpected == 0; round++) {
    bool by_context = round % 8 == 5; /* closes what it owns */
    group = groups[round % 2 == 1 && access("/proc/sys/net/ipv6", F_OK) == 0];
    inside = 0;
    uint64_t before = ended;
    mctx_subscription opened = subscribe(context, &group, "lo");
    target = opened;
    linger(round);
    assert_ok(mctx_close(by_context ? context : opened, NULL));
    if (by_context) context = open_context();
    int64_t begin = now_ns();
    while (ended < before + RECEIVERS && now_ns() - begin < 10 * SECOND)
      sched_yield();
    assert_int_equal(ended, before + RECEIVERS);
  }
  print_message("figures: %u rounds of closing under %d receivers, %d us each\n", (unsigned)rounds, RECEIVERS,
                (int)((now_ns() - start) / 1000 / (int64_t)rounds));
  enough = true;
  threads_join(threads, RECEIVERS);
  if (unexpected != 0) fail_msg("a receive ended with %s", mctx_status_name(unexpected));
  assert_int_equal(descriptors_held(), held);
  assert_ok(mctx_close(anchors, NULL));
  kernel_tables_read(&tables);
  assert_int_equal(tables.group_count, 0);
  assert_ok(mctx_close(context, NULL));
}

/* ---- descriptors' numbers ---- */

static void *keep_receiving(void *argument) {
  (void)argument;
  while (!enough) {
    char data[64];
    size_t length;
    uint32_t ready;
    mctx_status status = mctx_recv(target, data, sizeof data, 0, 0, &length, NULL, 0, NULL);
    if (status == MCTX_OK) unexpected = 1;
    (void)!mctx_wait(target, MCTX_READABLE, 0, MILLI / 10, &ready, NULL);
  }
  return NULL;
}

/* The numbers are given at once to a socket that has something: a receiver that used one would take it. */
static void nobody_receives_on_a_number_used_again(void **state) {
  enum { TIMES = 1500 };
  pthread_t threads[RECEIVERS];
  char byte;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_address group = group_at(4, 1);
  mctx_address own = address_of("239.9.9.9:5009");
  int decoy = receiver_open("239.9.9.9:5009", "lo");
  say(NULL, "lo", &own, "y");
  assert_int_equal(1, recv(decoy, &byte, 1, MSG_PEEK));
  target = subscribe(context, &group, "lo");
  enough = false;
  unexpected = 0;
  threads_start(threads, RECEIVERS, keep_receiving, NULL, 0);
  int wrong = 0;
  for (int i = 0; i < TIMES; i++) {
    int numbers[REMEMBERED];
    wrong += mctx_close(target, NULL) != MCTX_OK;
    for (int k = 0; k < REMEMBERED; k++)
      numbers[k] = dup(decoy);
    if (i % 7 == 0) usleep(500);
    wrong += recv(decoy, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1;
    for (int k = 0; k < REMEMBERED; k++)
      close(numbers[k]);
    target = subscribe(context, &group, "lo");
    if (i % 3 == 0) sched_yield();
  }
  enough = true;
  threads_join(threads, RECEIVERS);
  assert_int_equal(wrong, 0);
  assert_int_equal(unexpected, 0);
  close(decoy);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(closing_ends_blocked_receivers_every_time),
      cmocka_unit_test(nobody_receives_on_a_number_used_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

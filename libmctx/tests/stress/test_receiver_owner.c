/* SPDX-License-Identifier: MIT */
/* A thread that is alone with a subscription receives without locked operations, until somebody else comes:
 * others that look, receive or close at any moment. What is received stays exact, and what was counted is what
 * stood between two calls. MCTX_OWNER_MS says how long each part takes. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/subscription.h"

enum { VALUES = 128, SIZE = 8, AT_ONCE = 64, GUESTS = 2 };

static mctx_context owner;
static _Atomic mctx_subscription target;
static _Atomic bool enough;
static _Atomic bool is_all_sent;
static _Atomic uint64_t sent;
static _Atomic uint64_t received;
static _Atomic uint64_t sum; /* of all numbers received */
static const char *_Atomic complaint;

static int64_t duration(void) {
  return (int64_t)number_wanted("MCTX_OWNER_MS", 1500) * MILLI;
}

static void start(void) {
  enough = false;
  is_all_sent = false;
  complaint = NULL;
  sent = received = sum = 0;
}

static void take(const void *data) {
  uint64_t number;
  memcpy(&number, data, sizeof number);
  sum += number;
  received++;
}

/* Never more than the socket can hold. */
static void *keep_sending(void *argument) {
  mctx_address group = *(const mctx_address *)argument;
  int sender = sender_open(4, NULL, "lo");
  group.port = PORT;
  for (uint64_t number = 1; !enough; number++) {
    while (!enough && sent - received > AT_ONCE)
      sched_yield();
    send_bytes(sender, &group, &number, sizeof number);
    sent = number;
  }
  is_all_sent = true;
  close(sender);
  return NULL;
}

static bool receive_one(void) {
  uint64_t number;
  size_t length;
  mctx_status status = mctx_recv(target, &number, sizeof number, 0, 0, &length, NULL, 0, NULL);
  if (status == MCTX_OK && length == sizeof number) take(&number);
  if (status == MCTX_OK && length != sizeof number) complaint = "a datagram of another length";
  return status == MCTX_OK;
}

static bool receive_many(basket *memory) {
  basket_init(memory);
  if (mctx_recv_batch(target, &memory->batch, 0, 0, NULL) != MCTX_OK) return false;
  for (uint64_t i = 0; i < memory->batch.datagram_count; i++)
    take(payload_in(memory, i));
  return true;
}

static void *keep_receiving(void *argument) {
  basket *memory = malloc(sizeof *memory);
  (void)argument;
  for (uint32_t i = 0; memory != NULL && (!is_all_sent || sent != received) && complaint == NULL; i++) {
    bool something = i / 1000 % 2 == 0 ? receive_one() : receive_many(memory);
    if (!something) sched_yield();
  }
  free(memory);
  return NULL;
}

/* Comes by again and again for a moment, and takes some too. */
static void *come_by(void *argument) {
  (void)argument;
  for (uint64_t rounds = 0; !enough; rounds++) {
    for (uint64_t i = 0; i < rounds % 50; i++)
      (void)receive_one();
    usleep((unsigned)(rounds % 100));
  }
  return NULL;
}

/* All datagrams are of one size, so bytes that do not fit them were read while they were being counted. */
static void look(uint64_t *last) {
  uint64_t values[VALUES];
  uint32_t count;
  mctx_membership_info info;
  mctx_status status = mctx_metrics(target, values, VALUES, &count, NULL);
  if (status != MCTX_OK) complaint = "no metrics";
  status = mctx_memberships(target, &info, sizeof info, 1, &count, NULL);
  if (status != MCTX_OK || count != 1) complaint = "no membership";
  if (info.bytes != info.datagrams * SIZE) complaint = "counters of a membership that were never so";
  if (info.datagrams < *last) complaint = "a counter that fell";
  *last = info.datagrams;
}

static void run(void *(*guest)(void *), uint32_t guests) {
  pthread_t threads[2 + GUESTS];
  uint64_t last = 0;
  uint64_t looks = 0;
  mctx_address group = group_at(4, 1);
  host_alone();
  start();
  owner = open_context();
  target = subscribe(owner, &group, "lo");
  assert_int_equal(0, pthread_create(&threads[0], NULL, keep_sending, &group));
  assert_int_equal(0, pthread_create(&threads[1], NULL, keep_receiving, NULL));
  threads_start(threads + 2, guests, guest, NULL, 0);
  for (int64_t end = now_ns() + duration(); now_ns() < end && complaint == NULL; looks++) {
    look(&last);
    if (looks % 16 == 0) usleep((unsigned)(looks % 300));
  }
  enough = true;
  threads_join(threads, 2 + guests);
  if (complaint != NULL) fail_msg("%s", complaint);
  look(&last);
  assert_true(complaint == NULL);
  assert_true(last == sent && received == sent);
  assert_true(sum == sent * (sent + 1) / 2);
  assert_int_equal(counter_of(target, "packets_received"), sent);
  assert_int_equal(counter_of(target, "bytes_received"), sent * SIZE);
  print_message("figures: %u datagrams, %u looks\n", (unsigned)sent, (unsigned)looks);
  assert_ok(mctx_close(owner, NULL));
}

static void an_owner_and_one_who_looks(void **state) {
  (void)state;
  run(NULL, 0);
}

static void an_owner_and_others_who_receive(void **state) {
  (void)state;
  run(come_by, GUESTS);
}

/* ---- closing ---- */

static _Atomic uint64_t calls;

static void *receive_until_told(void *argument) {
  char data[SIZE];
  size_t length;
  (void)argument;
  while (!enough) {
    mctx_status status = mctx_recv(target, data, sizeof data, 0, 0, &length, NULL, 0, NULL);
    if (status != MCTX_OK && status != MCTX_ERR_WOULD_BLOCK && status != MCTX_ERR_CLOSED)
      complaint = mctx_status_name(status);
    calls++;
  }
  return NULL;
}

/* After enough calls that it is his own, and at any moment of a call. */
static void closing_waits_for_the_owner(void **state) {
  pthread_t receiver;
  uint64_t rounds = 0;
  mctx_address group = group_at(4, 1);
  (void)state;
  host_alone();
  start();
  owner = open_context();
  uint32_t held = descriptors_held();
  target = subscribe(owner, &group, "lo");
  assert_int_equal(0, pthread_create(&receiver, NULL, receive_until_told, NULL));
  for (int64_t end = now_ns() + duration(); now_ns() < end && complaint == NULL; rounds++) {
    for (uint64_t before = calls; calls < before + 50 + rounds % 50;)
      sched_yield();
    mctx_subscription old = target;
    target = subscribe(owner, &group, "lo");
    assert_ok(mctx_close(old, NULL));
  }
  enough = true;
  assert_int_equal(0, pthread_join(receiver, NULL));
  if (complaint != NULL) fail_msg("a receive gave %s", complaint);
  print_message("figures: %u rounds\n", (unsigned)rounds);
  assert_ok(mctx_close(target, NULL));
  assert_int_equal(descriptors_held(), held);
  assert_ok(mctx_close(owner, NULL));
}

/* Threads come and go; each has had it as its own, and none gives it back. */
static void *receive_for_a_while(void *argument) {
  for (int i = 0; i < 100; i++)
    (void)receive_one();
  return argument;
}

static void owners_that_end_leave_it_to_others(void **state) {
  mctx_address group = group_at(4, 1);
  (void)state;
  host_alone();
  start();
  owner = open_context();
  target = subscribe(owner, &group, "lo");
  int sender = sender_open(4, NULL, "lo");
  mctx_address to = group;
  to.port = PORT;
  for (uint64_t number = 1; number <= 400; number++) {
    pthread_t thread;
    send_bytes(sender, &to, &number, sizeof number);
    sent = number;
    assert_int_equal(0, pthread_create(&thread, NULL, receive_for_a_while, NULL));
    assert_int_equal(0, pthread_join(thread, NULL));
    if (number % 2 == 0) (void)receive_for_a_while(NULL);
  }
  close(sender);
  assert_true(received == sent && sum == sent * (sent + 1) / 2);
  assert_int_equal(counter_of(target, "packets_received"), sent);
  assert_ok(mctx_close(owner, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_owner_and_one_who_looks),
      cmocka_unit_test(an_owner_and_others_who_receive),
      cmocka_unit_test(closing_waits_for_the_owner),
      cmocka_unit_test(owners_that_end_leave_it_to_others),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

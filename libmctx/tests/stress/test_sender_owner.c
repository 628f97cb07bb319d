/* SPDX-License-Identifier: MIT */
/* A thread that is alone with a publication sends without locked operations, until somebody else comes: others
 * that look, send or close at any moment. What is counted stays exact, and is what stood between two calls.
 * MCTX_OWNER_MS says how long each part takes. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "host/host.h"

enum { VALUES = 64, SIZE = 24, BATCH = 10, LONG = 2000, GUESTS = 2 };

static mctx_context owner;
static _Atomic mctx_publication target;
static _Atomic bool enough;
static _Atomic uint64_t calls;
static _Atomic uint64_t sent;
static const char *_Atomic complaint;

static int64_t duration(void) {
  return (int64_t)number_wanted("MCTX_OWNER_MS", 1500) * MILLI;
}

static void start(void) {
  host_alone();
  enough = false;
  complaint = NULL;
  calls = sent = 0;
  owner = open_context();
}

static mctx_publication publish(void) {
  mctx_publication_options options = options_through("239.7.7.7:5007", "lo");
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  return open_with(owner, &options);
}

/* In each way in turn, the last of which takes long. Nobody receives, so nothing is ever refused. */
static mctx_status send_some(uint64_t turn) {
  static const unsigned char data[SIZE * LONG];
  mctx_slice slices[BATCH];
  mctx_status status;
  uint64_t accepted = 0;
  for (uint64_t i = 0; i < BATCH; i++)
    slices[i] = (mctx_slice){.data = data, .length = SIZE};
  if (turn % 4 < 2) {
    status = mctx_send(target, data, SIZE, NULL);
    accepted = status == MCTX_OK;
  } else if (turn % 16 != 15) {
    status = mctx_send_batch(target, slices, 1 + turn % BATCH, 0, 0, &accepted, NULL);
  } else {
    status = mctx_send_segments(target, data, sizeof data, SIZE, 0, 0, &accepted, NULL);
  }
  sent += accepted;
  calls++;
  return status;
}

static void *keep_sending(void *argument) {
  (void)argument;
  for (uint64_t turn = 0; !enough && complaint == NULL; turn++) {
    mctx_status status = send_some(turn);
    if (status != MCTX_OK) complaint = mctx_status_name(status);
  }
  return NULL;
}

/* Comes by again and again for a moment, and sends some too. */
static void *come_by(void *argument) {
  for (uint64_t rounds = 0; !enough && complaint == NULL; rounds++) {
    for (uint64_t i = 0; i < rounds % 50; i++)
      if (send_some(i) != MCTX_OK) complaint = "a guest could not send";
    usleep((unsigned)(rounds % 100));
  }
  return argument;
}

static void *send_to_all(void *argument) {
  static const unsigned char data[SIZE];
  for (uint64_t rounds = 0; !enough && complaint == NULL; rounds++) {
    uint32_t count;
    if (mctx_send_all(owner, data, SIZE, NULL, 0, 0, &count, NULL) != MCTX_OK) complaint = "not sent to all";
    sent += count;
    calls++;
    usleep((unsigned)(rounds % 300));
  }
  return argument;
}

typedef struct sums {
  uint64_t calls;
  uint64_t packets;
  uint64_t bytes;
  uint64_t errors;
} sums;

/* All datagrams are of one size, so bytes that do not fit them were read while they were being counted. */
static sums look(const sums *last) {
  uint64_t values[VALUES];
  uint32_t count;
  if (mctx_metrics(target, values, VALUES, &count, NULL) != MCTX_OK) complaint = "no metrics";
  const sums now = {values[0], values[1], values[2], values[3]};
  if (now.bytes != now.packets * SIZE) complaint = "counters that were never so";
  if (now.calls < last->calls || now.packets < last->packets) complaint = "a counter that fell";
  return now;
}

static void run(void *(*guest)(void *), uint32_t guests) {
  pthread_t threads[1 + GUESTS];
  sums seen = {0};
  uint64_t looks = 0;
  start();
  target = publish();
  assert_int_equal(0, pthread_create(&threads[0], NULL, keep_sending, NULL));
  threads_start(threads + 1, guests, guest, NULL, 0);
  for (int64_t end = now_ns() + duration(); now_ns() < end && complaint == NULL; looks++) {
    seen = look(&seen);
    if (looks % 16 == 0) usleep((unsigned)(looks % 300));
  }
  enough = true;
  threads_join(threads, 1 + guests);
  seen = look(&seen);
  if (complaint != NULL) fail_msg("%s", complaint);
  print_message("figures: %u datagrams, %u looks\n", (unsigned)sent, (unsigned)looks);
  assert_int_equal(seen.calls, calls);
  assert_int_equal(seen.packets, sent);
  assert_int_equal(seen.errors, 0);
  assert_ok(mctx_close(owner, NULL));
}

static void an_owner_and_one_who_looks(void **state) {
  (void)state;
  run(NULL, 0);
}

static void an_owner_and_others_who_send(void **state) {
  (void)state;
  run(come_by, GUESTS);
}

static void an_owner_and_one_who_sends_to_all(void **state) {
  (void)state;
  run(send_to_all, 1);
}

/* ---- closing ---- */

static void *send_until_told(void *argument) {
  for (uint64_t turn = 0; !enough; turn++) {
    mctx_status status = send_some(turn);
    if (status != MCTX_OK && status != MCTX_ERR_CLOSED) complaint = mctx_status_name(status);
  }
  return argument;
}

/* After enough calls that it is his own, and at any moment of a call. */
static void closing_waits_for_the_owner(void **state) {
  pthread_t sender;
  uint64_t rounds = 0;
  (void)state;
  start();
  uint32_t held = descriptors_held();
  target = publish();
  assert_int_equal(0, pthread_create(&sender, NULL, send_until_told, NULL));
  for (int64_t end = now_ns() + duration(); now_ns() < end && complaint == NULL; rounds++) {
    for (uint64_t before = calls; calls < before + 50 + rounds % 50;)
      sched_yield();
    mctx_publication old = target;
    target = publish();
    assert_ok(mctx_close(old, NULL));
  }
  enough = true;
  assert_int_equal(0, pthread_join(sender, NULL));
  if (complaint != NULL) fail_msg("a send gave %s", complaint);
  print_message("figures: %u rounds\n", (unsigned)rounds);
  assert_ok(mctx_close(target, NULL));
  assert_int_equal(descriptors_held(), held);
  /* The sums of those that were closed lost nothing. */
  assert_int_equal(metric_of(owner, MCTX_HANDLE_CONTEXT, "total_packets_sent"), sent);
  assert_int_equal(metric_of(owner, MCTX_HANDLE_CONTEXT, "total_bytes_sent"), sent * SIZE);
  assert_ok(mctx_close(owner, NULL));
}

/* ---- many owners ---- */

/* Threads come and go; each has had it as its own, and none gives it back. */
static void *send_for_a_while(void *argument) {
  for (uint64_t turn = 0; turn < 100; turn++)
    if (send_some(turn) != MCTX_OK) complaint = "not sent";
  return argument;
}

static void owners_that_end_leave_it_to_others(void **state) {
  (void)state;
  start();
  target = publish();
  for (int i = 0; i < 300; i++) {
    pthread_t thread;
    assert_int_equal(0, pthread_create(&thread, NULL, send_for_a_while, NULL));
    assert_int_equal(0, pthread_join(thread, NULL));
    if (i % 2 == 0) (void)send_for_a_while(NULL);
  }
  assert_true(complaint == NULL);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "packets_sent"), sent);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "send_calls"), calls);
  assert_ok(mctx_close(owner, NULL));
}

/* A closed one's handle is nothing to its owner, whatever has its place now. */
static void the_next_in_its_place_is_another(void **state) {
  static const unsigned char data[SIZE];
  (void)state;
  start();
  for (int i = 0; i < 200; i++) {
    target = publish();
    send_for_a_while(NULL);
    mctx_publication old = target;
    assert_ok(mctx_close(old, NULL));
    target = publish();
    assert_status(mctx_send(old, data, SIZE, NULL), MCTX_ERR_CLOSED);
    send_for_a_while(NULL);
    assert_status(mctx_send(old, data, SIZE, NULL), MCTX_ERR_CLOSED);
    assert_ok(mctx_close(target, NULL));
  }
  assert_true(complaint == NULL);
  assert_ok(mctx_close(owner, NULL));
}

/* A send that fails is counted as what it is, though the publication is the thread's own. */
static void failures_of_the_owner_count(void **state) {
  static const unsigned char data[SIZE];
  (void)state;
  start();
  target = publish();
  (void)send_for_a_while(NULL);
  assert_status(mctx_send(target, data, 100000, NULL), MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_ok(mctx_send(target, data, SIZE, NULL));
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "send_errors"), 1);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "packets_sent"), sent + 1);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "send_calls"), calls + 2);
  assert_ok(mctx_close(owner, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_owner_and_one_who_looks),         cmocka_unit_test(an_owner_and_others_who_send),
      cmocka_unit_test(an_owner_and_one_who_sends_to_all),  cmocka_unit_test(closing_waits_for_the_owner),
      cmocka_unit_test(owners_that_end_leave_it_to_others), cmocka_unit_test(the_next_in_its_place_is_another),
      cmocka_unit_test(failures_of_the_owner_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

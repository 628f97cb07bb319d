/* SPDX-License-Identifier: MIT */
/* Waits on real threads: closing ends them at once, a wake ends exactly one, a signal only one that asked for
 * it. Blocked are waits for events, and batches that wait for room or for their pace. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "host/delays.h"
#include "host/recorder.h"
#include "host/waiter.h"

enum { WAITERS = 4, P99_MS = 10 };

static const char *const group = "239.7.7.7:5007";

/* ---- the calls ---- */

typedef enum place { ON_PUBLICATION, ON_CONTEXT, IN_BATCH, IN_BACKOFF, IN_PACE, PLACES, IN_TINY_PIECES } place;

enum { COUNT = 3000, LENGTH = 1000 };

static unsigned char payloads[COUNT][LENGTH];
static unsigned char endless[256 << 20]; /* in pieces of one byte, which takes seconds at least */

static mctx_status call(waiter *own) {
  uint32_t ready;
  if (own->where == ON_PUBLICATION)
    return mctx_wait(own->handle, MCTX_READABLE, own->flags, -1, &ready, &own->error);
  if (own->where == ON_CONTEXT) return mctx_wait(own->handle, 0, own->flags, -1, &ready, &own->error);
  if (own->where == IN_TINY_PIECES)
    return mctx_send_segments(own->handle, endless, sizeof endless, 1, own->flags, -1, &own->accepted,
                              &own->error);
  return mctx_send_segments(own->handle, payloads, sizeof payloads, LENGTH, own->flags, -1, &own->accepted,
                            &own->error);
}

static void start(waiter *own, place where, mctx_handle handle, uint32_t flags) {
  *own = (waiter){.call = call, .where = (int)where, .handle = handle, .flags = flags};
  waiter_start(own);
}

/* A slow link: a batch waits for its buffer there, or backs off because the queue is full; or it is paced. None
 * is of superpackets, which such a queue may tear: what is accepted arrives. */
static mctx_publication open_slow(mctx_context context, place where) {
  mctx_publication_options options = options_through(group, "va");
  options.loopback = 0;
  options.offload = 0;
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  if (where == IN_BATCH) options.send_buffer = 1;
  if (where == IN_PACE) {
    options.pacing_rate = 10;
    options.pacing_unit = MCTX_PACING_DATAGRAMS;
  }
  return open_with(context, &options);
}

static void pair_with_slow_link(void) {
  host_pair();
  for (uint32_t i = 0; i < COUNT; i++)
    numbered(payloads[i], LENGTH, i);
  if (!host_try("tc qdisc add dev va root tbf rate 200kbit burst 2kb limit 20kb"))
    SKIP("this host has no tbf queue");
}

/* Until a batch has sent some of it: its thread may have to wait for a processor. */
static void await_some(const recorder *record) {
  for (int i = 0; i < 10000 && record->count == 0; i++)
    sleep_ms(1);
}

/* ---- closing ---- */

/* Of every kind some, at different moments. */
static void close_under_waiters(delays *set, void *argument) {
  enum { TIMES = 10 };
  (void)argument;
  for (int i = 0; i < TIMES; i++) {
    for (place where = 0; where < PLACES; where++) {
      waiter waiters[WAITERS];
      mctx_context context = open_context();
      mctx_publication publication = open_slow(context, where);
      mctx_handle handle = where == ON_CONTEXT ? context : publication;
      int number = where == IN_BACKOFF ? 1 : WAITERS; /* one that goes on may keep the others' queue full */
      for (int k = 0; k < number; k++)
        start(&waiters[k], where, handle, 0);
      waiters_enter(waiters, number);
      if (i % 5 != 0) sleep_ms(i % 5 * 3);
      int64_t begin = now_ns();
      /* a context closes what it owns */
      assert_ok(mctx_close(where == ON_CONTEXT || i % 2 == 0 ? context : publication, NULL));
      for (int k = 0; k < number; k++) {
        waiter_join(&waiters[k]);
        assert_status(waiters[k].status, MCTX_ERR_CLOSED);
        assert_string_not_equal(waiters[k].error.hint, "");
        delays_add(set, begin, waiters[k].end_ns);
      }
      if (where != ON_CONTEXT && i % 2 != 0) assert_ok(mctx_close(context, NULL));
    }
  }
}

static void closing_ends_every_wait(void **state) {
  (void)state;
  pair_with_slow_link();
  assert_soon("waits ended by closing", P99_MS * MILLI, close_under_waiters, NULL);
}

static void close_under_a_batch(delays *set, void *argument) {
  enum { TIMES = 5 };
  static arrival first;
  waiter own;
  mctx_publication_options options = options_through(group, "lo");
  options.loopback = 0;
  options.offload = *(int32_t *)argument;
  for (int i = 0; i < TIMES; i++) {
    mctx_context context = open_context();
    mctx_publication publication = open_with(context, &options);
    int receiver = receiver_open(group, "lo");
    start(&own, IN_TINY_PIECES, publication, 0);
    assert_true(receiver_next(receiver, &first, PATIENCE_MS));
    close(receiver);
    int64_t begin = now_ns();
    assert_ok(mctx_close(publication, NULL));
    delays_add(set, begin, now_ns());
    waiter_join(&own);
    assert_status(own.status, MCTX_ERR_CLOSED);
    assert_in_range(own.accepted, 1, sizeof endless - 1);
    assert_ok(mctx_close(context, NULL));
  }
}

/* One that finds room all the time ends too, between two system calls. */
static void closing_ends_a_batch_that_never_waits(void **state) {
  (void)state;
  host_alone();
  for (int32_t offload = 0; offload <= 1; offload++)
    assert_soon("batches ended by closing", 5 * P99_MS * MILLI, close_under_a_batch, &offload);
}

/* What a batch had accepted when it was closed is what arrives. */
static void a_batch_that_is_closed_tells_what_went(void **state) {
  (void)state;
  for (place where = IN_BATCH; where < PLACES; where++) {
    waiter own;
    pair_with_slow_link();
    recorder *remote = recorder_start(receiver_there(group, "vb"), LENGTH);
    mctx_context context = open_context();
    mctx_publication publication = open_slow(context, where);
    start(&own, where, publication, 0);
    await_some(remote);
    sleep_ms(200);
    assert_ok(mctx_close(publication, NULL));
    waiter_join(&own);
    assert_status(own.status, MCTX_ERR_CLOSED);
    assert_in_range(own.accepted, 1, COUNT - 1);
    recorder_finish(remote, own.accepted, 200);
    assert_prefix(remote, own.accepted);
    free(remote);
    assert_ok(mctx_close(context, NULL));
  }
}

/* ---- waking ---- */

static void a_wake_ends_exactly_one_wait(void **state) {
  (void)state;
  for (place where = ON_PUBLICATION; where <= ON_CONTEXT; where++) {
    waiter waiters[WAITERS];
    host_alone();
    mctx_context context = open_context();
    mctx_publication publication = open_through(context, group, "lo");
    mctx_handle handle = where == ON_CONTEXT ? context : publication;
    for (int i = 0; i < WAITERS; i++)
      start(&waiters[i], where, handle, 0);
    assert_int_equal(waiters_wake(waiters, WAITERS, handle, context), WAITERS - 1);
  }
}

static void a_wake_is_kept_for_the_next_wait(void **state) {
  uint32_t ready;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  for (int i = 0; i < 3; i++) {
    for (int wakes = 0; wakes <= i; wakes++)
      assert_ok(mctx_wake(context)); /* several count as one */
    assert_status(mctx_wait(context, 0, 0, -1, &ready, NULL), MCTX_ERR_WOKEN);
    assert_status(mctx_wait(context, 0, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
    assert_status(mctx_wait(context, 0, 0, 0, &ready, NULL), MCTX_ERR_WOULD_BLOCK);
  }
  assert_ok(mctx_close(context, NULL));
}

typedef struct idle {
  mctx_context context;
  mctx_publication publication;
} idle;

static void wait_in_vain(delays *set, void *argument) {
  const idle *own = argument;
  uint32_t ready;
  for (int i = 0; i < 2; i++) {
    int64_t before = processor_time_ns();
    assert_status(mctx_wait(own->context, 0, 0, 100 * MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
    assert_status(mctx_wait(own->publication, MCTX_READABLE, 0, 100 * MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
    delays_add(set, before, processor_time_ns());
    assert_ok(mctx_wake(own->context));
    assert_ok(mctx_wake(own->publication));
    assert_status(mctx_wait(own->context, 0, 0, -1, &ready, NULL), MCTX_ERR_WOKEN);
    assert_status(mctx_wait(own->publication, MCTX_READABLE, 0, -1, &ready, NULL), MCTX_ERR_WOKEN);
  }
}

/* Whatever came before, a wait sleeps. */
static void waiting_costs_no_processor_time(void **state) {
  (void)state;
  host_alone();
  idle own = {.context = open_context()};
  own.publication = open_through(own.context, group, "lo");
  assert_soon("waits of 200 ms, in time of the processor", 50 * MILLI, wait_in_vain, &own);
  assert_ok(mctx_close(own.context, NULL));
}

/* Wakers and waiters race: no wake is lost, so a waker that waits for its wake to be taken never waits long. */
static _Atomic uint32_t taken;
static _Atomic bool enough;

static void *take_wakes(void *argument) {
  mctx_handle handle = *(mctx_handle *)argument;
  uint32_t ready;
  while (!enough)
    if (mctx_wait(handle, 0, 0, -1, &ready, NULL) == MCTX_ERR_WOKEN) taken++;
  return NULL;
}

static void no_wake_is_lost(void **state) {
  enum { TIMES = 2000 };
  pthread_t threads[WAITERS];
  (void)state;
  host_alone();
  mctx_context context = open_context();
  taken = 0;
  enough = false;
  threads_start(threads, WAITERS, take_wakes, &context, 0);
  uint32_t lost = 0;
  for (uint32_t i = 1; i <= TIMES && lost == 0; i++) {
    int64_t begin = now_ns();
    (void)!mctx_wake(context);
    while (taken < i && lost == 0)
      lost = now_ns() - begin > 5 * SECOND;
  }
  assert_int_equal(lost, 0);
  assert_int_equal(taken, TIMES); /* none was taken twice */
  enough = true;
  assert_ok(mctx_close(context, NULL));
  threads_join(threads, WAITERS);
}

static void a_wake_ends_a_batch_that_waits(void **state) {
  (void)state;
  for (place where = IN_BATCH; where < PLACES; where++) {
    waiter own;
    pair_with_slow_link();
    recorder *remote = recorder_start(receiver_there(group, "vb"), LENGTH);
    mctx_context context = open_context();
    mctx_publication publication = open_slow(context, where);
    start(&own, where, publication, 0);
    await_some(remote);
    int64_t begin = now_ns();
    assert_ok(mctx_wake(publication));
    waiter_join(&own);
    assert_true(own.end_ns - begin < 10 * SECOND); /* all of it would take two minutes */
    assert_status(own.status, MCTX_ERR_WOKEN);
    assert_in_range(own.accepted, 1, COUNT - 1);
    assert_int_equal(own.error.item, own.accepted);
    recorder_finish(remote, own.accepted, 200);
    assert_prefix(remote, own.accepted);
    free(remote);
    assert_ok(mctx_close(context, NULL));
  }
}

/* ---- signals ---- */

static void a_signal_ends_only_waits_that_ask_for_it(void **state) {
  waiter waiters[2];
  (void)state;
  signal_wakes = 0;
  catch_signals();
  for (place where = 0; where < PLACES; where++) {
    pair_with_slow_link();
    mctx_context context = open_context();
    mctx_publication publication = open_slow(context, where);
    mctx_handle handle = where == ON_CONTEXT ? context : publication;
    start(&waiters[0], where, handle, 0);
    start(&waiters[1], where, handle, MCTX_INTERRUPTIBLE);
    assert_a_signal_ends_the_second(waiters, context);
  }
}

static void a_wake_may_come_from_a_signal_handler(void **state) {
  (void)state;
  for (place where = ON_PUBLICATION; where <= ON_CONTEXT; where++) {
    waiter own;
    host_alone();
    catch_signals();
    mctx_context context = open_context();
    mctx_publication publication = open_through(context, group, "lo");
    signal_wakes = where == ON_CONTEXT ? context : publication;
    for (int i = 0; i < 20; i++) {
      start(&own, where, signal_wakes, 0);
      if (i % 2 == 0) waiters_settle(&own, 1);
      waiters_enter(&own, 1);
      signal_until_handled(own.thread); /* in the waiting thread itself */
      waiter_join(&own);
      assert_status(own.status, MCTX_ERR_WOKEN);
    }
    signal_wakes = 0;
    assert_ok(mctx_close(context, NULL));
  }
}

/* ---- a source that changes under many senders ---- */

/* ThreadSanitizer takes connect() for the birth of a descriptor, and so a send meanwhile for a race. To the
 * kernel the two are calls on one socket, which it puts in order. */
const char *__tsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier): its name for it */
const char *__tsan_default_suppressions(void) {
  return "race:mctx__socket_connect\n";
}

static _Atomic int failures;

static void *keep_sending(void *argument) {
  mctx_publication publication = *(mctx_publication *)argument;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_slice slices[3] = {{.data = "a", .length = 1}, {.data = "b", .length = 1}, {.data = "c", .length = 1}};
  uint64_t accepted;
  while (!enough) {
    mctx_status one = mctx_send(publication, "x", 1, &error);
    mctx_status many = mctx_send_batch(publication, slices, 3, 0, 0, &accepted, &error);
    if ((one != MCTX_OK || many != MCTX_OK) && failures++ == 0)
      print_message("%s, %s: %s\n", mctx_status_name(one), mctx_status_name(many), error.message);
    sleep_ms(1);
  }
  return NULL;
}

/* Returns how many sends failed. */
static int change_sources_under_senders(void) {
  enum { TIMES = 20 };
  pthread_t threads[WAITERS];
  host_pair();
  mctx_context context = open_context();
  mctx_publication publication = open_through(context, group, "va");
  enough = false;
  failures = 0;
  threads_start(threads, WAITERS, keep_sending, &publication, 0);
  bool done = host_try("ip address add 10.9.1.0/32 dev va && ip address del 10.9.0.1/24 dev va");
  for (int i = 0; i < TIMES && done; i++) {
    done = host_try("ip address add 10.9.1.%d/32 dev va && ip address del 10.9.1.%d/32 dev va", i + 1, i);
    sleep_ms(5);
  }
  enough = true;
  threads_join(threads, WAITERS);
  assert_true(done);
  assert_in_range(metric_of(publication, MCTX_HANDLE_PUBLICATION, "reconnects"), 1, 3 * TIMES);
  assert_ok(mctx_close(context, NULL));
  return failures;
}

/* One that is held up between the mending and its second try may meet the next change, which is rare. */
static void a_source_changes_under_many_senders(void **state) {
  enum { TRIES = 5 };
  int failed = 1;
  (void)state;
  for (int i = 0; i < TRIES && failed != 0; i++)
    failed = change_sources_under_senders();
  assert_int_equal(failed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(closing_ends_every_wait),
      cmocka_unit_test(closing_ends_a_batch_that_never_waits),
      cmocka_unit_test(a_batch_that_is_closed_tells_what_went),
      cmocka_unit_test(a_wake_ends_exactly_one_wait),
      cmocka_unit_test(a_wake_is_kept_for_the_next_wait),
      cmocka_unit_test(waiting_costs_no_processor_time),
      cmocka_unit_test(no_wake_is_lost),
      cmocka_unit_test(a_wake_ends_a_batch_that_waits),
      cmocka_unit_test(a_signal_ends_only_waits_that_ask_for_it),
      cmocka_unit_test(a_wake_may_come_from_a_signal_handler),
      cmocka_unit_test(a_source_changes_under_many_senders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Threads that open, send, wait, wake, look and close at random on shared handles. Each call ends in success or
 * in an error that fits; at the end nothing is held. MCTX_SEED repeats a run. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"
#include "host/random.h"

enum {
  THREADS = 8,
  CONTEXTS = 4,
  PUBLICATIONS = 16,
  ROUNDS = 700,
  BATCH = 70,
  EACH = 250,
  ALL = THREADS * EACH
};

static _Atomic mctx_context contexts[CONTEXTS];
static _Atomic mctx_publication publications[PUBLICATIONS];
static _Atomic uint64_t done;
static _Atomic int bad; /* the first status that does not fit */
static const char *_Atomic bad_where;

/* What may come when others close, wake and fill the buffers. */
static bool fits(mctx_status status) {
  switch (mctx_status_kind(status)) {
    case MCTX_KIND_NONE:
    case MCTX_KIND_CLOSED:
    case MCTX_KIND_WOULD_BLOCK:
    case MCTX_KIND_TIMEOUT:
    case MCTX_KIND_ALREADY_EXISTS:
      return true;
    default:
      /* Slots that nobody used yet hold 0. */
      return status == MCTX_ERR_WOKEN || status == MCTX_ERR_QUEUE_FULL || status == MCTX_ERR_INVALID_HANDLE;
  }
}

static int forget_what_was_bad(void **state) {
  (void)state;
  bad = 0;
  return 0;
}

static void check(const char *where, mctx_status status) {
  int none = 0;
  if (!fits(status) && atomic_compare_exchange_strong(&bad, &none, status)) bad_where = where;
}

static void assert_nothing_bad(void) {
  if (bad != 0) fail_msg("%s gave %s", bad_where, mctx_status_name(bad));
}

static void open_context_somewhere(uint64_t *random) {
  mctx_context context;
  check("context_open", mctx_context_open(NULL, &context, NULL));
  mctx_context old = atomic_exchange(&contexts[random_next(random) % CONTEXTS], context);
  check("close", mctx_close(old, NULL));
}

static void open_publication_somewhere(uint64_t *random) {
  static const char *const groups[] = {"239.7.7.7:5007", "[ff15::7:7]:5007", "239.7.7.8:5008",
                                       "[ff15::7:8]:5008"};
  mctx_publication publication;
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  check("parse", mctx_address_parse(groups[random_next(random) % 4], &options.group, NULL));
  options.flags = random_next(random) % 2;
  options.connected = (int32_t)(random_next(random) % 2);
  options.loopback = (int32_t)(random_next(random) % 2);
  options.send_buffer = random_next(random) % 2 == 0 ? 1 : 0;
  options.offload = (int32_t)(random_next(random) % 2);
  options.pacing_rate = random_next(random) % 3 == 0 ? 1 + random_next(random) % 10000000 : 0;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = "lo";
  mctx_context context = contexts[random_next(random) % CONTEXTS];
  mctx_status status = mctx_publication_open(context, &options, &publication, NULL);
  check("publication_open", status);
  if (status != MCTX_OK) return;
  mctx_publication old = atomic_exchange(&publications[random_next(random) % PUBLICATIONS], publication);
  check("close", mctx_close(old, NULL));
}

static void send_something(uint64_t *random, mctx_publication publication) {
  static const char data[BATCH * 40];
  mctx_slice slices[BATCH];
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 99;
  size_t count = 1 + random_next(random) % (BATCH - 1);
  const uint32_t length = random_next(random) % 40; /* of runs, which are put together */
  for (size_t i = 0; i < count; i++)
    slices[i] = (mctx_slice){.data = data, .length = i % 20 == 0 ? random_next(random) % 100 : length};
  mctx_status status =
      mctx_send_batch(publication, slices, count, 0, random_next(random) % (2 * MILLI), &accepted, &error);
  check("send_batch", status);
  if ((status == MCTX_OK) != (accepted == count)) check("accepted of send_batch", MCTX_ERR_INTERNAL);
  status = mctx_send_segments(publication, data, sizeof data, 40, 0, random_next(random) % 2 * MILLI, &accepted,
                              &error);
  check("send_segments", status);
  if ((status == MCTX_OK) != (accepted == BATCH)) check("accepted of send_segments", MCTX_ERR_INTERNAL);
}

static void look_at(uint64_t *random, mctx_publication publication) {
  mctx_publication_info info = {.size = sizeof info};
  mctx_os_handle native;
  mctx_event events[2];
  uint64_t values[64];
  uint32_t count;
  mctx_context context = contexts[random_next(random) % CONTEXTS];
  check("info", mctx_publication_get_info(publication, &info, NULL));
  check("pollable", mctx_pollable(publication, &native, NULL));
  check("metrics",
        mctx_metrics(random_next(random) % 2 == 0 ? context : publication, values, 64, &count, NULL));
  check("events", mctx_events(context, events, sizeof events[0], 2, &count, NULL));
  check("publications", mctx_context_publications(context, NULL, 0, &count, NULL));
}

static void take_out(mctx_publication publication) {
  mctx_os_handle native;
  mctx_status status = mctx_publication_take(publication, &native, NULL);
  check("take", status);
  if (status == MCTX_OK) close((int)native.value);
}

static void act(uint64_t *random) {
  uint32_t what = random_next(random) % 100;
  uint32_t ready;
  uint32_t count;
  mctx_publication publication = publications[random_next(random) % PUBLICATIONS];
  mctx_context context = contexts[random_next(random) % CONTEXTS];
  if (what < 2)
    open_context_somewhere(random);
  else if (what < 12)
    open_publication_somewhere(random);
  else if (what < 16)
    check("close", mctx_close(publication, NULL));
  else if (what < 17)
    take_out(publication);
  else if (what < 18)
    check("close", mctx_close(context, NULL));
  else if (what < 25)
    check("wake", mctx_wake(random_next(random) % 4 == 0 ? context : publication));
  else if (what < 30)
    check("wait", mctx_wait(publication, random_next(random) % 4, 0, MILLI / 2, &ready, NULL));
  else if (what < 32)
    check("wait", mctx_wait(context, 0, 0, MILLI / 2, &ready, NULL));
  else if (what < 38)
    look_at(random, publication);
  else if (what < 41)
    check("send_all", mctx_send_all(context, "all", 3, NULL, 0, 0, &count, NULL));
  else if (what < 60)
    send_something(random, publication);
  else
    check("send", mctx_send(publication, "x", 1, NULL));
}

static void *at_random(void *argument) {
  uint64_t random = *(uint64_t *)argument;
  for (int i = 0; i < ROUNDS && bad == 0; i++) {
    act(&random);
    done++;
  }
  return NULL;
}

static void threads_do_everything_at_random(void **state) {
  (void)state;
  uint64_t seeds[THREADS];
  pthread_t threads[THREADS];
  uint64_t seed = random_seed();
  host_alone();
  assert_ok(mctx_close(open_context(), NULL));
  uint32_t held = descriptors_held();
  for (int i = 0; i < THREADS; i++)
    seeds[i] = seed + (uint64_t)i;
  threads_start(threads, THREADS, at_random, seeds, sizeof seeds[0]);
  threads_join(threads, THREADS);
  for (int i = 0; i < CONTEXTS; i++)
    check("close", mctx_close(contexts[i], NULL));
  assert_nothing_bad();
  assert_int_equal(done, THREADS * ROUNDS);
  assert_int_equal(descriptors_held(), held);
}

/* ---- a descriptor's number is not used again under a sender ---- */

static _Atomic mctx_publication target;
static _Atomic bool enough;

static void *keep_sending(void *argument) {
  mctx_slice slices[4] = {{.data = "a", .length = 1},
                          {.data = "b", .length = 1},
                          {.data = "c", .length = 1},
                          {.data = "d", .length = 1}};
  uint64_t accepted;
  (void)argument;
  while (!enough) {
    check("send", mctx_send(target, "x", 1, NULL));
    check("send_batch", mctx_send_batch(target, slices, 4, 0, MILLI, &accepted, NULL));
  }
  return NULL;
}

/* The number is given at once to a socket that leads elsewhere: what comes there was sent after closing. */
static void nobody_sends_on_a_number_used_again(void **state) {
  enum { SENDERS = 3, TIMES = 150 };
  pthread_t senders[SENDERS];
  (void)state;
  host_alone();
  int elsewhere = receiver_open("239.9.9.9:5009", "lo");
  mctx_context context = open_context();
  mctx_publication_options to_group = options_through("239.7.7.7:5007", "lo");
  mctx_publication other = open_through(context, "239.9.9.9:5009", "lo");
  target = open_with(context, &to_group);
  enough = false;
  threads_start(senders, SENDERS, keep_sending, NULL, 0);
  int wrong = 0;
  for (int i = 0; i < TIMES; i++) {
    int number = socket_of(target);
    sleep_ms(i % 7 == 0);
    wrong += mctx_close(target, NULL) != MCTX_OK;
    int reused = fcntl(socket_of(other), F_DUPFD, number);
    wrong += reused != number;
    target = open_with(context, &to_group);
    close(reused);
  }
  enough = true;
  threads_join(senders, SENDERS);
  assert_nothing_bad();
  assert_int_equal(wrong, 0);
  assert_silent(elsewhere, 20);
  close(elsewhere);
  assert_ok(mctx_close(context, NULL));
}

static _Atomic mctx_context everywhere;

static void *keep_sending_everywhere(void *argument) {
  uint32_t count;
  (void)argument;
  while (!enough)
    check("send_all", mctx_send_all(everywhere, "x", 1, NULL, 0, 0, &count, NULL));
  return NULL;
}

/* From taking on the socket is its taker's alone, whatever he does with it. */
static void nobody_sends_on_a_socket_taken_out(void **state) {
  enum { SENDERS = 2, TIMES = 400 };
  pthread_t senders[SENDERS];
  (void)state;
  host_alone();
  int elsewhere = receiver_open("239.9.9.9:5009", "lo");
  mctx_context own = open_context();
  mctx_publication_options to_group = options_through("239.7.7.7:5007", "lo");
  mctx_publication other = open_through(own, "239.9.9.9:5009", "lo");
  everywhere = open_context();
  enough = false;
  threads_start(senders, SENDERS, keep_sending_everywhere, NULL, 0);
  int wrong = 0;
  for (int i = 0; i < TIMES; i++) {
    mctx_os_handle native;
    wrong += mctx_publication_take(open_with(everywhere, &to_group), &native, NULL) != MCTX_OK;
    wrong += dup2(socket_of(other), (int)native.value) < 0;
    if (i % 4 == 0) sleep_ms(1);
    close((int)native.value);
  }
  enough = true;
  threads_join(senders, SENDERS);
  assert_nothing_bad();
  assert_int_equal(wrong, 0);
  assert_silent(elsewhere, 20);
  close(elsewhere);
  assert_ok(mctx_close(everywhere, NULL));
  assert_ok(mctx_close(own, NULL));
}

/* Eight threads and one publication: every datagram that was accepted arrives, none twice; the counters agree.
 */
static _Atomic uint64_t accepted_in_all;

static void *send_numbered(void *argument) {
  uint32_t first = *(uint32_t *)argument;
  uint32_t numbers[2 * EACH]; /* not one behind the other: they are put together in memory that all share */
  mctx_slice slices[EACH];
  uint64_t accepted;
  for (uint32_t i = 0; i < EACH; i++) {
    numbers[2 * i] = first + i;
    slices[i] = (mctx_slice){.data = &numbers[2 * i], .length = sizeof numbers[0]};
  }
  check("send_batch", mctx_send_batch(target, slices, EACH, 0, -1, &accepted, NULL));
  accepted_in_all += accepted;
  return NULL;
}

static void threads_share_a_publication(void **state) {
  static bool seen[ALL];
  static arrival got;
  uint32_t firsts[THREADS];
  uint32_t latest[THREADS] = {0};
  pthread_t threads[THREADS];
  (void)state;
  host_alone();
  int receiver = receiver_open("239.7.7.7:5007", "lo");
  mctx_context context = open_context();
  target = open_through(context, "239.7.7.7:5007", "lo");
  for (uint32_t i = 0; i < THREADS; i++)
    firsts[i] = i * EACH;
  threads_start(threads, THREADS, send_numbered, firsts, sizeof firsts[0]);
  for (int i = 0; i < ALL; i++) {
    uint32_t number = ALL;
    assert_true(receiver_next(receiver, &got, PATIENCE_MS));
    assert_int_equal(got.length, sizeof number);
    number = *(uint32_t *)(void *)got.data;
    assert_in_range(number, 0, ALL - 1);
    assert_false(seen[number]);
    seen[number] = true;
    assert_true(number % EACH == 0 || number % EACH == latest[number / EACH] + 1); /* in order within a call */
    latest[number / EACH] = number % EACH;
  }
  threads_join(threads, THREADS);
  assert_int_equal(accepted_in_all, ALL);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "packets_sent"), ALL);
  assert_int_equal(metric_of(context, MCTX_HANDLE_CONTEXT, "total_packets_sent"), ALL);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "superpackets_sent"), 2 * THREADS);
  assert_silent(receiver, 10);
  close(receiver);
  assert_ok(mctx_close(context, NULL));
}

/* Scattered datagrams are put together in memory that the publications of a context share: never two in one
 * place at a time. Each sender has a byte of its own, and its port tells whose it is. */
typedef struct writer {
  pthread_t thread;
  mctx_publication publication;
  uint16_t port;
  unsigned char byte;
} writer;

static void *write_own_byte(void *argument) {
  enum { COUNT = 64, LENGTH = 1000 };
  const writer *own = argument;
  unsigned char data[COUNT * LENGTH * 2];
  mctx_slice slices[COUNT];
  uint64_t accepted;
  memset(data, own->byte, sizeof data);
  for (size_t i = 0; i < COUNT; i++)
    slices[i] = (mctx_slice){.data = data + 2 * i * LENGTH, .length = LENGTH};
  while (!enough)
    check("send_batch", mctx_send_batch(own->publication, slices, COUNT, 0, -1, &accepted, NULL));
  return NULL;
}

static bool is_its_own(const writer *writers, const arrival *got) {
  for (uint32_t i = 0; i < THREADS; i++) {
    if (writers[i].port != got->source.port) continue;
    for (size_t k = 0; k < got->length; k++)
      if (got->data[k] != writers[i].byte) return false;
    return true;
  }
  return false;
}

static void nobody_writes_into_anothers_superpacket(void **state) {
  static arrival got;
  writer writers[THREADS];
  (void)state;
  host_alone();
  int on = 1;
  int receiver = receiver_open("239.7.7.7:5007", "lo");
  /* whole superpackets: it must keep up with the senders */
  assert_int_equal(0, setsockopt(receiver, IPPROTO_UDP, UDP_GRO, &on, sizeof on));
  mctx_context context = open_context();
  mctx_publication_options options = options_through("239.7.7.7:5007", "lo");
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  enough = false;
  for (uint32_t i = 0; i < THREADS; i++) {
    writers[i].publication = open_with(context, &options);
    writers[i].port = info_of(writers[i].publication).local.port;
    writers[i].byte = (unsigned char)('a' + i);
  }
  for (uint32_t i = 0; i < THREADS; i++)
    assert_int_equal(0, pthread_create(&writers[i].thread, NULL, write_own_byte, &writers[i]));
  int64_t start = now_ns();
  uint32_t wrong = 0;
  while (now_ns() - start < SECOND && wrong == 0) /* what the receiver has no room for does not matter */
    if (receiver_next(receiver, &got, 1000)) wrong += !is_its_own(writers, &got);
  enough = true;
  for (uint32_t i = 0; i < THREADS; i++)
    assert_int_equal(0, pthread_join(writers[i].thread, NULL));
  assert_nothing_bad();
  assert_int_equal(wrong, 0);
  assert_true(metric_of(context, MCTX_HANDLE_CONTEXT, "total_superpackets_sent") > THREADS);
  close(receiver);
  assert_ok(mctx_close(context, NULL));
}

/* No send is counted twice or not at all, however close they come. */
static void *send_each(void *argument) {
  (void)argument;
  for (int i = 0; i < 100 * EACH; i++)
    check("send", mctx_send(target, "datagram", 8, NULL));
  return NULL;
}

static void every_send_is_counted(void **state) {
  pthread_t threads[THREADS];
  (void)state;
  host_alone();
  mctx_context context = open_context();
  target = open_through(context, "239.7.7.7:5007", "lo");
  threads_start(threads, THREADS, send_each, NULL, 0);
  threads_join(threads, THREADS);
  assert_nothing_bad();
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "send_calls"), 100 * ALL);
  assert_int_equal(metric_of(target, MCTX_HANDLE_PUBLICATION, "packets_sent") +
                       metric_of(target, MCTX_HANDLE_PUBLICATION, "send_errors"),
                   100 * ALL);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(threads_do_everything_at_random, forget_what_was_bad),
      cmocka_unit_test_setup(nobody_sends_on_a_number_used_again, forget_what_was_bad),
      cmocka_unit_test_setup(nobody_sends_on_a_socket_taken_out, forget_what_was_bad),
      cmocka_unit_test_setup(threads_share_a_publication, forget_what_was_bad),
      cmocka_unit_test_setup(nobody_writes_into_anothers_superpacket, forget_what_was_bad),
      cmocka_unit_test_setup(every_send_is_counted, forget_what_was_bad),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Pacing, in virtual time: the rate, the burst, what a send says that has to wait, and who paces. */
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "chance.h"
#include "sim_context.h"

__extension__ typedef __int128 wide;

enum { MOST = 400, LARGE = 70000 };

static mctx_slice slices[MOST];
static unsigned char memory[LARGE];

static mctx_publication open_paced(int32_t unit, int64_t rate, int64_t burst) {
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.pacing_unit = unit;
  options.pacing_rate = rate;
  options.pacing_burst = burst;
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  return open_with(context, &options);
}

static void fill(uint32_t count, uint32_t size) {
  for (uint32_t i = 0; i < count; i++)
    slices[i] = (mctx_slice){.data = memory, .length = size};
}

/* ---- the rate ---- */

/* What a datagram takes of the rate. */
static int64_t cost_of(int32_t unit, uint64_t length) {
  return unit == MCTX_PACING_BITS ? (int64_t)length * 8 : 1;
}

static int64_t wire_cost(int32_t unit, uint64_t position) {
  return cost_of(unit, wire_at(position).length);
}

/* At no moment more than the burst and what the rate has yielded: between any two datagrams. One that is larger
 * than the burst counts for it. */
static void assert_bounded(int32_t unit, int64_t rate, int64_t burst) {
  const uint64_t count = mctx_sim_wire_count();
  for (uint64_t i = 0; i < count; i++)
    if (wire_cost(unit, i) > burst) burst = wire_cost(unit, i);
  for (uint64_t from = 0; from < count; from++) {
    const int64_t start = wire_at(from).time_ns;
    int64_t sum = 0;
    for (uint64_t to = from; to < count; to++) {
      sum += wire_cost(unit, to);
      const int64_t passed = wire_at(to).time_ns - start;
      if ((wide)(sum - burst) * SECOND > (wide)rate * passed)
        fail_msg("%lld units in %lld ns", (long long)sum, (long long)passed);
    }
  }
}

static void datagrams_leave_at_the_rate(void **state) {
  (void)state;
  static const int64_t bursts[] = {1, 2, 7, 100};
  fill(MOST, 64);
  for (size_t i = 0; i < sizeof bursts / sizeof bursts[0]; i++) {
    mctx_publication publication = open_paced(MCTX_PACING_DATAGRAMS, 1000, bursts[i]);
    const int64_t start = mctx_sim_now();
    uint64_t accepted;
    mctx_sim_wire_clear();
    assert_ok(mctx_send_batch(publication, slices, MOST, 0, -1, &accepted, NULL));
    assert_int_equal(accepted, MOST);
    for (int64_t k = 0; k < MOST; k++) /* the first ones at once, then one each millisecond, exactly */
      assert_int_equal(wire_at((uint64_t)k).time_ns - start, k < bursts[i] ? 0 : (k - bursts[i] + 1) * MILLI);
    assert_closed(publication);
  }
}

static void bits_leave_at_the_rate(void **state) {
  (void)state;
  static const int64_t rates[] = {1000, 12345, 8000000, INT64_C(1000000000000)};
  static const int64_t bursts[] = {1, 512, 8000, 100000};
  for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++)
    for (size_t b = 0; b < sizeof bursts / sizeof bursts[0]; b++) {
      mctx_publication publication = open_paced(MCTX_PACING_BITS, rates[r], bursts[b]);
      const int64_t start = mctx_sim_now();
      int64_t bits = 0;
      uint64_t accepted;
      for (uint32_t i = 0; i < MOST; i++) {
        slices[i] = (mctx_slice){.data = memory, .length = 1 + i * 37 % 300};
        bits += cost_of(MCTX_PACING_BITS, slices[i].length);
      }
      mctx_sim_wire_clear();
      assert_ok(mctx_send_batch(publication, slices, MOST, 0, -1, &accepted, NULL));
      assert_bounded(MCTX_PACING_BITS, rates[r], bursts[b]);
      /* and not slower: nothing of the rate is lost */
      const int64_t last = cost_of(MCTX_PACING_BITS, slices[MOST - 1].length);
      const int64_t due = bits - bursts[b] - (last > bursts[b] ? last - bursts[b] : 0);
      const double exact = due > 0 ? (double)due * (double)SECOND / (double)rates[r] : 0;
      const int64_t took = mctx_sim_now() - start;
      if ((double)took > exact + MOST || (double)took < exact - 1)
        fail_msg("%lld ns, not %f; rate %lld, burst %lld", (long long)took, exact, (long long)rates[r],
                 (long long)bursts[b]);
      assert_closed(publication);
    }
}

/* Segments of one buffer, and superpackets where the burst has room for them. */
static void superpackets_keep_to_the_burst(void **state) {
  (void)state;
  static const int64_t bursts[] = {1, 10, 64, 200};
  for (size_t i = 0; i < sizeof bursts / sizeof bursts[0]; i++) {
    mctx_publication publication = open_paced(MCTX_PACING_DATAGRAMS, 10000, bursts[i]);
    const uint64_t before = mctx_sim_superpackets();
    uint64_t accepted;
    mctx_sim_advance(SECOND);
    mctx_sim_wire_clear();
    assert_ok(mctx_send_segments(publication, memory, 300 * 8, 8, 0, -1, &accepted, NULL));
    assert_int_equal(accepted, 300);
    assert_bounded(MCTX_PACING_DATAGRAMS, 10000, bursts[i]);
    assert_int_equal(mctx_sim_superpackets() - before, bursts[i] == 1 ? 0 : (bursts[i] + 127) / 128);
    assert_closed(publication);
  }
}

/* Whatever the system takes, and when: what did not go costs nothing, and nothing goes beyond the burst. */
static void the_rate_is_kept_through_faults(void **state) {
  (void)state;
  static const mctx_status failures[] = {MCTX_ERR_WOULD_BLOCK, MCTX_ERR_QUEUE_FULL, MCTX_ERR_SIGNAL,
                                         MCTX_ERR_UNREACHABLE, MCTX_ERR_DATAGRAM_TOO_LARGE};
  for (uint32_t turn = 0; turn < 300; turn++) {
    const int32_t unit = (int32_t)chance(2);
    const int64_t rate = unit == MCTX_PACING_BITS ? 80000 + chance(1000000) : 100 + chance(5000);
    const int64_t burst = unit == MCTX_PACING_BITS ? 1 + chance(20000) : 1 + chance(200);
    mctx_publication publication = open_paced(unit, rate, burst);
    const uint32_t count = 1 + chance(200);
    uint64_t accepted;
    uint64_t sent = 0;
    mctx_sim_wire_clear();
    for (uint32_t i = 0; i < count; i++)
      slices[i] = (mctx_slice){.data = memory, .length = chance(4) == 0 ? chance(100) : 40};
    while (sent < count) {
      if (chance(2) == 0)
        (void)mctx_sim_fault(MCTX_SIM_SEND, 1 + chance(5), MCTX_SIM_PARTIAL, 1 + chance(3));
      else
        (void)mctx_sim_fault(MCTX_SIM_SEND, 1 + chance(5), MCTX_SIM_FAIL, failures[chance(5)]);
      const int64_t timeout = chance(3) == 0 ? 0 : chance(2) == 0 ? -1 : (int64_t)chance(50 * MILLI);
      const mctx_status status =
          mctx_send_batch(publication, slices + sent, count - sent, 0, timeout, &accepted, NULL);
      assert_int_equal(status == MCTX_OK, accepted == count - sent);
      sent += accepted;
      if (chance(4) == 0) mctx_sim_advance(chance(20 * MILLI));
    }
    mctx_sim_clear_faults();
    assert_int_equal(mctx_sim_wire_count(), count);
    assert_bounded(unit, rate, burst);
    assert_closed(publication);
  }
}

/* ---- without waiting, and with a time ---- */

static void a_batch_without_time_says_when_to_come_back(void **state) {
  (void)state;
  mctx_publication publication = open_paced(MCTX_PACING_DATAGRAMS, 3, 5);
  uint64_t accepted = 77;
  mctx_error error = MCTX_ERROR_INIT;
  fill(20, 8);
  assert_status(mctx_send_batch(publication, slices, 20, 0, 0, &accepted, &error), MCTX_ERR_PACED);
  assert_int_equal(accepted, 5);
  assert_int_equal(error.item, 5);
  assert_int_equal(error.kind, MCTX_KIND_WOULD_BLOCK);
  assert_int_equal(error.retry, MCTX_RETRY_AFTER_DELAY);
  assert_int_equal(error.value, 333333334); /* a third of a second, rounded up */
  mctx_sim_advance((int64_t)error.value - 1);
  assert_status(mctx_send_batch(publication, slices, 20, 0, 0, &accepted, &error), MCTX_ERR_PACED);
  assert_int_equal(accepted, 0);
  assert_int_equal(error.value, 1);
  mctx_sim_advance(1);
  assert_status(mctx_send_segments(publication, memory, 20, 1, 0, 0, &accepted, &error), MCTX_ERR_PACED);
  assert_int_equal(accepted, 1);
  assert_int_equal(counter(publication, "errors_would_block"), 3);
  assert_int_equal(mctx_sim_wire_count(), 6);
}

static void a_batch_waits_as_long_as_it_may(void **state) {
  (void)state;
  mctx_publication publication = open_paced(MCTX_PACING_DATAGRAMS, 1000, 1);
  const int64_t start = mctx_sim_now();
  uint64_t accepted = 77;
  mctx_error error = MCTX_ERROR_INIT;
  fill(20, 8);
  assert_status(mctx_send_batch(publication, slices, 20, 0, 5 * MILLI + MILLI / 2, &accepted, &error),
                MCTX_ERR_TIMEOUT);
  assert_int_equal(accepted, 6);
  assert_int_equal(error.item, 6);
  assert_int_equal(mctx_sim_now() - start, 5 * MILLI + MILLI / 2);
  assert_ok(mctx_send_batch(publication, slices, 14, 0, -1, &accepted, NULL)); /* the half is not lost */
  assert_int_equal(mctx_sim_now() - start, 19 * MILLI);
  /* the time is up when the next may go: it goes, or it is in time for the next call */
  assert_status(mctx_send_batch(publication, slices, 3, 0, MILLI / 2, &accepted, NULL), MCTX_ERR_TIMEOUT);
  assert_int_equal(accepted, 0);
}

static void a_wait_can_be_ended(void **state) {
  (void)state;
  mctx_publication publication = open_paced(MCTX_PACING_DATAGRAMS, 1000, 4);
  uint64_t accepted = 77;
  fill(20, 8);
  assert_ok(mctx_wake(publication));
  assert_status(mctx_send_batch(publication, slices, 20, 0, -1, &accepted, NULL), MCTX_ERR_WOKEN);
  assert_int_equal(accepted, 4);
  assert_int_equal(mctx_sim_wire_count(), 4);

  assert_true(mctx_sim_fault(MCTX_SIM_WAIT, 3, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL));
  assert_status(mctx_send_batch(publication, slices, 20, MCTX_INTERRUPTIBLE, -1, &accepted, NULL),
                MCTX_ERR_SIGNAL);
  assert_int_equal(accepted, 2);
  assert_true(mctx_sim_fault(MCTX_SIM_WAIT, 3, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL));
  assert_ok(mctx_send_batch(publication, slices, 20, 0, -1, &accepted, NULL)); /* others are waited through */
  assert_int_equal(accepted, 20);
}

typedef struct endless {
  mctx_publication publication;
  uint64_t accepted;
  mctx_status status;
} endless;

static void *send_for_ever(void *argument) {
  endless *own = argument;
  do
    own->status = mctx_send_batch(own->publication, slices, MOST, 0, -1, &own->accepted, NULL);
  while (own->status == MCTX_OK);
  return NULL;
}

/* While another thread waits for the rate: it ends, and tells how far it came. */
static void a_close_ends_the_wait(void **state) {
  (void)state;
  fill(MOST, 8);
  for (int turn = 0; turn < 20; turn++) {
    pthread_t thread;
    endless own = {.publication = open_paced(MCTX_PACING_DATAGRAMS, 1000000, 1)};
    assert_int_equal(pthread_create(&thread, NULL, send_for_ever, &own), 0);
    usleep(1000);
    assert_closed(own.publication);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(own.status, MCTX_ERR_CLOSED);
    assert_true(own.accepted < MOST);
  }
}

/* ---- one datagram ---- */

static void a_send_never_waits(void **state) {
  (void)state;
  mctx_publication publication = open_paced(MCTX_PACING_BITS, 8000, 800);
  const int64_t start = mctx_sim_now();
  mctx_error error = MCTX_ERROR_INIT;
  assert_ok(mctx_send(publication, memory, 60, NULL));
  assert_status(mctx_send(publication, memory, 60, &error), MCTX_ERR_PACED);
  assert_int_equal(error.value, 20 * MILLI);
  assert_int_equal(error.retry, MCTX_RETRY_AFTER_DELAY);
  assert_int_equal(error.item, -1);
  assert_ok(mctx_send(publication, memory, 40, NULL)); /* a smaller one may go */
  assert_ok(mctx_send(publication, memory, 0, NULL));
  assert_status(mctx_send(publication, memory, 1, &error), MCTX_ERR_PACED);
  assert_int_equal(error.value, MILLI);
  assert_int_equal(mctx_sim_now(), start);
  assert_int_equal(counter(publication, "errors_would_block"), 2);
  assert_int_equal(counter(publication, "packets_sent"), 3);
}

/* What the system did not take costs nothing. */
static void a_refused_datagram_is_given_back(void **state) {
  (void)state;
  static const mctx_status failures[] = {MCTX_ERR_WOULD_BLOCK, MCTX_ERR_QUEUE_FULL, MCTX_ERR_FIREWALL,
                                         MCTX_ERR_IO, MCTX_ERR_DATAGRAM_TOO_LARGE};
  mctx_publication publication = open_paced(MCTX_PACING_DATAGRAMS, 1, 1);
  for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_FAIL, failures[i]));
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 2, MCTX_SIM_FAIL, failures[i]));
    assert_status(mctx_send(publication, memory, 1, NULL), failures[i]);
    mctx_sim_clear_faults();
  }
  assert_ok(mctx_send(publication, memory, 1, NULL));
  assert_status(mctx_send(publication, memory, 1, NULL), MCTX_ERR_PACED);
}

/* No time makes it go. */
static void a_datagram_that_is_too_large_need_not_wait(void **state) {
  (void)state;
  mctx_publication publication = open_paced(MCTX_PACING_BITS, 8000, 8000);
  mctx_send_outcome outcome;
  uint32_t count;
  uint64_t accepted;
  assert_ok(mctx_send(publication, memory, 1000, NULL));
  assert_status(mctx_send(publication, memory, LARGE, NULL), MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_status(mctx_send_all(context, memory, LARGE, &outcome, sizeof outcome, 1, &count, NULL),
                MCTX_ERR_DATAGRAM_TOO_LARGE);
  fill(1, LARGE);
  assert_status(mctx_send_batch(publication, slices, 1, 0, -1, &accepted, NULL), MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_status(mctx_send(publication, memory, 1, NULL), MCTX_ERR_PACED);
}

static void sending_on_all_publications_is_paced_for_each(void **state) {
  (void)state;
  mctx_send_outcome outcomes[3];
  uint32_t count = 0;
  mctx_error error = MCTX_ERROR_INIT;
  (void)open_group(context, "239.1.1.2:5000");
  mctx_publication paced = open_paced(MCTX_PACING_DATAGRAMS, 1000, 1);
  (void)open_group(context, "239.1.1.3:5000");
  assert_ok(mctx_send_all(context, "x", 1, outcomes, sizeof outcomes[0], 3, &count, &error));
  assert_status(mctx_send_all(context, "x", 1, outcomes, sizeof outcomes[0], 3, &count, &error),
                MCTX_ERR_PACED);
  assert_int_equal(count, 3);
  assert_int_equal(outcomes[0].status, MCTX_OK);
  assert_int_equal(outcomes[1].status, MCTX_ERR_PACED);
  assert_true(outcomes[1].publication == paced);
  assert_int_equal(outcomes[2].status, MCTX_OK);
  assert_int_equal(error.value, MILLI);
  mctx_sim_advance(MILLI);
  assert_ok(mctx_send_all(context, "x", 1, outcomes, sizeof outcomes[0], 3, &count, NULL));
}

static void the_largest_rate_goes(void **state) {
  (void)state;
  for (int32_t unit = 0; unit <= MCTX_PACING_DATAGRAMS; unit++) {
    mctx_publication publication = open_paced(unit, INT64_C(1000000000000), 0);
    assert_in_range(info_of(publication).pacing_burst, 1000000, INT64_C(1) << 33);
    fill(MOST, 1400);
    for (int i = 0; i < 10; i++)
      assert_ok(mctx_send_batch(publication, slices, MOST, 0, 0, NULL, NULL));
    assert_closed(publication);
  }
}

/* ---- who paces ---- */

/* Known to, and to say what it drops: in doubt the library does. */
static void the_kernel_paces_where_it_is_known_to(void **state) {
  (void)state;
  enum { LIBRARY = MCTX_PACING_LIBRARY, KERNEL = MCTX_PACING_KERNEL, BITS = MCTX_PACING_BITS };
  static const struct {
    int32_t fq;
    int32_t error_queue;
    int32_t loopback;
    int32_t unit;
    int32_t by;
    int64_t rate;
    int64_t burst;
    int32_t in_effect;
  } rows[] = {
      {1, MCTX_AUTO, 0, BITS, MCTX_AUTO, 8000000, 0, KERNEL},
      {1, 1, 0, BITS, MCTX_AUTO, 8000000, 0, KERNEL},
      {1, 0, 0, BITS, MCTX_AUTO, 8000000, 0, LIBRARY},
      {1, 1, 1, BITS, MCTX_AUTO, 8000000, 0, LIBRARY},
      {1, MCTX_AUTO, 1, BITS, MCTX_AUTO, 8000000, 0, LIBRARY},
      {0, MCTX_AUTO, 0, BITS, MCTX_AUTO, 8000000, 0, LIBRARY},
      {1, MCTX_AUTO, 0, BITS, MCTX_AUTO, 8000000, 100000, LIBRARY},
      {1, MCTX_AUTO, 0, BITS, MCTX_AUTO, 524288, 0, KERNEL},
      {1, MCTX_AUTO, 0, BITS, MCTX_AUTO, 524287, 0, LIBRARY},
      {1, MCTX_AUTO, 0, MCTX_PACING_DATAGRAMS, MCTX_AUTO, 8000000, 0, LIBRARY},
      {1, MCTX_AUTO, 0, BITS, LIBRARY, 8000000, 0, LIBRARY},
      {0, MCTX_AUTO, 0, BITS, KERNEL, 8000000, 0, KERNEL}, /* asked for, whatever comes of it */
      {1, MCTX_AUTO, 1, BITS, KERNEL, 1000, 0, KERNEL},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.error_queue = rows[i].error_queue;
    options.loopback = rows[i].loopback;
    options.pacing_rate = rows[i].rate;
    options.pacing_burst = rows[i].burst;
    options.pacing_unit = rows[i].unit;
    options.pacing_by = rows[i].by;
    assert_true(mctx_sim_pacing_set(2, rows[i].fq));
    mctx_publication publication = open_with(context, &options);
    const mctx_publication_info info = info_of(publication);
    const bool by_kernel = rows[i].in_effect == KERNEL;
    assert_int_equal(info.pacing_by, rows[i].in_effect);
    assert_int_equal(info.pacing_unit, rows[i].unit);
    assert_int_equal(info.pacing_rate, rows[i].rate);
    assert_int_equal(mctx_sim_socket_pacing(&info.socket), by_kernel ? (rows[i].rate + 7) / 8 : 0);
    fill(MOST, 1400);
    uint64_t accepted;
    assert_status(mctx_send_batch(publication, slices, MOST, 0, 0, &accepted, NULL),
                  by_kernel || rows[i].unit == MCTX_PACING_DATAGRAMS ? MCTX_OK : MCTX_ERR_PACED);
    assert_closed(publication);
  }
}

/* A superpacket leaves at once: by the kernel it is no more than the rate yields in a millisecond. */
static void superpackets_are_small_where_the_kernel_paces(void **state) {
  (void)state;
  static const struct {
    int64_t rate;
    uint32_t count_limit;
    uint64_t size_limit;
    uint64_t superpackets; /* of 100 datagrams of 100 bytes */
  } rows[] = {{8000, 1, 0, 0},           {16000, 128, 1, 0},          {100 * 8000, 128, 99, 0},
              {199 * 8000, 128, 198, 0}, {1000 * 8000, 128, 999, 10}, {INT64_C(1000000000), 128, 65407, 1}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.pacing_rate = rows[i].rate;
    options.pacing_by = MCTX_PACING_KERNEL;
    mctx_publication publication = open_with(context, &options);
    const mctx_publication_info info = info_of(publication);
    const uint64_t before = mctx_sim_superpackets();
    uint64_t accepted;
    assert_int_equal(info.offload, rows[i].count_limit > 1);
    assert_int_equal(info.segment_count_limit, rows[i].count_limit);
    assert_int_equal(info.segment_size_limit, rows[i].size_limit);
    fill(100, 100);
    assert_ok(mctx_send_batch(publication, slices, 100, 0, 0, &accepted, NULL));
    assert_int_equal(mctx_sim_superpackets() - before, rows[i].superpackets);
    assert_closed(publication);
  }
}

/* The interface that datagrams leave through counts, not another. */
static void another_interfaces_queue_does_not_matter(void **state) {
  (void)state;
  for (uint32_t index = 2; index <= 3; index++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.loopback = 0;
    options.pacing_rate = 8000000;
    options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
    options.outgoing_interface.index = index;
    assert_true(mctx_sim_pacing_set(3, 1));
    mctx_publication publication = open_with(context, &options);
    assert_int_equal(info_of(publication).pacing_by, index == 3 ? MCTX_PACING_KERNEL : MCTX_PACING_LIBRARY);
    assert_closed(publication);
  }
}

static void a_kernel_that_cannot_is_an_error(void **state) {
  (void)state;
  mctx_publication_options options = options_for("239.1.1.1:5000");
  mctx_publication publication;
  mctx_error error = MCTX_ERROR_INIT;
  options.pacing_rate = 8000000;
  options.pacing_by = MCTX_PACING_KERNEL;
  mctx_sim_capability_set(MCTX_CAPABILITY_PACING, MCTX_CAPABILITY_ABSENT);
  assert_status(mctx_publication_open(context, &options, &publication, &error), MCTX_ERR_UNSUPPORTED);
  mctx_sim_capability_set(MCTX_CAPABILITY_PACING, MCTX_CAPABILITY_AVAILABLE);
  options.pacing_unit = MCTX_PACING_DATAGRAMS;
  assert_status(mctx_publication_open(context, &options, &publication, &error), MCTX_ERR_OPTION_CONFLICT);
  assert_string_equal(error.field, "pacing_by");
}

static void without_a_rate_nothing_is_paced(void **state) {
  (void)state;
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  const mctx_publication_info info = info_of(publication);
  assert_int_equal(info.pacing_rate, 0);
  assert_int_equal(info.pacing_burst, 0);
  fill(MOST, 1000);
  const int64_t start = mctx_sim_now();
  for (int i = 0; i < 10; i++)
    assert_ok(mctx_send_batch(publication, slices, MOST, 0, 0, NULL, NULL));
  assert_int_equal(mctx_sim_now(), start);
}

static void ranges_are_checked(void **state) {
  (void)state;
  static const struct {
    const char *field;
    int64_t rate;
    int64_t burst;
    int32_t unit;
    int32_t by;
  } rows[] = {
      {"pacing_rate", -1, 0, 0, MCTX_AUTO},
      {"pacing_rate", INT64_C(1000000000001), 0, 0, MCTX_AUTO},
      {"pacing_rate", INT64_MIN, 0, 0, MCTX_AUTO},
      {"pacing_burst", 1000, -1, 0, MCTX_AUTO},
      {"pacing_burst", 1000, INT64_MAX, 0, MCTX_AUTO},
      {"pacing_burst", 0, 5, 0, MCTX_AUTO},
      {"pacing_unit", 1000, 0, 2, MCTX_AUTO},
      {"pacing_unit", 1000, 0, -1, MCTX_AUTO},
      {"pacing_by", 1000, 0, 0, 2},
      {"pacing_by", 1000, 0, 0, -1},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    mctx_publication publication;
    mctx_error error = MCTX_ERROR_INIT;
    options.pacing_rate = rows[i].rate;
    options.pacing_burst = rows[i].burst;
    options.pacing_unit = rows[i].unit;
    options.pacing_by = rows[i].by;
    assert_int_equal(mctx_status_kind(mctx_publication_open(context, &options, &publication, &error)),
                     MCTX_KIND_USAGE);
    assert_string_equal(error.field, rows[i].field);
  }
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      context_test(datagrams_leave_at_the_rate),
      context_test(bits_leave_at_the_rate),
      context_test(superpackets_keep_to_the_burst),
      context_test(the_rate_is_kept_through_faults),
      context_test(a_batch_without_time_says_when_to_come_back),
      context_test(a_batch_waits_as_long_as_it_may),
      context_test(a_wait_can_be_ended),
      context_test(a_close_ends_the_wait),
      context_test(a_send_never_waits),
      context_test(a_refused_datagram_is_given_back),
      context_test(a_datagram_that_is_too_large_need_not_wait),
      context_test(sending_on_all_publications_is_paced_for_each),
      context_test(the_largest_rate_goes),
      context_test(the_kernel_paces_where_it_is_known_to),
      context_test(superpackets_are_small_where_the_kernel_paces),
      context_test(another_interfaces_queue_does_not_matter),
      context_test(a_kernel_that_cannot_is_an_error),
      context_test(without_a_rate_nothing_is_paced),
      context_test(ranges_are_checked),
  };
  return cmocka_run_group_tests_name("pacing", tests, NULL, NULL);
}

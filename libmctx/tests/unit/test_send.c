/* SPDX-License-Identifier: MIT */
/* Sending: sizes, batches, full buffers, full queues, every publication at once. */
#include <stdio.h>

#include "sim_context.h"

static unsigned char large[65536];

static mctx_publication open_sender(int32_t loopback, int32_t error_queue) {
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.loopback = loopback;
  options.error_queue = error_queue;
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  return open_with(context, &options);
}

/* Each datagram goes by itself. */
static mctx_publication open_plain_sender(int32_t loopback, int32_t error_queue) {
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.loopback = loopback;
  options.error_queue = error_queue;
  options.offload = 0;
  return open_with(context, &options);
}

/* `count` slices of the number i in two bytes. */
static void number_slices(mctx_slice *slices, uint16_t *numbers, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    numbers[i] = (uint16_t)i;
    slices[i] = (mctx_slice){.length = sizeof numbers[i]};
    slices[i].data = &numbers[i];
  }
}

static void assert_numbers_on_wire(uint64_t count) {
  assert_int_equal(mctx_sim_wire_count(), count);
  for (uint64_t i = 0; i < count; i++) {
    uint16_t number;
    mctx_sim_datagram datagram = wire_at(i);
    assert_int_equal(datagram.length, sizeof number);
    memcpy(&number, datagram.payload, sizeof number);
    assert_int_equal(number, i);
  }
}

/* ---- sizes ---- */

static void every_size_up_to_the_largest_is_sent(void **state) {
  (void)state;
  static const struct {
    const char *group;
    size_t largest;
  } rows[] = {{"239.1.1.1:5000", 65507}, {"[ff15::1]:5000", 65527}};
  for (size_t i = 0; i < 2; i++) {
    mctx_publication publication = open_group(context, rows[i].group);
    size_t sizes[] = {0, 1, 1472, 1473, rows[i].largest};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
      mctx_sim_wire_clear();
      assert_ok(mctx_send(publication, large, sizes[k], NULL));
      assert_int_equal(mctx_sim_wire_count(), 1);
      assert_int_equal(wire_at(0).length, sizes[k]);
    }
    mctx_sim_wire_clear();
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_send(publication, large, rows[i].largest + 1, &error), MCTX_ERR_DATAGRAM_TOO_LARGE);
    assert_int_equal(error.value, rows[i].largest + 1);
    assert_int_equal(error.limit, rows[i].largest);
    assert_int_equal(error.retry, MCTX_RETRY_NEVER);
    assert_true(strlen(error.hint) > 0);
    assert_int_equal(mctx_sim_wire_count(), 0);
  }
}

static void a_datagram_that_may_not_be_fragmented_fits_or_not(void **state) {
  (void)state;
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.dont_fragment = 1;
  mctx_publication publication = open_with(context, &options);
  mctx_error error = MCTX_ERROR_INIT;
  assert_ok(mctx_send(publication, large, 1472, NULL));
  assert_status(mctx_send(publication, large, 1473, &error), MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_true(strlen(error.hint) > 0);
  mctx_slice slices[3] = {{.length = 1}, {.length = 1473}, {.length = 1}};
  for (int i = 0; i < 3; i++)
    slices[i].data = large;
  uint64_t accepted;
  assert_status(mctx_send_batch(publication, slices, 3, 0, -1, &accepted, &error), MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_int_equal(accepted, 1);
  assert_int_equal(error.item, 1);
}

/* ---- batches ---- */

static void batches_of_every_length_arrive_in_order(void **state) {
  (void)state;
  enum { MOST = 1000 };
  static mctx_slice slices[MOST];
  static uint16_t numbers[MOST];
  static const uint32_t counts[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, MOST};
  mctx_publication publication = open_sender(1, 0);
  number_slices(slices, numbers, MOST);
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    uint64_t accepted = 77;
    mctx_sim_wire_clear();
    assert_ok(mctx_send_batch(publication, slices, counts[i], 0, 0, &accepted, NULL));
    assert_int_equal(accepted, counts[i]);
    assert_numbers_on_wire(counts[i]);
  }
}

static void batches_far_beyond_every_limit_are_sent_whole(void **state) {
  (void)state;
  enum { COUNT = 100000, LAST = 4096 };
  static mctx_slice slices[COUNT];
  static uint32_t numbers[COUNT];
  uint64_t accepted = 77;
  mctx_publication publication = open_sender(1, 0);
  for (uint32_t i = 0; i < COUNT; i++) {
    numbers[i] = i;
    slices[i] = (mctx_slice){.data = &numbers[i], .length = sizeof numbers[i]};
  }
  assert_ok(mctx_send_batch(publication, slices, COUNT, 0, 0, &accepted, NULL));
  assert_int_equal(accepted, COUNT);
  assert_int_equal(mctx_sim_wire_count(), COUNT);
  for (uint32_t i = COUNT - LAST; i < COUNT; i++)
    assert_memory_equal(wire_at(i).payload, &numbers[i], sizeof numbers[i]);
  mctx_sim_wire_clear();
  assert_ok(mctx_send_segments(publication, numbers, sizeof numbers, sizeof numbers[0], 0, 0, &accepted, NULL));
  assert_int_equal(accepted, COUNT);
  for (uint32_t i = COUNT - LAST; i < COUNT; i++)
    assert_memory_equal(wire_at(i).payload, &numbers[i], sizeof numbers[i]);
}

static void segments_of_every_size_cover_the_buffer(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  for (size_t i = 0; i < sizeof large; i++)
    large[i] = (unsigned char)(i * 7);
  for (size_t length = 0; length < 200; length += 13)
    for (uint32_t size = 1; size < 70; size += 3) {
      uint64_t accepted = 77;
      mctx_sim_wire_clear();
      assert_ok(mctx_send_segments(publication, large, length, size, 0, 0, &accepted, NULL));
      uint64_t count = (length + size - 1) / size;
      assert_int_equal(accepted, count);
      assert_int_equal(mctx_sim_wire_count(), count);
      for (uint64_t i = 0; i < count; i++) {
        mctx_sim_datagram datagram = wire_at(i);
        assert_int_equal(datagram.length, i + 1 < count ? size : length - i * size);
        assert_memory_equal(datagram.payload, large + i * size, datagram.stored);
      }
    }
  memset(large, 0, sizeof large);
}

static void segment_sizes_have_a_range(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  static const uint32_t sizes[] = {0, 65508, UINT32_MAX};
  for (size_t i = 0; i < 3; i++) {
    uint64_t accepted = 77;
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_send_segments(publication, large, 100, sizes[i], 0, 0, &accepted, &error),
                  MCTX_ERR_SEGMENT_SIZE);
    assert_int_equal(accepted, 0);
    assert_int_equal(error.value, sizes[i]);
    assert_int_equal(error.limit, 65507);
    assert_string_equal(error.field, "segment_size");
  }
  assert_ok(mctx_send_segments(publication, large, 65508, 65507, 0, 0, NULL, NULL));
  assert_int_equal(mctx_sim_wire_count(), 2);
}

static void empty_datagrams_in_a_batch_are_datagrams(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  mctx_slice slices[5] = {{.length = 0}, {.length = 1}, {.length = 0}, {.length = 0}, {.length = 1}};
  slices[1].data = slices[4].data = "x";
  uint64_t accepted;
  assert_ok(mctx_send_batch(publication, slices, 5, 0, 0, &accepted, NULL));
  assert_int_equal(accepted, 5);
  for (uint64_t i = 0; i < 5; i++)
    assert_int_equal(wire_at(i).length, slices[i].length);
}

static void a_too_large_datagram_stops_the_batch_before_it(void **state) {
  (void)state;
  enum { COUNT = 100 };
  static mctx_slice slices[COUNT];
  static uint16_t numbers[COUNT];
  mctx_publication publication = open_sender(1, 0);
  for (uint32_t at = 0; at < COUNT; at += 9)
    for (int64_t timeout = -1; timeout <= 0; timeout++) {
      number_slices(slices, numbers, COUNT);
      slices[at].data = large;
      slices[at].length = 65508;
      slices[COUNT - 1].data = large; /* a later one changes nothing */
      slices[COUNT - 1].length = UINT64_MAX;
      uint64_t accepted = 77;
      mctx_error error = MCTX_ERROR_INIT;
      mctx_sim_wire_clear();
      assert_status(mctx_send_batch(publication, slices, COUNT, 0, timeout, &accepted, &error),
                    MCTX_ERR_DATAGRAM_TOO_LARGE);
      assert_int_equal(accepted, at);
      assert_int_equal(error.item, at);
      assert_int_equal(error.value, at == COUNT - 1 ? UINT64_MAX : 65508);
      assert_int_equal(error.limit, 65507);
      assert_numbers_on_wire(at);
    }
}

static void the_largest_datagrams_go_in_a_batch(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  mctx_slice slices[3] = {{.length = 65507}, {.length = 0}, {.length = 65507}};
  slices[0].data = slices[2].data = large;
  uint64_t accepted;
  assert_ok(mctx_send_batch(publication, slices, 3, 0, 0, &accepted, NULL));
  assert_int_equal(accepted, 3);
  assert_int_equal(mctx_sim_wire_count(), 3);
}

static void flags_of_batches_are_checked(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  uint64_t accepted = 77;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_send_batch(publication, NULL, 0, 2, 0, &accepted, &error), MCTX_ERR_RESERVED);
  assert_string_equal(error.field, "flags");
  assert_status(mctx_send_segments(publication, NULL, 0, 1, 1u << 31, 0, &accepted, &error), MCTX_ERR_RESERVED);
  assert_int_equal(accepted, 0);
}

/* ---- full send buffers ---- */

static void a_full_buffer_would_block(void **state) {
  (void)state;
  mctx_sim_buffer(3, MILLI);
  mctx_publication publication = open_sender(1, 0);
  for (int i = 0; i < 3; i++)
    assert_ok(mctx_send(publication, "x", 1, NULL));
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(error.retry, MCTX_RETRY_WHEN_READY);
  mctx_sim_advance(MILLI);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(mctx_sim_wire_count(), 4);
}

static void a_batch_takes_what_goes_or_waits(void **state) {
  (void)state;
  enum { COUNT = 50 };
  mctx_slice slices[COUNT];
  uint16_t numbers[COUNT];
  uint64_t accepted;
  mctx_error error = MCTX_ERROR_INIT;
  number_slices(slices, numbers, COUNT);
  mctx_sim_buffer(10, MILLI);
  mctx_publication publication = open_plain_sender(1, 0);
  int64_t start = mctx_sim_now();
  assert_status(mctx_send_batch(publication, slices, COUNT, 0, 0, &accepted, &error), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(accepted, 10);
  assert_int_equal(error.item, 10);
  assert_int_equal(mctx_sim_now(), start);

  /* five more leave in the time allowed */
  assert_status(mctx_send_batch(publication, slices + 10, 40, 0, 5 * MILLI + MILLI / 2, &accepted, &error),
                MCTX_ERR_TIMEOUT);
  assert_int_equal(accepted, 5);
  assert_int_equal(error.item, 5);
  assert_int_equal(mctx_sim_now(), start + 5 * MILLI + MILLI / 2);

  assert_ok(mctx_send_batch(publication, slices + 15, 35, 0, -1, &accepted, NULL));
  assert_int_equal(accepted, 35);
  assert_int_equal(mctx_sim_now(), start + 40 * MILLI);
  assert_numbers_on_wire(COUNT);
}

/* ---- full queues of the interface ---- */

static void fail_sends(uint64_t count, mctx_status status) {
  for (uint64_t i = 1; i <= count; i++)
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, i, MCTX_SIM_FAIL, status));
}

/* 1 ms, doubling to 50 ms, for a second. */
static void a_full_queue_is_tried_less_and_less_often_for_a_second(void **state) {
  (void)state;
  mctx_publication publication = open_sender(0, 1);
  static const int64_t timeouts[] = {-1, 3600 * SECOND};
  for (int i = 0; i < 2; i++) {
    mctx_slice slice = {.length = 0};
    uint64_t accepted = 77;
    mctx_error error = MCTX_ERROR_INIT;
    fail_sends(200, MCTX_ERR_QUEUE_FULL);
    int64_t start = mctx_sim_now();
    uint64_t calls = mctx_sim_calls(MCTX_SIM_SEND);
    assert_status(mctx_send_batch(publication, &slice, 1, 0, timeouts[i], &accepted, &error),
                  MCTX_ERR_QUEUE_FULL);
    mctx_sim_clear_faults();
    assert_int_equal(accepted, 0);
    assert_int_equal(error.retry, MCTX_RETRY_AFTER_DELAY);
    assert_int_equal(error.flags, 0);
    int64_t waited = mctx_sim_now() - start;
    /* 1 + 2 + 4 + 8 + 16 + 32 = 63 ms, then 19 times 50 ms */
    assert_int_equal(waited, 63 * MILLI + 19 * 50 * MILLI);
    assert_int_equal(mctx_sim_calls(MCTX_SIM_SEND) - calls, 26);
    assert_int_equal(mctx_sim_wire_count(), 0);
  }
}

static void progress_starts_the_second_anew(void **state) {
  (void)state;
  enum { COUNT = 4 };
  mctx_slice slices[COUNT];
  uint16_t numbers[COUNT];
  number_slices(slices, numbers, COUNT);
  mctx_publication publication = open_plain_sender(0, 1);
  /* three times 20 refusals, 763 ms each, one datagram after each */
  for (uint64_t round = 0; round < 3; round++) {
    for (uint64_t i = 1; i <= 20; i++)
      assert_true(mctx_sim_fault(MCTX_SIM_SEND, round * 21 + i, MCTX_SIM_FAIL, MCTX_ERR_QUEUE_FULL));
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, round * 21 + 21, MCTX_SIM_PARTIAL, 1));
  }
  uint64_t accepted;
  int64_t start = mctx_sim_now();
  assert_ok(mctx_send_batch(publication, slices, COUNT, 0, -1, &accepted, NULL));
  assert_int_equal(accepted, COUNT);
  assert_int_equal(mctx_sim_now() - start, 3 * (63 + 14 * 50) * MILLI);
  assert_numbers_on_wire(COUNT);
}

static void a_deadline_cuts_the_backing_off(void **state) {
  (void)state;
  mctx_publication publication = open_sender(0, 1);
  mctx_slice slice = {.length = 0};
  uint64_t accepted;
  fail_sends(200, MCTX_ERR_QUEUE_FULL);
  int64_t start = mctx_sim_now();
  assert_status(mctx_send_batch(publication, &slice, 1, 0, 5 * MILLI, &accepted, NULL), MCTX_ERR_TIMEOUT);
  assert_int_equal(accepted, 0);
  assert_int_equal(mctx_sim_now(), start + 5 * MILLI);
}

/* A refused datagram may have reached members of this host: it is never sent again. */
static void with_loopback_nothing_is_sent_again_after_queue_full(void **state) {
  (void)state;
  enum { COUNT = 5 };
  mctx_slice slices[COUNT];
  uint16_t numbers[COUNT];
  number_slices(slices, numbers, COUNT);
  mctx_publication publication = open_sender(1, 1);
  for (int64_t timeout = -1; timeout <= 0; timeout++) {
    uint64_t accepted;
    mctx_error error = MCTX_ERROR_INIT;
    mctx_sim_wire_clear();
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 3, MCTX_SIM_DELIVERED, MCTX_ERR_QUEUE_FULL));
    int64_t start = mctx_sim_now();
    assert_status(mctx_send_batch(publication, slices, COUNT, 0, timeout, &accepted, &error),
                  MCTX_ERR_QUEUE_FULL);
    assert_int_equal(accepted, 2);
    assert_int_equal(error.item, 2);
    assert_int_equal(error.flags, MCTX_ERROR_DELIVERED_LOCALLY);
    assert_int_equal(error.retry, MCTX_RETRY_NEVER);
    assert_int_equal(mctx_sim_now(), start);
    assert_int_equal(mctx_sim_wire_count(), 3);
    assert_int_equal(wire_at(2).local_only, 1);
  }
  assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_DELIVERED, MCTX_ERR_QUEUE_FULL));
  mctx_error error = MCTX_ERROR_INIT;
  mctx_sim_wire_clear();
  assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_QUEUE_FULL);
  assert_int_equal(error.flags, MCTX_ERROR_DELIVERED_LOCALLY);
  assert_int_equal(error.retry, MCTX_RETRY_NEVER);
  assert_int_equal(mctx_sim_wire_count(), 1);
}

/* ---- errors of earlier datagrams ---- */

static void an_earlier_error_is_not_this_datagrams(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  static const mctx_status earlier[] = {MCTX_ERR_DATAGRAM_TOO_LARGE, MCTX_ERR_UNREACHABLE, MCTX_ERR_PERMISSION,
                                        MCTX_ERR_IO};
  for (size_t i = 0; i < 4; i++) {
    mctx_sim_wire_clear();
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_EARLIER, earlier[i]));
    assert_ok(mctx_send(publication, "x", 1, NULL));
    assert_int_equal(mctx_sim_wire_count(), 1);
    assert_int_equal(mctx_sim_pending_errors(), 0);
  }
}

static void an_error_that_comes_twice_is_this_datagrams(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  static const mctx_status own[] = {MCTX_ERR_DATAGRAM_TOO_LARGE, MCTX_ERR_UNREACHABLE, MCTX_ERR_PERMISSION,
                                    MCTX_ERR_IO, MCTX_ERR_NO_MEMORY};
  for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
    mctx_error error = MCTX_ERROR_INIT;
    fail_sends(2, own[i]);
    assert_status(mctx_send(publication, "x", 1, &error), own[i]);
    assert_true(error.os_code != 0);
    assert_int_equal(error.item, -1);
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_EARLIER, own[i]));
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 2, MCTX_SIM_EARLIER, own[i]));
    assert_status(mctx_send(publication, "x", 1, NULL), own[i]);
    assert_int_equal(mctx_sim_pending_errors(), 0);
  }
  assert_int_equal(mctx_sim_wire_count(), 0);
}

/* A rule may let the copy for this host pass and drop the one for the network: a second try would be a second
 * copy. */
static void what_a_firewall_refused_is_not_tried_again(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  mctx_slice slices[2] = {{"x", 1}, {"y", 1}};
  uint64_t accepted = 77;
  for (int batch = 0; batch < 2; batch++) {
    mctx_sim_wire_clear();
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_DELIVERED, MCTX_ERR_FIREWALL));
    assert_status(batch ? mctx_send_batch(publication, slices, 2, 0, -1, &accepted, NULL)
                        : mctx_send(publication, "x", 1, NULL),
                  MCTX_ERR_FIREWALL);
    assert_int_equal(mctx_sim_wire_count(), batch ? 2 : 1); /* one superpacket, or one datagram */
  }
  assert_int_equal(accepted, 0);
}

static void signals_do_not_end_a_send(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1, 0);
  mctx_slice slice = {.length = 0};
  fail_sends(100, MCTX_ERR_SIGNAL);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  fail_sends(100, MCTX_ERR_SIGNAL);
  assert_ok(mctx_send_batch(publication, &slice, 1, 0, 0, NULL, NULL));
  fail_sends(1, MCTX_ERR_SIGNAL);
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_send_batch(publication, &slice, 1, MCTX_INTERRUPTIBLE, 0, NULL, &error), MCTX_ERR_SIGNAL);
  assert_int_equal(error.kind, MCTX_KIND_INTERRUPTED);
}

/* ---- what changes under an open publication ---- */

static mctx_publication open_through(const char *group, const char *interface) {
  mctx_publication_options options = options_for(group);
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = interface;
  return open_with(context, &options);
}

static void an_interface_that_was_removed_is_named(void **state) {
  (void)state;
  static const char *const groups[] = {"239.1.1.1:5000", "[ff15::1]:5000", "[ff02::9]:5000"};
  for (size_t i = 0; i < 3; i++) {
    mctx_publication publication = open_through(groups[i], "eth1");
    mctx_error error = MCTX_ERROR_INIT;
    assert_true(mctx_sim_interface_remove(3));
    assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_INTERFACE_GONE);
    assert_non_null(strstr(error.message, "eth1"));
    mctx_sim_reset();
  }
}

/* Named by its name, an interface is found again under a new index. */
static void an_interface_that_was_made_anew_is_followed(void **state) {
  (void)state;
  static const char *const groups[] = {"239.1.1.1:5000", "[ff15::1]:5000", "[ff02::9]:5000"};
  static const char *const addresses[] = {"10.0.7.1/24", "fd07::1/64", "fe80::7/64"};
  static const char *const sources[] = {"10.0.7.1", "fd07::1", "fe80::7%12"};
  for (size_t i = 0; i < 3; i++) {
    mctx_publication publication = open_through(groups[i], "eth1");
    assert_ok(mctx_send(publication, "x", 1, NULL));
    assert_true(mctx_sim_interface_remove(3));
    assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_INTERFACE_GONE);
    assert_true(mctx_sim_interface_set(12, "eth1", MCTX_INTERFACE_UP, 1500));
    mctx_address address = address_of(addresses[i]);
    assert_true(mctx_sim_address_add(12, &address));
    mctx_sim_wire_clear();
    assert_ok(mctx_send(publication, "x", 1, NULL));
    mctx_sim_datagram datagram = wire_at(0);
    assert_int_equal(datagram.interface_index, 12);
    datagram.source.port = 0;
    assert_address(&datagram.source, sources[i]);
    assert_int_equal(info_of(publication).interface_index, 12);
    mctx_sim_reset();
  }
}

static void a_device_is_kept_when_the_source_changes(void **state) {
  (void)state;
  mctx_address old = address_of("10.0.1.1"), new = address_of("10.0.1.2/24");
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.bind_device = "eth1";
  mctx_publication publication = open_with(context, &options);
  assert_true(mctx_sim_address_remove(3, &old));
  assert_true(mctx_sim_address_add(3, &new));
  assert_ok(mctx_send(publication, "x", 1, NULL));
  mctx_sim_datagram datagram = wire_at(0);
  assert_int_equal(datagram.interface_index, 3);
  assert_memory_equal(datagram.source.bytes, new.bytes, 4);
}

static void a_device_that_was_made_anew_is_followed(void **state) {
  (void)state;
  for (int connected = 0; connected < 2; connected++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    mctx_address address = address_of("10.0.7.1/24");
    options.bind_device = "eth1";
    options.connected = connected;
    mctx_publication publication = open_with(context, &options);
    assert_true(mctx_sim_interface_remove(3));
    for (int i = 0; i < 3; i++) {
      mctx_error error = MCTX_ERROR_INIT;
      assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_INTERFACE_GONE);
      assert_non_null(strstr(error.message, "eth1"));
    }
    assert_int_equal(mctx_sim_wire_count(), 0);
    assert_true(mctx_sim_interface_set(12, "eth1", MCTX_INTERFACE_UP, 1500));
    assert_true(mctx_sim_address_add(12, &address));
    mctx_sim_wire_clear();
    assert_ok(mctx_send(publication, "x", 1, NULL));
    assert_int_equal(wire_at(0).interface_index, 12);
    assert_closed(publication);
    mctx_sim_reset();
  }
}

/* A link-local source that the user named is on the interface that was made anew. */
static void a_link_local_source_is_found_on_the_new_interface(void **state) {
  (void)state;
  for (int connected = 0; connected < 2; connected++) {
    mctx_publication_options options = options_for("[ff02::9]:5000");
    mctx_address address = address_of("fe80::2/64");
    options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
    options.outgoing_interface.name = "eth1";
    options.source = address_of("fe80::2");
    options.connected = connected;
    mctx_publication publication = open_with(context, &options);
    assert_ok(mctx_send(publication, "x", 1, NULL));
    assert_true(mctx_sim_interface_remove(3));
    assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_INTERFACE_GONE);
    assert_true(mctx_sim_interface_set(12, "eth1", MCTX_INTERFACE_UP, 1500));
    assert_true(mctx_sim_address_add(12, &address));
    mctx_sim_wire_clear();
    assert_ok(mctx_send(publication, "x", 1, NULL));
    mctx_sim_datagram datagram = wire_at(0);
    assert_int_equal(datagram.interface_index, 12);
    assert_address(&datagram.destination, "[ff02::9%12]:5000");
    assert_closed(publication);
    mctx_sim_reset();
  }
}

/* ---- every publication at once ---- */

static void one_payload_goes_to_every_group_in_order(void **state) {
  (void)state;
  static const char *const groups[] = {"239.1.1.3:5000", "[ff15::1]:5000", "239.1.1.1:5000"};
  mctx_publication publications[3];
  mctx_send_outcome outcomes[4];
  uint32_t count;
  for (int i = 0; i < 3; i++)
    publications[i] = open_group(context, groups[i]);
  memset(outcomes, 0xa5, sizeof outcomes);
  assert_ok(mctx_send_all(context, "all", 3, outcomes, sizeof outcomes[0], 4, &count, NULL));
  assert_int_equal(count, 3);
  assert_int_equal(mctx_sim_wire_count(), 3);
  for (uint32_t i = 0; i < 3; i++) {
    mctx_sim_datagram datagram = wire_at(i);
    assert_address(&datagram.destination, groups[i]);
    assert_memory_equal(datagram.payload, "all", 3);
    assert_int_equal(outcomes[i].publication, publications[i]);
    assert_int_equal(outcomes[i].status, MCTX_OK);
    assert_int_equal(outcomes[i].os_code, 0);
  }
  assert_int_equal(outcomes[3].publication, UINT64_C(0xa5a5a5a5a5a5a5a5));
}

static void a_failure_does_not_keep_the_others_from_sending(void **state) {
  (void)state;
  mctx_publication publications[4];
  mctx_send_outcome outcomes[4];
  uint32_t count;
  mctx_error error = MCTX_ERROR_INIT;
  for (int i = 0; i < 4; i++)
    publications[i] = open_sender(1, 0);
  assert_true(mctx_sim_fault(MCTX_SIM_SEND, 2, MCTX_SIM_FAIL, MCTX_ERR_WOULD_BLOCK));
  assert_true(mctx_sim_fault(MCTX_SIM_SEND, 3, MCTX_SIM_FAIL, MCTX_ERR_FIREWALL));
  assert_status(mctx_send_all(context, "x", 1, outcomes, sizeof outcomes[0], 4, &count, &error),
                MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(count, 4);
  assert_int_equal(error.item, 1);
  assert_int_equal(error.handle, publications[1]);
  static const mctx_status expected[] = {MCTX_OK, MCTX_ERR_WOULD_BLOCK, MCTX_ERR_FIREWALL, MCTX_OK};
  for (int i = 0; i < 4; i++) {
    assert_int_equal(outcomes[i].status, expected[i]);
    assert_int_equal(outcomes[i].os_code != 0, expected[i] != MCTX_OK);
  }
  assert_int_equal(mctx_sim_wire_count(), 2);
}

static void with_too_few_outcomes_nothing_is_sent(void **state) {
  (void)state;
  mctx_send_outcome outcomes[3];
  uint32_t count = 77;
  mctx_error error = MCTX_ERROR_INIT;
  for (int i = 0; i < 3; i++)
    (void)open_sender(1, 0);
  assert_status(mctx_send_all(context, "x", 1, outcomes, sizeof outcomes[0], 2, &count, &error),
                MCTX_ERR_CAPACITY);
  assert_int_equal(count, 3);
  assert_int_equal(error.value, 2);
  assert_int_equal(error.limit, 3);
  assert_int_equal(mctx_sim_wire_count(), 0);
  assert_ok(mctx_send_all(context, "x", 1, outcomes, sizeof outcomes[0], 3, &count, NULL));
}

static void an_empty_context_sends_to_nobody(void **state) {
  (void)state;
  uint32_t count = 77;
  assert_ok(mctx_send_all(context, "x", 1, NULL, 0, 0, &count, NULL));
  assert_int_equal(count, 0);
}

/* ---- memory ---- */

static void no_way_of_sending_allocates(void **state) {
  (void)state;
  enum { COUNT = 200 };
  static mctx_slice slices[COUNT];
  static uint16_t numbers[COUNT];
  uint32_t count;
  number_slices(slices, numbers, COUNT);
  mctx_sim_buffer(7, MILLI);
  mctx_publication publication = open_sender(0, 1);
  uint64_t before = mctx_sim_calls(MCTX_SIM_ALLOCATE);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_ok(mctx_send_batch(publication, slices, COUNT, 0, -1, NULL, NULL));
  assert_ok(mctx_send_segments(publication, large, 1000, 7, 0, -1, NULL, NULL));
  fail_sends(1, MCTX_ERR_QUEUE_FULL);
  assert_ok(mctx_send_batch(publication, slices, COUNT, 0, -1, NULL, NULL));
  assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_EARLIER, MCTX_ERR_DATAGRAM_TOO_LARGE));
  assert_ok(mctx_send_batch(publication, slices, COUNT, 0, -1, NULL, NULL));
  mctx_sim_advance(SECOND);
  assert_ok(mctx_send_all(context, "x", 1, NULL, 0, 0, &count, NULL));
  assert_int_equal(mctx_sim_calls(MCTX_SIM_ALLOCATE), before);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      context_test(every_size_up_to_the_largest_is_sent),
      context_test(a_datagram_that_may_not_be_fragmented_fits_or_not),
      context_test(batches_of_every_length_arrive_in_order),
      context_test(batches_far_beyond_every_limit_are_sent_whole),
      context_test(segments_of_every_size_cover_the_buffer),
      context_test(segment_sizes_have_a_range),
      context_test(empty_datagrams_in_a_batch_are_datagrams),
      context_test(a_too_large_datagram_stops_the_batch_before_it),
      context_test(the_largest_datagrams_go_in_a_batch),
      context_test(flags_of_batches_are_checked),
      context_test(a_full_buffer_would_block),
      context_test(a_batch_takes_what_goes_or_waits),
      context_test(a_full_queue_is_tried_less_and_less_often_for_a_second),
      context_test(progress_starts_the_second_anew),
      context_test(a_deadline_cuts_the_backing_off),
      context_test(with_loopback_nothing_is_sent_again_after_queue_full),
      context_test(an_earlier_error_is_not_this_datagrams),
      context_test(an_error_that_comes_twice_is_this_datagrams),
      context_test(what_a_firewall_refused_is_not_tried_again),
      context_test(signals_do_not_end_a_send),
      context_test(an_interface_that_was_removed_is_named),
      context_test(an_interface_that_was_made_anew_is_followed),
      context_test(a_device_is_kept_when_the_source_changes),
      context_test(a_device_that_was_made_anew_is_followed),
      context_test(a_link_local_source_is_found_on_the_new_interface),
      context_test(one_payload_goes_to_every_group_in_order),
      context_test(a_failure_does_not_keep_the_others_from_sending),
      context_test(with_too_few_outcomes_nothing_is_sent),
      context_test(an_empty_context_sends_to_nobody),
      context_test(no_way_of_sending_allocates),
  };
  return cmocka_run_group_tests_name("send", tests, NULL, NULL);
}

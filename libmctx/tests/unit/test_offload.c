/* SPDX-License-Identifier: MIT */
/* Superpackets: when batches go as such, what becomes of refusals, and what is told of both. (That no datagram
 * is lost, doubled or changed whatever happens: tests/fault.) */
#include "chance.h"
#include "sim_receive.h"

enum { MOST = 200, RETRY_AFTER = 65536 };

static mctx_context context;
static mctx_slice slices[MOST];
static unsigned char memory[MOST * 2100];

static mctx_publication open_sender(int32_t loopback) {
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.loopback = loopback;
  options.offload = 1;
  return open_with(context, &options);
}

static int setup(void **state) {
  if (fixture_setup(state) != 0) return -1;
  for (size_t i = 0; i < sizeof memory; i++)
    memory[i] = (unsigned char)(i * 13 + i / 256);
  return mctx_context_open(NULL, &context, NULL) == MCTX_OK ? 0 : -1;
}

static int teardown(void **state) {
  if (mctx_close(context, NULL) != MCTX_OK) return -1;
  return fixture_teardown(state);
}

#define offload_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

/* `count` slices of one size, one behind the other or apart. */
static void fill(uint32_t count, uint32_t size, uint32_t apart) {
  assert_true(count <= MOST && (size_t)count * (size + apart) <= sizeof memory);
  for (uint32_t i = 0; i < count; i++)
    slices[i] = (mctx_slice){.data = memory + (size_t)i * (size + apart), .length = size};
}

static uint64_t hash_of(const mctx_slice *slice) {
  const unsigned char *data = slice->data;
  uint64_t hash = UINT64_C(14695981039346656037);
  for (uint64_t i = 0; i < slice->length; i++)
    hash = (hash ^ data[i]) * UINT64_C(1099511628211);
  return hash;
}

/* The wire has exactly the slices. */
static void assert_on_wire(uint32_t count) {
  assert_int_equal(mctx_sim_wire_count(), count);
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal(wire_at(i).length, slices[i].length);
    assert_true(mctx_sim_wire_hash(i) == hash_of(&slices[i]));
  }
}

/* What one batch came to. */
typedef struct effort {
  uint64_t calls;
  uint64_t superpackets;
} effort;

static effort send_slices(mctx_publication publication, uint32_t count) {
  const effort before = {mctx_sim_calls(MCTX_SIM_SEND), mctx_sim_superpackets()};
  uint64_t accepted = 77;
  mctx_sim_wire_clear();
  assert_ok(mctx_send_batch(publication, slices, count, 0, 0, &accepted, NULL));
  assert_int_equal(accepted, count);
  assert_on_wire(count);
  return (effort){mctx_sim_calls(MCTX_SIM_SEND) - before.calls, mctx_sim_superpackets() - before.superpackets};
}

static void assert_effort(effort spent, uint64_t calls, uint64_t superpackets) {
  assert_int_equal(spent.calls, calls);
  assert_int_equal(spent.superpackets, superpackets);
}

static void assert_limits(mctx_publication publication, uint32_t count, uint64_t size, mctx_status status) {
  const mctx_publication_info info = info_of(publication);
  assert_int_equal(info.offload, 1);
  assert_int_equal(info.segment_count_limit, count);
  assert_int_equal(info.segment_size_limit, size);
  assert_int_equal(info.offload_status, status);
  assert_int_equal(info.offload_os_code != 0, status != MCTX_OK);
}

static void assert_unlimited(mctx_publication publication) {
  assert_limits(publication, 128, 65407, MCTX_OK);
}

static void fail_sends(uint64_t count, mctx_status status) {
  for (uint64_t i = 1; i <= count; i++)
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, i, MCTX_SIM_FAIL, status));
}

/* ---- when ---- */

static void equal_datagrams_go_as_one(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  for (uint32_t apart = 0; apart <= 1; apart++) {
    fill(128, 64, apart);
    assert_effort(send_slices(publication, 128), 1, 1);
    fill(128, 1200, apart); /* 54 fit in one */
    assert_effort(send_slices(publication, 128), 1, 3);
    fill(2, 8, apart);
    assert_effort(send_slices(publication, 2), 1, 1);
    fill(1, 8, apart);
    assert_effort(send_slices(publication, 1), 1, 0);
  }
  assert_int_equal(counter(publication, "superpackets_sent"), 2 * (1 + 3 + 1));
  assert_int_equal(counter(publication, "offload_refusals"), 0);
  assert_int_equal(counter(context, "total_superpackets_sent"), 2 * (1 + 3 + 1));
  assert_unlimited(publication);
}

static void segments_of_a_buffer_go_as_superpackets(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  uint64_t accepted = 77;
  assert_ok(mctx_send_segments(publication, memory, 1000 * 64 + 3, 64, 0, 0, &accepted, NULL));
  assert_int_equal(accepted, 1001);
  assert_int_equal(mctx_sim_calls(MCTX_SIM_SEND), 1);
  assert_int_equal(mctx_sim_superpackets(), 8); /* 7 of 128, one of 105 */
  assert_int_equal(wire_at(1000).length, 3);
}

/* 4 | 8 8 | 0 | 6 6 6 2 | 5 */
static void runs_are_found(void **state) {
  (void)state;
  static const uint32_t lengths[] = {4, 8, 8, 0, 6, 6, 6, 2, 5};
  mctx_publication publication = open_sender(1);
  fill(9, 8, 0);
  for (uint32_t i = 0; i < 9; i++)
    slices[i].length = lengths[i];
  slices[3].data = NULL;
  const uint64_t before = mctx_sim_calls(MCTX_SIM_SEND);
  uint64_t accepted;
  assert_ok(mctx_send_batch(publication, slices, 9, 0, 0, &accepted, NULL));
  assert_on_wire(9);
  assert_int_equal(mctx_sim_calls(MCTX_SIM_SEND) - before, 1);
  assert_int_equal(mctx_sim_superpackets(), 2);
}

static void the_option_decides(void **state) {
  (void)state;
  static const struct {
    int32_t error_queue;
    int32_t loopback;
    int32_t offload;
    int32_t in_effect;
  } rows[] = {
      {MCTX_AUTO, 1, MCTX_AUTO, 1},
      {MCTX_AUTO, 0, MCTX_AUTO, 1},
      {0, 0, MCTX_AUTO, 1},
      {0, 1, MCTX_AUTO, 1},
      {1, 0, MCTX_AUTO, 0}, /* who asks to know what the queue refuses is told */
      {1, 1, MCTX_AUTO, 0},
      {1, 0, 1, 1},
      {1, 1, 1, 0}, /* each datagram has to be a call of its own */
      {MCTX_AUTO, 1, 0, 0},
      {MCTX_AUTO, 0, 0, 0},
      {0, 0, 0, 0},
      {0, 0, 1, 1},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.error_queue = rows[i].error_queue;
    options.loopback = rows[i].loopback;
    options.offload = rows[i].offload;
    mctx_publication publication = open_with(context, &options);
    const mctx_publication_info info = info_of(publication);
    assert_int_equal(info.offload, rows[i].in_effect);
    assert_int_equal(info.segment_count_limit, rows[i].in_effect ? 128 : 1);
    fill(10, 8, 0);
    assert_int_equal(send_slices(publication, 10).superpackets, rows[i].in_effect);
    assert_closed(publication);
  }
}

static void the_options_range_is_checked(void **state) {
  (void)state;
  static const int32_t wrong[] = {2, -1, INT32_MAX, INT32_MIN + 1};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    mctx_publication publication;
    mctx_error error = MCTX_ERROR_INIT;
    options.offload = wrong[i];
    assert_int_equal(mctx_status_kind(mctx_publication_open(context, &options, &publication, &error)),
                     MCTX_KIND_USAGE);
    assert_string_equal(error.field, "offload");
  }
}

/* A superpacket is taken whole as long as there is any room. */
static void a_nearly_full_buffer_takes_one(void **state) {
  (void)state;
  mctx_sim_buffer(3, MILLI);
  mctx_publication publication = open_sender(1);
  uint64_t accepted;
  fill(20, 8, 0);
  for (uint32_t i = 10; i < 20; i++)
    slices[i].length = 9;
  assert_status(mctx_send_batch(publication, slices, 20, 0, 0, &accepted, NULL), MCTX_ERR_WOULD_BLOCK);
  assert_int_equal(accepted, 10);
  assert_ok(mctx_send_batch(publication, slices + 10, 10, 0, -1, &accepted, NULL));
  assert_on_wire(20);
  assert_unlimited(publication);
}

static void nothing_is_allocated(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  const uint64_t before = mctx_sim_calls(MCTX_SIM_ALLOCATE);
  for (uint32_t size = 1; size <= 2001; size += 400)
    for (uint32_t apart = 0; apart <= 1; apart++) {
      fill(100, size, apart);
      (void)send_slices(publication, 100);
    }
  assert_int_equal(mctx_sim_calls(MCTX_SIM_ALLOCATE), before);
}

/* ---- refusals ---- */

/* What does not fit the MTU goes datagram by datagram from then on; what fits goes on as superpackets. */
static void segments_that_do_not_fit_are_learned(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  fill(10, 1473, 0);
  assert_effort(send_slices(publication, 10), 4, 0); /* refused twice, one alone, nine at once */
  assert_limits(publication, 128, 1472, MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_int_equal(counter(publication, "offload_refusals"), 1);
  assert_int_equal(counter(publication, "superpackets_sent"), 0);
  assert_int_equal(counter(publication, "send_errors"), 0);
  assert_int_equal(counter(context, "total_offload_refusals"), 1);
  assert_effort(send_slices(publication, 10), 1, 0); /* no more trying */
  fill(10, 1472, 0);
  assert_effort(send_slices(publication, 10), 1, 1);
}

/* So for IPv6, and a source that is named. */
static void segments_that_do_not_fit_ipv6(void **state) {
  (void)state;
  mctx_publication_options options = options_for("[ff15::1]:5000");
  const mctx_address source = address_of("fd00::1");
  options.source = source;
  mctx_publication publication = open_with(context, &options);
  fill(10, 1453, 1);
  assert_effort(send_slices(publication, 10), 4, 0);
  assert_limits(publication, 128, 1452, MCTX_ERR_DATAGRAM_TOO_LARGE);
  fill(10, 1452, 1);
  assert_effort(send_slices(publication, 10), 1, 1);
}

static void a_system_of_64_is_learned(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  assert_true(mctx_sim_limit_set(MCTX_SIM_SEGMENTS, 64));
  fill(129, 8, 0);
  assert_effort(send_slices(publication, 129), 4, 2); /* one alone, then two of 64 */
  assert_limits(publication, 64, 65407, MCTX_ERR_INVALID_ARGUMENT);
  assert_effort(send_slices(publication, 128), 1, 2);
  assert_int_equal(counter(publication, "offload_refusals"), 1);
}

/* Older systems say so of segments that do not fit. */
static void an_invalid_one_of_few_is_its_size(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  fail_sends(2, MCTX_ERR_INVALID_ARGUMENT);
  fill(64, 100, 0);
  assert_effort(send_slices(publication, 64), 4, 0);
  assert_limits(publication, 128, 99, MCTX_ERR_INVALID_ARGUMENT);
  fill(64, 99, 0);
  assert_effort(send_slices(publication, 64), 1, 1);
}

static void a_system_without_is_learned(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  mctx_sim_capability_set(MCTX_CAPABILITY_SEGMENTATION, MCTX_CAPABILITY_ABSENT);
  fill(100, 8, 0);
  assert_effort(send_slices(publication, 100), 5, 0); /* refused twice, one, 64, 35 */
  assert_limits(publication, 1, 65407, MCTX_ERR_UNSUPPORTED);
  assert_effort(send_slices(publication, 100), 2, 0);
  assert_int_equal(counter(publication, "offload_refusals"), 1);
}

/* One publication's device is not another's. */
static void each_publication_learns_for_itself(void **state) {
  (void)state;
  mctx_publication one = open_sender(1);
  mctx_publication other = open_group(context, "239.1.1.2:5000");
  fail_sends(2, MCTX_ERR_UNSUPPORTED);
  fill(10, 8, 0);
  (void)send_slices(one, 10);
  assert_limits(one, 1, 65407, MCTX_ERR_UNSUPPORTED);
  assert_unlimited(other);
  assert_effort(send_slices(other, 10), 1, 1);
}

/* ---- what is no refusal ---- */

static void other_failures_never_lead_to_a_fallback(void **state) {
  (void)state;
  static const mctx_status statuses[] = {MCTX_ERR_QUEUE_FULL,     MCTX_ERR_FIREWALL, MCTX_ERR_INTERFACE_DOWN,
                                         MCTX_ERR_INTERFACE_GONE, MCTX_ERR_NO_ROUTE, MCTX_ERR_WOULD_BLOCK,
                                         MCTX_ERR_UNREACHABLE,    MCTX_ERR_IO,       MCTX_ERR_PERMISSION,
                                         MCTX_ERR_NO_MEMORY};
  mctx_publication publication = open_sender(0);
  fill(10, 8, 0);
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
    uint64_t accepted = 77;
    fail_sends(40, statuses[i]);
    mctx_sim_wire_clear();
    assert_true(mctx_send_batch(publication, slices, 10, 0, 0, &accepted, NULL) != MCTX_OK);
    assert_int_equal(accepted, 0);
    assert_int_equal(mctx_sim_wire_count(), 0);
    mctx_sim_clear_faults();
    assert_unlimited(publication);
    assert_effort(send_slices(publication, 10), 1, 1);

    /* parts may have left: the first datagram is not tried alone, even if it would go */
    const uint64_t calls = mctx_sim_calls(MCTX_SIM_SEND);
    fail_sends(2, statuses[i]);
    mctx_sim_wire_clear();
    assert_status(mctx_send_batch(publication, slices, 10, 0, 0, &accepted, NULL), statuses[i]);
    assert_in_range(mctx_sim_calls(MCTX_SIM_SEND) - calls, 1, 2);
    assert_int_equal(mctx_sim_wire_count(), 0);
    mctx_sim_clear_faults();
  }
  assert_int_equal(counter(publication, "offload_refusals"), 0);
}

static const mctx_status refusals[] = {MCTX_ERR_DATAGRAM_TOO_LARGE, MCTX_ERR_INVALID_ARGUMENT,
                                       MCTX_ERR_UNSUPPORTED};

/* Anybody on the link can make one of those come. */
static void an_earlier_datagrams_error_is_not_believed(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  fill(30, 8, 0);
  for (uint32_t i = 0; i < 30; i++)
    slices[i].length = 8 - i / 10; /* three superpackets */
  for (size_t i = 0; i < 3; i++) {
    const uint64_t drained = counter(publication, "drained_errors");
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_EARLIER, refusals[i]));
    assert_effort(send_slices(publication, 30), 2, 3);
    assert_int_equal(counter(publication, "drained_errors"), drained + 1);
    assert_unlimited(publication);
    for (uint32_t messages = 1; messages <= 2; messages++) { /* in the midst, and the call keeps it to itself */
      assert_true(mctx_sim_fault_after(MCTX_SIM_SEND, 1, messages, MCTX_SIM_EARLIER, refusals[i]));
      assert_true(mctx_sim_fault(MCTX_SIM_SEND, 2, MCTX_SIM_EARLIER, refusals[i]));
      assert_effort(send_slices(publication, 30), 3, 3);
      assert_int_equal(mctx_sim_pending_errors(), 0);
      assert_unlimited(publication);
    }
  }
  assert_int_equal(counter(publication, "offload_refusals"), 0);
}

/* What the first datagram alone meets as well is not offload's fault: it is reported, and nothing is learned.
 */
static void what_a_lone_datagram_meets_too_is_no_refusal(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  fill(10, 8, 0);
  for (size_t i = 0; i < 3; i++) {
    uint64_t accepted = 77;
    mctx_error error = MCTX_ERROR_INIT;
    const uint64_t calls = mctx_sim_calls(MCTX_SIM_SEND);
    fail_sends(4, refusals[i]);
    mctx_sim_wire_clear();
    assert_status(mctx_send_batch(publication, slices, 10, 0, -1, &accepted, &error), refusals[i]);
    assert_int_equal(accepted, 0);
    assert_int_equal(error.item, 0);
    assert_int_equal(mctx_sim_calls(MCTX_SIM_SEND) - calls, 4);
    assert_int_equal(mctx_sim_wire_count(), 0);
    assert_unlimited(publication);
  }
}

/* ---- trying again ---- */

/* Sends until the publication is ready to try again, and returns how many datagrams that took. */
static uint64_t send_until_unlimited(mctx_publication publication) {
  uint64_t sent = 0;
  for (; info_of(publication).offload_status != MCTX_OK; sent += MOST) {
    assert_true(sent < 2 * RETRY_AFTER);
    assert_int_equal(send_slices(publication, MOST).superpackets, 0);
  }
  assert_unlimited(publication);
  return sent;
}

static void offload_is_tried_again_after_many_datagrams(void **state) {
  (void)state;
  mctx_publication publication = open_sender(1);
  fill(MOST, 8, 0);
  mctx_sim_capability_set(MCTX_CAPABILITY_SEGMENTATION, MCTX_CAPABILITY_ABSENT);
  for (uint64_t round = 1; round <= 3; round++) { /* it is still not there */
    (void)send_slices(publication, MOST);
    assert_limits(publication, 1, 65407, MCTX_ERR_UNSUPPORTED);
    assert_int_equal(counter(publication, "offload_refusals"), round);
    assert_in_range(send_until_unlimited(publication), RETRY_AFTER - MOST, RETRY_AFTER + MOST);
  }
  mctx_sim_capability_set(MCTX_CAPABILITY_SEGMENTATION, MCTX_CAPABILITY_AVAILABLE);
  assert_effort(send_slices(publication, MOST), 1, 2);
}

/* A larger MTU is found so; what still fits goes as superpackets all the time, and counts for nothing. */
static void a_new_mtu_is_found_in_time(void **state) {
  (void)state;
  const uint32_t flags = MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING | MCTX_INTERFACE_MULTICAST;
  mctx_publication publication = open_sender(1);
  assert_true(mctx_sim_interface_set(2, "eth0", flags, 9000));
  fill(30, 2000, 0);
  assert_effort(send_slices(publication, 30), 1, 1);
  assert_true(mctx_sim_interface_set(2, "eth0", flags, 1500));
  assert_effort(send_slices(publication, 30), 4, 0);
  assert_limits(publication, 128, 1999, MCTX_ERR_DATAGRAM_TOO_LARGE);
  fill(30, 1800, 0);
  assert_effort(send_slices(publication, 30), 4, 0);
  assert_limits(publication, 128, 1799, MCTX_ERR_DATAGRAM_TOO_LARGE);
  assert_true(mctx_sim_interface_set(2, "eth0", flags, 9000));
  fill(MOST, 1000, 0);
  for (uint64_t i = 0; i < RETRY_AFTER / MOST + 2; i++)
    assert_int_equal(send_slices(publication, MOST).superpackets, 4);
  assert_limits(publication, 128, 1799, MCTX_ERR_DATAGRAM_TOO_LARGE);
  fill(MOST, 1800, 0);
  (void)send_until_unlimited(publication);
  fill(30, 2000, 0);
  assert_effort(send_slices(publication, 30), 1, 1);
  assert_unlimited(publication);
}

/* ---- the same bytes, whatever happens ---- */

static void any_slices(uint32_t count) {
  const uint32_t usual = 1 + chance(1473);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t length = chance(8) == 0 ? chance(2000) : usual;
    slices[i] = (mctx_slice){.data = memory + (size_t)i * (chance(2) ? usual : 2000), .length = length};
  }
}

static void datagrams_are_the_same_with_and_without_offload(void **state) {
  (void)state;
  static const uint32_t changes[] = {MCTX_SIM_NEW_MTU, MCTX_SIM_NEW_SEGMENTS};
  static const int64_t values[][3] = {{28, 600, 1000}, {1, 2, 64}};
  mctx_publication_options options = options_for("239.1.1.9:5000");
  options.offload = 0;
  mctx_publication plain = open_with(context, &options);
  for (uint32_t turn = 0; turn < 300; turn++) {
    const uint32_t count = 1 + chance(MOST);
    mctx_publication publication = open_sender(1);
    uint64_t accepted;
    any_slices(count);
    assert_int_equal(send_slices(plain, count).superpackets, 0);
    (void)send_slices(publication, count);
    /* half-way */
    const uint32_t change = chance(2);
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_PARTIAL, 1 + chance(5)));
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 2, changes[change], values[change][chance(3)]));
    mctx_sim_wire_clear();
    assert_ok(mctx_send_batch(publication, slices, count, 0, 0, &accepted, NULL));
    assert_on_wire(count);
    (void)send_slices(publication, count);
    mctx_sim_clear_faults();
    mctx_sim_limit_set(MCTX_SIM_SEGMENTS, 128);
    assert_true(mctx_sim_interface_set(
        2, "eth0", MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING | MCTX_INTERFACE_MULTICAST, 1500));
    assert_closed(publication);
  }
}

/* ---- to receivers of this host ---- */

static void receivers_get_the_datagrams(void **state) {
  (void)state;
  static batch_memory arena;
  for (int32_t coalescing = 0; coalescing <= 1; coalescing++) {
    mctx_subscription_options options = subscription_options();
    const mctx_membership member = membership_of("239.1.1.1", "eth0");
    options.coalescing = coalescing;
    options.memberships = &member;
    options.membership_count = 1;
    options.membership_stride = sizeof member;
    mctx_subscription subscription = subscribe_with(context, &options);
    mctx_publication publication = open_sender(1);
    fill(100, 60, 0);
    slices[99].length = 7;
    (void)send_slices(publication, 100);
    mctx_receive_batch *batch = batch_in(&arena);
    assert_ok(mctx_recv_batch(subscription, batch, 0, 0, NULL));
    assert_int_equal(batch->message_count, coalescing ? 1 : 100);
    assert_int_equal(batch->datagram_count, 100);
    for (uint32_t i = 0; i < 100; i++) {
      assert_int_equal(batch->datagrams[i].length, slices[i].length);
      assert_memory_equal((unsigned char *)batch->arena + batch->datagrams[i].offset, slices[i].data,
                          (size_t)slices[i].length);
    }
    assert_closed(publication);
    assert_closed(subscription);
  }
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      offload_test(equal_datagrams_go_as_one),
      offload_test(segments_of_a_buffer_go_as_superpackets),
      offload_test(runs_are_found),
      offload_test(the_option_decides),
      offload_test(the_options_range_is_checked),
      offload_test(a_nearly_full_buffer_takes_one),
      offload_test(nothing_is_allocated),
      offload_test(segments_that_do_not_fit_are_learned),
      offload_test(segments_that_do_not_fit_ipv6),
      offload_test(a_system_of_64_is_learned),
      offload_test(an_invalid_one_of_few_is_its_size),
      offload_test(a_system_without_is_learned),
      offload_test(each_publication_learns_for_itself),
      offload_test(other_failures_never_lead_to_a_fallback),
      offload_test(an_earlier_datagrams_error_is_not_believed),
      offload_test(what_a_lone_datagram_meets_too_is_no_refusal),
      offload_test(offload_is_tried_again_after_many_datagrams),
      offload_test(a_new_mtu_is_found_in_time),
      offload_test(datagrams_are_the_same_with_and_without_offload),
      offload_test(receivers_get_the_datagrams),
  };
  return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}

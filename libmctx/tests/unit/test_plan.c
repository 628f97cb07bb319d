/* SPDX-License-Identifier: MIT */
/* The planner: every short sequence of sizes, however it stands in memory, under every sort of limit; and long
 * ones at random. The fewest messages are found here in another way: by trying all of them. */
#include <stdio.h>
#include <stdlib.h>

#include "chance.h"
#include "plan.h"
#include "sim_fixture.h"

enum { SHORT = 6, LONG = 400, ROOM = 1 << 24 };

static unsigned char memory[ROOM];
static mctx_slice slices[LONG];
static mctx__plan plan;
static mctx__scratch_pool pool;

/* ---- what a message may be ---- */

/* Equal sizes and at most one shorter behind them, within the limits; or one datagram of any size. */
static bool can_be_one(const mctx__datagrams *source, uint64_t from, uint64_t to, const mctx__limits *limits) {
  const uint64_t size = mctx__datagram_length(source, from);
  uint64_t bytes = 0;
  if (to - from == 1) return true;
  if (to - from > limits->count || size > limits->size) return false;
  for (uint64_t i = from; i < to; i++) {
    const uint64_t length = mctx__datagram_length(source, i);
    if (length == 0 || length > size || (length < size && i + 1 < to)) return false;
    bytes += length;
  }
  return bytes <= limits->bytes;
}

/* The fewest messages that datagrams can go in. */
static uint32_t fewest(const mctx__datagrams *source, uint64_t position, uint64_t end,
                       const mctx__limits *limits) {
  static uint32_t best[LONG + 1];
  best[end] = 0;
  for (uint64_t from = end; from-- > position;) {
    best[from] = UINT32_MAX;
    for (uint64_t to = from + 1; to <= end && to - from <= MCTX__SEGMENTS_MAX; to++) {
      if (can_be_one(source, from, to, limits) && best[to] + 1 < best[from]) best[from] = best[to] + 1;
    }
  }
  return best[position];
}

/* ---- what was planned ---- */

static const unsigned char *datagram_data(const mctx__datagrams *source, uint64_t position) {
  if (source->slices != NULL) return source->slices[position].data;
  return source->data + position * source->segment_size;
}

/* Compares a message's bytes with those of the datagrams that it should have. */
static bool has_bytes_of(const mctx__outgoing *message, const mctx__datagrams *source, uint64_t from,
                         uint64_t to) {
  static unsigned char expected[1 << 17];
  uint64_t length = 0;
  uint64_t at = 0;
  for (uint64_t i = from; i < to; i++) {
    const uint64_t now = mctx__datagram_length(source, i);
    if (now > 0) memcpy(expected + length, datagram_data(source, i), (size_t)now);
    length += now;
  }
  for (uint32_t i = 0; i < message->piece_count; i++) {
    const mctx_slice *piece = &message->pieces[i];
    if (piece->length > length - at) return false;
    if (piece->length > 0 && memcmp(piece->data, expected + at, (size_t)piece->length) != 0) return false;
    at += piece->length;
  }
  return at == length;
}

static const char *fault_of_message(const mctx__datagrams *source, uint64_t from, uint64_t end, uint32_t nth,
                                    const mctx__limits *limits) {
  const mctx__outgoing *message = &plan.messages[nth];
  const uint64_t to = from + message->datagrams;
  uint64_t bytes = 0;
  if (message->datagrams == 0) return "a message without datagrams";
  if (to > end) return "more than there is";
  if (!can_be_one(source, from, to, limits)) return "a message that cannot be";
  if (!has_bytes_of(message, source, from, to)) return "other bytes";
  for (uint64_t i = from; i < to; i++)
    bytes += mctx__datagram_length(source, i);
  if (message->bytes != bytes) return "a wrong number of bytes";
  if (message->piece_count == 0) return "no piece";
  if (to - from == 1 && (message->segment_size != 0 || message->piece_count != 1)) return "not a lone datagram";
  if (to - from > 1 && message->segment_size != mctx__datagram_length(source, from))
    return "a wrong segment size";
  return NULL;
}

/* Why a plan of datagrams from `*position` on is wrong, or NULL; moves on past what it has. */
static const char *fault_of_plan(const mctx__datagrams *source, uint64_t *position, uint64_t end,
                                 const mctx__limits *limits) {
  uint32_t pieces = 0;
  if (plan.count == 0 || plan.count > MCTX__SEND_MANY_MAX) return "the number of messages";
  for (uint32_t i = 0; i < plan.count; i++) {
    const char *fault = fault_of_message(source, *position, end, i, limits);
    if (fault != NULL) return fault;
    *position += plan.messages[i].datagrams;
    pieces += plan.messages[i].piece_count;
  }
  return pieces <= MCTX__SEND_PIECES_MAX ? NULL : "more pieces than a call takes";
}

static void fail_for(const char *fault, const mctx__datagrams *source, const mctx__limits *limits,
                     uint64_t position, uint64_t end) {
  fprintf(stderr, "%s; limits %u, %u, %u; from %u to %u:", fault, limits->count, limits->size, limits->bytes,
          (unsigned)position, (unsigned)end);
  for (uint64_t i = 0; i < source->count; i++)
    fprintf(stderr, " %u", (unsigned)mctx__datagram_length(source, i));
  fprintf(stderr, "; planned:");
  for (uint32_t i = 0; i < plan.count; i++)
    fprintf(stderr, " %u", plan.messages[i].datagrams);
  fprintf(stderr, "\n");
  fail_msg("a wrong plan");
}

static mctx__scratch scratch_for(bool has_place) {
  return (mctx__scratch){.pool = &pool, .refused = !has_place};
}

/* Plans all of it, call by call, and compares with the fewest messages. */
static uint32_t check_all(const mctx__datagrams *source, uint64_t position, uint64_t end,
                          const mctx__limits *limits, bool has_place, bool count_them) {
  mctx__scratch scratch = scratch_for(has_place);
  const uint64_t first = position;
  uint32_t messages = 0;
  uint32_t calls = 0;
  while (position < end) {
    mctx__plan_make(&plan, source, position, end, limits, &scratch);
    const char *fault = fault_of_plan(source, &position, end, limits);
    if (fault != NULL) fail_for(fault, source, limits, position, end);
    messages += plan.count;
    calls++;
  }
  mctx__scratch_release(&scratch);
  if (count_them && messages != fewest(source, first, end, limits))
    fail_for("not the fewest messages", source, limits, first, end);
  return calls;
}

/* ---- every short sequence ---- */

static const mctx__limits every_limit[] = {
    {1, 3, 65507}, {2, 3, 65507}, {3, 3, 65507}, {128, 3, 65507}, {128, 2, 65507},
    {128, 3, 5},   {128, 3, 6},   {3, 2, 4},     {128, 3, 3},     {4, 1, 65507},
};

/* Datagrams of `lengths`, apart in memory where a bit of `gaps` is set. */
static void lay_in_memory(const uint32_t *lengths, uint32_t count, uint32_t gaps) {
  size_t at = 0;
  for (uint32_t i = 0; i < count; i++) {
    slices[i] = (mctx_slice){.data = memory + at, .length = lengths[i]};
    at += lengths[i] + (gaps >> i & 1);
  }
}

static bool are_equal(const uint32_t *lengths, uint32_t count) {
  for (uint32_t i = 1; i < count; i++) {
    if (lengths[i] != lengths[0]) return false;
  }
  return true;
}

static void check_sequence(const uint32_t *lengths, uint32_t count) {
  for (uint32_t gaps = 0; gaps < 1u << (count - 1); gaps++) {
    lay_in_memory(lengths, count, gaps);
    for (size_t k = 0; k < sizeof every_limit / sizeof every_limit[0]; k++) {
      mctx__datagrams source = {.slices = slices, .count = count};
      for (int uniform = 0; uniform <= are_equal(lengths, count); uniform++) {
        source.is_uniform = uniform != 0;
        for (int place = 0; place <= 1; place++)
          assert_int_equal(1, check_all(&source, 0, count, &every_limit[k], place != 0, true));
      }
    }
  }
}

static void every_short_sequence_goes_in_the_fewest_messages(void **state) {
  (void)state;
  enum { SIZES = 5 }; /* 0 to 3, and 4, which is too large for a superpacket */
  uint32_t total = 1;
  for (uint32_t count = 1; count <= SHORT; count++) {
    total *= SIZES;
    for (uint32_t number = 0; number < total; number++) {
      uint32_t lengths[SHORT];
      for (uint32_t i = 0, rest = number; i < count; i++, rest /= SIZES)
        lengths[i] = rest % SIZES;
      check_sequence(lengths, count);
    }
  }
}

static void pieces_of_one_buffer_go_in_the_fewest_messages(void **state) {
  (void)state;
  for (uint32_t size = 1; size <= 5; size++)
    for (uint32_t length = 1; length <= 24; length++)
      for (size_t k = 0; k < sizeof every_limit / sizeof every_limit[0]; k++) {
        const mctx__datagrams source = {
            .data = memory, .length = length, .segment_size = size, .count = (length + size - 1) / size};
        for (uint64_t position = 0; position < source.count; position++)
          for (uint64_t end = position + 1; end <= source.count; end++)
            assert_int_equal(1, check_all(&source, position, end, &every_limit[k], true, true));
      }
}

/* ---- pieces ---- */

static mctx__limits usual_limits(void) {
  return (mctx__limits){MCTX__SEGMENTS_MAX, 65507, MCTX__SUPERPACKET_MAX};
}

static void plan_alike(uint32_t count, uint32_t length, uint32_t apart, bool has_place) {
  const mctx__limits limits = usual_limits();
  const mctx__datagrams source = {.slices = slices, .count = count};
  mctx__scratch scratch = scratch_for(has_place);
  for (uint32_t i = 0; i < count; i++)
    slices[i] = (mctx_slice){.data = memory + (size_t)i * (length + apart), .length = length};
  uint64_t position = 0;
  mctx__plan_make(&plan, &source, 0, count, &limits, &scratch);
  const char *fault = fault_of_plan(&source, &position, count, &limits);
  if (fault != NULL) fail_for(fault, &source, &limits, 0, count);
  mctx__scratch_release(&scratch);
}

static void neighbours_in_memory_are_one_piece(void **state) {
  (void)state;
  for (int place = 0; place <= 1; place++) {
    plan_alike(64, 100, 0, place != 0);
    assert_int_equal(plan.count, 1);
    assert_int_equal(plan.messages[0].piece_count, 1);
    assert_ptr_equal(plan.messages[0].pieces[0].data, memory); /* and no copy */
  }
}

static void small_pieces_are_copied_where_there_is_a_place(void **state) {
  (void)state;
  plan_alike(64, 100, 1, true);
  assert_int_equal(plan.messages[0].piece_count, 1);
  plan_alike(64, 100, 1, false);
  assert_int_equal(plan.messages[0].piece_count, 64);
  assert_ptr_equal(plan.messages[0].pieces, slices);
}

static void large_pieces_are_listed(void **state) {
  (void)state;
  plan_alike(40, MCTX__COPY_MOST + 1, 1, true);
  assert_int_equal(plan.messages[0].piece_count, 40);
  assert_ptr_equal(plan.messages[0].pieces, slices);
}

/* A call ends where the place is full, and the next begins at its start. */
static void a_full_place_ends_a_call(void **state) {
  (void)state;
  const mctx__limits limits = usual_limits();
  const mctx__datagrams source = {.slices = slices, .count = LONG};
  for (uint32_t i = 0; i < LONG; i++)
    slices[i] = (mctx_slice){.data = memory + (size_t)i * 1001, .length = 1000};
  assert_true(check_all(&source, 0, LONG, &limits, true, true) >= LONG * 1000 / MCTX__SCRATCH_SIZE);
}

/* Of one size, and no neighbours in memory: they are worth copying together. */
static mctx__datagrams eight_scattered(void) {
  for (uint32_t i = 0; i < 8; i++)
    slices[i] = (mctx_slice){.data = memory + (size_t)i * 101, .length = 100};
  return (mctx__datagrams){.slices = slices, .count = 8};
}

/* Each place can be held by one call at a time; who finds none lists the pieces. */
static void places_are_shared_without_waiting(void **state) {
  (void)state;
  const mctx__limits limits = usual_limits();
  const mctx__datagrams source = eight_scattered();
  mctx__scratch held[MCTX__SCRATCH_PLACES + 1];
  for (uint32_t round = 0; round < 3; round++) {
    for (uint32_t i = 0; i <= MCTX__SCRATCH_PLACES; i++) {
      held[i] = (mctx__scratch){.pool = &pool, .hint = round * 7 + i / 2};
      mctx__plan_make(&plan, &source, 0, 8, &limits, &held[i]);
      assert_int_equal(plan.count, 1);
      assert_int_equal(plan.messages[0].piece_count, i < MCTX__SCRATCH_PLACES ? 1 : 8);
      for (uint32_t k = 0; k < i; k++)
        if (i < MCTX__SCRATCH_PLACES) assert_ptr_not_equal(held[i].memory, held[k].memory);
    }
    for (uint32_t i = 0; i <= MCTX__SCRATCH_PLACES; i++)
      mctx__scratch_release(&held[i]);
  }
}

/* Who waits lets go of its place, and looks for one again. */
static void a_place_that_was_let_go_is_free(void **state) {
  (void)state;
  const mctx__limits limits = usual_limits();
  const mctx__datagrams source = eight_scattered();
  mctx__scratch held[MCTX__SCRATCH_PLACES + 1];
  for (uint32_t i = 0; i <= MCTX__SCRATCH_PLACES; i++) {
    held[i] = (mctx__scratch){.pool = &pool};
    mctx__plan_make(&plan, &source, 0, 8, &limits, &held[i]);
  }
  mctx__scratch_release(&held[0]);
  mctx__scratch_release(&held[0]); /* once is enough */
  mctx__scratch_release(&held[MCTX__SCRATCH_PLACES]);
  mctx__plan_make(&plan, &source, 0, 8, &limits, &held[MCTX__SCRATCH_PLACES]);
  assert_int_equal(plan.messages[0].piece_count, 1);
  mctx__plan_make(&plan, &source, 0, 8, &limits, &held[0]);
  assert_int_equal(plan.messages[0].piece_count, 8);
  for (uint32_t i = 0; i <= MCTX__SCRATCH_PLACES; i++)
    mctx__scratch_release(&held[i]);
}

/* ---- long ones ---- */

static uint32_t any_length(uint32_t usual) {
  switch (chance(12)) {
    case 0:
      return 0;
    case 1:
      return chance(usual + 1);
    case 2:
      return chance(65508);
    case 3:
      return usual + chance(100);
    default:
      return usual;
  }
}

static void any_limits(mctx__limits *limits) {
  static const uint32_t counts[] = {1, 2, 63, 64, 65, 128};
  *limits = (mctx__limits){counts[chance(6)], chance(4) == 0 ? 1472 : 65507,
                           chance(4) == 0 ? 60000 : MCTX__SUPERPACKET_MAX};
}

static void long_sequences_go_whole_and_in_the_fewest_messages(void **state) {
  (void)state;
  for (uint32_t turn = 0; turn < 4000; turn++) {
    const uint32_t usual = chance(3) == 0 ? 1 + chance(3000) : 1 + chance(200);
    const uint32_t count = 1 + chance(turn % 4 == 0 ? LONG : 40);
    mctx__datagrams source = {.slices = slices, .count = count};
    mctx__limits limits;
    size_t at = 0;
    any_limits(&limits);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t length = any_length(usual);
      if (at + length + 1 > ROOM) length = 0;
      slices[i] = (mctx_slice){.data = memory + at, .length = length};
      at += length + (chance(8) == 0);
    }
    const uint64_t position = chance(count);
    const bool has_place = chance(4) != 0;
    /* where a place fills up or pieces are too many, a call may end within a run */
    (void)check_all(&source, position, count, &limits, has_place, count <= 40 && usual <= 200);
  }
}

/* ---- the group ---- */

static int setup(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof memory; i++)
    memory[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
  return mctx__scratch_open(&pool) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  mctx__scratch_close(&pool);
  return 0;
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_short_sequence_goes_in_the_fewest_messages),
      cmocka_unit_test(pieces_of_one_buffer_go_in_the_fewest_messages),
      cmocka_unit_test(neighbours_in_memory_are_one_piece),
      cmocka_unit_test(small_pieces_are_copied_where_there_is_a_place),
      cmocka_unit_test(large_pieces_are_listed),
      cmocka_unit_test(a_full_place_ends_a_call),
      cmocka_unit_test(places_are_shared_without_waiting),
      cmocka_unit_test(a_place_that_was_let_go_is_free),
      cmocka_unit_test(long_sequences_go_whole_and_in_the_fewest_messages),
  };
  return cmocka_run_group_tests_name("plan", tests, setup, teardown);
}

/* SPDX-License-Identifier: MIT */
/* The token bucket, compared with one that counts in numbers too wide to overflow, in virtual time. */
#include <pthread.h>
#include <stdio.h>

#include "pacer.h"
#include "sim_fixture.h"

__extension__ typedef __int128 wide;

#define BILLION INT64_C(1000000000)

enum { DATAGRAMS = 64, LARGEST = 65527 };

static mctx_slice slices[DATAGRAMS];

/* ---- the model: billionths of a unit ---- */

typedef struct model {
  uint32_t unit;
  wide rate;
  wide full;
  wide level;
  int64_t now_ns;
} model;

static wide cost_of(const model *own, uint64_t length) {
  return (own->unit == MCTX_PACING_BITS ? (wide)length * 8 : 1) * BILLION;
}

static wide needed_for(const model *own, uint64_t length) {
  return cost_of(own, length) < own->full ? cost_of(own, length) : own->full;
}

static void pass_time(model *own, int64_t duration_ns) {
  own->level += own->rate * duration_ns;
  if (own->level > own->full) own->level = own->full;
  own->now_ns += duration_ns;
  mctx_sim_advance(duration_ns);
}

static uint64_t model_take(model *own, const mctx_slice *from, uint64_t count) {
  uint64_t taken = 0;
  for (; taken < count && own->level >= needed_for(own, from[taken].length); taken++)
    own->level -= cost_of(own, from[taken].length);
  return taken;
}

static void model_give_back(model *own, const mctx_slice *from, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    own->level += cost_of(own, from[i].length);
  if (own->level > own->full) own->level = own->full;
}

static int64_t model_due(const model *own, uint64_t length) {
  const wide missing = needed_for(own, length) - own->level;
  return missing <= 0 ? 0 : (int64_t)((missing + own->rate - 1) / own->rate);
}

/* ---- both ---- */

static mctx__pacer pacer;
static model reference;

static void begin(uint32_t unit, int64_t rate, int64_t burst) {
  mctx__pacer_init(&pacer, unit, rate, burst);
  reference = (model){.unit = unit, .rate = rate, .full = (wide)burst * BILLION, .now_ns = mctx_sim_now()};
  reference.level = reference.full;
}

static mctx__datagrams source_of(uint64_t count) {
  return (mctx__datagrams){.slices = slices, .count = count};
}

static void fail_for(const char *what, int64_t is, int64_t should_be) {
  fail_msg("%s: %lld, not %lld; unit %u, rate %lld, burst %lld", what, (long long)is, (long long)should_be,
           pacer.unit, (long long)pacer.rate, (long long)pacer.burst);
}

static void check_due(uint64_t length) {
  const int64_t due = mctx__pacer_due(&pacer, length);
  if (due != model_due(&reference, length)) fail_for("due", due, model_due(&reference, length));
}

static uint64_t check_take(uint64_t position, uint64_t end) {
  const mctx__datagrams source = source_of(DATAGRAMS);
  const uint64_t taken = mctx__pacer_take(&pacer, &source, position, end);
  const uint64_t expected = model_take(&reference, slices + position, end - position);
  if (taken != expected) fail_for("taken", (int64_t)taken, (int64_t)expected);
  return taken;
}

static void give_back(uint64_t position, uint64_t end) {
  const mctx__datagrams source = source_of(DATAGRAMS);
  mctx__pacer_give_back(&pacer, &source, position, end);
  model_give_back(&reference, slices + position, end - position);
}

static void end(void) {
  mctx__pacer_destroy(&pacer);
}

/* ---- chance ---- */

static uint64_t random_state = 7;

static uint64_t below(uint64_t limit) {
  random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (random_state >> 16) % limit;
}

static const int64_t rates[] = {1,       3,          999,        1000,        1001,
                                1000000, 1234567891, 9999999967, 40000000000, MCTX__RATE_MAX};
static const int64_t bursts[] = {1, 2, 7, 8, 1000, 12000, 524216, 1000000007, MCTX__BURST_MAX};

enum { RATES = sizeof rates / sizeof rates[0], BURSTS = sizeof bursts / sizeof bursts[0] };

static void any_lengths(void) {
  static const uint64_t lengths[] = {0, 1, 64, 1472, LARGEST};
  for (uint32_t i = 0; i < DATAGRAMS; i++)
    slices[i].length = below(2) ? lengths[below(5)] : below(LARGEST + 1);
}

static int64_t any_duration(void) {
  static const uint64_t scales[] = {1, 10, 1000, 1000000, UINT64_C(1000000000), UINT64_C(100000000000)};
  return (int64_t)below(scales[below(6)] * 3);
}

/* ---- tests ---- */

static void step(void) {
  const uint64_t position = below(DATAGRAMS);
  const uint64_t beyond = position + below(DATAGRAMS - position + 1);
  switch (below(4)) {
    case 0:
      pass_time(&reference, any_duration());
      break;
    case 1:
      check_due(slices[position].length);
      break;
    case 2: /* exactly until it may go, and not a nanosecond less */
      if (model_due(&reference, slices[position].length) > INT64_C(1000000000000)) break;
      if (model_due(&reference, slices[position].length) > 1) {
        pass_time(&reference, model_due(&reference, slices[position].length) - 1);
        assert_int_equal(check_take(position, position + 1), 0);
      }
      pass_time(&reference, model_due(&reference, slices[position].length));
      assert_int_equal(check_take(position, position + 1), 1);
      break;
    default: {
      const uint64_t taken = check_take(position, beyond);
      const uint64_t gone = below(taken + 1);
      if (below(2)) pass_time(&reference, any_duration());
      if (below(2)) check_due(64); /* another thread looks meanwhile */
      if (pacer.filled_ns == mctx_sim_now()) give_back(position + gone, position + taken);
      break;
    }
  }
}

static void the_bucket_is_exact(void **state) {
  (void)state;
  for (uint32_t unit = 0; unit <= MCTX_PACING_DATAGRAMS; unit++)
    for (uint32_t r = 0; r < RATES; r++)
      for (uint32_t b = 0; b < BURSTS; b++) {
        any_lengths();
        begin(unit, rates[r], bursts[b]);
        for (int i = 0; i < 400; i++)
          step();
        end();
      }
}

/* No part of a unit is lost, however often it is looked at, as long as the bucket does not run over. */
static void small_steps_add_up(void **state) {
  (void)state;
  slices[0].length = 1;
  begin(MCTX_PACING_DATAGRAMS, 3, 2);
  assert_int_equal(check_take(0, 1), 1);
  assert_int_equal(check_take(0, 1), 1);
  uint64_t taken = 0;
  for (uint32_t i = 0; i < 100000; i++) {
    pass_time(&reference, 100003); /* 10.0003 s in all */
    check_due(1);
    taken += check_take(0, 1);
  }
  assert_int_equal(taken, 30);
  end();
}

static void what_is_larger_than_the_bucket_goes_when_it_is_full(void **state) {
  (void)state;
  slices[0].length = 1000;
  slices[1].length = 0;
  begin(MCTX_PACING_BITS, 8000, 80); /* 1000 bytes a second, 10 at once */
  assert_int_equal(check_take(0, 2), 1);
  assert_int_equal(mctx__pacer_due(&pacer, 1000), SECOND);
  assert_int_equal(mctx__pacer_due(&pacer, 1), SECOND - 9 * MILLI); /* the level was 990 bytes below 0 */
  assert_int_equal(mctx__pacer_due(&pacer, 0), SECOND - 10 * MILLI);
  pass_time(&reference, SECOND - 1);
  assert_int_equal(check_take(0, 1), 0);
  pass_time(&reference, 1);
  assert_int_equal(check_take(0, 1), 1);
  end();
}

/* What goes in 10 ms, as far as a bucket can hold it. */
static void usual_bursts(void **state) {
  (void)state;
  assert_int_equal(mctx__pacer_usual_burst(1), 1);
  assert_int_equal(mctx__pacer_usual_burst(99), 1);
  assert_int_equal(mctx__pacer_usual_burst(199), 1);
  assert_int_equal(mctx__pacer_usual_burst(200), 2);
  assert_int_equal(mctx__pacer_usual_burst(INT64_C(1000000000)), 10000000);
  assert_int_equal(mctx__pacer_usual_burst(MCTX__RATE_MAX), MCTX__BURST_MAX);
}

/* All that one call can take, given back after the bucket is full again. */
static void the_largest_bucket_does_not_run_over(void **state) {
  (void)state;
  enum { MANY = MCTX__SEND_MANY_MAX * MCTX__SEGMENTS_MAX };
  static mctx_slice many[MANY];
  const mctx__datagrams source = {.slices = many, .count = MANY};
  for (uint32_t i = 0; i < MANY; i++)
    many[i].length = LARGEST;
  begin(MCTX_PACING_BITS, MCTX__RATE_MAX, MCTX__BURST_MAX);
  const uint64_t taken = mctx__pacer_take(&pacer, &source, 0, MANY);
  assert_int_equal(taken, MANY);
  mctx_sim_advance(SECOND);
  assert_int_equal(mctx__pacer_due(&pacer, LARGEST), 0);
  mctx__pacer_give_back(&pacer, &source, 0, taken);
  assert_int_equal(mctx__pacer_due(&pacer, LARGEST), 0);
  assert_int_equal(pacer.level, MCTX__BURST_MAX * BILLION);
  end();
}

/* Long after: as long as the clock can tell. */
static void a_bucket_that_was_left_alone_is_full(void **state) {
  (void)state;
  slices[0].length = LARGEST;
  for (uint32_t r = 0; r < RATES; r++) {
    begin(MCTX_PACING_BITS, rates[r], 1);
    (void)check_take(0, 1);
    pass_time(&reference, INT64_C(1) << 58);
    check_due(LARGEST);
    (void)check_take(0, 1);
    end();
  }
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 20000 };

static _Atomic uint64_t taken_by_all;
static _Atomic bool over;

static void *take_and_give(void *unused) {
  (void)unused;
  const mctx__datagrams source = source_of(DATAGRAMS);
  for (uint32_t i = 0; i < ROUNDS; i++) {
    const uint64_t taken = mctx__pacer_take(&pacer, &source, 0, 1 + i % 7);
    if (taken > 0) mctx__pacer_give_back(&pacer, &source, taken - 1, taken); /* the last did not go */
    if (taken > 0) taken_by_all += taken - 1;
    (void)mctx__pacer_due(&pacer, 64);
  }
  return NULL;
}

static void *move_the_clock(void *unused) {
  (void)unused;
  while (!over)
    mctx_sim_advance(1000);
  return NULL;
}

/* What all of them got is what the rate yields in the time that passed, and what was there. */
static void threads_share_one_rate(void **state) {
  (void)state;
  enum { RATE = 1000000, BURST = 100 };
  pthread_t threads[THREADS + 1];
  taken_by_all = 0;
  over = false;
  const int64_t start = mctx_sim_now();
  mctx__pacer_init(&pacer, MCTX_PACING_DATAGRAMS, RATE, BURST);
  for (uint32_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
  assert_int_equal(pthread_create(&threads[THREADS], NULL, move_the_clock, NULL), 0);
  for (uint32_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  over = true;
  assert_int_equal(pthread_join(threads[THREADS], NULL), 0);
  const int64_t passed = mctx_sim_now() - start;
  assert_true(taken_by_all > 0);
  assert_true(taken_by_all <= (uint64_t)(BURST + passed / 1000 + 1));
  mctx__pacer_destroy(&pacer);

  /* without the clock: exactly the bucket */
  taken_by_all = 0;
  mctx__pacer_init(&pacer, MCTX_PACING_DATAGRAMS, RATE, BURST);
  for (uint32_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
  for (uint32_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(pacer.level, (BURST - (int64_t)taken_by_all) * BILLION);
  mctx__pacer_destroy(&pacer);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(the_bucket_is_exact),
      fixture_test(small_steps_add_up),
      fixture_test(what_is_larger_than_the_bucket_goes_when_it_is_full),
      fixture_test(usual_bursts),
      fixture_test(the_largest_bucket_does_not_run_over),
      fixture_test(a_bucket_that_was_left_alone_is_full),
      fixture_test(threads_share_one_rate),
  };
  return cmocka_run_group_tests_name("pacer", tests, NULL, NULL);
}

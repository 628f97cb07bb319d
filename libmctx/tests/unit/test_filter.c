/* SPDX-License-Identifier: MIT */
/* Filters and tables, the parts that look sources and memberships up, against sets of bits and plain lists. */
#include <stdbool.h>

#include "chance.h"
#include "filter.h"
#include "sim_fixture.h"
#include "table.h"

enum { SOURCES = 10 };

/* Sources whose order in memory is not that of their numbers. */
static mctx_address source(uint32_t number, uint32_t family) {
  mctx_address address = {.family = (uint8_t)family};
  address.bytes[family == 4 ? 0 : 9] = (uint8_t)(number * 37 % 11 + 1);
  address.bytes[family == 4 ? 3 : 15] = (uint8_t)number;
  return address;
}

/* With ports, scopes and prefixes that do not count, in any order. */
static mctx__filter filter_of(uint32_t set, uint32_t mode, uint32_t family) {
  mctx_address list[SOURCES];
  uint32_t count = 0;
  const uint32_t first = chance(SOURCES);
  for (uint32_t i = 0; i < SOURCES; i++) {
    const uint32_t number = (first + i) % SOURCES;
    if ((set >> number & 1) == 0) continue;
    list[count] = source(number, family);
    list[count].port = (uint16_t)chance(100);
    list[count++].scope_id = chance(3);
  }
  mctx__filter filter;
  assert_true(mctx__filter_make(&filter, mode, list, count));
  return filter;
}

static void assert_set(mctx__filter *filter, uint32_t expected, uint32_t mode, uint32_t family) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < SOURCES; i++) {
    const mctx_address one = source(i, family);
    const bool is_listed = (expected >> i & 1) != 0;
    count += is_listed;
    assert_int_equal(mctx__filter_lists(filter, &one), is_listed);
    assert_int_equal(mctx__filter_passes(filter, &one), is_listed == (mode == MCTX_INCLUDE));
  }
  assert_int_equal(filter->count, count);
  assert_int_equal(filter->mode, mode);
  assert_int_equal(mctx__filter_is_open(filter), mode == MCTX_EXCLUDE && count == 0);
  for (uint32_t i = 0; i < count; i++) {
    assert_int_equal(filter->sources[i].port, 0);
    assert_int_equal(filter->sources[i].scope_id, 0);
    if (i > 0) assert_true(memcmp(filter->sources[i - 1].bytes, filter->sources[i].bytes, 16) < 0);
  }
  mctx__filter_free(filter);
  assert_true(mctx__filter_is_open(filter));
}

static void filters_are_sets(void **state) {
  (void)state;
  for (int round = 0; round < 3000; round++) {
    const uint32_t family = chance(2) == 0 ? 4 : 6;
    const uint32_t mode = chance(2);
    const uint32_t a_set = chance(1 << SOURCES);
    const uint32_t b_set = chance(1 << SOURCES);
    mctx__filter a = filter_of(a_set, mode, family);
    mctx__filter b = filter_of(b_set, chance(2), family);
    mctx__filter result;
    assert_int_equal(mctx__filter_same(&a, &b), a_set == b_set && a.mode == b.mode);
    assert_true(mctx__filter_copy(&result, &a));
    assert_true(mctx__filter_same(&result, &a));
    assert_set(&result, a_set, mode, family);
    assert_true(mctx__filter_common(&result, &a, &b));
    assert_set(&result, a_set & b_set, mode, family);
    assert_true(mctx__filter_minus(&result, &a, &b));
    assert_set(&result, a_set & ~b_set, mode, family);
    const uint32_t number = chance(SOURCES);
    const mctx_address one = source(number, family);
    if ((a_set >> number & 1) == 0) {
      assert_true(mctx__filter_with(&result, &a, &one));
      assert_set(&result, a_set | 1u << number, mode, family);
    } else {
      assert_true(mctx__filter_without(&result, &a, &one));
      assert_set(&result, a_set & ~(1u << number), mode, family);
    }
    /* the first so many of what both do not have in common */
    mctx__filter rest;
    assert_true(mctx__filter_minus(&rest, &b, &a));
    const uint32_t count = chance(rest.count + 1);
    assert_true(mctx__filter_joined(&result, &a, &rest, count));
    assert_int_equal(result.count, a.count + count);
    mctx__filter kept;
    assert_true(mctx__filter_copy(&kept, &rest));
    mctx__filter_skip(&rest, count);
    assert_int_equal(rest.count, kept.count - count);
    for (uint32_t i = 0; i < kept.count; i++) {
      assert_int_equal(mctx__filter_lists(&result, &kept.sources[i]), i < count);
      assert_int_equal(mctx__filter_lists(&rest, &kept.sources[i]), i >= count);
    }
    mctx__filter taken = mctx__filter_take(&result);
    assert_true(mctx__filter_is_open(&result));
    mctx__filter_free(&taken);
    mctx__filter_free(&kept);
    mctx__filter_free(&rest);
    mctx__filter_free(&a);
    mctx__filter_free(&b);
  }
}

static void filters_without_memory_hold_nothing(void **state) {
  (void)state;
  mctx__filter a = filter_of(0x2b, MCTX_INCLUDE, 4);
  mctx__filter b = filter_of(0x12, MCTX_INCLUDE, 4);
  mctx__filter result;
  const mctx_address one = source(9, 4);
  for (int i = 0; i < 5; i++) {
    assert_true(mctx_sim_fault(MCTX_SIM_ALLOCATE, 1, MCTX_SIM_FAIL, MCTX_ERR_NO_MEMORY));
    const bool made = i == 0   ? mctx__filter_copy(&result, &a)
                      : i == 1 ? mctx__filter_with(&result, &a, &one)
                      : i == 2 ? mctx__filter_minus(&result, &a, &b)
                      : i == 3 ? mctx__filter_common(&result, &a, &b)
                               : mctx__filter_make(&result, MCTX_INCLUDE, &one, 1);
    assert_false(made);
  }
  mctx__filter_free(&a);
  mctx__filter_free(&b);
}

/* ---- tables ---- */

enum { ENTRIES = 400 };

static void grow(mctx__table *table, uint32_t count) {
  mctx__table larger;
  assert_true(mctx__table_reserve(table, count, &larger));
  mctx__table_grow(table, &larger);
  mctx__release(larger.buckets);
}

static void a_table_finds_what_is_in_it(void **state) {
  (void)state;
  static mctx__entry entries[ENTRIES];
  static bool is_in[ENTRIES];
  mctx__table table = {0};
  const mctx_address nowhere = source(1, 4);
  assert_null(mctx__table_find(&table, 0, 2, &nowhere));
  for (uint32_t i = 0; i < ENTRIES; i++) {
    is_in[i] = false;
    entries[i] = (mctx__entry){.owner = i % 3, .interface_index = 2 + i / 3 % 4};
    entries[i].group = (mctx_address){.family = i % 2 == 0 ? 4 : 6};
    entries[i].group.bytes[0] = 0xe0; /* the same bytes in both families */
    entries[i].group.bytes[3] = (uint8_t)(i / 12);
  }
  uint32_t count = 0;
  for (int round = 0; round < 20000; round++) {
    const uint32_t i = chance(ENTRIES);
    bool is_twin_in = false;
    for (uint32_t k = 0; k < ENTRIES; k++)
      is_twin_in = is_twin_in || (is_in[k] && k != i && entries[k].owner == entries[i].owner &&
                                  entries[k].interface_index == entries[i].interface_index &&
                                  memcmp(&entries[k].group, &entries[i].group, sizeof entries[i].group) == 0);
    if (is_twin_in) continue;
    mctx__entry *found =
        mctx__table_find(&table, entries[i].owner, entries[i].interface_index, &entries[i].group);
    assert_ptr_equal(found, is_in[i] ? &entries[i] : NULL);
    if (is_in[i]) {
      mctx__table_remove(&table, &entries[i]);
      count--;
    } else {
      grow(&table, count + 1);
      mctx__table_add(&table, &entries[i]);
      count++;
    }
    is_in[i] = !is_in[i];
    assert_int_equal(table.count, count);
  }
  mctx__table_release(&table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(filters_are_sets),
      fixture_test(filters_without_memory_hold_nothing),
      fixture_test(a_table_finds_what_is_in_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

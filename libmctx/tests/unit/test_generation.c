/* SPDX-License-Identifier: MIT */
/* A slot's generations end: it is then never used again, and no old handle comes to life. The source is taken
 * in whole, so that a slot can be aged by hand; the library's own copy is then not linked. */
#include "handle.c"

#include "sim_fixture.h"

/* Ages the slot that the next object gets, and returns its index. */
static uint32_t age_next_slot(uint64_t generation) {
  assert_int_not_equal(table.first_free, NO_SLOT);
  atomic_store(&mctx__slot_of(table.first_free)->word, generation << GENERATION_SHIFT);
  return table.first_free;
}

static uint32_t index_of(mctx_handle handle) {
  return mctx__slot_of(handle)->index;
}

static uint64_t generation_of(mctx_handle handle) {
  return handle >> MCTX__INDEX_BITS & MCTX__LAST_GENERATION;
}

static void the_last_generation_is_never_given_out(void **state) {
  (void)state;
  uint32_t index = age_next_slot(MCTX__LAST_GENERATION - 2);
  mctx_context old[2];
  uint32_t found = 0;
  for (int i = 0; i < 2000; i++) {
    mctx_context context = open_context();
    if (index_of(context) == index) {
      assert_true(found < 2);
      assert_int_equal(generation_of(context), MCTX__LAST_GENERATION - 2 + found);
      old[found++] = context;
    }
    assert_closed(context);
  }
  assert_int_equal(found, 2);
  for (int i = 0; i < 2; i++)
    assert_status(mctx_close(old[i], NULL), MCTX_ERR_CLOSED);
  mctx_handle last = (uint64_t)MCTX_HANDLE_CONTEXT << MCTX__KIND_SHIFT |
                     (uint64_t)MCTX__LAST_GENERATION << MCTX__INDEX_BITS | index;
  assert_status(mctx_close(last, NULL), MCTX_ERR_INVALID_HANDLE);
}

static void slots_rest_before_they_are_used_again(void **state) {
  (void)state;
  mctx_context contexts[8];
  for (int i = 0; i < 8; i++)
    contexts[i] = open_context();
  for (int i = 0; i < 8; i++)
    assert_closed(contexts[i]);
  mctx_context next = open_context();
  assert_int_not_equal(index_of(next), index_of(contexts[7]));
  assert_closed(next);
}

static void stale_pins_do_not_keep_a_slot_from_its_next_life(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx__slot *slot = mctx__slot_of(context);
  assert_closed(context);
  /* as a call with a stale handle does for a moment */
  atomic_fetch_add(&slot->word, 1);
  for (int i = 0; i < 100; i++) {
    mctx_context next = open_context();
    if (mctx__slot_of(next) == slot) {
      assert_int_equal(atomic_load(&slot->word) & PINS, 1);
      atomic_fetch_sub(&slot->word, 1);
      i = 100;
    }
    assert_closed(next);
  }
  assert_int_equal(atomic_load(&slot->word) & PINS, 0);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(the_last_generation_is_never_given_out),
      fixture_test(slots_rest_before_they_are_used_again),
      fixture_test(stale_pins_do_not_keep_a_slot_from_its_next_life),
  };
  return cmocka_run_group_tests_name("generation", tests, NULL, NULL);
}

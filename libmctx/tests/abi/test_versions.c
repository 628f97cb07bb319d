/* SPDX-License-Identifier: MIT */
/* The loaded library is the one that the header describes, and its tables agree with the header's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "mctx.h"

static void version_is_that_of_the_tree(void **state) {
  (void)state;
  assert_string_equal(mctx_version(), VERSION);
}

static void abi_version_is_that_of_the_header(void **state) {
  (void)state;
  assert_int_equal(mctx_abi_version(), MCTX_ABI_VERSION);
}

static void statuses_are_those_of_the_table(void **state) {
  (void)state;
  uint32_t position = 0;
#define CHECK(NAME, KIND, n, status_name, text)                          \
  assert_int_equal(mctx_status_at(position), MCTX_ERR_##NAME);           \
  assert_string_equal(mctx_status_name(MCTX_ERR_##NAME), status_name);   \
  assert_string_equal(mctx_status_text(MCTX_ERR_##NAME), text);          \
  assert_int_equal(mctx_status_kind(MCTX_ERR_##NAME), MCTX_KIND_##KIND); \
  assert_int_equal(MCTX_ERR_##NAME / -1000, MCTX_KIND_##KIND);           \
  position++;
  MCTX_STATUS_MAP(CHECK)
#undef CHECK
  assert_int_equal(mctx_status_at(position), 0);
  assert_int_equal(mctx_status_at(UINT32_MAX), 0);
}

static void kinds_are_those_of_the_table(void **state) {
  (void)state;
#define CHECK(NAME, number, kind_name, text) assert_string_equal(mctx_kind_name(MCTX_KIND_##NAME), kind_name);
  MCTX_KIND_MAP(CHECK)
#undef CHECK
}

static void codes_of_another_version_keep_their_kind(void **state) {
  (void)state;
  assert_int_equal(mctx_status_kind(-2999), MCTX_KIND_USAGE);
  assert_int_equal(mctx_status_kind(-77001), 77);
  assert_int_equal(mctx_status_kind(INT32_MIN), 2147483);
  assert_int_equal(mctx_status_kind(0), MCTX_KIND_NONE);
  assert_int_equal(mctx_status_kind(INT32_MAX), MCTX_KIND_NONE);
  assert_string_equal(mctx_status_name(-2999), "unknown");
  assert_string_equal(mctx_status_name(INT32_MIN), "unknown");
  assert_non_null(mctx_status_text(-77001));
  assert_string_equal(mctx_kind_name(77), "unknown");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(version_is_that_of_the_tree),
      cmocka_unit_test(abi_version_is_that_of_the_header),
      cmocka_unit_test(statuses_are_those_of_the_table),
      cmocka_unit_test(kinds_are_those_of_the_table),
      cmocka_unit_test(codes_of_another_version_keep_their_kind),
  };
  return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}

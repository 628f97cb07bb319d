/* SPDX-License-Identifier: MIT */
/* mctx_constant() knows every public constant of the header with its value, and no other name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "mctx.h"

static const struct {
  const char *name;
  int64_t value;
} constants[] = {
#include "constants.inc"
};
static const size_t constant_count = sizeof constants / sizeof constants[0];

static void every_constant_of_the_header_is_known(void **state) {
  (void)state;
  for (size_t i = 0; i < constant_count; i++) {
    int64_t value = 0;
    mctx_error error = MCTX_ERROR_INIT;
    if (mctx_constant(constants[i].name, &value, &error) != MCTX_OK) {
      fail_msg("%s: %s", constants[i].name, error.message);
    }
    if (value != constants[i].value) {
      fail_msg("%s: header %lld, library %lld", constants[i].name, (long long)constants[i].value,
               (long long)value);
    }
  }
}

static int in_header(const char *name) {
  for (size_t i = 0; i < constant_count; i++) {
    if (strcmp(constants[i].name, name) == 0) return 1;
  }
  return 0;
}

static void every_known_name_is_in_the_header(void **state) {
  (void)state;
  uint32_t count = 0;
  for (const char *name; (name = mctx_constant_name(count)) != NULL; count++) {
    if (!in_header(name)) fail_msg("%s", name);
  }
  assert_int_equal(count, constant_count);
}

static void unknown_names_are_not_found(void **state) {
  (void)state;
  static const char *const names[] = {"", "MCTX_", "MCTX_OK ", "mctx_ok", "sizeof(mctx_error", "sizeof(int)"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    int64_t value = 77;
    assert_int_equal(mctx_constant(names[i], &value, NULL), MCTX_ERR_NOT_FOUND);
    assert_int_equal(value, 0);
  }
  int64_t value = 77;
  assert_int_equal(mctx_constant(NULL, &value, NULL), MCTX_ERR_NULL_ARGUMENT);
  assert_int_equal(value, 0);
  assert_int_equal(mctx_constant("MCTX_OK", NULL, NULL), MCTX_ERR_NULL_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_constant_of_the_header_is_known),
      cmocka_unit_test(every_known_name_is_in_the_header),
      cmocka_unit_test(unknown_names_are_not_found),
  };
  return cmocka_run_group_tests_name("constants", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What the library says of itself: capabilities. (Version and constants: tests/abi.) */
#include "sim_fixture.h"

static void capabilities_have_names(void **state) {
  (void)state;
  uint32_t count = 0;
  for (; mctx_capability_name(count) != NULL; count++) {
    mctx_capability_info info = {.size = sizeof info};
    assert_ok(mctx_capability(count, &info, NULL));
    assert_int_equal(info.state, MCTX_CAPABILITY_AVAILABLE);
    assert_true(strlen(info.reason) > 0);
    assert_int_equal(info.reserved, 0);
    for (uint32_t i = 0; i < count; i++)
      assert_string_not_equal(mctx_capability_name(i), mctx_capability_name(count));
  }
  assert_int_equal(count, MCTX_CAPABILITY_PACING + 1);
  assert_string_equal(mctx_capability_name(MCTX_CAPABILITY_SIMULATED), "simulated");
  assert_null(mctx_capability_name(UINT32_MAX));
}

static void capabilities_follow_the_system(void **state) {
  (void)state;
  for (uint32_t answer = 0; answer <= MCTX_CAPABILITY_AVAILABLE; answer++) {
    mctx_capability_info info = {.size = sizeof info};
    mctx_sim_capability_set(MCTX_CAPABILITY_MARK, answer);
    assert_ok(mctx_capability(MCTX_CAPABILITY_MARK, &info, NULL));
    assert_int_equal(info.state, answer);
  }
}

static void unknown_capabilities_are_not_found(void **state) {
  (void)state;
  static const uint32_t ids[] = {MCTX_CAPABILITY_PACING + 1, 1000, UINT32_MAX};
  for (size_t i = 0; i < 3; i++) {
    mctx_capability_info info = {.size = sizeof info, .state = 77};
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_capability(ids[i], &info, &error), MCTX_ERR_NOT_FOUND);
    assert_int_equal(info.state, 0);
    assert_int_equal(error.value, ids[i]);
  }
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(capabilities_have_names),
      fixture_test(capabilities_follow_the_system),
      fixture_test(unknown_capabilities_are_not_found),
  };
  return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}

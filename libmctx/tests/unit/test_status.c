/* SPDX-License-Identifier: MIT */
/* The table of statuses: codes, kinds, names. */
#include "sim_fixture.h"

static const mctx_status known[] = {
#define CODE(NAME, KIND, n, name, text) MCTX_ERR_##NAME,
    MCTX_STATUS_MAP(CODE)
#undef CODE
};

enum { KNOWN = sizeof known / sizeof known[0] };

static void codes_are_negative_and_unique(void **state) {
  (void)state;
  for (size_t i = 0; i < KNOWN; i++) {
    assert_true(known[i] < 0);
    for (size_t k = 0; k < i; k++)
      assert_int_not_equal(known[i], known[k]);
  }
}

static void names_are_unique_and_lower_case(void **state) {
  (void)state;
  for (size_t i = 0; i < KNOWN; i++) {
    const char *name = mctx_status_name(known[i]);
    assert_true(strlen(name) > 0 && strlen(name) < 48);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
    assert_string_not_equal(name, "unknown");
    for (size_t k = 0; k < i; k++)
      assert_string_not_equal(name, mctx_status_name(known[k]));
  }
}

static void texts_are_clauses(void **state) {
  (void)state;
  for (size_t i = 0; i < KNOWN; i++) {
    const char *text = mctx_status_text(known[i]);
    assert_true(strlen(text) > 10 && strlen(text) < 256);
    assert_true(text[strlen(text) - 1] != '.');
  }
}

static void kind_is_code_by_a_thousand(void **state) {
  (void)state;
  static const struct {
    mctx_status status;
    uint32_t kind;
  } rows[] = {
#define ROW(NAME, KIND, n, name, text) {MCTX_ERR_##NAME, MCTX_KIND_##KIND},
      MCTX_STATUS_MAP(ROW)
#undef ROW
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(mctx_status_kind(rows[i].status), rows[i].kind);
    assert_int_equal(-rows[i].status / 1000, rows[i].kind);
  }
}

/* These numbers are in other people's programs. */
static void numbers_do_not_move(void **state) {
  (void)state;
  assert_int_equal(MCTX_ERR_INTERNAL, -1001);
  assert_int_equal(MCTX_ERR_NULL_ARGUMENT, -2002);
  assert_int_equal(MCTX_ERR_CAPACITY, -2031);
  assert_int_equal(MCTX_ERR_INTERFACE_NOT_FOUND, -3002);
  assert_int_equal(MCTX_ERR_ADDRESS_IN_USE, -4002);
  assert_int_equal(MCTX_ERR_WOULD_BLOCK, -5001);
  assert_int_equal(MCTX_ERR_TIMEOUT, -6001);
  assert_int_equal(MCTX_ERR_FORKED, -7002);
  assert_int_equal(MCTX_ERR_FIREWALL, -8002);
  assert_int_equal(MCTX_ERR_FAMILY_UNSUPPORTED, -9002);
  assert_int_equal(MCTX_ERR_QUEUE_FULL, -10001);
  assert_int_equal(MCTX_ERR_UNREACHABLE, -11005);
  assert_int_equal(MCTX_ERR_DATAGRAM_TOO_LARGE, -12001);
  assert_int_equal(MCTX_ERR_IO, -13001);
  assert_int_equal(MCTX_ERR_SIGNAL, -14002);
}

static void listing_gives_the_table(void **state) {
  (void)state;
  for (uint32_t i = 0; i < KNOWN; i++)
    assert_int_equal(mctx_status_at(i), known[i]);
  assert_int_equal(mctx_status_at(KNOWN), 0);
  assert_int_equal(mctx_status_at(UINT32_MAX), 0);
}

static void kinds_have_names(void **state) {
  (void)state;
  static const struct {
    uint32_t kind;
    const char *name;
  } rows[] = {
#define ROW(NAME, number, name, text) {number, name},
      MCTX_KIND_MAP(ROW)
#undef ROW
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    assert_string_equal(mctx_kind_name(rows[i].kind), rows[i].name);
  assert_string_equal(mctx_kind_name(MCTX_KIND_NONE), "none");
  assert_string_equal(mctx_kind_name(15), "unknown");
  assert_string_equal(mctx_kind_name(UINT32_MAX), "unknown");
}

static void unknown_codes_keep_their_kind(void **state) {
  (void)state;
  assert_int_equal(mctx_status_kind(-2999), MCTX_KIND_USAGE);
  assert_int_equal(mctx_status_kind(-77123), 77);
  assert_int_equal(mctx_status_kind(-5), 0);
  assert_int_equal(mctx_status_kind(INT32_MIN), 2147483);
  assert_int_equal(mctx_status_kind(0), MCTX_KIND_NONE);
  assert_int_equal(mctx_status_kind(INT32_MAX), MCTX_KIND_NONE);
  static const mctx_status codes[] = {-2999, -77123, -5, 5, INT32_MIN, INT32_MAX};
  for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
    assert_string_equal(mctx_status_name(codes[i]), "unknown");
    assert_true(strlen(mctx_status_text(codes[i])) > 0);
  }
  assert_string_equal(mctx_status_name(MCTX_OK), "ok");
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_are_negative_and_unique),
      cmocka_unit_test(names_are_unique_and_lower_case),
      cmocka_unit_test(texts_are_clauses),
      cmocka_unit_test(kind_is_code_by_a_thousand),
      cmocka_unit_test(numbers_do_not_move),
      cmocka_unit_test(listing_gives_the_table),
      cmocka_unit_test(kinds_have_names),
      cmocka_unit_test(unknown_codes_keep_their_kind),
  };
  return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}

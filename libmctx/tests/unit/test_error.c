/* SPDX-License-Identifier: MIT */
/* Error records: sizes of older and newer callers, what is filled, what is left alone. */
#include "sim_fixture.h"

/* Fails with texts and numbers, and needs nothing. */
static mctx_status fail_into(mctx_error *error) {
  mctx_address address;
  return mctx_address_parse("not an address", &address, error);
}

static void a_failure_fills_the_record(void **state) {
  (void)state;
  mctx_error error;
  memset(&error, 0xa5, sizeof error);
  mctx_error_init(&error, sizeof error);
  assert_status(fail_into(&error), MCTX_ERR_ADDRESS_SYNTAX);
  assert_int_equal(error.size, sizeof error);
  assert_int_equal(error.status, MCTX_ERR_ADDRESS_SYNTAX);
  assert_int_equal(error.kind, MCTX_KIND_USAGE);
  assert_int_equal(error.os_code, 0);
  assert_int_equal(error.handle, 0);
  assert_int_equal(error.item, -1);
  assert_int_equal(error.retry, MCTX_RETRY_NEVER);
  assert_int_equal(error.flags, 0);
  assert_string_equal(error.operation, "mctx_address_parse");
  assert_string_equal(error.field, "text");
  assert_true(strlen(error.message) > 0);
  assert_true(strlen(error.hint) > 0);
}

static void success_does_not_touch_the_record(void **state) {
  (void)state;
  mctx_error error, before;
  mctx_address address;
  memset(&error, 0xa5, sizeof error);
  error.size = sizeof error;
  before = error;
  assert_ok(mctx_address_parse("239.1.1.1", &address, &error));
  assert_memory_equal(&error, &before, sizeof error);
}

static void a_second_failure_leaves_nothing_of_the_first(void **state) {
  (void)state;
  mctx_error error;
  memset(&error, 0xff, sizeof error);
  error.size = sizeof error;
  mctx_error fresh = MCTX_ERROR_INIT;
  (void)fail_into(&error);
  (void)fail_into(&fresh);
  assert_memory_equal(&error, &fresh, sizeof error);
}

/* Callers of every size: the record of theirs is written, nothing behind it; what this library doesn't know is
 * zero. */
static void callers_of_every_size_are_served(void **state) {
  (void)state;
  enum { ROOM = 2048 };
  union {
    mctx_error error;
    unsigned char bytes[ROOM];
  } given;
  mctx_error whole = MCTX_ERROR_INIT;
  (void)fail_into(&whole);
  for (uint32_t size = 8; size <= ROOM - 8; size += 8) {
    memset(&given, 0xa5, sizeof given);
    given.error.size = size;
    assert_status(fail_into(&given.error), MCTX_ERR_ADDRESS_SYNTAX);
    assert_int_equal(given.error.size, size);
    uint32_t shared = size < sizeof whole ? size : (uint32_t)sizeof whole;
    assert_memory_equal(given.bytes + 4, (unsigned char *)&whole + 4, shared - 4);
    for (uint32_t i = shared; i < size; i++)
      assert_int_equal(given.bytes[i], 0);
    for (uint32_t i = size; i < ROOM; i++)
      assert_int_equal(given.bytes[i], 0xa5);
  }
}

static void a_record_without_a_size_is_refused_and_not_written(void **state) {
  (void)state;
  static const uint32_t sizes[] = {0, 1, 4, 7, 12, 65544, UINT32_MAX};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    mctx_error error, before;
    mctx_address address;
    memset(&error, 0xa5, sizeof error);
    error.size = sizes[i];
    before = error;
    assert_status(mctx_address_parse("239.1.1.1", &address, &error), MCTX_ERR_STRUCT_SIZE);
    assert_memory_equal(&error, &before, sizeof error);
  }
}

static void no_record_is_fine(void **state) {
  (void)state;
  assert_status(fail_into(NULL), MCTX_ERR_ADDRESS_SYNTAX);
}

static void the_initialiser_respects_the_size(void **state) {
  (void)state;
  union {
    mctx_error error;
    unsigned char bytes[2048];
  } given;
  memset(&given, 0xa5, sizeof given);
  mctx_error_init(&given.error, 64);
  assert_int_equal(given.error.size, 64);
  for (size_t i = 4; i < 64; i++)
    assert_int_equal(given.bytes[i], 0);
  assert_int_equal(given.bytes[64], 0xa5);
  mctx_error_init(&given.error, sizeof given);
  for (size_t i = 4; i < sizeof given; i++)
    assert_int_equal(given.bytes[i], 0);
  mctx_error_init(NULL, sizeof(mctx_error));
}

/* They happen on hot paths. */
static void hot_failures_carry_numbers_alone(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  static const mctx_status hot[] = {MCTX_ERR_WOULD_BLOCK, MCTX_ERR_QUEUE_FULL};
  static const uint32_t retry[] = {MCTX_RETRY_WHEN_READY, MCTX_RETRY_AFTER_DELAY};
  for (size_t i = 0; i < 2; i++) {
    mctx_error error = MCTX_ERROR_INIT;
    assert_true(mctx_sim_fault(MCTX_SIM_SEND, 1, MCTX_SIM_FAIL, hot[i]));
    assert_status(mctx_send(publication, "x", 1, &error), hot[i]);
    assert_int_equal(error.status, hot[i]);
    assert_int_equal(error.kind, mctx_status_kind(hot[i]));
    assert_int_equal(error.handle, publication);
    assert_int_equal(error.retry, retry[i]);
    assert_true(error.os_code != 0);
    assert_string_equal(error.field, "");
    assert_string_equal(error.message, "");
    assert_string_equal(error.hint, "");
  }
  assert_closed(context);
}

static void cold_failures_say_who_and_what(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
  options.outgoing_interface.index = 3;
  mctx_publication publication = open_with(context, &options);
  mctx_error error = MCTX_ERROR_INIT;
  assert_true(mctx_sim_interface_set(3, "eth1", MCTX_INTERFACE_MULTICAST, 1500));
  assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_INTERFACE_DOWN);
  assert_string_equal(error.operation, "mctx_send");
  assert_int_equal(error.handle, publication);
  assert_int_equal(error.retry, MCTX_RETRY_AFTER_CHANGE);
  assert_true(error.os_code != 0);
  assert_non_null(strstr(error.hint, "eth1"));
  assert_closed(context);
}

static void assert_says(const mctx_error *error, const char *field, const char *words) {
  if (strcmp(error->field, field) != 0) fail_msg("the field is \"%s\", not \"%s\"", error->field, field);
  if (strstr(error->message, words) == NULL && strstr(error->hint, words) == NULL)
    fail_msg("neither \"%s\" nor \"%s\" says \"%s\"", error->message, error->hint, words);
}

/* A wrong name is told with those that are right, wherever it stands. */
static void an_unknown_interface_is_told_with_those_that_there_are(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication;
  mctx_address address;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_address_parse("ff12::1%nope", &address, &error), MCTX_ERR_INTERFACE_NOT_FOUND);
  assert_says(&error, "text", "\"nope\"");
  assert_says(&error, "text", "eth1 (3)");
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.bind_device = "nope";
  assert_status(mctx_publication_open(context, &options, &publication, &error), MCTX_ERR_INTERFACE_NOT_FOUND);
  assert_says(&error, "bind_device", "\"nope\"");
  assert_says(&error, "bind_device", "eth1 (3)");
  options = options_for("[ff12::1]:5000");
  options.group.scope_id = 99;
  assert_status(mctx_publication_open(context, &options, &publication, &error), MCTX_ERR_INTERFACE_NOT_FOUND);
  assert_says(&error, "group.scope_id", "99");
  assert_says(&error, "group.scope_id", "eth1 (3)");
  assert_closed(context);
}

static void interfaces_that_cannot_be_listed_are_told_with_what_to_do(void **state) {
  (void)state;
  mctx_interface_list list;
  mctx_address address;
  mctx_error error = MCTX_ERROR_INIT;
  assert_true(mctx_sim_fault(MCTX_SIM_INTERFACES, 1, MCTX_SIM_FAIL, MCTX_ERR_TOO_MANY_DESCRIPTORS));
  assert_status(mctx_interface_list_open(&list, &error), MCTX_ERR_TOO_MANY_DESCRIPTORS);
  assert_says(&error, "", "ulimit");
  assert_true(mctx_sim_fault(MCTX_SIM_INTERFACES, 1, MCTX_SIM_FAIL, MCTX_ERR_PERMISSION));
  assert_status(mctx_address_parse("fe80::1%eth0", &address, &error), MCTX_ERR_PERMISSION);
  assert_says(&error, "text", "sandbox");
}

/* Options that are zeroed and not initialised have ports of 0. */
static void a_forgotten_initialiser_is_named(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_publication_options options = {.size = sizeof options};
  assert_ok(mctx_address_parse("239.1.1.1:5000", &options.group, NULL));
  assert_status(mctx_publication_open(context, &options, &publication, &error), MCTX_ERR_PORT_ZERO);
  assert_says(&error, "port", "mctx_publication_options_init()");
  options.port = 5000;
  assert_status(mctx_publication_open(context, &options, &publication, &error), MCTX_ERR_SOURCE_PORT_ZERO);
  assert_says(&error, "source_port", "mctx_publication_options_init()");
  assert_closed(context);
}

static void a_port_that_is_left_out_is_not_called_zero(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication;
  mctx_subscription subscription;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_publication_options sending;
  mctx_subscription_options receiving;
  mctx_publication_options_init(&sending, sizeof sending);
  assert_ok(mctx_address_parse("239.1.1.1", &sending.group, NULL));
  assert_status(mctx_publication_open(context, &sending, &publication, &error), MCTX_ERR_PORT_ZERO);
  assert_string_equal(error.message, "no port is given");
  assert_says(&error, "port", "1 to 65535");
  mctx_subscription_options_init(&receiving, sizeof receiving);
  assert_status(mctx_subscription_open(context, &receiving, &subscription, &error), MCTX_ERR_PORT_ZERO);
  assert_string_equal(error.message, "no port is given");
  assert_says(&error, "port", "pass 0 to have one chosen");
  assert_closed(context);
}

static void hints_tell_the_limit_and_the_object(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_address address;
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted;
  assert_status(mctx_address_parse(" 239.1.1.1", &address, &error), MCTX_ERR_ADDRESS_SYNTAX);
  assert_says(&error, "text", "\" 239.1.1.1\"");
  assert_status(mctx_send_segments(publication, "x", 1, 70000, 0, 0, &accepted, &error), MCTX_ERR_SEGMENT_SIZE);
  assert_says(&error, "segment_size", "65507");
  assert_closed(publication);
  assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_CLOSED);
  assert_says(&error, "handle", "the publication is closed");
  assert_closed(context);
  assert_status(mctx_close(context, &error), MCTX_ERR_CLOSED);
  assert_says(&error, "handle", "the context is closed");
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(a_failure_fills_the_record),
      fixture_test(success_does_not_touch_the_record),
      fixture_test(a_second_failure_leaves_nothing_of_the_first),
      fixture_test(callers_of_every_size_are_served),
      fixture_test(a_record_without_a_size_is_refused_and_not_written),
      fixture_test(no_record_is_fine),
      fixture_test(the_initialiser_respects_the_size),
      fixture_test(hot_failures_carry_numbers_alone),
      fixture_test(cold_failures_say_who_and_what),
      fixture_test(an_unknown_interface_is_told_with_those_that_there_are),
      fixture_test(interfaces_that_cannot_be_listed_are_told_with_what_to_do),
      fixture_test(a_forgotten_initialiser_is_named),
      fixture_test(a_port_that_is_left_out_is_not_called_zero),
      fixture_test(hints_tell_the_limit_and_the_object),
  };
  return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}

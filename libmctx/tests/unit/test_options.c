/* SPDX-License-Identifier: MIT */
/* Structs with a size, whoever's; arrays with a stride; reserved fields. */
#include <stdlib.h>

#include "sim_fixture.h"

enum { ROOM = 4096 };

/* ---- structs that the library reads ---- */

/* The options as an older or newer program would pass them. */
static mctx_status open_sized(mctx_context context, const void *bytes, uint32_t size, mctx_publication *opened,
                              mctx_error *error) {
  /* exactly as large, so that a sanitizer sees a byte too many that is read */
  unsigned char *given = malloc(size < 8 ? 8 : size);
  assert_non_null(given);
  memcpy(given, bytes, size < 8 ? 8 : size);
  memcpy(given, &size, sizeof size);
  mctx_status status = mctx_publication_open(context, (const void *)given, opened, error);
  free(given);
  return status;
}

static void shorter_options_mean_the_defaults(void **state) {
  (void)state;
  mctx_context context = open_context();
  unsigned char bytes[ROOM];
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  uint32_t first = (uint32_t)(offsetof(mctx_publication_options, group) + sizeof(mctx_address));
  for (uint32_t size = first; size <= sizeof options; size += 8) {
    mctx_publication publication;
    /* what the older struct does not have is anything */
    memset(bytes, 0xa5, sizeof bytes);
    memcpy(bytes, &options, size);
    assert_ok(open_sized(context, bytes, size, &publication, NULL));
    mctx_publication_info info = info_of(publication);
    assert_address(&info.group, "239.1.1.1:5000");
    assert_int_equal(info.hop_limit, 1);
    assert_int_equal(info.loopback, 1);
    assert_int_equal(info.connected, 1);
    assert_int_equal(info.source_port, MCTX_AUTO);
    assert_int_equal(info.mark, MCTX_AUTO);
    assert_closed(publication);
  }
  assert_closed(context);
}

static void longer_options_with_a_zero_tail_are_accepted(void **state) {
  (void)state;
  mctx_context context = open_context();
  unsigned char bytes[ROOM] = {0};
  mctx_publication_options options = options_for("239.1.1.1:5000");
  memcpy(bytes, &options, sizeof options);
  for (uint32_t size = sizeof options; size <= ROOM; size += 8) {
    mctx_publication publication;
    assert_ok(open_sized(context, bytes, size, &publication, NULL));
    assert_closed(publication);
  }
  assert_closed(context);
}

static void each_byte_of_an_unknown_tail_is_checked(void **state) {
  (void)state;
  mctx_context context = open_context();
  unsigned char bytes[ROOM] = {0};
  mctx_publication_options options = options_for("239.1.1.1:5000");
  memcpy(bytes, &options, sizeof options);
  uint32_t size = sizeof options + 64;
  for (uint32_t i = sizeof options; i < size; i++) {
    mctx_publication publication = 77;
    mctx_error error = MCTX_ERROR_INIT;
    bytes[i] = 1;
    assert_status(open_sized(context, bytes, size, &publication, &error), MCTX_ERR_STRUCT_TAIL);
    bytes[i] = 0;
    assert_int_equal(publication, 0);
    assert_string_equal(error.field, "options");
    assert_true(strlen(error.hint) > 0);
  }
  assert_closed(context);
}

static void sizes_that_cannot_be_are_refused(void **state) {
  (void)state;
  mctx_context context = open_context();
  unsigned char bytes[ROOM] = {0};
  mctx_publication_options options = options_for("239.1.1.1:5000");
  memcpy(bytes, &options, sizeof options);
  static const uint32_t sizes[] = {
      0, 1, 4, 7, 9, 36, sizeof options - 4, sizeof options + 4, sizeof options + 1};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    mctx_publication publication = 77;
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(open_sized(context, bytes, sizes[i], &publication, &error), MCTX_ERR_STRUCT_SIZE);
    assert_int_equal(publication, 0);
    assert_string_equal(error.field, "options");
    assert_int_equal(error.value, sizes[i]);
  }
  assert_closed(context);
}

static void context_options_are_versioned_too(void **state) {
  (void)state;
  mctx_context context = 77;
  uint32_t given[6] = {8};
  assert_ok(mctx_context_open((const void *)given, &context, NULL));
  assert_closed(context);
  given[0] = 24;
  assert_ok(mctx_context_open((const void *)given, &context, NULL));
  assert_closed(context);
  given[5] = 1;
  assert_status(mctx_context_open((const void *)given, &context, NULL), MCTX_ERR_STRUCT_TAIL);
  assert_int_equal(context, 0);
  given[0] = 0;
  assert_status(mctx_context_open((const void *)given, &context, NULL), MCTX_ERR_STRUCT_SIZE);
  given[0] = 8;
  given[1] = 1;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_context_open((const void *)given, &context, &error), MCTX_ERR_RESERVED);
  assert_string_equal(error.field, "flags");
}

static void initialisers_respect_the_size(void **state) {
  (void)state;
  unsigned char bytes[ROOM];
  mctx_publication_options whole;
  mctx_publication_options_init(&whole, sizeof whole);
  for (uint32_t size = 8; size <= 1024; size += 8) {
    memset(bytes, 0xa5, sizeof bytes);
    mctx_publication_options_init((void *)bytes, size);
    uint32_t stored;
    memcpy(&stored, bytes, sizeof stored);
    assert_int_equal(stored, size);
    uint32_t shared = size < sizeof whole ? size : (uint32_t)sizeof whole;
    assert_memory_equal(bytes + 4, (unsigned char *)&whole + 4, shared - 4);
    for (uint32_t i = shared; i < size; i++)
      assert_int_equal(bytes[i], 0);
    for (uint32_t i = size; i < sizeof bytes; i++)
      assert_int_equal(bytes[i], 0xa5);
  }
  memset(bytes, 0xa5, sizeof bytes);
  mctx_context_options_init((void *)bytes, 16);
  static const uint32_t expected[4] = {16};
  assert_memory_equal(bytes, expected, sizeof expected);
  assert_int_equal(bytes[16], 0xa5);
  mctx_publication_options_init(NULL, sizeof whole);
  mctx_context_options_init(NULL, 8);
}

/* ---- structs that the library writes ---- */

/* Asks with a struct of every size; what is shared is equal, the unknown rest is zero, nothing behind is
 * touched. */
static void check_written(mctx_status (*ask)(mctx_handle handle, void *into), mctx_handle handle,
                          uint32_t own) {
  unsigned char whole[ROOM], bytes[ROOM];
  memset(whole, 0, sizeof whole);
  memcpy(whole, &own, sizeof own);
  assert_ok(ask(handle, whole));
  for (uint32_t size = 8; size <= own + 64; size += 8) {
    memset(bytes, 0xa5, sizeof bytes);
    memcpy(bytes, &size, sizeof size);
    assert_ok(ask(handle, bytes));
    uint32_t stored;
    memcpy(&stored, bytes, sizeof stored);
    assert_int_equal(stored, size);
    uint32_t shared = size < own ? size : own;
    assert_memory_equal(bytes + 4, whole + 4, shared - 4);
    for (uint32_t i = shared; i < size; i++)
      assert_int_equal(bytes[i], 0);
    for (uint32_t i = size; i < sizeof bytes; i++)
      assert_int_equal(bytes[i], 0xa5);
  }
  static const uint32_t refused[] = {0, 4, 12};
  for (size_t i = 0; i < 3; i++) {
    memcpy(bytes, &refused[i], sizeof refused[i]);
    assert_status(ask(handle, bytes), MCTX_ERR_STRUCT_SIZE);
  }
  assert_status(ask(handle, NULL), MCTX_ERR_NULL_ARGUMENT);
}

static mctx_status ask_publication(mctx_handle handle, void *into) {
  return mctx_publication_get_info(handle, into, NULL);
}

static mctx_status ask_interface(mctx_handle handle, void *into) {
  return mctx_interface_list_get(handle, 1, into, NULL);
}

static mctx_status ask_capability(mctx_handle handle, void *into) {
  (void)handle;
  return mctx_capability(MCTX_CAPABILITY_IPV6, into, NULL);
}

static void results_fit_callers_of_every_size(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  check_written(ask_publication, publication, sizeof(mctx_publication_info));
  check_written(ask_interface, list, sizeof(mctx_interface_info));
  check_written(ask_capability, 0, sizeof(mctx_capability_info));
  assert_closed(list);
  assert_closed(context);
}

static void failures_zero_what_would_have_been_written(void **state) {
  (void)state;
  mctx_publication_info info;
  memset(&info, 0xa5, sizeof info);
  info.size = sizeof info;
  assert_int_not_equal(mctx_publication_get_info(77, &info, NULL), MCTX_OK);
  mctx_publication_info none = {.size = sizeof none};
  assert_memory_equal(&info, &none, sizeof info);
}

static void strides_are_the_callers(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publications[3];
  for (int i = 0; i < 3; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.port = MCTX_AUTO;
    options.flags = MCTX_PUBLICATION_DUPLICATE;
    publications[i] = open_with(context, &options);
  }
  for (uint32_t stride = 8; stride <= 48; stride += 8) {
    unsigned char outcomes[3 * 48 + 8];
    uint32_t count;
    memset(outcomes, 0xa5, sizeof outcomes);
    assert_ok(mctx_send_all(context, "x", 1, (void *)outcomes, stride, 3, &count, NULL));
    assert_int_equal(count, 3);
    for (uint32_t i = 0; i < 3; i++) {
      assert_memory_equal(outcomes + (size_t)i * stride, &publications[i], 8);
      for (uint32_t k = 8; k < stride; k++)
        assert_int_equal(outcomes[i * stride + k], 0);
    }
    assert_int_equal(outcomes[3 * stride], 0xa5);
  }
  static const uint32_t refused[] = {0, 4, 12};
  for (size_t i = 0; i < 3; i++) {
    mctx_send_outcome outcome;
    uint32_t count = 77;
    mctx_error error = MCTX_ERROR_INIT;
    uint64_t before = mctx_sim_wire_count();
    assert_status(mctx_send_all(context, "x", 1, &outcome, refused[i], 1, &count, &error),
                  MCTX_ERR_STRUCT_SIZE);
    assert_int_equal(mctx_sim_wire_count(), before);
    assert_string_equal(error.field, "stride");
    mctx_event event;
    assert_status(mctx_events(context, &event, refused[i], 1, &count, &error), MCTX_ERR_STRUCT_SIZE);
  }
  assert_closed(context);
}

/* ---- NULL for every pointer in turn ---- */

#define assert_null_refused(field_, call)                   \
  do {                                                      \
    mctx_error error = MCTX_ERROR_INIT;                     \
    assert_status(call, MCTX_ERR_NULL_ARGUMENT);            \
    assert_string_equal(error.field, field_);               \
    assert_int_equal(error.status, MCTX_ERR_NULL_ARGUMENT); \
  } while (0)

static void null_pointers_are_refused(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_publication_options options = options_for("239.1.1.2:5000");
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  mctx_address address = {0};
  mctx_interface_ref by_name = {.by = MCTX_INTERFACE_BY_NAME};
  char text[64];
  size_t length;
  int64_t value;
  uint32_t count;
  uint64_t accepted;

  assert_null_refused("name", mctx_constant(NULL, &value, &error));
  assert_null_refused("value", mctx_constant("MCTX_OK", NULL, &error));
  assert_null_refused("info", mctx_capability(MCTX_CAPABILITY_IPV4, NULL, &error));
  assert_null_refused("text", mctx_address_parse(NULL, &address, &error));
  assert_null_refused("address", mctx_address_parse("::1", NULL, &error));
  assert_null_refused("address", mctx_address_format(NULL, text, sizeof text, &length, &error));
  assert_null_refused("text", mctx_address_format(&address, NULL, 1, &length, &error));
  assert_null_refused("length", mctx_address_format(&address, text, sizeof text, NULL, &error));

  assert_null_refused("list", mctx_interface_list_open(NULL, &error));
  assert_null_refused("count", mctx_interface_list_count(list, NULL, &error));
  assert_null_refused("info", mctx_interface_list_get(list, 0, NULL, &error));
  assert_null_refused("addresses", mctx_interface_list_addresses(list, 0, NULL, 1, &count, &error));
  assert_null_refused("count", mctx_interface_list_addresses(list, 0, &address, 1, NULL, &error));
  assert_null_refused("text", mctx_interface_list_friendly_name(list, 0, NULL, 1, &length, &error));
  assert_null_refused("length", mctx_interface_list_friendly_name(list, 0, text, 1, NULL, &error));
  assert_null_refused("wanted", mctx_interface_list_find(list, NULL, &count, &error));
  assert_null_refused("position", mctx_interface_list_find(list, &by_name, NULL, &error));
  assert_null_refused("interface.name", mctx_interface_list_find(list, &by_name, &count, &error));
  assert_null_refused("position", mctx_interface_list_default(list, 4, NULL, &error));

  assert_null_refused("ready", mctx_wait(publication, MCTX_WRITABLE, 0, 0, NULL, &error));
  assert_null_refused("native", mctx_pollable(publication, NULL, &error));
  assert_null_refused("values", mctx_metrics(publication, NULL, 1, &count, &error));
  assert_null_refused("count", mctx_metrics(publication, NULL, 0, NULL, &error));
  assert_null_refused("events", mctx_events(publication, NULL, sizeof(mctx_event), 1, &count, &error));
  assert_null_refused("count", mctx_events(publication, NULL, sizeof(mctx_event), 0, NULL, &error));

  assert_null_refused("context", mctx_context_open(NULL, NULL, &error));
  assert_null_refused("publications", mctx_context_publications(context, NULL, 1, &count, &error));
  assert_null_refused("count", mctx_context_publications(context, NULL, 0, NULL, &error));
  assert_null_refused("options", mctx_publication_open(context, NULL, &publication, &error));
  mctx_publication kept = open_group(context, "239.1.1.3:5000");
  assert_null_refused("publication", mctx_publication_open(context, &options, NULL, &error));
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  mctx_publication none;
  assert_null_refused("interface.name", mctx_publication_open(context, &options, &none, &error));
  assert_null_refused("info", mctx_publication_get_info(kept, NULL, &error));
  assert_null_refused("text", mctx_publication_interface_name(kept, NULL, 1, &length, &error));
  assert_null_refused("length", mctx_publication_interface_name(kept, text, 1, NULL, &error));
  assert_null_refused("source", mctx_publication_announce(kept, NULL, &address, &error));
  assert_null_refused("group", mctx_publication_announce(kept, &address, NULL, &error));
  assert_null_refused("native", mctx_publication_take(kept, NULL, &error));

  assert_null_refused("data", mctx_send(kept, NULL, 1, &error));
  assert_null_refused("slices", mctx_send_batch(kept, NULL, 1, 0, 0, &accepted, &error));
  assert_null_refused("data", mctx_send_segments(kept, NULL, 1, 1, 0, 0, &accepted, &error));
  assert_null_refused("data", mctx_send_all(context, NULL, 1, NULL, 0, 0, &count, &error));
  assert_null_refused("outcomes",
                      mctx_send_all(context, "x", 1, NULL, sizeof(mctx_send_outcome), 1, &count, &error));
  assert_null_refused("count", mctx_send_all(context, "x", 1, NULL, 0, 0, NULL, &error));
  mctx_slice slices[3] = {{.length = 1}, {.length = 0}, {.length = 1}};
  slices[0].data = "x";
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_send_batch(kept, slices, 3, 0, 0, &accepted, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_int_equal(error.item, 2);
  assert_string_equal(error.field, "slices.data");
  assert_int_equal(accepted, 0);
  assert_int_equal(mctx_sim_wire_count(), 0);
  assert_closed(list);
  assert_closed(context);
}

static void pointers_that_may_be_null_may_be(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  uint32_t count;
  assert_ok(mctx_send(publication, NULL, 0, NULL));
  assert_ok(mctx_send_batch(publication, NULL, 0, 0, 0, NULL, NULL));
  assert_ok(mctx_send_segments(publication, NULL, 0, 1, 0, 0, NULL, NULL));
  assert_ok(mctx_send_all(context, NULL, 0, NULL, 0, 0, &count, NULL));
  assert_int_equal(count, 1);
  /* an empty array of another language may have any address */
  assert_ok(mctx_send_all(context, "x", 1, (void *)8, sizeof(mctx_send_outcome), 0, &count, NULL));
  assert_int_equal(count, 1);
  assert_ok(mctx_send_all(context, "x", 1, (void *)8, 0, 0, &count, NULL));
  assert_ok(mctx_metrics(publication, NULL, 0, &count, NULL));
  assert_ok(mctx_events(publication, NULL, sizeof(mctx_event), 0, &count, NULL));
  assert_ok(mctx_context_publications(context, NULL, 0, &count, NULL));
  assert_int_equal(count, 1);
  assert_ok(mctx_close(publication, NULL));
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(shorter_options_mean_the_defaults),
      fixture_test(longer_options_with_a_zero_tail_are_accepted),
      fixture_test(each_byte_of_an_unknown_tail_is_checked),
      fixture_test(sizes_that_cannot_be_are_refused),
      fixture_test(context_options_are_versioned_too),
      fixture_test(initialisers_respect_the_size),
      fixture_test(results_fit_callers_of_every_size),
      fixture_test(failures_zero_what_would_have_been_written),
      fixture_test(strides_are_the_callers),
      fixture_test(null_pointers_are_refused),
      fixture_test(pointers_that_may_be_null_may_be),
  };
  return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}

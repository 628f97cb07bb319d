/* SPDX-License-Identifier: MIT */
/* What a failing call leaves in its out-parameters: zero, whatever the failure; an unusable error record and
 * NULL beside them are failures too. */
#include "sim_fixture.h"

/* Every function that returns more than a status, and what it returns into. */
enum { CALLS = 22 };

typedef struct outputs {
  uint32_t number; /* counts, positions, bits */
  size_t length;
  uint64_t counter;
  int64_t value;
  mctx_handle handle;
  mctx_address addresses[2];
  mctx_os_handle native;
  mctx_publication_info info;
  mctx_interface_info interface;
  mctx_capability_info capability;
  char text[8];
} outputs;

static void spoil(outputs *into) {
  memset(into, 0xa5, sizeof *into);
  into->info.size = sizeof into->info;
  into->interface.size = sizeof into->interface;
  into->capability.size = sizeof into->capability;
}

/* With a handle of no object, and arguments that are right otherwise. */
static mctx_status call(int which, outputs *into, mctx_error *error) {
  static const mctx_interface_ref wanted = {.by = MCTX_INTERFACE_BY_INDEX, .index = 1};
  mctx_publication_options options = options_for("239.9.9.9:9");
  mctx_context_options reserved = {.size = sizeof reserved, .flags = 1};
  mctx_address *one = &into->addresses[0];
  switch (which) {
    case 0:
      return mctx_constant("MCTX_NONSENSE", &into->value, error);
    case 1:
      return mctx_capability(UINT32_MAX, &into->capability, error);
    case 2:
      return mctx_address_parse("nonsense", one, error);
    case 3:
      one->family = 5;
      return mctx_address_format(one, into->text, sizeof into->text, &into->length, error);
    case 4:
      assert_true(mctx_sim_fault(MCTX_SIM_INTERFACES, 1, MCTX_SIM_FAIL, MCTX_ERR_IO));
      return mctx_interface_list_open(&into->handle, error);
    case 5:
      return mctx_interface_list_count(0, &into->number, error);
    case 6:
      return mctx_interface_list_get(0, 0, &into->interface, error);
    case 7:
      return mctx_interface_list_addresses(0, 0, NULL, 0, &into->number, error);
    case 8:
      return mctx_interface_list_friendly_name(0, 0, into->text, sizeof into->text, &into->length, error);
    case 9:
      return mctx_interface_list_find(0, &wanted, &into->number, error);
    case 10:
      return mctx_interface_list_default(0, 4, &into->number, error);
    case 11:
      return mctx_wait(0, 0, 0, 0, &into->number, error);
    case 12:
      return mctx_pollable(0, &into->native, error);
    case 13:
      return mctx_metrics(0, NULL, 0, &into->number, error);
    case 14:
      return mctx_events(0, NULL, sizeof(mctx_event), 0, &into->number, error);
    case 15:
      return mctx_context_open(&reserved, &into->handle, error);
    case 16:
      return mctx_context_publications(0, NULL, 0, &into->number, error);
    case 17:
      return mctx_publication_open(0, &options, &into->handle, error);
    case 18:
      return mctx_publication_get_info(0, &into->info, error);
    case 19:
      return mctx_publication_interface_name(0, into->text, sizeof into->text, &into->length, error);
    case 20:
      return mctx_publication_announce(0, &into->addresses[0], &into->addresses[1], error);
    default:
      return mctx_publication_take(0, &into->native, error);
  }
}

static mctx_status call_counting(int which, outputs *into, mctx_error *error) {
  static const mctx_slice slice = {.length = 0};
  switch (which) {
    case 0:
      return mctx_send_batch(0, &slice, 1, 0, 0, &into->counter, error);
    case 1:
      return mctx_send_segments(0, "x", 1, 1, 0, 0, &into->counter, error);
    default:
      return mctx_send_all(0, "x", 1, NULL, 0, 0, &into->number, error);
  }
}

/* Each of the bytes is as it was, or zero; and those that the call owns are zero. */
static void assert_zeroed(int which, const outputs *before, const outputs *after) {
  const unsigned char *old = (const void *)before;
  const unsigned char *now = (const void *)after;
  size_t zeroed = 0;
  for (size_t i = 0; i < sizeof *after; i++) {
    if (now[i] != old[i] && now[i] != 0) fail_msg("call %d: byte %d is %d", which, (int)i, now[i]);
    zeroed += now[i] != old[i];
  }
  if (zeroed == 0) fail_msg("call %d zeroed nothing", which);
}

static void failures_zero_what_they_return(void **state) {
  (void)state;
  for (int usable = 0; usable < 2; usable++) {
    for (int which = 0; which < CALLS + 3; which++) {
      outputs before;
      outputs after;
      mctx_error error = MCTX_ERROR_INIT;
      if (!usable) error.size = 7;
      spoil(&before);
      spoil(&after);
      if (which == 3) before.addresses[0].family = 5;
      mctx_status status =
          which < CALLS ? call(which, &after, &error) : call_counting(which - CALLS, &after, &error);
      assert_int_not_equal(status, MCTX_OK);
      if (!usable) assert_status(status, MCTX_ERR_STRUCT_SIZE);
      assert_zeroed(which, &before, &after);
      mctx_sim_clear_faults();
    }
  }
}

/* Text is terminated whatever else is wrong. */
static void text_is_terminated_where_its_length_cannot_be_told(void **state) {
  (void)state;
  char text[4] = "old";
  mctx_address address = address_of("::1");
  assert_status(mctx_address_format(&address, text, sizeof text, NULL, NULL), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(text, "");
  memcpy(text, "old", sizeof text);
  assert_status(mctx_publication_interface_name(0, text, sizeof text, NULL, NULL), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(text, "");
  memcpy(text, "old", sizeof text);
  assert_status(mctx_interface_list_friendly_name(0, 0, text, sizeof text, NULL, NULL), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(text, "");
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(failures_zero_what_they_return),
      fixture_test(text_is_terminated_where_its_length_cannot_be_told),
  };
  return cmocka_run_group_tests_name("outputs", tests, NULL, NULL);
}

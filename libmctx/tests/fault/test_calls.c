/* SPDX-License-Identifier: MIT */
/*
 * Every call to the system fails once, on every path: the answer is its status, nothing is leaked, and what was
 * there before is as it was. A path is run without faults first, to count its calls; then once for each call.
 */
#include <stdbool.h>
#include <stdio.h>

#include "sim_fixture.h"

/* What each sort of call can answer. */
static const struct {
  uint32_t call;
  mctx_status failures[4];
} sorts[] = {
    {MCTX_SIM_ALLOCATE, {MCTX_ERR_NO_MEMORY}},
    {MCTX_SIM_INTERFACES, {MCTX_ERR_IO, MCTX_ERR_TOO_MANY_DESCRIPTORS}},
    {MCTX_SIM_ROUTE, {MCTX_ERR_NO_ROUTE}},
    {MCTX_SIM_EVENT_OPEN, {MCTX_ERR_TOO_MANY_DESCRIPTORS}},
    {MCTX_SIM_SOCKET_OPEN, {MCTX_ERR_TOO_MANY_DESCRIPTORS, MCTX_ERR_NO_MEMORY, MCTX_ERR_FAMILY_UNSUPPORTED}},
    {MCTX_SIM_SOCKET_OPTION, {MCTX_ERR_PERMISSION, MCTX_ERR_UNSUPPORTED, MCTX_ERR_IO}},
    {MCTX_SIM_BIND, {MCTX_ERR_ADDRESS_IN_USE, MCTX_ERR_SOURCE_NOT_LOCAL, MCTX_ERR_PERMISSION, MCTX_ERR_IO}},
    {MCTX_SIM_CONNECT, {MCTX_ERR_NO_ROUTE, MCTX_ERR_NO_MEMORY, MCTX_ERR_PERMISSION, MCTX_ERR_IO}},
    {MCTX_SIM_LOCAL, {MCTX_ERR_IO}},
};

enum { SORTS = sizeof sorts / sizeof sorts[0] };

/* A path: what it needs, the call under test, and its end. */
typedef struct path {
  void (*prepare)(void);
  mctx_status (*act)(mctx_error *error);
  void (*finish)(mctx_status status); /* checks and releases, whether it succeeded or not */
  uint32_t faults;                    /* how many there are to try, at least */
} path;

static mctx_context context;
static mctx_publication publication;
static mctx_interface_list list;
static mctx_publication_options options;
static mctx_os_handle native;
static int64_t hash;
static bool was_bound; /* by the call that failed: no system can unbind a socket */

static void fail_nth(const path *tested, uint32_t call, uint64_t nth, mctx_status failure) {
  mctx_sim_reset();
  holdings before = holdings_now();
  mctx_error error = MCTX_ERROR_INIT;
  tested->prepare();
  assert_true(mctx_sim_fault(call, nth, MCTX_SIM_FAIL, failure));
  mctx_status status = tested->act(&error);
  mctx_sim_clear_faults();
  was_bound = call != MCTX_SIM_BIND && mctx_sim_calls(MCTX_SIM_BIND) > 0;
  if (status != MCTX_OK && status != failure)
    fail_msg("call %u, nth %d: %s became %s", call, (int)nth, mctx_status_name(failure),
             mctx_status_name(status));
  if (status != MCTX_OK) {
    assert_int_equal(error.status, status);
    assert_true(strlen(error.message) > 0);
    if (failure != MCTX_ERR_NO_MEMORY) assert_true(error.os_code != 0);
  }
  tested->finish(status);
  assert_holdings(before);
}

static void each_call_fails(void **state) {
  const path *tested = *state;
  uint64_t calls[SORTS];
  uint32_t faults = 0;
  mctx_sim_reset();
  tested->prepare();
  for (int i = 0; i < SORTS; i++)
    calls[i] = mctx_sim_calls(sorts[i].call);
  assert_ok(tested->act(NULL));
  for (int i = 0; i < SORTS; i++)
    calls[i] = mctx_sim_calls(sorts[i].call) - calls[i];
  tested->finish(MCTX_OK);
  for (int i = 0; i < SORTS; i++)
    for (uint64_t nth = 1; nth <= calls[i]; nth++)
      for (int k = 0; k < 4 && sorts[i].failures[k] != MCTX_OK; k++) {
        fail_nth(tested, sorts[i].call, nth, sorts[i].failures[k]);
        faults++;
      }
  assert_in_range(faults, tested->faults, UINT32_MAX);
}

#define each_call_of(path) \
  { #path, each_call_fails, fixture_setup, fixture_teardown, (void *)(uintptr_t) & (path) }

/* ---- contexts and lists ---- */

static void nothing(void) {}

static mctx_status act_context(mctx_error *error) {
  context = 77;
  return mctx_context_open(NULL, &context, error);
}

static void finish_context(mctx_status status) {
  if (status == MCTX_OK)
    assert_closed(context);
  else
    assert_int_equal(context, 0);
}

static const path opening_a_context = {nothing, act_context, finish_context, 1};

static mctx_status act_list(mctx_error *error) {
  list = 77;
  return mctx_interface_list_open(&list, error);
}

static void finish_list(mctx_status status) {
  if (status == MCTX_OK)
    assert_closed(list);
  else
    assert_int_equal(list, 0);
}

static const path listing_interfaces = {nothing, act_list, finish_list, 4};

/* ---- opening publications ---- */

static mctx_status act_open(mctx_error *error) {
  publication = 77;
  return mctx_publication_open(context, &options, &publication, error);
}

/* The context goes on: the same publication can be opened now, unless it is there. */
static void finish_open(mctx_status status) {
  uint32_t count;
  if (status != MCTX_OK) {
    assert_int_equal(publication, 0);
    assert_ok(mctx_context_publications(context, NULL, 0, &count, NULL));
    assert_int_equal(count, 0);
    assert_ok(act_open(NULL));
  }
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_closed(context);
}

static void prepare_plain(void) {
  context = open_context();
  options = options_for("239.1.1.1:5000");
}

static const path opening_a_publication = {prepare_plain, act_open, finish_open, 16};

static void prepare_everything(void) {
  context = open_context();
  options = options_for("[ff15::1]:5000");
  options.source = address_of("fd00::1");
  options.source_port = 6000;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = "eth0";
  options.hop_limit = 9;
  options.loopback = 0;
  options.dscp = 46;
  options.dont_fragment = 1;
  options.priority = 3;
  options.mark = 7;
  options.send_buffer = 100000;
  options.bind_device = "eth0";
}

static const path opening_a_publication_with_every_option = {prepare_everything, act_open, finish_open, 41};

/* Past what the context's list of children holds, so that it grows. */
static void prepare_ninth(void) {
  context = open_context();
  options = options_for("239.1.1.1:5000");
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  for (int i = 0; i < 8; i++)
    (void)open_with(context, &options);
}

static void finish_ninth(mctx_status status) {
  uint32_t count;
  assert_ok(mctx_context_publications(context, NULL, 0, &count, NULL));
  assert_int_equal(count, status == MCTX_OK ? 9 : 8);
  assert_ok(mctx_send_all(context, "x", 1, NULL, 0, 0, &count, NULL));
  assert_closed(context);
}

static const path opening_a_ninth_publication = {prepare_ninth, act_open, finish_ninth, 16};

/* ---- adopting and taking out ---- */

static void prepare_adopted(void) {
  context = open_context();
  options = options_for("239.1.1.1:5000");
  options.hop_limit = 7;
  options.loopback = 0;
  options.dscp = 10;
  options.priority = 2;
  options.mark = 4;
  options.dont_fragment = 1;
  options.send_buffer = 100000;
  options.bind_device = "eth1";
  options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
  options.outgoing_interface.index = 3;
  assert_true(mctx_sim_socket(4, NULL, &native));
  options.socket = native;
  hash = mctx_sim_socket_hash(&native);
}

static void finish_adopted(mctx_status status) {
  if (status == MCTX_OK) {
    assert_closed(context);
    return;
  }
  assert_int_equal(publication, 0);
  if (!was_bound) assert_true(mctx_sim_socket_hash(&native) == hash);
  assert_closed(context);
  mctx_sim_socket_close(&native);
}

static const path adopting_a_socket = {prepare_adopted, act_open, finish_adopted, 31};

static void prepare_adopted_to_bind(void) {
  prepare_adopted();
  options.source = address_of("10.0.1.1");
  options.source_port = 7000;
}

static const path adopting_a_socket_and_binding_it = {prepare_adopted_to_bind, act_open, finish_adopted, 31};

static void prepare_adopted_bound(void) {
  mctx_address local = address_of("10.0.1.1:7000");
  prepare_adopted();
  mctx_sim_socket_close(&native);
  assert_true(mctx_sim_socket(4, &local, &native));
  options.socket = native;
  hash = mctx_sim_socket_hash(&native);
}

/* A socket that is connected elsewhere, as one is that was taken out. */
static void prepare_adopted_connected(void) {
  mctx_publication_options elsewhere = options_for("239.9.9.9:5009");
  elsewhere.outgoing_interface = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX, .index = 3};
  prepare_adopted();
  mctx_sim_socket_close(&native);
  assert_ok(mctx_publication_take(open_with(context, &elsewhere), &native, NULL));
  options.bind_device = NULL;
  options.socket = native;
  hash = mctx_sim_socket_hash(&native);
}

static const path adopting_a_connected_socket = {prepare_adopted_connected, act_open, finish_adopted, 31};

static const path adopting_a_bound_socket = {prepare_adopted_bound, act_open, finish_adopted, 31};

static void prepare_open(void) {
  prepare_plain();
  publication = open_with(context, &options);
}

static mctx_status act_take(mctx_error *error) {
  return mctx_publication_take(publication, &native, error);
}

static void finish_take(mctx_status status) {
  assert_int_equal(status, MCTX_OK);
  assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_CLOSED);
  mctx_sim_socket_close(&native);
  assert_closed(context);
}

/* Nothing on the way can fail. */
static const path taking_a_socket_out = {prepare_open, act_take, finish_take, 0};

/* ---- asking ---- */

static mctx_status act_info(mctx_error *error) {
  mctx_publication_info info = {.size = sizeof info};
  mctx_status status = mctx_publication_get_info(publication, &info, error);
  if (status != MCTX_OK) {
    mctx_publication_info none = {.size = sizeof none};
    assert_memory_equal(&info, &none, sizeof none);
  }
  return status;
}

static void finish_asking(mctx_status status) {
  (void)status;
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_closed(context);
}

static const path asking_for_info = {prepare_open, act_info, finish_asking, 6};

static mctx_status act_name(mctx_error *error) {
  char text[64];
  size_t length;
  mctx_status status = mctx_publication_interface_name(publication, text, sizeof text, &length, error);
  if (status != MCTX_OK) assert_int_equal(length, 0);
  return status;
}

static const path asking_for_the_interface = {prepare_open, act_name, finish_asking, 5};

static mctx_status act_announce(mctx_error *error) {
  mctx_address source, group;
  return mctx_publication_announce(publication, &source, &group, error);
}

static const path asking_for_the_announcement = {prepare_open, act_announce, finish_asking, 2};

static mctx_status act_wait(mctx_error *error) {
  uint32_t ready;
  return mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, error);
}

static const path waiting = {prepare_open, act_wait, finish_asking, 1};

static mctx_status act_parse(mctx_error *error) {
  mctx_address address;
  return mctx_address_parse("ff12::1%eth0", &address, error);
}

static const path reading_a_scope = {prepare_open, act_parse, finish_asking, 4};

/* ---- mending after a failed send ---- */

static mctx_address replaced;

/* The address that the system chose is replaced by another. */
static void prepare_moved(void) {
  prepare_open();
  replaced = address_of("10.0.0.1");
  mctx_address other = address_of("10.0.0.9/24");
  assert_true(mctx_sim_address_remove(2, &replaced));
  assert_true(mctx_sim_address_add(2, &other));
}

/* With any one call failing the send may fail, but the next one goes out. */
static mctx_status act_send(mctx_error *error) {
  mctx_error own = MCTX_ERROR_INIT;
  mctx_status status = mctx_send(publication, "x", 1, &own);
  if (status != MCTX_OK) assert_int_equal(mctx_status_kind(status), MCTX_KIND_NETWORK);
  (void)error;
  return MCTX_OK;
}

static const path mending_a_connection = {prepare_moved, act_send, finish_asking, 6};

/* ---- closing ---- */

static mctx_status act_close(mctx_error *error) {
  return mctx_close(context, error);
}

static void finish_close(mctx_status status) {
  assert_int_equal(status, MCTX_OK);
  assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_CLOSED);
}

static const path closing = {prepare_open, act_close, finish_close, 0};

int main(void) {
  static const struct CMUnitTest tests[] = {
      each_call_of(opening_a_context),
      each_call_of(listing_interfaces),
      each_call_of(opening_a_publication),
      each_call_of(opening_a_publication_with_every_option),
      each_call_of(opening_a_ninth_publication),
      each_call_of(adopting_a_socket),
      each_call_of(adopting_a_socket_and_binding_it),
      each_call_of(adopting_a_bound_socket),
      each_call_of(adopting_a_connected_socket),
      each_call_of(taking_a_socket_out),
      each_call_of(asking_for_info),
      each_call_of(asking_for_the_interface),
      each_call_of(asking_for_the_announcement),
      each_call_of(waiting),
      each_call_of(reading_a_scope),
      each_call_of(mending_a_connection),
      each_call_of(closing),
  };
  return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What the tests on the simulated network share: a fresh network for each test, and nothing left behind. */
#ifndef MCTX_TESTS_SIM_FIXTURE_H
#define MCTX_TESTS_SIM_FIXTURE_H

#include <string.h>

#include "mctx_sim.h"
#include "testing.h"

/* What the library holds of the system. */
typedef struct holdings {
  uint64_t sockets;
  uint64_t events;
  uint64_t pollers;
  uint64_t watches;
  uint64_t memberships;
  uint64_t blocks;
  uint64_t pending_errors;
  uint64_t misuses;
} holdings;

static inline holdings holdings_now(void) {
  return (holdings){mctx_sim_open_sockets(),   mctx_sim_open_events(), mctx_sim_open_pollers(),
                    mctx_sim_open_watches(),   mctx_sim_memberships(), mctx_sim_live_blocks(),
                    mctx_sim_pending_errors(), mctx_sim_misuses()};
}

static inline void assert_holdings(holdings expected) {
  holdings now = holdings_now();
  assert_int_equal(now.sockets, expected.sockets);
  assert_int_equal(now.events, expected.events);
  assert_int_equal(now.pollers, expected.pollers);
  assert_int_equal(now.watches, expected.watches);
  assert_int_equal(now.memberships, expected.memberships);
  assert_int_equal(now.blocks, expected.blocks);
  assert_int_equal(now.pending_errors, expected.pending_errors);
  assert_int_equal(now.misuses, expected.misuses);
}

static holdings fixture_before;

/* Contexts that a failed test may have left behind: they must not spoil the tests that follow. */
static mctx_context fixture_contexts[64];
static uint32_t fixture_context_count;

static inline void fixture_close_all(void) {
  while (fixture_context_count > 0)
    (void)mctx_close(fixture_contexts[--fixture_context_count % 64], NULL);
}

/* The table of handles is made by the first object and stays. */
static inline int fixture_setup(void **state) {
  (void)state;
  mctx_context context;
  mctx_sim_clear_faults();
  fixture_close_all();
  mctx_sim_reset();
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK || mctx_close(context, NULL) != MCTX_OK) return -1;
  mctx_sim_reset();
  fixture_before = holdings_now();
  return 0;
}

static inline int fixture_teardown(void **state) {
  (void)state;
  mctx_sim_clear_faults();
  assert_holdings(fixture_before);
  assert_int_equal(fixture_before.misuses, 0);
  fixture_context_count = 0; /* all are closed */
  return 0;
}

#define fixture_test(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

static inline mctx_address address_of(const char *text) {
  mctx_address address;
  mctx_error error = MCTX_ERROR_INIT;
  if (mctx_address_parse(text, &address, &error) != MCTX_OK) fail_msg("%s: %s", text, error.message);
  return address;
}

static inline void assert_address(const mctx_address *address, const char *expected) {
  char text[64];
  size_t length;
  assert_ok(mctx_address_format(address, text, sizeof text, &length, NULL));
  assert_string_equal(text, expected);
}

static inline mctx_context open_context(void) {
  mctx_context context;
  assert_ok(mctx_context_open(NULL, &context, NULL));
  fixture_contexts[fixture_context_count++ % 64] = context;
  return context;
}

static inline mctx_publication_options options_for(const char *group) {
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  options.group = address_of(group);
  return options;
}

static inline mctx_publication open_with(mctx_context context, const mctx_publication_options *options) {
  mctx_publication publication;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = mctx_publication_open(context, options, &publication, &error);
  if (status != MCTX_OK) fail_msg("%s (%s): %s", mctx_status_name(status), error.field, error.message);
  return publication;
}

static inline mctx_publication open_group(mctx_context context, const char *group) {
  mctx_publication_options options = options_for(group);
  return open_with(context, &options);
}

static inline void assert_closed(mctx_handle handle) {
  assert_ok(mctx_close(handle, NULL));
}

static inline mctx_publication_info info_of(mctx_publication publication) {
  mctx_publication_info info = {.size = sizeof info};
  assert_ok(mctx_publication_get_info(publication, &info, NULL));
  return info;
}

/* A counter by its name. */
static inline uint64_t counter(mctx_handle handle, const char *name) {
  enum { MOST_COUNTERS = 128 };
  uint64_t values[MOST_COUNTERS];
  uint32_t count = 0;
  assert_ok(mctx_metrics(handle, values, MOST_COUNTERS, &count, NULL));
  assert_true(count <= MOST_COUNTERS);
  for (uint32_t i = 0; i < count; i++)
    if (strcmp(mctx_metric_name((uint32_t)(handle >> 48), i), name) == 0) return values[i];
  fail_msg("there is no counter %s", name);
  return 0;
}

static inline mctx_sim_datagram wire_at(uint64_t position) {
  mctx_sim_datagram datagram;
  if (!mctx_sim_wire_at(position, &datagram)) fail_msg("the wire has no datagram %d", (int)position);
  return datagram;
}

#endif

/* SPDX-License-Identifier: MIT */
/* The fixture with an open context. */
#ifndef MCTX_TESTS_SIM_CONTEXT_H
#define MCTX_TESTS_SIM_CONTEXT_H

#include "sim_fixture.h"

static mctx_context context;

static inline int context_setup(void **state) {
  if (fixture_setup(state) != 0) return -1;
  return mctx_context_open(NULL, &context, NULL) == MCTX_OK ? 0 : -1;
}

static inline int context_teardown(void **state) {
  if (mctx_close(context, NULL) != MCTX_OK) return -1;
  return fixture_teardown(state);
}

#define context_test(function) cmocka_unit_test_setup_teardown(function, context_setup, context_teardown)

#endif

/* SPDX-License-Identifier: MIT */
/* What all tests share that look through the public calls: cmocka, times, statuses by name. */
#ifndef MCTX_TESTS_TESTING_H
#define MCTX_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "mctx.h"

#define MILLI  INT64_C(1000000)
#define SECOND INT64_C(1000000000)

/* The status by name, so that a failure says what came. */
#define assert_status(call, expected)                                                                    \
  do {                                                                                                   \
    mctx_status assert_status_ = (call);                                                                 \
    if (assert_status_ != (expected))                                                                    \
      fail_msg("%s is %s, not %s", #call, mctx_status_name(assert_status_), mctx_status_name(expected)); \
  } while (0)
#define assert_ok(call) assert_status(call, MCTX_OK)

#endif

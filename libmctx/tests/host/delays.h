/* SPDX-License-Identifier: MIT */
/* How soon something happens that should happen at once, judged on a machine that others use too. */
#ifndef MCTX_TESTS_DELAYS_H
#define MCTX_TESTS_DELAYS_H

#include "host/host.h"

enum { DELAYS = 256 };

typedef struct delays {
  size_t count;
  int64_t ns[DELAYS];
} delays;

void delays_add(delays *own, int64_t begin_ns, int64_t end_ns);

/* Measures set after set, and is content with the first whose 99th percentile is below the bound; fails when
 * none of many is. A machine that stalls now and then spoils some of the sets, a library that is late all of
 * them. */
void assert_soon(const char *what, int64_t bound_ns, void (*measure)(delays *set, void *argument),
                 void *argument);

#endif

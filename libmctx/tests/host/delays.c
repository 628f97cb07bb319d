/* SPDX-License-Identifier: MIT */
/* How soon something happens. */
#include "host/delays.h"

#include <stdlib.h>

enum { SETS = 40 };

void delays_add(delays *own, int64_t begin_ns, int64_t end_ns) {
  assert_in_range(own->count, 0, DELAYS - 1);
  own->ns[own->count++] = end_ns > begin_ns ? end_ns - begin_ns : 0;
}

static int by_value(const void *one, const void *other) {
  int64_t a = *(const int64_t *)one;
  int64_t b = *(const int64_t *)other;
  return (a > b) - (a < b);
}

static int64_t judge(const char *what, delays *set) {
  const size_t last = set->count - 1;
  const int64_t p99 = set->ns[set->count * 99 / 100];
  print_message("figures: %d %s: median %d us, p99 %d us, longest %d us\n", (int)set->count, what,
                (int)(set->ns[last / 2] / 1000), (int)(p99 / 1000), (int)(set->ns[last] / 1000));
  return p99;
}

void assert_soon(const char *what, int64_t bound_ns, void (*measure)(delays *set, void *argument),
                 void *argument) {
  for (int i = 0; i < SETS; i++) {
    delays set = {0};
    measure(&set, argument);
    assert_int_not_equal(set.count, 0);
    qsort(set.ns, set.count, sizeof set.ns[0], by_value);
    if (judge(what, &set) < bound_ns) return;
  }
  fail_msg("%s: in none of %d sets within %d us", what, SETS, (int)(bound_ns / 1000));
}

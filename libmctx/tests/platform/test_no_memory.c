/* SPDX-License-Identifier: MIT */
/* What happens when memory runs out: each allocation is made to fail in turn. */
#include "lab.h"

#include <malloc.h>
#include <stdlib.h>

static unsigned allocations;
static unsigned failing; /* the nth fails; 0: none */

/* Takes the place of libc's; the library asks for memory by no other name. */
int posix_memalign(void **memory, size_t alignment, size_t size) {
  if (++allocations == failing) return ENOMEM;
  *memory = memalign(alignment, size);
  return *memory != NULL ? 0 : ENOMEM;
}

static void test_interfaces_when_memory_runs_out(void **state) {
  const int before = lab_descriptors();
  unsigned total = 0;
  mctx__interfaces all;
  (void)state;
  lab_namespace();
  lab_run(
      "for i in $(seq 20); do echo link add x$i type veth peer name y$i; echo address add 10.1.$i.1/24 dev lo; "
      "done | ip -batch -");
  allocations = 0;
  failing = 0;
  assert_done(mctx__interfaces_load(&all));
  mctx__interfaces_free(&all);
  total = allocations;
  if (total == 0) SKIP("something else took the place of the allocator");
  assert_true(total >= 6); /* a buffer, both tables grown twice, the addresses */
  for (unsigned nth = 1; nth <= total; nth++) {
    mctx__interfaces untouched = {.count = 77};
    allocations = 0;
    failing = nth;
    const mctx__result result = mctx__interfaces_load(&untouched);
    failing = 0;
    assert_status(MCTX_ERR_NO_MEMORY, result);
    assert_int_equal(77, untouched.count);
    assert_int_equal(before, lab_descriptors());
  }
}

static void test_a_route_when_memory_runs_out(void **state) {
  const mctx_address group = lab_address("239.1.2.3", 0, 0);
  mctx_address source;
  uint32_t index;
  (void)state;
  allocations = 0;
  failing = 1;
  const mctx__result result = mctx__route_lookup(&group, 0, NULL, &source, &index);
  failing = 0;
  if (allocations == 0) SKIP("something else took the place of the allocator");
  assert_status(MCTX_ERR_NO_MEMORY, result);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_interfaces_when_memory_runs_out),
      cmocka_unit_test(test_a_route_when_memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

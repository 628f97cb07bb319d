/* SPDX-License-Identifier: MIT */
/* The first object of a process, beside a fork by another thread: one that comes while it is opened. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"
#include "testing.h"

static int child_status = -1;

/* The library's own open in the child of a thread that forked: whoever opened in the parent is not here. */
static int open_in_child(void) {
  mctx_context context;
  (void)alarm(10);
  mctx_sim_become_child();
  return mctx_context_open(NULL, &context, NULL) == MCTX_OK ? 0 : 1;
}

/* In libc's place: the other thread forks while the hooks are not there yet. */
int pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
  static bool has_forked;
  (void)before;
  (void)parent;
  (void)child;
  if (has_forked) return 0;
  has_forked = true;
  const pid_t forked = fork();
  if (forked == 0) _exit(open_in_child());
  assert_int_equal(forked, waitpid(forked, &child_status, 0));
  return 0;
}

static void a_child_that_is_forked_meanwhile_can_open_its_own(void **state) {
  mctx_context context;
  (void)state;
  assert_int_equal(MCTX_OK, mctx_context_open(NULL, &context, NULL));
  assert_true(WIFEXITED(child_status));
  assert_int_equal(0, WEXITSTATUS(child_status));
  assert_int_equal(MCTX_OK, mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_child_that_is_forked_meanwhile_can_open_its_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

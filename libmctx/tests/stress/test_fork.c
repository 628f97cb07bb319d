/* SPDX-License-Identifier: MIT */
/* Forked children: what they inherited is closed to them, what they open works, and the parent notices nothing.
 * However the child was made, and whatever other threads were doing. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/host.h"

static const char *const group = "239.7.7.7:5007";
enum { PORT = 5100 };

static arrival got;

/* What the parent has open when the child is made. */
typedef struct inheritance {
  mctx_context context;
  mctx_publication publication;
  mctx_interface_list list;
  uint32_t descriptors; /* without the library's */
  int report[2];
} inheritance;

static inheritance parent;

static void open_inheritance(void) {
  uint32_t ready;
  host_alone();
  parent.descriptors = descriptors_held();
  parent.context = open_context();
  mctx_publication_options options = options_through(group, "lo");
  options.source_port = PORT;
  options.reuse_port = 0;
  parent.publication = open_with(parent.context, &options);
  assert_ok(mctx_interface_list_open(&parent.list, NULL));
  /* a wait opens the event that wakes it */
  assert_status(mctx_wait(parent.publication, 0, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  assert_status(mctx_wait(parent.context, 0, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  assert_int_equal(descriptors_held(), parent.descriptors + 3);
}

static void close_inheritance(void) {
  assert_ok(mctx_close(parent.list, NULL));
  assert_ok(mctx_close(parent.context, NULL));
}

/* ---- in the child: no assertions here, they would end the parent's test; a number says where it failed ----
 */

#define EXPECT(number, condition)    \
  do {                               \
    if (!(condition)) return number; \
  } while (0)

static int old_handles_are_forked(void) {
  mctx_error error = MCTX_ERROR_INIT;
  mctx_slice slice = {.data = "x", .length = 1};
  mctx_publication publication = 0;
  mctx_publication_options options;
  mctx_publication_info info = {.size = sizeof info};
  mctx_os_handle native;
  uint64_t accepted = 7;
  uint32_t count;
  mctx_publication_options_init(&options, sizeof options);
  EXPECT(1, mctx_send(parent.publication, "x", 1, &error) == MCTX_ERR_FORKED);
  EXPECT(2, error.kind == MCTX_KIND_CLOSED && error.hint[0] != '\0');
  EXPECT(3, mctx_send_batch(parent.publication, &slice, 1, 0, -1, &accepted, NULL) == MCTX_ERR_FORKED);
  EXPECT(4, accepted == 0);
  EXPECT(5, mctx_wait(parent.publication, MCTX_WRITABLE, 0, -1, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(6, mctx_wait(parent.context, 0, 0, -1, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(7, mctx_wake(parent.publication) == MCTX_ERR_FORKED);
  EXPECT(8, mctx_publication_get_info(parent.publication, &info, NULL) == MCTX_ERR_FORKED);
  EXPECT(9, mctx_publication_take(parent.publication, &native, NULL) == MCTX_ERR_FORKED);
  EXPECT(10, mctx_publication_open(parent.context, &options, &publication, NULL) == MCTX_ERR_FORKED);
  EXPECT(11, mctx_send_all(parent.context, "x", 1, NULL, 0, 0, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(12, mctx_interface_list_count(parent.list, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(13, mctx_close(parent.publication, NULL) == MCTX_ERR_FORKED);
  EXPECT(14, mctx_close(parent.context, NULL) == MCTX_ERR_FORKED);
  EXPECT(15, mctx_close(parent.list, NULL) == MCTX_ERR_FORKED);
  return 0;
}

static int new_ones_work(int32_t source_port) {
  mctx_context context;
  mctx_publication publication;
  mctx_publication_options options;
  uint32_t ready;
  mctx_publication_options_init(&options, sizeof options);
  EXPECT(21, mctx_address_parse(group, &options.group, NULL) == MCTX_OK);
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = "lo";
  options.source_port = source_port;
  EXPECT(22, mctx_context_open(NULL, &context, NULL) == MCTX_OK);
  EXPECT(23, mctx_publication_open(context, &options, &publication, NULL) == MCTX_OK);
  EXPECT(24, context != parent.context && publication != parent.publication);
  EXPECT(25, mctx_send(publication, "child", 5, NULL) == MCTX_OK);
  EXPECT(26, mctx_wake(context) == MCTX_OK);
  EXPECT(27, mctx_wait(context, 0, 0, -1, &ready, NULL) == MCTX_ERR_WOKEN);
  EXPECT(28, mctx_send(parent.publication, "x", 1, NULL) == MCTX_ERR_FORKED);
  EXPECT(29, mctx_close(context, NULL) == MCTX_OK);
  return 0;
}

static int child_checks_all(void *argument) {
  (void)argument;
  int code = old_handles_are_forked();
  if (code == 0) code = new_ones_work(MCTX_AUTO);
  if (code == 0 && descriptors_held() != parent.descriptors) code = 30;
  return code;
}

/* ---- tests ---- */

static void assert_parent_works(int receiver) {
  assert_ok(mctx_send(parent.publication, "parent", 6, NULL));
  assert_true(receiver_next(receiver, &got, PATIENCE_MS));
  assert_int_equal(got.length, 6);
}

static void a_child_has_nothing_and_can_have_its_own(void **state) {
  (void)state;
  open_inheritance();
  int receiver = receiver_open(group, "lo");
  parent.descriptors++;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(in_child(child_checks_all, NULL), 0);
    assert_true(receiver_next(receiver, &got, PATIENCE_MS));
    assert_int_equal(got.length, 5);
    assert_parent_works(receiver);
  }
  close_inheritance();
  close(receiver);
}

/* The copies are closed by the fork itself, before the child calls anything. */
static int count_descriptors(void *argument) {
  (void)argument;
  return descriptors_held() == parent.descriptors ? 0 : 1;
}

static void a_fork_leaves_the_child_no_descriptor(void **state) {
  (void)state;
  open_inheritance();
  assert_int_equal(in_child(count_descriptors, NULL), 0);
  close_inheritance();
}

static int have_a_child(void *argument) {
  int code = child_checks_all(argument);
  if (code != 0) return code;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) _exit(child_checks_all(NULL));
  return exit_code_of(child);
}

static void so_has_a_childs_child(void **state) {
  (void)state;
  open_inheritance();
  assert_int_equal(in_child(have_a_child, NULL), 0);
  close_inheritance();
}

/* clone() without libc: no handler runs, the first call notices. */
static void a_child_behind_libcs_back_is_noticed(void **state) {
  mctx_capability_info info = {.size = sizeof info};
  (void)state;
  assert_ok(mctx_capability(MCTX_CAPABILITY_FORK_DETECTION, &info, NULL));
  if (info.state != MCTX_CAPABILITY_AVAILABLE) SKIP("this kernel has no MADV_WIPEONFORK");
  open_inheritance();
  int receiver = receiver_open(group, "lo");
  parent.descriptors++;
  for (int i = 0; i < 3; i++) {
    fflush(stdout);
    pid_t child = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0UL);
    assert_true(child >= 0);
    if (child == 0) syscall(SYS_exit_group, child_checks_all(NULL));
    assert_int_equal(exit_code_of(child), 0);
    assert_true(receiver_next(receiver, &got, PATIENCE_MS));
    assert_int_equal(got.length, 5);
    assert_parent_works(receiver);
  }
  close_inheritance();
  close(receiver);
}

/* ---- the port, with a child alive ---- */

static int live_on(void *argument) {
  char byte = 1;
  (void)argument;
  if (write(parent.report[1], &byte, 1) != 1) return 1;
  return read(parent.report[1], &byte, 1) == 1 ? 0 : 2; /* until the parent says so */
}

static pid_t start_child(int (*body)(void *)) {
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(body(NULL));
  return child;
}

static void the_port_is_free_while_a_child_lives(void **state) {
  char byte = 1;
  (void)state;
  open_inheritance();
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, parent.report));
  pid_t child = start_child(live_on);
  assert_int_equal(1, read(parent.report[0], &byte, 1));
  close_inheritance();
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  int plain = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(0, bind(plain, (struct sockaddr *)&address, sizeof address));
  assert_int_equal(1, write(parent.report[0], &byte, 1));
  assert_int_equal(exit_code_of(child), 0);
  close(plain);
  close(parent.report[0]);
  close(parent.report[1]);
}

/* ---- forks in the middle of everything ---- */

static _Atomic bool enough;
static _Atomic int bad;

static void *keep_busy(void *argument) {
  uint32_t turn = *(uint32_t *)argument;
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  (void)!mctx_address_parse(group, &options.group, NULL);
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  while (!enough) {
    mctx_publication publication;
    mctx_context context;
    uint32_t ready;
    uint32_t count;
    mctx_status status = MCTX_OK;
    switch (turn++ % 6) {
      case 0:
        status = mctx_context_open(NULL, &context, NULL);
        if (status == MCTX_OK) status = mctx_close(context, NULL);
        break;
      case 1:
        status = mctx_publication_open(parent.context, &options, &publication, NULL);
        if (status == MCTX_OK) status = mctx_close(publication, NULL);
        break;
      case 2:
        status = mctx_send_all(parent.context, "x", 1, NULL, 0, 0, &count, NULL);
        break;
      case 3:
        status = mctx_wait(parent.publication, MCTX_READABLE, 0, MILLI / 10, &ready, NULL);
        if (status == MCTX_ERR_TIMEOUT) status = MCTX_OK;
        break;
      case 4:
        status = mctx_interface_list_open(&context, NULL);
        if (status == MCTX_OK) status = mctx_close(context, NULL);
        break;
      default:
        status = mctx_send(parent.publication, "x", 1, NULL);
    }
    if (status != MCTX_OK && status != MCTX_ERR_WOULD_BLOCK) bad = status;
  }
  return NULL;
}

static int child_of_a_storm(void *argument) {
  (void)argument;
  int code = old_handles_are_forked();
  return code != 0 || !child_may_allocate() ? code : new_ones_work(MCTX_AUTO);
}

static void forks_in_the_middle_of_everything(void **state) {
  enum { THREADS = 4, FORKS = 60 };
  pthread_t threads[THREADS];
  uint32_t turns[THREADS];
  int failed = 0;
  (void)state;
  open_inheritance();
  enough = false;
  for (uint32_t i = 0; i < THREADS; i++)
    turns[i] = i;
  threads_start(threads, THREADS, keep_busy, turns, sizeof turns[0]);
  for (int i = 0; i < FORKS && failed == 0; i++)
    failed = in_child(child_of_a_storm, NULL);
  enough = true;
  threads_join(threads, THREADS);
  assert_int_equal(failed, 0);
  if (bad != 0) fail_msg("a call of the parent gave %s", mctx_status_name(bad));
  close_inheritance();
  assert_int_equal(descriptors_held(), parent.descriptors);
}

/* A program started by this one, which vfork and posix_spawn do without a copy, changes nothing here. */
static void starting_programs_changes_nothing(void **state) {
  (void)state;
  open_inheritance();
  int receiver = receiver_open(group, "lo");
  for (int i = 0; i < 3; i++) {
    host_run("true");
    pid_t child = vfork();
    if (child == 0) _exit(0);
    assert_int_equal(exit_code_of(child), 0);
    assert_parent_works(receiver);
  }
  close_inheritance();
  close(receiver);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_child_has_nothing_and_can_have_its_own),
      cmocka_unit_test(a_fork_leaves_the_child_no_descriptor),
      cmocka_unit_test(so_has_a_childs_child),
      cmocka_unit_test(a_child_behind_libcs_back_is_noticed),
      cmocka_unit_test(the_port_is_free_while_a_child_lives),
      cmocka_unit_test(forks_in_the_middle_of_everything),
      cmocka_unit_test(starting_programs_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

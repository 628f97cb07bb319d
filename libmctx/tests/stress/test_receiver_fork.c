/* SPDX-License-Identifier: MIT */
/* Forked children and subscriptions: a child has none of its parent's and can have its own, whatever the
 * parent's threads are doing; the parent loses no datagram and keeps its memberships; once it has closed,
 * nothing is held for it, though a child lives. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/subscription.h"

/* What the parent has open when the child is made. */
static struct {
  uint32_t descriptors; /* without the library's */
  mctx_context context;
  mctx_subscription subscription;
  mctx_address group;
  int pollable;
} parent;

static void open_parent(void) {
  host_alone();
  parent.descriptors = descriptors_held();
  parent.context = open_context();
  parent.group = group_at(4, 1);
  parent.subscription = subscribe(parent.context, &parent.group, "lo");
  parent.pollable = pollable_of(parent.subscription);
  (void)pollable_of(parent.context);
  assert_takes_nothing(parent.subscription); /* a wait opens the event that wakes it */
}

/* ---- in the child: no assertions, a number says where it failed ---- */

#define EXPECT(number, condition)    \
  do {                               \
    if (!(condition)) return number; \
  } while (0)

static int old_handles_are_forked(void) {
  mctx_membership member = {.group = parent.group};
  mctx_subscription_info info = {.size = sizeof info};
  mctx_wait_item item = {.handle = parent.subscription, .interest = MCTX_READABLE};
  static basket memory;
  mctx_event event;
  mctx_os_handle native;
  char data[8];
  size_t length;
  uint32_t count;
  basket_init(&memory);
  EXPECT(1, mctx_recv(parent.subscription, data, 8, 0, -1, &length, NULL, 0, NULL) == MCTX_ERR_FORKED);
  EXPECT(2, mctx_recv_batch(parent.subscription, &memory.batch, 0, -1, NULL) == MCTX_ERR_FORKED);
  EXPECT(3, mctx_wait(parent.subscription, MCTX_READABLE, 0, -1, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(4, mctx_wait_many(parent.context, &item, sizeof item, 1, 0, -1, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(5, mctx_join(parent.subscription, &member, sizeof member, 1, NULL) == MCTX_ERR_FORKED);
  EXPECT(6, mctx_leave(parent.subscription, &member, sizeof member, 1, NULL) == MCTX_ERR_FORKED);
  EXPECT(7, mctx_memberships(parent.subscription, NULL, 0, 0, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(8, mctx_subscription_get_info(parent.subscription, &info, NULL) == MCTX_ERR_FORKED);
  EXPECT(9, mctx_events(parent.subscription, &event, sizeof event, 1, &count, NULL) == MCTX_ERR_FORKED);
  EXPECT(10, mctx_pollable(parent.subscription, &native, NULL) == MCTX_ERR_FORKED);
  EXPECT(11, mctx_wake(parent.subscription) == MCTX_ERR_FORKED);
  EXPECT(12, mctx_close(parent.subscription, NULL) == MCTX_ERR_FORKED);
  EXPECT(13, mctx_close(parent.context, NULL) == MCTX_ERR_FORKED);
  return 0;
}

/* On another port, so that the parent hears nothing of it. */
static int new_ones_work(void) {
  mctx_context context;
  mctx_subscription subscription;
  mctx_publication publication;
  mctx_publication_options to_group;
  mctx_subscription_options options;
  mctx_membership member = {.group = parent.group, .ingress = {.by = MCTX_INTERFACE_BY_NAME, .name = "lo"}};
  char data[8];
  size_t length;
  member.group.port = PORT + 1;
  mctx_subscription_options_init(&options, sizeof options);
  options.memberships = &member;
  options.membership_count = 1;
  options.membership_stride = sizeof member;
  mctx_publication_options_init(&to_group, sizeof to_group);
  to_group.group = member.group;
  to_group.outgoing_interface = member.ingress;
  EXPECT(21, mctx_context_open(NULL, &context, NULL) == MCTX_OK);
  EXPECT(22, mctx_subscription_open(context, &options, &subscription, NULL) == MCTX_OK);
  EXPECT(23, mctx_publication_open(context, &to_group, &publication, NULL) == MCTX_OK);
  EXPECT(24, mctx_send(publication, "child", 5, NULL) == MCTX_OK);
  EXPECT(25, mctx_recv(subscription, data, 8, 0, 5 * SECOND, &length, NULL, 0, NULL) == MCTX_OK && length == 5);
  EXPECT(26, mctx_recv(subscription, data, 8, 0, MILLI, &length, NULL, 0, NULL) == MCTX_ERR_TIMEOUT);
  EXPECT(27, mctx_close(context, NULL) == MCTX_OK);
  return 0;
}

static int child_checks_all(void *argument) {
  (void)argument;
  if (descriptors_held() != parent.descriptors) return 30;
  int code = old_handles_are_forked();
  if (code == 0) code = new_ones_work();
  if (code == 0 && descriptors_held() != parent.descriptors) code = 31;
  return code;
}

/* ---- tests ---- */

static void assert_parent_works(void) {
  say(NULL, "lo", &parent.group, "parent");
  assert_takes(parent.subscription, "parent");
  assert_int_equal(pollable_of(parent.subscription), parent.pollable);
}

static void a_child_has_none_and_can_have_its_own(void **state) {
  (void)state;
  open_parent();
  for (int i = 0; i < 3; i++) {
    assert_int_equal(in_child(child_checks_all, NULL), 0);
    assert_parent_works();
  }
  assert_ok(mctx_close(parent.context, NULL));
}

static int without_counting(void *argument) {
  (void)argument;
  int code = old_handles_are_forked();
  return code != 0 ? code : new_ones_work();
}

static void a_child_behind_libcs_back_too(void **state) {
  mctx_capability_info info = {.size = sizeof info};
  (void)state;
  assert_ok(mctx_capability(MCTX_CAPABILITY_FORK_DETECTION, &info, NULL));
  if (info.state != MCTX_CAPABILITY_AVAILABLE) SKIP("this kernel has no MADV_WIPEONFORK");
  open_parent();
  for (int i = 0; i < 3; i++) {
    fflush(stdout);
    pid_t child = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, NULL, NULL, NULL, 0UL);
    assert_true(child >= 0);
    if (child == 0) syscall(SYS_exit_group, without_counting(NULL));
    assert_int_equal(exit_code_of(child), 0);
    assert_parent_works();
  }
  assert_ok(mctx_close(parent.context, NULL));
}

static int report[2];

static int live_on(void *argument) {
  char byte = 1;
  (void)argument;
  if (write(report[1], &byte, 1) != 1) return 1;
  return read(report[1], &byte, 1) == 1 ? 0 : 2; /* until the parent says so */
}

/* A copy of a descriptor in the child would keep the groups joined and the port taken. */
static void closing_leaves_nothing_in_a_child(void **state) {
  static kernel_tables tables;
  mctx_subscription exclusive;
  char byte = 1;
  (void)state;
  open_parent();
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, report));
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(live_on(NULL));
  assert_int_equal(1, read(report[0], &byte, 1));
  assert_parent_works();
  assert_ok(mctx_close(parent.subscription, NULL));
  kernel_tables_read(&tables);
  assert_int_equal(tables.group_count, 0);
  mctx_subscription_options options = subscription_options();
  options.reuse_port = 0;
  assert_ok(mctx_subscription_open(parent.context, &options, &exclusive, NULL));
  assert_int_equal(1, write(report[0], &byte, 1));
  assert_int_equal(exit_code_of(child), 0);
  close(report[0]);
  close(report[1]);
  assert_ok(mctx_close(parent.context, NULL));
}

/* ---- forks while threads receive ---- */

enum { RECEIVERS = 2, FORKS = 40, WINDOW = 100 };

static _Atomic bool enough;
static _Atomic uint32_t received;
static _Atomic int bad;

static void *keep_receiving(void *argument) {
  bool in_batches = *(bool *)argument;
  basket *memory = malloc(sizeof *memory);
  while (!enough && memory != NULL) {
    size_t length;
    mctx_status status;
    basket_init(memory);
    if (in_batches)
      status = mctx_recv_batch(parent.subscription, &memory->batch, 0, 50 * MILLI, NULL);
    else
      status = mctx_recv(parent.subscription, memory->arena, 100, 0, 50 * MILLI, &length, NULL, 0, NULL);
    if (status == MCTX_OK) received += in_batches ? (uint32_t)memory->batch.datagram_count : 1;
    if (status != MCTX_OK && status != MCTX_ERR_TIMEOUT) bad = status;
  }
  free(memory);
  return NULL;
}

static int child_of_a_storm(void *argument) {
  (void)argument;
  int code = old_handles_are_forked();
  return code != 0 || !child_may_allocate() ? code : new_ones_work();
}

typedef struct stream {
  _Atomic uint32_t sent;
  bool stuck;
} stream;

static void *keep_sending(void *argument) {
  stream *own = argument;
  int sender = sender_open(4, NULL, "lo");
  int64_t last = now_ns();
  while (!enough && !own->stuck) {
    if (own->sent - received < WINDOW) {
      send_text(sender, &parent.group, "x");
      own->sent++;
      last = now_ns();
    } else {
      usleep(50);
      own->stuck = now_ns() - last > 10 * SECOND;
    }
  }
  close(sender);
  return NULL;
}

static void forks_take_no_datagram_away(void **state) {
  pthread_t threads[RECEIVERS];
  pthread_t sender;
  bool in_batches[RECEIVERS] = {false, true};
  stream own = {0};
  int failed = 0;
  (void)state;
  open_parent();
  enough = false;
  received = 0;
  bad = 0;
  threads_start(threads, RECEIVERS, keep_receiving, in_batches, sizeof in_batches[0]);
  assert_int_equal(0, pthread_create(&sender, NULL, keep_sending, &own));
  for (int i = 0; i < FORKS && failed == 0; i++)
    failed = in_child(child_of_a_storm, NULL);
  for (int i = 0; i < 5000 && own.sent < 2 * WINDOW; i++)
    sleep_ms(1);
  enough = true;
  assert_int_equal(0, pthread_join(sender, NULL));
  threads_join(threads, RECEIVERS);
  static taken got;
  while (received < own.sent && take_next(parent.subscription, &got, PATIENCE_MS))
    received++;
  assert_takes_nothing(parent.subscription);
  assert_int_equal(failed, 0);
  assert_false(own.stuck);
  if (bad != 0) fail_msg("a receive of the parent gave %s", mctx_status_name(bad));
  assert_int_equal(received, own.sent);
  assert_ok(mctx_close(parent.context, NULL));
  assert_int_equal(descriptors_held(), parent.descriptors);
}

/* ---- numbers that are free again ---- */

static void *keep_opening_and_closing(void *argument) {
  const mctx_membership member = {.group = parent.group,
                                  .ingress = {.by = MCTX_INTERFACE_BY_NAME, .name = "lo"}};
  mctx_subscription_options options = subscription_options();
  (void)argument;
  options.memberships = &member;
  options.membership_stride = sizeof member;
  options.membership_count = 1;
  while (!enough && bad == 0) {
    mctx_subscription subscription;
    bad = mctx_subscription_open(parent.context, &options, &subscription, NULL);
    if (bad == 0) bad = mctx_close(subscription, NULL);
  }
  return NULL;
}

static int child_has(void *descriptor) {
  return fcntl(*(int *)descriptor, F_GETFD) < 0;
}

/* What the parent's thread has just closed may be a file of the program by the time of the fork. */
static void a_child_keeps_what_took_the_number_of_something_closed(void **state) {
  enum { TIMES = 500, THREADS = 2 };
  pthread_t threads[THREADS];
  int lost = 0;
  (void)state;
  open_parent();
  enough = false;
  bad = 0;
  threads_start(threads, THREADS, keep_opening_and_closing, NULL, 0);
  for (int i = 0; i < TIMES && bad == 0; i++) {
    int own = open("/dev/null", O_RDONLY | O_CLOEXEC);
    lost += in_child(child_has, &own);
    close(own);
  }
  enough = true;
  threads_join(threads, THREADS);
  if (bad != 0) fail_msg("a thread of the parent got %s", mctx_status_name(bad));
  assert_int_equal(lost, 0);
  assert_ok(mctx_close(parent.context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_child_has_none_and_can_have_its_own),
      cmocka_unit_test(a_child_behind_libcs_back_too),
      cmocka_unit_test(closing_leaves_nothing_in_a_child),
      cmocka_unit_test(forks_take_no_datagram_away),
      cmocka_unit_test(a_child_keeps_what_took_the_number_of_something_closed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

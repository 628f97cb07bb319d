/* SPDX-License-Identifier: MIT */
/* What must not come between: other threads, signals and forks at the worst moment of a call. The moments are
 * made by standing in for mctx__wait() and close(). */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"
#include "publication.h"

#define assert_ok(status) assert_int_equal((status), MCTX_OK)

/* ---- what stands in ---- */

static mctx__result (*at_wait)(mctx__event event, uint32_t *ready);
static int64_t deadline; /* of the last wait */
static void (*at_close)(int descriptor);

mctx__result mctx__wait(mctx__socket socket, uint32_t events, mctx__event event, int64_t deadline_ns,
                        uint32_t *ready) {
  (void)socket;
  (void)events;
  deadline = deadline_ns;
  *ready = 0;
  return at_wait(event, ready);
}

/* Not called here; the library's own would bring its mctx__wait() along. */
mctx__result mctx__wait_many(mctx__waited *waited, uint32_t count, int64_t deadline_ns) {
  (void)waited;
  (void)count;
  (void)deadline_ns;
  return (mctx__result){MCTX_ERR_INTERNAL, 0};
}

int close(int descriptor) {
  if (at_close != NULL) at_close(descriptor);
  return (int)syscall(SYS_close, descriptor);
}

static int (*at_send)(unsigned int count);

int sendmmsg(int descriptor, struct mmsghdr *messages, unsigned int count, int flags) {
  if (at_send != NULL) return at_send(count);
  return (int)syscall(SYS_sendmmsg, descriptor, messages, count, flags);
}

static ssize_t (*at_receive)(void);

ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
  if (at_receive != NULL && (flags & MSG_ERRQUEUE) == 0) return at_receive();
  return syscall(SYS_recvmsg, descriptor, message, flags);
}

/* ---- objects ---- */

static mctx_context context;
static mctx_publication publication;

static int open_both(void **state) {
  (void)state;
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  options.group = lab_address("239.7.7.7", 5007, 0);
  options.outgoing_interface = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_NAME, .name = "lo"};
  at_wait = NULL;
  at_close = NULL;
  at_send = NULL;
  at_receive = NULL;
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) return -1;
  return mctx_publication_open(context, &options, &publication, NULL);
}

static int close_both(void **state) {
  (void)state;
  at_close = NULL;
  mctx_status status = mctx_close(context, NULL);
  return status == MCTX_OK || status == MCTX_ERR_CLOSED ? 0 : -1;
}

/* ---- waking ---- */

static bool is_signalled(mctx__event event) {
  struct pollfd watched = {.fd = (int)event.value, .events = POLLIN};
  return poll(&watched, 1, 0) == 1;
}

static mctx__event seen;

/* The wake comes while the socket becomes ready, after the waiter looked for the token. */
static mctx__result woken_and_writable(mctx__event event, uint32_t *ready) {
  seen = event;
  assert_ok(mctx_wake(publication));
  *ready = MCTX_WRITABLE | MCTX__WAIT_EVENT;
  return MCTX__DONE;
}

/* It leaves the wake to the others: they sleep on the event. */
static void a_waiter_that_is_ready_leaves_the_wake_to_others(void **state) {
  (void)state;
  uint32_t ready;
  at_wait = woken_and_writable;
  assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL));
  assert_int_equal(ready, MCTX_WRITABLE);
  assert_true(is_signalled(seen));
  assert_int_equal(mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL), MCTX_ERR_WOKEN);
}

/* ---- deadlines ---- */

static int send_slowly(unsigned int count) {
  static bool full;
  full = !full;
  if (full) {
    usleep(40000);
    return (int)count - 2;
  }
  errno = EAGAIN;
  return -1;
}

static mctx__result time_out(mctx__event event, uint32_t *ready) {
  (void)event;
  (void)ready;
  return (mctx__result){MCTX_ERR_TIMEOUT, 0};
}

/* What the sending takes is part of the time that a batch is given. */
static void the_time_for_a_batch_begins_with_the_call(void **state) {
  (void)state;
  enum { GIVEN_NS = 100 * 1000 * 1000, SPARE_NS = 30 * 1000 * 1000 };
  const mctx_slice slices[4] = {{.length = 0}};
  uint64_t accepted;
  at_send = send_slowly;
  at_wait = time_out;
  bool is_kept = false;
  for (int tries = 0; tries < 10 && !is_kept; tries++) { /* a busy host may stop us on the way into the call */
    int64_t start = mctx__clock_monotonic();
    assert_int_equal(mctx_send_batch(publication, slices, 4, 0, GIVEN_NS, &accepted, NULL), MCTX_ERR_TIMEOUT);
    assert_int_equal(accepted, 2);
    is_kept = deadline - start < GIVEN_NS + SPARE_NS;
  }
  assert_true(is_kept);
}

/* ---- closing ---- */

static int socket_number;
static _Atomic bool closing;
static _Atomic bool closed;

static void dawdle(int descriptor) {
  if (descriptor != socket_number) return;
  atomic_store(&closing, true);
  usleep(50000);
  atomic_store(&closed, true);
}

static void *close_publication(void *argument) {
  (void)argument;
  return (void *)(intptr_t)mctx_close(publication, NULL);
}

/* The ports of a context are free when its closing returns, whoever closes its publications. */
static void closing_a_context_waits_for_those_who_close_its_publications(void **state) {
  (void)state;
  pthread_t other;
  void *status;
  mctx_os_handle native;
  assert_ok(mctx_pollable(publication, &native, NULL));
  socket_number = (int)native.value;
  at_close = dawdle;
  assert_int_equal(pthread_create(&other, NULL, close_publication, NULL), 0);
  while (!atomic_load(&closing))
    sched_yield();
  assert_ok(mctx_close(context, NULL));
  assert_true(atomic_load(&closed));
  assert_int_equal(pthread_join(other, &status), 0);
  assert_ok((mctx_status)(intptr_t)status);
}

/* ---- owning ---- */

enum { TURNS = 40 }; /* after so many, what one thread uses is its own */

static void *(*comers[2])(void *);
static pthread_t coming[2];
static _Atomic bool is_through[2];
static bool was_early;

static void *look_at_all(void *argument) {
  uint32_t count;
  mctx_status status = mctx_metrics(context, NULL, 0, &count, NULL);
  atomic_store(&is_through[0], true);
  return status == MCTX_OK ? argument : NULL;
}

static void *send_to_all(void *argument) {
  uint32_t count;
  mctx_status status = mctx_send_all(context, "x", 1, NULL, 0, 0, &count, NULL);
  atomic_store(&is_through[0], true);
  return status == MCTX_OK ? argument : NULL;
}

static mctx_handle doomed;

static void *close_it(void *argument) {
  mctx_status status = mctx_close(doomed, NULL);
  atomic_store(&is_through[1], true);
  return status == MCTX_OK ? argument : NULL;
}

/* One behind the other, while the owner is inside. */
static void let_others_come(void) {
  at_send = NULL;
  at_receive = NULL;
  is_through[0] = is_through[1] = false;
  for (int i = 0; i < 2; i++) {
    assert_int_equal(pthread_create(&coming[i], NULL, comers[i], &doomed), 0);
    usleep(30000);
  }
  was_early = is_through[0] || is_through[1];
}

static void assert_others_waited(void) {
  assert_false(was_early);
  for (int i = 0; i < 2; i++) {
    void *went_well;
    assert_int_equal(pthread_join(coming[i], &went_well), 0);
    assert_non_null(went_well);
  }
}

static int send_while_others_come(unsigned int count) {
  let_others_come();
  return (int)count;
}

static ssize_t receive_while_others_come(void) {
  let_others_come();
  errno = EAGAIN;
  return -1;
}

/* One who takes its lock, and one who closes it, in either order: neither does anything while he is inside. */
static void both_who_come_wait_for_the_owner_of_a_publication(void **state) {
  (void)state;
  if (!mctx__fence_prepare()) SKIP("nobody owns anything here");
  const mctx_slice slices[2] = {{.data = "x", .length = 1}, {.data = "xx", .length = 2}};
  void *(*const both[3])(void *) = {send_to_all, close_it, send_to_all};
  for (int first = 0; first < 2; first++) {
    if (first == 1) assert_int_equal(close_both(NULL) | open_both(NULL), 0);
    for (int i = 0; i < TURNS; i++)
      assert_ok(mctx_send(publication, "x", 1, NULL));
    comers[0] = both[first];
    comers[1] = both[first + 1];
    doomed = publication;
    at_send = send_while_others_come;
    assert_ok(mctx_send_batch(publication, slices, 2, 0, 0, NULL, NULL));
    assert_others_waited();
  }
}

static void both_who_come_wait_for_the_owner_of_a_subscription(void **state) {
  (void)state;
  if (!mctx__fence_prepare()) SKIP("nobody owns anything here");
  void *(*const both[3])(void *) = {look_at_all, close_it, look_at_all};
  mctx_membership membership = {.group = lab_address("239.7.7.7", 0, 0),
                                .ingress = {.by = MCTX_INTERFACE_BY_NAME, .name = "lo"}};
  mctx_subscription_options options;
  mctx_subscription_options_init(&options, sizeof options);
  options.port = 5007;
  options.metadata = MCTX_META_ALL;
  options.memberships = &membership;
  options.membership_stride = sizeof membership;
  options.membership_count = 1;
  for (int first = 0; first < 2; first++) {
    char data[8];
    size_t length;
    assert_ok(mctx_subscription_open(context, &options, &doomed, NULL));
    for (int i = 0; i < TURNS; i++)
      assert_int_equal(mctx_recv(doomed, data, sizeof data, 0, 0, &length, NULL, 0, NULL),
                       MCTX_ERR_WOULD_BLOCK);
    comers[0] = both[first];
    comers[1] = both[first + 1];
    at_receive = receive_while_others_come;
    assert_int_equal(mctx_recv(doomed, data, sizeof data, 0, 0, &length, NULL, 0, NULL), MCTX_ERR_WOULD_BLOCK);
    assert_others_waited();
  }
}

/* ---- forks ---- */

static pid_t child;

/* As a signal handler would fork, in the midst of the wait. */
static mctx__result fork_in_wait(mctx__event event, uint32_t *ready) {
  (void)event;
  (void)ready;
  if (child < 0) {
    child = fork();
    if (child == 0) alarm(5);
  }
  return (mctx__result){child == 0 ? MCTX_ERR_SIGNAL : MCTX_ERR_TIMEOUT, 0};
}

static int code_of(pid_t process) {
  int status = 0;
  assert_int_equal(waitpid(process, &status, 0), process);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* The child comes out of the wait, which leaves the parent's objects what they are there. */
static void a_child_forked_within_a_call_leaves_it(void **state) {
  (void)state;
  uint32_t ready;
  child = -1;
  at_wait = fork_in_wait;
  mctx_status status = mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, NULL);
  if (child == 0)
    _exit(status != MCTX_ERR_CLOSED ? 1 : mctx_send(publication, "x", 1, NULL) != MCTX_ERR_FORKED ? 2 : 0);
  assert_int_equal(status, MCTX_ERR_TIMEOUT);
  assert_int_equal(code_of(child), 0);
  assert_ok(mctx_send(publication, "x", 1, NULL));
}

static mctx_status from_handler;

/* As a signal handler would wake, in the midst of the child's cleaning up. */
static void wake_in_close(int descriptor) {
  (void)descriptor;
  from_handler = mctx_wake(publication);
}

static void a_wake_from_a_handler_does_not_wait_for_the_cleaning_it_interrupts(void **state) {
  (void)state;
  for (int behind_libc = 0; behind_libc < 2; behind_libc++) {
    at_close = wake_in_close;
    child = behind_libc ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    if (child == 0) {
      alarm(5);
      mctx_status status = mctx_send(publication, "x", 1, NULL);
      _exit(status != MCTX_ERR_FORKED ? 1 : from_handler != MCTX_ERR_FORKED ? 2 : 0);
    }
    assert_int_equal(code_of(child), 0);
    at_close = NULL;
    assert_ok(mctx_send(publication, "x", 1, NULL));
  }
}

/* ---- priorities ---- */

static mctx__slot slot;
static mctx__publication counted = {.object.slot = &slot};

static void *count_urgently(void *argument) {
  (void)argument;
  mctx__publication_sent(&counted, (mctx__sent){.packets = 1, .bytes = 1});
  return NULL;
}

static bool start_urgent(pthread_t *thread) {
  struct sched_param priority = {.sched_priority = 1};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
  pthread_attr_setschedparam(&attributes, &priority);
  bool started = pthread_create(thread, &attributes, count_urgently, NULL) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

/* How long an urgent thread takes that has to wait for this one; -1: nobody may be urgent. */
static int64_t time_of_urgent_thread(void) {
  pthread_t urgent;
  int64_t start = mctx__clock_monotonic();
  mctx__publication_lock(&counted);
  bool started = start_urgent(&urgent);
  mctx__publication_unlock(&counted);
  if (started) assert_int_equal(pthread_join(urgent, NULL), 0);
  return started ? mctx__clock_monotonic() - start : -1;
}

/* On one processor, a thread that comes before all others lets the one go on that holds what it waits for. */
static void an_urgent_thread_lets_others_finish(void **state) {
  enum { TRIES = 10, SOON_NS = 500000000 }; /* the system steps in after 950 ms, if at all */
  int64_t took = SOON_NS;
  uint64_t tries = 0;
  cpu_set_t before;
  cpu_set_t one;
  (void)state;
  CPU_ZERO(&one);
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  for (; tries < TRIES && took >= SOON_NS; tries++) /* a busy host may stop all of us */
    took = time_of_urgent_thread();
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
  if (took < 0) SKIP("no right to real-time priorities");
  assert_int_equal(counted.counters.values[MCTX__SEND_CALLS], tries);
  assert_true(took < SOON_NS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_waiter_that_is_ready_leaves_the_wake_to_others, open_both, close_both),
      cmocka_unit_test_setup_teardown(the_time_for_a_batch_begins_with_the_call, open_both, close_both),
      cmocka_unit_test_setup_teardown(closing_a_context_waits_for_those_who_close_its_publications, open_both,
                                      close_both),
      cmocka_unit_test_setup_teardown(both_who_come_wait_for_the_owner_of_a_publication, open_both, close_both),
      cmocka_unit_test_setup_teardown(both_who_come_wait_for_the_owner_of_a_subscription, open_both,
                                      close_both),
      cmocka_unit_test_setup_teardown(a_child_forked_within_a_call_leaves_it, open_both, close_both),
      cmocka_unit_test_setup_teardown(a_wake_from_a_handler_does_not_wait_for_the_cleaning_it_interrupts,
                                      open_both, close_both),
      cmocka_unit_test(an_urgent_thread_lets_others_finish),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

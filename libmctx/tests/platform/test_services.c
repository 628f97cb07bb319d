/* SPDX-License-Identifier: MIT */
/* Memory, locks, time, fork, events, waiting: what needs no network. */
#include "lab.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MS = 1000000 };

static mctx__result wait_event(mctx__event event, int64_t in_ns, uint32_t *ready) {
  return mctx__wait(MCTX__NO_SOCKET, 0, event, mctx__clock_monotonic() + in_ns, ready);
}

/* ---- statuses and addresses ---- */

static void test_what_errno_means(void **state) {
  static const struct {
    int code;
    uint32_t asked;
    mctx_status status;
  } rows[] = {
      {EAGAIN, MCTX__ASKED_SEND, MCTX_ERR_WOULD_BLOCK},
      {ENOBUFS, MCTX__ASKED_SEND, MCTX_ERR_QUEUE_FULL},
      {ENOBUFS, MCTX__ASKED_OTHER, MCTX_ERR_NO_MEMORY},
      {ENOMEM, MCTX__ASKED_SEND, MCTX_ERR_NO_MEMORY},
      {ENOSPC, MCTX__ASKED_OTHER, MCTX_ERR_NO_MEMORY},
      {EMSGSIZE, MCTX__ASKED_SEND, MCTX_ERR_DATAGRAM_TOO_LARGE},
      {ENETUNREACH, MCTX__ASKED_SEND, MCTX_ERR_NO_ROUTE},
      {ENETUNREACH, MCTX__ASKED_CONNECT, MCTX_ERR_NO_ROUTE},
      {EHOSTUNREACH, MCTX__ASKED_SEND, MCTX_ERR_UNREACHABLE},
      {EHOSTUNREACH, MCTX__ASKED_ROUTE, MCTX_ERR_NO_ROUTE},
      {ECONNREFUSED, MCTX__ASKED_SEND, MCTX_ERR_UNREACHABLE},
      {ENETDOWN, MCTX__ASKED_SEND, MCTX_ERR_INTERFACE_DOWN},
      {ENODEV, MCTX__ASKED_SEND, MCTX_ERR_INTERFACE_GONE},
      {ENXIO, MCTX__ASKED_SEND, MCTX_ERR_INTERFACE_GONE},
      {ENODEV, MCTX__ASKED_INTERFACE, MCTX_ERR_INTERFACE_NOT_FOUND},
      {EADDRNOTAVAIL, MCTX__ASKED_SEND, MCTX_ERR_NO_ROUTE},
      {EADDRNOTAVAIL, MCTX__ASKED_BIND, MCTX_ERR_SOURCE_NOT_LOCAL},
      {EADDRNOTAVAIL, MCTX__ASKED_CONNECT, MCTX_ERR_NO_ROUTE},
      {EADDRNOTAVAIL, MCTX__ASKED_INTERFACE, MCTX_ERR_INTERFACE_NOT_FOUND},
      {EPERM, MCTX__ASKED_SEND, MCTX_ERR_FIREWALL},
      {EACCES, MCTX__ASKED_SEND, MCTX_ERR_PERMISSION},
      {EPERM, MCTX__ASKED_BIND, MCTX_ERR_PERMISSION},
      {EACCES, MCTX__ASKED_BIND, MCTX_ERR_PERMISSION},
      {EADDRINUSE, MCTX__ASKED_BIND, MCTX_ERR_ADDRESS_IN_USE},
      {EMFILE, MCTX__ASKED_OTHER, MCTX_ERR_TOO_MANY_DESCRIPTORS},
      {ENFILE, MCTX__ASKED_OTHER, MCTX_ERR_TOO_MANY_DESCRIPTORS},
      {EAFNOSUPPORT, MCTX__ASKED_OTHER, MCTX_ERR_FAMILY_UNSUPPORTED},
      {EINTR, MCTX__ASKED_SEND, MCTX_ERR_SIGNAL},
      {ENOPROTOOPT, MCTX__ASKED_OTHER, MCTX_ERR_UNSUPPORTED},
      {EOPNOTSUPP, MCTX__ASKED_OTHER, MCTX_ERR_UNSUPPORTED},
      {ENOTSOCK, MCTX__ASKED_OTHER, MCTX_ERR_NOT_A_SOCKET},
      {EBADF, MCTX__ASKED_OTHER, MCTX_ERR_NOT_A_SOCKET},
      {ENOBUFS, MCTX__ASKED_JOIN, MCTX_ERR_TOO_MANY_MEMBERSHIPS},
      {ENOMEM, MCTX__ASKED_JOIN, MCTX_ERR_TOO_MANY_MEMBERSHIPS},
      {ENODEV, MCTX__ASKED_JOIN, MCTX_ERR_INTERFACE_NOT_FOUND},
      {EADDRINUSE, MCTX__ASKED_JOIN, MCTX_ERR_MEMBERSHIP_EXISTS},
      {EADDRNOTAVAIL, MCTX__ASKED_JOIN, MCTX_ERR_SOURCE_EXISTS},
      {EINVAL, MCTX__ASKED_JOIN, MCTX_ERR_UNSUPPORTED},
      {EPERM, MCTX__ASKED_JOIN, MCTX_ERR_PERMISSION},
      {ENOBUFS, MCTX__ASKED_FILTER, MCTX_ERR_TOO_MANY_SOURCES},
      {ENOMEM, MCTX__ASKED_FILTER, MCTX_ERR_TOO_MANY_SOURCES},
      {ENODEV, MCTX__ASKED_FILTER, MCTX_ERR_INTERFACE_NOT_FOUND},
      {EADDRNOTAVAIL, MCTX__ASKED_FILTER, MCTX_ERR_MEMBERSHIP_NOT_FOUND},
      {EINVAL, MCTX__ASKED_FILTER, MCTX_ERR_MEMBERSHIP_NOT_FOUND},
      {EINVAL, MCTX__ASKED_SEND, MCTX_ERR_IO},
      {EIO, MCTX__ASKED_OTHER, MCTX_ERR_IO},
      {12345, MCTX__ASKED_OTHER, MCTX_ERR_IO},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const mctx__result result = mctx__failure(rows[i].code, rows[i].asked);
    if (result.status != rows[i].status) print_error("errno %d\n", rows[i].code);
    assert_status(rows[i].status, result);
    assert_int_equal(rows[i].code, result.os_code);
  }
}

static void test_addresses_go_both_ways(void **state) {
  const mctx_address addresses[] = {lab_address("10.1.2.3", 65535, 0), lab_address("0.0.0.0", 0, 0),
                                    lab_address("fe80::1:2", 1, 7), lab_address("ff3e::8000:1", 5000, 0)};
  struct sockaddr_storage native;
  (void)state;
  for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
    const socklen_t length = mctx__sockaddr_set(&native, &addresses[i]);
    const mctx_address back = mctx__sockaddr_get(&native, length);
    assert_true(lab_same(&addresses[i], &back));
    assert_int_equal(0, mctx__sockaddr_get(&native, length - 1).family);
  }
  const mctx_address none = {0};
  assert_int_equal(0, mctx__sockaddr_set(&native, &none));
  native.ss_family = AF_UNIX;
  assert_int_equal(0, mctx__sockaddr_get(&native, sizeof native).family);
}

static void test_an_endpoint_of_nobody_is_empty(void **state) {
  const mctx_address group = lab_address("239.1.2.3", 5000, 0);
  mctx__endpoint endpoint;
  (void)state;
  mctx__endpoint_set(&endpoint, &group);
  assert_int_equal(sizeof(struct sockaddr_in), endpoint.length);
  mctx__endpoint_set(&endpoint, NULL);
  assert_int_equal(0, endpoint.length);
}

/* ---- memory and locks ---- */

static void test_memory_is_zeroed_and_aligned(void **state) {
  static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 1000003};
  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    unsigned char *memory = mctx__allocate(sizes[i]);
    assert_non_null(memory);
    assert_int_equal(0, (uintptr_t)memory % 64);
    for (size_t at = 0; at < sizes[i]; at++)
      assert_int_equal(0, memory[at]);
    memset(memory, 0xa5, sizes[i]);
    mctx__release(memory);
  }
  mctx__release(NULL);
}

static void test_memory_that_is_not_there_is_null(void **state) {
  volatile size_t huge = SIZE_MAX; /* the compiler would warn */
  (void)state;
  for (size_t below = 0; below < 200; below++)
    assert_null(mctx__allocate(huge - below));
  assert_null(mctx__allocate(huge / 2));
}

enum { THREADS = 4, ROUNDS = 20000 };

static mctx__mutex mutex;
static uint32_t counted;

static void *count_up(void *unused) {
  for (int i = 0; i < ROUNDS; i++) {
    mctx__mutex_lock(&mutex);
    counted++;
    mctx__mutex_unlock(&mutex);
    if (i % 1000 == 0) mctx__yield();
  }
  return unused;
}

static void test_a_mutex_excludes(void **state) {
  pthread_t threads[THREADS];
  (void)state;
  mctx__mutex_init(&mutex);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(0, pthread_create(&threads[i], NULL, count_up, NULL));
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(0, pthread_join(threads[i], NULL));
  mctx__mutex_destroy(&mutex);
  assert_int_equal(THREADS * ROUNDS, counted);
}

static void test_clocks_and_sleep(void **state) {
  const int64_t before = mctx__clock_monotonic();
  (void)state;
  mctx__sleep(20 * MS);
  const int64_t after = mctx__clock_monotonic();
  assert_true(after - before >= 15 * MS);
  mctx__sleep(0);
  mctx__sleep(INT64_MIN);
  const int64_t seconds = mctx__clock_utc() / 1000000000;
  assert_true(llabs(seconds - (int64_t)time(NULL)) <= 2);
}

/* ---- fork ---- */

static _Atomic uint32_t hooks_called;
static mctx__event inherited;

static void hook_before(void) {
  atomic_store(&hooks_called, 1);
}
static void hook_parent(void) {
  atomic_fetch_or(&hooks_called, 2);
}
static void hook_child(void) {
  atomic_fetch_or(&hooks_called, 4);
  mctx__event_abandon(inherited);
}

static int in_hooked_child(void) {
  const bool closed = fcntl((int)inherited.value, F_GETFD) < 0 && errno == EBADF;
  return (int)atomic_load(&hooks_called) + (closed ? 8 : 0);
}

static void test_fork_hooks_run_on_both_sides(void **state) {
  const mctx__fork_hooks hooks = {hook_before, hook_parent, hook_child};
  uint32_t ready;
  (void)state;
  assert_done(mctx__event_open(&inherited));
  assert_done(mctx__fork_watch(&hooks));
  assert_int_equal(1 + 4 + 8, lab_child(in_hooked_child));
  assert_int_equal(1 + 2, atomic_load(&hooks_called));
  mctx__event_signal(inherited); /* the parent's is as it was */
  assert_done(wait_event(inherited, 0, &ready));
  mctx__event_close(inherited);
  inherited = MCTX__NO_EVENT;
}

static void *page_of(void *unused) {
  (void)unused;
  return (void *)(uintptr_t)mctx__fork_page();
}

static void test_the_page_tells_of_a_child_that_libc_did_not_make(void **state) {
  pthread_t threads[THREADS];
  _Atomic uint32_t *page = mctx__fork_page();
  int status = 0;
  (void)state;
  if (page == NULL) SKIP("the kernel has no MADV_WIPEONFORK");
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(0, pthread_create(&threads[i], NULL, page_of, NULL));
  for (int i = 0; i < THREADS; i++) {
    void *same;
    assert_int_equal(0, pthread_join(threads[i], &same));
    assert_ptr_equal((void *)(uintptr_t)page, same);
  }
  assert_int_equal(1, atomic_load(page));
  const long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  assert_true(child >= 0);
  if (child == 0) {
    const uint32_t found = atomic_load(page);
    atomic_store(page, 1);
    (void)syscall(SYS_exit_group, atomic_load(page) == 1 ? (int)found : 2);
  }
  assert_int_equal(child, waitpid((pid_t)child, &status, 0));
  assert_true(WIFEXITED(status));
  assert_int_equal(0, WEXITSTATUS(status));
  assert_int_equal(1, atomic_load(page));
}

/* ---- events ---- */

static void test_an_event_is_sticky_until_cleared(void **state) {
  mctx__event event = MCTX__NO_EVENT;
  uint32_t ready = 77;
  (void)state;
  assert_done(mctx__event_open(&event));
  assert_true((fcntl((int)event.value, F_GETFD) & FD_CLOEXEC) != 0);
  assert_status(MCTX_ERR_TIMEOUT, wait_event(event, 0, &ready));
  assert_int_equal(0, ready);
  mctx__event_clear(event); /* clear already: does not block */
  mctx__event_signal(event);
  mctx__event_signal(event);
  for (int i = 0; i < 2; i++) {
    assert_done(wait_event(event, 0, &ready));
    assert_int_equal(MCTX__WAIT_EVENT, ready);
  }
  mctx__event_clear(event);
  assert_status(MCTX_ERR_TIMEOUT, wait_event(event, 0, &ready));
  const uint64_t nearly_full = UINT64_MAX - 1;
  assert_int_equal(8, write((int)event.value, &nearly_full, 8));
  errno = 123;
  mctx__event_signal(event); /* full: does not block, and stays signalled */
  assert_int_equal(123, errno);
  assert_done(wait_event(event, 0, &ready));
  mctx__event_close(event);
  assert_true(fcntl((int)event.value, F_GETFD) < 0);
  mctx__event_signal(MCTX__NO_EVENT);
  mctx__event_clear(MCTX__NO_EVENT);
  mctx__event_close(MCTX__NO_EVENT);
}

/* ---- waiting ---- */

static void test_a_deadline_is_kept(void **state) {
  uint32_t ready = 77;
  (void)state;
  const int64_t start = mctx__clock_monotonic();
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait(MCTX__NO_SOCKET, 0, MCTX__NO_EVENT, start + 30 * MS, &ready));
  const int64_t took = mctx__clock_monotonic() - start;
  assert_true(took >= 30 * MS);
  assert_true(took < 20000 * (int64_t)MS);
  assert_int_equal(0, ready);
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait(MCTX__NO_SOCKET, 0, MCTX__NO_EVENT, INT64_MIN, &ready));
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait(MCTX__NO_SOCKET, 0, MCTX__NO_EVENT, 0, &ready));
}

static void *signal_later(void *event) {
  mctx__sleep(20 * MS);
  mctx__event_signal(*(mctx__event *)event);
  return NULL;
}

static void test_an_event_ends_a_wait_for_ever(void **state) {
  mctx__event event;
  pthread_t thread;
  uint32_t ready;
  (void)state;
  assert_done(mctx__event_open(&event));
  assert_int_equal(0, pthread_create(&thread, NULL, signal_later, &event));
  assert_done(mctx__wait(MCTX__NO_SOCKET, 0, event, MCTX__FOREVER, &ready));
  assert_int_equal(MCTX__WAIT_EVENT, ready);
  assert_int_equal(0, pthread_join(thread, NULL));
  mctx__event_close(event);
}

static void ignore_it(int number) {
  (void)number;
}

static pthread_t waiter;
static atomic_bool waiter_done;

/* Again and again: the first signal may come before the wait. */
static void *interrupt_later(void *unused) {
  while (!atomic_load(&waiter_done)) {
    mctx__sleep(20 * MS);
    (void)pthread_kill(waiter, SIGUSR1);
  }
  return unused;
}

static void test_a_signal_ends_a_wait(void **state) {
  const struct sigaction action = {.sa_handler = ignore_it, .sa_flags = SA_RESTART};
  pthread_t thread;
  uint32_t ready = 77;
  (void)state;
  waiter = pthread_self();
  assert_int_equal(0, sigaction(SIGUSR1, &action, NULL));
  assert_int_equal(0, pthread_create(&thread, NULL, interrupt_later, NULL));
  assert_status(MCTX_ERR_SIGNAL, mctx__wait(MCTX__NO_SOCKET, 0, MCTX__NO_EVENT,
                                            mctx__clock_monotonic() + 5000 * (int64_t)MS, &ready));
  assert_int_equal(0, ready);
  atomic_store(&waiter_done, true);
  assert_int_equal(0, pthread_join(thread, NULL));
}

static void test_a_socket_is_waited_for(void **state) {
  const mctx_address local = lab_address("127.0.0.1", 0, 0);
  mctx__socket socket = lab_socket(4);
  mctx__event event;
  mctx_address bound;
  mctx__endpoint self;
  uint32_t ready;
  (void)state;
  assert_done(mctx__event_open(&event));
  assert_done(mctx__socket_bind(socket, &local));
  assert_done(mctx__wait(socket, MCTX_WRITABLE | MCTX_READABLE, event, 0, &ready));
  assert_int_equal(MCTX_WRITABLE, ready);
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait(socket, MCTX_READABLE, event, 0, &ready));
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait(socket, 0, event, 0, &ready));
  assert_done(mctx__socket_local(socket, &bound));
  mctx__endpoint_set(&self, &bound);
  assert_done(mctx__socket_send(socket, &self, "x", 1));
  mctx__event_signal(event);
  assert_done(mctx__wait(socket, MCTX_READABLE, event, MCTX__FOREVER, &ready));
  assert_int_equal(MCTX_READABLE | MCTX__WAIT_EVENT, ready);
  mctx__socket_close(socket);
  mctx__event_close(event);
}

static int64_t processor_time(void) {
  struct timespec used;
  assert_int_equal(0, clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used));
  return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

static void test_a_socket_that_was_shut_down_neither_blocks_nor_spins(void **state) {
  const mctx_address peer = lab_address("127.0.0.1", 9, 0);
  mctx__socket socket = lab_socket(4);
  uint32_t ready;
  (void)state;
  assert_done(mctx__socket_connect(socket, 4, &peer));
  assert_int_equal(0, shutdown(mctx__descriptor(socket), SHUT_RDWR));
  assert_done(mctx__wait(socket, MCTX_WRITABLE, MCTX__NO_EVENT, MCTX__FOREVER, &ready));
  assert_int_equal(MCTX_WRITABLE, ready);
  int64_t used = INT64_MAX;
  for (int tries = 0; tries < 10 && used >= 100 * (int64_t)MS; tries++) { /* others' time may be counted too */
    const int64_t before = processor_time();
    assert_status(MCTX_ERR_TIMEOUT,
                  mctx__wait(socket, 0, MCTX__NO_EVENT, mctx__clock_monotonic() + 200 * (int64_t)MS, &ready));
    used = processor_time() - before;
  }
  assert_true(used < 100 * (int64_t)MS);
  mctx__socket_close(socket);
}

static void test_a_descriptor_that_somebody_closed_is_an_error(void **state) {
  mctx__socket socket = lab_socket(4);
  uint32_t ready = 77;
  (void)state;
  mctx__socket_close(socket);
  assert_status(MCTX_ERR_IO, mctx__wait(socket, MCTX_WRITABLE, MCTX__NO_EVENT, MCTX__FOREVER, &ready));
  assert_int_equal(0, ready);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_errno_means),
      cmocka_unit_test(test_addresses_go_both_ways),
      cmocka_unit_test(test_an_endpoint_of_nobody_is_empty),
      cmocka_unit_test(test_memory_is_zeroed_and_aligned),
      cmocka_unit_test(test_memory_that_is_not_there_is_null),
      cmocka_unit_test(test_a_mutex_excludes),
      cmocka_unit_test(test_clocks_and_sleep),
      cmocka_unit_test(test_fork_hooks_run_on_both_sides),
      cmocka_unit_test(test_the_page_tells_of_a_child_that_libc_did_not_make),
      cmocka_unit_test(test_an_event_is_sticky_until_cleared),
      cmocka_unit_test(test_a_deadline_is_kept),
      cmocka_unit_test(test_an_event_ends_a_wait_for_ever),
      cmocka_unit_test(test_a_signal_ends_a_wait),
      cmocka_unit_test(test_a_socket_is_waited_for),
      cmocka_unit_test(test_a_socket_that_was_shut_down_neither_blocks_nor_spins),
      cmocka_unit_test(test_a_descriptor_that_somebody_closed_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

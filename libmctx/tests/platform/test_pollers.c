/* SPDX-License-Identifier: MIT */
/* Pollers: level-triggered in every way of looking, fair, unharmed by forks. And waiting for many. */
#include "lab.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEMBERS = 8, MS = 1000000 };

/* A socket of the loopback interface that sends to itself. */
static mctx__socket loop_open(void) {
  const mctx_address local = lab_address("127.0.0.1", 0, 0);
  mctx__socket socket = lab_socket(4);
  mctx_address bound;
  assert_done(mctx__socket_bind(socket, &local));
  assert_done(mctx__socket_local(socket, &bound));
  assert_done(mctx__socket_connect(socket, 4, &bound));
  return socket;
}

static void feed(mctx__socket socket) {
  mctx__endpoint self;
  mctx__endpoint_set(&self, NULL);
  assert_done(mctx__socket_send(socket, &self, "x", 1));
}

static mctx_status drain_one(mctx__socket socket) {
  char byte;
  mctx__arrival arrival;
  const mctx__span spans[2] = {{&byte, 1}, {NULL, 0}};
  return mctx__socket_receive(socket, 0, false, spans, &arrival).status;
}

static mctx__poller poller_open(void) {
  mctx__poller poller = MCTX__NO_POLLER;
  assert_done(mctx__poller_open(&poller));
  return poller;
}

static uint32_t ready_count(mctx__poller poller) {
  uint64_t tags[MEMBERS];
  uint32_t count = 77;
  assert_done(mctx__poller_ready(poller, tags, MEMBERS, &count));
  return count;
}

/* ---- the handle itself ---- */

static void test_a_new_poller(void **state) {
  mctx__poller poller = poller_open();
  const mctx_os_handle native = mctx__poller_native(poller);
  uint64_t tag = 77;
  uint32_t count = 77;
  (void)state;
  assert_int_equal(MCTX_OS_DESCRIPTOR, native.type);
  assert_true((fcntl((int)native.value, F_GETFD) & FD_CLOEXEC) != 0);
  assert_int_equal(native.value, mctx__poller_member(poller).value);
  assert_done(mctx__poller_ready(poller, &tag, 1, &count));
  assert_int_equal(0, count);
  assert_int_equal(77, tag);
  mctx__poller_close(poller);
  assert_true(fcntl((int)native.value, F_GETFD) < 0);
  count = 77;
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__poller_ready(poller, &tag, 1, &count));
  assert_int_equal(0, count);
  mctx__poller_close(MCTX__NO_POLLER);
  assert_int_equal(MCTX_OS_NONE, mctx__poller_native(MCTX__NO_POLLER).type);
}

static void test_members_of_every_kind(void **state) {
  mctx__poller poller = poller_open();
  mctx__poller inner = poller_open();
  mctx__socket socket = loop_open();
  mctx__socket innermost = loop_open();
  mctx__event event;
  uint64_t tags[4];
  uint32_t count;
  (void)state;
  assert_done(mctx__event_open(&event));
  assert_done(mctx__poller_add(poller, socket, UINT64_MAX));
  assert_done(mctx__poller_add(poller, mctx__event_member(event), 5));
  assert_done(mctx__poller_add(poller, mctx__poller_member(inner), UINT64_C(1) << 40));
  assert_done(mctx__poller_add(inner, innermost, 9));
  assert_int_equal(0, ready_count(poller));
  feed(socket);
  assert_done(mctx__poller_ready(poller, tags, 4, &count));
  assert_int_equal(1, count);
  assert_true(tags[0] == UINT64_MAX);
  assert_int_equal(MCTX_OK, drain_one(socket));
  mctx__event_signal(event);
  assert_done(mctx__poller_ready(poller, tags, 4, &count));
  assert_int_equal(1, count);
  assert_int_equal(5, tags[0]);
  mctx__event_clear(event);
  feed(innermost);
  assert_done(mctx__poller_ready(poller, tags, 4, &count));
  assert_int_equal(1, count);
  assert_true(tags[0] == UINT64_C(1) << 40);
  assert_int_equal(MCTX_OK, drain_one(innermost));
  assert_int_equal(0, ready_count(poller));
  mctx__event_close(event);
  mctx__socket_close(socket);
  mctx__socket_close(innermost);
  mctx__poller_close(inner);
  mctx__poller_close(poller);
}

static void test_members_that_cannot_be(void **state) {
  mctx__poller poller = poller_open();
  mctx__socket file = {open("/etc/hostname", O_RDONLY | O_CLOEXEC)};
  (void)state;
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__poller_add(poller, MCTX__NO_SOCKET, 1));
  if (file.value >= 0) assert_status(MCTX_ERR_PERMISSION, mctx__poller_add(poller, file, 1));
  mctx__socket_close(file);
  mctx__poller_remove(poller, MCTX__NO_SOCKET);
  mctx__poller_close(poller);
}

/* ---- level-triggered ---- */

/* All that may look at a poller from outside; each says whether it is readable. */
typedef struct outside {
  mctx__poller poller;
  int epolls[4]; /* each inside the next one */
} outside;

static outside outside_open(mctx__poller poller) {
  outside looks = {.poller = poller};
  for (int i = 0; i < 4; i++) {
    struct epoll_event event = {.events = EPOLLIN};
    looks.epolls[i] = epoll_create1(EPOLL_CLOEXEC);
    assert_true(looks.epolls[i] >= 0);
    const int inner = i == 0 ? (int)poller.value : looks.epolls[i - 1];
    assert_int_equal(0, epoll_ctl(looks.epolls[i], EPOLL_CTL_ADD, inner, &event));
  }
  return looks;
}

static void outside_close(const outside *looks) {
  for (int i = 0; i < 4; i++)
    (void)close(looks->epolls[i]);
}

static bool select_says(int descriptor) {
  struct timeval now = {0, 0};
  fd_set set;
  FD_ZERO(&set);
  FD_SET(descriptor, &set);
  return select(descriptor + 1, &set, NULL, NULL, &now) == 1;
}

/* Twice each: to look must not change what the next one sees. */
static void assert_readable(const outside *looks, bool expected) {
  const int descriptor = (int)looks->poller.value;
  for (int again = 0; again < 2; again++) {
    struct pollfd watched = {.fd = descriptor, .events = POLLIN};
    uint32_t ready;
    assert_int_equal(expected, poll(&watched, 1, 0) == 1);
    assert_int_equal(expected, select_says(descriptor));
    assert_int_equal(
        expected ? MCTX_OK : MCTX_ERR_TIMEOUT,
        mctx__wait(mctx__poller_member(looks->poller), MCTX_READABLE, MCTX__NO_EVENT, 0, &ready).status);
    for (int i = 0; i < 4; i++) {
      struct epoll_event event;
      watched.fd = looks->epolls[i];
      assert_int_equal(expected, poll(&watched, 1, 0) == 1);
      assert_int_equal(expected, epoll_wait(looks->epolls[i], &event, 1, 0) == 1);
    }
  }
}

/* Every order of arrivals at two members, of receives from them and of asking who is ready, eight steps long.
 */
static void test_every_interleaving_of_arrival_and_drain(void **state) {
  enum { ACTIONS = 5, STEPS = 6 };
  (void)state;
  for (uint32_t script = 0; script < 15625 /* ACTIONS to the power of STEPS */; script++) {
    mctx__poller poller = poller_open();
    mctx__socket members[2] = {loop_open(), loop_open()};
    const outside looks = outside_open(poller);
    uint32_t queued[2] = {0, 0};
    uint32_t left = script;
    assert_done(mctx__poller_add(poller, members[0], 10));
    assert_done(mctx__poller_add(poller, members[1], 11));
    for (int step = 0; step < STEPS; step++, left /= ACTIONS) {
      const uint32_t which = left % ACTIONS % 2;
      if (left % ACTIONS < 2) {
        feed(members[which]);
        queued[which]++;
      } else if (left % ACTIONS < 4) {
        assert_int_equal(queued[which] > 0 ? MCTX_OK : MCTX_ERR_WOULD_BLOCK, drain_one(members[which]));
        if (queued[which] > 0) queued[which]--;
      } else {
        assert_int_equal((queued[0] > 0) + (queued[1] > 0), ready_count(poller));
      }
      if (script % 25 == 0) assert_readable(&looks, queued[0] + queued[1] > 0);
    }
    assert_readable(&looks, queued[0] + queued[1] > 0);
    outside_close(&looks);
    mctx__socket_close(members[0]);
    mctx__socket_close(members[1]);
    mctx__poller_close(poller);
  }
}

/* With room for one tag, members that are always ready are told in turns. */
static void test_turns_are_taken(void **state) {
  mctx__poller poller = poller_open();
  mctx__socket members[MEMBERS];
  uint64_t tags[MEMBERS];
  uint32_t count;
  (void)state;
  for (uint32_t i = 0; i < MEMBERS; i++) {
    members[i] = loop_open();
    feed(members[i]);
    assert_done(mctx__poller_add(poller, members[i], i));
  }
  for (uint32_t room = 1; room <= MEMBERS; room++) {
    uint32_t told[MEMBERS] = {0};
    for (uint32_t call = 0; call < MEMBERS; call++) {
      assert_done(mctx__poller_ready(poller, tags, room, &count));
      assert_int_equal(room, count);
      for (uint32_t i = 0; i < count; i++)
        told[tags[i]]++;
    }
    for (uint32_t i = 0; i < MEMBERS; i++)
      assert_int_equal(room, told[i]);
  }
  assert_done(mctx__poller_ready(poller, NULL, 0, &count));
  assert_int_equal(0, count);
  for (uint32_t i = 0; i < MEMBERS; i++)
    mctx__socket_close(members[i]);
  mctx__poller_close(poller);
}

/* Many more than one call tells: all are told, once each before any is told again. */
static void test_a_thousand_members(void **state) {
  enum { THOUSAND = 1000 };
  static mctx__event events[THOUSAND];
  static uint64_t tags[THOUSAND];
  static bool seen[THOUSAND];
  struct rlimit limit;
  uint32_t total = 0;
  (void)state;
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &limit));
  if (limit.rlim_cur < THOUSAND + 100) SKIP("this process may not open that many descriptors");
  mctx__poller poller = poller_open();
  memset(seen, 0, sizeof seen);
  for (uint32_t i = 0; i < THOUSAND; i++) {
    assert_done(mctx__event_open(&events[i]));
    assert_done(mctx__poller_add(poller, mctx__event_member(events[i]), i));
    mctx__event_signal(events[i]);
  }
  while (total < THOUSAND) {
    uint32_t count;
    assert_done(mctx__poller_ready(poller, tags, THOUSAND, &count));
    assert_true(count > 0);
    for (uint32_t i = 0; i < count && total < THOUSAND; i++, total++) {
      assert_false(seen[tags[i]]);
      seen[tags[i]] = true;
    }
  }
  for (uint32_t i = 0; i < THOUSAND; i++)
    mctx__event_close(events[i]);
  mctx__poller_close(poller);
}

/* ---- removing ---- */

static void test_removing_a_member(void **state) {
  mctx__poller poller = poller_open();
  mctx__socket members[2] = {loop_open(), loop_open()};
  const outside looks = outside_open(poller);
  (void)state;
  assert_done(mctx__poller_add(poller, members[0], 0));
  assert_done(mctx__poller_add(poller, members[1], 1));
  feed(members[0]);
  assert_readable(&looks, true);
  mctx__poller_remove(poller, members[0]);
  assert_readable(&looks, false);
  assert_int_equal(0, ready_count(poller));
  mctx__poller_remove(poller, members[0]); /* again: nothing to do */
  feed(members[1]);
  assert_int_equal(1, ready_count(poller));
  assert_done(mctx__poller_add(poller, members[0], 2)); /* what it has is seen at once */
  assert_int_equal(2, ready_count(poller));
  outside_close(&looks);
  mctx__socket_close(members[0]);
  mctx__socket_close(members[1]);
  mctx__poller_close(poller);
}

static atomic_bool removing_done;

static void *remove_and_add(void *argument) {
  mctx__poller poller = *(mctx__poller *)argument;
  for (int i = 0; i < 2000; i++) {
    mctx__socket member = loop_open();
    if (mctx__poller_add(poller, member, 1).status != MCTX_OK) break;
    feed(member);
    mctx__poller_remove(poller, member);
    mctx__socket_close(member);
  }
  atomic_store(&removing_done, true);
  return NULL;
}

/* Members come and go while others ask and wait: nothing of a removed one is told afterwards. */
static void test_members_come_and_go_under_waiters(void **state) {
  mctx__poller poller = poller_open();
  pthread_t thread;
  (void)state;
  atomic_store(&removing_done, false);
  assert_int_equal(0, pthread_create(&thread, NULL, remove_and_add, &poller));
  while (!atomic_load(&removing_done)) {
    uint64_t tag = 1;
    uint32_t count;
    uint32_t ready;
    (void)mctx__wait(mctx__poller_member(poller), MCTX_READABLE, MCTX__NO_EVENT, mctx__clock_monotonic() + MS,
                     &ready);
    assert_done(mctx__poller_ready(poller, &tag, 1, &count));
    assert_int_equal(1, tag);
  }
  assert_int_equal(0, pthread_join(thread, NULL));
  assert_int_equal(0, ready_count(poller));
  mctx__poller_close(poller);
}

/* ---- forks ---- */

static mctx__poller inherited;
static mctx__socket inherited_member;

static int abandon_all(void) {
  errno = 55;
  mctx__poller_abandon(inherited);
  mctx__socket_abandon(inherited_member);
  if (errno != 55) return 1;
  return fcntl((int)inherited.value, F_GETFD) < 0 && fcntl((int)inherited_member.value, F_GETFD) < 0 ? 0 : 2;
}

static void test_a_child_leaves_the_poller_as_it_is(void **state) {
  (void)state;
  inherited = poller_open();
  inherited_member = loop_open();
  assert_done(mctx__poller_add(inherited, inherited_member, 3));
  assert_int_equal(0, lab_child(abandon_all));
  assert_int_equal(0, ready_count(inherited));
  feed(inherited_member);
  assert_int_equal(1, ready_count(inherited));
  mctx__socket_close(inherited_member);
  mctx__poller_close(inherited);
}

/* While a child holds a copy, only the removal takes a member out; closing it would not. */
static void test_what_was_removed_is_gone_while_a_child_holds_it(void **state) {
  int hold[2];
  int status;
  (void)state;
  inherited = poller_open();
  inherited_member = loop_open();
  assert_done(mctx__poller_add(inherited, inherited_member, 3));
  assert_int_equal(0, pipe(hold));
  feed(inherited_member);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    char byte;
    (void)close(hold[1]);
    _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
  }
  (void)close(hold[0]);
  mctx__poller_remove(inherited, inherited_member);
  mctx__socket_close(inherited_member);
  assert_int_equal(0, ready_count(inherited));
  (void)close(hold[1]);
  assert_int_equal(child, waitpid(child, &status, 0));
  assert_int_equal(0, status);
  mctx__poller_close(inherited);
}

/* ---- waiting for many ---- */

static void test_many_are_waited_for(void **state) {
  mctx__waited waited[MEMBERS + 1];
  (void)state;
  for (uint32_t i = 0; i < MEMBERS; i++)
    waited[i] = (mctx__waited){.socket = loop_open(), .events = MCTX_READABLE, .ready = 77};
  waited[MEMBERS] = (mctx__waited){.socket = MCTX__NO_SOCKET, .events = MCTX_READABLE, .ready = 77};
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait_many(waited, MEMBERS + 1, 0));
  for (uint32_t i = 0; i <= MEMBERS; i++)
    assert_int_equal(0, waited[i].ready);
  feed(waited[2].socket);
  feed(waited[5].socket);
  waited[5].events = MCTX_READABLE | MCTX_WRITABLE;
  waited[6].events = MCTX_WRITABLE;
  waited[7].events = 0;
  feed(waited[7].socket);
  assert_done(mctx__wait_many(waited, MEMBERS + 1, MCTX__FOREVER));
  for (uint32_t i = 0; i <= MEMBERS; i++) {
    const uint32_t expected = i == 2   ? MCTX_READABLE
                              : i == 5 ? MCTX_READABLE | MCTX_WRITABLE
                              : i == 6 ? MCTX_WRITABLE
                                       : 0;
    assert_int_equal(expected, waited[i].ready);
  }
  for (uint32_t i = 0; i < MEMBERS; i++)
    mctx__socket_close(waited[i].socket);
}

static void test_many_of_every_kind(void **state) {
  mctx__poller poller = poller_open();
  mctx__socket member = loop_open();
  mctx__event event;
  (void)state;
  assert_done(mctx__event_open(&event));
  assert_done(mctx__poller_add(poller, member, 1));
  mctx__waited waited[] = {{.socket = mctx__poller_member(poller), .events = MCTX_READABLE},
                           {.socket = mctx__event_member(event), .events = MCTX_READABLE}};
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait_many(waited, 2, 0));
  feed(member);
  assert_done(mctx__wait_many(waited, 2, 0));
  assert_int_equal(MCTX_READABLE, waited[0].ready);
  assert_int_equal(0, waited[1].ready);
  assert_int_equal(MCTX_OK, drain_one(member));
  mctx__event_signal(event);
  assert_done(mctx__wait_many(waited, 2, 0));
  assert_int_equal(0, waited[0].ready);
  assert_int_equal(MCTX_READABLE, waited[1].ready);
  mctx__event_close(event);
  mctx__socket_close(member);
  mctx__poller_close(poller);
}

static void test_none_at_all_is_a_sleep(void **state) {
  const int64_t start = mctx__clock_monotonic();
  (void)state;
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait_many(NULL, 0, start + 20 * MS));
  assert_true(mctx__clock_monotonic() - start >= 20 * MS);
}

static void *feed_later(void *member) {
  mctx__sleep(30 * MS);
  feed(*(mctx__socket *)member);
  return NULL;
}

/* An error to drain, a hang-up, a descriptor that somebody closed: as when one is waited for. */
static void test_failures_among_many(void **state) {
  const mctx_address nobody = lab_address("127.0.0.1", 9, 0);
  mctx__waited waited[] = {{.socket = loop_open(), .events = MCTX_READABLE},
                           {.socket = lab_socket(4), .events = MCTX_READABLE}};
  (void)state;
  assert_done(mctx__socket_connect(waited[1].socket, 4, &nobody));
  feed(waited[1].socket);
  assert_done(mctx__wait_many(waited, 2, mctx__clock_monotonic() + 5000 * (int64_t)MS));
  assert_int_equal(0, waited[0].ready);
  assert_int_equal(MCTX__WAIT_FAILED, waited[1].ready);
  mctx__drained drained;
  mctx__socket_drain_errors(waited[1].socket, 4, &drained);
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait_many(waited, 2, 0));

  assert_int_equal(0, shutdown(mctx__descriptor(waited[1].socket), SHUT_RDWR));
  waited[1].events = 0; /* a hang-up that nobody asks for neither ends the wait nor spins */
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait_many(waited, 2, mctx__clock_monotonic() + 50 * MS));
  pthread_t thread; /* and does not keep the others from being seen */
  assert_int_equal(0, pthread_create(&thread, NULL, feed_later, &waited[0].socket));
  assert_done(mctx__wait_many(waited, 2, mctx__clock_monotonic() + 5000 * (int64_t)MS));
  assert_int_equal(MCTX_READABLE, waited[0].ready);
  assert_int_equal(0, waited[1].ready);
  assert_int_equal(0, pthread_join(thread, NULL));

  mctx__socket_close(waited[1].socket);
  const mctx__result result = mctx__wait_many(waited, 2, MCTX__FOREVER);
  assert_status(MCTX_ERR_IO, result);
  assert_int_equal(EBADF, result.os_code);
  assert_int_equal(0, waited[0].ready);
  mctx__socket_close(waited[0].socket);
}

static void test_the_descriptor_limit(void **state) {
  struct rlimit before;
  (void)state;
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
  assert_true(mctx__descriptor_limit() == before.rlim_cur);
  const struct rlimit lower = {.rlim_cur = 123, .rlim_max = before.rlim_max};
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &lower));
  const uint64_t found = mctx__descriptor_limit();
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
  assert_int_equal(123, found);
}

static void test_no_descriptor_for_a_poller(void **state) {
  struct rlimit before;
  mctx__poller poller = {-5};
  (void)state;
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
  const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &none));
  const mctx__result result = mctx__poller_open(&poller);
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
  assert_status(MCTX_ERR_TOO_MANY_DESCRIPTORS, result);
  assert_int_equal(-5, poller.value);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      lab_test(test_a_new_poller),
      lab_test(test_members_of_every_kind),
      lab_test(test_members_that_cannot_be),
      lab_test(test_every_interleaving_of_arrival_and_drain),
      lab_test(test_turns_are_taken),
      lab_test(test_a_thousand_members),
      lab_test(test_removing_a_member),
      lab_test(test_members_come_and_go_under_waiters),
      lab_test(test_a_child_leaves_the_poller_as_it_is),
      lab_test(test_what_was_removed_is_gone_while_a_child_holds_it),
      lab_test(test_many_are_waited_for),
      lab_test(test_many_of_every_kind),
      lab_test(test_none_at_all_is_a_sleep),
      lab_test(test_failures_among_many),
      lab_test(test_the_descriptor_limit),
      lab_test(test_no_descriptor_for_a_poller),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

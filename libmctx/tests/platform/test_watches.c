/* SPDX-License-Identifier: MIT */
/* Watches: what is told of changes of the interfaces, and when nothing is. */
#include "lab.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MS = 1000000 };

static mctx__watch watch_open(void) {
  mctx__watch watch = MCTX__NO_WATCH;
  assert_done(mctx__watch_open(&watch));
  return watch;
}

static bool is_readable_until(mctx__watch watch, int64_t deadline_ns) {
  uint32_t ready;
  return mctx__wait(mctx__watch_member(watch), MCTX_READABLE, MCTX__NO_EVENT, deadline_ns, &ready).status ==
         MCTX_OK;
}

static bool is_readable(mctx__watch watch) {
  return is_readable_until(watch, 0);
}

/* IPv6 announces an address a little later. */
static bool becomes_readable(mctx__watch watch) {
  return is_readable_until(watch, mctx__clock_monotonic() + 2000 * (int64_t)MS);
}

static mctx__changes take(mctx__watch watch) {
  mctx__changes changes;
  memset(&changes, 0xa5, sizeof changes);
  mctx__watch_take(watch, &changes);
  return changes;
}

/* What IPv6 does by itself, after a link came up, has passed. */
static void calm(mctx__watch watch) {
  for (int quiet = 0; quiet < 10;) {
    quiet = take(watch).any ? 0 : quiet + 1;
    mctx__sleep(20 * MS);
  }
}

static mctx__watch watch_a_cable(void) {
  host_namespace();
  host_run("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad 2>/dev/null || true");
  lab_cable();
  mctx__watch watch = watch_open();
  calm(watch);
  assert_false(is_readable(watch));
  return watch;
}

static void test_a_new_watch(void **state) {
  (void)state;
  host_namespace();
  mctx__watch watch = watch_open();
  const int descriptor = (int)watch.value;
  assert_int_equal(descriptor, mctx__watch_member(watch).value);
  assert_true((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
  assert_true((fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0);
  assert_in_range(lab_get(mctx__watch_member(watch), SOL_SOCKET, SO_RCVBUF), 1, 131072);
  assert_false(is_readable(watch));
  const mctx__changes changes = take(watch);
  assert_false(changes.any);
  assert_int_equal(0, changes.removed_count);
  mctx__watch_close(watch);
  assert_true(fcntl(descriptor, F_GETFD) < 0);
  mctx__watch_close(MCTX__NO_WATCH);
  assert_false(take(MCTX__NO_WATCH).any);
}

/* Each change is told, with what was removed, and once. */
static void test_every_change_is_told(void **state) {
  static const char *const commands[] = {
      "ip link add x0 type veth peer name x1",
      "ip link set x0 up",
      "ip link set x0 down",
      "ip link set x0 name x9",
      "ip link set x9 multicast off",
      "ip link set x9 mtu 1300",
      "ip address add 10.8.0.1/24 dev va",
      "ip address delete 10.8.0.1/24 dev va",
      "ip -6 address add fd08::1/64 dev va nodad",
      "ip -6 address delete fd08::1/64 dev va",
  };
  mctx__watch watch = watch_a_cable();
  (void)state;
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
    host_run("%s", commands[i]);
    if (!becomes_readable(watch)) print_error("%s\n", commands[i]);
    assert_true(is_readable(watch));
    const mctx__changes changes = take(watch);
    assert_true(changes.any);
    assert_false(changes.lost);
    assert_int_equal(0, changes.removed_count);
    calm(watch);
  }
  mctx__watch_close(watch);
}

/* What belongs to neither interfaces nor their addresses is not told. */
static void test_other_changes_are_not_told(void **state) {
  mctx__watch watch = watch_a_cable();
  (void)state;
  host_run("ip route add 10.77.0.0/24 dev va && ip route delete 10.77.0.0/24 dev va");
  host_run("ip neighbour add 10.9.0.77 lladdr 02:00:00:00:00:77 dev va");
  assert_false(is_readable(watch));
  assert_false(take(watch).any);
  mctx__watch_close(watch);
}

static void test_a_removal_names_the_interface(void **state) {
  mctx__watch watch = watch_a_cable();
  const uint32_t indices[2] = {(uint32_t)if_nametoindex("va"), (uint32_t)if_nametoindex("vb")};
  (void)state;
  host_run("ip link delete va"); /* its other end goes with it */
  const mctx__changes changes = take(watch);
  assert_true(changes.any);
  assert_false(changes.lost);
  assert_int_equal(2, changes.removed_count);
  assert_true((changes.removed[0].index == indices[0] && changes.removed[1].index == indices[1]) ||
              (changes.removed[0].index == indices[1] && changes.removed[1].index == indices[0]));
  mctx__watch_close(watch);
}

/* Gone and there again between two looks, under the same name and index: a snapshot would not show it. */
static void test_an_interface_that_was_made_anew(void **state) {
  mctx__watch watch = watch_a_cable();
  const uint32_t index = (uint32_t)if_nametoindex("va");
  bool named = false;
  (void)state;
  host_run("ip link delete va && ip link add va index %u type veth peer name vb", index);
  const mctx__changes changes = take(watch);
  for (uint32_t i = 0; i < changes.removed_count; i++)
    named = named || changes.removed[i].index == index;
  assert_true(changes.any);
  assert_true(named);
  assert_int_equal(index, if_nametoindex("va"));
  mctx__watch_close(watch);
}

/* IPv6 ends below 1280 and IPv4 below 68, with their memberships, and neither shows when the MTU has grown. */
static void test_an_mtu_that_was_too_small_for_a_moment(void **state) {
  static const struct {
    const char *commands;
    uint32_t families[2]; /* ended; 0: none */
  } rows[] = {
      {"link set lo mtu 1280\nlink set lo mtu 65536", {0, 0}},
      {"link set lo mtu 1279\nlink set lo mtu 65536", {6, 0}},
      {"link set lo mtu 68\nlink set lo mtu 65536", {6, 0}},
      {"link set lo mtu 67\nlink set lo mtu 65536", {6, 4}},
      {"link set lo mtu 1000\nlink set lo mtu 900\nlink set lo mtu 60\nlink set lo mtu 65536", {6, 4}},
  };
  mctx__watch watch = watch_a_cable();
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    host_run("printf '%s\n' | ip -batch -", rows[i].commands);
    const mctx__changes changes = take(watch);
    assert_true(changes.any);
    assert_int_equal((rows[i].families[0] != 0) + (rows[i].families[1] != 0), changes.removed_count);
    for (uint32_t k = 0; k < changes.removed_count; k++) {
      assert_int_equal(if_nametoindex("lo"), changes.removed[k].index);
      assert_int_equal(rows[i].families[k], changes.removed[k].family);
    }
    calm(watch);
  }
  mctx__watch_close(watch);
}

/* To another namespace: gone from here. */
static void test_an_interface_that_moved_away(void **state) {
  (void)state;
  host_pair();
  there_begin();
  const int there = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  there_end();
  mctx__watch watch = watch_open();
  host_run("ip link add x0 type veth peer name x1");
  calm(watch);
  const uint32_t index = (uint32_t)if_nametoindex("x1");
  host_run("ip link set x1 netns /proc/%d/fd/%d", (int)getpid(), there);
  const mctx__changes changes = take(watch);
  assert_int_equal(1, changes.removed_count);
  assert_int_equal(index, changes.removed[0].index);
  assert_int_equal(0, changes.removed[0].family);
  mctx__watch_close(watch);
  (void)close(there);
}

/* A bridge tells in the words of a removal that a port left it: the port is still there. */
static void test_a_port_that_leaves_its_bridge(void **state) {
  mctx__watch watch = watch_a_cable();
  (void)state;
  host_run("ip link add br0 type bridge && ip link set br0 up && ip link set vb master br0");
  calm(watch);
  host_run("ip link set vb nomaster");
  assert_true(is_readable(watch));
  mctx__changes changes = take(watch);
  assert_true(changes.any);
  assert_int_equal(0, changes.removed_count);
  calm(watch);
  host_run("ip link delete br0");
  changes = take(watch);
  assert_int_equal(1, changes.removed_count);
  mctx__watch_close(watch);
}

/* More than there is room for: the first ones, and that there were more. */
static void test_more_removals_than_are_kept(void **state) {
  enum { PAIRS = 40 };
  uint32_t indices[PAIRS];
  (void)state;
  host_namespace();
  host_run("for i in $(seq %d); do echo link add x$i type veth peer name y$i; done | ip -batch -", PAIRS);
  for (int i = 0; i < PAIRS; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "x%d", i + 1);
    indices[i] = (uint32_t)if_nametoindex(name);
  }
  mctx__watch watch = watch_open();
  assert_done(mctx__socket_set(mctx__watch_member(watch), 4, MCTX__RECEIVE_BUFFER, 8 << 20));
  if (lab_get(mctx__watch_member(watch), SOL_SOCKET, SO_RCVBUF) < 400000) {
    mctx__watch_close(watch);
    SKIP("this user may not have a buffer that holds so many announcements");
  }
  host_run("for i in $(seq %d); do echo link delete x$i; done | ip -batch -", PAIRS);
  const mctx__changes changes = take(watch);
  assert_int_equal(MCTX__REMOVED_MAX, changes.removed_count);
  assert_true(changes.lost);
  /* 80 went away, two at a time: the first 64 are those of the first 32 pairs. */
  for (int i = 0; i < PAIRS; i++) {
    bool named = false;
    for (uint32_t k = 0; k < changes.removed_count; k++)
      named = named || changes.removed[k].index == indices[i];
    assert_int_equal(i < MCTX__REMOVED_MAX / 2, named);
  }
  mctx__watch_close(watch);
}

/* The system lost some: that is told, and the watch goes on. */
static void test_that_some_were_lost_is_told(void **state) {
  mctx__watch watch = watch_a_cable();
  (void)state;
  host_run("for i in $(seq 500); do echo link set va mtu $((1300 + i)); done | ip -batch -");
  uint32_t messages = 0;
  unsigned char announcement[4096];
  bool overrun = false;
  /* First by hand, to see that this is enough to lose some. */
  for (;;) {
    const ssize_t length = recv((int)watch.value, announcement, sizeof announcement, MSG_DONTWAIT);
    if (length >= 0) messages++;
    if (length < 0 && errno == ENOBUFS) overrun = true;
    if (length < 0 && errno == EAGAIN) break;
  }
  assert_true(overrun);
  assert_in_range(messages, 1, 400);
  host_run("for i in $(seq 500); do echo link set va mtu $((1300 + i)); done | ip -batch -");
  mctx__changes changes = take(watch);
  assert_true(changes.any);
  assert_true(changes.lost);
  assert_int_equal(0, changes.removed_count);
  assert_false(is_readable(watch));
  changes = take(watch);
  assert_false(changes.any);
  assert_false(changes.lost);
  host_run("ip link set va mtu 1400");
  assert_true(is_readable(watch));
  changes = take(watch);
  assert_true(changes.any);
  assert_false(changes.lost);
  mctx__watch_close(watch);
}

/* What a program, and not the kernel, sends: an announcement that is none. */
static void lie(mctx__watch watch, size_t length) {
  static struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
    unsigned char filling[8192];
  } message;
  struct sockaddr_nl own = {0};
  socklen_t own_length = sizeof own;
  assert_int_equal(0, getsockname((int)watch.value, (struct sockaddr *)&own, &own_length));
  const int liar = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  const struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = own.nl_pid};
  message.header = (struct nlmsghdr){.nlmsg_len = (uint32_t)length, .nlmsg_type = RTM_DELLINK};
  message.link = (struct ifinfomsg){.ifi_family = AF_UNSPEC, .ifi_index = 1};
  const ssize_t sent = sendto(liar, &message, length, 0, (const struct sockaddr *)&to, sizeof to);
  (void)close(liar);
  if (sent < 0) SKIP("this kernel lets programs not write to each other");
}

static void test_what_others_say_is_not_believed(void **state) {
  mctx__watch watch = watch_a_cable();
  (void)state;
  lie(watch, NLMSG_LENGTH(sizeof(struct ifinfomsg)));
  assert_true(is_readable(watch));
  const mctx__changes changes = take(watch);
  assert_false(changes.any);
  assert_int_equal(0, changes.removed_count);
  assert_false(is_readable(watch));
  mctx__watch_close(watch);
}

/* All room is taken by what is not believed: that something was lost is all there is to tell. */
static void test_when_everything_was_lost(void **state) {
  const int least = 1;
  mctx__watch watch = watch_a_cable();
  (void)state;
  assert_int_equal(0, setsockopt((int)watch.value, SOL_SOCKET, SO_RCVBUF, &least, sizeof least));
  lie(watch, 8192);
  host_run("ip link set va mtu 1400");
  const mctx__changes changes = take(watch);
  assert_true(changes.any);
  assert_true(changes.lost);
  assert_int_equal(0, changes.removed_count);
  assert_false(take(watch).any);
  mctx__watch_close(watch);
}

/* ---- refusals ---- */

static int open_when_refused(long call, uint32_t value, uint32_t code, mctx_status expected) {
  mctx__watch watch = {-5};
  const int before = (int)descriptors_held();
  if (!lab_refuse(call, call == SYS_socket ? 0 : LAB_ANY, value, code)) return 77;
  const mctx__result result = mctx__watch_open(&watch);
  if (result.status != expected || result.os_code != (int32_t)code) return 1;
  return watch.value == -5 && (int)descriptors_held() == before ? 0 : 2;
}

static int open_in_a_sandbox(void) {
  return open_when_refused(SYS_socket, AF_NETLINK, EPERM, MCTX_ERR_PERMISSION);
}
static int open_without_netlink(void) {
  return open_when_refused(SYS_socket, AF_NETLINK, EAFNOSUPPORT, MCTX_ERR_UNSUPPORTED);
}
static int open_without_routes(void) {
  return open_when_refused(SYS_socket, AF_NETLINK, EPROTONOSUPPORT, MCTX_ERR_UNSUPPORTED);
}
static int open_without_groups(void) {
  return open_when_refused(SYS_bind, 0, EACCES, MCTX_ERR_PERMISSION);
}

static void test_watches_that_are_refused(void **state) {
  (void)state;
  const int code = lab_child(open_in_a_sandbox);
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
  assert_int_equal(0, lab_child(open_without_netlink));
  assert_int_equal(0, lab_child(open_without_routes));
  assert_int_equal(0, lab_child(open_without_groups));
}

/* ---- forks ---- */

static mctx__watch inherited;

static int abandon(void) {
  errno = 55;
  mctx__watch_abandon(inherited);
  return errno == 55 && fcntl((int)inherited.value, F_GETFD) < 0 ? 0 : 1;
}

static void test_a_child_leaves_the_watch_as_it_is(void **state) {
  (void)state;
  inherited = watch_a_cable();
  assert_int_equal(0, lab_child(abandon));
  assert_false(is_readable(inherited));
  host_run("ip link set va mtu 1400");
  assert_true(is_readable(inherited));
  assert_true(take(inherited).any);
  mctx__watch_close(inherited);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_new_watch),
      cmocka_unit_test(test_every_change_is_told),
      cmocka_unit_test(test_other_changes_are_not_told),
      cmocka_unit_test(test_a_removal_names_the_interface),
      cmocka_unit_test(test_an_interface_that_was_made_anew),
      cmocka_unit_test(test_an_mtu_that_was_too_small_for_a_moment),
      cmocka_unit_test(test_an_interface_that_moved_away),
      cmocka_unit_test(test_a_port_that_leaves_its_bridge),
      cmocka_unit_test(test_more_removals_than_are_kept),
      cmocka_unit_test(test_that_some_were_lost_is_told),
      cmocka_unit_test(test_when_everything_was_lost),
      cmocka_unit_test(test_what_others_say_is_not_believed),
      cmocka_unit_test(test_watches_that_are_refused),
      cmocka_unit_test(test_a_child_leaves_the_watch_as_it_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

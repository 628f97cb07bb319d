/* SPDX-License-Identifier: MIT */
/* Memberships, filters and their limits, held against the kernel's own tables. */
#include "lab.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "kernel.h"

enum { PORT = 5000, GROUPS = 20, IPV4_SOURCES = 10, IPV6_SOURCES = 64, MANY = 150 };

static kernel_tables tables;
static uint32_t va;
static uint32_t vb;

static uint32_t cable_up(void **state) {
  const uint32_t family = host_family(state);
  host_namespace();
  lab_cable();
  va = (uint32_t)if_nametoindex("va");
  vb = (uint32_t)if_nametoindex("vb");
  return family;
}

static mctx_address group_of(uint32_t family, uint32_t number) {
  mctx_address group = lab_address(family == 6 ? "ff0e::db8:0:0" : "233.252.0.0", PORT, 0);
  const uint32_t last = family == 6 ? 15 : 3;
  group.bytes[last] = (uint8_t)number;
  group.bytes[last - 1] = (uint8_t)(number >> 8);
  return group;
}

static mctx_address source_of(uint32_t family, uint32_t number) {
  mctx_address source = lab_address(family == 6 ? "fd09::" : "10.9.0.0", 0, 0);
  source.bytes[family == 6 ? 15 : 3] = (uint8_t)number;
  return source;
}

static void sources_fill(uint32_t family, mctx_address *sources, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    sources[i] = source_of(family, i + 1);
}

/* ---- what the kernel says ---- */

static uint32_t users_of(const mctx_address *group, uint32_t index) {
  kernel_tables_read(&tables);
  const kernel_group *found = kernel_group_find(&tables, index, group);
  return found != NULL ? found->users : 0;
}

/* Exactly these sources, once each, in this mode. */
static void assert_filter(const mctx_address *group, uint32_t index, uint32_t mode, const mctx_address *sources,
                          uint32_t count) {
  uint32_t rows = 0;
  kernel_tables_read(&tables);
  for (uint32_t i = 0; i < tables.source_count; i++) {
    const mctx_address *listed = &tables.sources[i].group;
    if (tables.sources[i].interface_index == index && listed->family == group->family &&
        memcmp(listed->bytes, group->bytes, sizeof group->bytes) == 0) {
      /* One that is listed no more stays until all reports of that were sent. */
      rows += tables.sources[i].includes + tables.sources[i].excludes;
    }
  }
  assert_int_equal(count, rows);
  for (uint32_t i = 0; i < count; i++) {
    const kernel_source *row = kernel_source_find(&tables, index, group, &sources[i]);
    assert_non_null(row);
    assert_int_equal(mode == MCTX_INCLUDE ? 1 : 0, row->includes);
    assert_int_equal(mode == MCTX_EXCLUDE ? 1 : 0, row->excludes);
  }
}

/* What the socket itself says, of the number of sources too. */
static void assert_mode(mctx__socket socket, const mctx_address *group, uint32_t index, uint32_t mode,
                        uint32_t count) {
  struct group_filter filter = {.gf_interface = index};
  socklen_t length = GROUP_FILTER_SIZE(0);
  (void)mctx__sockaddr_set(&filter.gf_group, group);
  assert_int_equal(0, getsockopt(mctx__descriptor(socket), group->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                 MCAST_MSFILTER, &filter, &length));
  assert_int_equal(mode == MCTX_INCLUDE ? MCAST_INCLUDE : MCAST_EXCLUDE, filter.gf_fmode);
  assert_int_equal(count, filter.gf_numsrc);
}

/* ---- joining and leaving ---- */

static void test_joining_and_leaving(void **state) {
  const uint32_t family = cable_up(state);
  const mctx_address group = group_of(family, 1);
  mctx__socket socket = lab_socket(family);
  assert_status(MCTX_ERR_MEMBERSHIP_NOT_FOUND, mctx__socket_leave(socket, &group, va));
  assert_done(mctx__socket_join(socket, &group, va));
  assert_int_equal(1, users_of(&group, va));
  assert_int_equal(0, users_of(&group, vb));
  assert_status(MCTX_ERR_MEMBERSHIP_EXISTS, mctx__socket_join(socket, &group, va));
  assert_done(mctx__socket_join(socket, &group, vb)); /* the same group elsewhere is another membership */
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND, mctx__socket_join(socket, &group, 12345));
  assert_done(mctx__socket_leave(socket, &group, va));
  assert_int_equal(0, users_of(&group, va));
  assert_int_equal(1, users_of(&group, vb));
  assert_status(MCTX_ERR_MEMBERSHIP_NOT_FOUND, mctx__socket_leave(socket, &group, va));
  mctx__socket_close(socket);
  assert_int_equal(0, users_of(&group, vb));
}

static void test_joining_from_one_source(void **state) {
  const uint32_t family = cable_up(state);
  const mctx_address group = group_of(family, 1);
  const mctx_address source = source_of(family, 7);
  mctx__socket socket = lab_socket(family);
  assert_done(mctx__socket_join_source(socket, &group, va, &source));
  assert_filter(&group, va, MCTX_INCLUDE, &source, 1);
  assert_status(MCTX_ERR_SOURCE_EXISTS, mctx__socket_join_source(socket, &group, va, &source));
  assert_filter(&group, va, MCTX_INCLUDE, &source, 1);
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND, mctx__socket_join_source(socket, &group, 12345, &source));
  assert_done(mctx__socket_leave(socket, &group, va));
  assert_filter(&group, va, MCTX_INCLUDE, NULL, 0);
  assert_int_equal(0, users_of(&group, va));
  mctx__socket_close(socket);
}

static void test_an_interface_that_is_down_accepts(void **state) {
  const uint32_t family = cable_up(state);
  const mctx_address group = group_of(family, 1);
  mctx__socket socket = lab_socket(family);
  host_run("ip link set va down");
  assert_done(mctx__socket_join(socket, &group, va));
  host_run("ip link set va up");
  assert_int_equal(1, users_of(&group, va));
  mctx__socket_close(socket);
}

static void test_an_interface_too_narrow_for_ipv6_refuses(void **state) {
  const mctx_address group = group_of(6, 1);
  const mctx_address source = source_of(6, 7);
  (void)state;
  host_namespace();
  lab_cable();
  mctx__socket socket = lab_socket(6);
  host_run("ip link set va mtu 1279");
  const mctx__result result = mctx__socket_join(socket, &group, (uint32_t)if_nametoindex("va"));
  assert_status(MCTX_ERR_UNSUPPORTED, result);
  assert_int_equal(EINVAL, result.os_code);
  assert_status(MCTX_ERR_UNSUPPORTED,
                mctx__socket_join_source(socket, &group, (uint32_t)if_nametoindex("va"), &source));
  host_run("ip link set va mtu 1280");
  assert_done(mctx__socket_join(socket, &group, (uint32_t)if_nametoindex("va")));
  mctx__socket_close(socket);
}

/* Below IPv6's least MTU the kernel takes an interface's IPv6 away, and its memberships with it: they stay
 * dead, and count as joined until they are left. */
static void test_an_interface_too_narrow_for_a_while(void **state) {
  const mctx_address group = group_of(6, 1);
  (void)state;
  host_namespace();
  lab_cable();
  va = (uint32_t)if_nametoindex("va");
  mctx__socket socket = lab_socket(6);
  assert_done(mctx__socket_join(socket, &group, va));
  host_run("ip link set va mtu 1279 && ip link set va mtu 1500");
  assert_int_equal(0, users_of(&group, va));
  assert_status(MCTX_ERR_MEMBERSHIP_EXISTS, mctx__socket_join(socket, &group, va));
  assert_done(mctx__socket_leave(socket, &group, va));
  assert_done(mctx__socket_join(socket, &group, va));
  assert_int_equal(1, users_of(&group, va));
  host_run("ip link set va mtu 1279");
  assert_done(mctx__socket_leave(socket, &group, va));
  mctx__socket_close(socket);
}

/* What was joined on an interface that is gone is left by its old index, also when the name is there again. */
static void test_leaving_what_died(void **state) {
  const uint32_t family = cable_up(state);
  const mctx_address groups[2] = {group_of(family, 1), group_of(family, 2)};
  mctx__socket socket = lab_socket(family);
  assert_done(mctx__socket_join(socket, &groups[0], va));
  assert_done(mctx__socket_join(socket, &groups[1], va));
  host_run("ip link delete va");
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND,
                mctx__socket_filter(socket, &groups[0], va, MCTX_EXCLUDE, NULL, 0));
  assert_done(mctx__socket_leave(socket, &groups[0], va));
  assert_status(MCTX_ERR_MEMBERSHIP_NOT_FOUND, mctx__socket_leave(socket, &groups[0], va));
  lab_cable();
  const uint32_t again = (uint32_t)if_nametoindex("va");
  assert_int_not_equal(va, again);
  assert_done(mctx__socket_join(socket, &groups[0], again));
  assert_done(mctx__socket_join(socket, &groups[1], again));
  assert_done(mctx__socket_leave(socket, &groups[1], va));
  assert_int_equal(1, users_of(&groups[0], again));
  assert_int_equal(1, users_of(&groups[1], again));
  mctx__socket_close(socket);
}

/* The same index: it counts as joined, and is not. */
static void test_leaving_what_died_under_an_index_used_again(void **state) {
  const uint32_t family = cable_up(state);
  const mctx_address group = group_of(family, 1);
  mctx__socket socket = lab_socket(family);
  assert_done(mctx__socket_join(socket, &group, va));
  host_run("ip link delete va && ip link add va index %u type veth peer name vb && ip link set va up", va);
  assert_int_equal(va, if_nametoindex("va"));
  assert_int_equal(0, users_of(&group, va));
  assert_status(MCTX_ERR_MEMBERSHIP_EXISTS, mctx__socket_join(socket, &group, va));
  assert_done(mctx__socket_leave(socket, &group, va));
  assert_done(mctx__socket_join(socket, &group, va));
  assert_int_equal(1, users_of(&group, va));
  mctx__socket_close(socket);
}

/* ---- limits ---- */

static void test_a_socket_takes_twenty_groups(void **state) {
  mctx__socket socket;
  mctx_address group;
  (void)state;
  host_namespace();
  lab_cable();
  va = (uint32_t)if_nametoindex("va");
  socket = lab_socket(4);
  for (uint32_t i = 0; i < GROUPS; i++) {
    group = group_of(4, i + 1);
    assert_done(mctx__socket_join(socket, &group, va));
  }
  group = group_of(4, GROUPS + 1);
  mctx__result result = mctx__socket_join(socket, &group, va);
  assert_status(MCTX_ERR_TOO_MANY_MEMBERSHIPS, result);
  assert_int_equal(ENOBUFS, result.os_code);
  const mctx_address source = source_of(4, 1);
  assert_status(MCTX_ERR_TOO_MANY_MEMBERSHIPS, mctx__socket_join_source(socket, &group, va, &source));
  mctx__socket other = lab_socket(4);
  assert_done(mctx__socket_join(other, &group, va));
  const mctx_address first = group_of(4, 1);
  assert_done(mctx__socket_leave(socket, &first, va));
  assert_done(mctx__socket_join(socket, &group, va));
  assert_int_equal(2, users_of(&group, va));
  mctx__socket_close(socket);
  mctx__socket_close(other);
}

/* Joins until the socket's memory for options is full; the number of the first group that it did not take. */
static uint32_t fill(mctx__socket socket, uint32_t family, int32_t code) {
  for (uint32_t i = 1; i < 65536; i++) {
    const mctx_address group = group_of(family, i);
    const mctx__result result = mctx__socket_join(socket, &group, va);
    if (result.status == MCTX_OK) continue;
    assert_status(MCTX_ERR_TOO_MANY_MEMBERSHIPS, result);
    assert_int_equal(code, result.os_code);
    return i;
  }
  fail_msg("no end of groups");
  return 0;
}

static uint32_t lift_the_count(void **state) {
  const uint32_t family = cable_up(state);
  if (family == 4) host_run("echo 100000 > /proc/sys/net/ipv4/igmp_max_memberships");
  return family;
}

static void test_the_memory_of_a_socket_ends(void **state) {
  const uint32_t family = lift_the_count(state);
  mctx__socket socket = lab_socket(family);
  mctx__socket other = lab_socket(family);
  const uint32_t beyond = fill(socket, family, family == 6 ? ENOMEM : ENOBUFS);
  const mctx_address group = group_of(family, beyond);
  const mctx_address first = group_of(family, 1);
  assert_true(beyond > 100);
  assert_done(mctx__socket_join(other, &group, va));
  assert_done(mctx__socket_leave(socket, &first, va));
  assert_done(mctx__socket_join(socket, &group, va));
  assert_status(MCTX_ERR_TOO_MANY_MEMBERSHIPS, mctx__socket_join(socket, &first, va));
  mctx__socket_close(socket);
  mctx__socket_close(other);
}

/* A membership fits in, its source does not: nothing is left behind. */
static void test_no_membership_without_its_source_stays(void **state) {
  const uint32_t family = lift_the_count(state);
  mctx_address sources[IPV4_SOURCES];
  mctx__socket socket = lab_socket(family);
  const uint32_t beyond = fill(socket, family, family == 6 ? ENOMEM : ENOBUFS);
  const mctx_address group = group_of(family, beyond);
  const mctx_address first = group_of(family, 1);
  sources_fill(family, sources, IPV4_SOURCES);
  assert_done(mctx__socket_leave(socket, &first, va));
  assert_status(MCTX_ERR_TOO_MANY_MEMBERSHIPS, mctx__socket_join_source(socket, &group, va, &sources[0]));
  assert_status(MCTX_ERR_MEMBERSHIP_NOT_FOUND, mctx__socket_leave(socket, &group, va));
  assert_filter(&group, va, MCTX_INCLUDE, NULL, 0);
  assert_done(mctx__socket_join(socket, &first, va)); /* the room is there again */
  /* A list that does not fit leaves a membership as it is. */
  assert_status(MCTX_ERR_TOO_MANY_SOURCES,
                mctx__socket_filter(socket, &first, va, MCTX_INCLUDE, sources, IPV4_SOURCES));
  assert_int_equal(1, users_of(&first, va));
  assert_filter(&first, va, MCTX_INCLUDE, NULL, 0);
  mctx__socket_close(socket);
}

/* ---- filters ---- */

/* Every change of mode and list, in one step each. */
static void test_filters_are_replaced(void **state) {
  const uint32_t family = cable_up(state);
  static const struct {
    uint32_t mode, first, count;
  } steps[] = {{MCTX_EXCLUDE, 0, 1}, {MCTX_EXCLUDE, 0, 5},  {MCTX_EXCLUDE, 3, 5},
               {MCTX_INCLUDE, 3, 5}, {MCTX_INCLUDE, 0, 1},  {MCTX_INCLUDE, 1, 9},
               {MCTX_EXCLUDE, 0, 0}, {MCTX_INCLUDE, 2, 10}, {MCTX_EXCLUDE, 2, 10}};
  const mctx_address group = group_of(family, 1);
  const mctx_address elsewhere = group_of(family, 2);
  mctx_address sources[16];
  mctx__socket socket = lab_socket(family);
  sources_fill(family, sources, 16);
  assert_done(mctx__socket_join(socket, &elsewhere, va));
  assert_done(mctx__socket_join(socket, &group, vb));
  assert_done(
      mctx__socket_join(socket, &group, va)); /* last: the kernel's table begins where there are sources */
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    assert_done(
        mctx__socket_filter(socket, &group, va, steps[i].mode, sources + steps[i].first, steps[i].count));
    assert_filter(&group, va, steps[i].mode, sources + steps[i].first, steps[i].count);
    assert_mode(socket, &group, va, steps[i].mode, steps[i].count);
    assert_mode(socket, &group, vb, MCTX_EXCLUDE, 0);
    assert_mode(socket, &elsewhere, va, MCTX_EXCLUDE, 0);
    assert_int_equal(1, users_of(&group, va));
  }
  mctx__socket_close(socket);
}

static void test_filters_of_what_is_not_joined(void **state) {
  const uint32_t family = cable_up(state);
  const mctx_address group = group_of(family, 1);
  const mctx_address source = source_of(family, 1);
  mctx__socket socket = lab_socket(family);
  assert_done(mctx__socket_join(socket, &group, vb));
  assert_status(MCTX_ERR_MEMBERSHIP_NOT_FOUND,
                mctx__socket_filter(socket, &group, va, MCTX_INCLUDE, &source, 1));
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND,
                mctx__socket_filter(socket, &group, 12345, MCTX_INCLUDE, &source, 1));
  assert_int_equal(0, users_of(&group, va));
  mctx__socket_close(socket);
}

static void test_a_filter_too_long_changes_nothing(void **state) {
  const uint32_t family = cable_up(state);
  const uint32_t most = family == 6 ? IPV6_SOURCES : IPV4_SOURCES;
  const mctx_address group = group_of(family, 1);
  mctx_address sources[MANY];
  mctx__socket socket = lab_socket(family);
  sources_fill(family, sources, MANY);
  assert_done(mctx__socket_join_source(socket, &group, va, &sources[0]));
  for (uint32_t mode = MCTX_EXCLUDE; mode <= MCTX_INCLUDE; mode++) {
    assert_done(mctx__socket_filter(socket, &group, va, mode, sources, most));
    assert_filter(&group, va, mode, sources, most);
    for (uint32_t count = most + 1; count <= MANY; count += MANY - most - 1) {
      const mctx__result result = mctx__socket_filter(socket, &group, va, 1 - mode, sources, count);
      assert_status(MCTX_ERR_TOO_MANY_SOURCES, result);
      assert_int_equal(ENOBUFS, result.os_code);
      assert_filter(&group, va, mode, sources, most);
    }
  }
  /* More than an option's length can say: not even looked at. */
  assert_status(MCTX_ERR_TOO_MANY_SOURCES,
                mctx__socket_filter(socket, &group, va, MCTX_INCLUDE, sources, UINT32_MAX));
  assert_filter(&group, va, MCTX_INCLUDE, sources, most);
  mctx__socket_close(socket);
}

static void test_a_host_that_allows_long_filters(void **state) {
  const mctx_address group = group_of(4, 1);
  mctx_address sources[MANY];
  (void)state;
  host_namespace();
  lab_cable();
  va = (uint32_t)if_nametoindex("va");
  mctx__socket socket = lab_socket(4);
  host_run("echo %d > /proc/sys/net/ipv4/igmp_max_msf", MANY);
  sources_fill(4, sources, MANY);
  assert_done(mctx__socket_join(socket, &group, va));
  for (uint32_t count = IPV6_SOURCES - 1; count <= MANY; count++) {
    assert_done(mctx__socket_filter(socket, &group, va, MCTX_INCLUDE, sources, count));
    assert_filter(&group, va, MCTX_INCLUDE, sources, count);
  }
  mctx__socket_close(socket);
}

/* ---- holding to an interface ---- */

/* In this namespace, what leaves by va arrives on vb, and comes back to va itself. */
static void test_a_held_socket_gets_what_arrives_there_alone(void **state) {
  const mctx_address groups[] = {lab_address("ff0e::db8:0:1", PORT, 0), lab_address("ff12::db8:0:1", PORT, 0)};
  char buffer[16];
  (void)state;
  host_namespace();
  lab_cable();
  va = (uint32_t)if_nametoindex("va");
  vb = (uint32_t)if_nametoindex("vb");
  for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
    const uint32_t places[2] = {va, vb};
    mctx__socket held[2];
    mctx__endpoint endpoint;
    for (size_t k = 0; k < 2; k++) {
      mctx_address local = groups[i];
      if (i == 1) local.scope_id = places[k];
      held[k] = lab_socket(6);
      assert_done(mctx__socket_set(held[k], 6, MCTX__REUSE_PORT, 1));
      assert_done(mctx__socket_set(held[k], 6, MCTX__ISOLATED, 1));
      assert_done(mctx__socket_hold_to(held[k], places[k]));
      assert_int_equal(places[k], lab_get(held[k], SOL_SOCKET, SO_BINDTOIFINDEX));
      assert_done(mctx__socket_bind(held[k], &local));
      assert_done(mctx__socket_join(held[k], &groups[i], places[k]));
    }
    mctx__socket sender = lab_socket(6);
    assert_done(mctx__socket_set_interface(sender, 6, va));
    mctx__endpoint_set(&endpoint, &groups[i]);
    assert_done(mctx__socket_send(sender, &endpoint, "both", 4));
    for (size_t k = 0; k < 2; k++) {
      assert_int_equal(4, lab_receive(mctx__descriptor(held[k]), buffer, sizeof buffer));
      mctx__sleep(20000000);
      assert_int_equal(-1, recv(mctx__descriptor(held[k]), buffer, sizeof buffer, MSG_DONTWAIT));
    }
    assert_done(mctx__socket_set(sender, 6, MCTX__LOOPBACK, 0));
    assert_done(mctx__socket_send(sender, &endpoint, "there", 5));
    assert_int_equal(5, lab_receive(mctx__descriptor(held[1]), buffer, sizeof buffer));
    assert_int_equal(-1, recv(mctx__descriptor(held[0]), buffer, sizeof buffer, MSG_DONTWAIT));
    mctx__socket_close(sender);
    mctx__socket_close(held[0]);
    mctx__socket_close(held[1]);
  }
}

static int hold_when_refused(uint32_t code, mctx_status expected) {
  mctx__socket socket;
  int index = -1;
  socklen_t length = sizeof index;
  if (!lab_refuse(SYS_setsockopt, 2, SO_BINDTOIFINDEX, code)) return 77;
  if (mctx__socket_open(6, &socket).status != MCTX_OK) return 77;
  const mctx__result result = mctx__socket_hold_to(socket, (uint32_t)if_nametoindex("lo"));
  if (result.status != expected || result.os_code != (int32_t)code) return 1;
  if (getsockopt(mctx__descriptor(socket), SOL_SOCKET, SO_BINDTOIFINDEX, &index, &length) != 0) return 2;
  return index == 0 ? 0 : 3;
}

static int hold_without_rights(void) {
  return hold_when_refused(EPERM, MCTX_ERR_PERMISSION);
}

static int hold_on_an_old_kernel(void) {
  return hold_when_refused(ENOPROTOOPT, MCTX_ERR_UNSUPPORTED);
}

static void test_holding_that_is_refused(void **state) {
  (void)state;
  const int code = lab_child(hold_without_rights);
  if (code == 77) SKIP("this host has no IPv6, or allows no seccomp filter");
  assert_int_equal(0, code);
  assert_int_equal(0, lab_child(hold_on_an_old_kernel));
}

static void test_memberships_of_what_is_no_socket(void **state) {
  const mctx_address group = group_of(4, 1);
  const mctx_address source = source_of(4, 1);
  const mctx__socket none = MCTX__NO_SOCKET;
  (void)state;
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_join(none, &group, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_join_source(none, &group, 1, &source));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_leave(none, &group, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_filter(none, &group, 1, MCTX_INCLUDE, &source, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_hold_to(none, 1));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(test_joining_and_leaving),
      BOTH_FAMILIES(test_joining_from_one_source),
      BOTH_FAMILIES(test_an_interface_that_is_down_accepts),
      cmocka_unit_test(test_an_interface_too_narrow_for_ipv6_refuses),
      cmocka_unit_test(test_an_interface_too_narrow_for_a_while),
      BOTH_FAMILIES(test_leaving_what_died),
      BOTH_FAMILIES(test_leaving_what_died_under_an_index_used_again),
      cmocka_unit_test(test_a_socket_takes_twenty_groups),
      BOTH_FAMILIES(test_the_memory_of_a_socket_ends),
      BOTH_FAMILIES(test_no_membership_without_its_source_stays),
      BOTH_FAMILIES(test_filters_are_replaced),
      BOTH_FAMILIES(test_filters_of_what_is_not_joined),
      BOTH_FAMILIES(test_a_filter_too_long_changes_nothing),
      cmocka_unit_test(test_a_host_that_allows_long_filters),
      cmocka_unit_test(test_a_held_socket_gets_what_arrives_there_alone),
      cmocka_unit_test(test_holding_that_is_refused),
      cmocka_unit_test(test_memberships_of_what_is_no_socket),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The snapshot of the interfaces and the look-up of routes, in network namespaces of the tests' own. */
#include "lab.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/rtnl.h"

static mctx__interfaces load(void) {
  mctx__interfaces all;
  assert_done(mctx__interfaces_load(&all));
  return all;
}

/* Whether an interface has exactly this address, with its prefix length and scope. */
static bool has(const mctx__interfaces *all, const char *name, const char *text, uint8_t prefix,
                uint32_t scope_id) {
  const mctx__interface *item = lab_interface(all, name);
  mctx_address wanted = lab_address(text, 0, scope_id);
  wanted.prefix = prefix;
  for (uint32_t i = 0; i < item->info.address_count; i++) {
    if (lab_same(&wanted, &all->addresses[item->first_address + i])) return true;
  }
  return false;
}

/* What always holds. */
static void check_order(const mctx__interfaces *all) {
  uint32_t addresses = 0;
  for (uint32_t i = 0; i < all->count; i++) {
    assert_int_not_equal(0, all->items[i].info.index);
    assert_true(i == 0 || all->items[i - 1].info.index < all->items[i].info.index);
    assert_int_equal(addresses, all->items[i].first_address);
    assert_int_equal(if_nametoindex(all->items[i].info.name), all->items[i].info.index);
    addresses += all->items[i].info.address_count;
  }
  assert_int_equal(all->address_count, addresses);
}

/* ---- the snapshot ---- */

static void test_this_host_has_interfaces(void **state) {
  mctx__interfaces all = load();
  (void)state;
  assert_true(all.count >= 1);
  check_order(&all);
  mctx__interfaces_free(&all);
  assert_null(all.items);
  assert_int_equal(0, all.count);
  mctx__interfaces_free(&all);
}

static void test_an_empty_namespace(void **state) {
  (void)state;
  host_namespace();
  host_run("ip link set lo down && ip address flush dev lo");
  mctx__interfaces all = load();
  assert_int_equal(1, all.count);
  assert_string_equal("lo", all.items[0].info.name);
  assert_string_equal("lo", all.items[0].friendly);
  assert_int_equal(MCTX_INTERFACE_LOOPBACK, all.items[0].info.flags);
  assert_int_equal(0, all.address_count);
  assert_int_equal(0, all.default_index[0]);
  assert_int_equal(0, all.default_index[1]);
  mctx__interfaces_free(&all);

  mctx_capability_info info = {.size = sizeof info};
  mctx__capability_probe(MCTX_CAPABILITY_IPV6, &info);
  assert_true(info.state == MCTX_CAPABILITY_REFUSED || info.state == MCTX_CAPABILITY_ABSENT);
}

/* A snapshot once va has a carrier, or has none: the kernel takes its time to notice. */
static mctx__interfaces load_when(bool running) {
  enum { TRIES = 300, PAUSE_NS = 10000000 };
  mctx__interfaces all = load();
  for (int i = 0; i < TRIES; i++) {
    if (((lab_interface(&all, "va")->info.flags & MCTX_INTERFACE_RUNNING) != 0) == running) break;
    mctx__interfaces_free(&all);
    mctx__sleep(PAUSE_NS);
    all = load();
  }
  return all;
}

static void test_what_is_told_of_an_interface(void **state) {
  static const uint8_t hardware[] = {2, 0, 0, 0xab, 0xcd, 0xef};
  (void)state;
  host_namespace();
  lab_cable();
  host_run(
      "ip link set va down && ip link set va address 02:00:00:ab:cd:ef mtu 1400 alias 'The long way' && "
      "ip link set va up && ip link set vb down");
  mctx__interfaces all = load_when(false);
  check_order(&all);
  const mctx__interface *va = lab_interface(&all, "va");
  assert_string_equal("The long way", va->friendly);
  assert_int_equal(1400, va->info.mtu);
  assert_int_equal(sizeof hardware, va->info.hardware_length);
  assert_memory_equal(hardware, va->info.hardware, sizeof hardware);
  assert_int_equal(MCTX_INTERFACE_UP | MCTX_INTERFACE_MULTICAST | MCTX_INTERFACE_BROADCAST, va->info.flags);
  const uint32_t vb = lab_interface(&all, "vb")->info.flags;
  assert_int_equal(MCTX_INTERFACE_MULTICAST | MCTX_INTERFACE_BROADCAST, vb);
  assert_string_equal("vb", lab_interface(&all, "vb")->friendly);
  const uint32_t lo = lab_interface(&all, "lo")->info.flags;
  assert_int_equal(MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING | MCTX_INTERFACE_LOOPBACK, lo);
  mctx__interfaces_free(&all);

  host_run("ip link set vb up");
  all = load_when(true);
  assert_true((lab_interface(&all, "va")->info.flags & MCTX_INTERFACE_RUNNING) != 0);
  mctx__interfaces_free(&all);
}

static void test_addresses_of_all_kinds(void **state) {
  (void)state;
  host_namespace();
  lab_cable();
  host_run(
      "ip address add 10.8.0.1 peer 10.8.0.2/32 dev vb && ip -6 address add fd08::1 peer fd08::2/128 dev vb");
  host_run("ip -6 address add fe80::77/64 dev vb nodad && ip address add 10.9.0.2/16 dev va");
  mctx__interfaces all = load();
  const uint32_t index = lab_interface(&all, "vb")->info.index;
  check_order(&all);
  assert_true(has(&all, "lo", "127.0.0.1", 8, 0));
  assert_true(has(&all, "lo", "::1", 128, 0));
  assert_true(has(&all, "va", "10.9.0.1", 24, 0));
  assert_true(has(&all, "va", "10.9.0.2", 16, 0));
  assert_true(has(&all, "va", "fd09::1", 64, 0));
  assert_true(has(&all, "vb", "10.8.0.1", 32, 0)); /* its own, not its peer's */
  assert_true(has(&all, "vb", "fd08::1", 128, 0));
  assert_true(has(&all, "vb", "fe80::77", 64, index));
  assert_false(has(&all, "vb", "10.8.0.2", 32, 0));
  mctx__interfaces_free(&all);

  host_run("ip address flush dev va && ip address add 10.9.0.9/24 dev va");
  all = load();
  assert_true(has(&all, "va", "10.9.0.9", 24, 0));
  assert_false(has(&all, "va", "10.9.0.1", 24, 0));
  mctx__interfaces_free(&all);
}

static void test_a_bridge_owns_its_ports(void **state) {
  (void)state;
  host_namespace();
  lab_cable();
  host_run("ip link add br0 type bridge && ip link set br0 up && ip link set vb master br0");
  mctx__interfaces all = load();
  assert_true((lab_interface(&all, "vb")->info.flags & MCTX_INTERFACE_ENSLAVED) != 0);
  assert_int_equal(0, lab_interface(&all, "va")->info.flags & MCTX_INTERFACE_ENSLAVED);
  assert_int_equal(0, lab_interface(&all, "br0")->info.flags & MCTX_INTERFACE_ENSLAVED);
  mctx__interfaces_free(&all);
  host_run("ip link set vb nomaster");
  all = load();
  assert_int_equal(0, lab_interface(&all, "vb")->info.flags & MCTX_INTERFACE_ENSLAVED);
  mctx__interfaces_free(&all);
}

static void test_a_bond_owns_its_ports_and_a_vrf_does_not(void **state) {
  (void)state;
  host_namespace();
  lab_cable();
  const bool bond =
      host_try("ip link add t0 type bond 2>/dev/null && ip link set va down && ip link set va master t0");
  const bool vrf = host_try("ip link add t1 type vrf table 10 2>/dev/null && ip link set vb master t1");
  if (!bond && !vrf) SKIP("this kernel has neither bond nor vrf");
  mctx__interfaces all = load();
  if (bond) assert_true((lab_interface(&all, "va")->info.flags & MCTX_INTERFACE_ENSLAVED) != 0);
  if (vrf) assert_int_equal(0, lab_interface(&all, "vb")->info.flags & MCTX_INTERFACE_ENSLAVED);
  mctx__interfaces_free(&all);
}

static void test_hundreds_of_interfaces_and_thousands_of_addresses(void **state) {
  (void)state;
  host_namespace();
  host_run("for i in $(seq 150); do echo link add x$i type veth peer name y$i; done | ip -batch -");
  host_run(
      "for i in $(seq 10); do for k in $(seq 250); do echo address add 10.$i.$k.1/24 dev lo; done; done | "
      "ip -batch -");
  host_run("for i in $(seq 100); do echo address add fd00::$i/128 dev x7; done | ip -6 -batch -");
  mctx__interfaces all = load();
  assert_true(all.count >= 301);
  assert_true(all.address_count >= 2600);
  check_order(&all);
  for (int i = 1; i <= 150; i++) {
    char name[16];
    (void)snprintf(name, sizeof name, "y%d", i);
    assert_non_null(lab_interface(&all, name));
  }
  assert_int_equal(100, lab_interface(&all, "x7")->info.address_count);
  assert_true(has(&all, "lo", "10.10.250.1", 24, 0));
  assert_true(has(&all, "x7", "fd00::100", 128, 0));
  mctx__interfaces_free(&all);
}

/* The kernel's tables change all the time: each snapshot still holds together. */
static void test_snapshots_during_changes(void **state) {
  const int before = (int)descriptors_held();
  uint32_t taken = 0;
  (void)state;
  host_namespace();
  host_run(
      "(for i in $(seq 60); do ip link add t$i type veth peer name u$i; ip link set t$i up; "
      "ip address add 10.7.$i.1/24 dev t$i; [ $((i %% 2)) = 0 ] && ip link delete t$i; done; "
      "ip link add end0 type bridge) >/dev/null 2>&1 &");
  for (bool ended = false; !ended && taken < 100000; taken++) {
    mctx__interfaces all;
    assert_done(mctx__interfaces_load(&all));
    for (uint32_t i = 0, next = 0; i < all.count; i++) {
      assert_int_equal(next, all.items[i].first_address);
      next += all.items[i].info.address_count;
      if (strcmp(all.items[i].info.name, "end0") == 0) ended = true;
    }
    mctx__interfaces_free(&all);
  }
  assert_true(taken > 1);
  assert_int_equal(before, (int)descriptors_held());
}

/* Attributes of any form: the reader stays inside and comes to an end. */
static void test_attributes_that_are_broken(void **state) {
  (void)state;
  for (uint32_t seed = 0; seed < 20000; seed++) {
    unsigned char *bytes = test_malloc(seed % 64 + 1); /* of exactly that size, for the sanitizer */
    uint32_t random = seed * 2654435761u + 1;
    mctx__attribute next;
    size_t steps = 0;
    for (uint32_t i = 0; i <= seed % 64; i++) {
      random = random * 1664525u + 1013904223u;
      bytes[i] = (unsigned char)(i % 4 == 0 ? random >> 28 : i % 4 == 1 && seed % 8 != 0 ? 0 : random >> 24);
    }
    const mctx__attribute whole = {.data = bytes, .length = seed % 64};
    mctx__attributes attributes = mctx__attributes_in(&whole);
    for (; mctx__attributes_next(&attributes, &next); steps++) {
      assert_true(next.data >= bytes && next.data + next.length <= bytes + whole.length);
      (void)mctx__attribute_number(&next);
    }
    assert_true(steps <= whole.length / 4);
    test_free(bytes);
  }
}

/* ---- refusals ---- */

static int in_sandbox(void) {
  const mctx_address group = lab_address("239.1.2.3", 0, 0);
  mctx_capability_info info = {.size = sizeof info};
  mctx_address source;
  uint32_t index;
  mctx__interfaces all;
  if (!lab_refuse(SYS_socket, 0, AF_NETLINK, EPERM)) return 77;
  const mctx__result listed = mctx__interfaces_load(&all);
  const mctx__result routed = mctx__route_lookup(&group, 0, &(mctx_address){0}, &source, &index);
  mctx__capability_probe(MCTX_CAPABILITY_IPV4, &info); /* the sockets work all the same */
  if (listed.status != MCTX_ERR_PERMISSION || listed.os_code != EPERM) return 1;
  if (routed.status != MCTX_ERR_PERMISSION) return 2;
  return info.state == MCTX_CAPABILITY_AVAILABLE ? 0 : 3;
}

static void test_a_sandbox_that_refuses_netlink(void **state) {
  (void)state;
  const int code = lab_child(in_sandbox);
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
}

static int without_answers(void) {
  mctx__interfaces all;
  if (!lab_refuse(SYS_sendto, LAB_ANY, 0, EACCES)) return 77;
  const int before = (int)descriptors_held();
  if (mctx__interfaces_load(&all).status != MCTX_ERR_PERMISSION) return 1;
  return (int)descriptors_held() == before ? 0 : 2;
}

static int without_replies(void) {
  mctx__interfaces all;
  if (!lab_refuse(SYS_recvmsg, LAB_ANY, 0, EIO)) return 77;
  const mctx__result result = mctx__interfaces_load(&all);
  return result.status == MCTX_ERR_IO && result.os_code == EIO ? 0 : 1;
}

static void test_a_sandbox_that_refuses_the_questions(void **state) {
  (void)state;
  const int code = lab_child(without_answers);
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
  assert_int_equal(0, lab_child(without_replies));
}

/* ---- routes ---- */

/* `source` NULL: any. */
static mctx__result route(const char *group, uint32_t scope_id, uint32_t index, const mctx_address *source,
                          mctx_address *chosen, uint32_t *chosen_index) {
  static const mctx_address any;
  const mctx_address destination = lab_address(group, 5000, scope_id);
  *chosen = (mctx_address){0};
  *chosen_index = 0;
  return mctx__route_lookup(&destination, index, source != NULL ? source : &any, chosen, chosen_index);
}

static void assert_route(const char *group, uint32_t index, const char *source, uint32_t expected_index) {
  mctx_address chosen;
  uint32_t chosen_index;
  assert_done(route(group, 0, index, NULL, &chosen, &chosen_index));
  assert_int_equal(expected_index, chosen_index);
  if (source == NULL) {
    assert_int_equal(0, chosen.family);
  } else {
    const mctx_address wanted = lab_address(source, 0, 0);
    assert_memory_equal(wanted.bytes, chosen.bytes, sizeof wanted.bytes);
    assert_int_equal(wanted.family, chosen.family);
  }
}

static void assert_no_route(const char *group, uint32_t index) {
  mctx_address chosen;
  uint32_t chosen_index;
  assert_status(MCTX_ERR_NO_ROUTE, route(group, 0, index, NULL, &chosen, &chosen_index));
  assert_int_equal(0, chosen.family);
  assert_int_equal(0, chosen_index);
}

static void test_routes_of_ipv4(void **state) {
  mctx_address chosen;
  uint32_t chosen_index;
  (void)state;
  host_namespace();
  lab_cable();
  const uint32_t va = (uint32_t)if_nametoindex("va");
  const uint32_t vb = (uint32_t)if_nametoindex("vb");
  assert_no_route("239.1.2.3", 0);
  assert_route("239.1.2.3", va, "10.9.0.1", va); /* an interface needs no route */
  assert_route("224.0.0.251", va, "10.9.0.1", va);
  assert_route("239.1.2.3", vb, "10.9.0.1", vb); /* without an address it borrows one */
  assert_no_route("239.1.2.3", 12345);
  const mctx_address own = lab_address("10.9.0.1", 0, 0);
  assert_done(route("239.1.2.3", 0, 0, &own, &chosen, &chosen_index)); /* a source names its interface */
  assert_int_equal(va, chosen_index);
  assert_true(lab_same(&own, &chosen));
  const mctx_address foreign = lab_address("203.0.113.9", 0, 0);
  assert_status(MCTX_ERR_NO_ROUTE, route("239.1.2.3", 0, 0, &foreign, &chosen, &chosen_index));
  const mctx_address any = lab_address("0.0.0.0", 0, 0);
  assert_done(route("239.1.2.3", 0, va, &any, &chosen, &chosen_index)); /* the same as none */
  assert_true(lab_same(&own, &chosen));
  const mctx_address other_family = lab_address("fd09::1", 0, 0);
  assert_done(route("239.1.2.3", 0, va, &other_family, &chosen, &chosen_index)); /* none, for this family */

  host_run("ip route add default via 10.9.0.254");
  assert_route("239.1.2.3", 0, "10.9.0.1", va);
  host_run(
      "ip route add prohibit 239.7.0.0/16 && ip route add blackhole 239.8.0.0/16 && "
      "ip route add unreachable 239.9.0.0/16");
  assert_no_route("239.7.0.1", 0);
  assert_no_route("239.8.0.1", 0);
  assert_no_route("239.9.0.1", 0);
  host_run("ip link set va down");
  assert_no_route("239.1.2.3", va);
  assert_no_route("239.1.2.3", 0);
  host_run("ip link set va up && ip address flush dev va && ip address flush dev lo");
  assert_route("239.1.2.3", va, NULL, va); /* no address anywhere: from 0.0.0.0 */
}

static void test_routes_of_ipv6(void **state) {
  mctx_address chosen;
  uint32_t chosen_index;
  (void)state;
  host_namespace();
  lab_cable();
  if (!host_try("ip -6 address add fe80::a/64 dev va nodad && ip link set vb down"))
    SKIP("this host has no IPv6");
  const uint32_t va = (uint32_t)if_nametoindex("va");
  const uint32_t vb = (uint32_t)if_nametoindex("vb");
  assert_no_route("ff0e::1", (uint32_t)if_nametoindex("lo"));
  assert_route("ff0e::1", 0, "fd09::1", va);
  assert_route("ff0e::1", va, "fd09::1", va);
  assert_done(route("ff02::1", va, 0, NULL, &chosen, &chosen_index)); /* the scope names the interface */
  assert_int_equal(va, chosen_index);
  assert_int_equal(0xfe, chosen.bytes[0]);
  assert_int_equal(va, chosen.scope_id);
  assert_no_route("ff0e::1", vb); /* down */
  assert_no_route("ff0e::1", 12345);
  const mctx_address source = lab_address("fe80::a", 0, va);
  assert_done(route("ff12::1", 0, 0, &source, &chosen, &chosen_index)); /* so does a link-local source */
  assert_int_equal(va, chosen_index);
  assert_true(lab_same(&source, &chosen));
  host_run("ip link set vb up && ip -6 address add fe80::b/64 dev vb nodad");
  const mctx_address on_vb = lab_address("fe80::b", 0, vb);
  assert_done(route("ff12::1", 0, 0, &on_vb, &chosen, &chosen_index));
  assert_int_equal(vb, chosen_index);
  assert_true(lab_same(&on_vb, &chosen));
  host_run("ip -6 route add local ff00::/8 dev lo table local metric 1");
  assert_route("ff0e::1", 0, "::1", (uint32_t)if_nametoindex("lo"));
}

static void test_the_default_interface_follows_the_routes(void **state) {
  (void)state;
  host_namespace();
  lab_cable();
  host_run("ip -6 address add fe80::b/64 dev vb nodad");
  const uint32_t va = (uint32_t)if_nametoindex("va");
  const uint32_t vb = (uint32_t)if_nametoindex("vb");
  mctx__interfaces all = load();
  assert_int_equal(0, all.default_index[0]);
  assert_int_not_equal(0, all.default_index[1]); /* IPv6 takes an interface that is up */
  mctx__interfaces_free(&all);

  host_run("ip route add default via 10.9.0.254 && ip -6 route add ff00::/8 dev vb table local metric 1");
  all = load();
  assert_int_equal(va, all.default_index[0]);
  assert_int_equal(vb, all.default_index[1]);
  mctx__interfaces_free(&all);

  host_run("ip route add 224.0.0.0/4 dev lo && ip link set vb down");
  all = load();
  assert_int_equal(if_nametoindex("lo"), all.default_index[0]); /* as the kernel says */
  assert_int_equal(va, all.default_index[1]);
  mctx__interfaces_free(&all);

  host_run("ip route replace unreachable 224.0.0.0/4 && ip link set va down");
  all = load();
  assert_int_equal(0, all.default_index[0]);
  assert_int_equal(0, all.default_index[1]);
  mctx__interfaces_free(&all);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_this_host_has_interfaces),
      cmocka_unit_test(test_attributes_that_are_broken),
      cmocka_unit_test(test_a_sandbox_that_refuses_netlink),
      cmocka_unit_test(test_a_sandbox_that_refuses_the_questions),
      cmocka_unit_test(test_an_empty_namespace),
      cmocka_unit_test(test_what_is_told_of_an_interface),
      cmocka_unit_test(test_addresses_of_all_kinds),
      cmocka_unit_test(test_a_bridge_owns_its_ports),
      cmocka_unit_test(test_a_bond_owns_its_ports_and_a_vrf_does_not),
      cmocka_unit_test(test_hundreds_of_interfaces_and_thousands_of_addresses),
      cmocka_unit_test(test_snapshots_during_changes),
      cmocka_unit_test(test_routes_of_ipv4),
      cmocka_unit_test(test_routes_of_ipv6),
      cmocka_unit_test(test_the_default_interface_follows_the_routes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

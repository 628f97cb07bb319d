/* SPDX-License-Identifier: MIT */
/* Sending on real links, in network namespaces of the tests' own: what happens when a link, an address, a route
 * or the room in a queue is missing. */
#include "lab.h"

#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PORT = 5000 };

static uint32_t va;
static uint32_t vb;

static void cable_up(void) {
  host_namespace();
  lab_cable();
  va = (uint32_t)if_nametoindex("va");
  vb = (uint32_t)if_nametoindex("vb");
}

static const char *group_text(uint32_t family) {
  return family == 6 ? "ff0e::db8:0:1" : "233.252.0.1";
}

static mctx_address group_of(uint32_t family) {
  return lab_address(group_text(family), PORT, 0);
}

static mctx__endpoint endpoint_of(uint32_t family) {
  const mctx_address group = group_of(family);
  mctx__endpoint endpoint;
  mctx__endpoint_set(&endpoint, &group);
  return endpoint;
}

static const char *source_text(uint32_t family, int number) {
  static char text[32];
  (void)snprintf(text, sizeof text, family == 6 ? "fd09::%d" : "10.9.0.%d", number);
  return text;
}

static void source_change(const char *what, uint32_t family, int number) {
  host_run("ip %s address %s %s/%d dev va %s", family == 6 ? "-6" : "-4", what, source_text(family, number),
           family == 6 ? 64 : 24, family == 6 && what[0] == 'a' ? "nodad" : "");
}

static mctx__socket sender_on(uint32_t family, uint32_t index) {
  mctx__socket sender = lab_socket(family);
  assert_done(mctx__socket_set_interface(sender, family, index));
  return sender;
}

static mctx__result send_one(mctx__socket sender, uint32_t family) {
  const mctx__endpoint endpoint = endpoint_of(family);
  return mctx__socket_send(sender, &endpoint, "one", 3);
}

/* One and many fail alike. */
static void assert_send(mctx_status expected, mctx__socket sender, uint32_t family) {
  const mctx__endpoint endpoint = endpoint_of(family);
  const mctx_slice slices[2] = {{.data = "many", .length = 4}, {.data = NULL, .length = 0}};
  uint32_t taken = 77;
  assert_status(expected, send_one(sender, family));
  assert_status(expected, lab_send_many(sender, &endpoint, slices, 2, &taken));
  assert_int_equal(expected == MCTX_OK ? 2 : 0, taken);
}

/* ---- arriving ---- */

static void check_arrival(uint32_t family) {
  const mctx_address group = group_of(family);
  const int receiver = lab_receiver(&group, va);
  mctx__socket sender = sender_on(family, va);
  mctx__endpoint nobody;
  char buffer[16];
  assert_done(send_one(sender, family));
  assert_int_equal(3, lab_receive(receiver, buffer, sizeof buffer));
  assert_done(mctx__socket_connect(sender, family, &group));
  mctx__endpoint_set(&nobody, NULL);
  assert_done(mctx__socket_send(sender, &nobody, "again", 5));
  assert_int_equal(5, lab_receive(receiver, buffer, sizeof buffer));
  assert_done(mctx__socket_set(sender, family, MCTX__LOOPBACK, 0));
  assert_done(mctx__socket_send(sender, &nobody, "quiet", 5));
  mctx__sleep(50000000);
  assert_int_equal(-1, recv(receiver, buffer, sizeof buffer, MSG_DONTWAIT));
  mctx__socket_close(sender);
  (void)close(receiver);
}

static void test_multicast_reaches_members_of_this_host(void **state) {
  (void)state;
  cable_up();
  check_arrival(4);
  check_arrival(6);
}

/* An unconnected sender that shares the port, and joined nothing. */
static void check_isolation(uint32_t family) {
  const mctx_address group = group_of(family);
  const mctx_address any = lab_address(family == 6 ? "::" : "0.0.0.0", PORT, 0);
  const int receiver = lab_receiver(&group, va);
  for (int64_t isolated = 0; isolated <= 1; isolated++) {
    mctx__socket sender = sender_on(family, va);
    uint32_t ready;
    assert_done(mctx__socket_set(sender, family, MCTX__REUSE_PORT, 1));
    assert_done(mctx__socket_set(sender, family, MCTX__ISOLATED, isolated));
    assert_done(mctx__socket_bind(sender, &any));
    assert_done(send_one(sender, family));
    assert_status(
        isolated != 0 ? MCTX_ERR_TIMEOUT : MCTX_OK,
        mctx__wait(sender, MCTX_READABLE, MCTX__NO_EVENT, mctx__clock_monotonic() + 50000000, &ready));
    mctx__socket_close(sender);
  }
  (void)close(receiver);
}

static void test_an_isolated_sender_gets_nothing(void **state) {
  (void)state;
  cable_up();
  check_isolation(4);
  check_isolation(6);
}

static void test_the_socket_tells_the_scope_of_its_source(void **state) {
  const mctx_address group = lab_address("ff12::1", PORT, 0);
  mctx_address scoped = group;
  mctx_address local;
  (void)state;
  cable_up();
  host_run("ip -6 address flush dev va && ip -6 address add fe80::a/64 dev va nodad");
  mctx__socket sender = sender_on(6, va);
  assert_done(mctx__socket_connect(sender, 6, &group)); /* no scope but the option's */
  assert_done(mctx__socket_local(sender, &local));
  assert_int_equal(0xfe, local.bytes[0]);
  assert_int_equal(va, local.scope_id);
  mctx__socket_close(sender);

  const mctx_address wide = group_of(6);
  sender = sender_on(6, va);
  assert_done(mctx__socket_connect(sender, 6, &wide)); /* here the system itself does not tell the scope */
  assert_done(mctx__socket_local(sender, &local));
  assert_int_equal(0xfe, local.bytes[0]);
  assert_int_equal(va, local.scope_id);
  mctx__socket_close(sender);

  sender = lab_socket(6);
  scoped.scope_id = va;
  assert_done(mctx__socket_connect(sender, 6, &scoped)); /* this binds to the device, */
  assert_int_equal(va, lab_get(sender, SOL_SOCKET, SO_BINDTOIFINDEX));
  assert_done(mctx__socket_connect(sender, 6, NULL)); /* and this undoes it */
  assert_int_equal(0, lab_get(sender, SOL_SOCKET, SO_BINDTOIFINDEX));
  mctx__socket_close(sender);

  const mctx_address source = lab_address("fe80::a", 0, va);
  sender = lab_socket(6);
  assert_done(mctx__socket_bind(sender, &source));
  assert_done(mctx__socket_local(sender, &local));
  assert_int_equal(va, local.scope_id);
  mctx__socket_close(sender);
}

static void check_fragments(uint32_t family) {
  static uint8_t payload[4000];
  const mctx_address group = group_of(family);
  const mctx__endpoint endpoint = endpoint_of(family);
  const int receiver = lab_receiver(&group, vb);
  mctx__socket sender = sender_on(family, va);
  mctx__drained drained;
  assert_done(mctx__socket_send(sender, &endpoint, payload, sizeof payload));
  assert_done(mctx__socket_set(sender, family, MCTX__DONT_FRAGMENT, 0));
  assert_done(mctx__socket_send(sender, &endpoint, payload, sizeof payload));
  assert_done(mctx__socket_set(sender, family, MCTX__DONT_FRAGMENT, 1));
  assert_status(MCTX_ERR_DATAGRAM_TOO_LARGE, mctx__socket_send(sender, &endpoint, payload, sizeof payload));
  assert_done(mctx__socket_send(sender, &endpoint, payload, family == 6 ? 1452 : 1472));
  assert_status(MCTX_ERR_DATAGRAM_TOO_LARGE,
                mctx__socket_send(sender, &endpoint, payload, family == 6 ? 1453 : 1473));
  mctx__socket_drain_errors(sender, family, &drained);
  mctx__socket_close(sender);
  (void)close(receiver);
}

static void test_fragmentation(void **state) {
  (void)state;
  cable_up();
  check_fragments(4);
  check_fragments(6);
}

/* ---- no way ---- */

static void test_without_a_route(void **state) {
  (void)state;
  host_namespace();
  for (uint32_t family = 4; family <= 6; family += 2) {
    const mctx_address group = group_of(family);
    mctx__socket sender = lab_socket(family);
    assert_send(MCTX_ERR_NO_ROUTE, sender, family);
    assert_status(MCTX_ERR_NO_ROUTE, mctx__socket_connect(sender, family, &group));
    mctx__socket_close(sender);
  }
}

static void test_an_interface_without_an_ipv6_address(void **state) {
  (void)state;
  cable_up();
  host_run("ip -6 address flush dev va");
  mctx__socket sender = sender_on(6, va);
  const mctx_address group = group_of(6);
  assert_send(MCTX_ERR_NO_ROUTE, sender, 6);
  assert_status(MCTX_ERR_NO_ROUTE, mctx__socket_connect(sender, 6, &group));
  source_change("add", 6, 4);
  assert_send(MCTX_OK, sender, 6);
  mctx__socket_close(sender);
}

/* IPv6 says the same of an interface that is down and of one that is gone; IPv4 tells them apart. */
static void test_an_interface_that_is_down_or_gone(void **state) {
  (void)state;
  cable_up();
  mctx__socket v4 = sender_on(4, va);
  mctx__socket v4_bound = lab_socket(4);
  mctx__socket v6 = sender_on(6, va);
  mctx__socket v6_scoped = lab_socket(6);
  mctx__endpoint scoped;
  const mctx_address group = lab_address("ff12::1", PORT, va);
  mctx__endpoint_set(&scoped, &group);
  assert_done(mctx__socket_bind_device(v4_bound, "va"));
  assert_send(MCTX_OK, v4, 4);
  assert_send(MCTX_OK, v4_bound, 4);
  assert_send(MCTX_OK, v6, 6);

  host_run("ip link set va down");
  assert_send(MCTX_ERR_NO_ROUTE, v4, 4);
  assert_send(MCTX_ERR_NO_ROUTE, v4_bound, 4);
  assert_send(MCTX_ERR_NO_ROUTE, v6, 6);
  assert_status(MCTX_ERR_NO_ROUTE, mctx__socket_send(v6_scoped, &scoped, "x", 1));

  host_run("ip link set va up && ip -6 address add fd09::1/64 dev va nodad");
  assert_send(MCTX_OK, v4, 4);
  assert_send(MCTX_OK, v4_bound, 4);
  assert_send(MCTX_OK, v6, 6);

  host_run("ip link delete va");
  assert_send(MCTX_ERR_INTERFACE_GONE, v4, 4);
  assert_send(MCTX_ERR_INTERFACE_GONE, v4_bound, 4);
  assert_send(MCTX_ERR_NO_ROUTE, v6, 6);
  assert_status(MCTX_ERR_NO_ROUTE, mctx__socket_send(v6_scoped, &scoped, "x", 1));
  mctx__socket_close(v4);
  mctx__socket_close(v4_bound);
  mctx__socket_close(v6);
  mctx__socket_close(v6_scoped);
}

/* IPv4 says that there is no route; IPv6 goes on sending from the address. */
static void test_a_source_that_went_away(void **state) {
  (void)state;
  cable_up();
  for (uint32_t family = 4; family <= 6; family += 2) {
    for (int connected = 0; connected <= 1; connected++) {
      const mctx_address group = group_of(family);
      const mctx_address source = lab_address(source_text(family, 2), 0, 0);
      mctx__socket sender = sender_on(family, va);
      mctx__endpoint nobody;
      mctx__endpoint_set(&nobody, NULL);
      source_change("add", family, 2);
      assert_done(mctx__socket_bind(sender, &source));
      if (connected != 0) assert_done(mctx__socket_connect(sender, family, &group));
      source_change("del", family, 2);
      const mctx_status expected = family == 4 ? MCTX_ERR_NO_ROUTE : MCTX_OK;
      assert_status(expected,
                    connected != 0 ? mctx__socket_send(sender, &nobody, "x", 1) : send_one(sender, family));
      source_change("add", family, 2);
      assert_done(connected != 0 ? mctx__socket_send(sender, &nobody, "x", 1) : send_one(sender, family));
      source_change("del", family, 2);
      mctx__socket_close(sender);
    }
  }
}

/* Sends one and many to a guarded endpoint. */
static void assert_guarded(mctx_status expected, mctx__socket sender, const mctx__endpoint *endpoint) {
  const mctx_slice slices[2] = {{.data = "many", .length = 4}, {.data = NULL, .length = 0}};
  uint32_t taken = 77;
  assert_status(expected, mctx__socket_send(sender, endpoint, "one", 3));
  assert_status(expected, lab_send_many(sender, endpoint, slices, 2, &taken));
  assert_int_equal(expected == MCTX_OK ? 2 : 0, taken);
}

/* Without a guard, IPv6 would send from an address that is gone. */
static void test_a_guarded_source(void **state) {
  const mctx_address group = group_of(6);
  mctx_address from;
  (void)state;
  cable_up();
  for (int connected = 0; connected <= 1; connected++) {
    const mctx_address source = lab_address(source_text(6, 2), 0, 0);
    const int receiver = lab_receiver(&group, va);
    mctx__socket sender = sender_on(6, va);
    mctx__endpoint endpoint;
    mctx__endpoint unguarded;
    char buffer[16];
    source_change("add", 6, 2);
    assert_done(mctx__socket_bind(sender, &source));
    if (connected != 0) assert_done(mctx__socket_connect(sender, 6, &group));
    mctx__endpoint_set(&endpoint, connected != 0 ? NULL : &group);
    unguarded = endpoint;
    mctx__endpoint_guard(&endpoint, &source);
    assert_guarded(MCTX_OK, sender, &endpoint);
    struct sockaddr_storage native = {0};
    socklen_t length = sizeof native;
    assert_int_equal(3, recvfrom(receiver, buffer, sizeof buffer, 0, (struct sockaddr *)&native, &length));
    from = mctx__sockaddr_get(&native, length);
    assert_memory_equal(source.bytes, from.bytes, sizeof from.bytes);
    assert_int_equal(4, lab_receive(receiver, buffer, sizeof buffer));
    assert_int_equal(0, lab_receive(receiver, buffer, sizeof buffer));
    source_change("del", 6, 2);
    assert_done(mctx__socket_send(sender, &unguarded, "x", 1));
    assert_guarded(MCTX_ERR_NO_ROUTE, sender, &endpoint);
    source_change("add", 6, 2);
    assert_guarded(MCTX_OK, sender, &endpoint);
    source_change("del", 6, 2);
    mctx__socket_close(sender);
    (void)close(receiver);
  }
}

static void test_sources_that_need_no_guard(void **state) {
  const mctx_address sources[] = {lab_address("10.9.0.1", 0, 0), lab_address("fe80::1", 0, 3)};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    mctx__endpoint endpoint = endpoint_of(sources[i].family);
    const mctx__endpoint before = endpoint;
    mctx__endpoint_guard(&endpoint, &sources[i]);
    assert_memory_equal(&before, &endpoint, sizeof endpoint);
  }
}

/* The source that the system chose when the socket was connected. */
static void test_a_chosen_source_that_was_replaced(void **state) {
  const mctx_address group = group_of(4);
  mctx__endpoint nobody;
  mctx_address local;
  (void)state;
  cable_up();
  mctx__endpoint_set(&nobody, NULL);
  mctx__socket sender = sender_on(4, va);
  assert_done(mctx__socket_connect(sender, 4, &group));
  source_change("del", 4, 1);
  source_change("add", 4, 7);
  assert_status(MCTX_ERR_NO_ROUTE, mctx__socket_send(sender, &nobody, "x", 1));
  assert_done(mctx__socket_connect(sender, 4, NULL));
  assert_done(mctx__socket_connect(sender, 4, &group));
  assert_done(mctx__socket_send(sender, &nobody, "x", 1));
  assert_done(mctx__socket_local(sender, &local));
  assert_int_equal(7, local.bytes[3]);
  mctx__socket_close(sender);
}

static void test_routes_that_refuse(void **state) {
  (void)state;
  cable_up();
  mctx__socket sender = lab_socket(4);
  host_run("ip route add prohibit 224.0.0.0/4");
  assert_send(MCTX_ERR_PERMISSION, sender, 4);
  host_run("ip route replace unreachable 224.0.0.0/4");
  assert_send(MCTX_ERR_UNREACHABLE, sender, 4);
  mctx__socket_close(sender);
}

static void test_a_firewall(void **state) {
  (void)state;
  cable_up();
  if (!host_try("iptables -A OUTPUT -p udp --dport %d -j DROP 2>/dev/null", PORT))
    SKIP("there is no iptables here");
  mctx__socket sender = sender_on(4, va);
  assert_send(MCTX_ERR_FIREWALL, sender, 4);
  host_run("iptables -F OUTPUT");
  assert_send(MCTX_OK, sender, 4);
  mctx__socket_close(sender);
}

/* ---- queues ---- */

/* A link of 800 kbit/s with a queue of so many bytes. */
static void slow_link(unsigned queue) {
  host_run("tc qdisc replace dev va root tbf rate 800kbit burst 4kb limit %u", queue);
}

static void test_a_full_send_buffer_would_block(void **state) {
  static uint8_t payload[1000];
  (void)state;
  cable_up();
  slow_link(1000000);
  for (uint32_t family = 4; family <= 6; family += 2) {
    const mctx__endpoint endpoint = endpoint_of(family);
    mctx__socket sender = sender_on(family, va);
    mctx__result waited = MCTX__DONE;
    uint32_t ready;
    assert_done(mctx__socket_set(sender, family, MCTX__SEND_BUFFER, 16384));
    for (int tries = 0; tries < 10 && waited.status == MCTX_OK; tries++) { /* the link makes room meanwhile */
      mctx__result result = MCTX__DONE;
      for (int sent = 0; sent < 1000 && result.status == MCTX_OK; sent++)
        result = mctx__socket_send(sender, &endpoint, payload, sizeof payload);
      assert_status(MCTX_ERR_WOULD_BLOCK, result);
      waited = mctx__wait(sender, MCTX_WRITABLE, MCTX__NO_EVENT, 0, &ready);
    }
    assert_status(MCTX_ERR_TIMEOUT, waited);
    assert_done(mctx__wait(sender, MCTX_WRITABLE, MCTX__NO_EVENT, mctx__clock_monotonic() + INT64_C(5000000000),
                           &ready));
    assert_int_equal(MCTX_WRITABLE, ready);
    assert_done(mctx__socket_send(sender, &endpoint, payload, sizeof payload));
    mctx__socket_close(sender);
  }
}

/* Many at once, into a buffer that fills: the taken ones are exactly those that arrive. */
static void test_what_was_taken_arrives(void **state) {
  enum { TOTAL = 100, SIZE = 500 }; /* what a default receive buffer holds */
  static uint8_t payload[TOTAL][SIZE];
  uint8_t buffer[SIZE];
  (void)state;
  cable_up();
  slow_link(1000000);
  for (uint32_t family = 4; family <= 6; family += 2) {
    const mctx_address group = group_of(family);
    const mctx__endpoint endpoint = endpoint_of(family);
    const int receiver = lab_receiver(&group, vb);
    mctx__socket sender = sender_on(family, va);
    mctx_slice slices[TOTAL];
    uint32_t done = 0;
    uint32_t blocked = 0;
    host_run("echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter");
    host_run("echo 0 >/proc/sys/net/ipv4/conf/vb/rp_filter");
    host_run("echo 1 >/proc/sys/net/ipv4/conf/vb/accept_local");
    assert_done(mctx__socket_set(sender, family, MCTX__SEND_BUFFER, 8192));
    assert_done(mctx__socket_set(sender, family, MCTX__LOOPBACK, 0));
    for (uint32_t i = 0; i < TOTAL; i++) {
      memset(payload[i], (int)(i % 251), SIZE);
      slices[i] = (mctx_slice){.data = payload[i], .length = SIZE};
    }
    while (done < TOTAL) {
      uint32_t taken;
      uint32_t ready;
      const mctx__result result = lab_send_many(sender, &endpoint, slices + done, TOTAL - done, &taken);
      done += taken;
      if (result.status == MCTX_OK) continue;
      assert_status(MCTX_ERR_WOULD_BLOCK, result);
      assert_int_equal(0, taken);
      blocked++;
      assert_done(mctx__wait(sender, MCTX_WRITABLE, MCTX__NO_EVENT,
                             mctx__clock_monotonic() + INT64_C(5000000000), &ready));
    }
    assert_true(blocked > 0);
    for (uint32_t i = 0; i < TOTAL; i++) {
      assert_int_equal(SIZE, lab_receive(receiver, buffer, sizeof buffer));
      assert_memory_equal(payload[i], buffer, SIZE);
    }
    mctx__sleep(50000000);
    assert_int_equal(-1, recv(receiver, buffer, sizeof buffer, MSG_DONTWAIT));
    mctx__socket_close(sender);
    (void)close(receiver);
  }
}

static void test_a_full_device_queue(void **state) {
  static uint8_t payload[1000];
  (void)state;
  cable_up();
  slow_link(20000);
  for (uint32_t family = 4; family <= 6; family += 2) {
    for (int64_t reported = 0; reported <= 1; reported++) {
      const mctx__endpoint endpoint = endpoint_of(family);
      mctx__socket sender = sender_on(family, va);
      mctx__drained drained;
      uint32_t full = 0;
      assert_done(mctx__socket_set(sender, family, MCTX__ERROR_QUEUE, reported));
      assert_done(mctx__socket_set(sender, family, MCTX__SEND_BUFFER, 1000000));
      for (int i = 0; i < 200; i++) {
        const mctx__result result = mctx__socket_send(sender, &endpoint, payload, sizeof payload);
        if (result.status == MCTX_OK) continue;
        assert_status(MCTX_ERR_QUEUE_FULL, result);
        assert_int_equal(ENOBUFS, result.os_code);
        full++;
      }
      assert_true(reported != 0 ? full > 50 : full == 0);
      mctx__socket_drain_errors(sender, family, &drained);
      mctx__socket_close(sender);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_multicast_reaches_members_of_this_host),
      cmocka_unit_test(test_an_isolated_sender_gets_nothing),
      cmocka_unit_test(test_the_socket_tells_the_scope_of_its_source),
      cmocka_unit_test(test_fragmentation),
      cmocka_unit_test(test_without_a_route),
      cmocka_unit_test(test_an_interface_without_an_ipv6_address),
      cmocka_unit_test(test_an_interface_that_is_down_or_gone),
      cmocka_unit_test(test_a_source_that_went_away),
      cmocka_unit_test(test_a_guarded_source),
      cmocka_unit_test(test_sources_that_need_no_guard),
      cmocka_unit_test(test_a_chosen_source_that_was_replaced),
      cmocka_unit_test(test_routes_that_refuse),
      cmocka_unit_test(test_a_firewall),
      cmocka_unit_test(test_a_full_send_buffer_would_block),
      cmocka_unit_test(test_what_was_taken_arrives),
      cmocka_unit_test(test_a_full_device_queue),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Sockets on the loopback interface: options, adoption, binding, connecting, sending, errors. */
#include "lab.h"

#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t loopback_index(void) {
  return (uint32_t)if_nametoindex("lo");
}

static mctx_address loopback_of(uint32_t family) {
  return lab_address(family == 6 ? "::1" : "127.0.0.1", 0, 0);
}

/* A pair on the loopback interface: a receiver, and the endpoint that leads to it. */
static mctx__socket receiver_open(uint32_t family, mctx__endpoint *endpoint) {
  const mctx_address local = loopback_of(family);
  mctx__socket receiver = lab_socket(family);
  mctx_address bound;
  assert_done(mctx__socket_bind(receiver, &local));
  assert_done(mctx__socket_local(receiver, &bound));
  assert_int_equal(family, bound.family);
  assert_int_not_equal(0, bound.port);
  mctx__endpoint_set(endpoint, &bound);
  return receiver;
}

/* An address of this host where nobody listens. */
static mctx_address closed_port(uint32_t family) {
  mctx__endpoint unused;
  mctx_address peer;
  mctx__socket gone = receiver_open(family, &unused);
  assert_done(mctx__socket_local(gone, &peer));
  mctx__socket_close(gone);
  return peer;
}

static bool has_ipv6(void) {
  const mctx_address local = loopback_of(6);
  mctx__socket socket;
  if (mctx__socket_open(6, &socket).status != MCTX_OK) return false;
  const mctx__result result = mctx__socket_bind(socket, &local);
  mctx__socket_close(socket);
  return result.status == MCTX_OK;
}

/* Runs a test's body for each family that this host has. */
static void both_families(void (*body)(uint32_t family)) {
  body(4);
  if (has_ipv6()) {
    body(6);
  } else {
    print_message("without IPv6, which this host has not\n");
  }
}

/* ---- opening and options ---- */

static void check_opened(uint32_t family) {
  mctx__socket socket = lab_socket(family);
  const int descriptor = mctx__descriptor(socket);
  assert_true((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
  assert_true((fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0);
  assert_int_equal(SOCK_DGRAM, lab_get(socket, SOL_SOCKET, SO_TYPE));
  assert_int_equal(family == 6 ? AF_INET6 : AF_INET, lab_get(socket, SOL_SOCKET, SO_DOMAIN));
  if (family == 6) assert_int_equal(1, lab_get(socket, IPPROTO_IPV6, IPV6_V6ONLY));
  const mctx_os_handle native = mctx__socket_native(socket);
  assert_int_equal(MCTX_OS_DESCRIPTOR, native.type);
  assert_int_equal(descriptor, native.value);
  mctx__socket_close(socket);
  assert_true(fcntl(descriptor, F_GETFD) < 0);
}

static void test_a_new_socket(void **state) {
  (void)state;
  both_families(check_opened);
  assert_int_equal(MCTX_OS_NONE, mctx__socket_native(MCTX__NO_SOCKET).type);
  mctx__socket_close(MCTX__NO_SOCKET);
}

static const struct {
  mctx__option option;
  int64_t value;
  int native;
  int level[2];
  int name[2];
} settings[] = {
    {MCTX__HOP_LIMIT, 0, 0, {IPPROTO_IP, IPPROTO_IPV6}, {IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS}},
    {MCTX__HOP_LIMIT, 255, 255, {IPPROTO_IP, IPPROTO_IPV6}, {IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS}},
    {MCTX__LOOPBACK, 0, 0, {IPPROTO_IP, IPPROTO_IPV6}, {IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP}},
    {MCTX__LOOPBACK, 1, 1, {IPPROTO_IP, IPPROTO_IPV6}, {IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP}},
    {MCTX__DSCP, 46, 184, {IPPROTO_IP, IPPROTO_IPV6}, {IP_TOS, IPV6_TCLASS}},
    {MCTX__DSCP, 63, 252, {IPPROTO_IP, IPPROTO_IPV6}, {IP_TOS, IPV6_TCLASS}},
    {MCTX__DSCP, 0, 0, {IPPROTO_IP, IPPROTO_IPV6}, {IP_TOS, IPV6_TCLASS}},
    {MCTX__REUSE_PORT, 1, 1, {SOL_SOCKET, SOL_SOCKET}, {SO_REUSEADDR, SO_REUSEADDR}},
    {MCTX__REUSE_PORT, 0, 0, {SOL_SOCKET, SOL_SOCKET}, {SO_REUSEADDR, SO_REUSEADDR}},
    {MCTX__ERROR_QUEUE, 1, 1, {IPPROTO_IP, IPPROTO_IPV6}, {IP_RECVERR, IPV6_RECVERR}},
    {MCTX__ERROR_QUEUE, 0, 0, {IPPROTO_IP, IPPROTO_IPV6}, {IP_RECVERR, IPV6_RECVERR}},
    {MCTX__DONT_FRAGMENT, 1, IP_PMTUDISC_DO, {IPPROTO_IP, IPPROTO_IPV6}, {IP_MTU_DISCOVER, IPV6_MTU_DISCOVER}},
    {MCTX__DONT_FRAGMENT,
     0,
     IP_PMTUDISC_DONT,
     {IPPROTO_IP, IPPROTO_IPV6},
     {IP_MTU_DISCOVER, IPV6_MTU_DISCOVER}},
    {MCTX__PRIORITY, 6, 6, {SOL_SOCKET, SOL_SOCKET}, {SO_PRIORITY, SO_PRIORITY}},
    {MCTX__PRIORITY, 0, 0, {SOL_SOCKET, SOL_SOCKET}, {SO_PRIORITY, SO_PRIORITY}},
    {MCTX__ISOLATED, 1, 0, {IPPROTO_IP, IPPROTO_IPV6}, {49, 29}},
    {MCTX__ISOLATED, 0, 1, {IPPROTO_IP, IPPROTO_IPV6}, {49, 29}},
    {MCTX__COALESCING, 1, 1, {IPPROTO_UDP, IPPROTO_UDP}, {UDP_GRO, UDP_GRO}},
    {MCTX__COALESCING, 0, 0, {IPPROTO_UDP, IPPROTO_UDP}, {UDP_GRO, UDP_GRO}},
    {MCTX__SEGMENT_SIZE, 1400, 1400, {IPPROTO_UDP, IPPROTO_UDP}, {UDP_SEGMENT, UDP_SEGMENT}},
    {MCTX__SEGMENT_SIZE, 0, 0, {IPPROTO_UDP, IPPROTO_UDP}, {UDP_SEGMENT, UDP_SEGMENT}},
    {MCTX__CORKED, 1, 1, {IPPROTO_UDP, IPPROTO_UDP}, {UDP_CORK, UDP_CORK}},
    {MCTX__CORKED, 0, 0, {IPPROTO_UDP, IPPROTO_UDP}, {UDP_CORK, UDP_CORK}},
};

static void check_options(uint32_t family) {
  mctx__socket socket = lab_socket(family);
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    int64_t value = -7;
    assert_done(mctx__socket_set(socket, family, settings[i].option, settings[i].value));
    assert_int_equal(settings[i].native,
                     lab_get(socket, settings[i].level[family == 6], settings[i].name[family == 6]));
    assert_done(mctx__socket_get(socket, family, settings[i].option, &value));
    assert_int_equal(settings[i].value, value);
  }
  mctx__socket_close(socket);
}

static void test_options_are_set_and_read(void **state) {
  (void)state;
  both_families(check_options);
}

static void check_fragmentation(uint32_t family) {
  const int level = family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
  const int name = family == 6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER;
  mctx__socket socket = lab_socket(family);
  for (int native = IP_PMTUDISC_DONT; native <= IP_PMTUDISC_OMIT; native++) {
    int64_t value = -7;
    assert_int_equal(0, setsockopt(mctx__descriptor(socket), level, name, &native, sizeof native));
    assert_done(mctx__socket_get(socket, family, MCTX__DONT_FRAGMENT, &value));
    if (native == IP_PMTUDISC_WANT) assert_int_equal(MCTX_AUTO, value);
    assert_done(mctx__socket_set(socket, family, MCTX__DONT_FRAGMENT, native == IP_PMTUDISC_DO ? 0 : 1));
    assert_done(mctx__socket_set(socket, family, MCTX__DONT_FRAGMENT, value));
    assert_int_equal(native, lab_get(socket, level, name));
  }
  mctx__socket_close(socket);
}

static void test_every_way_of_fragmentation_can_be_restored(void **state) {
  (void)state;
  both_families(check_fragmentation);
}

static void test_nonblocking(void **state) {
  mctx__socket socket = lab_socket(4);
  (void)state;
  for (int64_t wanted = 0; wanted <= 1; wanted++) {
    int64_t value = -7;
    assert_done(mctx__socket_set(socket, 4, MCTX__NONBLOCKING, wanted));
    assert_int_equal(wanted, (fcntl(mctx__descriptor(socket), F_GETFL) & O_NONBLOCK) != 0);
    assert_done(mctx__socket_get(socket, 4, MCTX__NONBLOCKING, &value));
    assert_int_equal(wanted, value);
  }
  mctx__socket_close(socket);
}

static void test_a_mark_has_32_bits_and_wants_rights(void **state) {
  mctx__socket socket = lab_socket(4);
  mctx_capability_info info = {.size = sizeof info};
  int64_t value = -7;
  (void)state;
  mctx__capability_probe(MCTX_CAPABILITY_MARK, &info);
  const mctx__result result = mctx__socket_set(socket, 4, MCTX__MARK, 0xfedcba98);
  if (info.state == MCTX_CAPABILITY_AVAILABLE) {
    assert_done(result);
    assert_done(mctx__socket_get(socket, 4, MCTX__MARK, &value));
    assert_true(value == 0xfedcba98);
  } else {
    assert_int_equal(MCTX_CAPABILITY_NEEDS_PRIVILEGE, info.state);
    assert_status(MCTX_ERR_PERMISSION, result);
  }
  mctx__socket_close(socket);
}

static void check_buffers(mctx__option buffer, int name, uint32_t capability) {
  static const int64_t asked[] = {0, 1, 65536, INT_MAX / 2, INT_MAX, (int64_t)INT_MAX + 1, INT64_MAX};
  mctx_capability_info info = {.size = sizeof info};
  mctx__socket socket = lab_socket(4);
  int64_t granted;
  mctx__capability_probe(capability, &info);
  for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
    assert_done(mctx__socket_set(socket, 4, buffer, asked[i]));
    assert_done(mctx__socket_get(socket, 4, buffer, &granted));
    assert_true(granted > 0);
    assert_int_equal(lab_get(socket, SOL_SOCKET, name), granted);
    if (asked[i] == 65536) assert_int_equal(131072, granted);
    if (asked[i] > 65536) assert_true(granted >= 131072);
    if (asked[i] >= INT_MAX / 2 && info.state == MCTX_CAPABILITY_AVAILABLE) {
      assert_true(granted >= INT_MAX / 2 * INT64_C(2));
    }
  }
  mctx__socket_close(socket);
}

static void test_buffers(void **state) {
  (void)state;
  check_buffers(MCTX__SEND_BUFFER, SO_SNDBUF, MCTX_CAPABILITY_SEND_BUFFER_FORCE);
  check_buffers(MCTX__RECEIVE_BUFFER, SO_RCVBUF, MCTX_CAPABILITY_RECEIVE_BUFFER_FORCE);
}

static void check_interface(uint32_t family) {
  mctx__socket socket = lab_socket(family);
  uint32_t index = 77;
  assert_done(mctx__socket_get_interface(socket, family, &index));
  assert_int_equal(0, index);
  assert_done(mctx__socket_set_interface(socket, family, loopback_index()));
  assert_done(mctx__socket_get_interface(socket, family, &index));
  assert_int_equal(family == 6 ? loopback_index() : 0, index);
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND, mctx__socket_set_interface(socket, family, 0x7ffffff0));
  assert_done(mctx__socket_set_interface(socket, family, 0));
  assert_done(mctx__socket_get_interface(socket, family, &index));
  assert_int_equal(0, index);
  mctx__socket_close(socket);
}

static void test_the_outgoing_interface(void **state) {
  (void)state;
  both_families(check_interface);
}

static void test_binding_to_a_device(void **state) {
  mctx__socket socket = lab_socket(4);
  mctx_capability_info info = {.size = sizeof info};
  (void)state;
  mctx__capability_probe(MCTX_CAPABILITY_BIND_DEVICE, &info);
  if (info.state != MCTX_CAPABILITY_AVAILABLE) SKIP("this user may not bind to a device");
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND, mctx__socket_bind_device(socket, ""));
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND, mctx__socket_bind_device(socket, "nosuchdevice0"));
  assert_status(MCTX_ERR_INTERFACE_NOT_FOUND,
                mctx__socket_bind_device(socket, "lo-and-a-name-that-is-too-long"));
  assert_int_equal(0, lab_get(socket, SOL_SOCKET, SO_BINDTOIFINDEX));
  assert_done(mctx__socket_bind_device(socket, "lo"));
  assert_int_equal(loopback_index(), lab_get(socket, SOL_SOCKET, SO_BINDTOIFINDEX));
  const mctx__result result = mctx__socket_bind_device(socket, NULL);
  if (result.status == MCTX_OK) {
    assert_int_equal(0, lab_get(socket, SOL_SOCKET, SO_BINDTOIFINDEX));
  } else {
    assert_status(MCTX_ERR_PERMISSION, result); /* once bound, only CAP_NET_RAW unbinds */
  }
  mctx__socket_close(socket);
}

static void test_options_of_what_is_no_socket(void **state) {
  mctx__socket file = {open("/dev/null", O_RDWR | O_CLOEXEC)};
  const mctx_address local = loopback_of(4);
  mctx_address address;
  int64_t value;
  (void)state;
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_set(file, 4, MCTX__LOOPBACK, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_set(file, 4, MCTX__SEND_BUFFER, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_set(file, 4, MCTX__RECEIVE_BUFFER, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_set(file, 4, MCTX__METADATA, 0));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_get(file, 4, MCTX__METADATA, &value));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_get(file, 4, MCTX__LOOPBACK, &value));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_get_interface(file, 6, &(uint32_t){0}));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_set_interface(file, 4, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_bind_device(file, "lo"));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_bind(file, &local));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_connect(file, 4, &local));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_connect(file, 4, NULL));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_local(file, &address));
  mctx__socket_close(file);
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_set(file, 4, MCTX__NONBLOCKING, 1));
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_get(file, 4, MCTX__NONBLOCKING, &value));
}

/* ---- adoption ---- */

static mctx__result adopt(int64_t descriptor, mctx__socket_facts *facts) {
  const mctx_os_handle native = {.value = descriptor, .type = MCTX_OS_DESCRIPTOR};
  mctx__socket adopted = {-5};
  const mctx__result result = mctx__socket_adopt(&native, &adopted, facts);
  assert_int_equal(result.status == MCTX_OK ? descriptor : -5, adopted.value);
  return result;
}

static void test_adopting_what_is_no_socket(void **state) {
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const mctx_os_handle other = {.value = file, .type = MCTX_OS_SOCKET};
  mctx__socket_facts facts;
  mctx__socket adopted;
  (void)state;
  assert_status(MCTX_ERR_NOT_A_SOCKET, mctx__socket_adopt(&other, &adopted, &facts));
  assert_status(MCTX_ERR_NOT_A_SOCKET, adopt(file, &facts));
  (void)close(file);
  assert_status(MCTX_ERR_NOT_A_SOCKET, adopt(file, &facts));
  assert_status(MCTX_ERR_NOT_A_SOCKET, adopt(-1, &facts));
  assert_status(MCTX_ERR_NOT_A_SOCKET, adopt(INT64_MIN, &facts));
  assert_status(MCTX_ERR_NOT_A_SOCKET, adopt(INT64_C(1) << 32, &facts));
}

static void test_adopting_sockets_of_other_types(void **state) {
  static const struct {
    int domain, type, protocol;
    uint32_t family;
  } others[] = {{AF_INET, SOCK_STREAM, 0, 4},
                {AF_INET6, SOCK_STREAM, 0, 6},
                {AF_UNIX, SOCK_DGRAM, 0, 0},
                {AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, 4},
                {AF_INET, SOCK_DGRAM, IPPROTO_ICMP, 4},
                {AF_NETLINK, SOCK_RAW, 0, 0}};
  (void)state;
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    mctx__socket_facts facts = {.is_udp = true};
    const int made = socket(others[i].domain, others[i].type | SOCK_CLOEXEC, others[i].protocol);
    if (made < 0) continue; /* not every kernel has all of them */
    assert_done(adopt(made, &facts));
    assert_false(facts.is_udp);
    assert_int_equal(others[i].family, facts.family);
    (void)close(made);
  }
}

static void check_adopted(uint32_t family) {
  const mctx_address local = loopback_of(family);
  mctx__socket own = lab_socket(family);
  mctx__endpoint endpoint;
  mctx__socket receiver = receiver_open(family, &endpoint);
  mctx__socket_facts facts = {0};
  mctx_address bound;
  mctx_address peer;
  assert_done(mctx__socket_set(own, family, MCTX__NONBLOCKING, 0));
  assert_done(adopt(own.value, &facts));
  assert_true(facts.is_udp);
  assert_int_equal(family, facts.family);
  assert_int_equal(0, facts.local.port);
  assert_false(facts.is_connected);
  assert_int_equal(0, facts.peer.family);
  assert_done(mctx__socket_bind(own, &local));
  assert_done(mctx__socket_local(own, &bound));
  assert_done(mctx__socket_local(receiver, &peer));
  assert_done(mctx__socket_connect(own, family, &peer));
  assert_done(adopt(own.value, &facts));
  assert_true(facts.is_connected);
  assert_true(lab_same(&bound, &facts.local));
  assert_true(lab_same(&peer, &facts.peer));
  assert_true((fcntl(mctx__descriptor(own), F_GETFL) & O_NONBLOCK) == 0); /* as it was */
  mctx__socket_close(own);
  mctx__socket_close(receiver);
}

static void test_adopting_tells_all_and_changes_nothing(void **state) {
  (void)state;
  both_families(check_adopted);
}

static int abandon_in_child(void) {
  const mctx__socket inherited = {atoi(getenv("ABANDONED"))};
  errno = 55;
  mctx__socket_abandon(inherited);
  return errno == 55 && fcntl(mctx__descriptor(inherited), F_GETFD) < 0 ? 0 : 1;
}

static void test_a_child_abandons_its_copy_alone(void **state) {
  char number[16];
  mctx__socket socket = lab_socket(4);
  (void)state;
  (void)snprintf(number, sizeof number, "%d", mctx__descriptor(socket));
  assert_int_equal(0, setenv("ABANDONED", number, 1));
  assert_int_equal(0, lab_child(abandon_in_child));
  assert_true(fcntl(mctx__descriptor(socket), F_GETFD) >= 0);
  mctx__socket_close(socket);
}

/* ---- binding and connecting ---- */

static void check_bind(uint32_t family) {
  const mctx_address foreign = lab_address(family == 6 ? "2001:db8::77" : "203.0.113.77", 0, 0);
  mctx__socket first = lab_socket(family);
  mctx__socket second = lab_socket(family);
  mctx_address local = loopback_of(family);
  assert_status(MCTX_ERR_SOURCE_NOT_LOCAL, mctx__socket_bind(first, &foreign));
  assert_done(mctx__socket_bind(first, &local));
  assert_done(mctx__socket_local(first, &local));
  assert_status(MCTX_ERR_ADDRESS_IN_USE, mctx__socket_bind(second, &local));
  mctx__socket_close(first);
  assert_done(mctx__socket_set(second, family, MCTX__REUSE_PORT, 1));
  assert_done(mctx__socket_bind(second, &local)); /* free as soon as it is closed */
  first = lab_socket(family);
  assert_done(mctx__socket_set(first, family, MCTX__REUSE_PORT, 1));
  assert_done(mctx__socket_bind(first, &local));
  mctx__socket_close(first);
  mctx__socket_close(second);
}

static void test_binding(void **state) {
  (void)state;
  both_families(check_bind);
}

static void check_connect(uint32_t family) {
  const mctx_address local = closed_port(family); /* a port by number: a chosen one would not remain */
  mctx__endpoint nobody;
  mctx__endpoint endpoint;
  mctx__socket receiver = receiver_open(family, &endpoint);
  mctx__socket sender = lab_socket(family);
  mctx_address peer;
  mctx_address before;
  mctx_address after;
  char buffer[8];
  mctx__endpoint_set(&nobody, NULL);
  assert_done(mctx__socket_local(receiver, &peer));
  assert_done(mctx__socket_bind(sender, &local));
  assert_done(mctx__socket_local(sender, &before));
  assert_done(mctx__socket_connect(sender, family, &peer));
  assert_done(mctx__socket_send(sender, &nobody, "abc", 3));
  assert_int_equal(3, lab_receive(mctx__descriptor(receiver), buffer, sizeof buffer));
  assert_done(mctx__socket_connect(sender, family, NULL));
  assert_done(mctx__socket_local(sender, &after));
  assert_true(lab_same(&before, &after)); /* what bind() gave remains */
  assert_status(MCTX_ERR_IO, mctx__socket_send(sender, &nobody, "abc", 3));
  assert_done(mctx__socket_connect(sender, family, NULL)); /* again: nothing to dissolve */
  mctx__socket_close(sender);
  mctx__socket_close(receiver);
}

static void test_connecting_and_dissolving(void **state) {
  (void)state;
  both_families(check_connect);
}

static void check_device_kept(uint32_t family) {
  const mctx_address peer = lab_address(family == 6 ? "::1" : "127.0.0.1", 9, 0);
  mctx__socket socket = lab_socket(family);
  if (mctx__socket_bind_device(socket, "lo").status != MCTX_OK) SKIP("this user may not bind to a device");
  assert_done(mctx__socket_connect(socket, family, &peer));
  assert_done(mctx__socket_connect(socket, family, NULL));
  assert_int_equal(loopback_index(), lab_get(socket, SOL_SOCKET, SO_BINDTOIFINDEX));
  mctx__socket_close(socket);
}

static void test_dissolving_keeps_the_device(void **state) {
  (void)state;
  both_families(check_device_kept);
}

/* ---- sending ---- */

static uint8_t payload[65536];

static void check_sizes(uint32_t family) {
  const size_t largest = family == 6 ? 65527 : 65507;
  const size_t sizes[] = {0, 1, 1472, 9000, largest};
  static uint8_t buffer[65536];
  mctx__endpoint endpoint;
  mctx__socket receiver = receiver_open(family, &endpoint);
  mctx__socket sender = lab_socket(family);
  assert_done(mctx__socket_set(sender, family, MCTX__SEND_BUFFER, 262144));
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    assert_done(mctx__socket_send(sender, &endpoint, sizes[i] == 0 ? NULL : payload, sizes[i]));
    assert_int_equal(sizes[i], lab_receive(mctx__descriptor(receiver), buffer, sizeof buffer));
    assert_memory_equal(payload, buffer, sizes[i]);
  }
  const size_t enormous = (size_t)INT_MAX + 1;
  void *reserved = mmap(NULL, enormous, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  assert_ptr_not_equal(MAP_FAILED, reserved);
  const size_t too_large[] = {largest + 1, 65535, 65536, 1 << 20, enormous};
  for (size_t i = 0; i < sizeof too_large / sizeof too_large[0]; i++) {
    const mctx__result result = mctx__socket_send(sender, &endpoint, reserved, too_large[i]);
    assert_status(MCTX_ERR_DATAGRAM_TOO_LARGE, result);
    assert_int_equal(EMSGSIZE, result.os_code);
  }
  assert_int_equal(0, munmap(reserved, enormous));
  mctx__socket_close(sender);
  mctx__socket_close(receiver);
}

static void test_sizes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof payload; i++)
    payload[i] = (uint8_t)(i * 7 + i / 256);
  both_families(check_sizes);
}

static void check_many(uint32_t family) {
  mctx_slice slices[LAB_MANY_MAX] = {0};
  uint8_t expected[MCTX__SEND_MANY_MAX];
  mctx__endpoint endpoint;
  mctx__socket receiver = receiver_open(family, &endpoint);
  mctx__socket sender = lab_socket(family);
  uint32_t taken = 77;
  assert_done(lab_send_many(sender, &endpoint, slices, 0, &taken));
  assert_int_equal(0, taken);
  for (uint32_t i = 0; i < LAB_MANY_MAX; i++) {
    slices[i] = (mctx_slice){.data = i % 5 == 0 ? NULL : payload + i, .length = i % 5 == 0 ? 0 : i};
  }
  for (uint32_t count = 1; count <= LAB_MANY_MAX; count += 9) {
    const uint32_t limit = count < MCTX__SEND_MANY_MAX ? count : MCTX__SEND_MANY_MAX;
    assert_done(lab_send_many(sender, &endpoint, slices, count, &taken));
    assert_int_equal(limit, taken);
    for (uint32_t i = 0; i < limit; i++) {
      assert_int_equal(slices[i].length, lab_receive(mctx__descriptor(receiver), expected, sizeof expected));
      assert_memory_equal(payload + i, expected, (size_t)slices[i].length);
    }
    assert_int_equal(-1, recv(mctx__descriptor(receiver), expected, sizeof expected, MSG_DONTWAIT));
  }
  mctx__socket_close(sender);
  mctx__socket_close(receiver);
}

static void test_many(void **state) {
  (void)state;
  both_families(check_many);
}

/* The one that is too large ends the batch before it, wherever it stands; only then does it fail itself. */
static void check_many_too_large(uint32_t family) {
  const uint64_t lengths[] = {family == 6 ? 65528 : 65508, 65535};
  uint8_t buffer[8];
  mctx__endpoint endpoint;
  mctx__socket receiver = receiver_open(family, &endpoint);
  mctx__socket sender = lab_socket(family);
  for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
    for (uint32_t at = 0; at < MCTX__SEND_MANY_MAX; at += 7) {
      mctx_slice slices[MCTX__SEND_MANY_MAX];
      uint32_t taken = 77;
      for (uint32_t i = 0; i < MCTX__SEND_MANY_MAX; i++)
        slices[i] = (mctx_slice){.data = payload, .length = 4};
      slices[at].length = lengths[k];
      mctx__result result = lab_send_many(sender, &endpoint, slices, MCTX__SEND_MANY_MAX, &taken);
      assert_int_equal(at, taken);
      assert_status(at == 0 ? MCTX_ERR_DATAGRAM_TOO_LARGE : MCTX_OK, result);
      result = lab_send_many(sender, &endpoint, slices + at, MCTX__SEND_MANY_MAX - at, &taken);
      assert_status(MCTX_ERR_DATAGRAM_TOO_LARGE, result);
      assert_int_equal(0, taken);
      for (uint32_t i = 0; i < at; i++) {
        assert_int_equal(4, lab_receive(mctx__descriptor(receiver), buffer, sizeof buffer));
      }
      assert_int_equal(-1, recv(mctx__descriptor(receiver), buffer, sizeof buffer, MSG_DONTWAIT));
    }
  }
  mctx__socket_close(sender);
  mctx__socket_close(receiver);
}

static void test_one_too_large_ends_a_batch_before_it(void **state) {
  (void)state;
  both_families(check_many_too_large);
}

/* ---- errors of earlier datagrams ---- */

static void check_drain(uint32_t family) {
  const mctx_address peer = closed_port(family);
  for (int64_t queued = 0; queued <= 1; queued++) {
    mctx__socket sender = lab_socket(family);
    mctx__endpoint nobody;
    mctx__drained drained = {9, 9};
    uint32_t ready;
    mctx__endpoint_set(&nobody, NULL);
    assert_done(mctx__socket_connect(sender, family, &peer));
    assert_done(mctx__socket_set(sender, family, MCTX__ERROR_QUEUE, queued));
    mctx__socket_drain_errors(sender, family, &drained);
    assert_int_equal(0, drained.local + drained.network);
    assert_done(mctx__socket_send(sender, &nobody, "x", 1));
    assert_done(mctx__wait(sender, 0, MCTX__NO_EVENT, mctx__clock_monotonic() + 1000000000, &ready));
    assert_int_equal(MCTX__WAIT_FAILED, ready);
    assert_status(MCTX_ERR_UNREACHABLE, mctx__socket_send(sender, &nobody, "y", 1));
    assert_done(mctx__socket_send(sender, &nobody, "z", 1)); /* makes a second entry */
    mctx__socket_drain_errors(sender, family, &drained);
    assert_int_equal(0, drained.local);
    assert_int_equal(queued != 0 ? 2 : 1, drained.network);
    assert_status(MCTX_ERR_TIMEOUT, mctx__wait(sender, 0, MCTX__NO_EVENT, 0, &ready));
    mctx__socket_close(sender);
  }
}

static void test_errors_of_the_network_are_drained(void **state) {
  (void)state;
  both_families(check_drain);
}

static void check_drain_local(uint32_t family) {
  mctx__endpoint endpoint;
  mctx__socket receiver = receiver_open(family, &endpoint);
  mctx__socket sender = lab_socket(family);
  mctx__drained drained;
  uint32_t ready;
  assert_done(mctx__socket_set(sender, family, MCTX__ERROR_QUEUE, 1));
  const size_t beyond = family == 6 ? 65528 : 65508;
  for (int i = 0; i < 3; i++) {
    assert_status(MCTX_ERR_DATAGRAM_TOO_LARGE, mctx__socket_send(sender, &endpoint, payload, beyond));
  }
  assert_done(mctx__wait(sender, 0, MCTX__NO_EVENT, 0, &ready));
  assert_int_equal(MCTX__WAIT_FAILED, ready);
  mctx__socket_drain_errors(sender, family, &drained);
  assert_int_equal(3, drained.local);
  assert_int_equal(0, drained.network);
  assert_status(MCTX_ERR_TIMEOUT, mctx__wait(sender, 0, MCTX__NO_EVENT, 0, &ready));
  assert_done(mctx__socket_send(sender, &endpoint, "x", 1));
  mctx__socket_close(sender);
  mctx__socket_close(receiver);
}

static void test_errors_of_this_host_are_drained(void **state) {
  (void)state;
  both_families(check_drain_local);
}

static void test_draining_nothing(void **state) {
  mctx__drained drained = {9, 9};
  (void)state;
  mctx__socket_drain_errors(MCTX__NO_SOCKET, 4, &drained);
  assert_int_equal(0, drained.local + drained.network);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      lab_test(test_a_new_socket),
      lab_test(test_options_are_set_and_read),
      lab_test(test_every_way_of_fragmentation_can_be_restored),
      lab_test(test_nonblocking),
      lab_test(test_a_mark_has_32_bits_and_wants_rights),
      lab_test(test_buffers),
      lab_test(test_the_outgoing_interface),
      lab_test(test_binding_to_a_device),
      lab_test(test_options_of_what_is_no_socket),
      lab_test(test_adopting_what_is_no_socket),
      lab_test(test_adopting_sockets_of_other_types),
      lab_test(test_adopting_tells_all_and_changes_nothing),
      lab_test(test_a_child_abandons_its_copy_alone),
      lab_test(test_binding),
      lab_test(test_connecting_and_dissolving),
      lab_test(test_dissolving_keeps_the_device),
      lab_test(test_sizes),
      lab_test(test_many),
      lab_test(test_one_too_large_ends_a_batch_before_it),
      lab_test(test_errors_of_the_network_are_drained),
      lab_test(test_errors_of_this_host_are_drained),
      lab_test(test_draining_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

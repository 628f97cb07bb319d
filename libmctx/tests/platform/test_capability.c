/* SPDX-License-Identifier: MIT */
/* What is told of the system's abilities, on this kernel and on others: refusals are made by seccomp filters.
 */
#include "lab.h"

#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static mctx_capability_info probe(uint32_t id) {
  mctx_capability_info info = {.size = sizeof info, .state = 99, .os_code = 99};
  mctx__capability_probe(id, &info);
  return info;
}

static void test_every_capability_has_a_state_and_a_sentence(void **state) {
  const int before = (int)descriptors_held();
  (void)state;
  for (uint32_t id = 0; id <= MCTX_CAPABILITY_PACING; id++) {
    mctx_capability_info info = {.size = sizeof info, .state = 99, .os_code = 99};
    mctx__capability_probe(id, &info);
    assert_true(info.state <= MCTX_CAPABILITY_AVAILABLE);
    assert_true(info.state != MCTX_CAPABILITY_AVAILABLE || info.os_code == 0);
    assert_true(strlen(info.reason) > 10);
    assert_int_equal('.', info.reason[strlen(info.reason) - 1]);
    assert_int_equal(sizeof info, info.size);
  }
  mctx_capability_info simulated = {.size = sizeof simulated};
  mctx__capability_probe(MCTX_CAPABILITY_SIMULATED, &simulated);
  assert_int_equal(MCTX_CAPABILITY_ABSENT, simulated.state);
  assert_int_equal(before, (int)descriptors_held());
}

static void test_no_descriptor_left_says_so(void **state) {
  struct rlimit before;
  mctx__socket socket;
  mctx__event event;
  mctx__interfaces interfaces;
  (void)state;
  assert_int_equal(0, getrlimit(RLIMIT_NOFILE, &before));
  const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &none));
  const mctx__result opened = mctx__socket_open(4, &socket);
  const mctx__result made = mctx__event_open(&event);
  const mctx__result listed = mctx__interfaces_load(&interfaces);
  mctx_capability_info info = {.size = sizeof info};
  mctx__capability_probe(MCTX_CAPABILITY_MARK, &info);
  assert_int_equal(0, setrlimit(RLIMIT_NOFILE, &before));
  assert_status(MCTX_ERR_TOO_MANY_DESCRIPTORS, opened);
  assert_status(MCTX_ERR_TOO_MANY_DESCRIPTORS, made);
  assert_status(MCTX_ERR_TOO_MANY_DESCRIPTORS, listed);
  assert_int_equal(MCTX_CAPABILITY_REFUSED, info.state);
  assert_int_equal(EMFILE, info.os_code);
}

/* ---- other kernels, other rights ---- */

enum {
  NAME = 2,
  ADVICE = 2,
  WIPE_ON_FORK = 18,
  IPV4_ALL = 49,
  IPV6_ALL = 29
}; /* the third argument of setsockopt and madvise */

static const struct refusal {
  uint32_t id;
  long call;
  int argument;
  uint32_t value;
  uint32_t code;
  uint32_t state;
} refusals[] = {
    {MCTX_CAPABILITY_IPV4, SYS_socket, 0, AF_INET, EAFNOSUPPORT, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_IPV4, SYS_socket, 0, AF_INET, EACCES, MCTX_CAPABILITY_REFUSED},
    {MCTX_CAPABILITY_IPV6, SYS_socket, 0, AF_INET6, EAFNOSUPPORT, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_IPV6, SYS_socket, 0, AF_INET6, EPERM, MCTX_CAPABILITY_REFUSED},
    {MCTX_CAPABILITY_BATCH_SEND, SYS_sendmmsg, LAB_ANY, 0, ENOSYS, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_BATCH_SEND, SYS_sendmmsg, LAB_ANY, 0, EPERM, MCTX_CAPABILITY_REFUSED},
    {MCTX_CAPABILITY_ERROR_QUEUE, SYS_setsockopt, NAME, IP_RECVERR, EINVAL, MCTX_CAPABILITY_REFUSED},
    {MCTX_CAPABILITY_ISOLATED_SENDER, SYS_setsockopt, NAME, IPV4_ALL, EPERM, MCTX_CAPABILITY_NEEDS_PRIVILEGE},
    {MCTX_CAPABILITY_ISOLATED_SENDER, SYS_setsockopt, NAME, IPV6_ALL, ENOPROTOOPT, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_BIND_DEVICE, SYS_setsockopt, NAME, SO_BINDTODEVICE, EPERM,
     MCTX_CAPABILITY_NEEDS_PRIVILEGE},
    {MCTX_CAPABILITY_MARK, SYS_setsockopt, NAME, SO_MARK, EPERM, MCTX_CAPABILITY_NEEDS_PRIVILEGE},
    {MCTX_CAPABILITY_SEND_BUFFER_FORCE, SYS_setsockopt, NAME, SO_SNDBUFFORCE, EPERM,
     MCTX_CAPABILITY_NEEDS_PRIVILEGE},
    {MCTX_CAPABILITY_RECEIVE_BUFFER_FORCE, SYS_setsockopt, NAME, SO_RCVBUFFORCE, EPERM,
     MCTX_CAPABILITY_NEEDS_PRIVILEGE},
    {MCTX_CAPABILITY_COALESCING, SYS_setsockopt, NAME, UDP_GRO, ENOPROTOOPT, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_SEGMENTATION, SYS_setsockopt, NAME, UDP_SEGMENT, ENOPROTOOPT, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_PACING, SYS_setsockopt, NAME, SO_MAX_PACING_RATE, ENOPROTOOPT, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_PACING, SYS_setsockopt, NAME, SO_MAX_PACING_RATE, EPERM, MCTX_CAPABILITY_NEEDS_PRIVILEGE},
    {MCTX_CAPABILITY_GROUP_BINDING, SYS_bind, LAB_ANY, 0, EACCES, MCTX_CAPABILITY_REFUSED},
    {MCTX_CAPABILITY_INTERFACE_CHANGES, SYS_socket, 0, AF_NETLINK, EPERM, MCTX_CAPABILITY_REFUSED},
    {MCTX_CAPABILITY_INTERFACE_CHANGES, SYS_socket, 0, AF_NETLINK, EPROTONOSUPPORT, MCTX_CAPABILITY_ABSENT},
    {MCTX_CAPABILITY_INTERFACE_CHANGES, SYS_bind, LAB_ANY, 0, EPERM, MCTX_CAPABILITY_REFUSED},
    {MCTX_CAPABILITY_FORK_DETECTION, SYS_madvise, ADVICE, WIPE_ON_FORK, EINVAL, MCTX_CAPABILITY_ABSENT},
};

static const struct refusal *current;

static bool has_ipv6(void) {
  mctx__socket socket;
  if (mctx__socket_open(6, &socket).status != MCTX_OK) return false;
  mctx__socket_close(socket);
  return true;
}

static int probe_under_refusal(void) {
  if (current->value == IPV6_ALL && !has_ipv6()) return 0;
  if (!lab_refuse(current->call, current->argument, current->value, current->code)) return 77;
  const mctx_capability_info info = probe(current->id);
  if (info.state != current->state) return 1;
  /* that the page is missing has no number of the system's */
  const int32_t code = current->id == MCTX_CAPABILITY_FORK_DETECTION ? 0 : (int32_t)current->code;
  return info.os_code == code && strlen(info.reason) > 10 ? 0 : 2;
}

static void test_refusals_are_told_apart(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    current = &refusals[i];
    const int code = lab_child(probe_under_refusal);
    if (code == 77) SKIP("this host allows no seccomp filter");
    if (code != 0) print_error("refusal %zu\n", i);
    assert_int_equal(0, code);
  }
}

/* Before Linux 4.20 there is no IPV6_MULTICAST_ALL, and nothing to switch off. */
static int isolate_without_the_option(void) {
  mctx__socket socket;
  int64_t value = -7;
  if (!lab_refuse(SYS_setsockopt, NAME, IPV6_ALL, ENOPROTOOPT)) return 77;
  if (!lab_refuse(SYS_getsockopt, NAME, IPV6_ALL, ENOPROTOOPT)) return 77;
  if (mctx__socket_open(6, &socket).status != MCTX_OK) return 77;
  if (mctx__socket_set(socket, 6, MCTX__ISOLATED, 1).status != MCTX_OK) return 1;
  return mctx__socket_get(socket, 6, MCTX__ISOLATED, &value).status == MCTX_OK ? 0 : 2;
}

static void test_an_old_kernel_needs_no_isolation(void **state) {
  (void)state;
  const int code = lab_child(isolate_without_the_option);
  if (code == 77) SKIP("this host has no IPv6, or allows no seccomp filter");
  assert_int_equal(0, code);
}

/* The system's maximum stands; that is no failure. */
static int buffer_without_rights(uint32_t force, mctx__option buffer) {
  mctx__socket socket;
  int64_t granted = 0;
  if (!lab_refuse(SYS_setsockopt, NAME, force, EPERM)) return 77;
  if (mctx__socket_open(4, &socket).status != MCTX_OK) return 1;
  if (mctx__socket_set(socket, 4, buffer, 1 << 30).status != MCTX_OK) return 2;
  if (mctx__socket_get(socket, 4, buffer, &granted).status != MCTX_OK) return 3;
  return granted > 0 && granted < 1 << 30 ? 0 : 4;
}

static int send_buffer_without_rights(void) {
  return buffer_without_rights(SO_SNDBUFFORCE, MCTX__SEND_BUFFER);
}
static int receive_buffer_without_rights(void) {
  return buffer_without_rights(SO_RCVBUFFORCE, MCTX__RECEIVE_BUFFER);
}

static void test_buffers_without_rights(void **state) {
  (void)state;
  const int code = lab_child(send_buffer_without_rights);
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
  assert_int_equal(0, lab_child(receive_buffer_without_rights));
}

/* What the system cannot tell is left out, and the rest is collected; other refusals are failures. */
static int collect_under_refusal(uint32_t code, mctx_status expected) {
  mctx__socket socket;
  int64_t collected = 0;
  if (!lab_refuse(SYS_setsockopt, NAME, SO_RXQ_OVFL, code)) return 77;
  if (mctx__socket_open(4, &socket).status != MCTX_OK) return 1;
  if (mctx__socket_set(socket, 4, MCTX__METADATA, MCTX_META_ALL).status != expected) return 2;
  if (mctx__socket_get(socket, 4, MCTX__METADATA, &collected).status != MCTX_OK) return 3;
  return collected == (MCTX_META_ALL & ~MCTX_META_DROPS) ? 0 : 4;
}

static int collect_on_an_old_kernel(void) {
  return collect_under_refusal(ENOPROTOOPT, MCTX_OK);
}
static int collect_in_a_sandbox(void) {
  return collect_under_refusal(EPERM, MCTX_ERR_PERMISSION);
}

static void test_metadata_that_cannot_be_collected(void **state) {
  (void)state;
  const int code = lab_child(collect_on_an_old_kernel);
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
  assert_int_equal(0, lab_child(collect_in_a_sandbox));
}

/* A socket that could not be kept to IPv6 is not kept open either. */
static int open_without_v6only(void) {
  mctx__socket socket = MCTX__NO_SOCKET;
  const int before = (int)descriptors_held();
  if (!lab_refuse(SYS_setsockopt, NAME, IPV6_V6ONLY, EPERM)) return 77;
  if (mctx__socket_open(6, &socket).status == MCTX_OK) return 1;
  return socket.value == -1 && (int)descriptors_held() == before ? 0 : 2;
}

static void test_a_socket_that_is_half_made_is_closed(void **state) {
  (void)state;
  const int code = lab_child(open_without_v6only);
  if (code == 77) SKIP("this host allows no seccomp filter");
  assert_int_equal(0, code);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refusals_are_told_apart), /* first: the page of fork detection is made once */
      cmocka_unit_test(test_every_capability_has_a_state_and_a_sentence),
      cmocka_unit_test(test_no_descriptor_left_says_so),
      cmocka_unit_test(test_an_old_kernel_needs_no_isolation),
      cmocka_unit_test(test_buffers_without_rights),
      cmocka_unit_test(test_metadata_that_cannot_be_collected),
      cmocka_unit_test(test_a_socket_that_is_half_made_is_closed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What cannot be brought about from outside: memory that runs out, tables that change while they are read. */
#include "lab.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- memory ---- */

static unsigned allocations;
static unsigned failing; /* the nth fails; 0: none */

/* Takes the place of libc's; the library asks for memory by no other name. */
int posix_memalign(void **memory, size_t alignment, size_t size) {
  if (++allocations == failing) return ENOMEM;
  *memory = memalign(alignment, size);
  return *memory != NULL ? 0 : ENOMEM;
}

static void test_interfaces_when_memory_runs_out(void **state) {
  const int before = (int)descriptors_held();
  unsigned total = 0;
  mctx__interfaces all;
  (void)state;
  host_namespace();
  host_run(
      "for i in $(seq 20); do echo link add x$i type veth peer name y$i; echo address add 10.1.$i.1/24 dev lo; "
      "done | ip -batch -");
  allocations = 0;
  failing = 0;
  assert_done(mctx__interfaces_load(&all));
  mctx__interfaces_free(&all);
  total = allocations;
  if (total == 0) SKIP("something else took the place of the allocator");
  assert_true(total >= 6); /* a buffer, both tables grown twice, the addresses */
  for (unsigned nth = 1; nth <= total; nth++) {
    mctx__interfaces untouched = {.count = 77};
    allocations = 0;
    failing = nth;
    const mctx__result result = mctx__interfaces_load(&untouched);
    failing = 0;
    assert_status(MCTX_ERR_NO_MEMORY, result);
    assert_int_equal(77, untouched.count);
    assert_int_equal(before, (int)descriptors_held());
  }
}

static void test_a_route_when_memory_runs_out(void **state) {
  const mctx_address group = lab_address("239.1.2.3", 0, 0);
  mctx_address source;
  uint32_t index;
  (void)state;
  allocations = 0;
  failing = 1;
  const mctx__result result = mctx__route_lookup(&group, 0, &(mctx_address){0}, &source, &index);
  failing = 0;
  if (allocations == 0) SKIP("something else took the place of the allocator");
  assert_status(MCTX_ERR_NO_MEMORY, result);
}

static void test_a_long_filter_when_memory_runs_out(void **state) {
  enum { LONG = 65 }; /* shorter ones need none: to take back a change never fails for that */
  const mctx_address group = lab_address("ff11::db8:0:1", 0, 0);
  mctx_address sources[LONG];
  (void)state;
  mctx__socket socket = lab_socket(6);
  for (uint32_t i = 0; i < LONG; i++) {
    sources[i] = lab_address("fd09::", 0, 0);
    sources[i].bytes[15] = (uint8_t)i;
  }
  for (uint32_t count = LONG - 1; count <= LONG; count++) {
    allocations = 0;
    failing = 1;
    const mctx__result result = mctx__socket_filter(socket, &group, 12345, MCTX_INCLUDE, sources, count);
    failing = 0;
    assert_int_equal(count == LONG ? 1 : 0, allocations);
    assert_status(count == LONG ? MCTX_ERR_NO_MEMORY : MCTX_ERR_INTERFACE_NOT_FOUND, result);
  }
  mctx__socket_close(socket);
}

static void test_a_wait_for_many_when_memory_runs_out(void **state) {
  mctx__waited waited[2] = {{.socket = MCTX__NO_SOCKET, .ready = 77}, {.socket = MCTX__NO_SOCKET, .ready = 77}};
  (void)state;
  allocations = 0;
  failing = 1;
  const mctx__result result = mctx__wait_many(waited, 2, 0);
  failing = 0;
  if (allocations == 0) SKIP("something else took the place of the allocator");
  assert_status(MCTX_ERR_NO_MEMORY, result);
  assert_int_equal(0, waited[0].ready | waited[1].ready);
}

/* ---- tables that change ---- */

static unsigned parts;      /* of answers, received so far */
static unsigned torn_parts; /* so many of the first say that the tables changed */
static unsigned thin_parts; /* so many of the first lack a link */
static const char *thinned; /* its name */

/* Makes another message of the one about that link, so that nobody sees it. */
static void hide_link(struct nlmsghdr *message) {
  const size_t header = NLMSG_LENGTH(sizeof(struct ifinfomsg));
  const size_t name = header + RTA_LENGTH(0);
  if (message->nlmsg_type == RTM_NEWLINK && message->nlmsg_len > name + strlen(thinned) + 1 &&
      memcmp((char *)message + name, thinned, strlen(thinned) + 1) == 0) {
    message->nlmsg_type = RTM_NEWNEIGH;
  }
}

static ssize_t (*telling)(struct msghdr *message); /* answers in the kernel's place */

/* Takes the place of libc's: the kernel's answers go through here. */
ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
  if (telling != NULL) return telling(message);
  const ssize_t received = syscall(SYS_recvmsg, descriptor, message, flags);
  struct nlmsghdr *first = message->msg_iov != NULL ? message->msg_iov->iov_base : NULL;
  ssize_t left = received;
  if (received < (ssize_t)sizeof *first || first == NULL) return received;
  parts++;
  if (parts <= torn_parts) first->nlmsg_flags |= NLM_F_DUMP_INTR;
  for (struct nlmsghdr *at = first; parts <= thin_parts && left >= (ssize_t)sizeof *at;) {
    const ssize_t whole = (ssize_t)NLMSG_ALIGN(at->nlmsg_len);
    hide_link(at);
    at = (struct nlmsghdr *)(void *)((char *)at + whole);
    left -= whole;
  }
  return received;
}

static mctx__result load_disturbed(unsigned torn, unsigned thin, mctx__interfaces *all) {
  parts = 0;
  torn_parts = torn;
  thin_parts = thin;
  thinned = "va";
  const mctx__result result = mctx__interfaces_load(all);
  torn_parts = thin_parts = 0;
  return result;
}

static void test_tables_that_change_are_read_again(void **state) {
  const int before = (int)descriptors_held();
  mctx__interfaces all;
  (void)state;
  host_namespace();
  lab_cable();
  assert_done(load_disturbed(0, 0, &all));
  mctx__interfaces_free(&all);
  const unsigned undisturbed = parts;
  assert_true(undisturbed >= 4);
  assert_done(load_disturbed(5, 0, &all));
  assert_true(parts > undisturbed);
  assert_int_equal(3, all.count);
  mctx__interfaces_free(&all);
  /* An address of a link that was not listed: the link came in between. */
  assert_done(load_disturbed(0, 2, &all));
  assert_true(parts > undisturbed);
  assert_true(lab_interface(&all, "va")->info.address_count >= 2);
  mctx__interfaces_free(&all);
  assert_int_equal(before, (int)descriptors_held());
}

static void test_tables_that_never_rest(void **state) {
  const int before = (int)descriptors_held();
  mctx__interfaces all = {.count = 77};
  (void)state;
  host_namespace();
  lab_cable();
  assert_status(MCTX_ERR_IO, load_disturbed(UINT32_MAX, 0, &all));
  assert_true(parts < 1000);
  assert_status(MCTX_ERR_IO, load_disturbed(0, UINT32_MAX, &all));
  assert_true(parts < 1000);
  assert_int_equal(77, all.count);
  assert_int_equal(before, (int)descriptors_held());
}

/* ---- control messages that this kernel does not send ---- */

static _Alignas(struct cmsghdr) unsigned char told[512];
static size_t told_length;

/* Adds a message that says to be `length` bytes long; zero of them is what a broken one says. */
static void tell(int level, int type, const void *data, size_t size, size_t length) {
  const struct cmsghdr header = {.cmsg_len = length, .cmsg_level = level, .cmsg_type = type};
  memcpy(told + told_length, &header, sizeof header);
  memcpy(told + told_length + CMSG_LEN(0), data, size);
  told_length += CMSG_SPACE(size);
}

static ssize_t tell_all(struct msghdr *message) {
  assert_true(told_length <= message->msg_controllen);
  memcpy(message->msg_control, told, told_length);
  message->msg_controllen = told_length;
  return 5;
}

static mctx__arrival arrival_of(uint32_t wanted) {
  const mctx__span spans[2] = {{told, 16}, {NULL, 0}};
  mctx__arrival arrival;
  memset(&arrival, 0xa5, sizeof arrival);
  telling = tell_all;
  const mctx__result result = mctx__socket_receive((mctx__socket){0}, wanted, true, spans, &arrival);
  telling = NULL;
  told_length = 0;
  assert_done(result);
  assert_int_equal(5, arrival.length);
  return arrival;
}

static const int number = 77;
static const int64_t now[2] = {5000000000, 123456789}; /* more than 32 bits of seconds */

static void test_times_of_64_bits(void **state) {
  (void)state;
  tell(SOL_SOCKET, 64 /* SO_TIMESTAMPNS_NEW */, now, sizeof now, CMSG_LEN(sizeof now));
  tell(IPPROTO_IP, IP_TTL, &number, sizeof number, CMSG_LEN(sizeof number));
  mctx__arrival arrival = arrival_of(MCTX_META_TIME | MCTX_META_HOP_LIMIT);
  assert_int_equal(MCTX_META_TIME | MCTX_META_HOP_LIMIT, arrival.present);
  assert_int_equal(77, arrival.hop_limit);
  assert_true(arrival.time_ns == INT64_C(5000000000123456789));
}

static void test_messages_in_another_order_and_unknown_ones(void **state) {
  static const uint8_t odd[3] = {1, 2, 3};
  const struct in_pktinfo info = {.ipi_ifindex = 9, .ipi_addr.s_addr = htonl(0xe9fc0001)};
  (void)state;
  tell(IPPROTO_UDP, 104 /* UDP_GRO */, &number, sizeof number, CMSG_LEN(sizeof number));
  tell(99, 99, odd, sizeof odd, CMSG_LEN(sizeof odd));
  tell(IPPROTO_IP, IP_TTL, &number, sizeof number, CMSG_LEN(sizeof number));
  tell(IPPROTO_IP, IP_PKTINFO, &info, sizeof info, CMSG_LEN(sizeof info));
  mctx__arrival arrival = arrival_of(MCTX_META_ALL & ~(uint32_t)MCTX_META_SOURCE);
  assert_int_equal(MCTX_META_GROUP | MCTX_META_HOP_LIMIT | MCTX_META_DROPS, arrival.present);
  assert_int_equal(77, arrival.segment_size);
  assert_int_equal(77, arrival.hop_limit);
  assert_int_equal(9, arrival.interface_index);
  assert_int_equal(1, arrival.group.bytes[3]);
  assert_int_equal(0, arrival.drops);
}

/* What was cut is not there; what stands before it is. */
static void test_messages_that_were_cut(void **state) {
  const struct in_pktinfo info = {.ipi_ifindex = 9};
  (void)state;
  for (size_t length = 0; length < CMSG_LEN(sizeof info); length++) {
    tell(SOL_SOCKET, SO_RXQ_OVFL, &number, sizeof number, CMSG_LEN(sizeof number));
    tell(IPPROTO_IP, IP_PKTINFO, &info, sizeof info, length);
    told_length -= CMSG_SPACE(sizeof info) - (length < CMSG_LEN(0) ? CMSG_LEN(0) : length);
    mctx__arrival arrival = arrival_of(MCTX_META_GROUP | MCTX_META_DROPS);
    assert_int_equal(MCTX_META_DROPS, arrival.present);
    assert_int_equal(77, arrival.drops);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_interfaces_when_memory_runs_out),
      cmocka_unit_test(test_a_route_when_memory_runs_out),
      cmocka_unit_test(test_a_long_filter_when_memory_runs_out),
      cmocka_unit_test(test_a_wait_for_many_when_memory_runs_out),
      cmocka_unit_test(test_tables_that_change_are_read_again),
      cmocka_unit_test(test_tables_that_never_rest),
      cmocka_unit_test(test_times_of_64_bits),
      cmocka_unit_test(test_messages_in_another_order_and_unknown_ones),
      cmocka_unit_test(test_messages_that_were_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

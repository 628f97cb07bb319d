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
  const mctx__result result = mctx__route_lookup(&group, 0, NULL, &source, &index);
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

/* Takes the place of libc's: the kernel's answers go through here. */
ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_interfaces_when_memory_runs_out),
      cmocka_unit_test(test_a_route_when_memory_runs_out),
      cmocka_unit_test(test_a_long_filter_when_memory_runs_out),
      cmocka_unit_test(test_a_wait_for_many_when_memory_runs_out),
      cmocka_unit_test(test_tables_that_change_are_read_again),
      cmocka_unit_test(test_tables_that_never_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

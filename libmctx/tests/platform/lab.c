/* SPDX-License-Identifier: MIT */
#include "lab.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t held_before;

int lab_setup(void **state) {
  (void)state;
  held_before = descriptors_held();
  return 0;
}

int lab_teardown(void **state) {
  (void)state;
  return descriptors_held() == held_before ? 0 : -1;
}

void lab_cable(void) {
  host_run("ip link add va type veth peer name vb && ip link set va up && ip link set vb up");
  host_run("ip address add 10.9.0.1/24 dev va && ip -6 address add fd09::1/64 dev va nodad");
  host_await_link("va");
}

int lab_child(int (*body)(void)) {
  int status = -1;
  (void)fflush(stdout);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(body());
  assert_int_equal(child, waitpid(child, &status, 0));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The low halves of the numbers are compared: arguments here are small, and machines little-endian. */
bool lab_refuse(long call, int argument, uint32_t value, uint32_t code) {
  const uint32_t at =
      (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (size_t)(argument < 0 ? 0 : argument));
  const uint8_t when_other = argument < 0 ? 0 : 1;
  struct sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, when_other),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

const mctx__interface *lab_interface(const mctx__interfaces *all, const char *name) {
  for (uint32_t i = 0; i < all->count; i++) {
    if (strcmp(all->items[i].info.name, name) == 0) return &all->items[i];
  }
  fail_msg("no interface %s", name);
  return NULL;
}

mctx_address lab_address(const char *text, uint16_t port, uint32_t scope_id) {
  mctx_address address = {.port = port, .scope_id = scope_id};
  address.family = strchr(text, ':') != NULL ? 6 : 4;
  assert_int_equal(1, inet_pton(address.family == 6 ? AF_INET6 : AF_INET, text, address.bytes));
  return address;
}

bool lab_same(const mctx_address *a, const mctx_address *b) {
  return memcmp(a, b, sizeof *a) == 0;
}

mctx__socket lab_socket(uint32_t family) {
  mctx__socket socket = MCTX__NO_SOCKET;
  assert_done(mctx__socket_open(family, &socket));
  return socket;
}

int lab_receiver(const mctx_address *group, uint32_t index) {
  struct sockaddr_storage native;
  const socklen_t length = mctx__sockaddr_set(&native, group);
  const int one = 1;
  const int receiver = socket(native.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(receiver >= 0);
  assert_int_equal(0, setsockopt(receiver, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
  assert_int_equal(0, bind(receiver, (struct sockaddr *)&native, length));
  if (index == 0) return receiver;
  struct group_req join = {.gr_interface = index};
  memcpy(&join.gr_group, &native, sizeof native);
  const int level = group->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
  assert_int_equal(0, setsockopt(receiver, level, MCAST_JOIN_GROUP, &join, sizeof join));
  return receiver;
}

ssize_t lab_receive(int receiver, void *buffer, size_t capacity) {
  struct pollfd watched = {.fd = receiver, .events = POLLIN};
  if (poll(&watched, 1, 10000) != 1) return -1;
  return recv(receiver, buffer, capacity, MSG_DONTWAIT);
}

mctx__result lab_send_many(mctx__socket sender, const mctx__endpoint *endpoint, const mctx_slice *slices,
                           uint32_t count, uint32_t *taken) {
  mctx__outgoing messages[LAB_MANY_MAX];
  if (count > LAB_MANY_MAX) count = LAB_MANY_MAX;
  for (uint32_t i = 0; i < count; i++)
    messages[i] = (mctx__outgoing){.pieces = &slices[i], .piece_count = 1};
  return mctx__socket_send_many(sender, endpoint, messages, count, taken);
}

int lab_get(mctx__socket socket, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  assert_int_equal(0, getsockopt(mctx__descriptor(socket), level, name, &value, &length));
  return value;
}

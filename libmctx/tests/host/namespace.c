/* SPDX-License-Identifier: MIT */
/* Network namespaces of the tests' own: what is sent there never leaves this machine. */
#include "namespace.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int here = -1;
static int there = -1;

static void write_text(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  if (write(file, text, strlen(text)) < 0) print_message("%s cannot be written\n", path);
  close(file);
}

/* A user namespace where this user is root, for those who are not. */
static bool become_root(void) {
  char map[64];
  unsigned user = (unsigned)geteuid();
  unsigned group = (unsigned)getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  write_text("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "0 %u 1", user);
  write_text("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "0 %u 1", group);
  write_text("/proc/self/gid_map", map);
  return true;
}

static int own_namespace(void) {
  int descriptor = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  assert_true(descriptor >= 0);
  return descriptor;
}

static bool run(const char *format, va_list arguments) {
  char command[1024];
  int length = vsnprintf(command, sizeof command, format, arguments);
  assert_in_range(length, 1, (int)sizeof command - 1);
  fflush(stdout);
  return system(command) == 0; /* NOLINT(cert-env33-c): the commands are this program's own */
}

bool host_try(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  bool done = run(format, arguments);
  va_end(arguments);
  return done;
}

bool there_try(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  there_begin();
  bool done = run(format, arguments);
  there_end();
  va_end(arguments);
  return done;
}

bool host_has(const char *program) {
  return host_try("command -v %s >/dev/null", program);
}

void there_begin(void) {
  assert_int_equal(0, setns(there, CLONE_NEWNET));
}

void there_end(void) {
  assert_int_equal(0, setns(here, CLONE_NEWNET));
}

static void forget_namespaces(void) {
  if (here >= 0) close(here);
  if (there >= 0) close(there);
  here = there = -1;
}

void host_namespace(void) {
  forget_namespaces();
  if (unshare(CLONE_NEWNET) != 0 && !become_root()) SKIP("this host allows no network namespace");
  if (!host_try("ip link set lo up")) SKIP("the command ip is missing: apt-get install iproute2");
}

static bool has_ipv6(void) {
  return access("/proc/sys/net/ipv6", F_OK) == 0;
}

uint32_t host_family(void **state) {
  uint32_t family = **(uint32_t **)state;
  if (family == 6 && !has_ipv6()) SKIP("this host has no IPv6");
  return family;
}

void host_alone(void) {
  host_namespace();
  host_run("ip route add 224.0.0.0/4 dev lo");
  if (has_ipv6()) host_run("ip -6 route add local ff00::/8 dev lo table local");
}

void host_address(const char *interface, int net, int number) {
  host_run("ip address add 10.%d.0.%d/24 dev %s", net, number, interface);
  if (has_ipv6()) host_run("ip -6 address add fd%02d::%d/64 dev %s nodad", net, number, interface);
}

/* Addresses without duplicate detection, which would keep them tentative for a second. */
static void plug(const char *interface, int net, int number) {
  if (has_ipv6()) {
    host_run("echo 0 > /proc/sys/net/ipv6/conf/%s/accept_dad", interface);
    host_run("echo 0 > /proc/sys/net/ipv6/conf/%s/router_solicitations", interface);
  }
  host_address(interface, net, number);
  host_run("ip link set %s up", interface);
}

/* A table of the network namespace that this thread is in. */
static FILE *open_table(const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/thread-self/net/%s", name);
  FILE *table = fopen(path, "re");
  assert_non_null(table);
  return table;
}

/* Whether what is sent to this address, 32 digits, is taken in. */
static bool has_local_route(const char *digits) {
  enum { LOCAL = 0x80000000 }; /* RTF_LOCAL of linux/ipv6_route.h */
  char to[33];
  unsigned length;
  unsigned flags;
  bool found = false;
  FILE *routes = open_table("ipv6_route");
  while (!found && fscanf(routes, "%32s %x %*s %*s %*s %*s %*s %*s %x %*s", to, &length, &flags) == 3)
    found = length == 128 && (flags & LOCAL) != 0 && strcmp(to, digits) == 0;
  fclose(routes);
  return found;
}

/* A worker of the kernel gives an address its route a moment after it was added or its link came up. */
static bool addresses_have_routes(const char *interface) {
  enum { TENTATIVE = 0x40 };
  char digits[33];
  char name[32];
  unsigned flags;
  bool all = true;
  FILE *addresses = open_table("if_inet6");
  while (all && fscanf(addresses, "%32s %*s %*s %*s %x %31s", digits, &flags, name) == 3)
    all = strcmp(name, interface) != 0 || (flags & TENTATIVE) != 0 || has_local_route(digits);
  fclose(addresses);
  return all;
}

/* IPv6 has its multicast route once the link has a carrier, which takes a moment. */
void host_await_link(const char *interface) {
  for (int i = 0; has_ipv6() && i < 200; i++) {
    if (addresses_have_routes(interface) &&
        host_try("ip -6 route get ff15::1 oif %s 2>&1 | grep -q 'src f'", interface))
      return;
    sleep_ms(10);
  }
}

/* Index 0: the next one. */
static void lay(const char *own, const char *peer, int net, uint32_t index) {
  char number[24] = "";
  if (index != 0) snprintf(number, sizeof number, "index %u", index);
  host_run("ip link add %s %s type veth peer name %s netns /proc/%d/fd/%d", own, number, peer, (int)getpid(),
           there);
  plug(own, net, 1);
  there_begin();
  plug(peer, net, 2);
  host_await_link(peer);
  there_end();
  host_await_link(own);
}

void host_cable(const char *own, const char *peer, int net) {
  lay(own, peer, net, 0);
}

void host_bare_cables(int count) {
  there_begin();
  if (has_ipv6()) host_run("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
  there_end();
  host_run(
      "for i in $(seq 0 %d); do ip link add na$i type veth peer name nb$i netns /proc/%d/fd/%d && "
      "ip link set na$i up || exit; done",
      count - 1, (int)getpid(), there);
  there_begin();
  host_run("for i in $(seq 0 %d); do ip link set nb$i up || exit; done", count - 1);
  for (int i = 0; i < count; i++) {
    char name[16];
    snprintf(name, sizeof name, "nb%d", i);
    host_await_link(name);
  }
  there_end();
}

void host_plug_as(uint32_t index) {
  lay("va", "vb", 9, index);
  host_run("ip route add 224.0.0.0/4 dev va");
  there_run("ip route add 224.0.0.0/4 dev vb");
}

void host_plug(void) {
  host_plug_as(0);
}

void host_pair(void) {
  host_namespace();
  there = own_namespace();
  assert_int_equal(0, unshare(CLONE_NEWNET));
  here = own_namespace();
  host_run("ip link set lo up");
  host_plug();
}

uint32_t host_index(const char *interface) {
  uint32_t index = if_nametoindex(interface);
  assert_int_not_equal(0, index);
  return index;
}

/* SPDX-License-Identifier: MIT */
/* A publication that shares a port takes nothing that was meant for others: no group that some other program of
 * this host joined is ever queued on its socket. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/host.h"

enum { QUIET_MS = 60 };

static arrival got;

static const char *own_group(uint32_t family) {
  return family == 4 ? "239.7.7.7:5100" : "[ff15::7:7]:5100";
}

static const char *other_group(uint32_t family) {
  return family == 4 ? "239.8.8.8:5100" : "[ff15::8:8]:5100";
}

static mctx_publication open_on_the_port(mctx_context context, uint32_t family, int32_t connected) {
  mctx_publication_options options = options_through(own_group(family), "lo");
  options.source_port = 5100;
  options.connected = connected;
  return open_with(context, &options);
}

/* Sends to the port from elsewhere: to a group, or to this host alone. */
static void send_to(const char *destination) {
  struct sockaddr_storage native;
  char byte = 'x';
  mctx_address address = address_of(destination);
  int sender = socket(address.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(sender >= 0);
  int index = (int)host_index("lo");
  struct ip_mreqn through = {.imr_ifindex = index};
  if (address.family == 6)
    assert_int_equal(0, setsockopt(sender, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index));
  else
    assert_int_equal(0, setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &through, sizeof through));
  socklen_t length = native_address(&native, &address);
  assert_int_equal(1, sendto(sender, &byte, 1, 0, (struct sockaddr *)&native, length));
  close(sender);
}

static void assert_nothing_queued(mctx_publication publication) {
  uint32_t ready = 7;
  char byte;
  assert_status(mctx_wait(publication, MCTX_READABLE, 0, QUIET_MS * MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  assert_int_equal(ready, 0);
  assert_int_equal(-1, recv(socket_of(publication), &byte, 1, MSG_DONTWAIT));
}

static void no_group_of_others_is_queued(void **state) {
  uint32_t family = host_family(state);
  host_alone();
  int others[] = {receiver_open(own_group(family), "lo"), receiver_open(other_group(family), "lo")};
  mctx_context context = open_context();
  for (int32_t connected = 0; connected <= 1; connected++) {
    mctx_publication publication = open_on_the_port(context, family, connected);
    send_to(own_group(family));
    send_to(other_group(family));
    assert_ok(mctx_send(publication, "own", 3, NULL));
    for (int i = 0; i < 2; i++)
      assert_true(receiver_next(others[i], &got, PATIENCE_MS));
    assert_true(receiver_next(others[0], &got, PATIENCE_MS));
    assert_nothing_queued(publication);
    assert_ok(mctx_close(publication, NULL));
  }
  assert_ok(mctx_close(context, NULL));
  close(others[0]);
  close(others[1]);
}

/* That the test above could fail: a socket that is not isolated gets them, and `readable` says so. */
static void without_isolation_they_would_be(void **state) {
  uint32_t family = host_family(state);
  uint32_t ready;
  int on = 1;
  host_alone();
  int other = receiver_open(other_group(family), "lo");
  mctx_context context = open_context();
  mctx_publication publication = open_on_the_port(context, family, 0);
  int socket = socket_of(publication);
  if (family == 4)
    assert_int_equal(0, setsockopt(socket, IPPROTO_IP, IP_MULTICAST_ALL, &on, sizeof on));
  else
    assert_int_equal(0, setsockopt(socket, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &on, sizeof on));
  send_to(other_group(family));
  assert_ok(mctx_wait(publication, MCTX_READABLE, 0, PATIENCE_MS * MILLI, &ready, NULL));
  assert_int_equal(ready, MCTX_READABLE);
  assert_ok(mctx_close(context, NULL));
  close(other);
}

/* As documented: on a fixed port, unconnected, it has that port's unicast; connected, it has not. */
static void unicast_comes_to_an_unconnected_one_alone(void **state) {
  uint32_t family = host_family(state);
  uint32_t ready;
  const char *destination = family == 4 ? "127.0.0.1:5100" : "[::1]:5100";
  host_alone();
  mctx_context context = open_context();
  mctx_publication publication = open_on_the_port(context, family, 0);
  send_to(destination);
  assert_ok(mctx_wait(publication, MCTX_READABLE, 0, PATIENCE_MS * MILLI, &ready, NULL));
  assert_ok(mctx_wait(publication, MCTX_READABLE | MCTX_WRITABLE, 0, 0, &ready, NULL));
  assert_int_equal(ready, MCTX_READABLE | MCTX_WRITABLE);
  assert_ok(mctx_close(publication, NULL));
  publication = open_on_the_port(context, family, 1);
  send_to(destination);
  assert_nothing_queued(publication);
  assert_ok(mctx_close(context, NULL));
}

/* Two publications and a plain receiver share one port, as mDNS does. */
static void many_share_a_port_when_asked_to(void **state) {
  uint32_t family = host_family(state);
  mctx_error error = MCTX_ERROR_INIT;
  mctx_publication refused;
  host_alone();
  int receiver = receiver_open(own_group(family), "lo");
  mctx_context context = open_context();
  mctx_publication_options options = options_through(own_group(family), "lo");
  options.source_port = 5100;
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  for (int i = 0; i < 2; i++) {
    mctx_publication publication = open_with(context, &options);
    assert_int_equal(info_of(publication).local.port, 5100);
    assert_ok(mctx_send(publication, "both", 4, NULL));
    assert_true(receiver_next(receiver, &got, PATIENCE_MS));
    assert_int_equal(got.source.port, 5100);
  }
  options.reuse_port = 0;
  assert_status(mctx_publication_open(context, &options, &refused, &error), MCTX_ERR_ADDRESS_IN_USE);
  assert_string_equal(error.field, "source_port");
  assert_string_not_equal(error.hint, "");
  assert_ok(mctx_close(context, NULL));
  close(receiver);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(no_group_of_others_is_queued),
      BOTH_FAMILIES(without_isolation_they_would_be),
      BOTH_FAMILIES(unicast_comes_to_an_unconnected_one_alone),
      BOTH_FAMILIES(many_share_a_port_when_asked_to),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

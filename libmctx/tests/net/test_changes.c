/* SPDX-License-Identifier: MIT */
/* The host changes under an open publication: links, interfaces, addresses, routes, firewalls. A failure says
 * what happened and to which interface, and what can go on goes on. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

enum { QUIET_MS = 50 };

static uint32_t family;
static mctx_context context;
static int remote; /* a member of the group there */
static arrival got;

static void pair_up(uint32_t of_family) {
  family = of_family;
  host_pair();
  remote = receiver_there(group_of(family), "vb");
  context = open_context();
}

static void pair_down(void) {
  assert_ok(mctx_close(context, NULL));
  close(remote);
}

static const char *address_text(int number) {
  static char text[32];
  snprintf(text, sizeof text, family == 4 ? "10.9.0.%d" : "fd09::%d", number);
  return text;
}

static void address_change(const char *what, int number) {
  host_run("ip address %s %s/%d dev va %s", what, address_text(number), family == 4 ? 24 : 64,
           family == 6 && strcmp(what, "add") == 0 ? "nodad" : "");
}

/* ---- short forms ---- */

static void assert_sends(mctx_publication publication) {
  static uint32_t number;
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 0;
  number++;
  mctx_slice slice = {.data = &number, .length = sizeof number};
  mctx_status status = mctx_send(publication, &number, sizeof number, &error);
  if (status != MCTX_OK) fail_msg("%s: %s: %s", mctx_status_name(status), error.message, error.hint);
  assert_ok(mctx_send_batch(publication, &slice, 1, 0, 0, &accepted, NULL));
  for (int i = 0; i < 2; i++) {
    assert_true(receiver_next(remote, &got, PATIENCE_MS));
    assert_int_equal(got.length, sizeof number);
    assert_memory_equal(got.data, &number, sizeof number);
  }
}

/* Every way of sending fails so, and the record helps. */
static mctx_error assert_refuses(mctx_publication publication, mctx_status expected, const char *word) {
  mctx_error error = MCTX_ERROR_INIT;
  mctx_slice slices[2] = {{.data = "x", .length = 1}, {.data = "y", .length = 1}};
  uint64_t accepted = 7;
  assert_status(mctx_send_batch(publication, slices, 2, 0, -1, &accepted, &error), expected);
  assert_int_equal(accepted, 0);
  assert_int_equal(error.item, 0);
  assert_status(mctx_send_segments(publication, "xy", 2, 1, 0, 0, &accepted, &error), expected);
  assert_status(mctx_send(publication, "x", 1, &error), expected);
  assert_int_equal(error.status, expected);
  assert_int_not_equal(error.os_code, 0);
  assert_string_not_equal(error.hint, "");
  if (strstr(error.message, word) == NULL && strstr(error.hint, word) == NULL)
    fail_msg("neither \"%s\" nor \"%s\" says \"%s\"", error.message, error.hint, word);
  return error;
}

static mctx_event only_event(mctx_handle handle, uint32_t type) {
  mctx_event events[4];
  uint32_t count;
  assert_ok(mctx_events(handle, events, sizeof events[0], 4, &count, NULL));
  assert_int_equal(count, 1);
  assert_int_equal(events[0].type, type);
  return events[0];
}

static void assert_no_event(mctx_handle handle) {
  mctx_event event;
  uint32_t count;
  assert_ok(mctx_events(handle, &event, sizeof event, 1, &count, NULL));
  assert_int_equal(count, 0);
}

/* ---- links ---- */

static void a_link_goes_down_and_comes_up(void **state) {
  pair_up(host_family(state));
  if (family == 6) host_run("echo 1 > /proc/sys/net/ipv6/conf/va/keep_addr_on_down");
  for (int32_t connected = 0; connected <= 1; connected++) {
    mctx_publication_options options = options_through(group_of(family), "va");
    options.connected = connected;
    mctx_publication publication = open_with(context, &options);
    assert_sends(publication);
    host_run("ip link set va down");
    assert_refuses(publication, MCTX_ERR_INTERFACE_DOWN, "ip link set va up");
    host_run("ip link set va up");
    host_await_link("va");
    assert_sends(publication);
    assert_int_equal(info_of(publication).connected, connected);
    assert_ok(mctx_close(publication, NULL));
  }
  pair_down();
}

static void opening_needs_no_link(void **state) {
  pair_up(host_family(state));
  host_run("ip link set va down");
  mctx_publication_options options = options_through(group_of(family), "va");
  mctx_publication silent = open_with(context, &options);
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  mctx_publication eager = open_with(context, &options);
  assert_refuses(eager, MCTX_ERR_INTERFACE_DOWN, "va");
  host_run("ip link set va up");
  host_await_link("va");
  assert_sends(silent);
  assert_sends(eager);
  pair_down();
}

/* Deleted, and made anew under the same name: another index, the same interface to its user. */
static void an_interface_is_made_anew(void **state) {
  for (uint32_t by = MCTX_INTERFACE_BY_ADDRESS; by <= MCTX_INTERFACE_BY_NAME; by++) {
    pair_up(host_family(state));
    mctx_publication_options options = options_for(group_of(family));
    options.outgoing_interface.by = by;
    options.outgoing_interface.name = "va";
    if (by == MCTX_INTERFACE_BY_ADDRESS) {
      options.outgoing_interface.name = NULL;
      options.outgoing_interface.address = address_of(address_text(1));
    }
    mctx_publication publication = open_with(context, &options);
    assert_sends(publication);
    uint32_t old = host_index("va");
    host_run("ip link delete va");
    assert_refuses(publication, MCTX_ERR_INTERFACE_GONE, by == MCTX_INTERFACE_BY_NAME ? "va" : "index");
    close(remote);
    host_plug();
    remote = receiver_there(group_of(family), "vb");
    assert_int_not_equal(old, host_index("va"));
    assert_sends(publication);
    assert_int_equal(info_of(publication).interface_index, host_index("va"));
    pair_down();
  }
}

/* By its index it was that one interface and no other. */
static void an_interface_by_index_does_not_come_back(void **state) {
  pair_up(host_family(state));
  mctx_publication_options options = options_for(group_of(family));
  options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
  options.outgoing_interface.index = host_index("va");
  mctx_publication publication = open_with(context, &options);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  host_run("ip link delete va");
  assert_refuses(publication, MCTX_ERR_INTERFACE_GONE, "index");
  host_plug();
  assert_refuses(publication, MCTX_ERR_INTERFACE_GONE, "index");
  pair_down();
}

/* ---- addresses ---- */

static void a_source_that_the_system_chose_is_chosen_again(void **state) {
  (void)state;
  mctx_address source;
  mctx_address group;
  pair_up(4);
  mctx_publication publication = open_through(context, group_of(family), "va");
  assert_sends(publication);
  assert_no_event(publication);
  const uint16_t port = got.source.port;
  static const int numbers[] = {1, 11, 12, 1};
  for (uint64_t i = 1; i < sizeof numbers / sizeof numbers[0]; i++) {
    address_change("del", numbers[i - 1]);
    address_change("add", numbers[i]);
    assert_sends(publication);
    mctx_event event = only_event(context, MCTX_EVENT_SOURCE_CHANGED);
    assert_int_equal(event.handle, publication);
    assert_memory_equal(&event.address, &got.source, sizeof got.source);
    assert_ok(mctx_publication_announce(publication, &source, &group, NULL));
    assert_memory_equal(&source, &got.source, sizeof source);
    assert_int_equal(got.source.port, port); /* though the system had chosen it */
    got.source.port = 0;
    assert_address(&got.source, address_text(numbers[i]));
    assert_sends(publication);
    assert_no_event(publication);
    assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "reconnects"), i);
  }
  assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "send_errors"), 0);
  pair_down();
}

/* A fixed source port stays through all that. */
static void the_source_port_stays_when_the_source_changes(void **state) {
  (void)state;
  pair_up(4);
  mctx_publication_options options = options_through(group_of(family), "va");
  options.source_port = 5100;
  mctx_publication publication = open_with(context, &options);
  assert_sends(publication);
  address_change("del", 1);
  address_change("add", 9);
  assert_sends(publication);
  assert_address(&got.source, "10.9.0.9:5100");
  pair_down();
}

/* Linux sends IPv6 datagrams from an address that has gone, and tells nobody: nobody asked for that one. */
static void an_ipv6_source_that_nobody_named_stops_nothing(void **state) {
  pair_up(host_family(state));
  mctx_publication publication = open_through(context, group_of(family), "va");
  assert_sends(publication);
  address_change("del", 1);
  assert_sends(publication);
  assert_no_event(publication);
  pair_down();
}

static void a_source_that_the_user_named_is_missed(void **state) {
  pair_up(host_family(state));
  address_change("add", 77);
  for (int32_t connected = 0; connected <= 1; connected++) {
    mctx_publication_options options = options_through(group_of(family), "va");
    options.source = address_of(address_text(77));
    options.connected = connected;
    mctx_publication publication = open_with(context, &options);
    assert_sends(publication);
    for (int round = 0; round < 2; round++) {
      address_change("del", 77);
      assert_refuses(publication, MCTX_ERR_SOURCE_GONE, address_text(77));
      const mctx_slice many[2] = {{.data = "a", .length = 1}, {.data = "b", .length = 1}};
      uint64_t accepted = 7;
      assert_status(mctx_send_batch(publication, many, 2, 0, 0, &accepted, NULL), MCTX_ERR_SOURCE_GONE);
      assert_int_equal(accepted, 0);
      mctx_event event = only_event(publication, MCTX_EVENT_SOURCE_GONE);
      event.address.port = 0;
      assert_address(&event.address, address_text(77));
      assert_silent(remote, QUIET_MS);
      address_change("add", 77);
      assert_sends(publication);
      got.source.port = 0;
      assert_address(&got.source, address_text(77));
    }
    assert_ok(mctx_close(publication, NULL));
  }
  pair_down();
}

/* It sends from the address of another interface, or else from 0.0.0.0: never an error, and told as it is. */
static void an_interface_without_an_ipv4_address(void **state) {
  (void)state;
  mctx_address source;
  mctx_address group;
  mctx_error error = MCTX_ERROR_INIT;
  host_pair();
  host_run("ip -4 address flush dev va");
  remote = receiver_there("224.0.0.177:5007", "vb");
  context = open_context();
  mctx_publication_options options = options_through("224.0.0.177:5007", "va");
  mctx_publication publication = open_with(context, &options);
  assert_sends(publication);
  got.source.port = 0;
  assert_address(&got.source, "0.0.0.0");
  assert_int_equal(info_of(publication).sender.family, 0);
  assert_status(mctx_publication_announce(publication, &source, &group, &error), MCTX_ERR_NO_ROUTE);
  assert_string_not_equal(error.hint, "");
  assert_ok(mctx_close(publication, NULL));

  host_run("ip link add other type veth peer name rehto && ip link set other up");
  host_run("ip address add 10.8.0.1/24 dev other");
  publication = open_with(context, &options);
  assert_sends(publication);
  assert_ok(mctx_publication_announce(publication, &source, &group, NULL));
  assert_memory_equal(&source, &got.source, sizeof source);
  got.source.port = 0;
  assert_address(&got.source, "10.8.0.1");
  pair_down();
}

/* ---- routes ---- */

static void without_a_route_a_send_says_so(void **state) {
  pair_up(host_family(state));
  if (family == 4)
    host_run("ip route delete 224.0.0.0/4 dev va");
  else
    host_run("ip -6 route flush table local type multicast");
  mctx_publication_options options = options_for(group_of(family));
  mctx_publication publication = open_with(context, &options);
  assert_refuses(publication, MCTX_ERR_NO_ROUTE, family == 4 ? "ip route add" : "ip -6 route add");
  if (family == 4)
    host_run("ip route add 224.0.0.0/4 dev va");
  else
    host_run("ip -6 route add multicast ff00::/8 dev va table local");
  assert_sends(publication);
  pair_down();
}

/* ---- firewalls ---- */

/* Refuses datagrams with a payload of 500 bytes. */
static bool refuse_500(void) {
  int header = family == 4 ? 28 : 48;
  return host_try("%s -A OUTPUT -p udp -m length --length %d -j DROP 2>/dev/null",
                  family == 4 ? "iptables" : "ip6tables", 500 + header) ||
         host_try(
             "nft add table inet mctx 2>/dev/null && nft 'add chain inet mctx out { type filter hook output "
             "priority 0; }' && nft add rule inet mctx out udp length 508 drop");
}

static void a_firewall_stops_a_batch_where_it_refuses(void **state) {
  enum { COUNT = 5, AT = 3 };
  static const unsigned char payload[600];
  mctx_slice slices[COUNT];
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted;
  pair_up(host_family(state));
  if (!refuse_500()) SKIP("neither iptables nor nft works here");
  mctx_publication publication = open_through(context, group_of(family), "va");
  for (uint32_t i = 0; i < COUNT; i++) {
    slices[i].data = payload;
    slices[i].length = i == AT ? 500 : i < AT ? i + 1 : 600; /* each alone: a rule sees superpackets whole */
  }
  assert_status(mctx_send_batch(publication, slices, COUNT, 0, -1, &accepted, &error), MCTX_ERR_FIREWALL);
  assert_int_equal(accepted, AT);
  assert_int_equal(error.item, AT);
  assert_int_equal(error.kind, MCTX_KIND_PERMISSION);
  assert_non_null(strstr(error.hint, "nft"));
  for (uint32_t i = 0; i < AT; i++) {
    assert_true(receiver_next(remote, &got, PATIENCE_MS));
    assert_int_equal(got.length, i + 1);
  }
  assert_silent(remote, QUIET_MS);
  assert_status(mctx_send(publication, payload, 500, &error), MCTX_ERR_FIREWALL);
  assert_sends(publication);
  pair_down();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(a_link_goes_down_and_comes_up),
      BOTH_FAMILIES(opening_needs_no_link),
      BOTH_FAMILIES(an_interface_is_made_anew),
      BOTH_FAMILIES(an_interface_by_index_does_not_come_back),
      cmocka_unit_test(a_source_that_the_system_chose_is_chosen_again),
      cmocka_unit_test(the_source_port_stays_when_the_source_changes),
      BOTH_FAMILIES(a_source_that_the_user_named_is_missed),
      {"an_ipv6_source_that_nobody_named_stops_nothing", an_ipv6_source_that_nobody_named_stops_nothing, NULL,
       NULL, (void *)(uintptr_t)&host_families[1]},
      cmocka_unit_test(an_interface_without_an_ipv4_address),
      BOTH_FAMILIES(without_a_route_a_send_says_so),
      BOTH_FAMILIES(a_firewall_stops_a_batch_where_it_refuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The simulated network itself: it delivers what Linux delivers. What is asserted here of memberships, filters
 * and bindings was measured on Linux, or stands in the function that the rule names; the tests of the platform
 * make the same assertions of the real one.
 */
#include <stdbool.h>

#include "platform.h"
#include "sim_fixture.h"

#define PORT 5000

#define assert_done(call) assert_ok((call).status)

static mctx_address at_port(const char *text) {
  mctx_address address = address_of(text);
  address.port = PORT;
  return address;
}

static mctx__socket receiver_on(const char *local, uint32_t held_to) {
  mctx_address address = at_port(local);
  mctx__socket socket;
  assert_done(mctx__socket_open(address.family, &socket));
  assert_done(mctx__socket_set(socket, address.family, MCTX__REUSE_PORT, 1));
  assert_done(mctx__socket_set(socket, address.family, MCTX__ISOLATED, 1));
  if (held_to != 0) assert_done(mctx__socket_hold_to(socket, held_to));
  assert_done(mctx__socket_bind(socket, &address));
  return socket;
}

static void join(mctx__socket socket, const char *group, uint32_t index) {
  mctx_address address = address_of(group);
  assert_done(mctx__socket_join(socket, &address, index));
}

static mctx_status try_join(mctx__socket socket, const char *group, uint32_t index) {
  mctx_address address = address_of(group);
  return mctx__socket_join(socket, &address, index).status;
}

static void join_source(mctx__socket socket, const char *group, uint32_t index, const char *source) {
  mctx_address address = address_of(group);
  mctx_address from = address_of(source);
  assert_done(mctx__socket_join_source(socket, &address, index, &from));
}

static int32_t arrive(const char *source, const char *destination, uint32_t index) {
  mctx_sim_arrival arrival = {.source = at_port(source),
                              .destination = at_port(destination),
                              .interface_index = index,
                              .hop_limit = 9,
                              .traffic_class = 3,
                              .length = 4};
  return mctx_sim_deliver(&arrival);
}

static uint64_t queued(mctx__socket socket) {
  mctx_os_handle native = mctx__socket_native(socket);
  return mctx_sim_socket_queued(&native);
}

/* ---- delivery ---- */

static void an_ipv4_membership_counts_on_its_interface(void **state) {
  (void)state;
  mctx__socket socket = receiver_on("239.1.1.1", 0);
  join(socket, "239.1.1.1", 2);
  assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 1);
  assert_int_equal(arrive("10.0.1.9", "239.1.1.1", 3), 0);
  assert_int_equal(arrive("10.0.0.9", "239.1.1.2", 2), 0);
  join(socket, "239.1.1.1", 3);
  assert_int_equal(arrive("10.0.1.9", "239.1.1.1", 3), 1);
  mctx__socket_close(socket);
}

/* ip_mc_sf_allow() looks for the interface too, inet6_mc_check() does not. */
static void the_first_ipv6_membership_of_a_group_decides_for_all_interfaces(void **state) {
  (void)state;
  mctx__socket socket = receiver_on("::", 0);
  join_source(socket, "ff15::1", 2, "fd00::9");
  join_source(socket, "ff15::1", 3, "fd01::9");
  assert_int_equal(arrive("fd01::9", "ff15::1", 2), 1); /* the one joined last lets it through */
  assert_int_equal(arrive("fd00::9", "ff15::1", 2), 0);
  mctx__socket_close(socket);

  mctx__socket v4 = receiver_on("0.0.0.0", 0);
  join_source(v4, "239.1.1.1", 2, "10.0.0.9");
  join_source(v4, "239.1.1.1", 3, "10.0.1.9");
  assert_int_equal(arrive("10.0.1.9", "239.1.1.1", 2), 0);
  assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 1);
  mctx__socket_close(v4);
}

static void a_socket_that_is_held_to_an_interface_hears_no_other(void **state) {
  (void)state;
  mctx__socket held = receiver_on("ff15::1", 2);
  mctx__socket other = receiver_on("ff15::1", 3);
  join(held, "ff15::1", 2);
  join(other, "ff15::1", 3);
  assert_int_equal(arrive("fd00::9", "ff15::1", 2), 1);
  assert_int_equal(arrive("fd01::9", "ff15::1", 3), 1);
  assert_int_equal(queued(held), 1);
  assert_int_equal(queued(other), 1);
  mctx__socket_close(held);
  mctx__socket_close(other);
}

static void only_who_is_not_isolated_hears_the_groups_of_others(void **state) {
  (void)state;
  mctx__socket isolated = receiver_on("0.0.0.0", 0);
  mctx__socket leaky = receiver_on("0.0.0.0", 0);
  mctx__socket other = receiver_on("239.1.1.1", 0);
  assert_done(mctx__socket_set(leaky, 4, MCTX__ISOLATED, 0));
  assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 0); /* nobody of this host wants it */
  join_source(other, "239.1.1.1", 2, "10.0.0.9");
  assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 2);
  assert_int_equal(arrive("10.0.0.8", "239.1.1.1", 2), 0); /* the filters of all sockets, merged */
  assert_int_equal(queued(isolated), 0);
  assert_int_equal(queued(leaky), 1);
  mctx__socket_close(isolated);
  mctx__socket_close(leaky);
  mctx__socket_close(other);
}

static void unicast_goes_to_the_newest_and_broadcast_to_all_on_the_wildcard(void **state) {
  (void)state;
  mctx__socket bound = receiver_on("239.1.1.1", 0);
  mctx__socket older = receiver_on("0.0.0.0", 0);
  mctx__socket newer = receiver_on("0.0.0.0", 0);
  join(bound, "239.1.1.1", 2);
  assert_int_equal(arrive("10.0.0.9", "10.0.0.1", 2), 1);
  assert_int_equal(queued(older), 0);
  assert_int_equal(queued(newer), 1);
  assert_int_equal(arrive("10.0.0.9", "10.0.0.255", 2), 2);
  assert_int_equal(arrive("10.0.0.9", "255.255.255.255", 2), 2);
  assert_int_equal(arrive("10.0.0.9", "10.0.0.77", 2), 0);
  assert_int_equal(queued(bound), 0);
  mctx__socket_close(bound);
  mctx__socket_close(older);
  mctx__socket_close(newer);
}

static void nothing_arrives_at_an_interface_that_is_down_or_a_port_of_a_bridge(void **state) {
  (void)state;
  mctx__socket socket = receiver_on("239.1.1.1", 0);
  join(socket, "239.1.1.1", 2);
  const uint32_t up = MCTX_INTERFACE_UP | MCTX_INTERFACE_MULTICAST;
  assert_true(mctx_sim_interface_set(2, "eth0", MCTX_INTERFACE_MULTICAST, 1500));
  assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 0);
  assert_true(mctx_sim_interface_set(2, "eth0", up | MCTX_INTERFACE_ENSLAVED, 1500));
  assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 0);
  assert_true(mctx_sim_interface_set(2, "eth9", up, 1500)); /* a new name is nothing new */
  assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 1);
  mctx__socket_close(socket);
}

static void what_a_socket_of_this_host_sends_comes_back_to_members(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx__socket socket = receiver_on("239.1.1.1", 0);
  join(socket, "239.1.1.1", 2);
  assert_ok(mctx_send(publication, "abc", 3, NULL));
  assert_int_equal(queued(socket), 1);
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.loopback = 0;
  mctx_publication deaf = open_with(context, &options);
  assert_ok(mctx_send(deaf, "abc", 3, NULL));
  assert_int_equal(queued(socket), 1);
  mctx__socket_close(socket);
  assert_closed(context);
}

/* ---- memberships ---- */

static void a_membership_dies_with_its_interface_and_still_counts(void **state) {
  (void)state;
  static const char *const groups[] = {"239.1.1.1", "ff15::1"};
  static const char *const sources[] = {"10.0.0.9", "fd00::9"};
  for (int i = 0; i < 2; i++) {
    mctx__socket socket = receiver_on(i == 0 ? "0.0.0.0" : "::", 0);
    join(socket, groups[i], 2);
    assert_true(mctx_sim_interface_remove(2));
    assert_true(mctx_sim_interface_set(2, "eth0", MCTX_INTERFACE_UP | MCTX_INTERFACE_MULTICAST, 1500));
    assert_int_equal(arrive(sources[i], groups[i], 2), 0);
    mctx_sim_membership membership;
    assert_true(mctx_sim_membership_at(0, &membership));
    assert_int_equal(membership.alive, 0);
    assert_status(try_join(socket, groups[i], 2), MCTX_ERR_ADDRESS_IN_USE);
    mctx_address group = address_of(groups[i]);
    assert_done(mctx__socket_leave(socket, &group, 2));
    join(socket, groups[i], 2);
    assert_int_equal(arrive(sources[i], groups[i], 2), 1);
    mctx__socket_close(socket);
  }
}

static void a_small_mtu_refuses_ipv6_and_ends_its_memberships(void **state) {
  (void)state;
  const uint32_t up = MCTX_INTERFACE_UP | MCTX_INTERFACE_MULTICAST;
  mctx__socket socket = receiver_on("::", 0);
  join(socket, "ff15::1", 2);
  assert_true(mctx_sim_interface_set(2, "eth0", up, 1279));
  assert_status(try_join(socket, "ff15::2", 2), MCTX_ERR_UNSUPPORTED);
  assert_true(mctx_sim_interface_set(2, "eth0", up, 1280));
  join(socket, "ff15::2", 2);
  assert_int_equal(arrive("fd00::9", "ff15::1", 2), 0);
  assert_int_equal(arrive("fd00::9", "ff15::2", 2), 1);
  assert_true(mctx_sim_refuse(2, 6, MCTX_ERR_PERMISSION));
  assert_status(try_join(socket, "ff15::3", 2), MCTX_ERR_PERMISSION);
  mctx__socket_close(socket);
}

static void a_socket_takes_so_many_memberships_and_sources(void **state) {
  (void)state;
  mctx__socket socket = receiver_on("0.0.0.0", 0);
  mctx_address group = address_of("239.1.1.0");
  for (uint8_t i = 0; i < 20; i++) {
    group.bytes[3] = i;
    assert_done(mctx__socket_join(socket, &group, 2));
  }
  assert_status(try_join(socket, "239.2.2.2", 2), MCTX_ERR_TOO_MANY_MEMBERSHIPS);
  assert_status(try_join(socket, "239.1.1.0", 2), MCTX_ERR_ADDRESS_IN_USE);
  mctx_address sources[11];
  for (uint8_t i = 0; i < 11; i++) {
    sources[i] = address_of("10.0.0.1");
    sources[i].bytes[3] = (uint8_t)(100 + i);
  }
  assert_done(mctx__socket_filter(socket, &group, 2, MCTX_EXCLUDE, sources, 10));
  assert_status(mctx__socket_filter(socket, &group, 2, MCTX_INCLUDE, sources, 11).status,
                MCTX_ERR_TOO_MANY_SOURCES);
  mctx_sim_membership membership;
  assert_true(mctx_sim_membership_at(0, &membership)); /* the last that was joined */
  assert_int_equal(membership.source_count, 10);
  assert_int_equal(membership.mode, MCTX_EXCLUDE);
  assert_int_equal(mctx_sim_memberships(), 20);
  mctx__socket_close(socket);
  assert_int_equal(mctx_sim_memberships(), 0);
}

/* ---- receiving ---- */

static void a_superpacket_is_one_message_only_to_who_coalesces(void **state) {
  (void)state;
  mctx__socket whole = receiver_on("239.1.1.1", 0);
  mctx__socket pieces = receiver_on("239.1.1.1", 0);
  join(whole, "239.1.1.1", 2);
  join(pieces, "239.1.1.1", 2);
  assert_done(mctx__socket_set(whole, 4, MCTX__COALESCING, 1));
  assert_done(mctx__socket_set(whole, 4, MCTX__METADATA, MCTX_META_ALL));
  mctx_sim_arrival arrival = {.source = at_port("10.0.0.9"),
                              .destination = at_port("239.1.1.1"),
                              .interface_index = 2,
                              .hop_limit = 9,
                              .traffic_class = 3,
                              .segment_size = 100,
                              .length = 250};
  assert_int_equal(mctx_sim_deliver(&arrival), 2);
  assert_int_equal(queued(pieces), 3);
  unsigned char bytes[256];
  mctx__span spans[2] = {{bytes, 60}, {bytes + 60, 190}};
  mctx__arrival got;
  assert_done(mctx__socket_receive(whole, MCTX_META_ALL, true, spans, &got));
  assert_int_equal(got.present, MCTX_META_ALL);
  assert_int_equal(got.segment_size, 100);
  assert_int_equal(got.length, 250);
  assert_int_equal(got.stored, 250);
  assert_false(got.truncated);
  assert_address(&got.source, "10.0.0.9:5000");
  assert_address(&got.group, "239.1.1.1");
  assert_int_equal(got.interface_index, 2);
  assert_int_equal(got.hop_limit, 9);
  assert_int_equal(got.traffic_class, 3);
  for (int i = 0; i < 250; i++)
    assert_int_equal(bytes[i], i);
  for (int i = 0; i < 3; i++) {
    spans[1].length = 0;
    assert_done(mctx__socket_receive(pieces, MCTX_META_ALL, false, spans, &got));
    assert_int_equal(got.present, MCTX_META_SOURCE); /* which needs no collecting */
    assert_int_equal(got.length, i < 2 ? 100 : 50);
    assert_int_equal(got.truncated, i < 2);
    assert_int_equal(bytes[0], 100 * i);
  }
  assert_status(mctx__socket_receive(pieces, 0, false, spans, &got).status, MCTX_ERR_WOULD_BLOCK);
  mctx__socket_close(whole);
  mctx__socket_close(pieces);
}

static void a_full_queue_drops_and_the_next_message_tells(void **state) {
  (void)state;
  mctx__socket socket = receiver_on("239.1.1.1", 0);
  join(socket, "239.1.1.1", 2);
  assert_done(mctx__socket_set(socket, 4, MCTX__METADATA, MCTX_META_DROPS));
  assert_true(mctx_sim_limit_set(MCTX_SIM_QUEUE, 2));
  for (int i = 0; i < 5; i++)
    assert_int_equal(arrive("10.0.0.9", "239.1.1.1", 2), 1);
  mctx__span none[2] = {{NULL, 0}, {NULL, 0}};
  mctx__arrival got;
  for (int i = 0; i < 2; i++) {
    assert_done(mctx__socket_receive(socket, MCTX_META_DROPS, false, none, &got));
    assert_int_equal(got.drops, 0);
  }
  (void)arrive("10.0.0.9", "239.1.1.1", 2);
  assert_done(mctx__socket_receive(socket, MCTX_META_DROPS, false, none, &got));
  assert_int_equal(got.drops, 3);
  mctx__socket_close(socket);
}

/* ---- pollers, watches, time ---- */

static void a_poller_tells_those_first_that_it_has_not_told(void **state) {
  (void)state;
  enum { MEMBERS = 5 };
  mctx__socket sockets[MEMBERS];
  mctx__poller poller;
  assert_done(mctx__poller_open(&poller));
  for (uint32_t i = 0; i < MEMBERS; i++) {
    char group[] = "239.1.1.0";
    group[8] = (char)('0' + i);
    sockets[i] = receiver_on(group, 0);
    join(sockets[i], group, 2);
    assert_done(mctx__poller_add(poller, sockets[i], i));
    if (i != 1) (void)arrive("10.0.0.9", group, 2);
  }
  uint64_t tags[2];
  uint32_t count;
  static const uint64_t expected[] = {0, 2, 3, 4, 0, 2, 3, 4};
  for (int i = 0; i < 4; i++) {
    assert_done(mctx__poller_ready(poller, tags, 2, &count));
    assert_int_equal(count, 2);
    assert_int_equal(tags[0], expected[2 * i]);
    assert_int_equal(tags[1], expected[2 * i + 1]);
  }
  mctx__poller outer;
  assert_done(mctx__poller_open(&outer));
  assert_done(mctx__poller_add(outer, mctx__poller_member(poller), 7));
  mctx_os_handle native = mctx__poller_native(outer);
  assert_int_equal(mctx_sim_ready(&native), MCTX_READABLE);
  for (uint32_t i = 0; i < MEMBERS; i++) {
    mctx__poller_remove(poller, sockets[i]);
    mctx__socket_close(sockets[i]);
  }
  assert_int_equal(mctx_sim_ready(&native), 0);
  mctx__poller_remove(outer, mctx__poller_member(poller));
  mctx__poller_close(poller);
  mctx__poller_close(outer);
}

static void a_watch_tells_what_changed(void **state) {
  (void)state;
  mctx__watch watch;
  mctx__changes changes;
  mctx_address address = address_of("10.0.0.2/24");
  assert_done(mctx__watch_open(&watch));
  mctx__watch_take(watch, &changes);
  assert_false(changes.any);
  assert_true(mctx_sim_interface_remove(3));
  assert_true(mctx_sim_interface_remove(2));
  mctx__watch_take(watch, &changes);
  assert_true(changes.any);
  assert_int_equal(changes.removed_count, 2);
  assert_int_equal(changes.removed[0].index, 3);
  assert_int_equal(changes.removed[1].index, 2);
  assert_int_equal(changes.removed[0].family, 0);
  assert_int_equal(changes.removed[1].family, 0);
  assert_true(mctx_sim_interface_set(2, "eth0", MCTX_INTERFACE_UP, 1500));
  assert_true(mctx_sim_address_add(2, &address));
  mctx__watch_take(watch, &changes);
  assert_true(changes.any);
  assert_int_equal(changes.removed_count, 0);
  static const uint32_t mtus[] = {1279, 68, 67, 1500}; /* what IPv6 and IPv4 do not live on */
  for (size_t i = 0; i < sizeof mtus / sizeof mtus[0]; i++)
    assert_true(mctx_sim_interface_set(2, "eth0", MCTX_INTERFACE_UP, mtus[i]));
  mctx__watch_take(watch, &changes);
  assert_int_equal(changes.removed_count, 2);
  for (uint32_t i = 0; i < 2; i++) {
    assert_int_equal(changes.removed[i].index, 2);
    assert_int_equal(changes.removed[i].family, i == 0 ? 6 : 4);
  }
  assert_false(changes.lost);
  assert_true(mctx_sim_interface_remove(2));
  mctx_sim_watch_overflow();
  mctx__watch_take(watch, &changes);
  assert_true(changes.any);
  assert_true(changes.lost);
  assert_int_equal(changes.removed_count, 0);
  mctx__watch_take(watch, &changes);
  assert_false(changes.any);
  assert_false(changes.lost);
  for (uint32_t i = 0; i <= MCTX__REMOVED_MAX; i++) { /* one more than it keeps */
    assert_true(mctx_sim_interface_set(100 + i, "eth9", MCTX_INTERFACE_UP, 1500));
    assert_true(mctx_sim_interface_remove(100 + i));
  }
  mctx__watch_take(watch, &changes);
  assert_true(changes.lost);
  assert_int_equal(changes.removed_count, MCTX__REMOVED_MAX);
  assert_int_equal(changes.removed[MCTX__REMOVED_MAX - 1].index, 100 + MCTX__REMOVED_MAX - 1);
  mctx__watch_close(watch);
}

static void a_wait_ends_in_virtual_time_when_something_arrives(void **state) {
  (void)state;
  mctx__socket socket = receiver_on("239.1.1.1", 0);
  mctx__poller poller;
  mctx__event event;
  join(socket, "239.1.1.1", 2);
  assert_done(mctx__poller_open(&poller));
  assert_done(mctx__event_open(&event));
  assert_done(mctx__poller_add(poller, socket, 1));
  mctx_sim_arrival arrival = {.source = at_port("10.0.0.9"),
                              .destination = at_port("239.1.1.1"),
                              .interface_index = 2,
                              .delay_ns = 5 * MILLI,
                              .length = 1};
  assert_int_equal(mctx_sim_deliver(&arrival), 0);
  arrival.delay_ns = 3 * MILLI;
  assert_int_equal(mctx_sim_deliver(&arrival), 0);
  int64_t start = mctx_sim_now();
  mctx__waited waited[] = {{.socket = mctx__event_member(event), .events = MCTX_READABLE},
                           {.socket = mctx__poller_member(poller), .events = MCTX_READABLE}};
  assert_done(mctx__wait_many(waited, 2, MCTX__FOREVER));
  assert_int_equal(mctx_sim_now() - start, 3 * MILLI);
  assert_int_equal(waited[0].ready, 0);
  assert_int_equal(waited[1].ready, MCTX_READABLE);
  assert_int_equal(queued(socket), 1);
  mctx_sim_advance(SECOND);
  assert_int_equal(queued(socket), 2);
  mctx__event_signal(event);
  uint32_t ready;
  assert_done(mctx__wait(mctx__poller_member(poller), 0, event, 0, &ready));
  assert_int_equal(ready, MCTX__WAIT_EVENT);
  mctx__poller_close(poller);
  mctx__event_close(event);
  mctx__socket_close(socket);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(an_ipv4_membership_counts_on_its_interface),
      fixture_test(the_first_ipv6_membership_of_a_group_decides_for_all_interfaces),
      fixture_test(a_socket_that_is_held_to_an_interface_hears_no_other),
      fixture_test(only_who_is_not_isolated_hears_the_groups_of_others),
      fixture_test(unicast_goes_to_the_newest_and_broadcast_to_all_on_the_wildcard),
      fixture_test(nothing_arrives_at_an_interface_that_is_down_or_a_port_of_a_bridge),
      fixture_test(what_a_socket_of_this_host_sends_comes_back_to_members),
      fixture_test(a_membership_dies_with_its_interface_and_still_counts),
      fixture_test(a_small_mtu_refuses_ipv6_and_ends_its_memberships),
      fixture_test(a_socket_takes_so_many_memberships_and_sources),
      fixture_test(a_superpacket_is_one_message_only_to_who_coalesces),
      fixture_test(a_full_queue_drops_and_the_next_message_tells),
      fixture_test(a_poller_tells_those_first_that_it_has_not_told),
      fixture_test(a_watch_tells_what_changed),
      fixture_test(a_wait_ends_in_virtual_time_when_something_arrives),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

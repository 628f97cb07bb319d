/* SPDX-License-Identifier: MIT */
/* From a publication through the kernel to plain receivers on this host and on a second one: what was accepted
 * arrives, in order, byte for byte, and looks as it was configured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

enum { QUIET_MS = 50 };

static uint32_t family;
static mctx_context context;
static int local;  /* a member of the group here */
static int remote; /* and there */
static arrival got;

static void pair_up(void **state) {
  family = host_family(state);
  host_pair();
  local = receiver_open(group_of(family), "va");
  remote = receiver_there(group_of(family), "vb");
  context = open_context();
}

static void pair_down(void) {
  assert_ok(mctx_close(context, NULL));
  close(local);
  close(remote);
}

/* ---- content and order ---- */

static unsigned char pattern[65527];

/* Payloads that differ in length and content, the empty and the largest among them. */
static mctx_slice payload_at(uint32_t position) {
  static const uint32_t lengths[] = {1, 0, 1472, 64, 1473, 9000, 7, 0, 65507, 300};
  uint32_t length = lengths[position % 10];
  if (length == 65507 && family == 6) length = 65527;
  for (size_t i = 0; i < sizeof pattern && pattern[1] == 0; i++)
    pattern[i] = (unsigned char)(i * 7 + i / 251 + 1);
  mctx_slice slice = {.length = length};
  if (length > 0) slice.data = pattern + (position * 131) % (sizeof pattern - length + 1);
  return slice;
}

static void assert_arrives(int receiver, uint32_t position) {
  mctx_slice expected = payload_at(position);
  if (!receiver_next(receiver, &got, PATIENCE_MS)) fail_msg("datagram %u did not arrive", position);
  assert_int_equal(got.length, expected.length);
  if (expected.length > 0) assert_memory_equal(got.data, expected.data, expected.length);
}

static void every_accepted_datagram_arrives_in_order(void **state) {
  enum { COUNT = 100, ROUND = 10 };
  pair_up(state);
  mctx_publication_options options = options_through(group_of(family), "va");
  options.send_buffer = 1 << 20;
  mctx_publication publication = open_with(context, &options);
  for (uint32_t at = 0; at < COUNT; at += ROUND) {
    mctx_slice slices[ROUND];
    uint64_t accepted = 0;
    for (uint32_t i = 0; i < ROUND; i++)
      slices[i] = payload_at(at + i);
    if (at / ROUND % 2 == 0) {
      assert_ok(mctx_send_batch(publication, slices, ROUND, 0, SECOND, &accepted, NULL));
      assert_int_equal(accepted, ROUND);
    } else {
      for (uint32_t i = 0; i < ROUND; i++)
        assert_ok(mctx_send(publication, slices[i].data, slices[i].length, NULL));
    }
    for (uint32_t i = 0; i < ROUND; i++) {
      assert_arrives(remote, at + i);
      assert_arrives(local, at + i);
    }
  }
  assert_silent(remote, QUIET_MS);
  assert_silent(local, 0);
  assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "packets_sent"), COUNT);
  pair_down();
}

static void segments_are_cut_where_they_should_be(void **state) {
  static const struct {
    size_t length;
    uint32_t size;
  } cuts[] = {{1, 1}, {10, 3}, {64 * 1200, 1200}, {65 * 1200 + 1, 1200}, {5000, 4999}, {129, 1}};
  pair_up(state);
  mctx_publication publication = open_through(context, group_of(family), "va");
  payload_at(0);
  for (size_t k = 0; k < sizeof cuts / sizeof cuts[0]; k++) {
    uint64_t accepted = 0;
    unsigned char *data = malloc(cuts[k].length);
    assert_non_null(data);
    for (size_t i = 0; i < cuts[k].length; i++)
      data[i] = pattern[i % sizeof pattern];
    assert_ok(mctx_send_segments(publication, data, cuts[k].length, cuts[k].size, 0, SECOND, &accepted, NULL));
    assert_int_equal(accepted, (cuts[k].length + cuts[k].size - 1) / cuts[k].size);
    for (size_t at = 0; at < cuts[k].length; at += got.length) {
      size_t rest = cuts[k].length - at;
      assert_true(receiver_next(remote, &got, PATIENCE_MS));
      assert_int_equal(got.length, rest < cuts[k].size ? rest : cuts[k].size);
      assert_memory_equal(got.data, data + at, got.length);
    }
    free(data);
  }
  assert_silent(remote, QUIET_MS);
  pair_down();
}

/* ---- what receivers see ---- */

static void hop_limit_and_dscp_are_seen_by_receivers(void **state) {
  static const struct {
    int32_t hop_limit;
    int32_t dscp;
  } looks[] = {{1, 0}, {2, 46}, {64, 63}, {255, 8}};
  pair_up(state);
  for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
    mctx_publication_options options = options_through(group_of(family), "va");
    options.hop_limit = looks[i].hop_limit;
    options.dscp = looks[i].dscp;
    mctx_publication publication = open_with(context, &options);
    assert_ok(mctx_send(publication, "look", 4, NULL));
    for (int side = 0; side < 2; side++) {
      assert_true(receiver_next(side == 0 ? local : remote, &got, PATIENCE_MS));
      assert_int_equal(got.hop_limit, looks[i].hop_limit);
      assert_int_equal(got.traffic_class, looks[i].dscp << 2);
    }
  }
  pair_down();
}

static void a_hop_limit_of_zero_stays_on_this_host(void **state) {
  pair_up(state);
  mctx_publication_options options = options_through(group_of(family), "va");
  options.hop_limit = 0;
  mctx_publication publication = open_with(context, &options);
  assert_ok(mctx_send(publication, "here", 4, NULL));
  assert_true(receiver_next(local, &got, PATIENCE_MS));
  assert_silent(remote, QUIET_MS);
  pair_down();
}

static void source_and_port_are_what_was_asked_for(void **state) {
  pair_up(state);
  if (family == 4)
    host_run("ip address add 10.9.0.77/24 dev va");
  else
    host_run("ip -6 address add fd09::77/64 dev va nodad");
  for (int32_t connected = 0; connected <= 1; connected++) {
    mctx_publication_options options = options_for(group_of(family));
    options.source = address_of(family == 4 ? "10.9.0.77:4321" : "[fd09::77]:4321");
    options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
    options.outgoing_interface.name = "va";
    options.connected = connected;
    mctx_publication publication = open_with(context, &options);
    mctx_address source;
    mctx_address group;
    assert_ok(mctx_send(publication, "from", 4, NULL));
    assert_true(receiver_next(remote, &got, PATIENCE_MS));
    assert_address(&got.source, family == 4 ? "10.9.0.77:4321" : "[fd09::77]:4321");
    assert_ok(mctx_publication_announce(publication, &source, &group, NULL));
    assert_memory_equal(&source, &got.source, sizeof source);
    assert_address(&group, group_of(family));
    assert_ok(mctx_close(publication, NULL));
  }
  pair_down();
}

/* What announce and info tell of a source that the system chose is what receivers see. */
static void a_chosen_source_is_told_as_it_is(void **state) {
  pair_up(state);
  for (int32_t connected = 0; connected <= 1; connected++) {
    mctx_publication_options options = options_through(group_of(family), "va");
    options.connected = connected;
    mctx_publication publication = open_with(context, &options);
    mctx_address source;
    mctx_address group;
    assert_ok(mctx_send(publication, "from", 4, NULL));
    assert_true(receiver_next(remote, &got, PATIENCE_MS));
    assert_ok(mctx_publication_announce(publication, &source, &group, NULL));
    assert_memory_equal(&source, &got.source, sizeof source);
    mctx_publication_info info = info_of(publication);
    assert_memory_equal(&info.sender, &got.source, sizeof got.source);
    assert_int_equal(info.interface_index, host_index("va"));
    assert_ok(mctx_close(publication, NULL));
  }
  pair_down();
}

static void a_link_local_group_leaves_through_its_interface(void **state) {
  family = host_family(state);
  const char *group = family == 4 ? "224.0.0.177:5007" : "[ff02::7:7]:5007";
  host_pair();
  remote = receiver_there(group, "vb");
  context = open_context();
  mctx_publication publication = open_through(context, group, "va");
  assert_ok(mctx_send(publication, "link", 4, NULL));
  assert_true(receiver_next(remote, &got, PATIENCE_MS));
  assert_int_equal(info_of(publication).group.scope_id, family == 4 ? 0 : host_index("va"));
  assert_ok(mctx_close(context, NULL));
  close(remote);
}

static void loopback_decides_about_this_host_alone(void **state) {
  pair_up(state);
  for (int32_t loopback = 0; loopback <= 1; loopback++) {
    mctx_publication_options options = options_through(group_of(family), "va");
    options.loopback = loopback;
    mctx_publication publication = open_with(context, &options);
    assert_ok(mctx_send(publication, "loop", 4, NULL));
    assert_true(receiver_next(remote, &got, PATIENCE_MS));
    if (loopback != 0)
      assert_true(receiver_next(local, &got, PATIENCE_MS));
    else
      assert_silent(local, QUIET_MS);
  }
  pair_down();
}

/* Every way to name an interface leads to it, though the routing table prefers another. */
static void the_interface_asked_for_is_where_it_leaves(void **state) {
  pair_up(state);
  host_run("ip link add other type veth peer name rehto && ip link set other up && ip link set rehto up");
  host_run("ip address add 10.8.0.1/24 dev other && ip route replace 224.0.0.0/4 dev other");
  for (uint32_t by = MCTX_INTERFACE_BY_INDEX; by <= MCTX_INTERFACE_BY_NAME; by++) {
    mctx_publication_options options = options_for(group_of(family));
    options.outgoing_interface.by = by;
    if (by == MCTX_INTERFACE_BY_INDEX) options.outgoing_interface.index = host_index("va");
    if (by == MCTX_INTERFACE_BY_ADDRESS)
      options.outgoing_interface.address = address_of(family == 4 ? "10.9.0.1" : "fd09::1");
    if (by == MCTX_INTERFACE_BY_NAME) options.outgoing_interface.name = "va";
    mctx_publication publication = open_with(context, &options);
    assert_ok(mctx_send(publication, "away", 4, NULL));
    assert_true(receiver_next(remote, &got, PATIENCE_MS));
    assert_int_equal(info_of(publication).interface_index, host_index("va"));
    assert_ok(mctx_close(publication, NULL));
  }
  pair_down();
}

static void send_all_reaches_every_group(void **state) {
  enum { COUNT = 3 };
  mctx_send_outcome outcomes[COUNT];
  mctx_publication publications[COUNT];
  int members[COUNT];
  uint32_t count;
  pair_up(state);
  for (int i = 0; i < COUNT; i++) {
    char group[64];
    snprintf(group, sizeof group, family == 4 ? "239.7.8.%d:5007" : "[ff15::8:%d]:5007", i + 1);
    members[i] = receiver_there(group, "vb");
    mctx_publication_options options = options_through(group, "va");
    publications[i] = open_with(context, &options);
  }
  assert_ok(mctx_send_all(context, "all", 3, outcomes, sizeof outcomes[0], COUNT, &count, NULL));
  assert_int_equal(count, COUNT);
  for (int i = 0; i < COUNT; i++) {
    assert_int_equal(outcomes[i].publication, publications[i]);
    assert_int_equal(outcomes[i].status, MCTX_OK);
    assert_true(receiver_next(members[i], &got, PATIENCE_MS));
    assert_int_equal(got.length, 3);
    assert_silent(members[i], 0);
    close(members[i]);
  }
  pair_down();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(every_accepted_datagram_arrives_in_order),
      BOTH_FAMILIES(segments_are_cut_where_they_should_be),
      BOTH_FAMILIES(hop_limit_and_dscp_are_seen_by_receivers),
      BOTH_FAMILIES(a_hop_limit_of_zero_stays_on_this_host),
      BOTH_FAMILIES(source_and_port_are_what_was_asked_for),
      BOTH_FAMILIES(a_chosen_source_is_told_as_it_is),
      BOTH_FAMILIES(a_link_local_group_leaves_through_its_interface),
      BOTH_FAMILIES(loopback_decides_about_this_host_alone),
      BOTH_FAMILIES(the_interface_asked_for_is_where_it_leaves),
      BOTH_FAMILIES(send_all_reaches_every_group),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

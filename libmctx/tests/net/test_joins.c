/* SPDX-License-Identifier: MIT */
/* Joins in all their ways: interfaces under several names, twice the same, down when joined, point-to-point,
 * tunnels, without an address; and that a change which fails half-way leaves what was before. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/model.h"
#include "host/tun.h"

/* ---- names ---- */

/* By name, address and index in one call: one membership, that keeps all of them. */
static void an_interface_may_be_named_in_several_ways(void **state) {
  uint32_t family = host_family(state);
  mctx_membership_info info;
  uint32_t count;
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  char index[16];
  snprintf(index, sizeof index, "#%u", host_index("va"));
  mctx_address address = unicast_at(family, 9, 1);
  const char *const names[] = {"va", text_of(&address), index};
  mctx_interface_ref refs[] = {interface_named("va"),
                               {.by = MCTX_INTERFACE_BY_ADDRESS, .address = address},
                               {.by = MCTX_INTERFACE_BY_INDEX, .index = host_index("va")}};
  for (int in_options = 0; in_options <= 1; in_options++) {
    mctx_membership members[3];
    mctx_subscription_options options = subscription_options();
    for (int i = 0; i < 3; i++) {
      members[i] = member_of(&group, NULL);
      if (!in_options) members[i].ingress = refs[i];
    }
    options.memberships = members;
    options.membership_count = in_options ? 1 : 3;
    options.interfaces = in_options ? refs : NULL;
    options.interface_count = in_options ? 3 : 0;
    mctx_subscription subscription = subscribe_with(context, &options);
    model expected = {0};
    model_join(&expected, &group, "va");
    assert_kernel_agrees(&expected, 1);
    assert_ok(mctx_memberships(subscription, &info, sizeof info, 1, &count, NULL));
    assert_int_equal(count, 1);
    assert_int_equal(info.name_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
      char name[64];
      size_t length;
      assert_ok(mctx_membership_name(subscription, info.id, i, name, sizeof name, &length, NULL));
      assert_string_equal(name, names[i]);
    }
    say_there(NULL, "vb", &group, "once");
    assert_takes(subscription, "once");
    assert_takes_nothing(subscription);
    assert_ok(mctx_close(subscription, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

static void the_same_join_twice_changes_nothing(void **state) {
  uint32_t family = host_family(state);
  mctx_error error = MCTX_ERROR_INIT;
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address source = unicast_at(family, 9, 2);
  mctx_subscription subscription = subscribe(context, &group, "va");
  model expected = {0};
  model_join(&expected, &group, "va");
  mctx_membership again = member_of(&group, "va");
  mctx_membership narrower = again;
  narrower.mode = MCTX_INCLUDE;
  narrower.sources = &source;
  narrower.source_count = 1;
  mctx_membership by_address = again;
  by_address.ingress =
      (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = unicast_at(family, 9, 1)};
  assert_status(mctx_join(subscription, &again, sizeof again, 1, &error), MCTX_ERR_MEMBERSHIP_EXISTS);
  assert_status(mctx_join(subscription, &by_address, sizeof again, 1, &error), MCTX_ERR_MEMBERSHIP_EXISTS);
  assert_status(mctx_join(subscription, &narrower, sizeof again, 1, &error), MCTX_ERR_FILTER_DIFFERS);
  assert_string_not_equal(error.hint, "");
  assert_kernel_agrees(&expected, 1);
  assert_reads_back(subscription, &expected);
  say_there(NULL, "vb", &group, "once");
  assert_takes(subscription, "once");
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
}

/* ---- interfaces of all sorts ---- */

static void an_interface_may_be_down_when_it_is_joined(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  host_run("ip link set va down");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe(context, &group, "va");
  model expected = {0};
  model_join(&expected, &group, "va");
  assert_reads_back(subscription, &expected);
  host_run("ip link set va up");
  host_await_link("va");
  there_begin();
  host_await_link("vb");
  there_end();
  assert_kernel_agrees(&expected, 1);
  say_there(NULL, "vb", &group, "up");
  assert_takes(subscription, "up");
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
}

/* An interface without any address of the family. */
static void an_interface_needs_no_address(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  host_run("ip address flush dev va");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address source = unicast_at(family, 9, 2);
  mctx_subscription subscription = subscribe(context, &group, NULL); /* in the default set too */
  model expected = {0};
  model_join(&expected, &group, "va");
  assert_kernel_agrees(&expected, 1);
  mctx_membership member = member_of(&group, "va");
  mctx_address other = unicast_at(family, 9, 3);
  assert_ok(mctx_block(subscription, &member, sizeof member, &other, NULL));
  say_there(&source, "vb", &group, "no address");
  assert_takes(subscription, "no address");
  assert_ok(mctx_close(context, NULL));
}

/* The peer of a point-to-point interface is this test, which writes packets by hand. */
static void a_point_to_point_interface_receives(void **state) {
  uint32_t family = host_family(state);
  static taken got;
  host_pair();
  int peer = tun_open("ta");
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address source = unicast_at(family, 20, 2);
  source.port = 4000;
  mctx_subscription named = subscribe(context, &group, "ta");
  mctx_subscription by_default = subscribe(context, &group, NULL);
  tun_inject(peer, &source, &group, "point");
  mctx_subscription both[] = {named, by_default};
  for (int i = 0; i < 2; i++) {
    assert_true(take_next(both[i], &got, PATIENCE_MS));
    assert_memory_equal(got.data, "point", 5);
    assert_memory_equal(&got.message.source, &source, sizeof source);
    assert_int_equal(got.message.interface_index, host_index("ta"));
    assert_takes_nothing(both[i]);
  }
  assert_ok(mctx_close(context, NULL));
  close(peer);
}

/* A tunnel to the other host, of each kind that this kernel has; both ends have addresses of net 30. */
static void a_tunnel_receives(void **state) {
  static const char *const tunnels[] = {"vxlan id 7 remote 10.9.0.%d local 10.9.0.%d dstport 4789 dev v%c",
                                        "gre remote 10.9.0.%d local 10.9.0.%d dev v%c",
                                        "ipip remote 10.9.0.%d local 10.9.0.%d dev v%c"};
  uint32_t family = host_family(state);
  uint32_t tried = 0;
  for (size_t i = 0; i < sizeof tunnels / sizeof tunnels[0]; i++) {
    char own[100];
    char peer[100];
    bool is_ipip = i == 2;
    if (is_ipip && family == 6) continue; /* it carries IPv4 alone */
    host_pair();
    snprintf(own, sizeof own, tunnels[i], 2, 1, 'a');
    snprintf(peer, sizeof peer, tunnels[i], 1, 2, 'b');
    if (!host_try("ip link add ta type %s 2>/dev/null && ip link set ta up", own)) {
      print_message("this kernel has no %.*s\n", (int)strcspn(tunnels[i], " "), tunnels[i]);
      continue;
    }
    host_address("ta", 30, 1);
    there_run("ip link add tb type %s && ip link set tb up multicast on", peer);
    there_begin();
    host_address("tb", 30, 2);
    host_await_link("tb");
    there_end();
    mctx_context context = open_context();
    mctx_address group = group_at(family, 1);
    mctx_address source = unicast_at(family, 30, 2);
    mctx_subscription subscription = subscribe(context, &group, "ta");
    say_there(&source, "tb", &group, "tunnel");
    assert_takes(subscription, "tunnel");
    assert_takes_nothing(subscription);
    assert_ok(mctx_close(context, NULL));
    tried++;
  }
  if (tried == 0) SKIP("this kernel has no kind of tunnel");
}

/* ---- all or nothing ---- */

/* The last of several cannot be joined: the system's refusal is the culprit's, and the others are not joined.
 */
static void a_join_that_fails_half_way_leaves_nothing(void **state) {
  uint32_t family = host_family(state);
  mctx_error error = MCTX_ERROR_INIT;
  lay_cables();
  mctx_context context = open_context();
  mctx_address groups[3] = {group_at(family, 1), group_at(family, 2), group_at(family, 3)};
  mctx_subscription subscription = subscribe(context, &groups[0], "wa");
  model expected = {0};
  model_join(&expected, &groups[0], "wa");
  mctx_membership members[] = {member_of(&groups[0], "va"), member_of(&groups[1], "va"),
                               member_of(&groups[2], "missing")};
  assert_status(mctx_join(subscription, members, sizeof members[0], 3, &error), MCTX_ERR_INTERFACE_NOT_FOUND);
  assert_int_equal(error.item, 2);
  assert_string_equal(error.field, "interface.name");
  assert_kernel_agrees(&expected, 1);
  assert_reads_back(subscription, &expected);
  probe(family, 3);
  assert_hears(subscription, family, 3, &expected);

  if (family == 6) { /* refused by the system itself, after the first was joined */
    host_run("ip link set xa mtu 1200");
    members[2] = member_of(&groups[2], "xa");
    assert_int_not_equal(mctx_join(subscription, members, sizeof members[0], 3, &error), MCTX_OK);
    assert_int_equal(error.item, 2);
    assert_kernel_agrees(&expected, 1);
    assert_reads_back(subscription, &expected);
  }
  assert_ok(mctx_close(context, NULL));
  assert_kernel_agrees(NULL, 0);
}

/* Closing leaves every group, also of a context's subscriptions. */
static void closing_leaves_everything(void **state) {
  uint32_t family = host_family(state);
  lay_cables();
  mctx_context context = open_context();
  uint32_t held = descriptors_held();
  mctx_subscription subscriptions[2];
  for (int i = 0; i < 2; i++) {
    mctx_subscription_options options = subscription_options();
    options.binding = i == 0 ? MCTX_BINDING_AUTO : MCTX_BINDING_WILDCARD;
    subscriptions[i] = subscribe_with(context, &options);
    for (uint32_t g = 1; g <= 3; g++) {
      mctx_address group = group_at(family, g);
      join_group(subscriptions[i], &group, NULL);
    }
  }
  assert_ok(mctx_close(subscriptions[0], NULL));
  assert_ok(mctx_close(context, NULL));
  assert_kernel_agrees(NULL, 0);
  assert_int_equal(descriptors_held(), held);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(an_interface_may_be_named_in_several_ways),
      BOTH_FAMILIES(the_same_join_twice_changes_nothing),
      BOTH_FAMILIES(an_interface_may_be_down_when_it_is_joined),
      BOTH_FAMILIES(an_interface_needs_no_address),
      BOTH_FAMILIES(a_point_to_point_interface_receives),
      BOTH_FAMILIES(a_tunnel_receives),
      BOTH_FAMILIES(a_join_that_fails_half_way_leaves_nothing),
      BOTH_FAMILIES(closing_leaves_everything),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Opening subscriptions, what they are, and what is refused with which words. */
#include <stdio.h>

#include "sim_subscription.h"

/* ---- what it is ---- */

static void the_defaults_are_those_that_are_documented(void **state) {
  (void)state;
  mctx_subscription_options options;
  memset(&options, 0xee, sizeof options);
  mctx_subscription_options_init(&options, sizeof options);
  assert_int_equal(options.size, sizeof options);
  assert_int_equal(options.flags, 0);
  assert_int_equal(options.port, MCTX_AUTO);
  assert_int_equal(options.reuse_port, 1);
  assert_int_equal(options.coalescing, 1);
  assert_int_equal(options.binding, MCTX_BINDING_AUTO);
  assert_int_equal(options.metadata, MCTX_META_ALL);
  assert_int_equal(options.max_group_sockets, 256);
  assert_int_equal(options.receive_buffer, 4 << 20);
  assert_null(options.interfaces);
  assert_null(options.memberships);
  mctx_subscription_options_init(NULL, sizeof options);
}

static void info_tells_what_was_configured_and_what_is(void **state) {
  (void)state;
  open_plain();
  mctx_subscription_info info = subscription_info(subscription);
  assert_int_equal(info.context, context);
  assert_int_equal(info.port, PORT);
  assert_int_equal(info.flags, 0);
  assert_int_equal(info.metadata, MCTX_META_ALL);
  assert_int_equal(info.reuse_port, 1);
  assert_int_equal(info.coalescing, 1);
  assert_int_equal(info.binding, MCTX_BINDING_AUTO);
  assert_int_equal(info.clock, MCTX_CLOCK_SYSTEM);
  assert_int_equal(info.group_sockets, 0);
  assert_int_equal(info.wildcard_sockets, 0);
  assert_int_equal(info.membership_count, 0);
  assert_int_equal(info.max_group_sockets, 256);
  assert_int_equal(info.receive_buffer_asked, 4 << 20);
  assert_int_equal(info.receive_buffer, 0);
  assert_int_equal(info.min_arena, 65536);
  assert_int_equal(info.min_datagrams, 128);
  assert_int_equal(mctx_sim_open_sockets(), 0); /* a socket for a group that is joined, none before */
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "ff15::1", NULL);
  info = subscription_info(subscription);
  assert_int_equal(info.group_sockets, 3); /* IPv6 takes one for each interface */
  assert_int_equal(info.membership_count, 4);
  assert_int_equal(info.receive_buffer, 8 << 20);
  assert_closed(context);
}

static void a_receive_buffer_is_cut_where_rights_do_not_suffice(void **state) {
  (void)state;
  mctx_sim_capability_set(MCTX_CAPABILITY_RECEIVE_BUFFER_FORCE, MCTX_CAPABILITY_NEEDS_PRIVILEGE);
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  assert_int_equal(subscription_info(subscription).receive_buffer, 2 * 212992);
  mctx_subscription_options options = subscription_options();
  options.receive_buffer = 0;
  mctx_subscription other = subscribe_with(context, &options);
  join(other, "239.1.1.1", "eth0");
  assert_int_equal(subscription_info(other).receive_buffer, 212992);
  assert_closed(context);
}

static void without_coalescing_a_batch_wants_one_record(void **state) {
  (void)state;
  mctx_subscription_options options = subscription_options();
  options.coalescing = 0;
  open_with_options(&options);
  join(subscription, "239.1.1.1", "eth0");
  assert_int_equal(subscription_info(subscription).coalescing, 0);
  assert_int_equal(subscription_info(subscription).min_datagrams, 1);
  assert_closed(subscription);
  mctx_sim_capability_set(MCTX_CAPABILITY_COALESCING, MCTX_CAPABILITY_ABSENT);
  subscription = subscribe(context);
  join(subscription, "239.1.1.1", "eth0");
  assert_int_equal(subscription_info(subscription).coalescing, 0);
  mctx_sim_arrival arrival = arrival_of("10.0.0.9", "239.1.1.1", 2);
  arrival.length = 300;
  arrival.segment_size = 100;
  assert_int_equal(mctx_sim_deliver(&arrival), 1);
  unsigned char bytes[100];
  size_t length;
  for (int i = 0; i < 3; i++)
    assert_ok(mctx_recv(subscription, bytes, sizeof bytes, 0, 0, &length, NULL, 0, NULL));
  assert_closed(context);
}

static void sockets_are_bound_to_groups_up_to_a_bound(void **state) {
  (void)state;
  static const struct {
    uint32_t binding;
    uint32_t most;
    uint64_t descriptors;
    uint32_t group_sockets;
    uint32_t wildcard_sockets;
  } cases[] = {
      {MCTX_BINDING_AUTO, 256, 16384, 30, 0}, {MCTX_BINDING_AUTO, 10, 16384, 10, 1},
      {MCTX_BINDING_AUTO, 0, 16384, 0, 2},    {MCTX_BINDING_WILDCARD, 256, 16384, 0, 2},
      {MCTX_BINDING_GROUP, 3, 16384, 30, 0},  {MCTX_BINDING_AUTO, 256, 80, 20, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    mctx_sim_reset();
    assert_true(mctx_sim_limit_set(MCTX_SIM_DESCRIPTORS, cases[i].descriptors));
    context = open_context();
    mctx_subscription_options options = subscription_options();
    options.binding = cases[i].binding;
    options.max_group_sockets = cases[i].most;
    subscription = subscribe_with(context, &options);
    char group[16];
    for (uint32_t k = 0; k < 30; k++) {
      (void)snprintf(group, sizeof group, "239.1.2.%u", k);
      join(subscription, group, "eth0");
    }
    mctx_subscription_info info = subscription_info(subscription);
    assert_int_equal(info.group_sockets, cases[i].group_sockets);
    assert_int_equal(info.wildcard_sockets, cases[i].wildcard_sockets);
    for (uint32_t k = 0; k < 30; k++) {
      (void)snprintf(group, sizeof group, "239.1.2.%u", k);
      (void)arrive(k, "10.0.0.9", group, 2);
      assert_received(subscription, k);
    }
    assert_nothing(subscription);
    /* sockets that nobody needs are closed */
    for (uint32_t k = 0; k < 30; k++) {
      (void)snprintf(group, sizeof group, "239.1.2.%u", k);
      assert_ok(leave(subscription, group, NULL, NULL));
    }
    assert_int_equal(mctx_sim_open_sockets(), 0);
    assert_int_equal(subscription_info(subscription).group_sockets, 0);
    assert_int_equal(subscription_info(subscription).wildcard_sockets, 0);
    join(subscription, "239.1.2.1", "eth0");
    assert_int_equal(subscription_info(subscription).group_sockets, cases[i].group_sockets > 0);
    assert_closed(context);
  }
}

/* Whatever else the process has open. */
static void where_descriptors_do_not_suffice_sockets_are_shared(void **state) {
  (void)state;
  enum { GROUPS = 30 };
  mctx_membership wishes[GROUPS];
  char groups[GROUPS][16];
  for (uint32_t k = 0; k < GROUPS; k++) {
    (void)snprintf(groups[k], sizeof groups[k], "239.1.2.%u", k);
    wishes[k] = membership_of(groups[k], "eth0");
  }
  static const uint32_t bindings[] = {MCTX_BINDING_AUTO, MCTX_BINDING_AUTO, MCTX_BINDING_GROUP};
  for (uint32_t i = 0; i < 3; i++) {
    mctx_sim_reset();
    context = open_context();
    mctx_subscription_options options = subscription_options();
    options.binding = bindings[i];
    subscription = subscribe_with(context, &options);
    if (i == 1) join(subscription, "239.1.1.1", "eth0"); /* which has its own */
    assert_true(mctx_sim_limit_set(MCTX_SIM_DESCRIPTORS, 10));
    mctx_error error = MCTX_ERROR_INIT;
    const mctx_error before = error;
    mctx_status status = mctx_join(subscription, wishes, sizeof wishes[0], GROUPS, &error);
    if (bindings[i] == MCTX_BINDING_GROUP) {
      assert_status(status, MCTX_ERR_TOO_MANY_DESCRIPTORS);
      assert_int_equal(mctx_sim_memberships(), 0);
      assert_closed(context);
      continue;
    }
    assert_ok(status);
    assert_memory_equal(&error, &before, sizeof error);
    const mctx_subscription_info info = subscription_info(subscription);
    assert_int_equal(info.group_sockets, i);
    assert_int_equal(info.wildcard_sockets, 2);
    assert_int_equal(info.max_group_sockets, 256);
    /* one more, where nothing can be opened at all */
    assert_true(mctx_sim_limit_set(MCTX_SIM_DESCRIPTORS, 1));
    join(subscription, "239.1.1.2", "eth0");
    assert_int_equal(subscription_info(subscription).wildcard_sockets, 2);
    for (uint32_t k = 0; k < GROUPS; k++) {
      (void)arrive(k, "10.0.0.9", groups[k], 2);
      assert_received(subscription, k);
    }
    assert_nothing(subscription);
    /* where nothing is shared and nothing can be opened, that is the failure */
    const mctx_membership other = membership_of("ff15::1", "eth0");
    assert_status(try_join(subscription, &other, &error), MCTX_ERR_TOO_MANY_DESCRIPTORS);
    assert_string_equal(error.field, "group");
    assert_true(mctx_sim_limit_set(MCTX_SIM_DESCRIPTORS, 16384));
    join(subscription, "239.1.1.3", "eth0");
    assert_int_equal(subscription_info(subscription).group_sockets, i + 1);
    assert_closed(context);
  }
}

static void no_limit_of_the_host_is_the_users(void **state) {
  (void)state;
  enum { GROUPS4 = 500, GROUPS6 = 3000, SOURCES4 = 60, SOURCES6 = 200 };
  static mctx_membership wishes[GROUPS4 + GROUPS6 + 2];
  static mctx_address many4[SOURCES4];
  static mctx_address many6[SOURCES6];
  open_plain();
  for (uint32_t i = 0; i < GROUPS4; i++) {
    wishes[i] = membership_of("239.2.0.0", "eth0");
    wishes[i].group.bytes[2] = (uint8_t)(i / 256);
    wishes[i].group.bytes[3] = (uint8_t)i;
  }
  for (uint32_t i = 0; i < GROUPS6; i++) {
    wishes[GROUPS4 + i] = membership_of("ff15::1:0", "eth0");
    wishes[GROUPS4 + i].group.bytes[14] = (uint8_t)(i / 256);
    wishes[GROUPS4 + i].group.bytes[15] = (uint8_t)i;
  }
  for (uint32_t i = 0; i < SOURCES4; i++) {
    many4[i] = address_of("10.0.2.1");
    many4[i].bytes[3] = (uint8_t)i;
  }
  for (uint32_t i = 0; i < SOURCES6; i++) {
    many6[i] = address_of("fd00::1:1");
    many6[i].bytes[15] = (uint8_t)i;
  }
  wishes[GROUPS4 + GROUPS6] = filtered("232.1.1.1", "eth0", MCTX_INCLUDE, many4, SOURCES4);
  wishes[GROUPS4 + GROUPS6 + 1] = filtered("ff15::2:2", "eth0", MCTX_EXCLUDE, many6, SOURCES6);
  mctx_error error = MCTX_ERROR_INIT;
  if (mctx_join(subscription, wishes, sizeof wishes[0], GROUPS4 + GROUPS6 + 2, &error) != MCTX_OK)
    fail_msg("%s of %d: %s", mctx_status_name(error.status), (int)error.item, error.message);
  for (uint32_t i = 0; i < GROUPS4 + GROUPS6; i += 7) {
    mctx_sim_arrival arrival = arrival_of(i < GROUPS4 ? "10.0.0.9" : "fd00::9", "239.2.0.0", 2);
    arrival.destination = wishes[i].group;
    arrival.destination.port = PORT;
    arrival.payload = &i;
    arrival.length = sizeof i;
    assert_true(mctx_sim_deliver(&arrival) >= 1);
    assert_received(subscription, i);
  }
  for (uint32_t i = 0; i < SOURCES4; i++) {
    mctx_sim_arrival arrival = arrival_of("10.0.2.1", "232.1.1.1", 2);
    arrival.source.bytes[3] = (uint8_t)i;
    arrival.payload = &i;
    arrival.length = sizeof i;
    assert_int_equal(mctx_sim_deliver(&arrival), 1); /* by one socket alone */
    assert_received(subscription, i);
  }
  (void)arrive(1, "fd00::1:5", "ff15::2:2", 2);
  assert_nothing(subscription);
  assert_closed(context);
}

/* ---- ports ---- */

static void the_first_group_with_a_port_says_it(void **state) {
  (void)state;
  context = open_context();
  const mctx_membership wishes[3] = {membership_of("239.1.1.1", NULL), membership_of("239.1.1.2:6000", NULL),
                                     membership_of("239.1.1.3:6000", NULL)};
  mctx_subscription_options options = subscription_options();
  options.port = MCTX_AUTO;
  options.memberships = wishes;
  options.membership_count = 3;
  options.membership_stride = sizeof wishes[0];
  subscription = subscribe_with(context, &options);
  assert_int_equal(subscription_info(subscription).port, 6000);
  assert_int_equal(membership_at(subscription, "239.1.1.1", 2).group.port, 0);
  assert_closed(context);
}

static void a_port_that_is_chosen_is_one_for_both_families_and_stays(void **state) {
  (void)state;
  context = open_context();
  mctx_subscription_options options = subscription_options();
  options.port = 0;
  subscription = subscribe_with(context, &options);
  mctx_subscription other = subscribe_with(context, &options);
  const uint32_t port = subscription_info(subscription).port;
  assert_true(port > 1023 && port < 65536);
  assert_int_not_equal(subscription_info(other).port, port);
  static const char *const groups[] = {"239.1.1.1", "ff15::1"};
  static const char *const sources[] = {"10.0.0.9", "fd00::9"};
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 2; i++) {
      join(subscription, groups[i], "eth0");
      mctx_sim_arrival arrival = arrival_of(sources[i], groups[i], 2);
      arrival.destination.port = (uint16_t)port;
      assert_true(mctx_sim_deliver(&arrival) >= 1);
      size_t length;
      assert_ok(mctx_recv(subscription, NULL, 0, 0, 0, &length, NULL, 0, NULL));
      assert_ok(leave(subscription, groups[i], NULL, NULL));
    }
    assert_int_equal(subscription_info(subscription).port, port);
  }
  assert_closed(context);
  /* with one family alone */
  mctx_sim_capability_set(MCTX_CAPABILITY_IPV6, MCTX_CAPABILITY_ABSENT);
  open_with_options(&options);
  join(subscription, "239.1.1.1", "eth0");
  assert_closed(context);
}

static void a_port_is_shared_or_ours_alone(void **state) {
  (void)state;
  mctx_os_handle native;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_address local = {.family = 4, .port = PORT};
  open_plain();
  join(subscription, "239.1.1.1", "eth0");
  assert_true(mctx_sim_socket(4 | MCTX_SIM_REUSE, &local, &native)); /* another program */
  mctx_subscription second = subscribe(context);
  join(second, "239.1.1.1", "eth0");
  assert_true(arrive(7, "10.0.0.9", "239.1.1.1", 2) >= 2);
  assert_received(subscription, 7);
  assert_received(second, 7);

  mctx_subscription_options options = subscription_options();
  options.reuse_port = 0;
  mctx_subscription alone = subscribe_with(context, &options);
  const mctx_membership wish = membership_of("239.5.5.5", "eth0");
  assert_status(try_join(alone, &wish, &error), MCTX_ERR_ADDRESS_IN_USE);
  assert_int_equal(error.kind, MCTX_KIND_ALREADY_EXISTS);
  assert_true(strlen(error.hint) > 0);
  mctx_sim_socket_close(&native);
  assert_closed(subscription);
  assert_closed(second);
  assert_ok(try_join(alone, &wish, &error));
  join(alone, "239.5.5.6", "eth0"); /* its own sockets share it */
  join(alone, "ff15::1", NULL);
  assert_false(mctx_sim_socket(4 | MCTX_SIM_REUSE, &local, &native));
  local.family = 6;
  assert_false(mctx_sim_socket(6 | MCTX_SIM_REUSE, &local, &native));
  mctx_subscription third = subscribe(context);
  assert_status(try_join(third, &wish, &error), MCTX_ERR_ADDRESS_IN_USE);
  for (int i = 0; i < 2; i++) {
    (void)arrive(9, "10.0.0.9", i == 0 ? "239.5.5.5" : "239.5.5.6", 2);
    assert_received(alone, 9);
  }
  assert_closed(context);
}

/* ---- interfaces of the subscription ---- */

static void groups_go_to_the_interfaces_that_the_subscription_names(void **state) {
  (void)state;
  context = open_context();
  const mctx_interface_ref named[3] = {{.by = MCTX_INTERFACE_BY_NAME, .name = "lo"},
                                       {.by = MCTX_INTERFACE_BY_INDEX, .index = 3},
                                       {.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of("10.0.1.1")}};
  mctx_subscription_options options = subscription_options();
  options.interfaces = named;
  options.interface_count = 3;
  subscription = subscribe_with(context, &options);
  join(subscription, "239.1.1.1", NULL);
  assert_int_equal(memberships_of(subscription, NULL, 0), 2);
  mctx_membership_info info = membership_at(subscription, "239.1.1.1", 3);
  assert_int_equal(info.name_count, 2); /* two names of one interface */
  assert_int_equal(info.flags, 0);
  (void)arrive(1, "127.0.0.1", "239.1.1.1", 1);
  assert_received(subscription, 1);
  (void)arrive(2, "10.0.0.9", "239.1.1.1", 2);
  assert_nothing(subscription);
  /* one that names its own goes there alone */
  join(subscription, "239.1.1.2", "eth0");
  (void)arrive(3, "10.0.0.9", "239.1.1.2", 2);
  assert_received(subscription, 3);
  /* strict: a refusal of one fails the call */
  mctx_error error = MCTX_ERROR_INIT;
  const mctx_membership wish = membership_of("239.1.1.3", NULL);
  assert_true(mctx_sim_refuse(3, 4, MCTX_ERR_PERMISSION));
  assert_status(try_join(subscription, &wish, &error), MCTX_ERR_PERMISSION);
  assert_int_equal(memberships_of(subscription, NULL, 0), 3);
  assert_int_equal(mctx_sim_memberships(), 3);
  /* what is joined on some is joined on the rest; on all, it exists */
  assert_true(mctx_sim_refuse(3, 4, MCTX_OK));
  join(subscription, "239.1.1.3", "lo");
  join(subscription, "239.1.1.3", NULL);
  assert_status(try_join(subscription, &wish, &error), MCTX_ERR_MEMBERSHIP_EXISTS);
  assert_closed(context);
}

static void a_scope_id_names_the_interface(void **state) {
  (void)state;
  open_plain();
  join(subscription, "ff12::1%eth1", NULL);
  mctx_membership_info info = membership_at(subscription, "ff12::1", 3);
  char text[16];
  size_t length;
  assert_ok(mctx_membership_name(subscription, info.id, 0, text, sizeof text, &length, NULL));
  assert_string_equal(text, "#3");
  (void)arrive(1, "fe80::9", "ff12::1", 3);
  assert_received(subscription, 1);
  (void)arrive(2, "fe80::9", "ff12::1", 2);
  assert_nothing(subscription);
  assert_ok(leave(subscription, "ff12::1%3", NULL, NULL));
  mctx_error error = MCTX_ERROR_INIT;
  const mctx_membership wish = membership_of("ff12::1%eth1", "eth0");
  assert_status(try_join(subscription, &wish, &error), MCTX_ERR_OPTION_CONFLICT);
  assert_string_equal(error.field, "group.scope_id");
  assert_closed(context);
}

/* ---- bad input ---- */

typedef struct wrong {
  const char *what;
  mctx_status status;
  const char *field;
  int64_t item;
} wrong;

static void assert_wrong(const wrong *expected, mctx_status status, const mctx_error *error) {
  if (status != expected->status || error->status != status || strcmp(error->field, expected->field) != 0 ||
      error->item != expected->item)
    fail_msg("%s: %s of \"%s\", item %d (%s)", expected->what, mctx_status_name(status), error->field,
             (int)error->item, error->message);
  assert_true(strlen(error->message) > 0);
}

static void wrong_options_are_named_and_open_nothing(void **state) {
  (void)state;
  context = open_context();
  static const wrong cases[] = {
      {"flags", MCTX_ERR_RESERVED, "flags", -1},
      {"port too large", MCTX_ERR_PORT_RANGE, "port", -1},
      {"port negative", MCTX_ERR_PORT_RANGE, "port", -1},
      {"no port at all", MCTX_ERR_PORT_ZERO, "port", -1},
      {"reuse_port", MCTX_ERR_INVALID_ARGUMENT, "reuse_port", -1},
      {"coalescing", MCTX_ERR_INVALID_ARGUMENT, "coalescing", -1},
      {"binding", MCTX_ERR_INVALID_ARGUMENT, "binding", -1},
      {"metadata", MCTX_ERR_INVALID_ARGUMENT, "metadata", -1},
      {"receive_buffer", MCTX_ERR_INVALID_ARGUMENT, "receive_buffer", -1},
      {"receive_buffer large", MCTX_ERR_INVALID_ARGUMENT, "receive_buffer", -1},
      {"interfaces NULL", MCTX_ERR_NULL_ARGUMENT, "interfaces", -1},
      {"interface not there", MCTX_ERR_INTERFACE_NOT_FOUND, "interface.name", 1},
      {"interface index 0", MCTX_ERR_INTERFACE_INDEX_ZERO, "interface.index", 1},
      {"interface by nothing", MCTX_ERR_INVALID_ARGUMENT, "interface.by", 1},
      {"interface multicast", MCTX_ERR_INTERFACE_MULTICAST, "interface.address", 1},
      {"memberships NULL", MCTX_ERR_NULL_ARGUMENT, "memberships", -1},
      {"stride", MCTX_ERR_STRUCT_SIZE, "membership_stride", -1},
      {"membership", MCTX_ERR_GROUP_NOT_MULTICAST, "group", 1},
      {"binding not there", MCTX_ERR_UNSUPPORTED, "binding", -1},
  };
  for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    mctx_interface_ref named[2] = {{.by = MCTX_INTERFACE_BY_NAME, .name = "eth0"},
                                   {.by = MCTX_INTERFACE_BY_NAME, .name = "eth9"}};
    mctx_membership wishes[2] = {membership_of("239.1.1.1", NULL), membership_of("239.1.1.2", NULL)};
    wishes[1].group = address_of("10.1.1.2");
    mctx_subscription_options options = subscription_options();
    if (i == 0) options.flags = 2;
    if (i == 1) options.port = 65536;
    if (i == 2) options.port = -1;
    if (i == 3) options.port = MCTX_AUTO;
    if (i == 4) options.reuse_port = 2;
    if (i == 5) options.coalescing = MCTX_AUTO;
    if (i == 6) options.binding = 3;
    if (i == 7) options.metadata = 64;
    if (i == 8) options.receive_buffer = -1;
    if (i == 9) options.receive_buffer = INT64_C(1) << 31;
    if (i >= 10 && i <= 14) options.interface_count = 2;
    if (i >= 11 && i <= 14) options.interfaces = named;
    if (i == 12) named[1] = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX};
    if (i == 13) named[1] = (mctx_interface_ref){.by = MCTX_INTERFACE_ANY};
    if (i == 14)
      named[1] = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of("239.1.1.1")};
    if (i >= 15 && i <= 17) options.membership_count = 2;
    if (i == 15) options.membership_stride = sizeof wishes[0];
    if (i >= 16 && i <= 17) options.memberships = wishes;
    if (i == 16) options.membership_stride = 12;
    if (i == 17) options.membership_stride = sizeof wishes[0];
    if (i == 18) options.binding = MCTX_BINDING_GROUP;
    if (i == 18) mctx_sim_capability_set(MCTX_CAPABILITY_GROUP_BINDING, MCTX_CAPABILITY_ABSENT);
    const holdings before = holdings_now();
    mctx_error error = MCTX_ERROR_INIT;
    subscription = 77;
    assert_wrong(&cases[i], mctx_subscription_open(context, &options, &subscription, &error), &error);
    assert_int_equal(subscription, 0);
    assert_holdings(before);
  }
  mctx_subscription_options options = subscription_options();
  assert_status(mctx_subscription_open(context, NULL, &subscription, NULL), MCTX_ERR_NULL_ARGUMENT);
  assert_status(mctx_subscription_open(context, &options, NULL, NULL), MCTX_ERR_NULL_ARGUMENT);
  assert_closed(context);
  assert_status(mctx_subscription_open(context, &options, &subscription, NULL), MCTX_ERR_CLOSED);
}

static void wrong_memberships_are_named_and_join_nothing(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.8.8.8", NULL); /* tables that grew stay */
  assert_ok(leave(subscription, "239.8.8.8", NULL, NULL));
  static mctx_address sources[3];
  static const wrong cases[] = {
      {"not a group", MCTX_ERR_GROUP_NOT_MULTICAST, "group", 1},
      {"no group", MCTX_ERR_GROUP_NOT_MULTICAST, "group", 1},
      {"a prefix", MCTX_ERR_INVALID_ARGUMENT, "group", 1},
      {"another port", MCTX_ERR_OPTION_CONFLICT, "group.port", 1},
      {"reserved", MCTX_ERR_RESERVED, "reserved", 1},
      {"mode", MCTX_ERR_INVALID_ARGUMENT, "mode", 1},
      {"sources NULL", MCTX_ERR_NULL_ARGUMENT, "sources", 1},
      {"include nobody", MCTX_ERR_SOURCE_REQUIRED, "sources", 1},
      {"other family", MCTX_ERR_SOURCE_FAMILY, "sources", 1},
      {"a group as source", MCTX_ERR_SOURCE_MULTICAST, "sources", 1},
      {"the unspecified source", MCTX_ERR_SOURCE_UNSPECIFIED, "sources", 1},
      {"a source twice", MCTX_ERR_SOURCE_REPEATED, "sources", 1},
      {"no such interface", MCTX_ERR_INTERFACE_NOT_FOUND, "interface.name", 1},
      {"no such index", MCTX_ERR_INTERFACE_NOT_FOUND, "interface.index", 1},
      {"an index of 0", MCTX_ERR_INTERFACE_INDEX_ZERO, "interface.index", 1},
      {"a way to name", MCTX_ERR_INVALID_ARGUMENT, "interface.by", 1},
      {"the unspecified address", MCTX_ERR_INTERFACE_UNSPECIFIED, "interface.address", 1},
      {"no name", MCTX_ERR_NULL_ARGUMENT, "interface.name", 1},
  };
  for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    mctx_membership wishes[2] = {membership_of("239.1.1.1", NULL), membership_of("239.1.1.2", NULL)};
    mctx_membership *bad = &wishes[1];
    sources[0] = address_of("10.0.0.7");
    sources[1] = address_of("10.0.0.8");
    sources[2] = address_of("10.0.0.7");
    if (i == 0) bad->group = address_of("10.0.0.1");
    if (i == 1) bad->group = (mctx_address){0};
    if (i == 2) bad->group.prefix = 24;
    if (i == 3) bad->group.port = 5001;
    if (i == 4) bad->reserved = 1;
    if (i == 5) bad->mode = 2;
    if (i == 6) bad->source_count = 1;
    if (i == 7) bad->mode = MCTX_INCLUDE;
    if (i >= 8 && i <= 11) bad->sources = sources;
    if (i >= 8 && i <= 11) bad->source_count = i == 11 ? 3 : 2;
    if (i == 8) sources[1] = address_of("fd00::1");
    if (i == 9) sources[1] = address_of("239.0.0.1");
    if (i == 10) sources[1] = address_of("0.0.0.0");
    if (i == 12) *bad = membership_of("239.1.1.2", "eth9");
    if (i == 13) bad->ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX, .index = 99};
    if (i == 14) bad->ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX};
    if (i == 15) bad->ingress.by = 4;
    if (i == 16)
      bad->ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of("0.0.0.0")};
    if (i == 17) bad->ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_NAME};
    const holdings before = holdings_now();
    mctx_error error = MCTX_ERROR_INIT;
    assert_wrong(&cases[i], mctx_join(subscription, wishes, sizeof wishes[0], 2, &error), &error);
    assert_int_equal(error.handle, subscription);
    assert_true(strlen(error.hint) > 0 || cases[i].status == MCTX_ERR_NULL_ARGUMENT ||
                cases[i].status == MCTX_ERR_RESERVED);
    assert_int_equal(memberships_of(subscription, NULL, 0), 0);
    assert_holdings(before);
  }
  mctx_error error = MCTX_ERROR_INIT;
  const mctx_membership wish = membership_of("239.1.1.1", NULL);
  assert_status(mctx_join(subscription, NULL, sizeof wish, 1, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(error.field, "memberships");
  assert_status(mctx_join(subscription, &wish, 4, 1, &error), MCTX_ERR_STRUCT_SIZE);
  assert_ok(mctx_join(subscription, NULL, sizeof wish, 0, &error));
  assert_status(mctx_join(context, &wish, sizeof wish, 1, &error), MCTX_ERR_WRONG_HANDLE);
  assert_string_equal(error.field, "handle");
  assert_closed(context);
}

static void changes_that_do_not_fit_are_named(void **state) {
  (void)state;
  open_plain();
  const mctx_address nine = address_of("10.0.0.9");
  const mctx_membership included = filtered("239.1.1.1", "eth0", MCTX_INCLUDE, &nine, 1);
  const mctx_membership excluded = filtered("239.1.1.2", "eth0", MCTX_EXCLUDE, &nine, 1);
  assert_ok(try_join(subscription, &included, NULL));
  assert_ok(try_join(subscription, &excluded, NULL));
  mctx_error error = MCTX_ERROR_INIT;
  const wrong cases[] = {
      {"joined", MCTX_ERR_MEMBERSHIP_EXISTS, "group", 0},
      {"joined differently", MCTX_ERR_FILTER_DIFFERS, "group", 0},
      {"left without a join", MCTX_ERR_MEMBERSHIP_NOT_FOUND, "group", 0},
      {"left elsewhere", MCTX_ERR_MEMBERSHIP_NOT_FOUND, "group", 0},
      {"left on no interface", MCTX_ERR_INTERFACE_NOT_FOUND, "interface.name", 0},
  };
  mctx_membership differently = included;
  differently.mode = MCTX_EXCLUDE;
  assert_wrong(&cases[0], try_join(subscription, &included, &error), &error);
  assert_wrong(&cases[1], try_join(subscription, &differently, &error), &error);
  assert_wrong(&cases[2], leave(subscription, "239.9.9.9", NULL, &error), &error);
  assert_wrong(&cases[3], leave(subscription, "239.1.1.1", "eth1", &error), &error);
  assert_wrong(&cases[4], leave(subscription, "239.1.1.1", "eth9", &error), &error);
  assert_status(mctx_leave(subscription, &included, sizeof included, 1, &error), MCTX_ERR_OPTION_CONFLICT);
  assert_string_equal(error.field, "sources");

  assert_status(block(subscription, "239.1.1.1", NULL, "10.0.0.9", &error), MCTX_ERR_FILTER_MODE);
  assert_true(strlen(error.hint) > 0);
  assert_status(allow(subscription, "239.1.1.1", NULL, "10.0.0.9", &error), MCTX_ERR_SOURCE_EXISTS);
  assert_string_equal(error.field, "source");
  assert_status(allow(subscription, "239.1.1.2", NULL, "10.0.0.8", &error), MCTX_ERR_SOURCE_NOT_FOUND);
  assert_status(block(subscription, "239.1.1.2", NULL, "10.0.0.9", &error), MCTX_ERR_SOURCE_EXISTS);
  assert_status(block(subscription, "239.1.1.2", NULL, "fd00::9", &error), MCTX_ERR_SOURCE_FAMILY);
  assert_status(allow(subscription, "239.9.9.9", NULL, "10.0.0.9", &error), MCTX_ERR_MEMBERSHIP_NOT_FOUND);
  assert_status(mctx_allow(subscription, &included, sizeof included, &nine, &error), MCTX_ERR_OPTION_CONFLICT);
  assert_status(mctx_block(subscription, &included, sizeof included, NULL, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(error.field, "source");
  assert_status(mctx_allow(subscription, NULL, sizeof included, &nine, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_string_equal(error.field, "membership");
  assert_status(mctx_filter_set(subscription, &included, 4, &error), MCTX_ERR_STRUCT_SIZE);
  assert_string_equal(error.field, "size");
  mctx_membership nobody = included;
  nobody.source_count = 0;
  assert_status(set_filter(subscription, &nobody, &error), MCTX_ERR_SOURCE_REQUIRED);
  mctx_membership elsewhere = membership_of("239.1.1.1", "eth1");
  assert_status(set_filter(subscription, &elsewhere, &error), MCTX_ERR_MEMBERSHIP_NOT_FOUND);
  assert_int_equal(memberships_of(subscription, NULL, 0), 2);
  (void)arrive(1, "10.0.0.9", "239.1.1.1", 2);
  assert_received(subscription, 1);
  assert_closed(context);
}

static void a_source_specific_group_without_a_source_is_a_hint(void **state) {
  (void)state;
  open_plain();
  join(subscription, "232.1.1.1", "eth0");
  mctx_event event = next_event(subscription, MCTX_EVENT_SOURCELESS, 0);
  assert_address(&event.address, "232.1.1.1");
  assert_int_equal(membership_at(subscription, "232.1.1.1", 2).flags, MCTX_MEMBERSHIP_SOURCELESS);
  join(subscription, "ff3e::4000:1", "eth0");
  (void)next_event(subscription, MCTX_EVENT_SOURCELESS, 0);
  join(subscription, "ff3e:1::1", "eth0"); /* not of ff3x::/32 */
  join(subscription, "239.1.1.1", "eth0");
  const mctx_address nine = address_of("10.0.0.9");
  const mctx_membership specific = filtered("232.1.1.2", "eth0", MCTX_INCLUDE, &nine, 1);
  assert_ok(try_join(subscription, &specific, NULL));
  no_event(subscription);
  assert_int_equal(membership_at(subscription, "232.1.1.2", 2).flags, 0);
  (void)arrive(1, "10.0.0.9", "232.1.1.1", 2);
  assert_received(subscription, 1);
  assert_closed(context);
}

/* ---- reading memberships back ---- */

static void memberships_are_read_in_pieces_and_by_id(void **state) {
  (void)state;
  open_plain();
  mctx_address sources[3] = {address_of("10.0.0.9"), address_of("10.0.0.7"), address_of("10.0.0.8")};
  const mctx_membership included = filtered("239.1.1.1", "eth0", MCTX_INCLUDE, sources, 3);
  assert_ok(try_join(subscription, &included, NULL));
  join(subscription, "ff15::1", "eth1");
  mctx_membership_info info;
  uint32_t count = 77;
  assert_ok(mctx_memberships(subscription, NULL, 0, 0, &count, NULL));
  assert_int_equal(count, 2);
  assert_ok(mctx_memberships(subscription, &info, sizeof info, 1, &count, NULL));
  assert_int_equal(count, 2);
  assert_address(&info.group, "239.1.1.1");
  assert_int_equal(info.source_count, 3);
  mctx_address listed[3];
  assert_ok(mctx_membership_sources(subscription, info.id, listed, 2, &count, NULL));
  assert_int_equal(count, 3);
  assert_address(&listed[0], "10.0.0.7");
  assert_address(&listed[1], "10.0.0.8");
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_membership_sources(subscription, 12345, listed, 2, &count, &error),
                MCTX_ERR_MEMBERSHIP_NOT_FOUND);
  assert_int_equal(count, 0);
  char text[4];
  size_t length = 77;
  assert_ok(mctx_membership_name(subscription, info.id, 0, text, sizeof text, &length, NULL));
  assert_string_equal(text, "eth");
  assert_int_equal(length, 4);
  assert_status(mctx_membership_name(subscription, info.id, 1, text, sizeof text, &length, &error),
                MCTX_ERR_NOT_FOUND);
  assert_int_equal(length, 0);
  assert_status(mctx_membership_name(subscription, 12345, 0, text, sizeof text, &length, &error),
                MCTX_ERR_MEMBERSHIP_NOT_FOUND);
  assert_status(mctx_memberships(subscription, NULL, sizeof info, 1, &count, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_status(mctx_memberships(subscription, &info, sizeof info, 1, NULL, &error), MCTX_ERR_NULL_ARGUMENT);
  const uint32_t id = info.id;
  assert_ok(leave(subscription, "239.1.1.1", NULL, NULL));
  assert_ok(try_join(subscription, &included, NULL));
  assert_true(membership_at(subscription, "239.1.1.1", 2).id > id); /* never used again */
  assert_status(mctx_membership_sources(subscription, id, NULL, 0, &count, NULL),
                MCTX_ERR_MEMBERSHIP_NOT_FOUND);
  assert_closed(context);
}

/* ---- owners ---- */

static void a_context_lists_its_subscriptions_and_closes_them(void **state) {
  (void)state;
  context = open_context();
  mctx_subscription several[3];
  mctx_subscription listed[4] = {0};
  uint32_t count = 77;
  for (int i = 0; i < 3; i++)
    several[i] = subscribe(context);
  assert_ok(mctx_context_subscriptions(context, listed, 2, &count, NULL));
  assert_int_equal(count, 3);
  assert_int_equal(listed[0], several[0]);
  assert_int_equal(listed[1], several[1]);
  assert_int_equal(listed[2], 0);
  assert_closed(several[1]);
  assert_ok(mctx_context_subscriptions(context, listed, 4, &count, NULL));
  assert_int_equal(count, 2);
  assert_int_equal(listed[1], several[2]);
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_context_subscriptions(context, NULL, 4, &count, &error), MCTX_ERR_NULL_ARGUMENT);
  assert_status(mctx_context_subscriptions(several[0], listed, 4, &count, &error), MCTX_ERR_WRONG_HANDLE);
  assert_closed(context);
  uint32_t number;
  assert_status(try_recv(several[0], &number), MCTX_ERR_CLOSED);
  assert_status(mctx_close(several[0], NULL), MCTX_ERR_CLOSED);
}

static void after_close_every_call_says_closed(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  assert_closed(subscription);
  assert_int_equal(mctx_sim_memberships(), 0);
  uint32_t count;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_subscription_info info = {.size = sizeof info};
  const mctx_membership wish = membership_of("239.1.1.1", NULL);
  mctx_os_handle native;
  mctx_event event;
  assert_status(mctx_subscription_get_info(subscription, &info, &error), MCTX_ERR_CLOSED);
  assert_string_equal(error.field, "handle");
  assert_status(try_join(subscription, &wish, &error), MCTX_ERR_CLOSED);
  assert_status(leave(subscription, "239.1.1.1", NULL, &error), MCTX_ERR_CLOSED);
  assert_status(allow(subscription, "239.1.1.1", NULL, "10.0.0.9", &error), MCTX_ERR_CLOSED);
  assert_status(block(subscription, "239.1.1.1", NULL, "10.0.0.9", &error), MCTX_ERR_CLOSED);
  assert_status(set_filter(subscription, &wish, &error), MCTX_ERR_CLOSED);
  assert_status(mctx_memberships(subscription, NULL, 0, 0, &count, &error), MCTX_ERR_CLOSED);
  assert_status(mctx_pollable(subscription, &native, &error), MCTX_ERR_CLOSED);
  assert_status(mctx_events(subscription, &event, sizeof event, 1, &count, &error), MCTX_ERR_CLOSED);
  assert_status(mctx_metrics(subscription, NULL, 0, &count, &error), MCTX_ERR_CLOSED);
  assert_status(mctx_wake(subscription), MCTX_ERR_CLOSED);
  assert_closed(context);
}

/* ---- forks ---- */

static void in_a_child_a_subscription_is_forked_and_its_copies_are_closed(void **state) {
  (void)state;
  open_plain();
  join(subscription, "239.1.1.1", NULL);
  join(subscription, "ff15::1", NULL);
  mctx_os_handle native;
  assert_ok(mctx_pollable(context, &native, NULL));
  uint32_t number;
  (void)arrive(1, "10.0.0.9", "239.1.1.1", 2);
  mctx_sim_become_child();
  assert_status(try_recv(subscription, &number), MCTX_ERR_FORKED);
  const mctx_membership wish = membership_of("239.1.1.2", NULL);
  assert_status(try_join(subscription, &wish, NULL), MCTX_ERR_FORKED);
  assert_status(mctx_close(subscription, NULL), MCTX_ERR_FORKED);
  assert_int_equal(mctx_sim_open_sockets(), 0);
  assert_int_equal(mctx_sim_open_pollers(), 0);
  assert_int_equal(mctx_sim_open_watches(), 0);
  assert_int_equal(mctx_sim_open_events(), 0);
  mctx_context fresh = open_context();
  mctx_subscription own = subscribe(fresh);
  join(own, "239.1.1.1", NULL);
  (void)arrive(2, "10.0.0.9", "239.1.1.1", 2);
  assert_received(own, 2);
  assert_closed(fresh);
  fixture_before = holdings_now(); /* the memory of the parent's objects stays the child's loss */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      fixture_test(the_defaults_are_those_that_are_documented),
      fixture_test(info_tells_what_was_configured_and_what_is),
      fixture_test(a_receive_buffer_is_cut_where_rights_do_not_suffice),
      fixture_test(without_coalescing_a_batch_wants_one_record),
      fixture_test(sockets_are_bound_to_groups_up_to_a_bound),
      fixture_test(where_descriptors_do_not_suffice_sockets_are_shared),
      fixture_test(no_limit_of_the_host_is_the_users),
      fixture_test(the_first_group_with_a_port_says_it),
      fixture_test(a_port_that_is_chosen_is_one_for_both_families_and_stays),
      fixture_test(a_port_is_shared_or_ours_alone),
      fixture_test(groups_go_to_the_interfaces_that_the_subscription_names),
      fixture_test(a_scope_id_names_the_interface),
      fixture_test(wrong_options_are_named_and_open_nothing),
      fixture_test(wrong_memberships_are_named_and_join_nothing),
      fixture_test(changes_that_do_not_fit_are_named),
      fixture_test(a_source_specific_group_without_a_source_is_a_hint),
      fixture_test(memberships_are_read_in_pieces_and_by_id),
      fixture_test(a_context_lists_its_subscriptions_and_closes_them),
      fixture_test(after_close_every_call_says_closed),
      fixture_test(in_a_child_a_subscription_is_forked_and_its_copies_are_closed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

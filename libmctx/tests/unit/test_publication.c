/* SPDX-License-Identifier: MIT */
/* Publications: what is refused and why, what is opened, what it says of itself, adopting and taking out. */
#include "platform.h"
#include "sim_fixture.h"

/* ---- what is refused ---- */

typedef struct refusal {
  void (*spoil)(mctx_publication_options *options);
  mctx_status status;
  const char *field;
} refusal;

static void set(mctx_address *address, const char *text) {
  *address = address_of(text);
}

static void name_interface(mctx_publication_options *options, const char *address) {
  options->outgoing_interface.by = MCTX_INTERFACE_BY_ADDRESS;
  set(&options->outgoing_interface.address, address);
}

/* clang-format off */
static void no_group(mctx_publication_options *o) { o->group = (mctx_address){0}; }
static void unicast4(mctx_publication_options *o) { set(&o->group, "10.0.0.1:5000"); }
static void unicast6(mctx_publication_options *o) { set(&o->group, "[fd00::9]:5000"); }
static void below_groups(mctx_publication_options *o) { set(&o->group, "223.255.255.255:5000"); }
static void above_groups(mctx_publication_options *o) { set(&o->group, "240.0.0.0:5000"); }
static void unknown_family(mctx_publication_options *o) { o->group.family = 10; }
static void garbage_behind(mctx_publication_options *o) { o->group.bytes[4] = 1; }
static void prefix_in_group(mctx_publication_options *o) { o->group.prefix = 4; }
static void no_port(mctx_publication_options *o) { o->group.port = 0; }
static void zero_port(mctx_publication_options *o) { o->group.port = 0; o->port = 0; }
static void port_65536(mctx_publication_options *o) { o->port = 65536; }
static void port_negative(mctx_publication_options *o) { o->port = -1; }
static void two_ports(mctx_publication_options *o) { o->port = 5001; }
static void source_port_zero(mctx_publication_options *o) { o->source_port = 0; }
static void source_port_65536(mctx_publication_options *o) { o->source_port = 65536; }
static void source_any(mctx_publication_options *o) { set(&o->source, "0.0.0.0"); }
static void source_group(mctx_publication_options *o) { set(&o->source, "239.1.1.1"); }
static void source_other_family(mctx_publication_options *o) { set(&o->source, "fd00::1"); }
static void source_elsewhere(mctx_publication_options *o) { set(&o->source, "192.0.2.1"); }
static void two_source_ports(mctx_publication_options *o) { set(&o->source, "10.0.0.1:7"); o->source_port = 8; }
static void bind_and_source(mctx_publication_options *o) { set(&o->source, "10.0.0.1"); set(&o->bind, "10.0.0.1:7"); }
static void bind_and_port(mctx_publication_options *o) { o->source_port = 7; set(&o->bind, "10.0.0.1"); }
static void bind_group(mctx_publication_options *o) { set(&o->bind, "239.1.1.1:7"); }
static void bind_other_family(mctx_publication_options *o) { set(&o->bind, "[fd00::1]:7"); }
static void interface_any(mctx_publication_options *o) { name_interface(o, "0.0.0.0"); }
static void interface_none(mctx_publication_options *o) { o->outgoing_interface.by = MCTX_INTERFACE_BY_ADDRESS; }
static void interface_group(mctx_publication_options *o) { name_interface(o, "239.1.1.1"); }
static void interface_other_family(mctx_publication_options *o) { name_interface(o, "fd00::1"); }
static void interface_elsewhere(mctx_publication_options *o) { name_interface(o, "192.0.2.1"); }
static void index_zero(mctx_publication_options *o) { o->outgoing_interface.by = MCTX_INTERFACE_BY_INDEX; }
static void index_unknown(mctx_publication_options *o) { index_zero(o); o->outgoing_interface.index = 99; }
static void name_unknown(mctx_publication_options *o) {
  o->outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  o->outgoing_interface.name = "eth9";
}
static void name_without_by(mctx_publication_options *o) { o->outgoing_interface.name = "eth0"; }
static void index_without_by(mctx_publication_options *o) { o->outgoing_interface.index = 2; }
static void address_without_by(mctx_publication_options *o) { set(&o->outgoing_interface.address, "10.0.0.1"); }
static void name_and_index(mctx_publication_options *o) { name_unknown(o); o->outgoing_interface.index = 2; }
static void by_nothing_known(mctx_publication_options *o) { o->outgoing_interface.by = 9; }
static void hop_limit_256(mctx_publication_options *o) { o->hop_limit = 256; }
static void hop_limit_negative(mctx_publication_options *o) { o->hop_limit = -1; }
static void dscp_64(mctx_publication_options *o) { o->dscp = 64; }
static void dscp_negative(mctx_publication_options *o) { o->dscp = -1; }
static void loopback_2(mctx_publication_options *o) { o->loopback = 2; }
static void connected_2(mctx_publication_options *o) { o->connected = 2; }
static void reuse_2(mctx_publication_options *o) { o->reuse_port = 2; }
static void error_queue_2(mctx_publication_options *o) { o->error_queue = 2; }
static void fragment_2(mctx_publication_options *o) { o->dont_fragment = 2; }
static void priority_7(mctx_publication_options *o) { o->priority = 7; }
static void mark_too_large(mctx_publication_options *o) { o->mark = INT64_C(1) << 32; }
static void buffer_negative(mctx_publication_options *o) { o->send_buffer = -1; }
static void buffer_too_large(mctx_publication_options *o) { o->send_buffer = INT64_C(1) << 40; }
static void device_empty(mctx_publication_options *o) { o->bind_device = ""; }
static void device_unknown(mctx_publication_options *o) { o->bind_device = "eth9"; }
static void unknown_flag(mctx_publication_options *o) { o->flags = 1u << 31; }
static void socket_reserved(mctx_publication_options *o) { o->socket.reserved = 1; }
static void socket_event(mctx_publication_options *o) { o->socket.type = MCTX_OS_EVENT; }
static void socket_without_type(mctx_publication_options *o) { o->socket.value = 5; }
static void link_local_group(mctx_publication_options *o) { set(&o->group, "[ff02::1234]:5000"); }
static void interface_local_group(mctx_publication_options *o) { set(&o->group, "[ff11::1234]:5000"); }
static void scope_unknown(mctx_publication_options *o) { link_local_group(o); o->group.scope_id = 99; }
static void two_scopes(mctx_publication_options *o) { link_local_group(o); o->group.scope_id = 2; index_zero(o); o->outgoing_interface.index = 3; }
static void source6_elsewhere(mctx_publication_options *o) {
  set(&o->group, "[ff15::1]:5000");
  set(&o->source, "fd00::1");
  index_zero(o);
  o->outgoing_interface.index = 3;
}
static void source6_unspecified(mctx_publication_options *o) { set(&o->group, "[ff15::1]:5000"); set(&o->source, "::"); }
static void source6_group(mctx_publication_options *o) { set(&o->group, "[ff15::1]:5000"); set(&o->source, "ff15::1"); }
/* clang-format on */

static const refusal refusals[] = {
    {no_group, MCTX_ERR_GROUP_NOT_MULTICAST, "group"},
    {unicast4, MCTX_ERR_GROUP_NOT_MULTICAST, "group"},
    {unicast6, MCTX_ERR_GROUP_NOT_MULTICAST, "group"},
    {below_groups, MCTX_ERR_GROUP_NOT_MULTICAST, "group"},
    {above_groups, MCTX_ERR_GROUP_NOT_MULTICAST, "group"},
    {unknown_family, MCTX_ERR_INVALID_ARGUMENT, "group"},
    {garbage_behind, MCTX_ERR_INVALID_ARGUMENT, "group"},
    {prefix_in_group, MCTX_ERR_INVALID_ARGUMENT, "group"},
    {no_port, MCTX_ERR_PORT_ZERO, "port"},
    {zero_port, MCTX_ERR_PORT_ZERO, "port"},
    {port_65536, MCTX_ERR_PORT_RANGE, "port"},
    {port_negative, MCTX_ERR_PORT_RANGE, "port"},
    {two_ports, MCTX_ERR_OPTION_CONFLICT, "port"},
    {source_port_zero, MCTX_ERR_SOURCE_PORT_ZERO, "source_port"},
    {source_port_65536, MCTX_ERR_PORT_RANGE, "source_port"},
    {source_any, MCTX_ERR_SOURCE_UNSPECIFIED, "source"},
    {source_group, MCTX_ERR_SOURCE_MULTICAST, "source"},
    {source_other_family, MCTX_ERR_SOURCE_FAMILY, "source"},
    {source_elsewhere, MCTX_ERR_SOURCE_NOT_LOCAL, "source"},
    {two_source_ports, MCTX_ERR_OPTION_CONFLICT, "source_port"},
    {bind_and_source, MCTX_ERR_OPTION_CONFLICT, "bind"},
    {bind_and_port, MCTX_ERR_OPTION_CONFLICT, "bind"},
    {bind_group, MCTX_ERR_SOURCE_MULTICAST, "bind"},
    {bind_other_family, MCTX_ERR_SOURCE_FAMILY, "bind"},
    {interface_any, MCTX_ERR_INTERFACE_UNSPECIFIED, "interface.address"},
    {interface_none, MCTX_ERR_INTERFACE_UNSPECIFIED, "interface.address"},
    {interface_group, MCTX_ERR_INTERFACE_MULTICAST, "interface.address"},
    {interface_other_family, MCTX_ERR_INTERFACE_FAMILY, "interface.address"},
    {interface_elsewhere, MCTX_ERR_INTERFACE_NOT_FOUND, "interface.address"},
    {index_zero, MCTX_ERR_INTERFACE_INDEX_ZERO, "interface.index"},
    {index_unknown, MCTX_ERR_INTERFACE_NOT_FOUND, "interface.index"},
    {name_unknown, MCTX_ERR_INTERFACE_NOT_FOUND, "interface.name"},
    {name_without_by, MCTX_ERR_OPTION_CONFLICT, "interface.by"},
    {index_without_by, MCTX_ERR_OPTION_CONFLICT, "interface.by"},
    {address_without_by, MCTX_ERR_OPTION_CONFLICT, "interface.by"},
    {name_and_index, MCTX_ERR_OPTION_CONFLICT, "interface.by"},
    {by_nothing_known, MCTX_ERR_INVALID_ARGUMENT, "interface.by"},
    {hop_limit_256, MCTX_ERR_HOP_LIMIT_RANGE, "hop_limit"},
    {hop_limit_negative, MCTX_ERR_HOP_LIMIT_RANGE, "hop_limit"},
    {dscp_64, MCTX_ERR_DSCP_RANGE, "dscp"},
    {dscp_negative, MCTX_ERR_DSCP_RANGE, "dscp"},
    {loopback_2, MCTX_ERR_INVALID_ARGUMENT, "loopback"},
    {connected_2, MCTX_ERR_INVALID_ARGUMENT, "connected"},
    {reuse_2, MCTX_ERR_INVALID_ARGUMENT, "reuse_port"},
    {error_queue_2, MCTX_ERR_INVALID_ARGUMENT, "error_queue"},
    {fragment_2, MCTX_ERR_INVALID_ARGUMENT, "dont_fragment"},
    {priority_7, MCTX_ERR_INVALID_ARGUMENT, "priority"},
    {mark_too_large, MCTX_ERR_INVALID_ARGUMENT, "mark"},
    {buffer_negative, MCTX_ERR_INVALID_ARGUMENT, "send_buffer"},
    {buffer_too_large, MCTX_ERR_INVALID_ARGUMENT, "send_buffer"},
    {device_empty, MCTX_ERR_INVALID_ARGUMENT, "bind_device"},
    {device_unknown, MCTX_ERR_INTERFACE_NOT_FOUND, "bind_device"},
    {unknown_flag, MCTX_ERR_RESERVED, "flags"},
    {socket_reserved, MCTX_ERR_RESERVED, "socket.reserved"},
    {socket_without_type, MCTX_ERR_OPTION_CONFLICT, "socket.type"},
    {socket_event, MCTX_ERR_INVALID_ARGUMENT, "socket.type"},
    {link_local_group, MCTX_ERR_INTERFACE_REQUIRED, "interface"},
    {interface_local_group, MCTX_ERR_INTERFACE_REQUIRED, "interface"},
    {scope_unknown, MCTX_ERR_INTERFACE_NOT_FOUND, "group.scope_id"},
    {two_scopes, MCTX_ERR_OPTION_CONFLICT, "group.scope_id"},
    {source6_elsewhere, MCTX_ERR_SOURCE_ON_OTHER_INTERFACE, "source"},
    {source6_unspecified, MCTX_ERR_SOURCE_UNSPECIFIED, "source"},
    {source6_group, MCTX_ERR_SOURCE_MULTICAST, "source"},
};

/* Each with its own status, the field and a hint; no socket is touched, nothing is held. */
static void bad_options_are_refused_before_anything_happens(void **state) {
  (void)state;
  mctx_context context = open_context();
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    refusals[i].spoil(&options);
    holdings before = holdings_now();
    uint64_t sockets = mctx_sim_calls(MCTX_SIM_SOCKET_OPEN);
    mctx_publication publication = 77;
    mctx_error error = MCTX_ERROR_INIT;
    mctx_status status = mctx_publication_open(context, &options, &publication, &error);
    if (status != refusals[i].status || strcmp(error.field, refusals[i].field) != 0)
      fail_msg("row %d: %s in \"%s\", not %s in \"%s\"", (int)i, mctx_status_name(status), error.field,
               mctx_status_name(refusals[i].status), refusals[i].field);
    assert_int_equal(publication, 0);
    assert_int_equal(error.handle, context);
    assert_true(strlen(error.message) > 0);
    if (strlen(error.hint) == 0) fail_msg("row %d (%s) has no hint", (int)i, mctx_status_name(status));
    assert_int_equal(mctx_sim_calls(MCTX_SIM_SOCKET_OPEN), sockets);
    assert_holdings(before);
  }
  assert_closed(context);
}

static void the_same_configuration_twice_is_refused(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_context other = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  mctx_publication publication = open_with(context, &options);
  mctx_publication second = 77;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_publication_open(context, &options, &second, &error), MCTX_ERR_PUBLICATION_EXISTS);
  assert_int_equal(second, 0);
  assert_true(strlen(error.hint) > 0);
  /* anything different is another publication, and so is one of another context */
  (void)open_with(other, &options);
  options.hop_limit = 2;
  (void)open_with(context, &options);
  options.hop_limit = 1;
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  (void)open_with(context, &options);
  options.flags = 0;
  /* the port in the group or beside it is the same */
  options.port = 5000;
  assert_status(mctx_publication_open(context, &options, &second, NULL), MCTX_ERR_PUBLICATION_EXISTS);
  options.group.port = 0;
  assert_status(mctx_publication_open(context, &options, &second, NULL), MCTX_ERR_PUBLICATION_EXISTS);
  assert_closed(context);
  assert_closed(other);
  (void)publication;
}

static void a_closed_publication_can_be_opened_again(void **state) {
  (void)state;
  mctx_context context = open_context();
  for (int i = 0; i < 3; i++) {
    mctx_publication publication = open_group(context, "239.1.1.1:5000");
    assert_closed(publication);
  }
  assert_closed(context);
}

/* ---- where datagrams leave, and from where ---- */

typedef struct journey {
  const char *group, *source, *interface_address, *interface_name;
  uint32_t interface_index;
  const char *expected_source; /* on the wire, without port */
  uint32_t expected_index;
  const char *expected_destination;
} journey;

static void source_and_interface_are_separate_choices(void **state) {
  (void)state;
  static const journey journeys[] = {
      {"239.1.1.1:5000", NULL, NULL, NULL, 0, "10.0.0.1", 2, "239.1.1.1:5000"},
      {"239.1.1.1:5000", NULL, NULL, NULL, 3, "10.0.1.1", 3, "239.1.1.1:5000"},
      {"239.1.1.1:5000", NULL, NULL, "eth1", 0, "10.0.1.1", 3, "239.1.1.1:5000"},
      {"239.1.1.1:5000", NULL, "10.0.1.1", NULL, 0, "10.0.1.1", 3, "239.1.1.1:5000"},
      {"239.1.1.1:5000", NULL, NULL, "Simulated eth1", 0, "10.0.1.1", 3, "239.1.1.1:5000"},
      {"239.1.1.1:5000", "10.0.0.1", NULL, NULL, 3, "10.0.0.1", 3, "239.1.1.1:5000"},
      {"239.1.1.1:5000", "127.0.0.1", NULL, NULL, 1, "127.0.0.1", 1, "239.1.1.1:5000"},
      {"[ff15::1]:5000", NULL, NULL, NULL, 0, "fd00::1", 2, "[ff15::1]:5000"},
      {"[ff15::1]:5000", NULL, NULL, NULL, 3, "fd01::1", 3, "[ff15::1]:5000"},
      {"[ff15::1]:5000", NULL, "fd01::1", NULL, 0, "fd01::1", 3, "[ff15::1]:5000"},
      {"[ff15::1]:5000", "fd00::1", NULL, "eth0", 0, "fd00::1", 2, "[ff15::1]:5000"},
      {"[ff15::1]:5000", "fe80::2%3", NULL, NULL, 0, "fe80::2%3", 3, "[ff15::1]:5000"},
      {"[ff02::5]:5000", NULL, NULL, "eth1", 0, "fe80::2%3", 3, "[ff02::5%3]:5000"},
      {"[ff12::5%2]:5000", NULL, NULL, NULL, 0, "fe80::1%2", 2, "[ff12::5%2]:5000"},
      {"[ff02::5]:5000", "fe80::2", NULL, NULL, 0, "fe80::2%3", 3, "[ff02::5%3]:5000"},
      {"[ff11::5]:5000", NULL, "::1", NULL, 0, "::1", 1, "[ff11::5%1]:5000"},
  };
  for (int connected = 0; connected < 2; connected++)
    for (size_t i = 0; i < sizeof journeys / sizeof journeys[0]; i++) {
      const journey *row = &journeys[i];
      mctx_context context = open_context();
      mctx_publication_options options = options_for(row->group);
      options.connected = connected;
      if (row->source != NULL) options.source = address_of(row->source);
      if (row->interface_address != NULL) name_interface(&options, row->interface_address);
      if (row->interface_index != 0) {
        options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
        options.outgoing_interface.index = row->interface_index;
      }
      if (row->interface_name != NULL) {
        options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
        options.outgoing_interface.name = row->interface_name;
      }
      mctx_publication publication = open_with(context, &options);
      mctx_sim_wire_clear();
      assert_ok(mctx_send(publication, "payload", 7, NULL));
      mctx_sim_datagram datagram = wire_at(0);
      assert_address(&datagram.destination, row->expected_destination);
      assert_int_equal(datagram.interface_index, row->expected_index);
      mctx_publication_info info = info_of(publication);
      assert_memory_equal(&info.sender, &datagram.source, sizeof info.sender);
      assert_int_equal(info.interface_index, row->expected_index);
      assert_memory_equal(&info.group, &datagram.destination, sizeof info.group);
      mctx_address source, group;
      assert_ok(mctx_publication_announce(publication, &source, &group, NULL));
      assert_memory_equal(&source, &datagram.source, sizeof source);
      assert_memory_equal(&group, &datagram.destination, sizeof group);
      datagram.source.port = 0;
      assert_address(&datagram.source, row->expected_source);
      assert_closed(context);
    }
}

static void options_reach_the_wire_and_the_info(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1");
  options.port = 65535;
  options.source = address_of("10.0.0.1");
  options.source_port = 6000;
  options.hop_limit = 255;
  options.loopback = 0;
  options.dscp = 63;
  options.dont_fragment = 1;
  options.priority = 6;
  options.mark = 0xffffffff;
  options.send_buffer = 50000;
  options.bind_device = "eth0";
  mctx_publication publication = open_with(context, &options);
  assert_ok(mctx_send(publication, "abc", 3, NULL));
  mctx_sim_datagram datagram = wire_at(0);
  assert_address(&datagram.source, "10.0.0.1:6000");
  assert_address(&datagram.destination, "239.1.1.1:65535");
  assert_int_equal(datagram.hop_limit, 255);
  assert_int_equal(datagram.loopback, 0);
  assert_int_equal(datagram.dscp, 63);
  assert_int_equal(datagram.length, 3);
  assert_memory_equal(datagram.payload, "abc", 3);
  mctx_publication_info info = info_of(publication);
  assert_int_equal(info.context, context);
  assert_address(&info.group, "239.1.1.1:65535");
  assert_address(&info.source, "10.0.0.1:6000");
  assert_address(&info.local, "10.0.0.1:6000");
  assert_int_equal(info.hop_limit, 255);
  assert_int_equal(info.loopback, 0);
  assert_int_equal(info.dscp, 63);
  assert_int_equal(info.connected, 1);
  assert_int_equal(info.reuse_port, 1);
  assert_int_equal(info.error_queue, 1);
  assert_int_equal(info.dont_fragment, 1);
  assert_int_equal(info.priority, 6);
  assert_int_equal(info.source_port, 6000);
  assert_int_equal(info.mark, 0xffffffff);
  assert_int_equal(info.send_buffer_asked, 50000);
  assert_int_equal(info.send_buffer, 100000);
  assert_int_equal(info.max_datagram, 65507);
  assert_int_equal(info.flags, 0);
  assert_closed(context);
}

static void defaults_are_as_documented(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "[ff15::1]:5000");
  mctx_publication_info info = info_of(publication);
  assert_int_equal(info.hop_limit, 1);
  assert_int_equal(info.loopback, 1);
  assert_int_equal(info.dscp, 0);
  assert_int_equal(info.connected, 1);
  assert_int_equal(info.reuse_port, 0);
  assert_int_equal(info.error_queue, 0);
  assert_int_equal(info.dont_fragment, MCTX_AUTO);
  assert_int_equal(info.priority, MCTX_AUTO);
  assert_int_equal(info.mark, MCTX_AUTO);
  assert_int_equal(info.source_port, MCTX_AUTO);
  assert_int_equal(info.source.family, 0);
  assert_int_equal(info.send_buffer_asked, 0);
  assert_int_equal(info.max_datagram, 65527);
  assert_int_equal(info.outgoing_interface.by, MCTX_INTERFACE_ANY);
  assert_true(info.local.port != 0);
  assert_closed(context);
}

/* On exactly when loopback is off, unless somebody says otherwise. */
static void the_error_queue_follows_loopback(void **state) {
  (void)state;
  mctx_context context = open_context();
  for (int32_t loopback = 0; loopback < 2; loopback++) {
    static const int32_t asked[] = {MCTX_AUTO, 0, 1};
    for (int i = 0; i < 3; i++) {
      mctx_publication_options options = options_for("239.1.1.1:5000");
      options.loopback = loopback;
      options.error_queue = asked[i];
      mctx_publication publication = open_with(context, &options);
      assert_int_equal(info_of(publication).error_queue, asked[i] == MCTX_AUTO ? !loopback : asked[i]);
      assert_closed(publication);
    }
  }
  assert_closed(context);
}

static void interfaces_are_kept_as_said(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  char name[] = "eth1", text[64];
  size_t length;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = name;
  mctx_publication publication = open_with(context, &options);
  memset(name, 'x', 4);
  assert_int_equal(info_of(publication).outgoing_interface.by, MCTX_INTERFACE_BY_NAME);
  assert_null(info_of(publication).outgoing_interface.name);
  assert_ok(mctx_publication_interface_name(publication, text, sizeof text, &length, NULL));
  assert_string_equal(text, "eth1");
  assert_int_equal(length, 4);
  assert_ok(mctx_publication_interface_name(publication, text, 3, &length, NULL));
  assert_string_equal(text, "et");
  assert_int_equal(length, 4);
  publication = open_group(context, "239.1.1.2:5000");
  assert_ok(mctx_publication_interface_name(publication, text, sizeof text, &length, NULL));
  assert_string_equal(text, "eth0");
  assert_closed(context);
}

/* ---- ports ---- */

static void source_ports_are_shared_or_not(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  mctx_publication none;
  options.source_port = 6000;
  (void)open_with(context, &options);
  options.group = address_of("239.1.1.2:5000");
  (void)open_with(context, &options);
  options.group = address_of("239.1.1.3:5000");
  options.reuse_port = 0;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_publication_open(context, &options, &none, &error), MCTX_ERR_ADDRESS_IN_USE);
  assert_string_equal(error.field, "source_port");
  assert_true(strlen(error.hint) > 0);
  options.source_port = 6001;
  mctx_publication exclusive = open_with(context, &options);
  options.group = address_of("239.1.1.4:5000");
  options.reuse_port = 1;
  assert_status(mctx_publication_open(context, &options, &none, NULL), MCTX_ERR_ADDRESS_IN_USE);
  /* the port is free when close returns */
  assert_closed(exclusive);
  (void)open_with(context, &options);
  assert_closed(context);
}

static void bind_is_source_and_port_in_one(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.bind = address_of("10.0.1.1:6000");
  mctx_publication_info info = info_of(open_with(context, &options));
  assert_address(&info.local, "10.0.1.1:6000");
  assert_address(&info.source, "10.0.1.1:6000");
  options.bind = address_of("0.0.0.0:6001");
  info = info_of(open_with(context, &options));
  assert_int_equal(info.local.port, 6001);
  assert_int_equal(info.source_port, 6001);
  assert_closed(context);
}

/* ---- opening needs no network ---- */

static void opening_needs_no_route_and_no_link(void **state) {
  (void)state;
  mctx_sim_route_set(4, 0);
  mctx_sim_route_set(6, 0);
  assert_true(mctx_sim_interface_set(3, "eth1", MCTX_INTERFACE_MULTICAST, 1500));
  mctx_context context = open_context();
  mctx_publication four = open_group(context, "239.1.1.1:5000");
  mctx_publication six = open_group(context, "[ff15::1]:5000");
  mctx_publication_options options = options_for("239.1.1.2:5000");
  options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
  options.outgoing_interface.index = 3;
  mctx_publication down = open_with(context, &options);
  mctx_error error = MCTX_ERROR_INIT;
  mctx_address source, group;
  assert_status(mctx_send(four, "x", 1, &error), MCTX_ERR_NO_ROUTE);
  assert_true(strlen(error.hint) > 0);
  assert_status(mctx_send(six, "x", 1, &error), MCTX_ERR_NO_ROUTE);
  assert_status(mctx_send(down, "x", 1, &error), MCTX_ERR_INTERFACE_DOWN);
  assert_non_null(strstr(error.hint, "eth1"));
  assert_status(mctx_publication_announce(four, &source, &group, &error), MCTX_ERR_NO_ROUTE);
  assert_int_equal(source.family, 0);
  assert_int_equal(group.family, 0);
  assert_int_equal(info_of(four).sender.family, 0);
  assert_int_equal(info_of(four).interface_index, 0);
  assert_int_equal(info_of(down).interface_index, 3);
  /* it comes to life with the network */
  mctx_sim_route_set(4, 2);
  mctx_sim_route_set(6, 2);
  assert_true(mctx_sim_interface_set(3, "eth1", MCTX_INTERFACE_UP | MCTX_INTERFACE_MULTICAST, 1500));
  assert_ok(mctx_send(four, "x", 1, NULL));
  assert_ok(mctx_send(six, "x", 1, NULL));
  assert_ok(mctx_send(down, "x", 1, NULL));
  assert_closed(context);
}

static void an_interface_without_the_multicast_flag_works(void **state) {
  (void)state;
  assert_true(mctx_sim_interface_set(2, "eth0", MCTX_INTERFACE_UP, 1500));
  mctx_context context = open_context();
  assert_ok(mctx_send(open_group(context, "239.1.1.1:5000"), "x", 1, NULL));
  assert_closed(context);
}

/* ---- what the system lacks ---- */

static void what_the_system_lacks_is_said(void **state) {
  (void)state;
  static const struct {
    uint32_t capability;
    mctx_status status;
    const char *field;
  } rows[] = {{MCTX_CAPABILITY_IPV4, MCTX_ERR_FAMILY_UNSUPPORTED, "group"},
              {MCTX_CAPABILITY_MARK, MCTX_ERR_PERMISSION, "mark"},
              {MCTX_CAPABILITY_BIND_DEVICE, MCTX_ERR_PERMISSION, "bind_device"},
              {MCTX_CAPABILITY_ERROR_QUEUE, MCTX_ERR_UNSUPPORTED, "error_queue"}};
  mctx_context context = open_context();
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.mark = 1;
    options.bind_device = "eth0";
    options.error_queue = 1;
    mctx_publication none = 77;
    mctx_error error = MCTX_ERROR_INIT;
    mctx_sim_capability_set(rows[i].capability, MCTX_CAPABILITY_ABSENT);
    assert_status(mctx_publication_open(context, &options, &none, &error), rows[i].status);
    mctx_sim_capability_set(rows[i].capability, MCTX_CAPABILITY_AVAILABLE);
    assert_string_equal(error.field, rows[i].field);
    assert_int_equal(none, 0);
  }
  assert_closed(context);
}

static void what_nobody_asked_for_is_not_missed(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_sim_capability_set(MCTX_CAPABILITY_ERROR_QUEUE, MCTX_CAPABILITY_ABSENT);
  mctx_sim_capability_set(MCTX_CAPABILITY_ISOLATED_SENDER, MCTX_CAPABILITY_ABSENT);
  mctx_sim_capability_set(MCTX_CAPABILITY_MARK, MCTX_CAPABILITY_ABSENT);
  mctx_publication_options options = options_for("239.1.1.1:5000");
  for (options.loopback = 0; options.loopback < 2; options.loopback++) {
    mctx_publication publication = open_with(context, &options);
    assert_int_equal(info_of(publication).error_queue, 0);
    assert_ok(mctx_send(publication, "x", 1, NULL));
  }
  assert_closed(context);
}

/* ---- adopting and taking out ---- */

static mctx_os_handle own_socket(uint32_t family, const char *local) {
  mctx_os_handle native;
  mctx_address address = {0};
  if (local != NULL) address = address_of(local);
  assert_true(mctx_sim_socket(family, &address, &native));
  return native;
}

static void an_adopted_socket_is_the_librarys(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.socket = own_socket(4, "10.0.1.1:7000");
  options.hop_limit = 5;
  mctx_publication publication = open_with(context, &options);
  mctx_publication_info info = info_of(publication);
  assert_int_equal(info.flags, MCTX_PUBLICATION_ADOPTED);
  assert_int_equal(info.socket.value, options.socket.value);
  assert_address(&info.local, "10.0.1.1:7000");
  assert_ok(mctx_send(publication, "x", 1, NULL));
  mctx_sim_datagram datagram = wire_at(0);
  assert_address(&datagram.source, "10.0.1.1:7000");
  assert_int_equal(datagram.hop_limit, 5);
  int64_t nonblocking = 0;
  assert_ok(mctx__socket_get((mctx__socket){info.socket.value}, 4, MCTX__NONBLOCKING, &nonblocking).status);
  assert_int_equal(nonblocking, 1);
  uint64_t sockets = mctx_sim_open_sockets();
  assert_closed(publication);
  assert_int_equal(mctx_sim_open_sockets(), sockets - 1);
  assert_closed(context);
}

static void a_socket_that_does_not_fit_stays_the_callers(void **state) {
  (void)state;
  struct {
    mctx_os_handle socket;
    const char *source;
    int32_t source_port;
    mctx_status status;
  } rows[] = {
      {own_socket(6, NULL), NULL, MCTX_AUTO, MCTX_ERR_SOCKET_FAMILY},
      {own_socket(4 + MCTX_SIM_STREAM, NULL), NULL, MCTX_AUTO, MCTX_ERR_SOCKET_TYPE},
      {own_socket(9, NULL), NULL, MCTX_AUTO, MCTX_ERR_SOCKET_FAMILY},
      {own_socket(4, "10.0.0.1:7000"), "10.0.1.1", MCTX_AUTO, MCTX_ERR_SOCKET_ADDRESS},
      {own_socket(4, "0.0.0.0:7001"), "10.0.1.1", MCTX_AUTO, MCTX_ERR_SOCKET_ADDRESS},
      {own_socket(4, "10.0.0.1:7002"), "10.0.0.1", 7003, MCTX_ERR_SOCKET_PORT},
      {own_socket(4, "10.0.0.1:7004"), NULL, 7003, MCTX_ERR_SOCKET_PORT},
  };
  mctx_context context = open_context();
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_publication_options options = options_for("239.1.1.1:5000");
    options.socket = rows[i].socket;
    if (rows[i].source != NULL) options.source = address_of(rows[i].source);
    options.source_port = rows[i].source_port;
    options.hop_limit = 9;
    int64_t hash = mctx_sim_socket_hash(&rows[i].socket);
    mctx_publication none = 77;
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_publication_open(context, &options, &none, &error), rows[i].status);
    assert_int_equal(none, 0);
    assert_string_equal(error.field, "socket");
    assert_true(strlen(error.hint) > 0);
    assert_true(mctx_sim_socket_hash(&rows[i].socket) == hash);
    mctx_sim_socket_close(&rows[i].socket);
  }
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.socket = rows[0].socket;
  mctx_publication none;
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_publication_open(context, &options, &none, &error), MCTX_ERR_NOT_A_SOCKET);
  assert_string_equal(error.field, "socket");
  assert_closed(context);
}

static void a_socket_taken_out_goes_on(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.source_port = 6000;
  mctx_publication publication = open_with(context, &options);
  mctx_os_handle native;
  uint64_t sockets = mctx_sim_open_sockets();
  assert_ok(mctx_publication_take(publication, &native, NULL));
  assert_int_equal(native.type, MCTX_OS_DESCRIPTOR);
  assert_int_equal(mctx_sim_open_sockets(), sockets);
  assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_CLOSED);
  mctx_os_handle none = native;
  assert_status(mctx_publication_take(publication, &none, NULL), MCTX_ERR_CLOSED);
  assert_int_equal(none.type, MCTX_OS_NONE);
  uint32_t count;
  assert_ok(mctx_context_publications(context, NULL, 0, &count, NULL));
  assert_int_equal(count, 0);
  /* still bound, and it can be adopted again */
  options.socket = native;
  publication = open_with(context, &options);
  assert_int_equal(info_of(publication).local.port, 6000);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_closed(context);
}

/* ---- many ---- */

/* An opening that fails gives its handle back: the table of handles does not grow. */
static void failures_use_up_no_handles(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.1.1.1:5000");
  mctx_publication none;
  for (int i = 0; i < 5000; i++) {
    uint32_t call = i % 2 ? MCTX_SIM_SOCKET_OPEN : MCTX_SIM_SOCKET_OPTION;
    assert_true(mctx_sim_fault(call, 1, MCTX_SIM_FAIL, MCTX_ERR_IO));
    mctx_status status = mctx_publication_open(context, &options, &none, NULL);
    mctx_sim_clear_faults();
    if (status == MCTX_OK) assert_closed(none);
  }
  (void)open_with(context, &options);
  for (int i = 0; i < 5000; i++)
    assert_status(mctx_publication_open(context, &options, &none, NULL), MCTX_ERR_PUBLICATION_EXISTS);
  assert_closed(context);
}

static void ten_thousand_publications(void **state) {
  (void)state;
  enum { MANY = 10000 };
  static mctx_publication listed[MANY];
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.0.0.0:5000");
  uint32_t count;
  for (uint32_t i = 0; i < MANY; i++) {
    options.group.bytes[2] = (uint8_t)(i >> 8);
    options.group.bytes[3] = (uint8_t)i;
    listed[i] = open_with(context, &options);
  }
  static mctx_publication again[MANY];
  assert_ok(mctx_context_publications(context, again, MANY, &count, NULL));
  assert_int_equal(count, MANY);
  assert_memory_equal(again, listed, sizeof listed);
  assert_ok(mctx_send_all(context, "x", 1, NULL, 0, 0, &count, NULL));
  assert_int_equal(count, MANY);
  assert_int_equal(mctx_sim_wire_count(), MANY);
  for (uint32_t i = 0; i < MANY; i += 2)
    assert_closed(listed[i]);
  assert_ok(mctx_context_publications(context, again, MANY, &count, NULL));
  assert_int_equal(count, MANY / 2);
  for (uint32_t i = 0; i < count; i++)
    assert_int_equal(again[i], listed[2 * i + 1]);
  assert_closed(context);
  fixture_before.blocks = mctx_sim_live_blocks(); /* the table of handles has grown, and stays so */
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(bad_options_are_refused_before_anything_happens),
      fixture_test(the_same_configuration_twice_is_refused),
      fixture_test(a_closed_publication_can_be_opened_again),
      fixture_test(source_and_interface_are_separate_choices),
      fixture_test(options_reach_the_wire_and_the_info),
      fixture_test(defaults_are_as_documented),
      fixture_test(the_error_queue_follows_loopback),
      fixture_test(interfaces_are_kept_as_said),
      fixture_test(source_ports_are_shared_or_not),
      fixture_test(bind_is_source_and_port_in_one),
      fixture_test(opening_needs_no_route_and_no_link),
      fixture_test(an_interface_without_the_multicast_flag_works),
      fixture_test(what_the_system_lacks_is_said),
      fixture_test(what_nobody_asked_for_is_not_missed),
      fixture_test(an_adopted_socket_is_the_librarys),
      fixture_test(a_socket_that_does_not_fit_stays_the_callers),
      fixture_test(a_socket_taken_out_goes_on),
      fixture_test(failures_use_up_no_handles),
      fixture_test(ten_thousand_publications),
  };
  return cmocka_run_group_tests_name("publication", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The snapshot of the interfaces: what it holds, finding, defaults. */
#include "sim_fixture.h"

static mctx_interface_list open_list(void) {
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  return list;
}

static mctx_interface_info interface_at(mctx_interface_list list, uint32_t position) {
  mctx_interface_info info = {.size = sizeof info};
  assert_ok(mctx_interface_list_get(list, position, &info, NULL));
  return info;
}

static void the_snapshot_holds_every_interface_in_order(void **state) {
  (void)state;
  assert_true(mctx_sim_interface_set(9, "tun0", MCTX_INTERFACE_UP | MCTX_INTERFACE_POINT_TO_POINT, 1400));
  assert_true(mctx_sim_interface_set(5, "eth2", MCTX_INTERFACE_MULTICAST, 9000));
  mctx_interface_list list = open_list();
  static const struct {
    uint32_t index, mtu, addresses;
    const char *name;
  } rows[] = {{1, 65536, 2, "lo"},
              {2, 1500, 3, "eth0"},
              {3, 1500, 3, "eth1"},
              {5, 9000, 0, "eth2"},
              {9, 1400, 0, "tun0"}};
  uint32_t count;
  assert_ok(mctx_interface_list_count(list, &count, NULL));
  assert_int_equal(count, 5);
  for (uint32_t i = 0; i < count; i++) {
    mctx_interface_info info = interface_at(list, i);
    assert_int_equal(info.index, rows[i].index);
    assert_int_equal(info.mtu, rows[i].mtu);
    assert_int_equal(info.address_count, rows[i].addresses);
    assert_string_equal(info.name, rows[i].name);
    assert_int_equal(info.hardware_length, 6);
  }
  assert_int_equal(interface_at(list, 4).flags, MCTX_INTERFACE_UP | MCTX_INTERFACE_POINT_TO_POINT);
  assert_int_equal(interface_at(list, 0).flags & MCTX_INTERFACE_LOOPBACK, MCTX_INTERFACE_LOOPBACK);
  assert_closed(list);
}

static void a_snapshot_does_not_change(void **state) {
  (void)state;
  mctx_interface_list list = open_list();
  assert_true(mctx_sim_interface_remove(2));
  uint32_t count;
  assert_ok(mctx_interface_list_count(list, &count, NULL));
  assert_int_equal(count, 3);
  assert_string_equal(interface_at(list, 1).name, "eth0");
  assert_closed(list);
}

static void addresses_come_with_prefix_and_scope(void **state) {
  (void)state;
  mctx_interface_list list = open_list();
  mctx_address addresses[4];
  uint32_t count;
  assert_ok(mctx_interface_list_addresses(list, 1, addresses, 4, &count, NULL));
  assert_int_equal(count, 3);
  assert_address(&addresses[0], "10.0.0.1/24");
  assert_address(&addresses[1], "fd00::1/64");
  assert_address(&addresses[2], "fe80::1%2/64");
  memset(addresses, 0xa5, sizeof addresses);
  assert_ok(mctx_interface_list_addresses(list, 1, addresses, 1, &count, NULL));
  assert_int_equal(count, 3);
  assert_address(&addresses[0], "10.0.0.1/24");
  assert_int_equal(addresses[1].family, 0xa5);
  assert_ok(mctx_interface_list_addresses(list, 1, NULL, 0, &count, NULL));
  assert_int_equal(count, 3);
  assert_closed(list);
}

static void friendly_names_fit_the_callers_buffer(void **state) {
  (void)state;
  mctx_interface_list list = open_list();
  char text[64];
  size_t length;
  assert_ok(mctx_interface_list_friendly_name(list, 1, NULL, 0, &length, NULL));
  assert_int_equal(length, strlen("Simulated eth0"));
  assert_ok(mctx_interface_list_friendly_name(list, 1, text, sizeof text, &length, NULL));
  assert_string_equal(text, "Simulated eth0");
  assert_ok(mctx_interface_list_friendly_name(list, 1, text, 5, &length, NULL));
  assert_string_equal(text, "Simu");
  assert_int_equal(length, strlen("Simulated eth0"));
  assert_closed(list);
}

static void positions_past_the_last_are_not_found(void **state) {
  (void)state;
  mctx_interface_list list = open_list();
  static const uint32_t positions[] = {3, 4, UINT32_MAX};
  for (size_t i = 0; i < 3; i++) {
    mctx_error error = MCTX_ERROR_INIT;
    mctx_interface_info info = {.size = sizeof info, .index = 7};
    uint32_t count = 7;
    size_t length = 7;
    assert_status(mctx_interface_list_get(list, positions[i], &info, &error), MCTX_ERR_INTERFACE_NOT_FOUND);
    assert_int_equal(info.index, 0);
    assert_string_equal(error.field, "position");
    assert_int_equal(error.value, positions[i]);
    assert_int_equal(error.limit, 3);
    assert_status(mctx_interface_list_addresses(list, positions[i], NULL, 0, &count, NULL),
                  MCTX_ERR_INTERFACE_NOT_FOUND);
    assert_int_equal(count, 0);
    assert_status(mctx_interface_list_friendly_name(list, positions[i], NULL, 0, &length, NULL),
                  MCTX_ERR_INTERFACE_NOT_FOUND);
    assert_int_equal(length, 0);
  }
  assert_closed(list);
}

static mctx_interface_ref by_name(const char *name) {
  mctx_interface_ref wanted = {.by = MCTX_INTERFACE_BY_NAME};
  wanted.name = name;
  return wanted;
}

static mctx_interface_ref by_address(const char *address) {
  return (mctx_interface_ref){.by = MCTX_INTERFACE_BY_ADDRESS, .address = address_of(address)};
}

static mctx_interface_ref by_index(uint32_t index) {
  return (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX, .index = index};
}

static void interfaces_are_found_by_each_name(void **state) {
  (void)state;
  /* an exact name goes before a friendly one */
  assert_true(mctx_sim_interface_set(4, "Simulated eth0", MCTX_INTERFACE_UP, 1500));
  mctx_interface_list list = open_list();
  const struct {
    mctx_interface_ref wanted;
    uint32_t position;
  } rows[] = {
      {by_name("lo"), 0},
      {by_name("eth1"), 2},
      {by_name("Simulated eth1"), 2},
      {by_name("Simulated eth0"), 3},
      {by_index(1), 0},
      {by_index(3), 2},
      {by_address("10.0.1.1"), 2},
      {by_address("127.0.0.1"), 0},
      {by_address("fd00::1"), 1},
      {by_address("fe80::2"), 2},
      {by_address("fe80::2%3"), 2},
      {by_address("::1"), 0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    uint32_t position = 77;
    assert_ok(mctx_interface_list_find(list, &rows[i].wanted, &position, NULL));
    assert_int_equal(position, rows[i].position);
  }
  assert_closed(list);
}

static void what_is_not_there_is_not_found(void **state) {
  (void)state;
  mctx_interface_list list = open_list();
  const struct {
    mctx_interface_ref wanted;
    mctx_status status;
    const char *field;
  } rows[] = {
      {by_name("eth9"), MCTX_ERR_INTERFACE_NOT_FOUND, "interface.name"},
      {by_name(""), MCTX_ERR_INTERFACE_NOT_FOUND, "interface.name"},
      {by_name("ETH0"), MCTX_ERR_INTERFACE_NOT_FOUND, "interface.name"},
      {by_index(77), MCTX_ERR_INTERFACE_NOT_FOUND, "interface.index"},
      {by_index(0), MCTX_ERR_INTERFACE_INDEX_ZERO, "interface.index"},
      {by_address("10.0.0.2"), MCTX_ERR_INTERFACE_NOT_FOUND, "interface.address"},
      {by_address("fe80::2%2"), MCTX_ERR_INTERFACE_NOT_FOUND, "interface.address"},
      {by_address("0.0.0.0"), MCTX_ERR_INTERFACE_UNSPECIFIED, "interface.address"},
      {by_address("::"), MCTX_ERR_INTERFACE_UNSPECIFIED, "interface.address"},
      {by_address("239.1.1.1"), MCTX_ERR_INTERFACE_MULTICAST, "interface.address"},
      {by_address("ff15::1"), MCTX_ERR_INTERFACE_MULTICAST, "interface.address"},
      {{.by = MCTX_INTERFACE_ANY}, MCTX_ERR_INVALID_ARGUMENT, "interface.by"},
      {{.by = 4}, MCTX_ERR_INVALID_ARGUMENT, "interface.by"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    uint32_t position = 77;
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_interface_list_find(list, &rows[i].wanted, &position, &error), rows[i].status);
    assert_int_equal(position, 0);
    assert_string_equal(error.field, rows[i].field);
    assert_true(strlen(error.hint) > 0);
  }
  mctx_error error = MCTX_ERROR_INIT;
  uint32_t position;
  mctx_interface_ref wanted = by_name("eth9");
  assert_status(mctx_interface_list_find(list, &wanted, &position, &error), MCTX_ERR_INTERFACE_NOT_FOUND);
  assert_non_null(strstr(error.message, "eth9"));
  assert_non_null(strstr(error.hint, "eth0"));
  assert_non_null(strstr(error.hint, "eth1"));
  assert_closed(list);
}

static void the_default_is_the_routing_tables(void **state) {
  (void)state;
  uint32_t position = 77;
  mctx_sim_route_set(4, 3);
  mctx_sim_route_set(6, 1);
  mctx_interface_list list = open_list();
  assert_ok(mctx_interface_list_default(list, 4, &position, NULL));
  assert_int_equal(position, 2);
  assert_ok(mctx_interface_list_default(list, 6, &position, NULL));
  assert_int_equal(position, 0);
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_interface_list_default(list, 5, &position, &error), MCTX_ERR_INVALID_ARGUMENT);
  assert_string_equal(error.field, "family");
  assert_closed(list);
  mctx_sim_route_set(4, 0);
  list = open_list();
  assert_status(mctx_interface_list_default(list, 4, &position, &error), MCTX_ERR_NO_DEFAULT_INTERFACE);
  assert_int_equal(position, 0);
  assert_non_null(strstr(error.hint, "224.0.0.0/4"));
  mctx_sim_route_set(6, 0);
  assert_closed(list);
  list = open_list();
  assert_status(mctx_interface_list_default(list, 6, &position, &error), MCTX_ERR_NO_DEFAULT_INTERFACE);
  assert_non_null(strstr(error.hint, "IPv6"));
  assert_null(strstr(error.hint, "224.0.0.0/4"));
  assert_closed(list);
}

static void a_host_without_interfaces_has_an_empty_list(void **state) {
  (void)state;
  for (uint32_t index = 1; index <= 3; index++)
    assert_true(mctx_sim_interface_remove(index));
  mctx_interface_list list = open_list();
  uint32_t count = 77;
  assert_ok(mctx_interface_list_count(list, &count, NULL));
  assert_int_equal(count, 0);
  assert_status(mctx_interface_list_default(list, 4, &count, NULL), MCTX_ERR_NO_DEFAULT_INTERFACE);
  assert_closed(list);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(the_snapshot_holds_every_interface_in_order),
      fixture_test(a_snapshot_does_not_change),
      fixture_test(addresses_come_with_prefix_and_scope),
      fixture_test(friendly_names_fit_the_callers_buffer),
      fixture_test(positions_past_the_last_are_not_found),
      fixture_test(interfaces_are_found_by_each_name),
      fixture_test(what_is_not_there_is_not_found),
      fixture_test(the_default_is_the_routing_tables),
      fixture_test(a_host_without_interfaces_has_an_empty_list),
  };
  return cmocka_run_group_tests_name("interface", tests, NULL, NULL);
}

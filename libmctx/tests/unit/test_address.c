/* SPDX-License-Identifier: MIT */
/* Addresses as text: RFC 4291, RFC 5952, RFC 4007, RFC 3986; what is not one is refused. */
#include <stdio.h>

#include "sim_fixture.h"

/* Texts and what they are written as again. */
static void texts_become_their_canonical_form(void **state) {
  (void)state;
  static const struct {
    const char *text;
    const char *canonical;
  } rows[] = {
      {"239.1.2.3", "239.1.2.3"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"239.1.2.3:5000", "239.1.2.3:5000"},
      {"239.1.2.3:65535", "239.1.2.3:65535"},
      {"239.1.2.3:0", "239.1.2.3"},
      {"10.0.0.0/8", "10.0.0.0/8"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"ff15::1234", "ff15::1234"},
      {"FF15::ABCD", "ff15::abcd"},
      {"[ff15::1]:5000", "[ff15::1]:5000"},
      {"[ff15::1]", "ff15::1"},
      {"ff12::1%2", "ff12::1%2"},
      {"ff12::1%eth1", "ff12::1%3"},
      {"[ff12::1%eth0]:99", "[ff12::1%2]:99"},
      {"fe80::1%2/64", "fe80::1%2/64"},
      {"fd00::/64", "fd00::/64"},
      {"fd00::/128", "fd00::/128"},
      /* RFC 5952, section 4.1: no leading zeros */
      {"2001:0db8::0001", "2001:db8::1"},
      {"2001:db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
      /* 4.2.1: as short as possible */
      {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
      /* 4.2.2: not for one word */
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      /* 4.2.3: the longest run, the first of equals */
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"0:0:1:0:0:0:0:0", "0:0:1::"},
      {"0:0:0:0:0:0:1:0", "::1:0"},
      {"1:0:0:0:0:0:0:0", "1::"},
      {"0:1:1:1:1:1:1:1", "0:1:1:1:1:1:1:1"},
      {"1:1:1:1:1:1:1:0", "1:1:1:1:1:1:1:0"},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
      /* embedded IPv4 is read */
      {"::ffff:192.0.2.1", "::ffff:c000:201"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_address address = address_of(rows[i].text);
    char text[64];
    size_t length;
    assert_ok(mctx_address_format(&address, text, sizeof text, &length, NULL));
    assert_string_equal(text, rows[i].canonical);
    assert_int_equal(length, strlen(text));
    mctx_address again = address_of(text);
    assert_memory_equal(&again, &address, sizeof again);
  }
}

static void parts_land_in_their_fields(void **state) {
  (void)state;
  mctx_address address = address_of("[fe80::a:1%3/64]:4660");
  static const uint8_t bytes[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0, 1};
  assert_int_equal(address.family, 6);
  assert_int_equal(address.prefix, 64);
  assert_int_equal(address.port, 0x1234);
  assert_int_equal(address.scope_id, 3);
  assert_memory_equal(address.bytes, bytes, 16);
  address = address_of("1.2.3.4/24:80");
  static const uint8_t bytes4[16] = {1, 2, 3, 4};
  assert_int_equal(address.family, 4);
  assert_int_equal(address.prefix, 24);
  assert_int_equal(address.port, 80);
  assert_int_equal(address.scope_id, 0);
  assert_memory_equal(address.bytes, bytes4, 16);
}

static void what_is_no_address_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *text;
    mctx_status status;
  } rows[] = {
      {"", MCTX_ERR_ADDRESS_SYNTAX},
      {" ", MCTX_ERR_ADDRESS_SYNTAX},
      {"1", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4.5", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.256", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.04", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.-4", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4 ", MCTX_ERR_ADDRESS_SYNTAX},
      {" 1.2.3.4", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4:", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4:x", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4:+5", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4:80x", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4:65536", MCTX_ERR_PORT_RANGE},
      {"1.2.3.4:99999999999999999999", MCTX_ERR_PORT_RANGE},
      {"[::1]:65536", MCTX_ERR_PORT_RANGE},
      {"1.2.3.4/33", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4/", MCTX_ERR_ADDRESS_SYNTAX},
      {"1.2.3.4%eth0", MCTX_ERR_ADDRESS_SYNTAX},
      {"[1.2.3.4]:80", MCTX_ERR_ADDRESS_SYNTAX},
      {":", MCTX_ERR_ADDRESS_SYNTAX},
      {":::", MCTX_ERR_ADDRESS_SYNTAX},
      {"1:::2", MCTX_ERR_ADDRESS_SYNTAX},
      {"1::2::3", MCTX_ERR_ADDRESS_SYNTAX},
      {":1:2:3:4:5:6:7", MCTX_ERR_ADDRESS_SYNTAX},
      {"1:2:3:4:5:6:7:", MCTX_ERR_ADDRESS_SYNTAX},
      {"1:2:3:4:5:6:7", MCTX_ERR_ADDRESS_SYNTAX},
      {"1:2:3:4:5:6:7:8:9", MCTX_ERR_ADDRESS_SYNTAX},
      {"1:2:3:4::5:6:7:8", MCTX_ERR_ADDRESS_SYNTAX},
      {"12345::", MCTX_ERR_ADDRESS_SYNTAX},
      {"g::", MCTX_ERR_ADDRESS_SYNTAX},
      {"1:2:3:4:5:6:7:1.2.3.4", MCTX_ERR_ADDRESS_SYNTAX},
      {"::1.2.3", MCTX_ERR_ADDRESS_SYNTAX},
      {"::1.2.3.4:5", MCTX_ERR_ADDRESS_SYNTAX},
      {"::1/129", MCTX_ERR_ADDRESS_SYNTAX},
      {"::1%", MCTX_ERR_ADDRESS_SYNTAX},
      {"[::1", MCTX_ERR_ADDRESS_SYNTAX},
      {"::1]", MCTX_ERR_ADDRESS_SYNTAX},
      {"[::1]:", MCTX_ERR_ADDRESS_SYNTAX},
      {"[::1]x", MCTX_ERR_ADDRESS_SYNTAX},
      {"[]:80", MCTX_ERR_ADDRESS_SYNTAX},
      {"[[::1]]", MCTX_ERR_ADDRESS_SYNTAX},
      {"fe80::1%nosuch0", MCTX_ERR_INTERFACE_NOT_FOUND},
      {"localhost", MCTX_ERR_ADDRESS_SYNTAX},
      {"239.1.1.1\n", MCTX_ERR_ADDRESS_SYNTAX},
  };
  static const mctx_address none;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mctx_address address;
    mctx_error error = MCTX_ERROR_INIT;
    memset(&address, 0xa5, sizeof address);
    mctx_status status = mctx_address_parse(rows[i].text, &address, &error);
    if (status != rows[i].status)
      fail_msg("\"%s\" is %s, not %s", rows[i].text, mctx_status_name(status),
               mctx_status_name(rows[i].status));
    assert_memory_equal(&address, &none, sizeof none);
    assert_string_equal(error.field, "text");
    assert_true(strlen(error.hint) > 0);
  }
}

/* Any value that an address can have is read back as it was. */
static void every_value_makes_the_round_trip(void **state) {
  (void)state;
  uint64_t seed = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    mctx_address address = {0}, again;
    uint64_t bits[4];
    for (int k = 0; k < 4; k++)
      bits[k] = seed = seed * 6364136223846793005u + 1442695040888963407u;
    address.family = bits[0] >> 63 ? 4 : 6;
    memcpy(address.bytes, &bits[1], address.family == 4 ? 4 : 16);
    for (size_t k = 0; k < 16; k += 2)
      if (bits[3] >> (k + 40) & 1) address.bytes[k] = address.bytes[k + 1] = 0;
    if (bits[0] >> 62 & 1) address.port = (uint16_t)(bits[0] >> 40);
    if (bits[0] >> 61 & 1) address.prefix = (uint8_t)((bits[0] >> 32) % (address.family == 4 ? 33 : 129));
    if (address.family == 6 && (bits[0] >> 60 & 1)) address.scope_id = (uint32_t)(bits[3] >> 8);
    char text[64];
    size_t length;
    assert_ok(mctx_address_format(&address, text, sizeof text, &length, NULL));
    assert_true(length < sizeof text);
    assert_ok(mctx_address_parse(text, &again, NULL));
    assert_memory_equal(&again, &address, sizeof again);
  }
}

/* Whatever the bytes are, the answer is a status; what is accepted is written and read again alike. */
static void garbage_is_harmless(void **state) {
  (void)state;
  static const char alphabet[] = "0123456789abcdefF:::...%/[]x";
  uint64_t seed = 4711;
  for (int i = 0; i < 200000; i++) {
    char text[48];
    size_t length = 0;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    size_t wanted = (seed >> 40) % (sizeof text - 1);
    for (; length < wanted; length++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      text[length] = alphabet[(seed >> 33) % (sizeof alphabet - 1)];
    }
    text[length] = '\0';
    mctx_address address, again;
    if (mctx_address_parse(text, &address, NULL) != MCTX_OK) continue;
    char canonical[64];
    assert_ok(mctx_address_format(&address, canonical, sizeof canonical, &length, NULL));
    assert_ok(mctx_address_parse(canonical, &again, NULL));
    assert_memory_equal(&again, &address, sizeof again);
  }
}

static void short_buffers_get_a_terminated_start(void **state) {
  (void)state;
  mctx_address address = address_of("[ff15::1234]:5000");
  for (size_t capacity = 1; capacity < 24; capacity++) {
    char text[32];
    size_t length;
    memset(text, 'z', sizeof text);
    assert_ok(mctx_address_format(&address, text, capacity, &length, NULL));
    assert_int_equal(length, strlen("[ff15::1234]:5000"));
    size_t kept = length < capacity ? length : capacity - 1;
    assert_memory_equal(text, "[ff15::1234]:5000", kept);
    assert_int_equal(text[kept], '\0');
    assert_int_equal(text[capacity], 'z');
  }
  size_t length;
  assert_ok(mctx_address_format(&address, NULL, 0, &length, NULL));
  assert_int_equal(length, strlen("[ff15::1234]:5000"));
}

static void the_empty_address_is_empty_text(void **state) {
  (void)state;
  mctx_address none = {0};
  char text[64] = "x";
  size_t length = 7;
  assert_ok(mctx_address_format(&none, text, sizeof text, &length, NULL));
  assert_string_equal(text, "");
  assert_int_equal(length, 0);
}

static void malformed_values_are_not_written(void **state) {
  (void)state;
  const mctx_address rows[] = {
      {.family = 5},
      {.family = 4, .prefix = 33},
      {.family = 4, .scope_id = 1},
      {.family = 4, .bytes = {[4] = 1}},
      {.family = 6, .prefix = 129},
      {.family = 0, .bytes = {1}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char text[64] = "x";
    size_t length = 7;
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_address_format(&rows[i], text, sizeof text, &length, &error), MCTX_ERR_INVALID_ARGUMENT);
    assert_int_equal(length, 0);
    assert_string_equal(text, "");
    assert_string_equal(error.field, "address");
  }
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(texts_become_their_canonical_form),
      fixture_test(parts_land_in_their_fields),
      fixture_test(what_is_no_address_is_refused),
      fixture_test(every_value_makes_the_round_trip),
      fixture_test(garbage_is_harmless),
      fixture_test(short_buffers_get_a_terminated_start),
      fixture_test(the_empty_address_is_empty_text),
      fixture_test(malformed_values_are_not_written),
  };
  return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}

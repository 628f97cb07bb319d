/* SPDX-License-Identifier: MIT */
#include "address.h"

#include <stdio.h>
#include <string.h>

#include "interface.h"
#include "options.h"

enum { BYTES_4 = 4, BYTES_6 = 16, WORDS_6 = 8, SCOPE_TEXT = 256 };

static size_t length_of(const mctx_address *address) {
  return address->family == 4 ? BYTES_4 : address->family == 6 ? BYTES_6 : 0;
}

bool mctx__is_multicast(const mctx_address *address) {
  if (address->family == 4) return address->bytes[0] >> 4 == 0xe;
  return address->family == 6 && address->bytes[0] == 0xff;
}

bool mctx__is_unspecified(const mctx_address *address) {
  static const uint8_t zero[BYTES_6];
  return memcmp(address->bytes, zero, length_of(address)) == 0;
}

bool mctx__is_link_local(const mctx_address *address) {
  return address->family == 6 && address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

bool mctx__is_scoped_group(const mctx_address *address) {
  uint8_t scope = address->bytes[1] & 0x0f;
  return address->family == 6 && address->bytes[0] == 0xff && (scope == 1 || scope == 2);
}

bool mctx__same_host(const mctx_address *a, const mctx_address *b) {
  return a->family == b->family && memcmp(a->bytes, b->bytes, length_of(a)) == 0;
}

bool mctx__same_address(const mctx_address *a, const mctx_address *b) {
  return mctx__same_host(a, b) && a->port == b->port && a->scope_id == b->scope_id;
}

bool mctx__is_wellformed(const mctx_address *address) {
  static const uint8_t zero[BYTES_6];
  size_t length = length_of(address);
  if (length == 0 && address->family != 0) return false;
  if (address->prefix > length * 8 || (address->family != 6 && address->scope_id != 0)) return false;
  return memcmp(address->bytes + length, zero, BYTES_6 - length) == 0;
}

/* ---- reading ---- */

/* A decimal number of at most `max`; moves *text behind it. Leading zeros are refused: they mean octal to some.
 */
static bool read_number(const char **text, uint32_t max, uint32_t *value) {
  const char *at = *text;
  uint64_t sum = 0;
  if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9')) return false;
  while (*at >= '0' && *at <= '9') {
    sum = sum * 10 + (uint64_t)(*at++ - '0');
    if (sum > max) return false;
  }
  *text = at;
  *value = (uint32_t)sum;
  return true;
}

static bool read_ipv4(const char **text, uint8_t bytes[BYTES_4]) {
  const char *at = *text;
  for (int i = 0; i < BYTES_4; i++) {
    uint32_t value;
    if ((i > 0 && *at++ != '.') || !read_number(&at, 255, &value)) return false;
    bytes[i] = (uint8_t)value;
  }
  *text = at;
  return true;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_word(const char **text, uint8_t bytes[2]) {
  const char *at = *text;
  uint32_t word = 0;
  while (at - *text < 4 && hex_digit(*at) >= 0)
    word = word << 4 | (uint32_t)hex_digit(*at++);
  if (at == *text || hex_digit(*at) >= 0) return false;
  bytes[0] = (uint8_t)(word >> 8);
  bytes[1] = (uint8_t)word;
  *text = at;
  return true;
}

/* Opens the gap that "::" left: what stands behind it moves to the end. */
static bool fill_gap(uint8_t bytes[BYTES_6], int words, int gap) {
  if (gap < 0) return words == WORDS_6;
  if (words == WORDS_6) return false;
  size_t behind = (size_t)(words - gap) * 2;
  memmove(bytes + BYTES_6 - behind, bytes + gap * 2, behind);
  memset(bytes + gap * 2, 0, (size_t)(WORDS_6 - words) * 2);
  return true;
}

/* RFC 4291, section 2.2, with its embedded IPv4 form. */
static bool read_ipv6(const char **text, uint8_t bytes[BYTES_6]) {
  const char *at = *text;
  int words = 0;
  int gap = -1;
  if (at[0] == ':' && at[1] == ':') {
    gap = 0;
    at += 2;
  }
  while (words < WORDS_6 && hex_digit(*at) >= 0) {
    const char *ipv4 = at;
    if (words <= WORDS_6 - 2 && read_ipv4(&ipv4, bytes + words * 2)) {
      words += 2;
      at = ipv4;
      break;
    }
    if (!read_word(&at, bytes + words * 2)) return false;
    words++;
    if (at[0] == ':' && at[1] == ':') {
      if (gap >= 0) return false;
      gap = words;
      at += 2;
    } else if (at[0] == ':' && hex_digit(at[1]) >= 0 && words < WORDS_6) {
      at++;
    } else {
      break;
    }
  }
  *text = at;
  return fill_gap(bytes, words, gap);
}

/* %scope: a number, or an interface's name up to one of the characters that may follow. Reports an interface
 * that is not there; bad syntax is the caller's to report. */
static mctx_status read_scope(const mctx__call *call, const char **text, uint32_t *scope_id) {
  const char *at = *text;
  if (read_number(&at, UINT32_MAX, scope_id) && (*at == '\0' || *at == ']' || *at == '/')) {
    *text = at;
    return MCTX_OK;
  }
  char name[SCOPE_TEXT];
  size_t length = strcspn(*text, "]/");
  if (length == 0 || length >= sizeof name) return MCTX_ERR_ADDRESS_SYNTAX;
  memcpy(name, *text, length);
  name[length] = '\0';
  *text += length;

  mctx__interfaces interfaces;
  mctx_status status = mctx__interfaces_list(call, &interfaces, "text");
  if (status != MCTX_OK) return status;
  mctx_interface_ref wanted = {.by = MCTX_INTERFACE_BY_NAME, .name = name};
  const mctx__interface *found = mctx__interface_find(&interfaces, &wanted);
  if (found != NULL)
    *scope_id = found->info.index;
  else
    status = mctx__interface_not_found(call, &interfaces, &wanted, "text");
  mctx__interfaces_free(&interfaces);
  return status;
}

static mctx_status read_address(const mctx__call *call, const char *text, mctx_address *address) {
  bool bracketed = *text == '[';
  const char *at = text + (bracketed ? 1 : 0);
  uint32_t number = 0;
  if (!bracketed && read_ipv4(&at, address->bytes)) {
    address->family = 4;
  } else {
    memset(address->bytes, 0, sizeof address->bytes);
    at = text + (bracketed ? 1 : 0);
    if (!read_ipv6(&at, address->bytes)) return MCTX_ERR_ADDRESS_SYNTAX;
    address->family = 6;
  }
  if (*at == '%' && address->family == 6) {
    at++;
    mctx_status status = read_scope(call, &at, &address->scope_id);
    if (status != MCTX_OK) return status;
  }
  if (*at == '/') {
    at++;
    if (!read_number(&at, address->family == 4 ? 32 : 128, &number)) return MCTX_ERR_ADDRESS_SYNTAX;
    address->prefix = (uint8_t)number;
  }
  if (bracketed && *at++ != ']') return MCTX_ERR_ADDRESS_SYNTAX;
  if (*at == ':' && (bracketed || address->family == 4)) {
    at++;
    size_t digits = strspn(at, "0123456789");
    if (digits > 0 && at[digits] == '\0' && !read_number(&at, UINT16_MAX, &number)) return MCTX_ERR_PORT_RANGE;
    if (digits == 0 || at[0] != '\0') return MCTX_ERR_ADDRESS_SYNTAX;
    address->port = (uint16_t)number;
  }
  return *at == '\0' ? MCTX_OK : MCTX_ERR_ADDRESS_SYNTAX;
}

static void syntax_failed(const mctx__call *call, mctx_status status, const char *text) {
  char message[128];
  snprintf(message, sizeof message, "\"%.64s\" is not an IP address", text);
  MCTX__FAIL(
      call, status, .field = "text", .message = status == MCTX_ERR_ADDRESS_SYNTAX ? message : NULL,
      .hint =
          "write 239.1.2.3, 239.1.2.3:5000, ff15::1234, ff12::1%eth0 or [ff15::1234]:5000; ports go from "
          "0 to 65535, a scope is an interface's name or index, and numbers have no leading zeros");
}

mctx_status mctx_address_parse(const char *text, mctx_address *address, mctx_error *error) {
  const mctx__call call = {__func__, 0, error};
  mctx_address own = {0};
  if (address != NULL) *address = own;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (address == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "address");
  if (text == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "text");
  mctx_status status = read_address(&call, text, &own);
  if (status == MCTX_OK) *address = own;
  if (status == MCTX_ERR_ADDRESS_SYNTAX || status == MCTX_ERR_PORT_RANGE) syntax_failed(&call, status, text);
  return status;
}

/* ---- writing ---- */

/* The longest run of two or more zero words, the first of equals (RFC 5952, section 4.2). */
static void longest_gap(const uint8_t bytes[BYTES_6], int *start, int *length) {
  *start = -1;
  *length = 1;
  for (int i = 0; i < WORDS_6; i++) {
    int end = i;
    while (end < WORDS_6 && bytes[end * 2] == 0 && bytes[end * 2 + 1] == 0)
      end++;
    if (end - i > *length) {
      *start = i;
      *length = end - i;
    }
  }
}

/* Appends to `text`, which has room for MCTX__ADDRESS_TEXT. */
#define APPEND(text, used, ...) \
  ((used) += (size_t)snprintf((text) + (used), MCTX__ADDRESS_TEXT - (used), __VA_ARGS__))

static size_t write_ipv6(const mctx_address *address, char *text) {
  size_t used = 0;
  int gap;
  int gap_length;
  longest_gap(address->bytes, &gap, &gap_length);
  for (int i = 0; i < WORDS_6; i++) {
    if (i == gap) {
      APPEND(text, used, "::");
      i += gap_length - 1;
      continue;
    }
    const char *colon = i == 0 || i == gap + gap_length ? "" : ":";
    if (gap < 0) colon = i == 0 ? "" : ":";
    APPEND(text, used, "%s%x", colon, (unsigned)(address->bytes[i * 2] << 8 | address->bytes[i * 2 + 1]));
  }
  if (address->scope_id != 0) APPEND(text, used, "%%%u", (unsigned)address->scope_id);
  return used;
}

const char *mctx__address_text(const mctx_address *address, char text[MCTX__ADDRESS_TEXT]) {
  const uint8_t *b = address->bytes;
  bool brackets = address->family == 6 && address->port != 0;
  char host[MCTX__ADDRESS_TEXT] = "";
  size_t used = 0;
  if (address->family == 4)
    APPEND(host, used, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
  else if (address->family == 6)
    used = write_ipv6(address, host);
  if (address->prefix != 0) APPEND(host, used, "/%u", address->prefix);

  used = 0;
  text[0] = '\0';
  APPEND(text, used, "%s%s%s", brackets ? "[" : "", host, brackets ? "]" : "");
  if (address->family != 0 && address->port != 0) APPEND(text, used, ":%u", address->port);
  return text;
}

const char *mctx__host_text(const mctx_address *address, char text[MCTX__ADDRESS_TEXT]) {
  mctx_address host = *address;
  host.port = 0;
  return mctx__address_text(&host, text);
}

mctx_status mctx_address_format(const mctx_address *address, char *text, size_t capacity, size_t *length,
                                mctx_error *error) {
  const mctx__call call = {__func__, 0, error};
  char own[MCTX__ADDRESS_TEXT];
  mctx__text_clear(text, capacity, length);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (address == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "address");
  mctx_status status = mctx__text_check(&call, text, capacity, length);
  if (status != MCTX_OK) return status;
  if (!mctx__is_wellformed(address))
    return MCTX__FAIL(&call, MCTX_ERR_INVALID_ARGUMENT, .field = "address", .value = address->family,
                      .hint = "family is 4, 6 or 0; bytes and fields that a family does not use are 0");
  *length = mctx__copy_text(text, capacity, mctx__address_text(address, own));
  return MCTX_OK;
}

/* ---- checking ---- */

mctx_status mctx__host_check(const mctx__call *call, const mctx_address *address, const char *field) {
  if (mctx__is_wellformed(address) && address->prefix == 0) return MCTX_OK;
  return MCTX__FAIL(
      call, MCTX_ERR_INVALID_ARGUMENT, .field = field, .value = address->family,
      .hint =
          "pass one address, without a prefix length (239.1.2.3, not 239.1.2.0/24); its family is 4, 6 or 0");
}

mctx_status mctx__group_check(const mctx__call *call, const mctx_address *group) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[200];
  mctx_status status = mctx__host_check(call, group, "group");
  if (status != MCTX_OK || mctx__is_multicast(group)) return status;
  const bool is_given = group->family != 0;
  snprintf(
      hint, sizeof hint,
      "%s%sgroups are 224.0.0.0 to 239.255.255.255 and ff00::/8; 239.0.0.0/8 and ff15::/16 are for private "
      "use",
      is_given ? mctx__host_text(group, text) : "", is_given ? " is none: " : "");
  return MCTX__FAIL(call, MCTX_ERR_GROUP_NOT_MULTICAST, .field = "group", .hint = hint);
}

mctx_status mctx__sender_check(const mctx__call *call, const mctx_address *source, uint32_t family,
                               const char *field) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[200];
  if (source->family != family) {
    snprintf(hint, sizeof hint, "%s is an IPv%u address and the group an IPv%u one: they must be of one family",
             mctx__host_text(source, text), (unsigned)source->family, (unsigned)family);
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_FAMILY, .field = field, .hint = hint);
  }
  if (mctx__is_multicast(source)) {
    snprintf(hint, sizeof hint, "%s is a group: a source is the unicast address of a sender",
             mctx__host_text(source, text));
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_MULTICAST, .field = field, .hint = hint);
  }
  return MCTX_OK;
}

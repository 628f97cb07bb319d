/* SPDX-License-Identifier: MIT */
/* Arguments from JSON, results to JSON. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

const char *const family_names[] = {"none", "", "", "", "ipv4", "", "ipv6", NULL};
const char *const interface_flag_names[] = {"up",        "running",  "loopback", "multicast", "point_to_point",
                                            "broadcast", "enslaved", NULL};
const char *const handle_kind_names[] = {"none",         "context",        "publication",
                                         "subscription", "interface_list", NULL};
const char *const ready_names[] = {"readable", "writable", NULL};
const char *const wait_flag_names[] = {"interruptible", NULL};
const char *const metadata_names[] = {"source", "group", "hop_limit", "traffic_class", "time", "drops", NULL};

/* ---- arguments ---- */

void call_invalid(call *c, const char *format, ...) {
  char message[512];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  c->invalid = true;
  if (c->strand != NULL) strand_fail(c->strand, "step", "%s", message);
}

value *arg(call *c, const char *name) {
  return yyjson_mut_obj_get(c->args, name);
}

int64_t value_i64(call *c, value *from) {
  if (yyjson_mut_is_int(from)) return yyjson_mut_get_sint(from);
  if (yyjson_mut_is_bool(from)) return yyjson_mut_get_bool(from) ? 1 : 0;
  const char *digits = yyjson_mut_get_str(from);
  char *end = NULL;
  if (digits != NULL && digits[0] != '\0') {
    int64_t number = digits[0] == '-' ? strtoll(digits, &end, 10) : (int64_t)strtoull(digits, &end, 10);
    if (*end == '\0') return number;
    int64_t constant = 0;
    if (mctx_constant(digits, &constant, NULL) == MCTX_OK) return constant;
  }
  call_invalid(c, "not a number: %s", digits ? digits : "?");
  return 0;
}

int64_t arg_i64(call *c, const char *name, int64_t absent) {
  value *from = arg(c, name);
  return from == NULL ? absent : value_i64(c, from);
}

uint64_t arg_u64(call *c, const char *name, uint64_t absent) {
  value *from = arg(c, name);
  return from == NULL ? absent : (uint64_t)value_i64(c, from);
}

const char *arg_text(call *c, const char *name) {
  return yyjson_mut_get_str(arg(c, name));
}

uint32_t value_name(call *c, value *from, const char *const *names) {
  if (yyjson_mut_is_int(from)) return (uint32_t)yyjson_mut_get_sint(from);
  const char *wanted = yyjson_mut_get_str(from);
  for (uint32_t i = 0; wanted != NULL && names[i] != NULL; i++) {
    if (strcmp(names[i], wanted) == 0) return i;
  }
  call_invalid(c, "unknown name: %s", wanted ? wanted : "?");
  return 0;
}

uint32_t arg_name(call *c, const char *name, const char *const *names, uint32_t absent) {
  value *from = arg(c, name);
  return from == NULL ? absent : value_name(c, from, names);
}

uint32_t value_bits(call *c, value *from, const char *const *names) {
  if (yyjson_mut_is_int(from)) return (uint32_t)yyjson_mut_get_sint(from);
  uint32_t bits = 0;
  size_t position, count;
  value *item;
  yyjson_mut_arr_foreach(from, position, count, item) bits |= 1u << value_name(c, item, names);
  return bits;
}

uint32_t arg_bits(call *c, const char *name, const char *const *names) {
  return value_bits(c, arg(c, name), names);
}

uint32_t arg_capacity(call *c) {
  uint64_t capacity = arg_u64(c, "capacity", MAX_LISTED);
  return capacity > MAX_LISTED ? MAX_LISTED : (uint32_t)capacity;
}

value *option(call *c, const char *name) {
  return yyjson_mut_obj_get(arg(c, "options"), name);
}

int64_t option_number(call *c, const char *name, int64_t absent) {
  value *from = option(c, name);
  if (from == NULL) return absent;
  if (yyjson_mut_equals_str(from, "auto")) return MCTX_AUTO;
  return value_i64(c, from);
}

void read_size(call *c, uint32_t *size, size_t known, unsigned char *tail) {
  value *given = option(c, "tail");
  if (given != NULL) {
    *size = (uint32_t)known + FUTURE_BYTES;
    tail[FUTURE_BYTES - 1] = (unsigned char)value_i64(c, given);
  }
  given = option(c, "size");
  if (given != NULL) *size = (uint32_t)value_i64(c, given);
}

bool arg_null(call *c, const char *name) {
  size_t position, count;
  value *item;
  yyjson_mut_arr_foreach(arg(c, "null"), position, count, item) {
    if (strcmp(yyjson_mut_get_str(item), name) == 0) return true;
  }
  return false;
}

/* ---- values from JSON ---- */

static unsigned hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return (unsigned)(digit - '0');
  return (unsigned)(digit - 'a') + 10u;
}

static void from_hex(const char *hex, unsigned char *to, size_t length) {
  for (size_t i = 0; i < length; i++)
    to[i] = (unsigned char)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
}

mctx_address value_address(call *c, value *from) {
  mctx_address address = {0};
  if (from == NULL || yyjson_mut_is_null(from)) return address;
  if (yyjson_mut_is_str(from)) {
    mctx_error error = MCTX_ERROR_INIT;
    if (mctx_address_parse(yyjson_mut_get_str(from), &address, &error) != MCTX_OK) {
      call_invalid(c, "address %s: %s", yyjson_mut_get_str(from), error.message);
    }
    return address;
  }
  address.family = (uint8_t)yyjson_mut_get_int(yyjson_mut_obj_get(from, "family"));
  address.prefix = (uint8_t)yyjson_mut_get_int(yyjson_mut_obj_get(from, "prefix"));
  address.port = (uint16_t)yyjson_mut_get_int(yyjson_mut_obj_get(from, "port"));
  address.scope_id = (uint32_t)yyjson_mut_get_sint(yyjson_mut_obj_get(from, "scope_id"));
  value *bytes = yyjson_mut_obj_get(from, "bytes");
  if (bytes != NULL) from_hex(yyjson_mut_get_str(bytes), address.bytes, yyjson_mut_get_len(bytes) / 2);
  return address;
}

mctx_interface_ref value_interface(call *c, value *from) {
  static const char *const names[] = {"any", "index", "address", "name", NULL};
  mctx_interface_ref reference = {0};
  if (from == NULL || yyjson_mut_is_null(from)) return reference;
  reference.by = value_name(c, yyjson_mut_obj_get(from, "by"), names);
  value *index = yyjson_mut_obj_get(from, "index");
  reference.index = index == NULL ? 0 : (uint32_t)value_i64(c, index);
  reference.address = value_address(c, yyjson_mut_obj_get(from, "address"));
  reference.name = yyjson_mut_get_str(yyjson_mut_obj_get(from, "name"));
  return reference;
}

/* Payload number `number` of a sequence: its number in four bytes, big-endian, then a pattern. */
static void sequence_fill(unsigned char *to, uint32_t number, size_t length) {
  for (size_t i = 0; i < length; i++) {
    to[i] = (unsigned char)(i < 4 ? number >> (24 - 8 * i) : (number + i) & 0xff);
  }
}

static unsigned char *payload_allocate(mctx_slice *slice, size_t length) {
  unsigned char *data = malloc(length + 1);
  if (data == NULL) {
    fputs("runner: out of memory\n", stderr);
    exit(99);
  }
  slice->data = data;
  slice->length = length;
  return data;
}

mctx_slice value_payload(call *c, value *from) {
  mctx_slice slice = {0};
  value *length_value = yyjson_mut_obj_get(from, "length");
  size_t length = length_value == NULL ? 0 : (size_t)value_i64(c, length_value);
  const char *hex = yyjson_mut_get_str(yyjson_mut_obj_get(from, "hex"));
  const char *fill = yyjson_mut_get_str(yyjson_mut_obj_get(from, "fill"));
  const char *plain = yyjson_mut_get_str(yyjson_mut_obj_get(from, "text"));
  value *sequence = yyjson_mut_obj_get(from, "sequence");
  if (hex != NULL) {
    length = strlen(hex) / 2;
    from_hex(hex, payload_allocate(&slice, length), length);
  } else if (fill != NULL) {
    memset(payload_allocate(&slice, length), (int)(hex_digit(fill[0]) << 4 | hex_digit(fill[1])), length);
  } else if (plain != NULL) {
    memcpy(payload_allocate(&slice, strlen(plain)), plain, strlen(plain));
  } else if (sequence != NULL) {
    size_t count = (size_t)value_i64(c, sequence);
    unsigned char *data = payload_allocate(&slice, count * length);
    for (size_t i = 0; i < count; i++)
      sequence_fill(data + i * length, (uint32_t)i, length);
  } else {
    slice.length = length; /* {"null": true, "length": n} */
  }
  return slice;
}

mctx_slice *value_payloads(call *c, value *from, size_t *count) {
  value *sequence = yyjson_mut_obj_get(from, "sequence");
  *count = sequence != NULL ? (size_t)value_i64(c, sequence) : yyjson_mut_arr_size(from);
  mctx_slice *slices = calloc(*count + 1, sizeof *slices);
  if (slices == NULL) {
    *count = 0;
    return NULL;
  }
  if (sequence != NULL) {
    size_t length = (size_t)value_i64(c, yyjson_mut_obj_get(from, "length"));
    for (size_t i = 0; i < *count; i++)
      sequence_fill(payload_allocate(&slices[i], length), (uint32_t)i, length);
    return slices;
  }
  size_t position, size;
  value *item;
  yyjson_mut_arr_foreach(from, position, size, item) slices[position] = value_payload(c, item);
  return slices;
}

/* `count` 0: one slice that is not in an array. */
void payloads_free(mctx_slice *slices, size_t count) {
  size_t last = count == 0 ? 1 : count;
  for (size_t i = 0; slices != NULL && i < last; i++) {
    void *data = (void *)(uintptr_t)slices[i].data;
    free(data);
  }
  if (count != 0) free(slices);
}

/* ---- values to JSON ---- */

static uint32_t crc32(const unsigned char *data, size_t length) {
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < length; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc & 1u ? crc >> 1 ^ 0xedb88320u : crc >> 1;
  }
  return ~crc;
}

value *make_payload(document *doc, const void *data, size_t length) {
  text written = {0};
  if (length > 64) {
    text_print(&written, "%zu:%08" PRIx32, length, crc32(data, length));
  } else {
    for (size_t i = 0; i < length; i++)
      text_print(&written, "%02x", ((const unsigned char *)data)[i]);
  }
  value *made = yyjson_mut_strcpy(doc, text_get(&written));
  text_free(&written);
  return made;
}

value *make_address(document *doc, const mctx_address *address) {
  if (address->family == 0) return yyjson_mut_null(doc);
  char written[INET6_ADDRSTRLEN] = "";
  inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, written, sizeof written);
  value *made = yyjson_mut_obj(doc);
  yyjson_mut_obj_add_strcpy(doc, made, "address", written);
  yyjson_mut_obj_add_int(doc, made, "port", address->port);
  yyjson_mut_obj_add_int(doc, made, "scope_id", address->scope_id);
  yyjson_mut_obj_add_int(doc, made, "prefix", address->prefix);
  return made;
}

value *make_bits(document *doc, uint64_t bits, const char *const *names) {
  value *list = yyjson_mut_arr(doc);
  for (unsigned i = 0; names[i] != NULL; i++) {
    if (bits >> i & 1u) yyjson_mut_arr_add_str(doc, list, names[i]);
  }
  return list;
}

value *make_u64(document *doc, uint64_t number) {
  char written[24];
  snprintf(written, sizeof written, "%" PRIu64, number);
  return yyjson_mut_strcpy(doc, written);
}

value *make_i64(document *doc, int64_t number) {
  char written[24];
  snprintf(written, sizeof written, "%" PRId64, number);
  return yyjson_mut_strcpy(doc, written);
}

value *make_status(document *doc, mctx_status status) {
  return yyjson_mut_strcpy(doc, mctx_status_name(status));
}

value *make_setting(document *doc, int64_t number) {
  return number == MCTX_AUTO ? yyjson_mut_str(doc, "auto") : yyjson_mut_sint(doc, number);
}

value *make_wide_setting(document *doc, int64_t number) {
  return number == MCTX_AUTO ? yyjson_mut_str(doc, "auto") : make_i64(doc, number);
}

value *make_os_handle(document *doc, const mctx_os_handle *native) {
  static const char *const types[] = {"none", "descriptor", "socket", "event"};
  value *made = yyjson_mut_obj(doc);
  yyjson_mut_obj_add_str(doc, made, "type", native->type < 4 ? types[native->type] : "?");
  yyjson_mut_obj_add_val(doc, made, "value", make_i64(doc, native->type == 0 ? 0 : native->value));
  return made;
}

void result(call *c, const char *name, value *content) {
  yyjson_mut_obj_add(c->results, yyjson_mut_strcpy(c->doc, name), content);
}

void result_u64(call *c, const char *name, uint64_t number) {
  result(c, name, make_u64(c->doc, number));
}

void result_int(call *c, const char *name, int64_t number) {
  result(c, name, yyjson_mut_sint(c->doc, number));
}

void result_text(call *c, const char *name, const char *content) {
  result(c, name, content == NULL ? yyjson_mut_null(c->doc) : yyjson_mut_strcpy(c->doc, content));
}

uint32_t info_prepare(call *c, void *info, size_t known) {
  const size_t future = known + FUTURE_BYTES;
  out_prepare(info, future);
  return (uint32_t)arg_u64(c, "size", yyjson_mut_is_true(arg(c, "future")) ? future : known);
}

bool result_size(call *c, uint32_t size, size_t known, const unsigned char *tail) {
  if (c->status != MCTX_OK) return false;
  if (size != known) result_int(c, "size", size);
  if (size > known) {
    int64_t unknown = 0;
    for (size_t i = 0; i < FUTURE_BYTES; i++)
      unknown += tail[i];
    result_int(c, "unknown", unknown);
  }
  return size >= known;
}

void name_prepare(call *c, name_buffer *name) {
  out_prepare(name->text, sizeof name->text);
  name->capacity = (size_t)arg_u64(c, "capacity", sizeof name->text);
  name->length = 0;
}

void result_addresses(call *c, const char *name, const mctx_address *addresses, uint32_t capacity,
                      uint32_t count) {
  value *list = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count && i < capacity; i++)
    yyjson_mut_arr_append(list, make_address(c->doc, &addresses[i]));
  result(c, name, list);
  result_int(c, "count", count);
}

void result_name(call *c, const name_buffer *name) {
  if (c->status != MCTX_OK) return;
  if (name->capacity != 0) result_text(c, "name", name->text);
  result_int(c, "length", (int64_t)name->length);
}

void result_handle(call *c, const char *name, mctx_handle handle, uint32_t kind) {
  result(c, name, make_u64(c->doc, handle));
  run *r = c->run;
  pthread_mutex_lock(&r->lock);
  if (handle != 0 && r->opened_count < MAX_OPENED) r->opened[r->opened_count++] = (opened){handle, kind};
  pthread_mutex_unlock(&r->lock);
}

uint32_t handle_kind(call *c, mctx_handle handle) {
  run *r = c->run;
  uint32_t kind = MCTX_HANDLE_NONE;
  pthread_mutex_lock(&r->lock);
  for (unsigned i = 0; i < r->opened_count; i++) {
    if (r->opened[i].handle == handle) kind = r->opened[i].kind;
  }
  pthread_mutex_unlock(&r->lock);
  return kind;
}

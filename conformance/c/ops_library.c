/* SPDX-License-Identifier: MIT */
/* Statuses, the library itself, addresses. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static const char *const capability_states[] = {"absent", "refused", "needs_privilege", "available", NULL};

/* A status by its number or its name. */
static mctx_status arg_status(call *c, const char *name) {
  value *from = arg(c, name);
  if (!yyjson_mut_is_str(from)) return (mctx_status)yyjson_mut_get_sint(from);
  for (uint32_t i = 0; mctx_status_at(i) != 0; i++) {
    if (strcmp(mctx_status_name(mctx_status_at(i)), yyjson_mut_get_str(from)) == 0) return mctx_status_at(i);
  }
  call_invalid(c, "unknown status %s", yyjson_mut_get_str(from));
  return 0;
}

static void version(call *c) {
  result_text(c, "version", mctx_version());
}

static void abi_version(call *c) {
  uint32_t abi = mctx_abi_version();
  result_int(c, "major", abi >> 16);
  result_int(c, "minor", abi & 0xffff);
  result(c, "compatible",
         yyjson_mut_bool(c->doc, abi >> 16 == MCTX_ABI_VERSION >> 16 && abi >= MCTX_ABI_VERSION));
}

static void constant(call *c) {
  int64_t number;
  out_prepare(&number, sizeof number);
  c->status = mctx_constant(POINTER(c, "name", arg_text(c, "name")), POINTER(c, "value", &number), ERROR(c));
  if (!arg_null(c, "value")) out_check(c, &number, sizeof number);
  if (c->status == MCTX_OK) result(c, "value", make_i64(c->doc, number));
}

static void constant_name(call *c) {
  result_text(c, "name", mctx_constant_name((uint32_t)arg_u64(c, "position", 0)));
}

static uint32_t arg_capability(call *c) {
  value *from = arg(c, "capability");
  if (yyjson_mut_is_int(from)) return (uint32_t)yyjson_mut_get_uint(from);
  for (uint32_t id = 0; mctx_capability_name(id) != NULL; id++) {
    if (strcmp(mctx_capability_name(id), yyjson_mut_get_str(from)) == 0) return id;
  }
  call_invalid(c, "unknown capability %s", yyjson_mut_get_str(from));
  return 0;
}

static void capability(call *c) {
  mctx_capability_info info;
  out_prepare(&info, sizeof info);
  info.size = (uint32_t)arg_u64(c, "size", sizeof info);
  uint32_t id = arg_capability(c);
  c->status = mctx_capability(id, POINTER(c, "info", &info), ERROR(c));
  if (c->status != MCTX_OK) return;
  result_text(c, "state", info.state < 4 ? capability_states[info.state] : "?");
  result_text(c, "reason", info.reason);
}

static void capability_name(call *c) {
  result_text(c, "name", mctx_capability_name((uint32_t)arg_u64(c, "id", 0)));
}

static void status_name(call *c) {
  result_text(c, "name", mctx_status_name(arg_status(c, "status")));
}

static void status_text(call *c) {
  result_text(c, "text", mctx_status_text(arg_status(c, "status")));
}

static void status_kind(call *c) {
  result_int(c, "kind", mctx_status_kind(arg_status(c, "status")));
}

static void status_at(call *c) {
  result_int(c, "status", mctx_status_at((uint32_t)arg_u64(c, "position", 0)));
}

static void kind_name(call *c) {
  result_text(c, "name", mctx_kind_name((uint32_t)arg_u64(c, "kind", 0)));
}

static void error_init(call *c) {
  mctx_error error;
  out_prepare(&error, sizeof error);
  uint32_t size = (uint32_t)arg_u64(c, "size", sizeof error);
  mctx_error_init(POINTER(c, "error", &error), size);
  const unsigned char *bytes = (const unsigned char *)&error;
  size_t cleared = 4;
  while (cleared < sizeof error && bytes[cleared] == 0)
    cleared++;
  result_int(c, "size", error.size);
  result_int(c, "cleared", (int64_t)cleared);
}

static void address_parse(call *c) {
  mctx_address address;
  out_prepare(&address, sizeof address);
  c->status =
      mctx_address_parse(POINTER(c, "text", arg_text(c, "text")), POINTER(c, "address", &address), ERROR(c));
  if (!arg_null(c, "address")) out_check(c, &address, sizeof address);
  if (c->status == MCTX_OK) result(c, "address", make_address(c->doc, &address));
}

static void address_format(call *c) {
  mctx_address address = value_address(c, arg(c, "address"));
  char written[128];
  out_prepare(written, sizeof written);
  size_t length = 99;
  size_t capacity = (size_t)arg_u64(c, "capacity", sizeof written);
  c->status = mctx_address_format(POINTER(c, "address", &address), POINTER(c, "text", written), capacity,
                                  POINTER(c, "length", &length), ERROR(c));
  if (c->status != MCTX_OK) return;
  if (!arg_null(c, "text")) result_text(c, "text", capacity == 0 ? "" : written);
  result_int(c, "length", (int64_t)length);
}

const operation library_operations[] = {{"mctx_version", version},
                                        {"mctx_abi_version", abi_version},
                                        {"mctx_constant", constant},
                                        {"mctx_constant_name", constant_name},
                                        {"mctx_capability", capability},
                                        {"mctx_capability_name", capability_name},
                                        {"mctx_status_name", status_name},
                                        {"mctx_status_text", status_text},
                                        {"mctx_status_kind", status_kind},
                                        {"mctx_status_at", status_at},
                                        {"mctx_kind_name", kind_name},
                                        {"mctx_error_init", error_init},
                                        {"mctx_address_parse", address_parse},
                                        {"mctx_address_format", address_format},
                                        {NULL, NULL}};

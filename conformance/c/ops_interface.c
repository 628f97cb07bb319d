/* SPDX-License-Identifier: MIT */
/* Interfaces. */
#include "runner.h"

static mctx_interface_list arg_list(call *c) {
  return arg_u64(c, "list", 0);
}

static uint32_t arg_position(call *c) {
  return (uint32_t)arg_u64(c, "position", 0);
}

static void list_open(call *c) {
  mctx_interface_list list;
  out_prepare(&list, sizeof list);
  c->status = mctx_interface_list_open(POINTER(c, "list", &list), ERROR(c));
  if (!arg_null(c, "list")) out_check(c, &list, sizeof list);
  if (c->status == MCTX_OK) result_handle(c, "list", list, MCTX_HANDLE_INTERFACE_LIST);
}

static void list_count(call *c) {
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status = mctx_interface_list_count(arg_list(c), POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status == MCTX_OK) result_int(c, "count", count);
}

static void list_get(call *c) {
  mctx_interface_info info;
  out_prepare(&info, sizeof info);
  info.size = (uint32_t)arg_u64(c, "size", sizeof info);
  c->status = mctx_interface_list_get(arg_list(c), arg_position(c), POINTER(c, "info", &info), ERROR(c));
  if (c->status != MCTX_OK) return;
  result_int(c, "index", info.index);
  if (info.size < sizeof info) return;
  result_text(c, "name", info.name);
  result(c, "flags", make_bits(c->doc, info.flags, interface_flag_names));
  result_int(c, "mtu", info.mtu);
  result_int(c, "address_count", info.address_count);
  result(c, "hardware", make_payload(c->doc, info.hardware, info.hardware_length % 33));
}

static void list_addresses(call *c) {
  mctx_address addresses[MAX_LISTED];
  uint32_t capacity = arg_capacity(c);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status = mctx_interface_list_addresses(arg_list(c), arg_position(c), POINTER(c, "addresses", addresses),
                                            capacity, POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  result_addresses(c, "addresses", addresses, capacity, count);
}

static void list_friendly_name(call *c) {
  name_buffer name;
  name_prepare(c, &name);
  c->status = mctx_interface_list_friendly_name(arg_list(c), arg_position(c), POINTER(c, "text", name.text),
                                                name.capacity, POINTER(c, "length", &name.length), ERROR(c));
  result_name(c, &name);
}

static void list_find(call *c) {
  uint32_t position;
  out_prepare(&position, sizeof position);
  mctx_interface_ref wanted = value_interface(c, arg(c, "interface"));
  if (arg_null(c, "interface.name")) wanted.name = NULL;
  c->status = mctx_interface_list_find(arg_list(c), POINTER(c, "interface", &wanted),
                                       POINTER(c, "position", &position), ERROR(c));
  if (!arg_null(c, "position")) out_check(c, &position, sizeof position);
  if (c->status == MCTX_OK) result_int(c, "position", position);
}

static void list_default(call *c) {
  uint32_t position;
  out_prepare(&position, sizeof position);
  c->status = mctx_interface_list_default(arg_list(c), arg_name(c, "family", family_names, 0),
                                          POINTER(c, "position", &position), ERROR(c));
  if (!arg_null(c, "position")) out_check(c, &position, sizeof position);
  if (c->status == MCTX_OK) result_int(c, "position", position);
}

const operation interface_operations[] = {{"mctx_interface_list_open", list_open},
                                          {"mctx_interface_list_count", list_count},
                                          {"mctx_interface_list_get", list_get},
                                          {"mctx_interface_list_addresses", list_addresses},
                                          {"mctx_interface_list_friendly_name", list_friendly_name},
                                          {"mctx_interface_list_find", list_find},
                                          {"mctx_interface_list_default", list_default},
                                          {NULL, NULL}};

/* SPDX-License-Identifier: MIT */
/* Publications: opening, asking, taking the socket out. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static const char *const pacing_unit_names[] = {"bits", "datagrams", NULL};
static const char *const pacing_by_names[] = {"library", "kernel", NULL};

/* The flags of an info that are set, by name. */
static value *publication_flags(call *c, uint32_t flags) {
  value *names = yyjson_mut_arr(c->doc);
  if ((flags & MCTX_PUBLICATION_DUPLICATE) != 0) yyjson_mut_arr_add_str(c->doc, names, "duplicate");
  if ((flags & MCTX_PUBLICATION_ADOPTED) != 0) yyjson_mut_arr_add_str(c->doc, names, "adopted");
  return names;
}

static mctx_publication arg_publication(call *c) {
  return arg_u64(c, "publication", 0);
}

/* ---- options ---- */

typedef FUTURE(mctx_publication_options) future_options;

static void read_numbers(call *c, mctx_publication_options *o) {
  o->port = (int32_t)option_number(c, "port", o->port);
  o->source_port = (int32_t)option_number(c, "source_port", o->source_port);
  o->hop_limit = (int32_t)option_number(c, "hop_limit", o->hop_limit);
  o->loopback = (int32_t)option_number(c, "loopback", o->loopback);
  o->dscp = (int32_t)option_number(c, "dscp", o->dscp);
  o->connected = (int32_t)option_number(c, "connected", o->connected);
  o->reuse_port = (int32_t)option_number(c, "reuse_port", o->reuse_port);
  o->error_queue = (int32_t)option_number(c, "error_queue", o->error_queue);
  o->dont_fragment = (int32_t)option_number(c, "dont_fragment", o->dont_fragment);
  o->priority = (int32_t)option_number(c, "priority", o->priority);
  o->send_buffer = option_number(c, "send_buffer", o->send_buffer);
  o->mark = option_number(c, "mark", o->mark);
  o->offload = (int32_t)option_number(c, "offload", o->offload);
  o->pacing_rate = option_number(c, "pacing_rate", o->pacing_rate);
  o->pacing_burst = option_number(c, "pacing_burst", o->pacing_burst);
  o->reserved = (uint32_t)option_number(c, "reserved", o->reserved);
}

static int32_t option_name(call *c, const char *name, const char *const *names, int32_t absent) {
  value *given = option(c, name);
  if (given == NULL) return absent;
  return yyjson_mut_equals_str(given, "auto") ? MCTX_AUTO : (int32_t)value_name(c, given, names);
}

static void read_options(call *c, future_options *to) {
  memset(to, 0, sizeof *to);
  mctx_publication_options *o = &to->known;
  mctx_publication_options_init(o, sizeof *o);
  o->group = value_address(c, option(c, "group"));
  o->source = value_address(c, option(c, "source"));
  o->bind = value_address(c, option(c, "bind"));
  o->outgoing_interface = value_interface(c, option(c, "interface"));
  if (arg_null(c, "interface.name")) o->outgoing_interface.name = NULL;
  read_numbers(c, o);
  o->pacing_unit = option_name(c, "pacing_unit", pacing_unit_names, o->pacing_unit);
  o->pacing_by = option_name(c, "pacing_by", pacing_by_names, o->pacing_by);
  o->bind_device = yyjson_mut_get_str(option(c, "bind_device"));
  value *flag = option(c, "duplicate");
  if (yyjson_mut_is_true(flag)) o->flags |= MCTX_PUBLICATION_DUPLICATE;
  value *socket = option(c, "socket");
  if (yyjson_mut_is_str(socket)) {
    peer *adopted = peer_find(c, yyjson_mut_get_str(socket));
    if (adopted != NULL) o->socket = adopted->native;
  } else if (socket != NULL) {
    o->socket.value = value_i64(c, yyjson_mut_obj_get(socket, "value"));
    o->socket.type = (uint32_t)value_i64(c, yyjson_mut_obj_get(socket, "type"));
    o->socket.reserved = (uint32_t)yyjson_mut_get_int(yyjson_mut_obj_get(socket, "reserved"));
  }
  value *raw = option(c, "flags");
  if (raw != NULL) o->flags = (uint32_t)value_i64(c, raw);
  read_size(c, &o->size, sizeof *o, to->tail);
}

/* The name of a setting, "auto" if it is left open. */
static value *make_name(document *doc, int32_t number, const char *const *names, int32_t count) {
  if (number == MCTX_AUTO) return yyjson_mut_str(doc, "auto");
  return yyjson_mut_str(doc, number >= 0 && number < count ? names[number] : "?");
}

static void options_init(call *c) {
  mctx_publication_options o;
  out_prepare(&o, sizeof o);
  uint32_t size = (uint32_t)arg_u64(c, "size", sizeof o);
  mctx_publication_options_init(POINTER(c, "options", &o), size);
  result_int(c, "size", o.size);
  if (o.size < sizeof o) return;
  result_int(c, "flags", o.flags);
  result(c, "group", make_address(c->doc, &o.group));
  result(c, "source", make_address(c->doc, &o.source));
  result(c, "bind", make_address(c->doc, &o.bind));
  result_int(c, "interface_by", o.outgoing_interface.by);
  result(c, "port", make_setting(c->doc, o.port));
  result(c, "source_port", make_setting(c->doc, o.source_port));
  result(c, "hop_limit", make_setting(c->doc, o.hop_limit));
  result(c, "loopback", make_setting(c->doc, o.loopback));
  result(c, "dscp", make_setting(c->doc, o.dscp));
  result(c, "connected", make_setting(c->doc, o.connected));
  result(c, "reuse_port", make_setting(c->doc, o.reuse_port));
  result(c, "error_queue", make_setting(c->doc, o.error_queue));
  result(c, "dont_fragment", make_setting(c->doc, o.dont_fragment));
  result(c, "priority", make_setting(c->doc, o.priority));
  result(c, "send_buffer", make_wide_setting(c->doc, o.send_buffer));
  result(c, "mark", make_wide_setting(c->doc, o.mark));
  result(c, "bind_device", yyjson_mut_bool(c->doc, o.bind_device != NULL));
  result(c, "socket", make_os_handle(c->doc, &o.socket));
  result(c, "offload", make_setting(c->doc, o.offload));
  result(c, "pacing_unit", make_name(c->doc, o.pacing_unit, pacing_unit_names, 2));
  result(c, "pacing_rate", make_i64(c->doc, o.pacing_rate));
  result(c, "pacing_burst", make_i64(c->doc, o.pacing_burst));
  result(c, "pacing_by", make_name(c->doc, o.pacing_by, pacing_by_names, 2));
  result_int(c, "reserved", o.reserved);
}

/* ---- opening ---- */

static void publication_open(call *c) {
  future_options options;
  read_options(c, &options);
  mctx_publication publication;
  out_prepare(&publication, sizeof publication);
  if (c->invalid) return;
  c->status = mctx_publication_open(arg_u64(c, "context", 0), POINTER(c, "options", &options.known),
                                    POINTER(c, "publication", &publication), ERROR(c));
  if (!arg_null(c, "publication")) out_check(c, &publication, sizeof publication);
  if (c->status != MCTX_OK) return;
  result_handle(c, "publication", publication, MCTX_HANDLE_PUBLICATION);
  value *socket = option(c, "socket");
  if (yyjson_mut_is_str(socket)) peer_find(c, yyjson_mut_get_str(socket))->open = false;
}

/* ---- asking ---- */

static value *make_interface(document *doc, const mctx_interface_ref *reference) {
  static const char *const names[] = {"any", "index", "address", "name"};
  value *made = yyjson_mut_obj(doc);
  yyjson_mut_obj_add_str(doc, made, "by", reference->by < 4 ? names[reference->by] : "?");
  yyjson_mut_obj_add_int(doc, made, "index", reference->index);
  yyjson_mut_obj_add_val(doc, made, "address", make_address(doc, &reference->address));
  return made;
}

static void show_info(call *c, const mctx_publication_info *info) {
  result(c, "flags", publication_flags(c, info->flags));
  result(c, "owner", make_u64(c->doc, info->context));
  result(c, "group", make_address(c->doc, &info->group));
  result(c, "source", make_address(c->doc, &info->source));
  result(c, "local", make_address(c->doc, &info->local));
  result(c, "sender", make_address(c->doc, &info->sender));
  result(c, "interface", make_interface(c->doc, &info->outgoing_interface));
  result_int(c, "interface_index", info->interface_index);
  result_int(c, "hop_limit", info->hop_limit);
  result_int(c, "loopback", info->loopback);
  result_int(c, "dscp", info->dscp);
  result_int(c, "connected", info->connected);
  result_int(c, "reuse_port", info->reuse_port);
  result_int(c, "error_queue", info->error_queue);
  result(c, "dont_fragment", make_setting(c->doc, info->dont_fragment));
  result(c, "priority", make_setting(c->doc, info->priority));
  result(c, "source_port", make_setting(c->doc, info->source_port));
  result(c, "mark", make_wide_setting(c->doc, info->mark));
  result_u64(c, "send_buffer_asked", info->send_buffer_asked);
  result_u64(c, "send_buffer", info->send_buffer);
  result_u64(c, "max_datagram", info->max_datagram);
  result(c, "socket", make_os_handle(c->doc, &info->socket));
  result_int(c, "offload", info->offload);
  result_int(c, "segment_count_limit", info->segment_count_limit);
  result_u64(c, "segment_size_limit", info->segment_size_limit);
  result(c, "offload_status", make_status(c->doc, info->offload_status));
  result_int(c, "offload_os_code", info->offload_os_code);
  result(c, "pacing_rate", make_i64(c->doc, info->pacing_rate));
  result(c, "pacing_burst", make_i64(c->doc, info->pacing_burst));
  result(c, "pacing_unit", make_name(c->doc, info->pacing_unit, pacing_unit_names, 2));
  result(c, "pacing_by", make_name(c->doc, info->pacing_by, pacing_by_names, 2));
}

static void get_info(call *c) {
  FUTURE(mctx_publication_info) info;
  info.known.size = info_prepare(c, &info, sizeof info.known);
  c->status = mctx_publication_get_info(arg_publication(c), POINTER(c, "info", &info.known), ERROR(c));
  if (result_size(c, info.known.size, sizeof info.known, info.tail)) show_info(c, &info.known);
}

static void interface_name(call *c) {
  name_buffer name;
  name_prepare(c, &name);
  c->status = mctx_publication_interface_name(arg_publication(c), POINTER(c, "text", name.text), name.capacity,
                                              POINTER(c, "length", &name.length), ERROR(c));
  result_name(c, &name);
}

static void announce(call *c) {
  mctx_address source;
  mctx_address group;
  out_prepare(&source, sizeof source);
  out_prepare(&group, sizeof group);
  c->status = mctx_publication_announce(arg_publication(c), POINTER(c, "source", &source),
                                        POINTER(c, "group", &group), ERROR(c));
  if (!arg_null(c, "source")) out_check(c, &source, sizeof source);
  if (!arg_null(c, "group")) out_check(c, &group, sizeof group);
  if (c->status != MCTX_OK) return;
  result(c, "source", yyjson_mut_obj_get(make_address(c->doc, &source), "address"));
  result(c, "group", yyjson_mut_obj_get(make_address(c->doc, &group), "address"));
  result_int(c, "port", group.port);
  result_int(c, "announced_source_port", source.port);
}

static void take(call *c) {
  mctx_os_handle native;
  out_prepare(&native, sizeof native);
  c->status = mctx_publication_take(arg_publication(c), POINTER(c, "native", &native), ERROR(c));
  if (!arg_null(c, "native")) out_check(c, &native, sizeof native);
  if (c->status == MCTX_OK) result(c, "socket", peer_add(c, native, sim_available()));
}

const operation publication_operations[] = {{"mctx_publication_options_init", options_init},
                                            {"mctx_publication_open", publication_open},
                                            {"mctx_publication_get_info", get_info},
                                            {"mctx_publication_interface_name", interface_name},
                                            {"mctx_publication_announce", announce},
                                            {"mctx_publication_take", take},
                                            {NULL, NULL}};

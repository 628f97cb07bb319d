/* SPDX-License-Identifier: MIT */
/* Subscriptions: opening, joining and leaving, filters, asking. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static const char *const mode_names[] = {"exclude", "include", NULL};
static const char *const binding_names[] = {"auto", "group", "wildcard", NULL};

static mctx_subscription arg_subscription(call *c) {
  return arg_u64(c, "subscription", 0);
}

/* ---- memberships and interfaces from JSON ---- */

static mctx_address *read_sources(call *c, value *from, size_t *count) {
  *count = yyjson_mut_arr_size(from);
  mctx_address *sources = calloc(*count + 1, sizeof *sources);
  size_t position, size;
  value *item;
  yyjson_mut_arr_foreach(from, position, size, item) sources[position] = value_address(c, item);
  return sources;
}

static mctx_membership read_membership(call *c, value *from) {
  mctx_membership to = {.group = value_address(c, yyjson_mut_obj_get(from, "group")),
                        .ingress = value_interface(c, yyjson_mut_obj_get(from, "interface"))};
  value *given = yyjson_mut_obj_get(from, "mode");
  if (given != NULL) to.mode = value_name(c, given, mode_names);
  given = yyjson_mut_obj_get(from, "reserved");
  if (given != NULL) to.reserved = (uint32_t)value_i64(c, given);
  size_t count = 0;
  given = yyjson_mut_obj_get(from, "sources");
  if (given != NULL) to.sources = read_sources(c, given, &count);
  to.source_count = count;
  given = yyjson_mut_obj_get(from, "source_count");
  if (given != NULL) to.source_count = (uint64_t)value_i64(c, given);
  return to;
}

static void membership_free(mctx_membership *membership) {
  free((void *)(uintptr_t)membership->sources);
}

/* A list of memberships; free with memberships_free. */
static mctx_membership *read_memberships(call *c, value *from, size_t *count) {
  *count = yyjson_mut_arr_size(from);
  mctx_membership *memberships = calloc(*count + 1, sizeof *memberships);
  size_t position, size;
  value *item;
  yyjson_mut_arr_foreach(from, position, size, item) memberships[position] = read_membership(c, item);
  return memberships;
}

static void memberships_free(mctx_membership *memberships, size_t count) {
  for (size_t i = 0; i < count; i++)
    membership_free(&memberships[i]);
  free(memberships);
}

/* ---- options ---- */

/* A struct from the future, whose tail this library does not know, and what it points to. */
typedef struct future_options {
  mctx_subscription_options known;
  unsigned char tail[FUTURE_BYTES];
  mctx_interface_ref *interfaces;
  mctx_membership *memberships;
  size_t membership_count;
} future_options;

static void read_lists(call *c, future_options *to) {
  mctx_subscription_options *o = &to->known;
  o->membership_stride = sizeof(mctx_membership);
  value *given = option(c, "interfaces");
  o->interface_count = yyjson_mut_arr_size(given);
  to->interfaces = calloc((size_t)o->interface_count + 1, sizeof *to->interfaces);
  size_t position, count;
  value *item;
  yyjson_mut_arr_foreach(given, position, count, item) to->interfaces[position] = value_interface(c, item);
  if (given != NULL) o->interfaces = POINTER(c, "interfaces", to->interfaces);
  given = option(c, "memberships");
  to->memberships = read_memberships(c, given, &to->membership_count);
  o->membership_count = to->membership_count;
  if (given != NULL) o->memberships = POINTER(c, "memberships", to->memberships);
  o->interface_count = (uint64_t)option_number(c, "interface_count", (int64_t)o->interface_count);
  o->membership_count = (uint64_t)option_number(c, "membership_count", (int64_t)o->membership_count);
  o->membership_stride = (uint64_t)option_number(c, "membership_stride", (int64_t)o->membership_stride);
}

static void read_options(call *c, future_options *to) {
  memset(to, 0, sizeof *to);
  mctx_subscription_options *o = &to->known;
  mctx_subscription_options_init(o, sizeof *o);
  o->port = (int32_t)option_number(c, "port", o->port);
  o->reuse_port = (int32_t)option_number(c, "reuse_port", o->reuse_port);
  o->coalescing = (int32_t)option_number(c, "coalescing", o->coalescing);
  value *given = option(c, "binding");
  if (given != NULL) o->binding = value_name(c, given, binding_names);
  given = option(c, "metadata");
  if (given != NULL) o->metadata = value_bits(c, given, metadata_names);
  o->max_group_sockets = (uint32_t)option_number(c, "max_group_sockets", o->max_group_sockets);
  o->receive_buffer = option_number(c, "receive_buffer", o->receive_buffer);
  if (yyjson_mut_is_true(option(c, "frozen"))) o->flags |= MCTX_SUBSCRIPTION_FROZEN;
  given = option(c, "flags");
  if (given != NULL) o->flags = (uint32_t)value_i64(c, given);
  read_lists(c, to);
  read_size(c, &o->size, sizeof *o, to->tail);
}

static void options_init(call *c) {
  mctx_subscription_options o;
  out_prepare(&o, sizeof o);
  mctx_subscription_options_init(POINTER(c, "options", &o), (uint32_t)arg_u64(c, "size", sizeof o));
  result_int(c, "size", o.size);
  if (o.size < sizeof o) return;
  result_int(c, "flags", o.flags);
  result(c, "port", make_setting(c->doc, o.port));
  result_int(c, "reuse_port", o.reuse_port);
  result_int(c, "coalescing", o.coalescing);
  result_text(c, "binding", binding_names[o.binding % 3]);
  result(c, "metadata", make_bits(c->doc, o.metadata, metadata_names));
  result_int(c, "max_group_sockets", o.max_group_sockets);
  result(c, "receive_buffer", make_wide_setting(c->doc, o.receive_buffer));
  result(c, "interfaces", yyjson_mut_bool(c->doc, o.interfaces != NULL));
  result_u64(c, "interface_count", o.interface_count);
  result(c, "memberships", yyjson_mut_bool(c->doc, o.memberships != NULL));
  result_u64(c, "membership_count", o.membership_count);
  result_u64(c, "membership_stride", o.membership_stride);
}

/* ---- opening ---- */

static void subscription_open(call *c) {
  future_options options;
  read_options(c, &options);
  mctx_subscription subscription;
  out_prepare(&subscription, sizeof subscription);
  if (!c->invalid) {
    c->status = mctx_subscription_open(arg_u64(c, "context", 0), POINTER(c, "options", &options.known),
                                       POINTER(c, "subscription", &subscription), ERROR(c));
    if (!arg_null(c, "subscription")) out_check(c, &subscription, sizeof subscription);
    if (c->status == MCTX_OK) result_handle(c, "subscription", subscription, MCTX_HANDLE_SUBSCRIPTION);
  }
  memberships_free(options.memberships, options.membership_count);
  free(options.interfaces);
}

/* ---- joining, leaving, filters ---- */

static void change_memberships(call *c, mctx_status (*change)(mctx_subscription, const mctx_membership *,
                                                              uint32_t, uint32_t, mctx_error *)) {
  size_t count = 0;
  mctx_membership *memberships = read_memberships(c, arg(c, "memberships"), &count);
  if (!c->invalid) {
    c->status = change(arg_subscription(c), POINTER(c, "memberships", memberships),
                       (uint32_t)arg_u64(c, "stride", sizeof *memberships),
                       (uint32_t)arg_u64(c, "count", count), ERROR(c));
  }
  memberships_free(memberships, count);
}

static void join(call *c) {
  change_memberships(c, mctx_join);
}

static void leave(call *c) {
  change_memberships(c, mctx_leave);
}

static void change_source(call *c, mctx_status (*change)(mctx_subscription, const mctx_membership *, uint32_t,
                                                         const mctx_address *, mctx_error *)) {
  mctx_membership membership = read_membership(c, arg(c, "membership"));
  mctx_address source = value_address(c, arg(c, "source"));
  if (!c->invalid) {
    c->status =
        change(arg_subscription(c), POINTER(c, "membership", &membership),
               (uint32_t)arg_u64(c, "size", sizeof membership), POINTER(c, "source", &source), ERROR(c));
  }
  membership_free(&membership);
}

static void allow(call *c) {
  change_source(c, mctx_allow);
}

static void block(call *c) {
  change_source(c, mctx_block);
}

static void filter_set(call *c) {
  mctx_membership membership = read_membership(c, arg(c, "membership"));
  if (!c->invalid) {
    c->status = mctx_filter_set(arg_subscription(c), POINTER(c, "membership", &membership),
                                (uint32_t)arg_u64(c, "size", sizeof membership), ERROR(c));
  }
  membership_free(&membership);
}

/* ---- asking ---- */

/* The flags of an info that are set, by name. */
static value *make_flags(document *doc, uint32_t flags) {
  value *names = yyjson_mut_arr(doc);
  if ((flags & MCTX_SUBSCRIPTION_FROZEN) != 0) yyjson_mut_arr_add_str(doc, names, "frozen");
  if ((flags & MCTX_SUBSCRIPTION_BLIND) != 0) yyjson_mut_arr_add_str(doc, names, "blind");
  return names;
}

static void show_info(call *c, const mctx_subscription_info *info) {
  static const char *const clocks[] = {"none", "system"};
  result(c, "flags", make_flags(c->doc, info->flags));
  result(c, "owner", make_u64(c->doc, info->context));
  result_int(c, "port", info->port);
  result(c, "metadata", make_bits(c->doc, info->metadata, metadata_names));
  result_int(c, "reuse_port", info->reuse_port);
  result_int(c, "coalescing", info->coalescing);
  result_text(c, "binding", info->binding < 3 ? binding_names[info->binding] : "?");
  result_text(c, "clock", info->clock < 2 ? clocks[info->clock] : "?");
  result_int(c, "group_sockets", info->group_sockets);
  result_int(c, "wildcard_sockets", info->wildcard_sockets);
  result_int(c, "membership_count", info->membership_count);
  result_int(c, "max_group_sockets", info->max_group_sockets);
  result_u64(c, "receive_buffer_asked", info->receive_buffer_asked);
  result_u64(c, "receive_buffer", info->receive_buffer);
  result_u64(c, "min_arena", info->min_arena);
  result_u64(c, "min_datagrams", info->min_datagrams);
}

static void get_info(call *c) {
  FUTURE(mctx_subscription_info) info;
  info.known.size = info_prepare(c, &info, sizeof info.known);
  c->status = mctx_subscription_get_info(arg_subscription(c), POINTER(c, "info", &info.known), ERROR(c));
  if (result_size(c, info.known.size, sizeof info.known, info.tail)) show_info(c, &info.known);
}

static value *make_membership(document *doc, const mctx_membership_info *from) {
  static const char *const flags[] = {"default", "refused", "filtered", "absent", "sourceless", NULL};
  value *made = yyjson_mut_obj(doc);
  yyjson_mut_obj_add_val(doc, made, "group", make_address(doc, &from->group));
  yyjson_mut_obj_add_int(doc, made, "id", from->id);
  yyjson_mut_obj_add_int(doc, made, "interface_index", from->interface_index);
  yyjson_mut_obj_add_str(doc, made, "mode", from->mode < 2 ? mode_names[from->mode] : "?");
  yyjson_mut_obj_add_val(doc, made, "flags", make_bits(doc, from->flags, flags));
  yyjson_mut_obj_add_val(doc, made, "refusal", make_status(doc, from->refusal));
  yyjson_mut_obj_add_int(doc, made, "name_count", from->name_count);
  yyjson_mut_obj_add_val(doc, made, "source_count", make_u64(doc, from->source_count));
  yyjson_mut_obj_add_val(doc, made, "datagrams", make_u64(doc, from->datagrams));
  yyjson_mut_obj_add_val(doc, made, "bytes", make_u64(doc, from->bytes));
  yyjson_mut_obj_add_val(doc, made, "first_ns", make_i64(doc, from->first_ns));
  yyjson_mut_obj_add_val(doc, made, "last_ns", make_i64(doc, from->last_ns));
  return made;
}

static void list_memberships(call *c) {
  mctx_membership_info memberships[MAX_LISTED];
  memset(memberships, 0, sizeof memberships);
  uint32_t capacity = arg_capacity(c);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status = mctx_memberships(arg_subscription(c), POINTER(c, "memberships", memberships),
                               (uint32_t)arg_u64(c, "stride", sizeof memberships[0]), capacity,
                               POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  value *list = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count && i < capacity; i++) {
    yyjson_mut_arr_append(list, make_membership(c->doc, &memberships[i]));
  }
  result(c, "memberships", list);
  result_int(c, "count", count);
}

static void membership_sources(call *c) {
  mctx_address sources[MAX_LISTED];
  uint32_t capacity = arg_capacity(c);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status =
      mctx_membership_sources(arg_subscription(c), (uint32_t)arg_u64(c, "id", 0),
                              POINTER(c, "sources", sources), capacity, POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  result_addresses(c, "sources", sources, capacity, count);
}

static void membership_name(call *c) {
  name_buffer name;
  name_prepare(c, &name);
  c->status = mctx_membership_name(arg_subscription(c), (uint32_t)arg_u64(c, "id", 0),
                                   (uint32_t)arg_u64(c, "position", 0), POINTER(c, "text", name.text),
                                   name.capacity, POINTER(c, "length", &name.length), ERROR(c));
  result_name(c, &name);
}

const operation subscription_operations[] = {{"mctx_subscription_options_init", options_init},
                                             {"mctx_subscription_open", subscription_open},
                                             {"mctx_subscription_get_info", get_info},
                                             {"mctx_join", join},
                                             {"mctx_leave", leave},
                                             {"mctx_allow", allow},
                                             {"mctx_block", block},
                                             {"mctx_filter_set", filter_set},
                                             {"mctx_memberships", list_memberships},
                                             {"mctx_membership_sources", membership_sources},
                                             {"mctx_membership_name", membership_name},
                                             {NULL, NULL}};

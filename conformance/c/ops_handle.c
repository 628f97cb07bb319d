/* SPDX-License-Identifier: MIT */
/* Any handle, and contexts. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static const char *const event_names[] = {
    "none",    "source_gone", "source_changed", "overflow", "interface_lost", "interface_appeared",
    "rebuilt", "refused",     "no_interface",   "drops",    "sourceless"};

static mctx_handle arg_handle(call *c) {
  return arg_u64(c, "handle", 0);
}

static void close_handle(call *c) {
  c->status = mctx_close(arg_handle(c), ERROR(c));
}

static void wake(call *c) {
  c->status = mctx_wake(arg_handle(c));
}

static void wait_for(call *c) {
  uint32_t ready;
  out_prepare(&ready, sizeof ready);
  c->status =
      mctx_wait(arg_handle(c), arg_bits(c, "interest", ready_names), arg_bits(c, "flags", wait_flag_names),
                arg_i64(c, "timeout_ns", 0), POINTER(c, "ready", &ready), ERROR(c));
  if (!arg_null(c, "ready")) out_check(c, &ready, sizeof ready);
  if (c->status == MCTX_OK) result(c, "ready", make_bits(c->doc, ready, ready_names));
}

static uint32_t read_wait_items(call *c, mctx_wait_item *items) {
  size_t position, count;
  value *one;
  yyjson_mut_arr_foreach(arg(c, "items"), position, count, one) {
    if (position == MAX_LISTED) break;
    items[position].handle = (mctx_handle)value_i64(c, yyjson_mut_obj_get(one, "handle"));
    items[position].interest = value_bits(c, yyjson_mut_obj_get(one, "interest"), ready_names);
  }
  return (uint32_t)yyjson_mut_arr_size(arg(c, "items"));
}

static void wait_many(call *c) {
  mctx_wait_item items[MAX_LISTED];
  out_prepare(items, sizeof items);
  uint32_t count = read_wait_items(c, items);
  uint32_t ready_count;
  out_prepare(&ready_count, sizeof ready_count);
  if (c->invalid) return;
  c->status = mctx_wait_many(arg_u64(c, "context", 0), POINTER(c, "items", items),
                             (uint32_t)arg_u64(c, "stride", sizeof items[0]),
                             (uint32_t)arg_u64(c, "count", count), arg_bits(c, "flags", wait_flag_names),
                             arg_i64(c, "timeout_ns", 0), POINTER(c, "ready_count", &ready_count), ERROR(c));
  if (!arg_null(c, "ready_count")) out_check(c, &ready_count, sizeof ready_count);
  if (c->status != MCTX_OK) return;
  value *list = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count; i++) {
    value *one = yyjson_mut_arr_add_obj(c->doc, list);
    yyjson_mut_obj_add_val(c->doc, one, "ready", make_bits(c->doc, items[i].ready, ready_names));
  }
  result(c, "items", list);
  result_int(c, "ready_count", ready_count);
}

static void pollable(call *c) {
  mctx_os_handle native;
  out_prepare(&native, sizeof native);
  c->status = mctx_pollable(arg_handle(c), POINTER(c, "native", &native), ERROR(c));
  if (!arg_null(c, "native")) out_check(c, &native, sizeof native);
  if (c->status == MCTX_OK) result(c, "native", make_os_handle(c->doc, &native));
}

static void metrics(call *c) {
  uint64_t values[256];
  uint32_t capacity = (uint32_t)arg_u64(c, "capacity", 256);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status = mctx_metrics(arg_handle(c), POINTER(c, "values", values), capacity > 256 ? 256 : capacity,
                           POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  value *named = yyjson_mut_obj(c->doc);
  for (uint32_t i = 0; i < count && i < capacity && i < 256; i++) {
    const char *name = mctx_metric_name(handle_kind(c, arg_handle(c)), i);
    if (name != NULL) yyjson_mut_obj_add_val(c->doc, named, name, make_u64(c->doc, values[i]));
  }
  result(c, "values", named);
  result_int(c, "count", count);
}

static void metric_name(call *c) {
  result_text(
      c, "name",
      mctx_metric_name(arg_name(c, "handle_kind", handle_kind_names, 0), (uint32_t)arg_u64(c, "position", 0)));
}

static void events(call *c) {
  mctx_event taken[MAX_LISTED];
  memset(taken, 0, sizeof taken);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status =
      mctx_events(arg_handle(c), POINTER(c, "events", taken), (uint32_t)arg_u64(c, "stride", sizeof taken[0]),
                  arg_capacity(c), POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  value *list = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count && i < MAX_LISTED; i++) {
    value *one = yyjson_mut_obj(c->doc);
    yyjson_mut_obj_add_str(
        c->doc, one, "type",
        taken[i].type < sizeof event_names / sizeof event_names[0] ? event_names[taken[i].type] : "?");
    yyjson_mut_obj_add_val(c->doc, one, "handle", make_u64(c->doc, taken[i].handle));
    yyjson_mut_obj_add_int(c->doc, one, "interface_index", taken[i].interface_index);
    yyjson_mut_obj_add_val(c->doc, one, "time_ns", make_i64(c->doc, taken[i].time_ns));
    yyjson_mut_obj_add_val(c->doc, one, "value", make_u64(c->doc, taken[i].value));
    yyjson_mut_obj_add_val(c->doc, one, "address", make_address(c->doc, &taken[i].address));
    yyjson_mut_arr_append(list, one);
  }
  result(c, "events", list);
}

/* ---- contexts ---- */

static void context_options_init(call *c) {
  mctx_context_options options;
  out_prepare(&options, sizeof options);
  mctx_context_options_init(POINTER(c, "options", &options), (uint32_t)arg_u64(c, "size", sizeof options));
  result_int(c, "size", options.size);
  result_int(c, "flags", options.flags);
}

static void context_open(call *c) {
  FUTURE(mctx_context_options) options;
  memset(&options, 0, sizeof options);
  mctx_context_options_init(&options.known, sizeof options.known);
  read_size(c, &options.known.size, sizeof options.known, options.tail);
  options.known.flags = (uint32_t)option_number(c, "flags", 0);
  mctx_context context;
  out_prepare(&context, sizeof context);
  c->status = mctx_context_open(arg(c, "options") == NULL ? NULL : &options.known,
                                POINTER(c, "context", &context), ERROR(c));
  if (!arg_null(c, "context")) out_check(c, &context, sizeof context);
  if (c->status == MCTX_OK) result_handle(c, "context", context, MCTX_HANDLE_CONTEXT);
}

/* The publications or subscriptions of a context: `name` says which. */
static void list_owned(call *c, const char *name,
                       mctx_status (*list)(mctx_context, mctx_handle *, uint32_t, uint32_t *, mctx_error *)) {
  mctx_handle handles[MAX_LISTED];
  uint32_t capacity = arg_capacity(c);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status = list(arg_u64(c, "context", 0), POINTER(c, name, handles), capacity, POINTER(c, "count", &count),
                   ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  value *listed = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count && i < capacity; i++) {
    yyjson_mut_arr_append(listed, make_u64(c->doc, handles[i]));
  }
  result(c, name, listed);
  result_int(c, "count", count);
}

static void context_publications(call *c) {
  list_owned(c, "publications", mctx_context_publications);
}

static void context_subscriptions(call *c) {
  list_owned(c, "subscriptions", mctx_context_subscriptions);
}

const operation handle_operations[] = {{"mctx_close", close_handle},
                                       {"mctx_wake", wake},
                                       {"mctx_wait", wait_for},
                                       {"mctx_wait_many", wait_many},
                                       {"mctx_pollable", pollable},
                                       {"mctx_metrics", metrics},
                                       {"mctx_metric_name", metric_name},
                                       {"mctx_events", events},
                                       {"mctx_context_options_init", context_options_init},
                                       {"mctx_context_open", context_open},
                                       {"mctx_context_publications", context_publications},
                                       {"mctx_context_subscriptions", context_subscriptions},
                                       {NULL, NULL}};

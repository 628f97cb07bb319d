/* SPDX-License-Identifier: MIT */
/* Any handle, and contexts. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static const char *const ready_names[] = {"readable", "writable", NULL};
static const char *const event_names[] = {"none", "source_gone", "source_changed", "overflow", NULL};

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
  static const char *const flags[] = {"interruptible", NULL};
  uint32_t ready;
  out_prepare(&ready, sizeof ready);
  c->status = mctx_wait(arg_handle(c), arg_bits(c, "events", ready_names), arg_bits(c, "flags", flags),
                        arg_i64(c, "timeout_ns", 0), POINTER(c, "ready", &ready), ERROR(c));
  if (!arg_null(c, "ready")) out_check(c, &ready, sizeof ready);
  if (c->status == MCTX_OK) result(c, "ready", make_bits(c->doc, ready, ready_names));
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
  mctx_event taken[64];
  memset(taken, 0, sizeof taken);
  uint32_t capacity = (uint32_t)arg_u64(c, "capacity", 64);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status =
      mctx_events(arg_handle(c), POINTER(c, "events", taken), (uint32_t)arg_u64(c, "stride", sizeof taken[0]),
                  capacity > 64 ? 64 : capacity, POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  value *list = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count && i < 64; i++) {
    value *one = yyjson_mut_obj(c->doc);
    yyjson_mut_obj_add_str(c->doc, one, "type", taken[i].type < 4 ? event_names[taken[i].type] : "?");
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
  /* Room for a struct from the future. */
  struct {
    mctx_context_options known;
    unsigned char tail[64];
  } options;
  memset(&options, 0, sizeof options);
  mctx_context_options_init(&options.known, sizeof options.known);
  value *given = arg(c, "options");
  value *field = yyjson_mut_obj_get(given, "tail");
  if (field != NULL) {
    options.known.size = sizeof options;
    options.tail[sizeof options.tail - 1] = (unsigned char)value_i64(c, field);
  }
  field = yyjson_mut_obj_get(given, "size");
  if (field != NULL) options.known.size = (uint32_t)value_i64(c, field);
  field = yyjson_mut_obj_get(given, "flags");
  if (field != NULL) options.known.flags = (uint32_t)value_i64(c, field);
  mctx_context context;
  out_prepare(&context, sizeof context);
  c->status =
      mctx_context_open(given == NULL ? NULL : &options.known, POINTER(c, "context", &context), ERROR(c));
  if (!arg_null(c, "context")) out_check(c, &context, sizeof context);
  if (c->status == MCTX_OK) result_handle(c, "context", context, MCTX_HANDLE_CONTEXT);
}

static void context_publications(call *c) {
  mctx_publication publications[64];
  uint32_t capacity = (uint32_t)arg_u64(c, "capacity", 64);
  uint32_t count;
  out_prepare(&count, sizeof count);
  c->status = mctx_context_publications(arg_u64(c, "context", 0), POINTER(c, "publications", publications),
                                        capacity > 64 ? 64 : capacity, POINTER(c, "count", &count), ERROR(c));
  if (!arg_null(c, "count")) out_check(c, &count, sizeof count);
  if (c->status != MCTX_OK) return;
  value *list = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count && i < capacity && i < 64; i++) {
    yyjson_mut_arr_append(list, make_u64(c->doc, publications[i]));
  }
  result(c, "publications", list);
  result_int(c, "count", count);
}

const operation handle_operations[] = {{"mctx_close", close_handle},
                                       {"mctx_wake", wake},
                                       {"mctx_wait", wait_for},
                                       {"mctx_pollable", pollable},
                                       {"mctx_metrics", metrics},
                                       {"mctx_metric_name", metric_name},
                                       {"mctx_events", events},
                                       {"mctx_context_options_init", context_options_init},
                                       {"mctx_context_open", context_open},
                                       {"mctx_context_publications", context_publications},
                                       {NULL, NULL}};

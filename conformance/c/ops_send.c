/* SPDX-License-Identifier: MIT */
/* Sending. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static mctx_publication arg_publication(call *c) {
  return arg_u64(c, "publication", 0);
}

static void send_one(call *c) {
  mctx_slice payload = value_payload(c, arg(c, "payload"));
  c->status = mctx_send(arg_publication(c), payload.data, (size_t)payload.length, ERROR(c));
  payloads_free(&payload, 0);
}

static void send_batch(call *c) {
  size_t count = 0;
  mctx_slice *slices = value_payloads(c, arg(c, "payloads"), &count);
  uint64_t accepted = UINT64_MAX;
  c->status = mctx_send_batch(arg_publication(c), POINTER(c, "payloads", slices),
                              (size_t)arg_u64(c, "count", count), arg_bits(c, "flags", wait_flag_names),
                              arg_i64(c, "timeout_ns", 0), POINTER(c, "accepted", &accepted), ERROR(c));
  if (!arg_null(c, "accepted")) result_u64(c, "accepted", accepted);
  if (count == 0) {
    free(slices);
  } else {
    payloads_free(slices, count);
  }
}

static void send_segments(call *c) {
  mctx_slice payload = value_payload(c, arg(c, "payload"));
  uint64_t accepted = UINT64_MAX;
  c->status = mctx_send_segments(arg_publication(c), payload.data, (size_t)payload.length,
                                 (uint32_t)arg_u64(c, "segment_size", 0), arg_bits(c, "flags", wait_flag_names),
                                 arg_i64(c, "timeout_ns", 0), POINTER(c, "accepted", &accepted), ERROR(c));
  if (!arg_null(c, "accepted")) result_u64(c, "accepted", accepted);
  payloads_free(&payload, 0);
}

static void send_all(call *c) {
  mctx_slice payload = value_payload(c, arg(c, "payload"));
  mctx_send_outcome outcomes[MAX_LISTED];
  memset(outcomes, 0, sizeof outcomes);
  uint32_t capacity = arg_capacity(c);
  uint32_t count = UINT32_MAX;
  c->status = mctx_send_all(
      arg_u64(c, "context", 0), payload.data, (size_t)payload.length, POINTER(c, "outcomes", outcomes),
      (uint32_t)arg_u64(c, "stride", sizeof outcomes[0]), capacity, POINTER(c, "count", &count), ERROR(c));
  payloads_free(&payload, 0);
  value *list = yyjson_mut_arr(c->doc);
  for (uint32_t i = 0; i < count && i < capacity; i++) {
    if (arg_null(c, "outcomes") || outcomes[i].publication == 0) break;
    value *one = yyjson_mut_obj(c->doc);
    yyjson_mut_obj_add_val(c->doc, one, "publication", make_u64(c->doc, outcomes[i].publication));
    yyjson_mut_obj_add_val(c->doc, one, "status", make_status(c->doc, outcomes[i].status));
    yyjson_mut_arr_append(list, one);
  }
  result(c, "outcomes", list);
  if (!arg_null(c, "count")) result_int(c, "count", count);
}

const operation send_operations[] = {{"mctx_send", send_one},
                                     {"mctx_send_batch", send_batch},
                                     {"mctx_send_segments", send_segments},
                                     {"mctx_send_all", send_all},
                                     {NULL, NULL}};

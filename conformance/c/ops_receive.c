/* SPDX-License-Identifier: MIT */
/* Receiving. */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

#define BUFFER_SIZE       65536
#define ARENA_SIZE        (4 << 20)
#define DATAGRAM_CAPACITY 4096
#define MESSAGE_CAPACITY  4096
#define SHIFT             4 /* off the alignment that records need */

static mctx_subscription arg_subscription(call *c) {
  return arg_u64(c, "subscription", 0);
}

/* What of a message is known: null for the rest. */
static value *known(document *doc, const mctx_message *message, uint32_t bit, value *content) {
  return (message->present & bit) != 0 ? content : yyjson_mut_null(doc);
}

/* A datagram with what its message tells, which may be NULL. */
static value *make_received(document *doc, const void *payload, size_t length, bool truncated,
                            const mctx_message *m) {
  value *made = yyjson_mut_obj(doc);
  yyjson_mut_obj_add_val(doc, made, "payload", make_payload(doc, payload, length));
  yyjson_mut_obj_add_bool(doc, made, "truncated", truncated);
  if (m == NULL) return made;
  yyjson_mut_obj_add_val(doc, made, "source", known(doc, m, MCTX_META_SOURCE, make_address(doc, &m->source)));
  yyjson_mut_obj_add_val(doc, made, "group", known(doc, m, MCTX_META_GROUP, make_address(doc, &m->group)));
  yyjson_mut_obj_add_val(doc, made, "interface_index",
                         known(doc, m, MCTX_META_GROUP, yyjson_mut_sint(doc, m->interface_index)));
  yyjson_mut_obj_add_val(doc, made, "hop_limit",
                         known(doc, m, MCTX_META_HOP_LIMIT, yyjson_mut_sint(doc, m->hop_limit)));
  yyjson_mut_obj_add_val(doc, made, "traffic_class",
                         known(doc, m, MCTX_META_TRAFFIC_CLASS, yyjson_mut_sint(doc, m->traffic_class)));
  yyjson_mut_obj_add_val(doc, made, "time_ns", known(doc, m, MCTX_META_TIME, make_i64(doc, m->time_ns)));
  yyjson_mut_obj_add_val(doc, made, "drops", known(doc, m, MCTX_META_DROPS, make_u64(doc, m->drops)));
  return made;
}

/* A message as C has it. */
static value *make_message(document *doc, const mctx_message *m) {
  static const char *const flags[] = {"coalesced", "truncated", NULL};
  value *made = yyjson_mut_obj(doc);
  yyjson_mut_obj_add_val(doc, made, "present", make_bits(doc, m->present, metadata_names));
  yyjson_mut_obj_add_val(doc, made, "flags", make_bits(doc, m->flags, flags));
  yyjson_mut_obj_add_int(doc, made, "segment_size", m->segment_size);
  yyjson_mut_obj_add_val(doc, made, "length", make_u64(doc, m->length));
  yyjson_mut_obj_add_int(doc, made, "first_datagram", m->first_datagram);
  yyjson_mut_obj_add_int(doc, made, "datagram_count", m->datagram_count);
  return made;
}

static bool wants_records(call *c) {
  return yyjson_mut_is_true(arg(c, "records"));
}

static void *room(size_t size) {
  void *memory = malloc(size + SHIFT + 1);
  if (memory == NULL) exit(99);
  out_prepare(memory, size);
  return memory;
}

/* ---- one datagram ---- */

static void receive(call *c) {
  size_t capacity = (size_t)arg_u64(c, "capacity", BUFFER_SIZE);
  unsigned char *data = room(capacity);
  bool wanted = !arg_null(c, "message");
  size_t length;
  mctx_message message;
  out_prepare(&length, sizeof length);
  out_prepare(&message, sizeof message);
  c->status =
      mctx_recv(arg_subscription(c), POINTER(c, "data", data), capacity, arg_bits(c, "flags", wait_flag_names),
                arg_i64(c, "timeout_ns", 0), POINTER(c, "length", &length), wanted ? &message : NULL,
                (uint32_t)arg_u64(c, "message_size", wanted ? sizeof message : 0), ERROR(c));
  if (!arg_null(c, "length")) out_check(c, &length, sizeof length);
  bool whole = wanted && arg(c, "message_size") == NULL;
  if (whole) out_check(c, &message, sizeof message);
  if (c->status == MCTX_OK) {
    bool truncated = wanted && (message.flags & MCTX_MESSAGE_TRUNCATED) != 0;
    result(c, "datagram", make_received(c->doc, data, length, truncated, whole ? &message : NULL));
    if (wants_records(c)) result(c, "message", make_message(c->doc, &message));
  }
  free(data);
}

/* ---- many ---- */

static bool misaligned(call *c, const char *what) {
  const char *asked = arg_text(c, "misaligned");
  return asked != NULL && strcmp(asked, what) == 0;
}

/* A pointer to records, off their alignment if the step asks for that. */
static void *records(call *c, const char *what, void *memory) {
  return POINTER(c, what, (unsigned char *)memory + (misaligned(c, what) ? SHIFT : 0));
}

static mctx_receive_batch read_batch(call *c) {
  mctx_receive_batch batch;
  memset(&batch, 0, sizeof batch);
  batch.size = (uint32_t)arg_u64(c, "size", sizeof batch);
  batch.arena_size = arg_u64(c, "arena_size", ARENA_SIZE);
  batch.datagram_capacity = arg_u64(c, "datagram_capacity", DATAGRAM_CAPACITY);
  batch.message_capacity = arg_u64(c, "message_capacity", arg_null(c, "messages") ? 0 : MESSAGE_CAPACITY);
  batch.message_stride =
      (uint32_t)arg_u64(c, "message_stride", arg_null(c, "messages") ? 0 : sizeof(mctx_message));
  batch.reserved = (uint32_t)arg_u64(c, "reserved", 0);
  batch.datagram_count = batch.message_count = batch.flags = UINT32_MAX; /* rubbish */
  return batch;
}

static void show_batch(call *c, const mctx_receive_batch *batch) {
  static const char *const batch_flags[] = {"events", NULL};
  static const char *const datagram_flags[] = {"truncated", NULL};
  bool whole = batch->messages != NULL && batch->message_stride == sizeof(mctx_message);
  value *datagrams = yyjson_mut_arr(c->doc);
  value *raw = yyjson_mut_arr(c->doc);
  for (uint64_t i = 0; i < batch->datagram_count; i++) {
    const mctx_datagram *d = &batch->datagrams[i];
    const unsigned char *payload = (const unsigned char *)batch->arena + d->offset;
    const mctx_message *message =
        whole && d->message < batch->message_count ? &batch->messages[d->message] : NULL;
    bool truncated = (d->flags & MCTX_DATAGRAM_TRUNCATED) != 0;
    yyjson_mut_arr_append(datagrams, make_received(c->doc, payload, d->length, truncated, message));
    value *one = yyjson_mut_arr_add_obj(c->doc, raw);
    yyjson_mut_obj_add_int(c->doc, one, "offset", d->offset);
    yyjson_mut_obj_add_int(c->doc, one, "length", d->length);
    yyjson_mut_obj_add_int(c->doc, one, "message", d->message);
    yyjson_mut_obj_add_val(c->doc, one, "flags", make_bits(c->doc, d->flags, datagram_flags));
  }
  result(c, "datagrams", datagrams);
  if (!wants_records(c)) return;
  value *messages = yyjson_mut_arr(c->doc);
  for (uint64_t i = 0; whole && i < batch->message_count; i++) {
    yyjson_mut_arr_append(messages, make_message(c->doc, &batch->messages[i]));
  }
  result(c, "records", raw);
  result(c, "messages", messages);
  result_u64(c, "datagram_count", batch->datagram_count);
  result_u64(c, "message_count", batch->message_count);
  result(c, "flags", make_bits(c->doc, batch->flags, batch_flags));
}

static void receive_batch(call *c) {
  mctx_receive_batch batch = read_batch(c);
  void *arena = room((size_t)batch.arena_size);
  void *datagrams = room((size_t)batch.datagram_capacity * sizeof(mctx_datagram));
  void *messages = room((size_t)batch.message_capacity * (sizeof(mctx_message) + FUTURE_BYTES));
  batch.arena = POINTER(c, "arena", arena);
  batch.datagrams = records(c, "datagrams", datagrams);
  batch.messages = records(c, "messages", messages);
  c->status = mctx_recv_batch(arg_subscription(c), POINTER(c, "batch", &batch),
                              arg_bits(c, "flags", wait_flag_names), arg_i64(c, "timeout_ns", 0), ERROR(c));
  const uint64_t counts[] = {batch.datagram_count, batch.message_count};
  if (!arg_null(c, "batch") && batch.size == sizeof batch) out_check(c, counts, sizeof counts);
  if (c->status == MCTX_OK) show_batch(c, &batch);
  free(arena);
  free(datagrams);
  free(messages);
}

const operation receive_operations[] = {
    {"mctx_recv", receive}, {"mctx_recv_batch", receive_batch}, {NULL, NULL}};

/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include "context.h"
#include "pause.h"
#include "publication.h"

void mctx__counters_await(mctx__counters *counters) {
  for (uint32_t round = 0; atomic_flag_test_and_set_explicit(&counters->lock, memory_order_acquire); round++)
    mctx__pause(round);
}

void mctx__counters_failed(mctx__counters *counters, uint64_t packets, uint64_t bytes, mctx_status status) {
  uint32_t kind = mctx_status_kind(status);
  mctx__counters_lock(counters);
  counters->send_calls++;
  counters->packets_sent += packets;
  counters->bytes_sent += bytes;
  counters->send_errors++;
  counters->errors[kind < MCTX__KINDS ? kind : MCTX_KIND_INTERNAL]++;
  mctx__counters_unlock(counters);
}

void mctx__counters_add(mctx__counters *sum, mctx__counters *from) {
  mctx__counters_lock(from);
  sum->send_calls += from->send_calls;
  sum->packets_sent += from->packets_sent;
  sum->bytes_sent += from->bytes_sent;
  sum->send_errors += from->send_errors;
  for (uint32_t kind = 0; kind < MCTX__KINDS; kind++)
    sum->errors[kind] += from->errors[kind];
  sum->drained += from->drained;
  sum->reconnects += from->reconnects;
  mctx__counters_unlock(from);
}

/* ---- vectors ---- */

/* Positions are append-only: a new counter goes to the end, that of a new kind of failure too. */
#define ONE_BYTE(NAME, number, name, text) 0,
_Static_assert(sizeof((char[]){MCTX_KIND_MAP(ONE_BYTE)}) == 14, "a new kind would move the counters behind");
#define ERROR_NAME(NAME, number, name, text) "errors_" name,

static const char *const publication_names[] = {
    "send_calls", "packets_sent", "bytes_sent", "send_errors", MCTX_KIND_MAP(ERROR_NAME) "drained_errors",
    "reconnects"};

#define TOTAL_ERROR_NAME(NAME, number, name, text) "total_errors_" name,

static const char *const context_names[] = {
    "publications_added",  "publications_removed",
    "active_publications", "total_send_calls",
    "total_packets_sent",  "total_bytes_sent",
    "total_send_errors",   MCTX_KIND_MAP(TOTAL_ERROR_NAME) "total_drained_errors",
    "total_reconnects"};

enum {
  PUBLICATION_COUNT = sizeof publication_names / sizeof publication_names[0],
  CONTEXT_COUNT = sizeof context_names / sizeof context_names[0],
  CONTEXT_OWN = CONTEXT_COUNT - PUBLICATION_COUNT
};

const char *mctx_metric_name(uint32_t handle_kind, uint32_t position) {
  if (handle_kind == MCTX_HANDLE_PUBLICATION && position < PUBLICATION_COUNT)
    return publication_names[position];
  if (handle_kind == MCTX_HANDLE_CONTEXT && position < CONTEXT_COUNT) return context_names[position];
  return NULL;
}

static void write_counters(const mctx__counters *counters, uint64_t *vector) {
  *vector++ = counters->send_calls;
  *vector++ = counters->packets_sent;
  *vector++ = counters->bytes_sent;
  *vector++ = counters->send_errors;
  for (uint32_t kind = MCTX_KIND_INTERNAL; kind < MCTX__KINDS; kind++)
    *vector++ = counters->errors[kind];
  *vector++ = counters->drained;
  *vector++ = counters->reconnects;
}

static uint32_t read_publication(mctx__publication *publication, uint64_t *vector) {
  mctx__counters sum = {0};
  mctx__counters_add(&sum, &publication->counters);
  write_counters(&sum, vector);
  return PUBLICATION_COUNT;
}

static uint32_t read_context(mctx__context *context, uint64_t *vector) {
  mctx__counters sum = {0};
  mctx__context_totals(context, &sum, &vector[0], &vector[1]);
  vector[2] = vector[0] - vector[1];
  write_counters(&sum, vector + CONTEXT_OWN);
  return CONTEXT_COUNT;
}

mctx_status mctx_metrics(mctx_handle handle, uint64_t *values, uint32_t capacity, uint32_t *count,
                         mctx_error *error) {
  const mctx__call call = {__func__, handle, error};
  mctx__object *object;
  uint64_t vector[CONTEXT_COUNT];
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "count");
  if (values == NULL && capacity > 0) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "values");
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return status;

  if (object->class->kind == MCTX_HANDLE_PUBLICATION)
    *count = read_publication((mctx__publication *)object, vector);
  else if (object->class->kind == MCTX_HANDLE_CONTEXT)
    *count = read_context((mctx__context *)object, vector);
  else
    status = mctx__handle_failed(&call, MCTX_ERR_WRONG_HANDLE);
  for (uint32_t i = 0; i < *count && i < capacity; i++)
    values[i] = vector[i];
  mctx__unpin(object);
  return status;
}

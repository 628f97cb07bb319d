/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include "context.h"
#include "pause.h"
#include "publication.h"
#include "subscription.h"

void mctx__counters_await(mctx__counters *counters) {
  for (uint32_t round = 0; atomic_flag_test_and_set_explicit(&counters->lock, memory_order_acquire); round++)
    mctx__pause(round);
}

void mctx__counters_failed(mctx__counters *counters, mctx__sent sent, mctx_status status) {
  uint32_t kind = mctx_status_kind(status);
  mctx__counters_lock(counters);
  counters->send_calls++;
  counters->packets_sent += sent.packets;
  counters->bytes_sent += sent.bytes;
  counters->superpackets += sent.superpackets;
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
  sum->superpackets += from->superpackets;
  sum->offload_refusals += from->offload_refusals;
  mctx__counters_unlock(from);
}

void mctx__receive_counters_add(mctx__receive_counters *sum, const mctx__receive_counters *from) {
  sum->receive_calls += from->receive_calls;
  sum->packets_received += from->packets_received;
  sum->bytes_received += from->bytes_received;
  sum->messages_received += from->messages_received;
  sum->receive_errors += from->receive_errors;
  for (uint32_t kind = 0; kind < MCTX__KINDS; kind++)
    sum->errors[kind] += from->errors[kind];
  sum->kernel_drops += from->kernel_drops;
  sum->truncated += from->truncated;
  for (uint32_t reason = 0; reason < MCTX__DISCARDS; reason++)
    sum->discarded[reason] += from->discarded[reason];
  sum->memberships_rebuilt += from->memberships_rebuilt;
}

/* ---- vectors ---- */

/* Positions are append-only: a new counter goes to the end, that of a new kind of failure too. */
#define ONE_BYTE(NAME, number, name, text) 0,
_Static_assert(sizeof((char[]){MCTX_KIND_MAP(ONE_BYTE)}) == 14, "a new kind would move the counters behind");
#define ERROR_NAME(NAME, number, name, text) "errors_" name,

static const char *const publication_names[] = {"send_calls",
                                                "packets_sent",
                                                "bytes_sent",
                                                "send_errors",
                                                MCTX_KIND_MAP(ERROR_NAME) "drained_errors",
                                                "reconnects",
                                                "superpackets_sent",
                                                "offload_refusals"};

static const char *const subscription_names[] = {
    "receive_calls",       "packets_received",  "bytes_received",
    "messages_received",   "receive_errors",    MCTX_KIND_MAP(ERROR_NAME) "kernel_drops",
    "truncated",           "discarded_unicast", "discarded_group",
    "discarded_interface", "discarded_source",  "discarded_copy",
    "memberships_rebuilt"};

#define TOTAL_RECEIVE_ERROR_NAME(NAME, number, name, text) "total_receive_errors_" name,
#define TOTAL_ERROR_NAME(NAME, number, name, text)         "total_errors_" name,

static const char *const context_names[] = {
    "publications_added",        "publications_removed",
    "active_publications",       "total_send_calls",
    "total_packets_sent",        "total_bytes_sent",
    "total_send_errors",         MCTX_KIND_MAP(TOTAL_ERROR_NAME) "total_drained_errors",
    "total_reconnects",          "subscriptions_added",
    "subscriptions_removed",     "active_subscriptions",
    "total_receive_calls",       "total_packets_received",
    "total_bytes_received",      "total_messages_received",
    "total_receive_errors",      MCTX_KIND_MAP(TOTAL_RECEIVE_ERROR_NAME) "total_kernel_drops",
    "total_truncated",           "total_discarded_unicast",
    "total_discarded_group",     "total_discarded_interface",
    "total_discarded_source",    "total_discarded_copy",
    "total_memberships_rebuilt", "total_superpackets_sent",
    "total_offload_refusals"};

enum {
  PUBLICATION_COUNT = sizeof publication_names / sizeof publication_names[0],
  SUBSCRIPTION_COUNT = sizeof subscription_names / sizeof subscription_names[0],
  CONTEXT_COUNT = sizeof context_names / sizeof context_names[0],
  OFFLOAD_COUNT = 2, /* of a publication's: the last, and the last of the context's */
  CONTEXT_SENT = 3,  /* where the sums of sending start, and what there is of subscriptions */
  CONTEXT_SUBSCRIPTIONS = CONTEXT_SENT + PUBLICATION_COUNT - OFFLOAD_COUNT,
  CONTEXT_RECEIVED = CONTEXT_SUBSCRIPTIONS + 3,
  CONTEXT_OFFLOAD = CONTEXT_RECEIVED + SUBSCRIPTION_COUNT
};
_Static_assert(CONTEXT_OFFLOAD + OFFLOAD_COUNT == CONTEXT_COUNT, "every counter of a child has its sum");

const char *mctx_metric_name(uint32_t handle_kind, uint32_t position) {
  if (handle_kind == MCTX_HANDLE_PUBLICATION && position < PUBLICATION_COUNT)
    return publication_names[position];
  if (handle_kind == MCTX_HANDLE_SUBSCRIPTION && position < SUBSCRIPTION_COUNT)
    return subscription_names[position];
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

static void write_offload(const mctx__counters *counters, uint64_t *vector) {
  vector[0] = counters->superpackets;
  vector[1] = counters->offload_refusals;
}

static uint32_t read_publication(mctx__publication *publication, uint64_t *vector) {
  mctx__counters sum = {0};
  mctx__counters_add(&sum, &publication->counters);
  write_counters(&sum, vector);
  write_offload(&sum, vector + PUBLICATION_COUNT - OFFLOAD_COUNT);
  return PUBLICATION_COUNT;
}

static void write_received(const mctx__receive_counters *counters, uint64_t *vector) {
  *vector++ = counters->receive_calls;
  *vector++ = counters->packets_received;
  *vector++ = counters->bytes_received;
  *vector++ = counters->messages_received;
  *vector++ = counters->receive_errors;
  for (uint32_t kind = MCTX_KIND_INTERNAL; kind < MCTX__KINDS; kind++)
    *vector++ = counters->errors[kind];
  *vector++ = counters->kernel_drops;
  *vector++ = counters->truncated;
  for (uint32_t reason = 0; reason < MCTX__DISCARDS; reason++)
    *vector++ = counters->discarded[reason];
  *vector++ = counters->memberships_rebuilt;
}

static uint32_t read_subscription(mctx__subscription *subscription, uint64_t *vector) {
  mctx__subscription_lock(subscription);
  const mctx__receive_counters counters = subscription->counters;
  mctx__subscription_unlock(subscription);
  write_received(&counters, vector);
  return SUBSCRIPTION_COUNT;
}

static uint32_t read_context(mctx__context *context, uint64_t *vector) {
  mctx__counters sum = {0};
  mctx__context_totals(context, &sum, &vector[0], &vector[1]);
  vector[2] = vector[0] - vector[1];
  write_counters(&sum, vector + CONTEXT_SENT);

  write_offload(&sum, vector + CONTEXT_OFFLOAD);

  mctx__receive_counters received = {0};
  vector += CONTEXT_SUBSCRIPTIONS;
  mctx__context_received(context, &received, &vector[0], &vector[1]);
  vector[2] = vector[0] - vector[1];
  write_received(&received, vector + 3);
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
  else if (object->class->kind == MCTX_HANDLE_SUBSCRIPTION)
    *count = read_subscription((mctx__subscription *)object, vector);
  else if (object->class->kind == MCTX_HANDLE_CONTEXT)
    *count = read_context((mctx__context *)object, vector);
  else
    status = mctx__handle_failed(&call, MCTX_ERR_WRONG_HANDLE);
  for (uint32_t i = 0; i < *count && i < capacity; i++)
    values[i] = vector[i];
  mctx__unpin(object);
  return status;
}

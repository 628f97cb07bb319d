/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <string.h>

#include "context.h"
#include "pause.h"
#include "publication.h"
#include "subscription.h"

static void count_failed(mctx__send_counters *counters, mctx__sent sent, mctx_status status) {
  const uint32_t kind = mctx_status_kind(status);
  const uint32_t known = kind < MCTX__KINDS ? kind : MCTX_KIND_INTERNAL;
  const uint64_t version = mctx__counters_begin(counters);
  mctx__count(counters, MCTX__SEND_CALLS, 1);
  mctx__count(counters, MCTX__PACKETS_SENT, sent.packets);
  mctx__count(counters, MCTX__BYTES_SENT, sent.bytes);
  mctx__count(counters, MCTX__SUPERPACKETS_SENT, sent.superpackets);
  mctx__count(counters, MCTX__SEND_ERRORS, 1);
  mctx__count(counters, MCTX__ERRORS_SENDING + known - MCTX_KIND_INTERNAL, 1);
  mctx__counters_end(counters, version);
}

/* Whether nothing changed meanwhile. */
static bool read_counters(const mctx__send_counters *counters, uint64_t *values) {
  const uint64_t version = atomic_load_explicit(&counters->version, memory_order_acquire);
  for (uint32_t i = 0; i < MCTX__SEND_COUNTERS; i++)
    values[i] = atomic_load_explicit(&counters->values[i], memory_order_acquire);
  return version % 2 == 0 && atomic_load_explicit(&counters->version, memory_order_relaxed) == version;
}

void mctx__counters_add(uint64_t *sums, const mctx__send_counters *from) {
  uint64_t values[MCTX__SEND_COUNTERS];
  for (uint32_t round = 0; !read_counters(from, values); round++)
    mctx__pause(round);
  for (uint32_t i = 0; i < MCTX__SEND_COUNTERS; i++)
    sums[i] += values[i];
}

void mctx__publication_count(mctx__publication *publication, uint32_t which, uint64_t more) {
  mctx__publication_lock(publication);
  const uint64_t version = mctx__counters_begin(&publication->counters);
  mctx__count(&publication->counters, which, more);
  mctx__counters_end(&publication->counters, version);
  mctx__publication_unlock(publication);
}

void mctx__publication_sent(mctx__publication *publication, mctx__sent sent) {
  mctx__publication_lock(publication);
  mctx__count_sent(&publication->counters, sent);
  mctx__publication_unlock(publication);
}

void mctx__publication_failed(mctx__publication *publication, mctx__sent sent, mctx_status status) {
  mctx__publication_lock(publication);
  count_failed(&publication->counters, sent, status);
  mctx__publication_unlock(publication);
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
_Static_assert((int)PUBLICATION_COUNT == (int)MCTX__SEND_COUNTERS, "every counter of sending has its name");
_Static_assert(CONTEXT_OFFLOAD + OFFLOAD_COUNT == CONTEXT_COUNT, "every counter of a child has its sum");

const char *mctx_metric_name(uint32_t handle_kind, uint32_t position) {
  if (handle_kind == MCTX_HANDLE_PUBLICATION && position < PUBLICATION_COUNT)
    return publication_names[position];
  if (handle_kind == MCTX_HANDLE_SUBSCRIPTION && position < SUBSCRIPTION_COUNT)
    return subscription_names[position];
  if (handle_kind == MCTX_HANDLE_CONTEXT && position < CONTEXT_COUNT) return context_names[position];
  return NULL;
}

static uint32_t read_publication(mctx__publication *publication, uint64_t *vector) {
  memset(vector, 0, MCTX__SEND_COUNTERS * sizeof *vector);
  mctx__counters_add(vector, &publication->counters);
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
  uint64_t sums[MCTX__SEND_COUNTERS] = {0};
  mctx__context_totals(context, sums, &vector[0], &vector[1]);
  vector[2] = vector[0] - vector[1];
  memcpy(vector + CONTEXT_SENT, sums, (MCTX__SEND_COUNTERS - OFFLOAD_COUNT) * sizeof *sums);
  memcpy(vector + CONTEXT_OFFLOAD, sums + MCTX__SEND_COUNTERS - OFFLOAD_COUNT, OFFLOAD_COUNT * sizeof *sums);

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

/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publication.h"
#include "sim.h"

enum { TIGHT_ROOM = 5, JUMBO = 65508, RETRY_AFTER = 65536, METRICS = 64 };

static mctx_context context;
static mctx_publication publications[BATCH_MODES][2]; /* without offload, with it */
static uint64_t identities[BATCH_MAX];
static unsigned char jumbo[JUMBO];
static uint64_t accepted_in_all;
static uint64_t refusals_in_all;

/* ---- set-up ---- */

static mctx_publication open_mode(batch_mode mode, bool offload) {
  mctx_publication_options options;
  mctx_publication publication = 0;
  mctx_publication_options_init(&options, sizeof options);
  options.group = (mctx_address){.family = 4, .port = 5000, .bytes = {239, 1, offload, (uint8_t)mode}};
  options.loopback = mode == BATCH_LOOPBACK || mode == BATCH_SINGLY || mode == BATCH_ONE_BY_ONE;
  options.error_queue = mode == BATCH_QUEUE || mode == BATCH_SINGLY;
  options.offload = offload;
  mctx_sim_buffer(mode == BATCH_TIGHT ? TIGHT_ROOM : 0, 1000);
  if (mctx_publication_open(context, &options, &publication, NULL) != MCTX_OK) {
    fprintf(stderr, "cannot open a publication\n");
    exit(2);
  }
  return publication;
}

int batch_setup(void **state) {
  (void)state;
  mctx_sim_reset();
  for (uint64_t i = 0; i < BATCH_MAX; i++)
    identities[i] = (i + 1) * UINT64_C(0x0101010101010101);
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) exit(2);
  for (int mode = 0; mode < BATCH_MODES; mode++)
    for (int offload = 0; offload < 2; offload++)
      publications[mode][offload] = open_mode((batch_mode)mode, offload != 0);
  accepted_in_all = refusals_in_all = 0;
  return 0;
}

int batch_teardown(void **state) {
  (void)state;
  mctx_sim_clear_faults();
  (void)mctx_close(context, NULL);
  return mctx_sim_open_sockets() == 0 && mctx_sim_misuses() == 0 ? 0 : -1;
}

uint64_t batch_accepted(void) {
  return accepted_in_all;
}

uint64_t batch_refusals(void) {
  return refusals_in_all;
}

/* ---- what happens ---- */

static mctx_publication publication_of(const batch_case *batch) {
  return publications[batch->mode][batch->offload];
}

static mctx_status perform(const batch_case *batch, uint64_t *accepted, mctx_error *error) {
  static mctx_slice slices[BATCH_MAX];
  const mctx_publication publication = publication_of(batch);
  const uint32_t last = batch_length(batch, batch->count - 1);
  if (batch->segments)
    return mctx_send_segments(publication, identities, (size_t)(batch->count - 1) * sizeof identities[0] + last,
                              sizeof identities[0], batch->flags, batch->timeout_ns, accepted, error);
  for (uint32_t i = 0; i < batch->count; i++) {
    slices[i].data = &identities[i];
    slices[i].length = batch_length(batch, i);
  }
  if (batch->too_large < batch->count) {
    slices[batch->too_large].data = jumbo;
    slices[batch->too_large].length = JUMBO;
  }
  return mctx_send_batch(publication, slices, batch->count, batch->flags, batch->timeout_ns, accepted, error);
}

static bool broken(const batch_case *batch, const char *what, uint64_t is, uint64_t should_be) {
  fprintf(
      stderr,
      "%s: %llu, not %llu; mode %d, offload %d, %u datagrams of shape %d by %s, timeout %lld, flags %u, too "
      "large %d;",
      what, (unsigned long long)is, (unsigned long long)should_be, (int)batch->mode, batch->offload,
      batch->count, (int)batch->shape, batch->segments ? "segments" : "slices", (long long)batch->timeout_ns,
      batch->flags, (int)batch->too_large);
  for (uint32_t i = 0; i < batch->fault_count; i++) {
    const batch_fault *fault = &batch->faults[i];
    if (fault->value < 0)
      fprintf(stderr, " call %u, after %u: %s (type %u);", fault->call, fault->messages,
              mctx_status_name((mctx_status)fault->value), fault->type);
    else
      fprintf(stderr, " call %u: %d (type %u);", fault->call, (int)fault->value, fault->type);
  }
  if (batch->wait.call != 0)
    fprintf(stderr, " wait %u: %s", batch->wait.call, mctx_status_name((mctx_status)batch->wait.value));
  fprintf(stderr, "\n");
  return false;
}

/* The wire holds the first `accepted` datagrams in order, each once; besides, at most one that was refused
 * after it had reached this host, and that is the next. */
static bool check_wire(const batch_case *batch, uint64_t accepted) {
  uint64_t total = mctx_sim_wire_count();
  uint64_t sent = 0, local = 0;
  for (uint64_t i = 0; i < total; i++) {
    const mctx_sim_datagram *datagram = mctx__sim_wire_look(i);
    if (sent >= batch->count) return broken(batch, "on the wire", total, batch->count);
    const uint64_t length = batch_length(batch, (uint32_t)sent);
    if (datagram->length != length) return broken(batch, "length", datagram->length, length);
    if (memcmp(datagram->payload, &identities[sent], (size_t)length) != 0)
      return broken(batch, "payload", datagram->payload[0], sent + 1);
    if (datagram->local_only)
      local++;
    else
      sent++;
  }
  if (sent != accepted) return broken(batch, "on the wire", sent, accepted);
  if (local > 1) return broken(batch, "refused, and on this host", local, 1);
  return true;
}

static bool check_error(const batch_case *batch, const mctx_error *error, uint64_t accepted,
                        mctx_status status) {
  uint32_t flags =
      status == MCTX_ERR_QUEUE_FULL && batch->mode == BATCH_SINGLY ? MCTX_ERROR_DELIVERED_LOCALLY : 0;
  if (status == MCTX_OK) {
    static const mctx_error untouched = MCTX_ERROR_INIT;
    return memcmp(error, &untouched, sizeof untouched) == 0 || broken(batch, "the error record", 1, 0);
  }
  if (error->status != status)
    return broken(batch, "error.status", (uint64_t)-error->status, (uint64_t)-status);
  if (error->item != (int64_t)accepted) return broken(batch, "error.item", (uint64_t)error->item, accepted);
  if (error->flags != flags) return broken(batch, "error.flags", error->flags, flags);
  if (flags != 0 && error->retry != MCTX_RETRY_NEVER) return broken(batch, "error.retry", error->retry, 0);
  return true;
}

/* With a buffer that fills by itself, when the batch ends depends on time: only the rules that always hold. */
static bool check_tight(const batch_case *batch, uint64_t accepted, mctx_status status) {
  if ((status == MCTX_OK) != (accepted == batch->count))
    return broken(batch, "status 0 exactly when all were accepted", accepted, batch->count);
  if (status == MCTX_ERR_WOULD_BLOCK && batch->timeout_ns != 0)
    return broken(batch, "would_block of a waiting call", 1, 0);
  return true;
}

static void schedule(const batch_case *batch) {
  mctx_sim_wire_clear();
  mctx_sim_clear_faults();
  for (uint32_t i = 0; i < batch->fault_count; i++) {
    const batch_fault *fault = &batch->faults[i];
    (void)mctx_sim_fault_after(MCTX_SIM_SEND, fault->call, fault->messages, fault->type, fault->value);
  }
  if (batch->wait.call != 0)
    (void)mctx_sim_fault(MCTX_SIM_WAIT, batch->wait.call, batch->wait.type, batch->wait.value);
  if (batch->mode == BATCH_TIGHT) mctx_sim_advance(1000000);
  mctx_sim_capability_set(MCTX_CAPABILITY_BATCH_SEND,
                          batch->mode == BATCH_ONE_BY_ONE ? MCTX_CAPABILITY_ABSENT : MCTX_CAPABILITY_AVAILABLE);
}

/* ---- offload ---- */

/* Superpackets that the publication counts as refused. */
static uint64_t refusals_counted(const batch_case *batch) {
  static uint32_t at;
  uint64_t values[METRICS];
  uint32_t count = 0;
  if (!batch->offload) return 0;
  while (strcmp(mctx_metric_name(MCTX_HANDLE_PUBLICATION, at), "offload_refusals") != 0)
    at++;
  return mctx_metrics(publication_of(batch), values, METRICS, &count, NULL) == MCTX_OK ? values[at]
                                                                                       : UINT64_MAX;
}

/* What the publication tells of its limits. */
static bool check_limits(const batch_case *batch, const batch_progress *expected) {
  mctx_publication_info info = {.size = sizeof info};
  if (mctx_publication_get_info(publication_of(batch), &info, NULL) != MCTX_OK)
    return broken(batch, "info", 1, 0);
  if (info.segment_count_limit != expected->limits.count)
    return broken(batch, "segment_count_limit", info.segment_count_limit, expected->limits.count);
  if (info.segment_size_limit != expected->limits.size)
    return broken(batch, "segment_size_limit", info.segment_size_limit, expected->limits.size);
  if (info.offload_status != expected->told)
    return broken(batch, "offload_status", (uint64_t)-info.offload_status, (uint64_t)-expected->told);
  return (info.offload_os_code != 0) == (expected->told != MCTX_OK) || broken(batch, "offload_os_code", 0, 1);
}

/* As it was before: what many datagrams that go alone would come to. */
static void forget_limits(const batch_case *batch) {
  mctx__object *object = mctx__pin_live(publication_of(batch));
  mctx__offload_went_alone(&((mctx__publication *)object)->offload, RETRY_AFTER);
  mctx__unpin(object);
}

/* The interface and the system, as they were. */
static void mend_system(const batch_case *batch) {
  bool is_changed = false;
  for (uint32_t i = 0; i < batch->fault_count; i++)
    is_changed |= batch->faults[i].type == MCTX_SIM_NEW_MTU || batch->faults[i].type == MCTX_SIM_NEW_SEGMENTS;
  if (!is_changed) return;
  (void)mctx_sim_interface_set(
      2, "eth0",
      MCTX_INTERFACE_UP | MCTX_INTERFACE_RUNNING | MCTX_INTERFACE_MULTICAST | MCTX_INTERFACE_BROADCAST, 1500);
  (void)mctx_sim_limit_set(MCTX_SIM_SEGMENTS, MCTX__SEGMENTS_MAX);
}

/* Errors that the batch had no reason to take. */
static void drain(const batch_case *batch) {
  mctx__object *object = mctx__pin_live(publication_of(batch));
  (void)mctx__publication_drain((mctx__publication *)object);
  mctx__unpin(object);
}

/* ---- one case ---- */

static bool check_outcome(const batch_case *batch, const batch_progress *expected, uint64_t accepted,
                          mctx_status status, uint64_t superpackets) {
  if (accepted != expected->accepted) return broken(batch, "accepted", accepted, expected->accepted);
  if (status != expected->status)
    return broken(batch, "status", (uint64_t)-status, (uint64_t)-expected->status);
  if (superpackets != expected->superpackets)
    return broken(batch, "superpackets", superpackets, expected->superpackets);
  if (mctx_sim_pending_errors() != expected->pending_errors)
    return broken(batch, "errors left on the socket", mctx_sim_pending_errors(), expected->pending_errors);
  return expected->refusals == 0 || check_limits(batch, expected);
}

static bool run_expecting(const batch_case *batch, const batch_progress *expected) {
  uint64_t accepted = 77;
  mctx_error error = MCTX_ERROR_INIT;
  const uint64_t superpackets = mctx_sim_superpackets();
  const uint64_t counted = refusals_counted(batch);
  schedule(batch);
  const mctx_status status = perform(batch, &accepted, &error);
  accepted_in_all += accepted;
  if (batch->mode == BATCH_TIGHT) {
    if (!check_tight(batch, accepted, status)) return false;
  } else {
    refusals_in_all += expected->refusals;
    if (!check_outcome(batch, expected, accepted, status, mctx_sim_superpackets() - superpackets)) return false;
    const uint64_t refusals = refusals_counted(batch) - counted;
    if (refusals != expected->refusals) return broken(batch, "offload_refusals", refusals, expected->refusals);
  }
  return check_error(batch, &error, accepted, status) && check_wire(batch, accepted);
}

bool batch_run(const batch_case *batch) {
  batch_progress expected;
  batch_begin(&expected);
  while (!expected.over)
    batch_step(batch, &expected);
  const bool is_kept = run_expecting(batch, &expected);
  if (mctx_sim_pending_errors() > 0) drain(batch);
  if (batch->offload) forget_limits(batch);
  mend_system(batch);
  return is_kept;
}

/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum { SIZE = 8, LAST_SHORTER = 3, TIGHT_ROOM = 5, JUMBO = 65508 };

static mctx_context context;
static mctx_publication publications[BATCH_MODES];
static uint64_t identities[BATCH_MAX];
static unsigned char jumbo[JUMBO];
static uint64_t accepted_in_all;

bool batch_goes_singly(batch_mode mode) {
  return mode == BATCH_SINGLY || mode == BATCH_ONE_BY_ONE;
}

bool batch_add_fault(batch_case *batch, uint32_t call, uint32_t type, int64_t value) {
  if (batch->fault_count == BATCH_FAULTS) return false;
  batch->faults[batch->fault_count++] = (batch_fault){call, type, value};
  return true;
}

/* ---- set-up ---- */

static void open_mode(batch_mode mode) {
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  options.group = (mctx_address){.family = 4, .port = 5000, .bytes = {239, 1, 1, (uint8_t)mode}};
  options.loopback = mode == BATCH_LOOPBACK || mode == BATCH_SINGLY || mode == BATCH_ONE_BY_ONE;
  options.error_queue = mode == BATCH_QUEUE || mode == BATCH_SINGLY;
  mctx_sim_buffer(mode == BATCH_TIGHT ? TIGHT_ROOM : 0, 1000);
  if (mctx_publication_open(context, &options, &publications[mode], NULL) != MCTX_OK) {
    fprintf(stderr, "cannot open a publication\n");
    exit(2);
  }
}

void batch_setup(void) {
  mctx_sim_reset();
  for (uint64_t i = 0; i < BATCH_MAX; i++)
    identities[i] = (i + 1) * UINT64_C(0x0101010101010101);
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) exit(2);
  for (int mode = 0; mode < BATCH_MODES; mode++)
    open_mode((batch_mode)mode);
  accepted_in_all = 0;
}

void batch_teardown(void) {
  mctx_sim_clear_faults();
  (void)mctx_close(context, NULL);
}

uint64_t batch_accepted(void) {
  return accepted_in_all;
}

/* ---- what must happen ---- */

typedef struct outcome {
  uint64_t accepted;
  mctx_status status;
} outcome;

typedef struct progress {
  bool tried;     /* the next datagram failed once */
  uint32_t waits; /* so far */
} progress;

static mctx_status after_signal(const batch_case *batch) {
  return batch->flags & MCTX_INTERRUPTIBLE ? MCTX_ERR_SIGNAL : MCTX_OK;
}

/* Something is always ready or over at once, unless the wait itself fails. */
static mctx_status after_wait(const batch_case *batch, progress *now) {
  now->tried = false;
  if (++now->waits != batch->wait.call) return MCTX_OK;
  if (batch->wait.value != MCTX_ERR_SIGNAL) return (mctx_status)batch->wait.value;
  mctx_status status = after_signal(batch);
  return status != MCTX_OK ? status : after_wait(batch, now);
}

/* What a refusal of the next datagram leads to. MCTX_OK: the batch goes on. */
static mctx_status after_refusal(const batch_case *batch, mctx_status refusal, progress *now) {
  switch (refusal) {
    case MCTX_ERR_WOULD_BLOCK:
      return batch->timeout_ns == 0 ? refusal : after_wait(batch, now);
    case MCTX_ERR_QUEUE_FULL:
      return batch->timeout_ns == 0 || batch->mode == BATCH_SINGLY ? refusal : after_wait(batch, now);
    case MCTX_ERR_FIREWALL:
      return refusal;
    case MCTX_ERR_SIGNAL:
      return after_signal(batch);
    default:
      if (now->tried) return refusal;
      now->tried = true;
      return MCTX_OK;
  }
}

/* The promise as a program: calls one after the other, what each takes, and how the batch ends. */
static outcome expect(const batch_case *batch) {
  outcome end = {0, MCTX_OK};
  uint32_t last = batch->too_large < batch->count ? batch->too_large : batch->count;
  progress now = {false, 0};
  uint32_t next = 0;
  for (uint32_t call = 1; end.accepted < last; call++) {
    uint64_t takes = batch_goes_singly(batch->mode) ? 1 : last - end.accepted;
    if (next < batch->fault_count && batch->faults[next].call == call) {
      const batch_fault *fault = &batch->faults[next++];
      if (fault->type != MCTX_SIM_PARTIAL) {
        end.status = after_refusal(batch, (mctx_status)fault->value, &now);
        if (end.status != MCTX_OK) return end;
        continue;
      }
      if ((uint64_t)fault->value < takes) takes = (uint64_t)fault->value;
    }
    end.accepted += takes;
    now.tried = false;
  }
  if (last < batch->count) end.status = MCTX_ERR_DATAGRAM_TOO_LARGE;
  return end;
}

/* ---- what happens ---- */

static mctx_status perform(const batch_case *batch, uint64_t *accepted, mctx_error *error) {
  static mctx_slice slices[BATCH_MAX];
  mctx_publication publication = publications[batch->mode];
  if (batch->segments)
    return mctx_send_segments(publication, identities, (size_t)batch->count * SIZE - LAST_SHORTER, SIZE,
                              batch->flags, batch->timeout_ns, accepted, error);
  for (uint32_t i = 0; i < batch->count; i++) {
    slices[i].data = &identities[i];
    slices[i].length = SIZE;
  }
  if (batch->too_large < batch->count) {
    slices[batch->too_large].data = jumbo;
    slices[batch->too_large].length = JUMBO;
  }
  return mctx_send_batch(publication, slices, batch->count, batch->flags, batch->timeout_ns, accepted, error);
}

static bool broken(const batch_case *batch, const char *what, uint64_t is, uint64_t should_be) {
  fprintf(stderr, "%s: %llu, not %llu; mode %d, %u datagrams by %s, timeout %lld, flags %u, too large %d;",
          what, (unsigned long long)is, (unsigned long long)should_be, (int)batch->mode, batch->count,
          batch->segments ? "segments" : "slices", (long long)batch->timeout_ns, batch->flags,
          (int)batch->too_large);
  for (uint32_t i = 0; i < batch->fault_count; i++) {
    const batch_fault *fault = &batch->faults[i];
    if (fault->type == MCTX_SIM_PARTIAL)
      fprintf(stderr, " call %u takes %d;", fault->call, (int)fault->value);
    else
      fprintf(stderr, " call %u: %s (type %u);", fault->call, mctx_status_name((mctx_status)fault->value),
              fault->type);
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
    uint64_t length = batch->segments && sent == batch->count - 1 ? SIZE - LAST_SHORTER : SIZE;
    if (sent >= batch->count || datagram->length != length)
      return broken(batch, "length", datagram->length, length);
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

bool batch_run(const batch_case *batch) {
  uint64_t accepted = 77;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_sim_wire_clear();
  mctx_sim_clear_faults();
  for (uint32_t i = 0; i < batch->fault_count; i++)
    (void)mctx_sim_fault(MCTX_SIM_SEND, batch->faults[i].call, batch->faults[i].type, batch->faults[i].value);
  if (batch->wait.call != 0)
    (void)mctx_sim_fault(MCTX_SIM_WAIT, batch->wait.call, batch->wait.type, batch->wait.value);
  if (batch->mode == BATCH_TIGHT) mctx_sim_advance(1000000);
  mctx_sim_capability_set(MCTX_CAPABILITY_BATCH_SEND,
                          batch->mode == BATCH_ONE_BY_ONE ? MCTX_CAPABILITY_ABSENT : MCTX_CAPABILITY_AVAILABLE);
  mctx_status status = perform(batch, &accepted, &error);
  accepted_in_all += accepted;
  if (batch->mode == BATCH_TIGHT) {
    if (!check_tight(batch, accepted, status)) return false;
  } else {
    outcome expected = expect(batch);
    if (accepted != expected.accepted) return broken(batch, "accepted", accepted, expected.accepted);
    if (status != expected.status)
      return broken(batch, "status", (uint64_t)-status, (uint64_t)-expected.status);
  }
  if (mctx_sim_pending_errors() != 0)
    return broken(batch, "errors left on the socket", mctx_sim_pending_errors(), 0);
  return check_error(batch, &error, accepted, status) && check_wire(batch, accepted);
}

/* SPDX-License-Identifier: MIT */
/*
 * The promise of a batch, for every number of datagrams up to 64 and every placement of up to two faults. The
 * variable MCTX_FAULT_THIN = k runs one placement of two faults in k, for slow builds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "batch.h"
#include "mctx_sim.h"

typedef enum placed_type {
  WOULD_BLOCK,
  QUEUE_FULL,
  SIGNAL,
  EARLIER,
  TOO_LARGE, /* the datagram's own: the second try fails too */
  DOWN,      /* so */
  DELIVERED, /* the queue is full, but members of this host got it */
  PARTIAL,   /* `amount` datagrams are taken */
  TYPES
} placed_type;

/* A fault that meets the batch when `position` datagrams are accepted. */
typedef struct placed {
  placed_type type;
  uint32_t position;
  uint32_t amount;
} placed;

static uint64_t runs;
static uint32_t thin = 1;

/* ---- from placements to calls ---- */

typedef struct builder {
  batch_case *batch;
  uint32_t call;     /* the next */
  uint32_t accepted; /* before it */
} builder;

/* Lets the batch come to a position. */
static bool advance_to(builder *build, uint32_t position) {
  if (position < build->accepted) return false;
  if (position == build->accepted) return true;
  uint32_t step = position - build->accepted;
  if (batch_goes_singly(build->batch->mode))
    build->call += step;
  else
    batch_add_fault(build->batch, build->call++, MCTX_SIM_PARTIAL, step);
  build->accepted = position;
  return true;
}

static void add_refusal(builder *build, uint32_t type, mctx_status status, uint32_t times) {
  while (times-- > 0)
    batch_add_fault(build->batch, build->call++, type, status);
}

/* False: the placement can't be, or would only repeat another. */
static bool place(builder *build, const placed *fault) {
  batch_mode mode = build->batch->mode;
  if (!advance_to(build, fault->position)) return false;
  switch (fault->type) {
    case WOULD_BLOCK:
      add_refusal(build, MCTX_SIM_FAIL, MCTX_ERR_WOULD_BLOCK, 1);
      return true;
    case QUEUE_FULL:
      add_refusal(build, MCTX_SIM_FAIL, MCTX_ERR_QUEUE_FULL, 1);
      return true;
    case SIGNAL:
      add_refusal(build, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL, 1);
      return true;
    case EARLIER:
      add_refusal(build, MCTX_SIM_EARLIER,
                  fault->position % 2 ? MCTX_ERR_UNREACHABLE : MCTX_ERR_DATAGRAM_TOO_LARGE, 1);
      return true;
    case TOO_LARGE:
      add_refusal(build, MCTX_SIM_FAIL, MCTX_ERR_DATAGRAM_TOO_LARGE, 2);
      return true;
    case DOWN:
      add_refusal(build, MCTX_SIM_FAIL, MCTX_ERR_INTERFACE_DOWN, 2);
      return true;
    case DELIVERED:
      if (mode != BATCH_SINGLY) return false;
      add_refusal(build, MCTX_SIM_DELIVERED, MCTX_ERR_QUEUE_FULL, 1);
      return true;
    default:
      if (batch_goes_singly(mode) || fault->amount == 0) return false;
      batch_add_fault(build->batch, build->call++, MCTX_SIM_PARTIAL, fault->amount);
      build->accepted += fault->amount;
      return build->accepted <= build->batch->count;
  }
}

/* Whether the batch ends at this fault, so that a second one is never met. */
static bool ends_batch(const batch_case *batch, placed_type type) {
  bool waits = batch->timeout_ns != 0;
  if (type == TOO_LARGE || type == DOWN || type == DELIVERED) return true;
  if (type == WOULD_BLOCK) return !waits;
  if (type == QUEUE_FULL) return !waits || batch->mode == BATCH_SINGLY;
  return type == SIGNAL && (batch->flags & MCTX_INTERRUPTIBLE) != 0;
}

static void run(batch_case *batch, const placed *faults, uint32_t count) {
  builder build = {batch, 1, 0};
  batch->fault_count = 0;
  for (uint32_t i = 0; i < count; i++)
    if (!place(&build, &faults[i])) return;
  runs++;
  if (!batch_run(batch)) fail_msg("broken promise after %llu runs", (unsigned long long)runs);
}

/* ---- one fault: every position, both ways of sending ---- */

static void run_both_ways(batch_case *batch, const placed *fault) {
  uint32_t flags = fault->type == SIGNAL ? MCTX_INTERRUPTIBLE : 0;
  for (uint32_t with = 0; with <= flags; with++)
    for (int segments = 0; segments < 2; segments++) {
      batch->flags = with;
      batch->segments = segments != 0;
      run(batch, fault, 1);
    }
  batch->flags = 0;
}

static void one_fault(batch_case *batch) {
  placed fault;
  for (fault.position = 0; fault.position < batch->count; fault.position++)
    for (int type = 0; type < TYPES; type++) {
      uint32_t amounts = type == PARTIAL ? batch->count - fault.position : 1;
      fault.type = (placed_type)type;
      for (fault.amount = 1; fault.amount <= amounts; fault.amount++)
        run_both_ways(batch, &fault);
    }
}

/* ---- two faults ---- */

/* 1, half, n - 1 */
static uint32_t amount_of(uint32_t choice, uint32_t count) {
  return choice == 0 ? 1 : choice == 1 ? count / 2 : count - 1;
}

/* All that the second fault can be; the ways of sending take turns. */
static void second_faults(batch_case *batch, placed faults[2]) {
  for (int type = 0; type < TYPES; type++) {
    uint32_t choices = type == PARTIAL ? 3 : 1;
    faults[1].type = (placed_type)type;
    for (uint32_t choice = 0; choice < choices; choice++) {
      faults[1].amount = amount_of(choice, batch->count);
      batch->segments = (runs + faults[0].position + choice) % 2 != 0;
      run(batch, faults, 2);
    }
  }
}

static void two_at(batch_case *batch, placed faults[2]) {
  for (int type = 0; type < TYPES; type++) {
    uint32_t choices = type == PARTIAL ? 3 : 1;
    faults[0].type = (placed_type)type;
    for (batch->flags = 0; batch->flags <= (type == SIGNAL ? MCTX_INTERRUPTIBLE : 0); batch->flags++) {
      if (ends_batch(batch, faults[0].type)) continue;
      for (uint32_t choice = 0; choice < choices; choice++) {
        faults[0].amount = amount_of(choice, batch->count);
        second_faults(batch, faults);
      }
    }
  }
  batch->flags = 0;
}

static void two_faults(batch_case *batch) {
  placed faults[2];
  uint32_t placement = batch->count;
  for (faults[0].position = 0; faults[0].position < batch->count; faults[0].position++)
    for (faults[1].position = faults[0].position; faults[1].position < batch->count; faults[1].position++)
      if (++placement % thin == 0) two_at(batch, faults);
}

/* ---- the tests, one for each mode ---- */

static void every_placement(batch_mode mode) {
  batch_case batch = {.mode = mode, .too_large = BATCH_NEVER};
  runs = 0;
  for (batch.count = 1; batch.count <= BATCH_MAX; batch.count++)
    for (batch.timeout_ns = -1; batch.timeout_ns <= 0; batch.timeout_ns++) {
      run(&batch, NULL, 0);
      one_fault(&batch);
      two_faults(&batch);
    }
  print_message("%llu runs\n", (unsigned long long)runs);
  assert_true(runs > 100000 / thin);
}

static void without_error_queue_without_loopback(void **state) {
  (void)state;
  every_placement(BATCH_PLAIN);
}

static void without_error_queue_with_loopback(void **state) {
  (void)state;
  every_placement(BATCH_LOOPBACK);
}

static void with_error_queue_without_loopback(void **state) {
  (void)state;
  every_placement(BATCH_QUEUE);
}

static void with_error_queue_with_loopback(void **state) {
  (void)state;
  every_placement(BATCH_SINGLY);
}

static void one_datagram_a_call(void **state) {
  (void)state;
  every_placement(BATCH_ONE_BY_ONE);
}

/* A datagram that no network takes, at each place, and one fault before it. */
static void too_large_payloads(void **state) {
  (void)state;
  for (int mode = 0; mode < BATCH_TIGHT; mode++) {
    batch_case batch = {.mode = (batch_mode)mode};
    for (batch.count = 1; batch.count <= BATCH_MAX; batch.count += 7)
      for (batch.too_large = 0; batch.too_large < batch.count; batch.too_large++)
        for (batch.timeout_ns = -1; batch.timeout_ns <= 0; batch.timeout_ns++) {
          placed fault = {.amount = 1};
          run(&batch, NULL, 0);
          for (fault.position = 0; fault.position < batch.too_large; fault.position++)
            for (int type = 0; type < PARTIAL; type++) {
              fault.type = (placed_type)type;
              run(&batch, &fault, 1);
            }
        }
  }
}

static int setup(void **state) {
  (void)state;
  const char *wanted = getenv("MCTX_FAULT_THIN");
  if (wanted != NULL && strtoul(wanted, NULL, 10) > 0) thin = (uint32_t)strtoul(wanted, NULL, 10);
  batch_setup();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  batch_teardown();
  return mctx_sim_open_sockets() == 0 && mctx_sim_misuses() == 0 ? 0 : -1;
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_error_queue_without_loopback),
      cmocka_unit_test(without_error_queue_with_loopback),
      cmocka_unit_test(with_error_queue_without_loopback),
      cmocka_unit_test(with_error_queue_with_loopback),
      cmocka_unit_test(one_datagram_a_call),
      cmocka_unit_test(too_large_payloads),
  };
  return cmocka_run_group_tests_name("batch_exhaustive", tests, setup, teardown);
}

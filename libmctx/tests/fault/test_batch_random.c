/* SPDX-License-Identifier: MIT */
/*
 * The promise of a batch under random schedules of faults. How many, and the seed: the arguments, or the
 * variables MCTX_FAULT_RUNS and MCTX_FAULT_SEED; by default a million, and a seed of its own each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "batch.h"
#include "mctx_sim.h"

static uint64_t wanted_runs = 1000000;
static uint64_t seed;

/* ---- chance: SplitMix64 ---- */

static uint64_t random_state;

static uint64_t draw(void) {
  random_state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = random_state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

static uint32_t below(uint32_t limit) {
  return (uint32_t)((draw() >> 32) * limit >> 32);
}

/* ---- schedules ---- */

/* The last fault meets its call after some messages. */
static void late(batch_case *batch) {
  batch_fault *fault = &batch->faults[batch->fault_count - 1];
  const bool is_failure = fault->type == MCTX_SIM_FAIL || fault->type == MCTX_SIM_EARLIER;
  if (is_failure && !batch_goes_singly(batch->mode)) fault->messages = below(5);
}

static void random_fault(batch_case *batch, uint32_t call) {
  static const mctx_status failures[] = {
      MCTX_ERR_WOULD_BLOCK,    MCTX_ERR_QUEUE_FULL,     MCTX_ERR_SIGNAL,      MCTX_ERR_DATAGRAM_TOO_LARGE,
      MCTX_ERR_INTERFACE_DOWN, MCTX_ERR_FIREWALL,       MCTX_ERR_UNREACHABLE, MCTX_ERR_IO,
      MCTX_ERR_NO_ROUTE,       MCTX_ERR_INTERFACE_GONE, MCTX_ERR_PERMISSION,  MCTX_ERR_NO_MEMORY,
  };
  static const mctx_status earlier[] = {
      MCTX_ERR_DATAGRAM_TOO_LARGE, MCTX_ERR_UNREACHABLE, MCTX_ERR_IO,
      MCTX_ERR_PERMISSION,         MCTX_ERR_UNSUPPORTED, MCTX_ERR_INVALID_ARGUMENT};
  switch (below(4)) {
    case 0:
      batch_add_fault(batch, call, MCTX_SIM_PARTIAL, 1 + below(batch->count));
      break;
    case 1:
      batch_add_fault(batch, call, MCTX_SIM_EARLIER, earlier[below(6)]);
      break;
    case 2:
      if (batch->mode == BATCH_SINGLY && below(2) == 0) {
        batch_add_fault(batch, call, MCTX_SIM_DELIVERED, MCTX_ERR_QUEUE_FULL);
        break;
      }
      /* fall through */
    default:
      batch_add_fault(batch, call, MCTX_SIM_FAIL, failures[below(below(2) ? 3 : 12)]);
  }
  if (below(4) == 0) late(batch);
}

/* What the system says of superpackets, or what becomes of it. */
static void random_offload_fault(batch_case *batch, uint32_t call) {
  static const mctx_status failures[] = {MCTX_ERR_DATAGRAM_TOO_LARGE, MCTX_ERR_INVALID_ARGUMENT,
                                         MCTX_ERR_UNSUPPORTED};
  static const int64_t mtus[] = {28, 29, 28 + 5, 28 + 7, 1500};
  static const int64_t segments[] = {0, 1, 2, 3, 64, 128};
  switch (below(6)) {
    case 0:
      batch_add_fault(batch, call, MCTX_SIM_NEW_MTU, mtus[below(5)]);
      break;
    case 1:
      batch_add_fault(batch, call, MCTX_SIM_NEW_SEGMENTS, segments[below(6)]);
      break;
    default: { /* believed when it comes twice */
      const mctx_status failure = failures[below(3)];
      batch_add_fault(batch, call, MCTX_SIM_FAIL, failure);
      if (below(3) != 0) batch_add_fault(batch, call + 1, MCTX_SIM_FAIL, failure);
    }
  }
}

static void random_case(batch_case *batch) {
  *batch = (batch_case){.mode = (batch_mode)below(BATCH_MODES),
                        .count = 1 + below(below(8) == 0 ? BATCH_MAX : BATCH_USUAL)};
  batch->timeout_ns = below(3) == 0 ? 0 : -1;
  batch->flags = below(3) == 0 ? MCTX_INTERRUPTIBLE : 0;
  batch->offload = below(2) != 0;
  batch->shape = (batch_shape)below(BATCH_SHAPES);
  batch->segments = batch->shape == BATCH_ALIKE && below(2) != 0;
  batch->too_large = BATCH_NEVER;
  if (!batch->segments && batch->mode != BATCH_TIGHT && below(8) == 0) batch->too_large = below(batch->count);
  if (below(4) == 0)
    batch->wait = (batch_fault){1 + below(3), MCTX_SIM_FAIL, below(2) ? MCTX_ERR_SIGNAL : MCTX_ERR_IO, 0};
  uint32_t apart = batch_goes_singly(batch->mode) ? 2 * batch->count : 3;
  uint32_t faults = below(BATCH_FAULTS + 1);
  for (uint32_t call = 1 + below(apart); batch->fault_count < faults;) {
    if (batch->offload && below(3) != 0)
      random_offload_fault(batch, call);
    else
      random_fault(batch, call);
    call = batch->faults[batch->fault_count - 1].call + 1 + (below(2) ? 0 : below(apart) / (faults + 1));
  }
}

static void random_schedules(void **state) {
  (void)state;
  batch_case batch;
  for (uint64_t i = 0; i < wanted_runs; i++) {
    random_state = seed + i;
    random_case(&batch);
    if (!batch_run(&batch))
      fail_msg("broken promise; again with MCTX_FAULT_RUNS=1 MCTX_FAULT_SEED=%llu",
               (unsigned long long)(seed + i));
  }
  print_message("%llu schedules, %llu datagrams accepted, %llu superpackets refused\n",
                (unsigned long long)wanted_runs, (unsigned long long)batch_accepted(),
                (unsigned long long)batch_refusals());
}

static uint64_t number(const char *argument, const char *variable, uint64_t otherwise) {
  const char *text = argument != NULL ? argument : getenv(variable);
  return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv) {
  static const struct CMUnitTest tests[] = {cmocka_unit_test(random_schedules)};
  wanted_runs = number(argc > 1 ? argv[1] : NULL, "MCTX_FAULT_RUNS", wanted_runs);
  seed = number(argc > 2 ? argv[2] : NULL, "MCTX_FAULT_SEED", (uint64_t)time(NULL) * 1000000007u);
  print_message("seed %llu\n", (unsigned long long)seed);
  return cmocka_run_group_tests_name("batch_random", tests, batch_setup, batch_teardown);
}

/* SPDX-License-Identifier: MIT */
/*
 * The promise of a batch, for every number of datagrams up to 64 and every placement of one fault; of two
 * faults for small numbers, and for larger ones of one placement in ten. The variable MCTX_FAULT_THIN = k runs
 * one placement of two faults in k, whatever the number: 1 for all of them, more for slow builds.
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
  TOO_LARGE, /* comes twice: the datagram's own, or the superpacket's */
  DOWN,      /* twice, and never offload's */
  DELIVERED, /* the queue is full, but members of this host got it */
  PARTIAL,   /* `amount` messages are taken */
  USUAL_TYPES,
  /* with offload alone */
  INVALID = USUAL_TYPES, /* twice */
  UNSUPPORTED,           /* twice */
  TOO_LARGE_ALONE,       /* twice, and twice again: the superpacket's first datagram is refused as well */
  FIREWALL,
  LOWER_MTU,      /* that 8 bytes do not fit any more, and 6 do */
  FEWER_SEGMENTS, /* three */
  NO_SEGMENTS,
  TYPES
} placed_type;

/* A fault that meets the batch when `position` datagrams are accepted. */
typedef struct placed {
  placed_type type;
  uint32_t position;
  uint32_t amount;
} placed;

static uint64_t runs;
static uint32_t thin; /* 0: as is usual */

static int types_of(const batch_case *batch) {
  return batch->offload ? TYPES : USUAL_TYPES;
}

/* ---- from placements to calls ---- */

/* How many messages lead from where the batch stands to a position; 0: it is within a message. */
static uint32_t messages_to(const batch_case *batch, const batch_progress *now, uint32_t position) {
  uint32_t messages = 0;
  uint32_t at = now->accepted;
  for (; at < position; messages++)
    at += batch_message_at(batch, now, at);
  return at == position ? messages : 0;
}

/* Lets the batch come to a position. */
static bool advance_to(batch_case *batch, batch_progress *now, uint32_t position) {
  while (!now->over && now->accepted < position) {
    batch_progress next = *now;
    batch_step(batch, &next);
    if (next.accepted > position) {
      const uint32_t messages = messages_to(batch, now, position);
      if (messages == 0 || !batch_add_fault(batch, now->call, MCTX_SIM_PARTIAL, messages)) return false;
      next = *now;
      batch_step(batch, &next);
    }
    *now = next;
  }
  return now->accepted == position && !now->over;
}

static bool refuse(batch_case *batch, batch_progress *now, uint32_t type, int64_t value, uint32_t times) {
  for (; times > 0 && !now->over; times--) {
    if (!batch_add_fault(batch, now->call, type, value)) return false;
    batch_step(batch, now);
  }
  return times == 0;
}

static mctx_status earlier_of(const batch_case *batch, uint32_t position) {
  static const mctx_status statuses[] = {MCTX_ERR_DATAGRAM_TOO_LARGE, MCTX_ERR_UNREACHABLE,
                                         MCTX_ERR_INVALID_ARGUMENT, MCTX_ERR_UNSUPPORTED};
  return statuses[position % (batch->offload ? 4 : 2)];
}

/* False: the placement can't be, or would only repeat another. */
static bool place(batch_case *batch, batch_progress *now, const placed *fault) {
  if (now->over || !advance_to(batch, now, fault->position)) return false;
  const bool is_superpacket = batch_message_at(batch, now, now->accepted) > 1;
  switch (fault->type) {
    case WOULD_BLOCK:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_WOULD_BLOCK, 1);
    case QUEUE_FULL:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_QUEUE_FULL, 1);
    case SIGNAL:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_SIGNAL, 1);
    case EARLIER:
      return refuse(batch, now, MCTX_SIM_EARLIER, earlier_of(batch, fault->position), 1);
    case TOO_LARGE:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_DATAGRAM_TOO_LARGE, 2);
    case DOWN:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_INTERFACE_DOWN, 2);
    case DELIVERED:
      if (batch->mode != BATCH_SINGLY) return false;
      return refuse(batch, now, MCTX_SIM_DELIVERED, MCTX_ERR_QUEUE_FULL, 1);
    case INVALID:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_INVALID_ARGUMENT, 2);
    case UNSUPPORTED:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_UNSUPPORTED, 2);
    case TOO_LARGE_ALONE:
      return is_superpacket && refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_DATAGRAM_TOO_LARGE, 4);
    case FIREWALL:
      return refuse(batch, now, MCTX_SIM_FAIL, MCTX_ERR_FIREWALL, 1);
    case LOWER_MTU:
      return refuse(batch, now, MCTX_SIM_NEW_MTU, 28 + 6, 1);
    case FEWER_SEGMENTS:
      return refuse(batch, now, MCTX_SIM_NEW_SEGMENTS, 3, 1);
    case NO_SEGMENTS:
      return refuse(batch, now, MCTX_SIM_NEW_SEGMENTS, 1, 1);
    default:
      if (batch_goes_singly(batch->mode) || fault->amount == 0) return false;
      return refuse(batch, now, MCTX_SIM_PARTIAL, fault->amount, 1);
  }
}

static void run(batch_case *batch, const placed *faults, uint32_t count) {
  batch_progress now;
  batch->fault_count = 0;
  batch_begin(&now);
  for (uint32_t i = 0; i < count; i++)
    if (!place(batch, &now, &faults[i])) return;
  runs++;
  if (!batch_run(batch)) fail_msg("broken promise after %llu runs", (unsigned long long)runs);
}

/* ---- one fault: every position, both ways of sending ---- */

static void run_both_ways(batch_case *batch, const placed *fault) {
  uint32_t flags = fault->type == SIGNAL ? MCTX_INTERRUPTIBLE : 0;
  for (uint32_t with = 0; with <= flags; with++)
    for (int segments = 0; segments <= (batch->shape == BATCH_ALIKE); segments++) {
      batch->flags = with;
      batch->segments = segments != 0;
      run(batch, fault, 1);
    }
  batch->flags = 0;
}

/* Each number of messages that a call can take; of larger batches the first and the last few. */
static uint32_t next_amount(const batch_case *batch, uint32_t left, uint32_t amount) {
  const bool is_few = batch->count <= 16 || amount < 2 || amount + 2 >= left;
  return is_few ? amount + 1 : left - 1;
}

static void one_fault(batch_case *batch) {
  placed fault;
  for (fault.position = 0; fault.position < batch->count; fault.position++)
    for (int type = 0; type < types_of(batch); type++) {
      const uint32_t left = type == PARTIAL ? batch->count - fault.position : 1;
      fault.type = (placed_type)type;
      for (fault.amount = 1; fault.amount <= left; fault.amount = next_amount(batch, left, fault.amount))
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
  for (int type = 0; type < types_of(batch); type++) {
    uint32_t choices = type == PARTIAL ? 3 : 1;
    faults[1].type = (placed_type)type;
    for (uint32_t choice = 0; choice < choices; choice++) {
      faults[1].amount = amount_of(choice, batch->count);
      batch->segments = batch->shape == BATCH_ALIKE && (runs + faults[0].position + choice) % 2 != 0;
      run(batch, faults, 2);
    }
  }
}

static void two_at(batch_case *batch, placed faults[2]) {
  for (int type = 0; type < types_of(batch); type++) {
    uint32_t choices = type == PARTIAL ? 3 : 1;
    faults[0].type = (placed_type)type;
    for (batch->flags = 0; batch->flags <= (type == SIGNAL ? MCTX_INTERRUPTIBLE : 0); batch->flags++) {
      for (uint32_t choice = 0; choice < choices; choice++) {
        faults[0].amount = amount_of(choice, batch->count);
        second_faults(batch, faults);
      }
    }
  }
  batch->flags = 0;
}

enum { SMALL = 12 };

static void two_faults(batch_case *batch) {
  placed faults[2];
  const uint32_t one_in = thin != 0 ? thin : batch->count <= SMALL ? 1 : 10;
  uint32_t placement = batch->count;
  for (faults[0].position = 0; faults[0].position < batch->count; faults[0].position++)
    for (faults[1].position = faults[0].position; faults[1].position < batch->count; faults[1].position++)
      if (++placement % one_in == 0) two_at(batch, faults);
}

/* ---- the tests, one for each mode ---- */

static void every_count(batch_case *batch) {
  /* where there are more sorts of faults */
  const uint32_t with_two = !batch->offload ? BATCH_USUAL : batch_offloads(batch) ? 16 : 8;
  for (batch->count = 1; batch->count <= BATCH_USUAL; batch->count++)
    for (batch->timeout_ns = -1; batch->timeout_ns <= 0; batch->timeout_ns++) {
      batch->segments = false;
      run(batch, NULL, 0);
      one_fault(batch);
      if (batch->count <= with_two || thin == 1) two_faults(batch);
    }
}

static void every_placement(batch_mode mode) {
  batch_case batch = {.mode = mode, .too_large = BATCH_NEVER};
  runs = 0;
  every_count(&batch);
  print_message("%llu runs\n", (unsigned long long)runs);
  assert_true(runs > 50000);
}

static void every_superpacket(batch_mode mode) {
  const uint64_t refused = batch_refusals();
  runs = 0;
  for (int shape = mode == BATCH_SINGLY ? BATCH_MIXED : 0; shape < BATCH_SHAPES; shape++) {
    batch_case batch = {.mode = mode, .offload = true, .shape = (batch_shape)shape, .too_large = BATCH_NEVER};
    every_count(&batch);
  }
  print_message("%llu runs, %llu superpackets refused\n", (unsigned long long)runs,
                (unsigned long long)(batch_refusals() - refused));
  assert_true(runs > 20000);
  if (mode != BATCH_SINGLY) assert_true(batch_refusals() - refused > 5000);
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

static void offload_without_error_queue_without_loopback(void **state) {
  (void)state;
  every_superpacket(BATCH_PLAIN);
}

static void offload_without_error_queue_with_loopback(void **state) {
  (void)state;
  every_superpacket(BATCH_LOOPBACK);
}

static void offload_with_error_queue_without_loopback(void **state) {
  (void)state;
  every_superpacket(BATCH_QUEUE);
}

static void offload_one_message_a_call(void **state) {
  (void)state;
  every_superpacket(BATCH_ONE_BY_ONE);
}

/* Asked for, and never used: each datagram has to be a call of its own. */
static void offload_where_there_can_be_none(void **state) {
  (void)state;
  every_superpacket(BATCH_SINGLY);
}

/* Superpackets of up to 128 datagrams, of which the system takes 64 perhaps: one fault at each boundary. */
static void more_than_one_superpacket_holds(void **state) {
  (void)state;
  static const batch_mode modes[] = {BATCH_PLAIN, BATCH_ONE_BY_ONE};
  static const uint32_t counts[] = {65, 128, 129, BATCH_MAX};
  for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++)
    for (int shape = 0; shape < BATCH_SHAPES; shape++)
      for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        batch_case batch = {.mode = modes[m],
                            .offload = true,
                            .shape = (batch_shape)shape,
                            .count = counts[c],
                            .too_large = BATCH_NEVER};
        for (batch.timeout_ns = -1; batch.timeout_ns <= 0; batch.timeout_ns++) {
          run(&batch, NULL, 0);
          one_fault(&batch);
        }
      }
}

/* A datagram that no network takes, at each place, and one fault before it. */
static void too_large_payloads(void **state) {
  (void)state;
  for (int way = 0; way < 2 * BATCH_TIGHT; way++) {
    batch_case batch = {
        .mode = (batch_mode)(way / 2), .offload = way % 2 != 0, .shape = (batch_shape)(way % 3)};
    for (batch.count = 1; batch.count <= BATCH_USUAL; batch.count += 9)
      for (batch.too_large = 0; batch.too_large < batch.count; batch.too_large++)
        for (batch.timeout_ns = -1; batch.timeout_ns <= 0; batch.timeout_ns++) {
          placed fault = {.amount = 1};
          run(&batch, NULL, 0);
          for (fault.position = 0; fault.position < batch.too_large; fault.position += 1 + batch.count / 16)
            for (int type = 0; type < types_of(&batch); type++) {
              fault.type = (placed_type)type;
              run(&batch, &fault, 1);
            }
        }
  }
}

static int setup(void **state) {
  const char *wanted = getenv("MCTX_FAULT_THIN");
  if (wanted != NULL && strtoul(wanted, NULL, 10) > 0) thin = (uint32_t)strtoul(wanted, NULL, 10);
  return batch_setup(state);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(without_error_queue_without_loopback),
      cmocka_unit_test(without_error_queue_with_loopback),
      cmocka_unit_test(with_error_queue_without_loopback),
      cmocka_unit_test(with_error_queue_with_loopback),
      cmocka_unit_test(one_datagram_a_call),
      cmocka_unit_test(offload_without_error_queue_without_loopback),
      cmocka_unit_test(offload_without_error_queue_with_loopback),
      cmocka_unit_test(offload_with_error_queue_without_loopback),
      cmocka_unit_test(offload_one_message_a_call),
      cmocka_unit_test(offload_where_there_can_be_none),
      cmocka_unit_test(more_than_one_superpacket_holds),
      cmocka_unit_test(too_large_payloads),
  };
  return cmocka_run_group_tests_name("batch_exhaustive", tests, setup, batch_teardown);
}

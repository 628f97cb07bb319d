/* SPDX-License-Identifier: MIT */
/*
 * One batch on the simulated network with faults at chosen calls, run through the public API and compared with
 * the promise: what was accepted is exactly a prefix, and the reason why it ended is the right one.
 */
#ifndef MCTX_TESTS_BATCH_H
#define MCTX_TESTS_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "mctx.h"

enum { BATCH_MAX = 64, BATCH_FAULTS = 16, BATCH_NEVER = UINT32_MAX };

/* The kinds of publication and of system that batches go through. */
typedef enum batch_mode {
  BATCH_PLAIN,      /* error queue off, loopback off */
  BATCH_LOOPBACK,   /* error queue off, loopback on */
  BATCH_QUEUE,      /* error queue on, loopback off */
  BATCH_SINGLY,     /* error queue on, loopback on: each datagram by itself */
  BATCH_ONE_BY_ONE, /* as BATCH_LOOPBACK, on a system without a call for many datagrams */
  BATCH_TIGHT,      /* as BATCH_PLAIN, with a send buffer of a few datagrams */
  BATCH_MODES
} batch_mode;

/* A fault of the n-th call, counted from 1; mctx_sim_fault()'s type and value. */
typedef struct batch_fault {
  uint32_t call;
  uint32_t type;
  int64_t value;
} batch_fault;

typedef struct batch_case {
  batch_mode mode;
  uint32_t count; /* of datagrams */
  uint32_t fault_count;
  batch_fault faults[BATCH_FAULTS]; /* of send calls, in order */
  batch_fault wait;                 /* one of a wait; call 0: none */
  uint32_t too_large;               /* which datagram is larger than may be sent; BATCH_NEVER: none */
  uint32_t flags;                   /* of the call */
  int64_t timeout_ns;               /* 0 or -1 */
  bool segments;                    /* mctx_send_segments(), else mctx_send_batch() */
} batch_case;

/* Whether each datagram is a system call of its own. */
bool batch_goes_singly(batch_mode mode);
bool batch_add_fault(batch_case *batch, uint32_t call, uint32_t type, int64_t value);

/* Opens the publications, one for each mode. */
void batch_setup(void);
void batch_teardown(void);
/* Runs one case. False: the promise is broken, and standard error says where. */
bool batch_run(const batch_case *batch);
/* How many datagrams were accepted in all since the set-up. */
uint64_t batch_accepted(void);

#endif

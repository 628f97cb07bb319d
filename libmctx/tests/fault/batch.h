/* SPDX-License-Identifier: MIT */
/*
 * One batch on the simulated network with faults at chosen calls, run through the public API and compared with
 * the promise: what was accepted is exactly a prefix, and the reason why it ended is the right one. What is to
 * happen is found by a program of its own (expect.c), call by call.
 */
#ifndef MCTX_TESTS_BATCH_H
#define MCTX_TESTS_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "mctx.h"

enum { BATCH_MAX = 160, BATCH_USUAL = 64, BATCH_FAULTS = 16, BATCH_NEVER = UINT32_MAX };

/* The kinds of publication and of system that batches go through. */
typedef enum batch_mode {
  BATCH_PLAIN,      /* error queue off, loopback off */
  BATCH_LOOPBACK,   /* error queue off, loopback on */
  BATCH_QUEUE,      /* error queue on, loopback off */
  BATCH_SINGLY,     /* error queue on, loopback on: each datagram by itself */
  BATCH_ONE_BY_ONE, /* as BATCH_LOOPBACK, on a system without a call for many messages */
  BATCH_TIGHT,      /* as BATCH_PLAIN, with a send buffer of a few datagrams */
  BATCH_MODES
} batch_mode;

/* The sizes of the datagrams. */
typedef enum batch_shape {
  BATCH_ALIKE, /* 8 bytes each; of mctx_send_segments() the last has 5 */
  BATCH_RUNS,  /* 8, 8, 8, 8, 5 and again: superpackets of five, or each by itself */
  BATCH_MIXED, /* 4, 8, 8, 0, 6, 6, 6, 2 and again: superpackets and single datagrams in turns */
  BATCH_SHAPES
} batch_shape;

/* A fault of the n-th call, counted from 1; mctx_sim_fault_after()'s messages, type and value. */
typedef struct batch_fault {
  uint32_t call;
  uint32_t type;
  int64_t value;
  uint32_t messages;
} batch_fault;

typedef struct batch_case {
  batch_mode mode;
  bool offload;
  batch_shape shape;
  uint32_t count; /* of datagrams */
  uint32_t fault_count;
  batch_fault faults[BATCH_FAULTS]; /* of send calls, in order */
  batch_fault wait;                 /* one of a wait; call 0: none */
  uint32_t too_large;               /* which datagram is larger than may be sent; BATCH_NEVER: none */
  uint32_t flags;                   /* of the call */
  int64_t timeout_ns;               /* 0 or -1 */
  bool segments;                    /* mctx_send_segments(), else mctx_send_batch(): of datagrams alike */
} batch_case;

/* Whether each datagram is a system call of its own. */
bool batch_goes_singly(batch_mode mode);
/* Whether superpackets are tried at all. */
bool batch_offloads(const batch_case *batch);
uint32_t batch_length(const batch_case *batch, uint32_t position);
bool batch_add_fault(batch_case *batch, uint32_t call, uint32_t type, int64_t value);

/* ---- what is to happen ---- */

/* What superpackets may be: as the publication knows, and as the system has it. */
typedef struct batch_limits {
  uint32_t count;
  uint32_t size;
} batch_limits;

/* Where a batch stands between two calls. */
typedef struct batch_progress {
  uint32_t call; /* the next, from 1 */
  uint32_t accepted;
  uint32_t next_fault;
  uint32_t waits;
  bool tried;              /* the next message failed once */
  batch_limits limits;     /* of the publication */
  batch_limits system;     /* MTU and kernel */
  batch_limits doubted;    /* a superpacket that was refused twice; count 0: none */
  mctx_status doubt;       /* and how */
  mctx_status told;        /* why the limits are lower than at first */
  uint32_t superpackets;   /* that went */
  uint32_t refusals;       /* that were believed */
  uint32_t pending_errors; /* told by nobody yet */
  bool over;
  mctx_status status; /* of the batch, once it is over */
} batch_progress;

void batch_begin(batch_progress *now);
/* How many datagrams the message from `position` on has, and whether it is a superpacket. */
uint32_t batch_message_at(const batch_case *batch, const batch_progress *now, uint32_t position);
/* What the next call comes to. */
void batch_step(const batch_case *batch, batch_progress *now);

/* ---- what happens ---- */

/* cmocka's: opens the publications, two for each mode; closes them, and fails if anything is left. */
int batch_setup(void **state);
int batch_teardown(void **state);
/* Runs one case. False: the promise is broken, and standard error says where. */
bool batch_run(const batch_case *batch);
/* How many datagrams were accepted in all since the set-up, and how many superpackets were refused. */
uint64_t batch_accepted(void);
uint64_t batch_refusals(void);

#endif

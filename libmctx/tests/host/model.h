/* SPDX-License-Identifier: MIT */
/* What subscriptions should have joined, and what follows from it: the library's answer, the kernel's tables,
 * and which datagrams of a probe arrive. */
#ifndef MCTX_TESTS_MODEL_H
#define MCTX_TESTS_MODEL_H

#include "host/subscription.h"

enum { MODEL_SOURCES = 16, MODEL_MEMBERS = 64 };

/* One group on one interface, with its filter. */
typedef struct model_member {
  mctx_address group;
  const char *interface;
  uint32_t mode;
  uint32_t source_count;
  mctx_address sources[MODEL_SOURCES];
} model_member;

typedef struct model {
  uint32_t count;
  model_member members[MODEL_MEMBERS];
} model;

void model_join(model *expected, const mctx_address *group, const char *interface);
/* NULL: on every interface. */
void model_leave(model *expected, const mctx_address *group, const char *interface);

/* mctx_memberships() tells the same, in whatever order. */
void assert_reads_back(mctx_subscription subscription, const model *expected);
/* The kernel has joined what all of these come to, and nothing else. */
void assert_kernel_joined(const model *expected, uint32_t count);
/* With these filters too, which it does not tell while an interface is down. */
void assert_kernel_agrees(const model *expected, uint32_t count);
/* It has them again a moment after the link is up again. */
void await_filters(const model *expected);

/* ---- probes ---- */

/* The cables of a probe: its ends, its net. The second and third are laid by lay_cables(). */
typedef struct cable {
  const char *own;
  const char *peer;
  int net;
} cable;

enum { CABLES = 3, PROBE_SOURCES = 3, PROBE_FIRST_SOURCE = 2 };

extern const cable cables[CABLES];

/* A pair of hosts with three cables; there the sources .2, .3 and .4 on each. */
void lay_cables(void);
/* Makes the second or third anew after one end was deleted. */
void lay_cable(size_t number);

/* One datagram from every source there, through every cable, to groups 1 to `groups`. It says which. */
void probe(uint32_t family, uint32_t groups);
/* Of the probe exactly what the model lets through comes, in any order, each once, and what the library tells
 * of each is what it says itself. */
void assert_hears(mctx_subscription subscription, uint32_t family, uint32_t groups, const model *expected);

#endif

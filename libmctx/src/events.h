/* SPDX-License-Identifier: MIT */
/* What happened to an object by itself, until somebody asks. */
#ifndef MCTX_EVENTS_H
#define MCTX_EVENTS_H

#include <stdbool.h>

#include "mctx.h"

enum { MCTX__EVENTS_KEPT = 16 };

/* A bounded queue, guarded by its owner. When it is full the oldest goes and is counted. */
typedef struct mctx__events {
  mctx_event ring[MCTX__EVENTS_KEPT];
  uint32_t first;
  uint32_t count;
  uint64_t lost;
} mctx__events;

void mctx__events_add(mctx__events *events, const mctx_event *event);
/* Takes the oldest; reports first what was lost before it. False if there is none. */
bool mctx__events_take(mctx__events *events, mctx_event *event);

#endif

/* SPDX-License-Identifier: MIT */
/* A plain receiver that what is sent goes to, if one is wanted: where somebody listens, a send costs more. */
#ifndef LISTENER_H
#define LISTENER_H

#include <mctx.h>
#include <stdbool.h>
#include <stdint.h>

/* Where it listens. */
typedef struct listener_place {
  const char *interface;
  const char *netns; /* a path to the network namespace, or NULL for this one */
} listener_place;

/* Opens its socket; or -1 after having said why not. */
int listener_open(const mctx_address *group, uint16_t port, const listener_place *place, bool coalesces);

/* Takes what has come, until it is so many bytes or nothing more comes; returns how many there were. */
uint64_t listener_drain(int descriptor, uint64_t bytes);

#endif

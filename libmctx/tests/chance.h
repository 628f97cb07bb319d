/* SPDX-License-Identifier: MIT */
/* Chance that can be repeated: the seed says all that comes. */
#ifndef MCTX_TESTS_CHANCE_H
#define MCTX_TESTS_CHANCE_H

#include <stdint.h>

static uint64_t chance_state = 1; /* never 0 */

static inline void chance_begin(uint64_t seed) {
  chance_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

/* 0 to below - 1. */
static inline uint32_t chance(uint32_t below) {
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 7;
  chance_state ^= chance_state << 17;
  return (uint32_t)((chance_state >> 20) % below);
}

#endif

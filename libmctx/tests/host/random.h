/* SPDX-License-Identifier: MIT */
/* Randomness that can be repeated: the same state gives the same numbers. */
#ifndef MCTX_TESTS_RANDOM_H
#define MCTX_TESTS_RANDOM_H

#include <stdint.h>

/* Another one each time, or MCTX_SEED of the environment; it is printed. */
uint64_t random_seed(void);
uint32_t random_next(uint64_t *state);
/* 0 to bound - 1. */
uint32_t random_below(uint64_t *state, uint32_t bound);

#endif

/* SPDX-License-Identifier: MIT */
/* Randomness that can be repeated. */
#include "host/random.h"

#include <stdlib.h>

#include "host/host.h"

uint64_t random_seed(void) {
  const char *given = getenv("MCTX_SEED");
  uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now_ns();
  print_message("MCTX_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

uint32_t random_next(uint64_t *state) {
  *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
  uint64_t z = *state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)(z >> 33);
}

uint32_t random_below(uint64_t *state, uint32_t bound) {
  return random_next(state) % bound;
}

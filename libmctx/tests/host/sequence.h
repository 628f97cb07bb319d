/* SPDX-License-Identifier: MIT */
/* Datagrams of every length in memory that is laid out in every way, each with a content of its own. */
#ifndef MCTX_TESTS_SEQUENCE_H
#define MCTX_TESTS_SEQUENCE_H

#include "host/host.h"
#include "host/random.h"

enum { SEQUENCE = 2048, SEQUENCE_BYTES = 4 << 20 };

/* How neighbours of the sequence lie in memory. */
typedef enum layout { CONTIGUOUS, SCATTERED, MIXED, LAYOUTS } layout;

typedef struct sequence {
  uint32_t count;
  mctx_slice slices[SEQUENCE];
  size_t bytes; /* of memory in use */
  unsigned char *memory;
  uint64_t random;
} sequence;

void sequence_init(sequence *own, uint64_t seed);
void sequence_free(sequence *own);
/* Forgets all datagrams. */
void sequence_clear(sequence *own);
/* One more, with a content that none had before. */
void sequence_add(sequence *own, uint32_t length, layout how);
void sequence_add_equal(sequence *own, uint32_t count, uint32_t length, layout how);
/* Whether another of this length has room. */
bool sequence_takes(const sequence *own, uint32_t length);

#endif

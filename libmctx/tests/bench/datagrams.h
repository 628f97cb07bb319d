/* SPDX-License-Identifier: MIT */
/* What is sent: payloads of given sizes, lying in memory in two ways, and the superpackets that they make. */
#ifndef DATAGRAMS_H
#define DATAGRAMS_H

#include <mctx.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Devices take 64 KiB with all headers; what is longer is cut by the kernel before it gets there. */
enum { SUPERPACKET_MAX = 65408, SEGMENTS_MAX = 128 };

/* How payloads lie in memory. */
enum layout { CONTIGUOUS, SCATTERED, LAYOUTS };

typedef struct datagrams {
  uint32_t batch;   /* datagrams of a call */
  uint32_t batches; /* successive calls, until the sizes repeat */
  bool is_equal;    /* all are of one size */
  uint32_t *sizes;  /* of batch * batches datagrams */
  struct iovec *pieces[LAYOUTS];
  mctx_slice *slices[LAYOUTS];
} datagrams;

/* Datagrams that go together: all of one size, but the last, which may be shorter. */
typedef struct superpacket {
  uint32_t count;
  uint32_t size;
  size_t bytes;
} superpacket;

/* Makes them from a list of sizes; 0, or 1 without memory or sizes. */
int datagrams_make(datagrams *own, const char *sizes, uint32_t batch);

/* The sizes of so many datagrams by a list that repeats, "64" or "94,94,62" (or with + between); NULL without
 * memory or numbers. */
uint32_t *datagrams_sizes(const char *list, uint32_t count);

/* The longest superpacket that the first of so many datagrams make. */
superpacket datagrams_join(const uint32_t *sizes, uint32_t count, uint32_t segments);

#endif

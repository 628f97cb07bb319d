/* SPDX-License-Identifier: MIT */
/* How datagrams are put together into the messages of one system call. */
#ifndef MCTX_PLAN_H
#define MCTX_PLAN_H

#include "platform/platform.h"
#include "scratch.h"

/* What is to be sent: slices, or equal pieces of one buffer. */
typedef struct mctx__datagrams {
  const mctx_slice *slices; /* or NULL */
  bool is_uniform;          /* all slices are known to have one length */
  const unsigned char *data;
  uint64_t length;
  uint32_t segment_size;
  uint64_t count;
} mctx__datagrams;

static inline uint64_t mctx__datagram_length(const mctx__datagrams *source, uint64_t position) {
  if (source->slices != NULL) return source->slices[position].length;
  const uint64_t rest = source->length - position * source->segment_size;
  return rest < source->segment_size ? rest : source->segment_size;
}

/* What a superpacket may be. */
typedef struct mctx__limits {
  uint32_t count; /* datagrams; 1: there are none */
  uint32_t size;  /* bytes of a datagram */
  uint32_t bytes; /* of all */
} mctx__limits;

/* Pieces up to so many bytes are cheaper copied together than listed for the system. */
#define MCTX__COPY_MOST 1024u

typedef struct mctx__plan {
  uint32_t count;
  mctx__outgoing messages[MCTX__SEND_MANY_MAX];
} mctx__plan;

/* Puts datagrams from `position` on into the fewest messages that go with one call: runs of equal datagrams,
 * each with one shorter behind, become superpackets; the rest goes one by one. At least one message, and none
 * reaches beyond `end`; `position` < `end`. Each datagram is at most 65,535 bytes long. */
void mctx__plan_make(mctx__plan *plan, const mctx__datagrams *source, uint64_t position, uint64_t end,
                     const mctx__limits *limits, mctx__scratch *scratch);

#endif

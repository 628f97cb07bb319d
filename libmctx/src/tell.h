/* SPDX-License-Identifier: MIT */
/* What is told of a message that is delivered, and counted of it. With the subscription's lock held. */
#ifndef MCTX_TELL_H
#define MCTX_TELL_H

#include <string.h>

#include "take.h"

/* Whether what was stored is several datagrams. */
static inline bool mctx__is_coalesced(const mctx__arrival *arrival) {
  return MCTX__SELDOM(arrival->segment_size != 0) && arrival->stored > arrival->segment_size;
}

/* Datagrams of one message that are delivered. */
static MCTX__IN_PLACE void mctx__tally_up(mctx__tally *tally, uint64_t datagrams, uint64_t bytes,
                                          int64_t now_ns) {
  tally->datagrams += datagrams;
  tally->bytes += bytes;
  tally->last_ns = now_ns;
  if (MCTX__SELDOM(tally->first_ns == 0)) tally->first_ns = now_ns;
}

/* An arrival becomes the message where it stands: copying it, just written in pieces, would wait for them. */
typedef union mctx__telling {
  mctx__arrival arrival;
  mctx_message message;
} mctx__telling;

#define SAME_PLACE(field) offsetof(mctx__arrival, field) == offsetof(mctx_message, field)
_Static_assert(SAME_PLACE(present) && SAME_PLACE(source) && SAME_PLACE(group) && SAME_PLACE(interface_index) &&
                   SAME_PLACE(hop_limit) && SAME_PLACE(traffic_class) && SAME_PLACE(time_ns) &&
                   SAME_PLACE(length),
               "an arrival leaves a message where it belongs");
_Static_assert(sizeof(mctx__telling) == sizeof(mctx_message), "an arrival fits where a message stands");

static inline mctx__telling *mctx__telling_in(mctx_message *message) {
  return (mctx__telling *)(void *)message;
}

static inline void mctx__clear_absent(mctx_message *message) {
  static const mctx_address nobody;
  const uint32_t absent = ~message->present;
  if ((absent & MCTX_META_SOURCE) != 0) message->source = nobody;
  if ((absent & MCTX_META_GROUP) != 0) message->group = nobody;
  if ((absent & MCTX_META_GROUP) != 0) message->interface_index = 0;
  if ((absent & MCTX_META_HOP_LIMIT) != 0) message->hop_limit = 0;
  if ((absent & MCTX_META_TRAFFIC_CLASS) != 0) message->traffic_class = 0;
  if ((absent & MCTX_META_TIME) != 0) message->time_ns = 0;
  if ((absent & MCTX_META_DROPS) != 0) message->drops = 0;
}

/* Makes a message of an arrival: what was asked for of what there is, and the length of the whole. What it says
 * of datagrams is left to the caller. */
static MCTX__IN_PLACE void mctx__describe_message(const mctx__subscription *subscription, mctx__telling *told) {
  const mctx__arrival *arrival = &told->arrival;
  mctx_message *message = &told->message;
  const bool is_coalesced = arrival->segment_size != 0 && arrival->length > arrival->segment_size;
  message->present &= subscription->metadata;
  message->flags = is_coalesced ? MCTX_MESSAGE_COALESCED : 0;
  message->group.port = subscription->port;
  message->drops = subscription->drops;
  if (message->present != MCTX_META_ALL) mctx__clear_absent(message);
}

#endif

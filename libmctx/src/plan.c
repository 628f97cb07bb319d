/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <string.h>

/* A run of slices that can be one message. */
typedef struct run {
  uint32_t count;
  uint32_t bytes;
} run;

/* The longest run from the first slice on: equal ones, and one shorter. Any part of a run could be a message
 * too, so taking as much as possible each time makes the fewest messages. */
static inline run find_run(const mctx_slice *slices, uint64_t available, bool is_uniform,
                           const mctx__limits *limits) {
  const uint32_t size = (uint32_t)slices[0].length;
  if (size == 0 || size > limits->size) return (run){1, size};
  const uint32_t fitting = available < limits->count ? (uint32_t)available : limits->count;
  uint32_t most = limits->bytes / size;
  if (most > fitting) most = fitting;
  if (is_uniform && most > 0) return (run){most, most * size};
  run found = {1, size};
  while (found.count < most && slices[found.count].length == size)
    found.count++;
  found.bytes = found.count * size;
  if (found.count == fitting) return found;
  const uint64_t last = slices[found.count].length;
  if (last == 0 || last >= size || last + found.bytes > limits->bytes) return found;
  return (run){found.count + 1, found.bytes + (uint32_t)last};
}

/* Whether each slice begins where the one before ends. */
static inline bool are_adjacent(const mctx_slice *slices, uint32_t count) {
  uint32_t i = 1;
  while (i < count && slices[i].data == (const unsigned char *)slices[i - 1].data + slices[i - 1].length)
    i++;
  return i == count;
}

static void copy_pieces(const mctx_slice *slices, uint32_t count, unsigned char *to) {
  for (uint32_t i = 0; i < count; i++) {
    memcpy(to, slices[i].data, (size_t)slices[i].length);
    to += slices[i].length;
  }
}

/* Makes a message one piece, if it is or is better so. False: it has to wait for the next call. */
static inline bool join_pieces(mctx__outgoing *message, mctx__scratch *scratch) {
  const mctx_slice *slices = message->pieces;
  const void *data = slices[0].data;
  if (!are_adjacent(slices, message->datagrams)) {
    if (slices[0].length > MCTX__COPY_MOST) return true;
    unsigned char *copy = mctx__scratch_reserve(scratch, message->bytes);
    if (copy == NULL) return !mctx__scratch_is_held(scratch);
    copy_pieces(slices, message->datagrams, copy);
    data = copy;
  }
  message->whole.data = data;
  message->whole.length = message->bytes;
  message->pieces = &message->whole;
  message->piece_count = 1;
  return true;
}

static void plan_slices(mctx__plan *plan, const mctx__datagrams *source, uint64_t position, uint64_t end,
                        const mctx__limits *limits, mctx__scratch *scratch) {
  const mctx_slice *slices = source->slices + position;
  uint64_t available = end - position;
  uint32_t pieces = 0;
  while (available > 0 && plan->count < MCTX__SEND_MANY_MAX) {
    const run found = find_run(slices, available, source->is_uniform, limits);
    mctx__outgoing *message = &plan->messages[plan->count];
    message->pieces = slices;
    message->piece_count = found.count;
    message->segment_size = found.count > 1 ? (uint32_t)slices[0].length : 0;
    message->datagrams = found.count;
    message->bytes = found.bytes;
    if (found.count > 1 && !join_pieces(message, scratch)) break;
    pieces += message->piece_count;
    if (pieces > MCTX__SEND_PIECES_MAX) break;
    plan->count++;
    slices += found.count;
    available -= found.count;
  }
}

/* How many datagrams the next message holds. */
static inline uint32_t count_segments(const mctx__datagrams *source, uint64_t position, uint64_t end,
                                      const mctx__limits *limits) {
  const uint32_t size = source->segment_size;
  const uint64_t available = end - position;
  const uint32_t fitting = available < limits->count ? (uint32_t)available : limits->count;
  uint32_t most = limits->bytes / size;
  if (size > limits->size || most == 0) return 1;
  if (most >= fitting) return fitting;
  /* A shorter last one may fit where a whole one would not. */
  if (available > most + 1) return most;
  return most * size + mctx__datagram_length(source, end - 1) <= limits->bytes ? most + 1 : most;
}

static void plan_segments(mctx__plan *plan, const mctx__datagrams *source, uint64_t position, uint64_t end,
                          const mctx__limits *limits) {
  const uint32_t size = source->segment_size;
  while (position < end && plan->count < MCTX__SEND_MANY_MAX) {
    const uint32_t count = count_segments(source, position, end, limits);
    const uint64_t last = mctx__datagram_length(source, position + count - 1);
    mctx__outgoing *message = &plan->messages[plan->count++];
    message->pieces = &message->whole;
    message->piece_count = 1;
    message->segment_size = count > 1 ? size : 0;
    message->datagrams = count;
    message->bytes = (count - 1) * size + (uint32_t)last;
    message->whole.data = source->data + position * size;
    message->whole.length = message->bytes;
    position += count;
  }
}

void mctx__plan_make(mctx__plan *plan, const mctx__datagrams *source, uint64_t position, uint64_t end,
                     const mctx__limits *limits, mctx__scratch *scratch) {
  plan->count = 0;
  mctx__scratch_reuse(scratch);
  if (source->slices != NULL)
    plan_slices(plan, source, position, end, limits, scratch);
  else
    plan_segments(plan, source, position, end, limits);
}

/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <string.h>

/* A run of slices that can be one message. */
typedef struct run {
  uint32_t count;
  uint32_t bytes;
  bool is_adjacent; /* in memory */
} run;

/* The longest run from the first slice on: equal ones, and one shorter. Any part of a run could be a message
 * too, so taking as much as possible each time makes the fewest messages. */
static run find_run(const mctx_slice *slices, uint64_t available, const mctx__limits *limits) {
  const uint64_t size = slices[0].length;
  run found = {1, (uint32_t)size, true};
  if (size == 0 || size > limits->size) return found;
  uint64_t most = limits->bytes / size;
  if (most > limits->count) most = limits->count;
  if (most > available) most = available;
  const unsigned char *next = (const unsigned char *)slices[0].data + size;
  while (found.count < most) {
    const mctx_slice *slice = &slices[found.count];
    if (slice->length == 0 || slice->length > size) break;
    found.is_adjacent &= slice->data == next;
    found.bytes += (uint32_t)slice->length;
    found.count++;
    if (slice->length < size) break;
    next += size;
  }
  return found;
}

static void copy_pieces(const mctx_slice *slices, uint32_t count, unsigned char *to) {
  for (uint32_t i = 0; i < count; i++) {
    memcpy(to, slices[i].data, (size_t)slices[i].length);
    to += slices[i].length;
  }
}

/* Makes a message one piece, if it is or is better so. False: it has to wait for the next call. */
static bool join_pieces(mctx__plan *plan, const mctx_slice *slices, const run *found, mctx__scratch *scratch) {
  mctx__outgoing *message = &plan->messages[plan->count];
  const void *data = slices[0].data;
  if (!found->is_adjacent) {
    if (slices[0].length > MCTX__COPY_MOST) return true;
    unsigned char *copy = mctx__scratch_reserve(scratch, found->bytes);
    if (copy == NULL) return !mctx__scratch_is_held(scratch);
    copy_pieces(slices, found->count, copy);
    data = copy;
  }
  plan->pieces[plan->count] = (mctx_slice){.data = data, .length = found->bytes};
  message->pieces = &plan->pieces[plan->count];
  message->piece_count = 1;
  return true;
}

static void plan_slices(mctx__plan *plan, const mctx_slice *slices, uint64_t available,
                        const mctx__limits *limits, mctx__scratch *scratch) {
  uint32_t pieces = 0;
  while (available > 0 && plan->count < MCTX__SEND_MANY_MAX) {
    const run found = find_run(slices, available, limits);
    mctx__outgoing *message = &plan->messages[plan->count];
    *message = (mctx__outgoing){slices, found.count, 0};
    if (found.count > 1) {
      message->segment_size = (uint32_t)slices[0].length;
      if (!join_pieces(plan, slices, &found, scratch)) break;
    }
    pieces += message->piece_count;
    if (pieces > MCTX__SEND_PIECES_MAX) break;
    plan->datagrams[plan->count] = found.count;
    plan->bytes[plan->count] = found.bytes;
    plan->count++;
    slices += found.count;
    available -= found.count;
  }
}

static void plan_segments(mctx__plan *plan, const mctx__datagrams *source, uint64_t position, uint64_t end,
                          const mctx__limits *limits) {
  const uint32_t size = source->segment_size;
  uint32_t most = size <= limits->size ? limits->bytes / size : 1;
  if (most > limits->count) most = limits->count;
  if (most == 0) most = 1;
  while (position < end && plan->count < MCTX__SEND_MANY_MAX) {
    const uint32_t count = end - position < most ? (uint32_t)(end - position) : most;
    const uint64_t offset = position * size;
    const uint64_t last = mctx__datagram_length(source, position + count - 1);
    mctx_slice *piece = &plan->pieces[plan->count];
    *piece = (mctx_slice){.data = source->data + offset, .length = (uint64_t)(count - 1) * size + last};
    plan->messages[plan->count] = (mctx__outgoing){piece, 1, count > 1 ? size : 0};
    plan->datagrams[plan->count] = count;
    plan->bytes[plan->count] = (uint32_t)piece->length;
    plan->count++;
    position += count;
  }
}

void mctx__plan_make(mctx__plan *plan, const mctx__datagrams *source, uint64_t position, uint64_t end,
                     const mctx__limits *limits, mctx__scratch *scratch) {
  plan->count = 0;
  mctx__scratch_reuse(scratch);
  if (source->slices != NULL)
    plan_slices(plan, source->slices + position, end - position, limits, scratch);
  else
    plan_segments(plan, source, position, end, limits);
}

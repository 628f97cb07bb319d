/* SPDX-License-Identifier: MIT */
/* Source filters (RFC 3376, RFC 3678): a mode and a list, sorted, so that looking a source up is quick. */
#ifndef MCTX_FILTER_H
#define MCTX_FILTER_H

#include "error.h"

typedef struct mctx__filter {
  uint32_t mode; /* mctx_filter_mode */
  uint32_t count;
  mctx_address *sources; /* hosts alone: no port, scope or prefix; NULL if count is 0 */
} mctx__filter;

/* Whether a datagram from `source` passes. */
bool mctx__filter_passes(const mctx__filter *filter, const mctx_address *source);
bool mctx__filter_lists(const mctx__filter *filter, const mctx_address *source);
bool mctx__filter_same(const mctx__filter *a, const mctx__filter *b);
/* Any source: nothing to look up. */
static inline bool mctx__filter_is_open(const mctx__filter *filter) {
  return filter->mode == MCTX_EXCLUDE && filter->count == 0;
}

/* Those that make one return false where there is no memory. Give what they make to mctx__filter_free(). */

/* Of any addresses; sorts them. */
bool mctx__filter_make(mctx__filter *filter, uint32_t mode, const mctx_address *sources, uint32_t count);
bool mctx__filter_copy(mctx__filter *copy, const mctx__filter *filter);
/* With one source more or less in the list. */
bool mctx__filter_with(mctx__filter *changed, const mctx__filter *filter, const mctx_address *source);
bool mctx__filter_without(mctx__filter *changed, const mctx__filter *filter, const mctx_address *source);
/* What both list, or only the first; the mode is the first's. */
bool mctx__filter_common(mctx__filter *common, const mctx__filter *a, const mctx__filter *b);
bool mctx__filter_minus(mctx__filter *rest, const mctx__filter *a, const mctx__filter *b);
/* `a` and the first `count` of `b`. */
bool mctx__filter_joined(mctx__filter *joined, const mctx__filter *a, const mctx__filter *b, uint32_t count);
/* Takes the first `count` off the list. */
void mctx__filter_skip(mctx__filter *filter, uint32_t count);
/* Leaves an open one behind. */
void mctx__filter_free(mctx__filter *filter);
/* The filter goes to the caller; an open one stays behind. */
mctx__filter mctx__filter_take(mctx__filter *filter);

#endif

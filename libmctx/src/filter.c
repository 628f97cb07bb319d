/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
  return memcmp(((const mctx_address *)a)->bytes, ((const mctx_address *)b)->bytes,
                sizeof((mctx_address *)0)->bytes);
}

/* Where the source stands in the list, or would stand. */
static uint32_t position_of(const mctx__filter *filter, const mctx_address *source, bool *found) {
  uint32_t low = 0;
  uint32_t high = filter->count;
  *found = false;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = compare(source, &filter->sources[middle]);
    if (order == 0) *found = true;
    if (order <= 0)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

bool mctx__filter_lists(const mctx__filter *filter, const mctx_address *source) {
  bool found;
  position_of(filter, source, &found);
  return found;
}

bool mctx__filter_passes(const mctx__filter *filter, const mctx_address *source) {
  return mctx__filter_lists(filter, source) == (filter->mode == MCTX_INCLUDE);
}

bool mctx__filter_same(const mctx__filter *a, const mctx__filter *b) {
  if (a->mode != b->mode || a->count != b->count) return false;
  for (uint32_t i = 0; i < a->count; i++)
    if (compare(&a->sources[i], &b->sources[i]) != 0) return false;
  return true;
}

/* An empty list with room. */
static bool make_room(mctx__filter *filter, uint32_t mode, uint32_t capacity) {
  *filter = (mctx__filter){.mode = mode};
  if (capacity == 0) return true;
  filter->sources = mctx__allocate(capacity * sizeof *filter->sources);
  return filter->sources != NULL;
}

static void append(mctx__filter *filter, const mctx_address *source) {
  mctx_address *last = &filter->sources[filter->count++];
  *last = (mctx_address){.family = source->family};
  memcpy(last->bytes, source->bytes, sizeof last->bytes);
}

bool mctx__filter_make(mctx__filter *filter, uint32_t mode, const mctx_address *sources, uint32_t count) {
  if (!make_room(filter, mode, count)) return false;
  for (uint32_t i = 0; i < count; i++)
    append(filter, &sources[i]);
  if (count > 1) qsort(filter->sources, count, sizeof *filter->sources, compare);
  return true;
}

bool mctx__filter_copy(mctx__filter *copy, const mctx__filter *filter) {
  const mctx__filter none = {.mode = filter->mode};
  return mctx__filter_joined(copy, filter, &none, 0);
}

bool mctx__filter_with(mctx__filter *changed, const mctx__filter *filter, const mctx_address *source) {
  mctx_address own = *source;
  const mctx__filter one = {.mode = filter->mode, .count = 1, .sources = &own};
  return mctx__filter_joined(changed, filter, &one, 1);
}

bool mctx__filter_without(mctx__filter *changed, const mctx__filter *filter, const mctx_address *source) {
  mctx_address own = *source;
  const mctx__filter one = {.mode = filter->mode, .count = 1, .sources = &own};
  return mctx__filter_minus(changed, filter, &one);
}

/* Those of `a` that `b` lists, or does not. */
static bool select_from(mctx__filter *selected, const mctx__filter *a, const mctx__filter *b, bool listed) {
  if (!make_room(selected, a->mode, a->count)) return false;
  for (uint32_t i = 0; i < a->count; i++)
    if (mctx__filter_lists(b, &a->sources[i]) == listed) append(selected, &a->sources[i]);
  return true;
}

bool mctx__filter_common(mctx__filter *common, const mctx__filter *a, const mctx__filter *b) {
  return select_from(common, a, b, true);
}

bool mctx__filter_minus(mctx__filter *rest, const mctx__filter *a, const mctx__filter *b) {
  return select_from(rest, a, b, false);
}

bool mctx__filter_joined(mctx__filter *joined, const mctx__filter *a, const mctx__filter *b, uint32_t count) {
  uint32_t from_a = 0;
  uint32_t from_b = 0;
  if (!make_room(joined, a->mode, a->count + count)) return false;
  while (from_a < a->count || from_b < count) {
    bool take_a =
        from_b == count || (from_a < a->count && compare(&a->sources[from_a], &b->sources[from_b]) < 0);
    append(joined, take_a ? &a->sources[from_a++] : &b->sources[from_b++]);
  }
  return true;
}

void mctx__filter_skip(mctx__filter *filter, uint32_t count) {
  filter->count -= count;
  if (count > 0 && filter->count > 0)
    memmove(filter->sources, filter->sources + count, filter->count * sizeof *filter->sources);
}

void mctx__filter_free(mctx__filter *filter) {
  mctx__release(filter->sources);
  *filter = (mctx__filter){.mode = MCTX_EXCLUDE};
}

mctx__filter mctx__filter_take(mctx__filter *filter) {
  mctx__filter taken = *filter;
  *filter = (mctx__filter){.mode = MCTX_EXCLUDE};
  return taken;
}

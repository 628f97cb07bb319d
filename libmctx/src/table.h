/* SPDX-License-Identifier: MIT */
/* Looking things up by group and interface. The table holds no memory of its entries: they carry its links. */
#ifndef MCTX_TABLE_H
#define MCTX_TABLE_H

#include <string.h>

#include "error.h"

typedef struct mctx__entry {
  struct mctx__entry *next;
  uint32_t hash;
  uint32_t owner; /* tells entries of one group and interface apart: which socket */
  uint32_t interface_index;
  mctx_address group;
} mctx__entry;

typedef struct mctx__table {
  mctx__entry **buckets;
  uint32_t size; /* a power of two, or 0 */
  uint32_t count;
} mctx__table;

/* Whether an entry is the one of that interface and group (of the same family). */
static inline bool mctx__entry_is(const mctx__entry *entry, uint32_t interface_index,
                                  const mctx_address *group) {
  return entry->interface_index == interface_index &&
         memcmp(entry->group.bytes, group->bytes, sizeof group->bytes) == 0;
}

/* NULL if there is none. */
mctx__entry *mctx__table_find(const mctx__table *table, uint32_t owner, uint32_t interface_index,
                              const mctx_address *group);
/* Makes room for so many entries in all; false if there is no memory. The new buckets are put to use by
 * mctx__table_grow(), which never fails. */
bool mctx__table_reserve(const mctx__table *table, uint32_t count, mctx__table *larger);
/* Moves the entries over if `larger` has buckets; the old ones are left in `larger`, to be released. */
void mctx__table_grow(mctx__table *table, mctx__table *larger);
/* Room must be there. */
void mctx__table_add(mctx__table *table, mctx__entry *entry);
void mctx__table_remove(mctx__table *table, mctx__entry *entry);
void mctx__table_release(mctx__table *table);

#endif

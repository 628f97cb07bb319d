/* SPDX-License-Identifier: MIT */
#include "table.h"

static uint32_t mix(uint32_t hash, uint32_t word) {
  return (hash ^ word) * UINT32_C(2654435769);
}

/* Every bit of the words reaches the low ones of the hash: groups mostly differ in their last byte. */
static uint32_t hash_of(uint32_t owner, uint32_t interface_index, const mctx_address *group) {
  uint32_t words[4];
  memcpy(words, group->bytes, sizeof words);
  uint32_t hash = mix(mix(mix(1, owner), interface_index), words[0]);
  for (int i = 1; i < 4 && group->family != 4; i++)
    hash = mix(hash ^ hash >> 15, words[i]);
  hash = (hash ^ hash >> 16) * UINT32_C(0x85ebca6b);
  hash = (hash ^ hash >> 13) * UINT32_C(0xc2b2ae35);
  return hash ^ hash >> 16;
}

mctx__entry *mctx__table_find(const mctx__table *table, uint32_t owner, uint32_t interface_index,
                              const mctx_address *group) {
  if (table->size == 0) return NULL;
  uint32_t hash = hash_of(owner, interface_index, group);
  mctx__entry *entry = table->buckets[hash & (table->size - 1)];
  while (entry != NULL &&
         (entry->hash != hash || entry->owner != owner || entry->group.family != group->family ||
          !mctx__entry_is(entry, interface_index, group)))
    entry = entry->next;
  return entry;
}

bool mctx__table_reserve(const mctx__table *table, uint32_t count, mctx__table *larger) {
  *larger = (mctx__table){0};
  if (count <= table->size) return true;
  uint32_t size = table->size == 0 ? 16 : table->size;
  while (size < count)
    size *= 2;
  larger->buckets = mctx__allocate(size * sizeof(mctx__entry *));
  larger->size = size;
  return larger->buckets != NULL;
}

static void link_in(mctx__table *table, mctx__entry *entry) {
  mctx__entry **bucket = &table->buckets[entry->hash & (table->size - 1)];
  entry->next = *bucket;
  *bucket = entry;
  table->count++;
}

void mctx__table_grow(mctx__table *table, mctx__table *larger) {
  if (larger->buckets == NULL) return;
  for (uint32_t i = 0; i < table->size; i++) {
    while (table->buckets[i] != NULL) {
      mctx__entry *entry = table->buckets[i];
      table->buckets[i] = entry->next;
      link_in(larger, entry);
    }
  }
  const mctx__table old = *table;
  *table = *larger;
  *larger = (mctx__table){.buckets = old.buckets};
}

void mctx__table_add(mctx__table *table, mctx__entry *entry) {
  entry->hash = hash_of(entry->owner, entry->interface_index, &entry->group);
  link_in(table, entry);
}

void mctx__table_remove(mctx__table *table, mctx__entry *entry) {
  mctx__entry **at = &table->buckets[entry->hash & (table->size - 1)];
  while (*at != entry)
    at = &(*at)->next;
  *at = entry->next;
  table->count--;
}

void mctx__table_release(mctx__table *table) {
  mctx__release(table->buckets);
  *table = (mctx__table){0};
}

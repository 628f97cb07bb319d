/* SPDX-License-Identifier: MIT */
/* Structs that cross the boundary and start with `uint32_t size`. */
#ifndef MCTX_OPTIONS_H
#define MCTX_OPTIONS_H

#include "error.h"

/* Whether a struct of this size can be one of ours, of any version. */
bool mctx__struct_size_valid(uint32_t size);
/* Whether a struct of ours may stand there. */
static inline bool mctx__is_aligned(const void *pointer) {
  return ((uintptr_t)pointer & 7) == 0;
}

/* Reads what the caller gave over `own`, which holds the defaults: an older, shorter struct leaves the rest at
 * the defaults; of a newer, longer one the tail must be zero. */
mctx_status mctx__struct_read(const mctx__call *call, const void *given, void *own, uint32_t own_size,
                              const char *field);

/* Checks a struct that the call will write. */
mctx_status mctx__struct_check(const mctx__call *call, const void *given, const char *field);

/* Zeroes a struct that the call will write; nothing if it is none. */
void mctx__struct_clear(void *given);

/* Writes as much of `own` as the caller's struct has room for, zeroes the rest, keeps the caller's size. */
void mctx__struct_write(void *given, const void *own, uint32_t own_size);

/* Fills a struct of the caller's with defaults and sets its size. */
void mctx__struct_init(void *given, uint32_t size, const void *defaults, uint32_t own_size);

/* Reads one element of an array whose elements are `stride` bytes for the caller; what the caller's lack is
 * zero, and of what we lack the tail must be. */
mctx_status mctx__element_read(const mctx__call *call, const void *array, uint32_t stride, uint64_t position,
                               void *own, uint32_t own_size, const char *field);

/* Writes one element of a result array whose elements are `stride` bytes for the caller. */
void mctx__element_write(void *array, uint32_t stride, uint64_t position, const void *own, uint32_t own_size);

/* Empties text that the call will write; what is NULL is left out. */
void mctx__text_clear(char *text, size_t capacity, size_t *length);
/* Checks that it can be written. */
mctx_status mctx__text_check(const mctx__call *call, const char *text, size_t capacity, const size_t *length);

/* Checks an array of structs that the call will read or write. */
mctx_status mctx__array_check(const mctx__call *call, const void *array, uint32_t stride, uint64_t capacity,
                              const char *field);

#endif

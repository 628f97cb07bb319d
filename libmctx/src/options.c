/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <string.h>

enum { MAX_STRUCT_SIZE = 65536 };

bool mctx__struct_size_valid(uint32_t size) {
  return size >= 8 && size % 8 == 0 && size <= MAX_STRUCT_SIZE;
}

/* The size is read as bytes: the caller's struct may be of any type and version. */
static uint32_t size_of(const void *given) {
  uint32_t size;
  memcpy(&size, given, sizeof size);
  return size;
}

static bool is_zero(const unsigned char *bytes, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (bytes[i] != 0) return false;
  return true;
}

mctx_status mctx__struct_check(const mctx__call *call, const void *given, const char *field) {
  if (given == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = field);
  if (!mctx__struct_size_valid(size_of(given)))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = field, .value = size_of(given),
                      .hint = "set `size` to sizeof the struct, or call its initialiser, before the call");
  return MCTX_OK;
}

static mctx_status read_bytes(const mctx__call *call, const void *given, uint32_t size, void *own,
                              uint32_t own_size, const char *field) {
  if (size > own_size && !is_zero((const unsigned char *)given + own_size, size - own_size))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_TAIL, .field = field, .value = size, .limit = own_size,
                      .hint =
                          "the program was built for a newer libmctx and uses an option that this one does "
                          "not have: update the library, or leave the option out");
  memcpy(own, given, size < own_size ? size : own_size);
  return MCTX_OK;
}

mctx_status mctx__struct_read(const mctx__call *call, const void *given, void *own, uint32_t own_size,
                              const char *field) {
  mctx_status status = mctx__struct_check(call, given, field);
  if (status != MCTX_OK) return status;
  uint32_t size = size_of(given);
  return read_bytes(call, given, size, own, own_size, field);
}

mctx_status mctx__element_read(const mctx__call *call, const void *array, uint32_t stride, uint64_t position,
                               void *own, uint32_t own_size, const char *field) {
  memset(own, 0, own_size);
  return read_bytes(call, (const unsigned char *)array + position * stride, stride, own, own_size, field);
}

void mctx__struct_clear(void *given) {
  if (given == NULL || !mctx__struct_size_valid(size_of(given))) return;
  memset((unsigned char *)given + sizeof(uint32_t), 0, size_of(given) - sizeof(uint32_t));
}

void mctx__struct_write(void *given, const void *own, uint32_t own_size) {
  uint32_t size = size_of(given);
  uint32_t written = size < own_size ? size : own_size;
  memcpy((unsigned char *)given + sizeof size, (const unsigned char *)own + sizeof size, written - sizeof size);
  memset((unsigned char *)given + written, 0, size - written);
}

void mctx__struct_init(void *given, uint32_t size, const void *defaults, uint32_t own_size) {
  if (given == NULL || !mctx__struct_size_valid(size)) return;
  memcpy(given, &size, sizeof size);
  mctx__struct_write(given, defaults, own_size);
}

void mctx__element_write(void *array, uint32_t stride, uint64_t position, const void *own, uint32_t own_size) {
  unsigned char *element = (unsigned char *)array + position * stride;
  uint32_t written = stride < own_size ? stride : own_size;
  memcpy(element, own, written);
  memset(element + written, 0, stride - written);
}

void mctx__text_clear(char *text, size_t capacity, size_t *length) {
  if (length != NULL) *length = 0;
  if (text != NULL && capacity > 0) text[0] = '\0';
}

mctx_status mctx__text_check(const mctx__call *call, const char *text, size_t capacity, const size_t *length) {
  if (length == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "length");
  if (text == NULL && capacity > 0) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "text");
  return MCTX_OK;
}

mctx_status mctx__array_check(const mctx__call *call, const void *array, uint32_t stride, uint64_t capacity,
                              const char *field) {
  if (array == NULL && capacity > 0) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = field);
  if (capacity > 0 && !mctx__struct_size_valid(stride))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "stride", .value = stride,
                      .hint = "pass the size of one element, a multiple of 8");
  return MCTX_OK;
}

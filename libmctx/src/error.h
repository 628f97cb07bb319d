/* SPDX-License-Identifier: MIT */
/* One public call in progress, and how it fails. */
#ifndef MCTX_ERROR_H
#define MCTX_ERROR_H

#include <stdbool.h>

#include "mctx.h"
#include "platform/platform.h"

/* Made on the stack at the top of every public function that can fail. */
typedef struct mctx__call {
  const char *operation;
  mctx_handle handle;
  mctx_error *error; /* the caller's; NULL if nobody asks */
} mctx__call;

/* What a failure says. Unset texts: message and hint are those of the status, if it has one; the field is
 * empty. */
typedef struct mctx__refusal {
  mctx_status status;
  int32_t os_code;
  uint64_t nth; /* element of an array argument, counted from 1; 0: none */
  uint64_t value;
  uint64_t limit;
  uint32_t flags;
  const char *field;
  const char *message;
  const char *hint;
} mctx__refusal;

/* Describes the failure in the caller's record. */
void mctx__describe(const mctx__call *call, const mctx__refusal *refusal);

/* The same, and returns its status: inline, so that analysers see which it is. */
static inline mctx_status mctx__fail(const mctx__call *call, const mctx__refusal *refusal) {
  mctx__describe(call, refusal);
  return refusal->status;
}

#define MCTX__FAIL(call, code, ...) mctx__fail((call), &(mctx__refusal){.status = (code), __VA_ARGS__})

/* The failure of an argument whose value is none that it can have. */
static inline mctx_status mctx__invalid(const mctx__call *call, const char *field, int64_t value,
                                        const char *hint) {
  return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = field, .value = (uint64_t)value, .hint = hint);
}

/* Adds which element of an array argument it was, from 0, to a failure that has been described. */
void mctx__describe_item(const mctx__call *call, uint64_t item);

/* Whether the caller's error record can be written: NULL can, one without a size cannot. Of a call, nothing but
 * zeroing what it returns may come before this check. */
static inline bool mctx__error_usable(const mctx_error *error) {
  return error == NULL || (error->size >= 8 && error->size % 8 == 0 && error->size <= 65536);
}

/* Whether the same call may succeed later; ::mctx_retry. */
uint32_t mctx__status_retry(mctx_status status);

/* Copies text, cut to the capacity, always terminated. Returns the length of the whole text. */
size_t mctx__copy_text(char *to, size_t capacity, const char *text);

#endif

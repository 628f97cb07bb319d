/* SPDX-License-Identifier: MIT */
#include "error.h"

#include <string.h>

#include "options.h"

size_t mctx__copy_text(char *to, size_t capacity, const char *text) {
  size_t length = strlen(text);
  if (capacity > 0) {
    size_t copied = length < capacity ? length : capacity - 1;
    memcpy(to, text, copied);
    to[copied] = '\0';
  }
  return length;
}

uint32_t mctx__status_retry(mctx_status status) {
  switch (mctx_status_kind(status)) {
    case MCTX_KIND_WOULD_BLOCK:
      return status == MCTX_ERR_PACED ? MCTX_RETRY_AFTER_DELAY : MCTX_RETRY_WHEN_READY;
    case MCTX_KIND_TIMEOUT:
    case MCTX_KIND_INTERRUPTED:
      return MCTX_RETRY_WHEN_READY;
    case MCTX_KIND_LIMIT:
      return status == MCTX_ERR_QUEUE_FULL ? MCTX_RETRY_AFTER_DELAY : MCTX_RETRY_AFTER_CHANGE;
    case MCTX_KIND_NOT_FOUND:
    case MCTX_KIND_ALREADY_EXISTS:
    case MCTX_KIND_PERMISSION:
    case MCTX_KIND_NETWORK:
    case MCTX_KIND_IO:
      return MCTX_RETRY_AFTER_CHANGE;
    default:
      return MCTX_RETRY_NEVER;
  }
}

/* These happen on hot paths: their records carry numbers alone. */
static bool is_hot(mctx_status status) {
  return status == MCTX_ERR_WOULD_BLOCK || status == MCTX_ERR_PACED || status == MCTX_ERR_TIMEOUT ||
         status == MCTX_ERR_QUEUE_FULL;
}

/* Where the call that failed has nothing better to say. */
static const char *usual_hint(mctx_status status) {
  return status == MCTX_ERR_RESERVED ? "set it to 0: this version of the library gives it no meaning" : "";
}

void mctx__describe(const mctx__call *call, const mctx__refusal *refusal) {
  if (call->error == NULL) return;

  mctx_error own;
  memset(&own, 0, sizeof own);
  own.status = refusal->status;
  own.kind = mctx_status_kind(refusal->status);
  own.os_code = refusal->os_code;
  own.handle = call->handle;
  own.item = (int64_t)refusal->nth - 1;
  own.value = refusal->value;
  own.limit = refusal->limit;
  own.flags = refusal->flags;
  own.retry = (refusal->flags & MCTX_ERROR_DELIVERED_LOCALLY) != 0 ? MCTX_RETRY_NEVER
                                                                   : mctx__status_retry(refusal->status);
  if (!is_hot(refusal->status)) {
    mctx__copy_text(own.operation, sizeof own.operation, call->operation);
    mctx__copy_text(own.field, sizeof own.field, refusal->field != NULL ? refusal->field : "");
    mctx__copy_text(own.message, sizeof own.message,
                    refusal->message != NULL ? refusal->message : mctx_status_text(refusal->status));
    mctx__copy_text(own.hint, sizeof own.hint,
                    refusal->hint != NULL ? refusal->hint : usual_hint(refusal->status));
  }
  mctx__struct_write(call->error, &own, sizeof own);
}

void mctx__describe_item(const mctx__call *call, uint64_t item) {
  const size_t end = offsetof(mctx_error, item) + sizeof call->error->item;
  if (call->error != NULL && call->error->size >= end) call->error->item = (int64_t)item;
}

void mctx_error_init(mctx_error *error, uint32_t size) {
  static const mctx_error defaults;
  mctx__struct_init(error, size, &defaults, sizeof defaults);
}

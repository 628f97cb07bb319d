/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "mctx.h"

typedef struct status_row {
  mctx_status status;
  const char *name;
  const char *text;
} status_row;

static const status_row rows[] = {
#define STATUS_ROW(NAME, KIND, n, name, text) {MCTX_ERR_##NAME, name, text},
    MCTX_STATUS_MAP(STATUS_ROW)
#undef STATUS_ROW
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const status_row *find(mctx_status status) {
  for (size_t i = 0; i < ROW_COUNT; i++)
    if (rows[i].status == status) return &rows[i];
  return NULL;
}

const char *mctx_status_name(mctx_status status) {
  if (status == MCTX_OK) return "ok";
  const status_row *row = find(status);
  return row != NULL ? row->name : "unknown";
}

const char *mctx_status_text(mctx_status status) {
  if (status == MCTX_OK) return "success";
  const status_row *row = find(status);
  return row != NULL ? row->text : "a status that this version of the library does not know";
}

uint32_t mctx_status_kind(mctx_status status) {
  if (status >= 0) return MCTX_KIND_NONE;
  return (uint32_t)(-(int64_t)status / 1000);
}

mctx_status mctx_status_at(uint32_t position) {
  return position < ROW_COUNT ? rows[position].status : MCTX_OK;
}

const char *mctx_kind_name(uint32_t kind) {
  switch (kind) {
    case MCTX_KIND_NONE:
      return "none";
#define KIND_CASE(NAME, number, name, text) \
  case (number):                            \
    return name;
      MCTX_KIND_MAP(KIND_CASE)
#undef KIND_CASE
    default:
      return "unknown";
  }
}

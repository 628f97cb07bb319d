/* SPDX-License-Identifier: MIT */
/* The public header alone, as C11 and as C++17, with the recorded layouts: compiled for every target. */
#include "mctx.h"

#ifdef __cplusplus
#define LAYOUT(expression, value) static_assert((expression) == (value), #expression)
#else
#define LAYOUT(expression, value) _Static_assert((expression) == (value), #expression)
#endif

#include "layouts.h"

/* The initialiser is usable in both languages. */
static mctx_error error = MCTX_ERROR_INIT;
uint32_t header_error_size(void);
uint32_t header_error_size(void) {
  return error.size;
}

/* SPDX-License-Identifier: MIT */
/* Whatever text is parsed: no undefined behaviour, and what parses comes back from its own text. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mctx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  if (text == NULL) return 0;
  memcpy(text, data, size);
  text[size] = '\0';

  mctx_address address, again;
  char written[64];
  size_t length = 0;
  if (mctx_address_parse(text, &address, NULL) == MCTX_OK) {
    if (mctx_address_format(&address, written, sizeof written, &length, NULL) != MCTX_OK) __builtin_trap();
    if (length >= sizeof written || strlen(written) != length) __builtin_trap();
    if (mctx_address_parse(written, &again, NULL) != MCTX_OK) __builtin_trap();
    if (memcmp(&address, &again, sizeof address) != 0) __builtin_trap();
  }
  free(text);
  return 0;
}

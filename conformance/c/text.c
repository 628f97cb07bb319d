/* SPDX-License-Identifier: MIT */
/* Text that grows. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static void text_reserve(text *to, size_t more) {
  size_t needed = to->length + more + 1;
  if (needed <= to->capacity) return;
  size_t capacity = to->capacity ? to->capacity : 256;
  while (capacity < needed)
    capacity *= 2;
  char *data = realloc(to->data, capacity);
  if (data == NULL) {
    fputs("runner: out of memory\n", stderr);
    exit(99);
  }
  to->data = data;
  to->capacity = capacity;
}

void text_add(text *to, const char *bytes, size_t length) {
  text_reserve(to, length);
  if (length != 0) memcpy(to->data + to->length, bytes, length);
  to->length += length;
  to->data[to->length] = '\0';
}

void text_print(text *to, const char *format, ...) {
  va_list list;
  va_start(list, format);
  char line[2048];
  int length = vsnprintf(line, sizeof line, format, list);
  va_end(list);
  if (length < 0) return;
  text_add(to, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
}

void text_cut(text *to, size_t length) {
  to->length = length;
  if (to->data != NULL) to->data[length] = '\0';
}

void text_free(text *to) {
  free(to->data);
  *to = (text){0};
}

const char *text_get(const text *of) {
  return of->data ? of->data : "";
}

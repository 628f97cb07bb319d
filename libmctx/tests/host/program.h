/* SPDX-License-Identifier: MIT */
/* Programs of others, run beside a test. They end with it. */
#ifndef MCTX_TESTS_PROGRAM_H
#define MCTX_TESTS_PROGRAM_H

#include "host/host.h"

typedef struct program {
  pid_t process; /* of a group of its own */
  int output;    /* a file without a name */
  char text[1 << 16];
} program;

/* Starts a command made as by printf, on the second host; its output is kept. */
program *program_there(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What it has said so far. */
const char *program_text(program *own);
/* Whether it says that, waiting at most so long. */
bool program_says(program *own, const char *text, int timeout_ms);
/* Ends it and frees it. */
void program_end(program *own);

#endif

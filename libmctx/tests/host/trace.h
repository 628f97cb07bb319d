/* SPDX-License-Identifier: MIT */
/* Which system calls a program makes between two marks: it runs itself under strace. */
#ifndef MCTX_TESTS_TRACE_H
#define MCTX_TESTS_TRACE_H

#include "host/host.h"

enum { TRACED_CALLS = 512 };

typedef struct trace {
  char names[TRACED_CALLS][32];
  int64_t results[TRACED_CALLS]; /* what each returned */
  uint32_t count;
} trace;

/* In the traced program: the calls between the first two marks are what is read. */
void trace_mark(void);
/* Runs this program with these arguments; skips the test where that cannot be traced. */
void trace_self(trace *seen, const char *arguments);
/* How many calls of that name there were. */
uint32_t trace_count(const trace *seen, const char *name);
/* The sum of what they returned. */
int64_t trace_sum(const trace *seen, const char *name);
/* Ends the traced program where a call fails: nobody asserts there. */
void trace_expect(mctx_status status);

#endif

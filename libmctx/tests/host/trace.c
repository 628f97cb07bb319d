/* SPDX-License-Identifier: MIT */
/* Which system calls a program makes between two marks. */
#include "host/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* getppid() is the mark: nobody else calls it. */
void trace_mark(void) {
  (void)getppid();
}

void trace_expect(mctx_status status) {
  if (status == MCTX_OK) return;
  fprintf(stderr, "%s\n", mctx_status_name(status));
  exit(1);
}

static void read_trace(const char *path, trace *seen) {
  char line[1024];
  int marks = 0;
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  seen->count = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    size_t length = strcspn(line, "(");
    const char *result = strrchr(line, '=');
    if (line[length] != '(' || length >= sizeof seen->names[0]) continue;
    line[length] = '\0';
    if (strcmp(line, "getppid") == 0) {
      marks++;
    } else if (marks == 1 && seen->count < TRACED_CALLS) {
      seen->results[seen->count] = result != NULL ? strtoll(result + 1, NULL, 0) : 0;
      memcpy(seen->names[seen->count++], line, length + 1);
    }
  }
  fclose(file);
  assert_int_equal(marks, 2);
}

void trace_self(trace *seen, const char *arguments) {
  char path[] = "/tmp/mctx-trace-XXXXXX";
  char self[4096];
  if (!host_has("strace") || !host_try("strace -qq -o /dev/null true 2>/dev/null"))
    SKIP("strace is not there, or may not trace");
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  assert_true(length > 0);
  self[length] = '\0';
  int file = mkstemp(path);
  assert_true(file >= 0);
  close(file);
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* which does not work under strace */
  bool done = host_try("strace -qq -s 0 -e abbrev=all -o %s %s %s", path, self, arguments);
  if (done) read_trace(path, seen);
  unlink(path);
  assert_true(done);
}

uint32_t trace_count(const trace *seen, const char *name) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < seen->count; i++)
    count += strcmp(seen->names[i], name) == 0;
  return count;
}

int64_t trace_sum(const trace *seen, const char *name) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < seen->count; i++)
    sum += strcmp(seen->names[i], name) == 0 ? seen->results[i] : 0;
  return sum;
}

/* SPDX-License-Identifier: MIT */
/* Programs of others, run beside a test. */
#include "host/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void become(const char *command, int output) {
  char line[1024];
  int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  snprintf(line, sizeof line, "exec %s", command);
  execl("/bin/sh", "sh", "-c", line, (char *)NULL);
  _exit(127);
}

program *program_there(const char *format, ...) {
  char command[900];
  va_list arguments;
  program *own = calloc(1, sizeof *own);
  assert_non_null(own);
  va_start(arguments, format);
  assert_in_range(vsnprintf(command, sizeof command, format, arguments), 1, (int)sizeof command - 1);
  va_end(arguments);
  char name[] = "/tmp/mctx-program-XXXXXX";
  own->output = mkostemp(name, O_CLOEXEC | O_APPEND);
  assert_true(own->output >= 0);
  unlink(name);
  fflush(stdout);
  there_begin();
  own->process = fork();
  if (own->process == 0) become(command, own->output);
  there_end();
  assert_true(own->process > 0);
  return own;
}

const char *program_text(program *own) {
  ssize_t length = pread(own->output, own->text, sizeof own->text - 1, 0);
  own->text[length > 0 ? length : 0] = '\0';
  return own->text;
}

bool program_says(program *own, const char *text, int timeout_ms) {
  for (int waited = 0; waited <= timeout_ms; waited += 10) {
    if (strstr(program_text(own), text) != NULL) return true;
    sleep_ms(10);
  }
  return false;
}

void program_end(program *own) {
  kill(-own->process, SIGTERM);
  for (int i = 0; i < 200 && waitpid(own->process, NULL, WNOHANG) == 0; i++) {
    if (i == 100) kill(-own->process, SIGKILL);
    sleep_ms(10);
  }
  close(own->output);
  free(own);
}

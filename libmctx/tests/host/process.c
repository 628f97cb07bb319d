/* SPDX-License-Identifier: MIT */
/* What the process holds, its children, its threads, its clock. */
#include "host.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

uint32_t descriptors_held(void) {
  uint32_t count = 0;
  DIR *folder = opendir("/proc/self/fd");
  assert_non_null(folder);
  while (readdir(folder) != NULL)
    count++;
  closedir(folder);
  return count;
}

int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

int64_t processor_time_ns(void) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return used.tv_sec * SECOND + used.tv_nsec;
}

uint64_t number_wanted(const char *variable, uint64_t usual) {
  const char *given = getenv(variable);
  return given != NULL ? strtoull(given, NULL, 10) : usual;
}

void sleep_ms(int milliseconds) {
  struct timespec duration = {milliseconds / 1000, milliseconds % 1000 * MILLI};
  nanosleep(&duration, NULL);
}

void stay_on_one_processor(void) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET((size_t)sched_getcpu(), &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

bool child_may_allocate(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

void threads_start(pthread_t *threads, uint32_t count, void *(*body)(void *), void *arguments, size_t apart) {
  for (uint32_t i = 0; i < count; i++) {
    void *argument = arguments != NULL ? (char *)arguments + i * apart : NULL;
    assert_int_equal(0, pthread_create(&threads[i], NULL, body, argument));
  }
}

void threads_join(const pthread_t *threads, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    assert_int_equal(0, pthread_join(threads[i], NULL));
}

int exit_code_of(pid_t child) {
  int status = -1;
  for (int i = 0; i < 1000; i++) {
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    sleep_ms(10);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return -1;
}

int in_child(int (*body)(void *), void *argument) {
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(body(argument));
  return exit_code_of(child);
}

/* SPDX-License-Identifier: MIT */
/* Threads of a case, which meet at barriers alone, and forked children. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runner.h"

static void *thread_main(void *argument) {
  strand_run(argument);
  return NULL;
}

static strand *thread_find(run *r, const char *name) {
  for (unsigned i = 0; i < r->thread_count; i++) {
    if (strcmp(r->threads[i]->name, name) == 0) return r->threads[i];
  }
  return NULL;
}

static void thread_start(call *c) {
  run *r = c->run;
  strand *s = calloc(1, sizeof *s);
  if (s == NULL || r->thread_count == MAX_THREADS || thread_find(r, arg_text(c, "thread")) != NULL) {
    free(s);
    call_invalid(c, "no such thread can be started");
    return;
  }
  s->run = r;
  s->name = arg_text(c, "thread");
  s->steps = yyjson_obj_get(c->step, "steps");
  s->doc = yyjson_mut_doc_new(NULL);
  r->threads[r->thread_count++] = s;
  s->started = pthread_create(&s->thread, NULL, thread_main, s) == 0;
  if (!s->started) call_invalid(c, "no thread");
}

/* The thread's lines come into the transcript here, so that their place is always the same. */
static void thread_join(call *c) {
  strand *s = thread_find(c->run, arg_text(c, "thread"));
  if (s == NULL || !s->started) {
    call_invalid(c, "no such thread is running");
    return;
  }
  pthread_join(s->thread, NULL);
  s->started = false;
  text_add(&c->strand->transcript, text_get(&s->transcript), s->transcript.length);
  if (s->where[0] == '\0') return;
  char where[160];
  snprintf(where, sizeof where, "%s.%zu.%s", s->name, s->step, s->where);
  c->invalid = true;
  strand_fail(c->strand, where, "%s", s->because);
}

static barrier *barrier_find(call *c, const char *name) {
  run *r = c->run;
  for (unsigned i = 0; i < r->barrier_count; i++) {
    if (strcmp(r->barriers[i].name, name) == 0) return &r->barriers[i];
  }
  if (r->barrier_count == MAX_BARRIERS) return NULL;
  barrier *b = &r->barriers[r->barrier_count++];
  b->name = yyjson_mut_get_str(yyjson_mut_strcpy(r->doc, name));
  return b;
}

static void barrier_meet(call *c) {
  run *r = c->run;
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 10;
  pthread_mutex_lock(&r->lock);
  barrier *b = barrier_find(c, arg_text(c, "barrier"));
  bool met = b != NULL;
  if (met) {
    unsigned generation = b->generation;
    if (++b->arrived == (unsigned)arg_u64(c, "parties", 2)) {
      b->arrived = 0;
      b->generation++;
      pthread_cond_broadcast(&r->changed);
    }
    while (met && b->generation == generation) {
      met = pthread_cond_timedwait(&r->changed, &r->lock, &deadline) != ETIMEDOUT;
    }
  }
  pthread_mutex_unlock(&r->lock);
  if (!met) call_invalid(c, "nobody came to the barrier");
}

/* ---- processes ---- */

#define CHILD_SECONDS 20

static void write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written <= 0) return;
    bytes += written;
    length -= (size_t)written;
  }
}

/* Runs the steps and tells the parent how it went: "step\nwhere\nbecause\n", then the transcript. */
static void child_main(call *c, int fd) {
  alarm(CHILD_SECONDS);
  strand s = {.run = c->run,
              .name = "child",
              .steps = yyjson_obj_get(c->step, "steps"),
              .doc = yyjson_mut_doc_new(NULL)};
  text told = {0};
  strand_run(&s);
  for (char *letter = s.because; *letter != '\0'; letter++) {
    if (*letter == '\n') *letter = ' ';
  }
  text_print(&told, "%zu\n%s\n%s\n", s.step, s.where, s.because);
  text_add(&told, text_get(&s.transcript), s.transcript.length);
  write_all(fd, text_get(&told), told.length);
  _exit(0);
}

/* The next line of what a child told; moves *at behind it. */
static const char *next_line(char **at) {
  char *line = *at;
  char *end = strchr(line, '\n');
  if (end == NULL) return "";
  *end = '\0';
  *at = end + 1;
  return line;
}

static void child_told(call *c, text *told) {
  char *at = told->data;
  if (told->length == 0) {
    call_invalid(c, "the child died");
    return;
  }
  const char *step = next_line(&at);
  const char *where = next_line(&at);
  const char *because = next_line(&at);
  text_add(&c->strand->transcript, at, strlen(at));
  if (where[0] == '\0') return;
  char whole[160];
  snprintf(whole, sizeof whole, "child.%s.%s", step, where);
  c->invalid = true;
  strand_fail(c->strand, whole, "%s", because);
}

static void fork_child(call *c) {
  int ends[2];
  if (pipe(ends) != 0) {
    call_invalid(c, "no pipe");
    return;
  }
  pid_t child = fork();
  if (child == 0) child_main(c, ends[1]);
  close(ends[1]);
  text told = {0};
  char bytes[4096];
  for (ssize_t length = 0; (length = read(ends[0], bytes, sizeof bytes)) > 0;)
    text_add(&told, bytes, (size_t)length);
  close(ends[0]);
  if (child > 0) waitpid(child, NULL, 0);
  child_told(c, &told);
  text_free(&told);
}

/* Gives other threads time to get into a call. No case may depend on it. */
static void pause_for(call *c) {
  int64_t milliseconds = arg_i64(c, "milliseconds", 1);
  struct timespec duration = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&duration, NULL);
}

const operation flow_operations[] = {{"thread_start", thread_start}, {"thread_join", thread_join},
                                     {"barrier", barrier_meet},      {"fork", fork_child},
                                     {"pause", pause_for},           {NULL, NULL}};

/* SPDX-License-Identifier: MIT */
/* The ends of a process and of a loaded library: threads inside calls when the process ends, a library that is
 * loaded and unloaded under running threads. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"

static const char *const group = "239.7.7.7:5007";

/* ---- the end of a process ---- */

static mctx_context context;
static mctx_publication publication;
static _Atomic int inside;

static void *wait_for_ever(void *argument) {
  uint32_t ready;
  (void)argument;
  inside++;
  (void)!mctx_wait(publication, MCTX_READABLE, 0, -1, &ready, NULL);
  return NULL;
}

static void *send_for_ever(void *argument) {
  static const char data[4000];
  uint64_t accepted;
  (void)argument;
  inside++;
  while (inside > 0)
    (void)!mctx_send_segments(publication, data, sizeof data, 40, 0, -1, &accepted, NULL);
  return NULL;
}

static void *open_for_ever(void *argument) {
  mctx_context own;
  (void)argument;
  inside++;
  while (inside > 0)
    if (mctx_context_open(NULL, &own, NULL) == MCTX_OK) mctx_close(own, NULL);
  return NULL;
}

/* Ends by exit(), with threads inside, whatever is open. */
static int end_in_the_middle(void) {
  static void *(*const bodies[])(void *) = {wait_for_ever, wait_for_ever, send_for_ever, open_for_ever};
  enum { THREADS = sizeof bodies / sizeof bodies[0] };
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  if (mctx_address_parse(group, &options.group, NULL) != MCTX_OK) return 2;
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) return 3;
  if (mctx_publication_open(context, &options, &publication, NULL) != MCTX_OK) return 4;
  for (int i = 0; i < THREADS; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, bodies[i], NULL) != 0) return 5;
    pthread_detach(thread);
  }
  while (inside < THREADS)
    sleep_ms(1);
  sleep_ms(10);
  exit(0);
}

/* Not by fork: a sanitizer starts no threads in the child of a process that had some. */
static char self[4096];

static void a_process_may_end_with_threads_inside(void **state) {
  (void)state;
  host_alone();
  for (int i = 0; i < 10; i++)
    host_run("timeout 60 %s --end", self);
}

/* ---- unloading ---- */

typedef struct loaded {
  void *library;
  mctx_status (*context_open)(const mctx_context_options *, mctx_context *, mctx_error *);
  mctx_status (*wait)(mctx_handle, uint32_t, uint32_t, int64_t, uint32_t *, mctx_error *);
  mctx_status (*wake)(mctx_handle);
  mctx_status (*close)(mctx_handle, mctx_error *);
} loaded;

/* A copy of the library, so that it is loaded apart from the one that this program is linked to. */
static void copy_library(char *path) {
  Dl_info info;
  assert_int_not_equal(0, dladdr(dlsym(RTLD_DEFAULT, "mctx_version"), &info));
  int copy = mkstemp(path);
  assert_true(copy >= 0);
  close(copy);
  host_run("cp %s %s", info.dli_fname, path);
}

static void *symbol(void *library, const char *name) {
  void *found = dlsym(library, name);
  assert_non_null(found);
  return found;
}

static void load(const char *path, loaded *made) {
  made->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (made->library == NULL) fail_msg("%s", dlerror());
  *(void **)(void *)&made->context_open = symbol(made->library, "mctx_context_open");
  *(void **)(void *)&made->wait = symbol(made->library, "mctx_wait");
  *(void **)(void *)&made->wake = symbol(made->library, "mctx_wake");
  *(void **)(void *)&made->close = symbol(made->library, "mctx_close");
}

static _Atomic bool enough;
static _Atomic uint64_t rounds;

static void *use_loaded(void *argument) {
  const loaded *own = argument;
  mctx_context opened;
  uint32_t ready;
  while (!enough) {
    if (own->context_open(NULL, &opened, NULL) != MCTX_OK) continue;
    (void)own->wake(opened);
    (void)own->wait(opened, 0, 0, MILLI, &ready, NULL);
    (void)own->wait(opened, 0, 0, MILLI / 10, &ready, NULL);
    (void)own->close(opened, NULL);
    rounds++;
  }
  return NULL;
}

/* Threads go on inside, and forks call the library's handlers, while nobody holds it any more. */
static void unloading_harms_no_thread(void **state) {
  enum { THREADS = 3, TIMES = 1000 };
  char path[] = "/tmp/libmctx-copy-XXXXXX";
  pthread_t threads[THREADS];
  loaded first;
  (void)state;
  copy_library(path);
  load(path, &first);
  uint32_t held = descriptors_held();
  enough = false;
  threads_start(threads, THREADS, use_loaded, &first, 0);
  while (rounds < THREADS)
    sleep_ms(1);
  assert_int_equal(0, dlclose(first.library));
  for (int i = 0; i < TIMES; i++) {
    void *again = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (again == NULL || dlclose(again) != 0) enough = true;
    if (i % 100 == 0) host_run("true");
  }
  assert_false(enough);
  uint64_t before = rounds;
  for (int i = 0; i < 10000 && rounds < before + THREADS; i++)
    sleep_ms(1);
  assert_true(rounds > before);
  enough = true;
  threads_join(threads, THREADS);
  assert_int_equal(descriptors_held(), held);
  unlink(path);
}

/* Loaded, used, unloaded, and the process ends: no handler of the library is called that is not there. */
static int load_and_end(const char *path) {
  loaded own;
  mctx_context opened;
  own.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (own.library == NULL) return 1;
  *(void **)(void *)&own.context_open = dlsym(own.library, "mctx_context_open");
  if (own.context_open(NULL, &opened, NULL) != MCTX_OK) return 2;
  if (dlclose(own.library) != 0) return 3;
  pid_t child = fork(); /* calls what pthread_atfork() was given */
  if (child == 0) _exit(0);
  return exit_code_of(child);
}

static void a_process_may_end_after_unloading(void **state) {
  char path[] = "/tmp/libmctx-copy-XXXXXX";
  (void)state;
  copy_library(path);
  bool done = host_try("timeout 60 %s --load %s", self, path);
  unlink(path);
  assert_true(done);
}

int main(int count, char **arguments) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_process_may_end_with_threads_inside),
      cmocka_unit_test(unloading_harms_no_thread),
      cmocka_unit_test(a_process_may_end_after_unloading),
  };
  if (count == 2) return end_in_the_middle();
  if (count == 3) return load_and_end(arguments[2]);
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return 1;
  return cmocka_run_group_tests(tests, NULL, NULL);
}

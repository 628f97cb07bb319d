/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the public library on the real kernel share: plain receiving sockets that tell all there is
 * to know of a datagram, publications in few words. Nothing here knows more of the library than mctx.h.
 */
#ifndef MCTX_TESTS_HOST_H
#define MCTX_TESTS_HOST_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "namespace.h"
#include "testing.h"

/* How long a test waits for what must come. */
enum { PATIENCE_MS = 10000 };

/* ---- publications ---- */

/* The group of most tests, with its port. */
const char *group_of(uint32_t family);
mctx_address address_of(const char *text);
/* In the system's form; returns its length. */
socklen_t native_address(struct sockaddr_storage *native, const mctx_address *address);
void assert_address(const mctx_address *address, const char *expected);
mctx_publication_options options_for(const char *group);
mctx_publication_options options_through(const char *group, const char *interface);
mctx_publication open_with(mctx_context context, const mctx_publication_options *options);
/* With the defaults otherwise. */
mctx_publication open_through(mctx_context context, const char *group, const char *interface);
mctx_context open_context(void);
mctx_publication_info info_of(mctx_publication publication);
int socket_of(mctx_publication publication);
/* One counter, by its name. */
uint64_t metric_of(mctx_handle handle, uint32_t kind, const char *name);

/* ---- receivers: plain sockets ---- */

enum { LARGEST = 65535 };

/* One datagram as a receiver saw it. */
typedef struct arrival {
  mctx_address source;
  mctx_address group;
  uint32_t interface_index;
  int hop_limit;
  int traffic_class;
  size_t length;
  unsigned char data[LARGEST];
} arrival;

/* A member of `group` (with its port) on `interface`, here. It reads nothing that other sockets joined. */
int receiver_open(const char *group, const char *interface);
/* The same there. */
int receiver_there(const char *group, const char *interface);
/* The next datagram, waiting at most so long; false if there is none. */
bool receiver_next(int receiver, arrival *seen, int timeout_ms);
/* Nothing comes for so long. */
void assert_silent(int receiver, int timeout_ms);

/* ---- processes, threads and time ---- */

int64_t now_ns(void);
/* What this thread has used of the processor. */
int64_t processor_time_ns(void);
/* For what asserts an order behind a queue: a cable hands over what its timer sends and what a sender sends on
 * the processor of each, and two processors may overtake one another. */
void stay_on_one_processor(void);
/* Waits for a child and returns its exit code, or -1; ends it after ten seconds. */
int exit_code_of(pid_t child);
/* The number that a variable of the environment says, or the usual one. */
uint64_t number_wanted(const char *variable, uint64_t usual);
/* Runs `body` in a child made by fork() and returns its exit code, or -1. */
int in_child(int (*body)(void *), void *argument);
/* A sanitizer's allocator may be locked for ever in the child of a process with several threads. */
bool child_may_allocate(void);

/* So many threads of one body; each gets its own of the arguments, which lie `apart` bytes (0: it is one). */
void threads_start(pthread_t *threads, uint32_t count, void *(*body)(void *), void *arguments, size_t apart);
void threads_join(const pthread_t *threads, uint32_t count);

/* ---- rights and limits ---- */

/* This thread can do what any user's could, until it regains its rights. */
void rights_drop(void);
void rights_regain(void);
/* As many as wanted, or as can be had; returns how many it were. */
uint64_t limit_descriptors(uint64_t wanted);

#endif

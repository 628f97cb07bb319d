/* SPDX-License-Identifier: MIT */
/*
 * What the tests on the real kernel share: throw-away network namespaces, plain receiving sockets that tell all
 * there is to know of a datagram, publications in few words, counts of what the process holds. Nothing here
 * knows more of the library than mctx.h.
 */
#ifndef MCTX_TESTS_HOST_H
#define MCTX_TESTS_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
/* cmocka needs those first */
#include <cmocka.h>

#include "mctx.h"

#define MILLI  INT64_C(1000000)
#define SECOND INT64_C(1000000000)

/* Ends the test as skipped, and says why. */
#define SKIP(reason)                     \
  do {                                   \
    print_message("skip: " reason "\n"); \
    skip();                              \
  } while (0)

/* The status by name, so that a failure says what came. */
#define assert_status(call, expected)                                                                    \
  do {                                                                                                   \
    mctx_status assert_status_ = (call);                                                                 \
    if (assert_status_ != (expected))                                                                    \
      fail_msg("%s is %s, not %s", #call, mctx_status_name(assert_status_), mctx_status_name(expected)); \
  } while (0)
#define assert_ok(call) assert_status(call, MCTX_OK)

/* ---- both families ---- */

/* A test once for each family. */
static const uint32_t host_families[] = {4, 6};
#define BOTH_FAMILIES(function)                                                        \
  {#function " (IPv4)", function, NULL, NULL, (void *)(uintptr_t)&host_families[0]}, { \
#function " (IPv6)", function, NULL, NULL, (void *)(uintptr_t)&host_families[1]    \
  }
/* Which one it is; skips the test where the host lacks it. */
uint32_t host_family(void **state);

/* ---- namespaces ---- */

/* Puts the process into a new network namespace with lo up and multicast routed to it; skips the test where the
 * host allows none. Call it before any thread is made. It ends with the process or the next one. */
void host_alone(void);

/* The same with a second host behind a cable: `va` here (10.9.0.1, fd09::1), `vb` there (10.9.0.2, fd09::2). */
void host_pair(void);
/* Makes the cable anew after one end was deleted. */
void host_plug(void);
/* Waits until multicast of both families can leave through a link that has just come up. */
void host_await_link(const char *interface);

/* Runs a shell command, made as by printf, here or there. */
bool host_try(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool there_try(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define host_run(...)  assert_true(host_try(__VA_ARGS__))
#define there_run(...) assert_true(there_try(__VA_ARGS__))

/* Whether a program is installed. */
bool host_has(const char *program);

/* Between these, what this thread opens is opened on the second host. */
void there_begin(void);
void there_end(void);

uint32_t host_index(const char *interface);

/* ---- publications ---- */

mctx_address address_of(const char *text);
/* In the system's form; returns its length. */
socklen_t native_address(struct sockaddr_storage *native, const mctx_address *address);
void assert_address(const mctx_address *address, const char *expected);
mctx_publication_options options_for(const char *group);
mctx_publication_options options_through(const char *group, const char *interface);
mctx_publication open_with(mctx_context context, const mctx_publication_options *options);
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

/* ---- what the process holds, and other tools ---- */

uint32_t descriptors_held(void);
int64_t now_ns(void);
void sleep_ms(int milliseconds);
/* Waits for a child and returns its exit code, or -1; ends it after ten seconds. */
int exit_code_of(pid_t child);
/* Runs `body` in a child made by fork() and returns its exit code, or -1. */
int in_child(int (*body)(void *), void *argument);

#endif

/* SPDX-License-Identifier: MIT */
/* Throw-away network namespaces, the commands that shape them, and counts of what the process holds. */
#ifndef MCTX_TESTS_NAMESPACE_H
#define MCTX_TESTS_NAMESPACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those first */
#include <cmocka.h>

/* Ends the test as skipped, and says why. */
#define SKIP(reason)                     \
  do {                                   \
    print_message("skip: " reason "\n"); \
    skip();                              \
  } while (0)

/* Puts the process into a new network namespace with lo up; skips the test where the host allows none. Call it
 * before any thread is made. It ends with the process or the next one. */
void host_namespace(void);

/* The same, with multicast routed to lo. */
void host_alone(void);

/* The same as the first, with a second host behind a cable: `va` here (10.9.0.1, fd09::1), `vb` there
 * (10.9.0.2, fd09::2). */
void host_pair(void);
/* Makes the cable anew after one end was deleted. */
void host_plug(void);
/* The same, with this index for va. */
void host_plug_as(uint32_t index);
/* One more cable between the two: 10.NET.0.1 and fdNET::1 here, .2 and ::2 there. */
void host_cable(const char *own, const char *peer, int net);
/* So many more without addresses of their own: na0, na1, ... here, nb0, nb1, ... there. */
void host_bare_cables(int count);
/* One more address of both families for an interface: 10.NET.0.NUMBER, fdNET::NUMBER. */
void host_address(const char *interface, int net, int number);
/* Waits until a link that has just come up, or got an address, sends multicast of both families and takes in
 * what is sent to its addresses. */
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

/* A test once for each family. */
static const uint32_t host_families[] = {4, 6};
#define BOTH_FAMILIES(function)                                                        \
  {#function " (IPv4)", function, NULL, NULL, (void *)(uintptr_t)&host_families[0]}, { \
#function " (IPv6)", function, NULL, NULL, (void *)(uintptr_t)&host_families[1]    \
  }
/* Which one it is; skips the test where the host lacks it. */
uint32_t host_family(void **state);

uint32_t descriptors_held(void);
void sleep_ms(int milliseconds);

#endif

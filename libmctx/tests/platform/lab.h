/* SPDX-License-Identifier: MIT */
/* What the tests of the Linux backend share: namespaces, short forms, counts of what is held. */
#ifndef MCTX_LAB_H
#define MCTX_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "namespace.h"
#include "posix/posix.h"

/* A test that leaves no descriptor open. */
int lab_setup(void **state);
int lab_teardown(void **state);
#define lab_test(function) cmocka_unit_test_setup_teardown(function, lab_setup, lab_teardown)

/* va and vb, two ends of one cable, both up, va with 10.9.0.1/24 and fd09::1/64. */
void lab_cable(void);

/* Runs `body` in a child made by fork() and returns its exit code. */
int lab_child(int (*body)(void));

/* From now on, and in all its children, this process gets `code` from a system call with that argument: what a
 * sandbox, or another kernel, would answer. False where the host allows no such thing. */
enum { LAB_ANY = -1 };
bool lab_refuse(long call, int argument, uint32_t value, uint32_t code);

/* The interface of that name; the test fails if there is none. */
const mctx__interface *lab_interface(const mctx__interfaces *all, const char *name);

/* Addresses from text, with port and scope. */
mctx_address lab_address(const char *text, uint16_t port, uint32_t scope_id);
bool lab_same(const mctx_address *a, const mctx_address *b);

mctx__socket lab_socket(uint32_t family);
/* A receiving socket, bound to the port of `group` and, if `index` is not 0, a member there. */
int lab_receiver(const mctx_address *group, uint32_t index);
/* Receives within ten seconds; -1 if nothing came. */
ssize_t lab_receive(int receiver, void *buffer, size_t capacity);

/* Sends lone datagrams by mctx__socket_send_many(): at most LAB_MANY_MAX, which is more than it takes. */
enum { LAB_MANY_MAX = MCTX__SEND_MANY_MAX + 10 };
mctx__result lab_send_many(mctx__socket sender, const mctx__endpoint *endpoint, const mctx_slice *slices,
                           uint32_t count, uint32_t *taken);

int lab_get(mctx__socket socket, int level, int name);

#define assert_status(expected, result) assert_int_equal((expected), (result).status)
#define assert_done(result)             assert_status(MCTX_OK, result)

#endif

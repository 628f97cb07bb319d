/* SPDX-License-Identifier: MIT */
/* Waiting on an object, and ending the wait. */
#ifndef MCTX_WAIT_H
#define MCTX_WAIT_H

#include "handle.h"

/* The monotonic time at which a wait of `timeout_ns` ends. */
int64_t mctx__deadline(int64_t timeout_ns);

/* Waits, pinned, until the socket (or MCTX__NO_SOCKET) is ready or the deadline has passed. MCTX_OK with
 * `ready` set (MCTX__WAIT_FAILED among them: drain and wait again); timeout, woken, signal, closed, or why the
 * system refused. `ready` is set always. */
mctx__result mctx__object_wait(mctx__object *object, mctx__socket socket, uint32_t events, uint32_t flags,
                               int64_t deadline_ns, uint32_t *ready);

/* Lets every waiter look again whether the object is closing. */
void mctx__object_wake_all(mctx__object *object);

#endif

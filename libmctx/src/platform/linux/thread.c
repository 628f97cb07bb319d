/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

/* glibc tells since 2.32, and its headers may be set for an older one; other C libraries don't. */
#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 32)
#include <sys/single_threaded.h>
#define ONE_THREAD (&__libc_single_threaded)
#endif
#endif

#ifndef ONE_THREAD
static const char never;
#define ONE_THREAD (&never)
#endif

const char *const mctx__one_thread = ONE_THREAD;

/* SPDX-License-Identifier: MIT */
#include "../posix/posix.h"

/* glibc 2.32 tells; other C libraries don't. */
#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define ONE_THREAD (&__libc_single_threaded)
#endif
#endif

#ifndef ONE_THREAD
static const char never;
#define ONE_THREAD (&never)
#endif

const char *const mctx__one_thread = ONE_THREAD;

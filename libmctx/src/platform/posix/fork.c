/* SPDX-License-Identifier: MIT */
#include "posix.h"

#include <pthread.h>

mctx__result mctx__fork_watch(const mctx__fork_hooks *hooks) {
  const int code = pthread_atfork(hooks->before, hooks->parent, hooks->child);
  return code == 0 ? MCTX__DONE : mctx__failure(code, MCTX__ASKED_OTHER);
}

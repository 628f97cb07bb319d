/* SPDX-License-Identifier: MIT */
#include "posix.h"

#include <pthread.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(mctx__mutex), "a mutex fits");
_Static_assert(_Alignof(pthread_mutex_t) <= _Alignof(mctx__mutex), "a mutex is aligned");

static pthread_mutex_t *native(mctx__mutex *mutex) {
  return (pthread_mutex_t *)(void *)mutex->storage;
}

/* A normal mutex, used as the contract says, cannot fail. */

void mctx__mutex_init(mctx__mutex *mutex) {
  (void)pthread_mutex_init(native(mutex), NULL);
}

void mctx__mutex_lock(mctx__mutex *mutex) {
  (void)pthread_mutex_lock(native(mutex));
}

void mctx__mutex_unlock(mctx__mutex *mutex) {
  (void)pthread_mutex_unlock(native(mutex));
}

void mctx__mutex_destroy(mctx__mutex *mutex) {
  (void)pthread_mutex_destroy(native(mutex));
}

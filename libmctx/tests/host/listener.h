/* SPDX-License-Identifier: MIT */
/* A thread that sits in mctx_recv() for ever, and notes what comes. */
#ifndef MCTX_TESTS_LISTENER_H
#define MCTX_TESTS_LISTENER_H

#include <pthread.h>

#include "host/subscription.h"

enum { HEARD = 32, HEARD_LENGTH = 32 };

typedef struct listener {
  mctx_subscription subscription;
  pthread_t thread;
  pthread_mutex_t lock;
  mctx_status ended; /* what mctx_recv() said last */
  uint32_t count;    /* of different texts */
  struct {
    char text[HEARD_LENGTH];
    uint32_t times;
  } heard[HEARD];
} listener;

listener *listener_start(mctx_subscription subscription);
/* How many times this text came. */
uint32_t listener_heard(listener *own, const char *text);
/* Sends the text by `sender` until it is heard, several times if there is a gap. */
void listener_await(listener *own, int sender, const mctx_address *group, const char *text);
/* By mctx_wake(); the receiver must have gone on until then. Frees it. */
void listener_stop(listener *own);

#endif

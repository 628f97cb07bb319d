/* SPDX-License-Identifier: MIT */
/* A thread that sits in mctx_recv() for ever, and notes what comes. */
#include "host/listener.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(listener *own, const char *text) {
  uint32_t at = 0;
  pthread_mutex_lock(&own->lock);
  while (at < own->count && strcmp(own->heard[at].text, text) != 0)
    at++;
  if (at < HEARD) {
    snprintf(own->heard[at].text, HEARD_LENGTH, "%s", text);
    own->heard[at].times++;
    if (at == own->count) own->count++;
  }
  pthread_mutex_unlock(&own->lock);
}

static void *listen_on(void *argument) {
  listener *own = argument;
  for (;;) {
    char text[HEARD_LENGTH];
    size_t length;
    own->ended = mctx_recv(own->subscription, text, sizeof text - 1, 0, -1, &length, NULL, 0, NULL);
    if (own->ended != MCTX_OK) return NULL;
    text[length] = '\0';
    note(own, text);
  }
}

listener *listener_start(mctx_subscription subscription) {
  listener *own = calloc(1, sizeof *own);
  assert_non_null(own);
  own->subscription = subscription;
  pthread_mutex_init(&own->lock, NULL);
  assert_int_equal(0, pthread_create(&own->thread, NULL, listen_on, own));
  return own;
}

uint32_t listener_heard(listener *own, const char *text) {
  uint32_t times = 0;
  pthread_mutex_lock(&own->lock);
  for (uint32_t i = 0; i < own->count; i++)
    if (strcmp(own->heard[i].text, text) == 0) times = own->heard[i].times;
  pthread_mutex_unlock(&own->lock);
  return times;
}

void listener_await(listener *own, int sender, const mctx_address *group, const char *text) {
  uint32_t before = listener_heard(own, text);
  for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
    send_text(sender, group, text);
    sleep_ms(10);
    if (listener_heard(own, text) > before) return;
  }
  fail_msg("\"%s\" was not heard", text);
}

void listener_stop(listener *own) {
  assert_ok(mctx_wake(own->subscription));
  assert_int_equal(0, pthread_join(own->thread, NULL));
  assert_status(own->ended, MCTX_ERR_WOKEN);
  pthread_mutex_destroy(&own->lock);
  free(own);
}

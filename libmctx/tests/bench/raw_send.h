/* SPDX-License-Identifier: MIT */
/* The floors of sending: what a program can do by hand with plain calls of the system. All headers are made
 * before the clock runs: less than that no program can do. */
#ifndef RAW_SEND_H
#define RAW_SEND_H

#include "datagrams.h"

#include <sys/socket.h>

/* How datagrams are handed to the system. */
enum raw_form {
  LONE,   /* each as a message of its own */
  DIRECT, /* superpackets, straight from where the payloads lie: one run of bytes, or an iovec for each */
  COPIED, /* superpackets, from a copy of them that is made each time */
  RAW_FORMS
};

/* The messages of one batch in one form. */
typedef struct raw_messages {
  struct mmsghdr *headers;
  uint32_t count;
  uint32_t *datagrams; /* of each message */
} raw_messages;

typedef struct raw_sender {
  int descriptor;
  struct sockaddr_storage group;
  socklen_t group_length; /* 0: connected */
  const datagrams *own;
  raw_messages *messages[LAYOUTS][RAW_FORMS]; /* of each batch */
  unsigned char *copy;
} raw_sender;

/* Makes the headers; 0, or 1 without memory. */
int raw_sender_make(raw_sender *own);

/* Each sends one batch, and returns how many calls failed. */
uint32_t raw_send_one_by_one(raw_sender *own, enum layout layout, uint32_t batch);
uint32_t raw_send_each(raw_sender *own, enum layout layout, enum raw_form form,
                       uint32_t batch); /* a call a message */
uint32_t raw_send_together(raw_sender *own, enum layout layout, enum raw_form form,
                           uint32_t batch); /* sendmmsg */

/* The same from slices that nobody has looked at before, as a program has to that is handed them: finds what
 * goes together and whether it lies together, copies what doesn't, and makes the headers. */
uint32_t raw_send_from_slices(raw_sender *own, enum layout layout, uint32_t batch);

#endif

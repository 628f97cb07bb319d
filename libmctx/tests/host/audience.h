/* SPDX-License-Identifier: MIT */
/* Receivers of every kind, that compare what comes with what was sent, datagram by datagram. */
#ifndef MCTX_TESTS_AUDIENCE_H
#define MCTX_TESTS_AUDIENCE_H

#include "host/subscription.h"

typedef enum ear_kind {
  PLAIN,              /* a socket */
  COALESCING,         /* a socket with UDP_GRO */
  SUBSCRIBED,         /* a subscription that takes batches */
  SUBSCRIBED_SINGLY,  /* a subscription that takes one by one */
  SUBSCRIBED_PLAINLY, /* a subscription without coalescing */
  EAR_KINDS
} ear_kind;

#define EVERY_EAR ((1u << EAR_KINDS) - 1)

typedef struct ear {
  ear_kind kind;
  bool there; /* on the second host */
  int socket;
  mctx_subscription subscription;
  uint64_t heard;     /* datagrams of the sequence so far */
  uint64_t coalesced; /* messages of more than one datagram, in all */
} ear;

enum { EARS = 2 * EAR_KINDS };

typedef struct audience {
  mctx_context here;
  mctx_context there;
  uint32_t count;
  ear ears[EARS];
} audience;

void audience_init(audience *own);
/* Members of `group` (with its port) on `interface`: one of each kind whose bit (1 << kind) is set. */
void audience_join(audience *own, const char *group, const char *interface, uint32_t kinds, bool there);
/* Each of them gets exactly these, in this order, byte for byte. */
void assert_all_hear(audience *own, const mctx_slice *expected, uint64_t count);
/* And nothing besides. */
void assert_all_heard(audience *own);
/* How many messages of more than one datagram came to those of a kind. */
uint64_t audience_coalesced(const audience *own, ear_kind kind);
/* How much may be sent before they are asked, so that nobody's buffer overflows: in bytes of memory that the
 * kernel needs, by a cautious estimate. */
uint64_t audience_room(const audience *own);
uint64_t cost_in_buffers(uint64_t length);
void audience_leave(audience *own);

#endif

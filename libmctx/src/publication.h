/* SPDX-License-Identifier: MIT */
/* The send side: one socket for one group and port. */
#ifndef MCTX_PUBLICATION_H
#define MCTX_PUBLICATION_H

#include "config.h"
#include "context.h"
#include "events.h"
#include "handle.h"
#include "metrics.h"
#include "offload.h"
#include "owner.h"
#include "pacer.h"
#include "pause.h"

enum { MCTX__ENDPOINTS = 4 };

struct mctx__publication {
  mctx__object object;
  /* read by every send */
  _Atomic int64_t socket;
  _Atomic(const mctx__endpoint *) endpoint;
  bool paced;  /* by the pacer */
  bool singly; /* a refused datagram may have reached this host: each is a call of its own, none goes twice */
  mctx__offload offload;
  /* Changed under the lock, a spin lock that is held for a few instructions. A thread whose own the publication
   * is does without. */
  _Alignas(64) mctx__send_counters counters;
  atomic_flag lock;
  mctx__usage usage;
  /* rarely used */
  mctx__context *context;
  mctx__config config;      /* fixed after opening */
  mctx__mutex mutex;        /* guards what follows and the healing of the socket */
  mctx_address destination; /* the configuration's, until the interface is made anew; so is the index */
  uint32_t interface_index;
  mctx__endpoint by_connection;               /* written once, while opening */
  mctx__endpoint by_address[MCTX__ENDPOINTS]; /* used in turn, so that no sender meets one half written */
  uint32_t address_used;
  bool is_connected;
  uint64_t missing_at; /* datagrams sent, plus 1, when the source's absence was reported last */
  mctx_address local;  /* the socket's address when it was last connected */
  mctx__events events;
  mctx__pacer pacer; /* of a paced one */
};

static inline mctx__socket mctx__publication_socket(mctx__publication *publication) {
  return (mctx__socket){atomic_load_explicit(&publication->socket, memory_order_relaxed)};
}

/* The largest payload of a datagram, in bytes (RFC 768 with RFC 791, RFC 8200). */
static inline uint64_t mctx__max_datagram(uint32_t family) {
  return family == 4 ? 65507 : 65527;
}

static inline void mctx__publication_lock(mctx__publication *publication) {
  mctx__spin_lock(&publication->lock);
  mctx__exclude_owner(&publication->object, &publication->usage);
}

static inline void mctx__publication_unlock(mctx__publication *publication) {
  mctx__spin_unlock(&publication->lock);
}

/* One counter, from whatever thread. */
void mctx__publication_count(mctx__publication *publication, uint32_t which, uint64_t more);
/* One call that sent so much; and then failed. */
void mctx__publication_sent(mctx__publication *publication, mctx__sent sent);
void mctx__publication_failed(mctx__publication *publication, mctx__sent sent, mctx_status status);

/* A publication that a call is inside. */
typedef struct mctx__inside {
  mctx__publication *publication;
  mctx__seat *own; /* the calling thread's, whose own it is: it is neither pinned nor locked; or NULL */
} mctx__inside;

/* Whether the handle leads to an open publication. */
static MCTX__IN_PLACE bool mctx__enter_sending(mctx_handle handle, mctx__inside *in) {
  in->publication = (mctx__publication *)mctx__enter_quickly(handle, MCTX_HANDLE_PUBLICATION, &in->own);
  return in->publication != NULL;
}

static MCTX__IN_PLACE void mctx__leave_sending(const mctx__inside *in) {
  mctx__leave(&in->publication->object, in->own);
}

/* One call that sent so much. */
static MCTX__IN_PLACE void mctx__count_sending(const mctx__inside *in, mctx__sent sent) {
  mctx__publication *publication = in->publication;
  if (MCTX__SELDOM(in->own == NULL)) {
    mctx__publication_lock(publication);
    mctx__use(&publication->object, &publication->usage);
  }
  mctx__count_sent(&publication->counters, sent);
  if (MCTX__SELDOM(in->own == NULL)) mctx__publication_unlock(publication);
}

/* Both with the mutex held, or unpublished. The destination is another: what is sent by address goes there. */
void mctx__publication_readdress(mctx__publication *publication);
/* Sends to the destination by connection if `connected`, else by address. */
void mctx__publication_aim(mctx__publication *publication, bool connected);

/* Refusals that are this datagram's for sure. It is not offered again: after queue_full and firewall, a copy
 * may have reached this host already. */
static inline bool mctx__refusal_is_own(mctx_status status) {
  return status == MCTX_ERR_WOULD_BLOCK || status == MCTX_ERR_PACED || status == MCTX_ERR_QUEUE_FULL ||
         status == MCTX_ERR_FIREWALL;
}

/* Takes the errors of earlier datagrams off the socket, counts them, and returns whether there were any. */
bool mctx__publication_drain(mctx__publication *publication);

/* After a send failed: takes earlier errors off, and mends the connection where the failure asks for it. The
 * same datagram may be tried once more; if that succeeds where this returned true, the failure was an earlier
 * datagram's that the failed call itself took off: mctx__publication_blame_earlier() counts it. */
bool mctx__publication_recover(mctx__publication *publication, mctx_status failed);
void mctx__publication_blame_earlier(mctx__publication *publication);

/* Describes why datagram `nth` (from 1; 0: the only one) was not taken, and returns the true reason. */
mctx_status mctx__publication_fail(const mctx__call *call, mctx__publication *publication, mctx__result result,
                                   uint64_t nth, uint64_t length);

#endif

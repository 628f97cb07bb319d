/* SPDX-License-Identifier: MIT */
/*
 * The sockets of a subscription. One is bound to a group, or, beyond a bound, to the port alone; an IPv6 one
 * takes the groups of one interface, because the system looks at the group alone when it filters.
 */
#ifndef MCTX_RECEIVER_H
#define MCTX_RECEIVER_H

#include "error.h"

typedef struct mctx__subscription mctx__subscription;
typedef struct mctx__part mctx__part;
typedef struct mctx__receiver mctx__receiver;

struct mctx__receiver {
  /* What a receive looks at stands together; written under the subscription's lock. */
  mctx__socket socket;
  uint32_t wanted; /* mctx_metadata bits to take off each message */
  bool coalescing;
  mctx__part *sole;        /* its only membership, if the system alone isolates; else NULL */
  mctx__part *last;        /* the membership of the last message, or NULL */
  uint32_t sole_interface; /* of the membership that was its only one, for messages that do not tell */
  uint32_t drops;          /* what its counter said last */
  uint32_t usual;          /* bytes that hold a message as they came lately; 0: not known */
  uint32_t longest;        /* the same of the last `learned` ones alone */
  uint32_t learned;

  uint32_t id;          /* owner of its parts in the table; never 0 */
  mctx__receiver *next; /* a forked child walks the list */
  uint32_t family;
  mctx_address group;       /* that it is bound to; family 0: to the port alone */
  uint32_t interface_index; /* whose groups it takes; 0: any */
  bool is_anchor;           /* holds a port that was chosen, and receives nothing */
  bool is_held;             /* nothing arrives from other interfaces */
  bool is_isolated;         /* nothing arrives of groups that it did not join */
  bool is_full;             /* the system lets it join no more */
  bool is_stuck;            /* it could not leave a group: full for ever */
  uint32_t collected;       /* mctx_metadata bits that the socket collects */
  bool is_checked; /* it had a membership, or a change of one, that the system alone does not isolate */
  uint32_t parts;  /* memberships, those that are being joined too */
  uint32_t lists;  /* of them, settled ones whose filter lists sources */
};

/* Whether the system lets nothing through but its group, where and from whom it was joined. */
static inline bool mctx__receiver_isolates(const mctx__receiver *receiver) {
  return receiver->group.family != 0 && receiver->is_isolated && (receiver->family == 4 || receiver->is_held);
}

/* Whether its messages are delivered as they come, and nothing of them is told. */
static inline bool mctx__receiver_is_bare(const mctx__receiver *receiver) {
  return receiver->sole != NULL && receiver->wanted == 0 && !receiver->coalescing;
}

/* What to take off each message: the source too where a list is looked up, or where a message may be held back,
 * which a change of the filter concerns before it is delivered. */
static inline uint32_t mctx__receiver_wants(const mctx__receiver *receiver) {
  const bool needs_source = receiver->coalescing || (receiver->sole == NULL && receiver->lists > 0);
  return receiver->collected | (needs_source ? MCTX_META_SOURCE : 0);
}

/* All with the subscription's mutex held. */

/* A socket that can join the group on the interface, other than those that `taken` says; opened if there is
 * none. */
typedef bool mctx__receiver_filter(const mctx__receiver *receiver, const void *argument);
mctx__result mctx__receiver_choose(mctx__subscription *subscription, const mctx_address *group,
                                   uint32_t interface_index, mctx__receiver_filter *taken, const void *argument,
                                   mctx__receiver **chosen);
/* Before something changes that the system alone cannot isolate: from here on messages are checked. */
mctx__result mctx__receiver_check(mctx__subscription *subscription, mctx__receiver *receiver);
/* Whether it joined the group on some interface; with the lock held. */
bool mctx__receiver_has_group(const mctx__subscription *subscription, const mctx__receiver *receiver,
                              const mctx_address *group);
/* Closes it if it has no parts left. */
void mctx__receiver_close_unused(mctx__subscription *subscription, mctx__receiver *receiver);
/* Closes it, whatever it has. */
void mctx__receiver_close(mctx__subscription *subscription, mctx__receiver *receiver);
/* Chooses a port for both families and holds it. */
mctx__result mctx__receiver_choose_port(mctx__subscription *subscription);

#endif

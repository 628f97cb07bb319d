/* SPDX-License-Identifier: MIT */
/*
 * Memberships: one group on one interface with a source filter. A membership has parts, one for each socket
 * that it is spread over: an include list that is longer than a socket takes goes to several, each with a piece
 * of the list.
 *
 * A change is told to the system first, part by part; then all of it is settled, which cannot fail, or undone.
 */
#ifndef MCTX_MEMBER_H
#define MCTX_MEMBER_H

#include "filter.h"
#include "receiver.h"
#include "table.h"

typedef struct mctx__member mctx__member;

/* How the user named an interface. */
typedef struct mctx__name {
  struct mctx__name *next;
  mctx_interface_ref ref; /* its name points behind this struct */
} mctx__name;

enum mctx__part_state {
  MCTX__PART_SETTLED, /* in the table */
  MCTX__PART_CHANGED, /* in the table; the system has the next filter */
  MCTX__PART_FRESH,   /* joined, not in the table */
  MCTX__PART_LEAVING, /* in the table, still joined, not needed any more */
  MCTX__PART_SILENCED /* the same, and in no table: what it receives is discarded */
};

/* What was delivered. */
typedef struct mctx__tally {
  uint64_t datagrams;
  uint64_t bytes;
  int64_t first_ns; /* 0: none yet */
  int64_t last_ns;
} mctx__tally;

/* What one socket lets through of a membership. */
struct mctx__part {
  mctx__entry entry; /* first; its owner is the socket */
  mctx__tally tally; /* under the subscription's lock */
  mctx__part *next;  /* of the membership */
  mctx__receiver *receiver;
  mctx__member *member;
  uint32_t state;
  bool is_told; /* the system has the filter; else it lets everything through */
  bool is_told_next;
  bool was_sole; /* before it was silenced: of its socket */
  mctx__filter filter;
  mctx__filter next_filter;
};

struct mctx__member {
  /* First; its owner is 0. While the interface is away, its interface is 0, and it is in no table. */
  mctx__entry entry;
  mctx__member *next; /* in order of joining */
  mctx__member *previous;
  mctx__member *next_change; /* in a change */
  uint32_t id;
  bool is_fresh;   /* being joined */
  bool is_default; /* by the default set */
  bool is_leaving;
  mctx__name *except; /* where its group is not to be joined again, once it was left */
  mctx_status refusal;
  mctx__name *names;
  mctx__filter filter;
  mctx__filter next_filter;
  mctx__part *parts;
  mctx__tally tally; /* of parts that are gone */
  int64_t joined_ns; /* under the subscription's lock */
};

/* Memberships that a change is being told for. */
typedef struct mctx__change {
  mctx__member *first;
} mctx__change;

/* All with the subscription's mutex held. */

/* A new membership at the end of the list, nothing joined yet; NULL if there is no memory. Interface 0: absent.
 */
mctx__member *mctx__member_add(mctx__subscription *subscription, const mctx_address *group,
                               uint32_t interface_index);
/* Removes a membership: leaves its groups, and closes sockets that nobody needs. */
void mctx__member_remove(mctx__subscription *subscription, mctx__member *member);
/* Leaves, but keeps the membership: its interface is away. */
void mctx__member_lose(mctx__subscription *subscription, mctx__member *member);
/* Leaves and joins again what the system may have ended, on the same sockets: what waits there stays. All parts
 * leave before one joins: leaving what the system had ended takes away what others joined since. On failure
 * some have left: lose it then. */
mctx__result mctx__member_rejoin(const mctx__member *member);
/* Puts an absent membership on an interface; tell its filter then. False if there is no memory. */
bool mctx__member_place(mctx__subscription *subscription, mctx__member *member, uint32_t interface_index);
/* What was delivered for it; with the lock held too. */
mctx__tally mctx__member_tally(const mctx__member *member);
mctx__member *mctx__member_find(const mctx__subscription *subscription, const mctx_address *group,
                                uint32_t interface_index);

/* Tells the system a filter, which it takes over in any case. On failure this membership is as it was, and
 * those told before are still told. */
mctx__result mctx__member_tell(mctx__subscription *subscription, mctx__change *change, mctx__member *member,
                               mctx__filter *filter);
/* Makes all that was told so the state of things. */
void mctx__change_settle(mctx__subscription *subscription, mctx__change *change);
/* Takes all that was told back; fresh memberships are removed. */
void mctx__change_undo(mctx__subscription *subscription, mctx__change *change);

/* ---- names ---- */

bool mctx__name_add(mctx__name **names, const mctx_interface_ref *ref);
/* Takes all of `from` behind those that are there. */
void mctx__names_move(mctx__name **names, mctx__name **from);
bool mctx__names_have(const mctx__name *names, const mctx_interface_ref *ref);
void mctx__names_free(mctx__name **names);

#endif

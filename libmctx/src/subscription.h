/* SPDX-License-Identifier: MIT */
/* The receive side: one port, any set of groups, behind one pollable handle. */
#ifndef MCTX_SUBSCRIPTION_H
#define MCTX_SUBSCRIPTION_H

#include "context.h"
#include "events.h"
#include "handle.h"
#include "member.h"
#include "owner.h"
#include "pause.h"

enum { MCTX__READY_TAGS = 64 };

/* What a coalesced message left for later receives. */
typedef struct mctx__held {
  unsigned char *bytes; /* MCTX__MESSAGE_MAX of them; NULL if nothing coalesces */
  uint64_t offset;      /* of the next datagram */
  uint64_t end;         /* equal to offset: nothing is held */
  mctx__arrival arrival;
  mctx__part *part; /* for which it was received; NULL: that changed. What finds it again: */
  uint32_t owner;
  uint32_t interface_index;
  mctx_address group;
} mctx__held;

/* A group that is to be joined on every interface of the default set, also on those that come. */
typedef struct mctx__standing {
  struct mctx__standing *next;
  mctx_address group;
  mctx__filter filter;
  mctx__name *except; /* interfaces where it was left by hand: the name, and the index as long as it lives */
  bool is_fresh;      /* being joined */
  bool is_nowhere;    /* there was no interface */
  bool is_rejoined;   /* joined once more: the exceptions go */
  bool is_leaving;
} mctx__standing;

struct mctx__subscription {
  mctx__object object;

  /* Under the lock, as are the tables' links and what receiver.h and member.h say: a spin lock, because a
   * receive holds it only over calls that do not block. A thread whose own the subscription is does without. */
  _Alignas(64) atomic_flag lock;
  bool has_changes;  /* the watch has something to tell */
  bool is_behind;    /* it told, and the interfaces could not be looked at */
  int64_t retry_ns;  /* when what could not be joined for a shortage is tried again; 0: nothing */
  bool is_exposed;   /* somebody watches the pollable handle */
  bool is_signalled; /* the event says that something is held */
  uint32_t waiters;
  uint32_t until_look;  /* receives from the only socket until the poller is asked again */
  mctx__receiver *only; /* if there is one socket alone */
  mctx__receiver *current;
  uint32_t turn;        /* receives that are left of the current one's turn */
  mctx__result pending; /* a failure that came after datagrams */
  uint64_t drops;
  mctx__receive_counters counters;
  mctx__held held;
  mctx__usage usage; /* by receives under the lock */
  int64_t drops_ns;  /* when the last were noticed */
  uint32_t ready_at;
  uint32_t ready_count;
  uint64_t ready[MCTX__READY_TAGS];
  mctx__events events;
  mctx__table parts;
  mctx__table members;

  /* Under the mutex, which comes before the lock and after the context's. */
  mctx__mutex mutex;
  mctx__member *first; /* in order of joining */
  mctx__member *last;
  uint32_t member_count;
  uint32_t fresh_parts; /* that are not in the table yet */
  uint32_t last_id;
  mctx__standing *standing;
  mctx__receiver *receivers; /* newest first */
  uint32_t receiver_count;   /* anchors not counted */
  uint32_t group_sockets;
  uint32_t last_receiver;
  mctx__changes changes; /* that could not be followed yet */

  /* Fixed after opening. */
  mctx__context *context;
  uint64_t serial;              /* in order of opening; as are the next two, under the context's mutex */
  mctx__subscription *previous; /* in the context's list */
  mctx__subscription *next;
  uint32_t flags;
  uint16_t port;
  int32_t reuse_port;
  int32_t coalescing;
  uint32_t binding;
  uint32_t metadata;
  uint32_t max_group_sockets;
  int64_t receive_buffer;
  mctx__name *interfaces; /* NULL: the default set */
  mctx__poller poller;
  mctx__watch watch;
  mctx__event event; /* in the poller: something is held */
};

/* Tags of the poller beside receivers. */
#define MCTX__TAG_EVENT UINT64_C(0)
#define MCTX__TAG_WATCH UINT64_C(1)

static inline void mctx__subscription_lock(mctx__subscription *subscription) {
  mctx__spin_lock(&subscription->lock);
  mctx__exclude_owner(&subscription->object, &subscription->usage);
}

static inline void mctx__subscription_unlock(mctx__subscription *subscription) {
  mctx__spin_unlock(&subscription->lock);
}

/* Enters a subscription with its mutex held; on failure it is not entered. */
mctx_status mctx__subscription_enter(const mctx__call *call, mctx__subscription **subscription);
/* The same after changes of the interfaces were followed: what a name means is what it means now. */
mctx_status mctx__subscription_enter_current(const mctx__call *call, mctx__subscription **subscription);
void mctx__subscription_exit(mctx__subscription *subscription);

/* Takes and keeps an event. */
void mctx__subscription_event(mctx__subscription *subscription, const mctx_event *event);
/* Somebody is about to watch the pollable handle: from now on it is kept true for what is held. */
void mctx__subscription_expose(mctx__subscription *subscription);
/* When what could not be joined for a shortage is tried again, but no later than the deadline. */
int64_t mctx__subscription_retry(mctx__subscription *subscription, int64_t deadline_ns);
/* Whether a receive may ever get something. */
bool mctx__subscription_has_groups(mctx__subscription *subscription);
mctx_status mctx__nothing_joined(const mctx__call *call);

/* Whether an interface belongs to the default set. */
static inline bool mctx__is_default_interface(const mctx__interface *interface) {
  const uint32_t wanted = MCTX_INTERFACE_UP | MCTX_INTERFACE_MULTICAST;
  const uint32_t looked_at = wanted | MCTX_INTERFACE_LOOPBACK | MCTX_INTERFACE_ENSLAVED;
  return (interface->info.flags & looked_at) == wanted;
}

/* Makes the memberships what the interfaces ask for now; without the mutex. False if the interfaces could not
 * be looked at: the pollable handle stays readable until they were. */
bool mctx__subscription_follow(mctx__subscription *subscription);

/* With the lock held: forgets a socket that is about to be closed. */
void mctx__receive_forget(mctx__subscription *subscription, const mctx__receiver *receiver);

#endif

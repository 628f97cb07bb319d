/* SPDX-License-Identifier: MIT */
/* The queues of interfaces (qdiscs): which of them hold sockets to their pacing rates. */
#ifndef MCTX_QUEUE_H
#define MCTX_QUEUE_H

#include "rtnl.h"

/* What there is to know of one interface's queues. */
typedef struct mctx__queues {
  uint32_t index;
  bool has_root;
  bool is_multiple; /* `mq`: one queue for each of the device's, as children */
  uint32_t handle;  /* of the root, which its children name as their parent */
  uint32_t pacing;  /* queues that hold sockets to their rates */
  uint32_t others;
} mctx__queues;

/* Sees one message of an RTM_GETQDISC dump; `user` is an mctx__queues that has its index and nothing else. A
 * root comes before its children. */
mctx__result mctx__queue_read(const struct nlmsghdr *message, void *user);
bool mctx__queues_pace(const mctx__queues *queues);

#endif

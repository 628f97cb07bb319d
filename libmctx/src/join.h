/* SPDX-License-Identifier: MIT */
/* What joining shares with following the interfaces. All with the subscription's mutex held. */
#ifndef MCTX_JOIN_H
#define MCTX_JOIN_H

#include "subscription.h"

/* Joins what an array says, all or none. */
mctx_status mctx__join_array(const mctx__call *call, mctx__subscription *subscription,
                             const mctx_membership *memberships, uint32_t stride, uint64_t count);

/* The group that is joined on all of the default set; NULL if it is not. */
mctx__standing *mctx__standing_find(const mctx__subscription *subscription, const mctx_address *group);

void mctx__standing_remove(mctx__subscription *subscription, mctx__standing *standing);

/* Joins a group on one interface of the default set. If that refuses, the membership stays in the list,
 * refused, and is part of the change all the same; mctx__is_refusal() tells that from failures of the call. */
mctx__result mctx__join_default(mctx__subscription *subscription, mctx__change *change,
                                const mctx_address *group, const mctx__filter *filter,
                                const mctx__interface *interface);
bool mctx__is_refusal(mctx_status status);

/* A source-specific group without a list of sources to include (RFC 4607). */
bool mctx__is_sourceless(const mctx_address *group, const mctx__filter *filter);

#endif

/* SPDX-License-Identifier: MIT */
/* What a call on memberships asks for: read and checked, matched with what is joined, and how it fails. All but
 * mctx__array_call() with the subscription's mutex held. */
#ifndef MCTX_WISH_H
#define MCTX_WISH_H

#include "subscription.h"

typedef struct mctx__wish {
  uint64_t item;
  mctx_address group;               /* no port, no scope */
  uint32_t scope;                   /* that the group was given with, or 0 */
  mctx_interface_ref ingress;       /* MCTX_INTERFACE_ANY: everywhere; its name is the caller's */
  const mctx__interface *interface; /* that it means now; NULL: none, or it names none */
  mctx__filter filter;
} mctx__wish;

/* All elements of a call. */
typedef struct mctx__wishes {
  mctx__wish *items;
  uint64_t count;
  mctx__interfaces interfaces; /* none until they are resolved */
} mctx__wishes;

/* Whether an element's filter counts. */
enum mctx__filtering { MCTX__WITH_FILTER, MCTX__WITHOUT_FILTER };

/* What a public call does with an array of memberships that is not empty. */
typedef mctx_status mctx__array_work(const mctx__call *call, mctx__subscription *subscription,
                                     const mctx_membership *memberships, uint32_t stride, uint64_t count);
/* The frame of such a call: checks the array, follows the interfaces, works with the mutex held. */
mctx_status mctx__array_call(const mctx__call *call, const mctx_membership *memberships, uint32_t stride,
                             uint32_t count, mctx__array_work *work);

/* Reads the elements of a call, all of them before anything happens. On failure nothing is held. */
mctx_status mctx__wishes_read(const mctx__call *call, const mctx__subscription *subscription,
                              const mctx_membership *memberships, uint32_t stride, uint64_t count,
                              enum mctx__filtering filtering, mctx__wishes *wishes);
/* Finds the interfaces that are named; a scope and a name that are both given must mean the same. */
mctx_status mctx__wishes_resolve(const mctx__call *call, mctx__wishes *wishes);
void mctx__wishes_free(mctx__wishes *wishes);
mctx_status mctx__source_check(const mctx__call *call, const mctx_address *source, uint32_t family,
                               const char *field);

/* Whether it means a membership, once it is resolved: by the interface that its name means now, or by the name
 * itself. */
bool mctx__wish_means(const mctx__wish *asked, const mctx__member *member);

/* Failures, with the item. The system refuses it, on an interface or anywhere (NULL): */
mctx_status mctx__wish_refused(const mctx__call *call, const mctx__wish *asked,
                               const mctx__interface *interface, mctx__result result);
mctx_status mctx__wish_failed(const mctx__call *call, const mctx__wish *asked, mctx_status code,
                              const char *hint);
mctx_status mctx__wish_no_memory(const mctx__call *call, const mctx__wish *asked);
mctx_status mctx__wish_not_joined(const mctx__call *call, const mctx__interfaces *interfaces,
                                  const mctx__wish *asked);

#endif

/* SPDX-License-Identifier: MIT */
/* Looking interfaces up in a snapshot. */
#ifndef MCTX_INTERFACE_H
#define MCTX_INTERFACE_H

#include "error.h"

/* Checks how an interface is named, without looking: `family` is that of the group, 0 for any. The field is
 * reported as "interface" or "interface.<member>". */
mctx_status mctx__interface_check(const mctx__call *call, const mctx_interface_ref *wanted, uint32_t family);

/* The interface that a checked name means, or NULL. */
const mctx__interface *mctx__interface_find(const mctx__interfaces *interfaces,
                                            const mctx_interface_ref *wanted);
const mctx__interface *mctx__interface_by_index(const mctx__interfaces *interfaces, uint32_t index);
/* The first interface that has the address; with a scope id in it, that interface alone. */
const mctx__interface *mctx__interface_by_address(const mctx__interfaces *interfaces,
                                                  const mctx_address *address);
bool mctx__interface_has_address(const mctx__interfaces *interfaces, const mctx__interface *interface,
                                 const mctx_address *address);

/* Reports that no interface is what `wanted` says, with those that there are. Without a field it is that of
 * `wanted`. */
mctx_status mctx__interface_not_found(const mctx__call *call, const mctx__interfaces *interfaces,
                                      const mctx_interface_ref *wanted, const char *field);

/* Takes a snapshot, or reports why the system gives none. */
mctx_status mctx__interfaces_list(const mctx__call *call, mctx__interfaces *interfaces, const char *field);

#endif

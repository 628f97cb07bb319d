/* SPDX-License-Identifier: MIT */
/* What an address is, and whether it can be what a call wants of it. */
#ifndef MCTX_ADDRESS_H
#define MCTX_ADDRESS_H

#include "error.h"

enum { MCTX__ADDRESS_TEXT = 64 }; /* room for the text of any address */

bool mctx__is_multicast(const mctx_address *address);
bool mctx__is_unspecified(const mctx_address *address);
/* IPv6 unicast fe80::/10 (RFC 4291). */
bool mctx__is_link_local(const mctx_address *address);
/* IPv6 multicast of interface-local or link-local scope (RFC 7346): it means something on one interface alone.
 */
bool mctx__is_scoped_group(const mctx_address *address);
/* Family and bytes; not port, prefix or scope. */
bool mctx__same_host(const mctx_address *a, const mctx_address *b);
/* The same with port and scope. */
bool mctx__same_address(const mctx_address *a, const mctx_address *b);
/* Whether the struct is one that this library could have made. */
bool mctx__is_wellformed(const mctx_address *address);
/* The address as text; returns `text`. */
const char *mctx__address_text(const mctx_address *address, char text[MCTX__ADDRESS_TEXT]);
/* The same without its port. */
const char *mctx__host_text(const mctx_address *address, char text[MCTX__ADDRESS_TEXT]);

/* ---- checks, which describe what is wrong ---- */

/* A host or a group: well-formed, and without a prefix. */
mctx_status mctx__host_check(const mctx__call *call, const mctx_address *address, const char *field);
/* The group of a call, in its field "group". */
mctx_status mctx__group_check(const mctx__call *call, const mctx_address *group);
/* Who sends to a group of the family: not a group itself. */
mctx_status mctx__sender_check(const mctx__call *call, const mctx_address *source, uint32_t family,
                               const char *field);

#endif

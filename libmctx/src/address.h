/* SPDX-License-Identifier: MIT */
/* What an address is. */
#ifndef MCTX_ADDRESS_H
#define MCTX_ADDRESS_H

#include <stdbool.h>

#include "mctx.h"

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

#endif

/* SPDX-License-Identifier: MIT */
/* Questions to the kernel about links, addresses and routes (rtnetlink). No file here has the name of one of
 * the system's <linux/...>, which a search path could confuse. */
#ifndef MCTX_RTNL_H
#define MCTX_RTNL_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"

typedef struct mctx__netlink {
  int descriptor;
  uint32_t sequence;
  unsigned char *buffer;
} mctx__netlink;

/* Refused where a sandbox does not let the program ask. */
mctx__result mctx__netlink_open(mctx__netlink *netlink);
void mctx__netlink_close(mctx__netlink *netlink);

/* One attribute of a message. */
typedef struct mctx__attribute {
  uint32_t type;
  const unsigned char *data;
  size_t length;
} mctx__attribute;

/* The attributes of a message, one after the other: behind `header` bytes of the message's payload, or inside
 * another attribute. */
typedef struct mctx__attributes {
  const unsigned char *at;
  size_t left;
} mctx__attributes;

mctx__attributes mctx__attributes_of(const struct nlmsghdr *message, size_t header);
mctx__attributes mctx__attributes_in(const mctx__attribute *nested);
bool mctx__attributes_next(mctx__attributes *attributes, mctx__attribute *next);
/* A 32-bit number, 0 if the attribute is shorter. */
uint32_t mctx__attribute_number(const mctx__attribute *attribute);

/* The payload of a message as a struct of `size` bytes; false if it is shorter. */
bool mctx__netlink_payload(const struct nlmsghdr *message, void *payload, size_t size);

/* Sees one message of an answer; a failure ends the reading. */
typedef mctx__result (*mctx__netlink_visit)(const struct nlmsghdr *message, void *user);

/* Asks, and shows each message of the answer. `request` is complete but for the sequence number. `torn`, if
 * not NULL, tells that the kernel's tables changed while it answered. */
mctx__result mctx__netlink_ask(mctx__netlink *netlink, struct nlmsghdr *request, mctx__netlink_visit visit,
                               void *user, bool *torn);

/* ---- routes ---- */

/* mctx__route_lookup() over a netlink socket that is open. */
mctx__result mctx__route_ask(mctx__netlink *netlink, const mctx_address *destination, uint32_t interface_index,
                             const mctx_address *source, mctx_address *chosen_source, uint32_t *chosen_index);

/* The interface through which multicast of a family leaves that names none; 0 if nowhere. */
mctx__result mctx__route_default(mctx__netlink *netlink, uint32_t family, uint32_t *index);

#endif

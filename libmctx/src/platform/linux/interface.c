/* SPDX-License-Identifier: MIT */
/* A snapshot of the interfaces and their addresses. */
#include "../posix/posix.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "rtnl.h"

#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3) /* Linux 4.4 */
#endif

enum { ATTEMPTS = 64 }; /* on a host that makes and removes interfaces all the time, most are in vain */

/* An address as it was found: those of one interface need not come together. */
typedef struct found_address {
  uint32_t index;
  uint32_t order;
  mctx_address address;
} found_address;

/* A snapshot in the making. */
typedef struct survey {
  mctx__interface *items;
  uint32_t item_count;
  uint32_t item_capacity;
  found_address *found;
  uint32_t found_count;
  uint32_t found_capacity;
} survey;

/* Twice the room for an array that is full; NULL if there is no memory, and the old one stands. */
static void *grown(void *old, uint32_t count, uint32_t *capacity, size_t size) {
  if (count < *capacity) return old;
  const uint32_t wanted = *capacity == 0 ? 16 : *capacity * 2;
  if (wanted <= *capacity || wanted > SIZE_MAX / size) return NULL;
  void *wider = mctx__allocate(wanted * size);
  if (wider == NULL) return NULL;
  if (count != 0) memcpy(wider, old, count * size);
  mctx__release(old);
  *capacity = wanted;
  return wider;
}

/* ---- links ---- */

static void text_copy(char *text, size_t capacity, const mctx__attribute *attribute) {
  const size_t length = strnlen((const char *)attribute->data, attribute->length);
  const size_t copied = length < capacity ? length : capacity - 1;
  memset(text, 0, capacity);
  memcpy(text, attribute->data, copied);
}

static uint32_t flags_of(uint32_t native) {
  static const struct {
    uint32_t native;
    uint32_t flag;
  } flags[] = {{IFF_UP, MCTX_INTERFACE_UP},
               {IFF_RUNNING, MCTX_INTERFACE_RUNNING},
               {IFF_LOOPBACK, MCTX_INTERFACE_LOOPBACK},
               {IFF_MULTICAST, MCTX_INTERFACE_MULTICAST},
               {IFF_POINTOPOINT, MCTX_INTERFACE_POINT_TO_POINT},
               {IFF_BROADCAST, MCTX_INTERFACE_BROADCAST}};
  uint32_t result = 0;
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
    if ((native & flags[i].native) != 0) result |= flags[i].flag;
  }
  return result;
}

/* Whether the master takes all that arrives. One of a VRF has a master too, and receives as before. */
static bool is_enslaved(const mctx__attribute *link_info) {
  static const char *const takers[] = {"bridge", "bond", "team", "openvswitch"};
  mctx__attributes attributes = mctx__attributes_in(link_info);
  mctx__attribute attribute;
  while (mctx__attributes_next(&attributes, &attribute)) {
    char kind[32];
    if (attribute.type != IFLA_INFO_SLAVE_KIND) continue;
    text_copy(kind, sizeof kind, &attribute);
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
      if (strcmp(kind, takers[i]) == 0) return true;
    }
  }
  return false;
}

static void link_attribute(mctx__interface *item, const mctx__attribute *attribute) {
  mctx_interface_info *info = &item->info;
  switch (attribute->type) {
    case IFLA_IFNAME:
      text_copy(info->name, sizeof info->name, attribute);
      break;
    case IFLA_IFALIAS:
      text_copy(item->friendly, sizeof item->friendly, attribute);
      break;
    case IFLA_MTU:
      info->mtu = mctx__attribute_number(attribute);
      break;
    case IFLA_ADDRESS:
      info->hardware_length =
          (uint32_t)(attribute->length < sizeof info->hardware ? attribute->length : sizeof info->hardware);
      memcpy(info->hardware, attribute->data, info->hardware_length);
      break;
    case IFLA_LINKINFO:
      if (is_enslaved(attribute)) info->flags |= MCTX_INTERFACE_ENSLAVED;
      break;
    default:
      break;
  }
}

static mctx__result link_add(const struct nlmsghdr *message, void *user) {
  survey *all = user;
  struct ifinfomsg link;
  mctx__attribute attribute;
  if (message->nlmsg_type != RTM_NEWLINK || !mctx__netlink_payload(message, &link, sizeof link)) {
    return MCTX__DONE;
  }
  mctx__interface *items = grown(all->items, all->item_count, &all->item_capacity, sizeof *items);
  if (items == NULL) return MCTX__NO_MEMORY;
  all->items = items;
  mctx__interface *item = &items[all->item_count++];
  memset(item, 0, sizeof *item);
  item->info.index = (uint32_t)link.ifi_index;
  item->info.flags = flags_of(link.ifi_flags);
  mctx__attributes attributes = mctx__attributes_of(message, sizeof link);
  while (mctx__attributes_next(&attributes, &attribute)) {
    link_attribute(item, &attribute);
  }
  if (item->friendly[0] == 0) memcpy(item->friendly, item->info.name, sizeof item->info.name);
  return MCTX__DONE;
}

/* ---- addresses ---- */

static mctx__result address_add(const struct nlmsghdr *message, void *user) {
  survey *all = user;
  struct ifaddrmsg head;
  mctx__attribute attribute;
  mctx__attribute own = {.length = 0};
  if (message->nlmsg_type != RTM_NEWADDR || !mctx__netlink_payload(message, &head, sizeof head)) {
    return MCTX__DONE;
  }
  const uint32_t family = head.ifa_family == AF_INET ? 4 : head.ifa_family == AF_INET6 ? 6 : 0;
  if (family == 0) return MCTX__DONE;
  mctx__attributes attributes = mctx__attributes_of(message, sizeof head);
  while (mctx__attributes_next(&attributes, &attribute)) {
    /* With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours. */
    if (attribute.type == IFA_LOCAL || (attribute.type == IFA_ADDRESS && own.length == 0)) own = attribute;
  }
  if (own.length != (family == 4 ? 4 : 16)) return MCTX__DONE;

  found_address *found = grown(all->found, all->found_count, &all->found_capacity, sizeof *found);
  if (found == NULL) return MCTX__NO_MEMORY;
  all->found = found;
  found_address *last = &found[all->found_count];
  memset(last, 0, sizeof *last);
  last->index = head.ifa_index;
  last->order = all->found_count++;
  last->address.family = (uint8_t)family;
  last->address.prefix = head.ifa_prefixlen;
  memcpy(last->address.bytes, own.data, own.length);
  if (mctx__is_scoped(&last->address)) last->address.scope_id = head.ifa_index;
  return MCTX__DONE;
}

/* ---- the snapshot ---- */

static mctx__result dump(mctx__netlink *netlink, unsigned short type, mctx__netlink_visit visit, survey *all,
                         bool *torn) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link; /* longer than struct ifaddrmsg, which is as zero */
    struct rtattr head;
    uint32_t mask;
  } request = {.header = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
               .head = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_EXT_MASK},
               .mask = RTEXT_FILTER_SKIP_STATS};
  request.header.nlmsg_len =
      (uint32_t)(type == RTM_GETLINK ? sizeof request : NLMSG_LENGTH(sizeof(struct ifaddrmsg)));
  return mctx__netlink_ask(netlink, &request.header, visit, all, torn);
}

static int by_index(const void *left, const void *right) {
  const uint32_t a = ((const mctx__interface *)left)->info.index;
  const uint32_t b = ((const mctx__interface *)right)->info.index;
  return (a > b) - (a < b);
}

static int by_index_and_order(const void *left, const void *right) {
  const found_address *a = left;
  const found_address *b = right;
  if (a->index != b->index) return a->index > b->index ? 1 : -1;
  return (a->order > b->order) - (a->order < b->order);
}

/* Reads both tables; `torn` tells that they do not belong together. */
static mctx__result survey_take(mctx__netlink *netlink, survey *all, bool *torn) {
  *torn = false;
  all->item_count = 0;
  all->found_count = 0;
  mctx__result result = dump(netlink, RTM_GETLINK, link_add, all, torn);
  if (result.status == MCTX_OK) result = dump(netlink, RTM_GETADDR, address_add, all, torn);
  if (result.status != MCTX_OK) return result;
  if (all->item_count != 0) qsort(all->items, all->item_count, sizeof *all->items, by_index);
  if (all->found_count != 0) qsort(all->found, all->found_count, sizeof *all->found, by_index_and_order);
  return MCTX__DONE;
}

/* Gives each interface its addresses; `torn` tells that there is one of an interface that is not there. */
static void addresses_assign(survey *all, mctx_address *addresses, bool *torn) {
  uint32_t next = 0;
  for (uint32_t i = 0; i < all->item_count; i++) {
    mctx__interface *item = &all->items[i];
    item->first_address = next;
    for (; next < all->found_count && all->found[next].index == item->info.index; next++) {
      addresses[next] = all->found[next].address;
      item->info.address_count++;
    }
  }
  if (next != all->found_count) *torn = true;
}

mctx__result mctx__interfaces_load(mctx__interfaces *interfaces) {
  mctx__netlink netlink;
  survey all = {0};
  mctx_address *addresses = NULL;
  uint32_t leaving[2] = {0, 0};
  bool torn = true;
  mctx__result result = mctx__netlink_open(&netlink);
  if (result.status != MCTX_OK) return result;

  for (int attempt = 0; torn; attempt++) {
    result = attempt < ATTEMPTS ? survey_take(&netlink, &all, &torn) : (mctx__result){MCTX_ERR_IO, EBUSY};
    if (result.status != MCTX_OK) goto done;
    if (torn) continue;
    mctx__release(addresses);
    addresses = mctx__allocate(all.found_count * sizeof *addresses);
    if (addresses == NULL) {
      result = MCTX__NO_MEMORY;
      goto done;
    }
    addresses_assign(&all, addresses, &torn);
  }
  result = mctx__route_default(&netlink, 4, &leaving[0]);
  if (result.status == MCTX_OK) result = mctx__route_default(&netlink, 6, &leaving[1]);
  if (result.status != MCTX_OK) goto done;

  *interfaces =
      (mctx__interfaces){all.items, all.item_count, addresses, all.found_count, {leaving[0], leaving[1]}};
  all.items = NULL;
  addresses = NULL;

done:
  mctx__release(addresses);
  mctx__release(all.items);
  mctx__release(all.found);
  mctx__netlink_close(&netlink);
  return result;
}

void mctx__interfaces_free(mctx__interfaces *interfaces) {
  mctx__release(interfaces->items);
  mctx__release(interfaces->addresses);
  memset(interfaces, 0, sizeof *interfaces);
}

/* SPDX-License-Identifier: MIT */
#include "wish.h"

#include <stdio.h>

#include "address.h"
#include "interface.h"
#include "options.h"

enum { MAX_SOURCES = 1 << 20 };

/* ---- what is asked for ---- */

static mctx_status check_group(const mctx__call *call, const mctx__subscription *subscription,
                               const mctx_address *group) {
  mctx_status status = mctx__group_check(call, group);
  if (status != MCTX_OK || group->port == 0 || group->port == subscription->port) return status;
  return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "group.port", .value = group->port,
                    .limit = subscription->port,
                    .hint = "a subscription has one port: leave the group's out, or open another subscription");
}

mctx_status mctx__source_check(const mctx__call *call, const mctx_address *source, uint32_t family,
                               const char *field) {
  mctx_status status = mctx__host_check(call, source, field);
  if (status != MCTX_OK) return status;
  if (source->family == 0 || mctx__is_unspecified(source))
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_UNSPECIFIED, .field = field,
                      .hint = "name a sender's address; any source is an exclude filter without a list");
  return mctx__sender_check(call, source, family, field);
}

static mctx_status read_filter(const mctx__call *call, const mctx_membership *membership,
                               mctx__filter *filter) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[128];
  const uint64_t count = membership->source_count;
  if (membership->mode > MCTX_INCLUDE)
    return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "mode", .value = membership->mode,
                      .limit = MCTX_INCLUDE, .hint = "use MCTX_EXCLUDE or MCTX_INCLUDE");
  if (membership->sources == NULL && count > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "sources", .value = count);
  if (count > MAX_SOURCES)
    return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "source_count", .value = count,
                      .limit = MAX_SOURCES, .hint = "a filter lists at most 1048576 sources");
  if (membership->mode == MCTX_INCLUDE && count == 0)
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_REQUIRED, .field = "sources",
                      .hint = "name the sources to include; to receive from nobody, leave the group");
  for (uint64_t i = 0; i < count; i++) {
    mctx_status status = mctx__source_check(call, &membership->sources[i], membership->group.family, "sources");
    if (status != MCTX_OK) return status;
  }
  if (!mctx__filter_make(filter, membership->mode, membership->sources, (uint32_t)count))
    return MCTX__FAIL(call, MCTX_ERR_NO_MEMORY, .field = "sources", .value = count);
  for (uint32_t i = 1; i < filter->count; i++) {
    if (!mctx__same_host(&filter->sources[i - 1], &filter->sources[i])) continue;
    snprintf(hint, sizeof hint, "%s is there more than once", mctx__host_text(&filter->sources[i], text));
    mctx__filter_free(filter);
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_REPEATED, .field = "sources", .hint = hint);
  }
  return MCTX_OK;
}

/* A scope id is another way to name an interface. */
static mctx_status read_ingress(const mctx__call *call, const mctx_membership *membership, mctx__wish *own) {
  mctx_status status = mctx__interface_check(call, &membership->ingress, 0);
  if (status != MCTX_OK) return status;
  own->ingress = membership->ingress;
  own->scope = membership->group.scope_id;
  if (own->scope != 0 && own->ingress.by == MCTX_INTERFACE_ANY)
    own->ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_INDEX, .index = own->scope};
  return MCTX_OK;
}

static mctx_status read_wish(const mctx__call *call, const mctx__subscription *subscription,
                             const mctx_membership *membership, enum mctx__filtering filtering,
                             mctx__wish *own) {
  mctx_status status = check_group(call, subscription, &membership->group);
  if (status != MCTX_OK) return status;
  if (membership->reserved != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "reserved", .value = membership->reserved);
  if (filtering == MCTX__WITHOUT_FILTER && (membership->mode != MCTX_EXCLUDE || membership->source_count != 0))
    return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "sources", .value = membership->source_count,
                      .hint = "this call takes no filter: leave mode and sources out");
  own->group = membership->group;
  own->group.port = 0;
  own->group.scope_id = 0;
  status = read_ingress(call, membership, own);
  if (status == MCTX_OK && filtering == MCTX__WITH_FILTER) status = read_filter(call, membership, &own->filter);
  return status;
}

static void free_wishes(mctx__wish *items, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    mctx__filter_free(&items[i].filter);
  mctx__release(items);
}

void mctx__wishes_free(mctx__wishes *wishes) {
  free_wishes(wishes->items, wishes->count);
  mctx__interfaces_free(&wishes->interfaces);
}

mctx_status mctx__wishes_read(const mctx__call *call, const mctx__subscription *subscription,
                              const mctx_membership *memberships, uint32_t stride, uint64_t count,
                              enum mctx__filtering filtering, mctx__wishes *wishes) {
  mctx__wish *own = count <= SIZE_MAX / sizeof *own ? mctx__allocate((size_t)count * sizeof *own) : NULL;
  if (own == NULL) return MCTX__FAIL(call, MCTX_ERR_NO_MEMORY, .field = "memberships", .value = count);
  for (uint64_t i = 0; i < count; i++) {
    mctx_membership membership;
    own[i].item = i;
    mctx_status status =
        mctx__element_read(call, memberships, stride, i, &membership, sizeof membership, "memberships");
    if (status == MCTX_OK) status = read_wish(call, subscription, &membership, filtering, &own[i]);
    if (status == MCTX_OK) continue;
    mctx__describe_item(call, i);
    free_wishes(own, count);
    return status;
  }
  *wishes = (mctx__wishes){.items = own, .count = count};
  return MCTX_OK;
}

mctx_status mctx__wishes_resolve(const mctx__call *call, mctx__wishes *wishes) {
  mctx_status status = mctx__interfaces_list(call, &wishes->interfaces, "interface");
  if (status != MCTX_OK) return status;
  for (uint64_t i = 0; i < wishes->count; i++) {
    mctx__wish *own = &wishes->items[i];
    own->interface = mctx__interface_find(&wishes->interfaces, &own->ingress);
    if (own->scope == 0 || own->interface == NULL || own->interface->info.index == own->scope) continue;
    status = MCTX__FAIL(
        call, MCTX_ERR_OPTION_CONFLICT, .field = "group.scope_id", .value = own->scope,
        .limit = own->interface->info.index,
        .hint = "the group's scope names another interface than the one asked for: give one of them");
    mctx__describe_item(call, own->item);
    return status;
  }
  return MCTX_OK;
}

mctx_status mctx__array_call(const mctx__call *call, const mctx_membership *memberships, uint32_t stride,
                             uint32_t count, mctx__array_work *work) {
  mctx__subscription *own;
  if (!mctx__error_usable(call->error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__array_check(call, memberships, stride, count, "memberships");
  if (status == MCTX_OK) status = mctx__subscription_enter_current(call, &own);
  if (status != MCTX_OK) return status;
  if (count > 0) status = work(call, own, memberships, stride, count);
  mctx__subscription_exit(own);
  return status;
}

/* ---- how it fails ---- */

static const char *usual_hint(mctx_status status) {
  switch (status) {
    case MCTX_ERR_TOO_MANY_MEMBERSHIPS:
      return "the system has no memory left for memberships of this socket: raise net.core.optmem_max";
    case MCTX_ERR_TOO_MANY_SOURCES:
      return "the system has no memory left for filters of this socket: raise net.core.optmem_max";
    case MCTX_ERR_TOO_MANY_DESCRIPTORS:
      return "each socket behind the subscription is a descriptor: raise the limit (`ulimit -n`), close some, "
             "or let groups share sockets (binding auto)";
    case MCTX_ERR_PERMISSION:
      return "ports below 1024 are often reserved (net.ipv4.ip_unprivileged_port_start): take a higher one, or "
             "get the right (CAP_NET_BIND_SERVICE); or a security rule forbids it";
    case MCTX_ERR_ADDRESS_IN_USE:
      return "another program has the port and does not share it, or this subscription asks for it alone "
             "(reuse_port 0): `ss -ulpn` shows who";
    case MCTX_ERR_UNSUPPORTED:
      return "the interface does not carry this IP version: IPv6 wants an MTU of 1280 at least, and not to be "
             "switched off there";
    case MCTX_ERR_FAMILY_UNSUPPORTED:
      return "this host has no support for this IP version: switch it on, or join groups of the other";
    default:
      return NULL;
  }
}

mctx_status mctx__wish_refused(const mctx__call *call, const mctx__wish *asked,
                               const mctx__interface *interface, mctx__result result) {
  char text[MCTX__ADDRESS_TEXT];
  char message[256];
  snprintf(message, sizeof message, "%s cannot be joined on %s: %s", mctx__host_text(&asked->group, text),
           interface != NULL ? interface->info.name : "any interface", mctx_status_text(result.status));
  const char *field = result.status == MCTX_ERR_ADDRESS_IN_USE ? "port" : "group";
  mctx_status status = MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = field,
                                  .message = message, .hint = usual_hint(result.status));
  mctx__describe_item(call, asked->item);
  return status;
}

mctx_status mctx__wish_failed(const mctx__call *call, const mctx__wish *asked, mctx_status code,
                              const char *hint) {
  char text[MCTX__ADDRESS_TEXT];
  char message[160];
  snprintf(message, sizeof message, "%s: %s", mctx__host_text(&asked->group, text), mctx_status_text(code));
  mctx_status status = MCTX__FAIL(call, code, .field = "group", .message = message, .hint = hint);
  mctx__describe_item(call, asked->item);
  return status;
}

mctx_status mctx__wish_no_memory(const mctx__call *call, const mctx__wish *asked) {
  return mctx__wish_failed(call, asked, MCTX_ERR_NO_MEMORY, NULL);
}

/* ---- finding what is joined ---- */

bool mctx__wish_means(const mctx__wish *asked, const mctx__member *member) {
  if (!mctx__same_host(&member->entry.group, &asked->group)) return false;
  if (asked->ingress.by == MCTX_INTERFACE_ANY) return true;
  const mctx__interface *interface = asked->interface;
  if (interface != NULL && member->entry.interface_index == interface->info.index) return true;
  /* One whose interface is away, or refuses it now, is known by its names alone. */
  return (interface == NULL || member->entry.interface_index == 0) &&
         mctx__names_have(member->names, &asked->ingress);
}

mctx_status mctx__wish_not_joined(const mctx__call *call, const mctx__interfaces *interfaces,
                                  const mctx__wish *asked) {
  if (asked->ingress.by != MCTX_INTERFACE_ANY && asked->interface == NULL) {
    mctx_status status = mctx__interface_not_found(call, interfaces, &asked->ingress, NULL);
    mctx__describe_item(call, asked->item);
    return status;
  }
  return mctx__wish_failed(call, asked, MCTX_ERR_MEMBERSHIP_NOT_FOUND,
                           "the memberships of the subscription tell what is joined, and where");
}

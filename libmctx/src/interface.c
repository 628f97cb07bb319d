/* SPDX-License-Identifier: MIT */
#include "interface.h"

#include <stdio.h>
#include <string.h>

#include "address.h"
#include "handle.h"
#include "options.h"

/* A snapshot behind a handle. */
typedef struct interface_list {
  mctx__object object;
  mctx__interfaces interfaces;
} interface_list;

/* ---- naming and finding ---- */

static mctx_status check_address(const mctx__call *call, const mctx_address *address, uint32_t family) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[160];
  if (address->family == 0 || mctx__is_unspecified(address))
    return MCTX__FAIL(call, MCTX_ERR_INTERFACE_UNSPECIFIED, .field = "interface.address",
                      .hint =
                          "name an address of the interface, or leave the interface out to let the routing "
                          "table choose");
  if (mctx__is_multicast(address)) {
    snprintf(hint, sizeof hint, "%s is a group: name a unicast address of the interface",
             mctx__host_text(address, text));
    return MCTX__FAIL(call, MCTX_ERR_INTERFACE_MULTICAST, .field = "interface.address", .hint = hint);
  }
  if (family != 0 && address->family != family) {
    snprintf(hint, sizeof hint,
             "%s is an IPv%u address and the group an IPv%u one: name the interface by an "
             "IPv%u address, its index or its name",
             mctx__host_text(address, text), (unsigned)address->family, (unsigned)family, (unsigned)family);
    return MCTX__FAIL(call, MCTX_ERR_INTERFACE_FAMILY, .field = "interface.address", .hint = hint);
  }
  return MCTX_OK;
}

/* A name that `by` does not point at would be passed over without a word. */
static bool names_otherwise(const mctx_interface_ref *wanted) {
  return (wanted->by != MCTX_INTERFACE_BY_INDEX && wanted->index != 0) ||
         (wanted->by != MCTX_INTERFACE_BY_ADDRESS && wanted->address.family != 0) ||
         (wanted->by != MCTX_INTERFACE_BY_NAME && wanted->name != NULL);
}

mctx_status mctx__interface_check(const mctx__call *call, const mctx_interface_ref *wanted, uint32_t family) {
  if (wanted->by <= MCTX_INTERFACE_BY_NAME && names_otherwise(wanted))
    return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "interface.by", .value = wanted->by,
                      .hint =
                          "an index, address or name is set that `by` does not point at: set `by` to the one "
                          "that is meant, and leave the others out");
  switch (wanted->by) {
    case MCTX_INTERFACE_ANY:
      return MCTX_OK;
    case MCTX_INTERFACE_BY_INDEX:
      if (wanted->index == 0)
        return MCTX__FAIL(call, MCTX_ERR_INTERFACE_INDEX_ZERO, .field = "interface.index",
                          .hint = "indices start at 1; to name no interface, leave it out");
      return MCTX_OK;
    case MCTX_INTERFACE_BY_ADDRESS:
      if (!mctx__is_wellformed(&wanted->address))
        return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "interface.address",
                          .value = wanted->address.family,
                          .hint = "make the address with mctx_address_parse(), or zero it first");
      return check_address(call, &wanted->address, family);
    case MCTX_INTERFACE_BY_NAME:
      if (wanted->name == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "interface.name");
      return MCTX_OK;
    default:
      return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "interface.by", .value = wanted->by,
                        .limit = MCTX_INTERFACE_BY_NAME,
                        .hint = "use one of MCTX_INTERFACE_ANY, BY_INDEX, BY_ADDRESS and BY_NAME");
  }
}

/* On a loopback interface the whole IPv4 network is this host's: 127.0.0.2 as well as 127.0.0.1 (RFC
 * 1122, 3.2.1.3). */
static bool is_in_network(const mctx_address *network, const mctx_address *address) {
  if (network->family != 4 || address->family != 4 || network->prefix == 0) return false;
  for (uint32_t bit = 0; bit < network->prefix; bit += 8) {
    const uint32_t left = network->prefix - bit;
    const uint32_t mask = left >= 8 ? 0xffu : 0xff00u >> left;
    if (((network->bytes[bit / 8] ^ address->bytes[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

bool mctx__interface_has_address(const mctx__interfaces *interfaces, const mctx__interface *interface,
                                 const mctx_address *address) {
  if (address->scope_id != 0 && address->scope_id != interface->info.index) return false;
  const mctx_address *own = interfaces->addresses + interface->first_address;
  const bool is_loopback = (interface->info.flags & MCTX_INTERFACE_LOOPBACK) != 0;
  for (uint32_t i = 0; i < interface->info.address_count; i++)
    if (mctx__same_host(&own[i], address) || (is_loopback && is_in_network(&own[i], address))) return true;
  return false;
}

const mctx__interface *mctx__interface_by_index(const mctx__interfaces *interfaces, uint32_t index) {
  for (uint32_t i = 0; i < interfaces->count; i++)
    if (interfaces->items[i].info.index == index) return &interfaces->items[i];
  return NULL;
}

const mctx__interface *mctx__interface_by_address(const mctx__interfaces *interfaces,
                                                  const mctx_address *address) {
  for (uint32_t i = 0; i < interfaces->count; i++)
    if (mctx__interface_has_address(interfaces, &interfaces->items[i], address)) return &interfaces->items[i];
  return NULL;
}

static const mctx__interface *by_name(const mctx__interfaces *interfaces, const char *name) {
  for (uint32_t i = 0; i < interfaces->count; i++)
    if (strcmp(interfaces->items[i].info.name, name) == 0) return &interfaces->items[i];
  for (uint32_t i = 0; i < interfaces->count; i++)
    if (strcmp(interfaces->items[i].friendly, name) == 0) return &interfaces->items[i];
  return NULL;
}

const mctx__interface *mctx__interface_find(const mctx__interfaces *interfaces,
                                            const mctx_interface_ref *wanted) {
  switch (wanted->by) {
    case MCTX_INTERFACE_BY_INDEX:
      return mctx__interface_by_index(interfaces, wanted->index);
    case MCTX_INTERFACE_BY_ADDRESS:
      return mctx__interface_by_address(interfaces, &wanted->address);
    case MCTX_INTERFACE_BY_NAME:
      return by_name(interfaces, wanted->name);
    default:
      return NULL;
  }
}

/* "lo (1), eth0 (2)", as far as there is room. */
static void list_names(const mctx__interfaces *interfaces, char *text, size_t capacity) {
  size_t used = 0;
  text[0] = '\0';
  for (uint32_t i = 0; i < interfaces->count && used + 1 < capacity; i++) {
    const mctx_interface_info *info = &interfaces->items[i].info;
    int length = snprintf(text + used, capacity - used, "%s%s (%u)", i > 0 ? ", " : "", info->name,
                          (unsigned)info->index);
    if (length < 0 || (size_t)length >= capacity - used) {
      text[used] = '\0';
      break;
    }
    used += (size_t)length;
  }
}

mctx_status mctx__interface_not_found(const mctx__call *call, const mctx__interfaces *interfaces,
                                      const mctx_interface_ref *wanted, const char *field) {
  char address[MCTX__ADDRESS_TEXT];
  char names[320];
  char message[256];
  char hint[512];
  const char *member = "interface.index";
  if (wanted->by == MCTX_INTERFACE_BY_ADDRESS) {
    member = "interface.address";
    snprintf(message, sizeof message, "no interface has the address %s",
             mctx__host_text(&wanted->address, address));
  } else if (wanted->by == MCTX_INTERFACE_BY_NAME) {
    member = "interface.name";
    snprintf(message, sizeof message, "there is no interface \"%.64s\"", wanted->name);
  } else {
    snprintf(message, sizeof message, "there is no interface with the index %u", (unsigned)wanted->index);
  }
  list_names(interfaces, names, sizeof names);
  snprintf(hint, sizeof hint, "this host has: %s", names);
  return MCTX__FAIL(call, MCTX_ERR_INTERFACE_NOT_FOUND, .field = field != NULL ? field : member,
                    .value = wanted->index, .message = message, .hint = hint);
}

mctx_status mctx__interfaces_list(const mctx__call *call, mctx__interfaces *interfaces, const char *field) {
  mctx__result result = mctx__interfaces_load(interfaces);
  const char *hint = NULL;
  if (result.status == MCTX_OK) return MCTX_OK;
  if (result.status == MCTX_ERR_TOO_MANY_DESCRIPTORS)
    hint = "asking takes a descriptor: raise the limit (`ulimit -n`), or close some";
  else if (result.status == MCTX_ERR_PERMISSION)
    hint = "a sandbox keeps this process from asking (on Linux through a netlink socket): let it, or name none";
  return MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = field,
                    .message = "the interfaces of this host cannot be listed", .hint = hint);
}

/* ---- the snapshot as an object ---- */

static void destroy_list(mctx__object *object) {
  interface_list *list = (interface_list *)object;
  mctx__object_retire(object);
  mctx__interfaces_free(&list->interfaces);
  mctx__release(list);
}

static void abandon_list(mctx__object *object) {
  (void)object; /* holds memory alone */
}

static const mctx__class list_class = {MCTX_HANDLE_INTERFACE_LIST, destroy_list, abandon_list};

mctx_status mctx_interface_list_open(mctx_interface_list *list, mctx_error *error) {
  const mctx__call call = {__func__, 0, error};
  if (list != NULL) *list = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (list == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "list");
  interface_list *own = mctx__allocate(sizeof *own);
  if (own == NULL) return MCTX__FAIL(&call, MCTX_ERR_NO_MEMORY, .value = sizeof *own);
  mctx_status status = mctx__interfaces_list(&call, &own->interfaces, NULL);
  if (status != MCTX_OK) goto release;
  status = mctx__object_reserve(&call, &own->object, &list_class);
  if (status != MCTX_OK) goto unload;
  *list = mctx__object_publish(&own->object);
  return MCTX_OK;

unload:
  mctx__interfaces_free(&own->interfaces);
release:
  mctx__release(own);
  return status;
}

/* Enters a list and looks at one position. */
static mctx_status enter_at(const mctx__call *call, uint32_t position, interface_list **list,
                            const mctx__interface **interface) {
  mctx__object *object;
  mctx_status status = mctx__enter(call, MCTX_HANDLE_INTERFACE_LIST, &object);
  if (status != MCTX_OK) return status;
  *list = (interface_list *)object;
  uint32_t count = (*list)->interfaces.count;
  if (position >= count) {
    mctx__unpin(object);
    return MCTX__FAIL(call, MCTX_ERR_INTERFACE_NOT_FOUND, .field = "position", .value = position,
                      .limit = count, .hint = "positions go from 0 to the count of the list less one");
  }
  *interface = &(*list)->interfaces.items[position];
  return MCTX_OK;
}

mctx_status mctx_interface_list_count(mctx_interface_list list, uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, list, error};
  mctx__object *object;
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "count");
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_INTERFACE_LIST, &object);
  if (status != MCTX_OK) return status;
  *count = ((interface_list *)object)->interfaces.count;
  mctx__unpin(object);
  return MCTX_OK;
}

mctx_status mctx_interface_list_get(mctx_interface_list list, uint32_t position, mctx_interface_info *info,
                                    mctx_error *error) {
  const mctx__call call = {__func__, list, error};
  interface_list *own;
  const mctx__interface *interface;
  mctx__struct_clear(info);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__struct_check(&call, info, "info");
  if (status != MCTX_OK) return status;
  status = enter_at(&call, position, &own, &interface);
  if (status != MCTX_OK) return status;
  mctx__struct_write(info, &interface->info, sizeof interface->info);
  mctx__unpin(&own->object);
  return MCTX_OK;
}

mctx_status mctx_interface_list_addresses(mctx_interface_list list, uint32_t position, mctx_address *addresses,
                                          uint32_t capacity, uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, list, error};
  interface_list *own;
  const mctx__interface *interface;
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "count");
  if (addresses == NULL && capacity > 0) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "addresses");
  mctx_status status = enter_at(&call, position, &own, &interface);
  if (status != MCTX_OK) return status;
  *count = interface->info.address_count;
  for (uint32_t i = 0; i < *count && i < capacity; i++)
    addresses[i] = own->interfaces.addresses[interface->first_address + i];
  mctx__unpin(&own->object);
  return MCTX_OK;
}

mctx_status mctx_interface_list_friendly_name(mctx_interface_list list, uint32_t position, char *text,
                                              size_t capacity, size_t *length, mctx_error *error) {
  const mctx__call call = {__func__, list, error};
  interface_list *own;
  const mctx__interface *interface;
  mctx__text_clear(text, capacity, length);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__text_check(&call, text, capacity, length);
  if (status != MCTX_OK) return status;
  status = enter_at(&call, position, &own, &interface);
  if (status != MCTX_OK) return status;
  *length = mctx__copy_text(text, capacity, interface->friendly);
  mctx__unpin(&own->object);
  return MCTX_OK;
}

mctx_status mctx_interface_list_find(mctx_interface_list list, const mctx_interface_ref *wanted,
                                     uint32_t *position, mctx_error *error) {
  const mctx__call call = {__func__, list, error};
  mctx__object *object;
  if (position != NULL) *position = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (position == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "position");
  if (wanted == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "wanted");
  mctx_status status = mctx__interface_check(&call, wanted, 0);
  if (status != MCTX_OK) return status;
  if (wanted->by == MCTX_INTERFACE_ANY)
    return MCTX__FAIL(&call, MCTX_ERR_INVALID_ARGUMENT, .field = "interface.by",
                      .hint = "say by what: MCTX_INTERFACE_BY_INDEX, BY_ADDRESS or BY_NAME");
  status = mctx__enter(&call, MCTX_HANDLE_INTERFACE_LIST, &object);
  if (status != MCTX_OK) return status;
  const mctx__interfaces *interfaces = &((interface_list *)object)->interfaces;
  const mctx__interface *found = mctx__interface_find(interfaces, wanted);
  if (found != NULL)
    *position = (uint32_t)(found - interfaces->items);
  else
    status = mctx__interface_not_found(&call, interfaces, wanted, NULL);
  mctx__unpin(object);
  return status;
}

mctx_status mctx_interface_list_default(mctx_interface_list list, uint32_t family, uint32_t *position,
                                        mctx_error *error) {
  const mctx__call call = {__func__, list, error};
  mctx__object *object;
  if (position != NULL) *position = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (position == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "position");
  if (family != 4 && family != 6)
    return MCTX__FAIL(&call, MCTX_ERR_INVALID_ARGUMENT, .field = "family", .value = family,
                      .hint = "the family is 4 or 6, not the system's AF_INET or AF_INET6");
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_INTERFACE_LIST, &object);
  if (status != MCTX_OK) return status;
  const mctx__interfaces *interfaces = &((interface_list *)object)->interfaces;
  const mctx__interface *found =
      mctx__interface_by_index(interfaces, interfaces->default_index[family == 4 ? 0 : 1]);
  if (found != NULL)
    *position = (uint32_t)(found - interfaces->items);
  else
    status = MCTX__FAIL(&call, MCTX_ERR_NO_DEFAULT_INTERFACE, .field = "family", .value = family,
                        .hint = family == 4
                                    ? "name an interface, or add a route: `ip route add 224.0.0.0/4 dev eth0`"
                                    : "name an interface, or set one up that has IPv6 and multicast");
  mctx__unpin(object);
  return status;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "interface.h"
#include "pacer.h"

#define MAX_MARK INT64_C(0xffffffff)

/* ---- checks of the options alone ---- */

static bool in_range(int64_t value, int64_t low, int64_t high) {
  return value >= low && value <= high;
}

static mctx_status read_group(const mctx__call *call, const mctx_publication_options *options,
                              mctx__config *config) {
  mctx_status status = mctx__group_check(call, &options->group);
  if (status != MCTX_OK) return status;
  int32_t port = options->port == MCTX_AUTO ? options->group.port : options->port;
  if (port == 0)
    return MCTX__FAIL(call, MCTX_ERR_PORT_ZERO, .field = "port",
                      .message = options->port == MCTX_AUTO ? "no port is given" : NULL,
                      .hint = options->group.port == 0
                                  ? "name the port that the receivers listen on, 1 to 65535"
                                  : "leave the port out to use the group's own; in C, fill the options with "
                                    "mctx_publication_options_init() first");
  if (!in_range(port, 1, UINT16_MAX))
    return MCTX__FAIL(call, MCTX_ERR_PORT_RANGE, .field = "port", .value = (uint64_t)port, .limit = UINT16_MAX,
                      .hint = "ports go from 1 to 65535");
  if (options->group.port != 0 && options->group.port != port)
    return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "port", .value = (uint64_t)port,
                      .limit = options->group.port,
                      .hint = "the port and the group's own port differ: give one of them");
  config->destination = options->group;
  config->destination.port = (uint16_t)port;
  return MCTX_OK;
}

static mctx_status check_source(const mctx__call *call, const mctx_address *source, uint32_t family,
                                const char *field) {
  mctx_status status = mctx__sender_check(call, source, family, field);
  if (status != MCTX_OK || !mctx__is_unspecified(source)) return status;
  return MCTX__FAIL(
      call, MCTX_ERR_SOURCE_UNSPECIFIED, .field = field,
      .hint = "name one of this host's addresses, or leave the source out to let the system choose");
}

/* `bind` is source and source port in one; its unspecified address leaves the source open. */
static mctx_status read_bind(const mctx__call *call, const mctx_publication_options *options,
                             mctx__config *config) {
  if (options->source.family != 0 || options->source_port != MCTX_AUTO)
    return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "bind",
                      .hint = "`bind` is source and source port in one: set it, or `source` and `source_port`");
  mctx_status status = mctx__host_check(call, &options->bind, "bind");
  if (status != MCTX_OK) return status;
  if (options->bind.port != 0) config->source_port = options->bind.port;
  if (options->bind.family == config->destination.family && mctx__is_unspecified(&options->bind))
    return MCTX_OK;
  config->source = options->bind;
  config->source_field = "bind";
  return check_source(call, &options->bind, config->destination.family, "bind");
}

static mctx_status read_source(const mctx__call *call, const mctx_publication_options *options,
                               mctx__config *config) {
  int32_t port = options->source_port;
  config->source_port = MCTX_AUTO;
  config->source_field = "source";
  if (options->bind.family != 0) return read_bind(call, options, config);
  if (options->source.family != 0) {
    mctx_status status = mctx__host_check(call, &options->source, "source");
    if (status == MCTX_OK) status = check_source(call, &options->source, config->destination.family, "source");
    if (status != MCTX_OK) return status;
    config->source = options->source;
    if (port == MCTX_AUTO && options->source.port != 0) port = options->source.port;
  }
  if (port == MCTX_AUTO) return MCTX_OK;
  if (port == 0)
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_PORT_ZERO, .field = "source_port",
                      .hint =
                          "leave the source port out to let the system choose one; in C, fill the options with "
                          "mctx_publication_options_init() first");
  if (!in_range(port, 1, UINT16_MAX))
    return MCTX__FAIL(call, MCTX_ERR_PORT_RANGE, .field = "source_port", .value = (uint64_t)port,
                      .limit = UINT16_MAX, .hint = "ports go from 1 to 65535");
  if (options->source.port != 0 && options->source.port != port)
    return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "source_port", .value = (uint64_t)port,
                      .limit = options->source.port,
                      .hint = "`source_port` and the port of `source` differ: set one of them");
  config->source_port = port;
  return MCTX_OK;
}

/* 0, 1, or MCTX_AUTO where `otherwise` says what that means. */
static mctx_status read_switch(const mctx__call *call, const char *field, int32_t given, bool may_be_auto,
                               int32_t otherwise, int32_t *value) {
  if (given == MCTX_AUTO && may_be_auto) {
    *value = otherwise;
    return MCTX_OK;
  }
  if (!in_range(given, 0, 1))
    return mctx__invalid(call, field, given,
                         may_be_auto
                             ? "1 is on and 0 is off; leave it out to let the library or the system choose"
                             : "1 is on and 0 is off");
  *value = given;
  return MCTX_OK;
}

static mctx_status read_numbers(const mctx__call *call, const mctx_publication_options *options,
                                mctx__config *config) {
  if (!in_range(options->hop_limit, 0, UINT8_MAX))
    return MCTX__FAIL(
        call, MCTX_ERR_HOP_LIMIT_RANGE, .field = "hop_limit", .value = (uint64_t)options->hop_limit,
        .limit = UINT8_MAX,
        .hint = "1 stays on the local network, more crosses that many routers less one, at most 255");
  if (!in_range(options->dscp, 0, 63))
    return MCTX__FAIL(call, MCTX_ERR_DSCP_RANGE, .field = "dscp", .value = (uint64_t)options->dscp, .limit = 63,
                      .hint = "a DSCP has six bits: it is the TOS byte divided by four");
  if (options->priority != MCTX_AUTO && !in_range(options->priority, 0, 6))
    return mctx__invalid(call, "priority", options->priority, "priorities go from 0 to 6");
  if (options->mark != MCTX_AUTO && !in_range(options->mark, 0, MAX_MARK))
    return mctx__invalid(call, "mark", options->mark, "marks go from 0 to 4294967295");
  if (!in_range(options->send_buffer, 0, INT_MAX))
    return mctx__invalid(call, "send_buffer", options->send_buffer,
                         "a number of bytes, at most 2147483647; leave it out for the system's default");
  config->hop_limit = options->hop_limit;
  config->dscp = options->dscp;
  config->priority = options->priority;
  config->mark = options->mark;
  config->send_buffer = options->send_buffer;
  return MCTX_OK;
}

static mctx_status read_switches(const mctx__call *call, const mctx_publication_options *options,
                                 mctx__config *config) {
  mctx_status status = read_switch(call, "loopback", options->loopback, false, 0, &config->loopback);
  if (status == MCTX_OK)
    status = read_switch(call, "connected", options->connected, false, 0, &config->connected);
  if (status == MCTX_OK)
    status = read_switch(call, "reuse_port", options->reuse_port, true, config->source_port != MCTX_AUTO,
                         &config->reuse_port);
  config->error_queue_chosen = options->error_queue == MCTX_AUTO;
  if (status == MCTX_OK)
    status =
        read_switch(call, "error_queue", options->error_queue, true, !config->loopback, &config->error_queue);
  if (status == MCTX_OK)
    status =
        read_switch(call, "dont_fragment", options->dont_fragment, true, MCTX_AUTO, &config->dont_fragment);
  if (status == MCTX_OK)
    status = read_switch(call, "offload", options->offload, true, options->error_queue != 1, &config->offload);
  return status;
}

/* What the numbers of the pacing options mean together. */
static mctx_status check_pacing(const mctx__call *call, const mctx_publication_options *options) {
  const char *hint = NULL;
  const char *field = "pacing_by";
  if (options->pacing_rate == 0 && options->pacing_burst != 0) {
    field = "pacing_burst";
    hint = "a burst bounds a rate: set `pacing_rate` too";
  } else if (options->pacing_rate == 0 && options->pacing_by != MCTX_AUTO) {
    hint = "there is nothing to pace: set `pacing_rate` too";
  } else if (options->pacing_by == MCTX_PACING_KERNEL && options->pacing_unit != MCTX_PACING_BITS) {
    hint = "the kernel counts bits, not datagrams: let the library pace, or give a rate in bits";
  } else if (options->pacing_by == MCTX_PACING_KERNEL && options->pacing_burst != 0) {
    field = "pacing_burst";
    hint = "the kernel takes no bound for bursts: let the library pace, or leave the bound out";
  }
  return hint == NULL ? MCTX_OK : MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = field, .hint = hint);
}

static mctx_status read_pacing(const mctx__call *call, const mctx_publication_options *options,
                               mctx__config *config) {
  if (!in_range(options->pacing_unit, MCTX_PACING_BITS, MCTX_PACING_DATAGRAMS))
    return mctx__invalid(call, "pacing_unit", options->pacing_unit,
                         "use MCTX_PACING_BITS or MCTX_PACING_DATAGRAMS");
  if (!in_range(options->pacing_rate, 0, MCTX__RATE_MAX))
    return mctx__invalid(call, "pacing_rate", options->pacing_rate,
                         "bits or datagrams a second, at most 1000000000000; 0 does not pace");
  if (!in_range(options->pacing_burst, 0, MCTX__BURST_MAX))
    return mctx__invalid(call, "pacing_burst", options->pacing_burst,
                         "bits or datagrams, at most 8589934592; 0 is what the rate yields in 10 milliseconds");
  if (options->pacing_by != MCTX_AUTO && !in_range(options->pacing_by, MCTX_PACING_LIBRARY, MCTX_PACING_KERNEL))
    return mctx__invalid(
        call, "pacing_by", options->pacing_by,
        "use MCTX_PACING_LIBRARY or MCTX_PACING_KERNEL, or MCTX_AUTO to let the library choose");
  if (options->reserved != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "reserved", .value = options->reserved);
  config->pacing_unit = options->pacing_unit;
  config->pacing_rate = options->pacing_rate;
  config->pacing_by = options->pacing_by;
  config->pacing_burst_chosen = options->pacing_burst == 0;
  config->pacing_burst = options->pacing_burst;
  if (config->pacing_burst_chosen && config->pacing_rate != 0)
    config->pacing_burst = mctx__pacer_usual_burst(config->pacing_rate);
  return check_pacing(call, options);
}

static mctx_status read_names(const mctx__call *call, const mctx_publication_options *options,
                              mctx__config *config) {
  mctx_status status = mctx__interface_check(call, &options->outgoing_interface, config->destination.family);
  if (status != MCTX_OK) return status;
  config->interface.by = options->outgoing_interface.by;
  if (config->interface.by == MCTX_INTERFACE_BY_INDEX)
    config->interface.index = options->outgoing_interface.index;
  if (config->interface.by == MCTX_INTERFACE_BY_ADDRESS) {
    config->interface.address = options->outgoing_interface.address;
    config->interface.address.port = 0;
    config->interface.address.prefix = 0;
  }
  if (config->interface.by == MCTX_INTERFACE_BY_NAME) {
    const char *name = options->outgoing_interface.name;
    if (mctx__copy_text(config->interface_name, sizeof config->interface_name, name) >=
        sizeof config->interface_name)
      return mctx__invalid(call, "interface.name", 0, "names have at most 1023 bytes");
  }
  if (options->bind_device != NULL &&
      (options->bind_device[0] == '\0' || mctx__copy_text(config->bind_device, sizeof config->bind_device,
                                                          options->bind_device) >= sizeof config->bind_device))
    return mctx__invalid(call, "bind_device", 0, "name an interface, or leave it out");
  return MCTX_OK;
}

static mctx_status read_socket(const mctx__call *call, const mctx_publication_options *options,
                               mctx__config *config) {
  if (options->socket.reserved != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "socket.reserved", .value = options->socket.reserved);
  if (options->socket.type != MCTX_OS_NONE && options->socket.type != MCTX_OS_DESCRIPTOR &&
      options->socket.type != MCTX_OS_SOCKET)
    return mctx__invalid(call, "socket.type", options->socket.type, "use MCTX_OS_DESCRIPTOR or MCTX_OS_SOCKET");
  if (options->socket.type == MCTX_OS_NONE && options->socket.value > 0)
    return MCTX__FAIL(call, MCTX_ERR_OPTION_CONFLICT, .field = "socket.type",
                      .value = (uint64_t)options->socket.value,
                      .hint = "a socket is given without its type: set MCTX_OS_DESCRIPTOR or MCTX_OS_SOCKET");
  config->socket = options->socket;
  return MCTX_OK;
}

mctx_status mctx__config_read(const mctx__call *call, const mctx_publication_options *options,
                              mctx__config *config) {
  if ((options->flags & ~(uint32_t)MCTX_PUBLICATION_DUPLICATE) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = options->flags);
  config->flags = options->flags;
  mctx_status status = read_group(call, options, config);
  if (status == MCTX_OK) status = read_source(call, options, config);
  if (status == MCTX_OK) status = read_names(call, options, config);
  if (status == MCTX_OK) status = read_numbers(call, options, config);
  if (status == MCTX_OK) status = read_switches(call, options, config);
  if (status == MCTX_OK) status = read_pacing(call, options, config);
  if (status == MCTX_OK) status = read_socket(call, options, config);
  return status;
}

/* ---- what the options mean on this host ---- */

static mctx_status resolve_interface(const mctx__call *call, const mctx__interfaces *interfaces,
                                     mctx__config *config) {
  uint32_t scope = config->destination.scope_id;
  if (config->interface.by != MCTX_INTERFACE_ANY) {
    mctx_interface_ref wanted = config->interface;
    if (wanted.by == MCTX_INTERFACE_BY_NAME) wanted.name = config->interface_name;
    const mctx__interface *found = mctx__interface_find(interfaces, &wanted);
    if (found == NULL) return mctx__interface_not_found(call, interfaces, &wanted, NULL);
    config->interface_index = found->info.index;
  }
  if (scope == 0) return MCTX_OK;
  if (config->interface_index != 0 && config->interface_index != scope)
    return MCTX__FAIL(
        call, MCTX_ERR_OPTION_CONFLICT, .field = "group.scope_id", .value = scope,
        .limit = config->interface_index,
        .hint = "the group's scope names another interface than the one asked for: give one of them");
  const mctx_interface_ref scoped = {.by = MCTX_INTERFACE_BY_INDEX, .index = scope};
  if (mctx__interface_find(interfaces, &scoped) == NULL)
    return mctx__interface_not_found(call, interfaces, &scoped, "group.scope_id");
  config->interface_index = scope;
  return MCTX_OK;
}

static mctx_status source_not_local(const mctx__call *call, const mctx__config *config) {
  char text[MCTX__ADDRESS_TEXT];
  char message[128];
  snprintf(message, sizeof message, "%s is not an address of this host",
           mctx__host_text(&config->source, text));
  return MCTX__FAIL(call, MCTX_ERR_SOURCE_NOT_LOCAL, .field = config->source_field, .message = message,
                    .hint =
                        "use an address that `ip address` shows, or leave the source out to let the system "
                        "choose");
}

/* RFC 4007: the same link-local address may stand on several interfaces. */
static mctx_status resolve_link_local_source(const mctx__call *call, const mctx__interfaces *interfaces,
                                             mctx__config *config) {
  const mctx__interface *found = NULL;
  for (uint32_t i = 0; i < interfaces->count; i++) {
    if (!mctx__interface_has_address(interfaces, &interfaces->items[i], &config->source)) continue;
    if (found != NULL)
      return MCTX__FAIL(call, MCTX_ERR_INTERFACE_REQUIRED, .field = "interface",
                        .message = "several interfaces have this link-local source",
                        .hint = "name the interface, or write the source with its scope: fe80::1%eth0");
    found = &interfaces->items[i];
  }
  if (found != NULL) config->interface_index = found->info.index;
  return MCTX_OK;
}

static mctx_status resolve_source(const mctx__call *call, const mctx__interfaces *interfaces,
                                  mctx__config *config) {
  const mctx_address *source = &config->source;
  char text[MCTX__ADDRESS_TEXT];
  char hint[256];
  if (source->family == 0) return MCTX_OK;
  const mctx__interface *owner = mctx__interface_by_address(interfaces, source);
  if (owner == NULL) return source_not_local(call, config);
  if (source->family == 4) return MCTX_OK;
  if (config->interface_index == 0)
    return mctx__is_link_local(source) ? resolve_link_local_source(call, interfaces, config) : MCTX_OK;

  const mctx__interface *asked = mctx__interface_by_index(interfaces, config->interface_index);
  if (asked != NULL && !mctx__interface_has_address(interfaces, asked, source)) {
    snprintf(hint, sizeof hint,
             "%s is an address of %s, the interface asked for is %s: use an address of that, or "
             "leave one of the two out",
             mctx__host_text(source, text), owner->info.name, asked->info.name);
    return MCTX__FAIL(call, MCTX_ERR_SOURCE_ON_OTHER_INTERFACE, .field = config->source_field, .hint = hint);
  }
  return MCTX_OK;
}

/* Without another choice multicast is to leave through the device by its index too, so that nothing leaves
 * elsewhere should the device go. */
static mctx_status resolve_device(const mctx__call *call, const mctx__interfaces *interfaces,
                                  mctx__config *config) {
  if (config->bind_device[0] == '\0') return MCTX_OK;
  for (uint32_t i = 0; i < interfaces->count; i++) {
    const mctx_interface_info *info = &interfaces->items[i].info;
    if (strcmp(info->name, config->bind_device) != 0) continue;
    if (config->interface_index == 0) config->interface_index = info->index;
    return MCTX_OK;
  }
  const mctx_interface_ref device = {.by = MCTX_INTERFACE_BY_NAME, .name = config->bind_device};
  return mctx__interface_not_found(call, interfaces, &device, "bind_device");
}

/* What to bind: the source, or the address that names the interface, or the port alone. */
static void choose_local(mctx__config *config) {
  if (config->source.family != 0)
    config->local = config->source;
  else if (config->interface.by == MCTX_INTERFACE_BY_ADDRESS)
    config->local = config->interface.address;
  else if (config->source_port != MCTX_AUTO)
    config->local.family = config->destination.family;
  if (config->local.family == 0) return;
  config->local.port = config->source_port != MCTX_AUTO ? (uint16_t)config->source_port : 0;
  config->local.scope_id = mctx__is_link_local(&config->local) ? config->interface_index : 0;
  if (config->source.family != 0) {
    config->source.port = config->local.port;
    config->source.scope_id = config->local.scope_id;
  }
}

static uint64_t mix(uint64_t key, const void *bytes, size_t length) {
  const unsigned char *at = bytes;
  for (size_t i = 0; i < length; i++)
    key = (key ^ at[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
  return key;
}

static void make_key(mctx__config *config) {
  uint64_t key = UINT64_C(0xcbf29ce484222325);
  key = mix(key, &config->destination, sizeof config->destination);
  key = mix(key, &config->local, sizeof config->local);
  config->key = mix(key, &config->interface_index, sizeof config->interface_index);
}

static bool needs_interfaces(const mctx__config *config) {
  return config->interface.by != MCTX_INTERFACE_ANY || config->source.family != 0 ||
         config->destination.scope_id != 0 || config->bind_device[0] != '\0';
}

static mctx_status look_up(const mctx__call *call, mctx__config *config) {
  mctx__interfaces interfaces;
  mctx_status status = mctx__interfaces_list(call, &interfaces, "interface");
  if (status != MCTX_OK) return status;
  status = resolve_interface(call, &interfaces, config);
  if (status == MCTX_OK) status = resolve_device(call, &interfaces, config);
  if (status == MCTX_OK) status = resolve_source(call, &interfaces, config);
  mctx__interfaces_free(&interfaces);
  return status;
}

mctx_status mctx__config_resolve(const mctx__call *call, mctx__config *config) {
  if (needs_interfaces(config)) {
    mctx_status status = look_up(call, config);
    if (status != MCTX_OK) return status;
  }
  bool scoped = mctx__is_scoped_group(&config->destination);
  if (scoped && config->interface_index == 0)
    return MCTX__FAIL(call, MCTX_ERR_INTERFACE_REQUIRED, .field = "interface",
                      .hint =
                          "interface-local and link-local groups (ff01::, ff02::, ff11::, ff12::, ff31::, "
                          "ff32::) mean something on one interface alone: name it, or use a link-local source");
  config->destination.scope_id = scoped ? config->interface_index : 0;
  choose_local(config);
  make_key(config);
  return MCTX_OK;
}

bool mctx__config_same(const mctx__config *a, const mctx__config *b) {
  return mctx__same_address(&a->destination, &b->destination) && mctx__same_address(&a->local, &b->local) &&
         a->interface_index == b->interface_index && a->hop_limit == b->hop_limit &&
         a->loopback == b->loopback && a->dscp == b->dscp && a->connected == b->connected &&
         a->reuse_port == b->reuse_port && a->error_queue == b->error_queue &&
         a->dont_fragment == b->dont_fragment && a->priority == b->priority && a->mark == b->mark &&
         a->send_buffer == b->send_buffer && a->offload == b->offload && a->pacing_rate == b->pacing_rate &&
         a->pacing_unit == b->pacing_unit && a->pacing_burst == b->pacing_burst &&
         a->pacing_by == b->pacing_by && strcmp(a->bind_device, b->bind_device) == 0;
}

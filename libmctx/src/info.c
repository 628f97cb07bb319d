/* SPDX-License-Identifier: MIT */
/* What a publication is: as configured, and as the system has it. */
#include <string.h>

#include "address.h"
#include "interface.h"
#include "options.h"
#include "publication.h"

static mctx__publication *as_publication(mctx__object *object) {
  return (mctx__publication *)object;
}

/* The parts of the configuration that healing may change. */
static mctx_address destination_of(mctx__publication *publication, uint32_t *interface_index) {
  mctx__mutex_lock(&publication->mutex);
  mctx_address destination = publication->destination;
  *interface_index = publication->interface_index;
  mctx__mutex_unlock(&publication->mutex);
  return destination;
}

/* The address that receivers see, and the interface in effect: the socket's own where it is fixed, else what
 * the routing table would choose now. */
static void find_sender(mctx__publication *publication, const mctx_address *local, mctx_address *sender,
                        uint32_t *interface_index) {
  mctx_address source = {0};
  mctx_address chosen;
  uint32_t index;
  mctx_address destination = destination_of(publication, interface_index);
  bool fixed = local->family != 0 && !mctx__is_unspecified(local) && !mctx__is_multicast(local);
  *sender = (mctx_address){0};
  if (fixed) source = *local;
  if (mctx__route_lookup(&destination, *interface_index, &source, &chosen, &index).status == MCTX_OK) {
    *sender = fixed ? *local : chosen;
    *interface_index = index;
  } else if (fixed) {
    *sender = *local;
  }
  if (sender->family != 0) sender->port = local->port;
}

static void fill_configured(const mctx__publication *publication, mctx_publication_info *info) {
  const mctx__config *config = &publication->config;
  info->flags = config->flags;
  if (config->socket.type != MCTX_OS_NONE) info->flags |= MCTX_PUBLICATION_ADOPTED;
  info->context = publication->context->object.handle;
  info->source = config->source;
  info->outgoing_interface = config->interface;
  info->hop_limit = config->hop_limit;
  info->loopback = config->loopback;
  info->dscp = config->dscp;
  info->reuse_port = config->reuse_port;
  info->error_queue = config->error_queue;
  info->dont_fragment = config->dont_fragment;
  info->priority = config->priority;
  info->source_port = config->source_port;
  info->mark = config->mark;
  info->send_buffer_asked = (uint64_t)config->send_buffer;
  info->max_datagram = mctx__max_datagram(config->destination.family);
  info->offload = config->offload;
  info->pacing_rate = config->pacing_rate;
  info->pacing_burst = config->pacing_burst;
  info->pacing_unit = config->pacing_unit;
  info->pacing_by = config->pacing_rate != 0 ? config->pacing_by : MCTX_PACING_LIBRARY;
}

static void fill_offload(mctx__publication *publication, mctx_publication_info *info) {
  mctx__mutex_lock(&publication->mutex);
  const mctx__limits limits = mctx__offload_limits(&publication->offload);
  info->segment_count_limit = limits.size > 0 ? limits.count : 1;
  info->segment_size_limit = limits.size;
  info->offload_status = atomic_load(&publication->offload.refusal);
  info->offload_os_code = publication->offload.os_code;
  mctx__mutex_unlock(&publication->mutex);
}

/* What the system has; a user may have changed it through the native handle. */
static mctx__result fill_effective(mctx__publication *publication, mctx_publication_info *info) {
  static const struct {
    mctx__option option;
    size_t offset;
  } effective[] = {
      {MCTX__HOP_LIMIT, offsetof(mctx_publication_info, hop_limit)},
      {MCTX__LOOPBACK, offsetof(mctx_publication_info, loopback)},
      {MCTX__DSCP, offsetof(mctx_publication_info, dscp)},
      {MCTX__REUSE_PORT, offsetof(mctx_publication_info, reuse_port)},
      {MCTX__ERROR_QUEUE, offsetof(mctx_publication_info, error_queue)},
  };
  mctx__socket socket = mctx__publication_socket(publication);
  uint32_t family = publication->config.destination.family;
  int64_t value;
  mctx__result result = mctx__socket_local(socket, &info->local);
  if (result.status != MCTX_OK) return result;
  for (size_t i = 0; i < sizeof effective / sizeof effective[0]; i++) {
    if (mctx__socket_get(socket, family, effective[i].option, &value).status != MCTX_OK) continue;
    int32_t narrow = (int32_t)value;
    memcpy((unsigned char *)info + effective[i].offset, &narrow, sizeof narrow);
  }
  if (mctx__socket_get(socket, family, MCTX__SEND_BUFFER, &value).status == MCTX_OK)
    info->send_buffer = (uint64_t)value;
  info->socket = mctx__socket_native(socket);
  return MCTX__DONE;
}

mctx_status mctx_publication_get_info(mctx_publication publication, mctx_publication_info *info,
                                      mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__object *object;
  mctx_publication_info own = {0};
  mctx__struct_clear(info);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__struct_check(&call, info, "info");
  if (status != MCTX_OK) return status;
  status = mctx__enter(&call, MCTX_HANDLE_PUBLICATION, &object);
  if (status != MCTX_OK) return status;

  fill_offload(as_publication(object), &own);
  fill_configured(as_publication(object), &own);
  mctx__result result = fill_effective(as_publication(object), &own);
  if (result.status != MCTX_OK) {
    status = MCTX__FAIL(&call, result.status, .os_code = result.os_code);
    goto leave;
  }
  own.group = destination_of(as_publication(object), &own.interface_index);
  find_sender(as_publication(object), &own.local, &own.sender, &own.interface_index);
  mctx__mutex_lock(&as_publication(object)->mutex);
  own.connected = as_publication(object)->is_connected;
  mctx__mutex_unlock(&as_publication(object)->mutex);
  mctx__struct_write(info, &own, sizeof own);
leave:
  mctx__unpin(object);
  return status;
}

/* The name of the interface in effect, or "". */
static mctx__result effective_name(mctx__publication *publication, char name[64]) {
  mctx_address local;
  mctx_address sender;
  uint32_t index;
  mctx__interfaces interfaces;
  name[0] = '\0';
  mctx__result result = mctx__socket_local(mctx__publication_socket(publication), &local);
  if (result.status != MCTX_OK) return result;
  find_sender(publication, &local, &sender, &index);
  if (index == 0) return MCTX__DONE;
  result = mctx__interfaces_load(&interfaces);
  if (result.status != MCTX_OK) return result;
  const mctx__interface *found = mctx__interface_by_index(&interfaces, index);
  if (found != NULL) mctx__copy_text(name, 64, found->info.name);
  mctx__interfaces_free(&interfaces);
  return MCTX__DONE;
}

mctx_status mctx_publication_interface_name(mctx_publication publication, char *text, size_t capacity,
                                            size_t *length, mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__object *object;
  char name[64];
  mctx__text_clear(text, capacity, length);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__text_check(&call, text, capacity, length);
  if (status != MCTX_OK) return status;
  status = mctx__enter(&call, MCTX_HANDLE_PUBLICATION, &object);
  if (status != MCTX_OK) return status;

  const mctx__config *config = &as_publication(object)->config;
  if (config->interface.by == MCTX_INTERFACE_BY_NAME) {
    *length = mctx__copy_text(text, capacity, config->interface_name);
  } else {
    mctx__result result = effective_name(as_publication(object), name);
    if (result.status == MCTX_OK)
      *length = mctx__copy_text(text, capacity, name);
    else
      status = MCTX__FAIL(&call, result.status, .os_code = result.os_code);
  }
  mctx__unpin(object);
  return status;
}

mctx_status mctx_publication_announce(mctx_publication publication, mctx_address *source, mctx_address *group,
                                      mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__object *object;
  mctx_address local;
  mctx_address sender;
  uint32_t index;
  if (source != NULL) *source = (mctx_address){0};
  if (group != NULL) *group = (mctx_address){0};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (source == NULL || group == NULL)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = source == NULL ? "source" : "group");
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_PUBLICATION, &object);
  if (status != MCTX_OK) return status;

  mctx__result result = mctx__socket_local(mctx__publication_socket(as_publication(object)), &local);
  if (result.status == MCTX_OK) {
    find_sender(as_publication(object), &local, &sender, &index);
    if (sender.family == 0) result.status = MCTX_ERR_NO_ROUTE;
  }
  if (result.status == MCTX_OK) {
    *source = sender;
    *group = destination_of(as_publication(object), &index);
  } else {
    status =
        MCTX__FAIL(&call, result.status, .os_code = result.os_code,
                   .hint =
                       "nothing tells which source address would be used: name a source or an interface, or "
                       "wait for a route");
  }
  mctx__unpin(object);
  return status;
}

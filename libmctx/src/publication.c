/* SPDX-License-Identifier: MIT */
#include "publication.h"

#include <stdio.h>
#include <string.h>

#include "address.h"
#include "options.h"

/* ---- the socket's settings ---- */

typedef struct setting {
  mctx__option option;
  int64_t value;
  const char *field;
} setting;

enum { MAX_SETTINGS = 12 };

/* The settings that a configuration needs, in the order in which they are made: the DSCP before the priority,
 * because some systems derive one from the other. */
static uint32_t list_settings(const mctx__config *config, setting settings[MAX_SETTINGS]) {
  uint32_t count = 0;
  if (config->socket.type != MCTX_OS_NONE) { /* as its owner had it, a send need not be a datagram */
    settings[count++] = (setting){MCTX__SEGMENT_SIZE, 0, "socket"};
    settings[count++] = (setting){MCTX__CORKED, 0, "socket"};
  }
  if (config->reuse_port != 0) settings[count++] = (setting){MCTX__REUSE_PORT, 1, "reuse_port"};
  settings[count++] = (setting){MCTX__ISOLATED, 1, ""};
  settings[count++] = (setting){MCTX__HOP_LIMIT, config->hop_limit, "hop_limit"};
  settings[count++] = (setting){MCTX__LOOPBACK, config->loopback, "loopback"};
  settings[count++] = (setting){MCTX__DSCP, config->dscp, "dscp"};
  settings[count++] = (setting){MCTX__ERROR_QUEUE, config->error_queue, "error_queue"};
  if (config->dont_fragment != MCTX_AUTO)
    settings[count++] = (setting){MCTX__DONT_FRAGMENT, config->dont_fragment, "dont_fragment"};
  if (config->priority != MCTX_AUTO)
    settings[count++] = (setting){MCTX__PRIORITY, config->priority, "priority"};
  if (config->mark != MCTX_AUTO) settings[count++] = (setting){MCTX__MARK, config->mark, "mark"};
  settings[count++] = (setting){MCTX__NONBLOCKING, 1, "socket"};
  return count;
}

/* What nobody asked for, and a system may be without. */
static bool is_optional(const mctx__config *config, mctx__option option) {
  return option == MCTX__ISOLATED || option == MCTX__SEGMENT_SIZE || option == MCTX__CORKED ||
         (option == MCTX__ERROR_QUEUE && config->error_queue_chosen);
}

/* What an adopted socket was set to, to put it back if opening fails. */
typedef struct undo {
  setting settings[MAX_SETTINGS + 1];
  uint32_t count;
  mctx_address peer; /* family 0: it was not connected */
  bool is_connected; /* to the group now */
  bool has_device;
  bool has_interface;
  uint32_t interface_index;
} undo;

static void put_back(mctx__socket socket, uint32_t family, const undo *before) {
  if (before->is_connected)
    mctx__socket_connect(socket, family, before->peer.family != 0 ? &before->peer : NULL);
  if (before->has_interface) mctx__socket_set_interface(socket, family, before->interface_index);
  if (before->has_device) mctx__socket_bind_device(socket, NULL);
  for (uint32_t i = before->count; i > 0; i--)
    mctx__socket_set(socket, family, before->settings[i - 1].option, before->settings[i - 1].value);
}

static mctx_status setting_failed(const mctx__call *call, mctx__result result, const char *field) {
  const char *hint = "";
  if (result.status == MCTX_ERR_PERMISSION)
    hint = "the system wants more rights for this option (on Linux CAP_NET_ADMIN): leave it out, or grant them";
  else if (result.status == MCTX_ERR_UNSUPPORTED)
    hint = "this system does not have the option: leave it out";
  return MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = field, .hint = hint);
}

/* Notes what the socket was set to, then sets it. What cannot be read cannot be put back. */
static mctx__result change(mctx__socket socket, uint32_t family, const setting *wanted, undo *before) {
  int64_t old = 0;
  mctx__result result = mctx__socket_get(socket, family, wanted->option, &old);
  if (result.status == MCTX_OK && old == wanted->value) return result;
  bool readable = result.status == MCTX_OK;
  result = mctx__socket_set(socket, family, wanted->option, wanted->value);
  if (result.status == MCTX_OK && readable)
    before->settings[before->count++] = (setting){wanted->option, old, wanted->field};
  return result;
}

/* Some systems derive the priority from the DSCP when that is set: put back after it. */
static void note_priority(mctx__socket socket, uint32_t family, undo *before) {
  int64_t old = 0;
  if (mctx__socket_get(socket, family, MCTX__PRIORITY, &old).status == MCTX_OK)
    before->settings[before->count++] = (setting){MCTX__PRIORITY, old, "priority"};
}

static mctx_status apply_settings(const mctx__call *call, mctx__socket socket, const mctx__config *config,
                                  undo *before) {
  setting settings[MAX_SETTINGS];
  uint32_t family = config->destination.family;
  uint32_t count = list_settings(config, settings);
  for (uint32_t i = 0; i < count; i++) {
    if (settings[i].option == MCTX__DSCP) note_priority(socket, family, before);
    mctx__result result = change(socket, family, &settings[i], before);
    if (result.status == MCTX_ERR_UNSUPPORTED && is_optional(config, settings[i].option)) continue;
    if (result.status != MCTX_OK) return setting_failed(call, result, settings[i].field);
  }
  return MCTX_OK;
}

/* ---- opening ---- */

static mctx_status bind_failed(const mctx__call *call, const mctx__config *config, mctx__result result) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[256] = "";
  const char *field = "source";
  mctx__address_text(&config->local, text);
  if (result.status == MCTX_ERR_ADDRESS_IN_USE) {
    field = "source_port";
    snprintf(hint, sizeof hint,
             "another program holds %s without sharing it: choose another source port, or let "
             "both share it (`reuse_port`)",
             text);
  } else if (result.status == MCTX_ERR_SOURCE_NOT_LOCAL) {
    snprintf(hint, sizeof hint,
             "%s is not, or not yet, an address of this host; a new IPv6 address is tentative "
             "for a second or two",
             text);
  } else if (result.status == MCTX_ERR_PERMISSION) {
    field = "source_port";
    snprintf(hint, sizeof hint, "the system wants more rights for %s: ports below 1024 are often reserved",
             text);
  }
  return MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = field, .hint = hint);
}

static mctx_status bind_socket(const mctx__call *call, mctx__socket socket, const mctx__config *config,
                               bool must_bind, undo *before) {
  if (config->bind_device[0] != '\0') {
    mctx__result result = mctx__socket_bind_device(socket, config->bind_device);
    if (result.status != MCTX_OK) return setting_failed(call, result, "bind_device");
    before->has_device = true;
  }
  if (!must_bind) return MCTX_OK;
  mctx__result result = mctx__socket_bind(socket, &config->local);
  return result.status == MCTX_OK ? MCTX_OK : bind_failed(call, config, result);
}

/* After whatever may well fail: not every system tells which interface it was before. */
static mctx_status choose_interface(const mctx__call *call, mctx__socket socket, const mctx__config *config,
                                    undo *before) {
  uint32_t family = config->destination.family;
  if (config->interface_index == 0) return MCTX_OK;
  before->has_interface =
      mctx__socket_get_interface(socket, family, &before->interface_index).status == MCTX_OK;
  mctx__result result = mctx__socket_set_interface(socket, family, config->interface_index);
  return result.status == MCTX_OK ? MCTX_OK : setting_failed(call, result, "interface");
}

void mctx__publication_readdress(mctx__publication *publication) {
  publication->address_used = (publication->address_used + 1) % MCTX__ENDPOINTS;
  mctx__endpoint *endpoint = &publication->by_address[publication->address_used];
  mctx__endpoint_set(endpoint, &publication->destination);
  if (mctx__config_names_source(&publication->config)) mctx__endpoint_guard(endpoint, &publication->local);
}

/* One for all that are connected and need say no more: it stays in the caches. */
static const mctx__endpoint plain_connection;

void mctx__publication_aim(mctx__publication *publication, bool connected) {
  const mctx__endpoint *endpoint = &publication->by_address[publication->address_used];
  if (connected) endpoint = &publication->by_connection;
  if (connected && endpoint->length == 0) endpoint = &plain_connection;
  publication->is_connected = connected;
  atomic_store_explicit(&publication->endpoint, endpoint, memory_order_release);
}

/* A missing route is no failure: the interface may not be up yet. Datagrams then go by address, and the first
 * one that fails tries to connect again. */
static mctx_status connect_socket(const mctx__call *call, mctx__publication *publication, mctx__socket socket,
                                  undo *before) {
  const mctx__config *config = &publication->config;
  bool connected = false;
  if (config->connected != 0) {
    mctx__result result = mctx__socket_connect(socket, config->destination.family, &config->destination);
    connected = result.status == MCTX_OK;
    if (!connected && mctx_status_kind(result.status) != MCTX_KIND_NETWORK)
      return MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = "group");
  }
  before->is_connected = connected;
  mctx__socket_local(socket, &publication->local);
  if (mctx__config_names_source(config)) mctx__endpoint_guard(&publication->by_connection, &publication->local);
  mctx__publication_readdress(publication);
  mctx__publication_aim(publication, connected);
  return MCTX_OK;
}

static mctx_status check_adopted(const mctx__call *call, const mctx__config *config,
                                 const mctx__socket_facts *facts) {
  char text[MCTX__ADDRESS_TEXT];
  char hint[256];
  if (!facts->is_udp)
    return MCTX__FAIL(call, MCTX_ERR_SOCKET_TYPE, .field = "socket",
                      .hint = "adopt a datagram socket: socket(AF_INET or AF_INET6, SOCK_DGRAM, 0)");
  if (facts->family != config->destination.family) {
    snprintf(hint, sizeof hint, "the group is IPv%u: adopt an IPv%u socket",
             (unsigned)config->destination.family, (unsigned)config->destination.family);
    return MCTX__FAIL(call, MCTX_ERR_SOCKET_FAMILY, .field = "socket", .value = facts->family, .hint = hint);
  }
  if (facts->local.port == 0) return MCTX_OK;
  snprintf(hint, sizeof hint,
           "it is bound to %s: leave source and source port out, or adopt one that is not bound",
           mctx__address_text(&facts->local, text));
  if (config->source_port != MCTX_AUTO && config->source_port != facts->local.port)
    return MCTX__FAIL(call, MCTX_ERR_SOCKET_PORT, .field = "socket", .value = facts->local.port,
                      .limit = (uint64_t)config->source_port, .hint = hint);
  if (config->source.family != 0 && !mctx__same_host(&config->source, &facts->local))
    return MCTX__FAIL(call, MCTX_ERR_SOCKET_ADDRESS, .field = "socket", .hint = hint);
  return MCTX_OK;
}

static mctx_status opening_failed(const mctx__call *call, const mctx__config *config, mctx__result result) {
  char hint[128] = "";
  if (result.status == MCTX_ERR_TOO_MANY_DESCRIPTORS)
    snprintf(hint, sizeof hint,
             "each publication is a descriptor: raise the limit (`ulimit -n`), or close some");
  else if (result.status == MCTX_ERR_FAMILY_UNSUPPORTED)
    snprintf(hint, sizeof hint, "this host has no IPv%u: switch it on, or use a group of the other family",
             (unsigned)config->destination.family);
  return MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = "group", .hint = hint);
}

/* The socket, ours or the caller's, and whether it must still be bound. */
static mctx_status obtain_socket(const mctx__call *call, const mctx__config *config, mctx__socket *socket,
                                 bool *must_bind, undo *before) {
  *must_bind = config->local.family != 0;
  if (config->socket.type == MCTX_OS_NONE) {
    mctx__result result = mctx__socket_open(config->destination.family, socket);
    return result.status == MCTX_OK ? MCTX_OK : opening_failed(call, config, result);
  }
  mctx__socket_facts facts;
  mctx__result result = mctx__socket_adopt(&config->socket, socket, &facts);
  if (result.status != MCTX_OK)
    return MCTX__FAIL(call, result.status, .os_code = result.os_code, .field = "socket",
                      .hint = "pass the descriptor of an open UDP socket");
  if (facts.local.port != 0) *must_bind = false;
  before->peer = facts.peer;
  return check_adopted(call, config, &facts);
}

/* Last, because what a system reports of its buffer is not what it must be set to again. */
static mctx_status size_buffer(const mctx__call *call, mctx__socket socket, const mctx__config *config) {
  if (config->send_buffer == 0) return MCTX_OK;
  uint32_t family = config->destination.family;
  mctx__result result = mctx__socket_set(socket, family, MCTX__SEND_BUFFER, config->send_buffer);
  return result.status == MCTX_OK ? MCTX_OK : setting_failed(call, result, "send_buffer");
}

/* The very last: some systems let queues go on keeping to a rate that is taken back. */
static mctx_status set_rate(const mctx__call *call, mctx__socket socket, const mctx__config *config) {
  if (config->pacing_rate == 0 || config->pacing_by != MCTX_PACING_KERNEL) return MCTX_OK;
  const int64_t bytes = (config->pacing_rate + 7) / 8;
  mctx__result result = mctx__socket_set(socket, config->destination.family, MCTX__PACING_RATE, bytes);
  return result.status == MCTX_OK ? MCTX_OK : setting_failed(call, result, "pacing_by");
}

/* Makes the socket what the configuration says. On failure an adopted one is as it was. */
static mctx_status open_socket(const mctx__call *call, mctx__publication *publication) {
  const mctx__config *config = &publication->config;
  mctx__socket socket = MCTX__NO_SOCKET;
  bool must_bind;
  undo before = {0};
  mctx_status status = obtain_socket(call, config, &socket, &must_bind, &before);
  if (status != MCTX_OK) return status;
  status = apply_settings(call, socket, config, &before);
  if (status == MCTX_OK) status = bind_socket(call, socket, config, must_bind, &before);
  if (status == MCTX_OK) status = choose_interface(call, socket, config, &before);
  if (status == MCTX_OK) status = connect_socket(call, publication, socket, &before);
  if (status == MCTX_OK) status = size_buffer(call, socket, config);
  if (status == MCTX_OK) status = set_rate(call, socket, config);
  if (status == MCTX_OK)
    atomic_store(&publication->socket, socket.value);
  else if (config->socket.type == MCTX_OS_NONE)
    mctx__socket_close(socket);
  else
    put_back(socket, config->destination.family, &before);
  return status;
}

/* Takes a claimed publication out of its context, where mctx_send_all() finds it, and only then its socket. */
static mctx__socket part(mctx__publication *publication) {
  mctx__context_detach(publication->context, publication);
  return (mctx__socket){atomic_exchange(&publication->socket, MCTX__NO_SOCKET.value)};
}

static void release(mctx__publication *publication) {
  if (publication->paced) mctx__pacer_destroy(&publication->pacer);
  mctx__mutex_destroy(&publication->mutex);
  mctx__release(publication);
}

static void discard(mctx__publication *publication) {
  mctx__context *context = publication->context;
  mctx__object_retire(&publication->object);
  release(publication);
  mctx__context_left(context);
}

static void destroy_publication(mctx__object *object) {
  mctx__publication *publication = (mctx__publication *)object;
  mctx__socket socket = part(publication);
  if (socket.value != MCTX__NO_SOCKET.value) mctx__socket_close(socket);
  discard(publication);
}

static void abandon_publication(mctx__object *object) {
  mctx__publication *publication = (mctx__publication *)object;
  int64_t socket = atomic_exchange(&publication->socket, MCTX__NO_SOCKET.value);
  if (socket != MCTX__NO_SOCKET.value) mctx__socket_abandon((mctx__socket){socket});
}

static const mctx__class publication_class = {MCTX_HANDLE_PUBLICATION, destroy_publication,
                                              abandon_publication};

/* Bits a second below which a datagram could take longer than the second that queues keep one at most. */
#define KERNEL_RATE_LEAST INT64_C(524288)

/* Whether the interface that datagrams leave through is known to hold a socket to its rate, and says so when
 * its queue is full instead of dropping without a word what was accepted. */
static bool kernel_paces(const mctx__config *config) {
  mctx_address source;
  uint32_t index;
  return config->pacing_unit == MCTX_PACING_BITS && config->pacing_burst_chosen && config->error_queue != 0 &&
         config->loopback == 0 && config->pacing_rate >= KERNEL_RATE_LEAST &&
         mctx__route_lookup(&config->destination, config->interface_index, &config->local, &source, &index)
                 .status == MCTX_OK &&
         mctx__interface_paces(index);
}

static void prepare_sending(mctx__publication *publication) {
  mctx__config *config = &publication->config;
  publication->singly = config->error_queue != 0 && config->loopback != 0;
  if (publication->singly) config->offload = 0;
  if (config->pacing_rate != 0 && config->pacing_by == MCTX_AUTO)
    config->pacing_by = kernel_paces(config) ? MCTX_PACING_KERNEL : MCTX_PACING_LIBRARY;
  const bool by_kernel = config->pacing_by == MCTX_PACING_KERNEL;
  /* A superpacket leaves at once, whatever the rate: it holds what that yields in a millisecond. */
  mctx__offload_init(&publication->offload, config->offload != 0,
                     by_kernel ? config->pacing_rate / (INT64_C(8) * 1000) : MCTX__SUPERPACKET_MAX);
  config->offload = publication->offload.most.count > 1;
  publication->paced = config->pacing_rate != 0 && !by_kernel;
  if (publication->paced)
    mctx__pacer_init(&publication->pacer, (uint32_t)config->pacing_unit, config->pacing_rate,
                     config->pacing_burst);
}

static mctx_status open_in(const mctx__call *call, mctx__context *context, mctx__publication *publication,
                           mctx_publication *handle) {
  mctx_status status = mctx__config_resolve(call, &publication->config);
  if (status != MCTX_OK) return status;
  publication->context = context;
  publication->destination = publication->config.destination;
  publication->interface_index = publication->config.interface_index;
  prepare_sending(publication);
  atomic_init(&publication->socket, MCTX__NO_SOCKET.value);
  atomic_init(&publication->endpoint, &publication->by_connection);
  status = mctx__object_reserve(call, &publication->object, &publication_class);
  if (status != MCTX_OK) return status;
  status = mctx__context_attach(call, context, publication);
  if (status != MCTX_OK) goto cancel;
  status = open_socket(call, publication);
  if (status != MCTX_OK) goto detach;
  *handle = mctx__context_publish(context, publication);
  return MCTX_OK;

detach:
  mctx__context_detach(context, publication);
  mctx__context_left(context);
cancel:
  mctx__object_cancel(&publication->object);
  return status;
}

void mctx_publication_options_init(mctx_publication_options *options, uint32_t size) {
  static const mctx_publication_options defaults = {
      .port = MCTX_AUTO,
      .source_port = MCTX_AUTO,
      .hop_limit = 1,
      .loopback = 1,
      .connected = 1,
      .reuse_port = MCTX_AUTO,
      .error_queue = MCTX_AUTO,
      .dont_fragment = MCTX_AUTO,
      .priority = MCTX_AUTO,
      .mark = MCTX_AUTO,
      .offload = MCTX_AUTO,
      .pacing_by = MCTX_AUTO,
  };
  mctx__struct_init(options, size, &defaults, sizeof defaults);
}

mctx_status mctx_publication_open(mctx_context context, const mctx_publication_options *options,
                                  mctx_publication *publication, mctx_error *error) {
  const mctx__call call = {__func__, context, error};
  mctx_publication_options own;
  mctx__object *owner;
  if (publication != NULL) *publication = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (publication == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "publication");
  mctx_publication_options_init(&own, sizeof own);
  mctx_status status = mctx__struct_read(&call, options, &own, sizeof own, "options");
  if (status != MCTX_OK) return status;
  status = mctx__enter(&call, MCTX_HANDLE_CONTEXT, &owner);
  if (status != MCTX_OK) return status;

  mctx__publication *object = mctx__allocate(sizeof *object);
  if (object == NULL) {
    status = MCTX__FAIL(&call, MCTX_ERR_NO_MEMORY, .value = sizeof *object);
    goto leave;
  }
  mctx__mutex_init(&object->mutex);
  atomic_flag_clear(&object->lock);
  (void)mctx__fence_prepare(); /* now, not with the first datagrams */
  status = mctx__config_read(&call, &own, &object->config);
  if (status == MCTX_OK) status = open_in(&call, (mctx__context *)owner, object, publication);
  if (status != MCTX_OK) release(object);
leave:
  mctx__unpin(owner);
  return status;
}

mctx_status mctx_publication_take(mctx_publication publication, mctx_os_handle *native, mctx_error *error) {
  const mctx__call call = {__func__, publication, error};
  mctx__object *object;
  if (native != NULL) *native = (mctx_os_handle){0};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (native == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "native");
  mctx_status status = mctx__object_claim(publication, MCTX_HANDLE_PUBLICATION, &object);
  if (status != MCTX_OK) return mctx__handle_failed(&call, status);
  *native = mctx__socket_native(part((mctx__publication *)object));
  discard((mctx__publication *)object);
  return MCTX_OK;
}

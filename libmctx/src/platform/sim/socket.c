/* SPDX-License-Identifier: MIT */
/* Sockets: open and close, options, bind, connect. The rules are Linux's. */
#include <string.h>

#include "sim.h"

#define FIRST_PORT 32768u
#define LAST_PORT  60999u

#define DEFAULT_BUFFER          212992
#define SMALLEST_SEND_BUFFER    4608
#define SMALLEST_RECEIVE_BUFFER 2304

static mctx__sim_socket sockets[MCTX__SIM_SLOTS];
static uint64_t bindings;
static uint64_t pending_errors;
static uint16_t port_users[2][65536];
static uint32_t next_port[2];
static uint32_t new_capacity;
static int64_t new_drain_ns;

void mctx__sim_sockets_reset(void) {
  next_port[0] = next_port[1] = FIRST_PORT;
  new_capacity = 0;
  new_drain_ns = 0;
}

/* ---- open and close ---- */

static mctx__socket name_of(const mctx__sim_socket *socket) {
  return (mctx__socket){socket->name};
}

static mctx__sim_socket *look(int64_t value) {
  if (!mctx__sim_descriptor_is_open(value) || mctx__sim_kind_of(value) != MCTX__SIM_SOCKET) return NULL;
  return &sockets[mctx__sim_slot_of(value)];
}

mctx__sim_socket *mctx__sim_socket_find(mctx__socket socket) {
  mctx__sim_socket *found = look(socket.value);
  if (found == NULL) mctx__sim_misused();
  return found;
}

mctx__sim_socket *mctx__sim_socket_next(const mctx__sim_socket *after) {
  uint32_t used = mctx__sim_descriptors_used(MCTX__SIM_SOCKET);
  for (uint32_t i = after != NULL ? (uint32_t)(after - sockets) + 1 : 0; i < used; i++) {
    if (sockets[i].name != 0) return &sockets[i];
  }
  return NULL;
}

static mctx__result open_locked(uint32_t family, mctx__sim_socket **opened) {
  if (family == 4 && !mctx__sim_capable(MCTX_CAPABILITY_IPV4))
    return mctx__sim_error(MCTX_ERR_FAMILY_UNSUPPORTED);
  if (family == 6 && !mctx__sim_capable(MCTX_CAPABILITY_IPV6))
    return mctx__sim_error(MCTX_ERR_FAMILY_UNSUPPORTED);
  int64_t name;
  mctx__result outcome = mctx__sim_descriptor_open(MCTX__SIM_SOCKET, &name);
  if (outcome.status != MCTX_OK) return outcome;
  mctx__sim_socket *socket = &sockets[mctx__sim_slot_of(name)];
  *socket = (mctx__sim_socket){.name = name, .family = family};
  socket->local.family = (uint8_t)family;
  socket->capacity = new_capacity;
  socket->drain_ns = new_drain_ns;
  socket->options[MCTX__HOP_LIMIT] = 1;
  socket->options[MCTX__LOOPBACK] = 1;
  socket->options[MCTX__SEND_BUFFER] = DEFAULT_BUFFER;
  socket->options[MCTX__RECEIVE_BUFFER] = DEFAULT_BUFFER;
  socket->options[MCTX__DONT_FRAGMENT] = MCTX_AUTO;
  *opened = socket;
  return MCTX__DONE;
}

static void give_port_back(mctx__sim_socket *socket) {
  if (socket->local.port != 0) port_users[socket->family == 6][socket->local.port]--;
  socket->local.port = 0;
}

bool mctx__sim_port_is_used(const mctx_address *address) {
  return port_users[address->family == 6][address->port] != 0;
}

static void close_locked(mctx__socket name) {
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  if (socket == NULL) return;
  give_port_back(socket);
  pending_errors -= socket->errors.local + socket->errors.network;
  mctx__sim_memberships_drop(socket);
  mctx__sim_queue_drop(socket);
  mctx__sim_descriptor_close(socket->name);
  socket->name = 0;
}

mctx__result mctx__socket_open(uint32_t family, mctx__socket *opened) {
  mctx__sim_socket *socket = NULL;
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_SOCKET_OPEN);
  if (outcome.status == MCTX_OK) outcome = open_locked(family, &socket);
  if (outcome.status == MCTX_OK) {
    socket->options[MCTX__NONBLOCKING] = 1;
    *opened = name_of(socket);
  }
  mctx__sim_unlock();
  return outcome;
}

void mctx__socket_close(mctx__socket socket) {
  mctx__sim_lock();
  close_locked(socket);
  mctx__sim_unlock();
}

void mctx__socket_abandon(mctx__socket socket) {
  mctx__sim_lock();
  mctx__sim_descriptor_forget_watchers(socket.value);
  close_locked(socket);
  mctx__sim_unlock();
}

mctx__result mctx__socket_adopt(const mctx_os_handle *native, mctx__socket *adopted,
                                mctx__socket_facts *facts) {
  mctx__result outcome = mctx__sim_error(MCTX_ERR_NOT_A_SOCKET);
  mctx__sim_lock();
  const mctx__sim_socket *socket = native->type == MCTX_OS_DESCRIPTOR ? look(native->value) : NULL;
  if (socket != NULL) {
    *facts = (mctx__socket_facts){.family = socket->family,
                                  .is_udp = !socket->stream,
                                  .is_connected = socket->connected,
                                  .local = socket->local,
                                  .peer = socket->peer};
    adopted->value = native->value;
    outcome = MCTX__DONE;
  }
  mctx__sim_unlock();
  return outcome;
}

mctx_os_handle mctx__socket_native(mctx__socket socket) {
  return (mctx_os_handle){.value = socket.value, .type = MCTX_OS_DESCRIPTOR};
}

/* ---- options ---- */

static mctx_status option_status(mctx__option option, int64_t value) {
  static const int64_t largest[MCTX__SIM_OPTIONS] = {[MCTX__HOP_LIMIT] = 255,
                                                     [MCTX__LOOPBACK] = 1,
                                                     [MCTX__DSCP] = 63,
                                                     [MCTX__SEND_BUFFER] = INT32_MAX,
                                                     [MCTX__REUSE_PORT] = 1,
                                                     [MCTX__ERROR_QUEUE] = 1,
                                                     [MCTX__DONT_FRAGMENT] = 1,
                                                     [MCTX__PRIORITY] = 6,
                                                     [MCTX__MARK] = UINT32_MAX,
                                                     [MCTX__ISOLATED] = 1,
                                                     [MCTX__RECEIVE_BUFFER] = INT32_MAX,
                                                     [MCTX__COALESCING] = 1,
                                                     [MCTX__SEGMENT_SIZE] = UINT16_MAX,
                                                     [MCTX__CORKED] = 1,
                                                     [MCTX__PACING_RATE] = INT64_MAX,
                                                     [MCTX__METADATA] = MCTX_META_ALL,
                                                     [MCTX__NONBLOCKING] = 1};
  bool automatic = option == MCTX__DONT_FRAGMENT && value == MCTX_AUTO;
  if (!automatic && (value < 0 || value > largest[option])) return MCTX_ERR_INVALID_ARGUMENT;
  if (option == MCTX__ERROR_QUEUE && !mctx__sim_capable(MCTX_CAPABILITY_ERROR_QUEUE))
    return MCTX_ERR_UNSUPPORTED;
  if (option == MCTX__ISOLATED && !mctx__sim_capable(MCTX_CAPABILITY_ISOLATED_SENDER))
    return MCTX_ERR_UNSUPPORTED;
  if (option == MCTX__COALESCING && !mctx__sim_capable(MCTX_CAPABILITY_COALESCING)) return MCTX_ERR_UNSUPPORTED;
  if (option == MCTX__PACING_RATE && !mctx__sim_capable(MCTX_CAPABILITY_PACING)) return MCTX_ERR_UNSUPPORTED;
  if (option == MCTX__MARK && !mctx__sim_capable(MCTX_CAPABILITY_MARK)) return MCTX_ERR_PERMISSION;
  return MCTX_OK;
}

/* As Linux counts: twice what was asked, cut by the system's maximum unless the rights allow more. */
static int64_t granted_buffer(int64_t asked, uint32_t force, int64_t smallest) {
  if (asked > DEFAULT_BUFFER && !mctx__sim_capable(force)) asked = DEFAULT_BUFFER;
  if (asked > INT32_MAX / 2) asked = INT32_MAX / 2;
  return asked * 2 < smallest ? smallest : asked * 2;
}

static int64_t in_effect(mctx__option option, int64_t asked) {
  if (option == MCTX__SEND_BUFFER) {
    return granted_buffer(asked, MCTX_CAPABILITY_SEND_BUFFER_FORCE, SMALLEST_SEND_BUFFER);
  }
  if (option == MCTX__RECEIVE_BUFFER) {
    return granted_buffer(asked, MCTX_CAPABILITY_RECEIVE_BUFFER_FORCE, SMALLEST_RECEIVE_BUFFER);
  }
  return asked;
}

static mctx__result begin_option(mctx__socket name, uint32_t family, mctx__sim_socket **socket) {
  mctx__result outcome = mctx__sim_call(MCTX_SIM_SOCKET_OPTION);
  if (outcome.status != MCTX_OK) return outcome;
  *socket = mctx__sim_socket_find(name);
  if (*socket == NULL) return mctx__sim_error(MCTX_ERR_IO);
  if (family != 0 && (*socket)->family != family) return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  return MCTX__DONE;
}

mctx__result mctx__socket_set(mctx__socket name, uint32_t family, mctx__option option, int64_t value) {
  mctx__sim_socket *socket = NULL;
  mctx__sim_lock();
  mctx__result outcome = begin_option(name, family, &socket);
  mctx_status status = option_status(option, value);
  if (outcome.status == MCTX_OK && status != MCTX_OK) outcome = mctx__sim_error(status);
  if (outcome.status == MCTX_OK) socket->options[option] = in_effect(option, value);
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_get(mctx__socket name, uint32_t family, mctx__option option, int64_t *value) {
  mctx__sim_socket *socket = NULL;
  mctx__sim_lock();
  mctx__result outcome = begin_option(name, family, &socket);
  if (outcome.status == MCTX_OK) *value = socket->options[option];
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_set_interface(mctx__socket name, uint32_t family, uint32_t index) {
  mctx__sim_socket *socket = NULL;
  mctx__sim_lock();
  mctx__result outcome = begin_option(name, family, &socket);
  if (outcome.status == MCTX_OK && index != 0 && mctx__sim_interface_at(index) == NULL) {
    outcome = mctx__sim_error(MCTX_ERR_INTERFACE_NOT_FOUND);
  }
  if (outcome.status == MCTX_OK && index != 0 && socket->device_index != 0 && socket->device_index != index) {
    outcome = mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  }
  if (outcome.status == MCTX_OK) socket->interface_index = index;
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_get_interface(mctx__socket name, uint32_t family, uint32_t *index) {
  mctx__sim_socket *socket = NULL;
  mctx__sim_lock();
  mctx__result outcome = begin_option(name, family, &socket);
  if (outcome.status == MCTX_OK) *index = socket->interface_index;
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_bind_device(mctx__socket name, const char *device) {
  mctx__sim_socket *socket = NULL;
  mctx__sim_lock();
  mctx__result outcome = begin_option(name, 0, &socket);
  const mctx__sim_interface *interface = device != NULL ? mctx__sim_interface_named(device) : NULL;
  if (outcome.status != MCTX_OK) goto done;
  outcome = mctx__sim_error(MCTX_ERR_PERMISSION);
  if (!mctx__sim_capable(MCTX_CAPABILITY_BIND_DEVICE)) goto done;
  outcome = mctx__sim_error(MCTX_ERR_INTERFACE_NOT_FOUND);
  if (interface == NULL && device != NULL) goto done;
  socket->device_index = interface != NULL ? interface->index : 0;
  outcome = MCTX__DONE;
done:
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_hold_to(mctx__socket name, uint32_t interface_index) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_HOLD);
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  if (outcome.status == MCTX_OK && socket == NULL) outcome = mctx__sim_error(MCTX_ERR_IO);
  if (outcome.status == MCTX_OK && !mctx__sim_capable(MCTX_CAPABILITY_BIND_DEVICE)) {
    outcome = mctx__sim_error(MCTX_ERR_PERMISSION);
  }
  /* SO_BINDTOIFINDEX does not look whether there is such an interface. */
  if (outcome.status == MCTX_OK) socket->device_index = interface_index;
  mctx__sim_unlock();
  return outcome;
}

/* ---- ports, bind, connect ----
 *
 * A connection to a scoped group, and a link-local address, hold the socket to their interface as a device
 * does; dissolving the connection lets go of either. */

mctx__result mctx__sim_socket_autobind(mctx__sim_socket *socket) {
  if (socket->local.port != 0) return MCTX__DONE;
  uint32_t v6 = socket->family == 6;
  for (uint32_t tries = FIRST_PORT; tries <= LAST_PORT; tries++) {
    uint32_t port = next_port[v6];
    next_port[v6] = port == LAST_PORT ? FIRST_PORT : port + 1;
    if (port_users[v6][port] != 0) continue;
    port_users[v6][port]++;
    socket->local.port = (uint16_t)port;
    return MCTX__DONE;
  }
  return mctx__sim_error(MCTX_ERR_ADDRESS_IN_USE);
}

static bool clashes(const mctx__sim_socket *one, const mctx__sim_socket *wanting, const mctx_address *local) {
  if (one == wanting) return false;
  if (one->family != wanting->family || one->local.port != local->port) return false;
  if (one->options[MCTX__REUSE_PORT] != 0 && wanting->options[MCTX__REUSE_PORT] != 0) return false;
  bool devices_apart = one->device_index != wanting->device_index;
  if (one->device_index != 0 && wanting->device_index != 0 && devices_apart) return false;
  if (mctx__sim_is_unspecified(&one->local) || mctx__sim_is_unspecified(local)) return true;
  return memcmp(one->local.bytes, local->bytes, sizeof(local->bytes)) == 0;
}

static bool port_is_taken(const mctx__sim_socket *wanting, const mctx_address *local) {
  if (port_users[wanting->family == 6][local->port] == 0) return false;
  for (const mctx__sim_socket *one = mctx__sim_socket_next(NULL); one != NULL;
       one = mctx__sim_socket_next(one)) {
    if (clashes(one, wanting, local)) return true;
  }
  return false;
}

/* __inet6_bind(): an address but the unspecified one wants the device that the socket is held to. */
static bool device_is_there(const mctx__sim_socket *socket, const mctx_address *local) {
  uint32_t index = socket->device_index;
  if (mctx__sim_is_scoped(local) && local->scope_id != 0) index = local->scope_id;
  return index == 0 || mctx__sim_interface_at(index) != NULL;
}

static mctx__result bind_locked(mctx__sim_socket *socket, const mctx_address *local) {
  if (local->family != socket->family || socket->local.port != 0)
    return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  bool any = mctx__sim_is_unspecified(local);
  bool group = mctx__sim_is_multicast(local);
  if (mctx__sim_is_scoped(local) && local->scope_id == 0 && socket->device_index == 0) {
    return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  }
  if (group && !mctx__sim_capable(MCTX_CAPABILITY_GROUP_BINDING)) {
    return mctx__sim_error(MCTX_ERR_SOURCE_NOT_LOCAL);
  }
  if (!any && local->family == 6 && !device_is_there(socket, local)) {
    return mctx__sim_error(MCTX_ERR_INTERFACE_NOT_FOUND);
  }
  if (!any && !group && mctx__sim_address_owner(local) == 0) return mctx__sim_error(MCTX_ERR_SOURCE_NOT_LOCAL);
  if (local->port != 0 && port_is_taken(socket, local)) return mctx__sim_error(MCTX_ERR_ADDRESS_IN_USE);
  mctx_address previous = socket->local;
  socket->bound_as = ++bindings;
  socket->local = *local;
  socket->local.prefix = 0;
  if (!mctx__sim_is_scoped(local)) socket->local.scope_id = 0;
  socket->address_bound = !any;
  if (mctx__sim_is_scoped(local) && local->scope_id != 0) socket->device_index = local->scope_id;
  socket->port_bound = local->port != 0;
  if (socket->port_bound) {
    port_users[socket->family == 6][local->port]++;
    return MCTX__DONE;
  }
  mctx__result outcome = mctx__sim_socket_autobind(socket);
  if (outcome.status != MCTX_OK) socket->local = previous;
  return outcome;
}

mctx__result mctx__socket_bind(mctx__socket name, const mctx_address *local) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_BIND);
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  if (outcome.status == MCTX_OK) {
    outcome = socket == NULL ? mctx__sim_error(MCTX_ERR_IO) : bind_locked(socket, local);
  }
  mctx__sim_unlock();
  return outcome;
}

static void disconnect(mctx__sim_socket *socket) {
  socket->connected = false;
  socket->peer = (mctx_address){0};
  socket->device_index = 0;
  if (!socket->address_bound) {
    socket->local = (mctx_address){.family = socket->local.family, .port = socket->local.port};
  }
  if (!socket->port_bound) give_port_back(socket);
}

static mctx__result connect_locked(mctx__sim_socket *socket, const mctx_address *peer) {
  if (peer->family != socket->family) return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
  mctx__result outcome = mctx__sim_socket_autobind(socket);
  if (outcome.status != MCTX_OK) return outcome;
  uint32_t index = socket->device_index != 0 ? socket->device_index : socket->interface_index;
  if (mctx__sim_is_scoped(peer)) {
    if (peer->scope_id != 0 && socket->device_index != 0 && peer->scope_id != socket->device_index) {
      return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
    }
    if (peer->scope_id != 0) index = peer->scope_id;
    if (index == 0) return mctx__sim_error(MCTX_ERR_INVALID_ARGUMENT);
    socket->device_index = index;
  }
  mctx_address source;
  outcome = mctx__sim_route(peer, index, &socket->local, &source, &index);
  if (outcome.status != MCTX_OK) return outcome;
  source.port = socket->local.port;
  socket->local = source;
  socket->peer = *peer;
  if (mctx__sim_is_scoped(peer)) socket->peer.scope_id = index;
  socket->connected = true;
  return MCTX__DONE;
}

mctx__result mctx__socket_connect(mctx__socket name, uint32_t family, const mctx_address *peer) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_CONNECT);
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  if (outcome.status != MCTX_OK) goto done;
  outcome = mctx__sim_error(MCTX_ERR_IO);
  if (socket == NULL || socket->family != family) goto done;
  outcome = MCTX__DONE;
  if (peer == NULL) {
    disconnect(socket);
  } else {
    outcome = connect_locked(socket, peer);
  }
done:
  mctx__sim_unlock();
  return outcome;
}

mctx__result mctx__socket_local(mctx__socket name, mctx_address *local) {
  mctx__sim_lock();
  mctx__result outcome = mctx__sim_call(MCTX_SIM_LOCAL);
  const mctx__sim_socket *socket = mctx__sim_socket_find(name);
  if (outcome.status == MCTX_OK) {
    if (socket != NULL) *local = socket->local;
    if (socket != NULL && local->scope_id != 0) local->scope_id = socket->device_index;
    outcome = socket != NULL ? MCTX__DONE : mctx__sim_error(MCTX_ERR_IO);
  }
  mctx__sim_unlock();
  return outcome;
}

/* ---- send buffers and errors ---- */

uint32_t mctx__sim_socket_room(mctx__sim_socket *socket) {
  if (socket->capacity == 0) return UINT32_MAX;
  int64_t now = mctx__sim_clock();
  if (socket->buffered > 0 && socket->drain_ns > 0 && socket->next_leave_ns <= now) {
    int64_t left = (now - socket->next_leave_ns) / socket->drain_ns + 1;
    socket->buffered -= left < socket->buffered ? (uint32_t)left : socket->buffered;
    socket->next_leave_ns += left * socket->drain_ns;
  }
  return socket->buffered < socket->capacity ? socket->capacity - socket->buffered : 0;
}

void mctx__sim_socket_fail_later(mctx__sim_socket *socket, mctx_status status) {
  if (status == MCTX_ERR_UNREACHABLE) {
    socket->errors.network++;
  } else {
    socket->errors.local++;
  }
  pending_errors++;
}

void mctx__socket_drain_errors(mctx__socket name, uint32_t family, mctx__drained *drained) {
  (void)family;
  *drained = (mctx__drained){0};
  mctx__sim_lock();
  mctx__sim_socket *socket = mctx__sim_socket_find(name);
  if (socket != NULL) {
    *drained = socket->errors;
    pending_errors -= drained->local + drained->network;
    socket->errors = (mctx__drained){0};
  }
  mctx__sim_unlock();
}

/* ---- controls ---- */

void mctx_sim_buffer(uint32_t datagrams, int64_t drain_ns) {
  mctx__sim_lock();
  new_capacity = datagrams;
  new_drain_ns = drain_ns;
  mctx__sim_unlock();
}

uint64_t mctx_sim_pending_errors(void) {
  mctx__sim_lock();
  uint64_t count = pending_errors;
  mctx__sim_unlock();
  return count;
}

bool mctx__binds_groups(void) {
  mctx__sim_lock();
  bool binds = mctx__sim_capable(MCTX_CAPABILITY_GROUP_BINDING);
  mctx__sim_unlock();
  return binds;
}

int32_t mctx_sim_socket(uint32_t family, const mctx_address *local, mctx_os_handle *native) {
  mctx__sim_socket *socket = NULL;
  mctx__sim_lock();
  uint32_t ip = family & ~(MCTX_SIM_STREAM | MCTX_SIM_REUSE);
  mctx__result outcome = open_locked(ip == 4 || ip == 6 ? ip : 0, &socket);
  if (outcome.status == MCTX_OK) {
    *native = mctx__socket_native(name_of(socket));
    socket->stream = (family & MCTX_SIM_STREAM) != 0;
    socket->options[MCTX__REUSE_PORT] = (family & MCTX_SIM_REUSE) != 0;
    if (local != NULL && local->family != 0) outcome = bind_locked(socket, local);
    if (outcome.status != MCTX_OK) close_locked(name_of(socket));
  }
  mctx__sim_unlock();
  return outcome.status == MCTX_OK;
}

void mctx_sim_socket_close(const mctx_os_handle *native) {
  mctx__socket_close((mctx__socket){native->value});
}

int64_t mctx_sim_socket_hash(const mctx_os_handle *native) {
  mctx__sim_lock();
  const mctx__sim_socket *socket = look(native->value);
  uint64_t hash = 0;
  if (socket != NULL) {
    const uint32_t settings[] = {socket->connected, socket->interface_index, socket->device_index};
    hash = mctx__sim_hash(MCTX__SIM_HASH_START, socket->options, sizeof(socket->options));
    hash = mctx__sim_hash(hash, &socket->local, sizeof(socket->local));
    hash = mctx__sim_hash(hash, &socket->peer, sizeof(socket->peer));
    hash = mctx__sim_hash(hash, settings, sizeof(settings)) >> 1;
  }
  mctx__sim_unlock();
  return (int64_t)hash;
}

int64_t mctx_sim_socket_pacing(const mctx_os_handle *native) {
  mctx__sim_lock();
  const mctx__sim_socket *socket = look(native->value);
  int64_t rate = socket != NULL ? socket->options[MCTX__PACING_RATE] : 0;
  mctx__sim_unlock();
  return rate;
}

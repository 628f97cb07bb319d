/* SPDX-License-Identifier: MIT */
/* Sending one datagram, and what to do when the system refuses it. */
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "interface.h"
#include "options.h"
#include "publication.h"

/* ---- mending the socket ---- */

bool mctx__publication_drain(mctx__publication *publication) {
  mctx__drained drained;
  mctx__socket_drain_errors(mctx__publication_socket(publication), publication->config.destination.family,
                            &drained);
  uint64_t count = (uint64_t)drained.local + drained.network;
  if (count > 0) mctx__publication_count(publication, MCTX__DRAINED, count);
  return count > 0;
}

void mctx__publication_blame_earlier(mctx__publication *publication) {
  mctx__publication_count(publication, MCTX__DRAINED, 1);
}

/* With the mutex held. */
static void report(mctx__publication *publication, uint32_t type, const mctx_address *address) {
  mctx_event event = {.type = type,
                      .interface_index = publication->interface_index,
                      .handle = publication->object.handle,
                      .time_ns = mctx__clock_utc(),
                      .address = *address};
  mctx__events_add(&publication->events, &event);
}

/* The interface that the user named may have been made anew, with another index. With the mutex held. */
static bool follow_interface(mctx__publication *publication, const mctx__interfaces *interfaces) {
  const mctx__config *config = &publication->config;
  mctx_interface_ref wanted = config->interface;
  wanted.name = config->interface_name;
  if (wanted.by == MCTX_INTERFACE_ANY && config->bind_device[0] != '\0') {
    wanted.by = MCTX_INTERFACE_BY_NAME;
    wanted.name = config->bind_device;
  }
  if (wanted.by != MCTX_INTERFACE_BY_NAME && wanted.by != MCTX_INTERFACE_BY_ADDRESS) return false;
  const mctx__interface *found = mctx__interface_find(interfaces, &wanted);
  if (found == NULL || found->info.index == publication->interface_index) return false;
  publication->interface_index = found->info.index;
  if (mctx__is_scoped_group(&publication->destination)) {
    publication->destination.scope_id = found->info.index;
    mctx__publication_readdress(publication);
  }
  return true;
}

/* Dissolves the connection, which holds the socket to an interface, and sends through the interface that it is
 * now. On Linux that undoes the binding to a device too. Until somebody connects, datagrams go by address. With
 * the mutex held. */
static void point_anew(mctx__publication *publication) {
  const mctx__config *config = &publication->config;
  mctx__socket socket = mctx__publication_socket(publication);
  uint32_t family = config->destination.family;
  mctx__publication_aim(publication, false);
  mctx__socket_connect(socket, family, NULL);
  if (config->bind_device[0] != '\0') mctx__socket_bind_device(socket, config->bind_device);
  if (publication->interface_index != 0)
    mctx__socket_set_interface(socket, family, publication->interface_index);
}

/* Connects anew, so that the system chooses another source. With the mutex held. */
static void reconnect(mctx__publication *publication) {
  mctx__socket socket = mctx__publication_socket(publication);
  uint32_t family = publication->destination.family;
  mctx_address before = publication->local;
  bool connected = mctx__socket_connect(socket, family, &publication->destination).status == MCTX_OK;
  mctx__socket_local(socket, &publication->local);
  mctx__publication_aim(publication, connected);
  mctx__publication_count(publication, MCTX__RECONNECTS, 1);
  if (connected && before.family != 0 && !mctx__is_unspecified(&before) &&
      !mctx__same_host(&before, &publication->local))
    report(publication, MCTX_EVENT_SOURCE_CHANGED, &publication->local);
}

/* Whether the socket speaks from an address that is still this host's. With the mutex held. */
static bool source_is_here(const mctx__publication *publication, const mctx__interfaces *interfaces) {
  mctx_address local = publication->local;
  if (local.scope_id != 0 && publication->interface_index != 0) local.scope_id = publication->interface_index;
  return local.family == 0 || mctx__is_unspecified(&local) || mctx__is_multicast(&local) ||
         mctx__interface_by_address(interfaces, &local) != NULL;
}

/* Once for each time that it goes: datagrams that went since the last report say that it was back. With the
 * mutex held. */
static void report_missing(mctx__publication *publication) {
  const uint64_t sent = atomic_load(&publication->counters.values[MCTX__PACKETS_SENT]) + 1;
  if (publication->missing_at != sent) report(publication, MCTX_EVENT_SOURCE_GONE, &publication->local);
  publication->missing_at = sent;
}

static void heal(mctx__publication *publication) {
  const mctx__config *config = &publication->config;
  mctx__interfaces interfaces;
  if (mctx__interfaces_load(&interfaces).status != MCTX_OK) return;
  mctx__mutex_lock(&publication->mutex);
  bool moved = follow_interface(publication, &interfaces);
  bool here = source_is_here(publication, &interfaces);
  bool missing = !here && mctx__config_names_source(config);
  bool again = config->connected != 0 && !missing && (moved || !here || !publication->is_connected);
  if (moved || again) point_anew(publication);
  if (again) reconnect(publication);
  if (missing) report_missing(publication);
  mctx__mutex_unlock(&publication->mutex);
  mctx__interfaces_free(&interfaces);
}

bool mctx__publication_recover(mctx__publication *publication, mctx_status failed) {
  bool drained = mctx__publication_drain(publication);
  if (mctx_status_kind(failed) == MCTX_KIND_NETWORK) {
    heal(publication);
    return !drained && failed == MCTX_ERR_UNREACHABLE;
  }
  /* Another thread may be reconnecting the socket, which made this send fail: wait for it. */
  mctx__mutex_lock(&publication->mutex);
  mctx__mutex_unlock(&publication->mutex);
  return !drained && failed == MCTX_ERR_DATAGRAM_TOO_LARGE;
}

/* ---- why it failed ---- */

typedef struct diagnosis {
  mctx_status status;
  const char *field;
  char message[256];
  char hint[512];
} diagnosis;

static void diagnose_route(diagnosis *found, const mctx__publication *publication) {
  char text[MCTX__ADDRESS_TEXT];
  mctx__address_text(&publication->destination, text);
  snprintf(found->message, sizeof found->message, "no route leads to %s", text);
  if (publication->interface_index == 0)
    snprintf(found->hint, sizeof found->hint, "name the interface to send through, or add a route: %s",
             publication->destination.family == 4
                 ? "`ip route add 224.0.0.0/4 dev eth0`"
                 : "`ip -6 route add multicast ff00::/8 dev eth0 table local`");
  else if (publication->destination.family == 6)
    snprintf(
        found->hint, sizeof found->hint,
        "the interface is up: it has no usable IPv6 address (a new one is tentative for a second or two, and "
        "`sysctl net.ipv6.conf.all.disable_ipv6` tells whether IPv6 is off), or no multicast route, as lo has "
        "none: `ip -6 route add local ff00::/8 dev lo`");
  else
    snprintf(found->hint, sizeof found->hint,
             "the interface is up: `ip route get` shows what the routing table makes of it");
}

/* The reason behind a failure of the network's kind, from the state of the interfaces. */
static void diagnose_network(diagnosis *found, mctx__publication *publication,
                             const mctx__interfaces *interfaces) {
  char text[MCTX__ADDRESS_TEXT];
  mctx__mutex_lock(&publication->mutex);
  const mctx__config *config = &publication->config;
  const char *name = config->interface_name[0] != '\0' ? config->interface_name : config->bind_device;
  const mctx__interface *interface = mctx__interface_by_index(interfaces, publication->interface_index);
  if (publication->interface_index != 0 && interface == NULL) {
    found->status = MCTX_ERR_INTERFACE_GONE;
    snprintf(found->message, sizeof found->message, "the interface %.64s%s(index %u) was removed", name,
             name[0] != '\0' ? " " : "", (unsigned)publication->interface_index);
    snprintf(found->hint, sizeof found->hint, "named by name or address it is found again when it comes back");
  } else if (interface != NULL && (interface->info.flags & MCTX_INTERFACE_UP) == 0) {
    found->status = MCTX_ERR_INTERFACE_DOWN;
    snprintf(found->message, sizeof found->message, "the interface %.64s is down", interface->info.name);
    snprintf(found->hint, sizeof found->hint, "set it up: `ip link set %.64s up`", interface->info.name);
  } else if (mctx__config_names_source(config) && !source_is_here(publication, interfaces)) {
    found->status = MCTX_ERR_SOURCE_GONE;
    snprintf(found->message, sizeof found->message, "the source %s is no longer an address of this host",
             mctx__host_text(&publication->local, text));
    snprintf(found->hint, sizeof found->hint,
             "give the address back to an interface, or open the publication with "
             "another source or none");
  } else {
    diagnose_route(found, publication);
  }
  mctx__mutex_unlock(&publication->mutex);
}

static void diagnose_size(diagnosis *found, mctx__publication *publication, uint64_t length) {
  uint64_t most = mctx__max_datagram(publication->config.destination.family);
  if (length > most)
    snprintf(found->hint, sizeof found->hint, "an IPv%u datagram carries at most %u bytes: split the payload",
             (unsigned)publication->config.destination.family, (unsigned)most);
  else
    snprintf(found->hint, sizeof found->hint,
             "it does not fit the interface's MTU, and may not be fragmented "
             "(`dont_fragment`), or it is larger than the send buffer (`send_buffer`)");
}

mctx_status mctx__publication_fail(const mctx__call *call, mctx__publication *publication, mctx__result result,
                                   uint64_t nth, uint64_t length) {
  diagnosis found = {.status = result.status};
  mctx__interfaces interfaces;
  uint64_t value = length;
  uint64_t limit = 0;
  uint32_t flags = 0;
  if (result.status == MCTX_ERR_PACED) value = (uint64_t)mctx__pacer_due(&publication->pacer, length);
  if (result.status == MCTX_ERR_QUEUE_FULL && publication->singly) flags = MCTX_ERROR_DELIVERED_LOCALLY;
  if (result.status == MCTX_ERR_DATAGRAM_TOO_LARGE) {
    limit = mctx__max_datagram(publication->config.destination.family);
    diagnose_size(&found, publication, length);
  } else if (result.status == MCTX_ERR_FIREWALL) {
    snprintf(found.hint, sizeof found.hint,
             "an output rule drops it: `nft list ruleset` or `iptables -L OUTPUT`");
  } else if (mctx_status_kind(result.status) == MCTX_KIND_NETWORK &&
             mctx__interfaces_load(&interfaces).status == MCTX_OK) {
    diagnose_network(&found, publication, &interfaces);
    mctx__interfaces_free(&interfaces);
  } else if (result.status == MCTX_ERR_CLOSED) {
    found.field = "handle";
    snprintf(found.message, sizeof found.message, "%s",
             mctx__handle_message(publication->object.handle, MCTX_ERR_CLOSED));
    snprintf(found.hint, sizeof found.hint, "%s", mctx__handle_hint(MCTX_ERR_CLOSED));
  }
  return MCTX__FAIL(call, found.status, .os_code = result.os_code, .nth = nth, .value = value, .limit = limit,
                    .flags = flags, .field = found.field,
                    .message = found.message[0] != '\0' ? found.message : NULL, .hint = found.hint);
}

/* ---- one datagram ---- */

static inline mctx__result try_now(mctx__publication *publication, const void *data, size_t length) {
  return mctx__socket_send(mctx__publication_socket(publication),
                           atomic_load_explicit(&publication->endpoint, memory_order_acquire), data, length);
}

MCTX__COLD static mctx__result try_paced(mctx__publication *publication, const void *data, size_t length) {
  const mctx_slice slice = {.data = data, .length = length};
  const mctx__datagrams source = {.slices = &slice, .count = 1};
  const bool is_hopeless = length > mctx__max_datagram(publication->config.destination.family);
  if (is_hopeless) return try_now(publication, data, length);
  if (mctx__pacer_take(&publication->pacer, &source, 0, 1) == 0) return (mctx__result){MCTX_ERR_PACED, 0};
  mctx__result result = try_now(publication, data, length);
  if (result.status != MCTX_OK) mctx__pacer_give_back(&publication->pacer, &source, 0, 1);
  return result;
}

static inline mctx__result try_once(mctx__publication *publication, const void *data, size_t length) {
  return publication->paced ? try_paced(publication, data, length) : try_now(publication, data, length);
}

/* An error may belong to an earlier datagram: only what a second try returns is this one's. */
static mctx__result try_again(mctx__publication *publication, const void *data, size_t length,
                              mctx__result result) {
  bool tried = false;
  bool uncounted = false;
  while (result.status != MCTX_OK && !mctx__refusal_is_own(result.status)) {
    if (result.status != MCTX_ERR_SIGNAL) {
      if (tried) {
        mctx__publication_drain(publication);
        break;
      }
      tried = true;
      uncounted = mctx__publication_recover(publication, result.status);
    }
    result = try_once(publication, data, length);
  }
  if (result.status == MCTX_OK && uncounted) mctx__publication_blame_earlier(publication);
  return result;
}

/* The rest of a send that was not taken at once: further tries, counters, and why not. */
MCTX__COLD static mctx_status refused(const mctx__call *call, mctx__publication *publication, const void *data,
                                      size_t length, uint64_t nth, mctx__result *result) {
  mctx_status status = MCTX_OK;
  *result = try_again(publication, data, length, *result);
  if (result->status == MCTX_OK) {
    mctx__publication_sent(publication, (mctx__sent){1, length, 0});
  } else {
    status = mctx__publication_fail(call, publication, *result, nth, length);
    mctx__publication_failed(publication, (mctx__sent){0}, status);
  }
  return status;
}

/* The same for mctx_send(), which has then nothing left to do. */
MCTX__COLD static mctx_status send_refused(mctx__inside in, const void *data, size_t length,
                                           mctx__result *result, mctx_error *error) {
  mctx__object *object = &in.publication->object;
  const mctx__call call = {"mctx_send", object->handle, error};
  mctx__stay(object, &in.own);
  mctx_status status = refused(&call, in.publication, data, length, 0, result);
  mctx__unpin(object);
  return status;
}

/* Why mctx_send() cannot even try. */
MCTX__COLD static mctx_status unusable(mctx_publication publication, const void *data, size_t length,
                                       mctx_error *error) {
  const mctx__call call = {"mctx_send", publication, error};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (data == NULL && length > 0)
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "data", .value = length);
  return mctx__enter_failed(&call, MCTX_HANDLE_PUBLICATION);
}

static MCTX__IN_PLACE mctx_status send_inside(mctx__inside in, const void *data, size_t length,
                                              mctx_error *error) {
  mctx__result result = try_once(in.publication, data, length);
  if (MCTX__SELDOM(result.status != MCTX_OK)) return send_refused(in, data, length, &result, error);
  mctx__count_sending(&in, (mctx__sent){1, length, 0});
  mctx__leave_sending(&in);
  return MCTX_OK;
}

/* From a publication that is not the calling thread's own. */
MCTX__COLD static mctx_status send_pinned(mctx_publication publication, const void *data, size_t length,
                                          mctx_error *error) {
  const bool is_usable = mctx__error_usable(error) && (data != NULL || length == 0);
  mctx__object *object = is_usable ? mctx__pin_live_of(publication, MCTX_HANDLE_PUBLICATION) : NULL;
  if (object == NULL) return unusable(publication, data, length, error);
  return send_inside((mctx__inside){(mctx__publication *)object, NULL}, data, length, error);
}

/* The way of every datagram: nothing is prepared here that only another way needs. */
mctx_status mctx_send(mctx_publication publication, const void *data, size_t length, mctx_error *error) {
  mctx__seat *own;
  mctx__object *object;
  const bool is_usable = mctx__error_usable(error) && (data != NULL || length == 0);
  if (MCTX__SELDOM(!is_usable || !mctx__enter_own(publication, MCTX_HANDLE_PUBLICATION, &object, &own)))
    return send_pinned(publication, data, length, error);
  return send_inside((mctx__inside){(mctx__publication *)object, own}, data, length, error);
}

/* ---- one payload on every publication ---- */

typedef struct everywhere {
  const void *data;
  size_t length;
  mctx_send_outcome *outcomes; /* or NULL: nobody asks */
  uint32_t stride;
  uint32_t count;
  mctx_error *error;
  mctx_status first; /* failure */
} everywhere;

static void send_one(mctx__publication *publication, void *argument) {
  everywhere *all = argument;
  mctx_status status = MCTX_OK;
  uint32_t at = all->count++;
  mctx__result result = try_once(publication, all->data, all->length);
  if (result.status == MCTX_OK) {
    mctx__publication_sent(publication, (mctx__sent){1, all->length, 0});
  } else {
    const mctx__call call = {"mctx_send_all", publication->object.handle,
                             all->first == MCTX_OK ? all->error : NULL};
    status = refused(&call, publication, all->data, all->length, (uint64_t)at + 1, &result);
    if (all->first == MCTX_OK) all->first = status;
  }
  if (all->outcomes == NULL) return;
  const mctx_send_outcome outcome = {publication->object.handle, status, result.os_code};
  mctx__element_write(all->outcomes, all->stride, at, &outcome, sizeof outcome);
}

mctx_status mctx_send_all(mctx_context context, const void *data, size_t length, mctx_send_outcome *outcomes,
                          uint32_t stride, uint32_t capacity, uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, context, error};
  mctx__object *object;
  everywhere all = {data, length, capacity > 0 ? outcomes : NULL, stride, 0, error, MCTX_OK};
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL || (data == NULL && length > 0))
    return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = count == NULL ? "count" : "data");
  mctx_status status = mctx__array_check(&call, outcomes, stride, capacity, "outcomes");
  if (status != MCTX_OK) return status;
  status = mctx__enter(&call, MCTX_HANDLE_CONTEXT, &object);
  if (status != MCTX_OK) return status;

  uint32_t needed = 0;
  bool done = mctx__context_each((mctx__context *)object, capacity > 0 ? capacity : UINT32_MAX, &needed,
                                 send_one, &all);
  *count = needed;
  status = all.first;
  if (!done)
    status =
        MCTX__FAIL(&call, MCTX_ERR_CAPACITY, .field = "capacity", .value = capacity, .limit = needed,
                   .hint = "make room for one outcome a publication, or pass NULL and 0; nothing was sent");
  mctx__unpin(object);
  return status;
}

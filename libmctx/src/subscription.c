/* SPDX-License-Identifier: MIT */
/* Opening and closing a subscription, and what it is. */
#include "subscription.h"

#include <limits.h>
#include <string.h>

#include "held.h"
#include "interface.h"
#include "join.h"
#include "options.h"

enum { DEFAULT_GROUP_SOCKETS = 256, DEFAULT_RECEIVE_BUFFER = 4 << 20, MAX_INTERFACES = 4096 };

/* ---- small services ---- */

/* Enters it without its mutex. */
static mctx_status enter_unlocked(const mctx__call *call, mctx__subscription **subscription) {
  mctx__object *object;
  mctx_status status = mctx__enter(call, MCTX_HANDLE_SUBSCRIPTION, &object);
  if (status == MCTX_OK) *subscription = (mctx__subscription *)object;
  return status;
}

mctx_status mctx__subscription_enter(const mctx__call *call, mctx__subscription **subscription) {
  mctx_status status = enter_unlocked(call, subscription);
  if (status == MCTX_OK) mctx__mutex_lock(&(*subscription)->mutex);
  return status;
}

mctx_status mctx__subscription_enter_current(const mctx__call *call, mctx__subscription **subscription) {
  mctx_status status = enter_unlocked(call, subscription);
  if (status != MCTX_OK) return status;
  (void)mctx__subscription_follow(*subscription);
  mctx__mutex_lock(&(*subscription)->mutex);
  return MCTX_OK;
}

void mctx__subscription_exit(mctx__subscription *subscription) {
  mctx__mutex_unlock(&subscription->mutex);
  mctx__unpin(&subscription->object);
}

void mctx__subscription_event(mctx__subscription *subscription, const mctx_event *event) {
  mctx_event own = *event;
  own.handle = subscription->object.handle;
  own.time_ns = mctx__clock_utc();
  mctx__subscription_lock(subscription);
  mctx__events_add(&subscription->events, &own);
  mctx__subscription_unlock(subscription);
}

void mctx__subscription_expose(mctx__subscription *subscription) {
  mctx__subscription_lock(subscription);
  subscription->is_exposed = true;
  mctx__held_signal(subscription);
  mctx__subscription_unlock(subscription);
}

int64_t mctx__subscription_retry(mctx__subscription *subscription, int64_t deadline_ns) {
  mctx__subscription_lock(subscription);
  const int64_t retry_ns = subscription->retry_ns;
  mctx__subscription_unlock(subscription);
  /* The coarse clock, which tells whether it is time, may be behind. */
  return retry_ns != 0 && retry_ns + MCTX__COARSE_NS < deadline_ns ? retry_ns + MCTX__COARSE_NS : deadline_ns;
}

bool mctx__subscription_has_groups(mctx__subscription *subscription) {
  mctx__mutex_lock(&subscription->mutex);
  bool any = subscription->first != NULL || subscription->standing != NULL;
  mctx__mutex_unlock(&subscription->mutex);
  return any;
}

mctx_status mctx__nothing_joined(const mctx__call *call) {
  return MCTX__FAIL(call, MCTX_ERR_NOTHING_JOINED, .field = "timeout_ns",
                    .hint = "join a group first, or give the wait an end: nothing can arrive before");
}

/* ---- closing ---- */

/* A forked child closes the numbers that it finds in a subscription: one that is being closed, and is then
 * anybody's, must not be found any more. */

static void close_watch(mctx__subscription *subscription) {
  const mctx__watch watch = subscription->watch;
  if (watch.value == MCTX__NO_WATCH.value) return;
  mctx__poller_remove(subscription->poller, mctx__watch_member(watch));
  subscription->watch = MCTX__NO_WATCH;
  mctx__watch_close(watch);
}

static void close_event(mctx__subscription *subscription) {
  const mctx__event event = subscription->event;
  if (event.value == MCTX__NO_EVENT.value) return;
  mctx__poller_remove(subscription->poller, mctx__event_member(event));
  subscription->event = MCTX__NO_EVENT;
  mctx__event_close(event);
}

static void close_poller(mctx__subscription *subscription) {
  const mctx__poller poller = subscription->poller;
  subscription->poller = MCTX__NO_POLLER;
  if (poller.value != MCTX__NO_POLLER.value) mctx__poller_close(poller);
}

/* Leaves by itself before it closes: while a forked child holds the sockets too, closing alone leaves nothing.
 */
static void dismantle(mctx__subscription *subscription) {
  while (subscription->first != NULL)
    mctx__member_remove(subscription, subscription->first);
  while (subscription->standing != NULL)
    mctx__standing_remove(subscription, subscription->standing);
  while (subscription->receivers != NULL)
    mctx__receiver_close(subscription, subscription->receivers);
  close_watch(subscription);
  close_event(subscription);
  close_poller(subscription);
  mctx__table_release(&subscription->parts);
  mctx__table_release(&subscription->members);
  mctx__release(subscription->held.bytes);
}

static void release(mctx__subscription *subscription) {
  mctx__names_free(&subscription->interfaces);
  mctx__mutex_destroy(&subscription->mutex);
  mctx__release(subscription);
}

static void destroy_subscription(mctx__object *object) {
  mctx__subscription *subscription = (mctx__subscription *)object;
  mctx__context *context = subscription->context;
  mctx__context_remove(context, subscription);
  dismantle(subscription);
  mctx__object_retire(object);
  release(subscription);
  mctx__context_left(context);
}

static void abandon_subscription(mctx__object *object) {
  mctx__subscription *subscription = (mctx__subscription *)object;
  for (mctx__receiver *at = subscription->receivers; at != NULL; at = at->next)
    mctx__socket_abandon(at->socket);
  if (subscription->watch.value != MCTX__NO_WATCH.value) mctx__watch_abandon(subscription->watch);
  if (subscription->event.value != MCTX__NO_EVENT.value) mctx__event_abandon(subscription->event);
  if (subscription->poller.value != MCTX__NO_POLLER.value) mctx__poller_abandon(subscription->poller);
}

static const mctx__class subscription_class = {MCTX_HANDLE_SUBSCRIPTION, destroy_subscription,
                                               abandon_subscription};

/* ---- reading the options ---- */

static mctx_status read_numbers(const mctx__call *call, const mctx_subscription_options *options,
                                mctx__subscription *subscription) {
  if ((options->flags & ~(uint32_t)MCTX_SUBSCRIPTION_FROZEN) != 0)
    return MCTX__FAIL(call, MCTX_ERR_RESERVED, .field = "flags", .value = options->flags);
  if (options->reuse_port < 0 || options->reuse_port > 1)
    return mctx__invalid(call, "reuse_port", options->reuse_port, "1 is on and 0 is off");
  if (options->coalescing < 0 || options->coalescing > 1)
    return mctx__invalid(call, "coalescing", options->coalescing, "1 is on and 0 is off");
  if (options->binding > MCTX_BINDING_WILDCARD)
    return mctx__invalid(call, "binding", options->binding, "use one of MCTX_BINDING_AUTO, GROUP and WILDCARD");
  if ((options->metadata & ~(uint32_t)MCTX_META_ALL) != 0)
    return mctx__invalid(call, "metadata", options->metadata, "use bits of mctx_metadata: 63 is all");
  if (options->receive_buffer < 0 || options->receive_buffer > INT_MAX)
    return mctx__invalid(call, "receive_buffer", options->receive_buffer,
                         "a number of bytes, at most 2147483647; 0 for the system's default");
  if (options->binding == MCTX_BINDING_GROUP && !mctx__binds_groups())
    return MCTX__FAIL(call, MCTX_ERR_UNSUPPORTED, .field = "binding",
                      .hint = "this system cannot bind a socket to a group: leave the choice to the library");
  subscription->flags = options->flags;
  subscription->reuse_port = options->reuse_port;
  subscription->coalescing = options->coalescing;
  subscription->binding = options->binding;
  subscription->metadata = options->metadata;
  subscription->receive_buffer = options->receive_buffer;
  const uint64_t quarter = mctx__descriptor_limit() / 4;
  subscription->max_group_sockets =
      options->max_group_sockets < quarter ? options->max_group_sockets : (uint32_t)quarter;
  return MCTX_OK;
}

/* The first group that says a port. */
static int32_t port_of_groups(const mctx_subscription_options *options) {
  for (uint64_t i = 0; i < options->membership_count; i++) {
    mctx_address group = {0};
    const size_t stride = (size_t)options->membership_stride; /* checked: that of an array in memory */
    memcpy(&group, (const unsigned char *)options->memberships + (size_t)i * stride,
           stride < sizeof group ? stride : sizeof group);
    if (group.port != 0) return group.port;
  }
  return 0;
}

static mctx_status read_port(const mctx__call *call, const mctx_subscription_options *options,
                             mctx__subscription *subscription) {
  int32_t port = options->port;
  if (port == MCTX_AUTO) {
    port = port_of_groups(options);
    if (port == 0)
      return MCTX__FAIL(call, MCTX_ERR_PORT_ZERO, .field = "port", .message = "no port is given",
                        .hint = "name the port that is sent to, 1 to 65535, or pass 0 to have one chosen");
  }
  if (port < 0 || port > UINT16_MAX)
    return MCTX__FAIL(call, MCTX_ERR_PORT_RANGE, .field = "port", .value = (uint64_t)port, .limit = UINT16_MAX,
                      .hint = "ports go from 1 to 65535; 0 has one chosen");
  subscription->port = (uint16_t)port;
  return MCTX_OK;
}

static mctx_status read_interfaces(const mctx__call *call, const mctx_subscription_options *options,
                                   mctx__subscription *subscription) {
  if (options->interfaces == NULL && options->interface_count > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "interfaces", .value = options->interface_count);
  if (options->interface_count > MAX_INTERFACES)
    return mctx__invalid(call, "interface_count", (int64_t)options->interface_count,
                         "name at most 4096 interfaces");
  for (uint64_t i = 0; i < options->interface_count; i++) {
    const mctx_interface_ref *ref = &options->interfaces[i];
    mctx_status status = mctx__interface_check(call, ref, 0);
    if (status == MCTX_OK && ref->by == MCTX_INTERFACE_ANY)
      status = MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "interface.by",
                          .hint = "name each interface, or leave the list out for the default set");
    if (status == MCTX_OK && mctx__names_have(subscription->interfaces, ref)) continue;
    if (status == MCTX_OK && !mctx__name_add(&subscription->interfaces, ref))
      status = MCTX__FAIL(call, MCTX_ERR_NO_MEMORY, .field = "interfaces");
    if (status != MCTX_OK) {
      mctx__describe_item(call, i);
      return status;
    }
  }
  return MCTX_OK;
}

/* Interfaces that are named must be there, even as long as no group is joined on them. */
static mctx_status find_interfaces(const mctx__call *call, const mctx_subscription_options *options) {
  mctx__interfaces interfaces;
  if (options->interface_count == 0) return MCTX_OK;
  mctx_status status = mctx__interfaces_list(call, &interfaces, "interfaces");
  if (status != MCTX_OK) return status;
  for (uint64_t i = 0; i < options->interface_count && status == MCTX_OK; i++) {
    if (mctx__interface_find(&interfaces, &options->interfaces[i]) != NULL) continue;
    status = mctx__interface_not_found(call, &interfaces, &options->interfaces[i], NULL);
    mctx__describe_item(call, i);
  }
  mctx__interfaces_free(&interfaces);
  return status;
}

static mctx_status read_options(const mctx__call *call, const mctx_subscription_options *options,
                                mctx__subscription *subscription) {
  if (options->memberships == NULL && options->membership_count > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "memberships", .value = options->membership_count);
  if (options->membership_count > UINT32_MAX)
    return mctx__invalid(call, "membership_count", (int64_t)options->membership_count, "at most 4294967295");
  if (options->membership_count > 0 && (options->membership_stride > UINT32_MAX ||
                                        !mctx__struct_size_valid((uint32_t)options->membership_stride)))
    return MCTX__FAIL(call, MCTX_ERR_STRUCT_SIZE, .field = "membership_stride",
                      .value = options->membership_stride, .hint = "set it to sizeof(mctx_membership)");
  mctx_status status = read_numbers(call, options, subscription);
  if (status == MCTX_OK) status = read_port(call, options, subscription);
  if (status == MCTX_OK) status = read_interfaces(call, options, subscription);
  return status;
}

/* ---- opening ---- */

static mctx_status opening_failed(const mctx__call *call, mctx__result result, const char *field) {
  return MCTX__FAIL(
      call, result.status, .os_code = result.os_code, .field = field,
      .hint = result.status == MCTX_ERR_TOO_MANY_DESCRIPTORS
                  ? "a subscription takes three descriptors and one for each of its sockets: raise "
                    "the limit (`ulimit -n`), or close some"
                  : NULL);
}

/* A system that does not tell of changes is served without. */
static mctx__result open_watch(mctx__subscription *subscription) {
  mctx__result result = mctx__watch_open(&subscription->watch);
  uint32_t kind = mctx_status_kind(result.status);
  if (kind == MCTX_KIND_UNSUPPORTED || kind == MCTX_KIND_PERMISSION) {
    subscription->watch = MCTX__NO_WATCH;
    subscription->flags |= MCTX_SUBSCRIPTION_BLIND;
    return MCTX__DONE;
  }
  if (result.status != MCTX_OK) return result;
  result = mctx__poller_add(subscription->poller, mctx__watch_member(subscription->watch), MCTX__TAG_WATCH);
  if (result.status == MCTX_OK) return result;
  mctx__watch_close(subscription->watch);
  subscription->watch = MCTX__NO_WATCH;
  return result;
}

static mctx__result open_event(mctx__subscription *subscription) {
  mctx__result result = mctx__event_open(&subscription->event);
  if (result.status != MCTX_OK) return result;
  result = mctx__poller_add(subscription->poller, mctx__event_member(subscription->event), MCTX__TAG_EVENT);
  if (result.status == MCTX_OK) return result;
  mctx__event_close(subscription->event);
  subscription->event = MCTX__NO_EVENT;
  return result;
}

/* What a subscription has beside sockets. On failure dismantle() takes away what there is. */
static mctx_status equip(const mctx__call *call, mctx__subscription *subscription) {
  mctx__result result = mctx__poller_open(&subscription->poller);
  if (result.status != MCTX_OK) return opening_failed(call, result, NULL);
  result = open_watch(subscription);
  if (result.status == MCTX_OK) result = open_event(subscription);
  if (result.status != MCTX_OK) return opening_failed(call, result, NULL);
  if (subscription->coalescing != 0) {
    subscription->held.bytes = mctx__allocate_buffer(MCTX__MESSAGE_MAX);
    if (subscription->held.bytes == NULL)
      return MCTX__FAIL(call, MCTX_ERR_NO_MEMORY, .value = MCTX__MESSAGE_MAX);
  }
  if (subscription->port != 0) return MCTX_OK;
  result = mctx__receiver_choose_port(subscription);
  return result.status == MCTX_OK ? MCTX_OK : opening_failed(call, result, "port");
}

static mctx_status open_in(const mctx__call *call, mctx__context *context,
                           const mctx_subscription_options *options, mctx__subscription *subscription,
                           mctx_subscription *handle) {
  subscription->context = context;
  subscription->poller = MCTX__NO_POLLER;
  subscription->watch = MCTX__NO_WATCH;
  subscription->event = MCTX__NO_EVENT;
  mctx_status status = mctx__object_reserve(call, &subscription->object, &subscription_class);
  if (status != MCTX_OK) return status;
  status = equip(call, subscription);
  if (status == MCTX_OK) status = find_interfaces(call, options);
  if (status == MCTX_OK && options->membership_count > 0) {
    mctx__mutex_lock(&subscription->mutex);
    status = mctx__join_array(call, subscription, options->memberships, (uint32_t)options->membership_stride,
                              options->membership_count);
    mctx__mutex_unlock(&subscription->mutex);
  }
  if (status == MCTX_OK) status = mctx__context_add(call, context, subscription, handle);
  if (status == MCTX_OK) return status;
  dismantle(subscription);
  mctx__object_cancel(&subscription->object);
  return status;
}

void mctx_subscription_options_init(mctx_subscription_options *options, uint32_t size) {
  static const mctx_subscription_options defaults = {
      .port = MCTX_AUTO,
      .reuse_port = 1,
      .coalescing = 1,
      .metadata = MCTX_META_ALL,
      .max_group_sockets = DEFAULT_GROUP_SOCKETS,
      .receive_buffer = DEFAULT_RECEIVE_BUFFER,
  };
  mctx__struct_init(options, size, &defaults, sizeof defaults);
}

mctx_status mctx_subscription_open(mctx_context context, const mctx_subscription_options *options,
                                   mctx_subscription *subscription, mctx_error *error) {
  const mctx__call call = {__func__, context, error};
  mctx_subscription_options own;
  mctx__object *owner;
  if (subscription != NULL) *subscription = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (subscription == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "subscription");
  mctx_subscription_options_init(&own, sizeof own);
  mctx_status status = mctx__struct_read(&call, options, &own, sizeof own, "options");
  if (status != MCTX_OK) return status;
  status = mctx__enter(&call, MCTX_HANDLE_CONTEXT, &owner);
  if (status != MCTX_OK) return status;

  mctx__subscription *object = mctx__allocate(sizeof *object);
  if (object == NULL) {
    status = MCTX__FAIL(&call, MCTX_ERR_NO_MEMORY, .value = sizeof *object);
    goto leave;
  }
  mctx__mutex_init(&object->mutex);
  atomic_flag_clear(&object->lock);
  (void)mctx__fence_prepare(); /* now, not with the first datagrams */
  status = read_options(&call, &own, object);
  if (status == MCTX_OK) status = open_in(&call, (mctx__context *)owner, &own, object, subscription);
  if (status != MCTX_OK) release(object);
leave:
  mctx__unpin(owner);
  return status;
}

/* ---- what it is ---- */

/* The least that a socket was granted; 0 without sockets. With the mutex held. */
static uint64_t granted_buffer(const mctx__subscription *subscription) {
  int64_t least = 0;
  for (const mctx__receiver *at = subscription->receivers; at != NULL; at = at->next) {
    int64_t granted = 0;
    if (at->is_anchor ||
        mctx__socket_get(at->socket, at->family, MCTX__RECEIVE_BUFFER, &granted).status != MCTX_OK)
      continue;
    if (least == 0 || granted < least) least = granted;
  }
  return (uint64_t)least;
}

static bool any_coalesces(const mctx__subscription *subscription) {
  for (const mctx__receiver *at = subscription->receivers; at != NULL; at = at->next)
    if (at->coalescing) return true;
  return subscription->receiver_count == 0 && subscription->coalescing != 0;
}

mctx_status mctx_subscription_get_info(mctx_subscription subscription, mctx_subscription_info *info,
                                       mctx_error *error) {
  const mctx__call call = {__func__, subscription, error};
  mctx__subscription *own;
  mctx__struct_clear(info);
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__struct_check(&call, info, "info");
  if (status != MCTX_OK) return status;
  status = mctx__subscription_enter(&call, &own);
  if (status != MCTX_OK) return status;
  const mctx_subscription_info answer = {
      .flags = own->flags,
      .context = own->context->object.handle,
      .port = own->port,
      .metadata = own->metadata,
      .reuse_port = own->reuse_port,
      .coalescing = any_coalesces(own),
      .binding = own->binding,
      .clock = mctx__receive_clock(),
      .group_sockets = own->group_sockets,
      .wildcard_sockets = own->receiver_count - own->group_sockets,
      .membership_count = own->member_count,
      .max_group_sockets = own->max_group_sockets,
      .receive_buffer_asked = (uint64_t)own->receive_buffer,
      .receive_buffer = granted_buffer(own),
      .min_arena = MCTX__MESSAGE_MAX,
      .min_datagrams = own->held.bytes != NULL ? MCTX__MESSAGE_SEGMENTS : 1,
  };
  mctx__subscription_exit(own);
  mctx__struct_write(info, &answer, sizeof answer);
  return MCTX_OK;
}

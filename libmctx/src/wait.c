/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include "options.h"
#include "publication.h"
#include "subscription.h"

int64_t mctx__deadline(int64_t timeout_ns) {
  if (timeout_ns < 0) return MCTX__FOREVER;
  int64_t now = mctx__clock_monotonic();
  return timeout_ns < MCTX__FOREVER - now ? now + timeout_ns : MCTX__FOREVER;
}

/* The first waiter opens the event, so that objects that nobody waits on cost no descriptor. */
static mctx__result event_of(mctx__object *object, mctx__event *event) {
  event->value = atomic_load(&object->event);
  if (event->value != MCTX__NO_EVENT.value) return MCTX__DONE;
  mctx__result result = mctx__event_open(event);
  if (result.status != MCTX_OK) return result;
  int64_t none = MCTX__NO_EVENT.value;
  if (!atomic_compare_exchange_strong(&object->event, &none, event->value)) {
    mctx__event_close(*event);
    event->value = none;
  }
  return MCTX__DONE;
}

void mctx__object_wake_all(mctx__object *object) {
  int64_t event = atomic_load(&object->event);
  if (event != MCTX__NO_EVENT.value) mctx__event_signal((mctx__event){event});
}

/* Before each sleep: has somebody ended the wait? A closer or a waker sets its mark before it signals, and the
 * event is cleared before the marks are read, so that no signal is lost. */
static mctx_status ended(mctx__object *object) {
  if (mctx__object_closing(object)) {
    mctx__object_wake_all(object); /* the other waiters' turn */
    return MCTX_ERR_CLOSED;
  }
  return atomic_exchange(&object->woken, 0) != 0 ? MCTX_ERR_WOKEN : MCTX_OK;
}

mctx__result mctx__object_wait(mctx__object *object, mctx__socket socket, uint32_t events, uint32_t flags,
                               int64_t deadline_ns, uint32_t *ready) {
  mctx__event event;
  *ready = 0;
  mctx__result result = event_of(object, &event);
  while (result.status == MCTX_OK) {
    result.status = ended(object);
    if (result.status != MCTX_OK) break;
    result = mctx__wait(socket, events, event, deadline_ns, ready);
    if (result.status == MCTX_ERR_SIGNAL && (flags & MCTX_INTERRUPTIBLE) == 0) result = MCTX__DONE;
    const uint32_t signalled = *ready & MCTX__WAIT_EVENT;
    *ready &= ~MCTX__WAIT_EVENT;
    if (*ready != 0) break; /* what was signalled is left to those who go on waiting */
    if (signalled != 0) mctx__event_clear(event);
  }
  return result;
}

mctx_status mctx_wake(mctx_handle handle) {
  mctx__object *object;
  /* A signal handler may be interrupting those who clean up in the child, and cannot wait for them. */
  if (mctx__is_forked()) return MCTX_ERR_FORKED;
  mctx_status status = mctx__pin(handle, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return status;
  if (object->class->kind == MCTX_HANDLE_INTERFACE_LIST) {
    status = MCTX_ERR_WRONG_HANDLE;
  } else {
    atomic_store(&object->woken, 1);
    mctx__object_wake_all(object);
  }
  mctx__unpin(object);
  return status;
}

/* ---- what can be waited for ---- */

/* The bits that an object has. */
static uint32_t possible(const mctx__object *object) {
  switch (object->class->kind) {
    case MCTX_HANDLE_PUBLICATION:
      return MCTX_READABLE | MCTX_WRITABLE;
    case MCTX_HANDLE_SUBSCRIPTION:
    case MCTX_HANDLE_CONTEXT:
      return MCTX_READABLE;
    default:
      return 0;
  }
}

static mctx_status check_interest(const mctx__call *call, const mctx__object *object, uint32_t interest) {
  const uint32_t allowed = possible(object);
  if (allowed == 0) return mctx__handle_failed(call, MCTX_ERR_WRONG_HANDLE);
  if ((interest & ~allowed) == 0) return MCTX_OK;
  return MCTX__FAIL(call, MCTX_ERR_INVALID_ARGUMENT, .field = "interest", .value = interest, .limit = allowed,
                    .hint =
                        "a publication is readable or writable, a subscription or a context is readable; 0 "
                        "waits for a wake");
}

/* What the platform is to watch for an object. */
static mctx__result member_of(mctx__object *object, uint32_t interest, mctx__socket *member) {
  mctx__poller poller;
  mctx__result result = MCTX__DONE;
  *member = MCTX__NO_SOCKET;
  if (interest == 0) return result;
  switch (object->class->kind) {
    case MCTX_HANDLE_PUBLICATION:
      *member = mctx__publication_socket((mctx__publication *)object);
      return result;
    case MCTX_HANDLE_SUBSCRIPTION:
      mctx__subscription_expose((mctx__subscription *)object);
      *member = mctx__poller_member(((mctx__subscription *)object)->poller);
      return result;
    default:
      result = mctx__context_poller((mctx__context *)object, &poller);
      if (result.status == MCTX_OK) *member = mctx__poller_member(poller);
      return result;
  }
}

/* Errors of earlier datagrams that end a wait are taken off the socket. Returns whether there were any. */
static bool drain(mctx__object *object, uint32_t *ready) {
  const bool failed = (*ready & MCTX__WAIT_FAILED) != 0;
  *ready &= ~MCTX__WAIT_FAILED;
  if (failed && object->class->kind == MCTX_HANDLE_PUBLICATION)
    mctx__publication_drain((mctx__publication *)object);
  return failed;
}

/* ---- one object ---- */

/* What a subscription could not join for a shortage is tried again while it waits. */
static int64_t retry_of(mctx__object *object, int64_t deadline_ns) {
  if (object->class->kind != MCTX_HANDLE_SUBSCRIPTION) return deadline_ns;
  return mctx__subscription_retry((mctx__subscription *)object, deadline_ns);
}

static mctx__result wait_ready(mctx__object *object, uint32_t interest, uint32_t flags, int64_t deadline_ns,
                               uint32_t *ready) {
  for (;;) {
    mctx__socket member;
    const int64_t until = retry_of(object, deadline_ns);
    mctx__result result = member_of(object, interest, &member);
    if (result.status == MCTX_OK) result = mctx__object_wait(object, member, interest, flags, until, ready);
    if (result.status == MCTX_ERR_TIMEOUT && until < deadline_ns) {
      (void)mctx__subscription_follow((mctx__subscription *)object);
      continue;
    }
    if (!drain(object, ready) || result.status != MCTX_OK || *ready != 0) return result;
  }
}

/* Whether nothing can ever become readable. */
static bool is_endless(mctx__object *object, uint32_t interest, int64_t timeout_ns) {
  return object->class->kind == MCTX_HANDLE_SUBSCRIPTION && interest != 0 && timeout_ns < 0 &&
         !mctx__subscription_has_groups((mctx__subscription *)object);
}

static mctx_status wait_failed(const mctx__call *call, mctx__result result, int64_t timeout_ns) {
  if (result.status == MCTX_ERR_TIMEOUT && timeout_ns == 0) result.status = MCTX_ERR_WOULD_BLOCK;
  if (result.status == MCTX_ERR_CLOSED) return mctx__handle_failed(call, MCTX_ERR_CLOSED);
  return MCTX__FAIL(call, result.status, .os_code = result.os_code);
}

mctx_status mctx_wait(mctx_handle handle, uint32_t interest, uint32_t flags, int64_t timeout_ns,
                      uint32_t *ready, mctx_error *error) {
  const mctx__call call = {__func__, handle, error};
  mctx__object *object;
  uint32_t found = 0;
  if (ready != NULL) *ready = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (ready == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "ready");
  if ((flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(&call, MCTX_ERR_RESERVED, .field = "flags", .value = flags);
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return status;
  status = check_interest(&call, object, interest);
  if (status == MCTX_OK && is_endless(object, interest, timeout_ns)) status = mctx__nothing_joined(&call);
  if (status == MCTX_OK) {
    mctx__result result = wait_ready(object, interest, flags, mctx__deadline(timeout_ns), &found);
    if (result.status == MCTX_OK)
      *ready = found;
    else
      status = wait_failed(&call, result, timeout_ns);
  }
  mctx__unpin(object);
  return status;
}

/* ---- several objects ---- */

enum { MOST_ITEMS = 4096 };

/* A call in progress: each object is watched for its interest and for being closed; the context for its wake.
 */
typedef struct several {
  const mctx__call *call;
  mctx__object *context;
  unsigned char *items; /* the caller's */
  uint32_t stride;
  uint32_t count;
  mctx__object **objects; /* pinned; as many as could be entered */
  uint32_t entered;
  mctx__waited *waited; /* two for each object, one for the context */
} several;

static mctx_wait_item read_item(const several *all, uint32_t position) {
  mctx_wait_item item;
  memcpy(&item, all->items + (size_t)position * all->stride, sizeof item);
  return item;
}

static void write_ready(const several *all, uint32_t position, uint32_t ready) {
  mctx_wait_item item = read_item(all, position);
  item.ready = ready;
  memcpy(all->items + (size_t)position * all->stride, &item, sizeof item);
}

static mctx_status enter_item(several *all, uint32_t position) {
  const mctx_wait_item item = read_item(all, position);
  const mctx__call call = {all->call->operation, item.handle, all->call->error};
  mctx__object *object;
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return status;
  all->objects[all->entered++] = object;
  if (object->class->kind == MCTX_HANDLE_CONTEXT) return mctx__handle_failed(&call, MCTX_ERR_WRONG_HANDLE);
  status = check_interest(&call, object, item.interest);
  if (status != MCTX_OK) return status;
  mctx__event event;
  mctx__result result = event_of(object, &event);
  mctx__waited *own = &all->waited[2 * position];
  if (result.status == MCTX_OK) result = member_of(object, item.interest, &own->socket);
  if (result.status != MCTX_OK) return MCTX__FAIL(&call, result.status, .os_code = result.os_code);
  own[0].events = item.interest;
  own[1].socket = mctx__event_member(event);
  own[1].events = MCTX_READABLE;
  return MCTX_OK;
}

static mctx_status enter_items(several *all) {
  for (uint32_t i = 0; i < all->count; i++) {
    mctx_status status = enter_item(all, i);
    if (status == MCTX_OK) continue;
    mctx__describe_item(all->call, i);
    return status;
  }
  mctx__event event;
  mctx__result result = event_of(all->context, &event);
  if (result.status != MCTX_OK) return MCTX__FAIL(all->call, result.status, .os_code = result.os_code);
  all->waited[2 * all->count] = (mctx__waited){.socket = mctx__event_member(event), .events = MCTX_READABLE};
  return MCTX_OK;
}

/* Whether somebody ended the wait by closing or waking an object; `item` says which, the count is the context.
 */
static mctx_status ended_any(const several *all, uint32_t *item) {
  for (*item = 0; *item < all->count; ++*item) {
    mctx_status status = ended(all->objects[*item]);
    if (status != MCTX_OK) return status;
  }
  return ended(all->context);
}

static mctx_status several_ended(const several *all, mctx_status status, uint32_t item) {
  mctx__object *object = item < all->count ? all->objects[item] : all->context;
  const mctx__call call = {all->call->operation, object->handle, all->call->error};
  status = status == MCTX_ERR_CLOSED ? mctx__handle_failed(&call, status) : MCTX__FAIL(&call, status);
  if (item < all->count) mctx__describe_item(&call, item);
  return status;
}

/* After a wait: hands the bits over. Where nothing is ready, the events are cleared, and looked behind. */
static uint32_t collect(several *all) {
  uint32_t ready = 0;
  for (uint32_t i = 0; i < all->count; i++) {
    mctx__waited *own = &all->waited[2 * i];
    (void)drain(all->objects[i], &own->ready);
    write_ready(all, i, own->ready);
    ready += own->ready != 0;
  }
  for (uint32_t i = 0; i <= all->count && ready == 0; i++) {
    mctx__object *object = i < all->count ? all->objects[i] : all->context;
    const mctx__waited *own = &all->waited[2 * i + (i < all->count)];
    if (own->ready != 0) mctx__event_clear((mctx__event){atomic_load(&object->event)});
  }
  return ready;
}

static mctx_status wait_several(several *all, uint32_t flags, int64_t timeout_ns, uint32_t *ready_count) {
  const int64_t deadline = mctx__deadline(timeout_ns);
  for (;;) {
    uint32_t item;
    mctx_status status = ended_any(all, &item);
    if (status != MCTX_OK) return several_ended(all, status, item);
    mctx__result result = mctx__wait_many(all->waited, 2 * all->count + 1, deadline);
    if (result.status == MCTX_ERR_SIGNAL && (flags & MCTX_INTERRUPTIBLE) == 0) continue;
    if (result.status == MCTX_ERR_TOO_MANY_DESCRIPTORS)
      return MCTX__FAIL(all->call, result.status, .os_code = result.os_code, .field = "count",
                        .value = all->count,
                        .hint =
                            "two for each object and one for the context must be within the limit of "
                            "descriptors: raise it (`ulimit -n`), or give each object once");
    if (result.status != MCTX_OK) return wait_failed(all->call, result, timeout_ns);
    *ready_count = collect(all);
    if (*ready_count > 0) return MCTX_OK;
  }
}

/* Whether none of them can ever become ready. */
static bool are_endless(const several *all, int64_t timeout_ns) {
  for (uint32_t i = 0; i < all->count; i++)
    if (!is_endless(all->objects[i], read_item(all, i).interest, timeout_ns)) return false;
  return all->count > 0;
}

static mctx_status run_several(several *all, uint32_t flags, int64_t timeout_ns, uint32_t *ready_count) {
  all->objects = mctx__allocate((all->count + 1) * sizeof(void *));
  all->waited = mctx__allocate((2 * (size_t)all->count + 1) * sizeof *all->waited);
  mctx_status status = MCTX_OK;
  if (all->objects == NULL || all->waited == NULL)
    status = MCTX__FAIL(all->call, MCTX_ERR_NO_MEMORY, .value = all->count);
  if (status == MCTX_OK) status = enter_items(all);
  if (status == MCTX_OK && are_endless(all, timeout_ns)) status = mctx__nothing_joined(all->call);
  if (status == MCTX_OK) status = wait_several(all, flags, timeout_ns, ready_count);
  for (uint32_t i = 0; i < all->entered; i++)
    mctx__unpin(all->objects[i]);
  mctx__release(all->waited);
  mctx__release(all->objects);
  return status;
}

mctx_status mctx_wait_many(mctx_context context, mctx_wait_item *items, uint32_t stride, uint32_t count,
                           uint32_t flags, int64_t timeout_ns, uint32_t *ready_count, mctx_error *error) {
  const mctx__call call = {__func__, context, error};
  several all = {.call = &call, .items = (unsigned char *)items, .stride = stride, .count = count};
  if (ready_count != NULL) *ready_count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (ready_count == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "ready_count");
  mctx_status status = mctx__array_check(&call, items, stride, count, "items");
  if (status != MCTX_OK) return status;
  if (count > 0 && stride < sizeof(mctx_wait_item))
    return MCTX__FAIL(&call, MCTX_ERR_STRUCT_SIZE, .field = "stride", .value = stride,
                      .limit = sizeof(mctx_wait_item), .hint = "pass sizeof(mctx_wait_item)");
  if (count > MOST_ITEMS)
    return MCTX__FAIL(&call, MCTX_ERR_INVALID_ARGUMENT, .field = "count", .value = count, .limit = MOST_ITEMS,
                      .hint =
                          "wait for at most 4096 objects; a context's pollable handle stands for all of its "
                          "subscriptions");
  if ((flags & ~(uint32_t)MCTX_INTERRUPTIBLE) != 0)
    return MCTX__FAIL(&call, MCTX_ERR_RESERVED, .field = "flags", .value = flags);
  for (uint32_t i = 0; i < count; i++)
    write_ready(&all, i, 0);
  status = mctx__enter(&call, MCTX_HANDLE_CONTEXT, &all.context);
  if (status != MCTX_OK) return status;
  status = run_several(&all, flags, timeout_ns, ready_count);
  mctx__unpin(all.context);
  return status;
}

/* ---- the native handle ---- */

static mctx_status native_of(const mctx__call *call, mctx__object *object, mctx_os_handle *native) {
  mctx__poller poller;
  mctx__result result;
  switch (object->class->kind) {
    case MCTX_HANDLE_PUBLICATION:
      *native = mctx__socket_native(mctx__publication_socket((mctx__publication *)object));
      return MCTX_OK;
    case MCTX_HANDLE_SUBSCRIPTION:
      mctx__subscription_expose((mctx__subscription *)object);
      *native = mctx__poller_native(((mctx__subscription *)object)->poller);
      return MCTX_OK;
    case MCTX_HANDLE_CONTEXT:
      result = mctx__context_poller((mctx__context *)object, &poller);
      if (result.status != MCTX_OK) return MCTX__FAIL(call, result.status, .os_code = result.os_code);
      *native = mctx__poller_native(poller);
      return MCTX_OK;
    default:
      return MCTX__FAIL(call, MCTX_ERR_UNSUPPORTED, .field = "handle",
                        .hint =
                            "publications, subscriptions and contexts have a native handle; interface lists "
                            "have none");
  }
}

mctx_status mctx_pollable(mctx_handle handle, mctx_os_handle *native, mctx_error *error) {
  const mctx__call call = {__func__, handle, error};
  mctx__object *object;
  if (native != NULL) *native = (mctx_os_handle){0};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (native == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "native");
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return status;
  status = native_of(&call, object, native);
  mctx__unpin(object);
  return status;
}

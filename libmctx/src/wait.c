/* SPDX-License-Identifier: MIT */
#include "wait.h"

#include "publication.h"

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

/* Waits on a publication's socket; errors of earlier datagrams that end the wait are taken off it. */
static mctx__result wait_socket(mctx__object *object, uint32_t events, uint32_t flags, int64_t deadline_ns,
                                uint32_t *ready) {
  mctx__publication *publication =
      object->class->kind == MCTX_HANDLE_PUBLICATION ? (mctx__publication *)object : NULL;
  for (;;) {
    mctx__socket socket = publication != NULL ? mctx__publication_socket(publication) : MCTX__NO_SOCKET;
    mctx__result result = mctx__object_wait(object, socket, events, flags, deadline_ns, ready);
    bool failed = (*ready & MCTX__WAIT_FAILED) != 0;
    *ready &= ~MCTX__WAIT_FAILED;
    if (failed && publication != NULL) mctx__publication_drain(publication);
    if (result.status != MCTX_OK || *ready != 0 || !failed) return result;
  }
}

mctx_status mctx_wait(mctx_handle handle, uint32_t events, uint32_t flags, int64_t timeout_ns, uint32_t *ready,
                      mctx_error *error) {
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

  uint32_t allowed = object->class->kind == MCTX_HANDLE_PUBLICATION ? MCTX_READABLE | MCTX_WRITABLE : 0;
  if (object->class->kind == MCTX_HANDLE_INTERFACE_LIST) {
    status = mctx__handle_failed(&call, MCTX_ERR_WRONG_HANDLE);
  } else if ((events & ~allowed) != 0) {
    status = MCTX__FAIL(
        &call, MCTX_ERR_INVALID_ARGUMENT, .field = "events", .value = events, .limit = allowed,
        .hint = "a publication is readable or writable; a context has no events: wait with 0, for a wake");
  } else {
    mctx__result result = wait_socket(object, events, flags, mctx__deadline(timeout_ns), &found);
    if (result.status == MCTX_ERR_TIMEOUT && timeout_ns == 0) result.status = MCTX_ERR_WOULD_BLOCK;
    if (result.status == MCTX_ERR_CLOSED)
      status = mctx__handle_failed(&call, MCTX_ERR_CLOSED);
    else if (result.status != MCTX_OK)
      status = MCTX__FAIL(&call, result.status, .os_code = result.os_code);
    else
      *ready = found;
  }
  mctx__unpin(object);
  return status;
}

mctx_status mctx_pollable(mctx_handle handle, mctx_os_handle *native, mctx_error *error) {
  const mctx__call call = {__func__, handle, error};
  mctx__object *object;
  if (native != NULL) *native = (mctx_os_handle){0};
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (native == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "native");
  mctx_status status = mctx__enter(&call, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return status;
  if (object->class->kind == MCTX_HANDLE_PUBLICATION)
    *native = mctx__socket_native(mctx__publication_socket((mctx__publication *)object));
  else
    status = MCTX__FAIL(&call, MCTX_ERR_UNSUPPORTED, .field = "handle",
                        .hint = "publications have a native handle; contexts and interface lists have none");
  mctx__unpin(object);
  return status;
}

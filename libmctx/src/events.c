/* SPDX-License-Identifier: MIT */
#include "events.h"

#include "context.h"
#include "options.h"
#include "publication.h"
#include "subscription.h"

void mctx__events_add(mctx__events *events, const mctx_event *event) {
  if (events->count == MCTX__EVENTS_KEPT) {
    events->first = (events->first + 1) % MCTX__EVENTS_KEPT;
    events->count--;
    events->lost++;
  }
  events->ring[(events->first + events->count) % MCTX__EVENTS_KEPT] = *event;
  events->count++;
}

bool mctx__events_take(mctx__events *events, mctx_event *event) {
  if (events->count == 0) return false;
  *event = events->ring[events->first];
  if (events->lost > 0) {
    *event = (mctx_event){
        .type = MCTX_EVENT_OVERFLOW, .handle = event->handle, .time_ns = event->time_ns, .value = events->lost};
    events->lost = 0;
    return true;
  }
  events->first = (events->first + 1) % MCTX__EVENTS_KEPT;
  events->count--;
  return true;
}

/* Where the events go that a call takes. */
typedef struct taking {
  mctx_event *events;
  uint32_t stride;
  uint32_t capacity;
  uint32_t count;
} taking;

static void take_of_publication(mctx__publication *publication, void *argument) {
  taking *taken = argument;
  mctx_event event;
  mctx__mutex_lock(&publication->mutex);
  while (taken->count < taken->capacity && mctx__events_take(&publication->events, &event))
    mctx__element_write(taken->events, taken->stride, taken->count++, &event, sizeof event);
  mctx__mutex_unlock(&publication->mutex);
}

static void take_of_subscription(mctx__subscription *subscription, taking *taken) {
  mctx_event event;
  (void)mctx__subscription_follow(subscription);
  mctx__subscription_lock(subscription);
  while (taken->count < taken->capacity && mctx__events_take(&subscription->events, &event)) {
    event.handle = subscription->object.handle; /* none was known to what happened while it was opened */
    mctx__element_write(taken->events, taken->stride, taken->count++, &event, sizeof event);
  }
  mctx__subscription_unlock(subscription);
}

/* Those of the publications, then those of the subscriptions, one by one: following the interfaces takes a
 * while, and the context is not kept from others meanwhile. */
static void take_all(mctx__context *context, taking *taken) {
  uint64_t serial = 0;
  mctx__context_each(context, UINT32_MAX, NULL, take_of_publication, taken);
  for (;;) {
    mctx__subscription *subscription = mctx__context_pin_after(context, serial);
    if (subscription == NULL) return;
    serial = subscription->serial;
    take_of_subscription(subscription, taken);
    mctx__unpin(&subscription->object);
  }
}

mctx_status mctx_events(mctx_handle handle, mctx_event *events, uint32_t stride, uint32_t capacity,
                        uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, handle, error};
  mctx__object *object;
  taking taken = {events, stride, capacity, 0};
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "count");
  mctx_status status = mctx__array_check(&call, events, stride, capacity, "events");
  if (status != MCTX_OK) return status;
  status = mctx__enter(&call, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return status;
  if (object->class->kind == MCTX_HANDLE_PUBLICATION)
    take_of_publication((mctx__publication *)object, &taken);
  else if (object->class->kind == MCTX_HANDLE_SUBSCRIPTION)
    take_of_subscription((mctx__subscription *)object, &taken);
  else if (object->class->kind == MCTX_HANDLE_CONTEXT)
    take_all((mctx__context *)object, &taken);
  else
    status = mctx__handle_failed(&call, MCTX_ERR_WRONG_HANDLE);
  *count = taken.count;
  mctx__unpin(object);
  return status;
}

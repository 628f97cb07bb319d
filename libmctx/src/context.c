/* SPDX-License-Identifier: MIT */
#include "context.h"

#include <string.h>

#include "options.h"
#include "pause.h"
#include "publication.h"
#include "subscription.h"

/* ---- publications ---- */

static bool find_same(const mctx__context *context, const mctx__publication *publication) {
  for (uint32_t i = 0; i < context->count; i++)
    if (context->children[i].key == publication->config.key &&
        mctx__config_same(&context->children[i].publication->config, &publication->config))
      return true;
  return false;
}

static bool make_room(mctx__context *context) {
  if (context->count < context->capacity) return true;
  uint32_t capacity = context->capacity == 0 ? 8 : context->capacity * 2;
  mctx__child *children = mctx__allocate(capacity * sizeof *children);
  if (children == NULL) return false;
  if (context->count > 0) memcpy(children, context->children, context->count * sizeof *children);
  mctx__release(context->children);
  context->children = children;
  context->capacity = capacity;
  return true;
}

mctx_status mctx__context_attach(const mctx__call *call, mctx__context *context,
                                 mctx__publication *publication) {
  mctx_status status = MCTX_OK;
  mctx__mutex_lock(&context->mutex);
  if ((publication->config.flags & MCTX_PUBLICATION_DUPLICATE) == 0 && find_same(context, publication))
    status = MCTX_ERR_PUBLICATION_EXISTS;
  else if (!make_room(context) || !mctx__scratch_open(&context->scratch))
    status = MCTX_ERR_NO_MEMORY;
  else
    context->children[context->count++] = (mctx__child){publication->config.key, publication};
  mctx__mutex_unlock(&context->mutex);

  if (status == MCTX_ERR_PUBLICATION_EXISTS)
    return MCTX__FAIL(call, status, .field = "options",
                      .hint =
                          "send on the publication that is there, close it first, or allow a duplicate "
                          "(MCTX_PUBLICATION_DUPLICATE, in Python allow_duplicate) for a second socket, "
                          "one for each thread for example");
  if (status != MCTX_OK) return MCTX__FAIL(call, status);
  return MCTX_OK;
}

mctx_handle mctx__context_publish(mctx__context *context, mctx__publication *publication) {
  mctx__mutex_lock(&context->mutex);
  context->added++;
  mctx_handle handle = mctx__object_publish(&publication->object);
  mctx__mutex_unlock(&context->mutex);
  return handle;
}

void mctx__context_detach(mctx__context *context, mctx__publication *publication) {
  mctx__mutex_lock(&context->mutex);
  uint32_t at = 0;
  while (context->children[at].publication != publication)
    at++;
  context->count--;
  context->leaving++;
  memmove(&context->children[at], &context->children[at + 1],
          (context->count - at) * sizeof *context->children);
  if (publication->object.handle != 0) context->removed++;
  mctx__counters_add(context->closed, &publication->counters);
  mctx__mutex_unlock(&context->mutex);
}

void mctx__context_left(mctx__context *context) {
  mctx__mutex_lock(&context->mutex);
  context->leaving--;
  mctx__mutex_unlock(&context->mutex);
}

bool mctx__context_each(mctx__context *context, uint32_t most, uint32_t *count, mctx__visitor *visit,
                        void *argument) {
  uint32_t published = 0;
  mctx__mutex_lock(&context->mutex);
  for (uint32_t i = 0; i < context->count; i++)
    published += context->children[i].publication->object.handle != 0;
  for (uint32_t i = 0; i < context->count && published <= most; i++)
    if (context->children[i].publication->object.handle != 0) visit(context->children[i].publication, argument);
  mctx__mutex_unlock(&context->mutex);
  if (count != NULL) *count = published;
  return published <= most;
}

void mctx__context_totals(mctx__context *context, uint64_t *sums, uint64_t *added, uint64_t *removed) {
  mctx__mutex_lock(&context->mutex);
  *added = context->added;
  *removed = context->removed;
  memcpy(sums, context->closed, sizeof context->closed);
  for (uint32_t i = 0; i < context->count; i++)
    mctx__counters_add(sums, &context->children[i].publication->counters);
  mctx__mutex_unlock(&context->mutex);
}

/* ---- subscriptions ---- */

static mctx__poller poller_of(mctx__context *context) {
  return (mctx__poller){atomic_load(&context->poller)};
}

/* Makes a subscription's state part of the context's. With the context locked. */
static mctx__result join_poller(mctx__context *context, mctx__subscription *subscription) {
  mctx__poller poller = poller_of(context);
  if (poller.value == MCTX__NO_POLLER.value) return MCTX__DONE;
  mctx__subscription_expose(subscription);
  return mctx__poller_add(poller, mctx__poller_member(subscription->poller), 0);
}

mctx_status mctx__context_add(const mctx__call *call, mctx__context *context, mctx__subscription *subscription,
                              mctx_subscription *handle) {
  mctx__mutex_lock(&context->mutex);
  mctx__result result = join_poller(context, subscription);
  if (result.status == MCTX_OK) {
    subscription->previous = context->last;
    *(context->last != NULL ? &context->last->next : &context->first) = subscription;
    context->last = subscription;
    subscription->serial = ++context->subscriptions_added;
    *handle = mctx__object_publish(&subscription->object);
  }
  mctx__mutex_unlock(&context->mutex);
  if (result.status == MCTX_OK) return MCTX_OK;
  return MCTX__FAIL(call, result.status, .os_code = result.os_code);
}

void mctx__context_remove(mctx__context *context, mctx__subscription *subscription) {
  mctx__mutex_lock(&context->mutex);
  mctx__poller poller = poller_of(context);
  if (poller.value != MCTX__NO_POLLER.value)
    mctx__poller_remove(poller, mctx__poller_member(subscription->poller));
  *(subscription->previous != NULL ? &subscription->previous->next : &context->first) = subscription->next;
  *(subscription->next != NULL ? &subscription->next->previous : &context->last) = subscription->previous;
  context->leaving++;
  context->subscriptions_removed++;
  mctx__subscription_lock(subscription);
  mctx__receive_counters_add(&context->received, &subscription->counters);
  mctx__subscription_unlock(subscription);
  mctx__mutex_unlock(&context->mutex);
}

mctx__subscription *mctx__context_pin_after(mctx__context *context, uint64_t serial) {
  mctx__object *pinned = NULL;
  mctx__mutex_lock(&context->mutex);
  for (mctx__subscription *at = context->first; at != NULL && pinned == NULL; at = at->next) {
    if (at->serial <= serial) continue;
    /* One that is being closed is passed over. */
    if (mctx__pin(at->object.handle, MCTX_HANDLE_SUBSCRIPTION, &pinned) != MCTX_OK) pinned = NULL;
  }
  mctx__mutex_unlock(&context->mutex);
  return (mctx__subscription *)pinned;
}

void mctx__context_each_subscription(mctx__context *context, mctx__subscription_visitor *visit,
                                     void *argument) {
  mctx__mutex_lock(&context->mutex);
  for (mctx__subscription *at = context->first; at != NULL; at = at->next)
    visit(at, argument);
  mctx__mutex_unlock(&context->mutex);
}

void mctx__context_received(mctx__context *context, mctx__receive_counters *sum, uint64_t *added,
                            uint64_t *removed) {
  mctx__mutex_lock(&context->mutex);
  *added = context->subscriptions_added;
  *removed = context->subscriptions_removed;
  mctx__receive_counters_add(sum, &context->received);
  for (mctx__subscription *at = context->first; at != NULL; at = at->next) {
    mctx__subscription_lock(at);
    mctx__receive_counters_add(sum, &at->counters);
    mctx__subscription_unlock(at);
  }
  mctx__mutex_unlock(&context->mutex);
}

mctx__result mctx__context_poller(mctx__context *context, mctx__poller *poller) {
  mctx__result result = MCTX__DONE;
  mctx__mutex_lock(&context->mutex);
  *poller = poller_of(context);
  if (poller->value != MCTX__NO_POLLER.value) goto unlock;
  result = mctx__poller_open(poller);
  if (result.status != MCTX_OK) goto unlock;
  atomic_store(&context->poller, poller->value);
  for (mctx__subscription *at = context->first; at != NULL && result.status == MCTX_OK; at = at->next)
    result = join_poller(context, at);
  if (result.status != MCTX_OK) {
    atomic_store(&context->poller, MCTX__NO_POLLER.value);
    mctx__poller_close(*poller);
  }
unlock:
  mctx__mutex_unlock(&context->mutex);
  return result;
}

/* ---- the object ---- */

/* Whether all that it owned is gone, and the last child, or 0. Nobody opens one any more: the context is
 * claimed. */
static bool is_empty(mctx__context *context, mctx_handle *last) {
  mctx__mutex_lock(&context->mutex);
  *last = context->count > 0 ? context->children[context->count - 1].publication->object.handle : 0;
  if (context->last != NULL) *last = context->last->object.handle;
  bool empty = context->count == 0 && context->last == NULL && context->leaving == 0;
  mctx__mutex_unlock(&context->mutex);
  return empty;
}

static void destroy_context(mctx__object *object) {
  mctx__context *context = (mctx__context *)object;
  mctx_handle last;
  for (uint32_t round = 0; !is_empty(context, &last); round++) {
    mctx__object *child;
    if (last != 0 && mctx__object_claim(last, MCTX_HANDLE_NONE, &child) == MCTX_OK)
      child->class->destroy(child);
    else
      mctx__pause(round); /* another thread is closing it */
  }
  mctx__poller poller = {atomic_exchange(&context->poller, MCTX__NO_POLLER.value)};
  if (poller.value != MCTX__NO_POLLER.value) mctx__poller_close(poller);
  mctx__object_retire(object);
  mctx__mutex_destroy(&context->mutex);
  mctx__scratch_close(&context->scratch);
  mctx__release(context->children);
  mctx__release(context);
}

/* Its children are abandoned each by itself. */
static void abandon_context(mctx__object *object) {
  mctx__context *context = (mctx__context *)object;
  mctx__poller poller = {atomic_exchange(&context->poller, MCTX__NO_POLLER.value)};
  if (poller.value != MCTX__NO_POLLER.value) mctx__poller_abandon(poller);
}

static const mctx__class context_class = {MCTX_HANDLE_CONTEXT, destroy_context, abandon_context};

void mctx_context_options_init(mctx_context_options *options, uint32_t size) {
  static const mctx_context_options defaults;
  mctx__struct_init(options, size, &defaults, sizeof defaults);
}

mctx_status mctx_context_open(const mctx_context_options *options, mctx_context *context, mctx_error *error) {
  const mctx__call call = {__func__, 0, error};
  mctx_context_options own = {0};
  if (context != NULL) *context = 0;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  if (context == NULL) return MCTX__FAIL(&call, MCTX_ERR_NULL_ARGUMENT, .field = "context");
  mctx_status status = MCTX_OK;
  if (options != NULL) status = mctx__struct_read(&call, options, &own, sizeof own, "options");
  if (status != MCTX_OK) return status;
  if (own.flags != 0) return MCTX__FAIL(&call, MCTX_ERR_RESERVED, .field = "flags", .value = own.flags);

  mctx__context *object = mctx__allocate(sizeof *object);
  if (object == NULL) return MCTX__FAIL(&call, MCTX_ERR_NO_MEMORY, .value = sizeof *object);
  status = mctx__object_reserve(&call, &object->object, &context_class);
  if (status != MCTX_OK) {
    mctx__release(object);
    return status;
  }
  mctx__mutex_init(&object->mutex);
  atomic_init(&object->poller, MCTX__NO_POLLER.value);
  *context = mctx__object_publish(&object->object);
  return MCTX_OK;
}

/* Where the handles go that a call lists. */
typedef struct listing {
  mctx_handle *handles;
  uint32_t capacity;
  uint32_t count;
} listing;

static void list_one(listing *list, mctx_handle handle) {
  if (list->count < list->capacity) list->handles[list->count] = handle;
  list->count++;
}

static void list_publication(mctx__publication *publication, void *argument) {
  list_one(argument, publication->object.handle);
}

static void list_subscription(mctx__subscription *subscription, void *argument) {
  list_one(argument, subscription->object.handle);
}

static void list_publications(mctx__context *context, listing *list) {
  mctx__context_each(context, UINT32_MAX, NULL, list_publication, list);
}

static void list_subscriptions(mctx__context *context, listing *list) {
  mctx__context_each_subscription(context, list_subscription, list);
}

/* A call that lists children; `field` is the argument that they go to. */
static mctx_status list_children(const mctx__call *call, listing list, const char *field, uint32_t *count,
                                 void (*list_all)(mctx__context *context, listing *list)) {
  mctx__object *object;
  if (count != NULL) *count = 0;
  if (!mctx__error_usable(call->error)) return MCTX_ERR_STRUCT_SIZE;
  if (count == NULL) return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = "count");
  if (list.handles == NULL && list.capacity > 0)
    return MCTX__FAIL(call, MCTX_ERR_NULL_ARGUMENT, .field = field);
  mctx_status status = mctx__enter(call, MCTX_HANDLE_CONTEXT, &object);
  if (status != MCTX_OK) return status;
  list_all((mctx__context *)object, &list);
  *count = list.count;
  mctx__unpin(object);
  return MCTX_OK;
}

mctx_status mctx_context_publications(mctx_context context, mctx_publication *publications, uint32_t capacity,
                                      uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, context, error};
  const listing list = {publications, capacity, 0};
  return list_children(&call, list, "publications", count, list_publications);
}

mctx_status mctx_context_subscriptions(mctx_context context, mctx_subscription *subscriptions,
                                       uint32_t capacity, uint32_t *count, mctx_error *error) {
  const mctx__call call = {__func__, context, error};
  const listing list = {subscriptions, capacity, 0};
  return list_children(&call, list, "subscriptions", count, list_subscriptions);
}

mctx_status mctx_close(mctx_handle handle, mctx_error *error) {
  const mctx__call call = {__func__, handle, error};
  mctx__object *object;
  if (!mctx__error_usable(error)) return MCTX_ERR_STRUCT_SIZE;
  mctx_status status = mctx__object_claim(handle, MCTX_HANDLE_NONE, &object);
  if (status != MCTX_OK) return mctx__handle_failed(&call, status);
  object->class->destroy(object);
  return MCTX_OK;
}

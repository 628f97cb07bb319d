/* SPDX-License-Identifier: MIT */
#include "handle.h"

#include <stddef.h>

#include "owner.h"
#include "pause.h"
#include "wait.h"

/* The word of a slot, see handle.h. */
#define PINS             UINT64_C(0xffffffff)
#define LIVE             ((uint64_t)MCTX__LIVE << MCTX__STATE_SHIFT)
#define CLOSING          (UINT64_C(1) << 33)
#define FORKED           (UINT64_C(1) << 34) /* belongs to the parent of this process; never used again */
#define STATE            (LIVE | CLOSING | FORKED)
#define GENERATION_SHIFT 36

#define NO_SLOT UINT32_MAX

static _Atomic uint32_t never_wiped = 1;

_Atomic(mctx__slot *) mctx__chunks[MCTX__CHUNKS];
_Atomic(_Atomic uint32_t *) mctx__fork_word = &never_wiped;

/* Who gets which slot. A spin lock guards it because a forked child must be able to reset it. */
static struct {
  atomic_flag lock;
  uint32_t used;       /* slots ever given out */
  uint32_t first_free; /* a queue, so that a slot rests as long as possible */
  uint32_t last_free;
  bool fork_watched;
} table = {.lock = ATOMIC_FLAG_INIT, .first_free = NO_SLOT, .last_free = NO_SLOT};

static void lock_table(void) {
  mctx__spin_lock(&table.lock);
}

static void unlock_table(void) {
  mctx__spin_unlock(&table.lock);
}

/* ---- fork ---- */

/* In the child: every object of the parent is closed here, its descriptors too, its registrations stay. Pins
 * are kept: a signal handler that forked may return into a call that is inside. */
static void abandon_all(void) {
  for (uint32_t i = 0; i < MCTX__CHUNKS; i++) {
    mctx__slot *chunk = atomic_load_explicit(&mctx__chunks[i], memory_order_relaxed);
    for (uint32_t k = 0; chunk != NULL && k < MCTX__CHUNK_SLOTS; k++) {
      uint64_t word = atomic_load_explicit(&chunk[k].word, memory_order_relaxed);
      if ((word & LIVE) == 0) {
        /* Whoever is looking may not be in the child to take its pin off: nobody is to wait for that. */
        if ((word & PINS) != 0) atomic_store(&chunk[k].word, word | FORKED);
        continue;
      }
      mctx__object *object = chunk[k].object;
      atomic_store(&chunk[k].word, (word & ~STATE) | FORKED);
      atomic_store(&chunk[k].owned, 0);
      int64_t event = atomic_exchange(&object->event, -1);
      if (event >= 0) mctx__event_abandon((mctx__event){event});
      object->class->abandon(object);
    }
  }
  unlock_table();
}

static void child_of_fork(void) {
  abandon_all();
  atomic_store(atomic_load(&mctx__fork_word), 1);
}

/* A child that libc knows nothing about finds the word wiped. Of its threads the first one cleans up. */
void mctx__notice_fork(void) {
  _Atomic uint32_t *word = atomic_load(&mctx__fork_word);
  uint32_t wiped = 0;
  if (atomic_compare_exchange_strong(word, &wiped, 2)) {
    abandon_all();
    atomic_store(word, 1);
  }
  for (uint32_t round = 0; atomic_load(word) == 2; round++)
    mctx__pause(round);
}

/* ---- slots ---- */

/* Before the table is locked: a child that is forked from here on finds the word wiped, and unlocks the table,
 * even if no hook was there yet to keep it unlocked. */
static void find_fork_word(void) {
  if (atomic_load(&mctx__fork_word) != &never_wiped) return;
  _Atomic uint32_t *page = mctx__fork_page();
  if (page != NULL) atomic_store(&mctx__fork_word, page);
}

/* With the table locked. */
static mctx_status watch_fork(void) {
  static const mctx__fork_hooks hooks = {lock_table, unlock_table, child_of_fork};
  if (table.fork_watched) return MCTX_OK;
  mctx_status status = mctx__fork_watch(&hooks).status;
  table.fork_watched = status == MCTX_OK;
  return status;
}

/* With the table locked. */
static bool make_chunk(void) {
  mctx__slot *chunk = mctx__allocate(MCTX__CHUNK_SLOTS * sizeof *chunk);
  if (chunk == NULL) return false;
  for (uint32_t k = 0; k < MCTX__CHUNK_SLOTS; k++) {
    atomic_init(&chunk[k].word, UINT64_C(1) << GENERATION_SHIFT);
    atomic_init(&chunk[k].seat, &mctx__no_seat);
    chunk[k].index = table.used + k;
  }
  atomic_store_explicit(&mctx__chunks[table.used >> MCTX__CHUNK_BITS], chunk, memory_order_release);
  return true;
}

/* With the table locked. */
static mctx_status next_slot(mctx__slot **slot) {
  if (table.first_free != NO_SLOT) {
    *slot = mctx__slot_of(table.first_free);
    table.first_free = (*slot)->next_free;
    if (table.first_free == NO_SLOT) table.last_free = NO_SLOT;
    return MCTX_OK;
  }
  if (table.used == MCTX__SLOTS) return MCTX_ERR_TOO_MANY_HANDLES;
  if (mctx__slot_of(table.used) == NULL && !make_chunk()) return MCTX_ERR_NO_MEMORY;
  *slot = mctx__slot_of(table.used++);
  return MCTX_OK;
}

/* With the table locked. */
static mctx_status take_slot(mctx__slot **slot) {
  mctx_status status;
  do {
    status = next_slot(slot);
  } while (status == MCTX_OK && (atomic_load(&(*slot)->word) & FORKED) != 0);
  return status;
}

/* With the table locked. */
static void give_slot(mctx__slot *slot) {
  slot->next_free = NO_SLOT;
  if (table.last_free == NO_SLOT)
    table.first_free = slot->index;
  else
    mctx__slot_of(table.last_free)->next_free = slot->index;
  table.last_free = slot->index;
}

mctx_status mctx__object_reserve(const mctx__call *call, mctx__object *object, const mctx__class *class) {
  find_fork_word();
  mctx__check_fork();
  lock_table();
  mctx_status status = watch_fork();
  if (status == MCTX_OK) status = take_slot(&object->slot);
  unlock_table();
  if (status != MCTX_OK) return MCTX__FAIL(call, status, .limit = MCTX__SLOTS);

  object->class = class;
  object->handle = 0;
  atomic_init(&object->woken, 0);
  atomic_init(&object->event, MCTX__NO_EVENT.value);
  return MCTX_OK;
}

mctx_handle mctx__object_publish(mctx__object *object) {
  mctx__slot *slot = object->slot;
  uint64_t generation = atomic_load(&slot->word) >> GENERATION_SHIFT;
  object->handle =
      (uint64_t)object->class->kind << MCTX__KIND_SHIFT | generation << MCTX__INDEX_BITS | slot->index;
  slot->object = object;
  atomic_fetch_or_explicit(&slot->word, LIVE, memory_order_release);
  return object->handle;
}

void mctx__object_cancel(mctx__object *object) {
  lock_table();
  give_slot(object->slot);
  unlock_table();
}

void mctx__object_retire(mctx__object *object) {
  mctx__slot *slot = object->slot;
  uint64_t generation = atomic_load(&slot->word) >> GENERATION_SHIFT;
  uint64_t next = (generation + 1) << GENERATION_SHIFT;

  /* Calls with stale handles pin for a moment: their pins are kept. */
  lock_table();
  uint64_t word = atomic_load(&slot->word);
  while (!atomic_compare_exchange_weak(&slot->word, &word, next | (word & PINS))) {
  }
  if (generation + 1 < MCTX__LAST_GENERATION) give_slot(slot);
  unlock_table();
}

/* ---- calls ---- */

static bool is_kind(uint32_t kind) {
  return kind >= MCTX_HANDLE_CONTEXT && kind <= MCTX_HANDLE_INTERFACE_LIST;
}

/* Why a handle does not lead to an open object of the kind (MCTX_HANDLE_NONE: of any kind). */
static mctx_status refusal_of(mctx_handle handle, uint32_t kind) {
  mctx__slot *slot = mctx__slot_of(handle);
  uint64_t generation = handle >> MCTX__INDEX_BITS & MCTX__LAST_GENERATION;
  if (!is_kind(mctx__handle_kind(handle)) || generation == 0 || slot == NULL) return MCTX_ERR_INVALID_HANDLE;
  if (kind != MCTX_HANDLE_NONE && mctx__handle_kind(handle) != kind) return MCTX_ERR_WRONG_HANDLE;

  uint64_t word = atomic_load(&slot->word);
  if (generation != word >> GENERATION_SHIFT)
    return generation < word >> GENERATION_SHIFT ? MCTX_ERR_CLOSED : MCTX_ERR_INVALID_HANDLE;
  if ((word & FORKED) != 0) return MCTX_ERR_FORKED;
  return (word & CLOSING) != 0 ? MCTX_ERR_CLOSED : MCTX_ERR_INVALID_HANDLE;
}

mctx_status mctx__pin(mctx_handle handle, uint32_t kind, mctx__object **object) {
  if (kind == MCTX_HANDLE_NONE || mctx__handle_kind(handle) == kind) {
    *object = mctx__pin_live(handle);
    if (*object != NULL) return MCTX_OK;
  }
  return refusal_of(handle, kind);
}

const char *mctx__handle_hint(mctx_status refusal) {
  switch (refusal) {
    case MCTX_ERR_INVALID_HANDLE:
      return "pass a handle that an open call of this library returned";
    case MCTX_ERR_WRONG_HANDLE:
      return "the handle is valid elsewhere: contexts, publications, subscriptions and interface lists are "
             "not interchangeable";
    case MCTX_ERR_CLOSED:
      return "open a new one; a context that is closed closes its publications and subscriptions too";
    case MCTX_ERR_FORKED:
      return "a forked child cannot use its parent's objects: open new ones in the child";
    default:
      return "";
  }
}

/* What a handle that is no longer open stood for: its kind can still be read off it. */
const char *mctx__handle_message(mctx_handle handle, mctx_status refusal) {
  bool forked = refusal == MCTX_ERR_FORKED;
  if (!forked && refusal != MCTX_ERR_CLOSED) return NULL;
  switch (mctx__handle_kind(handle)) {
    case MCTX_HANDLE_CONTEXT:
      return forked ? "the context belongs to the process that this one was forked from"
                    : "the context is closed";
    case MCTX_HANDLE_PUBLICATION:
      return forked ? "the publication belongs to the process that this one was forked from"
                    : "the publication is closed";
    case MCTX_HANDLE_SUBSCRIPTION:
      return forked ? "the subscription belongs to the process that this one was forked from"
                    : "the subscription is closed";
    default:
      return NULL;
  }
}

mctx_status mctx__handle_failed(const mctx__call *call, mctx_status refusal) {
  return MCTX__FAIL(call, refusal, .field = "handle", .message = mctx__handle_message(call->handle, refusal),
                    .hint = mctx__handle_hint(refusal));
}

mctx_status mctx__enter_failed(const mctx__call *call, uint32_t kind) {
  return mctx__handle_failed(call, refusal_of(call->handle, kind));
}

mctx_status mctx__enter(const mctx__call *call, uint32_t kind, mctx__object **object) {
  mctx_status status = mctx__pin(call->handle, kind, object);
  return status == MCTX_OK ? MCTX_OK : mctx__handle_failed(call, status);
}

bool mctx__object_closing(const mctx__object *object) {
  return (atomic_load(&object->slot->word) & (CLOSING | FORKED)) != 0;
}

/* ---- closing ---- */

/* Calls inside end soon: none blocks but in a wait, and the waiters are awake. */
static void await_pins(mctx__object *object) {
  mctx__slot *slot = object->slot;
  for (uint32_t round = 0; (atomic_load_explicit(&slot->word, memory_order_acquire) & PINS) != 0; round++) {
    mctx__object_wake_all(object);
    mctx__pause(round);
  }
}

mctx_status mctx__object_claim(mctx_handle handle, uint32_t kind, mctx__object **object) {
  mctx__object *found;
  mctx_status status = mctx__pin(handle, kind, &found);
  if (status != MCTX_OK) return status;
  uint64_t before = atomic_fetch_or(&found->slot->word, CLOSING);
  mctx__unpin(found);
  if ((before & CLOSING) != 0) return MCTX_ERR_CLOSED;

  mctx__end_owning(found->slot);
  await_pins(found);
  int64_t event = atomic_exchange(&found->event, MCTX__NO_EVENT.value);
  if (event != MCTX__NO_EVENT.value) mctx__event_close((mctx__event){event});
  *object = found;
  return MCTX_OK;
}

/* SPDX-License-Identifier: MIT */
#include "handle.h"

#include <stddef.h>

#include "wait.h"

enum {
  INDEX_BITS = 20,
  GENERATION_BITS = 28,
  KIND_SHIFT = INDEX_BITS + GENERATION_BITS,
  HANDLE_BITS = KIND_SHIFT + 4,
  CHUNK_BITS = 10,
  CHUNK_SLOTS = 1 << CHUNK_BITS,
  CHUNKS = 1 << (INDEX_BITS - CHUNK_BITS),
  SLOTS = 1 << INDEX_BITS
};

#define GENERATION_SHIFT 36
#define LAST_GENERATION  ((1u << GENERATION_BITS) - 1)
#define PIN              UINT64_C(1)
#define PINS             UINT64_C(0xffffffff)
#define LIVE             (UINT64_C(1) << 32)
#define CLOSING          (UINT64_C(1) << 33)
#define FORKED           (UINT64_C(1) << 34) /* belongs to the parent of this process; never used again */
#define STATE            (LIVE | CLOSING | FORKED)

#define NO_SLOT UINT32_MAX

/* The table. Everything but the chunks is guarded by `lock`, a spin lock because a forked child must be able to
 * reset it. */
static struct {
  _Atomic(mctx__slot *) chunks[CHUNKS];
  atomic_flag lock;
  uint32_t used;       /* slots ever given out */
  uint32_t first_free; /* a queue, so that a slot rests as long as possible */
  uint32_t last_free;
  bool fork_watched;
  _Atomic(_Atomic uint32_t *) fork_page;
} table = {.lock = ATOMIC_FLAG_INIT, .first_free = NO_SLOT, .last_free = NO_SLOT};

static void lock_table(void) {
  while (atomic_flag_test_and_set_explicit(&table.lock, memory_order_acquire))
    mctx__yield();
}

static void unlock_table(void) {
  atomic_flag_clear_explicit(&table.lock, memory_order_release);
}

static mctx__slot *slot_at(uint32_t index) {
  mctx__slot *chunk = atomic_load_explicit(&table.chunks[index >> CHUNK_BITS], memory_order_acquire);
  return chunk != NULL ? &chunk[index & (CHUNK_SLOTS - 1)] : NULL;
}

/* ---- fork ---- */

/* In the child: every object of the parent is closed here, its descriptors too, its registrations stay. */
static void abandon_all(void) {
  for (uint32_t i = 0; i < CHUNKS; i++) {
    mctx__slot *chunk = atomic_load_explicit(&table.chunks[i], memory_order_relaxed);
    for (uint32_t k = 0; chunk != NULL && k < CHUNK_SLOTS; k++) {
      uint64_t word = atomic_load_explicit(&chunk[k].word, memory_order_relaxed);
      if ((word & LIVE) == 0) continue;
      mctx__object *object = chunk[k].object;
      atomic_store(&chunk[k].word, (word & ~(STATE | PINS)) | FORKED);
      int64_t event = atomic_exchange(&object->event, -1);
      if (event >= 0) mctx__event_abandon((mctx__event){event});
      object->class->abandon(object);
    }
  }
  unlock_table();
}

static void child_of_fork(void) {
  _Atomic uint32_t *page = atomic_load(&table.fork_page);
  abandon_all();
  if (page != NULL) atomic_store(page, 1);
}

/* A child that libc knows nothing about finds the page wiped. Of its threads the first one cleans up. */
static void notice_fork(_Atomic uint32_t *page) {
  uint32_t wiped = 0;
  if (atomic_compare_exchange_strong(page, &wiped, 2)) {
    abandon_all();
    atomic_store(page, 1);
  }
  while (atomic_load(page) == 2)
    mctx__yield();
}

static void check_fork(void) {
  _Atomic uint32_t *page = atomic_load_explicit(&table.fork_page, memory_order_relaxed);
  if (page != NULL && atomic_load_explicit(page, memory_order_relaxed) != 1) notice_fork(page);
}

/* ---- slots ---- */

/* With the table locked. */
static mctx_status watch_fork(void) {
  static const mctx__fork_hooks hooks = {lock_table, unlock_table, child_of_fork};
  if (table.fork_watched) return MCTX_OK;
  mctx_status status = mctx__fork_watch(&hooks).status;
  if (status != MCTX_OK) return status;
  atomic_store(&table.fork_page, mctx__fork_page());
  table.fork_watched = true;
  return MCTX_OK;
}

/* With the table locked. */
static mctx_status take_slot(uint32_t *index) {
  if (table.first_free != NO_SLOT) {
    *index = table.first_free;
    table.first_free = slot_at(*index)->next_free;
    if (table.first_free == NO_SLOT) table.last_free = NO_SLOT;
    return MCTX_OK;
  }
  if (table.used == SLOTS) return MCTX_ERR_TOO_MANY_HANDLES;
  if (slot_at(table.used) == NULL) {
    mctx__slot *chunk = mctx__allocate(CHUNK_SLOTS * sizeof *chunk);
    if (chunk == NULL) return MCTX_ERR_NO_MEMORY;
    for (uint32_t k = 0; k < CHUNK_SLOTS; k++)
      atomic_init(&chunk[k].word, UINT64_C(1) << GENERATION_SHIFT);
    atomic_store_explicit(&table.chunks[table.used >> CHUNK_BITS], chunk, memory_order_release);
  }
  *index = table.used++;
  return MCTX_OK;
}

/* With the table locked. */
static void give_slot(uint32_t index) {
  slot_at(index)->next_free = NO_SLOT;
  if (table.last_free == NO_SLOT)
    table.first_free = index;
  else
    slot_at(table.last_free)->next_free = index;
  table.last_free = index;
}

mctx_status mctx__object_reserve(const mctx__call *call, mctx__object *object, const mctx__class *class) {
  uint32_t index = 0;
  check_fork();
  lock_table();
  mctx_status status = watch_fork();
  if (status == MCTX_OK) status = take_slot(&index);
  unlock_table();
  if (status != MCTX_OK) return MCTX__FAIL(call, status, .limit = SLOTS);

  object->class = class;
  object->handle = 0;
  object->index = index;
  atomic_init(&object->woken, 0);
  atomic_init(&object->event, MCTX__NO_EVENT.value);
  return MCTX_OK;
}

mctx_handle mctx__object_publish(mctx__object *object) {
  mctx__slot *slot = slot_at(object->index);
  uint64_t generation = atomic_load(&slot->word) >> GENERATION_SHIFT;
  object->handle = (uint64_t)object->class->kind << KIND_SHIFT | generation << INDEX_BITS | object->index;
  slot->object = object;
  atomic_fetch_or_explicit(&slot->word, LIVE, memory_order_release);
  return object->handle;
}

void mctx__object_cancel(mctx__object *object) {
  lock_table();
  give_slot(object->index);
  unlock_table();
}

void mctx__object_retire(mctx__object *object) {
  uint32_t index = object->index;
  mctx__slot *slot = slot_at(index);
  uint64_t generation = atomic_load(&slot->word) >> GENERATION_SHIFT;
  uint64_t next = (generation + 1) << GENERATION_SHIFT;

  /* Calls with stale handles pin for a moment: their pins are kept. */
  lock_table();
  uint64_t word = atomic_load(&slot->word);
  while (!atomic_compare_exchange_weak(&slot->word, &word, next | (word & PINS))) {
  }
  if (generation + 1 < LAST_GENERATION) give_slot(index);
  unlock_table();
}

/* ---- calls ---- */

/* Why a handle does not lead to a live object, from the word that it met. */
static mctx_status refusal(uint64_t word, uint64_t generation) {
  uint64_t now = word >> GENERATION_SHIFT;
  if (generation == 0 || generation > now) return MCTX_ERR_INVALID_HANDLE;
  if (generation < now) return MCTX_ERR_CLOSED;
  if ((word & FORKED) != 0) return MCTX_ERR_FORKED;
  return (word & CLOSING) != 0 ? MCTX_ERR_CLOSED : MCTX_ERR_INVALID_HANDLE;
}

static uint32_t kind_of(mctx_handle handle) {
  return (uint32_t)(handle >> KIND_SHIFT);
}

static uint64_t generation_of(mctx_handle handle) {
  return handle >> INDEX_BITS & LAST_GENERATION;
}

/* The slot of a well-formed handle of the wanted kind. */
static mctx_status find_slot(mctx_handle handle, uint32_t kind, mctx__slot **slot) {
  if (kind_of(handle) != kind && kind != MCTX_HANDLE_NONE) {
    uint32_t given = kind_of(handle);
    bool known =
        given == MCTX_HANDLE_CONTEXT || given == MCTX_HANDLE_PUBLICATION || given == MCTX_HANDLE_INTERFACE_LIST;
    return known ? MCTX_ERR_WRONG_HANDLE : MCTX_ERR_INVALID_HANDLE;
  }
  if (handle >> HANDLE_BITS != 0) return MCTX_ERR_INVALID_HANDLE;
  *slot = slot_at(handle & (SLOTS - 1));
  return *slot != NULL ? MCTX_OK : MCTX_ERR_INVALID_HANDLE;
}

mctx_status mctx__pin(mctx_handle handle, uint32_t kind, mctx__object **object) {
  mctx__slot *slot;
  check_fork();
  mctx_status status = find_slot(handle, kind, &slot);
  if (status != MCTX_OK) return status;

  uint64_t word = atomic_fetch_add_explicit(&slot->word, PIN, memory_order_acquire);
  bool live = word >> GENERATION_SHIFT == generation_of(handle) && (word & STATE) == LIVE;
  if (live && slot->object->handle == handle) {
    *object = slot->object;
    return MCTX_OK;
  }
  atomic_fetch_sub_explicit(&slot->word, PIN, memory_order_release);
  return refusal(word, generation_of(handle));
}

mctx_status mctx__pin_failed(const mctx__call *call, mctx_status status) {
  const char *hint = "";
  if (status == MCTX_ERR_INVALID_HANDLE)
    hint = "pass a handle that an open call of this library returned";
  else if (status == MCTX_ERR_WRONG_HANDLE)
    hint = "the handle is valid elsewhere: contexts, publications and interface lists are not interchangeable";
  else if (status == MCTX_ERR_CLOSED)
    hint = "it was closed, or its context was; open a new one";
  else if (status == MCTX_ERR_FORKED)
    hint = "a forked child cannot use its parent's objects: open new ones in the child";
  return MCTX__FAIL(call, status, .field = "handle", .hint = hint);
}

mctx_status mctx__enter(const mctx__call *call, uint32_t kind, mctx__object **object) {
  mctx_status status = mctx__pin(call->handle, kind, object);
  return status == MCTX_OK ? MCTX_OK : mctx__pin_failed(call, status);
}

void mctx__unpin(mctx__object *object) {
  atomic_fetch_sub_explicit(&slot_at(object->index)->word, PIN, memory_order_release);
}

bool mctx__object_closing(const mctx__object *object) {
  return (atomic_load(&slot_at(object->index)->word) & CLOSING) != 0;
}

/* ---- closing ---- */

/* Calls inside end soon: none blocks but in a wait, and the waiters are awake. */
static void await_pins(mctx__object *object, mctx__slot *slot) {
  enum { SPINS = 100 };
  for (uint32_t round = 0; (atomic_load_explicit(&slot->word, memory_order_acquire) & PINS) != 0; round++) {
    mctx__object_wake_all(object);
    if (round < SPINS)
      mctx__yield();
    else
      mctx__sleep(50 * 1000);
  }
}

mctx_status mctx__object_claim(mctx_handle handle, uint32_t kind, mctx__object **object) {
  mctx__slot *slot;
  check_fork();
  mctx_status status = find_slot(handle, kind, &slot);
  if (status != MCTX_OK) return status;

  /* Pinned, so that the object stays while its handle is compared. */
  mctx__object *found;
  status = mctx__pin(handle, kind, &found);
  if (status != MCTX_OK) return status;
  uint64_t before = atomic_fetch_or(&slot->word, CLOSING);
  atomic_fetch_sub_explicit(&slot->word, PIN, memory_order_release);
  if ((before & CLOSING) != 0) return MCTX_ERR_CLOSED;

  await_pins(found, slot);
  int64_t event = atomic_exchange(&found->event, MCTX__NO_EVENT.value);
  if (event != MCTX__NO_EVENT.value) mctx__event_close((mctx__event){event});
  *object = found;
  return MCTX_OK;
}

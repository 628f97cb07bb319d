/* SPDX-License-Identifier: MIT */
/*
 * Handles: numbers that stand for objects, so that a stale or forged one is an error and never a wild pointer.
 *
 *   kind:4 | generation:28 | index:20        below 2^53; 0 is never valid
 *
 * The index finds a slot. Slots live in chunks that are never freed or moved, so looking at one is always safe.
 * One atomic word of a slot holds its generation, its state and the number of calls inside ("pins"):
 *
 *   generation:28 | state:4 | pins:32
 *
 * A call pins the object, checks, works, unpins. Closing marks the word, wakes the waiters, waits until the
 * pins are gone. A slot whose generations are used up is never used again.
 */
#ifndef MCTX_HANDLE_H
#define MCTX_HANDLE_H

#include <stdatomic.h>

#include "error.h"

typedef struct mctx__object mctx__object;
typedef struct mctx__slot mctx__slot;
typedef struct mctx__seat mctx__seat;

/* What the kinds of object do when they end. */
typedef struct mctx__class {
  uint32_t kind;
  /* Nobody is inside any more: closes the descriptors, retires the slot, then frees the memory: a child forked
   * in between must find either a slot that is not in use or an object that is whole. */
  void (*destroy)(mctx__object *object);
  /* In a forked child: closes this process's descriptors. Async-signal-safe. */
  void (*abandon)(mctx__object *object);
} mctx__class;

/* The head of every object. */
struct mctx__object {
  const mctx__class *class;
  mctx_handle handle; /* 0 until published */
  mctx__slot *slot;
  _Atomic uint32_t woken; /* the token of mctx_wake() */
  _Atomic int64_t event;  /* wakes the waiters; opened by the first */
};

enum {
  MCTX__INDEX_BITS = 20,
  MCTX__GENERATION_BITS = 28,
  MCTX__KIND_SHIFT = MCTX__INDEX_BITS + MCTX__GENERATION_BITS,
  MCTX__HANDLE_BITS = MCTX__KIND_SHIFT + 4,
  MCTX__SLOTS = 1 << MCTX__INDEX_BITS,
  MCTX__CHUNK_BITS = 10,
  MCTX__CHUNK_SLOTS = 1 << MCTX__CHUNK_BITS,
  MCTX__CHUNKS = MCTX__SLOTS / MCTX__CHUNK_SLOTS,
  MCTX__STATE_SHIFT = 32,
  MCTX__STATE_MASK = 15,
  MCTX__LIVE = 1 /* the state of an open object */
};

#define MCTX__LAST_GENERATION ((UINT64_C(1) << MCTX__GENERATION_BITS) - 1)

struct mctx__slot {
  _Alignas(64) _Atomic uint64_t word;
  mctx__object *object;
  uint32_t next_free; /* guarded by the table's lock */
  uint32_t index;
  _Atomic(mctx__seat *) seat; /* of the last owner, see owner.h; stays when he is none any more */
  _Atomic uint64_t owned;     /* the handle with the owner's number; 0: nobody is inside as its owner */
};

/* The chunks, NULL until needed; and the word that a fork wipes, 1 while it has not. */
extern _Atomic(mctx__slot *) mctx__chunks[MCTX__CHUNKS];
extern _Atomic(_Atomic uint32_t *) mctx__fork_word;
MCTX__COLD void mctx__notice_fork(void);

/* Gives an object a slot; it cannot be found yet. On failure the object is as it was. */
mctx_status mctx__object_reserve(const mctx__call *call, mctx__object *object, const mctx__class *class);
/* Makes a reserved object known under the handle that it returns. Never fails. */
mctx_handle mctx__object_publish(mctx__object *object);
/* Undoes a reservation. */
void mctx__object_cancel(mctx__object *object);

/* Whether this is a forked child whose objects, all of them its parent's, have not been abandoned yet. */
static inline bool mctx__is_forked(void) {
  _Atomic uint32_t *word = atomic_load_explicit(&mctx__fork_word, memory_order_acquire);
  return atomic_load_explicit(word, memory_order_relaxed) != 1;
}

static inline void mctx__check_fork(void) {
  if (mctx__is_forked()) mctx__notice_fork();
}

static inline mctx__slot *mctx__slot_of(mctx_handle handle) {
  uint32_t index = handle & (MCTX__SLOTS - 1);
  mctx__slot *chunk = atomic_load_explicit(&mctx__chunks[index >> MCTX__CHUNK_BITS], memory_order_acquire);
  return chunk != NULL ? &chunk[index & (MCTX__CHUNK_SLOTS - 1)] : NULL;
}

static inline void mctx__unpin(mctx__object *object) {
  atomic_fetch_sub_explicit(&object->slot->word, 1, memory_order_release);
}

/* Once more, from inside. */
static inline void mctx__pin_again(mctx__object *object) {
  atomic_fetch_add_explicit(&object->slot->word, 1, memory_order_relaxed);
}

/* Enters the open object of a handle, of whatever kind; NULL if there is none. On the way of every datagram. */
static inline mctx__object *mctx__pin_live(mctx_handle handle) {
  mctx__check_fork();
  mctx__slot *slot = mctx__slot_of(handle);
  if (slot == NULL) return NULL;
  uint64_t word = atomic_fetch_add_explicit(&slot->word, 1, memory_order_acquire);
  if ((word >> MCTX__STATE_SHIFT & MCTX__STATE_MASK) == MCTX__LIVE && slot->object->handle == handle)
    return slot->object;
  atomic_fetch_sub_explicit(&slot->word, 1, memory_order_release);
  return NULL;
}

static inline uint32_t mctx__handle_kind(mctx_handle handle) {
  return (uint32_t)(handle >> MCTX__KIND_SHIFT);
}

/* The same of an object of one kind. */
static inline mctx__object *mctx__pin_live_of(mctx_handle handle, uint32_t kind) {
  return mctx__handle_kind(handle) == kind ? mctx__pin_live(handle) : NULL;
}

/* Of a handle that leads to no open object: what to do about it. */
const char *mctx__handle_hint(mctx_status refusal);
/* What that says of this handle, NULL for what the status says. */
const char *mctx__handle_message(mctx_handle handle, mctx_status refusal);
/* Describes it. */
mctx_status mctx__handle_failed(const mctx__call *call, mctx_status refusal);
/* Finds out why the call's handle leads to no open object of the kind, and describes it. */
mctx_status mctx__enter_failed(const mctx__call *call, uint32_t kind);

/* Enters an object of one kind (MCTX_HANDLE_NONE: of any). */
mctx_status mctx__pin(mctx_handle handle, uint32_t kind, mctx__object **object);
/* The same with the failure described. */
mctx_status mctx__enter(const mctx__call *call, uint32_t kind, mctx__object **object);

/* Whether somebody is closing it, or a fork took it away: a call inside must leave soon. */
bool mctx__object_closing(const mctx__object *object);

/* Marks an object closed, wakes its waiters, waits for the calls inside. Exactly one caller succeeds; the
 * object is then its own, to destroy. */
mctx_status mctx__object_claim(mctx_handle handle, uint32_t kind, mctx__object **object);
/* Gives the slot of a claimed object back. */
void mctx__object_retire(mctx__object *object);

#endif

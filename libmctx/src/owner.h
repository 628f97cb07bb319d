/* SPDX-License-Identifier: MIT */
/*
 * An object that one thread alone uses again and again becomes that thread's own: it then goes in and out with
 * plain stores, where others need locked operations for pins and locks. Behind a system call a locked
 * operation waits for all that the kernel has just stored, which takes as long as a tenth of the call.
 *
 * Every thread has a seat, where it says in which object it is. Whoever else wants to use an object that has
 * an owner, or to close it, takes it from him first: marks it, has all threads of the process pass a fence,
 * and waits until the owner's seat is empty. Either the owner saw the mark when he had sat down, and got up,
 * or his being there is seen. So only one side pays, and that is the rare one.
 */
#ifndef MCTX_OWNER_H
#define MCTX_OWNER_H

#include "handle.h"

/* Seats are never freed; a thread that has another one's identity after its end has its seat too. */
struct mctx__seat {
  _Alignas(64) _Atomic uintptr_t thread;
  _Atomic(const mctx__slot *) inside;
};

/* Enters the open object of a handle if it is the calling thread's own; else NULL. */
static inline mctx__object *mctx__enter_own(mctx_handle handle) {
  mctx__check_fork();
  mctx__slot *slot = mctx__slot_of(handle);
  const uintptr_t self = mctx__thread_self();
  if (slot == NULL || atomic_load_explicit(&slot->owner, memory_order_relaxed) != self) return NULL;
  mctx__seat *seat = atomic_load_explicit(&slot->seat, memory_order_relaxed);
  /* The object may have been closed meanwhile, and another thread may own the next one in its slot. */
  if (seat == NULL || atomic_load_explicit(&seat->thread, memory_order_relaxed) != self) return NULL;
  atomic_store_explicit(&seat->inside, slot, memory_order_relaxed);
  atomic_signal_fence(memory_order_seq_cst); /* the processor's part is in mctx__fence_threads() */
  const uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
  if (atomic_load_explicit(&slot->owner, memory_order_relaxed) == self &&
      (word >> MCTX__STATE_SHIFT & MCTX__STATE_MASK) == MCTX__LIVE && slot->object->handle == handle)
    return slot->object;
  atomic_store_explicit(&seat->inside, NULL, memory_order_release);
  return NULL;
}

static inline void mctx__leave_own(mctx__object *object) {
  mctx__seat *seat = atomic_load_explicit(&object->slot->seat, memory_order_relaxed);
  atomic_store_explicit(&seat->inside, NULL, memory_order_release);
}

/* Whether another thread than the caller owns it; under the lock that owning replaces. */
static inline bool mctx__is_anothers(const mctx__object *object) {
  const uintptr_t owner = atomic_load_explicit(&object->slot->owner, memory_order_relaxed);
  return owner != 0 && owner != mctx__thread_self();
}

/* From inside, still pinned, and under the lock that owning replaces: makes it the calling thread's own, if
 * the system and the room for seats allow. */
MCTX__COLD void mctx__own(mctx__object *object);
/* Under that lock: takes it from its owner, and waits until he is not inside. */
MCTX__COLD void mctx__disown(mctx__object *object);
/* After the slot was marked: waits until its owner, if there is one, is not inside. */
void mctx__await_owner(const mctx__slot *slot);

#endif

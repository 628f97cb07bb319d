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
  uint64_t number; /* from 1 on, above the bits of a handle; the thread's alone */
};

/* The seat of no thread, where an object has no owner yet. */
extern mctx__seat mctx__no_seat;

/* Enters the open object of a handle of one kind if it is the calling thread's own; tells it and his seat. */
static MCTX__IN_PLACE bool mctx__enter_own(mctx_handle handle, uint32_t kind, mctx__object **object,
                                           mctx__seat **own) {
  if (MCTX__SELDOM(mctx__handle_kind(handle) != kind)) return false;
  const uintptr_t self = mctx__thread_self();
  mctx__check_fork();
  mctx__slot *slot = mctx__slot_of(handle);
  if (MCTX__SELDOM(slot == NULL)) return false;
  mctx__seat *seat = atomic_load_explicit(&slot->seat, memory_order_relaxed);
  if (atomic_load_explicit(&seat->thread, memory_order_relaxed) != self) return false;
  atomic_store_explicit(&seat->inside, slot, memory_order_relaxed);
  atomic_signal_fence(memory_order_seq_cst); /* the processor's part is in mctx__fence_threads() */
  if (MCTX__MOSTLY(atomic_load_explicit(&slot->owned, memory_order_relaxed) == (handle | seat->number))) {
    *object = slot->object;
    *own = seat;
    return true;
  }
  atomic_store_explicit(&seat->inside, NULL, memory_order_release);
  return false;
}

/* The same, pinned if it is not the calling thread's own. NULL: there is none. */
static MCTX__IN_PLACE mctx__object *mctx__enter_quickly(mctx_handle handle, uint32_t kind, mctx__seat **own) {
  mctx__object *object;
  if (MCTX__MOSTLY(mctx__enter_own(handle, kind, &object, own))) return object;
  *own = NULL;
  return mctx__pin_live_of(handle, kind);
}

static MCTX__IN_PLACE void mctx__leave(mctx__object *object, mctx__seat *own) {
  if (MCTX__MOSTLY(own != NULL))
    atomic_store_explicit(&own->inside, NULL, memory_order_release);
  else
    mctx__unpin(object);
}

/* Pins what is only the calling thread's own: before a call waits, and before anything that takes the lock that
 * owning replaces, which another thread may hold while it waits until nobody is inside. */
MCTX__COLD void mctx__stay(mctx__object *object, mctx__seat **own);

/* Who uses an object lately; under the lock that owning replaces. */
typedef struct mctx__usage {
  uintptr_t thread;
  uint32_t streak; /* uses in a row */
  uint32_t losses; /* how often it was taken from an owner: the next one has to wait longer */
} mctx__usage;

/* From inside, still pinned, and under that lock: one use more. A thread that is the only one for a while
 * becomes the owner, if the system and the room for seats allow. */
MCTX__COLD void mctx__use(mctx__object *object, mctx__usage *usage);
/* Under that lock: takes it from its owner, unless that is the caller. */
MCTX__COLD void mctx__disown(mctx__object *object, mctx__usage *usage);

/* Under that lock: nobody else is inside but those who are pinned. */
static inline void mctx__exclude_owner(mctx__object *object, mctx__usage *usage) {
  if (atomic_load_explicit(&object->slot->owned, memory_order_acquire) != 0) mctx__disown(object, usage);
}

/* Takes it from its owner, if there is one, and waits until he is not inside. */
void mctx__end_owning(mctx__slot *slot);

#endif

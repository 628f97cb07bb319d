/* SPDX-License-Identifier: MIT */
#include "owner.h"

#include "pause.h"

enum {
  SEATS = 256, /* a power of two: threads beyond it own nothing */
  PROBES = 8
};

static mctx__seat seats[SEATS];

/* The seat of the calling thread; NULL if those that it may have are taken. */
static mctx__seat *own_seat(void) {
  const uintptr_t self = mctx__thread_self();
  if (self == 0) return NULL; /* a thread that libc does not know */
  const uint32_t hash = (uint32_t)(self >> 6) * UINT32_C(2654435769) >> 16;
  for (uint32_t i = 0; i < PROBES; i++) {
    mctx__seat *seat = &seats[(hash + i) % SEATS];
    uintptr_t thread = atomic_load(&seat->thread);
    if (thread == 0 && atomic_compare_exchange_strong(&seat->thread, &thread, self)) return seat;
    if (thread == self) return seat;
  }
  return NULL;
}

void mctx__own(mctx__object *object) {
  mctx__seat *seat = mctx__fence_prepare() ? own_seat() : NULL;
  if (seat == NULL) return;
  atomic_store(&object->slot->seat, seat);
  atomic_store(&object->slot->owner, mctx__thread_self());
}

void mctx__await_owner(const mctx__slot *slot) {
  const mctx__seat *seat = atomic_load(&slot->seat);
  if (seat == NULL || atomic_load(&seat->thread) == mctx__thread_self()) return;
  mctx__fence_threads();
  for (uint32_t round = 0; atomic_load(&seat->inside) == slot; round++)
    mctx__pause(round);
}

void mctx__disown(mctx__object *object) {
  atomic_store(&object->slot->owner, 0);
  mctx__await_owner(object->slot);
}

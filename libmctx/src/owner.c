/* SPDX-License-Identifier: MIT */
#include "owner.h"

#include "pause.h"

enum {
  SEATS = 256, /* a power of two: threads beyond it own nothing */
  PROBES = 8,
  STREAK = 32, /* uses in a row, by one thread, that make an object its own */
  LOSSES = 5   /* each doubles that, up to here */
};

/* In what a slot says of its owner: he is to leave. */
#define LEAVING (UINT64_C(1) << 63)

static mctx__seat seats[SEATS];
mctx__seat mctx__no_seat;

/* The seat of the calling thread; NULL if those that it may have are taken. */
static mctx__seat *own_seat(void) {
  const uintptr_t self = mctx__thread_self();
  if (self == 0) return NULL; /* a thread that libc does not know */
  const uint32_t hash = (uint32_t)(self >> 6) * UINT32_C(2654435769) >> 16;
  for (uint32_t i = 0; i < PROBES; i++) {
    mctx__seat *seat = &seats[(hash + i) % SEATS];
    uintptr_t thread = atomic_load(&seat->thread);
    if (thread == 0 && atomic_compare_exchange_strong(&seat->thread, &thread, self)) {
      seat->number = (uint64_t)(seat - seats + 1) << MCTX__HANDLE_BITS;
      return seat;
    }
    if (thread == self) return seat;
  }
  return NULL;
}

static void own(mctx__object *object) {
  mctx__slot *slot = object->slot;
  mctx__seat *seat = mctx__fence_prepare() ? own_seat() : NULL;
  if (seat == NULL) return;
  atomic_store(&slot->seat, seat);
  atomic_store(&slot->owned, object->handle | seat->number);
  /* Whoever closes it marks it first and then ends the owning: one of the two sees what the other did. */
  if (mctx__object_closing(object)) atomic_store(&slot->owned, 0);
}

static mctx__seat *seat_of(uint64_t owned) {
  return &seats[((owned & ~LEAVING) >> MCTX__HANDLE_BITS) - 1];
}

void mctx__use(mctx__object *object, mctx__usage *usage) {
  const uintptr_t self = mctx__thread_self();
  if (usage->thread != self) usage->streak = 0;
  usage->thread = self;
  if (++usage->streak == (uint32_t)STREAK << usage->losses) own(object);
}

/* It stays owned, though nobody can enter by it, until the owner is not inside: others who come to end it wait
 * for him, too. */
void mctx__end_owning(mctx__slot *slot) {
  uint64_t owned = atomic_load(&slot->owned);
  while (owned != 0 && (owned & LEAVING) == 0 &&
         !atomic_compare_exchange_weak(&slot->owned, &owned, owned | LEAVING)) {
  }
  if (owned == 0) return;
  const mctx__seat *seat = seat_of(owned);
  if (atomic_load(&seat->thread) != mctx__thread_self()) {
    mctx__fence_threads();
    for (uint32_t round = 0; atomic_load(&seat->inside) == slot; round++)
      mctx__pause(round);
  }
  owned |= LEAVING;
  atomic_compare_exchange_strong(&slot->owned, &owned, 0);
}

void mctx__disown(mctx__object *object, mctx__usage *usage) {
  const uint64_t owned = atomic_load(&object->slot->owned);
  if (owned == 0 || atomic_load(&seat_of(owned)->thread) == mctx__thread_self()) return;
  usage->streak = 0;
  if (usage->losses < LOSSES) usage->losses++;
  mctx__end_owning(object->slot);
}

void mctx__stay(mctx__object *object, mctx__seat **own) {
  if (*own == NULL) return;
  mctx__pin_again(object);
  mctx__leave(object, *own);
  *own = NULL;
}

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
  uint32_t index;
  _Atomic uint32_t woken; /* the token of mctx_wake() */
  _Atomic int64_t event;  /* wakes the waiters; opened by the first */
};

typedef struct mctx__slot {
  _Alignas(64) _Atomic uint64_t word;
  mctx__object *object;
  uint32_t next_free; /* guarded by the table's lock */
} mctx__slot;

/* Gives an object a slot; it cannot be found yet. On failure the object is as it was. */
mctx_status mctx__object_reserve(const mctx__call *call, mctx__object *object, const mctx__class *class);
/* Makes a reserved object known under the handle that it returns. Never fails. */
mctx_handle mctx__object_publish(mctx__object *object);
/* Undoes a reservation. */
void mctx__object_cancel(mctx__object *object);

/* Enters an object of one kind (MCTX_HANDLE_NONE: of any). Without a failure description: for hot paths. */
mctx_status mctx__pin(mctx_handle handle, uint32_t kind, mctx__object **object);
/* The same with the failure described. */
mctx_status mctx__enter(const mctx__call *call, uint32_t kind, mctx__object **object);
/* Describes a failure of mctx__pin. */
mctx_status mctx__pin_failed(const mctx__call *call, mctx_status status);
void mctx__unpin(mctx__object *object);

/* Whether somebody is closing it: a call inside must leave soon. */
bool mctx__object_closing(const mctx__object *object);

/* Marks an object closed, wakes its waiters, waits for the calls inside. Exactly one caller succeeds; the
 * object is then its own, to destroy. */
mctx_status mctx__object_claim(mctx_handle handle, uint32_t kind, mctx__object **object);
/* Gives the slot of a claimed object back. */
void mctx__object_retire(mctx__object *object);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Shortcuts for the Python package on CPython: what it would do through ctypes, at a tenth of the cost. A
 * client of mctx.h like any other, exported under a prefix and in a list of its own, and no part of the C API:
 * the package uses them when they are there and does without elsewhere. No header of Python is needed: the
 * functions of its stable ABI that they call are handed in.
 */
#ifndef MCTX__PYTHON_H
#define MCTX__PYTHON_H

#include <stdbool.h>

#include "mctx.h"

/* Py_buffer, which is part of the stable ABI. */
typedef struct mctx_python_buffer {
  void *data;
  void *object;
  ptrdiff_t length;
  ptrdiff_t item_size;
  int read_only;
  int dimensions;
  char *format;
  ptrdiff_t *shape;
  ptrdiff_t *strides;
  ptrdiff_t *sub_offsets;
  void *internal;
} mctx_python_buffer;

/* Functions of the interpreter, named as there. */
typedef struct mctx_python_api {
  int (*PyObject_GetBuffer)(void *object, mctx_python_buffer *buffer, int flags);
  void (*PyBuffer_Release)(mctx_python_buffer *buffer);
  void *(*PyBytes_FromStringAndSize)(const char *data, ptrdiff_t length);
  void *(*PyLong_FromSsize_t)(ptrdiff_t value);
  unsigned long long (*PyLong_AsUnsignedLongLong)(void *object);
  void *(*PyTuple_GetItem)(void *tuple, ptrdiff_t position);
  void *(*PyTuple_New)(ptrdiff_t length);
  int (*PyTuple_SetItem)(void *tuple, ptrdiff_t position, void *item);
  void (*Py_DecRef)(void *object);
  long long (*PyLong_AsLongLong)(void *object);
  void *(*PyErr_Occurred)(void);
  void *(*PyEval_SaveThread)(void);
  void (*PyEval_RestoreThread)(void *thread);
  void *(*PyList_New)(ptrdiff_t length);
  int (*PyList_SetItem)(void *list, ptrdiff_t position, void *item);
  void *(*PyType_GenericAlloc)(void *type, ptrdiff_t items);
  int (*PyObject_SetAttr)(void *object, void *name, void *value);
  ptrdiff_t (*PyTuple_Size)(void *tuple);
  void *(*PySlice_New)(void *start, void *stop, void *step);
  void *(*PyObject_GetItem)(void *object, void *key);
  int (*PyBytes_AsStringAndSize)(void *object, char **data, ptrdiff_t *length);
  void (*PyErr_Clear)(void);
  void *(*PyErr_NoMemory)(void);
  void *(*PyMem_Malloc)(size_t size);
  void (*PyMem_Free)(void *memory);
  void (*Py_IncRef)(void *object);
  void *(*PyDict_GetItemWithError)(void *dictionary, void *key);
  void *(*PyObject_CallFunctionObjArgs)(void *callable, ...);
  void *(*PyObject_Type)(void *object);
  void *(*PyList_GetItem)(void *list, ptrdiff_t position);
  void *PyBytes_Type;
} mctx_python_api;

/* Why a batch was not taken whole. */
typedef struct mctx_python_refusal {
  mctx_error error;
  uint64_t accepted;
} mctx_python_refusal;

/* Room for any datagram, zeroed at first. */
typedef struct mctx_python_room {
  unsigned char data[65536];
  bool is_taken;
} mctx_python_room;

/* Hands in the interpreter's functions. Call it once before the others; `size` is sizeof(mctx_python_api). */
MCTX_API mctx_status mctx_python_init(const mctx_python_api *api, uint32_t size);

/* mctx_send() as a method of one argument, any contiguous buffer: `self` is a tuple of the publication, an int;
 * a list of bytes sent and what to return for so many; a dictionary of more of the same; and a function that is
 * called for all else and whose answer is returned: with the payload, and with the bytes sent; or with bytes,
 * the error record; or with empty bytes: the payload is no such buffer. The caller holds the interpreter's
 * lock. */
MCTX_API void *mctx_python_send(void *self, void *payload);

/* mctx_send_batch() as a method of any number of arguments: `self` is an int, the publication; the arguments
 * are contiguous buffers, a datagram each, which the caller's references keep. With `names` another one
 * follows, an int: the timeout in nanoseconds, of an interruptible wait; without, it is 0. All buffers are
 * looked at before the first datagram leaves. Returns an int, how many there were, all taken; or bytes, an
 * mctx_python_refusal; or NULL with Python's exception set: one is no such buffer. The caller holds the
 * interpreter's lock, which a wait and a large batch let go of. */
MCTX_API void *mctx_python_send_many(void *self, void *const *payloads, ptrdiff_t count, void *names);

/* mctx_send_segments() as a method of two arguments, a contiguous buffer and an int, the size. The rest is as
 * of mctx_python_send_many(); empty bytes say that the size is no number for the call. */
MCTX_API void *mctx_python_send_segments(void *self, void *const *arguments, ptrdiff_t count, void *names);

/* mctx_recv() as a method of one argument: `self` is a tuple of the subscription, an int, and of what
 * mctx_python_collect() makes datagrams of: the type and the names of two attributes; and of the address, an
 * int, of an mctx_python_room; `timeout_ns` is an int. A wait is interruptible, and lets go of the
 * interpreter's lock. Returns the datagram; or bytes, the error record; or NULL with Python's exception set.
 * The caller holds the interpreter's lock. */
MCTX_API void *mctx_python_recv(void *self, void *timeout_ns);

/* mctx_recv_batch() as a method of one argument: `self` is a tuple of three ints, the subscription, the address
 * of the batch and how many records of datagrams and of messages there is room for, and of the memory: a
 * bytearray, which holds these records and then payloads. `timeout_ns` is an int. A wait is interruptible, and
 * lets go of the interpreter's lock. Returns an int, how many datagrams came; or bytes, the error record; or
 * NULL with Python's exception set. The caller holds the interpreter's lock. */
MCTX_API void *mctx_python_recv_batch(void *self, void *timeout_ns);

/* The payloads of a batch that mctx_recv_batch() filled, as a method of one or two arguments: an int, the
 * address of the batch; and a memoryview of the arena, of which slices are made then, and else bytes. Returns a
 * list, or NULL with Python's exception set. The caller holds the interpreter's lock. */
MCTX_API void *mctx_python_payloads(void *self, void *const *arguments, ptrdiff_t count);

/* Makes the datagrams of a batch that mctx_recv_batch() filled: a list of objects of a type, each with two
 * attributes set. `arguments` is a tuple of the type; the names of the attributes for the payload and for the
 * message record, which says of this datagram whether it is truncated; an int, the address of the batch, whose
 * message records are as long as this library's; and, if payloads shall be views and not copies, a memoryview
 * of the arena. Returns NULL with Python's exception set on failure. The caller holds the interpreter's lock.
 */
MCTX_API void *mctx_python_collect(void *self, void *arguments);

/* Holds the buffers of a tuple's first `count` objects, and lays out a slice for each. Returns 0; or -1 if one
 * is no contiguous buffer, holding none, with Python's exception set. The caller holds the interpreter's lock.
 */
MCTX_API int mctx_python_hold(void *tuple, ptrdiff_t count, mctx_python_buffer *buffers, mctx_slice *slices);

/* Lets go of `count` held buffers. The caller holds the interpreter's lock. */
MCTX_API void mctx_python_release(mctx_python_buffer *buffers, ptrdiff_t count);

#endif

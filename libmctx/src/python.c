/* SPDX-License-Identifier: MIT */
#include "python.h"

#include <stdatomic.h>

enum { PY_BUF_SIMPLE = 0 /* contiguous bytes, writable or not */, ANY_DATAGRAM = 65536 };

enum { UNSET, SETTING, SET };

static mctx_python_api python;
static _Atomic int python_state;

mctx_status mctx_python_init(const mctx_python_api *api, uint32_t size) {
  int unset = UNSET;
  if (api == NULL) return MCTX_ERR_NULL_ARGUMENT;
  if (size != sizeof *api) return MCTX_ERR_STRUCT_SIZE;
  if (atomic_compare_exchange_strong(&python_state, &unset, SETTING)) {
    python = *api;
    atomic_store(&python_state, SET);
  }
  return atomic_load(&python_state) == SET ? MCTX_OK : MCTX_ERR_WOULD_BLOCK;
}

void *mctx_python_send(void *self, void *payload) {
  mctx_python_buffer buffer;
  mctx_error error;
  error.size = sizeof error;
  if (python.PyObject_GetBuffer(payload, &buffer, PY_BUF_SIMPLE) != 0) return NULL;
  ptrdiff_t length = buffer.length;
  mctx_status status = mctx_send(python.PyLong_AsUnsignedLongLong(self), buffer.data, (size_t)length, &error);
  python.PyBuffer_Release(&buffer);
  if (status == MCTX_OK) return python.PyLong_FromSsize_t(length);
  return python.PyBytes_FromStringAndSize((const char *)&error, (ptrdiff_t)sizeof error);
}

/* A tuple of two; takes over what it is made of, also where that is NULL. */
static void *pair(void *first, void *second) {
  void *tuple = first != NULL && second != NULL ? python.PyTuple_New(2) : NULL;
  if (tuple == NULL) {
    python.Py_DecRef(first); /* which allows NULL */
    python.Py_DecRef(second);
    return NULL;
  }
  (void)python.PyTuple_SetItem(tuple, 0, first);
  (void)python.PyTuple_SetItem(tuple, 1, second);
  return tuple;
}

void *mctx_python_recv(void *self, void *timeout_ns) {
  unsigned char data[ANY_DATAGRAM];
  mctx_message message;
  mctx_error error;
  size_t length;
  const mctx_subscription subscription = python.PyLong_AsUnsignedLongLong(self);
  const long long timeout = python.PyLong_AsLongLong(timeout_ns);
  error.size = sizeof error;
  if (timeout == -1 && python.PyErr_Occurred() != NULL) return NULL;
  void *thread = timeout != 0 ? python.PyEval_SaveThread() : NULL;
  mctx_status status = mctx_recv(subscription, data, sizeof data, MCTX_INTERRUPTIBLE, timeout, &length,
                                 &message, sizeof message, &error);
  if (thread != NULL) python.PyEval_RestoreThread(thread);
  if (status != MCTX_OK) return python.PyBytes_FromStringAndSize((const char *)&error, (ptrdiff_t)sizeof error);
  return pair(python.PyBytes_FromStringAndSize((const char *)data, (ptrdiff_t)length),
              python.PyBytes_FromStringAndSize((const char *)&message, (ptrdiff_t)sizeof message));
}

int mctx_python_hold(void *tuple, ptrdiff_t count, mctx_python_buffer *buffers, mctx_slice *slices) {
  for (ptrdiff_t i = 0; i < count; i++) {
    void *object = python.PyTuple_GetItem(tuple, i);
    if (object == NULL || python.PyObject_GetBuffer(object, &buffers[i], PY_BUF_SIMPLE) != 0) {
      mctx_python_release(buffers, i);
      return -1;
    }
    slices[i].data = buffers[i].data;
    slices[i].length = (uint64_t)buffers[i].length;
  }
  return 0;
}

void mctx_python_release(mctx_python_buffer *buffers, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++)
    python.PyBuffer_Release(&buffers[i]);
}

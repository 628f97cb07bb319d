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

/* A batch that is being turned into objects. */
typedef struct collecting {
  const mctx_receive_batch *batch;
  void *type;
  void *payload_name;
  void *record_name;
  void *arena;  /* to make views of, or NULL */
  void *record; /* of the datagram before, or NULL */
  uint32_t message;
  uint32_t truncated;
} collecting;

/* The datagrams of a message share their record, but for a truncated one. */
static void *record_for(collecting *own, const mctx_datagram *datagram) {
  const uint32_t truncated = datagram->flags & MCTX_DATAGRAM_TRUNCATED;
  if (own->record != NULL && own->message == datagram->message && own->truncated == truncated)
    return own->record;
  mctx_message message = own->batch->messages[datagram->message];
  message.flags &= ~(uint32_t)MCTX_MESSAGE_TRUNCATED;
  if (truncated != 0) message.flags |= MCTX_MESSAGE_TRUNCATED;
  python.Py_DecRef(own->record);
  own->record = python.PyBytes_FromStringAndSize((const char *)&message, (ptrdiff_t)sizeof message);
  own->message = datagram->message;
  own->truncated = truncated;
  return own->record;
}

static void *make_datagram(collecting *own, const mctx_datagram *datagram) {
  const ptrdiff_t start = (ptrdiff_t)datagram->offset;
  const ptrdiff_t length = (ptrdiff_t)datagram->length;
  void *record = record_for(own, datagram);
  void *payload = own->arena != NULL
                      ? python.PySequence_GetSlice(own->arena, start, start + length)
                      : python.PyBytes_FromStringAndSize((const char *)own->batch->arena + start, length);
  void *object = record != NULL && payload != NULL ? python.PyType_GenericAlloc(own->type, 0) : NULL;
  if (object != NULL && (python.PyObject_SetAttr(object, own->payload_name, payload) != 0 ||
                         python.PyObject_SetAttr(object, own->record_name, record) != 0)) {
    python.Py_DecRef(object);
    object = NULL;
  }
  python.Py_DecRef(payload);
  return object;
}

void *mctx_python_collect(void *self, void *arguments) {
  (void)self;
  collecting own = {.type = python.PyTuple_GetItem(arguments, 0),
                    .payload_name = python.PyTuple_GetItem(arguments, 1),
                    .record_name = python.PyTuple_GetItem(arguments, 2),
                    .arena = python.PyTuple_Size(arguments) > 4 ? python.PyTuple_GetItem(arguments, 4) : NULL};
  void *address = python.PyTuple_GetItem(arguments, 3);
  if (address == NULL) return NULL;
  own.batch = (const mctx_receive_batch *)(uintptr_t)python.PyLong_AsUnsignedLongLong(address);
  if (own.batch == NULL || python.PyErr_Occurred() != NULL) return NULL;
  const ptrdiff_t count = (ptrdiff_t)own.batch->datagram_count;
  void *list = python.PyList_New(count);
  for (ptrdiff_t i = 0; list != NULL && i < count; i++) {
    void *datagram = make_datagram(&own, &own.batch->datagrams[i]);
    if (datagram != NULL && python.PyList_SetItem(list, i, datagram) == 0) continue;
    python.Py_DecRef(list);
    list = NULL;
  }
  python.Py_DecRef(own.record);
  return list;
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

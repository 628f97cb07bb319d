/* SPDX-License-Identifier: MIT */
#include "python.h"

#include <stdatomic.h>

enum {
  PY_BUF_SIMPLE = 0, /* contiguous bytes, writable or not */
  FEW = 128,         /* slices of a batch that need no memory of their own */
  QUICK_COUNT = 256, /* batches of so many datagrams and so many bytes at most keep the interpreter's lock: */
  QUICK_BYTES = 1 << 18 /* letting go of it can cost more than they take */
};

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

/* Has Python say what a send without a report at hand returns or raises; takes over the result. */
static void *answer(void *self, void *payload, void *result) {
  if (result == NULL) return NULL;
  void *answered = python.PyObject_CallFunctionObjArgs(python.PyTuple_GetItem(self, 3), payload, result, NULL);
  python.Py_DecRef(result);
  return answered;
}

static void *report_of(void *self, void *payload, ptrdiff_t length) {
  void *last = python.PyTuple_GetItem(self, 1);
  if (python.PyLong_AsLongLong(python.PyList_GetItem(last, 0)) == length) {
    void *report = python.PyList_GetItem(last, 1);
    python.Py_IncRef(report);
    return report;
  }
  void *sent = python.PyLong_FromSsize_t(length);
  void *report = sent != NULL ? python.PyDict_GetItemWithError(python.PyTuple_GetItem(self, 2), sent) : NULL;
  if (report == NULL) return answer(self, payload, sent);
  python.Py_IncRef(report);
  python.Py_DecRef(sent);
  return report;
}

/* Bytes stay in place as long as the caller refers to them. */
static bool is_bytes(void *object) {
  void *type = python.PyObject_Type(object);
  python.Py_DecRef(type);
  return type == python.PyBytes_Type;
}

void *mctx_python_send(void *self, void *payload) {
  mctx_python_buffer buffer;
  mctx_error error;
  const mctx_publication publication = python.PyLong_AsUnsignedLongLong(python.PyTuple_GetItem(self, 0));
  const bool plain = is_bytes(payload);
  char *data;
  ptrdiff_t length;
  error.size = sizeof error;
  if (plain) {
    (void)python.PyBytes_AsStringAndSize(payload, &data, &length);
  } else if (python.PyObject_GetBuffer(payload, &buffer, PY_BUF_SIMPLE) == 0) {
    data = buffer.data;
    length = buffer.length;
  } else {
    python.PyErr_Clear();
    return answer(self, payload, python.PyBytes_FromStringAndSize(NULL, 0));
  }
  const mctx_status status = mctx_send(publication, data, (size_t)length, &error);
  if (!plain) python.PyBuffer_Release(&buffer);
  if (status == MCTX_OK) return report_of(self, payload, length);
  return answer(self, payload, python.PyBytes_FromStringAndSize((const char *)&error, (ptrdiff_t)sizeof error));
}

/* ---- many datagrams ---- */

/* What a batch sends. Bytes stay in place while somebody refers to them; all else has to be held. */
typedef struct holding {
  mctx_slice few[FEW];
  mctx_slice *slices;
  mctx_python_buffer *buffers; /* of all but the first bytes, or NULL */
  ptrdiff_t held;
  uint64_t bytes;
} holding;

static void let_go(holding *own) {
  mctx_python_release(own->buffers, own->held);
  if (own->buffers != NULL) python.PyMem_Free(own->buffers);
  if (own->slices != own->few) python.PyMem_Free(own->slices);
}

/* Lays out the bytes at the beginning; returns how many there are. */
static ptrdiff_t take_bytes(holding *own, void *const *payloads, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++) {
    char *data;
    ptrdiff_t length;
    if (python.PyBytes_AsStringAndSize(payloads[i], &data, &length) != 0) {
      python.PyErr_Clear();
      return i;
    }
    own->slices[i] = (mctx_slice){.data = data, .length = (uint64_t)length};
    own->bytes += (uint64_t)length;
  }
  return count;
}

/* Holds the buffers of objects, and lays out a slice for each; false with Python's exception set. */
static bool take_buffers(holding *own, void *const *payloads, mctx_slice *slices, ptrdiff_t count) {
  own->buffers = python.PyMem_Malloc((size_t)count * sizeof *own->buffers);
  if (own->buffers == NULL) return python.PyErr_NoMemory() != NULL;
  for (; own->held < count; own->held++) {
    mctx_python_buffer *buffer = &own->buffers[own->held];
    if (python.PyObject_GetBuffer(payloads[own->held], buffer, PY_BUF_SIMPLE) != 0) return false;
    slices[own->held] = (mctx_slice){.data = buffer->data, .length = (uint64_t)buffer->length};
    own->bytes += (uint64_t)buffer->length;
  }
  return true;
}

static bool take(holding *own, void *const *payloads, ptrdiff_t count) {
  own->slices = count <= FEW ? own->few : python.PyMem_Malloc((size_t)count * sizeof *own->slices);
  own->buffers = NULL;
  own->held = 0;
  own->bytes = 0;
  if (own->slices == NULL) return python.PyErr_NoMemory() != NULL;
  const ptrdiff_t plain = take_bytes(own, payloads, count);
  return plain == count || take_buffers(own, payloads + plain, own->slices + plain, count - plain);
}

/* Lets go of the interpreter's lock for what may take long. */
static void *unlock_for(int64_t timeout_ns, uint64_t count, uint64_t bytes) {
  return timeout_ns != 0 || count > QUICK_COUNT || bytes > QUICK_BYTES ? python.PyEval_SaveThread() : NULL;
}

static uint32_t flags_of(int64_t timeout_ns) {
  return timeout_ns != 0 ? MCTX_INTERRUPTIBLE : 0;
}

/* The timeout behind the positional arguments; -1 also with Python's exception set. */
static int64_t timeout_of(void *const *arguments, ptrdiff_t count, const void *names) {
  return names != NULL ? python.PyLong_AsLongLong(arguments[count]) : 0;
}

static void lock_again(void *thread) {
  if (thread != NULL) python.PyEval_RestoreThread(thread);
}

static void *outcome(mctx_status status, const mctx_python_refusal *refusal) {
  if (status == MCTX_OK) return python.PyLong_FromSsize_t((ptrdiff_t)refusal->accepted);
  return python.PyBytes_FromStringAndSize((const char *)refusal, (ptrdiff_t)sizeof *refusal);
}

void *mctx_python_send_many(void *self, void *const *payloads, ptrdiff_t count, void *names) {
  const mctx_publication publication = python.PyLong_AsUnsignedLongLong(self);
  const int64_t timeout = timeout_of(payloads, count, names);
  holding own;
  mctx_python_refusal refusal;
  refusal.error.size = sizeof refusal.error;
  void *result = NULL;
  if (timeout == -1 && python.PyErr_Occurred() != NULL) return NULL;
  if (take(&own, payloads, count)) {
    void *thread = unlock_for(timeout, (uint64_t)count, own.bytes);
    const mctx_status status = mctx_send_batch(publication, own.slices, (size_t)count, flags_of(timeout),
                                               timeout, &refusal.accepted, &refusal.error);
    lock_again(thread);
    result = outcome(status, &refusal);
  }
  let_go(&own);
  return result;
}

void *mctx_python_send_segments(void *self, void *const *arguments, ptrdiff_t count, void *names) {
  const mctx_publication publication = python.PyLong_AsUnsignedLongLong(self);
  const int64_t timeout = timeout_of(arguments, count, names);
  mctx_python_buffer buffer;
  mctx_python_refusal refusal;
  refusal.error.size = sizeof refusal.error;
  const uint64_t size = count == 2 ? python.PyLong_AsUnsignedLongLong(arguments[1]) : 0;
  if (python.PyErr_Occurred() != NULL) return NULL;
  if (size > UINT32_MAX) return python.PyBytes_FromStringAndSize(NULL, 0);
  if (python.PyObject_GetBuffer(arguments[0], &buffer, PY_BUF_SIMPLE) != 0) return NULL;
  const uint64_t length = (uint64_t)buffer.length;
  void *thread = unlock_for(timeout, size != 0 ? length / size : 0, length);
  const mctx_status status = mctx_send_segments(publication, buffer.data, (size_t)length, (uint32_t)size,
                                                flags_of(timeout), timeout, &refusal.accepted, &refusal.error);
  lock_again(thread);
  python.PyBuffer_Release(&buffer);
  return outcome(status, &refusal);
}

/* ---- receiving ---- */

/* How datagrams are made: objects of a type with two attributes. */
typedef struct maker {
  void *type;
  void *payload_name;
  void *record_name;
} maker;

static maker maker_at(void *tuple, ptrdiff_t position) {
  return (maker){.type = python.PyTuple_GetItem(tuple, position),
                 .payload_name = python.PyTuple_GetItem(tuple, position + 1),
                 .record_name = python.PyTuple_GetItem(tuple, position + 2)};
}

/* Takes over the payload, and not the record; either may be NULL. */
static void *make_datagram(const maker *own, void *payload, void *record) {
  void *object = record != NULL && payload != NULL ? python.PyType_GenericAlloc(own->type, 0) : NULL;
  if (object != NULL && (python.PyObject_SetAttr(object, own->payload_name, payload) != 0 ||
                         python.PyObject_SetAttr(object, own->record_name, record) != 0)) {
    python.Py_DecRef(object);
    object = NULL;
  }
  python.Py_DecRef(payload); /* which allows NULL */
  return object;
}

static void *memory_at(void *address) {
  return (void *)(uintptr_t)python.PyLong_AsUnsignedLongLong(address);
}

/* A subscription's room for one datagram, which a thread's stack may not have. Under the interpreter's lock: a
 * thread that finds it taken by one that waits gets room of its own, or NULL. */
static unsigned char *take_room(mctx_python_room *shared) {
  if (shared->is_taken) return python.PyMem_Malloc(sizeof shared->data);
  shared->is_taken = true;
  return shared->data;
}

static void give_room_back(mctx_python_room *shared, unsigned char *data) {
  if (data == shared->data)
    shared->is_taken = false;
  else
    python.PyMem_Free(data);
}

/* What mctx_recv() left, as an object. */
static void *received(void *self, const unsigned char *data, size_t length, const mctx_message *message) {
  const maker how = maker_at(self, 1);
  void *record = python.PyBytes_FromStringAndSize((const char *)message, (ptrdiff_t)sizeof *message);
  void *payload = python.PyBytes_FromStringAndSize((const char *)data, (ptrdiff_t)length);
  void *datagram = make_datagram(&how, payload, record);
  python.Py_DecRef(record);
  return datagram;
}

void *mctx_python_recv(void *self, void *timeout_ns) {
  mctx_message message;
  mctx_error error;
  size_t length;
  const mctx_subscription subscription = python.PyLong_AsUnsignedLongLong(python.PyTuple_GetItem(self, 0));
  const long long timeout = python.PyLong_AsLongLong(timeout_ns);
  mctx_python_room *room = memory_at(python.PyTuple_GetItem(self, 4));
  error.size = sizeof error;
  if (timeout == -1 && python.PyErr_Occurred() != NULL) return NULL;
  unsigned char *data = take_room(room);
  if (data == NULL) return python.PyErr_NoMemory();
  void *thread = timeout != 0 ? python.PyEval_SaveThread() : NULL;
  const mctx_status status = mctx_recv(subscription, data, sizeof room->data, MCTX_INTERRUPTIBLE, timeout,
                                       &length, &message, sizeof message, &error);
  lock_again(thread);
  void *result = status == MCTX_OK
                     ? received(self, data, length, &message)
                     : python.PyBytes_FromStringAndSize((const char *)&error, (ptrdiff_t)sizeof error);
  give_room_back(room, data);
  return result;
}

/* Lays out the memory of a batch. */
static void lay_out(mctx_receive_batch *batch, unsigned char *memory, size_t capacity) {
  const size_t datagrams = capacity * sizeof(mctx_datagram);
  batch->datagrams = (mctx_datagram *)(void *)memory;
  batch->messages = (mctx_message *)(void *)(memory + datagrams);
  batch->arena = memory + datagrams + capacity * sizeof(mctx_message);
}

void *mctx_python_recv_batch(void *self, void *timeout_ns) {
  mctx_error error;
  mctx_python_buffer memory;
  const mctx_subscription subscription = python.PyLong_AsUnsignedLongLong(python.PyTuple_GetItem(self, 0));
  mctx_receive_batch *batch = memory_at(python.PyTuple_GetItem(self, 1));
  const uint64_t capacity = python.PyLong_AsUnsignedLongLong(python.PyTuple_GetItem(self, 2));
  const long long timeout = python.PyLong_AsLongLong(timeout_ns);
  error.size = sizeof error;
  if (python.PyErr_Occurred() != NULL) return NULL;
  if (python.PyObject_GetBuffer(python.PyTuple_GetItem(self, 3), &memory, PY_BUF_SIMPLE) != 0) return NULL;
  lay_out(batch, memory.data, (size_t)capacity);
  void *thread = timeout != 0 ? python.PyEval_SaveThread() : NULL;
  const mctx_status status = mctx_recv_batch(subscription, batch, MCTX_INTERRUPTIBLE, timeout, &error);
  lock_again(thread);
  python.PyBuffer_Release(&memory);
  if (status == MCTX_OK) return python.PyLong_FromSsize_t((ptrdiff_t)batch->datagram_count);
  return python.PyBytes_FromStringAndSize((const char *)&error, (ptrdiff_t)sizeof error);
}

/* A batch whose payloads are being taken, as copies or as views of its arena. */
typedef struct taking {
  const mctx_receive_batch *batch;
  void *arena; /* to make views of, or NULL */
  void *end;   /* of the view before, an int, or NULL; mostly where the next one begins */
  ptrdiff_t end_at;
} taking;

/* The batch at an address, and perhaps an arena to make views of; false with Python's exception set. */
static bool take_from(taking *own, void *address, void *arena) {
  *own = (taking){.batch = memory_at(address), .arena = arena};
  return own->batch != NULL && python.PyErr_Occurred() == NULL;
}

/* A slice of a memoryview, or NULL with Python's exception set. */
static void *take_view(taking *own, ptrdiff_t start, ptrdiff_t length) {
  void *first = own->end != NULL && own->end_at == start ? own->end : python.PyLong_FromSsize_t(start);
  if (first != own->end) python.Py_DecRef(own->end); /* which allows NULL */
  own->end_at = start + length;
  own->end = first != NULL ? python.PyLong_FromSsize_t(own->end_at) : NULL;
  void *range = own->end != NULL ? python.PySlice_New(first, own->end, NULL) : NULL;
  void *view = range != NULL ? python.PyObject_GetItem(own->arena, range) : NULL;
  python.Py_DecRef(range);
  python.Py_DecRef(first);
  return view;
}

/* A payload as a view of the arena, or as bytes if there is no view. */
static void *take_payload(taking *own, ptrdiff_t position) {
  const mctx_datagram *datagram = &own->batch->datagrams[position];
  if (own->arena != NULL) return take_view(own, (ptrdiff_t)datagram->offset, (ptrdiff_t)datagram->length);
  return python.PyBytes_FromStringAndSize((const char *)own->batch->arena + datagram->offset,
                                          (ptrdiff_t)datagram->length);
}

void *mctx_python_payloads(void *self, void *const *arguments, ptrdiff_t count) {
  (void)self;
  taking own;
  if (!take_from(&own, arguments[0], count > 1 ? arguments[1] : NULL)) return NULL;
  const ptrdiff_t length = (ptrdiff_t)own.batch->datagram_count;
  void *list = python.PyList_New(length);
  for (ptrdiff_t i = 0; list != NULL && i < length; i++) {
    void *payload = take_payload(&own, i);
    if (payload != NULL && python.PyList_SetItem(list, i, payload) == 0) continue;
    python.Py_DecRef(list);
    list = NULL;
  }
  python.Py_DecRef(own.end);
  return list;
}

/* A batch that is being turned into objects. */
typedef struct collecting {
  taking from;
  maker how;
  void *record; /* of the datagram before, or NULL */
  uint32_t message;
  uint32_t truncated;
} collecting;

/* The datagrams of a message share their record, but for a truncated one. */
static void *record_for(collecting *own, const mctx_datagram *datagram) {
  const uint32_t truncated = datagram->flags & MCTX_DATAGRAM_TRUNCATED;
  if (own->record != NULL && own->message == datagram->message && own->truncated == truncated)
    return own->record;
  mctx_message message = own->from.batch->messages[datagram->message];
  message.flags &= ~(uint32_t)MCTX_MESSAGE_TRUNCATED;
  if (truncated != 0) message.flags |= MCTX_MESSAGE_TRUNCATED;
  python.Py_DecRef(own->record);
  own->record = python.PyBytes_FromStringAndSize((const char *)&message, (ptrdiff_t)sizeof message);
  own->message = datagram->message;
  own->truncated = truncated;
  return own->record;
}

static void *collected(collecting *own, ptrdiff_t position) {
  void *payload = take_payload(&own->from, position);
  return make_datagram(&own->how, payload, record_for(own, &own->from.batch->datagrams[position]));
}

void *mctx_python_collect(void *self, void *arguments) {
  (void)self;
  collecting own = {.how = maker_at(arguments, 0)};
  void *arena = python.PyTuple_Size(arguments) > 4 ? python.PyTuple_GetItem(arguments, 4) : NULL;
  if (!take_from(&own.from, python.PyTuple_GetItem(arguments, 3), arena)) return NULL;
  const ptrdiff_t count = (ptrdiff_t)own.from.batch->datagram_count;
  void *list = python.PyList_New(count);
  for (ptrdiff_t i = 0; list != NULL && i < count; i++) {
    void *datagram = collected(&own, i);
    if (datagram != NULL && python.PyList_SetItem(list, i, datagram) == 0) continue;
    python.Py_DecRef(list);
    list = NULL;
  }
  python.Py_DecRef(own.record);
  python.Py_DecRef(own.from.end);
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

# SPDX-License-Identifier: MIT
"""Shortcuts for CPython: functions of the native library as builtins, at a tenth of what ctypes costs.

They use functions of CPython's stable ABI alone; see src/python.h of the library. Other interpreters, and
CPython without its lock, do without them: every user of this module has another way.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char,
    c_char_p,
    c_int,
    c_int32,
    c_ssize_t,
    c_uint32,
    c_void_p,
    py_object,
)
from typing import Any, TypeAlias

from libmctx import _ffi

VARIABLE = "LIBMCTX_PYTHON_SHORTCUTS"
"""0 does without them, which tests what others use."""

Method: TypeAlias = Callable[..., Any]


class PyBuffer(Structure):
    """``mctx_python_buffer``, CPython's ``Py_buffer``; nothing here looks into it but for the address."""

    _fields_ = [("address", c_void_p), ("opaque", c_void_p * 9)]


class _MethodDef(Structure):
    """CPython's ``PyMethodDef``."""

    _fields_ = [("name", c_char_p), ("function", c_void_p), ("flags", c_int), ("doc", c_char_p)]


class _Room(Structure):
    """``mctx_python_room``."""

    _fields_ = [("data", c_char * 65_536), ("is_taken", c_bool)]


_METH_O = 0x08
_METH_KEYWORDS = 0x02
_METH_FASTCALL = 0x80
_API = (
    "PyObject_GetBuffer",
    "PyBuffer_Release",
    "PyBytes_FromStringAndSize",
    "PyLong_FromSsize_t",
    "PyLong_AsUnsignedLongLong",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "Py_DecRef",
    "PyLong_AsLongLong",
    "PyErr_Occurred",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyList_New",
    "PyList_SetItem",
    "PyType_GenericAlloc",
    "PyObject_SetAttr",
    "PyTuple_Size",
    "PySlice_New",
    "PyObject_GetItem",
    "PyBytes_AsStringAndSize",
    "PyErr_Clear",
    "PyErr_NoMemory",
    "PyMem_Malloc",
    "PyMem_Free",
    "Py_IncRef",
    "PyDict_GetItemWithError",
    "PyObject_CallFunctionObjArgs",
    "PyObject_Type",
    "PyList_GetItem",
    "PyBytes_Type",
)


def are_wanted() -> bool:
    """Return whether this interpreter is one for them."""
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return sys.implementation.name == "cpython" and has_lock and os.environ.get(VARIABLE) != "0"


def _start() -> bool:
    """Hand the interpreter's functions to the library; return whether it takes them."""
    if not are_wanted():
        return False
    try:
        init = _ffi.declare(_ffi.quick, "mctx_python_init", c_int32, c_void_p * len(_API), c_uint32)
    except ImportError:
        return False
    api = (c_void_p * len(_API))(*(ctypes.cast(ctypes.pythonapi[name], c_void_p) for name in _API))
    return bool(init(api, ctypes.sizeof(api)) == 0)


if sys.implementation.name == "cpython":
    get_buffer = ctypes.PYFUNCTYPE(c_int, py_object, POINTER(PyBuffer), c_int)(
        ("PyObject_GetBuffer", ctypes.pythonapi)
    )
    release_buffer = ctypes.PYFUNCTYPE(None, POINTER(PyBuffer))(("PyBuffer_Release", ctypes.pythonapi))

available = _start()
has_records = available and _ffi.constant("sizeof(mctx_message)") == ctypes.sizeof(_ffi.Message)
"""Whether message records have the length that those of received datagrams have here."""

if available:
    hold = _ffi.declare(
        _ffi.quick, "mctx_python_hold", c_int, py_object, c_ssize_t, POINTER(PyBuffer), POINTER(_ffi.Slice)
    )
    release = _ffi.declare(_ffi.quick, "mctx_python_release", None, POINTER(PyBuffer), c_ssize_t)
    _new_function = ctypes.PYFUNCTYPE(py_object, POINTER(_MethodDef), py_object, c_void_p)(
        ("PyCFunction_NewEx", ctypes.pythonapi)
    )

    def _maker(name: str, flags: int, text: str) -> Callable[[Any], Method]:
        """Return what makes a builtin of an object: the function's first argument."""
        function = ctypes.cast(_ffi.quick[f"mctx_python_{name}"], c_void_p)
        method = _MethodDef(name.encode(), function, flags, text.encode())
        ctypes.pythonapi.Py_IncRef(py_object(method))  # functions made of it may outlive this module
        return lambda own: _new_function(method, own, None)

    sender = _maker("send", _METH_O, "send($self, payload, /)\n--\n\nSend one datagram.")
    """Of (publication, last report, reports, what answers else): of a payload, returns a report."""
    many_sender = _maker("send_many", _METH_FASTCALL | _METH_KEYWORDS, "Send many datagrams.")
    """Of a publication: of payloads, and nanoseconds by a name, returns an int, how many there were, or a
    `_ffi.Refusal`."""
    segments_sender = _maker("send_segments", _METH_FASTCALL | _METH_KEYWORDS, "Send pieces of one buffer.")
    """The same of a buffer and a size, and nanoseconds by a name; returns b"" if the size doesn't fit."""
    _receiver = _maker("recv", _METH_O, "Receive one datagram.")

    def receiver(how: tuple[int, type, str, str]) -> Method:
        """Of (subscription, type, two names of attributes): of nanoseconds, returns one or an error record."""
        room = _Room()
        return _receiver((*how, ctypes.addressof(room), room))

    batch_receiver = _maker("recv_batch", _METH_O, "Receive many datagrams.")
    """Of (subscription, address of a batch, room for records, memory): of nanoseconds, returns how many came or
    an error record."""
    payloads: Callable[..., list[Any]] = _maker("payloads", _METH_FASTCALL, "Take a batch's payloads.")(None)
    """Copies the payloads of the batch at an address; or, with a view of its memory, makes views."""
    collect: Callable[[tuple[Any, ...]], list[Any]] = _maker("collect", _METH_O, "Make datagrams.")(None)
    """Makes a batch's datagrams: of a type, its attributes' names, the batch's address, and a view of it."""

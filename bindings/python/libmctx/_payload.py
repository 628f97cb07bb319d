# SPDX-License-Identifier: MIT
"""Payloads: from any contiguous buffer to an address and a length, without a copy where that is possible."""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from libmctx import _ffi

if TYPE_CHECKING:
    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer
    Payload: TypeAlias = bytes | bytearray | memoryview | Buffer
    """Anything with contiguous bytes: bytes, bytearray, memoryview, array, mmap, a NumPy array."""

_python_api: Any = getattr(ctypes, "pythonapi", None)
_PLAIN = frozenset((bytes, bytearray))

_SEGMENT_MAX = 65507
"""The largest payload that a datagram of either family can have."""

_JOIN_MAX = 4096
"""Datagrams larger than this, on average, are sent from where they stand; smaller ones are cheaper to copy."""


class _PyBuffer(ctypes.Structure):
    """CPython's ``Py_buffer``; only its first member is read."""

    _fields_ = [("buf", ctypes.c_void_p), ("rest", ctypes.c_char * 256)]


class _Export:
    """Holds a read-only buffer in place while its address is in use."""

    __slots__ = ("_buffer", "address")

    def __init__(self, view: memoryview) -> None:
        buffer = _PyBuffer()
        _python_api.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(buffer), 0)
        self._buffer = buffer
        self.address: int = buffer.buf

    def __del__(self) -> None:
        if hasattr(self, "_buffer"):
            _python_api.PyBuffer_Release(ctypes.byref(self._buffer))


def _start(payload: bytes) -> int:
    """Return the address of an immutable payload."""
    return ctypes.cast(ctypes.c_char_p(payload), ctypes.c_void_p).value or 0


def view_of(payload: Payload) -> memoryview:
    """Return a memoryview of a payload.

    Raises:
        TypeError: It is not a buffer.
        BufferError: Its bytes are not contiguous.
    """
    try:
        view = memoryview(payload)
    except TypeError:
        kind = type(payload).__name__
        hint = (
            "encode text first: text.encode()" if isinstance(payload, str) else "pass bytes or another buffer"
        )
        raise TypeError(f"a payload must be a contiguous buffer, not {kind}: {hint}") from None
    if not view.c_contiguous:
        raise BufferError("a payload must be contiguous, and this buffer has gaps: pass a copy, bytes(buffer)")
    return view


def address_of(payload: Payload) -> tuple[int, int, object]:
    """Return where a payload stands in memory.

    Returns:
        Its address, its length in bytes, and what must stay alive while they are in use.

    Raises:
        TypeError: It is not a buffer.
        BufferError: Its bytes are not contiguous.
    """
    if type(payload) is not bytes:
        view = view_of(payload)
        if view.nbytes == 0:
            return 0, 0, None
        if not view.readonly:
            start = ctypes.c_char.from_buffer(view)
            return ctypes.addressof(start), view.nbytes, start
        if _python_api is not None:
            export = _Export(view)
            return export.address, view.nbytes, export
        payload = view.tobytes()
    return _start(payload), len(payload), payload


class Batch:
    """Datagrams laid out for the native batch calls, which can be resumed at any position."""

    __slots__ = ("_base", "_keep", "_segment_size", "_slices", "_total", "count")

    def __init__(
        self,
        count: int,
        keep: object,
        *,
        base: int = 0,
        total: int = 0,
        segment_size: int = 0,
        slices: array[int] | None = None,
    ) -> None:
        self.count = count
        self._keep = keep
        self._base = base
        self._total = total
        self._segment_size = segment_size
        self._slices = slices

    @classmethod
    def of(cls, payloads: Iterable[Payload]) -> Batch:
        """Lay out one datagram for each payload.

        Raises:
            TypeError: ``payloads`` is one buffer itself, or one of them is not a buffer.
            BufferError: The bytes of one are not contiguous.
        """
        if isinstance(payloads, (bytes, bytearray, memoryview, str)):
            raise TypeError(
                f"payloads must be a sequence of buffers, not one {type(payloads).__name__}: "
                f"pass a list, or cut one buffer into datagrams with send_segments()"
            )
        items: Any = payloads if isinstance(payloads, (list, tuple)) else list(payloads)
        if _PLAIN.issuperset(map(type, items)):
            lengths = list(map(len, items))
        else:
            items = [view_of(item) for item in items]
            lengths = [item.nbytes for item in items]
        total = sum(lengths)
        if total > _JOIN_MAX * len(lengths):
            pinned = [address_of(item) for item in items]
            return cls(len(lengths), pinned, slices=_slices([each[0] for each in pinned], lengths))
        data = b"".join(items)
        if len(data) != total:
            raise BufferError("a payload changed its size while it was being sent")
        base = _start(data)
        if len(set(lengths)) == 1 and 0 < lengths[0] <= _SEGMENT_MAX:
            return cls(len(lengths), data, base=base, total=total, segment_size=lengths[0])
        return cls(len(lengths), data, slices=_slices(accumulate(lengths[:-1], initial=base), lengths))

    @classmethod
    def segments(cls, buffer: Payload, size: int) -> Batch:
        """Cut a buffer into datagrams of one size, without a copy.

        Raises:
            TypeError: It is not a buffer.
            BufferError: Its bytes are not contiguous.
        """
        base, total, keep = address_of(buffer)
        count = -(-total // size) if size > 0 else 1
        return cls(count, keep, base=base, total=total, segment_size=size)

    def send(
        self, handle: int, start: int, flags: int, timeout_ns: int, accepted: ctypes.c_uint64, error: _ffi.Error
    ) -> int:
        """Send what stands from datagram ``start`` on; return the status. ``accepted`` is set always."""
        if self._slices is not None:
            address = self._slices.buffer_info()[0] + 16 * start
            return int(_ffi.send_batch(handle, address, self.count - start, flags, timeout_ns, accepted, error))
        size = self._segment_size
        address, length = self._base + start * size, self._total - start * size
        return int(_ffi.send_segments(handle, address, length, size, flags, timeout_ns, accepted, error))


def _slices(addresses: Iterable[int], lengths: Sequence[int]) -> array[int]:
    """Lay out an array of ``mctx_slice``."""
    if not lengths:
        return array("Q")
    slices = array("Q", bytes(16 * len(lengths)))
    slices[0::2] = array("Q", addresses)
    slices[1::2] = array("Q", lengths)
    return slices

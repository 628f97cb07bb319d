# SPDX-License-Identifier: MIT
"""Payloads: from any contiguous buffers to addresses and lengths, on CPython without a copy."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from libmctx import _ffi

if TYPE_CHECKING:
    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer
    Payload: TypeAlias = bytes | bytearray | memoryview | Buffer
    """Anything with contiguous bytes: bytes, bytearray, memoryview, array, mmap, a NumPy array."""
    Writable: TypeAlias = bytearray | memoryview | Buffer
    """The same, to be written."""


def view_of(payload: Payload, name: str = "a payload") -> memoryview:
    """Return a memoryview of a payload, which an error calls by its name.

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
        raise TypeError(f"{name} must be a contiguous buffer, not {kind}: {hint}") from None
    if not view.c_contiguous:
        raise BufferError(f"{name} must be contiguous, and this buffer has gaps: pass a copy, bytes(buffer)")
    return view


def writable(buffer: Writable) -> memoryview:
    """Return a memoryview of the bytes of memory to write into.

    Raises:
        TypeError: It is not a buffer, can't be written, or its bytes are not contiguous.
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        raise TypeError(f"buffer must be a writable buffer, not {type(buffer).__name__}") from None
    if view.readonly or not view.c_contiguous:
        raise TypeError("buffer must be writable and contiguous: a bytearray, or a memoryview of one")
    return view.cast("B")


def _views(payloads: tuple[Payload, ...]) -> list[memoryview]:
    """Return a memoryview of each; an error says which it is of."""
    if len(payloads) == 1:
        return [view_of(payloads[0])]
    return [view_of(payload, f"payload {item}") for item, payload in enumerate(payloads)]


class Held:
    """Buffers held in place, so that they stay as they are while it lives, and a slice for each."""

    __slots__ = ("_buffers", "_count", "slices")

    def __init__(self, payloads: tuple[Payload, ...]) -> None:
        """Hold them.

        Raises:
            TypeError: One is not a buffer.
            BufferError: The bytes of one are not contiguous.
        """
        count = len(payloads)
        self._count = 0
        self._buffers = (_ffi.PyBuffer * count)()
        self.slices = (_ffi.Slice * count)()
        try:
            _ffi.python_hold(payloads, count, self._buffers, self.slices)
        except (TypeError, BufferError):
            _views(payloads)
            raise
        self._count = count

    def release(self) -> None:
        """Let go of them; doing it again does nothing."""
        count, self._count = self._count, 0
        _ffi.python_release(self._buffers, count)

    def __del__(self) -> None:
        self.release()


class Copied:
    """What `Held` is, from copies: for interpreters that don't tell where a buffer is."""

    __slots__ = ("_copies", "slices")

    def __init__(self, payloads: tuple[Payload, ...]) -> None:
        """Copy them.

        Raises:
            TypeError: One is not a buffer.
            BufferError: The bytes of one are not contiguous.
        """
        copies = [view.tobytes() for view in _views(payloads)]
        self._copies = [ctypes.c_char_p(copy) for copy in copies]
        self.slices = (_ffi.Slice * len(copies))()
        for part, pointer, copy in zip(self.slices, self._copies, copies, strict=True):
            part.data = ctypes.cast(pointer, ctypes.c_void_p).value or 0
            part.length = len(copy)

    def release(self) -> None:
        """Do nothing: copies hold nobody."""


hold: Callable[[tuple[Any, ...]], Held | Copied] = Held if _ffi.has_python_shortcuts else Copied


class Batch:
    """Datagrams laid out for the native batch calls, which can be resumed at any position."""

    __slots__ = ("_held", "_segment_size")

    def __init__(self, payloads: tuple[Any, ...], segment_size: int | None = None) -> None:
        self._held = hold(payloads)
        self._segment_size = segment_size

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
        try:
            each = iter(payloads)
        except TypeError:
            kind = type(payloads).__name__
            raise TypeError(f"payloads must be a sequence of buffers, not {kind}") from None
        return cls(tuple(each))

    @classmethod
    def segments(cls, buffer: Payload, size: int) -> Batch:
        """Cut a buffer into datagrams of one size.

        Raises:
            TypeError: It is not a buffer.
            BufferError: Its bytes are not contiguous.
        """
        return cls((buffer,), size)

    def release(self) -> None:
        """Let go of the payloads."""
        self._held.release()

    def send(
        self, handle: int, start: int, flags: int, timeout_ns: int, accepted: ctypes.c_uint64, error: _ffi.Error
    ) -> int:
        """Send what stands from datagram ``start`` on; return the status. ``accepted`` is set always."""
        slices, size = self._held.slices, self._segment_size
        if size is None:
            address, count = ctypes.addressof(slices) + start * ctypes.sizeof(_ffi.Slice), len(slices) - start
            return int(_ffi.send_batch(handle, address, count, flags, timeout_ns, accepted, error))
        address, length = slices[0].data + start * size, slices[0].length - start * size
        return int(_ffi.send_segments(handle, address, length, size, flags, timeout_ns, accepted, error))


def _plain_sender(handle: int) -> Callable[[Any], int | bytes]:
    """Make the function that sends on a publication: of a payload, returns its length or an error record."""

    def send(payload: Any) -> int | bytes:
        data = payload if type(payload) is bytes else view_of(payload).tobytes()
        error = _ffi.new_error()
        return len(data) if _ffi.send(handle, data, len(data), error) == 0 else bytes(error)

    return send


sender: Callable[[int], Callable[[Any], int | bytes]]
sender = _ffi.sender if _ffi.has_python_shortcuts else _plain_sender

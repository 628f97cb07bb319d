# SPDX-License-Identifier: MIT
"""Payloads: from any contiguous buffers to addresses and lengths, on CPython without a copy; and sent."""

from __future__ import annotations

import ctypes
import operator
import sys
from array import array
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

from libmctx import _ffi, _shortcuts

if TYPE_CHECKING:
    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        from typing_extensions import Buffer
    Payload: TypeAlias = bytes | bytearray | memoryview | Buffer
    """Anything with contiguous bytes: bytes, bytearray, memoryview, array, mmap, a NumPy array."""
    Writable: TypeAlias = bytearray | memoryview | Buffer
    """The same, to be written."""


_INTERRUPTIBLE = _ffi.constant("MCTX_INTERRUPTIBLE")
_NUMBERS = frozenset("cbB?hHiIlLqQnNefdgP")
"""The formats of plain numbers and characters (`struct`)."""
_EQUAL_MOST = 65_507
"""Bytes of the largest datagram that all systems and families send."""


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


def check(payloads: tuple[Payload, ...]) -> list[memoryview]:
    """Return a memoryview of each; an error says which it is of.

    Raises:
        TypeError: One is not a buffer.
        BufferError: The bytes of one are not contiguous.
    """
    if len(payloads) == 1:
        return [view_of(payloads[0])]
    return [view_of(payload, f"payload {item}") for item, payload in enumerate(payloads)]


def _is_one(payloads: Any) -> bool:
    """Return whether it is text or a buffer of plain numbers, a row of which is no row of payloads."""
    if isinstance(payloads, (str, memoryview)):
        return True
    try:
        view = memoryview(payloads)
    except (TypeError, ValueError, BufferError):
        return False
    return view.ndim < 2 and view.format.lstrip("@=<>!Z") in _NUMBERS


def several(payloads: Iterable[Payload]) -> tuple[Payload, ...]:
    """Return the payloads of a batch, as they are now.

    Raises:
        TypeError: ``payloads`` is one buffer itself, or no iterable.
    """
    if type(payloads) is list or type(payloads) is tuple:
        return tuple(payloads)
    if _is_one(payloads):
        raise TypeError(
            f"payloads must be a sequence of buffers, not one {type(payloads).__name__}: "
            f"pass a list, or cut one buffer into datagrams with send_segments()"
        )
    try:
        each = iter(payloads)
    except TypeError:
        kind = type(payloads).__name__
        raise TypeError(f"payloads must be a sequence of buffers, not {kind}") from None
    return tuple(each)


class Held:
    """Buffers held in place, so that they stay as they are while it lives, and a slice for each."""

    __slots__ = ("_buffers", "_count", "slices")

    segment_size: int | None = None

    def __init__(self, payloads: tuple[Payload, ...]) -> None:
        """Hold them.

        Raises:
            TypeError: One is not a buffer.
            BufferError: The bytes of one are not contiguous.
        """
        count = len(payloads)
        self._count = 0
        self._buffers = (_shortcuts.PyBuffer * count)()
        self.slices = (_ffi.Slice * count)()
        try:
            _shortcuts.hold(payloads, count, self._buffers, self.slices)
        except (TypeError, ValueError, BufferError):
            check(payloads)
            raise
        self._count = count

    def release(self) -> None:
        """Let go of them; doing it again does nothing."""
        count, self._count = self._count, 0
        _shortcuts.release(self._buffers, count)

    def __del__(self) -> None:
        self.release()


def _lengths(payloads: tuple[Any, ...]) -> list[int]:
    if {bytes, bytearray}.issuperset(map(type, payloads)):
        return list(map(len, payloads))
    return [view.nbytes for view in check(payloads)]


class Joined:
    """What `Held` is, from one copy of all: for interpreters that don't tell where a buffer is."""

    __slots__ = ("_whole", "segment_size", "slices")

    segment_size: int | None
    """Of equal payloads, the size: then one slice is all of them."""

    def __init__(self, payloads: tuple[Payload, ...]) -> None:
        """Copy them.

        Raises:
            TypeError: One is not a buffer.
            BufferError: The bytes of one are not contiguous.
        """
        try:
            lengths = _lengths(payloads)
            self._whole = ctypes.c_char_p(b"".join(payloads))
        except (TypeError, BufferError):
            check(payloads)
            raise
        count, size = len(lengths), lengths[0] if lengths else 0
        start = ctypes.cast(self._whole, ctypes.c_void_p).value or 0
        if 0 < size <= _EQUAL_MOST and lengths.count(size) == count:
            self.segment_size, self.slices = size, (_ffi.Slice * 1)(_ffi.Slice(start, count * size))
            return
        self.segment_size, self.slices = None, (_ffi.Slice * count)()
        if count > 0:
            words = memoryview(self.slices).cast("B").cast("Q")
            words[0::2] = memoryview(array("Q", accumulate(lengths[:-1], initial=start)))
            words[1::2] = memoryview(array("Q", lengths))

    def release(self) -> None:
        """Do nothing: copies hold nobody."""


class Placed:
    """One buffer, held in place where the interpreter tells where it is, else copied; and its one slice."""

    __slots__ = ("_memory", "slices")

    _memory: Any
    segment_size: int | None = None

    def __init__(self, payloads: tuple[Payload, ...]) -> None:
        """Hold it.

        Raises:
            TypeError: It is not a buffer.
            BufferError: Its bytes are not contiguous.
        """
        (payload,) = payloads
        view = view_of(payload)
        if type(payload) is not bytes and view.readonly and view.nbytes > 0:
            self._memory, address = _read_only(view)
        elif view.readonly or view.nbytes == 0:
            self._memory = ctypes.c_char_p(payload if type(payload) is bytes else b"")
            address = ctypes.cast(self._memory, ctypes.c_void_p).value or 0
        else:
            self._memory = ctypes.c_char.from_buffer(view)
            address = ctypes.addressof(self._memory)
        self.slices = (_ffi.Slice * 1)(_ffi.Slice(address, view.nbytes))

    def release(self) -> None:
        """Let go of it; doing it again does nothing."""
        self._memory = None


class _Pin:
    """The hold of CPython on a buffer."""

    __slots__ = ("_buffer", "address")

    def __init__(self, view: memoryview) -> None:
        self._buffer = _shortcuts.PyBuffer()
        _shortcuts.get_buffer(view, self._buffer, 0)
        self.address: int = self._buffer.address

    def __del__(self) -> None:
        _shortcuts.release_buffer(self._buffer)


def _read_only(view: memoryview) -> tuple[Any, int]:
    """Return what keeps a read-only buffer, or a copy of it, and the address."""
    if sys.implementation.name == "cpython":
        pin = _Pin(view)
        return pin, pin.address
    copy = ctypes.c_char_p(view.tobytes())
    return copy, ctypes.cast(copy, ctypes.c_void_p).value or 0


hold: Callable[[tuple[Any, ...]], Held | Joined] = Held if _shortcuts.available else Joined
hold_one: Callable[[tuple[Any, ...]], Held | Placed] = Held if _shortcuts.available else Placed


class Batch:
    """Datagrams laid out for the native batch calls, which can be resumed at any position."""

    __slots__ = ("_held", "_segment_size")

    def __init__(self, payloads: tuple[Any, ...], segment_size: int | None = None) -> None:
        """Hold one payload for each datagram; or, with a size, one buffer to cut into datagrams.

        Raises:
            TypeError: One is not a buffer.
            BufferError: The bytes of one are not contiguous.
        """
        self._held = hold(payloads) if segment_size is None else hold_one(payloads)
        self._segment_size = self._held.segment_size if segment_size is None else segment_size

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

    def try_send(self, handle: int, timeout_ns: int) -> int | bytes:
        """Send with one native call; return how many datagrams if that is all, or a `_ffi.Refusal`."""
        refusal = _ffi.Refusal(error=_ffi.new_error())
        accepted = ctypes.c_uint64()
        flags = _INTERRUPTIBLE if timeout_ns else 0
        if self.send(handle, 0, flags, timeout_ns, accepted, refusal.error) == 0:
            return accepted.value
        refusal.accepted = accepted.value
        return bytes(refusal)


# ---- what a publication sends with ----


Answer: TypeAlias = Callable[[Any, "int | bytes"], Any]
"""What a send without a report at hand returns or raises: of the payload, and of the bytes sent; or of the
error record; or of b"", where the payload is not a contiguous buffer."""


Sending: TypeAlias = tuple[int, list[Any], dict[int, Any], Answer]
"""A publication; the bytes sent and the report of the last one that was made; reports by bytes sent."""


def _plain_sender(own: Sending) -> Callable[[Any], Any]:
    handle, _, reports, answer = own
    call = _ffi.plain_send
    publication: Any = ctypes.c_uint64.from_param(handle)  # converted once
    records: list[Any] = []  # each, and how it is passed, is one call's at a time

    def send(payload: Any, /) -> Any:
        """Send one datagram."""
        if type(payload) is bytes:
            data = payload
        else:
            try:
                data = view_of(payload).tobytes()
            except (TypeError, BufferError):
                return answer(payload, b"")
        try:
            record = records.pop()
        except IndexError:
            error = _ffi.new_error()
            record = error, ctypes.byref(error)
        length: Any = len(data)
        try:
            report = reports[length]  # so that it also fits a C int
        except KeyError:
            report, length = None, ctypes.c_size_t(length)
        if call(publication, data, length, record[1]) != 0:
            return answer(payload, bytes(record[0]))
        records.append(record)
        return report or answer(payload, len(data))

    return send


def _plain_many_sender(handle: int) -> Callable[..., int | bytes]:
    return lambda *payloads, timeout=0: Batch(payloads).try_send(handle, timeout)


def _plain_segments_sender(handle: int) -> Callable[..., int | bytes]:
    def send_segments(buffer: Any, size: int, *, timeout: int = 0) -> int | bytes:
        number = operator.index(size)
        if not 0 <= number < 1 << 32:
            return b""
        batch = Batch((buffer,), number)
        try:
            return batch.try_send(handle, timeout)
        finally:
            batch.release()

    return send_segments


sender: Callable[[Sending], Callable[[Any], Any]]
"""Makes the function that sends on a publication: of a payload, returns the report for its length."""
many_sender: Callable[[int], Callable[..., int | bytes]]
"""Of any number of payloads, and the nanoseconds of a wait as ``timeout``, returns how many they were if all
were taken, or a `_ffi.Refusal`."""
segments_sender: Callable[[int], Callable[..., int | bytes]]
"""Of a buffer and a size, the same."""
if _shortcuts.available:
    sender, many_sender, segments_sender = (
        _shortcuts.sender,
        _shortcuts.many_sender,
        _shortcuts.segments_sender,
    )
else:
    sender, many_sender, segments_sender = _plain_sender, _plain_many_sender, _plain_segments_sender

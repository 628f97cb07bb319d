# SPDX-License-Identifier: MIT
"""Memory for receiving: one native call fills it with many datagrams, which leave it as copies or as views."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from libmctx import _ffi, _shortcuts
from libmctx._waiting import Call
from libmctx.datagram import Datagram, DatagramInfo, DatagramView, without_truncation

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_D = TypeVar("_D", bound=Datagram)

_MESSAGE = ctypes.sizeof(_ffi.Message)
_TRUNCATED = _ffi.constant("MCTX_DATAGRAM_TRUNCATED")
_AT_FLAGS = _ffi.Message.flags.offset // 4
_EVENTS = _ffi.constant("MCTX_RECEIVE_BATCH_EVENTS")
_ONE = 65_536
"""Bytes that hold any datagram."""
_USUAL = 2048
"""Bytes of arena for each datagram asked for, beside what a whole message needs."""
_MOST = 1 << 22
"""Bytes of an arena, unless one message needs more."""


collect = _shortcuts.collect if _shortcuts.has_records else None


@lru_cache(maxsize=512)
def _splitter(count: int) -> struct.Struct:
    return struct.Struct(f"{_MESSAGE}s" * count)


class Batch(list[_D]):
    """The datagrams of one receive: a list.

    With ``copy=False`` their payloads are views of the memory that they were received into. The views end with
    the same thread's next receive on the subscription, with `release`, or with the ``with`` block of the batch:
    using one raises ``ValueError`` then. What was made of a view (a slice, a NumPy array) cannot be ended; it
    stays good, and that memory is not received into again.

    Attributes:
        has_events: Whether events wait: `Subscription.events`.
    """

    __slots__ = ("_arena", "_views", "has_events")

    _views: list[list[memoryview]]
    """The payloads, once, until they are released."""

    def __init__(self, datagrams: Iterable[_D] = (), *, has_events: bool = False) -> None:
        super().__init__(datagrams)
        self.has_events = has_events
        self._views = []
        self._arena: Arena | None = None

    def release(self) -> None:
        """End the views of the payloads; with copies, or done again, it does nothing."""
        try:
            views = self._views.pop()
        except IndexError:
            return
        for view in views:
            try:
                view.release()
            except BufferError:  # something was made of it, and holds it
                continue
        if self._arena is not None:
            self._arena.come_back()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (list(self), self.has_events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _rebuild(datagrams: list[Datagram], has_events: bool) -> Batch[Datagram]:
    return Batch(datagrams, has_events=has_events)


def viewed(batch: Batch[Datagram]) -> Batch[DatagramView]:
    """Make views of the payloads of a batch."""
    views = Batch((DatagramView._of(each) for each in batch), has_events=batch.has_events)
    views._views.append([each.payload for each in views])
    return views


class Arena:
    """Memory for one receive at a time on one subscription: payloads and records, and what the calls need.

    It belongs to a pool, which it comes back to at the end of a ``with`` block unless it was lent.
    """

    __slots__ = (
        "_batch",
        "_batch_at",
        "_datagrams",
        "_is_lent",
        "_length",
        "_messages",
        "_numbers",
        "_payloads",
        "_pool",
        "_start",
        "_words",
        "capacity",
        "error",
        "handle",
    )

    def __init__(self, handle: int, pool: list[Arena], capacity: int, min_arena: int) -> None:
        """Make memory for up to ``capacity`` datagrams."""
        self.handle = handle
        self.capacity = capacity
        self.error = _ffi.new_error()
        self._pool = pool
        self._is_lent = False
        self._payloads = bytearray(min_arena + min(max(_ONE, capacity * _USUAL), _MOST))
        self._datagrams = (_ffi.Datagram * capacity)()
        self._numbers = memoryview(self._datagrams).cast("B").cast("I")
        self._messages = (_ffi.Message * capacity)()
        self._words = memoryview(self._messages).cast("B").cast("I")
        self._length = ctypes.c_size_t()
        batch = self._batch = _ffi.ReceiveBatch(size=ctypes.sizeof(_ffi.ReceiveBatch))
        batch.arena_size = len(self._payloads)
        batch.datagrams.address = ctypes.addressof(self._datagrams)
        batch.message_stride = _MESSAGE
        batch.messages.address = ctypes.addressof(self._messages)
        batch.message_capacity = capacity
        self._batch_at = ctypes.addressof(batch)
        self._locate()

    def _locate(self) -> None:
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._payloads))
        self._batch.arena.address = self._start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_lent:
            self._pool.append(self)

    def come_back(self) -> None:
        """Go back to the pool, if nothing looks at the payloads any more; else it is never used again."""
        try:
            self._payloads.append(self._payloads.pop())  # refused while a buffer of it is held
        except BufferError:
            return
        self._locate()
        self._is_lent = False
        self._pool.append(self)

    # ---- receiving ----

    def limit(self, count: int) -> None:
        """Receive at most so many datagrams in the next batch."""
        self._batch.datagram_capacity = count

    def receive(self, flags: int, timeout_ns: int) -> int:
        """Receive a batch; return the status."""
        call = _ffi.recv_batch if timeout_ns else _ffi.recv_batch_now
        code: int = call(self.handle, self._batch, flags, timeout_ns, self.error)
        return code

    def receive_one(self, flags: int, timeout_ns: int) -> int:
        """Receive one datagram; return the status."""
        return self._receive_at(self._start, len(self._payloads), flags, timeout_ns)

    def into(self, address: int, capacity: int) -> Call:
        """Make the function that receives one datagram into other memory."""
        return partial(self._receive_at, address, capacity)

    def _receive_at(self, address: int, capacity: int, flags: int, timeout_ns: int) -> int:
        call = _ffi.recv if timeout_ns else _ffi.recv_now
        message, length, error = self._messages[0], self._length, self.error
        code: int = call(self.handle, address, capacity, flags, timeout_ns, length, message, _MESSAGE, error)
        return code

    # ---- what was received ----

    def _records(self, count: int) -> Iterable[bytes]:
        """Return the record of each datagram, which those of a message share."""
        messages: int = self._batch.message_count
        records = _splitter(messages).unpack_from(self._messages)
        numbers = self._numbers[2 : 4 * count : 4]
        if self._words[_AT_FLAGS : _MESSAGE // 4 * messages : _MESSAGE // 4].tobytes().translate(None, b"\0\1"):
            whole = [without_truncation(each) for each in records]
            cut = self._numbers[3 : 4 * count : 4]
            pairs = zip(numbers, cut, strict=True)
            return [(records if flags & _TRUNCATED else whole)[each] for each, flags in pairs]
        if messages == 1:
            return repeat(records[0])
        return records if messages == count else map(records.__getitem__, numbers)

    def _views(self, count: int, whole: memoryview) -> list[memoryview]:
        """Make views of the payloads."""
        lengths = self._numbers[1 : 4 * count : 4].tolist()
        offsets = self._numbers[0 : 4 * count : 4].tolist()
        return [whole[start : start + length] for start, length in zip(offsets, lengths, strict=True)]

    def _received(self, count: int, make: Callable[..., _D], payloads: Iterable[Any]) -> Batch[_D]:
        datagrams = map(make, payloads, self._records(count))
        return Batch(datagrams, has_events=bool(self._batch.flags & _EVENTS))

    def copied(self) -> Batch[Datagram]:
        """Return what was received, copied."""
        if collect is not None:
            datagrams = collect((Datagram, "payload", "_record", self._batch_at))
            return Batch(datagrams, has_events=bool(self._batch.flags & _EVENTS))
        count: int = self._batch.datagram_count
        with memoryview(self._payloads) as whole:
            return self._received(count, Datagram, map(bytes, self._views(count, whole)))

    def lent(self) -> Batch[DatagramView]:
        """Return what was received, as views of this, which comes back when they are released."""
        with memoryview(self._payloads) as writable, writable.toreadonly() as whole:
            if collect is not None:
                datagrams = collect((DatagramView, "payload", "_record", self._batch_at, whole))
                batch: Batch[DatagramView] = Batch(datagrams, has_events=bool(self._batch.flags & _EVENTS))
            else:
                count: int = self._batch.datagram_count
                batch = self._received(count, DatagramView, self._views(count, whole))
        batch._views.append([each.payload for each in batch])
        batch._arena = self
        self._is_lent = True
        return batch

    def one(self) -> Datagram:
        """Return the one datagram that was received, copied."""
        payload = bytes(memoryview(self._payloads)[: self._length.value])
        return Datagram(payload, bytes(self._messages[0]))

    def told(self) -> tuple[int, DatagramInfo]:
        """Return how long the one datagram in other memory is, and what is known of it."""
        return self._length.value, DatagramInfo(bytes(self._messages[0]))

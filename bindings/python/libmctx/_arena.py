# SPDX-License-Identifier: MIT
"""Memory for receiving: one native call fills it with many datagrams, which leave it as copies or as views."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

from libmctx import _ffi
from libmctx._waiting import Call
from libmctx.datagram import TRUNCATED, Datagram, DatagramInfo

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_MESSAGE = ctypes.sizeof(_ffi.Message)
_MESSAGE_TRUNCATED = _ffi.constant("MCTX_MESSAGE_TRUNCATED")
_EVENTS = _ffi.constant("MCTX_RECEIVE_BATCH_EVENTS")
_ONE = 65_536
"""Bytes that hold any datagram."""
_USUAL = 2048
"""Bytes of arena for each datagram asked for, beside what a whole message needs."""
_MOST = 1 << 22
"""Bytes of an arena, unless one message needs more."""


@lru_cache(maxsize=512)
def _splitter(count: int) -> struct.Struct:
    return struct.Struct(f"{_MESSAGE}s" * count)


def _cut(message: _ffi.Message) -> int:
    """Return the flags of the only datagram of a message."""
    return TRUNCATED if message.flags & _MESSAGE_TRUNCATED else 0


class Batch(list[Datagram]):
    """The datagrams of one receive: a list.

    With ``copy=False`` their payloads are views of the memory that they were received into. The views end with
    the same thread's next receive on the subscription, with `release`, or with the ``with`` block of the batch:
    using one raises ``ValueError`` then. What was made of a view (a slice, a NumPy array) cannot be ended; it
    stays good, and that memory is not received into again.

    Attributes:
        has_events: Whether events wait: `Subscription.events`.
    """

    __slots__ = ("_lent", "has_events")

    def __init__(self, datagrams: Iterable[Datagram] = (), *, has_events: bool = False) -> None:
        super().__init__(datagrams)
        self.has_events = has_events
        self._lent: list[tuple[list[memoryview], Arena, list[Arena]]] = []

    def _lend(self, views: list[memoryview], arena: Arena, pool: list[Arena]) -> None:
        """Own an arena until the batch is released."""
        self._lent.append((views, arena, pool))

    def release(self) -> None:
        """End the views of the payloads; with copies, or done again, it does nothing."""
        try:
            views, arena, pool = self._lent.pop()
        except IndexError:
            return
        for view in views:
            try:
                view.release()
            except BufferError:  # something was made of it, and holds it
                continue
        if arena.is_free():
            pool.append(arena)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (list(self), self.has_events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _rebuild(datagrams: list[Datagram], has_events: bool) -> Batch:
    return Batch(datagrams, has_events=has_events)


class Arena:
    """Memory for one receive at a time on one subscription: payloads and records, and what the calls need."""

    __slots__ = (
        "_batch",
        "_datagrams",
        "_length",
        "_messages",
        "_numbers",
        "_payloads",
        "_start",
        "capacity",
        "count",
        "error",
        "handle",
        "message_count",
    )

    def __init__(self, handle: int, capacity: int, min_arena: int) -> None:
        """Make memory for up to ``capacity`` datagrams."""
        self.handle = handle
        self.capacity = capacity
        self.count = 0
        self.message_count = 0
        self.error = _ffi.new_error()
        self._payloads = bytearray(min_arena + min(max(_ONE, capacity * _USUAL), _MOST))
        self._datagrams = (_ffi.Datagram * capacity)()
        self._numbers = memoryview(self._datagrams).cast("B").cast("I")
        self._messages = (_ffi.Message * capacity)()
        self._length = ctypes.c_size_t()
        batch = self._batch = _ffi.ReceiveBatch(size=ctypes.sizeof(_ffi.ReceiveBatch))
        batch.arena_size = len(self._payloads)
        batch.datagrams.address = ctypes.addressof(self._datagrams)
        batch.message_stride = _MESSAGE
        batch.messages.address = ctypes.addressof(self._messages)
        batch.message_capacity = capacity
        self._locate()

    def _locate(self) -> None:
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._payloads))
        self._batch.arena.address = self._start

    def is_free(self) -> bool:
        """Return whether nothing looks at the payloads any more; only then may it be used again."""
        try:
            self._payloads.append(self._payloads.pop())  # refused while a buffer of it is held
        except BufferError:
            return False
        self._locate()
        return True

    # ---- receiving ----

    def limit(self, count: int) -> None:
        """Receive at most so many datagrams in the next batch."""
        self._batch.datagram_capacity = count

    def fill(self, flags: int, timeout_ns: int) -> int:
        """Receive a batch; return the status. ``count`` and ``message_count`` say how many there are."""
        call = _ffi.recv_batch if timeout_ns else _ffi.recv_batch_now
        batch = self._batch
        code: int = call(self.handle, batch, flags, timeout_ns, self.error)
        self.count, self.message_count = batch.datagram_count, batch.message_count
        return code

    def has_events(self) -> bool:
        """Return whether the last batch said that events wait."""
        return bool(self._batch.flags & _EVENTS)

    def start(self) -> None:
        """Begin a batch of single receives."""
        self.count = self.message_count = self._batch.flags = 0

    def _recv(self, address: int, capacity: int, message: _ffi.Message, flags: int, timeout_ns: int) -> int:
        call = _ffi.recv if timeout_ns else _ffi.recv_now
        length, error = self._length, self.error
        code: int = call(self.handle, address, capacity, flags, timeout_ns, length, message, _MESSAGE, error)
        return code

    def add(self, flags: int, timeout_ns: int) -> int:
        """Receive one more datagram; return the status. There must be room for it."""
        numbers, count = self._numbers, self.count
        at = 4 * count
        offset = numbers[at - 4] + numbers[at - 3] if count else 0
        message = self._messages[count]
        code = self._recv(self._start + offset, len(self._payloads) - offset, message, flags, timeout_ns)
        if code == 0:
            numbers[at], numbers[at + 1], numbers[at + 2] = offset, self._length.value, count
            numbers[at + 3] = _cut(message)
            self.count = self.message_count = count + 1
        return code

    def into(self, address: int, capacity: int) -> Call:
        """Make the function that receives one datagram into other memory."""
        message = self._messages[0]

        def call(flags: int, timeout_ns: int) -> int:
            return self._recv(address, capacity, message, flags, timeout_ns)

        return call

    def has_room(self) -> bool:
        """Return whether there is room for one more, whatever its size."""
        at = 4 * self.count
        return self.count == 0 or self._numbers[at - 4] + self._numbers[at - 3] + _ONE <= len(self._payloads)

    # ---- what was received ----

    def _records(self) -> Iterable[bytes]:
        """Return the record of each datagram's message."""
        count = self.message_count
        records = _splitter(count).unpack_from(self._messages)
        if count == 1:
            return repeat(records[0])
        if count == self.count:
            return records
        return map(records.__getitem__, self._numbers[2 : 4 * self.count : 4])

    def _copies(self) -> list[bytes]:
        """Copy the payloads."""
        count, numbers = self.count, self._numbers
        lengths = numbers[1 : 4 * count : 4].tolist()
        size, first, last = lengths[0], numbers[0], numbers[4 * count - 4]
        data = bytes(memoryview(self._payloads)[first : last + lengths[-1]])
        if size and last - first == (count - 1) * size and lengths.count(size) == count:
            return [each for (each,) in struct.iter_unpack(f"{size}s", data)]
        starts = [offset - first for offset in numbers[0 : 4 * count : 4].tolist()]
        return [data[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    def _views(self) -> list[memoryview]:
        """Make views of the payloads."""
        lengths = self._numbers[1 : 4 * self.count : 4].tolist()
        offsets = self._numbers[0 : 4 * self.count : 4].tolist()
        with memoryview(self._payloads) as writable, writable.toreadonly() as whole:
            return [whole[start : start + length] for start, length in zip(offsets, lengths, strict=True)]

    def _received(self, payloads: Iterable[bytes] | Iterable[memoryview]) -> Iterator[Datagram]:
        return map(Datagram, payloads, self._records(), self._numbers[3 : 4 * self.count : 4])

    def one(self) -> Datagram:
        """Return the one datagram that was received, copied."""
        payload = bytes(memoryview(self._payloads)[: self._length.value])
        return Datagram(payload, bytes(self._messages[0]), self._numbers[3])

    def told(self) -> tuple[int, DatagramInfo]:
        """Return how long the one datagram in other memory is, and what is known of it."""
        message = self._messages[0]
        return self._length.value, DatagramInfo(bytes(message), _cut(message))

    def copied(self) -> Batch:
        """Return what was received, copied."""
        return Batch(self._received(self._copies()), has_events=self.has_events())

    def lent(self, pool: list[Arena]) -> Batch:
        """Return what was received, as views of this, which comes back to the pool when they have ended."""
        views = self._views()
        batch = Batch(self._received(views), has_events=self.has_events())
        batch._lend(views, self, pool)
        return batch

# SPDX-License-Identifier: MIT
"""Memory for receiving: one native call fills it with many datagrams, which leave it as copies or as views."""

from __future__ import annotations

import ctypes
import struct
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from libmctx import _ffi, _shortcuts
from libmctx._columns import MESSAGE, RECORD, Columns, copy_payloads
from libmctx._waiting import Call
from libmctx.datagram import Datagram, DatagramInfo, DatagramView, without_truncation

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_D = TypeVar("_D")

_TRUNCATED = _ffi.constant("MCTX_DATAGRAM_TRUNCATED")
_AT_FLAGS = _ffi.Message.flags.offset + (0 if sys.byteorder == "little" else 3)
"""Of the byte that holds all flags of a message."""
_INTERRUPTIBLE = _ffi.constant("MCTX_INTERRUPTIBLE")
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
    return struct.Struct(f"{MESSAGE}s" * count)


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
        released = map(memoryview.release, views)
        while True:
            try:
                deque(released, maxlen=0)
                break
            except BufferError:  # something was made of one, and holds it
                continue
        arena, self._arena = self._arena, None
        if arena is not None:
            arena.come_back()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (list(self), self.has_events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _rebuild(datagrams: list[_D], has_events: bool) -> Batch[_D]:
    return Batch(datagrams, has_events=has_events)


def viewed(batch: Batch[Datagram]) -> Batch[DatagramView]:
    """Make views of the payloads of a batch."""
    views = Batch((DatagramView._of(each) for each in batch), has_events=batch.has_events)
    views._views.append([each.payload for each in views])
    return views


def as_it_is(batch: Batch[Datagram]) -> Batch[Datagram]:
    """Return a batch."""
    return batch


def viewed_payloads(batch: Batch[Datagram]) -> Batch[memoryview]:
    """Make views of the payloads of a batch."""
    views = Batch((memoryview(each.payload) for each in batch), has_events=batch.has_events)
    views._views.append(list(views))
    return views


def payloads_of(batch: Batch[Datagram]) -> list[bytes]:
    """Return the payloads of a batch."""
    return [each.payload for each in batch]


def _fetch(arena: Arena, timeout_ns: int) -> int | bytes:
    if arena.receive(_INTERRUPTIBLE if timeout_ns else 0, timeout_ns) != 0:
        return bytes(arena.error)
    count: int = arena._batch.datagram_count
    return count


def _plain_receiver(how: tuple[int, type[Datagram], str, str]) -> Callable[[int], Datagram | bytes]:
    subscription, capacity, size = ctypes.c_uint64(how[0]), ctypes.c_size_t(_ONE), ctypes.c_uint32(MESSAGE)
    now = ctypes.c_int64(0)
    spare: list[tuple[Any, ...]] = []  # what a call needs; each is one call's at a time

    def receive(timeout_ns: int) -> Datagram | bytes:
        try:
            own = spare.pop()
        except IndexError:
            own = _room()
        memory, length, message, error, *pointers = own
        address, length_at, message_at, error_at = pointers
        if timeout_ns == 0:
            code = _ffi.plain_recv_now(
                subscription, address, capacity, 0, now, length_at, message_at, size, error_at
            )
        else:
            code = _ffi.plain_recv(
                subscription,
                address,
                capacity,
                _INTERRUPTIBLE,
                ctypes.c_int64(timeout_ns),
                length_at,
                message_at,
                size,
                error_at,
            )
        received = bytes(error) if code else Datagram(memory[: length.value], bytes(message))
        spare.append(own)
        return received

    return receive


def _room() -> tuple[Any, ...]:
    memory = (ctypes.c_char * _ONE)()
    parts = memory, ctypes.c_size_t(), _ffi.Message(), _ffi.new_error()
    return *parts, *map(ctypes.pointer, parts)


receiver: Callable[[tuple[int, type[Datagram], str, str]], Callable[[int], Any]]
"""Makes the short way to one datagram: of nanoseconds, returns it or an error record."""
receiver = _shortcuts.receiver if _shortcuts.has_records else _plain_receiver


class Pool(list["Arena"]):
    """The arenas of a subscription that nobody receives into; none once it is closed."""

    __slots__ = ("_is_closed",)

    def __init__(self) -> None:
        super().__init__()
        self._is_closed = False

    def put(self, arena: Arena) -> None:
        """Keep an arena for the next receive."""
        if not self._is_closed:
            self.append(arena)

    def close(self) -> None:
        """Let go of all, and of those that come back later."""
        self._is_closed = True
        self.clear()


class Arena:
    """Memory for one receive at a time on one subscription: records and payloads, and what the calls need.

    It belongs to a pool, which it comes back to at the end of a ``with`` block unless it was lent.
    """

    __slots__ = (
        "__weakref__",
        "_batch",
        "_batch_at",
        "_is_moved",
        "_length",
        "_limit",
        "_memory",
        "_message",
        "_payloads_at",
        "_pool",
        "_start",
        "capacity",
        "error",
        "fetch",
        "handle",
        "is_lent",
    )

    fetch: Callable[[int], Any]
    """The short way to a batch: of nanoseconds, returns how many datagrams came or an error record."""

    def __init__(self, handle: int, pool: Pool, capacity: int, min_arena: int) -> None:
        """Make memory for up to ``capacity`` datagrams."""
        self.handle = handle
        self.capacity = self._limit = capacity
        self.error = _ffi.new_error()
        self._pool = pool
        self.is_lent = False
        self._length = ctypes.c_size_t()
        self._message = _ffi.Message()
        self._payloads_at = capacity * (RECORD + MESSAGE)
        payloads = min_arena + min(max(_ONE, capacity * _USUAL), _MOST)
        self._memory = bytearray(self._payloads_at + payloads)
        batch = self._batch = _ffi.ReceiveBatch(size=ctypes.sizeof(_ffi.ReceiveBatch))
        batch.arena_size = payloads
        batch.message_stride = MESSAGE
        batch.message_capacity = batch.datagram_capacity = capacity
        self._batch_at = ctypes.addressof(batch)
        self._is_moved = True
        if _shortcuts.has_records:
            self.fetch = _shortcuts.batch_receiver((handle, self._batch_at, capacity, self._memory))
        else:
            self.fetch = partial(_fetch, weakref.proxy(self))

    def _locate(self) -> None:
        self._is_moved = False
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._batch.datagrams.address = start
        self._batch.messages.address = start + self.capacity * RECORD
        self._start = self._batch.arena.address = start + self._payloads_at

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_lent:
            self._pool.put(self)

    def come_back(self) -> None:
        """Go back to the pool, if nothing looks at the memory any more; else it is never used again."""
        try:
            self._memory.append(self._memory.pop())  # refused while a buffer of it is held
        except BufferError:
            return
        self.is_lent, self._is_moved = False, True
        self._pool.put(self)

    # ---- receiving ----

    def limit(self, count: int) -> None:
        """Receive at most so many datagrams in the next batch."""
        if count != self._limit:
            self._limit = self._batch.datagram_capacity = count

    def receive(self, flags: int, timeout_ns: int) -> int:
        """Receive a batch; return the status."""
        if self._is_moved:
            self._locate()
        call = _ffi.recv_batch if timeout_ns else _ffi.recv_batch_now
        code: int = call(self.handle, self._batch, flags, timeout_ns, self.error)
        return code

    def receive_one(self, flags: int, timeout_ns: int) -> int:
        """Receive one datagram; return the status."""
        if self._is_moved:
            self._locate()
        return self._receive_at(self._start, len(self._memory) - self._payloads_at, flags, timeout_ns)

    def into(self, address: int, capacity: int) -> Call:
        """Make the function that receives one datagram into other memory."""
        return partial(self._receive_at, address, capacity)

    def _receive_at(self, address: int, capacity: int, flags: int, timeout_ns: int) -> int:
        call = _ffi.recv
        message, length, error = self._message, self._length, self.error
        code: int = call(self.handle, address, capacity, flags, timeout_ns, length, message, MESSAGE, error)
        return code

    # ---- what was received ----

    def _has_events(self) -> bool:
        return bool(self._batch.flags & _EVENTS)

    def _records(self, numbers: memoryview, count: int) -> Iterable[bytes]:
        """Return the record of each datagram, which those of a message share."""
        messages: int = self._batch.message_count
        start = self.capacity * RECORD
        records = _splitter(messages).unpack_from(self._memory, start)
        if self._memory[start + _AT_FLAGS : start + MESSAGE * messages : MESSAGE].translate(None, b"\0\1"):
            whole = [without_truncation(each) for each in records]
            pairs = zip(numbers[2::4], numbers[3::4], strict=True)
            return [(records if flags & _TRUNCATED else whole)[each] for each, flags in pairs]
        if messages == 1:
            return repeat(records[0])
        return records if messages == count else map(records.__getitem__, numbers[2::4])

    def _made(self, make: Callable[[Any, bytes], _D], payload: Callable[[memoryview], Any]) -> Batch[_D]:
        """Make the datagrams, of what a function makes of views of their payloads."""
        count: int = self._batch.datagram_count
        with memoryview(self._memory) as own, own.toreadonly() as whole, whole[: RECORD * count] as records:
            numbers = records.cast("I")
            with whole[self._payloads_at :] as arena:
                places = zip(numbers[0::4].tolist(), numbers[1::4].tolist(), strict=True)
                payloads = [payload(arena[start : start + length]) for start, length in places]
            made = list(map(make, payloads, self._records(numbers, count)))
            numbers.release()
        return Batch(made, has_events=self._has_events())

    def copied(self) -> Batch[Datagram]:
        """Return what was received, copied."""
        if collect is None:
            return self._made(Datagram, bytes)
        datagrams = collect((Datagram, "payload", "_record", self._batch_at))
        return Batch(datagrams, has_events=self._has_events())

    def payload_views(self) -> Batch[memoryview]:
        """Return the payloads that were received, as views of this, which comes back when they are released."""
        with memoryview(self._memory) as own, own.toreadonly() as whole, whole[self._payloads_at :] as arena:
            if collect is not None:
                views = _shortcuts.payloads(self._batch_at, arena)
            else:
                numbers = memoryview(self._memory)[: RECORD * self._batch.datagram_count].cast("I")
                places = zip(numbers[0::4].tolist(), numbers[1::4].tolist(), strict=True)
                views = [arena[start : start + length] for start, length in places]
        batch: Batch[memoryview] = Batch(views, has_events=self._has_events())
        batch._views.append(views)
        batch._arena = self
        self.is_lent = True
        return batch

    def payloads(self) -> list[bytes]:
        """Return the payloads that were received, copied."""
        if collect is not None:
            return _shortcuts.payloads(self._batch_at)
        return copy_payloads(self._memory, self.capacity, self._batch.datagram_count)

    def lent(self) -> Batch[DatagramView]:
        """Return what was received, as views of this, which comes back when they are released."""
        if collect is None:
            batch = self._made(DatagramView, lambda view: view)
        else:
            with (
                memoryview(self._memory) as own,
                own.toreadonly() as whole,
                whole[self._payloads_at :] as arena,
            ):
                datagrams = collect((DatagramView, "payload", "_record", self._batch_at, arena))
            batch = Batch(datagrams, has_events=self._has_events())
        batch._views.append([each.payload for each in batch])
        batch._arena = self
        self.is_lent = True
        return batch

    def columns(self) -> Columns:
        """Return what was received, as columns in this, which comes back when they are released."""
        batch = self._batch
        self.is_lent = True
        counts = batch.datagram_count, batch.message_count
        return Columns(self._memory, self.capacity, *counts, batch.flags & _EVENTS != 0, self)

    def one(self) -> Datagram:
        """Return the one datagram that was received, copied."""
        start = self._payloads_at
        return Datagram(
            bytes(memoryview(self._memory)[start : start + self._length.value]), bytes(self._message)
        )

    def told(self) -> tuple[int, DatagramInfo]:
        """Return how long the one datagram in other memory is, and what is known of it."""
        return self._length.value, DatagramInfo(bytes(self._message))

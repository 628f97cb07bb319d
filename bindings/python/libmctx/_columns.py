# SPDX-License-Identifier: MIT
"""The datagrams of one receive as columns: memory and numbers, and no object for each datagram."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from libmctx import _ffi
from libmctx.datagram import Datagram, without_truncation

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from libmctx._arena import Arena

__all__ = ["Columns", "DATAGRAM_DTYPE", "MESSAGE_DTYPE"]

RECORD = ctypes.sizeof(_ffi.Datagram)
MESSAGE = ctypes.sizeof(_ffi.Message)
_TRUNCATED = _ffi.constant("MCTX_DATAGRAM_TRUNCATED")
_M: Any = _ffi.Message
_AT_FIRST = _M.first_datagram.offset
_AT_LENGTH = _M.length.offset
_AT_SIZE = _M.segment_size.offset
_pack_record = struct.Struct("4I").pack_into
_unpack_record = struct.Struct("4I").unpack_from
_pack_range = struct.Struct("2I").pack_into
_pack_length = struct.Struct("Q").pack_into
_pack_size = struct.Struct("I").pack_into
_FORMATS: dict[Any, Any] = {
    ctypes.c_uint8: "u1",
    ctypes.c_uint16: "u2",
    ctypes.c_uint32: "u4",
    ctypes.c_int32: "i4",
    ctypes.c_int64: "i8",
    ctypes.c_uint64: "u8",
    ctypes.c_uint8 * 16: "16u1",
}


def _dtype(record: type[ctypes.Structure]) -> dict[str, Any]:
    """Describe a native struct as NumPy's ``dtype`` takes it."""
    names: list[str] = [field[0] for field in record._fields_]
    types: list[Any] = [field[1] for field in record._fields_]
    return {
        "names": names,
        "formats": [_FORMATS[each] if each in _FORMATS else _dtype(each) for each in types],
        "offsets": [getattr(record, name).offset for name in names],
        "itemsize": ctypes.sizeof(record),
    }


DATAGRAM_DTYPE: Any = _dtype(_ffi.Datagram)
"""The records of `Columns.records` for ``numpy.dtype``: offset, length, message, flags, 4 bytes each."""
MESSAGE_DTYPE: Any = _dtype(_ffi.Message)
"""The records of `Columns.message_records` for ``numpy.dtype``: the fields of ``mctx_message``."""


class Columns:
    """The datagrams of one receive, in the memory that they were received into; `Subscription.recv_columns`.

    Payload ``i`` is ``arena[offsets[i] : offsets[i] + lengths[i]]``. With NumPy, nothing is copied:

        records = numpy.frombuffer(columns.records, dtype=libmctx.DATAGRAM_DTYPE)
        data = numpy.frombuffer(columns.arena, dtype=numpy.uint8)

    Everything ends with the same thread's next receive on the subscription, with `release`, or with the
    ``with`` block of the columns: whatever is asked of them, or of a view that they gave, raises ``ValueError``
    then. What was made of a view (a slice, a NumPy array) cannot be ended; it stays good, and that memory is
    not received into again. ``len()`` is how many datagrams there are. Neither picklable nor copyable:
    `payloads` and `datagram` copy what is to stay.

    Attributes:
        has_events: Whether events wait: `Subscription.events`.
    """

    __slots__ = ("_arena", "_capacity", "_count", "_memory", "_messages", "_views", "has_events")

    _memory: list[bytearray]
    """Room for ``capacity`` records of datagrams and as many of messages, then payloads; none: released."""
    _views: dict[str, memoryview]
    """What was handed out."""

    def __init__(
        self,
        memory: bytearray,
        capacity: int,
        count: int,
        messages: int,
        has_events: bool,
        arena: Arena | None = None,
    ) -> None:
        self._memory = [memory]
        self._capacity = capacity
        self._count = count
        self._messages = messages
        self._views = {}
        self._arena = arena
        self.has_events = has_events

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        state = "" if self._memory else ", released"
        return f"<Columns of {self._count} datagrams in {self._messages} messages{state}>"

    # ---- the columns ----

    @property
    def arena(self) -> memoryview:
        """The memory that the payloads are in; between two there may be a gap, which holds anything."""
        return self._view("arena")

    @property
    def records(self) -> memoryview:
        """The four numbers of all datagrams, as bytes: see `DATAGRAM_DTYPE`."""
        return self._view("records")

    @property
    def offsets(self) -> memoryview:
        """Where each payload begins in the `arena`."""
        return self._view("offsets")

    @property
    def lengths(self) -> memoryview:
        """How many bytes of each payload there are."""
        return self._view("lengths")

    @property
    def messages(self) -> memoryview:
        """Of which message each datagram is: the position of its record in `message_records`."""
        return self._view("messages")

    @property
    def flags(self) -> memoryview:
        """1 where a datagram was longer than the memory for it, else 0."""
        return self._view("flags")

    @property
    def message_count(self) -> int:
        """How many messages there are: what the kernel made one of several datagrams is one."""
        return self._messages

    @property
    def message_records(self) -> memoryview:
        """What is known of each message, as bytes: see `MESSAGE_DTYPE`."""
        return self._view("message_records")

    def _view(self, name: str) -> memoryview:
        view = self._views.get(name)
        if view is None:
            with self._hold() as memory:
                view = self._views[name] = self._cut(name, memory.toreadonly())
            if not self._memory:  # released since then, perhaps before the view stood there
                view.release()
        self._alive()
        return view

    def _cut(self, name: str, whole: memoryview) -> memoryview:
        messages = self._capacity * RECORD
        if name == "arena":
            return whole[messages + self._capacity * MESSAGE :]
        if name == "message_records":
            return whole[messages : messages + self._messages * MESSAGE]
        records = whole[: self._count * RECORD]
        if name == "records":
            return records
        return records.cast("I")[("offsets", "lengths", "messages", "flags").index(name) :: 4]

    def _alive(self) -> bytearray:
        try:
            return self._memory[0]
        except IndexError:
            text = "the columns were released: by a later receive of this thread, or by release()"
            raise ValueError(text) from None

    def _hold(self) -> memoryview:
        """Hold the memory: as long as something does, nobody receives into it, whichever thread releases it."""
        held = memoryview(self._alive())
        self._alive()  # it was released before it was held
        return held

    # ---- copies ----

    def payloads(self) -> list[bytes]:
        """Copy the payloads.

        Raises:
            ValueError: The columns were released.
        """
        with self._hold() as memory:
            arena = self._arena  # another thread that releases the columns takes it
            if arena is not None:
                return arena.payloads()
            return copy_payloads(memory, self._capacity, self._count)

    def payload(self, position: int) -> bytes:
        """Copy one payload.

        Raises:
            IndexError: There is no such datagram.
            ValueError: The columns were released.
        """
        with self._hold() as memory:
            return self._payload(memory, self._record(memory, position))

    def datagram(self, position: int) -> Datagram:
        """Copy one payload and what is known of the datagram.

        Raises:
            IndexError: There is no such datagram.
            ValueError: The columns were released.
        """
        with self._hold() as memory:
            record = self._record(memory, position)
            _, _, message, flags = record
            start = self._capacity * RECORD + message * MESSAGE
            known = bytes(memory[start : start + MESSAGE])
            if not flags & _TRUNCATED:
                known = without_truncation(known)
            return Datagram(self._payload(memory, record), known)

    def _payload(self, memory: memoryview, record: tuple[int, int, int, int]) -> bytes:
        offset, length, _, _ = record
        start = self._capacity * (RECORD + MESSAGE) + offset
        return bytes(memory[start : start + length])

    def _record(self, memory: memoryview, position: int) -> tuple[int, int, int, int]:
        try:
            at = range(self._count)[position]
        except IndexError:
            raise IndexError(f"there is no datagram {position}, only {self._count}") from None
        found: tuple[int, int, int, int] = _unpack_record(memory, at * RECORD)
        return found

    # ---- the end ----

    def release(self) -> None:
        """End the columns; done again it does nothing."""
        try:
            self._memory.pop()  # once, whichever thread
        except IndexError:
            return
        for view in list(self._views.values()):
            try:
                view.release()
            except BufferError:  # something was made of it, and holds it
                continue
        arena, self._arena = self._arena, None
        if arena is not None:
            arena.come_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __reduce__(self) -> NoReturn:
        raise TypeError("columns cannot be pickled or copied: take copies by payloads() or datagram()")


def copy_payloads(memory: bytearray | memoryview, capacity: int, count: int) -> list[bytes]:
    """Copy the payloads of memory that is laid out so."""
    numbers = memoryview(memory)[: count * RECORD].cast("I")
    with memoryview(memory)[capacity * (RECORD + MESSAGE) :] as arena:
        places = zip(numbers[0::4].tolist(), numbers[1::4].tolist(), strict=True)
        return [bytes(arena[start : start + length]) for start, length in places]


def columns_of(datagrams: Sequence[Datagram], *, has_events: bool = False) -> Columns:
    """Lay out datagrams that were received one by one."""
    count = len(datagrams)
    memory = bytearray(count * (RECORD + MESSAGE))
    offset = 0
    for position, each in enumerate(datagrams):
        flags = _TRUNCATED if each.truncated else 0
        _pack_record(memory, position * RECORD, offset, len(each.payload), position, flags)
        start = count * RECORD + position * MESSAGE
        memory[start : start + MESSAGE] = each._record
        _pack_range(memory, start + _AT_FIRST, position, 1)
        if not each.truncated:  # else it stands there how long it was
            _pack_length(memory, start + _AT_LENGTH, len(each.payload))
            _pack_size(memory, start + _AT_SIZE, len(each.payload))
        offset += len(each.payload)
    memory += b"".join([each.payload for each in datagrams])
    return Columns(memory, count, count, count, has_events)

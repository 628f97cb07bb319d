# SPDX-License-Identifier: MIT
"""What was received: payloads, and what is known of each, read from the native record when somebody looks."""

from __future__ import annotations

import datetime as _datetime
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from libmctx import _convert, _ffi, errors
from libmctx._convert import Endpoint

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Datagram", "DatagramInfo", "DatagramView"]

_SOURCE = _ffi.constant("MCTX_META_SOURCE")
_GROUP = _ffi.constant("MCTX_META_GROUP")
_HOP_LIMIT = _ffi.constant("MCTX_META_HOP_LIMIT")
_TRAFFIC_CLASS = _ffi.constant("MCTX_META_TRAFFIC_CLASS")
_TIME = _ffi.constant("MCTX_META_TIME")
_DROPS = _ffi.constant("MCTX_META_DROPS")
_COALESCED: int = _ffi.constant("MCTX_MESSAGE_COALESCED")
_TRUNCATED: int = _ffi.constant("MCTX_MESSAGE_TRUNCATED")

_EPOCH = _datetime.datetime(1970, 1, 1, tzinfo=_datetime.timezone.utc)
_SHOWN = 32
"""Bytes of a payload that its repr shows."""

_read_32 = struct.Struct("I").unpack_from
_read_64 = struct.Struct("Q").unpack_from
_read_i64 = struct.Struct("q").unpack_from
_M: Any = _ffi.Message
_AT_FLAGS, _AT_SOURCE, _AT_GROUP = _M.flags.offset, _M.source.offset, _M.group.offset
_AT_INTERFACE, _AT_HOP_LIMIT = _M.interface_index.offset, _M.hop_limit.offset
_AT_TRAFFIC_CLASS, _AT_TIME, _AT_DROPS = _M.traffic_class.offset, _M.time_ns.offset, _M.drops.offset
_AT_LENGTH, _AT_COUNT = _M.length.offset, _M.datagram_count.offset
_ADDRESS = _M.source.size


@lru_cache(maxsize=4096)
def _endpoint(address: bytes) -> tuple[Endpoint, tuple[str, int]]:
    """Read a native address: as an endpoint, and as address and port. Senders send more than once."""
    endpoint = _convert.endpoint(_ffi.Address.from_buffer_copy(address))
    assert endpoint is not None
    return endpoint, (endpoint.addr, endpoint.port)


def _native_address(endpoint: Endpoint) -> _ffi.Address:
    address: _ffi.Address = _convert.address(endpoint.addr, "address")
    address.port, address.scope_id = endpoint.port, endpoint.scope_id or 0
    return address


def without_truncation(record: bytes) -> bytes:
    """Return the record for those datagrams of a truncated message that are whole."""
    message = _ffi.Message.from_buffer_copy(record)
    message.flags &= ~_TRUNCATED
    return bytes(message)


class DatagramInfo:
    """What is known of a datagram beside its payload.

    What was not collected (see ``metadata`` of `Context.add_subscription`), or what the system doesn't tell, is
    None.
    """

    __slots__ = ("_record",)

    _record: bytes
    """Its ``mctx_message``, whose flags say of this datagram whether it is truncated."""

    def __init__(self, record: bytes) -> None:
        self._record = record

    def _has(self, what: int) -> bool:
        present: int = _read_32(self._record)[0]
        return present & what != 0

    @property
    def source(self) -> tuple[str, int] | None:
        """The sender: address and port."""
        return _endpoint(self._record[_AT_SOURCE : _AT_SOURCE + _ADDRESS])[1] if self._has(_SOURCE) else None

    @property
    def source_endpoint(self) -> Endpoint | None:
        """The sender: address, port and scope id."""
        return _endpoint(self._record[_AT_SOURCE : _AT_SOURCE + _ADDRESS])[0] if self._has(_SOURCE) else None

    @property
    def source_addr(self) -> str | None:
        """The sender's address."""
        source = self.source_endpoint
        return None if source is None else source.addr

    @property
    def source_port(self) -> int | None:
        """The sender's port."""
        source = self.source_endpoint
        return None if source is None else source.port

    @property
    def source_scope_id(self) -> int | None:
        """The interface index of a link-local sender, 0 for another IPv6 one; None for IPv4 too."""
        source = self.source_endpoint
        return None if source is None else source.scope_id

    @property
    def group_endpoint(self) -> Endpoint | None:
        """What it was sent to: group, port and scope id."""
        return _endpoint(self._record[_AT_GROUP : _AT_GROUP + _ADDRESS])[0] if self._has(_GROUP) else None

    @property
    def group(self) -> str | None:
        """The group that it was sent to."""
        group = self.group_endpoint
        return None if group is None else group.addr

    @property
    def port(self) -> int | None:
        """The port that it was sent to."""
        group = self.group_endpoint
        return None if group is None else group.port

    @property
    def group_scope_id(self) -> int | None:
        """The interface index of a scoped IPv6 group, 0 for another IPv6 one; None for IPv4 too."""
        group = self.group_endpoint
        return None if group is None else group.scope_id

    @property
    def interface(self) -> int | None:
        """The index of the interface where it arrived."""
        return _read_32(self._record, _AT_INTERFACE)[0] if self._has(_GROUP) else None

    @property
    def interface_name(self) -> str | None:
        """The name that this interface has now; None if it is gone. Asks the system."""
        from libmctx.interface import find_interface

        index = self.interface
        try:
            return find_interface(index).name if index else None
        except errors.NotFoundError:
            return None

    @property
    def hop_limit(self) -> int | None:
        """TTL or hop limit on arrival."""
        return _read_32(self._record, _AT_HOP_LIMIT)[0] if self._has(_HOP_LIMIT) else None

    @property
    def traffic_class(self) -> int | None:
        """The whole byte: DSCP and ECN."""
        return _read_32(self._record, _AT_TRAFFIC_CLASS)[0] if self._has(_TRAFFIC_CLASS) else None

    @property
    def dscp(self) -> int | None:
        """The differentiated services code point, 0 to 63."""
        traffic_class = self.traffic_class
        return None if traffic_class is None else traffic_class >> 2

    @property
    def ecn(self) -> int | None:
        """Explicit congestion notification, 0 to 3."""
        traffic_class = self.traffic_class
        return None if traffic_class is None else traffic_class & 3

    @property
    def time_ns(self) -> int | None:
        """When the kernel received it, in nanoseconds since 1970 (UTC), as ``time.time_ns()``."""
        return _read_i64(self._record, _AT_TIME)[0] if self._has(_TIME) else None

    @property
    def time(self) -> _datetime.datetime | None:
        """The same as an aware ``datetime`` in UTC, cut to microseconds."""
        time_ns = self.time_ns
        return None if time_ns is None else _EPOCH + _datetime.timedelta(microseconds=time_ns // 1000)

    @property
    def drops(self) -> int | None:
        """How many messages the kernel has dropped so far, over all sockets of the subscription."""
        return _read_64(self._record, _AT_DROPS)[0] if self._has(_DROPS) else None

    @property
    def coalesced(self) -> bool:
        """Whether the kernel made one message of it and others: time and drops are not of each then."""
        return self._flag(_COALESCED)

    @property
    def truncated(self) -> bool:
        """Whether it was longer than the memory for it: the rest is lost."""
        return self._flag(_TRUNCATED)

    def _flag(self, flag: int) -> bool:
        flags: int = _read_32(self._record, _AT_FLAGS)[0]
        return flags & flag != 0

    @property
    def length(self) -> int | None:
        """Its length in bytes as it was sent; None if it was truncated and the system doesn't tell."""
        return self._told_length()

    def _told_length(self) -> int | None:
        """Return what the record says, which is of the whole message: perhaps of more than this datagram."""
        length: int = _read_64(self._record, _AT_LENGTH)[0]
        is_unknown = self.truncated and (length == 0 or _read_32(self._record, _AT_COUNT)[0] > 1)
        return None if is_unknown else length

    # ---- as a value ----

    def _values(self) -> dict[str, Any]:
        """Return all that is known, as `_make` takes it."""
        return {
            "source": self.source_endpoint,
            "group": self.group_endpoint,
            "interface": self.interface,
            "hop_limit": self.hop_limit,
            "traffic_class": self.traffic_class,
            "time_ns": self.time_ns,
            "drops": self.drops,
            "length": self.length,
            "truncated": self.truncated,
            "coalesced": self.coalesced,
        }

    def _rest(self) -> tuple[Any, ...]:
        """Return what `_make` takes before the values."""
        return ()

    @classmethod
    def _make(cls, *rest: Any, **known: Any) -> Self:
        """Make one of values, on any machine."""
        message = _ffi.Message()
        for bit, name, value in (
            (_SOURCE, "source", known["source"]),
            (_GROUP, "group", known["group"]),
            (_GROUP, "interface_index", known["interface"]),
            (_HOP_LIMIT, "hop_limit", known["hop_limit"]),
            (_TRAFFIC_CLASS, "traffic_class", known["traffic_class"]),
            (_TIME, "time_ns", known["time_ns"]),
            (_DROPS, "drops", known["drops"]),
            (0, "length", known["length"]),
        ):
            if value is not None:
                message.present |= bit
                setattr(message, name, _native_address(value) if isinstance(value, Endpoint) else value)
        message.flags = (known["coalesced"] and _COALESCED) | (known["truncated"] and _TRUNCATED)
        new: Any = cls
        made: Self = new(*rest, bytes(message))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._rest(), self._values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DatagramInfo):
            return NotImplemented
        return self._rest() == other._rest() and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((*self._rest(), self.source, self.group, self.interface, self.time_ns))

    def _shown(self) -> list[str]:
        """Return the parts of the repr."""
        shown = [
            f"{name}={value!r}"
            for name in ("source", "group", "port", "interface", "hop_limit", "dscp", "ecn")
            if (value := getattr(self, name)) is not None
        ]
        if (time := self.time) is not None:
            shown.append(f"time={time.isoformat()}")
        if self.truncated:
            shown.append(f"truncated from {self.length or 'more'} bytes")
        return shown

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._shown())}>"


def _rebuild(cls: type[DatagramInfo], rest: tuple[Any, ...], known: dict[str, Any]) -> DatagramInfo:
    return cls._make(*rest, **known)


class Datagram(DatagramInfo):
    """A datagram that was received: its payload and what is known of it.

    Two are equal if payload and everything known are; a hash and pickling need nothing else.

    Attributes:
        payload: The bytes.
    """

    __slots__ = ("payload",)

    payload: bytes

    def __init__(self, payload: bytes, record: bytes) -> None:
        self.payload = payload
        self._record = record

    @property
    def length(self) -> int | None:
        """Its length in bytes as it was sent; None if it was truncated and the system doesn't tell."""
        return self._told_length() if self.truncated else len(self.payload)

    def __bytes__(self) -> bytes:
        return bytes(self.payload)

    def _rest(self) -> tuple[Any, ...]:
        return (bytes(self.payload),)

    def _into(self, view: memoryview) -> tuple[int, DatagramInfo]:
        """Copy the payload into memory that may be too small for it; return the bytes copied, and the rest."""
        length, count = len(self.payload), min(len(self.payload), len(view))
        view[:count] = self.payload[:count]
        known = self._values()
        known["truncated"] |= count < length
        return count, DatagramInfo._make(**known)

    def _shown(self) -> list[str]:
        try:
            payload = bytes(self.payload[:_SHOWN])
        except ValueError:  # a view that was released
            return ["a payload that was released", *super()._shown()]
        more = f"... ({len(self.payload)} bytes)" if len(self.payload) > _SHOWN else ""
        return [f"{payload!r}{more}", *super()._shown()]


class DatagramView(Datagram):
    """A datagram of a batch received with ``copy=False``; pickled and copied it is a plain `Datagram`.

    Attributes:
        payload: A view of the memory that it was received into; see `Batch` for when it ends.
    """

    __slots__ = ()

    payload: memoryview  # type: ignore[assignment]  # ty: ignore[incompatible-attribute-override]

    @classmethod
    def _of(cls, datagram: Datagram) -> DatagramView:
        """Make one of a datagram with bytes."""
        new: Any = cls
        view: DatagramView = new(memoryview(datagram.payload), datagram._record)
        return view

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (Datagram, self._rest(), self._values())

# SPDX-License-Identifier: MIT
"""What a send tells: made for each datagram at next to no cost, and filled in when somebody looks."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from libmctx import _convert, _ffi, errors
from libmctx._convert import Endpoint
from libmctx._payload import view_of
from libmctx.errors import MctxError

if TYPE_CHECKING:
    from libmctx._owner import Owner
    from libmctx.publication import Publication

__all__ = ["SendOutcome", "SendReport"]

_MOST = 1024
"""Reports that a publication keeps for sends to come."""


class Route(NamedTuple):
    """Where the datagrams of a publication come from and go to."""

    destination: Endpoint
    local: Endpoint | None
    source_addr: str | None


class Reports:
    """Those that nobody has looked at: one tells what all sends of so many bytes tell."""

    __slots__ = ("__weakref__", "by_length", "last")

    by_length: dict[int, SendReport]
    """By the bytes sent."""
    last: list[Any]
    """The bytes sent, or -1, and the report of the last one that was made."""

    def __init__(self) -> None:
        self.by_length = {}
        self.last = [-1, None]

    def add(self, report: SendReport) -> None:
        """Have it stand for the sends of so many bytes."""
        if len(self.by_length) >= _MOST:
            self.by_length.clear()
        self.by_length[report.bytes_sent] = report
        self.last[:] = report.bytes_sent, report

    def forget(self, report: SendReport) -> None:
        """Let later sends have another."""
        if self.by_length.get(report.bytes_sent) is report:
            self.by_length.pop(report.bytes_sent, None)
        if self.last[1] is report:
            self.last[:] = -1, None


class Origin:
    """What a publication's reports need of it: they keep this, and not the publication."""

    __slots__ = ("_owner", "_reports", "handle", "last_info")

    handle: int
    last_info: _ffi.PublicationInfo | None
    """What it was when it was closed."""

    def __init__(self, owner: Owner, handle: int, reports: Reports) -> None:
        self._owner = owner  # stays open as long as somebody may ask
        self._reports = weakref.ref(reports)  # which refer to this
        self.handle = handle
        self.last_info = None

    def native_info(self) -> _ffi.PublicationInfo:
        """Ask what the publication is.

        Raises:
            ClosedError: It was closed.
            IoError: The system failed.
        """
        info = _ffi.PublicationInfo(size=ctypes.sizeof(_ffi.PublicationInfo))
        errors.call(_ffi.publication_get_info, self.handle, info)
        return info

    def route(self) -> Route:
        """Return where datagrams come from and go to, now or when the publication was closed.

        Raises:
            ClosedError: It was closed, and nobody noted.
            IoError: The system failed.
        """
        try:
            info = self.native_info()
        except errors.ClosedError:
            if self.last_info is None:
                raise
            info = self.last_info
        destination = _convert.endpoint(info.group)
        assert destination is not None
        sender = _convert.endpoint(info.sender)
        return Route(destination, _convert.endpoint(info.local), None if sender is None else sender.addr)

    def forget(self, report: SendReport) -> None:
        """Let later sends have another report than this."""
        if (reports := self._reports()) is not None:
            reports.forget(report)

    def answer(self, payload: Any, sent: int | bytes) -> SendReport:
        """Make the report for so many bytes; or raise what an error record says, or b"" of the payload.

        Raises:
            MctxError: As the record says.
            TypeError: The payload is not a buffer.
            BufferError: Its bytes are not contiguous.
        """
        if isinstance(sent, int):
            report = SendReport(self, sent)
            if (reports := self._reports()) is not None:
                reports.add(report)
            return report
        if sent:
            raise errors.from_bytes(sent)
        view_of(payload)
        raise TypeError(f"a payload must be a contiguous buffer, not {type(payload).__name__}")


class SendReport:
    """What became of one datagram that the system accepted.

    The addresses are looked up when one of them is first asked for, and kept; after the publication was closed
    they are those that it had then. Reports that nobody has looked at may be one object.

    Attributes:
        bytes_sent: The payload's length in bytes.
    """

    __slots__ = ("_kept_route", "_origin", "bytes_sent")

    bytes_sent: int
    _origin: Origin | int
    _kept_route: Route

    def __init__(self, origin: Origin | int, bytes_sent: int, route: Route | None = None) -> None:
        """Make a report of a publication; or, of its id alone, with the route."""
        self._origin = origin
        self.bytes_sent = bytes_sent
        if route is not None:
            self._kept_route = route

    def _route(self) -> Route:
        try:
            return self._kept_route
        except AttributeError:
            origin: Any = self._origin
            origin.forget(self)
            route: Route = origin.route()
            self._kept_route = route
            return route

    @property
    def publication_id(self) -> int:
        """The id of the publication that sent it."""
        return self._origin if isinstance(self._origin, int) else self._origin.handle

    @property
    def destination(self) -> tuple[str, int]:
        """The group and the port that it was sent to."""
        return self._route().destination[:2]

    @property
    def destination_addr(self) -> str:
        """The group that it was sent to."""
        return self._route().destination.addr

    @property
    def destination_port(self) -> int:
        """The port that it was sent to."""
        return self._route().destination.port

    @property
    def destination_scope_id(self) -> int | None:
        """The interface index of a scoped IPv6 group, 0 for another IPv6 group, None for IPv4."""
        return self._route().destination.scope_id

    @property
    def local_addr(self) -> tuple[str, int] | None:
        """The socket's own address and port; None if the system doesn't tell."""
        local = self._route().local
        return None if local is None else local[:2]

    @property
    def local_scope_id(self) -> int | None:
        """The interface index of a link-local IPv6 socket address, 0 for another IPv6 one, None for IPv4."""
        local = self._route().local
        return None if local is None else local.scope_id

    @property
    def source_addr(self) -> str | None:
        """The sender address that receivers see; None if no route tells."""
        return self._route().source_addr

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values, without the publication."""
        return SendReport, (self.publication_id, self.bytes_sent, self._route())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SendReport):
            return NotImplemented
        mine = (self.publication_id, self.bytes_sent)
        return mine == (other.publication_id, other.bytes_sent) and self._route() == other._route()

    def __hash__(self) -> int:
        return hash((self.publication_id, self.bytes_sent))

    def __repr__(self) -> str:
        try:
            route = f"destination={self.destination!r}, source_addr={self.source_addr!r}, "
        except errors.MctxError:  # nobody can be asked any more, as in a forked child
            route = ""
        return f"SendReport(publication_id={self.publication_id}, {route}bytes_sent={self.bytes_sent})"


@dataclass(frozen=True)
class SendOutcome:
    """What became of the datagram of one publication in `Context.send_all`.

    Attributes:
        publication: The publication.
        report: The report, or None if the system didn't accept the datagram.
        error: Why it didn't, or None.
    """

    publication: Publication
    report: SendReport | None
    error: MctxError | None

    def __bool__(self) -> bool:
        """Whether the system accepted the datagram."""
        return self.error is None

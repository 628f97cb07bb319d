# SPDX-License-Identifier: MIT
"""Publications: ready-to-send sockets, each for one group and port."""

from __future__ import annotations

import contextlib
import operator
import socket as _socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libmctx import _convert, _ffi, _waiting, errors, values
from libmctx._convert import Endpoint
from libmctx._object import OpenObject
from libmctx._options import PACING_BY, PACING_UNITS, name_of
from libmctx._payload import Batch, check, many_sender, segments_sender, sender, several, view_of
from libmctx._waiting import Wait
from libmctx.report import Origin, Reports, SendReport
from libmctx.values import Ready

if TYPE_CHECKING:
    from libmctx._payload import Payload

__all__ = ["Publication", "PublicationInfo"]

_AUTO = _convert.AUTO
_BY_INDEX = _ffi.constant("MCTX_INTERFACE_BY_INDEX")
_BY_ADDRESS = _ffi.constant("MCTX_INTERFACE_BY_ADDRESS")
_BY_NAME = _ffi.constant("MCTX_INTERFACE_BY_NAME")
_ADOPTED = _ffi.constant("MCTX_PUBLICATION_ADOPTED")
_DUPLICATE = _ffi.constant("MCTX_PUBLICATION_DUPLICATE")


@dataclass(frozen=True)
class PublicationInfo:
    """What a publication is: what the user configured, and what the system chose.

    Attributes:
        id: The publication's id.
        group: The destination: group, port, and the scope id in use.
        source: The source as configured, with its port; None if none was.
        local: The socket's own address, port and scope id now; None if the system doesn't tell.
        sender: The source that receivers see, with its port; None if no route tells.
        interface: The outgoing interface as configured: a name, an address, an index, or None.
        interface_index: The index of the interface in effect, or 0 if no route tells.
        interface_name: Its name, or "".
        ttl: TTL or hop limit in effect.
        loopback: Whether members on this host receive too.
        dscp: The differentiated services code point in effect.
        connected: Whether the socket is connected to the group.
        reuse_port: Whether others may share the source port.
        error_queue: Whether refusals of the interface's queue are reported.
        dont_fragment: As configured; None for the system's setting.
        priority: The socket priority as configured; None for the system's.
        mark: The socket mark as configured; None for none.
        source_port: The source port as configured; None if the system chose.
        send_buffer_asked: The send buffer's bytes as configured; None for the system's default.
        send_buffer: Bytes granted, as the system counts them (Linux: twice the asked).
        max_datagram: The largest payload in bytes.
        offload: Whether batches may go as superpackets, in effect.
        segment_count_limit: Datagrams that go as one superpacket now, at most; 1: there is no offload.
        segment_size_limit: The largest datagram that goes in a superpacket now, in bytes.
        offload_status: Why these limits are lower than at first: the name of the status that the system
            answered; None if they aren't.
        offload_os_code: The system's error number for it, or 0.
        pacing_rate: In effect: at most so much a second; None: as fast as it goes.
        pacing_burst: In effect: so much may go at once; None without a rate.
        pacing_unit: What both count: "bits" or "datagrams".
        pacing_by: In effect, who keeps to the rate: "library" or "kernel"; None without a rate.
        duplicate: Whether a second publication of the same configuration was allowed.
        adopted: Whether the socket was the caller's.
    """

    id: int
    group: Endpoint
    source: Endpoint | None
    local: Endpoint | None
    sender: Endpoint | None
    interface: str | int | None
    interface_index: int
    interface_name: str
    ttl: int
    loopback: bool
    dscp: int
    connected: bool
    reuse_port: bool
    error_queue: bool
    dont_fragment: bool | None
    priority: int | None
    mark: int | None
    source_port: int | None
    send_buffer_asked: int | None
    send_buffer: int
    max_datagram: int
    duplicate: bool
    adopted: bool
    offload: bool
    segment_count_limit: int
    segment_size_limit: int
    offload_status: str | None
    offload_os_code: int
    pacing_rate: int | None
    pacing_burst: int | None
    pacing_unit: str
    pacing_by: str | None


def _chosen(value: int) -> int | None:
    return None if value == _AUTO else value


class Publication(OpenObject):
    """A ready-to-send UDP socket for one group and port; `Context.add_publication` opens it.

    Safe to use from any number of threads, and while others close it: they and later calls get `ClosedError`.
    A context manager that closes it. Not picklable; in a forked child it is closed.
    """

    __slots__ = ("__dict__", "_origin", "_reports", "_send_many", "_send_segments")

    _kind = values.PUBLICATION
    _noun = "publication"
    _interest = Ready.WRITABLE

    _origin: Origin
    _reports: Reports
    _send_many: Callable[..., Any]
    _send_segments: Callable[..., Any]

    def _prepare(self) -> None:
        reports = self._reports = Reports()
        origin = self._origin = Origin(self._owner, self._handle, reports)
        self.__dict__["send"] = sender((self._handle, reports.last, reports.by_length, origin.answer))
        self._send_many = many_sender(self._handle)
        self._send_segments = segments_sender(self._handle)
        group = self._native_info().group
        endpoint = _convert.endpoint(group)
        assert endpoint is not None
        family = "ipv4" if group.family == 4 else "ipv6"
        self._label = f"id={self._handle}, group={endpoint.addr!r}, port={endpoint.port}, family={family!r}"

    # ---- what it is ----

    def _native_info(self) -> _ffi.PublicationInfo:
        return self._origin.native_info()

    @property
    def group(self) -> str:
        """The group's address.

        Raises:
            ClosedError: It was closed.
        """
        return _convert.address_text(self._native_info().group)

    @property
    def dst_port(self) -> int:
        """The destination port.

        Raises:
            ClosedError: It was closed.
        """
        return int(self._native_info().group.port)

    @property
    def family(self) -> str:
        """The address family, "ipv4" or "ipv6".

        Raises:
            ClosedError: It was closed.
        """
        return "ipv4" if self._native_info().group.family == 4 else "ipv6"

    @property
    def configured_source_addr(self) -> str | None:
        """The source address that was configured, or None.

        Raises:
            ClosedError: It was closed.
        """
        source = self._native_info().source
        return _convert.address_text(source) if source.family and any(source.bytes) else None

    @property
    def source_port(self) -> int | None:
        """The source port that was configured, or None.

        Raises:
            ClosedError: It was closed.
        """
        info = self._native_info()
        return _chosen(info.source_port) or info.source.port or None

    @property
    def outgoing_interface(self) -> str | None:
        """The interface that was configured by an address or a name, or None.

        Raises:
            ClosedError: It was closed.
        """
        reference = self._native_info().outgoing_interface
        if reference.by == _BY_ADDRESS:
            return _convert.address_text(reference.address)
        return self._interface_name() if reference.by == _BY_NAME else None

    @property
    def outgoing_interface_index(self) -> int | None:
        """The interface that was configured by its index, or None.

        Raises:
            ClosedError: It was closed.
        """
        reference = self._native_info().outgoing_interface
        return int(reference.index) if reference.by == _BY_INDEX else None

    @property
    def ttl(self) -> int:
        """The TTL or hop limit in effect.

        Raises:
            ClosedError: It was closed.
        """
        return int(self._native_info().hop_limit)

    @property
    def loopback(self) -> bool:
        """Whether members on this host receive too.

        Raises:
            ClosedError: It was closed.
        """
        return bool(self._native_info().loopback)

    @property
    def destination(self) -> tuple[str, int]:
        """The group and the destination port.

        Raises:
            ClosedError: It was closed.
        """
        group = self._native_info().group
        return _convert.address_text(group), int(group.port)

    @property
    def destination_scope_id(self) -> int | None:
        """The interface index of a scoped IPv6 group, 0 for another IPv6 group, None for IPv4.

        Raises:
            ClosedError: It was closed.
        """
        group = self._native_info().group
        return int(group.scope_id) if group.family == 6 else None

    def _interface_name(self) -> str:
        return _convert.filled_text(_ffi.publication_interface_name, self._handle)

    def info(self) -> PublicationInfo:
        """Return everything that was configured, and everything that the system chose.

        Asks the system; does not wait for the network.

        Raises:
            ClosedError: It was closed.
            IoError: The system failed.
        """
        info = self._native_info()
        name = self._interface_name()
        reference = info.outgoing_interface
        interface: str | int | None = None
        if reference.by == _BY_ADDRESS:
            interface = _convert.address_text(reference.address)
        elif reference.by == _BY_INDEX:
            interface = int(reference.index)
        elif reference.by == _BY_NAME:
            interface = name
        group = _convert.endpoint(info.group)
        assert group is not None
        dont_fragment = _chosen(info.dont_fragment)
        return PublicationInfo(
            id=self._handle,
            group=group,
            source=_convert.endpoint(info.source),
            local=_convert.endpoint(info.local),
            sender=_convert.endpoint(info.sender),
            interface=interface,
            interface_index=info.interface_index,
            interface_name=name,
            ttl=info.hop_limit,
            loopback=bool(info.loopback),
            dscp=info.dscp,
            connected=bool(info.connected),
            reuse_port=bool(info.reuse_port),
            error_queue=bool(info.error_queue),
            dont_fragment=None if dont_fragment is None else bool(dont_fragment),
            priority=_chosen(info.priority),
            mark=_chosen(info.mark),
            source_port=_chosen(info.source_port),
            send_buffer_asked=info.send_buffer_asked or None,
            send_buffer=info.send_buffer,
            max_datagram=info.max_datagram,
            duplicate=bool(info.flags & _DUPLICATE),
            adopted=bool(info.flags & _ADOPTED),
            offload=bool(info.offload),
            segment_count_limit=info.segment_count_limit,
            segment_size_limit=info.segment_size_limit,
            offload_status=_ffi.status_name(info.offload_status).decode() if info.offload_status else None,
            offload_os_code=info.offload_os_code,
            pacing_rate=info.pacing_rate or None,
            pacing_burst=info.pacing_burst or None if info.pacing_rate else None,
            pacing_unit=name_of(info.pacing_unit, PACING_UNITS),
            pacing_by=name_of(info.pacing_by, PACING_BY) if info.pacing_rate else None,
        )

    def local_addr(self) -> tuple[str, int]:
        """Return the socket's own address and port.

        Raises:
            ClosedError: It was closed.
            IoError: The system failed.
        """
        local = self._native_info().local
        return _convert.address_text(local), int(local.port)

    def local_scope_id(self) -> int | None:
        """Return the interface index of a link-local IPv6 socket address, 0 for another, None for IPv4.

        Raises:
            ClosedError: It was closed.
            IoError: The system failed.
        """
        local = self._native_info().local
        return int(local.scope_id) if local.family == 6 else None

    def source_addr(self) -> str:
        """Return the sender address that receivers see.

        Raises:
            NetworkError: No route tells which it would be.
            ClosedError: It was closed.
        """
        return self.announce_tuple()[0]

    def announce_tuple(self) -> tuple[str, str, int]:
        """Return what a receiver needs to subscribe to exactly this: (source, group, port).

        Raises:
            NetworkError: No route tells which source would be used.
            ClosedError: It was closed.
        """
        source, group = _ffi.Address(), _ffi.Address()
        errors.call(_ffi.publication_announce, self._handle, source, group)
        return _convert.address_text(source), _convert.address_text(group), int(group.port)

    # ---- sending ----

    def send(self, payload: Payload, /) -> SendReport:
        """Send one datagram.

        Never blocks. The report is filled in when somebody looks at it.

        Args:
            payload: Any contiguous buffer; an empty one is a datagram too.

        Raises:
            WouldBlockError: The socket's buffer is full: `wait` tells when it isn't; or the pacing rate lets
                nothing go yet (``name`` is "paced"): ``retry_after`` tells the delay.
            LimitError: The interface's queue is full (``name`` is "queue_full"): not sent to the network.
            TooLargeError: It is larger than what can be sent.
            NetworkError: No route, the interface is down or gone, the source is gone.
            PermissionDeniedError: A firewall of this host refused it.
            ClosedError: The publication was closed.
            TypeError: The payload is not a buffer.
            BufferError: Its bytes are not contiguous.
        """
        report: SendReport = self.__dict__["send"](payload)  # which calls find before they find this
        return report

    def send_many(self, payloads: Iterable[Payload], *, timeout: float | None = 0) -> int:
        """Send many datagrams in order, in as few calls as the system allows.

        Runs of one size go as superpackets, which the system cuts into datagrams (``offload`` of
        `Context.add_publication`): a list of bytes of one size is fastest. The accepted ones are exactly the
        first ones: none is skipped, sent twice or reordered. All are looked at before the first one goes.
        Blocks as long as asked; Ctrl-C and other signals are handled while the main thread waits.

        Args:
            payloads: One contiguous buffer for each datagram: any iterable of them.
            timeout: Seconds; 0 takes what goes now, otherwise waits, also for the publication's pace, and
                resumes; None waits for ever.

        Returns:
            How many datagrams the system accepted: all, or fewer when the socket's buffer is full or the
            publication's pace lets no more go (timeout 0), or the time has passed.

        Raises:
            WouldBlockError: None was accepted (timeout 0): the socket's buffer is full; or the pace lets
                nothing go yet: ``retry_after`` tells the delay.
            TimedOutError: None was accepted in time.
            WaitInterruptedError: `wake` ended the wait.
            MctxError: As `send`; ``accepted`` says how many went, and ``item`` which one failed.
            TypeError: ``payloads`` is one buffer itself, or one of them is not a buffer.
            BufferError: The bytes of one are not contiguous.
        """
        pending = None if timeout == 0 else _waiting.send_wait(timeout)
        each = several(payloads)
        sent = self._first_many(each, pending)
        if type(sent) is int:
            return sent
        return _waiting.send_rest(self._handle, sent, lambda: Batch(each), pending)

    def _first_many(self, payloads: tuple[Payload, ...], pending: Wait | None = None) -> Any:
        """Send with one native call; return how many there are if that is all, or a `_ffi.Refusal`."""
        try:
            if pending is None:
                return self._send_many(*payloads)
            return self._send_many(*payloads, timeout=pending.next())
        except (TypeError, ValueError, BufferError):
            check(payloads)  # says more
            raise

    def send_segments(self, buffer: Payload, size: int, *, timeout: float | None = 0) -> int:
        """Send one buffer as many datagrams of one size, without a copy; the last may be shorter.

        The promise is that of `send_many`.

        Args:
            buffer: Any contiguous buffer; nothing is sent of an empty one.
            size: Of each datagram, in bytes.
            timeout: Seconds; 0 takes what goes now, otherwise waits and resumes; None waits for ever.

        Returns:
            How many datagrams the system accepted, as `send_many`.

        Raises:
            UsageError: ``size`` is 0 or larger than a datagram.
            OverflowError: ``size`` is negative or doesn't fit.
            MctxError: As `send_many`.
        """
        if timeout == 0:
            return self._segments(buffer, size, None)
        pending = _waiting.send_wait(timeout)
        with view_of(buffer) as held:  # or it could get shorter between the native calls
            return self._segments(held, size, pending)

    def _segments(self, buffer: Payload, size: int, pending: Wait | None) -> int:
        sent = self._first_segments(buffer, size, pending)
        if type(sent) is int:
            return sent
        return _waiting.send_rest(self._handle, sent, lambda: Batch((buffer,), operator.index(size)), pending)

    def _first_segments(self, buffer: Payload, size: int, pending: Wait | None = None) -> Any:
        """Send with one native call; return how many there are if that is all, or a `_ffi.Refusal`."""
        within = {} if pending is None else {"timeout": pending.next()}
        try:
            sent = self._send_segments(buffer, operator.index(size), **within)
        except (TypeError, ValueError, BufferError, OverflowError):  # if no signal's handler raised it
            view_of(buffer)  # says more
            _convert.integer(size, "size", 32, signed=False)
            raise
        if type(sent) is bytes and not sent:
            _convert.integer(size, "size", 32, signed=False)  # it doesn't fit
        return sent

    # ---- waiting ----

    def wait(self, timeout: float | None = None, *, events: Ready = Ready.WRITABLE) -> Ready:
        """Wait until the publication is ready.

        Blocks as long as asked; Ctrl-C and other signals are handled while the main thread waits.

        Args:
            timeout: Seconds; 0 asks without blocking, None waits for ever.
            events: What to wait for; ``Ready(0)`` waits for `wake` alone.

        Returns:
            What it is ready for.

        Raises:
            WouldBlockError: It isn't (timeout 0).
            TimedOutError: The time has passed.
            WaitInterruptedError: `wake` ended the wait.
            ClosedError: It was closed, before or meanwhile.
        """
        wanted = _convert.integer(events, "events", 32, signed=False)
        return Ready(_waiting.wait(self._handle, wanted, timeout))

    # ---- the socket ----

    if sys.platform == "win32":

        def socket_handle(self) -> int:
            """Return the socket's handle, which stays the publication's: to watch it for writability.

            Raises:
                ClosedError: It was closed.
            """
            return self._native_handle()
    else:

        def fileno(self) -> int:
            """Return the socket's descriptor, which stays the publication's: to watch it for writability.

            Raises:
                ClosedError: It was closed.
            """
            return self._native_handle()

    def detach(self) -> int:
        """Take the socket out as a descriptor: the publication is closed, the descriptor is the caller's.

        The socket stays open, configured and non-blocking. Waits for other threads' calls, which end at once.

        Raises:
            ClosedError: It was closed.
        """
        native = _ffi.OsHandle()
        self._before_close()
        try:
            errors.call(_ffi.publication_take, self._handle, native)
        finally:
            self._closing = self.closed
        return int(native.value)

    def release(self) -> _socket.socket:
        """Take the socket out as a ``socket.socket``: the publication is closed, the socket is the caller's.

        The socket stays open, configured and non-blocking. Waits for other threads' calls, which end at once.

        Raises:
            ClosedError: It was closed.
        """
        socket = _socket.socket(fileno=self.detach())
        socket.setblocking(False)
        return socket

    # ---- closing ----

    def _before_close(self) -> None:
        """Keep what reports need, and take the socket off the event loops that watch it."""
        self._closing = True
        with contextlib.suppress(errors.MctxError):
            self._origin.last_info = self._native_info()
        super()._before_close()

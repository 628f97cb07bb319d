# SPDX-License-Identifier: MIT
"""Contexts: the owners of publications."""

from __future__ import annotations

import ctypes
import socket as _socket
import sys
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

from libmctx import _convert, _ffi, _waiting, errors, values
from libmctx._convert import AddressText
from libmctx._payload import hold
from libmctx.interface import InterfaceLike
from libmctx.publication import Publication
from libmctx.report import SendOutcome, SendReport
from libmctx.values import Event, Metrics

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from libmctx._payload import Payload

__all__ = ["Context"]

_KIND_CLOSED = _ffi.constant("MCTX_KIND_CLOSED")
_NOT_FOUND = _ffi.constant("MCTX_ERR_NOT_FOUND")
_OPTION_CONFLICT = _ffi.constant("MCTX_ERR_OPTION_CONFLICT")
_CAPACITY = _ffi.constant("MCTX_ERR_CAPACITY")
_DUPLICATE = _ffi.constant("MCTX_PUBLICATION_DUPLICATE")
_FEW = 16
_OS_HANDLE = _ffi.constant("MCTX_OS_SOCKET" if sys.platform == "win32" else "MCTX_OS_DESCRIPTOR")


class Owner:
    """A native context, which closes when neither its `Context` nor a `Publication` of it is left."""

    __slots__ = ("__weakref__", "_finalizer", "handle")

    def __init__(self) -> None:
        handle = ctypes.c_uint64()
        errors.call(_ffi.context_open, None, handle)
        self.handle = handle.value
        self._finalizer = weakref.finalize(self, _ffi.close, handle.value, None)
        self._finalizer.atexit = False  # the system closes what is open at the end, and never waits

    def close(self) -> None:
        """Close the context and all its publications."""
        record = _ffi.new_error()
        code = _ffi.close(self.handle, record)
        self._finalizer.detach()
        if code != 0 and errors.kind_of(code) != _KIND_CLOSED:
            raise errors.from_record(code, record)

    def ids(self) -> list[int]:
        """Return the ids of the open publications in order of opening."""
        capacity = 64
        while True:
            ids = (ctypes.c_uint64 * capacity)()
            count = ctypes.c_uint32()
            errors.call(_ffi.context_publications, self.handle, ids, capacity, count)
            if count.value <= capacity:
                return ids[: count.value]
            capacity = 2 * count.value


class Context:
    """The owner of publications.

    A publication stays open until it or its context is closed; the context stays open until it is closed, or
    neither it nor one of its `Publication` objects is left. Safe to use from any number of threads. A context
    manager that closes it. Not picklable; in a forked child it is closed.
    """

    __slots__ = ("__weakref__", "_owner", "_publications", "_too_many")

    _publications: dict[int, Publication]
    """All open ones, and closed ones until there are too many entries."""

    def __init__(self) -> None:
        """Open a context.

        Raises:
            LimitError: There is no memory or no handle left for it.
        """
        self._owner = Owner()
        self._publications = {}
        self._too_many = _FEW

    # ---- publications ----

    def add_publication(
        self,
        group: AddressText,
        dst_port: int | None = None,
        source: AddressText | None = None,
        source_port: int | None = None,
        bind: str | tuple[AddressText, int] | None = None,
        interface: InterfaceLike | None = None,
        interface_index: int | None = None,
        ttl: int = 1,
        loopback: bool = True,
        *,
        dscp: int = 0,
        connected: bool = True,
        reuse_port: bool | None = None,
        error_queue: bool | None = None,
        dont_fragment: bool | None = None,
        priority: int | None = None,
        mark: int | None = None,
        send_buffer: int | None = None,
        bind_device: str | None = None,
        socket: _socket.socket | int | None = None,
        allow_duplicate: bool = False,
    ) -> Publication:
        """Open a publication: one ready-to-send socket for one group and port.

        Needs no interface to be up, and no route: the first send says what is missing. Does not wait for the
        network. Addresses are text or objects of ``ipaddress``.

        Args:
            group: The multicast group; "address:port" says the port too.
            dst_port: The destination port, 1 to 65535.
            source: The exact sender address that receivers see, one of this host's.
            source_port: The sender port, 1 to 65535; None: the system chooses.
            bind: Source and source port in one: "address:port", "[address]:port" or (address, port). Excludes
                both.
            interface: Where datagrams leave: an address of the interface, its name, or an `Interface`. None:
                the routing table chooses.
            interface_index: The same by the interface's index. Excludes ``interface``.
            ttl: TTL or hop limit, 0 to 255.
            loopback: Whether members on this host receive too.
            dscp: Differentiated services code point, 0 to 63.
            connected: Whether to connect the socket to the group.
            reuse_port: Whether others may share the source port; None: with a source port, yes.
            error_queue: Whether refusals of the interface's queue are reported; None: when loopback is off.
            dont_fragment: Whether to forbid fragments; None: the system's setting.
            priority: Socket priority, 0 to 6; None: the system's.
            mark: Socket mark, 0 to 2**32 - 1; None: none.
            send_buffer: Bytes to ask for; None: the system's default.
            bind_device: Name of a device to bind to.
            socket: An existing UDP socket, or its descriptor. It belongs to the publication from success on (a
                ``socket.socket`` is detached then); on failure it is as it was.
            allow_duplicate: Allow a second publication of the same configuration: a socket for each thread.

        Raises:
            UsageError: A value is outside its range, or two exclude each other; ``field`` says which.
            NotFoundError: There is no such interface, or the source is not an address of this host.
            AlreadyExistsError: The context has a publication of this configuration, or the port is in use.
            PermissionDeniedError: An option needs more rights.
            UnsupportedError: This system doesn't have an option, or the host no such IP version.
            LimitError: There is no memory, handle or descriptor left for it.
            ClosedError: The context was closed.
            TypeError, OverflowError, ValueError: A value is of a wrong type, doesn't fit, or holds a NUL.
        """
        options = _ffi.PublicationOptions()
        _ffi.publication_options_init(options, ctypes.sizeof(options))
        if interface is not None and interface_index is not None:
            raise errors.from_code(
                _OPTION_CONFLICT,
                "interface and interface_index exclude each other",
                hint="pass one of them",
                field="interface_index",
            )
        options.group = _convert.address(group, "group")
        options.port = _convert.setting(dst_port, "dst_port")
        if source is not None:
            options.source = _convert.address(source, "source")
        options.source_port = _convert.setting(source_port, "source_port")
        if bind is not None:
            options.bind = _convert.socket_address(bind, "bind")
        if interface is not None:
            _convert.interface_ref(interface, "interface", options.outgoing_interface)
        elif interface_index is not None:
            index = _convert.integer(interface_index, "interface_index", 32, signed=False)
            _convert.interface_ref(index, "interface_index", options.outgoing_interface)
        options.hop_limit = _convert.integer(ttl, "ttl", 32)
        options.loopback = _convert.integer(loopback, "loopback", 32)
        options.dscp = _convert.integer(dscp, "dscp", 32)
        options.connected = _convert.integer(connected, "connected", 32)
        options.reuse_port = _convert.setting(reuse_port, "reuse_port")
        options.error_queue = _convert.setting(error_queue, "error_queue")
        options.dont_fragment = _convert.setting(dont_fragment, "dont_fragment")
        options.priority = _convert.setting(priority, "priority")
        options.mark = _convert.setting(mark, "mark", 64)
        if send_buffer is not None:
            options.send_buffer = _convert.integer(send_buffer, "send_buffer", 64)
        if bind_device is not None:
            options.bind_device.text = _convert.text(bind_device, "bind_device")
        if allow_duplicate:
            options.flags |= _DUPLICATE
        if socket is None:
            return self._open(options)
        owned = socket if isinstance(socket, _socket.socket) else None
        descriptor = socket.fileno() if isinstance(socket, _socket.socket) else socket
        options.socket.value = _convert.integer(descriptor, "socket", 64)
        options.socket.type = _OS_HANDLE
        return self._open(options, owned)

    def _open(self, options: _ffi.PublicationOptions, adopted: _socket.socket | None = None) -> Publication:
        handle = ctypes.c_uint64()
        errors.call(_ffi.publication_open, self._owner.handle, options, handle)
        if adopted is not None:
            adopted.detach()
        if len(self._publications) >= self._too_many:
            for each in list(self._publications.values()):
                if each.closed:
                    self._publications.pop(each.id, None)
            self._too_many = 2 * len(self._publications) + _FEW
        try:
            return self._publication(handle.value)
        except BaseException:
            _ffi.close(handle.value, None)
            raise

    def _publication(self, handle: int) -> Publication:
        """Return the one `Publication` for an open native one."""
        publication = self._publications.get(handle)
        if publication is None:
            publication = self._publications.setdefault(handle, Publication._wrap(self._owner, handle))
        return publication

    def publication_count(self) -> int:
        """Return how many publications are open.

        Raises:
            ClosedError: The context was closed.
        """
        count = ctypes.c_uint32()
        errors.call(_ffi.context_publications, self._owner.handle, None, 0, count)
        return count.value

    def publications(self) -> list[Publication]:
        """Return the open publications in order of opening.

        Raises:
            ClosedError: The context was closed.
        """
        found: list[Publication] = []
        for each in self._owner.ids():
            try:
                found.append(self._publication(each))
            except errors.ClosedError:  # closed by another thread meanwhile
                continue
        return found

    def get_publication(self, publication_id: int) -> Publication:
        """Return the publication with an id.

        Raises:
            ClosedError: It was closed, or the context was; a `LookupError`.
            NotFoundError: The context never had it; a `LookupError`.
            TypeError, OverflowError: The id is not an integer, or doesn't fit.
        """
        number = _convert.integer(publication_id, "publication_id", 64, signed=False)
        if number in self._owner.ids():
            return self._publication(number)
        record = _ffi.new_error()
        code = _ffi.pollable(number, _ffi.OsHandle(), record)
        if errors.kind_of(code) == _KIND_CLOSED:
            raise errors.from_record(code, record)
        raise errors.from_code(
            _NOT_FOUND, f"the context has no publication {number}", field="publication_id", value=number
        )

    def remove_publication(self, publication_id: int) -> bool:
        """Close the publication with an id.

        Returns:
            Whether this call closed it: False if it was closed already, or the context never had it.

        Raises:
            ClosedError: The context was closed.
            TypeError, OverflowError: The id is not an integer, or doesn't fit.
        """
        number = _convert.integer(publication_id, "publication_id", 64, signed=False)
        if number not in self._owner.ids():
            return False
        try:
            return self._publication(number).remove()
        except errors.ClosedError:  # closed by another thread meanwhile
            return False

    # ---- sending ----

    def send(self, publication_id: int, payload: Payload) -> SendReport:
        """Send one datagram on the publication with an id; see `Publication.send`.

        Raises:
            LookupError: The context doesn't have it: `ClosedError` if it was closed, else `NotFoundError`.
            MctxError: As `Publication.send`.
        """
        publication = self._publications.get(publication_id)
        if publication is None:
            publication = self.get_publication(publication_id)
        return publication.send(payload)

    def send_all(self, payload: Payload) -> list[SendOutcome]:
        """Send one payload on every publication, in order of opening, going on past those that fail.

        Never blocks for the network.

        Args:
            payload: Any contiguous buffer; an empty one is a datagram too.

        Returns:
            An outcome for each publication. One that failed has an ``error``; it is not raised.

        Raises:
            ClosedError: The context was closed.
            TypeError: The payload is not a buffer.
            BufferError: Its bytes are not contiguous.
        """
        publications = {each.id: each for each in self.publications()}
        capacity = max(len(publications), 1)
        held = hold((payload,))
        address, length = held.slices[0].data, held.slices[0].length
        while True:
            outcomes = (_ffi.SendOutcome * capacity)()
            count = ctypes.c_uint32()
            record = _ffi.new_error()
            code = _ffi.send_all(
                self._owner.handle,
                address,
                length,
                outcomes,
                ctypes.sizeof(_ffi.SendOutcome),
                capacity,
                count,
                record,
            )
            if code != _CAPACITY:
                break
            capacity = count.value + 8
        held.release()
        if code != 0 and count.value == 0:
            raise errors.from_record(code, record)
        return [
            self._outcome(publications, position, outcome, length, record)
            for position, outcome in enumerate(outcomes[: count.value])
        ]

    def _outcome(
        self,
        publications: dict[int, Publication],
        position: int,
        outcome: _ffi.SendOutcome,
        length: int,
        record: _ffi.Error,
    ) -> SendOutcome:
        publication = publications.get(outcome.publication) or self._publication(outcome.publication)
        if outcome.status == 0:
            return SendOutcome(publication, SendReport(publication, length), None)
        details: dict[str, Any] = {"os_code": outcome.os_code, "handle": outcome.publication, "item": position}
        if record.item == position:
            return SendOutcome(publication, None, errors.from_record(outcome.status, record, **details))
        details["operation"] = "mctx_send_all"
        return SendOutcome(publication, None, errors.from_code(outcome.status, **details))

    # ---- waiting and watching ----

    def wait(self, timeout: float | None = None) -> None:
        """Wait for `wake`, which ends the wait with `WaitInterruptedError`.

        Blocks as long as asked; Ctrl-C and other signals are handled while the main thread waits.

        Args:
            timeout: Seconds; 0 asks without blocking, None waits for ever.

        Raises:
            WaitInterruptedError: `wake` ended the wait.
            WouldBlockError: It wasn't called (timeout 0).
            TimedOutError: The time has passed.
            ClosedError: The context was closed, before or meanwhile.
        """
        _waiting.wait(self._owner.handle, 0, timeout)

    def wake(self) -> None:
        """End one `wait` on the context with `WaitInterruptedError`: the current one, or else the next.

        Never blocks.

        Raises:
            ClosedError: The context was closed.
        """
        code = _ffi.wake(self._owner.handle)
        if code != 0:
            raise errors.from_code(code, operation="mctx_wake", handle=self._owner.handle)

    def metrics(self) -> Metrics:
        """Return the context's counters: its own, and sums over all the publications that it ever had.

        Raises:
            ClosedError: The context was closed.
        """
        return values.read_metrics(self._owner.handle, values.CONTEXT)

    def events(self) -> list[Event]:
        """Take what happened to the publications by themselves, oldest first. Never blocks.

        Raises:
            ClosedError: The context was closed.
        """
        return values.take_events(self._owner.handle)

    # ---- closing ----

    @property
    def closed(self) -> bool:
        """Whether the context was closed, or belongs to a parent process."""
        record = _ffi.new_error()
        code = _ffi.context_publications(self._owner.handle, None, 0, ctypes.c_uint32(), record)
        return errors.kind_of(code) == _KIND_CLOSED

    def close(self) -> None:
        """Close the context and all its publications; closing it again does nothing.

        Waiting calls get `ClosedError`; the ports are free when this returns. Waits for other threads' calls,
        which end at once.
        """
        for each in list(self._publications.values()):
            each._before_close()
        self._owner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Context cannot be pickled or copied: it holds open sockets of this process")

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"publication_count={self.publication_count()}"
        return f"Context({state})"

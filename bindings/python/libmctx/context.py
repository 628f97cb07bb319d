# SPDX-License-Identifier: MIT
"""Contexts: the owners of publications and subscriptions."""

from __future__ import annotations

import ctypes
import socket as _socket
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from libmctx import _convert, _ffi, _waiting, errors, values
from libmctx._convert import AddressText
from libmctx._object import OpenObject, closed_error, native_handle
from libmctx._options import (
    BINDINGS,
    FROZEN,
    PACING_BY,
    PACING_UNITS,
    interface_array,
    metadata_bits,
    number_of,
)
from libmctx._owner import Children, Owner
from libmctx._payload import hold_one
from libmctx.interface import InterfaceLike
from libmctx.membership import GroupLike, Memberships, Sources, two_filters
from libmctx.publication import Publication
from libmctx.report import SendOutcome, SendReport
from libmctx.subscription import Subscription
from libmctx.values import Event, Metrics, Ready

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from libmctx._payload import Payload

__all__ = ["Context"]

_OPTION_CONFLICT = _ffi.constant("MCTX_ERR_OPTION_CONFLICT")
_CAPACITY = _ffi.constant("MCTX_ERR_CAPACITY")
_DUPLICATE = _ffi.constant("MCTX_PUBLICATION_DUPLICATE")
_Waitable = TypeVar("_Waitable", bound=OpenObject)
_OS_HANDLE = _ffi.constant("MCTX_OS_SOCKET" if sys.platform == "win32" else "MCTX_OS_DESCRIPTOR")


class Context:
    """The owner of publications and subscriptions.

    They stay open until they or their context are closed; the context stays open until it is closed, or
    neither it nor one of its `Publication` and `Subscription` objects is left. Safe to use from any number of
    threads. A context manager that closes it. Not picklable; in a forked child it is closed.
    """

    __slots__ = ("__weakref__", "_owner", "_publications", "_subscriptions")

    def __init__(self) -> None:
        """Open a context.

        Raises:
            LimitError: There is no memory or no handle left for it.
        """
        self._owner = Owner()
        self._publications = Children(self._owner, Publication, _ffi.context_publications)
        self._subscriptions = Children(self._owner, Subscription, _ffi.context_subscriptions)

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
        offload: bool | None = None,
        pacing_rate: int | None = None,
        pacing_unit: str = "bits",
        pacing_burst: int | None = None,
        pacing_by: str = "auto",
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
            offload: Whether batches go as superpackets, which the system cuts into datagrams, where it can;
                None: yes, unless ``error_queue`` is True.
            pacing_rate: At most so much a second; None: as fast as it goes. Sends that come too early raise
                `WouldBlockError` with a ``retry_after``; batches with a timeout wait.
            pacing_unit: What the rate and the burst count: "bits" of payload, or "datagrams".
            pacing_burst: So much may go at once; None: what the rate yields in 10 milliseconds.
            pacing_by: Who keeps to the rate: "library", its own clock; "kernel", where the interface's queue
                does it; "auto": the kernel where that is known to work, else the library.

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
        options.offload = _convert.setting(offload, "offload")
        if pacing_rate is not None:
            options.pacing_rate = _convert.integer(pacing_rate, "pacing_rate", 64)
        options.pacing_unit = number_of(pacing_unit, "pacing_unit", PACING_UNITS)
        if pacing_burst is not None:
            options.pacing_burst = _convert.integer(pacing_burst, "pacing_burst", 64)
        options.pacing_by = number_of(pacing_by, "pacing_by", PACING_BY)
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
        return self._publications.add(handle.value)

    def publication_count(self) -> int:
        """Return how many publications are open.

        Raises:
            ClosedError: The context was closed.
        """
        return self._publications.count()

    def publications(self) -> list[Publication]:
        """Return the open publications in order of opening.

        Raises:
            ClosedError: The context was closed.
        """
        return self._publications.all()

    def get_publication(self, publication_id: int) -> Publication:
        """Return the publication with an id.

        Raises:
            ClosedError: It was closed, or the context was; a `LookupError`.
            NotFoundError: The context never had it; a `LookupError`.
            TypeError, OverflowError: The id is not an integer, or doesn't fit.
        """
        return self._publications.get(publication_id, "publication_id")

    def remove_publication(self, publication_id: int) -> bool:
        """Close the publication with an id.

        Returns:
            Whether this call closed it: False if it was closed already, or the context never had it.

        Raises:
            ClosedError: The context was closed.
            TypeError, OverflowError: The id is not an integer, or doesn't fit.
        """
        return self._publications.remove(publication_id, "publication_id")

    # ---- subscriptions ----

    def add_subscription(
        self,
        port: int | None,
        groups: GroupLike | Iterable[GroupLike] = (),
        *,
        interfaces: InterfaceLike | Iterable[InterfaceLike] | None = None,
        sources: Sources | None = None,
        exclude: Sources | None = None,
        receive_buffer: int | None = None,
        reuse_port: bool = True,
        coalescing: bool = True,
        binding: str = "auto",
        metadata: str | Iterable[str] = "all",
        frozen: bool = False,
        max_group_sockets: int | None = None,
    ) -> Subscription:
        """Open a subscription: one receiver for one port and any set of groups, of both families.

        All groups are joined, or none and nothing is open. Interfaces that are named must accept; one that is
        down does. Does not wait for the network.

        Args:
            port: The UDP port; 0: one is chosen; None: the first group's own ("239.1.2.3:5000").
            groups: What to join at once: a group as text or an ``ipaddress`` object, or with settings of its
                own a `Membership`; or several.
            interfaces: Where to join groups that don't say it: a name, an address, an index or an `Interface`,
                or several. None: the default set: all that are up and capable of multicast, but the loopback
                interface and the ports of bridges, bonds and teams; interfaces that come later join it.
            sources: Of groups without settings of their own, the sources to receive from, and no others (SSM).
            exclude: The same, the sources not to receive from. Excludes ``sources``.
            receive_buffer: Bytes for each socket; None: 4 MiB, cut by the system's maximum; 0: the system's.
            reuse_port: Whether other programs may receive on the port too.
            coalescing: Whether to take many datagrams of a sender from the kernel at once. Their receive time
                and drops are not of each then.
            binding: How sockets are bound: "auto", to their group where the system can and descriptors suffice;
                "group", always; "wildcard", to the port alone, which takes its unicast from other programs.
            metadata: What to collect of each datagram: "all", or a set of "source", "group" (and interface),
                "hop_limit", "traffic_class", "time" and "drops". Less is faster.
            frozen: Keep the default set of interfaces as it is when a group is joined.
            max_group_sockets: Sockets bound to a group, at most; None: 256.

        Raises:
            UsageError: A value is outside its range, or two exclude each other; ``field`` says which, ``item``
                which group or interface.
            NotFoundError: There is no such interface.
            AlreadyExistsError: The port is in use and not shared, or a group is there twice.
            UnsupportedError: The host has no such IP version, or can't do an option.
            LimitError: A limit of the system is reached.
            ClosedError: The context was closed.
            TypeError, OverflowError, ValueError: A value is of a wrong type, doesn't fit, or holds a NUL.
        """
        if sources is not None and exclude is not None:
            raise two_filters()
        options = _ffi.SubscriptionOptions()
        _ffi.subscription_options_init(options, ctypes.sizeof(options))
        options.port = _convert.setting(port, "port")
        options.reuse_port = _convert.integer(reuse_port, "reuse_port", 32)
        options.coalescing = _convert.integer(coalescing, "coalescing", 32)
        options.binding = number_of(binding, "binding", BINDINGS)
        options.metadata = metadata_bits(metadata)
        options.flags = FROZEN if frozen else 0
        if receive_buffer is not None:
            options.receive_buffer = _convert.integer(receive_buffer, "receive_buffer", 64)
        if max_group_sockets is not None:
            options.max_group_sockets = _convert.integer(
                max_group_sockets, "max_group_sockets", 32, signed=False
            )
        array = None if interfaces is None else interface_array(interfaces)
        if array is not None:
            options.interfaces.address = ctypes.addressof(array)
            options.interface_count = len(array)
        memberships = Memberships.of(groups, sources=sources, exclude=exclude)
        options.memberships.address = ctypes.addressof(memberships.array)
        options.membership_count = len(memberships.array)
        options.membership_stride = ctypes.sizeof(_ffi.Membership)
        memberships.warn(2)
        handle = ctypes.c_uint64()
        try:
            errors.call(_ffi.subscription_open, self._owner.handle, options, handle)
        except errors.MctxError as error:
            memberships.name_parameters(error, has_interfaces=array is not None)
            raise
        return self._subscriptions.add(handle.value)

    def subscription_count(self) -> int:
        """Return how many subscriptions are open.

        Raises:
            ClosedError: The context was closed.
        """
        return self._subscriptions.count()

    def subscriptions(self) -> list[Subscription]:
        """Return the open subscriptions in order of opening.

        Raises:
            ClosedError: The context was closed.
        """
        return self._subscriptions.all()

    def get_subscription(self, subscription_id: int) -> Subscription:
        """Return the subscription with an id.

        Raises:
            ClosedError: It was closed, or the context was; a `LookupError`.
            NotFoundError: The context never had it; a `LookupError`.
            TypeError, OverflowError: The id is not an integer, or doesn't fit.
        """
        return self._subscriptions.get(subscription_id, "subscription_id")

    def remove_subscription(self, subscription_id: int) -> bool:
        """Close the subscription with an id.

        Returns:
            Whether this call closed it: False if it was closed already, or the context never had it.

        Raises:
            ClosedError: The context was closed.
            TypeError, OverflowError: The id is not an integer, or doesn't fit.
        """
        return self._subscriptions.remove(subscription_id, "subscription_id")

    # ---- sending ----

    def send(self, publication_id: int, payload: Payload) -> SendReport:
        """Send one datagram on the publication with an id; see `Publication.send`.

        Raises:
            LookupError: The context doesn't have it: `ClosedError` if it was closed, else `NotFoundError`.
            MctxError: As `Publication.send`.
        """
        publication = self._publications.objects.get(publication_id)
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
        held = hold_one((payload,))
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
        publication = publications.get(outcome.publication) or self._publications.of(outcome.publication)
        if outcome.status == 0:
            return SendOutcome(publication, SendReport(publication._origin, length), None)
        details: dict[str, Any] = {"os_code": outcome.os_code, "handle": outcome.publication, "item": position}
        if record.item == position:
            return SendOutcome(publication, None, errors.from_record(outcome.status, record, **details))
        details["operation"] = "mctx_send_all"
        return SendOutcome(publication, None, errors.from_code(outcome.status, **details))

    # ---- waiting and watching ----

    def wait(self, timeout: float | None = None, *, events: Ready = Ready(0)) -> Ready:  # noqa: B008
        """Wait for `wake`, which ends the wait with `WaitInterruptedError`; or until something can be received.

        Blocks as long as asked; Ctrl-C and other signals are handled while the main thread waits.

        Args:
            timeout: Seconds; 0 asks without blocking, None waits for ever.
            events: ``Ready.READABLE`` waits until one of the subscriptions is readable, too.

        Returns:
            What the context is ready for.

        Raises:
            WaitInterruptedError: `wake` ended the wait.
            WouldBlockError: It wasn't called, and nothing is there (timeout 0).
            TimedOutError: The time has passed.
            ClosedError: The context was closed, before or meanwhile.
        """
        wanted = _convert.integer(events, "events", 32, signed=False)
        ready, record = ctypes.c_uint32(), _ffi.new_error()
        pending = _waiting.Wait(timeout)
        call = _waiting.waiter(self._owner.handle, wanted, ready, record)
        if not wanted & Ready.READABLE:
            while not _waiting.until_done(call, record, pending, None, self._owner.woken.take):
                self._owner.hand_on()
            return Ready(ready.value)
        with self._owner.waiting(self._has_kept):
            while not self._has_kept():
                if _waiting.until_done(call, record, pending, None, self._owner.woken.take):
                    return Ready(ready.value)
            return Ready.READABLE

    def _has_kept(self) -> bool:
        """Return whether a subscription keeps datagrams that an iteration fetched."""
        return any(each._has_kept() for each in self._subscriptions.all())

    def wait_many(self, objects: Iterable[_Waitable], timeout: float | None = None) -> list[_Waitable]:
        """Wait until at least one of several objects is ready: subscriptions readable, publications writable.

        The objects may be of any context; `wake` of this one ends the wait. Blocks as long as asked; Ctrl-C and
        other signals are handled while the main thread waits.

        Args:
            objects: Subscriptions and publications; without any it waits for `wake` alone.
            timeout: Seconds; 0 asks without blocking, None waits for ever.

        Returns:
            Those that are ready, in the order given.

        Raises:
            WouldBlockError: None is ready (timeout 0).
            TimedOutError: The time has passed.
            WaitInterruptedError: `wake` ended the wait.
            UsageError: They are subscriptions without a group, and the wait has no end.
            ClosedError: The context or one of the objects was closed, before or meanwhile; ``item`` says which.
            TypeError: One is neither a subscription nor a publication.
        """
        several = tuple(objects)
        for each in several:
            if not isinstance(each, (Publication, Subscription)):
                raise TypeError(f"objects must be subscriptions and publications, not {type(each).__name__}")
        return _waiting.wait_many(self._owner, several, timeout)

    def wake(self) -> None:
        """End one `wait` on the context with `WaitInterruptedError`: the current one, or else the next.

        Calls that come before a wait has ended by one count as one. Never blocks.

        Raises:
            ClosedError: The context was closed.
        """
        code = self._owner.wake()
        if code != 0:
            raise errors.from_code(code, operation="mctx_wake", handle=self._owner.handle)

    if sys.platform != "win32":

        def fileno(self) -> int:
            """Return the descriptor to watch, which stays the context's: readable when a subscription of it is.

            Raises:
                ClosedError: The context was closed.
                LimitError: There is no descriptor left for it.
            """
            return native_handle(self._owner.handle)

    def metrics(self) -> Metrics:
        """Return the context's counters: its own, and sums over all objects that it ever had.

        Raises:
            ClosedError: The context was closed.
        """
        return values.read_metrics(self._owner.handle, values.CONTEXT)

    def events(self) -> list[Event]:
        """Take what happened to publications and subscriptions by themselves, oldest first. Never blocks.

        Raises:
            ClosedError: The context was closed.
        """
        return values.take_events(self._owner.handle)

    # ---- closing ----

    @property
    def closed(self) -> bool:
        """Whether the context was closed, or belongs to a parent process."""
        return closed_error(self._owner.handle) is not None

    def close(self) -> None:
        """Close the context and all that it owns; closing it again does nothing.

        Waiting calls get `ClosedError`; the ports are free when this returns. Waits for other threads' calls,
        which end at once.
        """
        self._publications.before_close()
        self._subscriptions.before_close()
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
        if self.closed:
            return "Context(closed)"
        counts = f"publication_count={self.publication_count()}, subscription_count={self.subscription_count()}"
        return f"Context({counts})"

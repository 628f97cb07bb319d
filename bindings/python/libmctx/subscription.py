# SPDX-License-Identifier: MIT
"""Subscriptions: receivers, each for one port and any set of groups."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from libmctx import _convert, _ffi, _waiting, errors, values
from libmctx._arena import Arena, Batch, as_it_is, payloads_of, viewed, viewed_payloads
from libmctx._columns import Columns, columns_of
from libmctx._convert import AddressText
from libmctx._options import SubscriptionInfo, read_info
from libmctx._payload import writable
from libmctx._receiver import MOST, USUAL, Receiver
from libmctx.datagram import Datagram, DatagramInfo, DatagramView
from libmctx.interface import InterfaceLike
from libmctx.membership import (
    GroupLike,
    Membership,
    MembershipInfo,
    Memberships,
    Sources,
    read_memberships,
)
from libmctx.values import Metrics, Ready

if TYPE_CHECKING:
    from libmctx._payload import Writable

__all__ = ["Subscription"]

_FORKED = _ffi.constant("MCTX_ERR_FORKED")
_T = TypeVar("_T")
_MEMBERSHIP = ctypes.sizeof(_ffi.Membership)


class Subscription(Receiver):
    """A receiver for one UDP port and any set of groups; `Context.add_subscription` opens it.

    What is delivered was sent to a joined group, arrived on an interface where it is joined, from a source that
    its filter lets through. Safe to use from any number of threads, each datagram goes to one of them; and
    while others close it: they and later calls get `ClosedError`. A context manager that closes it. Not
    picklable; in a forked child it is closed.

    Iterating receives for ever, a batch with one native call, and ends when the subscription is closed. What an
    iteration that is left early has fetched and not handed over, the next receives get.
    """

    __slots__ = ()

    _kind = values.SUBSCRIPTION
    _noun = "subscription"
    _interest = Ready.READABLE

    # ---- what it is ----

    @property
    def port(self) -> int:
        """The port, also when it was chosen.

        Raises:
            ClosedError: It was closed.
        """
        return int(self._native_info().port)

    @property
    def group_sockets(self) -> int:
        """How many sockets are bound to a group.

        Raises:
            ClosedError: It was closed.
        """
        return int(self._native_info().group_sockets)

    @property
    def wildcard_sockets(self) -> int:
        """How many sockets are bound to the port alone.

        Raises:
            ClosedError: It was closed.
        """
        return int(self._native_info().wildcard_sockets)

    @property
    def receive_buffer(self) -> int:
        """Bytes of receive buffer granted, as the system counts them: the least of the sockets'.

        Raises:
            ClosedError: It was closed.
        """
        return int(self._native_info().receive_buffer)

    def info(self) -> SubscriptionInfo:
        """Return what was configured, and what the system granted.

        Asks the system; does not wait for the network.

        Raises:
            ClosedError: It was closed.
        """
        return read_info(self._handle, self._native_info())

    def memberships(self) -> list[MembershipInfo]:
        """Return the memberships as they are, in order of joining.

        Those refused by an interface of the default set too, and those whose interface is away.

        Raises:
            ClosedError: It was closed.
        """
        return read_memberships(self._handle)

    def stats(self) -> Metrics:
        """Return the counters, as `metrics` does.

        Raises:
            ClosedError: It was closed.
        """
        return self.metrics()

    # ---- groups ----

    def join(
        self,
        group: GroupLike,
        interface: InterfaceLike | None = None,
        sources: Sources | None = None,
        exclude: Sources | None = None,
    ) -> None:
        """Join a group. Does not wait for the network.

        Args:
            group: The group; or a `Membership`, which says the rest too.
            interface: Where: a name, an address, an index, or an `Interface`; None: on all of the
                subscription's interfaces.
            sources: The sources to receive from, and no others (SSM).
            exclude: The sources not to receive from. Excludes ``sources``; with neither, any source (ASM).

        Raises:
            AlreadyExistsError: It is joined there already, with this filter.
            UsageError: It is joined there with another filter; it is no group; sources of the other family; ...
            NotFoundError: There is no such interface.
            LimitError: A limit of the system is reached.
            ClosedError: It was closed.
            TypeError, OverflowError, ValueError: A value is of a wrong type, doesn't fit, or holds a NUL.
        """
        if isinstance(group, Membership):
            if interface is not None or sources is not None or exclude is not None:
                raise TypeError("a Membership says interface, sources and exclude itself")
            wanted = group
        else:
            wanted = Membership(group, interface, sources, exclude)
        self._change(_ffi.join, Memberships([wanted]), stacklevel=2)

    def join_many(self, groups: Iterable[GroupLike]) -> None:
        """Join groups, all or none; see `join`.

        Args:
            groups: Groups, or `Membership` objects.

        Raises:
            MctxError: As `join`; ``item`` says which.
            TypeError, OverflowError, ValueError: As `join`.
        """
        self._change(_ffi.join, Memberships.of(groups), stacklevel=2)

    def leave(self, group: GroupLike, interface: InterfaceLike | None = None) -> None:
        """Leave a group. Nothing that was sent to it is received after this.

        Args:
            group: The group.
            interface: Where; None: everywhere.

        Raises:
            NotFoundError: It isn't joined there, or there is no such interface.
            UsageError: It is no group.
            ClosedError: It was closed.
        """
        wanted = group if isinstance(group, Membership) else Membership(group, interface)
        self._leave(Memberships([wanted]))

    def leave_many(self, groups: Iterable[GroupLike]) -> None:
        """Leave groups, all or none; see `leave`.

        Args:
            groups: Groups, or `Membership` objects without filters, for one interface.

        Raises:
            MctxError: As `leave`; ``item`` says which.
        """
        self._leave(Memberships.of(groups))

    def _leave(self, groups: Memberships) -> None:
        try:
            self._change(_ffi.leave, groups)
        finally:
            self._leaves += 1

    def _change(self, function: _ffi.Function, groups: Memberships, stacklevel: int = 0) -> None:
        if stacklevel:
            groups.warn(stacklevel + 1)
        try:
            errors.call(function, self._handle, groups.array, _MEMBERSHIP, len(groups.array))
        except errors.MctxError as error:
            groups.name_parameters(error)
            raise

    def allow(self, group: AddressText, source: AddressText, interface: InterfaceLike | None = None) -> None:
        """Let a source through: add it to an include list, or take it off an exclude list.

        Args:
            group: The group.
            source: The source.
            interface: Where; None: everywhere, on all or on none.

        Raises:
            AlreadyExistsError: The include list has it.
            NotFoundError: The exclude list doesn't have it; the group isn't joined there; no such interface.
            UsageError: The source is of the other family, ...
            ClosedError: It was closed.
        """
        self._change_source(_ffi.allow, group, source, interface)

    def block(self, group: AddressText, source: AddressText, interface: InterfaceLike | None = None) -> None:
        """Shut a source out: add it to an exclude list.

        Args:
            group: The group.
            source: The source.
            interface: Where; None: everywhere, on all or on none.

        Raises:
            AlreadyExistsError: The list has it.
            NotFoundError: The group isn't joined there; no such interface.
            UsageError: The filter is an include list: replace it; the source is of the other family, ...
            ClosedError: It was closed.
        """
        self._change_source(_ffi.block, group, source, interface)

    def _change_source(
        self, function: _ffi.Function, group: AddressText, source: AddressText, interface: InterfaceLike | None
    ) -> None:
        laid_out = Memberships([Membership(group, interface)])
        address = _convert.address(source, "source")
        try:
            errors.call(function, self._handle, laid_out.array[0], _MEMBERSHIP, address)
        except errors.MctxError as error:
            if error.field == "sources":
                error.field = "source"
            raise

    def set_filter(
        self,
        group: AddressText,
        *,
        sources: Sources | None = None,
        exclude: Sources | None = None,
        interface: InterfaceLike | None = None,
    ) -> None:
        """Replace the whole filter of a group, mode and list.

        Args:
            group: The group.
            sources: The sources to receive from, and no others.
            exclude: The sources not to receive from. Excludes ``sources``; with neither, any source.
            interface: Where; None: everywhere, on all or on none.

        Raises:
            NotFoundError: The group isn't joined there; no such interface.
            UsageError: Both lists are given, one has a source twice or of the other family, ...
            LimitError: A limit of the system is reached.
            ClosedError: It was closed.
        """
        laid_out = Memberships([Membership(group, interface, sources, exclude)])
        laid_out.warn(2)
        try:
            errors.call(_ffi.filter_set, self._handle, laid_out.array[0], _MEMBERSHIP)
        except errors.MctxError as error:
            laid_out.name_parameters(error)
            raise

    # ---- receiving ----

    def recv(self, timeout: float | None = None) -> Datagram:
        """Receive one datagram.

        Blocks as long as asked; Ctrl-C and other signals are handled while the main thread waits.

        Args:
            timeout: Seconds; 0 does not block; None waits for ever.

        Raises:
            WouldBlockError: Nothing is there (timeout 0).
            TimedOutError: The time has passed.
            WaitInterruptedError: `wake` ended the wait.
            UsageError: No group is joined, and the wait has no end.
            ClosedError: It was closed, before or meanwhile.
        """
        if self._lends:
            self._end_views()
        pending = None
        if not self._kept and not self._late:
            got = self._call(self._direct, timeout)
            if type(got) is Datagram:
                return got
            pending = got
        with self._arena() as arena:
            while True:
                if self._kept and (kept := self._take_kept(1)):
                    return kept[0]
                if pending is None:
                    pending = self._wait(timeout)
                if self._until_done(arena.receive_one, arena.error, pending):
                    return arena.one()

    @overload
    def recv_many(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[True] = ...
    ) -> Batch[Datagram]: ...

    @overload
    def recv_many(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[False]
    ) -> Batch[DatagramView]: ...

    @overload
    def recv_many(
        self, max: int = ..., timeout: float | None = ..., *, copy: bool
    ) -> Batch[Datagram] | Batch[DatagramView]: ...

    def recv_many(
        self,
        max: int = USUAL,  # noqa: A002
        timeout: float | None = None,
        *,
        copy: bool = True,
    ) -> Batch[Datagram] | Batch[DatagramView]:
        """Receive what is there, up to so many datagrams, with one native call.

        Faster, in this order: `recv_payloads`, if nothing but the payloads counts; `recv_columns`, which makes
        no object for a datagram.

        Args:
            max: The most datagrams; 16,384 are the most of one receive. Fewer than twice
                `SubscriptionInfo.min_datagrams` take a call each.
            timeout: Seconds for the first; 0 does not block; None waits for ever.
            copy: Whether payloads are bytes; False: views of the memory that they were received into, which end
                with this thread's next receive: see `Batch`.

        Returns:
            A list with one datagram at least.

        Raises:
            MctxError: As `recv`.
            OverflowError: ``max`` is negative or doesn't fit.
        """
        if copy:
            return self._recv_many(max, timeout, Arena.copied, as_it_is)
        return self._lend(self._recv_many(max, timeout, Arena.lent, viewed))

    @overload
    def recv_payloads(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[True] = ...
    ) -> list[bytes]: ...

    @overload
    def recv_payloads(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[False]
    ) -> Batch[memoryview]: ...

    @overload
    def recv_payloads(
        self, max: int = ..., timeout: float | None = ..., *, copy: bool
    ) -> list[bytes] | Batch[memoryview]: ...

    def recv_payloads(
        self,
        max: int = USUAL,  # noqa: A002
        timeout: float | None = None,
        *,
        copy: bool = True,
    ) -> list[bytes] | Batch[memoryview]:
        """Receive what is there, up to so many datagrams, with one native call: the payloads alone.

        Args:
            max: As of `recv_many`.
            timeout: As of `recv_many`.
            copy: Whether they are bytes; False: views, as of `recv_many`.

        Returns:
            One payload at least.

        Raises:
            MctxError: As `recv`.
            OverflowError: ``max`` is negative or doesn't fit.
        """
        if copy:
            return self._recv_many(max, timeout, Arena.payloads, payloads_of)
        return self._lend(self._recv_many(max, timeout, Arena.payload_views, viewed_payloads))

    def recv_columns(self, max: int = USUAL, timeout: float | None = None) -> Columns:  # noqa: A002
        """Receive what is there, up to so many datagrams, with one native call: as memory and numbers.

        No object is made for a datagram: see `Columns`, which ends with this thread's next receive.

        Args:
            max: As of `recv_many`. More, say 4096, take more memory, once.
            timeout: As of `recv_many`.

        Returns:
            One datagram at least.

        Raises:
            MctxError: As `recv`.
            OverflowError: ``max`` is negative or doesn't fit.
        """
        return self._lend(self._recv_many(max, timeout, Arena.columns, columns_of))

    def _recv_many(
        self,
        most: int,
        timeout: float | None,
        form: Callable[[Arena], _T],
        form_kept: Callable[[Batch[Datagram]], _T],
    ) -> _T:
        """Receive many datagrams in some form; ``form_kept`` makes the same of those received one by one."""
        count = most if type(most) is int and 0 < most <= MOST else self._checked_count(most)
        if self._lends:
            self._end_views()
        if self._kept and (kept := self._take_kept(count)):
            return form_kept(kept)
        if count < 2 * self._min_datagrams:
            return form_kept(self._add_few(Batch([self.recv(timeout)]), count))
        arena = self._arena(count)
        try:
            arena.limit(count)
            got: Any = None
            if not self._late:
                got = self._call(arena.fetch, timeout)
                if type(got) is int:
                    return form(arena)
            pending = self._wait(timeout) if got is None else got
            while True:
                if self._kept and (kept := self._take_kept(count)):
                    return form_kept(kept)
                if self._until_done(arena.receive, arena.error, pending):
                    return form(arena)
        finally:
            if not arena.is_lent:
                self._arenas.put(arena)

    def recv_into(self, buffer: Writable, timeout: float | None = None) -> tuple[int, DatagramInfo]:
        """Receive one datagram into memory of the caller's.

        Args:
            buffer: Anything with contiguous, writable bytes. Of a longer datagram the rest is lost, and the
                answer says so. Bytes behind the datagram may be written.
            timeout: Seconds; 0 does not block; None waits for ever.

        Returns:
            How many bytes were received, and what is known of the datagram.

        Raises:
            MctxError: As `recv`.
            TypeError: It is no such buffer.
        """
        self._end_views()
        pending = None
        target: Any = writable(buffer)
        memory: Any = (ctypes.c_char * len(target)).from_buffer(target)
        try:
            with self._arena() as arena:
                call = arena.into(ctypes.addressof(memory), len(target))
                while True:
                    if self._kept and (kept := self._take_kept(1)):
                        return kept[0]._into(target)
                    if pending is None:
                        pending = self._wait(timeout)
                    if self._until_done(call, arena.error, pending):
                        return arena.told()
        finally:
            memory = target = None  # lets go of the buffer, also while an exception is kept

    def __iter__(self) -> Iterator[Datagram]:
        rest: Iterator[Datagram] = iter(())
        try:
            while True:
                try:
                    rest = iter(self.recv_many(USUAL))
                except errors.ClosedError as error:
                    if error.code == _FORKED:
                        raise
                    return
                yield from rest
        finally:
            self._keep(rest)

    # ---- waiting ----

    def wait(self, timeout: float | None = None, *, events: Ready = Ready.READABLE) -> Ready:
        """Wait until something can be received.

        Blocks as long as asked; Ctrl-C and other signals are handled while the main thread waits. A
        subscription that was readable may have nothing to deliver.

        Args:
            timeout: Seconds; 0 asks without blocking, None waits for ever.
            events: What to wait for; ``Ready(0)`` waits for `wake` alone.

        Returns:
            What it is ready for.

        Raises:
            WouldBlockError: It isn't (timeout 0).
            TimedOutError: The time has passed.
            WaitInterruptedError: `wake` ended the wait.
            UsageError: No group is joined, and the wait has no end.
            ClosedError: It was closed, before or meanwhile.
        """
        wanted = _convert.integer(events, "events", 32, signed=False)
        ready, record = ctypes.c_uint32(), _ffi.new_error()
        pending = self._wait(timeout)
        call = _waiting.waiter(self._handle, wanted, ready, record)
        handed_on = -1
        while not (wanted & Ready.READABLE and self._has_kept()):
            if _waiting.until_done(call, record, pending, None, self._take_wake):
                return Ready(ready.value)
            if not wanted & Ready.READABLE and handed_on != self._kept_changes:  # the wake was for another wait
                handed_on = self._kept_changes
                self._pass_on()
                time.sleep(_waiting.ASIDE)
        self._pass_on()
        return Ready.READABLE

    def wake(self) -> None:
        """End one wait on the subscription with `WaitInterruptedError`: the current one, or else the next.

        Calls that come before a wait has ended by one count as one.

        Waits are `wait`, receives that may wait, and those of an `AsyncSubscription`. Never blocks.

        Raises:
            ClosedError: It was closed.
        """
        self._woken.set()
        super().wake()
        self._notify()

    if sys.platform == "win32":

        def event_handle(self) -> int:
            """Return the event to watch, which stays the subscription's: set while something can be received.

            Raises:
                ClosedError: It was closed.
            """
            return self._native_handle()
    else:

        def fileno(self) -> int:
            """Return the descriptor to watch, which stays the subscription's: readable, level-triggered.

            It is one of its own, whatever sockets stand behind it. Readable is also a change of the interfaces
            that the next receive follows. What an iteration that was left early has fetched does not show here:
            receive once before watching.

            Raises:
                ClosedError: It was closed.
            """
            return self._native_handle()

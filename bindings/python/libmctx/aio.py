# SPDX-License-Identifier: MIT
"""Sending and receiving from asyncio."""

from __future__ import annotations

import asyncio
import ctypes
import math
import operator
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload

from libmctx import _convert, _ffi, _waiting, errors
from libmctx._arena import Arena, as_it_is, payloads_of, viewed, viewed_payloads
from libmctx._arena import Batch as ReceivedBatch
from libmctx._columns import Columns, columns_of
from libmctx._object import OpenObject
from libmctx._payload import Batch, several, view_of
from libmctx._watch import CLOSING_PAUSE, find_watch
from libmctx.datagram import Datagram, DatagramView
from libmctx.publication import Publication
from libmctx.report import SendReport
from libmctx.subscription import Subscription
from libmctx.values import Ready

if TYPE_CHECKING:
    from libmctx._payload import Payload

__all__ = ["AsyncPublication", "AsyncSubscription"]

_T = TypeVar("_T")

_WOULD_BLOCK = _ffi.constant("MCTX_ERR_WOULD_BLOCK")
_WOKEN = _ffi.constant("MCTX_ERR_WOKEN")
_FORKED = _ffi.constant("MCTX_ERR_FORKED")
_TIMEOUT = _ffi.constant("MCTX_ERR_TIMEOUT")
_QUEUE_FULL = _ffi.constant("MCTX_ERR_QUEUE_FULL")
_PACED = _ffi.constant("MCTX_ERR_PACED")
_SEGMENT_SIZE = _ffi.constant("MCTX_ERR_SEGMENT_SIZE")

_REMOVAL_CHECK = 0.05
"""Seconds between looks at whether a foreign publication was removed while its socket is watched."""
_BACK_OFF = (0.001, 0.050)
"""Seconds: the first and the longest pause after the interface's queue was full."""
_NO_PROGRESS = 1.0
"""Seconds without an accepted datagram after which a full queue is reported."""
_TURN = 64
"""Receives of one datagram that didn't have to wait, after which others get their turn on the loop."""


class Sender(Protocol):
    """What an `AsyncPublication` works over: a `Publication`, or anything with a ``send`` like its."""

    def send(self, payload: Any, /) -> Any:
        """Send one datagram, or raise `BlockingIOError`."""


def _timed_out(handle: int) -> errors.MctxError:
    """Make the exception for a batch of which nothing was accepted in time."""
    return errors.from_code(_TIMEOUT, accepted=0, item=0, handle=handle)


class AsyncPublication:
    """Awaitable sending over a publication.

    Uses the loop's ``add_writer`` where it has it, and polls elsewhere. Any number of tasks may send at once.
    Nothing stays registered on the loop when a send ends or is cancelled. A publication that is closed while a
    task waits ends the wait with its `ClosedError`. It does not own the publication.
    """

    def __init__(
        self,
        publication: Sender,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        poll_interval: float = 0.001,
    ) -> None:
        """Wrap a publication.

        Args:
            publication: A `Publication`, or any object with its ``send`` and, to be watched, its ``fileno``.
            loop: The event loop to wait on; None: the one that runs when a send has to wait.
            poll_interval: Seconds between tries where the loop can't watch the socket.

        Raises:
            ValueError: ``poll_interval`` is not positive, not finite, or not a number.
            TypeError: ``poll_interval`` is of another type.
        """
        _check_interval(poll_interval)
        self._publication = publication
        self._loop = loop
        self._poll_interval = poll_interval

    def __repr__(self) -> str:
        return f"AsyncPublication({self._publication!r})"

    @property
    def publication(self) -> Any:
        """The publication that it was made with."""
        return self._publication

    async def send(self, payload: Payload) -> SendReport:
        """Send one datagram, waiting while the socket's buffer is full or for the pace.

        Args:
            payload: Any contiguous buffer; an empty one is a datagram too.

        Raises:
            MctxError: As `Publication.send`, but for `WouldBlockError`.
        """
        while True:
            try:
                return self._publication.send(payload)  # type: ignore[no-any-return]
            except BlockingIOError as error:
                await self._sendable(error, None)

    async def send_many(self, payloads: Iterable[Payload], *, timeout: float | None = None) -> int:
        """Send many datagrams in order, waiting while the socket's buffer is full or for the pace.

        The accepted ones are exactly the first ones: none is skipped, sent twice or reordered. Over an object
        that is no `Publication` they are sent one by one.

        Args:
            payloads: One contiguous buffer for each datagram.
            timeout: Seconds; 0 takes what goes now; None waits as long as it takes.

        Returns:
            How many datagrams the system accepted: all, or fewer when the time has passed.

        Raises:
            MctxError: As `Publication.send_many`.
        """
        limit = _convert.nanoseconds(timeout)
        if isinstance(self._publication, Publication):
            each = several(payloads)
            sent = self._publication._first_many(each)
            if type(sent) is int:
                return sent
            return await self._send_rest(self._publication, sent, lambda: Batch(each), limit)
        return await self._send_singly(several(payloads), limit)

    async def send_segments(self, buffer: Payload, size: int, *, timeout: float | None = None) -> int:
        """Send one buffer as many datagrams of one size, as `send_many`; the last may be shorter.

        Args:
            buffer: Any contiguous buffer; nothing is sent of an empty one.
            size: Of each datagram, in bytes.
            timeout: Seconds; 0 takes what goes now; None waits as long as it takes.

        Returns:
            How many datagrams the system accepted: all, or fewer when the time has passed.

        Raises:
            MctxError: As `Publication.send_segments`.
        """
        limit = _convert.nanoseconds(timeout)
        if isinstance(self._publication, Publication):
            with view_of(buffer) as held:  # or it could get shorter between the native calls
                sent = self._publication._first_segments(held, size)
                if type(sent) is int:
                    return sent
                number = operator.index(size)
                return await self._send_rest(self._publication, sent, lambda: Batch((held,), number), limit)
        view = view_of(buffer).cast("B")
        number = _convert.integer(size, "size", 32, signed=False)
        if number == 0:
            raise errors.from_code(
                _SEGMENT_SIZE, field="size", hint="cut the buffer into datagrams of 1 byte at least"
            )
        pieces = (view[start : start + number] for start in range(0, len(view), number))
        return await self._send_singly(pieces, limit)

    async def _send_singly(self, payloads: Iterable[Payload], limit: int) -> int:
        """Send over an object that is no `Publication`."""
        loop = self._loop or asyncio.get_running_loop()
        deadline = None if limit < 0 else loop.time() + limit / 1e9
        accepted = 0
        for payload in payloads:
            while True:
                try:
                    self._publication.send(payload)
                    break
                except BlockingIOError as error:
                    if deadline is not None and loop.time() >= deadline:
                        if accepted:
                            return accepted
                        if limit > 0:
                            raise _timed_out(0) from None
                        raise
                    left = None if deadline is None else max(0.0, deadline - loop.time())
                    await self._sendable(error, left)
            accepted += 1
        return accepted

    async def _send_rest(
        self, publication: Publication, refusal: bytes, batch: Callable[[], Batch], limit: int
    ) -> int:
        """Send what a first try has left of a batch."""
        code, total, record = _waiting.refused(refusal)
        if limit == 0 or not _waiting.may_go_on(code, record):
            if _waiting.is_enough(code, total):
                return total
            raise _waiting.batch_error(code, record, 0, total)
        rest = batch()
        try:
            return await self._send_batch(publication, rest, (code, total, record), limit)
        finally:
            rest.release()

    async def _send_batch(
        self, publication: Publication, batch: Batch, so_far: tuple[int, int, _ffi.Error], limit: int
    ) -> int:
        loop = self._loop or asyncio.get_running_loop()
        count, (code, total, record) = ctypes.c_uint64(), so_far
        start, pause, progress = 0, _BACK_OFF[0], loop.time()
        deadline = None if limit < 0 else progress + limit / 1e9
        while code != 0:
            now = loop.time()
            if total > start:
                pause, progress = _BACK_OFF[0], now
            is_full = code == _QUEUE_FULL
            if not _waiting.may_go_on(code, record) or (is_full and now >= progress + _NO_PROGRESS):
                raise _waiting.batch_error(code, record, start, total)
            left = None if deadline is None else deadline - now
            if left is not None and left <= 0:
                if total:
                    return total
                raise _timed_out(publication.id)
            if is_full:
                await asyncio.sleep(pause if left is None else min(pause, left))
                pause = min(2 * pause, _BACK_OFF[1])
            elif code == _PACED:
                await asyncio.sleep(record.value / 1e9 if left is None else min(record.value / 1e9, left))
            else:
                await self._writable(left)
            code = batch.send(publication.id, total, 0, 0, count, record)
            start, total = total, total + count.value
        return total

    async def _sendable(self, refusal: BlockingIOError, timeout: float | None) -> None:
        """Wait until a send may do otherwise than to be refused so, at most about ``timeout`` seconds."""
        delay: float | None = getattr(refusal, "retry_after", None)
        if delay is None:
            await self._writable(timeout)
        else:
            await asyncio.sleep(delay if timeout is None else min(delay, timeout))

    async def _writable(self, timeout: float | None) -> None:
        """Wait until a send may do otherwise than block, at most about ``timeout`` seconds."""
        loop = self._loop or asyncio.get_running_loop()
        watch = find_watch(loop, self._publication, reads=False)
        if watch is None:
            await _pause(self._publication, self._poll_interval, timeout)
            return
        if not isinstance(self._publication, Publication):
            timeout = _REMOVAL_CHECK if timeout is None else min(timeout, _REMOVAL_CHECK)
        await watch.wait(self._publication, timeout)


class AsyncSubscription:
    """Awaitable receiving over a subscription.

    Uses the loop's ``add_reader`` where it has it, and polls elsewhere. Any number of tasks may receive at
    once: each datagram goes to one of them. A receive that is cancelled, or runs out of time, loses nothing:
    what arrives is the next one's. Nothing stays registered on the loop when a receive ends. A subscription
    that is closed while a task waits ends the wait with `ClosedError`. It does not own the subscription.

    ``async for`` receives for ever, many datagrams with one native call, and ends when the subscription is
    closed. What a loop that is left early has fetched and not handed over, the next receives get.
    """

    def __init__(
        self,
        subscription: Subscription,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        poll_interval: float = 0.001,
    ) -> None:
        """Wrap a subscription.

        Args:
            subscription: The subscription.
            loop: The event loop to wait on; None: the one that runs when a receive has to wait.
            poll_interval: Seconds between tries where the loop can't watch the subscription.

        Raises:
            ValueError: ``poll_interval`` is not positive, not finite, or not a number.
            TypeError: ``poll_interval`` is of another type, or ``subscription`` is none.
        """
        _check_interval(poll_interval)
        if not isinstance(subscription, Subscription):
            raise TypeError(f"subscription must be a Subscription, not {type(subscription).__name__}")
        self._subscription = subscription
        self._loop = loop
        self._poll_interval = poll_interval
        self._at_once = 0

    def __repr__(self) -> str:
        return f"AsyncSubscription({self._subscription!r})"

    @property
    def subscription(self) -> Subscription:
        """The subscription that it was made with."""
        return self._subscription

    async def recv(self, timeout: float | None = None) -> Datagram:
        """Receive one datagram.

        Args:
            timeout: Seconds; 0 does not wait; None waits as long as it takes.

        Raises:
            MctxError: As `Subscription.recv`.
        """
        if timeout is None and self._at_once < _TURN:
            received = self._subscription._try_recv()
            if received is not None:
                self._at_once += 1
                return received
        return await self._receive(self._subscription._try_recv, timeout, _TURN)

    @overload
    async def recv_many(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[True] = ...
    ) -> ReceivedBatch[Datagram]: ...

    @overload
    async def recv_many(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[False]
    ) -> ReceivedBatch[DatagramView]: ...

    @overload
    async def recv_many(
        self, max: int = ..., timeout: float | None = ..., *, copy: bool
    ) -> ReceivedBatch[Datagram] | ReceivedBatch[DatagramView]: ...

    async def recv_many(
        self,
        max: int = 256,  # noqa: A002
        timeout: float | None = None,
        *,
        copy: bool = True,
    ) -> ReceivedBatch[Datagram] | ReceivedBatch[DatagramView]:
        """Receive what is there, up to so many datagrams, with one native call.

        Args:
            max: The most datagrams.
            timeout: Seconds for the first; 0 does not wait; None waits as long as it takes.
            copy: Whether payloads are bytes; False: views, which end with the next receive on the subscription
                in this thread, whichever task receives: see `Batch`.

        Returns:
            A list with one datagram at least.

        Raises:
            MctxError: As `Subscription.recv_many`.
        """
        if copy:
            return await self._receive_many(max, timeout, Arena.copied, as_it_is)
        return self._subscription._lend(await self._receive_many(max, timeout, Arena.lent, viewed))

    @overload
    async def recv_payloads(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[True] = ...
    ) -> list[bytes]: ...

    @overload
    async def recv_payloads(
        self, max: int = ..., timeout: float | None = ..., *, copy: Literal[False]
    ) -> ReceivedBatch[memoryview]: ...

    @overload
    async def recv_payloads(
        self, max: int = ..., timeout: float | None = ..., *, copy: bool
    ) -> list[bytes] | ReceivedBatch[memoryview]: ...

    async def recv_payloads(
        self,
        max: int = 256,  # noqa: A002
        timeout: float | None = None,
        *,
        copy: bool = True,
    ) -> list[bytes] | ReceivedBatch[memoryview]:
        """Receive what is there, up to so many datagrams, with one native call: the payloads alone.

        Args:
            max: The most datagrams.
            timeout: Seconds for the first; 0 does not wait; None waits as long as it takes.
            copy: Whether they are bytes; False: views, as of `recv_many`.

        Returns:
            One payload at least.

        Raises:
            MctxError: As `Subscription.recv_payloads`.
        """
        if copy:
            return await self._receive_many(max, timeout, Arena.payloads, payloads_of)
        lent = await self._receive_many(max, timeout, Arena.payload_views, viewed_payloads)
        return self._subscription._lend(lent)

    async def recv_columns(self, max: int = 512, timeout: float | None = None) -> Columns:  # noqa: A002
        """Receive what is there, up to so many datagrams, with one native call: as memory and numbers.

        They end with the next receive on the subscription in this thread, whichever task receives: `Columns`.

        Args:
            max: The most datagrams.
            timeout: Seconds for the first; 0 does not wait; None waits as long as it takes.

        Returns:
            One datagram at least.

        Raises:
            MctxError: As `Subscription.recv_columns`.
        """
        return self._subscription._lend(await self._receive_many(max, timeout, Arena.columns, columns_of))

    async def _receive_many(
        self,
        most: int,
        timeout: float | None,
        form: Callable[[Arena], _T],
        form_kept: Callable[[ReceivedBatch[Datagram]], _T],
    ) -> _T:
        subscription = self._subscription
        count = subscription._checked_count(most)
        return await self._receive(lambda: subscription._try_recv_many(count, form, form_kept), timeout, 1)

    def wake(self) -> None:
        """End one wait on the subscription with `WaitInterruptedError`: the current one, or else the next.

        Calls that come before a wait has ended by one count as one.

        Never blocks. Safe from any thread.

        Raises:
            ClosedError: It was closed.
        """
        self._subscription.wake()

    def __aiter__(self) -> AsyncIterator[Datagram]:
        return _Stream(self)

    async def _receive(self, receive: Callable[[], _T | None], timeout: float | None, turn: int) -> _T:
        """Receive as soon as something is there.

        Nothing is in hand whenever this is suspended, so cancelling it loses nothing. After ``turn`` receives
        that didn't have to wait, others get their turn on the loop.
        """
        limit = _convert.nanoseconds(timeout)
        if self._at_once >= turn:
            self._at_once = 0
            await asyncio.sleep(0)
        received = receive()
        if received is not None:
            self._at_once += 1
            return received
        self._at_once = 0
        if limit == 0:
            raise errors.from_code(_WOULD_BLOCK, handle=self._subscription.id)
        loop = self._loop or asyncio.get_running_loop()
        deadline = None if limit < 0 else loop.time() + limit / 1e9
        while True:
            self._check(endless=deadline is None)
            left = None if deadline is None else max(0.0, deadline - loop.time())
            await self._readable(loop, left)
            received = receive()
            if received is not None:
                return received
            if deadline is not None and loop.time() >= deadline:
                raise errors.from_code(_TIMEOUT, handle=self._subscription.id)

    def _check(self, *, endless: bool) -> None:
        """Raise what ends a wait that begins or goes on."""
        subscription = self._subscription
        if subscription._take_wake():
            raise errors.from_code(_WOKEN, handle=subscription.id)
        if endless and not subscription._may_become_ready():
            errors.call(_ffi.wait, subscription.id, Ready.READABLE, 0, -1, ctypes.c_uint32())

    async def _readable(self, loop: asyncio.AbstractEventLoop, timeout: float | None) -> None:
        """Wait until a receive may do otherwise than block, at most about ``timeout`` seconds."""
        subscription = self._subscription
        watch = find_watch(loop, subscription, reads=True)
        if watch is None:
            await _pause(subscription, self._poll_interval, timeout)
            return
        subscription._listeners.add(watch.end_soon)
        try:
            if not subscription._has_kept() and not subscription._woken:
                await watch.wait(subscription, timeout)
        finally:
            subscription._listeners.discard(watch.end_soon)


class _Stream:
    """An ``async for`` over a subscription."""

    __slots__ = ("_of", "_rest")

    def __init__(self, of: AsyncSubscription) -> None:
        self._of = of
        self._rest: deque[Datagram] = deque()

    def __aiter__(self) -> _Stream:
        return self

    async def __anext__(self) -> Datagram:
        if self._rest:
            return self._rest.popleft()
        try:
            self._rest.extend(await self._of.recv_many())  # behind those of another task that has come back
        except errors.ClosedError as error:
            if error.code == _FORKED:
                raise
            raise StopAsyncIteration from None
        return self._rest.popleft()

    def __del__(self) -> None:
        self._of.subscription._keep(iter(self._rest))


def _check_interval(poll_interval: float) -> None:
    if not math.isfinite(poll_interval) or poll_interval <= 0:
        raise ValueError(f"poll_interval must be positive and finite, and {poll_interval!r} is not")


async def _pause(of: Any, poll_interval: float, timeout: float | None) -> None:
    """Let some time pass between two tries."""
    pause = CLOSING_PAUSE if isinstance(of, OpenObject) and of._closing else poll_interval
    await asyncio.sleep(pause if timeout is None else min(timeout, pause))

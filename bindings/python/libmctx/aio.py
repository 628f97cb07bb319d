# SPDX-License-Identifier: MIT
"""Sending from asyncio."""

from __future__ import annotations

import asyncio
import ctypes
import math
import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from libmctx import _convert, _ffi, _waiting, errors
from libmctx._payload import Batch
from libmctx.publication import Publication
from libmctx.report import SendReport

if TYPE_CHECKING:
    from libmctx._payload import Payload

__all__ = ["AsyncPublication"]

_WOULD_BLOCK = _ffi.constant("MCTX_ERR_WOULD_BLOCK")
_TIMEOUT = _ffi.constant("MCTX_ERR_TIMEOUT")
_QUEUE_FULL = _ffi.constant("MCTX_ERR_QUEUE_FULL")
_AFTER_DELAY = _ffi.constant("MCTX_RETRY_AFTER_DELAY")

_CLOSE_WAIT = 1.0
"""Seconds that a close in another thread gives a loop to take the socket off its watch list."""
_CLOSING_PAUSE = 0.001
"""Seconds between looks at a publication that another thread is closing."""
_REMOVAL_CHECK = 0.05
"""Seconds between looks at whether a foreign publication was removed while its socket is watched."""
_BACK_OFF = (0.001, 0.050)
"""Seconds: the first and the longest pause after the interface's queue was full."""
_NO_PROGRESS = 1.0
"""Seconds without an accepted datagram after which a full queue is reported."""


class Sender(Protocol):
    """What an `AsyncPublication` works over: a `Publication`, or anything with a ``send`` like its."""

    def send(self, payload: Any) -> Any:
        """Send one datagram, or raise `BlockingIOError`."""


class _Watch:
    """One socket on one loop's watch list, for any number of waiting tasks.

    A loop has one writer callback a descriptor, so all who wait for it share this. It serves once: it is over
    when the socket is writable, when nobody waits any more, or when the publication begins to close.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, table: dict[int, _Watch]) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._table = table
        self._waiting: set[asyncio.Future[None]] = set()

    def begin(self, publication: Any) -> bool:
        """Put the socket on the loop's watch list; False if the publication has begun to close.

        The hook comes first: from then on nobody closes the socket while it is on the list, which some loops
        answer by ending the process.
        """
        hooked = isinstance(publication, Publication)
        if hooked and not publication._add_hook(self._end_from_anywhere):
            return False
        try:
            self._loop.add_writer(self._descriptor, self._end)
        except BaseException:
            if hooked:
                publication._remove_hook(self._end_from_anywhere)
            raise
        self._table[self._descriptor] = self
        return True

    async def wait(self, publication: Any, timeout: float | None) -> None:
        """Wait until it is over, or the time has passed."""
        future = self._loop.create_future()
        self._waiting.add(future)
        hooked = isinstance(publication, Publication)
        try:
            if not hooked or publication._add_hook(self._end_from_anywhere):
                await asyncio.wait((future,), timeout=timeout)
            else:
                await asyncio.sleep(_CLOSING_PAUSE)
        finally:
            self._waiting.discard(future)
            future.cancel()
            if not self._waiting:
                self._end()
                if hooked:
                    publication._remove_hook(self._end_from_anywhere)

    def _end(self) -> None:
        """Take the socket off the loop's watch list, and let all go on who wait for it."""
        if self._table.get(self._descriptor) is self:
            del self._table[self._descriptor]
            self._loop.remove_writer(self._descriptor)
        while self._waiting:
            future = self._waiting.pop()
            if not future.done():
                future.set_result(None)

    def _end_from_anywhere(self) -> None:
        """End before the socket is closed, whichever thread closes it."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop or not self._loop.is_running():
            self._end()
            return
        ended = threading.Event()

        def end() -> None:
            self._end()
            ended.set()

        try:
            self._loop.call_soon_threadsafe(end)
        except RuntimeError:  # the loop was closed
            return
        ended.wait(_CLOSE_WAIT)


_watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, _Watch]] = weakref.WeakKeyDictionary()


def _watch(loop: asyncio.AbstractEventLoop, publication: Any) -> _Watch | None:
    """Return the watch of a publication's socket; None if the publication has begun to close."""
    table = _watches.setdefault(loop, {})
    descriptor = publication.fileno()
    watch = table.get(descriptor)
    if watch is None:
        watch = _Watch(loop, descriptor, table)
        if not watch.begin(publication):
            return None
    return watch


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
        if not math.isfinite(poll_interval) or poll_interval <= 0:
            raise ValueError(f"poll_interval must be positive and finite, and {poll_interval!r} is not")
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
        """Send one datagram, waiting while the socket's buffer is full.

        Args:
            payload: Any contiguous buffer; an empty one is a datagram too.

        Raises:
            MctxError: As `Publication.send`, but for `WouldBlockError`.
        """
        while True:
            try:
                return self._publication.send(payload)  # type: ignore[no-any-return]
            except BlockingIOError:
                await self._writable(None)

    async def send_many(self, payloads: Iterable[Payload], *, timeout: float | None = None) -> int:
        """Send many datagrams in order, waiting while the socket's buffer is full.

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
        loop = self._loop or asyncio.get_running_loop()
        deadline = None if limit < 0 else loop.time() + limit / 1e9
        if isinstance(self._publication, Publication):
            batch = Batch.of(payloads)
            try:
                return await self._send_batch(self._publication, batch, loop, deadline, waits=limit != 0)
            finally:
                batch.release()
        accepted = 0
        for payload in payloads:
            while True:
                try:
                    self._publication.send(payload)
                    break
                except BlockingIOError:
                    if deadline is not None and loop.time() >= deadline:
                        if accepted:
                            return accepted
                        if limit > 0:
                            raise _timed_out(0) from None
                        raise
                await self._writable(None if deadline is None else max(0.0, deadline - loop.time()))
            accepted += 1
        return accepted

    async def _send_batch(
        self,
        publication: Publication,
        batch: Batch,
        loop: asyncio.AbstractEventLoop,
        deadline: float | None,
        *,
        waits: bool,
    ) -> int:
        count, record, total = ctypes.c_uint64(), _ffi.new_error(), 0
        pause, progress = _BACK_OFF[0], loop.time()
        while True:
            code = batch.send(publication.id, total, 0, 0, count, record)
            start, total = total, total + count.value
            if code == 0:
                return total
            now = loop.time()
            if count.value:
                pause, progress = _BACK_OFF[0], now
            queue_full = code == _QUEUE_FULL and record.retry == _AFTER_DELAY and now < progress + _NO_PROGRESS
            if code != _WOULD_BLOCK and not queue_full:
                raise _waiting.batch_error(code, record, start, total)
            left = None if deadline is None else deadline - now
            if left is not None and left <= 0:
                if total:
                    return total
                if waits:
                    raise _timed_out(publication.id)
                raise _waiting.batch_error(code, record, start, total)
            if queue_full:
                await asyncio.sleep(pause if left is None else min(pause, left))
                pause = min(2 * pause, _BACK_OFF[1])
            else:
                await self._writable(left)

    async def _writable(self, timeout: float | None) -> None:
        """Wait until a send may do otherwise than block, at most about ``timeout`` seconds."""
        loop = self._loop or asyncio.get_running_loop()
        watch = self._find_watch(loop)
        if watch is None:
            closing = isinstance(self._publication, Publication) and self._publication._closing
            pause = _CLOSING_PAUSE if closing else self._poll_interval
            await asyncio.sleep(pause if timeout is None else min(timeout, pause))
            return
        if not isinstance(self._publication, Publication):
            timeout = _REMOVAL_CHECK if timeout is None else min(timeout, _REMOVAL_CHECK)
        await watch.wait(self._publication, timeout)

    def _find_watch(self, loop: asyncio.AbstractEventLoop) -> _Watch | None:
        """Put the socket on the loop's watch list; None if that can't be, or may not be any more.

        Raises:
            ClosedError: The publication was closed.
        """
        publication: Any = self._publication
        try:
            return _watch(loop, publication)
        except errors.MctxError:
            raise
        except (AttributeError, NotImplementedError, OSError, ValueError):
            return None

# SPDX-License-Identifier: MIT
"""Sockets on the watch lists of event loops, each only while a task waits for it."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import Any

from libmctx import errors
from libmctx._object import OpenObject

CLOSE_WAIT = 1.0
"""Seconds that a close in another thread gives a loop to take the socket off its watch list."""
CLOSING_PAUSE = 0.001
"""Seconds between looks at an object that another thread is closing."""


class Watch:
    """One descriptor on one loop's watch list, for any number of waiting tasks.

    A loop has one callback for a descriptor and direction, so all who wait for it share this. It serves once:
    it is over when the descriptor is ready, when nobody waits any more, or when the object begins to close.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, table: dict[int, Watch], *, reads: bool
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._table = table
        self._reads = reads
        self._waiting: set[asyncio.Future[None]] = set()

    def begin(self, watched: Any) -> bool:
        """Put the descriptor on the loop's watch list; False if the object has begun to close.

        The hook comes first: from then on nobody closes the descriptor while it is on the list, which some
        loops answer by ending the process.
        """
        hooked = isinstance(watched, OpenObject)
        if hooked and not watched._add_hook(self._end_from_anywhere):
            return False
        add = self._loop.add_reader if self._reads else self._loop.add_writer
        try:
            add(self._descriptor, self._end)
        except BaseException:
            if hooked:
                watched._remove_hook(self._end_from_anywhere)
            raise
        self._table[self._descriptor] = self
        return True

    async def wait(self, watched: Any, timeout: float | None) -> None:
        """Wait until it is over, or the time has passed."""
        future = self._loop.create_future()
        self._waiting.add(future)
        hooked = isinstance(watched, OpenObject)
        try:
            if not hooked or watched._add_hook(self._end_from_anywhere):
                await asyncio.wait((future,), timeout=timeout)
            else:
                await asyncio.sleep(CLOSING_PAUSE)
        finally:
            self._waiting.discard(future)
            future.cancel()
            if not self._waiting:
                self._end()
                if hooked:
                    watched._remove_hook(self._end_from_anywhere)

    def _end(self) -> None:
        """Take the descriptor off the loop's watch list, and let all go on who wait for it."""
        if self._table.get(self._descriptor) is self:
            del self._table[self._descriptor]
            (self._loop.remove_reader if self._reads else self._loop.remove_writer)(self._descriptor)
        while self._waiting:
            future = self._waiting.pop()
            if not future.done():
                future.set_result(None)

    def _is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def end_soon(self) -> None:
        """End it from any thread, so that those who wait look again."""
        if self._is_here():
            self._end()
            return
        try:
            self._loop.call_soon_threadsafe(self._end)
        except RuntimeError:  # the loop was closed
            return

    def _end_from_anywhere(self) -> None:
        """End before the descriptor is closed, whichever thread closes it."""
        if self._is_here() or not self._loop.is_running():
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
        ended.wait(CLOSE_WAIT)


watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Watch]] = weakref.WeakKeyDictionary()


def _watch(loop: asyncio.AbstractEventLoop, watched: Any, *, reads: bool) -> Watch | None:
    """Return the watch of an object's descriptor; None if the object has begun to close."""
    table = watches.setdefault(loop, {})
    descriptor = watched.fileno()
    watch = table.get(descriptor)
    if watch is None:
        watch = Watch(loop, descriptor, table, reads=reads)
        if not watch.begin(watched):
            return None
    return watch


def find_watch(loop: asyncio.AbstractEventLoop, watched: Any, *, reads: bool) -> Watch | None:
    """Put an object's descriptor on the loop's watch list; None if that can't be, or may not be any more.

    Raises:
        ClosedError: The object was closed.
    """
    try:
        return _watch(loop, watched, reads=reads)
    except errors.MctxError:
        raise
    except (AttributeError, NotImplementedError, OSError, ValueError):
        return None

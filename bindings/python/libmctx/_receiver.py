# SPDX-License-Identifier: MIT
"""What a subscription receives with: memory, waits, and what was fetched and not handed over."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from libmctx import _convert, _ffi, _shortcuts, _waiting, errors
from libmctx._arena import Arena, Batch, viewed
from libmctx._object import OpenObject
from libmctx._waiting import Call, Wait
from libmctx.datagram import Datagram, DatagramView
from libmctx.values import Ready

_INVALID_ARGUMENT = _ffi.constant("MCTX_ERR_INVALID_ARGUMENT")
_TIMEOUT = _ffi.constant("MCTX_ERR_TIMEOUT")
_SIGNAL = _ffi.constant("MCTX_ERR_SIGNAL")
_WOKEN = _ffi.constant("MCTX_ERR_WOKEN")
_WOULD_BLOCK = _ffi.constant("MCTX_ERR_WOULD_BLOCK")
_FIRST_NS = 250_000_000
"""The first native wait of a receive that may take for ever, in nanoseconds."""
USUAL = 512
"""Datagrams in a batch of an iteration."""


class Receiver(OpenObject):
    """The receiving of a `Subscription`, without what users call."""

    __slots__ = (
        "_arenas",
        "_direct",
        "_is_joined",
        "_kept",
        "_late",
        "_lends",
        "_listeners",
        "_min_arena",
        "_min_datagrams",
        "_process",
        "_thread",
        "_wakes",
    )

    _arenas: list[Arena]
    """Those that nobody receives into now."""
    _direct: Callable[[int], Any] | None
    """The short way to one datagram, where the interpreter has it."""
    _kept: deque[Datagram]
    """What was fetched, and not handed over."""
    _late: deque[errors.MctxError]
    """Failures that came after datagrams: for the next receive."""
    _listeners: set[Callable[[], None]]
    """Called when a task that waits on an event loop should look again."""
    _wakes: dict[str, bool]
    """Whether `wake` was called, and no wait ended by it yet."""
    _is_joined: bool
    """Whether something is joined; False: perhaps."""
    _lends: bool
    """Whether a thread may have views."""
    _min_arena: int
    _min_datagrams: int
    _process: int
    """Which opened it."""
    _thread: threading.local
    """The batch of this thread whose payloads are views."""

    def _prepare(self) -> None:
        self._arenas = []
        how = (self._handle, Datagram, "payload", "_record")
        self._direct = _shortcuts.receiver(how) if _shortcuts.has_records else None
        self._kept = deque()
        self._late = deque()
        self._listeners = set()
        self._wakes = {}
        self._is_joined = self._lends = False
        self._thread = threading.local()
        self._process = os.getpid()
        info = self._native_info()
        self._min_arena, self._min_datagrams = info.min_arena, info.min_datagrams
        self._label = f"id={self._handle}, port={info.port}"

    def _native_info(self) -> _ffi.SubscriptionInfo:
        info = _ffi.SubscriptionInfo(size=ctypes.sizeof(_ffi.SubscriptionInfo))
        errors.call(_ffi.subscription_get_info, self._handle, info)
        return info

    # ---- receiving ----

    def _recv_direct(self, direct: Callable[[int], Any], timeout: float | None) -> Datagram | Wait:
        """Receive on the short way; what has to wait for longer is answered with the wait that goes on."""
        is_endless = timeout is None and self._is_joined
        pending = None if is_endless or timeout == 0 else self._wait(timeout)
        got = direct(_FIRST_NS if is_endless else 0 if pending is None else pending.next())
        if isinstance(got, Datagram):
            return got
        code = errors.code_of(got)
        if is_endless and code in (_TIMEOUT, _SIGNAL):
            return self._wait(None)
        if timeout == 0 or (code == _WOKEN and self._take_wake()):
            raise errors.from_bytes(got)
        pending = pending or self._wait(None)
        if code != _WOKEN and not pending.goes_on(code):
            raise errors.from_bytes(got)
        return pending

    def _recv_batch(
        self, count: int, timeout: float | None, *, copy: bool
    ) -> Batch[Datagram] | Batch[DatagramView]:
        """Receive with one native call."""
        pending = self._wait(timeout)
        with self._arena(count) as arena:
            arena.limit(count)
            while not self._until_done(arena.receive, arena.error, pending):
                if kept := self._take_kept(count):
                    return kept
            return arena.copied() if copy else arena.lent()

    def _add_few(self, batch: Batch[Datagram], count: int) -> Batch[Datagram]:
        """Receive more, one by one: what a native batch would leave for later stays readable this way."""
        while len(batch) < count:
            try:
                more = self._try_recv()
            except errors.MctxError as error:
                self._late.append(error)
                break
            if more is None:
                break
            batch.append(more)
        return batch

    def _try_recv(self) -> Datagram | None:
        """Receive one datagram if one is there."""
        if self._direct is not None and not self._kept and not self._late:
            got: Any = self._direct(0)
            if type(got) is Datagram:
                return got
            if errors.code_of(got) == _WOULD_BLOCK:
                return None
            raise errors.from_bytes(got)
        if self._kept and (kept := self._take_kept(1)):
            return kept[0]
        self._raise_late()
        with self._arena() as arena:
            return arena.one() if self._succeeds(arena, arena.receive_one(0, 0)) else None

    def _try_recv_many(self, count: int) -> Batch[Datagram] | None:
        """Receive what is there, if something is."""
        if self._kept and (batch := self._take_kept(count)):
            return batch
        if count < 2 * self._min_datagrams:
            first = self._try_recv()
            return None if first is None else self._add_few(Batch([first]), count)
        self._raise_late()
        with self._arena(count) as arena:
            arena.limit(count)
            return arena.copied() if self._succeeds(arena, arena.receive(0, 0)) else None

    def _succeeds(self, arena: Arena, code: int) -> bool:
        """Return whether something was received; False: nothing is there."""
        if code in (0, _WOULD_BLOCK):
            return code == 0
        raise errors.from_record(code, arena.error)

    def _checked_count(self, count: int) -> int:
        number = _convert.integer(count, "max", 32, signed=False)
        if number == 0:
            hint = "ask for one datagram at least"
            raise errors.from_code(_INVALID_ARGUMENT, "max is 0", hint=hint, field="max")
        return number

    def _raise_late(self) -> None:
        """Raise what failed after datagrams of the receive before."""
        if self._late:
            with contextlib.suppress(IndexError):
                raise self._late.popleft()

    # ---- memory ----

    def _arena(self, capacity: int = 1) -> Arena:
        """Take an arena that nobody receives into, or make one."""
        wanted = capacity if capacity > USUAL else USUAL
        try:
            arena = self._arenas.pop()
            if arena.capacity >= wanted:
                return arena
        except IndexError:
            pass
        return Arena(self._handle, self._arenas, wanted, self._min_arena)

    def _view(self, batch: Batch[Any]) -> Batch[DatagramView]:
        """Return a batch of views, which end with this thread's next receive."""
        views: Batch[DatagramView] = batch if batch._views else viewed(batch)
        self._lends = True
        self._thread.batch = views
        return views

    def _end_views(self) -> None:
        """End the views that this thread has of earlier datagrams."""
        if self._lends and (batch := self._thread.__dict__.pop("batch", None)) is not None:
            batch.release()

    # ---- what was fetched, and not handed over ----

    def _has_kept(self) -> bool:
        return bool(self._kept) and not self._closing and self._process == os.getpid()

    def _take_kept(self, count: int) -> Batch[Datagram] | None:
        """Take of what is kept; None if another thread was faster."""
        if not self._has_kept():
            return None
        batch: Batch[Datagram] = Batch()
        with contextlib.suppress(IndexError):
            while len(batch) < count:
                batch.append(self._kept.popleft())
        return batch or None

    def _keep(self, rest: Iterator[Datagram]) -> None:
        """Keep for the next receives what an iteration fetched, and let those who wait look again."""
        left = list(rest)
        if left:
            self._kept.extendleft(reversed(left))
            _ffi.wake(self._handle)
            self._notify()

    def _notify(self) -> None:
        for listener in list(self._listeners):
            listener()

    # ---- waiting ----

    def _wait(self, timeout: float | None) -> Wait:
        """Begin a wait, and raise what a receive before has left."""
        self._raise_late()
        pending = Wait(timeout)
        if timeout is None:
            pending.must_end_unless(self._may_become_ready)
        return pending

    def _may_become_ready(self) -> bool:
        return self._is_joined or self._look_if_joined()

    def _look_if_joined(self) -> bool:
        count = ctypes.c_uint32()
        code = _ffi.memberships(self._handle, None, ctypes.sizeof(_ffi.MembershipInfo), 0, count, None)
        self._is_joined = code == 0 and count.value != 0
        return code != 0 or self._is_joined

    def _take_wake(self) -> bool:
        # Once for each call of wake(): what is kept wakes waits too, and doesn't end them.
        return self._wakes.pop("wake", False)

    def _until_done(self, call: Call, record: _ffi.Error, pending: Wait) -> bool:
        """Call a native function that waits; False if it was woken to look at what is kept."""
        idle = _waiting.waiter(self._handle, Ready.READABLE, ctypes.c_uint32(), record)
        return _waiting.until_done(call, record, pending, idle, self._take_wake)

    # ---- closing ----

    def _before_close(self) -> None:
        super()._before_close()
        self._kept.clear()

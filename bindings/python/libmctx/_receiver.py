# SPDX-License-Identifier: MIT
"""What a subscription receives with: memory, waits, and what was fetched and not handed over."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from libmctx import _convert, _ffi, _waiting, errors
from libmctx._arena import Arena, Batch, Pool, receiver
from libmctx._columns import Columns
from libmctx._object import OpenObject
from libmctx._waiting import Call, Wait
from libmctx.datagram import Datagram, DatagramView
from libmctx.values import Ready

_INVALID_ARGUMENT = _ffi.constant("MCTX_ERR_INVALID_ARGUMENT")
_TIMEOUT = _ffi.constant("MCTX_ERR_TIMEOUT")
_SIGNAL = _ffi.constant("MCTX_ERR_SIGNAL")
_WOKEN = _ffi.constant("MCTX_ERR_WOKEN")
_WOULD_BLOCK = _ffi.constant("MCTX_ERR_WOULD_BLOCK")
_T = TypeVar("_T")
_L = TypeVar("_L", "Batch[DatagramView]", "Batch[memoryview]", Columns)
_FIRST_NS = 250_000_000
"""The first native wait of a receive that may take for ever, in nanoseconds."""
USUAL = 512
"""Datagrams in a batch of an iteration."""
MOST = 16_384
"""Datagrams of one receive: beyond, there is room in memory for longer ones only."""


class Receiver(OpenObject):
    """The receiving of a `Subscription`, without what users call."""

    __slots__ = (
        "_arenas",
        "_direct",
        "_joined_at",
        "_kept",
        "_kept_changes",
        "_late",
        "_leaves",
        "_lends",
        "_listeners",
        "_min_arena",
        "_min_datagrams",
        "_process",
        "_thread",
        "_woken",
    )

    _arenas: Pool
    """Those that nobody receives into now."""
    _direct: Callable[[int], Any]
    """The short way to one datagram."""
    _kept: deque[Datagram]
    """What was fetched, and not handed over."""
    _kept_changes: int
    """How often that has changed."""
    _late: deque[errors.MctxError]
    """Failures that came after datagrams: for the next receive."""
    _listeners: set[Callable[[], None]]
    """Called when a task that waits on an event loop should look again."""
    _woken: _waiting.Mark
    """Set by `wake`; taken by the wait that it ends."""
    _joined_at: int
    """After how many leaves something was joined still."""
    _leaves: int
    """How many there were."""
    _lends: bool
    """Whether a thread may have views."""
    _min_arena: int
    _min_datagrams: int
    _process: int
    """Which opened it."""
    _thread: threading.local
    """What was lent to this thread."""

    def _prepare(self) -> None:
        self._arenas = Pool()
        how = (self._handle, Datagram, "payload", "_record")
        self._direct = receiver(how)
        self._kept = deque()
        self._kept_changes = 0
        self._late = deque()
        self._listeners = set()
        self._woken = _waiting.Mark()
        self._lends = False
        self._leaves, self._joined_at = 0, -1
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

    def _call(self, direct: Callable[[int], Any], timeout: float | None) -> Any:
        """Receive on a short way; what has to wait for longer is answered with the `Wait` that goes on."""
        is_endless = timeout is None and self._joined_at == self._leaves
        pending = None if is_endless or timeout == 0 else self._wait(timeout)
        got = direct(_FIRST_NS if is_endless else 0 if pending is None else pending.next())
        if type(got) is not bytes:
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
        if self._kept and (kept := self._take_kept(1)):
            return kept[0]
        if self._late:
            self._raise_late()
        got: Any = self._direct(0)
        if type(got) is Datagram:
            return got
        if errors.code_of(got) == _WOULD_BLOCK:
            return None
        raise errors.from_bytes(got)

    def _try_recv_many(
        self, count: int, form: Callable[[Arena], _T], form_kept: Callable[[Batch[Datagram]], _T]
    ) -> _T | None:
        """Receive what is there, if something is."""
        self._end_views()
        if self._kept and (batch := self._take_kept(count)):
            return form_kept(batch)
        if count < 2 * self._min_datagrams:
            first = self._try_recv()
            return None if first is None else form_kept(self._add_few(Batch([first]), count))
        self._raise_late()
        with self._arena(count) as arena:
            arena.limit(count)
            got = arena.fetch(0)
            if type(got) is int:
                return form(arena)
            if errors.code_of(got) == _WOULD_BLOCK:
                return None
            raise errors.from_bytes(got)

    def _checked_count(self, count: int) -> int:
        number = _convert.integer(count, "max", 32, signed=False)
        if number == 0:
            hint = "ask for one datagram at least"
            raise errors.from_code(_INVALID_ARGUMENT, "max is 0", hint=hint, field="max")
        return min(number, MOST)

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

    def _lend(self, lent: _L) -> _L:
        """Return what ends with this thread's next receive."""
        self._lends = True
        self._thread.lent = lent
        return lent

    def _end_views(self) -> None:
        """End the views that this thread has of earlier datagrams."""
        if self._lends and (lent := self._thread.__dict__.pop("lent", None)) is not None:
            lent.release()

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
        self._kept_changes += 1
        self._pass_on()
        return batch or None

    def _keep(self, rest: Iterator[Datagram]) -> None:
        """Keep for the next receives what an iteration fetched, and let those who wait look again."""
        left = list(rest)
        if left:
            self._kept.extendleft(reversed(left))
            self._kept_changes += 1
            self._pass_on()
            self._owner.look_again()
            self._notify()

    def _pass_on(self) -> None:
        if self._kept:
            _ffi.wake(self._handle)

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
        return self._joined_at == self._leaves or self._look_if_joined()

    def _look_if_joined(self) -> bool:
        count, leaves = ctypes.c_uint32(), self._leaves
        code = _ffi.memberships(self._handle, None, ctypes.sizeof(_ffi.MembershipInfo), 0, count, None)
        if code == 0 and count.value != 0:
            self._joined_at = leaves  # another thread that has left since then has counted on
        return code != 0 or count.value != 0

    def _take_wake(self) -> bool:
        # Once for each call of wake(): what is kept wakes waits too, and doesn't end them.
        return self._woken.take()

    def _until_done(self, call: Call, record: _ffi.Error, pending: Wait) -> bool:
        """Call a native function that waits; False if it was woken to look at what is kept."""
        idle = _waiting.waiter(self._handle, Ready.READABLE, ctypes.c_uint32(), record)
        return _waiting.until_done(call, record, pending, idle, self._take_wake)

    # ---- closing ----

    def _before_close(self) -> None:
        super()._before_close()
        self._kept.clear()
        self._arenas.close()

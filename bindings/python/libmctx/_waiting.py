# SPDX-License-Identifier: MIT
"""Native calls that wait: deadlines, and signals, whose Python handlers run while the main thread waits."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from libmctx import _convert, _ffi, errors
from libmctx._payload import Batch

if TYPE_CHECKING:
    from libmctx._object import OpenObject
    from libmctx._owner import Owner

_Waitable = TypeVar("_Waitable", bound="OpenObject")

_INTERRUPTIBLE = _ffi.constant("MCTX_INTERRUPTIBLE")
_SIGNAL = _ffi.constant("MCTX_ERR_SIGNAL")
_WOKEN = _ffi.constant("MCTX_ERR_WOKEN")
_TIMEOUT = _ffi.constant("MCTX_ERR_TIMEOUT")
_QUEUE_FULL = _ffi.constant("MCTX_ERR_QUEUE_FULL")
_KIND_WOULD_BLOCK = _ffi.constant("MCTX_KIND_WOULD_BLOCK")
_KIND_TIMEOUT = _ffi.constant("MCTX_KIND_TIMEOUT")
_AFTER_DELAY = _ffi.constant("MCTX_RETRY_AFTER_DELAY")

ASIDE = 0.01
"""Seconds that a wait stands aside, which has taken another one's wake: those who come last are woken first."""
_WAIT_SLICE_NS = 250_000_000
_SEND_SLICE_NS = 1_250_000_000
"""The main thread looks for signals at least this often: one may come in a native call while it isn't waiting.
A batch's is longer than the second that the library gives a full queue."""


class Mark:
    """What any thread sets, and one takes: once, however often it was set before."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set: dict[str, bool] = {}  # whose pop() is one step for all threads

    def set(self) -> None:
        """Set it."""
        self._is_set["set"] = True

    def take(self) -> bool:
        """Return whether it was set, and unset it."""
        return self._is_set.pop("set", False)

    def __bool__(self) -> bool:
        return bool(self._is_set)


class Wait:
    """One wait of the caller, made of one or more native ones."""

    __slots__ = ("_end", "_is_last", "_is_sliced", "_slice", "_whole", "flags")

    def __init__(self, timeout: float | None, slice_ns: int | None = None) -> None:
        self._slice = _WAIT_SLICE_NS if slice_ns is None else slice_ns
        self._whole = -1 if timeout is None else _convert.nanoseconds(timeout)
        self._end = time.monotonic_ns() + self._whole if self._whole > 0 else 0
        self._is_sliced = threading.get_ident() == threading.main_thread().ident
        self._is_last = True
        self.flags = _INTERRUPTIBLE if self._is_sliced else 0

    def must_end_unless(self, holds: Callable[[], bool]) -> None:
        """Leave it to the native wait to refuse waiting for ever unless something holds: slices have an end."""
        if self._is_sliced and self._whole < 0 and not holds():
            self._is_sliced = False

    def next(self) -> int:
        """Return how long the next native wait may take, in nanoseconds; negative for ever."""
        left = self._whole if self._whole <= 0 else max(1, self._end - time.monotonic_ns())
        self._is_last = not self._is_sliced or 0 <= left <= self._slice
        return left if self._is_last else self._slice

    def goes_on(self, code: int) -> bool:
        """Return whether a native wait that ended with this status is followed by another."""
        return code == _SIGNAL or (code == _TIMEOUT and not self._is_last)


Call: TypeAlias = Callable[[int, int], int]
"""A native function, of flags and a timeout in nanoseconds, that returns a status."""


def until_done(
    call: Call,
    record: _ffi.Error,
    pending: Wait,
    idle: Call | None = None,
    is_woken: Callable[[], bool] | None = None,
) -> bool:
    """Call a native function that may wait, as long as it takes.

    Args:
        call: The function.
        record: The error record of both functions.
        pending: How long it may take.
        idle: What only waits, for all slices but the first: those need not be counted as receives.
        is_woken: Whether somebody asked for the end of a wait that was woken; None: always.

    Returns:
        Whether it is done; False: it was woken for another reason.

    Raises:
        MctxError: As the function says.
    """
    step = call
    while True:
        code = step(pending.flags, pending.next())
        if code == 0:
            if step is call:
                return True
            step = call
        elif code == _WOKEN and is_woken is not None and not is_woken():
            return False
        elif pending.goes_on(code):
            step = idle or call
        else:
            raise errors.from_record(code, record)


def wait(handle: int, events: int, timeout: float | None) -> int:
    """Wait until an object is ready; return what for.

    Raises:
        MctxError: As ``mctx_wait()`` says.
    """
    ready = ctypes.c_uint32()
    record = _ffi.new_error()
    call = waiter(handle, events, ready, record)
    until_done(call, record, Wait(timeout))
    return ready.value


def wait_many(owner: Owner, objects: Sequence[_Waitable], timeout: float | None) -> list[_Waitable]:
    """Wait until at least one of several objects is ready for what they are there for; return those.

    Raises:
        MctxError: As ``mctx_wait_many()`` says.
    """
    items = (_ffi.WaitItem * len(objects))()
    for item, each in zip(items, objects, strict=True):
        item.handle, item.interest = each.id, each._interest
    count = ctypes.c_uint32()
    record = _ffi.new_error()
    size = ctypes.sizeof(_ffi.WaitItem)

    def call(flags: int, timeout_ns: int) -> int:
        return int(_ffi.wait_many(owner.handle, items, size, len(items), flags, timeout_ns, count, record))

    def is_woken() -> bool:
        return owner.woken.take() if record.item < 0 else objects[record.item]._take_wake()

    pending = Wait(timeout)
    pending.must_end_unless(lambda: not objects or any(each._may_become_ready() for each in objects))
    while not (kept := [each for each in objects if each._has_kept()]):
        if until_done(call, record, pending, None, is_woken):
            return [each for item, each in zip(items, objects, strict=True) if item.ready]
        if record.item < 0:
            owner.hand_on()
    for each in kept:
        each._pass_on()
    return kept


def waiter(handle: int, events: int, ready: ctypes.c_uint32, record: _ffi.Error) -> Call:
    """Make the function that waits until an object is ready."""

    def call(flags: int, timeout_ns: int) -> int:
        return int(_ffi.wait(handle, events, flags, timeout_ns, ready, record))

    return call


def send_wait(timeout: float | None) -> Wait:
    """Make the wait of a batch.

    Raises:
        TypeError, ValueError: It is no timeout.
    """
    return Wait(timeout, _SEND_SLICE_NS)


def refused(refusal: bytes) -> tuple[int, int, _ffi.Error]:
    """Read a `_ffi.Refusal`: the status, how many datagrams were accepted, and the error record."""
    read = _ffi.Refusal.from_buffer_copy(refusal)
    return read.error.status, read.accepted, read.error


def may_go_on(code: int, record: _ffi.Error) -> bool:
    """Return whether a batch that stopped with this status may go on after a wait."""
    return errors.kind_of(code) == _KIND_WOULD_BLOCK or (code == _QUEUE_FULL and record.retry == _AFTER_DELAY)


def is_enough(code: int, total: int) -> bool:
    """Return whether a batch that stopped with this status, and may not wait any more, has done its work."""
    return total > 0 and errors.kind_of(code) in (_KIND_WOULD_BLOCK, _KIND_TIMEOUT)


def send_rest(handle: int, refusal: bytes, batch: Callable[[], Batch], pending: Wait | None) -> int:
    """Send what the first native call has left of a batch; return how many datagrams were accepted in all.

    Raises:
        MctxError: None was accepted; or some were, and the reason why the next wasn't is neither would-block
            nor timeout. ``accepted`` is set.
    """
    code, total, record = refused(refusal)
    if pending is not None and pending.goes_on(code):
        rest = batch()
        try:
            return _send(handle, rest, pending, total)
        finally:
            rest.release()
    if is_enough(code, total):
        return total
    raise batch_error(code, record, 0, total)


def _send(handle: int, batch: Batch, pending: Wait, total: int) -> int:
    accepted = ctypes.c_uint64()
    record = _ffi.new_error()
    while True:
        code = batch.send(handle, total, pending.flags, pending.next(), accepted, record)
        start, total = total, total + accepted.value
        if code == 0:
            return total
        if not pending.goes_on(code):
            if is_enough(code, total):
                return total
            raise batch_error(code, record, start, total)


def batch_error(code: int, record: _ffi.Error, start: int, total: int) -> errors.MctxError:
    """Make the exception for a batch that stopped; its native call began at datagram ``start``."""
    item = start + record.item if record.status == code and record.item >= 0 else None
    return errors.from_record(code, record, item=item, accepted=total)

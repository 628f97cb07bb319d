# SPDX-License-Identifier: MIT
"""Native calls that wait: deadlines, and signals, whose Python handlers run while the main thread waits."""

from __future__ import annotations

import ctypes
import threading
import time

from libmctx import _convert, _ffi, errors
from libmctx._payload import Batch

_INTERRUPTIBLE = _ffi.constant("MCTX_INTERRUPTIBLE")
_SIGNAL = _ffi.constant("MCTX_ERR_SIGNAL")
_TIMEOUT = _ffi.constant("MCTX_ERR_TIMEOUT")
_WOULD_BLOCK = _ffi.constant("MCTX_ERR_WOULD_BLOCK")

_WAIT_SLICE_NS = 250_000_000
_SEND_SLICE_NS = 1_250_000_000
"""The main thread looks for signals at least this often: one may come in a native call while it isn't waiting.
A batch's is longer than the second that the library gives a full queue."""


class _Wait:
    """One wait of the caller, made of one or more native ones."""

    def __init__(self, timeout: float | None, slice_ns: int) -> None:
        self._slice = slice_ns
        self._whole = _convert.nanoseconds(timeout)
        self._end = time.monotonic_ns() + self._whole if self._whole > 0 else 0
        self._on_main = threading.current_thread() is threading.main_thread()
        self._is_last = True
        self.flags = _INTERRUPTIBLE if self._on_main else 0

    def next(self) -> int:
        """Return how long the next native wait may take, in nanoseconds; negative for ever."""
        left = self._whole if self._whole <= 0 else max(1, self._end - time.monotonic_ns())
        self._is_last = not self._on_main or 0 <= left <= self._slice
        return left if self._is_last else self._slice

    def goes_on(self, code: int) -> bool:
        """Return whether a native wait that ended with this status is followed by another."""
        return code == _SIGNAL or (code == _TIMEOUT and not self._is_last)


def wait(handle: int, events: int, timeout: float | None) -> int:
    """Wait until an object is ready; return what for.

    Raises:
        MctxError: As ``mctx_wait()`` says.
    """
    pending = _Wait(timeout, _WAIT_SLICE_NS)
    ready = ctypes.c_uint32()
    record = _ffi.new_error()
    while True:
        code = _ffi.wait(handle, events, pending.flags, pending.next(), ready, record)
        if code == 0:
            return ready.value
        if not pending.goes_on(code):
            raise errors.from_record(code, record)


def send(handle: int, batch: Batch, timeout: float | None) -> int:
    """Send a batch and let go of its payloads; return how many datagrams the system accepted.

    Raises:
        MctxError: None was accepted; or some were, and the reason why the next wasn't is neither would-block
            nor timeout. ``accepted`` is set.
    """
    try:
        return _send(handle, batch, _Wait(timeout, _SEND_SLICE_NS))
    finally:
        batch.release()


def _send(handle: int, batch: Batch, pending: _Wait) -> int:
    accepted = ctypes.c_uint64()
    record = _ffi.new_error()
    total = 0
    while True:
        code = batch.send(handle, total, pending.flags, pending.next(), accepted, record)
        start, total = total, total + accepted.value
        if code == 0 or (total and code in (_WOULD_BLOCK, _TIMEOUT) and not pending.goes_on(code)):
            return total
        if not pending.goes_on(code):
            raise batch_error(code, record, start, total)


def batch_error(code: int, record: _ffi.Error, start: int, total: int) -> errors.MctxError:
    """Make the exception for a batch that stopped; its native call began at datagram ``start``."""
    item = start + record.item if record.status == code and record.item >= 0 else None
    return errors.from_record(code, record, item=item, accepted=total)

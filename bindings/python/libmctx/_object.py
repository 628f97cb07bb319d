# SPDX-License-Identifier: MIT
"""What publications and subscriptions have in common: a native handle, hooks before closing, and closing."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NoReturn

from libmctx import _ffi, errors, values
from libmctx.values import Event, Metrics, Ready

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from libmctx._owner import Owner

_KIND_CLOSED = _ffi.constant("MCTX_KIND_CLOSED")


def is_closed_status(code: int) -> bool:
    """Return whether a status says that the object was closed, or belongs to a parent process."""
    return errors.kind_of(code) == _KIND_CLOSED


def closed_error(handle: int) -> errors.MctxError | None:
    """Return the exception for an object that was closed; None if it is open, or there never was one."""
    record = _ffi.new_error()
    code = _ffi.metrics(handle, None, 0, ctypes.c_uint32(), record)
    return errors.from_record(code, record) if is_closed_status(code) else None


def native_handle(handle: int) -> int:
    """Return what an event loop watches of an object."""
    native = _ffi.OsHandle()
    errors.call(_ffi.pollable, handle, native)
    return int(native.value)


class OpenObject:
    """An open native object that a context owns."""

    __slots__ = ("__weakref__", "_closing", "_handle", "_hooks", "_label", "_owner")

    _kind: ClassVar[int]
    _interest: ClassVar[Ready]
    """What one waits for on it."""
    _noun: ClassVar[str]

    _owner: Owner
    _handle: int
    _label: str
    _hooks: set[Callable[[], None]]
    _closing: bool

    def __init__(self) -> None:
        """Refuse: only a context opens them.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{self._noun}s are opened by Context.add_{self._noun}()")

    @classmethod
    def _wrap(cls, owner: Owner, handle: int) -> Self:
        self = cls.__new__(cls)
        self._owner = owner
        self._handle = handle
        self._hooks = set()
        self._closing = False
        self._label = ""
        self._prepare()
        return self

    def _prepare(self) -> None:
        """Set what only this type has."""

    @property
    def id(self) -> int:
        """The number that the context's methods take; never used twice by a process."""
        return self._handle

    @property
    def closed(self) -> bool:
        """Whether it was closed, by itself or with its context, or belongs to a parent process."""
        return closed_error(self._handle) is not None

    def _native_handle(self) -> int:
        return native_handle(self._handle)

    def _has_kept(self) -> bool:
        """Return whether something was fetched and not handed over."""
        return False

    def _pass_on(self) -> None:
        """Wake one more of those who wait, if something is kept: one wake is for one of them."""

    def _take_wake(self) -> bool:
        """Return whether a wait that was woken is to end."""
        return True

    def _may_become_ready(self) -> bool:
        """Return whether a wait for it may end by itself."""
        return True

    def wake(self) -> None:
        """End one wait on the object with `WaitInterruptedError`: the current one, or else the next.

        Calls that come before a wait has ended by one count as one.

        Waits are ``wait``, and receives and batch sends that may wait. Never blocks.

        Raises:
            ClosedError: It was closed.
        """
        code = _ffi.wake(self._handle)
        if code != 0:
            raise errors.from_code(code, operation="mctx_wake", handle=self._handle)

    def metrics(self) -> Metrics:
        """Return the object's counters: a state between two of its calls.

        Raises:
            ClosedError: It was closed.
        """
        return values.read_metrics(self._handle, self._kind)

    def events(self) -> list[Event]:
        """Take what happened to the object by itself, oldest first.

        It keeps 16; later ones push out the oldest, which an event "overflow" counts. Never blocks.

        Raises:
            ClosedError: It was closed.
        """
        return values.take_events(self._handle)

    # ---- closing ----

    def _add_hook(self, hook: Callable[[], None]) -> bool:
        """Have a function called before the object is closed; False if that has begun already."""
        self._hooks.add(hook)
        if self._closing:
            self._hooks.discard(hook)
            return False
        return True

    def _remove_hook(self, hook: Callable[[], None]) -> None:
        self._hooks.discard(hook)

    def _before_close(self) -> None:
        """Take the object off the event loops that watch it."""
        self._closing = True
        for hook in list(self._hooks):
            self._hooks.discard(hook)
            hook()

    def remove(self) -> bool:
        """Close it.

        Waiting calls on it get `ClosedError`; the port is free when this returns. Waits for other threads'
        calls, which end at once.

        Returns:
            Whether this call closed it: False if it was closed already.
        """
        self._before_close()
        record = _ffi.new_error()
        code = _ffi.close(self._handle, record)
        if code != 0 and not is_closed_status(code):
            raise errors.from_record(code, record)
        return bool(code == 0)

    def close(self) -> None:
        """Close it, as `remove` does; closing it again does nothing."""
        self.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"a {name} cannot be pickled or copied: it holds open sockets of this process")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._label}{', closed' if self.closed else ''}>"

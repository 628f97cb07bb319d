# SPDX-License-Identifier: MIT
"""The native context behind a `Context`, and the objects that it owns."""

from __future__ import annotations

import contextlib
import ctypes
import time
import weakref
from collections.abc import Callable, Generator
from typing import Generic, SupportsIndex, TypeVar

from libmctx import _convert, _ffi, _waiting, errors
from libmctx._object import OpenObject, closed_error, is_closed_status

_NOT_FOUND = _ffi.constant("MCTX_ERR_NOT_FOUND")
_FEW = 16
_Child = TypeVar("_Child", bound=OpenObject)


class Owner:
    """A native context, which closes when neither its `Context` nor an object of it is left."""

    __slots__ = ("__weakref__", "_finalizer", "_waits", "handle", "woken")

    _waits: list[None]
    """One for each wait on the context that a subscription ends by keeping datagrams."""
    woken: _waiting.Mark
    """Set by `wake`; taken by the wait that it ends."""

    def __init__(self) -> None:
        handle = ctypes.c_uint64()
        errors.call(_ffi.context_open, None, handle)
        self.handle = handle.value
        self._waits, self.woken = [], _waiting.Mark()
        self._finalizer = weakref.finalize(self, _ffi.close, handle.value, None)
        self._finalizer.atexit = False  # the system closes what is open at the end, and never waits

    def wake(self) -> int:
        """End one wait; return the status."""
        self.woken.set()
        return int(_ffi.wake(self.handle))

    @contextlib.contextmanager
    def waiting(self, has_kept: Callable[[], bool]) -> Generator[None]:
        """Let subscriptions that keep datagrams wake the waits of the block: they look again then."""
        self._waits.append(None)
        try:
            yield
        finally:
            self._waits.pop()
            with contextlib.suppress(errors.ClosedError):
                if self._waits and has_kept():  # one wake is for one wait
                    self.look_again()

    def look_again(self) -> None:
        """Wake one who waits for what subscriptions keep."""
        if self._waits:
            _ffi.wake(self.handle)

    def hand_on(self) -> None:
        """Wake another one, because who was woken waits for something else."""
        if self._waits:
            self.look_again()
            time.sleep(_waiting.ASIDE)

    def close(self) -> None:
        """Close the context and all that it owns."""
        record = _ffi.new_error()
        code = _ffi.close(self.handle, record)
        self._finalizer.detach()
        if code != 0 and not is_closed_status(code):
            raise errors.from_record(code, record)


class Children(Generic[_Child]):
    """The open publications, or subscriptions, of a context, and the one Python object of each."""

    __slots__ = ("_list", "_owner", "_too_many", "_type", "objects")

    objects: dict[int, _Child]
    """All open ones, and closed ones until there are too many entries."""

    def __init__(self, owner: Owner, child: type[_Child], list_function: _ffi.Function) -> None:
        self._owner = owner
        self._type: type[_Child] = child
        self._list = list_function
        self._too_many = _FEW
        self.objects = {}

    def ids(self) -> list[int]:
        """Return the ids of the open ones in order of opening."""
        capacity = 64
        while True:
            ids = (ctypes.c_uint64 * capacity)()
            count = ctypes.c_uint32()
            errors.call(self._list, self._owner.handle, ids, capacity, count)
            if count.value <= capacity:
                return ids[: count.value]
            capacity = 2 * count.value

    def count(self) -> int:
        """Return how many are open."""
        count = ctypes.c_uint32()
        errors.call(self._list, self._owner.handle, None, 0, count)
        return count.value

    def add(self, handle: int) -> _Child:
        """Return the Python object for a native one that was just opened; on failure it is closed."""
        if len(self.objects) >= self._too_many:
            for each in list(self.objects.values()):
                if each.closed:
                    self.objects.pop(each.id, None)
            self._too_many = 2 * len(self.objects) + _FEW
        try:
            return self.of(handle)
        except BaseException:
            _ffi.close(handle, None)
            raise

    def of(self, handle: int) -> _Child:
        """Return the one Python object for an open native one."""
        child = self.objects.get(handle)
        if child is None:
            child = self.objects.setdefault(handle, self._type._wrap(self._owner, handle))
        return child

    def all(self) -> list[_Child]:
        """Return the open ones in order of opening."""
        found: list[_Child] = []
        for each in self.ids():
            try:
                found.append(self.of(each))
            except errors.ClosedError:  # closed by another thread meanwhile
                continue
        return found

    def get(self, number: SupportsIndex, name: str) -> _Child:
        """Return the one with an id.

        Raises:
            ClosedError: It was closed, or the context was.
            NotFoundError: The context never had it.
            TypeError, OverflowError: The id is not an integer, or doesn't fit.
        """
        handle = _convert.integer(number, name, 64, signed=False)
        if handle in self.ids():
            return self.of(handle)
        if (closed := closed_error(handle)) is not None:
            raise closed
        noun = self._type._noun
        raise errors.from_code(_NOT_FOUND, f"the context has no {noun} {handle}", field=name, value=handle)

    def remove(self, number: SupportsIndex, name: str) -> bool:
        """Close the one with an id; return whether this call did."""
        handle = _convert.integer(number, name, 64, signed=False)
        if handle not in self.ids():
            return False
        try:
            return self.of(handle).remove()
        except errors.ClosedError:  # closed by another thread meanwhile
            return False

    def before_close(self) -> None:
        """Take all off the event loops that watch them."""
        for each in list(self.objects.values()):
            each._before_close()

# SPDX-License-Identifier: MIT
"""Small values: counters, events, capabilities, and what to wait for."""

from __future__ import annotations

import ctypes
import enum
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from libmctx import _convert, _ffi, errors
from libmctx._convert import Endpoint

__all__ = ["Capability", "Event", "Metrics", "Ready", "capabilities"]

CONTEXT = _ffi.constant("MCTX_HANDLE_CONTEXT")
PUBLICATION = _ffi.constant("MCTX_HANDLE_PUBLICATION")
SUBSCRIPTION = _ffi.constant("MCTX_HANDLE_SUBSCRIPTION")

_EVENT_NAMES = {
    _ffi.constant(f"MCTX_EVENT_{name.upper()}"): name
    for name in (
        "source_gone",
        "source_changed",
        "overflow",
        "interface_lost",
        "interface_appeared",
        "rebuilt",
        "refused",
        "no_interface",
        "drops",
        "sourceless",
    )
}
_STATE_NAMES = {
    _ffi.constant("MCTX_CAPABILITY_ABSENT"): "absent",
    _ffi.constant("MCTX_CAPABILITY_REFUSED"): "refused",
    _ffi.constant("MCTX_CAPABILITY_NEEDS_PRIVILEGE"): "needs_privilege",
    _ffi.constant("MCTX_CAPABILITY_AVAILABLE"): "available",
}


class Ready(enum.IntFlag):
    """What to wait for."""

    READABLE = _ffi.constant("MCTX_READABLE")
    """Something can be received."""
    WRITABLE = _ffi.constant("MCTX_WRITABLE")
    """Something can be sent."""


class Metrics(Mapping[str, int]):
    """Counters at one moment: a mapping of names to numbers, whose entries are attributes too.

    ``after - before`` gives what was counted between two.

    Attributes:
        monotonic: When they were read, in seconds of ``time.monotonic()``; for a difference, the seconds
            between.
    """

    def __init__(self, values: Mapping[str, int], monotonic: float) -> None:
        self._values = dict(values)
        self.monotonic = monotonic

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> int:
        try:
            return self.__dict__["_values"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"no counter is called {name!r}") from None

    def __sub__(self, earlier: Metrics) -> Metrics:
        if not isinstance(earlier, Metrics):
            return NotImplemented
        values = {name: value - earlier.get(name, 0) for name, value in self.items()}
        return Metrics(values, self.monotonic - earlier.monotonic)

    def __repr__(self) -> str:
        counted = [f"{name}={value}" for name, value in self.items() if value != 0]
        return f"Metrics({', '.join([*counted, 'the rest 0'])})"


@dataclass(frozen=True)
class Event:
    """Something that happened to a publication or subscription by itself.

    | type | what | value | address |
    |---|---|---|---|
    | "source_gone" | the source that the user named is no longer an address of this host | | the source |
    | "source_changed" | the system chose another source | | the source |
    | "interface_lost" | an interface went away, if only for a moment, or may have | the memberships on it | |
    | "interface_appeared" | an interface joined the default set | the groups joined on it | |
    | "rebuilt" | it is there again, or still; what was sent meanwhile is missing | memberships joined anew | |
    | "refused" | an interface of the default set refuses groups | how many | the first of them |
    | "no_interface" | the default set has no interface for a family | | the group |
    | "drops" | the kernel drops messages, after a second without | so many so far | |
    | "sourceless" | a source-specific group was joined without a source | | the group |
    | "overflow" | events before this one were lost: nobody had fetched them | how many | |

    A newer library's are "unknown".

    Attributes:
        type: What happened.
        type_number: The native number of the type.
        id: The id of the publication or subscription concerned.
        interface_index: The interface concerned, or 0.
        time: When it was noticed, in seconds since 1970, as ``time.time()``.
        value: A number that belongs to it, or 0.
        address: The address concerned, or None.
    """

    type: str
    type_number: int
    id: int
    interface_index: int
    time: float
    value: int
    address: Endpoint | None

    @property
    def publication_id(self) -> int:
        """The id, by the name that events of publications have had from the first."""
        return self.id


@dataclass(frozen=True)
class Capability:
    """Whether the system offers something, with the rights that this process has.

    Attributes:
        name: "ipv6", "batch_send", ...
        state: "available"; "needs_privilege": it wants more rights for it; "refused": it has it and refuses it
            here; "absent": it doesn't have it.
        reason: One sentence: why it is so.
        os_code: What the system answered, or 0.
    """

    name: str
    state: str
    reason: str
    os_code: int

    def __bool__(self) -> bool:
        """Whether it can be used."""
        return self.state == "available"


def capabilities() -> dict[str, Capability]:
    """Ask what the system underneath offers, with the rights that this process has.

    Tries things where trying is harmless. Does not block. Safe from any thread.
    """
    answers: dict[str, Capability] = {}
    for number, name in enumerate(_ffi.capability_names()):
        info = _ffi.CapabilityInfo(size=ctypes.sizeof(_ffi.CapabilityInfo))
        errors.call(_ffi.capability, number, info)
        state = _STATE_NAMES.get(info.state, "unknown")
        answers[name] = Capability(name, state, info.reason.decode(errors="replace"), info.os_code)
    return answers


@cache
def _metric_names(handle_kind: int) -> tuple[str, ...]:
    return tuple(_ffi.metric_names(handle_kind))


def read_metrics(handle: int, handle_kind: int) -> Metrics:
    """Read the counters of an object."""
    names = _metric_names(handle_kind)
    values = (ctypes.c_uint64 * len(names))()
    errors.call(_ffi.metrics, handle, values, len(names), ctypes.c_uint32())
    return Metrics(dict(zip(names, values, strict=True)), time.monotonic())


def take_events(handle: int) -> list[Event]:
    """Take all the events that wait, oldest first."""
    capacity = 16
    array = (_ffi.Event * capacity)()
    count = ctypes.c_uint32(capacity)
    taken: list[Event] = []
    while count.value == capacity:
        errors.call(_ffi.events, handle, array, ctypes.sizeof(_ffi.Event), capacity, count)
        for each in array[: count.value]:
            taken.append(
                Event(
                    type=_EVENT_NAMES.get(each.type, "unknown"),
                    type_number=each.type,
                    id=each.handle,
                    interface_index=each.interface_index,
                    time=each.time_ns / 1e9,
                    value=each.value,
                    address=_convert.endpoint(each.address),
                )
            )
    return taken

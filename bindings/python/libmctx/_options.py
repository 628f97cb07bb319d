# SPDX-License-Identifier: MIT
"""The options of a subscription, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libmctx import _convert, _ffi, errors
from libmctx.interface import InterfaceLike

__all__ = ["SubscriptionInfo"]

_INVALID_ARGUMENT = _ffi.constant("MCTX_ERR_INVALID_ARGUMENT")
_BLIND = _ffi.constant("MCTX_SUBSCRIPTION_BLIND")
_CLOCK_SYSTEM = _ffi.constant("MCTX_CLOCK_SYSTEM")
FROZEN: int = _ffi.constant("MCTX_SUBSCRIPTION_FROZEN")
PACING_UNITS = {name: _ffi.constant(f"MCTX_PACING_{name.upper()}") for name in ("bits", "datagrams")}
PACING_BY = {
    "auto": _convert.AUTO,
    "library": _ffi.constant("MCTX_PACING_LIBRARY"),
    "kernel": _ffi.constant("MCTX_PACING_KERNEL"),
}
METADATA = {
    name: _ffi.constant(f"MCTX_META_{name.upper()}")
    for name in ("source", "group", "hop_limit", "traffic_class", "time", "drops")
}
BINDINGS = {name: _ffi.constant(f"MCTX_BINDING_{name.upper()}") for name in ("auto", "group", "wildcard")}


@dataclass(frozen=True)
class SubscriptionInfo:
    """What a subscription is.

    Attributes:
        id: The subscription's id.
        port: The port, also when it was chosen.
        metadata: What is collected of each datagram.
        reuse_port: Whether other programs may receive on the port too, also what is joined here.
        coalescing: Whether the sockets coalesce.
        binding: As configured: "auto", "group" or "wildcard".
        clock: Of the receive times: "system", the kernel's real-time clock (UTC); None if there are none.
        group_sockets: Sockets bound to a group.
        wildcard_sockets: Sockets bound to the port alone.
        membership_count: How many memberships there are.
        max_group_sockets: The most sockets bound to a group.
        receive_buffer_asked: The receive buffer's bytes for each socket, as configured; 0 for the system's.
        receive_buffer: Bytes granted, as the system counts them (Linux: twice the asked): the least of the
            sockets'; 0 without sockets.
        frozen: Whether the default set of interfaces is kept as it is when a group is joined.
        follows_interfaces: Whether changes of the interfaces are noticed, and followed.
        min_arena: Bytes of memory that a native batch needs.
        min_datagrams: Records that a native batch needs: receives of fewer datagrams take them one by one.
    """

    id: int
    port: int
    metadata: frozenset[str]
    reuse_port: bool
    coalescing: bool
    binding: str
    clock: str | None
    group_sockets: int
    wildcard_sockets: int
    membership_count: int
    max_group_sockets: int
    receive_buffer_asked: int
    receive_buffer: int
    frozen: bool
    follows_interfaces: bool
    min_arena: int
    min_datagrams: int


def read_info(handle: int, info: _ffi.SubscriptionInfo) -> SubscriptionInfo:
    """Read what a subscription is."""
    return SubscriptionInfo(
        id=handle,
        port=info.port,
        metadata=frozenset(name for name, bit in METADATA.items() if info.metadata & bit),
        reuse_port=bool(info.reuse_port),
        coalescing=bool(info.coalescing),
        binding=name_of(info.binding, BINDINGS),
        clock="system" if info.clock == _CLOCK_SYSTEM else None,
        group_sockets=info.group_sockets,
        wildcard_sockets=info.wildcard_sockets,
        membership_count=info.membership_count,
        max_group_sockets=info.max_group_sockets,
        receive_buffer_asked=info.receive_buffer_asked,
        receive_buffer=info.receive_buffer,
        frozen=bool(info.flags & FROZEN),
        follows_interfaces=not info.flags & _BLIND,
        min_arena=info.min_arena,
        min_datagrams=info.min_datagrams,
    )


def metadata_bits(metadata: str | Iterable[str]) -> int:
    """Read which metadata to collect.

    Raises:
        UsageError: There is no such metadata.
        TypeError: It is no set of names.
    """
    if isinstance(metadata, str):
        metadata = METADATA if metadata == "all" else (metadata,)
    elif not isinstance(metadata, Iterable):
        raise TypeError(f"metadata must be 'all' or a set of names, not {type(metadata).__name__}")
    bits = 0
    for name in metadata:
        if name not in METADATA:
            raise errors.from_code(
                _INVALID_ARGUMENT,
                f"there is no metadata {name!r}",
                hint=f"'all', or a set of {', '.join(METADATA)}",
                field="metadata",
            )
        bits |= METADATA[name]
    return bits


def number_of(choice: str, name: str, numbers: Mapping[str, int]) -> int:
    """Read an option that is one of several words.

    Raises:
        UsageError: It is another word.
        TypeError: It is not a word.
    """
    if not isinstance(choice, str):
        raise TypeError(f"{name} must be a str, not {type(choice).__name__}")
    if choice not in numbers:
        words = ", ".join(map(repr, numbers))
        raise errors.from_code(
            _INVALID_ARGUMENT, f"there is no {name} {choice!r}", hint=f"one of {words}", field=name
        )
    return numbers[choice]


def name_of(number: int, numbers: Mapping[str, int]) -> str:
    """Return the word for the value of an option; "unknown" for one of a newer library."""
    return next((name for name, value in numbers.items() if value == number), "unknown")


def interface_array(interfaces: InterfaceLike | Iterable[InterfaceLike]) -> Any:
    """Lay out the interfaces of a subscription.

    Raises:
        UsageError: There is none, or one looks like an address and isn't one.
        NotFoundError: The scope of an address is not an interface.
        TypeError, OverflowError, ValueError: One is of a wrong type, doesn't fit, or holds a NUL.
    """
    several: tuple[Any, ...]
    if isinstance(interfaces, (str, bytes)) or not isinstance(interfaces, Iterable):
        several = (interfaces,)
    else:
        several = tuple(interfaces)
    if not several:
        raise errors.from_code(
            _INVALID_ARGUMENT,
            "interfaces names none",
            hint="name one, or pass None for the default set",
            field="interfaces",
        )
    array = (_ffi.InterfaceRef * len(several))()
    for position, interface in enumerate(several):
        try:
            _convert.interface_ref(interface, "interfaces", array[position])
        except errors.MctxError as error:
            error.item = position
            raise
    return array

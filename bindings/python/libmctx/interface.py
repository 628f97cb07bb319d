# SPDX-License-Identifier: MIT
"""The host's network interfaces: all, one, and the one that unnamed multicast leaves through."""

from __future__ import annotations

import ctypes
import enum
import ipaddress
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import SupportsIndex, TypeAlias

from libmctx import _convert, _ffi, errors

__all__ = [
    "Interface",
    "InterfaceAddress",
    "InterfaceFlag",
    "default_interface",
    "find_interface",
    "interfaces",
]


class InterfaceFlag(enum.IntFlag):
    """The state and abilities of an interface."""

    UP = _ffi.constant("MCTX_INTERFACE_UP")
    """Administratively up."""
    RUNNING = _ffi.constant("MCTX_INTERFACE_RUNNING")
    """Has a carrier."""
    LOOPBACK = _ffi.constant("MCTX_INTERFACE_LOOPBACK")
    """The loopback interface."""
    MULTICAST = _ffi.constant("MCTX_INTERFACE_MULTICAST")
    """Says that it supports multicast."""
    POINT_TO_POINT = _ffi.constant("MCTX_INTERFACE_POINT_TO_POINT")
    """Has one peer: a tunnel."""
    BROADCAST = _ffi.constant("MCTX_INTERFACE_BROADCAST")
    """Supports broadcast."""
    ENSLAVED = _ffi.constant("MCTX_INTERFACE_ENSLAVED")
    """Belongs to a bridge, bond or team, and never receives by itself."""


@dataclass(frozen=True)
class InterfaceAddress:
    """An address of an interface.

    Attributes:
        address: The address as text, without a scope.
        prefix_length: The length of its network's prefix in bits.
        scope_id: The interface index of a link-local IPv6 address, 0 for another IPv6 address, None for IPv4.
    """

    address: str
    prefix_length: int
    scope_id: int | None

    @property
    def family(self) -> int:
        """4 or 6."""
        return 4 if self.scope_id is None else 6

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """The address as an object of ``ipaddress``, with its scope."""
        return ipaddress.ip_address(f"{self.address}%{self.scope_id}" if self.scope_id else self.address)

    def __str__(self) -> str:
        scope = f"%{self.scope_id}" if self.scope_id else ""
        return f"{self.address}{scope}/{self.prefix_length}"


@dataclass(frozen=True)
class Interface:
    """A network interface as it was when it was asked for.

    Attributes:
        index: The system's index, never 0.
        name: The system's name, "eth0".
        friendly_name: The name that people know it by; often the same.
        flags: Its state and abilities.
        mtu: The largest packet, in bytes.
        hardware_address: Its hardware address; empty if it has none.
        addresses: Its addresses.
    """

    index: int
    name: str
    friendly_name: str
    flags: InterfaceFlag
    mtu: int
    hardware_address: bytes
    addresses: tuple[InterfaceAddress, ...]

    @property
    def ipv4_addresses(self) -> tuple[str, ...]:
        """Its IPv4 addresses as text."""
        return tuple(each.address for each in self.addresses if each.family == 4)

    @property
    def ipv6_addresses(self) -> tuple[str, ...]:
        """Its IPv6 addresses as text, without scopes."""
        return tuple(each.address for each in self.addresses if each.family == 6)

    @property
    def is_up(self) -> bool:
        """Whether it is administratively up."""
        return InterfaceFlag.UP in self.flags

    @property
    def is_loopback(self) -> bool:
        """Whether it is the loopback interface."""
        return InterfaceFlag.LOOPBACK in self.flags

    @property
    def supports_multicast(self) -> bool:
        """Whether it says that it supports multicast."""
        return InterfaceFlag.MULTICAST in self.flags

    def __index__(self) -> int:
        """Return the index, so that an interface is accepted wherever an interface's index is."""
        return self.index

    def __str__(self) -> str:
        names = [str(flag.name).lower() for flag in InterfaceFlag if flag in self.flags]
        alias = f" ({self.friendly_name})" if self.friendly_name != self.name else ""
        hardware = f" {self.hardware_address.hex(':')}" if self.hardware_address else ""
        addresses = "".join(f" {each}" for each in self.addresses)
        return f"{self.index}: {self.name}{alias} <{','.join(names)}> mtu {self.mtu}{hardware}{addresses}"


InterfaceLike: TypeAlias = str | ipaddress.IPv4Address | ipaddress.IPv6Address | SupportsIndex | Interface
"""What names an interface: its name, one of its addresses, its index, or an `Interface`."""


@contextmanager
def _snapshot() -> Generator[int]:
    handle = ctypes.c_uint64()
    errors.call(_ffi.interface_list_open, handle)
    try:
        yield handle.value
    finally:
        _ffi.close(handle.value, None)


def _addresses(snapshot: int, position: int, capacity: int) -> tuple[InterfaceAddress, ...]:
    array = (_ffi.Address * capacity)()
    count = ctypes.c_uint32()
    errors.call(_ffi.interface_list_addresses, snapshot, position, array, capacity, count)
    found: list[InterfaceAddress] = []
    for each in array[: min(capacity, count.value)]:
        scope_id = each.scope_id if each.family == 6 else None
        found.append(InterfaceAddress(_convert.address_text(each), each.prefix, scope_id))
    return tuple(found)


def _interface(snapshot: int, position: int) -> Interface:
    info = _ffi.InterfaceInfo(size=ctypes.sizeof(_ffi.InterfaceInfo))
    errors.call(_ffi.interface_list_get, snapshot, position, info)
    return Interface(
        index=info.index,
        name=info.name.decode(errors="replace"),
        friendly_name=_convert.filled_text(_ffi.interface_list_friendly_name, snapshot, position),
        flags=InterfaceFlag(info.flags),
        mtu=info.mtu,
        hardware_address=bytes(info.hardware[: info.hardware_length]),
        addresses=_addresses(snapshot, position, info.address_count),
    )


def interfaces() -> list[Interface]:
    """Return the host's interfaces, in order of their index.

    Asks the system; does not wait for the network. Safe from any thread.

    Raises:
        LimitError: There is no memory, handle or descriptor left for it.
        IoError: The system failed.
    """
    with _snapshot() as snapshot:
        count = ctypes.c_uint32()
        errors.call(_ffi.interface_list_count, snapshot, count)
        return [_interface(snapshot, position) for position in range(count.value)]


def find_interface(wanted: InterfaceLike) -> Interface:
    """Find an interface.

    Asks the system; does not wait for the network. Safe from any thread.

    Args:
        wanted: Its name ("eth0", or the friendly name), an address that it has (text or an ``ipaddress``
            object), its index, or an `Interface`, which is looked up again by its index.

    Raises:
        NotFoundError: There is no such interface.
        UsageError: The index is 0, or the address is unspecified, multicast, or no address.
        TypeError: ``wanted`` is none of these.
        OverflowError: The index doesn't fit.
    """
    reference = _ffi.InterfaceRef()
    _convert.interface_ref(wanted, "wanted", reference)
    position = ctypes.c_uint32()
    with _snapshot() as snapshot:
        errors.call(_ffi.interface_list_find, snapshot, reference, position, field="wanted")
        return _interface(snapshot, position.value)


def default_interface(family: int | str) -> Interface:
    """Find the interface through which a multicast datagram that names none leaves, by the routing table.

    For IPv4 that is mostly the default route's; for IPv6 it is chosen by the multicast routes (``ff00::/8``),
    where the default route plays no part. Asks the system; does not wait for the network. Safe from any thread.

    Args:
        family: 4 or 6, or "ipv4" or "ipv6".

    Raises:
        NotFoundError: No route leads to multicast groups.
        UsageError: ``family`` is another number.
        TypeError, ValueError: ``family`` is neither a number nor one of the two names.
    """
    if isinstance(family, str):
        names = {"ipv4": 4, "ipv6": 6}
        if family not in names:
            raise ValueError(f"family must be 4, 6, 'ipv4' or 'ipv6', and {family!r} is not")
        family = names[family]
    number = _convert.integer(family, "family", 32, signed=False)
    position = ctypes.c_uint32()
    with _snapshot() as snapshot:
        errors.call(_ffi.interface_list_default, snapshot, number, position)
        return _interface(snapshot, position.value)

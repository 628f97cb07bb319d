# SPDX-License-Identifier: MIT
"""Memberships: which groups, on which interface, from which sources; as asked for, and as they are."""

from __future__ import annotations

import ctypes
import ipaddress
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from libmctx import _convert, _ffi, errors
from libmctx._convert import AddressText
from libmctx.interface import InterfaceLike

__all__ = ["Membership", "MembershipInfo", "MulticastWarning"]

_EXCLUDE = _ffi.constant("MCTX_EXCLUDE")
_INCLUDE = _ffi.constant("MCTX_INCLUDE")
_OPTION_CONFLICT = _ffi.constant("MCTX_ERR_OPTION_CONFLICT")
_MEMBERSHIP_NOT_FOUND = _ffi.constant("MCTX_ERR_MEMBERSHIP_NOT_FOUND")
_NOT_FOUND = _ffi.constant("MCTX_ERR_NOT_FOUND")
_DEFAULT = _ffi.constant("MCTX_MEMBERSHIP_DEFAULT")
_REFUSED = _ffi.constant("MCTX_MEMBERSHIP_REFUSED")
_FILTERED = _ffi.constant("MCTX_MEMBERSHIP_FILTERED")
_ABSENT = _ffi.constant("MCTX_MEMBERSHIP_ABSENT")
_SOURCELESS = _ffi.constant("MCTX_MEMBERSHIP_SOURCELESS")

Sources: TypeAlias = AddressText | Iterable[AddressText]
"""One address, or several."""


class MulticastWarning(UserWarning):
    """Something is allowed and hardly meant: a source-specific group that is joined without a source."""


@dataclass(frozen=True)
class Membership:
    """A group to join, with settings of its own.

    Attributes:
        group: The group.
        interface: Where to join it: a name, an address, an index, or an `Interface`; None: on all of the
            subscription's interfaces.
        sources: The sources to receive from, and no others (SSM).
        exclude: The sources not to receive from. Excludes ``sources``; with neither, any source (ASM).
    """

    group: AddressText
    interface: InterfaceLike | None = None
    sources: Sources | None = None
    exclude: Sources | None = None


GroupLike: TypeAlias = AddressText | Membership
"""A group, alone or with settings of its own."""


@dataclass(frozen=True)
class MembershipInfo:
    """One membership as it is: one group on one interface.

    Attributes:
        group: The group.
        id: Names the membership in its subscription; never used again.
        interface_index: The interface, or 0 while it is not there.
        interface_names: How the interface was named: a name, an address, or an index as "#3".
        mode: "include": the sources listed and no others; "exclude": every source but those.
        sources: The list, in order of the addresses.
        default: Whether it was joined because its interface is in the default set.
        refused: Why the interface refused it, the name of a status; None if it didn't.
        absent: Whether its interface is not there now; it is joined again when it is.
        filtered: Whether the library filters, because the system has no room for the list.
        sourceless: Whether it is of a source-specific group, joined without a source.
        datagrams: How many were delivered.
        bytes: How many bytes were delivered.
        first: Seconds from joining to the first message, or None.
        last: Age of the last message in seconds, or None.
    """

    group: str
    id: int
    interface_index: int
    interface_names: tuple[str, ...]
    mode: str
    sources: tuple[str, ...]
    default: bool
    refused: str | None
    absent: bool
    filtered: bool
    sourceless: bool
    datagrams: int
    bytes: int
    first: float | None
    last: float | None


# ---- as asked for ----


def _is_source_specific(group: _ffi.Address) -> bool:
    """Return whether a group is source-specific: 232.0.0.0/8, ff3x::/32 (RFC 4607)."""
    first = group.bytes
    if group.family == 4:
        return bool(first[0] == 232)
    return bool(first[0] == 0xFF and first[1] >> 4 == 3 and first[2] == first[3] == 0)


def two_filters() -> errors.MctxError:
    """Make the exception for sources to include and to exclude at once."""
    return errors.from_code(
        _OPTION_CONFLICT,
        "sources and exclude exclude each other",
        hint="sources are the only ones to receive from, exclude those not to receive from: pass one of them",
        field="exclude",
    )


def _idle_filter(name: str) -> errors.MctxError:
    """Make the exception for a default filter that no group takes up."""
    return errors.from_code(
        _OPTION_CONFLICT,
        f"no group takes {name} up",
        hint=f"pass {name} together with their groups, here or to join()",
        field=name,
    )


def _source_array(sources: Sources, name: str) -> Any:
    if isinstance(sources, (str, ipaddress.IPv4Address, ipaddress.IPv6Address)):
        sources = (sources,)
    try:
        each = tuple(sources)
    except TypeError:
        kind = type(sources).__name__
        raise TypeError(f"{name} must be an address or a sequence of addresses, not {kind}") from None
    return (_ffi.Address * len(each))(*(_convert.address(source, name) for source in each))


class Memberships:
    """Memberships laid out for the native calls."""

    __slots__ = ("_kept", "array", "groups", "sourceless")

    def __init__(self, groups: Sequence[Membership]) -> None:
        """Lay them out.

        Raises:
            UsageError: Sources to include and to exclude at once, or the text of an address is none.
            TypeError, OverflowError, ValueError: A value is of a wrong type, doesn't fit, or holds a NUL.
        """
        self.groups = groups
        self.array = (_ffi.Membership * len(groups))()
        self.sourceless: list[str] = []
        self._kept: list[Any] = []
        for item, group in enumerate(groups):
            try:
                self._fill(self.array[item], group)
            except errors.MctxError as error:
                error.item = item
                raise

    @classmethod
    def of(cls, groups: GroupLike | Iterable[GroupLike], **defaults: Sources | None) -> Memberships:
        """Lay out groups, alone or with settings of their own; a group without a filter gets the default one.

        Raises:
            UsageError: There is a default filter, and no group to take it up.
            TypeError: They are no groups.
        """
        if isinstance(groups, (str, ipaddress.IPv4Address, ipaddress.IPv6Address, Membership)):
            groups = (groups,)
        try:
            each = tuple(groups)
        except TypeError:
            kind = type(groups).__name__
            raise TypeError(f"groups must be a sequence of groups, not {kind}") from None
        if all(isinstance(group, Membership) and _has_filter(group) for group in each):
            for name, default in defaults.items():
                if default is not None:
                    raise _idle_filter(name)
        return cls([_with_defaults(group, defaults) for group in each])

    def _fill(self, native: _ffi.Membership, wanted: Membership) -> None:
        native.group = _convert.address(wanted.group, "group")
        if wanted.interface is not None:
            _convert.interface_ref(wanted.interface, "interface", native.ingress)
        if wanted.sources is not None and wanted.exclude is not None:
            raise two_filters()
        native.mode = _EXCLUDE if wanted.sources is None else _INCLUDE
        name = "exclude" if wanted.sources is None else "sources"
        sources = wanted.exclude if wanted.sources is None else wanted.sources
        if sources is not None:
            array = _source_array(sources, name)
            self._kept.append(array)
            native.sources.address = ctypes.addressof(array)
            native.source_count = len(array)
        if wanted.sources is None and _is_source_specific(native.group):
            self.sourceless.append(_convert.address_text(native.group))

    def name_parameters(self, error: errors.MctxError, *, has_interfaces: bool = False) -> None:
        """Let an error about one of them say the parameter that the caller used."""
        own = self.groups[error.item] if error.item is not None and error.item < len(self.groups) else None
        if error.field == "sources" and own is not None and own.sources is None:
            error.field = "exclude"
        elif error.field == "interface" and has_interfaces and (own is None or own.interface is None):
            error.field = "interfaces"

    def warn(self, stacklevel: int) -> None:
        """Warn of source-specific groups without a source; ``stacklevel`` counts from the caller."""
        if self.sourceless:
            groups = ", ".join(self.sourceless)
            warnings.warn(
                f"{groups}: source-specific (232.0.0.0/8, ff3x::/32), and joined without a source; "
                f"routers forward nothing to such a member: pass sources, or use another group",
                MulticastWarning,
                stacklevel=stacklevel + 1,
            )


def _has_filter(group: Membership) -> bool:
    return group.sources is not None or group.exclude is not None


def _with_defaults(group: GroupLike, defaults: dict[str, Any]) -> Membership:
    if not isinstance(group, Membership):
        return Membership(group, **defaults)
    return group if _has_filter(group) else Membership(group.group, group.interface, **defaults)


# ---- as they are ----


def read_memberships(handle: int) -> list[MembershipInfo]:
    """Read the memberships of a subscription, in order of joining."""
    capacity = 64
    while True:
        array = (_ffi.MembershipInfo * capacity)()
        count = ctypes.c_uint32()
        size = ctypes.sizeof(_ffi.MembershipInfo)
        errors.call(_ffi.memberships, handle, array, size, capacity, count)
        if count.value <= capacity:
            break
        capacity = count.value + 64
    found: list[MembershipInfo] = []
    for native in array[: count.value]:
        try:
            found.append(_membership_info(handle, native))
        except errors.NotFoundError as error:  # left by another thread meanwhile
            if error.code not in (_MEMBERSHIP_NOT_FOUND, _NOT_FOUND):
                raise
    return found


def _membership_info(handle: int, native: _ffi.MembershipInfo) -> MembershipInfo:
    names = tuple(
        _convert.filled_text(_ffi.membership_name, handle, native.id, position)
        for position in range(native.name_count)
    )
    flags = native.flags
    return MembershipInfo(
        group=_convert.address_text(native.group),
        id=native.id,
        interface_index=native.interface_index,
        interface_names=names,
        mode="include" if native.mode == _INCLUDE else "exclude",
        sources=_sources(handle, native.id, native.source_count) if native.source_count else (),
        default=bool(flags & _DEFAULT),
        refused=_ffi.status_name(native.refusal).decode() if flags & _REFUSED else None,
        absent=bool(flags & _ABSENT),
        filtered=bool(flags & _FILTERED),
        sourceless=bool(flags & _SOURCELESS),
        datagrams=native.datagrams,
        bytes=native.bytes,
        first=None if native.first_ns < 0 else native.first_ns / 1e9,
        last=None if native.last_ns < 0 else native.last_ns / 1e9,
    )


def _sources(handle: int, number: int, capacity: int) -> tuple[str, ...]:
    while True:
        array = (_ffi.Address * capacity)()
        count = ctypes.c_uint32()
        errors.call(_ffi.membership_sources, handle, number, array, capacity, count)
        if count.value <= capacity:
            return tuple(_convert.address_text(each) for each in array[: count.value])
        capacity = count.value + 8

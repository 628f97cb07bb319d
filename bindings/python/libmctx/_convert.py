# SPDX-License-Identifier: MIT
"""Python values to native ones and back. Checks only what can't cross the boundary: types, ranges, NULs."""

from __future__ import annotations

import ctypes
import ipaddress
import math
import operator
import re
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

from libmctx import _ffi, errors

AddressText: TypeAlias = str | ipaddress.IPv4Address | ipaddress.IPv6Address
"""An address: as text, or as an object of ``ipaddress``."""

AUTO: int = _ffi.constant("MCTX_AUTO")
"""Leaves a setting to the library or the system."""

_BY_INDEX = _ffi.constant("MCTX_INTERFACE_BY_INDEX")
_BY_ADDRESS = _ffi.constant("MCTX_INTERFACE_BY_ADDRESS")
_BY_NAME = _ffi.constant("MCTX_INTERFACE_BY_NAME")
_ADDRESS_SYNTAX = _ffi.constant("MCTX_ERR_ADDRESS_SYNTAX")
_LOOKS_LIKE_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+)+|.*:.*:.*", re.DOTALL)
_LONG_ENOUGH = 1024
_FOREVER = 1e9
"""Seconds, more than thirty years."""


class Endpoint(NamedTuple):
    """An address with its port: what a datagram comes from or goes to.

    Attributes:
        addr: The address as text, without a scope.
        port: The port.
        scope_id: The interface index of a scoped IPv6 address, 0 for another IPv6 address, None for IPv4.
    """

    addr: str
    port: int
    scope_id: int | None


def integer(value: SupportsIndex, name: str, bits: int, *, signed: bool = True) -> int:
    """Return an integer that fits a native one.

    Raises:
        TypeError: It is not an integer.
        OverflowError: It doesn't fit.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= number <= high:
        raise OverflowError(f"{name} must be from {low} to {high}, and {number} is not")
    return number


def setting(value: SupportsIndex | None, name: str, bits: int = 32) -> int:
    """Return an integer option; None leaves it to the library.

    Raises:
        TypeError: It is not an integer.
        OverflowError: It doesn't fit.
    """
    if value is None:
        return AUTO
    number = integer(value, name, bits)
    if number == AUTO:
        raise OverflowError(f"{name} must be from {AUTO + 1} on: pass None to leave it to the system")
    return number


def text(value: str, name: str) -> bytes:
    """Return text as the native library reads it.

    Raises:
        TypeError: It is not text.
        ValueError: It holds a NUL, or can't be encoded.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name} must not contain a NUL character")
    return value.encode()


def nanoseconds(timeout: float | None) -> int:
    """Return a timeout in seconds as nanoseconds; None and infinity stand for ever, -1.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative or not a number.
    """
    if timeout is None:
        return -1
    try:
        not_a_number = math.isnan(timeout)
    except OverflowError:  # an int that is too large for a float
        not_a_number = False
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}") from None
    if not_a_number or timeout < 0:
        raise ValueError(f"timeout must be 0, positive or None, and {timeout!r} is not")
    return -1 if timeout >= _FOREVER else math.ceil(float(timeout) * 1e9)


def address(value: AddressText, name: str) -> _ffi.Address:
    """Read an address.

    Raises:
        TypeError: It is neither text nor an object of ``ipaddress``.
        UsageError: The text is not an address.
        NotFoundError: Its scope is not an interface.
    """
    if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str or an ipaddress object, not {type(value).__name__}")
    result = _ffi.Address()
    errors.call(_ffi.address_parse, text(value, name), result, field=name)
    return result


def socket_address(value: str | tuple[AddressText, int], name: str) -> _ffi.Address:
    """Read an address with its port: "192.0.2.1:5000", "[fe80::1%eth0]:5000", or (address, port).

    Raises:
        TypeError: It is none of these.
        OverflowError: The port doesn't fit.
        UsageError: The text is not an address.
        NotFoundError: Its scope is not an interface.
    """
    if isinstance(value, tuple):
        if len(value) != 2:
            raise TypeError(f"{name} must be 'address:port' or (address, port), not a tuple of {len(value)}")
        result = address(value[0], name)
        result.port = integer(value[1], f"{name}'s port", 16, signed=False)
        return result
    if not isinstance(value, str):
        raise TypeError(f"{name} must be 'address:port' or (address, port), not {type(value).__name__}")
    return address(value, name)


def interface_ref(value: Any, name: str, reference: _ffi.InterfaceRef) -> None:
    """Fill a reference to an interface from its name, an address of it, or its index.

    Raises:
        TypeError: It is none of these.
        OverflowError: The index doesn't fit.
        UsageError: It looks like an address and isn't one.
        NotFoundError: The address's scope is not an interface.
    """
    if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        value = str(value)
    if isinstance(value, str):
        try:
            reference.address = address(value, name)
            reference.by = _BY_ADDRESS
        except errors.UsageError as error:
            if error.code != _ADDRESS_SYNTAX or _LOOKS_LIKE_ADDRESS.fullmatch(value):
                raise
            reference.by = _BY_NAME
            reference.name.text = text(value, name)
        return
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a name, an address or an index of an interface, not {type(value).__name__}"
        ) from None
    reference.by = _BY_INDEX
    reference.index = integer(number, f"{name}'s index", 32, signed=False)


def filled_text(function: _ffi.Function, *arguments: Any) -> str:
    """Call a native function that writes text, and return the text."""
    length = ctypes.c_size_t()
    buffer = ctypes.create_string_buffer(_LONG_ENOUGH)
    errors.call(function, *arguments, buffer, len(buffer), length)
    if length.value >= len(buffer):
        buffer = ctypes.create_string_buffer(length.value + 1)
        errors.call(function, *arguments, buffer, len(buffer), length)
    return buffer.value.decode(errors="replace")


def address_text(value: _ffi.Address) -> str:
    """Return an address as text, without port, prefix length and scope."""
    plain = _ffi.Address(family=value.family, bytes=value.bytes)
    return filled_text(_ffi.address_format, plain)


def endpoint(value: _ffi.Address) -> Endpoint | None:
    """Return an address with its port, or None for none."""
    if value.family == 0:
        return None
    scope_id = value.scope_id if value.family == 6 else None
    return Endpoint(address_text(value), value.port, scope_id)

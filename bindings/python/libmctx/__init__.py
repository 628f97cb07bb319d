# SPDX-License-Identifier: MIT
"""UDP multicast done once and done right.

A `Context` owns publications; a `Publication` is a ready-to-send socket for one group and port:

    import libmctx

    with libmctx.Context() as context:
        publication = context.add_publication("239.1.2.3", 5000, ttl=4)
        report = publication.send(b"hello")
        print(report.source_addr, report.destination, report.bytes_sent)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libmctx import _ffi
from libmctx._convert import Endpoint
from libmctx.context import Context
from libmctx.errors import (
    AlreadyExistsError,
    ClosedError,
    InternalError,
    IoError,
    LimitError,
    MctxError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    TimedOutError,
    TooLargeError,
    UnsupportedError,
    UsageError,
    WaitInterruptedError,
    WouldBlockError,
)
from libmctx.interface import (
    Interface,
    InterfaceAddress,
    InterfaceFlag,
    default_interface,
    find_interface,
    interfaces,
)
from libmctx.publication import Publication, PublicationInfo
from libmctx.report import SendOutcome, SendReport
from libmctx.values import Capability, Event, Metrics, Ready, capabilities

if TYPE_CHECKING:
    from libmctx.aio import AsyncPublication

__version__: str
"""The version of this package."""

__all__ = [
    "AlreadyExistsError",
    "AsyncPublication",
    "Capability",
    "ClosedError",
    "Context",
    "Endpoint",
    "Event",
    "Interface",
    "InterfaceAddress",
    "InterfaceFlag",
    "InternalError",
    "IoError",
    "LimitError",
    "MctxError",
    "Metrics",
    "NetworkError",
    "NotFoundError",
    "PermissionDeniedError",
    "Publication",
    "PublicationInfo",
    "Ready",
    "SendOutcome",
    "SendReport",
    "TimedOutError",
    "TooLargeError",
    "UnsupportedError",
    "UsageError",
    "WaitInterruptedError",
    "WouldBlockError",
    "abi_version",
    "capabilities",
    "default_interface",
    "find_interface",
    "interfaces",
    "library_path",
    "native_version",
]


def native_version() -> str:
    """Return the version of the native library: "0.1.0"."""
    return str(_ffi.version().decode())


def abi_version() -> tuple[int, int]:
    """Return the ABI version of the native library: (major, minor)."""
    number = int(_ffi.abi_version())
    return number >> 16, number & 0xFFFF


def library_path() -> str:
    """Return where the native library was loaded from: a path, or the name that the system's loader found."""
    return _ffi.source


def __getattr__(name: str) -> Any:
    """Provide what importing the package doesn't load: asyncio, and the package's metadata."""
    value: Any
    if name == "AsyncPublication":
        from libmctx import aio

        value = aio.AsyncPublication
    elif name == "__version__":
        from importlib import metadata

        try:
            value = metadata.version("libmctx")
        except metadata.PackageNotFoundError:  # run from a checkout that isn't installed
            value = native_version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})

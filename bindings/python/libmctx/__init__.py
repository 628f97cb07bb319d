# SPDX-License-Identifier: MIT
"""UDP multicast done once and done right.

A `Context` owns publications and subscriptions. A `Publication` is a ready-to-send socket for one group and
port, a `Subscription` a receiver for one port and any set of groups:

    import libmctx

    with libmctx.Context() as context:
        subscription = context.add_subscription(5000, ["239.1.2.3", "ff15::1234"])
        publication = context.add_publication("239.1.2.3", 5000, ttl=4)
        report = publication.send(b"hello")
        print(report.source_addr, report.destination, report.bytes_sent)
        datagram = subscription.recv(timeout=1.0)
        print(datagram.payload, datagram.source, datagram.group, datagram.interface, datagram.hop_limit)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libmctx import _ffi
from libmctx._arena import Batch
from libmctx._columns import DATAGRAM_DTYPE, MESSAGE_DTYPE, Columns
from libmctx._convert import Endpoint
from libmctx._options import SubscriptionInfo
from libmctx.context import Context
from libmctx.datagram import Datagram, DatagramInfo, DatagramView
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
from libmctx.membership import Membership, MembershipInfo, MulticastWarning
from libmctx.publication import Publication, PublicationInfo
from libmctx.report import SendOutcome, SendReport
from libmctx.subscription import Subscription
from libmctx.values import Capability, Event, Metrics, Ready, capabilities

if TYPE_CHECKING:
    from libmctx.aio import AsyncPublication, AsyncSubscription

__version__: str
"""The version of this package."""

__all__ = [
    "AlreadyExistsError",
    "AsyncPublication",
    "AsyncSubscription",
    "Batch",
    "Capability",
    "ClosedError",
    "Columns",
    "Context",
    "DATAGRAM_DTYPE",
    "Datagram",
    "DatagramInfo",
    "DatagramView",
    "Endpoint",
    "Event",
    "Interface",
    "InterfaceAddress",
    "InterfaceFlag",
    "InternalError",
    "IoError",
    "LimitError",
    "MESSAGE_DTYPE",
    "MctxError",
    "Membership",
    "MembershipInfo",
    "Metrics",
    "MulticastWarning",
    "NetworkError",
    "NotFoundError",
    "PermissionDeniedError",
    "Publication",
    "PublicationInfo",
    "Ready",
    "SendOutcome",
    "SendReport",
    "Subscription",
    "SubscriptionInfo",
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
    if name in ("AsyncPublication", "AsyncSubscription"):
        from libmctx import aio

        value = getattr(aio, name)
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

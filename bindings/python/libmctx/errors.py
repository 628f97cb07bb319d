# SPDX-License-Identifier: MIT
"""The exceptions: one class for each kind of failure, each also the builtin that Python people would catch.

| kind | class | also a |
|---|---|---|
| internal | `InternalError` | `RuntimeError` |
| usage | `UsageError` | `ValueError` |
| not_found | `NotFoundError` | `LookupError`, `OSError` |
| already_exists | `AlreadyExistsError` | `ValueError`, `OSError` |
| would_block | `WouldBlockError` | `BlockingIOError` |
| timeout | `TimedOutError` | `TimeoutError` |
| closed | `ClosedError` | `LookupError` |
| permission | `PermissionDeniedError` | `PermissionError` |
| unsupported | `UnsupportedError` | `NotImplementedError`, `OSError` |
| limit | `LimitError` | `OSError` |
| network | `NetworkError` | `OSError` |
| too_large | `TooLargeError` | `OSError` |
| io | `IoError` | `OSError` |
| interrupted | `WaitInterruptedError` | `InterruptedError` |

A kind that a newer library adds is raised as `MctxError` itself, with its number.
"""

from __future__ import annotations

import errno
import struct
from typing import Any

from libmctx import _ffi

__all__ = [
    "AlreadyExistsError",
    "ClosedError",
    "InternalError",
    "IoError",
    "LimitError",
    "MctxError",
    "NetworkError",
    "NotFoundError",
    "PermissionDeniedError",
    "TimedOutError",
    "TooLargeError",
    "UnsupportedError",
    "UsageError",
    "WaitInterruptedError",
    "WouldBlockError",
]

_RETRY = {
    _ffi.constant("MCTX_RETRY_NEVER"): "never",
    _ffi.constant("MCTX_RETRY_WHEN_READY"): "when_ready",
    _ffi.constant("MCTX_RETRY_AFTER_DELAY"): "after_delay",
    _ffi.constant("MCTX_RETRY_AFTER_CHANGE"): "after_change",
}
_STATUS = struct.Struct("i")
_PACED = _ffi.constant("MCTX_ERR_PACED")
_DELIVERED_LOCALLY = _ffi.constant("MCTX_ERROR_DELIVERED_LOCALLY")

_PARAMETERS = {
    "group.port": "group",
    "group.scope_id": "group",
    "handle": "",
    "interface.address": "interface",
    "interface.by": "interface",
    "interface.index": "interface",
    "interface.name": "interface",
    "membership": "group",
    "memberships": "groups",
    "options": "",
    "segment_size": "size",
    "source_count": "sources",
    "timeout_ns": "timeout",
}
"""What Python calls the native arguments that it calls otherwise; "": the object itself, or all arguments."""
_PARAMETERS_OF = {
    "mctx_publication_open": {"hop_limit": "ttl", "interface.index": "interface_index", "port": "dst_port"},
    "mctx_wait": {"interest": "events"},
}
"""The same of one function."""


class MctxError(Exception):
    """What went wrong in the native library; the root of all its exceptions.

    Attributes:
        kind: The kind's name: "usage", "network", ..., or "unknown".
        kind_number: The kind's number.
        code: The status: a negative number, ``-(kind_number * 1000 + n)``.
        name: The status's name: "port_zero", ..., or "unknown" for one of a newer library.
        message: One sentence: what happened.
        hint: The likely cause and what would be right, or "".
        operation: The native function, "mctx_publication_open", or "".
        field: The parameter at fault, "dst_port", or "".
        native_field: The same by its name in C, "port" or "interface.name", or "".
        os_code: The system's error number, or 0. Classes that are an `OSError` have it as ``errno`` too.
        retry: When the same call may succeed: "never" as it is, "when_ready" (``wait`` tells),
            "after_delay", "after_change" (of a link, a route, a limit, a right).
        item: Which element of a sequence argument failed, or None.
        value: The offending number, or 0; of "paced" the nanoseconds until the next datagram may go.
        limit: The limit that it met, or 0.
        handle: The id of the object concerned, or 0.
        delivered_locally: The datagram was not sent to the network, but members on this host may have got it.
        accepted: How many datagrams of a batch were accepted before the failure; None where there is no batch.
    """

    _default_errno = 0

    kind: str
    kind_number: int
    code: int
    name: str
    message: str
    hint: str
    operation: str
    field: str
    native_field: str
    os_code: int
    retry: str
    item: int | None
    value: int
    limit: int
    handle: int
    delivered_locally: bool
    accepted: int | None

    def __init__(self, message: str = "", **details: Any) -> None:
        self.message = message
        self.code = details.pop("code", 0)
        self.kind_number = kind_of(self.code)
        self.kind = _ffi.kind_name(self.kind_number).decode()
        self.name = _ffi.status_name(self.code).decode()
        self.hint = details.pop("hint", "")
        self.operation = details.pop("operation", "")
        self.field = details.pop("field", "")
        self.native_field = details.pop("native_field", self.field)
        self.os_code = details.pop("os_code", 0)
        self.retry = details.pop("retry", "never")
        self.item = details.pop("item", None)
        self.value = details.pop("value", 0)
        self.limit = details.pop("limit", 0)
        self.handle = details.pop("handle", 0)
        self.delivered_locally = details.pop("delivered_locally", False)
        self.accepted = details.pop("accepted", None)
        if details:
            raise TypeError(f"unknown details: {', '.join(details)}")
        if isinstance(self, OSError):
            OSError.__init__(self, self.os_code or self._default_errno or None, message)
        else:
            Exception.__init__(self, message)

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the same call may succeed; None where nothing tells."""
        return self.value / 1e9 if self.code == _PACED else None

    def __str__(self) -> str:
        text = self.message or _ffi.status_text(self.code).decode()
        if self.name == "unknown":
            text += f" (status {self.code})"
        if self.field and self.field not in text:
            text = f"{self.field}: {text}"
        return f"{text} ({self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        state = dict(self.__dict__)
        message = state.pop("message")
        for derived in ("kind", "kind_number", "name"):
            state.pop(derived)
        details = {name: state.pop(name) for name in _DETAILS}
        return _rebuild, (type(self), message, details), state or None


_DETAILS = (
    "code",
    "hint",
    "operation",
    "field",
    "native_field",
    "os_code",
    "retry",
    "item",
    "value",
    "limit",
    "handle",
    "delivered_locally",
    "accepted",
)


def _rebuild(cls: type[MctxError], message: str, details: dict[str, Any]) -> MctxError:
    return cls(message, **details)


class InternalError(MctxError, RuntimeError):
    """The native library met a state that should be impossible: a defect."""


class UsageError(MctxError, ValueError):
    """The call itself is wrong: a value outside its range, options that exclude each other."""


class NotFoundError(MctxError, LookupError, OSError):
    """What the call names is not there: an interface, a source address, a publication, a membership."""

    _default_errno = errno.ENOENT


class AlreadyExistsError(MctxError, ValueError, OSError):
    """What the call would make is there already: a publication of this configuration, a port, a membership."""

    _default_errno = errno.EEXIST


class WouldBlockError(MctxError, BlockingIOError):
    """Nothing can be sent or received now: wait until it is ready, or pass a timeout.

    Its ``name`` is "paced" where the publication's pacing rate lets nothing go yet: wait for ``retry_after``.
    """

    _default_errno = errno.EAGAIN


class TimedOutError(MctxError, TimeoutError):
    """The time allowed has passed."""

    _default_errno = errno.ETIMEDOUT


class ClosedError(MctxError, LookupError):
    """The object was closed or removed, or belongs to the process that this one was forked from."""


class PermissionDeniedError(MctxError, PermissionError):
    """The system, or a firewall, does not permit it."""

    _default_errno = errno.EPERM


class UnsupportedError(MctxError, NotImplementedError, OSError):
    """This system or this object cannot do it."""

    _default_errno = getattr(errno, "EOPNOTSUPP", errno.ENOSYS)


class LimitError(MctxError, OSError):
    """A limit of the system or of the library is reached; ``queue_full``: the interface's queue is full."""

    _default_errno = errno.ENOBUFS


class NetworkError(MctxError, OSError):
    """The network or an interface is not in the state for it: no route, interface down, source gone."""

    _default_errno = errno.ENETUNREACH


class TooLargeError(MctxError, OSError):
    """A datagram is larger than what can be sent."""

    _default_errno = errno.EMSGSIZE


class IoError(MctxError, OSError):
    """The system failed in a way that has no kind of its own; see ``errno``."""

    _default_errno = errno.EIO


class WaitInterruptedError(MctxError, InterruptedError):
    """A wait was ended by ``wake()``."""

    _default_errno = errno.EINTR


_CLASSES: dict[int, type[MctxError]] = {
    _ffi.constant(f"MCTX_KIND_{name}"): cls
    for name, cls in {
        "INTERNAL": InternalError,
        "USAGE": UsageError,
        "NOT_FOUND": NotFoundError,
        "ALREADY_EXISTS": AlreadyExistsError,
        "WOULD_BLOCK": WouldBlockError,
        "TIMEOUT": TimedOutError,
        "CLOSED": ClosedError,
        "PERMISSION": PermissionDeniedError,
        "UNSUPPORTED": UnsupportedError,
        "LIMIT": LimitError,
        "NETWORK": NetworkError,
        "TOO_LARGE": TooLargeError,
        "IO": IoError,
        "INTERRUPTED": WaitInterruptedError,
    }.items()
}


def kind_of(code: int) -> int:
    """Return the number of a status's kind; 0 for success."""
    return int(_ffi.status_kind(code))


def from_code(code: int, message: str = "", **details: Any) -> MctxError:
    """Make the exception for a status, without the native library's own record of the failure."""
    cls = _CLASSES.get(kind_of(code), MctxError)
    return cls(message or _ffi.status_text(code).decode(), code=code, **details)


def from_record(code: int, record: _ffi.Error, **overrides: Any) -> MctxError:
    """Make the exception for a failed call.

    Args:
        code: The status that the call returned.
        record: The error record that the call filled.
        **overrides: Attributes that the caller knows better.
    """
    if record.status != code:  # the call had no record to fill, or another library's rules
        return from_code(code, **overrides)
    field = record.field.decode(errors="replace")
    operation = record.operation.decode(errors="replace")
    details: dict[str, Any] = {
        "hint": record.hint.decode(errors="replace"),
        "operation": operation,
        "field": _PARAMETERS_OF.get(operation, {}).get(field) or _PARAMETERS.get(field, field),
        "native_field": field,
        "os_code": record.os_code,
        "retry": _RETRY.get(record.retry, "never"),
        "item": record.item if record.item >= 0 else None,
        "value": record.value - (record.value >> 63 << 64),  # of an argument that may have been negative
        "limit": record.limit,
        "handle": record.handle,
        "delivered_locally": bool(record.flags & _DELIVERED_LOCALLY),
    }
    details.update(overrides)
    return from_code(code, record.message.decode(errors="replace"), **details)


def code_of(record: bytes) -> int:
    """Return the status that a copy of an error record tells."""
    return int(_STATUS.unpack_from(record, _ffi.Error.status.offset)[0])


def from_bytes(record: bytes) -> MctxError:
    """Make the exception for a failed call from a copy of its error record."""
    error = _ffi.Error.from_buffer_copy(record)
    return from_record(error.status, error)


def call(function: _ffi.Function, *arguments: Any, field: str | None = None) -> None:
    """Call a native function, and raise what it reports.

    Args:
        function: One of ``_ffi``; the error record is its last argument and not among ``arguments``.
        *arguments: The others.
        field: The name of the parameter at fault where the native function can't know it.
    """
    record = _ffi.new_error()
    code = function(*arguments, record)
    if code != 0:
        raise from_record(code, record, **({} if field is None else {"field": field}))

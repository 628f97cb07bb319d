# SPDX-License-Identifier: MIT
"""The exceptions: their classes, what they carry, pickling, and statuses of libraries to come."""

from __future__ import annotations

import builtins
import copy
import errno
import pickle

import pytest

import libmctx
from libmctx import _ffi, errors

BUILTINS: dict[str, tuple[type[BaseException], ...]] = {
    "internal": (RuntimeError,),
    "usage": (ValueError,),
    "not_found": (LookupError, OSError),
    "already_exists": (ValueError, OSError),
    "would_block": (BlockingIOError,),
    "timeout": (TimeoutError,),
    "closed": (LookupError,),
    "permission": (PermissionError,),
    "unsupported": (NotImplementedError, OSError),
    "limit": (OSError,),
    "network": (OSError,),
    "too_large": (OSError,),
    "io": (OSError,),
    "interrupted": (InterruptedError,),
}


def test_every_kind_of_the_library_has_a_class_of_its_own() -> None:
    kinds = {name for name in _ffi.constant_names() if name.startswith("MCTX_KIND_")} - {"MCTX_KIND_NONE"}
    assert {name.removeprefix("MCTX_KIND_").lower() for name in kinds} == set(BUILTINS)
    classes = {type(errors.from_code(-1000 * _ffi.constant(name) - 1)) for name in kinds}
    assert len(classes) == len(kinds)
    assert libmctx.MctxError not in classes


@pytest.mark.parametrize("code", _ffi.status_codes())
def test_every_status_becomes_an_exception(code: int) -> None:
    error = errors.from_code(code, "what happened", hint="what to do", field="field", item=3, accepted=2)
    assert isinstance(error, libmctx.MctxError)
    assert isinstance(error, BUILTINS[error.kind])
    assert error.code == code
    assert error.kind_number == -code // 1000
    assert error.name == _ffi.status_name(code).decode() != "unknown"
    assert str(error) == "field: what happened (what to do)"
    assert type(error).__name__ not in dir(builtins)
    if isinstance(error, OSError):
        assert isinstance(error.errno, int)
        assert errors.from_code(code, os_code=errno.EXDEV).errno == errno.EXDEV  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [*_ffi.status_codes(), -2999, -99001, -1])
def test_exceptions_pickle_and_copy(code: int) -> None:
    error = errors.from_code(
        code, "text", os_code=5, operation="mctx_send", retry="when_ready", value=7, limit=9
    )
    error.__dict__["note"] = "mine"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert twin.__dict__ == error.__dict__
        assert twin.args == error.args
        assert str(twin) == str(error)
        assert getattr(twin, "errno", None) == getattr(error, "errno", None)


def test_unknown_codes_keep_their_number() -> None:
    of_known_kind = errors.from_code(-2999)
    assert type(of_known_kind) is libmctx.UsageError
    assert (of_known_kind.code, of_known_kind.kind, of_known_kind.name) == (-2999, "usage", "unknown")
    assert "-2999" in str(of_known_kind)
    of_unknown_kind = errors.from_code(-99001)
    assert type(of_unknown_kind) is libmctx.MctxError
    assert (of_unknown_kind.kind, of_unknown_kind.kind_number) == ("unknown", 99)
    assert "-99001" in str(of_unknown_kind)


def test_unknown_details_are_a_mistake() -> None:
    with pytest.raises(TypeError, match="no_such"):
        libmctx.MctxError("text", no_such=1)
    assert str(libmctx.UsageError("text")) == "text"


def test_an_error_carries_what_the_library_says(context: libmctx.Context) -> None:
    with pytest.raises(libmctx.UsageError) as caught:
        context.add_publication("239.1.1.1", 5000, ttl=256)
    error = caught.value
    assert (error.kind, error.name, error.field) == ("usage", "hop_limit_range", "ttl")
    assert error.native_field == "hop_limit"
    assert str(error).startswith("ttl: ")
    assert (error.value, error.limit, error.retry) == (256, 255, "never")
    assert error.operation == "mctx_publication_open"
    assert error.item is None
    assert error.hint


def test_a_record_of_another_call_is_not_believed() -> None:
    record = _ffi.new_error()
    record.message = b"of another call"
    error = errors.from_record(-2001, record)
    assert error.message == _ffi.status_text(-2001).decode()


def test_an_error_says_the_number_and_the_parameter_that_the_caller_gave(
    context: libmctx.Context, publication: libmctx.Publication
) -> None:
    with pytest.raises(libmctx.UsageError) as caught:
        context.add_publication("239.255.77.1", 5000, ttl=-1)
    assert (caught.value.field, caught.value.value) == ("ttl", -1)
    for wait in (context.wait, publication.wait):
        with pytest.raises(libmctx.UsageError) as caught:
            wait(0, events=libmctx.Ready(8))
        assert (caught.value.field, caught.value.native_field, caught.value.value) == ("events", "interest", 8)

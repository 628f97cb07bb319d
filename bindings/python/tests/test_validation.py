# SPDX-License-Identifier: MIT
"""Bad input: the right class, the field, a hint, and nothing half-open."""

from __future__ import annotations

import errno
import math
import socket
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from conftest import GROUP4, GROUP6, LOOPBACK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import libmctx

GOOD: dict[str, Any] = {"group": GROUP4, "dst_port": 5000}

MEANING = [
    ({"group": "192.0.2.1"}, "group_not_multicast", "group"),
    ({"group": "::1"}, "group_not_multicast", "group"),
    ({"group": "239.1.1"}, "address_syntax", "group"),
    ({"group": "no address"}, "address_syntax", "group"),
    ({"group": ""}, "address_syntax", "group"),
    ({"group": "ff12::1%no-such-if"}, "interface_not_found", "group"),
    ({"group": GROUP6 + "%lo", "interface": "127.0.0.1"}, "interface_family", "interface"),
    ({"dst_port": 0}, "port_zero", "dst_port"),
    ({"dst_port": None}, "port_zero", "dst_port"),
    ({"dst_port": -1}, "port_range", "dst_port"),
    ({"dst_port": 65536}, "port_range", "dst_port"),
    ({"source_port": 0}, "source_port_zero", "source_port"),
    ({"source_port": -1}, "port_range", "source_port"),
    ({"source_port": 65536}, "port_range", "source_port"),
    ({"source": "0.0.0.0"}, "source_unspecified", "source"),
    ({"source": "239.1.1.1"}, "source_multicast", "source"),
    ({"source": "::1"}, "source_family", "source"),
    ({"source": "192.0.2.77"}, "source_not_local", "source"),
    ({"source": "nonsense"}, "address_syntax", "source"),
    ({"interface": "0.0.0.0"}, "interface_unspecified", "interface"),
    ({"interface": "239.1.1.1"}, "interface_multicast", "interface"),
    ({"interface": "::1"}, "interface_family", "interface"),
    ({"interface": "192.0.2.77"}, "interface_not_found", "interface"),
    ({"interface": "no-such-if"}, "interface_not_found", "interface"),
    ({"interface": "192.0.2.300"}, "address_syntax", "interface"),
    ({"interface": "fe80::g"}, "address_syntax", "interface"),
    ({"interface": "fe80::1::2"}, "address_syntax", "interface"),
    ({"interface_index": 0}, "interface_index_zero", "interface_index"),
    ({"interface_index": 999_999}, "interface_not_found", "interface_index"),
    ({"interface": "lo", "interface_index": 1}, "option_conflict", "interface_index"),
    ({"bind": "127.0.0.1:5000", "source": "127.0.0.1"}, "option_conflict", "bind"),
    ({"bind": "127.0.0.1:5000", "source_port": 5000}, "option_conflict", "bind"),
    ({"bind": "nonsense"}, "address_syntax", "bind"),
    ({"ttl": -1}, "hop_limit_range", "ttl"),
    ({"ttl": 256}, "hop_limit_range", "ttl"),
    ({"loopback": 2}, "invalid_argument", "loopback"),
    ({"connected": -1}, "invalid_argument", "connected"),
    ({"dscp": 64}, "dscp_range", "dscp"),
    ({"dscp": -1}, "dscp_range", "dscp"),
    ({"priority": 7}, "invalid_argument", "priority"),
    ({"mark": -1}, "invalid_argument", "mark"),
    ({"mark": 1 << 32}, "invalid_argument", "mark"),
    ({"send_buffer": -1}, "invalid_argument", "send_buffer"),
    ({"group": GROUP6, "source": "127.0.0.1"}, "source_family", "source"),
    ({"group": "ff12::1"}, "interface_required", "interface"),
    ({"group": GROUP6}, "interface_required", "interface"),
    ({"bind_device": "no-such-if"}, "interface_not_found", "bind_device"),
    ({"socket": -1}, "not_a_socket", "socket"),
    ({"socket": 999_999}, "not_a_socket", "socket"),
]


@pytest.mark.parametrize(("options", "name", "field"), MEANING, ids=lambda each: str(each)[:60])
@pytest.mark.usefixtures("no_leak")
def test_meaning_is_checked_by_the_library(options: dict[str, Any], name: str, field: str) -> None:
    with libmctx.Context() as context:
        with pytest.raises(libmctx.MctxError) as caught:
            context.add_publication(**{**GOOD, **options})
        assert caught.value.name == name
        assert caught.value.field == field
        assert caught.value.hint
        assert "MCTX_" not in str(caught.value)
        assert context.publication_count() == 0
        if caught.value.kind == "usage":
            assert isinstance(caught.value, ValueError)


FORM = [
    ({"group": None}, TypeError),
    ({"group": 5}, TypeError),
    ({"group": b"239.1.1.1"}, TypeError),
    ({"group": "239.1.1.1\0"}, ValueError),
    ({"group": "\ud800"}, ValueError),
    ({"dst_port": "5000"}, TypeError),
    ({"dst_port": 5000.0}, TypeError),
    ({"dst_port": 1 << 31}, OverflowError),
    ({"dst_port": -(1 << 31)}, OverflowError),
    ({"dst_port": -(1 << 31) - 1}, OverflowError),
    ({"source": 5}, TypeError),
    ({"source": "127.0.0.1\0"}, ValueError),
    ({"source_port": "x"}, TypeError),
    ({"source_port": 1 << 64}, OverflowError),
    ({"bind": 5}, TypeError),
    ({"bind": ("127.0.0.1",)}, TypeError),
    ({"bind": ("127.0.0.1", 65536)}, OverflowError),
    ({"bind": ("127.0.0.1", "x")}, TypeError),
    ({"interface": 1.5}, TypeError),
    ({"interface": "lo\0"}, ValueError),
    ({"interface": -1}, OverflowError),
    ({"interface_index": "1"}, TypeError),
    ({"interface_index": -1}, OverflowError),
    ({"interface_index": 1 << 32}, OverflowError),
    ({"ttl": "1"}, TypeError),
    ({"ttl": None}, TypeError),
    ({"ttl": 1 << 31}, OverflowError),
    ({"loopback": None}, TypeError),
    ({"loopback": "yes"}, TypeError),
    ({"mark": 1 << 63}, OverflowError),
    ({"send_buffer": 1 << 63}, OverflowError),
    ({"bind_device": 5}, TypeError),
    ({"bind_device": "l\0o"}, ValueError),
    ({"socket": "3"}, TypeError),
    ({"socket": 1 << 63}, OverflowError),
]


@pytest.mark.parametrize(("options", "error"), FORM, ids=lambda each: str(each)[:60])
@pytest.mark.usefixtures("no_leak")
def test_what_cannot_cross_is_refused_here(options: dict[str, Any], error: type[Exception]) -> None:
    with libmctx.Context() as context:
        with pytest.raises(error) as caught:
            context.add_publication(**{**GOOD, **options})
        assert not isinstance(caught.value, libmctx.MctxError)
        assert str(caught.value)
        assert context.publication_count() == 0


INTEGERS = st.one_of(st.integers(), st.integers(-(2**33), 2**33), st.integers(-300, 70_000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.sampled_from(["dst_port", "source_port", "ttl", "dscp", "priority", "mark"]), value=INTEGERS)
def test_no_integer_wraps(context: libmctx.Context, name: str, value: int) -> None:
    allowed = {"dst_port": (1, 65535), "source_port": (1, 65535), "ttl": (0, 255), "dscp": (0, 63)}
    low, high = allowed.get(name, (0, 6 if name == "priority" else 2**32 - 1))
    try:
        publication = context.add_publication(**{**GOOD, "interface": "lo", name: value})
    except libmctx.UsageError as error:
        assert not low <= value <= high
        assert error.value in (value, value % 2**64)
    except OverflowError:
        assert not -(2**31) < value < 2**31
    except (PermissionError, libmctx.AlreadyExistsError):
        assert low <= value <= high
    else:
        with publication:
            assert low <= value <= high
            got = {"ttl": publication.info().ttl, "dst_port": publication.dst_port}
            assert got.get(name, value) == value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=40))
def test_no_text_is_mistaken_for_an_interface(context: libmctx.Context, text: str) -> None:
    names = {each.name for each in libmctx.interfaces()} | {each.friendly_name for each in libmctx.interfaces()}
    if text in names:
        return
    with pytest.raises((libmctx.MctxError, ValueError)):
        context.add_publication(**GOOD, interface=text)


def test_timeouts_of_all_kinds_of_numbers(publication: libmctx.Publication) -> None:
    class Number(float):
        pass

    kinds: list[Any] = [0, 1, True, 0.5, Number(1), Fraction(1, 3), Decimal("0.01"), math.inf, 10**400, 5e-324]
    for timeout in kinds:
        assert publication.wait(timeout) is libmctx.Ready.WRITABLE
        assert publication.send_many([b"x"], timeout=timeout) == 1
    wrong: list[Any] = [
        -1,
        -0.5,
        Fraction(-1, 3),
        Decimal("-0.01"),
        Decimal("nan"),
        math.nan,
        -math.inf,
        -(10**400),
    ]
    for timeout in wrong:
        with pytest.raises(ValueError, match="timeout"):
            publication.wait(timeout)
    others: list[Any] = ["1", b"1", [], 1j, object()]
    for timeout in others:
        with pytest.raises(TypeError, match="timeout must be a number of seconds or None"):
            publication.wait(timeout)


def test_an_interface_that_is_down(context: libmctx.Context, down_interface: str) -> None:
    """Opening is no error; the send says it, names the interface, and is an error of the network."""
    publication = context.add_publication(GROUP4, 5000, interface=down_interface)
    with pytest.raises(libmctx.NetworkError) as caught:
        publication.send(b"x")
    assert isinstance(caught.value, OSError)
    assert down_interface in str(caught.value)
    assert caught.value.retry == "after_change"


def test_ids_that_are_none(context: libmctx.Context, publication: libmctx.Publication) -> None:
    with libmctx.Context() as other, other.add_publication(**GOOD, interface="lo") as foreign:
        for call in (context.get_publication, lambda number: context.send(number, b"x")):
            for unknown in (0, 5, publication.id + 1, foreign.id, 2**64 - 1):
                with pytest.raises(LookupError):
                    call(unknown)
            for bad in (-1, 2**64):
                with pytest.raises(OverflowError):
                    call(bad)
            with pytest.raises(TypeError):
                call("1")  # type: ignore[arg-type]
        assert context.remove_publication(foreign.id) is False
        assert context.remove_publication(5) is False
        foreign.send(b"still open")
    with pytest.raises(libmctx.NotFoundError):
        context.get_publication(5)


@pytest.mark.skipif(sys.platform != "linux", reason="numbers of Linux")
def test_a_port_in_use_has_its_errno(context: libmctx.Context) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with pytest.raises(libmctx.AlreadyExistsError) as caught:
            context.add_publication(**GOOD, source="127.0.0.1", source_port=port, interface_index=LOOPBACK)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.name == "address_in_use"


def test_metadata_that_is_none_of_it(context: libmctx.Context) -> None:
    with pytest.raises(libmctx.UsageError, match=r"there is no metadata 'tme' .*traffic_class"):
        context.add_subscription(0, metadata={"tme"})
    with pytest.raises(TypeError, match="metadata must be 'all' or a set of names, not NoneType"):
        context.add_subscription(0, metadata=None)  # type: ignore[arg-type]

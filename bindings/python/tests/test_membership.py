# SPDX-License-Identifier: MIT
"""Groups and filters: joining, leaving, allowing, blocking, what is read back; bad input and its errors."""

from __future__ import annotations

import errno
import ipaddress
import pickle
import socket
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import GROUP4, GROUP6, LOOPBACK, NO_NAMESPACE, Pair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import libmctx
from libmctx import Membership

SSM4, SSM6 = "232.77.1.1", "ff31::4d01"


@pytest.fixture
def subscription(context: libmctx.Context) -> libmctx.Subscription:
    """A subscription on the loopback interface without a group."""
    return context.add_subscription(0, interfaces="lo")


def filters(subscription: libmctx.Subscription) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return group, mode and sources of each membership."""
    return [(each.group, each.mode, each.sources) for each in subscription.memberships()]


def arrives(pair: Pair, timeout: float = 0.05) -> bool:
    """Return whether what the publication sends is received."""
    pair.publication.send(b"probe")
    try:
        assert pair.subscription.recv(timeout).payload == b"probe"
    except libmctx.TimedOutError:
        return False
    return True


def test_what_is_read_back(subscription: libmctx.Subscription) -> None:
    assert subscription.memberships() == []
    subscription.join(GROUP4)
    subscription.join(SSM4, sources=["10.0.0.5", "10.0.0.1"])
    subscription.join(ipaddress.ip_address(GROUP6), interface=LOOPBACK, exclude=ipaddress.ip_address("fd00::1"))
    first, second, third = subscription.memberships()
    assert (first.group, first.mode, first.sources) == (GROUP4, "exclude", ())
    assert (second.group, second.mode, second.sources) == (SSM4, "include", ("10.0.0.1", "10.0.0.5"))
    assert (third.group, third.mode, third.sources) == (GROUP6, "exclude", ("fd00::1",))
    assert len({first.id, second.id, third.id}) == 3
    assert {each.interface_index for each in (first, second, third)} == {LOOPBACK}
    assert first.interface_names == ("lo",)
    assert third.interface_names == (f"#{LOOPBACK}",)
    for each in (first, second, third):
        assert (each.default, each.absent, each.filtered, each.sourceless) == (False, False, False, False)
        assert (each.refused, each.datagrams, each.bytes, each.first, each.last) == (None, 0, 0, None, None)
        assert pickle.loads(pickle.dumps(each)) == each
    assert subscription.info().membership_count == 3


def test_a_membership_counts_what_it_delivered(pair: Pair) -> None:
    pair.publication.send_many([b"abc", b"de"])
    pair.subscription.recv(5)
    pair.subscription.recv(5)
    (membership,) = pair.subscription.memberships()
    assert (membership.datagrams, membership.bytes) == (2, 5)
    assert membership.first is not None
    assert 0 <= membership.first < 60
    assert membership.last is not None
    assert 0 <= membership.last < 60


def test_join_and_leave(context: libmctx.Context, pair: Pair) -> None:
    assert arrives(pair)
    pair.publication.send(b"too late")
    pair.subscription.leave(pair.group)
    assert pair.subscription.memberships() == []
    assert not arrives(pair)
    pair.subscription.join(pair.group)
    assert arrives(pair)
    pair.subscription.leave(pair.group, "lo")
    with pytest.raises(libmctx.NotFoundError) as caught:
        pair.subscription.leave(pair.group)
    assert caught.value.name == "membership_not_found"
    assert isinstance(caught.value, LookupError)


def test_sources_are_let_through_and_shut_out(pair: Pair) -> None:
    other = "127.9.9.9" if pair.family == "ipv4" else "fd00::9"
    subscription, group = pair.subscription, pair.group
    subscription.block(group, pair.source)
    assert not arrives(pair)
    subscription.allow(group, pair.source)
    assert arrives(pair)
    subscription.block(group, other, interface="lo")
    assert arrives(pair)
    subscription.set_filter(group, sources=[other])
    assert not arrives(pair)
    with pytest.raises(libmctx.UsageError) as caught:
        subscription.block(group, other)
    assert caught.value.name == "filter_mode"
    subscription.allow(group, pair.source)
    assert arrives(pair)
    assert filters(subscription) == [
        (group, "include", tuple(sorted([pair.source, other], key=ipaddress.ip_address)))
    ]
    subscription.set_filter(group, exclude=[pair.source], interface="lo")
    assert not arrives(pair)
    subscription.set_filter(group)
    assert arrives(pair)
    assert filters(subscription) == [(group, "exclude", ())]


def test_join_many_is_all_or_none(subscription: libmctx.Subscription) -> None:
    subscription.join_many(
        [GROUP4, Membership(SSM4, sources="10.0.0.1"), Membership(GROUP6, "lo", exclude=["fd00::1"])]
    )
    before = filters(subscription)
    assert len(before) == 3
    with pytest.raises(libmctx.UsageError) as caught:
        subscription.join_many(["239.255.77.2", "239.255.77.3", "192.0.2.1"])
    assert (caught.value.name, caught.value.item, caught.value.field) == ("group_not_multicast", 2, "group")
    with pytest.raises(libmctx.NotFoundError) as missing:
        subscription.join_many(["239.255.77.2", Membership("239.255.77.3", "no-such-if")])
    assert (missing.value.name, missing.value.item, missing.value.field) == (
        "interface_not_found",
        1,
        "interface",
    )
    assert filters(subscription) == before
    subscription.join_many([])
    subscription.leave_many([])
    with pytest.raises(libmctx.NotFoundError) as never:
        subscription.leave_many([GROUP4, Membership(GROUP6, "lo"), "239.255.77.2"])
    assert (never.value.name, never.value.item) == ("membership_not_found", 2)
    assert filters(subscription) == before
    subscription.leave_many([GROUP4, Membership(GROUP6, "lo")])
    assert filters(subscription) == before[1:2]
    subscription.join(Membership("239.255.77.2", exclude="10.0.0.1"))
    assert filters(subscription)[-1] == ("239.255.77.2", "exclude", ("10.0.0.1",))
    subscription.leave(Membership("239.255.77.2"))
    with pytest.raises(TypeError, match="itself"):
        subscription.join(Membership("239.255.77.2"), sources=["10.0.0.1"])
    for bad in (None, 5):
        with pytest.raises(TypeError, match="groups"):
            subscription.join_many(bad)  # type: ignore[arg-type]


def test_open_with_filters(context: libmctx.Context) -> None:
    subscription = context.add_subscription(
        0,
        [
            GROUP4,
            Membership("239.255.77.2", exclude=["10.0.0.9"]),
            Membership("239.255.77.3", interface="127.0.0.1"),
        ],
        interfaces="lo",
        sources=["10.0.0.5", "10.0.0.6"],
    )
    assert filters(subscription) == [
        (GROUP4, "include", ("10.0.0.5", "10.0.0.6")),
        ("239.255.77.2", "exclude", ("10.0.0.9",)),
        ("239.255.77.3", "include", ("10.0.0.5", "10.0.0.6")),
    ]
    assert subscription.memberships()[2].interface_names == ("127.0.0.1",)
    shut = context.add_subscription(0, GROUP4, interfaces=["lo"], exclude="10.0.0.5")
    assert filters(shut) == [(GROUP4, "exclude", ("10.0.0.5",))]


@pytest.mark.parametrize(
    "interfaces",
    ["lo", LOOPBACK, "127.0.0.1", ipaddress.ip_address("127.0.0.1"), ["lo"], ("lo", LOOPBACK), {"127.0.0.1"}],
)
def test_interfaces_by_everything_that_names_them(context: libmctx.Context, interfaces: Any) -> None:
    (membership,) = context.add_subscription(0, GROUP4, interfaces=interfaces).memberships()
    assert membership.interface_index == LOOPBACK
    if isinstance(interfaces, tuple):
        assert membership.interface_names == ("lo", f"#{LOOPBACK}")
    by_object = context.add_subscription(0, GROUP4, interfaces=libmctx.find_interface("lo"))
    assert by_object.memberships()[0].interface_index == LOOPBACK


@pytest.mark.skipif(bool(NO_NAMESPACE), reason=NO_NAMESPACE)
def test_it_agrees_with_the_kernel(subscription: libmctx.Subscription) -> None:
    def kernel() -> str:
        return Path("/proc/self/net/mcfilter").read_text()

    subscription.join(SSM4, sources=["10.0.0.5"])
    assert "0xe84d0101" in kernel()
    assert "0x0a000005" in kernel()
    subscription.allow(SSM4, "10.0.0.6")
    assert "0x0a000006" in kernel()
    subscription.leave(SSM4)
    assert "0xe84d0101" not in kernel()


@pytest.fixture
def two_interfaces() -> Iterator[tuple[str, str]]:
    """The names of two interfaces that are up."""
    if NO_NAMESPACE:
        pytest.skip(NO_NAMESPACE)
    subprocess.run(["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1"], check=True)
    for number in range(2):
        subprocess.run(f"ip address add 10.79.{number}.1/24 dev up{number}".split(), check=True)
        subprocess.run(f"ip link set up{number} up".split(), check=True)
    yield "up0", "up1"
    subprocess.run(["ip", "link", "del", "up0"], check=False, capture_output=True)


def test_the_default_set(context: libmctx.Context, two_interfaces: tuple[str, str]) -> None:
    subscription = context.add_subscription(0, GROUP4)
    memberships = {each.interface_names[0]: each for each in subscription.memberships()}
    assert set(two_interfaces) <= set(memberships)
    assert "lo" not in memberships
    assert all(each.default for each in memberships.values())
    subscription.leave(GROUP4, two_interfaces[0])
    assert two_interfaces[0] not in {each.interface_names[0] for each in subscription.memberships()}


def test_a_scope_names_an_interface(context: libmctx.Context, two_interfaces: tuple[str, str]) -> None:
    subscription = context.add_subscription(0)
    subscription.join(f"ff12::1%{two_interfaces[0]}")
    subscription.join(f"ff12::2%{two_interfaces[0]}", interface=two_interfaces[0])  # says the same twice
    assert {each.interface_index for each in subscription.memberships()} == {
        socket.if_nametoindex(two_interfaces[0])
    }
    with pytest.raises(libmctx.UsageError) as caught:
        subscription.join(f"ff12::3%{two_interfaces[0]}", interface=two_interfaces[1])
    assert (caught.value.name, caught.value.field) == ("option_conflict", "group")


def test_an_interface_that_goes_and_comes_back(
    context: libmctx.Context, two_interfaces: tuple[str, str]
) -> None:
    subscription = context.add_subscription(0, GROUP4, interfaces=two_interfaces[1])
    assert subscription.info().follows_interfaces
    subprocess.run(["ip", "link", "del", "up0"], check=True)
    (lost,) = subscription.events()
    assert (lost.type, lost.id, lost.value) == ("interface_lost", subscription.id, 1)
    (membership,) = subscription.memberships()
    assert (membership.absent, membership.interface_index) == (True, 0)
    subprocess.run(["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1"], check=True)
    (rebuilt,) = context.events()
    assert (rebuilt.type, rebuilt.value) == ("rebuilt", 1)
    (membership,) = subscription.memberships()
    assert (membership.absent, membership.interface_index) == (False, socket.if_nametoindex("up1"))
    assert rebuilt.interface_index == membership.interface_index
    assert subscription.stats().memberships_rebuilt == 1


def test_an_interface_that_is_down_is_no_error(context: libmctx.Context, down_interface: str) -> None:
    subscription = context.add_subscription(0, [GROUP4, GROUP6], interfaces=down_interface)
    assert [each.refused for each in subscription.memberships()] == [None, None]


def test_no_interface_is_an_event(context: libmctx.Context) -> None:
    if any(each.supports_multicast and each.is_up and not each.is_loopback for each in libmctx.interfaces()):
        pytest.skip("this host has an interface for multicast")
    subscription = context.add_subscription(0, GROUP4)
    assert subscription.memberships() == []
    (event,) = subscription.events()
    assert event.type == "no_interface"
    assert event.address is not None
    assert event.address.addr == GROUP4
    with pytest.raises(libmctx.TimedOutError):
        subscription.recv(0.01)


# ---- source-specific groups without a source ----


def here() -> str:
    return Path(__file__).name


@pytest.mark.parametrize("group", [SSM4, SSM6, "ff3e::8000:1"])
@pytest.mark.parametrize("how", ["add", "join", "membership", "join_many", "exclude", "set_filter"])
def test_a_source_specific_group_without_sources_warns_once(
    context: libmctx.Context, group: str, how: str
) -> None:
    source = "10.0.0.5" if "." in group else "fd00::5"
    subscription = context.add_subscription(0, interfaces="lo")
    if how == "set_filter":
        subscription.join(group, sources=source)
    calls: dict[str, Callable[[], object]] = {
        "add": lambda: context.add_subscription(0, [group, GROUP4], interfaces="lo"),
        "join": lambda: subscription.join(group),
        "membership": lambda: subscription.join(Membership(group)),
        "join_many": lambda: subscription.join_many([GROUP4, group]),
        "exclude": lambda: subscription.join(group, exclude=source),
        "set_filter": lambda: subscription.set_filter(group),
    }
    with pytest.warns(libmctx.MulticastWarning) as caught:
        made = calls[how]()
    assert len(caught) == 1
    assert Path(caught[0].filename).name == here()
    assert group in str(caught[0].message)
    assert issubclass(libmctx.MulticastWarning, UserWarning)
    joined = made if isinstance(made, libmctx.Subscription) else subscription
    (membership,) = (each for each in joined.memberships() if each.group == group)
    assert membership.sourceless
    assert how == "set_filter" or "sourceless" in {each.type for each in joined.events()}


def test_with_sources_nothing_warns(context: libmctx.Context) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subscription = context.add_subscription(0, [SSM4], interfaces="lo", sources="10.0.0.5")
        subscription.join(SSM6, sources=["fd00::5"])
        subscription.join("ff35:40:fd00::1")  # not of ff3x::/32
    assert not any(each.sourceless for each in subscription.memberships())


def test_a_warning_that_is_an_error_leaves_nothing_joined(context: libmctx.Context) -> None:
    subscription = context.add_subscription(0, interfaces="lo")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(libmctx.MulticastWarning):
            subscription.join(SSM4)
        with pytest.raises(libmctx.MulticastWarning):
            context.add_subscription(0, SSM4, interfaces="lo")
    assert subscription.memberships() == []
    assert context.subscription_count() == 1


# ---- bad input ----

MEANING: list[tuple[dict[str, Any], str, str]] = [
    ({"groups": "192.0.2.1"}, "group_not_multicast", "group"),
    ({"groups": "nonsense"}, "address_syntax", "group"),
    ({"groups": [GROUP4, ""]}, "address_syntax", "group"),
    ({"groups": "ff12::1%no-such-if"}, "interface_not_found", "group"),
    ({"groups": f"{GROUP4}:5001", "port": 5000}, "option_conflict", "group"),
    ({"groups": [GROUP4, GROUP4]}, "membership_exists", "group"),
    ({"groups": [GROUP4, Membership(GROUP4, sources="10.0.0.1")]}, "filter_differs", "group"),
    ({"port": -1}, "port_range", "port"),
    ({"port": 65536}, "port_range", "port"),
    ({"port": None}, "port_zero", "port"),
    ({"sources": "10.0.0.1", "exclude": "10.0.0.2"}, "option_conflict", "exclude"),
    ({"groups": Membership(GROUP4, sources="10.0.0.1", exclude="10.0.0.2")}, "option_conflict", "exclude"),
    ({"groups": (), "sources": "10.0.0.1"}, "option_conflict", "sources"),
    ({"groups": (), "exclude": ["10.0.0.1"]}, "option_conflict", "exclude"),
    ({"groups": Membership(GROUP4, sources="10.0.0.1"), "exclude": "10.0.0.2"}, "option_conflict", "exclude"),
    ({"sources": []}, "source_required", "sources"),
    ({"sources": ["10.0.0.1", "10.0.0.1"]}, "source_repeated", "sources"),
    ({"exclude": ["10.0.0.1", "10.0.0.1"]}, "source_repeated", "exclude"),
    ({"sources": "fd00::1"}, "source_family", "sources"),
    ({"exclude": "fd00::1"}, "source_family", "exclude"),
    ({"sources": "239.1.1.1"}, "source_multicast", "sources"),
    ({"sources": "0.0.0.0"}, "source_unspecified", "sources"),
    ({"sources": "nonsense"}, "address_syntax", "sources"),
    ({"exclude": "nonsense"}, "address_syntax", "exclude"),
    ({"interfaces": []}, "invalid_argument", "interfaces"),
    ({"interfaces": "no-such-if"}, "interface_not_found", "interfaces"),
    ({"interfaces": ["lo", 999_999]}, "interface_not_found", "interfaces"),
    ({"interfaces": "192.0.2.77"}, "interface_not_found", "interfaces"),
    ({"interfaces": "192.0.2.300"}, "address_syntax", "interfaces"),
    ({"interfaces": ["lo", "0.0.0.0"]}, "interface_unspecified", "interfaces"),
    ({"interfaces": "239.1.1.1"}, "interface_multicast", "interfaces"),
    ({"interfaces": 0}, "interface_index_zero", "interfaces"),
    ({"groups": Membership(GROUP4, interface=0)}, "interface_index_zero", "interface"),
    ({"groups": Membership(GROUP4, interface="no-such-if")}, "interface_not_found", "interface"),
    ({"reuse_port": 2}, "invalid_argument", "reuse_port"),
    ({"coalescing": -1}, "invalid_argument", "coalescing"),
    ({"receive_buffer": -1}, "invalid_argument", "receive_buffer"),
    ({"receive_buffer": 1 << 40}, "invalid_argument", "receive_buffer"),
    ({"binding": "tight"}, "invalid_argument", "binding"),
    ({"metadata": "colour"}, "invalid_argument", "metadata"),
    ({"metadata": ["source", "colour"]}, "invalid_argument", "metadata"),
]


@pytest.mark.parametrize(("options", "name", "field"), MEANING, ids=lambda each: str(each)[:60])
@pytest.mark.usefixtures("no_leak")
def test_meaning(options: dict[str, Any], name: str, field: str) -> None:
    options = {"port": 0, "groups": GROUP4, "interfaces": "lo", **options}
    if (interface := options.pop("interface", None)) is not None:
        options["groups"] = Membership(options["groups"], interface)
    with libmctx.Context() as context:
        with pytest.raises(libmctx.MctxError) as caught:
            context.add_subscription(**options)
        assert (caught.value.name, caught.value.field) == (name, field)
        assert caught.value.hint
        assert "MCTX_" not in str(caught.value)
        assert context.subscription_count() == 0


FORM: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"groups": None}, TypeError),
    ({"groups": 5}, TypeError),
    ({"groups": [None]}, TypeError),
    ({"groups": [b"239.1.1.1"]}, TypeError),
    ({"groups": "239.1.1.1\0"}, ValueError),
    ({"port": "5000"}, TypeError),
    ({"port": 1 << 31}, OverflowError),
    ({"interfaces": 1.5}, TypeError),
    ({"interfaces": [None]}, TypeError),
    ({"interfaces": b"lo"}, TypeError),
    ({"interfaces": "lo\0"}, ValueError),
    ({"interfaces": -1}, OverflowError),
    ({"sources": 5}, TypeError),
    ({"sources": [5]}, TypeError),
    ({"exclude": [None]}, TypeError),
    ({"receive_buffer": "big"}, TypeError),
    ({"receive_buffer": 1 << 63}, OverflowError),
    ({"max_group_sockets": -1}, OverflowError),
    ({"max_group_sockets": 1 << 32}, OverflowError),
    ({"reuse_port": "yes"}, TypeError),
    ({"coalescing": None}, TypeError),
    ({"metadata": None}, TypeError),
    ({"binding": None}, TypeError),
    ({"binding": ["auto"]}, TypeError),
]


@pytest.mark.parametrize(("options", "error"), FORM, ids=lambda each: str(each)[:60])
@pytest.mark.usefixtures("no_leak")
def test_form(options: dict[str, Any], error: type[Exception]) -> None:
    with libmctx.Context() as context:
        with pytest.raises(error) as caught:
            context.add_subscription(**{"port": 0, "groups": GROUP4, "interfaces": "lo", **options})
        assert not isinstance(caught.value, libmctx.MctxError)
        assert context.subscription_count() == 0


def test_what_changes_refuse(subscription: libmctx.Subscription) -> None:
    subscription.join(GROUP4)
    subscription.join("239.255.77.2", sources="10.0.0.1")
    cases: list[tuple[Callable[[], object], str, str]] = [
        (lambda: subscription.join(GROUP4), "membership_exists", "group"),
        (lambda: subscription.join(GROUP4, exclude="10.0.0.1"), "filter_differs", "group"),
        (lambda: subscription.join("10.0.0.1"), "group_not_multicast", "group"),
        (lambda: subscription.join("239.255.77.3", sources=[]), "source_required", "sources"),
        (lambda: subscription.join("239.255.77.3", exclude="fd00::1"), "source_family", "exclude"),
        (lambda: subscription.join("239.255.77.3", "no-such-if"), "interface_not_found", "interface"),
        (
            lambda: subscription.join("239.255.77.3", sources="10.0.0.1", exclude=[]),
            "option_conflict",
            "exclude",
        ),
        (lambda: subscription.leave("239.255.77.3"), "membership_not_found", "group"),
        (lambda: subscription.leave("nonsense"), "address_syntax", "group"),
        (lambda: subscription.leave(Membership(GROUP4, sources="10.0.0.1")), "option_conflict", "sources"),
        (lambda: subscription.block(GROUP4, "nonsense"), "address_syntax", "source"),
        (lambda: subscription.block(GROUP4, "fd00::1"), "source_family", "source"),
        (lambda: subscription.block("239.255.77.2", "10.0.0.1"), "filter_mode", "group"),
        (lambda: subscription.block("239.255.77.3", "10.0.0.1"), "membership_not_found", "group"),
        (lambda: subscription.allow(GROUP4, "10.0.0.1"), "source_not_found", "source"),
        (lambda: subscription.allow("239.255.77.2", "10.0.0.1"), "source_exists", "source"),
        (lambda: subscription.allow("239.255.77.2", "239.1.1.1"), "source_multicast", "source"),
        (lambda: subscription.set_filter(GROUP4, sources=[]), "source_required", "sources"),
        (lambda: subscription.set_filter(GROUP4, exclude=["10.0.0.1"] * 2), "source_repeated", "exclude"),
        (lambda: subscription.set_filter("239.255.77.3"), "membership_not_found", "group"),
        (
            lambda: subscription.set_filter(GROUP4, sources="1.1.1.1", exclude="1.1.1.1"),
            "option_conflict",
            "exclude",
        ),
    ]
    before = subscription.memberships()
    for call, name, field in cases:
        with pytest.raises(libmctx.MctxError) as caught:
            call()
        assert (caught.value.name, caught.value.field) == (name, field), (name, field)
        assert caught.value.hint, name
    subscription.block(GROUP4, "10.0.0.9")
    with pytest.raises(libmctx.AlreadyExistsError) as twice:
        subscription.block(GROUP4, "10.0.0.9")
    assert (twice.value.name, twice.value.field) == ("source_exists", "source")
    subscription.allow(GROUP4, "10.0.0.9")
    assert subscription.memberships() == before
    for bad in (None, 5, b"10.0.0.1"):
        with pytest.raises(TypeError, match="source"):
            subscription.block(GROUP4, bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="group"):
            subscription.leave(bad)  # type: ignore[arg-type]


def test_a_port_in_use(context: libmctx.Context) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.bind(("", 0))
        port = program.getsockname()[1]
        for reuse in (False, True):
            with pytest.raises(libmctx.AlreadyExistsError) as caught:
                context.add_subscription(port, GROUP4, interfaces="lo", reuse_port=reuse)
            assert caught.value.name == "address_in_use"
            assert caught.value.errno == errno.EADDRINUSE
    assert context.subscription_count() == 0
    alone = context.add_subscription(0, GROUP4, interfaces="lo", reuse_port=False)
    with pytest.raises(libmctx.AlreadyExistsError):
        context.add_subscription(alone.port, GROUP4, interfaces="lo")


def test_max_is_at_least_one(subscription: libmctx.Subscription) -> None:
    subscription.join(GROUP4)
    with pytest.raises(libmctx.UsageError) as caught:
        subscription.recv_many(0)
    assert caught.value.field == "max"
    for bad, error in ((-1, OverflowError), (1 << 32, OverflowError), ("5", TypeError), (1.5, TypeError)):
        with pytest.raises(error):
            subscription.recv_many(bad)  # type: ignore[arg-type]


def test_nothing_joined_and_no_end(context: libmctx.Context) -> None:
    subscription = context.add_subscription(0)
    calls: list[Callable[[], object]] = [
        subscription.recv,
        subscription.recv_many,
        lambda: subscription.recv_many(600, copy=False),
        lambda: subscription.recv_into(bytearray(5)),
        subscription.wait,
        lambda: next(iter(subscription)),
    ]
    for call in calls:
        with pytest.raises(libmctx.UsageError) as caught:
            call()
        assert (caught.value.name, caught.value.field) == ("nothing_joined", "timeout")
    for timeout, error in ((0, libmctx.WouldBlockError), (0.01, libmctx.TimedOutError)):
        with pytest.raises(error):
            subscription.recv(timeout)
    subscription.join(GROUP4, "lo")
    with pytest.raises(libmctx.TimedOutError):
        subscription.recv(0.01)
    context.add_publication(GROUP4, subscription.port, interface="127.0.0.1").send(b"x")
    assert subscription.recv().payload == b"x"
    subscription.leave(GROUP4)
    for call in calls:
        with pytest.raises(libmctx.UsageError):
            call()


MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@MANY
@given(st.data())
def test_any_changes_keep_to_a_model(context: libmctx.Context, data: st.DataObject) -> None:
    """After any sequence of changes, what is read back is what the successful ones add up to."""
    groups = [f"239.255.77.{number}" for number in range(1, 4)]
    sources = [f"10.0.0.{number}" for number in range(1, 4)]
    model: dict[str, tuple[str, set[str]]] = {}
    with context.add_subscription(0, interfaces="lo") as subscription:
        for _ in range(data.draw(st.integers(1, 12))):
            group, source = data.draw(st.sampled_from(groups)), data.draw(st.sampled_from(sources))
            listed = data.draw(st.sets(st.sampled_from(sources)))
            mode = data.draw(st.sampled_from(["sources", "exclude"]))
            action = data.draw(st.sampled_from(["join", "leave", "allow", "block", "set_filter"]))
            wanted = ("include" if mode == "sources" else "exclude", set(listed))
            how_listed: Any = {mode: listed}
            try:
                if action == "join":
                    subscription.join(group, **how_listed)
                    assert group not in model
                    model[group] = wanted
                elif action == "leave":
                    subscription.leave(group)
                    del model[group]
                elif action == "set_filter":
                    subscription.set_filter(group, **how_listed)
                    assert group in model
                    model[group] = wanted
                elif action == "allow":
                    subscription.allow(group, source)
                    how, those = model[group]
                    (those.add if how == "include" else those.remove)(source)
                else:
                    subscription.block(group, source)
                    how, those = model[group]
                    assert how == "exclude"
                    assert source not in those
                    those.add(source)
            except libmctx.MctxError as error:
                assert error.name in (
                    "membership_exists",
                    "filter_differs",
                    "membership_not_found",
                    "source_exists",
                    "source_not_found",
                    "source_required",
                    "filter_mode",
                )
            read = {each.group: (each.mode, set(each.sources)) for each in subscription.memberships()}
            assert read == model

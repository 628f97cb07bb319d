# SPDX-License-Identifier: MIT
"""Receiving from Python on libmctx-sim: any messages, failures of the system, changes of the interfaces."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation import (
    ALLOCATE,
    BIND,
    EVENT_OPEN,
    FILTER,
    INTERFACES,
    JOIN,
    POLLER,
    QUEUE,
    RECEIVE,
    SOCKET_OPEN,
    SOCKET_OPTION,
    WATCH,
    deliver,
    fault,
    held,
    set_interface,
    sim,
)

import libmctx
from libmctx import _ffi

GROUP, GROUP6 = "239.1.1.1", "ff15::1"
REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def context() -> Iterator[libmctx.Context]:
    """A context on a fresh network."""
    sim.mctx_sim_reset()
    before = held()
    with libmctx.Context() as context:
        yield context
    sim.mctx_sim_clear_faults()
    assert held() == before
    assert sim.mctx_sim_misuses() == 0


@pytest.fixture
def subscription(context: libmctx.Context) -> libmctx.Subscription:
    """A subscription to one group on eth0."""
    return context.add_subscription(5000, GROUP, interfaces="eth0")


def test_a_message_and_all_that_is_told_of_it(
    context: libmctx.Context, subscription: libmctx.Subscription
) -> None:
    assert deliver(b"hello", f"{GROUP}:5000", hop_limit=9, traffic_class=0b10111001) == 1
    datagram = subscription.recv()
    assert datagram.payload == b"hello"
    assert datagram.source == ("10.0.0.5", 4000)
    assert (datagram.group, datagram.port, datagram.interface) == (GROUP, 5000, 2)
    assert datagram.interface_name == "eth0"
    assert (datagram.hop_limit, datagram.dscp, datagram.ecn) == (9, 46, 1)
    six = context.add_subscription(5000, GROUP6, interfaces="eth1")
    deliver(b"six", f"[{GROUP6}]:5000", "[fe80::9%3]:4000", interface=3)
    datagram = six.recv()
    assert datagram.source == ("fe80::9", 4000)
    assert datagram.source_scope_id == 3
    assert datagram.source_endpoint == libmctx.Endpoint("fe80::9", 4000, 3)
    assert ipaddress.ip_address(str(datagram.group)) == ipaddress.ip_address(GROUP6)


def test_the_name_of_an_interface_that_went_away(subscription: libmctx.Subscription) -> None:
    deliver(b"x", f"{GROUP}:5000")
    datagram = subscription.recv()
    assert sim.mctx_sim_interface_remove(2)
    assert datagram.interface == 2
    assert datagram.interface_name is None


@REUSE
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 9)), min_size=1, max_size=12), st.data())
def test_coalesced_messages_come_apart_rightly(
    context: libmctx.Context, messages: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Of any segment size and last segment, received in any way."""
    with context.add_subscription(5000, GROUP, interfaces="eth0") as subscription:
        expected: list[bytes] = []
        for number, (size, count) in enumerate(messages):
            last = data.draw(st.integers(1, size))
            whole = bytes([number]) * (size * count + last)
            whole = whole[:65_000]
            expected += [whole[start : start + size] for start in range(0, len(whole), size)]
            assert deliver(whole, f"{GROUP}:5000", segment_size=size if len(whole) > size else 0) == 1
        received: list[bytes] = []
        while len(received) < len(expected):
            how = data.draw(st.integers(0, 4))
            if how == 0:
                received.append(subscription.recv(0).payload)
            elif how == 1:
                received += [bytes(each) for each in subscription.recv_many(data.draw(st.integers(1, 600)), 0)]
            elif how == 2:
                received += [bytes(each) for each in subscription.recv_many(600, 0, copy=False)]
            elif how == 3:
                buffer = bytearray(65_536)
                count, info = subscription.recv_into(buffer, 0)
                assert info.length == count
                received.append(bytes(buffer[:count]))
            else:
                for each in subscription:
                    received.append(each.payload)
                    break
        assert received == expected
        with pytest.raises(libmctx.WouldBlockError):
            subscription.recv(0)


def test_recv_into_holds_the_rest_of_a_coalesced_message(subscription: libmctx.Subscription) -> None:
    deliver(b"aaaabbbbcccc", f"{GROUP}:5000", segment_size=4)
    buffer = bytearray(2)
    for letter in (b"aa", b"bb"):
        count, info = subscription.recv_into(buffer, 0)
        assert (count, bytes(buffer), info.truncated, info.length) == (2, letter, True, 4)
    assert subscription.wait(0) == libmctx.Ready.READABLE
    assert subscription.recv(0).payload == b"cccc"


CLASSES = {
    "io": (libmctx.IoError, errno.EIO),
    "no_memory": (libmctx.LimitError, None),
    "permission": (libmctx.PermissionDeniedError, errno.EPERM),
}
RECEIVES: dict[str, Callable[[libmctx.Subscription, float | None], object]] = {
    "recv": lambda each, timeout: each.recv(timeout),
    "recv_many": lambda each, timeout: each.recv_many(600, timeout),
    "few": lambda each, timeout: each.recv_many(3, timeout),
    "views": lambda each, timeout: each.recv_many(600, timeout, copy=False),
    "recv_into": lambda each, timeout: each.recv_into(bytearray(9), timeout),
    "async": lambda each, timeout: asyncio.run(libmctx.AsyncSubscription(each).recv(timeout)),
    "async many": lambda each, timeout: asyncio.run(libmctx.AsyncSubscription(each).recv_many(600, timeout)),
}


@pytest.mark.parametrize("status", CLASSES)
@pytest.mark.parametrize("how", RECEIVES)
@pytest.mark.parametrize("timeout", [0, 1.0])
def test_a_failure_of_the_system_is_raised(
    subscription: libmctx.Subscription, status: str, how: str, timeout: float
) -> None:
    deliver(b"x", f"{GROUP}:5000")
    fault(1, status, call=RECEIVE)
    with pytest.raises(CLASSES[status][0]) as caught:
        RECEIVES[how](subscription, timeout)
    assert caught.value.name == status
    assert isinstance(caught.value, OSError)
    assert subscription.recv(0).payload == b"x"


@pytest.mark.parametrize("count", [3, 600])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_failure_after_datagrams_comes_with_the_next_receive(
    subscription: libmctx.Subscription, count: int, after: int
) -> None:
    for number in range(5):
        deliver(b"%d" % number, f"{GROUP}:5000")
    fault(after + 1, "io", call=RECEIVE)
    received, failures = [each.payload for each in subscription.recv_many(count, 0)], 0
    while len(received) < 5 or not failures:
        try:
            received += [each.payload for each in subscription.recv_many(count, 0)]
        except libmctx.IoError:
            failures += 1
    assert received == [b"%d" % number for number in range(5)]
    assert failures == 1
    with pytest.raises(libmctx.WouldBlockError):
        subscription.recv_many(count, 0)


@pytest.mark.parametrize(
    "call", [ALLOCATE, INTERFACES, EVENT_OPEN, SOCKET_OPEN, SOCKET_OPTION, BIND, JOIN, POLLER, WATCH]
)
def test_an_open_that_fails_leaves_nothing(context: libmctx.Context, call: int) -> None:
    before, tried = held(), 0
    for nth in range(1, 200):
        sim.mctx_sim_clear_faults()
        fault(nth, "no_memory", call=call)
        tried += 1
        try:
            context.add_subscription(5000, [GROUP, GROUP6], interfaces=["eth0", "eth1"]).close()
        except libmctx.LimitError as error:
            assert error.name == "no_memory"
        else:
            break
        assert context.subscription_count() == 0
        assert held() == before
    assert tried > 1
    assert held() == before


@pytest.mark.parametrize("call", [ALLOCATE, INTERFACES, SOCKET_OPEN, BIND, JOIN, FILTER])
def test_a_change_that_fails_changes_nothing(subscription: libmctx.Subscription, call: int) -> None:
    changes: list[Callable[[], None]] = [
        lambda: subscription.join_many(
            ["239.1.1.2", libmctx.Membership("239.1.1.3", sources=["10.0.0.7", "10.0.0.8"])]
        ),
        lambda: subscription.block("239.1.1.2", "10.0.0.9"),
        lambda: subscription.allow("239.1.1.3", "10.0.0.9"),
        lambda: subscription.set_filter("239.1.1.2", sources=["10.0.0.1"]),
    ]
    for change in changes:
        before, has = subscription.memberships(), held()
        for nth in range(1, 200):
            sim.mctx_sim_clear_faults()
            fault(nth, "no_memory", call=call)
            try:
                change()
            except libmctx.LimitError:
                assert subscription.memberships() == before
                assert held() == has
            else:
                break
        else:
            raise AssertionError("it never succeeds")
    sim.mctx_sim_clear_faults()


def test_drops_are_told_and_counted(context: libmctx.Context) -> None:
    assert sim.mctx_sim_limit_set(QUEUE, 3)
    subscription = context.add_subscription(5000, GROUP, interfaces="eth0")
    for number in range(10):
        deliver(b"%d" % number, f"{GROUP}:5000")
    assert len(subscription.recv_many(600, 0)) == 3
    deliver(b"next", f"{GROUP}:5000")
    assert subscription.recv().drops == 7
    assert subscription.stats().kernel_drops == 7
    (event,) = subscription.events()
    assert (event.type, event.value) == ("drops", 7)


def test_a_batch_says_that_events_wait(subscription: libmctx.Subscription) -> None:
    deliver(b"a", f"{GROUP}:5000")
    assert not subscription.recv_many(600).has_events
    subscription.join("232.1.1.1", sources=["10.0.0.5"])
    with pytest.warns(libmctx.MulticastWarning):
        subscription.join("232.1.1.2")
    deliver(b"a", f"{GROUP}:5000")
    batch = subscription.recv_many(600)
    assert batch.has_events
    (event,) = subscription.events()
    assert event.type == "sourceless"
    assert event.address is not None
    assert event.address.addr == "232.1.1.2"
    deliver(b"a", f"{GROUP}:5000")
    assert not subscription.recv_many(600).has_events


# ---- interfaces that come and go ----


def test_a_named_interface_that_goes_and_comes_back(subscription: libmctx.Subscription) -> None:
    assert sim.mctx_sim_interface_remove(2)
    (event,) = subscription.events()
    assert (event.type, event.interface_index, event.value, event.id) == (
        "interface_lost",
        2,
        1,
        subscription.id,
    )
    (membership,) = subscription.memberships()
    assert (membership.absent, membership.interface_index, membership.interface_names) == (True, 0, ("eth0",))
    with pytest.raises(libmctx.TimedOutError):
        subscription.recv(1.0)
    set_interface(7, "eth0")
    (event,) = subscription.events()
    assert (event.type, event.interface_index, event.value) == ("rebuilt", 7, 1)
    (membership,) = subscription.memberships()
    assert (membership.absent, membership.interface_index) == (False, 7)
    assert deliver(b"again", f"{GROUP}:5000", interface=7) == 1
    assert subscription.recv().payload == b"again"


def test_the_default_set_is_followed(context: libmctx.Context) -> None:
    live = context.add_subscription(5000, GROUP)
    frozen = context.add_subscription(5000, GROUP, frozen=True)
    assert [each.interface_names for each in live.memberships()] == [("eth0",), ("eth1",)]
    assert all(each.default for each in live.memberships())
    set_interface(4, "eth2")
    (event,) = live.events()
    assert (event.type, event.interface_index, event.value) == ("interface_appeared", 4, 1)
    assert [each.interface_index for each in live.memberships()] == [2, 3, 4]
    assert [each.interface_index for each in frozen.memberships()] == [2, 3]
    assert sim.mctx_sim_interface_remove(3)
    (event,) = live.events()
    assert (event.type, event.interface_index) == ("interface_lost", 3)
    assert [each.interface_index for each in live.memberships()] == [2, 4]


def test_an_interface_of_the_default_set_that_refuses(context: libmctx.Context) -> None:
    assert sim.mctx_sim_refuse(3, 4, _ffi.constant("MCTX_ERR_UNSUPPORTED"))
    subscription = context.add_subscription(5000, [GROUP, "239.1.1.2"])
    refused = [each for each in subscription.memberships() if each.refused]
    assert [(each.interface_index, each.refused) for each in refused] == [(3, "unsupported")] * 2
    (event,) = subscription.events()
    assert (event.type, event.interface_index, event.value) == ("refused", 3, 2)
    assert event.address is not None
    assert event.address.addr == GROUP
    with pytest.raises(libmctx.UnsupportedError) as caught:
        context.add_subscription(5000, [GROUP], interfaces=["eth0", "eth1"])
    assert caught.value.item == 0


def test_a_receive_goes_on_while_interfaces_change(subscription: libmctx.Subscription) -> None:
    """What wakes the wait is followed, and the wait goes on to its end."""
    set_interface(4, "eth2")
    with pytest.raises(libmctx.TimedOutError):
        subscription.recv(0.5)
    assert deliver(b"late", f"{GROUP}:5000", delay=0.25) == 0
    assert subscription.recv(1.0).payload == b"late"


def test_system_without_coalescing_and_news(context: libmctx.Context) -> None:
    for name in ("COALESCING", "INTERFACE_CHANGES", "GROUP_BINDING"):
        sim.mctx_sim_capability_set(_ffi.constant(f"MCTX_CAPABILITY_{name}"), 0)
    subscription = context.add_subscription(5000, GROUP, interfaces="eth0")
    info = subscription.info()
    assert (info.follows_interfaces, info.wildcard_sockets) == (False, 1)
    with pytest.raises(libmctx.UnsupportedError):
        context.add_subscription(5001, GROUP, interfaces="eth0", binding="group")
    deliver(b"aabb", f"{GROUP}:5000", segment_size=2)
    assert [each.payload for each in subscription.recv_many(600)] == [b"aa", b"bb"]


def test_isolation_is_counted(subscription: libmctx.Subscription) -> None:
    subscription.join("239.1.1.2", sources=["10.0.0.5"])
    before = subscription.stats()
    deliver(b"blocked", "239.1.1.2:5000", "10.0.0.6:4000")
    deliver(b"elsewhere", f"{GROUP}:5000", interface=3)
    deliver(b"good", "239.1.1.2:5000", "10.0.0.5:4000")
    assert [each.payload for each in subscription.recv_many(600)] == [b"good"]
    assert (subscription.stats() - before).packets_received == 1


def test_many_groups_and_sources_are_spread(context: libmctx.Context) -> None:
    subscription = context.add_subscription(5000, interfaces="eth0")
    subscription.join_many([f"239.2.{number // 250}.{number % 250}" for number in range(500)])
    info = subscription.info()
    assert info.membership_count == 500 == len(subscription.memberships())
    assert (info.group_sockets, info.wildcard_sockets) == (256, 13)
    many = [f"10.1.0.{number}" for number in range(1, 61)]
    subscription.join("239.3.0.1", sources=many)
    subscription.join("239.3.0.2", exclude=many)
    *_, included, excluded = subscription.memberships()
    assert included.sources == excluded.sources == tuple(many)
    assert (included.filtered, excluded.filtered) == (False, True)
    deliver(b"in", "239.3.0.1:5000", "10.1.0.60:1")
    deliver(b"out", "239.3.0.2:5000", "10.1.0.60:1")
    assert [each.payload for each in subscription.recv_many(600)] == [b"in"]
    assert subscription.stats().discarded_source == 1


def test_async_receives_poll_what_the_loop_cannot_watch(subscription: libmctx.Subscription) -> None:
    """A simulated descriptor is none of the system's."""

    async def body() -> None:
        asynchronous = libmctx.AsyncSubscription(subscription)
        task = asyncio.ensure_future(asynchronous.recv())
        await asyncio.sleep(0.01)
        deliver(b"x", f"{GROUP}:5000")
        assert (await task).payload == b"x"
        deliver(b"aabbcc", f"{GROUP}:5000", segment_size=2)
        received: list[bytes] = []
        async for each in asynchronous:
            received.append(each.payload)
            if len(received) == 2:
                break
        assert received == [b"aa", b"bb"]
        assert [each.payload for each in await asynchronous.recv_many()] == [b"cc"]

    asyncio.run(asyncio.wait_for(body(), 10))

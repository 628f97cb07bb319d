# SPDX-License-Identifier: MIT
"""Receiving on loopback, both families: what arrives, what is told of it, and in which ways it is received."""

from __future__ import annotations

import array
import copy
import ctypes
import datetime
import errno
import pickle
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import GROUP4, GROUP6, LOOPBACK, Pair, eventually, missing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import libmctx
from libmctx import _ffi

SOME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def ready(subscription: libmctx.Subscription) -> libmctx.Ready:
    """Return what a subscription is ready for now."""
    try:
        return subscription.wait(0)
    except libmctx.WouldBlockError:
        return libmctx.Ready(0)


def test_a_datagram_and_all_that_is_told_of_it(pair: Pair) -> None:
    publication = pair.publish(ttl=7, dscp=46)
    before = time.time_ns()
    publication.send(b"hello")
    datagram = pair.subscription.recv(5)
    after = time.time_ns()
    assert datagram.payload == b"hello" == bytes(datagram)
    assert type(datagram.payload) is bytes
    assert datagram.source == publication.local_addr()
    assert (datagram.source_addr, datagram.source_port) == datagram.source
    assert (datagram.group, datagram.port) == (pair.group, pair.port)
    assert datagram.interface == LOOPBACK
    assert datagram.interface_name == "lo"
    assert datagram.hop_limit == 7
    assert (datagram.dscp, datagram.ecn, datagram.traffic_class) == (46, 0, 46 << 2)
    assert datagram.time_ns is not None
    assert before - 1_000_000 <= datagram.time_ns <= after
    assert datagram.time is not None
    assert datagram.time.utcoffset() == datetime.timedelta(0)
    assert abs(datagram.time.timestamp() - datagram.time_ns / 1e9) < 1e-5
    assert datagram.drops == 0
    assert (datagram.truncated, datagram.length, datagram.coalesced) == (False, 5, False)
    if pair.family == "ipv4":
        assert (datagram.source_scope_id, datagram.group_scope_id) == (None, None)
    else:
        assert (datagram.source_scope_id, datagram.group_scope_id) == (0, LOOPBACK)


def test_both_families_in_one_subscription(context: libmctx.Context) -> None:
    for family in ("ipv4", "ipv6"):
        if reason := missing(family):
            pytest.skip(reason)
    subscription = context.add_subscription(0, [GROUP4, GROUP6], interfaces=["lo"])
    four = context.add_publication(GROUP4, subscription.port, interface="127.0.0.1")
    six = context.add_publication(GROUP6, subscription.port, interface="lo")
    four.send(b"4")
    six.send(b"6")
    assert sorted((subscription.recv(5).payload, subscription.recv(5).payload)) == [b"4", b"6"]
    assert subscription.group_sockets == 2


def test_empty_and_largest_datagrams(pair: Pair) -> None:
    largest = (bytes(range(256)) * 256)[: pair.publication.info().max_datagram]
    payloads = [b"", largest, b"x"]
    pair.publication.send_many(payloads)
    assert [pair.subscription.recv(5).payload for _ in range(3)] == payloads
    pair.publication.send_many(payloads)
    received: list[libmctx.Datagram] = []
    while len(received) < 3:
        received += pair.subscription.recv_many(600, 5)
    assert [each.payload for each in received] == payloads
    assert [each.length for each in received] == [0, len(largest), 1]


@pytest.mark.parametrize("count", [1, 2, 100, 255, 256, 600, 4000])
def test_recv_many_gives_each_once_in_order(pair: Pair, count: int) -> None:
    payloads = [b"%d" % number + bytes(number % 7) for number in range(900)]
    pair.publication.send_many(payloads)
    received: list[bytes] = []
    while len(received) < len(payloads):
        batch = pair.subscription.recv_many(count, timeout=5)
        assert isinstance(batch, list)
        assert 1 <= len(batch) <= count
        received += [bytes(each.payload) for each in batch]
    assert received == payloads
    with pytest.raises(libmctx.WouldBlockError):
        pair.subscription.recv_many(count, timeout=0)


def test_a_small_max_leaves_the_rest_readable(pair4: Pair) -> None:
    pair4.coalesced(20)
    assert len(pair4.subscription.recv_many(3, 5)) == 3
    assert pair4.subscription.wait(0) == libmctx.Ready.READABLE
    assert pair4.subscription.recv(0).payload[:2] == b"\0\3"
    batch = pair4.subscription.recv_many(600, 0)
    assert [each.payload[1] for each in batch] == list(range(4, 20))


@pytest.mark.parametrize("size", [1, 2, 99, 1000])
def test_coalesced_messages(pair: Pair, size: int) -> None:
    if not libmctx.capabilities()["coalescing"]:
        pytest.skip("no coalescing here")
    for count in (2, 7, 40):
        pair.coalesced(count, max(size, 2))
        batch = pair.subscription.recv_many(600, 5)
        assert [each.payload[:2] for each in batch] == [number.to_bytes(2, "big") for number in range(count)]
        assert all(len(each.payload) == max(size, 2) == each.length for each in batch)
        assert {each.source for each in batch} == {batch[0].source}
        assert all(each.coalesced for each in batch)
        assert len({id(each._record) for each in batch}) == 1  # made once for the message
        pair.coalesced(count, max(size, 2))
        singles = [pair.subscription.recv(5) for _ in range(count)]
        assert [each.payload for each in singles] == [each.payload for each in batch]


def test_without_coalescing(context: libmctx.Context) -> None:
    pair = Pair(context, "ipv4", coalescing=False)
    assert not pair.subscription.info().coalescing
    assert pair.subscription.info().min_datagrams == 1
    pair.coalesced(10)
    batch = pair.subscription.recv_many(5, 5)
    assert len(batch) == 5
    assert not any(each.coalesced for each in batch)
    assert len(pair.subscription.recv_many(100, 5)) == 5


FIELDS = {
    "source": ["source", "source_addr", "source_port", "source_scope_id", "source_endpoint"],
    "group": ["group", "port", "interface", "group_endpoint", "interface_name"],
    "hop_limit": ["hop_limit"],
    "traffic_class": ["traffic_class", "dscp", "ecn"],
    "time": ["time_ns", "time"],
    "drops": ["drops"],
}


@pytest.mark.parametrize(
    "metadata", ["all", (), "source", {"group"}, ["hop_limit", "drops"], {"time", "traffic_class"}]
)
def test_what_was_not_asked_for_is_none(context: libmctx.Context, metadata: Any) -> None:
    asked = set(FIELDS) if metadata == "all" else {metadata} if isinstance(metadata, str) else set(metadata)
    for family in ("ipv4", "ipv6"):
        if missing(family):
            continue
        pair = Pair(context, family, metadata=metadata)
        assert set(pair.subscription.info().metadata) == asked
        own = pair.subscription
        receives: list[Callable[[], libmctx.DatagramInfo]] = [
            lambda own=own: own.recv(5),  # type: ignore[misc]
            lambda own=own: own.recv_many(600, 5)[0],  # type: ignore[misc]
            lambda own=own: own.recv_into(bytearray(10), 5)[1],  # type: ignore[misc]
        ]
        for receive in receives:
            pair.publication.send(b"x")
            datagram = receive()
            for name, fields in FIELDS.items():
                for field in fields:
                    if name not in asked:
                        assert getattr(datagram, field) is None, field
                    elif "scope_id" not in field:
                        assert getattr(datagram, field) is not None, field
            assert datagram.length == 1
            assert repr(datagram)


def test_recv_into(pair: Pair) -> None:
    pair.publication.send_many([b"abcdef", b"ghi", b"", b"jkl", b"mnop"])
    buffer = bytearray(b"------")
    count, info = pair.subscription.recv_into(buffer, 5)
    assert (count, bytes(buffer)) == (6, b"abcdef")
    assert type(info) is libmctx.DatagramInfo
    assert info.source == pair.publication.local_addr()
    assert (info.length, info.truncated) == (6, False)
    count, info = pair.subscription.recv_into(memoryview(buffer)[1:3], 5)
    assert (count, bytes(buffer[:3])) == (2, b"agh")
    assert (info.length, info.truncated) == (3, True)
    assert pair.subscription.recv_into(buffer, 5)[0] == 0
    count, info = pair.subscription.recv_into(bytearray(), 5)
    assert (count, info.length, info.truncated) == (0, 3, True)
    numbers = array.array("H", [0, 0])
    assert pair.subscription.recv_into(numbers, 5)[0] == 4
    assert numbers.tobytes() == b"mnop"
    assert pair.subscription.metrics().truncated == 2
    buffer.append(0)  # nothing holds it
    for bad in (b"constant", memoryview(buffer).toreadonly(), memoryview(buffer)[::2], None, "text", 5):
        with pytest.raises(TypeError):
            pair.subscription.recv_into(bad, 0)  # type: ignore[arg-type]
    with pytest.raises(BlockingIOError) as caught:
        pair.subscription.recv_into(buffer, 0)
    buffer.clear()  # although the exception is kept
    assert caught.value.errno == errno.EAGAIN


def test_iteration(pair: Pair) -> None:
    payloads = [b"%d" % number for number in range(1000)]
    pair.publication.send_many(payloads)
    received: list[libmctx.Datagram] = []
    for datagram in pair.subscription:
        received.append(datagram)
        if len(received) == len(payloads):
            pair.subscription.close()
    assert [each.payload for each in received] == payloads
    assert list(pair.subscription) == []
    assert received[0].source == received[-1].source


def test_an_iteration_that_is_left_early_loses_nothing(pair: Pair) -> None:
    payloads = [b"%d" % number for number in range(100)]
    pair.publication.send_many(payloads)
    received: list[Any] = []
    for datagram in pair.subscription:
        received.append(datagram.payload)
        if len(received) == 10:
            break
    assert pair.subscription.wait(0) == libmctx.Ready.READABLE
    assert pair.context.wait(0, events=libmctx.Ready.READABLE) == libmctx.Ready.READABLE
    assert pair.context.wait_many([pair.publication, pair.subscription], 0)[-1] is pair.subscription
    received.append(pair.subscription.recv(0).payload)
    received += [each.payload for each in pair.subscription.recv_many(20, 0)]
    received += [each.payload for each in pair.subscription.recv_many(5, copy=False)]
    buffer = bytearray(1)
    count, info = pair.subscription.recv_into(buffer)
    assert (count, info.truncated, info.length) == (1, True, 2)
    received.append(b"36")
    assert bytes(buffer) == b"3"
    assert info.source == pair.publication.local_addr()
    with pytest.raises(ValueError, match="released"):
        bytes(received[31])
    received[31:36] = payloads[31:36]
    for datagram in pair.subscription:
        received.append(datagram.payload)
        if len(received) == 50:
            break
    for datagram in pair.subscription:
        received.append(datagram.payload)
        if len(received) == 100:
            break
    assert received == payloads
    with pytest.raises(libmctx.WouldBlockError):
        pair.subscription.recv(0)
    with pytest.raises(libmctx.TimedOutError):
        pair.subscription.recv(0.01)  # no wake is left over


def test_an_abandoned_iteration_wakes_a_thread_that_waits(pair4: Pair) -> None:
    iterator = iter(pair4.subscription)
    pair4.publication.send_many([b"a", b"b", b"c"])
    time.sleep(0.01)
    assert next(iterator).payload == b"a"
    received: list[libmctx.Datagram] = []
    thread = threading.Thread(target=lambda: received.extend(pair4.subscription.recv_many()))
    thread.start()
    time.sleep(0.05)
    assert received == []
    del iterator
    thread.join(5)
    assert [each.payload for each in received] == [b"b", b"c"]


def test_values_compare_hash_pickle_and_show(pair: Pair) -> None:
    for payload in (b"same", b"same", b"x" * 1000):
        pair.publication.send(payload)
    batch: list[libmctx.Datagram] = []
    while len(batch) < 3:
        batch += pair.subscription.recv_many(600, 5)
    one, two, long = batch
    assert one == one
    assert one != two  # received at another time
    assert one != "same"
    assert len({one, two, long}) == 3
    for twin in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert type(twin) is libmctx.Datagram
        assert twin == one
        assert hash(twin) == hash(one)
        assert repr(twin) == repr(one)
        for fields in FIELDS.values():
            assert [getattr(twin, name) for name in fields] == [getattr(one, name) for name in fields]
    again = pickle.loads(pickle.dumps(batch if isinstance(batch, libmctx.Batch) else libmctx.Batch(batch)))
    assert again == batch
    assert "b'same'" in repr(one)
    assert repr(pair.group) in repr(one)
    assert "(1000 bytes)" in repr(long)
    assert len(repr(long)) < 300
    assert not hasattr(one, "__dict__")
    pair.publication.send(b"12345")
    _, info = pair.subscription.recv_into(bytearray(2), 5)
    assert pickle.loads(pickle.dumps(info)) == info
    assert "truncated from 5 bytes" in repr(info)
    assert info != one


def test_metadata_of_a_broken_datagram_is_not_shared(pair4: Pair) -> None:
    other = pair4.publish(ttl=9, allow_duplicate=True)
    pair4.publication.send(b"a")
    other.send(b"b")
    time.sleep(0.01)
    batch = pair4.subscription.recv_many(600, 5)
    assert [each.hop_limit for each in batch] == [1, 9]
    assert [each.source_port for each in batch] == [pair4.publication.local_addr()[1], other.local_addr()[1]]


@SOME
@given(
    st.lists(st.one_of(st.integers(0, 3), st.integers(0, 2000), st.just(64)), min_size=1, max_size=120),
    st.booleans(),
)
def test_any_sizes_arrive_whole(pair4: Pair, sizes: list[int], copies: bool) -> None:
    payloads = [bytes([position % 251]) * size for position, size in enumerate(sizes)]
    pair4.publication.send_many(payloads)
    received: list[bytes] = []
    while len(received) < len(payloads):
        batch = pair4.subscription.recv_many(600, 5, copy=copies)
        assert all(type(each.payload) is (bytes if copies else memoryview) for each in batch)
        received += [bytes(each) for each in batch]
    assert received == payloads


def test_info_says_what_was_asked_and_granted(context: libmctx.Context) -> None:
    subscription = context.add_subscription(
        0,
        GROUP4,
        interfaces="lo",
        receive_buffer=100_000,
        reuse_port=False,
        binding="wildcard",
        metadata={"source"},
        frozen=True,
        max_group_sockets=7,
    )
    info = subscription.info()
    assert info.id == subscription.id
    assert info.port == subscription.port > 0
    assert (info.reuse_port, info.binding, info.frozen, info.max_group_sockets) == (False, "wildcard", True, 7)
    assert set(info.metadata) == {"source"}
    assert (info.group_sockets, info.wildcard_sockets) == (0, 1)
    assert (subscription.group_sockets, subscription.wildcard_sockets) == (0, 1)
    assert info.receive_buffer_asked == 100_000
    assert info.receive_buffer == subscription.receive_buffer >= 100_000
    assert info.membership_count == 1
    assert info.min_arena >= 65_536
    assert isinstance(info.follows_interfaces, bool)
    usual = context.add_subscription(0).info()
    assert (usual.reuse_port, usual.binding, usual.frozen, usual.coalescing) == (True, "auto", False, True)
    assert (usual.receive_buffer_asked, usual.max_group_sockets) == (4 << 20, 256)
    assert usual.clock == "system"
    assert set(usual.metadata) == set(FIELDS)
    assert usual.receive_buffer == 0
    assert context.add_subscription(0, GROUP4, interfaces="lo", binding="group").group_sockets == 1
    assert context.add_subscription(0, receive_buffer=0).info().receive_buffer_asked == 0


def test_the_port_may_stand_in_the_group(context: libmctx.Context) -> None:
    first = context.add_subscription(0, GROUP4, interfaces="lo")
    second = context.add_subscription(None, f"{GROUP4}:{first.port}", interfaces="lo")
    assert second.port == first.port
    publication = context.add_publication(GROUP4, first.port, interface="127.0.0.1")
    publication.send(b"both")
    assert first.recv(5).payload == second.recv(5).payload == b"both"


def test_metrics(pair4: Pair) -> None:
    before = pair4.subscription.stats()
    pair4.publication.send(b"abc")
    pair4.publication.send(b"d")
    pair4.subscription.recv(5)
    pair4.subscription.recv(5)
    with pytest.raises(libmctx.WouldBlockError):
        pair4.subscription.recv(0)
    after = pair4.subscription.metrics()
    difference = after - before
    assert (difference.packets_received, difference.bytes_received, difference.messages_received) == (2, 4, 2)
    assert (difference.receive_calls, difference.errors_would_block) == (3, 1)
    assert pair4.context.metrics().total_packets_received == 2
    assert pair4.context.metrics().active_subscriptions == 1
    pair4.subscription.close()
    assert pair4.context.metrics().total_packets_received == 2
    assert pair4.context.metrics().active_subscriptions == 0


def test_drops_are_told(context: libmctx.Context) -> None:
    pair = Pair(context, "ipv4", receive_buffer=5000, coalescing=False)
    for _ in range(200):
        pair.publication.send(bytes(500))
    received = 0
    while libmctx.Ready.READABLE in ready(pair.subscription):
        received += len(pair.subscription.recv_many(600, 0))
    assert 0 < received < 200
    pair.publication.send(b"last")
    last = pair.subscription.recv(5)
    assert last.drops == 200 - received
    assert pair.subscription.stats().kernel_drops == 200 - received
    (event,) = (each for each in pair.subscription.events() if each.type == "drops")
    assert (event.id, event.value) == (pair.subscription.id, 200 - received)


def test_the_descriptor_is_for_select(pair: Pair) -> None:
    import select

    descriptor = pair.subscription.fileno()
    assert select.select([pair.subscription], [], [], 0)[0] == []
    pair.publication.send(b"x")
    assert eventually(lambda: select.select([pair.subscription], [], [], 0)[0] == [pair.subscription])
    pair.subscription.recv(0)
    assert select.select([pair.subscription], [], [], 0)[0] == []
    assert pair.subscription.fileno() == descriptor


def test_lookups_and_counts(context: libmctx.Context) -> None:
    first = context.add_subscription(0)
    second = context.add_subscription(0)
    assert context.subscription_count() == 2
    assert context.subscriptions() == [first, second]
    assert context.get_subscription(first.id) is first
    assert repr(context) == "Context(publication_count=0, subscription_count=2)"
    assert repr(first) == f"<Subscription id={first.id}, port={first.port}>"
    assert context.remove_subscription(first.id) is True
    assert context.remove_subscription(first.id) is False
    assert context.remove_subscription(5) is False
    with pytest.raises(libmctx.ClosedError):
        context.get_subscription(first.id)
    with pytest.raises(libmctx.NotFoundError):
        context.get_subscription(5)
    publication = context.add_publication(GROUP4, 5000, interface="127.0.0.1")
    with pytest.raises(libmctx.NotFoundError):
        context.get_subscription(publication.id)
    with pytest.raises(libmctx.NotFoundError):
        context.get_publication(second.id)
    assert context.remove_publication(second.id) is False
    with pytest.raises(TypeError):
        context.get_subscription("1")  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        context.remove_subscription(-1)
    with libmctx.Context() as other:
        with pytest.raises(libmctx.NotFoundError):
            other.get_subscription(second.id)
        assert other.remove_subscription(second.id) is False
    assert not second.closed
    for _ in range(100):
        context.add_subscription(0).close()
    assert len(context._subscriptions.objects) < 50


def test_two_subscriptions_of_one_port_get_their_own_groups(context: libmctx.Context) -> None:
    one = context.add_subscription(0, "239.255.77.11", interfaces="lo")
    two = context.add_subscription(one.port, "239.255.77.12", interfaces="lo")
    for number in (11, 12):
        context.add_publication(f"239.255.77.{number}", one.port, interface="127.0.0.1").send(b"%d" % number)
    assert one.recv(5).payload == b"11"
    assert two.recv(5).payload == b"12"
    for each in (one, two):
        with pytest.raises(libmctx.TimedOutError):
            each.recv(0.05)


def test_unicast_to_the_port_stays_the_other_programs(context: libmctx.Context) -> None:
    pair = Pair(context, "ipv4")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        program.bind(("", pair.port))
        program.settimeout(5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"unicast", ("127.0.0.1", pair.port))
        assert program.recv(100) == b"unicast"
    with pytest.raises(libmctx.TimedOutError):
        pair.subscription.recv(0.05)


def test_records_of_a_message_that_was_cut(pair4: Pair) -> None:
    """No system does it today: the last datagram of a coalesced message is cut, and those before are whole."""
    with pair4.subscription._arena(600) as arena:
        arena._locate()
        memory, batch = arena._memory, arena._batch
        memory[arena._payloads_at : arena._payloads_at + 10] = b"aaaabbbbcc"
        batch.datagram_count, batch.message_count = 3, 2
        struct.pack_into("12I", memory, 0, 0, 4, 0, 0, 4, 4, 1, 0, 8, 2, 1, 1)
        whole = _ffi.Message(flags=_ffi.constant("MCTX_MESSAGE_COALESCED"))
        cut = _ffi.Message(flags=3, length=8, datagram_count=2)
        at = arena.capacity * ctypes.sizeof(_ffi.Datagram)
        memory[at : at + 2 * ctypes.sizeof(whole)] = bytes(whole) + bytes(cut)
        columns = arena.columns()
        views: list[list[Any]] = [
            arena._made(libmctx.Datagram, bytes),
            [columns.datagram(position) for position in range(3)],
            arena.copied(),
            arena.lent(),
        ]
    assert columns.flags.tolist() == [0, 0, 1]
    for each_way in views:
        assert [each.truncated for each in each_way] == [False, False, True]
        assert [bytes(each) for each in each_way] == [b"aaaa", b"bbbb", b"cc"]
        assert [each.length for each in each_way] == [4, 4, None]
        assert all(each.coalesced for each in each_way)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
def test_no_reference_is_lost(pair4: Pair) -> None:
    receives: list[Callable[[], bytes]] = [
        lambda: pair4.subscription.recv(5).payload,
        lambda: pair4.subscription.recv_many(600, 5)[0].payload,
    ]
    for receive in receives:
        pair4.publication.send(bytes(1000))
        payload = receive()
        assert sys.getrefcount(payload) == 2
    pair4.coalesced(20)
    batch = pair4.subscription.recv_many(600, 5)
    record = batch[0]._record
    assert sys.getrefcount(record) == 20 + 2

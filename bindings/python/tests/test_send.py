# SPDX-License-Identifier: MIT
"""Publications of both families, received by plain sockets on loopback."""

from __future__ import annotations

import array
import ctypes
import errno
import gc
import inspect
import ipaddress
import mmap
import pickle
import signal
import socket
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import GROUP4, GROUP6, LOOPBACK, SOON, Receiver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import libmctx
from libmctx import _ffi, _shortcuts, _waiting
from libmctx.report import Origin

REUSE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def test_what_is_sent_arrives_and_the_report_says_where(context: libmctx.Context, receiver: Receiver) -> None:
    publication = receiver.open(context)
    report = context.send(publication.id, b"hello")
    data, sender = receiver.socket.recvfrom(100)
    assert data == b"hello"
    assert report.publication_id == publication.id
    assert report.bytes_sent == 5
    assert report.destination == (receiver.group, receiver.port) == publication.destination
    assert (report.destination_addr, report.destination_port) == report.destination
    assert report.local_addr == publication.local_addr() == sender[:2]
    assert report.source_addr == publication.source_addr() == sender[0]
    assert publication.announce_tuple() == (sender[0], receiver.group, receiver.port)
    assert publication.group == receiver.group
    assert publication.dst_port == receiver.port
    assert publication.family == receiver.family
    assert publication.configured_source_addr is None
    assert publication.source_port is None
    assert publication.ttl == 1
    assert publication.loopback is True
    assert publication.fileno() >= 0
    if receiver.family == "ipv4":
        assert publication.outgoing_interface == "127.0.0.1"
        assert publication.outgoing_interface_index is None
        assert report.destination_scope_id is None
        assert publication.destination_scope_id is None
        assert report.local_scope_id is None
        assert publication.local_scope_id() is None
    else:
        assert publication.outgoing_interface is None
        assert publication.outgoing_interface_index == LOOPBACK
        assert report.destination_scope_id == LOOPBACK == publication.destination_scope_id
        assert isinstance(report.local_scope_id, int)
        assert report.local_scope_id == publication.local_scope_id()


def test_source_port_bind_and_interface_are_kept_as_said(context: libmctx.Context, receiver: Receiver) -> None:
    address = "127.0.0.1" if receiver.family == "ipv4" else "::1"
    with socket.socket(receiver.socket.family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    publication = receiver.open(context, source=address, source_port=port, interface="lo", ttl=3)
    publication.send(b"x")
    assert receiver.socket.recvfrom(10)[1][:2] == (address, port)
    assert publication.configured_source_addr == address
    assert publication.source_port == port
    assert publication.outgoing_interface == "lo"
    assert publication.ttl == 3
    publication.close()
    text = f"{address}:{port}" if receiver.family == "ipv4" else f"[{address}]:{port}"
    for bind in (text, (address, port), (ipaddress.ip_address(address), port)):
        with receiver.open(context, bind=bind, interface=libmctx.find_interface("lo")) as publication:
            publication.send(b"x")
            assert receiver.socket.recvfrom(10)[1][:2] == (address, port)
            assert publication.configured_source_addr == address
            assert publication.source_port == port
            assert publication.outgoing_interface_index == LOOPBACK


def test_bind_to_a_port_alone(context: libmctx.Context) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))
        port = probe.getsockname()[1]
    publication = context.add_publication(GROUP4, 5000, bind=f"0.0.0.0:{port}", interface="lo")
    assert publication.configured_source_addr is None
    assert publication.source_port == port
    assert publication.local_addr()[1] == port


def test_an_ipv6_interface_address_alone_is_bound(context: libmctx.Context, receiver6: Receiver) -> None:
    publication = receiver6.open(context, interface="::1")
    assert publication.outgoing_interface == "::1"
    assert publication.configured_source_addr is None
    assert publication.source_addr() == "::1"
    assert publication.send(b"x").source_addr == "::1"
    assert receiver6.socket.recvfrom(10)[1][0] == "::1"


def test_addresses_may_be_objects(context: libmctx.Context) -> None:
    publication = context.add_publication(
        ipaddress.IPv4Address(GROUP4), 5000, interface=ipaddress.IPv4Address("127.0.0.1")
    )
    assert publication.group == GROUP4
    assert context.add_publication(f"{GROUP4}:5002", interface="lo").dst_port == 5002
    scoped = ipaddress.IPv6Address(f"{GROUP6}%lo")
    assert context.add_publication(scoped, 5000).destination_scope_id == LOOPBACK


def test_positional_arguments_stand_as_users_know_them(context: libmctx.Context) -> None:
    publication = context.add_publication(GROUP4, 5000, "127.0.0.1", None, None, "127.0.0.1", None, 7, False)
    assert publication.configured_source_addr == "127.0.0.1"
    assert (publication.ttl, publication.loopback) == (7, False)


def buffers(data: bytes) -> list[Any]:
    import numpy as np

    with tempfile.TemporaryFile() as file:
        file.write(data or b"\0")
        file.flush()
        mapped = mmap.mmap(file.fileno(), len(data) or 1, access=mmap.ACCESS_READ)
    read_only = np.frombuffer(data, dtype=np.uint8)
    assert not read_only.flags.writeable
    return [
        data,
        bytearray(data),
        memoryview(data),
        memoryview(bytearray(data)),
        array.array("b", data),
        array.array("H", data) if len(data) % 2 == 0 else array.array("B", data),
        np.frombuffer(bytearray(data), dtype=np.uint8),
        read_only,
        read_only.reshape(2, -1) if data and len(data) % 2 == 0 else read_only,
        memoryview(mapped)[: len(data)],
        type("Bytes", (bytes,), {})(data),
    ]


@pytest.mark.parametrize("data", [b"", b"a", b"ab\0cd\0", bytes(range(256)) * 4], ids=len)
def test_every_contiguous_buffer_is_a_payload(
    context: libmctx.Context, receiver4: Receiver, data: bytes
) -> None:
    publication = receiver4.open(context)
    for payload in buffers(data):
        assert publication.send(payload).bytes_sent == len(data)
        assert receiver4.recv() == data
        assert [bool(each) for each in context.send_all(payload)] == [True]
        assert receiver4.recv() == data
        assert publication.send_segments(payload, 1 << 15) == bool(data)
        if data:
            assert receiver4.recv() == data
    every = buffers(data)
    assert publication.send_many(every) == len(every)
    assert receiver4.recv_many(len(every)) == [data] * len(every)


def test_a_buffer_is_free_after_the_send(publication: libmctx.Publication) -> None:
    payload = bytearray(b"abc")
    publication.send(payload)
    publication.send_many([payload, payload])
    publication.send_segments(payload, 1)
    payload.extend(b"d")  # a BufferError while somebody holds it


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (None, TypeError),
        ("text", TypeError),
        (5, TypeError),
        ([1, 2], TypeError),
        (memoryview(bytes(10))[::2], BufferError),
        (memoryview(bytes(10))[::-1], BufferError),
    ],
    ids=["None", "str", "int", "list", "stride", "reversed"],
)
def test_other_payloads_are_refused(
    context: libmctx.Context, publication: libmctx.Publication, payload: object, error: type[Exception]
) -> None:
    words = "contiguous" if error is BufferError else "buffer"
    for send in (
        publication.send,
        lambda bad: publication.send_many([b"good", bad]),
        lambda bad: publication.send_segments(bad, 1),
        context.send_all,
    ):
        with pytest.raises(error, match=words):
            send(payload)  # type: ignore[arg-type]
    with pytest.raises(error, match="payload 1 must"):
        publication.send_many([b"good", payload])  # type: ignore[list-item]
    assert publication.metrics().packets_sent == 0


def test_a_numpy_array_with_gaps_is_refused(context: libmctx.Context, publication: libmctx.Publication) -> None:
    import numpy

    columns: Any = numpy.zeros((4, 4), dtype=numpy.uint8)[:, 1]
    sends: list[Callable[[], object]] = [
        lambda: publication.send(columns),
        lambda: publication.send_many([b"a", columns]),
        lambda: publication.send_many([columns], timeout=1),
        lambda: publication.send_segments(columns, 2),
        lambda: publication.send_segments(columns, 2, timeout=1),
        lambda: context.send_all(columns),
    ]
    for send in sends:
        with pytest.raises(BufferError, match="contiguous"):
            send()


def test_what_a_signal_handler_raises_sends_nothing_twice(
    context: libmctx.Context, receiver4: Receiver
) -> None:
    pace: dict[str, Any] = {"pacing_unit": "datagrams", "pacing_burst": 10, "pacing_by": "library"}
    paced = receiver4.open(context, pacing_rate=10, **pace)

    def refuse(number: int, frame: object) -> None:
        raise OverflowError("raised by the handler")

    before = signal.signal(signal.SIGALRM, refuse)
    try:
        sends: list[Callable[[], int]] = [
            lambda: paced.send_segments(bytes(20), 1, timeout=30),
            lambda: paced.send_many([b"x"] * 20, timeout=30),
        ]
        for send in sends:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            sent = paced.metrics().packets_sent
            with pytest.raises(OverflowError, match="by the handler"):
                send()
            assert paced.metrics().packets_sent - sent <= 20
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_buffer_is_no_sequence_of_payloads(publication: libmctx.Publication) -> None:
    import numpy

    alone: list[Any] = [b"abc", bytearray(b"abc"), memoryview(b"abc"), "abc", mmap.mmap(-1, 9)]
    alone += [
        memoryview(bytes(8)).cast("B", (2, 4)),
        numpy.zeros(3, dtype=complex),
        numpy.zeros(3),
        ctypes.create_string_buffer(b"abc"),
        array.array("I", [1, 2]),
    ]
    for payloads in alone:
        with pytest.raises(TypeError, match="send_segments"):
            publication.send_many(payloads)
    rows: Any = numpy.zeros((2, 3), dtype=numpy.uint8)
    records: Any = numpy.zeros(2, dtype=[("bid", "u4"), ("ask", "u4")])
    assert publication.send_many(rows) == publication.send_many(records) == 2
    assert publication.metrics().bytes_sent == 2 * 3 + 2 * 8
    for no_sequence in (5, None):
        with pytest.raises(TypeError, match="payloads"):
            publication.send_many(no_sequence)  # type: ignore[arg-type]


@REUSE
@given(st.lists(st.binary(max_size=3000), max_size=90))
def test_send_many_keeps_contents_order_and_boundaries(receiver4: Receiver, payloads: list[bytes]) -> None:
    with libmctx.Context() as context:
        publication = receiver4.open(context)
        assert publication.send_many(iter(payloads), timeout=5) == len(payloads)
        assert receiver4.recv_many(len(payloads)) == payloads
        if sum(map(len, payloads)) < 200:
            assert receiver4.is_empty()


@REUSE
@given(st.binary(max_size=5000), st.integers(40, 2000))
def test_send_segments_cuts_a_buffer(receiver4: Receiver, data: bytes, size: int) -> None:
    with libmctx.Context() as context:
        publication = receiver4.open(context)
        wanted = [data[start : start + size] for start in range(0, len(data), size)]
        assert publication.send_segments(data, size, timeout=5) == len(wanted)
        assert receiver4.recv_many(len(wanted)) == wanted


def test_segment_sizes_that_cannot_be(publication: libmctx.Publication) -> None:
    with pytest.raises(libmctx.UsageError) as caught:
        publication.send_segments(b"abc", 0)
    assert (caught.value.name, caught.value.field) == ("segment_size", "size")
    assert "65507" in caught.value.hint
    with pytest.raises(libmctx.UsageError) as caught:
        publication.send_segments(b"abc", 70000)
    assert caught.value.name == "segment_size"
    for size in (-1, 1 << 32, 1 << 70):
        with pytest.raises(OverflowError, match="size"):
            publication.send_segments(b"abc", size)
    with pytest.raises(TypeError, match="size"):
        publication.send_segments(b"abc", 1.5)  # type: ignore[arg-type]


def test_the_largest_datagram_and_one_byte_more(context: libmctx.Context, receiver: Receiver) -> None:
    publication = receiver.open(context, send_buffer=1 << 20)
    largest = publication.info().max_datagram
    assert largest == (65507 if receiver.family == "ipv4" else 65527)
    publication.send(bytes(largest))
    assert len(receiver.recv()) == largest
    with pytest.raises(libmctx.TooLargeError) as caught:
        publication.send(bytes(largest + 1))
    assert caught.value.errno == errno.EMSGSIZE
    with pytest.raises(libmctx.TooLargeError) as caught:
        publication.send_many([b"a", b"b", bytes(largest + 1), b"c"])
    assert (caught.value.accepted, caught.value.item) == (2, 2)
    assert receiver.recv_many(2) == [b"a", b"b"]
    assert receiver.is_empty()


def test_a_length_crosses_at_full_width(publication: libmctx.Publication) -> None:
    """A length whose low 32 bits are small must not be cut to them."""
    record = _ffi.new_error()
    length = ctypes.c_size_t((1 << 32) + 1)
    code = _ffi.plain_send(ctypes.c_uint64(publication.id), b"x", length, ctypes.byref(record))
    assert code == _ffi.constant("MCTX_ERR_DATAGRAM_TOO_LARGE")
    assert record.value == (1 << 32) + 1


@pytest.mark.skipif(not _shortcuts.available, reason="copies four gigabytes")
def test_lengths_cross_at_full_width(context: libmctx.Context, publication: libmctx.Publication) -> None:
    """A length whose low 32 bits are small must not be cut to them."""
    huge = mmap.mmap(-1, (1 << 32) + 8)  # never touched, so it takes no memory
    with pytest.raises(libmctx.TooLargeError):
        publication.send(huge)
    with pytest.raises(libmctx.TooLargeError) as caught:
        publication.send_many([b"a", huge])
    assert caught.value.accepted == 1
    assert [type(each.error) for each in context.send_all(huge)] == [libmctx.TooLargeError]
    assert publication.metrics().packets_sent == 1
    huge.close()  # a BufferError while somebody holds it, though an exception of the sends is still there


def test_empty_batches_do_nothing(publication: libmctx.Publication) -> None:
    assert publication.send_many([]) == 0
    assert publication.send_many((), timeout=None) == 0
    assert publication.send_segments(b"", 100) == 0
    publication.close()
    with pytest.raises(libmctx.ClosedError):
        publication.send_many([])


def test_send_all_goes_on_past_failures(context: libmctx.Context, receiver4: Receiver) -> None:
    first = receiver4.open(context)
    broken = context.add_publication(GROUP4, 5003, interface="127.0.0.1")
    last = receiver4.open(context, allow_duplicate=True)
    outcomes = context.send_all(b"news")
    assert [each.publication for each in outcomes] == [first, broken, last]
    assert [each.report.bytes_sent if each.report else None for each in outcomes] == [4, 4, 4]
    assert receiver4.recv_many(2) == [b"news"] * 2
    too_large = context.send_all(bytes(70000))
    assert [type(each.error) for each in too_large] == [libmctx.TooLargeError] * 3
    assert [each.error.item for each in too_large if each.error] == [0, 1, 2]
    assert all(each.report is None and not each for each in too_large)
    with libmctx.Context() as empty:
        assert empty.send_all(b"x") == []


def test_reports_outlive_the_publication_and_pickle(context: libmctx.Context, receiver: Receiver) -> None:
    publication = receiver.open(context)
    looked_at, unseen, with_context = (publication.send(b"x") for _ in range(3))
    local = looked_at.local_addr
    publication.close()
    assert unseen.local_addr == local
    copy = pickle.loads(pickle.dumps(unseen))
    assert copy == looked_at
    assert repr(copy) == repr(looked_at)
    assert hash(copy) == hash(looked_at)
    assert copy.destination == (receiver.group, receiver.port)
    assert str(receiver.port) in repr(copy)
    context.close()
    assert with_context.source_addr == looked_at.source_addr


def test_a_report_is_not_filled_in_before_somebody_looks(
    publication: libmctx.Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Origin] = []
    route = Origin.route

    def look(self: Origin) -> Any:
        looks.append(self)
        return route(self)

    monkeypatch.setattr(Origin, "route", look)
    report = publication.send(b"x")
    assert (report.bytes_sent, report.publication_id) == (1, publication.id)
    assert not looks
    assert report.destination == (GROUP4, 5000)
    assert report.destination_port == 5000
    assert [each.handle for each in looks] == [publication.id]


def test_a_report_that_was_looked_at_is_of_the_sends_before(publication: libmctx.Publication) -> None:
    """One report may stand for many sends as long as nobody looks; what comes later is looked up later."""
    first, other = publication.send(b"x"), publication.send(b"yy")
    assert first.destination == other.destination
    later = publication.send(b"z")
    assert later is not first
    assert later == first
    assert (other.bytes_sent, later.bytes_sent) == (2, 1)


def test_reports_keep_the_context_open_and_the_publication_lets_go_of_them(no_leak: None) -> None:
    context = libmctx.Context()
    report = context.add_publication(GROUP4, 5000, interface="127.0.0.1").send(b"x")
    handle = weakref.ref(context)
    del context
    assert handle() is None
    assert report.destination == (GROUP4, 5000)
    del report  # and nothing waits for the garbage collector


def test_sends_of_many_lengths_keep_few_reports(publication: libmctx.Publication) -> None:
    reports = [publication.send(bytes(length)) for length in range(1500)]
    assert [each.bytes_sent for each in reports] == list(range(1500))


def test_info_tells_what_was_configured_and_chosen(context: libmctx.Context) -> None:
    publication = context.add_publication(
        GROUP4,
        5000,
        source="127.0.0.1",
        interface="lo",
        ttl=9,
        loopback=False,
        dscp=46,
        connected=False,
        reuse_port=False,
        error_queue=True,
        send_buffer=50000,
        dont_fragment=True,
        priority=3,
    )
    info = publication.info()
    assert info.id == publication.id
    assert info.group == libmctx.Endpoint(GROUP4, 5000, None)
    assert info.source is not None
    assert info.source.addr == "127.0.0.1"
    assert info.local is not None
    assert info.local.addr == "127.0.0.1"
    assert info.sender is not None
    assert info.sender.addr == "127.0.0.1"
    assert (info.interface, info.interface_index, info.interface_name) == ("lo", LOOPBACK, "lo")
    assert (info.ttl, info.loopback, info.dscp, info.connected) == (9, False, 46, False)
    assert (info.reuse_port, info.error_queue, info.dont_fragment, info.priority) == (False, True, True, 3)
    assert (info.mark, info.source_port, info.send_buffer_asked) == (None, None, 50000)
    assert info.send_buffer >= 50000
    assert not info.duplicate
    assert not info.adopted
    assert context.add_publication(GROUP4, 5001, interface_index=LOOPBACK).info().interface == LOOPBACK
    assert context.add_publication(GROUP4, 5001, interface="127.0.0.1").info().interface == "127.0.0.1"


def test_metrics_count_and_subtract(context: libmctx.Context, publication: libmctx.Publication) -> None:
    before = publication.metrics()
    publication.send(b"abc")
    publication.send_many([b"d", b"ef"])
    after = publication.metrics()
    assert (after.send_calls, after.packets_sent, after["bytes_sent"]) == (2, 3, 6)
    assert (after - before).packets_sent == 3
    assert (after - before).monotonic >= 0
    assert repr(after) == "Metrics(send_calls=2, packets_sent=3, bytes_sent=6, the rest 0)"
    with pytest.raises(AttributeError, match="no_such"):
        _ = after.no_such
    assert context.metrics().total_packets_sent == 3
    assert context.metrics().active_publications == 1
    publication.close()
    assert context.metrics().total_packets_sent == 3
    assert context.metrics().active_publications == 0
    assert pickle.loads(pickle.dumps(after)) == after
    assert context.events() == []


def test_wait_wake_and_timeouts(context: libmctx.Context, publication: libmctx.Publication) -> None:
    assert publication.wait() == libmctx.Ready.WRITABLE
    assert publication.wait(0) == libmctx.Ready.WRITABLE
    with pytest.raises(BlockingIOError):
        publication.wait(0, events=libmctx.Ready.READABLE)
    start = time.monotonic()
    with pytest.raises(libmctx.TimedOutError):
        publication.wait(0.05, events=libmctx.Ready.READABLE)
    assert 0.04 < time.monotonic() - start < SOON
    for waker in (context, publication):
        waker.wake()
        waker.wake()  # one token
        with pytest.raises(libmctx.WaitInterruptedError) as caught:
            waker.wait(5) if waker is context else publication.wait(5, events=libmctx.Ready(0))
        assert caught.value.name == "woken"
        with pytest.raises(TimeoutError):
            waker.wait(0.01) if waker is context else publication.wait(0.01, events=libmctx.Ready(0))
    for bad in (-1, float("nan"), -0.001):
        with pytest.raises(ValueError, match="timeout"):
            publication.wait(bad)
    bad_type: Any
    for bad_type in ("1", [], object()):
        with pytest.raises(TypeError, match="timeout"):
            publication.send_many([b"x"], timeout=bad_type)
    assert publication.wait(float("inf"))
    assert publication.wait(1e300)


def test_wake_from_another_thread(context: libmctx.Context) -> None:
    timer = threading.Timer(0.05, context.wake)
    timer.start()
    with pytest.raises(InterruptedError):
        context.wait()
    timer.join()


def test_the_buffer_of_the_socket_can_be_full(context: libmctx.Context) -> None:
    """A blocked receiver can't fill a multicast sender's buffer, so sends here must just never block."""
    publication = context.add_publication(GROUP4, 5000, interface="127.0.0.1", send_buffer=1)
    start = time.monotonic()
    for _ in range(2000):
        publication.send(bytes(1000))
    assert time.monotonic() - start < SOON


def test_duplicates_only_when_asked_for(context: libmctx.Context, publication: libmctx.Publication) -> None:
    with pytest.raises(libmctx.AlreadyExistsError) as caught:
        context.add_publication(GROUP4, 5000, interface="127.0.0.1", loopback=False)
    assert isinstance(caught.value, ValueError)
    assert caught.value.name == "publication_exists"
    twin = context.add_publication(GROUP4, 5000, interface="127.0.0.1", loopback=False, allow_duplicate=True)
    assert twin.info().duplicate
    assert context.publication_count() == 2
    assert context.publications() == [publication, twin]


# ---- batches of every shape ----

SHAPES: dict[str, list[Any]] = {
    "equal bytes": [bytes([number]) * 100 for number in range(200)],
    "two": [b"ab", b"cd"],
    "one": [b"alone"],
    "growing": [bytes([number]) * number for number in range(1, 60)],
    "with empty ones": [b"", b"a", b"", b"", b"bcd"],
    "bytearrays": [bytearray(b"abc"), bytearray(b"defg")],
    "kinds mixed": [b"abc", bytearray(b"def"), memoryview(b"xghix")[1:4], array.array("H", [1, 2, 3]), b"jkl"],
    "a view of wide items first": [memoryview(array.array("Q", [1, 2])), b"0123456789abcdef"],
}


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda payloads: (each for each in payloads)])
@pytest.mark.parametrize("shape", SHAPES)
def test_batches_of_every_shape(context: libmctx.Context, receiver4: Receiver, shape: str, kind: Any) -> None:
    payloads = SHAPES[shape]
    publication = receiver4.open(context)
    for timeout in (0, 5, None):
        assert publication.send_many(kind(payloads), timeout=timeout) == len(payloads)
        assert receiver4.recv_many(len(payloads)) == [bytes(each) for each in payloads]
    assert receiver4.is_empty()
    assert publication.metrics().send_calls == 3


@pytest.mark.parametrize(
    ("payloads", "error", "text"),
    [
        ([b"a", b"b", 3, b"d"], TypeError, "payload 2 must be a contiguous buffer, not int"),
        ([b"a"] * 300 + ["text"], TypeError, r"payload 300 .* not str.*encode"),
        ([None, b"b"], TypeError, "payload 0 .* not NoneType"),
        ([b"a", memoryview(b"abcdef")[::2]], BufferError, "payload 1 must be contiguous"),
        ([memoryview(b"abcdef")[::2], b"a"], BufferError, "payload 0 must be contiguous"),
        ([bytearray(b"a"), b"b", []], TypeError, "payload 2 .* not list"),
        ([object()], TypeError, "a payload must be"),
        (b"", TypeError, "not one bytes"),
        (bytearray(), TypeError, "not one bytearray"),
        (memoryview(b"abc"), TypeError, "not one memoryview"),
        (mmap.mmap(-1, 10), TypeError, "not one mmap"),
        ("", TypeError, "not one str"),
        (7, TypeError, "not int"),
        (None, TypeError, "not NoneType"),
    ],
)
@pytest.mark.parametrize("timeout", [0, 1])
def test_a_batch_with_something_wrong_sends_nothing(
    publication: libmctx.Publication, payloads: Any, error: type[Exception], text: str, timeout: float
) -> None:
    with pytest.raises(error, match=text):
        publication.send_many(payloads, timeout=timeout)
    assert publication.metrics().packets_sent == 0


def test_a_batch_whose_payloads_change_the_list(publication: libmctx.Publication) -> None:
    """A batch is what the list holds at the call, whatever looking at a payload runs."""
    payloads: list[Any] = [bytes(100) for _ in range(50)]

    def emptied() -> Any:
        yield from payloads
        payloads.clear()
        gc.collect()

    assert publication.send_many(emptied()) == 50
    assert payloads == []


def test_payloads_are_let_go_of(publication: libmctx.Publication) -> None:
    held = bytearray(b"abc")
    publication.send(held)
    publication.send_many([held, b"x", held])
    publication.send_many([held], timeout=1)
    publication.send_segments(held, 2)
    with pytest.raises(TypeError):
        publication.send_many([held, 1])  # type: ignore[list-item]
    with pytest.raises(libmctx.UsageError):
        publication.send_segments(held, 0)
    held += b"d"  # a BufferError while somebody holds it


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_segments_of_every_kind_of_buffer(context: libmctx.Context, receiver4: Receiver, make: Any) -> None:
    publication = receiver4.open(context)
    data = bytes(range(250))
    expected = [data[start : start + 60] for start in range(0, 250, 60)]
    for timeout in (0, 5):
        assert publication.send_segments(make(data), 60, timeout=timeout) == 5
        assert receiver4.recv_many(5) == expected
    assert publication.send_segments(array.array("I", [1, 2, 3]), 4) == 3
    assert receiver4.recv_many(3) == [bytes(array.array("I", [each])) for each in (1, 2, 3)]
    numpy = pytest.importorskip("numpy")
    numbers = numpy.arange(60, dtype="u2").reshape(3, 20)
    assert publication.send_segments(numbers, 40) == 3
    assert publication.send_many(numbers) == 3
    assert receiver4.recv_many(6) == [bytes(each) for each in numbers] * 2


def test_segments_with_something_wrong(publication: libmctx.Publication) -> None:
    for buffer, size, error in (
        ("text", 2, TypeError),
        (None, 2, TypeError),
        (b"abc", "2", TypeError),
        (b"abc", None, TypeError),
        (b"abc", 1.5, TypeError),
        (b"abc", -1, OverflowError),
        (b"abc", 1 << 32, OverflowError),
        (b"abc", 1 << 70, OverflowError),
        (b"abc", 0, libmctx.UsageError),
        (b"abc", 70_000, libmctx.UsageError),
        (memoryview(b"abcdef")[::2], 2, BufferError),
    ):
        for timeout in (0, 1):
            with pytest.raises(error):
                publication.send_segments(buffer, size, timeout=timeout)  # type: ignore[arg-type]
    assert publication.metrics().packets_sent == 0

    class Two:
        def __index__(self) -> int:
            return 2

    assert publication.send_segments(b"abc", Two()) == 2  # type: ignore[arg-type]


# ---- offload and pacing ----


def test_offload_shows_in_info_metrics_and_capabilities(context: libmctx.Context, receiver4: Receiver) -> None:
    publication = receiver4.open(context)
    info = publication.info()
    assert info.offload
    assert info.offload_status is None
    assert info.offload_os_code == 0
    assert publication.send_many([bytes(100)] * 64) == 64
    if libmctx.capabilities()["segmentation"]:
        assert info.segment_count_limit in (64, 128)
        assert info.segment_size_limit >= 1472
        assert publication.metrics().superpackets_sent == 1
        assert context.metrics().total_superpackets_sent == 1
    without = receiver4.open(context, offload=False)
    info = without.info()
    assert not info.offload
    assert info.segment_count_limit == 1
    assert without.send_many([bytes(100)] * 64) == 64
    assert without.metrics().superpackets_sent == 0
    assert without.metrics().offload_refusals == 0
    assert receiver4.recv_many(128) == [bytes(100)] * 128


def test_a_buffer_is_held_until_all_its_segments_are_sent(
    context: libmctx.Context, receiver4: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace: dict[str, Any] = {"pacing_unit": "datagrams", "pacing_burst": 2, "pacing_by": "library"}
    paced = receiver4.open(context, pacing_rate=1, **pace)
    buffer = bytearray(b"abc")
    go_on = _waiting.send_rest

    def shorten_first(*arguments: Any) -> int:
        with pytest.raises(BufferError):
            buffer.clear()
        return go_on(*arguments)

    monkeypatch.setattr(_waiting, "send_rest", shorten_first)
    assert paced.send_segments(buffer, 1, timeout=0.05) == 2
    buffer.clear()
    assert receiver4.recv_many(2) == [b"a", b"b"]


def test_a_pacing_rate_by_the_library(context: libmctx.Context, receiver4: Receiver) -> None:
    start = time.monotonic()
    paced = receiver4.open(context, pacing_rate=1, pacing_unit="datagrams", pacing_burst=2, pacing_by="library")
    info = paced.info()
    assert (info.pacing_rate, info.pacing_burst) == (1, 2)
    assert (info.pacing_unit, info.pacing_by) == ("datagrams", "library")
    assert paced.send_many([b"a", b"b", b"c"]) == 2
    sends: list[Callable[[], object]] = [
        lambda: paced.send(b"c"),
        lambda: paced.send_many([b"c"]),
        lambda: paced.send_segments(b"c", 1),
    ]
    for send in sends:
        with pytest.raises(libmctx.WouldBlockError, match="pacing") as caught:
            send()
        error = caught.value
        assert (error.name, error.kind, error.retry) == ("paced", "would_block", "after_delay")
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 1
        assert error.value == round(error.retry_after * 1e9)
        assert pickle.loads(pickle.dumps(error)).retry_after == error.retry_after
    assert paced.send_many([b"c", b"d"], timeout=20) == 2
    assert time.monotonic() - start > 2 * 0.9

    def send_until_refused() -> None:
        while True:  # the bucket may have filled meanwhile
            paced.send_many([b"e"], timeout=0.001)

    with pytest.raises(libmctx.TimedOutError):
        send_until_refused()
    assert receiver4.recv_many(4) == [b"a", b"b", b"c", b"d"]
    assert libmctx.UsageError("x").retry_after is None


def test_no_pacing_is_told(publication: libmctx.Publication) -> None:
    info = publication.info()
    assert (info.pacing_rate, info.pacing_burst, info.pacing_by) == (None, None, None)
    assert isinstance(libmctx.capabilities()["pacing"].reason, str)


@pytest.mark.parametrize(
    ("options", "error", "field"),
    [
        ({"pacing_rate": -1}, libmctx.UsageError, "pacing_rate"),
        ({"pacing_rate": 1 << 63}, OverflowError, ""),
        ({"pacing_rate": "fast"}, TypeError, ""),
        ({"pacing_rate": 10, "pacing_unit": "bytes"}, libmctx.UsageError, "pacing_unit"),
        ({"pacing_rate": 10, "pacing_unit": 1}, TypeError, ""),
        ({"pacing_rate": 10, "pacing_burst": -1}, libmctx.UsageError, "pacing_burst"),
        ({"pacing_rate": 10, "pacing_by": "nobody"}, libmctx.UsageError, "pacing_by"),
        (
            {"pacing_rate": 10, "pacing_unit": "datagrams", "pacing_by": "kernel"},
            libmctx.UsageError,
            "pacing_by",
        ),
        ({"offload": 2}, libmctx.UsageError, "offload"),
        ({"offload": "yes"}, TypeError, ""),
    ],
)
def test_wrong_options_of_offload_and_pacing(
    context: libmctx.Context, options: dict[str, Any], error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as caught:
        context.add_publication(GROUP4, 5000, interface="127.0.0.1", **options)
    if isinstance(caught.value, libmctx.MctxError):
        assert caught.value.field == field
    assert context.publication_count() == 0


def test_the_send_of_a_publication_tells_its_signature(publication: libmctx.Publication) -> None:
    assert publication.send.__name__ == "send"
    assert list(inspect.signature(publication.send).parameters) == ["payload"]
    assert publication.send.__doc__ == "Send one datagram."
    wrong: Any = publication.send
    for call in (wrong, lambda: wrong(b"", b""), lambda: wrong(payload=b"")):
        with pytest.raises(TypeError, match=r"send\(\)"):
            call()

# SPDX-License-Identifier: MIT
"""What Python makes of failures of the network, each made to happen on libmctx-sim."""

from __future__ import annotations

import asyncio
import ctypes
import errno
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation import DELIVERED, PARTIAL, SEND, SOCKET_OPEN, fault, sim

import libmctx
from libmctx import _ffi

ETH0 = "10.0.0.1"


class Datagram(ctypes.Structure):
    """``mctx_sim_datagram``."""

    _fields_ = [
        ("source", _ffi.Address),
        ("destination", _ffi.Address),
        ("interface_index", ctypes.c_uint32),
        ("hop_limit", ctypes.c_int32),
        ("loopback", ctypes.c_int32),
        ("dscp", ctypes.c_int32),
        ("time_ns", ctypes.c_int64),
        ("length", ctypes.c_uint64),
        ("local_only", ctypes.c_uint32),
        ("stored", ctypes.c_uint32),
        ("payload", ctypes.c_uint8 * 64),
    ]


def wire() -> list[bytes]:
    """Return the payloads that left for the network, in order."""
    found: list[bytes] = []
    for position in range(sim.mctx_sim_wire_count()):
        datagram = Datagram()
        assert sim.mctx_sim_wire_at(position, ctypes.byref(datagram))
        if not datagram.local_only:
            found.append(bytes(datagram.payload[: datagram.stored]))
    return found


@pytest.fixture
def context() -> Iterator[libmctx.Context]:
    """A context on a fresh network."""
    sim.mctx_sim_reset()
    with libmctx.Context() as context:
        yield context
    sim.mctx_sim_clear_faults()
    assert sim.mctx_sim_open_sockets() == 0


@pytest.fixture
def publication(context: libmctx.Context) -> libmctx.Publication:
    """A publication that leaves through eth0."""
    return context.add_publication("239.1.1.1", 5000, interface=ETH0)


CLASSES = {
    "would_block": (libmctx.WouldBlockError, errno.EAGAIN),
    "queue_full": (libmctx.LimitError, errno.ENOBUFS),
    "datagram_too_large": (libmctx.TooLargeError, errno.EMSGSIZE),
    "no_route": (libmctx.NetworkError, errno.ENETUNREACH),
    "interface_down": (libmctx.NetworkError, None),
    "interface_gone": (libmctx.NetworkError, None),
    "firewall": (libmctx.PermissionDeniedError, errno.EPERM),
    "unreachable": (libmctx.NetworkError, None),
    "io": (libmctx.IoError, None),
}


@pytest.mark.parametrize("status", CLASSES)
def test_each_failure_of_a_send(publication: libmctx.Publication, status: str) -> None:
    for nth in range(1, 5):  # the library may repeat a call
        fault(nth, status)
    with pytest.raises(CLASSES[status][0]) as caught:
        publication.send(b"x")
    error = caught.value
    assert error.name == status
    assert isinstance(error, OSError)
    assert isinstance(error.errno, int)
    assert error.accepted is None
    assert wire() == []
    sim.mctx_sim_clear_faults()
    publication.send(b"y")
    assert wire() == [b"y"]


@pytest.mark.parametrize("status", CLASSES)
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_each_failure_in_a_batch(publication: libmctx.Publication, status: str, taken: int) -> None:
    """None accepted: it raises. Some, and would block: a number. Some, and another reason: it raises too."""
    payloads = [bytes(range(number)) for number in range(1, 9)]  # no two of one size: each goes by itself
    first = 1
    if taken:
        assert sim.mctx_sim_fault(SEND, 1, PARTIAL, taken)
        first = 2
    for nth in range(first, first + 4):
        fault(nth, status)
    if status == "would_block" and taken:
        assert publication.send_many(payloads) == taken
    else:
        with pytest.raises(CLASSES[status][0]) as caught:
            publication.send_many(payloads)
        assert caught.value.accepted == taken
        assert caught.value.item == taken
        assert caught.value.name == status
    assert wire() == payloads[:taken]


def test_a_full_queue_of_the_interface(context: libmctx.Context) -> None:
    quiet = context.add_publication("239.1.1.1", 5000, interface=ETH0, loopback=False)
    fault(1, "queue_full")
    with pytest.raises(libmctx.LimitError) as caught:
        quiet.send(b"x")
    assert (caught.value.retry, caught.value.delivered_locally) == ("after_delay", False)
    loud = context.add_publication("239.1.1.1", 5001, interface=ETH0, error_queue=True)
    fault(1, "queue_full", how=DELIVERED)
    with pytest.raises(libmctx.LimitError) as caught:
        loud.send(b"x")
    assert (caught.value.retry, caught.value.delivered_locally) == ("never", True)


def test_async_send_many_backs_off_from_a_full_queue(context: libmctx.Context) -> None:
    publication = context.add_publication("239.1.1.1", 5000, interface=ETH0, loopback=False)
    payloads = [b"a", b"b", b"c"]
    fault(1, "queue_full")
    fault(2, "queue_full")
    assert asyncio.run(libmctx.AsyncPublication(publication).send_many(payloads)) == 3
    assert wire() == payloads


def test_async_send_many_gives_up_on_a_queue_that_stays_full(
    context: libmctx.Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libmctx.aio._NO_PROGRESS", 0.05)
    publication = context.add_publication("239.1.1.1", 5000, interface=ETH0, loopback=False)
    for nth in range(1, 60):
        fault(nth, "queue_full")
    with pytest.raises(libmctx.LimitError) as caught:
        asyncio.run(libmctx.AsyncPublication(publication).send_many([b"a"]))
    assert (caught.value.name, caught.value.accepted) == ("queue_full", 0)


def test_async_sends_poll_what_the_loop_cannot_watch(publication: libmctx.Publication) -> None:
    """A simulated socket is no descriptor of the system."""
    fault(1, "would_block")
    fault(2, "would_block")
    report = asyncio.run(libmctx.AsyncPublication(publication).send(b"x"))
    assert report.bytes_sent == 1
    assert wire() == [b"x"]


def test_send_all_tells_each_failure(context: libmctx.Context) -> None:
    publications = [
        context.add_publication("239.1.1.1", port, interface=ETH0) for port in (5000, 5001, 5002, 5003)
    ]
    fault(2, "would_block")
    fault(4, "queue_full")
    outcomes = context.send_all(b"x")
    assert [each.publication for each in outcomes] == publications
    assert [bool(each) for each in outcomes] == [True, False, True, False]
    assert type(outcomes[1].error) is libmctx.WouldBlockError
    assert type(outcomes[3].error) is libmctx.LimitError
    assert [each.error.item for each in outcomes if each.error] == [1, 3]
    assert [each.error.handle for each in outcomes if each.error] == [publications[1].id, publications[3].id]
    assert len(wire()) == 2


@pytest.mark.parametrize("status", ["no_memory", "too_many_descriptors", "permission", "family_unsupported"])
def test_an_open_that_fails_leaves_nothing(context: libmctx.Context, status: str) -> None:
    fault(1, status, call=SOCKET_OPEN)
    with pytest.raises(libmctx.MctxError) as caught:
        context.add_publication("239.1.1.1", 5000, interface=ETH0)
    assert caught.value.name == status
    assert context.publication_count() == 0
    assert sim.mctx_sim_open_sockets() == 0


def test_a_source_that_the_system_replaced_is_an_event(
    context: libmctx.Context, publication: libmctx.Publication
) -> None:
    assert publication.send(b"a").source_addr == ETH0
    old, new = _ffi.Address(), _ffi.Address()
    assert _ffi.address_parse(b"10.0.0.1/24", old, None) == 0
    assert _ffi.address_parse(b"10.0.0.9/24", new, None) == 0
    by_name = context.add_publication("239.1.1.2", 5000, interface="eth0")
    by_name.send(b"b")
    assert sim.mctx_sim_address_remove(2, ctypes.byref(old))
    assert sim.mctx_sim_address_add(2, ctypes.byref(new))
    report = by_name.send(b"c")
    assert report.source_addr == "10.0.0.9"
    (event,) = context.events()
    assert (event.type, event.publication_id, event.interface_index) == ("source_changed", by_name.id, 2)
    assert event.address is not None
    assert event.address.addr == "10.0.0.9"
    assert event.time > 0
    assert by_name.events() == []
    assert by_name.metrics().reconnects == 1


def test_a_batch_with_a_timeout_waits_in_virtual_time(context: libmctx.Context) -> None:
    sim.mctx_sim_buffer(4, 1_000_000)
    publication = context.add_publication("239.1.1.1", 5000, interface=ETH0, offload=False)
    payloads = [bytes([number]) for number in range(50)]
    assert publication.send_many(payloads) == 4
    assert publication.send_many(payloads[4:], timeout=None) == 46
    assert wire() == payloads
    with pytest.raises(libmctx.TimedOutError) as caught:
        publication.send_many([b"x"], timeout=1e-6)
    assert caught.value.accepted == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.data())
def test_accepted_is_exact_for_any_faults(context: libmctx.Context, data: st.DataObject) -> None:
    """Whatever fails where, what left is exactly the first ones that are said to be accepted, in order."""
    sim.mctx_sim_reset()
    with libmctx.Context() as own:
        publication = own.add_publication("239.1.1.1", 5000, interface=ETH0, loopback=False)
        payloads = [
            bytes([number]) * data.draw(st.integers(1, 3)) for number in range(data.draw(st.integers(1, 150)))
        ]
        for _ in range(data.draw(st.integers(0, 3))):
            nth = data.draw(st.integers(1, 6))
            if data.draw(st.booleans()):
                assert sim.mctx_sim_fault(SEND, nth, PARTIAL, data.draw(st.integers(1, 64)))
            else:
                fault(nth, data.draw(st.sampled_from(sorted(CLASSES))))
        timeout = data.draw(st.sampled_from([0, 1e-3, 5, None]))
        try:
            accepted = publication.send_many(payloads, timeout=timeout)
        except libmctx.MctxError as error:
            assert error.accepted is not None
            accepted = error.accepted
            assert error.item == accepted
        assert wire() == payloads[:accepted]
        assert publication.metrics().packets_sent == accepted
        sim.mctx_sim_clear_faults()

# SPDX-License-Identifier: MIT
"""Payloads alone, as bytes and as views, and columns: what they hold, and when they end."""

from __future__ import annotations

import copy
import gc
import pickle
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Pair

import libmctx

numpy = pytest.importorskip("numpy", reason="NumPy is not there")


def send(pair: Pair, payloads: list[bytes]) -> None:
    """Send each by itself, so that each is a message."""
    for payload in payloads:
        pair.publication.send(payload)


def collect(pair: Pair, count: int, how: str = "columns") -> list[Any]:
    """Receive until there are so many; return what each receive gave, copied where it would end."""
    found: list[Any] = []
    while len(found) < count:
        if how == "columns":
            with pair.subscription.recv_columns(600, 5) as columns:
                found += columns.payloads()
        elif how == "views":
            with pair.subscription.recv_payloads(600, 5, copy=False) as views:
                found += map(bytes, views)
        else:
            found += pair.subscription.recv_payloads(600, 5)
    return found


@pytest.mark.parametrize("how", ["columns", "views", "bytes"])
def test_all_forms_hold_the_payloads(pair: Pair, how: str) -> None:
    payloads = [b"", b"a", bytes(1400), b"last"]
    send(pair, payloads)
    assert collect(pair, 4, how) == payloads
    pair.coalesced(50)
    expected = [number.to_bytes(2, "big").ljust(100, b".") for number in range(50)]
    assert collect(pair, 50, how) == expected


@pytest.mark.parametrize("most", [1, 3, 200])
@pytest.mark.parametrize("how", ["recv_columns", "recv_payloads", "views"])
def test_no_more_than_asked_for(pair4: Pair, most: int, how: str) -> None:
    payloads = [bytes([number]) for number in range(10)]
    send(pair4, payloads)
    got: list[bytes] = []
    while len(got) < 10:
        if how == "recv_columns":
            columns = pair4.subscription.recv_columns(most, 5)
            each = columns.payloads()
            assert len(columns) == len(each) == columns.message_count
        elif how == "views":
            each = [bytes(view) for view in pair4.subscription.recv_payloads(most, 5, copy=False)]
        else:
            each = pair4.subscription.recv_payloads(most, 5)
        assert 0 < len(each) <= most
        got += each
    assert got == payloads


def test_columns_tell_where_payloads_are_and_what_is_known_of_them(pair: Pair) -> None:
    pair.coalesced(20, 100)
    columns = pair.subscription.recv_columns(600, 5)
    assert len(columns) == 20
    assert columns.lengths.tolist() == [100] * 20
    assert columns.flags.tolist() == [0] * 20
    for position in (0, 7, 19, -1):
        start, length = columns.offsets[position], columns.lengths[position]
        assert bytes(columns.arena[start : start + length]) == columns.payload(position)
    datagram = columns.datagram(7)
    assert datagram.payload == columns.payload(7)
    assert datagram.source == (pair.source, datagram.source_port)
    assert datagram.group == pair.group
    assert datagram.coalesced == (columns.message_count < 20)
    assert not datagram.truncated
    assert max(columns.messages.tolist()) == columns.message_count - 1
    assert "20 datagrams" in repr(columns)
    for position in (20, -21):
        with pytest.raises(IndexError, match=f"no datagram {position}, only 20"):
            columns.payload(position)
    for view in (columns.arena, columns.records, columns.offsets, columns.message_records):
        assert view.readonly


def test_columns_and_numpy_without_a_copy(pair: Pair) -> None:
    pair.coalesced(30, 64)
    columns = pair.subscription.recv_columns(600, 5)
    records = numpy.frombuffer(columns.records, dtype=libmctx.DATAGRAM_DTYPE)
    assert records.dtype.names == ("offset", "length", "message", "flags")
    assert records["length"].tolist() == [64] * 30
    assert records["offset"].tolist() == columns.offsets.tolist() == numpy.asarray(columns.offsets).tolist()
    data = numpy.frombuffer(columns.arena, dtype=numpy.uint8)
    first = int(records["offset"][0])
    numbers = data[first : first + 64 * 30].reshape(30, 64)[:, 1]
    if columns.message_count == 1:
        assert numbers.tolist() == list(range(30))
    messages = numpy.frombuffer(columns.message_records, dtype=libmctx.MESSAGE_DTYPE)
    assert len(messages) == columns.message_count
    known = columns.datagram(0)
    assert messages["time_ns"][0] == known.time_ns
    assert messages["source"]["port"][0] == known.source_port
    assert messages["datagram_count"].sum() == 30
    assert messages["source"]["bytes"].shape == (len(messages), 16)


def test_columns_end_with_the_next_receive(pair4: Pair) -> None:
    send(pair4, [b"one", b"two", b"three", b"four", b"five"])
    subscription = pair4.subscription
    assert subscription.recv(5).payload == b"one"
    columns = subscription.recv_columns(1, 5)
    arena, offsets = columns.arena, columns.offsets
    assert columns.payloads() == [b"two"]
    assert subscription.recv(5).payload == b"three"
    for use in (
        lambda: columns.lengths,
        lambda: columns.arena,
        lambda: columns.payloads(),
        lambda: columns.payload(0),
        lambda: columns.datagram(0),
        lambda: arena[0],
        lambda: offsets[0],
    ):
        with pytest.raises(ValueError, match="released"):
            use()
    assert len(columns) == 1
    assert "released" in repr(columns)
    columns.release()
    with subscription.recv_columns(600, 5) as columns:
        assert columns.payload(0) == b"four"
    with pytest.raises(ValueError, match="released"):
        columns.payload(0)


def test_what_was_made_of_columns_stays_good(pair4: Pair) -> None:
    """Memory that something looks at is not received into again."""
    kept: list[tuple[Any, list[bytes]]] = []
    for number in range(20):
        sent = [bytes([number, each]) * 50 for each in range(30)]
        pair4.publication.send_many(sent)
        columns = pair4.subscription.recv_columns(600, 5)
        kept.append((numpy.frombuffer(columns.arena, dtype=numpy.uint8), columns.payloads()))
    pair4.publication.send(b"x")
    pair4.subscription.recv(5)
    for array, payloads in kept:
        assert bytes(array[: len(payloads[0])]) == payloads[0]


def test_memory_is_used_again_when_nobody_looks(pair4: Pair) -> None:
    subscription = pair4.subscription
    for _ in range(20):
        for how in (subscription.recv_columns, lambda *most: subscription.recv_payloads(*most, copy=False)):
            pair4.publication.send(b"x")
            how(600, 5)
    subscription._end_views()
    assert len(subscription._arenas) == 1


def test_views_of_payloads_end_and_slices_of_them_stay(pair4: Pair) -> None:
    send(pair4, [b"first", b"second"])
    with pair4.subscription.recv_payloads(1, 5, copy=False) as views:
        (view,) = views
        assert bytes(view) == b"first"
    with pytest.raises(ValueError, match="released"):
        view.tobytes()
    pair4.coalesced(5)
    views = pair4.subscription.recv_payloads(600, 5, copy=False)
    rest = views[0][:3] if bytes(views[0]) != b"second" else views[0][:6]
    expected = bytes(rest)
    pair4.publication.send(b"y" * 500)
    pair4.subscription.recv_payloads(600, 5)
    assert bytes(rest) == expected
    with pytest.raises(ValueError, match="released"):
        views[0].tobytes()


@pytest.mark.parametrize("how", ["columns", "views", "bytes"])
def test_what_an_iteration_has_fetched_comes_in_all_forms(pair4: Pair, how: str) -> None:
    sent = [bytes([number]) * number for number in range(1, 9)]
    send(pair4, sent)
    for datagram in pair4.subscription:
        assert datagram.payload == sent[0]
        break
    assert collect(pair4, 7, how) == sent[1:]


def test_kept_datagrams_as_columns_are_known_too(pair4: Pair) -> None:
    send(pair4, [b"a", b"bb", b"ccc"])
    for _ in pair4.subscription:
        break
    with pair4.subscription.recv_columns(600, 5) as columns:
        assert columns.payloads() == [b"bb", b"ccc"]
        assert columns.messages.tolist() == [0, 1]
        assert columns.datagram(1).source == (pair4.source, columns.datagram(0).source_port)
        messages = numpy.frombuffer(columns.message_records, dtype=libmctx.MESSAGE_DTYPE)
        assert messages["first_datagram"].tolist() == [0, 1]
        assert bytes(columns.arena) == b"bbccc"


def test_kept_datagrams_of_one_message_are_a_message_each(pair4: Pair) -> None:
    pair4.coalesced(10)
    for _ in pair4.subscription:
        break
    with pair4.subscription.recv_columns(600, 5) as columns:
        messages = numpy.frombuffer(columns.message_records, dtype=libmctx.MESSAGE_DTYPE)
        assert messages["datagram_count"].tolist() == [1] * 9
        assert messages["length"].tolist() == messages["segment_size"].tolist() == columns.lengths.tolist()


class Meddler:
    """An arena whose columns another thread releases and uses again, just when they are to be copied."""

    def __init__(self, arena: Any, meddle: Callable[[], object]) -> None:
        self.payloads = lambda: (meddle(), arena.payloads())[1]
        self.come_back = arena.come_back


def test_payloads_are_not_those_of_a_receive_meanwhile(pair4: Pair) -> None:
    send(pair4, [b"before"])
    columns = pair4.subscription.recv_columns(600, 5)
    send(pair4, [b"later"])
    later: list[Any] = []

    def meddle() -> None:
        columns.release()
        later.append(pair4.subscription.recv_columns(600, 5))

    columns._arena = Meddler(columns._arena, meddle)  # type: ignore[assignment]
    assert columns.payloads() == [b"before"]
    assert later[0].payloads() == [b"later"]


def test_a_view_that_is_taken_while_columns_are_released_ends_too(
    pair4: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(pair4, [b"a"])
    columns = pair4.subscription.recv_columns(600, 5)
    cut, made = libmctx.Columns._cut, []

    def release_meanwhile(own: libmctx.Columns, name: str, whole: memoryview) -> memoryview:
        made.append(cut(own, name, whole))
        own.release()
        return made[0]

    monkeypatch.setattr(libmctx.Columns, "_cut", release_meanwhile)
    with pytest.raises(ValueError, match="released"):
        _ = columns.lengths
    with pytest.raises(ValueError, match="released"):
        len(made[0])


def test_each_thread_has_columns_of_its_own(pair4: Pair) -> None:
    send(pair4, [b"mine"])
    columns = pair4.subscription.recv_columns(600, 5)

    def other() -> None:
        send(pair4, [b"theirs"])
        with pair4.subscription.recv_columns(600, 5) as theirs:
            assert theirs.payloads() == [b"theirs"]

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert columns.payloads() == [b"mine"]


def test_columns_outlive_the_subscription(pair4: Pair) -> None:
    send(pair4, [b"x"])
    columns = pair4.subscription.recv_columns(600, 5)
    pair4.subscription.close()
    gc.collect()
    assert columns.payloads() == [b"x"]


@pytest.mark.parametrize("name", ["recv_columns", "recv_payloads"])
def test_wrong_arguments(pair4: Pair, name: str) -> None:
    receive = getattr(pair4.subscription, name)
    with pytest.raises(libmctx.UsageError):
        receive(0)
    with pytest.raises(OverflowError):
        receive(-1)
    with pytest.raises(OverflowError):
        receive(1 << 32)
    with pytest.raises(TypeError):
        receive("10")
    with pytest.raises(ValueError):
        receive(600, -1)
    with pytest.raises(libmctx.WouldBlockError):
        receive(600, 0)
    with pytest.raises(libmctx.TimedOutError):
        receive(600, 0.01)
    pair4.subscription.close()
    with pytest.raises(libmctx.ClosedError):
        receive(600)


def test_the_described_records_have_the_native_layout() -> None:
    datagrams, messages = numpy.dtype(libmctx.DATAGRAM_DTYPE), numpy.dtype(libmctx.MESSAGE_DTYPE)
    assert datagrams.itemsize == struct.calcsize("4I")
    assert messages.itemsize % 8 == 0
    assert messages.fields["time_ns"][1] % 8 == 0


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_columns_have_no_second_object_that_would_outlive_them(pair4: Pair, duplicate: Any) -> None:
    send(pair4, [b"a"])
    columns = pair4.subscription.recv_columns(600, 5)
    with pytest.raises(TypeError, match="payloads"):
        duplicate(columns)
    assert columns.payloads() == [b"a"]


def test_more_than_one_receive_can_bring_takes_no_memory(pair4: Pair) -> None:
    for how in (
        pair4.subscription.recv_many,
        pair4.subscription.recv_payloads,
        pair4.subscription.recv_columns,
    ):
        send(pair4, [b"a"])
        assert len(how((1 << 32) - 1, 5)) == 1
    assert sum(len(each._memory) for each in pair4.subscription._arenas) < 1 << 25

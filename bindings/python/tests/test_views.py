# SPDX-License-Identifier: MIT
"""Payloads as views of the memory that they were received into: when they end, and what keeps that memory."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Pair, Threads, send_numbers

import libmctx
from libmctx._arena import Arena

numpy: Any
try:
    import numpy
except ImportError:
    numpy = None

COUNT = 600
"""Enough for a native batch."""


def receive(pair: Pair, payloads: list[bytes]) -> libmctx.Batch[libmctx.DatagramView]:
    """Receive payloads as views; all at once."""
    pair.publication.send_many(payloads)
    pair.subscription.wait(5)
    batch = pair.subscription.recv_many(COUNT, 5, copy=False)
    assert [bytes(each) for each in batch] == payloads
    return batch


def assert_ended(batch: libmctx.Batch[libmctx.DatagramView]) -> None:
    """Assert that no view of a batch can be used."""
    for each in batch:
        for use in (bytes, len, lambda view: view[0]):
            with pytest.raises(ValueError, match="released"):
                use(each.payload)
        for use in (bytes, pickle.dumps, hash):
            with pytest.raises(ValueError, match="released"):
                use(each)
        assert "released" in repr(each)
        assert each.source is not None  # the rest stays


def test_views_are_of_the_arena_and_read_only(pair: Pair) -> None:
    batch = receive(pair, [b"one", b"two", b""])
    views = [each.payload for each in batch]
    assert all(isinstance(view, memoryview) and view.readonly for view in views)
    owners = {id(view.obj) for view in views if isinstance(view, memoryview)}
    assert len(owners) == 1
    assert type(batch[0]) is libmctx.DatagramView
    assert batch[0] == pickle.loads(pickle.dumps(batch[0]))
    assert type(pickle.loads(pickle.dumps(batch[0]))) is type(copy.copy(batch[0])) is libmctx.Datagram
    assert type(pickle.loads(pickle.dumps(batch))[0].payload) is bytes


def test_views_are_of_each_payload_whatever_comes_before_it(pair: Pair) -> None:
    sizes = [10] * 5 + [300] + [7] * 3 + [0, 0] + [1400] * 4 + [1]
    payloads = [bytes([position]) * size for position, size in enumerate(sizes)]
    receive(pair, payloads).release()
    pair.publication.send_many(payloads)
    pair.subscription.wait(5)
    views = pair.subscription.recv_payloads(COUNT, 5, copy=False)
    assert list(map(bytes, views)) == payloads


RECEIVES: dict[str, Callable[[libmctx.Subscription], object]] = {
    "recv": lambda each: each.recv(0),
    "recv_many": lambda each: each.recv_many(COUNT, 0),
    "few": lambda each: each.recv_many(1, 0),
    "views": lambda each: each.recv_many(COUNT, 0, copy=False),
    "few views": lambda each: each.recv_many(1, 0, copy=False),
    "recv_into": lambda each: each.recv_into(bytearray(1), 0),
    "iteration": lambda each: next(iter(each)),
}


@pytest.mark.parametrize("how", RECEIVES)
@pytest.mark.parametrize("first", [COUNT, 3])
@pytest.mark.parametrize("is_there", [True, False])
def test_the_next_receive_ends_them(pair4: Pair, how: str, first: int, is_there: bool) -> None:
    pair4.publication.send_many([b"a", b"b"])
    pair4.subscription.wait(5)
    batch = pair4.subscription.recv_many(first, copy=False)
    assert [bytes(each) for each in batch] == [b"a", b"b"]
    if is_there:
        pair4.publication.send(b"c")
        pair4.subscription.wait(5)
        RECEIVES[how](pair4.subscription)
    elif how != "iteration":
        with pytest.raises(libmctx.WouldBlockError):
            RECEIVES[how](pair4.subscription)
    else:
        batch.release()
    assert_ended(batch)


def test_release_and_with_end_them(pair4: Pair) -> None:
    with receive(pair4, [b"a", b"b"]) as batch:
        assert bytes(batch[0]) == b"a"
    assert_ended(batch)
    batch = receive(pair4, [b"c"])
    batch.release()
    batch.release()
    assert_ended(batch)
    with receive(pair4, [b"d"]):
        pass
    copies: libmctx.Batch[libmctx.Datagram] = libmctx.Batch([])
    copies.release()
    assert len(pair4.subscription._arenas) == 1  # the same memory again and again


def test_copies_are_not_touched_by_the_next_receive(pair4: Pair) -> None:
    pair4.publication.send_many([b"a" * 100, b"b" * 100])
    batch = pair4.subscription.recv_many(COUNT, 5)
    receive(pair4, [b"c" * 100] * 5)
    assert {bytes(each)[:1] for each in batch} <= {b"a", b"b"}
    batch.release()
    assert bytes(batch[0]) == b"a" * 100


@pytest.mark.parametrize("derive", ["slice", "cast", "array", "array of a slice", "readonly"])
def test_memory_that_something_was_made_of_is_not_received_into_again(pair4: Pair, derive: str) -> None:
    if numpy is None and derive.startswith("array"):
        pytest.skip("NumPy is not there")
    batch = receive(pair4, [b"0123456789" * 10])
    view = batch[0].payload
    derivations: dict[str, Callable[[memoryview], Any]] = {
        "slice": lambda view: view[2:6],
        "cast": lambda view: view.cast("H"),
        "array": lambda view: numpy.frombuffer(view, dtype="u1"),
        "array of a slice": lambda view: numpy.frombuffer(view[2:6], dtype="u1"),
        "readonly": lambda view: view.toreadonly(),
    }
    derived = derivations[derive](view)
    before = bytes(derived)
    del view
    for number in range(20):
        receive(pair4, [bytes([number]) * 100])
    assert bytes(derived) == before
    assert len(pair4.subscription._arenas) <= 1
    del derived, batch
    gc.collect()


def test_views_outlive_the_subscription(pair4: Pair) -> None:
    batch = receive(pair4, [b"still here"])
    pair4.subscription.close()
    assert bytes(batch[0]) == b"still here"
    with pytest.raises(libmctx.ClosedError):
        pair4.subscription.recv(0)
    assert_ended(batch)


def test_another_threads_receive_ends_nothing(pair4: Pair) -> None:
    batch = receive(pair4, [b"mine", b"mine too"])
    others: list[libmctx.Batch[libmctx.DatagramView]] = []

    def work() -> None:
        for _ in range(20):
            pair4.publication.send(b"x" * 50)
            pair4.subscription.wait(5)
            others.append(pair4.subscription.recv_many(COUNT, 5, copy=False))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [bytes(each) for each in batch] == [b"mine", b"mine too"]
    assert bytes(others[-1][0]) == b"x" * 50
    assert_ended(others[-2])
    others[-1].release()
    assert_ended(others[-1])


def test_threads_with_views_of_one_subscription(pair4: Pair) -> None:
    """Each sees what it received, whatever the others do, and nothing is lost or repeated."""
    total = 6000
    received: list[list[bytes]] = [[] for _ in range(4)]
    left = threading.Event()

    def work(own: list[bytes]) -> None:
        while not left.is_set():
            try:
                batch = pair4.subscription.recv_many(COUNT, 0.05, copy=False)
            except libmctx.TimedOutError:
                continue
            first = [bytes(each) for each in batch]
            assert [bytes(each) for each in batch] == first
            own += first

    threads = Threads(*(functools.partial(work, own) for own in received))
    send_numbers(pair4, total, received, threads)
    left.set()
    assert threads.join() == []
    assert sorted(int(each) for own in received for each in own) == list(range(total))


def test_a_closed_subscription_keeps_no_memory(context: libmctx.Context) -> None:
    pair = Pair(context, "ipv4")
    pair.publication.send_many([b"x"] * 2)
    pair.subscription.recv_columns(600, 5).release()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            pair.subscription.recv_many(600)
        except libmctx.ClosedError as error:
            ended.append(error.with_traceback(None))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    pair.subscription.close()
    thread.join(10)
    assert len(ended) == 1
    mine = [each for each in gc.get_objects() if type(each) is Arena and each.handle == pair.subscription.id]
    assert mine == []

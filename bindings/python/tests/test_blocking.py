# SPDX-License-Identifier: MIT
"""Full send buffers and waits on a real slow link; signals and closes that end them."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from conftest import SOON, SlowLink, Threads, eventually

import libmctx


def test_a_full_buffer_is_a_blocking_io_error(slow_link: SlowLink) -> None:
    slow_link.stop()
    assert slow_link.fill() > 2
    with pytest.raises(BlockingIOError) as caught:
        slow_link.publication.send(b"x" * 1000)
    error = caught.value
    assert isinstance(error, libmctx.WouldBlockError)
    assert error.errno == errno.EAGAIN
    assert (error.kind, error.retry, error.handle) == ("would_block", "when_ready", slow_link.publication.id)
    assert error.accepted is None
    assert pickle.loads(pickle.dumps(error)).errno == errno.EAGAIN


def test_wait_ends_when_there_is_room(slow_link: SlowLink) -> None:
    slow_link.fill()
    with contextlib.suppress(libmctx.WouldBlockError):
        slow_link.publication.wait(0)
    assert slow_link.publication.wait(5) == libmctx.Ready.WRITABLE
    slow_link.publication.send(b"x")


def test_send_many_takes_what_goes_now(slow_link: SlowLink) -> None:
    slow_link.stop()
    payloads = [bytes(1000)] * 200
    accepted = slow_link.publication.send_many(payloads)
    assert 0 < accepted < 200
    with pytest.raises(libmctx.WouldBlockError) as caught:
        slow_link.publication.send_many(payloads)
    assert caught.value.accepted == 0
    with pytest.raises(libmctx.WouldBlockError):
        slow_link.publication.send_segments(bytes(10_000), 1000)
    assert slow_link.publication.metrics().packets_sent == accepted


def test_send_many_waits_and_resumes(slow_link: SlowLink) -> None:
    slow_link.fill()
    start = time.monotonic()
    assert slow_link.publication.send_many([bytes(1000)] * 200, timeout=None) == 200
    assert time.monotonic() - start > 200 * 1000 / slow_link.rate / 4
    assert slow_link.publication.send_segments(bytes(30_000), 1000, timeout=10) == 30


def test_send_many_in_time_returns_what_went(slow_link: SlowLink) -> None:
    slow_link.fill()
    start = time.monotonic()
    accepted = slow_link.publication.send_many([bytes(1000)] * 1000, timeout=1)
    assert 0 < accepted < 1000
    assert 0.95 < time.monotonic() - start < SOON
    slow_link.stop()
    slow_link.fill()
    with pytest.raises(TimeoutError) as caught:
        slow_link.publication.send_many([bytes(1000)], timeout=0.05)
    assert isinstance(caught.value, libmctx.TimedOutError)
    assert caught.value.accepted == 0
    assert caught.value.errno == errno.ETIMEDOUT


def test_wake_ends_a_batch_and_says_how_many_went(slow_link: SlowLink) -> None:
    timer = threading.Timer(1, slow_link.publication.wake)
    timer.start()
    with pytest.raises(libmctx.WaitInterruptedError) as caught:
        slow_link.publication.send_many([bytes(1000)] * 10_000, timeout=None)
    timer.join()
    assert caught.value.accepted == slow_link.publication.metrics().packets_sent > 0


def test_closing_ends_waits_of_other_threads(context: libmctx.Context, slow_link: SlowLink) -> None:
    slow_link.fill()
    publication = slow_link.publication
    threads = Threads(
        lambda: publication.send_many([bytes(1000)] * 10_000, timeout=None),
        lambda: publication.wait(events=libmctx.Ready(0)),
        lambda: publication.wait(60, events=libmctx.Ready.READABLE),
    )
    longer = Threads(context.wait)
    time.sleep(0.1)
    publication.close()
    ended = threads.join()
    assert [type(each) for each in ended] == [libmctx.ClosedError] * 3
    assert all(isinstance(each, LookupError) for each in ended)
    assert longer.raised == []
    context.close()
    assert [type(each) for each in longer.join()] == [libmctx.ClosedError]


@pytest.fixture
def on_alarm() -> Iterator[list[int]]:
    """Handlers that SIGALRM ran."""
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    yield calls
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_signal_handlers_run_while_a_wait_goes_on(context: libmctx.Context, on_alarm: list[int]) -> None:
    seen_in_time: list[bool] = []

    def look() -> None:
        seen_in_time.append(eventually(lambda: len(on_alarm) >= 3, 3))
        context.wake()

    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    thread = threading.Thread(target=look)
    thread.start()
    with pytest.raises(libmctx.WaitInterruptedError):
        context.wait()
    thread.join()
    assert seen_in_time == [True]


def test_signals_do_not_lengthen_a_timeout(context: libmctx.Context, on_alarm: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    for _ in range(10):  # a machine that stops for a while brings many signals as one
        on_alarm.clear()
        start = time.monotonic()
        with pytest.raises(libmctx.TimedOutError):
            context.wait(0.3)
        assert 0.25 < time.monotonic() - start < SOON
        if len(on_alarm) > 3:
            break
    assert len(on_alarm) > 3


def test_signals_lose_no_datagram_of_a_batch(slow_link: SlowLink, on_alarm: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    assert slow_link.publication.send_many([bytes(1000)] * 100, timeout=None) == 100
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert slow_link.publication.metrics().packets_sent == 100
    assert on_alarm


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize("what", ["wait", "send_many"])
def test_ctrl_c_ends_a_wait(slow_link: SlowLink, what: str) -> None:
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    waits: dict[str, Callable[[], object]] = {
        "wait": lambda: slow_link.publication.wait(events=libmctx.Ready(0)),
        "send_many": lambda: slow_link.publication.send_many([bytes(1000)] * 100_000, timeout=None),
    }
    with pytest.raises(KeyboardInterrupt):
        waits[what]()
    assert time.monotonic() - start < SOON
    timer.join()


def test_a_wait_of_the_main_thread_is_cut_into_slices(
    context: libmctx.Context, native_waits: list[int]
) -> None:
    start = time.monotonic()
    with pytest.raises(libmctx.TimedOutError):
        context.wait(1)
    assert 0.98 < time.monotonic() - start < SOON
    assert len(native_waits) > 1
    assert 0 < min(native_waits) <= max(native_waits) == 10_000_000


def test_a_wait_of_another_thread_is_not(context: libmctx.Context, native_waits: list[int]) -> None:
    ended: list[str] = []

    def wait() -> None:
        try:
            context.wait(0.1)
        except libmctx.MctxError as error:
            ended.append(error.kind)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert ended == ["timeout"]
    assert len(native_waits) == 1

# SPDX-License-Identifier: MIT
"""AsyncPublication on asyncio's own loop and on uvloop, on a slow link, and over objects of other makers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import math
import socket
import time
from typing import Any

import pytest
from conftest import SOON, Receiver, Run, SlowLink, Threads, count_descriptors, until_watched, watched

import libmctx
from libmctx import AsyncPublication


def test_send_returns_the_report(run: Run, context: libmctx.Context, receiver: Receiver) -> None:
    publication = receiver.open(context)
    asynchronous = AsyncPublication(publication)
    assert asynchronous.publication is publication
    assert repr(asynchronous) == f"AsyncPublication({publication!r})"

    async def body() -> libmctx.SendReport:
        return await asynchronous.send(bytearray(b"hello"))

    report = run(body)
    assert receiver.recv() == b"hello"
    assert (report.publication_id, report.bytes_sent) == (publication.id, 5)


def test_the_signature_is_the_known_one() -> None:
    parameters = inspect.signature(AsyncPublication).parameters
    assert list(parameters) == ["publication", "loop", "poll_interval"]
    assert parameters["loop"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["poll_interval"].default == 0.001


@pytest.mark.parametrize("interval", [0, -1, -0.5, math.nan, math.inf, -math.inf])
def test_poll_intervals_that_cannot_be(interval: float) -> None:
    with pytest.raises(ValueError, match="poll_interval"):
        AsyncPublication(None, poll_interval=interval)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        AsyncPublication(None, poll_interval="1")  # type: ignore[arg-type]


def test_a_send_waits_for_room(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        asynchronous = AsyncPublication(slow_link.publication)
        for _ in range(60):
            await asynchronous.send(bytes(1000))

    run(body)
    metrics = slow_link.publication.metrics()
    assert metrics.packets_sent == 60
    assert 0 < metrics.errors_would_block < 1000  # it didn't spin


def test_many_tasks_wait_at_once(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        senders = [AsyncPublication(slow_link.publication) for _ in range(2)]
        await asyncio.gather(*(senders[number % 2].send(bytes(1000)) for number in range(60)))

    run(body)
    assert slow_link.publication.metrics().packets_sent == 60


def test_a_cancelled_send_leaves_nothing(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        slow_link.stop()
        slow_link.fill()
        asynchronous = AsyncPublication(slow_link.publication)
        tasks = [asyncio.ensure_future(asynchronous.send(bytes(1000))) for _ in range(3)]
        await until_watched(3)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert watched(loop) == [slow_link.publication.fileno()]
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert watched(loop) == []
        assert not loop.remove_writer(slow_link.publication.fileno())
        assert not slow_link.publication._hooks

    run(body)


def test_a_send_that_runs_out_of_time_leaves_nothing(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        slow_link.stop()
        slow_link.fill()
        sent = slow_link.publication.metrics().packets_sent
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(AsyncPublication(slow_link.publication).send(bytes(1000)), 0.05)
        assert not asyncio.get_running_loop().remove_writer(slow_link.publication.fileno())
        assert slow_link.publication.metrics().packets_sent == sent

    run(body)


@pytest.mark.parametrize("how", ["remove", "context", "thread", "release"])
def test_closing_ends_waiting_sends(run: Run, context: libmctx.Context, slow_link: SlowLink, how: str) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        slow_link.stop()
        slow_link.fill()
        asynchronous = AsyncPublication(slow_link.publication)
        tasks: list[asyncio.Future[Any]] = []
        tasks += [asyncio.ensure_future(asynchronous.send(bytes(1000))) for _ in range(2)]
        tasks.append(asyncio.ensure_future(asynchronous.send_many([bytes(1000)] * 1000)))
        await until_watched(3)
        if how == "remove":
            assert slow_link.publication.remove()
        elif how == "context":
            context.close()
        elif how == "release":
            slow_link.publication.release().close()
        else:
            await asyncio.wait_for(loop.run_in_executor(None, slow_link.publication.close), 5)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, libmctx.ClosedError)
            assert isinstance(result, LookupError)
        assert watched(loop) == []

    run(body)


def test_the_socket_is_off_the_loop_before_it_is_closed(run: Run, slow_link: SlowLink) -> None:
    """Else a loop would watch whatever gets the descriptor's number next."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        removed: list[bool] = []
        remove_writer = loop.remove_writer
        slow_link.stop()
        slow_link.fill()
        publication = slow_link.publication
        task = asyncio.ensure_future(AsyncPublication(publication).send(bytes(1000)))
        await until_watched()
        descriptor = publication.fileno()
        release = publication._hooks.copy().pop()

        def spy() -> None:
            removed.append(not publication.closed)
            release()
            removed.append(not remove_writer(descriptor))

        publication._hooks.clear()
        publication._hooks.add(spy)
        publication.close()
        assert removed == [True, True]
        with pytest.raises(libmctx.ClosedError):
            await task

    run(body)


def test_a_socket_that_is_being_closed_is_not_put_on_the_loop_again(run: Run, slow_link: SlowLink) -> None:
    """A thread may close it at any moment then, and a loop may end the process over a closed descriptor."""

    async def body() -> None:
        slow_link.stop()
        slow_link.fill()
        publication = slow_link.publication
        sending = AsyncPublication(publication, poll_interval=20)
        task = asyncio.ensure_future(sending.send(bytes(1000)))
        await until_watched()
        publication._before_close()  # what a thread that closes does first
        loop = asyncio.get_running_loop()
        for _ in range(50):
            await asyncio.sleep(0)
            assert watched(loop) == []
        publication.close()
        with pytest.raises(libmctx.ClosedError):
            await asyncio.wait_for(task, 5)

    run(body)


def test_a_closed_loop_does_not_keep_a_publication_from_closing(slow_link: SlowLink) -> None:
    loop = asyncio.new_event_loop()
    slow_link.stop()
    slow_link.fill()
    send = AsyncPublication(slow_link.publication, loop=loop).send(bytes(1000))
    task = loop.create_task(send)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert watched(loop)
    slow_link.publication.close()
    with pytest.raises(libmctx.ClosedError):
        loop.run_until_complete(task)
    loop.close()


def test_send_many_waits_and_resumes(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        asynchronous = AsyncPublication(slow_link.publication)
        assert await asynchronous.send_many([bytes(1000)] * 60) == 60
        assert await asynchronous.send_many([]) == 0
        with contextlib.suppress(libmctx.WouldBlockError):  # what went before may fill the buffer
            assert await asynchronous.send_many([bytes(1000)] * 1000, timeout=0) < 1000
        slow_link.fill()
        start = time.monotonic()
        assert 0 < await asynchronous.send_many([bytes(1000)] * 1000, timeout=1) < 1000
        assert time.monotonic() - start < SOON

    run(body)


def test_send_many_out_of_time_with_none_accepted(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        slow_link.stop()
        slow_link.fill()
        with pytest.raises(libmctx.WouldBlockError) as caught:
            await AsyncPublication(slow_link.publication).send_many([bytes(1000)] * 3, timeout=0)
        assert caught.value.accepted == 0
        with pytest.raises(TimeoutError) as late:
            await AsyncPublication(slow_link.publication).send_many([bytes(1000)] * 3, timeout=0.05)
        assert isinstance(late.value, libmctx.TimedOutError)

    run(body)


def test_send_many_says_which_datagram_failed(run: Run, context: libmctx.Context, receiver: Receiver) -> None:
    async def body() -> None:
        with pytest.raises(libmctx.TooLargeError) as caught:
            await AsyncPublication(receiver.open(context)).send_many([b"a", b"b", bytes(70_000)])
        assert (caught.value.accepted, caught.value.item) == (2, 2)

    run(body)


def test_a_cancelled_send_many_lets_go_of_its_payloads(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        payload = bytearray(1000)
        task = asyncio.ensure_future(AsyncPublication(slow_link.publication).send_many([payload] * 1000))
        await until_watched()
        with pytest.raises(BufferError):
            payload.append(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        payload.append(0)
        assert not asyncio.get_running_loop().remove_writer(slow_link.publication.fileno())

    run(body)


class Foreign:
    """A sender of another maker, whose first sends would block."""

    def __init__(self, blocks: int, descriptor: int | None = None) -> None:
        self.blocks = blocks
        self.removed = False
        self.sent: list[bytes] = []
        if descriptor is not None:
            self.fileno = lambda: descriptor

    def send(self, payload: bytes) -> int:
        if self.removed:
            raise LookupError("removed")
        if self.blocks:
            self.blocks -= 1
            raise BlockingIOError(errno.EAGAIN, "later")
        self.sent.append(payload)
        return len(payload)


def test_it_polls_objects_without_a_descriptor(run: Run) -> None:
    async def body() -> None:
        foreign = Foreign(5)
        assert await AsyncPublication(foreign).send(b"abc") == 3
        foreign.blocks = 2
        assert await AsyncPublication(foreign).send_many([b"d", b"e"]) == 2
        assert foreign.sent == [b"abc", b"d", b"e"]
        for alone in (b"de", "de", memoryview(b"de")):
            with pytest.raises(TypeError, match="send_segments"):
                await AsyncPublication(foreign).send_many(alone)  # type: ignore[arg-type]
        assert foreign.sent == [b"abc", b"d", b"e"]
        foreign.blocks = 10**9
        with pytest.raises(BlockingIOError):
            await AsyncPublication(foreign).send_many([b"d", b"e"], timeout=0)
        with pytest.raises(TimeoutError):
            await AsyncPublication(foreign).send_many([b"d", b"e"], timeout=0.01)

    run(body)


@pytest.mark.parametrize("loop_class", ["without", "unsupported"])
def test_it_polls_where_the_loop_cannot_watch(
    monkeypatch: pytest.MonkeyPatch, slow_link: SlowLink, loop_class: str
) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()

        def refuse(*arguments: object) -> None:
            raise NotImplementedError if loop_class == "unsupported" else AttributeError

        monkeypatch.setattr(loop, "add_writer", refuse)
        slow_link.fill()
        await AsyncPublication(slow_link.publication).send(bytes(1000))
        slow_link.fill()
        assert await AsyncPublication(slow_link.publication).send_many([bytes(1000)] * 5) == 5

    asyncio.run(asyncio.wait_for(body(), 30))


def test_it_sees_that_a_foreign_publication_was_removed(run: Run) -> None:
    async def body() -> None:
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            while True:  # until it isn't writable any more
                try:
                    left.send(bytes(65536))
                except BlockingIOError:
                    break
            foreign = Foreign(10**9, left.fileno())
            task = asyncio.ensure_future(AsyncPublication(foreign).send(b"x"))
            await until_watched()
            foreign.removed = True
            with pytest.raises(LookupError, match="removed"):
                await asyncio.wait_for(task, 2)

    run(body)


def test_sends_from_several_loops_at_once(slow_link: SlowLink) -> None:
    def work() -> None:
        async def body() -> None:
            for _ in range(15):
                await AsyncPublication(slow_link.publication).send(bytes(1000))

        asyncio.run(body())

    assert Threads(*[work] * 4).join() == []
    assert slow_link.publication.metrics().packets_sent == 60


def test_nothing_leaks(run: Run, slow_link: SlowLink) -> None:
    async def body() -> None:
        before = count_descriptors()
        for _ in range(20):
            await AsyncPublication(slow_link.publication).send(bytes(1000))
        assert count_descriptors() == before

    run(body)


def test_segments_of_one_buffer(run: Run, receiver4: Receiver, slow_link: SlowLink) -> None:
    async def body() -> None:
        with libmctx.Context() as context:
            asynchronous = AsyncPublication(receiver4.open(context))
            assert await asynchronous.send_segments(bytearray(b"abcdefgh"), 3) == 3
            assert receiver4.recv_many(3) == [b"abc", b"def", b"gh"]
            with pytest.raises(libmctx.UsageError):
                await asynchronous.send_segments(b"abc", 0)
            with pytest.raises(TypeError):
                await asynchronous.send_segments("abc", 1)  # type: ignore[arg-type]
        slow = AsyncPublication(slow_link.publication)
        slow_link.fill()
        assert await slow.send_segments(bytes(150_000), 1000) == 150

    run(body)


def test_a_buffer_is_held_until_all_its_segments_are_sent(run: Run, receiver4: Receiver) -> None:
    async def body() -> None:
        with libmctx.Context() as context:
            pace: dict[str, Any] = {"pacing_unit": "datagrams", "pacing_burst": 1, "pacing_by": "library"}
            publication = receiver4.open(context, pacing_rate=20, **pace)
            buffer = bytearray(b"0123")
            sending = asyncio.ensure_future(AsyncPublication(publication).send_segments(buffer, 1))
            await asyncio.sleep(0)
            with pytest.raises(BufferError):
                buffer.clear()
            assert await sending == 4
            buffer.clear()
            assert receiver4.recv_many(4) == [b"0", b"1", b"2", b"3"]

    run(body)


def test_sends_wait_for_the_pace(run: Run, receiver4: Receiver) -> None:
    async def body() -> None:
        with libmctx.Context() as context:
            pace: dict[str, Any] = {"pacing_unit": "datagrams", "pacing_burst": 1, "pacing_by": "library"}
            publication = receiver4.open(context, pacing_rate=50, **pace)
            asynchronous = AsyncPublication(publication)
            start = time.monotonic()
            for payload in (b"0", b"1", b"2"):
                await asynchronous.send(payload)
            assert await asynchronous.send_many([b"3", b"4"]) == 2
            assert await asynchronous.send_segments(b"56", 1) == 2
            assert time.monotonic() - start > 6 * 0.02 * 0.9
            assert receiver4.recv_many(7) == [b"%d" % number for number in range(7)]

            async def until_refused(timeout: float) -> None:
                while True:  # the bucket may have filled meanwhile
                    await asynchronous.send_many([b"x"], timeout=timeout)

            with pytest.raises(libmctx.TimedOutError):
                await until_refused(0.001)
            with pytest.raises(libmctx.WouldBlockError) as caught:
                await until_refused(0)
            assert caught.value.retry_after

    run(body)


def test_segments_over_objects_of_other_makers(run: Run) -> None:
    class Other:
        def __init__(self) -> None:
            self.sent: list[bytes] = []

        def send(self, payload: Any, /) -> None:
            self.sent.append(bytes(payload))

    async def body() -> None:
        other = Other()
        assert await AsyncPublication(other).send_segments(b"abcde", 2) == 3
        assert other.sent == [b"ab", b"cd", b"e"]
        with pytest.raises(libmctx.UsageError):
            await AsyncPublication(other).send_segments(b"abcde", 0)

    run(body)

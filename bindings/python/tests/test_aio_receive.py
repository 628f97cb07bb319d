# SPDX-License-Identifier: MIT
"""AsyncSubscription on asyncio's own loop and on uvloop: nothing lost, repeated or left behind."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import GROUP4, SOON, Pair, Run, Threads, count_descriptors, send_numbers, until_watched, watched

import libmctx
from libmctx import AsyncSubscription, _watch


def test_the_signature_is_that_of_the_send_side() -> None:
    parameters = inspect.signature(AsyncSubscription).parameters
    assert list(parameters) == ["subscription", "loop", "poll_interval"]
    for interval in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="poll_interval"):
            AsyncSubscription(None, poll_interval=interval)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Subscription"):
        AsyncSubscription(None)  # type: ignore[arg-type]


def test_recv_and_recv_many(run: Run, pair: Pair) -> None:
    asynchronous = AsyncSubscription(pair.subscription)
    assert asynchronous.subscription is pair.subscription
    assert repr(asynchronous) == f"AsyncSubscription({pair.subscription!r})"

    async def body() -> None:
        pair.publication.send(b"there already")
        assert (await asynchronous.recv()).payload == b"there already"
        task = asyncio.ensure_future(asynchronous.recv())
        await until_watched()
        pair.publication.send(b"later")
        datagram = await task
        assert datagram.payload == b"later"
        assert datagram.source == pair.publication.local_addr()
        pair.publication.send_many([b"a", b"b", b"c"])
        received: list[bytes] = []
        while len(received) < 3:
            received += [each.payload for each in await asynchronous.recv_many(2, timeout=5)]
        assert received == [b"a", b"b", b"c"]
        for bad in (0, -1, "5"):
            with pytest.raises((ValueError, TypeError, OverflowError)):
                await asynchronous.recv_many(bad)  # type: ignore[arg-type]

    run(body)


def test_timeouts(run: Run, pair4: Pair) -> None:
    async def body() -> None:
        asynchronous = AsyncSubscription(pair4.subscription)
        for receive in (asynchronous.recv, asynchronous.recv_many):
            with pytest.raises(BlockingIOError):
                await receive(timeout=0)
            start = time.monotonic()
            with pytest.raises(libmctx.TimedOutError):
                await receive(timeout=0.05)
            assert 0.04 < time.monotonic() - start < SOON
            with pytest.raises(ValueError, match="timeout"):
                await receive(timeout=-1)
        pair4.publication.send(b"x")
        assert (await asynchronous.recv(5)).payload == b"x"

    run(body)


def test_one_wake_up_drains_many(run: Run, pair4: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    wait = _watch.Watch.wait

    async def count(self: _watch.Watch, watched: Any, timeout: float | None) -> None:
        waits.append(timeout)
        await wait(self, watched, timeout)

    monkeypatch.setattr(_watch.Watch, "wait", count)

    async def body() -> None:
        asynchronous = AsyncSubscription(pair4.subscription)
        pair4.publication.send_many([b"%d" % number for number in range(500)])
        received = [int((await asynchronous.recv()).payload) for _ in range(500)]
        assert received == list(range(500))
        assert waits == []
        pair4.publication.send_many([b"%d" % number for number in range(500)])
        calls = pair4.subscription.stats().receive_calls
        received = []
        async for datagram in asynchronous:
            received.append(int(datagram.payload))
            if len(received) == 500:
                break
        assert received == list(range(500))
        assert waits == []
        assert pair4.subscription.stats().receive_calls - calls < 10

    run(body)


def test_others_get_their_turn_under_load(run: Run, pair4: Pair) -> None:
    async def body() -> None:
        asynchronous = AsyncSubscription(pair4.subscription)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        for receive in (asynchronous.recv, lambda: asynchronous.recv_many(1), lambda: asynchronous.recv_many()):
            before = turns
            for _ in range(300):
                pair4.publication.send(b"x")
                await receive()
            assert turns > before
        before = turns
        left = 300
        pair4.publication.send(b"x")
        async for _ in asynchronous:
            left -= 1
            if not left:
                break
            pair4.publication.send(b"x")
        assert turns > before
        task.cancel()

    run(body)


def test_async_for_ends_with_the_close(run: Run, pair: Pair) -> None:
    async def body() -> None:
        payloads = [b"%d" % number for number in range(300)]
        pair.publication.send_many(payloads)
        received: list[bytes] = []
        async for datagram in AsyncSubscription(pair.subscription):
            received.append(datagram.payload)
            if len(received) == len(payloads):
                asyncio.get_running_loop().call_later(0.02, pair.subscription.close)
        assert received == payloads
        async for _ in AsyncSubscription(pair.subscription):
            raise AssertionError
        with pytest.raises(libmctx.ClosedError):
            await AsyncSubscription(pair.subscription).recv()

    run(body)


def test_tasks_that_share_an_iterator_lose_nothing(run: Run, pair: Pair) -> None:
    async def body() -> None:
        shared = aiter(AsyncSubscription(pair.subscription))
        received: list[bytes] = []

        async def take() -> None:
            async for each in shared:
                received.append(each.payload)
                await asyncio.sleep(0)

        tasks = [asyncio.ensure_future(take()) for _ in range(3)]
        payloads = [b"%d" % number for number in range(100)]
        await until_watched(3)
        for first in range(0, 100, 10):
            pair.publication.send_many(payloads[first : first + 10])
            await asyncio.sleep(0)
        end = asyncio.get_running_loop().time() + 5
        while len(received) < len(payloads) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.001)
        assert sorted(received) == sorted(payloads)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(body)


def test_an_async_for_that_is_left_early_loses_nothing(run: Run, pair: Pair) -> None:
    async def body() -> None:
        payloads = [b"%d" % number for number in range(50)]
        pair.publication.send_many(payloads)
        asynchronous = AsyncSubscription(pair.subscription)
        received: list[bytes] = []
        for end in (10, 20):
            async for datagram in asynchronous:
                received.append(datagram.payload)
                if len(received) == end:
                    break
        received.append((await asynchronous.recv()).payload)
        received.append(pair.subscription.recv(0).payload)
        received += [each.payload for each in await AsyncSubscription(pair.subscription).recv_many(8)]
        while len(received) < 50:
            received += [each.payload for each in await asynchronous.recv_many()]
        assert received == payloads
        with pytest.raises(libmctx.TimedOutError):
            await asynchronous.recv(0.01)

    run(body)


def test_what_is_left_wakes_a_task_that_waits(run: Run, pair4: Pair) -> None:
    async def body() -> None:
        stream = AsyncSubscription(pair4.subscription).__aiter__()
        pair4.publication.send_many([b"a", b"b"])
        await asyncio.sleep(0.01)
        assert (await stream.__anext__()).payload == b"a"
        task = asyncio.ensure_future(AsyncSubscription(pair4.subscription).recv())
        await until_watched()
        del stream
        assert (await asyncio.wait_for(task, 5)).payload == b"b"

    run(body)


@pytest.mark.parametrize("how", ["recv", "recv_many", "async for", "mixed"])
def test_tasks_lose_and_repeat_nothing(run: Run, pair4: Pair, how: str) -> None:
    total = 3000

    async def body() -> None:
        received: list[list[int]] = [[] for _ in range(5)]

        async def take(own: list[int], number: int) -> None:
            kind = ["recv", "recv_many", "async for", "recv", "leaving"][number] if how == "mixed" else how
            asynchronous = AsyncSubscription(pair4.subscription)
            try:
                while True:
                    if kind == "recv":
                        own.append(int((await asynchronous.recv()).payload))
                    elif kind == "recv_many":
                        own += [int(each.payload) for each in await asynchronous.recv_many(300)]
                    else:
                        async for each in asynchronous:
                            own.append(int(each.payload))
                            if kind == "leaving" and len(own) % 7 == 0:
                                break
                            if len(own) % 50 == 0:
                                await asyncio.sleep(0)
                        if pair4.subscription.closed:
                            return
            except libmctx.ClosedError:
                return

        tasks = [asyncio.ensure_future(take(own, number)) for number, own in enumerate(received)]
        for start in range(0, total, 100):
            pair4.publication.send_many([b"%d" % number for number in range(start, start + 100)])
            while sum(map(len, received)) < start:
                await asyncio.sleep(0)
        while sum(map(len, received)) < total:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        pair4.subscription.close()
        await asyncio.gather(*tasks)
        assert sorted(number for own in received for number in own) == list(range(total))

    run(body)


def test_a_cancellation_storm_loses_nothing(run: Run, pair4: Pair) -> None:
    """Tasks are cancelled at any moment while datagrams arrive; each datagram is somebody's, once."""
    rng = random.Random(4)
    total = 1500

    async def body() -> None:
        received: list[int] = []
        asynchronous = AsyncSubscription(pair4.subscription)

        async def one() -> None:
            received.append(int((await asynchronous.recv()).payload))

        async def many() -> None:
            received.extend(int(each.payload) for each in await asynchronous.recv_many(rng.choice([2, 300])))

        async def stream() -> None:
            async for each in asynchronous:
                received.append(int(each.payload))
                if rng.random() < 0.2:
                    await asyncio.sleep(0)

        async def timed() -> None:
            received.append(int((await asyncio.wait_for(asynchronous.recv(), rng.random() / 500)).payload))

        tasks: set[asyncio.Future[None]] = set()
        sent = 0
        while sent < total:
            for _ in range(rng.randrange(6)):
                tasks.add(asyncio.ensure_future(rng.choice([one, many, stream, timed])()))
            if rng.random() < 0.7:
                count = rng.randrange(1, 12)
                pair4.publication.send_many([b"%d" % number for number in range(sent, sent + count)])
                sent += count
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            for task in rng.sample(sorted(tasks, key=id), min(len(tasks), rng.randrange(6))):
                task.cancel()
            done = {task for task in tasks if task.done()}
            tasks -= done
            for result in await asyncio.gather(*done, return_exceptions=True):
                assert result is None or isinstance(result, (asyncio.CancelledError, asyncio.TimeoutError)), (
                    result
                )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        del tasks
        while len(received) < sent:
            received.append(int((await asynchronous.recv(5)).payload))
        assert sorted(received) == list(range(sent))
        with pytest.raises(libmctx.TimedOutError):
            await asynchronous.recv(0.01)
        assert not pair4.subscription._hooks
        assert not pair4.subscription._listeners

    run(body)


@pytest.mark.parametrize("how", ["subscription", "context", "thread"])
def test_closing_ends_waiting_tasks(run: Run, pair4: Pair, how: str) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        asynchronous = AsyncSubscription(pair4.subscription)
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(asynchronous.recv()) for _ in range(3)]
        tasks.append(asyncio.ensure_future(asynchronous.recv_many()))
        tasks.append(asyncio.ensure_future(asynchronous.recv(60)))
        await until_watched(5)
        if how == "subscription":
            pair4.subscription.close()
        elif how == "context":
            pair4.context.close()
        else:
            await asyncio.wait_for(loop.run_in_executor(None, pair4.subscription.close), 5)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, libmctx.ClosedError)
            assert isinstance(result, LookupError)

    run(body)


def test_the_descriptor_is_off_the_loop_before_it_is_closed(run: Run, pair4: Pair) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        removed: list[bool] = []
        task = asyncio.ensure_future(AsyncSubscription(pair4.subscription).recv())
        await until_watched()
        descriptor = pair4.subscription.fileno()
        release = pair4.subscription._hooks.copy().pop()

        def spy() -> None:
            removed.append(not pair4.subscription.closed)
            release()
            removed.append(not loop.remove_reader(descriptor))

        pair4.subscription._hooks.clear()
        pair4.subscription._hooks.add(spy)
        pair4.subscription.close()
        assert removed == [True, True]
        with pytest.raises(libmctx.ClosedError):
            await task

    run(body)


def test_a_cancelled_receive_leaves_nothing(run: Run, pair4: Pair) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        asynchronous = AsyncSubscription(pair4.subscription)
        tasks = [asyncio.ensure_future(asynchronous.recv()) for _ in range(3)]
        await until_watched(3)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert watched(loop) == [pair4.subscription.fileno()]
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert watched(loop) == []
        assert not loop.remove_reader(pair4.subscription.fileno())
        assert not pair4.subscription._hooks
        assert not pair4.subscription._listeners

    run(body)


def test_wake_ends_one_wait(run: Run, pair4: Pair) -> None:
    async def body() -> None:
        asynchronous = AsyncSubscription(pair4.subscription)
        tasks = [asyncio.ensure_future(asynchronous.recv()) for _ in range(3)]
        await until_watched(3)
        asynchronous.wake()
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        await asyncio.sleep(0.05)
        assert (len(done), len(waiting)) == (1, 2)
        assert all(not each.done() for each in waiting)
        with pytest.raises(libmctx.WaitInterruptedError):
            await done.pop()
        await asyncio.get_running_loop().run_in_executor(None, pair4.subscription.wake)
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        with pytest.raises(libmctx.WaitInterruptedError):
            await done.pop()
        pair4.publication.send(b"x")
        assert (await waiting.pop()).payload == b"x"
        asynchronous.wake()
        with pytest.raises(libmctx.WaitInterruptedError):  # the next one
            await asynchronous.recv()

    run(body)


def test_nothing_joined(run: Run, context: libmctx.Context) -> None:
    async def body() -> None:
        subscription = context.add_subscription(0)
        asynchronous = AsyncSubscription(subscription)
        for receive in (asynchronous.recv, asynchronous.recv_many):
            with pytest.raises(libmctx.UsageError) as caught:
                await receive()
            assert caught.value.name == "nothing_joined"
        with pytest.raises(libmctx.TimedOutError):
            await asynchronous.recv(0.01)

    run(body)


@pytest.mark.parametrize("how", ["without", "unsupported"])
def test_it_polls_where_the_loop_cannot_watch(monkeypatch: pytest.MonkeyPatch, pair4: Pair, how: str) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()

        def refuse(*arguments: object) -> None:
            raise NotImplementedError if how == "unsupported" else AttributeError

        monkeypatch.setattr(loop, "add_reader", refuse)
        asynchronous = AsyncSubscription(pair4.subscription)
        task = asyncio.ensure_future(asynchronous.recv())
        await asyncio.sleep(0.01)
        pair4.publication.send(b"x")
        assert (await task).payload == b"x"
        task = asyncio.ensure_future(asynchronous.recv())
        await asyncio.sleep(0.01)
        asynchronous.wake()
        with pytest.raises(libmctx.WaitInterruptedError):
            await task
        task = asyncio.ensure_future(asynchronous.recv())
        await asyncio.sleep(0.01)
        pair4.subscription.close()
        with pytest.raises(libmctx.ClosedError):
            await task

    asyncio.run(asyncio.wait_for(body(), 30))


def test_receives_from_several_loops_and_threads_at_once(pair4: Pair) -> None:
    total = 4000
    received: list[list[int]] = [[] for _ in range(4)]

    def work(own: list[int], number: int) -> None:
        async def body() -> None:
            async for each in AsyncSubscription(pair4.subscription):
                own.append(int(each.payload))

        if number < 3:
            asyncio.run(body())
        else:
            own.extend(int(each.payload) for each in pair4.subscription)

    threads = Threads(*(functools.partial(work, own, number) for number, own in enumerate(received)))
    send_numbers(pair4, total, received, threads)
    pair4.subscription.close()
    assert threads.join() == []
    assert sorted(number for own in received for number in own) == list(range(total))


def test_a_publication_and_a_subscription_on_one_loop(run: Run, pair: Pair) -> None:
    async def body() -> None:
        sending, receiving = libmctx.AsyncPublication(pair.publication), AsyncSubscription(pair.subscription)

        async def echo() -> None:
            for number in range(200):
                assert (await receiving.recv(5)).payload == b"%d" % number

        task = asyncio.ensure_future(echo())
        for number in range(200):
            await sending.send(b"%d" % number)
            await asyncio.sleep(0)
        await task

    run(body)


def test_nothing_leaks(run: Run, context: libmctx.Context) -> None:
    async def body() -> None:
        before = count_descriptors()
        for _ in range(20):
            subscription = context.add_subscription(0, GROUP4, interfaces="lo")
            with pytest.raises(libmctx.TimedOutError):
                await AsyncSubscription(subscription).recv(0.001)
            subscription.close()
        assert count_descriptors() == before

    run(body)


def test_payloads_and_columns(run: Run, pair: Pair) -> None:
    asynchronous = AsyncSubscription(pair.subscription)
    expected = [number.to_bytes(2, "big").ljust(100, b".") for number in range(30)]

    async def received(
        receive: Callable[..., Awaitable[Any]], take: Callable[[Any], list[bytes]]
    ) -> list[bytes]:
        asyncio.get_running_loop().call_later(0.01, pair.coalesced, 30)
        found: list[bytes] = []
        while len(found) < 30:
            found += take(await receive(600, 5))
        return found

    async def views(most: int, timeout: float) -> Any:
        return await asynchronous.recv_payloads(most, timeout, copy=False)

    async def datagram_views(most: int, timeout: float) -> Any:
        return await asynchronous.recv_many(most, timeout, copy=False)

    async def body() -> None:
        assert await received(asynchronous.recv_payloads, list) == expected
        assert await received(asynchronous.recv_columns, lambda columns: columns.payloads()) == expected
        assert await received(views, lambda batch: list(map(bytes, batch))) == expected
        assert await received(datagram_views, lambda batch: list(map(bytes, batch))) == expected
        pair.publication.send(b"one")
        columns = await asynchronous.recv_columns(600)
        pair.publication.send(b"two")
        assert await asynchronous.recv_payloads(600) == [b"two"]
        with pytest.raises(ValueError, match="released"):
            columns.payloads()
        for receive in (asynchronous.recv_columns, asynchronous.recv_payloads):
            with pytest.raises(libmctx.WouldBlockError):
                await receive(600, 0)
            with pytest.raises(libmctx.TimedOutError):
                await receive(600, 0.01)
            with pytest.raises(libmctx.UsageError):
                await receive(0)
        for payload in (b"a", b"b", b"c"):
            pair.publication.send(payload)
        assert (await asynchronous.recv_columns(1)).payloads() == [b"a"]
        assert await asynchronous.recv_payloads(2) == [b"b", b"c"]

    run(body)

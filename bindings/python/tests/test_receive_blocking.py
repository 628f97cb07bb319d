# SPDX-License-Identifier: MIT
"""Receives that wait: timeouts, wake, closing, signals, threads, forks, and the end of the interpreter."""

from __future__ import annotations

import copy
import errno
import functools
import os
import pickle
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import GROUP4, SOON, Pair, RunPython, Threads, count_descriptors, eventually, send_numbers

import libmctx
from libmctx import Ready, _ffi

Receive = Callable[[libmctx.Subscription, "float | None"], object]

RECEIVES: dict[str, Receive] = {
    "recv": lambda each, timeout: each.recv(timeout),
    "recv_many": lambda each, timeout: each.recv_many(600, timeout),
    "few": lambda each, timeout: each.recv_many(3, timeout),
    "views": lambda each, timeout: each.recv_many(600, timeout, copy=False),
    "recv_into": lambda each, timeout: each.recv_into(bytearray(10), timeout),
    "wait": lambda each, timeout: each.wait(timeout),
}


def names_of(raised: list[BaseException]) -> list[str]:
    """Return their statuses."""
    return [error.name if isinstance(error, libmctx.MctxError) else repr(error) for error in raised]


@pytest.fixture(params=[*RECEIVES, "wait_many"])
def receive(request: pytest.FixtureRequest, pair4: Pair) -> Receive:
    """Each way to receive or wait."""
    if request.param == "wait_many":
        return lambda each, timeout: pair4.context.wait_many([each], timeout)
    return RECEIVES[request.param]


def test_timeouts(pair4: Pair, receive: Receive) -> None:
    with pytest.raises(BlockingIOError) as blocked:
        receive(pair4.subscription, 0)
    assert isinstance(blocked.value, libmctx.WouldBlockError)
    assert (blocked.value.errno, blocked.value.kind) == (errno.EAGAIN, "would_block")
    for timeout in (0.05, 0.35):
        start = time.monotonic()
        with pytest.raises(TimeoutError) as late:
            receive(pair4.subscription, timeout)
        assert timeout - 0.01 < time.monotonic() - start < SOON
        assert isinstance(late.value, libmctx.TimedOutError)
        assert late.value.errno == errno.ETIMEDOUT
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            receive(pair4.subscription, bad)
    with pytest.raises(TypeError, match="timeout"):
        receive(pair4.subscription, "1")  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("timeout", [None, 30.0])
def test_what_arrives_ends_the_wait(pair4: Pair, receive: Receive, where: str, timeout: float | None) -> None:
    timer = threading.Timer(
        0.4, pair4.publication.send, (b"x",)
    )  # later than the first slice of the main thread
    start = time.monotonic()
    timer.start()
    if where == "main":
        receive(pair4.subscription, timeout)
    else:
        done = threading.Thread(target=receive, args=(pair4.subscription, timeout))
        done.start()
        done.join(SOON)
        assert not done.is_alive()
    assert 0.3 < time.monotonic() - start < SOON
    timer.join()


@pytest.mark.parametrize("where", ["main", "thread"])
def test_wake_ends_one_wait(pair4: Pair, receive: Receive, where: str) -> None:
    results: list[str] = []

    def work() -> None:
        try:
            receive(pair4.subscription, 30)
        except libmctx.MctxError as error:
            results.append(error.name)

    pair4.subscription.wake()
    pair4.subscription.wake()  # one token
    work()
    assert results == ["woken"]
    with pytest.raises(libmctx.TimedOutError):
        receive(pair4.subscription, 0.01)
    timer = threading.Timer(0.05, pair4.subscription.wake)
    timer.start()
    if where == "main":
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(5)
    assert results == ["woken", "woken"]
    timer.join()


def test_wake_wakes_exactly_one_of_many(pair4: Pair) -> None:
    threads = Threads(*[pair4.subscription.recv] * 4)
    for number in range(1, 4):
        time.sleep(0.05)
        pair4.subscription.wake()
        assert eventually(lambda: len(threads.raised) == number)  # noqa: B023
        time.sleep(0.05)
        assert names_of(threads.raised) == ["woken"] * number
    pair4.subscription.close()
    assert names_of(threads.join()) == ["woken"] * 3 + ["closed"]


@pytest.mark.parametrize("how", ["subscription", "context", "remove"])
def test_closing_ends_waits_of_other_threads(pair4: Pair, how: str) -> None:
    own = pair4.subscription
    waits: list[Callable[[], object]] = [
        own.recv,
        own.recv_many,
        lambda: own.recv_many(3),
        lambda: own.recv_many(600, 60, copy=False),
        lambda: own.recv_into(bytearray(5)),
        own.wait,
        lambda: own.wait(60, events=Ready(0)),
        lambda: pair4.context.wait_many([own]),
    ]
    finished: list[list[libmctx.Datagram]] = []
    threads = Threads(*waits, lambda: finished.append(list(own)))
    time.sleep(0.1)
    if how == "subscription":
        own.close()
    elif how == "context":
        pair4.context.close()
    else:
        assert pair4.context.remove_subscription(own.id)
    ended = threads.join(SOON)
    assert [type(each) for each in ended] == [libmctx.ClosedError] * len(waits)
    assert all(isinstance(each, LookupError) for each in ended)
    assert finished == [[]]  # the iteration just ended


USES: dict[str, Callable[[Any], object]] = {
    "recv": lambda each: each.recv(),
    "recv now": lambda each: each.recv(0),
    "recv_many": lambda each: each.recv_many(),
    "recv_many now": lambda each: each.recv_many(600, 0),
    "few": lambda each: each.recv_many(1, 0),
    "views": lambda each: each.recv_many(600, 0, copy=False),
    "recv_into": lambda each: each.recv_into(bytearray(1), 0),
    "join": lambda each: each.join(GROUP4),
    "join_many": lambda each: each.join_many([GROUP4]),
    "leave": lambda each: each.leave(GROUP4),
    "leave_many": lambda each: each.leave_many([GROUP4]),
    "allow": lambda each: each.allow(GROUP4, "10.0.0.1"),
    "block": lambda each: each.block(GROUP4, "10.0.0.1"),
    "set_filter": lambda each: each.set_filter(GROUP4),
    "memberships": lambda each: each.memberships(),
    "info": lambda each: each.info(),
    "port": lambda each: each.port,
    "group_sockets": lambda each: each.group_sockets,
    "wildcard_sockets": lambda each: each.wildcard_sockets,
    "receive_buffer": lambda each: each.receive_buffer,
    "fileno": lambda each: each.fileno(),
    "metrics": lambda each: each.metrics(),
    "stats": lambda each: each.stats(),
    "events": lambda each: each.events(),
    "wait": lambda each: each.wait(),
    "wake": lambda each: each.wake(),
}


@pytest.mark.parametrize("how", ["close", "context", "with"])
@pytest.mark.usefixtures("no_leak")
def test_use_after_close(how: str) -> None:
    with libmctx.Context() as context:
        subscription = context.add_subscription(0, GROUP4, interfaces="lo")
        publication = context.add_publication(GROUP4, subscription.port, interface="127.0.0.1")
        publication.send_many([b"a", b"b", b"c"])
        time.sleep(0.01)
        for _ in subscription:
            break  # two are kept
        iterator = iter(subscription)
        next(iterator)
        if how == "close":
            subscription.close()
            subscription.close()
        elif how == "context":
            context.close()
        else:
            with subscription as same:
                assert same is subscription
        assert subscription.closed
        assert subscription.remove() is False
        assert "closed" in repr(subscription)
        del iterator  # keeps another one, for nobody
        for name, use in USES.items():
            with pytest.raises(libmctx.ClosedError) as caught:
                use(subscription)
            assert isinstance(caught.value, LookupError), name
            assert caught.value.name == "closed"
        assert list(subscription) == []
        assert isinstance(subscription.id, int)
    for call in (
        context.subscription_count,
        context.subscriptions,
        lambda: context.add_subscription(0),
        lambda: context.get_subscription(subscription.id),
        lambda: context.remove_subscription(subscription.id),
        lambda: context.wait_many([], 0),
        lambda: context.wait(0, events=Ready.READABLE),
    ):
        with pytest.raises(libmctx.ClosedError):
            call()


@pytest.mark.usefixtures("no_leak")
def test_the_port_is_free_after_close() -> None:
    import socket

    with libmctx.Context() as context:
        for _ in range(20):
            with context.add_subscription(0, GROUP4, interfaces="lo", reuse_port=False) as subscription:
                port = subscription.port
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("", port))


def test_live_subscriptions_do_not_pickle(pair4: Pair) -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            attempt(pair4.subscription)
    with pytest.raises(TypeError, match="add_subscription"):
        libmctx.Subscription()


# ---- several objects ----


def test_wait_many(pair4: Pair, context: libmctx.Context) -> None:
    other = Pair(context, "ipv4")
    both = [pair4.subscription, other.subscription]
    with pytest.raises(libmctx.WouldBlockError):
        context.wait_many(both, 0)
    with pytest.raises(libmctx.TimedOutError):
        context.wait_many(both, 0.3)
    other.publication.send(b"x")
    assert context.wait_many(both, 5) == [other.subscription]
    pair4.publication.send(b"x")
    pair4.subscription.wait(5)
    assert context.wait_many(reversed(both), 5) == both[::-1]
    assert context.wait_many([*both, other.publication]) == [*both, other.publication]
    context.wake()
    with pytest.raises(libmctx.WaitInterruptedError):
        context.wait_many([], 5)
    with pytest.raises(libmctx.TimedOutError):
        context.wait_many([], 0.01)
    for bad in (None, 5, [None], ["x"], [context]):
        with pytest.raises(TypeError):
            context.wait_many(bad, 0)  # type: ignore[arg-type, type-var]
    other.subscription.close()
    with pytest.raises(libmctx.ClosedError) as caught:
        context.wait_many(both, 5)
    assert caught.value.item == 1


def test_wait_many_for_ever_with_nothing_joined(pair4: Pair, context: libmctx.Context) -> None:
    empty = [context.add_subscription(0) for _ in range(2)]
    with pytest.raises(libmctx.UsageError) as caught:
        context.wait_many(empty)
    assert caught.value.name == "nothing_joined"
    with pytest.raises(libmctx.TimedOutError):
        context.wait_many(empty, 0.01)
    pair4.publication.send(b"x")
    assert context.wait_many([*empty, pair4.subscription]) == [pair4.subscription]
    assert context.wait_many([*empty, pair4.publication]) == [pair4.publication]


def test_the_descriptor_of_a_context(pair4: Pair, context: libmctx.Context) -> None:
    import select

    assert select.select([context], [], [], 0)[0] == []
    pair4.publication.send(b"x")
    assert select.select([context], [], [], 5)[0] == [context]
    pair4.subscription.recv()
    assert select.select([context], [], [], 0)[0] == []
    context.close()
    with pytest.raises(libmctx.ClosedError):
        context.fileno()


def test_wait_many_over_contexts(pair4: Pair) -> None:
    with libmctx.Context() as elsewhere:
        timer = threading.Timer(0.1, pair4.publication.send, (b"x",))
        timer.start()
        assert elsewhere.wait_many([pair4.subscription]) == [pair4.subscription]
        timer.join()


def test_a_context_is_readable_when_a_subscription_is(pair4: Pair) -> None:
    with pytest.raises(libmctx.TimedOutError):
        pair4.context.wait(0.01, events=Ready.READABLE)
    timer = threading.Timer(0.1, pair4.publication.send, (b"x",))
    timer.start()
    assert pair4.context.wait(events=Ready.READABLE) == Ready.READABLE
    timer.join()


# ---- threads ----


@pytest.mark.parametrize("how", ["recv", "recv_many", "iteration", "mixed"])
def test_threads_lose_and_repeat_nothing(pair4: Pair, how: str) -> None:
    total = 8000
    received: list[list[int]] = [[] for _ in range(4)]

    def take(own: list[int], number: int) -> None:
        kind = ["recv", "recv_many", "iteration", "leaving"][number] if how == "mixed" else how
        try:
            if kind == "iteration":
                own.extend(int(each.payload) for each in pair4.subscription)
            while True:
                if kind == "recv":
                    own.append(int(pair4.subscription.recv().payload))
                elif kind == "recv_many":
                    own += [int(each.payload) for each in pair4.subscription.recv_many(300)]
                else:
                    for each in pair4.subscription:
                        own.append(int(each.payload))
                        if len(own) % 7 == 0:
                            break
                    pair4.subscription.recv_many(1, 0) if pair4.subscription.closed else None
        except libmctx.ClosedError:
            pass

    threads = Threads(*(functools.partial(take, own, number) for number, own in enumerate(received)))
    send_numbers(pair4, total, received, threads)
    pair4.subscription.close()
    assert threads.join() == []
    assert sorted(number for own in received for number in own) == list(range(total))


@pytest.mark.usefixtures("no_leak")
def test_threads_that_join_receive_and_close_at_random() -> None:
    context = libmctx.Context()
    shared: list[libmctx.Subscription] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(120):
            try:
                action = rng.randrange(8)
                if action == 0 or not shared:
                    shared.append(context.add_subscription(0, GROUP4, interfaces="lo"))
                elif action == 1:
                    shared.pop(rng.randrange(len(shared))).close()
                elif action == 2:
                    rng.choice(shared).join(f"239.255.78.{rng.randrange(9)}")
                elif action == 3:
                    rng.choice(shared).leave(f"239.255.78.{rng.randrange(9)}")
                elif action == 4:
                    own = rng.choice(shared)
                    context.add_publication(GROUP4, own.port, interface="127.0.0.1", allow_duplicate=True).send(
                        b"x"
                    )
                elif action == 5:
                    rng.choice(shared).recv_many(600, rng.choice([0, 0.001]), copy=rng.random() < 0.5)
                elif action == 6:
                    repr(rng.choice(shared)), context.subscriptions(), rng.choice(shared).memberships()
                else:
                    context.wait_many(shared[:3], 0.001)
            except (libmctx.ClosedError, IndexError, libmctx.WouldBlockError, libmctx.TimedOutError):
                pass
            except libmctx.MctxError as error:
                if error.name not in ("membership_exists", "membership_not_found"):
                    raise

    assert Threads(*(functools.partial(work, seed) for seed in range(6))).join() == []
    context.close()
    assert all(each.closed for each in shared)


def test_closing_again_and_again_while_threads_receive(context: libmctx.Context) -> None:
    before = count_descriptors()
    for number in range(150):
        subscription = context.add_subscription(0, GROUP4, interfaces="lo")
        threads = Threads(subscription.recv, subscription.recv_many, subscription.wait)
        if number % 2:
            time.sleep(0.002)
        subscription.close()
        assert names_of(threads.join()) == ["closed"] * 3
    assert count_descriptors() == before


# ---- signals ----


@pytest.mark.usefixtures("ctrl_c_raises")
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_ctrl_c_ends_a_wait(pair4: Pair, receive: Receive, timeout: float | None) -> None:
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        receive(pair4.subscription, timeout)
    assert time.monotonic() - start < SOON
    timer.join()
    pair4.publication.send(b"after")
    assert pair4.subscription.recv(5).payload == b"after"


WAITS: dict[str, Callable[[Pair], object]] = {
    "recv": lambda pair: pair.subscription.recv(20),
    "recv_many": lambda pair: pair.subscription.recv_many(1, 20),
    "recv_into": lambda pair: pair.subscription.recv_into(bytearray(10), 20),
    "wait": lambda pair: pair.subscription.wait(20),
    "wait_many": lambda pair: pair.context.wait_many([pair.subscription], 20),
    "context": lambda pair: pair.context.wait(20, events=Ready.READABLE),
}


@pytest.mark.parametrize("name", WAITS)
def test_what_an_iteration_leaves_wakes_all_who_wait(pair4: Pair, name: str) -> None:
    pair4.publication.send_many([b"a", b"b", b"c"])
    left = [pair4.subscription.recv(5) for _ in range(3)]
    threads = Threads(*[lambda: WAITS[name](pair4)] * 3)
    time.sleep(0.2)  # most have begun to wait
    pair4.subscription._keep(iter(left))
    assert threads.join() == []


IDLE_WAITS: dict[str, Callable[[Pair], object]] = {
    "subscription": lambda pair: pair.subscription.wait(20, events=Ready(0)),
    "context": lambda pair: pair.context.wait(20),
    "wait_many": lambda pair: pair.context.wait_many([], 20),
}


@pytest.mark.parametrize("idle", IDLE_WAITS)
@pytest.mark.parametrize("name", WAITS)
def test_a_wait_for_something_else_hands_the_wake_on(pair4: Pair, name: str, idle: str) -> None:
    pair4.publication.send(b"a")
    left = [pair4.subscription.recv(5)]
    first = Threads(lambda: WAITS[name](pair4))
    time.sleep(0.1)  # it has begun to wait, mostly: who comes last is woken first
    last = Threads(lambda: IDLE_WAITS[idle](pair4))
    time.sleep(0.1)
    pair4.subscription._keep(iter(left))
    assert first.join() == []
    pair4.subscription.wake() if idle == "subscription" else pair4.context.wake()
    assert [type(each) for each in last.join()] == [libmctx.WaitInterruptedError]


def test_a_wait_for_something_else_does_not_poll(pair4: Pair, native_waits: list[int]) -> None:
    pair4.publication.send(b"a")
    left = [pair4.subscription.recv(5)]
    idle = Threads(lambda: pair4.subscription.wait(1, events=Ready(0)))
    time.sleep(0.1)
    pair4.subscription._keep(iter(left))
    assert [type(each) for each in idle.join()] == [libmctx.TimedOutError]
    assert len(native_waits) < 10


def test_a_leave_while_another_thread_asks_what_is_joined(pair4: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = _ffi.memberships

    def ask_and_leave(*arguments: Any) -> int:
        code: int = ask(*arguments)
        pair4.subscription.leave(GROUP4)
        return code

    monkeypatch.setattr(_ffi, "memberships", ask_and_leave)
    assert pair4.subscription._may_become_ready()
    monkeypatch.undo()
    assert not pair4.subscription._may_become_ready()
    with pytest.raises(libmctx.UsageError, match="group"):
        pair4.subscription.recv()


def test_a_context_is_woken_once_for_each_wake(pair4: Pair) -> None:
    for events in (Ready(0), Ready.READABLE):
        pair4.context.wake()
        with pytest.raises(libmctx.WaitInterruptedError):
            pair4.context.wait(5, events=events)
        with pytest.raises(libmctx.WouldBlockError):
            pair4.context.wait(0, events=events)


@pytest.mark.parametrize("name", ["recv", "recv_many", "recv_into", "iteration", "payloads", "columns"])
def test_a_thread_with_a_small_stack_receives(run_python: RunPython, name: str) -> None:
    done = run_python(
        f"""
import threading
import libmctx
with libmctx.Context() as context:
    subscription = context.add_subscription(0, {GROUP4!r}, interfaces="lo")
    publication = context.add_publication({GROUP4!r}, subscription.port, interface="127.0.0.1")
    receives = {{
        "recv": lambda: subscription.recv(5).payload,
        "recv_many": lambda: subscription.recv_many(600, 5)[0].payload,
        "recv_into": lambda: (subscription.recv_into(buffer := bytearray(65_536), 5), bytes(buffer[:1]))[1],
        "iteration": lambda: next(iter(subscription)).payload,
        "payloads": lambda: subscription.recv_payloads(600, 5)[0],
        "columns": lambda: subscription.recv_columns(600, 5).payload(0),
    }}
    def work():
        publication.send(b"x")
        publication.send_many([b"y"] * 300)
        print(receives[{name!r}]())
    threading.stack_size(65_536)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""
    )
    assert done.stdout == "b'x'\n"


@pytest.mark.usefixtures("ctrl_c_raises")
def test_ctrl_c_ends_an_iteration(pair4: Pair) -> None:
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in pair4.subscription:
            pass
    timer.join()


def test_signal_handlers_run_while_a_receive_goes_on(pair4: Pair, receive: Receive) -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        for _ in range(10):  # a machine that stops for a while brings many signals as one
            calls.clear()
            start = time.monotonic()
            with pytest.raises(libmctx.TimedOutError):
                receive(pair4.subscription, 0.4)
            assert 0.35 < time.monotonic() - start < SOON
            if len(calls) > 3:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(calls) > 3


def test_a_long_wait_of_the_main_thread_counts_few_receives(pair4: Pair, native_waits: list[int]) -> None:
    with pytest.raises(libmctx.TimedOutError):
        pair4.subscription.recv_many(600, 2)
    assert len(native_waits) > 10
    assert pair4.subscription.stats().receive_calls <= 3


# ---- forks, and the end ----

FORKED = """
import os, sys
import libmctx
context = libmctx.Context()
subscription = context.add_subscription(0, "239.255.77.1", interfaces="lo")
publication = context.add_publication("239.255.77.1", subscription.port, interface="127.0.0.1")
publication.send_many([b"a", b"b", b"c"])
subscription.wait(5)
for first in subscription:
    break
asynchronous = libmctx.AsyncSubscription(subscription)
child = os.fork()
if child == 0:
    import asyncio
    failed = []
    for use in (lambda: subscription.recv(), lambda: subscription.recv(0),
                lambda: subscription.recv_many(600, 0),
                lambda: subscription.recv_many(1, 0), lambda: next(iter(subscription)), subscription.fileno,
                lambda: subscription.recv_into(bytearray(5)), lambda: subscription.join("239.1.1.1"),
                subscription.memberships, subscription.wait, subscription.wake, context.subscriptions,
                lambda: context.wait_many([subscription], 1), lambda: asyncio.run(asynchronous.recv()),
                lambda: asyncio.run(asynchronous.recv_many())):
        try:
            use()
            failed.append("no error")
        except libmctx.ClosedError as error:
            if error.name != "forked":
                failed.append(error.name)
    if not subscription.closed:
        failed.append("open")
    subscription.close()
    with libmctx.Context() as own:
        received = own.add_subscription(0, "239.255.77.1", interfaces="lo")
        own.add_publication("239.255.77.1", received.port, interface="127.0.0.1").send(b"x")
        assert received.recv(5).payload == b"x"
    print(failed, flush=True)
    sys.exit(len(failed))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert subscription.recv(5).payload == b"b"
publication.send(b"still open")
assert [each.payload for each in subscription.recv_many(2, 5)] == [b"c"]
assert subscription.recv(5).payload == b"still open"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_closed_objects_and_the_parent_open_ones(run_python: RunPython) -> None:
    assert run_python(FORKED, PYTHONWARNINGS="ignore").stdout == "[]\n"


ENDS = {
    "everything open": "",
    "a thread that receives": """
threading.Thread(target=subscription.recv, daemon=True).start()
""",
    "a thread that receives many": """
threading.Thread(target=subscription.recv_many, daemon=True).start()
""",
    "a thread that iterates": """
threading.Thread(target=lambda: list(subscription), daemon=True).start()
""",
    "a thread that iterates under load": """
def send():
    while True:
        publication.send_many([b"x"] * 20)
threading.Thread(target=lambda: [repr(each) for each in subscription], daemon=True).start()
threading.Thread(target=send, daemon=True).start()
""",
    "threads that wait": """
threading.Thread(target=subscription.wait, daemon=True).start()
threading.Thread(target=context.wait_many, args=([subscription],), daemon=True).start()
""",
    "an iteration that goes on": """
publication.send_many([b"a", b"b"])
subscription.wait(5)
iterator = iter(subscription)
next(iterator)
""",
    "views": """
publication.send_many([b"a", b"b"])
subscription.wait(5)
batch = subscription.recv_many(600, copy=False)
slice = batch[0].payload[:]
""",
    "a task that waits": """
import asyncio
loop = asyncio.new_event_loop()
task = loop.create_task(libmctx.AsyncSubscription(subscription, loop=loop).recv())
loop.run_until_complete(asyncio.sleep(0.01))
task.cancel()
loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
loop.close()
""",
    "an async iteration that goes on": """
import asyncio
async def main():
    global stream
    publication.send_many([b"a", b"b"])
    stream = libmctx.AsyncSubscription(subscription).__aiter__()
    await stream.__anext__()
asyncio.run(main())
""",
    "a destructor": """
class Late:
    def __del__(self, subscription=subscription):
        try:
            subscription.recv(0)
        except BlockingIOError:
            pass
        subscription.close()
sys.late = Late()
""",
    "a thread that is not a daemon": """
threading.Timer(0.2, context.close).start()
threading.Thread(target=lambda: list(subscription)).start()
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_interpreter_ends_whatever_is_open(run_python: RunPython, end: str) -> None:
    done = run_python(
        f"""
import sys, threading, time
import libmctx
context = libmctx.Context()
subscription = context.add_subscription(0, "239.255.77.1", interfaces="lo")
publication = context.add_publication("239.255.77.1", subscription.port, interface="127.0.0.1")
{end}
time.sleep(0.05)
""",
        PYTHONWARNINGS="ignore",
    )
    assert done.stderr == ""

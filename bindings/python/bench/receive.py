# SPDX-License-Identifier: MIT
"""What a receive costs from Python, beside plain sockets and the package multicast_expert, if it is there.

All ways are measured in turns in one run, pinned to one processor, and compared by the medians of the time that
the processor spent on them. In each turn the socket's buffer is filled first, which isn't measured, and then
drained. Datagrams come one by one, or, where a way says so, coalesced: cut from one buffer by the kernel, as a
sender's offload does. Run it where 127.0.0.1 can send multicast; in a namespace:

    scripts/namespace.sh .venv/bin/python bindings/python/bench/receive.py --json build/bench-receive.json
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from send import INTERFACE, Row, compare, make_row

import libmctx

GROUP = "239.255.77.10"
UDP_SEGMENT = 103
BURST = 32
"""Datagrams that come coalesced."""
BATCH = 600
"""The most datagrams of a recv_many."""
FILLS = 4
"""How often the buffer is filled and drained in a turn."""
COALESCED = ", coalesced"
BATCH_GOAL, ASYNC_GOAL, PROTOCOL_GOAL = 1 / 4, 1 / 15, 1 / 3
"""The most of its reference's time that a way should cost: multicast_expert's, its async one's, asyncio's."""

Drain: TypeAlias = Callable[[int], object]
"""Takes so many datagrams, and returns when they are there."""
AsyncDrain: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]
Goals: TypeAlias = "dict[str, float | None]"
"""What a way is compared with, and the goal."""


@dataclass
class Way:
    """One way to receive."""

    name: str
    port: int
    drain: Drain
    coalesced: bool = False
    references: Goals = field(default_factory=dict)


def plain_socket(stack: ExitStack) -> socket.socket:
    """Make the socket that an application would make by hand."""
    plain = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    plain.bind((GROUP, 0))
    membership = socket.inet_aton(GROUP) + socket.inet_aton(INTERFACE)
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    enlarge([plain])
    return plain


def enlarge(sockets: Iterable[socket.socket]) -> None:
    """Ask for a receive buffer that holds what is sent at once."""
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)


def free_port() -> int:
    """Choose a port that nobody has."""
    with ExitStack() as stack:
        return int(plain_socket(stack).getsockname()[1])


# ---- draining ----


def repeat(receive: Callable[[], object]) -> Drain:
    """Drain with a call for each datagram."""

    def drain(count: int) -> None:
        for _ in range(count):
            receive()

    return drain


def in_batches(subscription: libmctx.Subscription, *, copy: bool) -> Drain:
    """Drain with calls that return many; each datagram is looked at."""

    def drain(count: int) -> None:
        while count > 0:
            for _ in subscription.recv_many(BATCH, copy=copy):
                count -= 1

    return drain


def by_iteration(subscription: libmctx.Subscription) -> Drain:
    """Drain with a loop that goes on from turn to turn."""
    datagrams = iter(subscription)

    def drain(count: int) -> None:
        for _ in datagrams:
            count -= 1
            if count == 0:
                break

    return drain


def on_loop(loop: asyncio.AbstractEventLoop, drain: AsyncDrain) -> Drain:
    """Drain with a coroutine."""
    return lambda count: loop.run_until_complete(drain(count))


def repeat_async(receive: Callable[[], Awaitable[object]]) -> AsyncDrain:
    """Drain with an awaited call for each datagram."""

    async def drain(count: int) -> None:
        for _ in range(count):
            await receive()

    return drain


def in_batches_async(receiver: libmctx.AsyncSubscription) -> AsyncDrain:
    """Drain with awaited calls that return many."""

    async def drain(count: int) -> None:
        while count > 0:
            for _ in await receiver.recv_many(BATCH):
                count -= 1

    return drain


def by_async_iteration(receiver: libmctx.AsyncSubscription) -> AsyncDrain:
    """Drain with a new ``async for`` in each turn."""

    async def drain(count: int) -> None:
        async for _ in receiver:
            count -= 1
            if count == 0:
                break

    return drain


class Protocol(asyncio.DatagramProtocol):
    """What asyncio itself offers: a callback for each datagram."""

    def __init__(self) -> None:
        self.left = 0
        self.done: asyncio.Future[None] | None = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Count one."""
        self.left -= 1
        if self.left == 0 and self.done is not None:
            self.done.set_result(None)

    async def drain(self, count: int) -> None:
        """Wait for so many."""
        self.left, self.done = count, asyncio.get_running_loop().create_future()
        await self.done


# ---- the ways ----


def plain_ways(stack: ExitStack, loop: asyncio.AbstractEventLoop) -> Iterator[Way]:
    """Yield what Python itself offers."""
    for suffix in ("", COALESCED):
        plain = plain_socket(stack)
        drain = repeat(partial(plain.recv, 65536))
        yield Way("socket.recv" + suffix, plain.getsockname()[1], drain, bool(suffix))
    plain = plain_socket(stack)
    plain.setblocking(False)
    port = plain.getsockname()[1]
    transport, protocol = loop.run_until_complete(loop.create_datagram_endpoint(Protocol, sock=plain))
    stack.callback(transport.close)
    yield Way("asyncio DatagramProtocol", port, on_loop(loop, protocol.drain))


def expert_ways(stack: ExitStack, loop: asyncio.AbstractEventLoop) -> Iterator[Way]:
    """Yield those of multicast_expert, if it is installed."""
    try:
        from multicast_expert import McastRxSocket
        from multicast_expert.async_rx_socket import AsyncMcastRxSocket
    except ImportError:
        return
    for suffix in ("", COALESCED):
        port = free_port()
        expert = stack.enter_context(McastRxSocket(socket.AF_INET, [GROUP], port, iface=INTERFACE))
        enlarge(expert.sockets)
        yield Way("multicast_expert recv" + suffix, port, repeat(expert.recv), bool(suffix))
    port = free_port()

    async def enter() -> AsyncMcastRxSocket:
        """Open it where a loop runs, as it wants."""
        return stack.enter_context(AsyncMcastRxSocket(socket.AF_INET, [GROUP], port, iface=INTERFACE))

    asynchronous = loop.run_until_complete(enter())
    enlarge(asynchronous.sockets)
    yield Way("multicast_expert async recv", port, on_loop(loop, repeat_async(asynchronous.recv)))


def own_ways(stack: ExitStack, loop: asyncio.AbstractEventLoop) -> Iterator[Way]:
    """Yield those of libmctx."""
    context = stack.enter_context(libmctx.Context())
    bare: dict[str, Any] = {"metadata": (), "coalescing": False}
    ways: tuple[tuple[str, Callable[[libmctx.Subscription], Drain], dict[str, Any], float | None], ...] = (
        ("Subscription.recv", lambda own: repeat(own.recv), {}, None),
        ("Subscription.recv, payloads alone", lambda own: repeat(own.recv), bare, None),
        ("Subscription.recv_many", partial(in_batches, copy=True), {}, BATCH_GOAL),
        ("Subscription.recv_many, payloads alone", partial(in_batches, copy=True), bare, BATCH_GOAL),
        ("Subscription.recv_many of views", partial(in_batches, copy=False), {}, BATCH_GOAL),
        ("for datagram in Subscription", by_iteration, {}, None),
    )
    for suffix in ("", COALESCED):
        for name, drain, options, goal in ways:
            if suffix and options:
                continue
            own = context.add_subscription(0, GROUP, interfaces=INTERFACE, **options)
            goals: Goals = {"socket.recv" + suffix: None, "multicast_expert recv" + suffix: goal}
            yield Way(name + suffix, own.port, drain(own), bool(suffix), goals)
    asynchronous: tuple[tuple[str, Callable[[libmctx.AsyncSubscription], AsyncDrain]], ...] = (
        ("AsyncSubscription.recv", lambda receiver: repeat_async(receiver.recv)),
        ("AsyncSubscription.recv_many", in_batches_async),
        ("async for datagram in AsyncSubscription", by_async_iteration),
    )
    goals = {"asyncio DatagramProtocol": PROTOCOL_GOAL, "multicast_expert async recv": ASYNC_GOAL}
    for suffix in ("", COALESCED):
        for name, drain_async in asynchronous:
            own = context.add_subscription(0, GROUP, interfaces=INTERFACE)
            drained = on_loop(loop, drain_async(libmctx.AsyncSubscription(own)))
            yield Way(name + suffix, own.port, drained, bool(suffix), goals)


def fill(sender: socket.socket, port: int, count: int, size: int, *, coalesced: bool) -> None:
    """Send what a way is going to drain."""
    if not coalesced:
        for _ in range(count):
            sender.sendto(bytes(size), (GROUP, port))
        return
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", size))]
    for _ in range(count // BURST):
        sender.sendmsg([bytes(size * BURST)], control, 0, (GROUP, port))


def measure(size: int, rounds: int, datagrams: int) -> list[Row]:
    """Measure all ways in turns, each turn in another order; return a row for each comparison."""
    datagrams = max(BURST, datagrams // BURST * BURST)
    with ExitStack() as stack:
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        stack.callback(lambda: loop.run_until_complete(asyncio.sleep(0)))  # what was cancelled ends
        sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(INTERFACE))
        chosen = [*plain_ways(stack, loop), *expert_ways(stack, loop), *own_ways(stack, loop)]
        times: dict[str, list[float]] = {way.name: [] for way in chosen}
        order = random.Random(size)
        for _ in range(rounds):
            for way in order.sample(chosen, len(chosen)):
                spent = 0
                for _ in range(FILLS):
                    fill(sender, way.port, datagrams, size, coalesced=way.coalesced)
                    start = time.thread_time_ns()
                    way.drain(datagrams)
                    spent += time.thread_time_ns() - start
                times[way.name].append(spent / FILLS / datagrams)
    return [
        make_row(way.name, reference, goal, size, times[way.name], times[reference])
        for way in chosen
        for reference, goal in (way.references or {way.name: None}).items()
        if reference in times
    ]


if __name__ == "__main__":
    sys.exit(compare(str(__doc__), measure, rounds=100, datagrams=128))

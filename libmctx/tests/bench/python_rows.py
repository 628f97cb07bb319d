# SPDX-License-Identifier: MIT
# multicast_expert may not be installed.
# mypy: disable-error-code="import-not-found"
"""The ways to send and to receive from Python: libmctx's, plain sockets', and those of multicast_expert."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack
from functools import partial
from typing import Any

from ways import Way

import libmctx

GROUP, PORT, INTERFACE = "239.255.77.10", 5000, "127.0.0.1"
UDP_SEGMENT = 103
BATCH = 64
LONE, TOGETHER, COALESCED = 256, 2048, 512
"""Datagrams of a turn: one by one; sent, and received, in superpackets."""
MOST = 2048
"""Of one receive."""
HAS_SHORTCUTS = os.environ.get("LIBMCTX_PYTHON_SHORTCUTS") != "0"
SEND_GOAL = 1 / 0.95 if HAS_SHORTCUTS else 1 / 1.20
MANY_GOALS = {64: 25.0, 1200: 8.0}
BYTES_GOALS = {64: 15.0, 1200: 5.0}
VIEW_GOALS = {64: 5.0, 1200: 3.0}
COLUMN_GOALS = {64: 40.0, 1200: 6.0}


def payloads(sizes: Sequence[int], count: int) -> list[bytes]:
    """Return so many payloads of sizes that repeat."""
    return [bytes(sizes[position % len(sizes)]) for position in range(count)]


def ways(sizes: tuple[int, ...], stack: ExitStack) -> Iterator[Way]:
    """Open what is needed, and yield all ways; those of other packages only beside the shortcuts."""
    context = stack.enter_context(libmctx.Context())
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    stack.callback(lambda: loop.run_until_complete(asyncio.sleep(0)))  # what was cancelled ends
    yield from sending(context, sizes, stack)
    yield from receiving(context, sizes, stack, loop)


# ---- sending ----


def one_by_one(send: Callable[[Any], object], chosen: Iterable[object]) -> Callable[[], int]:
    """Send each by a call."""
    everything = list(chosen)

    def run() -> int:
        for each in everything:
            send(each)
        return len(everything)

    return run


def by_batches(send: Callable[[Any], object], batches: Sequence[object], each: int) -> Callable[[], int]:
    """Send batches of so many datagrams."""

    def run() -> int:
        for batch in batches:
            send(batch)
        return len(batches) * each

    return run


def joined_by_hand(plain: socket.socket, size: int) -> Callable[[list[bytes]], object]:
    """Return what a program by hand does for equal datagrams: joins them, and lets the kernel cut."""
    control = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", size))]
    most = min(BATCH, 65000 // size)

    def send(batch: list[bytes]) -> None:
        for first in range(0, len(batch), most):
            plain.sendmsg([b"".join(batch[first : first + most])], control)

    return send


def sending(context: libmctx.Context, sizes: tuple[int, ...], stack: ExitStack) -> Iterator[Way]:
    """Yield the ways to send."""
    lone = payloads(sizes, max(LONE, len(sizes)))
    total = payloads(sizes, TOGETHER)
    batches = [total[first : first + BATCH] for first in range(0, TOGETHER, BATCH)]
    publication = context.add_publication(GROUP, PORT, interface=INTERFACE)
    plain = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(INTERFACE))
    plain.setblocking(False)
    plain.connect((GROUP, PORT))
    many_goal = MANY_GOALS.get(sizes[0]) if len(sizes) == 1 and HAS_SHORTCUTS else None
    yield Way("socket.send", one_by_one(plain.send, lone))
    yield Way("Publication.send", one_by_one(publication.send, lone), against={"socket.send": SEND_GOAL})
    against: dict[str, float | None] = {"socket.send": many_goal}
    if len(sizes) == 1:
        by_hand = f"sendmsg of {BATCH} joined, UDP_SEGMENT"
        yield Way(by_hand, by_batches(joined_by_hand(plain, sizes[0]), batches, BATCH))
        against[by_hand] = None
    many = f"Publication.send_many of {BATCH}"
    yield Way(many, by_batches(publication.send_many, batches, BATCH), against=against)
    if not HAS_SHORTCUTS:
        return
    if len(sizes) == 1:
        buffers = [b"".join(batch) for batch in batches]
        send = partial(publication.send_segments, size=sizes[0])
        yield Way(f"Publication.send_segments of {BATCH}", by_batches(send, buffers, BATCH), against=against)
    yield from expert_sending(lone, stack)


def expert_sending(lone: list[bytes], stack: ExitStack) -> Iterator[Way]:
    """Yield the send of multicast_expert, if it is installed."""
    try:
        import multicast_expert
    except ImportError:
        return
    sender = multicast_expert.McastTxSocket(
        socket.AF_INET, [GROUP], iface=INTERFACE, enable_external_loopback=True
    )
    stack.enter_context(sender)
    send = partial(sender.sendto, address=(GROUP, PORT))
    yield Way("multicast_expert sendto", one_by_one(send, lone), against={"socket.send": None})


# ---- receiving ----


class Filler:
    """Sends what a way is going to drain."""

    def __init__(self, context: libmctx.Context, sizes: tuple[int, ...]) -> None:
        self.context = context
        self.chosen = {False: payloads(sizes, LONE), True: payloads(sizes, COALESCED)}

    def way(
        self,
        name: str,
        port: int,
        drain: Callable[[int], object],
        against: Mapping[str, float | None] | None = None,
        *,
        coalesced: bool = False,
    ) -> Way:
        """Return a way that drains what comes to a port."""
        publication = self.context.add_publication(GROUP, port, interface=INTERFACE, offload=coalesced)
        chosen = self.chosen[coalesced]

        def fill() -> None:
            if publication.send_many(chosen) != len(chosen):
                raise OSError(f"{name}: what is to be received was not sent")

        def run() -> int:
            drain(len(chosen))
            return len(chosen)

        return Way(name + ", coalesced" * coalesced, run, fill, against or {})


def enlarge(sockets: Iterable[socket.socket]) -> None:
    """Ask for a receive buffer that holds what is sent at once."""
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)


def plain_receiver(stack: ExitStack) -> socket.socket:
    """Make the socket that an application would make by hand."""
    plain = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    plain.bind((GROUP, 0))
    membership = socket.inet_aton(GROUP) + socket.inet_aton(INTERFACE)
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    enlarge([plain])
    return plain


def repeat(receive: Callable[[], object]) -> Callable[[int], None]:
    """Drain with a call for each datagram."""

    def drain(count: int) -> None:
        for _ in range(count):
            receive()

    return drain


def in_batches(receive: Callable[[int], Sized]) -> Callable[[int], None]:
    """Drain with calls that return many."""

    def drain(count: int) -> None:
        while count > 0:
            count -= len(receive(MOST))

    return drain


def on_loop(
    loop: asyncio.AbstractEventLoop, drain: Callable[[int], Coroutine[Any, Any, None]]
) -> Callable[[int], None]:
    """Drain with a coroutine."""
    return lambda count: loop.run_until_complete(drain(count))


def receiving(
    context: libmctx.Context, sizes: tuple[int, ...], stack: ExitStack, loop: asyncio.AbstractEventLoop
) -> Iterator[Way]:
    """Yield the ways to receive."""
    filler = Filler(context, sizes)
    plain = plain_receiver(stack)
    size = sizes[0] if len(sizes) == 1 and HAS_SHORTCUTS else 0
    bare: dict[str, Any] = {"metadata": (), "coalescing": False}

    def subscribe(**options: Any) -> libmctx.Subscription:
        return context.add_subscription(0, GROUP, interfaces=INTERFACE, **options)

    yield filler.way("socket.recv", plain.getsockname()[1], repeat(partial(plain.recv, 65536)))
    for suffix, options in (("", {}), (", payloads alone", bare)):
        own = subscribe(**options)
        yield filler.way(f"Subscription.recv{suffix}", own.port, repeat(own.recv), {"socket.recv": None})
    if not HAS_SHORTCUTS:
        return
    forms: tuple[tuple[str, Callable[[libmctx.Subscription], Callable[[int], None]], dict[int, float]], ...] = (
        ("recv_many", lambda own: in_batches(own.recv_many), {}),
        ("recv_payloads", lambda own: in_batches(own.recv_payloads), BYTES_GOALS),
        ("recv_payloads of views", lambda own: in_batches(partial(own.recv_payloads, copy=False)), VIEW_GOALS),
        ("recv_columns", lambda own: in_batches(own.recv_columns), COLUMN_GOALS),
    )
    for coalesced in (False, True):
        for name, drain, goals in forms:
            own = subscribe()
            against = {"socket.recv": goals.get(size) if coalesced else None}
            yield filler.way(f"Subscription.{name}", own.port, drain(own), against, coalesced=coalesced)
    yield from asynchronous(filler, subscribe, stack, loop)
    yield from expert_receiving(filler, stack, loop)


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


def asynchronous(
    filler: Filler,
    subscribe: Callable[[], libmctx.Subscription],
    stack: ExitStack,
    loop: asyncio.AbstractEventLoop,
) -> Iterator[Way]:
    """Yield the ways of asyncio."""
    plain = plain_receiver(stack)
    plain.setblocking(False)
    port = plain.getsockname()[1]
    transport, protocol = loop.run_until_complete(loop.create_datagram_endpoint(Protocol, sock=plain))
    stack.callback(transport.close)
    yield filler.way("asyncio DatagramProtocol", port, on_loop(loop, protocol.drain))
    for coalesced in (False, True):
        own = subscribe()
        receiver = libmctx.AsyncSubscription(own)

        async def drain(count: int, receiver: libmctx.AsyncSubscription = receiver) -> None:
            while count > 0:
                count -= len(await receiver.recv_many(MOST))

        yield filler.way(
            "AsyncSubscription.recv_many",
            own.port,
            on_loop(loop, drain),
            {"asyncio DatagramProtocol": None, "multicast_expert async recv": None},
            coalesced=coalesced,
        )


def expert_receiving(filler: Filler, stack: ExitStack, loop: asyncio.AbstractEventLoop) -> Iterator[Way]:
    """Yield the receives of multicast_expert, if it is installed."""
    try:
        from multicast_expert import McastRxSocket
        from multicast_expert.async_rx_socket import AsyncMcastRxSocket
    except ImportError:
        return

    def free_port() -> int:
        with ExitStack() as held:
            return int(plain_receiver(held).getsockname()[1])

    async def enter() -> AsyncMcastRxSocket:
        """Open it where a loop runs, as it wants."""
        return stack.enter_context(AsyncMcastRxSocket(socket.AF_INET, [GROUP], port, iface=INTERFACE))

    port = free_port()
    expert = stack.enter_context(McastRxSocket(socket.AF_INET, [GROUP], port, iface=INTERFACE))
    enlarge(expert.sockets)
    yield filler.way("multicast_expert recv", port, repeat(expert.recv), {"socket.recv": None})
    port = free_port()
    later = loop.run_until_complete(enter())
    enlarge(later.sockets)

    async def drain(count: int) -> None:
        for _ in range(count):
            await later.recv()

    yield filler.way("multicast_expert async recv", port, on_loop(loop, drain))

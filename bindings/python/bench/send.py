# SPDX-License-Identifier: MIT
"""What a send costs from Python, beside plain sockets and beside the package multicast_expert, if it is there.

All ways are measured in turns in one run, pinned to one processor, and compared by the medians of the time that
the processor spent on them. Datagrams have TTL 0 and local delivery off, so that they end in this host, and the
way into the kernel is what is compared. Run it where 127.0.0.1 can send multicast; in a namespace:

    scripts/namespace.sh .venv/bin/python bindings/python/bench/send.py --json build/bench-python.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import libmctx

GROUP, PORT, INTERFACE = "239.255.77.9", 5000, "127.0.0.1"
BATCH = 64
SIZES = (64, 1200)
SEND_GOAL, BATCH_GOAL = 1.25, 1.0
"""The most that a way should cost of its reference's time."""


@dataclass
class Row:
    """One line of the result."""

    way: str
    reference: str
    bytes: int
    ns_per_datagram: float
    ratio: float
    low: float
    high: float
    goal: float | None


@dataclass
class Way:
    """One way to send: ``call(argument)`` sends ``datagrams`` of them."""

    name: str
    reference: str
    call: Callable[[Any], object]
    argument: Any
    datagrams: int = 1
    goal: float | None = None


def plain_socket() -> socket.socket:
    """Make the socket that an application would make by hand."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(INTERFACE))
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    plain.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
    plain.setblocking(False)
    plain.connect((GROUP, PORT))
    return plain


def expert_send(stack: ExitStack) -> Callable[[Any], object] | None:
    """Return a send of multicast_expert, or None where it isn't installed."""
    try:
        import multicast_expert
    except ImportError:
        return None
    sender = multicast_expert.McastTxSocket(socket.AF_INET, [GROUP], iface=INTERFACE, ttl=0)
    stack.enter_context(sender)
    address = (GROUP, PORT)
    return lambda payload: sender.sendto(payload, address)


def ways(stack: ExitStack, size: int) -> Iterator[Way]:
    """Yield the ways to send datagrams of a size."""
    context = stack.enter_context(libmctx.Context())
    publication = context.add_publication(
        GROUP, PORT, interface=INTERFACE, ttl=0, loopback=False, error_queue=False
    )
    plain = stack.enter_context(plain_socket())
    payload = bytes(size)
    equal = [payload] * BATCH
    unequal = [bytes(size - position % 2) for position in range(BATCH)]

    def loop(payloads: list[bytes]) -> None:
        send = plain.send
        for each in payloads:
            send(each)

    yield Way("socket.send", "socket.send", plain.send, payload)
    yield Way("Publication.send", "socket.send", publication.send, payload, goal=SEND_GOAL)
    yield Way(
        "Publication.send, a bytearray", "socket.send", publication.send, bytearray(payload), goal=SEND_GOAL
    )
    if expert := expert_send(stack):
        yield Way("multicast_expert sendto", "socket.send", expert, payload)
    for name, payloads in (("", equal), (", unequal sizes", unequal)):
        reference = f"socket.send, a loop of {BATCH}{name}"
        yield Way(reference, reference, loop, payloads, BATCH)
        many = f"Publication.send_many of {BATCH}{name}"
        yield Way(many, reference, publication.send_many, payloads, BATCH, BATCH_GOAL)
    yield Way(
        f"Publication.send_segments of {BATCH}",
        f"socket.send, a loop of {BATCH}",
        lambda data: publication.send_segments(data, size),
        payload * BATCH,
        BATCH,
        BATCH_GOAL,
    )


def measure(size: int, rounds: int, datagrams: int) -> list[Row]:
    """Measure all ways in turns; return a row for each."""
    with ExitStack() as stack:
        chosen = list(ways(stack, size))
        times: dict[str, list[float]] = {way.name: [] for way in chosen}
        for turn in range(rounds):
            first = turn % len(chosen)  # another each time, so that none always follows the same one
            for way in chosen[first:] + chosen[:first]:
                call, argument = way.call, way.argument
                repeat = range(max(1, datagrams // way.datagrams))
                call(argument)  # its code is in the caches again
                start = time.thread_time_ns()
                for _ in repeat:
                    call(argument)
                times[way.name].append((time.thread_time_ns() - start) / len(repeat) / way.datagrams)
    return [
        make_row(way.name, way.reference, way.goal, size, times[way.name], times[way.reference])
        for way in chosen
    ]


def make_row(
    way: str, reference: str, goal: float | None, size: int, times: list[float], others: list[float]
) -> Row:
    """Compare turn by turn: the median of the ratios, and their quartiles."""
    ratios = [ours / theirs for ours, theirs in zip(times, others, strict=True)]
    low, middle, high = (round(each, 3) for each in statistics.quantiles(ratios, n=4))
    return Row(way, reference, size, round(statistics.median(times), 1), middle, low, high, goal)


def compare(
    description: str, measured: Callable[[int, int, int], list[Row]], *, rounds: int, datagrams: int
) -> int:
    """Measure each size, print a table, and write JSON where it is wanted; return the exit status."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    parser.add_argument("--rounds", type=int, default=rounds, help="turns (default: %(default)s)")
    parser.add_argument("--datagrams", type=int, default=datagrams, help="in each turn (default: %(default)s)")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = [row for size in SIZES for row in measured(size, arguments.rounds, arguments.datagrams)]
    width = max(len(row.way) for row in rows)
    print(f"{'bytes':>5}  {'way':<{width}} {'ns':>7}  {'ratio':>6}")
    for row in rows:
        goal = "" if row.goal is None else f", goal <= {row.goal:.3g}"
        line = f"{row.bytes:>5}  {row.way:<{width}} {row.ns_per_datagram:>7.0f}  {row.ratio:>6.3f}"
        print(f"{line} of {row.reference}{goal}")
    if arguments.json:
        result = {
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "system": platform.platform(),
            "library": libmctx.native_version(),
            "rows": [asdict(row) for row in rows],
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(compare(str(__doc__), measure, rounds=500, datagrams=256))

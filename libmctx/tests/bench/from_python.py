# SPDX-License-Identifier: MIT
"""Sending and receiving from Python, compared with the sockets of Python and with a peer."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec

from comparison import Found, Goal, Subject, Times
from machine import BUILD, ROOT
from traffic import sizes_of
from ways import Way

LEAST_ROUNDS = 20


def run_once(way: Way) -> float:
    """Run a way; return the nanoseconds for a datagram."""
    if way.prepare is not None:
        way.prepare()
    start = time.thread_time_ns()
    datagrams = way.run()
    return (time.thread_time_ns() - start) / datagrams


def turns(ways: Sequence[Way], seconds: float) -> Times:
    """Run all ways in turns, each time in another order."""
    times: Times = {way.name: [] for way in ways}
    order = random.Random(len(ways))
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < LEAST_ROUNDS or time.monotonic() < end:
        rounds += 1
        for way in order.sample(ways, len(ways)):
            run_once(way)  # brings back what the others have driven out of the caches
            times[way.name].append(run_once(way))
    return times


def load() -> None:
    """Make the package of this tree and the library that was built the ones that are imported."""
    os.environ["LIBMCTX_LIB_DIR"] = str(BUILD / "lib")
    sys.path.insert(0, str(ROOT / "bindings" / "python"))


def missing() -> list[str]:
    """Return the peers that are not installed."""
    return [name for name in ("multicast_expert",) if find_spec(name) is None]


def measure(sizes: Sequence[str | int], seconds: float) -> Iterator[Found]:
    """Measure all ways for all sizes; yield comparisons, and what each way takes."""
    load()
    from python_rows import ways as open_ways

    for size in sizes:
        with ExitStack() as stack:
            ways = list(open_ways(sizes_of(size), stack))
            times = turns(ways, seconds)
        subject = Subject("Python", "lo, IPv4", size)
        yield from subject.measured(times)
        for way in ways:
            for against, speed in way.against.items():
                goal = None if speed is None else Goal(f"Python: `{way.name}`, of `{against}`", speed)
                if against in times:
                    yield subject.row(way.name, against, times, goal)

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sending and receiving from Python, compared with the sockets of Python and with a peer.

    from_python.py SECONDS SIZE...    measures all ways for each size, and prints their times as JSON

Run so for `bench.py`, once with the builtins of libmctx and once through ctypes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

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


def missing() -> list[str]:
    """Return the peers that are not installed."""
    return [name for name in ("multicast_expert",) if find_spec(name) is None]


def in_a_process(sizes: Sequence[str | int], seconds: float, shortcuts: str) -> list[Any]:
    """Measure in a process of its own, which imports the package of this tree and the library that is built."""
    environment = {
        **os.environ,
        "LIBMCTX_LIB_DIR": str(BUILD / "lib"),
        "LIBMCTX_PYTHON_SHORTCUTS": shortcuts,
        "PYTHONPATH": str(ROOT / "bindings" / "python"),
    }
    command = [sys.executable, __file__, str(seconds), *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise OSError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return list(json.loads(done.stdout))


def measure(sizes: Sequence[str | int], seconds: float) -> Iterator[Found]:
    """Measure all ways for all sizes; yield comparisons, and what each way takes."""
    for shortcuts, suffix, share in (("1", "", 0.8), ("0", ", through ctypes", 0.2)):
        for size, found in zip(sizes, in_a_process(sizes, seconds * share, shortcuts), strict=True):
            subject = Subject("Python", "lo, IPv4" + suffix, size)
            yield from subject.measured(found["times"])
            for way, against, speed in found["compared"]:
                name = f"{way}{suffix}"
                goal = None if speed is None else Goal(f"Python: `{name}`, of `{against}`", speed)
                yield subject.row(way, against, found["times"], goal)


def main(seconds: float, sizes: Sequence[str]) -> None:
    """Measure, and print the times and what is compared."""
    from python_rows import ways as open_ways

    found = []
    for size in sizes:
        with ExitStack() as stack:
            ways = list(open_ways(sizes_of(size), stack))
            times = turns(ways, seconds)
        compared = [
            (way.name, against, speed)
            for way in ways
            for against, speed in way.against.items()
            if against in times
        ]
        found.append({"times": times, "compared": compared})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])

# SPDX-License-Identifier: MIT
"""How exactly and how evenly a rate is kept."""

from __future__ import annotations

import itertools
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from counting import run_tool
from machine import PROGRAMS
from network import GROUPS

WAYS = {
    "plain": "raw send, a sleep before each",
    "batch": "mctx_send_batch, which waits",
    "single": "mctx_send, a sleep as it says",
}
KERNEL = {"kernel": "mctx_send_batch, the queue fq"}
RATES = (
    ("datagrams", 1_000, 64),
    ("datagrams", 10_000, 64),
    ("datagrams", 100_000, 64),
    ("bits", 10_000_000, 1200),
    ("bits", 100_000_000, 1200),
    ("bits", 1_000_000_000, 1200),
)
SECONDS, LEAST, MOST = 0.5, 100, 20_000
WINDOW_NS = 1_000_000


@dataclass
class Paced:
    """What became of a rate: the middle one of several runs."""

    way: str
    unit: str
    asked: float
    size: int
    rate: float
    """Measured, of the asked one."""
    gap_us: float
    """The ideal one between two datagrams."""
    median_us: float
    p99_us: float
    longest_us: float
    window: float
    """Datagrams in the fullest millisecond, of what the rate yields in one (or one datagram)."""
    processor: float
    """Share of a processor that it took."""


def fullest(times: list[int]) -> int:
    """Return how many came in the fullest window."""
    first, most = 0, 0
    for position, time in enumerate(times):
        while time - times[first] >= WINDOW_NS:
            first += 1
        most = max(most, position - first + 1)
    return most


def measure(way: str, name: str, interface: str, unit: str, asked: int, size: int) -> Paced:
    """Send for about a second, and look at when it came."""
    a_second = asked / (8 * size if unit == "bits" else 1)
    count = int(min(max(a_second * SECONDS, LEAST), MOST))
    command = [PROGRAMS / "pacing", GROUPS["IPv4"], interface, way, unit, asked, size, count]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
    first, *rest = done.stdout.splitlines()
    taken, processor = map(float, first.split())
    times = list(map(int, rest))
    if times != sorted(times):
        raise OSError("the clock was set meanwhile")
    gaps = [(after - before) / 1000 for before, after in itertools.pairwise(times)]
    percentiles = statistics.quantiles(gaps, n=100)
    return Paced(
        name,
        unit,
        asked,
        size,
        (count - 1) / (times[-1] - times[0]) * 1e9 / a_second,
        1e6 / a_second,
        percentiles[49],
        percentiles[98],
        max(gaps),
        fullest(times) / max(a_second * WINDOW_NS / 1e9, 1),
        processor / taken,
    )


def middle(runs: list[Paced]) -> Paced:
    """Return the middle one of every number."""
    first = runs[0]
    numbers = {
        name: statistics.median(getattr(run, name) for run in runs)
        for name in ("rate", "gap_us", "median_us", "p99_us", "longest_us", "window", "processor")
    }
    return Paced(first.way, first.unit, first.asked, first.size, **numbers)


def has_fq(interface: str) -> bool:
    """Give an interface the queue that keeps to rates; return whether there is one."""
    try:
        run_tool(["tc", "qdisc", "replace", "dev", interface, "root", "fq"])
    except OSError:
        return False
    return True


def rows(*, quick: bool) -> Iterator[Paced]:
    """Measure all rates by all ways, in turns."""
    ways = {**WAYS, **(KERNEL if has_fq("lo") else {})}
    for unit, asked, size in RATES[1:5:2] if quick else RATES:
        chosen = {way: name for way, name in ways.items() if way != "kernel" or unit == "bits"}
        runs: dict[str, list[Paced]] = {}
        for _ in range(1 if quick else 3):
            for way, name in chosen.items():
                runs.setdefault(way, []).append(measure(way, name, "lo", unit, asked, size))
        yield from map(middle, runs.values())

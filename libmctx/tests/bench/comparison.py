# SPDX-License-Identifier: MIT
"""Times of ways, measured in turns, and how they compare."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Times = dict[str, list[float]]
"""Nanoseconds for a datagram in each turn, by way: the same position is the same turn."""


@dataclass(frozen=True)
class Goal:
    """The least speed that rows of one kind should have."""

    text: str
    speed: float


@dataclass
class Row:
    """One comparison: how many times as fast a way is as what it is compared with."""

    section: str
    way: str
    against: str
    path: str
    size: str
    batch: int
    ns: float
    against_ns: float
    speed: float
    low: float  # the quartiles of the turns
    high: float
    goal: Goal | None = None

    @property
    def least(self) -> float:
        """Return the speed that the goal asks for, or 0."""
        return self.goal.speed if self.goal is not None else 0.0

    @property
    def is_met(self) -> bool:
        """Return whether the goal is met, to the digits that are shown."""
        return round(self.speed, 3) >= round(self.least, 3)


@dataclass
class Measured:
    """What a datagram takes by one way."""

    section: str
    way: str
    path: str
    size: str
    batch: int
    ns: float


Found = Row | Measured


@dataclass(frozen=True)
class Subject:
    """What rows have in common."""

    section: str
    path: str
    size: str | int
    batch: int = 1

    def row(self, way: str, against: str, times: Times, goal: Goal | None = None) -> Row:
        """Compare two ways by the median of their ratios in the turns."""
        ours, theirs = times[way], times[against]
        low, middle, high = statistics.quantiles([b / a for a, b in zip(ours, theirs, strict=True)], n=4)
        names = self.section, way, against, self.path, str(self.size), self.batch
        return Row(*names, statistics.median(ours), statistics.median(theirs), middle, low, high, goal)

    def measured(self, times: Times) -> Iterator[Measured]:
        """Return what a datagram takes by each way."""
        for way, values in times.items():
            yield Measured(self.section, way, self.path, str(self.size), self.batch, statistics.median(values))


def best(names: Iterable[str], times: Mapping[str, Sequence[float]]) -> str:
    """Return the fastest of the ways that were measured."""
    return min((name for name in names if name in times), key=lambda name: statistics.median(times[name]))


def run_turns(command: Sequence[str]) -> tuple[Times, str]:
    """Run a program that measures in turns; return the times, and what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    names, *lines = done.stdout.splitlines()
    columns = zip(*(map(float, line.split("\t")) for line in lines), strict=True)
    return dict(zip(names.split("\t"), map(list, columns), strict=True)), done.stderr.strip()


def by_position(times: Times, count: int) -> list[Times]:
    """Sort columns by the position that their names begin with."""
    found: list[Times] = [{} for _ in range(count)]
    for name, column in times.items():
        position, _, way = name.partition(" ")
        found[int(position)][way] = column
    return found


def add_times(total: Times, more: Times) -> None:
    """Add the turns of another pass."""
    for name, values in more.items():
        total.setdefault(name, []).extend(values)

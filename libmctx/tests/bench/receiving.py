# SPDX-License-Identifier: MIT
"""Receiving, compared with plain receives from the same sockets."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from counting import Call
from tables import Row

NONE, SOURCE, ALL = 0, 1, 63
METADATA = {NONE: "no metadata", SOURCE: "source", ALL: "all metadata"}
RECV_GOAL = 1.05
BATCH_GOAL = 1 / 0.95  # of the time: 0.95 of the speed
GROUPS_GOAL = 1.05
MANY = (100, 500)
Times = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Subject:
    """A subscription, and what is sent to it."""

    metadata: int = ALL
    coalescing: bool = False
    traffic: str = "lone"
    size: int = 64
    groups: int = 1
    binding: str = "group"
    datagrams: int = 512
    family: str = "IPv4"

    @property
    def text(self) -> str:
        """Return it as the program reads it."""
        how = "coalescing" if self.coalescing else "plain"
        return f"{self.groups},{self.binding},{self.metadata},{how},{self.traffic},{self.size},{self.datagrams}"

    def __str__(self) -> str:
        """Name what it is."""
        words = [f"lo {self.family}"]
        if self.groups > 1:
            words.append(f"{self.groups} groups, {'one busy' if self.traffic == 'first' else 'all busy'}")
        if self.binding == "wildcard":
            words.append("wildcard sockets")
        words.append(METADATA.get(self.metadata, "source and group"))
        if self.coalescing:
            words.append("coalesced" if self.traffic == "coalesced" else "coalescing")
        return ", ".join(words)

    @property
    def raw(self) -> str:
        """Name the plain receive that asks for the same."""
        if self.coalescing or self.binding != "group" or self.metadata not in (NONE, SOURCE):
            return "raw recvmsg"
        return "raw recv" if self.metadata == NONE else "raw recvfrom"


def single() -> Iterator[Subject]:
    """One socket: what a datagram costs by what is asked."""
    for coalescing in (False, True):
        for metadata in METADATA:
            yield Subject(metadata, coalescing)
    for size in (1200, 1472):
        yield Subject(NONE, size=size)
        yield Subject(ALL, coalescing=True, size=size)
    for size in (64, 1200, 1472):
        for metadata in (NONE, ALL):
            yield Subject(metadata, True, "coalesced", size, datagrams=1024)


def several() -> Iterator[Subject]:
    """Many groups; 1000 datagrams are as many for each."""
    for binding, traffic in (("group", "first"), ("group", "lone"), ("wildcard", "lone")):
        for groups in (1, *MANY):
            yield Subject(traffic=traffic, groups=groups, binding=binding, datagrams=1000)


def measure(
    program: Path, group: str, subjects: Sequence[Subject], rounds: int, threads: bool = False
) -> list[Times]:
    """Measure all ways of all subjects in turns; return the times of each subject's ways."""
    how = "threads" if threads else "alone"
    command = [str(program), group, "lo", how, "time", str(rounds), *(each.text for each in subjects)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    names, *lines = done.stdout.splitlines()
    columns = zip(*([float(text) for text in line.split("\t")] for line in lines), strict=True)
    found: list[Times] = [{} for _ in subjects]
    for name, column in zip(names.split("\t"), columns, strict=True):
        position, _, way = name.partition(" ")
        found[int(position)][way] = column
    return found


def row(
    way: str, against: str, subject: Subject, ours: Sequence[float], theirs: Sequence[float], goal: float | None
) -> Row:
    """Compare two ways by the median of their ratios."""
    low, middle, high = statistics.quantiles([a / b for a, b in zip(ours, theirs, strict=True)], n=4)
    medians = statistics.median(ours), statistics.median(theirs)
    return Row(way, against, str(subject), subject.size, *medians, middle, low, high, goal)


def compared(subject: Subject, times: Times) -> Iterator[Row]:
    """Compare the library with the plain calls: a batch with the best of those that keep what they receive."""
    raw = times["raw recvmsg"]
    if subject.traffic != "coalesced":
        yield row("mctx_recv", subject.raw, subject, times["mctx_recv"], raw, RECV_GOAL)
        looked = times.get("raw recvmsg, looked at")
        if looked:
            yield row("mctx_recv", f"{subject.raw}, looked at", subject, times["mctx_recv"], looked, None)
        small = times.get("mctx_recv, a small buffer")
        if small and subject.coalescing:
            yield row("mctx_recv, a small buffer", subject.raw, subject, small, raw, RECV_GOAL)
    else:
        yield row("mctx_recv", subject.raw, subject, times["mctx_recv"], raw, None)
    keeping = {f"{subject.raw}, kept": times["raw recvmsg, kept"]}
    if "raw recvmmsg" in times:
        keeping["raw recvmmsg"] = times["raw recvmmsg"]
    best = min(keeping, key=lambda way: statistics.median(keeping[way]))
    yield row("mctx_recv_batch", best, subject, times["mctx_recv_batch"], keeping[best], BATCH_GOAL)


def by_groups(subjects: Sequence[Subject], times: Sequence[Times]) -> Iterator[Row]:
    """Compare many groups with one: the curve of the plain calls, and the library's beside it."""
    for subject, own in zip(subjects, times, strict=True):
        if subject.groups == 1:
            base = own
            continue
        for way in ("raw recvmsg", "mctx_recv", "mctx_recv_batch"):
            goal = GROUPS_GOAL if way != "raw recvmsg" and subject.traffic == "first" else None
            yield row(way, f"{way}, 1 group", subject, own[way], base[way], goal)


def peer_rows(program: Path, group: str, rounds: int) -> Iterator[Row]:
    """Compare with the receiver of the Rust registry, which tells source and group."""
    subjects = (Subject(3, binding="peer", datagrams=128), Subject(3, datagrams=128))
    theirs, ours = measure(program, group, subjects, rounds)
    for way, against in (("mctx_recv", "try_recv"), ("mctx_recv_batch", "try_recv_batch_into")):
        against = f"mcrx-core {against}"
        yield row(way, against, subjects[1], ours[way], theirs[against], None)


def rows(program: Path, peer: Path, groups: dict[str, str], rounds: int) -> tuple[list[Row], list[str]]:
    """Return all comparisons, and what is missing of them."""
    found: list[Row] = []
    subjects = list(single())
    for subject, times in zip(subjects, measure(program, groups["IPv4"], subjects, rounds), strict=True):
        found += compared(subject, times)
    if "IPv6" in groups:
        subjects = [Subject(ALL, coalescing, family="IPv6") for coalescing in (False, True)]
        for subject, times in zip(subjects, measure(program, groups["IPv6"], subjects, rounds), strict=True):
            found += compared(subject, times)
    subjects = list(several())
    all_times = measure(program, groups["IPv4"], subjects, rounds)
    found += by_groups(subjects, all_times)
    for subject, times in zip(subjects, all_times, strict=True):
        if subject.groups > 1:
            found += compared(subject, times)
    if not peer.exists():
        return found, ["mcrx-core of the Rust registry: `make bench-peers` builds it, where cargo is"]
    os.environ["PEER"] = str(peer)
    return found + list(peer_rows(program, groups["IPv4"], rounds)), []


# ---- counts ----

COUNTED = (
    ("mctx_recv, no metadata", "mctx_recv", "raw recvmsg", Subject(NONE, datagrams=1)),
    ("mctx_recv, all metadata, coalescing", "mctx_recv", "raw recvmsg", Subject(ALL, True, datagrams=1)),
    (
        "mctx_recv, 500 groups on wildcard sockets",
        "mctx_recv",
        "raw recvmsg",
        Subject(ALL, groups=500, binding="wildcard", datagrams=1),
    ),
    (
        "mctx_recv_batch of 64, no metadata",
        "mctx_recv_batch",
        "raw recvmmsg",
        Subject(NONE, datagrams=64),
    ),
    (
        "mctx_recv_batch of 64, all metadata, coalescing",
        "mctx_recv_batch",
        "raw recvmmsg",
        Subject(ALL, True, datagrams=64),
    ),
    (
        "mctx_recv_batch of 16 coalesced messages of 64 datagrams",
        "mctx_recv_batch",
        "raw recvmsg",
        Subject(ALL, True, "coalesced", datagrams=1024),
    ),
)
COUNT_GOALS = {
    f"{label}: {count} beyond a {base}": goal
    for label, _, base, _ in COUNTED
    for count, goal in (("locked operations", 3), ("allocations", 0))
}


def calls(program: Path, group: str) -> Iterator[Call]:
    """Return what is counted."""
    for label, way, base, subject in COUNTED:
        yield Call(label, way, base, (str(program), group, "lo", "alone"), (subject.text,))

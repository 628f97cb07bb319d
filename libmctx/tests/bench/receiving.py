# SPDX-License-Identifier: MIT
"""Receiving, compared with plain receives from the same sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from comparison import Found, Goal, Subject, Times, best, by_position, run_turns
from counting import Call
from machine import PROGRAMS
from network import GROUPS
from traffic import FIXED, MIXED, sizes_of

NONE, SOURCE, ALL = 0, 1, 63
METADATA = {NONE: "no metadata", SOURCE: "source", ALL: "all metadata"}
RECV = Goal("`mctx_recv`, of the plain call with the same metadata", 1 / 1.05)
BATCH_LONE = Goal("`mctx_recv_batch` of lone datagrams, of the best plain way", 0.97)
BY_HAND = Goal("`mctx_recv_batch`, of a program by hand that writes down what it gets", 0.97)
BATCH_COALESCED = Goal("`mctx_recv_batch` of coalesced datagrams, of the best plain way", 0.97)
MANY_GROUPS = Goal("receiving many groups, of the plain calls over as many sockets", 1 / 1.05)


@dataclass(frozen=True)
class Subscribed:
    """A subscription, and what is sent to it."""

    metadata: int = ALL
    coalescing: bool = False
    traffic: str = "lone"
    size: str | int = 64
    groups: int = 1
    binding: str = "group"
    datagrams: int = 512
    family: str = "IPv4"

    @property
    def text(self) -> str:
        """Return it as the program reads it."""
        how = "coalescing" if self.coalescing else "plain"
        sizes = "+".join(map(str, sizes_of(self.size)))
        return f"{self.groups},{self.binding},{self.metadata},{how},{self.traffic},{sizes},{self.datagrams}"

    @property
    def subject(self) -> Subject:
        """Name what it is."""
        words = [f"lo {self.family}"]
        if self.groups > 1:
            words.append(f"{self.groups} groups, {'one busy' if self.traffic == 'first' else 'all busy'}")
        if self.binding == "wildcard":
            words.append("wildcard sockets")
        words.append(METADATA.get(self.metadata, "source and group"))
        if self.coalescing:
            words.append("coalesced" if self.traffic == "coalesced" else "coalescing")
        return Subject("groups" if self.groups > 1 else "receiving", ", ".join(words), self.size)

    @property
    def raw(self) -> str:
        """Name the plain receive that asks for the same."""
        if self.coalescing or self.binding != "group" or self.metadata not in (NONE, SOURCE):
            return "raw recvmsg"
        return "raw recv" if self.metadata == NONE else "raw recvfrom"


def single(family: str, *, quick: bool) -> Iterator[Subscribed]:
    """One socket: what a datagram costs by what is asked, by its size, and by how it comes."""
    if family == "IPv6":
        for each in (64,) if quick else (64, 1200):
            yield Subscribed(ALL, coalescing=True, size=each, family=family)
            yield Subscribed(ALL, True, "coalesced", each, datagrams=1024, family=family)
        return
    sizes: tuple[str | int, ...] = (64, 1200, MIXED) if quick else (*FIXED, MIXED)
    for size in sizes:
        yield Subscribed(NONE, size=size)
        yield Subscribed(ALL, size=size)
        yield Subscribed(ALL, coalescing=True, size=size)
        for metadata in (NONE, ALL):
            yield Subscribed(metadata, True, "coalesced", size, datagrams=1024)
    if not quick:
        yield Subscribed(SOURCE)


def several(*, quick: bool) -> Iterator[list[Subscribed]]:
    """Many groups, beside one; as many datagrams for each of those that are busy."""
    many = (1, 100) if quick else (1, 100, 1000, 10000)
    for binding, traffic in (("group", "first"), ("group", "lone"), ("wildcard", "lone")):
        yield [
            Subscribed(
                traffic=traffic,
                groups=groups,
                binding=binding,
                datagrams=max(1000, groups) if traffic == "lone" else 1000,
            )
            for groups in many
        ]


def measure(family: str, subjects: Sequence[Subscribed], milliseconds: int) -> list[Times]:
    """Measure all ways of all subjects in turns; return the times of each subject's ways."""
    texts = (each.text for each in subjects)
    command = [str(PROGRAMS / "receive"), GROUPS[family], "lo", "alone", "time", str(milliseconds), *texts]
    return by_position(run_turns(command)[0], len(subjects))


def compare(subscribed: Subscribed, times: Times, goal: Goal | None = None) -> Iterator[Found]:
    """Compare the library with the plain calls: a batch with the best of those that keep what they receive."""
    subject, raw = subscribed.subject, subscribed.raw
    keeping = ("raw recvmsg, kept", "raw recvmmsg")
    floor = best(keeping, times)
    times = {raw if name == "raw recvmsg" else name: values for name, values in times.items()}
    coalesced = subscribed.traffic == "coalesced"
    yield from subject.measured(times)
    yield subject.row("mctx_recv", raw, times, None if coalesced else goal or RECV)
    if not coalesced and "raw recvmsg, looked at" in times:
        yield subject.row("mctx_recv", "raw recvmsg, looked at", times)
    if not coalesced and subscribed.coalescing and "mctx_recv, a small buffer" in times:
        yield subject.row("mctx_recv, a small buffer", raw, times, RECV)
    if "raw recvmsg, told" in times and goal is None:
        yield subject.row("mctx_recv_batch", "raw recvmsg, told", times, BY_HAND)
    yield subject.row("mctx_recv_batch", floor, times, goal or (BATCH_COALESCED if coalesced else BATCH_LONE))


def by_groups(subjects: Sequence[Subscribed], times: Sequence[Times]) -> Iterator[Found]:
    """Compare many groups with one: the curve of the plain calls, and the library's beside it."""
    base: Times = {}
    for subscribed, own in zip(subjects, times, strict=True):
        if subscribed.groups == 1:
            base = own
            yield from replace(subscribed.subject, section="groups").measured(own)
            continue
        for way in ("raw recvmsg", "mctx_recv", "mctx_recv_batch"):
            one = f"{way}, 1 group"
            yield subscribed.subject.row(way, one, {way: own[way], one: base[way]})
        yield from compare(subscribed, own, MANY_GROUPS)


def peer_rows(milliseconds: int) -> Iterator[Found]:
    """Compare with the receiver of the Rust registry, which tells source and group."""
    subjects = (Subscribed(3, binding="peer", datagrams=128), Subscribed(3, datagrams=128))
    theirs, ours = measure("IPv4", subjects, milliseconds)
    for way, against in (("mctx_recv", "try_recv"), ("mctx_recv_batch", "try_recv_batch_into")):
        against = f"mcrx-core {against}"
        yield subjects[1].subject.row(way, against, {**ours, against: theirs[against]})


# ---- counts ----

COUNTED = (
    ("mctx_recv, no metadata", "mctx_recv", "raw recvmsg", Subscribed(NONE, datagrams=1)),
    ("mctx_recv, all metadata, coalescing", "mctx_recv", "raw recvmsg", Subscribed(ALL, True, datagrams=1)),
    (
        "mctx_recv, 500 groups on wildcard sockets",
        "mctx_recv",
        "raw recvmsg",
        Subscribed(ALL, groups=500, binding="wildcard", datagrams=1),
    ),
    (
        "mctx_recv_batch of 64, no metadata",
        "mctx_recv_batch",
        "raw recvmmsg",
        Subscribed(NONE, datagrams=64),
    ),
    (
        "mctx_recv_batch of 64, all metadata, coalescing",
        "mctx_recv_batch",
        "raw recvmmsg",
        Subscribed(ALL, True, datagrams=64),
    ),
    (
        "mctx_recv_batch of 16 coalesced messages of 64 datagrams",
        "mctx_recv_batch",
        "raw recvmsg",
        Subscribed(ALL, True, "coalesced", datagrams=1024),
    ),
)


def calls() -> Iterator[Call]:
    """Return what is counted."""
    for label, way, base, subscribed in COUNTED:
        program = (str(PROGRAMS / "receive"), GROUPS["IPv4"], "lo", "alone")
        yield Call(label, way, base, program, (subscribed.text,), ignored="sendmsg")

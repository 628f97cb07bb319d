# SPDX-License-Identifier: MIT
"""Sending, compared with plain calls on the same socket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comparison import Found, Goal, Subject, Times, best
from counting import LOCKED_OPERATIONS, Call
from machine import PROGRAMS
from network import GROUPS, LISTENERS, LOOPBACK, Link
from traffic import FIXED, MIXED, sizes_of

BATCHES = (1, 2, 8, 64, 1024)
LONE = ("raw send", "raw sendmmsg")
SCATTERED = (
    *LONE,
    "raw offload, iovecs",
    "raw offload, iovecs, sendmmsg",
    "raw offload, copied",
    "raw offload, copied, sendmmsg",
)
CONTIGUOUS = (*SCATTERED, "raw offload, contiguous", "raw offload, contiguous, sendmmsg")
SEND = Goal("`mctx_send`, of `send`", 1 / 1.02)
SEGMENTS = Goal("`mctx_send_segments`, of the best plain way", 0.97)
NEIGHBOURS = Goal("`mctx_send_batch` of neighbours in memory, of the best plain way", 0.97)
SCATTERED_EQUAL = Goal("`mctx_send_batch` of scattered equal sizes, of the best plain way", 0.97)
SCATTERED_MIXED = Goal("`mctx_send_batch` of scattered mixed sizes, of the best plain way", 0.97)
RUNS = Goal("`mctx_send_batch` of scattered mixed sizes, of `sendmmsg`", 1.0)
WITHOUT = Goal("`mctx_send_batch` without offload, of the best of `send` and `sendmmsg`", 0.97)
BY_HAND = Goal("`mctx_send_batch`, of a program by hand that is handed slices", 0.97)
ONE = Goal("`mctx_send_batch` of one, of `send`", 0.97)
PEER = "mctx-core send"


@dataclass(frozen=True)
class Setting:
    """What is sent, how, and by which way."""

    link: Link = LOOPBACK
    size: str | int = 64
    batch: int = 1
    listener: str = "none"
    family: str = "IPv4"
    connected: bool = True
    threads: bool = False

    @property
    def subject(self) -> Subject:
        """Name what is not the usual."""
        words = [self.link.name, self.family]
        words += [] if self.connected else ["unconnected"]
        words += ["among threads"] if self.threads else []
        words += [] if self.listener == "none" else [f"{self.listener} receiver"]
        return Subject("sending", ", ".join(words), self.size, self.batch)

    def command(self, *what: str) -> list[str]:
        """Return the command of the program."""
        settings = {
            "group": GROUPS[self.family],
            "interface": self.link.interface,
            "connected": int(self.connected),
            "threads": int(self.threads),
            "sizes": ",".join(map(str, sizes_of(self.size))),
            "batch": self.batch,
            "listener": self.listener,
            "listens": self.link.listens,
        }
        if self.link.netns:
            settings["netns"] = self.link.netns
        return [str(PROGRAMS / "send"), *(f"{key}={value}" for key, value in settings.items()), *what]


def settings(links: list[Link], families: list[str], *, quick: bool) -> Iterator[Setting]:
    """Yield what is measured."""
    sizes = (64, 1200, MIXED) if quick else (*FIXED, MIXED)
    batches = (1, 64) if quick else BATCHES
    for link in links:
        for listener in LISTENERS:
            usual = listener == ("none" if link is LOOPBACK else "coalescing")
            if usual or not quick:
                chosen = batches if usual else (1, 64)
                yield from (Setting(link, size, batch, listener) for size in sizes for batch in chosen)
    for size in (64,) if quick else (64, 1200):
        for batch in (1, 64):
            yield Setting(size=size, batch=batch, threads=True)
            yield Setting(size=size, batch=batch, connected=False)
            if "IPv6" in families:
                yield Setting(size=size, batch=batch, family="IPv6")


def compare(setting: Setting, times: Times) -> Iterator[Found]:
    """Compare the library with the best of the plain ways for the same shape."""
    subject = setting.subject
    yield from subject.measured(times)
    if setting.batch == 1:
        yield subject.row("mctx_send", "raw send", times, SEND)
        if PEER in times:
            yield subject.row(PEER, "raw send", times)
            yield subject.row("mctx_send", PEER, times)
        yield subject.row("mctx_send_batch, scattered", "raw send", times, ONE)
        return
    scattered = SCATTERED_MIXED if setting.size == MIXED else SCATTERED_EQUAL
    for way, floors, goal in (
        ("mctx_send_segments", CONTIGUOUS, SEGMENTS),
        ("mctx_send_batch, contiguous", CONTIGUOUS, NEIGHBOURS),
        ("mctx_send_batch, scattered", SCATTERED, scattered),
        ("mctx_send_batch, without offload", LONE, WITHOUT),
    ):
        if way in times:
            yield subject.row(way, best(floors, times), times, goal)
            yield subject.row(way, "raw send", times)
    for layout in ("contiguous", "copied"):
        way = f"mctx_send_batch, {'scattered' if layout == 'copied' else layout}"
        yield subject.row(way, f"raw, {layout}, from slices", times, BY_HAND)
    if setting.size == MIXED:
        yield subject.row("mctx_send_batch, scattered", "raw sendmmsg", times, RUNS)


# ---- counts ----

COUNTED = ((64, 64), (1200, 1024), (MIXED, 64), (MIXED, 1024))
SEGMENTS_EVERYWHERE, MESSAGES = 64, 64
PLANNED = 64  # messages at once; what is not done with them lets others in
PINNED = 3  # locked operations of a call that does: two hold the object, one keeps its counters


def call_goal(size: str | int, batch: int, *, offload: bool) -> int:
    """Return how many system calls a batch may take: one a superpacket, or one for so many messages."""
    together = MESSAGES if size == MIXED or not offload else min(SEGMENTS_EVERYWHERE, 65507 // int(size))
    return -(-batch // together)


def calls() -> Iterator[Call]:
    """Return what is counted of sending."""
    one = tuple(Setting(batch=1).command())
    among_threads = tuple(Setting(threads=True).command())
    yield Call("mctx_send", "mctx_send", "raw send", one, instructions=90, calls=1)
    yield Call("mctx_send among threads", "mctx_send", "raw send", among_threads, instructions=90, calls=1)
    for way, floor in (
        ("mctx_send_segments", "raw offload, contiguous, sendmmsg"),
        ("mctx_send_batch, contiguous", "raw offload, contiguous, sendmmsg"),
        ("mctx_send_batch, scattered", "raw offload, iovecs, sendmmsg"),
        ("mctx_send_batch, without offload", "raw sendmmsg"),
    ):
        for size, batch in COUNTED:
            if way == "mctx_send_segments" and size == MIXED:
                continue
            label = f"{way}, {batch} x {size if size == MIXED else f'{size} B'}"
            goal = call_goal(size, batch, offload=way != "mctx_send_batch, without offload")
            locked = PINNED if batch > PLANNED else LOCKED_OPERATIONS
            copies = way == "mctx_send_batch, scattered"  # and takes the memory for it
            program = tuple(Setting(size=size, batch=batch).command())
            yield Call(label, way, floor, program, calls=goal, locked=locked + copies)

# SPDX-License-Identifier: MIT
"""Many publications, and two threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comparison import Found, Goal, Subject, by_position, run_turns
from machine import PROGRAMS
from network import GROUPS

PUBLICATIONS = (1, 10, 100, 1000, 10000)
SIZE = 64
MANY = Goal("sending over many publications, of `send` over as many sockets", 1 / 1.05)
SHARINGS = ("1 thread", "2 threads, a publication each", "2 threads, one shared publication")
THREAD_WAYS = {
    1: (("mctx_send", "raw send"),),
    64: (("mctx_send_batch, scattered", "raw offload, copied, sendmmsg"),),
}


def publications(counts: Sequence[int], milliseconds: int) -> Iterator[Found]:
    """Compare the library with plain sends over as many sockets, and each with itself over one."""
    program = [str(PROGRAMS / "publications"), GROUPS["IPv4"], "lo", str(SIZE), "time", str(milliseconds)]
    times = by_position(run_turns([*program, *map(str, counts)])[0], len(counts))
    for count, own in zip(counts, times, strict=True):
        subject = Subject("publications", f"lo, IPv4, {count} publication{'s' * (count > 1)}", SIZE)
        yield from subject.measured(own)
        for way in ("mctx_send", "mctx_send_all"):
            yield subject.row(way, "raw send", own, MANY)
        for way in own if count > 1 else ():
            one = f"{way}, 1 publication"
            yield subject.row(way, one, {way: own[way], one: times[0][way]})


def threads(milliseconds: int) -> Iterator[Found]:
    """Compare two threads with plain calls by two threads, and with one thread."""
    for batch, ways in THREAD_WAYS.items():
        program = [str(PROGRAMS / "threads"), GROUPS["IPv4"], "lo", str(SIZE), str(batch), "time"]
        times = by_position(run_turns([*program, str(milliseconds)])[0], len(SHARINGS))
        for sharing, own in zip(SHARINGS, times, strict=True):
            subject = Subject("threads", f"lo, IPv4, {sharing}", SIZE, batch)
            yield from subject.measured(own)
            for way, floor in ways:
                yield subject.row(way, floor, own)
                for name in (way, floor) if sharing != SHARINGS[0] else ():
                    one = f"{name}, 1 thread"
                    yield subject.row(name, one, {name: own[name], one: times[0][name]})

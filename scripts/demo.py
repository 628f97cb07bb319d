#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the demonstration programs in both languages, for both IP versions, and print what came of it as tables.

Everything stays on this host: in a network namespace of its own where scripts/demo.sh could make one, else on
the loopback interface.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNT = 100_000
FEW = 1_000
CANNOT = 77
LIMIT = 60.0
PROGRAMS = {
    "C": [str(ROOT / "build" / "examples" / "demo")],
    "Python": [sys.executable, str(ROOT / "examples" / "demo.py")],
}
ROW = "  {:<8} {:<6} {:<8} {:>7} {:>9} {:>6} {:>11}   {}"
SSM_ROW = "  {:<8} {:<6} {:<26} {}"
SHOWN_ROW = "  {:<8} {:<10} {:<17} {:<21} {:<10} {:>3} {:>4} {:>3}   {:<19} {:>7}"


@dataclass
class Outcome:
    """What a program printed, or why it couldn't."""

    language: str
    family: int
    lines: list[list[str]]
    reason: str = ""
    failed: bool = False

    @property
    def name(self) -> str:
        """The IP version."""
        return f"IPv{self.family}"

    @property
    def why_not(self) -> str:
        """Why there is nothing to show."""
        return f"FAILED: {self.reason}" if self.failed else f"not on this host: {self.reason}"


def run(language: str, task: str, family: int, count: int) -> Outcome:
    """Run a program."""
    command = [*PROGRAMS[language], task, str(family), str(count)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return Outcome(language, family, [], f"it took more than {LIMIT:.0f} s", failed=True)
    lines = done.stdout.splitlines()
    if done.returncode == 0:
        return Outcome(language, family, [line.split("\t") for line in lines])
    reason = (lines + done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return Outcome(language, family, [], reason, failed=done.returncode != CANNOT)


def reasons(counted: str) -> tuple[int, str]:
    """Return how many losses the counters of the subscription explain, and how."""
    counts = {name: int(value) for name, value in (each.split("=") for each in counted.split())}
    told = {"kernel_drops": "the kernel dropped {}: the receive buffer was full"}
    texts = [told.get(name, "{} " + name.replace("_", " by ")).format(value) for name, value in counts.items()]
    return sum(counts.values()), "; ".join(texts)


def transfers(tasks: tuple[str, ...], count: int, may_lose: bool) -> Iterator[tuple[str, bool]]:
    """Send and receive; yield rows, each with whether all is as it should be."""
    for language in PROGRAMS:
        for family in (4, 6):
            for task in tasks:
                outcome = run(language, task, family, count)
                if not outcome.lines:
                    yield ROW.format(language, outcome.name, task, "-", "-", "-", "-", outcome.why_not), False
                    continue
                sent, received, seconds, source, group, _, counted = outcome.lines[-1]
                lost = int(sent) - int(received)
                explained, why = reasons(counted)
                right = lost == explained if may_lose else lost == 0
                rate = "-" if may_lose else f"{int(sent) / float(seconds):,.0f}/s"
                last = why if lost else f"{source} -> {group}"
                if lost != explained:
                    last += f"; {lost - explained} unexplained"
                yield ROW.format(language, outcome.name, task, sent, received, lost, rate, last), right


def sources() -> Iterator[tuple[str, bool]]:
    """Send from two sources to a membership that includes one; yield rows as `transfers` does."""
    for language in PROGRAMS:
        outcome = run(language, "ssm", 4, FEW)
        if not outcome.lines:
            yield SSM_ROW.format(language, outcome.name, "-", outcome.why_not), False
            continue
        (_, _, included, received), (_, _, other, leaked) = outcome.lines
        right = received == included and leaked == "0"
        yield (
            SSM_ROW.format(
                language, outcome.name, f"{received} of {included} received", f"{leaked} of {other} received"
            ),
            right,
        )


def metadata() -> Iterator[tuple[str, bool]]:
    """Show what is known of a few datagrams; yield rows as `transfers` does."""
    for language in PROGRAMS:
        for family in (4, 6):
            outcome = run(language, "show", family, 2)
            if not outcome.lines:
                yield f"  {language:<8} {outcome.name}: {outcome.why_not}", False
            for fields in outcome.lines:
                yield SHOWN_ROW.format(language, *fields), True


def table(title: str, heading: str, rows: Iterator[tuple[str, bool]]) -> list[tuple[bool, bool]]:
    """Print a table; return of each row whether it worked, and whether that is as it should be."""
    print(f"\n{title}\n\n{heading}", flush=True)
    results = []
    for row, right in rows:
        print(row, flush=True)
        results.append((right, right or "not on this host" in row))
    return results


def main() -> int:
    """Print the tables; fail when anything was lost that should not be, or went wrong, or nothing worked."""
    where = "in a network namespace" if "--namespace" in sys.argv else "on this host's loopback interface"
    print(f"From publications to subscriptions, through the kernel, {where}.")
    heading = ROW.format("language", "IP", "how", "sent", "received", "lost", "rate", "")
    results = table(
        f"{COUNT:,} datagrams of 1000 bytes each: one by one, and in batches that the receive buffer holds.",
        f"{heading}from -> to",
        transfers(("single", "batch"), COUNT, may_lose=False),
    )
    results += table(
        f"{FEW:,} at once into a small receive buffer: what does not fit is lost, and counted.",
        f"{heading}why",
        transfers(("burst",), FEW, may_lose=True),
    )
    results += table(
        "A source-specific group (SSM), 232.77.67.1, joined for the source 127.0.0.1 alone.",
        SSM_ROW.format("language", "IP", "from 127.0.0.1", "from 127.0.0.2"),
        sources(),
    )
    results += table(
        "What is known of a datagram.",
        SHOWN_ROW.format(
            *("language", "payload", "source", "group", "interface", "TTL", "DSCP", "ECN"),
            *("received, UTC", "drops"),
        ),
        metadata(),
    )
    if not all(right for _, right in results):
        print("\nFAILED: see the rows that say so, or that lost what they should not")
        return 1
    if not any(worked for worked, _ in results):
        print("\nFAILED: neither IPv4 nor IPv6 works on this host")
        return 1
    print("\nRates count sending and receiving in one thread, in turns. Nothing left this host.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

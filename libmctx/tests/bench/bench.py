#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the library with plain calls of the system and with its peers, by time and by exact counts.

    bench.py                 all: tables on the terminal; bench.md, bench.json and charts in build/bench
    bench.py --quick         the same of fewer shapes, for a shorter time
    bench.py --only PART     sending, receiving, groups, counts, ...; several by commas
    bench.py --keep          what is not measured now stays as the last run found it
    bench.py --check         counts alone; ends with 1 where one is above its goal or its record in counts.json
    bench.py --record        counts alone, written to counts.json
    bench.py --document      measures nothing: puts the last results into docs/performance.md

Runs in a network namespace of its own where the host allows one, else on the loopback interface, and on one
processor. What is compared takes turns within one run: a speed is the median of the ratios of the turns, and
its spread is the middle half of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import from_python
import pacing
import programs
import receiving
import scale
import sending
from comparison import Times, add_times, run_turns
from counting import Call, count_all, failure, write_record
from document import write_document
from machine import BUILD, PEER, describe, enter_namespace, pin, raise_descriptors
from network import GROUPS, Link, has_ipv6, links
from report import Report
from tables import count_table
from traffic import MIXED


@dataclass(frozen=True)
class Run:
    """What a part needs to know of the run."""

    report: Report
    links: list[Link]
    families: list[str]
    quick: bool


def measure_sending(run: Run) -> None:
    """Measure all settings several times over, so that a bad minute spoils none of them."""
    settings = list(sending.settings(run.links, run.families, quick=run.quick))
    passes, milliseconds = (2, 150) if run.quick else (3, 150)
    found: list[Times] = [{} for _ in settings]
    for _ in range(passes):
        for setting, times in zip(settings, found, strict=True):
            more, complaint = run_turns(setting.command("time", str(milliseconds)))
            add_times(times, more)
            if complaint:
                run.report.note(f"{setting.subject}: {complaint}")
    for setting, times in zip(settings, found, strict=True):
        run.report.add(sending.compare(setting, times))


def measure_receiving(run: Run) -> None:
    """Measure one socket, then many."""
    milliseconds = 4_000 if run.quick else 30_000
    for family in run.families:
        subjects = list(receiving.single(family, quick=run.quick))
        for each, times in zip(subjects, receiving.measure(family, subjects, milliseconds), strict=True):
            run.report.add(receiving.compare(each, times))
    if PEER.exists():
        run.report.add(receiving.peer_rows(milliseconds // 10))


def measure_groups(run: Run) -> None:
    """Measure one group, and many."""
    for subjects in receiving.several(quick=run.quick):
        times = receiving.measure("IPv4", subjects, 1_500 if run.quick else 10_000)
        run.report.add(receiving.by_groups(subjects, times))


def measure_publications(run: Run) -> None:
    """Measure one publication, and many."""
    counts = scale.PUBLICATIONS[:3] if run.quick else scale.PUBLICATIONS
    run.report.add(scale.publications(counts, 2_000 if run.quick else 15_000))


def measure_threads(run: Run) -> None:
    """Measure one thread, and two."""
    run.report.add(scale.threads(1_000 if run.quick else 5_000))


def measure_pacing(run: Run) -> None:
    """Measure rates."""
    run.report.paced += pacing.rows(quick=run.quick)
    if not pacing.has_fq("lo"):
        run.report.miss("pacing by the kernel: this one has no queue fq, or tc is missing")


def measure_python(run: Run) -> None:
    """Measure the Python package."""
    for name in from_python.missing():
        run.report.miss(f"{name} of PyPI: `make bench-peers` installs it")
    sizes = (64, 1200) if run.quick else (64, 1200, MIXED)
    run.report.add(from_python.measure(sizes, 10 if run.quick else 20))


def measure_programs(run: Run) -> None:
    """Measure programs of others."""
    for name in programs.missing():
        run.report.miss(f"{name} of Debian: `make bench-peers` installs it")
    run.report.add(programs.rows(3 if run.quick else 5))


PARTS: dict[str, Callable[[Run], None]] = {
    "sending": measure_sending,
    "receiving": measure_receiving,
    "publications": measure_publications,
    "groups": measure_groups,
    "threads": measure_threads,
    "pacing": measure_pacing,
    "python": measure_python,
    "programs": measure_programs,
}


def all_calls() -> Iterator[Call]:
    """Return what is counted."""
    yield from sending.calls()
    yield from receiving.calls()


def measure(arguments: argparse.Namespace, report: Report) -> None:
    """Measure the parts that are asked for."""
    families = [family for family in GROUPS if family == "IPv4" or has_ipv6()]
    if PEER.exists():
        os.environ["PEER"] = str(PEER)
    else:
        report.miss(
            "mctx-core and mcrx-core of the Rust registry: `make bench-peers` builds them, where cargo is"
        )
    with links() as (found, missing):
        for reason in missing:
            report.miss(reason)
        for name, part in PARTS.items():
            if name in arguments.only:
                print(f"{time.strftime('%H:%M:%S')} {name} ...", flush=True)
                try:
                    part(Run(report, found, families, arguments.quick))
                except (ImportError, OSError) as error:
                    report.miss(f"{name}: {error}")
    if "counts" in arguments.only:
        report.counts = count_all(all_calls())


def parse() -> argparse.Namespace:
    """Read the command line."""
    names = [*PARTS, "counts"]
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer shapes, shorter")
    parser.add_argument("--only", default=",".join(names), help="parts, by commas (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep what is not measured now")
    parser.add_argument("--check", action="store_true", help="counts alone, against their record")
    parser.add_argument("--record", action="store_true", help="counts alone, as the new record")
    parser.add_argument("--document", action="store_true", help="put the last results into the document")
    parser.add_argument("--output", type=Path, default=BUILD / "bench", help="folder of the results")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    unknown = set(arguments.only) - set(names)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    return arguments


def main() -> int:
    """Measure and report."""
    arguments = parse()
    if arguments.document:
        write_document(arguments.output)
        return 0
    inside = enter_namespace()
    descriptors = raise_descriptors()
    processor = pin()
    if arguments.check or arguments.record:
        counts = count_all(all_calls())
        print(count_table(counts, "simple"))
        return write_record(counts) if arguments.record else int(any(map(failure, counts)))
    report = Report(describe(inside, descriptors, processor))
    measure(arguments, report)
    if arguments.keep:
        report.keep(Report.read(arguments.output / "bench.json"))
    report.write(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run cmocka programs, two at a time, each as a process with a time limit, and add up their closing lines.

A test that skips itself prints "skip: REASON" before. The output of a program that failed is shown whole.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """What became of one program: how many of its tests passed, failed, were skipped, and what it printed."""

    passed: int
    failed: int
    skipped: int
    report: str


def count(word: str, output: str) -> int:
    """Add up the numbers in the closing lines of cmocka that start with this word."""
    return sum(map(int, re.findall(rf"^\[ +{word} +\] (\d+) test\(s\)", output, re.MULTILINE)))


RUNNING: set[subprocess.Popen[bytes]] = set()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and its children, which may hold its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run(program: Path, limit: float) -> Outcome:
    """Run one program."""
    start = time.monotonic()
    process = subprocess.Popen(
        [program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    RUNNING.add(process)
    try:
        raw, ending = process.communicate(timeout=limit)[0], f"the program ended with {process.returncode}"
    except subprocess.TimeoutExpired:
        end(process)
        raw, ending = process.communicate()[0], f"the program was ended after {limit:.0f} s"
    RUNNING.remove(process)
    output = raw.decode(errors="replace")
    passed, failed, skipped = count("PASSED", output), count("FAILED", output), count("SKIPPED", output)
    if (process.returncode != 0 and failed == 0) or passed + failed + skipped == 0:
        output += f"\n{ending}, after {passed} passed tests\n"
        failed += 1
    lines = (
        [output]
        if failed
        else [f"     skipped: {why}" for why in re.findall(r"^skip: (.*)$", output, re.MULTILINE)]
    )
    counts = f"{passed} passed, {failed} failed, {skipped} skipped in {time.monotonic() - start:.1f} s"
    lines.append(f"{'FAIL' if failed else 'ok':4} {program.parent.name}/{program.name}: {counts}")
    return Outcome(passed, failed, skipped, "\n".join(lines))


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=600.0, help="seconds that one program may take")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at a time")
    parser.add_argument("programs", nargs="*", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("TSAN_OPTIONS", "halt_on_error=1")
    outcomes = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        try:
            for outcome in pool.map(
                lambda program: run(program.resolve(), arguments.limit), arguments.programs
            ):
                print(outcome.report, flush=True)
                outcomes.append(outcome)
        except KeyboardInterrupt:  # in sessions of their own, they did not see it
            for process in tuple(RUNNING):
                end(process)
            raise
    passed, failed, skipped = (sum(column) for column in list(zip(*outcomes, strict=True))[:3])
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

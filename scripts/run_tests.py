#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run cmocka programs, each as a process with a time limit, and add up their closing lines.

A program named test_namespace_* runs in a network namespace of its own; where the host allows none, its tests
are skipped with the reason. A test that skips itself prints "skip: REASON" before. The output of a program that
failed is shown whole.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

NAMESPACE = Path(__file__).with_name("namespace.sh")
CANNOT = 77
"""What namespace.sh answers where it can't make a namespace, and a program that can't run here."""


def count(pattern: str, output: str) -> int:
    """Add up the numbers that a closing line of cmocka names."""
    return sum(int(number) for number in re.findall(pattern, output, re.MULTILINE))


def run(program: Path, limit: float) -> tuple[int, int, int]:
    """Run one program; return how many of its tests passed, failed and were skipped."""
    namespaced = program.name.startswith("test_namespace_")
    command = [str(NAMESPACE), str(program)] if namespaced else [str(program)]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
        )
        code, output = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as expired:
        code, output = (
            -1,
            (expired.stdout or b"").decode(errors="replace") + f"\ntimed out after {limit:.0f} s\n",
        )
    seconds = time.monotonic() - start
    name = f"{program.parent.name}/{program.name}"
    if code == CANNOT:
        print(f"SKIP {name}: {output.strip().splitlines()[-1] if output.strip() else 'no reason given'}")
        return 0, 0, 1
    passed = count(r"^\[  PASSED  \] (\d+) test\(s\)", output)
    failed = count(r"^\[  FAILED  \] (\d+) test\(s\)", output)
    skipped = count(r"^\[  SKIPPED \] (\d+) test\(s\)", output)
    if (code != 0 and failed == 0) or passed + failed + skipped == 0:
        output += f"\nthe program ended with {code} and {passed} passed, {failed} failed\n"
        failed += 1
    if failed:
        print(output)
    for reason in re.findall(r"^skip: (.*)$", output, re.MULTILINE):
        print(f"     skipped: {reason}")
    verdict = "FAIL" if failed else "ok"
    print(
        f"{verdict:4} {name}: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.1f} s",
        flush=True,
    )
    return passed, failed, skipped


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that one program may take")
    parser.add_argument("programs", nargs="*", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("TSAN_OPTIONS", "halt_on_error=1")
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1")
    totals = [0, 0, 0]
    for program in arguments.programs:
        totals = [
            total + part for total, part in zip(totals, run(program.resolve(), arguments.limit), strict=True)
        ]
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not sum(totals) else 0


if __name__ == "__main__":
    sys.exit(main())

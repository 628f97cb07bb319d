#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the demonstration programs for both IP versions and both languages, and print what came of it as a table.

Everything stays on this host: in a network namespace of its own where scripts/demo.sh could make one, else on
the loopback interface.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNT = 100_000
CANNOT = 77
ROW = "  {:<8} {:<6} {:>9} {:>9} {:>6} {:>12}   {}"
PROGRAMS = {
    "C": [str(ROOT / "build" / "examples" / "demo")],
    "Python": [sys.executable, str(ROOT / "examples" / "demo.py")],
}


def run(language: str, family: int) -> tuple[str, bool, bool]:
    """Run one program; return its row, whether it worked, and whether that is as it should be."""
    name = f"IPv{family}"
    command = [*PROGRAMS[language], str(family), str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines() or ["no reason given"]
    if done.returncode == CANNOT:
        return ROW.format(language, name, "-", "-", "-", "-", f"not on this host: {lines[0]}"), False, True
    if done.returncode != 0:
        return ROW.format(language, name, "-", "-", "-", "-", f"FAILED: {lines[-1]}"), False, False
    sent, received, seconds, source, group = lines[-1].split("\t")
    lost = int(sent) - int(received)
    rate = f"{int(sent) / float(seconds):,.0f}/s"
    return ROW.format(language, name, sent, received, lost, rate, f"{source} -> {group}"), lost == 0, lost == 0


def main() -> int:
    """Print the table; fail when anything was lost or went wrong, or nothing worked."""
    where = "in a network namespace" if "--namespace" in sys.argv else "on this host's loopback interface"
    print(f"{COUNT:,} datagrams of 1000 bytes, through the kernel, to an ordinary receiving socket {where}:\n")
    print(ROW.format("language", "IP", "sent", "received", "lost", "rate", "from -> to"), flush=True)
    results = []
    for language in PROGRAMS:
        for family in (4, 6):
            row, worked, right = run(language, family)
            print(row, flush=True)
            results.append((worked, right))
    if not all(right for _, right in results):
        print("\nFAILED: datagrams were lost, or a program failed")
        return 1
    if not any(worked for worked, _ in results):
        print("\nFAILED: neither IPv4 nor IPv6 works on this host")
        return 1
    print("\nThe rate counts sending and receiving in one thread, in turns of 32. Nothing left this host.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

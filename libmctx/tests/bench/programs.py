# SPDX-License-Identifier: MIT
"""Programs of others that send datagrams as fast as they can: iperf 2 and sockperf."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from comparison import Found, Subject, Times, run_turns
from network import GROUPS
from sending import Setting

SIZES = (64, 1200)
BATCH = 64


@dataclass(frozen=True)
class Program:
    """One of them: how it is called for a second, and how many datagrams it says that it sent."""

    name: str
    command: Callable[[int], list[str]]
    sent: Callable[[str, int], float]


def sent_by_iperf(said: str, size: int) -> float:
    """Read its line of values by commas: the eighth is bytes."""
    return int(said.splitlines()[-1].split(",")[7]) / size


def sent_by_sockperf(said: str, size: int) -> float:
    """Read its summary."""
    found = re.search(r"Total of (\d+) messages sent", said)
    if found is None:
        raise OSError("sockperf does not say how many messages it sent")
    return float(found[1])


def by_sockperf(size: int) -> list[str]:
    """Return the command of sockperf."""
    where = ["-i", GROUPS["IPv4"], "--mc-tx-if", "127.0.0.1", "--mc-loopback-enable"]
    return ["sockperf", "throughput", *where, "-m", str(size), "-t", "1"]


PROGRAMS = (
    Program(
        "iperf",
        lambda size: ["iperf", "-c", GROUPS["IPv4"], "-u", "-l", str(size), "-b", "100g", "-t", "1", "-y", "C"],
        sent_by_iperf,
    ),
    Program("sockperf", by_sockperf, sent_by_sockperf),
)


def nanoseconds(program: Program, size: int) -> float:
    """Return how much of the processor's time one of its datagrams takes."""
    with subprocess.Popen(program.command(size), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        said = running.stdout.read().decode() if running.stdout else ""
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode != 0:
        raise OSError(f"{program.name} ended with {running.returncode}")
    return (used.ru_utime + used.ru_stime) * 1e9 / program.sent(said, size)


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [each.name for each in PROGRAMS if shutil.which(each.name) is None]


def rows(runs: int) -> Iterator[Found]:
    """Compare them with the library and the plain call, in turns of a second."""
    present = [each for each in PROGRAMS if each.name not in missing()]
    for size in SIZES if present else ():
        times: Times = {}
        for _ in range(runs):
            for program in present:
                times.setdefault(program.name, []).append(nanoseconds(program, size))
            ours, _ = run_turns(Setting(size=size, batch=BATCH).command("time", "200"))
            for way in ("raw send", "mctx_send", "mctx_send_batch, scattered"):
                times.setdefault(way, []).append(sorted(ours[way])[len(ours[way]) // 2])
        subject = Subject("programs", "lo, IPv4", size)
        for program in present:
            yield subject.row(program.name, "raw send", times)
            yield subject.row("mctx_send", program.name, times)
            yield subject.row("mctx_send_batch, scattered", program.name, times)

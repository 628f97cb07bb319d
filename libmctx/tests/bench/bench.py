#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the library with plain calls of the system, by time and by exact counts.

    bench.py            times and counts: tables on the terminal, bench.md and bench.json in build/bench
    bench.py --check    counts alone; ends with 1 where one is above its goal or its record in counts.json
    bench.py --record   counts alone, written to counts.json

Runs in a network namespace of its own where the host allows one, else on the loopback interface, and on one
processor. What is compared takes turns within one run: a ratio is the median of the ratios of the turns, and
its spread is the middle half of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import receiving
from counting import Call, count_call, run_tool
from tables import Count, Row, count_table, failure, report

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("BUILD", ROOT / "build"))
PROGRAMS = BUILD / "tests" / "bench"
PEER = BUILD / "peers" / "release" / "libpeer.so"
PYTHON_ROWS = ROOT / "bindings" / "python" / "bench"
RECORD = Path(__file__).with_name("counts.json")

GROUPS = {"IPv4": "239.255.77.67", "IPv6": "ff15::4d43"}
SIZES = (64, 1200)
BATCHES = (64, 1000)
BATCH = 64
SEND_GOAL, BATCH_GOAL = 1.02, 1.0
COMPARED = (
    ("mctx_send", "raw send", SEND_GOAL),
    ("mctx_send_batch", "raw sendmmsg", None),
    ("mctx_send_segments", "raw sendmmsg", None),
    ("mctx_send_batch", "raw send", BATCH_GOAL),
    ("mctx_send_segments", "raw send", BATCH_GOAL),
)
BATCH_WAYS = ("mctx_send_batch", "mctx_send_segments")
COUNT_GOALS = {
    f"{label}: {count} beyond a raw send": goal
    for label in ("mctx_send", "mctx_send among threads")
    for count, goal in (("instructions", 90), ("locked operations", 3), ("allocations", 0))
} | receiving.COUNT_GOALS


# ---- where it runs ----


def enter_namespace() -> bool:
    """Start anew inside a network namespace if the host allows one; return whether this is inside."""
    wrapper = str(ROOT / "scripts" / "namespace.sh")
    if "BENCH_INSIDE" in os.environ:
        return True
    if subprocess.run([wrapper, "true"], capture_output=True, check=False).returncode == 0:
        os.execve(wrapper, [wrapper, sys.executable, *sys.argv], {**os.environ, "BENCH_INSIDE": "1"})
    return False


@contextmanager
def veth() -> Iterator[str]:
    """Make a pair of virtual interfaces, the other end in a second namespace; yield the name of this end."""
    with subprocess.Popen(["unshare", "-n", "sleep", "infinity"]) as sink:
        try:
            inside = ["nsenter", f"--net=/proc/{sink.pid}/ns/net", "ip"]
            own = os.readlink("/proc/self/ns/net")
            while os.readlink(f"/proc/{sink.pid}/ns/net") == own:  # until unshare has come so far
                if sink.poll() is not None:
                    raise OSError("cannot make a second namespace")
            for command in (
                [
                    "ip",
                    "link",
                    "add",
                    "veth0",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "veth1",
                    "netns",
                    str(sink.pid),
                ],
                ["ip", "address", "add", "192.0.2.1/24", "dev", "veth0"],
                ["ip", "link", "set", "veth0", "up"],
                [*inside, "address", "add", "192.0.2.2/24", "dev", "veth1"],
                [*inside, "link", "set", "veth1", "up"],
            ):
                run_tool(command)
            yield "veth0"
        finally:
            sink.kill()


def first_line(*command: str) -> str:
    """Return the first line that a command prints, or "" if there is no such command."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip()


def compiler() -> str:
    """Return the compiler and its version, without the name that it was called by."""
    line = first_line(os.environ.get("CC", "cc"), "--version")
    return re.sub(r"^\S*(cc|gcc)\S* ", "gcc ", line)


def machine(inside: bool) -> dict[str, str]:
    """Describe what this runs on."""
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    kind = first_line("systemd-detect-virt", "--vm")
    return {
        "processor": f"{model[1] if model else platform.machine()}, {os.cpu_count()} CPUs"
        + (f", {kind} virtual machine" if kind not in ("", "none") else ""),
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": compiler(),
        "C library": " ".join(platform.libc_ver()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libmctx": (ROOT / "VERSION").read_text().strip(),
        "where": "a network namespace" if inside else "the loopback interface of the host",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


# ---- times ----


@dataclass(frozen=True)
class Setting:
    """Where and how datagrams are sent."""

    interface: str = "lo"
    family: str = "IPv4"
    connected: bool = True
    threads: bool = False

    def __str__(self) -> str:
        """Name what is not the usual."""
        words = [self.interface, self.family]
        words += [] if self.connected else ["unconnected"]
        return " ".join([*words, "among threads"] if self.threads else words)

    def command(self, size: int, batch: int) -> list[str]:
        """Return the program's command; what is appended says what it does."""
        how = "connected" if self.connected else "unconnected", "threads" if self.threads else "alone"
        return [str(PROGRAMS / "send"), GROUPS[self.family], self.interface, *how, str(size), str(batch)]


def compare(setting: Setting, size: int, rounds: int) -> list[Row]:
    """Measure all ways of the program in turns, and return what is compared."""
    command = [*setting.command(size, BATCH), "time", str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    names, *lines = done.stdout.splitlines()
    columns = zip(*([float(text) for text in line.split("\t")] for line in lines), strict=True)
    times = dict(zip(names.split("\t"), columns, strict=True))
    rows = []
    for way, against, goal in COMPARED:
        ratios = [ours / theirs for ours, theirs in zip(times[way], times[against], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        medians = statistics.median(times[way]), statistics.median(times[against])
        rows.append(Row(way, against, str(setting), size, *medians, middle, low, high, goal))
    return rows


def has_ipv6(inside: bool) -> bool:
    """Return whether IPv6 groups reach the loopback interface: a namespace routes them there."""
    return inside and Path("/proc/net/if_inet6").exists()


def native_rows(rounds: int, inside: bool) -> tuple[list[Row], str]:
    """Compare in every setting that the host has; return the rows, and what is missing of them."""
    settings = [Setting(), Setting(threads=True), Setting(connected=False)]
    if has_ipv6(inside):
        settings.append(Setting(family="IPv6"))
    rows = [row for setting in settings for size in SIZES for row in compare(setting, size, rounds)]
    if not inside:
        return rows, "a veth pair: this host allows no namespace"
    try:
        with veth() as interface:
            settings = [Setting(interface), Setting(interface, connected=False)]
            rows += [row for setting in settings for size in SIZES for row in compare(setting, size, rounds)]
    except OSError as error:
        return rows, f"a veth pair: {error}"
    return rows, ""


def python_rows(script: Path) -> tuple[list[Row], str]:
    """Let the Python package measure itself; return its rows, and what is missing of them."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "rows.json"
        environment = {
            **os.environ,
            "PYTHONPATH": str(script.parents[1]),
            "LIBMCTX_LIB_DIR": str(BUILD / "lib"),
        }
        command = [sys.executable, str(script), "--json", str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return [], f"the Python rows of {script.name}: {reason}"
        found: list[dict[str, Any]] = json.loads(answer.read_text())["rows"]
    reference = {(row["way"], row["bytes"]): row["ns_per_datagram"] for row in found}
    expert = any("multicast_expert" in row["way"] for row in found)
    return [
        Row(
            row["way"],
            row["reference"],
            str(Setting()),
            row["bytes"],
            row["ns_per_datagram"],
            reference[row["reference"], row["bytes"]],
            row["ratio"],
            row.get("low"),
            row.get("high"),
            row["goal"],
        )
        for row in found
        if row["way"] != row["reference"]
    ], "" if expert else f"multicast_expert in {script.name}: it is not installed"


# ---- counts ----


def send_calls() -> Iterator[Call]:
    """Return what is counted of sending."""

    def program(setting: Setting, batch: int) -> tuple[str, ...]:
        return tuple(setting.command(SIZES[0], batch))

    yield Call("mctx_send", "mctx_send", "raw send", program(Setting(), 1))
    yield Call("mctx_send among threads", "mctx_send", "raw send", program(Setting(threads=True), 1))
    for way in BATCH_WAYS:
        for batch in BATCHES:
            yield Call(f"{way} of {batch}", way, "raw sendmmsg", program(Setting(), batch))


def counts() -> list[Count]:
    """Take all counts, and set them beside the record as far as it is of such a machine and compiler."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    recorded = record["counts"] if record.get("architecture") == platform.machine() else {}
    if record.get("compiler") != compiler():
        recorded = {what: value for what, value in recorded.items() if "instructions" not in what}
    rows = []
    for call in (*send_calls(), *receiving.calls(PROGRAMS / "receive", GROUPS["IPv4"])):
        for name, value in count_call(call).items():
            what = f"{call.label}: {name}"
            number, reason = (None, value) if isinstance(value, str) else (value, "")
            rows.append(Count(what, number, COUNT_GOALS.get(what), recorded.get(what), reason))
    return rows


def record(rows: list[Count], about: dict[str, str]) -> int:
    """Write the counts down, if all could be taken."""
    if any(row.value is None for row in rows):
        print("not recorded: some counts could not be taken")
        return 1
    found = {"architecture": about["architecture"], "compiler": about["compiler"]}
    RECORD.write_text(
        json.dumps({**found, "counts": {row.what: round(row.value or 0, 2) for row in rows}}, indent=2) + "\n"
    )
    return 0


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="counts alone, against their record")
    parser.add_argument("--record", action="store_true", help="counts alone, as the new record")
    parser.add_argument("--rounds", type=int, default=2000, help="turns of each comparison (%(default)s)")
    arguments = parser.parse_args()
    inside = enter_namespace()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    about = machine(inside)
    if arguments.check or arguments.record:
        exact = counts()
        print(count_table(exact, "simple"))
        return record(exact, about) if arguments.record else int(any(map(failure, exact)))
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    rows, no_veth = native_rows(arguments.rounds, inside)
    notes = [no_veth]
    families = [family for family in GROUPS if family == "IPv4" or has_ipv6(inside)]
    received, missing = receiving.rows(
        PROGRAMS / "receive", PEER, {family: GROUPS[family] for family in families}, arguments.rounds // 10
    )
    rows += received
    notes += missing
    for script in sorted(PYTHON_ROWS.glob("*.py")):
        from_python, reason = python_rows(script)
        rows += from_python
        notes.append(reason)
    report(BUILD / "bench", about, rows, counts(), [note for note in notes if note])
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tabulate import tabulate  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("BUILD", ROOT / "build"))
PROGRAM = BUILD / "tests" / "bench" / "send"
PYTHON_ROWS = ROOT / "bindings" / "python" / "bench" / "send.py"
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
}
ALLOCATORS = frozenset(("malloc", "calloc", "realloc", "aligned_alloc", "memalign", "posix_memalign"))
TOLERANCE = 0.05  # of counted instructions; all else is exact


@dataclass
class Row:
    """One comparison by time."""

    way: str
    against: str
    path: str
    size: int
    ns: float
    against_ns: float
    ratio: float
    low: float | None  # the quartiles of the ratio
    high: float | None
    goal: float | None


@dataclass
class Count:
    """One exact count of one call; None with the reason where it could not be taken."""

    what: str
    value: float | None
    goal: float | None
    recorded: float | None
    reason: str = ""


# ---- where it runs ----


def enter_namespace() -> bool:
    """Start anew inside a network namespace if the host allows one; return whether this is inside."""
    wrapper = str(ROOT / "scripts" / "namespace.sh")
    if "BENCH_INSIDE" in os.environ:
        return True
    if subprocess.run([wrapper, "true"], capture_output=True, check=False).returncode == 0:
        os.execve(wrapper, [wrapper, sys.executable, *sys.argv], {**os.environ, "BENCH_INSIDE": "1"})
    return False


def run_tool(command: list[str]) -> None:
    """Run a tool; raise OSError with what it said if it fails."""
    if shutil.which(command[0]) is None:
        raise OSError(f"{command[0]} is missing")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = re.sub(r"^==\d+==\s*", "", done.stderr, flags=re.MULTILINE).strip()
        raise OSError(f"{command[0]}: {(said.splitlines() or ['it failed'])[-1]}")


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
        return [str(PROGRAM), GROUPS[self.family], self.interface, *how, str(size), str(batch)]


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


def native_rows(rounds: int, inside: bool) -> tuple[list[Row], str]:
    """Compare in every setting that the host has; return the rows, and what is missing of them."""
    settings = [Setting(), Setting(threads=True), Setting(connected=False)]
    if inside and Path("/proc/net/if_inet6").exists():
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


def python_rows() -> tuple[list[Row], str]:
    """Let the Python package measure itself; return its rows, and what is missing of them."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "rows.json"
        environment = {
            **os.environ,
            "PYTHONPATH": str(PYTHON_ROWS.parents[1]),
            "LIBMCTX_LIB_DIR": str(BUILD / "lib"),
        }
        command = [sys.executable, str(PYTHON_ROWS), "--json", str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            return [], f"the Python rows: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
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
    ], "" if expert else "multicast_expert: it is not installed"


# ---- counts: what a run of 2n calls has more than one of n, divided by n ----


@lru_cache
def locked_addresses(binary: str) -> frozenset[int]:
    """Return where a binary has instructions that lock the bus: by prefix, or an exchange with memory."""
    if not Path(binary).is_file():  # the kernel's page, or what has no name
        return frozenset()
    if shutil.which("objdump") is None:
        raise OSError("objdump is missing")
    command = ["objdump", "-d", "--no-show-raw-insn", binary]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\s+(?:lock\b|xchg\s.*\().*$", code, re.MULTILINE)
    return frozenset(int(address, 16) for address in found)


def read_profile(text: str) -> Counter[str]:
    """Add up what callgrind wrote down: instructions, the locked ones of them, and calls that allocate."""
    found: Counter[str] = Counter()
    binary = callee = ""
    of_call = False
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if line.startswith("0x") and not of_call:
            address, _, cost = line.split()
            found["instructions"] += int(cost)
            if int(address, 16) in locked_addresses(binary):
                found["locked operations"] += int(cost)
        of_call = key == "calls"  # the next line has the cost of what was called
        if of_call and callee in ALLOCATORS:
            found["allocations"] += int(value.split()[0])
        elif key == "ob":
            binary = value
        elif key == "cfn":
            callee = value
    return found


def profiled(command: list[str]) -> Counter[str]:
    """Run a program instruction by instruction."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile"
        options = ["--dump-instr=yes", "--compress-pos=no", "--compress-strings=no"]
        run_tool(["valgrind", "--tool=callgrind", *options, f"--callgrind-out-file={profile}", *command])
        found = read_profile(profile.read_text())
    if not (found["locked operations"] and found["allocations"]):
        raise OSError("callgrind saw none of what every program does")  # so its zeros mean nothing
    return found


def traced(command: list[str]) -> Counter[str]:
    """Count the system calls of a program."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        run_tool(["strace", "-f", "-o", str(log), *command])
        return Counter({"system calls": len(re.findall(r"^\d+ +\w+\(", log.read_text(), re.MULTILINE))})


@lru_cache
def counted(
    way: str, setting: Setting, batch: int, count: Callable[[list[str]], Counter[str]]
) -> dict[str, float]:
    """Count what one call of a way takes."""
    calls = 100
    command = [*setting.command(SIZES[0], batch), "count", way]
    once, twice = (count([*command, str(times * calls)]) for times in (1, 2))
    return {name: (twice[name] - once[name]) / calls for name in twice}


def count_call(way: str, base: str, setting: Setting, batch: int) -> dict[str, float | str]:
    """Return all counts of one call; a text instead of a number says why one could not be taken."""
    names = ("instructions", "locked operations", "allocations")
    values: dict[str, float | str] = {}
    try:
        ours, theirs = (counted(each, setting, batch, profiled) for each in (way, base))
        values.update((f"{name} beyond a {base}", ours[name] - theirs[name]) for name in names)
    except OSError as error:
        values.update((f"{name} beyond a {base}", str(error)) for name in names)
    try:
        values["system calls"] = counted(way, setting, batch, traced)["system calls"]
    except OSError as error:
        values["system calls"] = str(error)
    return values


def counts() -> list[Count]:
    """Take all counts, and set them beside the record as far as it is of such a machine and compiler."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    recorded = record["counts"] if record.get("architecture") == platform.machine() else {}
    if record.get("compiler") != compiler():
        recorded = {what: value for what, value in recorded.items() if "instructions" not in what}
    rows = []
    for label, way, base, setting, batch in [
        ("mctx_send", "mctx_send", "raw send", Setting(), 1),
        ("mctx_send among threads", "mctx_send", "raw send", Setting(threads=True), 1),
        *(
            (f"{way} of {batch}", way, "raw sendmmsg", Setting(), batch)
            for way in BATCH_WAYS
            for batch in BATCHES
        ),
    ]:
        for name, value in count_call(way, base, setting, batch).items():
            what = f"{label}: {name}"
            number, reason = (None, value) if isinstance(value, str) else (value, "")
            rows.append(Count(what, number, COUNT_GOALS.get(what), recorded.get(what), reason))
    return rows


def failure(row: Count) -> str:
    """Say what is wrong with a count: above its goal or its record, or not taken although there is one."""
    limits = [] if row.goal is None else [row.goal]
    if row.recorded is not None:
        limits.append(row.recorded * (1 + TOLERANCE) if "instructions" in row.what else row.recorded)
    if not limits:
        return ""
    if row.value is None:
        return "NOT COUNTED"
    return "WORSE" if row.value > min(limits) else ""


# ---- tables ----


def verdict(value: float | None, goal: float | None) -> str:
    """Say whether a goal is met."""
    if value is None or goal is None:
        return ""
    return "met" if value <= goal else "missed"


def time_table(rows: list[Row], style: str) -> str:
    """Lay out the comparisons by time."""
    headers = ("way", "against", "path", "bytes", "ns", "against ns", "ratio", "middle half", "goal", "")
    return str(
        tabulate(
            [
                (
                    row.way,
                    row.against,
                    row.path,
                    row.size,
                    f"{row.ns:.0f}",
                    f"{row.against_ns:.0f}",
                    f"{row.ratio:.3f}",
                    "" if row.low is None else f"{row.low:.3f} to {row.high:.3f}",
                    "" if row.goal is None else f"{row.goal:.2f}",
                    verdict(row.ratio, row.goal),
                )
                for row in rows
            ],
            headers=headers,
            tablefmt=style,
            disable_numparse=True,
            colalign=("left", "left", "left", *["right"] * 6, "left"),
        )
    )


def count_table(rows: list[Count], style: str) -> str:
    """Lay out the counts."""

    def text(value: float | None) -> str:
        return "" if value is None else f"{value:g}"

    return str(
        tabulate(
            [
                (
                    row.what,
                    text(row.value) or row.reason,
                    text(row.recorded),
                    text(row.goal),
                    failure(row) or verdict(row.value, row.goal),
                )
                for row in rows
            ],
            headers=("in one call of", "counted", "recorded", "goal", ""),
            tablefmt=style,
            disable_numparse=True,
            colalign=("left", "right", "right", "right", "left"),
        )
    )


def report(about: dict[str, str], times: list[Row], exact: list[Count], notes: list[str]) -> None:
    """Print the tables, and write them as Markdown and JSON."""
    folder = BUILD / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    parts = [("Time per datagram", time_table, times), ("Exact counts", count_table, exact)]
    for title, table, rows in parts:
        if rows:
            print(f"\n{title}\n\n{table(rows, 'simple')}")  # type: ignore[operator]
    for note in notes:
        print(f"\nNot measured: {note}")
    markdown = [f"- {name}: {value}" for name, value in about.items()]
    for title, table, rows in parts:
        markdown += ["", f"## {title}", "", table(rows, "pipe")]  # type: ignore[operator]
    markdown += ["", *(f"Not measured: {note}" for note in notes)]
    (folder / "bench.md").write_text("\n".join(markdown).rstrip() + "\n")
    result = {
        "machine": about,
        "times": [asdict(row) for row in times],
        "counts": [asdict(row) for row in exact],
        "not_measured": notes,
    }
    (folder / "bench.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nAlso in {folder}/bench.md and bench.json")


def record(rows: list[Count], about: dict[str, str]) -> int:
    """Write the counts down, if all could be taken."""
    if any(row.value is None for row in rows):
        print("not recorded: some counts could not be taken")
        return 1
    found = {"architecture": about["architecture"], "compiler": about["compiler"]}
    RECORD.write_text(json.dumps({**found, "counts": {row.what: row.value for row in rows}}, indent=2) + "\n")
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
    native, no_veth = native_rows(arguments.rounds, inside)
    from_python, reason = python_rows()
    report(about, native + from_python, counts(), [note for note in (no_veth, reason) if note])
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""Exact counts: what a run of 2n calls has more than one of n, divided by n."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from machine import compiler

RECORD = Path(__file__).with_name("counts.json")
ALLOCATORS = frozenset(("malloc", "calloc", "realloc", "aligned_alloc", "memalign", "posix_memalign"))
CALLS = 128  # of a whole number of every batch of the mix
LOCKED_OPERATIONS = 0  # a call by the only thread that uses the object
TOLERANCE = 0.05  # of counted instructions; all else is exact


def run_tool(command: list[str]) -> None:
    """Run a tool; raise OSError with what it said if it fails."""
    if shutil.which(command[0]) is None:
        raise OSError(f"{command[0]} is missing")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = re.sub(r"^==\d+==\s*", "", done.stderr, flags=re.MULTILINE).strip()
        raise OSError(f"{command[0]}: {(said.splitlines() or ['it failed'])[-1]}")


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


def traced(command: list[str], ignored: str) -> Counter[str]:
    """Count the system calls of a program, all but one."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        chosen = ["-e", f"trace=!{ignored}"] if ignored else []
        run_tool(["strace", "-f", *chosen, "-o", str(log), *command])
        return Counter({"system calls": len(re.findall(r"^\d+ +\w+\(", log.read_text(), re.MULTILINE))})


@dataclass(frozen=True)
class Call:
    """What is counted: one call of a way, and what it has more than another one."""

    label: str
    way: str
    base: str
    program: tuple[str, ...]
    subject: tuple[str, ...] = ()
    instructions: int | None = None
    """The most that it should have beyond the other."""
    calls: int | None = None
    """The most system calls that it should make."""
    locked: int = LOCKED_OPERATIONS
    ignored: str = ""
    """The system call that is not counted: what fills a receiver's sockets."""

    @property
    def goals(self) -> dict[str, float | None]:
        """Return the goals of its counts."""
        beyond = f"beyond a {self.base}"
        return {
            f"instructions {beyond}": self.instructions,
            f"locked operations {beyond}": self.locked,
            f"allocations {beyond}": 0,
            "system calls": self.calls,
        }


@dataclass
class Count:
    """One exact count of one call; None with the reason where it could not be taken."""

    what: str
    value: float | None
    goal: float | None
    recorded: float | None
    reason: str = ""


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


@lru_cache
def counted(
    program: tuple[str, ...], way: str, subject: tuple[str, ...], count: Callable[[list[str]], Counter[str]]
) -> dict[str, float]:
    """Count what one call of a way takes."""
    once, twice = (count([*program, "count", way, str(times * CALLS), *subject]) for times in (1, 2))
    return {name: (twice[name] - once[name]) / CALLS for name in twice}


def count_call(call: Call) -> dict[str, float | str]:
    """Return all counts of one call; a text instead of a number says why one could not be taken."""
    values: dict[str, float | str] = {}
    try:
        ours, theirs = (counted(call.program, way, call.subject, profiled) for way in (call.way, call.base))
        for what in call.goals:
            name, beyond, _ = what.partition(" beyond ")
            if beyond:
                values[what] = ours[name] - theirs[name]
    except OSError as error:
        values.update((what, str(error)) for what in call.goals if "beyond" in what)
    try:
        count = partial(traced, ignored=call.ignored)
        values["system calls"] = counted(call.program, call.way, call.subject, count)["system calls"]
    except OSError as error:
        values["system calls"] = str(error)
    return values


def count_all(calls: Iterable[Call]) -> list[Count]:
    """Take all counts, and set them beside the record as far as it is of such a machine and compiler."""
    written = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    recorded = written["counts"] if written.get("architecture") == platform.machine() else {}
    if written.get("compiler") != compiler():
        recorded = {what: value for what, value in recorded.items() if "instructions" not in what}
    rows = []
    for call in calls:
        for name, value in count_call(call).items():
            what = f"{call.label}: {name}"
            number, reason = (None, value) if isinstance(value, str) else (round(value, 2), "")
            rows.append(Count(what, number, call.goals[name], recorded.get(what), reason))
    return rows


def write_record(rows: list[Count]) -> int:
    """Write the counts down, if all could be taken."""
    if any(row.value is None for row in rows):
        print("not recorded: some counts could not be taken")
        return 1
    counts = {row.what: row.value for row in rows}
    about = {"architecture": platform.machine(), "compiler": compiler()}
    RECORD.write_text(json.dumps({**about, "counts": counts}, indent=2) + "\n")
    return 0

# SPDX-License-Identifier: MIT
"""The machine that is measured on, and what is set on it."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("BUILD", ROOT / "build"))
PROGRAMS = BUILD / "tests" / "bench"
PEER = BUILD / "peers" / "release" / "libpeer.so"
DESCRIPTORS = 65536
MEMBERSHIPS = Path("/proc/sys/net/core/optmem_max")


def enter_namespace() -> bool:
    """Start anew inside a network namespace if the host allows one; return whether this is inside."""
    wrapper = str(ROOT / "scripts" / "namespace.sh")
    if "BENCH_INSIDE" in os.environ:
        return True
    if subprocess.run([wrapper, "true"], capture_output=True, check=False).returncode == 0:
        os.execve(wrapper, [wrapper, sys.executable, *sys.argv], {**os.environ, "BENCH_INSIDE": "1"})
    return False


def pin() -> int:
    """Stay on the last processor; return which that is."""
    chosen = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {chosen})
    return chosen


def raise_descriptors() -> str:
    """Raise the limit of descriptors as far as is needed or allowed; return what was done."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, DESCRIPTORS), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, OSError):
            continue
        return (
            f"raised by the benchmark from {soft} to {wanted}"
            if wanted > soft
            else f"{soft}, and no more is allowed"
        )
    return f"{soft}, and no more is allowed"


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


def describe(inside: bool, descriptors: str, processor: int) -> dict[str, str]:
    """Describe what this runs on."""
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    kind = first_line("systemd-detect-virt", "--vm")
    limits = Path("/proc/sys/net/core")
    return {
        "processor": f"{model[1] if model else platform.machine()}, {os.cpu_count()} CPUs"
        + (f", {kind} virtual machine" if kind not in ("", "none") else ""),
        "pinned to": f"CPU {processor} (the rows of two threads: to two CPUs)",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "compiler": compiler(),
        "C library": " ".join(platform.libc_ver()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libmctx": (ROOT / "VERSION").read_text().strip(),
        "where": "a network namespace" if inside else "the loopback interface of the host",
        "buffers": f"net.core.rmem_max {(limits / 'rmem_max').read_text().strip()}"
        if (limits / "rmem_max").exists()
        else "net.core.rmem_max is not to be seen in a namespace",
        "descriptors": descriptors,
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }

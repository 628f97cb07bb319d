# SPDX-License-Identifier: MIT
"""The links that datagrams take: the loopback interface, or a pair of virtual ones into a second namespace."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from counting import run_tool

GROUPS = {"IPv4": "239.255.77.67", "IPv6": "ff15::4d43"}
LISTENERS = ("none", "plain", "coalescing")


@dataclass(frozen=True)
class Link:
    """Where datagrams leave, and where somebody may listen to them."""

    name: str
    interface: str
    listens: str
    netns: str = ""


LOOPBACK = Link("lo", "lo", "lo")


def has_ipv6() -> bool:
    """Return whether this namespace does IPv6, and lo has a route to groups."""
    table = Path("/proc/net/ipv6_route")
    return table.exists() and any(line.startswith("ff00") for line in table.read_text().splitlines())


@contextmanager
def second_namespace() -> Generator[int]:
    """Make a namespace; yield the process that lives in it."""
    with subprocess.Popen(["unshare", "-n", "sleep", "infinity"]) as inside:
        try:
            own = os.readlink("/proc/self/ns/net")
            while os.readlink(f"/proc/{inside.pid}/ns/net") == own:  # until unshare has come so far
                if inside.poll() is not None:
                    raise OSError("cannot make a second namespace")
                time.sleep(0.001)
            yield inside.pid
        finally:
            inside.kill()


def join_by_veth(process: int, number: int, *, software: bool) -> Link:
    """Lead a pair of virtual interfaces into the namespace of a process; its route to groups is theirs."""
    ours, theirs = f"veth{number}", f"peer{number}"
    inside = ["nsenter", f"--net=/proc/{process}/ns/net"]
    run_tool(["ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", str(process)])
    for where, name, last in (([], ours, 1), (inside, theirs, 2)):
        run_tool([*where, "ip", "address", "add", f"192.0.2.{4 * number + last}/30", "dev", name])
        run_tool([*where, "ip", "link", "set", name, "up"])
    if software:
        run_tool(["ethtool", "-K", ours, "tx-checksumming", "off"])
    return Link("veth, software" if software else "veth", ours, theirs, f"/proc/{process}/ns/net")


@contextmanager
def links() -> Generator[tuple[list[Link], list[str]]]:
    """Make the links; yield them, and what is missing of them."""
    found, missing = [LOOPBACK], []
    with ExitStack() as stack:
        try:
            process = stack.enter_context(second_namespace())
            for number, software in enumerate((False, True)):
                found.append(join_by_veth(process, number, software=software))
        except OSError as error:
            missing.append(f"{'veth with software segmentation' if len(found) > 1 else 'veth'}: {error}")
        yield found, missing

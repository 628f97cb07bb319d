# SPDX-License-Identifier: MIT
"""The tables and charts of docs/performance.md, from the results of a run.

A table stands between the lines ``<!-- bench NAME -->`` and ``<!-- end -->``; all else is written by hand.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from comparison import Measured
from counting import RECORD
from goals import goal_table
from machine import ROOT
from receiving import BY_HAND as TOLD
from report import Report
from sending import BY_HAND, RUNS
from tables import nanoseconds, paced_table, pivot, row_table, speeds

DOCUMENT = ROOT / "docs" / "performance.md"
STYLE = "pipe"
CHARTS = ("sending.svg", "receiving.svg")


def machine(report: Report) -> str:
    """Say what was measured on."""
    lines = [f"- {name}: {value}" for name, value in report.machine.items()]
    return "\n".join([*lines, *(f"- not measured: {what}" for what in report.missing)])


def sending(report: Report, path: str) -> str:
    """Lay out what a datagram takes by each way, alone or in batches of 64."""
    lone = ("raw send", "mctx_send", "mctx-core send")
    return pivot(
        (
            item
            for item in report.measured
            if (item.section, item.path) == ("sending", path) and item.batch == (1 if item.way in lone else 64)
        ),
        lambda item: (item.way,),
        lambda item: item.size,
        nanoseconds,
        ("ns a datagram, by bytes",),
        STYLE,
    )


def sending_speeds(report: Report) -> str:
    """Lay out the speeds of all ways on all paths, by the length of a batch."""
    rows = [row for row in report.rows if row.section == "sending" and row.goal not in (None, RUNS, BY_HAND)]
    return pivot(
        sorted(rows, key=lambda row: (row.path, row.way)),
        lambda row: (row.path, row.way),
        lambda row: f"n = {row.batch}",
        speeds,
        ("path", "way"),
        STYLE,
    )


def receiving(report: Report) -> str:
    """Lay out what a datagram takes by each way."""
    return pivot(
        (item for item in report.measured if item.section == "receiving"),
        lambda item: (item.path, item.way),
        lambda item: item.size,
        nanoseconds,
        ("path", "ns a datagram, by bytes"),
        STYLE,
    )


def receiving_speeds(report: Report) -> str:
    """Lay out the speeds of receiving, by size."""
    return pivot(
        (row for row in report.rows if row.section == "receiving" and row.goal not in (None, TOLD)),
        lambda row: (row.way, row.path),
        lambda row: row.size,
        speeds,
        ("way", "path"),
        STYLE,
    )


def curve(report: Report, section: str, ways: tuple[str, ...]) -> str:
    """Lay out what a datagram takes by each way, by the path."""

    def row(item: Measured) -> tuple[str, ...]:
        return (re.sub(r"^lo,? IPv4, ", "", item.path), str(item.batch))

    return pivot(
        (item for item in report.measured if item.section == section and item.way in ways),
        row,
        lambda item: item.way,
        nanoseconds,
        ("ns a datagram", "n"),
        STYLE,
    )


def rows_of(*sections: str) -> Callable[[Report], str]:
    """Lay out all comparisons of some sections."""
    return lambda report: row_table([row for row in report.rows if row.section in sections], STYLE)


def peers(report: Report) -> str:
    """Lay out the comparisons with other libraries and programs."""
    names = ("mctx-core", "mcrx-core", "iperf", "sockperf", "multicast_expert")
    rows = [
        row
        for row in report.rows
        if row.against.startswith(names) and row.size in ("64", "1200") and "lo" in row.path
    ]
    return row_table(rows, STYLE)


def counts(_: Report) -> str:
    """Lay out the counts that are recorded, a line for each call."""

    def name(item: tuple[str, float]) -> str:
        return re.sub(r" beyond .*", " beyond the plain call", item[0].rpartition(": ")[2])

    return pivot(
        json.loads(RECORD.read_text())["counts"].items(),
        lambda item: (item[0].rpartition(": ")[0],),
        name,
        lambda found: " ".join(f"{value:g}" for _, value in found),
        ("one call",),
        STYLE,
    )


TABLES: dict[str, Callable[[Report], str]] = {
    "machine": machine,
    "goals": lambda report: goal_table(report.rows, STYLE),
    "sending": lambda report: sending(report, "lo, IPv4"),
    "sending to a receiver": lambda report: sending(report, "veth, IPv4, coalescing receiver"),
    "sending in software": lambda report: sending(report, "veth, software, IPv4, plain receiver"),
    "sending speeds": sending_speeds,
    "receiving": receiving,
    "receiving speeds": receiving_speeds,
    "publications": lambda report: curve(report, "publications", ("raw send", "mctx_send", "mctx_send_all")),
    "groups": lambda report: curve(
        report, "groups", ("raw recvmsg", "raw recvmsg, kept", "mctx_recv", "mctx_recv_batch")
    ),
    "threads": lambda report: curve(
        report,
        "threads",
        ("raw send", "mctx_send", "raw offload, copied, sendmmsg", "mctx_send_batch, scattered"),
    ),
    "pacing": lambda report: paced_table(report.paced, STYLE),
    "python": rows_of("Python"),
    "peers": peers,
    "counts": counts,
}


def write_document(results: Path) -> None:
    """Put the results of a folder into the document, and its charts beside it."""
    report = Report.read(results / "bench.json")

    def fill(found: re.Match[str]) -> str:
        text = TABLES[found[1]](report)
        return f"<!-- bench {found[1]} -->\n{text}\n<!-- end -->"

    text = DOCUMENT.read_text()
    DOCUMENT.write_text(re.sub(r"<!-- bench ([a-z ]+) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL))
    for chart in CHARTS:
        if (results / chart).exists():
            shutil.copyfile(results / chart, DOCUMENT.with_name(f"performance-{chart}"))

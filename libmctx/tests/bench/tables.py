# SPDX-License-Identifier: MIT
"""What was measured, and how it is laid out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate  # type: ignore[import-untyped]

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


def report(folder: Path, about: dict[str, str], times: list[Row], exact: list[Count], notes: list[str]) -> None:
    """Print the tables, and write them as Markdown and JSON."""
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

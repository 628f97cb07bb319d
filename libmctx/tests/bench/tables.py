# SPDX-License-Identifier: MIT
"""What was measured, laid out in tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from comparison import Measured, Row
from counting import Count, failure
from pacing import Paced
from tabulate import tabulate  # type: ignore[import-untyped]

Item = TypeVar("Item")


def table(headers: Sequence[str], lines: Iterable[Sequence[str]], style: str, left: int = 1) -> str:
    """Lay out lines of text; the first columns stand left, the others right."""
    aligned = ("left",) * left + ("right",) * (len(headers) - left)
    return str(tabulate(list(lines), headers=headers, tablefmt=style, disable_numparse=True, colalign=aligned))


def pivot(
    items: Iterable[Item],
    row: Callable[[Item], tuple[str, ...]],
    column: Callable[[Item], str],
    cell: Callable[[list[Item]], str],
    titles: Sequence[str],
    style: str,
) -> str:
    """Lay out items by two of their properties, in the order in which these first come."""
    cells: dict[tuple[str, ...], dict[str, list[Item]]] = {}
    columns: dict[str, None] = {}
    for item in items:
        columns[column(item)] = None
        cells.setdefault(row(item), {}).setdefault(column(item), []).append(item)
    lines = [
        (*key, *(cell(found[name]) if name in found else "" for name in columns))
        for key, found in cells.items()
    ]
    return table((*titles, *columns), lines, style, len(titles))


def verdict(row: Row) -> str:
    """Say whether a goal is met."""
    return "" if row.goal is None else "met" if row.is_met else "missed"


def row_table(rows: Iterable[Row], style: str) -> str:
    """Lay out comparisons in full."""
    headers = ("way", "against", "path", "bytes", "n", "ns", "against ns", "speed", "middle half", "goal", "")
    lines = (
        (
            row.way,
            row.against,
            row.path,
            row.size,
            str(row.batch),
            digits(row.ns),
            digits(row.against_ns),
            f"{row.speed:.3g}" if row.speed >= 10 else f"{row.speed:.3f}",
            f"{row.low:.3g} to {row.high:.3g}",
            "" if row.goal is None else f"{row.least:.3g}",
            verdict(row),
        )
        for row in rows
    )
    return table(headers, lines, style, 3)


def count_table(rows: Iterable[Count], style: str) -> str:
    """Lay out the counts."""

    def text(value: float | None) -> str:
        return "" if value is None else f"{value:g}"

    lines = (
        (
            row.what,
            text(row.value) or row.reason,
            text(row.recorded),
            text(row.goal),
            failure(row) or ("" if row.value is None or row.goal is None else "met"),
        )
        for row in rows
    )
    return table(("in one call of", "counted", "recorded", "goal", ""), lines, style)


def digits(value: float) -> str:
    """Return three digits, or a whole number."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def nanoseconds(items: list[Measured]) -> str:
    """Return the nanoseconds of a cell."""
    return digits(statistics.median(item.ns for item in items))


def speeds(rows: list[Row]) -> str:
    """Return the middle one of the speeds of a cell, and the least."""
    middle, least = statistics.median(row.speed for row in rows), min(row.speed for row in rows)
    return f"{middle:.2f}" if len(rows) == 1 else f"{middle:.2f} ({least:.2f})"


def paced_table(rows: Iterable[Paced], style: str) -> str:
    """Lay out what became of rates."""
    headers = (
        "way",
        "asked, a second",
        "bytes",
        "measured",
        "ideal gap, us",
        "median",
        "99 %",
        "longest",
        "fullest ms",
        "processor",
    )
    lines = (
        (
            row.way,
            f"{row.asked:,.0f} {row.unit}",
            str(row.size),
            f"{100 * row.rate:.1f} %",
            *map(digits, (row.gap_us, row.median_us, row.p99_us, row.longest_us)),
            f"{100 * row.window:.0f} %",
            f"{100 * row.processor:.1f} %",
        )
        for row in rows
    )
    return table(headers, lines, style, 2)

# SPDX-License-Identifier: MIT
"""The goals, and how far they are met."""

from __future__ import annotations

import statistics

from comparison import Row
from tables import table


def where(row: Row) -> str:
    """Say which row it is, by what its goal does not tell."""
    words = [row.way, row.path, row.size if row.size == "mixed" else f"{row.size} B"]
    return ", ".join([*words, f"n = {row.batch}"] if row.batch > 1 else words)


def goal_table(rows: list[Row], style: str) -> str:
    """Lay out the goals: what was reached in the middle and at worst, and in how many rows it is met."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.goal is not None:
            found.setdefault(row.goal.text, []).append(row)
    lines = []
    for text, own in found.items():
        worst = min(own, key=lambda row: row.speed / row.least)
        lines.append(
            (
                text,
                " / ".join(f"{least:.3g}" for least in sorted({row.least for row in own}, reverse=True)),
                f"{statistics.median(row.speed for row in own):.3g}",
                f"{sum(row.is_met for row in own)} of {len(own)}",
                f"{worst.speed:.3g}: {where(worst)}",
            )
        )
    return table(("speed, as a multiple", "goal", "median", "rows met", "worst row"), lines, style)

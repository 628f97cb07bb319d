# SPDX-License-Identifier: MIT
"""The report of a run: on the terminal, and as Markdown, JSON and charts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chart import draw_all
from comparison import Found, Goal, Measured, Row
from counting import Count
from goals import goal_table
from pacing import Paced
from tables import count_table, paced_table, row_table


@dataclass
class Report:
    """What was measured, and what could not be."""

    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    paced: list[Paced] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, found: Iterable[Found]) -> None:
        """Add what was found."""
        for each in found:
            if isinstance(each, Row):
                self.rows.append(each)
            else:
                self.measured.append(each)

    def miss(self, what: str) -> None:
        """Name something that is missing."""
        self.missing.append(what)
        print(f"not measured: {what}", flush=True)

    def note(self, what: str) -> None:
        """Keep a remark on a row."""
        self.notes.append(what)

    def sections(self, style: str) -> Iterable[tuple[str, str]]:
        """Yield titles and texts, in order."""
        yield "The machine", "\n".join(f"- {name}: {value}" for name, value in self.machine.items())
        if self.missing:
            yield "Not measured", "\n".join(f"- {what}" for what in self.missing)
        if self.rows:
            yield "Goals", goal_table(self.rows, style)
        for section in dict.fromkeys(row.section for row in self.rows):
            yield section.capitalize(), row_table([row for row in self.rows if row.section == section], style)
        if self.paced:
            yield "Pacing", paced_table(self.paced, style)
        if self.counts:
            yield "Exact counts", count_table(self.counts, style)
        if self.notes:
            yield "Remarks", "\n".join(f"- {what}" for what in self.notes)

    def keep(self, last: Report) -> None:
        """Take over what was not measured this time; sections stand as they stood."""
        sections = {row.section for row in self.rows}
        order = list(dict.fromkeys(row.section for row in [*last.rows, *self.rows]))
        self.rows += [row for row in last.rows if row.section not in sections]
        self.rows.sort(key=lambda row: order.index(row.section))
        self.measured += [each for each in last.measured if each.section not in sections]
        self.paced = self.paced or last.paced
        self.counts = self.counts or last.counts
        self.missing = list(dict.fromkeys([*last.missing, *self.missing]))
        self.notes = list(dict.fromkeys([*last.notes, *self.notes]))

    @classmethod
    def read(cls, file: Path) -> Report:
        """Read one that was written as JSON."""
        told = json.loads(file.read_text())
        rows = [Row(**{**row, "goal": Goal(**row["goal"]) if row["goal"] else None}) for row in told["rows"]]
        return cls(
            told["machine"],
            rows,
            [Measured(**each) for each in told["measured"]],
            [Paced(**each) for each in told["paced"]],
            [Count(**each) for each in told["counts"]],
            told["missing"],
            told["notes"],
        )

    def write(self, folder: Path) -> None:
        """Print it, and write it into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for title, text in self.sections("simple"):
            print(f"\n{title}\n\n{text}")
        markdown = "\n".join(f"## {title}\n\n{text}\n" for title, text in self.sections("pipe"))
        (folder / "bench.md").write_text(markdown)
        (folder / "bench.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        charts = draw_all(self.measured, folder)
        print(f"\nAlso in {folder}: {', '.join(['bench.md', 'bench.json', *charts])}")

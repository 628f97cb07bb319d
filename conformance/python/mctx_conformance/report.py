# SPDX-License-Identifier: MIT
"""TAP 14, JSON and JUnit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

import libmctx
from mctx_conformance.case import Outcome


@dataclass
class Entry:
    """How one case ended, or why it was skipped."""

    name: str
    outcome: Outcome
    skipped: str | None = None

    @property
    def state(self) -> str:
        """How it ended, in a word."""
        if self.skipped is not None:
            return "skipped"
        return "failed" if self.outcome.failed else "passed"


def count(entries: list[Entry], state: str) -> int:
    """Count the cases that ended so."""
    return sum(entry.state == state for entry in entries)


def _tap(entries: list[Entry]) -> str:
    lines = ["TAP version 14", f"1..{len(entries)}"]
    for number, entry in enumerate(entries, 1):
        verdict = "not ok" if entry.state == "failed" else "ok"
        skip = f" # SKIP {entry.skipped}" if entry.skipped is not None else ""
        lines.append(f"{verdict} {number} - {entry.name}{skip}")
        if entry.state == "failed":
            lines.append(f"# step {entry.outcome.step}, {entry.outcome.where}: {entry.outcome.because}")
    return "\n".join(lines) + "\n"


def _json(entries: list[Entry], simulated: bool) -> str:
    cases = []
    for entry in entries:
        one: dict[str, object] = {"name": entry.name, "state": entry.state}
        if entry.skipped is not None:
            one["reason"] = entry.skipped
        if entry.state == "failed":
            outcome = entry.outcome
            one.update(step=outcome.step, where=outcome.where, because=outcome.because)
        cases.append(one)
    document = {"runner": "python", "library": libmctx.native_version(), "simulated": simulated}
    counts = {state: count(entries, state) for state in ("passed", "failed", "skipped")}
    return json.dumps({**document, **counts, "cases": cases}, indent=2, ensure_ascii=False) + "\n"


def _junit(entries: list[Entry]) -> str:
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    failures, skipped = count(entries, "failed"), count(entries, "skipped")
    head = f'tests="{len(entries)}" failures="{failures}" skipped="{skipped}"'
    lines.append(f'<testsuite name="conformance-python" {head}>')
    for entry in entries:
        theme, _, name = entry.name.partition("/")
        inside = ""
        if entry.skipped is not None:
            inside = f"<skipped message={quoteattr(entry.skipped)}/>"
        elif entry.state == "failed":
            outcome = entry.outcome
            inside = (
                f"<failure message={quoteattr(f'step {outcome.step}, {outcome.where}: {outcome.because}')}/>"
            )
        lines.append(f'  <testcase classname="{theme}" name="{name}">{inside}</testcase>')
    lines.append("</testsuite>")
    return "\n".join(lines) + "\n"


def write(entries: list[Entry], form: str, simulated: bool) -> str:
    """Return the report in a format."""
    if form == "json":
        return _json(entries, simulated)
    return _junit(entries) if form == "junit" else _tap(entries)

# SPDX-License-Identifier: MIT
"""Reads the case files of a folder, runs those that are wanted, reports."""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import libmctx
from mctx_conformance import peers, report
from mctx_conformance.case import Outcome, run_case
from mctx_conformance.fields import Fields
from mctx_conformance.simulation import Simulation

_CASE_SECONDS = 60
_LOOPBACK = {"loopback_ipv4": "239.255.109.116", "loopback_ipv6": "ff11::6d:7472"}


class Requirements:
    """What cases require, and what of it is missing."""

    def __init__(self, simulation: Simulation | None, without: list[str]) -> None:
        self._simulated = simulation is not None
        self._without = without
        self._loopback_works = cache(peers.loopback_works)

    def missing(self, name: str) -> str | None:
        """Return why a capability is missing, or None if it is there."""
        if name in self._without:
            return f"asked to do without {name}"
        if name == "c":
            return "only C can say it"
        if name == "network" or name in _LOOPBACK:
            if self._simulated:
                return "the network is simulated"
            if name == "network" or self._loopback_works(_LOOPBACK[name]):
                return None
            family = "IPv6" if name == "loopback_ipv6" else "IPv4"
            return f"{family} multicast does not go round on the loopback interface of this host"
        capability = libmctx.capabilities().get(name)
        if capability is None:
            return "no runner knows this capability"
        return None if capability else capability.reason


def load(folder: Path, text: str | None) -> list[tuple[str, dict[str, Any]]]:
    """Read the cases of a folder whose names contain a text."""
    cases = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name.encode()):
        document = json.loads(path.read_text(encoding="utf-8"))
        for case in document["cases"]:
            name = f"{document['theme']}/{case['name']}"
            if text is None or text in name:
                cases.append((name, case))
    return cases


def judge_negative(definition: dict[str, Any], outcome: Outcome) -> Outcome:
    """Let a deliberately wrong case pass when it fails where it says that it would."""
    step, where = definition["fails"]["step"], definition["fails"]["where"]
    if (outcome.step, outcome.where) == (step, where):
        return Outcome(step=step, transcript=outcome.transcript)
    found = f"it should have failed in step {step} at {where}, and "
    found += (
        f"failed in step {outcome.step} at {outcome.where}: {outcome.because}" if outcome.failed else "did not"
    )
    return Outcome(outcome.step, "negative", found, outcome.transcript)


def run_all(
    cases: list[tuple[str, dict[str, Any]]], fields: Fields, requirements: Requirements, negative: bool
) -> list[report.Entry]:
    """Run the cases one after the other."""
    simulation = Simulation.find()
    libmctx.Context().close()  # what the library opens once for the process is not a leak
    warnings.simplefilter("ignore", libmctx.MulticastWarning)
    entries = []
    for name, definition in cases:
        if simulation is not None:
            simulation.reset()  # what is required is asked for anew
        missing = [requirements.missing(each) for each in definition.get("requires", [])]
        reasons = [reason for reason in missing if reason is not None]
        if reasons:
            entries.append(report.Entry(name, Outcome(), reasons[0]))
            continue
        faulthandler.dump_traceback_later(_CASE_SECONDS, exit=True)
        outcome = run_case(name, definition, fields, simulation)
        faulthandler.cancel_dump_traceback_later()
        entries.append(report.Entry(name, judge_negative(definition, outcome) if negative else outcome))
    return entries


def main() -> int:
    """Run the runner."""
    parser = argparse.ArgumentParser(prog="mctx_conformance", description=__doc__)
    parser.add_argument("--filter", metavar="TEXT", help="run the cases whose names contain it")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--format", choices=("tap", "json", "junit"), default="tap")
    parser.add_argument("--transcript", type=Path, metavar="FILE", help="write what was observed")
    parser.add_argument(
        "--without", action="append", default=[], metavar="CAPABILITY", help="as if it were missing"
    )
    parser.add_argument(
        "--negative", action="store_true", help="run the deliberately wrong cases, which must fail"
    )
    parser.add_argument("folder", type=Path, help="the folder of fields.json, cases and negative")
    options = parser.parse_args()
    cases = load(options.folder / ("negative" if options.negative else "cases"), options.filter)
    if options.list:
        print("\n".join(name for name, _ in cases))
        return 0
    simulation = Simulation.find()
    fields = Fields(options.folder / "fields.json")
    entries = run_all(cases, fields, Requirements(simulation, options.without), options.negative)
    if options.transcript:
        lines = [line for entry in entries for line in entry.outcome.transcript]
        options.transcript.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    sys.stdout.write(report.write(entries, options.format, simulation is not None))
    sys.stdout.flush()  # the closing line comes last, also where both go to one file
    passed, failed, skipped = (report.count(entries, state) for state in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", file=sys.stderr)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())

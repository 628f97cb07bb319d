#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the case files: against the schema, and that they cover what the public header offers.

Every public function, every member of the options and answers and every status must be used by a case; what no
case can use stands in uncovered.json with the reason.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

HERE = Path(__file__).resolve().parent
HEADER = HERE.parent / "libmctx" / "include" / "mctx.h"
OPTIONS = ("mctx_publication_options", "mctx_context_options")
ANSWERS = {
    "mctx_publication_info": "mctx_publication_get_info",
    "mctx_interface_info": "mctx_interface_list_get",
    "mctx_capability_info": "mctx_capability",
}
"""Structs that the library fills, and the function that does."""
RENAMED = {"outgoing_interface": "interface", "context": "owner"}
"""Fields that the cases call otherwise, as the library's error records do."""

passed = 0
problems: list[str] = []


def check(held: bool, what: str) -> None:
    """Count a check."""
    global passed
    if held:
        passed += 1
    else:
        problems.append(what)


# ---- the cases ----


def documents(folder: str) -> dict[str, Any]:
    """Read the case files of a folder."""
    paths = sorted((HERE / folder).glob("*.json"))
    return {f"{folder}/{path.name}": json.loads(path.read_text(encoding="utf-8")) for path in paths}


def steps_of(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield steps, and those of their threads."""
    for step in steps:
        yield step
        yield from steps_of(step.get("steps", []))


def all_steps(files: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of all cases."""
    for document in files.values():
        for case in document["cases"]:
            yield from steps_of(case["steps"])


def check_files(files: dict[str, Any], schema: dict[str, Any]) -> None:
    """Check each file by itself."""
    validator = Draft202012Validator(schema)
    for name, document in files.items():
        errors = list(validator.iter_errors(document))
        for error in errors[:5]:
            place = "/".join(str(part) for part in error.absolute_path)
            problems.append(f"{name}: {place}: {error.message[:300]}")
        check(not errors, f"{name}: against the schema")
        check(document["theme"] == Path(name).stem, f"{name}: the theme is not the file's name")
        names = Counter(case["name"] for case in document["cases"])
        check(max(names.values()) == 1, f"{name}: two cases have one name")
        negative = name.startswith("negative/")
        for case in document["cases"]:
            label = f"{name}: {case['name']}"
            check(("fails" in case) == negative, f"{label}: `fails` belongs to the negative cases, and to each")
            asserts = any("expect" in step or "error" in step for step in steps_of(case["steps"]))
            check(asserts or case["steps"][-1]["op"] != "mctx_version", f"{label}: it asserts nothing")


def check_strictness(files: dict[str, Any], schema: dict[str, Any]) -> None:
    """Check that the schema refuses what it does not know, at each operation."""
    validator = Draft202012Validator({"$ref": "#/$defs/step", "$defs": schema["$defs"]})
    seen: set[str] = set()
    for step in all_steps(files):
        if step["op"] in seen:
            continue
        seen.add(step["op"])
        check(validator.is_valid(step), f"schema: a good step of {step['op']} is refused")
        for member in ("", "args", "expect", "error"):
            wrong = copy.deepcopy(step)
            if member == "error":
                wrong["error"] = {"kind": "usage", "code": "reserved", "field": ""}
            target = wrong.setdefault(member, {}) if member else wrong
            target["no_such_thing"] = 1
            check(
                not validator.is_valid(wrong),
                f"schema: {step['op']} takes an unknown member of {member or 'it'}",
            )
    check(not validator.is_valid({"op": "no_such_operation"}), "schema: an unknown operation is taken")


# ---- the header ----


def functions(header: str) -> set[str]:
    """Return the names of the public functions."""
    return set(re.findall(r"^MCTX_API[^;]*?\b(mctx_\w+)\(", header, re.MULTILINE))


def fields(header: str, struct: str) -> set[str]:
    """Return the names of the members of a struct."""
    body = re.search(rf"typedef struct {struct} {{(.*?)}} {struct};", header, re.DOTALL)
    if body is None:
        raise SystemExit(f"check.py: no struct {struct} in {HEADER}")
    text = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    found = set()
    for declaration in text.split(";"):
        name = re.search(r"(\w+)\s*(\[\w+\])?\s*\)?\s*$", declaration)
        if name:
            found.add(name[1])
    return found


def statuses(header: str) -> set[str]:
    """Return the names of the statuses."""
    table = header.split("#define MCTX_STATUS_MAP(X)")[1].split("\n\n")[0]
    return set(re.findall(r'X\(\w+, \w+, \d+,[\s\\]*"(\w+)"', table))


# ---- coverage ----


def codes_in(wanted: Any) -> set[str]:
    """Return the statuses that an expectation names."""
    if isinstance(wanted, str):
        return {wanted}
    return set(wanted.get("$one_of", [])) if isinstance(wanted, dict) else set()


def used(files: dict[str, Any]) -> tuple[set[str], set[str], set[str]]:
    """Return the functions called, the members set or looked at, and the statuses asserted by the cases."""
    structs = {function: struct for struct, function in ANSWERS.items()}
    called: set[str] = set()
    options: set[str] = set()
    codes: set[str] = set()
    for step in all_steps(files):
        called.add(step["op"])
        if step["op"] in ("mctx_publication_open", "mctx_context_open"):
            struct = step["op"].replace("_open", "_options")
            given = set(step.get("args", {}).get("options", {}))
            if "duplicate" in given:
                given.add("flags")
            options |= {f"{struct}.{name}" for name in given}
        if step["op"] in structs:
            options |= {
                f"{structs[step['op']]}.{name}" for name in {**step.get("expect", {}), **step.get("args", {})}
            }
        if "error" in step:
            codes |= codes_in(step["error"]["code"])
        for outcome in step.get("expect", {}).get("outcomes", []):
            codes |= codes_in(outcome.get("status", ""))
    return called, options, codes


def check_coverage(files: dict[str, Any]) -> None:
    """Check that all of the header is used, but for the exceptions, which must be needed."""
    header = HEADER.read_text(encoding="utf-8")
    exceptions: dict[str, str] = json.loads((HERE / "uncovered.json").read_text(encoding="utf-8"))
    called, options, codes = used(files)
    offered = {f"function {name}": name in called for name in functions(header)}
    for struct in (*OPTIONS, *ANSWERS):
        for field in fields(header, struct):
            offered[f"member {struct}.{field}"] = f"{struct}.{RENAMED.get(field, field)}" in options
    offered |= {f"status {name}": name in codes for name in statuses(header)}
    for name, covered in sorted(offered.items()):
        if name in exceptions:
            check(not covered, f"uncovered.json: {name} is covered: remove the exception")
        else:
            check(covered, f"no case uses {name}")
    for name, reason in exceptions.items():
        check(name in offered, f"uncovered.json: the header has no {name}")
        check(len(reason) > 20, f"uncovered.json: {name} has no reason")


def main() -> int:
    """Check everything."""
    schema = json.loads((HERE / "schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    cases, negative = documents("cases"), documents("negative")
    check_files(cases | negative, schema)
    check_strictness(cases, schema)
    check_coverage(cases)
    every = [case for document in cases.values() for case in document["cases"]]
    required = Counter(name for case in every for name in case.get("requires", []))
    wrong = sum(len(document["cases"]) for document in negative.values())
    counts = ", ".join(f"{name} {count}" for name, count in required.most_common())
    print(f"{len(every)} cases and {wrong} wrong ones; required: {counts}")
    for problem in problems:
        print(f"not ok: {problem}")
    print(f"{passed} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the case files: against the schema, and that they cover what the public header offers.

Every public function, every member of the options and answers, every status, event, flag and other named value,
and every counter must be used by a case; what no case can use stands in uncovered.json with the reason.
  check.py LIBRARY      the built library, which tells the names of the counters
"""

from __future__ import annotations

import copy
import ctypes
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
STRUCTS = {
    "mctx_context_options": ("mctx_context_open", "options"),
    "mctx_publication_options": ("mctx_publication_open", "options"),
    "mctx_subscription_options": ("mctx_subscription_open", "options"),
    "mctx_membership": ("mctx_join", "memberships"),
    "mctx_wait_item": ("mctx_wait_many", "items"),
    "mctx_receive_batch": ("mctx_recv_batch", ""),
    "mctx_datagram": ("mctx_recv_batch", "records"),
    "mctx_message": ("mctx_recv_batch", "datagrams messages"),
    "mctx_publication_info": ("mctx_publication_get_info", ""),
    "mctx_subscription_info": ("mctx_subscription_get_info", ""),
    "mctx_membership_info": ("mctx_memberships", "memberships"),
    "mctx_interface_info": ("mctx_interface_list_get", ""),
    "mctx_capability_info": ("mctx_capability", ""),
    "mctx_event": ("mctx_events", "events"),
}
"""Structs, the function that takes or fills them, and which arguments or results they are; "": all."""
RENAMED = {"outgoing_interface": "interface", "ingress": "interface", "context": "owner"}
"""Fields that the cases call otherwise, as the library's error records do."""
FLAGS = {"duplicate", "frozen"}
"""Options that are flags."""
VALUES = {
    "mctx_kind": "",
    "mctx_retry": "",
    "mctx_error_flag": "",
    "mctx_capability_id": "mctx_capability.capability",
    "mctx_capability_state": "mctx_capability.state",
    "mctx_interface_by": "",
    "mctx_interface_flag": "mctx_interface_list_get.flags sim_interface_set.flags",
    "mctx_os_handle_type": "",
    "mctx_ready": "mctx_wait.ready",
    "mctx_wait_flag": "mctx_wait.flags mctx_recv.flags",
    "mctx_event_type": "mctx_events.events",
    "mctx_publication_flag": "mctx_publication_get_info.flags",
    "mctx_publication_state": "mctx_publication_get_info.flags",
    "mctx_pacing_unit": "mctx_publication_get_info.pacing_unit",
    "mctx_pacing_by": "mctx_publication_get_info.pacing_by",
    "mctx_filter_mode": "mctx_memberships.memberships",
    "mctx_binding": "mctx_subscription_get_info.binding",
    "mctx_metadata": "mctx_subscription_get_info.metadata",
    "mctx_subscription_flag": "mctx_subscription_get_info.flags",
    "mctx_subscription_state": "mctx_subscription_get_info.flags",
    "mctx_clock": "mctx_subscription_get_info.clock",
    "mctx_membership_flag": "mctx_memberships.memberships",
    "mctx_datagram_flag": "mctx_recv_batch.records",
    "mctx_message_flag": "mctx_recv.message mctx_recv_batch.messages",
    "mctx_receive_batch_flag": "mctx_recv_batch.flags",
}
"""Enumerations whose names cases write, and the arguments or results that must; "": any."""
COUNTED = {"context": 1, "publication": 2, "subscription": 3}
"""Results that have counters, and the kinds of their handles."""

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


def enumerators(header: str, enum: str) -> set[str]:
    """Return the names of the values of an enumeration, as cases write them."""
    body = re.search(rf"enum {enum} {{(.*?)}};", header, re.DOTALL)
    if body is None:
        raise SystemExit(f"check.py: no enum {enum} in {HEADER}")
    if enum == "mctx_kind":
        table = header.split("#define MCTX_KIND_MAP(X)")[1].split("\n\n")[0]
        return set(re.findall(r'X\(\w+, \d+, "(\w+)"', table))
    names = re.findall(r"\b(MCTX_\w+)\s*=\s*\d", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL))
    stem = re.sub(r"_(id|state|flag|type|mode|by|unit)$", "", enum).upper()
    prefixes = (f"{stem}_BY_", f"{stem}_", "MCTX_META_", "MCTX_OS_", "MCTX_")
    short = {name: next(prefix for prefix in prefixes if name.startswith(prefix)) for name in names}
    return {name.removeprefix(prefix).lower() for name, prefix in short.items()}


def counters(library: str, kind: int) -> set[str]:
    """Return the names of the counters of a kind of object."""
    name_of = ctypes.CDLL(library).mctx_metric_name
    name_of.restype = ctypes.c_char_p
    found: set[str] = set()
    while (name := name_of(kind, len(found))) is not None:
        found.add(name.decode())
    return found


# ---- coverage ----


def members_in(value: Any) -> Iterator[str]:
    """Yield the names of the members of an object, or of those in an array."""
    if isinstance(value, list):
        for item in value:
            yield from members_in(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name.startswith("$"):
                yield from members_in(item)
            else:
                yield name


def words_in(value: Any) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from words_in(item)


def words_of(step: dict[str, Any], part: str = "") -> set[str]:
    """Return the texts that a step passes or expects, of an error too; or those of one argument or result."""
    args, expect, error = step.get("args", {}), step.get("expect", {}), step.get("error", {})
    if part:
        return {*words_in([args.get(part), expect.get(part)])}
    return {*words_in([args, expect, error]), *error}


def words_at(steps: list[dict[str, Any]], places: str) -> set[str]:
    """Return the texts that steps have at some places, "operation.part", or anywhere."""
    if not places:
        return {word for step in steps for word in words_of(step)}
    split = [place.split(".") for place in places.split()]
    return {word for step in steps for op, part in split if step["op"] == op for word in words_of(step, part)}


def codes_in(wanted: Any) -> set[str]:
    """Return the statuses that an expectation names."""
    if isinstance(wanted, str):
        return {wanted}
    return set(wanted.get("$one_of", [])) if isinstance(wanted, dict) else set()


def codes_of(step: dict[str, Any]) -> set[str]:
    """Return the statuses that a step expects."""
    codes = codes_in(step["error"]["code"]) if "error" in step else set()
    for outcome in step.get("expect", {}).get("outcomes", []):
        codes |= codes_in(outcome.get("status", ""))
    return codes


def fields_of(step: dict[str, Any], parts: str) -> set[str]:
    """Return the names of the members of a struct that a step sets or looks at."""
    found: set[str] = set()
    for given in (step.get("args", {}), step.get("expect", {})):
        named = [given] if parts == "" else [given.get(part) for part in parts.split()]
        found |= {name for value in named for name in members_in(value)} | set(given.get("null", []))
    return found | {"flags"} if found & FLAGS else found


def counters_in(case: dict[str, Any]) -> dict[str, set[str]]:
    """Return which counters of which kind of object a case looks at."""
    kinds: dict[str, str] = {}
    found: dict[str, set[str]] = {kind: set() for kind in COUNTED}
    for step in steps_of(case["steps"]):
        kinds |= {f"${{{name}}}": path for name, path in step.get("save", {}).items()}
        if step["op"] == "mctx_metrics" and kinds.get(step["args"]["handle"]) in found:
            found[kinds[step["args"]["handle"]]] |= set(step.get("expect", {}).get("values", {}))
    return found


def coverage(files: dict[str, Any], header: str, library: str) -> dict[str, bool]:
    """Return what the library offers, and whether a case uses it."""
    steps = list(all_steps(files))
    cases = [case for document in files.values() for case in document["cases"]]
    called = {step["op"] for step in steps}
    codes = {code for step in steps for code in codes_of(step)}
    offered = {f"function {name}": name in called for name in functions(header)}
    offered |= {f"status {name}": name in codes for name in statuses(header)}
    for struct, (function, parts) in STRUCTS.items():
        used = {name for step in steps if step["op"] == function for name in fields_of(step, parts)}
        for field in fields(header, struct):
            offered[f"member {struct}.{field}"] = field in used or RENAMED.get(field) in used
    for enum, places in VALUES.items():
        words = words_at(steps, places)
        offered |= {f"value {enum}.{name}": name in words for name in enumerators(header, enum)}
    for kind, number in COUNTED.items():
        counted = {name for case in cases for name in counters_in(case)[kind]}
        offered |= {f"counter {kind}.{name}": name in counted for name in counters(library, number)}
    return offered


def check_coverage(files: dict[str, Any], library: str) -> None:
    """Check that all of the header is used, but for the exceptions, which must be needed."""
    exceptions: dict[str, str] = json.loads((HERE / "uncovered.json").read_text(encoding="utf-8"))
    offered = coverage(files, HEADER.read_text(encoding="utf-8"), library)
    for name, covered in sorted(offered.items()):
        if name in exceptions:
            check(not covered, f"uncovered.json: {name} is covered: remove the exception")
        else:
            check(covered, f"no case uses {name}")
    for name, reason in exceptions.items():
        check(name in offered, f"uncovered.json: there is no {name}")
        check(len(reason) > 20, f"uncovered.json: {name} has no reason")


def main() -> int:
    """Check everything."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    schema = json.loads((HERE / "schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    cases, negative = documents("cases"), documents("negative")
    check_files(cases | negative, schema)
    check_strictness(cases, schema)
    check_coverage(cases, sys.argv[1])
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

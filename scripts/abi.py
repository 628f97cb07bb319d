#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the public header declares, held against what is recorded and what the library exports.

abi.py check LIBRARY    header, map, .def, symbol list exports name the same functions; types as recorded
abi.py record LIBRARY   write the symbol list, the .def, the layouts and the baseline after a deliberate change
abi.py constants        print every public constant as C initialisers, for the test of mctx_constant()
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

LIBMCTX = Path(__file__).resolve().parent.parent / "libmctx"
HEADER = LIBMCTX / "include" / "mctx.h"
ABI = LIBMCTX / "abi"
BASELINE = ABI / "libmctx.abi"
LAYOUTS = LIBMCTX / "tests" / "abi" / "layouts.h"
LAYOUTS_TEXT = """\
/* SPDX-License-Identifier: MIT */
/* The layout of every public struct, the same on every system. Written by scripts/abi.py record. */
{}"""


def preprocess(*options: str) -> str:
    """Return the header as the compiler sees it."""
    command = ["cc", "-E", "-P", *options, str(HEADER)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def functions() -> list[str]:
    """Return the functions that the header exports."""
    return sorted(re.findall(r'visibility\("default"\)[^;]*?\b(mctx_\w+)\(', preprocess()))


def enumerators() -> list[str]:
    """Return the enumerators of the header, those of the tables included."""
    bodies = re.findall(r"\benum mctx_\w+ \{(.*?)\};", preprocess(), re.DOTALL)
    return [name for body in bodies for name in re.findall(r"\b(MCTX_\w+)\s*=", body)]


def numeric_macros() -> list[str]:
    """Return the macros of the header that stand for a number."""
    defines = re.findall(r"^#define (MCTX_\w+) (.+)$", preprocess("-dM"), re.MULTILINE)
    return sorted(name for name, text in defines if re.fullmatch(r"\(?-?(\d\w*|U?INT\d+_(MIN|MAX))\)?", text))


def structs() -> dict[str, list[str]]:
    """Return the public structs and their members."""
    found = {}
    for body, name in re.findall(r"typedef struct mctx_\w+ \{(.*?)\} (mctx_\w+);", preprocess(), re.DOTALL):
        found[name] = re.findall(r"(\w+)(?:\[\d+\])?;", body)
    return found


def constants() -> str:
    """Return C initialisers of all constants that mctx_constant() must know."""
    names = enumerators() + numeric_macros() + [f"sizeof({name})" for name in structs()]
    return "".join(f'{{"{name}", (int64_t){name}}},\n' for name in names)


def layouts() -> str:
    """Return static assertions of every size and offset, as the compiler of this host sees them."""
    values = [f"sizeof({name})" for name in structs()]
    values += [f"offsetof({name}, {member})" for name, body in structs().items() for member in body]
    lines = [f'printf("LAYOUT({value}, %zu);\\n", {value});' for value in values]
    program = "\n".join(["#include <stdio.h>", '#include "mctx.h"', "int main(void) {", *lines, "}"])
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder, "layouts")
        command = ["cc", "-x", "c", f"-I{HEADER.parent}", "-o", str(binary), "-"]
        subprocess.run(command, input=program, text=True, check=True)
        return subprocess.run([binary], check=True, stdout=subprocess.PIPE, text=True).stdout


def helpers() -> list[str]:
    """Return the functions that the library exports beside those of the header: shortcuts for one language."""
    return (ABI / "helpers.txt").read_text().split()


def exports(library: Path) -> list[str]:
    """Return the functions that a shared library exports."""
    command = ["nm", "-D", "--defined-only", "--format=posix", str(library)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return sorted(re.split("[@ ]", line)[0] for line in lines if " A " not in line)


def recorded() -> dict[str, list[str]]:
    """Return the names that each recorded list holds."""
    return {
        "libmctx.map": sorted(re.findall(r"^ +(mctx_\w+);$", (ABI / "libmctx.map").read_text(), re.MULTILINE)),
        "mctx.def": sorted(re.findall(r"^  (\w+)$", (ABI / "mctx.def").read_text(), re.MULTILINE)),
        "symbols.txt": (ABI / "symbols.txt").read_text().split(),
    }


def baseline_differences(library: Path) -> list[str]:
    """Return what libabigail finds changed in the functions' types."""
    command = [
        "abidiff",
        "--drop-private-types",
        "--headers-dir2",
        str(HEADER.parent),
        str(BASELINE),
        str(library),
    ]
    report = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return report.stdout.splitlines() if report.returncode else []


def check(library: Path) -> int:
    """Say what differs from the header."""
    lists = {**recorded(), library.name: exports(library)}
    wanted = set(functions())
    differences = [
        f"{where}: {'lacks' if name in wanted else 'has, but the header does not:'} {name}"
        for where, names in lists.items()
        for name in sorted((wanted if where == "symbols.txt" else wanted | set(helpers())) ^ set(names))
    ]
    if LAYOUTS_TEXT.format(layouts()) != LAYOUTS.read_text():
        differences.append(f"{LAYOUTS.name}: layouts differ: a break of the ABI, or run scripts/abi.py record")
    differences += baseline_differences(library)
    print("\n".join(differences) or f"{len(wanted)} functions, {len(structs())} structs: all as recorded")
    return 1 if differences else 0


def record(library: Path) -> int:
    """Write what is derived from the header alone; the map's nodes are written by hand."""
    names = functions()
    (ABI / "symbols.txt").write_text("".join(f"{name}\n" for name in names))
    (ABI / "mctx.def").write_text(
        "LIBRARY mctx\nEXPORTS\n" + "".join(f"  {name}\n" for name in names + helpers())
    )
    LAYOUTS.write_text(LAYOUTS_TEXT.format(layouts()))
    abidw = [
        "abidw",
        "--headers-dir",
        str(HEADER.parent),
        "--no-show-locs",
        "--no-comp-dir-path",
        "--no-corpus-path",
    ]
    subprocess.run([*abidw, "--drop-private-types", "--out-file", str(BASELINE), str(library)], check=True)
    return 0


def main() -> int:
    """Do what the command line says."""
    if sys.argv[1:] == ["constants"]:
        print(constants(), end="")
        return 0
    if len(sys.argv) == 3 and sys.argv[1] in ("check", "record"):
        return {"check": check, "record": record}[sys.argv[1]](Path(sys.argv[2]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

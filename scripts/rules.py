#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check the rules of the C sources that no other tool knows.

Banned functions, what the core may include, where platforms may differ, names, lengths, licence lines.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "libmctx" / "src"
PLATFORM = SOURCES / "platform"

BANNED = """strcpy strcat sprintf vsprintf gets atoi atol strtok strerror inet_ntoa assert abort alloca exit
    printf puts"""
ALLOCATION = "malloc calloc realloc free posix_memalign aligned_alloc"
ISO_HEADERS = "limits.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h"
SYSTEMS = r"_WIN32|WIN32|__linux__|__unix__|__APPLE__|__FreeBSD__|__NetBSD__|__OpenBSD__|_MSC_VER|__MINGW32__"
FILE_LINES = 600
FUNCTION_LINES = 100


def calls(names: str) -> re.Pattern[str]:
    """Return a pattern of calls of these functions."""
    return re.compile(rf"(?<![\w.>])({'|'.join(names.split())})\s*\(")


def without_comments(text: str) -> str:
    """Return C text with comments and string literals emptied, line by line as it was."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda match: "\n" * match.group().count("\n") or '""', text, flags=re.DOTALL)


def long_functions(code: str) -> Iterator[tuple[int, str]]:
    """Yield functions of more lines than a reader holds in mind: they begin and end in the first column."""
    start = 0
    for number, line in enumerate(code.splitlines(), 1):
        if line.endswith("{") and line[0].isalpha():
            start = number
        elif line == "}" and start:
            if number - start > FUNCTION_LINES:
                yield start, f"a function of {number - start} lines"
            start = 0


def complaints(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what is wrong in one source file of the library."""
    text = path.read_text()
    code = without_comments(text)
    core = PLATFORM not in path.parents
    allowed = {header.name for header in SOURCES.glob("*.h")} | {"mctx.h", "platform.h", *ISO_HEADERS.split()}
    if text.count("\n") > FILE_LINES:
        yield 1, f"more than {FILE_LINES} lines"
    yield from long_functions(code)
    for number, (line, raw) in enumerate(zip(code.splitlines(), text.splitlines(), strict=True), 1):
        if match := calls(BANNED).search(line):
            yield number, f"{match[1]}() is banned"
        if path.name != "memory.c" and (match := calls(ALLOCATION).search(line)):
            yield number, f"{match[1]}() outside its wrapper"
        if core and re.match(rf"\s*#\s*(if|ifdef|ifndef|elif).*\b({SYSTEMS})\b", line):
            yield number, "a difference of platforms outside of platform/"
        if core and (match := re.match(r'\s*#\s*include\s*[<"](?:platform/)?([^>"]+)[>"]', raw)):
            if match[1] not in allowed:
                yield number, f"the core must not include {match[1]}"


def foreign_symbols(archive: Path) -> Iterator[str]:
    """Yield global symbols that are neither public nor internal by name."""
    command = ["nm", "-g", "--defined-only", "--format=posix", str(archive)]
    for line in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
        name = line.split()[0]
        if not name.endswith(":") and not name.startswith("mctx_"):
            yield name


def tracked(*patterns: str) -> list[Path]:
    """Return the files under version control that match."""
    command = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        *patterns,
    ]
    names = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).exists()]


def main() -> int:
    """Check all and print what is wrong."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {what}"
        for path in sorted(SOURCES.rglob("*.[ch]"))
        for number, what in complaints(path)
    ]
    listed = (SOURCES.parent / "sources.mk").read_text()
    for path in sorted(SOURCES.rglob("*.c")):
        if f" {path.relative_to(SOURCES.parent)}" not in listed:
            found.append(f"{path.relative_to(ROOT)}: not in sources.mk")
    for path in tracked("*.c", "*.h", "*.sh", "*.mk", "*Makefile", "scripts/*.py"):
        if "SPDX-License-Identifier: MIT" not in "".join(path.read_text().splitlines(keepends=True)[:3]):
            found.append(f"{path.relative_to(ROOT)}:1: no licence line")
    for archive in sys.argv[1:]:
        found += [f"{archive}: {name} is neither mctx_* nor mctx__*" for name in foreign_symbols(Path(archive))]
    print("\n".join(found) or "rules: kept")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

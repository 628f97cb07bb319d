#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write docs/statuses.md, the table of statuses, as the built library tells it; --check compares instead."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "statuses.md"
HEAD = """\
# Statuses

Every function that can fail returns 0 or one of these codes; the kind of a code is `-code / 1000`. This page is
written by the library (`make docs`), and checked to be current.

| code | kind | name | meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the page as the library in LIBMCTX_LIB_DIR, or in build/lib, tells it."""
    library = ctypes.CDLL(str(Path(os.environ.get("LIBMCTX_LIB_DIR", ROOT / "build" / "lib"), "libmctx.so.0")))
    for function in (library.mctx_status_name, library.mctx_status_text, library.mctx_kind_name):
        function.restype = ctypes.c_char_p
    codes = itertools.takewhile(bool, map(library.mctx_status_at, itertools.count()))
    rows = []
    for code in codes:
        kind = library.mctx_kind_name(library.mctx_status_kind(code)).decode()
        name = library.mctx_status_name(code).decode()
        rows.append(f"| {code} | {kind} | `{name}` | {library.mctx_status_text(code).decode()} |\n")
    return HEAD + "".join(rows)


def main() -> int:
    """Write the page, or say that it is out of date."""
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        print(f"{PAGE.relative_to(ROOT)} is not what the library tells: make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

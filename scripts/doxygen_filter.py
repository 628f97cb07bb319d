#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print the public header as doxygen should read it.

The enumerators that come from its tables are written out, each documented by its text in the table.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

KIND = r'X\((\w+), (\d+), "(\w+)", "([^"]+)"\)'
STATUS = r'X\((\w+), (\w+), (\d+), "(\w+)", "([^"]+)"\)'


def main() -> int:
    """Filter one file to standard output."""
    header = Path(sys.argv[1]).read_text()
    joined = re.sub(r"\s*\\\n\s*", " ", header)
    kinds = [
        f"MCTX_KIND_{name} = {number}, /**< `{text_name}`: {text} */"
        for name, number, text_name, text in re.findall(KIND, joined)
    ]
    statuses = [
        f"MCTX_ERR_{name} = -(MCTX_KIND_{kind} * 1000 + {number}), /**< `{text_name}`: {text} */"
        for name, kind, number, text_name, text in re.findall(STATUS, joined)
    ]
    for table, lines in (("KIND", kinds), ("STATUS", statuses)):
        enumerators = rf"#define MCTX_{table}_ENUMERATOR.*?#undef MCTX_{table}_ENUMERATOR"
        before, *after = re.split(enumerators, header, flags=re.DOTALL)
        if not lines or len(after) != 1:
            raise SystemExit(f"{sys.argv[1]}: no table of that form: {table}")
        header = "\n".join([before, *lines, *after])
    print(header)
    return 0


if __name__ == "__main__":
    sys.exit(main())

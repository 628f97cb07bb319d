#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fail for enumerators and members without a description, which doxygen does not always mention.

undocumented.py FOLDER    doxygen's XML
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from pathlib import Path


def without_text(folder: Path) -> Iterator[str]:
    """Yield the names of what has no description."""
    for page in sorted(folder.glob("*.xml")):
        root = Xml.parse(page).getroot()
        for element in [*root.iter("enumvalue"), *root.iter("memberdef"), *root.iter("compounddef")]:
            descriptions = [element.find(kind) for kind in ("briefdescription", "detaileddescription")]
            text = "".join("".join(found.itertext()) for found in descriptions if found is not None)
            if not text.strip() and element.get("kind") not in ("dir", "page"):
                yield element.findtext("name") or element.findtext("compoundname") or page.name


def main() -> int:
    """Print them."""
    names = sorted(set(without_text(Path(sys.argv[1]))))
    print("".join(f"not documented: {name}\n" for name in names), end="")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())

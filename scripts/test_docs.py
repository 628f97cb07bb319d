#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the code of README.md, docs and the examples, each piece as a process of its own.

Fenced blocks: ``c`` is compiled and run (without a main it becomes the body of one), ``python`` is run,
``pycon`` is run as a doctest, ``sh`` may only name targets of make and just that exist; other blocks are not
code. A block that can't be run carries ``<!-- not run: REASON -->`` on the line above its fence, and is counted
as skipped.

The network is a namespace with eth0 (192.0.2.10, 2001:db8::10) and a default route; where the host allows none,
code is compiled only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "build" / "lib"
PAGES = ("README.md", "docs/*.md", "bindings/python/README.md", "conformance/README.md")
EXAMPLES = {
    "interfaces.c": [],
    "interfaces.py": [],
    "publish.c": ["239.1.2.3", "5000", "hello", "eth0"],
    "publish.py": ["239.1.2.3", "5000", "hello", "eth0"],
    "ticker.py": ["239.1.2.3", "5000", "3"],
    "demo.c": ["4", "1000"],
    "demo.py": ["6", "1000"],
}
LIMIT = 60.0
BODY = """\
#include <inttypes.h>
#include <mctx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {{
{}
  return 0;
}}
"""
NETWORK = """\
ip link add eth0 type veth peer name peer0 &&
{ echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/peer0/disable_ipv6 || :; } &&
ip link set eth0 up && ip link set peer0 up &&
ip addr add 192.0.2.10/24 dev eth0 && ip route del 224.0.0.0/4 && ip route add default via 192.0.2.1 &&
{ ip -6 addr add 2001:db8::10/64 dev eth0 nodad || :; } && exec "$@"
"""
NAMESPACE = [str(ROOT / "scripts" / "namespace.sh"), "sh", "-c", NETWORK, "sh"]


class Piece(NamedTuple):
    """A piece of code: where it stands, its language, why it is not run, and its arguments."""

    where: str
    language: str
    code: str
    not_run: str = ""
    arguments: tuple[str, ...] = ()


def blocks(page: Path) -> Iterator[Piece]:
    """Yield the fenced blocks of a page."""
    pattern = r"(?:^<!-- not run: (?P<reason>.*?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$"
    text = page.read_text()
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start("code"))
        where = f"{page.relative_to(ROOT)}:{line}"
        yield Piece(where, match["language"], match["code"], match["reason"] or "")


def pieces() -> Iterator[Piece]:
    """Yield all code of the documents and the examples."""
    for pattern in PAGES:
        for page in sorted(ROOT.glob(pattern)):
            yield from blocks(page)
    for path in sorted(ROOT.glob("examples/*.*")):
        language = {".c": "c", ".py": "python"}[path.suffix]
        yield Piece(f"examples/{path.name}", language, path.read_text(), "", tuple(EXAMPLES[path.name]))


def execute(command: list[str], folder: Path) -> None:
    """Run a command; raise with its output if it fails."""
    done = subprocess.run(
        command,
        check=False,
        timeout=LIMIT,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise ValueError(f"{command[-1]} ended with {done.returncode}\n{done.stdout}")


def compile_c(code: str, folder: Path) -> list[str]:
    """Compile a program or the body of one; return its command."""
    source, program = folder / "block.c", folder / "block"
    source.write_text(code if re.search(r"\bmain\(", code) else BODY.format(code))
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", f"-I{ROOT}/libmctx/include"]
    link = [f"-L{LIBRARY}", "-lmctx", f"-Wl,-rpath,{LIBRARY}", "-pthread"]
    compiler = os.environ.get("CC", "cc")
    execute([compiler, *flags, "-o", str(program), str(source), *link], folder)
    return [str(program)]


def prepare_python(piece: Piece, folder: Path) -> list[str]:
    """Check the syntax of a block; return its command."""
    source = folder / "block.py"
    source.write_text(f'r"""\n{piece.code}"""\n' if piece.language == "pycon" else piece.code)
    compile(source.read_text(), piece.where, "exec")
    doctest = ["-m", "doctest"] if piece.language == "pycon" else []
    return [sys.executable, "-W", "error", *doctest, str(source)]


def check_shell(code: str) -> None:
    """Raise when a line names a target that make or just don't have."""
    makefile, justfile = (ROOT / "Makefile").read_text(), (ROOT / "justfile").read_text()
    for tool, target in re.findall(r"^\s*(make|just) ([\w-]+)", code, re.MULTILINE):
        if not re.search(rf"^{target}\b.*:", makefile if tool == "make" else justfile, re.MULTILINE):
            raise ValueError(f"{tool} has no target {target}")


def run(piece: Piece, prefix: list[str] | None) -> None:
    """Run one piece; raise what is wrong with it."""
    if piece.language == "sh":
        check_shell(piece.code)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = compile_c(piece.code, folder) if piece.language == "c" else prepare_python(piece, folder)
        if prefix is not None:
            execute([*prefix, *command, *piece.arguments], folder)


def main() -> int:
    """Run everything; end with the counts."""
    os.environ["LIBMCTX_LIB_DIR"] = str(LIBRARY)
    os.environ["PYTHONPATH"] = str(ROOT / "bindings" / "python")
    probe = subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True, text=True)
    prefix = None if probe.returncode else NAMESPACE
    if prefix is None:
        print(f"compiled only: {(probe.stdout + probe.stderr).strip()}")
    passed = failed = skipped = 0
    for piece in pieces():
        if piece.language not in ("c", "python", "pycon", "sh"):
            continue
        if piece.not_run:
            print(f"SKIP {piece.where}: {piece.not_run}")
            skipped += 1
            continue
        try:
            run(piece, prefix)
            passed += 1
        except (subprocess.SubprocessError, SyntaxError, ValueError) as error:
            print(f"FAIL {piece.where}: {error}")
            failed += 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

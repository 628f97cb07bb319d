#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the code of README.md, docs and the examples, and compare what it prints with what the pages say.

Fenced blocks: ``c`` is compiled, warnings as errors, and run; ``python`` and ``sh`` are run; ``output`` is what
the block before it prints; ``text``, ``json`` and blocks without a language are no code. A comment on the line
above a fence says what a block needs beyond that:

    <!-- not run: REASON -->                counted as skipped, with the reason
    <!-- test: file=hello.c -->             kept for the blocks after it: run by them, or named by `inside`
    <!-- test: inside=hello.c -->           stands where that file says /* task */ to /* end of task */; its
                                            #include lines go to the head
    <!-- test: vary="51966|lo (1), eth0" -->   these parts of the output may be others: numbers, text
    <!-- test: exit=1 -->                   the program ends with this status
    <!-- test: before="ip link set eth0 down" -->   a command that prepares the network
    <!-- test: at=checkout -->              run in the root of the checkout, not in the page's own folder
    <!-- test: needs=ipv6 -->               skipped where the host can't: ipv6, or the name of a command

Each block has a network namespace of its own, with eth0 (192.0.2.10, 2001:db8::10), eth1 (198.51.100.10) and a
default route by eth0; where the host allows none, code is compiled only, and counted as skipped.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = Path(os.environ.get("LIBMCTX_LIB_DIR", ROOT / "build" / "lib")).resolve()
PAGES = ("*.md", "docs/*.md", "bindings/python/README.md", "conformance/README.md")
CODE = ("c", "python", "sh")
DATA = ("text", "json", "")
EXAMPLES = {
    "fast.c": ["239.1.2.3", "5000", "2000", "1000", "eth0"],
    "fast.py": ["239.1.2.3", "5000", "2000", "eth0"],
    "interfaces.c": [],
    "interfaces.py": [],
    "paced.py": ["239.1.2.3", "5000", "10", "0.2", "eth0"],
    "publish.c": ["239.1.2.3", "5000", "hello", "eth0"],
    "publish.py": ["239.1.2.3", "5000", "hello", "eth0"],
    "subscribe.c": ["239.1.2.3", "5000", "eth0", "192.0.2.10"],
    "subscribe.py": ["239.1.2.3", "5000", "eth0", "192.0.2.10"],
    "ticker.py": ["239.1.2.3", "5000", "3"],
    "demo.c": ["batch", "4", "1000"],
    "demo.py": ["show", "6", "2"],
}
"""The programs of examples/, and how they are called."""
RECEIVERS = {
    "subscribe.c": "192.0.2.10:40000 -> 239.1.2.3:5000 on interface 4: hello\n"
    "1 datagrams received; the kernel dropped 0 messages\n",
    "subscribe.py": "('192.0.2.10', 40000) -> 239.1.2.3 on eth0: b'hello'\n"
    "1 datagrams received; the kernel dropped 0 messages\n",
}
"""Those that receive, and what they print: they are sent a datagram when they have joined, and then Ctrl-C."""
SENDER = (
    "(until ip maddr show dev eth0 | grep -q 239.1.2.3; do sleep 0.05; done; "
    f"exec {sys.executable} {ROOT}/examples/publish.py 239.1.2.3 5000 hello eth0) &"
)
UNTIL_CTRL_C = ["timeout", "--foreground", "--preserve-status", "--signal=INT", "6"]  # sent once
LIMIT = 60.0
TASK = re.compile(r"^[ \t]*/\* task \*/\n.*?^[ \t]*/\* end of task \*/\n", re.MULTILINE | re.DOTALL)
INCLUDE = re.compile(r"^#include .*\n", re.MULTILINE)
NETWORK = """\
exec 3>&2 2>/dev/null
unshare -n sh -c 'until ip link set peer0 up && ip link set peer1 up; do sleep 0.05; done; exec sleep 90' \\
  >/dev/null 3>&- &
peer=$!
until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
prepare() {
  ip route del 224.0.0.0/4
  for n in 0 1; do
    ip link add eth$n type veth peer name peer$n netns $peer || return
    echo 0 >/proc/sys/net/ipv6/conf/eth$n/accept_dad
    ip link set eth$n up || return
  done
  ip addr add 192.0.2.10/24 dev eth0 && ip addr add 198.51.100.10/24 dev eth1 || return
  ip route add default via 192.0.2.1 || return
  ip -6 addr add 2001:db8::10/64 dev eth0 nodad && ip -6 addr add 2001:db8:1::10/64 dev eth1 nodad
  for try in $(seq 40); do
    [ "$(ip link | grep -c LOWER_UP)" = 3 ] && ! ip -6 addr | grep -q tentative && break
    sleep 0.05
  done
  eval "$1"
}
prepare "$1" >/dev/null || { kill $peer; exit 77; }
exec 2>&3 3>&-
shift
"$@"
status=$?
kill $peer
exit $status
"""


class Skipped(Exception):
    """A block could not be run here; the message says why."""


class Wrong(Exception):
    """A block does not do what its page says; the message says how."""


@dataclass
class Block:
    """A piece of code: where it stands, what it is, and what the page says about it."""

    where: str
    language: str
    code: str
    not_run: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    output: str | None = None
    output_at: tuple[int, int] = (0, 0)
    arguments: list[str] = field(default_factory=list)
    runner: list[str] = field(default_factory=list)


# ---- reading the pages ----


def directives(comment: str, where: str) -> tuple[str, dict[str, str]]:
    """Return what a comment above a block says: why it isn't run, and its settings."""
    if match := re.fullmatch(r"<!-- not run: (.+?) -->", comment, re.DOTALL):
        return match[1], {}
    if match := re.fullmatch(r"<!-- test: (.+?) -->", comment, re.DOTALL):
        settings = dict(word.partition("=")[::2] for word in shlex.split(match[1]))
        if unknown := settings.keys() - {"file", "inside", "vary", "exit", "before", "at", "needs"}:
            raise SystemExit(f"{where}: no such setting: {', '.join(unknown)}")
        return "", settings
    return "", {}


def blocks(page: Path) -> Iterator[Block]:
    """Yield the code of a page, each block with the output that follows it."""
    name = str(page.relative_to(ROOT))
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    last: Block | None = None
    for position, token in enumerate(tokens):
        if token.type != "fence":
            continue
        assert token.map is not None
        where, language = f"{name}:{token.map[0] + 1}", token.info.strip()
        if language == "output":
            if last is None or last.output is not None:
                raise SystemExit(f"{where}: output of no block")
            last.output = token.content
            last.output_at = (token.map[0] + 1, token.map[1] - 1)
            continue
        if last is not None:
            yield last
            last = None
        if language in DATA:
            continue
        if language not in CODE:
            raise SystemExit(f"{where}: a block of the language {language!r}: one of {CODE + DATA} is needed")
        before = tokens[position - 1]
        comment = before.content.strip() if position and before.type == "html_block" else ""
        last = Block(where, language, token.content, *directives(comment, where))
    if last is not None:
        yield last


def broken_links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead to no file and no heading."""
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        for child in token.children or []:
            target = str(child.attrGet("href") or "") if child.type == "link_open" else ""
            if not target or re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            if not linked.exists():
                yield f"{page.relative_to(ROOT)}: no {target}"
            elif anchor and linked.suffix == ".md" and anchor not in anchors(linked):
                yield f"{page.relative_to(ROOT)}: no heading {target}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    tokens = MarkdownIt("commonmark").parse(page.read_text())
    titles = [tokens[at + 1].content.lower() for at, token in enumerate(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


# ---- running ----


class Runner:
    """Runs the blocks of one page, in a folder of their own."""

    def __init__(self, folder: Path, namespace: bool, can: set[str]) -> None:
        """Prepare to run in a folder, in namespaces or not at all; ``can`` names what the host can."""
        self._folder = folder
        self._namespace = namespace
        self._can = can
        self.different: list[tuple[Block, str]] = []

    def run(self, block: Block) -> None:
        """Run a block.

        Raises:
            Skipped: It can't be run here.
            Wrong: It does not do what its page says.

        """
        if block.not_run:
            raise Skipped(block.not_run)
        need = block.settings.get("needs", "")
        if need and need not in self._can and shutil.which(need) is None:
            raise Skipped(f"this host lacks {need}")
        if name := block.settings.get("file"):
            (self._folder / name).write_text(block.code)
        command = getattr(self, f"_{block.language}")(block)
        if not self._namespace:
            raise Skipped("compiled only: this host allows no network namespace")
        self._check(block, command)

    def _c(self, block: Block) -> list[str]:
        code = block.code
        if inside := block.settings.get("inside"):
            outer = (self._folder / inside).read_text()
            includes, task = "".join(INCLUDE.findall(code)), textwrap.indent(INCLUDE.sub("", code), "  ")
            code, found = TASK.subn(lambda _: task, outer)
            if found != 1:
                raise Wrong(f"{inside} has no place for a task")
            code = includes + code
        source, program = self._folder / "block.c", self._folder / "block"
        source.write_text(code)
        flags = ["-Wall", "-Wextra", "-Werror", f"-I{ROOT}/libmctx/include"]
        link = [f"-L{LIBRARY}", "-lmctx", f"-Wl,-rpath,{LIBRARY}", "-pthread"]
        compiler = os.environ.get("CC", "cc")
        done = execute([compiler, *flags, "-o", str(program), str(source), *link], self._folder)
        if done.returncode != 0:
            raise Wrong(f"it does not compile:\n{done.stdout}")
        return [str(program)]

    def _python(self, block: Block) -> list[str]:
        source = self._folder / "block.py"
        source.write_text(block.code)
        try:
            compile(block.code, block.where, "exec")
        except SyntaxError as error:
            raise Wrong(str(error)) from error
        return [sys.executable, "-W", "error", str(source)]

    def _sh(self, block: Block) -> list[str]:
        source = self._folder / "block.sh"
        source.write_text(block.code)
        return ["sh", "-eu", str(source)]

    def _check(self, block: Block, command: list[str]) -> None:
        folder = ROOT if block.settings.get("at") == "checkout" else self._folder
        prefix = [str(ROOT / "scripts" / "namespace.sh"), "sh", "-c", NETWORK, "sh"]
        before = block.settings.get("before", ":")
        done = execute(
            [*prefix, before, *block.runner, *command, *block.arguments], folder, HOME=str(self._folder)
        )
        if done.returncode != int(block.settings.get("exit", 0)):
            raise Wrong(f"it ended with {done.returncode}:\n{done.stdout}")
        if block.output is not None and not same(block.output, done.stdout, block.settings.get("vary", "")):
            self.different.append((block, done.stdout))
            raise Wrong(f"the page says:\n{block.output}and it printed:\n{done.stdout}")


def execute(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command; its output and errors come as one text."""
    try:
        return subprocess.run(
            command,
            check=False,
            timeout=LIMIT,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired as error:
        raise Wrong(f"it took more than {LIMIT:.0f} s") from error


def same(expected: str, printed: str, vary: str) -> bool:
    """Return whether a program printed what its page says, but for what may vary."""
    pattern = re.escape(expected.strip())
    for text in filter(None, vary.split("|")):
        found = rf"(?<!\d){re.escape(re.escape(text))}(?!\d)"
        pattern, count = re.subn(found, r"\\d+" if text.isdigit() else r"[^\\n]+", pattern)
        if count == 0:
            return False
    return re.fullmatch(pattern, re.sub(r"[ \t]+$", "", printed, flags=re.MULTILINE).strip()) is not None


def write_outputs(page: Path, printed: list[tuple[Block, str]]) -> None:
    """Put what blocks printed where their page says otherwise."""
    lines = page.read_text().splitlines(keepends=True)
    for block, text in reversed(printed):
        start, end = block.output_at
        lines[start:end] = [f"{line.rstrip()}\n" for line in text.strip().splitlines()]
    page.write_text("".join(lines))


def examples() -> Iterator[Block]:
    """Yield the programs of examples/."""
    for path in sorted(ROOT.glob("examples/*.*")):
        if path.suffix in (".c", ".py"):
            yield example(path)


def example(path: Path) -> Block:
    """Return one of them."""
    language = {".c": "c", ".py": "python"}[path.suffix]
    block = Block(f"examples/{path.name}", language, path.read_text(), arguments=EXAMPLES[path.name])
    if path.name in RECEIVERS:
        block.settings = {"before": SENDER, "vary": "40000|4" if language == "c" else "40000"}
        block.output = RECEIVERS[path.name]
        block.runner = UNTIL_CTRL_C
    return block


def pages(wanted: list[str]) -> Iterator[Path]:
    """Yield the pages, or those named."""
    for pattern in wanted or PAGES:
        yield from sorted(ROOT.glob(pattern))


def environment() -> tuple[bool, set[str]]:
    """Set what all blocks need; return whether there are namespaces, and what the host can."""
    os.environ["LIBMCTX_LIB_DIR"] = str(LIBRARY)
    os.environ["PYTHONPATH"] = str(ROOT / "bindings" / "python")
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)
    namespace = str(ROOT / "scripts" / "namespace.sh")
    probe = execute([namespace, "sh", "-c", NETWORK, "sh", ":", "true"], ROOT)
    if probe.returncode != 0:
        print(f"compiled only: {probe.stdout.strip() or 'no virtual interface pairs'}")
        return False, set()
    ipv6 = execute([namespace, "sh", "-c", "ip -6 addr show dev lo | grep -q ::1"], ROOT).returncode == 0
    return True, {"ipv6"} if ipv6 else set()


def run_all(found: list[Block], runner: Runner, totals: Counter[str]) -> None:
    """Run blocks in their order, and count what came of them."""
    for block in found:
        try:
            runner.run(block)
            totals["passed"] += 1
        except Skipped as reason:
            print(f"SKIP {block.where}: {reason}")
            totals["skipped"] += 1
        except Wrong as error:
            print(f"FAIL {block.where}: {error}", flush=True)
            totals["failed"] += 1


def main() -> int:
    """Run everything, or the pages named; end with the counts."""
    parser = argparse.ArgumentParser(description="Run the code of the documents and examples.")
    parser.add_argument("page", nargs="*", help="docs/sending.md, ...; if none, all and the examples")
    parser.add_argument("--list", action="store_true", help="name the blocks, and run nothing")
    parser.add_argument("--write", action="store_true", help="correct the outputs that the pages show")
    arguments = parser.parse_args()
    found = {page: list(blocks(page)) for page in pages(arguments.page)}
    if arguments.list:
        for block in itertools.chain(*found.values()):
            print(block.where, block.language, f"not run: {block.not_run}" if block.not_run else "")
        return 0
    namespace, can = environment()
    totals: Counter[str] = Counter()
    for page, its_blocks in found.items():
        for link in broken_links(page):
            print(f"FAIL {link}")
            totals["failed"] += 1
        with tempfile.TemporaryDirectory() as folder:
            runner = Runner(Path(folder), namespace, can)
            run_all(its_blocks, runner, totals)
        if arguments.write:
            write_outputs(page, runner.different)
    if not arguments.page:
        with tempfile.TemporaryDirectory() as folder:
            run_all(list(examples()), Runner(Path(folder), namespace, can), totals)
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

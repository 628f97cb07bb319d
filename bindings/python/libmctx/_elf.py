# SPDX-License-Identifier: MIT
"""A look at a shared library before it is loaded: loading a truncated one would kill the process."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

_MAGIC = b"\x7fELF"
_MACHINES = {
    3: "x86",
    8: "MIPS",
    21: "PowerPC64",
    22: "s390x",
    40: "ARM",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
}
_HEADERS = {1: ("HHIIIIIHHHHHH", "IIIII"), 2: ("HHIQQQIHHHHHH", "IIQQQQ")}
"""For 32 and 64 bits: the file header behind its first 16 bytes, and the start of a program header."""


def _machine(header: bytes) -> tuple[int, int, int]:
    """Return bits, byte order and processor."""
    order = "<" if header[5] == 1 else ">"
    processor: int = struct.unpack_from(order + "H", header, 18)[0]
    return header[4], header[5], processor


def _own_header() -> bytes:
    """Return the first bytes of the running interpreter's file, or none."""
    try:
        with open(sys.executable, "rb") as file:
            return file.read(20)
    except OSError:
        return b""


def _describe(machine: tuple[int, int, int]) -> str:
    bits, order, processor = machine
    name = _MACHINES.get(processor, f"processor {processor}")
    return f"{name}, {32 * bits}-bit, {'little' if order == 1 else 'big'}-endian"


def _wanted_size(data: bytes) -> int:
    """Return how long the file must be for all that its program headers and section table name."""
    order = "<" if data[5] == 1 else ">"
    file_format, program_format = _HEADERS[data[4]]
    fields = struct.unpack_from(order + file_format, data, 16)
    program_offset, section_offset = fields[4], fields[5]
    program_size, program_count, section_size, section_count = fields[8:12]
    wanted = max(section_offset + section_size * section_count, program_offset + program_size * program_count)
    for position in range(program_count):
        program = struct.unpack_from(order + program_format, data, program_offset + position * program_size)
        offset, size = (program[1], program[4]) if data[4] == 1 else (program[2], program[5])
        wanted = max(wanted, offset + size)
    return int(wanted)


def check(path: Path) -> None:
    """Refuse a file that is no library, is cut short, or was made for another kind of machine.

    Does nothing where programs aren't ELF files.

    Raises:
        ImportError: It can't be loaded; the message says why.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImportError(f"cannot read the native library {path}: {error}", path=str(path)) from error
    own = _own_header()
    if own[:4] != _MAGIC:
        return
    if data[:4] != _MAGIC or len(data) < 52 or data[4] not in _HEADERS:
        raise ImportError(f"{path} is not a shared library, or is cut short: install it again", path=str(path))
    if _machine(data) != _machine(own):
        raise ImportError(
            f"{path} was built for another machine ({_describe(_machine(data))}) than this Python "
            f"({_describe(_machine(own))}): install the build for this one",
            path=str(path),
        )
    try:
        wanted = _wanted_size(data)
    except struct.error:
        wanted = len(data) + 1
    if wanted > len(data):
        raise ImportError(
            f"{path} is cut short: it has {len(data)} bytes of at least {wanted}; install it again",
            path=str(path),
        )

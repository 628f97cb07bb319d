# SPDX-License-Identifier: MIT
"""Finding the native library and checking it: each way that it can be wrong is a clear ImportError."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT, PROJECT, RunPython

import libmctx
from libmctx import _elf, _ffi, _load

HEADER = CHECKOUT / "libmctx" / "include" / "mctx.h"
NAME = _load.FILE_NAMES[0]
SHOW = "import libmctx; print(libmctx.library_path())"

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or not HEADER.is_file(), reason="needs a C compiler and the checkout"
)


@pytest.fixture
def real() -> Path:
    """The library that these tests run with."""
    path = Path(libmctx.library_path())
    if not path.is_file():
        pytest.skip("the library came from the system's loader")
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package without any library in it; the folder to import it from."""
    ignored = shutil.ignore_patterns("_native", "__pycache__")
    shutil.copytree(PROJECT / "libmctx", tmp_path / "site" / "libmctx", ignore=ignored)
    return tmp_path / "site"


def failure(run_python: RunPython, **environment: str | None) -> str:
    """Import the package, which must fail with an ImportError; return what it says."""
    done = run_python("import libmctx", check=False, **environment)
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: "), done.stderr
    return str(last)


def test_the_variable_is_first(run_python: RunPython, real: Path, tmp_path: Path) -> None:
    shutil.copy(real, tmp_path / NAME)
    assert run_python(SHOW, LIBMCTX_LIB_DIR=str(tmp_path)).stdout.strip() == str(tmp_path / NAME)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / _load.FILE_NAMES[-1]).symlink_to(real)
    assert run_python(SHOW, LIBMCTX_LIB_DIR=str(linked)).stdout.strip() == str(linked / _load.FILE_NAMES[-1])


def test_a_relative_folder_is_made_absolute(run_python: RunPython, real: Path, tmp_path: Path) -> None:
    relative = os.path.relpath(real.parent, tmp_path)
    assert Path(run_python(SHOW, LIBMCTX_LIB_DIR=relative).stdout.strip()).is_absolute()


def test_the_variable_allows_no_fall_through(
    run_python: RunPython, package: Path, real: Path, tmp_path: Path
) -> None:
    (package / "libmctx" / "_native").mkdir()
    shutil.copy(real, package / "libmctx" / "_native" / NAME)
    missing = str(tmp_path / "missing")
    for folder in (missing, str(tmp_path)):
        said = failure(run_python, PYTHONPATH=str(package), LIBMCTX_LIB_DIR=folder)
        assert "LIBMCTX_LIB_DIR" in said
        assert folder in said
        assert NAME in said


def test_the_packages_own_folder_is_next(run_python: RunPython, package: Path, real: Path) -> None:
    native = package / "libmctx" / "_native"
    native.mkdir()
    shutil.copy(real, native / NAME)
    shown = run_python(SHOW, PYTHONPATH=str(package), LIBMCTX_LIB_DIR=None).stdout.strip()
    assert shown == str(native.resolve() / NAME)


def test_an_editable_checkouts_link_is_followed(run_python: RunPython, package: Path, real: Path) -> None:
    (package / "libmctx" / "_native").symlink_to(real.parent, target_is_directory=True)
    shown = run_python(SHOW, PYTHONPATH=str(package), LIBMCTX_LIB_DIR=None).stdout.strip()
    assert Path(shown).resolve() == real.resolve()


def test_the_systems_loader_is_last(run_python: RunPython, package: Path, real: Path, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("LD_LIBRARY_PATH is Linux's")
    shutil.copy(real, tmp_path / NAME)
    shown = run_python(SHOW, PYTHONPATH=str(package), LIBMCTX_LIB_DIR=None, LD_LIBRARY_PATH=str(tmp_path))
    assert shown.stdout.strip() == NAME


def test_it_is_nowhere(run_python: RunPython, package: Path) -> None:
    said = failure(run_python, PYTHONPATH=str(package), LIBMCTX_LIB_DIR=None, LD_LIBRARY_PATH=None)
    assert NAME in said
    assert "pip install" in said
    assert "LIBMCTX_LIB_DIR" in said


def broken(content: bytes, folder: Path) -> str:
    (folder / NAME).write_bytes(content)
    return str(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
@pytest.mark.parametrize("length", [0, 1, 4, 20, 63, 64, 100, 4096, -1, -100, -5000])
def test_a_truncated_library(run_python: RunPython, real: Path, tmp_path: Path, length: int) -> None:
    """Loading one would end the process with SIGBUS."""
    said = failure(run_python, LIBMCTX_LIB_DIR=broken(real.read_bytes()[:length], tmp_path))
    assert "cut short" in said
    assert "install it again" in said


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
@pytest.mark.parametrize(("machine", "name"), [(183, "AArch64"), (22, "s390x"), (7777, "processor 7777")])
def test_a_library_for_another_processor(
    run_python: RunPython, real: Path, tmp_path: Path, machine: int, name: str
) -> None:
    content = bytearray(real.read_bytes())
    if struct.unpack_from("H", content, 18)[0] == machine:
        pytest.skip("that is this machine")
    struct.pack_into("H", content, 18, machine)
    said = failure(run_python, LIBMCTX_LIB_DIR=broken(bytes(content), tmp_path))
    assert name in said
    assert "another machine" in said


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
def test_a_library_of_another_word_size(run_python: RunPython, real: Path, tmp_path: Path) -> None:
    content = bytearray(real.read_bytes())
    content[4] = 3 - content[4]
    assert "another machine" in failure(run_python, LIBMCTX_LIB_DIR=broken(bytes(content), tmp_path))


@pytest.mark.parametrize("content", [b"not a library at all\n" * 10, b"MZ" + bytes(500), bytes(5000)])
def test_a_file_that_is_no_library(run_python: RunPython, tmp_path: Path, content: bytes) -> None:
    assert str(tmp_path / NAME) in failure(run_python, LIBMCTX_LIB_DIR=broken(content, tmp_path))


def compiled(source: str, folder: Path) -> str:
    """Compile a library of one file; return its folder."""
    (folder / "fake.c").write_text(source)
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / NAME), str(folder / "fake.c")]
    subprocess.run(command, check=True)
    return str(folder)


@needs_compiler
def test_a_library_that_is_another(run_python: RunPython, tmp_path: Path) -> None:
    said = failure(run_python, LIBMCTX_LIB_DIR=compiled("int something_else(void) { return 1; }", tmp_path))
    assert "mctx_version" in said


@needs_compiler
@pytest.mark.parametrize("version", [0x10000, 0x10001, 0x0, 0x70009])
def test_a_library_of_another_abi(run_python: RunPython, tmp_path: Path, version: int) -> None:
    source = f"""
const char *mctx_version(void) {{ return "9.8.7"; }}
unsigned mctx_abi_version(void) {{ return {version}; }}
"""
    said = failure(run_python, LIBMCTX_LIB_DIR=compiled(source, tmp_path))
    assert f"ABI {version >> 16}.{version & 0xFFFF}" in said
    assert "9.8.7" in said
    assert f"needs {_ffi.ABI_MAJOR}.{_ffi.ABI_MINOR}" in said


FAKE = """
#include <stdint.h>
#include <string.h>
const char *mctx_version(void) {{ return "0.1.9"; }}
unsigned mctx_abi_version(void) {{ return 1; }}
int mctx_constant(const char *name, int64_t *value, void *error) {{ {body} }}
"""


@needs_compiler
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return -3001;", ["does not know", "sizeof(mctx_error)"]),
        ("*value = 8; return 0;", ["mctx_error of 8 bytes", f"one of {ctypes.sizeof(_ffi.Error)}"]),
    ],
)
def test_a_library_with_other_structs(
    run_python: RunPython, tmp_path: Path, body: str, words: list[str]
) -> None:
    header = HEADER.read_text()
    names = set(re.findall(r"\b(mctx_\w+)\(", header)) - {"mctx_version", "mctx_abi_version", "mctx_constant"}
    rest = "".join(f"int {name}(void) {{ return -1; }}\n" for name in sorted(names))
    said = failure(run_python, LIBMCTX_LIB_DIR=compiled(FAKE.format(body=body) + rest, tmp_path))
    for word in words:
        assert word in said


@needs_compiler
def test_every_layout_is_the_headers(tmp_path: Path) -> None:
    lines: list[str] = []
    for name, struct_type in _ffi.STRUCTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field in struct_type._fields_:
            lines.append(f'printf("{name}.{field[0]} %zu\\n", offsetof({name}, {field[0]}));')
    program = f'#include <stdio.h>\n#include "mctx.h"\nint main(void) {{ {"".join(lines)} }}\n'
    (tmp_path / "layout.c").write_text(program)
    command = ["cc", f"-I{HEADER.parent}", "-o", str(tmp_path / "layout"), str(tmp_path / "layout.c")]
    subprocess.run(command, check=True)
    shown = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    wanted = dict(line.split() for line in shown.splitlines())
    declared = {
        key: str(value)
        for name, struct_type in _ffi.STRUCTS.items()
        for key, value in [
            (name, ctypes.sizeof(struct_type)),
            *((f"{name}.{field[0]}", getattr(struct_type, field[0]).offset) for field in struct_type._fields_),
        ]
    }
    assert declared == wanted


@pytest.mark.skipif(not HEADER.is_file(), reason="needs the checkout")
def test_every_function_of_the_header_is_declared() -> None:
    header = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    functions = set(re.findall(r"^MCTX_API [^;]*?\b(mctx_\w+)\(", header, re.MULTILINE))
    source = (PROJECT / "libmctx" / "_ffi.py").read_text()
    declared = set(re.findall(r'"(mctx_\w+)"', source))
    unused = {"mctx_error_init", "mctx_context_options_init"}
    assert functions - declared == unused


def test_the_check_knows_a_whole_library(real: Path) -> None:
    _elf.check(real)
    with pytest.raises(ImportError, match="cannot read"):
        _elf.check(real.parent / "missing")


def test_the_command_line(run_python: RunPython) -> None:
    done = run_python("import runpy; runpy.run_module('libmctx', run_name='__main__')", check=False)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"libmctx {libmctx.__version__}"
    assert f"native library {libmctx.native_version()}, ABI 0.1" in lines
    assert f"loaded from {libmctx.library_path()}" in lines
    for capability in libmctx.capabilities().values():
        line = next(each for each in lines if each.split()[:2] == [capability.name, capability.state])
        assert capability.reason in line


def test_what_the_package_says_of_itself() -> None:
    assert libmctx.abi_version() == (_ffi.ABI_MAJOR, _ffi.ABI_MINOR)
    assert re.fullmatch(r"\d+\.\d+\.\d+", libmctx.native_version())
    assert set(libmctx.__all__) <= set(dir(libmctx))
    with pytest.raises(AttributeError, match="no_such"):
        _ = libmctx.no_such
    available = libmctx.capabilities()["ipv4"]
    assert available.state == "available"
    assert available


def test_importing_does_nothing_but_load(run_python: RunPython) -> None:
    done = run_python(
        """
import os, sys, threading
before = set(os.listdir("/proc/self/fd"))
import libmctx
assert set(os.listdir("/proc/self/fd")) == before
assert threading.active_count() == 1
heavy = {"asyncio", "typing_extensions", "numpy", "importlib.metadata", "logging"}
print(sorted(heavy & set(sys.modules)))
"""
    )
    assert done.stdout.strip() == "[]"


def test_an_interpreter_without_its_lock_does_without_the_shortcuts(run_python: RunPython) -> None:
    run_python(
        "import sys; sys._is_gil_enabled = lambda: False\n"
        "from libmctx import _shortcuts, Context\n"
        "assert not _shortcuts.available\n"
        "publication = Context().add_publication('239.255.77.1', 5000, interface='127.0.0.1', ttl=0)\n"
        "assert publication.send(b'x').bytes_sent == 1\n"
        "assert publication.send_many([b'x', memoryview(b'yy')]) == 2\n"
        "assert publication.send_segments(memoryview(b'xyz').toreadonly(), 2) == 2\n"
    )

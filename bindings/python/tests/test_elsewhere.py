# SPDX-License-Identifier: MIT
"""Test runs in processes of their own, as one process loads one library, in one way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, SIMULATED

import libmctx
from libmctx import _load

OTHERWISE = [
    "tests/test_send.py",
    "tests/test_receive.py",
    "tests/test_views.py",
    "tests/test_columns.py",
    "tests/test_aio_receive.py",
    "tests/test_receive_blocking.py",
]
"""Tests of what goes another way without the shortcuts."""

pytestmark = pytest.mark.skipif(SIMULATED, reason="this is that process")


def assert_pass(tests: list[str], **environment: str) -> None:
    """Run them in another process."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_on_the_simulated_network(tmp_path: Path) -> None:
    twin = Path(libmctx.library_path()).resolve().with_name(_load.FILE_NAMES[0].replace("mctx", "mctx-sim"))
    if not twin.is_file():
        pytest.skip(f"no {twin}: make builds it")
    (tmp_path / _load.FILE_NAMES[0]).symlink_to(twin)
    assert_pass(["tests/simulated"], LIBMCTX_LIB_DIR=str(tmp_path))


def test_on_the_calls_that_other_interpreters_use() -> None:
    """The package does without the native shortcuts where the interpreter isn't CPython."""
    assert_pass(OTHERWISE, LIBMCTX_PYTHON_SHORTCUTS="0")

# SPDX-License-Identifier: MIT
"""Finding and loading the native library.

The order: the folder that ``LIBMCTX_LIB_DIR`` names (then it must be there, and nothing else is tried); the
package's own ``_native`` folder; the system's loader.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from libmctx import _elf

if sys.platform == "win32":
    FILE_NAMES = ("mctx.dll",)
elif sys.platform == "darwin":
    FILE_NAMES = ("libmctx.0.dylib", "libmctx.dylib")
else:
    FILE_NAMES = ("libmctx.so.0", "libmctx.so")

VARIABLE = "LIBMCTX_LIB_DIR"
NATIVE = Path(__file__).resolve().parent / "_native"


def find(folder: Path) -> Path | None:
    """Return the library in a folder, or None."""
    return next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)


def locate() -> Path | None:
    """Return the path of the library to load, or None where the system's loader has to find it.

    Raises:
        ImportError: ``LIBMCTX_LIB_DIR`` is set, and the library isn't there.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return find(NATIVE)
    path = find(Path(named).expanduser())
    if path is None:
        raise ImportError(
            f"{VARIABLE} is {named!r}, but that folder has no {FILE_NAMES[0]}: "
            f"correct the variable, or unset it to use the package's own library"
        )
    return path.absolute()


def open_library() -> tuple[str, ctypes.CDLL, ctypes.PyDLL]:
    """Load the native library.

    Returns:
        Where it came from; the library for calls that may block, which release the interpreter's lock; the same
        library for calls that never block, which keep it.

    Raises:
        ImportError: It is missing, truncated, or made for another kind of machine.
    """
    path = locate()
    if path is None:
        name = FILE_NAMES[0]
        hint = (
            f"neither {NATIVE} nor the system's loader has it: install a wheel (pip install libmctx), "
            f"build it in a checkout (pip install -e bindings/python), or set {VARIABLE} to its folder"
        )
    else:
        name = str(path)
        hint = "the file is there but can't be used: is it whole, and built for this machine?"
        _elf.check(path)
    try:
        return name, ctypes.CDLL(name), ctypes.PyDLL(name)
    except OSError as error:
        raise ImportError(f"cannot load the native library {name}: {error}; {hint}", path=name) from error

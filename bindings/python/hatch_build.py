# SPDX-License-Identifier: MIT
"""Build the wheel with the native library inside, and the source distribution with the library's C sources.

A wheel's library is built by make from the C sources, which stand two folders above this one in a checkout and
under ``native/`` in a source distribution; or it is taken from an SDK: ``LIBMCTX_SDK_DIR=/opt/libmctx``, whose
``lib/`` must hold it. An editable install links ``libmctx/_native`` to the checkout's ``build/lib``.
``LIBMCTX_WHEEL_PLATFORM=manylinux_2_17_x86_64`` overrides the platform tag.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
IN_SDIST = (ROOT / "native" / "VERSION").is_file()
NATIVE = ROOT / "native" if IN_SDIST else ROOT.parents[1]
"""The folder that holds VERSION, LICENSE and libmctx/, the C sources."""

C_FOLDERS = ("include", "src", "abi")
C_FILES = ("Makefile", "sources.mk", "libmctx.pc.in")


def version() -> str:
    """Return the version, which stands once, in VERSION."""
    return (NATIVE / "VERSION").read_text().strip()


def library_name() -> str:
    """Return the file name of the native library on this platform."""
    if sys.platform == "win32":
        return "mctx.dll"
    return "libmctx.0.dylib" if sys.platform == "darwin" else "libmctx.so.0"


def wheel_platform() -> str:
    """Return the platform part of the wheel's tag."""
    platform = os.environ.get("LIBMCTX_WHEEL_PLATFORM") or sysconfig.get_platform()
    return platform.replace("-", "_").replace(".", "_")


class NativeLibraryHook(BuildHookInterface[Any]):
    """Adds the native library to wheels and its sources to source distributions."""

    _scratch: str | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Prepare what the target needs; hatchling calls it before a build."""
        if self.target_name == "sdist":
            build_data["force_include"].update(self._sources())
        elif self.target_name == "wheel":
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{wheel_platform()}"
            if version == "editable":
                self._link(self._make(self._checkout_build()))
            else:
                self._bundle(build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the build left; hatchling calls it after a build."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _sources(self) -> dict[str, str]:
        files = {str(NATIVE / name): f"native/{name}" for name in ("VERSION", "LICENSE")}
        for name in C_FILES + C_FOLDERS:
            files[str(NATIVE / "libmctx" / name)] = f"native/libmctx/{name}"
        return files

    def _bundle(self, build_data: dict[str, Any]) -> None:
        sdk = os.environ.get("LIBMCTX_SDK_DIR")
        if sdk:
            library = Path(sdk).expanduser().resolve() / "lib" / library_name()
            if not library.is_file():
                raise FileNotFoundError(f"LIBMCTX_SDK_DIR is {sdk!r}, but there is no {library}")
        else:
            self._scratch = tempfile.mkdtemp(prefix="libmctx-build-")
            smaller = ("LDFLAGS=-Wl,--strip-debug",) if sys.platform == "linux" else ()
            library = self._make(Path(self._scratch), *smaller) / library_name()
        include = build_data["force_include"]
        include[str(library.resolve())] = f"libmctx/_native/{library_name()}"
        include[str(NATIVE / "LICENSE")] = f"libmctx-{self.metadata.version}.dist-info/licenses/LICENSE"

    def _make(self, build: Path, *settings: str) -> Path:
        """Build the library under a folder; return the folder that it is in."""
        source = NATIVE / "libmctx"
        command = ["make", "-C", str(source), "lib", f"BUILD={build}", *settings]
        self.app.display_info(f"Building the native library: {' '.join(command)}")
        # An outer make's flags and job server are not for this one.
        environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
        try:
            subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
        except FileNotFoundError as error:
            raise RuntimeError(
                "make is needed to build the native library: install make and a C compiler, "
                "or set LIBMCTX_SDK_DIR to the folder of a built one"
            ) from error
        return build / "lib"

    @staticmethod
    def _checkout_build() -> Path:
        if IN_SDIST:
            return ROOT / "build"
        return NATIVE / "build"

    @staticmethod
    def _link(library: Path) -> None:
        """Let the package in place find the library where make puts it, so that a rebuild is seen at once."""
        native = ROOT / "libmctx" / "_native"
        if native.is_symlink():
            native.unlink()
        elif native.exists():
            shutil.rmtree(native)
        try:
            native.symlink_to(os.path.relpath(library, native.parent), target_is_directory=True)
        except OSError:  # Windows without the right to make links
            native.mkdir()
            shutil.copy2(library / library_name(), native)

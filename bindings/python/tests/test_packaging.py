# SPDX-License-Identifier: MIT
"""Source distribution, wheel, SDK and editable install: built, installed into fresh environments, and used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from conftest import CHECKOUT, PROJECT

import libmctx
from libmctx import _load

NAME = _load.FILE_NAMES[0]
VERSION = (CHECKOUT / "VERSION").read_text().strip() if (CHECKOUT / "VERSION").is_file() else ""
USE = """
import libmctx
with libmctx.Context() as context:
    publication = context.add_publication("239.255.77.1", 5000, interface="127.0.0.1", ttl=0)
    assert publication.send(b"x").bytes_sent == 1
    assert publication.send_many([b"x", bytearray(b"y")]) == 2
print(libmctx.__version__, libmctx.native_version(), libmctx.library_path(), libmctx.__file__, sep="\\n")
"""

pytestmark = [
    pytest.mark.skipif(not VERSION, reason="needs the checkout"),
    pytest.mark.skipif(
        not shutil.which("make") or not shutil.which("cc"), reason="needs make and a C compiler"
    ),
]


def run(*command: str | Path, cwd: Path, check: bool = True, **variables: str) -> str:
    """Run a command without what this test run set up for itself; return what it prints."""
    own = ("LIBMCTX_", "PYTHON", "VIRTUAL_ENV", "MAKE", "UV_", "LD_LIBRARY_PATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment |= {"CFLAGS": "-O0", **variables}
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == check, done.stdout
    return done.stdout


def fresh_environment(folder: Path) -> Path:
    """Make an environment without anything in it; return its interpreter."""
    run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(python: Path, *what: str | Path, cwd: Path) -> None:
    """Install into an environment, asking no registry."""
    run(
        sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--python", python, *what, cwd=cwd
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build needs of the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("_native", "__pycache__", ".*_cache", ".hypothesis", "tests")
    shutil.copytree(CHECKOUT / "libmctx", folder / "libmctx", ignore=ignored)
    shutil.copytree(PROJECT, folder / "bindings" / "python", ignore=ignored)
    for name in ("VERSION", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder)
    return folder


@pytest.fixture(scope="module")
def distributions(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution of the checkout, and a wheel that was built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    project = checkout / "bindings" / "python"
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project, cwd=folder)
    return folder


def test_the_source_distribution_is_complete(distributions: Path) -> None:
    (path,) = distributions.glob("*.tar.gz")
    assert path.name == f"libmctx-{VERSION}.tar.gz"
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "hatch_build.py", "README.md", "libmctx/py.typed", "libmctx/_ffi.py"}
    wanted |= {"native/VERSION", "native/LICENSE", "native/libmctx/Makefile", "native/libmctx/include/mctx.h"}
    assert wanted <= names
    assert not [name for name in names if "_native" in name or name.endswith((".so", ".so.0", ".o", ".pyc"))]


def test_the_wheel_carries_the_library(distributions: Path) -> None:
    (path,) = distributions.glob("*.whl")
    assert path.name.startswith(f"libmctx-{VERSION}-py3-none-")
    assert not path.name.endswith("-any.whl")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        information = f"libmctx-{VERSION}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{information}/METADATA").decode())
        wheel = Parser().parsestr(archive.read(f"{information}/WHEEL").decode())
    assert f"libmctx/_native/{NAME}" in names
    assert f"{information}/licenses/LICENSE" in names
    assert "libmctx/py.typed" in names
    assert not [name for name in names if name.endswith((".c", ".h", ".o")) or name.startswith("native")]
    assert metadata["Version"] == VERSION
    assert metadata["Requires-Dist"] is None
    assert metadata["License-Expression"] == "MIT"
    assert wheel["Root-Is-Purelib"] == "false"
    assert wheel["Tag"].startswith("py3-none-")


def test_an_installed_wheel_works(distributions: Path, tmp_path: Path) -> None:
    python = fresh_environment(tmp_path / "environment")
    (wheel,) = distributions.glob("*.whl")
    install(python, "--no-deps", wheel, cwd=tmp_path)
    version, native, library, module = run(python, "-c", USE, cwd=tmp_path).splitlines()
    assert version == native == VERSION
    assert Path(library) == Path(module).resolve().parent / "_native" / NAME
    assert "environment" in library
    assert f"libmctx {VERSION}" in run(python, "-m", "libmctx", cwd=tmp_path)


def test_the_library_of_an_sdk_is_bundled_as_it_is(checkout: Path, tmp_path: Path) -> None:
    library = Path(libmctx.library_path())
    if not library.is_file():
        pytest.skip("the library came from the system's loader")
    sdk = tmp_path / "sdk"
    (sdk / "lib").mkdir(parents=True)
    shutil.copy(library.resolve(), sdk / "lib" / f"{NAME}.1.0")
    (sdk / "lib" / NAME).symlink_to(f"{NAME}.1.0")
    project = checkout / "bindings" / "python"
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, project)
    run(*build, cwd=tmp_path, LIBMCTX_SDK_DIR=str(sdk), PATH="", LIBMCTX_WHEEL_PLATFORM="manylinux_2_17_x86_64")
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(f"libmctx/_native/{NAME}") == library.read_bytes()
    said = run(*build, cwd=tmp_path, check=False, LIBMCTX_SDK_DIR=str(tmp_path / "missing"))
    assert "LIBMCTX_SDK_DIR" in said
    assert str(tmp_path / "missing") in said


def test_an_editable_install_follows_the_checkout(checkout: Path, tmp_path: Path) -> None:
    project = checkout / "bindings" / "python"
    python = fresh_environment(tmp_path / "environment")
    backend = f"import hatchling.build; print(hatchling.build.build_editable({str(tmp_path)!r}))"
    wheel = run(sys.executable, "-c", backend, cwd=project).splitlines()[-1]
    install(python, "--no-deps", tmp_path / wheel, cwd=tmp_path)
    version, native, library, module = run(python, "-c", USE, cwd=tmp_path).splitlines()
    assert version == native == VERSION
    assert Path(module) == project / "libmctx" / "__init__.py"
    assert Path(library).resolve() == (checkout / "build" / "lib" / NAME).resolve()


def test_the_link_of_an_editable_install_goes_into_no_wheel(checkout: Path, tmp_path: Path) -> None:
    project = checkout / "bindings" / "python"
    link = project / "libmctx" / "_native"
    if not link.is_symlink():
        (tmp_path / "elsewhere.so").touch()
        link.symlink_to(tmp_path, target_is_directory=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, project, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if "_native" in name] == [f"libmctx/_native/{NAME}"]

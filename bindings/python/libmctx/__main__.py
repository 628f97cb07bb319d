# SPDX-License-Identifier: MIT
"""``python -m libmctx``: versions, where the native library is, and what the system underneath offers."""

from __future__ import annotations

import platform
import sys

import libmctx


def main() -> int:
    """Print it; return the exit status."""
    major, minor = libmctx.abi_version()
    print(f"libmctx {libmctx.__version__}")
    print(f"native library {libmctx.native_version()}, ABI {major}.{minor}")
    print(f"loaded from {libmctx.library_path()}")
    print(f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}")
    print("capabilities:")
    for capability in libmctx.capabilities().values():
        reason = f"  {capability.reason}" if capability.reason else ""
        print(f"  {capability.name:<21} {capability.state:<15}{reason}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())

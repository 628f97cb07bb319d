#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""List the interfaces, their addresses, and where multicast leaves by default."""

from __future__ import annotations

import libmctx


def main() -> None:
    """Print all."""
    for interface in libmctx.interfaces():
        print(f"{interface.index} {interface.name}, MTU {interface.mtu}")
        for address in interface.addresses:
            print(f"    {address}")
    for family in (4, 6):
        try:
            print(f"default of IPv{family}: {libmctx.default_interface(family).name}")
        except LookupError as error:
            print(f"default of IPv{family}: none ({error})")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send one datagram to a group: publish.py GROUP PORT TEXT [INTERFACE]."""

from __future__ import annotations

import sys

import libmctx


def main() -> int:
    """Do what the command line says."""
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    group, port, text, *interface = sys.argv[1:]
    with libmctx.Context() as context:
        try:
            publication = context.add_publication(
                group, int(port), interface=interface[0] if interface else None
            )
            report = publication.send(text.encode())
        except (libmctx.MctxError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{report.bytes_sent} bytes from {report.source_addr} to {report.destination_addr}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

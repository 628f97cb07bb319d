#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Publish a counter from asyncio, in batches: ticker.py GROUP PORT ROUNDS."""

from __future__ import annotations

import asyncio
import sys

import libmctx


async def tick(group: str, port: int, rounds: int) -> int:
    """Send ten numbers a round; return how many datagrams the system accepted."""
    accepted = 0
    with libmctx.Context() as context:
        publication = libmctx.AsyncPublication(context.add_publication(group, port))
        for number in range(rounds):
            payloads = [f"{number}.{part}".encode() for part in range(10)]
            accepted += await publication.send_many(payloads)
            await asyncio.sleep(0.01)
    return accepted


def main() -> int:
    """Do what the command line says."""
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    group, port, rounds = sys.argv[1:]
    try:
        print(f"{asyncio.run(tick(group, int(port), int(rounds)))} datagrams")
    except (libmctx.MctxError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

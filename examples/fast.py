#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send many numbered datagrams as fast as it goes, and receive them here: fast.py GROUP PORT COUNT [INTERFACE].

Both ways without an object for a datagram: one buffer is cut into datagrams of one size, and what comes is read
as columns. What the receiver is too slow for is lost, and counted.
"""

from __future__ import annotations

import sys
import threading
import time

import libmctx

SIZE = 1000
AT_ONCE = 512
QUIET = 0.5
"""Seconds without a datagram after which no more come."""


def send(publication: libmctx.Publication, count: int) -> None:
    """Send datagrams that begin with their number."""
    buffer = bytearray(AT_ONCE * SIZE)
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        for position, number in enumerate(numbers):
            start = position * SIZE
            buffer[start : start + 8] = number.to_bytes(8, "big")
        publication.send_segments(memoryview(buffer)[: len(numbers) * SIZE], SIZE, timeout=None)


def receive(subscription: libmctx.Subscription, count: int) -> tuple[int, int, float]:
    """Receive until the last one is there, or none comes; return how many, their bytes, and the seconds."""
    received = size = 0
    start = end = time.perf_counter()
    try:
        while received < count:
            with subscription.recv_columns(4096, timeout=QUIET) as columns:
                received += len(columns)
                size += sum(columns.lengths)
                end = time.perf_counter()
    except TimeoutError:
        pass
    return received, size, end - start


def main() -> int:
    """Do what the command line says."""
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    group, port, number, *more = sys.argv[1:]
    interface = more[0] if more else None
    with libmctx.Context() as context:
        try:
            count = int(number)
            subscription = context.add_subscription(int(port), group, interfaces=interface)
            publication = context.add_publication(group, int(port), interface=interface)
        except (libmctx.MctxError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        sender = threading.Thread(target=send, args=(publication, count))
        sender.start()
        received, size, seconds = receive(subscription, count)
        sender.join()
        sent, counted = publication.metrics(), subscription.metrics()
        print(f"{sent.packets_sent} sent in {sent.superpackets_sent} superpackets")
        print(f"{received} received, {size} bytes, in {counted.messages_received} messages")
        rate = received / max(seconds, 1e-9)
        print(f"the kernel dropped {counted.kernel_drops} messages; {rate:,.0f} datagrams a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send datagrams through a publication to an ordinary socket of this host, and count what arrived.

Called as demo.py 4|6 COUNT. Prints one line, separated by tabs: sent, received in order, seconds, where from,
where to. Ends with 77 and a reason where this host cannot do that IP version. A batch is received before the
next one is sent, so no receive buffer overflows: whatever is missing was lost.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

import libmctx

BATCH = 32
SIZE = 1000
CANNOT = 77
GROUPS = {4: "239.255.77.67", 6: "ff11::4d43"}
SOURCES = {4: "127.0.0.1", 6: "::1"}
"""Loopback's addresses, which would not be chosen by themselves."""


def loopback() -> libmctx.Interface:
    """Return the loopback interface."""
    return next(interface for interface in libmctx.interfaces() if interface.is_loopback)


def open_receiver(family: int, index: int) -> socket.socket:
    """Return an ordinary socket that joined the group, at a port that the system chose."""
    receiver = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    receiver.settimeout(2.0)
    group = socket.inet_pton(receiver.family, GROUPS[family])
    receiver.bind(("", 0))
    if family == 4:
        member = group + socket.inet_aton("127.0.0.1")
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    else:
        member = group + struct.pack("@I", index)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    return receiver


def receive(receiver: socket.socket, payloads: list[bytes]) -> int:
    """Return how many of these payloads arrived, in this order."""
    right = 0
    try:
        for payload in payloads:
            right += receiver.recv(SIZE + 1) == payload
    except TimeoutError:
        pass
    return right


def exchange(publication: libmctx.Publication, receiver: socket.socket, count: int) -> tuple[int, int]:
    """Send and receive in turns; return how many were sent and how many received."""
    padding = bytes(SIZE - 8)
    sent = received = 0
    while sent < count:
        payloads = [struct.pack("@Q", number) + padding for number in range(sent, min(sent + BATCH, count))]
        accepted = publication.send_many(payloads, timeout=2.0)
        received += receive(receiver, payloads[:accepted])
        sent += accepted
    return sent, received


def main() -> int:
    """Do it for one family; print the line."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("4", "6"):
        print("usage: demo.py 4|6 COUNT; `make demo` runs it", file=sys.stderr)
        return 2
    family, count = int(sys.argv[1]), int(sys.argv[2])
    index = loopback().index
    try:
        receiver = open_receiver(family, index)
        context = libmctx.Context()
        port = receiver.getsockname()[1]
        publication = context.add_publication(
            GROUPS[family], port, source=SOURCES[family], interface_index=index
        )
        publication.send_many([])
    except OSError as error:
        print(error)
        return CANNOT
    with receiver, context:
        start = time.perf_counter()
        try:
            sent, received = exchange(publication, receiver, count)
        except libmctx.NetworkError as error:
            print(error.message)
            return CANNOT
        seconds = time.perf_counter() - start
        source, group, _ = publication.announce_tuple()
        source, group = (f"[{address}]" if family == 6 else address for address in (source, group))
        source_port = publication.local_addr()[1]
        print(f"{sent}\t{received}\t{seconds:.6f}\t{source}:{source_port}\t{group}:{port}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

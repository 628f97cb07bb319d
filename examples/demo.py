#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Multicast from a publication to a subscription of this host, on the loopback interface, and what came of it.

Called as demo.py single|batch|burst|ssm|show 4|6 COUNT:

single  each datagram is received before the next is sent
batch   as many at once as the receive buffer holds, received before the next are sent: whatever is missing was
        lost
burst   all are sent before one is received, into a small buffer: the kernel has to drop some, and counts them
ssm     from two sources, of which the membership includes one
show    what is known of each datagram

Prints lines of fields separated by tabs, of which scripts/demo.py makes tables. Ends with 77 and a reason where
this host cannot do that IP version.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable

import libmctx

SIZE = 1000
BATCH = 64
IN_QUEUE = 4 * SIZE
"""Bytes of receive buffer that a datagram takes at most, as the system counts."""
SMALL = 65536
PATIENCE = 2.0
CANNOT = 77
GROUPS = {4: "239.255.77.67", 6: "ff11::4d43"}
SOURCES = {4: "127.0.0.1", 6: "::1"}
"""Loopback's addresses, which would not be chosen by themselves."""
PADDING = bytes(SIZE - 8)
OF_THE_HOST = (
    libmctx.NetworkError,
    libmctx.UnsupportedError,
    libmctx.NotFoundError,
    libmctx.PermissionDeniedError,
)
"""Failures that come of what this host is."""


class Demo:
    """A publication, a subscription, and what went from one to the other."""

    def __init__(self, context: libmctx.Context, family: int, count: int) -> None:
        """Prepare to send ``count`` datagrams."""
        self.context = context
        self.family = family
        self.count = count
        self.loopback = next(each for each in libmctx.interfaces() if each.is_loopback)
        self.sent = 0
        self.received = 0
        self.next = 0
        """Number of the datagram that comes next if none is lost."""

    # ---- opening ----

    def subscribe(self, group: str, source: str | None = None, receive_buffer: int = 4 << 20) -> None:
        """Join on the loopback interface; the system chooses the port. With a source, from that alone.

        Into a small buffer without coalescing: so the kernel counts the datagrams that it drops, not
        superpackets.
        """
        self.subscription = self.context.add_subscription(
            0,
            group,
            interfaces=self.loopback,
            sources=source,
            receive_buffer=receive_buffer,
            coalescing=receive_buffer > SMALL,
        )

    def publish(self, group: str, source: str, ttl: int = 1, dscp: int = 0) -> libmctx.Publication:
        """Open a publication to the subscription's port."""
        return self.context.add_publication(
            group,
            self.subscription.port,
            source=source,
            interface=self.loopback,
            ttl=ttl,
            dscp=dscp,
        )

    def open_both(self, receive_buffer: int = 4 << 20) -> None:
        """Open a subscription and its publication."""
        self.subscribe(GROUPS[self.family], receive_buffer=receive_buffer)
        self.publication = self.publish(GROUPS[self.family], SOURCES[self.family])

    # ---- counting ----

    def check(self, payload: bytes | memoryview) -> None:
        """Count a datagram, unless it comes twice or late: they are numbered."""
        number = struct.unpack_from("@Q", payload)[0] if len(payload) == SIZE else -1
        if self.next <= number < self.sent:
            self.received += 1
            self.next = number + 1

    def report(self, seconds: float) -> None:
        """Print what came of it."""
        source = self.publication.info().sender
        group = self.publication.info().group
        reasons = [
            f"{name}={value}"
            for name, value in self.subscription.metrics().items()
            if value and (name == "kernel_drops" or name.startswith("discarded_"))
        ]
        fields = (
            *(self.sent, self.received, f"{seconds:.6f}"),
            *(text(source, self.family), text(group, self.family)),
            self.subscription.receive_buffer,
            " ".join(reasons),
        )
        print(*fields, sep="\t")

    # ---- one by one ----

    def run_single(self) -> None:
        """Send one and receive it, again and again."""
        self.open_both()
        start = time.perf_counter()
        while self.sent < self.count:
            self.publication.send(struct.pack("@Q", self.sent) + PADDING)
            self.sent += 1
            try:
                self.check(self.subscription.recv(PATIENCE).payload)
            except TimeoutError:
                continue
        self.report(time.perf_counter() - start)

    # ---- many at once ----

    def send_some(self, count: int) -> None:
        """Send so many."""
        numbers = range(self.sent, self.sent + count)
        payloads = [struct.pack("@Q", number) + PADDING for number in numbers]
        self.sent += self.publication.send_many(payloads, timeout=PATIENCE)

    def receive_rest(self, patience: float = PATIENCE) -> None:
        """Receive until all have come that were sent, or none comes any more."""
        try:
            while self.next < self.sent:
                for payload in self.subscription.recv_payloads(timeout=patience):
                    self.check(payload)
        except TimeoutError:
            self.next = self.sent

    def run_batch(self) -> None:
        """Send and receive in turns, as many at once as the receive buffer holds."""
        self.open_both()
        fitting = min(BATCH, max(1, self.subscription.receive_buffer // IN_QUEUE))
        start = time.perf_counter()
        while self.sent < self.count:
            self.send_some(min(fitting, self.count - self.sent))
            self.receive_rest()
        self.report(time.perf_counter() - start)

    def run_burst(self) -> None:
        """Send all, then receive what is left of it."""
        self.open_both(SMALL)
        start = time.perf_counter()
        while self.sent + 1 < self.count:
            self.send_some(min(BATCH, self.count - 1 - self.sent))
        self.receive_rest(PATIENCE / 10)
        self.send_some(1)  # the kernel tells what it dropped with the next datagram
        self.receive_rest()
        self.report(time.perf_counter() - start)

    # ---- a source-specific group ----

    def run_ssm(self) -> None:
        """Send from two sources to a membership that includes the first."""
        group, sources = "232.77.67.1", ("127.0.0.1", "127.0.0.2")
        self.subscribe(group, sources[0])
        included, other = (self.publish(group, source) for source in sources)
        received = dict.fromkeys(sources, 0)
        while self.sent < self.count:
            other.send(b"not included")
            included.send(b"included")  # last: whatever the other sent is there before
            self.sent += 1
            payload: bytes | memoryview = b""
            while payload != b"included":
                datagram = self.subscription.recv(PATIENCE)
                received[datagram.source_addr or ""] += 1
                payload = datagram.payload
        for source in sources:
            print(group, source, self.sent, received[source], sep="\t")

    # ---- what is known of a datagram ----

    def run_show(self) -> None:
        """Print what is known of two datagrams."""
        self.subscribe(GROUPS[self.family])
        for payload, ttl, dscp in (b"plain", 1, 0), (b"expedited", 8, 46):
            self.publish(GROUPS[self.family], SOURCES[self.family], ttl, dscp).send(payload)
            self.sent += 1
            datagram = self.subscription.recv(PATIENCE)
            clock, fraction = divmod(datagram.time_ns or 0, 1_000_000_000)
            fields = (
                bytes(datagram).decode(),
                text(datagram.source_endpoint, self.family),
                text(datagram.group_endpoint, self.family),
                f"{datagram.interface_name} ({datagram.interface})",
                *(datagram.hop_limit, datagram.dscp, datagram.ecn),
                f"{time.strftime('%H:%M:%S', time.gmtime(clock))}.{fraction:09}",
                datagram.drops,
            )
            print(*fields, sep="\t")


def text(endpoint: libmctx.Endpoint | None, family: int) -> str:
    """Write an address and port as the C library does."""
    if endpoint is None:
        return "?"
    scope = f"%{endpoint.scope_id}" if endpoint.scope_id else ""
    return f"[{endpoint.addr}{scope}]:{endpoint.port}" if family == 6 else f"{endpoint.addr}:{endpoint.port}"


TASKS: dict[str, Callable[[Demo], None]] = {
    "single": Demo.run_single,
    "batch": Demo.run_batch,
    "burst": Demo.run_burst,
    "ssm": Demo.run_ssm,
    "show": Demo.run_show,
}


def main() -> int:
    """Do it for one family; print the lines."""
    if len(sys.argv) != 4 or sys.argv[1] not in TASKS or sys.argv[2] not in ("4", "6"):
        print(f"usage: demo.py {'|'.join(TASKS)} 4|6 COUNT; `make demo` runs it", file=sys.stderr)
        return 2
    with libmctx.Context() as context:
        demo = Demo(context, int(sys.argv[2]), int(sys.argv[3]))
        try:
            TASKS[sys.argv[1]](demo)
        except libmctx.MctxError as error:
            print(f"{error.message} ({error.name})")
            return CANNOT if demo.sent == 0 and isinstance(error, OF_THE_HOST) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

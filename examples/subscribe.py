#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print what is sent to a group: subscribe.py GROUP PORT [INTERFACE|any [SOURCE]].

With a source, from that alone. Ctrl-C ends it.
"""

from __future__ import annotations

import sys

import libmctx


def print_all(subscription: libmctx.Subscription) -> None:
    """Print every datagram, and what happens to the subscription, until Ctrl-C."""
    while True:
        batch = subscription.recv_many()
        for datagram in batch:
            where = f"{datagram.group} on {datagram.interface_name}"
            print(f"{datagram.source} -> {where}: {datagram.payload!r}", flush=True)
        if batch.has_events:
            for event in subscription.events():
                print(event.type, event.interface_index, event.value, file=sys.stderr)


def main() -> int:
    """Do what the command line says."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    group, port, *more = sys.argv[1:]
    interface = more[0] if more and more[0] != "any" else None
    with libmctx.Context() as context:
        try:
            membership = libmctx.Membership(group, interface, sources=more[1:] or None)
            subscription = context.add_subscription(int(port), membership)
        except (libmctx.MctxError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        try:
            print_all(subscription)
        except KeyboardInterrupt:
            counted = subscription.metrics()
            dropped = f"the kernel dropped {counted.kernel_drops} messages"
            print(f"{counted.packets_received} datagrams received; {dropped}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

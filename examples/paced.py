#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Send a stream at a constant rate: paced.py GROUP PORT MBIT_PER_SECOND SECONDS [INTERFACE].

As MPEG transport streams are sent: 7 packets of 188 bytes in a datagram. The library holds the publication to
the rate (or the kernel, where it does), and the batches wait.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator

import libmctx

SIZE = 7 * 188
AT_ONCE = 32


def datagrams() -> Iterator[bytes]:
    """Make a stream, for ever."""
    padding = bytes(SIZE - 8)
    for number in itertools.count():
        yield number.to_bytes(8, "big") + padding


def stream(publication: libmctx.Publication, seconds: float) -> float:
    """Send for so long; return the bits a second that went."""
    source = datagrams()
    start = time.monotonic()
    sent = 0
    while time.monotonic() < start + seconds:
        sent += publication.send_many(itertools.islice(source, AT_ONCE), timeout=None)
    return sent * SIZE * 8 / (time.monotonic() - start)


def main() -> int:
    """Do what the command line says."""
    if len(sys.argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    group, port, rate, seconds, *interface = sys.argv[1:]
    with libmctx.Context() as context:
        try:
            publication = context.add_publication(
                group,
                int(port),
                interface=interface[0] if interface else None,
                pacing_rate=int(float(rate) * 1e6),
            )
            info = publication.info()
            print(f"{info.pacing_rate} bits a second, {info.pacing_burst} at once, by the {info.pacing_by}")
            reached = stream(publication, float(seconds))
        except (libmctx.MctxError, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0
        print(f"{reached / 1e6:.1f} Mbit/s went")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The sizes of the datagrams that are sent."""

from __future__ import annotations

import random
from functools import lru_cache

FIXED = (64, 200, 1200, 1472)
MIXED = "mixed"
COUNT, SEED = 1024, 3376
QUOTES = (62, 94, 126)
FULL = 1400


@lru_cache
def mixed() -> tuple[int, ...]:
    """Return the payloads of a market-data feed, the same ones each time.

    Half of what the feed has to say are quotes and trades of three fixed lengths, in runs of one to eight as a
    book moves; a third are single updates of 80 to 600 bytes, small ones more often than large; the rest are
    snapshots, which fill two to twelve datagrams and a part of one more. So about one datagram in eight goes
    alone, and the others in runs.
    """
    chance = random.Random(SEED).random  # the only method that is the same in every version of Python
    sizes: list[int] = []
    while len(sizes) < COUNT:
        kind = chance()
        if kind < 0.50:
            sizes += [QUOTES[int(chance() * len(QUOTES))]] * (1 + int(chance() * 8))
        elif kind < 0.85:
            sizes.append(80 + int(520 * chance() ** 3))
        else:
            sizes += [FULL] * (2 + int(chance() * 11)) + [40 + int(chance() * (FULL - 40))]
    return tuple(sizes[:COUNT])


def sizes_of(label: str | int) -> tuple[int, ...]:
    """Return the sizes that repeat: the one given, or those of the mix."""
    return mixed() if label == MIXED else (int(label),)

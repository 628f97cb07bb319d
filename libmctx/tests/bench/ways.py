# SPDX-License-Identifier: MIT
"""What is measured, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Way:
    """One way to send or to receive from Python."""

    name: str
    run: Callable[[], int]
    """One turn; returns how many datagrams it sent or received."""
    prepare: Callable[[], None] | None = None
    """Called before each run and not measured: fills what it drains."""
    against: Mapping[str, float | None] = field(default_factory=dict)
    """The ways it is compared with, and the least multiple of their speed that it should have."""

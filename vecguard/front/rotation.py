"""What a rotation of data keys asks of a front: a pass that brings the records of a collection to its current keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from vecguard.shield import Shield
from vecguard.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Moved:
    """One step of a pass: how many records were looked at, and how many of them had parts under older keys.

    `unreadable` are the ids of those that do not open, so that they could not be protected anew.
    """

    looked: int
    stale: int
    unreadable: tuple[str, ...] = ()


Reprotect = Callable[[Upstream, str, Shield], AsyncIterator[Moved]]
"""`(upstream, collection, shield)`: look at every record, protect anew what lies under other than the current keys.

A record is written only where it still is what was read; one that changed meanwhile is left to the next pass.
"""


RequireRotatable = Callable[[Shield], None]
"""Refuses a collection whose records cannot be written again in place, before anything is changed. Raises Refused."""


def always_rotatable(shield: Shield) -> None:
    """A database in which every record can be written again under its own id."""
    del shield

"""Token buckets in the store: exact over all processes that share it, by the store's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vecguard.state.connection import Argument, Connection
from vecguard.state.scripts import DRAW
from vecguard.state.sealing import StateKey

DEBT: Final = -1e300
"""The least level of a draw that may leave a bucket in debt."""


@dataclass(frozen=True, slots=True)
class Draw:
    """`amount` tokens from the bucket that `place` names, if it holds `least`; it fills at `rate` a second."""

    place: tuple[str, ...]
    rate: float
    capacity: float
    amount: float
    least: float


async def draw(connection: Connection, draws: Sequence[Draw]) -> list[float]:
    """Draw on all buckets or on none: seconds until each could be, all 0.0 where they were.

    Raises:
        Unavailable: the store cannot be reached.
    """
    if not draws:
        return []

    def ask(key: StateKey) -> tuple[list[str], list[Argument]]:
        names = [key.name("bucket", *each.place) for each in draws]
        return [f"b:{name}" for name in names], [
            repr(float(number)) for each in draws for number in (each.rate, each.capacity, each.amount, each.least)
        ]

    return [float(wait) for wait in await connection.run(DRAW, ask)]

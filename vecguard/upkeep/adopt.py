"""Taking the records of a collection that are there as the newest: at first, and after what was remembered is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from vecguard.errors import FailedPrecondition
from vecguard.fresh.guard import Guard
from vecguard.upkeep.access import CALLER, Database

SETTLE_S: Final = 5.0
"""How long after the collection was closed its records are read: for writes that had begun before."""


async def adopt(database: Database, name: str, settle_s: float = SETTLE_S) -> AsyncIterator[tuple[int, int]]:
    """Take what is there; how many records were taken so far, and of how many there seem to be.

    Calls on the collection are refused from the beginning to the end; if this is cut off, until it was done again.

    Raises:
        FailedPrecondition: it lies in clear, or what is newest cannot be told of it, or there is nothing to remember
            that in.
        UpstreamFailure, Unreadable, Unavailable: see `Database.shield`.
    """
    take = database.front.adopt
    if database.memory is None or take is None:
        raise FailedPrecondition(
            "what is newest is remembered of a Qdrant database's collections, in the `state` or the `rollback_memory` "
            "of the settings: give those of `vecguard serve` (--config)"
        )
    real = await database.front.real_name(database.upstream, name, CALLER)
    shield = await database.shield(real)
    if shield is None:
        raise FailedPrecondition(f"collection `{name}` lies in clear: there is nothing to tell an older record by")
    adoption = await Guard(database.memory, shield.manifest.uuid.bytes, real).adopt()
    await asyncio.sleep(settle_s)
    taken, total = 0, await database.front.count(database.upstream, real)
    async for more in take(database.upstream, real, shield, adoption):
        taken += more
        yield taken, max(total, taken)
    await adoption.end()
    yield taken, max(total, taken)

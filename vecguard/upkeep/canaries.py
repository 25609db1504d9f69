"""Planted records of a collection, as an operator sees them: planted, looked at, taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecguard.config import Settings
from vecguard.errors import FailedPrecondition
from vecguard.shield import Shield
from vecguard.upkeep.access import CALLER, Database
from vecguard.wiring import open_policy

if TYPE_CHECKING:  # fronts are loaded by the registry
    from vecguard.front.base import Planting


async def plant(database: Database, settings: Settings, name: str) -> tuple[int, int]:
    """Plant as many records as the settings' policy says; how many are new, and how many there are to be.

    Raises:
        ConfigError: the policy cannot be read.
        FailedPrecondition: the policy has none for it, or nothing can be planted in the collection; says why.
        UpstreamFailure, Unreadable, Unavailable: see `Database.shield`.
    """
    planting, shield, real = await _opened(database, name)
    entry = open_policy(settings).current.collection(shield.manifest.collection)
    count = 0 if entry is None else entry.detection.canaries
    if not count:
        raise FailedPrecondition(
            f"the policy has no canaries for collection `{name}`: say `detection: {{canaries: 64}}` in its entry, and "
            "have `vecguard serve` take it, before they are planted"
        )
    return await planting.plant(database.upstream, real, shield, count), count


async def found(database: Database, name: str) -> list[tuple[str, tuple[str, ...]]]:
    """The planted records that are there, by id, and the parts of each that do not open.

    Raises:
        FailedPrecondition: nothing can be planted in the collection.
        UpstreamFailure, Unreadable, Unavailable: see `Database.shield`.
    """
    planting, shield, real = await _opened(database, name)
    return await planting.found(database.upstream, real, shield)


async def remove(database: Database, name: str) -> int:
    """Take all planted records away; how many these were.

    Raises:
        FailedPrecondition: nothing can be planted in the collection.
        UpstreamFailure, Unreadable, Unavailable: see `Database.shield`.
    """
    planting, shield, real = await _opened(database, name)
    return await planting.remove(database.upstream, real, shield)


async def _opened(database: Database, name: str) -> tuple[Planting, Shield, str]:
    planting = database.front.planting
    if planting is None:
        raise FailedPrecondition(f"no records can be planted in collections of {database.front.name}")
    shield = await database.shield(name, knowing=True)
    if shield is None:
        raise FailedPrecondition(f"collection `{name}` lies in clear: nothing can be hidden in it")
    return planting, shield, await database.front.real_name(database.upstream, name, CALLER)

"""One sweep of a database by an operator's command."""

from __future__ import annotations

from functools import partial

from vecguard.catalog import Catalog
from vecguard.config import FrontName, Settings
from vecguard.generation import Generation
from vecguard.sweep import Sweeper, Swept, Tell
from vecguard.upkeep.access import open_database
from vecguard.wiring import open_policy


async def sweep(settings: Settings, front: FrontName | None, tell: Tell, *, dry_run: bool) -> list[Swept]:
    """Delete what is too old in all collections, or with `dry_run` count it.

    Raises:
        ConfigError: the settings or the policy cannot be used.
        UpstreamFailure, Unavailable: the database or the key provider cannot be reached.
    """
    rules = open_policy(settings).current
    async with open_database(settings, front) as database:
        known, upstream = database.front, database.upstream
        read, real_name = partial(known.read_manifest, upstream), partial(known.real_name, upstream)
        catalog = Catalog(
            read, real_name, database.provider, lambda: rules, Generation(None, 1, 0), memory=database.memory
        )
        sweeper = Sweeper(partial(known.names, upstream), partial(known.sweep, upstream), catalog, lambda: rules, tell)
        return await sweeper.once(dry_run=dry_run)

"""`vecguard canaries`: records that are planted in a collection, so that who takes it away meets them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vecguard.cli.upstream import ConfigOption, DatabaseOption, KeyOption, PolicyOption, UpstreamOption, settings_of
from vecguard.config import FrontName, Settings
from vecguard.errors import VecGuardError

if TYPE_CHECKING:
    from vecguard.upkeep.access import Database

T = TypeVar("T")
Collection = Annotated[str, typer.Argument(metavar="COLLECTION", help="Name or alias.")]

canaries_app = typer.Typer(
    help="Records planted in a collection, which no answer holds: who meets many of them takes it away.",
    no_args_is_help=True,
)


@canaries_app.command("plant")
def plant_command(
    collection: Collection,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    policy: PolicyOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Plant as many records as `detection.canaries` of the policy says, made to look like the collection's own.

    Those that are there stay. The policy with `canaries` must be in force in every `vecguard serve` before.
    """
    from vecguard.upkeep.canaries import plant

    load = partial(settings_of, config, upstream, key, policy)
    fresh, count = _done("plant", load, database, lambda at, settings: plant(at, settings, collection))
    typer.echo(f"{fresh} records planted in `{collection}`, which has {count} of them now")


@canaries_app.command("list")
def list_command(
    collection: Collection,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell the ids of the planted records that are there, and which of them do not open. Keep the list to yourself."""
    from vecguard.upkeep.canaries import found

    load = partial(settings_of, config, upstream, key)
    for one, faults in _done("list", load, database, lambda at, _: found(at, collection)):
        typer.echo(f"{one}  does not open: {', '.join(faults)}" if faults else one)


@canaries_app.command("remove")
def remove_command(
    collection: Collection,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Take all planted records away."""
    from vecguard.upkeep.canaries import remove

    load = partial(settings_of, config, upstream, key)
    gone = _done("remove", load, database, lambda at, _: remove(at, collection))
    typer.echo(f"{gone} planted records removed from `{collection}`")


def _done(
    what: str, load: Callable[[], Settings], front: FrontName | None, do: Callable[[Database, Settings], Awaitable[T]]
) -> T:
    """What `do` gives, with the database and the settings; a failure is said and ends the command."""

    async def run() -> T:
        from vecguard.upkeep.access import open_database

        settings = load()
        async with open_database(settings, front) as database:
            return await do(database, settings)

    try:
        return asyncio.run(run())
    except VecGuardError as failure:
        typer.echo(f"vecguard canaries {what}: {failure}", err=True)
        raise typer.Exit(1) from None

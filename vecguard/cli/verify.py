"""`vecguard verify`: does every record of a collection still open, and what changed since the last look?"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Final

import typer

from vecguard.cli.upstream import ConfigOption, DatabaseOption, KeyOption, UpstreamOption, settings_of
from vecguard.config import FrontName, Settings
from vecguard.errors import VecGuardError

ALARM: Final = 2
"""Exit status when records do not open, or a ledger tells of what should not be."""
_SHOWN: Final = 20


def verify(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name or alias; Milvus: also DATABASE/NAME.")],
    ledger: Annotated[
        Path | None,
        typer.Option(help="File that keeps what this look found, to be compared with the next. Keep it elsewhere."),
    ] = None,
    unchanged: Annotated[
        bool, typer.Option("--unchanged", help="Nothing was to be written since: any change is an alarm.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="For `rollback: detect`: take what is there as the newest, at first or after what was remembered is "
            "lost. Needs --config.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Open every vector and field of every record. Exit status 2 when some do not open, 1 when it could not be done.

    Works beside a running `vecguard serve` (of the same user, where the database is embedded), and changes nothing.
    """
    if unchanged and ledger is None:
        typer.echo("vecguard verify: --unchanged needs --ledger, which says since when", err=True)
        raise typer.Exit(1)
    try:
        settings = settings_of(config, upstream, key)
        if adopt:
            asyncio.run(_adopted(settings, database, collection))
            return
        alarm = asyncio.run(_verified(settings, database, collection, ledger, unchanged=unchanged, as_json=as_json))
    except VecGuardError as failure:
        typer.echo(f"vecguard verify: {failure}", err=True)
        raise typer.Exit(1) from None
    if alarm:
        raise typer.Exit(ALARM)


async def _adopted(settings: Settings, front: FrontName | None, collection: str) -> None:
    from vecguard.cli.progress import bar
    from vecguard.upkeep.access import open_database
    from vecguard.upkeep.adopt import adopt as take
    from vecguard.upkeep.told import operator_trail

    taken = total = 0
    async with open_database(settings, front) as database:
        with operator_trail(settings, database.provider) as told, bar(f"adopting {collection}") as advance:
            async for taken, total in take(database, collection):
                advance(taken, total)
            told("adopted", collection=collection, records=taken, left=total - taken)
    left = f"; {total - taken} do not open, and were not taken" if total > taken else ""
    typer.echo(f"{taken} records of `{collection}` are the newest from now on{left}")


async def _verified(
    settings: Settings,
    front: FrontName | None,
    collection: str,
    ledger: Path | None,
    *,
    unchanged: bool,
    as_json: bool,
) -> bool:
    from vecguard.cli.progress import bar
    from vecguard.upkeep.access import open_database
    from vecguard.upkeep.verify import verify as look

    async with open_database(settings, front) as database:
        with bar(f"verifying {collection}") as advance:
            found = await look(database, collection, ledger, advance)
    alarm = found.alarming(unchanged=unchanged)
    if as_json:
        typer.echo(json.dumps({**found.as_json(), "alarm": alarm}, indent=2))
        return alarm
    planted = f" ({found.canaries} of them planted)" if found.canaries else ""
    typer.echo(f"{found.records} records{planted} in {found.seconds:.1f} s: {len(found.bad)} do not open")
    for fault, number in found.faults.most_common():
        typer.echo(f"  {fault}: {number}")
    if found.missing:
        typer.echo(f"{found.missing} more are remembered than are there: deleted behind VecGuard, or during this look")
    _list("do not open", [f"{key} ({', '.join(faults)})" for key, faults in found.bad.items()])
    if found.changes is not None and ledger is not None:
        since = f"since {found.since}" if found.since else "first look"
        kept = "kept" if not found.bad else "NOT kept, as records do not open"
        counts = ", ".join(f"{len(keys)} {what}" for what, keys in vars(found.changes).items())
        typer.echo(f"ledger {ledger} ({since}, {kept}): {counts}")
        for what, keys in vars(found.changes).items():
            if what == "returned" or unchanged:
                _list(what, keys)
    return alarm


def _list(what: str, keys: list[str]) -> None:
    """The first of some ids, one a line."""
    if keys:
        typer.echo(f"{what}:")
    for key in keys[:_SHOWN]:
        typer.echo(f"  {key}")
    if len(keys) > _SHOWN:
        typer.echo(f"  … and {len(keys) - _SHOWN} more (--json has all)")

"""`vecguard retention`: delete records that are too old to be kept, or count them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from vecguard.cli.upstream import ConfigOption, DatabaseOption, KeyOption, PolicyOption, UpstreamOption, settings_of
from vecguard.errors import VecGuardError

retention_app = typer.Typer(help="Delete records that are too old to be kept.", no_args_is_help=True)


@retention_app.callback()
def _group() -> None:
    """Keeps `sweep` a command of its own."""


@retention_app.command("sweep")
def sweep_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, and delete nothing.")] = False,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    policy: PolicyOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Delete what is too old, in every collection whose policy entry has a `retention`. `serve` does so by itself."""
    from vecguard.trail import Trail
    from vecguard.upkeep.retention import sweep

    try:
        settings = settings_of(config, upstream, key, policy)
        swept = asyncio.run(sweep(settings, database, Trail(), dry_run=dry_run))
    except VecGuardError as failure:
        typer.echo(f"vecguard retention sweep: {failure}", err=True)
        raise typer.Exit(1) from None
    if not swept:
        typer.echo("no collection has a retention")
    for one in swept:
        done = "could not be swept: " + one.failure if one.failure else f"{one.expired} records"
        typer.echo(f"{one.collection} (after {one.after}): {done}{' would be deleted' if dry_run else ''}")
    if any(one.failure for one in swept):
        raise typer.Exit(1)

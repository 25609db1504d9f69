"""`vecguard migrate`: a collection carried over to another protection, name or database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecguard.cli.upstream import ConfigOption, DatabaseOption, KeyOption, PolicyOption, UpstreamOption, settings_of
from vecguard.config import FrontName, Settings
from vecguard.errors import VecGuardError

if TYPE_CHECKING:
    from vecguard.upkeep.forecast import Forecast
    from vecguard.upkeep.migrate import Migration
    from vecguard.upkeep.plan import Order


def migrate(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name or alias; Milvus: also DATABASE/NAME.")],
    to: Annotated[str | None, typer.Option(help="Name of the new collection. [default: in place]")] = None,
    to_upstream: Annotated[
        str | None, typer.Option(help="Another database for the new collection, also of the other protocol.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of it, and write nothing.")] = False,
    confirm: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Words that are asked for where data would come to lie in clear.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="File with how far it came, to go on from. [default: COLLECTION.migration.json]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    policy: PolicyOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Make a new collection under the policy's rules, copy every record, compare both whole, and only then switch.

    The source is read as it was made, in clear or protected, whatever the policy says now. A run that was cut off goes
    on where it was when the command is given again. Stop the collection's writers before the comparison ends: records
    written after it are lost with the old collection.
    """
    from vecguard.upkeep.plan import Order

    file = state or Path(f"{collection.replace('/', '.')}.migration.json")
    order = Order(collection, to, file, confirm)
    try:
        settings = settings_of(config, upstream, key, policy)
        target = None if to_upstream is None else settings_of(config, [to_upstream], key, policy)
        report = asyncio.run(_run(order, settings, database, target, dry_run=dry_run))
    except VecGuardError as failure:
        typer.echo(f"vecguard migrate: {failure}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        json.dumps(report, indent=2) if as_json else "\n".join(f"{key}: {value}" for key, value in report.items())
    )


async def _run(
    order: Order, settings: Settings, front: FrontName | None, target: Settings | None, *, dry_run: bool
) -> dict[str, Any]:
    from vecguard.cli.progress import stages
    from vecguard.upkeep.forecast import forecast
    from vecguard.upkeep.migrate import Migration
    from vecguard.upkeep.plan import planned

    async with planned(order, settings, front, target) as plan:
        if dry_run:
            return _foretold(order, await forecast(plan.source, plan.target, plan.policy))
        with stages() as advance:
            migration = Migration(plan.source, plan.target, plan.policy, order.state, plan.journal, advance)
            await migration.run()
        return _done(migration, order)


def _foretold(order: Order, found: Forecast) -> dict[str, Any]:
    growth = found.stored / found.clear if found.clear else 1.0
    report: dict[str, Any] = {
        "records": found.records,
        "bytes a record in clear": round(found.clear),
        "bytes a record as stored": round(found.stored),
        "growth": round(growth, 3),
        "bytes as stored, in all": round(found.stored * found.records),
    }
    for name, recall in found.recall.items():
        report[f"recall@10 of vector `{name}`"] = round(recall.at_10, 4)
        report[f"candidates of vector `{name}`"] = round(recall.candidates)
        report["sample"] = recall.records
    return {"collection": order.collection, "written": "nothing", **report}


def _done(migration: Migration, order: Order) -> dict[str, Any]:
    journal = migration.journal
    return {
        "collection": order.collection,
        "new collection": journal.target,
        "copied": journal.copied,
        "comparisons": journal.passes,
        "written again after a comparison": journal.repaired,
        "largest deviation of a vector": f"{migration.deviation:.1e}",
        "vectors that nobody can read back, not compared": ", ".join(migration.unread) or "none",
        "outcome": journal.outcome or f"`{journal.target}` holds what `{journal.source}` holds",
        "state file": f"{order.state} (delete it)",
    }

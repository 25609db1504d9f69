"""`vecguard replay`: what another policy would have done to recorded traffic, before it is put in force."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vecguard.errors import VecGuardError
from vecguard.policy.load import load

if TYPE_CHECKING:
    from vecguard.detect.replay import Outcome


def replay(
    log: Annotated[Path, typer.Argument(help="File of recorded observations (.vgo), or the folder `detection_log`.")],
    policy: Annotated[Path, typer.Option("--policy", help="The policy file that is tried.")],
    principal: Annotated[str, typer.Option(help="Only this one.")] = "",
    rung: Annotated[bool, typer.Option("--rung", help="Only who comes to a rung, or over a budget.")] = False,
    shown: Annotated[Literal["text", "json"], typer.Option("--format", help="text, or json: one a line.")] = "text",
) -> None:
    """Tell what a policy would have done to recorded traffic: who would have come to which rung, and what had left.

    `detection_log` in the settings records it. Calls that the policy would have refused count as not served; what
    clients would have done then is not known.
    """
    from vecguard.detect.log import read_log
    from vecguard.detect.replay import Replay

    try:
        rules = load(policy)
        observations = (one for one in read_log(log) if principal in ("", one.principal))
        outcomes = asyncio.run(Replay(rules).run(observations))
    except VecGuardError as failure:
        typer.echo(f"vecguard replay: {failure}", err=True)
        raise typer.Exit(1) from None
    if rung:
        outcomes = [one for one in outcomes if one.reached or one.over_budget]
    if shown == "json":
        for one in outcomes:
            typer.echo(json.dumps({**asdict(one), "rung": one.rung}, ensure_ascii=False))
        return
    _print(outcomes)


def _print(outcomes: list[Outcome]) -> None:
    table = Table(
        "principal", "collection", "calls", "risk", "would be", "rung", "first", "left by then", "why", box=None
    )
    for one in outcomes:
        head: list[Any] = [Text(one.principal), Text(one.collection), f"{one.calls:,}", f"{one.risk:.2f}", _fate(one)]
        if not one.reached:
            table.add_row(*head, "", "", f"{one.records:,} records, {one.vectors:,} vectors", "")
        for reached in one.reached:
            left = f"{reached.records:,} records, {reached.vectors:,} vectors"
            after = f"call {reached.calls:,}, {reached.after_s:,.0f} s"
            table.add_row(*head, reached.rung, after, left, Text("; ".join(reached.reasons[:2])))
            head = ["", "", "", "", ""]
    Console().print(table)
    held = sum(bool(one.reached) for one in outcomes)
    Console().print(f"{len(outcomes)} principals on a collection, {held} of them on a rung", highlight=False)


def _fate(outcome: Outcome) -> str:
    """How calls would have been answered, in a few words."""
    parts = [
        f"{number:,} {what}"
        for number, what in (
            (outcome.slowed, "slowed"),
            (outcome.degraded, "degraded"),
            (outcome.refused, "refused"),
            (outcome.too_large, "too large"),
        )
        if number
    ]
    parts += [f"{number:,} over {budget}" for budget, number in outcome.over_budget.items()]
    return (", ".join(parts) or "served") + ("" if outcome.mode == "enforce" else " (only observed)")

"""`vecguard principals`: who is at risk of extracting what, why, and how it came to be; and what to do about it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal, TypeAlias

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vecguard.cli.remote import Address, Ca, connected, time_of
from vecguard.config import DEFAULT_ADMIN
from vecguard.v1 import admin_pb2 as v1

_BARS: Final = "▁▂▃▄▅▆▇█"
_COLOURS: Final = {"alert": "yellow", "slow": "yellow", "degrade": "red", "block": "red"}

principals_app = typer.Typer(help="What detection remembers of principals, and what to do about it.")

Who: TypeAlias = Annotated[str, typer.Argument(metavar="PRINCIPAL", help="As the trail names it.")]
On: TypeAlias = Annotated[
    str, typer.Option("--collection", help="On this collection. [default: all on which something is remembered]")
]


@principals_app.callback(invoke_without_command=True)
def list_command(
    context: typer.Context,
    principal: Annotated[str, typer.Option(help="Only this one.")] = "",
    collection: Annotated[str, typer.Option(help="Only on this collection.")] = "",
    least: Annotated[float, typer.Option(help="Only from this risk on.")] = 0.0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    shown: Annotated[Literal["text", "json"], typer.Option("--format", help="text, or json: one a line.")] = "text",
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """List principals by risk, the highest first: the rung, why, and the course of the risk."""
    if context.invoked_subcommand is not None:
        return
    ask = v1.ListRisksRequest(principal=principal, collection=collection, least=least, limit=limit)
    with connected(address, ca) as remote:
        told = remote.call("ListRisks", ask, v1.ListRisksResponse)
    if shown == "json":
        for risk in told.risks:
            typer.echo(json.dumps(MessageToDict(risk, preserving_proto_field_name=True), ensure_ascii=False))
        return
    table = Table("principal", "collection", "risk", "trend", "rung", "why", box=None)
    for risk in told.risks:
        rung = Text(risk.rung, _COLOURS.get(risk.rung, ""))
        names = Text(risk.principal), Text(risk.collection)
        table.add_row(*names, f"{risk.risk:.2f}", trend_of(risk), rung, Text(_why(risk)))
    console = Console()
    console.print(table)
    if told.found > len(told.risks):
        console.print(f"{told.found - len(told.risks)} more")


def trend_of(risk: v1.Risk) -> str:
    """The latest points of a risk's course, as bars: the highest stands for its highest, or 1."""
    points = [point.risk for point in risk.trend][-12:]
    top = max([1.0, *points])
    return "".join(_BARS[min(int(point / top * len(_BARS)), len(_BARS) - 1)] for point in points)


def _why(risk: v1.Risk) -> str:
    lines = [f"{one.detector} {one.level:.2f}: {one.reason}" for one in risk.evidence if one.level > 0 and one.reason]
    if risk.HasField("pinned"):
        lines.insert(0, f"pinned at {risk.pinned:g}")
    if risk.HasField("blocked_until"):
        lines.insert(0, f"blocked until {time_of(risk.blocked_until)}")
    if risk.HasField("acknowledged_until"):
        lines.insert(0, f"acknowledged until {time_of(risk.acknowledged_until)}")
    return "\n".join(lines)


@principals_app.command("pardon")
def pardon_command(principal: Who, collection: On = "", address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """Forget a principal's risk and block, and what detectors remember of it."""
    _act("Pardon", v1.PardonRequest(principal=principal, collection=collection), "pardoned", address, ca)


@principals_app.command("ack")
def acknowledge_command(
    principal: Who,
    collection: On = "",
    hours: Annotated[float, typer.Option(min=0.01, max=87_600, help="For how long.")] = 24.0,
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """No more alerts on a principal for a time. Its calls are answered as before."""
    ask = v1.AcknowledgeRequest(principal=principal, collection=collection)
    ask.duration.FromSeconds(int(hours * 3_600))
    _act("Acknowledge", ask, "acknowledged", address, ca)


@principals_app.command("pin")
def pin_command(
    principal: Who,
    risk: Annotated[float, typer.Argument(min=0.0, max=1e6, help="0 trusts the principal.")],
    collection: On = "",
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Set a principal's risk for good, whatever is found."""
    _act("Pin", v1.PinRequest(principal=principal, collection=collection, risk=risk), "pinned", address, ca)


@principals_app.command("unpin")
def unpin_command(principal: Who, collection: On = "", address: Address = DEFAULT_ADMIN, ca: Ca = None) -> None:
    """Let a principal's risk be what is found again."""
    _act("Pin", v1.PinRequest(principal=principal, collection=collection), "not pinned any more", address, ca)


def _act(name: str, ask: Any, done: str, address: str, ca: Any) -> None:
    with connected(address, ca) as remote:
        told = remote.call(name, ask, v1.ActResponse)
    typer.echo(f"ok: {ask.principal} is {done} on {', '.join(told.collections)}")

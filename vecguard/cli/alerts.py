"""`vecguard alerts`: what an operator of a running server should know of, as it happens."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer
from google.protobuf.json_format import MessageToDict

from vecguard.cli.remote import Address, Ca, connected, time_of
from vecguard.config import DEFAULT_ADMIN
from vecguard.v1 import admin_pb2 as v1

alerts_app = typer.Typer(help="Alerts of a running server.", no_args_is_help=True)


@alerts_app.command("tail")
def tail_command(
    latest: Annotated[int, typer.Option(min=0, max=1000, help="Begin with so many of the latest.")] = 20,
    shown: Annotated[
        Literal["text", "json"], typer.Option("--format", help="text or json, one alert a line.")
    ] = "text",
    address: Address = DEFAULT_ADMIN,
    ca: Ca = None,
) -> None:
    """Print alerts as they come, one a line, until interrupted."""
    with connected(address, ca) as remote:
        for alert in remote.stream("WatchAlerts", v1.WatchAlertsRequest(latest=latest), v1.Alert):
            if shown == "json":
                typer.echo(json.dumps(MessageToDict(alert, preserving_proto_field_name=True), ensure_ascii=False))
            else:
                typer.echo(line_of(alert))


def line_of(alert: v1.Alert) -> str:
    """An alert in one line."""
    parts = [time_of(alert.time), f"worker {alert.worker}", v1.Alert.Kind.Name(alert.kind)]
    parts += [text for text in (alert.principal, alert.rpc, *alert.collections) if text]
    if alert.kind == v1.Alert.DETECTION:
        parts.append(f"{alert.rung} (risk {alert.risk:.2f}{'' if alert.enforced else ', only observed'})")
        parts += [f"blocked for {alert.blocked_s} s"] if alert.blocked_s else []
        parts += [f"- {reason}" for reason in alert.reasons]
    if alert.kind == v1.Alert.BUDGET_USED_UP:
        parts.append(alert.budget if alert.enforced else f"{alert.budget} (only observed)")
    parts += [alert.request_id] if alert.request_id else []
    parts += [f"({alert.suppressed} more were left out)"] if alert.suppressed else []
    return " ".join(parts)

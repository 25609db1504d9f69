"""`vecguard trail`: verify a trail that was written so that no change goes unnoticed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vecguard.config import load_settings
from vecguard.errors import VecGuardError
from vecguard.journal.verify import Report, Unwrap, checkpoints_of, missing, verify
from vecguard.keys.hidden import HiddenEnvironment
from vecguard.keys.provider import KeyProvider
from vecguard.registry import KEY_PROVIDERS

trail_app = typer.Typer(help="Verify the trail's files.", no_args_is_help=True)


@trail_app.callback()
def _commands() -> None:
    """Verify the trail's files."""


@trail_app.command("verify")
def verify_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of `trail_folder`.")],
    log: Annotated[
        list[Path] | None, typer.Option(help="The server's log: its checkpoints tell of an end that was cut off.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Key provider, as for `vecguard serve`.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML) whose `key` is used.")] = None,
) -> None:
    """Say of each file whether every line is as it was written; exit status 1 if not of all."""
    try:
        kind, _, location = load_settings(config, {"key": key}).key.partition(":")
        provider = KEY_PROVIDERS.load(kind)(location, HiddenEnvironment(os.environ))
        checkpoints = [place for file in log or () for place in checkpoints_of(file)]
        reports = verify(files, _unwrapping(provider), checkpoints)
    except VecGuardError as failure:
        typer.echo(f"vecguard trail verify: {failure}", err=True)
        raise typer.Exit(1) from None
    except OSError as fault:
        typer.echo(f"vecguard trail verify: {fault.filename}: {fault.strerror}", err=True)
        raise typer.Exit(1) from None
    _print(reports, checked_ends=bool(checkpoints))
    if any(report.faults for report in reports):
        raise typer.Exit(1)


def _unwrapping(provider: KeyProvider) -> Unwrap:
    return lambda wrapped, context: provider.unwrap(wrapped, context).expose()


def _print(reports: list[Report], *, checked_ends: bool) -> None:
    console = Console(soft_wrap=True)
    table = Table(box=None)
    for column in ("file", "lines", "from", "to", "end", "state"):
        table.add_column(column)
    for report in reports:
        end = "closed" if report.closed else "open"
        state = "[red]ALTERED[/]" if report.faults else "[green]whole[/]"
        if report.lost:
            state += f" ({report.lost} events could not be written)"
        table.add_row(escape(report.file), str(report.lines), report.first, report.last, end, state)
    console.print(table)
    for report in reports:
        for fault in report.faults:
            console.print(f"[red]{escape(report.file)}[/]: {escape(fault)}", highlight=False)
        for number, whose in report.destroyed:
            console.print(f"{escape(report.file)}: line {number}: keys destroyed of {escape(whose)}", highlight=False)
    for name in missing(reports):
        console.print(f"[yellow]{escape(name)}[/] came before these files and was not given", highlight=False)
    if not checked_ends:
        console.print("Ends were not checked against checkpoints: give the server's log with --log.", highlight=False)

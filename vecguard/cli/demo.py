"""`vecguard demo`: the whole product in under two minutes, on synthetic notes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vecguard.errors import VecGuardError


def demo(
    notes: Annotated[int, typer.Option(min=40, help="How many synthetic notes to store.")] = 3000,
    out: Annotated[Path, typer.Option(help="Folder for both databases, the picture and the figures.")] = Path(
        "vecguard-demo"
    ),
    seed: Annotated[int, typer.Option(help="Decides every text; keys are fresh each time.")] = 0,
) -> None:
    """Store notes with and without VecGuard, steal both databases, and compare what an attacker recovers."""
    from vecguard.demo.run import run

    console = Console()
    try:
        run(notes, out, seed, console)
    except VecGuardError as failure:
        console.print(f"vecguard demo: {failure}", style="red", markup=False)
        raise typer.Exit(1) from failure

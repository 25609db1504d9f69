"""`vecguard engine`: the embedded engine on its own, serving Qdrant's gRPC API without any protection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def engine(
    data: Annotated[Path, typer.Option(help="Data folder; made when it is not there.")],
    listen: Annotated[str, typer.Option(help="unix:/path or HOST:PORT.")],
) -> None:
    """Serve a data folder with the embedded engine alone. It stores what it is sent: put `vecguard serve` before it."""
    from vecguard.engine.__main__ import main

    raise typer.Exit(main(["--data", str(data), "--listen", listen]))

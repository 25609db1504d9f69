"""`vecguard init`: write a commented policy file to start from."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer


def template() -> str:
    """The commented policy, equal in meaning to the default one."""
    return resources.files("vecguard.policy").joinpath("template.yaml").read_text(encoding="utf-8")


def init(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="File to write.")] = Path("vecguard-policy.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file when it is there.")] = False,
) -> None:
    """Write a commented policy file; as written, it is the default policy."""
    try:
        _write(path, force)
    except FileExistsError:
        typer.echo(f"{path} is there already: give another name, or --force to replace it", err=True)
        raise typer.Exit(1) from None
    except OSError as fault:
        typer.echo(f"{path} cannot be written: {fault.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"wrote {path}; start with: vecguard serve --policy {path}")


def _write(path: Path, force: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    with os.fdopen(os.open(path, flags, 0o644), "w", encoding="utf-8") as stream:
        stream.write(template())

"""`vecguard keys`: try a key provider, encrypt a key file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from vecguard.config import load_settings
from vecguard.errors import Unreadable, VecGuardError
from vecguard.keys.file import encrypt_file
from vecguard.keys.hidden import HiddenEnvironment
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider
from vecguard.registry import KEY_PROVIDERS

keys_app = typer.Typer(help="Try a key provider, encrypt a key file.", no_args_is_help=True)

_CONTEXT = b"vecguard keys check"


@keys_app.command("check")
def check_command(
    key: Annotated[str | None, typer.Option(help="Key provider, as for `vecguard serve`.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (YAML) whose `key` is tried.")] = None,
) -> None:
    """Wrap and unwrap a random key; exit status 1 when the provider cannot be used. Makes and changes nothing."""
    try:
        kind, _, location = load_settings(config, {"key": key}).key.partition(":")
        provider = KEY_PROVIDERS.load(kind)(location, HiddenEnvironment(os.environ))
        started = time.monotonic()
        wrapped = _tried(provider)
    except VecGuardError as failure:
        typer.echo(f"vecguard keys check: {failure}", err=True)
        raise typer.Exit(1) from None
    if wrapped is None:
        typer.echo("vecguard keys check: the provider opens a key in a context that it was not wrapped for", err=True)
        raise typer.Exit(1)
    took = (time.monotonic() - started) * 1e3
    typer.echo(f"ok: {kind}, key {provider.key_id}, a wrapped key has {wrapped} bytes, {took:.0f} ms")


@keys_app.command("encrypt")
def encrypt_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key file that is not encrypted yet.")],
) -> None:
    """Encrypt a key file in place, under the passphrase in VECGUARD_KEY_PASSPHRASE. The key stays the same."""
    try:
        provider = encrypt_file(file, HiddenEnvironment(os.environ))
    except VecGuardError as failure:
        typer.echo(f"vecguard keys encrypt: {failure}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"ok: {file} is encrypted, key {provider.key_id}; older copies of the file are not")


def _tried(provider: KeyProvider) -> int | None:
    """Size of a wrapped key; None: the context is not bound to it. Raises VecGuardError."""
    data_key = Key.random()
    wrapped = provider.wrap(data_key, _CONTEXT)
    if provider.unwrap(wrapped, _CONTEXT) != data_key:
        raise Unreadable
    try:
        provider.unwrap(wrapped, _CONTEXT + b"!")
    except Unreadable:
        return len(wrapped)
    return None

"""`vecguard access`: new API keys, and hashes of passwords, for the policy's `access` section."""

from __future__ import annotations

from typing import Annotated

import typer

from vecguard.policy.credentials import hash_key, hash_password
from vecguard.policy.credentials import new_key as make_key

access_app = typer.Typer(help="Credentials of the policy's `access` section.", no_args_is_help=True)


@access_app.command("new-key")
def new_key(
    name: Annotated[str, typer.Argument(help="Who it is for, as the trail will call it.")],
    role: Annotated[list[str] | None, typer.Option(help="Its roles, once each. [default: read]")] = None,
) -> None:
    """Make an API key: the key goes to standard output, once; the entry for the policy to standard error."""
    key = make_key()
    typer.echo(key)
    typer.echo("# The key is shown this once. Below `access: api_keys:` in the policy:", err=True)
    roles = ", ".join(role or ["read"])
    typer.echo(f"    - name: {name}\n      hash: {hash_key(key)}\n      roles: [{roles}]", err=True)


@access_app.command("hash-password")
def hash_a_password(
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for when left out.")
    ],
) -> None:
    """Hash a password that somebody chose, for `access: accounts:`; it is asked for, and not shown."""
    typer.echo(hash_password(password))

"""`vecguard keys`: try a key provider, encrypt a key file, rotate keys."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from vecguard.cli.progress import ProgressOption, line, stages
from vecguard.cli.upstream import ConfigOption, DatabaseOption, KeyOption, UpstreamOption, settings_of
from vecguard.config import FrontName, Settings, load_settings
from vecguard.errors import ConfigError, Unreadable, VecGuardError
from vecguard.journal.chain import SHREDDED
from vecguard.keys.file import encrypt_file
from vecguard.keys.hidden import HiddenEnvironment
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider
from vecguard.registry import KEY_PROVIDERS

if TYPE_CHECKING:
    from vecguard.upkeep.rotate import Progress

keys_app = typer.Typer(help="Try a key provider, encrypt a key file, rotate keys.", no_args_is_help=True)

_CONTEXT = b"vecguard keys check"
_BLAS_THREADS: Final = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


class TenantType(StrEnum):
    """What a tenant's value is."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"

    def value_of(self, text: str) -> str | int | bool:
        """The value that was meant.

        Raises:
            ConfigError: it is no number, or neither `true` nor `false`.
        """
        if self is TenantType.TEXT:
            return text
        try:
            return int(text) if self is TenantType.NUMBER else {"true": True, "false": False}[text]
        except (ValueError, KeyError):
            raise ConfigError(f"`{text}` is no {self.value}") from None


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


@keys_app.command("rotate")
def rotate_command(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name or alias; Milvus: also DATABASE/NAME.")],
    settle: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds to wait for all replicas after a change of the manifest. [default: 3]"),
    ] = 3.0,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
    progress: ProgressOption = "bar",
) -> None:
    """Give a collection a new data key, and protect all its records anew, while clients go on reading and writing.

    Works beside a running `vecguard serve` (of the same user, where the database is embedded). It can be ended at any
    moment (Ctrl-C); begun again, it goes on. At the end the old key is destroyed.
    """
    try:
        moved = asyncio.run(_rotated(settings_of(config, upstream, key), database, collection, settle, progress))
    except VecGuardError as failure:
        typer.echo(f"vecguard keys rotate: {failure}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("stopped; begin again to go on. Until then the collection has two keys", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"ok: collection {collection} has key epoch {moved.epoch} alone, {moved.moved} records protected anew")


async def _rotated(
    settings: Settings, front: FrontName | None, collection: str, settle: float, shown: Literal["bar", "json"]
) -> Progress:
    # Threads that spin would take the cores from the proxies; this must be said before numpy is first imported.
    for name in _BLAS_THREADS:
        os.environ.setdefault(name, "1")
    from vecguard.upkeep.access import open_database
    from vecguard.upkeep.rotate import rotate

    async with open_database(settings, front) as database:
        with stages() as advance:
            async for progress in rotate(database, collection, settle):
                if shown == "json":
                    line(progress.stage, progress.done, progress.total, epoch=progress.epoch, moved=progress.moved)
                else:
                    advance(progress.stage, progress.done, progress.total)
    return progress


@keys_app.command("rewrap")
def rewrap_command(
    old: Annotated[
        str | None, typer.Option("--from", help="The key provider until now. [default: the same as --to]")
    ] = None,
    new: Annotated[
        str | None, typer.Option("--to", help="The new one, as for `vecguard serve`. [default: its]")
    ] = None,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    config: ConfigOption = None,
) -> None:
    """Wrap the data keys of all collections with another key-encryption key, or a newer version of the same.

    Records are not touched. A running `vecguard serve` has to know both keys meanwhile (`former_keys`). It can be ended
    at any moment; begun again, it goes on. Exit status 1 while the old key is still needed by a collection.
    """
    try:
        settings = settings_of(config, upstream, new)
        needed = asyncio.run(_rewrapped(settings, database, old))
    except VecGuardError as failure:
        typer.echo(f"vecguard keys rewrap: {failure}", err=True)
        raise typer.Exit(1) from None
    if needed:
        typer.echo(f"the old key is still needed: {needed} collections could not be rewrapped; try again", err=True)
        raise typer.Exit(1)
    typer.echo("ok: every collection opens with the new key alone; backups and snapshots made before need the old one")


async def _rewrapped(settings: Settings, front: FrontName | None, old: str | None) -> int:
    """How many collections still need the old key."""
    from vecguard.upkeep.access import chosen, open_database
    from vecguard.upkeep.rewrap import providers, rewrap

    fronts = [address.front for address in settings.upstream] if front is None else [chosen(settings, front).front]
    former, new = providers(settings, old)
    needed = 0
    for each in fronts:
        async with open_database(settings, each) as database:
            async for done in rewrap(database, former, new, anew=old is None):
                typer.echo(f"{each} {done.collection}: {done.state}")
                needed += done.needs_the_old_key
    return needed


@keys_app.command("shred")
def shred_command(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Its own name; Milvus: also DATABASE/NAME.")],
    tenant: Annotated[
        str | None,
        typer.Option(help="Destroy the keys of this tenant alone: what the field or attribute of `tenant_keys` says."),
    ] = None,
    tenant_type: Annotated[
        TenantType, typer.Option(help="What the tenant's value is in the payload or attribute.")
    ] = TenantType.TEXT,
    confirm: Annotated[
        str | None, typer.Option(help="The name of the collection, or of the tenant, where nobody can be asked.")
    ] = None,
    database: DatabaseOption = None,
    upstream: UpstreamOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Destroy the data keys of a collection, or of one tenant, so that nobody can read it ever again.

    There is no way back. A tenant's records are deleted, too; this takes a few seconds longer than replicas may be
    behind. What is printed is the proof, as JSON: whose keys, their digests, and when. The trail is told the same, in
    `trail_folder` as a chain that `vecguard trail verify` checks. Snapshots and backups that were made before still
    hold the wrapped keys: only destroying the key-encryption key reaches them.
    """
    whose = collection if tenant is None else tenant
    said = confirm if confirm is not None else typer.prompt(f"To destroy the keys of `{whose}`, type that name")
    if said != whose:
        typer.echo("vecguard keys shred: that is another name; nothing was done", err=True)
        raise typer.Exit(1)
    try:
        value = None if tenant is None else tenant_type.value_of(tenant)
        proof, file = asyncio.run(_shredded(settings_of(config, upstream, key), database, collection, value))
    except VecGuardError as failure:
        typer.echo(f"vecguard keys shred: {failure}", err=True)
        raise typer.Exit(1) from None
    typer.echo(proof)
    if file is None:
        typer.echo("the trail has it on standard error alone: set `trail_folder` to have it in a chain", err=True)
    else:
        typer.echo(f"the trail has it: check with `vecguard trail verify {file}`", err=True)


async def _shredded(
    settings: Settings, front: FrontName | None, collection: str, tenant: str | int | bool | None
) -> tuple[str, Path | None]:
    """The proof as JSON, and the file of the trail that has it."""
    for name in _BLAS_THREADS:
        os.environ.setdefault(name, "1")
    from vecguard.upkeep.access import open_database
    from vecguard.upkeep.shred import Shredded, shred
    from vecguard.upkeep.shred_tenant import TenantShred, shred_tenant
    from vecguard.upkeep.told import operator_trail

    async with open_database(settings, front) as database:
        with operator_trail(settings, database.provider) as tell:
            done: Shredded | TenantShred
            if tenant is None:
                done, place = await shred(database, collection, tell)
            else:
                done, place = await shred_tenant(database, collection, tenant, tell)
    if place is None or settings.trail_folder is None:
        return json.dumps({"event": SHREDDED, **asdict(done)}), None
    said = {"event": SHREDDED, **asdict(done), "trail": place._asdict()}
    return json.dumps(said), settings.trail_folder / place.file


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

"""KEK rotation: the data keys of every collection wrapped anew. Records are not touched, and no data key changes.

A collection is rewrapped in one step: its manifest's core is replaced, after the new one was opened with the new KEK
alone. One that the new KEK opens already is left as it is, so a run that was cut off goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Literal

from vecguard.catalog import StoredManifest
from vecguard.config import Settings
from vecguard.errors import FailedPrecondition, Unreadable
from vecguard.keys.provider import KeyProvider
from vecguard.manifest import Manifest, open_core, pack_core
from vecguard.tombstone import is_shredded
from vecguard.upkeep.access import CALLER, Database
from vecguard.wiring import open_provider

State = Literal["rewrapped", "already", "in clear", "shredded", "unreadable", "changed meanwhile"]


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What became of one collection."""

    collection: str
    state: State

    @property
    def needs_the_old_key(self) -> bool:
        """Whether the old KEK must be kept on its account."""
        return self.state in ("unreadable", "changed meanwhile")


def providers(settings: Settings, old: str | None) -> tuple[KeyProvider, KeyProvider]:
    """The key provider that data keys are wrapped with now, and the one to be; the same where none is given.

    Raises:
        ConfigError: one cannot be used.
    """
    new = open_provider(settings.key)
    return new if old is None else open_provider(old), new


async def rewrap(
    database: Database, old: KeyProvider, new: KeyProvider, *, anew: bool = False
) -> AsyncIterator[Rewrapped]:
    """Wrap the data keys of every collection of a database with `new`.

    anew: also those that `new` opens already, as where it is the same KEK in a newer version.

    Raises:
        UpstreamFailure: the database cannot be reached.
        Unavailable: a key provider is away.
    """
    for name in await database.front.names(database.upstream, CALLER):
        yield Rewrapped(name, await _one(database, name, old, new, anew=anew))


async def _one(database: Database, name: str, old: KeyProvider, new: KeyProvider, *, anew: bool) -> State:
    try:
        stored = await database.front.read_manifest(database.upstream, name, CALLER)
    except Unreadable:
        return "unreadable"
    if stored is None:
        return "in clear"
    if is_shredded(stored.core):
        return "shredded"
    if not anew and await asyncio.to_thread(_opens, stored.core, new):
        return "already"
    try:
        core = await asyncio.to_thread(_rewrapped, stored.core, old, new)
    except Unreadable:
        return "unreadable"
    return await _replaced(database, name, stored, core)


def _opens(core: str, provider: KeyProvider) -> bool:
    try:
        _, ring = open_core(core, provider)
    except Unreadable:
        return False
    ring.close()
    return True


def _rewrapped(core: str, old: KeyProvider, new: KeyProvider) -> str:
    """The core with its data keys under the new KEK, which opens it."""
    manifest, ring = open_core(core, old)
    again = pack_core(manifest.rewrapped(ring, new), ring)
    opened, same = open_core(again, new)
    if _identity(opened) != _identity(manifest) or not ring.same_keys(same):
        raise FailedPrecondition("the new key provider does not give back what it wrapped: nothing was written")
    return again


def _identity(manifest: Manifest) -> tuple[object, ...]:
    return manifest.uuid, manifest.collection, manifest.current, sorted(manifest.epochs)


async def _replaced(database: Database, name: str, stored: StoredManifest, core: str) -> State:
    found = await database.front.read_manifest(database.upstream, name, CALLER)
    if found != stored:
        return "changed meanwhile"
    await database.front.write_manifest(database.upstream, name, replace(stored, core=core, tenants={}), CALLER)
    found = await database.front.read_manifest(database.upstream, name, CALLER)
    return "rewrapped" if found is not None and found.core == core else "changed meanwhile"

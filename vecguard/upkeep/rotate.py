"""Rotation of a collection's data key, online: a new key epoch, every record brought to it, the old key destroyed.

The manifest goes through three states, each of which every replica knows before the next one begins:

1. the new key is live, the old one current: everybody can read what will be written, nobody writes it yet;
2. the new key is current: what clients write is under it, and so is what the job brings over;
3. the old key is gone, after a whole pass over the collection found nothing under it.

All that the job knows lies in the manifest and in the records themselves, so it can be ended at any moment, and begun
again from anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from vecguard.catalog import MAX_AGE_S, StoredManifest
from vecguard.errors import FailedPrecondition, Unreadable
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord, open_core, open_vector, pack_core, pack_vector
from vecguard.policy.transforms import FittedSpec
from vecguard.seal.declaration import open_declaration, seal_declaration
from vecguard.shield import Shield
from vecguard.upkeep.access import CALLER, Database
from vecguard.upkeep.tenants_turned import next_keys, require_room, retired

SETTLE_S: Final = MAX_AGE_S + 1.0
"""How long a manifest stands before what it says is relied on: longer than any replica trusts an older one."""
# Passes over what clients write at the same time end after one or two; more of them say that something is wrong.
_MOST_PASSES: Final = 20
_SHOWN: Final = 5
_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rotation is: the epoch that it leads to, what it does now, and for how many of how many records it did.

    `moved` counts the records that were protected anew in all passes so far.
    """

    epoch: int
    stage: str
    done: int
    total: int
    moved: int


@dataclass(frozen=True, slots=True)
class _Parts:
    """A manifest as it was read, opened."""

    stored: StoredManifest
    manifest: Manifest
    ring: KeyRing
    vectors: dict[str, VectorRecord]
    declared: bytes | None

    def repacked(self, manifest: Manifest, ring: KeyRing, tenants: Mapping[str, str]) -> StoredManifest:
        """The texts of the manifest in another state; of tenants' keys those that change."""
        vectors = {name: pack_vector(record, manifest, ring) for name, record in self.vectors.items()}
        identity = manifest.uuid.bytes
        declared = None if self.declared is None else seal_declaration(self.declared, ring, identity)
        return StoredManifest(pack_core(manifest, ring), vectors, declared, tenants)


async def rotate(database: Database, name: str, settle_s: float = SETTLE_S) -> AsyncIterator[Progress]:
    """Rotate the data key of a collection, or go on with a rotation that was cut off. Says where it is as it goes.

    `settle_s` in seconds, see `SETTLE_S`; tests of a single process may make it shorter.

    Raises:
        Refused: its records cannot be written again in place; nothing was changed.
        FailedPrecondition: it lies in clear, a vector cannot be recovered, records do not open, or somebody else has
            changed the manifest meanwhile. Whatever was reached stays, both keys with it.
        UpstreamFailure, Unreadable, Unavailable: see `Database.shield`.
    """
    real = await database.front.real_name(database.upstream, name, CALLER)
    parts = await _read(database, real)
    _require_recoverable(parts)
    shield = await database.shield(real, knowing=True)
    if shield is None:
        raise Unreadable
    database.front.require_rotatable(shield)
    if len(parts.manifest.epochs) == 1:
        require_room(parts.manifest, parts.stored.tenants, parts.ring)
        yield Progress(max(parts.manifest.epochs) + 1, "new key", 0, 0, 0)
        parts = await _changed(database, real, parts, *parts.manifest.with_next_epoch(parts.ring, database.provider))
    epoch = max(parts.manifest.epochs)
    # From here on also where a rotation is taken up: who knows how long its last state has stood.
    yield Progress(epoch, "settling", 0, 0, 0)
    await asyncio.sleep(settle_s)
    if parts.manifest.current != epoch:
        parts = await _read(database, real)
        manifest, ring = parts.manifest.with_newest_current(parts.ring)
        # In one step, so that nobody writes under the new epoch who does not know all tenants' keys of it.
        tenants = next_keys(manifest, parts.stored, ring)
        parts = await _changed(database, real, parts, manifest, ring, tenants)
        await asyncio.sleep(settle_s)
    moved = 0
    async for progress in _passes(database, real, parts):
        moved = progress.moved
        yield progress
    parts = await _read(database, real)
    tenants = retired(parts.manifest, parts.stored.tenants, parts.ring)
    await _changed(database, real, parts, *parts.manifest.with_current_only(parts.ring), tenants)
    yield Progress(epoch, "old key destroyed", 1, 1, moved)


async def _passes(database: Database, name: str, parts: _Parts) -> AsyncIterator[Progress]:
    """Go over the collection until a whole pass finds nothing under other than the current key."""
    epoch, moved = parts.manifest.current, 0
    for number in range(1, _MOST_PASSES + 1):
        shield = await _shield(database, name)
        total, looked, stale, unreadable = await database.front.count(database.upstream, name), 0, 0, list[str]()
        async for step in database.front.reprotect(database.upstream, name, shield):
            looked, stale = looked + step.looked, stale + step.stale
            moved += step.stale - len(step.unreadable)
            unreadable += step.unreadable
            yield Progress(epoch, f"pass {number}", looked, max(total, looked), moved)
        if not stale:
            return
        if stale == len(unreadable):
            shown = ", ".join(unreadable[:_SHOWN])
            raise FailedPrecondition(
                f"{len(unreadable)} records of collection `{name}` do not open, so they cannot be brought to the new "
                f"key ({shown}, …), and the old one is kept. See `vecguard verify`; write them anew or delete them"
            )
    raise FailedPrecondition(f"collection `{name}` still gets records under the old key: is a replica out of date?")


async def _shield(database: Database, name: str) -> Shield:
    """The collection's protection, under which every tenant has a key to which its records can be brought.

    One that got its first key as the rotation began, from a worker that did not know of it, may have none yet.
    """
    parts = await _read(database, name)
    missing = next_keys(parts.manifest, parts.stored, parts.ring)
    if missing and database.front.write_tenant_keys is not None:
        await database.front.write_tenant_keys(database.upstream, name, missing, CALLER)
    shield = await database.shield(name)
    if shield is None:
        raise Unreadable
    return shield


async def _read(database: Database, name: str) -> _Parts:
    stored = await database.front.read_manifest(database.upstream, name, CALLER)
    if stored is None:
        raise FailedPrecondition(f"collection `{name}` lies in clear: it has no keys")
    manifest, ring = await asyncio.to_thread(open_core, stored.core, database.provider)
    vectors = {key: open_vector(key, text, manifest, ring) for key, text in stored.vectors.items()}
    declared = None if stored.declared is None else open_declaration(stored.declared, ring, manifest.uuid.bytes)
    return _Parts(stored, manifest, ring, vectors, declared)


def _require_recoverable(parts: _Parts) -> None:
    lost = [name for name, record in parts.vectors.items() if record.recover == "none"]
    if lost:
        raise FailedPrecondition(
            f"vector `{lost[0]}` of collection `{parts.manifest.collection}` has `recover: none`: nobody can read what "
            "would have to be protected anew. Write the records into a new collection instead"
        )
    fitted = [(name, t.kind) for name, of in parts.vectors.items() for t in of.transforms if isinstance(t, FittedSpec)]
    if fitted:
        raise FailedPrecondition(
            f"vector `{fitted[0][0]}` of collection `{parts.manifest.collection}` is projected by a `{fitted[0][1]}`, "
            "whose file is named in the policy and not in the manifest, so this command cannot protect records anew. "
            "`vecguard migrate` carries them into a collection with new keys"
        )


async def _changed(
    database: Database,
    name: str,
    parts: _Parts,
    manifest: Manifest,
    ring: KeyRing,
    tenants: Mapping[str, str] = _NONE,
) -> _Parts:
    """Put the manifest into its next state, unless somebody else changed it since it was read.

    Databases have no compare-and-swap for it, so it is compared just before and just after: of two rotations that begin
    at once, one finds the other's key in its place and ends before anything was written under its own.
    """
    await _require_same(database, name, parts.stored)
    stored = parts.repacked(manifest, ring, tenants)
    await database.front.write_manifest(database.upstream, name, stored, CALLER)
    await _require_same(database, name, stored)
    return _Parts(stored, manifest, ring, parts.vectors, parts.declared)


async def _require_same(database: Database, name: str, expected: StoredManifest) -> None:
    found = await database.front.read_manifest(database.upstream, name, CALLER)
    same = found is not None and (found.core, found.vectors) == (expected.core, expected.vectors)
    held = {} if found is None else found.tenants
    if not same or any(held.get(place, "") != text for place, text in expected.tenants.items()):
        raise FailedPrecondition(
            f"the manifest of collection `{name}` was changed by somebody else meanwhile: is another rotation running? "
            "Try again"
        )

"""Crypto-shred: the wrapped data keys of a collection overwritten, so that nobody can read it ever again.

What this reaches is the manifest. A snapshot or backup that was taken before still holds the wrapped keys, and only
the destruction of the KEK reaches those.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from vecguard.catalog import StoredManifest
from vecguard.errors import FailedPrecondition
from vecguard.manifest import Tombstone, is_shredded, open_core, pack_tombstone, read_tombstone
from vecguard.upkeep.access import CALLER, Database


@dataclass(frozen=True, slots=True)
class Shredded:
    """The proof: whose keys were destroyed, and when. `key_id` names the KEK that they were wrapped with."""

    collection: str
    uuid: str
    epochs: tuple[int, ...]
    key_id: str
    time: str


async def shred(database: Database, name: str) -> Shredded:
    """Destroy the data keys of a collection, in its manifest.

    Raises:
        FailedPrecondition: it lies in clear, or its keys are gone already, or they are there after all.
        Unreadable: its manifest does not authenticate; with it, it cannot be told what is destroyed.
        UpstreamFailure, Unavailable: the database or the key provider cannot be reached.
    """
    real = await database.front.real_name(database.upstream, name, CALLER)
    stored = await database.front.read_manifest(database.upstream, real, CALLER)
    if stored is None:
        raise FailedPrecondition(f"collection `{name}` lies in clear: it has no keys")
    if is_shredded(stored.core):
        raise FailedPrecondition(
            f"the keys of collection `{name}` were destroyed at {read_tombstone(stored.core).time}"
        )
    manifest, ring = open_core(stored.core, database.provider)
    ring.close()
    epochs, now = tuple(sorted(manifest.epochs)), datetime.now(UTC).replace(microsecond=0)
    core = pack_tombstone(Tombstone(uuid=manifest.uuid, collection=manifest.collection, epochs=epochs, time=now))
    gone = StoredManifest(core, stored.vectors, stored.declared)
    await database.front.write_manifest(database.upstream, real, gone, CALLER)
    found = await database.front.read_manifest(database.upstream, real, CALLER)
    if found is None or found.core != core:
        raise FailedPrecondition(
            f"collection `{name}` was changed by somebody else meanwhile: its keys may still be there"
        )
    return Shredded(real, str(manifest.uuid), epochs, database.provider.key_id, now.isoformat().replace("+00:00", "Z"))

"""Crypto-shred: the wrapped data keys of a collection overwritten, so that nobody can read it ever again.

What this reaches is the manifest. A snapshot or backup that was taken before still holds the wrapped keys, and only
the destruction of the KEK reaches those.

The trail is told twice: before, of what is about to be destroyed, so that a command which is cut off leaves a trace;
and after, of what was found in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from vecguard.catalog import StoredManifest
from vecguard.errors import FailedPrecondition, Unavailable
from vecguard.fresh.guard import Guard
from vecguard.journal.chain import SHREDDED as DONE
from vecguard.journal.writer import Place
from vecguard.manifest import Manifest, open_core
from vecguard.tombstone import Tombstone, is_shredded, pack_tombstone, read_tombstone
from vecguard.upkeep.access import CALLER, Database

BEGUN: Final = "keys shred begun"


class Tell(Protocol):
    """Takes an event for the trail, and says where it stands, if that can be said."""

    def __call__(self, event: str, **fields: object) -> Place | None: ...


@dataclass(frozen=True, slots=True)
class Shredded:
    """The proof: whose keys were destroyed, and when. `key_id` names the KEK that they were wrapped with.

    `wrapped` are the SHA-256 of the wrapped keys, by epoch, in hex: who holds a backup can tell by them whether it
    still has one of these keys. `before` and `after` are the SHA-256 of the manifest's core as it was found, and of
    what was put, and found again, in its place.
    """

    collection: str
    uuid: str
    epochs: tuple[int, ...]
    key_id: str
    time: str
    wrapped: Mapping[str, str]
    before: str
    after: str


def digest(text: str) -> str:
    """SHA-256 of a text's UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


async def shred(database: Database, name: str, tell: Tell) -> tuple[Shredded, Place | None]:
    """Destroy the data keys of a collection, in its manifest. The proof, and where it stands in the journal.

    Raises:
        FailedPrecondition: it lies in clear, or its keys are gone already, or they are there after all.
        Unreadable: its manifest does not authenticate; with it, it cannot be told what is destroyed.
        ConfigError: the trail cannot be written. Nothing was done if that was so before.
        UpstreamFailure, Unavailable: the database, the key provider or the memory of the newest cannot be reached.
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
    now = datetime.now(UTC).replace(microsecond=0)
    core = pack_tombstone(_tombstone(manifest, now))
    proof = Shredded(
        collection=real,
        uuid=str(manifest.uuid),
        epochs=tuple(sorted(manifest.epochs)),
        key_id=database.provider.key_id,
        time=now.isoformat().replace("+00:00", "Z"),
        wrapped={str(epoch): digest(text) for epoch, text in sorted(manifest.epochs.items())},
        before=digest(stored.core),
        after=digest(core),
    )
    guard = await database.guard(manifest)
    tell(BEGUN, **asdict(proof))
    gone = StoredManifest(core, stored.vectors, stored.declared)
    await database.front.write_manifest(database.upstream, real, gone, CALLER)
    found = await database.front.read_manifest(database.upstream, real, CALLER)
    if found is None or digest(found.core) != proof.after:
        raise FailedPrecondition(
            f"collection `{name}` was changed by somebody else meanwhile: its keys may still be there"
        )
    await _forgotten(guard)
    return proof, tell(DONE, **asdict(proof))


async def _forgotten(guard: Guard | None) -> None:
    """Forget which records are the newest, so that none is served if somebody puts the wrapped keys back."""
    if guard is not None:
        with contextlib.suppress(Unavailable):  # it was there a moment ago; the keys are gone in any case
            await guard.forget()


def _tombstone(manifest: Manifest, time: datetime) -> Tombstone:
    epochs = tuple(sorted(manifest.epochs))
    return Tombstone(uuid=manifest.uuid, collection=manifest.collection, epochs=epochs, time=time)

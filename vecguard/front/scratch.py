"""A protection with keys that nobody keeps, to see what a policy would make of records."""

from __future__ import annotations

from collections.abc import Iterable

from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.manifest import Manifest, VectorRecord
from vecguard.policy.model import CollectionPolicy
from vecguard.shield import Shield


def scratch_shield(
    name: str, vectors: Iterable[VectorRecord], policy: CollectionPolicy, declared: bytes | None = None
) -> Shield:
    """The shield of a collection that is not there. `declared` as `Shield` takes it."""
    manifest, ring = Manifest.new(name, policy.payload, LocalWrapping(Key.random()), policy.ids)
    records = {record.name: record for record in vectors}
    return Shield(manifest, ring, records, policy, declared)

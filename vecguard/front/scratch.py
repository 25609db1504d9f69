"""A protection with keys that nobody keeps, to see what a policy would make of records."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord
from vecguard.policy.model import CollectionPolicy
from vecguard.shield import Shield


def scratch_shield(
    name: str, vectors: Iterable[VectorRecord], policy: CollectionPolicy, declared: bytes | None = None
) -> Shield:
    """The shield of a collection that is not there. `declared` as `Shield` takes it."""
    manifest = Manifest(
        uuid=uuid.uuid4(), collection=name, created=datetime.now(UTC), epochs={1: ""}, current=1, payload=policy.payload
    )
    records = {record.name: record for record in vectors}
    return Shield(manifest, KeyRing({1: Key.random()}, 1), records, policy, declared)

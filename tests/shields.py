"""Compiled shields over fixed keys, without any server: what unit tests of the core and of the fronts stand on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord
from vecguard.metric import Distance
from vecguard.policy.model import CollectionPolicy, PayloadRule, Recover, RerankRule, VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec, TransformSpec
from vecguard.shield import DenseShield, Shield

IDENTITY = uuid.UUID("0f0e0d0c-0b0a-4908-8706-050403020100")
# One field of each mode, by name; and a subtree in which one field differs.
PAYLOAD = PayloadRule(
    default="sealed",
    fields={
        "open": "plain",
        "word": "searchable",
        "deep": "searchable",
        "deep.open": "plain",
        'odd."a.b/c~d"': "plain",
    },
)


def ring_of(*secrets: int, current: int | None = None) -> KeyRing:
    """A ring with epochs 1, 2, ... of fixed keys, one for each number; the last is the current one."""
    keys = {epoch: Key(bytes([secret] * 32)) for epoch, secret in enumerate(secrets, 1)}
    return KeyRing(keys, current or len(keys))


def transforms_of(ratio: float) -> tuple[TransformSpec, ...]:
    """A rotation, and noise where `ratio` is not 0."""
    return (RotationSpec(), GaussianSpec(ratio=ratio)) if ratio else (RotationSpec(),)


def record_of(
    name: str = "",
    dims: int = 16,
    distance: Distance = "cosine",
    *,
    ratio: float = 1.0,
    recover: Recover = "derived",
    kind: Literal["dense", "multi", "sparse"] = "dense",
    half: bool = False,
) -> VectorRecord:
    """A vector record; a sparse one has neither dims nor transforms."""
    if kind == "sparse":
        return VectorRecord(name=name, kind=kind, dims=0, distance="dot", transforms=(), recover="derived")
    return VectorRecord(
        name=name, kind=kind, dims=dims, distance=distance, transforms=transforms_of(ratio), recover=recover, half=half
    )


def policy_of(records: Sequence[VectorRecord], payload: PayloadRule = PAYLOAD) -> CollectionPolicy:
    """A policy entry, the first of its file, that fits these records."""
    rules = tuple(
        VectorRule(
            match=record.name,
            transforms=record.transforms or transforms_of(1.0),
            recover=record.recover,
            rerank="off" if record.recover == "none" else RerankRule(),
        )
        for record in records
    )
    return CollectionPolicy(match="*", vectors=rules or (VectorRule(),), payload=payload).placed(0)


def manifest_of(payload: PayloadRule = PAYLOAD, identity: uuid.UUID = IDENTITY) -> Manifest:
    """A manifest whose wrapped key is of no use: for shields that are given their ring."""
    return Manifest(
        uuid=identity,
        collection="notes",
        created=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        epochs={1: ""},
        current=1,
        payload=payload,
    )


def shield_of(
    *records: VectorRecord,
    payload: PayloadRule = PAYLOAD,
    ring: KeyRing | None = None,
    identity: uuid.UUID = IDENTITY,
    policy: CollectionPolicy | None = None,
) -> Shield:
    """The shield of a collection with these vectors, under the key of ones unless `ring` says otherwise."""
    by_name: Mapping[str, VectorRecord] = {record.name: record for record in records}
    entry = policy or policy_of(records, payload)
    return Shield(manifest_of(payload, identity), ring or ring_of(1), by_name, entry)


def dense_of(record: VectorRecord, ring: KeyRing | None = None, identity: uuid.UUID = IDENTITY) -> DenseShield:
    """The shield of one dense vector or multivector."""
    return shield_of(record, ring=ring, identity=identity).dense(record.name)

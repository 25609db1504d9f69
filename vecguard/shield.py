"""One collection's protection, compiled: protect vectors and payload on the way in, open them on the way out.

This module knows numpy and keys, and no wire protocol. Dense vectors have a module of their own, `dense_shield`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.dense_shield import DenseShield, Opened
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import Fields
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord
from vecguard.policy.model import CollectionPolicy, Limits
from vecguard.policy.transforms import TransformSpec
from vecguard.seal.entry import EntrySealer
from vecguard.seal.fields import FieldSealer
from vecguard.seal.id_cipher import IdCipher
from vecguard.seal.rows import RowsSealer
from vecguard.seal.sparse import SparseSealer
from vecguard.transform.cells import KIND as CELLS
from vecguard.transform.cells import Cells, Division
from vecguard.transform.chain import Chain, compile_chain, stored_dims
from vecguard.transform.sparse import IndexPermutation

__all__ = ["DenseShield", "Opened", "Shield", "SparseShield", "VectorShield", "require_protectable"]

Floats = NDArray[np.float32]


class SparseShield:
    """Protection of one sparse vector name: keyed indices; weights keep their values, so scores stay exact.

    In parts, as `DenseShield`: to the records of all but one part, a protected query shares no index but by accident.
    """

    def __init__(
        self, record: VectorRecord, permutations: Mapping[int, IndexPermutation], sealer: SparseSealer
    ) -> None:
        """`permutations` by part, the one that is written to first."""
        self.record = record
        self.parts = tuple(permutations)
        """The parts, each by its key epoch, the one that is written to first."""
        self._permutations = permutations
        self._sealer = sealer

    @property
    def divided(self) -> bool:
        """Whether there are several parts, as while keys are rotated."""
        return len(self.parts) > 1

    def query(self, indices: NDArray[np.uint32], part: int) -> NDArray[np.uint32]:
        """Indices `(n,)` uint32 as they stand at rest in records of `part`."""
        return self._permutations[part].forward(indices)

    def protect(
        self, point_id: bytes, indices: NDArray[np.uint32], values: Floats
    ) -> tuple[NDArray[np.uint32], Floats, bytes]:
        """Stored indices and values, sorted by stored index, and the record's entry."""
        stored = self._permutations[self.parts[0]].forward(indices)
        order = np.argsort(stored)
        stored, values = stored[order], values[order]
        return stored, values, self._sealer.seal(point_id, stored, values)

    def open(
        self, point_id: bytes, stored: NDArray[np.uint32], values: Floats, entries: Sequence[bytes]
    ) -> tuple[NDArray[np.uint32], Floats]:
        """The client's indices, ascending, and their values.

        Raises:
            Unreadable: the vector fits none of the record's entries.
        """
        for entry in entries:
            try:
                part = self._sealer.open(point_id, entry, stored, values)
            except Unreadable:
                continue
            indices = self._permutations[part].inverse(stored)
            order = np.argsort(indices)
            return indices[order], values[order]
        raise Unreadable


VectorShield: TypeAlias = DenseShield | SparseShield


class Shield:
    """Everything that protects one collection."""

    def __init__(
        self,
        manifest: Manifest,
        ring: KeyRing,
        vectors: Mapping[str, VectorRecord],
        policy: CollectionPolicy,
        declared: bytes | None = None,
    ) -> None:
        """Compile. Takes a fraction of a second at thousands of dimensions: keep the result, and call it off the loop.

        `declared` is the collection as the client declared it, in the front's own form, where the front keeps that.

        Raises:
            Unreadable: a key of the manifest is missing.
        """
        self.manifest = manifest
        self.ring = ring
        self.policy = policy
        self.limits = policy.limits
        self.opens = True
        self.declared = declared
        identity = manifest.uuid.bytes
        self.fields = Fields(manifest.payload, FieldSealer(ring, identity), policy.rule_for)
        self.ids = None if manifest.id_key is None else IdCipher(manifest.id_key)
        """What point ids are encrypted with; None where they are stored as they are."""
        self.vectors: dict[str, VectorShield] = {
            name: _compile(record, ring, identity, policy) for name, record in vectors.items()
        }

    @property
    def rotating(self) -> bool:
        """Whether there are several live key epochs, as while keys are rotated."""
        return len(self.ring.epochs) > 1

    def within(self, limits: Limits, *, opens: bool) -> Shield:
        """This shield, with other bounds on one call; `opens`: whether answers show vectors as they were given."""
        same = copy.copy(self)
        same.limits, same.opens = limits, opens
        return same

    def reading(self, name: str, candidates: int) -> Shield:
        """This shield, with re-ranking under `name` that reads exactly `candidates` records of a search."""
        guard = self.vectors.get(name)
        if not isinstance(guard, DenseShield) or guard.rerank is None:
            return self
        same = copy.copy(self)
        same.vectors = {**self.vectors, name: guard.reading(candidates)}
        return same

    def dense(self, name: str) -> DenseShield:
        """The dense vector called `name`.

        Raises:
            InvalidArgument: there is none, in Qdrant's words.
        """
        shield = self.vectors.get(name)
        if not isinstance(shield, DenseShield):
            raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")
        return shield

    def vector(self, name: str) -> VectorShield:
        """The vector called `name`.

        Raises:
            InvalidArgument: there is none, in Qdrant's words.
        """
        shield = self.vectors.get(name)
        if shield is None:
            raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")
        return shield


def require_protectable(record: VectorRecord) -> int:
    """Refuse what a client may declare but nobody could compile, before it is made; its dimensions at rest.

    Raises:
        InvalidArgument: a number of dimensions that the record's transforms cannot work on.
        ConfigError: a file that they name cannot be read, or is another one.
    """
    return stored_dims(record.transforms, record.dims)


def _compile(record: VectorRecord, ring: KeyRing, identity: bytes, policy: CollectionPolicy) -> VectorShield:
    if record.kind == "sparse":
        permutations = {
            epoch: IndexPermutation(ring.subkey(epoch, "sparse indices", record.name)) for epoch in ring.epochs
        }
        return SparseShield(record, permutations, SparseSealer(ring, identity, record.name))
    rule = policy.vector(record.name)
    # The same steps; but the policy knows where their files lie now.
    steps = rule.transforms if rule.transforms == record.transforms else record.transforms
    division = _divided(record, steps, ring)
    chains = {part: _chain(record, steps, ring, *division.place(part)) for part in division.parts}
    sealer = EntrySealer(ring, identity, record.name, record.dims)
    rows = RowsSealer(ring, identity, record.name, record.dims)
    return DenseShield(record, division, chains, sealer, rows, None if rule.rerank == "off" else rule.rerank)


def _divided(record: VectorRecord, steps: Sequence[TransformSpec], ring: KeyRing) -> Division:
    dealt = next((step for step in steps if step.kind == CELLS), None)
    if dealt is None:
        return Division(ring.epochs, {})
    keys = {epoch: ring.subkey(epoch, "transform cells", record.name) for epoch in ring.epochs}
    return Division(ring.epochs, {epoch: Cells(key, dealt.count) for epoch, key in keys.items()})


def _chain(record: VectorRecord, steps: Sequence[TransformSpec], ring: KeyRing, epoch: int, cell: int) -> Chain:
    """The chain of one part. Cells have keys of their own, named by their number; without cells none is named."""
    chained = [step for step in steps if step.kind != CELLS]
    context = (record.name,) if len(chained) == len(steps) else (record.name, f"cell {cell}")
    return compile_chain(chained, record.dims, lambda purpose: ring.subkey(epoch, f"transform {purpose}", *context))

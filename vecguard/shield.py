"""One collection's protection, compiled: protect vectors and payload on the way in, open them on the way out.

This module knows numpy and keys, and no wire protocol. Dense vectors have a module of their own, `dense_shield`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.dense_shield import DenseShield, Opened
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import Fields, Names
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord
from vecguard.policy.detection import MOST_CANARIES
from vecguard.policy.limits import Limits
from vecguard.policy.model import CollectionPolicy
from vecguard.policy.paths import parse
from vecguard.policy.transforms import TransformSpec
from vecguard.seal.entry import EntrySealer
from vecguard.seal.fields import FieldSealer
from vecguard.seal.id_cipher import IdCipher
from vecguard.seal.leaf import Leaf
from vecguard.seal.names import NameCipher
from vecguard.seal.planted import Planted
from vecguard.seal.rows import RowsSealer
from vecguard.seal.sparse import SparseSealer
from vecguard.tenancy import Tenancy, TenantFields
from vecguard.transform.cells import KIND as CELLS
from vecguard.transform.cells import Cells, Division
from vecguard.transform.chain import Chain, compile_chain, stored_dims
from vecguard.transform.sparse import IndexPermutation

if TYPE_CHECKING:  # what the guard does is for fronts to ask
    from vecguard.fresh.guard import Guard

__all__ = ["DenseShield", "Opened", "Shield", "SparseShield", "VectorShield", "require_protectable"]

Floats = NDArray[np.float32]
_REMEMBERED: Final = 256


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

    def sealing_with(self, sealer: SparseSealer) -> SparseShield:
        """The same protection, entries made by another sealer over the same keys."""
        return SparseShield(self.record, self._permutations, sealer)

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

    fresh: Guard | None = None
    """What remembers which records are the newest, where that is asked."""

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
        self.sealing = ring.sealing
        """The key epoch, or number of a tenant's key, that new records are under."""
        self.opens = True
        self.declared = declared
        identity = manifest.uuid.bytes
        names = None if manifest.name_key is None else Names(NameCipher(manifest.name_key, identity), manifest.payload)
        self.own_fields = Fields(manifest.payload, FieldSealer(ring.own(), identity), policy.rule_for, names)
        """For what is of the collection and of no record."""
        self.tenancy = Tenancy.of_collection(manifest, ring)
        self.fields = self.own_fields
        if self.tenancy is not None:
            self.fields = TenantFields(manifest.payload, ring, identity, policy.rule_for, self.tenancy, names)
        self._all_fields = self.fields
        self.ids = None if manifest.id_key is None else IdCipher(manifest.id_key)
        """What point ids are encrypted with; None where they are stored as they are."""
        self.detection_key = manifest.detection_key(ring)
        """What detection sketches vectors and hashes ids with."""
        self.planted = Planted(self.detection_key, MOST_CANARIES)
        """The ids of planted records, whether or not any were planted."""
        self.vectors: dict[str, VectorShield] = {
            name: _compile(record, ring, identity, policy) for name, record in vectors.items()
        }
        self._of_tenant = lru_cache(maxsize=_REMEMBERED)(partial(_vectors_under, self.vectors, ring, identity))

    def under(self, numbers: tuple[int, ...]) -> Shield:
        """This shield for writing a tenant's records, under the first of the keys with these numbers."""
        assert isinstance(self._all_fields, TenantFields)  # noqa: S101 - tenants have keys of their own
        same = copy.copy(self)
        same.fields = self._all_fields.of_keys(numbers)
        same.vectors = self._of_tenant(numbers)
        same.sealing = numbers[0]
        return same

    def of_keys(self, numbers: tuple[int, ...]) -> Shield:
        """This shield for a call that is held to records under these tenants' keys."""
        assert isinstance(self._all_fields, TenantFields)  # noqa: S101 - tenants have keys of their own
        same = copy.copy(self)
        same.fields = self._all_fields.of_keys(numbers)
        return same

    def narrowed(self, field: str, values: Sequence[Leaf]) -> Shield:
        """This shield for a call that is held to records of which this payload field has one of these values."""
        same = copy.copy(self)
        same.fields = self.fields.narrowed(parse(field), values)
        return same

    @property
    def rotating(self) -> bool:
        """Whether there are several live key epochs, as while keys are rotated."""
        return len(self.ring.epochs) > 1

    @property
    def several_forms(self) -> bool:
        """Whether one value of a searchable field may have several forms at rest."""
        return self.rotating or self.tenancy is not None

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


def _vectors_under(
    vectors: Mapping[str, VectorShield], ring: KeyRing, identity: bytes, numbers: tuple[int, ...]
) -> dict[str, VectorShield]:
    """Vectors whose entries are sealed under a tenant's key; turned and noised as all."""
    tenants = ring.under(numbers)
    return {name: _sealing(guard, tenants, identity) for name, guard in vectors.items()}


def _sealing(guard: VectorShield, ring: KeyRing, identity: bytes) -> VectorShield:
    record = guard.record
    if isinstance(guard, SparseShield):
        return guard.sealing_with(SparseSealer(ring, identity, record.name))
    rows = RowsSealer(ring, identity, record.name, record.dims)
    return guard.sealing_with(EntrySealer(ring, identity, record.name, record.dims), rows)


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

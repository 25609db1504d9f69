"""Stored points on their way back to the client: exact vectors opened, payload opened, what is ours removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.payloads import point_id_bytes, unwrap
from vecguard.front.qdrant.records import entries_of
from vecguard.shield import DenseShield, Shield, SparseShield
from vecguard.stages import timed

StoredPoint: TypeAlias = q.ScoredPoint | q.RetrievedPoint


def holders(point: StoredPoint) -> Iterator[tuple[str, q.VectorOutput]]:
    """The vectors that an answer carries for a point, by name ("" for the unnamed one)."""
    kind = point.vectors.WhichOneof("vectors_options")
    if kind == "vector":
        yield "", point.vectors.vector
    elif kind == "vectors":
        yield from point.vectors.vectors.vectors.items()


def holder(point: StoredPoint, name: str) -> q.VectorOutput | None:
    """The vector called `name` that an answer carries for a point, if it does."""
    kind = point.vectors.WhichOneof("vectors_options")
    if kind == "vector":
        return point.vectors.vector if name == "" else None
    if kind is None or name not in point.vectors.vectors.vectors:
        return None
    return point.vectors.vectors.vectors[name]


@dataclass(frozen=True, slots=True)
class Exact:
    """Exact vectors of `n` points under one name.

    `positions` `(n,)` are their indices in the list of points asked about (a point may lack the vector).
    """

    positions: Sequence[int]
    vectors: Sequence[wire.AnyVector]


@dataclass(frozen=True, slots=True)
class Held:
    """Vectors called by one name as `n` stored points hold them, and what it takes to open them.

    `positions` as in `Exact`; ids in canonical bytes; `entries` are those that each vector may fit.
    """

    positions: Sequence[int]
    ids: Sequence[bytes]
    messages: Sequence[q.VectorOutput]
    entries: Sequence[list[bytes]]


def read_held(shield: Shield, points: Sequence[StoredPoint], name: str) -> Held:
    """What the points of an answer hold under `name`.

    Raises:
        Unreadable: a point's record is missing or malformed.
        StaleEntry: a record belongs to another manifest.
    """
    present = [(i, point, message) for i, point in enumerate(points) if (message := holder(point, name)) is not None]
    manifest = shield.manifest.short_id
    return Held(
        positions=[i for i, _, _ in present],
        ids=[point_id_bytes(point.id) for _, point, _ in present],
        messages=[message for _, _, message in present],
        entries=[entries_of(point.payload, manifest, name) for _, point, _ in present],
    )


@timed("open")
def open_vectors(shield: Shield, points: Sequence[StoredPoint], name: str) -> Exact:
    """The exact vectors called `name` of stored points whose answers carry them and their records.

    Raises:
        Unreadable: a vector does not fit its record.
        StaleEntry: a record belongs to another manifest.
        InvalidArgument: they are protected so that nobody can recover them.
    """
    held = read_held(shield, points, name)
    if not held.messages:
        return Exact(held.positions, [])
    guard = shield.vector(name)
    if isinstance(guard, SparseShield):
        return Exact(held.positions, _open_sparse(guard, held))
    if guard.record.kind == "multi":
        rows = zip(held.ids, stored_rows(held, guard), held.entries, strict=True)
        return Exact(held.positions, [wire.Multi(guard.open_rows(*record).x) for record in rows])
    x = guard.open(held.ids, stored_matrix(held, guard), held.entries).x
    return Exact(held.positions, [wire.Dense(row) for row in x])


def stored_matrix(held: Held, guard: DenseShield) -> NDArray[np.float32]:
    """Stored dense vectors, `(n, d')` float32.

    Raises:
        Unreadable: one is of another kind or dimension.
    """
    matrix = wire.dense_matrix(held.messages, guard.stored_dims)
    if matrix is None:
        raise Unreadable
    return matrix


def stored_rows(held: Held, guard: DenseShield) -> list[NDArray[np.float32]]:
    """Stored multivectors, `(rows, d')` float32 each.

    Raises:
        Unreadable: one is of another kind or dimension.
    """
    stored = [_stored(message) for message in held.messages]
    rows = [vector.rows for vector in stored if isinstance(vector, wire.Multi)]
    if len(rows) != len(stored) or any(matrix.shape[1] != guard.stored_dims for matrix in rows):
        raise Unreadable
    return rows


def _stored(message: q.VectorOutput) -> wire.AnyVector:
    """A stored vector; one that is malformed was not written by us."""
    try:
        return wire.read(message)
    except InvalidArgument:
        raise Unreadable from None


def _open_sparse(guard: SparseShield, held: Held) -> list[wire.AnyVector]:
    opened: list[wire.AnyVector] = []
    for point_id, message, entries in zip(held.ids, held.messages, held.entries, strict=True):
        vector = _stored(message)
        if not isinstance(vector, wire.Sparse):
            raise Unreadable
        opened.append(wire.Sparse(*guard.open(point_id, vector.indices, vector.values, entries)))
    return opened


@timed("open")
def points(shield: Shield, found: Sequence[StoredPoint], names: Sequence[str]) -> None:
    """Turn stored points into the client's, in place: vectors `names` exact, all others dropped, payload opened.

    Where the caller's role may not have vectors as they were, they stay as they are stored.

    Raises:
        Unreadable, StaleEntry, InvalidArgument: see `open_vectors`.
    """
    for name in names if shield.opens else ():
        exact = open_vectors(shield, found, name)
        for position, vector in zip(exact.positions, exact.vectors, strict=True):
            message = holder(found[position], name)
            if message is None:
                raise Unreadable
            wire.write(message, vector)
    fields = shield.fields
    for point in found:
        if names:
            _keep_vectors(point, names)
        else:
            point.ClearField("vectors")
        payload = point.payload
        if payload:
            unwrap(payload, fields, point_id_bytes(point.id))


def _keep_vectors(point: StoredPoint, names: Sequence[str]) -> None:
    for name in [held for held, _ in holders(point) if held not in names]:
        if name == "":
            point.ClearField("vectors")
            return
        del point.vectors.vectors.vectors[name]

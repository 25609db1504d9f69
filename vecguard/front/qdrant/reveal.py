"""Stored points on their way back to the client: exact vectors opened, payload opened, what is ours removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as q

from vecguard.errors import Unreadable
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.payloads import point_id_bytes, unwrap
from vecguard.front.qdrant.records import Record
from vecguard.shield import DenseShield, Shield, SparseShield

StoredPoint: TypeAlias = q.ScoredPoint | q.RetrievedPoint


def holders(point: StoredPoint) -> Iterator[tuple[str, q.VectorOutput]]:
    """The vectors that an answer carries for a point, by name ("" for the unnamed one)."""
    kind = point.vectors.WhichOneof("vectors_options")
    if kind == "vector":
        yield "", point.vectors.vector
    elif kind == "vectors":
        yield from point.vectors.vectors.vectors.items()


def _holder(point: StoredPoint, name: str) -> q.VectorOutput | None:
    kind = point.vectors.WhichOneof("vectors_options")
    if kind == "vector":
        return point.vectors.vector if name == "" else None
    if kind is None or name not in point.vectors.vectors.vectors:
        return None
    return point.vectors.vectors.vectors[name]


@dataclass(frozen=True, slots=True)
class Exact:
    """Exact vectors of `n` points under one name.

    `positions` `(n,)` are their indices in the list of points asked about (a point may lack the vector); `matrix` is
    all of `vectors` as `(n, d)` float32 where they are dense, None for multivectors and sparse vectors.
    """

    positions: NDArray[np.intp]
    vectors: Sequence[wire.AnyVector]
    matrix: NDArray[np.float32] | None = None

    def take(self, kept: Sequence[int]) -> Exact:
        """Only the vectors at these indices."""
        matrix = None if self.matrix is None else self.matrix[list(kept)]
        return Exact(self.positions[list(kept)], [self.vectors[i] for i in kept], matrix)

    def largest_norm(self) -> float:
        """The largest Euclidean norm of a dense vector or of a multivector's row; 0 without any."""
        rows = [self.matrix] if self.matrix is not None else [v.rows for v in self.vectors if isinstance(v, wire.Multi)]
        return max((float(np.linalg.norm(block, axis=1).max()) for block in rows if len(block)), default=0.0)


def open_vectors(shield: Shield, points: Sequence[StoredPoint], name: str) -> Exact:
    """The exact vectors called `name` of stored points whose answers carry them and their records.

    Raises:
        Unreadable: a vector does not fit its record.
        StaleEntry: a record belongs to another manifest.
        InvalidArgument: they are protected so that nobody can recover them.
    """
    present = [(i, message) for i, point in enumerate(points) if (message := _holder(point, name)) is not None]
    positions = np.array([i for i, _ in present], dtype=np.intp)
    if not present:
        return Exact(positions, [])
    manifest = shield.manifest.short_id
    ids = [point_id_bytes(points[i].id) for i, _ in present]
    records = [Record(points[i].payload, manifest).entries(name) for i, _ in present]
    stored = [wire.read(message) for _, message in present]
    guard = shield.vector(name)
    if isinstance(guard, SparseShield):
        return Exact(positions, _open_sparse(guard, ids, stored, records))
    if guard.record.kind == "multi":
        return Exact(positions, _open_multi(guard, ids, stored, records))
    x = guard.open(ids, np.stack([_dense(vector, guard) for vector in stored]), records).x
    return Exact(positions, [wire.Dense(row) for row in x], x)


def _dense(vector: wire.AnyVector, guard: DenseShield) -> NDArray[np.float32]:
    if not isinstance(vector, wire.Dense) or vector.data.shape != (guard.stored_dims,):
        raise Unreadable
    return vector.data


def _open_sparse(
    guard: SparseShield, ids: list[bytes], stored: list[wire.AnyVector], records: list[list[bytes]]
) -> list[wire.AnyVector]:
    opened: list[wire.AnyVector] = []
    for point_id, vector, entries in zip(ids, stored, records, strict=True):
        if not isinstance(vector, wire.Sparse):
            raise Unreadable
        opened.append(wire.Sparse(*guard.open(point_id, vector.indices, vector.values, entries)))
    return opened


def _open_multi(
    guard: DenseShield, ids: list[bytes], stored: list[wire.AnyVector], records: list[list[bytes]]
) -> list[wire.AnyVector]:
    opened: list[wire.AnyVector] = []
    for point_id, vector, entries in zip(ids, stored, records, strict=True):
        if not isinstance(vector, wire.Multi) or vector.rows.shape[1] != guard.stored_dims:
            raise Unreadable
        opened.append(wire.Multi(guard.open_rows(point_id, vector.rows, entries).x))
    return opened


def points(
    shield: Shield, found: Sequence[StoredPoint], names: Sequence[str], opened: Mapping[str, Exact] | None = None
) -> None:
    """Turn stored points into the client's, in place: vectors `names` exact, all others dropped, payload opened.

    `opened` holds what was opened already of these same points.

    Raises:
        Unreadable, StaleEntry, InvalidArgument: see `open_vectors`.
    """
    for name in names:
        exact = opened[name] if opened is not None and name in opened else open_vectors(shield, found, name)
        for position, vector in zip(exact.positions, exact.vectors, strict=True):
            message = _holder(found[position], name)
            if message is None:
                raise Unreadable
            wire.write(message, vector)
    for point in found:
        _keep_vectors(point, names)
        if point.payload:
            unwrap(point.payload, shield.fields, point_id_bytes(point.id))


def _keep_vectors(point: StoredPoint, names: Sequence[str]) -> None:
    for name in [held for held, _ in holders(point) if held not in names]:
        if name == "":
            point.ClearField("vectors")
            return
        del point.vectors.vectors.vectors[name]
    if not names:
        point.ClearField("vectors")

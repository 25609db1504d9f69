"""Distance matrix of a random sample, as in qdrant's `lib/collection/src/collection/distance_matrix.rs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.filters_convert import both, optional_filter
from vecguard.engine.points_read import fill_id
from vecguard.engine.references import named_vector
from vecguard.engine.selectors import capped, positive
from vecguard.engine.values_convert import EdgeId, id_order
from vecguard.engine.vectors_convert import DEFAULT_VECTOR, VectorSpace
from vecguard.errors import InvalidArgument

DEFAULT_SAMPLE = 10
DEFAULT_LIMIT = 3


@dataclass(frozen=True, slots=True)
class Matrix:
    """The sample in the order of ids, and for each its nearest others in the sample, best first."""

    ids: list[EdgeId]
    rows: list[list[tuple[EdgeId, float]]]


def distance_matrix(request: pb.SearchMatrixPoints, space: VectorSpace, shard: edge.EdgeShard) -> Matrix:
    """Sample points that have the vector, and search each one among the rest of the sample.

    Raises:
        InvalidArgument: a sample below 2, limit 0, or an unknown vector.
    """
    sample = positive(request, "sample", DEFAULT_SAMPLE)
    if sample < 2:
        raise InvalidArgument(f"Validation error in body: [sample: value {sample} invalid, must be 2 or larger]")
    limit = positive(request, "limit", DEFAULT_LIMIT)
    using = request.using if request.HasField("using") else DEFAULT_VECTOR
    space.check_name(using)
    sampled = _sample(request, using, sample, shard)
    if len(sampled) < 2:
        return Matrix([], [])
    ids: list[Any] = [point.id for point in sampled]
    among = edge.Filter(must=[edge.HasIdCondition(set(ids))])
    searches = [
        # One more than wanted: the nearest to a point is usually itself.
        edge.QueryRequest(limit=capped(limit + 1), query=edge.Query.Nearest(_vector(point, using), using), filter=among)
        for point in sampled
    ]
    found = shard.query_batch(edge.QueryBatchRequest(searches))
    return Matrix(ids, [_others(own, row, limit) for own, row in zip(ids, found, strict=True)])


def _sample(request: pb.SearchMatrixPoints, using: str, size: int, shard: edge.EdgeShard) -> list[edge.ScoredPoint]:
    has_vector = edge.Filter(must=[edge.HasVectorCondition(using)])
    sampled = shard.query(
        edge.QueryRequest(
            limit=size,
            query=edge.Sample.Random,
            filter=both(optional_filter(request), has_vector),
            with_vector=[using],
        )
    )
    return sorted(sampled, key=lambda point: id_order(point.id))


def _vector(point: edge.ScoredPoint, using: str) -> Any:
    return named_vector(point.vector, using)


def _others(own: EdgeId, row: list[edge.ScoredPoint], limit: int) -> list[tuple[EdgeId, float]]:
    others: list[Any] = [(point.id, point.score) for point in row if point.id != own]
    return others[:limit]


def fill_pairs(target: pb.SearchMatrixPairs, matrix: Matrix) -> None:
    """Write the matrix as pairs of ids."""
    for own, row in zip(matrix.ids, matrix.rows, strict=True):
        for other, score in row:
            pair = target.pairs.add()
            fill_id(pair.a, own)
            fill_id(pair.b, other)
            pair.score = score


def fill_offsets(target: pb.SearchMatrixOffsets, matrix: Matrix) -> None:
    """Write the matrix as rows and columns that count into the list of ids."""
    offsets = {point_id: offset for offset, point_id in enumerate(matrix.ids)}
    for own, row in enumerate(matrix.rows):
        for other, score in row:
            target.offsets_row.append(own)
            target.offsets_col.append(offsets[other])
            target.scores.append(score)
    for point_id in matrix.ids:
        fill_id(target.ids.add(), point_id)

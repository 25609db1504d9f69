"""Reads of points by id, in id or field order, counted and faceted; and how points are written into answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.filters_convert import json_path, optional_filter
from vecguard.engine.query import edge_order_by
from vecguard.engine.selectors import VectorSelection, payload_selection, positive, vector_selection
from vecguard.engine.values_convert import EdgeId, edge_id, edge_ids, fill_payload
from vecguard.engine.vectors_convert import DEFAULT_VECTOR, fill_vectors
from vecguard.errors import InvalidArgument

DEFAULT_SCROLL_LIMIT = 10
DEFAULT_FACET_LIMIT = 10
# Writing a point with a vector of 768 takes about 50 microseconds: other calls wait for 10 ms of it at most.
POINTS_AT_A_TIME = 200

_OFFSET_WITH_ORDER = (
    "Wrong input: Cannot use an `offset` when using `order_by`. The alternative for paging is to use "
    "`order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value"
)


def fill_id(target: pb.PointId, point_id: EdgeId | str) -> None:
    """Write an id that Edge returned."""
    if isinstance(point_id, int):
        target.num = point_id
    else:
        target.uuid = str(point_id)


def fill_record(target: pb.RetrievedPoint, record: edge.Record) -> None:
    """Write a stored point: id, payload, vectors and order value, as far as they were read."""
    fill_id(target.id, record.id)
    fill_payload(target.payload, record.payload)
    vector = record.vector  # Edge makes a new list at each access
    if vector is not None:
        fill_vectors(target.vectors, vector)
    _fill_order(target.order_value, record.order_value)


async def fill_records(target: Any, records: Sequence[edge.Record]) -> None:
    """Append stored points to a repeated field, letting other calls in between."""
    for start in range(0, len(records), POINTS_AT_A_TIME):
        for record in records[start : start + POINTS_AT_A_TIME]:
            fill_record(target.add(), record)
        if start + POINTS_AT_A_TIME < len(records):
            await asyncio.sleep(0)


async def fill_scored(target: Any, points: Sequence[edge.ScoredPoint], with_vectors: VectorSelection) -> None:
    """Append scored points to a repeated field, letting other calls in between.

    Args:
        with_vectors: what was asked for; after MMR, Edge returns the searched vector unasked.
    """
    for start in range(0, len(points), POINTS_AT_A_TIME):
        for point in points[start : start + POINTS_AT_A_TIME]:
            _fill_scored_point(target.add(), point, with_vectors)
        if start + POINTS_AT_A_TIME < len(points):
            await asyncio.sleep(0)


def _fill_scored_point(target: pb.ScoredPoint, point: edge.ScoredPoint, with_vectors: VectorSelection) -> None:
    fill_id(target.id, point.id)
    target.score = point.score
    target.version = point.version
    fill_payload(target.payload, point.payload)
    if with_vectors is not False and (vector := point.vector) is not None:
        fill_vectors(target.vectors, _selected(vector, with_vectors))
    _fill_order(target.order_value, point.order_value)


def _selected(vector: Any, names: VectorSelection) -> Any:
    if isinstance(names, bool):
        return vector
    if not isinstance(vector, dict):
        return vector if DEFAULT_VECTOR in names else {}
    kept = {name: one for name, one in vector.items() if name in names}
    return kept[DEFAULT_VECTOR] if list(kept) == [DEFAULT_VECTOR] else kept


def _fill_order(target: pb.OrderValue, value: int | float | None) -> None:
    if value is None:
        return
    if isinstance(value, int):
        target.int = value
    else:
        target.float = value


def get_points(request: pb.GetPoints, shard: edge.EdgeShard) -> list[edge.Record]:
    """The points of the given ids that exist, in the order asked for."""
    ids: list[Any] = list(dict.fromkeys(edge_ids(request.ids)))
    return shard.retrieve(ids, payload_selection(request), vector_selection(request))


def scroll_points(request: pb.ScrollPoints, shard: edge.EdgeShard) -> tuple[list[edge.Record], EdgeId | None]:
    """One page of points by id, or by a payload field.

    Returns:
        The page, and the id that starts the next one (None at the end, and always with `order_by`).

    Raises:
        InvalidArgument: limit 0, a malformed filter, or an offset together with `order_by`.
    """
    ordered = request.HasField("order_by")
    if ordered and request.HasField("offset"):
        raise InvalidArgument(_OFFSET_WITH_ORDER)
    offset: Any = edge_id(request.offset) if request.HasField("offset") else None
    page: tuple[list[edge.Record], Any] = shard.scroll(
        edge.ScrollRequest(
            offset=offset,
            limit=positive(request, "limit", DEFAULT_SCROLL_LIMIT),
            filter=optional_filter(request),
            with_payload=payload_selection(request, default=True),
            with_vector=vector_selection(request),
            order_by=edge_order_by(request.order_by) if ordered else None,
        )
    )
    return page[0], None if ordered else page[1]


def count_points(request: pb.CountPoints, shard: edge.EdgeShard) -> int:
    """How many points pass the filter; exact unless the request says otherwise."""
    exact = request.exact if request.HasField("exact") else True
    return shard.count(edge.CountRequest(exact=exact, filter=optional_filter(request)))


def facet_counts(request: pb.FacetCounts, shard: edge.EdgeShard) -> list[edge.FacetHit]:
    """The most frequent values of an indexed payload field.

    Raises:
        InvalidArgument: no key, limit 0, or (from Edge) a field without an index for matching.
    """
    if not request.key:
        raise InvalidArgument('Validation error in body: [key: value "" invalid, must be at least 1 characters]')
    limit = request.limit if request.HasField("limit") else DEFAULT_FACET_LIMIT
    facet = edge.FacetRequest(json_path(request.key), limit, request.exact, optional_filter(request))
    return shard.facet(facet).hits


def fill_facet_hit(target: pb.FacetHit, hit: edge.FacetHit) -> None:
    """Write one value and its count."""
    value = hit.value
    if isinstance(value, bool):
        target.value.bool_value = value
    elif isinstance(value, int):
        target.value.integer_value = value
    else:
        target.value.string_value = str(value)
    target.count = hit.count

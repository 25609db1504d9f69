"""Grouped queries as an RPC answers them: the groups with their points filled in, and points looked up by group id."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.collection import Collection
from vecguard.engine.filters_convert import json_path
from vecguard.engine.groups import Grouping, GroupKey, grouped
from vecguard.engine.points_read import fill_record
from vecguard.engine.query import DEFAULT_GROUP_SIZE, DEFAULT_LIMIT
from vecguard.engine.selectors import payload_selection, positive, vector_selection
from vecguard.engine.shard_query import ShardQuery
from vecguard.engine.store import Store
from vecguard.engine.values_convert import EdgeId
from vecguard.errors import InvalidArgument, NotFound

_SMALLER_IS_BETTER = (pb.Distance.Euclid, pb.Distance.Manhattan)

Groups = list[tuple[GroupKey, list[edge.ScoredPoint]]]


def grouping_of(request: Any) -> Grouping:
    """The grouping that any of the three RPCs asks for; only QueryGroups has defaults.

    Raises:
        InvalidArgument: no field to group by, or a count of 0.
    """
    if not request.group_by:
        raise InvalidArgument('Validation error in body: [group_by: value "" invalid, must be at least 1 characters]')
    defaults = isinstance(request, pb.QueryPointGroups)
    return Grouping(
        path=json_path(request.group_by),
        groups=positive(request, "limit", DEFAULT_LIMIT if defaults else None),
        group_size=positive(request, "group_size", DEFAULT_GROUP_SIZE if defaults else None),
    )


def score_order(scoring: Any, using: str, collection: Collection) -> bool | None:
    """Whether smaller scores are better; None where scores mean nothing (no query, order_by, sample)."""
    if scoring is None or isinstance(scoring, edge.OrderBy | edge.Sample):
        return None
    if not isinstance(scoring, edge.Query.Nearest):  # type: ignore[arg-type]  # Edge's variants are classes
        return False
    params = collection.vectors.get(using)
    return params is not None and params.distance in _SMALLER_IS_BETTER


async def answer_groups(
    target: pb.GroupsResult, request: Any, source: ShardQuery, collection: Collection, store: Store
) -> None:
    """Run the grouped query of a request and write its answer.

    Args:
        source: the compiled query under the grouping.

    Raises:
        InvalidArgument: malformed grouping.
        NotFound: the collection of `with_lookup` does not exist.
    """
    grouping = grouping_of(request)
    using = _using(request)
    order = score_order(source.scoring, using, collection)

    def run(shard: edge.EdgeShard) -> tuple[Groups, dict[EdgeId, edge.Record]]:
        groups = grouped(shard, source, grouping, order)
        ids: list[Any] = list({point.id: None for _, points in groups for point in points})
        records = shard.retrieve(ids, source.with_payload, source.with_vectors)
        return groups, {record.id: record for record in records}  # type: ignore[misc]

    groups, records = await collection.read(run)
    looked_up = await _lookup(request, [key for key, _ in groups], store)
    for key, points in groups:
        group = target.groups.add()
        _fill_key(group.id, key)
        for point in points:
            _fill_hit(group.hits.add(), point, records[point.id])  # type: ignore[index]
        if (record := looked_up.get(key)) is not None:
            fill_record(group.lookup, record)


def _using(request: Any) -> str:
    field = "vector_name" if "vector_name" in request.DESCRIPTOR.fields_by_name else "using"
    return str(getattr(request, field))


def _fill_hit(target: pb.ScoredPoint, point: edge.ScoredPoint, record: edge.Record) -> None:
    fill_record(target, record)  # type: ignore[arg-type]  # the same fields, by the same names
    target.score = point.score
    target.version = point.version


def _fill_key(target: pb.GroupId, key: GroupKey) -> None:
    if isinstance(key, str):
        target.string_value = key
    elif key >= 0:
        target.unsigned_value = key
    else:
        target.integer_value = key


async def _lookup(request: Any, keys: list[GroupKey], store: Store) -> dict[GroupKey, edge.Record]:
    """The points of another collection whose ids are the groups' keys."""
    if not request.HasField("with_lookup"):
        return {}
    lookup: pb.WithLookup = request.with_lookup
    try:
        collection = store.collection(lookup.collection)
    except NotFound as error:
        raise NotFound(f"Not found: Collection {lookup.collection} not found") from error
    by_id = {point_id: key for key in keys if (point_id := _as_id(key)) is not None}
    ids: list[Any] = list(by_id)
    payload, vectors = payload_selection(lookup, default=True), vector_selection(lookup)
    records = await collection.read(lambda shard: shard.retrieve(ids, payload, vectors))
    return {by_id[record.id]: record for record in records}  # type: ignore[index]


def _as_id(key: GroupKey) -> EdgeId | None:
    if isinstance(key, int):
        return key if key >= 0 else None
    try:
        return UUID(key)
    except ValueError:
        return None

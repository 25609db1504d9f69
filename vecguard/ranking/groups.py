"""Grouping scored points by the values of a payload field.

Source: github.com/qdrant/qdrant, lib/collection/src/grouping/aggregator.rs and segment/src/data_types/groups.rs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vecguard.metric import Distance, FloatArray, bigger_is_better
from vecguard.rerank import PointId, ordered

GroupId: TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class Group:
    """A value of the field, and the positions of its best points, best first."""

    id: GroupId
    hits: tuple[int, ...]


def group_points(
    ids: Sequence[PointId],
    scores: FloatArray,
    values: Sequence[Sequence[object]],
    *,
    limit: int,
    group_size: int,
    distance: Distance,
) -> list[Group]:
    """The `limit` groups with the best top hit, each with its best `group_size` points.

    ids: n distinct point ids; scores: (n,) float32 reported scores; values: for each point what its `group_by` path
    yields (see `group_ids`). A point enters the group of each of its values. Groups whose top scores are equal keep
    the order of their top hits.
    """
    groups: dict[GroupId, list[int]] = {}
    for position in ordered(ids, scores, descending=bigger_is_better(distance)).tolist():
        for group_id in group_ids(values[position]):
            hits = groups.setdefault(group_id, [])
            if len(hits) < group_size:
                hits.append(position)
    return [Group(group_id, tuple(hits)) for group_id, hits in list(groups.items())[:limit]]


def group_ids(values: Sequence[object]) -> list[GroupId]:
    """The distinct groups of one point: texts and integers, lists opened one level.

    One value of any other kind (bool, float, null, object) and the point joins no group at all, as in Qdrant.
    """
    found: dict[GroupId, None] = {}
    for value in values:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, bool) or not isinstance(item, str | int):
                return []
            found[item] = None
    return list(found)

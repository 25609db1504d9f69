"""Grouped queries: the groups with the best hits, each with its best points, on exact scores.

Qdrant's semantics (lib/collection/src/grouping): a point enters the group of each of its values, points without one are
left out. The search is widened until there are enough groups, and each group that is not full gets a search of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import filters, reveal
from vecguard.front.qdrant.execute import Executor, Points, Want
from vecguard.front.qdrant.payloads import python_value
from vecguard.front.qdrant.scope import stored_path
from vecguard.front.qdrant.stages import Stage, key_of
from vecguard.metric import Distance
from vecguard.policy.paths import parse
from vecguard.ranking.fusion import Ranking
from vecguard.ranking.groups import Group, GroupId, group_points
from vecguard.ranking.payload_path import PayloadPath
from vecguard.shield import DenseShield, Shield

_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True)
class Grouping:
    """What to group by (a client's path), how many groups, and how many points in each."""

    path: str
    groups: int
    size: int


@dataclass(frozen=True, slots=True)
class Grouped:
    """One group: its value and its points, best first."""

    id: GroupId
    points: Points


def narrowed(stage: Stage, condition: q.Filter) -> Stage:
    """The stage with one more condition, which holds for everything below it too."""
    prefetch = tuple(narrowed(below, condition) for below in stage.prefetch)
    return replace(stage, filter=filters.merged(stage.filter, condition), prefetch=prefetch)


def _widened(stage: Stage, factor: int) -> Stage:
    prefetch = tuple(replace(_widened(below, factor), limit=below.limit * factor) for below in stage.prefetch)
    return replace(stage, prefetch=prefetch)


def order_of(stage: Stage, shield: Shield) -> Distance:
    """The order of a stage's scores, as a distance that has it."""
    guard = shield.vectors.get(stage.using)
    is_nearest = stage.kind in ("nearest", "nearest_with_mmr") or (
        stage.query is not None
        and stage.kind == "recommend"
        and stage.query.recommend.strategy == q.RecommendStrategy.AverageVector
    )
    return guard.distance if is_nearest and isinstance(guard, DenseShield) else "dot"


class Grouper:
    """Runs one grouped query."""

    def __init__(self, executor: Executor, stage: Stage, grouping: Grouping) -> None:
        """Raises:
        InvalidArgument: the field's mode cannot be grouped by, or a number is out of range.
        """
        if grouping.size < 1:
            raise InvalidArgument("Validation error in body: [group_size: value 0 invalid, must be 1 or larger]")
        shield = executor.shield
        self._mode = shield.fields.require(grouping.path, (), ("plain", "searchable"), "grouping")
        self._executor = executor
        self._grouping = grouping
        self._path = PayloadPath.parse(grouping.path)
        self._distance = order_of(stage, shield)
        has_key = q.IsEmptyCondition(key=stored_path(grouping.path))
        keyed = q.Filter(must_not=[q.Condition(is_empty=has_key)])
        self._stage = replace(_widened(narrowed(stage, keyed), grouping.size), offset=0)
        self._want = Want(q.WithPayloadSelector(include=q.PayloadIncludeSelector(fields=[grouping.path])))

    async def run(self, want: Want) -> list[Grouped]:
        """The groups, best first, their points as the client wants them."""
        found, groups, whole = await self._enough()
        filled = await asyncio.gather(*(self._fill(group, found, whole) for group in groups))
        points = {key_of(point.id): point for members in filled for point in members}
        ranking = Ranking(tuple(points), np.array([p.score for p in points.values()], np.float32))
        carried = {key_of(p.id): p for p in await self._executor.hydrated(ranking, [list(points.values())], want)}
        return [
            Grouped(group.id, [carried[key] for point in members if (key := key_of(point.id)) in carried])
            for group, members in zip(groups, filled, strict=True)
        ]

    async def _enough(self) -> tuple[Points, list[Group], bool]:
        """Hits, the best groups among them, and whether the hits are all that there are."""
        limit = self._grouping.groups * self._grouping.size
        most = max(limit, self._executor.shield.limits.max_limit)
        for _ in range(_ROUNDS):
            found = await self._executor.run(replace(self._stage, limit=limit), self._want)
            groups = self._grouped(found)
            whole = len(found) < limit
            if whole or len(groups) >= self._grouping.groups or limit >= most:
                break
            limit = min(2 * limit, most)
        return found, groups, whole

    def _grouped(self, points: Sequence[q.ScoredPoint]) -> list[Group]:
        values = [self._values(point) for point in points]
        scores = np.array([point.score for point in points], np.float32)
        return group_points(
            [key_of(point.id) for point in points],
            scores,
            values,
            limit=self._grouping.groups,
            group_size=self._grouping.size,
            distance=self._distance,
        )

    def _values(self, point: q.ScoredPoint) -> list[object]:
        clear = q.ScoredPoint()
        clear.CopyFrom(point)
        reveal.points(self._executor.shield, [clear], ())
        return self._path.select({key: python_value(value) for key, value in clear.payload.items()})

    async def _fill(self, group: Group, found: Points, whole: bool) -> Points:
        """The group's best points; a search of its own where the shared one may have missed some."""
        members = [found[i] for i in group.hits]
        if whole or len(members) >= self._grouping.size:
            return members
        own = replace(narrowed(self._stage, self._equals(group.id)), limit=self._grouping.size)
        return await self._executor.run(own, self._want)

    def _equals(self, value: GroupId) -> q.Filter:
        """The stored filter for one group's points."""
        match = q.Match()
        if self._mode == "searchable":
            tokens = self._executor.shield.fields.tokens(parse(self._grouping.path), value)
            match.keywords.strings.extend(tokens)
        elif isinstance(value, int):
            match.integer = value
        else:
            match.keyword = value
        field = q.FieldCondition(key=stored_path(self._grouping.path), match=match)
        return q.Filter(must=[q.Condition(field=field)])

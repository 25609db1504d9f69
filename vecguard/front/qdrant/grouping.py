"""Grouped queries: the groups with the best hits, each with its best points, on exact scores.

The method is Qdrant's (lib/collection/src/grouping/group_by.rs): a point enters the group of each of its values, points
without one are left out. Up to 5 searches find enough groups, each leaving out points seen and groups that are full;
up to 5 more fill the best groups. Fused scores depend on what a search leaves out, so other rounds would give others.
"""

from __future__ import annotations

import sys
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
from vecguard.ranking.groups import Group, GroupId, group_ids, group_points
from vecguard.ranking.payload_path import PayloadPath
from vecguard.shield import DenseShield, Shield

_COLLECT_ROUNDS: Final = 5
_FILL_ROUNDS: Final = 5


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


def order_of(stage: Stage, shield: Shield) -> Distance | None:
    """The order of a stage's scores, as a distance that has it; None where scores mean nothing, and arrival counts."""
    if stage.kind in (None, "order_by", "sample"):
        return None
    guard = shield.vectors.get(stage.using)
    is_nearest = stage.kind == "nearest" or (
        stage.query is not None
        and stage.kind == "recommend"
        and stage.query.recommend.strategy == q.RecommendStrategy.AverageVector
    )
    return guard.distance if is_nearest and isinstance(guard, DenseShield) else "dot"


class _Hits:
    """The points that the rounds have found, in the order of their arrival."""

    def __init__(self, grouping: Grouping, distance: Distance | None) -> None:
        self.points: Points = []
        self._values: list[list[object]] = []
        self._grouping = grouping
        self._distance = distance

    def add(self, points: Points, values: list[list[object]]) -> None:
        """Take the points of a round, each with the values that it is grouped by; one that joins no group may recur."""
        seen = {key_of(point.id) for point in self.points}
        fresh = [i for i, point in enumerate(points) if key_of(point.id) not in seen]
        self.points.extend(points[i] for i in fresh)
        self._values.extend(values[i] for i in fresh)

    def groups(self) -> list[Group]:
        """All groups so far, best first, each with its best points."""
        # Without an order of scores, whatever came first is best.
        arrival = -np.arange(len(self.points), dtype=np.float32)
        scores = np.array([point.score for point in self.points], np.float32)
        return group_points(
            [key_of(point.id) for point in self.points],
            arrival if self._distance is None else scores,
            self._values,
            limit=sys.maxsize,
            group_size=self._grouping.size,
            distance=self._distance or "dot",
        )

    def best(self) -> list[Group]:
        """The groups to answer with."""
        return self.groups()[: self._grouping.groups]

    def full(self) -> list[GroupId]:
        """Groups that hold as many points as wanted, best or not."""
        return [group.id for group in self.groups() if len(group.hits) >= self._grouping.size]

    def unfilled(self) -> list[GroupId]:
        """The best groups that want more points."""
        return [group.id for group in self.best() if len(group.hits) < self._grouping.size]

    def complete(self) -> bool:
        """Whether there are enough groups and the best are full."""
        return len(self.best()) >= self._grouping.groups and not self.unfilled()

    def unseen(self) -> q.Filter | None:
        """The condition of being none of the points that joined a group."""
        joined = [point.id for point, values in zip(self.points, self._values, strict=True) if group_ids(values)]
        return filters.without_ids(joined) if joined else None


class Grouper:
    """Runs one grouped query."""

    def __init__(self, executor: Executor, stage: Stage, grouping: Grouping) -> None:
        """Raises:
        InvalidArgument: the field's mode cannot be grouped by, or a number is out of range.
        """
        if not grouping.path:
            raise InvalidArgument(
                'Validation error in body: [group_by: value "" invalid, must be at least 1 characters]'
            )
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
        wide = _widened(narrowed(stage, keyed), grouping.size)
        self._stage = replace(wide, limit=grouping.groups * grouping.size, offset=0)
        self._want = Want(q.WithPayloadSelector(include=q.PayloadIncludeSelector(fields=[grouping.path])))

    async def run(self, want: Want) -> list[Grouped]:
        """The groups, best first, their points as the client wants them."""
        found = await self._found()
        best = found.best()
        groups = [[found.points[i] for i in group.hits] for group in best]
        points = {key_of(point.id): point for members in groups for point in members}
        ranking = Ranking(tuple(points), np.array([p.score for p in points.values()], np.float32))
        carried = {key_of(p.id): p for p in await self._executor.hydrated(ranking, [list(points.values())], want)}
        return [
            Grouped(group.id, [carried[key] for point in members if (key := key_of(point.id)) in carried])
            for group, members in zip(best, groups, strict=True)
        ]

    async def _found(self) -> _Hits:
        hits = _Hits(self._grouping, self._distance)
        for _ in range(_COLLECT_ROUNDS):
            others = self._matching(hits.full(), negated=True)
            if not await self._round(hits, others) or hits.complete():
                break
        for _ in range(_FILL_ROUNDS):
            if hits.complete() or not await self._round(hits, self._matching(hits.unfilled(), negated=False)):
                break
        return hits

    async def _round(self, hits: _Hits, condition: q.Filter | None) -> bool:
        """One more search among the points not seen yet; whether it found any."""
        narrower = filters.merged(condition, hits.unseen())
        stage = self._stage if narrower is None else narrowed(self._stage, narrower)
        found = await self._executor.run(stage, self._want)
        hits.add(found, [self._values(point) for point in found])
        return bool(found)

    def _values(self, point: q.ScoredPoint) -> list[object]:
        clear = q.ScoredPoint()
        clear.CopyFrom(point)
        reveal.points(self._executor.shield, [clear], ())
        return self._path.select({key: python_value(value) for key, value in clear.payload.items()})

    def _matching(self, groups: Sequence[GroupId], *, negated: bool) -> q.Filter | None:
        """The stored filter for the points of these groups, or of none of them; None for no groups."""
        texts = [group for group in groups if isinstance(group, str)]
        numbers = [group for group in groups if isinstance(group, int)]
        kinds = [self._match(kind, negated=negated) for kind in (numbers, texts) if kind]
        key = stored_path(self._grouping.path)
        conditions = [q.Condition(field=q.FieldCondition(key=key, match=match)) for match in kinds]
        return q.Filter(must=conditions) if conditions else None

    def _match(self, groups: Sequence[GroupId], *, negated: bool) -> q.Match:
        """A match of values of one kind, as they stand at rest."""
        if self._mode == "searchable":
            keys = parse(self._grouping.path)
            tokens = [token for group in groups for token in self._executor.shield.fields.tokens(keys, group)]
            return _texts(tokens, negated=negated)
        if isinstance(groups[0], str):
            return _texts([str(group) for group in groups], negated=negated)
        numbers = q.RepeatedIntegers(integers=[int(group) for group in groups])
        return q.Match(except_integers=numbers) if negated else q.Match(integers=numbers)


def _texts(values: list[str], *, negated: bool) -> q.Match:
    strings = q.RepeatedStrings(strings=values)
    return q.Match(except_keywords=strings) if negated else q.Match(keywords=strings)

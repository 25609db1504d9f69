"""Grouped queries: the best groups of points that share a payload value, and the best points of each.

The method is Qdrant's (`lib/collection/src/grouping`): up to 5 queries to find enough groups, each leaving out points
already seen and groups already full, then up to 5 more to fill the best groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import qdrant_edge as edge

from vecguard.engine.filters_convert import both, excluding_ids
from vecguard.engine.json_path import values_at, without_wildcard_suffix
from vecguard.engine.selectors import capped
from vecguard.engine.shard_query import ShardQuery, run_queries
from vecguard.engine.values_convert import EdgeId

MAX_COLLECT_QUERIES = 5
MAX_FILL_QUERIES = 5

GroupKey = str | int


@dataclass(frozen=True, slots=True)
class Grouping:
    """What to group by, how many groups, and how many points in each."""

    path: str
    groups: int
    group_size: int


@dataclass(slots=True)
class Aggregator:
    """Collects points into groups.

    Attributes:
        smaller_is_better: the order of scores; None keeps the order of arrival (queries without a meaningful score).
    """

    grouping: Grouping
    smaller_is_better: bool | None
    hits: dict[GroupKey, dict[EdgeId, tuple[float, edge.ScoredPoint]]] = field(default_factory=dict)
    best: dict[GroupKey, float] = field(default_factory=dict)
    ids: set[EdgeId] = field(default_factory=set)
    arrived: int = 0

    def add(self, points: list[edge.ScoredPoint]) -> None:
        """Put each point into the group of every value that it has; skip points whose values cannot be keys."""
        for point in points:
            self.arrived += 1
            badness = self._badness(point)
            for key in group_keys(point.payload, self.grouping.path):
                group = self.hits.setdefault(key, {})
                group.setdefault(point.id, (badness, point))  # type: ignore[arg-type]
                self.ids.add(point.id)  # type: ignore[arg-type]
                self.best[key] = min(badness, self.best.get(key, badness))

    def _badness(self, point: edge.ScoredPoint) -> float:
        if self.smaller_is_better is None:
            return float(self.arrived)
        return point.score if self.smaller_is_better else -point.score

    def best_keys(self) -> list[GroupKey]:
        """The wanted number of groups, those with the best hit first."""
        return sorted(self.best, key=self.best.__getitem__)[: self.grouping.groups]

    def is_full(self, key: GroupKey) -> bool:
        """Whether the group holds as many points as wanted."""
        return len(self.hits[key]) >= self.grouping.group_size

    def full_keys(self) -> list[GroupKey]:
        """All full groups, best or not."""
        return [key for key in self.hits if self.is_full(key)]

    def unfilled_best_keys(self) -> list[GroupKey]:
        """The best groups that want more points."""
        return [key for key in self.best_keys() if not self.is_full(key)]

    def complete(self) -> bool:
        """Whether there are enough groups and the best are full."""
        best = self.best_keys()
        return len(best) >= self.grouping.groups and all(self.is_full(key) for key in best)

    def distill(self) -> list[tuple[GroupKey, list[edge.ScoredPoint]]]:
        """The best groups, each with its best points in order."""
        return [(key, self._best_hits(key)) for key in self.best_keys()]

    def _best_hits(self, key: GroupKey) -> list[edge.ScoredPoint]:
        ranked = sorted(self.hits[key].values(), key=lambda hit: hit[0])
        return [point for _, point in ranked[: self.grouping.group_size]]


def group_keys(payload: Any, path: str) -> list[GroupKey]:
    """The distinct values of a point's field; empty if any of them cannot be a key (only texts and integers can)."""
    keys: dict[GroupKey, None] = {}
    for value in values_at(payload, path):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, bool) or not isinstance(item, str | int):
                return []
            keys[item] = None
    return list(keys)


def grouped(
    shard: edge.EdgeShard, source: ShardQuery, grouping: Grouping, smaller_is_better: bool | None
) -> list[tuple[GroupKey, list[edge.ScoredPoint]]]:
    """Run a grouped query.

    Args:
        source: the query; its limit and payload selection are replaced for the candidates.
        smaller_is_better: see `Aggregator`.

    Returns:
        By group, in order: its key and its points, with the group's field as their only payload.
    """
    aggregator = Aggregator(grouping, smaller_is_better)
    candidates = _candidates(source, grouping)
    for _ in range(MAX_COLLECT_QUERIES):
        condition = both(_any_but(grouping.path, aggregator.full_keys()), _unseen(aggregator))
        [found] = run_queries(shard, [candidates.restricted(condition)])
        aggregator.add(found)
        if not found or aggregator.complete():
            break
    for _ in range(MAX_FILL_QUERIES):
        if aggregator.complete():
            break
        condition = both(_any_of(grouping.path, aggregator.unfilled_best_keys()), _unseen(aggregator))
        [found] = run_queries(shard, [candidates.restricted(condition)])
        aggregator.add(found)
        if not found:
            break
    return aggregator.distill()


def _candidates(source: ShardQuery, grouping: Grouping) -> ShardQuery:
    has_key = edge.Filter(must_not=[edge.IsEmptyCondition(grouping.path)])
    widened = tuple(prefetch.widened(grouping.group_size) for prefetch in source.prefetches)
    return replace(
        source.restricted(has_key),
        limit=capped(grouping.groups * grouping.group_size),
        offset=0,
        prefetches=widened,
        with_payload=[without_wildcard_suffix(grouping.path)],
        with_vectors=False,
    )


def _unseen(aggregator: Aggregator) -> edge.Filter | None:
    return excluding_ids(aggregator.ids) if aggregator.ids else None


def _any_but(path: str, keys: list[GroupKey]) -> edge.Filter | None:
    return _matching(path, keys, edge.MatchExcept)


def _any_of(path: str, keys: list[GroupKey]) -> edge.Filter | None:
    return _matching(path, keys, edge.MatchAny)


def _matching(path: str, keys: list[GroupKey], match: Any) -> edge.Filter | None:
    integers = [key for key in keys if isinstance(key, int)]
    texts = [key for key in keys if isinstance(key, str)]
    conditions: list[Any] = [edge.FieldCondition(path, match=match(v)) for v in (integers, texts) if v]
    return edge.Filter(must=conditions) if conditions else None

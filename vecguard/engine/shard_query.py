"""A query in the form that the shard executes: no point ids to resolve, no protobuf left.

The counterpart of qdrant's `ShardQueryRequest` and `ShardPrefetch` (`lib/shard/src/query`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import qdrant_edge as edge

from vecguard.engine.filters_convert import both
from vecguard.engine.selectors import PayloadSelection, VectorSelection

Scoring = Any  # edge.Query, Fusion, OrderBy, Formula, Sample, Mmr or TextQuery


@dataclass(frozen=True, slots=True)
class ShardPrefetch:
    """One source of candidates for the stage above it."""

    limit: int
    scoring: Scoring | None = None
    prefetches: tuple[ShardPrefetch, ...] = ()
    filter: edge.Filter | None = None
    score_threshold: float | None = None
    params: edge.SearchParams | None = None

    def widened(self, factor: int) -> ShardPrefetch:
        """The same source and all below it with `factor` times the candidates."""
        inner = tuple(prefetch.widened(factor) for prefetch in self.prefetches)
        return replace(self, limit=self.limit * factor, prefetches=inner)

    def edge_prefetch(self) -> edge.Prefetch:
        """The source as Edge takes it."""
        return edge.Prefetch(
            limit=self.limit,
            query=self.scoring,
            prefetches=[prefetch.edge_prefetch() for prefetch in self.prefetches],
            params=self.params,
            filter=self.filter,
            score_threshold=self.score_threshold,
        )


@dataclass(frozen=True, slots=True)
class ShardQuery:
    """A whole query; an empty `scoring` lists points by id."""

    limit: int
    offset: int = 0
    scoring: Scoring | None = None
    prefetches: tuple[ShardPrefetch, ...] = ()
    filter: edge.Filter | None = None
    score_threshold: float | None = None
    params: edge.SearchParams | None = None
    with_payload: PayloadSelection = False
    with_vectors: VectorSelection = False

    def edge_request(self) -> edge.QueryRequest:
        """The query as Edge takes it."""
        return edge.QueryRequest(
            limit=self.limit,
            offset=self.offset,
            query=self.scoring,
            prefetches=[prefetch.edge_prefetch() for prefetch in self.prefetches],
            with_vector=self.with_vectors,
            with_payload=self.with_payload,
            filter=self.filter,
            score_threshold=self.score_threshold,
            params=self.params,
        )

    def restricted(self, condition: edge.Filter | None) -> ShardQuery:
        """The same query over the points that also pass `condition`."""
        return replace(self, filter=both(self.filter, condition))

"""A query in the form that the shard executes: no point ids to resolve, no protobuf left.

The counterpart of qdrant's `ShardQueryRequest` and `ShardPrefetch` (`lib/shard/src/query`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import qdrant_edge as edge

from vecguard.engine.filters_convert import both
from vecguard.engine.selectors import PayloadSelection, VectorSelection, capped
from vecguard.engine.sparse_mmr import SparseMmr, diverse
from vecguard.errors import InvalidArgument, Refused

# Edge runs a formula on its search threads, and reports that they were stopped rather than what stopped them.
_STOPPED = "Operation cancelled: process cancelled by service"
_FORMULA_FAILED = (
    "Wrong input: the formula cannot be evaluated: a variable has no value of the expected type in the payload "
    "and/or in the formula defaults, or an expression produced a non-finite number"
)

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
        return replace(self, limit=capped(self.limit * factor), prefetches=inner)

    def edge_prefetch(self) -> edge.Prefetch:
        """The source as Edge takes it.

        Raises:
            Refused: Edge cannot score it.
        """
        if isinstance(self.scoring, SparseMmr):
            raise Refused("MMR over a sparse vector within a prefetch is not served by the embedded engine")
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


def run_queries(shard: edge.EdgeShard, queries: Sequence[ShardQuery]) -> list[list[edge.ScoredPoint]]:
    """Execute queries, several as one batch.

    Returns:
        The scored points of each, best first.

    Raises:
        InvalidArgument: a formula that some candidate has no value for. Other refusals are Edge's own exceptions.
    """
    plain = [query for query in queries if not isinstance(query.scoring, SparseMmr)]
    try:
        found = iter(_run_plain(shard, plain))
        return [
            _run_diverse(shard, query, query.scoring) if isinstance(query.scoring, SparseMmr) else next(found)
            for query in queries
        ]
    except Exception as failure:
        if str(failure) == _STOPPED:
            raise InvalidArgument(_FORMULA_FAILED) from failure
        raise


def _run_plain(shard: edge.EdgeShard, queries: Sequence[ShardQuery]) -> list[list[edge.ScoredPoint]]:
    if not queries:
        return []
    if len(queries) == 1:
        return [shard.query(queries[0].edge_request())]
    return shard.query_batch(edge.QueryBatchRequest([query.edge_request() for query in queries]))


def _run_diverse(shard: edge.EdgeShard, query: ShardQuery, mmr: SparseMmr) -> list[edge.ScoredPoint]:
    wanted = query.with_vectors
    candidates = replace(
        query,
        scoring=edge.Query.Nearest(mmr.vector, mmr.using),
        limit=mmr.candidates,
        offset=0,
        with_vectors=wanted if wanted is True else [*(wanted or []), mmr.using],
    )
    found = shard.query(candidates.edge_request())
    return diverse(found, mmr, query.offset + query.limit)[query.offset :]

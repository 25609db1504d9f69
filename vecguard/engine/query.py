"""The Query API: from `QueryPoints` (a tree of prefetches with a query on top) to a query that the shard executes.

Two steps, as in qdrant's `lib/collection/src/operations/universal_query/collection_query.rs`: `named_ids` tells which
stored points the tree refers to, and `QueryCompiler` puts their vectors in. Referenced points of the searched
collection are excluded from the result by the root's filter, which the shard applies to every prefetch as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.filters_convert import both, excluding_ids, json_path, optional_filter, rfc3339
from vecguard.engine.formula_convert import edge_formula
from vecguard.engine.recommend import average_vector
from vecguard.engine.references import Lookup, ReferencedVectors, input_ids, lookup_of
from vecguard.engine.selectors import known, payload_selection, positive, search_params, vector_selection
from vecguard.engine.shard_query import Scoring, ShardPrefetch, ShardQuery
from vecguard.engine.sparse_mmr import SparseMmr
from vecguard.engine.values_convert import EdgeId, edge_id
from vecguard.engine.vectors_convert import DEFAULT_VECTOR, EdgeVector, VectorSpace, query_vector
from vecguard.errors import InvalidArgument, NotFound

DEFAULT_LIMIT = 10
DEFAULT_GROUP_SIZE = 3
DEFAULT_RRF_K = 2
DEFAULT_MMR_DIVERSITY = 0.5
MAX_MMR_CANDIDATES = 16_384

Stage = pb.QueryPoints | pb.QueryPointGroups | pb.PrefetchQuery


def stages(root: Stage) -> Iterator[Stage]:
    """The root and every prefetch below it."""
    yield root
    for prefetch in root.prefetch:
        yield from stages(prefetch)


def using_of(stage: Stage) -> str:
    """The vector name that a stage searches."""
    return stage.using if stage.HasField("using") else DEFAULT_VECTOR


def vector_inputs(query: pb.Query) -> list[pb.VectorInput]:
    """Every place of a query that holds a vector or a point id."""
    kind = query.WhichOneof("variant")
    if kind == "nearest":
        return [query.nearest]
    if kind == "nearest_with_mmr":
        return [query.nearest_with_mmr.nearest]
    if kind == "recommend":
        return [*query.recommend.positive, *query.recommend.negative]
    if kind == "discover":
        return [query.discover.target, *_pair_inputs(query.discover.context)]
    if kind == "context":
        return _pair_inputs(query.context)
    if kind == "relevance_feedback":
        feedback = query.relevance_feedback
        return [feedback.target, *(item.example for item in feedback.feedback)]
    return []


def _pair_inputs(context: pb.ContextInput) -> list[pb.VectorInput]:
    return [side for pair in context.pairs for side in (pair.positive, pair.negative)]


def named_ids(root: Stage, collection: str) -> dict[Lookup, list[EdgeId]]:
    """The stored points that a tree refers to, by where they are looked up.

    Args:
        collection: the searched collection's own name.
    """
    wanted: dict[Lookup, list[EdgeId]] = {}
    for stage in stages(root):
        ids = input_ids(vector_inputs(stage.query))
        if ids:
            wanted.setdefault(lookup_of(stage, collection, using_of(stage)), []).extend(ids)
    return wanted


@dataclass(frozen=True, slots=True)
class QueryCompiler:
    """Compiles query trees over one collection, with the vectors of the points that they refer to.

    Attributes:
        collection: the collection's own name.
        space: its vectors, against which every query vector is checked.
        references: the vectors of referenced points.
    """

    collection: str
    space: VectorSpace
    references: ReferencedVectors

    def query(self, root: pb.QueryPoints) -> ShardQuery:
        """A whole `QueryPoints`.

        Raises:
            InvalidArgument: malformed, or a combination that Qdrant refuses.
            NotFound: a referenced point or its vector does not exist.
        """
        limit = positive(root, "limit", DEFAULT_LIMIT)
        return self._root(root, limit, 0 if _is_bare_sample(root) else root.offset)

    def group_source(self, root: pb.QueryPointGroups) -> ShardQuery:
        """The query under a `QueryPointGroups`; limits are set by the grouping. Raises as `query`."""
        return self._root(root, positive(root, "limit", DEFAULT_LIMIT), 0)

    def _root(self, root: Any, limit: int, offset: int) -> ShardQuery:
        _check_stage(root)
        return ShardQuery(
            limit=limit,
            offset=offset,
            scoring=self._scoring(root, limit),
            prefetches=tuple(self._prefetch(prefetch) for prefetch in root.prefetch),
            filter=self._root_filter(root),
            score_threshold=root.score_threshold if root.HasField("score_threshold") else None,
            params=search_params(root),
            with_payload=payload_selection(root),
            with_vectors=vector_selection(root),
        )

    def _root_filter(self, root: Stage) -> edge.Filter | None:
        own = [
            point_id
            for lookup, ids in named_ids(root, self.collection).items()
            if lookup.collection == self.collection
            for point_id in ids
        ]
        return both(optional_filter(root), excluding_ids(own) if own else None)

    def _prefetch(self, source: pb.PrefetchQuery) -> ShardPrefetch:
        _check_stage(source)
        limit = positive(source, "limit", DEFAULT_LIMIT)
        return ShardPrefetch(
            limit=limit,
            scoring=self._scoring(source, limit),
            prefetches=tuple(self._prefetch(prefetch) for prefetch in source.prefetch),
            filter=optional_filter(source),
            score_threshold=source.score_threshold if source.HasField("score_threshold") else None,
            params=search_params(source),
        )

    def _scoring(self, stage: Stage, limit: int) -> Scoring | None:
        if not stage.HasField("query"):
            return None
        query, using = stage.query, using_of(stage)
        kind = query.WhichOneof("variant")
        if kind is None:
            raise InvalidArgument("Query variant is missing")
        if kind == "text":
            return _text_query(query.text, using)
        if kind not in _VECTOR_KINDS:
            return _plain_scoring(query, kind)
        resolver = VectorResolver(self.space, self.references, using, lookup_of(stage, self.collection, using))
        return resolver.scoring(query, kind, limit)


@dataclass(frozen=True, slots=True)
class VectorResolver:
    """Turns the inputs of one stage's query into checked vectors, and the query into Edge's form."""

    space: VectorSpace
    references: ReferencedVectors
    using: str
    lookup: Lookup

    def scoring(self, query: pb.Query, kind: str, limit: int) -> Scoring:
        """A query that compares vectors."""
        if kind == "nearest":
            return edge.Query.Nearest(self.vector(query.nearest), self.using)
        if kind == "nearest_with_mmr":
            return self._mmr(query.nearest_with_mmr, limit)
        if kind == "recommend":
            return self._recommend(query.recommend)
        if kind == "discover":
            return self._discover(query.discover)
        if kind == "context":
            return edge.Query.Context(edge.ContextQuery(self._pairs(query.context.pairs)), self.using)
        return self._feedback(query.relevance_feedback)

    def vector(self, source: pb.VectorInput) -> EdgeVector:
        """One input as a vector.

        Raises:
            InvalidArgument: malformed or not comparable with the searched vector.
            NotFound: it names a point that does not exist or has no such vector.
        """
        vector = self._optional_vector(source)
        if vector is None:
            raise NotFound(f'Not found: Vector with name "{self.lookup.vector}" for point not found')
        return vector

    def _optional_vector(self, source: pb.VectorInput) -> EdgeVector | None:
        vector = query_vector(source)
        if vector is None:
            vector = self.references.get(self.lookup, edge_id(source.id))
        if vector is not None:
            self.space.check(self.using, vector)
        return vector

    def known_vectors(self, sources: Iterable[pb.VectorInput]) -> list[EdgeVector]:
        """The inputs as vectors, without points that lack this one (as Qdrant's recommend does)."""
        return [vector for source in sources if (vector := self._optional_vector(source)) is not None]

    def _mmr(self, source: pb.NearestInputWithMmr, limit: int) -> edge.Mmr | SparseMmr:
        if not source.HasField("nearest"):
            raise InvalidArgument("NearestInputWithMmr nearest is missing")
        diversity = source.mmr.diversity if source.mmr.HasField("diversity") else DEFAULT_MMR_DIVERSITY
        if not 0.0 <= diversity <= 1.0:
            raise InvalidArgument(
                f"Validation error in body: [mmr.diversity: value {diversity} invalid, must be from 0.0 to 1.0]"
            )
        candidates = source.mmr.candidates_limit if source.mmr.HasField("candidates_limit") else limit
        if candidates > MAX_MMR_CANDIDATES and source.mmr.HasField("candidates_limit"):
            raise InvalidArgument(
                f"Validation error in body: [mmr.candidates_limit: value {candidates} invalid, must be "
                f"{MAX_MMR_CANDIDATES} or smaller]"
            )
        vector = self.vector(source.nearest)
        if isinstance(vector, edge.SparseVector):
            return SparseMmr(vector, 1.0 - diversity, candidates, self.using)
        return edge.Mmr(vector, 1.0 - diversity, candidates, self.using)

    def _recommend(self, source: pb.RecommendInput) -> edge.Query:
        positives = self.known_vectors(source.positive)
        negatives = self.known_vectors(source.negative)
        return recommend_scoring(source.strategy, positives, negatives, self.using)

    def _discover(self, source: pb.DiscoverInput) -> edge.Query:
        if not source.HasField("target"):
            raise InvalidArgument("DiscoverInput target is missing")
        if not source.HasField("context"):
            raise InvalidArgument("DiscoverInput context is missing")
        target = self.vector(source.target)
        return edge.Query.Discover(edge.DiscoverQuery(target, self._pairs(source.context.pairs)), self.using)

    def _pairs(self, pairs: Iterable[pb.ContextInputPair]) -> list[edge.ContextPair]:
        return [self._pair(pair) for pair in pairs]

    def _pair(self, pair: pb.ContextInputPair) -> edge.ContextPair:
        if not pair.HasField("positive"):
            raise InvalidArgument("ContextPair positive is missing")
        if not pair.HasField("negative"):
            raise InvalidArgument("ContextPair negative is missing")
        return edge.ContextPair(self.vector(pair.positive), self.vector(pair.negative))

    def _feedback(self, source: pb.RelevanceFeedbackInput) -> edge.Query:
        if source.strategy.WhichOneof("variant") != "naive":
            raise InvalidArgument("FeedbackStrategy variant is missing")
        naive = source.strategy.naive
        if not naive.b >= 0.0:
            raise InvalidArgument(
                f"Validation error in body: [strategy.naive.b: value {naive.b} invalid, must be 0.0 or larger]"
            )
        items = [edge.FeedbackItem(self.vector(item.example), item.score) for item in source.feedback]
        strategy = edge.NaiveFeedbackStrategy(naive.a, naive.b, naive.c)
        feedback = edge.FeedbackNaiveQuery(self.vector(source.target), items, strategy)
        return edge.Query.FeedbackNaive(feedback, self.using)


_VECTOR_KINDS = frozenset({"nearest", "nearest_with_mmr", "recommend", "discover", "context", "relevance_feedback"})


def recommend_scoring(
    strategy: int, positives: list[EdgeVector], negatives: list[EdgeVector], using: str
) -> edge.Query:
    """A recommendation from example vectors."""
    known(strategy, pb.RecommendStrategy, "strategy")
    if strategy == pb.RecommendStrategy.BestScore:
        return edge.Query.RecommendBestScore(edge.RecommendQuery(positives, negatives), using)
    if strategy == pb.RecommendStrategy.SumScores:
        return edge.Query.RecommendSumScores(edge.RecommendQuery(positives, negatives), using)
    return edge.Query.Nearest(average_vector(positives, negatives), using)


def _plain_scoring(query: pb.Query, kind: str) -> Scoring:
    if kind == "order_by":
        return edge_order_by(query.order_by)
    if kind == "fusion":
        known(query.fusion, pb.Fusion, "fusion")
        return edge.Fusion.Dbsf() if query.fusion == pb.Fusion.DBSF else edge.Fusion.Rrf(k=DEFAULT_RRF_K)
    if kind == "rrf":
        return _rrf(query.rrf)
    if kind == "formula":
        return edge_formula(query.formula)
    if kind == "sample":
        known(query.sample, pb.Sample, "sample")
        return edge.Sample.Random
    raise InvalidArgument(f"Wrong input: unknown query variant {kind}")


def _rrf(source: pb.Rrf) -> edge.Fusion.Rrf:
    k = positive(source, "k", DEFAULT_RRF_K)
    return edge.Fusion.Rrf(k=k, weights=list(source.weights) or None)


def _text_query(source: pb.TextQuery, using: str) -> edge.TextQuery:
    # The proto's comment: `using` names the payload field whose text index ranks the points.
    bm25 = source.bm25
    scoring = edge.Bm25Params(k=bm25.k if bm25.HasField("k") else None, b=bm25.b if bm25.HasField("b") else None)
    return edge.TextQuery(json_path(using), source.query, scoring)


def edge_order_by(source: pb.OrderBy) -> edge.OrderBy:
    """An ordering by a payload field.

    Raises:
        InvalidArgument: malformed key path or moment.
    """
    direction = None
    if source.HasField("direction"):
        known(source.direction, pb.Direction, "direction")
        direction = edge.Direction.Desc if source.direction == pb.Direction.Desc else edge.Direction.Asc
    try:
        return edge.OrderBy(json_path(source.key), direction, _start_from(source.start_from))
    except ValueError as error:
        raise InvalidArgument(f"Malformed datetime: {error}") from error


def _start_from(source: pb.StartFrom) -> int | float | str | None:
    kind = source.WhichOneof("value")
    if kind == "timestamp":
        return rfc3339(source.timestamp)
    return None if kind is None else getattr(source, kind)


def _is_bare_sample(root: pb.QueryPoints) -> bool:
    # Qdrant ignores the offset of a random sample, whose order means nothing.
    return root.query.WhichOneof("variant") == "sample" and not root.prefetch


def _check_stage(stage: Stage) -> None:
    kind = stage.query.WhichOneof("variant") if stage.HasField("query") else None
    if stage.prefetch and not stage.HasField("query"):
        raise InvalidArgument(
            "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query."
        )
    if stage.HasField("score_threshold"):
        if kind == "order_by":
            raise InvalidArgument("Bad request: Can't use score_threshold with an order_by query.")
        if not stage.HasField("query"):
            raise InvalidArgument(
                "Bad request: A query is needed to use the score_threshold. "
                "Can't have score_threshold without defining a query."
            )
    if kind in ("fusion", "rrf") and using_of(stage) != DEFAULT_VECTOR:
        raise InvalidArgument("Bad request: Fusion queries cannot be combined with the 'using' field.")

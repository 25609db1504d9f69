"""The older read RPCs: Search, Recommend and Discover, which current clients send as Query.

They differ from the Query API where Qdrant's do: in how they look examples up, and the result is never a tree
(`lib/collection/src/recommendations.rs`, `discovery.rs`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.filters_convert import both, excluding_ids, optional_filter
from vecguard.engine.query import recommend_scoring
from vecguard.engine.references import Lookup, ReferencedVectors, lookup_of
from vecguard.engine.selectors import payload_selection, positive, search_params, vector_selection
from vecguard.engine.shard_query import Scoring, ShardQuery
from vecguard.engine.values_convert import EdgeId, edge_id, edge_ids
from vecguard.engine.vectors_convert import DEFAULT_VECTOR, EdgeVector, VectorSpace, edge_vector, sparse_vector
from vecguard.errors import InvalidArgument

Recommend = pb.RecommendPoints | pb.RecommendPointGroups


def search_query(request: pb.SearchPoints | pb.SearchPointGroups, space: VectorSpace) -> ShardQuery:
    """A `SearchPoints`, or the query under a `SearchPointGroups`.

    Raises:
        InvalidArgument: malformed, or a vector that the collection cannot be searched with.
    """
    name = request.vector_name if request.HasField("vector_name") else DEFAULT_VECTOR
    vector: EdgeVector = array("f", request.vector)
    if request.HasField("sparse_indices"):
        if not request.HasField("vector_name"):
            raise InvalidArgument("Sparse vector must have a name")
        vector = sparse_vector(request.vector, request.sparse_indices.data)
    space.check(name, vector)
    return _query(request, edge.Query.Nearest(vector, name), optional_filter(request))


def _query(request: Any, scoring: Scoring, condition: edge.Filter | None) -> ShardQuery:
    fields = request.DESCRIPTOR.fields_by_name
    has_threshold = "score_threshold" in fields and request.HasField("score_threshold")
    return ShardQuery(
        limit=positive(request, "limit"),
        offset=request.offset if "offset" in fields else 0,
        scoring=scoring,
        filter=condition,
        score_threshold=request.score_threshold if has_threshold else None,
        params=search_params(request),
        with_payload=payload_selection(request),
        with_vectors=vector_selection(request),
    )


def _using(request: Any) -> str:
    return request.using if request.HasField("using") else DEFAULT_VECTOR


def _lookup(request: Any, collection: str) -> Lookup:
    # Unlike the Query API, these RPCs look the unnamed vector up where `lookup_from` names none.
    return lookup_of(request, collection, _using(request), default=DEFAULT_VECTOR)


def recommend_ids(request: Recommend, collection: str) -> dict[Lookup, list[EdgeId]]:
    """The examples that a recommendation names by id, by where they are looked up.

    Raises:
        InvalidArgument: too few examples for the strategy.
    """
    positives = len(request.positive) + len(request.positive_vectors)
    negatives = len(request.negative) + len(request.negative_vectors)
    if request.strategy in (pb.RecommendStrategy.BestScore, pb.RecommendStrategy.SumScores):
        if not positives + negatives:
            raise InvalidArgument(
                "Bad request: At least one positive or negative vector ID required with this strategy"
            )
    elif not positives:
        raise InvalidArgument("Bad request: At least one positive vector ID required with this strategy")
    ids = edge_ids([*request.positive, *request.negative])
    return {_lookup(request, collection): ids}


def recommend_query(
    request: Recommend, collection: str, space: VectorSpace, references: ReferencedVectors
) -> ShardQuery:
    """A `RecommendPoints`, or the query under a `RecommendPointGroups`.

    Raises:
        InvalidArgument: malformed, or examples that do not fit the searched vector.
        NotFound: an example does not exist.
    """
    using = _using(request)
    lookup = _lookup(request, collection)
    positives = _examples(request.positive, request.positive_vectors, lookup, references)
    negatives = _examples(request.negative, request.negative_vectors, lookup, references)
    for vector in (*positives, *negatives):
        space.check(using, vector)
    scoring = recommend_scoring(request.strategy, positives, negatives, using)
    return _query(request, scoring, _excluding(request, [*request.positive, *request.negative], lookup, collection))


def _examples(
    ids: Sequence[pb.PointId], vectors: Sequence[pb.Vector], lookup: Lookup, references: ReferencedVectors
) -> list[EdgeVector]:
    named = [_example(point_id, lookup, references) for point_id in ids]
    return [vector for vector in named if vector is not None] + [edge_vector(vector) for vector in vectors]


def _example(point_id: pb.PointId, lookup: Lookup, references: ReferencedVectors) -> EdgeVector | None:
    key = edge_id(point_id)
    references.require_point(lookup, key)
    return references.get(lookup, key)


def _excluding(request: Any, ids: Sequence[pb.PointId], lookup: Lookup, collection: str) -> edge.Filter | None:
    condition = optional_filter(request)
    if not ids or lookup.collection != collection:
        return condition
    return both(condition, excluding_ids(edge_ids(ids)))


def discover_ids(request: pb.DiscoverPoints, collection: str) -> dict[Lookup, list[EdgeId]]:
    """The target and examples that a discovery names by id, by where they are looked up.

    Raises:
        InvalidArgument: neither a target nor a context.
    """
    if not request.HasField("target") and not request.context:
        raise InvalidArgument("Bad request: target and/or context_pairs must be specified")
    return {_lookup(request, collection): edge_ids(_discover_points(request))}


def _discover_points(request: pb.DiscoverPoints) -> list[pb.PointId]:
    return [example.id for example in _discover_examples(request) if example.WhichOneof("example") == "id"]


def _discover_examples(request: pb.DiscoverPoints) -> list[pb.VectorExample]:
    examples = [request.target.single] if request.HasField("target") else []
    for pair in request.context:
        examples += [pair.positive, pair.negative]
    return examples


def discover_query(
    request: pb.DiscoverPoints, collection: str, space: VectorSpace, references: ReferencedVectors
) -> ShardQuery:
    """A `DiscoverPoints`: with a target a discovery, without one a context search.

    Raises:
        InvalidArgument: malformed, or examples that do not fit the searched vector.
        NotFound: an example does not exist.
    """
    using = _using(request)
    lookup = _lookup(request, collection)

    def resolve(example: pb.VectorExample) -> EdgeVector:
        vector = _discover_vector(example, lookup, references)
        space.check(using, vector)
        return vector

    pairs = [edge.ContextPair(resolve(pair.positive), resolve(pair.negative)) for pair in request.context]
    scoring = (
        edge.Query.Discover(edge.DiscoverQuery(resolve(request.target.single), pairs), using)
        if request.HasField("target")
        else edge.Query.Context(edge.ContextQuery(pairs), using)
    )
    return _query(request, scoring, _excluding(request, _discover_points(request), lookup, collection))


def _discover_vector(example: pb.VectorExample, lookup: Lookup, references: ReferencedVectors) -> EdgeVector:
    kind = example.WhichOneof("example")
    if kind == "vector":
        return edge_vector(example.vector)
    if kind is None:
        raise InvalidArgument("Malformed VectorExample type")
    vector = _example(example.id, lookup, references)
    if vector is None:
        raise InvalidArgument(f"Wrong input: Not existing vector name error: {lookup.vector}")
    return vector

"""Search, Recommend and Discover requests of older clients, said in the Query API: one implementation for all.

The mapping is Qdrant's own: each old endpoint is a special case of Query
(https://qdrant.tech/documentation/concepts/search/#query-api).
"""

from __future__ import annotations

from typing import TypeAlias

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import vectors as wire

Old: TypeAlias = q.SearchPoints | q.RecommendPoints | q.DiscoverPoints
OldGroups: TypeAlias = q.SearchPointGroups | q.RecommendPointGroups

_SHARED = ("filter", "params", "with_payload", "with_vectors", "read_consistency", "shard_key_selector", "lookup_from")


def _copy_shared(old: Old | OldGroups, new: q.QueryPoints | q.QueryPointGroups) -> None:
    new.collection_name = old.collection_name
    names = {field.name for field in old.DESCRIPTOR.fields}
    for name in _SHARED:
        if name in names and old.HasField(name):  # type: ignore[arg-type]
            getattr(new, name).CopyFrom(getattr(old, name))
    if old.HasField("timeout"):
        new.timeout = old.timeout
    if not isinstance(old, q.DiscoverPoints) and old.HasField("score_threshold"):
        new.score_threshold = old.score_threshold
    if old.limit < 1:
        raise InvalidArgument("Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
    new.limit = old.limit


def _search_query(old: q.SearchPoints | q.SearchPointGroups) -> q.Query:
    vector = q.Vector(data=old.vector)
    if old.HasField("sparse_indices"):
        vector.indices.CopyFrom(old.sparse_indices)
    return q.Query(nearest=wire.from_legacy(vector))


def _recommend_query(old: q.RecommendPoints | q.RecommendPointGroups) -> q.Query:
    _check_examples(old)
    query = q.Query()
    query.recommend.positive.extend(q.VectorInput(id=point_id) for point_id in old.positive)
    query.recommend.positive.extend(wire.from_legacy(vector) for vector in old.positive_vectors)
    query.recommend.negative.extend(q.VectorInput(id=point_id) for point_id in old.negative)
    query.recommend.negative.extend(wire.from_legacy(vector) for vector in old.negative_vectors)
    if old.HasField("strategy"):
        query.recommend.strategy = old.strategy
    return query


def _check_examples(old: q.RecommendPoints | q.RecommendPointGroups) -> None:
    positives = len(old.positive) + len(old.positive_vectors)
    if old.strategy in (q.RecommendStrategy.BestScore, q.RecommendStrategy.SumScores):
        if not positives + len(old.negative) + len(old.negative_vectors):
            raise InvalidArgument(
                "Bad request: At least one positive or negative vector ID required with this strategy"
            )
    elif not positives:
        raise InvalidArgument("Bad request: At least one positive vector ID required with this strategy")


def _example(example: q.VectorExample) -> q.VectorInput:
    kind = example.WhichOneof("example")
    if kind == "id":
        return q.VectorInput(id=example.id)
    if kind == "vector":
        return wire.from_legacy(example.vector)
    raise InvalidArgument("Wrong input: vector example is empty")


def _discover_query(old: q.DiscoverPoints) -> q.Query:
    if not old.HasField("target") and not old.context:
        raise InvalidArgument("Bad request: target and/or context_pairs must be specified")
    pairs = [
        q.ContextInputPair(positive=_example(pair.positive), negative=_example(pair.negative)) for pair in old.context
    ]
    query = q.Query()
    if old.HasField("target"):
        query.discover.target.CopyFrom(_example(old.target.single))
        query.discover.context.pairs.extend(pairs)
        query.discover.context.SetInParent()
    else:
        query.context.pairs.extend(pairs)
        query.context.SetInParent()
    return query


def _query_of(old: Old | OldGroups) -> q.Query:
    if isinstance(old, q.SearchPoints | q.SearchPointGroups):
        return _search_query(old)
    if isinstance(old, q.DiscoverPoints):
        return _discover_query(old)
    return _recommend_query(old)


def _using(old: Old | OldGroups) -> str | None:
    if isinstance(old, q.SearchPoints | q.SearchPointGroups):
        return old.vector_name if old.HasField("vector_name") else None
    return old.using if old.HasField("using") else None


def as_query(old: Old) -> q.QueryPoints:
    """The Query request that says the same.

    Raises:
        InvalidArgument: malformed.
    """
    new = q.QueryPoints(query=_query_of(old))
    _copy_shared(old, new)
    using = _using(old)
    if using is not None:
        new.using = using
    if old.HasField("offset"):
        new.offset = old.offset
    return new


def as_groups(old: OldGroups) -> q.QueryPointGroups:
    """The QueryGroups request that says the same.

    Raises:
        InvalidArgument: malformed.
    """
    new = q.QueryPointGroups(query=_query_of(old), group_by=old.group_by, group_size=old.group_size)
    _copy_shared(old, new)
    using = _using(old)
    if using is not None:
        new.using = using
    if old.HasField("with_lookup"):
        new.with_lookup.CopyFrom(old.with_lookup)
    return new

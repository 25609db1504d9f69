"""A Query API request as a tree of stages, its filters already in their stored form.

As in Qdrant, the root's filter holds for every stage below it, and points that the request names as examples are left
out of its results (lib/collection/src/operations/universal_query/collection_query.rs).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.fields import Fields
from vecguard.front.qdrant import filters
from vecguard.rerank import PointId

DEFAULT_LIMIT: Final = 10
DEFAULT_GROUP_SIZE: Final = 3
_DEEPEST: Final = 16

Ask: TypeAlias = q.QueryPoints | q.QueryPointGroups
Source: TypeAlias = Ask | q.PrefetchQuery


@dataclass(frozen=True, slots=True)
class Stage:
    """One query over a collection, or over what its `prefetch` stages found."""

    query: q.Query | None
    prefetch: tuple[Stage, ...]
    using: str
    filter: q.Filter | None
    params: q.SearchParams | None
    threshold: float | None
    limit: int
    offset: int
    lookup: q.LookupLocation | None

    @property
    def kind(self) -> str | None:
        """Which variant the query is; None without a query."""
        return self.query.WhichOneof("variant") if self.query is not None else None

    def walk(self) -> Iterator[Stage]:
        """This stage and all below it."""
        yield self
        for stage in self.prefetch:
            yield from stage.walk()


def key_of(point_id: q.PointId) -> PointId:
    """A point id as a value that compares equal for all spellings of one UUID.

    Raises:
        InvalidArgument: empty, or no UUID.
    """
    kind = point_id.WhichOneof("point_id_options")
    if kind == "num":
        return point_id.num
    if kind is None:
        raise InvalidArgument("No ID options provided")
    try:
        return str(uuid.UUID(point_id.uuid))
    except ValueError:
        raise InvalidArgument(f"Unable to parse UUID: {point_id.uuid}") from None


def id_message(key: PointId) -> q.PointId:
    """The message for a key."""
    return q.PointId(num=key) if isinstance(key, int) else q.PointId(uuid=str(key))


def copy_read_options(source: Ask, ask: q.QueryPoints | q.GetPoints | q.ScrollPoints) -> None:
    """Give a request that is made out of a client's the client's consistency, shards and time limit."""
    if source.HasField("read_consistency"):
        ask.read_consistency.CopyFrom(source.read_consistency)
    if source.HasField("shard_key_selector"):
        ask.shard_key_selector.CopyFrom(source.shard_key_selector)
    if source.HasField("timeout"):
        ask.timeout = source.timeout


def vector_inputs(query: q.Query) -> list[q.VectorInput]:
    """Every place of a query that holds a vector or the id of an example."""
    match query.WhichOneof("variant"):
        case "nearest":
            return [query.nearest]
        case "nearest_with_mmr":
            return [query.nearest_with_mmr.nearest]
        case "recommend":
            return [*query.recommend.positive, *query.recommend.negative]
        case "discover":
            return [query.discover.target, *_pair_inputs(query.discover.context)]
        case "context":
            return _pair_inputs(query.context)
        case "relevance_feedback":
            feedback = query.relevance_feedback
            return [feedback.target, *(item.example for item in feedback.feedback)]
    return []


def _pair_inputs(context: q.ContextInput) -> list[q.VectorInput]:
    return [side for pair in context.pairs for side in (pair.positive, pair.negative)]


def _sources(source: Source, depth: int = 0) -> Iterator[Source]:
    if depth > _DEEPEST:
        raise InvalidArgument(f"Bad request: prefetches are nested more than {_DEEPEST} levels deep")
    yield source
    for prefetch in source.prefetch:
        yield from _sources(prefetch, depth + 1)


def _own_examples(root: Ask) -> list[q.PointId]:
    """Ids of the examples that the request takes from the searched collection itself."""
    return [
        example.id
        for source in _sources(root)
        if not source.HasField("lookup_from") or source.lookup_from.collection_name == root.collection_name
        for example in vector_inputs(source.query)
        if example.WhichOneof("variant") == "id"
    ]


def _stored_filter(source: Source, fields: Fields) -> q.Filter | None:
    if not source.HasField("filter"):
        return None
    stored = q.Filter()
    stored.CopyFrom(source.filter)
    filters.rewrite(stored, fields)
    return stored


def _params(source: Source, fields: Fields) -> q.SearchParams | None:
    if not source.HasField("params"):
        return None
    params = q.SearchParams()
    params.CopyFrom(source.params)
    if params.HasField("idf") and params.idf.HasField("corpus"):
        filters.rewrite(params.idf.corpus, fields)
    return params


def limit_of(source: Source) -> int:
    """How many results a request asks for.

    Raises:
        InvalidArgument: none.
    """
    limit = source.limit if source.HasField("limit") else DEFAULT_LIMIT
    if limit < 1:
        raise InvalidArgument("Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
    return limit


def _stage(source: Source, inherited: q.Filter | None, own: q.Filter | None, offset: int, fields: Fields) -> Stage:
    return Stage(
        query=source.query if source.HasField("query") else None,
        prefetch=tuple(
            _prefetched(_stage(prefetch, inherited, _stored_filter(prefetch, fields), 0, fields))
            for prefetch in source.prefetch
        ),
        using=source.using if source.HasField("using") else "",
        filter=filters.merged(inherited, own),
        params=_params(source, fields),
        threshold=source.score_threshold if source.HasField("score_threshold") else None,
        limit=limit_of(source),
        offset=offset,
        lookup=source.lookup_from if source.HasField("lookup_from") else None,
    )


def _prefetched(stage: Stage) -> Stage:
    """A stage as Qdrant runs it below another: MMR diversifies final answers only, so its leaf gives its candidates.

    Source: lib/shard/src/query/planned_query.rs, `leaf_source_from_scoring_query`.
    """
    if stage.kind != "nearest_with_mmr" or stage.prefetch or stage.query is None:
        return stage
    with_mmr = stage.query.nearest_with_mmr
    limit = with_mmr.mmr.candidates_limit if with_mmr.mmr.HasField("candidates_limit") else stage.limit
    return replace(stage, query=q.Query(nearest=with_mmr.nearest), limit=limit)


def build(root: Ask, fields: Fields) -> Stage:
    """The tree of a request.

    Raises:
        InvalidArgument: malformed, too deep, or a filter that the fields' modes cannot answer.
    """
    examples = _own_examples(root)
    excluded = filters.without_ids(examples) if examples else None
    inherited = filters.merged(_stored_filter(root, fields), excluded)
    offset = root.offset if isinstance(root, q.QueryPoints) else 0
    return _stage(root, inherited, None, offset, fields)

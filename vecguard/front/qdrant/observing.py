"""What detection is told of Qdrant's calls: which points, scores, vectors and payloads an answer holds, and for what.

Request and answer are read as the client has them, after the answer was made; so nothing here can refuse anything.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.detect.reading import NO_QUERY, Dense, Reading, Sparse, Vectors, count_of, mean_row
from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.filter_shape import ids_named, shape_of
from vecguard.front.qdrant.legacy import as_groups, as_query
from vecguard.front.qdrant.stages import DEFAULT_LIMIT, key_of, limit_of, vector_inputs
from vecguard.model import Shape

Query: TypeAlias = q.QueryPoints | q.QueryPointGroups
Source: TypeAlias = Query | q.PrefetchQuery
Point: TypeAlias = q.ScoredPoint | q.RetrievedPoint
Answer: TypeAlias = Message

_FLOAT_BYTES: Final = 4
_OLD: Final = (q.SearchPoints, q.RecommendPoints, q.DiscoverPoints)
_OLD_GROUPS: Final = (q.SearchPointGroups, q.RecommendPointGroups)
_BATCHES: Final = (q.SearchBatchPoints, q.RecommendBatchPoints, q.DiscoverBatchPoints, q.QueryBatchPoints)
_WITH_VECTORS: Final = (
    *(q.UpsertPoints, q.PointsUpdateOperation.PointStructList),
    *(q.UpdatePointVectors, q.PointsUpdateOperation.UpdateVectors),
)
_WRITES: Final = (
    *(q.UpsertPoints, q.UpdateBatchPoints, q.UpdatePointVectors, q.SetPayloadPoints, q.DeletePayloadPoints),
    *(q.ClearPayloadPoints, q.DeletePoints, q.DeletePointVectors),
)


def observe(ask: Message, answer: Message, entries: Mapping[str, Entry], shape: Shape) -> list[Reading]:
    """Read a served call; see `vecguard.detect.watch.Observe`. Calls that touch no record give nothing."""
    del entries
    if isinstance(ask, (q.QueryPoints, *_OLD)):
        return [_searched([ask], [answer.result], shape)]  # type: ignore[attr-defined]  # by the route's types
    if isinstance(ask, _BATCHES):
        asks = list(ask.query_points if isinstance(ask, q.QueryBatchPoints) else _old_batch(ask))
        if not asks:
            return []
        return [_searched(asks, [batch.result for batch in answer.result], shape, ask.collection_name)]  # type: ignore[attr-defined]
    if isinstance(ask, (q.QueryPointGroups, *_OLD_GROUPS)):
        return _grouped(ask, answer.result, shape)  # type: ignore[attr-defined]
    if isinstance(ask, _WRITES):
        return [_written(ask)]
    return _plain_read(ask, answer, shape)


def _plain_read(ask: Message, answer: Message, shape: Shape) -> list[Reading]:
    """Reads without a query vector."""
    if isinstance(ask, q.GetPoints) and isinstance(answer, q.GetResponse):
        found = Reading(ask.collection_name, "retrieve", limit=len(ask.ids))
        return [_with_points(found, answer.result, NO_QUERY, shape)]
    if isinstance(ask, q.ScrollPoints) and isinstance(answer, q.ScrollResponse):
        found = Reading(ask.collection_name, "scroll", limit=ask.limit if ask.HasField("limit") else DEFAULT_LIMIT)
        _look_at_filters(found, [ask])
        return [_with_points(found, answer.result, NO_QUERY, shape)]
    if isinstance(ask, q.CountPoints):
        return [_counted(Reading(ask.collection_name, "count"), ask)]
    if isinstance(ask, q.FacetCounts) and isinstance(answer, q.FacetResponse):
        found = Reading(ask.collection_name, "count", limit=ask.limit if ask.HasField("limit") else DEFAULT_LIMIT)
        if answer.hits:
            found.left.add("payload")
        return [_counted(found, ask)]
    if isinstance(ask, q.SearchMatrixPoints):
        return [_matrix(ask, answer, shape)]
    return []


def _counted(found: Reading, ask: q.CountPoints | q.FacetCounts) -> Reading:
    _look_at_filters(found, [ask])
    return found


def _old_batch(ask: q.SearchBatchPoints | q.RecommendBatchPoints | q.DiscoverBatchPoints) -> Iterable[Message]:
    if isinstance(ask, q.SearchBatchPoints):
        return ask.search_points
    return ask.recommend_points if isinstance(ask, q.RecommendBatchPoints) else ask.discover_points


def _searched(
    asks: Iterable[Message], results: Iterable[Iterable[q.ScoredPoint]], shape: Shape, collection: str = ""
) -> Reading:
    """Queries and their hits, of one call on one collection."""
    found = Reading(collection, "scroll")
    for ask, points in zip(asks, results, strict=True):
        query = ask if isinstance(ask, q.QueryPoints) else as_query(ask)  # type: ignore[arg-type]
        if not _lists(query):
            found.operation = "search"
        found.collection = found.collection or query.collection_name
        first = _look_at_query(found, query)
        _with_points(found, points, first, shape)
    return found


def _lists(query: q.QueryPoints) -> bool:
    """Whether a query goes through the collection in some order that no vector has a part in."""
    kind = query.query.WhichOneof("variant") if query.HasField("query") else None
    return not query.prefetch and kind in (None, "order_by", "sample")


def _grouped(ask: Message, result: q.GroupsResult, shape: Shape) -> list[Reading]:
    query = ask if isinstance(ask, q.QueryPointGroups) else as_groups(ask)  # type: ignore[arg-type]
    found = Reading(query.collection_name, "search")
    first = _look_at_query(found, query)
    for group in result.groups:
        _with_points(found, group.hits, first, shape)
    if not query.HasField("with_lookup"):
        return [found]
    other = Reading(query.with_lookup.collection, "retrieve", limit=len(result.groups))
    return [
        found,
        _with_points(other, (group.lookup for group in result.groups if group.HasField("lookup")), -1, shape),
    ]


def _look_at_query(found: Reading, query: Query) -> int:
    """Take what a query asks; the row of its first vector among `found.queries`, or NO_QUERY."""
    row = count_of(found.queries)
    sources = list(_sources(query))
    for source in sources:
        if source.HasField("query"):
            found.queries += (
                given for one in vector_inputs(source.query) if (given := _input(source.using, one)) is not None
            )
        found.exact = found.exact or (source.HasField("params") and source.params.exact)
        found.limit = max(found.limit, limit_of(source))
    _look_at_filters(found, sources)
    if isinstance(query, q.QueryPoints):
        found.offset = max(found.offset, query.offset)
    return row if count_of(found.queries) > row else NO_QUERY


def _sources(source: Source) -> Iterator[Source]:
    yield source
    for prefetch in source.prefetch:
        yield from _sources(prefetch)


def _look_at_filters(found: Reading, asks: Iterable[Message]) -> None:
    for ask in asks:
        if ask.HasField("filter"):
            given: q.Filter = getattr(ask, "filter")  # noqa: B009 - a field of all these
            found.filters.append(shape_of(given))
            found.filter_ids += ids_named(given)


def _input(name: str, given: q.VectorInput) -> Vectors | None:
    """A query's vector; None for an example by id."""
    vector = wire.read_input(given)
    return None if isinstance(vector, q.PointId) else _named(name, vector)


def _named(name: str, vector: wire.AnyVector) -> Vectors:
    if isinstance(vector, wire.Dense):
        return Dense(name, vector.data[np.newaxis, :])
    return (
        Sparse(name, vector.indices, vector.values) if isinstance(vector, wire.Sparse) else mean_row(name, vector.rows)
    )


def _with_points(found: Reading, points: Iterable[Point], query: int, shape: Shape) -> Reading:
    """Take the points of an answer that `query` found."""
    shown = shape.scores != "hidden"
    vectors: dict[str, list[q.VectorOutput]] = {}
    holders: dict[str, list[int | str]] = {}
    for point in points:
        key = _id(point.id)
        found.ids.append(key)
        if shown and isinstance(point, q.ScoredPoint):
            found.scores.append(point.score)
            found.left.add("scores")
        else:
            found.scores.append(math.nan)
        if point.payload:
            found.left.add("payload")
        if point.HasField("vectors"):
            for name, vector in _held(point.vectors):
                vectors.setdefault(name, []).append(vector)
                holders.setdefault(name, []).append(key)
    found.query_of += [query] * (len(found.ids) - len(found.query_of))
    for name, outputs in vectors.items():
        found.vectors += _read_all(name, outputs)
        found.vector_ids += holders[name]
        found.left.add("vectors")
    return found


def _held(vectors: q.VectorsOutput) -> Iterable[tuple[str, q.VectorOutput]]:
    kind = vectors.WhichOneof("vectors_options")
    if kind == "vector":
        return (("", vectors.vector),)
    return vectors.vectors.vectors.items() if kind == "vectors" else ()


def _read_all(name: str, outputs: Sequence[q.VectorOutput]) -> list[Vectors]:
    """The vectors of one name; dense ones together, as they are nearly always."""
    first = wire.read(outputs[0])
    if isinstance(first, wire.Dense):
        matrix = wire.dense_matrix(outputs, first.data.size)
        if matrix is not None:
            return [Dense(name, matrix)]
    return [_named(name, wire.read(vector)) for vector in outputs]


def _matrix(ask: q.SearchMatrixPoints, answer: Message, shape: Shape) -> Reading:
    """A distance matrix: each pair counts as a hit of its first point, since its score tells of both."""
    found = Reading(ask.collection_name, "search", limit=ask.sample if ask.HasField("sample") else DEFAULT_LIMIT)
    _look_at_filters(found, [ask])
    if isinstance(answer, q.SearchMatrixPairsResponse):
        found.ids = [_id(pair.a) for pair in answer.result.pairs]
        scores = [pair.score for pair in answer.result.pairs]
    elif isinstance(answer, q.SearchMatrixOffsetsResponse):
        ids = [_id(one) for one in answer.result.ids]
        found.ids = [ids[row] for row in answer.result.offsets_row]
        scores = list(answer.result.scores)
    else:
        return found
    hidden = shape.scores == "hidden"
    found.scores = [math.nan] * len(scores) if hidden else scores
    found.query_of = [NO_QUERY] * len(found.ids)
    if scores and not hidden:
        found.left.add("scores")
    return found


def _id(message: q.PointId) -> int | str:
    """A point's id, in the one form that it has in answers."""
    return message.num if message.WhichOneof("point_id_options") == "num" else message.uuid


def _written(ask: Message) -> Reading:
    """A write: the points that it names, and the vectors that it brings."""
    name: str = getattr(ask, "collection_name")  # noqa: B009 - a field of all writes
    found = Reading(name, "delete" if isinstance(ask, q.DeletePoints) else "write")
    if isinstance(ask, q.UpdateBatchPoints):
        kinds = {operation.WhichOneof("operation") for operation in ask.operations}
        if kinds and kinds <= {"delete_points", "delete_deprecated"}:
            found.operation = "delete"
        for operation in ask.operations:
            kind = operation.WhichOneof("operation")
            if kind is not None:
                _one_write(found, getattr(operation, kind))
    else:
        _one_write(found, ask)
    found.limit = len(found.written)
    return found


def _one_write(found: Reading, write: Message) -> None:
    fields = write.DESCRIPTOR.fields_by_name
    if isinstance(write, _WITH_VECTORS):
        found.written += [_client_id(point.id) for point in write.points]
        found.written_vectors += _given([point.vectors for point in write.points])
    for place in ("points", "points_selector"):
        if place in fields and fields[place].message_type is q.PointsSelector.DESCRIPTOR and write.HasField(place):
            _selected(found, getattr(write, place))
    if isinstance(write, q.PointsSelector):
        _selected(found, write)


def _selected(found: Reading, selector: q.PointsSelector) -> None:
    found.written += [_client_id(one) for one in selector.points.ids]
    _look_at_filters(found, [selector])


def _given(holders: Sequence[q.Vectors]) -> Iterator[Vectors]:
    """The vectors that a client wrote, in order; dense ones alike that follow each other are one matrix."""
    dims = len(holders[0].vector.dense.data) if holders else 0
    matrix = wire.read_only_dense(holders, "", dims) if dims else None
    if matrix is not None:  # as of most writes
        yield Dense("", matrix)
        return
    given = ((name, wire.dense_bytes(one), one) for vectors in holders for name, one in _written_vectors(vectors))
    for (name, size), run in itertools.groupby(given, lambda one: (one[0], len(one[1] or b""))):
        if size:
            data = b"".join([dense for _, dense, _ in run if dense is not None])
            yield Dense(name, np.frombuffer(data, "<f4").reshape(-1, size // _FLOAT_BYTES))
        else:
            yield from (_named(name, wire.read(one)) for _, _, one in run)


def _written_vectors(vectors: q.Vectors) -> Iterable[tuple[str, q.Vector]]:
    kind = vectors.WhichOneof("vectors_options")
    if kind == "vector":
        return (("", vectors.vector),)
    return vectors.vectors.vectors.items() if kind == "vectors" else ()


def _client_id(message: q.PointId) -> int | str:
    """An id as a client wrote it, in the form that it has in answers."""
    try:
        key = key_of(message)
        return key if isinstance(key, int) else str(key)
    except InvalidArgument:  # a call that was served has none such
        return ""

"""What detection is told of Milvus' calls: which rows, distances, vectors and columns an answer holds, and for what.

Request and answer are read as the client has them, after the answer was made; so nothing here can refuse anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from vecguard.catalog import Entry
from vecguard.detect.reading import NO_QUERY, Dense, Id, Reading, Sparse, Vectors, count_of
from vecguard.errors import InvalidArgument
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.columns import half_to_float, row_count, sparse, sparse_row, valid_rows
from vecguard.front.milvus.expression import named_ids, shape_of
from vecguard.front.milvus.layout import layout_of
from vecguard.front.milvus.placeholder import DenseQueries, SparseQueries, read_queries
from vecguard.front.milvus.proto import c, m, s
from vecguard.model import Shape

_COUNT: Final = "count(*)"
_HALVES: Final = {"float16_vector": kinds.FLOAT16_VECTOR, "bfloat16_vector": kinds.BFLOAT16_VECTOR}


def observe(ask: Message, answer: Message, entries: Mapping[str, Entry], shape: Shape) -> list[Reading]:
    """Read a served call; see `vecguard.detect.watch.Observe`. Calls that touch no row give nothing."""
    if len(entries) != 1:  # calls on rows open one collection each
        return []
    ((collection, entry),) = entries.items()
    if isinstance(ask, m.SearchRequest | m.HybridSearchRequest) and isinstance(answer, m.SearchResults):
        return [_searched(Reading(collection, "search"), ask, answer.results, shape)]
    primary = _primary(entry, answer)
    if isinstance(ask, m.QueryRequest) and isinstance(answer, m.QueryResults):
        return [_queried(collection, ask, answer, primary)]
    if isinstance(ask, m.InsertRequest | m.UpsertRequest) and isinstance(answer, m.MutationResult):
        return [_inserted(Reading(collection, "write"), ask, answer)]
    if isinstance(ask, m.DeleteRequest):
        found = Reading(collection, "delete")
        _look_at_expression(found, ask, primary)
        found.written = list(_named(ask, primary) or ())
        found.limit = len(found.written)
        return [found]
    return []


def _primary(entry: Entry, answer: Message) -> str:
    """The name of the primary key; empty where neither a manifest nor the answer tells it."""
    if entry.shield is not None:
        return layout_of(entry.shield).primary.name
    return str(getattr(answer, "primary_field_name", ""))


def _searched(
    found: Reading, ask: m.SearchRequest | m.HybridSearchRequest, results: s.SearchResultData, shape: Shape
) -> Reading:
    requests = [ask] if isinstance(ask, m.SearchRequest) else list(ask.requests)
    first = NO_QUERY
    for request in requests:
        before = count_of(found.queries)
        found.queries += _queries(request)
        if first == NO_QUERY and count_of(found.queries) > before:
            first = before
        _look_at_parameters(found, request.search_params)
        _look_at_expression(found, request, "")
    if isinstance(ask, m.HybridSearchRequest):
        _look_at_parameters(found, ask.rank_params)
    found.ids = _ids(results.ids)
    queries = [row for row, hits in enumerate(results.topks) for _ in range(hits)]
    found.query_of = [NO_QUERY if first == NO_QUERY else first + row for row in queries]
    hidden = shape.scores == "hidden" or len(results.scores) != len(found.ids)
    found.scores = [math.nan] * len(found.ids) if hidden else list(results.scores)
    if found.ids and not hidden:
        found.left.add("scores")
    return _with_columns(found, results.fields_data, "")


def _queries(request: m.SearchRequest) -> list[Vectors]:
    """The query vectors of a search; texts that the database turns into vectors are none."""
    with suppress(InvalidArgument):  # of a collection in clear, whose vectors may be of any kind
        name = next((pair.value for pair in request.search_params if pair.key == "anns_field"), "")
        given = read_queries(request.placeholder_group)
        if isinstance(given, DenseQueries):
            return [Dense(name, given.x)]
        if isinstance(given, SparseQueries):
            return [Sparse(name, indices, values) for indices, values in given.rows]
    return []


def _look_at_parameters(found: Reading, pairs: Iterable[c.KeyValuePair]) -> None:
    for pair in pairs:
        with suppress(ValueError):
            if pair.key in ("topk", "limit", "search_iter_batch_size"):
                found.limit = max(found.limit, int(pair.value, 0))
            elif pair.key == "offset":
                found.offset = max(found.offset, int(pair.value, 0))


def _expression(ask: m.SearchRequest | m.QueryRequest | m.DeleteRequest) -> str:
    text: str = ask.dsl if isinstance(ask, m.SearchRequest) else ask.expr
    return text


def _look_at_expression(found: Reading, ask: m.SearchRequest | m.QueryRequest | m.DeleteRequest, primary: str) -> None:
    text = _expression(ask)
    with suppress(InvalidArgument):  # of a collection in clear, where an expression need not be one that is known here
        if text.strip():
            found.filters.append(shape_of(text))
            found.filter_ids += len(_named(ask, primary) or ())


def _named(ask: m.SearchRequest | m.QueryRequest | m.DeleteRequest, primary: str) -> tuple[Id, ...] | None:
    """The primary keys that a filter consists of; None where it is another."""
    with suppress(InvalidArgument):
        return named_ids(_expression(ask), primary, ask.expr_template_values)
    return None


def _queried(collection: str, ask: m.QueryRequest, answer: m.QueryResults, primary: str) -> Reading:
    named = _named(ask, primary)
    found = Reading(collection, "scroll" if named is None else "retrieve", limit=0 if named is None else len(named))
    if any(name.strip().lower().startswith("count(") for name in ask.output_fields):
        found.operation = "count"
    _look_at_parameters(found, ask.query_params)
    _look_at_expression(found, ask, primary)
    held = next((data for data in answer.fields_data if data.field_name == primary), None)
    found.ids = [] if held is None else _keys(held)
    found.query_of = [NO_QUERY] * len(found.ids)
    found.scores = [math.nan] * len(found.ids)
    return _with_columns(found, answer.fields_data, primary)


def _with_columns(found: Reading, columns: Sequence[s.FieldData], primary: str) -> Reading:
    """Take the columns of an answer beside its primary keys."""
    for data in columns:
        if not data.HasField("vectors"):
            if data.field_name != primary and found.ids:
                found.left.add("payload")
            continue
        for vectors, row in _vectors(data, len(found.ids)):
            found.vectors.append(vectors)
            found.vector_ids.append(found.ids[row])
    if found.vectors:
        found.left.add("vectors")
    return found


def _vectors(data: s.FieldData, rows: int) -> Iterator[tuple[Vectors, int]]:
    """The vectors of a column, and the row of each."""
    kind = data.vectors.WhichOneof("data")
    if kind == "sparse_float_vector":
        held = sparse(data, rows)
        for content, row in zip(held.elements, held.rows, strict=True):
            yield Sparse(data.field_name, *sparse_row(content, data.field_name)), row
        return
    matrix = _matrix(data.vectors, kind)
    at, row_of = valid_rows(data, len(matrix), rows)
    for i, row in zip(at, row_of, strict=True):
        yield Dense(data.field_name, matrix[i : i + 1]), row


def _matrix(vectors: s.VectorField, kind: str | None) -> NDArray[np.float32]:
    """Dense vectors of a column, one a row, as float32."""
    if kind is None:
        return np.zeros((0, 1), np.float32)
    if kind == "float_vector":
        flat = np.array(vectors.float_vector.data, np.float32)
    elif kind in _HALVES:
        flat = half_to_float(getattr(vectors, kind), _HALVES[kind])
    elif kind == "binary_vector":
        flat = np.unpackbits(np.frombuffer(vectors.binary_vector, np.uint8)).astype(np.float32) * 2 - 1
    else:
        flat = np.frombuffer(getattr(vectors, kind), np.int8).astype(np.float32)
    return flat.reshape(-1, vectors.dim)


def _inserted(found: Reading, ask: m.InsertRequest | m.UpsertRequest, answer: m.MutationResult) -> Reading:
    found.written = _ids(answer.IDs)
    found.limit = int(ask.num_rows)
    for data in ask.fields_data:
        if data.HasField("vectors"):
            found.written_vectors += (vectors for vectors, _ in _vectors(data, int(ask.num_rows)))
    return found


def _ids(ids: s.IDs) -> list[Id]:
    return list(ids.str_id.data) if ids.HasField("str_id") else list(ids.int_id.data)


def _keys(data: s.FieldData) -> list[Id]:
    kind = data.scalars.WhichOneof("data")
    return [] if kind is None or not row_count(data) else list(getattr(data.scalars, kind).data)

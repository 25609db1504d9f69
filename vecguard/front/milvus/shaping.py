"""Answers in the form that the caller's role may have: without vectors, with rounded distances, or their order alone.

What would tell a distance in another way is refused where distances are not exact: ranges, search iterators (whose
bounds are distances) and functions over scores. Vectors that nobody named (`*`) are left out for a role without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import Message

from vecguard.errors import Denied
from vecguard.front.milvus.distances import Band
from vecguard.front.milvus.proto import m, s
from vecguard.front.milvus.search_parameters import read_search_parameters
from vecguard.model import Shape


def shaped(ask: Message, answer: Message, shape: Shape) -> None:
    """Give an answer the form `shape`, in place. `ask` is the client's request.

    Raises:
        Denied: the request asks for what that form does not have.
    """
    if shape.vectors == "deny":
        _leave_vectors_out(ask, answer)
    if shape.scores == "exact":
        return
    if isinstance(ask, m.SearchRequest):
        _require_coarse([ask])
    elif isinstance(ask, m.HybridSearchRequest):
        _require_coarse([*ask.requests, ask])
    if isinstance(answer, m.SearchResults):
        _coarsen(answer.results, shape)


def _leave_vectors_out(ask: Message, answer: Message) -> None:
    if isinstance(answer, m.SearchResults):
        holder: m.QueryResults | s.SearchResultData = answer.results
    elif isinstance(answer, m.QueryResults):
        holder = answer
    else:
        return
    vectors = {data.field_name for data in holder.fields_data if data.HasField("vectors")}
    asked: Any = ask
    if named := sorted(vectors & set(asked.output_fields)):
        raise Denied(f"vectors are not given to this caller: ask without the field {named[0]}")
    kept = [data for data in holder.fields_data if not data.HasField("vectors")]
    del holder.fields_data[:]
    holder.fields_data.extend(kept)
    names = [name for name in holder.output_fields if name not in vectors]
    holder.output_fields[:] = names


def _require_coarse(requests: Sequence[m.SearchRequest | m.HybridSearchRequest]) -> None:
    for request in requests:
        if request.HasField("function_score"):
            raise Denied("functions over scores are not answered to this caller, whose distances are not exact")
        if isinstance(request, m.SearchRequest):
            _require_no_bounds(request.search_params)


def _require_no_bounds(pairs: Iterable[Any]) -> None:
    parameters = read_search_parameters(pairs, default_limit=1)
    if parameters.band != Band() or parameters.iteration is not None:
        raise Denied("ranges and iterators are not answered to this caller, whose distances are not exact")


def _coarsen(results: s.SearchResultData, shape: Shape) -> None:
    hidden = shape.scores == "hidden"
    for name in ("scores", "distances"):
        if name in results.DESCRIPTOR.fields_by_name:
            values = getattr(results, name)
            values[:] = [0.0 if hidden else round(value, shape.decimals) for value in values]

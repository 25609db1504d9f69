"""Hybrid search, and search with a rerank function: several searches, or one, fused into one ranking.

Where the database's own distances are exact in every search, and its ranker needs no value that it has not, the request
goes on rewritten. Else each search is run for itself, exactly, and their results are fused here by the same formulas
(`rankers`); the columns that the client wants are then read for the winners alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus import reveal
from vecguard.front.milvus.candidates import GroupKey, column_named, primary_keys
from vecguard.front.milvus.columns import scalars
from vecguard.front.milvus.distances import PrimaryKey
from vecguard.front.milvus.execute import Executor, Found, Hit
from vecguard.front.milvus.function_scores import for_database, read_function_score, read_rank_strategy
from vecguard.front.milvus.grouping import group_keys, require_groupable
from vecguard.front.milvus.layout import is_hidden
from vecguard.front.milvus.outputs import client_outputs, dynamic_keys, stored_outputs
from vecguard.front.milvus.proto import TYPE_NAMES, c, m, rpc, s
from vecguard.front.milvus.rankers import Decay, Ranker, Source, grouped_page
from vecguard.front.milvus.search_metrics import metric_of
from vecguard.front.milvus.search_parameters import (
    Grouping,
    RankParameters,
    read_rank_parameters,
    read_search_parameters,
)
from vecguard.front.milvus.search_plan import (
    Plan,
    by_keys,
    is_direct,
    plan_search,
    protected_group,
    require_allowed,
    require_few,
    row_of_key,
    run_plan,
)
from vecguard.front.milvus.search_results import columns_of, ids_of, ranked_results, reveal_results, wanted_by
from vecguard.front.milvus.selection import RowPlace, chosen_rows
from vecguard.front.milvus.serve_reads import set_templates
from vecguard.front.milvus.status import ask
from vecguard.metric import FloatArray
from vecguard.stages import timed

_SEARCH: Final = rpc("Search")
_QUERY: Final = rpc("Query")
_HYBRID_SEARCH: Final = rpc("HybridSearch")
# Milvus' own limit (internal/proxy/task_search.go, defaultMaxSearchRequest).
_MOST_SEARCHES: Final = 1_024
_NUMERIC: Final = frozenset({kinds.INT8, kinds.INT16, kinds.INT32, kinds.INT64, kinds.FLOAT, kinds.DOUBLE})


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One search's results: what it found, under which metric."""

    found: Found
    metric: str

    def source(self, query: int) -> Source:
        """The results of one query, to be fused."""
        hits = self.found.hits[query]
        return Source(tuple(hit.key for hit in hits), distances_of(hits), self.metric)


async def hybrid_search(request: m.HybridSearchRequest, executor: Executor) -> m.SearchResults:
    """The answer to a hybrid search on a protected collection.

    Raises:
        InvalidArgument, Refused, LimitExceeded: something that is not understood or cannot be served.
        UpstreamFailure: the database says no, or cannot be reached.
    """
    shield, layout = executor.shield, executor.layout
    _require_served(request)
    rank = read_rank_parameters(request.rank_params)
    require_allowed(rank, shield)
    if rank.grouping is not None:
        require_groupable(shield, layout, rank.grouping.field)
    if len(request.requests) > _MOST_SEARCHES:
        raise InvalidArgument(f"maximum of ann search requests is {_MOST_SEARCHES}")
    plans = [_plan(sub, rank, executor) for sub in request.requests]
    if not plans or len({plan.count for plan in plans}) != 1:
        raise InvalidArgument("the searches of a hybrid search need the same number of query vectors, at least one")
    require_few(rank, sum(plan.count for plan in plans), shield)
    outputs = stored_outputs(layout, request.output_fields)
    score = request.function_score if request.HasField("function_score") else None
    passed = None if score is None else for_database(score, layout, shield)
    if all(is_direct(plan, shield, planted=executor.planted) for plan in plans) and (
        score is None or passed is not None
    ):
        read_rank_strategy(rank)
        return await _forwarded(request, plans, passed, outputs, executor, rank.grouping)
    ranker = read_rank_strategy(rank) if score is None else read_function_score(score)
    return await _fused(plans, ranker, rank, outputs, executor)


def _require_served(request: m.HybridSearchRequest) -> None:
    for part in ("namespace", "function_chains", "base"):
        field = request.DESCRIPTOR.fields_by_name.get(part)
        if field is not None and any(field is found for found, _ in request.ListFields()):
            raise InvalidArgument(f"{part} is refused on a protected collection")


def _plan(sub: m.SearchRequest, rank: RankParameters, executor: Executor) -> Plan:
    """One search of a hybrid one: it has its own limit, but neither offset nor other groups than that."""
    parameters = read_search_parameters(sub.search_params, default_limit=rank.limit + rank.offset)
    if parameters.iteration is not None or sub.HasField("function_score"):
        raise InvalidArgument("a search within a hybrid search can neither iterate nor rerank")
    if parameters.grouping is not None and not _same_groups(parameters.grouping, rank.grouping):
        raise InvalidArgument("a search within a hybrid search groups as that does, or not at all")
    if sub.collection_name not in ("", executor.source.collection_name):
        raise InvalidArgument("the searches of a hybrid search must be on its own collection")
    parameters = replace(parameters, offset=0, grouping=rank.grouping)
    return plan_search(sub, parameters, executor.shield, executor.layout)


def _same_groups(one: Grouping, other: Grouping | None) -> bool:
    """Whether a search groups as the hybrid one does; clients may say it to both."""
    return other is not None and (one.field, one.size, one.strict) == (other.field, other.size, other.strict)


async def _forwarded(
    request: m.HybridSearchRequest,
    plans: Sequence[Plan],
    score: s.FunctionScore | None,
    outputs: Sequence[str],
    executor: Executor,
    grouping: Grouping | None,
) -> m.SearchResults:
    """A hybrid search that the database can answer exactly."""
    for plan in plans:
        protect_request(plan, executor)
        plan.request.ClearField("output_fields")
        plan.request.db_name = request.db_name
    if score is not None:
        request.function_score.CopyFrom(score)
    request.output_fields[:] = outputs
    answer = await ask(executor.session, _HYBRID_SEARCH, request, m.SearchResults)
    grouped_by = None if grouping is None else grouping.field
    reveal_results(executor.shield, executor.layout, answer.results, outputs, grouped_by)
    return answer


@timed("protect")
def protect_request(plan: Plan, executor: Executor) -> None:
    """Put what is at rest into a search's own request: queries and expression."""
    request = plan.request
    request.dsl = plan.expression.text
    set_templates(request, plan.expression.templates)
    if plan.queries is not None:
        request.placeholder_group = protected_group(plan, executor.shield)


async def reranked(plan: Plan, ranker: Ranker, executor: Executor, outputs: Sequence[str]) -> m.SearchResults:
    """A search whose results a rerank function orders anew.

    Raises:
        InvalidArgument: an iterator, which goes by distances.
    """
    given = plan.parameters
    if given.iteration is not None:
        raise InvalidArgument("a search iterator cannot be reranked")
    whole = replace(given, limit=given.limit + given.offset, offset=0)
    rank = RankParameters(given.limit, given.offset, given.round_decimal, given.grouping)
    return await _fused([replace(plan, parameters=whole)], ranker, rank, outputs, executor)


async def _fused(
    plans: Sequence[Plan], ranker: Ranker, rank: RankParameters, outputs: Sequence[str], executor: Executor
) -> m.SearchResults:
    needed = _needed(ranker, rank.grouping, executor)
    leaves = await asyncio.gather(*(_leaf(plan, needed, executor) for plan in plans))
    values = _decay_values(ranker, leaves, executor)
    groups = _groups(rank.grouping, leaves, executor)
    pages = []
    for query in range(plans[0].count):
        fused = ranker.fuse([leaf.source(query) for leaf in leaves], values)
        if rank.grouping is None:
            chosen = fused.page(rank.limit, rank.offset)
        else:
            chosen = grouped_page(fused, groups, rank.grouping, rank.limit, rank.offset)
        pages.append([(fused.ids[i], float(fused.scores[i])) for i in chosen])
    return await _answer(pages, rank, outputs, leaves, executor)


def _needed(ranker: Ranker, grouping: Grouping | None, executor: Executor) -> list[str]:
    """Stored columns that fusing takes."""
    layout, names = executor.layout, list[str]()
    if isinstance(ranker, Decay):
        _require_numeric(ranker.field, executor)
        names += [ranker.field, *layout.needs_record(ranker.field)]
    if grouping is not None:
        names.append(grouping.field)
    return list(dict.fromkeys(names))


def _require_numeric(field: str, executor: Executor) -> None:
    """Refuse a decay by what is no number, in Milvus' words.

    Raises:
        InvalidArgument: no such field, or one of another type.
    """
    column = executor.layout.column(field)
    if column.data_type not in _NUMERIC:
        raise InvalidArgument(
            f"rerank_builder: decay input field {field} must be numeric, got {TYPE_NAMES.get(column.data_type)}"
        )


async def _leaf(plan: Plan, outputs: Sequence[str], executor: Executor) -> _Leaf:
    """Run one search for itself."""
    if not is_direct(plan, executor.shield, planted=executor.planted):
        found = await run_plan(plan, outputs, executor)
        return _Leaf(found, await metric_of(plan.parameters.metric, plan.column, executor))
    metric = await metric_of(plan.parameters.metric, plan.column, executor)
    answer = await ask(executor.session, _SEARCH, _alone(plan, outputs, executor), m.SearchResults)
    keys, scores, start = primary_keys(answer.results.ids), answer.results.scores, 0
    hits, words = [], metric == "BM25"
    counts = list(answer.results.topks) if keys else [0] * plan.count
    for count in counts:
        rows = range(start, start + count)
        # Milvus Lite answers searches for words with scores below zero, though it fuses them as the server does.
        hits.append([Hit(RowPlace(0, row), keys[row], abs(scores[row]) if words else scores[row]) for row in rows])
        start += count
    return _Leaf(Found([answer], hits), metric)


def _alone(plan: Plan, outputs: Sequence[str], executor: Executor) -> m.SearchRequest:
    """A search within a hybrid one as a request of its own."""
    source, parameters = executor.source, plan.parameters
    protect_request(plan, executor)
    request = m.SearchRequest()
    request.CopyFrom(plan.request)
    request.ClearField("function_score")
    request.db_name, request.collection_name = source.db_name, source.collection_name
    request.partition_names[:] = source.partition_names or plan.request.partition_names
    request.travel_timestamp, request.guarantee_timestamp = source.travel_timestamp, source.guarantee_timestamp
    request.consistency_level = source.consistency_level
    request.use_default_consistency = source.use_default_consistency
    request.output_fields[:] = outputs
    pairs = {pair.key: pair.value for pair in plan.request.search_params}
    pairs |= {"topk": str(parameters.limit), "offset": "0", "round_decimal": "-1"}
    if parameters.grouping is not None:
        pairs |= {"group_by_field": parameters.grouping.field, "group_size": str(parameters.grouping.size)}
    del request.search_params[:]
    request.search_params.extend([c.KeyValuePair(key=key, value=value) for key, value in pairs.items()])
    return request


def distances_of(hits: Sequence[Hit]) -> FloatArray:
    """Distances of hits, `(n,)` float32."""
    return np.array([hit.distance for hit in hits], np.float32)


def _decay_values(ranker: Ranker, leaves: Sequence[_Leaf], executor: Executor) -> Mapping[PrimaryKey, float | None]:
    """The values that a decay goes by, of every row found; None for null."""
    if not isinstance(ranker, Decay):
        return {}
    column, values = executor.layout.column(ranker.field), dict[PrimaryKey, float | None]()
    for leaf in leaves:
        hits = [hit for of_query in leaf.found.hits for hit in of_query]
        if not hits:
            continue
        stored = columns_of(leaf.found, hits, lambda name: name == column.name or is_hidden(name))
        ids = ids_of(executor.layout, [hit.key for hit in hits])
        rows = reveal.found_rows(executor.shield, executor.layout, stored, len(hits), ids)
        clear = scalars(reveal.opened(rows, column_named(stored, column.name)), column.data_type, len(hits))
        held = dict(zip(clear.rows, clear.elements, strict=True))
        values.update((hit.key, held.get(row)) for row, hit in enumerate(hits))
    return values


def _groups(grouping: Grouping | None, leaves: Sequence[_Leaf], executor: Executor) -> Mapping[PrimaryKey, GroupKey]:
    """The group of every row found, by its value at rest."""
    if grouping is None:
        return {}
    groups: dict[PrimaryKey, GroupKey] = {}
    for leaf in leaves:
        hits = [hit for of_query in leaf.found.hits for hit in of_query]
        if hits:
            stored = columns_of(leaf.found, hits, lambda name: name == grouping.field)
            keys = group_keys(executor.shield, executor.layout, stored, grouping.field, len(hits))
            groups.update((hit.key, key) for hit, key in zip(hits, keys, strict=True))
    return groups


async def _answer(
    pages: Sequence[Sequence[tuple[PrimaryKey, float]]],
    rank: RankParameters,
    outputs: Sequence[str],
    leaves: Sequence[_Leaf],
    executor: Executor,
) -> m.SearchResults:
    """The answer to the client: the rows of each query, with the columns that it wants of them."""
    layout, first = executor.layout, leaves[0].found.pages[0]
    grouped_by = () if rank.grouping is None else (rank.grouping.field, *layout.needs_record(rank.grouping.field))
    columns = list(dict.fromkeys((layout.primary.name, *outputs, *grouped_by)))
    found = None
    if len(columns) > 1 and any(pages):
        keys = list(dict.fromkeys(key for page in pages for key, _ in page))
        found = await ask(executor.session, _QUERY, by_keys(executor.source, layout, keys, columns), m.QueryResults)
        place = row_of_key(found, layout)
        # A row that vanished meanwhile is left out.
        pages = [[pair for pair in page if pair[0] in place] for page in pages]
    results = ranked_results(layout, pages, rank.round_decimal)
    results.primary_field_name = first.results.primary_field_name
    if found is not None and results.scores:
        wanted = wanted_by(outputs)
        results.output_fields.extend(client_outputs([name for name in found.output_fields if wanted(name)]))
        places = [RowPlace(0, place[key]) for page in pages for key, _ in page]
        stored = [chosen_rows([data], places) for data in found.fields_data]
        rows = reveal.found_rows(executor.shield, layout, stored, len(places), results.ids)
        answered = [data for data in stored if wanted(data.field_name) or (data.is_dynamic and outputs)]
        dynamic = dynamic_keys(layout, client_outputs(outputs))
        results.fields_data.extend(reveal.client_columns(rows, answered, dynamic))
        if rank.grouping is not None:
            results.group_by_field_value.CopyFrom(reveal.opened(rows, column_named(stored, rank.grouping.field)))
    reply = m.SearchResults(collection_name=first.collection_name, session_ts=first.session_ts, results=results)
    reply.status.CopyFrom(first.status)
    return reply

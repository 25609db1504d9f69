"""Serving Search and HybridSearch.

Where nothing but a rotation stands between the client's vectors and the database's (noise 0, sparse vectors, vectors
that the database makes of plain text), its own distances are exact: the request goes on rewritten, and its answer is
opened. Else the search is run here, see `execute`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from vecguard.catalog import Entry
from vecguard.errors import InvalidArgument
from vecguard.front.milvus import hybrid
from vecguard.front.milvus.execute import Executor, Source
from vecguard.front.milvus.function_scores import for_database, read_function_score
from vecguard.front.milvus.layout import layout_of
from vecguard.front.milvus.outputs import stored_outputs
from vecguard.front.milvus.place import place_of
from vecguard.front.milvus.proto import m, rpc, s
from vecguard.front.milvus.search_parameters import SearchParameters, read_search_parameters
from vecguard.front.milvus.search_plan import Plan, is_direct, plan_search, run_plan
from vecguard.front.milvus.search_results import reveal_results, searched
from vecguard.front.milvus.status import ask
from vecguard.pipeline import Session
from vecguard.shield import Shield

_SEARCH: Final = rpc("Search")
_HYBRID_SEARCH: Final = rpc("HybridSearch")


async def search(request: m.SearchRequest, session: Session) -> m.SearchResults:
    """`Search`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read")
    if entry.shield is None:
        return await session.call(_SEARCH, request, m.SearchResults)
    request.db_name = place.database
    executor = _executor(entry, entry.shield, request, session)
    plan = plan_search(request, read_search_parameters(request.search_params), executor.shield, executor.layout)
    outputs = stored_outputs(executor.layout, request.output_fields)
    score = request.function_score if request.HasField("function_score") else None
    passed = None if score is None else for_database(score, executor.layout, executor.shield)
    if is_direct(plan, executor.shield, planted=executor.planted) and (score is None or passed is not None):
        return await _forwarded(plan, passed, outputs, executor)
    if score is not None:
        return await hybrid.reranked(plan, read_function_score(score), executor, outputs)
    return await _run(plan, outputs, executor)


def _executor(entry: Entry, shield: Shield, request: Source, session: Session) -> Executor:
    planted = entry.policy.detection.canaries > 0
    return Executor(session, shield, layout_of(shield), request, entry.checked, planted)


async def _forwarded(
    plan: Plan, score: s.FunctionScore | None, outputs: Sequence[str], executor: Executor
) -> m.SearchResults:
    """A search that the database can answer exactly."""
    hybrid.protect_request(plan, executor)
    if score is not None:
        plan.request.function_score.CopyFrom(score)
    plan.request.output_fields[:] = outputs
    answer = await ask(executor.session, _SEARCH, plan.request, m.SearchResults)
    grouping = plan.parameters.grouping
    grouped_by = None if grouping is None else grouping.field
    reveal_results(executor.shield, executor.layout, answer.results, outputs, grouped_by)
    return answer


async def _run(plan: Plan, outputs: Sequence[str], executor: Executor) -> m.SearchResults:
    """A search that is run here."""
    parameters = plan.parameters
    token = _token(parameters)
    found = await run_plan(plan, outputs, executor)
    grouped_by = None if parameters.grouping is None else parameters.grouping.field
    reply = searched(executor.shield, executor.layout, found, outputs, grouped_by, parameters.round_decimal)
    if token is not None and parameters.iteration is not None:
        step = reply.results.search_iterator_v2_results
        last = [hit.distance for hits in found.hits for hit in hits][-1:]
        step.token, step.last_bound = token, last[0] if last else parameters.iteration.last_bound or 0.0
    return reply


def _token(parameters: SearchParameters) -> str | None:
    """The token of a search iterator (version 2), new if it has none; it holds no state. None for other searches.

    Raises:
        InvalidArgument: it is not of the form in which tokens are given.
    """
    iteration = parameters.iteration
    if iteration is None or iteration.version != 2:
        return None
    if not iteration.token:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(iteration.token))
    except ValueError:
        raise InvalidArgument("parse iterator v2 info failed: invalid token format") from None


async def hybrid_search(request: m.HybridSearchRequest, session: Session) -> m.SearchResults:
    """`HybridSearch`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read")
    if entry.shield is None:
        return await session.call(_HYBRID_SEARCH, request, m.SearchResults)
    request.db_name = place.database
    executor = _executor(entry, entry.shield, request, session)
    return await hybrid.hybrid_search(request, executor)

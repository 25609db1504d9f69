"""What the policy allows in one call holds however a request puts its numbers, and where it puts none."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from front.milvus.schemas import data_of, field_of, policy_with, schema_of, shield_for
from vecguard.errors import InvalidArgument, LimitExceeded
from vecguard.front.milvus import filters
from vecguard.front.milvus.execute import Executor
from vecguard.front.milvus.function_scores import read_function_score
from vecguard.front.milvus.hybrid import hybrid_search
from vecguard.front.milvus.proto import c, m, s
from vecguard.front.milvus.search_parameters import RankParameters, read_rank_parameters, read_search_parameters
from vecguard.front.milvus.search_plan import require_allowed
from vecguard.front.milvus.search_results import reveal_results
from vecguard.front.milvus.serve_reads import _check_parameters, opened
from vecguard.pipeline import Session
from vecguard.policy.limits import Limits

POLICY = policy_with().model_copy(update={"limits": Limits(max_limit=100)}).placed(0)
SHIELD, LAYOUT = shield_for(schema_of(field_of("open", "Int64")), POLICY)


def pair(key: str, value: str) -> c.KeyValuePair:
    return c.KeyValuePair(key=key, value=value)


@pytest.mark.parametrize("text", ["101", "0x65", "+101", "1_01", "0b1100101", " 101"])
def test_a_query_limit_counts_in_every_form_that_a_server_reads(text: str) -> None:
    with pytest.raises(LimitExceeded, match="101 results"):
        _check_parameters([pair("limit", text)], LAYOUT, SHIELD)
    _check_parameters([pair("limit", "0x64")], LAYOUT, SHIELD)
    with pytest.raises(LimitExceeded):
        _check_parameters([pair("limit", "0x60"), pair("offset", "0x5")], LAYOUT, SHIELD)


@pytest.mark.parametrize("text", ["many", "", "1e3", "0x", "١٠x"])
def test_a_query_limit_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        _check_parameters([pair("limit", text)], LAYOUT, SHIELD)


def found(rows: int) -> m.QueryResults:
    return m.QueryResults(fields_data=[data_of("id", "Int64", range(rows)), data_of("open", "Int64", range(rows))])


def test_a_query_without_a_limit_answers_no_more_rows_than_the_policy_allows() -> None:
    assert len(opened(found(100), LAYOUT, SHIELD).fields_data) == 2
    with pytest.raises(LimitExceeded, match="101 rows match"):
        opened(found(101), LAYOUT, SHIELD)


def test_a_hybrid_search_answers_no_more_than_one_search_may() -> None:
    require_allowed(RankParameters(limit=60, offset=40), SHIELD)
    with pytest.raises(LimitExceeded):
        require_allowed(RankParameters(limit=61, offset=40), SHIELD)
    grouped = read_rank_parameters([pair("limit", "40"), pair("group_by_field", "open"), pair("group_size", "3")])
    with pytest.raises(LimitExceeded, match="120 results"):
        require_allowed(grouped, SHIELD)


def test_values_at_rest_that_nobody_asked_for_are_left_out_of_an_answer() -> None:
    results = s.SearchResultData(topks=[1], scores=[1.0], group_by_field_values=[data_of("word", "VarChar", ["vg:x"])])
    results.ids.int_id.data.append(1)
    results.highlight_results.add(field_name="word")
    results.agg_topks.append(1)
    reveal_results(SHIELD, LAYOUT, results, [], None)
    assert results == s.SearchResultData(topks=[1], scores=[1.0], ids=s.IDs(int_id=s.LongArray(data=[1])))


def test_nesting_is_no_internal_error() -> None:
    deep = "[" * 100_000
    with pytest.raises(InvalidArgument, match="params is not a JSON object"):
        read_search_parameters([pair("topk", "1"), pair("params", deep)])
    with pytest.raises(InvalidArgument):
        read_search_parameters([pair("topk", "1"), pair("nprobe", deep), pair("radius", deep)])
    weighted = s.FunctionSchema(name="f", type=s.FunctionType.Rerank)
    weighted.params.extend([pair("reranker", "weighted"), pair("weights", deep)])
    with pytest.raises(InvalidArgument, match="Parse weights"):
        read_function_score(s.FunctionScore(functions=[weighted]))
    item = s.TemplateValue(array_val=s.TemplateArrayValue(json_data=s.JSONArray(data=[deep.encode()])))
    with pytest.raises(InvalidArgument):
        filters.rewrite("open in {x}", {"x": item}, LAYOUT, SHIELD)


def test_a_hybrid_search_has_as_many_searches_as_milvus_allows() -> None:
    request = m.HybridSearchRequest(requests=[m.SearchRequest()] * 1_025, rank_params=[pair("limit", "1")])
    executor = Executor(cast("Session", None), SHIELD, LAYOUT, request, 0.0)
    with pytest.raises(InvalidArgument, match="maximum of ann search requests is 1024"):
        asyncio.run(hybrid_search(request, executor))
    del request.requests[-1]
    with pytest.raises(InvalidArgument, match="placeholder"):
        asyncio.run(hybrid_search(request, executor))

"""Which rerank functions the database can compute, and in what form; the others are computed here or refused."""

import pytest
from pymilvus import Function, FunctionScore, FunctionType
from pymilvus.client.prepare import Prepare

from front.milvus.schemas import field_of, schema_of, shield_for
from vecguard.errors import InvalidArgument, Refused
from vecguard.front.milvus.function_scores import for_database

SCHEMA = schema_of(
    field_of("open", "Int64"), field_of("shut", "Double"), field_of("word", "VarChar", {"max_length": 9})
)


def score(*functions):
    return Prepare.function_score_schema(FunctionScore(list(functions)))


def function(inputs=(), **params):
    return Function("f", FunctionType.RERANK, input_field_names=list(inputs), params=params)


def at_rest(message):
    shield, layout = shield_for(SCHEMA)
    return for_database(message, layout, shield)


@pytest.mark.parametrize(
    "given",
    [
        function(reranker="rrf", k=7),
        function(reranker="weighted", weights=[0.5]),
        function(["open"], reranker="decay", function="exp", origin=0, scale=1),
    ],
)
def test_what_needs_no_value_in_clear_passes_as_it_is(given):
    assert at_rest(score(given)) == score(given)


def test_a_decay_by_a_sealed_field_is_computed_here():
    assert at_rest(score(function(["shut"], reranker="decay", function="exp", origin=0, scale=1))) is None


def test_the_filter_of_a_boost_is_moved():
    given = score(function(reranker="boost", filter="word == 'a' and open > 2", weight=2))
    moved = at_rest(given)
    params = {pair.key: pair.value for pair in moved.functions[0].params}
    assert "open > 2" in params["filter"]
    assert "'a'" not in params["filter"]
    assert '"a"' not in params["filter"]
    assert given.functions[0].params  # the client's own message stays as it was
    assert {pair.key: pair.value for pair in given.functions[0].params}["filter"] == "word == 'a' and open > 2"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (function(reranker="boost", filter="shut > 2", weight=2), InvalidArgument, "shut"),
        (function(reranker="boost", filter="open >", weight=2), InvalidArgument, "cannot parse"),
        (function(reranker="boost", weight=2, random_score={"field": "word"}), InvalidArgument, "random_score"),
        (function(["word"], reranker="model", queries=["a"]), Refused, "service outside"),
        (function(["nothing"], reranker="decay"), InvalidArgument, "nothing not exist"),
        (function(["_vg_v"], reranker="decay"), InvalidArgument, "not exist"),
    ],
)
def test_what_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        at_rest(score(given))

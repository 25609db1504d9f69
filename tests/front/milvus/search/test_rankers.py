"""Rankers against Milvus' formulas, written out by hand, and against Milvus Lite's own code."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from milvus_lite.function.builder import build_hybrid_rerank_chain
from milvus_lite.function.dataframe import DataFrame
from pymilvus import Function, FunctionScore, FunctionType, RRFRanker, WeightedRanker
from pymilvus.client.prepare import Prepare

from vecguard.errors import InvalidArgument, Refused
from vecguard.front.milvus.function_scores import read_function_score, read_rank_strategy
from vecguard.front.milvus.proto import c
from vecguard.front.milvus.rankers import Decay, Fused, ReciprocalRank, Source, Weighted, grouped_page
from vecguard.front.milvus.search_parameters import Grouping, RankParameters, read_rank_parameters

METRICS = ("COSINE", "IP", "L2", "BM25")


def source(metric, **distances):
    return Source(tuple(distances), np.array(list(distances.values()), np.float32), metric)


def scores(fused):
    return dict(zip(fused.ids, fused.scores.tolist(), strict=True))


def close(**expected):
    return {key: pytest.approx(value, abs=1e-6) for key, value in expected.items()}


def test_reciprocal_ranks():
    fused = ReciprocalRank(10).fuse([source("L2", a=1, b=2), source("IP", b=9, c=8, a=7)], {})
    assert scores(fused) == close(a=1 / 11 + 1 / 13, b=1 / 12 + 1 / 11, c=1 / 12)
    assert [fused.ids[i] for i in fused.page(2, 0)] == ["b", "a"]
    assert [fused.ids[i] for i in fused.page(2, 1)] == ["a", "c"]


def normalized(metric, d):
    return {
        "COSINE": (1 + d) / 2,
        "IP": 0.5 + math.atan(d) / math.pi,
        "BM25": 2 * math.atan(d) / math.pi,
        "L2": 1 - 2 * math.atan(d) / math.pi,
    }[metric]


@pytest.mark.parametrize("first", METRICS)
@pytest.mark.parametrize("second", METRICS)
def test_weighted_with_normalized_scores(first, second):
    fused = Weighted((0.3, 0.8), normalize=True).fuse([source(first, a=0.5, b=0.25), source(second, a=0.1)], {})
    expected = {"a": 0.3 * normalized(first, 0.5) + 0.8 * normalized(second, 0.1), "b": 0.3 * normalized(first, 0.25)}
    assert scores(fused) == close(**expected)
    assert fused.descending


def test_weighted_without_normalizing():
    alike = Weighted((0.5, 1)).fuse([source("IP", a=3, b=1), source("COSINE", a=0.5)], {})
    assert scores(alike) == close(a=2.0, b=0.5)
    assert alike.descending
    distances = Weighted((0.5, 1)).fuse([source("L2", a=1, b=4), source("L2", a=2)], {})
    assert scores(distances) == close(a=2.5, b=2.0)
    assert not distances.descending
    assert [distances.ids[i] for i in distances.page(2, 0)] == ["b", "a"]
    mixed = Weighted((0.5, 1)).fuse([source("L2", a=1), source("IP", a=2, b=3)], {})
    assert scores(mixed) == close(a=0.5 * 0.5 + 2, b=3)
    assert mixed.descending


@pytest.mark.parametrize("mode", ["max", "sum", "avg"])
def test_decay_merges_and_multiplies(mode):
    decay = Decay("f", "linear", origin=10, scale=4, offset=1, decay=0.5, mode=mode)
    sources = [source("IP", a=3, b=1), source("L2", a=1, c=0)]
    values = {"a": 10.5, "b": 15, "c": None}
    merged = {"max": 3, "sum": 3.5, "avg": 1.75}[mode]
    assert scores(decay.fuse(sources, values)) == close(a=merged * 1, b=1 * 0.5, c=0)


@pytest.mark.parametrize(("curve", "at_offset_and_twice_scale"), [("gauss", 0.5**4), ("exp", 0.5**2), ("linear", 0.5)])
def test_decay_curves(curve, at_offset_and_twice_scale):
    decay = Decay("f", curve, origin=0, scale=3, offset=2, decay=0.5)
    assert [decay.factor(x) for x in (0, 2, -2)] == [1, 1, 1]
    assert decay.factor(5) == decay.factor(-5) == pytest.approx(0.5)
    assert decay.factor(8) == pytest.approx(at_offset_and_twice_scale)
    assert decay.factor(None) == 0


def test_equal_scores_go_by_key():
    fused = Fused((3, 1, 2), np.array([0.5, 0.5, 0.5], np.float32))
    assert [fused.ids[i] for i in fused.page(3, 0)] == [1, 2, 3]


@given(
    first=st.lists(st.integers(0, 20), unique=True, min_size=1, max_size=12),
    second=st.lists(st.integers(0, 20), unique=True, min_size=1, max_size=12),
    metrics=st.tuples(st.sampled_from(METRICS[:3]), st.sampled_from(METRICS[:3])),
    strategy=st.sampled_from(["rrf", "weighted"]),
    normalize=st.booleans(),
    data=st.data(),
)
def test_as_milvus_lite_fuses(first, second, metrics, strategy, normalize, data):
    """Milvus Lite's code follows the server's; it breaks ties otherwise, so scores are compared, key by key."""
    sources = []
    for keys, metric in zip((first, second), metrics, strict=True):
        d = data.draw(st.lists(st.floats(-2, 2, width=32), min_size=len(keys), max_size=len(keys)))
        sources.append(Source(tuple(keys), np.array(sorted(d, reverse=metric != "L2"), np.float32), metric))
    params = {"k": 7} if strategy == "rrf" else {"weights": [0.25, 0.75], "norm_score": normalize}
    ranker = read_rank_strategy(RankParameters(100, strategy=strategy, options=params))
    chain = build_hybrid_rerank_chain(strategy, params, {"limit": 100, "metric_types": list(metrics)})
    frames = [
        DataFrame([[{"$id": key, "$score": float(d)} for key, d in zip(s.ids, s.distances, strict=True)]])
        for s in sources
    ]
    rows = chain.execute(*frames).chunk(0)
    fused = ranker.fuse(sources, {})
    assert {row["$id"]: pytest.approx(row["$score"], abs=1e-5) for row in rows} == scores(fused)
    ours = fused.scores[fused.page(100, 0)]
    assert ours.tolist() == pytest.approx([row["$score"] for row in rows], abs=1e-5)


def test_groups_by_their_best_rows():
    fused = Fused(tuple("abcdef"), np.array([6, 5, 4, 3, 2, 1], np.float32))
    groups = dict(zip("abcdef", ["x", "y", "x", "y", "y", "z"], strict=True))

    def page(limit, offset=0, **kwargs):
        return "".join(fused.ids[i] for i in grouped_page(fused, groups, Grouping("g", **kwargs), limit, offset))

    assert page(3) == "abf"
    assert page(2, size=2) == "acbd"
    assert page(1, 1, size=2) == "bd"
    assert page(3, size=3) == "acbdef"
    assert page(3, size=3, strict=True) == "bde"
    assert page(3, size=2, scorer="sum") == "acbdf"
    assert page(3, size=3, scorer="sum") == "bdeacf"
    assert page(3, size=3, scorer="avg") == "acbdef"


def test_equal_groups_go_by_size_then_key():
    fused = Fused((5, 1, 2, 3), np.array([1, 1, 1, 1], np.float32))
    groups = {5: "x", 1: "y", 2: "z", 3: "z"}
    assert [fused.ids[i] for i in grouped_page(fused, groups, Grouping("g", 2), 3, 0)] == [2, 3, 1, 5]


def rank(ranker):
    """Rank parameters as the client writes them."""
    pairs = [
        c.KeyValuePair(key=key, value=value if isinstance(value, str) else json.dumps(value))
        for key, value in ranker.dict().items()
    ]
    return read_rank_parameters([*pairs, c.KeyValuePair(key="limit", value="5")])


def test_rankers_of_the_client():
    assert read_rank_strategy(rank(RRFRanker(7))) == ReciprocalRank(7)
    assert read_rank_strategy(rank(WeightedRanker(0.5, 1))) == Weighted((0.5, 1), normalize=True)
    assert read_rank_strategy(rank(WeightedRanker(0.5, norm_score=False))) == Weighted((0.5,))
    assert read_rank_strategy(RankParameters(5)) == ReciprocalRank(60)


def function(inputs=(), **params):
    return Prepare.ranker_to_function_score(
        Function("f", FunctionType.RERANK, input_field_names=list(inputs), params=params)
    )


def test_rerank_functions_of_the_client():
    assert read_function_score(function(reranker="rrf", k=7)) == ReciprocalRank(7)
    assert read_function_score(function(reranker="RRF")) == ReciprocalRank(60)
    assert read_function_score(function(reranker="weighted", weights=[0.5, 1], norm_score=True)) == Weighted(
        (0.5, 1), normalize=True
    )
    decay = function(["f"], reranker="decay", function="exp", origin=5, scale=2, offset=1, decay=0.25, score_mode="avg")
    assert read_function_score(decay) == Decay("f", "exp", 5, 2, 1, 0.25, "avg")
    plain = function(["f"], reranker="decay", function="gauss", origin=5, scale=2)
    assert read_function_score(plain) == Decay("f", "gauss", 5, 2, 0, 0.5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (function(reranker="median"), "Unsupported rerank function"),
        (function(reranker="rrf", k=0), "range"),
        (function(reranker="rrf", k="x"), "not a number"),
        (function(reranker="rrf", secret=1), "parameter secret of reranker rrf is not known"),
        (function(["f"], reranker="rrf"), "does not support input"),
        (function(reranker="weighted"), "weights not found"),
        (function(reranker="weighted", weights="x"), "should be"),
        (function(reranker="weighted", weights=[2]), "range"),
        (function(reranker="weighted", weights=[1], norm_score="x"), "neither true nor false"),
        (function(reranker="decay", function="exp", origin=1, scale=1), "exactly 1 input"),
        (function(["f"], reranker="decay", origin=1, scale=1), "function not specified"),
        (function(["f"], reranker="decay", function="exp", scale=1), "origin not specified"),
        (function(["f"], reranker="decay", function="exp", origin=1), "scale not specified"),
        (function(["f"], reranker="decay", function="cubic", origin=1, scale=1), "invalid function"),
        (function(["f"], reranker="decay", function="exp", origin=1, scale=0), "scale must be"),
        (function(["f"], reranker="decay", function="exp", origin=1, scale=1, offset=-1), "offset must be"),
        (function(["f"], reranker="decay", function="exp", origin=1, scale=1, decay=1), "decay must be"),
        (function(["f"], reranker="decay", function="exp", origin=1, scale=1, decay=0.0001), "numerical stability"),
        (function(["f"], reranker="decay", function="exp", origin=1, scale=1, score_mode="x"), "score_mode"),
        (Prepare.function_score_schema(FunctionScore([])), "only supports one rerank"),
    ],
)
def test_rerank_functions_that_are_refused(given, words):
    with pytest.raises(InvalidArgument, match=words):
        read_function_score(given)


def test_what_sends_text_or_works_on_scores_at_rest_is_refused():
    for name, words in (("model", "service outside"), ("boost", "scores at rest")):
        with pytest.raises(Refused, match=words):
            read_function_score(function(reranker=name))
    with pytest.raises(Refused, match="service outside"):
        read_function_score(function(["t"], provider="tei", queries=["a"]))


def test_only_rerank_functions_rank():
    score = Prepare.ranker_to_function_score(Function("f", FunctionType.BM25, ["a"], ["b"], params={}))
    with pytest.raises(InvalidArgument, match="is not rerank function"):
        read_function_score(score)


@pytest.mark.parametrize(
    ("strategy", "options", "words"),
    [
        ("decay", {}, "unsupported rank type decay"),
        ("median", {}, "unsupported rank type"),
        ("rrf", {"k": 16384}, "range"),
        ("rrf", {"secret": 1}, "not known"),
        ("weighted", {}, "weights not found"),
        ("weighted", {"weights": [-1]}, "range"),
    ],
)
def test_strategies_that_are_refused(strategy, options, words):
    with pytest.raises(InvalidArgument, match=words):
        read_rank_strategy(RankParameters(5, strategy=strategy, options=options))


def test_weights_must_be_as_many_as_searches():
    with pytest.raises(InvalidArgument, match="mismatch with ann search requests"):
        Weighted((1,)).fuse([source("IP", a=1), source("IP", a=1)], {})

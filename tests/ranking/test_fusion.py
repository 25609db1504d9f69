"""RRF and DBSF against the engine, the client's local mode, and by hand."""

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.hybrid import fusion as local

from ranking.engine import DISTANCES, Reference, floats
from vecguard.errors import InvalidArgument
from vecguard.ranking.fusion import Ranking, distribution_based_score_fusion, reciprocal_rank_fusion

SOURCES = st.lists(st.lists(st.integers(0, 12), unique=True, max_size=8), max_size=4)
WEIGHTS = st.none() | st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=4, max_size=4)


@pytest.fixture(params=DISTANCES)
def engine(request, tmp_path):
    rng = np.random.default_rng(0)
    reference = Reference(tmp_path, rng.normal(size=(60, 8)).astype(np.float32), request.param)
    queries = [edge.Query.Nearest(floats(rng.normal(size=8).astype(np.float32))) for _ in range(3)]
    found = [reference.query(query, limit=20) for query in queries]
    sources = [Ranking(tuple(i for i, _ in hits), np.array([s for _, s in hits], np.float32)) for hits in found]
    return reference, [edge.Prefetch(limit=20, query=query) for query in queries], sources


def same(ours, theirs):
    assert dict(theirs).keys() == set(ours.ids)
    expected = dict(theirs)
    np.testing.assert_allclose(ours.scores, [expected[i] for i in ours.ids], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours.scores, [score for _, score in theirs], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("k", "weights"), [(2, None), (60, None), (1, [0.5, 2.0, 1.0]), (2, [3.0, 1.0, 0.0]), (2, [1.0, 1.0, 1.0])]
)
def test_rrf_is_the_engines(engine, k, weights):
    reference, prefetches, sources = engine
    theirs = reference.query(edge.Fusion.Rrf(k=k, weights=weights), prefetches=prefetches)
    same(reciprocal_rank_fusion([source.ids for source in sources], k=k, weights=weights), theirs)


def test_dbsf_is_the_engines(engine):
    reference, prefetches, sources = engine
    same(distribution_based_score_fusion(sources), reference.query(edge.Fusion.Dbsf(), prefetches=prefetches))


@pytest.mark.parametrize("limit", [0, 3, 100])
def test_cut_keeps_scores_at_the_threshold_as_the_engine_does(engine, limit):
    reference, prefetches, sources = engine
    fused = reciprocal_rank_fusion([source.ids for source in sources])
    threshold = float(fused.scores[5])
    theirs = reference.query(edge.Fusion.Rrf(k=2), prefetches=prefetches, score_threshold=threshold, limit=60)
    assert len(fused.cut(60, score_threshold=threshold).ids) == len(theirs)
    page = fused.cut(limit, offset=2)
    assert page.ids == fused.ids[2 : 2 + limit]
    assert page.scores.tolist() == fused.scores[2 : 2 + limit].tolist()


@given(SOURCES, st.integers(1, 60), WEIGHTS)
def test_rrf_is_local_modes_with_the_same_order_of_ties(sources, k, weights):
    weights = None if weights is None else weights[: len(sources)]
    responses = [[models.ScoredPoint(id=i, version=0, score=1.0) for i in source] for source in sources]
    expected = local.reciprocal_rank_fusion(responses, 100, k, weights)
    ours = reciprocal_rank_fusion(sources, k=k, weights=weights)
    np.testing.assert_allclose(ours.scores, [point.score for point in expected], rtol=1e-5, atol=1e-7)
    assert set(ours.ids) == {point.id for point in expected}
    assert np.all(ours.scores[:-1] >= ours.scores[1:])


SCORED = st.lists(st.dictionaries(st.integers(0, 12), st.floats(-5, 5, width=32), max_size=8), max_size=4)


@given(SCORED)
def test_dbsf_by_hand(sources):
    rankings = [Ranking(tuple(source), np.array(list(source.values()), np.float32)) for source in sources]
    expected = {}
    for source in sources:
        values = np.array(list(source.values()), float)
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        low, high = (
            np.float32(values.mean() - 3 * spread) if source else 0,
            np.float32(values.mean() + 3 * spread) if source else 0,
        )
        for i, value in source.items():
            expected[i] = expected.get(i, 0.0) + (0.5 if low == high else (value - low) / (high - low))
    ours = distribution_based_score_fusion(rankings)
    assert set(ours.ids) == expected.keys()
    np.testing.assert_allclose(ours.scores, [expected[i] for i in ours.ids], rtol=1e-3, atol=1e-3)


def test_equal_scores_count_a_half_each():
    ours = distribution_based_score_fusion([Ranking((1, 2, 3), np.full(3, 0.1, np.float32))])
    assert ours.scores.tolist() == [0.5, 0.5, 0.5]


def test_ties_keep_the_order_of_first_appearance():
    assert reciprocal_rank_fusion([[7, 3], [5, 4]]).ids == (7, 5, 3, 4)


def test_fusion_of_nothing_is_nothing():
    assert reciprocal_rank_fusion([]).ids == ()
    assert distribution_based_score_fusion([Ranking((), np.zeros(0, np.float32))]).ids == ()


@pytest.mark.parametrize("wrong", [{"k": 0}, {"weights": [1.0]}, {"weights": [1.0, 1.0, 1.0]}])
def test_wrong_fusion_is_refused(wrong):
    with pytest.raises(InvalidArgument):
        reciprocal_rank_fusion([[1], [2]], **wrong)


def test_a_ranking_needs_a_score_for_each_id():
    with pytest.raises(InvalidArgument):
        Ranking((1, 2), np.zeros(1, np.float32))

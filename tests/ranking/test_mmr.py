"""MMR against the engine and against the plain definition."""

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given
from hypothesis import strategies as st

from ranking.engine import DISTANCES, Reference, floats
from vecguard.errors import InvalidArgument
from vecguard.metric import max_sim_similarities, similarities
from vecguard.ranking.mmr import maximal_marginal_relevance


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("diversity", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_picks_are_the_engines(tmp_path, distance, multi, diversity):
    rng = np.random.default_rng(0)
    shape = (2, 8) if multi else (8,)
    x = [rng.normal(size=shape).astype(np.float32) for _ in range(60)]
    query = rng.normal(size=shape).astype(np.float32)
    engine = Reference(tmp_path, x, distance, multi=multi)
    nearest = engine.query(edge.Query.Nearest(floats(query)), limit=30)
    candidates = [x[i] for i, _ in nearest]
    compare = max_sim_similarities if multi else lambda q, x, distance: similarities(q, np.stack(x), distance)
    pairwise = np.stack([compare(candidate, candidates, distance) for candidate in candidates])
    picked = maximal_marginal_relevance(compare(query, candidates, distance), pairwise, diversity, 12)
    theirs = engine.query(edge.Mmr(floats(query), 1.0 - diversity, 30), limit=12)
    assert [nearest[i] for i in picked] == theirs


@given(st.integers(2, 8), st.floats(0, 1, width=32), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_each_pick_has_the_most_merit(count, diversity, limit, seed):
    rng = np.random.default_rng(seed)
    relevance = rng.normal(size=count).astype(np.float32)
    pairwise = rng.normal(size=(count, count)).astype(np.float32)
    picked = maximal_marginal_relevance(relevance, pairwise, diversity, limit).tolist()
    assert len(picked) == len(set(picked)) == min(limit, count)
    assert picked[0] == int(np.argmax(relevance))
    for step in range(1, len(picked)):
        merit = {
            i: (1 - diversity) * relevance[i] - diversity * pairwise[i, picked[:step]].max()
            for i in range(count)
            if i not in picked[:step]
        }
        assert merit[picked[step]] >= max(merit.values()) - 1e-5


def test_equal_candidates_are_taken_from_the_end_as_in_qdrant():
    picked = maximal_marginal_relevance(np.ones(4, np.float32), np.ones((4, 4), np.float32), 0.5, 4)
    assert picked.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(("count", "limit", "expected"), [(0, 5, []), (1, 5, [0]), (3, 0, []), (1, 0, [])])
def test_few_candidates_or_none_asked_for(count, limit, expected):
    nothing = np.zeros((count, count), np.float32)
    assert maximal_marginal_relevance(np.zeros(count, np.float32), nothing, 0.5, limit).tolist() == expected


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_diversity_out_of_range_is_refused(diversity):
    with pytest.raises(InvalidArgument):
        maximal_marginal_relevance(np.zeros(2, np.float32), np.zeros((2, 2), np.float32), diversity, 2)

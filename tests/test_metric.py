"""Scores agree with Qdrant's own engine and with plain per-element formulas."""

import math

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vecguard.errors import InvalidArgument
from vecguard.metric import (
    better,
    largest_norm,
    max_sim,
    normalize,
    norms,
    passes,
    scores,
    similarities,
)

DISTANCES = ("cosine", "dot", "euclid")
FINITE = st.floats(-100, 100, width=32)


def vectors(rows, dims=4):
    return hnp.arrays(np.float32, (rows, dims) if rows else (dims,), elements=FINITE)


def engine_scores(folder, distance, dims, points, query, multi=False):
    comparator = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim) if multi else None
    params = edge.EdgeVectorParams(
        size=dims, distance=getattr(edge.Distance, distance.capitalize()), multivector_config=comparator
    )
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=params))
    operation = edge.UpdateOperation.upsert_points(
        [edge.Point(id=i, vector=point.tolist(), payload={}) for i, point in enumerate(points)]
    )
    shard.update(operation)
    found = shard.query(edge.QueryRequest(limit=len(points), query=edge.Query.Nearest(query.tolist())))
    shard.close()
    by_id = {hit.id: hit.score for hit in found}
    return np.array([by_id[i] for i in range(len(points))])


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("size", [1e-5, 1e-4, 1.0, 50.0])
def test_scores_are_those_of_the_engine(tmp_path, distance, size):
    rng = np.random.default_rng(0)
    # From far below the norm that Qdrant does not normalise any more (3.5e-4) to large.
    x = (rng.normal(size=(40, 8)) * rng.choice([0, 1e-5, 1e-4, 1, 100], size=(40, 1))).astype(np.float32)
    query = (rng.normal(size=8) * size).astype(np.float32)
    expected = engine_scores(tmp_path, distance, 8, x, query)
    np.testing.assert_allclose(scores(query, x, distance), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_max_sim_is_that_of_the_engine(tmp_path, distance):
    rng = np.random.default_rng(1)
    documents = [rng.normal(size=(rng.integers(1, 6), 8)).astype(np.float32) for _ in range(30)]
    query = rng.normal(size=(3, 8)).astype(np.float32)
    expected = engine_scores(tmp_path, distance, 8, documents, query, multi=True)
    np.testing.assert_allclose(max_sim(query, documents, distance), expected, rtol=1e-5, atol=1e-5)


@given(vectors(0), vectors(5))
def test_dot_and_euclid_are_the_textbook_sums(query, x):
    exact_q, exact_x = query.astype(float), x.astype(float)
    dot = [math.fsum(a * b for a, b in zip(exact_q, row, strict=True)) for row in exact_x]
    euclid = [math.dist(exact_q, row) for row in exact_x]
    np.testing.assert_allclose(scores(query, x, "dot"), dot, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(scores(query, x, "euclid"), euclid, rtol=1e-5, atol=1e-5)


@given(vectors(0), vectors(5))
def test_cosine_is_the_dot_product_of_what_qdrant_stores(query, x):
    np.testing.assert_allclose(
        scores(query, x, "cosine"), scores(normalize(query), normalize(x), "dot"), rtol=0, atol=1e-6
    )


def test_near_neighbours_far_from_the_origin_keep_their_distance():
    x = np.full((1, 4), 1000.0, dtype=np.float32)
    query = x[0] + np.float32(0.01)
    assert scores(query, x, "euclid")[0] == pytest.approx(math.dist(query, x[0]), rel=1e-4)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_matrix_of_queries_gives_the_rows_of_single_ones(distance):
    rng = np.random.default_rng(2)
    queries, x = rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=(5, 8)).astype(np.float32)
    rows = np.stack([similarities(query, x, distance) for query in queries])
    np.testing.assert_allclose(similarities(queries, x, distance), rows, rtol=1e-5, atol=1e-6)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.sampled_from(DISTANCES), st.randoms())
def test_max_sim_sums_the_best_row_for_each_query_row(lengths, distance, random):
    rng = np.random.default_rng(random.randrange(2**32))
    documents = [rng.normal(size=(length, 4)).astype(np.float32) for length in lengths]
    query = rng.normal(size=(2, 4)).astype(np.float32)
    expected = []
    for document in documents:
        similarity = sum(similarities(row, document, distance).max() for row in query)
        expected.append(math.sqrt(abs(similarity)) if distance == "euclid" else similarity)
    np.testing.assert_allclose(max_sim(query, documents, distance), expected, rtol=1e-4, atol=1e-5)


def test_zero_vector_has_cosine_zero():
    x = np.array([[0, 0], [1, 0]], dtype=np.float32)
    assert scores(np.array([1, 0], dtype=np.float32), x, "cosine").tolist() == [0.0, 1.0]
    assert scores(np.zeros(2, dtype=np.float32), x, "cosine").tolist() == [0.0, 0.0]


def test_max_sim_of_nothing_is_nothing_and_empty_documents_are_refused():
    query = np.ones((1, 2), dtype=np.float32)
    assert max_sim(query, [], "dot").shape == (0,)
    with pytest.raises(InvalidArgument, match="empty"):
        max_sim(query, [np.zeros((0, 2), dtype=np.float32)], "dot")


def test_dimensions_must_agree():
    with pytest.raises(InvalidArgument, match="expected dim: 3, got 2"):
        scores(np.ones(2, dtype=np.float32), np.ones((4, 3), dtype=np.float32), "dot")


def test_order_follows_the_distance():
    assert better(2.0, 1.0, "dot")
    assert not better(2.0, 1.0, "euclid")
    assert not better(1.0, 1.0, "cosine")
    assert not better(1.0, 1.0, "euclid")


@pytest.mark.parametrize(("distance", "expected"), [("dot", [False, False, True]), ("euclid", [True, False, False])])
def test_a_threshold_lets_strictly_better_scores_through(tmp_path, distance, expected):
    x = np.array([[1, 0], [2, 0], [3, 0]], dtype=np.float32)
    query = np.array([1, 0] if distance == "dot" else [0, 0], dtype=np.float32)
    assert passes(scores(query, x, distance), 2.0, distance).tolist() == expected


def test_largest_norm():
    assert largest_norm(np.array([[3, 4], [1, 0]], dtype=np.float32)) == pytest.approx(5.0)
    assert largest_norm(np.zeros((0, 4), dtype=np.float32)) == 0.0


def test_norms_of_all_that_float32_holds():
    x = np.array([[3, 4], [3e-30, 4e-30], [3e30, 4e30], [3e-45, 0], [0, 0]], dtype=np.float32)
    np.testing.assert_allclose(norms(x), [5, 5e-30, 5e30, 2.802597e-45, 0], rtol=1e-6)
    np.testing.assert_allclose(norms(x[:1]), [5], rtol=1e-7)
    assert norms(np.array([[np.nan, 0], [3e38, 3e38]], dtype=np.float32)).tolist() == pytest.approx(
        [math.nan, math.inf], nan_ok=True
    )
    assert norms(np.zeros((0, 3), dtype=np.float32)).shape == (0,)

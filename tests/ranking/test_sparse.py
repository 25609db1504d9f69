"""Sparse vectors: building, combining and comparing them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.ranking.sparse import SparseVector, combined, mean, pairwise

ENTRIES = st.dictionaries(st.integers(0, 9), st.floats(-10, 10, width=32))


def sparse(entries):
    return SparseVector.of(list(entries), list(entries.values()))


def dense(vector):
    full = np.zeros(10)
    full[vector.indices] = vector.weights
    return full


@given(ENTRIES)
def test_indices_come_out_sorted_with_their_weights(entries):
    vector = sparse(entries)
    assert vector.indices.tolist() == sorted(entries)
    assert vector.weights.tolist() == [entries[i] for i in sorted(entries)]


@given(st.lists(ENTRIES, max_size=4), st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4))
def test_combination_is_that_of_the_dense_vectors(vectors, factors):
    vectors, factors = [sparse(v) for v in vectors], factors[: len(vectors)]
    expected = sum((f * dense(v) for f, v in zip(factors, vectors, strict=True)), np.zeros(10))
    ours = combined(vectors, factors)
    np.testing.assert_allclose(dense(ours), expected, rtol=1e-4, atol=1e-4)
    assert set(ours.indices.tolist()) == {i for v in vectors for i in v.indices.tolist()}


def test_mean_divides_by_all_vectors():
    assert mean([SparseVector.of([1], [4.0]), SparseVector.of([2], [2.0])]).weights.tolist() == [2.0, 1.0]


@pytest.mark.parametrize(("indices", "weights"), [([1, 2], [1.0]), ([1, 1], [1.0, 2.0])])
def test_malformed_sparse_vectors_are_refused(indices, weights):
    with pytest.raises(InvalidArgument):
        SparseVector.of(indices, weights)


@given(st.lists(ENTRIES, max_size=6))
def test_inner_products_of_all_pairs(rows):
    vectors = [sparse(row) for row in rows]
    products, shared = pairwise(vectors)
    full = np.array([dense(vector) for vector in vectors]).reshape(len(rows), 10)
    assert np.allclose(products, full @ full.T, rtol=1e-4, atol=1e-3)
    assert shared.tolist() == [[bool(one.keys() & other.keys()) for other in rows] for one in rows]

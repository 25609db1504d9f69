"""Averages of examples, against qdrant-client's local mode and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from qdrant_client import models
from qdrant_client.local.local_collection import LocalCollection

from vecguard.errors import InvalidArgument
from vecguard.ranking.recommend import average_dense, average_multi, average_sparse
from vecguard.ranking.sparse import SparseVector

ROWS = hnp.arrays(np.float32, (3,), elements=st.floats(-100, 100, width=32))
SPARSE = st.dictionaries(st.integers(0, 8), st.floats(-100, 100, width=32), min_size=1).map(
    lambda d: SparseVector.of(list(d), list(d.values()))
)


@given(st.lists(ROWS, min_size=1, max_size=4), st.lists(ROWS, max_size=4))
def test_dense_average(positive, negative):
    expected = LocalCollection._recommend_average_dense([list(v) for v in positive], [list(v) for v in negative])
    np.testing.assert_allclose(average_dense(positive, negative), expected, rtol=1e-4, atol=1e-3)


@given(st.lists(SPARSE, min_size=1, max_size=4), st.lists(SPARSE, max_size=4))
def test_sparse_average(positive, negative):
    def models_of(vectors):
        return [models.SparseVector(indices=v.indices.tolist(), values=v.weights.tolist()) for v in vectors]

    expected = LocalCollection._recommend_average_sparse(models_of(positive), models_of(negative))
    ours = average_sparse(positive, negative)
    assert ours.indices.tolist() == expected.indices
    np.testing.assert_allclose(ours.weights, expected.values, rtol=1e-4, atol=1e-3)


def test_multivectors_are_joined_and_negatives_turned_round():
    first, second = np.ones((2, 3), np.float32), np.full((1, 3), 2.0, np.float32)
    assert average_multi([first, second], [second]).tolist() == [[1, 1, 1], [1, 1, 1], [2, 2, 2], [-2, -2, -2]]


@pytest.mark.parametrize("average", [average_dense, average_multi, average_sparse])
def test_without_a_positive_there_is_no_average(average):
    with pytest.raises(InvalidArgument, match="Positive vectors should not be empty"):
        average([])


@pytest.mark.parametrize("average", [average_dense, average_multi])
def test_examples_of_unlike_dimensions_are_refused(average):
    with pytest.raises(InvalidArgument, match="expected dim: 2, got 3"):
        average([np.ones((1, 2), np.float32)], [np.ones((1, 3), np.float32)])

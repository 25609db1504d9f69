"""The distance matrix against qdrant-client's local mode."""

import uuid

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from vecguard.errors import InvalidArgument
from vecguard.metric import scores
from vecguard.ranking.matrix import nearest_in_sample


@pytest.mark.parametrize("distance", ["cosine", "dot", "euclid"])
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_matrix_is_local_modes(distance, limit):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 6)).astype(np.float32)
    ids = [*(int(i) for i in rng.permutation(6)), *(str(uuid.UUID(int=int(i))) for i in rng.permutation(6))]
    client = QdrantClient(":memory:")
    params = models.VectorParams(size=6, distance=models.Distance(distance.capitalize()))
    client.create_collection("c", vectors_config=params)
    client.upsert("c", [models.PointStruct(id=i, vector=v.tolist()) for i, v in zip(ids, x, strict=True)])
    theirs = client.search_matrix_offsets("c", limit=limit, sample=12)
    ours = nearest_in_sample(ids, scores(x, x, distance), limit, distance)
    assert list(ours.ids) == theirs.ids
    assert ours.rows.tolist() == theirs.offsets_row
    assert ours.columns.tolist() == theirs.offsets_col
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("count", "limit"), [(0, 3), (1, 3), (4, 0)])
def test_too_few_samples_or_no_neighbours_wanted(count, limit):
    empty = nearest_in_sample(list(range(count)), np.zeros((count, count), np.float32), limit, "dot")
    assert (empty.ids, len(empty.rows), len(empty.columns), len(empty.scores)) == ((), 0, 0, 0)


def test_a_point_is_never_its_own_neighbour_even_among_equals():
    ours = nearest_in_sample([1, 2, 3], np.ones((3, 3), np.float32), 2, "dot")
    assert np.all(ours.rows != ours.columns)
    assert len(ours.rows) == 6


def test_scores_must_be_square():
    with pytest.raises(InvalidArgument):
        nearest_in_sample([1, 2], np.ones((2, 3), np.float32), 1, "dot")

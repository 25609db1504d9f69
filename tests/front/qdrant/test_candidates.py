"""Candidates score and compare as their exact vectors do, in whichever coordinates they are opened."""

import numpy as np
import pytest
from qdrant_client import grpc as q
from shields import record_of, shield_of

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.qdrant import reveal
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.candidates import Candidates, open_candidates
from vecguard.front.qdrant.examples import Example
from vecguard.front.qdrant.writes import protect_points
from vecguard.metric import max_sim_similarities, normalize, similarities

RNG = np.random.default_rng(5)
DISTANCES = ("cosine", "dot", "euclid")
RECOVER = ("derived", "sealed")
FOUND = (3 * RNG.normal(size=(9, 32))).astype(np.float32)
DOCUMENTS = [RNG.normal(size=(rows, 32)).astype(np.float32) for rows in (1, 4, 2)]
EXAMPLE = RNG.normal(size=32).astype(np.float32)


def stored(shield, vectors, name=""):
    """Points as the database answers them, with these exact vectors."""
    points = [
        q.PointStruct(id=q.PointId(num=i), vectors=q.Vectors(vectors=q.NamedVectors(vectors={name: message_of(v)})))
        for i, v in enumerate(vectors)
    ]
    protect_points(shield, points)
    found = []
    for point in points:
        held = point.vectors.vectors.vectors[name]
        output = q.VectorOutput.FromString(held.SerializeToString())
        named = q.NamedVectorsOutput(vectors={name: output})
        found.append(q.ScoredPoint(id=point.id, payload=point.payload, vectors=q.VectorsOutput(vectors=named)))
    return found


def message_of(vector):
    if vector.ndim == 1:
        return q.Vector(dense=q.DenseVector(data=vector))
    return q.Vector(multi_dense=q.MultiDenseVector(vectors=[q.DenseVector(data=row) for row in vector]))


def shield_for(distance="cosine", recover="derived", kind="dense", dims=32, ratio=1.0):
    return shield_of(record_of("v", dims, distance, recover=recover, kind=kind, ratio=ratio))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("recover", RECOVER)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 8.0])
def test_dense_candidates_score_as_exact_vectors_do(distance, recover, ratio):
    shield = shield_for(distance, recover, ratio=ratio)
    found = open_candidates(shield, stored(shield, FOUND, "v"), "v")
    example = Example(wire.Dense(EXAMPLE), shield.dense("v"))
    exact = normalize(FOUND) if distance == "cosine" else FOUND
    tolerance = {"rtol": 1e-5 * (1 + ratio), "atol": 1e-5 * (1 + ratio) * float(np.linalg.norm(exact, axis=1).max())}
    np.testing.assert_allclose(
        found.similarity(example.framed, distance), similarities(EXAMPLE, exact, distance), **tolerance
    )
    np.testing.assert_allclose(found.pairwise(distance), similarities(exact, exact, distance), **tolerance)
    assert found.largest_norm() == pytest.approx(np.linalg.norm(exact, axis=1).max(), rel=1e-5)
    assert len(found) == len(FOUND)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("recover", RECOVER)
def test_multivectors_score_as_exact_ones_do(distance, recover):
    shield = shield_for(distance, recover, "multi")
    found = open_candidates(shield, stored(shield, DOCUMENTS, "v"), "v")
    example = Example(wire.Multi(DOCUMENTS[1]), shield.dense("v"))
    exact = [normalize(rows) for rows in DOCUMENTS] if distance == "cosine" else DOCUMENTS
    expected = np.stack([max_sim_similarities(rows, exact, distance) for rows in exact])
    np.testing.assert_allclose(found.similarity(example.framed, distance), expected[1], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.pairwise(distance), expected, rtol=1e-4, atol=1e-3)
    largest = max(float(np.linalg.norm(rows, axis=1).max()) for rows in exact)
    assert found.largest_norm() == pytest.approx(largest, rel=1e-5)


def test_only_derived_candidates_stay_rotated():
    """Those that are derived need no way back; sealed ones are at hand exactly."""
    for recover, rotated in (("derived", True), ("sealed", False)):
        shield = shield_for("dot", recover)
        found = open_candidates(shield, stored(shield, FOUND, "v"), "v")
        guard = shield.dense("v")
        assert guard.scores_rotated is rotated
        np.testing.assert_allclose(found.vectors, guard.query(FOUND, 1) if rotated else FOUND, atol=1e-4)
        exact = reveal.open_vectors(shield, stored(shield, FOUND, "v"), "v")
        np.testing.assert_allclose(np.stack([v.data for v in exact.vectors]), FOUND, atol=1e-4)


def test_some_are_taken():
    dense, multi = Candidates(FOUND), Candidates(DOCUMENTS)
    np.testing.assert_array_equal(dense.take([2, 0]).vectors, FOUND[[2, 0]])
    assert [len(rows) for rows in multi.take([2, 0]).vectors] == [2, 1]


@pytest.mark.parametrize("kind", ["dense", "multi"])
def test_nothing_found_is_nothing_opened(kind):
    none = open_candidates(shield_for(kind=kind), [], "v")
    assert (len(none), none.largest_norm()) == (0, 0.0)


# -- what is refused ---------------------------------------------------------------------------------------------------


WRONG = {
    "none": q.VectorOutput(),
    "other dimension": q.VectorOutput(dense=q.DenseVector(data=[0.0] * 31)),
    "other kind": q.VectorOutput(multi_dense=q.MultiDenseVector(vectors=[q.DenseVector(data=[1.0] * 32)])),
    "another vector": q.VectorOutput(dense=q.DenseVector(data=[0.1] * 32)),
    "not a number": q.VectorOutput(dense=q.DenseVector(data=[float("nan")] * 32)),
    "deprecated, of another dimension": q.VectorOutput(data=[0.1] * 33),
}


@pytest.mark.parametrize("recover", RECOVER)
@pytest.mark.parametrize("what", WRONG)
def test_a_vector_that_does_not_fit_its_record_spoils_the_page(recover, what):
    shield = shield_for(recover=recover)
    page = stored(shield, FOUND, "v")
    page[3].vectors.vectors.vectors["v"].CopyFrom(WRONG[what])
    with pytest.raises(Unreadable):
        open_candidates(shield, page, "v")


@pytest.mark.parametrize("kind", ["dense", "multi"])
def test_a_point_without_the_vector_spoils_the_page(kind):
    shield = shield_for(kind=kind)
    page = stored(shield, FOUND if kind == "dense" else DOCUMENTS, "v")
    del page[1].vectors.vectors.vectors["v"]
    with pytest.raises(Unreadable):
        open_candidates(shield, page, "v")


@pytest.mark.parametrize("kind", ["dense", "multi"])
def test_swapped_vectors_spoil_the_page(kind):
    shield = shield_for(kind=kind)
    page = stored(shield, [FOUND[0], FOUND[1]] if kind == "dense" else [DOCUMENTS[1], DOCUMENTS[1] + 1], "v")
    first, second = (point.vectors.vectors.vectors["v"] for point in page)
    kept = q.VectorOutput.FromString(first.SerializeToString())
    first.CopyFrom(second)
    second.CopyFrom(kept)
    with pytest.raises(Unreadable):
        open_candidates(shield, page, "v")


def test_what_nobody_can_recover_is_not_opened():
    shield = shield_for(recover="none")
    assert not shield.dense("v").scores_rotated
    page = stored(shield, FOUND, "v")
    with pytest.raises(InvalidArgument):
        open_candidates(shield, page, "v")

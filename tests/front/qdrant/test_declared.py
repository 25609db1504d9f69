"""What a client declares becomes a record; what cannot be protected is refused before anything is made."""

import pytest
from qdrant_client import grpc as q

from vecguard.errors import FailedPrecondition, InvalidArgument
from vecguard.front.qdrant import declared
from vecguard.policy.model import CollectionPolicy, VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec

EXACT = VectorRule(match="exact*", transforms=(RotationSpec(),), recover="sealed")
POLICY = CollectionPolicy(match="*", vectors=(EXACT, VectorRule(match="[!_]*"), VectorRule(match=""))).placed(0)
NOISE = (RotationSpec(), GaussianSpec())


def params(size=8, distance=q.Distance.Cosine, **more):
    return q.VectorParams(size=size, distance=distance, **more)


def record(name="", **more):
    return declared.dense_record(name, params(**more), POLICY)


@pytest.mark.parametrize("distance", ["Cosine", "Dot", "Euclid"])
def test_each_distance_that_a_rotation_keeps_is_taken(distance):
    made = record(distance=q.Distance.Value(distance))
    assert (made.distance, made.dims, made.kind, made.half) == (distance.lower(), 8, "dense", False)
    assert (made.transforms, made.recover) == (NOISE, "derived")


def test_manhattan_and_what_is_no_distance_are_refused():
    with pytest.raises(InvalidArgument, match="Manhattan distance does not survive a rotation"):
        record(distance=q.Distance.Manhattan)
    for unknown in (q.Distance.UnknownDistance, 99):
        with pytest.raises(InvalidArgument, match="distance"):
            record(distance=unknown)
    assert {*q.Distance.keys()} == {"UnknownDistance", "Cosine", "Euclid", "Dot", "Manhattan"}


@pytest.mark.parametrize("datatype", q.Datatype.keys())
def test_datatypes(datatype):
    given = q.Datatype.Value(datatype)
    if datatype in ("Default", "Float32", "Float16"):
        assert record(datatype=given).half == (datatype == "Float16")
    else:
        with pytest.raises(InvalidArgument, match=f"datatype {datatype} cannot hold a rotated vector"):
            record(datatype=given)
    with pytest.raises(InvalidArgument, match="datatype"):
        record(datatype=99)


def test_a_multivector_is_one():
    assert record(multivector_config=q.MultiVectorConfig()).kind == "multi"


def test_the_rule_of_the_name_decides():
    made = record("exact-title")
    assert (made.name, made.transforms, made.recover) == ("exact-title", (RotationSpec(),), "sealed")
    assert record("title").transforms == NOISE
    for refused in (lambda: record("_x"), lambda: declared.sparse_record("_x", POLICY)):
        with pytest.raises(FailedPrecondition, match="no rule in"):
            refused()


@pytest.mark.parametrize("dims", [1, 768, 1024, 1031, 4096, 65536])
def test_dimensions_that_can_be_rotated(dims):
    assert record(size=dims).dims == dims


def test_dimensions_that_cannot_be_rotated_are_refused_when_they_are_declared():
    with pytest.raises(InvalidArgument, match="vectors of 4099 dimensions cannot be rotated"):
        record(size=4099)
    ask = q.CreateCollection(vectors_config=q.VectorsConfig(params=params(size=4099)))
    with pytest.raises(InvalidArgument, match="cannot be rotated"):
        declared.records(ask, POLICY)


def test_a_sparse_vector_has_no_dims():
    made = declared.sparse_record("words", POLICY)
    assert (made.kind, made.dims, made.distance, made.transforms, made.recover) == ("sparse", 0, "dot", (), "derived")


def test_a_vector_that_is_added_later_is_declared_alike():
    config = q.DenseVectorCreationConfig(size=8, distance=q.Distance.Dot, datatype=q.Datatype.Float16)
    made = declared.dense_record("late", config, POLICY)
    assert made == record("late", distance=q.Distance.Dot, datatype=q.Datatype.Float16)


def test_all_vectors_of_a_collection():
    by_name = q.VectorsConfig(params_map=q.VectorParamsMap(map={"a": params(), "exact": params(size=4)}))
    sparse = q.SparseVectorConfig(map={"words": q.SparseVectorParams()})
    found = declared.records(q.CreateCollection(vectors_config=by_name, sparse_vectors_config=sparse), POLICY)
    assert {(r.name, r.kind, r.dims) for r in found} == {
        ("a", "dense", 8),
        ("exact", "dense", 4),
        ("words", "sparse", 0),
    }
    (unnamed,) = declared.records(q.CreateCollection(vectors_config=q.VectorsConfig(params=params())), POLICY)
    assert (unnamed.name, unnamed.dims) == ("", 8)
    assert declared.records(q.CreateCollection(), POLICY) == []


def test_one_vector_that_cannot_be_protected_refuses_the_collection():
    by_name = {"a": params(), "b": params(distance=q.Distance.Manhattan)}
    ask = q.CreateCollection(vectors_config=q.VectorsConfig(params_map=q.VectorParamsMap(map=by_name)))
    with pytest.raises(InvalidArgument, match="vector `b`: Manhattan"):
        declared.records(ask, POLICY)

"""Pure parts of the points' conversions: packed floats, key paths, averages, diverse choices."""

from __future__ import annotations

import json
from array import array
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as pb

from vecguard.engine.json_path import values_at, without_wildcard_suffix
from vecguard.engine.recommend import average_vector
from vecguard.engine.sparse_mmr import SparseMmr, diverse
from vecguard.engine.values_convert import fill_payload, id_order, json_object
from vecguard.engine.vectors_convert import VectorSpace, fill_vectors, floats, stored_vectors
from vecguard.errors import InvalidArgument

FLOATS = st.lists(st.floats(width=32), max_size=300)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(FLOATS)
def test_packed_floats_are_read_bit_by_bit(numbers: list[float]) -> None:
    expected = array("f", numbers)
    assert floats(pb.DenseVector(data=numbers)).tobytes() == expected.tobytes()
    deprecated = pb.Vector(data=numbers, indices=pb.SparseIndices(data=[1]), vectors_count=3)
    assert floats(deprecated).tobytes() == expected.tobytes()


def test_packed_floats_ignore_what_follows_them() -> None:
    vector = pb.DenseVector(data=[1.0, 2.0])
    vector.MergeFromString(b"\xfa\x01\x03abc")  # a field of number 31, which the message does not know
    assert floats(vector).tolist() == [1.0, 2.0]


@given(FLOATS)
def test_vectors_are_written_bit_by_bit(numbers: list[float]) -> None:
    expected = array("f", numbers)
    dense, multi = pb.VectorsOutput(), pb.VectorsOutput()
    fill_vectors(dense, list(expected))
    assert dense.vector.WhichOneof("vector") == "dense"
    assert array("f", dense.vector.dense.data).tobytes() == expected.tobytes()
    fill_vectors(multi, {"m": [list(expected), [1.0]]})
    rows = multi.vectors.vectors["m"].multi_dense.vectors
    assert [array("f", row.data).tobytes() for row in rows] == [expected.tobytes(), array("f", [1.0]).tobytes()]


def test_long_vectors_are_read_and_written() -> None:
    numbers = [float(n) for n in range(65536)]  # its length takes three bytes on the wire
    target = pb.VectorsOutput()
    fill_vectors(target, numbers)
    assert list(target.vector.dense.data) == numbers
    assert floats(pb.DenseVector(data=numbers)).tolist() == numbers


SPACE = VectorSpace({"": pb.VectorParams(size=3), "b": pb.VectorParams(size=3)}, {})
MULTI = VectorSpace({"": pb.VectorParams(size=3, multivector_config=pb.MultiVectorConfig())}, {})
DENSE = pb.Vector(dense=pb.DenseVector(data=[1, 2, 3]))
OLD = pb.Vector(data=[1, 2, 3])


@pytest.mark.parametrize("space", [SPACE, MULTI])
@pytest.mark.parametrize("vector", [DENSE, OLD])
def test_an_unnamed_vector_is_read_in_either_form(space: VectorSpace, vector: pb.Vector) -> None:
    assert stored_vectors(pb.Vectors(vector=vector), space) == array("f", [1, 2, 3])


def test_named_vectors_are_read_by_name() -> None:
    named = pb.Vectors(vectors=pb.NamedVectors(vectors={"": DENSE, "b": OLD}))
    assert stored_vectors(named, SPACE) == {"": array("f", [1, 2, 3]), "b": array("f", [1, 2, 3])}


@pytest.mark.parametrize("numbers", [[], [1, 2], [1, 2, 3, 4]])
def test_an_unnamed_vector_of_other_dimensions_is_refused(numbers: list[float]) -> None:
    with pytest.raises(InvalidArgument, match=f"expected dim: 3, got {len(numbers)}"):
        stored_vectors(pb.Vectors(vector=pb.Vector(dense=pb.DenseVector(data=numbers))), SPACE)


def test_an_object_without_fields_stays_one() -> None:
    message = pb.Struct()
    fill_payload(message.fields, {"o": {}, "l": [{}, []]})
    returned = pb.Struct.FromString(message.SerializeToString()).fields
    assert returned["o"].WhichOneof("kind") == "struct_value"
    assert json_object(returned) == {"o": {}, "l": [{}, []]}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused_at_any_depth(number: float) -> None:
    value = pb.Value(double_value=number)
    nested = pb.Value(list_value=pb.ListValue(values=[pb.Value(struct_value=pb.Struct(fields={"n": value}))]))
    for fields in ({"n": value}, {"l": nested}):
        with pytest.raises(InvalidArgument, match="cannot convert to json number"):
            json_object(pb.Struct(fields=fields).fields)


@pytest.mark.slow
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_payloads_survive_both_ways(payload: dict[str, Any]) -> None:
    message = pb.Struct()
    fill_payload(message.fields, payload)
    returned = json_object(pb.Struct.FromString(message.SerializeToString()).fields)
    # As JSON text, since Python holds 1, 1.0 and True for equal.
    assert json.dumps(returned, sort_keys=True) == json.dumps(payload, sort_keys=True)


def test_integers_beyond_64_bits_become_doubles() -> None:
    message = pb.Struct()
    fill_payload(message.fields, {"n": 2**64 - 1})
    assert message.fields["n"].double_value == float(2**64 - 1)


def test_numbers_come_before_uuids() -> None:
    ids: list[Any] = [UUID(int=2), 7, UUID(int=1), 2**64 - 1, 0]
    assert sorted(ids, key=id_order) == [0, 7, 2**64 - 1, UUID(int=1), UUID(int=2)]


PAYLOAD = {"a": {"b": [{"c": 1}, {"c": [2, 3]}, {"d": 4}]}, "x.y": 5, "list": [[6, 7], [8]]}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("a.b[].c", [1, [2, 3]]),
        ("a.b[1].c", [[2, 3]]),
        ("a.b[1].c[]", [2, 3]),
        ("a.b[9].c", []),
        ("a.b", [PAYLOAD["a"]["b"]]),
        ("a.b.c", []),
        ('"x.y"', [5]),
        ("x.y", []),
        ("list[][]", [6, 7, 8]),
        ("nothing", []),
    ],
)
def test_key_paths(path: str, values: list[Any]) -> None:
    assert values_at(PAYLOAD, path) == values


def test_malformed_key_path() -> None:
    with pytest.raises(ValueError, match="malformed key path"):
        values_at(PAYLOAD, "a.[")


def test_wildcard_suffix() -> None:
    assert [without_wildcard_suffix(path) for path in ("a[]", "a[].b", "a")] == ["a", "a[].b", "a"]


def _dense(*numbers: float) -> array[float]:
    return array("f", numbers)


def test_average_of_dense_vectors() -> None:
    positives, negatives = [_dense(1, 2), _dense(3, 4)], [_dense(1, 1)]
    assert list(average_vector(positives, [])) == [2, 3]
    assert list(average_vector(positives, negatives)) == [3, 5]


def test_average_of_sparse_vectors() -> None:
    positives = [edge.SparseVector([1, 2], [1.0, 2.0]), edge.SparseVector([2], [4.0])]
    average = average_vector(positives, [edge.SparseVector([2, 9], [1.0, 1.0])])
    assert (average.indices, average.values) == ([1, 2, 9], [1.0, 5.0, -1.0])


def test_multivectors_are_joined() -> None:
    rows = average_vector([[_dense(1, 2)], [_dense(3, 4)]], [[_dense(5, 6)]])
    assert [list(row) for row in rows] == [[1, 2], [3, 4], [-5, -6]]


@pytest.mark.parametrize(
    ("positives", "negatives"),
    [
        ([], [_dense(1, 2)]),
        ([_dense(1, 2)], [edge.SparseVector([1], [1.0])]),
        ([_dense(1, 2), [_dense(1, 2)]], []),
        ([_dense(1, 2), _dense(1, 2, 3)], []),
    ],
    ids=["none", "dense and sparse", "dense and multi", "dimensions"],
)
def test_averages_that_do_not_exist(positives: list[Any], negatives: list[Any]) -> None:
    with pytest.raises(InvalidArgument):
        average_vector(positives, negatives)


def _candidate(score: float, **weights: float) -> Any:
    indices = [int(name[1:]) for name in weights]
    return SimpleNamespace(score=score, vector={"s": edge.SparseVector(indices, list(weights.values()))})


def test_diverse_choice_passes_over_near_duplicates() -> None:
    first, twin, other = _candidate(1.0, i1=1.0), _candidate(0.9, i1=1.0), _candidate(0.5, i2=1.0)
    query = edge.SparseVector([1], [1.0])
    candidates = [first, twin, other]
    assert diverse(candidates, SparseMmr(query, 0.5, 3, "s"), 2) == [first, other]
    assert diverse(candidates, SparseMmr(query, 1.0, 3, "s"), 2) == [first, twin]
    assert diverse(candidates, SparseMmr(query, 0.5, 3, "s"), 9) == [first, other, twin]
    assert diverse([], SparseMmr(query, 0.5, 3, "s"), 9) == []


def test_averages_do_not_lose_precision() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    average = average_vector([array("f", row.tobytes()) for row in vectors], [])
    np.testing.assert_allclose(average, vectors.astype(np.float64).mean(axis=0), atol=1e-6)

"""Vectors are read from every form that the API has for them, and go back in the form they came in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import vectors as wire

FLOAT = st.floats(width=32, allow_nan=False, allow_infinity=False)


def rows_of(rows):
    return q.MultiDenseVector(vectors=[q.DenseVector(data=row) for row in rows])


def deprecated(data, *, indices=None, count=None):
    return {
        "data": data,
        **({"indices": q.SparseIndices(data=indices)} if indices is not None else {}),
        **({"vectors_count": count} if count is not None else {}),
    }


DENSE = [1.0, -2.5, 3.0, 0.0]
PAIRS = wire.Sparse(np.uint32([7, 1]), np.float32([0.5, -1]))
FORMS = {
    "dense": ({"dense": q.DenseVector(data=DENSE)}, wire.Dense(np.float32(DENSE))),
    "sparse": ({"sparse": q.SparseVector(indices=[7, 1], values=[0.5, -1])}, PAIRS),
    "multi": ({"multi_dense": rows_of([[1, 2], [3, 4]])}, wire.Multi(np.float32([[1, 2], [3, 4]]))),
    "old dense": (deprecated(DENSE), wire.Dense(np.float32(DENSE))),
    "old sparse": (deprecated([0.5, -1], indices=[7, 1]), PAIRS),
    "old multi": (deprecated(DENSE, count=2), wire.Multi(np.float32([[1, -2.5], [3, 0]]))),
    "empty sparse": ({"sparse": q.SparseVector()}, wire.Sparse(np.uint32([]), np.float32([]))),
}


def parts(vector):
    if isinstance(vector, wire.Sparse):
        return ("sparse", vector.indices.tolist(), vector.values.tolist())
    data = vector.data if isinstance(vector, wire.Dense) else vector.rows
    assert data.dtype == np.float32
    return (type(vector).__name__, data.tolist())


@pytest.mark.parametrize("holder", [q.Vector, q.VectorOutput])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read(holder, form):
    fields, expected = FORMS[form]
    assert parts(wire.read(holder(**fields))) == parts(expected)


@pytest.mark.parametrize("size", [0, 1, 2, 31, 32, 33, 4095, 4096, 4097])
@pytest.mark.parametrize(
    "other", [b"", b"\x7a\x01x", b"\x0d\x00\x00\x80\x3f"], ids=["", "unknown field", "unpacked float"]
)
def test_dense_vectors_of_every_length_are_read(size, other):
    data = np.arange(size, dtype=np.float32)
    message = q.DenseVector(data=data)
    message.MergeFromString(other)
    expected = np.array(list(message.data), np.float32)
    for vector in (wire.read(q.Vector(dense=message)), wire.read_input(q.VectorInput(dense=message))):
        assert vector.data.dtype == np.float32
        np.testing.assert_array_equal(vector.data, expected)


@pytest.mark.parametrize("holder", [q.Vector, q.VectorOutput])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_back_is_in_the_same_form_and_nowhere_else(holder, form):
    fields, vector = FORMS[form]
    message = holder(**fields)
    if isinstance(vector, wire.Sparse):
        other = wire.Sparse(np.uint32([9, 8, 2**32 - 1]), np.float32([1, 2, 3]))
    elif isinstance(vector, wire.Multi):
        other = wire.Multi(vector.rows[::-1] * 2 + 1)
    else:
        other = wire.Dense(vector.data[::-1] * 2 + 1)
    wire.write(message, other)
    assert parts(wire.read(message)) == parts(other)
    assert {field.name for field, _ in message.ListFields()} <= set(fields) | {"data", "indices"}
    parsed = holder.FromString(message.SerializeToString())
    assert parsed == message
    # The old content is gone: the same message made afresh has the same bytes.
    again = holder(**fields)
    again.ClearField("data")
    wire.write(again, other)
    assert again == message


def test_a_written_vector_may_change_its_length():
    message = q.Vector(dense=q.DenseVector(data=DENSE))
    wire.write(message, wire.Dense(np.float32([1])))
    assert list(message.dense.data) == [1.0]
    old = q.Vector(**deprecated(DENSE))
    wire.write(old, wire.Dense(np.float32([5, 6])))
    assert list(old.data) == [5.0, 6.0]


@given(hnp.arrays(np.float32, st.integers(0, 400), elements=FLOAT))
def test_packed_floats_are_what_protobuf_writes(data):
    assert q.DenseVector.FromString(wire.packed_floats(data)).data == data.tolist()
    if data.size:
        assert wire.packed_floats(data) == q.DenseVector(data=data.tolist()).SerializeToString()


@pytest.mark.parametrize("size", [31, 32, 4095, 4096, 600_000])
def test_packed_floats_of_every_length_of_the_header(size):
    data = np.arange(size, dtype=np.float32)
    assert len(q.DenseVector.FromString(wire.packed_floats(data)).data) == size


def test_packed_floats_of_a_view_are_its_own():
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert q.DenseVector.FromString(wire.packed_floats(data[:, 1])).data == [1.0, 5.0, 9.0]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"multi_dense": rows_of([])}, "must not be empty"),
        ({"multi_dense": rows_of([[1, 2], [3]])}, "the same dimension"),
        ({"sparse": q.SparseVector(indices=[1, 2], values=[1])}, "the same length"),
        ({"sparse": q.SparseVector(indices=[1, 1], values=[1, 2])}, "must be unique"),
        (deprecated([1, 2, 3], indices=[1]), "the same length"),
        (deprecated([1, 2, 3], count=2), "not divisible"),
        (deprecated([], count=2), "not divisible"),
        (deprecated([1, 2], count=0), "not divisible"),
        ({"document": q.Document(text="a secret", model="m")}, r"inference input \(document\)"),
        ({"image": q.Image(model="m")}, r"inference input \(image\)"),
        ({"object": q.InferenceObject(model="m")}, r"inference input \(object\)"),
    ],
)
def test_what_is_malformed_or_text_is_refused(fields, text):
    with pytest.raises(InvalidArgument, match=text) as refusal:
        wire.read(q.Vector(**fields))
    assert "a secret" not in str(refusal.value)


def test_every_form_of_the_api_is_known_here():
    """A newer client library that brings another form must be looked at before it is used."""
    assert {f.name for f in q.Vector.DESCRIPTOR.oneofs_by_name["vector"].fields} == {
        *("dense", "sparse", "multi_dense", "document", "image", "object")
    }
    assert {f.name for f in q.VectorInput.DESCRIPTOR.oneofs_by_name["variant"].fields} == {
        *("id", "dense", "sparse", "multi_dense", "document", "image", "object")
    }


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad):
    for vector in (
        wire.Dense(np.float32([1, bad])),
        wire.Multi(np.float32([[1, 2], [bad, 3]])),
        wire.Sparse(np.uint32([1, 2]), np.float32([bad, 1])),
    ):
        with pytest.raises(InvalidArgument, match="NaN or infinite"):
            wire.check_finite(vector)
    for _, vector in FORMS.values():
        wire.check_finite(vector)
    for fields in (
        {"dense": q.DenseVector(data=[1, bad])},
        {"multi_dense": rows_of([[bad, 1]])},
        {"sparse": q.SparseVector(indices=[1], values=[bad])},
    ):
        with pytest.raises(InvalidArgument, match="NaN or infinite"):
            wire.read_input(q.VectorInput(**fields))


@pytest.mark.parametrize("form", ["dense", "sparse", "multi", "empty sparse"])
def test_query_inputs_are_read_and_made(form):
    fields, vector = FORMS[form]
    message = q.VectorInput(**fields)
    assert parts(wire.read_input(message)) == parts(vector)
    assert wire.to_input(vector) == message


def test_query_inputs_may_name_a_point():
    point = q.PointId(uuid="936da01f-9abd-4d9d-80c7-02af85c822a8")
    assert wire.read_input(q.VectorInput(id=point)) == point


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "variant is missing"),
        ({"document": q.Document(text="t", model="m")}, r"inference input \(document\)"),
        ({"image": q.Image(model="m")}, r"inference input \(image\)"),
        ({"object": q.InferenceObject(model="m")}, r"inference input \(object\)"),
        ({"multi_dense": rows_of([])}, "must not be empty"),
        ({"sparse": q.SparseVector(indices=[1], values=[])}, "the same length"),
    ],
)
def test_other_query_inputs_are_refused(fields, text):
    with pytest.raises(InvalidArgument, match=text):
        wire.read_input(q.VectorInput(**fields))


@pytest.mark.parametrize("form", FORMS)
def test_vectors_of_old_requests_become_query_inputs(form):
    fields, vector = FORMS[form]
    assert parts(wire.read_input(wire.from_legacy(q.Vector(**fields)))) == parts(vector)

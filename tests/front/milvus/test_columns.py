"""Columns of messages as arrays and back: both forms of nulls, every type, half precision to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from front.milvus.schemas import arrays_of, data_of, sparse_of, vectors_of
from vecguard.errors import InvalidArgument
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus.columns import Shape, Values
from vecguard.front.milvus.proto import DATA_TYPES, s

INT64, FLOAT = DATA_TYPES["Int64"], DATA_TYPES["FloatVector"]
F16, BF16 = DATA_TYPES["Float16Vector"], DATA_TYPES["BFloat16Vector"]


def test_both_forms_of_nulls() -> None:
    for values, valid in (([5, 7], [True, False, True]), ([5, 0, 7], [True, False, True])):
        found = wire.scalars(data_of("n", "Int64", values, valid), INT64, 3)
        assert (list(found.elements), list(found.rows)) == ([5, 7], [0, 2])
    assert list(wire.scalars(data_of("n", "Int64", [1, 2]), INT64, 2).rows) == [0, 1]
    assert list(wire.scalars(data_of("n", "Int64", [], [False, False]), INT64, 2).elements) == []


@pytest.mark.parametrize(
    ("values", "valid", "rows"), [([1, 2], [], 3), ([1], [True, True, False], 3), ([1, 2], [True, True], 3)]
)
def test_numbers_of_rows_that_do_not_fit(values: list[int], valid: list[bool], rows: int) -> None:
    with pytest.raises(InvalidArgument):
        wire.scalars(data_of("n", "Int64", values, valid), INT64, rows)


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="array type mismatch"):
        wire.scalars(data_of("n", "VarChar", ["a"]), INT64, 1)
    with pytest.raises(InvalidArgument, match="array type mismatch"):
        wire.arrays(arrays_of("n", "VarChar", [["a"]]), INT64, 1)
    with pytest.raises(InvalidArgument, match="array type mismatch"):
        wire.dense(sparse_of("v", [{1: 1.0}]), FLOAT, 4, 1)
    with pytest.raises(InvalidArgument, match="is illegal"):
        wire.sparse(vectors_of("v", np.ones((1, 4), np.float32)), 1)
    with pytest.raises(InvalidArgument, match="undefined data type:Geometry"):
        wire.scalars(s.FieldData(), DATA_TYPES["Geometry"], 0)


@pytest.mark.parametrize("compact", [True, False])
def test_written_columns_read_back(compact: bool) -> None:
    data = wire.write_scalars(Shape("n", INT64, field_id=7, compact=compact), Values([5, 7], [0, 2]), 3, marked=True)
    assert (data.field_id, list(data.valid_data)) == (7, [True, False, True])
    assert len(data.scalars.long_data.data) == (2 if compact else 3)
    assert list(wire.scalars(data, INT64, 3).elements) == [5, 7]
    array = DATA_TYPES["Array"]
    data = wire.write_arrays(Shape("n", array, INT64, compact=compact), Values([[1], []], [0, 2]), 3, marked=True)
    assert [list(row) for row in wire.arrays(data, INT64, 3).elements] == [[1], []]
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    data = wire.write_dense(Shape("v", FLOAT, compact=compact), x, [0, 2], 3, dims=4, marked=True)
    back, rows = wire.dense(data, FLOAT, 4, 3)
    assert (back.tolist(), list(rows)) == (x.tolist(), [0, 2])


def test_unmarked_columns_have_no_marks() -> None:
    data = wire.write_scalars(Shape("n", INT64), Values([1, 2], range(2)), 2, marked=False)
    assert not data.valid_data
    assert wire.row_count(data) == 2


def every_half() -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """All 16-bit patterns but those of NaN."""
    bits = np.arange(2**16, dtype=np.uint16)
    return bits


@pytest.mark.parametrize("kind", [F16, BF16])
def test_half_precision_to_the_bit(kind: int) -> None:
    content = every_half().tobytes()
    x = wire.half_to_float(content, kind)
    finite = np.isfinite(x)
    back = np.frombuffer(wire.float_to_half(x[finite], kind), "<u2")
    assert (back == every_half()[finite]).all()


@pytest.mark.parametrize("kind", [F16, BF16])
def test_half_precision_rounds_to_the_nearest(kind: int) -> None:
    x = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    rounded = wire.half_to_float(wire.float_to_half(x, kind), kind)
    assert np.abs(rounded - x).max() <= np.abs(x).max() * (2**-11 if kind == F16 else 2**-8)
    # What was on the grid comes back to it when float32 arithmetic moved it a little.
    moved = rounded * np.float32(1 + 3e-7)
    assert wire.float_to_half(moved, kind) == wire.float_to_half(rounded, kind)


def test_an_odd_number_of_bytes_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="two bytes"):
        wire.half_to_float(b"abc", F16)


def test_sparse_rows() -> None:
    indices, values = wire.sparse_row(
        sparse_of("w", [{3: 0.5, 2**32 - 2: 1.0}]).vectors.sparse_float_vector.contents[0], "w"
    )
    assert (indices.tolist(), values.tolist()) == ([3, 2**32 - 2], [0.5, 1.0])
    swapped = wire.sparse_bytes((indices[::-1], values[::-1]))
    assert wire.sparse_row(swapped, "w")[0].tolist() == [3, 2**32 - 2]
    for content in (b"abc", wire.sparse_bytes((np.array([1, 1], np.uint32), np.ones(2, np.float32)))):
        with pytest.raises(InvalidArgument, match="sparse float vector"):
            wire.sparse_row(content, "w")
    with pytest.raises(InvalidArgument, match="not a number"):
        wire.sparse_row(wire.sparse_bytes((np.array([1], np.uint32), np.array([np.nan], np.float32))), "w")


def test_rows_are_counted_in_every_kind_of_column() -> None:
    assert wire.row_count(s.FieldData()) == 0
    assert wire.row_count(data_of("n", "Int64", [], [True, False])) == 2
    assert wire.row_count(arrays_of("n", "Int64", [[1], []])) == 2
    assert wire.row_count(vectors_of("v", np.ones((3, 4), np.float32))) == 3
    assert wire.row_count(sparse_of("w", [{}, {1: 1.0}])) == 2
    lists = s.FieldData()
    lists.vectors.vector_array.data.add()
    assert wire.row_count(lists) == 1
    half = s.FieldData(type=F16)
    half.vectors.dim = 4
    half.vectors.float16_vector = bytes(16)
    assert wire.row_count(half) == 2
    half.vectors.dim = 0
    with pytest.raises(InvalidArgument, match="no dimension"):
        wire.row_count(half)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 5000])
def test_packed_floats_are_protobufs(count: int) -> None:
    x = np.arange(count, dtype=np.float32)
    assert list(s.FloatArray.FromString(wire.packed_floats(x)).data) == x.tolist()

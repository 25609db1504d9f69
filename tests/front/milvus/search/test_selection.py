"""Rows chosen from the columns of several answers."""

import numpy as np
import pytest

from vecguard.errors import Unreadable
from vecguard.front.milvus.columns import sparse_bytes
from vecguard.front.milvus.proto import DATA_TYPES, s
from vecguard.front.milvus.selection import RowPlace, chosen_rows

PLACES = [RowPlace(1, 0), RowPlace(0, 2), RowPlace(0, 0), RowPlace(1, 0)]


def scalar(kind, slot, *pages, valid=()):
    columns = []
    for number, page in enumerate(pages):
        column = s.FieldData(type=DATA_TYPES[kind], field_name="f", field_id=101)
        getattr(column.scalars, slot).data.extend(page)
        if valid:
            column.valid_data.extend(valid[number])
        columns.append(column)
    return columns


@pytest.mark.parametrize(
    ("kind", "slot", "values"),
    [
        ("Bool", "bool_data", [True, False, True, False]),
        ("Int8", "int_data", [1, 2, 3, 4]),
        ("Int64", "long_data", [1, 2, 3, 4]),
        ("Float", "float_data", [1, 2, 3, 4]),
        ("Double", "double_data", [1, 2, 3, 4]),
        ("VarChar", "string_data", ["a", "b", "c", "d"]),
        ("JSON", "json_data", [b"1", b"2", b"3", b"4"]),
    ],
)
def test_scalars(kind, slot, values):
    taken = chosen_rows(scalar(kind, slot, values[:3], values[3:]), PLACES)
    assert list(getattr(taken.scalars, slot).data) == [values[3], values[2], values[0], values[3]]
    assert (taken.type, taken.field_name, taken.field_id) == (DATA_TYPES[kind], "f", 101)
    assert not taken.valid_data


def test_nulls_stay_where_they_are():
    pages = scalar("Int64", "long_data", [1, 0, 3], [4], valid=([True, True, False], [True]))
    taken = chosen_rows(pages, PLACES)
    assert list(taken.valid_data) == [True, False, True, True]
    assert list(taken.scalars.long_data.data) == [4, 3, 1, 4]


def test_a_page_without_marks_has_no_nulls():
    pages = scalar("Int64", "long_data", [1, 0, 3], [4], valid=([True, False, True], []))
    assert list(chosen_rows(pages, PLACES).valid_data) == [True, True, True, True]


def test_arrays():
    columns = []
    for page in ([[1], [2, 2], []], [[4]]):
        column = s.FieldData(type=DATA_TYPES["Array"], field_name="f")
        column.scalars.array_data.element_type = DATA_TYPES["Int64"]
        for row in page:
            column.scalars.array_data.data.add().long_data.data.extend(row)
        columns.append(column)
    taken = chosen_rows(columns, PLACES).scalars.array_data
    assert taken.element_type == DATA_TYPES["Int64"]
    assert [list(row.long_data.data) for row in taken.data] == [[4], [], [1], [4]]


def vectors(*pages, valid=()):
    columns = []
    for number, page in enumerate(pages):
        column = s.FieldData(type=DATA_TYPES["FloatVector"], field_name="f")
        column.vectors.dim = 2
        column.vectors.float_vector.data.extend(page)
        if valid:
            column.valid_data.extend(valid[number])
        columns.append(column)
    return columns


def test_dense_vectors():
    taken = chosen_rows(vectors([1, 2, 3, 4, 5, 6], [7, 8]), PLACES).vectors
    assert (taken.dim, list(taken.float_vector.data)) == (2, [7, 8, 5, 6, 1, 2, 7, 8])


@pytest.mark.parametrize("page", [[1, 2, 5, 6], [1, 2, 0, 0, 5, 6]])
def test_vectors_that_may_be_null_with_and_without_an_element_for_null(page):
    taken = chosen_rows(vectors(page, [7, 8], valid=([True, False, True], [True])), [*PLACES, RowPlace(0, 1)])
    assert list(taken.valid_data) == [True, True, True, True, False]
    assert list(taken.vectors.float_vector.data) == [7, 8, 5, 6, 1, 2, 7, 8]


@pytest.mark.parametrize(
    ("kind", "slot", "width"),
    [("Float16Vector", "float16_vector", 4), ("BinaryVector", "binary_vector", 1), ("Int8Vector", "int8_vector", 2)],
)
def test_vectors_of_bytes(kind, slot, width):
    columns = []
    for page in (b"abc", b"d"):
        column = s.FieldData(type=DATA_TYPES[kind], field_name="f")
        column.vectors.dim = 8 if kind == "BinaryVector" else 2
        setattr(column.vectors, slot, b"".join(bytes([letter]) * width for letter in page))
        columns.append(column)
    taken = chosen_rows(columns, PLACES).vectors
    assert getattr(taken, slot) == b"d" * width + b"c" * width + b"a" * width + b"d" * width


def test_sparse_vectors():
    rows = [sparse_bytes((np.array([i], np.uint32), np.array([i], np.float32))) for i in range(4)]
    columns = []
    for page in (rows[:3], rows[3:]):
        column = s.FieldData(type=DATA_TYPES["SparseFloatVector"], field_name="f")
        column.vectors.sparse_float_vector.contents.extend(page)
        columns.append(column)
    taken = chosen_rows(columns, PLACES).vectors
    assert list(taken.sparse_float_vector.contents) == [rows[3], rows[2], rows[0], rows[3]]


def test_no_rows():
    assert not chosen_rows(scalar("Int64", "long_data", []), []).scalars.long_data.data
    assert chosen_rows([s.FieldData(field_name="f")], []).field_name == "f"


@pytest.mark.parametrize("place", [RowPlace(0, 3), RowPlace(1, 1), RowPlace(2, 0)])
def test_rows_that_are_not_there_are_not_made_up(place):
    with pytest.raises(Unreadable):
        chosen_rows(scalar("Int64", "long_data", [1, 2, 3], [4]), [place])
    with pytest.raises(Unreadable):
        chosen_rows(vectors([1, 2, 3, 4, 5, 6], [7, 8]), [place])


def test_a_column_of_nothing_that_should_have_rows():
    with pytest.raises(Unreadable):
        chosen_rows([s.FieldData(field_name="f")], [RowPlace(0, 0)])

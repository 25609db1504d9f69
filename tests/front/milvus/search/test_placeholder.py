"""Placeholder groups: what clients write is read, what is written is read again, what is not understood is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymilvus.client.prepare import Prepare

from vecguard.errors import InvalidArgument, UnknownField
from vecguard.front.milvus.placeholder import (
    DenseQueries,
    SparseQueries,
    TextQueries,
    read_queries,
    write_dense,
    write_sparse,
)
from vecguard.front.milvus.proto import c

finite = st.floats(-1e3, 1e3, width=32)


def group(kind, *values):
    return c.PlaceholderGroup(placeholders=[c.PlaceholderValue(tag="$0", type=kind, values=values)]).SerializeToString()


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 8)), elements=finite))
def test_dense_queries_come_back(x):
    read = read_queries(write_dense(x))
    assert isinstance(read, DenseQueries)
    assert read.x.dtype == np.float32
    assert read.x.tolist() == x.tolist()
    assert len(read) == len(x)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 8)), elements=finite))
def test_what_the_client_writes_is_read(x):
    for rows in (x.tolist(), list(x)):
        read = read_queries(Prepare._prepare_placeholder_str(rows))
        assert isinstance(read, DenseQueries)
        assert read.x.tolist() == x.tolist()


def test_half_precision():
    x = np.array([[1.5, -2.25], [0.0, 65504.0]], np.float16)
    read = read_queries(Prepare._prepare_placeholder_str(list(x)))
    assert isinstance(read, DenseQueries)
    assert (read.x.tolist(), read.width) == (x.astype(np.float32).tolist(), 2)


def test_bfloat16():
    x = np.array([[1.5, -2.25], [0.0, 3e38]], np.float32)
    bits = (x.view(np.uint32) >> 16).astype("<u2")
    read = read_queries(group(c.PlaceholderType.BFloat16Vector, *(row.tobytes() for row in bits)))
    assert isinstance(read, DenseQueries)
    assert np.allclose(read.x, x, rtol=2**-7)
    assert read.x[0].tolist() == [1.5, -2.25]


def test_sparse_queries_go_by_index_at_rest():
    read = read_queries(Prepare._prepare_placeholder_str([{7: 0.5, 2: 1.5}, {1: 1.0}]))
    assert isinstance(read, SparseQueries)
    assert [(i.tolist(), v.tolist()) for i, v in read.rows] == [([2, 7], [1.5, 0.5]), ([1], [1.0])]
    moved = write_sparse([(np.array([9, 3], np.uint32), np.array([0.5, 1.5], np.float32))])
    again = read_queries(moved)
    assert isinstance(again, SparseQueries)
    assert [(i.tolist(), v.tolist()) for i, v in again.rows] == [([3, 9], [1.5, 0.5])]


def test_texts_stay_as_they_are():
    written = Prepare._prepare_placeholder_str(["a", "ü"])
    assert read_queries(written) == TextQueries(written, 2)


@pytest.mark.parametrize("width", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(width):
    row = np.array([1.0, width], np.float32)
    with pytest.raises(InvalidArgument, match="not a number"):
        read_queries(write_dense(row[None]))
    with pytest.raises(InvalidArgument, match="not a number"):
        read_queries(write_sparse([(np.array([1, 2], np.uint32), row)]))


@pytest.mark.parametrize(
    "kind",
    [
        c.PlaceholderType.BinaryVector,
        c.PlaceholderType.Int8Vector,
        c.PlaceholderType.Int64,
        c.PlaceholderType.Value("None"),
        300,
    ],
)
def test_other_kinds_are_refused(kind):
    with pytest.raises(InvalidArgument, match="cannot be protected"):
        read_queries(group(kind, b"\0" * 8))


@pytest.mark.parametrize(
    "written",
    [
        b"\xff",
        b"",
        group(c.PlaceholderType.FloatVector),
        group(c.PlaceholderType.FloatVector, b""),
        group(c.PlaceholderType.FloatVector, b"\0" * 5),
        group(c.PlaceholderType.FloatVector, b"\0" * 8, b"\0" * 4),
        group(c.PlaceholderType.SparseFloatVector, b"\0" * 9),
        c.PlaceholderGroup(placeholders=[c.PlaceholderValue(), c.PlaceholderValue()]).SerializeToString(),
    ],
)
def test_malformed_groups_are_refused(written):
    with pytest.raises(InvalidArgument):
        read_queries(written)


def test_unknown_fields_are_refused():
    """The group is a message within bytes, which the pipeline's own check does not see into."""
    known = write_dense(np.ones((1, 2), np.float32))
    with pytest.raises(UnknownField):
        read_queries(known + b"\xa2\x06\x02hi")

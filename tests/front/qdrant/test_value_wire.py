"""The bytes that are put together by hand are those of protobuf's own messages."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as q

from vecguard.front.qdrant import value_wire

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.sampled_from(["x" * 127, "x" * 128, "é" * 64, "x" * 4_095, "x" * 4_096, "x" * 20_000]),
)
JSON = st.recursive(
    st.one_of(st.none(), LEAVES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def wire(value):
    match value:
        case None:
            return value_wire.NULL
        case dict():
            return value_wire.struct(b"".join(value_wire.map_entry(key, wire(item)) for key, item in value.items()))
        case list():
            return value_wire.array([wire(item) for item in value])
    return value_wire.leaf(value)


def message(value):
    match value:
        case None:
            return q.Value(null_value=q.NullValue.NULL_VALUE)
        case bool():
            return q.Value(bool_value=value)
        case int():
            return q.Value(integer_value=value)
        case float():
            return q.Value(double_value=value)
        case str():
            return q.Value(string_value=value)
        case list():
            return q.Value(list_value=q.ListValue(values=[message(item) for item in value]))
    return q.Value(struct_value=q.Struct(fields={key: message(item) for key, item in value.items()}))


@given(JSON)
def test_bytes_are_those_of_the_message(value):
    parsed = q.Value.FromString(wire(value))
    assert parsed == message(value)
    assert len(wire(value)) == parsed.ByteSize()


@given(LEAVES)
def test_a_leaf_is_encoded_as_protobuf_does(value):
    assert value_wire.leaf(value) == message(value).SerializeToString()


@given(TEXT, TEXT)
def test_an_entry_of_a_text_is_one_of_its_leaf(key, text):
    assert value_wire.text_entry(key, text) == value_wire.map_entry(key, value_wire.leaf(text))


@pytest.mark.parametrize("value", [{}, []])
def test_empty_maps_and_lists_keep_their_kind(value):
    assert q.Value.FromString(wire(value)).WhichOneof("kind") == message(value).WhichOneof("kind") is not None


def test_a_value_without_a_kind_keeps_none():
    assert q.Value.FromString(value_wire.NOTHING).WhichOneof("kind") is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0])
def test_unusual_doubles_keep_their_bits(number):
    back = q.Value.FromString(value_wire.leaf(number)).double_value
    assert str(back) == str(number)

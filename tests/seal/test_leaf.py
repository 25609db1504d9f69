"""Leaves come back with exact type and bits, and their length tells only a bucket."""

import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.seal.leaf import decode_leaf, encode_leaf, padded_length

LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8")),
)


def bits(value: Any) -> Any:
    return struct.pack(">d", value) if isinstance(value, float) else value


@given(LEAVES)
def test_type_and_bits_come_back(value: Any) -> None:
    back = decode_leaf(encode_leaf(value))
    assert type(back) is type(value)
    assert bits(back) == bits(value)


@given(LEAVES, LEAVES)
def test_different_leaves_have_different_bytes(a: Any, b: Any) -> None:
    same = type(a) is type(b) and bits(a) == bits(b)
    assert (encode_leaf(a) == encode_leaf(b)) == same


def test_types_that_compare_equal_in_python_stay_apart() -> None:
    assert len({encode_leaf(value) for value in (True, 1, 1.0, "1", "True", "", 0, False, 0.0, -0.0)}) == 10


def test_known_answers(known: Callable[[str], Any]) -> None:
    for case in known("fields")["fields"]:
        value = case["value"]
        if case["type"] == "float":
            (value,) = struct.unpack(">d", bytes.fromhex(value))
        assert encode_leaf(value).hex() == case["leaf"]


def test_padded_lengths_are_the_known_answers(known: Callable[[str], Any]) -> None:
    for length, padded in known("fields")["padded"]:
        assert padded_length(length) == padded


@given(st.integers(0, 2**32))
def test_padding_is_small_and_never_cuts(length: int) -> None:
    padded = padded_length(length)
    assert padded >= max(16, length)
    assert padded <= max(16, math.ceil(length * 1.12))
    assert padded_length(padded) == padded


def test_short_strings_share_a_length() -> None:
    assert {len(encode_leaf("x" * n)) for n in range(12)} == {16}
    assert {len(encode_leaf(value)) for value in (True, 7, 7.5, "seven")} == {16}


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", None, b"x", [1], {}])
def test_what_is_no_leaf_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        encode_leaf(value)


def padded(content: bytes) -> bytes:
    return content.ljust(16, b"\0")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\0\0\0",
        encode_leaf("x")[:-1],
        encode_leaf("x") + b"\0",
        encode_leaf("x")[:-1] + b"\x01",
        padded(b"\x01\0\0\0\x01\x02"),
        padded(b"\x01\0\0\0\x02\x01\x01"),
        padded(b"\x02\0\0\0\x07" + bytes(7)),
        padded(b"\x03\0\0\0\x04" + bytes(4)),
        padded(b"\x04\0\0\0\x01\xff"),
        padded(b"\x04\xff\xff\xff\xff"),
        padded(b"\x00\0\0\0\0"),
        padded(b"\x05\0\0\0\0"),
        bytes(16),
    ],
)
def test_what_the_encoder_never_writes_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_leaf(data)

"""Constants mean what Milvus takes them for, and what is written is read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression.literals import (
    read_floating,
    read_integer,
    read_key,
    read_raw_string,
    read_string,
    write_string,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"red"', "red"),
        (r"'red'", "red"),
        (r'""', ""),
        (r'"it\'s"', "it's"),
        (r"'say \"x\"'", 'say "x"'),
        (r'"a\\b"', "a\\b"),
        (r'"\\n"', "\\n"),
        (r'"\a\b\f\n\r\t\v"', "\a\b\f\n\r\t\v"),
        (r'"\x72\162\u0072\U00000072"', "rrrr"),
        (r'"é中😀"', "é中😀"),
        (r'"\u00e9\u4e2d\U0001f600"', "é中😀"),
        ('"tab\there"', "tab\there"),
    ],
)
def test_strings(text, value):
    assert read_string(text) == value


@pytest.mark.parametrize(
    "text",
    [r'"\q"', r'"\?"', r'"\8"', r'"\x7"', r'"\u12"', r'"\xff"', r'"\377"', r'"\ud800"', r'"\U00110000"', r'"\ "'],
)
def test_escapes_that_go_does_not_know_are_refused(text):
    with pytest.raises(InvalidArgument, match="invalid syntax"):
        read_string(text)


@given(st.text())
def test_what_is_written_is_read_back(value):
    text = write_string(value)
    assert read_string(text) == value
    assert text[0] == text[-1] == '"'
    assert not set(text) & {"\r", "\n"}


def test_raw_strings_keep_their_backslashes():
    assert read_raw_string(r'r"\d+\"x"') == r"\d+\"x"
    assert read_raw_string(r"R'\.json$'") == r"\.json$"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"a"', "a"),
        ("'a b'", "a b"),
        (r'"q\"x"', 'q"x'),
        (r'"a\\b"', "a\\b"),
        (r'"\u4e2d"', "中"),
        ('"]"', "]"),
        ('"0"', "0"),
    ],
)
def test_keys(text, key):
    assert read_key(text) == key
    assert read_key(write_string(key)) == key


@pytest.mark.parametrize(
    "text", ['""', "''", '"a][b"', r'"a\x41"', r'"\u005d["', r'"\ud800"', r'"\q"', r'"\101"', r'"\U00000041"']
)
def test_keys_that_servers_read_differently_are_refused(text):
    with pytest.raises(InvalidArgument, match="invalid"):
        read_key(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0", 0), ("7", 7), ("0x1F", 31), ("0Xff", 255), ("0b101", 5), ("0B1", 1), ("017", 15), ("00", 0)),
        *((str(2**63 - 1), 2**63 - 1), (str(2**63), 2**63)),
    ],
)
def test_integers(text, value):
    assert read_integer(text) == value


@pytest.mark.parametrize("text", [str(2**63 + 1), "9" * 100_000, "0x8000000000000001", "0b1" + "0" * 64])
def test_integers_beyond_64_bits_are_refused(text):
    with pytest.raises(InvalidArgument, match="value out of range"):
        read_integer(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("2.5E-1", 0.25),
        ("0x1p-2", 0.25),
        ("0x.8p1", 1.0),
        ("1e-400", 0.0),
    ],
)
def test_floats(text, value):
    assert math.isclose(read_floating(text), value, abs_tol=0)


@pytest.mark.parametrize("text", ["1e400", "0x1p5000"])
def test_floats_beyond_a_double_are_refused(text):
    with pytest.raises(InvalidArgument, match="value out of range"):
        read_floating(text)

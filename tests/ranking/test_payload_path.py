"""Payload paths: parsing, writing back, and selecting, against qdrant-client's local mode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client.local.payload_value_extractor import value_by_key

from vecguard.errors import InvalidArgument
from vecguard.ranking.payload_path import PayloadPath, Wildcard

KEY = st.sampled_from(["a", "b", "a-b", "x_1"])
STEP = st.one_of(
    KEY.map(lambda k: f".{k}"), st.integers(0, 2).map(lambda i: f"[{i}]"), st.just("[]"), st.just('."a b"')
)
PATH = st.builds(lambda first, rest: first + "".join(rest), KEY, st.lists(STEP, max_size=3))
JSON = st.recursive(
    st.one_of(st.integers(0, 3), st.booleans(), st.text(max_size=2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY | st.just("a b"), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(KEY, JSON, max_size=3), PATH)
def test_selection_is_local_modes(payload, path):
    parsed = PayloadPath.parse(path)
    assert parsed.select(payload) == (value_by_key(payload, path, flat=False) or [])
    assert parsed.select_items(payload) == (value_by_key(payload, path) or [])


@given(PATH)
def test_a_path_is_written_as_it_reads(path):
    assert PayloadPath.parse(str(PayloadPath.parse(path))) == PayloadPath.parse(path)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", ("a",)),
        ("a.b[0].c[]", ("a", "b", 0, "c", Wildcard.EVERY)),
        ('"k.x".y', ("k.x", "y")),
        ("naïve", ("naïve",)),
        ("a[1][2]", ("a", 1, 2)),
    ],
)
def test_steps(path, steps):
    assert PayloadPath.parse(path).steps == steps


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "a b", "a[", "a[-1]", "a[1x]", "[0]", '"a', "a]", "a[0]b"]
)
def test_malformed_paths_are_refused(path):
    with pytest.raises(InvalidArgument, match="Invalid payload variable"):
        PayloadPath.parse(path)


def test_nulls_are_no_values_and_lists_open_one_level():
    assert PayloadPath.parse("a").select_items({"a": None}) == []
    assert PayloadPath.parse("a").select_items({"a": [1, [2]]}) == [1, [2]]
    assert PayloadPath.parse("a").select_items({"a": [None, 3]}) == [None, 3]

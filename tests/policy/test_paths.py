"""Payload paths: Qdrant's grammar, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.policy.paths import parse, render

NAMEABLE = st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("source", ("source",)),
        ("metadata.source", ("metadata", "source")),
        ("tags[]", ("tags",)),
        ("items[0].name", ("items", "name")),
        ("items[][3].name", ("items", "name")),
        ('meta."file.name"', ("meta", "file.name")),
        ('"a b"."c[0]"[1]', ("a b", "c[0]")),
        ('""', ("",)),
        ("größe-2_x", ("größe-2_x",)),
    ],
)
def test_reads_a_path_as_its_keys(path: str, keys: tuple[str, ...]) -> None:
    assert parse(path) == keys


@pytest.mark.parametrize(
    "path", ["", ".", "a.", ".a", "a..b", "a b", "a[", "a[x]", "a[-1]", "[0]", "a[0]b", '"a', 'a"b"', '"a\\""', "a.[0]"]
)
def test_refuses_what_is_no_path(path: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a payload path"):
        parse(path)


@given(st.lists(NAMEABLE, min_size=1, max_size=4).map(tuple))
def test_writing_and_reading_give_the_same_keys(keys: tuple[str, ...]) -> None:
    assert parse(render(keys)) == keys

"""Globs that can never be reached, against brute force over short names."""

from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecguard.policy.globs import shadowed

GLOB = st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "[a-b]"]), max_size=4).map("".join)
NAMES = ["".join(signs) for length in range(6) for signs in product("abz", repeat=length)]


@pytest.mark.parametrize(
    ("glob", "earlier"),
    [
        ("notes", ["*"]),
        ("notes-*", ["notes*"]),
        ("", ["*"]),
        ("[a-m]*", ["[a-f]*", "[g-z]*"]),
        ("x[!a]", ["x?"]),
        ("a*", ["a", "a?*"]),
        ("**", ["*"]),
    ],
)
def test_finds_a_glob_that_earlier_ones_cover(glob: str, earlier: list[str]) -> None:
    assert shadowed(glob, earlier)


@pytest.mark.parametrize(
    ("glob", "earlier"),
    [
        ("*", ["notes"]),
        ("a*", ["a?"]),
        ("x?", ["x[!a]"]),
        ("Notes", ["notes"]),
        ("a", []),
        ("[a-m]*", ["[a-f]*", "[h-z]*"]),
    ],
)
def test_leaves_a_glob_that_can_be_reached(glob: str, earlier: list[str]) -> None:
    assert not shadowed(glob, earlier)


@settings(max_examples=150, deadline=None)
@given(GLOB, st.lists(GLOB, max_size=3))
def test_agrees_with_trying_every_short_name(glob: str, earlier: list[str]) -> None:
    # Globs of four signs over these letters differ on a name of at most five of them, if they differ at all.
    escaping = [n for n in NAMES if fnmatchcase(n, glob) and not any(fnmatchcase(n, other) for other in earlier)]
    if shadowed(glob, earlier):
        assert not escaping
    elif not escaping:
        longer = ("".join(signs) for length in (6, 7) for signs in product("abz", repeat=length))
        assert any(fnmatchcase(n, glob) and not any(fnmatchcase(n, other) for other in earlier) for n in longer)

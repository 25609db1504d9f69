"""Random expressions for the real Milvus 2.3.5, which knows another part of the language than Milvus Lite."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from .rows import ARRAYS, SCALARS
from .strategies import INTEGERS, LEAVES, REALS, VALUES, WORDS, equality, joined, listed, literal, openly


def membership(place: st.SearchStrategy[str], values: list[Any]) -> st.SearchStrategy[str]:
    """`in` and `not in`."""
    return st.builds("{} {} {}".format, place, st.sampled_from(["in", "not in"]), listed(values))


def contains(place: st.SearchStrategy[str], values: list[Any]) -> st.SearchStrategy[str]:
    """The functions on lists. This version parses no empty list inside a function."""
    one = st.builds("{}({}, {})".format, st.sampled_from(["json_contains", "ARRAY_CONTAINS"]), place, constants(values))
    name = st.sampled_from(["json_contains_all", "JSON_CONTAINS_ANY", "array_contains_all", "array_contains_any"])
    return one | st.builds("{}({}, {})".format, name, place, listed(values).filter(lambda text: text != "[]"))


def constants(values: list[Any]) -> st.SearchStrategy[str]:
    """A constant."""
    return st.sampled_from(values).map(literal)


@cache
def older_expressions() -> st.SearchStrategy[str]:
    """Expressions that 2.3.5 can parse and the modes of their fields can answer.

    It has no nulls, lists of one type in JSON, `like` for prefixes only, equality only for lengths, and no flag by
    itself. Numbers in JSON are left out of `json_contains`: this version looks for an integer among integers only.
    """
    leaves, words = LEAVES["server"], [leaf for leaf in LEAVES["server"] if isinstance(leaf, str)]
    path = st.sampled_from(['"a"', '"a"]["b"', '"a"][0', '"a"]["0"', '"open"', '"word"', '"0"', "0"]).flatmap(
        lambda steps: openly("j").map(lambda name: f"{name}[{steps}]")
    )
    key = openly("k") | openly("k").map('$meta["{}"]'.format) | openly("l").map("{}[0]".format)
    shape = st.sampled_from(["an_sealed", "at_searchable", "l_sealed", 'j_sealed["a"]', 'j_searchable["a"]'])
    conditions = st.one_of(
        *(equality(openly(name), VALUES[name]) for name in SCALARS),
        equality(openly("f") | openly("d"), [*REALS, 0.1, -0.0]),
        *(membership(openly(name), VALUES[name]) for name in SCALARS),
        *(equality(openly(name).map("{}[0]".format), VALUES[name]) for name in ARRAYS),
        *(membership(openly(name).map("{}[1]".format), VALUES[name]) for name in ARRAYS),
        equality(path | key, leaves),
        *(membership(path | key, [leaf for leaf in leaves if type(leaf) is kind]) for kind in (str, int, float, bool)),
        contains(openly("an"), INTEGERS),
        contains(openly("at"), WORDS),
        contains(openly("l") | openly("j").map('{}["a"]'.format), words),
        st.builds("array_length({}) {} {}".format, shape, st.sampled_from(["==", "!="]), st.sampled_from("012")),
        st.builds(
            "(exists {})".format, st.sampled_from(['j_sealed["a"]', 'j_searchable["a"]["b"]', "k_sealed", "k_plain"])
        ),
        st.sampled_from(
            ["1 < n_plain <= 5", "n_plain % 2 == 0", 't_plain like "r%"', "id in [0, 2]", "i_plain < n_plain"]
        ),
    )
    return joined(conditions)

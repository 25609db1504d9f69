"""Random rows of the collection in `rows.py`, and random expressions on it that Milvus Lite can parse.

Left out are values and forms on which Lite's evaluators disagree with each other or with Milvus: booleans beside the
numbers 0 and 1 (equal in Python), lists of several types, `in` on a JSON path and `json_contains` of a negative number
(no part of Lite's grammar), FLOAT values that are no float32 (Lite compares them as doubles), and -0.0 outside of JSON
(Lite's `in` takes it for another number than 0.0).
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from .rows import ARRAYS, MODES, SCALARS

WORDS: Final = ["", "red", 'x"y\\', "it's", "5", "é中😀", "vg:AQIAAAAAAQ", "a\tb"]
INTEGERS: Final = [-3, 0, 2, 5, 2**53 + 1]
SMALL: Final = [-3, 0, 2, 5, 127]
REALS: Final = [0.0, 2.0, 2.5, -1.5]
BOOLEANS: Final = [True, False]
VALUES: Final = {
    "n": INTEGERS,
    "i": SMALL,
    "f": REALS,
    "d": REALS,
    "t": WORDS,
    "b": BOOLEANS,
    "an": INTEGERS,
    "at": WORDS,
}
LEAVES: Final[dict[str, list[Any]]] = {
    "mixed": ["red", "5", "", 0, 2, 5, 2.0, -0.0, 2.5, True],
    "words": ["red", "5", "", 'x"y\\'],
    "whole": [0, 2, 5, -3],
    "real": [0.0, 2.0, 2.5],
    "server": ["red", "5", "", "1", 0, 1, 2, 1.0, 2.5, -0.0, True, False],
}


def literal(value: Any) -> str:
    """A constant as a client may write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'
    return repr(value)


def rows(seed: int, kind: str, count: int = 60, *, nullable: bool = True) -> list[dict[str, Any]]:
    """Random rows; leaves of JSON and of dynamic keys are of one kind of `LEAVES`. One value in four is missing.

    Fields themselves are missing only where they are `nullable`.
    """
    chance = random.Random(seed)

    def maybe(value: Any) -> Any:
        return None if chance.random() < 0.25 else value

    def field(value: Any) -> Any:
        return maybe(value) if nullable else value

    def leaf() -> Any:
        return maybe(chance.choice(LEAVES[kind]))

    def some(values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if chance.random() < 0.8}

    def document() -> dict[str, Any]:
        inner = chance.choice([leaf(), [leaf() for _ in range(chance.randrange(4))], some({"b": leaf()})])
        return some({"a": inner, "open": leaf(), "word": leaf(), "0": leaf()})

    def dynamic() -> dict[str, Any]:
        lists = {f"l_{mode}": [leaf() for _ in range(chance.randrange(4))] for mode in MODES}
        flags = {f"kb_{mode}": maybe(chance.choice(BOOLEANS)) for mode in MODES}
        return some({f"k_{mode}": leaf() for mode in MODES} | lists | flags)

    return [
        {"id": number}
        | {f"{name}_{mode}": field(chance.choice(VALUES[name])) for mode in MODES for name in SCALARS}
        | {
            f"{name}_{mode}": field(chance.choices(VALUES[name], k=chance.randrange(4)))
            for mode in MODES
            for name in ARRAYS
        }
        | {f"j_{mode}": field(document()) for mode in MODES}
        | {"$meta": dynamic()}
        for number in range(count)
    ]


def openly(name: str) -> st.SearchStrategy[str]:
    """The field of a mode whose content can be asked for."""
    return st.sampled_from([f"{name}_searchable", f"{name}_plain"])


def anyhow(name: str) -> st.SearchStrategy[str]:
    """The field of any mode."""
    return st.sampled_from([f"{name}_{mode}" for mode in MODES])


def listed(values: list[Any]) -> st.SearchStrategy[str]:
    """A list of constants of one type: Lite takes no other."""
    kinds = [
        [v for v in values if isinstance(v, kind) and isinstance(v, bool) == (kind is bool)]
        for kind in (str, int | float, bool)
    ]
    alike = st.sampled_from([kind for kind in kinds if kind])
    chosen = alike.flatmap(lambda kind: st.lists(st.sampled_from(kind), max_size=4))
    return chosen.map(lambda items: f"[{', '.join(map(literal, items))}]")


@st.composite
def equality(draw: st.DrawFn, place: st.SearchStrategy[str], values: list[Any]) -> str:
    """A constant and a place, in either order."""
    sides = [draw(place), literal(draw(st.sampled_from(values)))]
    left, right = draw(st.permutations(sides))
    return f"{left} {draw(st.sampled_from(['==', '!=']))} {right}"


@cache
def conditions(kind: str) -> st.SearchStrategy[str]:
    """One condition that the modes of its fields can answer."""
    leaves = LEAVES[kind]
    path = st.sampled_from(["a", 'a"]["b', "open", "word", "0"]).flatmap(
        lambda key: openly("j").map(lambda j: f'{j}["{key}"]')
    )
    deep = openly("j").map(lambda name: f'{name}["a"][0]')
    key = openly("k") | openly("k").map(lambda name: f'$meta["{name}"]')
    parts = [
        *(equality(openly(name), VALUES[name]) for name in SCALARS),
        *(
            st.builds("{} {} {}".format, openly(name), st.sampled_from(["in", "not in"]), listed(VALUES[name]))
            for name in SCALARS
        ),
        *(equality(openly(name).map("{}[0]".format), VALUES[name]) for name in ARRAYS),
        equality(path | deep | key, leaves),
        equality(openly("kb"), BOOLEANS),
        openly("b"),
        st.builds("{} {} {}".format, openly("k"), st.sampled_from(["in", "not in"]), listed(leaves)),
        *(
            st.builds(
                "{}_contains({}, {})".format,
                st.sampled_from(["array", "json"]),
                place,
                st.sampled_from(values).map(literal).filter(lambda text: not text.startswith("-")),
            )
            | st.builds("array_contains_{}({}, {})".format, st.sampled_from(["all", "any"]), place, listed(values))
            for place, values in (
                (openly("an"), INTEGERS),
                (openly("at"), WORDS),
                (openly("l") | openly("j").map('{}["a"]'.format), leaves),
            )
        ),
        st.builds(
            "array_length({}) {} 2".format,
            anyhow("at") | anyhow("an") | anyhow("l"),
            st.sampled_from(["==", "!=", "<"]),
        ),
        st.builds(
            "{} is {}".format,
            st.sampled_from([*SCALARS, *ARRAYS, "j", "k"]).flatmap(anyhow),
            st.sampled_from(["null", "not null"]),
        ),
        st.builds('exists {}["{}"]'.format, anyhow("j"), st.sampled_from(["a", "open"]))
        | anyhow("k").map("exists {}".format),
        st.sampled_from(
            [
                "n_plain > 2",
                "d_plain <= 2.0",
                't_plain like "%e%"',
                "n_plain + 1 == 3",
                "id in [0, 2]",
                "i_plain < n_plain",
            ]
        ),
    ]
    return st.one_of(parts)


def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Conditions joined by `and`, `or` and `not`."""
    return st.recursive(
        parts,
        lambda inner: (
            st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or", "&&", "||"]), inner)
            | inner.map("not ({})".format)
            | inner.map("({})".format)
        ),
        max_leaves=4,
    )


@cache
def expressions(kind: str) -> st.SearchStrategy[str]:
    """Random expressions that the modes of their fields can answer."""
    return joined(conditions(kind))

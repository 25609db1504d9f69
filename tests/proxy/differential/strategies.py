"""Payloads, filters, ids and vectors drawn at random (hypothesis)."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import strategies as st
from qdrant_client import models

# A small pool of values, so that filters find something, and whatever else a client may write.
WORDS = ("red", "green", "", "5", "ünïcödé", "東京 😀", "a" * 300, "true", '"quoted" \\ text', "_vg", "\u0000\n")
NUMBERS = (0, 1, 2, 5, -1, -(2**63), 2**63 - 1)
FLOATS = (0.0, 1.0, 5.0, -2.5, 1e308, 5e-324)
FIELDS = ("a", "b", "c", "ö_1-x")

words = st.sampled_from(WORDS)
text = st.one_of(words, st.text(max_size=40))
integers = st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**63), 2**63 - 1))
floats = st.one_of(st.sampled_from(FLOATS), st.floats(allow_nan=False, allow_infinity=False))
leaves = st.one_of(st.none(), st.booleans(), integers, floats, text)
keys = st.one_of(st.sampled_from(FIELDS), st.text(max_size=12))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
rows = st.lists(st.dictionaries(st.sampled_from(FIELDS), leaves, max_size=3), max_size=3)
fields = st.dictionaries(
    st.sampled_from(FIELDS), st.one_of(leaves, st.lists(leaves, max_size=4), rows, values), max_size=4
)

point_numbers = st.one_of(st.integers(0, 40), st.sampled_from([2**31, 2**32, 2**53 + 1, 2**63, 2**64 - 1]))
uuids = st.one_of(st.uuids(), st.sampled_from([uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]))
SPELLINGS = (
    str,
    lambda one: str(one).upper(),
    lambda one: one.hex,
    lambda one: "{" + str(one) + "}",
    lambda one: one.urn,
)


@st.composite
def payloads(draw: st.DrawFn) -> dict[str, Any]:
    """The same random fields in plain, searchable and sealed form, and fields with any key."""
    shared = draw(fields)
    return {"p": shared, "s": shared, "x": shared, **draw(st.dictionaries(keys, values, max_size=2))}


@st.composite
def point_ids(draw: st.DrawFn) -> int | str:
    """A number, or a UUID in any spelling."""
    if draw(st.booleans()):
        return draw(point_numbers)
    return draw(st.sampled_from(SPELLINGS))(draw(uuids))


def _path(draw: st.DrawFn, prefix: str) -> str:
    parts = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2))
    marks = draw(st.lists(st.sampled_from(["", "", "[]", "[0]"]), min_size=len(parts), max_size=len(parts)))
    return ".".join([*([prefix] if prefix else []), *(part + mark for part, mark in zip(parts, marks, strict=True))])


matched = st.one_of(words, st.sampled_from(NUMBERS), st.booleans())
matches = st.one_of(
    matched.map(lambda value: models.MatchValue(value=value)),
    st.lists(words, max_size=3).map(lambda many: models.MatchAny(any=many)),
    st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3).map(lambda many: models.MatchAny(any=many)),
    st.lists(words, max_size=3).map(lambda many: models.MatchExcept(**{"except": many})),
    st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3).map(lambda many: models.MatchExcept(**{"except": many})),
)


@st.composite
def _counts(draw: st.DrawFn) -> models.ValuesCount:
    bound = st.one_of(st.none(), st.integers(0, 3))
    drawn = {name: draw(bound) for name in ("lt", "gt", "lte", "gte")}
    return models.ValuesCount(**{name: value for name, value in drawn.items() if value is not None} or {"gte": 1})


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2, *, inside: str | None = None) -> Any:
    """A condition; `inside`: the mode (`p`, `s` or `x`) of the field that a nested filter lies in."""
    modes = [inside] if inside else ["p", "s", "x"]
    mode = draw(st.sampled_from(modes))
    path = _path(draw, "" if inside else mode)
    field = models.PayloadField(key=path)
    kinds = ["empty", "null", "count", "field-empty", "field-null"]
    kinds += ["match", "match", "match"] if mode != "x" else []
    kinds += ["id", "vector"] if not inside else []
    kinds += ["filter"] if depth else []
    kinds += ["nested"] if depth and not inside else []
    match draw(st.sampled_from(kinds)):
        case "match":
            return models.FieldCondition(key=path, match=draw(matches))
        case "count":
            return models.FieldCondition(key=path, values_count=draw(_counts()))
        case "empty":
            return models.IsEmptyCondition(is_empty=field)
        case "null":
            return models.IsNullCondition(is_null=field)
        case "field-empty":
            return models.FieldCondition(key=path, is_empty=draw(st.booleans()))
        case "field-null":
            return models.FieldCondition(key=path, is_null=draw(st.booleans()))
        case "id":
            return models.HasIdCondition(has_id=draw(st.lists(point_ids(), max_size=6)))
        case "vector":
            return models.HasVectorCondition(has_vector=draw(st.sampled_from(["d", "s"])))
        case "nested":
            return models.NestedCondition(
                nested=models.Nested(key=path.removesuffix("[0]"), filter=draw(filters(depth - 1, inside=mode)))
            )
    return draw(filters(depth - 1, inside=inside))


@st.composite
def filters(draw: st.DrawFn, depth: int = 2, *, inside: str | None = None) -> models.Filter:
    """A filter tree that every mode involved can answer."""
    some = st.lists(conditions(depth, inside=inside), max_size=2)
    clauses: dict[str, Any] = {name: draw(some) or None for name in ("must", "should", "must_not")}
    if draw(st.integers(0, 4)) == 0:
        several = draw(st.lists(conditions(depth, inside=inside), min_size=1, max_size=3))
        clauses["min_should"] = models.MinShould(conditions=several, min_count=draw(st.integers(0, 3)))
    return models.Filter(**clauses)


def components(dims: int) -> st.SearchStrategy[list[float]]:
    """A dense vector of ordinary, tiny or large components (their squares stay within float32)."""
    one = st.floats(-(2.0**50), 2.0**50, width=32, allow_subnormal=False)
    return st.lists(one, min_size=dims, max_size=dims)

"""Filters over protected payloads: paths moved under the stored payload, values of searchable fields turned to tokens.

What a field's mode cannot answer is refused, naming field, mode and policy entry. A condition that this module does not
know is refused too: nothing is sent that was not understood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.fields import Fields, Keys, Leaf, client_keys
from vecguard.front.qdrant.labels import asked, label_path
from vecguard.front.qdrant.scope import stored_path
from vecguard.policy.model import FieldMode
from vecguard.stages import timed

# Conditions of a FieldCondition that read content, with the name that an error gives them.
_CONTENT: Final = {
    "range": "a range filter",
    "datetime_range": "a datetime range filter",
    "geo_bounding_box": "a geo filter",
    "geo_radius": "a geo filter",
    "geo_polygon": "a geo filter",
}
_RANGES: Final = ("range", "datetime_range")
# Modes that can answer; a range field's own conditions became matches of labels before.
_PLAIN: Final[tuple[FieldMode, ...]] = ("plain",)
_ORDERED: Final[tuple[FieldMode, ...]] = ("plain", "range")
_WORDS: Final[tuple[FieldMode, ...]] = ("plain", "tokens")
_TEXT: Final = {
    "text": "a full-text match",
    "text_any": "a full-text match",
    "phrase": "a phrase match",
    "prefix": "a prefix match",
    "substring": "a substring match",
}
_EQUALITY: Final = {
    "keyword": ("keyword", False),
    "integer": ("integer", False),
    "boolean": ("boolean", False),
    "keywords": ("strings", False),
    "integers": ("integers", False),
    "except_keywords": ("strings", True),
    "except_integers": ("integers", True),
}


def _equality_values(match: q.Match, kind: str) -> tuple[list[Leaf], bool]:
    """The values that an equality match names, and whether it means all others."""
    inner, negated = _EQUALITY[kind]
    content = getattr(match, kind)
    return (list(getattr(content, inner)) if inner in ("strings", "integers") else [content]), negated


def _rewrite_match(match: q.Match, key: str, prefix: Keys, fields: Fields) -> None:
    kind = match.WhichOneof("match_value")
    if kind in _TEXT:
        fields.require(key, prefix, _WORDS if kind in ("text", "text_any") else _PLAIN, _TEXT[kind])
        return
    if kind is None or kind not in _EQUALITY:
        raise InvalidArgument(f"Wrong input: match condition on `{key}` holds nothing that is known here")
    if fields.require(key, prefix, ("plain", "searchable"), "a match") == "plain":
        return
    values, negated = _equality_values(match, kind)
    keys = (*prefix, *client_keys(key))
    tokens = [token for value in values for token in fields.tokens(keys, value)]
    if negated:
        match.except_keywords.CopyFrom(q.RepeatedStrings(strings=tokens))
    elif len(tokens) == 1:
        match.keyword = tokens[0]
    else:
        match.keywords.CopyFrom(q.RepeatedStrings(strings=tokens))


def _rewrite_field(condition: q.FieldCondition, prefix: Keys, fields: Fields, place: Callable[[str], str]) -> None:
    for name, what in _CONTENT.items():
        if condition.HasField(name):  # type: ignore[arg-type]
            fields.require(condition.key, prefix, _ORDERED if name in _RANGES else _PLAIN, what)
    if condition.HasField("match"):
        _rewrite_match(condition.match, condition.key, prefix, fields)
    client_keys(condition.key)
    condition.key = place(condition.key)


def _ask_labels(condition: q.Condition, labels: list[list[str]], key: str) -> None:
    """Have a condition ask for one label of each list."""
    matches = [q.Match(keywords=q.RepeatedStrings(strings=any_of)) for any_of in labels]
    conditions = [q.Condition(field=q.FieldCondition(key=key, match=match)) for match in matches]
    condition.CopyFrom(conditions[0] if len(conditions) == 1 else q.Condition(filter=q.Filter(must=conditions)))


def _rewrite_condition(condition: q.Condition, prefix: Keys, fields: Fields, place: Callable[[str], str]) -> None:
    kind = condition.WhichOneof("condition_one_of")
    if kind == "field" and (labels := asked(condition.field, prefix, fields)) is not None:
        _ask_labels(condition, labels, place(label_path(condition.field.key)))
    elif kind == "field":
        _rewrite_field(condition.field, prefix, fields, place)
    elif kind == "is_empty":
        client_keys(condition.is_empty.key)
        condition.is_empty.key = place(condition.is_empty.key)
    elif kind == "is_null":
        client_keys(condition.is_null.key)
        condition.is_null.key = place(condition.is_null.key)
    elif kind == "nested":
        inner = (*prefix, *client_keys(condition.nested.key))
        condition.nested.key = place(condition.nested.key)
        _rewrite(condition.nested.filter, inner, fields, lambda path: path)
    elif kind == "filter":
        _rewrite(condition.filter, prefix, fields, place)
    elif kind is None:
        raise InvalidArgument("Malformed Condition type")
    elif kind not in ("has_id", "has_vector", "slice"):
        raise InvalidArgument(f"Wrong input: filter condition {kind} is not known here")


def _narrowed(message: q.Filter, prefix: Keys, fields: Fields) -> Fields:
    """The fields beside what a filter says, in so many words, that they are."""
    if fields.narrows_by is None:
        return fields
    for condition in message.must:
        asked = condition.field
        kind = asked.match.WhichOneof("match_value")
        if condition.WhichOneof("condition_one_of") != "field" or kind not in _EQUALITY or not asked.HasField("match"):
            continue
        values, negated = _equality_values(asked.match, kind)
        if not negated and "[" not in asked.key:
            fields = fields.narrowed((*prefix, *client_keys(asked.key)), values)
    return fields


def _rewrite(message: q.Filter, prefix: Keys, fields: Fields, place: Callable[[str], str]) -> None:
    fields = _narrowed(message, prefix, fields)
    clauses = (message.should, message.must, message.must_not, message.min_should.conditions)
    for conditions in clauses:
        for condition in conditions:
            _rewrite_condition(condition, prefix, fields, place)


@timed("protect")
def rewrite(message: q.Filter, fields: Fields) -> None:
    """Turn a client's filter into the one that selects the same points at rest, in place.

    Raises:
        InvalidArgument: a field's mode cannot answer a condition, a path is malformed, or a condition is not known.
    """
    _rewrite(message, (), fields, stored_path)


def rewrite_condition(condition: q.Condition, fields: Fields) -> None:
    """`rewrite` for a single condition (as in a formula)."""
    _rewrite_condition(condition, (), fields, stored_path)


def merged(*filters: q.Filter | None) -> q.Filter | None:
    """The conjunction of filters already in their stored form; None when there is nothing to say."""
    given = [f for f in filters if f is not None and f.ByteSize()]
    if len(given) <= 1:
        return given[0] if given else None
    return q.Filter(must=[q.Condition(filter=f) for f in given])


def only_ids(ids: list[q.PointId]) -> q.Filter:
    """The filter for exactly these points."""
    return q.Filter(must=[q.Condition(has_id=q.HasIdCondition(has_id=ids))])


def without_ids(ids: list[q.PointId]) -> q.Filter:
    """The filter for all but these points."""
    return q.Filter(must_not=[q.Condition(has_id=q.HasIdCondition(has_id=ids))])

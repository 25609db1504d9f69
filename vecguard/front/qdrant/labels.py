"""Where the labels of a payload field lie, and what conditions become of them.

They lie in the field's own map, under its key with `LABELS` before it, and keep the shape of its value: a leaf becomes
the list of its labels, a list the list of what its items become, anything else an empty list. So the path of a field,
with `[]` after it, selects the labels of exactly the values that the field's own path would select:

    price: 5        -> _vgl_price: [labels of 5]                  `price`   -> `_vgl_price[]`
    price: [5, 9]   -> _vgl_price: [[labels of 5], [labels of 9]] `price[0]` -> `_vgl_price[0][]`
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.fields import LABELS, Fields, Keys, LabelsAt, client_keys
from vecguard.policy.paths import render
from vecguard.ranking.payload_path import PayloadPath, Wildcard
from vecguard.seal.dyadic import Interval, Order, met, numbers, wholes
from vecguard.seal.labels import WordLabels

_MICROSECONDS: Final = 1_000_000
_NANOSECONDS: Final = 1_000
# Beyond what any date-time's microseconds are.
_EARLIEST: Final = -(2**63)
_LATEST: Final = 2**63 - 1
_EQUALITY: Final = ("keyword", "integer", "boolean", "keywords", "integers")


def label_path(path: str) -> str:
    """Where the labels of the field at a client's path lie, as a client's path.

    Raises:
        InvalidArgument: it is no path.
    """
    client_keys(path)
    return str(PayloadPath((*_beside(path).steps, Wildcard.EVERY)))


def client_field(path: str) -> str:
    """The client's path whose `label_path` is `path`, or `path` itself where it is no such."""
    steps = PayloadPath.parse(path).steps
    last = max(i for i, step in enumerate(steps) if isinstance(step, str))
    key = steps[last]
    if not isinstance(key, str) or not key.startswith(LABELS) or steps[-1] is not Wildcard.EVERY:
        return path
    return str(PayloadPath((*steps[:last], key.removeprefix(LABELS), *steps[last + 1 : -1])))


def _beside(path: str) -> PayloadPath:
    steps = PayloadPath.parse(path).steps
    last = max(i for i, step in enumerate(steps) if isinstance(step, str))
    return PayloadPath((*steps[:last], f"{LABELS}{steps[last]}", *steps[last + 1 :]))


def require_whole(path: str, labels_at: LabelsAt) -> None:
    """Refuse to write below a labelled field: its labels would go on to tell of the value before.

    Raises:
        InvalidArgument: the path leads into one.
    """
    keys = client_keys(path)
    for length in range(1, len(keys) + 1):
        if labels_at(keys[:length]) is not None:
            raise InvalidArgument(
                f"field `{render(keys[:length])}` has labels for its filter, so it can only be set whole, in its map"
            )


def deleted_with(path: str, labels_at: LabelsAt) -> list[str]:
    """The paths to delete together with a client's path: those of its labels, if it has any.

    Raises:
        InvalidArgument: it names a part of a labelled field.
    """
    keys = client_keys(path)
    if labels_at(keys) is None:
        return []
    if not isinstance(PayloadPath.parse(path).steps[-1], str):
        raise InvalidArgument(f"field `{render(keys)}` has labels for its filter, so it can only be deleted whole")
    return [str(_beside(path))]


def asked(condition: q.FieldCondition, prefix: Keys, fields: Fields) -> list[list[str]] | None:
    """Lists of labels: of each a value has to have one, for a condition on a labelled field. None for other conditions.

    Raises:
        InvalidArgument: it asks more than one thing, or what labels cannot answer.
    """
    if fields.labels_at is None:
        return None
    keys = (*prefix, *client_keys(condition.key))
    if fields.labels_at(keys) is None:
        return None
    parts = [field.name for field, _ in condition.ListFields() if field.name != "key"]
    content = [part for part in parts if part in ("match", "range", "datetime_range")]
    if not content:
        return None  # what asks of the shape alone
    if len(parts) > 1:
        raise InvalidArgument(f"Wrong input: a condition on `{render(keys)}` asks several things: ask them one by one")
    labels = fields.labels_at(keys)
    if isinstance(labels, WordLabels):
        return _word_labels(condition, keys, fields)
    if content == ["match"]:
        return [list(_equal_labels(condition.match, keys, fields))]
    interval = number_interval(condition.range) if content == ["range"] else time_interval(condition.datetime_range)
    return [fields.labels_within(keys, interval)]


def _word_labels(condition: q.FieldCondition, keys: Keys, fields: Fields) -> list[list[str]]:
    kind = condition.match.WhichOneof("match_value") if condition.HasField("match") else None
    if kind not in ("text", "text_any"):
        what = f"a {kind} match" if kind in ("phrase", "prefix", "substring") else "a match of whole values or a range"
        fields.require(render(keys), (), ("plain",), what)
        raise AssertionError("a labelled field is not plain")
    # A query without words finds nothing, as in Qdrant.
    words = fields.word_labels(keys, getattr(condition.match, kind)) or [[]]
    return words if kind == "text" else [[label for word in words for label in word]]


def _equal_labels(match: q.Match, keys: Keys, fields: Fields) -> Iterator[str]:
    kind = match.WhichOneof("match_value")
    if kind not in _EQUALITY:
        # Labels are of several values together, so "some value that is none of these" cannot be asked of them.
        what = "a match of all others (except)" if kind in ("except_keywords", "except_integers") else "such a match"
        fields.require(render(keys), (), ("plain", "searchable") if "except" in what else ("plain",), what)
        raise AssertionError("a labelled field has neither mode")
    content = getattr(match, kind)
    values = content.strings if kind == "keywords" else content.integers if kind == "integers" else [content]
    for value in values:
        yield from fields.equal_labels(keys, value)


def number_interval(wanted: q.Range) -> Interval:
    """The numbers that a range holds; all of them where it has no bounds."""
    interval = numbers()
    if wanted.HasField("gt"):
        interval = met(interval, numbers(low=wanted.gt, above=True))
    if wanted.HasField("gte"):
        interval = met(interval, numbers(low=wanted.gte))
    if wanted.HasField("lt"):
        interval = met(interval, numbers(high=wanted.lt, below=True))
    if wanted.HasField("lte"):
        interval = met(interval, numbers(high=wanted.lte))
    return interval


def time_interval(wanted: q.DatetimeRange) -> Interval:
    """The date-times, in whole microseconds, that a range holds; all of them where it has no bounds."""
    low, high = _EARLIEST, _LATEST
    if wanted.HasField("gt"):
        low = max(low, _at_most(wanted.gt) + 1)
    if wanted.HasField("gte"):
        low = max(low, _at_least(wanted.gte))
    if wanted.HasField("lt"):
        high = min(high, _at_least(wanted.lt) - 1)
    if wanted.HasField("lte"):
        high = min(high, _at_most(wanted.lte))
    return wholes(Order.TIME, low, high)


def _at_most(bound: Timestamp) -> int:
    """The last whole microsecond that is not after a time."""
    return bound.seconds * _MICROSECONDS + bound.nanos // _NANOSECONDS


def _at_least(bound: Timestamp) -> int:
    """The first whole microsecond that is not before a time."""
    return bound.seconds * _MICROSECONDS - (-bound.nanos // _NANOSECONDS)

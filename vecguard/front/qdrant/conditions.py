"""Mandatory conditions in their stored form: a filter that selects the records, and a check of what is written.

Everything here is at rest: paths as stored, and of searchable fields the tokens that equal the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.errors import Denied, FailedPrecondition, InvalidArgument
from vecguard.fields import Leaf
from vecguard.front.qdrant import filters
from vecguard.front.qdrant.scope import TENANT
from vecguard.model import Condition
from vecguard.policy.paths import parse

_LEAVES: Final = ("string_value", "integer_value", "double_value", "bool_value")


@dataclass(frozen=True, slots=True)
class Demand:
    """One condition at rest: the keys of the stored path, and the values that may stand there."""

    field: str
    keys: tuple[str, ...]
    values: frozenset[tuple[str, Leaf]]


@dataclass(frozen=True, slots=True)
class Demands:
    """All conditions on one collection: `filter` for what may be seen and touched, `each` for what may be written.

    `rows` is the part of the filter that whole points satisfy, too, if there is any.
    """

    filter: q.Filter
    each: tuple[Demand, ...]
    rows: q.Filter | None

    def within_keys(self, caller: str, numbers: Sequence[int]) -> Demands:
        """These, and that records are under one of these keys of the caller's tenant."""
        mine = of_keys(numbers)
        values = frozenset[tuple[str, Leaf]](("integer_value", number) for number in numbers)
        each = (*self.each, Demand(f"tenant of {caller}", (TENANT,), values))
        rows = filters.merged(self.rows, mine)
        return Demands(filters.merged(self.filter, mine) or mine, each, rows)

    def check_point(self, payload: Mapping[str, q.Value]) -> None:
        """Let a whole stored payload be written, if it satisfies every condition.

        Raises:
            Denied: it does not.
        """
        for demand in self.each:
            _check(demand, payload, demand.keys)

    def check_set(self, key: str | None, payload: Mapping[str, q.Value]) -> None:
        """Let a stored payload be set at the path `key` (None: at the top), which leaves keys that it lacks alone.

        Raises:
            Denied: a record would not satisfy a condition any more.
        """
        place = () if key is None else parse(key)
        for demand in self.each:
            if demand.keys[: len(place)] != place:
                if place[: len(demand.keys)] == demand.keys:
                    raise _denied(demand)
                continue
            rest = demand.keys[len(place) :]
            if not rest:
                raise _denied(demand)
            if rest[0] in payload:
                _check(demand, payload, rest)

    def check_deleted(self, paths: Sequence[str]) -> None:
        """Let what lies at these stored paths be deleted, if no condition looks at it.

        Raises:
            Denied: one does.
        """
        for keys in map(parse, paths):
            for demand in self.each:
                shorter = min(len(keys), len(demand.keys))
                if keys[:shorter] == demand.keys[:shorter]:
                    raise _denied(demand)


def of_keys(numbers: Iterable[int]) -> q.Filter:
    """The stored filter for points that were written under one of these tenants' keys."""
    return q.Filter(must=[_one_of(numbers)])


def without_keys(numbers: Iterable[int]) -> q.Filter:
    """The stored filter for points that were written under none of these tenants' keys."""
    return q.Filter(must_not=[_one_of(numbers)])


def _one_of(numbers: Iterable[int]) -> q.Condition:
    match = q.Match(integers=q.RepeatedIntegers(integers=sorted(numbers)))
    return q.Condition(field=q.FieldCondition(key=TENANT, match=match))


def compiled(conditions: Sequence[Condition], entry: Entry, kept: q.Filter | None = None) -> Demands:
    """The conditions at rest in a collection; `kept` is the stored filter for records that are not too old.

    Raises:
        FailedPrecondition: a field's mode cannot answer one.
    """
    each = [_compiled(condition, entry) for condition in conditions]
    rows = q.Filter(must=[condition for condition, _ in each]) if each else None
    both = filters.merged(rows, kept)
    return Demands(both or q.Filter(), tuple(demand for _, demand in each), rows)


def _compiled(condition: Condition, entry: Entry) -> tuple[q.Condition, Demand]:
    # Each value in a match of its own: one of several kinds of values cannot hold them all.
    wanted = q.Filter(should=[q.Condition(field=_field(condition.field, value)) for value in condition.values])
    if entry.shield is not None:
        try:
            entry.shield.fields.require(condition.field, (), ("plain", "searchable"), "it")
            filters.rewrite(wanted, entry.shield.fields)
        except InvalidArgument as fault:
            raise FailedPrecondition(f"the caller's row filter: {fault}") from None
    values = frozenset(value for option in wanted.should for value in _values(option.field.match))
    return q.Condition(filter=wanted), Demand(condition.field, parse(wanted.should[0].field.key), values)


def _field(path: str, value: Leaf) -> q.FieldCondition:
    if isinstance(value, bool):
        match = q.Match(boolean=value)
    elif isinstance(value, int):
        match = q.Match(integer=value)
    else:
        match = q.Match(keyword=str(value))
    return q.FieldCondition(key=path, match=match)


def _values(match: q.Match) -> Iterator[tuple[str, Leaf]]:
    """The values that a match names, with the kind of protobuf value that holds each."""
    kind = match.WhichOneof("match_value")
    if kind == "keywords":
        yield from (("string_value", token) for token in match.keywords.strings)
    elif kind == "keyword":
        yield "string_value", match.keyword
    elif kind == "integer":
        yield "integer_value", match.integer
    elif kind == "boolean":
        yield "bool_value", match.boolean


def leaf_at(payload: Mapping[str, q.Value], keys: tuple[str, ...]) -> tuple[str, Leaf] | None:
    """The value at `keys` of a payload with its kind; None where there is none, or a list, a map or a null."""
    fields = payload
    for key in keys[:-1]:
        value = fields.get(key)
        if value is None or value.WhichOneof("kind") != "struct_value":
            return None
        fields = value.struct_value.fields
    value = fields.get(keys[-1])
    kind = None if value is None else value.WhichOneof("kind")
    return (kind, getattr(value, kind)) if kind in _LEAVES else None


def _check(demand: Demand, payload: Mapping[str, q.Value], keys: tuple[str, ...]) -> None:
    """Raises Denied unless the value at `keys` of a payload is one of the demanded ones, and not a list of any."""
    if leaf_at(payload, keys) not in demand.values:
        raise _denied(demand)


def _denied(demand: Demand) -> Denied:
    return Denied(f"field `{demand.field}` must hold the caller's own value in every record that it writes")

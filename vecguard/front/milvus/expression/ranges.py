"""Conditions on range fields, asked of their labels.

The labels of a column `c` are the ARRAY column `_vgl_c`; those of a key in JSON, or of a dynamic field, a list beside
it in its object. `c > 5` becomes "has one of the labels that cover what is greater than 5".

A null is neither greater than 5 nor not. But servers say of a list that is null that it holds nothing, so on a column
"not" becomes the labels of all else: it is moved down to the comparisons (`denied`), where there is a range column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from vecguard.errors import InvalidArgument
from vecguard.fields import LABELS
from vecguard.front.milvus.expression.columns import META, Place
from vecguard.front.milvus.expression.scope import Scope, Unanswerable
from vecguard.front.milvus.expression.tree import (
    Between,
    Call,
    Compare,
    Comparison,
    Literal,
    Literals,
    Member,
    Node,
    Not,
    Ref,
    walk,
)
from vecguard.front.milvus.expression.values import Value, constant, leaves
from vecguard.front.milvus.proto import DATA_TYPES
from vecguard.policy.paths import render
from vecguard.seal.dyadic import Interval, Order, met, numbers, outside, wholes

_FLIPPED: Final[dict[Comparison, Comparison]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_INTEGERS: Final = frozenset(DATA_TYPES[name] for name in ("Int8", "Int16", "Int32", "Int64"))
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
# Whole numbers up to here compare as doubles just as they do exactly.
_EXACT: Final = 2**53
# What no label is: a list must not be empty for some servers.
_NO_LABEL: Final = Literal("")


def of_column(node: Node, scope: Scope) -> bool:
    """Whether a range column is named anywhere in a condition."""
    refs = [part for _, part in walk(node) if isinstance(part, Ref)]
    columns = [scope.columns.by_name.get(ref.root) for ref in refs]
    return any(
        column is not None and not column.primary_key and scope.fields.mode((column.name,)) == "range"
        for column in columns
    )


def asked(node: Compare | Between | Member, scope: Scope, *, negated: bool = False) -> Node | None:
    """A comparison of a range field with constants, or none such; None where it is of no range field.

    Raises:
        InvalidArgument: the constants are not of a kind that values there are compared with.
    """
    match node:
        case Compare(op, Ref() as ref, bound):
            asks = [(op, bound)]
        case Compare(op, bound, Ref() as ref):
            asks = [(_FLIPPED.get(op, op), bound)]
        case Between(low, first, Ref() as ref, second, high) if first in _FLIPPED and second in _FLIPPED:
            asks = [(_FLIPPED[first], low), (second, high)]
        case Member(Ref() as ref, values, _):
            asks = [("==", values)]
        case _:
            return None
    place = scope.place(ref)
    if not scope.is_range(place):
        return None
    wanted = [(side, _constant(node, place, scope)) for side, node in asks]
    op, value = wanted[0]
    if op in ("==", "!="):
        listed = isinstance(node, Member)
        if listed != isinstance(value, list):
            raise InvalidArgument("the right-hand side of 'in' must be a list, and of a comparison none")
        items = value if isinstance(value, list) else [value]
        other_way = node.negated if isinstance(node, Member) else op == "!="
        return _equal(place, items, scope, negated=negated != other_way)
    intervals = [_side(side, _number(bound, place), place) for side, bound in wanted]
    interval = intervals[0] if len(intervals) == 1 else met(*intervals)
    return _within(place, [interval], scope, negated=negated)


def _constant(node: Node, place: Place, scope: Scope) -> Value:
    value = None if isinstance(node, Ref) else constant(node, scope.templates)
    if value is None:
        raise scope.refusal(place, "a comparison of two fields")
    return value


def _equal(place: Place, values: Iterable[Value], scope: Scope, *, negated: bool) -> Node:
    """The test for a value that equals one of `values`, or none of them."""
    wanted = [leaf for value in values for leaf in leaves(value, place.data_type)]
    if not place.json:
        points = [met(_side("<=", leaf, place), _side(">=", leaf, place)) for leaf in wanted]  # type: ignore[arg-type]
        return _within(place, points, scope, negated=negated)
    keys = place.readings[0]
    found = _has_one(place, [label for leaf in wanted for label in scope.fields.equal_labels(keys, leaf)], scope)
    return Not(found) if negated else found


def _number(value: Value, place: Place) -> int | float:
    """A bound as values of the place's type are compared with it.

    Raises:
        InvalidArgument: they are not; in Milvus' words.
    """
    shown = render(place.readings[0])
    if place.json and not isinstance(value, list):
        if isinstance(value, bool | str):
            raise Unanswerable(f"a range of other values than numbers cannot be asked of `{shown}`: its mode is range")
        if isinstance(value, int) and abs(value) > _EXACT:
            raise Unanswerable(f"{value} cannot bound a range of `{shown}`: in JSON, ranges are of doubles")
    number = leaves(value, place.data_type)[0]
    assert isinstance(number, int | float)  # noqa: S101 - a range field holds numbers, and `leaves` saw to the types
    return number


def _side(op: Comparison, bound: int | float, place: Place) -> Interval:
    """What lies on one side of a bound."""
    if place.data_type in _INTEGERS:
        whole = int(bound)
        if op in (">", ">="):
            return wholes(Order.WHOLE, whole + (op == ">"), _MOST)
        return wholes(Order.WHOLE, _LEAST, whole - (op == "<"))
    if op in (">", ">="):
        return numbers(low=bound, above=op == ">")
    return numbers(high=bound, below=op == "<")


def _within(place: Place, intervals: Sequence[Interval], scope: Scope, *, negated: bool) -> Node:
    order = Order.WHOLE if place.data_type in _INTEGERS else Order.NUMBER
    if negated and place.json:
        # What is no number, or not there, is in no range, and servers say "not" of it.
        return Not(_within(place, intervals, scope, negated=False))
    wanted = outside(intervals, order) if negated else intervals
    keys = place.readings[0]
    labels = dict.fromkeys(label for one in wanted for label in scope.fields.labels_within(keys, one))
    return _has_one(place, list(labels), scope)


def _has_one(place: Place, labels: Sequence[str], scope: Scope) -> Node:
    scope.count(len(labels))
    listed = Literals(tuple(map(Literal, labels)) or (_NO_LABEL,))
    if not place.json:
        return Call("array_contains_any", (Ref(LABELS + place.stored.root), listed))
    return Call("json_contains_any", (_beside(place, scope), listed))


def _beside(place: Place, scope: Scope) -> Ref:
    """Where the labels of a place in JSON lie."""
    root, steps = place.stored.root, place.stored.steps
    if place.column is not None:
        if not steps:
            raise InvalidArgument(f"field {root} holds JSON: name a key in it")
        return Ref(root, (*steps[:-1], f"{LABELS}{steps[-1]}"))
    keys = steps if root == META else (root, *steps)
    *path, last = (*keys[:-1], f"{LABELS}{keys[-1]}")
    head = str(path[0] if path else last)
    # Milvus Lite knows dynamic fields by their bare names only, where a list is looked into.
    if head.isidentifier() and head.isascii() and head.removeprefix(LABELS) not in scope.columns.by_name:
        return Ref(head, (*path[1:], last) if path else ())
    return Ref(META, (*path, last))

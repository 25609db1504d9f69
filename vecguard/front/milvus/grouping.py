"""Grouped search: the groups with the best rows, each with its best rows, on exact distances.

As in Milvus ("Grouping Search"; internal/proxy/search_reduce_util.go, `reduceSearchResultDataWithGroupBy`): offset and
limit count groups, groups come in the order of their best rows, a group's rows stand together. Rows whose value is null
are a group. Values are compared as they are at rest, where equal ones are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.candidates import GroupKey
from vecguard.front.milvus.columns import scalars
from vecguard.front.milvus.expression import pk_in
from vecguard.front.milvus.layout import VARCHAR, Layout
from vecguard.front.milvus.proto import TYPE_NAMES, s
from vecguard.policy.paths import render
from vecguard.shield import Shield

_GROUPABLE: Final = frozenset({kinds.BOOL, kinds.INT8, kinds.INT16, kinds.INT32, kinds.INT64, VARCHAR})


@dataclass(frozen=True, slots=True)
class Group:
    """A value, as it is at rest, and the positions of its best rows, best first."""

    key: GroupKey
    members: Sequence[int]


def require_groupable(shield: Shield, layout: Layout, field: str) -> None:
    """Refuse to group by a field that has no groups at rest.

    Raises:
        InvalidArgument: no such field, a type that Milvus does not group by, or a mode that hides what is equal.
    """
    column = layout.columns.get(field)
    if column is None:
        raise InvalidArgument(f"groupBy field not found in schema: field not found[field={field}]")
    if column.role == "primary":
        return
    if column.data_type not in _GROUPABLE:
        raise InvalidArgument(f"unsupported data type {TYPE_NAMES[column.data_type]} for group by operator")
    shield.fields.require(render((field,)), (), ("plain", "searchable"), "grouping")


def group_keys(shield: Shield, layout: Layout, columns: Sequence[s.FieldData], field: str, rows: int) -> list[GroupKey]:
    """The value of each row, as it is at rest; while keys are rotated, as it is under the current ones.

    Raises:
        Unreadable: the answer lacks the column, or it is malformed.
    """
    data = next((data for data in columns if data.field_name == field and not data.is_dynamic), None)
    if data is None:
        raise Unreadable
    column = layout.columns[field]
    try:
        values = scalars(data, VARCHAR if column.protected else column.data_type, rows)
    except InvalidArgument:
        raise Unreadable from None
    elements = values.elements
    if column.protected and shield.several_forms:
        one = _forms(shield, field)
        elements = [one(text)[0] for text in elements]
    held = dict(zip(values.rows, elements, strict=True))
    return [held.get(row) for row in range(rows)]


def _forms(shield: Shield, field: str) -> Callable[[GroupKey], Sequence[GroupKey]]:
    """All forms at rest of a value of a searchable field, told by one of them, the current one first."""
    fields, keys = shield.fields, (field,)
    return lambda text: fields.tokens(keys, fields.reveal(keys, str(text), b""))


def best_groups(ranked: Sequence[int], keys: Sequence[GroupKey], size: int, count: int) -> list[Group]:
    """The first `count` groups of rows at positions `ranked`, best first, with at most `size` rows each."""
    members: dict[GroupKey, list[int]] = {}
    for position in ranked:
        key = keys[position]
        bucket = members.get(key)
        if bucket is None:
            if len(members) == count:
                continue
            bucket = members[key] = []
        if len(bucket) < size:
            bucket.append(position)
    return [Group(key, bucket) for key, bucket in members.items()]


def in_groups(shield: Shield, layout: Layout, field: str, keys: Sequence[GroupKey]) -> str:
    """The expression for the rows of these groups, at rest."""
    conditions = []
    if layout.columns[field].protected and shield.several_forms:
        forms = _forms(shield, field)
        keys = [form for key in keys for form in ((None,) if key is None else forms(key))]
    switches = [key for key in keys if isinstance(key, bool)]
    listed = [key for key in keys if key is not None and not isinstance(key, bool)]
    if listed:
        conditions.append(pk_in(field, listed))
    conditions.extend(f"{field} == {str(switch).lower()}" for switch in switches)
    if None in keys:
        conditions.append(f"{field} is null")
    return " or ".join(conditions)

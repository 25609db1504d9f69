"""The parts of a stored row that are remembered as its newest (`vecguard.fresh`), and what writes do to them.

Kinds of paths: `e` that the row is there, `n` the partition that it was written into, `c` and a column's name what lies
in that column, `m` and a name the dynamic field of that name. A vector is known by its record's column, which opens
nothing else; labels and what functions of the database make have no part. A value that is its column's default is as
good as nothing, since the database puts it where nothing was written. Keys and names are the client's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import LABELS
from vecguard.fresh import numbers
from vecguard.fresh.log import WHOLE, Change, Cover
from vecguard.fresh.stamps import Stamps
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus.layout import (
    INT64,
    JSON,
    META,
    TENANT_FIELD,
    TOKEN_FIELD,
    VARCHAR,
    WRITTEN_FIELD,
    Column,
    Layout,
    is_hidden,
    record_field,
)
from vecguard.front.milvus.proto import s
from vecguard.keys.encoding import length_prefixed

Leaves: TypeAlias = dict[bytes, bytes]
Part: TypeAlias = tuple[bytes, int, bytes]
"""A path, the row, and what lies there."""

THERE: Final = b"e"
PARTITION: Final = b"n"
_COLUMN: Final = b"c"
_DYNAMIC: Final = b"m"
DEFAULT_PARTITION: Final = "_default"
_NUMBERS: Final = frozenset({WRITTEN_FIELD, TENANT_FIELD})
# Beyond these a whole number in JSON may come back as a double.
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1


def canonical(value: Any) -> bytes:
    """One form of a value whichever way a database answers it; empty for what is as good as nothing."""
    if isinstance(value, str):
        return b"s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        return b"n%d" % value if _LEAST <= value <= _MOST else numbers.form(float(value))
    if isinstance(value, float):
        return numbers.form(value)
    if isinstance(value, list):
        return b"l" + length_prefixed(*map(canonical, value))
    if isinstance(value, dict):
        listed = [(key.encode("utf-8", "surrogatepass"), canonical(value[key])) for key in sorted(value)]
        return b"m" + length_prefixed(*(part for pair in listed for part in pair if pair[1]))
    if value is not None:
        raise TypeError(f"a value of type {type(value).__name__} has no canonical form")
    return b""


def readable(layout: Layout) -> list[str]:
    """The columns of which a row's parts are, all of them."""
    scalars = [name for name, column in layout.columns.items() if column.role in ("scalar", "array", "json")]
    dynamic = [META] if layout.dynamic else []
    return [layout.primary.name, *scalars, *dynamic, *layout.hidden]


def leaves_of(layout: Layout, columns: Iterable[s.FieldData], ids: Sequence[bytes], stamps: Stamps) -> list[Leaves]:
    """The stamps of what lies in some columns of rows, by path: a mapping for each of `ids`, which the rows are bound
    to.

    Raises:
        Unreadable: a column is malformed, or none of the collection.
    """
    found: list[Leaves] = [{THERE: stamps.stamp(row_id, THERE, b"")} for row_id in ids]
    for data in columns:
        for path, row, content in _parts(layout, data, len(ids), stamps):
            if content:
                found[row][path] = stamps.stamp(ids[row], path, content)
    return found


def paths_of(layout: Layout, columns: Iterable[s.FieldData], stamps: Stamps) -> list[bytes]:
    """The paths of some columns, without those of dynamic fields."""
    names = [data.field_name for data in columns if not data.is_dynamic]
    return [_path(name, stamps) for name in names if _is_part(layout, name)]


def has_dynamic(columns: Iterable[s.FieldData]) -> bool:
    """Whether the dynamic fields are among some columns."""
    return any(data.is_dynamic for data in columns)


def is_dynamic(path: bytes) -> bool:
    """Whether a path is that of a dynamic field."""
    return path.startswith(_DYNAMIC)


def _path(name: str, stamps: Stamps) -> bytes:
    return stamps.path(_COLUMN, (name,))


def _is_part(layout: Layout, name: str) -> bool:
    column = layout.columns.get(name)
    if column is None:
        return is_hidden(name) and name != TOKEN_FIELD and not name.startswith(LABELS)
    return column.role in ("scalar", "array", "json")


def _parts(layout: Layout, data: s.FieldData, rows: int, stamps: Stamps) -> Iterator[Part]:
    try:
        if data.is_dynamic:
            yield from _dynamic_parts(data, rows, stamps)
        elif _is_part(layout, data.field_name):
            path = _path(data.field_name, stamps)
            values, nothing = _values(layout, data, rows)
            for row, value in zip(values.rows, values.elements, strict=True):
                content = canonical(value)
                yield path, row, b"" if content == nothing else content
        elif data.field_name not in layout.columns and not is_hidden(data.field_name):
            raise Unreadable
    except (InvalidArgument, ValueError, RecursionError):
        raise Unreadable from None


def _dynamic_parts(data: s.FieldData, rows: int, stamps: Stamps) -> Iterator[Part]:
    values = wire.scalars(data, JSON, rows)
    for row, content in zip(values.rows, values.elements, strict=True):
        held = json.loads(content)
        if not isinstance(held, dict):
            raise Unreadable
        for key, value in held.items():
            yield stamps.path(_DYNAMIC, (key,)), row, canonical(value)


def _values(layout: Layout, data: s.FieldData, rows: int) -> tuple[wire.Values, bytes]:
    """A stored column, and the content that is as good as nothing there."""
    column = layout.columns.get(data.field_name)
    if column is None:
        return wire.scalars(data, INT64 if data.field_name in _NUMBERS else VARCHAR, rows), b""
    if column.role == "json":
        values = wire.scalars(data, JSON, rows)
        return wire.Values([json.loads(content) for content in values.elements], values.rows), b""
    if column.role == "array":
        arrays = wire.arrays(data, VARCHAR if column.protected else column.element_type, rows)
        return wire.Values([list(elements) for elements in arrays.elements], arrays.rows), b""
    return wire.scalars(data, VARCHAR if column.protected else column.data_type, rows), _default(column)


def _default(column: Column) -> bytes:
    return b"" if column.protected or column.default is None else canonical(column.default)


# -- writes ------------------------------------------------------------------------------------------------------------

DELETED: Final = Change((WHOLE,), {})


def written(
    layout: Layout, columns: Sequence[s.FieldData], ids: Sequence[bytes], partition: str, stamps: Stamps, *, whole: bool
) -> list[Change]:
    """What a write of stored columns does to each of its rows; without `whole`, to the given columns of them alone."""
    rows = leaves_of(layout, columns, ids, stamps)
    for leaves in rows:
        leaves[PARTITION] = partition_of(partition, stamps)
    if whole:
        return [Change((WHOLE,), leaves) for leaves in rows]
    exact = (THERE, PARTITION, *paths_of(layout, columns, stamps))
    covers = [Cover(path, exact=True) for path in exact]
    covers += [Cover(_DYNAMIC)] if has_dynamic(columns) else []
    return [Change(tuple(covers), leaves) for leaves in rows]


def partition_of(partition: str, stamps: Stamps) -> bytes:
    """The stamp of the partition that rows are written into, the same for all; an empty name is the default one."""
    return stamps.stamp(b"", PARTITION, (partition or DEFAULT_PARTITION).encode())


def searched(layout: Layout, name: str) -> list[str]:
    """The record's column of a searched vector (of the only one where it is not named), and what says whose it is."""
    names = [name] if name else list(layout.vectors)
    records = [record_field(each) for each in names if each in layout.vectors]
    return [*records, *([TOKEN_FIELD] if layout.auto_id else [])]

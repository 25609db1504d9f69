"""Rows on their way back to the client: columns opened, hidden ones dropped."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus import json_values
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.columns import Floats, Pairs, Shape, Values
from vecguard.front.milvus.ids import int64_ids, text_ids, token_ids
from vecguard.front.milvus.layout import META, TOKEN_FIELD, VARCHAR, Column, Layout, is_hidden, record_field
from vecguard.front.milvus.proto import s
from vecguard.seal.fields import bound_to
from vecguard.seal.record import decode
from vecguard.shield import DenseShield, Shield, SparseShield
from vecguard.stages import timed


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of an answer as they are stored: columns by name, and what each row's parts are bound to."""

    layout: Layout
    shield: Shield
    columns: Mapping[str, s.FieldData]
    rows: int
    ids: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Held:
    """Stored vectors of one column: `rows` are those that have one; `entries` what each may be opened with."""

    rows: Sequence[int]
    ids: Sequence[bytes]
    entries: Sequence[list[bytes]]


@dataclass(frozen=True, slots=True)
class HeldDense:
    """Dense vectors: `stored` `(n, d')` float32."""

    held: Held
    stored: Floats


def _name(data: s.FieldData) -> str:
    return META if data.is_dynamic else data.field_name


def found_rows(
    shield: Shield, layout: Layout, fields_data: Iterable[s.FieldData], rows: int, ids: s.IDs | None = None
) -> Found:
    """The rows of an answer. `ids` are their primary keys where the answer has them apart from its columns.

    Raises:
        Unreadable: a row's token, where it needs one, is missing or malformed.
        StaleEntry: a token belongs to another manifest.
    """
    columns = {_name(data): data for data in fields_data}
    return Found(layout, shield, columns, rows, _bound_ids(shield, layout, columns, rows, ids))


def _bound_ids(
    shield: Shield, layout: Layout, columns: Mapping[str, s.FieldData], rows: int, ids: s.IDs | None
) -> Sequence[bytes]:
    if layout.auto_id:
        return _token_ids(shield, columns, rows)
    if ids is not None and ids.WhichOneof("id_field") is not None:
        keys: Sequence[Any] = ids.str_id.data if ids.HasField("str_id") else ids.int_id.data
    else:
        data = columns.get(layout.primary.name)
        if data is None:
            return ()
        keys = _stored(lambda: wire.scalars(data, layout.primary.data_type, rows)).elements
    if len(keys) != rows:
        raise Unreadable
    return text_ids(keys) if layout.primary.data_type == VARCHAR else int64_ids(keys)


def _token_ids(shield: Shield, columns: Mapping[str, s.FieldData], rows: int) -> Sequence[bytes]:
    data = columns.get(TOKEN_FIELD)
    if data is None:
        return ()
    return token_ids(tokens_of(shield, data, rows))


def tokens_of(shield: Shield, data: s.FieldData, rows: int) -> list[bytes]:
    """The row tokens in the hidden column that holds them.

    Raises:
        Unreadable: one is missing or malformed.
        StaleEntry: one belongs to another manifest.
    """
    tokens = []
    for text in _stored(lambda: wire.scalars(data, VARCHAR, rows)).elements:
        record = decode(text)
        _require_manifest(shield, record.manifest)
        tokens.append(record.token)
    if len(tokens) != rows or not all(tokens):
        raise Unreadable
    return tokens


def _require_manifest(shield: Shield, written_under: str) -> None:
    if written_under != shield.manifest.short_id:
        raise StaleEntry


def _stored(read: Callable[[], Values]) -> Values:
    """A stored column; one that is malformed was not written by us."""
    try:
        return read()
    except InvalidArgument:
        raise Unreadable from None


def bound_id(found: Found, row: int) -> bytes:
    """What a row's parts are bound to; empty, which opens nothing that is bound, where the answer does not say."""
    return found.ids[row] if row < len(found.ids) else b""


@timed("open")
def client_columns(
    found: Found, fields_data: Sequence[s.FieldData], keys: Container[str] | None = None
) -> list[s.FieldData]:
    """The columns of an answer as the client declared them, in the order they came; hidden ones left out.

    Of the dynamic fields only `keys` are opened where they are given: some servers answer with all of them.

    Raises:
        Unreadable: a value does not authenticate, or a column is not one of the collection.
        StaleEntry: a record belongs to another manifest.
        InvalidArgument: a vector is protected so that nobody can recover it.
    """
    return [opened(found, data, keys) for data in fields_data if not is_hidden(_name(data))]


def opened(found: Found, data: s.FieldData, keys: Container[str] | None = None) -> s.FieldData:
    """One column of an answer as the client declared it.

    Raises:
        Unreadable, StaleEntry, InvalidArgument: see `client_columns`.
    """
    name = _name(data)
    if name == META:
        return _open_dynamic(found, data, keys)
    column = found.layout.columns.get(name)
    if column is None:
        raise Unreadable
    if column.role in ("dense", "sparse") and not found.shield.opens:
        return data  # as it is stored, for a role that may not have vectors as they were
    if column.role == "dense":
        return _open_dense(found, column, data)
    if column.role == "sparse":
        return _open_sparse(found, column, data)
    return _open_values(found, column, data) if column.protected else data


def _shape(column: Column, data: s.FieldData, elements: int) -> Shape:
    """The client's column in the form in which the database answered."""
    compact = elements < len(data.valid_data)
    return Shape(column.name, column.data_type, column.element_type, data.field_id, compact)


def _open_values(found: Found, column: Column, data: s.FieldData) -> s.FieldData:
    """A column of scalars, arrays or JSON values."""
    reveal = found.shield.fields.at((column.name,)).reveal
    marked = bool(data.valid_data)
    if column.role == "array":
        values = _stored(lambda: wire.arrays(data, VARCHAR, found.rows))
        arrays = [
            [_typed(column.element_type, reveal(text, bound_to(bound_id(found, row)))) for text in texts]
            for row, texts in zip(values.rows, values.elements, strict=True)
        ]
        shape = _shape(column, data, len(data.scalars.array_data.data))
        return wire.write_arrays(shape, Values(arrays, values.rows), found.rows, marked=marked)
    if column.role == "json":
        values = _stored(lambda: wire.scalars(data, kinds.JSON, found.rows))
        elements: list[Any] = [
            json_values.reveal_json(content, column.name, found.shield.fields, bound_to(bound_id(found, row)))
            for row, content in zip(values.rows, values.elements, strict=True)
        ]
        count = len(data.scalars.json_data.data)
    else:
        values = _stored(lambda: wire.scalars(data, VARCHAR, found.rows))
        elements = [
            _typed(column.data_type, reveal(text, bound_to(bound_id(found, row))))
            for row, text in zip(values.rows, values.elements, strict=True)
        ]
        count = len(data.scalars.string_data.data)
    return wire.write_scalars(_shape(column, data, count), Values(elements, values.rows), found.rows, marked=marked)


_PYTHON: dict[int, type] = {kinds.BOOL: bool, kinds.FLOAT: float, kinds.DOUBLE: float, VARCHAR: str}


def _typed(data_type: int, value: object) -> object:
    """An opened value, which must be of the column's type: an authentic one of another type was put here by others."""
    if type(value) is not _PYTHON.get(data_type, int):
        raise Unreadable
    return value


def _open_dynamic(found: Found, data: s.FieldData, keys: Container[str] | None) -> s.FieldData:
    values = _stored(lambda: wire.scalars(data, kinds.JSON, found.rows))
    elements = [
        json_values.reveal_dynamic(content, found.shield.fields, bound_to(bound_id(found, row)), keys)
        for row, content in zip(values.rows, values.elements, strict=True)
    ]
    compact = len(data.scalars.json_data.data) < len(data.valid_data)
    shape = Shape(data.field_name, kinds.JSON, 0, data.field_id, compact)
    clear = wire.write_scalars(shape, Values(elements, values.rows), found.rows, marked=bool(data.valid_data))
    clear.is_dynamic = data.is_dynamic
    return clear


def held_of(found: Found, name: str, row_of: Sequence[int]) -> Held:
    """Records of the vector `name` of the rows `row_of`.

    Raises:
        Unreadable: a record is missing or malformed.
        StaleEntry: a record belongs to another manifest.
    """
    data = found.columns.get(record_field(name))
    if data is None:
        raise Unreadable
    texts = _stored(lambda: wire.scalars(data, VARCHAR, found.rows))
    by_row = dict(zip(texts.rows, texts.elements, strict=True))
    entries = []
    for row in row_of:
        if row not in by_row:
            raise Unreadable
        record = decode(by_row[row])
        _require_manifest(found.shield, record.manifest)
        entry = record.entries.get(name)
        entries.append([] if entry is None else [entry])
    return Held(row_of, [bound_id(found, row) for row in row_of], entries)


def held_dense(found: Found, name: str) -> HeldDense:
    """The stored dense vectors `name` of an answer whose columns include them and their records.

    Raises:
        Unreadable: they are missing, or of another kind or dimension; or see `held_of`.
        StaleEntry: see `held_of`.
    """
    data, guard = found.columns.get(name), found.shield.vectors.get(name)
    if data is None or not isinstance(guard, DenseShield):
        raise Unreadable
    try:
        stored, row_of = wire.dense(data, kinds.FLOAT_VECTOR, guard.stored_dims, found.rows)
    except InvalidArgument:
        raise Unreadable from None
    there = [i for i, row in enumerate(row_of) if not _is_null(found, name, row, stored[i])]
    if len(there) < len(row_of):
        stored, row_of = stored[there], [row_of[i] for i in there]
    return HeldDense(held_of(found, name, row_of), stored)


def _is_null(found: Found, name: str, row: int, stored: Floats) -> bool:
    """Whether a vector is null although it is answered: Milvus Lite answers zeros, and only the record is null."""
    if not found.layout.columns[name].nullable:
        return False
    marks = found.columns[record_field(name)].valid_data if record_field(name) in found.columns else ()
    return row < len(marks) and not marks[row] and not stored.any()


@timed("open")
def open_dense(found: Found, name: str) -> tuple[Floats, Sequence[int]]:
    """The exact vectors `name`, `(n, d)` float32 as they were given, and the row of each.

    Raises:
        Unreadable, StaleEntry: see `held_dense`; or a vector does not fit its record.
        InvalidArgument: they are protected so that nobody can recover them.
    """
    there = held_dense(found, name)
    guard = found.shield.dense(name)
    if not len(there.stored):
        return np.zeros((0, guard.record.dims), np.float32), ()
    return guard.open(there.held.ids, there.stored, there.held.entries).x, there.held.rows


@timed("open")
def open_sparse(found: Found, name: str) -> tuple[list[Pairs], Sequence[int]]:
    """The client's sparse vectors `name`, and the row of each.

    Raises:
        Unreadable, StaleEntry: see `held_dense`.
    """
    data, guard = found.columns.get(name), found.shield.vectors.get(name)
    if data is None or not isinstance(guard, SparseShield):
        raise Unreadable
    values = _stored(lambda: wire.sparse(data, found.rows))
    held = held_of(found, name, values.rows)
    opened = []
    for point_id, content, entries in zip(held.ids, values.elements, held.entries, strict=True):
        try:
            indices, weights = wire.sparse_row(content, name)
        except InvalidArgument:
            raise Unreadable from None
        opened.append(guard.open(point_id, indices, weights, entries))
    return opened, values.rows


def _open_dense(found: Found, column: Column, data: s.FieldData) -> s.FieldData:
    x, row_of = open_dense(found, column.name)
    shape = Shape(column.name, column.data_type, 0, data.field_id)
    return wire.write_dense(shape, x, row_of, found.rows, dims=column.dims, marked=bool(data.valid_data))


def _open_sparse(found: Found, column: Column, data: s.FieldData) -> s.FieldData:
    vectors, row_of = open_sparse(found, column.name)
    shape = Shape(column.name, column.data_type, 0, data.field_id)
    return wire.write_sparse(shape, vectors, row_of, found.rows, marked=bool(data.valid_data))

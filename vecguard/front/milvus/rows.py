"""Rows on their way to the database: every column of an Insert or Upsert protected.

Whole columns are handled at once, so that vectors go through the shield as one matrix.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.fields import Fields
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus import json_values
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.columns import Shape, Values
from vecguard.front.milvus.ids import int64_ids, text_ids, token_ids
from vecguard.front.milvus.layout import (
    INTEGER_TYPES,
    MAX_VARCHAR,
    META,
    TENANT_FIELD,
    TOKEN_FIELD,
    VARCHAR,
    WRITTEN_FIELD,
    Column,
    Layout,
    is_hidden,
    label_field,
    record_field,
)
from vecguard.front.milvus.proto import TYPE_NAMES, s
from vecguard.policy.paths import render
from vecguard.seal.fields import bound_to, fresh_nonces
from vecguard.seal.leaf import Leaf
from vecguard.seal.record import encode
from vecguard.shield import DenseShield, Shield, SparseShield
from vecguard.stages import timed

# Ranges that Milvus checks on the values it is sent; wider types are bounded by the message itself.
_RANGES: Final = {kinds.INT8: (-(2**7), 2**7 - 1), kinds.INT16: (-(2**15), 2**15 - 1)}
_FLOATS: Final = frozenset({kinds.FLOAT, kinds.DOUBLE})


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one write. `ids` `(rows,)` is what each row's parts are bound to, `bound` the same as AAD.

    `shields` `(rows,)` are what each row is written under; of one tenant's rows the same.
    """

    layout: Layout
    shields: Sequence[Shield]
    rows: int
    ids: Sequence[bytes]
    bound: Sequence[bytes]
    tokens: Sequence[bytes]
    nonces: Iterator[bytes]
    shield: Shield
    """For what is the same for all rows."""

    def fields(self, row: int) -> Fields:
        """Modes and sealer of a row's columns."""
        return self.shields[row].fields

    def groups(self, row_of: Sequence[int]) -> list[tuple[Shield, list[int]]]:
        """The positions of rows among `row_of` that are written under one shield, for each."""
        found: dict[int, tuple[Shield, list[int]]] = {}
        for at, row in enumerate(row_of):
            shield = self.shields[row]
            found.setdefault(id(shield), (shield, []))[1].append(at)
        return list(found.values())


@timed("protect")
def protect_rows(
    shield: Shield,
    layout: Layout,
    fields_data: Sequence[s.FieldData],
    rows: int,
    *,
    whole: bool,
    tokens: Sequence[bytes] = (),
    written: Sequence[int] | None = None,
    shields: Sequence[Shield] | None = None,
) -> list[s.FieldData]:
    """The stored columns of a write of `rows` rows.

    `written`, one a row, is when they were written whole, in seconds since 1970, where that is not now.

    `whole` says whether the rows are written whole, so that columns left out get their defaults. `tokens`, one a row,
    are needed where the database makes the primary keys, and only there; `shields`, one a row, where tenants have keys.

    Raises:
        InvalidArgument: an unknown, doubled or malformed column, or a value that Milvus would have refused.
    """
    given = by_name(layout, fields_data)
    batch = _batch(shield, [shield] * rows if shields is None else shields, layout, given, rows, tokens)
    stored: list[s.FieldData] = []
    for name, data in given.items():
        stored.extend(_protected(batch, name, data))
    if whole:
        for column in layout.columns.values():
            if column.default is not None and column.protected and column.name not in given:
                stored.extend(_default_columns(batch, column))
    if layout.tenants:
        numbers = Values([one.sealing for one in batch.shields], range(rows))
        stored.append(wire.write_scalars(Shape(TENANT_FIELD, kinds.INT64, compact=True), numbers, rows, marked=False))
    if layout.auto_id:
        texts = [encode(shield.manifest.short_id, {}, token) for token in batch.tokens]
        stored.append(_text_column(TOKEN_FIELD, texts, range(rows), rows, marked=False))
    if layout.written and (whole or written is not None):
        times = Values([int(time.time())] * rows if written is None else written, range(rows))
        stored.append(wire.write_scalars(Shape(WRITTEN_FIELD, kinds.INT64), times, rows, marked=False))
    return stored


def by_name(layout: Layout, fields_data: Sequence[s.FieldData]) -> dict[str, s.FieldData]:
    """The columns of a write, dynamic fields under `$meta`.

    Raises:
        InvalidArgument: a column that the collection does not have, in Milvus' words, or one that comes twice.
    """
    given: dict[str, s.FieldData] = {}
    for data in fields_data:
        name = META if data.is_dynamic else data.field_name
        if is_hidden(name) or (name not in layout.columns and not (name == META and layout.dynamic)):
            raise InvalidArgument(f"fieldName {name} not exist in collection schema: invalid parameter")
        if name in given:
            raise InvalidArgument(f"the field {name} is given twice: invalid parameter")
        given[name] = data
    return given


def _batch(
    shield: Shield,
    shields: Sequence[Shield],
    layout: Layout,
    given: Mapping[str, s.FieldData],
    rows: int,
    tokens: Sequence[bytes],
) -> Batch:
    ids = token_ids(tokens) if layout.auto_id else row_keys(layout.primary, primary_keys(layout.primary, given, rows))
    return Batch(layout, shields, rows, ids, [bound_to(row_id) for row_id in ids], tokens, fresh_nonces(), shield)


def primary_keys(primary: Column, given: Mapping[str, s.FieldData], rows: int) -> Sequence[Any]:
    """The primary keys of a write's rows, numbers or texts.

    Raises:
        InvalidArgument: the column is missing or malformed.
    """
    data = given.get(primary.name)
    if data is None:
        raise InvalidArgument(f"primary key is missing: field {primary.name} has no data: invalid parameter")
    _require_type(primary, data)
    keys = wire.scalars(data, primary.data_type, rows).elements
    if len(keys) != rows:
        raise InvalidArgument(f"the primary key {primary.name} cannot be null: invalid parameter")
    return keys


def row_keys(primary: Column, keys: Sequence[Any]) -> list[bytes]:
    """What rows with these primary keys are bound to."""
    return text_ids(keys) if primary.data_type == VARCHAR else int64_ids(keys)


def _protected(batch: Batch, name: str, data: s.FieldData) -> list[s.FieldData]:
    """One of the client's columns as it is stored, with its record's column where it has one."""
    if name == META:
        return [_protect_dynamic(batch, data)]
    column = batch.layout.columns[name]
    _require_type(column, data)
    if column.role == "dense":
        return _protect_dense(batch, column, data)
    if column.role == "sparse":
        return _protect_sparse(batch, column, data)
    if column.role == "open_vector":
        raise InvalidArgument(f"field {name} is the output of a function, so it cannot be written: invalid parameter")
    if not column.protected:
        return [data]
    return _protect_values(batch, column, _read(column, data, batch.rows))


def _require_type(column: Column, data: s.FieldData) -> None:
    if data.type != column.data_type:
        expected, found = TYPE_NAMES.get(column.data_type), TYPE_NAMES.get(data.type)
        raise InvalidArgument(
            f"The data type of field {column.name} doesn't match: expected {expected}, got {found}: invalid parameter"
        )
    if column.data_type == kinds.ARRAY and data.scalars.array_data.element_type not in (0, column.element_type):
        raise InvalidArgument(f"the element type of field {column.name} doesn't match: invalid parameter")


def _read(column: Column, data: s.FieldData, rows: int) -> Values:
    if column.role == "array":
        return wire.arrays(data, column.element_type, rows)
    return wire.scalars(data, column.data_type, rows)


def _protect_values(batch: Batch, column: Column, values: Values) -> list[s.FieldData]:
    """A column of scalars, arrays or JSON values as it is stored, nulls replaced by the default if there is one.

    The column of its labels comes with it, if it has one.
    """
    if not column.nullable and column.default is None and len(values.rows) < batch.rows:
        raise InvalidArgument(f"the field {column.name} is not nullable and has no default: invalid parameter")
    if column.default is not None and len(values.rows) < batch.rows:
        held = dict(zip(values.rows, values.elements, strict=True))
        values = Values([held.get(row, column.default) for row in range(batch.rows)], range(batch.rows))
    protect = _protector(batch, column)
    stored = [protect(row, element) for row, element in zip(values.rows, values.elements, strict=True)]
    written = _write(batch, column, Values(stored, values.rows))
    return [written, _label_column(batch, column, values)] if column.labelled else [written]


def _label_column(batch: Batch, column: Column, values: Values) -> s.FieldData:
    whole = column.data_type in INTEGER_TYPES
    keys = (column.name,)
    labels = Values(
        [
            batch.fields(row).range_labels(keys).of(element, whole=whole)
            for row, element in zip(values.rows, values.elements, strict=True)
        ],
        values.rows,
    )
    shape = Shape(label_field(column.name), kinds.ARRAY, VARCHAR, compact=True)
    return wire.write_arrays(shape, labels, batch.rows, marked=column.nullable)


def _write(batch: Batch, column: Column, values: Values) -> s.FieldData:
    marked = column.nullable
    if column.role == "json":
        return wire.write_scalars(Shape(column.name, kinds.JSON, compact=True), values, batch.rows, marked=marked)
    if column.role == "array":
        shape = Shape(column.name, kinds.ARRAY, VARCHAR, compact=True)
        return wire.write_arrays(shape, values, batch.rows, marked=marked)
    return _text_column(column.name, values.elements, values.rows, batch.rows, marked=marked)


def _text_column(name: str, texts: Sequence[str], row_of: Sequence[int], rows: int, *, marked: bool) -> s.FieldData:
    return wire.write_scalars(Shape(name, VARCHAR, compact=True), Values(texts, row_of), rows, marked=marked)


def _default_columns(batch: Batch, column: Column) -> list[s.FieldData]:
    return _protect_values(batch, column, Values((), ()))


def _protector(batch: Batch, column: Column) -> Callable[[int, Any], Any]:
    """What turns a row's value into the stored one."""
    bound, nonces = batch.bound, batch.nonces
    if column.role == "json":
        return lambda row, value: json_values.protect_json(value, column.name, batch.fields(row), bound[row], nonces)
    keys = (column.name,)

    def one(row: int, value: Leaf, data_type: int) -> str:
        _require_value(column, data_type, value, row)
        stored = batch.fields(row).at(keys).protect(value, bound[row], nonces)
        if not isinstance(stored, str) or len(stored) > MAX_VARCHAR:
            raise InvalidArgument(
                f"the encrypted form of field {render((column.name,))} does not fit into {MAX_VARCHAR} bytes (row "
                f"number: {row}): shorten the value, or give the field mode plain"
            )
        return stored

    if column.role == "array":
        return lambda row, value: [one(row, element, column.element_type) for element in _bounded(column, value, row)]
    return lambda row, value: one(row, value, column.data_type)


def _bounded(column: Column, elements: Sequence[Leaf], row: int) -> Sequence[Leaf]:
    if column.max_capacity and len(elements) > column.max_capacity:
        raise InvalidArgument(
            f"the length ({len(elements)}) of {row}th array exceeds max capacity ({column.max_capacity}): "
            "invalid parameter"
        )
    return elements


def _require_value(column: Column, data_type: int, value: Leaf, row: int) -> None:
    """Refuse what Milvus refuses of a value in clear, in its words (internal/proxy/validate_util.go)."""
    if data_type == VARCHAR:
        length = len(str(value).encode("utf-8", "surrogatepass"))
        if length > column.max_length:
            raise InvalidArgument(
                f"length of varchar field {column.name} exceeds max length, row number: {row}, length: {length}, "
                f"max length: {column.max_length}: invalid parameter"
            )
    elif data_type in _RANGES:
        low, high = _RANGES[data_type]
        if not low <= int(value) <= high:
            raise InvalidArgument(f"the {row}th element ({value}) out of range: [{low}, {high}]: invalid parameter")
    elif data_type in _FLOATS and not math.isfinite(float(value)):
        raise InvalidArgument(f"value '{value}' is not a number or infinity: invalid parameter")


def _protect_dynamic(batch: Batch, data: s.FieldData) -> s.FieldData:
    values = wire.scalars(data, kinds.JSON, batch.rows)
    bound, nonces = batch.bound, batch.nonces
    texts = [
        json_values.protect_dynamic(content, batch.layout.columns, batch.fields(row), bound[row], nonces)
        for row, content in zip(values.rows, values.elements, strict=True)
    ]
    if len(values.rows) < batch.rows:
        raise InvalidArgument("the dynamic field cannot be null: invalid parameter")
    stored = wire.write_scalars(
        Shape(data.field_name, kinds.JSON), Values(texts, values.rows), batch.rows, marked=False
    )
    stored.is_dynamic = True
    return stored


def _records(
    batch: Batch, name: str, row_of: Sequence[int], entries: Sequence[bytes | None], *, nullable: bool
) -> s.FieldData:
    """The column with the records of a vector."""
    tokens = batch.tokens
    manifest = batch.shield.manifest.short_id
    texts = [
        encode(manifest, {} if entry is None else {name: entry}, tokens[row] if tokens else b"")
        for row, entry in zip(row_of, entries, strict=True)
    ]
    return _text_column(record_field(name), texts, row_of, batch.rows, marked=nullable)


def _require_all(column: Column, row_of: Sequence[int], rows: int) -> None:
    if len(row_of) < rows and not column.nullable:
        raise InvalidArgument(f"the field {column.name} is not nullable: invalid parameter")


def _protect_dense(batch: Batch, column: Column, data: s.FieldData) -> list[s.FieldData]:
    x, row_of = wire.dense(data, column.data_type, column.dims, batch.rows)
    _require_all(column, row_of, batch.rows)
    require_finite(x)
    dims, parts = _dense_guard(batch.shield, column).stored_dims, []
    for shield, at in batch.groups(row_of):
        # Tokens are drawn anew for every row, so they say nothing about which noise it gets.
        nonce_ids = [b""] * len(at) if batch.layout.auto_id else None
        held = x if len(at) == len(x) else x[at]
        parts.append((at, *_dense_guard(shield, column).protect([batch.ids[row_of[i]] for i in at], held, nonce_ids)))
    stored, entries = _together(parts, len(x), dims)
    shape = Shape(column.name, kinds.FLOAT_VECTOR, compact=True)
    marked = column.nullable
    return [
        wire.write_dense(shape, stored, row_of, batch.rows, dims=dims, marked=marked),
        _records(batch, column.name, row_of, entries, nullable=marked),
    ]


def _dense_guard(shield: Shield, column: Column) -> DenseShield:
    guard = shield.vectors[column.name]
    assert isinstance(guard, DenseShield)  # noqa: S101 - the manifest says of the layout's dense columns just that
    return guard


def _together(
    parts: Sequence[tuple[list[int], wire.Floats, list[bytes | None]]], rows: int, dims: int
) -> tuple[wire.Floats, list[bytes | None]]:
    """Vectors `(rows, dims)` and entries that were protected in parts, each in its place."""
    if len(parts) == 1:
        return parts[0][1], parts[0][2]
    stored, entries = np.empty((rows, dims), np.float32), list[bytes | None]([None] * rows)
    for at, x, sealed in parts:
        stored[at] = x
        for place, entry in zip(at, sealed, strict=True):
            entries[place] = entry
    return stored, entries


def require_finite(x: wire.Floats) -> None:
    """Refuse vectors `(n, d)` that Milvus refuses, and those whose squared length is infinite in float32.

    Raises:
        InvalidArgument: there is one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.einsum("nd,nd->n", x, x)
    if np.isfinite(squared).all():
        return
    odd = x[~np.isfinite(x)]
    shown = odd[0] if odd.size else "the squared length of a vector"
    raise InvalidArgument(f"value '{shown}' is not a number or infinity: invalid parameter")


def _protect_sparse(batch: Batch, column: Column, data: s.FieldData) -> list[s.FieldData]:
    values = wire.sparse(data, batch.rows)
    _require_all(column, values.rows, batch.rows)
    vectors, entries = [], []
    for row, content in zip(values.rows, values.elements, strict=True):
        guard = batch.shields[row].vectors[column.name]
        assert isinstance(guard, SparseShield)  # noqa: S101 - as in `_dense_guard`
        indices, weights = wire.sparse_row(content, column.name)
        stored_indices, stored_weights, entry = guard.protect(batch.ids[row], indices, weights)
        vectors.append((stored_indices, stored_weights))
        entries.append(entry)
    marked = column.nullable
    shape = Shape(column.name, kinds.SPARSE_VECTOR, compact=True)
    return [
        wire.write_sparse(shape, vectors, values.rows, batch.rows, marked=marked),
        _records(batch, column.name, values.rows, entries, nullable=marked),
    ]

"""Rows on their way to the database: every column of an Insert or Upsert protected.

Whole columns are handled at once, so that vectors go through the shield as one matrix.
"""

from __future__ import annotations

import math
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
    TOKEN_FIELD,
    VARCHAR,
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
    """The rows of one write. `ids` `(rows,)` is what each row's parts are bound to, `bound` the same as AAD."""

    layout: Layout
    shield: Shield
    rows: int
    ids: Sequence[bytes]
    bound: Sequence[bytes]
    tokens: Sequence[bytes]
    nonces: Iterator[bytes]

    @property
    def fields(self) -> Fields:
        """Modes and sealer of the collection's columns."""
        return self.shield.fields


@timed("protect")
def protect_rows(
    shield: Shield,
    layout: Layout,
    fields_data: Sequence[s.FieldData],
    rows: int,
    *,
    whole: bool,
    tokens: Sequence[bytes] = (),
) -> list[s.FieldData]:
    """The stored columns of a write of `rows` rows.

    `whole` says whether the rows are written whole, so that columns left out get their defaults. `tokens`, one a row,
    are needed where the database makes the primary keys, and only there.

    Raises:
        InvalidArgument: an unknown, doubled or malformed column, or a value that Milvus would have refused.
    """
    given = by_name(layout, fields_data)
    batch = _batch(shield, layout, given, rows, tokens)
    stored: list[s.FieldData] = []
    for name, data in given.items():
        stored.extend(_protected(batch, name, data))
    if whole:
        for column in layout.columns.values():
            if column.default is not None and column.protected and column.name not in given:
                stored.extend(_default_columns(batch, column))
    if layout.auto_id:
        texts = [encode(shield.manifest.short_id, {}, token) for token in batch.tokens]
        stored.append(_text_column(TOKEN_FIELD, texts, range(rows), rows, marked=False))
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
    shield: Shield, layout: Layout, given: Mapping[str, s.FieldData], rows: int, tokens: Sequence[bytes]
) -> Batch:
    ids = token_ids(tokens) if layout.auto_id else row_keys(layout.primary, primary_keys(layout.primary, given, rows))
    return Batch(layout, shield, rows, ids, [bound_to(row_id) for row_id in ids], tokens, fresh_nonces())


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
    of = batch.fields.range_labels((column.name,)).of
    labels = Values([of(element, whole=whole) for element in values.elements], values.rows)
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
        return lambda row, value: json_values.protect_json(value, column.name, batch.fields, bound[row], nonces)
    seal = batch.fields.at((column.name,)).protect

    def one(row: int, value: Leaf, data_type: int) -> str:
        _require_value(column, data_type, value, row)
        stored = seal(value, bound[row], nonces)
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
        json_values.protect_dynamic(content, batch.layout.columns, batch.fields, bound[row], nonces)
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
    manifest, tokens = batch.shield.manifest.short_id, batch.tokens
    texts = [
        encode(manifest, {} if entry is None else {name: entry}, tokens[row] if tokens else b"")
        for row, entry in zip(row_of, entries, strict=True)
    ]
    return _text_column(record_field(name), texts, row_of, batch.rows, marked=nullable)


def _require_all(column: Column, row_of: Sequence[int], rows: int) -> None:
    if len(row_of) < rows and not column.nullable:
        raise InvalidArgument(f"the field {column.name} is not nullable: invalid parameter")


def _protect_dense(batch: Batch, column: Column, data: s.FieldData) -> list[s.FieldData]:
    guard = batch.shield.vectors[column.name]
    assert isinstance(guard, DenseShield)  # noqa: S101 - the manifest says of the layout's dense columns just that
    x, row_of = wire.dense(data, column.data_type, column.dims, batch.rows)
    _require_all(column, row_of, batch.rows)
    require_finite(x)
    # Tokens are drawn anew for every row, so they say nothing about which noise it gets.
    nonce_ids = [b""] * len(row_of) if batch.layout.auto_id else None
    stored, entries = guard.protect([batch.ids[row] for row in row_of], x, nonce_ids)
    shape = Shape(column.name, kinds.FLOAT_VECTOR, compact=True)
    marked = column.nullable
    return [
        wire.write_dense(shape, stored, row_of, batch.rows, dims=guard.stored_dims, marked=marked),
        _records(batch, column.name, row_of, entries, nullable=marked),
    ]


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
    guard = batch.shield.vectors[column.name]
    assert isinstance(guard, SparseShield)  # noqa: S101 - as above
    values = wire.sparse(data, batch.rows)
    _require_all(column, values.rows, batch.rows)
    vectors, entries = [], []
    for row, content in zip(values.rows, values.elements, strict=True):
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

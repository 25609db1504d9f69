"""Records as plain values, from columns of Milvus' messages and into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from vecguard.errors import Refused
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus import json_values
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.columns import Shape, Values
from vecguard.front.milvus.layout import META, Column, Layout
from vecguard.front.milvus.metadata import pairs
from vecguard.front.milvus.proto import s
from vecguard.front.transfer import Blueprint, Key, Row, Sparse, Vector

PRIMARY: Final = "id"
UNNAMED: Final = "vector"
"""The column of another protocol's unnamed vector."""
_KEY_LENGTH: Final = 36
_LARGEST: Final = 2**63 - 1


def rows_of(layout: Layout, fields_data: Sequence[s.FieldData]) -> list[Row]:
    """The records of an answer with all columns.

    Raises:
        InvalidArgument: a column is malformed.
    """
    by_name = {META if data.is_dynamic else data.field_name: data for data in fields_data}
    primary = by_name.get(layout.primary.name)
    if primary is None:
        return []
    keys = wire.scalars(primary, layout.primary.data_type, wire.row_count(primary)).elements
    vectors: list[dict[str, Vector]] = [{} for _ in keys]
    payloads: list[dict[str, Any]] = [{} for _ in keys]
    for name, column in layout.columns.items():
        if column.role in ("primary", "open_vector") or name not in by_name:
            continue
        if column.role in ("dense", "sparse"):
            _take_vectors(column, by_name[name], vectors)
        else:
            _take_values(column, by_name[name], payloads)
    if META in by_name:
        dynamic = wire.scalars(by_name[META], kinds.JSON, len(keys))
        for row, content in zip(dynamic.rows, dynamic.elements, strict=True):
            payloads[row].update(json_values.parse(content, "dynamic field") or {})  # type: ignore[arg-type]
    return [Row(key, held, payload) for key, held, payload in zip(keys, vectors, payloads, strict=True)]


def _take_vectors(column: Column, data: s.FieldData, into: list[dict[str, Vector]]) -> None:
    if column.role == "dense":
        matrix, row_of = wire.dense(data, column.data_type, column.dims, len(into))
        for i, row in enumerate(row_of):
            into[row][column.name] = matrix[i]
        return
    values = wire.sparse(data, len(into))
    for row, content in zip(values.rows, values.elements, strict=True):
        indices, weights = wire.sparse_row(content, column.name)
        order = np.argsort(indices)
        into[row][column.name] = Sparse(indices[order], weights[order])


def _take_values(column: Column, data: s.FieldData, into: list[dict[str, Any]]) -> None:
    rows = len(into)
    if column.role == "array":
        values = wire.arrays(data, column.element_type, rows)
        found: list[Any] = [list(elements) for elements in values.elements]
    elif column.role == "json":
        values = wire.scalars(data, kinds.JSON, rows)
        found = [json_values.parse(content, column.name) for content in values.elements]
    else:
        values = wire.scalars(data, column.data_type, rows)
        found = list(values.elements)
    for payload in into:
        payload[column.name] = None
    for row, value in zip(values.rows, found, strict=True):
        into[row][column.name] = value


def columns_of(layout: Layout, rows: Sequence[Row]) -> list[s.FieldData]:
    """The columns of a write of these records.

    Raises:
        Refused: a record lacks what its column must have.
    """
    primary, count = layout.primary, len(rows)
    columns = [_column(Shape(primary.name, primary.data_type), primary, [row.key for row in rows])]
    for column in layout.columns.values():
        if column.role == "dense":
            columns.append(_dense(column, rows))
        elif column.role == "sparse":
            columns.append(_sparse(column, rows))
        elif column.role not in ("primary", "open_vector"):
            shape = Shape(column.name, column.data_type, column.element_type, compact=True)
            columns.append(_column(shape, column, [row.payload.get(column.name) for row in rows]))
    if layout.dynamic:
        texts = [
            json_values.render({key: value for key, value in row.payload.items() if key not in layout.columns})
            for row in rows
        ]
        dynamic = wire.write_scalars(Shape("", kinds.JSON), Values(texts, range(count)), count, marked=False)
        dynamic.is_dynamic = True
        columns.append(dynamic)
    return columns


def _column(shape: Shape, column: Column, values: Sequence[Any]) -> s.FieldData:
    there = [row for row, value in enumerate(values) if value is not None]
    if len(there) < len(values) and not column.nullable and column.default is None:
        raise Refused(f"a record has no value for the column `{column.name}`, which must have one")
    marked = column.nullable or len(there) < len(values)
    held = [values[row] for row in there]
    if column.role == "array":
        return wire.write_arrays(shape, Values(held, there), len(values), marked=marked)
    if column.role == "json":
        held = [json_values.render(value) for value in held]
    return wire.write_scalars(shape, Values(held, there), len(values), marked=marked)


def _vectors(column: Column, rows: Sequence[Row]) -> tuple[list[int], list[Any]]:
    there = [i for i, row in enumerate(rows) if column.name in row.vectors]
    if len(there) < len(rows) and not column.nullable:
        raise Refused(f"a record has no vector `{column.name}`, and the column must have one")
    return there, [rows[i].vectors[column.name] for i in there]


def _dense(column: Column, rows: Sequence[Row]) -> s.FieldData:
    there, held = _vectors(column, rows)
    matrix = np.stack(held) if held else np.zeros((0, column.dims), np.float32)
    shape = Shape(column.name, column.data_type)
    return wire.write_dense(shape, matrix, there, len(rows), dims=column.dims, marked=column.nullable)


def _sparse(column: Column, rows: Sequence[Row]) -> s.FieldData:
    there, held = _vectors(column, rows)
    vectors = [(vector.indices, vector.values) for vector in held]
    shape = Shape(column.name, column.data_type)
    return wire.write_sparse(shape, vectors, there, len(rows), marked=column.nullable)


def column_name(vector: str) -> str:
    """The column for another protocol's vector."""
    return vector or UNNAMED


def foreign_schema(name: str, blueprint: Blueprint) -> s.CollectionSchema:
    """A schema for the records of another protocol's collection.

    Raises:
        Refused: a multivector, for which there is no column.
    """
    schema = s.CollectionSchema(name=name, enable_dynamic_field=True)
    primary = schema.fields.add(name=PRIMARY, is_primary_key=True)
    if blueprint.keys == "number":
        primary.data_type = s.DataType.Int64
    else:
        primary.data_type = s.DataType.VarChar
        primary.type_params.extend(pairs({"max_length": str(_KEY_LENGTH)}))
    for shape in blueprint.vectors:
        column = schema.fields.add(name=column_name(shape.name))
        if shape.kind == "multi":
            raise Refused(f"vector `{shape.name}` is a multivector, for which Milvus has no column here")
        if shape.kind == "sparse":
            column.data_type = s.DataType.SparseFloatVector
        else:
            column.data_type = s.DataType.FloatVector
            column.type_params.extend(pairs({"dim": str(shape.dims)}))
    return schema


def foreign(row: Row, blueprint: Blueprint) -> Row:
    """Another protocol's record as it is written here.

    Raises:
        Refused: a key that is too large, or a payload field that has the name of a column.
    """
    key: Key = row.key
    if blueprint.keys != "number":
        key = str(key)
    elif not isinstance(key, int) or key > _LARGEST:
        raise Refused(f"the id {key} does not fit Milvus' whole numbers of 64 bits")
    taken = {PRIMARY, *(column_name(name) for name in row.vectors)} & set(row.payload)
    if taken:
        raise Refused(f"the payload field `{min(taken)}` has the name of a column of the new collection")
    return Row(key, {column_name(name): vector for name, vector in row.vectors.items()}, row.payload)

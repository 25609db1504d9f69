"""Declared collections and their shields, without any server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from shields import manifest_of, ring_of

from vecguard.front.milvus.layout import Layout, layout_of
from vecguard.front.milvus.proto import DATA_TYPES, c, s
from vecguard.front.milvus.schema import Declaration, declare
from vecguard.policy.model import CollectionPolicy, PayloadRule, VectorRule
from vecguard.shield import Shield

PAYLOAD = PayloadRule(
    default="sealed",
    fields={"open": "plain", "word": "searchable", "meta.kind": "searchable", "meta.size": "plain", "loud": "plain"},
)
POLICY = CollectionPolicy(match="*", payload=PAYLOAD).placed(0)


def field_of(name: str, kind: str, params: Mapping[str, object] | None = None, **options: Any) -> s.FieldSchema:
    """One declared field; `element` names the type of an array's elements."""
    element = options.pop("element", None)
    field = s.FieldSchema(name=name, data_type=DATA_TYPES[kind], **options)
    if element:
        field.element_type = DATA_TYPES[element]
    field.type_params.extend(c.KeyValuePair(key=key, value=str(value)) for key, value in (params or {}).items())
    return field


KEY = field_of("id", "Int64", is_primary_key=True)
VECTOR = field_of("v", "FloatVector", {"dim": 8})


def schema_of(*fields: s.FieldSchema, dynamic: bool = False, auto_id: bool = False) -> s.CollectionSchema:
    """A declared collection; a key and a vector are added where there are none."""
    given = list(fields)
    if not any(field.is_primary_key for field in given):
        key = s.FieldSchema.FromString(KEY.SerializeToString())
        key.autoID = auto_id
        given.insert(0, key)
    if not any(field.data_type >= DATA_TYPES["BinaryVector"] for field in given):
        given.append(VECTOR)
    return s.CollectionSchema(name="notes", fields=given, enable_dynamic_field=dynamic)


def shield_for(schema: s.CollectionSchema, policy: CollectionPolicy = POLICY) -> tuple[Shield, Layout]:
    """The shield of a declared collection, under fixed keys."""
    declaration: Declaration = declare(schema, policy)
    vectors = {record.name: record for record in declaration.vectors}
    shield = Shield(manifest_of(policy.payload), ring_of(1), vectors, policy, schema.SerializeToString())
    return shield, layout_of(shield)


def policy_with(payload: PayloadRule = PAYLOAD, *rules: VectorRule) -> CollectionPolicy:
    """A policy entry with these rules."""
    return CollectionPolicy(match="*", payload=payload, vectors=rules or (VectorRule(),)).placed(0)


SLOTS = {
    "Bool": "bool_data",
    "Int8": "int_data",
    "Int16": "int_data",
    "Int32": "int_data",
    "Int64": "long_data",
    "Float": "float_data",
    "Double": "double_data",
    "VarChar": "string_data",
    "JSON": "json_data",
}


def data_of(name: str, kind: str, values: Sequence[Any], valid: Sequence[bool] = ()) -> s.FieldData:
    """A column as clients send it: compact where `valid` marks nulls."""
    data = s.FieldData(field_name=name, type=DATA_TYPES[kind], valid_data=valid)
    getattr(data.scalars, SLOTS[kind]).data.extend(values)
    return data


def arrays_of(name: str, element: str, rows: Sequence[Sequence[Any]]) -> s.FieldData:
    """A column of arrays."""
    data = s.FieldData(field_name=name, type=DATA_TYPES["Array"])
    data.scalars.array_data.element_type = DATA_TYPES[element]
    for row in rows:
        part = data.scalars.array_data.data.add()
        getattr(part, SLOTS[element]).data.extend(row)
        getattr(part, SLOTS[element]).SetInParent()
    return data


def dynamic_of(values: Sequence[bytes]) -> s.FieldData:
    """The column of dynamic fields."""
    data = s.FieldData(type=DATA_TYPES["JSON"], is_dynamic=True)
    data.scalars.json_data.data.extend(values)
    return data


def vectors_of(name: str, x: np.ndarray[Any, Any], valid: Sequence[bool] = ()) -> s.FieldData:
    """A column of float32 vectors `(n, d)`."""
    data = s.FieldData(field_name=name, type=DATA_TYPES["FloatVector"], valid_data=valid)
    data.vectors.dim = x.shape[1]
    data.vectors.float_vector.data.extend(x.ravel().tolist())
    return data


def sparse_of(name: str, rows: Sequence[Mapping[int, float]]) -> s.FieldData:
    """A column of sparse vectors."""
    data = s.FieldData(field_name=name, type=DATA_TYPES["SparseFloatVector"])
    for row in rows:
        table = np.array(sorted(row.items()), dtype=[("i", "<u4"), ("v", "<f4")])
        data.vectors.sparse_float_vector.contents.append(table.tobytes())
    return data

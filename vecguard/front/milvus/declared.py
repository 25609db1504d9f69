"""A stored collection's description turned into that of the collection that the client declared."""

from __future__ import annotations

from typing import Final

from vecguard.front.milvus.layout import Layout, is_hidden
from vecguard.front.milvus.metadata import hide
from vecguard.front.milvus.proto import c, m, s

# What the proxy sets at rest; clients are shown what they set.
_BOUNDS: Final = frozenset({"max_length", "max_capacity", "dim"})


def show(described: m.DescribeCollectionResponse, layout: Layout) -> None:
    """Turn a description into the client's, in place: its schema and properties, with the database's ids and states."""
    hide(described.properties)
    schema = described.schema
    hide(schema.properties)
    schema.description = layout.schema.description
    stored = {field.name: field for field in schema.fields}
    shown = [_shown(stored[field.name], field) for field in layout.schema.fields if field.name in stored]
    # What the database adds of its own (the column of dynamic fields, where it shows that).
    shown.extend(field for field in schema.fields if field.is_dynamic and not is_hidden(field.name))
    functions = {function.name: function.description for function in layout.schema.functions}
    for function in schema.functions:
        function.description = functions.get(function.name, function.description)
    copies = [_copy(field) for field in shown]
    del schema.fields[:]
    schema.fields.extend(copies)


def _copy(field: s.FieldSchema) -> s.FieldSchema:
    copied = s.FieldSchema()
    copied.CopyFrom(field)
    return copied


def _shown(stored: s.FieldSchema, declared: s.FieldSchema) -> s.FieldSchema:
    field = _copy(stored)
    field.description = declared.description
    field.data_type = declared.data_type
    field.element_type = declared.element_type
    if declared.HasField("default_value"):
        field.default_value.CopyFrom(declared.default_value)
    del field.type_params[:]
    field.type_params.extend(_shown_params(stored, declared))
    return field


def _shown_params(stored: s.FieldSchema, declared: s.FieldSchema) -> list[c.KeyValuePair]:
    """The client's bounds, and the database's word on everything else."""
    known = {pair.key: pair.value for pair in stored.type_params}
    pairs = []
    for pair in declared.type_params:
        if pair.key in _BOUNDS:
            pairs.append(c.KeyValuePair(key=pair.key, value=pair.value))
        elif pair.key in known:
            pairs.append(c.KeyValuePair(key=pair.key, value=known[pair.key]))
    said = {pair.key for pair in declared.type_params} | _BOUNDS
    pairs.extend(c.KeyValuePair(key=key, value=value) for key, value in known.items() if key not in said)
    return pairs

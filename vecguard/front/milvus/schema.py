"""A collection as a client declares it, turned into what the database is asked to make, and records of the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from vecguard.errors import InvalidArgument, UnknownField
from vecguard.front.milvus.known_fields import require_known
from vecguard.front.milvus.layout import (
    ARRAY,
    DENSE_TYPES,
    FLOAT_VECTOR,
    INT64,
    KEY_TYPES,
    MAX_VARCHAR,
    RANGE_TYPES,
    SEALABLE_TYPES,
    SPARSE_VECTOR,
    TENANT_FIELD,
    TOKEN_FIELD,
    VARCHAR,
    WRITTEN_FIELD,
    WRITTEN_PROPERTY,
    Column,
    Layout,
    build,
    column_of,
    function_outputs,
    is_hidden,
    label_field,
    record_field,
    stored_length,
)
from vecguard.front.milvus.proto import TYPE_NAMES, c, s
from vecguard.front.milvus.tenants import require_tenants
from vecguard.manifest import VectorRecord
from vecguard.policy.model import CollectionPolicy
from vecguard.policy.paths import render
from vecguard.seal.dyadic import DEPTHS
from vecguard.seal.id_cipher import text_length
from vecguard.shield import require_protectable

Parsed = TypeVar("Parsed", bound=Message)

_MAX_NAME: Final = 255
# What the record of a sealed vector holds beside its four bytes a dimension, and its text form.
_ENTRY_BYTES: Final = 75
_RECORD_TEXT: Final = 512
# Digits of a label (`vecguard/seal/labels.py`).
_LABEL_LENGTH: Final = 11
_BM25: Final = "BM25"
# What times of writing are counted in.
_CLOCK: Final = "seconds"
# What a client may say of a column whose values are encrypted: its bounds, which the proxy checks, and how it is kept.
_BOUNDS: Final = frozenset({"max_length", "max_capacity"})
_KEPT: Final = frozenset({"mmap.enabled", "mmap_enabled", "warmup", "max_capacity"})
_TEXT_SEARCH: Final = frozenset({"enable_match", "enable_analyzer", "analyzer_params", "multi_analyzer_params"})
_NOT_SAID: Final = frozenset({"", "false"})


@dataclass(frozen=True, slots=True)
class Declaration:
    """A new collection: as declared, as stored, and what the manifest says of its vectors."""

    layout: Layout
    stored: s.CollectionSchema
    vectors: tuple[VectorRecord, ...]


def parse_schema(content: bytes) -> s.CollectionSchema:
    """The schema that a client sent as bytes.

    Raises:
        InvalidArgument: it is none.
        UnknownField: it has fields that the generated code here does not know.
    """
    return _parsed(content, s.CollectionSchema(), "schema")


def parse_field(content: bytes) -> s.FieldSchema:
    """One field of a schema, as `parse_schema`.

    Raises:
        InvalidArgument, UnknownField: see `parse_schema`.
    """
    return _parsed(content, s.FieldSchema(), "field schema")


def _parsed(content: bytes, message: Parsed, what: str) -> Parsed:
    try:
        message.ParseFromString(content)
    except DecodeError:
        raise InvalidArgument(f"the {what} is not a valid message: invalid parameter") from None
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise UnknownField(
            f"the {what} carries protobuf fields that this version of VecGuard does not know; they could hold data in "
            "clear, so nothing was forwarded. Upgrade VecGuard, or use an older client"
        )
    require_known(message)
    return message


def declare(schema: s.CollectionSchema, policy: CollectionPolicy) -> Declaration:
    """What is stored for a collection.

    Raises:
        InvalidArgument: a type, name, function or parameter that cannot be protected; says why.
        FailedPrecondition: no rule of the policy matches a vector's name.
    """
    _require_known_parts(schema)
    _require_fields(schema)
    if policy.kept is not None and policy.kept.field is None:
        timed = s.CollectionSchema()
        timed.CopyFrom(schema)
        timed.properties.add(key=WRITTEN_PROPERTY, value=_CLOCK)
        schema = timed
    layout = build(schema, policy.payload, tenants=policy.tenant_keys is not None)
    if layout.auto_id and policy.ids == "encrypted":
        raise InvalidArgument(
            f"field {layout.primary.name}: {policy.name}.ids has primary keys encrypted, which the database cannot "
            "make: make them in the client (auto_id=False), or say `ids: plain`"
        )
    if policy.tenant_keys is not None:
        require_tenants(policy.tenant_keys, layout, policy.name)
    for function in schema.functions:
        _require_open(function, layout, policy)
    stored = s.CollectionSchema()
    stored.CopyFrom(schema)
    stored.description = ""
    kept = [pair for pair in schema.properties if pair.key != WRITTEN_PROPERTY]
    del stored.properties[:]
    stored.properties.extend(kept)
    for function in stored.functions:
        function.description = ""
    del stored.fields[:]
    vectors = []
    for field in schema.fields:
        column = layout.columns[field.name]
        stored.fields.append(stored_field(field, column, policy))
        if column.role in ("dense", "sparse"):
            vectors.append(_vector_record(column, policy))
    stored.fields.extend(_hidden_fields(layout))
    return Declaration(layout, stored, tuple(vectors))


def _require_known_parts(schema: s.CollectionSchema) -> None:
    """Refuse what a collection can have that moves rows or text past the shield, or that nobody here understands."""
    refused = {
        "struct_array_fields": "arrays of structs cannot be protected",
        "external_source": "an external collection's rows do not come through the proxy",
        "external_spec": "an external collection's rows do not come through the proxy",
        "enable_namespace": "namespaces cannot be protected",
        "file_resource_ids": "text analysis with file resources cannot be protected",
    }
    for part, why in refused.items():
        if getattr(schema, part, None):
            raise InvalidArgument(f"{part}: {why}; say `protect: none` for the collection to use it in clear")
    for pair in schema.properties:
        if is_hidden(pair.key):
            raise InvalidArgument(f"property {pair.key} is reserved: invalid parameter")


def _require_fields(schema: s.CollectionSchema) -> None:
    """Refuse what no Milvus makes, but what would lead the proxy to take a column for one that is kept in clear."""
    names = [field.name for field in schema.fields]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise InvalidArgument(f"duplicated field name {doubled}: invalid parameter")
    keys = [field for field in schema.fields if field.is_primary_key]
    if len(keys) > 1:
        shown = ", ".join(field.name for field in keys)
        raise InvalidArgument(f"there are more than one primary key: {shown}: invalid parameter")
    for field in keys:
        if field.data_type not in KEY_TYPES:
            raise InvalidArgument("the data type of primary key should be Int64 or VarChar: invalid parameter")
    for field in schema.fields:
        if field.is_dynamic:
            raise InvalidArgument(f"cannot explicitly set a field as a dynamic field: {field.name}: invalid parameter")


def _require_open(function: s.FunctionSchema, layout: Layout, policy: CollectionPolicy) -> None:
    """Only BM25 over plain text: its output says no more than that text."""
    # Numbers of newer versions have no name here.
    kind = next((name for name, number in s.FunctionType.items() if number == function.type), str(function.type))
    if kind != _BM25:
        raise InvalidArgument(
            f"function {function.name} of type {kind} is refused: the database would keep what it makes in clear; "
            "compute it on the client"
        )
    if len(function.input_field_names) != 1 or len(function.output_field_names) != 1:
        raise InvalidArgument(f"function {function.name} of type {kind} needs one input and one output field")
    if layout.column(function.output_field_names[0]).data_type != SPARSE_VECTOR:
        raise InvalidArgument(f"the output of function {function.name} of type {kind} must be a SPARSE_FLOAT_VECTOR")
    for name in function.input_field_names:
        if layout.column(name).mode != "plain":
            raise InvalidArgument(
                f"function {function.name} cannot read field {name}: its mode is {layout.column(name).mode} "
                f"({policy.rule_for(render((name,)))}); full-text search needs mode plain"
            )


def stored_field(field: s.FieldSchema, column: Column, policy: CollectionPolicy) -> s.FieldSchema:
    """One field as it is stored.

    Raises:
        InvalidArgument: see `declare`.
    """
    _require_name(field.name)
    if getattr(field, "external_field", ""):
        raise InvalidArgument(f"field {field.name}: fields of external data cannot be protected")
    stored = s.FieldSchema()
    stored.CopyFrom(field)
    stored.description = ""
    if column.role == "primary":
        return _key_field(stored, column) if policy.ids == "encrypted" else stored
    if column.role == "open_vector":
        return stored
    if column.role == "dense":
        return _dense_field(stored, column, policy)
    if column.role == "sparse":
        return stored
    if column.mode == "plain" and column.role != "json":
        return stored
    if column.role == "json":
        # Its leaves may differ in mode, so the proxy fills in its default.
        stored.ClearField("default_value")
        return stored
    return _sealed_field(stored, column, policy)


def _key_field(stored: s.FieldSchema, column: Column) -> s.FieldSchema:
    """The field of encrypted primary keys.

    Raises:
        InvalidArgument: they would be longer than Milvus allows.
    """
    if column.data_type == VARCHAR:
        for pair in stored.type_params:
            if pair.key == "max_length":
                pair.value = str(key_length(column))
    return stored


def key_length(column: Column) -> int:
    """The largest number of characters of an encrypted primary key.

    Raises:
        InvalidArgument: it is more than Milvus allows.
    """
    length = text_length(column.max_length)
    if length > MAX_VARCHAR:
        raise InvalidArgument(f"field {column.name}: encrypted keys of {column.max_length} bytes do not fit")
    return length


def _require_name(name: str) -> None:
    if is_hidden(name):
        raise InvalidArgument(
            f"Invalid field name: {name}. Names that begin with `_vg` are reserved: invalid parameter"
        )


def _dense_field(stored: s.FieldSchema, column: Column, policy: CollectionPolicy) -> s.FieldSchema:
    if column.data_type not in DENSE_TYPES:
        kind = TYPE_NAMES.get(column.data_type, str(column.data_type))
        raise InvalidArgument(
            f"field {column.name}: {kind} cannot hold a rotated vector with noise exactly enough to recover it; use "
            "FLOAT_VECTOR, FLOAT16_VECTOR, BFLOAT16_VECTOR or SPARSE_FLOAT_VECTOR, or say `protect: none` for the "
            "collection"
        )
    if column.dims < 1:
        raise InvalidArgument(
            "dimension is not defined in field type params, check type param `dim` for vector field: invalid parameter"
        )
    stored.data_type = FLOAT_VECTOR
    dims = str(require_protectable(_vector_record(column, policy)))
    for pair in stored.type_params:
        if pair.key == "dim":
            pair.value = dims
    return stored


def _sealed_field(stored: s.FieldSchema, column: Column, policy: CollectionPolicy) -> s.FieldSchema:
    _require_sealable(stored, column, policy)
    kept = [pair for pair in stored.type_params if pair.key in _KEPT]
    stored.ClearField("default_value")
    value_type = column.element_type if column.role == "array" else column.data_type
    length = stored_length(column.mode, value_type, column.max_length)
    del stored.type_params[:]
    stored.type_params.extend([*kept, c.KeyValuePair(key="max_length", value=str(length))])
    if column.role == "array":
        stored.element_type = VARCHAR
    else:
        stored.data_type = VARCHAR
    return stored


def _require_sealable(field: s.FieldSchema, column: Column, policy: CollectionPolicy) -> None:
    where = f"field {field.name}, whose mode is {column.mode} ({policy.rule_for(render((field.name,)))})"
    value_type = column.element_type if column.role == "array" else column.data_type
    if value_type not in SEALABLE_TYPES:
        kind = TYPE_NAMES.get(value_type, str(value_type))
        raise InvalidArgument(f"{where}, has type {kind}, which cannot be encrypted: give it mode plain")
    if column.mode == "tokens":
        raise InvalidArgument(f"{where}: words of columns in Milvus cannot be labelled; text search needs mode plain")
    if column.mode == "range" and (column.role != "scalar" or value_type not in RANGE_TYPES):
        raise InvalidArgument(f"{where}, is no single number: range works on INT8 to INT64, FLOAT, DOUBLE, and in JSON")
    if field.is_partition_key and column.mode != "searchable":
        raise InvalidArgument(f"{where}, cannot be the partition key: it needs mode searchable or plain")
    if field.is_clustering_key:
        raise InvalidArgument(f"{where}, cannot be the clustering key: it needs mode plain")
    if field.index_params:
        raise InvalidArgument(f"{where}, cannot have index_params")
    if value_type == VARCHAR and not 1 <= column.max_length <= MAX_VARCHAR:
        raise InvalidArgument(
            f"type param(max_length) should be specified for the field({field.name}), between 1 and {MAX_VARCHAR}: "
            "invalid parameter"
        )
    for pair in field.type_params:
        if pair.key in _TEXT_SEARCH:
            if pair.value.strip().lower() not in _NOT_SAID:
                raise InvalidArgument(f"{where}, cannot be searched as text ({pair.key}): that needs mode plain")
        elif pair.key not in _BOUNDS | _KEPT:
            raise InvalidArgument(f"{where}, has a type parameter that VecGuard does not know: {pair.key}")


def _vector_record(column: Column, policy: CollectionPolicy) -> VectorRecord:
    """What the manifest says of a vector.

    The metric of Milvus belongs to an index that is made later and may change, so "euclid" stands for a vector that is
    kept as it came: stored y = (R x + n) / (1 + r^2), whatever it will be compared by.
    """
    rule = policy.vector(column.name)
    if column.role == "sparse":
        return VectorRecord(name=column.name, kind="sparse", dims=0, distance="dot", transforms=(), recover="derived")
    record = VectorRecord(
        name=column.name,
        kind="dense",
        dims=column.dims,
        distance="euclid",
        transforms=rule.transforms,
        recover=rule.recover,
    )
    require_protectable(record)
    if rule.recover == "sealed" and 4 * (_ENTRY_BYTES + 4 * column.dims) // 3 + _RECORD_TEXT > MAX_VARCHAR:
        raise InvalidArgument(
            f"field {column.name}: an encrypted copy of {column.dims} dimensions does not fit beside the row; "
            "give the vector `recover: derived`"
        )
    return record


def _hidden_fields(layout: Layout) -> Sequence[s.FieldSchema]:
    fields = []
    for name in layout.vectors:
        if len(record_field(name)) > _MAX_NAME:
            raise InvalidArgument(
                f"field {name}: the name of a protected vector has at most {_MAX_NAME - 4} characters"
            )
        fields.append(_text_field(record_field(name), nullable=layout.columns[name].nullable))
    if layout.auto_id:
        fields.append(_text_field(TOKEN_FIELD, nullable=False))
    if layout.written:
        fields.append(s.FieldSchema(name=WRITTEN_FIELD, data_type=INT64))
    if layout.tenants:
        fields.append(s.FieldSchema(name=TENANT_FIELD, data_type=INT64))
    return [*fields, *(_labels_field(layout.columns[name]) for name in layout.labelled)]


def _labels_field(column: Column) -> s.FieldSchema:
    name = label_field(column.name)
    if len(name) > _MAX_NAME:
        raise InvalidArgument(f"field {column.name}: the name of a range field has at most {_MAX_NAME - 5} characters")
    bounds = {"max_length": _LABEL_LENGTH, "max_capacity": DEPTHS + 1}
    return s.FieldSchema(
        name=name,
        data_type=ARRAY,
        element_type=VARCHAR,
        type_params=[c.KeyValuePair(key=key, value=str(value)) for key, value in bounds.items()],
        nullable=column.nullable,
    )


def _text_field(name: str, *, nullable: bool) -> s.FieldSchema:
    length = c.KeyValuePair(key="max_length", value=str(MAX_VARCHAR))
    return s.FieldSchema(name=name, data_type=VARCHAR, type_params=[length], nullable=nullable)


def added_field(field: s.FieldSchema, layout: Layout, policy: CollectionPolicy) -> s.FieldSchema:
    """What is stored for a field that is added to a collection that has rows already, by name as `declare`.

    Raises:
        InvalidArgument: see `declare`; or a vector, whose record would be missing from the rows that there are.
    """
    if field.is_primary_key or field.autoID or field.is_dynamic:
        raise InvalidArgument(f"not support to add pk or dynamic field, field name = {field.name}: invalid parameter")
    column = column_of(field, policy.payload, function_outputs(layout.schema))
    if column.role in ("dense", "sparse", "open_vector"):
        raise InvalidArgument(f"not support to add vector field, field name = {field.name}: invalid parameter")
    if column.labelled:
        raise InvalidArgument(
            f"field {field.name}, whose mode is range ({policy.rule_for(render((field.name,)))}), cannot be added: "
            "rows that are there already would have no labels; declare it when the collection is made"
        )
    if column.default is not None and column.protected:
        raise InvalidArgument(
            f"field {field.name}: a default for rows that are there already cannot be encrypted for each of them; add "
            "the field without one, or give it mode plain"
        )
    return stored_field(field, column, policy)

"""What a protected collection's columns are to the client, and where each lies at rest.

At rest beside the client's columns stand hidden ones (VARCHAR, names that begin with `_vg`): for every protected
vector `v` a record `_vg_v` (`vecguard/seal/record.py`), so that a vector and its record are written by one operation
even where a client updates that vector alone; for every column `c` of mode range its labels `_vgl_c` (ARRAY); where the
database makes the primary keys, the row token `_vg`; where rows are kept for a time after they were written, when that
was, `_vgt` (INT64); and where tenants have keys of their own, the number of the key that the row was written under,
`_vgk` (INT64).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import LABELS, Fields
from vecguard.front.milvus.proto import DATA_TYPES, s
from vecguard.policy.model import FieldMode, PayloadRule
from vecguard.seal.leaf import Leaf, padded_length
from vecguard.shield import Shield

HIDDEN_PREFIX: Final = "_vg"
TOKEN_FIELD: Final = "_vg"  # noqa: S105 - a column's name
WRITTEN_FIELD: Final = "_vgt"
WRITTEN_PROPERTY: Final = "_vg.written"
"""A property of the declared schema: the stored one has the column `WRITTEN_FIELD`."""
TENANT_FIELD: Final = "_vgk"
META: Final = "$meta"
MAX_VARCHAR: Final = 65_535

BOOL: Final = DATA_TYPES["Bool"]
INT8: Final = DATA_TYPES["Int8"]
INT16: Final = DATA_TYPES["Int16"]
INT32: Final = DATA_TYPES["Int32"]
INT64: Final = DATA_TYPES["Int64"]
FLOAT: Final = DATA_TYPES["Float"]
DOUBLE: Final = DATA_TYPES["Double"]
VARCHAR: Final = DATA_TYPES["VarChar"]
ARRAY: Final = DATA_TYPES["Array"]
JSON: Final = DATA_TYPES["JSON"]
FLOAT_VECTOR: Final = DATA_TYPES["FloatVector"]
FLOAT16_VECTOR: Final = DATA_TYPES["Float16Vector"]
BFLOAT16_VECTOR: Final = DATA_TYPES["BFloat16Vector"]
SPARSE_VECTOR: Final = DATA_TYPES["SparseFloatVector"]

DENSE_TYPES: Final = frozenset({FLOAT_VECTOR, FLOAT16_VECTOR, BFLOAT16_VECTOR})
KEY_TYPES: Final = frozenset({INT64, VARCHAR})
INTEGER_TYPES: Final = frozenset({INT8, INT16, INT32, INT64})
RANGE_TYPES: Final = INTEGER_TYPES | {FLOAT, DOUBLE}
TENANT_TYPES: Final = INTEGER_TYPES | {BOOL, VARCHAR}
SEALABLE_TYPES: Final = frozenset({BOOL, INT8, INT16, INT32, INT64, FLOAT, DOUBLE, VARCHAR})
# `Struct` and arrays of vectors come after the vectors proper, which come after all scalar types.
_FIRST_VECTOR: Final = DATA_TYPES["BinaryVector"]

Role: TypeAlias = Literal["primary", "scalar", "array", "json", "dense", "sparse", "open_vector"]

_TEXT_PREFIX_BYTES: Final = len("vg:")
_LEAF_HEAD_BYTES: Final = 5
_SEALED_BYTES: Final = 7 + 12 + 16
_OVERHEAD_BYTES: Final[dict[FieldMode, int]] = {
    "plain": 0,
    "sealed": _SEALED_BYTES,
    "searchable": 7 + 16,
    "range": _SEALED_BYTES,
    "tokens": _SEALED_BYTES,
}
_FIXED_LEAF_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the client declared it.

    `mode` is that of the column's name. Of a `json` column it says nothing: each leaf has its own. `open_vector` is a
    vector that a function of the database makes from plain text; it is not protected, as its text is not.
    `default` is what the proxy fills in where the mode is not `plain`: a leaf, or the text of a JSON value.
    """

    name: str
    role: Role
    data_type: int
    element_type: int
    mode: FieldMode
    nullable: bool
    max_length: int
    max_capacity: int
    dims: int
    default: Leaf | bytes | None
    partition_key: bool

    @property
    def protected(self) -> bool:
        """Whether the column's values at rest differ from the client's."""
        return self.role in ("json", "dense", "sparse") or (self.role in ("scalar", "array") and self.mode != "plain")

    @property
    def labelled(self) -> bool:
        """Whether a hidden column holds labels of the values; a JSON column has its labels within."""
        return self.role == "scalar" and self.mode == "range"


@dataclass(frozen=True, slots=True)
class Layout:
    """All columns of a collection, in the order of its declaration."""

    schema: s.CollectionSchema
    columns: Mapping[str, Column]
    primary: Column
    auto_id: bool
    dynamic: bool
    tenants: bool = False
    """Whether tenants have keys of their own."""

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the columns that only the proxy knows of."""
        token = (TOKEN_FIELD,) if self.auto_id else ()
        written = (WRITTEN_FIELD,) if self.written else ()
        whose = (TENANT_FIELD,) if self.tenants else ()
        return tuple(record_field(name) for name in self.vectors) + token + written + whose

    @property
    def written(self) -> bool:
        """Whether a hidden column says when each row was written whole."""
        return any(pair.key == WRITTEN_PROPERTY for pair in self.schema.properties)

    @property
    def labelled(self) -> tuple[str, ...]:
        """Names of the columns that have labels in a hidden one."""
        return tuple(name for name, column in self.columns.items() if column.labelled)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the protected vectors."""
        return tuple(name for name, column in self.columns.items() if column.role in ("dense", "sparse"))

    def column(self, name: str) -> Column:
        """The client's column of that name.

        Raises:
            InvalidArgument: there is none, in Milvus' words.
        """
        found = self.columns.get(name)
        if found is None:
            raise InvalidArgument(f"field {name} not exist: invalid parameter")
        return found

    def needs_record(self, name: str) -> tuple[str, ...]:
        """Hidden columns that it takes to open the column `name` (any name; also `$meta` and dynamic keys)."""
        column = self.columns.get(name)
        token = (TOKEN_FIELD,) if self.auto_id else ()
        if column is None:
            return token
        if column.role in ("dense", "sparse"):
            return (record_field(name), *token)
        return token if column.protected else ()


def record_field(vector: str) -> str:
    """The hidden column with the record of a vector."""
    return f"{HIDDEN_PREFIX}_{vector}"


def label_field(column: str) -> str:
    """The hidden column with the labels of another one."""
    return f"{LABELS}{column}"


def is_hidden(name: str) -> bool:
    """Whether a name is of ours; clients can neither make nor name such."""
    return name.startswith(HIDDEN_PREFIX)


def type_param(field: s.FieldSchema, key: str) -> str | None:
    """A field's type parameter."""
    return next((pair.value for pair in field.type_params if pair.key == key), None)


def whole_param(field: s.FieldSchema, key: str) -> int:
    """A field's type parameter that is a whole number; 0 where it is missing or none."""
    text = (type_param(field, key) or "").strip()
    return int(text) if text.isdecimal() and text.isascii() else 0


def default_of(field: s.FieldSchema) -> Leaf | bytes | None:
    """A field's default value."""
    if not field.HasField("default_value"):
        return None
    kind = field.default_value.WhichOneof("data")
    if kind is None:
        return None
    value: Leaf | bytes = getattr(field.default_value, kind)
    return value


def stored_length(mode: FieldMode, data_type: int, max_length: int) -> int:
    """Largest number of characters that a value of a column takes at rest, at most what Milvus allows."""
    body = max_length if data_type == VARCHAR else _FIXED_LEAF_BYTES
    binary = _OVERHEAD_BYTES[mode] + padded_length(_LEAF_HEAD_BYTES + body)
    return min(_TEXT_PREFIX_BYTES + (4 * binary + 2) // 3, MAX_VARCHAR)


def function_outputs(schema: s.CollectionSchema) -> frozenset[str]:
    """Columns that functions of the database fill: those that a function names, whatever a field says of itself."""
    return frozenset(name for function in schema.functions for name in function.output_field_names)


def column_of(field: s.FieldSchema, rule: PayloadRule, made: frozenset[str]) -> Column:
    """What a declared field is; `made` are the outputs of functions."""
    role = _role(field, made)
    return Column(
        name=field.name,
        role=role,
        data_type=field.data_type,
        element_type=field.element_type,
        # Primary keys are what rows are found by; they stay as they are.
        mode="plain" if role in ("primary", "open_vector") else rule.mode_of((field.name,)),
        nullable=field.nullable,
        max_length=whole_param(field, "max_length"),
        max_capacity=whole_param(field, "max_capacity"),
        dims=whole_param(field, "dim"),
        default=default_of(field),
        partition_key=field.is_partition_key,
    )


def _role(field: s.FieldSchema, made: frozenset[str]) -> Role:
    if field.is_primary_key:
        return "primary"
    if field.data_type >= _FIRST_VECTOR:
        if field.name in made:
            return "open_vector"
        return "sparse" if field.data_type == SPARSE_VECTOR else "dense"
    if field.data_type == JSON:
        return "json"
    return "array" if field.data_type == ARRAY else "scalar"


def build(schema: s.CollectionSchema, rule: PayloadRule, *, tenants: bool = False) -> Layout:
    """The layout of a declared collection; `tenants`: whether they have keys of their own.

    Raises:
        InvalidArgument: it has no primary key, in Milvus' words.
    """
    made = function_outputs(schema)
    columns = {field.name: column_of(field, rule, made) for field in schema.fields}
    keys = [field for field in schema.fields if field.is_primary_key]
    if not keys:
        raise InvalidArgument("primary key is not specified: invalid parameter")
    return Layout(
        schema=schema,
        columns=columns,
        primary=columns[keys[0].name],
        auto_id=schema.autoID or keys[0].autoID,
        dynamic=schema.enable_dynamic_field,
        tenants=tenants,
    )


# One shield, and all its copies, has one `Fields`; it lives as long as the shield is in use.
_KNOWN: Final[WeakKeyDictionary[Fields, Layout]] = WeakKeyDictionary()


def layout_of(shield: Shield) -> Layout:
    """The layout of a collection in use.

    Raises:
        Unreadable: its declaration is missing.
    """
    known = _KNOWN.get(shield.fields)
    if known is None:
        if shield.declared is None:
            raise Unreadable
        schema = s.CollectionSchema.FromString(shield.declared)
        known = _KNOWN[shield.fields] = build(schema, shield.manifest.payload, tenants=shield.tenancy is not None)
    return known

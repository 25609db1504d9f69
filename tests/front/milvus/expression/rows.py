"""A collection with a field of every type and mode, its rows in clear and protected, and Milvus Lite's filters on them.

The rows are protected here by the rules that the rewriting relies on (leaf by leaf, shapes and nulls kept), straight
through `Fields`; Lite's own parser, type checker and evaluators then run in this process on both tables.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
from milvus_lite.exceptions import MilvusLiteError
from milvus_lite.schema.types import CollectionSchema, FieldSchema
from milvus_lite.schema.types import DataType as LiteType
from milvus_lite.search.filter import compile_filter, evaluate
from shields import IDENTITY, ring_of

from vecguard.fields import Fields, Keys
from vecguard.front.milvus.expression import Column, Columns
from vecguard.front.milvus.proto import s
from vecguard.keys.ring import KeyRing
from vecguard.policy.model import PayloadRule
from vecguard.seal.fields import FieldSealer
from vecguard.seal.ids import num_id

D = s.DataType
MODES: Final = ("plain", "searchable", "sealed")
SCALARS: Final = {"n": D.Int64, "i": D.Int8, "f": D.Float, "d": D.Double, "t": D.VarChar, "b": D.Bool}
ARRAYS: Final = {"an": D.Int64, "at": D.VarChar}
LITE: Final = {
    D.Int64: LiteType.INT64,
    D.Int8: LiteType.INT8,
    D.Float: LiteType.FLOAT,
    D.Double: LiteType.DOUBLE,
    D.VarChar: LiteType.VARCHAR,
    D.Bool: LiteType.BOOL,
    D.JSON: LiteType.JSON,
    D.Array: LiteType.ARRAY,
}
ARROW: Final = {
    LiteType.INT64: pa.int64(),
    LiteType.INT8: pa.int8(),
    LiteType.FLOAT: pa.float32(),
    LiteType.DOUBLE: pa.float64(),
    LiteType.VARCHAR: pa.string(),
    LiteType.BOOL: pa.bool_(),
    LiteType.JSON: pa.string(),
}

RULE: Final = PayloadRule(
    default="sealed",
    fields={
        f"{name}_{mode}": mode
        for mode in MODES
        for name in (*SCALARS, *ARRAYS, "j", "k", "l", "kb")
        if mode != "sealed"
    }
    | {"j_searchable.open": "plain", "j_plain.word": "searchable"},
)
COLUMNS: Final = Columns(
    {
        column.name: column
        for column in (
            Column("id", "id", D.Int64, primary_key=True),
            Column("vec", "vec", D.FloatVector),
            *(Column(f"{name}_{m}", f"{name}_{m}", kind) for m in MODES for name, kind in SCALARS.items()),
            *(Column(f"{name}_{m}", f"{name}_{m}", D.Array, kind) for m in MODES for name, kind in ARRAYS.items()),
            *(Column(f"j_{m}", f"j_{m}", D.JSON) for m in MODES),
        )
    },
    dynamic=True,
)
Row = Mapping[str, Any]


def fields_of(ring: KeyRing | None = None, rule: PayloadRule = RULE) -> Fields:
    """The fields under fixed keys; the policy entry is named after the field."""
    return Fields(rule, FieldSealer(ring or ring_of(1), IDENTITY.bytes), lambda path: f"rule of {path}")


def protected(row: Row, fields: Fields) -> Row:
    """A row as it is at rest. Its keys are columns' names, and `$meta` for the object of dynamic keys."""
    point = num_id(row["id"])
    floats = {name for name, column in COLUMNS.by_name.items() if column.data_type == D.Float}

    def leaves(value: Any, keys: Keys) -> Any:
        if isinstance(value, dict):
            return {key: leaves(item, (*keys, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [leaves(item, keys) for item in value]
        return None if value is None else fields.protect(keys, value, point)

    stored = {
        name: leaves(struct.unpack("f", struct.pack("f", value))[0] if name in floats and value else value, (name,))
        for name, value in row.items()
        if name not in ("id", "$meta")
    }
    return {"id": row["id"], **stored, "$meta": leaves(row["$meta"], ())}


@dataclass(frozen=True)
class LiteTable:
    """Rows as Milvus Lite holds them, and the types of its columns."""

    schema: CollectionSchema
    table: pa.Table

    def select(self, text: str, *, row_by_row: bool) -> frozenset[int]:
        """Ids of the rows that an expression selects: by Lite's row interpreter, or by the way that Lite chooses.

        Raises MilvusLiteError where Lite refuses the expression.
        """
        compiled = compile_filter(text, self.schema)
        if row_by_row:
            compiled = replace(compiled, backend="python")
        mask = evaluate(compiled, self.table).to_pylist()
        return frozenset(key for key, chosen in zip(self.table.column("id").to_pylist(), mask, strict=True) if chosen)


def lite_table(rows: Sequence[Row], mode_of: Callable[[str], str]) -> LiteTable:
    """The rows as Lite's table; a column that `mode_of` does not call plain holds text."""
    kinds: dict[str, tuple[LiteType, LiteType | None]] = {}
    for name, column in COLUMNS.by_name.items():
        if column.vector:
            continue
        clear = column.primary_key or mode_of(name) == "plain"
        kind, element = LITE[column.data_type], LITE.get(column.element_type)
        if kind is LiteType.ARRAY:
            kinds[name] = kind, element if clear else LiteType.VARCHAR
        else:
            kinds[name] = (kind if clear or kind is LiteType.JSON else LiteType.VARCHAR), None
    schema = CollectionSchema(
        [
            FieldSchema(name, kind, is_primary=name == "id", element_type=element, nullable=name != "id")
            for name, (kind, element) in kinds.items()
        ],
        enable_dynamic_field=True,
    )
    data = {}
    for name, (kind, element) in kinds.items():
        values = [row[name] for row in rows]
        if kind is LiteType.JSON:
            values = [None if value is None else json.dumps(value) for value in values]
        data[name] = pa.array(values, type=pa.list_(ARROW[element]) if element else ARROW[kind])
    data["$meta"] = pa.array([json.dumps(row["$meta"]) for row in rows], type=pa.string())
    return LiteTable(schema, pa.table(data))


def tables_of(rows: Sequence[Row], fields: Fields) -> tuple[LiteTable, LiteTable]:
    """The rows in clear, and at rest."""
    clear = lite_table(rows, lambda _: "plain")
    return clear, lite_table([protected(row, fields) for row in rows], lambda name: fields.mode((name,)))


__all__ = ["COLUMNS", "MODES", "D", "LiteTable", "MilvusLiteError", "fields_of", "lite_table", "protected", "tables_of"]

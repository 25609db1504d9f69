"""Columns of Milvus' messages (`schema.FieldData`) as Python values and numpy arrays, and back.

A column holds one value a row, in one of two forms: *full*, an element for every row (where a row is null it means
nothing), or *compact*, elements only for rows that `valid_data` marks as valid. Clients send and databases answer
either. A column without `valid_data` has no nulls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.proto import DATA_TYPES, TYPE_NAMES, s

Floats: TypeAlias = NDArray[np.float32]
Pairs: TypeAlias = tuple[NDArray[np.uint32], Floats]

# Where a scalar type's values lie in `ScalarField` (schema.proto).
SLOTS: Final[dict[int, str]] = {
    kinds.BOOL: "bool_data",
    kinds.INT8: "int_data",
    kinds.INT16: "int_data",
    kinds.INT32: "int_data",
    kinds.INT64: "long_data",
    kinds.FLOAT: "float_data",
    kinds.DOUBLE: "double_data",
    DATA_TYPES["String"]: "string_data",
    kinds.VARCHAR: "string_data",
    kinds.ARRAY: "array_data",
    kinds.JSON: "json_data",
}
_EMPTY: Final[dict[str, object]] = {
    "bool_data": False,
    "int_data": 0,
    "long_data": 0,
    "float_data": 0.0,
    "double_data": 0.0,
    "string_data": "",
    "json_data": b"",
}
_SPARSE_PAIR: Final = np.dtype([("index", "<u4"), ("value", "<f4")])


@dataclass(frozen=True, slots=True)
class Values:
    """A column's elements, and the rows they belong to.

    `elements` has one for each of `rows`, which are ascending; rows that are not among them are null.
    """

    elements: Sequence[Any]
    rows: Sequence[int]


def _mismatch(name: str, found: int, expected: int) -> InvalidArgument:
    return InvalidArgument(
        f"the num_rows ({found}) of field ({name}) is not equal to passed num_rows ({expected}): invalid parameter"
    )


def valid_rows(data: s.FieldData, count: int, rows: int) -> tuple[Sequence[int], Sequence[int]]:
    """Which of a column's `count` elements mean something, and the row of each.

    Raises:
        InvalidArgument: the numbers of elements, marks and `rows` do not fit, in Milvus' words.
    """
    if not data.valid_data:
        if count != rows:
            raise _mismatch(data.field_name, count, rows)
        everything = range(rows)
        return everything, everything
    if len(data.valid_data) != rows:
        raise _mismatch(data.field_name, len(data.valid_data), rows)
    valid = np.flatnonzero(np.array(data.valid_data, dtype=bool)).tolist()
    if count == len(valid):
        return range(count), valid
    if count == rows:
        return valid, valid
    raise InvalidArgument(
        f"the length of field is wrong: field {data.field_name} has {count} values for {len(valid)} valid rows: "
        "invalid parameter"
    )


def _slot(data_type: int) -> str:
    slot = SLOTS.get(data_type)
    if slot is None:
        raise InvalidArgument(f"undefined data type:{TYPE_NAMES.get(data_type, str(data_type))}: invalid parameter")
    return slot


def _scalar_elements(scalars: s.ScalarField, data_type: int, name: str) -> Sequence[Any]:
    slot = _slot(data_type)
    kind = scalars.WhichOneof("data")
    if kind is None:
        return ()
    if kind != slot:
        raise InvalidArgument(f"field '{name}' is illegal, array type mismatch: invalid parameter")
    elements: Sequence[Any] = getattr(scalars, slot).data
    return elements


def scalars(data: s.FieldData, data_type: int, rows: int) -> Values:
    """A scalar column: booleans, numbers, texts, or the bytes of JSON values.

    Raises:
        InvalidArgument: values of another type, or not one for each of `rows`.
    """
    elements = _scalar_elements(data.scalars, data_type, data.field_name)
    at, row_of = valid_rows(data, len(elements), rows)
    return Values(elements if len(at) == len(elements) else [elements[i] for i in at], row_of)


def arrays(data: s.FieldData, element_type: int, rows: int) -> Values:
    """An ARRAY column: a sequence of scalars for each row that is not null.

    Raises:
        InvalidArgument: elements of another type, or not one array for each of `rows`.
    """
    if data.scalars.WhichOneof("data") not in (None, "array_data"):
        raise InvalidArgument(f"field '{data.field_name}' is illegal, array type mismatch: invalid parameter")
    held = data.scalars.array_data.data
    at, row_of = valid_rows(data, len(held), rows)
    return Values([_scalar_elements(held[i], element_type, data.field_name) for i in at], row_of)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a new column is written: name, id and type as the reader knows them, and whether nulls are left out."""

    name: str
    data_type: int
    element_type: int = 0
    field_id: int = 0
    compact: bool = False


def _column(shape: Shape, rows: int, row_of: Sequence[int], *, marked: bool) -> s.FieldData:
    data = s.FieldData(field_name=shape.name, type=shape.data_type, field_id=shape.field_id)
    if marked or len(row_of) < rows:
        valid = np.zeros(rows, dtype=bool)
        valid[list(row_of)] = True
        data.valid_data.extend(valid.tolist())
    return data


def write_scalars(shape: Shape, values: Values, rows: int, *, marked: bool) -> s.FieldData:
    """A scalar column. `marked`: with `valid_data` even where nothing is null."""
    data = _column(shape, rows, values.rows, marked=marked)
    slot = _slot(shape.data_type)
    target = getattr(data.scalars, slot).data
    getattr(data.scalars, slot).SetInParent()
    if shape.compact or len(values.rows) == rows:
        target.extend(values.elements)
        return data
    full = [_EMPTY[slot]] * rows
    for row, element in zip(values.rows, values.elements, strict=True):
        full[row] = element
    target.extend(full)
    return data


def write_arrays(shape: Shape, values: Values, rows: int, *, marked: bool) -> s.FieldData:
    """An ARRAY column."""
    data = _column(shape, rows, values.rows, marked=marked)
    held = data.scalars.array_data
    held.element_type = shape.element_type
    slot = _slot(shape.element_type)
    whole = shape.compact or len(values.rows) == rows
    for _ in range(len(values.rows) if whole else rows):
        getattr(held.data.add(), slot).SetInParent()
    places = range(len(values.rows)) if whole else values.rows
    for place, elements in zip(places, values.elements, strict=True):
        getattr(held.data[place], slot).data.extend(elements)
    return data


def dense(data: s.FieldData, data_type: int, dims: int, rows: int) -> tuple[Floats, Sequence[int]]:
    """A dense vector column: `(n, dims)` float32 and the row of each of the n that are not null.

    Raises:
        InvalidArgument: another type or dimension, or not one vector for each of `rows`, in Milvus' words.
    """
    vectors = data.vectors
    name = data.field_name
    kind = vectors.WhichOneof("data")
    if kind is not None and kind != _VECTOR_SLOTS[data_type]:
        raise InvalidArgument(f"vector field '{name}' is illegal, array type mismatch: invalid parameter")
    flat = _flat(vectors, data_type)
    if flat.size % dims or vectors.dim not in (0, dims):
        raise InvalidArgument(
            f"the dim ({vectors.dim}) of field data({name}) is not equal to schema dim ({dims}): invalid parameter"
        )
    matrix = flat.reshape(-1, dims)
    at, row_of = valid_rows(data, len(matrix), rows)
    return (matrix if len(at) == len(matrix) else matrix[list(at)]), row_of


_VECTOR_SLOTS: Final = {
    kinds.FLOAT_VECTOR: "float_vector",
    kinds.FLOAT16_VECTOR: "float16_vector",
    kinds.BFLOAT16_VECTOR: "bfloat16_vector",
}


def _flat(vectors: s.VectorField, data_type: int) -> Floats:
    if data_type == kinds.FLOAT_VECTOR:
        return np.array(vectors.float_vector.data, dtype=np.float32)
    return half_to_float(
        vectors.float16_vector if data_type == kinds.FLOAT16_VECTOR else vectors.bfloat16_vector, data_type
    )


def half_to_float(content: bytes, data_type: int) -> Floats:
    """FLOAT16_VECTOR or BFLOAT16_VECTOR bytes (little-endian, two a number) as float32.

    Raises:
        InvalidArgument: an odd number of bytes.
    """
    if len(content) % 2:
        raise InvalidArgument("a vector of 16-bit floats needs two bytes a dimension: invalid parameter")
    if data_type == kinds.FLOAT16_VECTOR:
        return np.frombuffer(content, "<f2").astype(np.float32)
    # bfloat16 is the upper half of a float32.
    return (np.frombuffer(content, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def float_to_half(x: Floats, data_type: int) -> bytes:
    """float32 as FLOAT16_VECTOR or BFLOAT16_VECTOR bytes, rounded to nearest, ties to even."""
    if data_type == kinds.FLOAT16_VECTOR:
        return x.astype("<f2").tobytes()
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype("<u2").tobytes()


def write_dense(shape: Shape, x: Floats, row_of: Sequence[int], rows: int, *, dims: int, marked: bool) -> s.FieldData:
    """A dense vector column of the type that `shape` says, from `(n, dims)` float32 and the row of each.

    Always compact: clients look for the vectors of marked rows alone.
    """
    data = _column(shape, rows, row_of, marked=marked)
    vectors = data.vectors
    vectors.dim = dims
    if shape.data_type == kinds.FLOAT_VECTOR:
        vectors.float_vector.ParseFromString(packed_floats(x))
        vectors.float_vector.SetInParent()
    elif shape.data_type == kinds.FLOAT16_VECTOR:
        vectors.float16_vector = float_to_half(x, shape.data_type)
    else:
        vectors.bfloat16_vector = float_to_half(x, shape.data_type)
    return data


def packed_floats(x: Floats) -> bytes:
    """Wire bytes of a packed `repeated float` in field 1: tag 0x0A, length varint, little-endian float32."""
    body = np.ascontiguousarray(x, "<f4").tobytes()
    header, size = bytearray(b"\x0a"), len(body)
    while size > 0x7F:
        header.append(size & 0x7F | 0x80)
        size >>= 7
    header.append(size)
    return bytes(header) + body


def sparse_row(content: bytes, name: str) -> Pairs:
    """A sparse vector: pairs of uint32 index and float32 value, little-endian (Milvus' SparseFloatVector row).

    Raises:
        InvalidArgument: not that, or an index twice, or a value that is not a finite number, in Milvus' words.
    """
    if len(content) % _SPARSE_PAIR.itemsize:
        raise InvalidArgument(
            f"invalid data length in sparse float vector: {len(content)} in field {name}: invalid parameter"
        )
    table = np.frombuffer(content, _SPARSE_PAIR)
    indices, values = table["index"].astype(np.uint32), table["value"].astype(np.float32)
    if not np.isfinite(values).all():
        raise InvalidArgument("value is not a number or infinity in sparse float vector: invalid parameter")
    if np.unique(indices).size != indices.size:
        raise InvalidArgument("unsorted or same indices in sparse float vector: invalid parameter")
    return indices, values


def sparse(data: s.FieldData, rows: int) -> Values:
    """A SPARSE_FLOAT_VECTOR column: the bytes of each row that is not null.

    Raises:
        InvalidArgument: another type, or not one vector for each of `rows`.
    """
    kind = data.vectors.WhichOneof("data")
    if kind not in (None, "sparse_float_vector"):
        raise InvalidArgument(f"sparse float field '{data.field_name}' is illegal: invalid parameter")
    contents = data.vectors.sparse_float_vector.contents
    at, row_of = valid_rows(data, len(contents), rows)
    return Values([contents[i] for i in at], row_of)


def sparse_bytes(pairs: Pairs) -> bytes:
    """The row's bytes, pairs in ascending order of index."""
    indices, values = pairs
    order = np.argsort(indices, kind="stable")
    table = np.empty(len(indices), _SPARSE_PAIR)
    table["index"], table["value"] = indices[order], values[order]
    return table.tobytes()


def write_sparse(
    shape: Shape, vectors: Sequence[Pairs], row_of: Sequence[int], rows: int, *, marked: bool
) -> s.FieldData:
    """A SPARSE_FLOAT_VECTOR column, compact, its dimension the largest index there is and one."""
    data = _column(shape, rows, row_of, marked=marked)
    held = data.vectors.sparse_float_vector
    held.contents.extend([sparse_bytes(pairs) for pairs in vectors])
    held.dim = max((int(indices.max()) + 1 for indices, _ in vectors if indices.size), default=0)
    data.vectors.dim = held.dim
    return data


def row_count(data: s.FieldData) -> int:
    """How many rows a column of an answer has.

    Raises:
        InvalidArgument: a vector column without a dimension.
    """
    if data.valid_data:
        return len(data.valid_data)
    if data.HasField("scalars"):
        kind = data.scalars.WhichOneof("data")
        return len(getattr(data.scalars, kind).data) if kind else 0
    kind = data.vectors.WhichOneof("data")
    if kind is None:
        return 0
    if kind == "sparse_float_vector":
        return len(data.vectors.sparse_float_vector.contents)
    if kind == "vector_array":
        return len(data.vectors.vector_array.data)
    elements = data.vectors.float_vector.data if kind == "float_vector" else getattr(data.vectors, kind)
    width = data.vectors.dim * _ELEMENTS_PER_DIM.get(kind, 1.0)
    if width <= 0:
        raise InvalidArgument(f"field {data.field_name} has no dimension: invalid parameter")
    return int(len(elements) / width)


# Elements of the message for one dimension: numbers, or bytes.
_ELEMENTS_PER_DIM: Final = {"binary_vector": 1 / 8, "float16_vector": 2.0, "bfloat16_vector": 2.0}

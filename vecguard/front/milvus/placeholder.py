"""Placeholder groups: the query vectors of a Milvus search, read from and written to their message in a message.

Format: milvus-proto's common.proto. A group holds one placeholder with a type and one value a query, in bytes: float32
little-endian; IEEE half precision or bfloat16 little-endian; for sparse vectors pairs of uint32 index and float32
value; UTF-8 for texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument, UnknownField
from vecguard.front.milvus.known_fields import require_known
from vecguard.front.milvus.proto import c

Floats: TypeAlias = NDArray[np.float32]

_TAG: Final = "$0"
_PAIR: Final = np.dtype([("index", "<u4"), ("value", "<f4")])
_BITS_OF_BFLOAT16: Final = 16


@dataclass(frozen=True, slots=True)
class DenseQueries:
    """Dense query vectors: `x` `(n, d)` float32; `width` is the bytes that one component came in."""

    x: Floats
    width: int = 4

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class SparseQueries:
    """Sparse query vectors: `(k,)` uint32 indices and `(k,)` float32 values each."""

    rows: tuple[tuple[NDArray[np.uint32], Floats], ...]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class TextQueries:
    """Texts that the database itself turns into vectors."""

    group: bytes
    count: int

    def __len__(self) -> int:
        return self.count


Queries: TypeAlias = DenseQueries | SparseQueries | TextQueries


def read_queries(group: bytes) -> Queries:
    """The queries of a serialized placeholder group.

    Raises:
        InvalidArgument: malformed, ragged, not finite, or of a kind that cannot be protected.
        UnknownField: it carries fields that the generated code here does not know.
    """
    placeholder = _only_placeholder(group)
    kind, values = placeholder.type, list(placeholder.values)
    if not values:
        raise InvalidArgument("there is no vector in the search request")
    if kind == c.PlaceholderType.SparseFloatVector:
        return SparseQueries(tuple(_sparse(value) for value in values))
    if kind == c.PlaceholderType.VarChar:
        return TextQueries(group, len(values))
    return _dense(kind, values)


def _only_placeholder(group: bytes) -> c.PlaceholderValue:
    try:
        message = c.PlaceholderGroup.FromString(group)
    except DecodeError:
        raise InvalidArgument("the placeholder group of the search request is malformed") from None
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        raise UnknownField("the placeholder group carries fields that this version of VecGuard does not know")
    require_known(message)
    if len(message.placeholders) != 1:
        raise InvalidArgument("a search request needs exactly one placeholder")
    placeholder: c.PlaceholderValue = message.placeholders[0]
    if getattr(placeholder, "element_level", False):
        raise InvalidArgument("a search of the elements of arrays is refused: arrays of vectors cannot be protected")
    return placeholder


def _dense(kind: int, values: Sequence[bytes]) -> DenseQueries:
    dtypes: dict[int, np.dtype[np.generic]] = {
        c.PlaceholderType.FloatVector: np.dtype("<f4"),
        c.PlaceholderType.Float16Vector: np.dtype("<f2"),
        c.PlaceholderType.BFloat16Vector: np.dtype("<u2"),
    }
    dtype = dtypes.get(kind)
    if dtype is None:
        raise InvalidArgument(f"search with placeholders of type {_name(kind)} cannot be protected, so it is refused")
    if len({len(value) for value in values}) != 1 or not values[0] or len(values[0]) % dtype.itemsize:
        raise InvalidArgument("the vectors of the search request are empty or differ in length")
    raw = np.frombuffer(b"".join(values), dtype).reshape(len(values), -1)
    x: Floats
    if kind == c.PlaceholderType.BFloat16Vector:
        x = (raw.astype(np.uint32) << _BITS_OF_BFLOAT16).view(np.float32)
    else:
        x = raw.astype(np.float32)
    if not np.isfinite(x).all():
        raise InvalidArgument("a vector of the search request holds a value that is not a number or infinity")
    return DenseQueries(x, dtype.itemsize)


def _sparse(value: bytes) -> tuple[NDArray[np.uint32], Floats]:
    if len(value) % _PAIR.itemsize:
        raise InvalidArgument(f"invalid data length in sparse float vector: {len(value)}")
    pairs = np.frombuffer(value, _PAIR)
    if not np.isfinite(pairs["value"]).all():
        raise InvalidArgument("a vector of the search request holds a value that is not a number or infinity")
    return pairs["index"].astype(np.uint32), pairs["value"].astype(np.float32)


def _name(kind: int) -> str:
    return c.PlaceholderType.Name(kind) if kind in c.PlaceholderType.values() else str(kind)


def write_dense(x: Floats) -> bytes:
    """The group of protected dense queries, `(n, d)` float32."""
    return _group(c.PlaceholderType.FloatVector, [row.tobytes() for row in np.ascontiguousarray(x, "<f4")])


def write_sparse(rows: Sequence[tuple[NDArray[np.uint32], Floats]]) -> bytes:
    """The group of protected sparse queries: indices and values each, in any order; Milvus wants them by index."""
    return _group(c.PlaceholderType.SparseFloatVector, [_sorted_pairs(*row) for row in rows])


def _sorted_pairs(indices: NDArray[np.uint32], values: Floats) -> bytes:
    pairs = np.empty(len(indices), _PAIR)
    order = np.argsort(indices)
    pairs["index"], pairs["value"] = indices[order], values[order]
    return pairs.tobytes()


def _group(kind: c.PlaceholderType, values: Sequence[bytes]) -> bytes:
    placeholder = c.PlaceholderValue(tag=_TAG, type=kind, values=values)
    written: bytes = c.PlaceholderGroup(placeholders=[placeholder]).SerializeToString()
    return written

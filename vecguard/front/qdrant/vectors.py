"""Vectors in Qdrant's messages: reading them as numpy arrays and writing them back in the same place.

Qdrant's `Vector` and `VectorOutput` carry a vector either in the `vector` oneof or in the deprecated fields `data`,
`indices` and `vectors_count` (points.proto). What came in one form goes back in that form. Floats are written by
`MergeFromString` of a packed field, which is some twenty times faster than `extend` (protobuf wire format, packed
repeated fields: https://protobuf.dev/programming-guides/encoding/#packed).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument

Floats: TypeAlias = NDArray[np.float32]

INFERENCE = (
    "server-side inference input ({kind}) is refused: its content would reach the vector database in clear; "
    "embed it on the client and send the vector"
)


@dataclass(frozen=True, slots=True)
class Dense:
    """One dense vector, `(d,)` float32."""

    data: Floats


@dataclass(frozen=True, slots=True)
class Multi:
    """A multivector, `(rows, d)` float32, at least one row."""

    rows: Floats


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector: `indices` `(n,)` uint32 and `values` `(n,)` float32."""

    indices: NDArray[np.uint32]
    values: Floats


AnyVector: TypeAlias = Dense | Multi | Sparse
VectorHolder: TypeAlias = q.Vector | q.VectorOutput


def _floats(values: object) -> Floats:
    return np.array(values, dtype=np.float32)


def _dense(message: q.DenseVector) -> Dense:
    """Its floats straight from its wire bytes, which takes a third of the time of reading them one by one."""
    encoded = message.SerializeToString()
    head = _packed_head(len(encoded))
    if head and encoded.startswith(head):
        # A slice and no offset: numpy copies floats that do not lie at a multiple of four, at each product anew.
        return Dense(np.frombuffer(encoded[len(head) :], "<f4"))
    return Dense(_floats(message.data))


def dense_bytes(message: q.Vector) -> bytes | None:
    """The floats of a dense vector as little-endian float32; None where it is of another kind.

    Raises:
        InvalidArgument: see `read`.
    """
    kind = message.WhichOneof("vector")
    if kind == "dense":
        encoded: bytes = message.dense.SerializeToString()
        head = _packed_head(len(encoded))
        if head and encoded.startswith(head):
            return encoded[len(head) :]
    elif kind is not None:
        return None
    vector = read(message)
    return vector.data.astype("<f4", copy=False).tobytes() if isinstance(vector, Dense) else None


@lru_cache(maxsize=256)
def _packed_head(size: int) -> bytes:
    """What comes before the floats in `size` wire bytes of nothing but packed floats in field 1; empty if none can."""
    for length in range(2, min(size, 7)):
        head = _packed_tag(size - length)
        if len(head) == length and (size - length) % 4 == 0:
            return head
    return b""


def _stack(rows: list[Floats]) -> Floats:
    if len({row.shape[0] for row in rows}) > 1:
        odd = next(row.shape[0] for row in rows if row.shape[0] != rows[0].shape[0])
        raise InvalidArgument(
            "Validation error in body: [data: all vectors must have the same dimension, "
            f"found vector with dimension {odd}]"
        )
    return np.stack(rows)


def _multi(message: q.MultiDenseVector) -> Multi:
    if not message.vectors:
        raise InvalidArgument("Validation error in body: [data: multi vector must not be empty]")
    rows = [_floats(row.data) for row in message.vectors]
    if not all(row.size for row in rows):
        raise InvalidArgument("Validation error in body: [data: all vectors must be non-empty]")
    return Multi(_stack(rows))


def _sparse(indices: object, values: object) -> Sparse:
    sparse = Sparse(np.array(indices, dtype=np.uint32), _floats(values))
    if sparse.indices.shape != sparse.values.shape:
        raise InvalidArgument("Validation error in body: [values: must be the same length as indices]")
    if np.unique(sparse.indices).size != sparse.indices.size:
        raise InvalidArgument("Validation error in body: [indices: must be unique]")
    return sparse


def check_finite(vector: AnyVector) -> None:
    """Refuse NaN, infinities, and vectors whose squared length is infinite: no score with them means anything.

    Raises:
        InvalidArgument: a component is not finite, or the squared length of a vector is not in float32.
    """
    if isinstance(vector, Dense):
        # The commonest case in one product, which is not finite whenever a component is not. Servers have numpy's
        # warnings off (`wiring.Worker`): switching them off here would cost more than the product.
        if math.isfinite(vector.data.dot(vector.data)):
            return
        data = vector.data
    else:
        data = vector.rows if isinstance(vector, Multi) else vector.values
    rows = np.atleast_2d(data)
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.einsum("nd,nd->n", rows, rows)
    if np.isfinite(squared).all():
        return
    if np.isfinite(data).all():
        raise InvalidArgument("Wrong input: the vector is too long: its squared length is infinite in float32")
    raise InvalidArgument("Wrong input: vector has components that are NaN or infinite")


def _deprecated(message: VectorHolder) -> AnyVector:
    """A vector in the deprecated fields `data`, `indices`, `vectors_count`."""
    data = _floats(message.data)
    if message.HasField("indices"):
        if message.HasField("vectors_count"):
            raise InvalidArgument(
                "Validation error in body: [indices: `indices` and `vectors_count` cannot be both specified]"
            )
        return _sparse(message.indices.data, data)
    if message.HasField("vectors_count"):
        count = message.vectors_count
        if count == 0 or data.size == 0 or data.size % count:
            raise InvalidArgument(
                "Unable to convert to multi-dense vector: Validation failed: Data length is not divisible by vectors "
                f"count. Data length: {data.size}, vectors count: {count}"
            )
        return Multi(data.reshape(count, -1))
    return Dense(data)


def read(message: VectorHolder) -> AnyVector:
    """The vector of a `Vector` or `VectorOutput`; a client's must go through `check_finite` before it is used.

    Raises:
        InvalidArgument: malformed, or an inference input.
    """
    kind = message.WhichOneof("vector")
    if kind == "dense":
        vector: AnyVector = _dense(message.dense)
    elif kind is None:
        vector = _deprecated(message)
    elif kind == "sparse":
        vector = _sparse(message.sparse.indices, message.sparse.values)
    elif kind == "multi_dense":
        vector = _multi(message.multi_dense)
    else:
        raise InvalidArgument(INFERENCE.format(kind=kind))
    return vector


def _behind(head: bytes, encoded: Sequence[bytes], dims: int) -> Floats | None:
    """The `dims` floats behind `head` in each of `encoded`, `(n, dims)` float32; None where one is anything else."""
    size = len(head) + 4 * dims
    if not encoded or not all(len(one) == size and one.startswith(head) for one in encoded):
        return None
    table = np.frombuffer(b"".join(encoded), np.uint8).reshape(len(encoded), size)
    return np.ascontiguousarray(table[:, len(head) :]).view("<f4")


@lru_cache(maxsize=64)
def _dense_heads(dims: int) -> tuple[bytes, ...]:
    """What comes before the floats in the wire bytes of an answer's vector of `dims`: in `dense`, or deprecated."""
    zeros = [0.0] * dims
    forms = q.VectorOutput(dense=q.DenseVector(data=zeros)), q.VectorOutput(data=zeros)
    return tuple(form.SerializeToString()[: -4 * dims] for form in forms)


def dense_matrix(messages: Sequence[q.VectorOutput], dims: int) -> Floats | None:
    """Dense vectors of an answer, `(n, dims)` float32; None where one is of another kind or dimension.

    Their wire bytes end in little-endian floats, which together make the matrix: a third of the cost of reading each.
    """
    encoded = [message.SerializeToString() for message in messages]
    for head in _dense_heads(dims):
        matrix = _behind(head, encoded, dims)
        if matrix is not None:
            return matrix
    vectors = [read(message) for message in messages]
    rows = [vector.data for vector in vectors if isinstance(vector, Dense) and vector.data.shape == (dims,)]
    return np.stack(rows) if len(rows) == len(vectors) > 0 else None


def read_dense(message: q.DenseVector) -> Floats:
    """A client's dense vector, `(d,)` float32.

    Raises:
        InvalidArgument: not finite.
    """
    vector = _dense(message)
    check_finite(vector)
    return vector.data


def read_input(message: q.VectorInput) -> AnyVector | q.PointId:
    """The vector, or the id of the point whose vector is meant, of a query input.

    Raises:
        InvalidArgument: empty, malformed, not finite, or an inference input.
    """
    kind = message.WhichOneof("variant")
    if kind == "id":
        point_id: q.PointId = message.id
        return point_id
    if kind == "dense":
        vector: AnyVector = _dense(message.dense)
    elif kind == "sparse":
        vector = _sparse(message.sparse.indices, message.sparse.values)
    elif kind == "multi_dense":
        vector = _multi(message.multi_dense)
    elif kind is None:
        raise InvalidArgument("VectorInput variant is missing")
    else:
        raise InvalidArgument(INFERENCE.format(kind=kind))
    check_finite(vector)
    return vector


@lru_cache(maxsize=256)
def _packed_tag(size: int) -> bytes:
    """Tag 0x0A (field 1, length-delimited) and `size` as a varint."""
    header = bytearray(b"\x0a")
    while size > 0x7F:
        header.append(size & 0x7F | 0x80)
        size >>= 7
    header.append(size)
    return bytes(header)


def packed_floats(data: Floats) -> bytes:
    """Wire bytes of a packed `repeated float` in field 1 (tag 0x0A, length varint, little-endian float32)."""
    body = data.astype("<f4", copy=False).tobytes()
    return _packed_tag(len(body)) + body


def _dense_message(data: Floats) -> q.DenseVector:
    message = q.DenseVector()
    message.MergeFromString(packed_floats(data))
    return message


def _fill_oneof(message: VectorHolder | q.VectorInput, vector: AnyVector) -> None:
    if isinstance(vector, Dense):
        message.dense.ParseFromString(packed_floats(vector.data))
    elif isinstance(vector, Multi):
        message.multi_dense.ClearField("vectors")
        message.multi_dense.vectors.extend(_dense_message(row) for row in vector.rows)
    else:
        message.sparse.Clear()
        message.sparse.MergeFromString(packed_floats(vector.values))
        message.sparse.indices.extend(vector.indices.tolist())


def write(message: VectorHolder, vector: AnyVector) -> None:
    """Put `vector` back into `message`, in the form (oneof or deprecated fields) in which it holds one now."""
    if message.WhichOneof("vector") is not None:
        _fill_oneof(message, vector)
        return
    message.ClearField("data")
    if isinstance(vector, Sparse):
        message.MergeFromString(packed_floats(vector.values))
        message.indices.ClearField("data")
        message.indices.data.extend(vector.indices.tolist())
    else:
        message.MergeFromString(packed_floats(vector.data if isinstance(vector, Dense) else vector.rows.ravel()))


@lru_cache(maxsize=64)
def _nearest_head(dims: int) -> bytes:
    """What comes before the floats in the wire bytes of a nearest query for `dims` floats."""
    zeros = q.DenseVector(data=[0.0] * dims)
    return q.Query(nearest=q.VectorInput(dense=zeros)).SerializeToString()[: -4 * dims]


def write_nearest(query: q.Query, data: Floats) -> None:
    """Make `query` the nearest query for `data` `(d,)` float32, and nothing else."""
    query.ParseFromString(_nearest_head(data.size) + data.astype("<f4", copy=False).tobytes())


def write_dense(messages: Sequence[q.Vector], rows: Floats) -> None:
    """Put each of `rows` `(n, d)` float32 into its message, in the form in which that holds a dense vector now."""
    data, width = np.ascontiguousarray(rows, "<f4").reshape(-1).view(np.uint8).data, 4 * rows.shape[1]
    head = _packed_tag(width)
    for i, message in enumerate(messages):
        if message.WhichOneof("vector") == "dense":
            message.dense.ParseFromString(b"".join((head, data[i * width : (i + 1) * width])))
        else:
            write(message, Dense(rows[i]))


@lru_cache(maxsize=64)
def _only_head(name: str, dims: int) -> bytes:
    """What comes before the floats in the wire bytes of a point's vectors that are one dense vector of `dims`."""
    vector = q.Vector(dense=q.DenseVector(data=[0.0] * dims))
    only = q.Vectors(vectors=q.NamedVectors(vectors={name: vector})) if name else q.Vectors(vector=vector)
    return only.SerializeToString()[: -4 * dims]


def read_only_dense(holders: Sequence[q.Vectors], name: str, dims: int) -> Floats | None:
    """`(n, dims)` float32 where each point has one dense vector, called `name`, and no other; else None."""
    return _behind(_only_head(name, dims), [holder.SerializeToString() for holder in holders], dims)


def write_only_dense(holders: Sequence[q.Vectors], name: str, rows: Floats) -> None:
    """Put each of `rows` `(n, d)` float32 into its point as the one dense vector that it has, called `name`."""
    head = _only_head(name, rows.shape[1])
    table = np.empty((len(rows), len(head) + 4 * rows.shape[1]), np.uint8)
    table[:, : len(head)] = np.frombuffer(head, np.uint8)
    table[:, len(head) :] = np.ascontiguousarray(rows, "<f4").view(np.uint8)
    for holder, encoded in zip(holders, table, strict=True):
        holder.ParseFromString(encoded.data)


def to_input(vector: AnyVector) -> q.VectorInput:
    """A query input that holds `vector`."""
    message = q.VectorInput()
    _fill_oneof(message, vector)
    return message


def from_legacy(message: q.Vector) -> q.VectorInput:
    """A query input with the vector of a `Vector` (used by the Recommend and Discover requests)."""
    return to_input(read(message))

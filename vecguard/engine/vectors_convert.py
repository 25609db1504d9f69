"""Vectors between protobuf and Qdrant Edge, checked before they reach the engine.

Edge applies a batch point by point and panics on a ragged multivector, so everything it could refuse is refused here
first: a batch is either applied whole or not at all. Texts are those of qdrant's `OperationError` and of the
validators in `lib/api/src/grpc/validate.rs`.

Speed: Python floats are the cost. A packed `repeated float` serialises and parses by memcpy, Edge reads an
`array('f')` about three times as fast as it reads a list of floats, and `struct` packs the list that Edge returns at
half the cost of appending it to a repeated field. The wire format of packed fields is that of
https://protobuf.dev/programming-guides/encoding/#packed.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from struct import Struct
from typing import Any

import qdrant_edge
from qdrant_client import grpc as pb

from vecguard.errors import InvalidArgument

DEFAULT_VECTOR = ""
SPARSE_MISMATCH = "Wrong input: Conversion between sparse and regular vectors failed"
MULTI_MISMATCH = "Wrong input: Conversion between multi and regular vectors failed"
INFERENCE = ("document", "image", "object")
_FIELD_1 = 0x0A  # a tag: field number 1, length-delimited

Floats = Sequence[float]
EdgeVector = Any  # array('f'), list[array('f')] or qdrant_edge.SparseVector


@dataclass(frozen=True)
class VectorSpace:
    """The vectors that a collection declares: what a vector of each name must look like.

    Attributes:
        dense: name -> parameters of dense and multivectors; the unnamed vector is "".
        sparse: name -> parameters of sparse vectors.
    """

    dense: Mapping[str, pb.VectorParams]
    sparse: Mapping[str, pb.SparseVectorParams]

    @cached_property
    def only_size(self) -> int:
        """Dimensions of the unnamed dense vector; 0 where there is none, or it is a multivector."""
        params = self.dense.get(DEFAULT_VECTOR)
        return 0 if params is None or params.HasField("multivector_config") else params.size

    def check(self, name: str, vector: EdgeVector) -> None:
        """Refuse a vector that the named vector cannot hold or be compared with.

        Raises:
            InvalidArgument: unknown name, wrong kind (dense, sparse, multi) or wrong number of dimensions.
        """
        if isinstance(vector, qdrant_edge.SparseVector):
            self._check_sparse_name(name)
            return
        params = self.dense.get(name)
        if params is None:
            if name in self.sparse:
                raise InvalidArgument(SPARSE_MISMATCH)
            raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")
        if isinstance(vector, list):
            if not params.HasField("multivector_config"):
                raise InvalidArgument(MULTI_MISMATCH)
            for row in vector:
                _check_dimension(params.size, len(row))
        else:
            _check_dimension(params.size, len(vector))

    def _check_sparse_name(self, name: str) -> None:
        if name in self.sparse:
            return
        if name in self.dense:
            raise InvalidArgument(SPARSE_MISMATCH)
        raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")

    def check_name(self, name: str) -> None:
        """Refuse a vector name that the collection does not have (InvalidArgument)."""
        if name not in self.dense and name not in self.sparse:
            raise InvalidArgument(f"Wrong input: Not existing vector name error: {name}")


def _check_dimension(expected: int, received: int) -> None:
    if expected != received:
        raise InvalidArgument(f"Wrong input: Vector dimension error: expected dim: {expected}, got {received}")


def floats(message: pb.DenseVector | pb.Vector) -> array[float]:
    """The packed floats of a message whose field 1 is `repeated float`, without a Python float per number.

    Args:
        message: `DenseVector`, or `Vector` with the deprecated `data`.
    """
    raw = message.SerializeToString()
    if not raw or raw[0] != _FIELD_1:  # fields are written by rising number, and an empty one is not
        return array("f")
    length, start, shift = raw[1] & 0x7F, 2, 7
    while raw[start - 1] & 0x80:
        length |= (raw[start] & 0x7F) << shift
        start += 1
        shift += 7
    return array("f", raw[start : start + length])


def multi_rows(multi: pb.MultiDenseVector) -> list[array[float]]:
    """The rows of a multivector, each float32.

    Raises:
        InvalidArgument: no rows, an empty row, or rows of different lengths.
    """
    rows = [floats(row) for row in multi.vectors]
    if not rows:
        raise InvalidArgument("Validation error in body: [data: multi vector must not be empty]")
    width = len(rows[0])
    for row in rows:
        if not row:
            raise InvalidArgument("Validation error in body: [data: all vectors must be non-empty]")
        if len(row) != width:
            raise InvalidArgument(
                "Validation error in body: [data: all vectors must have the same dimension, "
                f"found vector with dimension {len(row)}]"
            )
    return rows


def sparse_vector(values: Floats, indices: Sequence[int]) -> qdrant_edge.SparseVector:
    """A sparse vector.

    Raises:
        InvalidArgument: lengths differ or an index is given twice.
    """
    if len(values) != len(indices):
        raise InvalidArgument("Validation error in body: [values: must be the same length as indices]")
    if len(set(indices)) != len(indices):
        raise InvalidArgument("Validation error in body: [indices: must be unique]")
    return qdrant_edge.SparseVector(list(indices), list(values))


def edge_vector(vector: pb.Vector) -> EdgeVector:
    """A vector to be stored, in the new (`vector` oneof) or the deprecated (`data`) form.

    Raises:
        InvalidArgument: malformed, or an input for server-side inference.
    """
    kind = vector.WhichOneof("vector")
    if kind == "dense":
        return floats(vector.dense)
    if kind == "sparse":
        return sparse_vector(vector.sparse.values, vector.sparse.indices)
    if kind == "multi_dense":
        return multi_rows(vector.multi_dense)
    if kind is not None:
        raise inference_refusal(kind)
    return _deprecated_vector(vector)


def _deprecated_vector(vector: pb.Vector) -> EdgeVector:
    if vector.HasField("indices"):
        if vector.HasField("vectors_count"):
            raise InvalidArgument(
                "Validation error in body: [indices: `indices` and `vectors_count` cannot be both specified]"
            )
        return sparse_vector(vector.data, vector.indices.data)
    numbers = floats(vector)
    if not vector.HasField("vectors_count"):
        return numbers
    count = vector.vectors_count
    if not count or not len(numbers) or len(numbers) % count:
        raise InvalidArgument(
            "Unable to convert to multi-dense vector: Validation failed: Data length is not divisible by vectors "
            f"count. Data length: {len(numbers)}, vectors count: {count}"
        )
    width = len(numbers) // count
    return [numbers[start : start + width] for start in range(0, len(numbers), width)]


def inference_refusal(kind: str) -> InvalidArgument:
    """The answer to an input that would have to be embedded by the server."""
    return InvalidArgument(f"Wrong input: server-side inference is not available: send a vector, not a {kind}")


@lru_cache(maxsize=256)
def _only_head(size: int) -> bytes:
    """What comes before the floats in the wire bytes of a point's vectors that are one unnamed vector of `size`."""
    vector = pb.Vector(dense=pb.DenseVector(data=[0.0] * size))
    return pb.Vectors(vector=vector).SerializeToString()[: -4 * size]


def stored_vectors(vectors: pb.Vectors, space: VectorSpace) -> EdgeVector | dict[str, EdgeVector]:
    """The vectors of one point to be stored: one unnamed vector, or a dict by name.

    Raises:
        InvalidArgument: no vector, a sparse vector without a name, or what `VectorSpace.check` refuses.
    """
    size = space.only_size
    if size:  # as of most collections, and then of nearly all their points
        raw, head = vectors.SerializeToString(), _only_head(size)
        if len(raw) == len(head) + 4 * size and raw.startswith(head):
            return array("f", raw[len(head) :])
    form = vectors.WhichOneof("vectors_options")
    if form == "vector":
        vector = edge_vector(vectors.vector)
        if isinstance(vector, qdrant_edge.SparseVector):
            raise InvalidArgument("Sparse vector must be named")
        space.check(DEFAULT_VECTOR, vector)
        return vector
    if form is None:
        raise InvalidArgument("No Vector Provided")
    named = {name: edge_vector(vector) for name, vector in vectors.vectors.vectors.items()}
    for name, vector in named.items():
        space.check(name, vector)
    return named


def query_vector(source: pb.VectorInput) -> EdgeVector | None:
    """A query's vector, or None where the input is a point id.

    Raises:
        InvalidArgument: malformed, or an input for server-side inference.
    """
    kind = source.WhichOneof("variant")
    if kind == "dense":
        return floats(source.dense)
    if kind == "id":
        return None
    if kind == "sparse":
        return sparse_vector(source.sparse.values, source.sparse.indices)
    if kind == "multi_dense":
        return multi_rows(source.multi_dense)
    if kind is None:
        raise InvalidArgument("VectorInput variant is missing")
    raise inference_refusal(kind)


def fill_vectors(target: pb.VectorsOutput, vector: Any) -> None:
    """Write the vectors that Edge returned for a point.

    As in qdrant's `lib/api/src/conversions/vectors.rs`, only the `vector` oneof is filled, not the deprecated `data`.

    Args:
        vector: a list of floats (unnamed), a list of rows (unnamed multivector) or a dict by name.
    """
    if isinstance(vector, dict):
        named = target.vectors
        named.SetInParent()
        for name, one in vector.items():
            _fill_vector(named.vectors[name], one)
    else:
        _fill_vector(target.vector, vector)


def _fill_vector(target: pb.VectorOutput, vector: Any) -> None:
    if isinstance(vector, qdrant_edge.SparseVector):
        target.sparse.SetInParent()
        target.sparse.indices.extend(vector.indices)
        target.sparse.values.extend(vector.values)
    elif vector and isinstance(vector[0], list):
        for row in vector:
            target.multi_dense.vectors.add().MergeFromString(_packed(row))
    else:
        target.dense.MergeFromString(_packed(vector))


def _packed(numbers: list[float]) -> bytes:
    """The wire form of a message whose field 1 is `repeated float`."""
    header, layout = _packing(len(numbers))
    return header + layout.pack(*numbers)


@lru_cache(maxsize=256)
def _packing(count: int) -> tuple[bytes, Struct]:
    """Tag and length of a packed field of `count` float32, and how its numbers are laid out (little-endian)."""
    layout = Struct(f"<{count}f")
    header, size = bytearray([_FIELD_1]), layout.size
    while size > 0x7F:
        header.append(size & 0x7F | 0x80)
        size >>= 7
    header.append(size)
    return bytes(header), layout

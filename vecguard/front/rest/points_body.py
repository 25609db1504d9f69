"""The body of an upsert: many floats, read by orjson and numpy where pydantic and protobuf take them one by one.

What is not plainly one of the forms known here goes the way of every other body, through the model, which then says
what is wrong with it: nothing is accepted here that the model refuses (tests hold the two against each other).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from qdrant_client import grpc as q
from qdrant_client.http import models as m

from vecguard.front.qdrant.vectors import packed_floats
from vecguard.front.rest.conversion import Conversion, into_grpc, payload_values
from vecguard.front.rest.decoding import Body

_NUMBERS: Final = frozenset({float, int})
_POINT: Final = frozenset({"id", "vector", "payload"})
_BATCH: Final = frozenset({"ids", "vectors", "payloads"})
_SPARSE: Final = {"indices", "values"}
_LARGEST_ID: Final = 2**64 - 1
_LARGEST_INDEX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Points:
    """Points to write, and how."""

    points: Sequence[q.PointStruct]
    shard_key: q.ShardKeySelector | None = None
    update_filter: q.Filter | None = None
    update_mode: q.UpdateMode | None = None

    def options(self) -> dict[str, Any]:
        """The fields of the gRPC message beside the points."""
        return {
            "shard_key_selector": self.shard_key,
            "update_filter": self.update_filter,
            "update_mode": self.update_mode,
        }


class PointsBody(Body[Points]):
    """The body of `PUT /collections/{collection_name}/points`."""

    def __init__(self) -> None:
        super().__init__(m.PointInsertOperations)
        self._slow: Body[m.PointInsertOperations] = Body(m.PointInsertOperations)

    def read(self, raw: bytes) -> Points:
        """The points.

        Raises:
            InvalidArgument: see `Body.read`; or a payload holds a number that gRPC cannot carry.
        """
        points = quick_points(raw)
        if points is not None:
            return Points(points)
        body = self._slow.read(raw)
        with into_grpc():
            return _by_model(body)


def _by_model(body: Any) -> Points:
    return Points(
        Conversion.convert_point_insert_operation(body),
        None if body.shard_key is None else Conversion.convert_shard_key_selector(body.shard_key),
        None if body.update_filter is None else Conversion.convert_filter(body.update_filter),
        None if body.update_mode is None else Conversion.convert_update_mode(body.update_mode),
    )


def quick_points(raw: bytes) -> list[q.PointStruct] | None:
    """The points of a body that has nothing but plain points, or a plain batch; None for any other."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or len(body) != 1:
        return None
    rows = body.get("points")
    if rows is None:
        rows = _rows(body.get("batch"))
    if not isinstance(rows, list):
        return None
    points = []
    for row in rows:
        point = _point(row)
        if point is None:
            return None
        points.append(point)
    return points


def _rows(batch: object) -> list[dict[str, Any]] | None:
    """A batch's columns as rows; None for columns of different lengths or of mixed kinds."""
    if not isinstance(batch, dict) or not batch.keys() <= _BATCH:
        return None
    ids, vectors, payloads = batch.get("ids"), batch.get("vectors"), batch.get("payloads")
    if not isinstance(ids, list) or not isinstance(vectors, list) or len(ids) != len(vectors):
        return None
    if len(kinds := {_is_rows(vector) for vector in vectors}) > 1 or None in kinds:
        return None
    if payloads is None:
        return [{"id": one, "vector": vector} for one, vector in zip(ids, vectors, strict=True)]
    if not isinstance(payloads, list) or len(payloads) != len(ids) or not all(isinstance(p, dict) for p in payloads):
        return None
    columns = zip(ids, vectors, payloads, strict=True)
    return [{"id": one, "vector": vector, "payload": payload} for one, vector, payload in columns]


def _is_rows(vector: object) -> bool | None:
    """Whether a batch's vector is a multivector; None for what is no list."""
    return isinstance(vector[0], list) if isinstance(vector, list) and vector else None


def _point(row: object) -> q.PointStruct | None:
    if not isinstance(row, dict) or not row.keys() <= _POINT:
        return None
    point_id, vector, payload = row.get("id"), row.get("vector"), row.get("payload")
    if payload is None:
        point = q.PointStruct()
    elif isinstance(payload, dict):
        point = q.PointStruct(payload=payload_values(payload))
    else:
        return None
    if type(point_id) is int and 0 <= point_id <= _LARGEST_ID:
        point.id.num = point_id
    elif isinstance(point_id, str):
        point.id.uuid = point_id
    else:
        return None
    if isinstance(vector, dict):
        point.vectors.vectors.SetInParent()
        named = point.vectors.vectors.vectors
        return point if all(_put(named[name], one) for name, one in vector.items()) else None
    return point if isinstance(vector, list) and _put(point.vectors.vector, vector) else None


def _put(message: q.Vector, vector: object) -> bool:
    """Put a vector into `message`; False if it is not one of the plain forms."""
    if isinstance(vector, dict):
        return _put_sparse(message.sparse, vector)
    if not isinstance(vector, list) or not vector:
        return False
    if not isinstance(vector[0], list):
        return _put_dense(message.dense, vector)
    rows = message.multi_dense.vectors
    return all(isinstance(row, list) and _put_dense(rows.add(), row) for row in vector)


def _put_dense(message: q.DenseVector, values: list[Any]) -> bool:
    data = floats(values)
    if data is None:
        return False
    message.MergeFromString(packed_floats(data))
    return True


def _put_sparse(message: q.SparseVector, vector: Mapping[str, object]) -> bool:
    indices, values = vector.get("indices"), vector.get("values")
    if vector.keys() != _SPARSE or not isinstance(indices, list) or not isinstance(values, list) or not indices:
        return False
    data = floats(values)
    if data is None or set(map(type, indices)) != {int} or not 0 <= min(indices) <= max(indices) <= _LARGEST_INDEX:
        return False
    message.MergeFromString(packed_floats(data))
    message.indices.extend(indices)
    return True


def floats(values: list[Any]) -> NDArray[np.float32] | None:
    """JSON numbers as `(n,)` float32; None where the list is empty or holds anything else.

    What is too large for float32 becomes infinite, which is refused further on, as of a gRPC client.
    """
    if not values or not set(map(type, values)) <= _NUMBERS:
        return None
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(np.float32)

"""Vectors as a client declares them when it makes a collection, turned into records of the manifest."""

from __future__ import annotations

from typing import Final

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.manifest import VectorRecord
from vecguard.metric import Distance
from vecguard.policy.model import CollectionPolicy
from vecguard.shield import require_protectable

_DISTANCES: Final[dict[int, Distance]] = {
    q.Distance.Cosine: "cosine",
    q.Distance.Dot: "dot",
    q.Distance.Euclid: "euclid",
}
_DATATYPES: Final[dict[int, str]] = {number: name for name, number in q.Datatype.items()}
_EXACT: Final = (q.Datatype.Default, q.Datatype.Float32)


def _distance(name: str, distance: int) -> Distance:
    if distance == q.Distance.Manhattan:
        raise InvalidArgument(
            f"vector `{name}`: Manhattan distance does not survive a rotation, so it cannot be protected; "
            "use Cosine, Dot or Euclid, or say `protect: none` for the collection"
        )
    if distance not in _DISTANCES:
        raise InvalidArgument("Wrong input: distance is missing or unknown")
    return _DISTANCES[distance]


def _is_half(name: str, datatype: int) -> bool:
    if datatype in _EXACT:
        return False
    if datatype == q.Datatype.Float16:
        return True
    raise InvalidArgument(
        f"vector `{name}`: datatype {_DATATYPES.get(datatype)} cannot hold a rotated vector with noise "
        "exactly enough to recover it; use Float32 or Float16 (quantization_config may be used freely)"
    )


def dense_record(
    name: str, params: q.VectorParams | q.DenseVectorCreationConfig, policy: CollectionPolicy
) -> VectorRecord:
    """The record of a dense vector or multivector; `params` get its dimensions at rest.

    Raises:
        InvalidArgument: a distance, datatype or number of dimensions that cannot be protected.
        FailedPrecondition: no rule of the policy matches the name.
    """
    rule = policy.vector(name)
    record = VectorRecord(
        name=name,
        kind="multi" if params.HasField("multivector_config") else "dense",
        dims=params.size,
        distance=_distance(name, params.distance),
        transforms=rule.transforms,
        recover=rule.recover,
        half=_is_half(name, params.datatype if params.HasField("datatype") else q.Datatype.Default),
    )
    params.size = require_protectable(record)
    return record


def sparse_record(name: str, policy: CollectionPolicy) -> VectorRecord:
    """The record of a sparse vector: its indices are permuted, its weights kept.

    Raises:
        FailedPrecondition: no rule of the policy matches the name.
    """
    policy.vector(name)
    return VectorRecord(name=name, kind="sparse", dims=0, distance="dot", transforms=(), recover="derived")


def records(ask: q.CreateCollection, policy: CollectionPolicy) -> list[VectorRecord]:
    """Records of all vectors of a new collection.

    Raises:
        InvalidArgument, FailedPrecondition: see `dense_record`.
    """
    found = []
    kind = ask.vectors_config.WhichOneof("config")
    if kind == "params":
        found.append(dense_record("", ask.vectors_config.params, policy))
    elif kind == "params_map":
        params_map = ask.vectors_config.params_map.map
        found.extend(dense_record(name, params, policy) for name, params in params_map.items())
    found.extend(sparse_record(name, policy) for name in ask.sparse_vectors_config.map)
    return found

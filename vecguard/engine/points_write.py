"""Writes to points: from protobuf to the operation that the shard applies.

A field of the same name means the same in an RPC's request (`SetPayloadPoints`) and in the operation of a batch
(`PointsUpdateOperation.SetPayload`), so one function serves both. Texts follow qdrant's `update_common.rs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any

from qdrant_client import grpc as pb
from qdrant_edge import Filter, Point, PointVectors, UpdateMode, UpdateOperation

from vecguard.engine.filters_convert import edge_filter, json_path, optional_filter
from vecguard.engine.selectors import known, refuse_shard_keys
from vecguard.engine.values_convert import EdgeId, edge_id, edge_ids, json_object
from vecguard.engine.vectors_convert import VectorSpace, stored_vectors
from vecguard.errors import InvalidArgument

Build = Callable[[Any, VectorSpace], UpdateOperation]

_UPDATE_MODES = {
    pb.UpdateMode.Upsert: UpdateMode.Upsert,
    pb.UpdateMode.InsertOnly: UpdateMode.InsertOnly,
    pb.UpdateMode.UpdateOnly: UpdateMode.UpdateOnly,
}


def _check_not_empty(entries: Sized) -> None:
    """Qdrant refuses a write that names no points (InvalidArgument)."""
    if not entries:
        raise InvalidArgument("Bad request: Empty update request")


def upsert(request: Any, space: VectorSpace) -> UpdateOperation:
    """`UpsertPoints` or `PointStructList`: insert or replace whole points.

    Raises:
        InvalidArgument: no points, or any is malformed or does not fit the collection; then none is written.
    """
    check_upsert(request)
    return upsert_of([point(source, space) for source in request.points], request)


def check_upsert(request: Any) -> None:
    """What can be said of an upsert before its points are looked at.

    Raises:
        InvalidArgument: no points, or an unknown mode.
    """
    known(request.update_mode, pb.UpdateMode, "update_mode")
    _check_not_empty(request.points)


def upsert_of(points: list[Point], request: Any) -> UpdateOperation:
    """The upsert of points that were made by `point`."""
    mode = _UPDATE_MODES[request.update_mode] if request.HasField("update_mode") else None
    return UpdateOperation.upsert_points(points, optional_filter(request, "update_filter"), mode)


def point(source: pb.PointStruct, space: VectorSpace) -> Point:
    """One point of an upsert.

    Raises:
        InvalidArgument: malformed, or it does not fit the collection.
    """
    if not source.HasField("id"):
        raise InvalidArgument("Empty ID is not allowed")
    if not source.HasField("vectors"):
        raise InvalidArgument("Expected some vectors")
    vectors: Any = stored_vectors(source.vectors, space)
    point_id: Any = edge_id(source.id)
    return Point(point_id, vectors, json_object(source.payload) or None)


def update_vectors(request: Any, space: VectorSpace) -> UpdateOperation:
    """`UpdatePointVectors` or `UpdateVectors`: replace vectors of points, keep the rest.

    Raises:
        InvalidArgument: no entries, or any is malformed or does not fit the collection; then none is written.
    """
    _check_not_empty(request.points)
    entries = [_point_vectors(entry, space) for entry in request.points]
    return UpdateOperation.update_vectors(entries, optional_filter(request, "update_filter"))


def _point_vectors(source: pb.PointVectors, space: VectorSpace) -> PointVectors:
    if not source.HasField("id"):
        raise InvalidArgument("id is expected")
    if not source.HasField("vectors"):
        raise InvalidArgument("vectors is expected")
    vectors: Any = stored_vectors(source.vectors, space)
    point_id: Any = edge_id(source.id)
    return PointVectors(point_id, vectors)


def delete_points(request: Any, space: VectorSpace) -> UpdateOperation:
    """`DeletePoints`: by ids or filter."""
    if not request.HasField("points"):
        raise InvalidArgument("PointSelector is missing")
    return _by_selector(request.points, UpdateOperation.delete_points, UpdateOperation.delete_points_by_filter)


def delete_points_deprecated(request: pb.PointsSelector, space: VectorSpace) -> UpdateOperation:
    """The bare selector of an old batch."""
    return _by_selector(request, UpdateOperation.delete_points, UpdateOperation.delete_points_by_filter)


def delete_vectors(request: Any, space: VectorSpace) -> UpdateOperation:
    """`DeletePointVectors` or `DeleteVectors`: remove named vectors from points.

    Raises:
        InvalidArgument: no names, a name that the collection does not have, or no selector.
    """
    if not request.HasField("vectors"):
        raise InvalidArgument("vectors is expected")
    names = list(request.vectors.names)
    if not names:
        raise InvalidArgument("Validation error in body: [vector_names: must specify vector names to delete]")
    for name in names:
        space.check_name(name)
    return _by_selector(
        _points_selector(request),
        lambda ids: UpdateOperation.delete_vectors(ids, names),
        lambda condition: UpdateOperation.delete_vectors_by_filter(condition, names),
    )


def set_payload(request: Any, space: VectorSpace) -> UpdateOperation:
    """`SetPayloadPoints` or `SetPayload`: merge fields into payloads, below `key` where given."""
    payload: Any = json_object(request.payload)
    key = json_path(request.key) if request.HasField("key") else None
    return _by_selector(
        _points_selector(request),
        lambda ids: UpdateOperation.set_payload(ids, payload, key),
        lambda condition: UpdateOperation.set_payload_by_filter(condition, payload, key),
    )


def overwrite_payload(request: Any, space: VectorSpace) -> UpdateOperation:
    """`SetPayloadPoints` or `OverwritePayload`: replace whole payloads; Qdrant ignores `key` here."""
    payload: Any = json_object(request.payload)
    return _by_selector(
        _points_selector(request),
        lambda ids: UpdateOperation.overwrite_payload(ids, payload),
        lambda condition: UpdateOperation.overwrite_payload_by_filter(condition, payload),
    )


def delete_payload(request: Any, space: VectorSpace) -> UpdateOperation:
    """`DeletePayloadPoints` or `DeletePayload`: remove fields from payloads."""
    keys = [json_path(key) for key in request.keys]
    return _by_selector(
        _points_selector(request),
        lambda ids: UpdateOperation.delete_payload(ids, keys),
        lambda condition: UpdateOperation.delete_payload_by_filter(condition, keys),
    )


def clear_payload(request: Any, space: VectorSpace) -> UpdateOperation:
    """`ClearPayloadPoints` or `ClearPayload`: remove whole payloads."""
    if not request.HasField("points"):
        raise InvalidArgument("PointSelector is missing")
    return clear_payload_deprecated(request.points, space)


def clear_payload_deprecated(request: pb.PointsSelector, space: VectorSpace) -> UpdateOperation:
    """The bare selector of an old batch."""
    return _by_selector(request, UpdateOperation.clear_payload, UpdateOperation.clear_payload_by_filter)


def _points_selector(request: Any) -> pb.PointsSelector:
    if not request.HasField("points_selector"):
        raise InvalidArgument("Bad request: No filter or points provided")
    selector: pb.PointsSelector = request.points_selector
    return selector


def _by_selector(
    selector: pb.PointsSelector,
    by_ids: Callable[[list[Any]], UpdateOperation],
    by_filter: Callable[[Filter], UpdateOperation],
) -> UpdateOperation:
    kind = selector.WhichOneof("points_selector_one_of")
    if kind == "points":
        _check_not_empty(selector.points.ids)
        ids: list[EdgeId] = edge_ids(selector.points.ids)
        return by_ids(ids)
    if kind == "filter":
        return by_filter(edge_filter(selector.filter))
    raise InvalidArgument("Malformed PointsSelector type")


_BATCH: dict[str, Build] = {
    "upsert": upsert,
    "delete_deprecated": delete_points_deprecated,
    "set_payload": set_payload,
    "overwrite_payload": overwrite_payload,
    "delete_payload": delete_payload,
    "clear_payload_deprecated": clear_payload_deprecated,
    "update_vectors": update_vectors,
    "delete_vectors": delete_vectors,
    "delete_points": delete_points,
    "clear_payload": clear_payload,
}


def batch_operation(source: pb.PointsUpdateOperation, space: VectorSpace) -> UpdateOperation:
    """One operation of an `UpdateBatchPoints`.

    Raises:
        InvalidArgument: missing or malformed.
        Refused: it selects shards by key.
    """
    kind = source.WhichOneof("operation")
    if kind is None or kind not in _BATCH:
        raise InvalidArgument("Operation is missing")
    message = getattr(source, kind)
    if "shard_key_selector" in message.DESCRIPTOR.fields_by_name:
        refuse_shard_keys(message)
    return _BATCH[kind](message, space)

"""Writes of points: every vector and payload that a client sends is protected here before it goes on.

All writes but Upsert are expressed as operations of one `UpdateBatch`, so that each kind of operation has one
implementation, wherever it comes from. One operation of a client may become several (see `records` for why).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, LimitExceeded
from vecguard.fields import client_keys
from vecguard.front.qdrant import filters, records
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.labels import deleted_with, require_whole
from vecguard.front.qdrant.payloads import levels_of, point_id_bytes, protect_map, wrap
from vecguard.front.qdrant.scope import PAYLOAD, TENANT, UPDATED, WRITTEN, stored_path
from vecguard.seal.fields import fresh_nonces
from vecguard.shield import DenseShield, Shield, SparseShield
from vecguard.stages import timed

Operation: TypeAlias = q.PointsUpdateOperation
SetPayloadLike: TypeAlias = Operation.SetPayload | Operation.OverwritePayload
Entries: TypeAlias = dict[str, bytes]
# Position of the point, its message, and the bytes of the vector read from that.
_DenseBatch: TypeAlias = list[tuple[int, q.Vector, bytes]]

_NO_SELECTOR = "PointSelector is missing"
_FLOAT_BYTES = 4
_MIXED = "Wrong input: Conversion between sparse and regular vectors failed"


def _named(vectors: q.Vectors) -> Iterable[tuple[str, q.Vector]]:
    kind = vectors.WhichOneof("vectors_options")
    if kind == "vector":
        yield "", vectors.vector
    elif kind == "vectors":
        yield from vectors.vectors.vectors.items()


def protect_vectors(shield: Shield, ids: Sequence[bytes], holders: Sequence[q.Vectors]) -> list[Entries]:
    """Protect the vectors of `n` points in place; what each point's record must hold, by vector name.

    Raises:
        InvalidArgument: an unknown vector name, a wrong dimension or kind, a component that is not finite.
    """
    entries: list[Entries] = [{} for _ in ids]
    if _protect_only(shield, ids, holders, entries):
        return entries
    dense: dict[str, _DenseBatch] = {}
    for i, vectors in enumerate(holders):
        for name, message in _named(vectors):
            guard, data = shield.vector(name), wire.dense_bytes(message)
            if data is not None and isinstance(guard, DenseShield) and guard.record.kind == "dense":
                if len(data) != _FLOAT_BYTES * guard.record.dims:
                    guard.check_dims(np.frombuffer(data, "<f4"))
                dense.setdefault(name, []).append((i, message, data))
            else:
                _protect_one(guard, ids[i], name, message, wire.read(message), entries[i])
    for name, batch in dense.items():
        _protect_dense(shield.dense(name), name, ids, batch, entries)
    return entries


def _protect_only(shield: Shield, ids: Sequence[bytes], holders: Sequence[q.Vectors], entries: list[Entries]) -> bool:
    """Protect the points of a collection with one vector, a dense one: all together, as nearly every write is.

    False, and nothing is done, where it is another collection, or one of the points is not of that form.
    """
    if len(shield.vectors) != 1:
        return False
    ((name, guard),) = shield.vectors.items()
    if not isinstance(guard, DenseShield) or guard.record.kind != "dense":
        return False
    matrix = wire.read_only_dense(holders, name, guard.record.dims)
    if matrix is None:
        return False
    wire.check_finite(wire.Multi(matrix))
    stored, sealed = guard.protect(ids, matrix)
    wire.write_only_dense(holders, name, stored)
    for of_point, entry in zip(entries, sealed, strict=True):
        if entry is not None:
            of_point[name] = entry
    return True


def _protect_dense(
    guard: DenseShield, name: str, ids: Sequence[bytes], batch: _DenseBatch, entries: list[Entries]
) -> None:
    """Protect the vectors of one name in place, all together."""
    matrix = np.frombuffer(b"".join([data for _, _, data in batch]), "<f4").reshape(len(batch), -1)
    wire.check_finite(wire.Multi(matrix))
    stored, sealed = guard.protect([ids[i] for i, _, _ in batch], matrix)
    wire.write_dense([message for _, message, _ in batch], stored)
    for (i, _, _), entry in zip(batch, sealed, strict=True):
        if entry is not None:
            entries[i][name] = entry


def _protect_one(
    guard: DenseShield | SparseShield,
    point_id: bytes,
    name: str,
    message: q.Vector,
    vector: wire.AnyVector,
    entries: Entries,
) -> None:
    """Protect one sparse vector or multivector in place."""
    wire.check_finite(vector)
    if isinstance(guard, SparseShield) != isinstance(vector, wire.Sparse):
        raise InvalidArgument(_MIXED)
    if isinstance(guard, SparseShield) and isinstance(vector, wire.Sparse):
        indices, values, entry = guard.protect(point_id, vector.indices, vector.values)
        wire.write(message, wire.Sparse(indices, values))
        entries[name] = entry
        return
    assert isinstance(guard, DenseShield)  # noqa: S101 - the other kind was handled above
    if isinstance(vector, wire.Multi) and guard.record.kind == "dense":
        raise InvalidArgument("Wrong input: Conversion between multi and regular vectors failed")
    rows = vector.rows if isinstance(vector, wire.Multi) else vector.data[np.newaxis]  # type: ignore[union-attr]
    stored, sealed = guard.protect_rows(point_id, rows)
    wire.write(message, wire.Multi(stored) if isinstance(vector, wire.Multi) else wire.Dense(stored[0]))
    if sealed is not None:
        entries[name] = sealed


def check_batch(points: int, shield: Shield) -> None:
    """Raises LimitExceeded where the policy allows fewer points in one write."""
    if points > shield.limits.max_batch:
        raise LimitExceeded(f"{points} points in one write: the policy allows {shield.limits.max_batch}")


def _id_of(point: q.PointStruct | q.PointVectors) -> bytes:
    if not point.HasField("id"):
        raise InvalidArgument("Empty ID is not allowed")
    return point_id_bytes(point.id)


@timed("protect")
def protect_points(shield: Shield, points: Sequence[q.PointStruct]) -> None:
    """Protect whole points in place: vectors, payload, the record's entry beside them, and whose key they are under.

    Raises:
        InvalidArgument: see `protect_vectors`; or an id is missing or no UUID.
        LimitExceeded: more points than the policy allows in one write.
    """
    check_batch(len(points), shield)
    ids = [_id_of(point) for point in points]
    entries = protect_vectors(shield, ids, [point.vectors for point in points])
    manifest, fields, nonces = shield.manifest.short_id, shield.fields, fresh_nonces()
    written = None if shield.policy.kept is None else int(time.time())
    for point, point_id, sealed in zip(points, ids, entries, strict=True):
        payload = point.payload
        if payload:
            wrap(payload, fields, point_id, nonces)
        records.attach(payload, manifest, sealed)
        if written is not None:
            payload[WRITTEN].integer_value = written
        if shield.tenancy is not None:
            payload[TENANT].integer_value = shield.sealing


def _rewrite_selector(selector: q.PointsSelector, shield: Shield) -> None:
    if selector.WhichOneof("points_selector_one_of") == "filter":
        filters.rewrite(selector.filter, shield.fields)


def _ids_selector(point_id: q.PointId) -> q.PointsSelector:
    return q.PointsSelector(points=q.PointsIdsList(ids=[point_id]))


def _payload_place(operation: SetPayloadLike, *, whole: bool) -> tuple[tuple[str, ...], str, int]:
    """The keys that the operation's payload lies under, the stored path that it is set at, and how deep that lies."""
    if whole or not operation.HasField("key"):
        return (), PAYLOAD, 0
    return client_keys(operation.key), stored_path(operation.key), levels_of(operation.key)


def _set_payload(operation: SetPayloadLike, shield: Shield, *, whole: bool) -> list[Operation]:
    """Set (merge) a payload, or with `whole` replace it: one stored operation a point, since sealing binds the point.

    Where the points are selected by a filter their ids are not known, and the sealed values are marked as unbound.
    Overwriting ignores `key`, as Qdrant does.
    """
    if shield.fields.labels_at is not None and operation.HasField("key") and not whole:
        require_whole(operation.key, shield.fields.labels_at)
    keys, place, level = _payload_place(operation, whole=whole)
    by_ids = operation.points_selector.WhichOneof("points_selector_one_of") == "points"
    targets: Sequence[q.PointId | None] = list(operation.points_selector.points.ids) if by_ids else [None]
    check_batch(len(targets), shield)
    if not by_ids:
        _rewrite_selector(operation.points_selector, shield)
    operations = []
    for target in targets:
        one = Operation.SetPayload(payload=operation.payload)
        if target is not None:
            one.points_selector.CopyFrom(_ids_selector(target))
        elif operation.HasField("points_selector"):
            one.points_selector.CopyFrom(operation.points_selector)
        if operation.HasField("shard_key_selector"):
            one.shard_key_selector.CopyFrom(operation.shard_key_selector)
        bound = None if target is None else point_id_bytes(target)
        if whole:
            wrap(one.payload, shield.fields, bound)
        else:
            protect_map(one.payload, keys, shield.fields, bound, level)
            one.key = place
        operations.append(Operation(set_payload=one))
    return operations or [Operation(set_payload=Operation.SetPayload(points_selector=operation.points_selector))]


def _update_vectors(operation: Operation.UpdateVectors, shield: Shield) -> list[Operation]:
    """Pending entries, then the vectors, then the settled entries; `records` says why."""
    check_batch(len(operation.points), shield)
    if operation.HasField("update_filter"):
        filters.rewrite(operation.update_filter, shield.fields)
    ids = [_id_of(point) for point in operation.points]
    entries = protect_vectors(shield, ids, [point.vectors for point in operation.points])
    pending, final = [], []
    for point, sealed in zip(operation.points, entries, strict=True):
        if not sealed:
            continue
        slots = {records.pending_key(name, entry): records.encode(entry) for name, entry in sealed.items()}
        pending.append(_set_entries(operation, point.id, slots, None))
        settled = {records.settled_key(name): records.encode(entry) for name, entry in sealed.items()}
        final.append(_set_entries(operation, point.id, settled, records.still_pending([sealed])))
    return [*pending, *_vectors_of_pending(operation, entries), *final]


def _vectors_of_pending(operation: Operation.UpdateVectors, entries: Sequence[Entries]) -> list[Operation]:
    """The vectors, each written only where its new entry still stands: one operation a run of equal vector names."""
    operations = []
    numbered = zip(operation.points, entries, strict=True)
    for _, run in itertools.groupby(numbered, key=lambda pair: frozenset(pair[1])):
        points, sealed = zip(*run, strict=True)
        one = Operation.UpdateVectors(points=points)
        condition = filters.merged(_client_filter(operation), records.still_pending(sealed))
        if condition is not None:
            one.update_filter.CopyFrom(condition)
        if operation.HasField("shard_key_selector"):
            one.shard_key_selector.CopyFrom(operation.shard_key_selector)
        operations.append(Operation(update_vectors=one))
    return operations or [Operation(update_vectors=operation)]


def _client_filter(operation: Operation.UpdateVectors) -> q.Filter | None:
    return operation.update_filter if operation.HasField("update_filter") else None


def _set_entries(
    operation: Operation.UpdateVectors,
    point_id: q.PointId,
    entries: dict[str, q.Value],
    condition: q.Filter | None,
) -> Operation:
    one = Operation.SetPayload(payload=entries, key=UPDATED, points_selector=_ids_selector(point_id))
    both = filters.merged(_client_filter(operation), condition)
    if both is not None:
        only = filters.merged(filters.only_ids([point_id]), both)
        one.points_selector.filter.CopyFrom(only or q.Filter())
    if operation.HasField("shard_key_selector"):
        one.shard_key_selector.CopyFrom(operation.shard_key_selector)
    return Operation(set_payload=one)


def _delete_payload(operation: Operation.DeletePayload, shield: Shield) -> list[Operation]:
    _rewrite_selector(operation.points_selector, shield)
    labels_at = shield.fields.labels_at
    if labels_at is not None:
        operation.keys.extend([beside for key in operation.keys for beside in deleted_with(key, labels_at)])
    for i, key in enumerate(operation.keys):
        client_keys(key)
        operation.keys[i] = stored_path(key)
    return [Operation(delete_payload=operation)]


def _clear_payload(
    selector: q.PointsSelector | None, shard: q.ShardKeySelector | None, shield: Shield
) -> list[Operation]:
    if selector is None:
        raise InvalidArgument(_NO_SELECTOR)
    _rewrite_selector(selector, shield)
    one = Operation.DeletePayload(keys=[PAYLOAD], points_selector=selector)
    if shard is not None:
        one.shard_key_selector.CopyFrom(shard)
    return [Operation(delete_payload=one)]


def _upsert(operation: Operation.PointStructList, shield: Shield) -> list[Operation]:
    protect_points(shield, operation.points)
    if operation.HasField("update_filter"):
        filters.rewrite(operation.update_filter, shield.fields)
    return [Operation(upsert=operation)]


@timed("protect")
def protect_operation(operation: Operation, shield: Shield) -> list[Operation]:
    """The stored operations that a client's one operation becomes, in order; at least one.

    Raises:
        InvalidArgument: malformed, unknown, or not answerable on protected data.
        LimitExceeded: more points than the policy allows.
    """
    kind = operation.WhichOneof("operation")
    match kind:
        case "upsert":
            return _upsert(operation.upsert, shield)
        case "set_payload":
            return _set_payload(operation.set_payload, shield, whole=False)
        case "overwrite_payload":
            return _set_payload(operation.overwrite_payload, shield, whole=True)
        case "delete_payload":
            return _delete_payload(operation.delete_payload, shield)
        case "clear_payload":
            clear = operation.clear_payload
            shard = clear.shard_key_selector if clear.HasField("shard_key_selector") else None
            return _clear_payload(clear.points if clear.HasField("points") else None, shard, shield)
        case "clear_payload_deprecated":
            return _clear_payload(operation.clear_payload_deprecated, None, shield)
        case "update_vectors":
            return _update_vectors(operation.update_vectors, shield)
        case "delete_vectors":
            _rewrite_selector(operation.delete_vectors.points_selector, shield)
        case "delete_points":
            _rewrite_selector(operation.delete_points.points, shield)
        case "delete_deprecated":
            _rewrite_selector(operation.delete_deprecated, shield)
        case _:
            raise InvalidArgument("Operation is missing")
    return [operation]

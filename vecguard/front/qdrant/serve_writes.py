"""Serving Qdrant's write RPCs: open the collection, protect the operations, send them, answer as Qdrant would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.front.qdrant import filters, tenants
from vecguard.front.qdrant.writes import Operation, protect_operation, protect_points
from vecguard.pipeline import Session

OneWrite: TypeAlias = (
    q.DeletePoints
    | q.UpdatePointVectors
    | q.DeletePointVectors
    | q.SetPayloadPoints
    | q.DeletePayloadPoints
    | q.ClearPayloadPoints
)


async def upsert(ask: q.UpsertPoints, session: Session) -> q.PointsOperationResponse:
    """`Points/Upsert`."""
    entry = await session.open(ask.collection_name, "write")
    if entry.shield is not None:
        if entry.shield.tenancy is not None:
            await tenants.protect_whole(session, entry, ask.points)
        else:
            protect_points(entry.shield, ask.points)
        if ask.HasField("update_filter"):
            filters.rewrite(ask.update_filter, entry.shield.fields)
    return await session.call("/qdrant.Points/Upsert", ask, q.PointsOperationResponse)


async def update_batch(ask: q.UpdateBatchPoints, session: Session) -> q.UpdateBatchResponse:
    """`Points/UpdateBatch`: one result for each operation of the client's, that of the last stored one."""
    entry = await session.open(ask.collection_name, "write")
    if entry.shield is None:
        return await session.call("/qdrant.Points/UpdateBatch", ask, q.UpdateBatchResponse)
    stored, last = await _protected(ask.operations, session, entry)
    del ask.operations[:]
    ask.operations.extend(stored)
    answer = await session.call("/qdrant.Points/UpdateBatch", ask, q.UpdateBatchResponse)
    results = [answer.result[i] for i in last]
    kept = q.UpdateBatchResponse(result=results, time=answer.time)
    if answer.HasField("usage"):
        kept.usage.CopyFrom(answer.usage)
    return kept


async def _protected(
    operations: Sequence[Operation], session: Session, entry: Entry
) -> tuple[list[Operation], list[int]]:
    """Stored operations, and for each of the client's the position of its last one."""
    stored: list[Operation] = []
    last: list[int] = []
    assert entry.shield is not None  # noqa: S101 - asked before
    batch = None if entry.shield.tenancy is None else tenants.Batch(session, entry)
    for operation in operations:
        more = protect_operation(operation, entry.shield) if batch is None else await batch.stored(operation)
        stored.extend(more)
        last.append(len(stored) - 1)
    return stored, last


def _as_operation(ask: OneWrite, rpc: str) -> Operation:
    """The batch operation that says the same as a single write RPC."""
    operation = Operation()
    shard = ask.shard_key_selector if ask.HasField("shard_key_selector") else None
    if isinstance(ask, q.DeletePoints):
        operation.delete_points.SetInParent()
        if ask.HasField("points"):
            operation.delete_points.points.CopyFrom(ask.points)
    elif isinstance(ask, q.ClearPayloadPoints):
        operation.clear_payload.SetInParent()
        if ask.HasField("points"):
            operation.clear_payload.points.CopyFrom(ask.points)
    elif isinstance(ask, q.DeletePayloadPoints):
        operation.delete_payload.keys.extend(ask.keys)
        operation.delete_payload.SetInParent()
        if ask.HasField("points_selector"):
            operation.delete_payload.points_selector.CopyFrom(ask.points_selector)
    elif isinstance(ask, q.DeletePointVectors):
        if ask.HasField("points_selector"):
            operation.delete_vectors.points_selector.CopyFrom(ask.points_selector)
        operation.delete_vectors.vectors.CopyFrom(ask.vectors)
    elif isinstance(ask, q.UpdatePointVectors):
        operation.update_vectors.points.extend(ask.points)
        if ask.HasField("update_filter"):
            operation.update_vectors.update_filter.CopyFrom(ask.update_filter)
    else:
        _copy_set_payload(
            ask, operation.overwrite_payload if rpc.endswith("/OverwritePayload") else operation.set_payload
        )
    if shard is not None:
        getattr(operation, operation.WhichOneof("operation") or "").shard_key_selector.CopyFrom(shard)
    return operation


def _copy_set_payload(ask: q.SetPayloadPoints, target: Operation.SetPayload | Operation.OverwritePayload) -> None:
    target.SetInParent()
    for key in ask.payload:
        target.payload[key].CopyFrom(ask.payload[key])
    if ask.HasField("points_selector"):
        target.points_selector.CopyFrom(ask.points_selector)
    if ask.HasField("key"):
        target.key = ask.key


async def single(ask: OneWrite, session: Session, rpc: str) -> q.PointsOperationResponse:
    """Every other write RPC of `qdrant.Points`, sent as a batch of its stored operations."""
    entry = await session.open(ask.collection_name, "write")
    if entry.shield is None and not session.mandatory:
        return await session.call(rpc, ask, q.PointsOperationResponse)
    operation = _as_operation(ask, rpc)
    stored = [operation] if entry.shield is None else (await _protected([operation], session, entry))[0]
    batch = q.UpdateBatchPoints(collection_name=ask.collection_name, operations=stored)
    if ask.HasField("wait"):
        batch.wait = ask.wait
    if ask.HasField("ordering"):
        batch.ordering.CopyFrom(ask.ordering)
    if ask.HasField("timeout"):
        batch.timeout = ask.timeout
    answer = await session.call("/qdrant.Points/UpdateBatch", batch, q.UpdateBatchResponse)
    kept = q.PointsOperationResponse(result=answer.result[-1], time=answer.time)
    if answer.HasField("usage"):
        kept.usage.CopyFrom(answer.usage)
    return kept

"""`qdrant.Snapshots` over the store."""

from __future__ import annotations

import time
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as qdrant

from vecguard.engine.snapshots import Snapshot, Snapshots
from vecguard.engine.store import Store

_Context = grpc.aio.ServicerContext[Any, Any]


class SnapshotsService(qdrant.SnapshotsServicer):
    """Snapshots of one collection and of all."""

    def __init__(self, store: Store) -> None:
        self._snapshots = Snapshots(store)

    async def Create(self, request: qdrant.CreateSnapshotRequest, context: _Context) -> qdrant.CreateSnapshotResponse:
        """Snapshot a collection."""
        started = time.perf_counter()
        made = await self._snapshots.create(request.collection_name)
        return qdrant.CreateSnapshotResponse(snapshot_description=_description(made), time=_since(started))

    async def List(self, request: qdrant.ListSnapshotsRequest, context: _Context) -> qdrant.ListSnapshotsResponse:
        """The snapshots of a collection."""
        started = time.perf_counter()
        found = [_description(snapshot) for snapshot in self._snapshots.of(request.collection_name)]
        return qdrant.ListSnapshotsResponse(snapshot_descriptions=found, time=_since(started))

    async def Delete(self, request: qdrant.DeleteSnapshotRequest, context: _Context) -> qdrant.DeleteSnapshotResponse:
        """Delete a collection's snapshot."""
        started = time.perf_counter()
        self._snapshots.delete(request.collection_name, request.snapshot_name)
        return qdrant.DeleteSnapshotResponse(time=_since(started))

    async def CreateFull(
        self, request: qdrant.CreateFullSnapshotRequest, context: _Context
    ) -> qdrant.CreateSnapshotResponse:
        """Snapshot everything."""
        started = time.perf_counter()
        made = await self._snapshots.create_full()
        return qdrant.CreateSnapshotResponse(snapshot_description=_description(made), time=_since(started))

    async def ListFull(
        self, request: qdrant.ListFullSnapshotsRequest, context: _Context
    ) -> qdrant.ListSnapshotsResponse:
        """The full snapshots."""
        started = time.perf_counter()
        found = [_description(snapshot) for snapshot in self._snapshots.full()]
        return qdrant.ListSnapshotsResponse(snapshot_descriptions=found, time=_since(started))

    async def DeleteFull(
        self, request: qdrant.DeleteFullSnapshotRequest, context: _Context
    ) -> qdrant.DeleteSnapshotResponse:
        """Delete a full snapshot."""
        started = time.perf_counter()
        self._snapshots.delete_full(request.snapshot_name)
        return qdrant.DeleteSnapshotResponse(time=_since(started))


def _description(snapshot: Snapshot) -> qdrant.SnapshotDescription:
    created_at = Timestamp()
    created_at.FromMicroseconds(int(snapshot.created_at * 1e6))
    return qdrant.SnapshotDescription(
        name=snapshot.name, creation_time=created_at, size=snapshot.size, checksum=snapshot.checksum
    )


def _since(started: float) -> float:
    return time.perf_counter() - started

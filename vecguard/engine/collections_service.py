"""`qdrant.Collections` over the store."""

from __future__ import annotations

import time
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as qdrant

from vecguard.engine.collection import Collection
from vecguard.engine.config_validate import check_timeout
from vecguard.engine.payload_schema import payload_schema_of
from vecguard.engine.store import Store
from vecguard.errors import InvalidArgument

# A single node: one peer, one shard.
PEER_ID = 1
_NO_CLUSTER = "Bad request: Distributed mode disabled"

_Context = grpc.aio.ServicerContext[Any, Any]


class CollectionsService(qdrant.CollectionsServicer):
    """Collections, aliases and what there is of a cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def Get(
        self, request: qdrant.GetCollectionInfoRequest, context: _Context
    ) -> qdrant.GetCollectionInfoResponse:
        """Configuration, payload schema, counts and status."""
        started = time.perf_counter()
        info = self._collection_info(self._store.collection(request.collection_name))
        return qdrant.GetCollectionInfoResponse(result=info, time=_since(started))

    async def List(self, request: qdrant.ListCollectionsRequest, context: _Context) -> qdrant.ListCollectionsResponse:
        """The names of all collections."""
        started = time.perf_counter()
        names = [qdrant.CollectionDescription(name=name) for name in self._store.names()]
        return qdrant.ListCollectionsResponse(collections=names, time=_since(started))

    async def Create(self, request: qdrant.CreateCollection, context: _Context) -> qdrant.CollectionOperationResponse:
        """Create a collection."""
        started = time.perf_counter()
        await self._store.create(request)
        return qdrant.CollectionOperationResponse(result=True, time=_since(started))

    async def Update(self, request: qdrant.UpdateCollection, context: _Context) -> qdrant.CollectionOperationResponse:
        """Change a collection's configuration."""
        started = time.perf_counter()
        await self._store.update(request)
        return qdrant.CollectionOperationResponse(result=True, time=_since(started))

    async def Delete(self, request: qdrant.DeleteCollection, context: _Context) -> qdrant.CollectionOperationResponse:
        """Delete a collection; the result says whether there was one."""
        started = time.perf_counter()
        check_timeout(request)
        deleted = await self._store.delete(request.collection_name)
        return qdrant.CollectionOperationResponse(result=deleted, time=_since(started))

    async def CollectionExists(
        self, request: qdrant.CollectionExistsRequest, context: _Context
    ) -> qdrant.CollectionExistsResponse:
        """Whether a collection or alias has that name."""
        started = time.perf_counter()
        found = qdrant.CollectionExists(exists=self._store.exists(request.collection_name))
        return qdrant.CollectionExistsResponse(result=found, time=_since(started))

    async def UpdateAliases(
        self, request: qdrant.ChangeAliases, context: _Context
    ) -> qdrant.CollectionOperationResponse:
        """Apply alias changes, all or none."""
        started = time.perf_counter()
        check_timeout(request)
        await self._store.change_aliases(request.actions)
        return qdrant.CollectionOperationResponse(result=True, time=_since(started))

    async def ListAliases(self, request: qdrant.ListAliasesRequest, context: _Context) -> qdrant.ListAliasesResponse:
        """All aliases."""
        started = time.perf_counter()
        return _aliases_response(self._store.aliases(), started)

    async def ListCollectionAliases(
        self, request: qdrant.ListCollectionAliasesRequest, context: _Context
    ) -> qdrant.ListAliasesResponse:
        """The aliases of one collection."""
        started = time.perf_counter()
        name = self._store.collection(request.collection_name).name
        return _aliases_response(self._store.aliases(name), started)

    async def CollectionClusterInfo(
        self, request: qdrant.CollectionClusterInfoRequest, context: _Context
    ) -> qdrant.CollectionClusterInfoResponse:
        """One peer with one active shard."""
        started = time.perf_counter()
        points = self._store.collection(request.collection_name).info().points_count
        shard = qdrant.LocalShardInfo(shard_id=0, points_count=points, state=qdrant.ReplicaState.Active)
        return qdrant.CollectionClusterInfoResponse(
            peer_id=PEER_ID, shard_count=1, local_shards=[shard], time=_since(started)
        )

    async def UpdateCollectionClusterSetup(
        self, request: qdrant.UpdateCollectionClusterSetupRequest, context: _Context
    ) -> qdrant.UpdateCollectionClusterSetupResponse:
        """Refused, as on any single Qdrant node."""
        raise InvalidArgument(_NO_CLUSTER)

    async def CreateShardKey(
        self, request: qdrant.CreateShardKeyRequest, context: _Context
    ) -> qdrant.CreateShardKeyResponse:
        """Refused, as on any single Qdrant node."""
        raise InvalidArgument(_NO_CLUSTER)

    async def DeleteShardKey(
        self, request: qdrant.DeleteShardKeyRequest, context: _Context
    ) -> qdrant.DeleteShardKeyResponse:
        """Refused, as on any single Qdrant node."""
        raise InvalidArgument(_NO_CLUSTER)

    async def ListShardKeys(
        self, request: qdrant.ListShardKeysRequest, context: _Context
    ) -> qdrant.ListShardKeysResponse:
        """None: shards are never keyed here."""
        started = time.perf_counter()
        self._store.collection(request.collection_name)
        return qdrant.ListShardKeysResponse(time=_since(started))

    def _collection_info(self, collection: Collection) -> qdrant.CollectionInfo:
        counts = collection.info()
        created_at = Timestamp()
        created_at.FromMicroseconds(int(collection.created_at * 1e6))
        return qdrant.CollectionInfo(
            status=self._status(collection),
            optimizer_status=qdrant.OptimizerStatus(ok=not collection.build_error, error=collection.build_error),
            segments_count=counts.segments_count,
            config=collection.config,
            payload_schema=payload_schema_of(counts.payload_schema),
            points_count=counts.points_count,
            indexed_vectors_count=counts.indexed_vectors_count,
            update_queue=qdrant.UpdateQueueInfo(length=0),
            created_at=created_at,
        )

    def _status(self, collection: Collection) -> qdrant.CollectionStatus.ValueType:
        if collection.build_error:
            return qdrant.CollectionStatus.Red
        if collection.building or self._store.maintenance(collection.name).index_wanted():
            return qdrant.CollectionStatus.Yellow
        return qdrant.CollectionStatus.Green


def _aliases_response(aliases: dict[str, str], started: float) -> qdrant.ListAliasesResponse:
    described = [qdrant.AliasDescription(alias_name=alias, collection_name=target) for alias, target in aliases.items()]
    return qdrant.ListAliasesResponse(aliases=described, time=_since(started))


def _since(started: float) -> float:
    return time.perf_counter() - started

"""The table of Qdrant's gRPC API: every RPC of the pinned client, and how it is handled. What is not here is refused.

*protected*: its message is rewritten here, both ways. *passed*: it carries no vector, payload or filter.
*admin*: passed, for principals with the admin action only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, UpstreamFailure
from vecguard.front.qdrant import (
    serve_collections,
    serve_names,
    serve_queries,
    serve_reads,
    serve_writes,
    translation,
)
from vecguard.front.qdrant.scope import client_text
from vecguard.model import Action
from vecguard.pipeline import AnyRoute, Route, Session

Ask = TypeVar("Ask", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Serve = Callable[[Any, Session], Awaitable[Any]]


def _protected(
    rpc: str, ask: type[Ask], reply: type[Reply], action: Action, serve: Serve, about: str
) -> Route[Ask, Reply]:
    async def in_clients_words(message: Ask, session: Session) -> Reply:
        try:
            answer: Reply = await serve(message, session.translated(translation))
        except UpstreamFailure as failure:
            raise UpstreamFailure(failure.status, client_text(str(failure)), failure.trailing) from None
        return answer

    return Route(rpc, ask, reply, "protected", action, about, in_clients_words)


def _passed(rpc: str, ask: type[Ask], reply: type[Reply], action: Action, about: str) -> Route[Ask, Reply]:
    async def serve(message: Ask, session: Session) -> Reply:
        name: str | None = getattr(message, "collection_name", None)
        if name is None:
            session.grant(action, None)
            await serve_names.heed_all(session)  # full snapshots: no other message that passes names no collection
        else:
            await session.grant_named(action, name)
        return await session.call(rpc, message, reply)

    return Route(rpc, ask, reply, "admin" if action == "admin" else "passed", action, about, serve)


def _one_write(name: str, ask: type[Ask], about: str) -> Route[Ask, q.PointsOperationResponse]:
    rpc = f"/qdrant.Points/{name}"
    serve = partial(serve_writes.single, rpc=rpc)
    return _protected(rpc, ask, q.PointsOperationResponse, "write", serve, about)


async def _cluster_setup(
    ask: q.UpdateCollectionClusterSetupRequest, session: Session
) -> q.UpdateCollectionClusterSetupResponse:
    """Moves and copies of shards carry no data of clients, but a copy by filter would carry the filter's values."""
    if ask.replicate_points.HasField("filter"):
        raise InvalidArgument("replicate_points with a filter is refused: the filter's values would travel in clear")
    await session.grant_named("admin", ask.collection_name)
    rpc = "/qdrant.Collections/UpdateCollectionClusterSetup"
    return await session.call(rpc, ask, q.UpdateCollectionClusterSetupResponse)


async def _health(ask: q.HealthCheckRequest, session: Session) -> q.HealthCheckReply:
    """As in Qdrant, no credential is asked for: probes have none."""
    return await session.call(_HEALTH, ask, q.HealthCheckReply)


_HEALTH: Final = "/qdrant.Qdrant/HealthCheck"
_P: Final = "/qdrant.Points/"
_C: Final = "/qdrant.Collections/"
_S: Final = "/qdrant.Snapshots/"
_VECTORS_AND_PAYLOAD: Final = "vectors and payload protected, filters rewritten"
_OPENED: Final = "filters rewritten; vectors and payload opened"
_RANKED: Final = "query protected; candidates opened and scored exactly"

_ROUTES: Final[tuple[AnyRoute, ...]] = (
    _protected(
        f"{_P}Upsert", q.UpsertPoints, q.PointsOperationResponse, "write", serve_writes.upsert, _VECTORS_AND_PAYLOAD
    ),
    _protected(
        f"{_P}UpdateBatch",
        q.UpdateBatchPoints,
        q.UpdateBatchResponse,
        "write",
        serve_writes.update_batch,
        _VECTORS_AND_PAYLOAD,
    ),
    _one_write("Delete", q.DeletePoints, "filter rewritten"),
    _one_write("UpdateVectors", q.UpdatePointVectors, "vectors protected, with their entries around them"),
    _one_write("DeleteVectors", q.DeletePointVectors, "filter rewritten"),
    _one_write("SetPayload", q.SetPayloadPoints, "payload protected, filter rewritten"),
    _one_write("OverwritePayload", q.SetPayloadPoints, "payload protected, filter rewritten"),
    _one_write("DeletePayload", q.DeletePayloadPoints, "paths and filter rewritten"),
    _one_write("ClearPayload", q.ClearPayloadPoints, "filter rewritten; the record's entry stays"),
    _protected(
        f"{_P}CreateFieldIndex",
        q.CreateFieldIndexCollection,
        q.PointsOperationResponse,
        "write",
        serve_collections.create_index,
        "path rewritten; searchable, range and tokens fields get a keyword index, sealed ones are refused",
    ),
    _protected(
        f"{_P}DeleteFieldIndex",
        q.DeleteFieldIndexCollection,
        q.PointsOperationResponse,
        "write",
        serve_collections.delete_index,
        "path rewritten",
    ),
    _protected(
        f"{_P}CreateVectorName",
        q.CreateVectorNameRequest,
        q.PointsOperationResponse,
        "write",
        serve_collections.create_vector_name,
        "recorded in the manifest",
    ),
    _protected(
        f"{_P}DeleteVectorName",
        q.DeleteVectorNameRequest,
        q.PointsOperationResponse,
        "write",
        serve_collections.delete_vector_name,
        "removed from the manifest",
    ),
    _protected(f"{_P}Get", q.GetPoints, q.GetResponse, "read", serve_reads.get, _OPENED),
    _protected(f"{_P}Scroll", q.ScrollPoints, q.ScrollResponse, "read", serve_reads.scroll, _OPENED),
    _protected(f"{_P}Count", q.CountPoints, q.CountResponse, "read", serve_reads.count, "filter rewritten"),
    _protected(
        f"{_P}Facet", q.FacetCounts, q.FacetResponse, "read", serve_reads.facet, "values of searchable fields opened"
    ),
    _protected(f"{_P}Query", q.QueryPoints, q.QueryResponse, "read", serve_queries.query, _RANKED),
    _protected(f"{_P}QueryBatch", q.QueryBatchPoints, q.QueryBatchResponse, "read", serve_queries.query_batch, _RANKED),
    _protected(
        f"{_P}QueryGroups", q.QueryPointGroups, q.QueryGroupsResponse, "read", serve_queries.query_groups, _RANKED
    ),
    _protected(f"{_P}Search", q.SearchPoints, q.SearchResponse, "read", serve_queries.search, _RANKED),
    _protected(
        f"{_P}SearchBatch", q.SearchBatchPoints, q.SearchBatchResponse, "read", serve_queries.search_batch, _RANKED
    ),
    _protected(
        f"{_P}SearchGroups", q.SearchPointGroups, q.SearchGroupsResponse, "read", serve_queries.search_groups, _RANKED
    ),
    _protected(f"{_P}Recommend", q.RecommendPoints, q.RecommendResponse, "read", serve_queries.recommend, _RANKED),
    _protected(
        f"{_P}RecommendBatch",
        q.RecommendBatchPoints,
        q.RecommendBatchResponse,
        "read",
        serve_queries.recommend_batch,
        _RANKED,
    ),
    _protected(
        f"{_P}RecommendGroups",
        q.RecommendPointGroups,
        q.RecommendGroupsResponse,
        "read",
        serve_queries.recommend_groups,
        _RANKED,
    ),
    _protected(f"{_P}Discover", q.DiscoverPoints, q.DiscoverResponse, "read", serve_queries.discover, _RANKED),
    _protected(
        f"{_P}DiscoverBatch",
        q.DiscoverBatchPoints,
        q.DiscoverBatchResponse,
        "read",
        serve_queries.discover_batch,
        _RANKED,
    ),
    _protected(
        f"{_P}SearchMatrixPairs",
        q.SearchMatrixPoints,
        q.SearchMatrixPairsResponse,
        "read",
        serve_queries.matrix_pairs,
        "sample opened, distances computed exactly",
    ),
    _protected(
        f"{_P}SearchMatrixOffsets",
        q.SearchMatrixPoints,
        q.SearchMatrixOffsetsResponse,
        "read",
        serve_queries.matrix_offsets,
        "sample opened, distances computed exactly",
    ),
    _protected(
        f"{_C}Create",
        q.CreateCollection,
        q.CollectionOperationResponse,
        "write",
        serve_collections.create,
        "manifest made; client metadata sealed",
    ),
    _protected(
        f"{_C}Update",
        q.UpdateCollection,
        q.CollectionOperationResponse,
        "write",
        serve_collections.update,
        "client metadata sealed",
    ),
    _protected(
        f"{_C}Delete",
        q.DeleteCollection,
        q.CollectionOperationResponse,
        "write",
        serve_collections.delete,
        "forgotten by every worker",
    ),
    _protected(
        f"{_C}Get",
        q.GetCollectionInfoRequest,
        q.GetCollectionInfoResponse,
        "read",
        serve_collections.info,
        "shown as the client made it",
    ),
    _protected(
        f"{_C}UpdateAliases",
        q.ChangeAliases,
        q.CollectionOperationResponse,
        "write",
        serve_collections.update_aliases,
        "granted by the collection named",
    ),
    _protected(
        f"{_C}List",
        q.ListCollectionsRequest,
        q.ListCollectionsResponse,
        "read",
        serve_names.collections,
        "names that the caller may read",
    ),
    _passed(f"{_C}CollectionExists", q.CollectionExistsRequest, q.CollectionExistsResponse, "read", "a name only"),
    _protected(
        f"{_C}ListAliases",
        q.ListAliasesRequest,
        q.ListAliasesResponse,
        "read",
        serve_names.aliases,
        "aliases that the caller may read, of collections that it may read",
    ),
    _protected(
        f"{_C}ListCollectionAliases",
        q.ListCollectionAliasesRequest,
        q.ListAliasesResponse,
        "read",
        serve_names.collection_aliases,
        "aliases that the caller may read",
    ),
    _passed(
        f"{_C}CollectionClusterInfo",
        q.CollectionClusterInfoRequest,
        q.CollectionClusterInfoResponse,
        "read",
        "shard numbers and states only",
    ),
    _passed(f"{_C}ListShardKeys", q.ListShardKeysRequest, q.ListShardKeysResponse, "read", "shard keys only"),
    _passed(f"{_C}CreateShardKey", q.CreateShardKeyRequest, q.CreateShardKeyResponse, "admin", "cluster layout"),
    _passed(f"{_C}DeleteShardKey", q.DeleteShardKeyRequest, q.DeleteShardKeyResponse, "admin", "drops a shard's data"),
    Route(
        f"{_C}UpdateCollectionClusterSetup",
        q.UpdateCollectionClusterSetupRequest,
        q.UpdateCollectionClusterSetupResponse,
        "admin",
        "admin",
        "cluster layout; copies by filter are refused",
        _cluster_setup,
    ),
    _passed(f"{_S}Create", q.CreateSnapshotRequest, q.CreateSnapshotResponse, "admin", "a copy of protected data"),
    _passed(f"{_S}List", q.ListSnapshotsRequest, q.ListSnapshotsResponse, "admin", "names and sizes"),
    _passed(f"{_S}Delete", q.DeleteSnapshotRequest, q.DeleteSnapshotResponse, "admin", "removes a copy"),
    _passed(
        f"{_S}CreateFull", q.CreateFullSnapshotRequest, q.CreateSnapshotResponse, "admin", "a copy of protected data"
    ),
    _passed(f"{_S}ListFull", q.ListFullSnapshotsRequest, q.ListSnapshotsResponse, "admin", "names and sizes"),
    _passed(f"{_S}DeleteFull", q.DeleteFullSnapshotRequest, q.DeleteSnapshotResponse, "admin", "removes a copy"),
    Route(
        _HEALTH,
        q.HealthCheckRequest,
        q.HealthCheckReply,
        "passed",
        "read",
        "title and version, to anybody",
        _health,
        is_open=True,
    ),
)

ROUTES: Final[dict[str, AnyRoute]] = {route.rpc: route for route in _ROUTES}

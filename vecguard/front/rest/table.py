"""The table of Qdrant's REST API: every endpoint of its OpenAPI document, and how it is handled.

An endpoint becomes a call of the gRPC RPC that is named for it, and is handled as that is
(`vecguard/front/qdrant/table.py`): one set of rules for both. What gRPC has no RPC for is refused with the reason.
A path that is not here is not found (404).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from qdrant_client import grpc as q
from qdrant_client.http import models as m

from vecguard.front.rest import answers as to
from vecguard.front.rest import ask_collections as collections
from vecguard.front.rest import ask_points as points
from vecguard.front.rest import ask_queries as queries
from vecguard.front.rest import old_models as old
from vecguard.front.rest import snapshot_files as files
from vecguard.front.rest.decoding import Body
from vecguard.front.rest.endpoint import READ, WRITE, Alive, AnyEndpoint, Endpoint, Refused, Request, Transfer
from vecguard.front.rest.points_body import PointsBody

_C: Final = "/collections/{collection_name}"
_P: Final = f"{_C}/points"
_S: Final = f"{_C}/shards/{{shard_id}}/snapshots"
_OLD: Final = "of older servers and clients"
_ONE_SELECTOR: Final = "`points` with `filter` is refused: one gRPC message has one selector"
_LOCKS: Final = "write locks are not to be had over gRPC"
_FILES: Final = "from the embedded engine only (501 from others): protected as at rest"
_UPLOAD: Final = f"{_FILES}; makes a new collection (409 where there is one), under the name that it had"
_RECOVER: Final = "refused: addresses that a client names are not fetched (400), nor collections replaced in use (501)"
_SHARDS: Final = "gRPC has no snapshots of single shards"
_PEERS: Final = "peers of a cluster are not managed over gRPC: ask the database itself"
_WAIT: Final = ("wait",)
_TIMEOUT: Final = ("timeout",)


def _named(ask: type[Any]) -> Callable[[Request], Any]:
    """A request that says nothing but the collection's name."""
    return lambda request: ask(collection_name=request.collection)


def _empty(ask: type[Any]) -> Callable[[Request], Any]:
    return lambda request: ask()


def _points(
    method: str,
    path: str,
    rpc: str,
    reply: type[Any],
    ask: Callable[[Request], Any],
    answer: Callable[[Any, Request], Any],
    query: tuple[str, ...],
    model: Any,
    about: str = "",
) -> Endpoint:
    body = model if isinstance(model, Body) or model is None else Body(model)
    return Endpoint(method, f"{_C}{path}", f"/qdrant.Points/{rpc}", reply, ask, answer, query, body, about)


def _write(method: str, path: str, rpc: str, ask: Callable[[Request], Any], model: Any, about: str = "") -> Endpoint:
    return _points(method, path, rpc, q.PointsOperationResponse, ask, to.updated, WRITE, model, about)


def _read(
    path: str,
    rpc: str,
    reply: type[Any],
    ask: Callable[[Request], Any],
    answer: Callable[[Any, Request], Any],
    model: Any,
    about: str = "",
) -> Endpoint:
    return _points("POST", path, rpc, reply, ask, answer, READ, model, about)


def _collection(
    method: str,
    path: str,
    rpc: str,
    reply: type[Any],
    ask: Callable[[Request], Any],
    answer: Callable[[Any, Request], Any],
    query: tuple[str, ...] = (),
    model: Any = None,
    about: str = "",
) -> Endpoint:
    body = None if model is None else Body[Any](model)
    return Endpoint(method, path, f"/qdrant.Collections/{rpc}", reply, ask, answer, query, body, about)


def _snapshots(
    method: str, path: str, rpc: str, reply: type[Any], ask: Callable[[Request], Any], answer: Any, *, wait: bool = True
) -> Endpoint:
    return Endpoint(method, path, f"/qdrant.Snapshots/{rpc}", reply, ask, answer, _WAIT if wait else ())


def _health(path: str, answer: Any, about: str = "") -> Endpoint:
    ask = _empty(q.HealthCheckRequest)
    return Endpoint("GET", path, "/qdrant.Qdrant/HealthCheck", q.HealthCheckReply, ask, answer, about=about)


_SERVICE: Final[tuple[AnyEndpoint, ...]] = (
    _health("/", to.version, "of the database behind"),
    _health("/healthz", to.healthy("healthz check passed"), "asks the database"),
    Alive("GET", "/livez", "healthz check passed", "this process answers; the database is not asked"),
    _health("/readyz", to.healthy("all shards are ready"), "asks the database; it may know of shards that lag"),
    Refused("GET", "/telemetry", "the database's own telemetry is not to be had over gRPC, and VecGuard collects none"),
    Refused("GET", "/metrics", "VecGuard's own metrics come later; the database's are its own"),
    Refused("GET", "/locks", _LOCKS),
    Refused("POST", "/locks", _LOCKS),
    Refused("GET", "/issues", "the database's advice is not to be had over gRPC"),
    Refused("DELETE", "/issues", "the database's advice is not to be had over gRPC"),
    Refused("GET", "/quotas", "quotas are not to be had over gRPC"),
    Refused("PUT", "/quotas", "quotas are not to be had over gRPC"),
    Refused("GET", "/cluster", _PEERS),
    Refused("GET", "/cluster/telemetry", _PEERS),
    Refused("POST", "/cluster/recover", _PEERS),
    Refused("DELETE", "/cluster/peer/{peer_id}", _PEERS),
)

_COLLECTIONS: Final[tuple[AnyEndpoint, ...]] = (
    _collection(
        "GET",
        "/collections",
        "List",
        q.ListCollectionsResponse,
        _empty(q.ListCollectionsRequest),
        to.collections,
    ),
    _collection("GET", _C, "Get", q.GetCollectionInfoResponse, _named(q.GetCollectionInfoRequest), to.collection),
    _collection(
        "PUT",
        _C,
        "Create",
        q.CollectionOperationResponse,
        collections.create,
        to.done,
        _TIMEOUT,
        m.CreateCollection,
    ),
    _collection(
        "PATCH",
        _C,
        "Update",
        q.CollectionOperationResponse,
        collections.update,
        to.done,
        _TIMEOUT,
        m.UpdateCollection,
    ),
    _collection("DELETE", _C, "Delete", q.CollectionOperationResponse, collections.delete, to.done, _TIMEOUT),
    _collection(
        "GET",
        f"{_C}/exists",
        "CollectionExists",
        q.CollectionExistsResponse,
        _named(q.CollectionExistsRequest),
        to.exists,
    ),
    Refused("GET", f"{_C}/optimizations", "progress of optimizations is not to be had over gRPC"),
    _collection(
        "POST",
        "/collections/aliases",
        "UpdateAliases",
        q.CollectionOperationResponse,
        collections.change_aliases,
        to.done,
        _TIMEOUT,
        m.ChangeAliasesOperation,
    ),
    _collection("GET", "/aliases", "ListAliases", q.ListAliasesResponse, _empty(q.ListAliasesRequest), to.aliases),
    _collection(
        "GET",
        f"{_C}/aliases",
        "ListCollectionAliases",
        q.ListAliasesResponse,
        _named(q.ListCollectionAliasesRequest),
        to.aliases,
    ),
    _collection(
        "GET",
        f"{_C}/cluster",
        "CollectionClusterInfo",
        q.CollectionClusterInfoResponse,
        _named(q.CollectionClusterInfoRequest),
        to.cluster,
        about="gRPC says neither the method nor the comment of a shard transfer",
    ),
    _collection(
        "POST",
        f"{_C}/cluster",
        "UpdateCollectionClusterSetup",
        q.UpdateCollectionClusterSetupResponse,
        collections.cluster_setup,
        to.done,
        _TIMEOUT,
        m.ClusterOperations,
        about="resharding is refused: gRPC has no operation for it",
    ),
    _collection(
        "GET",
        f"{_C}/shards",
        "ListShardKeys",
        q.ListShardKeysResponse,
        _named(q.ListShardKeysRequest),
        to.shard_keys,
    ),
    _collection(
        "PUT",
        f"{_C}/shards",
        "CreateShardKey",
        q.CreateShardKeyResponse,
        collections.create_shard_key,
        to.done,
        _TIMEOUT,
        m.CreateShardingKey,
    ),
    _collection(
        "POST",
        f"{_C}/shards/delete",
        "DeleteShardKey",
        q.DeleteShardKeyResponse,
        collections.delete_shard_key,
        to.done,
        _TIMEOUT,
        m.DropShardingKey,
    ),
    _write("PUT", "/index", "CreateFieldIndex", collections.create_index, m.CreateFieldIndex),
    _write("DELETE", "/index/{field_name}", "DeleteFieldIndex", collections.delete_index, None),
    _write("PUT", "/vectors/{vector_name}", "CreateVectorName", collections.create_vector_name, m.VectorNameConfig),
    _write("DELETE", "/vectors/{vector_name}", "DeleteVectorName", collections.delete_vector_name, None),
)

_WRITES: Final[tuple[AnyEndpoint, ...]] = (
    _write("PUT", "/points", "Upsert", points.upsert, PointsBody()),
    _write("POST", "/points/delete", "Delete", points.delete, m.PointsSelector),
    _write("PUT", "/points/vectors", "UpdateVectors", points.update_vectors, m.UpdateVectors),
    _write(
        "POST",
        "/points/vectors/delete",
        "DeleteVectors",
        points.delete_vectors,
        m.DeleteVectors,
        _ONE_SELECTOR,
    ),
    _write("POST", "/points/payload", "SetPayload", points.set_payload, m.SetPayload, _ONE_SELECTOR),
    _write("PUT", "/points/payload", "OverwritePayload", points.set_payload, m.SetPayload, _ONE_SELECTOR),
    _write("POST", "/points/payload/delete", "DeletePayload", points.delete_payload, m.DeletePayload, _ONE_SELECTOR),
    _write("POST", "/points/payload/clear", "ClearPayload", points.clear_payload, m.PointsSelector),
    _points(
        "POST",
        "/points/batch",
        "UpdateBatch",
        q.UpdateBatchResponse,
        points.update_batch,
        to.updated_batch,
        WRITE,
        m.UpdateOperations,
    ),
)

_READS: Final[tuple[AnyEndpoint, ...]] = (
    _points("GET", "/points/{id}", "Get", q.GetResponse, points.one_point, to.one_point, READ, None),
    _read("/points", "Get", q.GetResponse, points.retrieve, to.retrieved, m.PointRequest),
    _read("/points/scroll", "Scroll", q.ScrollResponse, points.scroll, to.scrolled, m.ScrollRequest),
    _read("/points/count", "Count", q.CountResponse, points.count, to.counted, m.CountRequest),
    _read("/facet", "Facet", q.FacetResponse, points.facet, to.faceted, m.FacetRequest),
    _read("/points/query", "Query", q.QueryResponse, queries.query, to.queried, m.QueryRequest),
    _read(
        "/points/query/batch",
        "QueryBatch",
        q.QueryBatchResponse,
        queries.query_batch,
        to.queried_batch,
        m.QueryRequestBatch,
    ),
    _read(
        "/points/query/groups",
        "QueryGroups",
        q.QueryGroupsResponse,
        queries.query_groups,
        to.grouped,
        m.QueryGroupsRequest,
    ),
    _read(
        "/points/search/matrix/pairs",
        "SearchMatrixPairs",
        q.SearchMatrixPairsResponse,
        queries.matrix,
        to.pairs,
        m.SearchMatrixRequest,
    ),
    _read(
        "/points/search/matrix/offsets",
        "SearchMatrixOffsets",
        q.SearchMatrixOffsetsResponse,
        queries.matrix,
        to.offsets,
        m.SearchMatrixRequest,
    ),
    _read("/points/search", "Search", q.SearchResponse, queries.search, to.found, old.SearchRequest, _OLD),
    _read(
        "/points/search/batch",
        "SearchBatch",
        q.SearchBatchResponse,
        queries.search_batch,
        to.found_batch,
        old.SearchRequestBatch,
        _OLD,
    ),
    _read(
        "/points/search/groups",
        "SearchGroups",
        q.SearchGroupsResponse,
        queries.search_groups,
        to.grouped,
        old.SearchGroupsRequest,
        _OLD,
    ),
    _read(
        "/points/recommend",
        "Recommend",
        q.RecommendResponse,
        queries.recommend,
        to.found,
        old.RecommendRequest,
        _OLD,
    ),
    _read(
        "/points/recommend/batch",
        "RecommendBatch",
        q.RecommendBatchResponse,
        queries.recommend_batch,
        to.found_batch,
        old.RecommendRequestBatch,
        _OLD,
    ),
    _read(
        "/points/recommend/groups",
        "RecommendGroups",
        q.RecommendGroupsResponse,
        queries.recommend_groups,
        to.grouped,
        old.RecommendGroupsRequest,
        _OLD,
    ),
    _read("/points/discover", "Discover", q.DiscoverResponse, queries.discover, to.found, old.DiscoverRequest, _OLD),
    _read(
        "/points/discover/batch",
        "DiscoverBatch",
        q.DiscoverBatchResponse,
        queries.discover_batch,
        to.found_batch,
        old.DiscoverRequestBatch,
        _OLD,
    ),
)

_SNAPSHOTS: Final[tuple[AnyEndpoint, ...]] = (
    _snapshots(
        "GET",
        f"{_C}/snapshots",
        "List",
        q.ListSnapshotsResponse,
        _named(q.ListSnapshotsRequest),
        to.snapshots,
        wait=False,
    ),
    _snapshots(
        "POST", f"{_C}/snapshots", "Create", q.CreateSnapshotResponse, _named(q.CreateSnapshotRequest), to.snapshot
    ),
    _snapshots(
        "DELETE",
        f"{_C}/snapshots/{{snapshot_name}}",
        "Delete",
        q.DeleteSnapshotResponse,
        collections.delete_snapshot,
        to.deleted,
    ),
    Transfer("GET", f"{_C}/snapshots/{{snapshot_name}}", files.download, (), _FILES),
    Transfer("PUT", f"{_C}/snapshots/recover", files.recover, _WAIT, _RECOVER),
    Transfer("POST", f"{_C}/snapshots/upload", files.upload, ("wait", "priority", "checksum"), _UPLOAD),
    _snapshots(
        "GET",
        "/snapshots",
        "ListFull",
        q.ListSnapshotsResponse,
        _empty(q.ListFullSnapshotsRequest),
        to.snapshots,
        wait=False,
    ),
    _snapshots(
        "POST", "/snapshots", "CreateFull", q.CreateSnapshotResponse, _empty(q.CreateFullSnapshotRequest), to.snapshot
    ),
    _snapshots(
        "DELETE",
        "/snapshots/{snapshot_name}",
        "DeleteFull",
        q.DeleteSnapshotResponse,
        collections.delete_full_snapshot,
        to.deleted,
    ),
    Transfer("GET", "/snapshots/{snapshot_name}", files.download, (), _FILES),
    Refused("GET", _S, _SHARDS),
    Refused("POST", _S, _SHARDS),
    Refused("DELETE", f"{_S}/{{snapshot_name}}", _SHARDS),
    Refused("GET", f"{_S}/{{snapshot_name}}", _SHARDS),
    Refused("PUT", f"{_S}/recover", _SHARDS),
    Refused("POST", f"{_S}/upload", _SHARDS),
    Refused("GET", f"{_C}/shards/{{shard_id}}/snapshot", _SHARDS),
    Refused("POST", f"{_S}/partial/create", _SHARDS),
)

ENDPOINTS: Final[tuple[AnyEndpoint, ...]] = (*_SERVICE, *_COLLECTIONS, *_WRITES, *_READS, *_SNAPSHOTS)

"""gRPC replies as the JSON of Qdrant's REST API.

Points are written here, floats as numpy float32, which orjson prints as short as Qdrant does; descriptions of
collections go through `qdrant_client`'s own conversions and models.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from pydantic import BaseModel
from qdrant_client import grpc as q
from qdrant_client.conversions.conversion import GrpcToRest

from vecguard.errors import NotFound, UpstreamFailure
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.payloads import python_value
from vecguard.front.qdrant.scope import wants_payload
from vecguard.front.rest.endpoint import Bare, Request, Text, Tree

_STATUSES: Final = {
    q.UpdateStatus.Acknowledged: "acknowledged",
    q.UpdateStatus.Completed: "completed",
    q.UpdateStatus.WaitTimeout: "wait_timeout",
}
_SECONDS: Final = "%Y-%m-%dT%H:%M:%S"


def _model(model: BaseModel) -> Tree:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


# Points


def point_id(message: q.PointId) -> int | str:
    """A point's id: a number, or a UUID's text."""
    return message.uuid if message.WhichOneof("point_id_options") == "uuid" else message.num


def _payload(values: Any) -> Tree:
    return {key: python_value(values[key]) for key in values}


def _vector(message: q.VectorOutput) -> Tree:
    vector = wire.read(message)
    if isinstance(vector, wire.Sparse):
        return {"indices": vector.indices, "values": vector.values}
    # Views into a message's bytes lie where they lie; what is printed is a copy of its own.
    return np.array(vector.data if isinstance(vector, wire.Dense) else vector.rows)


def _vectors(message: q.VectorsOutput) -> Tree:
    if message.WhichOneof("vectors_options") == "vector":
        return _vector(message.vector)
    named = message.vectors.vectors
    return {name: _vector(named[name]) for name in named}


def _point(point: q.RetrievedPoint | q.ScoredPoint, with_payload: bool) -> dict[str, Tree]:
    """What retrieved and found points have in common."""
    shown: dict[str, Tree] = {"id": point_id(point.id)}
    if with_payload or len(point.payload):
        shown["payload"] = _payload(point.payload)
    if point.HasField("vectors"):
        shown["vector"] = _vectors(point.vectors)
    if point.HasField("shard_key"):
        shown["shard_key"] = GrpcToRest.convert_shard_key(point.shard_key)
    if point.HasField("order_value"):
        shown["order_value"] = GrpcToRest.convert_order_value(point.order_value)
    return shown


def _scored(points: Iterable[q.ScoredPoint], with_payload: bool) -> list[Tree]:
    return [
        {**_point(point, with_payload), "version": point.version, "score": np.float32(point.score)} for point in points
    ]


def _wanted(request: Request) -> bool:
    """Whether the request asked for payloads: one that is empty is shown then."""
    return wants_payload(request.sent.with_payload)  # type: ignore[union-attr]


def retrieved(reply: q.GetResponse, request: Request) -> Tree:
    """Points in the order of their ids in the request."""
    return [_point(point, _wanted(request)) for point in reply.result]


def one_point(reply: q.GetResponse, request: Request) -> Tree:
    """The point.

    Raises:
        NotFound: there is none.
    """
    if not reply.result:
        raise NotFound(f"Not found: Point with id {request.path['id']} does not exists!")
    return _point(reply.result[0], True)


def scrolled(reply: q.ScrollResponse, request: Request) -> Tree:
    """A page of points, and where the next begins."""
    after = point_id(reply.next_page_offset) if reply.HasField("next_page_offset") else None
    return {"points": [_point(point, _wanted(request)) for point in reply.result], "next_page_offset": after}


def found(reply: q.SearchResponse | q.RecommendResponse | q.DiscoverResponse, request: Request) -> Tree:
    """Points with scores, of the older endpoints."""
    return _scored(reply.result, _wanted(request))


def queried(reply: q.QueryResponse, request: Request) -> Tree:
    """Points with scores, of the Query API."""
    return {"points": _scored(reply.result, _wanted(request))}


def found_batch(
    reply: q.SearchBatchResponse | q.RecommendBatchResponse | q.DiscoverBatchResponse, request: Request
) -> Tree:
    """Answers to a batch of the older endpoints."""
    return [_scored(one.result, wanted) for one, wanted in zip(reply.result, _batch(request), strict=True)]


def queried_batch(reply: q.QueryBatchResponse, request: Request) -> Tree:
    """Answers to a batch of the Query API."""
    return [{"points": _scored(one.result, wanted)} for one, wanted in zip(reply.result, _batch(request), strict=True)]


def _batch(request: Request) -> list[bool]:
    """For each request of a batch, whether it asked for payloads."""
    [asks] = [value for field, value in request.sent.ListFields() if field.name.endswith("_points")] or [[]]  # type: ignore[union-attr]
    return [wants_payload(ask.with_payload) for ask in asks]


def grouped(
    reply: q.QueryGroupsResponse | q.SearchGroupsResponse | q.RecommendGroupsResponse, request: Request
) -> Tree:
    """Points by group."""
    ask: Any = request.sent
    look_up = wants_payload(ask.with_lookup.with_payload)
    groups = []
    for group in reply.result.groups:
        shown: dict[str, Tree] = {
            "hits": _scored(group.hits, _wanted(request)),
            "id": GrpcToRest.convert_group_id(group.id),
        }
        if group.HasField("lookup"):
            shown["lookup"] = _point(group.lookup, look_up)
        groups.append(shown)
    return {"groups": groups}


def counted(reply: q.CountResponse, request: Request) -> Tree:
    """A count."""
    return {"count": reply.result.count}


def faceted(reply: q.FacetResponse, request: Request) -> Tree:
    """Values of a field with their counts."""
    return {"hits": [{"value": GrpcToRest.convert_facet_value(hit.value), "count": hit.count} for hit in reply.hits]}


def pairs(reply: q.SearchMatrixPairsResponse, request: Request) -> Tree:
    """A distance matrix as pairs."""
    return {
        "pairs": [
            {"a": point_id(pair.a), "b": point_id(pair.b), "score": np.float32(pair.score)}
            for pair in reply.result.pairs
        ]
    }


def offsets(reply: q.SearchMatrixOffsetsResponse, request: Request) -> Tree:
    """A distance matrix as offsets into a list of ids."""
    result = reply.result
    return {
        "offsets_row": list(result.offsets_row),
        "offsets_col": list(result.offsets_col),
        "scores": np.array(result.scores, np.float32),
        "ids": [point_id(one) for one in result.ids],
    }


# Writes


def _update(result: q.UpdateResult) -> Tree:
    if result.status not in _STATUSES:
        raise UpstreamFailure("INTERNAL", f"the vector database answered with update status {result.status}")
    operation = {"operation_id": result.operation_id} if result.HasField("operation_id") else {}
    return {**operation, "status": _STATUSES[result.status]}


def updated(reply: q.PointsOperationResponse, request: Request) -> Tree:
    """How far a write has come."""
    return _update(reply.result)


def updated_batch(reply: q.UpdateBatchResponse, request: Request) -> Tree:
    """How far the writes of a batch have come."""
    return [_update(result) for result in reply.result]


def done(reply: Any, request: Request) -> Tree:
    """Whether an operation on collections was done."""
    return reply.result


# Collections, snapshots, service


def collections(reply: q.ListCollectionsResponse, request: Request) -> Tree:
    """Names of collections."""
    return {"collections": [{"name": one.name} for one in reply.collections]}


def exists(reply: q.CollectionExistsResponse, request: Request) -> Tree:
    """Whether a collection exists."""
    return {"exists": reply.result.exists}


def collection(reply: q.GetCollectionInfoResponse, request: Request) -> Tree:
    """A collection's description."""
    return _model(GrpcToRest.convert_collection_info(reply.result))


def aliases(reply: q.ListAliasesResponse, request: Request) -> Tree:
    """Aliases and what they stand for."""
    return {
        "aliases": [{"alias_name": one.alias_name, "collection_name": one.collection_name} for one in reply.aliases]
    }


def cluster(reply: q.CollectionClusterInfoResponse, request: Request) -> Tree:
    """Where the shards of a collection are."""
    return _model(GrpcToRest.convert_collection_cluster_info(reply))


def shard_keys(reply: q.ListShardKeysResponse, request: Request) -> Tree:
    """A collection's shard keys."""
    return {"shard_keys": [{"key": GrpcToRest.convert_shard_key(one.key)} for one in reply.shard_keys]}


def _snapshot(description: q.SnapshotDescription) -> Tree:
    shown: dict[str, Tree] = {"name": description.name, "size": description.size}
    if description.HasField("creation_time"):
        shown["creation_time"] = description.creation_time.ToDatetime().strftime(_SECONDS)
    if description.HasField("checksum"):
        shown["checksum"] = description.checksum
    return shown


def snapshot(reply: q.CreateSnapshotResponse, request: Request) -> Tree:
    """A new snapshot's description."""
    return _snapshot(reply.snapshot_description)


def snapshots(reply: q.ListSnapshotsResponse, request: Request) -> Tree:
    """Descriptions of snapshots."""
    return [_snapshot(one) for one in reply.snapshot_descriptions]


def deleted(reply: q.DeleteSnapshotResponse, request: Request) -> Tree:
    """That a snapshot is gone."""
    return True


def version(reply: q.HealthCheckReply, request: Request) -> Tree:
    """Title and version of the database behind; Qdrant puts no envelope around them."""
    commit = {"commit": reply.commit} if reply.HasField("commit") else {}
    return Bare({"title": reply.title, "version": reply.version, **commit})


def healthy(text: str) -> Any:
    """Says `text` when the database answers."""

    def answer(reply: q.HealthCheckReply, request: Request) -> Tree:
        return Text(text)

    return answer


def usage(reply: Any) -> Tree:
    """What a call cost the database, where it says so; None where it does not."""
    if "usage" not in reply.DESCRIPTOR.fields_by_name or not reply.HasField("usage"):
        return None
    shown: dict[str, Tree] = {}
    if reply.usage.HasField("hardware"):
        hardware = reply.usage.hardware
        shown["hardware"] = {field.name: getattr(hardware, field.name) for field in hardware.DESCRIPTOR.fields}
    if reply.usage.HasField("inference"):
        models = reply.usage.inference.models
        shown["inference"] = {"models": {name: {"tokens": models[name].tokens} for name in models}}
    return shown or None

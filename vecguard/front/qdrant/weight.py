"""How many records a call carries, for its principal's rate: points sent, and points answered with."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from qdrant_client import grpc as q


def records(ask: Message, reply: Message) -> int:
    """The points in a client's request and in the answer to it."""
    return written(ask) + _read(reply)


def written(ask: Message) -> int:
    """The points that a request writes; 1 where it does not say how many."""
    if isinstance(ask, q.UpsertPoints | q.UpdatePointVectors):
        return len(ask.points)
    if isinstance(ask, q.UpdateBatchPoints):
        return sum(_in_operation(operation) for operation in ask.operations)
    return 1 if isinstance(ask, q.DeletePoints | q.SetPayloadPoints | q.DeletePayloadPoints) else 0


def _in_operation(operation: q.PointsUpdateOperation) -> int:
    kind = operation.WhichOneof("operation")
    if kind == "upsert":
        return len(operation.upsert.points)
    return len(operation.update_vectors.points) if kind == "update_vectors" else 1


def _read(reply: Message) -> int:
    batches = (q.SearchBatchResponse, q.RecommendBatchResponse, q.DiscoverBatchResponse, q.QueryBatchResponse)
    if isinstance(reply, batches):
        return sum(len(batch.result) for batch in reply.result)
    if isinstance(reply, q.SearchGroupsResponse | q.RecommendGroupsResponse | q.QueryGroupsResponse):
        return _in_groups(reply.result.groups)
    if isinstance(reply, q.SearchMatrixPairsResponse):
        return len(reply.result.pairs)
    if isinstance(reply, q.SearchMatrixOffsetsResponse):
        return len(reply.result.ids)
    points = (
        *(q.SearchResponse, q.RecommendResponse, q.DiscoverResponse, q.QueryResponse),
        *(q.GetResponse, q.ScrollResponse),
    )
    return len(reply.result) if isinstance(reply, points) else 0


def _in_groups(groups: Iterable[q.PointGroup]) -> int:
    return sum(len(group.hits) for group in groups)

"""How many records a call carries: points sent and points answered with, for its principal's rate, and how many an
answer may show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.detect.watch import EVERYTHING

_POINTS: Final = (
    *(q.QueryResponse, q.GetResponse, q.ScrollResponse),
    *(q.SearchResponse, q.RecommendResponse, q.DiscoverResponse),
)
_BATCHES: Final = (q.QueryBatchResponse, q.SearchBatchResponse, q.RecommendBatchResponse, q.DiscoverBatchResponse)
_GROUPS: Final = (q.QueryGroupsResponse, q.SearchGroupsResponse, q.RecommendGroupsResponse)
_NO_POINTS: Final = (q.PointsOperationResponse, q.UpdateBatchResponse, q.CountResponse)


def records(ask: Message, reply: Message) -> int:
    """The points in a client's request and in the answer to it."""
    return written(ask) + _read(reply)


def shown(reply: Message) -> int:
    """The points that an answer shows anything of, at most; see `vecguard.detect.watch.Shown`."""
    if isinstance(reply, (*_POINTS, *_BATCHES)):
        return _read(reply)
    if isinstance(reply, _GROUPS):  # each may have one that was looked up
        return _in_groups(reply.result.groups) + len(reply.result.groups)
    return 0 if isinstance(reply, _NO_POINTS) else EVERYTHING


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
    if isinstance(reply, _POINTS):
        return len(reply.result)
    if isinstance(reply, _BATCHES):
        return sum(len(batch.result) for batch in reply.result)
    if isinstance(reply, _GROUPS):
        return _in_groups(reply.result.groups)
    if isinstance(reply, q.SearchMatrixPairsResponse):
        return len(reply.result.pairs)
    if isinstance(reply, q.SearchMatrixOffsetsResponse):
        return len(reply.result.ids)
    return 0


def _in_groups(groups: Iterable[q.PointGroup]) -> int:
    return sum(len(group.hits) for group in groups)

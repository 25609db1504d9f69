"""How the RPCs on points run what they have read, and what all their answers have in common."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.collection import Collection
from vecguard.engine.points_read import fill_scored
from vecguard.engine.shard_query import ShardQuery, run_queries
from vecguard.errors import NotFound

# A batch holds the engine for this many queries at a stretch: about 10 ms at 20,000 vectors.
QUERIES_AT_A_TIME = 32


async def run_all(collection: Collection, queries: list[ShardQuery], targets: list[Any]) -> None:
    """Run queries and append the points of each to its repeated field, letting other calls in between."""
    for start in range(0, len(queries), QUERIES_AT_A_TIME):
        some = queries[start : start + QUERIES_AT_A_TIME]
        found = await collection.read(partial(run_queries, queries=some))
        for query, target, points in zip(some, targets[start:], found, strict=False):
            await fill_scored(target, points, query.with_vectors)
        if start + QUERIES_AT_A_TIME < len(queries):
            await asyncio.sleep(0)


async def apply_write(collection: Collection, operation: edge.UpdateOperation, wait: bool, source: Any) -> int | None:
    """Apply a write. Qdrant answers a write that is not waited for before it meets a missing point, so that one
    failure is silent here as there; the number is None then."""
    # The size matters only while operations are kept in memory, and counting it costs as much as serialising.
    size = source.ByteSize() if collection.building else 0
    try:
        return await collection.write(operation, size)
    except NotFound:
        if wait:
            raise
        return None


def operation_response(number: int | None, wait: bool, started: float) -> pb.PointsOperationResponse:
    """The answer to one write."""
    response = pb.PointsOperationResponse()
    fill_update(response.result, number, wait)
    response.time = since(started)
    return response


def fill_update(target: pb.UpdateResult, number: int | None, wait: bool) -> None:
    """Write an operation's number, and whether it was waited for."""
    if number is not None:
        target.operation_id = number
    target.status = pb.UpdateStatus.Completed if wait else pb.UpdateStatus.Acknowledged


def since(started: float) -> float:
    """Seconds since a reading of `time.perf_counter`."""
    return time.perf_counter() - started

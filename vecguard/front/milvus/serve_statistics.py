"""Serving numbers of rows, of which planted ones are none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vecguard.front.milvus.place import place_of
from vecguard.front.milvus.planted import planted_there
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.status import ask
from vecguard.pipeline import Session

_ROWS: Final = "row_count"


async def collection_statistics(
    request: m.GetCollectionStatisticsRequest, session: Session
) -> m.GetCollectionStatisticsResponse:
    """`GetCollectionStatistics`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read", of_all=True)
    answer = await ask(session, rpc("GetCollectionStatistics"), request, m.GetCollectionStatisticsResponse)
    _less(answer.stats, await planted_there(place, entry, session))
    return answer


async def partition_statistics(
    request: m.GetPartitionStatisticsRequest, session: Session
) -> m.GetPartitionStatisticsResponse:
    """`GetPartitionStatistics`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read", of_all=True)
    answer = await ask(session, rpc("GetPartitionStatistics"), request, m.GetPartitionStatisticsResponse)
    _less(answer.stats, await planted_there(place, entry, session, request.partition_name))
    return answer


async def build_progress(request: m.GetIndexBuildProgressRequest, session: Session) -> m.GetIndexBuildProgressResponse:
    """`GetIndexBuildProgress`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read", of_all=True)
    answer = await ask(session, rpc("GetIndexBuildProgress"), request, m.GetIndexBuildProgressResponse)
    hidden = await planted_there(place, entry, session)
    answer.indexed_rows, answer.total_rows = max(answer.indexed_rows - hidden, 0), max(answer.total_rows - hidden, 0)
    return answer


def _less(stats: Iterable[c.KeyValuePair], hidden: int) -> None:
    for pair in stats:
        if pair.key == _ROWS and hidden and pair.value.isdecimal():
            pair.value = str(max(int(pair.value) - hidden, 0))

"""The names of all collections of a Qdrant database."""

from __future__ import annotations

from qdrant_client import grpc as q

from vecguard.model import Caller
from vecguard.upstream import Upstream


async def names(upstream: Upstream, caller: Caller) -> list[str]:
    """Collections by name, sorted. Raises UpstreamFailure."""
    answer = await upstream.call(
        "/qdrant.Collections/List", q.ListCollectionsRequest(), q.ListCollectionsResponse, caller
    )
    return sorted(collection.name for collection in answer.collections)

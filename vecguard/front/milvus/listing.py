"""The names of all collections of a Milvus server, of every database that it has."""

from __future__ import annotations

from vecguard.errors import UpstreamFailure
from vecguard.front.milvus.place import DEFAULT_DATABASE, Place
from vecguard.front.milvus.proto import m, rpc
from vecguard.front.milvus.status import checked
from vecguard.model import Caller
from vecguard.upstream import Upstream


async def names(upstream: Upstream, caller: Caller) -> list[str]:
    """Collections by the keys that the policy knows them by, sorted. Raises UpstreamFailure."""
    try:
        answer = checked(
            await upstream.call(rpc("ListDatabases"), m.ListDatabasesRequest(), m.ListDatabasesResponse, caller)
        )
        databases = list(answer.db_names)
    except UpstreamFailure:  # older servers and Milvus Lite have one database, and no such call
        databases = [DEFAULT_DATABASE]
    found = []
    for database in databases:
        ask = m.ShowCollectionsRequest(db_name=database)
        answer = checked(await upstream.call(rpc("ShowCollections"), ask, m.ShowCollectionsResponse, caller))
        found += [Place(database, name).key for name in answer.collection_names]
    return sorted(found)

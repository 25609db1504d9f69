"""Taking the points that are there as the newest: see `vecguard.front.base.Adopt`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from qdrant_client import grpc as q

from vecguard.fresh.guard import Adoption
from vecguard.front.newest import require_recoverable
from vecguard.front.qdrant import parts
from vecguard.front.qdrant.fresh_life import require_one_truth
from vecguard.front.qdrant.inspect import faults_of, stored_pages
from vecguard.front.qdrant.metadata import NEWEST
from vecguard.front.qdrant.payloads import point_id_bytes
from vecguard.model import Caller
from vecguard.shield import Shield
from vecguard.upstream import Upstream


async def adopt(upstream: Upstream, name: str, shield: Shield, adoption: Adoption) -> AsyncIterator[int]:
    """Take all points, but those that do not open; how many of each page were taken.

    Raises:
        InvalidArgument: one id may mean several records.
        FailedPrecondition: nobody can recover a vector.
        UpstreamFailure: the database cannot be reached, or does not know the collection.
        Unavailable: the memory is away, or somebody else began to fill it.
    """
    await _require_one_truth(upstream, name, shield)
    noted = q.UpdateCollection(collection_name=name, metadata={NEWEST: q.Value(bool_value=True)})
    await upstream.call("/qdrant.Collections/Update", noted, q.CollectionOperationResponse, Caller())
    async for page in stored_pages(upstream, name, shield):
        sound = [point for point in page if not faults_of(shield, point)]
        ids = [point_id_bytes(point.id) for point in sound]
        found = zip(sound, ids, strict=True)
        await adoption.take({key: parts.parts_of(point.payload, key, adoption.stamps) for point, key in found})
        yield len(sound)


async def _require_one_truth(upstream: Upstream, name: str, shield: Shield) -> None:
    ask = q.GetCollectionInfoRequest(collection_name=name)
    info = await upstream.call("/qdrant.Collections/Get", ask, q.GetCollectionInfoResponse, Caller())
    params = info.result.config.params
    factors = params.replication_factor, params.write_consistency_factor
    require_one_truth(*factors, params.sharding_method, f"collection `{name}`")
    require_recoverable(shield)

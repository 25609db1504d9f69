"""Planting records in a collection of Qdrant, finding those that are there, and taking them away."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from qdrant_client import grpc as q

from vecguard.errors import FailedPrecondition
from vecguard.front.lookalikes import LEAST_SAMPLE, SAMPLE, VERSIONS, require_enough, rows_like
from vecguard.front.qdrant import reveal, translation
from vecguard.front.qdrant.inspect import faults_of, stored_pages
from vecguard.front.qdrant.scope import WRITTEN
from vecguard.front.qdrant.stages import id_message, key_of
from vecguard.front.qdrant.transfer import point_of, row_of
from vecguard.front.qdrant.writes import protect_points
from vecguard.seal.planted import Form
from vecguard.shield import DenseShield, Shield
from vecguard.upstream import Upstream


async def plant(upstream: Upstream, name: str, shield: Shield, count: int) -> int:
    """Plant the records that are missing of the first `count`; how many that were. Those that are there stay.

    Raises:
        FailedPrecondition: nothing can be planted that is like the collection's records; says why.
        UpstreamFailure: the database says no, or cannot be reached.
        Unreadable: records of the collection do not open.
    """
    vector = _require_plantable(shield)
    there = {one for one, _ in await planted(upstream, name, shield)}
    points = await _sampled(upstream, name, shield, max(LEAST_SAMPLE, count))
    form = _form(points, shield)
    missing = [one for one in shield.planted.ids(form, count) if str(one) not in there]
    if not missing:
        return 0
    clear = [q.RetrievedPoint.FromString(point.SerializeToString()) for point in points]
    reveal.points(shield, clear, [vector])
    mode_of = shield.manifest.payload.mode_of
    like, rows = rows_like([row_of(point) for point in clear], vector, missing, mode_of)
    made = [point_of(row) for row in like]
    protect_points(shield, made)
    for point, row in zip(made, rows, strict=True):
        if WRITTEN in points[row].payload:
            point.payload[WRITTEN].CopyFrom(points[row].payload[WRITTEN])
    ask = q.UpsertPoints(collection_name=name, points=made, wait=True)
    await translation.call(upstream, "/qdrant.Points/Upsert", ask, q.PointsOperationResponse, shield)
    return len(made)


async def planted(upstream: Upstream, name: str, shield: Shield) -> list[tuple[str, tuple[str, ...]]]:
    """The planted records that are there, by id, and the parts of each that do not open.

    Raises:
        UpstreamFailure: the database cannot be reached, or does not know the collection.
    """
    ask = q.GetPoints(collection_name=name, ids=[id_message(one) for one in shield.planted.every()])
    ask.with_payload.enable = True
    ask.with_vectors.enable = True
    answer = await translation.call(upstream, "/qdrant.Points/Get", ask, q.GetResponse, shield)
    return [(str(key_of(point.id)), faults_of(shield, point)) for point in answer.result]


async def remove(upstream: Upstream, name: str, shield: Shield) -> int:
    """Take all planted records away; how many these were.

    Raises:
        UpstreamFailure: the database says no, or cannot be reached.
    """
    there = await planted(upstream, name, shield)
    listed = q.PointsIdsList(ids=[id_message(one) for one in shield.planted.every()])
    ask = q.DeletePoints(collection_name=name, points=q.PointsSelector(points=listed), wait=True)
    await translation.call(upstream, "/qdrant.Points/Delete", ask, q.PointsOperationResponse, shield)
    return len(there)


def _require_plantable(shield: Shield) -> str:
    """The name of the one vector of the collection's records.

    Raises:
        FailedPrecondition: nothing can be planted.
    """
    if shield.rotating:
        raise FailedPrecondition("the collection's keys are being rotated: plant when that is done")
    if shield.tenancy is not None:
        raise FailedPrecondition("each tenant of the collection has keys of its own, and a planted record has none")
    (name, guard), *more = shield.vectors.items()
    if more or not isinstance(guard, DenseShield) or guard.record.kind != "dense":
        raise FailedPrecondition("records can be planted where a collection has one dense vector and no other")
    if not guard.recoverable:
        raise FailedPrecondition(f"nobody can recover vector `{name}`, so that nothing can be made that is like it")
    return name


async def _sampled(upstream: Upstream, name: str, shield: Shield, least: int) -> Sequence[q.RetrievedPoint]:
    """Stored points of clients, whole, that have the vector; at least so many."""
    found: list[q.RetrievedPoint] = []
    async for page in stored_pages(upstream, name, shield):
        mine = (point for point in page if key_of(point.id) not in shield.planted.numbers)
        found += (point for point in mine if any(reveal.holders(point)))
        if len(found) >= SAMPLE:
            break
    require_enough(len(found), least)
    return found


def _form(points: Sequence[q.RetrievedPoint], shield: Shield) -> Form:
    """The form of the collection's ids, at random one that it has.

    Raises:
        FailedPrecondition: a random id would stand out among them.
    """
    keys = [key_of(point.id) for point in points]
    numbers = sum(isinstance(key, int) for key in keys)
    if shield.ids is not None:
        return "number" if 2 * numbers > len(keys) else "uuid4"
    versions = [uuid.UUID(str(key)).version for key in keys if not isinstance(key, int)]
    common = max(set(versions), key=versions.count) if versions else None
    if numbers or common not in VERSIONS or versions.count(common) < len(versions):
        raise FailedPrecondition(
            "ids of the collection's records are in clear, and not all UUIDs of version 4, or of version 5, which are "
            "random: a planted record's would stand out among them. Have `ids: encrypted`, or such UUIDs"
        )
    return VERSIONS[common]

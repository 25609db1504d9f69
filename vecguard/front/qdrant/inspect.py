"""Looking at every stored point of a collection: does each part of it still open?"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import numpy as np
from qdrant_client import grpc as q

from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, RolledBack, TenantShredded, Unreadable
from vecguard.fields import UNREADABLE_NAME
from vecguard.front.base import DESTROYED, FOREIGN, OLDER, Inspected
from vecguard.front.qdrant import reveal, translation
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.fresh_reads import judged
from vecguard.front.qdrant.payloads import point_id_bytes, python_value, reveal_map
from vecguard.front.qdrant.scope import PAYLOAD, RECORD, TENANT, UPDATED, WRITTEN
from vecguard.keys.encoding import length_prefixed
from vecguard.model import Caller
from vecguard.pipeline import Session
from vecguard.seal import record
from vecguard.seal.envelope import epoch_of
from vecguard.shield import DenseShield, Shield
from vecguard.upstream import Upstream

PAGE: Final = 100
_CALLER: Final = Caller()
_POINTS: Final = (q.QueryResponse, q.ScrollResponse, q.GetResponse)
_OURS: Final = frozenset({PAYLOAD, RECORD, UPDATED, WRITTEN, TENANT})


async def count(upstream: Upstream, name: str) -> int:
    """How many points a collection has.

    Raises:
        UpstreamFailure: the database cannot be reached, or does not know it.
    """
    ask = q.CountPoints(collection_name=name, exact=True)
    return (await upstream.call("/qdrant.Points/Count", ask, q.CountResponse, _CALLER)).result.count


async def inspect(upstream: Upstream, name: str, shield: Shield) -> AsyncIterator[list[Inspected]]:
    """Every point, a page at a time. One that does not open is read once more, as it may just have been written.

    Raises:
        UpstreamFailure: the database cannot be reached, or does not know the collection.
    """
    began = time.monotonic()
    async for points in stored_pages(upstream, name, shield):
        yield await _looked_at(upstream, name, shield, points, began)
        began = time.monotonic()


async def _looked_at(
    upstream: Upstream, name: str, shield: Shield, points: Sequence[q.RetrievedPoint], began: float
) -> list[Inspected]:
    """What a look says of some points, and a second one of those that the first says something of."""
    first = dict(zip(map(_key, points), await _all_faults(shield, points, began), strict=True))
    doubtful = [point.id for point in points if first[_key(point)]]
    again, began = await _stored(upstream, name, doubtful, shield) if doubtful else (), time.monotonic()
    second = dict(zip(map(_key, again), await _all_faults(shield, again, began), strict=True))
    newest = {_key(point): point for point in (*points, *again)}
    left = [point for key, point in newest.items() if not first[key] or key in second]  # others are gone
    return [Inspected(_key(point), second.get(_key(point), ()), content_of(point)) for point in left]


async def _all_faults(shield: Shield, points: Sequence[q.RetrievedPoint], began: float) -> list[tuple[str, ...]]:
    """The faults of points that were read together, which began at this monotonic second."""
    older: list[str] = []
    if shield.fresh is not None:
        points = [q.RetrievedPoint.FromString(point.SerializeToString()) for point in points]
        older = await judged(shield.fresh, await shield.fresh.stamps(), points, began)
    if not older and _sound(shield, points):
        return [()] * len(points)
    return [(*faults_of(shield, point), *([OLDER] if _key(point) in older else [])) for point in points]


async def stored_pages(upstream: Upstream, name: str, shield: Shield) -> AsyncIterator[Sequence[q.RetrievedPoint]]:
    """All points as they are stored, whole, but under the client's ids; in the order of the stored ones.

    Raises:
        UpstreamFailure: the database cannot be reached, or does not know the collection.
    """
    ask = q.ScrollPoints(collection_name=name, limit=PAGE)
    ask.with_payload.enable = True
    ask.with_vectors.enable = True
    while True:
        answer = await upstream.call(
            "/qdrant.Points/Scroll", translation.stored(ask, shield), q.ScrollResponse, _CALLER
        )
        translation.show(answer, shield)
        if answer.result:
            yield answer.result
        if not answer.HasField("next_page_offset"):
            return
        ask.offset.CopyFrom(answer.next_page_offset)


async def _stored(
    upstream: Upstream, name: str, wanted: Sequence[q.PointId], shield: Shield
) -> Sequence[q.RetrievedPoint]:
    ask = q.GetPoints(collection_name=name, ids=wanted)
    ask.with_payload.enable = True
    ask.with_vectors.enable = True
    rpc = "/qdrant.Points/Get"
    return (await translation.unjudged(rpc, ask, q.GetResponse, upstream=upstream, shield=shield)).result


async def damaged(session: Session) -> dict[str, list[str]]:
    """Which of the points that a call has read do not open; see `vecguard.session.Damaged`.

    Raises:
        UpstreamFailure: the database cannot be reached.
    """
    met: dict[str, dict[str, q.PointId]] = {}
    for ask, answer in list(session.read):
        for point in getattr(answer, "result", ()) if isinstance(answer, _POINTS) else ():
            met.setdefault(getattr(ask, "collection_name", ""), {})[_shown(point.id)] = point.id
    for name, ids in session.rolled_back.items():  # they are in no answer
        met.setdefault(name, {}).update({key: id_of(key) for key in ids})
    found: dict[str, list[str]] = {}
    for name, points in met.items():
        entry = session.entries.get(name)
        if entry is None or entry.shield is None:
            continue
        listed = list(points.values())
        for start in range(0, len(listed), PAGE):
            ask = q.GetPoints(collection_name=name, ids=listed[start : start + PAGE])
            ask.with_payload.enable = True
            ask.with_vectors.enable = True
            older, stored = await _told_apart(session, ask)
            bad = [point.id for point in stored if faults_of(entry.shield, point)]
            if older or bad:
                found.setdefault(name, []).extend((*older, *map(_shown, bad)))
            if bad and entry.shield.fresh is not None:
                await _note_older_vectors(session, name, bad, entry.shield)
    return found


async def _note_older_vectors(session: Session, name: str, ids: Sequence[q.PointId], shield: Shield) -> None:
    """Of points that do not open by what is the newest, note those that open by what was superseded."""
    ask = q.GetPoints(collection_name=name, ids=ids)
    ask.with_payload.enable = ask.with_vectors.enable = True
    stored = (await session.unjudged("/qdrant.Points/Get", ask, q.GetResponse)).result
    session.rolled_back.setdefault(name, []).extend(_key(point) for point in stored if not faults_of(shield, point))


async def _told_apart(session: Session, ask: q.GetPoints) -> tuple[list[str], Sequence[q.RetrievedPoint]]:
    """Of the points asked for the ids of those that are not the newest, and all others."""
    older = list[str]()
    while ask.ids:
        try:
            return older, (await session.send("/qdrant.Points/Get", ask, q.GetResponse)).result
        except RolledBack as found:
            older += found.ids
            left = [point_id for point_id in ask.ids if _shown(point_id) not in found.ids]
            if len(left) == len(ask.ids):
                raise
            del ask.ids[:]
            ask.ids.extend(left)
    return older, ()


def id_of(key: str) -> q.PointId:
    """The id that is shown as `key`."""
    return q.PointId(num=int(key)) if key.isdecimal() else q.PointId(uuid=key)


def _key(point: q.RetrievedPoint) -> str:
    return _shown(point.id)


def _shown(point_id: q.PointId) -> str:
    return point_id.uuid if point_id.HasField("uuid") else str(point_id.num)


def _opened(shield: Shield) -> list[str]:
    """Names of the vectors that can be opened, and with that checked."""
    return [name for name, guard in shield.vectors.items() if not isinstance(guard, DenseShield) or guard.recoverable]


def _sound(shield: Shield, points: Sequence[q.RetrievedPoint]) -> bool:
    """Whether all of these points open, all at once: what nearly every page does."""
    copies = []
    for point in points:
        if _surplus(shield, point) or _record_faults(shield, point) or _tenant_faults(shield, point):
            return False
        copies.append(q.RetrievedPoint.FromString(point.SerializeToString()))
    try:
        reveal.points(shield, copies, _opened(shield))
    except (Unreadable, StaleEntry, TenantShredded):
        return False
    return True


def faults_of(shield: Shield, point: q.RetrievedPoint) -> tuple[str, ...]:
    """The parts of a stored point that do not open, in words."""
    record_faults = _record_faults(shield, point)
    faults = [*record_faults, *_surplus(shield, point), *_tenant_faults(shield, point)]
    if DESTROYED in faults:
        return tuple(faults)
    for name in _opened(shield):
        try:
            reveal.open_vectors(shield, [point], name)
        except (Unreadable, StaleEntry, TenantShredded):
            if not record_faults:  # without a record no vector opens
                faults.append(f"vector `{name}`" if name else "vector")
    return (*faults, *_payload_faults(shield, point))


def _record_faults(shield: Shield, point: q.RetrievedPoint) -> list[str]:
    value = point.payload.get(RECORD)
    try:
        written_under = "" if value is None else record.decode(value.string_value).manifest
    except Unreadable:
        return ["record"]
    if written_under == shield.manifest.short_id:
        return []
    return ["record missing" if value is None else "record of another collection"]


def _tenant_faults(shield: Shield, point: q.RetrievedPoint) -> list[str]:
    """Whether a point is under a key of the tenant that it says that it is of."""
    if shield.tenancy is None:
        return []
    value, kept = point.payload.get(TENANT), point.payload.get(RECORD)
    try:
        numbers = shield.tenancy.keys.siblings(0 if value is None else value.integer_value)
        entries = record.decode("" if kept is None else kept.string_value).entries.values()
        if all(epoch_of(entry) in numbers for entry in entries):
            return []
    except TenantShredded:
        return [DESTROYED]
    except Unreadable:
        pass
    return [FOREIGN]


def _surplus(shield: Shield, point: q.RetrievedPoint) -> list[str]:
    """What nobody here wrote."""
    vectors = [f"vector `{name}` unknown" for name, _ in reveal.holders(point) if name not in shield.vectors]
    return vectors + [f"stored field `{key}` unknown" for key in point.payload if key not in _OURS]


def _payload_faults(shield: Shield, point: q.RetrievedPoint) -> list[str]:
    kept = point.payload.get(PAYLOAD)
    if kept is None:
        return []
    if not kept.HasField("struct_value"):
        return ["payload"]
    faults, point_id, stored = [], point_id_bytes(point.id), kept.struct_value.fields
    for key in stored:
        one = q.Struct()
        one.fields[key].CopyFrom(stored[key])
        try:
            reveal_map(one.fields, (), shield.fields, point_id)
        except (Unreadable, TenantShredded):
            faults.append(f"payload field `{key.removeprefix(UNREADABLE_NAME)}`")
    return faults


def content_of(point: q.RetrievedPoint) -> bytes:
    """All that is stored of a point: its payload as JSON with sorted keys, then each vector's name and numbers."""
    payload = {key: python_value(point.payload[key]) for key in point.payload}
    parts = [json.dumps(payload, sort_keys=True).encode()]
    for name, message in sorted(reveal.holders(point), key=lambda pair: pair[0]):
        parts += (name.encode(), *_numbers(message))
    return length_prefixed(*parts)


def _numbers(message: q.VectorOutput) -> tuple[bytes, bytes]:
    try:
        vector = wire.read(message)
    except InvalidArgument:
        return b"?", message.SerializeToString(deterministic=True)
    if isinstance(vector, wire.Sparse):
        order = np.argsort(vector.indices, kind="stable")
        return vector.indices[order].astype("<u4").tobytes(), vector.values[order].astype("<f4").tobytes()
    data = vector.data if isinstance(vector, wire.Dense) else vector.rows
    return ",".join(map(str, data.shape)).encode(), data.astype("<f4").tobytes()

"""Reads of collections with `rollback: detect`: whole points are judged; clients get what they asked for of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import RolledBack, Unreadable
from vecguard.fresh.guard import Guard
from vecguard.fresh.log import Log, is_whole, parse
from vecguard.fresh.stamps import ABSENT, Stamps
from vecguard.front.leaves import leaves
from vecguard.front.qdrant import parts
from vecguard.front.qdrant.payloads import point_id_bytes, python_value
from vecguard.front.qdrant.reveal import StoredPoint
from vecguard.front.qdrant.scope import PAYLOAD, RECORD, TENANT, UPDATED, WRITTEN
from vecguard.upstream import Answer
from vecguard.ways import Send

Reading: TypeAlias = q.GetPoints | q.ScrollPoints | q.QueryPoints | q.QueryPointGroups

_P: Final = "/qdrant.Points/"
_GET: Final = f"{_P}Get"
READS: Final = frozenset(f"{_P}{name}" for name in ("Get", "Scroll", "Query", "QueryGroups"))
"""RPCs whose answers carry points."""
MATRICES: Final = frozenset(f"{_P}{name}" for name in ("SearchMatrixPairs", "SearchMatrixOffsets"))
"""RPCs whose answers carry ids of points."""
_PAGE: Final = 1_000
_LOOKS: Final = 3
_TOP: Final = frozenset({PAYLOAD, RECORD, UPDATED, WRITTEN, TENANT})


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads of one call on one collection."""

    send: Send
    guard: Guard
    stamps: Stamps

    async def read(self, rpc: str, message: Any, answer: type[Answer]) -> Answer:
        """Send a read. What looks rolled back is read once more: its log may have gone before the answer came.

        Raises:
            RolledBack: a point is not the newest.
            FailedPrecondition, Unavailable: see `Guard.logs`.
        """
        for look in range(1, _LOOKS + 1):
            found, bad = await self._look(rpc, message, answer)
            if not bad:
                return found
            if look == _LOOKS:
                raise RolledBack(tuple(bad))
        raise Unreadable

    async def _look(self, rpc: str, message: Any, answer: type[Answer]) -> tuple[Answer, list[str]]:
        """An answer, and the ids of points in it that are not the newest."""
        began = time.monotonic()
        if rpc in MATRICES:
            found = await self.send(rpc, message, answer)
            bare = [q.RetrievedPoint(id=point_id) for point_id in _ids_of_matrix(found)]
            return found, await self._judge_parts(message.collection_name, bare, began)
        kept = _kept(_selector(message))
        if kept is None:
            found = await self.send(rpc, message, answer)
            return found, await self._judge_parts(message.collection_name, list(_points(found)), began)
        ask = type(message)()
        ask.CopyFrom(message)
        ask.with_payload.Clear()
        ask.with_payload.enable = True
        found = await self.send(rpc, ask, answer)
        bad = await judged(self.guard, self.stamps, list(_points(found)), began)
        for point in _points(found):
            for key in [key for key in point.payload if key not in kept]:
                del point.payload[key]
        return found, bad

    async def _judge_parts(self, collection: str, points: Sequence[StoredPoint], began: float) -> list[str]:
        """The same of points with a part of their payloads, which the database selects by its own rules for paths.

        The whole points are read beside, and judged, so that nothing is missing; what was answered may be newer or
        older than that, but no older than the read.
        """
        if not points:
            return []
        whole = await self._whole(collection, [point.id for point in points])
        ids = [point_id_bytes(point.id) for point in points]
        logs, since = await self.guard.logs(self.stamps, ids, began)
        bad = []
        for point, point_id, text in zip(points, ids, logs, strict=True):
            log = parse(text)
            if self._is_part(point, point_id, whole.get(point_id), log, since):
                parts.prune(point, log, self.stamps, since)
            else:
                bad.append(shown(point.id))
        return bad

    def _is_part(self, point: StoredPoint, point_id: bytes, whole: parts.Payload | None, log: Log, since: int) -> bool:
        """Whether what was answered of a point is a part of the newest."""
        if whole is None:  # it was deleted since
            sound = log.allowed(parts.RECORD_PATH, since) != {ABSENT}
        else:
            sound = log.fresh(_content(whole, point_id, self.stamps, log, since), since)
        found = _content(point.payload, point_id, self.stamps, log, since)
        if not sound or all(stamp in log.allowed(path, since) for path, stamp in found.items()):
            return sound
        return whole is not None and set(_leaves(point.payload)) <= set(_leaves(whole))  # a part of a list

    async def _whole(self, collection: str, ids: Sequence[q.PointId]) -> dict[bytes, parts.Payload]:
        """Payloads of points, whole, by id."""
        unique = list({point_id_bytes(point_id): point_id for point_id in ids}.values())
        found: dict[bytes, parts.Payload] = {}
        for start in range(0, len(unique), _PAGE):
            ask = q.GetPoints(collection_name=collection, ids=unique[start : start + _PAGE])
            ask.with_payload.enable = True
            answer = await self.send(_GET, ask, q.GetResponse)
            found |= {point_id_bytes(point.id): point.payload for point in answer.result}
        return found


async def judged(guard: Guard, stamps: Stamps, points: Sequence[StoredPoint], began: float) -> list[str]:
    """The ids of whole points that are not the newest; from the others entries are taken that were superseded.

    `began`: when the read of them did, in monotonic seconds.

    Raises:
        FailedPrecondition, Unavailable: see `Guard.logs`.
    """
    if not points:
        return []
    ids = [point_id_bytes(point.id) for point in points]
    logs, since = await guard.logs(stamps, ids, began)
    bad = []
    for point, point_id, text in zip(points, ids, logs, strict=True):
        payload = point.payload
        if UPDATED not in payload and is_whole(text, parts.whole_of(payload, point_id, stamps)):
            continue
        log = parse(text)
        if log.fresh(_content(payload, point_id, stamps, log, since), since):
            parts.prune(point, log, stamps, since)
        else:
            bad.append(shown(point.id))
    return bad


def _content(payload: parts.Payload, point_id: bytes, stamps: Stamps, log: Log, since: int) -> parts.Leaves:
    found = parts.content_of(payload, point_id, stamps)
    return parts.reconciled(found, payload, point_id, stamps, lambda path: log.allowed(path, since))


def _selector(message: Reading) -> q.WithPayloadSelector:
    """Which payload a read asks for; a scroll that does not say asks for all."""
    if isinstance(message, q.ScrollPoints) and not message.HasField("with_payload"):
        return q.WithPayloadSelector(enable=True)
    return message.with_payload


def _kept(selector: q.WithPayloadSelector) -> frozenset[str] | None:
    """The stored keys that a selector asks for; None where it asks for parts of what lies under them."""
    kind = selector.WhichOneof("selector_options")
    if kind == "enable":
        return _TOP if selector.enable else frozenset()
    if kind == "include" and _TOP.issuperset(selector.include.fields):
        return frozenset(selector.include.fields)
    if kind == "exclude" and _TOP.issuperset(selector.exclude.fields):
        return _TOP - frozenset(selector.exclude.fields)
    return frozenset() if kind is None else None


def _points(found: Message) -> Iterator[StoredPoint]:
    if isinstance(found, q.QueryGroupsResponse):
        for group in found.result.groups:
            yield from group.hits
    else:
        yield from cast("Any", found).result


def _ids_of_matrix(found: Message) -> list[q.PointId]:
    if isinstance(found, q.SearchMatrixOffsetsResponse):
        return list(found.result.ids)
    pairs = cast("q.SearchMatrixPairsResponse", found).result.pairs
    return list({shown(one): one for pair in pairs for one in (pair.a, pair.b)}.values())


def _leaves(payload: parts.Payload) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every leaf with the keys under which it lies, wherever in lists."""
    if PAYLOAD in payload:
        for keys, value in leaves(python_value(payload[PAYLOAD])):
            yield keys, (type(value), value)


def shown(point_id: q.PointId) -> str:
    """An id as an operator would write it."""
    return point_id.uuid if point_id.HasField("uuid") else str(point_id.num)

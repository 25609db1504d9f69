"""Bringing the points of a collection to the current keys, while clients read and write it.

What is written depends on what was read, and Qdrant has no transaction for that. But it has updates under a filter, and
whatever a client writes meanwhile is under the current keys. So each part is written only where the text under older
keys that was read still stands. For vectors the ring of pending entries serves as it does for clients' own updates
(`records`); docs/adr/rotation-under-writes.md goes through the interleavings.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from qdrant_client import grpc as q

from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, TenantShredded, Unreadable, UpstreamFailure
from vecguard.front.qdrant import filters, records, reveal
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.metadata import read_manifest, reseal_client_metadata
from vecguard.front.qdrant.payloads import levels_of, point_id_bytes, protect_map, reveal_map
from vecguard.front.qdrant.scope import RECORD, TENANT, UPDATED
from vecguard.front.qdrant.stale import has_stale_record, is_stale, stale_maps, tenants_keys
from vecguard.front.qdrant.translation import call
from vecguard.front.qdrant.writes import Entries, Operation, protect_vectors
from vecguard.front.rotation import Moved
from vecguard.manifest import open_tenants
from vecguard.model import Caller
from vecguard.policy.paths import render
from vecguard.seal import base64url, record
from vecguard.shield import Shield
from vecguard.upstream import Upstream

PAGE = 100
_CLOSED = (Unreadable, InvalidArgument, StaleEntry, TenantShredded)


async def reprotect(upstream: Upstream, name: str, shield: Shield) -> AsyncIterator[Moved]:
    """One pass over all points, in the order of their ids; see `vecguard.front.rotation.Reprotect`.

    Raises:
        UpstreamFailure: the database cannot be reached, or refuses.
    """
    await reseal_client_metadata(upstream, name, shield.own_fields, shield.manifest)
    ask = q.ScrollPoints(collection_name=name, limit=PAGE)
    ask.with_payload.enable = True
    ask.with_vectors.enable = False
    while True:
        answer = await call(upstream, "/qdrant.Points/Scroll", ask, q.ScrollResponse, shield)
        stale, odd = _sorted_out(shield, answer.result)
        if odd and await _learned(upstream, name, shield):
            stale, odd = _sorted_out(shield, answer.result)
        found = len(stale) + len(odd)
        odd += await _move(upstream, name, shield, stale) if stale else []
        yield Moved(len(answer.result), found, tuple(_shown(point_id) for point_id in odd))
        if not answer.HasField("next_page_offset"):
            return
        ask.offset.CopyFrom(answer.next_page_offset)


async def _learned(upstream: Upstream, name: str, shield: Shield) -> bool:
    """Learn which keys of tenants came since, where there are any; whether there can be such keys."""
    if shield.tenancy is None:
        return False
    stored = await read_manifest(upstream, name, Caller())
    if stored is not None:
        open_tenants(stored.tenants, shield.manifest, shield.ring, shield.tenancy.keys)
    return True


def _shown(point_id: q.PointId) -> str:
    return point_id.uuid if point_id.HasField("uuid") else str(point_id.num)


def _sorted_out(shield: Shield, points: Sequence[q.RetrievedPoint]) -> tuple[list[q.PointId], list[q.PointId]]:
    """The ids of points under older keys, and of those of which that cannot be told."""
    stale, odd = list[q.PointId](), list[q.PointId]()
    for point in points:
        try:
            if is_stale(shield, point):
                stale.append(point.id)
        except (Unreadable, TenantShredded):
            odd.append(point.id)
    return stale, odd


async def _move(upstream: Upstream, name: str, shield: Shield, ids: Sequence[q.PointId]) -> list[q.PointId]:
    """Protect points anew; the ids of those that do not open.

    An update of vectors fails where one of its points is deleted after it was read, whatever its filter. What the batch
    then left undone is done point by point, from what is read anew; one that is gone needs nothing.
    """
    try:
        return await _move_together(upstream, name, shield, ids)
    except UpstreamFailure as failure:
        if failure.status != "NOT_FOUND":
            raise
    if len(ids) == 1:
        return []
    return [odd for point_id in ids for odd in await _move(upstream, name, shield, [point_id])]


async def _move_together(upstream: Upstream, name: str, shield: Shield, ids: Sequence[q.PointId]) -> list[q.PointId]:
    ask = q.GetPoints(collection_name=name, ids=ids)
    ask.with_payload.enable = ask.with_vectors.enable = True
    points = (await call(upstream, "/qdrant.Points/Get", ask, q.GetResponse, shield)).result
    operations, odd = _all_operations(shield, points)
    if odd and await _learned(upstream, name, shield):
        operations, odd = _all_operations(shield, points)
    if operations:
        batch = q.UpdateBatchPoints(collection_name=name, operations=operations, wait=True)
        await call(upstream, "/qdrant.Points/UpdateBatch", batch, q.UpdateBatchResponse, shield)
    return odd


def _all_operations(shield: Shield, points: Sequence[q.RetrievedPoint]) -> tuple[list[Operation], list[q.PointId]]:
    """What brings these points to the current keys, and the ids of those that do not open."""
    try:
        return _operations(shield, points), []
    except _CLOSED:
        operations, odd = list[Operation](), list[q.PointId]()
        for point in points:  # one by one, so that one that is damaged keeps no other
            try:
                operations += _operations(shield, [point])
            except _CLOSED:
                odd.append(point.id)
        return operations, odd


def _operations(shield: Shield, points: Sequence[q.RetrievedPoint]) -> list[Operation]:
    """What brings these points to the current keys, each only where it still is what was read.

    Where tenants have keys of their own, each to the current one of its tenant; if that has none yet, to none.

    Raises:
        Unreadable, StaleEntry, TenantShredded: a part of one does not open.
        InvalidArgument: a vector cannot be stored with its new noise.
    """
    if shield.tenancy is None:
        return _of_one_key(shield, points)
    groups: dict[tuple[int, ...], list[q.RetrievedPoint]] = {}
    for point in points:
        groups.setdefault(tenants_keys(shield, point), []).append(point)
    current = {numbers: of for numbers, of in groups.items() if shield.tenancy.are_current(numbers)}
    return [one for numbers, of in current.items() for one in _of_one_key(shield.under(numbers), of)]


def _of_one_key(shield: Shield, points: Sequence[q.RetrievedPoint]) -> list[Operation]:
    return [*_of_records(shield, [p for p in points if has_stale_record(shield, p)]), *_of_payloads(shield, points)]


# -- payload -----------------------------------------------------------------------------------------------------------


def _of_payloads(shield: Shield, points: Sequence[q.RetrievedPoint]) -> Iterator[Operation]:
    for point in points:
        bound = point_id_bytes(point.id)
        for found in stale_maps(shield, point):
            one = Operation.SetPayload(payload=found.values, key=found.path)
            reveal_map(one.payload, found.keys, shield.fields, bound)
            level = levels_of(render(found.keys)) if found.keys else 0
            protect_map(one.payload, found.keys, shield.fields, bound, level)
            unchanged = q.Filter(must=[q.Condition(field=condition) for condition in found.unchanged])
            one.points_selector.filter.CopyFrom(_all_of(filters.only_ids([point.id]), unchanged))
            yield Operation(set_payload=one)


def _all_of(*conditions: q.Filter) -> q.Filter:
    return filters.merged(*conditions) or q.Filter()


# -- vectors and their records -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """One point's way to the current keys: its vectors as they will be stored, and what stands beside them now."""

    point: q.RetrievedPoint
    vectors: q.Vectors
    entries: Entries
    new_record: str

    @property
    def read_record(self) -> str:
        """The record's text that was read."""
        text: str = self.point.payload[RECORD].string_value
        return text

    @property
    def ring(self) -> Mapping[str, str]:
        """What was read in `_vgn`: texts of entries by key."""
        updated = self.point.payload.get(UPDATED)
        fields = {} if updated is None else updated.struct_value.fields
        return {key: fields[key].string_value for key in fields}

    @property
    def pending(self) -> dict[str, str]:
        """The new entries, where they wait in the ring for their vectors."""
        return {records.pending_key(name, entry): base64url.encode(entry) for name, entry in self.entries.items()}


def _turns(shield: Shield, points: Sequence[q.RetrievedPoint]) -> list[_Turn]:
    clear = [_exact(shield, points, name) for name in shield.vectors]
    holders = []
    for i in range(len(points)):
        vectors = q.Vectors()
        for name, of_points in zip(shield.vectors, clear, strict=True):
            if i in of_points:
                message = vectors.vector if name == "" else vectors.vectors.vectors[name]
                message.CopyFrom(of_points[i])
        holders.append(vectors)
    entries = protect_vectors(shield, [point_id_bytes(point.id) for point in points], holders)
    manifest = shield.manifest.short_id
    return [
        _Turn(point, vectors, sealed, record.encode(manifest, sealed))
        for point, vectors, sealed in zip(points, holders, entries, strict=True)
    ]


def _exact(shield: Shield, points: Sequence[q.RetrievedPoint], name: str) -> dict[int, q.Vector]:
    """The exact vectors called `name`, by the position of their point."""
    exact = reveal.open_vectors(shield, points, name)
    return {at: _message(vector) for at, vector in zip(exact.positions, exact.vectors, strict=True)}


def _message(vector: wire.AnyVector) -> q.Vector:
    message = q.Vector(dense=q.DenseVector())
    wire.write(message, vector)
    return message


def _of_records(shield: Shield, points: Sequence[q.RetrievedPoint]) -> list[Operation]:
    """New entries into the ring, the vectors, the new records, and the ring cleared of what has no more use."""
    turns = _turns(shield, points)
    ids = [turn.point.id for turn in turns]
    pending = [_set(turn, turn.pending, UPDATED, _as_read([turn])) for turn in turns if turn.entries]
    vectors = [_vectors(turns_of) for turns_of in _by_names(turns)]
    of_record = {} if shield.tenancy is None else {TENANT: q.Value(integer_value=shield.sealing)}
    texts = [_set(turn, {RECORD: turn.new_record}, None, _as_read([turn], and_ours=True), of_record) for turn in turns]
    return [*pending, *vectors, *texts, *_cleared(turns, ids)]


def _by_names(turns: Sequence[_Turn]) -> list[list[_Turn]]:
    groups: dict[frozenset[str], list[_Turn]] = {}
    for turn in turns:
        if turn.entries:
            groups.setdefault(frozenset(turn.entries), []).append(turn)
    return list(groups.values())


def _vectors(turns: Sequence[_Turn]) -> Operation:
    one = Operation.UpdateVectors(points=[q.PointVectors(id=turn.point.id, vectors=turn.vectors) for turn in turns])
    ids = filters.only_ids([turn.point.id for turn in turns])
    one.update_filter.CopyFrom(_all_of(ids, _as_read(turns, and_ours=True)))
    return Operation(update_vectors=one)


def _set(
    turn: _Turn,
    texts: Mapping[str, str],
    key: str | None,
    condition: q.Filter,
    others: Mapping[str, q.Value] | None = None,
) -> Operation:
    values = {name: q.Value(string_value=text) for name, text in texts.items()} | dict(others or {})
    one = Operation.SetPayload(payload=values)
    if key is not None:
        one.key = key
    one.points_selector.filter.CopyFrom(_all_of(filters.only_ids([turn.point.id]), condition))
    return Operation(set_payload=one)


def _as_read(turns: Sequence[_Turn], *, and_ours: bool = False) -> q.Filter:
    """The stored filter for points (of the same vector names) whose records are what was read.

    That is: `_vg` is, and in `_vgn` nothing stands under these names but what was read; with `and_ours`, our pending
    entries do, beside it. Texts are of one point each, so that any of several points' means its own.
    """
    conditions = [_one_of(RECORD, [turn.read_record for turn in turns])]
    keys = dict.fromkeys(key for turn in turns for name in turn.entries for key in records.keys_of(name))
    for key in keys:
        known = [turn.ring[key] for turn in turns if key in turn.ring]
        known += [turn.pending[key] for turn in turns if and_ours and key in turn.pending]
        path = f"{UPDATED}.{key}"
        absent = q.Condition(is_empty=q.IsEmptyCondition(key=path))
        either = q.Filter(should=[absent, *([_one_of(path, known)] if known else [])])
        conditions.append(q.Condition(filter=either))
    whole = q.Filter(must=conditions)
    return _all_of(whole, records.still_pending([turn.entries for turn in turns])) if and_ours else whole


def _one_of(path: str, texts: Sequence[str]) -> q.Condition:
    match = q.Match(keywords=q.RepeatedStrings(strings=texts))
    return q.Condition(field=q.FieldCondition(key=path, match=match))


def _cleared(turns: Sequence[_Turn], ids: Sequence[q.PointId]) -> Iterator[Operation]:
    """Take out of the ring what was read in it and what we put there, of points that have their new record."""
    known: dict[str, list[str]] = {}
    for turn in turns:
        for place in (turn.ring, turn.pending):
            for key, text in place.items():
                known.setdefault(key, []).append(text)
    have_new = q.Filter(must=[_one_of(RECORD, [turn.new_record for turn in turns])])
    for key, texts in known.items():
        path = f"{UPDATED}.{key}"
        one = Operation.DeletePayload(keys=[path])
        stands = q.Filter(must=[_one_of(path, texts)])
        one.points_selector.filter.CopyFrom(_all_of(filters.only_ids(list(ids)), have_new, stands))
        yield Operation(delete_payload=one)

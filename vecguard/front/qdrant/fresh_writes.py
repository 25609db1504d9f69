"""Writes to collections with `rollback: detect`: the memory is told before, and after the database has acknowledged.

What a filter selects is looked up first, page by page, and written by id under the same filter; what the database then
applied it to is read afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument, Refused, UpstreamFailure
from vecguard.fresh.guard import Guard
from vecguard.fresh.log import ALL, Change
from vecguard.fresh.stamps import Stamps
from vecguard.front.qdrant import filters, parts
from vecguard.front.qdrant.payloads import point_id_bytes
from vecguard.front.qdrant.reveal import holders
from vecguard.front.qdrant.scope import PAYLOAD
from vecguard.policy.paths import parse
from vecguard.upstream import Answer
from vecguard.ways import Send

Operation: TypeAlias = q.PointsUpdateOperation
Writing: TypeAlias = q.UpsertPoints | q.UpdateBatchPoints | q.DeletePoints

_P: Final = "/qdrant.Points/"
_GET: Final = f"{_P}Get"
_BATCH: Final = f"{_P}UpdateBatch"
_PAGE: Final = 1_000
# The database says so before, or without, applying all of a write: what it applied can be read.
_DEFINITE: Final = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "PERMISSION_DENIED"})


@dataclass(slots=True)
class _Step:
    """Operations that go to the database in one request. `decided`: a filter says what they are applied to."""

    operations: list[Operation] = field(default_factory=list)
    changes: dict[bytes, Change] = field(default_factory=dict)
    ids: dict[bytes, q.PointId] = field(default_factory=dict)
    decided: bool = False

    def add(self, point_id: q.PointId, change: Change) -> None:
        """Note what is done to one point."""
        key = point_id_bytes(point_id)
        known = self.changes.get(key)
        self.changes[key], self.ids[key] = change if known is None else known.then(change), point_id

    def take(self, operation: Operation, made: Sequence[tuple[q.PointId, Change]], *, decided: bool) -> None:
        """Take one more operation, and what it does."""
        self.operations.append(operation)
        self.decided = self.decided or decided
        for point_id, change in made:
            self.add(point_id, change)

    def conflicts(self, made: Sequence[tuple[q.PointId, Change]]) -> bool:
        """Whether more would put something else where these operations do: if the database applied some of them alone,
        which ones could not be told."""
        for point_id, change in made:
            known = self.changes.get(point_id_bytes(point_id))
            if known is not None and (_overrides(change, known) or _overrides(known, change)):
                return True
        return False


def _overrides(one: Change, other: Change) -> bool:
    """Whether a change covers a leaf of another that is not its own."""
    return any(
        path != ALL and one.leaves.get(path) != stamp and any(each.has(path) for each in one.covers)
        for path, stamp in other.leaves.items()
    )


@dataclass(frozen=True, slots=True)
class Writer:
    """One write."""

    send: Send
    guard: Guard
    stamps: Stamps
    message: Writing

    async def write(self, rpc: str) -> Message:
        """Send it, in as many requests as it takes; the answer as the database would give it.

        Raises:
            Refused, InvalidArgument: nobody could say what is the newest then.
            FailedPrecondition, Unavailable: see `Guard.begin`.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        message = self.message
        if isinstance(message, q.UpsertPoints):
            step = _Step(decided=_is_conditional(message))
            for point in message.points:
                step.add(point.id, parts.upserted(point, self.stamps))
            return await self._send(rpc, message, q.PointsOperationResponse, step)
        if isinstance(message, q.DeletePoints):
            operation = Operation(delete_points=Operation.DeletePoints(points=message.points))
            found = await self._batch([operation])
            return q.PointsOperationResponse(result=found.result[-1], time=found.time)
        if not message.operations:  # the database has words for that
            return await self.send(rpc, message, q.UpdateBatchResponse)
        return await self._batch(message.operations)

    async def _batch(self, operations: Sequence[Operation]) -> q.UpdateBatchResponse:
        """All operations, in order; one result for each."""
        answer, step = q.UpdateBatchResponse(), _Step()
        for operation in operations:
            selected = _filter_of(operation)
            if selected is not None and _named(selected) is None:
                answer.MergeFrom(await self._send_step(step))
                step = _Step()
                answer.MergeFrom(await self._selected(operation, selected))
                continue
            made, decided = self._changes(operation, _named(selected) if selected is not None else None)
            if step.conflicts(made):
                answer.MergeFrom(await self._send_step(step))
                step = _Step()
            step.take(operation, made, decided=decided)
        answer.MergeFrom(await self._send_step(step))
        return answer

    async def _selected(self, operation: Operation, selected: q.Filter) -> q.UpdateBatchResponse:
        """An operation on what a filter selects, a page of ids at a time, each under the same filter."""
        answer, ask = None, q.ScrollPoints(collection_name=self.message.collection_name, limit=_PAGE)
        ask.filter.CopyFrom(selected)
        ask.with_payload.enable = False
        ask.with_vectors.enable = False
        shard = _shard_of(operation)
        if shard is not None:
            ask.shard_key_selector.CopyFrom(shard)
        while True:
            page = await self.send(f"{_P}Scroll", ask, q.ScrollResponse)
            ids, one = [point.id for point in page.result], Operation()
            one.CopyFrom(operation)
            _select(one, filters.merged(filters.only_ids(ids), selected) or q.Filter())
            step = _Step()
            step.take(one, self._changes(one, ids)[0], decided=True)
            answer = await self._send_step(step)
            if not page.HasField("next_page_offset"):
                return answer
            ask.offset.CopyFrom(page.next_page_offset)

    async def _send_step(self, step: _Step) -> q.UpdateBatchResponse:
        if not step.operations:
            return q.UpdateBatchResponse()
        batch = q.UpdateBatchPoints(collection_name=self.message.collection_name, operations=step.operations)
        for option in ("ordering", "timeout"):
            if self.message.HasField(option):
                value = getattr(self.message, option)
                batch.ordering.CopyFrom(value) if option == "ordering" else setattr(batch, option, value)
        return await self._send(_BATCH, batch, q.UpdateBatchResponse, step)

    async def _send(self, rpc: str, message: Writing, answer: type[Answer], step: _Step) -> Answer:
        """Send one request, between the two words to the memory."""
        message.wait = True
        begun = await self.guard.begin(self.stamps, step.changes)
        try:
            found = await self.send(rpc, message, answer)
        except UpstreamFailure as failure:
            if failure.status in _DEFINITE:
                await self.guard.commit(begun, await self._applied(step))
            raise  # of any other failure nobody knows: what was and what was to be both stay
        if _is_complete(found):
            await self.guard.commit(begun, await self._applied(step) if step.decided else None)
        return found

    async def _applied(self, step: _Step) -> dict[bytes, parts.Leaves]:
        """What there is now of the points of a step, by id."""
        found, ids = dict[bytes, parts.Leaves](), list(step.ids.values())
        for start in range(0, len(ids), _PAGE):
            ask = q.GetPoints(collection_name=self.message.collection_name, ids=ids[start : start + _PAGE])
            ask.with_payload.enable = True
            # Where vectors were deleted their entries stay: whether they were is told by the vectors.
            ask.with_vectors.enable = looked = any(one.HasField("delete_vectors") for one in step.operations)
            for point in (await self.send(_GET, ask, q.GetResponse)).result:
                key, held = point_id_bytes(point.id), {name for name, _ in holders(point)} if looked else None
                there, made = parts.parts_of(point.payload, key, self.stamps, held), step.changes[key].leaves
                meant = partial(_meant, made, there)
                found[key] = parts.reconciled(there, point.payload, key, self.stamps, meant)
        return found

    def _changes(
        self, operation: Operation, named: Sequence[q.PointId] | None
    ) -> tuple[list[tuple[q.PointId, Change]], bool]:
        """What one operation does to which points, and whether a filter says if it does. `named`: the ids that its own
        filter leaves over, where it has one."""
        kind = operation.WhichOneof("operation")
        part: Any = getattr(operation, kind or "upsert")
        decided = named is not None or _is_conditional(part)
        if kind == "upsert":
            return [(point.id, parts.upserted(point, self.stamps)) for point in part.points], decided
        if kind == "update_vectors":  # their entries are other operations of the same request
            return [], decided
        ids = _ids_of(operation) if named is None else named
        return [(one, self._change(kind or "", part, point_id_bytes(one))) for one in ids], decided

    def _change(self, kind: str, part: Any, point_id: bytes) -> Change:
        match kind:
            case "set_payload":
                keys = _plain_keys(part.key) if part.HasField("key") else ()
                return parts.payload_set(part.payload, keys, point_id, self.stamps)
            case "delete_payload":
                return parts.payload_deleted([_plain_keys(key) for key in part.keys], self.stamps)
            case "delete_vectors":
                return parts.vectors_deleted(part.vectors.names, self.stamps)
            case "delete_points" | "delete_deprecated":
                return parts.DELETED
        raise Refused(f"`{kind}` is not known to `rollback: detect`")


def _meant(made: Mapping[bytes, bytes], there: Mapping[bytes, bytes], path: bytes) -> tuple[bytes, ...]:
    """What a write put at a path; where it put nothing, whatever is there."""
    return (made[path],) if path in made else (there[path],)


def _plain_keys(path: str) -> tuple[str, ...]:
    """The keys of a path that leads through no list.

    Raises:
        InvalidArgument: it does: what lies in a list is remembered as one part with all of it.
    """
    keys = parse(path)
    bare = path
    for key in sorted(keys, key=len, reverse=True):
        bare = bare.replace(f'"{key}"', "")
    if "[" in bare:
        shown_path = path.removeprefix(f"{PAYLOAD}.")
        raise InvalidArgument(
            f"`{shown_path}` leads into a list, which collections with `rollback: detect` remember as a whole: write "
            "the whole list"
        )
    return keys


def _selectors(operation: Operation) -> Iterator[q.PointsSelector]:
    kind = operation.WhichOneof("operation")
    part: Any = getattr(operation, kind or "upsert")
    if kind in ("set_payload", "delete_payload", "delete_vectors"):
        yield part.points_selector
    elif kind == "delete_points":
        yield part.points
    elif kind == "delete_deprecated":
        yield part


def _filter_of(operation: Operation) -> q.Filter | None:
    """The filter by which an operation selects points; None where it names them."""
    for selector in _selectors(operation):
        if selector.WhichOneof("points_selector_one_of") == "filter":
            selected: q.Filter = selector.filter
            return selected
    return None


def _ids_of(operation: Operation) -> Iterable[q.PointId]:
    for selector in _selectors(operation):
        yield from selector.points.ids


def _select(operation: Operation, selected: q.Filter) -> None:
    held = q.Filter()
    held.CopyFrom(selected)
    for selector in _selectors(operation):
        selector.filter.CopyFrom(held)


def _is_conditional(part: Any) -> bool:
    """Whether a filter or a mode says which of the points that a write names it is applied to."""
    known = part.DESCRIPTOR.fields_by_name
    filtered = "update_filter" in known and part.HasField("update_filter")
    return filtered or ("update_mode" in known and part.update_mode != q.UpdateMode.Upsert)


def _is_complete(found: Message) -> bool:
    """Whether all of a request was applied when it was answered."""
    results = found.result if isinstance(found, q.UpdateBatchResponse) else [getattr(found, "result", None)]
    return all(result is not None and result.status == q.UpdateStatus.Completed for result in results)


def _shard_of(operation: Operation) -> q.ShardKeySelector | None:
    part: Any = getattr(operation, operation.WhichOneof("operation") or "upsert")
    with_shard = "shard_key_selector" in part.DESCRIPTOR.fields_by_name and part.HasField("shard_key_selector")
    return part.shard_key_selector if with_shard else None


def _named(selected: q.Filter) -> list[q.PointId] | None:
    """Ids beyond which a filter selects nothing; None where it names none."""
    for condition in selected.must:
        kind = condition.WhichOneof("condition_one_of")
        if kind == "has_id":
            return list(condition.has_id.has_id)
        if kind == "filter" and (named := _named(condition.filter)) is not None:
            return named
    return None

"""Calls held to mandatory conditions: the one place through which Qdrant's messages go where there are any.

Every message on its way to the database is looked up here by its RPC, and gets the conditions, in their stored form,
into its filter; a read by id becomes a read by filter; a write is checked, and touches only records that satisfy them.
A message whose RPC is not in the table is refused, so that a new one cannot slip past. Row filters are such conditions,
which what is written must satisfy, too; and so is retention, by which records that are too old are not there any more.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import Denied, InvalidArgument, NotFound
from vecguard.front.qdrant import filters
from vecguard.front.qdrant.conditions import Demands, compiled, without_keys
from vecguard.front.qdrant.inspect import id_of
from vecguard.front.qdrant.retention import kept
from vecguard.front.qdrant.stages import id_message, key_of, vector_inputs
from vecguard.pipeline import Session
from vecguard.upstream import Answer

Operation: TypeAlias = q.PointsUpdateOperation
Sources: TypeAlias = q.QueryPoints | q.QueryPointGroups | q.PrefetchQuery
Filtered: TypeAlias = q.ScrollPoints | q.CountPoints | q.FacetCounts | q.SearchMatrixPoints

_P: Final = "/qdrant.Points/"
_C: Final = "/qdrant.Collections/"
# Messages that carry names only, and those of lists that are cut to what the caller may see.
_NAMES: Final = frozenset(
    {
        f"{_C}List",
        f"{_C}ListAliases",
        f"{_C}ListCollectionAliases",
        f"{_C}CollectionExists",
        "/qdrant.Qdrant/HealthCheck",
    }
)

# What declares something of a collection, and neither shows nor changes a record: not for who has some rows only, but
# for who is one of several tenants.
_DECLARATIONS: Final = frozenset(
    {
        *(f"{_C}{name}" for name in ("Create", "Update", "UpdateAliases")),
        *(f"{_P}{name}" for name in ("CreateFieldIndex", "DeleteFieldIndex", "CreateVectorName")),
    }
)


async def restricted(session: Session, rpc: str, message: Message, answer: type[Answer]) -> Answer:
    """Send a message under the session's conditions; see `vecguard.session.Restrict`.

    Raises:
        Denied: it concerns more than the records that satisfy them, or writes one that does not.
        NotFound: it names as an example a record that does not satisfy them.
        FailedPrecondition: a field's mode cannot answer a condition.
    """
    if rpc in _NAMES:
        return await session.send(rpc, message, answer)
    held = _HELD.get(rpc)
    if held is None:
        # Retention alone leaves all that is left of a collection to the caller.
        if not session.mandatory and (rpc in _DECLARATIONS or not session.tenants):
            return await session.send(rpc, message, answer)
        raise session.beyond_rows()
    demands = _demands(session, getattr(message, "collection_name", ""), by_id=rpc == f"{_P}Get")
    if demands is None:
        return await session.send(rpc, message, answer)
    found: Answer = await held(session, rpc, message, demands)
    return found


def _demands(session: Session, collection: str, *, by_id: bool) -> Demands | None:
    """The conditions on a collection; None where the principal has all of it, and all of it is kept."""
    conditions, entry = session.mandatory.get(collection, ()), session.entries.get(collection)
    if entry is None:  # it was never opened, so nobody asked what holds for it
        raise session.beyond_rows()
    rule = session.retention(entry)
    excluded = [id_of(key) for key in session.excluded.get(collection, ())]
    excluded += map(id_message, session.hidden.left_out.get(collection, ()))
    tenancy = None if entry.shield is None else entry.shield.tenancy
    gone = tenancy.keys.destroyed if tenancy is not None and session.leaves_out and not by_id else ()
    if not conditions and rule is None and not excluded and not gone and collection not in session.tenants:
        return None
    young = None if rule is None else kept(rule, time.time())
    sound = filters.without_ids(excluded) if excluded else None
    held = compiled(conditions, entry, filters.merged(young, sound, without_keys(gone) if gone else None))
    if tenancy is None or collection not in session.tenants:
        return held
    return held.within_keys(session.principal.name, tenancy.of(session.tenants[collection]))


def _narrow(message: Any, demands: Demands) -> None:
    """Put the conditions beside the filter that a message has."""
    both = filters.merged(message.filter if message.HasField("filter") else None, demands.filter)
    assert both is not None  # noqa: S101 - the conditions are not nothing
    narrowed = q.Filter()
    narrowed.CopyFrom(both)
    message.filter.CopyFrom(narrowed)


async def _filtered(session: Session, rpc: str, message: Filtered, demands: Demands) -> Message:
    """A read with a filter. Counts are exact: an estimate is made from what there is of other records, too."""
    _narrow(message, demands)
    if isinstance(message, q.CountPoints | q.FacetCounts):
        message.exact = True
    return await session.send(rpc, message, _ANSWERS[rpc])


async def _get(session: Session, rpc: str, message: q.GetPoints, demands: Demands) -> q.GetResponse:
    """A read by id, as one by filter, in the order asked for."""
    del rpc
    order = {key_of(point_id): place for place, point_id in reversed(list(enumerate(message.ids)))}
    if not order:
        return q.GetResponse()
    ask = q.ScrollPoints(collection_name=message.collection_name, limit=len(order))
    ask.filter.CopyFrom(_those(message.ids, demands))
    ask.with_payload.enable = False
    if message.with_payload.WhichOneof("selector_options") is not None:
        ask.with_payload.CopyFrom(message.with_payload)
    for option in ("with_vectors", "read_consistency", "shard_key_selector"):
        if message.HasField(option):
            getattr(ask, option).CopyFrom(getattr(message, option))
    if message.HasField("timeout"):
        ask.timeout = message.timeout
    found = await session.send(f"{_P}Scroll", ask, q.ScrollResponse)
    points = sorted(found.result, key=lambda point: order[key_of(point.id)])
    return q.GetResponse(result=points, time=found.time)


def _those(ids: Iterable[q.PointId], demands: Demands) -> q.Filter:
    """The filter for records with these ids that satisfy the conditions."""
    return q.Filter(must=[q.Condition(has_id=q.HasIdCondition(has_id=ids)), q.Condition(filter=demands.filter)])


async def _query(
    session: Session, rpc: str, message: q.QueryPoints | q.QueryPointGroups, demands: Demands
) -> q.QueryResponse | q.QueryGroupsResponse:
    """A query, in each of its stages; examples that it names by id must satisfy the conditions of their collection."""
    for source in _sources(message):
        _narrow(source, demands)
        ids = [given.id for given in vector_inputs(source.query) if given.WhichOneof("variant") == "id"]
        if ids:
            place = source.lookup_from.collection_name if source.HasField("lookup_from") else message.collection_name
            await _require_own(session, place, ids)
    return await session.send(rpc, message, _ANSWERS[rpc])


def _sources(message: Sources) -> Iterator[Sources]:
    waiting: list[Sources] = [message]
    while waiting:
        source = waiting.pop()
        waiting.extend(source.prefetch)
        yield source


async def _require_own(session: Session, collection: str, ids: list[q.PointId]) -> None:
    """Behave as if a record that does not satisfy the conditions did not exist.

    Raises:
        NotFound: there is one.
    """
    demands = _demands(session, collection, by_id=True)
    if demands is None:
        return
    own = await _get(session, "", q.GetPoints(collection_name=collection, ids=ids), demands)
    there = {key_of(point.id) for point in own.result}
    missing = next((key for key in map(key_of, ids) if key not in there), None)
    if missing is not None:
        raise NotFound(f"Not found: No point with id {missing} found")


async def _upsert(session: Session, rpc: str, message: q.UpsertPoints, demands: Demands) -> q.PointsOperationResponse:
    if demands.rows is None:  # what is too old may be written anew
        return await session.send(rpc, message, q.PointsOperationResponse)
    _hold_points(message, demands.rows, demands)
    await _require_free(session, message.collection_name, [point.id for point in message.points], demands.rows)
    return await session.send(rpc, message, q.PointsOperationResponse)


def _hold_points(message: q.UpsertPoints | Operation.PointStructList, rows: q.Filter, demands: Demands) -> None:
    """Whole points must satisfy the conditions; of those that are there, only such as do are replaced."""
    for point in message.points:
        demands.check_point(point.payload)
    both = filters.merged(message.update_filter if message.HasField("update_filter") else None, rows)
    held = q.Filter()
    held.CopyFrom(both or rows)
    message.update_filter.CopyFrom(held)


async def _require_free(session: Session, collection: str, ids: list[q.PointId], rows: q.Filter) -> None:
    """Refuse to write over records that do not satisfy the conditions, before anything is written.

    One that is made between this look and the write is left alone: the write's own filter sees to that, in databases
    that know it (Qdrant 1.16 and later, and the embedded engine).

    Raises:
        Denied: there is one.
    """
    if not ids:
        return
    ask = q.ScrollPoints(collection_name=collection, limit=1)
    ask.filter.must.add().has_id.has_id.extend(ids)
    ask.filter.must_not.add().filter.CopyFrom(rows)
    ask.with_payload.enable = False
    found = (await session.send(f"{_P}Scroll", ask, q.ScrollResponse)).result
    if found:
        raise Denied(f"point {key_of(found[0].id)} is there already, outside the rows of `{session.principal.name}`")


async def _batch(session: Session, rpc: str, message: q.UpdateBatchPoints, demands: Demands) -> q.UpdateBatchResponse:
    ids = []
    for operation in message.operations:
        hold(operation, demands)
        ids += [point.id for point in operation.upsert.points]
    if demands.rows is not None:
        await _require_free(session, message.collection_name, ids, demands.rows)
    return await session.send(rpc, message, q.UpdateBatchResponse)


def hold(operation: Operation, demands: Demands) -> None:
    """Hold one stored operation to the conditions, in place."""
    kind = operation.WhichOneof("operation")
    match kind:
        case "upsert":
            if demands.rows is not None:
                _hold_points(operation.upsert, demands.rows, demands)
        case "set_payload":
            key = operation.set_payload.key if operation.set_payload.HasField("key") else None
            demands.check_set(key, operation.set_payload.payload)
            _hold_selector(operation.set_payload.points_selector, demands)
        case "overwrite_payload":
            demands.check_point(operation.overwrite_payload.payload)
            _hold_selector(operation.overwrite_payload.points_selector, demands)
        case "delete_payload":
            demands.check_deleted(operation.delete_payload.keys)
            _hold_selector(operation.delete_payload.points_selector, demands)
        case "update_vectors":
            _hold_vectors(operation.update_vectors, demands)
        case "delete_vectors":
            _hold_selector(operation.delete_vectors.points_selector, demands)
        case "delete_points":
            _hold_selector(operation.delete_points.points, demands)
        case "delete_deprecated":
            _hold_selector(operation.delete_deprecated, demands)
        case _:  # clearing a payload would take the conditions' fields with it
            raise Denied("a payload cannot be cleared: its row filter's field must stay; overwrite it with that field")


def _hold_selector(selector: q.PointsSelector, demands: Demands) -> None:
    """Let a write touch, of the points that it selects, those alone which satisfy the conditions."""
    kind = selector.WhichOneof("points_selector_one_of")
    if kind is None:
        raise InvalidArgument("PointSelector is missing")
    if kind == "points":
        held = _those(selector.points.ids, demands)
    else:
        held = q.Filter()
        held.CopyFrom(filters.merged(selector.filter, demands.filter) or demands.filter)
    selector.filter.CopyFrom(held)


def _hold_vectors(operation: Operation.UpdateVectors, demands: Demands) -> None:
    both = filters.merged(operation.update_filter if operation.HasField("update_filter") else None, demands.filter)
    held = q.Filter()
    held.CopyFrom(both or demands.filter)
    operation.update_filter.CopyFrom(held)


async def _describe(
    session: Session, rpc: str, message: q.GetCollectionInfoRequest, demands: Demands
) -> q.GetCollectionInfoResponse:
    """A collection as the principal sees it: its own points counted, and no other number."""
    answer = await session.send(rpc, message, q.GetCollectionInfoResponse)
    ask = q.CountPoints(collection_name=message.collection_name, exact=True, filter=demands.filter)
    shown = answer.result
    shown.points_count = (await session.send(f"{_P}Count", ask, q.CountResponse)).result.count
    if session.hidden.left_out:  # of what is planted, nothing is counted
        shown.indexed_vectors_count = min(shown.indexed_vectors_count, shown.points_count)
        for path in shown.payload_schema:
            shown.payload_schema[path].points = min(shown.payload_schema[path].points, shown.points_count)
    if demands.rows is None:
        return answer
    for number in ("indexed_vectors_count", "segments_count", "update_queue"):
        shown.ClearField(number)
    for path in shown.payload_schema:
        shown.payload_schema[path].ClearField("points")
    return answer


_ANSWERS: Final[dict[str, Any]] = {
    f"{_P}Query": q.QueryResponse,
    f"{_P}QueryGroups": q.QueryGroupsResponse,
    f"{_P}Scroll": q.ScrollResponse,
    f"{_P}Count": q.CountResponse,
    f"{_P}Facet": q.FacetResponse,
    f"{_P}SearchMatrixPairs": q.SearchMatrixPairsResponse,
    f"{_P}SearchMatrixOffsets": q.SearchMatrixOffsetsResponse,
}
_HELD: Final[dict[str, Callable[[Session, str, Any, Demands], Awaitable[Any]]]] = {
    **dict.fromkeys((f"{_P}Query", f"{_P}QueryGroups"), _query),
    **dict.fromkeys(
        (f"{_P}{name}" for name in ("Scroll", "Count", "Facet", "SearchMatrixPairs", "SearchMatrixOffsets")), _filtered
    ),
    f"{_P}Get": _get,
    f"{_P}Upsert": _upsert,
    f"{_P}UpdateBatch": _batch,
    f"{_C}Get": _describe,
}

"""Writes where each tenant has keys of its own: whose each record is, and one stored operation for each tenant.

A whole point says in its payload whose it is. What changes a part of points is looked up first: the number of the key
that each was written under stands beside it (`_vgk`). What is sealed for one tenant is then written under the condition
that the point still is that tenant's, so that another one's whole point which comes in between is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.errors import Denied, InvalidArgument, NotFound, Unreadable, VecGuardError
from vecguard.fields import Keys, Leaf, client_keys
from vecguard.front.qdrant import filters
from vecguard.front.qdrant.conditions import Demands, leaf_at, of_keys, without_keys
from vecguard.front.qdrant.mandatory import hold
from vecguard.front.qdrant.scope import TENANT
from vecguard.front.qdrant.stages import key_of
from vecguard.front.qdrant.translation import call
from vecguard.front.qdrant.writes import Operation, check_batch, protect_operation, protect_points
from vecguard.new_tenants import current_keys, tenant_keys
from vecguard.policy.paths import parse, render
from vecguard.session import Session
from vecguard.shield import Shield
from vecguard.tenancy import MOST_ASKED, Tenancy
from vecguard.upstream import Upstream

Numbers: TypeAlias = tuple[int, ...]
Payload: TypeAlias = Mapping[str, q.Value]

_LEAVES: Final = ("string_value", "integer_value", "bool_value")
_IDS: Final = "points"


async def protect_whole(session: Session, entry: Entry, points: Sequence[q.PointStruct]) -> list[tuple[int, q.PointId]]:
    """Protect whole points in place, each under its tenant's key.

    Raises:
        InvalidArgument: a point does not say whose it is, and see `protect_points`.
        TenantShredded: its tenant's keys were destroyed.
    """
    shield, tenancy = _of(entry)
    check_batch(len(points), shield)
    groups: dict[tuple[type, Leaf], list[q.PointStruct]] = {}
    for point in points:
        value = _whole_value(session, entry, tenancy, point.payload)
        groups.setdefault((type(value), value), []).append(point)
    for (_, value), of_tenant in groups.items():
        numbers = await tenant_keys(session, entry, value)
        protect_points(shield.under(numbers), of_tenant)
    return [(point.payload[TENANT].integer_value, point.id) for point in points]


class Batch:
    """The operations of one write, in their order: later ones meet the points that earlier ones put."""

    def __init__(self, session: Session, entry: Entry) -> None:
        self._session = session
        self._entry = entry
        self._shield, self._tenancy = _of(entry)
        self._put: dict[object, int] = {}

    async def stored(self, operation: Operation) -> list[Operation]:
        """The stored operations that a client's one operation becomes, in order; at least one.

        Raises:
            InvalidArgument: it would take a point from its tenant, and see `protect_operation`.
            NotFound: a point of which a part is to be changed is not there.
            TenantShredded: its tenant's keys were destroyed.
        """
        match operation.WhichOneof("operation"):
            case "upsert":
                return await self._upsert(operation)
            case "set_payload":
                said = self._said(operation.set_payload, whole=False)
                return await self._changed(operation, operation.set_payload.points_selector, said)
            case "overwrite_payload":
                said = self._said(operation.overwrite_payload, whole=True)
                return await self._changed(operation, operation.overwrite_payload.points_selector, said)
            case "update_vectors":
                return await self._vectors(operation)
            case "delete_payload":
                self._require_kept(operation.delete_payload.keys)
            case "clear_payload" | "clear_payload_deprecated" if self._tenancy.field is not None:
                raise self._refused(
                    f"a payload cannot be cleared here: `{self._field}` says whose a point is and must stay. "
                    "Overwrite it with that field"
                )
        return protect_operation(operation, self._shield)

    @property
    def _field(self) -> str:
        return render(self._tenancy.field or ())

    async def _upsert(self, operation: Operation) -> list[Operation]:
        if operation.upsert.HasField("update_filter"):
            filters.rewrite(operation.upsert.update_filter, self._shield.fields)
        for number, point_id in await protect_whole(self._session, self._entry, operation.upsert.points):
            self._put[key_of(point_id)] = number
        return [operation]

    # -- what is written to parts of points ----------------------------------------------------------------------------

    async def _changed(self, operation: Operation, selector: q.PointsSelector, said: Leaf | None) -> list[Operation]:
        """Set a payload: once for each tenant that the selected points are of, under its key."""
        if selector.WhichOneof("points_selector_one_of") == _IDS:
            found = set((await self._keys_of(selector.points.ids)).values())
        else:
            found = await self._keys_by_filter(selector)
        tenants = {self._tenancy.keys.siblings(number) for number in found}
        if said is not None and tenants - {self._tenancy.of(said)}:
            raise self._refused(
                f"`{self._field}` says whose a point is, and is not changed alone, as all of the point is under that "
                "tenant's key: write the whole point anew"
            )
        current = [await current_keys(self._session, self._entry, numbers[0]) for numbers in sorted(tenants)]
        return [one for numbers in current for one in self._under(numbers, operation)] or [_nothing()]

    async def _vectors(self, operation: Operation) -> list[Operation]:
        """Vectors: those of each tenant's points together."""
        check_batch(len(operation.update_vectors.points), self._shield)
        numbers = await self._keys_of([point.id for point in operation.update_vectors.points])
        groups: dict[Numbers, list[q.PointVectors]] = {}
        for point in operation.update_vectors.points:
            number = numbers.get(key_of(point.id))
            if number is not None:
                groups.setdefault(self._tenancy.keys.siblings(number), []).append(point)
        stored = []
        for of_tenant, points in groups.items():
            one = Operation()
            one.CopyFrom(operation)
            del one.update_vectors.points[:]
            one.update_vectors.points.extend(points)
            stored += self._under(await current_keys(self._session, self._entry, of_tenant[0]), one)
        return stored or [_nothing()]

    def _under(self, numbers: Numbers, operation: Operation) -> list[Operation]:
        """The stored operations for points of one tenant alone."""
        copied = Operation()
        copied.CopyFrom(operation)
        stored = protect_operation(copied, self._shield.under(numbers))
        demands = Demands(of_keys(numbers), (), None)
        for one in stored:
            hold(one, demands)
        return stored

    async def _keys_of(self, ids: Sequence[q.PointId]) -> dict[object, int]:
        """The keys that points were written under, by their ids; those of earlier operations as these left them.

        Raises:
            NotFound: a point is not there.
            Unreadable: it does not say.
        """
        wanted = {key_of(point_id): point_id for point_id in ids}
        found: dict[object, int] = {key: self._put[key] for key in wanted if key in self._put}
        missing = [point_id for key, point_id in wanted.items() if key not in found]
        if missing:
            ask = q.GetPoints(collection_name=self._entry.asked, ids=missing)
            ask.with_payload.include.fields.append(TENANT)
            answer = await self._session.call("/qdrant.Points/Get", ask, q.GetResponse)
            found |= {key_of(point.id): _number(point.payload) for point in answer.result}
        absent = next((key for key in wanted if key not in found), None)
        # As where rows are filtered: what the caller may not see is left alone, whether it is there or not.
        if absent is not None and not (self._session.mandatory or self._session.tenants):
            raise NotFound(f"Not found: No point with id {absent} found")
        return found

    async def _keys_by_filter(self, selector: q.PointsSelector) -> set[int]:
        """The keys that the points which a filter selects were written under, asked for one by one.

        Raises:
            InvalidArgument: there are too many, or earlier operations of the batch may have put more.
        """
        if self._put:
            raise InvalidArgument(
                "a payload cannot be set by filter in one batch with points that are put before: send it after them"
            )
        wanted = q.Filter()
        if selector.HasField("filter"):
            wanted.CopyFrom(selector.filter)
            filters.rewrite(wanted, self._shield.fields)
        found: set[int] = set()
        while len(found) <= MOST_ASKED:
            ask = q.ScrollPoints(collection_name=self._entry.asked, limit=1)
            others = without_keys(found) if found else None
            ask.filter.CopyFrom(filters.merged(wanted, others) or q.Filter())
            ask.with_payload.include.fields.append(TENANT)
            answer = await self._session.call("/qdrant.Points/Scroll", ask, q.ScrollResponse)
            if not answer.result:
                return found
            found.add(_number(answer.result[0].payload))
        raise InvalidArgument(
            f"the points that this filter selects are of more than {MOST_ASKED} tenants: add a condition on "
            f"`{self._field}`"
        )

    def _said(self, operation: Operation.SetPayload | Operation.OverwritePayload, *, whole: bool) -> Leaf | None:
        """Whose points an operation says that they are; None where it does not touch that.

        Raises:
            InvalidArgument: it would leave points that do not say whose they are.
        """
        field = self._tenancy.field
        if field is None:
            return None
        if whole:
            return _whole_value(self._session, self._entry, self._tenancy, operation.payload)
        place = client_keys(operation.key) if operation.HasField("key") else ()
        if place[: len(field)] == field:
            raise self._moved()
        if field[: len(place)] != place or field[len(place)] not in operation.payload:
            return None
        return _value_at(field[len(place) :], operation.payload, field)

    def _require_kept(self, paths: Iterable[str]) -> None:
        field = self._tenancy.field
        for path in paths:
            keys = client_keys(path)
            if field is not None and (keys[: len(field)] == field or field[: len(keys)] == keys):
                raise self._moved()

    def _moved(self) -> VecGuardError:
        return self._refused(
            f"`{self._field}` says whose a point is, and must stay: write the whole point anew to move it"
        )

    def _refused(self, text: str) -> VecGuardError:
        """The refusal of what would take a point from its tenant: not for the caller, or for nobody."""
        return Denied(text) if _own_values(self._session, self._entry, self._tenancy) else InvalidArgument(text)


async def delete_of(upstream: Upstream, name: str, shield: Shield, numbers: Sequence[int]) -> int:
    """Delete the points that were written under these keys; see `vecguard.front.base.DeleteOf`."""
    count = q.CountPoints(collection_name=name, exact=True, filter=of_keys(numbers))
    found = (await call(upstream, "/qdrant.Points/Count", count, q.CountResponse, shield)).result.count
    if found:
        gone = q.DeletePoints(collection_name=name, wait=True, points=q.PointsSelector(filter=of_keys(numbers)))
        await call(upstream, "/qdrant.Points/Delete", gone, q.PointsOperationResponse, shield)
    return found


def _nothing() -> Operation:
    """An operation that is answered as one that no point was selected by."""
    none = q.PointsSelector(filter=filters.only_ids([]))
    return Operation(set_payload=Operation.SetPayload(points_selector=none))


def _number(payload: Payload) -> int:
    value = payload.get(TENANT)
    if value is None or value.WhichOneof("kind") != "integer_value":
        raise Unreadable
    return value.integer_value


def _of(entry: Entry) -> tuple[Shield, Tenancy]:
    assert entry.shield is not None and entry.shield.tenancy is not None  # noqa: S101, PT018 - asked before
    return entry.shield, entry.shield.tenancy


def _whole_value(session: Session, entry: Entry, tenancy: Tenancy, payload: Payload) -> Leaf:
    """Whose a whole payload, or the caller, says that it is. Raises InvalidArgument where neither does."""
    field = tenancy.field
    if field is not None:
        own = _own_values(session, entry, tenancy)
        if own is None:
            return _value_at(field, payload, field)
        # Before a key is made: whoever may write for one tenant must not have keys made for others.
        with contextlib.suppress(InvalidArgument):
            value = _value_at(field, payload, field)
            if (type(value), value) in {(type(one), one) for one in own}:
                return value
        raise Denied(f"field `{render(field)}` must hold the caller's own value in every record that it writes")
    if entry.asked not in session.tenants:
        raise InvalidArgument(
            f"whose points these are is for the caller to say: only callers with the attribute "
            f"`{tenancy.rule.attribute}` can write here"
        )
    return session.tenants[entry.asked]


def _own_values(session: Session, entry: Entry, tenancy: Tenancy) -> tuple[Leaf, ...] | None:
    """Whose records the caller is held to, where the field that says whose a record is is what it is held by."""
    held = session.mandatory.get(entry.asked, ())
    return next((condition.values for condition in held if parse(condition.field) == tenancy.field), None)


def _value_at(keys: Keys, payload: Payload, field: Keys) -> Leaf:
    found = leaf_at(payload, keys)
    if found is None or found[0] not in _LEAVES:
        raise _unsaid(field)
    return found[1]


def _unsaid(field: Keys) -> InvalidArgument:
    return InvalidArgument(
        f"every point needs `{render(field)}` in its payload, one text, whole number or boolean: it says whose the "
        "point is, and under whose key it is sealed"
    )

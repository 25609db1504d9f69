"""Calls held to mandatory conditions: the one place through which Milvus' messages go where there are any.

As in `vecguard.front.qdrant.mandatory`: every message is looked up by its RPC; reads and deletions get the conditions,
in their stored form, into their expressions; rows are looked at before they are protected (`vet`), and a write is not
sent without that; a message whose RPC is not in the table is refused. Row filters are such conditions, and retention;
and so is whose a caller is, where it says so itself and each tenant has keys of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from google.protobuf.message import Message

from vecguard.catalog import Entry
from vecguard.errors import Denied, FailedPrecondition, InvalidArgument, NotFound
from vecguard.fields import client_keys
from vecguard.front.milvus import filters
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.candidates import primary_keys as keys_of
from vecguard.front.milvus.columns import row_count, scalars
from vecguard.front.milvus.expression import conjunction, not_in, pk_in
from vecguard.front.milvus.expression.columns import META
from vecguard.front.milvus.layout import Layout, layout_of
from vecguard.front.milvus.place import Place, place_of
from vecguard.front.milvus.planted import as_keys
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.retention import kept
from vecguard.front.milvus.rows import by_name, primary_keys
from vecguard.front.milvus.status import checked
from vecguard.front.milvus.tenants import of_keys, without_keys
from vecguard.model import Condition, Value
from vecguard.pipeline import Session
from vecguard.shield import Shield
from vecguard.upstream import Answer

Write: TypeAlias = m.InsertRequest | m.UpsertRequest

_QUERY: Final = rpc("Query")
# Rows that one Query may answer with (Milvus' own limit).
_LOOKUP: Final = 16_384
# What carries names, states and declarations only, and what loads a collection or syncs it: no row is shown or changed.
_HARMLESS: Final = frozenset(
    rpc(name)
    for name in (
        *("Connect", "GetVersion", "CheckHealth", "GetComponentStates", "AllocTimestamp"),
        *("HasCollection", "ShowCollections", "DescribeCollection", "BatchDescribeCollection"),
        *("HasPartition", "ShowPartitions", "DescribeAlias", "ListAliases", "ListDatabases", "DescribeDatabase"),
        *("LoadCollection", "LoadPartitions", "GetLoadingProgress", "GetLoadState", "GetIndexState"),
        *("Flush", "GetFlushState"),
    )
)
# What declares something of a collection, and neither shows nor changes a row: not for who has some rows only, but for
# who is one of several tenants.
_DECLARATIONS: Final = frozenset(rpc(name) for name in ("CreateCollection", "CreateIndex"))


async def restricted(session: Session, rpc: str, message: Message, answer: type[Answer]) -> Answer:
    """Send a message under the session's conditions; see `vecguard.session.Restrict`.

    Raises:
        Denied: it concerns more than the rows that satisfy them, or writes one that does not.
        NotFound: it searches by a row that does not satisfy them.
        FailedPrecondition: they cannot be answered in this collection.
        TenantShredded: the keys of the caller's tenant were destroyed.
    """
    if rpc in _HARMLESS:
        return await session.send(rpc, message, answer)
    held = _HELD.get(rpc)
    if held is None:
        # Retention alone leaves all that is left of a collection to the caller.
        if not session.mandatory and (rpc in _DECLARATIONS or not session.tenants):
            return await session.send(rpc, message, answer)
        raise session.beyond_rows()
    request: Any = message
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = session.entries.get(place.key)
    if entry is None:  # it was never opened, so nobody asked what holds for it
        raise session.beyond_rows()
    some_only = is_held(place, session)
    excluded = session.excluded.get(place.key) or _gone(session, entry) or session.hidden.left_out.get(place.key)
    if some_only or session.retention(entry) is not None or excluded:
        await held(request, place, session)
    found = await session.send(rpc, message, answer)
    if some_only:
        _hide_counts(found)
    return found


def is_held(place: Place, session: Session) -> bool:
    """Whether the caller has some rows of a collection only: those of its row filter, or of its tenant."""
    return place.key in session.mandatory or place.key in session.tenants


def _expression(place: Place, session: Session) -> str:
    """The conditions on a collection, as one expression at rest."""
    entry = session.entries[place.key]
    shield, rule = _shield(entry), session.retention(entry)
    layout = layout_of(shield)
    rows = [_at_rest(condition, layout, shield) for condition in session.mandatory.get(place.key, ())]
    young = [] if rule is None else [kept(rule, layout, time.time())]
    excluded, primary = session.excluded.get(place.key, []), layout.primary
    keys = list(excluded) if primary.data_type == kinds.VARCHAR else [int(key) for key in excluded]
    keys += as_keys(session.hidden.left_out.get(place.key, ()), primary)
    gone = _gone(session, entry)
    sound = [*([not_in(primary.name, keys)] if keys else []), *([without_keys(gone)] if gone else [])]
    return conjunction(*rows, *_of_tenant(place, session, shield), *young, *sound)


def _of_tenant(place: Place, session: Session, shield: Shield) -> list[str]:
    """The condition that rows are of the caller's tenant, where it says itself whose it is."""
    if shield.tenancy is None or place.key not in session.tenants:
        return []
    return [of_keys(shield.tenancy.of(session.tenants[place.key]))]


def _gone(session: Session, entry: Entry) -> tuple[int, ...]:
    """Tenants' keys that were destroyed, where rows under them are to be left out."""
    tenancy = None if entry.shield is None else entry.shield.tenancy
    return tenancy.keys.destroyed if tenancy is not None and session.leaves_out else ()


def _shield(entry: Entry) -> Shield:
    if entry.shield is None:
        text = f"row filters need a protected collection, and {entry.policy.name} says `protect: none`"
        raise FailedPrecondition(text)
    return entry.shield


def _at_rest(condition: Condition, layout: Layout, shield: Shield) -> str:
    name, *steps = client_keys(condition.field)
    ref = name + "".join(f"[{json.dumps(step)}]" for step in steps)
    values = {f"value_{i}": _template(value) for i, value in enumerate(condition.values)}
    text = " or ".join(f"{ref} == {{{name}}}" for name in values)
    try:
        shield.fields.require(condition.field, (), ("plain", "searchable"), "it")
        return filters.rewrite(text, values, layout, shield).text
    except InvalidArgument as fault:
        raise FailedPrecondition(f"the caller's row filter: {fault}") from None


def _template(value: Value) -> s.TemplateValue:
    if isinstance(value, bool):
        return s.TemplateValue(bool_val=value)
    return s.TemplateValue(int64_val=value) if isinstance(value, int) else s.TemplateValue(string_val=value)


async def _narrow_query(request: m.QueryRequest | m.DeleteRequest, place: Place, session: Session) -> None:
    request.expr = conjunction(request.expr, _expression(place, session))


async def _narrow_search(request: m.SearchRequest, place: Place, session: Session) -> None:
    request.dsl = conjunction(request.dsl, _expression(place, session))
    request.dsl_type = c.DslType.BoolExprV1
    if "ids" in request.DESCRIPTOR.fields_by_name and request.HasField("ids"):
        wanted = set(keys_of(request.ids))
        if wanted - await _own(wanted, place, session):
            raise NotFound("a row to search by does not exist")


async def _narrow_hybrid(request: m.HybridSearchRequest, place: Place, session: Session) -> None:
    for search in request.requests:
        await _narrow_search(search, place, session)


async def _require_vetted(request: Write, place: Place, session: Session) -> None:
    _expression(place, session)  # which refuses what cannot be told apart later
    if (session.mandatory or session.tenants) and place.key not in session.vetted:
        raise session.beyond_rows()


async def _as_it_is(request: Message, place: Place, session: Session) -> None:
    """What needs no condition in the request."""


def _hide_counts(answer: Message) -> None:
    """Take numbers out of an answer that count all rows of a collection."""
    if isinstance(answer, m.SearchResults):
        answer.results.ClearField("all_search_count")
    if isinstance(answer, m.DescribeIndexResponse):
        for index in answer.index_descriptions:
            for number in ("indexed_rows", "total_rows", "pending_index_rows"):
                index.ClearField(number)


async def vet(request: Write, place: Place, entry: Entry, session: Session) -> None:
    """Let rows be written, if each satisfies the conditions, and none is there already that does not.

    Raises:
        Denied: one does not, or there is one. Milvus has no conditional write, so between this look and the write the
            caller keeps other writers of this host away (`serve_writes`).
    """
    if is_held(place, session):
        layout = layout_of(_shield(entry))
        given = by_name(layout, request.fields_data)
        for condition in session.mandatory.get(place.key, ()):
            _check(condition, given, layout, request.num_rows)
        if layout.primary.name in given:
            keys = set(primary_keys(layout.primary, given, request.num_rows))
            there = await _found(pk_in(layout.primary.name, keys), keys, place, session)
            if there - await _own(there, place, session):
                raise Denied(f"a row with such a key is there already, outside the rows of `{session.principal.name}`")
    session.vetted.add(place.key)


def _check(condition: Condition, given: Mapping[str, s.FieldData], layout: Layout, rows: int) -> None:
    """Raises Denied unless every row of a write holds one of the condition's values."""
    name, *steps = client_keys(condition.field)
    column = layout.columns.get(name)
    data = given.get(META if column is None else name)
    if column is None:
        steps = [name, *steps]
    if data is None:
        raise _denied(condition)
    held: Sequence[Any] = scalars(data, column.data_type if column else kinds.JSON, rows).elements
    if steps:
        held = [_within(content, steps) for content in held]
    if len(held) != rows or not all(_is_one_of(value, condition.values) for value in held):
        raise _denied(condition)


def _within(content: bytes, steps: Sequence[str]) -> Any:
    """The value at these keys of a JSON text; None where there is none."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _is_one_of(value: Any, values: Iterable[Value]) -> bool:
    return any(type(value) is type(one) and value == one for one in values)


def _denied(condition: Condition) -> Denied:
    return Denied(f"field `{condition.field}` must hold the caller's own value in every row that it writes")


async def _own(keys: set[int | str], place: Place, session: Session) -> set[int | str]:
    """Those of the keys whose rows satisfy the conditions."""
    if not keys:
        return set()
    primary = layout_of(_shield(session.entries[place.key])).primary.name
    return await _found(conjunction(pk_in(primary, keys), _expression(place, session)), keys, place, session)


async def _found(expression: str, keys: set[int | str], place: Place, session: Session) -> set[int | str]:
    """Primary keys of the rows that satisfy an expression at rest, which names `keys` and no others."""
    primary = layout_of(_shield(session.entries[place.key])).primary
    if len(keys) > _LOOKUP:
        raise Denied(f"more than {_LOOKUP} rows in one write cannot be looked for: write fewer at once")
    request = m.QueryRequest(
        db_name=place.database,
        collection_name=place.name,
        expr=expression,
        output_fields=[primary.name],
        consistency_level=c.ConsistencyLevel.Strong,
    )
    answer = checked(await session.send(_QUERY, request, m.QueryResults))
    found = next((data for data in answer.fields_data if data.field_name == primary.name), None)
    return set() if found is None else set(scalars(found, primary.data_type, row_count(found)).elements)


_HELD: Final[dict[str, Callable[[Any, Place, Session], Awaitable[None]]]] = {
    _QUERY: _narrow_query,
    rpc("Delete"): _narrow_query,
    rpc("Search"): _narrow_search,
    rpc("HybridSearch"): _narrow_hybrid,
    rpc("Insert"): _require_vetted,
    rpc("Upsert"): _require_vetted,
    rpc("DescribeIndex"): _as_it_is,
}

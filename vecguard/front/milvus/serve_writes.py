"""Serving Insert, Upsert and Delete."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from vecguard.catalog import Entry, StaleEntry
from vecguard.errors import InvalidArgument, LimitExceeded
from vecguard.front.milvus import filters, mandatory
from vecguard.front.milvus.columns import row_count, scalars
from vecguard.front.milvus.expression import pk_in
from vecguard.front.milvus.ids import new_tokens
from vecguard.front.milvus.layout import TOKEN_FIELD, Layout, layout_of
from vecguard.front.milvus.place import Place, place_of
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.reveal import tokens_of
from vecguard.front.milvus.rows import by_name, primary_keys, protect_rows
from vecguard.front.milvus.serve_reads import require_no_namespace, set_templates
from vecguard.front.milvus.status import ask
from vecguard.gate import Gate
from vecguard.model import Caller
from vecguard.pipeline import Session
from vecguard.shield import Shield

_QUERY: Final = rpc("Query")
_REPLACE: Final = 0
_IDENTIFYING: Final = frozenset({"authorization", "identifier"})
# Rows that one Query may answer with (Milvus' own limit).
_LOOKUP: Final = 16_384


async def insert(request: m.InsertRequest, session: Session) -> m.MutationResult:
    """`Insert`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write")
    if entry.shield is None:
        return await session.call(rpc("Insert"), request, m.MutationResult)
    shield, layout = entry.shield, layout_of(entry.shield)
    _require_fitting(request, shield)
    request.db_name = place.database
    await mandatory.vet(request, place, entry, session)
    tokens = new_tokens(request.num_rows) if layout.auto_id else ()
    stored = protect_rows(shield, layout, request.fields_data, request.num_rows, whole=True, tokens=tokens)
    _replace(request, stored)
    async with _passage(shield):
        answer = await ask(session, rpc("Insert"), request, m.MutationResult)
    await _confirm(answer, entry, place, layout, session, doubled=True)
    return answer


async def upsert(request: m.UpsertRequest, session: Session) -> m.MutationResult:
    """`Upsert`, whole rows or some of their columns."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write")
    if entry.shield is None:
        return await session.call(rpc("Upsert"), request, m.MutationResult)
    shield, layout = entry.shield, layout_of(entry.shield)
    _require_fitting(request, shield)
    _require_replacing(request, layout)
    request.db_name = place.database
    await mandatory.vet(request, place, entry, session)
    partial = getattr(request, "partial_update", False)
    tokens = await _known_tokens(request, place, layout, shield, session) if layout.auto_id else ()
    stored = protect_rows(shield, layout, request.fields_data, request.num_rows, whole=not partial, tokens=tokens)
    _replace(request, stored)
    async with _passage(shield):
        answer = await ask(session, rpc("Upsert"), request, m.MutationResult)
    await _confirm(answer, entry, place, layout, session, doubled=layout.auto_id)
    return answer


async def _confirm(
    answer: m.MutationResult, entry: Entry, place: Place, layout: Layout, session: Session, *, doubled: bool
) -> None:
    """Make sure that rows went under the manifest that the collection has; else have it all redone.

    Rows that would be there twice then (`doubled`) are taken out first: inserted ones, as a server may keep several of
    one key, and those whose keys the server makes.

    Raises:
        StaleEntry: they did not.
    """
    if await session.catalog.confirm(entry, _without_request(session.caller)):
        session.written.clear()
        return
    keys = answer.IDs.str_id.data if answer.IDs.HasField("str_id") else answer.IDs.int_id.data
    if keys and doubled:
        taken_out = m.DeleteRequest(
            db_name=place.database, collection_name=place.name, expr=pk_in(layout.primary.name, keys)
        )
        await ask(session, rpc("Delete"), taken_out, m.MutationResult)
    raise StaleEntry


def _passage(shield: Shield) -> contextlib.AbstractAsyncContextManager[None]:
    """What a write goes through: while keys are rotated, not between the job's reading of a row and its writing."""
    return Gate(shield.manifest.uuid).shared() if shield.rotating else contextlib.nullcontext()


def _without_request(caller: Caller) -> Caller:
    """The caller without what says which of its requests this is, so that requests can share one look."""
    return replace(caller, metadata=tuple(pair for pair in caller.metadata if pair[0] in _IDENTIFYING))


def _require_fitting(request: m.InsertRequest | m.UpsertRequest, shield: Shield) -> None:
    require_no_namespace(request)
    if request.num_rows > shield.limits.max_batch:
        raise LimitExceeded(f"{request.num_rows} rows in one write: the policy allows {shield.limits.max_batch}")


def _require_replacing(request: m.UpsertRequest, layout: Layout) -> None:
    """Operations on the elements of an array are the database's: it must have them as they are.

    Raises:
        InvalidArgument: one is on a protected column.
    """
    for operation in getattr(request, "field_ops", ()):
        column = layout.columns.get(operation.field_name)
        if operation.op != _REPLACE and (column is None or column.protected):
            raise InvalidArgument(
                f"field_ops: field {operation.field_name} is encrypted, so it can only be replaced: invalid parameter"
            )


def _replace(request: m.InsertRequest | m.UpsertRequest, stored: Sequence[s.FieldData]) -> None:
    del request.fields_data[:]
    request.fields_data.extend(stored)


async def _known_tokens(
    request: m.UpsertRequest, place: Place, layout: Layout, shield: Shield, session: Session
) -> list[bytes]:
    """A token for each row of an upsert whose keys the database made: that of the row that is there, else a new one.

    A row keeps its token while it lives, so that columns which an upsert leaves alone can still be opened.
    """
    tokens = new_tokens(request.num_rows)
    given = by_name(layout, request.fields_data)
    if layout.primary.name not in given:
        return tokens
    keys = primary_keys(layout.primary, given, request.num_rows)
    known: dict[Any, bytes] = {}
    for start in range(0, len(keys), _LOOKUP):
        known.update(await _look_up(keys[start : start + _LOOKUP], place, layout, shield, session))
    return [known.get(key, token) for key, token in zip(keys, tokens, strict=True)]


async def _look_up(
    keys: Sequence[Any], place: Place, layout: Layout, shield: Shield, session: Session
) -> dict[Any, bytes]:
    primary = layout.primary
    request = m.QueryRequest(
        db_name=place.database,
        collection_name=place.name,
        expr=pk_in(primary.name, keys),
        output_fields=[primary.name, TOKEN_FIELD],
        consistency_level=c.ConsistencyLevel.Strong,
    )
    answer = await ask(session, _QUERY, request, m.QueryResults)
    columns = {data.field_name: data for data in answer.fields_data}
    if primary.name not in columns or TOKEN_FIELD not in columns:
        return {}
    rows = row_count(columns[primary.name])
    found = scalars(columns[primary.name], primary.data_type, rows).elements
    try:
        return dict(zip(found, tokens_of(shield, columns[TOKEN_FIELD], rows), strict=True))
    except StaleEntry:
        session.catalog.forget()
        raise


async def delete(request: m.DeleteRequest, session: Session) -> m.MutationResult:
    """`Delete`, by keys or by any other expression."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write")
    if entry.shield is None:
        return await session.call(rpc("Delete"), request, m.MutationResult)
    require_no_namespace(request)
    request.db_name = place.database
    layout = layout_of(entry.shield)
    rewritten = filters.rewrite(request.expr, request.expr_template_values, layout, entry.shield)
    request.expr = rewritten.text
    set_templates(request, rewritten.templates)
    async with _passage(entry.shield):
        return await ask(session, rpc("Delete"), request, m.MutationResult)

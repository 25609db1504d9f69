"""Serving Insert, Upsert and Delete."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

from vecguard.catalog import Entry, StaleEntry
from vecguard.errors import InvalidArgument, LimitExceeded
from vecguard.front.milvus import filters, mandatory
from vecguard.front.milvus.columns import row_count, scalars
from vecguard.front.milvus.expression import named_ids, pk_in
from vecguard.front.milvus.ids import new_tokens
from vecguard.front.milvus.layout import INT64, META, TOKEN_FIELD, WRITTEN_FIELD, Layout, layout_of
from vecguard.front.milvus.moving import passed, without_request
from vecguard.front.milvus.place import Place, place_of
from vecguard.front.milvus.planted import planted_among
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.reveal import tokens_of
from vecguard.front.milvus.rows import by_name, primary_keys, protect_rows
from vecguard.front.milvus.serve_reads import require_no_namespace, set_templates
from vecguard.front.milvus.status import ask, checked
from vecguard.front.milvus.tenants import shields_of
from vecguard.gate import Gate
from vecguard.pipeline import Session
from vecguard.shield import Shield

_QUERY: Final = rpc("Query")
_REPLACE: Final = 0
# Tells the gate of turns apart from that of key rotation, which bears the collection's own uuid.
_TURNS: Final = "rows"
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
    async with _turn(place, shield, session):
        await mandatory.vet(request, place, entry, session)
        tokens = new_tokens(request.num_rows) if layout.auto_id else ()
        under = await shields_of(request, entry, layout, session)
        stored = protect_rows(
            shield, layout, request.fields_data, request.num_rows, whole=True, tokens=tokens, shields=under
        )
        _replace(request, stored)
        take_out = partial(_take_out, place, layout, session)
        answer = await passed("Insert", request, session.written[-1], session, take_out)
    await _confirm(answer, session.written[-1], place, layout, session, doubled=True)
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
    partial = getattr(request, "partial_update", False)
    if partial and shield.tenancy is not None:
        raise InvalidArgument(
            "partial_update: each row is under its tenant's key, so rows are written whole here: invalid parameter"
        )
    async with _turn(place, shield, session):
        await mandatory.vet(request, place, entry, session)
        tokens = await _known_tokens(request, place, layout, shield, session) if layout.auto_id else ()
        under = await shields_of(request, entry, layout, session)
        times = await _known_times(request, place, entry, layout, session) if partial and layout.written else None
        stored = protect_rows(
            *(shield, layout, request.fields_data, request.num_rows),
            whole=not partial,
            tokens=tokens,
            written=times,
            shields=under,
        )
        _replace(request, stored)
        answer = await passed("Upsert", request, session.written[-1], session)
    await _confirm(answer, session.written[-1], place, layout, session, doubled=layout.auto_id)
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
    if await session.catalog.confirm(entry, without_request(session.caller), exactly=False):
        session.written.clear()
        return
    if doubled:
        await _take_out(place, layout, session, answer)
    raise StaleEntry


async def _take_out(place: Place, layout: Layout, session: Session, answer: m.MutationResult) -> None:
    """Delete the rows that were written, before they are written again."""
    keys = answer.IDs.str_id.data if answer.IDs.HasField("str_id") else answer.IDs.int_id.data
    if keys:
        taken_out = m.DeleteRequest(
            db_name=place.database, collection_name=place.name, expr=pk_in(layout.primary.name, keys)
        )
        await ask(session, rpc("Delete"), taken_out, m.MutationResult)


@contextlib.asynccontextmanager
async def _turn(place: Place, shield: Shield, session: Session) -> AsyncIterator[None]:
    """A write's turn where callers have rows of their own: nothing is written between the look at the rows that are
    there (`mandatory.vet`, or the database's own for a deletion) and a write that depends on it. Callers who may write
    every row do not wait for each other.
    """
    by_caller = shield.tenancy is not None and shield.tenancy.field is None
    if not (by_caller or session.rules.access.keeps_rows_apart):
        yield
        return
    turns = Gate(uuid.uuid5(shield.manifest.uuid, _TURNS))
    async with turns.alone() if mandatory.is_held(place, session) else turns.shared():
        yield


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


async def _known_times(
    request: m.UpsertRequest, place: Place, entry: Entry, layout: Layout, session: Session
) -> list[int]:
    """When each row of a partial upsert was last written whole: now, where it is not there, or each column is given.

    Raises:
        InvalidArgument: a row is too old to be kept; with a part written anew, the rest of it would be back.
    """
    given, now = by_name(layout, request.fields_data), int(time.time())
    if layout.columns.keys() <= given.keys() and (META in given or not layout.dynamic):
        return [now] * request.num_rows
    keys = primary_keys(layout.primary, given, request.num_rows)
    known: dict[Any, int] = {}
    for start in range(0, len(keys), _LOOKUP):
        some = keys[start : start + _LOOKUP]
        ask_for = _rows_of(some, place, layout, WRITTEN_FIELD)
        # Not held to the call's conditions: a row that is too old is still there.
        answer = checked(await session.send(_QUERY, ask_for, m.QueryResults))
        columns = {data.field_name: data for data in answer.fields_data}
        if columns:
            found = columns[layout.primary.name]
            rows = row_count(found)
            held = (scalars(found, layout.primary.data_type, rows), scalars(columns[WRITTEN_FIELD], INT64, rows))
            known.update(zip(held[0].elements, held[1].elements, strict=True))
    rule = session.retention(entry)
    for key in keys:
        if rule is not None and rule.field is None and known.get(key, now) < now - rule.seconds:
            raise InvalidArgument(
                f"partial_update: row {key} is older than rows are kept: write it whole, or delete it"
            )
    return [known.get(key, now) for key in keys]


async def _look_up(
    keys: Sequence[Any], place: Place, layout: Layout, shield: Shield, session: Session
) -> dict[Any, bytes]:
    primary = layout.primary
    answer = await ask(session, _QUERY, _rows_of(keys, place, layout, TOKEN_FIELD), m.QueryResults)
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


def _rows_of(keys: Sequence[Any], place: Place, layout: Layout, column: str) -> m.QueryRequest:
    """The query for the keys, and one hidden column, of the rows that are there."""
    return m.QueryRequest(
        db_name=place.database,
        collection_name=place.name,
        expr=pk_in(layout.primary.name, keys),
        output_fields=[layout.primary.name, column],
        consistency_level=c.ConsistencyLevel.Strong,
    )


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
    if named_ids(request.expr, layout.primary.name, request.expr_template_values) is None:
        session.hidden.leave_out_declared(place.key, entry)
    async with _turn(place, entry.shield, session):
        answer = await passed("Delete", request, session.written[-1], session)
    _show_own(answer.IDs, entry.shield)
    return answer


def _show_own(ids: s.IDs, shield: Shield) -> None:
    """Take planted rows' keys out of a list of keys."""
    listed: Any = ids.str_id.data if ids.HasField("str_id") else ids.int_id.data
    if planted_among(listed, shield):
        listed[:] = [key for key in listed if key not in shield.planted.numbers]

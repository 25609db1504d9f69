"""Looking at every stored row of a collection: does each part of it still open?"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final

from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, RolledBack, TenantShredded, Unreadable
from vecguard.front.base import DESTROYED, FOREIGN, OLDER, Inspected
from vecguard.front.milvus import reveal
from vecguard.front.milvus.columns import row_count, scalars
from vecguard.front.milvus.expression import pk_in
from vecguard.front.milvus.expression.literals import write_string
from vecguard.front.milvus.fresh_reads import Rows, judged
from vecguard.front.milvus.layout import TENANT_FIELD, VARCHAR, Layout, is_hidden, layout_of, record_field
from vecguard.front.milvus.metadata import pairs
from vecguard.front.milvus.place import Place, from_key, place_of
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.selection import RowPlace, chosen_rows
from vecguard.front.milvus.status import checked
from vecguard.front.milvus.stored_keys import last_of
from vecguard.front.milvus.translation import unjudged
from vecguard.keys.encoding import length_prefixed
from vecguard.model import Caller
from vecguard.pipeline import Session
from vecguard.seal.envelope import epoch_of
from vecguard.seal.record import decode
from vecguard.shield import DenseShield, Shield
from vecguard.upstream import Upstream

PAGE: Final = 100
_CALLER: Final = Caller()
_QUERY: Final = rpc("Query")
_LARGEST: Final = 2**63 - 1


async def count(upstream: Upstream, key: str) -> int:
    """How many rows a collection has.

    Raises:
        UpstreamFailure: the database cannot be reached, or does not know it, or has not loaded it.
    """
    place = from_key(key)
    request = _request(place, "", ["count(*)"], {})
    answer = checked(await upstream.call(_QUERY, request, m.QueryResults, _CALLER))
    return next((int(number) for data in answer.fields_data for number in data.scalars.long_data.data), 0)


def _request(
    place: Place, expression: str, outputs: Sequence[str], parameters: dict[str, str], partition: str = ""
) -> m.QueryRequest:
    return m.QueryRequest(
        db_name=place.database,
        collection_name=place.name,
        partition_names=[partition] if partition else [],
        expr=expression,
        output_fields=outputs,
        query_params=pairs(parameters),
        consistency_level=c.ConsistencyLevel.Strong,
    )


async def inspect(upstream: Upstream, key: str, shield: Shield) -> AsyncIterator[list[Inspected]]:
    """Every row, a page at a time. One that does not open is read once more, as it may just have been written.

    Raises:
        UpstreamFailure: the database cannot be reached, or does not know the collection, or has not loaded it.
    """
    layout, began = layout_of(shield), time.monotonic()
    async for columns, keys in stored_pages(upstream, key, shield):
        rows = [one_row(columns, i) for i in range(len(keys))]
        older = await older_of(shield, columns, began)
        if not older and is_sound(shield, layout, columns, len(keys)):
            yield [Inspected(str(row_key), (), content_of(row)) for row_key, row in zip(keys, rows, strict=True)]
        else:
            looks = [await _look(upstream, key, shield, keys[i], row, older) for i, row in enumerate(rows)]
            yield [looked for looked in looks if looked is not None]
        began = time.monotonic()


async def older_of(shield: Shield, columns: Sequence[s.FieldData], began: float) -> list[str]:
    """The keys of those of some whole rows that are not the newest; none where nobody remembers.

    `began`: when the read of them did, in monotonic seconds. A row of which nobody can say whose it is does not count.

    Raises:
        Unavailable: what remembers is away.
    """
    if shield.fresh is None:
        return []
    try:
        rows = Rows.of_columns(columns, shield)
    except (Unreadable, StaleEntry):
        return []
    return await judged(shield.fresh, await shield.fresh.stamps(), shield, rows, began)


async def stored_rows(
    upstream: Upstream, key: str, shield: Shield, expression: str, partition: str = ""
) -> tuple[Sequence[s.FieldData], Sequence[Any]]:
    """Rows as they are stored, whole, but under the client's keys: columns, and keys. Raises as `stored_pages`."""
    layout = layout_of(shield)
    request = _request(from_key(key), expression, ["*", *layout.hidden], {}, partition)
    columns = (await unjudged(upstream, _QUERY, request, m.QueryResults, shield)).fields_data
    return columns, _keys(layout, columns)


async def stored_pages(
    upstream: Upstream, key: str, shield: Shield, partition: str = ""
) -> AsyncIterator[tuple[Sequence[s.FieldData], Sequence[Any]]]:
    """All rows as they are stored, whole, but under the client's keys: columns, and keys; in the order of stored keys.

    Of one `partition` where it is given.

    Raises:
        UpstreamFailure: see `inspect`.
        Unreadable: an answer without primary keys.
    """
    place, layout = from_key(key), layout_of(shield)
    primary = layout.primary
    asked = m.DescribeCollectionRequest(db_name=place.database, collection_name=place.name)
    described = checked(await upstream.call(rpc("DescribeCollection"), asked, m.DescribeCollectionResponse, _CALLER))
    # As pymilvus' QueryIterator asks.
    parameters = {"limit": str(PAGE), "iterator": "True", "reduce_stop_for_best": "True"}
    parameters["collection_id"] = str(described.collectionID)
    text = primary.data_type == VARCHAR
    expression = f'{primary.name} >= ""' if text else f"{primary.name} <= {_LARGEST}"
    while True:
        request = _request(place, expression, ["*", *layout.hidden], parameters, partition)
        answer = await unjudged(upstream, _QUERY, request, m.QueryResults, shield)
        columns = answer.fields_data
        keys = _keys(layout, columns)
        if not keys:
            return
        yield columns, keys
        last = last_of(keys, primary, shield.ids)
        expression = f"{primary.name} > {write_string(last) if text else last}"


def _keys(layout: Layout, columns: Sequence[s.FieldData]) -> Sequence[Any]:
    primary = layout.primary
    data = next((data for data in columns if data.field_name == primary.name), None)
    if data is None:
        if columns:
            raise Unreadable
        return ()
    return scalars(data, primary.data_type, row_count(data)).elements


async def damaged(session: Session) -> dict[str, list[str]]:
    """Which of the rows that a call has read do not open; see `vecguard.session.Damaged`.

    Raises:
        UpstreamFailure: the database cannot be reached.
    """
    met: dict[str, dict[str, int | str]] = {}
    for ask, answer in list(session.read):
        if isinstance(answer, m.QueryResults | m.SearchResults):
            place = place_of(getattr(ask, "db_name", ""), getattr(ask, "collection_name", ""), session.metadata)
            entry = session.entries.get(place.key)
            if entry is not None and entry.shield is not None:
                rows = _met(layout_of(entry.shield), answer)
                met.setdefault(place.key, {}).update({str(row_key): row_key for row_key in rows})
    found = {key: list(ids) for key, ids in session.rolled_back.items()}  # which are in no answer
    for key, keys in met.items():
        shield = session.entries[key].shield
        assert shield is not None  # noqa: S101 - looked at above
        layout = layout_of(shield)
        listed = [row_key for shown, row_key in keys.items() if shown not in found.get(key, ())]
        for start in range(0, len(listed), PAGE):
            older, columns = await _told_apart(session, key, layout, listed[start : start + PAGE])
            stored = enumerate(_keys(layout, columns))
            bad = [str(row_key) for i, row_key in stored if faults_of(shield, layout, one_row(columns, i))]
            if older or bad:
                found.setdefault(key, []).extend((*older, *bad))
    return found


async def _told_apart(
    session: Session, key: str, layout: Layout, keys: Sequence[int | str]
) -> tuple[list[str], Sequence[s.FieldData]]:
    """Of some rows the keys of those that are not the newest, and the columns of all others."""
    older = list[str]()
    while keys:
        request = _request(from_key(key), pk_in(layout.primary.name, keys), ["*", *layout.hidden], {})
        try:
            return older, checked(await session.send(_QUERY, request, m.QueryResults)).fields_data
        except RolledBack as found:
            older += found.ids
            left = [one for one in keys if str(one) not in found.ids]
            if len(left) == len(keys):
                raise
            keys = left
    return older, ()


def _met(layout: Layout, answer: m.QueryResults | m.SearchResults) -> Sequence[Any]:
    if isinstance(answer, m.QueryResults):
        return _keys(layout, answer.fields_data) if _names_keys(layout, answer.fields_data) else ()
    ids = answer.results.ids
    keys: Sequence[Any] = ids.str_id.data if ids.HasField("str_id") else ids.int_id.data
    return keys


def _names_keys(layout: Layout, columns: Sequence[s.FieldData]) -> bool:
    return any(data.field_name == layout.primary.name for data in columns)


def one_row(columns: Sequence[s.FieldData], row: int) -> list[s.FieldData]:
    """One row of an answer, as an answer of its own."""
    return [chosen_rows([data], [RowPlace(0, row)]) for data in columns]


def _opened(shield: Shield, columns: Sequence[s.FieldData]) -> list[s.FieldData]:
    """The columns that can be opened, and with that checked."""
    guards = shield.vectors
    return [
        data
        for data in columns
        if not isinstance(guard := guards.get(data.field_name), DenseShield) or guard.recoverable
    ]


def is_sound(shield: Shield, layout: Layout, columns: Sequence[s.FieldData], rows: int) -> bool:
    """Whether all rows open, all at once: what nearly every page does."""
    try:
        found = reveal.found_rows(shield, layout, columns, rows)
        reveal.client_columns(found, _opened(shield, columns))
    except (Unreadable, StaleEntry, InvalidArgument, TenantShredded):
        return False
    return not layout.tenants or all(not tenant_faults(shield, one_row(columns, row)) for row in range(rows))


async def _look(
    upstream: Upstream, key: str, shield: Shield, row_key: int | str, row: Sequence[s.FieldData], older: Collection[str]
) -> Inspected | None:
    """One row of a page in which something is odd; None where it was deleted meanwhile."""
    layout = layout_of(shield)
    faults = faults_of(shield, layout, row)
    if faults or str(row_key) in older:
        began = time.monotonic()
        columns, keys = await stored_rows(upstream, key, shield, pk_in(layout.primary.name, [row_key]))
        if not keys:
            return None
        row = one_row(columns, 0)
        faults = (*faults_of(shield, layout, row), *([OLDER] if await older_of(shield, row, began) else []))
    return Inspected(str(row_key), faults, content_of(row))


def faults_of(shield: Shield, layout: Layout, row: Sequence[s.FieldData]) -> tuple[str, ...]:
    """The columns of one row that do not open, in words."""
    try:
        found = reveal.found_rows(shield, layout, row, 1)
    except (Unreadable, StaleEntry):
        return ("row token",)
    faults = tenant_faults(shield, row)
    if DESTROYED in faults:
        return tuple(faults)
    for data in _opened(shield, row):
        name = data.field_name
        try:
            if not is_hidden(name) or data.is_dynamic:
                reveal.opened(found, data)
        except (Unreadable, StaleEntry, InvalidArgument, TenantShredded):
            known = name in layout.columns or data.is_dynamic
            kind = "vector" if name in layout.vectors else "field"
            faults.append(f"{kind} `{name}`" if known else f"field `{name}` unknown")
    return tuple(faults)


def tenant_faults(shield: Shield, row: Sequence[s.FieldData]) -> list[str]:
    """Whether a row is under a key of the tenant that it says that it is of."""
    if shield.tenancy is None:
        return []
    columns = {data.field_name: data for data in row}
    try:
        (number,) = columns[TENANT_FIELD].scalars.long_data.data
        numbers = shield.tenancy.keys.siblings(number)
        texts = [text for name in shield.vectors for text in columns[record_field(name)].scalars.string_data.data]
        entries = [entry for text in texts if text for entry in decode(text).entries.values()]
    except TenantShredded:
        return [DESTROYED]
    except (KeyError, ValueError, Unreadable):
        return [FOREIGN]
    return [] if all(epoch_of(entry) in numbers for entry in entries) else [FOREIGN]


def content_of(row: Sequence[s.FieldData]) -> bytes:
    """All that is stored of a row: names and contents of its columns, in the order of their names."""
    named = sorted(((data.field_name, data) for data in row), key=lambda pair: pair[0])
    return length_prefixed(*(part for name, data in named for part in (name.encode(), _content(data))))


def _content(data: s.FieldData) -> bytes:
    bare = s.FieldData()
    bare.CopyFrom(data)
    bare.ClearField("field_id")
    bare.ClearField("field_name")
    encoded: bytes = bare.SerializeToString(deterministic=True)
    return encoded

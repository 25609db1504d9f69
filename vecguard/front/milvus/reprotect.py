"""Bringing the rows of a collection to the current keys, while clients read and write it.

Milvus has no conditional writes. A batch of rows is read, protected anew and upserted while this job alone holds the
gate of the collection, at which the proxies of the host wait with their writes meanwhile (`vecguard.gate`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, Refused, Unreadable
from vecguard.fields import LABELS, Fields, Keys
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus import reveal
from vecguard.front.milvus.columns import row_count
from vecguard.front.milvus.expression import pk_in
from vecguard.front.milvus.inspect import one_row, stored_pages, stored_rows
from vecguard.front.milvus.layout import JSON, VARCHAR, Layout, is_hidden, layout_of
from vecguard.front.milvus.place import Place, from_key
from vecguard.front.milvus.proto import m, rpc, s
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.selection import RowPlace, chosen_rows
from vecguard.front.milvus.status import checked
from vecguard.front.rotation import Moved
from vecguard.gate import Gate
from vecguard.model import Caller
from vecguard.seal.envelope import epoch_of, from_text
from vecguard.seal.record import decode
from vecguard.shield import Shield
from vecguard.upstream import Upstream

_CALLER: Final = Caller()


def require_rotatable(shield: Shield) -> None:
    """Refuse a collection in which a row that is written again becomes another one.

    Raises:
        Refused: the database makes the primary keys.
    """
    if layout_of(shield).auto_id:
        raise Refused(
            f"collection `{shield.manifest.collection}`: the database makes its primary keys, and would make new ones "
            "for rows that are written again, so its data key cannot be rotated in place. Write the rows into a new "
            "collection instead"
        )


async def reprotect(upstream: Upstream, key: str, shield: Shield) -> AsyncIterator[Moved]:
    """One pass over all rows, partition by partition; see `vecguard.front.rotation.Reprotect`.

    Raises:
        Refused: see `require_rotatable`.
        UpstreamFailure: the database cannot be reached, or has not loaded the collection.
    """
    require_rotatable(shield)
    layout = layout_of(shield)
    for partition in await _partitions(upstream, from_key(key), layout):
        async for columns, keys in stored_pages(upstream, key, layout, partition):
            rows = [one_row(columns, row) for row in range(len(keys))]
            stale = [row_key for row_key, row in zip(keys, rows, strict=True) if _is_stale(shield, layout, row)]
            odd: list[Any] = []
            if stale:
                async with Gate(shield.manifest.uuid).alone():
                    odd = await _move(upstream, key, shield, partition, stale)
            yield Moved(len(keys), len(stale), tuple(str(row_key) for row_key in odd))


async def _partitions(upstream: Upstream, place: Place, layout: Layout) -> Sequence[str]:
    """The partitions that rows were put into by name; "" alone, for all, where the database chooses them."""
    if any(column.partition_key for column in layout.columns.values()):
        return ("",)
    ask = m.ShowPartitionsRequest(db_name=place.database, collection_name=place.name)
    shown = checked(await upstream.call(rpc("ShowPartitions"), ask, m.ShowPartitionsResponse, _CALLER))
    return shown.partition_names or ("",)


async def _move(upstream: Upstream, key: str, shield: Shield, partition: str, keys: Sequence[Any]) -> list[Any]:
    """Protect rows anew as they are now; the keys of those that do not open."""
    layout, place = layout_of(shield), from_key(key)
    columns, found = await stored_rows(upstream, key, layout, pk_in(layout.primary.name, keys), partition)
    rows, odd = list[int](), list[Any]()
    for i, row_key in enumerate(found):
        row = one_row(columns, i)
        if not _is_stale(shield, layout, row):
            continue
        try:
            _clear(shield, layout, row, 1)
            rows.append(i)
        except (Unreadable, StaleEntry, InvalidArgument):
            odd.append(row_key)
    if rows:
        chosen = [chosen_rows([data], [RowPlace(0, row) for row in rows]) for data in columns]
        again = protect_rows(shield, layout, _clear(shield, layout, chosen, len(rows)), len(rows), whole=True)
        request = m.UpsertRequest(
            db_name=place.database,
            collection_name=place.name,
            partition_name=partition,
            fields_data=again,
            num_rows=len(rows),
        )
        checked(await upstream.call(rpc("Upsert"), request, m.MutationResult, _CALLER))
    return odd


def _clear(shield: Shield, layout: Layout, columns: Sequence[s.FieldData], rows: int) -> list[s.FieldData]:
    """Stored columns as the client wrote them, without those that the database makes. Raises as `reveal` does."""
    made = {name for name, column in layout.columns.items() if column.role == "open_vector"}
    found = reveal.found_rows(shield, layout, columns, rows)
    return reveal.client_columns(found, [data for data in columns if data.field_name not in made])


# -- what lies under older keys ----------------------------------------------------------------------------------------


def _is_stale(shield: Shield, layout: Layout, row: Sequence[s.FieldData]) -> bool:
    """Whether any part of a row lies under older keys; True also where that cannot be told, as it does not open."""
    current = shield.ring.current
    try:
        return any(epoch != current for data in row for epoch in _epochs(shield.fields, layout, data))
    except (Unreadable, InvalidArgument, ValueError):
        return True


def _epochs(fields: Fields, layout: Layout, data: s.FieldData) -> Iterator[int]:
    """The epochs of all that is sealed in a column of one row."""
    name = data.field_name
    column = layout.columns.get(name)
    if name.startswith(LABELS):
        return  # written together with the values that they are of
    if is_hidden(name):
        for text in wire.scalars(data, VARCHAR, row_count(data)).elements:
            yield from (epoch_of(entry) for entry in decode(text).entries.values())
    elif data.is_dynamic or (column is not None and column.role == "json"):
        for content in wire.scalars(data, JSON, row_count(data)).elements:
            yield from _json_epochs(json.loads(content), () if data.is_dynamic else (name,), fields)
    elif column is None or not column.protected or column.role in ("dense", "sparse"):
        return
    elif column.role == "array":
        for texts in wire.arrays(data, VARCHAR, row_count(data)).elements:
            yield from (epoch_of(from_text(text)) for text in texts)
    else:
        yield from (epoch_of(from_text(text)) for text in wire.scalars(data, VARCHAR, row_count(data)).elements)


def _json_epochs(content: Any, keys: Keys, fields: Fields) -> Iterator[int]:
    if isinstance(content, dict):
        for key, inner in content.items():
            if key.startswith(LABELS) and fields.labels_at is not None:
                continue
            yield from _json_epochs(inner, (*keys, key), fields)
    elif isinstance(content, list):
        for inner in content:
            yield from _json_epochs(inner, keys, fields)
    elif isinstance(content, str) and fields.mode(keys) != "plain":
        yield epoch_of(from_text(content))

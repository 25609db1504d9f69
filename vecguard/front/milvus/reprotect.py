"""Bringing the rows of a collection to the current keys, while clients read and write it.

Milvus has no conditional writes. A batch of rows is read, protected anew and upserted in a moment of the job's own, in
which no client's write is acknowledged (`moving`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from vecguard.catalog import StaleEntry
from vecguard.errors import InvalidArgument, Refused, TenantShredded, Unreadable
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus import reveal
from vecguard.front.milvus.expression import pk_in
from vecguard.front.milvus.inspect import older_of, one_row, stored_pages, stored_rows
from vecguard.front.milvus.layout import INT64, WRITTEN_FIELD, Layout, layout_of
from vecguard.front.milvus.metadata import read_manifest
from vecguard.front.milvus.moving import CALL_S, Mover
from vecguard.front.milvus.place import Place, from_key
from vecguard.front.milvus.proto import m, rpc, s
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.selection import RowPlace, chosen_rows
from vecguard.front.milvus.stale import is_stale, tenants_keys
from vecguard.front.milvus.status import checked
from vecguard.front.milvus.translation import call
from vecguard.front.rotation import Moved
from vecguard.manifest import open_tenants
from vecguard.model import Caller
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
        FailedPrecondition: another job does the same at once.
        UpstreamFailure: the database cannot be reached, or has not loaded the collection.
    """
    require_rotatable(shield)
    layout, mover = layout_of(shield), Mover(upstream, key, shield)
    for partition in await partitions(upstream, from_key(key), layout):
        async for columns, keys in stored_pages(upstream, key, shield, partition):
            rows = [one_row(columns, row) for row in range(len(keys))]
            stale = [row_key for row_key, row in zip(keys, rows, strict=True) if is_stale(shield, layout, row)]
            odd: list[Any] = []
            if stale:
                async with mover.alone() as in_time:
                    odd = await _move(upstream, key, shield, partition, stale, in_time)
            yield Moved(len(keys), len(stale), tuple(str(row_key) for row_key in odd))
    await mover.end()


async def partitions(upstream: Upstream, place: Place, layout: Layout) -> Sequence[str]:
    """The partitions that rows were put into by name; "" alone, for all, where the database chooses them."""
    if any(column.partition_key for column in layout.columns.values()):
        return ("",)
    ask = m.ShowPartitionsRequest(db_name=place.database, collection_name=place.name)
    shown = checked(await upstream.call(rpc("ShowPartitions"), ask, m.ShowPartitionsResponse, _CALLER))
    return shown.partition_names or ("",)


async def _move(
    upstream: Upstream, key: str, shield: Shield, partition: str, keys: Sequence[Any], in_time: Callable[[], bool]
) -> list[Any]:
    """Protect rows anew as they are now, unless that took too long; the keys of those that do not open."""
    layout, place, began = layout_of(shield), from_key(key), time.monotonic()
    columns, found = await stored_rows(upstream, key, shield, pk_in(layout.primary.name, keys), partition)
    under, odd = _sorted_out(shield, layout, columns, len(found))
    if odd and await _learned(upstream, key, shield):
        under, odd = _sorted_out(shield, layout, columns, len(found))
    older = await older_of(shield, columns, began)
    odd += [row for row in under if str(found[row]) in older]  # written again, they would be the newest
    under = {row: of_row for row, of_row in under.items() if row not in odd}
    if under:
        rows = list(under)
        chosen = [chosen_rows([data], [RowPlace(0, row) for row in rows]) for data in columns]
        clear = _clear(shield, layout, chosen, len(rows))
        written, shields = _written(chosen, len(rows)), list(under.values())
        again = protect_rows(shield, layout, clear, len(rows), whole=True, written=written, shields=shields)
        request = m.UpsertRequest(
            db_name=place.database,
            collection_name=place.name,
            partition_name=partition,
            fields_data=again,
            num_rows=len(rows),
        )
        if in_time():
            await call(upstream, rpc("Upsert"), request, m.MutationResult, shield, Caller(CALL_S))
    return [found[row] for row in odd]


def _sorted_out(
    shield: Shield, layout: Layout, columns: Sequence[s.FieldData], count: int
) -> tuple[dict[int, Shield], list[int]]:
    """Of `count` rows those to protect anew, each with what it is written under, and those that do not open.

    A row whose tenant has no key yet that goes with the current ones is neither.
    """
    under, odd, known = dict[int, Shield](), list[int](), dict[tuple[int, ...], Shield]()
    for i in range(count):
        row = one_row(columns, i)
        if not is_stale(shield, layout, row):
            continue
        try:
            _clear(shield, layout, row, 1)
            numbers = tenants_keys(shield, layout, row)
        except (Unreadable, StaleEntry, InvalidArgument, TenantShredded):
            odd.append(i)
            continue
        if numbers is None:
            under[i] = shield
        elif shield.tenancy is not None and shield.tenancy.are_current(numbers):
            under[i] = known.setdefault(numbers, shield.under(numbers))
    return under, odd


async def _learned(upstream: Upstream, key: str, shield: Shield) -> bool:
    """Learn which keys of tenants came since, where there are any; whether there can be such keys."""
    if shield.tenancy is None:
        return False
    stored = await read_manifest(upstream, key, Caller(CALL_S))
    if stored is not None:
        open_tenants(stored.tenants, shield.manifest, shield.ring, shield.tenancy.keys)
    return True


def _written(columns: Sequence[s.FieldData], rows: int) -> Sequence[int] | None:
    """When rows were written, where that is kept: to write them under other keys makes them no younger."""
    data = next((data for data in columns if data.field_name == WRITTEN_FIELD), None)
    return None if data is None else wire.scalars(data, INT64, rows).elements


def _clear(shield: Shield, layout: Layout, columns: Sequence[s.FieldData], rows: int) -> list[s.FieldData]:
    """Stored columns as the client wrote them, without those that the database makes. Raises as `reveal` does."""
    made = {name for name, column in layout.columns.items() if column.role == "open_vector"}
    found = reveal.found_rows(shield, layout, columns, rows)
    return reveal.client_columns(found, [data for data in columns if data.field_name not in made])

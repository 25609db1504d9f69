"""Planting rows in a collection of Milvus, finding those that are there, and taking them away."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from vecguard.errors import FailedPrecondition, UpstreamFailure
from vecguard.front.lookalikes import LEAST_SAMPLE, SAMPLE, VERSIONS, require_enough, rows_like
from vecguard.front.milvus import reveal
from vecguard.front.milvus.columns import scalars
from vecguard.front.milvus.expression import pk_in
from vecguard.front.milvus.inspect import faults_of, one_row, stored_pages, stored_rows
from vecguard.front.milvus.layout import FLOAT_VECTOR, INT64, VARCHAR, WRITTEN_FIELD, Layout, layout_of
from vecguard.front.milvus.place import from_key
from vecguard.front.milvus.planted import keys_of
from vecguard.front.milvus.proto import m, rpc
from vecguard.front.milvus.rows import protect_rows
from vecguard.front.milvus.status import checked
from vecguard.front.milvus.transfer_rows import columns_of, rows_of
from vecguard.front.milvus.translation import call
from vecguard.front.transfer import Row
from vecguard.model import Caller
from vecguard.seal.planted import Form, signed
from vecguard.shield import DenseShield, Shield
from vecguard.upstream import Upstream

_CALLER: Final = Caller()


async def plant(upstream: Upstream, name: str, shield: Shield, count: int) -> int:
    """Plant the rows that are missing of the first `count`; how many that were. Those that are there stay.

    Raises:
        FailedPrecondition: nothing can be planted that is like the collection's rows; says why.
        UpstreamFailure: the database says no, or cannot be reached, or the collection is not loaded.
        Unreadable: rows of the collection do not open.
    """
    layout = layout_of(shield)
    vector = _require_plantable(shield, layout)
    await _require_unparted(upstream, name, layout)
    there = {one for one, _ in await planted(upstream, name, shield)}
    sample, times = await _sampled(upstream, name, shield, max(LEAST_SAMPLE, count))
    form = _form([row.key for row in sample], layout, shield)
    ids = shield.planted.ids(form, count)
    missing = [key for key in map(_key, ids) if str(key) not in there]
    if not missing:
        return 0
    made, rows = rows_like(sample, vector, missing, shield.manifest.payload.mode_of)
    written = None if times is None else [times[row] for row in rows]
    stored = protect_rows(shield, layout, columns_of(layout, made), len(made), whole=True, written=written)
    place = from_key(name)
    ask = m.InsertRequest(db_name=place.database, collection_name=place.name, fields_data=stored, num_rows=len(made))
    await call(upstream, rpc("Insert"), ask, m.MutationResult, shield)
    with suppress(UpstreamFailure):  # a server flushes by itself, later
        flush = m.FlushRequest(db_name=place.database, collection_names=[place.name])
        checked(await upstream.call(rpc("Flush"), flush, m.FlushResponse, _CALLER))
    return len(made)


async def planted(upstream: Upstream, name: str, shield: Shield) -> list[tuple[str, tuple[str, ...]]]:
    """The planted rows that are there, by key, and the parts of each that do not open.

    Raises:
        UpstreamFailure: the database cannot be reached, or does not know the collection, or has not loaded it.
    """
    layout = layout_of(shield)
    text = pk_in(layout.primary.name, keys_of(shield.planted, layout.primary))
    columns, keys = await stored_rows(upstream, name, shield, text)
    return [(str(key), faults_of(shield, layout, one_row(columns, row))) for row, key in enumerate(keys)]


async def remove(upstream: Upstream, name: str, shield: Shield) -> int:
    """Take all planted rows away; how many these were.

    Raises:
        UpstreamFailure: the database says no, or cannot be reached.
    """
    layout, place = layout_of(shield), from_key(name)
    there = await planted(upstream, name, shield)
    keys = keys_of(shield.planted, layout.primary)
    ask = m.DeleteRequest(db_name=place.database, collection_name=place.name, expr=pk_in(layout.primary.name, keys))
    await call(upstream, rpc("Delete"), ask, m.MutationResult, shield)
    return len(there)


def _key(planted_id: Any) -> Any:
    return signed(planted_id) if isinstance(planted_id, int) else planted_id


def _require_plantable(shield: Shield, layout: Layout) -> str:
    """The name of the one vector of the collection's rows.

    Raises:
        FailedPrecondition: nothing can be planted.
    """
    if shield.rotating:
        raise FailedPrecondition("the collection's keys are being rotated: plant when that is done")
    if shield.tenancy is not None:
        raise FailedPrecondition("each tenant of the collection has keys of its own, and a planted row has none")
    if layout.auto_id:
        raise FailedPrecondition("the database makes the collection's primary keys, and a planted row brings its own")
    vectors = [column for column in layout.columns.values() if column.role in ("dense", "sparse", "open_vector")]
    if len(vectors) != 1 or vectors[0].data_type != FLOAT_VECTOR:
        raise FailedPrecondition("rows can be planted where a collection has one vector, of 32-bit floats")
    guard = shield.vectors[vectors[0].name]
    if not isinstance(guard, DenseShield) or not guard.recoverable:
        raise FailedPrecondition(f"nobody can recover vector `{vectors[0].name}`, so that nothing can be made like it")
    return vectors[0].name


async def _require_unparted(upstream: Upstream, name: str, layout: Layout) -> None:
    """Rows that stand in another partition than all others would be told by it."""
    if any(column.partition_key for column in layout.columns.values()):
        return
    place = from_key(name)
    ask = m.ShowPartitionsRequest(db_name=place.database, collection_name=place.name)
    shown = checked(await upstream.call(rpc("ShowPartitions"), ask, m.ShowPartitionsResponse, _CALLER))
    if len(shown.partition_names) > 1:
        raise FailedPrecondition("the collection has partitions that rows were put into by name: nothing is planted")


async def _sampled(
    upstream: Upstream, name: str, shield: Shield, least: int
) -> tuple[Sequence[Row], Sequence[int] | None]:
    """Clients' rows that have the vector, at least so many, and where that is kept, when each was written."""
    layout, rows, times = layout_of(shield), list[Row](), list[int]()
    async for columns, keys in stored_pages(upstream, name, shield):
        found = reveal.found_rows(shield, layout, columns, len(keys))
        clear = rows_of(layout, reveal.client_columns(found, columns))
        held = next((data for data in columns if data.field_name == WRITTEN_FIELD), None)
        when = [0] * len(keys) if held is None else scalars(held, INT64, len(keys)).elements
        for row, time in zip(clear, when, strict=True):
            if row.key not in shield.planted.numbers and row.vectors:
                rows.append(row)
                times.append(time)
        if len(rows) >= SAMPLE:
            break
    require_enough(len(rows), least)
    return rows, times if layout.written else None


def _form(keys: Sequence[Any], layout: Layout, shield: Shield) -> Form:
    """The form of the collection's keys, at random one that it has.

    Raises:
        FailedPrecondition: a random key would stand out among them.
    """
    if layout.primary.data_type != VARCHAR:
        if shield.ids is None:
            raise FailedPrecondition(
                "primary keys of the collection's rows are numbers in clear, among which a planted row's, a random "
                "one, would stand out. Have `ids: encrypted`"
            )
        return "number"
    versions = {_version(key) for key in keys}
    if len(versions) > 1 or not versions <= VERSIONS.keys():
        raise FailedPrecondition(
            "primary keys of the collection's rows are not all UUIDs of version 4, or of version 5, which are random: "
            "a planted row's would stand out among them"
        )
    return VERSIONS[versions.pop()]


def _version(key: str) -> int:
    """The version of a UUID in its usual spelling, 0 for any other text."""
    try:
        found = uuid.UUID(key)
    except ValueError:
        return 0
    return (found.version or 0) if str(found) == key else 0

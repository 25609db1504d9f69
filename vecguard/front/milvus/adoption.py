"""Taking the rows that are there as the newest: see `vecguard.front.base.Adopt`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from vecguard.fresh.guard import Adoption
from vecguard.front.milvus import parts
from vecguard.front.milvus.fresh_reads import Rows
from vecguard.front.milvus.inspect import faults_of, is_sound, one_row, stored_pages
from vecguard.front.milvus.layout import layout_of
from vecguard.front.milvus.metadata import note_newest
from vecguard.front.milvus.place import from_key
from vecguard.front.milvus.proto import s
from vecguard.front.milvus.reprotect import partitions
from vecguard.front.milvus.selection import RowPlace, chosen_rows
from vecguard.front.newest import require_recoverable
from vecguard.shield import Shield
from vecguard.upstream import Upstream


async def adopt(upstream: Upstream, name: str, shield: Shield, adoption: Adoption) -> AsyncIterator[int]:
    """Take all rows, but those that do not open; how many of each page were taken.

    Raises:
        FailedPrecondition: nobody can recover a vector.
        UpstreamFailure: the database cannot be reached, or does not know the collection, or has not loaded it.
        Unavailable: the memory is away, or somebody else began to fill it.
    """
    require_recoverable(shield)
    await note_newest(upstream, name)
    for partition in await partitions(upstream, from_key(name), layout_of(shield)):
        async for columns, keys in stored_pages(upstream, name, shield, partition):
            yield await _take(columns, len(keys), partition, shield, adoption)


async def _take(columns: Sequence[s.FieldData], count: int, partition: str, shield: Shield, adoption: Adoption) -> int:
    layout = layout_of(shield)
    if not is_sound(shield, layout, columns, count):
        sound = [row for row in range(count) if not faults_of(shield, layout, one_row(columns, row))]
        columns = [chosen_rows([data], [RowPlace(0, row) for row in sound]) for data in columns]
    ids = Rows.of_columns(columns, shield).ids
    changes = parts.written(layout, columns, ids, partition, adoption.stamps, whole=True)
    await adoption.take({row_id: change.leaves for row_id, change in zip(ids, changes, strict=True)})
    return len(ids)

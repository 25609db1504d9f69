"""Reads of collections with `rollback: detect`: what is answered of each row is judged, column by column.

A row that Milvus stores is written at once, whole, so that nothing has to be read of it but what is answered, and the
record of the vector that it was found by.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from vecguard.errors import InvalidArgument, RolledBack, Unreadable
from vecguard.fresh.guard import Guard
from vecguard.fresh.log import parse
from vecguard.fresh.stamps import ABSENT, Stamps
from vecguard.front.milvus import parts, reveal
from vecguard.front.milvus.columns import row_count, scalars
from vecguard.front.milvus.layout import META, TOKEN_FIELD, Layout, is_hidden, layout_of
from vecguard.front.milvus.outputs import aggregate_of
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.status import is_failure, status_of
from vecguard.shield import Shield
from vecguard.upstream import Answer
from vecguard.ways import Send

Reading: TypeAlias = m.QueryRequest | m.SearchRequest | m.HybridSearchRequest

READS: Final = frozenset(map(rpc, ("Query", "Search", "HybridSearch")))
"""RPCs whose answers carry rows."""
_PAUSES_S: Final = (0.0, 0.0, 0.05, 0.2, 0.5)
"""Before each look. Milvus 2.3.5 by itself answers, at times, a row that was replaced long ago, and then does not."""
_STARS: Final = frozenset({"*", "%"})
_GROUP_BY: Final = "group_by_fields"


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads of one call on one collection."""

    send: Send
    guard: Guard
    stamps: Stamps
    shield: Shield

    async def read(self, rpc: str, message: Any, answer: type[Answer]) -> Answer:
        """Send a read. What looks rolled back is read again: its log may have gone before the answer came.

        Raises:
            RolledBack: a row is not the newest.
            InvalidArgument: it asks for what was there at an earlier time.
            Unreadable, StaleEntry: an answer is none of rows of the collection.
            FailedPrecondition, Unavailable: see `Guard.logs`.
        """
        layout = layout_of(self.shield)
        ask, added = _telling(message, layout)
        computed, whole = _is_computed(message), bool({META, *_STARS}.intersection(ask.output_fields))
        bad = list[str]()
        for pause in _PAUSES_S:
            await asyncio.sleep(pause)
            began = time.monotonic()
            found = await self.send(rpc, ask, answer)
            status = status_of(found)
            if computed or (status is not None and is_failure(status)):
                return found
            rows = Rows.of(found, self.shield)
            bad = await judged(self.guard, self.stamps, self.shield, rows, began, all_dynamic=whole)
            if not bad:
                _leave_out(found, added, message.output_fields)
                return found
        raise RolledBack(tuple(bad))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of an answer: their columns, their primary keys, and what they are bound to."""

    columns: Sequence[s.FieldData]
    keys: Sequence[int | str]
    ids: Sequence[bytes]

    @classmethod
    def of(cls, found: Any, shield: Shield) -> Rows:
        """Those of an answer to a read.

        Raises:
            Unreadable, StaleEntry: see `reveal.found_rows`.
        """
        if isinstance(found, m.QueryResults):
            return cls.of_columns(found.fields_data, shield)
        ids = found.results.ids
        keys = ids.str_id.data if ids.HasField("str_id") else ids.int_id.data
        return cls._of(found.results.fields_data, list(keys), shield, ids)

    @classmethod
    def of_columns(cls, columns: Sequence[s.FieldData], shield: Shield) -> Rows:
        """Those of columns among which the primary keys are. Raises as `of`."""
        primary = layout_of(shield).primary
        data = next((data for data in columns if data.field_name == primary.name), None)
        if data is None:
            if columns:
                raise Unreadable
            return cls((), (), ())
        return cls._of(columns, list(scalars(data, primary.data_type, row_count(data)).elements), shield, None)

    @classmethod
    def _of(cls, columns: Sequence[s.FieldData], keys: list[Any], shield: Shield, ids: s.IDs | None) -> Rows:
        bound = reveal.found_rows(shield, layout_of(shield), columns, len(keys), ids).ids if keys else ()
        if len(bound) != len(keys):
            raise Unreadable
        return cls(columns, keys, bound)


async def judged(
    guard: Guard, stamps: Stamps, shield: Shield, rows: Rows, began: float, *, all_dynamic: bool = True
) -> list[str]:
    """The keys of rows that are not the newest.

    `began`: when the read of them did, in monotonic seconds. `all_dynamic`: whether all dynamic fields were asked for,
    so that one that is not there is missing.

    Raises:
        Unreadable: see `parts.leaves_of`.
        FailedPrecondition, Unavailable: see `Guard.logs`.
    """
    if not rows.keys:
        return []
    layout = layout_of(shield)
    seen = parts.leaves_of(layout, rows.columns, rows.ids, stamps)
    paths = [parts.THERE, *parts.paths_of(layout, rows.columns, stamps)]
    all_dynamic = all_dynamic and parts.has_dynamic(rows.columns)
    logs, since = await guard.logs(stamps, rows.ids, began)
    bad = []
    for key, leaves, text in zip(rows.keys, seen, logs, strict=True):
        log = parse(text)
        known = (*leaves, *log.paths()) if all_dynamic else leaves
        looked = {*paths, *(path for path in known if parts.is_dynamic(path))}
        if not all(leaves.get(path, ABSENT) in log.allowed(path, since) for path in looked):
            bad.append(str(key))
    return bad


def _telling(message: Reading, layout: Layout) -> tuple[Reading, frozenset[str]]:
    """A read that waits for all that was written before it, and whose answer says what its rows are; and the names of
    columns that nobody asked for.

    Raises:
        InvalidArgument: it asks for what was there at an earlier time.
    """
    if message.travel_timestamp:
        raise InvalidArgument("travel_timestamp: what was there earlier cannot be the newest: invalid parameter")
    ask: Any = type(message)()
    ask.CopyFrom(message)
    ask.consistency_level, ask.use_default_consistency = c.ConsistencyLevel.Strong, False
    ask.guarantee_timestamp = 0
    if _is_computed(message):
        return ask, frozenset()
    asked = {name.strip() for name in ask.output_fields}
    if asked & _STARS:
        asked |= layout.columns.keys() | {META}
    wanted = set(_needed(ask, layout))
    if not asked <= {*layout.columns, *layout.hidden, *_STARS, META}:
        wanted.add(META)  # some dynamic fields: which others there are is judged, too
    ask.output_fields.extend(sorted(wanted - asked))
    return ask, frozenset(wanted - asked - {layout.primary.name})  # the key is always answered


def _needed(ask: Reading, layout: Layout) -> Iterator[str]:
    """What it takes to say whose a row's parts are, and that the vector that it was found by is the newest."""
    if isinstance(ask, m.QueryRequest):
        yield layout.primary.name
        yield from [TOKEN_FIELD] if layout.auto_id else []
        return
    searches = list(ask.requests) if isinstance(ask, m.HybridSearchRequest) else [ask]
    for search in searches:
        given = {pair.key: pair.value for pair in search.search_params}
        yield from parts.searched(layout, given.get("anns_field", ""))
    rank = ask.rank_params if isinstance(ask, m.HybridSearchRequest) else ask.search_params
    grouped = next((pair.value for pair in rank if pair.key == "group_by_field"), "")
    if grouped in layout.columns:
        yield grouped


def _is_computed(message: Reading) -> bool:
    """Whether the answer has no rows, but what the database computes of some."""
    if not isinstance(message, m.QueryRequest):
        return False
    return any(aggregate_of(name) for name in message.output_fields) or any(
        pair.key == _GROUP_BY for pair in message.query_params
    )


def _leave_out(found: Any, names: frozenset[str], asked: Sequence[str]) -> None:
    """Take columns out of an answer; that of dynamic fields stays, as it is answered for any of them."""
    results = found if isinstance(found, m.QueryResults) else found.results
    kept = [data for data in results.fields_data if data.is_dynamic or data.field_name not in names]
    if len(kept) < len(results.fields_data):
        del results.fields_data[:]
        results.fields_data.extend(kept)
    shown = [name for name in results.output_fields if name not in names]
    if META in names:  # which some servers then name alone
        shown += [name for name in map(str.strip, asked) if name not in shown and not is_hidden(name)]
    results.output_fields[:] = shown

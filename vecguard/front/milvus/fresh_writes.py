"""Writes to collections with `rollback: detect`: the memory is told before, and after the database has acknowledged.

Milvus takes several rows of one key; which of them is the newest nobody could say, so none is inserted beside another.
What an expression selects is looked up first, page by page, and deleted by its keys under the same expression.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from vecguard.errors import InvalidArgument
from vecguard.fresh.guard import Begun, Guard
from vecguard.fresh.log import Change, Log
from vecguard.fresh.stamps import ABSENT, Stamps
from vecguard.front.milvus import parts
from vecguard.front.milvus.columns import scalars
from vecguard.front.milvus.expression import conjunction, named_ids, pk_in, samples
from vecguard.front.milvus.fresh_reads import Rows
from vecguard.front.milvus.ids import token_ids
from vecguard.front.milvus.layout import TOKEN_FIELD, VARCHAR, Layout, layout_of
from vecguard.front.milvus.metadata import pairs
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.rows import row_keys
from vecguard.front.milvus.status import checked, is_failure
from vecguard.seal.record import decode
from vecguard.shield import Shield
from vecguard.ways import Send

Writing: TypeAlias = m.InsertRequest | m.UpsertRequest
Key: TypeAlias = int | str

_QUERY: Final = rpc("Query")
_DELETE: Final = rpc("Delete")
_PAGE: Final = 1_000
# The database says so before, or without, applying all of a write: what it applied can be read (merr of
# milvus-io/milvus: rate exceeded, no such collection, not loaded, no such partition or database, invalid parameters).
_DEFINITE: Final = frozenset({8, 100, 101, 200, 800, 1100, 1101, 1102})


@dataclass(frozen=True, slots=True)
class _Named:
    """Rows by a column that tells each from all others: what it holds of them, and what they are bound to."""

    column: str
    keys: Sequence[Key]
    ids: Sequence[bytes]

    def only(self, ids: Collection[bytes]) -> _Named:
        """Some of them."""
        left = [(key, row_id) for key, row_id in zip(self.keys, self.ids, strict=True) if row_id in ids]
        return _Named(self.column, [key for key, _ in left], [row_id for _, row_id in left])

    def pages(self) -> Iterator[str]:
        """Expressions for all of them, a page at a time."""
        for start in range(0, len(self.keys), _PAGE):
            yield pk_in(self.column, self.keys[start : start + _PAGE])


@dataclass(frozen=True, slots=True)
class _Standing:
    """What may stand of a row beside one write, by its number."""

    log: Log
    number: bytes

    def at(self, path: bytes) -> set[bytes]:
        """The stamps of it."""
        return self.log.beside(path, self.number)

    def may_stay(self, change: Change) -> bool:
        """Whether something is there in whose place the write puts nothing: some servers keep what it leaves out."""
        others = self.log.paths() - change.leaves.keys()
        return any(each.has(path) and self.at(path) - {ABSENT} for path in others for each in change.covers)

    def own(self, path: bytes) -> bytes:
        """What the write puts at a path; where that is nothing, what stands there."""
        (mine,) = (write for write in self.log.writes if write.number == self.number)
        return mine.leaves.get(path) or max(self.at(path), default=ABSENT)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes of one call on one collection."""

    send: Send
    guard: Guard
    stamps: Stamps
    shield: Shield
    message: Writing | m.DeleteRequest

    async def write(self, method: str, message: Writing) -> m.MutationResult:
        """Send rows.

        Raises:
            InvalidArgument: there would be two rows of one key.
            FailedPrecondition, Unavailable: see `Guard.begin`.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        layout, whole = layout_of(self.shield), not getattr(message, "partial_update", False)
        rows, partition = _rows_of(layout, message), message.partition_name
        if len(set(rows.ids)) < len(rows.ids):
            raise InvalidArgument("duplicate primary keys are not allowed in the same batch: invalid parameter")
        changes = parts.written(layout, message.fields_data, rows.ids, partition, self.stamps, whole=whole)
        begun = await self.guard.begin(self.stamps, dict(zip(rows.ids, changes, strict=True)))
        standing = [_Standing(begun.log(row_id), begun.number) for row_id in rows.ids]
        try:
            await self._require_alone(message, rows, standing)
        except BaseException:
            await self.guard.withdraw(begun)
            raise
        both = zip(standing, changes, strict=True)
        decided = isinstance(message, m.UpsertRequest) and any(before.may_stay(change) for before, change in both)
        return await self._end(method, message, begun, rows, decided=decided)

    async def _require_alone(self, message: Writing, rows: _Named, standing: Sequence[_Standing]) -> None:
        """Refuse rows beside others of their keys.

        Raises:
            InvalidArgument: there are such.
        """
        replaces = isinstance(message, m.UpsertRequest)
        path = parts.PARTITION if replaces else parts.THERE
        fine = parts.partition_of(message.partition_name, self.stamps) if replaces else ABSENT
        both = zip(rows.ids, standing, strict=True)
        doubtful = rows.only([row_id for row_id, before in both if before.at(path) - {ABSENT, fine}])
        there = await self._there(doubtful)
        if there and replaces:
            there -= await self._there(doubtful, message.partition_name or parts.DEFAULT_PARTITION)
        if there:
            where, remedy = ("in another partition", "delete it") if replaces else ("there already", "use upsert")
            raise InvalidArgument(
                f"a row with primary key {min(map(str, there))} is {where}, and of two with one key nobody could say "
                f"which is the newest ({self.shield.policy.name}.integrity has `rollback: detect`): {remedy}: "
                "invalid parameter"
            )

    async def delete(self, message: m.DeleteRequest) -> m.MutationResult:
        """Send a deletion, by keys or by any other expression.

        Raises:
            InvalidArgument: it draws rows at random.
            FailedPrecondition, Unavailable: see `Guard.begin`.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        layout = layout_of(self.shield)
        named = named_ids(message.expr, layout.primary.name, message.expr_template_values)
        if named is not None and not layout.auto_id:
            ids = row_keys(layout.primary, named)
            decided = bool(message.partition_name)
            return await self._delete(message, _Named(layout.primary.name, named, ids), decided=decided)
        if samples(message.expr):
            raise InvalidArgument("random_sample: which rows are deleted has to be known before: invalid parameter")
        answer, before = m.MutationResult(acknowledged=True), _Named("", (), ())
        while True:
            rows = await self._selected(message)
            if not rows.keys or rows == before:  # in the second case the database deletes nothing of what it selects
                return answer
            one, before = m.DeleteRequest(), rows
            one.CopyFrom(message)
            one.expr = conjunction(pk_in(rows.column, rows.keys), message.expr)
            found = await self._delete(one, rows, decided=True)
            if is_failure(found.status):
                return found
            found.delete_cnt += answer.delete_cnt
            found.IDs.MergeFrom(answer.IDs)
            answer = found

    async def _delete(self, message: m.DeleteRequest, rows: _Named, *, decided: bool) -> m.MutationResult:
        begun = await self.guard.begin(self.stamps, dict.fromkeys(rows.ids, parts.DELETED))
        return await self._end(_DELETE, message, begun, rows, decided=decided)

    async def _selected(self, message: m.DeleteRequest) -> _Named:
        """Some of the rows that a deletion's expression selects."""
        ask = self._query(message.expr, (), message.partition_name)
        for name, value in message.expr_template_values.items():
            ask.expr_template_values[name].CopyFrom(value)
        ask.query_params.extend(pairs({"limit": str(_PAGE)}))
        found = checked(await self.send(_QUERY, ask, m.QueryResults))
        rows = Rows.of(found, self.shield)
        return _Named(layout_of(self.shield).primary.name, rows.keys, rows.ids)

    async def _end(self, method: str, message: Any, begun: Begun, rows: _Named, *, decided: bool) -> m.MutationResult:
        """Send a write, and tell the memory what came of it. `decided`: of some parts the database decides that."""
        found = await self.send(method, message, m.MutationResult)
        if is_failure(found.status):
            if found.status.code in _DEFINITE:
                await self.guard.commit(begun, await self._applied(rows, begun))
        elif not found.err_index:  # of any other nobody knows: what was and what was to be both stay
            await self.guard.commit(begun, await self._applied(rows, begun) if decided else None)
        return found

    async def _applied(self, rows: _Named, begun: Begun) -> dict[bytes, parts.Leaves]:
        """What there is now of some rows, by what they are bound to."""
        layout, seen = layout_of(self.shield), dict[bytes, parts.Leaves]()
        for expression in rows.pages():
            ask = self._query(expression, parts.readable(layout))
            found = Rows.of(checked(await self.send(_QUERY, ask, m.QueryResults)), self.shield)
            leaves = parts.leaves_of(layout, found.columns, found.ids, self.stamps)
            seen.update(pair for pair in zip(found.ids, leaves, strict=True) if pair[0] in rows.ids)
        for row_id, each in seen.items():  # an answer does not say in which partition a row is
            each[parts.PARTITION] = _Standing(begun.log(row_id), begun.number).own(parts.PARTITION)
        return seen

    async def _there(self, rows: _Named, partition: str = "") -> set[Key]:
        """The keys of those of some rows that are there, or in a partition."""
        there = set[Key]()
        for expression in rows.pages():
            found = checked(await self.send(_QUERY, self._query(expression, (), partition), m.QueryResults))
            there.update(Rows.of(found, self.shield).keys)
        return there

    def _query(self, expression: str, outputs: Sequence[str], partition: str = "") -> m.QueryRequest:
        layout = layout_of(self.shield)
        hidden = [TOKEN_FIELD] if layout.auto_id else []
        return m.QueryRequest(
            db_name=self.message.db_name,
            collection_name=self.message.collection_name,
            partition_names=[partition] if partition else [],
            expr=expression,
            output_fields=outputs or [layout.primary.name, *hidden],
            consistency_level=c.ConsistencyLevel.Strong,
        )


def _rows_of(layout: Layout, message: Writing) -> _Named:
    """The rows of a write. Where the database makes the keys, a row is told by its token."""
    name = TOKEN_FIELD if layout.auto_id else layout.primary.name
    (data,) = (data for data in message.fields_data if data.field_name == name and not data.is_dynamic)
    kind = VARCHAR if layout.auto_id else layout.primary.data_type
    keys = scalars(data, kind, message.num_rows).elements
    ids = token_ids([decode(text).token for text in keys]) if layout.auto_id else row_keys(layout.primary, keys)
    return _Named(name, keys, ids)

"""What a message about a collection with `rollback: detect` becomes, and what is noted of answers that no server gives
on demand. tests/milvus/test_rollback.py has real servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from state.stores import provider

from front.milvus.schemas import data_of, dynamic_of, field_of, schema_of, shield_for
from vecguard.errors import InvalidArgument, Refused, RolledBack, UpstreamFailure
from vecguard.fresh.file import FileMemory
from vecguard.fresh.guard import Guard
from vecguard.fresh.log import parse
from vecguard.front.milvus import parts
from vecguard.front.milvus.freshness import watched
from vecguard.front.milvus.layout import Layout
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.rows import protect_rows
from vecguard.shield import Shield

SCHEMA = schema_of(field_of("open", "Int64"), dynamic=True)
ID = b"\x03" + (7).to_bytes(8, "big")
Answers = Callable[[str, Any], Any]


class Place:
    """A guarded collection; `answers` stands for the wire to the database, and `sent` has what came to it."""

    def __init__(self, folder: Path) -> None:
        self.shield, self.layout = shield_for(SCHEMA)
        self.memory = FileMemory(folder / "newest.db", provider(folder))
        self.shield.fresh = Guard(self.memory, self.shield.manifest.uuid.bytes, "notes")
        self.sent = list[tuple[str, Any]]()
        self.answers: Answers = lambda method, message: m.MutationResult()

    async def send(self, method: str, message: Any, answer: type[Any]) -> Any:
        del answer
        self.sent.append((method.rpartition("/")[2], message))
        found = self.answers(method.rpartition("/")[2], message)
        if isinstance(found, Exception):
            raise found
        return found

    async def watched(self, method: str, message: Any) -> Any:
        return await watched(self.send, rpc(method), message, m.MutationResult, self.shield)

    async def allowed(self, value: int) -> bool:
        """Whether row 7 with this value is the newest, for a read that begins now."""
        guard = self.shield.fresh
        assert guard is not None
        stamps = await guard.stamps()
        (text,), since = await guard.logs(stamps, [ID], time.monotonic())
        seen = parts.leaves_of(self.layout, [data_of("open", "Int64", [value])], [ID], stamps)[0]
        return all(stamp in parse(text).allowed(path, since + 1_001) for path, stamp in seen.items())


def row(shield: Shield, layout: Layout, value: int) -> list[s.FieldData]:
    given = [data_of("id", "Int64", [7]), data_of("open", "Int64", [value])]
    vector = s.FieldData(field_name="v", type=101)
    vector.vectors.dim = 8
    vector.vectors.float_vector.data.extend(np.ones(8).tolist())
    return protect_rows(shield, layout, [*given, vector, dynamic_of([b"{}"])], 1, whole=True)


def upsert(place: Place, value: int) -> m.UpsertRequest:
    return m.UpsertRequest(collection_name="notes", num_rows=1, fields_data=row(place.shield, place.layout, value))


def answered(columns: Sequence[s.FieldData]) -> m.QueryResults:
    return m.QueryResults(fields_data=columns)


def run(folder: Path, act: Callable[[Place], Awaitable[None]]) -> None:
    async def ran() -> None:
        place = Place(folder)
        assert place.shield.fresh is not None
        await place.shield.fresh.open_empty()
        try:
            await place.watched("Upsert", upsert(place, 1))
            await asyncio.sleep(0.01)
            await act(place)
        finally:
            await place.memory.close()

    asyncio.run(ran())


def failing(code: int) -> m.MutationResult:
    return m.MutationResult(status=c.Status(code=code, reason="no"))


@pytest.mark.parametrize("applied", [1, 2])
def test_a_write_that_the_database_refuses(tmp_path: Path, applied: int) -> None:
    """What is there then is read, whatever it says."""

    async def act(place: Place) -> None:
        there = upsert(place, 2) if applied == 2 else None

        def answers(method: str, message: Any) -> Any:
            if method == "Query":
                return answered(there.fields_data if there is not None else row(place.shield, place.layout, 1))
            return failing(1100)

        place.answers = answers
        found = await place.watched("Upsert", upsert(place, 2) if there is None else there)
        assert found.status.code == 1100
        assert (await place.allowed(1), await place.allowed(2)) == (applied == 1, applied == 2)

    run(tmp_path, act)


@pytest.mark.parametrize(
    "answer",
    [failing(65_535), m.MutationResult(err_index=[0]), UpstreamFailure("DEADLINE_EXCEEDED", "Deadline Exceeded")],
)
def test_a_write_of_which_nobody_knows(tmp_path: Path, answer: Any) -> None:
    """What was and what was to be both stay, until a later write is over."""

    async def act(place: Place) -> None:
        place.answers = lambda method, message: answer
        if isinstance(answer, Exception):
            with pytest.raises(UpstreamFailure):
                await place.watched("Upsert", upsert(place, 2))
        else:
            await place.watched("Upsert", upsert(place, 2))
        assert await place.allowed(1)
        assert await place.allowed(2)
        assert not await place.allowed(3)

    run(tmp_path, act)


def test_a_refused_row_leaves_nothing_behind(tmp_path: Path) -> None:
    async def act(place: Place) -> None:
        place.answers = lambda method, message: answered(row(place.shield, place.layout, 1))
        insert = m.InsertRequest(collection_name="notes", num_rows=1, fields_data=upsert(place, 2).fields_data)
        place.sent.clear()
        with pytest.raises(InvalidArgument, match="primary key 7 is there already"):
            await place.watched("Insert", insert)
        assert [method for method, _ in place.sent] == ["Query"]
        assert (await place.allowed(1), await place.allowed(2)) == (True, False)
        place.answers = lambda method, message: answered(()) if method == "Query" else m.MutationResult()
        await place.watched("Insert", insert)  # it is not there, whatever was remembered
        await asyncio.sleep(0.01)
        assert (await place.allowed(1), await place.allowed(2)) == (False, True)

    run(tmp_path, act)


def test_a_deletion_that_the_database_does_not_carry_out_ends(tmp_path: Path) -> None:
    async def act(place: Place) -> None:
        stored = row(place.shield, place.layout, 1)
        place.answers = lambda method, message: (
            answered(stored) if method == "Query" else m.MutationResult(delete_cnt=1)
        )
        place.sent.clear()
        await place.watched("Delete", m.DeleteRequest(collection_name="notes", expr="open > 0"))
        assert [method for method, _ in place.sent] == ["Query", "Delete", "Query", "Query"]
        assert place.sent[1][1].expr == "id in [7] and open > 0"
        assert await place.allowed(1)

    run(tmp_path, act)


def test_reads_wait_for_writes(tmp_path: Path) -> None:
    async def act(place: Place) -> None:
        stored = row(place.shield, place.layout, 1)
        place.answers = lambda method, message: answered(stored)
        place.sent.clear()
        ask = m.QueryRequest(
            collection_name="notes", output_fields=["color"], guarantee_timestamp=2, use_default_consistency=True
        )
        found = await place.watched("Query", ask)
        sent = place.sent[0][1]
        assert (sent.consistency_level, sent.use_default_consistency) == (c.ConsistencyLevel.Strong, False)
        assert (sent.guarantee_timestamp, list(sent.output_fields)) == (0, ["color", "$meta", "id"])
        assert list(ask.output_fields) == ["color"]  # the message itself stays as it is
        assert list(found.output_fields) == ["color"]
        with pytest.raises(InvalidArgument, match="travel_timestamp"):
            await place.watched("Query", m.QueryRequest(collection_name="notes", travel_timestamp=5))
        place.sent.clear()
        place.answers = lambda method, message: answered(row(place.shield, place.layout, 5))
        with pytest.raises(RolledBack) as older:
            await place.watched("Query", m.QueryRequest(collection_name="notes", output_fields=["open"]))
        assert (older.value.ids, len(place.sent)) == (("7",), 5)

    run(tmp_path, act)


def test_an_unknown_call_is_refused(tmp_path: Path) -> None:
    async def act(place: Place) -> None:
        place.sent.clear()
        with pytest.raises(Refused, match="Import is not known"):
            await place.watched("Import", m.ImportRequest(collection_name="notes"))
        assert not place.sent
        await place.watched("DescribeIndex", m.DescribeIndexRequest(collection_name="notes"))
        assert len(place.sent) == 1

    run(tmp_path, act)

"""Index builds: what they keep, what they may cost, and what happens when they fail."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine import build_child, collection, index_build
from vecguard.engine.build_child import optimize
from vecguard.engine.collection import Collection
from vecguard.engine.edge_errors import EngineFailure
from vecguard.engine.index_build import build_index
from vecguard.errors import NotFound

from .edge_points import dense_request, opened, random_vectors, revisions, upsert


async def _filled(folder: Path, count: int, size: int) -> tuple[Collection, dict[int, int]]:
    vectors = random_vectors(count, size)
    store = opened(folder)
    made = await store.create(dense_request("points", size))
    await store.maintenance("points").stop()  # the test starts the builds
    for start in range(0, count, 100):
        await made.write(upsert(range(start, start + 100), vectors[start : start + 100]))
    return made, dict.fromkeys(range(count), 0)


async def _index_from(made: Collection, threshold_kb: int) -> None:
    config = pb.CollectionConfig()
    config.CopyFrom(made.config)
    config.optimizer_config.indexing_threshold = threshold_kb
    await made.update_config(config)


@pytest.mark.slow
def test_a_build_keeps_every_write_made_during_it(tmp_path: Path) -> None:
    size, dice = 64, random.Random(5)

    async def change(made: Collection, expected: dict[int, int], revision: int) -> None:
        ids = dice.sample(range(6000), 20)
        kind = dice.choice(["upsert", "delete", "payload", "refused"])
        if kind == "upsert":
            await made.write(upsert(ids, random_vectors(20, size, revision), revision))
            expected.update(dict.fromkeys(ids, revision))
        elif kind == "delete":
            await made.write(edge.UpdateOperation.delete_points(ids))
            for number in ids:
                expected.pop(number, None)
        elif kind == "payload":
            known = [number for number in ids if number in expected]
            if known:
                await made.write(edge.UpdateOperation.set_payload(known, {"revision": revision}))
                expected.update(dict.fromkeys(known, revision))
        else:
            with pytest.raises(NotFound):
                await made.write(edge.UpdateOperation.set_payload([10**6 + revision], {"revision": revision}))

    async def run() -> None:
        made, expected = await _filled(tmp_path, 4000, size)
        await _index_from(made, 100)
        build = asyncio.create_task(build_index(made))
        revision = 0
        while not build.done():
            revision += 1
            await change(made, expected, revision)
            await asyncio.sleep(0.002)
        assert await build is True
        assert revision > 20
        assert made.info().indexed_vectors_count > 3000
        assert await revisions(made) == expected
        before = await made.write(upsert([1], random_vectors(1, size), 9999))
        made.close()
        again = Collection.open(made.folder)
        assert await revisions(again) == expected | {1: 9999}
        assert await again.write(upsert([2], random_vectors(1, size))) > before
        again.close()

    asyncio.run(run())


def test_point_versions_are_the_same_on_the_built_shard(tmp_path: Path) -> None:
    async def run() -> None:
        made, _ = await _filled(tmp_path, 2000, 64)
        await _index_from(made, 100)
        build = asyncio.create_task(build_index(made))
        while not made.building:
            await asyncio.sleep(0.001)
        vector = random_vectors(1, 64, seed=77)
        number = await made.write(upsert([5], vector))
        assert await build
        query = edge.QueryRequest(limit=1, query=edge.Query.Nearest(vector[0].tolist()))
        best = (await made.read(lambda shard: shard.query(query)))[0]
        assert (best.id, best.version) == (5, number)
        made.close()

    asyncio.run(run())


@pytest.mark.slow
def test_searches_do_not_wait_while_20k_points_are_indexed(tmp_path: Path) -> None:
    vectors = random_vectors(22000, 384)
    waits: list[float] = []

    async def search(made: Collection, building: asyncio.Task[bool]) -> None:
        while not building.done():
            due = time.perf_counter() + 0.025
            await asyncio.sleep(0.025)
            query = edge.QueryRequest(limit=10, query=edge.Query.Nearest(vectors[len(waits)].tolist()))
            await made.read(lambda shard, query=query: shard.query(query))
            # From when it was due: what holds up the loop counts, not only the search itself.
            waits.append(time.perf_counter() - due)

    async def write(made: Collection, building: asyncio.Task[bool]) -> None:
        for start in range(20000, 22000, 100):
            if not building.done():
                await made.write(upsert(range(start, start + 100), vectors[start : start + 100]))
                await asyncio.sleep(0.05)

    async def run() -> None:
        made, _ = await _filled(tmp_path, 20000, 384)
        await _index_from(made, 10000)
        building = asyncio.create_task(build_index(made))
        await asyncio.gather(search(made, building), write(made, building))
        assert await building
        assert made.info().indexed_vectors_count >= 20000
        made.close()

    asyncio.run(run())
    assert len(waits) > 20
    # A build in this process would hold all of them for 9 to 20 s; a busy machine holds one or the other for a while.
    assert np.quantile(waits, 0.95) < 1.0, f"5 % of the searches waited {np.quantile(waits, 0.95):.3f} s or more"
    assert max(waits) < 6.0, f"a search waited {max(waits):.3f} s"


def test_nothing_to_do_leaves_the_shard_where_it_is(tmp_path: Path) -> None:
    async def run() -> None:
        made, expected = await _filled(tmp_path, 100, 16)
        before = made.shard_folder
        assert await build_index(made) is False
        assert made.shard_folder == before
        assert sorted(path.name for path in made.folder.glob("shard-*")) == [before.name]
        assert not made.building
        assert await revisions(made) == expected
        made.close()

    asyncio.run(run())


def test_a_killed_builder_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def started(*arguments: str, **streams: int) -> asyncio.subprocess.Process:
        children.append(await start(*arguments, **streams))
        return children[-1]

    monkeypatch.setattr(index_build.asyncio, "create_subprocess_exec", started)

    async def run() -> None:
        made, expected = await _filled(tmp_path, 2000, 64)
        await _index_from(made, 100)
        before = made.shard_folder
        build = asyncio.create_task(build_index(made))
        while not children:
            await asyncio.sleep(0.001)
        await made.write(upsert([7], random_vectors(1, 64), 3))
        children[0].kill()
        with pytest.raises(EngineFailure, match="index builder ended with status -9"):
            await build
        assert made.shard_folder == before
        assert sorted(path.name for path in made.folder.glob("shard-*")) == [before.name]
        assert await revisions(made) == expected | {7: 3}
        assert await build_index(made) is True
        assert await revisions(made) == expected | {7: 3}
        made.close()

    asyncio.run(run())


def test_a_crash_before_the_swap_keeps_the_old_shard_and_after_it_the_new(tmp_path: Path) -> None:
    async def run() -> None:
        made, expected = await _filled(tmp_path, 2000, 64)
        await _index_from(made, 100)
        async with made.paused_writes():
            copy = await made.copy_shard()
        assert optimize(copy, made.config)
        await made.write(upsert([7], random_vectors(1, 64), 3))
        made.close()
        reopened = Collection.open(made.folder)
        assert await revisions(reopened) == expected | {7: 3}
        assert not copy.exists()
        async with reopened.paused_writes():
            copy = await reopened.copy_shard()
        assert optimize(copy, reopened.config)
        async with reopened.paused_writes():
            retired, shard = await reopened.replace_shard(copy, edge.EdgeShard.load(str(copy)))
        shard.close()
        reopened.close()  # killed before the retired shard was removed
        again = Collection.open(made.folder)
        assert again.shard_folder == copy
        assert not retired.exists()
        assert again.info().indexed_vectors_count == 2000
        assert await revisions(again) == expected | {7: 3}
        again.close()

    asyncio.run(run())


def test_writes_wait_when_the_journal_is_full_and_go_on_after_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "JOURNAL_LIMIT_BYTES", 1000)

    async def run() -> None:
        made, expected = await _filled(tmp_path, 2000, 64)
        await _index_from(made, 100)
        build = asyncio.create_task(build_index(made))
        while not made.building:
            await asyncio.sleep(0.001)
        await made.write(upsert([1], random_vectors(1, 64), 1), size=2000)
        waiting = asyncio.create_task(made.write(upsert([2], random_vectors(1, 64), 2), size=10))
        await asyncio.sleep(0.05)
        assert not build.done()
        assert not waiting.done()
        assert await build
        await waiting
        assert await revisions(made) == expected | {1: 1, 2: 2}
        made.close()

    asyncio.run(run())


@pytest.mark.slow
def test_a_changed_configuration_reaches_the_stored_points(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        made = await store.create(dense_request("points", 64, 100))
        await made.write(upsert(range(2000), random_vectors(2000, 64)))
        await store.maintenance("points").settled()
        assert made.info().indexed_vectors_count == 2000
        first = made.shard_folder
        request = pb.UpdateCollection(collection_name="points")
        request.quantization_config.scalar.type = pb.QuantizationType.Int8
        await store.update(request)
        await store.maintenance("points").settled()
        assert made.shard_folder != first
        assert list(made.shard_folder.glob("segments/*/vector_storage/quantized.data"))
        assert not made.config_changed
        await store.close()

    asyncio.run(run())


@pytest.mark.slow
def test_points_that_come_in_during_a_build_are_indexed_by_the_next(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        made = await store.create(dense_request("points", 64, 100))
        await made.write(upsert(range(1000), random_vectors(1000, 64)))
        while not made.building:
            await asyncio.sleep(0.001)
        await made.write(upsert(range(1000, 3000), random_vectors(2000, 64)))
        await store.maintenance("points").settled()
        assert made.info().indexed_vectors_count == 3000
        assert not store.maintenance("points").index_wanted()
        await store.close()

    asyncio.run(run())


@pytest.mark.slow
def test_collections_build_one_after_the_other(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        made = [await store.create(dense_request(name, 64, 100)) for name in "abc"]
        for one in made:
            await one.write(upsert(range(1000), random_vectors(1000, 64)))
        most = 0
        while any(one.info().indexed_vectors_count < 1000 for one in made):
            most = max(most, sum(one.building for one in made))
            await asyncio.sleep(0.002)
        assert most == 1
        await store.close()

    asyncio.run(run())


@pytest.mark.slow
def test_deleted_points_are_cleared_away(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        made = await store.create(dense_request("points", 64, 100))
        await made.write(upsert(range(3000), random_vectors(3000, 64)))
        await store.maintenance("points").settled()
        indexed = made.shard_folder
        await made.write(edge.UpdateOperation.delete_points(list(range(500))))
        assert not store.maintenance("points").index_wanted()  # below both of Qdrant's vacuum thresholds
        await made.write(edge.UpdateOperation.delete_points(list(range(500, 1500))))
        assert store.maintenance("points").index_wanted()
        await store.maintenance("points").settled()
        assert made.shard_folder != indexed
        assert not store.maintenance("points").index_wanted()
        assert set(await revisions(made)) == set(range(1500, 3000))
        await store.close()

    asyncio.run(run())


def test_the_builder_leaves_the_first_place_to_the_server() -> None:
    assert 0 < build_child.NICENESS < 19


@pytest.mark.slow
def test_a_built_index_finds_what_a_full_scan_finds(tmp_path: Path) -> None:
    async def run() -> None:
        made, _ = await _filled(tmp_path, 4000, 32)
        queries = random_vectors(20, 32, seed=9)
        vectors = random_vectors(4000, 32)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        await _index_from(made, 10)
        assert await build_index(made)
        hits = 0
        for row in queries:
            query = edge.QueryRequest(limit=10, query=edge.Query.Nearest(row.tolist()))
            found = await made.read(lambda shard, query=query: shard.query(query))
            hits += len({point.id for point in found} & set(np.argsort(-unit @ row)[:10].tolist()))
        assert hits / 200 >= 0.9
        made.close()

    asyncio.run(run())


def test_a_failed_build_is_reported_and_the_collection_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_build.sys, "executable", "/nonexistent/python")

    async def run() -> None:
        store = opened(tmp_path)
        made = await store.create(dense_request("points", 64, 100))
        await made.write(upsert(range(1000), random_vectors(1000, 64)))
        while not made.build_error:
            await asyncio.sleep(0.01)
        assert "/nonexistent/python" in made.build_error
        assert not made.building
        assert [path.name for path in made.folder.glob("shard-*")] == [made.shard_folder.name]
        await made.write(upsert([5], random_vectors(1, 64), 2))
        assert (await revisions(made))[5] == 2
        await store.close()

    asyncio.run(run())


def test_a_cancelled_build_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        made, expected = await _filled(tmp_path, 2000, 64)
        await _index_from(made, 100)
        before = made.shard_folder
        build = asyncio.create_task(build_index(made))
        while not made.building:
            await asyncio.sleep(0.001)
        build.cancel()
        with pytest.raises(asyncio.CancelledError):
            await build
        assert not made.building
        assert made.shard_folder == before
        assert sorted(path.name for path in made.folder.glob("shard-*")) == [before.name]
        assert await revisions(made) == expected
        made.close()

    asyncio.run(run())


@pytest.mark.slow
def test_an_operation_that_ends_otherwise_on_the_copy_stops_the_build(tmp_path: Path) -> None:
    async def run() -> None:
        made, expected = await _filled(tmp_path, 2000, 64)
        await _index_from(made, 100)
        before = made.shard_folder
        build = asyncio.create_task(build_index(made))
        while not made.building:
            await asyncio.sleep(0.001)
        # On the shard behind the journal's back: the point is not on the copy, so the next operation fails there.
        await made.read(lambda shard: shard.update(upsert([5000], random_vectors(1, 64), 1)))
        await made.write(edge.UpdateOperation.set_payload([5000], {"revision": 2}))
        with pytest.raises(EngineFailure, match="fails on its copy"):
            await build
        assert made.shard_folder == before
        assert await revisions(made) == expected | {5000: 2}
        made.close()

    asyncio.run(run())

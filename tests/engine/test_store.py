"""The store: its lock, collections, operation numbers, aliases, and what a crash leaves."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import qdrant_edge as edge
from qdrant_client import grpc as pb

from vecguard.engine.collection_record import CollectionRecord
from vecguard.engine.edge_errors import EngineFailure
from vecguard.engine.store import Store
from vecguard.engine.vector_names import with_vector
from vecguard.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Refused

from .edge_points import dense_request, opened, random_vectors, revisions, upsert

_LOCKER = "import sys, time; from pathlib import Path; from vecguard.engine.data_lock import DataLock; "
_LOCKER += "DataLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"


def test_a_second_opener_is_told_the_folder_and_the_process(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(FailedPrecondition) as refused:
        Store(tmp_path).open()
    assert str(tmp_path) in str(refused.value)
    assert f"pid {os.getpid()}" in str(refused.value)
    asyncio.run(store.close())
    asyncio.run(opened(tmp_path).close())


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _LOCKER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FailedPrecondition, match=f"pid {holder.pid}"):
            Store(tmp_path).open()
        holder.kill()
    asyncio.run(opened(tmp_path).close())


def test_operation_numbers_start_at_zero_rise_and_survive_a_restart(tmp_path: Path) -> None:
    vectors = random_vectors(4, 4)

    async def first() -> None:
        store = opened(tmp_path)
        collection = await store.create(dense_request("numbers", 4))
        assert await collection.write(upsert([0], vectors[:1])) == 0
        with pytest.raises(InvalidArgument, match="expected dim: 4, got 3"):
            await collection.write(edge.UpdateOperation.upsert_points([edge.Point(9, [1.0, 2.0, 3.0])]))
        # The refused operation is in Edge's log, so it has a number, as in Qdrant.
        assert await collection.write_all([upsert([1], vectors[1:2]), upsert([2], vectors[2:3])]) == 3
        await store.close()

    async def second() -> None:
        store = opened(tmp_path)
        collection = store.collection("numbers")
        number = await collection.write(upsert([3], vectors[3:]))
        query = edge.QueryRequest(limit=1, query=edge.Query.Nearest(vectors[3].tolist()))
        best = (await collection.read(lambda shard: shard.query(query)))[0]
        assert number > 3
        assert (best.id, best.version) == (3, number)
        await store.close()

    asyncio.run(first())
    asyncio.run(second())


def test_writes_are_applied_in_the_order_they_were_made(tmp_path: Path) -> None:
    vectors = random_vectors(1, 4)

    async def run() -> None:
        store = opened(tmp_path)
        collection = await store.create(dense_request("ordered", 4))
        numbers = await asyncio.gather(*(collection.write(upsert([7], vectors, revision)) for revision in range(50)))
        assert numbers == list(range(50))
        assert await revisions(collection) == {7: 49}
        await store.close()

    asyncio.run(run())


def test_a_collection_is_found_by_name_and_alias_and_by_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        await store.create(dense_request("real", 4))
        alias = pb.AliasOperations(create_alias=pb.CreateAlias(collection_name="real", alias_name="other"))
        await store.change_aliases([alias])
        assert store.collection("real") is store.collection("other")
        with pytest.raises(NotFound, match="Not found: Collection `missing` doesn't exist!"):
            store.collection("missing")
        with pytest.raises(AlreadyExists, match="Collection `real` already exists!"):
            await store.create(dense_request("real", 4))
        with pytest.raises(InvalidArgument, match="Alias with the same name already exists"):
            await store.create(dense_request("other", 4))
        await store.close()
        again = opened(tmp_path)
        assert again.collection("other").name == "real"
        assert await again.delete("other") is False
        assert await again.delete("real") is True
        assert not again.exists("other")
        assert not any((tmp_path / "collections").iterdir())
        await again.close()

    asyncio.run(run())


def test_alias_changes_are_all_applied_or_none(tmp_path: Path) -> None:
    def create(alias: str, target: str) -> pb.AliasOperations:
        return pb.AliasOperations(create_alias=pb.CreateAlias(collection_name=target, alias_name=alias))

    async def run() -> None:
        store = opened(tmp_path)
        await store.create(dense_request("a", 4))
        with pytest.raises(NotFound):
            await store.change_aliases([create("x", "a"), create("y", "nowhere")])
        assert store.aliases() == {}
        rename = pb.AliasOperations(rename_alias=pb.RenameAlias(old_alias_name="x", new_alias_name="z"))
        with pytest.raises(NotFound, match="Alias x does not exists!"):
            await store.change_aliases([rename])
        await store.change_aliases([create("x", "a"), rename])
        assert store.aliases("a") == {"z": "a"}
        with pytest.raises(AlreadyExists):
            await store.change_aliases([create("a", "a")])
        await store.close()

    asyncio.run(run())


def test_a_deleted_collection_refuses_those_who_still_hold_it(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        held = await store.create(dense_request("gone", 4))
        await store.delete("gone")
        with pytest.raises(EngineFailure):
            await held.write(upsert([1], random_vectors(1, 4)))
        with pytest.raises(EngineFailure):
            await held.read(lambda shard: shard.info())
        anew = await store.create(dense_request("gone", 8))
        assert await anew.write(upsert([1], random_vectors(1, 8))) == 0
        await store.close()

    asyncio.run(run())


def test_an_interrupted_creation_or_deletion_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        await store.create(dense_request("kept", 4))
        await store.close()
        home = tmp_path / "collections"
        (home / "0123").mkdir()  # killed before its record was written
        folder = next(path for path in home.iterdir() if (path / "collection.json").exists())
        shutil.copytree(folder, home / "89ab")
        (home / "89ab" / "collection.json").unlink()  # killed just before the record, which is written last
        shutil.copytree(folder, home / "4567.deleted")  # killed after the rename of a deletion
        again = opened(tmp_path)
        assert again.names() == ["kept"]
        assert [path.name for path in home.iterdir()] == [folder.name]
        await again.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "content"),
    [("collection.json", "{"), ("collection.json", '{"format": 2}'), ("CURRENT", "shard-9"), ("CURRENT", "")],
)
def test_a_damaged_collection_is_an_error_and_not_an_empty_one(tmp_path: Path, name: str, content: str) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        folder = (await store.create(dense_request("kept", 4))).folder
        await store.close()
        sound = (folder / name).read_text()
        (folder / name).write_text(content)
        with pytest.raises(EngineFailure, match=name):
            opened(tmp_path)
        (folder / name).write_text(sound)
        again = opened(tmp_path)
        assert again.names() == ["kept"]
        await again.close()

    asyncio.run(run())


@pytest.mark.parametrize("crash", ["before the shard got it", "before the shard lost it"])
def test_vector_names_follow_the_record_after_a_crash(tmp_path: Path, crash: str) -> None:
    extra = pb.VectorParams(size=3, distance=pb.Dot)

    async def run() -> None:
        store = opened(tmp_path)
        request = pb.CreateCollection(collection_name="named")
        request.vectors_config.params_map.map["base"].CopyFrom(pb.VectorParams(size=4, distance=pb.Dot))
        collection = await store.create(request)
        before = CollectionRecord.load(collection.folder)
        operation = edge.UpdateOperation.create_dense_vector("extra", 3, edge.Distance.Dot)
        if crash == "before the shard got it":
            before.with_config(with_vector(before.config, "extra", extra)).save(collection.folder)
        else:
            await collection.create_vector_name("extra", extra, operation)
            before.save(collection.folder)
        await store.close()
        again = opened(tmp_path)
        collection = again.collection("named")
        point = edge.UpdateOperation.upsert_points([edge.Point(1, {"extra": [1.0, 2.0, 3.0]})])
        if crash == "before the shard got it":
            assert sorted(collection.vectors) == ["base", "extra"]
            await collection.write(point)
        else:
            assert sorted(collection.vectors) == ["base"]
            with pytest.raises(InvalidArgument, match="Not existing vector name error: extra"):
                await collection.write(point)
        await again.close()

    asyncio.run(run())


def test_a_collection_without_vectors_holds_payloads(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        collection = await store.create(pb.CreateCollection(collection_name="bare"))
        assert collection.vectors == {}
        assert collection.sparse_vectors == {}
        await collection.write(edge.UpdateOperation.upsert_points([edge.Point(1, {}, {"revision": 5})]))
        await store.close()
        again = opened(tmp_path)
        assert await revisions(again.collection("bare")) == {1: 5}
        await again.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"collection_name": ""}, InvalidArgument, "collection_name"),
        ({"collection_name": "a/b"}, InvalidArgument, 'cannot contain "/"'),
        ({"collection_name": "x" * 256}, InvalidArgument, "from 1 to 255 characters"),
        ({"shard_number": 0}, InvalidArgument, "shard_number: value 0 invalid, must be 1 or larger"),
        ({"hnsw_config": pb.HnswConfigDiff(ef_construct=3)}, InvalidArgument, "must be 4 or larger"),
        ({"sharding_method": pb.ShardingMethod.Custom}, Refused, "custom sharding"),
        ({"strict_mode_config": pb.StrictModeConfig(enabled=True)}, Refused, "strict mode"),
        ({"optimizers_config": pb.OptimizersConfigDiff(prevent_unoptimized=True)}, Refused, "prevent_unoptimized"),
    ],
)
def test_requests_out_of_bounds_leave_nothing_behind(
    tmp_path: Path, change: dict[str, object], error: type[Exception], text: str
) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        request = dense_request("bounds", 4)
        request.MergeFrom(pb.CreateCollection(**change))  # type: ignore[arg-type]
        if change.get("collection_name") == "":
            request.collection_name = ""
        with pytest.raises(error, match=text):
            await store.create(request)
        assert store.names() == []
        assert not any((tmp_path / "collections").iterdir())
        await store.close()

    asyncio.run(run())


def test_the_record_tells_format_and_name(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        collection = await store.create(dense_request("naïve 名前", 4))
        document = json.loads((collection.folder / "collection.json").read_bytes())
        assert (document["format"], document["name"]) == (1, "naïve 名前")
        await store.close()
        again = opened(tmp_path)
        assert again.names() == ["naïve 名前"]
        await again.close()

    asyncio.run(run())

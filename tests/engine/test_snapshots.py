"""Snapshots: made, listed and deleted over gRPC; restored when the engine starts."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from vecguard.engine import snapshots as making
from vecguard.engine.durable_files import copy_tree, remove_tree
from vecguard.engine.snapshots import Snapshots
from vecguard.errors import AlreadyExists, InvalidArgument

from .conftest import refusal
from .edge_points import dense_request, opened, random_vectors, revisions, upsert


@pytest.fixture(scope="module")
def snapshots(engine_target: str) -> Iterator[pb.SnapshotsStub]:
    """The raw RPCs."""
    with grpc.insecure_channel(engine_target) as channel:
        yield pb.SnapshotsStub(channel)


def test_the_client_makes_lists_and_deletes_snapshots(client: QdrantClient, snapshots: pb.SnapshotsStub) -> None:
    name = "snapped"
    client.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    made = snapshots.Create(pb.CreateSnapshotRequest(collection_name=name)).snapshot_description
    assert made.name.startswith(f"{name}-")
    assert made.name.endswith(".snapshot")
    assert made.size > 0
    assert len(made.checksum) == 64
    listed = snapshots.List(pb.ListSnapshotsRequest(collection_name=name)).snapshot_descriptions
    assert list(listed) == [made]
    missing = pb.DeleteSnapshotRequest(collection_name=name, snapshot_name="../../LOCK")
    assert refusal(lambda: snapshots.Delete(missing))[0] is grpc.StatusCode.NOT_FOUND
    snapshots.Delete(pb.DeleteSnapshotRequest(collection_name=name, snapshot_name=made.name))
    assert not snapshots.List(pb.ListSnapshotsRequest(collection_name=name)).snapshot_descriptions
    nowhere = pb.CreateSnapshotRequest(collection_name="nowhere")
    assert refusal(lambda: snapshots.Create(nowhere)) == (
        grpc.StatusCode.NOT_FOUND,
        "Not found: Collection `nowhere` doesn't exist!",
    )
    client.delete_collection(name)


def test_a_full_snapshot_holds_every_collection_and_the_aliases(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        for name in ("one", "two"):
            await store.create(dense_request(name, 4))
        alias = pb.AliasOperations(create_alias=pb.CreateAlias(collection_name="one", alias_name="first"))
        await store.change_aliases([alias])
        snapshots = Snapshots(store)
        made = await snapshots.create_full()
        assert [one.name for one in snapshots.full()] == [made.name]
        path = tmp_path / "snapshots" / "full" / made.name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == made.checksum
        with tarfile.open(path) as archive:
            records = [name for name in archive.getnames() if name.endswith("collection.json")]
            aliases = archive.extractfile("aliases.json")
            assert aliases is not None
            assert b'"first": "one"' in aliases.read()
        assert len(records) == 2
        snapshots.delete_full(made.name)
        assert snapshots.full() == []
        await store.close()

    asyncio.run(run())


def test_a_restored_collection_is_the_one_that_was_snapshot(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        request = dense_request("source", 4)
        request.metadata["owner"].string_value = "ward 7"
        source = await store.create(request)
        await source.write(upsert(range(100), random_vectors(100, 4), 1))
        snapshots = Snapshots(store)
        writing = True

        async def write_on() -> None:
            revision = 1
            while writing:
                revision += 1
                await source.write(upsert(range(50), random_vectors(50, 4), revision))
                await asyncio.sleep(0.001)

        writer = asyncio.create_task(write_on())
        await asyncio.sleep(0.02)
        made = await snapshots.create("source")
        writing = False
        await writer
        restored = await snapshots.restore(snapshots.path("source", made.name), "target")
        held = await revisions(restored)
        assert set(held) == set(range(100))
        assert len({held[number] for number in range(50)}) == 1, "a batch was caught half-way"
        assert restored.config.metadata["owner"].string_value == "ward 7"
        assert restored.name == "target"
        assert await restored.write(upsert([100], random_vectors(1, 4))) > 0
        assert 100 not in await revisions(source)
        with pytest.raises(AlreadyExists):
            await snapshots.restore(snapshots.path("source", made.name), "target")
        await store.close()
        again = opened(tmp_path)
        assert again.names() == ["source", "target"]
        await again.close()

    asyncio.run(run())


def test_a_damaged_snapshot_is_not_restored(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        await store.create(dense_request("source", 4))
        snapshots = Snapshots(store)
        made = await snapshots.create("source")
        path = snapshots.path("source", made.name)
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InvalidArgument, match="checksum"):
            await snapshots.restore(path, "target")
        other = tmp_path / "other.snapshot"
        with tarfile.open(other, "w") as archive:
            archive.add(tmp_path / "LOCK", arcname="LOCK")
        with pytest.raises(InvalidArgument, match="no snapshot of a collection"):
            await snapshots.restore(other, "target")
        assert store.names() == ["source"]
        await store.close()

    asyncio.run(run())


def test_a_new_collection_does_not_inherit_the_snapshots_of_its_name(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        await store.create(dense_request("again", 4))
        snapshots = Snapshots(store)
        await snapshots.create("again")
        await store.delete("again")
        await store.create(dense_request("again", 4))
        assert snapshots.of("again") == []
        await store.close()

    asyncio.run(run())


def test_long_and_foreign_names_make_files(tmp_path: Path) -> None:
    async def run() -> None:
        store = opened(tmp_path)
        name = "患" * 255
        await store.create(dense_request(name, 4))
        snapshots = Snapshots(store)
        made = await snapshots.create(name)
        assert snapshots.of(name) == [made]
        await store.close()

    asyncio.run(run())


def test_a_file_that_goes_away_while_it_is_copied_has_the_copy_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied is what there was at one moment: never a part of it, and not for ever."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "kept").write_bytes(b"kept")
    for times in (1, 2, 9):
        flushes = iter(range(times))

        def copy(of: Path, to: Path, flushes: Iterator[int] = flushes) -> None:
            copy_tree(of, to)
            if next(flushes, None) is not None:
                (to / "part").write_bytes(b"of a file that went away")
                raise FileNotFoundError

        monkeypatch.setattr(making, "copy_tree", copy)
        if times == 9:
            with pytest.raises(FileNotFoundError):
                making._copy_settled(source, target)
            assert not target.exists()
            return
        making._copy_settled(source, target)
        assert [file.name for file in target.iterdir()] == ["kept"]
        remove_tree(target)

"""Milvus Lite in a process of its own, under supervision."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from pymilvus import AsyncMilvusClient, DataType, MilvusClient, MilvusException
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from vecguard.engine.lite import LiteProcess
from vecguard.engine.lite_server import remove_unfinished
from vecguard.errors import Unavailable

pytestmark = pytest.mark.slow


def _serving_pid(data: Path) -> int:
    return int((data / "engine.lock").read_text())


def _ticks(pid: int | None) -> int:
    """Processor time that a process has had, in hundredths of a second (proc(5): utime, stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _stub(target: str) -> Iterator[milvus_pb2_grpc.MilvusServiceStub]:
    with grpc.insecure_channel(target) as channel:
        yield milvus_pb2_grpc.MilvusServiceStub(channel)


@contextlib.contextmanager
def _client(target: str) -> Iterator[MilvusClient]:
    client = MilvusClient(uri=target, dedicated=True, timeout=120)
    try:
        yield client
    finally:
        client.close()


def test_it_serves_and_ends_with_the_block(tmp_path: Path) -> None:
    with LiteProcess.running(tmp_path) as target:
        with _stub(target) as stub:
            assert stub.CheckHealth(milvus_pb2.CheckHealthRequest()).isHealthy
        pid = _serving_pid(tmp_path)
        assert Path(target.removeprefix("unix:")).stat().st_mode & 0o077 == 0
    assert not _alive(pid)


def test_it_needs_no_client_and_no_pandas(tmp_path: Path) -> None:
    with LiteProcess.running(tmp_path):
        maps = Path(f"/proc/{_serving_pid(tmp_path)}/maps").read_text()
    assert "pyarrow" in maps
    assert "pandas" not in maps


def test_a_second_one_on_the_folder_is_told_why(tmp_path: Path) -> None:
    with LiteProcess.running(tmp_path):
        with pytest.raises(Unavailable) as refused, LiteProcess.running(tmp_path):
            pass
        assert str(tmp_path) in str(refused.value)
        assert f"pid {_serving_pid(tmp_path)}" in str(refused.value)


def test_a_folder_that_somebody_opened_with_milvus_lite_itself_is_refused(tmp_path: Path) -> None:
    program = (
        f"from milvus_lite import MilvusLite\nopened = MilvusLite({str(tmp_path)!r})\nprint('up', flush=True)\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"up\n"
        with pytest.raises(Unavailable, match="opened by another process"), LiteProcess.running(tmp_path):
            pass
        other.communicate(b"\n")


def test_a_killed_one_comes_back_under_the_same_target_with_its_rows(tmp_path: Path) -> None:
    async def run() -> None:
        engine = LiteProcess()
        target = await engine.start(tmp_path)
        client = AsyncMilvusClient(uri=target, timeout=120, dedicated=True)
        await client.create_collection("kept", dimension=2)
        await client.insert("kept", [{"id": 7, "vector": [0.5, 0.25], "color": "red"}])
        await client.close()
        killed = engine.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        while engine.restarts == 0 or engine.pid in (None, killed):
            await asyncio.sleep(0.05)
        async with grpc.aio.insecure_channel(target) as channel:
            await channel.channel_ready()
        client = AsyncMilvusClient(uri=target, timeout=120, dedicated=True)
        (row,) = await client.query("kept", filter="id == 7", output_fields=["vector", "color"])
        assert row == {"id": 7, "vector": [0.5, 0.25], "color": "red"}
        await client.close()
        await engine.stop()
        assert engine.pid is None

    asyncio.run(run())


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom vecguard.engine.lite import LiteProcess\n"
        "with LiteProcess.running(Path(sys.argv[1])):\n    print('up', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        pid = _serving_pid(tmp_path)
        assert _alive(pid)
        parent.kill()
    deadline = time.monotonic() + 60
    while _alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stopping_one_finishes_the_calls_in_flight(tmp_path: Path) -> None:
    async def run() -> None:
        engine = LiteProcess()
        target = await engine.start(tmp_path)
        client = AsyncMilvusClient(uri=target, timeout=120, dedicated=True)
        await client.create_collection("kept", dimension=256)
        rows = [{"id": number, "vector": [1.0] * 256} for number in range(3000)]
        before = _ticks(engine.pid)
        call = asyncio.ensure_future(client.insert("kept", rows))
        while _ticks(engine.pid) < before + 5:  # it has the call, and works on it
            await asyncio.sleep(0.005)
        assert not call.done()
        await engine.stop()
        assert (await call)["insert_count"] == 3000
        await client.close()

    asyncio.run(run())
    with LiteProcess.running(tmp_path) as target, _client(target) as client:
        assert client.query("kept", output_fields=["count(*)"]) == [{"count(*)": 3000}]


def test_concurrent_writers_and_readers_see_every_acknowledged_row(tmp_path: Path) -> None:
    """Milvus Lite's own server, with its threads, answers some of these calls with an internal error or a row short."""
    acknowledged: list[int] = []
    counts: list[tuple[int, int]] = []
    stop = threading.Event()

    def write(target: str) -> None:
        with _client(target) as client:
            for _ in range(20):
                acknowledged.extend(client.insert("rows", [{"vector": [1.0] * 8}])["ids"])
                client.flush("rows")

    def read(target: str) -> None:
        with _client(target) as client:
            while not stop.is_set():
                least = len(acknowledged)
                (row,) = client.query("rows", output_fields=["count(*)"])
                counts.append((least, row["count(*)"]))

    with LiteProcess.running(tmp_path) as target, _client(target) as client, ThreadPoolExecutor(6) as pool:
        client.create_collection("rows", dimension=8, auto_id=True)
        readers = [pool.submit(read, target) for _ in range(3)]
        try:
            for writer in [pool.submit(write, target) for _ in range(3)]:
                writer.result()
        finally:
            stop.set()
        for reader in readers:
            reader.result()
        assert client.query("rows", output_fields=["count(*)"]) == [{"count(*)": 60}]
    assert len(set(acknowledged)) == 60
    assert len(counts) > 20
    assert all(least <= count for least, count in counts)


def test_what_was_loaded_is_loaded_after_a_restart_and_what_was_released_is_not(tmp_path: Path) -> None:
    with LiteProcess.running(tmp_path) as target, _client(target) as client:
        client.create_database("other")
        for name in ("loaded", "released", "dropped", "renamed"):
            client.create_collection(name, dimension=2)
        client.create_alias("loaded", "an_alias")
        client.release_collection("released")
        client.drop_collection("dropped")
        client.rename_collection("renamed", "new_name")
        assert client.query("new_name", filter="id > 0") == []
        client.use_database("other")
        client.create_collection("released", dimension=2)
    with LiteProcess.running(tmp_path) as target, _client(target) as client:
        for name in ("loaded", "an_alias", "new_name"):
            assert client.query(name, filter="id > 0") == []
        with pytest.raises(MilvusException, match="call load"):
            client.query("released", filter="id > 0")
        client.use_database("other")
        assert client.query("released", filter="id > 0") == []
    assert sorted(json.loads((tmp_path / "engine.loaded").read_text())) == [
        ["default", "loaded"],
        ["default", "new_name"],
        ["other", "released"],
    ]


def test_an_asynchronous_client_can_make_a_collection_with_an_index(tmp_path: Path) -> None:
    """It asks for a timestamp, which Milvus Lite's own server does not know."""

    async def run(target: str) -> None:
        client = AsyncMilvusClient(uri=target, timeout=120, dedicated=True)
        schema = AsyncMilvusClient.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        indexes = AsyncMilvusClient.prepare_index_params()
        indexes.add_index("vector", index_type="FLAT", metric_type="L2")
        await client.create_collection("made", schema=schema, index_params=indexes)
        assert (await client.describe_collection("made"))["collection_name"] == "made"
        await client.close()

    with LiteProcess.running(tmp_path) as target:
        asyncio.run(run(target))


@pytest.mark.parametrize("left", [(), ("schema.json.tmp",), ("wal/", "partitions/", "manifest.json")])
def test_a_collection_that_was_never_finished_does_not_block_its_name(tmp_path: Path, left: tuple[str, ...]) -> None:
    for collections in (tmp_path / "collections", tmp_path / "databases" / "other" / "collections"):
        folder = collections / "name"
        folder.mkdir(parents=True)
        for name in left:
            (folder / name).mkdir() if name.endswith("/") else (folder / name).touch()
    with LiteProcess.running(tmp_path) as target, _client(target) as client:
        client.create_collection("name", dimension=2)
        assert client.has_collection("name")
    assert not (tmp_path / "databases" / "other" / "collections" / "name").exists()


@pytest.mark.parametrize("name", ["schema.json", "holiday.jpg"])
def test_folders_that_hold_anything_else_are_left_alone(tmp_path: Path, name: str) -> None:
    file = tmp_path / "collections" / "name" / name
    file.parent.mkdir(parents=True)
    file.touch()
    (file.parent / "wal").mkdir()
    (tmp_path / "collections" / "file").touch()
    remove_unfinished(tmp_path)
    assert file.exists()
    assert (tmp_path / "collections" / "file").exists()


@pytest.mark.parametrize(
    ("listen", "words"),
    [("unix:/nonexistent-folder/engine.sock", "cannot listen on"), ("taken", "cannot listen on")],
)
def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path, listen: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}" if listen == "taken" else listen
        command = [sys.executable, "-m", "vecguard.engine.lite_server", "--data", str(tmp_path), "--listen", address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 1
    assert words in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_without_milvus_lite_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys\nsys.modules['milvus_lite'] = None\nfrom vecguard.engine.lite_server import main\n"
    hidden += "sys.exit(main(['--data', sys.argv[1], '--listen', '127.0.0.1:0']))"
    ended = subprocess.run(
        [sys.executable, "-c", hidden, str(tmp_path)], capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 1
    words = "engine: an embedded Milvus needs Milvus Lite: install vecguard[milvus-lite]"
    assert ended.stderr.splitlines()[-1] == words


def test_errors_are_milvus_lites_own(tmp_path: Path) -> None:
    with LiteProcess.running(tmp_path) as target, _client(target) as client:
        with pytest.raises(MilvusException, match="collection 'missing' does not exist") as refused:
            client.query("missing", "id > 0")
        assert refused.value.code == 100

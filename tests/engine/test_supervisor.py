"""The engine process under supervision, and the command itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from qdrant_client import grpc as pb

from vecguard.engine.server import API_VERSION, TITLE
from vecguard.engine.supervisor import EngineProcess
from vecguard.errors import Unavailable

from .edge_points import dense_request


def _serving_pid(data: Path) -> int:
    return int((data / "LOCK").read_text())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _ticks(pid: int | None) -> int:
    """Processor time that a process has had, in hundredths of a second (proc(5): utime, stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 180
    while _alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_it_serves_and_ends_with_the_block(tmp_path: Path) -> None:
    with EngineProcess.running(tmp_path) as target:
        with grpc.insecure_channel(target) as channel:
            health = pb.QdrantStub(channel).HealthCheck(pb.HealthCheckRequest())
        assert (health.title, health.version) == (TITLE, API_VERSION)
        pid = _serving_pid(tmp_path)
        socket = Path(target.removeprefix("unix:"))
        assert socket.stat().st_mode & 0o077 == 0
    assert not _alive(pid)


def test_a_data_folder_with_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 120)
    with EngineProcess.running(data) as target, grpc.insecure_channel(target) as channel:
        pb.QdrantStub(channel).HealthCheck(pb.HealthCheckRequest())
        socket = Path(target.removeprefix("unix:"))
        assert len(os.fsencode(socket)) <= 107
    assert not socket.parent.exists()


def test_a_second_engine_on_the_folder_is_told_why(tmp_path: Path) -> None:
    with EngineProcess.running(tmp_path):
        with pytest.raises(Unavailable) as refused, EngineProcess.running(tmp_path):
            pass
        assert str(tmp_path) in str(refused.value)
        assert f"pid {_serving_pid(tmp_path)}" in str(refused.value)


def test_a_killed_engine_comes_back_under_the_same_target(tmp_path: Path) -> None:
    async def run() -> None:
        engine = EngineProcess()
        target = await engine.start(tmp_path)
        async with grpc.aio.insecure_channel(target) as channel:
            collections = pb.CollectionsStub(channel)
            await collections.Create(dense_request("kept", 4))
            killed = engine.pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            while engine.restarts == 0 or engine.pid in (None, killed):
                await asyncio.sleep(0.05)
            listed = await collections.List(pb.ListCollectionsRequest(), wait_for_ready=True, timeout=120)
            assert [one.name for one in listed.collections] == ["kept"]
        await engine.stop()
        assert engine.pid is None

    asyncio.run(run())


def test_the_engine_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom vecguard.engine.supervisor import EngineProcess\n"
        "with EngineProcess.running(Path(sys.argv[1])):\n    print('up', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        pid = _serving_pid(tmp_path)
        assert _alive(pid)
        parent.kill()
    _wait_until_gone(pid)


def test_a_stopping_engine_finishes_the_calls_in_flight(tmp_path: Path) -> None:
    async def run() -> None:
        engine = EngineProcess()
        target = await engine.start(tmp_path)
        async with grpc.aio.insecure_channel(target) as channel:
            collections = pb.CollectionsStub(channel)
            await collections.Create(dense_request("kept", 4))
            snapshots = pb.SnapshotsStub(channel)
            before = _ticks(engine.pid)
            call = asyncio.ensure_future(snapshots.Create(pb.CreateSnapshotRequest(collection_name="kept")))
            while _ticks(engine.pid) == before and not call.done():  # until it has the call
                await asyncio.sleep(0.005)
            await engine.stop()
            assert (await call).snapshot_description.size > 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "unix:/nonexistent-folder/engine.sock"], "cannot listen on"),
        (["--listen", "127.0.0.1:0", "--restore", "nowhere"], "--restore wants FILE:COLLECTION"),
        (["--listen", "127.0.0.1:0", "--restore", "/nonexistent:name"], "cannot be read"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "vecguard.engine", "--data", str(tmp_path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 1
    assert words in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_two_engines_do_not_share_a_port(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vecguard.engine", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        target = first.stdout.readline().split()[-1]
        second = [*command[:3], "--listen", target, "--data", str(tmp_path / "b")]
        ended = subprocess.run(second, capture_output=True, text=True, timeout=180, check=False)
        assert ended.returncode == 1
        assert f"cannot listen on {target}" in ended.stderr
        first.send_signal(signal.SIGTERM)
        first.communicate()
        assert first.returncode == 0

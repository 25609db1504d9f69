"""kill -9 at any time loses no write that Milvus Lite acknowledged: with real processes, over gRPC."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from pymilvus import MilvusClient, MilvusException

from vecguard.engine.lite import LiteProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 4
IDS = 2000
BATCH = 40
SIZE = 32
# Small enough that tables are flushed to files, and files are merged, many times between two kills.
TABLE_BYTES = "100000"
DELETED = -1


class Writer:
    """Upserts and deletes random batches until stopped, and knows what each row may hold.

    `acknowledged` is the last revision of each row that the engine answered for (DELETED: that the row is gone);
    `unknown` are revisions sent later whose answer was lost with the process: they may have been applied or not.
    """

    def __init__(self, target: str) -> None:
        self.acknowledged: dict[int, int] = {}
        self.unknown: dict[int, set[int]] = {}
        self.batches = 0
        self._target = target
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._dice = random.Random(11)
        self._revision = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def allowed(self, number: int) -> set[int]:
        """What the row may hold now."""
        return {self.acknowledged.get(number, DELETED)} | self.unknown.get(number, set())

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(MilvusException, grpc.RpcError):
                client = MilvusClient(uri=self._target, dedicated=True, timeout=5)
                while not self._stop.is_set():
                    self._write(client)
            time.sleep(0.05)

    def _write(self, client: MilvusClient) -> None:
        self._revision += 1
        ids = self._dice.sample(range(IDS), BATCH)
        written = DELETED if self._revision % 4 == 0 else self._revision
        for number in ids:
            self.unknown.setdefault(number, set()).add(written)
        if written == DELETED:
            client.delete("rows", ids=ids)
        else:
            rows = [{"id": number, "vector": [float(written)] * SIZE, "revision": written} for number in ids]
            client.upsert("rows", rows)
        self.batches += 1
        for number in ids:
            self.acknowledged[number] = written
            self.unknown.pop(number)


def _wait_for_another(folder: Path, target: str, killed: int) -> None:
    deadline = time.monotonic() + 180
    while (folder / "engine.lock").read_text() in ("", f"{killed}\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with grpc.insecure_channel(target) as channel:
        grpc.channel_ready_future(channel).result(180)


def _held(target: str) -> dict[int, int]:
    """The revision that each row holds; its vector must be of the same revision."""
    client = MilvusClient(uri=target, dedicated=True, timeout=60)
    try:
        rows = client.query("rows", filter="id >= 0", output_fields=["id", "vector", "revision"])
    finally:
        client.close()
    assert all(row["vector"] == [float(row["revision"])] * SIZE for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["revision"] for row in rows}


def test_killed_while_it_writes_flushes_and_merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", TABLE_BYTES)
    dice = random.Random(5)
    with LiteProcess.running(tmp_path) as target:
        first = MilvusClient(uri=target, dedicated=True)
        first.create_collection("rows", dimension=SIZE, metric_type="L2")
        first.close()
        writer = Writer(target)
        with writer.running():
            for _ in range(KILLS):
                before = writer.batches
                while writer.batches < before + 10:
                    time.sleep(0.01)
                time.sleep(dice.uniform(0, 0.5))
                killed = int((tmp_path / "engine.lock").read_text())
                os.kill(killed, signal.SIGKILL)
                _wait_for_another(tmp_path, target, killed)
        held = _held(target)
    assert list(tmp_path.rglob("*.parquet")), "nothing was flushed"
    for number in range(IDS):
        assert held.get(number, DELETED) in writer.allowed(number)
    assert len(writer.acknowledged) > IDS / 2

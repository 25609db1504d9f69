"""kill -9 at any time loses no acknowledged write: with real processes, over gRPC."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as pb

from vecguard.engine.supervisor import EngineProcess

from .edge_points import dense_request, random_vectors

_SIZE = 64
_BATCH = 50
_IDS = 3000


class Writer:
    """Writes random batches until stopped, and knows what each point may hold.

    `acknowledged` is the last revision that the engine answered for; `unknown` are revisions sent later whose answer
    was lost with the process: they may or may not have been applied.
    """

    def __init__(self, channel: grpc.Channel, name: str) -> None:
        self.acknowledged: dict[int, int] = {}
        self.unknown: dict[int, set[int]] = {}
        self.batches = 0
        self._points = pb.PointsStub(channel)
        self._name = name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        dice = random.Random(11)
        vectors = random_vectors(_BATCH, _SIZE, seed=3)
        revision = 0
        while not self._stop.is_set():
            revision += 1
            ids = dice.sample(range(_IDS), _BATCH)
            request = _upsert(self._name, ids, vectors, revision)
            try:
                self._points.Upsert(request, wait_for_ready=True, timeout=120)
            except grpc.RpcError as lost:
                if lost.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                for number in ids:
                    self.unknown.setdefault(number, set()).add(revision)
                continue
            self.batches += 1
            for number in ids:
                self.acknowledged[number] = revision
                self.unknown.pop(number, None)


def _upsert(name: str, ids: list[int], vectors: np.ndarray, revision: int) -> pb.UpsertPoints:
    request = pb.UpsertPoints(collection_name=name, wait=True)
    for number, row in zip(ids, vectors, strict=True):
        point = request.points.add()
        point.id.num = number
        point.vectors.vector.data.extend(row.tolist())
        point.payload["revision"].integer_value = revision
    return request


def _stored(points: pb.PointsStub, name: str) -> dict[int, int]:
    request = pb.ScrollPoints(collection_name=name, limit=_IDS + 1)
    request.with_payload.enable = True
    try:
        answer = points.Scroll(request, wait_for_ready=True, timeout=120)
    except grpc.RpcError as lost:
        # The writer may have stopped without noticing the last kill: then this call meets the dead connection.
        if lost.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        answer = points.Scroll(request, wait_for_ready=True, timeout=120)
    return {point.id.num: point.payload["revision"].integer_value for point in answer.result}


def _current(data: Path) -> str:
    return next(data.glob("collections/*/CURRENT")).read_text()


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def _kill_engine(data: Path) -> int:
    pid = int((data / "LOCK").read_text())
    os.kill(pid, signal.SIGKILL)
    return pid


@contextlib.contextmanager
def _engine_and_writer(data: Path, indexing_threshold_kb: int) -> Iterator[tuple[Writer, pb.PointsStub]]:
    # A client waits ever longer before it connects again, unless told not to.
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200)]
    with EngineProcess.running(data) as target, grpc.insecure_channel(target, options) as channel:
        pb.CollectionsStub(channel).Create(dense_request("points", _SIZE, indexing_threshold_kb))
        yield Writer(channel, "points"), pb.PointsStub(channel)


def _check(writer: Writer, stored: dict[int, int]) -> None:
    assert len(writer.acknowledged) > 500
    assert set(writer.acknowledged) <= set(stored)
    for number, revision in stored.items():
        allowed = {writer.acknowledged.get(number)} | writer.unknown.get(number, set())
        assert revision in allowed, f"point {number} holds revision {revision}, written were {allowed}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_while_writing_loses_no_acknowledged_write(tmp_path: Path) -> None:
    dice = random.Random(1)
    with _engine_and_writer(tmp_path, 0) as (writer, points):
        killed = set()
        with writer.running():
            for _ in range(3):
                batches = writer.batches
                _wait(lambda batches=batches: writer.batches > batches + 10, "writes")
                time.sleep(dice.uniform(0.0, 0.5))
                killed.add(_kill_engine(tmp_path))
        assert len(killed) == 3
        _check(writer, _stored(points, "points"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_during_and_after_an_index_build_loses_no_acknowledged_write(tmp_path: Path) -> None:
    dice = random.Random(2)
    with _engine_and_writer(tmp_path, 20) as (writer, points):
        with writer.running():
            for kill in ["building", "swapped", "building", "swapped", "building"]:
                batches, current = writer.batches, _current(tmp_path)
                _wait(lambda batches=batches: writer.batches > batches + 10, "writes")
                if kill == "building":
                    _wait(lambda: len(list(tmp_path.glob("collections/*/shard-*"))) > 1, "an index build")
                    time.sleep(dice.uniform(0.0, 2.0))  # anywhere from the copying to the swap
                else:
                    _wait(lambda current=current: _current(tmp_path) != current, "a swap")
                _kill_engine(tmp_path)
        assert _current(tmp_path) != "shard-0"
        _check(writer, _stored(points, "points"))

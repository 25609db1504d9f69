"""A soak: `vecguard serve` under steady load for a long time; memory must level off, and no call may fail.

The data stays as much as it is (points are written over and over, and some deleted), so whatever grows is a leak.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import grpc
import numpy as np
from qdrant_client import grpc as q

from benchmarks.processes import free_port, running, wait_until_serving

COLLECTION = "soak"
DIMS = 64
POINTS = 2_000
BATCH = 20
# Caches fill, arenas settle: growth is measured after this part of the time.
_WARM = 1 / 3
MOST_GROWTH = 0.05
_SAMPLE_S = 1.0
_CALL_S = 60.0
_START_S = 180.0


@dataclass
class Soak:
    """What was seen. Memory of all processes together in MiB, one sample a second."""

    calls: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def growth(self) -> float:
        """Median of the last quarter over that of the first after warming up, as a ratio less 1."""
        settled = self.memory[int(len(self.memory) * _WARM) :]
        quarter = max(len(settled) // 4, 1)
        return median(settled[-quarter:]) / median(settled[:quarter]) - 1.0


def soak(
    seconds: float, folder: Path, *, workers: int = 2, progress: Callable[[float], None] = lambda done: None
) -> Soak:
    """Load a proxy before its embedded engine for so many seconds; `folder` holds data, key and log.

    Raises `Unavailable` where it does not start.
    """
    port, seen = free_port(), Soak()
    command = ("vecguard", "serve", "--listen", f"127.0.0.1:{port}", "--rest", "off", "--workers", str(workers))
    files = ("--upstream", f"embedded:{folder / 'data'}", "--key-file", str(folder / "key"))
    with running("soak", (*command, *files), folder) as child, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        wait_until_serving(child, f"127.0.0.1:{port}", _START_S)
        load = _Load(channel, seen)
        load.make()
        started = sampled = time.monotonic()
        while (now := time.monotonic()) - started < seconds:
            load.turn()
            if now - sampled >= _SAMPLE_S:
                sampled = now
                seen.memory.append(child.memory_mib())
                progress((now - started) / seconds)
        seen.seconds = time.monotonic() - started
    return seen


class _Load:
    """One client that writes, searches, reads and deletes in turn."""

    def __init__(self, channel: grpc.Channel, seen: Soak) -> None:
        self._points, self._collections = q.PointsStub(channel), q.CollectionsStub(channel)
        self._seen = seen
        self._rng = np.random.default_rng(7)

    def make(self) -> None:
        """The collection, full."""
        config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
        self._collections.Create(q.CreateCollection(collection_name=COLLECTION, vectors_config=config), timeout=_CALL_S)
        for first in range(0, POINTS, 200):
            self._write(range(first, first + 200))

    def turn(self) -> None:
        """A few calls of each kind."""
        numbers = self._rng.integers(0, POINTS, BATCH).tolist()
        self._counted("write", lambda: self._write(numbers))
        for _ in range(5):
            self._counted("search", self._search)
        self._counted("scroll", self._scroll)
        gone = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=number) for number in numbers[:3]]))
        ask = q.DeletePoints(collection_name=COLLECTION, points=gone, wait=True)
        self._counted("delete", lambda: self._points.Delete(ask, timeout=_CALL_S))
        self._counted("not found", self._not_found)

    def _counted(self, kind: str, call: Callable[[], object]) -> None:
        self._seen.calls[kind] += 1
        try:
            call()
        except grpc.RpcError as error:
            self._seen.failures[f"{kind}: {error.code().name}"] += 1

    def _write(self, numbers: range | list[int]) -> None:
        rows = self._rng.standard_normal((len(numbers), DIMS)).astype(np.float32)
        points = [
            q.PointStruct(
                id=q.PointId(num=number),
                vectors=q.Vectors(vector=q.Vector(dense=q.DenseVector(data=row.tolist()))),
                payload={"text": q.Value(string_value=f"note {number} " * 10)},
            )
            for number, row in zip(numbers, rows, strict=True)
        ]
        self._points.Upsert(q.UpsertPoints(collection_name=COLLECTION, points=points, wait=True), timeout=_CALL_S)

    def _search(self) -> None:
        row = self._rng.standard_normal(DIMS).astype(np.float32).tolist()
        query = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=row)))
        ask = q.QueryPoints(collection_name=COLLECTION, query=query, limit=10)
        ask.with_payload.enable = True
        self._points.Query(ask, timeout=_CALL_S)

    def _scroll(self) -> None:
        ask = q.ScrollPoints(collection_name=COLLECTION, limit=100)
        ask.with_payload.enable = ask.with_vectors.enable = True
        self._points.Scroll(ask, timeout=_CALL_S)

    def _not_found(self) -> None:
        """A name that nobody used before, as a client may send without end."""
        name = f"missing-{self._rng.integers(1 << 40)}"
        try:
            self._points.Count(q.CountPoints(collection_name=name), timeout=_CALL_S)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise

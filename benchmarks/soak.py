"""A soak: `vecguard serve` under steady load for a long time; memory must level off, and no call may fail.

The data stays as much as it is (points are written over and over, and some deleted), so what grows for ever is a leak.
Each process is looked at by itself, and its own memory apart from pages of files that it maps: of these the embedded
engine has some 60 MiB more once a segment of its write-ahead log and a page of payloads (32 MiB each) were written
through, which takes longer than a soak; the kernel takes them back when it needs room.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path

import grpc
import numpy as np
from qdrant_client import grpc as q
from rich.table import Column, Table

from benchmarks.processes import Child, free_port, running, wait_until_serving

COLLECTION = "soak"
DIMS = 64
POINTS = 2_000
BATCH = 20
# Caches fill, arenas settle: growth is measured after this part of the time.
_WARM = 1 / 3
MOST_KIB_A_CALL = 0.25
"""What the own memory of a process may grow by with each call. A string of 200 bytes kept for each is more."""
_MOST_POINTS = 300
CONNECTIONS = 8
"""So many, as the kernel deals connections to workers: each has some."""
_SAMPLE_S = 1.0
_CALL_S = 60.0
_START_S = 180.0


@dataclass
class Trace:
    """The memory of one process, one sample a second: `calls` that were made by then, and MiB."""

    calls: list[int] = field(default_factory=list)
    anonymous: list[float] = field(default_factory=list)
    file: list[float] = field(default_factory=list)

    @property
    def kib_a_call(self) -> float:
        """How the process's own memory grows after warming up, KiB a call: the median slope between any two samples
        (Theil 1950, Sen 1968), which steps and single outliers do not move."""
        warm = int(len(self.calls) * _WARM)
        step = max((len(self.calls) - warm) // _MOST_POINTS, 1)
        calls = np.array(self.calls[warm::step], dtype=float)
        mib = np.array(self.anonymous[warm::step])
        first, second = np.triu_indices(len(calls), 1)
        apart = calls[second] - calls[first]
        slopes = (mib[second] - mib[first])[apart > 0] / apart[apart > 0]
        return float(np.median(slopes)) * 1024 if slopes.size else 0.0


@dataclass
class Soak:
    """What was seen. `memory` by what a process runs."""

    calls: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    memory: dict[str, Trace] = field(default_factory=dict)
    seconds: float = 0.0

    def sample(self, child: Child) -> None:
        """Take down what each process holds now."""
        done = sum(self.calls.values())
        for name, held in child.memory().items():
            trace = self.memory.setdefault(name, Trace())
            trace.calls.append(done)
            trace.anonymous.append(round(held.anonymous, 2))
            trace.file.append(round(held.file, 2))

    @property
    def leaks(self) -> dict[str, float]:
        """The processes whose own memory goes on growing, and by how many KiB a call."""
        return {name: trace.kib_a_call for name, trace in self.memory.items() if trace.kib_a_call > MOST_KIB_A_CALL}

    def document(self) -> dict[str, object]:
        """All of it, as JSON has it."""
        seen = {"calls": dict(self.calls), "failures": dict(self.failures), "seconds": self.seconds}
        slopes = {name: round(trace.kib_a_call, 3) for name, trace in self.memory.items()}
        return {**seen, "kib_a_call": slopes, "memory": {name: asdict(trace) for name, trace in self.memory.items()}}


def soak(
    seconds: float, folder: Path, *, workers: int = 2, progress: Callable[[float], None] = lambda done: None
) -> Soak:
    """Load a proxy before its embedded engine for so many seconds; `folder` holds data, key and log.

    Raises `Unavailable` where it does not start.
    """
    port, seen = free_port(), Soak()
    command = ("vecguard", "serve", "--listen", f"127.0.0.1:{port}", "--rest", "off", "--workers", str(workers))
    files = ("--upstream", f"embedded:{folder / 'data'}", "--key-file", str(folder / "key"))
    with ExitStack() as stack:
        child = stack.enter_context(running("soak", (*command, *files), folder))
        wait_until_serving(child, f"127.0.0.1:{port}", _START_S)
        channels = [stack.enter_context(_connection(f"127.0.0.1:{port}")) for _ in range(CONNECTIONS)]
        load = _Load(channels, seen)
        load.make()
        started = sampled = time.monotonic()
        while (now := time.monotonic()) - started < seconds:
            load.turn()
            if now - sampled >= _SAMPLE_S:
                sampled = now
                seen.sample(child)
                progress((now - started) / seconds)
        seen.seconds = time.monotonic() - started
    return seen


def memory_table(seen: Soak) -> Table:
    """What each process held at first, when it was warm, and at the end, MiB, and how that grew once it was warm."""
    table = Table(Column("process", no_wrap=True), "own", "warm", "end", "KiB a call", "of files", "warm", "end")
    for name, trace in seen.memory.items():
        warm = int(len(trace.calls) * _WARM)
        own, file = ([f"{held[at]:.1f}" for at in (0, warm, -1)] for held in (trace.anonymous, trace.file))
        leaks = " (grows)" if name in seen.leaks else ""
        table.add_row(name, *own, f"{trace.kib_a_call:+.3f}{leaks}", *file)
    return table


def _connection(target: str) -> grpc.Channel:
    """A channel with a connection of its own."""
    return grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),))


class _Load:
    """One client that writes, searches, reads and deletes in turn, each turn over the next connection."""

    def __init__(self, channels: Sequence[grpc.Channel], seen: Soak) -> None:
        self._turns = cycle([q.PointsStub(channel) for channel in channels])
        self._points, self._collections = next(self._turns), q.CollectionsStub(channels[0])
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
        self._points = next(self._turns)
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

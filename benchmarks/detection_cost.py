"""What detection costs a call, on its path and beside it, and in memory; `python -m benchmarks.detection_cost`: JSON.

On the path: looking up the verdict, and putting references on the queue (`Watch.admit`, `Watch.served`). Beside it:
reading a call into an observation, and the detectors. Times are of the processor. Memory: `profiles` principals whose
windows are full.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Final

import numpy as np
from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.detect.analyst import registered, weigh
from vecguard.detect.detection import Detection
from vecguard.detect.memory import MemoryStore
from vecguard.detect.observation import SKETCH_DIMS, Observation
from vecguard.detect.store import TREND_LENGTH, Profile
from vecguard.detect.trend import Trend
from vecguard.front.qdrant.observing import observe
from vecguard.model import EXACT, Principal, Shape
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.stages import begin

ROUNDS: Final = 30
CALLS: Final = 200
HITS: Final = 10
DIMS: Final = (384, 1536)
POLICY: Final = Policy(version=1, collections=(CollectionPolicy(match="*"),))
ENTRY: Final = Entry("notes", POLICY.collections[0], None, None, POLICY, generation=0, checked=0.0)


@dataclass(frozen=True)
class Cost:
    """Costs of a search of `dims` for `HITS` points in microseconds; the median of `ROUNDS` rounds of `CALLS` calls."""

    dims: int
    vectors: bool
    path_us: float
    read_us: float


@dataclass
class _Call:
    principal: Principal
    entries: dict[str, Entry]
    shape: Shape = EXACT


async def _none(name: str) -> int:
    return 100_000


def _quiet(event: str, **fields: object) -> None:
    del event, fields


def messages(dims: int, *, vectors: bool) -> tuple[bytes, q.QueryResponse]:
    """A search as the client sends it, and its answer."""
    x = np.random.default_rng(0).normal(size=(HITS, dims)).astype(np.float32)
    near = q.VectorInput(dense=q.DenseVector(data=x[0]))
    ask = q.QueryPoints(collection_name="notes", query=q.Query(nearest=near), limit=HITS)
    points = [
        q.ScoredPoint(id=q.PointId(num=i), score=0.5, payload={"a": q.Value(string_value="b")}) for i in range(HITS)
    ]
    if vectors:
        for point, row in zip(points, x, strict=True):
            point.vectors.vector.dense.data.extend(row.tolist())
    return ask.SerializeToString(), q.QueryResponse(result=points)


async def _costs(dims: int, *, vectors: bool) -> Cost:
    detection = Detection(MemoryStore(), lambda: POLICY, _quiet)
    watch = detection.watch(observe, _none)
    body, answer = messages(dims, vectors=vectors)
    principal = Principal("p")
    begin()
    path, read = [], []
    for _ in range(ROUNDS):
        call = _Call(principal, {"notes": ENTRY})
        began = time.thread_time()
        for _ in range(CALLS):
            await watch.admit(principal, ENTRY)
            await watch.served(call, lambda: q.QueryPoints.FromString(body), answer, len(body), "r")
        path.append((time.thread_time() - began) / CALLS)
        taken = detection.intake.take()
        began = time.thread_time()
        for seen in taken:
            seen.read()
        read.append((time.thread_time() - began) / CALLS)
    await detection.close()
    return Cost(dims, vectors, round(median(path) * 1e6, 2), round(median(read) * 1e6, 2))


def traffic(count: int, seed: int, *, vectors: bool = True) -> list[Observation]:
    """Observations that fill every window: unlike questions that find unlike records; with `vectors`, writes too."""
    carried, more = (HITS, 1) if vectors else (0, 0)
    random = np.random.default_rng(seed)

    def sketches(n: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return (random.normal(size=(n, SKETCH_DIMS)) / SKETCH_DIMS**0.5).astype(np.float32)

    def ids(n: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        return random.integers(0, 2**63, n).astype(np.uint64)

    found = []
    for i in range(count):
        hits = ids(HITS)
        found.append(
            Observation(
                time=1.8e9 + i,
                principal="p",
                collection="notes",
                operation="search",
                queries=sketches(1),
                ids=hits,
                query_of=np.zeros(HITS, np.int32),
                scores=random.uniform(size=HITS).astype(np.float32),
                vectors=sketches(carried),
                vector_ids=hits[:carried],
                written=ids(more),
                written_vectors=sketches(more),
                left=frozenset({"scores", "vectors", "payload"} if vectors else {"scores", "payload"}),
                limit=HITS,
                records=100_000,
            )
        )
    return found


def detectors(count: int = 2_000, *, vectors: bool = True) -> dict[str, float]:
    """Microseconds an observation of each detector, its window full, in batches of 16; `all` together."""
    seen = traffic(count, 1, vectors=vectors)
    rule = POLICY.collections[0].detection
    costs = {}
    for name, detector in registered().items():
        state, spent = detector.fresh(), []
        for start in range(0, count, 16):
            began = time.thread_time()
            detector.update(state, seen[start : start + 16])
            spent.append((time.thread_time() - began) / len(seen[start : start + 16]))
        costs[name] = round(median(spent[len(spent) // 2 :]) * 1e6, 2)
    profile, spent = Profile(), []
    for start in range(0, count, 16):
        began = time.thread_time()
        weigh(profile, seen[start : start + 16], registered(), rule)
        spent.append((time.thread_time() - began) / len(seen[start : start + 16]))
    return {**costs, "all": round(median(spent[len(spent) // 2 :]) * 1e6, 2)}


def memory(profiles: int, calls: int = 1_000) -> dict[str, float]:
    """MiB of `profiles` principals whose windows are full, as Python's allocator counts them, and by `bytes_of`.

    The first states are filled by `calls` observations; those of other principals are copies, array by array.
    """
    full = Profile()
    for start in range(0, calls, 16):
        weigh(full, traffic(16, start), registered(), POLICY.collections[0].detection)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    store = MemoryStore(most_bytes=1 << 40)

    async def fill() -> None:
        for i in range(profiles):
            await store.change((f"principal-{i}", "notes"), lambda profile: _copy(full, profile))

    asyncio.run(fill())
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "profiles": profiles,
        "measured_mib": round((after - before) / 2**20, 1),
        "reckoned_mib": round(store.used_bytes / 2**20, 1),
        "bytes_each": round((after - before) / profiles),
    }


def _copy(full: Profile, profile: Profile) -> None:
    profile.states = {name: {key: array.copy() for key, array in state.items()} for name, state in full.states.items()}
    profile.evidence = {name: replace(one) for name, one in full.evidence.items()}
    profile.trend = Trend((full.at + 150.0 * point, float(point)) for point in range(TREND_LENGTH))
    profile.risk, profile.at, profile.rung = full.risk, full.at, full.rung


def measure(profiles: int = 10_000) -> Mapping[str, object]:
    """All figures."""
    costs = [asyncio.run(_costs(dims, vectors=vectors)) for dims in DIMS for vectors in (False, True)]
    return {
        "calls": [asdict(cost) for cost in costs],
        "detectors_us": detectors(vectors=False),
        "detectors_with_vectors_us": detectors(),
        "memory": memory(profiles),
    }


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)

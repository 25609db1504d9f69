"""What detection costs a call, on its path and beside it, and in memory; `python -m benchmarks.detection_cost`: JSON.

On the path: looking up the verdict, putting references on the queue (`Watch.admit`, `Watch.served`), and, where the
policy enforces, reading an answer that may be too large to be given. Beside it: reading a call into an observation, and
the detectors. Times are of the processor. Memory: `profiles` principals whose
windows are full.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Final, Literal

import numpy as np
from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.detect.analyst import registered, weigh
from vecguard.detect.detection import Detection
from vecguard.detect.memory import MemoryStore
from vecguard.detect.observation import SKETCH_DIMS, Observation
from vecguard.detect.store import TREND_LENGTH, Profile
from vecguard.detect.trend import Trend
from vecguard.front.base import Front
from vecguard.front.milvus import FRONT as MILVUS
from vecguard.front.milvus.proto import c, m, s
from vecguard.front.qdrant import FRONT as QDRANT
from vecguard.model import EXACT, Principal, Shape
from vecguard.policy.detection import DetectionRule
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.stages import begin

ROUNDS: Final = 30
CALLS: Final = 200
HITS: Final = 10
PAGE: Final = 100
DIMS: Final = (384, 1536)
MODES: Final[tuple[Literal["observe", "enforce"], ...]] = ("observe", "enforce")
POLICY: Final = Policy(version=1, collections=(CollectionPolicy(match="*"),))
_PAYLOAD: Final = {"text": q.Value(string_value="a passage of some length " * 12), "page": q.Value(integer_value=7)}


@dataclass(frozen=True)
class Cost:
    """Costs of a call on records of `dims` in microseconds; the median of `ROUNDS` rounds of `CALLS` calls.

    `path_us`: what the call waits for; `read_us`: reading it beside.
    """

    front: str
    call: str
    mode: str
    dims: int
    path_us: float
    read_us: float


@dataclass(frozen=True)
class Sent:
    """A call as a client sends it, what parses that, and its answer."""

    body: bytes
    parse: Callable[[bytes], Message]
    answer: Message


@dataclass
class _Call:
    principal: Principal
    entries: dict[str, Entry]
    shape: Shape = EXACT
    canaries: dict[str, dict[int, bool]] = field(default_factory=dict)


async def _none(name: str) -> int:
    return 100_000


def _quiet(event: str, **fields: object) -> None:
    del event, fields


def qdrant_calls(dims: int) -> dict[str, Sent]:
    """Calls on points of one vector with a text and a number, by what they do."""
    x = np.random.default_rng(0).normal(size=(3 * PAGE, dims)).astype(np.float32)
    near = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=x[0])))
    search = q.QueryPoints(collection_name="notes", query=near, limit=HITS)
    found = [q.ScoredPoint(id=q.PointId(num=i), score=0.5, payload=_PAYLOAD) for i in range(HITS)]
    wider = [q.ScoredPoint.FromString(point.SerializeToString()) for point in found]
    for point, row in zip(wider, x, strict=False):
        point.vectors.vector.dense.data.extend(row.tolist())
    stored = [q.RetrievedPoint(id=q.PointId(num=i), payload=_PAYLOAD) for i in range(3 * PAGE)]
    ids = [point.id for point in stored]
    upsert = q.UpsertPoints(collection_name="notes", points=[q.PointStruct(id=ids[0], payload=_PAYLOAD)])
    upsert.points[0].vectors.vector.dense.data.extend(x[0].tolist())
    query, scroll = q.QueryPoints.FromString, q.ScrollPoints.FromString
    page = q.ScrollPoints(collection_name="notes", limit=PAGE).SerializeToString()
    get = q.GetPoints(collection_name="notes", ids=ids[:HITS]).SerializeToString()
    return {
        "search, 10 results": Sent(search.SerializeToString(), query, q.QueryResponse(result=found)),
        "the same with vectors": Sent(search.SerializeToString(), query, q.QueryResponse(result=wider)),
        "10 by id": Sent(get, q.GetPoints.FromString, q.GetResponse(result=stored[:HITS])),
        "a page of 100": Sent(page, scroll, q.ScrollResponse(result=stored[:PAGE])),
        "a page of 300": Sent(page, scroll, q.ScrollResponse(result=stored)),
        "upsert of 1": Sent(upsert.SerializeToString(), q.UpsertPoints.FromString, q.PointsOperationResponse()),
    }


def milvus_calls(dims: int) -> dict[str, Sent]:
    """The same calls on rows of a collection in clear, whose entry needs no manifest."""
    x = np.random.default_rng(0).normal(size=dims).astype("<f4")
    holder = c.PlaceholderValue(tag="$0", type=c.PlaceholderType.FloatVector, values=[x.tobytes()])
    group = c.PlaceholderGroup(placeholders=[holder]).SerializeToString()
    search = m.SearchRequest(collection_name="notes", placeholder_group=group, nq=1)
    search.search_params.add(key="anns_field", value="v")
    search.search_params.add(key="topk", value=str(HITS))

    def columns(rows: int) -> list[s.FieldData]:
        texts = s.ScalarField(string_data=s.StringArray(data=[_PAYLOAD["text"].string_value] * rows))
        keys = s.ScalarField(long_data=s.LongArray(data=range(rows)))
        kinds = (("id", s.DataType.Int64, keys), ("text", s.DataType.VarChar, texts))
        return [s.FieldData(field_name=name, type=kind, scalars=held) for name, kind, held in kinds]

    found = s.SearchResultData(num_queries=1, top_k=HITS, topks=[HITS], scores=[0.5] * HITS, fields_data=columns(HITS))
    found.ids.int_id.data.extend(range(HITS))
    upsert = m.UpsertRequest(collection_name="notes", num_rows=1, fields_data=columns(1))
    vector = s.VectorField(dim=dims, float_vector=s.FloatArray(data=x))
    upsert.fields_data.add(field_name="v", type=s.DataType.FloatVector, vectors=vector)
    done = m.MutationResult(IDs=s.IDs(int_id=s.LongArray(data=[0])))
    get = m.QueryRequest(collection_name="notes", expr=f"id in {list(range(HITS))}").SerializeToString()
    page = m.QueryRequest(collection_name="notes", expr="id > 5").SerializeToString()

    def rows(count: int) -> m.QueryResults:
        return m.QueryResults(fields_data=columns(count), primary_field_name="id")

    query = m.QueryRequest.FromString
    return {
        "search, 10 results": Sent(
            search.SerializeToString(), m.SearchRequest.FromString, m.SearchResults(results=found)
        ),
        "10 by id": Sent(get, query, rows(HITS)),
        "a page of 100": Sent(page, query, rows(PAGE)),
        "a page of 300": Sent(page, query, rows(3 * PAGE)),
        "upsert of 1": Sent(upsert.SerializeToString(), m.UpsertRequest.FromString, done),
    }


async def _cost(front: Front, name: str, sent: Sent, mode: Literal["observe", "enforce"], dims: int) -> Cost:
    rule = DetectionRule(mode=mode)
    policy = Policy(version=1, collections=(CollectionPolicy(match="*", detection=rule),))
    entry = Entry("notes", policy.collections[0], None, None, policy, generation=0, checked=0.0, called="notes")
    detection = Detection(MemoryStore(), lambda: policy, _quiet)
    watch = detection.watch(front.observe, _none, front.shown)
    principal = Principal("p")
    begin()
    call = _Call(principal, {"notes": entry})
    await watch.served(call, lambda: sent.parse(sent.body), sent.answer, len(sent.body), "r")
    await asyncio.sleep(0.01)  # how large the collection is is known then
    detection.intake.take()
    path, read = [], []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(CALLS):
            await watch.admit(principal, entry)
            await watch.served(call, lambda: sent.parse(sent.body), sent.answer, len(sent.body), "r")
        path.append((time.thread_time() - began) / CALLS)
        taken = detection.intake.take()
        began = time.thread_time()
        for seen in taken:
            seen.read()
        read.append((time.thread_time() - began) / CALLS)
    await detection.close()
    return Cost(front.name, name, mode, dims, round(median(path) * 1e6, 2), round(median(read) * 1e6, 2))


def calls() -> list[Cost]:
    """Every call of both fronts, under both modes."""
    made = [(front, dims, of(dims)) for front, of in ((QDRANT, qdrant_calls), (MILVUS, milvus_calls)) for dims in DIMS]
    return [
        asyncio.run(_cost(front, name, sent, mode, dims))
        for front, dims, sent_by_name in made
        for name, sent in sent_by_name.items()
        for mode in MODES
    ]


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
    return {
        "calls": [asdict(cost) for cost in calls()],
        "detectors_us": detectors(vectors=False),
        "detectors_with_vectors_us": detectors(),
        "memory": memory(profiles),
    }


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)

"""What protection costs: one load over every route, in interleaved rounds of one run.

Rounds go A B C D E A B C D E ..., so that whatever else the machine does falls on all routes alike; every figure is
compared with the bare pass-through's of the same round. On few cores the client, the middle and the engine take turns,
so calls per second say little about the middle process: its CPU time per call is what the aims are stated in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.backend import Backend, Call, Progress, QdrantBackend
from benchmarks.generator import Generator, Load, generating, write_requests
from benchmarks.passthrough import OPTIONS
from benchmarks.processes import Child, free_port, running, wait_until_serving
from benchmarks.routes import DIRECT, POLICY, ROUTES, Middle, Route
from benchmarks.vectors import Sample, exact_top
from vecguard.errors import Unavailable

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured. `rounds` times every route gets `points / rounds` points to write, and then, for each kind
    of search, `single_s` seconds of one closed loop (latency) and `many_s` seconds of `streams` loops (throughput)."""

    dims: tuple[int, ...]
    points: int
    queries: int
    rounds: int
    single_s: float
    many_s: float
    streams: int = 8
    upsert_streams: int = 2
    batch: int = 100
    limit: int = 10
    index: bool = True
    seed: int = 7
    routes: tuple[Route, ...] = ROUTES


FULL = Plan(dims=(384, 768, 1536), points=12_000, queries=500, rounds=4, single_s=1.0, many_s=2.0)
QUICK = Plan(dims=(384, 768, 1536), points=1_000, queries=200, rounds=2, single_s=0.3, many_s=0.8, index=False)


@dataclass(frozen=True)
class Measure:
    """One route's share of one round. CPU in seconds, of the middle process, the engine and the load generator."""

    dims: int
    phase: str
    route: str
    round: int
    calls: int
    seconds: float
    latencies_ms: list[float]
    middle_cpu_s: float
    engine_cpu_s: float
    client_cpu_s: float


@dataclass(frozen=True)
class Run:
    """What the database was, all measures of a run, each route's recall@10 by dims, and the processes' memory at the
    end, MiB."""

    engine: str
    measures: list[Measure]
    recall: dict[int, dict[str, float]]
    memory_mib: dict[str, float]


@dataclass(frozen=True)
class Bench:
    """The running processes and where each route goes in."""

    backend: Backend
    folder: Path
    generator: Generator
    engine: Child
    middles: dict[Middle, Child]
    targets: dict[Middle, str]

    def call(self, route: Route, call: Call) -> bytes:
        """One call over the route, outside any measurement. Raises `Unavailable` with the status it failed with."""
        with grpc.insecure_channel(self.targets[route.middle], options=OPTIONS) as channel:
            try:
                answer = bytes(channel.unary_unary(call.method, None, None)(call.request, timeout=120))
            except grpc.RpcError as error:
                raise Unavailable(f"{route.title}: {call.method}: {error}") from error
        if told := self.backend.error(call, answer):
            raise Unavailable(f"{route.title}: {call.method}: {told}")
        return answer

    def wait(self, route: Route, progress: Progress, tell: Tell, patience_s: float = 300) -> None:
        """Ask over the route until it is done. Raises `Unavailable` if it does not get there."""
        deadline = time.monotonic() + patience_s
        while True:
            done, how_far = progress.done(self.call(route, progress.call))
            tell(how_far)
            if done:
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"{route.title}: {progress.call.method}: {how_far} after {patience_s:.0f} s")
            time.sleep(0.5)

    def measure(self, route: Route, dims: int, phase: str, number: int, load: Load) -> Measure:
        """Run one load and read what it cost each process."""
        processes = (self.middles.get(route.middle), self.engine, self.generator.child)
        before = [process.cpu_seconds() if process else 0.0 for process in processes]
        timing = self.generator.send(load)
        after = [process.cpu_seconds() if process else 0.0 for process in processes]
        middle, engine, client = (b - a for a, b in zip(before, after, strict=True))
        calls = len(timing.latencies_ms)
        return Measure(
            dims, phase, route.key, number, calls, timing.seconds, timing.latencies_ms, middle, engine, client
        )


@contextmanager
def bench(
    folder: Path, logs: Path, routes: tuple[Route, ...] = ROUTES, backend: Backend | None = None
) -> Iterator[Bench]:
    """The engine, what stands in the middle of the routes, and the load generator: each a process of its own.

    Data, policy, key and requests go into `folder`, the processes' output into `logs`. `backend` None: Qdrant.
    """
    backend = backend or QdrantBackend()
    engine_at = f"127.0.0.1:{free_port()}"
    targets: dict[Middle, str] = {"none": engine_at}
    middles: dict[Middle, Child] = {}
    with ExitStack() as stack:
        engine = stack.enter_context(running("engine", backend.engine_command(folder / "data", engine_at), logs))
        wait_until_serving(engine, engine_at, 180, backend.health, backend.healthy)
        for middle in dict.fromkeys(route.middle for route in routes if route.middle != "none"):
            targets[middle] = f"127.0.0.1:{free_port()}"
            line = _command(backend, middle, targets[middle], engine_at, folder)
            middles[middle] = stack.enter_context(running(middle, line, logs))
            wait_until_serving(middles[middle], targets[middle], 60, backend.health, backend.healthy)
        yield Bench(backend, folder, stack.enter_context(generating()), engine, middles, targets)


def _command(backend: Backend, middle: Middle, listen: str, engine: str, folder: Path) -> tuple[str, ...]:
    """How a middle process is started, behind `python -m`."""
    if middle == "passthrough":
        return ("benchmarks.passthrough", "--listen", listen, "--upstream", engine)
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    return backend.proxy_command(listen, engine, policy, folder / "key")


def measure_overhead(bench: Bench, plan: Plan, sample: Callable[[int], Sample], tell: Tell) -> Run:
    """The whole plan over every route; `sample(dims)` gives the vectors."""
    measures: list[Measure] = []
    recall: dict[int, dict[str, float]] = {}
    for dims in plan.dims:
        vectors = sample(dims)
        _create(bench, plan, dims, vectors.queries, tell)
        measures += _upsert_rounds(bench, plan, dims, vectors.rows, tell)
        if plan.index:
            _build_indexes(bench, plan, dims, tell)
        recall[dims] = {route.key: _recall(bench, plan, route, dims, vectors) for route in plan.routes}
        for with_payload in (False, True):
            measures += _search_rounds(bench, plan, dims, vectors.queries, with_payload, tell)
    memory = {child.name: child.memory_mib() for child in (*bench.middles.values(), bench.engine)}
    return Run(bench.backend.engine, measures, recall, memory)


def _create(bench: Bench, plan: Plan, dims: int, queries: NDArray[np.float32], tell: Tell) -> None:
    """Make each route's collection, and send it a first call, by which its keys and matrices are made: they are no
    share of what a write or search costs."""
    backend = bench.backend
    for route in plan.routes:
        name = route.collection(dims)
        for call in backend.creation(name, dims, plan.index):
            bench.call(route, call)
        created = backend.created(name)
        if created is not None:
            bench.wait(route, created, lambda how_far, name=name: tell(f"{name}: {how_far}"))
        first = next(backend.searches(name, queries, plan.limit, False))
        bench.call(route, Call(backend.search, first))


def _upsert_rounds(bench: Bench, plan: Plan, dims: int, rows: NDArray[np.float32], tell: Tell) -> Iterator[Measure]:
    """Each route writes all rows into its own collection, one slice a round."""
    backend = bench.backend
    prepared = {route.key: list(backend.writes(route.collection(dims), rows, plan.batch)) for route in plan.routes}
    for number in range(plan.rounds):
        for route in plan.routes:
            tell(f"{dims} dims: upsert, round {number + 1} of {plan.rounds}: {route.title}")
            batches = prepared[route.key]
            share = batches[number * len(batches) // plan.rounds : (number + 1) * len(batches) // plan.rounds]
            file = _written(bench, share)
            target = bench.targets[route.middle]
            load = Load(target, backend.write, file, plan.upsert_streams, success=backend.success.hex())
            yield bench.measure(route, dims, "upsert", number, load)


def _search_rounds(
    bench: Bench, plan: Plan, dims: int, queries: NDArray[np.float32], with_payload: bool, tell: Tell
) -> Iterator[Measure]:
    """Each route in turn answers the same queries: first one at a time, then over many streams."""
    kind = "search with payload" if with_payload else "search"
    backend = bench.backend
    files = {
        route.key: _written(
            bench, list(backend.searches(route.collection(dims), queries, plan.limit, with_payload)), route.key
        )
        for route in plan.routes
    }
    for number in range(plan.rounds):
        for route in plan.routes:
            tell(f"{dims} dims: {kind}, round {number + 1} of {plan.rounds}: {route.title}")
            for phase, streams, seconds in ((f"{kind}, one", 1, plan.single_s), (kind, plan.streams, plan.many_s)):
                # Every round starts at other queries, and all routes of a round at the same one.
                first = number * plan.queries // plan.rounds
                target = bench.targets[route.middle]
                load = Load(target, backend.search, files[route.key], streams, seconds, first, backend.success.hex())
                yield bench.measure(route, dims, phase, number, load)


def _build_indexes(bench: Bench, plan: Plan, dims: int, tell: Tell) -> None:
    """Have every collection indexed before searches are timed. Raises `Unavailable` if one does not get there."""
    for route in plan.routes:
        for call in bench.backend.indexing(route.collection(dims)):
            bench.call(route, call)
    for route in plan.routes:
        text = f"{dims} dims: index: {route.title}"
        indexed = bench.backend.indexed(route.collection(dims))
        bench.wait(route, indexed, lambda how_far, text=text: tell(f"{text}: {how_far}"))


def _recall(bench: Bench, plan: Plan, route: Route, dims: int, vectors: Sample) -> float:
    """Mean share of the exact nearest `limit` rows among those that the route returns, over at most 200 queries."""
    backend = bench.backend
    for call in backend.visible(route.collection(dims)):
        bench.call(DIRECT, call)
    asked = vectors.queries[:200]
    truth = exact_top(vectors.rows, asked, plan.limit)
    found = 0
    for request, right in zip(backend.searches(route.collection(dims), asked, plan.limit, False), truth, strict=True):
        found += len(backend.found(bench.call(route, Call(backend.search, request))) & set(right.tolist()))
    return found / truth.size


def _written(bench: Bench, prepared: list[bytes], name: str = "load") -> str:
    path = bench.folder / f"{name}.requests"
    write_requests(path, prepared)
    return str(path)

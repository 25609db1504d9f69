"""How many records a second a rotation of a data key brings over: the job and the embedded engine, nobody else.

`python -m benchmarks rotation` runs it as a child with one BLAS thread. Records are those of `at_rest`. Time is wall
time from the first manifest to the last, the waits for other replicas left out; it holds the pass that moves the
records, and the one that finds none left. Beside it stands what says more on a machine that does other things, too: CPU
time of the job and of the engine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from qdrant_client import grpc as q

from benchmarks.at_rest import DIMS, PAYLOAD, points
from benchmarks.processes import children_cpu_seconds
from vecguard.config import EmbeddedUpstream, Settings
from vecguard.front.transfer import Desk
from vecguard.keys.file import FileKeyProvider
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.upkeep.access import open_database
from vecguard.upkeep.rotate import rotate

RECORDS: Final = 2_000
_NAME: Final = "turned"


@dataclass(frozen=True)
class Turned:
    """A rotation that was timed."""

    dims: int
    records: int
    seconds: float
    job_cpu_s: float
    engine_cpu_s: float


async def measure_rotation(dims: int, records: int = RECORDS) -> Turned:
    """Rotate the data key of a fresh collection of `records` vectors of `dims` dimensions, with payload."""
    rules = Policy(version=1, collections=(CollectionPolicy(match="*", payload=PAYLOAD).placed(0),))
    with tempfile.TemporaryDirectory(prefix="vecguard-rotation-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        FileKeyProvider.create(str(folder / "key"), {})
        upstream = EmbeddedUpstream(data=folder / "data")
        settings = Settings(upstream=(upstream,), key=f"file:{folder / 'key'}")
        async with open_database(settings) as database:
            desk = Desk(database.pipeline(lambda: rules))
            params = q.VectorParams(size=dims, distance=q.Distance.Cosine)
            create = q.CreateCollection(collection_name=_NAME, vectors_config=q.VectorsConfig(params=params))
            await desk.call("/qdrant.Collections/Create", create, q.CollectionOperationResponse)
            some = points(dims)
            for start in range(0, records, len(some)):
                for i, point in enumerate(some):
                    point.id.num = start + i
                ask = q.UpsertPoints(collection_name=_NAME, points=some, wait=True)
                await desk.call("/qdrant.Points/Upsert", ask, q.PointsOperationResponse)
            started, job, engine = time.perf_counter(), time.process_time(), children_cpu_seconds()
            async for progress in rotate(database, _NAME, settle_s=0.0):
                moved = progress.moved
            seconds, job = time.perf_counter() - started, time.process_time() - job
            engine = children_cpu_seconds() - engine
    assert moved == records
    return Turned(dims, records, seconds, job, engine)


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    json.dump([asdict(asyncio.run(measure_rotation(dims, size))) for dims in DIMS], sys.stdout)

"""How fast vectors are protected, without any network: the shield's own path on one core.

`python -m benchmarks.protect` prints JSON; `python -m benchmarks protect` runs it as a child with one BLAS thread and
shows it. Time is CPU time of the process, so other work on the machine does not count; the figure of each dims is the
median over batches.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.vectors import synthetic
from vecguard.keys.file import FileKeyProvider
from vecguard.manifest import Manifest, VectorRecord
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.model import CollectionPolicy
from vecguard.seal.ids import num_id
from vecguard.shield import DenseShield, Shield

DIMS = (384, 768, 1536, 3072)
BATCH = 100
SECONDS = 2.0


@dataclass(frozen=True)
class Speed:
    """Of one dims: vectors a second protected (rotation, noise, entry) in batches, opened again in batches, and
    microseconds to protect one query."""

    dims: int
    batch: int
    protected_per_s: float
    opened_per_s: float
    query_us: float


def measure_speed(dims: int, seconds: float = SECONDS) -> Speed:
    """Speed under the default policy with a cosine vector of `dims` dimensions."""
    dense = _default_shield(dims)
    sample = synthetic(rows=10 * BATCH, queries=1, dims=dims, seed=dims)
    batches = sample.rows.reshape(10, BATCH, dims)
    ids = [num_id(number) for number in range(BATCH)]
    stored, entries = dense.protect(ids, batches[0])
    candidates = [[entry] if entry else [] for entry in entries]
    return Speed(
        dims=dims,
        batch=BATCH,
        protected_per_s=BATCH / _seconds(lambda i: dense.protect(ids, batches[i % 10]), seconds),
        opened_per_s=BATCH / _seconds(lambda i: dense.open(ids, stored, candidates), seconds),
        query_us=1e6 * _seconds(lambda i: dense.query(sample.queries), seconds / 4),
    )


def _default_shield(dims: int) -> DenseShield:
    policy = DEFAULT_POLICY.collection("benchmark") or CollectionPolicy(match="*")
    rule = policy.vector("")
    record = VectorRecord(
        name="", kind="dense", dims=dims, distance="cosine", transforms=rule.transforms, recover=rule.recover
    )
    with tempfile.TemporaryDirectory() as folder:
        manifest, ring = Manifest.new("benchmark", policy.payload, FileKeyProvider.create(Path(folder) / "key"))
    return Shield(manifest, ring, {"": record}, policy).dense("")


def _seconds(work: Callable[[int], object], seconds: float) -> float:
    """Median CPU seconds of one `work`, over as many as fit into `seconds` after a warm-up."""
    for turn in range(5):
        work(turn)
    spent: list[float] = []
    while sum(spent) < seconds:
        start = time.process_time_ns()
        work(len(spent))
        spent.append(1e-9 * (time.process_time_ns() - start))
    return median(spent)


if __name__ == "__main__":
    json.dump([asdict(measure_speed(dims)) for dims in DIMS], sys.stdout)

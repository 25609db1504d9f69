"""What sealing costs a record, in time and bytes: points of Qdrant's API, protected and opened without any network.

`python -m benchmarks.at_rest` prints JSON; `python -m benchmarks at_rest` runs it as a child with one BLAS thread and
shows it. A record is a cosine vector and a payload of six fields: a text of 800 characters and a title, sealed; source
and author, searchable; a number, sealed; a year, plain. Time is CPU time of the process; each figure is the median over
batches of 100. Bytes are those of the messages that are sent to the database: what it makes of them on disk is its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

import numpy as np
from qdrant_client import grpc as q

from benchmarks.vectors import synthetic
from vecguard.front.qdrant import reveal
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.writes import protect_points
from vecguard.front.scratch import scratch_shield
from vecguard.manifest import VectorRecord
from vecguard.policy.model import CollectionPolicy, PayloadRule, Recover, VectorRule
from vecguard.shield import Shield

DIMS: Final = (384, 768, 1536)
RECOVERIES: Final[tuple[Recover, ...]] = ("derived", "sealed")
BATCH: Final = 100
SECONDS: Final = 2.0
_TEXT: Final = 800
PAYLOAD: Final = PayloadRule(default="sealed", fields={"source": "searchable", "author": "searchable", "year": "plain"})


@dataclass(frozen=True)
class Cost:
    """Of one record: microseconds to seal and to open it, its bytes in clear and at rest, and of the latter those of
    the vector, of its entry, and of the payload."""

    dims: int
    recover: Recover
    seal_us: float
    open_us: float
    clear_bytes: float
    stored_bytes: float
    vector_bytes: float
    record_bytes: float
    payload_bytes: float
    clear_payload_bytes: float


def measure_cost(dims: int, recover: Recover, seconds: float = SECONDS) -> Cost:
    """The cost at `dims` dimensions, with the exact vector derived from the stored one or sealed beside it."""
    shield = _shield(dims, recover)
    clear = points(dims)
    encoded = [point.SerializeToString() for point in clear]
    stored = [q.PointStruct.FromString(one) for one in encoded]
    seal = _seconds(
        lambda: [q.PointStruct.FromString(one) for one in encoded], lambda p: protect_points(shield, p), seconds
    )
    protect_points(shield, stored)
    answers = [_answered(point).SerializeToString() for point in stored]
    opened = _seconds(
        lambda: [q.RetrievedPoint.FromString(one) for one in answers],
        lambda points: reveal.points(shield, points, ("",)),
        seconds,
    )
    return Cost(
        dims=dims,
        recover=recover,
        seal_us=1e6 * seal / BATCH,
        open_us=1e6 * opened / BATCH,
        clear_bytes=_mean(point.ByteSize() for point in clear),
        stored_bytes=_mean(point.ByteSize() for point in stored),
        vector_bytes=_mean(point.vectors.ByteSize() for point in stored),
        record_bytes=_mean(point.payload["_vg"].ByteSize() for point in stored),
        payload_bytes=_mean(point.payload["_p"].ByteSize() for point in stored),
        clear_payload_bytes=_mean(point.ByteSize() - point.vectors.ByteSize() for point in clear),
    )


def _shield(dims: int, recover: Recover) -> Shield:
    rule = VectorRule(recover=recover)
    policy = CollectionPolicy(match="*", vectors=(rule,), payload=PAYLOAD)
    record = VectorRecord(
        name="", kind="dense", dims=dims, distance="cosine", transforms=rule.transforms, recover=recover
    )
    return scratch_shield("benchmark", [record], policy)


def points(dims: int) -> list[q.PointStruct]:
    """The records of a batch, in clear."""
    rows = synthetic(rows=BATCH, queries=1, dims=dims, seed=dims).rows
    letters = np.random.default_rng(dims).integers(97, 123, (BATCH, _TEXT), dtype=np.uint8)
    made = []
    for number, (row, text) in enumerate(zip(rows, letters, strict=True)):
        words = text.tobytes().decode()
        point = q.PointStruct(id=q.PointId(num=number))
        point.vectors.vector.dense.ParseFromString(wire.packed_floats(row))
        texts = {
            "text": words,
            "title": words[:40],
            "source": f"file-{number % 9}.pdf",
            "author": f"author {number % 7}",
        }
        for key, value in texts.items():
            point.payload[key].string_value = value
        point.payload["page"].integer_value = number
        point.payload["year"].integer_value = 2000 + number % 25
        made.append(point)
    return made


def _answered(point: q.PointStruct) -> q.RetrievedPoint:
    """The stored point as the database answers it."""
    answer = q.RetrievedPoint(id=point.id, payload=point.payload)
    answer.vectors.vector.dense.CopyFrom(point.vectors.vector.dense)
    return answer


def _mean(sizes: object) -> float:
    found = list(sizes)  # type: ignore[call-overload]
    return float(sum(found)) / len(found)


def _seconds(
    fresh: Callable[[], list[q.PointStruct]] | Callable[[], list[q.RetrievedPoint]],
    work: Callable[..., object],
    seconds: float,
) -> float:
    """Median CPU seconds of one `work` on a batch of its own, which is made outside of the time."""
    for _ in range(3):
        work(fresh())
    spent: list[float] = []
    while sum(spent) < seconds:
        batch = fresh()
        start = time.process_time_ns()
        work(batch)
        spent.append(1e-9 * (time.process_time_ns() - start))
    return median(spent)


if __name__ == "__main__":
    json.dump([asdict(measure_cost(dims, recover)) for dims in DIMS for recover in RECOVERIES], sys.stdout)

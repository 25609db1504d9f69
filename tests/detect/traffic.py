"""Calls on a small collection of made-up vectors, as detection is told of them: exact search on a sheet of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.observations import observed
from vecguard.detect.detector import Detector, Evidence, State
from vecguard.detect.observation import SKETCH_DIMS, Observation

RECORDS = 2_000
DIMS = 128
SHEET = 12
"""Dimensions that the records really spread in, as those of text are far fewer than an embedding has."""
Vectors = NDArray[np.float32]


def unit(rows: NDArray[Any]) -> Vectors:
    """Rows, or one row, of length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


class Desk:
    """One collection and one caller; each call is a second after the one before."""

    def __init__(self, seed: int = 0, records: int = RECORDS) -> None:
        self.records = records
        self.random = np.random.default_rng(seed)
        world = np.random.default_rng(99)
        sheet = world.standard_normal((records, SHEET)) @ world.standard_normal((SHEET, DIMS))
        self.vectors = unit(sheet + world.standard_normal((records, DIMS)))
        self._projection = (world.standard_normal((DIMS, SKETCH_DIMS)) / SKETCH_DIMS**0.5).astype(np.float32)
        self._hashes = world.integers(1, 2**64 - 1, records + 5_000, dtype=np.uint64)
        self.now = 1_800_000_000.0

    def direction(self) -> Vectors:
        """A random direction."""
        return unit(self.random.standard_normal(DIMS))

    def question(self, record: int | None = None, noise: float = 0.8) -> Vectors:
        """A vector near a record, a random one if none is given."""
        at = int(self.random.integers(self.records)) if record is None else record
        return unit(self.vectors[at] + noise * self.direction())

    def hashes(self, ids: Any) -> NDArray[np.uint64]:
        """Hashed ids; those from `records` on are of records that callers write."""
        return self._hashes[np.asarray(ids, np.int64)]

    def search(
        self, queries: Vectors, limit: int = 10, vectors: bool = False, only: tuple[int, ...] = (), offset: int = 0
    ) -> tuple[Observation, NDArray[np.int64]]:
        """One call with a query, or with rows of them; the observation, and the records found, best first."""
        rows = np.atleast_2d(queries)
        among = np.array(only) if only else np.arange(self.records)
        scores = rows @ self.vectors[among].T
        order = np.argsort(-scores, axis=1, kind="stable")[:, offset : offset + limit]
        found = among[order]
        ids = found.ravel()
        given: dict[str, Any] = {"filter_ids": len(only), "filter_shape": int(bool(only)), "offset": offset}
        if vectors:
            given |= {"vectors": self.sketch(self.vectors[ids]), "vector_ids": self.hashes(ids)}
        seen = self._call(
            queries=self.sketch(rows),
            ids=self.hashes(ids),
            query_of=np.repeat(np.arange(len(rows), dtype=np.int32), found.shape[1]),
            scores=np.take_along_axis(scores, order, axis=1).ravel().astype(np.float32),
            left=frozenset({"scores", "payload", *(("vectors",) if vectors else ())}),
            limit=limit,
            **given,
        )
        return seen, ids

    def read(self, operation: str, ids: Any, vectors: bool = False) -> Observation:
        """A page of a scroll, or records by id."""
        ids = np.asarray(ids, np.int64)
        given: dict[str, Any] = {}
        if vectors:
            rows = self.vectors[ids % self.records]
            given = {"vectors": self.sketch(rows), "vector_ids": self.hashes(ids)}
        left = frozenset({"payload", *(("vectors",) if vectors else ())})
        return self._call(operation=operation, ids=self.hashes(ids), left=left, limit=len(ids), **given)

    def write(self, ids: Any) -> Observation:
        """Writing records."""
        return self._call(operation="write", written=self.hashes(ids))

    def sketch(self, rows: Vectors) -> Vectors:
        """Sketches of unit rows."""
        return np.asarray(rows @ self._projection, dtype=np.float32)

    def _call(self, **given: Any) -> Observation:
        self.now += 1.0
        return observed(time=self.now, records=self.records, **given)


def told(detector: Detector, seen: list[Observation], batch: int = 8, state: State | None = None) -> Evidence:
    """What a detector says after all of it, in batches."""
    state = detector.fresh() if state is None else state
    evidence = detector.update(state, [])
    for start in range(0, len(seen), batch):
        evidence = detector.update(state, seen[start : start + batch])
    return evidence


def sessions(desk: Desk, count: int) -> list[Observation]:
    """Honest conversations: five questions about one record's neighbourhood, then about another's."""
    seen = []
    while len(seen) < count:
        record = int(desk.random.integers(RECORDS))
        seen += [desk.search(desk.question(record))[0] for _ in range(5)]
    return seen[:count]


def questions(desk: Desk, count: int) -> list[Observation]:
    """Honest questions, each about something else."""
    return [desk.search(desk.question())[0] for _ in range(count)]

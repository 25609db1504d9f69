"""Observations for tests: what is not given is that of a call which showed nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from vecguard.detect.observation import SKETCH_DIMS, Observation


def sketches(*rows: float) -> np.ndarray[Any, Any]:
    """Sketches of which each has one number in all places."""
    return np.array([[row] * SKETCH_DIMS for row in rows], np.float32).reshape(len(rows), SKETCH_DIMS)


def observed(**given: Any) -> Observation:
    """An observation of a search by `mallory` in `notes` at 1,000 seconds, with `given` in place of what it has."""
    ids = np.array(given.pop("ids", ()), np.uint64)
    plain: dict[str, Any] = {
        "time": 1_000.0,
        "principal": "mallory",
        "collection": "notes",
        "operation": "search",
        "queries": sketches(),
        "ids": ids,
        "query_of": np.full(len(ids), -1, np.int32),
        "scores": np.full(len(ids), np.nan, np.float32),
        "vectors": sketches(),
        "vector_ids": np.zeros(0, np.uint64),
        "written": np.zeros(0, np.uint64),
        "written_vectors": sketches(),
    }
    return Observation(**{**plain, **given})

"""What detection is told of one call on one collection after it was served: sketches, hashed ids, counts. Nothing else.

A sketch is a keyed random projection of a unit vector to `SKETCH_DIMS` dimensions, scaled so that inner products of
sketches estimate cosines (Johnson & Lindenstrauss 1984: standard error about (1 - cos^2) / sqrt(SKETCH_DIMS)). Ids are
keyed 64-bit hashes. Both keys are the collection's own, so that neither a shared state store nor a recorded log holds
an embedding, an id or a payload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

SKETCH_DIMS: Final = 32
NAMED: Final = 256
"""What is added to the number of a planted record that the caller named; numbers are below."""

Operation = Literal["search", "retrieve", "scroll", "count", "write", "delete", "other"]
Leaving = Literal["vectors", "payload", "scores"]
Sketches: TypeAlias = NDArray[np.float32]
Hashes: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One served call on one collection.

    `time` in seconds since 1970. `limit`, `offset`: the largest asked. `exact`: whether an exact scan was asked for.
    `filter_shape` hashes the structure of the filter (fields and kinds of conditions, no values), 0 without one;
    `filter_ids` is how many ids the filter names. `records` is how many records the collection has, about; 0: unknown.

    Arrays: `queries` (q, SKETCH_DIMS) float32; `ids` (n,) uint64 of the records that the answer holds, in order;
    `query_of` (n,) int32, the row of `queries` that found each, -1 where none did; `scores` (n,) float32, NaN where
    none left; `vectors` (m, SKETCH_DIMS) float32, those that left, of the records `vector_ids` (m,) uint64; `written`
    (w,) uint64 ids of written records, `written_vectors` (v, SKETCH_DIMS) float32, of their vectors.
    """

    time: float
    principal: str
    collection: str
    operation: Operation
    queries: Sketches
    ids: Hashes
    query_of: NDArray[np.int32]
    scores: NDArray[np.float32]
    vectors: Sketches
    vector_ids: Hashes
    written: Hashes
    written_vectors: Sketches
    left: frozenset[Leaving] = frozenset()
    limit: int = 0
    offset: int = 0
    exact: bool = False
    filter_shape: int = 0
    filter_ids: int = 0
    records: int = 0
    canaries: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    """Planted records that the call met, shape (c,): their numbers, and `NAMED` more where the caller asked for one by
    its id. They are left out of its answer, and of `ids`."""
    planted: int = 0
    """How many records are planted in the collection, by its policy."""
    request_id: str = ""
